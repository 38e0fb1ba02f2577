"""The loop that people write: an event, a frame, a prediction, a commit, and again.

python -m benchmarks.stream.naive BOOTSTRAP EVENTS OUTPUT     until SIGTERM
"""

from __future__ import annotations

import json
import signal
import sys

import joblib
import pandas as pd
from confluent_kafka import Consumer, KafkaException, Producer


def main(bootstrap: str, events: str, output: str) -> None:
    """Predict, until it is asked to end."""
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    pipeline = joblib.load("model.bin")
    columns = list(pipeline.feature_names_in_)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": output,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    producer = Producer({"bootstrap.servers": bootstrap})
    consumer.subscribe([events])
    while not ended:
        message = consumer.poll(0.1)
        if message is None:
            continue
        if (error := message.error()) is not None:
            raise KafkaException(error)
        record = json.loads(message.value() or b"")
        prediction = pipeline.predict(pd.DataFrame([record])[columns])[0]
        producer.produce(output, json.dumps({"id": record["id"], "prediction": prediction}), message.key())
        producer.poll(0)
        # Behind the prediction it would wait for the broker with each event, and be slower still.
        consumer.commit(message=message, asynchronous=True)
    producer.flush()
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
