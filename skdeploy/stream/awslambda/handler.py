"""What Lambda calls: one call of the engine per invocation, and nothing is done until it is acknowledged."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from skdeploy import source
from skdeploy.config import LambdaSettings
from skdeploy.errors import PredictionFailed, StreamError
from skdeploy.stream.awslambda.invocation import events_of, failures
from skdeploy.stream.events import Event
from skdeploy.stream.kinesis.client import connect
from skdeploy.stream.kinesis.sending import Sender
from skdeploy.stream.opening import processor_of
from skdeploy.stream.process import Processed, Processor

_log = logging.getLogger(__name__)
# Of an invocation's time, seconds that are kept for the answer: what was killed reports nothing.
_SPARE_SECONDS = 1.0


class Handler:
    """A Lambda function of an event source mapping: `handler(event, context)`.

    report   answer with `batchItemFailures`, which the mapping must have been told to expect; else an
             invocation of which anything was not done fails with StreamError, and comes again whole
    """

    def __init__(self, processor: Processor, sender: Sender, *, report: bool = True) -> None:
        self._processor = processor
        self._sender = sender
        self._report = report

    def __call__(self, document: Any, context: Any) -> dict[str, Any]:
        """Score what an invocation brings, and send it, until the invocation's time is nearly up.

        Raises MalformedBody if it is no invocation by Kinesis or Kafka, StreamError if a stream refuses.
        """
        until = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - _SPARE_SECONDS
        events = events_of(document)
        undone = self._undone(events, until)
        if undone and not self._report:
            raise StreamError(f"{len(undone)} of {len(events)} events were not done; all must come again.")
        return {"batchItemFailures": failures(events, undone)}

    def _undone(self, events: list[Event], until: float) -> list[Event]:
        """Send what can be sent; the events that have neither prediction nor dead letter."""
        if not events:
            return []
        try:
            processed = self._processor.process(events)
        except PredictionFailed:
            _log.exception("The engine failed: %d events must come again", len(events))
            return events
        unsent = self._sender.send(processed, until)
        undone = _events(unsent)
        _log.info(
            "%d events: %d predictions, %d dead letters, %d not sent in time",
            *(len(events), len(processed.predictions), len(processed.dead_letters), len(undone)),
        )
        return undone


def open_handler(environ: Mapping[str, str]) -> Handler:
    """The model is loaded and proved here, once per container. Raises SettingsError or ModelUnavailable."""
    settings = LambdaSettings.from_env(environ)
    settings.refuse_watching("a Lambda function keeps its model until it is deployed anew")
    model = source.load_from_settings(settings)
    processor = processor_of(model, settings)
    sender = Sender(connect("kinesis"), processor, settings.output_stream, settings.dead_letter_stream)
    return Handler(processor, sender, report=settings.report_failures)


def _events(processed: Processed) -> list[Event]:
    scored = [prediction.event for prediction in processed.predictions]
    return scored + [dead.event for dead in processed.dead_letters]
