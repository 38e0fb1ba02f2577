"""The stream door's benchmark; `make bench-stream` runs it.

python -m benchmarks.stream run        measure, print, keep results.json, and write the tables
python -m benchmarks.stream report     write the tables from results.json
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from benchmarks.processes import BenchmarkError
from benchmarks.stream import report, results, session
from benchmarks.stream.contestants import CONTESTANTS
from examples.servers.process import ServerError

EVENTS = 300_000


def main(argv: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    options = _options(argv)
    # The server is stopped where the stack unwinds: a SIGTERM must unwind it, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        document = _measured(options) if options.verb == "run" else results.read()
    except (BenchmarkError, ServerError) as error:
        raise SystemExit(f"The benchmark has ended: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit("The benchmark was interrupted; nothing is kept.") from None
    if options.verb == "report" or not _partial(options):
        report.write(document)
    print(report.section(document))


def _measured(options: argparse.Namespace) -> results.Document:
    document = session.run(options.only or list(CONTESTANTS), options.rounds, options.events)
    if not _partial(options):
        results.write(document)
    return document


def _partial(options: argparse.Namespace) -> bool:
    return bool(options.only) or options.events != EVENTS


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stream",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="measure")
    run.add_argument("--rounds", type=int, default=3, help="how often each is measured (%(default)s)")
    run.add_argument("--events", type=int, default=EVENTS, help="with other than %(default)s nothing is kept")
    run.add_argument(
        "--only",
        nargs="+",
        choices=list(CONTESTANTS),
        metavar="CONTESTANT",
        help=f"measure these and keep nothing: {', '.join(CONTESTANTS)}",
    )
    verbs.add_parser("report", help="write the tables from results.json")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
