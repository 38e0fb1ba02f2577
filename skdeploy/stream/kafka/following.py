"""Another model without a restart: what the source poller publishes scores the next poll."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from skdeploy.config import ModelSettings
from skdeploy.model import Model
from skdeploy.reload import ModelSwap, PublishedState, SourcePoller, process
from skdeploy.source import Source
from skdeploy.stream.process import Processor

# Between looks at whether something was published.
_LOOK_SECONDS = 0.5


class Slot:
    """The processor of the moment.

    made    a processor from a model; what it raises leaves the old one
    serves  is told of each model
    """

    def __init__(
        self, made: Callable[[Model], Processor], model: Model, serves: Callable[[Model], None]
    ) -> None:
        self._made = made
        self._serves = serves
        self.model_swap: ModelSwap | None = None
        self._look = 0.0
        self.processor = made(model)
        serves(model)

    def swap(self, model: Model) -> None:
        """The next poll is scored by `model`."""
        self.processor = self._made(model)
        self._serves(model)

    def current(self) -> Processor:
        """Asked between polls, also of no events."""
        if self.model_swap is not None and time.monotonic() >= self._look:
            self._look = time.monotonic() + _LOOK_SECONDS
            self.model_swap.poll()
        return self.processor


@contextmanager
def watched(settings: ModelSettings, model: Model) -> Iterator[PublishedState | None]:
    """A source poller while the block runs, and where it publishes; None without SKDEPLOY_WATCH_SECONDS.

    It is forked: no thread may run yet.
    """
    if not settings.watch_seconds:
        yield None
        return
    folder = settings.state_dir or process.own_folder()
    source, state = Source.from_settings(settings), PublishedState(Path(folder))
    state.make()
    state.begin()
    poller = SourcePoller(
        source,
        state,
        engine=settings.engine,
        interval=settings.watch_seconds,
        served=(model.file_digest, model.origin.version if model.origin else None),
    )
    pid = process.start(poller.run)
    try:
        yield state
    finally:
        process.end([pid])
        if not settings.state_dir:
            shutil.rmtree(folder, ignore_errors=True)


def follow(slot: Slot, settings: ModelSettings, model: Model, state: PublishedState | None) -> None:
    """Let the slot have what is published in `state`."""
    if state is not None:
        slot.model_swap = ModelSwap(Source.from_settings(settings), state, model=model, apply=slot.swap)
        slot.model_swap.catch_up()
