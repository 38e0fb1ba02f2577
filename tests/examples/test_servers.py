"""The starters of real servers: started, awaited, ended by their own ids, never left behind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from examples.servers.process import Process, ServerError, ServerNotInstalled, answers, free_ports, program
from tests.live import running, wait_until


def web_server(folder: Path, port: int) -> Process:
    """Python's own server of files; `folder` is what it serves."""
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    return Process("the file server", command, {}, folder / "log", lambda: answers(port, "/"), folder=folder)


def test_a_server_is_started_stopped_and_started_again(tmp_path: Path) -> None:
    """It answers once start has returned, and no longer when it was stopped or killed."""
    (port,) = free_ports(1)
    server = web_server(tmp_path, port)
    for end in (server.stop, server.kill):
        server.start()
        assert answers(port, "/")
        end()
        assert not answers(port, "/")


def test_a_server_that_ends_says_why(tmp_path: Path) -> None:
    """The error has the exit code and the end of the log."""
    command = [sys.executable, "-c", "import sys; print('no such database'); sys.exit(7)"]
    server = Process("the server", command, {}, tmp_path / "log", lambda: False)
    with pytest.raises(ServerError, match=r"(?s)the server ended with 7.*no such database"):
        server.start()


def test_a_server_that_does_not_answer_is_ended(tmp_path: Path) -> None:
    """After the time that it has, it and its children are gone."""
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    server = Process("the server", [sys.executable, "-c", parent], {}, tmp_path / "log", lambda: False)
    with pytest.raises(ServerError, match="did not answer within 4 seconds"):
        server.start(seconds=4)
    child_id = int((tmp_path / "log").read_text())
    wait_until(lambda: not running(child_id), "the child has ended", 5)


def test_free_ports_differ() -> None:
    """A server that needs ten ports gets ten."""
    assert len(set(free_ports(10))) == 10


def test_a_missing_program_is_named() -> None:
    """The error says what to run."""
    with pytest.raises(ServerNotInstalled, match=r"no-such-server is not installed: run make"):
        program("no-such-server")
