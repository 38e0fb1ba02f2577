"""Mutations that know what a token of JSON is: bytes changed at random are mostly refused at once."""

from __future__ import annotations

import json
import random
import re

from tests.schema.test_fast_equals_plain import COLUMNS, GOOD, NASTY

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[-+.\w]+|.', re.DOTALL)
_NAMES = ("id", "größe", *(column.name for column in COLUMNS))
KEYS = [json.dumps(name, ensure_ascii=False).encode() for name in _NAMES]
_CELLS = [token for tokens in GOOD.values() for token in tokens] + NASTY
TOKENS = [text.encode("utf-8", "surrogatepass") for text in _CELLS]


def mutate(content: bytes, chance: random.Random) -> bytes:
    """`content` with one to three of its tokens or stretches of them replaced, repeated or left out."""
    tokens: list[bytes] = _TOKEN.findall(content[1:])
    for _ in range(chance.randint(1, 3)):
        colons = [place for place, token in enumerate(tokens) if token == b":"]
        if colons and chance.random() < 0.7:
            # A cell: a bad one hides no other, so these are worth most.
            place = chance.choice(colons) + 1
            tokens[place : place + 1] = [chance.choice(TOKENS)]
        else:
            _restructure(tokens, chance)
    way = content[:1] if chance.random() < 0.9 else bytes([chance.randrange(256)])
    return way + b"".join(tokens)


def _restructure(tokens: list[bytes], chance: random.Random) -> None:
    place, other = (chance.randrange(len(tokens) + 1) for _ in range(2))
    pair = [b",", chance.choice(KEYS), b":", chance.choice(TOKENS)]
    if chance.random() < 0.5 and b"}" in tokens:
        place = tokens.index(b"}")
        tokens[place:place] = pair
        return
    new = chance.choice((pair, tokens[other : other + chance.choice((1, 4))], []))
    tokens[place : place + chance.choice((0, 1, 4))] = new
