"""The flights as a stream of events, with a share of bad ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pandas as pd

from examples.flights import data

# The key that comes back with a prediction: the default of SKDEPLOY_ID_FIELD.
ID = "id"
_CHUNK = 10_000
_encode = msgspec.json.Encoder().encode


class FlightEvent(NamedTuple):
    """A flight that departs.

    key         its id: each flight stands for itself, and ids spread evenly over partitions, where
                carriers would not: one in six flights is United's
    value       its record, JSON: `id`, and what is known at departure
    scheduled   its hour of departure, milliseconds since 1970 UTC
    bad         the kind of bad event that was made of it, or None
    """

    key: bytes
    value: bytes
    scheduled: int
    bad: str | None = None


def _wrong_type(record: dict[str, Any]) -> bytes:
    return _encode({**record, "distance": "far"})


def _missing_column(record: dict[str, Any]) -> bytes:
    return _encode({name: cell for name, cell in record.items() if name != "hour"})


# What a careless sender writes; each gets another dead letter.
BAD: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "not JSON": lambda record: _encode(record)[:-1],
    "missing column": _missing_column,
    "wrong type": _wrong_type,
    "a list": lambda record: _encode([record]),
    "empty": lambda _: b"",
}


def events(table: pd.DataFrame, count: int, bad: float = 0.0, seed: int = 0) -> Iterator[FlightEvent]:
    """`count` events of the flights in the order of `table`, and from its start again; ids count from 1.

    table   as `flights_table()` has it
    bad     the share of events that are made bad; which ones, and how, `seed` decides
    """
    choices = random.Random(seed)  # noqa: S311 (chance, not secrecy)
    kinds = list(BAD)
    for number, record, scheduled in _records(table, count):
        key = b"%d" % number
        kind = choices.choice(kinds) if choices.random() < bad else None
        value = BAD[kind](record) if kind else _encode(record)
        yield FlightEvent(key, value, scheduled, kind)


def _records(table: pd.DataFrame, count: int) -> Iterator[tuple[int, dict[str, Any], int]]:
    number = 0
    while number < count:
        for first in range(0, min(len(table), count - number), _CHUNK):
            rows = table.iloc[first : min(first + _CHUNK, first + count - number)]
            scheduled = rows[data.EVENT_TIME].astype("datetime64[ms, UTC]").astype("int64")
            for record, moment in zip(_plain(rows), scheduled, strict=True):
                number += 1
                yield number, {ID: number, **record}, moment


def _plain(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Plain values, with None where there is no reading."""
    columns = rows[list(data.DESCRIPTIONS)].astype(object)
    cells = columns.where(columns.notna(), None).itertuples(index=False, name=None)
    return [dict(zip(data.DESCRIPTIONS, row, strict=True)) for row in cells]
