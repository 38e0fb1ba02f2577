"""What loading a model frees goes back to the system, so that a service has it once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.live import ROOT

SCRIPT = """
import ctypes
from skdeploy.memory import release
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
blocks = [libc.malloc(4000) for _ in range(20_000)]
for block in blocks:
    ctypes.memset(ctypes.c_void_p(block), 1, 4000)
for block in blocks[:-1]:
    libc.free(block)
before = resident()
release()
print(before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library is another one")
def test_freed_memory_is_given_back() -> None:
    """80 MB in small blocks, all but the last of which are free: the C library would keep them."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) > 60_000_000
