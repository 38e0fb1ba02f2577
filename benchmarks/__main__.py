"""The benchmark beside other servers; `make bench` runs it.

python -m benchmarks run        measure, print, keep results.json, and write tables and pictures
python -m benchmarks report     write tables and pictures from results.json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from benchmarks import command, documents, plots, report, results, session
from benchmarks.documents import Document
from benchmarks.servers import ROOT, SERVERS


def main(argv: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    seconds = ("seconds", 3, "length of a measurement (%(default)s)")
    options = command.parse("python -m benchmarks", __doc__, list(SERVERS), "SERVER", seconds, argv)
    with command.stopped_by_signals():
        if options.verb == "run":
            _run(options)
        else:
            _report(documents.read(results.FILE))


def _run(options: argparse.Namespace) -> None:
    keys = options.only or list(SERVERS)
    document = session.run(keys, options.rounds, options.seconds, extras=not options.only)
    if options.only:
        print(report.latency_table(results.rows(document)))
    else:
        documents.write(document, results.FILE)
        _report(document)


def _report(document: Document) -> None:
    report.write(document)
    plots.draw(document, ROOT / "docs")
    print(*report.sections(document), sep="\n")


if __name__ == "__main__":
    main()
