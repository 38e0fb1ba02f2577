"""Long bodies are explained by another process, in the words of this one; and it is no burden."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skdeploy.errors import CallerError, ExplainingFailed, MalformedBody
from skdeploy.schema import Checked, Column, Explainer, RecordReader, Schema
from tests.schema.test_fast_equals_plain import COLUMNS, READERS, _said, bodies
from tests.schema.test_pieces import long_lists
from tests.ticking import longest_pause

ROOT = Path(__file__).parents[2]
MODULE = "skdeploy.schema.explaining"
WHOLE = RecordReader(Schema(container="frame", columns=[Column(name="a", type="int", dtype="int64")]))
LARGE = 10_000_000
SOME = b'[{"a":1},{"a":"x"},{"a":2}]'


@pytest.fixture
def always() -> Iterator[Explainer]:
    """One to which every body is long."""
    with Explainer(long=-1) as explainer:
        yield explainer


# Of applications that were tested in this process before: they end by themselves, half a minute later.
OTHERS: set[int] = set()


@pytest.fixture(autouse=True)
def others() -> None:
    OTHERS.update(processes_of(os.getpid()))


def processes_of(pid: int) -> list[int]:
    """The explaining processes that a process has started in this test."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, status = (folder / "cmdline").read_bytes(), (folder / "stat").read_text()
        except OSError:
            continue
        state, parent = status.rpartition(")")[2].split()[:2]
        if MODULE.encode() in command and int(parent) == pid and state != "Z":
            found.append(int(folder.name))
    return sorted({*found} - OTHERS)


def wait_until(true: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def lives(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def outcome(read: Any) -> Any:
    try:
        return _said(read())
    except CallerError as error:
        return type(error), str(error)


@settings(max_examples=300, database=None, suppress_health_check=list(HealthCheck), deadline=None)
@given(bodies() | long_lists(), st.sampled_from(["id", None, "größe"]), st.booleans(), st.booleans())
def test_the_process_says_what_this_one_says(
    always: Explainer, body: bytes, id_field: str | None, strict: bool, ignore: bool
) -> None:
    """Cells with their types, keys, bad cells, refusals with their texts: whatever the body."""
    _, reader = READERS[id_field, strict, ignore]
    assert outcome(lambda: always.explain(reader, body)) == outcome(lambda: reader.explain(body))


def test_long_answers_come_in_parts(always: Explainer) -> None:
    """Good and bad records by the thousand, with keys, arrive in order."""
    reader = RecordReader(Schema(container="frame", columns=COLUMNS[:1]), id_field="id")
    records = [{"whole": n if n % 3 else None, "id": f"k{n}"} for n in range(100_000)]
    body = json.dumps(records).encode()
    there, here = always.explain(reader, body), reader.explain(body)
    assert _said(there) == _said(here)
    assert there.rejected == 33_334


@pytest.mark.parametrize("twice", [b'{"\\ud800":1,"\\ud800":2}', b'{"a":1,"\\udfff\\u0001":{"b":1,"b":2}}'])
def test_half_of_a_surrogate_pair_in_a_message_can_be_sent(always: Explainer, twice: bytes) -> None:
    """A key that stands twice and is no text is named, in UTF-8."""
    with pytest.raises(MalformedBody, match="stands twice") as caught:
        always.read_json(WHOLE, twice)
    assert str(caught.value).encode()


def test_short_bodies_and_good_ones_need_no_process() -> None:
    """Neither what is explained quickly nor what is plainly good starts one."""
    with Explainer() as explainer:
        assert explainer.read_json(WHOLE, SOME).rejected == 1
        assert explainer.read_json(WHOLE, b"[" + b'{"a":1},' * 200_000 + b'{"a":1}]').count == 200_001
        assert not processes_of(os.getpid())


def test_a_reader_that_cannot_be_told_explains_here() -> None:
    """Its schema has a value that MessagePack does not hold as it is."""
    column = Column(name="a", type="int", dtype="int64", example={1, 2})
    reader = RecordReader(Schema(container="frame", columns=[column]))
    assert reader.recipe is None
    with Explainer(long=-1) as explainer:
        assert explainer.explain(reader, SOME).rejected == 1
        assert not processes_of(os.getpid())


def test_the_process_imports_little() -> None:
    """Neither numpy nor Flask, pandas or scikit-learn: it starts quickly, and is small."""
    heavy = ("numpy", "pandas", "sklearn", "flask", "gunicorn", "joblib")
    code = f"import sys, {MODULE}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def slow_body() -> bytes:
    """It takes a second or more."""
    return b'{"a":1,' + b",".join(b'"%d":1' % n for n in range(900_000)) + b"}"


def asked(explainer: Explainer, body: bytes) -> tuple[threading.Thread, list[Any]]:
    """A thread that asks, and what it will have heard."""
    heard: list[Any] = []

    def ask() -> None:
        try:
            heard.append(explainer.explain(WHOLE, body))
        except Exception as error:
            heard.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, heard


def test_a_process_that_is_killed_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """Amid a body: the next one explains it again. Between two: nobody notices. No value is in the log."""
    with Explainer() as explainer, caplog.at_level(logging.DEBUG):
        thread, heard = asked(explainer, slow_body())
        wait_until(lambda: processes_of(os.getpid()))
        (first,) = processes_of(os.getpid())
        time.sleep(0.5)
        os.kill(first, signal.SIGKILL)
        thread.join(60)
        assert isinstance(heard[0], Checked)
        (second,) = processes_of(os.getpid())
        assert second != first
        os.kill(second, signal.SIGKILL)
        wait_until(lambda: not lives(second))
        assert explainer.explain(WHOLE, slow_body()).unlisted == {0: 899_900}
    assert "died" in caplog.text
    assert '"' not in caplog.text
    assert not processes_of(os.getpid())


def test_a_body_that_takes_too_long_is_an_error_of_ours() -> None:
    """The process is killed, and the next body has another one."""
    with Explainer(seconds=0.3) as explainer:
        with pytest.raises(
            ExplainingFailed, match=r"9,[0-9,]* bytes could not be explained: .* more than 0\.3 s"
        ):
            explainer.explain(WHOLE, slow_body())
        assert not processes_of(os.getpid())
    with Explainer(long=-1) as explainer:
        assert explainer.explain(WHOLE, SOME).rejected == 1


def test_a_body_that_takes_too_much_memory_ends_the_process_alone() -> None:
    """2 GB are the end: here 90 MB that are 30 million lists."""
    body = b"[" + b"[]," * 30_000_000 + b"1]"
    with Explainer() as explainer:
        with pytest.raises(ExplainingFailed, match="2 GB"):
            explainer.explain(WHOLE, body)
        assert explainer.explain(WHOLE, b" " * 2_000_000 + SOME).rejected == 1


def test_threads_share_a_process(always: Explainer) -> None:
    """Each gets the answer to its own body."""
    told: dict[int, int] = {}

    def ask(count: int) -> None:
        told[count] = always.explain(WHOLE, b"[" + b"{}," * (count - 1) + b"{}]").rejected

    threads = [threading.Thread(target=ask, args=(count,)) for count in range(1000, 1016)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == {count: count for count in range(1000, 1016)}
    assert len(processes_of(os.getpid())) == 1


def test_close_ends_the_process_amid_a_body() -> None:
    """Who waits hears of it, and nothing is started any more."""
    explainer = Explainer()
    thread, heard = asked(explainer, slow_body())
    wait_until(lambda: processes_of(os.getpid()))
    explainer.close()
    thread.join(20)
    assert isinstance(heard[0], ExplainingFailed)
    assert not processes_of(os.getpid())
    with pytest.raises(ExplainingFailed, match="closed"):
        explainer.explain(WHOLE, slow_body())


PARENT = """
import sys, threading
from skdeploy.schema import Column, Explainer, RecordReader, Schema
reader = RecordReader(Schema(container="frame", columns=[Column(name="a", type="int", dtype="int64")]))
explainer = Explainer(long=-1)
explainer.explain(reader, b"[1]")
print("asked", flush=True)
body = b'{"a":1,' + b",".join(b'"%d":1' % n for n in range(900_000)) + b"}"
while sys.argv[1] == "busy":
    explainer.explain(reader, body)
threading.Event().wait()
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_a_parent_that_dies_leaves_no_process(state: str) -> None:
    """Killed, with no chance to close anything."""
    command = [sys.executable, "-c", PARENT, state]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "asked\n"
        (child,) = processes_of(parent.pid)
        time.sleep(0.3)
        parent.kill()
    wait_until(lambda: not lives(child))


def test_a_fork_has_a_process_of_its_own(always: Explainer) -> None:
    """The child asks another one, and the parent's goes on."""
    always.explain(WHOLE, SOME)
    (ours,) = processes_of(os.getpid())
    code = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from skdeploy.schema import Column, Explainer, RecordReader, Schema
reader = RecordReader(Schema(container="frame", columns=[Column(name="a", type="int", dtype="int64")]))
explainer = Explainer(long=-1)
ask = lambda: explainer.explain(reader, b'[{{"a":"x"}}]').rejected == 1
assert ask()
first = explainer._child._process.pid
if os.fork() == 0:
    try:
        good = ask() and explainer._child._process.pid != first
        explainer.close()
    finally:
        os._exit(0 if good else 1)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
assert ask() and explainer._child._process.pid == first
explainer.close()
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    assert lives(ours)


def _list(item: bytes) -> bytes:
    return b"[" + b",".join([item] * (LARGE // (len(item) + 1))) + b"]"


WORST = {
    "empty objects": _list(b"{}"),
    "empty lists": _list(b"[]"),
    "nulls": _list(b"null"),
    "numbers": _list(b"1"),
    "bad cells": _list(b'{"a":"x"}'),
    "too many": _list(b'{"a":1},1'),
    "every other is bad": _list(b'{"a":1' + b" " * 180 + b"},1"),
    "integers that the slow half reads": _list(b'{"a":1e0' + b" " * 180 + b"}"),
    "a million keys": slow_body(),
    "nesting": b"[" * LARGE,
    "nested objects": b'{"a":' * (LARGE // 5),
    "digits": b"[" + b"1" * LARGE + b"]",
    "escapes": b'["' + b"\\u00e9" * (LARGE // 6) + b'"]',
    "white space": b" " * LARGE,
    "quotes and spaces": b'["' + b'\\"  ' * (LARGE // 4) + b'"]',
}


# Ten times as many records as a service takes if nobody sets SKDEPLOY_MAX_RECORDS to more.
MANY = RecordReader(WHOLE.options.schema, max_records=110_000)


def read(explainer: Explainer, body: bytes) -> Checked | None:
    try:
        return explainer.read_json(MANY, body)
    except CallerError:
        return None


@pytest.mark.parametrize("name", WORST)
def test_other_threads_run_while_the_worst_bodies_are_explained(name: str) -> None:
    """10 MB of each: a thread that wants to run every millisecond does."""
    with Explainer() as explainer:
        explainer.explain(WHOLE, b" " * 2_000_000 + SOME)
        pause = longest_pause(lambda: read(explainer, WORST[name]))
    assert pause < 0.25  # on a quiet machine 20 ms
