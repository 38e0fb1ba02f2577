"""The batch door: an interval's records in, its predictions out, once.

intervals.py    hours, days, weeks and months of a time zone
chunks.py       what passes between the parts, and what they promise each other
plain.py        what Arrow holds -> plain values
columns.py      cells by column -> checked records
keys.py         the keys of a chunk, and what is wrong with them
scoring.py      a chunk of records -> predictions and rejects
job.py          one interval: reading, predicting and writing, overlapped
plan.py         which intervals are scored
run.py          several intervals, one after the other
summary.py      what a run says in the end, and its exit code
metrics.py      the same for Prometheus
schedule.py     the job at each interval's end
command.py      the command lines
databases/      input and output through SQLAlchemy; PostgreSQL's fast ways
files/          Parquet files, local or on S3
spark/          the same job on a cluster
"""
