"""The command lines of the benchmarks: run, report."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import documents
from benchmarks.documents import Document
from benchmarks.processes import BenchmarkError
from examples.servers.process import ServerError


@dataclass(frozen=True)
class Suite:
    """A benchmark of contestants over so many rows, or events.

    about     the help's beginning
    size      what is counted, and how many of them a run that is kept has
    measure   contestants, rounds and size -> what was found
    file      where that is kept
    write     writes it into the documents; `section` is the text
    """

    program: str
    about: str | None
    contestants: Sequence[str]
    size: tuple[str, int]
    measure: Callable[[Sequence[str], int, int], Document]
    file: Path
    write: Callable[[Document], None]
    section: Callable[[Document], str]


def main(suite: Suite, argv: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    name, size = suite.size
    note = "with other than %(default)s nothing is kept"
    only = ("CONTESTANT", "measure these and keep nothing")
    options = parser(suite.program, suite.about, suite.contestants, only, (name, size, note))[0].parse_args(
        argv
    )
    kept = options.verb == "report" or (not options.only and getattr(options, name) == size)
    with stopped_by_signals():
        if options.verb == "report":
            document = documents.read(suite.file)
        else:
            chosen = options.only or suite.contestants
            document = suite.measure(chosen, options.rounds, getattr(options, name))
    if kept:
        documents.write(document, suite.file)
        suite.write(document)
    print(suite.section(document))


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Servers are stopped where the stack unwinds: SIGTERM must unwind it, too. What went wrong is said."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        yield
    except (BenchmarkError, ServerError) as error:
        raise SystemExit(f"The benchmark has ended: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit("The benchmark was interrupted; nothing is kept.") from None


def parser(
    program: str,
    about: str | None,
    keys: Sequence[str],
    only: tuple[str, str],
    size: tuple[str, int, str],
) -> tuple[argparse.ArgumentParser, Any]:
    """The options of run and report, and where further verbs are added.

    keys   what can be measured alone
    only   what one of them is called, and the help of choosing some
    size   the name, the default and the help of how much is measured
    """
    whole = argparse.ArgumentParser(
        prog=program, description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = whole.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="measure")
    run.add_argument("--rounds", type=int, default=3, help="how often each is measured (%(default)s)")
    name, default, meaning = size
    run.add_argument(f"--{name}", type=int, default=default, help=meaning)
    key, choosing = only
    run.add_argument(
        "--only", nargs="+", choices=list(keys), metavar=key, help=f"{choosing}: {', '.join(keys)}"
    )
    verbs.add_parser("report", help="write what the documents have from results.json")
    return whole, verbs
