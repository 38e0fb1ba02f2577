"""One thread where many would only wait for each other: OpenMP, BLAS and joblib.

Both need joblib and threadpoolctl, which come with scikit-learn; an exported model has none of the pools.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep native pools and joblib to the calling thread while the block runs.

    Golden records are a few hundred. Where others use the CPUs a tree's threads wait seconds for each other,
    and an estimator with `n_jobs` would first start processes, which takes seconds and outlives the block.
    """
    import joblib
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), joblib.parallel_config(backend="sequential"):
        yield


class OneThread:
    """Keeps calls of a model to the thread that makes them, for as long as that thread lives.

    Several workers or threads that each start a pool as large as the machine wait for each other: trees that
    predict in 9 ms take 30. An estimator with `n_jobs` would start joblib's processes or threads in each
    worker. The service's environment limits the pools as well; this holds wherever the application runs.

    It is made once the model has loaded its libraries: to look for them takes milliseconds.
    """

    def __init__(self) -> None:
        self._pools = None
        if "sklearn" in sys.modules:
            from threadpoolctl import ThreadpoolController

            self._pools = ThreadpoolController()
        self._threads = threading.local()

    def enter(self) -> None:
        """Limit the calling thread, at its first call. OpenMP and joblib keep their limits per thread."""
        if self._pools is None or hasattr(self._threads, "limited"):
            return
        import joblib

        self._pools.limit(limits=1)
        joblib.parallel_config(backend="sequential")
        self._threads.limited = True
