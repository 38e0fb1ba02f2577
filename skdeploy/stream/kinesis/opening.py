"""Settings -> a model, a processor, a sender: what a Lambda function starts with."""

from __future__ import annotations

from collections.abc import Mapping

from skdeploy import source
from skdeploy.model import Model
from skdeploy.settings import Settings
from skdeploy.stream.kinesis.client import connect
from skdeploy.stream.kinesis.sending import Sender
from skdeploy.stream.kinesis.settings import KinesisSettings
from skdeploy.stream.process import Processor
from skdeploy.stream.settings import StreamSettings


def load_model_from(settings: Settings) -> Model:
    """The proved model that the settings name. Raises ModelUnavailable or SettingsError."""
    return source.load_from(source.Source.from_settings(settings), engine=settings.engine)


def open_processor(environ: Mapping[str, str]) -> Processor:
    """The model, loaded, and how events are read. Raises SettingsError or ModelUnavailable."""
    settings, stream = Settings.from_env(environ), StreamSettings.from_env(environ)
    return Processor(
        load_model_from(settings),
        stream.deployment or None,
        id_field=settings.id_field,
        by_id=stream.prediction_id == "id",
        proba=stream.proba,
        strict=settings.strict_categories,
        ignore_unknown=settings.unknown_columns == "ignore",
    )


def open_sender(kinesis: KinesisSettings, processor: Processor) -> Sender:
    """Where predictions and dead letters go. Raises SettingsError if that is not said."""
    kinesis.require("OUTPUT_STREAM", "DEAD_LETTER_STREAM")
    return Sender(connect("kinesis"), processor, kinesis.output_stream, kinesis.dead_letter_stream)
