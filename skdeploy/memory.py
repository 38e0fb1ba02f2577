"""Memory that a process has no use for any more, given back; what stays is not looked at again."""

from __future__ import annotations

import ctypes
import gc


def release() -> None:
    """Give freed memory back to the system, where the C library can: it keeps what it may need again.

    After a model of 70 MB was loaded and compiled, that is 270 MB.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own
    if trim is not None:
        trim(0)


def settle() -> None:
    """After loading: no later collection walks the objects that are there, and freed memory is given back."""
    gc.collect()
    gc.freeze()
    release()
