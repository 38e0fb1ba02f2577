"""What a pandas dtype says of a column: the type of its cells, and how it writes a null."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from skdeploy.errors import SaveError
from skdeploy.pandas_dtypes import pandas_dtype
from skdeploy.schema import TYPES, Null

# What `infer_dtype` says of values -> their type.
_INFERRED = {word: name for name, kind in TYPES.items() for word in kind.inferred}


def type_of(present: pd.Series) -> str | None:
    """The type of a column's cells, or None. `present` are its values without nulls."""
    dtype: Any = present.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        dtype, present = dtype.categories.dtype, dtype.categories.to_series(name=present.name)
        if types.is_datetime64_any_dtype(dtype):
            return None
    return _of_dtype(dtype) or _INFERRED.get(types.infer_dtype(present, skipna=True))


def parse_override(name: str, text: Any) -> tuple[str, bool]:
    """`"int?"` -> ("int", True). Raises SaveError."""
    kind = text.removesuffix("?") if isinstance(text, str) else text
    if not isinstance(kind, str) or kind not in TYPES:
        raise SaveError(
            f"columns[{name!r}] is {text!r}: it should be one of {', '.join(TYPES)}, "
            'with a "?" behind it if nulls are accepted.'
        )
    return kind, text.endswith("?")


def dtype_for(kind: str, dtype: Any, name: str) -> str:
    """The dtype in which cells of type `kind` reach the pipeline, for a column trained as `dtype`.

    Raises SaveError if the override `kind` cannot be had, or if pandas cannot make the dtype from
    its name, as the service must.
    """
    known = _of_dtype(dtype)
    if known == "int" and kind == "float":  # an integer dtype would cut fractions off
        return "float64" if isinstance(dtype, np.dtype) else "Float64"
    if known not in (None, kind) and (known, kind) != ("float", "int"):
        raise SaveError(f"columns[{name!r}] is {kind!r}, but the column has the dtype {dtype}.")
    try:
        rebuilt = pandas_dtype(str(dtype))
    except (TypeError, ValueError):
        rebuilt = None
    if rebuilt is None or (rebuilt != dtype and not isinstance(dtype, pd.CategoricalDtype)):
        raise SaveError(
            f"The column {name!r} has the dtype {dtype}, which cannot be made from its name: "
            "convert it to another, and fit again."
        )
    return str(dtype)


def null_of(series: pd.Series) -> Null:
    """How this column writes a null; for object columns the way that is met most often."""
    if series.dtype == object:
        nulls = series[series.isna()].tolist()
        if any(type(value).__name__ == "NAType" for value in nulls):
            return "NA"
        return "none" if sum(value is None for value in nulls) * 2 > len(nulls) else "nan"
    if getattr(series.dtype, "na_value", np.nan) is pd.NA:
        return "NA"
    return "NaT" if types.is_datetime64_any_dtype(series.dtype) else "nan"


def writes_nulls_in_two_ways(series: pd.Series) -> bool:
    """Whether an object column holds both None and NaN, which an encoder may tell apart."""
    return series.dtype == object and len({type(value) for value in series[series.isna()]}) > 1


def _of_dtype(dtype: Any) -> str | None:
    if types.is_bool_dtype(dtype):
        return "bool"
    if types.is_integer_dtype(dtype):
        return "int"
    if types.is_float_dtype(dtype):
        return "float"
    if types.is_datetime64_any_dtype(dtype):
        return "datetime"
    return None
