"""The end of a process, at once."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn


def end_process(code: int) -> NoReturn:
    """End with this exit code; what was logged and printed is written out before.

    The interpreter would take scikit-learn, pandas and the model apart, which lasts half a second, and in a
    forked child it would wait for threads of libraries that did not survive the fork.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
