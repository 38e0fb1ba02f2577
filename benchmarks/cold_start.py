"""How long a fresh process takes to its first prediction: from the unpacked zip, and as the container does.

python -m benchmarks.cold_start FOLDER [model.bin]     FOLDER is dist/lambda.zip, unpacked; median of 5
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_RUNS = 5
_ROOT = Path(__file__).parent.parent

_CODE = """
import sys, time
begin = time.perf_counter()
sys.path.insert(0, "")
import json
import skdeploy.stream
from skdeploy.source import load
imported = time.perf_counter()
model = load(sys.argv[1], engine=sys.argv[2])
loaded = time.perf_counter()
model.engine.predict(model.probe)
ended = time.perf_counter()
print(json.dumps({"import": imported - begin, "load": loaded - imported, "predict": ended - loaded}))
"""


def measure_zip(folder: Path) -> dict[str, float]:
    """Seconds of import, load, first prediction and the whole process, without site-packages.

    Nothing is written beside the modules, as in Lambda, whose folder cannot be written.
    """
    return _measure(["-I", "-S", "-B", "-c", _CODE, "model.skdeploy", "onnx"], folder)


def measure_container(model: Path, engine: str = "sklearn") -> dict[str, float]:
    """The same of the model's file with all libraries: unpickled, proved, and compiled unless `engine`
    is "sklearn".
    """
    return _measure(["-c", _CODE, str(model.absolute()), engine], _ROOT)


def median(measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Of five runs, part by part."""
    runs = [measure() for _ in range(_RUNS)]
    return {part: statistics.median(run[part] for run in runs) for part in runs[0]}


def _measure(arguments: Sequence[str], folder: Path) -> dict[str, float]:
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    whole = time.perf_counter() - begin
    seconds: dict[str, float] = json.loads(done.stdout)
    return seconds | {"process": whole}


def main(argv: Sequence[str]) -> None:
    """Print the medians, a line of JSON per way."""
    folder, model = Path(argv[0]), Path(argv[1] if len(argv) > 1 else "model.bin")
    ways: dict[str, Callable[[], dict[str, float]]] = {
        "zip": lambda: measure_zip(folder),
        "container, sklearn": lambda: measure_container(model),
        "container, auto": lambda: measure_container(model, "auto"),
    }
    for name, measure in ways.items():
        print(name, json.dumps({part: round(value, 3) for part, value in median(measure).items()}))


if __name__ == "__main__":
    main(sys.argv[1:])
