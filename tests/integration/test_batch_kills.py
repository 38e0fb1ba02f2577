"""A job that is killed with SIGKILL, at any moment, and run again: nothing tells it from one that was not."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.batch.databases import running_postgres
from tests.batch.forking import Died, Forks, forks
from tests.batch.jobs import Database, records

pytestmark = pytest.mark.heavy

DAY = ("--interval", "daily", "--at", "2026-03-01")
HELD = 5
# Many chunks, so that most moments are between two of them or within one.
SMALL = {"SKDEPLOY_CHUNK_RECORDS": "20", "SKDEPLOY_ENGINE": "sklearn"}
WAYS = {"whole": {"SKDEPLOY_LARGE_INTERVAL": "1000000"}, "staged": {"SKDEPLOY_LARGE_INTERVAL": "0"}}


def fill(database: Database) -> Database:
    """600 records of a day, some of them bad."""
    database.fill(records(600, days=1))
    database.execute("UPDATE trees SET kind = 'palm' WHERE id % 50 = 3")
    return database


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory, regressor_file: Path) -> Iterator[Database]:
    """A database on a real server."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield fill(Database(server.create_database("trees"), regressor_file, settings=SMALL))


@pytest.fixture
def sqlite(tmp_path: Path, regressor_file: Path) -> Database:
    """A database in a file."""
    return fill(Database(f"sqlite:///{tmp_path / 'trees.db'}", regressor_file, settings=SMALL))


@dataclass
class Killing:
    """Kills jobs over one database, and runs them again."""

    database: Database
    forks: Forks
    name: str
    settings: Mapping[str, str]
    resumed: int = 0
    killed: int = 0

    def run(self, table: str, kill_after: float | None = None) -> Died:
        environ = self.database.environment(SKDEPLOY_OUTPUT_TABLE=table, **self.settings)
        return self.forks.run(DAY, environ, kill_after)

    def undisturbed(self) -> tuple[dict[str, str], float]:
        """What a run leaves that nobody kills, and how long one takes at least."""
        runs = [self.run(f"undisturbed_{self.name}_{place}") for place in range(3)]
        assert [run.code for run in runs] == [0, 0, 0], runs[0].stderr
        dumps = [self.database.dump(f"undisturbed_{self.name}_{place}") for place in range(3)]
        assert dumps[0] == dumps[1] == dumps[2]
        assert dumps[0]["predictions"].count("\n") == 587
        assert dumps[0]["rejects"].count("\n") == 11
        return dumps[0], min(run.seconds for run in runs)

    def kill_and_run_again(self, table: str, moment: float) -> dict[str, str]:
        self.killed += self.run(table, moment).code == -9
        done = self._until_completed(table)
        [interval] = done.summary["intervals"]
        self.resumed += interval.get("resumed", False)
        return self.database.dump(table)

    def _until_completed(self, table: str) -> Died:
        """A server needs a moment to see that a client is dead, whose lock then is gone."""
        deadline = time.monotonic() + 20
        while (done := self.run(table)).code == HELD:
            assert time.monotonic() < deadline, "a dead run's lock stays"
        assert done.code == 0, done.stderr
        return done


def disturb(database: Database, folder: Path, name: str, kills: int) -> Killing:
    """Kill at a random moment of each `kills`th part of a job's time, each time over new tables."""
    settings = WAYS[name]
    with forks(folder, database.environment()) as forked:
        killing = Killing(database, forked, name, settings)
        expected, seconds = killing.undisturbed()
        moments = random.Random(20260301)
        for place in range(kills):
            moment = (place + moments.random()) / kills * seconds
            left = killing.kill_and_run_again(f"killed_{name}_{place}", moment)
            assert left == expected, f"killed after {moment} of {seconds} seconds of CPU time"
    # Some end before their moment.
    assert killing.killed >= kills * 0.8
    return killing


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("way", WAYS)
def test_kills_over_postgres(postgres: Database, tmp_path: Path, way: str, kills: int) -> None:
    """Predictions, rejects and ledger are equal to the undisturbed run's; staged ones are gone on with."""
    killing = disturb(postgres, tmp_path, way, kills)
    assert (killing.resumed > kills / 10) if way == "staged" else (killing.resumed == 0)


@pytest.mark.parametrize("kills", [5, pytest.param(30, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("way", WAYS)
def test_kills_over_sqlite(sqlite: Database, tmp_path: Path, way: str, kills: int) -> None:
    """The same where the database is a file, which the dead process had open."""
    disturb(sqlite, tmp_path, way, kills)
    assert list(tmp_path.glob("*.lock")) == []
