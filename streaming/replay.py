"""Put dead letters back: `python -m streaming.replay --dead-letters predictions.dead-letters --all`."""

from __future__ import annotations

import os
import sys

from skdeploy.signals import leave_when_told

if __name__ == "__main__":
    leave_when_told()
    from skdeploy.command_line import run
    from skdeploy.stream.kafka.replay_command import main

    raise SystemExit(run(main, sys.argv[1:], os.environ))
