"""The web door keeps native thread pools to one thread; nobody else's are touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# Two threads are asked for whatever the machine has; the service is called in two threads of its own.
CODE = """
import json, sys, threading
import skdeploy
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
from threadpoolctl import threadpool_info
from skdeploy.settings import Settings
from skdeploy.web import create_app

model = skdeploy.load(sys.argv[1], engine="sklearn")
seen = []

class Looking(type(model.engine)):
    def __init__(self, engine):
        self.__dict__ = engine.__dict__
    def predict(self, table):
        blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        seen.append([_openmp_effective_n_threads(), *blas])
        return super().predict(table)

object.__setattr__(model, "engine", Looking(model.engine))
model.engine.predict(model.probe)
before = seen[:]
client = create_app(model, Settings.from_env({})).test_client()
seen.clear()
for _ in range(2):
    thread = threading.Thread(target=client.get, args=("/ready",))
    thread.start()
    thread.join()
print(json.dumps([before, seen]))
"""


def pools(model: Path) -> tuple[list[list[int]], list[list[int]]]:
    """The sizes of the pools in each call of the engine: outside of the service, and in it."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(model)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    before, served = json.loads(done.stdout)
    return before, served


def test_a_served_engine_has_one_native_thread_in_whichever_thread_it_is_called(regressor_file: Path) -> None:
    """OpenMP and BLAS have one thread each in every thread of the service, and two before it."""
    before, served = pools(regressor_file)
    assert {size for sizes in before for size in sizes} == {2}
    assert len(served) >= 2
    assert {size for sizes in served for size in sizes} == {1}
