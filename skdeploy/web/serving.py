"""The model that answers now, and what is made from it once; another one can take its place."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from skdeploy.config import WebSettings
from skdeploy.drift import Window
from skdeploy.errors import SettingsError
from skdeploy.model import Model, OneThread, measured
from skdeploy.schema import Explainer
from skdeploy.scoring import Scorer
from skdeploy.web.pages import about
from skdeploy.web.predict import Predictor

_log = logging.getLogger(__name__)

# The name of the model of a service that has one.
ONLY = "model"

_DEFAULT_ID_FIELD = "id"
# What an answer says of its own; a key of that name would overwrite it.
_ANSWER_FIELDS = frozenset({"index", "prediction", "predictions", "probabilities", "error", "model"})


@dataclass(frozen=True, slots=True)
class Serving:
    """One model with its predictor. A request takes it once, and keeps it until it has its answer.

    about       what `GET /` says of it
    drift       what it was asked lately; None where nobody looks for drift
    one_thread  keeps its calls to the thread that makes them
    """

    model: Model
    predictor: Predictor
    about: dict[str, Any]
    drift: Window | None
    one_thread: OneThread


class Slot:
    """Holds what is served; `current` is one reference, so that requests see one model or the other."""

    def __init__(self, model: Model, settings: WebSettings) -> None:
        self._settings = settings
        # One for all models: its process is started when a long body does not fit, and ends by itself.
        self._explainer = Explainer()
        self.current = self._prepare(model)

    def swap(self, model: Model) -> None:
        """Serve `model` from the next request on. Raises SettingsError, and keeps the other one then."""
        self.current = self._prepare(model)

    def _prepare(self, model: Model) -> Serving:
        settings = self._settings
        _check_id_field(model, settings.id_field)
        model = measured(model)
        drift = Window.of(model.passport.sketch, settings.drift_window)
        scorer = Scorer(
            model,
            id_field=settings.id_field,
            ignore_unknown=settings.unknown_columns == "ignore",
            strict=settings.strict_categories,
            reveal=settings.expose_schema == "full",
            max_records=settings.max_records,
            drift=drift,
        )
        one_thread = OneThread()
        predictor = Predictor(scorer, one_thread, explainer=self._explainer, max_body=settings.max_body)
        return Serving(model, predictor, about(model, settings, scorer.id_field), drift, one_thread)


def _check_id_field(model: Model, name: str) -> None:
    """A configured key must not be a column of the model; the default one gives way to it."""
    if name in _ANSWER_FIELDS:
        raise SettingsError(f"SKDEPLOY_ID_FIELD={name!r} is a part of every answer: choose another name.")
    if name not in model.schema.names:
        return
    if name != _DEFAULT_ID_FIELD:
        raise SettingsError(f"SKDEPLOY_ID_FIELD={name!r} is a column of the model: choose another name.")
    _log.info("The model has a column %r: no key is passed through. SKDEPLOY_ID_FIELD names one.", name)
