"""Another model without a restart: what a watcher publishes is the processor of the next poll."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from skdeploy.model import Model
from skdeploy.settings import Settings
from skdeploy.source import Source
from skdeploy.stream.process import Processor
from skdeploy.watch import Follower, State, Watcher, process

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
        self.follower: Follower | None = None
        self._look = 0.0
        self.processor = made(model)
        serves(model)

    def swap(self, model: Model) -> None:
        """The next poll is scored by `model`."""
        self.processor = self._made(model)
        self._serves(model)

    def current(self) -> Processor:
        """Asked between polls, also of no events."""
        if self.follower is not None and time.monotonic() >= self._look:
            self._look = time.monotonic() + _LOOK_SECONDS
            self.follower.poll()
        return self.processor


@contextmanager
def watched(settings: Settings, model: Model) -> Iterator[State | None]:
    """A watcher while the block runs, and where it publishes; None without WATCH_SECONDS.

    It is forked: no thread may run yet.
    """
    if not settings.watch_seconds:
        yield None
        return
    folder = settings.state_dir or process.own_folder()
    source, state = Source.from_settings(settings), State(Path(folder))
    state.make()
    state.begin()
    watcher = Watcher(
        source,
        state,
        engine=settings.engine,
        interval=settings.watch_seconds,
        served=(model.digest, model.origin.version if model.origin else None),
    )
    pid = process.start(watcher.run)
    try:
        yield state
    finally:
        process.end([pid])
        if not settings.state_dir:
            shutil.rmtree(folder, ignore_errors=True)


def follow(slot: Slot, settings: Settings, model: Model, state: State | None) -> None:
    """Let the slot have what is published in `state`."""
    if state is not None:
        slot.follower = Follower(
            Source.from_settings(settings), state, engine=settings.engine, serves=model, swap=slot.swap
        )
        slot.follower.catch_up()
