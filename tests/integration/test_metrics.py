"""/metrics of two real workers: one sum, whoever is asked, and whatever happens to the workers."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from skdeploy.api_keys import line_for, new_key
from tests.following import RECORD, saved, serves
from tests.live import Service, served, wait_until

pytestmark = pytest.mark.heavy


def samples(service: Service) -> dict[tuple[str, tuple[str, ...]], float]:
    """The value of each sample by its name and the values of its labels, in order of their names."""
    status, text = service.get("/metrics")
    assert status == 200
    families = text_string_to_metric_families(text.decode())
    return {
        (one.name, tuple(value for _, value in sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }


def predicted(service: Service) -> float:
    """Answered predictions, as one scrape has it."""
    return samples(service).get(("skdeploy_requests_total", ("POST", "/predict", "200")), 0.0)


def workers(service: Service) -> float:
    return samples(service)["skdeploy_workers", ()]


def ask(service: Service, times: int) -> None:
    for _ in range(times):
        assert service.post(RECORD)[0] == 200


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "served.bin"
    saved(path, 1.0)
    return path


@pytest.fixture
def service(tmp_path: Path, model_file: Path) -> Iterator[Service]:
    settings = {
        "SKDEPLOY_MODEL_URI": str(model_file),
        "WEB_CONCURRENCY": "2",
        "SKDEPLOY_WATCH_SECONDS": "0.2",
    }
    with served(tmp_path, **settings) as running:
        wait_until(lambda: workers(running) == 2, "both workers are counted")
        yield running


def settled(service: Service, count: int) -> None:
    """Soon, and then in ten scrapes of whichever worker, it is `count`."""
    wait_until(lambda: predicted(service) == count, f"{count} requests are counted", 5)
    time.sleep(1.1)
    assert {predicted(service) for _ in range(10)} == {float(count)}


def test_any_worker_tells_the_sum_of_all(service: Service) -> None:
    """Sixty requests on connections of their own: each scrape says sixty."""
    ask(service, 60)
    settled(service, 60)
    now = samples(service)
    assert now["skdeploy_records_total", ("predicted",)] == 60
    assert now["skdeploy_request_duration_seconds_count", ("/predict",)] == 60


def test_a_killed_worker_takes_no_count_along(service: Service) -> None:
    """What it had told stays, its gauges go, there are two workers again, and its death is counted."""
    ask(service, 40)
    settled(service, 40)
    killed = service.workers()[0]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: len({*service.workers()} - {killed}) == 2, "another worker runs")
    wait_until(lambda: workers(service) == 2, "two workers are counted")
    assert predicted(service) == 40
    time.sleep(1.1)
    assert workers(service) == 2
    assert deaths(service) == {"killed": 1}
    ask(service, 5)
    settled(service, 45)


def deaths(service: Service) -> dict[str, float]:
    """Those that there were, by reason."""
    found = {
        name: value for name, value in samples(service).items() if name[0] == "skdeploy_worker_deaths_total"
    }
    return {labels[0]: value for (_, labels), value in found.items() if value}


def test_a_worker_that_was_told_to_end_is_no_death(service: Service) -> None:
    """SIGTERM to a worker: another one takes its place, and nobody is woken."""
    told = service.workers()[0]
    os.kill(told, signal.SIGTERM)
    wait_until(lambda: len({*service.workers()} - {told}) == 2, "another worker runs")
    wait_until(lambda: workers(service) == 2, "two workers are counted")
    assert deaths(service) == {}


def test_a_worker_that_shows_no_life_is_a_death(tmp_path: Path, model_file: Path) -> None:
    """One that is stopped is ended by gunicorn after its time-out."""
    settings = {
        "SKDEPLOY_MODEL_URI": str(model_file),
        "WEB_CONCURRENCY": "2",
        "GUNICORN_CMD_ARGS": "--timeout 2",
    }
    with served(tmp_path, **settings) as service:
        os.kill(service.workers()[0], signal.SIGSTOP)
        wait_until(lambda: deaths(service) == {"timeout": 1}, "the death is counted")


def test_a_reload_of_gunicorn_takes_no_count_along(service: Service) -> None:
    """SIGHUP: other workers, the same counts."""
    ask(service, 20)
    settled(service, 20)
    before = {*service.workers()}
    service.send(signal.SIGHUP)
    wait_until(lambda: not before & {*service.workers()}, "the workers are others")
    wait_until(lambda: workers(service) == 2, "two workers are counted")
    ask(service, 5)
    settled(service, 25)


def test_another_model_is_told(service: Service, model_file: Path) -> None:
    """The model's series is the new one's, and each of the two workers has counted a reload."""
    passport = saved(model_file, 2.0)
    serves(service, passport.version)

    def reloads() -> float:
        return samples(service).get(("skdeploy_model_reloads_total", ("ok",)), 0.0)

    wait_until(lambda: reloads() == 2, "two reloads are counted")

    def served_now() -> list[str]:
        found = [(key, value) for key, value in samples(service).items() if key[0] == "skdeploy_model_info"]
        return [key[1][3] for key, value in found if value == 1]

    wait_until(lambda: served_now() == [passport.version], "one model is served")


@pytest.mark.parametrize("kept", [False, True], ids=["a new connection", "a connection that is kept"])
def test_a_wait_in_the_kernel_is_told(tmp_path: Path, model_file: Path, kept: bool) -> None:
    """A worker that is stopped for a second reads nothing: the request's time holds that second."""
    with served(tmp_path, SKDEPLOY_MODEL_URI=str(model_file), WEB_CONCURRENCY="1") as service:
        (worker,) = service.workers()
        with contextlib.closing(service.connection()) as connection:
            if kept:
                connection.request("POST", "/predict", RECORD)
                connection.getresponse().read()
            os.kill(worker, signal.SIGSTOP)
            connection.request("POST", "/predict", RECORD)
            time.sleep(1)
            os.kill(worker, signal.SIGCONT)
            assert connection.getresponse().read()
        found = samples(service)
        assert found["skdeploy_request_duration_seconds_count", ("/predict",)] == 1 + kept
        assert 1 <= found["skdeploy_request_duration_seconds_sum", ("/predict",)] < 10
        wait_until(
            lambda: samples(service)["skdeploy_loop_lag_seconds_sum", ()] >= 1, "the loop's lag is told"
        )


def test_requests_that_wait_are_in_flight(service: Service) -> None:
    """The sum of all durations is the area under the gauge: here of requests that a stopped worker held."""
    workers = service.workers()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(contextlib.closing(service.connection())) for _ in range(8)]
        for connection in connections:
            connection.request("POST", "/predict", RECORD)
            connection.getresponse().read()
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        for connection in connections:
            connection.request("POST", "/predict", RECORD)
        time.sleep(2)
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
        for connection in connections:
            assert connection.getresponse().read()
    most = 0.0

    def seen() -> bool:
        nonlocal most
        most = max(most, samples(service)["skdeploy_requests_in_flight", ()])
        return most > 2

    wait_until(seen, lambda: f"requests in flight: {most} at most", 5)


def test_keys_are_for_metrics_too(tmp_path: Path, model_file: Path) -> None:
    """With SKDEPLOY_API_KEYS_FILE a scrape without a key is 401; the counts' folder is gone in the end."""
    key = new_key()
    (tmp_path / "keys").write_text(line_for("prometheus", key))
    before = {*Path("/dev/shm").glob("skdeploy-metrics-*")}
    settings = {
        "SKDEPLOY_MODEL_URI": str(model_file),
        "WEB_CONCURRENCY": "1",
        "SKDEPLOY_API_KEYS_FILE": str(tmp_path / "keys"),
    }
    with served(tmp_path, **settings) as service:
        assert service.get("/metrics")[0] == 401
        connection = service.connection()
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {key}"})
        assert connection.getresponse().status == 200
        connection.close()
        own = own_folder(service)
        assert own in {*Path("/dev/shm").glob("skdeploy-metrics-*")} - before
        assert service.stop() == 0
    assert not own.exists()


def own_folder(service: Service) -> Path:
    """The folder whose files its worker has mapped: those stay, while descriptors come and go."""
    mapped = Path(f"/proc/{service.workers()[0]}/maps").read_text().split()
    return next(Path(one).parent for one in mapped if "skdeploy-metrics-" in one)
