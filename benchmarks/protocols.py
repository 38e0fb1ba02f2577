"""The same records in each server's protocol, and the predictions out of its answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib

Record = dict[str, Any]

MODEL = Path(__file__).parent.parent / "model.bin"
MANY = 1000


def complete_records() -> list[Record]:
    """1,000 records without nulls, which not every peer takes: the model's golden ones, again and again."""
    passport = joblib.load(MODEL).passport_
    names = [column["name"] for column in passport["schema"]["columns"]]
    rows = zip(*passport["golden"]["cells"], strict=True)
    complete = [dict(zip(names, row, strict=True)) for row in rows if None not in row]
    return [complete[i % len(complete)] for i in range(MANY)]


def _columns(records: list[Record]) -> dict[str, list[Any]]:
    return {name: [record[name] for record in records] for name in records[0]}


def _v2(records: list[Record]) -> dict[str, Any]:
    inputs = []
    for name, cells in _columns(records).items():
        if isinstance(cells[0], str):
            kind: dict[str, Any] = {"datatype": "BYTES", "parameters": {"content_type": "str"}}
        else:
            kind = {"datatype": "INT64" if all(isinstance(cell, int) for cell in cells) else "FP64"}
        inputs.append({"name": name, "shape": [len(cells)], "data": cells, **kind})
    return {"parameters": {"content_type": "pd"}, "inputs": inputs}


# KServe makes a frame of each instance, and refuses one of bare values: an instance is columns here.
PROTOCOLS: dict[str, Callable[[list[Record]], Any]] = {
    "skdeploy": lambda records: records[0] if len(records) == 1 else records,
    "list": lambda records: records,
    "records": lambda records: {"records": records},
    "mlflow": lambda records: {"dataframe_records": records},
    "v1": lambda records: {"instances": [_columns(records)]},
    "v2": _v2,
}


def body(protocol: str, records: list[Record]) -> bytes:
    """The records as `protocol` has them, in the compact JSON that clients send."""
    return json.dumps(PROTOCOLS[protocol](records), separators=(",", ":")).encode()


def numbers(answer: bytes) -> list[float]:
    """The predictions of an answer in any of the protocols. ValueError if it holds none."""
    document = json.loads(answer)
    if isinstance(document, dict):
        if "outputs" in document:
            document = document["outputs"][0]["data"]
        elif "prediction" in document:
            document = [document["prediction"]]
        else:
            document = document.get("predictions")
    try:
        return [float(value) for value in document]
    except TypeError:
        raise ValueError(f"no predictions in {answer[:200]!r}") from None
