"""Predictions as files: all of an interval or none, whoever dies or comes second."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from skdeploy.errors import IntervalHeld, OutputError
from tests.batch.files.conftest import Place
from tests.batch.files.writing import (
    DAILY,
    DAY,
    OTHER,
    Seen,
    output_at,
    scored,
    task,
    write,
)


def test_a_folder_s_interval_is_held(tmp_path: Path) -> None:
    """A second run of the interval is refused at once, and another interval's is not."""
    first, second = output_at(str(tmp_path)), output_at(str(tmp_path))
    with first.writing(task(), large=False):
        with pytest.raises(IntervalHeld), second.writing(task(digest=OTHER), large=False):
            pass
        write(second, task(DAILY.next(DAY)), scored(0, 3))
    write(second, task(), scored(0, 3))


@pytest.mark.heavy
def test_of_two_runs_in_s3_one_loses(s3: Any) -> None:
    """The manifest decides: the later one fails, and what the other wrote stands, files and all."""
    url = f"s3://{s3.bucket}/two-runs"
    first, second, seen = output_at(url), output_at(url), Seen(url)
    with first.writing(task(), large=False) as mine, second.writing(task(), large=False) as other:
        mine.write(scored(0, 2500))
        other.write(scored(0, 2500, plus=1))
        other.finish()
        with pytest.raises(IntervalHeld, match="Another run has completed 2013-11-05 in the meantime"):
            mine.finish()
    assert seen.predictions() == [key + 1.0 for key in range(2500)]
    assert set(seen.names()) == seen.manifest().parts()


@pytest.mark.heavy
def test_a_failure_that_is_noted_meanwhile_costs_nobody_the_interval(s3: Any) -> None:
    """Only a completed interval makes another run the loser."""
    url = f"s3://{s3.bucket}/failure"
    first, second = output_at(url), output_at(url)
    with first.writing(task(), large=False) as writing:
        writing.write(scored(0, 5))
        second.fail(task(), "no memory")
        writing.finish()
    assert Seen(url).predictions() == list(map(float, range(5)))


@pytest.mark.heavy
def test_runs_that_meet_in_s3_leave_one_whole_interval(s3: Any) -> None:
    """Six runs at once, over and over: what the manifest names is there, and of one run."""
    url = f"s3://{s3.bucket}/race"
    seen = Seen(url)
    output_at(url)

    def run(number: int) -> None:
        output = output_at(url, part_rows=10)
        for turn in range(4):
            try:
                write(output, task(), scored(0, 35, plus=(number + turn) % 3))
            except IntervalHeld:
                lost.append(number)

    lost: list[int] = []
    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        threads[0].join(0.05)
        assert len(lost) <= 24
    predictions = seen.predictions()
    assert predictions == [key + predictions[0] for key in range(35)]
    assert lost
    write(output_at(url, part_rows=10), task(), scored(0, 35))
    assert set(seen.names()) == seen.manifest().parts()


def test_what_a_dead_run_had_not_deleted_is_deleted(place: Place) -> None:
    """A run that died between manifest and deletion: whoever reads the ledger next finishes that."""
    output, seen = output_at(place("out")), Seen(place("out"))
    write(output, task(), scored(0, 10))
    (name,) = seen.names("_manifest.json")
    found = seen.storage.read(name)
    assert found is not None
    part = seen.names()[0]
    content = seen.storage.read(part)
    assert content is not None
    old = part.replace(part[-20:-8], "0" * 12)
    seen.storage.replace(old, content[0], None)
    newer = old.replace(".parquet", ".2.parquet")
    seen.storage.replace(newer, content[0], None)
    seen.storage.replace(name, replace(seen.manifest(), swept=False).to_bytes(), found[1])
    output.entries("flights/NYC", DAY.start, DAY.end)
    # That of the next generation may be a run's that has not ended.
    assert set(seen.names()) == {part, newer}
    assert seen.manifest().swept


RUN = """
import sys
from tests.batch.files.writing import output_at, scored, task
output = output_at(sys.argv[1], part_rows=1000)
with output.writing(task(), large=True) as writing:
    for start in range(0, 20_000, 500):
        writing.write(scored(start, start + 500, plus=float(sys.argv[2]), rejects=1))
        print(start, flush=True)
    writing.finish()
    print("finished", flush=True)
"""


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    yield from process.stdout


@pytest.mark.heavy
def test_a_killed_run_leaves_what_an_undisturbed_one_leaves(place: Place) -> None:
    """Killed at one moment after the other, then run to its end: the same files, nothing beside them."""
    undisturbed, killed = Seen(place("undisturbed")), Seen(place("killed"))
    for url in (place("undisturbed"), place("killed")):
        write(output_at(url), task(), scored(0, 3000))
    command = [sys.executable, "-c", RUN, place("undisturbed"), "1"]
    subprocess.run(command, check=True, stdout=subprocess.PIPE)
    command[3] = place("killed")
    for moment in (0, 3, 11, 25, 39):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for number, _ in enumerate(lines_of(process)):
                if number == moment:
                    process.send_signal(signal.SIGKILL)
            process.wait()
        if killed.manifest().generation == 1:
            assert killed.predictions() == list(map(float, range(3000)))
    if killed.manifest().generation == 1:
        subprocess.run(command, check=True, stdout=subprocess.PIPE)
    output_at(place("killed")).entries("flights/NYC", DAY.start, DAY.end)
    assert killed.exact() == undisturbed.exact()
    assert set(killed.names()) == killed.manifest().parts()
    assert killed.names(".part") == []


@pytest.mark.heavy
def test_a_run_uploads_what_is_missing_alone(s3: Any) -> None:
    """Files that a dead run left are not sent again."""
    url = f"s3://{s3.bucket}/again"
    output, seen = output_at(url), Seen(url)

    def die() -> None:
        with output.writing(task(), large=True) as writing:
            writing.write(scored(0, 2500))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        die()
    client = seen.storage._client  # type: ignore[attr-defined]
    sent: list[str] = []
    client.meta.events.register(
        "before-call.s3.PutObject", lambda params, **_: sent.append(params["url_path"])
    )
    output._storage._client = client  # type: ignore[attr-defined]
    assert len(seen.names()) == 2
    write(output, task(), scored(0, 2500))
    assert len([path for path in sent if path.endswith(".parquet")]) == 1


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """The job ends with what the system says, and the interval is as it was."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    output = output_at(str(tmp_path))
    write(output, task(), scored(0, 10))
    with output.writing(task(), large=False) as writing:
        writing.write(scored(0, 5))
        (scratch,) = (tmp_path / ".partial").iterdir()
        (scratch / "predictions.part").symlink_to("/dev/full")
        with pytest.raises(OutputError, match=r"cannot be written: .*No space left on device"):
            writing.finish()
    assert Seen(str(tmp_path)).predictions() == list(map(float, range(10)))
