"""Score each interval when it has ended: `SKDEPLOY_INTERVAL=daily python -m batch.schedule`."""

from __future__ import annotations

import os
import sys

from skdeploy.signals import leave_when_told

if __name__ == "__main__":
    leave_when_told()
    from skdeploy.batch.scheduled import main
    from skdeploy.command_line import run

    raise SystemExit(run(lambda _, environ: main(environ), sys.argv[1:], os.environ))
