"""The benchmark beside other servers; `make bench` runs it.

python -m benchmarks run        measure, print, keep results.json, and write tables and pictures
python -m benchmarks report     write tables and pictures from results.json
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from benchmarks import plots, report, results, session
from benchmarks.processes import BenchmarkError
from benchmarks.servers import ROOT, SERVERS


def main(argv: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    options = _options(argv)
    # The servers are stopped where the stack unwinds: a SIGTERM must unwind it, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        if options.verb == "run":
            _run(options)
        else:
            _report(results.read())
    except BenchmarkError as error:
        raise SystemExit(f"The benchmark has ended: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit("The benchmark was interrupted; nothing is kept.") from None


def _run(options: argparse.Namespace) -> None:
    keys = options.only or list(SERVERS)
    document = session.run(keys, options.rounds, options.seconds, extras=not options.only)
    if options.only:
        print(report.latency_table(results.rows(document)))
    else:
        results.write(document)
        _report(document)


def _report(document: results.Document) -> None:
    report.write(document)
    plots.draw(document, ROOT / "docs")
    print(*report.sections(document), sep="\n")


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="measure")
    run.add_argument("--rounds", type=int, default=3, help="how often each server is measured (%(default)s)")
    run.add_argument("--seconds", type=int, default=3, help="length of a measurement (%(default)s)")
    run.add_argument(
        "--only",
        nargs="+",
        choices=list(SERVERS),
        metavar="SERVER",
        help=f"measure these and keep nothing: {', '.join(SERVERS)}",
    )
    verbs.add_parser("report", help="write tables and pictures from results.json")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
