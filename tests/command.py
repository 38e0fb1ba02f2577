"""The command line, run in the tests' own process."""

from __future__ import annotations

from click.testing import CliRunner, Result

from skdeploy.cli import cli


def command(*arguments: str, **environ: str) -> Result:
    """What `skdeploy ARGUMENTS` says and ends with, in an environment with these variables."""
    return CliRunner().invoke(cli, arguments, env=environ, catch_exceptions=False, prog_name="skdeploy")
