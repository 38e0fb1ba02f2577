"""A MariaDB server: Debian's packages, in a folder of its own. Needs PyMySQL."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from examples.servers.process import Process, ServerError, ServerNotInstalled, free_ports


@contextlib.contextmanager
def mariadb_server(folder: Path) -> Iterator[str]:
    """A server whose log is in `folder`; its data goes when it does.

    Yields the URL of an empty database, as SQLAlchemy names it. Raises ServerError.
    """
    server, install = _program("mariadbd"), _program("mariadb-install-db")
    folder.mkdir(parents=True, exist_ok=True)
    # A short path: Unix sockets allow 107 bytes.
    home = Path(tempfile.mkdtemp(prefix="mariadb-"))
    try:
        _install(install, home)
        [port] = free_ports(1)
        process = Process(
            "MariaDB", _command(server, home, port), _environment(), folder / "mariadb.log",
            lambda: _answers(port, "SELECT 1"),
        )  # fmt: skip
        process.start()
        try:
            if not _answers(port, "CREATE DATABASE trees CHARACTER SET utf8mb4"):
                raise ServerError("MariaDB makes no database")
            yield f"mysql+pymysql://root@127.0.0.1:{port}/trees?charset=utf8mb4"
        finally:
            process.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise ServerNotInstalled(
            f"{name} is not installed: run apt-get install mariadb-server-core mariadb-client-core"
        )
    return found


def _install(program: str, home: Path) -> None:
    options = ["--auth-root-authentication-method=normal", "--skip-test-db", f"--user={getpass.getuser()}"]
    done = subprocess.run(  # noqa: S603 (the commands stand here)
        [program, "--no-defaults", f"--datadir={home / 'data'}", *options],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServerError(f"mariadb-install-db failed: {(done.stderr or done.stdout).strip()[-1000:]}")


def _command(server: str, home: Path, port: int) -> list[str]:
    options = {
        "datadir": str(home / "data"),
        "socket": str(home / "socket"),
        "pid-file": str(home / "pid"),
        "bind-address": "127.0.0.1",
        "port": str(port),
        "user": getpass.getuser(),
        # What a crash of the machine would lose is no test's affair.
        "innodb-flush-log-at-trx-commit": "0",
    }
    return [server, "--no-defaults", *(f"--{name}={value}" for name, value in options.items())]


def _answers(port: int, statement: str) -> bool:
    import pymysql

    try:
        with contextlib.closing(pymysql.connect(host="127.0.0.1", port=port, user="root")) as connection:
            connection.cursor().execute(statement)
        return True
    except pymysql.MySQLError:
        return False


def _environment() -> dict[str, str]:
    """Without what would name another server."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**inherited, "LC_ALL": "C.UTF-8"}
