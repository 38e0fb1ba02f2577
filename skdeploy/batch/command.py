"""The command line of `batch/score.py`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime

from skdeploy import command_line
from skdeploy.batch.intervals import KINDS, Calendar, Interval
from skdeploy.batch.job import Job
from skdeploy.batch.opening import Opened, open_job
from skdeploy.batch.plan import Decision, choose, lookback
from skdeploy.batch.progress import Bar
from skdeploy.batch.run import ledger, run
from skdeploy.batch.stopping import told_to_stop
from skdeploy.batch.summary import MEANINGS, code_of, exit_code, report
from skdeploy.errors import BatchError, ModelUnavailable, SettingsError


def main(
    argv: Sequence[str],
    environ: Mapping[str, str],
    *,
    program: str = "python -m batch.score",
    placed: Callable[[Opened], AbstractContextManager[Opened]] = nullcontext,
) -> int:
    """Score intervals; a summary goes to standard output, all else to standard error. The exit code.

    placed   the job where it is to run: a cluster, say
    """
    options = _parser(program).parse_args(argv)
    with told_to_stop() as stop:
        try:
            opened = open_job(environ, stop, interval=options.interval, make_tables=not options.dry_run)
            decisions = _decide(opened, options)
            if options.dry_run:
                _say_what_would_be_done(opened.job, decisions)
                return 0
            with placed(opened) as ready:
                return score(ready, decisions)
        except (SettingsError, ModelUnavailable, BatchError) as error:
            print(f"Nothing is scored: {error}", file=sys.stderr)
            return code_of(error)


def score(opened: Opened, decisions: Sequence[Decision]) -> int:
    """Score what was decided, show progress, and say what came of it."""
    with Bar(opened.job, decisions) as bar:
        job = replace(opened.job, progress=bar.records)
        outcomes = run(job, decisions, bar.interval)
    code = exit_code(outcomes, opened.batch.max_rejected)
    report(opened.batch, job, outcomes, code)
    return code


def _decide(opened: Opened, options: argparse.Namespace) -> list[Decision]:
    """What is scored, in the order in which it is."""
    wanted = _wanted(opened.calendar, options)
    entries = ledger(opened.job, wanted)
    decisions = choose(wanted, entries, options.reprocess)
    if options.lookback:
        earlier = lookback(opened.calendar, min(wanted), options.lookback)
        decisions = [
            Decision(interval, score=True, reason="looked back at", again=True) for interval in earlier
        ] + decisions
    return decisions


def _wanted(calendar: Calendar, options: argparse.Namespace) -> list[Interval]:
    try:
        if options.latest:
            return [calendar.last_ended(datetime.now(UTC))]
        if options.at:
            return [calendar.containing(calendar.parse(options.at))]
        intervals = calendar.between(*map(calendar.parse, options.backfill))
    except ValueError as error:
        raise SettingsError(str(error)) from None
    return intervals[::-1] if options.backwards else intervals


def _say_what_would_be_done(job: Job, decisions: Sequence[Decision]) -> None:
    for decision in decisions:
        rows = f", {job.input.count(decision.interval):,} records" if decision.score else ""
        print(f"{decision.interval.label}: {'score' if decision.score else 'skip'}, {decision.reason}{rows}")
    count = sum(decision.score for decision in decisions)
    print(f"{count} of {len(decisions)} intervals would be scored by {job.model.passport.name} "
          f"{job.model.passport.version}; nothing was written.")  # fmt: skip


def _parser(program: str) -> argparse.ArgumentParser:
    parser = command_line.parser(
        program,
        "Score the records of an interval, or of several. Settings are environment variables: "
        "batch/README.md lists them.",
        MEANINGS,
    )
    parser.add_argument("--interval", choices=KINDS, help="the length of intervals (SKDEPLOY_INTERVAL)")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--at", metavar="MOMENT", help="the interval that contains this date or date-time")
    which.add_argument("--latest", action="store_true", help="the latest interval that has ended")
    which.add_argument(
        "--backfill", nargs=2, metavar=("FROM", "TO"), help="all intervals from one to another, both included"
    )
    parser.add_argument("--backwards", action="store_true", help="with --backfill: the latest first")
    parser.add_argument(
        "--reprocess",
        choices=("completed", "failed", "all"),
        help="score intervals that are completed, or those that failed, or all, and replace what is there; "
        "without it those that are not completed",
    )
    parser.add_argument(
        "--lookback", type=int, default=0, metavar="N",
        help="score the N intervals before as well, again, for records that came late",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    return parser
