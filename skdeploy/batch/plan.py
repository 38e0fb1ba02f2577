from __future__ import annotations
from dataclasses import dataclass


@dataclass(frozen=True)
class Decision:
    interval: object
    score: bool
    reason: str


def choose(wanted, entries, reprocess):
    out = []
    for i in wanted:
        e = entries.get(i)
        s = e.status if e else None
        out.append(Decision(i, (s != "completed") if reprocess is None else True, f"{s}"))
    return out


def lookback(c, i, n):
    out = []
    for _ in range(n):
        i = c.previous(i)
        out.append(i)
    return out[::-1]
