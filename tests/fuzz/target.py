"""A coverage-guided run over the readers, as a process of its own: atheris instruments what it imports.

    python -m tests.fuzz.target --seconds 60 --findings tests/fuzz/cases

What breaks an invariant ends the run with an error, and is a file in the folder of findings. It stays there,
as a case that tests/fuzz/test_fuzz.py replays.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["skdeploy.schema"]):
    from tests.fuzz.examining import examine
    from tests.fuzz.mutating import mutate

HERE = Path(__file__).parent


def mutated(content: bytes, longest: int, seed: int) -> bytes:
    """Another input of at most `longest` bytes: half of them by tokens, half as libFuzzer makes them."""
    chance = random.Random(seed)
    if content and chance.random() < 0.5:
        content = mutate(content, chance)[:longest]
        if chance.random() < 0.7:
            return content
    changed: bytes = atheris.Mutate(content, longest)
    return changed


def main() -> None:
    """Read the options, and fuzz until the time is up or something is found."""
    parser = argparse.ArgumentParser(description="Fuzz the readers of records.")
    parser.add_argument("--seconds", type=int, default=60, help="how long (60)")
    parser.add_argument("--findings", type=Path, default=HERE / "cases", help="where a finding is written")
    parser.add_argument("--corpus", type=Path, required=True, help="a folder that grows from run to run")
    parser.add_argument("--seed", type=int, default=0, help="of the chance; 0 is another in each run")
    options = parser.parse_args()
    for folder in (options.findings, options.corpus):
        folder.mkdir(parents=True, exist_ok=True)
    arguments = [
        sys.argv[0],
        str(options.corpus),
        str(HERE / "seeds"),
        str(HERE / "cases"),
        f"-max_total_time={options.seconds}",
        f"-artifact_prefix={options.findings}/",
        f"-dict={HERE / 'json.dict'}",
        f"-seed={options.seed}",
        # Seconds for one input, megabytes for all, bytes of an input.
        "-timeout=10",
        "-rss_limit_mb=1024",
        "-max_len=4096",
        "-print_final_stats=1",
    ]
    atheris.Setup(arguments, examine, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
