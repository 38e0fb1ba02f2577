"""A wall clock that jumps, and a disk without room for another model."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests.following import RECORD, about, asking, saved, serves
from tests.live import ROOT, Service, load, served, wait_until
from tests.wire import paused

pytestmark = pytest.mark.heavy

JUMPS = {"a day ahead": "+86400", "a day back": "-86400"}


def set_clock(file: Path, offset: str) -> None:
    """The service's wall clock differs from ours by so many seconds, from now on; no half of it is seen."""
    aside = file.with_suffix(".new")
    aside.write_text(offset + "\n")
    aside.replace(file)


@pytest.fixture
def clock(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A file that sets a service's wall clock, and the variables with which a service obeys it."""
    library, file = tmp_path / "wall_clock.so", tmp_path / "clock"
    source = ROOT / "tests" / "integration" / "wall_clock.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    set_clock(file, "+0")
    return file, {"LD_PRELOAD": str(library), "WALL_CLOCK": str(file)}


@pytest.mark.robustness("fault", "the wall clock jumps under load")
@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS.keys())
def test_a_clock_that_jumps_disturbs_nothing(
    tmp_path: Path, clock: tuple[Path, dict[str, str]], jump: str, fact: Callable[..., None]
) -> None:
    """No request is lost, no worker is thought dead, and another model is still followed."""
    model_file = tmp_path / "served.bin"
    saved(model_file, 1.0)
    settings = {
        "SKDEPLOY_MODEL_URI": str(model_file),
        "WEB_CONCURRENCY": "2",
        "SKDEPLOY_WATCH_SECONDS": "0.2",
    }
    with served(tmp_path, **settings, **clock[1]) as service:
        workers = service.workers()
        with asking(service, 4) as asked:
            time.sleep(0.5)
            polled = about(service)["reload"]["polled"]
            set_clock(clock[0], jump)
            wait_until(lambda: about(service)["reload"]["polled"][:10] != polled[:10], "the day is another")
            serves(service, saved(model_file, 2.0).version)
            time.sleep(2)  # more than one heartbeat
        assert not asked.failed
        assert service.workers() == workers
        assert service.stop() == 0
        fact("the same workers, and a new model followed", asked.answers.total(), 0)


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Generator[Path]:
    """A file system of its own, in memory."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all room."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"0" * 4096):
            pass
    return filler


@pytest.mark.robustness("fault", "the disk of SKDEPLOY_STATE_DIR is full, and a worker is killed")
def test_a_full_state_dir_leaves_the_model(tmp_path: Path, fact: Callable[..., None]) -> None:
    """The old model serves, the log says why, a worker starts, and once there is room the new model comes."""
    model_file = tmp_path / "served.bin"
    old = saved(model_file, 1.0)
    settings = {
        "SKDEPLOY_MODEL_URI": str(model_file),
        "WEB_CONCURRENCY": "2",
        "SKDEPLOY_WATCH_SECONDS": "0.2",
    }
    with (
        small_disk(tmp_path / "state", "256k") as disk,
        served(tmp_path, SKDEPLOY_STATE_DIR=str(disk), **settings) as service,
    ):
        serves(service, old.version)
        filler = fill(disk)
        before = service.post(RECORD)[1]
        with load(service, RECORD, before, keep_alive=False) as tally:
            new = saved(model_file, 2.0)
            wait_until(lambda: "No space left on device" in service.log(), "the log says why")
            os.kill(service.workers()[0], signal.SIGKILL)
            wait_until(lambda: len(service.workers()) == 2, "a worker starts on the full disk")
            time.sleep(1)
        assert tally.lost.total() <= 8
        filler.unlink()
        wait_until(lambda: answers(service) == {new.version}, "the new model comes with the room")
        assert "The source poller died" not in service.log()
        assert service.stop() == 0
    fact("the old model served on; the new one came with the room", tally.answered, tally.lost.total())


def answers(service: Service) -> set[str]:
    """The versions that each worker answers with."""
    found = set()
    workers = service.workers()
    for worker in workers:
        with paused([pid for pid in workers if pid != worker]):
            found.add(service.post(RECORD)[1].split(b'"version":"')[1].split(b'"')[0].decode())
    return found
