"""The values that a fitted encoder tells apart: scikit-learn's, category_encoders' and feature-engine's."""

from __future__ import annotations

from typing import Any

_FEATURE_ENGINE = tuple(f"feature_engine.{part}." for part in ("encoding", "imputation", "selection"))


def passes_columns_on(step: Any) -> bool:
    """Whether the step is an encoder or imputer that changes some columns of a frame, passing others on."""
    return _is_category_encoder(step) or type(step).__module__.startswith(_FEATURE_ENGINE)


def learned_values(encoder: Any) -> list[list[Any] | None] | None:
    """Per column that the encoder is given, the values that it knows, nulls among them.

    None for a column that it passes on as it is, and None altogether if the step shows no values.
    """
    if hasattr(encoder, "categories_"):
        return [values.tolist() for values in encoder.categories_]
    by_name = _numbered(encoder) if _is_category_encoder(encoder) else getattr(encoder, "encoder_dict_", None)
    if by_name is None:
        return None
    known = {name: list(values) for name, values in by_name.items()}
    return [known.get(name) for name in encoder.feature_names_in_]


def _is_category_encoder(step: Any) -> bool:
    return type(step).__module__.startswith("category_encoders.")


def _numbered(encoder: Any) -> dict[Any, Any] | None:
    """Column -> the values that an encoder of category_encoders knows; most number them first."""
    mapping = getattr(getattr(encoder, "ordinal_encoder", encoder), "mapping", None)
    if isinstance(mapping, list):
        mapping = {entry["col"]: entry["mapping"] for entry in mapping}
    if not isinstance(mapping, dict):
        return None
    return {name: getattr(table, "index", table) for name, table in mapping.items()}
