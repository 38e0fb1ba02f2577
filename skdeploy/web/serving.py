"""The model that answers now, and what is made from it once; another one can take its place."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from skdeploy.drift import Window
from skdeploy.errors import SettingsError
from skdeploy.model import Model, measured
from skdeploy.schema import Explainer, RecordReader
from skdeploy.settings import Settings
from skdeploy.web.pages import about
from skdeploy.web.predicting import Predictor
from skdeploy.web.threads import on_one_thread

_log = logging.getLogger(__name__)

_DEFAULT_ID_FIELD = "id"
# What an answer says of its own; a key of that name would overwrite it.
_ANSWER_FIELDS = frozenset({"index", "prediction", "predictions", "probabilities", "error", "model"})


@dataclass(frozen=True, slots=True)
class Serving:
    """One model with its predictor. A request takes it once, and keeps it until it has its answer.

    about     what `GET /` says of it
    drift     what it was asked lately; None where nobody looks for drift
    """

    model: Model
    predictor: Predictor
    about: dict[str, Any]
    drift: Window | None


class Slot:
    """Holds what is served; `current` is one reference, so that requests see one model or the other."""

    def __init__(self, model: Model, settings: Settings) -> None:
        self._settings = settings
        # One for all models: its process is started when a long body does not fit, and ends by itself.
        self._explainer = Explainer()
        self.current = self._prepare(model)

    def swap(self, model: Model) -> None:
        """Serve `model` from the next request on. Raises SettingsError, and keeps the other one then."""
        self.current = self._prepare(model)

    def _prepare(self, model: Model) -> Serving:
        settings = self._settings
        id_field = _id_field(model, settings.id_field)
        reader = RecordReader(
            model.schema,
            id_field=id_field,
            ignore_unknown=settings.unknown_columns == "ignore",
            strict=settings.strict_categories,
            reveal=settings.expose_schema == "full",
            max_records=settings.max_records,
        )
        model = on_one_thread(measured(model))
        drift = Window.of(model.passport.sketch, settings.drift_window)
        predictor = Predictor(
            model, reader, id_field, explainer=self._explainer, max_body=settings.max_body, drift=drift
        )
        return Serving(model, predictor, about(model, settings, id_field), drift)


def _id_field(model: Model, name: str) -> str | None:
    """The pass-through key; None if the model has a column of the default name."""
    if name in _ANSWER_FIELDS:
        raise SettingsError(f"ID_FIELD={name!r} is a part of every answer: choose another name.")
    if name not in model.schema.names:
        return name
    if name != _DEFAULT_ID_FIELD:
        raise SettingsError(f"ID_FIELD={name!r} is a column of the model: choose another name.")
    _log.info("The model has a column %r: no key is passed through. ID_FIELD names one.", name)
    return None
