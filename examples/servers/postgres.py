"""A PostgreSQL server: Debian's package, in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from examples.servers.process import Process, ServerError, ServerNotInstalled, free_ports

_ACCOUNT = "postgres"
_SECONDS = 5


@dataclass(frozen=True)
class Postgres:
    """A server that runs. `process` can be stopped, killed and started again, on the same port."""

    port: int
    process: Process

    @property
    def url(self) -> str:
        """The database that every server has, as SQLAlchemy and libpq name it."""
        return self.database("postgres")

    def database(self, name: str) -> str:
        """The URL of a database."""
        return f"postgresql://{_ACCOUNT}@127.0.0.1:{self.port}/{name}"

    def create_database(self, name: str) -> str:
        """Make an empty database; its URL. Needs psycopg."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.database(name)


@contextlib.contextmanager
def postgres_server(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Postgres]:
    """A server whose log is in `folder`; its data goes when it does. Stopped in the end.

    settings   of the server, by their names in postgresql.conf

    Raises ServerError.
    """
    programs = _programs()
    folder.mkdir(parents=True, exist_ok=True)
    # A short path that the server's account can enter: it owns the data, and Unix sockets allow 107 bytes.
    home = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        data = home / "data"
        if os.geteuid() == 0:
            shutil.chown(home, _ACCOUNT, _ACCOUNT)
        _initdb(programs, data)
        [port] = free_ports(1)
        process = Process(
            "PostgreSQL",
            _command(programs, data, port, settings or {}),
            _environment(),
            folder / "postgres.log",
            lambda: _answers(programs, port),
            # Its SIGTERM waits for every client to leave.
            ended_by=signal.SIGINT,
        )
        process.start()
        try:
            yield Postgres(port, process)
        finally:
            process.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _command(programs: Path, data: Path, port: int, settings: Mapping[str, str]) -> list[str]:
    ours = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": str(data.parent),
        # What a crash of the machine would lose is no test's affair; a killed server loses nothing.
        "fsync": "off",
    }
    options = [f"--{name}={value}" for name, value in {**ours, **settings}.items()]
    return [*_as_account(), str(programs / "postgres"), "-D", str(data), *options]


def _initdb(programs: Path, data: Path) -> None:
    command = [str(programs / "initdb"), "-D", str(data), "-U", _ACCOUNT, "-A", "trust", "-N"]
    done = subprocess.run(  # noqa: S603 (the commands stand here)
        [*_as_account(), *command, "-E", "UTF8", "--locale=C.UTF-8"],
        env=_environment(),
        cwd=data.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServerError(f"PostgreSQL's initdb failed: {done.stderr.strip()[-1000:]}")


def _as_account() -> Sequence[str]:
    """PostgreSQL refuses to run as root. `setpriv` becomes the server, so that signals reach it."""
    if os.geteuid() != 0:
        return ()
    return ("setpriv", f"--reuid={_ACCOUNT}", f"--regid={_ACCOUNT}", "--init-groups")


def _answers(programs: Path, port: int) -> bool:
    """Whether a session can be had: a server that recovers from a crash refuses them."""
    url = f"postgresql://{_ACCOUNT}@127.0.0.1:{port}/postgres?connect_timeout={_SECONDS}"
    command = [str(programs / "psql"), "--no-psqlrc", "--quiet", "--command", "SELECT 1", url]
    return not subprocess.run(command, env=_environment(), capture_output=True, check=False).returncode  # noqa: S603


def _environment() -> dict[str, str]:
    """Without the variables by which libpq would go elsewhere; messages are in English."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**inherited, "LC_ALL": "C.UTF-8"}


def _programs() -> Path:
    """Where the server's programs are: Debian keeps them off the path."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    on_path = shutil.which("initdb")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    for folder in folders:
        if all((folder / name).exists() for name in ("initdb", "postgres", "psql")):
            _require_account()
            return folder
    raise ServerNotInstalled("PostgreSQL is not installed: run apt-get install postgresql")


def _version(folder: Path) -> float:
    try:
        return float(folder.parent.name)
    except ValueError:
        return 0.0


def _require_account() -> None:
    try:
        pwd.getpwnam(_ACCOUNT)
    except KeyError:
        if os.geteuid() == 0:
            raise ServerNotInstalled(
                f"PostgreSQL does not run as root, and there is no account {_ACCOUNT}: "
                "run apt-get install postgresql"
            ) from None
