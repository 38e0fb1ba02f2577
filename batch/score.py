"""Score the records of an interval: `python -m batch.score --interval daily --at 2013-11-05`."""

from __future__ import annotations

import os
import sys

from skdeploy.signals import STOPPED, leave_when_told

if __name__ == "__main__":
    leave_when_told(STOPPED)
    from skdeploy.batch.command import main
    from skdeploy.command_line import run
    from skdeploy.ending import end_process

    end_process(run(main, sys.argv[1:], os.environ))
