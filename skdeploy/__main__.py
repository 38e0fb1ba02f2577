"""`python -m skdeploy` is `skdeploy`: see skdeploy/cli.py."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Run the command of `sys.argv`."""
    # The current folder comes last, for modules that a model needs: `python -m` puts it first, where a file
    # in it takes the place of a package.
    folder = str(Path.cwd())
    sys.path[:] = [*(entry for entry in sys.path if entry not in ("", folder)), folder]
    try:
        from skdeploy.cli import cli
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        raise SystemExit("click is not installed: run pip install 'skdeploy[serve]'") from None

    arguments = sys.argv[1:]
    if sys.argv[0] == __file__:
        # gunicorn starts itself anew with these on SIGUSR2.
        sys.argv[0:1] = ["-m", "skdeploy"]
    cli(arguments, prog_name="skdeploy")


if __name__ == "__main__":
    main()
