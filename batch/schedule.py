"""Score each interval when it has ended: `INTERVAL=daily python -m batch.schedule`."""

from __future__ import annotations

import logging
import os

from skdeploy.batch.scheduled import main

if __name__ == "__main__":
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "info").upper(),
        format="[%(asctime)s] [%(levelname)s] %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S %z",
    )
    raise SystemExit(main(os.environ))
