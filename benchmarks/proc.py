"""What /proc knows of a process and of all that it started."""

from __future__ import annotations

import contextlib
import os
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
    return sum(_megabytes(member, ("Pss:",)) for member in tree(pid))


def private_memory(pid: int) -> float:
    """MB (10**6 bytes) of one process that no other process shares: what the kernel has back when it ends."""
    return _megabytes(pid, ("Private_Clean:", "Private_Dirty:", "Private_Hugetlb:"))


def _megabytes(pid: int, names: tuple[str, ...]) -> float:
    total = 0
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(names):
                total += int(line.split()[1]) * 1024
    return total / 1e6


def cpu_seconds(pid: int) -> float:
    """CPU time of the whole tree so far, in the kernel and outside of it, to the hundredth."""
    ticks = 0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            # utime and stime, the 14th and 15th field; two stand before what follows the name.
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


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
