"""What a request's time is made of: requests are answered in this process under cProfile, by stage.

`serve_in_process` says who answers, `STAGES` and `BUILT_IN` what belongs to which stage.
"""

from __future__ import annotations

import cProfile
import gc
import math
import pstats
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks import protocols, report
from benchmarks.inprocess import request, serving
from benchmarks.servers import ROOT
from benchmarks.session import where_and_when

PATH = report.DOCUMENTS[1]
BEGIN = "<!-- written by `python -m benchmarks profile` -->\n"
REST = "bookkeeping"
# Stage -> prefixes of the modules whose time it is; the longest prefix holds.
STAGES: dict[str, Sequence[str]] = {
    "parse of HTTP": ("skdeploy.web.http", "skdeploy.web.context"),
    "decode of JSON": ("skdeploy.schema",),
    "packing": ("skdeploy.engines.onnx",),
    "graph": (),  # onnxruntime's own
    "encoding": ("skdeploy.model.outputs", "skdeploy.web.answers"),
    "drift": ("skdeploy.drift",),
    "metrics": ("skdeploy.web.metrics",),
    REST: ("skdeploy", "asyncio", "benchmarks"),
}
# Part of a built-in function's name -> its stage. The time of any other is its caller's.
BUILT_IN = {
    "onnxruntime": "graph",
    "msgspec.json.Encoder": "encoding",
    "feed_data": "parse of HTTP",
}
_WARM_UP = 50
# Requests that arrive together.
TURN = 16

# A function of a profile: file, line, name; and what pstats knows of it.
Function = tuple[str, int, str]
Times = Mapping[Function, tuple[int, int, float, float, Mapping[Function, tuple[int, int, float, float]]]]


@contextmanager
def serve_in_process() -> Iterator[Callable[[Sequence[bytes]], list[bytes]]]:
    """A worker's event loop without sockets: it answers the bodies that arrive in one turn."""
    with closing(serving(protocols.MODEL, TURN)) as served:

        def serve(bodies: Sequence[bytes]) -> list[bytes]:
            answers = served.ask([request(body) for body in bodies])
            for answer in answers:
                if not answer.startswith(b"HTTP/1.1 200 "):
                    raise SystemExit(f"A request is answered with {answer!r}")
            return answers

        yield serve


def write(requests: int) -> str:
    """Profile so many requests, write the table into benchmarks/README.md, and return it."""
    bodies = [protocols.body("skdeploy", [record]) for record in protocols.flight_records()]
    with serve_in_process() as serve:
        microseconds, shares = measure(serve, bodies, requests)
    where = report.machine({**where_and_when(), "rounds": 1}).partition(";")[0]
    section = (
        f"{where}; {requests:,} requests of one record, {TURN} in a turn, in process, without sockets."
        f"\n\n{table(microseconds, shares)}"
    )
    report.replace_between(PATH, BEGIN, section)
    return section


def measure(
    serve: Callable[[Sequence[bytes]], object], bodies: Sequence[bytes], requests: int
) -> tuple[float, dict[str, float]]:
    """Microseconds of a request without the profiler, and each stage's share of the time with it."""
    sent = [
        [bodies[(number + place) % len(bodies)] for place in range(TURN)]
        for number in range(0, requests, TURN)
    ]
    for turn in sent[:_WARM_UP]:
        serve(turn)
    # As skdeploy/web/wsgi.py does for the service.
    gc.collect()
    gc.freeze()
    begin = time.perf_counter()
    for turn in sent:
        serve(turn)
    microseconds = (time.perf_counter() - begin) / (len(sent) * TURN) * 1e6
    profile = cProfile.Profile()
    profile.enable()
    for turn in sent:
        serve(turn)
    profile.disable()
    gc.unfreeze()
    times = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    return microseconds, by_stage(times)


def by_stage(times: Times) -> dict[str, float]:
    """Each stage's share of the functions' own times. One that no stage claims counts as its callers do."""
    known: dict[Function, dict[str, float]] = {}
    found: dict[str, float] = {}
    for function, (_, _, own, _, _) in times.items():
        for stage, share in _stages(function, times, known, frozenset()).items():
            found[stage] = found.get(stage, 0.0) + own * share
    whole = math.fsum(found.values())
    return {stage: seconds / whole for stage, seconds in found.items()}


def _stages(
    function: Function, times: Times, known: dict[Function, dict[str, float]], above: frozenset[Function]
) -> dict[str, float]:
    if function in known:
        return known[function]
    if (stage := _claimed(function)) is not None:
        found = {stage: 1.0}
    else:
        found = _of_callers(function, times, known, above | {function})
    known[function] = found
    return found


def _of_callers(
    function: Function, times: Times, known: dict[Function, dict[str, float]], above: frozenset[Function]
) -> dict[str, float]:
    callers = times[function][4] if function in times else {}
    counted = {caller: made[2] for caller, made in callers.items() if caller not in above and made[2] > 0}
    if not counted:
        return {REST: 1.0}
    whole = math.fsum(counted.values())
    found: dict[str, float] = {}
    for caller, own in counted.items():
        for stage, share in _stages(caller, times, known, above).items():
            found[stage] = found.get(stage, 0.0) + own / whole * share
    return found


def _claimed(function: Function) -> str | None:
    file, _, name = function
    if file == "~":
        return next((stage for part, stage in BUILT_IN.items() if part in name), None)
    module = _module(file)
    claims = [
        (len(prefix), stage)
        for stage, prefixes in STAGES.items()
        for prefix in prefixes
        if f"{module}.".startswith(f"{prefix}.")
    ]
    return max(claims)[1] if claims else None


def _module(file: str) -> str:
    """The name of the module in a file; of the standard library's only the end."""
    _, installed, inside = file.rpartition("/site-packages/")
    if not installed:
        path = Path(file)
        inside = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else "/".join(path.parts[-2:])
    return inside.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def table(microseconds: float, shares: Mapping[str, float]) -> str:
    """A line per stage that takes any time, in the order of a request."""
    lines = [
        [stage, f"{shares[stage]:.0%}", f"{shares[stage] * microseconds:.1f}"]
        for stage in STAGES
        if shares.get(stage)
    ]
    return report.markdown(
        ["", "share of the profile", "µs of a request"], [*lines, ["all", "100%", f"{microseconds:.1f}"]]
    )
