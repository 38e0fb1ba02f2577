"""One thread where many would only wait for each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import joblib
from threadpoolctl import threadpool_limits  # it comes with scikit-learn


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep OpenMP, BLAS and joblib to the calling thread while the block runs.

    Golden records are a few hundred. Where others use the CPUs a tree's threads wait seconds for each other,
    and an estimator with `n_jobs` would first start processes, which takes seconds and outlives the block.
    """
    with threadpool_limits(1), joblib.parallel_config(backend="sequential"):
        yield
