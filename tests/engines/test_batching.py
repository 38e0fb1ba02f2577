"""Concurrent calls are gathered, and nobody notices but the clock."""

from __future__ import annotations

import ctypes
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from skdeploy.engines import Engine
from skdeploy.engines.batching import BatchingEngine
from skdeploy.schema import Table
from tests.gathering import HeldEngine, gathered
from tests.live import wait_until

BAD = 13


class Doubling(Engine):
    """Doubles its only column; raises on 13, and always if it is broken. Counts its calls."""

    name = "doubling"

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.calls = 0

    def predict(self, table: Table) -> Any:
        self.calls += 1
        if self.broken or BAD in table.cells[0]:
            raise ZeroDivisionError
        return np.array(table.cells[0]) * 2.0

    def predict_proba(self, table: Table) -> Any:
        return [np.stack([self.predict(table)] * 2, axis=1), np.stack([self.predict(table)] * 3, axis=1)]


def table(*numbers: int) -> Table:
    return Table([list(numbers)], len(numbers))


def test_what_waits_is_scored_in_one_call_and_each_gets_its_own() -> None:
    """Calls that come during another one are scored together, whatever their sizes."""
    futures, counts = gathered(Doubling(), [table(1), table(2, 3), table(4), table(5, 6, 7)])
    assert counts == [1, 6]
    assert [future.result().tolist() for future in futures] == [[2], [4, 6], [8], [10, 12, 14]]


def test_an_array_per_output_is_divided_as_well() -> None:
    """Probabilities of several outputs come as a list of arrays: each caller gets such a list."""
    futures, counts = gathered(Doubling(), [table(1), table(2), table(3, 4)], "predict_proba")
    assert counts == [1, 3]
    assert [part.tolist() for part in futures[2].result()] == [[[6] * 2, [8] * 2], [[6] * 3, [8] * 3]]


def test_a_bad_call_keeps_its_error_to_itself() -> None:
    """Whoever waits beside a record on which the pipeline raises gets the answer all the same."""
    engine = Doubling()
    futures, _ = gathered(engine, [table(1), *(table(number) for number in range(2, 18))])
    for number, future in enumerate(futures, 1):
        if number == BAD:
            assert isinstance(future.exception(), ZeroDivisionError)
        else:
            assert future.result().tolist() == [number * 2]
    assert engine.calls == 1 + 1 + 2 * 4


def test_a_broken_engine_fails_all_that_wait() -> None:
    """Each caller gets an exception of its own, and nobody waits for ever."""
    futures, _ = gathered(Doubling(broken=True), [table(number) for number in range(5)])
    errors = [future.exception() for future in futures]
    assert all(isinstance(error, ZeroDivisionError) for error in errors)
    assert len({id(error) for error in errors}) == 5


class Ragged(Doubling):
    """Says one number too few where there are several records."""

    def predict(self, table: Table) -> Any:
        return super().predict(table)[: max(1, table.count - 1)]


def test_an_output_that_cannot_be_divided_is_not() -> None:
    """An engine that does not answer per record is called for each caller alone."""
    futures, _ = gathered(Ragged(), [table(1), table(2), table(3)])
    assert [future.result().tolist() for future in futures] == [[2], [4], [6]]


def test_a_batch_is_bounded() -> None:
    """No call has more records than the bound; who came first is scored first."""
    futures, counts = gathered(Doubling(), [table(n) for n in range(6)] + [table(7, 8)], most=3)
    assert counts == [1, 3, 2, 2]
    assert [future.result()[0] for future in futures] == [0, 2, 4, 6, 8, 10, 14]


def test_a_large_table_does_not_queue() -> None:
    """A table above the bound is scored at once, by itself, while another call runs."""
    held = HeldEngine(Doubling())
    batching = BatchingEngine(held, most=2, wait=0.0)
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(batching.predict, one) for one in (table(1), table(2, 3, 4))]
        wait_until(lambda: sorted(held.counts) == [1, 3], "both are being scored")
        held.released.set()
    assert futures[1].result().tolist() == [4, 6, 8]


def test_a_lone_call_does_not_wait() -> None:
    """With nobody else about there is no delay, however long the setting would allow."""
    batching = BatchingEngine(Doubling(), most=100, wait=30.0)
    begin = time.monotonic()
    for number in range(10):
        assert batching.predict(table(number)).tolist() == [number * 2]
    assert time.monotonic() - begin < 20


def test_the_wait_ends_when_those_that_can_be_expected_are_there() -> None:
    """After two calls at a time, a call waits for a second one, and no longer than until it comes."""
    held = HeldEngine(Doubling())
    batching = BatchingEngine(held, most=100, wait=30.0)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(batching.predict, table(1))
        wait_until(lambda: held.counts == [1], "the first is being scored")
        second = pool.submit(batching.predict, table(2))
        wait_until(lambda: len(batching._labels._waiting) == 1, "the second waits")
        held.released.set()
        first.result()
        assert held.counts == [1]
        third = pool.submit(batching.predict, table(3))
        assert (second.result(10).tolist(), third.result(10).tolist()) == ([4], [6])
    assert held.counts == [1, 2]


def test_the_wait_for_others_is_bounded() -> None:
    """Who could be expected and does not come is not waited for longer than the setting says."""
    futures, counts = gathered(Doubling(), [table(1), table(2)], wait=0.05)
    assert [future.result().tolist() for future in futures] == [[2], [4]]
    assert counts == [1, 1]


class Leaving(Doubling):
    """Ends the thread that calls it with a 13 in the table."""

    def predict(self, table: Table) -> Any:
        if BAD in table.cells[0]:
            raise SystemExit
        return super().predict(table)


def test_a_leader_that_dies_leaves_nobody_behind() -> None:
    """Those in the batch of a thread that ends are scored by the next one, and it alone has ended."""
    batching = BatchingEngine(Leaving(), most=100, wait=0.0)
    with pytest.raises(SystemExit):
        batching.predict(table(BAD))
    futures, _ = gathered(Leaving(), [table(1), table(BAD), table(3), table(4)])
    assert [future.result().tolist() for future in (futures[0], *futures[2:])] == [[2], [6], [8]]
    assert isinstance(futures[1].exception(), SystemExit)
    assert batching.predict(table(1)).tolist() == [2]


def test_a_waiting_thread_that_dies_does_not_keep_the_lead() -> None:
    """A thread that is ended while it waits hands the lead on when its turn comes."""
    held = HeldEngine(Doubling())
    batching = BatchingEngine(held, most=1, wait=0.0)
    idents: list[int] = []

    def ask(number: int) -> Any:
        idents.append(threading.get_ident())
        return batching.predict(table(number))

    with ThreadPoolExecutor(3) as pool:
        futures = []
        for number in range(3):
            futures.append(pool.submit(ask, number))
            wait_until(lambda number=number: len(batching._labels._waiting) == number, "it waits")  # type: ignore[misc]
            wait_until(lambda: bool(held.counts), "the first leads")
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(idents[1]), ctypes.py_object(KeyError))
        held.released.set()
    assert [future.result()[0] for future in (futures[0], futures[2])] == [0, 4]
    assert isinstance(futures[1].exception(), KeyError)
    assert batching.predict(table(5)).tolist() == [10]


@pytest.mark.parametrize("wait", [0.0, 0.001])
def test_no_call_is_lost_or_mistaken_under_stress(wait: float) -> None:
    """Many threads, tables of all sizes, some bad: every caller gets exactly its own answer."""
    batching = BatchingEngine(Doubling(), most=12, wait=wait)

    def ask(seed: int) -> int:
        chance = random.Random(seed)
        for _ in range(150):
            numbers = [chance.randrange(40) for _ in range(chance.randrange(1, 20))]
            if BAD in numbers:
                with pytest.raises(ZeroDivisionError):
                    batching.predict(table(*numbers))
            else:
                assert batching.predict(table(*numbers)).tolist() == [2 * number for number in numbers]
        return seed

    with ThreadPoolExecutor(12) as pool:
        assert [future.result(60) for future in [pool.submit(ask, seed) for seed in range(12)]] == [
            *range(12)
        ]
    assert not batching._labels._waiting
    assert not batching._labels._led
