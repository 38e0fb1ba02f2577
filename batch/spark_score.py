"""Score the records of an interval on a cluster of Apache Spark.

`spark-submit --master spark://host:7077 batch/spark_score.py --interval daily --at 2013-11-05`, or, with
SKDEPLOY_SPARK_MASTER set, `python -m batch.spark_score ...` of an environment that has pyspark.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    # spark-submit runs this file, and puts its folder on the path rather than the one above.
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    from skdeploy.batch.spark.command import main
    from skdeploy.command_line import run

    # Of every call to the JVM.
    logging.getLogger("py4j").setLevel(logging.WARNING)
    raise SystemExit(run(main, sys.argv[1:], os.environ))
