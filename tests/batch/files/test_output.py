"""Predictions as files: what is there after an undisturbed run."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from skdeploy.batch.files.output import ParquetOutput
from skdeploy.batch.files.storage import open_storage
from skdeploy.batch.intervals import Calendar
from skdeploy.errors import OutputError
from tests.batch.files.conftest import Place
from tests.batch.files.writing import (
    DAY,
    DIGEST,
    KEYS,
    OTHER,
    PREDICTED,
    Seen,
    output_at,
    scored,
    task,
    write,
)


def test_an_interval_is_files_and_a_manifest(place: Place) -> None:
    """Columns as in the database's tables, parts of so many rows, and who scored what when."""
    begin = datetime.now(UTC) - timedelta(seconds=2)
    output = output_at(place("out"), part_rows=1000)
    write(output, task(), scored(0, 700), scored(700, 1500, rejects=2), scored(1500, 2500))
    seen = Seen(place("out"))
    folder = "predictions/job_name=flights%2FNYC/interval=2013-11-05/model=0123456789abcdef/part-0000"
    assert [name[: len(folder) + 1] for name in seen.names() if "rejects" not in name] == [
        f"{folder}{number}" for number in range(3)
    ]
    table = seen.table()
    assert table.num_rows == 2498
    assert table.slice(0, 1).to_pylist() == [
        {
            "job": "flights/NYC",
            "model_digest": "0123456789abcdef",
            "id": 0,
            "prediction": 0.0,
            "model_name": "air",
            "model_version": "7",
            "interval_start": datetime(2013, 11, 5, 5, tzinfo=UTC),
            "interval_end": datetime(2013, 11, 6, 5, tzinfo=UTC),
        }
    ]
    rejects = seen.table("rejects").drop_columns(["model_digest", "interval_end", "job"])
    assert rejects.to_pylist()[0] == {
        "row_key": '{"id":1498}',
        "column_name": "size",
        "reason": "type",
        "expected": "a number",
        "got": "'x'",
        "interval_start": datetime(2013, 11, 5, 5, tzinfo=UTC),
    }
    (entry,) = output.entries("flights/NYC", DAY.start, DAY.end)
    assert (entry.interval, entry.status, entry.digest, entry.error) == (DAY, "completed", DIGEST, None)
    assert (entry.counts.read, entry.counts.predicted, entry.counts.rejected) == (2500, 2498, 2)
    assert begin <= entry.scored_at <= datetime.now(UTC)


def test_an_empty_interval_is_completed(place: Place) -> None:
    """No file, and an entry that says so."""
    output = output_at(place("out"))
    write(output, task())
    assert Seen(place("out")).names() == []
    assert [entry.status for entry in output.entries("flights/NYC", DAY.start, DAY.end)] == ["completed"]


def test_files_depend_on_rows_alone(place: Place) -> None:
    """However the rows came in chunks, names and bytes are the same."""
    write(output_at(place("one")), task(), scored(0, 2500))
    write(output_at(place("two")), task(), *(scored(start, start + 100) for start in range(0, 2500, 100)))
    assert Seen(place("one")).exact() == Seen(place("two")).exact()
    assert Seen(place("one")).exact()


def test_a_reprocess_replaces_the_interval_at_once(place: Place) -> None:
    """Until the manifest is there the old predictions stand; then they are gone, files and all."""
    output, seen = output_at(place("out")), Seen(place("out"))
    write(output, task(), scored(0, 2500, rejects=3))
    before = set(seen.names())
    with output.writing(task(), large=True) as writing:
        assert (writing.after, writing.counts.read) == (None, 0)
        writing.write(scored(0, 1800, plus=0.5))
        assert set(seen.names()) > before
        assert seen.predictions()[:2] == [0.0, 1.0]
        assert len(seen.predictions()) == 2497
        writing.finish()
    assert seen.predictions() == [key + 0.5 for key in range(1800)]
    assert set(seen.names()) == seen.manifest().parts()
    assert seen.manifest().swept
    assert not set(seen.names()) & before


def test_what_is_not_finished_is_not_there(place: Place) -> None:
    """A job that fails leaves the old predictions, and the next run none of its files."""
    output, seen = output_at(place("out")), Seen(place("out"))
    write(output, task(), scored(0, 10))

    def fail() -> None:
        with output.writing(task(), large=False) as writing:
            writing.write(scored(0, 1500, plus=1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert seen.predictions() == list(map(float, range(10)))
    if seen.storage.exclusive:
        assert set(seen.names()) == seen.manifest().parts()
    write(output, task(), scored(0, 1500, plus=2))
    assert set(seen.names()) == seen.manifest().parts()


def test_models_keep_their_predictions_and_one_is_current(place: Place) -> None:
    """Another model's predictions stand beside the first one's; the ledger speaks of the latest."""
    output, seen = output_at(place("out")), Seen(place("out"))
    write(output, task(), scored(0, 10))
    write(output, task(digest=OTHER), scored(0, 10, plus=0.25))
    assert seen.predictions()[0] == 0.25
    assert len(seen.names()) == 2
    assert set(seen.names()) == seen.manifest().parts()
    assert [entry.digest for entry in output.entries("flights/NYC", DAY.start, DAY.end)] == [OTHER]
    write(output, task(), scored(0, 10, plus=0.5))
    assert seen.predictions()[0] == 0.5
    assert len(seen.names()) == 2


def test_a_failure_is_noted_unless_the_interval_is_completed(place: Place) -> None:
    """With its error; once the interval is scored nothing of it is left."""
    output = output_at(place("out"))
    output.fail(task(), "the input is gone")
    (entry,) = output.entries("flights/NYC", DAY.start, DAY.end)
    assert (entry.status, entry.error) == ("failed", "the input is gone")
    assert output.last("flights/NYC") is None
    write(output, task(), scored(0, 10))
    output.fail(task(digest=OTHER), "never mind")
    (entry,) = output.entries("flights/NYC", DAY.start, DAY.end)
    assert (entry.status, entry.error) == ("completed", None)
    assert list(Seen(place("out")).manifest().models) == [DIGEST[:16]]


@pytest.mark.parametrize("kind", ["hourly", "daily", "weekly", "monthly"])
def test_entries_are_those_of_the_time_that_is_asked(tmp_path: Path, kind: str) -> None:
    """Of the job's intervals those that start in it, in order; the last one whatever came after."""
    output = output_at(str(tmp_path))
    calendar = Calendar(kind, ZoneInfo("Pacific/Auckland"), wall=False)
    intervals = [calendar.containing(datetime(2012, 12, 30, 12, tzinfo=UTC))]
    while len(intervals) < 9:
        intervals.append(calendar.next(intervals[-1]))
    for interval in [*intervals[4:], *intervals[:4]]:
        write(output, task(interval), scored(0, 3))
    write(output, task(intervals[-1], job="another"), scored(0, 3))
    output.fail(task(calendar.next(intervals[-1])), "no")
    found = output.entries("flights/NYC", intervals[2].start, intervals[6].start)
    assert [entry.interval for entry in found] == intervals[2:6]
    last = output.last("flights/NYC")
    assert last is not None
    assert last.interval == intervals[-1]
    assert output.last("nobody") is None
    assert output.entries("nobody", intervals[0].start, intervals[-1].end) == []


def test_the_same_name_for_another_interval_is_refused(tmp_path: Path) -> None:
    """A day of another time zone is not mixed up with that of the first."""
    output = output_at(str(tmp_path))
    write(output, task(), scored(0, 3))
    tokyo = Calendar("daily", ZoneInfo("Asia/Tokyo"), wall=False).containing(DAY.start)
    assert tokyo.label == DAY.label
    with pytest.raises(OutputError, match="in another time zone: set SKDEPLOY_EVENT_TZ"):
        write(output, task(tokyo), scored(0, 3))


def test_other_columns_are_refused(place: Place) -> None:
    """Predictions of another key or another kind of model need another table."""
    output_at(place("out"))
    output_at(place("out"))
    other = ParquetOutput(place("out"))
    with pytest.raises(OutputError, match="have id as int64: they were made for another key"):
        other.prepare({"id": pa.string()}, PREDICTED)
    with pytest.raises(OutputError, match="lack probability_a:"):
        other.prepare(KEYS, PREDICTED.append(pa.field("probability_a", pa.float64())))
    with pytest.raises(OutputError, match="two columns job: rename the key"):
        other.prepare({"job": pa.string()}, PREDICTED)
    other.prepare({"id": pa.dictionary(pa.int8(), pa.int64())}, PREDICTED)
    ParquetOutput(place("new"), table="p").prepare({"id": pa.string()}, PREDICTED, make=False)
    assert list(open_storage(place("new"), "SKDEPLOY_OUTPUT_URL", OutputError).files("")) == []


def test_what_is_no_manifest_is_said(tmp_path: Path) -> None:
    """A broken or newer document is named, and not taken for an interval that was never scored."""
    output = output_at(str(tmp_path))
    write(output, task(), scored(0, 3))
    (path,) = tmp_path.rglob("_manifest.json")
    for content in ("{", "[]", '{"format": 2}', json.dumps({"format": 1, "models": []})):
        path.write_text(content)
        with pytest.raises(OutputError, match=r"_manifest.json cannot be read: .*Another version"):
            output.entries("flights/NYC", DAY.start, DAY.end)
        with pytest.raises(OutputError, match="cannot be read"):
            write(output, task(), scored(0, 3))
