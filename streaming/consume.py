"""Score the events of Kafka topics: `python -m streaming.consume --topics a --output b --group c`."""

from __future__ import annotations

import os
import sys

from skdeploy.signals import leave_when_told

if __name__ == "__main__":
    leave_when_told()
    # Before numpy is imported: the poller is forked, and does not survive a pool of native threads.
    # More consumers, not threads, are how more is scored.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    from skdeploy.command_line import run
    from skdeploy.stream.kafka.command import main

    raise SystemExit(run(main, sys.argv[1:], os.environ))
