"""Whether this process has been told to end: set by the worker, read by /ready."""

from __future__ import annotations

import threading

draining = threading.Event()
