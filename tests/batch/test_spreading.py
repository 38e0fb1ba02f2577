"""An interval that many attempts write: what counts of it, in tables and in files."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from skdeploy.batch.databases.engines import make_engine, parse_url
from skdeploy.batch.databases.sql_output import SqlOutput
from skdeploy.batch.files.output import ParquetOutput
from skdeploy.batch.spreading import Attempt, Receipt, Stage
from skdeploy.errors import IntervalHeld, OutputError
from tests.batch.databases import running_postgres
from tests.batch.files.writing import DAY, KEYS, PREDICTED, Seen, output_at, scored, task

Output = SqlOutput | ParquetOutput
Predictions = Callable[[], list[float]]


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(params=["files", pytest.param("tables", marks=pytest.mark.heavy)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Output, Predictions]:
    """An output, and what is read from it."""
    if request.param == "files":
        return output_at(str(tmp_path)), Seen(str(tmp_path)).predictions
    url = request.getfixturevalue("postgres").create_database(tmp_path.name)
    engine = make_engine(parse_url(url, "SKDEPLOY_OUTPUT_URL"), "SKDEPLOY_OUTPUT_URL", 1)
    output = SqlOutput(engine, "predictions")
    output.prepare(KEYS, PREDICTED)

    def predictions() -> list[float]:
        with engine.connect() as connection:
            rows = connection.execute(sa.text("SELECT prediction FROM predictions ORDER BY id"))
            return [row[0] for row in rows]

    return output, predictions


def _attempt(stage: Stage, name: str, part: int, *chunks: tuple[int, int], plus: float = 0.0) -> Receipt:
    """As an executor does it: the stage comes pickled, the receipt goes as text."""
    sent: Stage = pickle.loads(pickle.dumps(stage))
    with sent.writing(Attempt(part, name)) as writing:
        for start, stop in chunks:
            writing.write(scored(start, stop, plus=plus, rejects=1))
        return Receipt.from_text(writing.close().to_text())


def test_only_the_attempts_of_the_receipts_count(place: tuple[Output, Predictions]) -> None:
    """A second attempt at a part, and one that nobody waits for, leave nothing, whatever they wrote."""
    output, predictions = place
    with output.spreading(task()) as spreading:
        second = _attempt(spreading.stage, "b", 1, (100, 150), (150, 200))
        _attempt(spreading.stage, "a", 0, (0, 100), plus=0.5)
        first = _attempt(spreading.stage, "c", 0, (0, 100))
        spreading.finish([second, first])
    assert predictions() == [key for key in map(float, range(200)) if key not in (99, 149, 199)]
    [entry] = output.entries(task().job, DAY.start, DAY.end)
    assert (entry.status, entry.counts.read, entry.counts.rejected) == ("completed", 200, 3)


def test_an_interval_that_is_left_is_as_it_was(place: tuple[Output, Predictions]) -> None:
    """Parts are written and nobody finishes: the predictions of the run before stand."""
    output, predictions = place
    with output.spreading(task()) as spreading:
        spreading.finish([_attempt(spreading.stage, "a", 0, (0, 10))])
    with output.spreading(task()) as spreading:
        _attempt(spreading.stage, "b", 0, (0, 5), plus=0.5)
    assert predictions() == list(map(float, range(9)))


def test_one_machine_and_a_cluster_replace_each_other(place: tuple[Output, Predictions]) -> None:
    """Also where the other died half-way."""
    output, predictions = place
    with output.spreading(task()) as spreading:
        _attempt(spreading.stage, "dies", 0, (0, 5))
        spreading.undo = lambda: None  # type: ignore[attr-defined]
    with output.writing(task(), large=True) as writing:
        writing.write(scored(0, 20))
        writing.finish()
    assert predictions() == list(map(float, range(20)))
    with output.spreading(task()) as spreading:
        spreading.finish([_attempt(spreading.stage, "a", 0, (0, 10))])
    assert predictions() == list(map(float, range(9)))


def test_one_run_at_a_time(place: tuple[Output, Predictions]) -> None:
    """Another one is told at once, whichever kind it is."""
    output, _ = place
    with (
        output.spreading(task()),
        pytest.raises(IntervalHeld),
        output.writing(task(), large=False),
    ):
        pass


def test_an_interval_without_records_is_completed(place: tuple[Output, Predictions]) -> None:
    """No receipts, no predictions, one entry."""
    output, predictions = place
    with output.spreading(task()) as spreading:
        spreading.finish([_attempt(spreading.stage, "a", 0, (0, 10))])
    with output.spreading(task()) as spreading:
        spreading.finish([])
    [entry] = output.entries(task().job, DAY.start, DAY.end)
    assert (entry.status, entry.counts.read) == ("completed", 0)
    if isinstance(output, SqlOutput):
        assert predictions() == []


@pytest.mark.heavy
def test_an_attempt_that_nobody_waits_for_holds_nobody_up(postgres: Any) -> None:
    """Its transaction is open while the interval is finished, and fails or comes to nothing after."""
    url = postgres.create_database("zombie")
    output = SqlOutput(
        make_engine(parse_url(url, "SKDEPLOY_OUTPUT_URL"), "SKDEPLOY_OUTPUT_URL", 1), "predictions"
    )
    output.prepare(KEYS, PREDICTED)
    with output.spreading(task()) as spreading, spreading.stage.writing(Attempt(0, "zombie")) as zombie:
        zombie.write(scored(0, 10, plus=0.5))
        spreading.finish([_attempt(spreading.stage, "a", 0, (0, 10))])
        zombie.close()
    engine = make_engine(parse_url(url, "SKDEPLOY_OUTPUT_URL"), "SKDEPLOY_OUTPUT_URL", 1)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT sum(prediction) FROM predictions")).scalar_one() == 36
    # What could not be dropped is dropped by whoever scores the interval next.
    with output.spreading(task()) as spreading:
        spreading.finish([_attempt(spreading.stage, "b", 0, (0, 10))])
    assert not [name for name in sa.inspect(engine).get_table_names() if "staging" in name]


@pytest.mark.heavy
def test_rows_that_are_not_there_are_missed(postgres: Any) -> None:
    """A receipt for what was never committed fails the interval."""
    url = postgres.create_database("missed")
    output = SqlOutput(
        make_engine(parse_url(url, "SKDEPLOY_OUTPUT_URL"), "SKDEPLOY_OUTPUT_URL", 1), "predictions"
    )
    output.prepare(KEYS, PREDICTED)
    with output.spreading(task()) as spreading:
        receipt = _attempt(spreading.stage, "a", 0, (0, 10))
        forged = Receipt(Attempt(0, "forged"), receipt.counts)
        with pytest.raises(OutputError, match="0 predictions are staged, and 9 should be"):
            spreading.finish([forged])


def test_files_of_another_machine_are_missed(tmp_path: Path) -> None:
    """Executors that write to a folder of the same name on a disk of their own fail the interval."""
    output = output_at(str(tmp_path))
    with output.spreading(task()) as spreading:
        receipt = _attempt(spreading.stage, "a", 0, (0, 10))
        for name in Seen(str(tmp_path)).names():
            (tmp_path / name).unlink()
        with pytest.raises(OutputError, match="a folder that all machines share"):
            spreading.finish([receipt])


def test_a_cluster_does_not_write_to_sqlite(tmp_path: Path) -> None:
    """A file of one machine; nothing is read before it is said."""
    engine = make_engine(
        parse_url(f"sqlite:///{tmp_path}/p.db", "SKDEPLOY_OUTPUT_URL"), "SKDEPLOY_OUTPUT_URL", 1
    )
    output = SqlOutput(engine, "predictions")
    output.prepare({"id": pa.int64()}, PREDICTED)
    with pytest.raises(OutputError, match="cannot write to SQLite"), output.spreading(task()):
        pass
