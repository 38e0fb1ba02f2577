"""Work in a forked child: its result, its errors, its death, and that nothing of it stays."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import joblib
import pytest
from sklearn.linear_model import LinearRegression

import skdeploy
from skdeploy.engines.graph import Analyzer, Words
from skdeploy.errors import DigestMismatch, ModelUnavailable, ProofFailed, SourceUnreachable, UnreadableModel
from skdeploy.model import Model
from skdeploy.model.exporting import export
from skdeploy.model.isolated import in_child
from skdeploy.model.loading import load_model
from skdeploy.scoring import Scorer
from tests import pipelines
from tests.conftest import small_frame, small_pipeline
from tests.live import children, running, wait_until
from tests.parallel import PARALLEL, save
from tests.stores import sha256

ROOT = Path(__file__).parents[2]


def test_a_child_does_the_work() -> None:
    """The result comes from another process, in a session of its own, and that process has ended."""
    before = children(os.getpid())
    pid, session = in_child(lambda: (os.getpid(), os.getsid(0)))
    assert pid == session != os.getpid()
    assert children(os.getpid()) == before


def test_parts_of_what_is_shared_are_not_copied() -> None:
    """An array of a fitted estimator, in the result, is the array that the parent has; others are copies."""
    pipeline = small_pipeline(LinearRegression()).fit(small_frame(), small_frame()["age"])
    coefficients = pipeline[-1].coef_
    estimator, array, other = in_child(lambda: (pipeline[-1], coefficients, coefficients * 2), pipeline)
    assert estimator is pipeline[-1]
    assert array is coefficients
    assert other.tolist() == (coefficients * 2).tolist()


def test_a_large_result_comes_whole() -> None:
    """A pipe holds 64 KB; what is longer is read while it is written."""
    assert in_child(lambda: bytes(10_000_000)) == bytes(10_000_000)


@pytest.mark.parametrize(
    "error",
    [
        ProofFailed("Golden record 1 predicts 2"),
        UnreadableModel("no passport"),
        SourceUnreachable("bucket", "It is away.", "Wait."),
        DigestMismatch("The file", "aa", "bb"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_the_same_here(error: ModelUnavailable) -> None:
    """Its type, text and attributes, whatever the parameters of its constructor."""

    def fail() -> None:
        raise error

    with pytest.raises(ModelUnavailable) as caught:
        in_child(fail)
    assert (type(caught.value), str(caught.value)) == (type(error), str(error))
    assert vars(caught.value) == vars(error)


class Unpicklable(Exception):
    """An exception that a pickle cannot hold."""

    def __init__(self) -> None:
        super().__init__("it failed")
        self.held = lambda: None


@pytest.mark.parametrize(
    ("error", "kind"), [(ZeroDivisionError("by none"), ZeroDivisionError), (Unpicklable(), RuntimeError)]
)
def test_an_unexpected_error_brings_its_traceback(error: Exception, kind: type[Exception]) -> None:
    """The line that raised is told, where the exception itself cannot be handed over as well."""

    def fail_here() -> None:
        raise error

    with pytest.raises(kind) as caught:
        in_child(fail_here)
    told = "".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert "in fail_here" in told
    assert str(error) in told


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_child_is_told(number: signal.Signals) -> None:
    """The message names the signal; if it is the one of the kernel that lacks memory, it says that too."""

    def die() -> None:
        faulthandler.disable()  # pytest's would write a dump
        os.kill(os.getpid(), number)

    with pytest.raises(ModelUnavailable, match=f"was killed by {number.name}") as caught:
        in_child(die)
    assert ("memory" in str(caught.value)) == (number is signal.SIGKILL)


def test_a_child_that_leaves_is_told() -> None:
    """A pipeline can end the process that it runs in."""
    with pytest.raises(ModelUnavailable, match="exit code 7"):
        in_child(lambda: os._exit(7))


def _sleeper() -> int:
    return subprocess.Popen(["sleep", "600"]).pid


def _forked_sleeper() -> int:
    """Not another program: what the child has open, this process has, too."""
    if pid := os.fork():
        return pid
    time.sleep(600)
    os._exit(0)


@pytest.mark.parametrize("start", [_sleeper, _forked_sleeper])
@pytest.mark.parametrize("end", ["returns", "raises", "dies"])
def test_what_the_child_started_ends_with_it(start: Callable[[], int], end: str, tmp_path: Path) -> None:
    """Processes that are left running are killed, however the work ended."""
    note = tmp_path / "pid"

    def work() -> None:
        note.write_text(str(start()))
        if end == "raises":
            raise ProofFailed("wrong")
        if end == "dies":
            os.kill(os.getpid(), signal.SIGKILL)

    if end == "returns":
        in_child(work)
    else:
        with pytest.raises(ModelUnavailable):
            in_child(work)
    wait_until(lambda: not running(int(note.read_text())), "what it started has ended")


STUCK = """
import os, signal, sys, time
from skdeploy.model.isolated import in_child

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

def work():
    print(os.getpid(), flush=True)
    time.sleep(600)

in_child(work)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 1), (signal.SIGKILL, -9)])
def test_a_stuck_child_ends_with_its_parent(number: signal.Signals, code: int) -> None:
    """SIGTERM as gunicorn's configuration handles it, Ctrl-C, and an end without notice."""
    with subprocess.Popen(
        [sys.executable, "-c", STUCK], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(number)
        assert parent.wait(20) in (code, -number if number is signal.SIGINT else code)
        wait_until(lambda: not running(child), "the child has ended")


MODELS = {
    "compiled": (pipelines.mixed_regression, "onnx"),
    "words": (pipelines.tfidf_on_a_column, "onnx"),
    "scikit-learn": (pipelines.mixed_regression, "sklearn"),
    "classes": (pipelines.several_labels_from_a_forest, "auto"),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("bare", [False, True], ids=["passport", "bare"])
def test_a_model_is_the_same_as_in_this_process(kind: str, bare: bool, tmp_path: Path) -> None:
    """Passport, notes, engine and predictions; and it is measured."""
    make, engine = MODELS[kind]
    pipeline, X, y = make()
    path = tmp_path / "model.bin"
    if bare:
        joblib.dump(pipeline, path)
    else:
        skdeploy.save(pipeline, X, y, path)
    here, there = (_loaded(path, engine, isolated=isolated) for isolated in (False, True))
    assert (there.passport, there.probe, there.digest) == (here.passport, here.probe, here.digest)
    assert (there.notes, there.fallback, there.engine.name) == (here.notes, here.fallback, here.engine.name)
    assert Scorer(there).predict(there.probe).values == Scorer(here).predict(here.probe).values
    assert (here.cost, here.together) == (None, False)
    assert there.cost is not None
    assert there.cost[0] > 0
    assert there.together == (not bare)


def _loaded(path: Path, engine: str, *, isolated: bool) -> Model:
    content = path.read_bytes()
    return load_model(
        content, digest=sha256(content), name="model", where=str(path), engine=engine, isolated=isolated
    )


def test_a_vectorizer_is_not_copied(tmp_path: Path) -> None:
    """The analyzer of the compiled engine is that of the unpickled pipeline's own vectorizer."""
    pipeline, X, y = pipelines.tfidf_on_a_column()
    skdeploy.save(pipeline, X, y, tmp_path / "model.bin")
    model = _loaded(tmp_path / "model.bin", "onnx", isolated=True)
    [words] = [one for one, _ in model.engine._packer._others if isinstance(one, Words)]  # type: ignore[attr-defined]
    assert isinstance(words.analyze, Analyzer)
    held = words.analyze._vectorizer
    loaded = model.engine._others._pipeline  # type: ignore[attr-defined]
    assert any(held is part for _, part, _ in loaded[0].transformers_)


def test_an_exported_model_is_the_same_as_in_this_process(tmp_path: Path) -> None:
    """A child predicts its golden records, too, and measures it."""
    pipeline, X, y = pipelines.mixed_regression()
    skdeploy.save(pipeline, X, y, tmp_path / "model.bin")
    pickled = (tmp_path / "model.bin").read_bytes()
    content, exported = export(pickled, digest=sha256(pickled), where="model.bin")
    here, there = (
        load_model(content, digest=exported.file_digest, name="", where="model.skdeploy", isolated=isolated)
        for isolated in (False, True)
    )
    assert (there.passport, there.probe, there.digest) == (here.passport, here.probe, here.digest)
    assert Scorer(there).predict(there.probe).values == Scorer(here).predict(here.probe).values
    assert there.cost is not None
    assert there.together


def test_a_failed_proof_reads_as_before(tmp_path: Path) -> None:
    """The same error, with the record and both values."""
    X = small_frame()
    pipeline = small_pipeline(LinearRegression()).fit(X, X["age"])
    skdeploy.save(pipeline, X, X["age"], tmp_path / "good.bin")
    pipeline = joblib.load(tmp_path / "good.bin")
    pipeline[-1].intercept_ += 1
    joblib.dump(pipeline, tmp_path / "model.bin")
    texts = []
    for isolated in (False, True):
        with pytest.raises(ProofFailed) as caught:
            _loaded(tmp_path / "model.bin", "auto", isolated=isolated)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


LOADING = """
import json, os, sys
from pathlib import Path
from skdeploy.config import WebSettings
from skdeploy.source import load_from_settings

settings = WebSettings.from_env({"SKDEPLOY_MODEL_URI": sys.argv[1], "SKDEPLOY_ENGINE": sys.argv[2]})
model = load_from_settings(settings, isolated=True)
# pyarrow, which pandas imports, has a thread that gives memory back to the kernel.
threads = [Path(f"/proc/self/task/{task}/comm").read_text() for task in os.listdir("/proc/self/task")]
threads = [name for name in threads if not name.startswith("jemalloc")]
children = [Path(f"/proc/self/task/{task}/children").read_text() for task in os.listdir("/proc/self/task")]
compilers = [name for name in ("onnx", "skl2onnx") if name in sys.modules]
print(json.dumps([len(threads), "".join(children), compilers, model.together]))
"""


@pytest.mark.parametrize("engine", ["auto", "sklearn"])
@pytest.mark.parametrize("kind", PARALLEL)
def test_the_loading_process_starts_nothing(kind: str, engine: str, tmp_path: Path) -> None:
    """It has its main thread, no child, and nothing that only compiling needs."""
    save(kind, tmp_path / "model.bin")
    done = subprocess.run(
        [sys.executable, "-c", LOADING, str(tmp_path / "model.bin"), engine],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == [1, "", [], True]
