"""The batch door's benchmark; `make bench-batch` runs it.

python -m benchmarks.batch run        measure, print, keep results.json, and write the tables
python -m benchmarks.batch report     write the tables from results.json
"""

from __future__ import annotations

from benchmarks import command
from benchmarks.batch import report, results, session
from benchmarks.batch.contestants import CONTESTANTS

SUITE = command.Suite(
    program="python -m benchmarks.batch",
    about=__doc__,
    contestants=list(CONTESTANTS),
    size=("rows", 1_000_000),
    measure=session.run,
    file=results.FILE,
    write=report.write,
    section=report.section,
)

if __name__ == "__main__":
    command.main(SUITE)
