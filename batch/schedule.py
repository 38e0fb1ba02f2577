"""Score each interval when it has ended: `INTERVAL=daily python -m batch.schedule`."""

from __future__ import annotations

import os

from skdeploy.batch.scheduled import main
from skdeploy.command_line import log_to_stderr

if __name__ == "__main__":
    log_to_stderr(os.environ.get("LOG_LEVEL") or "info")
    raise SystemExit(main(os.environ))
