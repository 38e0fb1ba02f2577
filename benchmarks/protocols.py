"""The same records in each server's protocol, and the predictions out of its answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from examples.flights.data import flights_table, flown

Record = dict[str, Any]

MODEL = Path(__file__).parent.parent / "model.bin"
# Records of a large request, and all that are sent.
MANY = 1000
RECORDS = 4000


def flight_records() -> list[Record]:
    """4,000 different flights without nulls, which not every peer takes; the same ones every time."""
    X, _ = flown(flights_table())
    chosen = X.dropna().drop_duplicates().sample(RECORDS, random_state=1)
    records: list[Record] = json.loads(chosen.to_json(orient="records", double_precision=15))
    return records


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


def bodies(protocol: str, records: list[Record], size: int) -> bytes:
    """Bodies of `size` records each, a line per body: JSON without blanks has no line break."""
    whole = range(0, len(records) - size + 1, size)
    return b"\n".join(body(protocol, records[start : start + size]) for start in whole) + b"\n"


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
