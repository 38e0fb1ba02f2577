"""The benchmark beside other servers; `make bench` runs it.

python -m benchmarks run        measure, print, keep results.json, and write tables and pictures
python -m benchmarks report     write tables and pictures from results.json
python -m benchmarks profile    measure what a request's time is made of, and write that table
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from benchmarks import command, documents, plots, profiling, report, results, session
from benchmarks.documents import Document
from benchmarks.servers import ROOT, SERVERS

_SECONDS = 3


def main(argv: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    options = _parser().parse_args(argv)
    with command.stopped_by_signals():
        if options.verb == "run":
            _run(options)
        elif options.verb == "profile":
            print(profiling.write(options.requests))
        else:
            _report(documents.read(results.FILE))


def _parser() -> argparse.ArgumentParser:
    only = ("SERVER", "measure these, and keep the others' results of earlier runs")
    seconds = ("seconds", _SECONDS, "length of a measurement; with other than %(default)s nothing is kept")
    parser, verbs = command.parser("python -m benchmarks", __doc__, list(SERVERS), only, seconds)
    profile = verbs.add_parser("profile", help="measure what a request's time is made of")
    profile.add_argument("--requests", type=int, default=5000, help="how many are profiled (%(default)s)")
    return parser


def _run(options: argparse.Namespace) -> None:
    keys = options.only or list(SERVERS)
    measured = session.run(keys, options.rounds, options.seconds, with_columns=not options.only)
    if options.seconds != _SECONDS:
        print(*report.sections(measured), sep="\n")
        return
    document = documents.merged(documents.read(results.FILE), measured)
    documents.write(document, results.FILE)
    _report(document)


def _report(document: Document) -> None:
    report.write(document)
    plots.draw(document, ROOT / "docs")
    print(*report.sections(document), sep="\n")


if __name__ == "__main__":
    main()
