"""Score the records of an interval: `python -m batch.score --interval daily --at 2013-11-05`."""

from __future__ import annotations

import os
import sys

from skdeploy.batch.command import main
from skdeploy.command_line import log_to_stderr
from skdeploy.ending import end_process

if __name__ == "__main__":
    log_to_stderr(os.environ.get("LOG_LEVEL") or "info")
    end_process(main(sys.argv[1:], os.environ))
