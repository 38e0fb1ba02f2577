"""What all doors say alike to Prometheus: which model is served."""

from __future__ import annotations

from skdeploy.model.model import Model

MODEL_INFO = "skdeploy_model_info"
MODEL_LABELS = ("model", "version", "sha256", "engine")


def labels_of(model: Model) -> tuple[str, ...]:
    """The values of MODEL_LABELS; of the digest the first 16 digits."""
    return model.passport.name, model.passport.version, model.digest[:16], model.engine.name
