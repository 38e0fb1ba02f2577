"""What the command lines share: exit codes in the help, and the log."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Mapping, Sequence

from skdeploy.config import LogSettings
from skdeploy.errors import SettingsError


def parser(program: str, description: str, meanings: Mapping[int, str]) -> argparse.ArgumentParser:
    """A parser whose help ends with what the exit codes mean."""
    codes = "\n".join(f"  {code:3}  {meaning}" for code, meaning in meanings.items())
    return argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run(
    main: Callable[[Sequence[str], Mapping[str, str]], int], argv: Sequence[str], environ: Mapping[str, str]
) -> int:
    """Run a command whose log goes to standard error, from SKDEPLOY_LOG_LEVEL on; the exit code."""
    try:
        level = LogSettings.from_env(environ).log_level
    except SettingsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    logging.basicConfig(
        level=level.upper(),
        format="[%(asctime)s] [%(levelname)s] %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S %z",
    )
    return main(argv, environ)
