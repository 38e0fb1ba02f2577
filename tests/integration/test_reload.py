"""Another model is served without a restart, by every worker, and nobody notices."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import skdeploy
from skdeploy.reload import PublishedState
from skdeploy.source import Source
from skdeploy.writing import write
from tests.following import RECORD, about, asking, failure, publish, saved, serves, versions
from tests.live import Service, children, served, started, wait_until

TOKEN = "a token of forty characters or so"


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "served.bin"
    saved(path, 1.0)
    return path


@pytest.fixture
def service(tmp_path: Path, model_file: Path) -> Iterator[Service]:
    """Two workers and a source poller that polls five times a second."""
    settings = {
        "SKDEPLOY_MODEL_URI": str(model_file),
        "WEB_CONCURRENCY": "2",
        "SKDEPLOY_WATCH_SECONDS": "0.2",
        "SKDEPLOY_ADMIN_TOKEN": TOKEN,
    }
    with served(tmp_path, **settings) as running:
        wait_until(lambda: len(about(running)["workers"]) == 2, "both workers say what they serve")
        yield running


def prediction(service: Service) -> float:
    status, body = service.post(RECORD)
    assert status == 200, body
    return float(json.loads(body)["prediction"])


def poller_of(service: Service) -> int:
    pid = service.poller()
    assert pid is not None
    return pid


def test_a_changed_file_is_served_by_every_worker(service: Service, model_file: Path) -> None:
    """Without a restart, and the answers name the version that made them."""
    workers = service.workers()
    passport = saved(model_file, 2.0)
    serves(service, passport.version)
    assert prediction(service) == pytest.approx(6.0)
    status, body = service.post(RECORD)
    assert (status, json.loads(body)["model"]) == (200, {"name": "ages", "version": passport.version})
    assert service.workers() == workers


@pytest.mark.robustness("load", "six clients while twenty models are swapped in")
def test_twenty_models_under_load(service: Service, model_file: Path, fact: Callable[..., None]) -> None:
    """No request fails, and every answer's version is that of the model that made its prediction."""
    made = {about(service)["model"]["version"]: 1.0}
    with asking(service, 6) as asked:
        for turn in range(20):
            passport = saved(model_file, 2.0 + turn)
            made[passport.version] = 2.0 + turn
            serves(service, passport.version)
    assert not asked.failed
    assert asked.answers.total() / asked.seconds > 200
    assert dict(asked.answers.keys()) == {version: made[version] for version, _ in asked.answers}
    assert len(asked.answers) > 15
    fact("every answer is that of the version it names", asked.answers.total(), 0)


# By the name of a model: what a record of `a` and `b` predicts. Their columns are in opposite orders.
FORMULAS: dict[str, Callable[[float, float], float]] = {
    "ab": lambda a, b: a + 10 * b,
    "ba": lambda a, b: 100 * b + 1000 * a,
}


def permuted(folder: Path) -> list[Path]:
    """Files with the models of FORMULAS."""
    generator = np.random.default_rng(7)
    frame = pd.DataFrame({"a": generator.uniform(0, 9, 60), "b": generator.uniform(0, 9, 60)})
    paths = []
    for name, formula in FORMULAS.items():
        target = formula(frame["a"], frame["b"])  # type: ignore[arg-type]
        columns = frame[[*name]]
        skdeploy.save(LinearRegression().fit(columns, target), columns, target, folder / name, name=name)
        paths.append(folder / name)
    return paths


def test_no_request_is_scored_by_a_model_that_did_not_decode_it(tmp_path: Path) -> None:
    """Each answer is right by the model that it names: lone records, which share a call, and long lists."""
    models = permuted(tmp_path)
    source = Path(shutil.copy(models[0], tmp_path / "served.bin"))
    done, seen, wrong = threading.Event(), Counter[str](), list[Any]()

    def ask(service: Service, seed: int) -> None:
        generator = random.Random(seed)
        with closing(service.connection()) as connection:
            while not done.is_set():
                count = generator.choice((1, 1, 1, 40, 2500))
                records = [{"b": generator.uniform(0, 9), "a": generator.uniform(0, 9)} for _ in range(count)]
                connection.request("POST", "/predict", json.dumps(records))
                response = connection.getresponse()
                answer = json.loads(response.read())
                if response.status != 200:
                    wrong.append(answer)
                    return
                name = answer["model"]["name"]
                expected = [FORMULAS[name](record["a"], record["b"]) for record in records]
                got = answer["predictions"]
                seen[name] += 1
                if got != pytest.approx(expected, rel=1e-9):
                    wrong.append((name, records[0], got[0]))

    settings = {"SKDEPLOY_MODEL_URI": str(source), "WEB_CONCURRENCY": "2", "SKDEPLOY_WATCH_SECONDS": "0.2"}
    with served(tmp_path, **settings) as service:
        clients = [threading.Thread(target=ask, args=(service, seed)) for seed in range(16)]
        for client in clients:
            client.start()
        try:
            for turn in range(10):
                aside = Path(shutil.copy(models[(turn + 1) % 2], tmp_path / "aside.bin"))
                aside.replace(source)
                serves(service, skdeploy.load(source).passport.version)
        finally:
            done.set()
            for client in clients:
                client.join()
    assert not wrong
    assert set(seen) == set(FORMULAS)


@pytest.mark.robustness("fault", "the source holds half a model, and one that fails its proof")
def test_what_cannot_be_served_changes_nothing(
    service: Service, model_file: Path, fact: Callable[..., None]
) -> None:
    """A damaged file and a model that fails its proof: the old one stays, GET / and the log say why."""
    before = versions(service)
    good = model_file.read_bytes()
    write(model_file, good[: len(good) // 2])
    wait_until(lambda: "cannot be unpickled" in failure(service), "it is refused")
    liar = saved(model_file, 9.0)
    serves(service, liar.version)
    broken = skdeploy.load(model_file).passport
    assert broken.version == liar.version
    import joblib

    pipeline = joblib.load(model_file)
    plain = msgspec.json.decode(msgspec.json.encode(pipeline.passport_))
    plain["golden"]["predictions"] = [value + 1 for value in plain["golden"]["predictions"]]
    pipeline.passport_ = plain
    aside = model_file.with_suffix(".new")
    joblib.dump(pipeline, aside)
    aside.replace(model_file)
    wait_until(lambda: "Golden record" in failure(service), "the proof fails")
    assert versions(service) == {liar.version} != before
    assert prediction(service) == pytest.approx(27.0)
    assert service.log().count("The model stays as it is: ") == 2
    serves(service, saved(model_file, 4.0).version)
    wait_until(lambda: failure(service) == "None", "all is well again")
    fact("the old model serves on; GET / and the log say why")


def test_a_worker_that_starts_late_serves_what_the_others_do(service: Service, model_file: Path) -> None:
    """A worker that replaces a killed one begins with the model that was published."""
    passport = saved(model_file, 5.0)
    serves(service, passport.version)
    killed = service.workers()[0]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: len(service.workers()) == 2 and killed not in service.workers(), "it is replaced")
    for _ in range(20):
        assert prediction(service) == pytest.approx(15.0)
    serves(service, passport.version)


@pytest.mark.robustness("fault", "the source poller is killed")
def test_a_poller_that_dies_is_started_again(
    service: Service, model_file: Path, fact: Callable[..., None]
) -> None:
    """As a model's code can make it die."""
    (poller,) = children(poller_of(service))
    os.kill(poller, signal.SIGKILL)
    passport = saved(model_file, 6.0)
    serves(service, passport.version)
    assert "The source poller died" in service.log()
    fact("it is started again, and follows the source")


def test_nothing_is_left_behind(tmp_path: Path, model_file: Path) -> None:
    """The poller and the temporary folder go with the service, and so they do if it is killed."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        with started(
            tmp_path, SKDEPLOY_MODEL_URI=str(model_file), WEB_CONCURRENCY="1", SKDEPLOY_WATCH_SECONDS="0.2"
        ) as service:
            wait_until(service.is_ready, "it is ready", 60)
            wait_until(lambda: "The source poller's process" in service.log(), "the poller runs")
            pid = poller_of(service)
            wait_until(lambda pid=pid: bool(children(pid)), "it has forked")  # type: ignore[misc]
            pids = [pid, *children(pid)]
            service.send(sig)
            service.wait()
            wait_until(
                lambda pids=pids: not any(Path(f"/proc/{one}").exists() for one in pids),  # type: ignore[misc]
                "its processes have ended",
            )


def test_reload_is_for_who_has_the_token(tmp_path: Path, model_file: Path) -> None:
    """401 without it; with it 202, what the source names, and the model is served soon after."""
    settings = {"SKDEPLOY_MODEL_URI": str(model_file), "WEB_CONCURRENCY": "2", "SKDEPLOY_ADMIN_TOKEN": TOKEN}
    with served(tmp_path, **settings) as service:
        passport = saved(model_file, 7.0)
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN[:-1]}):
            assert reload(service, header)[0] == 401
        time.sleep(1)
        assert versions(service) != {passport.version}
        status, body = reload(service, {"Authorization": f"Bearer {TOKEN}"})
        assert status == 202, body
        assert json.loads(body)["target"]["where"] == str(model_file)
        serves(service, passport.version)
        assert TOKEN not in service.log()
        model_file.unlink()
        status, body = reload(service, {"Authorization": f"Bearer {TOKEN}"})
        assert (status, json.loads(body)["title"]) == (502, "The source has no model")


def test_a_state_folder_of_an_earlier_run_decides_nothing(tmp_path: Path, model_file: Path) -> None:
    """With the folder of another run a service serves the model of SKDEPLOY_MODEL_SHA256, and says so."""
    settings = {
        "SKDEPLOY_MODEL_URI": str(model_file),
        "WEB_CONCURRENCY": "2",
        "SKDEPLOY_WATCH_SECONDS": "0.2",
        "SKDEPLOY_STATE_DIR": str(tmp_path / "s"),
    }
    with served(tmp_path, **settings) as service:
        serves(service, saved(model_file, 2.0).version)
    version = saved(model_file, 7.0).version
    digest = hashlib.sha256(model_file.read_bytes()).hexdigest()
    with served(tmp_path, **settings, SKDEPLOY_MODEL_SHA256=digest) as service:
        serves(service, version)
        assert prediction(service) == pytest.approx(21.0)
        assert "the model of an earlier run, which is ignored" in service.log()


def test_a_planted_model_is_not_served(tmp_path: Path, model_file: Path) -> None:
    """Files that are put into the folder of a running service: with another digest, they change nothing."""
    state, other = PublishedState(tmp_path / "s"), tmp_path / "other.bin"
    saved(other, 3.0)
    digest = hashlib.sha256(model_file.read_bytes()).hexdigest()
    settings = {
        "SKDEPLOY_MODEL_URI": str(model_file),
        "WEB_CONCURRENCY": "2",
        "SKDEPLOY_WATCH_SECONDS": "0.2",
        "SKDEPLOY_STATE_DIR": str(state.folder),
    }
    with served(tmp_path, **settings, SKDEPLOY_MODEL_SHA256=digest) as service:
        wait_until(lambda: len(about(service)["workers"]) == 2, "both workers say what they serve")
        publish(state, Source(uri=str(model_file)), other)
        wait_until(
            lambda: service.log().count("The model in SKDEPLOY_STATE_DIR is ignored") == 2,
            "both workers refuse",
        )
        assert prediction(service) == pytest.approx(3.0)


def test_a_state_folder_that_others_may_write_is_refused(tmp_path: Path, model_file: Path) -> None:
    """The service does not start: whoever writes there would run code in it."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s").chmod(0o777)
    settings = {
        "SKDEPLOY_MODEL_URI": str(model_file),
        "SKDEPLOY_WATCH_SECONDS": "1",
        "SKDEPLOY_STATE_DIR": str(tmp_path / "s"),
    }
    with started(tmp_path, **settings) as service:
        assert service.wait() != 0
        assert "SKDEPLOY_STATE_DIR" in service.log()
        assert "may be written by every user" in service.log()


def reload(service: Service, headers: dict[str, str]) -> tuple[int, bytes]:
    with closing(service.connection()) as connection:
        connection.request("POST", "/admin/reload", headers=headers)
        response = connection.getresponse()
        return response.status, response.read()


def test_no_source_is_polled_unless_asked(tmp_path: Path, model_file: Path) -> None:
    """By default there is no poller, and /admin/reload is no path."""
    with served(tmp_path, SKDEPLOY_MODEL_URI=str(model_file), WEB_CONCURRENCY="1") as service:
        assert "reload" not in about(service)
        assert reload(service, {"Authorization": "Bearer x"})[0] == 404
        assert "The source poller's process" not in service.log()
