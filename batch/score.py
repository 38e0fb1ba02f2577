"""Score the records of an interval: `python -m batch.score --interval daily --at 2013-11-05`."""

from __future__ import annotations

import logging
import os
import sys

from skdeploy.batch.command import main
from skdeploy.batch.ending import end_process

if __name__ == "__main__":
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "info").upper(),
        format="[%(asctime)s] [%(levelname)s] %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S %z",
    )
    end_process(main(sys.argv[1:], os.environ))
