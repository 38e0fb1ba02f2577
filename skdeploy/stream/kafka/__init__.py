"""Kafka: events from topics, predictions and dead letters to topics.

properties.py   what librdkafka is told: what our promises need, and SKDEPLOY_KAFKA_CONFIG
clients.py      a consumer and a producer, opened
brokers.py      whether the brokers can be reached
messages.py     Kafka's messages -> events; predictions and dead letters -> messages
assignment.py   which partitions are ours, and how far each is done
reader.py       polls; keeps the group while the process is busy; goes back to what is not committed
timestamps.py   event times that a topic refuses
sizes.py        sizes that a topic refuses
sender.py       produces, waits where the queue is full, knows what is acknowledged
delivery.py     at least once
transactions.py exactly once
consumption.py  poll -> process -> produce ... -> commit, until it is told to stop
worker.py       a thread that predicts, and one that commits
following.py    another model between polls
metrics.py      what Prometheus is told besides what all consumers tell it
command.py      the command line of a consumer
letters.py, rereading.py, putting_back.py, replay.py, replay_command.py    dead letters put back
"""

try:
    import confluent_kafka  # noqa: F401 (all modules need it, and say so here)
except ModuleNotFoundError as error:
    if error.name != "confluent_kafka":
        raise
    raise ModuleNotFoundError(
        "confluent-kafka is not installed: run pip install 'skdeploy[streaming]'"
    ) from error
