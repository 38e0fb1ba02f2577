"""The image, built and run by a real Docker engine."""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest
import requests
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

import skdeploy
from skdeploy.config import WebSettings
from skdeploy.web import create_app
from tests.integration.conftest import IMAGE
from tests.integration.docker_engine import Container, Docker
from tests.live import ROOT, wait_until

pytestmark = pytest.mark.heavy
MODEL_FILE = ROOT / "model.bin"
# What is added to the base, measured 504 MB: numpy, scipy, pandas, scikit-learn and onnx with their
# bytecode; 132 MB of it are mlflow-skinny, boto3, skops and what those need.
MOST_ADDED_MB = 550
# Measured 168: onnxruntime, numpy, uvloop and Flask with their bytecode.
MOST_ADDED_MB_SLIM = 200
COMPILERS = ("gcc", "g++", "cc", "c++", "clang", "tcc", "gfortran", "as", "ld", "make")
HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")


@pytest.fixture(scope="module")
def container(docker: Docker, image: str) -> Generator[Container]:
    """A container as the README starts it, for tests that leave it as it is."""
    with serving(docker, image) as running:
        yield running


@contextlib.contextmanager
def serving(docker: Docker, image: str, *options: str, port: int = 9696) -> Generator[Container]:
    """A container of `image` that is ready."""
    with docker.container(*options, image, port=port) as container:
        wait_until(lambda: is_ready(container), "/ready answers 200", 60)
        yield container


def is_ready(container: Container) -> bool:
    """Whether /ready says so; AssertionError if the container has ended."""
    assert container.state("Running") == "true", container.log()
    with contextlib.suppress(requests.ConnectionError):
        return bool(requests.get(f"http://{container.address}/ready", timeout=10).status_code == 200)
    return False


def examples(container: Container) -> dict[str, Any]:
    """A record of the examples that the service itself gives."""
    schema = requests.get(f"http://{container.address}/", timeout=10).json()["schema"]
    return {name: column["examples"][0] for name, column in schema["properties"].items()}


def assert_answers_like(container: Container, model_file: Path) -> None:
    """One record, many and a bad one: the container answers what a service in this process does."""
    record = examples(container)
    bad = {**record, "no such column": 1}
    client = create_app(skdeploy.load(model_file), WebSettings.from_env({})).test_client()
    for body in (record, [record | {"id": "a"}, record], bad):
        there = requests.post(f"http://{container.address}/predict", json=body, timeout=10)
        here = client.post("/predict", json=body)
        assert there.status_code == here.status_code, there.text
        assert there.headers["Content-Type"] == here.headers["Content-Type"]
        assert_same(there.json(), here.get_json(force=True))


def assert_same(there: Any, here: Any) -> None:
    """Equal, numbers as nearly as two processors agree."""
    if isinstance(here, dict):
        assert there.keys() == here.keys()
        for name, value in here.items():
            assert_same(there[name], value)
    elif isinstance(here, list):
        assert len(there) == len(here)
        for one, other in zip(there, here, strict=True):
            assert_same(one, other)
    else:
        assert there == (pytest.approx(here, rel=1e-5) if isinstance(here, float) else here)


def look(docker: Docker, image: str, code: str) -> Any:
    """What Python code in a container of `image` prints, as a value."""
    options = ("--rm", "--network=none", "--entrypoint=python3")
    return ast.literal_eval(docker.run("run", *options, image, "-c", code).splitlines()[-1])


# Serving


def test_it_answers_as_this_process_does(container: Container) -> None:
    """A POST to the container and a prediction in this process are the same, refusals as well."""
    assert_answers_like(container, MODEL_FILE)


@pytest.mark.parametrize(
    "options",
    [HARDENED, (*HARDENED, "--tmpfs=/tmp"), (*HARDENED, "--user=12345"), ("--user=12345:0",)],
    ids=" ".join,
)
def test_it_runs_hardened(docker: Docker, image: str, options: tuple[str, ...]) -> None:
    """It serves on a read-only file system, without capabilities, and as any user."""
    with serving(docker, image, *options) as container:
        assert_answers_like(container, MODEL_FILE)
        assert docker.attempt("stop", container.id).returncode == 0
        assert container.state("ExitCode") == "0"


def test_it_writes_nothing(docker: Docker, image: str) -> None:
    """After serving, the container's file system is the image's."""
    with serving(docker, image) as container:
        assert_answers_like(container, MODEL_FILE)
        assert docker.run("diff", container.id) == ""


def test_another_model_is_mounted(docker: Docker, image: str, regressor_file: Path) -> None:
    """`-v other.bin:/app/model.bin:ro` serves somebody else's model."""
    with serving(docker, image, f"--volume={regressor_file}:/app/model.bin:ro") as container:
        assert_answers_like(container, regressor_file)
        page = requests.get(f"http://{container.address}/", timeout=10).json()
        assert page["model"]["name"] == "tree"


def test_a_model_that_is_not_proved_ends_the_container(docker: Docker, image: str, tmp_path: Path) -> None:
    """A wrong golden prediction: exit code not 0, and the reason in the log."""
    pipeline = joblib.load(MODEL_FILE)
    pipeline.passport_["golden"]["predictions"][7] += 1
    joblib.dump(pipeline, tmp_path / "wrong.bin")
    log = refusal(docker, image, tmp_path / "wrong.bin")
    assert "The service does not start: Golden record 7 predicts" in log


def refusal(docker: Docker, image: str, model_file: Path) -> str:
    """The log of a container that does not start with a model."""
    with docker.container(f"--volume={model_file}:/app/model.bin:ro", image) as container:
        wait_until(lambda: container.state("Running") == "false", "the container ends", 60)
        assert container.state("ExitCode") != "0"
        return container.log()


# The process


def test_the_service_is_the_first_process_and_nobody_is_root(container: Container) -> None:
    """PID 1 is gunicorn's main process itself; it and its workers run as the image's user."""
    code = """
import contextlib, pathlib
found = []
for path in pathlib.Path("/proc").glob("[0-9]*/status"):
    with contextlib.suppress(OSError):  # a health check that has just ended
        command = path.with_name("cmdline").read_text().split(chr(0))
        found.append((path.parent.name, path.read_text().split(), command))
print(found)
"""
    processes = ast.literal_eval(container.execute("python3", "-c", code))
    for _, status, _ in processes:
        assert status[status.index("Uid:") + 1 : status.index("Uid:") + 5] == ["10001"] * 4
        assert status[status.index("Gid:") + 1 : status.index("Gid:") + 5] == ["10001"] * 4
    assert {pid: words for pid, _, words in processes}["1"][1:4] == ["-m", "skdeploy", "serve"]


def test_stop_answers_what_has_begun(docker: Docker, image: str) -> None:
    """`docker stop` in the middle of a request: it is answered, and the exit code is 0."""
    with serving(docker, image) as container:
        body = json.dumps(examples(container)).encode()
        host, port = container.address.split(":")
        with socket.create_connection((host, int(port)), timeout=20) as client:
            head = (
                "POST /predict HTTP/1.1",
                "Host: here",
                "Connection: close",
                f"Content-Length: {len(body)}",
            )
            client.sendall("\r\n".join((*head, "", "")).encode() + body[:20])
            command = [docker.client, "stop", "-t", "30", container.id]
            with subprocess.Popen(command, env=docker.environment(), stdout=subprocess.DEVNULL) as stop:
                wait_until(lambda: "Handling signal: term" in container.log(), "SIGTERM arrives")
                client.sendall(body[20:])
                answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert stop.returncode == 0
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert "prediction" in json.loads(answer.partition(b"\r\n\r\n")[2])
        assert container.state("ExitCode") == "0"


class SlowToLoad:
    """Takes a minute to unpickle."""

    def __reduce__(self) -> Any:
        return time.sleep, (60,)


def test_stop_while_it_starts(docker: Docker, image: str, tmp_path: Path) -> None:
    """`docker stop` while the model is loaded ends it at once: process 1 has a handler by then."""
    joblib.dump(SlowToLoad(), tmp_path / "slow.bin")
    with docker.container(f"--volume={tmp_path / 'slow.bin'}:/app/model.bin:ro", image) as container:
        wait_until(lambda: handles_sigterm(container), "process 1 handles SIGTERM", 20)
        docker.run("stop", "-t", "20", container.id)
        assert container.state("ExitCode") == "0", container.log()


def handles_sigterm(container: Container) -> bool:
    """Whether process 1 has a handler; without one the kernel drops the signal."""
    status = container.execute("cat", "/proc/1/status").split()
    caught = int(status[status.index("SigCgt:") + 1], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("port", [9696, 8080])
def test_the_health_check(docker: Docker, image: str, port: int) -> None:
    """It becomes healthy, on the port that PORT names, whatever proxy the environment names."""
    options = (f"--env=PORT={port}", "--env=http_proxy=http://127.0.0.1:9", "--health-interval=1s")
    with serving(docker, image, *options, port=port) as container:
        wait_until(lambda: container.state("Health.Status") == "healthy", "it is healthy", 30)


def test_the_health_check_fails_without_a_service(docker: Docker, image: str) -> None:
    """Where nothing listens, the image's own check exits with 1."""
    check = inspect(docker, image)["Healthcheck"]["Test"]
    assert check[0] == "CMD"
    done = docker.attempt("run", "--rm", f"--entrypoint={check[1]}", image, *check[2:])
    assert done.returncode == 1


def inspect(docker: Docker, image: str) -> dict[str, Any]:
    """The image's configuration."""
    configuration: dict[str, Any] = json.loads(
        docker.run("image", "inspect", "--format={{json .Config}}", image)
    )
    return configuration


# What is in it


def test_only_what_serves_is_in_the_image(docker: Docker, image: str) -> None:
    """/app holds the package and the model, for all to read."""
    code = """
import pathlib
app = pathlib.Path("/app")
print(sorted(str(path.relative_to(app)) for path in app.rglob("*") if path.is_file() and path.suffix != ".pyc"
             and path.read_bytes() is not None))
"""
    package = (path for path in (ROOT / "skdeploy").rglob("*") if path.is_file() and path.suffix != ".pyc")
    expected = ["model.bin"]
    assert look(docker, image, code) == sorted(expected + [str(path.relative_to(ROOT)) for path in package])


def test_exactly_the_locked_packages_are_installed(docker: Docker, image: str) -> None:
    """What serves, what reads S3 and an MLflow registry, pip for derived images, and nothing else."""
    code = """
import importlib.metadata
print({each.metadata["Name"]: each.version for each in importlib.metadata.distributions(path=[
    path for path in __import__("sys").path if path.startswith("/opt/venv")])})
"""
    installed = {normal(name): version for name, version in look(docker, image, code).items()}
    assert installed.pop("pip")
    lock = json.loads((ROOT / "Pipfile.lock").read_text())
    locked = lock["default"] | lock["mlflow"]
    assert installed == {normal(name): each["version"].removeprefix("==") for name, each in locked.items()}


def normal(name: str) -> str:
    """A distribution's name as the lock writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_a_package_with_another_hash_is_refused(docker: Docker, base: str, tmp_path: Path) -> None:
    """If what is downloaded has a hash that is not in the lock, there is no image."""
    shutil.copytree(ROOT / "skdeploy", tmp_path / "skdeploy")
    for name in ("Dockerfile", ".dockerignore", "Pipfile", "model.bin"):
        shutil.copy(ROOT / name, tmp_path)
    lock = json.loads((ROOT / "Pipfile.lock").read_text())
    lock["default"]["blinker"]["hashes"] = [f"sha256:{'0' * 64}"]
    (tmp_path / "Pipfile.lock").write_text(json.dumps(lock))
    with pytest.raises(AssertionError, match="DO NOT MATCH THE HASHES"):
        docker.build(f"{IMAGE}-never", tmp_path, f"--build-arg=BASE={base}")


def test_there_is_no_compiler_and_no_test_code(docker: Docker, image: str) -> None:
    """No compiler, no pipenv, and no folder of tests beside the packages."""
    code = f"""
import pathlib, shutil
found = [name for name in {(*COMPILERS, "pipenv")} if shutil.which(name)]
tests = [str(path) for name in ("tests", "test", "conftest.py") for path in pathlib.Path("/opt").rglob(name)]
print(found + tests)
"""
    assert look(docker, image, code) == []


def test_what_was_removed_is_not_missed(docker: Docker, image: str) -> None:
    """Every public module of the libraries that models are made of still imports."""
    code = """
import importlib, pkgutil, warnings
warnings.simplefilter("ignore")
names = ("sklearn", "scipy", "numpy", "pandas", "joblib")
missed = []
for name in names:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + ".", onerror=lambda name: None):
        if "._" in module.name:
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            missed += [error.name] if error.name.startswith(names) else []
        except Exception:
            pass  # optional dependencies, other systems
print(missed)
"""
    assert look(docker, image, code) == []


def test_the_bytecode_is_there(docker: Docker, image: str) -> None:
    """A start compiles nothing: it could not keep it, and would do it again each time."""
    code = """
import pathlib, sys, skdeploy.cli, skdeploy.server, skdeploy.web.wsgi
files = [getattr(module, "__cached__", None) for module in sys.modules.values()]
print([file for file in files if file and not pathlib.Path(file).exists()])
"""
    assert look(docker, image, code) == []


def test_only_scratch_folders_can_be_written(docker: Docker, image: str) -> None:
    """The service's user can change neither code nor model; the cache is for a volume."""
    code = """
import os
print(sorted(folder for folder, *_ in os.walk("/") if not folder.startswith(("/proc", "/dev", "/sys"))
             and os.access(folder, os.W_OK)))
"""
    assert set(look(docker, image, code)) <= {"/tmp", "/var/tmp", "/run/lock", "/var/cache/skdeploy"}


def test_the_size(docker: Docker, base: str, image: str) -> None:
    """The image is not much larger than its base and the locked packages."""
    added = added_mb(docker, base, image)
    assert 0 < added < MOST_ADDED_MB, f"{added:.0f} MB"


def added_mb(docker: Docker, base: str, image: str) -> float:
    """What an image is larger than its base."""
    sizes = (int(docker.run("image", "inspect", "--format={{.Size}}", each)) for each in (image, base))
    return (next(sizes) - next(sizes)) / 1e6


def test_it_tells_nothing_of_where_it_was_built(docker: Docker, base: str, image: str) -> None:
    """Neither history nor environment nor files hold an index, a proxy, a certificate or a secret."""
    history = docker.run("history", "--no-trunc", "--format={{.CreatedBy}}", image)
    inherited = inspect(docker, base)["Env"] or []
    added = {line.partition("=")[0] for line in inspect(docker, image)["Env"] if line not in inherited}
    own = {
        "PATH",
        "PYTHONPATH",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONUNBUFFERED",
        "SKDEPLOY_BIND_ADDRESS",
        "MLFLOW_DISABLE_TELEMETRY",
    }
    assert added <= own
    ours = history[: history.index("ARG BASE")]
    assert not re.search(r"proxy|index-url|secret|cert|https?:", ours, re.IGNORECASE)
    code = "import pathlib; print([p for p in ('/etc/pip.conf', '/run/secrets') if pathlib.Path(p).exists()])"
    assert look(docker, image, code) == look(docker, base, code)


def test_what_it_says_of_itself(docker: Docker, base: str, image: str) -> None:
    """Port, stop signal, numeric user and labels are where tools look for them."""
    configuration = inspect(docker, image)
    assert configuration["ExposedPorts"] == {"9696/tcp": {}}
    assert configuration["StopSignal"] == "SIGTERM"
    assert configuration["User"] == "10001:10001"
    assert (configuration["Entrypoint"], configuration["Cmd"]) == (["python3", "-m", "skdeploy"], ["serve"])
    assert configuration["Labels"]["org.opencontainers.image.base.name"] == base


def test_the_image_and_the_makefile_use_the_same_pipenv() -> None:
    """PIPENV_VERSION is one number in two files."""
    found = [
        re.search(r"PIPENV_VERSION\s*:?=\s*(\S+)", (ROOT / name).read_text())
        for name in ("Makefile", "Dockerfile")
    ]
    makefile, dockerfile = (match[1] for match in found if match)
    assert makefile == dockerfile


# The image of an exported model


def test_the_slim_image_answers_the_same(docker: Docker, slim_image: str) -> None:
    """Hardened, it answers what the pickle's service does."""
    with serving(docker, slim_image, *HARDENED) as container:
        assert_answers_like(container, MODEL_FILE)
        page = requests.get(f"http://{container.address}/", timeout=10).json()
        assert page["engine"] == "onnx"


def test_the_slim_image_is_small(docker: Docker, base: str, slim_image: str) -> None:
    """It holds the exported model alone, and nothing that unpickles or compiles one."""
    added = added_mb(docker, base, slim_image)
    assert 0 < added < MOST_ADDED_MB_SLIM, f"{added:.0f} MB"
    code = """
import importlib.util, pathlib
names = ("sklearn", "pandas", "scipy", "joblib", "onnx", "skl2onnx", "pip")
print([name for name in names if importlib.util.find_spec(name)])
print(sorted(path.name for path in pathlib.Path("/app").iterdir()))
"""
    options = ("--rm", "--network=none", "--entrypoint=python3")
    assert docker.run("run", *options, slim_image, "-c", code) == "[]\n['model.skdeploy', 'skdeploy']"


# A model with classes of its own

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "my-transformers"
version = "1"

[tool.setuptools]
py-modules = ["my_transformers"]
"""
INSTALLED = """
FROM skdeploy
USER root
COPY dist dist
RUN pip install --no-index dist/*.whl && rm -r dist
USER 10001
COPY model.bin /app/model.bin
"""


@pytest.fixture
def own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with my_transformers.py and a model.bin that needs it."""
    shutil.copy(ROOT / "tests" / "own_transformers.py", tmp_path / "my_transformers.py")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_transformers", raising=False)
    own = importlib.import_module("my_transformers")
    frame = pd.DataFrame({"width": [1.0, 2.0, 4.0, 8.0], "height": [3.0, 1.0, 2.0, 5.0]})
    target = frame["width"] * frame["height"]
    pipeline = make_pipeline(own.RatioToMedian(), LinearRegression()).fit(frame, target)
    skdeploy.save(pipeline, frame, target, tmp_path / "model.bin", name="own")
    return tmp_path


def documented() -> str:
    """The derived image that web-service/README.md shows."""
    blocks = re.findall(
        r"```dockerfile\n(.*?)```", (ROOT / "web-service" / "README.md").read_text(), re.DOTALL
    )
    assert len(blocks) == 1
    return str(blocks[0])


def test_a_module_is_copied_into_the_working_folder(docker: Docker, image: str, own_model: Path) -> None:
    """The README's way: FROM skdeploy, COPY the module, COPY the model."""
    assert_derived_image_serves(docker, image, own_model, documented())


def test_a_package_is_installed(docker: Docker, image: str, own_model: Path) -> None:
    """A package of one's own is installed with the image's pip."""
    (own_model / "pyproject.toml").write_text(PYPROJECT)
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", "."]
    subprocess.run(wheel, cwd=own_model, check=True)
    assert_derived_image_serves(docker, image, own_model, INSTALLED)


def assert_derived_image_serves(docker: Docker, image: str, folder: Path, dockerfile: str) -> None:
    """An image derived from ours serves the model, and is still nobody's root."""
    (folder / "Dockerfile").write_text(dockerfile.replace("FROM skdeploy", f"FROM {image}"))
    derived = f"{IMAGE}-derived"
    docker.build(derived, folder)
    try:
        assert inspect(docker, derived)["User"].startswith("10001")
        with serving(docker, derived, *HARDENED) as container:
            assert_answers_like(container, folder / "model.bin")
    finally:
        docker.run("rmi", "--force", derived)


def test_a_missing_module_is_named(docker: Docker, image: str, own_model: Path) -> None:
    """Without the module the container ends, and says which it is."""
    assert "needs the module 'my_transformers'" in refusal(docker, image, own_model / "model.bin")
