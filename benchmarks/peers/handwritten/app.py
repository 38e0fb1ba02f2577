"""The model served by hand: what an engineer writes who knows the model and has time for one service.

It runs the exported graph (`skdeploy export`) with onnxruntime. The records are decoded into a
Struct, which checks their types and nothing else; skdeploy.json says how a cell becomes a number.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import onnxruntime


class Flight(msgspec.Struct, gc=False):
    """A record, its columns in the order of the model's."""

    origin: str
    dest: str
    carrier: str
    month: int
    weekday: int
    hour: int
    distance: int
    temp: float | None
    dewp: float | None
    humid: float | None
    wind_dir: float | None
    wind_speed: float | None
    pressure: float | None


class One(msgspec.Struct, gc=False):
    """The answer to a record."""

    prediction: float
    model: msgspec.Raw


class Many(msgspec.Struct, gc=False):
    """The answer to a list of records."""

    predictions: list[float]
    model: msgspec.Raw


def _numbers(plain: dict[str, Any]) -> list[float]:
    content = np.frombuffer(base64.b64decode(plain["base64"]), dtype=plain["dtype"])
    numbers: list[float] = content.tolist()
    return numbers


def _table(feature: dict[str, Any]) -> tuple[dict[Any, float], float]:
    """Text -> number for a column of categories, and the number of a text that is not known."""
    numbers = _numbers(feature["rows"])
    return {cell: numbers[code] for cell, code in feature["codes"]}, numbers[0]


with zipfile.ZipFile(os.environ["EXPORTED"]) as _archive:
    _passport = json.loads(_archive.read("passport.json"))
    _features = json.loads(_archive.read("skdeploy.json"))["features"]
    _graph = _archive.read("model.onnx")
if [column["name"] for column in _passport["schema"]["columns"]] != [*Flight.__struct_fields__]:
    raise SystemExit("The exported model is not the one that this application was written for.")

(_origins, _no_origin), (_dests, _no_dest), (_carriers, _no_carrier) = map(_table, _features[:3])
_months = dict(zip(_features[3]["cells"], _numbers(_features[3]["numbers"]), strict=True))
_origin, _dest, _carrier, _month = _origins.get, _dests.get, _carriers.get, _months.get


def _row(flight: Flight) -> tuple[float | None, ...]:
    """The graph's input; None becomes NaN."""
    return (
        _origin(flight.origin, _no_origin),
        _dest(flight.dest, _no_dest),
        _carrier(flight.carrier, _no_carrier),
        _month(flight.month, flight.month),
        flight.weekday,
        flight.hour,
        flight.distance,
        flight.temp,
        flight.dewp,
        flight.humid,
        flight.wind_dir,
        flight.wind_speed,
        flight.pressure,
    )


_options = onnxruntime.SessionOptions()
_options.intra_op_num_threads = _options.inter_op_num_threads = 1
_session = onnxruntime.InferenceSession(_graph, _options, providers=["CPUExecutionProvider"])
_input, _outputs = _session.get_inputs()[0].name, [_session.get_outputs()[0].name]
_run_options = onnxruntime.RunOptions()


def _predict(rows: Sequence[tuple[float | None, ...]]) -> list[float]:
    packed = np.array(rows, dtype=np.float64)
    [predicted] = _session.run(_outputs, {_input: packed}, _run_options)
    values: list[float] = predicted.ravel().tolist()
    return values


_model = msgspec.Raw(msgspec.json.encode({"name": _passport["name"], "version": _passport["version"]}))
_decode_one, _decode_many = msgspec.json.Decoder(Flight).decode, msgspec.json.Decoder(list[Flight]).decode
_encode = msgspec.json.Encoder().encode


def _answer(body: bytes) -> bytes:
    if body[:1] == b"{":
        return _encode(One(_predict([_row(_decode_one(body))])[0], _model))
    return _encode(Many(_predict([_row(flight) for flight in _decode_many(body)]), _model))


_Send = Callable[[dict[str, Any]], Awaitable[None]]


async def app(scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: _Send) -> None:
    """POST /predict: a record or a list of them -> the prediction or the predictions."""
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    if scope["path"] != "/predict":
        await _respond(send, 404, b'{"error":"only /predict is served"}')
    elif scope["method"] != "POST":
        await _respond(send, 405, b'{"error":"only POST is served"}')
    else:
        try:
            answer = _answer(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            await _respond(send, 422, _encode({"error": str(error)}))
        else:
            await _respond(send, 200, answer)


async def _respond(send: _Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


# The libraries' objects live for ever: the collector need not look at them.
gc.collect()
gc.freeze()
