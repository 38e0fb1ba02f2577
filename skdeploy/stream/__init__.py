"""The stream door: events in, predictions and dead letters out.

events.py       what an event is, and what becomes of it
process.py      Processor: a poll of events -> predictions and dead letters; pure
cloudevents.py  an event's record, where the event is a CloudEvent
opening.py      settings -> a processor; a consumer from its start to its exit code
metrics.py      what Prometheus is told
pages.py        /metrics, /ready, /health
stopping.py     SIGTERM and SIGINT, with the time that is left
kafka/          topics in, topics out
kinesis/        Kinesis' streams; awslambda/ a function of them, and of Kafka's events
"""

from skdeploy.stream.events import DeadLetter, Event, Position, Prediction
from skdeploy.stream.process import Processed, Processor, process

__all__ = ["DeadLetter", "Event", "Position", "Prediction", "Processed", "Processor", "process"]
