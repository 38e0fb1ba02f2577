"""The web door keeps native thread pools and joblib to one thread; nobody else's are touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parallel import PARALLEL, RECORD, save

ROOT = Path(__file__).parent.parent.parent
# Two threads are asked for whatever the machine has; the service is called in two threads of its own.
CODE = """
import json, sys, threading
import skdeploy
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
from threadpoolctl import threadpool_info
from skdeploy.config import WebSettings
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
client = create_app(model, WebSettings.from_env({})).test_client()
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


# joblib's threads end with a call, and its processes have threads that manage them: new threads are counted.
WITH_JOBLIB = """
import json, os, sys, threading
from pathlib import Path
import skdeploy
from skdeploy.config import WebSettings
from skdeploy.web import create_app

started = []

def note(*_):
    sys.setprofile(None)
    started.append(threading.get_ident())

threading.setprofile(note)

def counted(call):
    started.clear()
    call()
    return len(started), len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())

def serve():
    thread = threading.Thread(target=lambda: answers.append(client.post("/predict", json=record).status_code))
    thread.start()
    thread.join()

record = json.loads(sys.argv[2])
answers = []
model = skdeploy.load(sys.argv[1], engine="sklearn")
client = create_app(model, WebSettings.from_env({})).test_client()
print(json.dumps([answers, counted(serve), counted(lambda: model.engine.predict(model.probe))]))
"""


@pytest.mark.parametrize("kind", PARALLEL)
def test_a_served_engine_starts_no_thread_and_no_process(kind: str, tmp_path: Path) -> None:
    """An estimator with `n_jobs` predicts in the thread that asks; elsewhere it starts others."""
    save(kind, tmp_path / "model.bin")
    done = subprocess.run(
        [sys.executable, "-c", WITH_JOBLIB, str(tmp_path / "model.bin"), json.dumps(RECORD)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    answers, served, outside = json.loads(done.stdout)
    assert answers == [200]
    # The test's own thread.
    assert served == [1, 0]
    assert outside[0] > 0
    assert (outside[1] > 0) == (kind != "RandomForestRegressor")
