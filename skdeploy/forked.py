"""Work in a forked child of this process."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable

from skdeploy.ending import end_process

_log = logging.getLogger(__name__)

_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD)


def fork(work: Callable[[], None], name: str) -> int:
    """Fork a child that does `work` and then ends; the child's process id.

    The child handles signals as the kernel does, and leaves without the farewell of libraries that the
    parent loaded. Its exit code is 0, or 1 if `work` raised, which the child logs.

    name   of the child, for the log
    """
    # The child would write out again what these hold.
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        for one in _HANDLED:
            signal.signal(one, signal.SIG_DFL)
        work()
        code = 0
    except BaseException:  # nothing may fall back into the parent's code
        _log.exception("%s ends", name)
    finally:
        end_process(code)
