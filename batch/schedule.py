"""Score each interval when it has ended: `INTERVAL=daily python -m batch.schedule`."""

from __future__ import annotations

import os

from skdeploy.signals import leave_when_told

if __name__ == "__main__":
    leave_when_told()
    from skdeploy.batch.scheduled import main
    from skdeploy.command_line import log_to_stderr

    log_to_stderr(os.environ.get("LOG_LEVEL") or "info")
    raise SystemExit(main(os.environ))
