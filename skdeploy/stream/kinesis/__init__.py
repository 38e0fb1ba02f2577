"""Amazon Kinesis: predictions and dead letters sent to streams.

settings.py   the variables of Lambda functions
client.py     connections to AWS, and which of their errors pass
putting.py    records into a stream, within its limits
letters.py    a dead letter as JSON
sending.py    Sender: what came of a poll goes to its streams
opening.py    settings -> a model, a processor, a sender

boto3 is imported where it is used.
"""
