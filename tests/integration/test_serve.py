"""`skdeploy serve`, live: from a wheel in an empty folder, and what it does about its port."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import command
from tests.live import ROOT, children, free_port, load, progress, served, sockets_of, started, wait_until
from tests.live import running as alive
from tests.wire import GOOD, Wire, request

SERVE = ("-m", "skdeploy", "serve", "model.bin")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script `skdeploy` of an environment that holds the built wheel, and the packages of ours."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    source.mkdir()
    for name in ("skdeploy", "pyproject.toml", "README.md", "LICENSE"):
        (source / name).symlink_to(ROOT / name)
    pip = [sys.executable, "-m", "pip", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(source)]
    subprocess.run(build, check=True, cwd=folder)
    (wheel,) = folder.glob("skdeploy-*.whl")
    environment = folder / "venv"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    install = [*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, cwd=folder)
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (site,) = environment.glob("lib/python3*/site-packages")
    (site / "ours.pth").write_text("\n".join(ours))
    return environment / "bin" / "skdeploy"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, and files that are named like modules which a service imports."""
    folder = tmp_path_factory.mktemp("hostile")
    for name in ("predict.py", "flask.py", "msgspec.py", "click.py"):
        (folder / name).write_text("raise SystemExit('the current folder took the place of a module')\n")
    (folder / "batch").mkdir()
    (folder / "batch" / "__init__.py").touch()
    (folder / "flights.bin").symlink_to(ROOT / "model.bin")
    return folder


@contextlib.contextmanager
def running(
    serve: list[str], folder: Path, **environ: str
) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A command that serves, and what it said up to the last line of its start."""
    process = subprocess.Popen(
        serve,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environ},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line)
            if "API reference: " in line:
                break
        yield process, said
    finally:
        process.terminate()
        process.communicate(timeout=45)


def test_an_installed_package_serves_from_any_folder(installed: Path, hostile: Path, expected: bytes) -> None:
    """It says where it is, a request that is answered with 200, and where its documentation is."""
    port = free_port()
    serve = [str(installed), "serve", "flights.bin", "--port", str(port), "--workers", "2"]
    with running(serve, hostile) as (process, said):
        first, curl, docs = (line.partition("[INFO] ")[2].strip() for line in said[-3:])
        assert first == f"Serving flight-air-time e64b23e37332 on http://127.0.0.1:{port}"
        assert docs == f"API reference: http://127.0.0.1:{port}/docs"
        done = subprocess.run(
            ["sh", "-c", f"{curl.removeprefix('Try it: ')} -sw '\\n%{{http_code}}'"],
            capture_output=True,
            text=True,
            check=True,
        )
        body, status = done.stdout.splitlines()
        assert status == "200"
        assert isinstance(json.loads(body)["prediction"], float)
        process.terminate()
        assert process.wait(45) == 0


def test_the_module_leaves_the_current_folder_to_the_last(hostile: Path) -> None:
    """`python -m` puts the folder first; nothing that lies there is imported in place of a package."""
    serve = [sys.executable, "-m", "skdeploy", "serve", "flights.bin", "--port", str(free_port())]
    with running(serve, hostile, PYTHONPATH=str(ROOT), WEB_CONCURRENCY="1") as (_, said):
        assert "API reference: " in said[-1]


def test_a_taken_port_is_said_before_the_model_is_loaded(installed: Path, tmp_path: Path) -> None:
    """There is not even a model; the message names the port and another one."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = subprocess.run(
            [str(installed), "serve", "none.bin", "--port", str(port)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert f"Port {port} of 127.0.0.1 is taken" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_service_is_told_while_the_first_one_loads(tmp_path: Path) -> None:
    """The first one has the port, though it refuses connections until its model is proved."""
    port = str(free_port())
    with started(tmp_path, SERVE, PORT=port, WEB_CONCURRENCY="1") as first:
        wait_until(lambda: bool(sockets_of(first.pid)), "the first one has the port", 30)
        with pytest.raises(ConnectionRefusedError):
            first.get("/health")
        with started(tmp_path / "second", SERVE, PORT=port, WEB_CONCURRENCY="1") as second:
            assert second.wait() == 1
            assert f"Port {port} of 127.0.0.1 is taken" in (tmp_path / "second").read_text()
            assert "golden records" not in (tmp_path / "second").read_text()
        wait_until(first.is_ready, "the first one serves", 60)


def test_a_service_starts_anew_at_once(tmp_path: Path) -> None:
    """Connections that the service closed first are remembered by the kernel, and do not hold the port."""
    port = str(free_port())
    with served(tmp_path, SERVE, PORT=port, WEB_CONCURRENCY="1") as service:
        with contextlib.closing(Wire(service)) as wire:
            assert wire.ask(request(GOOD, "Connection: close")).status == 200
            assert wire.has_ended()
        service.stop()
    with socket.socket() as probe, pytest.raises(OSError, match="in use"):
        probe.bind(("127.0.0.1", int(port)))
    with served(tmp_path, SERVE, PORT=port, WEB_CONCURRENCY="1") as service:
        assert service.post(GOOD)[0] == 200


def test_an_exported_model_is_served_without_what_pickles_need(tmp_path: Path) -> None:
    """`pip install 'skdeploy[slim]'` has neither scikit-learn nor pandas, and answers the same curl."""
    exported = str(tmp_path / "model.skdeploy")
    assert command("export", str(ROOT / "model.bin"), exported).exit_code == 0
    code = """
import sys

class Missing:
    def find_spec(self, name, *_):
        if name in ("sklearn", "pandas", "scipy", "joblib", "onnx", "skl2onnx", "pyarrow"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from skdeploy.__main__ import main
main()
"""
    with served(tmp_path, ("-c", code, "serve", exported), WEB_CONCURRENCY="1") as service:
        assert service.post(GOOD)[0] == 200
        assert service.post(b"{}")[0] == 422
        assert service.get("/docs")[0] == 200
        assert "Serving flight-air-time" in service.log()


@pytest.mark.parametrize(
    ("arguments", "settings", "code"),
    [
        (("none.bin",), {}, 3),
        (("model.bin", "--api-keys-file", "none"), {}, 2),
        (("model.bin",), {"SKDEPLOY_THREADS": "0"}, 2),
        (("model.bin",), {"GUNICORN_CMD_ARGS": "--worker-tmp-dir /none"}, 1),
        (("model.bin",), {"GUNICORN_CMD_ARGS": "-c mine.py"}, 1),
    ],
    ids=[
        "no model",
        "settings that the application refuses",
        "a variable",
        "workers cannot start",
        "a configuration",
    ],
)
def test_what_does_not_start_ends_with_its_code(
    tmp_path: Path, arguments: tuple[str, ...], settings: dict[str, str], code: int
) -> None:
    """The codes are the table's, whatever gunicorn's are."""
    with started(
        tmp_path, ("-m", "skdeploy", "serve", *arguments), WEB_CONCURRENCY="1", **settings
    ) as service:
        assert service.wait() == code


def test_a_flag_beats_its_variable(tmp_path: Path) -> None:
    """Also where both are valid."""
    arguments = (*SERVE, "--workers", "2", "--access-log")
    with started(tmp_path, arguments, WEB_CONCURRENCY="1", SKDEPLOY_ACCESS_LOG="0") as service:
        wait_until(service.is_ready, "/ready answers 200", 60)
        wait_until(lambda: len(service.workers()) == 2, "two workers run")
        # A line is written once its answer was sent.
        wait_until(lambda: '"path":"/ready"' in service.log(), "the request is logged")


def test_reload_and_binary_upgrade_keep_the_socket(tmp_path: Path, expected: bytes) -> None:
    """SIGHUP, SIGUSR2, the end of the old process, and SIGHUP to the new one, while clients lose nothing."""
    with served(tmp_path, SERVE, WEB_CONCURRENCY="1") as service:
        with load(service, GOOD, expected, keep_alive=False, clients=4) as tally:
            (worker,) = service.workers()
            service.send(signal.SIGHUP)
            wait_until(lambda: is_replaced(service.pid, worker), "another worker")
            progress(tally)
            (worker,) = service.workers()
            service.send(signal.SIGUSR2)
            wait_until(lambda: service.log().count("API reference") == 2, "the new process serves", 60)
            (upgraded,) = set(service.workers()) - {worker}
            service.send(signal.SIGTERM)
            assert service.wait() == 0
            progress(tally)
            (worker,) = children(upgraded)
            os.kill(upgraded, signal.SIGHUP)
            wait_until(lambda: is_replaced(upgraded, worker), "another worker")
            progress(tally)
        assert not tally.lost
        assert not tally.refused
        assert service.get("/metrics")[0] == 200
        os.kill(upgraded, signal.SIGTERM)
        wait_until(lambda: not alive(upgraded), "the new process has ended", 45)
        assert "Traceback" not in service.log()


def is_replaced(pid: int, worker: int) -> bool:
    """Whether a process has one worker, and another than this."""
    now = children(pid)
    return len(now) == 1 and now != [worker]
