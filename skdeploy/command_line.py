"""What the command lines share: exit codes in the help, and the lines of the log."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping


def parser(program: str, description: str, meanings: Mapping[int, str]) -> argparse.ArgumentParser:
    """A parser whose help ends with what the exit codes mean."""
    codes = "\n".join(f"  {code:3}  {meaning}" for code, meaning in meanings.items())
    return argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def log_to_stderr(level: str = "info") -> None:
    """Lines with time and level, from `level` on."""
    logging.basicConfig(
        level=level.upper(),
        format="[%(asctime)s] [%(levelname)s] %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S %z",
    )
