"""Amazon Kinesis: predictions and dead letters sent to streams.

client.py     connections to AWS, and which of their errors pass
putting.py    records into a stream, within its limits
letters.py    a dead letter as JSON
sending.py    Sender: what came of a poll goes to its streams
retrying.py   calls that are made again until they work, or the process must end
checkpoints.py  how far shards are done, and whose turn it is: a DynamoDB table
shards.py     the shards of a stream, parents before children
consumption.py  Consumption: shards in turn, checkpoints behind predictions
metrics.py    what Prometheus is told besides what all consumers tell it
command.py    the command line of streaming/consume_kinesis.py

boto3 is imported where it is used.
"""
