"""How many requests wait for a thread."""

from __future__ import annotations

import threading

from skdeploy.web.pool import Pool


def test_what_an_idle_thread_is_about_to_take_does_not_wait() -> None:
    """Two idle threads have not woken up yet: two jobs do not wait, a third does."""
    may_end = threading.Event()
    with Pool(2) as pool:
        both = threading.Barrier(2)
        for job in [pool.submit(both.wait) for _ in range(2)]:
            job.result()
        seen = []
        for _ in range(5):
            pool.submit(may_end.wait)
            seen.append(pool.waiting)
        may_end.set()
    assert seen == [0, 0, 1, 2, 3]
    assert pool.waiting == 0


def test_a_job_that_failed_or_was_cancelled_waits_no_more() -> None:
    """Nor does it hold a place."""
    may_end = threading.Event()
    with Pool(1) as pool:
        failing = pool.submit(lambda: 1 / 0)
        assert isinstance(failing.exception(), ZeroDivisionError)
        jobs = [pool.submit(may_end.wait) for _ in range(2)]
        seen = [pool.waiting]
        jobs[1].cancel()
        seen.append(pool.waiting)
        may_end.set()
    assert seen == [1, 0]
