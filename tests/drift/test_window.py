"""What a process has seen lately."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from skdeploy.drift import PREDICTION, Window, drifted
from skdeploy.schema import Table
from tests.drift.sketches import changed, predictions, sketch, table

TRAINING = table()
SKETCH = sketch(TRAINING)
LIMIT = 15_000 // 8


def seen(window: Window, name: str = "wet") -> int:
    """How many records the window holds."""
    return sum(count for (column, _), count in window.fold().items() if column == name)


def test_small_and_large_requests_come_to_the_same_counts() -> None:
    """One record at a time, all at once, and as arrays."""
    some = TRAINING.rows(range(1000))
    values = predictions(some)
    alone, together, arrays = (Window(SKETCH, 10_000) for _ in range(3))
    for place in range(some.count):
        alone.add(some.rows([place]), [values[0][place : place + 1]])
    together.add(some, values)
    cells: list[Any] = [*some.cells]
    cells[0], cells[3] = np.array(cells[0], dtype=np.float64), np.array(cells[3])
    arrays.add(Table(cells, some.count), values)
    assert alone.fold() == together.fold() == arrays.fold()
    found = together.drifted()
    assert found["wet"].psi == pytest.approx(0, abs=0.01)
    assert found == drifted(SKETCH, together.counts)


def test_what_is_long_past_is_forgotten() -> None:
    """The window holds its size, or half of it: after as many records as it holds the old ones are gone."""
    window = Window(SKETCH, 1000)
    dry, wet = (changed(TRAINING, "wet", lambda _, now=now: now) for now in (False, True))
    for records in (dry, wet):
        for first in range(0, 1000, 100):
            part = records.rows(range(first, first + 100))
            window.add(part, predictions(part))
            assert seen(window) <= 1000
    counts = window.fold()
    # True came less often in training, and so has the second bin.
    assert counts["wet", 0] == 0
    assert 500 <= counts["wet", 1] <= 1000


def test_of_very_many_records_a_sample_is_kept() -> None:
    """However many come, few wait to be counted, and their shares are those of all."""
    window = Window(SKETCH, 100_000)
    records = table(records=20_000, seed=1)
    values = predictions(records)
    for _ in range(5):
        for place in range(0, 20_000, 10):
            window.add(records.rows(range(place, place + 10)), [values[0][place : place + 10]])
        window.add(records, values)
        counted = seen(window)
    assert 2 * LIMIT < counted < 5 * LIMIT
    assert seen(window, PREDICTION) == counted
    for one in window.drifted().values():
        assert one.psi is not None
        assert one.psi < 0.05


def test_when_fewer_come_all_are_looked_at_again() -> None:
    """A rush leaves no trace in how the quiet hours are counted."""
    window = Window(SKETCH, 10**9)
    for _ in range(10):
        window.add(TRAINING, predictions(TRAINING))
    rush = seen(window)
    assert rush <= LIMIT
    small = TRAINING.rows(range(100))
    for _ in range(20):
        window.add(small, predictions(small))
        before, after = rush, seen(window)
        rush = after
    assert after - before == 100


def test_many_threads_add_while_others_count() -> None:
    """Every record is counted once."""
    window = Window(SKETCH, 10**9)
    records = TRAINING.rows(range(10))
    values = predictions(records)

    def work() -> None:
        for _ in range(40):
            window.add(records, values)
            window.look_after()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        window.fold()
        thread.join()
    assert seen(window) == 1600


def test_no_records_are_no_records() -> None:
    """A request all of whose records are bad adds nothing."""
    window = Window(SKETCH, 1000)
    window.add(TRAINING.rows([]), [])
    assert window.drifted() == {}
    assert set(window.fold().values()) == {0}


def test_a_fold_in_pieces_keeps_nobody_waiting() -> None:
    """Between its pieces the same thread may add, count and begin another fold; each record counts once."""
    window = Window(SKETCH, 10**9)
    first, second = TRAINING.rows(range(100)), TRAINING.rows(range(100, 130))
    counted: list[int] = []

    def work() -> None:
        window.add(first, predictions(first))
        pieces = window.folding()
        next(pieces)
        window.add(second, predictions(second))
        counted.append(seen(window))
        for _ in pieces:
            pass
        counted.append(seen(window))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert counted == [30, 130]
