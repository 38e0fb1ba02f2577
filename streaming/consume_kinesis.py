"""Score the events of a Kinesis stream, without AWS Lambda.

`python -m streaming.consume_kinesis --stream flights --output predictions --dead-letters dead --table done`

One process reads all shards in turn; a second one waits to take over. Where many consumers must share the
shards, or read through enhanced fan-out, use Amazon's Kinesis Client Library. This one is small because
a process scores more than many shards bring, and needs no Java beside Python.
"""

from __future__ import annotations

import os
import sys

from skdeploy.signals import leave_when_told

if __name__ == "__main__":
    leave_when_told()
    # Before numpy is imported: a poll is scored in one call, and threads would wait for each other.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    from skdeploy.command_line import run
    from skdeploy.stream.kinesis.command import main

    raise SystemExit(run(main, sys.argv[1:], os.environ))
