"""web-service/gunicorn.conf.py: what it makes of the settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from skdeploy.cpus import usable_cpus

ROOT = Path(__file__).parent.parent.parent
READ = """
import json, os, runpy
values = runpy.run_path("web-service/gunicorn.conf.py")
names = ("bind", "workers", "threads", "preload_app", "keepalive", "graceful_timeout", "worker_tmp_dir",
         "control_socket_disable", "accesslog", "loglevel")
print(json.dumps({name: values[name] for name in names}
    | {"client_timeout": values["Worker"].settings.client_timeout,
       "drain_delay": values["Worker"].settings.drain_delay,
       "omp": os.environ["OMP_NUM_THREADS"]}))
"""


def configured(**settings: str) -> dict[str, Any]:
    """What the file says to gunicorn with these variables set."""
    done = subprocess.run(
        [sys.executable, "-c", READ],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def test_every_setting_of_the_process_arrives() -> None:
    """Each variable that speaks of the process reaches gunicorn."""
    values = configured(
        SKDEPLOY_BIND_ADDRESS="127.0.0.2",
        PORT="1234",
        WEB_CONCURRENCY="3",
        SKDEPLOY_THREADS="7",
        SKDEPLOY_KEEPALIVE="11",
        SKDEPLOY_GRACEFUL_TIMEOUT="20",
        SKDEPLOY_DRAIN_DELAY="2.5",
        SKDEPLOY_CLIENT_TIMEOUT="4",
        SKDEPLOY_ACCESS_LOG="1",
        SKDEPLOY_LOG_LEVEL="warning",
    )
    assert values == {
        "bind": "127.0.0.2:1234",
        "workers": 3,
        "threads": 7,
        "preload_app": True,
        "keepalive": 11,
        "graceful_timeout": 24,
        "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,
        "control_socket_disable": True,
        "accesslog": None,
        "loglevel": "warning",
        "client_timeout": 4.0,
        "drain_delay": 2.5,
        "omp": "1",
    }


def test_what_lives_for_ever_is_left_alone_by_collections() -> None:
    """After loading, the objects of libraries and model are frozen: no collection walks them."""
    code = "import gc, predict; print(gc.get_freeze_count())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 50_000


def test_an_ipv6_address_gets_its_brackets() -> None:
    """SKDEPLOY_BIND_ADDRESS=::1 is written as gunicorn reads it."""
    assert configured(SKDEPLOY_BIND_ADDRESS="::1")["bind"] == "[::1]:9696"


@pytest.mark.parametrize(("quota", "expected"), [("max 1000", 0), ("500 1000", 1), ("1000 1000", 1)])
def test_a_containers_quota_bounds_the_workers(quota: str, expected: int, tmp_path: Path) -> None:
    """One worker per CPU that may be used: half a CPU is one, no quota is all of them."""
    (tmp_path / "cpu.max").write_text(quota)
    everything = usable_cpus(tmp_path / "none")
    assert usable_cpus(tmp_path / "cpu.max") == (expected or everything)
