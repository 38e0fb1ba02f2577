"""A Docker engine for tests, and an image to build on: what the machine has, else our own."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.live import ROOT, wait_until

# Debian's release with the Python that the lock was made on, and what stands in for the slim image.
_SUITE = "bookworm"
_PACKAGES = "python3,python3-venv,ca-certificates"
_LOCAL_BASE = f"skdeploy-base:{_SUITE}"
_PULL_SECONDS = 180
_BUILD_SECONDS = 1200
# pip's settings that say where packages come from.
_INDEX_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")


class NoEngine(Exception):
    """There is no engine, or no base image, and no way to get one; it says why."""


@dataclass(frozen=True)
class Docker:
    """A client; and, if the engine is our own, where that listens."""

    client: str
    host: str | None = None

    def run(self, *arguments: str | Path, timeout: float = 120) -> str:
        """What `docker ARGUMENTS` prints; AssertionError with what went wrong."""
        done = self.attempt(*arguments, timeout=timeout)
        assert done.returncode == 0, f"docker {' '.join(map(str, arguments))}\n{done.stdout[-8000:]}"
        return done.stdout.strip()

    def attempt(self, *arguments: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """The same, whatever comes of it; standard output and error are one text."""
        return subprocess.run(
            [self.client, *arguments],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )

    def build(self, tag: str, context: Path, *options: str) -> str:
        """Build `context` as `tag`; what it printed. It reaches the package index as this machine does."""
        with index_options() as index:
            command = ("build", "--network=host", "--progress=plain", *index, *options)
            return self.run(*command, "-t", tag, context, timeout=_BUILD_SECONDS)

    @contextlib.contextmanager
    def container(self, *arguments: str | Path, port: int = 9696) -> Generator[Container]:
        """`docker run ARGUMENTS`, with its port on a free one of 127.0.0.1; removed in the end."""
        printed = self.run("run", "--detach", "--publish", f"127.0.0.1::{port}", *arguments)
        # A warning may stand beside the id.
        found = re.search(r"^[0-9a-f]{64}$", printed, re.MULTILINE)
        assert found is not None, printed
        container = Container(self, found[0], port)
        try:
            yield container
        finally:
            self.run("rm", "--force", "--volumes", container.id)

    def has(self, image: str) -> bool:
        return self.attempt("image", "inspect", image).returncode == 0

    def answers(self) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.attempt("info", timeout=20).returncode == 0
        return False

    def environment(self) -> dict[str, str]:
        """BuildKit in the engine itself: a builder of the user's own may not see local base images."""
        own = {} if self.host is None else {"DOCKER_HOST": self.host}
        return {**os.environ, "DOCKER_BUILDKIT": "1", "BUILDX_BUILDER": "default", **own}


@dataclass(frozen=True)
class Container:
    """A container that was started; `port` is the one inside."""

    docker: Docker
    id: str
    port: int

    @property
    def address(self) -> str:
        """Where its port is published, 127.0.0.1:N; only while it runs."""
        return self.docker.run("port", self.id, f"{self.port}/tcp").splitlines()[0]

    def log(self) -> str:
        return self.docker.run("logs", self.id)

    def state(self, field: str) -> str:
        """A field of its state, such as Health.Status or ExitCode."""
        return self.docker.run("inspect", "--format", f"{{{{.State.{field}}}}}", self.id)

    def execute(self, *command: str) -> str:
        """What a command prints inside."""
        return self.docker.run("exec", self.id, *command)


@contextlib.contextmanager
def engine() -> Generator[Docker]:
    """The engine that runs; else one of our own, for as long as the block. Raises NoEngine."""
    client = next(filter(_has_buildkit, _clients()), None)
    if client is None:
        raise NoEngine("there is no docker client with BuildKit (Debian: apt-get install docker.io)")
    if (docker := Docker(client)).answers():
        yield docker
        return
    dockerd = _program("dockerd")
    if dockerd is None or os.geteuid() != 0:
        raise NoEngine("no Docker engine answers, and to start one takes root and dockerd")
    with _own_engine(client, dockerd) as docker:
        yield docker


def _clients() -> Iterator[str]:
    """docker, as the path finds it, and Debian's, which another may hide."""
    found = (shutil.which("docker"), "/usr/bin/docker")
    return (client for client in found if client and Path(client).exists())


def _has_buildkit(client: str) -> bool:
    """Clients before 23 carry it; later ones need the buildx plugin."""
    docker = Docker(client)
    if docker.attempt("buildx", "version").returncode == 0:
        return True
    version = re.search(r"Docker version (\d+)", docker.run("--version"))
    return version is not None and int(version[1]) < 23


def _program(name: str) -> str | None:
    """A program for root, whose folder may not be on the path."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


@contextlib.contextmanager
def _own_engine(client: str, dockerd: str) -> Generator[Docker]:
    """dockerd on a socket and in folders of its own; all of it goes away in the end."""
    # A mount that outlives the engine must not fail the tests.
    with tempfile.TemporaryDirectory(prefix="docker-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        docker = Docker(client, f"unix://{folder}/docker.sock")
        places = ("--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid")
        log_file = folder / "log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [dockerd, "--host", str(docker.host), *places], stdout=log, stderr=subprocess.STDOUT
            )
        try:
            wait_until(lambda: process.poll() is not None or docker.answers(), "dockerd answers", 60)
            if process.poll() is not None:
                raise NoEngine(f"dockerd does not start: {log_file.read_text()[-1000:]}")
            yield docker
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """dockerd ends its containers and its containerd, if it is given the time."""
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def base_image(docker: Docker) -> str:
    """BASE_IMAGE; else the Dockerfile's own default; else a Debian of our own. Raises NoEngine."""
    if given := os.environ.get("BASE_IMAGE"):
        return given
    default = re.search(r"^ARG BASE=(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert default is not None
    if docker.has(default[1]) or _pulls(docker, default[1]):
        return default[1]
    if not docker.has(_LOCAL_BASE):
        docker.run("import", _root_filesystem(), _LOCAL_BASE, timeout=300)
    return _LOCAL_BASE


def _pulls(docker: Docker, image: str) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return docker.attempt("pull", "--quiet", image, timeout=_PULL_SECONDS).returncode == 0
    return False


def _root_filesystem() -> Path:
    """A Debian with Python, as a tar archive: made once, kept in the cache folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or ROOT / ".cache")
    archive = cache / "skdeploy" / f"{_SUITE}-{_PACKAGES.replace(',', '-')}.tar"
    if archive.exists():
        return archive
    debootstrap = _program("debootstrap")
    if debootstrap is None or os.geteuid() != 0:
        raise NoEngine("no base image can be pulled, and to make one takes root and debootstrap")
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_suffix(f".{os.getpid()}.partial")
    root = tempfile.mkdtemp(prefix="debootstrap-")
    try:
        _run_quietly([debootstrap, "--variant=minbase", f"--include={_PACKAGES}", _SUITE, root])
        leave_out = ("--exclude=./var/cache/apt/archives/*.deb", "--exclude=./var/lib/apt/lists/*")
        _run_quietly(["tar", "-C", root, *leave_out, "-cf", str(partial), "."])
    finally:
        # If debootstrap broke off, the machine's /proc may still be mounted in there.
        subprocess.run(["rm", "-rf", "--one-file-system", root], check=False)
    return partial.replace(archive)


def _run_quietly(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoEngine(f"{command[0]} failed: {(done.stdout + done.stderr)[-1000:]}")


@contextlib.contextmanager
def index_options() -> Generator[list[str]]:
    """Options for `docker build` that tell where packages come from and stay out of the image.

    pip's settings and the certificates are secrets, mounted while pip runs. The proxies are build
    arguments that Docker knows and keeps in no history.
    """
    settings = _pip_settings()
    certificates = settings.pop("cert", None) or os.environ.get("SSL_CERT_FILE")
    options = [f"--build-arg={name}" for name in os.environ if name.lower() in _PROXIES]
    with tempfile.TemporaryDirectory() as folder:
        lines = ["[global]", *(f"{name} = {value}" for name, value in settings.items())]
        if certificates and Path(certificates).is_file():
            options.append(f"--secret=id=ca,src={certificates}")
            lines.append("cert = /run/secrets/ca")
        pip_conf = Path(folder) / "pip.conf"
        pip_conf.write_text("\n".join(lines) + "\n")
        yield [*options, f"--secret=id=pip,src={pip_conf}"]


def _pip_settings() -> dict[str, str]:
    """This machine's, from pip.conf and the environment, which wins; several values are indented."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    settings = {}
    for line in sorted(listed, key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = ast.literal_eval(value).replace("\n", "\n    ")
    return {name: value for name, value in settings.items() if name in (*_INDEX_SETTINGS, "cert")}
