"""What /proc knows of a process and of all that it started."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from pathlib import Path

_LISTENING = "0A"
_LOOPBACK = {
    "0100007F",
    "00000000000000000000000001000000",
    "0000000000000000FFFF00000100007F",  # 127.0.0.1 as IPv6 writes it
}


def tree(pid: int) -> list[int]:
    """`pid` and its descendants, those that live."""
    children = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name in parentheses may hold anything, blanks included.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children[parent].append(int(stat.parent.name))
    found = [pid] if Path(f"/proc/{pid}").exists() else []
    for known in found:
        found.extend(children[known])
    return found


def memory(pid: int) -> float:
    """Proportional set size of the whole tree in MB (10**6 bytes): shared pages count once."""
    total = 0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total / 1e6


def strangers(pid: int) -> list[str]:
    """The addresses that the tree listens on and that are not loopback, as the kernel writes them."""
    sockets = set()
    for member in tree(pid):
        for descriptor in Path(f"/proc/{member}/fd").glob("*"):
            with contextlib.suppress(OSError):
                sockets.add(str(descriptor.readlink()))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            address = local.partition(":")[0]
            if state == _LISTENING and f"socket:[{inode}]" in sockets and address not in _LOOPBACK:
                found.append(local)
    return found
