"""A database scored by the day: the flights of 2013 in SQLite, a month that the model has not seen.

    make batch-demo                         (python -m examples.batch_demo)
    make batch-demo ARGS="--keep folder"    leaves the database there, to look at
    make batch-demo ARGS="--pictures docs"  puts the picture there

Without --keep all goes into a temporary folder, of which the picture is left.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from calendar import monthrange
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any, Never

import pandas as pd

from examples.flights import baselines, data
from skdeploy.config import DECLARED

_ROOT = Path(__file__).resolve().parents[1]
_SECONDS = 600
_ZONE = "America/New_York"
# A reader's eye: predictions beside what came of them.
_SCORED = f"""
SELECT f.*, p.prediction, p.interval_start FROM predictions_current p
JOIN flights f ON f.{data.KEY} = p.{data.KEY} ORDER BY f.{data.KEY}
"""  # noqa: S608 (names)


class DemoError(Exception):
    """A step failed; it says which and how."""


@dataclass(frozen=True)
class Run:
    """What `python -m batch.score` said, and how long it took, seconds."""

    summary: dict[str, Any]
    seconds: float


def main() -> None:
    """Run every step; the exit code is not 0 if one fails."""
    options = _options()
    # As on Ctrl-C, what was started is ended.
    signal.signal(signal.SIGTERM, _leave)
    with contextlib.ExitStack() as stack:
        if options.keep is None:
            folder = Path(tempfile.mkdtemp(prefix="batch-demo-"))
            stack.callback(_forget_database, folder)
        else:
            folder = options.keep.resolve()
            folder.mkdir(parents=True, exist_ok=True)
        try:
            _run(folder, options)
        except KeyboardInterrupt:
            raise SystemExit("The demo was interrupted.") from None
        except DemoError as error:
            raise SystemExit(f"The demo failed: {error}") from error


def _leave(number: int, _frame: FrameType | None) -> Never:
    sys.exit(128 + number)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.batch_demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--keep", type=Path, metavar="DIR", help="where the database goes, and stays")
    add("--pictures", type=Path, metavar="DIR", help="where the picture goes (beside the database)")
    add("--month", type=int, default=11, choices=range(1, 13), metavar="1-12", help="of 2013 (%(default)s)")
    add("--days", type=int, metavar="N", help="score the first N days of the month alone")
    return parser.parse_args()


def _run(folder: Path, options: argparse.Namespace) -> None:
    database = folder / "flights.db"
    say("Loading the flights of 2013 into SQLite")
    rows = data.flights_table()
    load(database, rows)
    print(f"{database}: {len(rows):,} flights, {database.stat().st_size / 1e6:.0f} MB")
    last = monthrange(2013, options.month)[1]
    first_day, last_day = (
        date(2013, options.month, day) for day in (1, min(last, max(1, options.days or last)))
    )
    say(f"Scoring {first_day:%B} 2013 by day; the model learned from January to October")
    print(f"$ {spelled(database, first_day, last_day)}", flush=True)
    first = score(database, first_day, last_day)
    say("The same command again: what is completed is left alone")
    again = score(database, first_day, last_day)
    statuses = {interval["status"] for interval in again.summary["intervals"]}
    if statuses != {"skipped"}:
        raise DemoError(f"the second run did not leave all alone, but was {', '.join(sorted(statuses))}")
    print(f"{len(again.summary['intervals'])} days skipped, nothing written, {again.seconds:.1f} s")
    say("What came of it")
    scored = with_actual(database, *data.flown(rows[rows["month"] <= data.LAST_TRAINING_MONTH]))
    print(about(first, scored))
    pictures = options.pictures or folder
    print(f"\nThe picture: {draw(pictures, scored, f'{first_day:%B} 2013')}")
    if options.keep:
        print(f"The database: {database}; look at the view predictions_current beside the table flights")


def say(step: str) -> None:
    """Print a step's heading."""
    print(f"\n--- {step}", flush=True)


def load(database: Path, rows: pd.DataFrame) -> None:
    """Make the database anew, with the table `flights`; moments are text, as RFC 3339 has them."""
    _forget(database)
    written = rows.assign(**{data.EVENT_TIME: rows[data.EVENT_TIME].dt.strftime("%Y-%m-%dT%H:%M:%SZ")})
    columns = ", ".join(f"{name} {_sql_type(kind)}" for name, kind in written.dtypes.items())
    places = ", ".join("?" * len(written.columns))
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"CREATE TABLE flights ({columns}, PRIMARY KEY ({data.KEY}))")
        # SQLite keeps a NaN as null.
        connection.executemany(
            f"INSERT INTO flights VALUES ({places})",  # noqa: S608 (question marks)
            written.itertuples(index=False, name=None),
        )


def _sql_type(kind: Any) -> str:
    return {"int64": "INTEGER", "float64": "REAL"}.get(str(kind), "TEXT")


def settings(database: Path) -> dict[str, str]:
    """The job's environment."""
    return {
        "SKDEPLOY_MODEL_URI": "model.bin",
        "SKDEPLOY_INPUT_URL": f"sqlite:///{database}",
        "SKDEPLOY_INPUT_TABLE": "flights",
        "SKDEPLOY_KEY_COLUMNS": data.KEY,
        "SKDEPLOY_TIME_COLUMN": data.EVENT_TIME,
        "SKDEPLOY_EVENT_TZ": _ZONE,
    }


def arguments(first: date, last: date) -> list[str]:
    """The job's command line."""
    return ["-m", "batch.score", "--interval", "daily", "--backfill", str(first), str(last)]


def spelled(database: Path, first: date, last: date) -> str:
    """The job as a shell has it."""
    variables = [f"{name}={shlex.quote(value)} \\\n  " for name, value in settings(database).items()]
    return "".join(variables) + f"python {shlex.join(arguments(first, last))}"


def score(database: Path, first: date, last: date) -> Run:
    """Run the job over the days from `first` to `last`; DemoError if not all of it is done."""
    began = time.monotonic()
    try:
        done = subprocess.run(  # noqa: S603 (our own job)
            [sys.executable, *arguments(first, last)],
            cwd=_ROOT,
            env=_environment(database),
            # Standard error is the terminal's, for the progress.
            stdout=subprocess.PIPE,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DemoError(f"batch.score: {error}") from error
    if done.returncode:
        raise DemoError(f"batch.score ended with {done.returncode}: {done.stdout}")
    return Run(json.loads(done.stdout), time.monotonic() - began)


def _environment(database: Path) -> dict[str, str]:
    # Whatever the environment of the demo says, the job has these settings and no others.
    return {name: value for name, value in os.environ.items() if name not in DECLARED} | settings(database)


def with_actual(database: Path, X_train: pd.DataFrame, y_train: pd.Series) -> pd.DataFrame:
    """The scored flights with `prediction`, `baseline`, and New York's `day` that they were scored with.

    X_train, y_train   what the baseline, the mean by route, is made of
    """
    with contextlib.closing(sqlite3.connect(database)) as connection:
        scored = pd.read_sql_query(_SCORED, connection)
    starts = pd.to_datetime(scored["interval_start"], utc=True).dt.tz_convert(_ZONE)
    route_mean = baselines.route_mean(X_train, y_train, scored[list(data.DESCRIPTIONS)])
    return scored.assign(day=starts.dt.tz_localize(None).dt.normalize(), baseline=route_mean)


def about(run: Run, scored: pd.DataFrame) -> str:
    """What a run did, and how far the predictions were from what came, week by week."""
    rows, model = run.summary["rows"], run.summary["model"]
    busy = sum(interval["seconds"] for interval in run.summary["intervals"])
    flown = scored[data.ACTUAL].notna().sum()
    lines = [
        f"{model['name']} {model['version']}, engine {model['engine']}",
        f"{len(run.summary['intervals'])} days, {rows['read']:,} rows read, {rows['predicted']:,} predicted, "
        f"{rows['rejected']:,} rejected",
        f"{rows['read'] / busy:,.0f} rows/s in {busy:.1f} s; with start and proof {run.seconds:.1f} s",
        f"{flown:,} were flown; {len(scored) - flown:,} were cancelled or diverted, and have no air time",
        "",
        f"{'week':<16}{'flights':>9}{'MAE (min)':>11}{baselines.ROUTE_MEAN:>15}",
    ]
    lines += [_week_line(start, week) for start, week in scored.groupby(pd.Grouper(key="day", freq="W-MON",
              label="left", closed="left"))]  # fmt: skip
    return "\n".join([*lines, _line("all", scored)])


def _week_line(start: Any, week: pd.DataFrame) -> str:
    days = week["day"]
    return _line(f"{days.min():%-d %b} - {days.max():%-d %b}" if len(week) else str(start), week)


def _line(name: str, flights: pd.DataFrame) -> str:
    mean = errors(flights).mean()
    return f"{name:<16}{len(flights):>9,}{mean[baselines.MODEL]:>11.2f}{mean[baselines.ROUTE_MEAN]:>15.2f}"


def errors(flights: pd.DataFrame) -> pd.DataFrame:
    """How far model and baseline are off, minutes; null where nothing was flown."""
    actual = flights[data.ACTUAL]
    return pd.DataFrame(
        {
            baselines.MODEL: (flights["prediction"] - actual).abs(),
            baselines.ROUTE_MEAN: (flights["baseline"] - actual).abs(),
        }
    )


def draw(folder: Path, scored: pd.DataFrame, of: str) -> Path:
    """Write batch-demo.png into `folder`, which is made if need be."""
    # Here, because matplotlib is slow to import.
    from examples.flights import plots

    folder.mkdir(parents=True, exist_ok=True)
    by_day = errors(scored).groupby(scored["day"]).mean()
    flown = scored.dropna(subset=[data.ACTUAL])
    figure = plots.scored(flown[data.ACTUAL], flown["prediction"].to_numpy(), by_day, of)
    return plots.save(figure, folder / "batch-demo.png")


def _forget_database(folder: Path) -> None:
    _forget(folder / "flights.db")
    with contextlib.suppress(OSError):
        folder.rmdir()  # unless the picture is in it


def _forget(database: Path) -> None:
    for path in (database, *(database.with_name(database.name + end) for end in ("-wal", "-shm"))):
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
