"""The same job on a cluster of Apache Spark.

command.py     the command line of `batch/spark_score.py`
job.py         one interval: Spark reads and scores it in parts, the driver puts them in their place
reading.py     an interval's records as Spark reads them: Parquet files, or PostgreSQL through JDBC
cluster.py     the session, and what goes to the executors: this package, the model's file
executor.py    what runs there: a part's records -> predictions and rejects, written beside the tables

Batches are Arrow's (`mapInArrow`), not pandas' (`mapInPandas`): pandas makes doubles of whole numbers
with a null among them, which loses every one above 2**53, and has no decimals. They go through the
reader and the scorer of the job on one machine, so that both answer alike.

Attempts at a part may be repeated, and may run twice at once. Each writes under a name of its own;
`skdeploy.batch.spreading` says why nothing counts twice.
"""
