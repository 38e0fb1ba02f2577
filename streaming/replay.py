"""Put dead letters back: `python -m streaming.replay --dead-letters predictions.dead-letters --all`."""

from __future__ import annotations

import logging
import os
import sys

from skdeploy.stream.kafka.replay_command import main

if __name__ == "__main__":
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "info").upper(),
        format="[%(asctime)s] [%(levelname)s] %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S %z",
    )
    raise SystemExit(main(sys.argv[1:], os.environ))
