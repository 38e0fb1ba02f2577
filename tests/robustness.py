"""What the tests of robustness saw, as the tables of docs/robustness.md.

A test marked `@pytest.mark.robustness(kind, what)` asks for the fixture `fact` and calls it when all of its
assertions hold. `python -m tests.robustness` (make robustness-table) runs those tests and writes the tables.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.live import ROOT

DOCUMENT = ROOT / "docs" / "robustness.md"
# A folder for what is seen; nothing is written where it is not set.
VARIABLE = "ROBUSTNESS_FACTS"
MARK = "pytest.mark.robustness("
HEADS = {
    "bad input": ("sent", "answer", "test"),
    "fault": ("fault", "what came of it", "answered", "lost", "test"),
    "load": ("load", "what came of it", "answered", "lost", "test"),
}


@dataclass(frozen=True)
class Fact:
    """What one test saw; `answered` and `lost` are of a load's requests, and None without one."""

    kind: str
    what: str
    test: str
    result: str
    answered: int | None = None
    lost: int | None = None


def name_of(node: str) -> str:
    """A test's name in the table: its file's name and its own."""
    path, colons, case = node.partition("::")
    return path.rpartition("/")[2] + colons + case


def keep(fact: Fact) -> None:
    """Append a fact to this process's file, if somebody asked for facts."""
    if folder := os.environ.get(VARIABLE):
        with (Path(folder) / f"{os.getpid()}.jsonl").open("a") as file:
            file.write(json.dumps(asdict(fact)) + "\n")


def read(folder: Path) -> list[Fact]:
    """All facts of a run; of two of one test the last."""
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    facts = [Fact(**json.loads(line)) for line in lines]
    return list({fact.test: fact for fact in facts}.values())


def recorded_tests() -> list[str]:
    """The names of the tests that are marked, in the order in which pytest collects them."""
    # All other files would be imported for nothing.
    files = [str(path) for path in sorted((ROOT / "tests").rglob("test_*.py")) if MARK in path.read_text()]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "robustness", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name_of(line) for line in done.stdout.splitlines() if "::" in line]


def documented_tests(document: str) -> list[str]:
    """The names of the tests that have a row."""
    return sorted(
        match[1].replace("&#124;", "|") for match in re.finditer(r"\| `([^`]+::[^`]+)` \|\n", document)
    )


def table(kind: str, facts: Iterable[Fact]) -> str:
    """Markdown: a row for each fact of the kind, in the order of the tests' files."""
    heads = HEADS[kind]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for fact in facts:
        cells = [fact.what, fact.result]
        if len(heads) > 3:
            cells += ["" if n is None else f"{n:,}" for n in (fact.answered, fact.lost)]
        cells = [_cell(one) for one in [*cells, f"`{fact.test}`"]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "&#124;").replace("\n", " ")


def write_tables(facts: Sequence[Fact], order: Sequence[str]) -> None:
    """Put the tables between their markers in the document."""
    document = DOCUMENT.read_text()
    place = {test: number for number, test in enumerate(order)}
    for kind in HEADS:
        rows = sorted((fact for fact in facts if fact.kind == kind), key=lambda fact: place[fact.test])
        begin, end = f"<!-- {kind} -->\n", f"<!-- end of {kind} -->"
        before, _, rest = document.partition(begin)
        _, _, after = rest.partition(end)
        document = f"{before}{begin}\n{table(kind, rows)}\n\n{end}{after}"
    ran = datetime.now(UTC).strftime("%d %B %Y")
    lead = f"Seen on {ran}, with {os.cpu_count()} CPUs and other work beside the tests."
    DOCUMENT.write_text(re.sub(r"^Seen on.*", lead, document, flags=re.MULTILINE))


def main() -> int:
    """Run the tests, and write the tables if all passed; the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n",
            "2",
            "--dist",
            "loadfile",
            "-m",
            "robustness",
            "tests",
        ]
        code = subprocess.run(command, cwd=ROOT, env=os.environ | {VARIABLE: folder}, check=False).returncode
        if code == 0:
            facts = read(Path(folder))
            write_tables(facts, recorded_tests())
            print(f"{DOCUMENT.name}: {len(facts)} rows")
    return code


if __name__ == "__main__":
    sys.exit(main())
