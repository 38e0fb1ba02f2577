"""Real servers from packages, on free ports of 127.0.0.1, for demos and tests.

process.py         a server's process: started, awaited, ended by its own id
s3.py              an S3 server, SeaweedFS
mlflow_server.py   an MLflow tracking server whose artifacts are in S3
postgres.py        a PostgreSQL server
kafka.py           Apache Kafka, and an embedded broker of its protocol
aws.py             Kinesis and DynamoDB, moto's server
lambda_runtime.py  Lambda's Runtime API, for AWS's own runtime client
spark.py           an Apache Spark master and its workers

`make .venv-mlflow-server/done` installs S3 and MLflow, `make .venv-spark/done` Spark, which needs Java, and
`apt-get install postgresql` PostgreSQL; `make .kafka/done` Apache Kafka, which needs Java.
"""
