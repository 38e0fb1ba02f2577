"""AWS Lambda's zip: an exported model, what scores with it, and nothing that is too large.

python -m streaming.package [--model URI] [--output dist/lambda.zip] [--python 3.13]

numpy, scipy, scikit-learn and pandas are above Lambda's 250 MB; numpy, onnxruntime and msgspec are not.
Their wheels are those of the lock, for Lambda's Linux. boto3 is in Lambda's own environment.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skdeploy.config import ModelSettings
from skdeploy.errors import ExportError, SettingsError, SkdeployError
from skdeploy.model.exported import is_exported, load_exported
from skdeploy.model.exporting import export
from skdeploy.source import Source, fetch
from skdeploy.writing import write

# Unpacked, with all layers.
# Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MOST_BYTES = 262_144_000
# What is imported. onnxruntime names others as well (protobuf, flatbuffers, packaging), for its tools.
PACKAGES = ("msgspec", "numpy", "onnxruntime")
# The model's name in the zip: what the function's SKDEPLOY_MODEL_URI says.
MODEL_FILE = "model.skdeploy"
# Parts of the package that no function needs.
_LEFT_OUT = (
    "__main__.py",
    "batch",
    "doctor.py",
    "engines/compiling",
    "packaging.py",
    "saving",
    "reload",
    "web",
)
_ENTRIES = ("streaming/__init__.py", "streaming/lambda_function.py")
# The least that a zip can say.
_DATE = (1980, 1, 1, 0, 0, 0)
_LINUX = 3
_CONTAINER = "Deploy the container."
# Of AWS's runtimes, one whose system is new enough for numpy's wheels.
_PYTHON = "3.13"


@dataclass(frozen=True, slots=True)
class Target:
    """Where the zip runs: a minor version of Python, and the C library's, on Linux x86_64."""

    python: str
    glibc: tuple[int, int]

    @classmethod
    def of_lambda(cls, python: str) -> Target:
        """AWS's runtime. Raises SettingsError, or ExportError where none of numpy's wheels runs."""
        if not re.fullmatch(r"3\.\d+", python, re.ASCII):
            raise SettingsError(f"--python={python!r} is no minor version: 3.13, say.")
        # Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
        if int(python.removeprefix("3.")) < 12:
            raise ExportError(
                f"AWS runs Python {python} on Amazon Linux 2, whose C library is older than numpy's wheels "
                "need: build for 3.12 or newer (--python)."
            )
        return cls(python, (2, 34))

    def pip_options(self) -> list[str]:
        """What makes pip choose wheels for the target."""
        platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(self.glibc[1], 16, -1)]
        return [
            *("--python-version", self.python, "--implementation", "cp"),
            *(option for one in [*platforms, "manylinux2014_x86_64"] for option in ("--platform", one)),
        ]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes."""

    unpacked: int
    packed: int


def main(argv: Sequence[str], environ: Mapping[str, str], root: Path = Path()) -> int:
    """Run the command; its exit code: 0 the zip is written, 1 it is not, 2 bad settings or arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m streaming.package", description="A model as a zip for AWS Lambda."
    )
    parser.add_argument(
        "--model", metavar="URI", help="where the model comes from; default SKDEPLOY_MODEL_URI"
    )
    parser.add_argument("--output", metavar="FILE", type=Path, default=Path("dist/lambda.zip"))
    parser.add_argument(
        "--python", metavar="3.x", default=_PYTHON, help="the function's; default %(default)s"
    )
    options = parser.parse_args(argv)
    try:
        settings = ModelSettings.from_env(environ)
        settings = dataclasses.replace(settings, model_uri=options.model or settings.model_uri)
        source, target = Source.from_settings(settings), Target.of_lambda(options.python)
        sizes = _package(source, options.output, root, target)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except (SkdeployError, OSError) as error:
        print(f"No zip: {error}", file=sys.stderr)
        return 1
    print(f"{options.output}: {sizes.packed:,} bytes, unpacked {sizes.unpacked:,} of {MOST_BYTES:,}")
    print(f"runtime python{target.python}, x86_64; handler streaming.lambda_function.handler; ", end="")
    print(f"SKDEPLOY_MODEL_URI={MODEL_FILE}")
    return 0


def _package(source: Source, output: Path, root: Path, target: Target) -> Sizes:
    fetched = fetch(source)
    model = fetched.content
    if is_exported(model, fetched.where):
        load_exported(model, digest=fetched.digest, where=fetched.where)
    else:
        model, _ = export(model, digest=fetched.digest, where=fetched.where, trusted=source.trusted)
    return build(model, output, root, target)


def build(model: bytes, output: Path, root: Path, target: Target, most: int = MOST_BYTES) -> Sizes:
    """Write the zip with an exported model's file, `model`, to `output`. The same inputs make the same bytes.

    root   the project's: Pipfile.lock, skdeploy/, streaming/
    most   bytes that Lambda unpacks

    Raises ExportError: wheels that are not to be had, or more than Lambda unpacks.
    """
    with tempfile.TemporaryDirectory() as folder:
        wheels = _download(root / "Pipfile.lock", Path(folder), target)
        files = dict(_wheel_files(wheels))
    files |= {str(path.relative_to(root)): path.read_bytes() for path in _own_files(root)}
    files[MODEL_FILE] = model
    unpacked = sum(map(len, files.values()))
    if unpacked > most:
        raise ExportError(
            f"The zip would be {unpacked:,} bytes unpacked, and Lambda takes {most:,}. {_CONTAINER}"
        )
    content = _zipped(files)
    output.parent.mkdir(parents=True, exist_ok=True)
    write(output, content)
    return Sizes(unpacked, len(content))


def requirements(lock: Path) -> str:
    """The packages with the lock's own versions and hashes, as pip reads them."""
    locked = json.loads(lock.read_bytes())["default"]
    return "".join(
        f"{name}{locked[name]['version']} {' '.join(f'--hash={one}' for one in locked[name]['hashes'])}\n"
        for name in PACKAGES
    )


def _download(lock: Path, folder: Path, target: Target) -> list[Path]:
    listed = folder / "requirements.txt"
    listed.write_text(requirements(lock))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--require-hashes", "--no-deps", "--only-binary", ":all:", *target.pip_options()]
    command += ["--dest", str(folder), "--requirement", str(listed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    if done.returncode:
        raise ExportError(
            f"pip has no wheels for Python {target.python} as the lock has them: {done.stderr.strip()}"
        )
    return sorted(folder.glob("*.whl"))


def _wheel_files(wheels: list[Path]) -> Iterator[tuple[str, bytes]]:
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                # Scripts and headers.
                if not name.endswith("/") and ".data/" not in name:
                    yield name, archive.read(name)


def _own_files(root: Path) -> Iterator[Path]:
    package = root / "skdeploy"
    left_out = [package / name for name in _LEFT_OUT]
    for path in package.rglob("*.py"):
        if not any(path.is_relative_to(one) for one in left_out):
            yield path
    yield from filter(Path.exists, (root / name for name in _ENTRIES))


def _zipped(files: dict[str, bytes]) -> bytes:
    """Names in order, one date, readable by all, as Lambda demands."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in sorted(files):
                info = zipfile.ZipInfo(name, _DATE)
                info.create_system, info.external_attr = _LINUX, 0o100644 << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, files[name], compresslevel=9)
        file.seek(0)
        return file.read()
