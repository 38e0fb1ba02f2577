"""The stream door's benchmark, `make bench-stream`: Apache Kafka to Apache Kafka.

__main__    run, report
session     one run: rounds over the contestants, one at a time on a core of its own
topics      the flights as events, in topics; how many a topic has
contestants what is measured: its command, its environment
floor       a consumer that sends on what it reads, with no model
naive       the loop that people write
measuring   events per second out of how an output topic grows
latency     from an event to its prediction, at a steady rate
pace        sends events at a steady rate
function    the Lambda function under AWS's own runtime client
results     where results are kept, and medians
targets     what the project wants to reach, and whether it did
report      the documents' tables
"""
