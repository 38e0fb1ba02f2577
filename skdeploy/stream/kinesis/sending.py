"""What came of a poll goes to its streams."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, TypeVar

from skdeploy.stream.events import TOO_LARGE, DeadLetter, Prediction
from skdeploy.stream.kinesis.letters import letter
from skdeploy.stream.kinesis.putting import MOST_RECORD_BYTES, Entry, partition_key, put_all
from skdeploy.stream.process import Processed, Processor

_log = logging.getLogger(__name__)
_Sent = TypeVar("_Sent", Prediction, DeadLetter)


class Sender:
    """Sends predictions to one stream and dead letters to another.

    client        of Kinesis, which does not retry by itself
    processor     who made them: its deployment and model are in the dead letters
    output        the stream of predictions
    dead_letters  the stream of dead letters
    """

    def __init__(self, client: Any, processor: Processor, output: str, dead_letters: str) -> None:
        self._client = client
        self._processor = processor
        self._output = output
        self._dead_letters = dead_letters

    def send(self, processed: Processed, until: float) -> Processed:
        """What was not taken until then, on the clock of `time.monotonic`; to be sent again.

        The partition key is the event's key. Raises StreamError if no trying again would help.
        """
        predictions, entries, letters = self._sized(processed)
        unsent = self._put(self._output, predictions, entries, until)
        name, model = self._processor.deployment, self._processor.model
        written = [Entry(partition_key(dead.event), letter(dead, name, model)) for dead in letters]
        return Processed(unsent, self._put(self._dead_letters, letters, written, until))

    def _sized(self, processed: Processed) -> tuple[list[Prediction], list[Entry], list[DeadLetter]]:
        """A prediction that no stream can take, because its pass-through key is huge, is a dead letter."""
        predictions, entries, letters = [], [], list(processed.dead_letters)
        for prediction in processed.predictions:
            entry = Entry(partition_key(prediction.event), prediction.value)
            if entry.size > MOST_RECORD_BYTES:
                detail = f"The prediction has {entry.size} bytes, and a stream takes {MOST_RECORD_BYTES}."
                letters.append(DeadLetter(prediction.event, TOO_LARGE, detail))
                continue
            predictions.append(prediction)
            entries.append(entry)
        return predictions, entries, letters

    def _put(
        self, stream: str, items: Sequence[_Sent], entries: Sequence[Entry], until: float
    ) -> list[_Sent]:
        return [items[place] for place in put_all(self._client, stream, entries, until)]
