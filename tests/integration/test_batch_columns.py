"""Tables of PostgreSQL whose columns change between two runs, and the two ways to read one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import skdeploy
from examples.servers.postgres import Postgres
from skdeploy.batch.databases.engines import make_engine, parse_url
from skdeploy.batch.databases.postgres_input import PostgresInput
from skdeploy.batch.databases.relation import relation
from skdeploy.batch.databases.sql_input import SqlInput, Wanted
from skdeploy.batch.intervals import Calendar
from tests.batch.databases import running_postgres
from tests.batch.jobs import Database, records, statuses

pytestmark = pytest.mark.heavy

DAY = ("--interval", "daily", "--at", "2026-03-01")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A real server."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def database(server: Postgres, regressor_file: Path) -> Database:
    """Ninety records of a day, scored once."""
    url = server.create_database(f"trees_{threading.get_native_id()}_{datetime.now(UTC).timestamp()}")
    database = Database(url, regressor_file, settings={"SKDEPLOY_ENGINE": "sklearn"})
    database.fill(records(90, days=1))
    run = database.score_here(*DAY)
    assert run.code == 0, run.stderr
    return database


def values(database: Database) -> dict[int, float]:
    return dict(database.rows("SELECT id, prediction FROM predictions"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP COLUMN age", "The input has no column age. It has id, at, size, kind"),
        ("RENAME COLUMN at TO moment", "The input has no column at"),
        ("ALTER COLUMN at TYPE text", "SKDEPLOY_TIME_COLUMN at is string, no date-time"),
        ("ALTER COLUMN id TYPE text", "has id as BIGINT, not TEXT"),
    ],
)
def test_a_column_that_is_gone_or_another_is_named(database: Database, change: str, said: str) -> None:
    """The exit code is 4, and what was written before is still there."""
    before = database.dump()
    database.execute(f"ALTER TABLE trees {change}")
    run = database.score_here(*DAY, "--reprocess", "all")
    assert run.code == 4
    assert said in run.stderr
    assert database.dump() == before


@pytest.mark.parametrize("column", ["age", "size"])
def test_numbers_that_became_texts_are_rejected(database: Database, column: str) -> None:
    """Each by its cell, with what came: "5" is no 5. A null is still what it was."""
    database.execute(f"ALTER TABLE trees ALTER COLUMN {column} TYPE text")
    nulls = [key for [key] in database.rows(f"SELECT id FROM trees WHERE {column} IS NULL")]
    run = database.score_here(*DAY, "--reprocess", "all")
    assert statuses(run) == ["completed"], run.stderr
    assert run.summary["rows"]["rejected"] == 90 - len(nulls)
    assert sorted(values(database)) == sorted(nulls)
    rejects = database.rows("SELECT DISTINCT column_name, expected, left(got, 8) FROM predictions_rejects")
    assert [row[0] for row in rejects] == [column]
    assert rejects[0][1].startswith({"age": "integer", "size": "number"}[column])
    assert rejects[0][2] == 'string "'


def test_integers_that_became_decimals_are_taken_if_they_are_whole(database: Database) -> None:
    """numeric(9, 2) with 5.00 is 5, and predicts the same; 2.50 is rejected alone."""
    before = values(database)
    database.execute("ALTER TABLE trees ALTER COLUMN age TYPE numeric(9, 2)")
    assert database.score_here(*DAY, "--reprocess", "all").code == 0
    assert values(database) == before
    database.execute("UPDATE trees SET age = 2.5 WHERE id = 7")
    run = database.score_here(*DAY, "--reprocess", "all")
    assert run.summary["rows"] == {"read": 90, "predicted": 89, "rejected": 1}
    assert values(database) == {key: value for key, value in before.items() if key != 7}
    [reject] = database.rows("SELECT row_key, column_name, got FROM predictions_rejects")
    assert reject[:2] == ('{"id": 7}', "age")
    assert "2.5" in reject[2]


def test_an_event_time_that_lost_its_zone_is_a_clocks(database: Database) -> None:
    """SKDEPLOY_EVENT_TZ says whose; without one the run is refused."""
    before = values(database)
    database.execute("ALTER TABLE trees ALTER COLUMN at TYPE timestamp USING at AT TIME ZONE 'Asia/Tokyo'")
    assert database.score_here(*DAY, "--reprocess", "all", SKDEPLOY_EVENT_TZ="").code == 2
    assert (
        database.score_here(*DAY, "--reprocess", "all", SKDEPLOY_EVENT_TZ="UTC").summary["rows"]["read"] < 90
    )
    both = ("--interval", "daily", "--backfill", "2026-03-01", "2026-03-02", "--reprocess", "all")
    assert database.score_here(*both, SKDEPLOY_EVENT_TZ="UTC").code == 0
    assert values(database) == before


def test_both_ways_to_read_a_table_give_the_same_records(database: Database) -> None:
    """ADBC's columns and SQLAlchemy's rows: the same chunks, from the start and from any key on."""
    database.execute("ALTER TABLE trees ADD COLUMN code text, ADD COLUMN day date")
    odd = "(ARRAY['Ž''x', '100%:n', '\\'])[1 + id % 3]"
    database.execute(f"UPDATE trees SET code = {odd}, day = at::date")
    engine = make_engine(parse_url(database.url, "SKDEPLOY_INPUT_URL"), "SKDEPLOY_INPUT_URL", 10)
    schema = skdeploy.load(database.model).schema
    day = Calendar("daily", ZoneInfo("UTC"), wall=False).containing(datetime(2026, 3, 1, tzinfo=UTC))
    for keys in (("id",), ("code", "id"), ("day", "at", "code")):
        wanted = Wanted(source=relation("trees", ""), keys=keys, time_column="at", schema=schema)
        by_columns, by_rows = PostgresInput(engine, wanted), SqlInput(engine, wanted)
        first = _rows(by_columns, day, None)
        assert first == _rows(by_rows, day, None)
        assert len(first) == 90
        middle = tuple(first[40][: len(keys)])
        assert _rows(by_columns, day, middle) == _rows(by_rows, day, middle) == first[41:]


def _rows(records: SqlInput, day: object, after: tuple[object, ...] | None) -> list[list[object]]:
    found: list[list[object]] = []
    for chunk in records.chunks(day, 7, after):  # type: ignore[arg-type]
        cells = [one if isinstance(one, list) else one.to_pylist() for one in chunk.columns.values()]
        found += map(list, zip(*cells, strict=True))
    return found
