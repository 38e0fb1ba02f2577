"""How much memory a job needs for a large interval, and one bad record among a million."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.batch.databases import running_postgres
from tests.batch.jobs import Database, Finished, finished

pytestmark = pytest.mark.heavy

WAYS = {"whole": {"SKDEPLOY_LARGE_INTERVAL": "100000000"}, "staged": {"SKDEPLOY_LARGE_INTERVAL": "0"}}
POISON = 777_777
MB = 1024


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, regressor_file: Path) -> Iterator[Database]:
    """A day of 100,000 records and one of 1,000,000, of which one is bad."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        database = Database(server.create_database("trees"), regressor_file)
        database.records_table().create(database.engine())
        for day, first, count in (("2026-03-01", 2_000_000, 100_000), ("2026-03-02", 0, 1_000_000)):
            database.execute(
                f"INSERT INTO trees SELECT {first} + i, "
                f"'{day}'::timestamptz + i % 86400 * interval '1 second', "
                f"10 + i % 17 / 4.0, (ARRAY['ash', 'elm', 'oak'])[1 + i % 3], 1 + i % 8 "
                f"FROM generate_series(0, {count - 1}) i"
            )
        database.execute(f"UPDATE trees SET kind = 'palm' WHERE id = {POISON}")
        database.execute("ANALYZE trees")
        yield database


@dataclass(frozen=True)
class Measured:
    """A run, and the most memory that its process ever had, in KB."""

    run: Finished
    peak: int


def measured(database: Database, day: str, way: str) -> Measured:
    """Score a day, in a process of its own."""
    process = database.start(
        "--interval", "daily", "--at", day, SKDEPLOY_OUTPUT_TABLE=f"{way}_out", **WAYS[way]
    )
    peak = 0
    with process:
        while process.poll() is None:
            peak = max(peak, _peak(process.pid))
            time.sleep(0.02)
        return Measured(finished(process), peak)


def _peak(pid: int) -> int:
    """VmHWM, which only grows; a process that is just ending has none."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


@pytest.mark.parametrize("way", WAYS)
def test_a_million_records_need_no_more_memory_than_a_hundred_thousand(database: Database, way: str) -> None:
    """Nor more than 600 MB; and the one bad record among them is rejected alone."""
    small = measured(database, "2026-03-01", way)
    large = measured(database, "2026-03-02", way)
    assert (small.run.code, large.run.code) == (0, 0), large.run.stderr
    assert small.run.summary["rows"] == {"read": 100_000, "predicted": 100_000, "rejected": 0}
    assert large.run.summary["rows"] == {"read": 1_000_000, "predicted": 999_999, "rejected": 1}
    assert large.peak < small.peak * 1.1 + 10 * MB, f"{large.peak} KB beside {small.peak} KB"
    assert large.peak < 600 * MB
    rejects = database.rows(f"SELECT row_key, column_name, got FROM {way}_out_rejects")
    assert rejects == [(f'{{"id": {POISON}}}', "kind", 'string "palm" (not seen in training)')]
    [[count, total]] = database.rows(f"SELECT count(*), sum(id) FROM {way}_out WHERE id < 2000000")
    assert (count, total) == (999_999, 999_999 * 500_000 - POISON)
