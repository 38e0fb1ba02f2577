"""The stream door's benchmark; `make bench-stream` runs it.

python -m benchmarks.stream run        measure, print, keep results.json, and write the tables
python -m benchmarks.stream report     write the tables from results.json
"""

from __future__ import annotations

from benchmarks import command
from benchmarks.stream import report, results, session
from benchmarks.stream.contestants import CONTESTANTS

SUITE = command.Suite(
    program="python -m benchmarks.stream",
    about=__doc__,
    contestants=list(CONTESTANTS),
    size=("events", 300_000),
    measure=session.run,
    file=results.FILE,
    write=report.write,
    section=report.section,
)

if __name__ == "__main__":
    command.main(SUITE)
