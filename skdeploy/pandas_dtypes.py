"""The pandas dtype that a name stands for. pandas itself does not read the names of all its dtypes."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd


def pandas_dtype(name: str) -> Any:
    """The dtype whose `str` is `name`; raises TypeError or ValueError if there is none."""
    if (match := re.fullmatch(r"decimal(128|256)\((\d+), (-?\d+)\)\[pyarrow\]", name)) is not None:
        import pyarrow as pa

        make = {"128": pa.decimal128, "256": pa.decimal256}[match[1]]
        return pd.ArrowDtype(make(int(match[2]), int(match[3])))
    return pd.api.types.pandas_dtype(name)
