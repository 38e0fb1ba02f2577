"""wrk, on its own core: closed-loop load on connections that are kept open."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import BenchmarkError

_SCRIPT = Path(__file__).parent / "post.lua"
_WARM_UP_SECONDS = 1
_REQUESTS_PER_CONNECTION = 20
_MOST_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk measured. Latencies are in milliseconds; `cpu` is the server's CPU time of a request, in
    microseconds.
    """

    requests_per_second: float
    p50: float
    p90: float
    p99: float
    cpu: float

    def document(self) -> dict[str, float]:
        """For results.json, in digits that mean something."""
        return {name: float(f"{value:.4g}") for name, value in asdict(self).items()}


def require_tools() -> None:
    """BenchmarkError saying what to install."""
    for tool, package in (("wrk", "wrk"), ("taskset", "util-linux")):
        if shutil.which(tool) is None:
            raise BenchmarkError(f"{tool} is not installed: apt-get install {package}")


def measure(
    url: str, bodies: Path, *, connections: int, seconds: int, cpu: int, spent: Callable[[], float]
) -> Load:
    """Post the lines of the file `bodies` to `url` over `connections` connections, after a warm-up.

    A slow server is measured for longer than `seconds`: requests under way in the end are not counted,
    and should not count for much. `spent` says how many seconds of CPU time the server has used.
    """
    warm_up = _said(_wrk(url, bodies, connections, _WARM_UP_SECONDS, cpu))
    rate = warm_up["requests"] / _WARM_UP_SECONDS
    enough = math.ceil(_REQUESTS_PER_CONNECTION * connections / rate) if rate else _MOST_SECONDS
    longer = max(seconds, min(enough, _MOST_SECONDS))
    before = spent()
    output = _wrk(url, bodies, connections, longer, cpu)
    return parse(output, spent() - before)


@dataclass(frozen=True, slots=True)
class Goodput:
    """Good answers and refusals per second; the 99th percentile of both in milliseconds."""

    good: float
    refused: float
    p99: float


def goodput(url: str, bodies: Path, *, connections: int, seconds: int, cpu: int) -> Goodput:
    """The same where refusals are expected; connections that break are not."""
    _wrk(url, bodies, connections, _WARM_UP_SECONDS, cpu)
    said = _said(_wrk(url, bodies, connections, seconds, cpu))
    refused = said["errors"].pop("status")
    if any(said["errors"].values()):
        raise BenchmarkError(f"the load is not what it should be: {said}")
    passed = said["microseconds"] / 1e6
    return Goodput((said["requests"] - refused) / passed, refused / passed, said["latency"]["p99"] / 1e3)


def _wrk(url: str, bodies: Path, connections: int, seconds: int, cpu: int) -> str:
    command = ["taskset", "-c", str(cpu), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    command += ["--timeout", "30s", "-s", str(_SCRIPT), url, "--", str(bodies)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode:
        raise BenchmarkError(f"wrk failed: {done.stdout}{done.stderr}")
    return done.stdout


def parse(output: str, cpu_seconds: float) -> Load:
    """The line of JSON that post.lua ends wrk's output with. BenchmarkError if a request failed.

    cpu_seconds   what the server used meanwhile
    """
    said = _said(output)
    failed = {name: count for name, count in said["errors"].items() if count}
    if failed or not said["requests"]:
        raise BenchmarkError(f"the load is not what it should be: {said}")
    p50, p90, p99 = (said["latency"][name] / 1e3 for name in ("p50", "p90", "p99"))
    rate = said["requests"] / said["microseconds"] * 1e6
    return Load(rate, p50, p90, p99, cpu=cpu_seconds / said["requests"] * 1e6)


def _said(output: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(output.splitlines()[-1])
    return said
