"""Settings -> a processor; and a consumer, from its start to its exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TypeVar

from skdeploy.config import ConsumerSettings, EventSettings
from skdeploy.errors import ModelUnavailable, PredictionFailed, SettingsError, StreamError
from skdeploy.model import Model
from skdeploy.stream.process import Processor
from skdeploy.stream.stopping import Stop, told_to_stop

_S = TypeVar("_S", bound=ConsumerSettings)

_log = logging.getLogger(__name__)

# Of the exit codes, those that all consumers share.
MEANINGS = {2: "a setting or an argument is wrong", 3: "there is no model"}


def processor_of(model: Model, settings: EventSettings) -> Processor:
    """How events are scored with `model`. Raises SettingsError."""
    return Processor(
        model,
        settings.deployment or None,
        id_field=settings.id_field or None,
        by_id=settings.prediction_id == "id",
        proba=settings.proba,
        strict=settings.strict_categories,
        ignore_unknown=settings.unknown_columns == "ignore",
    )


def run_consumer(read: Callable[[], _S], consume: Callable[[_S, Stop], None]) -> int:
    """Consume until SIGTERM; the exit code.

    read   the settings; raises SettingsError
    """
    try:
        settings = read()
        with told_to_stop(settings.graceful_timeout) as stop:
            consume(settings, stop)
    except (SettingsError, ModelUnavailable) as error:
        print(f"The consumer does not start: {error}", file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 3
    except (StreamError, PredictionFailed) as error:
        _log.error("The consumer ends: %s", error)
        return 1
    return 0
