"""What the fuzzer started from and what it found, again; and a run of it."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from skdeploy.errors import InvalidRecord, MalformedBody, TooManyRecords
from tests.fuzz.examining import BOUNDED, WAYS, examine
from tests.live import ROOT

HERE = ROOT / "tests" / "fuzz"
INPUTS = sorted(path for folder in ("seeds", "cases") for path in (HERE / folder).iterdir())
# A busy CPU does 430 in a second: fewer than these would be a fuzzer that hangs.
FEWEST = 33


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_stays_mended(path: Path) -> None:
    """Seeds and findings keep every invariant of the readers."""
    examine(path.read_bytes())


def test_the_seeds_reach_every_outcome() -> None:
    """A fuzzer that starts from refusals alone, or from acceptances alone, gets nowhere."""
    seen: set[object] = set()
    for content in (path.read_bytes() for path in INPUTS):
        both, _ = BOUNDED[content[0] % len(WAYS)]
        try:
            seen.add("good" if not both.read_json(content[1:]).bad else "bad")
        except (MalformedBody, InvalidRecord, TooManyRecords) as error:
            seen.add(type(error))
    assert seen == {"good", "bad", MalformedBody, InvalidRecord, TooManyRecords}


def test_halves_that_differ_are_noticed() -> None:
    """The examination can fail: of a reader that ignores an unknown column, and one that does not."""
    content = (HERE / "seeds" / "ignoring").read_bytes()
    for one, other in itertools.permutations((BOUNDED[0], BOUNDED[1])):
        with pytest.raises(AssertionError):
            examine(content, [(one[0], other[1])] * len(WAYS))
    examine(content)


@pytest.mark.parametrize(
    ("seconds", "seed"),
    [pytest.param(20, 1, marks=pytest.mark.heavy), pytest.param(300, 0, marks=pytest.mark.nightly)],
    ids=["one seed", "a new seed"],
)
def test_a_run_finds_nothing(tmp_path: Path, seconds: int, seed: int) -> None:
    """Atheris over the readers, guided by what it covers: no invariant breaks."""
    found = tmp_path / "found"
    # To the kernel a parent's memory is its child's peak, which libFuzzer limits: hence a shell between them.
    shell = ["sh", "-c", '"$@"; exit $?', "sh"]
    # One seed makes runs of the same code alike; 0 stands for another one in each run.
    options = ["--seconds", str(seconds), "--seed", str(seed)]
    command = [*shell, sys.executable, "-m", "tests.fuzz.target", *options]
    done = subprocess.run(
        [*command, "--findings", str(found), "--corpus", str(tmp_path / "corpus")],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=seconds + 120,
        check=False,
    )
    findings = [f"{path.name}: {path.read_bytes()!r}" for path in found.iterdir()]
    assert not findings, (findings, done.stderr[-3000:])
    assert done.returncode == 0, done.stderr[-3000:]
    executed = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert executed is not None, done.stderr[-3000:]
    assert int(executed[1]) > FEWEST * seconds
