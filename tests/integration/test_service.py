"""The web service as it runs: gunicorn with its workers, over real sockets and signals."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest
from threadpoolctl import threadpool_limits  # it carries none

import skdeploy
from skdeploy.errors import UnreadableModel
from skdeploy.model import Model
from skdeploy.schema import RecordReader
from skdeploy.scoring import Scorer
from tests.live import ROOT, Service, free_port, load, progress, served, started, wait_until
from tests.wire import (
    GOOD,
    HUGE,
    MEGABYTE,
    RECORD,
    Wire,
    assert_in_step,
    assert_problem,
    chunked,
    head,
    paused,
    record,
    request,
    tokens,
)

MODEL_FILE = ROOT / "model.bin"
DIGEST = hashlib.sha256(MODEL_FILE.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def model() -> Model:
    return skdeploy.load(MODEL_FILE)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two workers, all else at its default. Nothing that a client does leaves a traceback.

    OMP_NUM_THREADS is set as some images set it; the service has to overrule it.
    """
    with served(tmp_path_factory.mktemp("service"), WEB_CONCURRENCY="2", OMP_NUM_THREADS="2") as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One worker of four threads, whatever OMP_NUM_THREADS says; it gives a client two seconds."""
    settings = {
        "WEB_CONCURRENCY": "1",
        "SKDEPLOY_THREADS": "4",
        "SKDEPLOY_CLIENT_TIMEOUT": "2",
        "OMP_NUM_THREADS": "2",
    }
    with served(tmp_path_factory.mktemp("small"), **settings) as running:
        yield running


@pytest.fixture
def wire(service: Service) -> Iterator[Wire]:
    with contextlib.closing(Wire(service)) as opened:
        yield opened


# Answers


def predicted(model: Model, records: list[dict[str, Any]]) -> list[Any]:
    """The model's own answers; in one thread, as its trees crawl if several must share a busy core."""
    with threadpool_limits(1):
        return Scorer(model).predict(RecordReader(model.schema).read(records).table).values


def golden_records(model: Model) -> list[dict[str, Any]]:
    names, cells = model.schema.names, model.passport.golden.cells
    return [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]


def test_http_answers_what_the_model_answers(service: Service, model: Model) -> None:
    """The same records get the same predictions over HTTP as from skdeploy.load, in order."""
    records = golden_records(model)
    status, body = service.post(json.dumps(records).encode())
    assert status == 200
    assert json.loads(body)["predictions"] == predicted(model, records)
    for one in records[:20]:
        assert (
            json.loads(service.post(json.dumps(one).encode())[1])["prediction"] == predicted(model, [one])[0]
        )


def test_every_worker_predicts(service: Service) -> None:
    """Forked after the parent has predicted, each worker predicts and does not hang."""
    workers = service.workers()
    for worker in workers:
        with paused([pid for pid in workers if pid != worker]):
            assert service.post(b"[" + b",".join([GOOD] * 2000) + b"]")[0] == 200


def test_workers_start_no_native_threads(small: Service) -> None:
    """A worker has its main thread, the scoring thread and SKDEPLOY_THREADS more, and no native pool."""
    many = b"[" + b",".join([GOOD] * 100) + b"]"  # too large for the loop
    with load(small, many, small.post(many)[1], keep_alive=False) as tally:
        progress(tally, 200)
        assert all(len(list(Path(f"/proc/{pid}/task").iterdir())) <= 2 + 4 for pid in small.workers())


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(request(GOOD), id="row-shaped record"),
        pytest.param(request(record(temp=None)), id="null where the model takes one"),
        pytest.param(request(record(month=11.0)), id="integral float for an integer"),
        pytest.param(request(GOOD, kind=None), id="no content type"),
        pytest.param(request(GOOD, kind="application/json; charset=utf-8"), id="charset"),
        pytest.param(request(GOOD, kind="application/vnd.flight+json"), id="a kind of JSON"),
        pytest.param(chunked(GOOD), id="one chunk"),
        pytest.param(chunked(*[GOOD[i : i + 7] for i in range(0, len(GOOD), 7)]), id="many chunks"),
    ],
)
def test_good_requests(wire: Wire, content: bytes) -> None:
    """What is understood is answered, and the connection stays open for more."""
    assert wire.ask(content).status == 200
    assert_in_step(wire)


# Refusals. The rows of the peers' error scoreboard come first, with their names there.

REFUSALS = {
    "malformed JSON": (request(GOOD[:-1]), 400),
    "missing column": (request(json.dumps({"origin": "JFK"}).encode()), 422),
    "wrong number of features": (request(b"[[1, 2, 3]]"), 422),
    "shape and data disagree": (request(b'{"inputs":[{"name":"x","shape":[1,9],"data":[1]}]}'), 400),
    "null in an int": (request(record(distance=None)), 422),
    "float 2.9 for an int": (request(record(distance=2.9)), 422),
    "missing key instances": (request(b'{"rows": []}'), 400),
    "all columns missing": (request(b"{}"), 422),
    "unknown model": (request(GOOD, path="/v2/models/nope/infer"), 404),
    "unknown output name": (request(GOOD, path="/predict?output=nope"), 400),
    "unknown column": (request(record(pilot="Ann")), 422),
    "text for a number": (request(record(distance="2475")), 422),
    "number for text": (request(record(dest=1)), 422),
    "boolean for a number": (request(record(distance=True)), 422),
    "empty body": (request(b""), 400),
    "no body": (head(), 400),
    "white space": (request(b" \r\n"), 400),
    "scalar": (request(b"1"), 400),
    "empty list": (request(b"[]"), 422),
    "deep nesting": (request(b"[" * 100_000), 400),
    "deep nesting, closed": (request(b'{"a":' * 50_000 + b"1" + b"}" * 50_000), 400),
    "deep cell": (request(tokens(temp="[" * 400 + "]" * 400)), 422),
    "duplicate key": (request(GOOD[:-1] + b',"month":1}'), 400),
    "duplicate key, escaped": (request(GOOD[:-1] + rb',"m\u006fnth":1}'), 400),
    "lone surrogate": (request(tokens(dest=r'"\ud800"')), 400),
    "lone surrogate in a key": (request(GOOD[:-1] + rb',"\udc00":1}'), 400),
    "invalid UTF-8": (request(GOOD.replace(b"JFK", b"J\xffK")), 400),
    "UTF-16": (request(GOOD.decode().encode("utf-16")), 400),
    "NaN": (request(tokens(temp="NaN")), 400),
    "Infinity": (request(tokens(temp="Infinity")), 400),
    "-Infinity": (request(tokens(temp="-Infinity")), 400),
    "1e400": (request(tokens(temp="1e400")), 422),
    "1e400 for an int": (request(tokens(distance="1e400")), 422),
    "1e999999999999999999999 for an int": (request(tokens(distance="1e999999999999999999999")), 422),
    "64 bits and one": (request(tokens(distance=str(2**63))), 422),
    "20 digits for a float": (request(tokens(temp="9" * 20)), 422),
    "30 digits for a float": (request(tokens(temp="9" * 30)), 422),
    "10,000 digits": (request(tokens(distance="9" * 10_000)), 422),
    "bad query value": (request(GOOD, path="/predict?proba=maybe"), 400),
    "query twice": (request(GOOD, path="/predict?errors=partial&errors=partial"), 400),
    "unknown path": (request(GOOD, path="/predictions"), 404),
    "unknown path, GET": (head(method="GET", path="/%ff%00", kind=None), 404),
    "GET for POST": (head(method="GET", kind=None), 405),
    "PUT for POST": (request(GOOD, method="PUT"), 405),
    "DELETE": (head(method="DELETE", kind=None), 405),
    "POST for GET": (request(GOOD, path="/health"), 405),
    "text/csv": (request(GOOD, kind="text/csv"), 415),
    "curl -d": (request(GOOD, kind="application/x-www-form-urlencoded"), 415),
    "latin-1": (request(GOOD, kind="application/json; charset=latin-1"), 415),
    "gzip": (request(GOOD, "Content-Encoding: gzip"), 415),
    "refused chunks": (chunked(GOOD[:-1]), 400),
}


@pytest.mark.robustness("bad input")
@pytest.mark.parametrize(("content", "status"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals(wire: Wire, content: bytes, status: int, fact: Callable[..., None]) -> None:
    """Each is refused with a problem document, and the same connection serves the next request."""
    answer = wire.ask(content)
    assert_problem(answer, status)
    assert_in_step(wire)
    fact(f"{status} {answer.json['title']}")


def test_every_bad_cell_is_listed(wire: Wire) -> None:
    """A refusal lists record, column, expected and got for every bad cell of every record."""
    bad = json.dumps([RECORD, RECORD | {"distance": 2.9, "month": None}, RECORD | {"pilot": "Ann"}])
    errors = wire.ask(request(bad.encode())).json["errors"]
    assert [(cell["record"], cell["column"]) for cell in errors] == [
        (1, "month"),
        (1, "distance"),
        (2, "pilot"),
    ]
    assert "integer" in errors[1]["expected"]
    assert errors[1]["got"] == "number 2.9"


LARGE = {
    "413": (request(HUGE), 413),
    "413, to be closed": (request(HUGE, "Connection: close"), 413),
    "413, in chunks": (chunked(*[GOOD[:1] * MEGABYTE] * 50), 413),
    "413, in one chunk": (chunked(HUGE), 413),
    "400": (request(HUGE, path="/predict?nope=1"), 400),
    "404": (request(HUGE, path="/nope"), 404),
    "405": (request(HUGE, method="PUT"), 405),
    "415": (request(HUGE, kind="text/csv"), 415),
    "415, to be closed": (request(HUGE, "Connection: close", kind="text/csv"), 415),
}


@pytest.mark.robustness("bad input", "50 MB")
@pytest.mark.parametrize(("content", "status"), LARGE.values(), ids=LARGE.keys())
def test_50_megabytes_are_refused_without_a_broken_pipe(
    wire: Wire, content: bytes, status: int, fact: Callable[..., None]
) -> None:
    """A client that sends all before it reads gets its answer, whatever it is refused for."""
    answer = wire.ask(content)
    assert_problem(answer, status)
    if status == 413:
        assert f"{10 * MEGABYTE} bytes (SKDEPLOY_MAX_BODY)" in answer.json["detail"]
    if answer.headers["connection"] == "close":
        assert wire.has_ended()
    else:
        assert_in_step(wire)
    fact(f"{status} {answer.json['title']}")


def test_a_wrong_method_is_told_the_right_one(wire: Wire) -> None:
    """405 carries Allow."""
    assert "POST" in wire.ask(head(method="GET", kind=None)).headers["allow"]


# Connections


def test_a_connection_serves_many_requests(wire: Wire, expected: bytes) -> None:
    """Requests on one connection are answered one by one, also between refusals."""
    for _ in range(20):
        assert wire.ask(request(GOOD)).body == expected
        assert_problem(wire.ask(request(b"{}")), 422)


def test_pipelined_requests_are_answered_in_order(wire: Wire, expected: bytes) -> None:
    """Requests that are sent in one go are all answered, at once and in order."""
    began = time.monotonic()
    wire.send(request(GOOD) + request(GOOD, kind="text/csv") + chunked(GOOD) + request(b"[]") + request(GOOD))
    answers = [wire.answer() for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 415, 200, 422, 200]
    assert answers[4].body == expected
    assert time.monotonic() - began < 2


def test_expect_100_continue(wire: Wire, expected: bytes) -> None:
    """A client that asks first is told to go on, as curl does with large bodies."""
    go_on = wire.ask(head(f"Content-Length: {len(GOOD)}", "Expect: 100-continue"))
    assert go_on.status == 100
    assert wire.ask(GOOD).body == expected
    assert_in_step(wire)


@pytest.mark.robustness("bad input", "a broken chunk")
@pytest.mark.parametrize(
    "broken", [b"ZZ\r\n", b"5\r\n[1,2]XX", b"-1\r\n\r\n"], ids=["size", "end", "negative"]
)
def test_broken_chunks_end_the_connection(wire: Wire, broken: bytes, fact: Callable[..., None]) -> None:
    """A body whose end cannot be known is refused, and what follows it is no request."""
    answer = wire.ask(head("Transfer-Encoding: chunked") + broken)
    assert_problem(answer, 400)
    assert answer.headers["connection"] == "close"
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        wire.send(head(method="GET", path="/health", kind=None))
    assert wire.has_ended()
    fact(f"400 {answer.json['title']}, and the connection ends")


@pytest.mark.robustness(
    "fault", "clients that leave in the middle of a head, a body, a chunk or 50 MB, closing or resetting"
)
def test_clients_that_go_away(service: Service, expected: bytes, fact: Callable[..., None]) -> None:
    """Clients that close or reset in the middle of a request leave the service answering."""
    unfinished = [
        request(GOOD)[:-20],
        head("Transfer-Encoding: chunked") + b"fff\r\n[",
        head()[:20],
        b"",
        request(HUGE)[: 20 * MEGABYTE],
    ]
    for content in unfinished * 2:
        for leave in (Wire.close, Wire.reset):
            wire = Wire(service)
            wire.send(content)
            leave(wire)
        assert service.post(GOOD) == (200, expected)
    fact("others are answered")


@pytest.mark.robustness("fault", "clients that leave before their answer")
def test_a_client_that_does_not_read_to_the_end(
    service: Service, expected: bytes, fact: Callable[..., None]
) -> None:
    """A client that leaves before its answer harms no other."""
    for _ in range(10):
        wire = Wire(service)
        wire.send(request(b"[" + b",".join([GOOD] * 500) + b"]"))
        wire.reset()
    assert service.post(GOOD) == (200, expected)
    fact("others are answered")


# Starting


class Call:
    """Unpickles by calling `function` with `arguments`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


def tampered(path: Path, **attributes: Any) -> Path:
    """A copy of model.bin whose pipeline has other attributes."""
    pipeline = joblib.load(MODEL_FILE)
    vars(pipeline).update(attributes)
    joblib.dump(pipeline, path)
    return path


def refusal(folder: Path, code: int = 3, **settings: str) -> str:
    """What a service says that does not start and ends with `code`; its port stays closed all the while."""
    with started(folder, **settings) as service:
        while service.process.poll() is None:
            assert not connects(service.port)
            time.sleep(0.05)
        assert service.wait() == code
        assert "Traceback" not in service.log()
        return service.log()


def connects(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_the_port_opens_after_the_proof(tmp_path: Path) -> None:
    """While a slow model is loaded and proved connections are refused; the first answer is ready."""
    slow = tampered(tmp_path / "slow.bin", pause=Call(time.sleep, 2))
    with started(tmp_path, SKDEPLOY_MODEL_URI=str(slow)) as service:
        wait_until(lambda: connects(service.port), "the port opens", 60)
        assert "golden records predict what the passport says" in service.log()
        assert service.get("/ready")[0] == 200


def test_a_wrong_digest_unpickles_nothing(tmp_path: Path) -> None:
    """SKDEPLOY_MODEL_SHA256 of another file: refused with both digests, before any of it runs."""
    trace, trap = tmp_path / "it-ran", tmp_path / "trap.bin"
    joblib.dump(Call(Path.touch, trace), trap)
    digest = hashlib.sha256(trap.read_bytes()).hexdigest()
    log = refusal(tmp_path, SKDEPLOY_MODEL_URI=str(trap), SKDEPLOY_MODEL_SHA256="0" * 64)
    assert digest in log
    assert "0" * 64 in log
    assert not trace.exists()
    with pytest.raises(UnreadableModel):
        skdeploy.load(trap, digest)
    assert trace.exists(), "the trap does not work"


def test_the_right_digest_starts(strict: Service) -> None:
    """SKDEPLOY_MODEL_SHA256 of the file itself starts the service, in capitals as well, and / shows it."""
    assert json.loads(strict.get("/")[1])["model"]["sha256"] == DIGEST


def test_a_golden_mismatch_refuses_to_start(tmp_path: Path) -> None:
    """A model that does not predict what its passport says: refused with row and both values."""
    passport = joblib.load(MODEL_FILE).passport_
    before = passport["golden"]["predictions"][7]
    passport["golden"]["predictions"][7] = after = before + 1.0
    log = refusal(tmp_path, SKDEPLOY_MODEL_URI=str(tampered(tmp_path / "other.bin", passport_=passport)))
    assert "The service does not start: Golden record 7 predicts" in log
    assert str(before)[:12] in log
    assert str(after) in log


def test_a_missing_model_says_what_to_do(tmp_path: Path) -> None:
    """The message names the path and the remedy."""
    log = refusal(tmp_path, SKDEPLOY_MODEL_URI=str(tmp_path / "none.bin"))
    assert f"There is no model at {tmp_path}/none.bin" in log
    assert "correct the path" in log


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "abc"), ("SKDEPLOY_MAX_BODY", "many"), ("SKDEPLOY_LOG_LEVEL", "loud")]
)
def test_a_bad_setting_says_what_to_do(tmp_path: Path, name: str, value: str) -> None:
    """The message names variable, value and remedy."""
    log = refusal(tmp_path, 2, **{name: value})
    assert f"The service does not start: {name}='{value}' is not " in log
    assert "Correct it, or unset it for the default" in log


def test_plain_gunicorn_does_not_start_what_cannot_start_again_and_again(tmp_path: Path) -> None:
    """gunicorn replaces a worker that has ended, unless it is told that no worker can start."""
    command = ["-m", "gunicorn", "--bind", "127.0.0.1:0", "predict:app"]
    with started(tmp_path, command, SKDEPLOY_LOG_LEVEL="loud") as service:
        assert service.wait() == 3
        assert service.log().count("The service does not start: SKDEPLOY_LOG_LEVEL='loud' is not ") == 1


@pytest.mark.robustness("fault", "the port is taken")
def test_a_port_in_use_says_so(tmp_path: Path, fact: Callable[..., None]) -> None:
    """Another process on the port: the service names the address and ends."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with started(tmp_path, PORT=str(port)) as service:
            code = service.wait()
            assert code not in (0, None)
            assert "Traceback" not in service.log()
            assert f"Connection in use: ('127.0.0.1', {port})" in service.log()
    fact(f"exit code {code}, and the log names the address")


@pytest.mark.parametrize(
    "command",
    [
        ("predict.py",),
        ("-m", "gunicorn", "--bind", "127.0.0.1:{port}", "predict:app"),
        ("-m", "flask", "--app", "predict", "run", "--port", "{port}"),
    ],
    ids=["python predict.py", "plain gunicorn", "flask run"],
)
def test_other_servers_answer_the_same(tmp_path: Path, expected: bytes, command: tuple[str, ...]) -> None:
    """The application is a Flask application, and answers without the event loop what it answers with it."""
    port = str(free_port())
    with served(tmp_path, [part.format(port=port) for part in command], PORT=port) as service:
        assert service.post(GOOD) == (200, expected)
        assert service.post(b"{}")[0] == 422
        assert service.get("/health") == (200, b'{"status":"ok"}')
        for path in ("/health", "/openapi.json"):
            with urllib.request.urlopen(urllib.request.Request(service.url + path, method="HEAD")) as answer:
                assert answer.read() == b""
                assert answer.headers["Content-Length"] == str(len(service.get(path)[1]))


# Settings


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service on which the settings of requests are all set otherwise."""
    settings = {
        "SKDEPLOY_STRICT_CATEGORIES": "1",
        "SKDEPLOY_UNKNOWN_COLUMNS": "ignore",
        "SKDEPLOY_EXPOSE_SCHEMA": "minimal",
        "SKDEPLOY_MAX_BODY": "1K",
        "SKDEPLOY_ID_FIELD": "key",
        "SKDEPLOY_ACCESS_LOG": "1",
        "SKDEPLOY_MODEL_SHA256": DIGEST.upper(),
        "WEB_CONCURRENCY": "1",
    }
    with served(tmp_path_factory.mktemp("strict"), **settings) as running:
        yield running


@pytest.fixture
def strict_wire(strict: Service) -> Iterator[Wire]:
    with contextlib.closing(Wire(strict)) as opened:
        yield opened


def test_strict_categories(service: Service, strict_wire: Wire) -> None:
    """SKDEPLOY_STRICT_CATEGORIES=1 refuses what training did not see and the pipeline would take."""
    unseen = record(dest="XXX")
    assert service.post(unseen)[0] == 200
    answer = strict_wire.ask(request(unseen))
    assert_problem(answer, 422)
    assert answer.json["errors"][0]["column"] == "dest"


def test_minimal_schema(service: Service, strict_wire: Wire) -> None:
    """SKDEPLOY_EXPOSE_SCHEMA=minimal shows no category of the training data, in page or message."""
    assert b"ATL" in service.get("/")[1]
    page = strict_wire.ask(head(method="GET", path="/", kind=None)).body
    message = strict_wire.ask(request(record(dest="XXX"))).body
    for text in (page, message):
        assert b"ATL" not in text
    assert b"examples" not in page


def test_unknown_columns_can_be_ignored(strict_wire: Wire, expected: bytes) -> None:
    """SKDEPLOY_UNKNOWN_COLUMNS=ignore answers as if they were not there."""
    assert strict_wire.ask(request(record(pilot="Ann"))).body == expected


def test_the_limit_can_be_set(strict_wire: Wire) -> None:
    """SKDEPLOY_MAX_BODY=1K: 1024 bytes are taken, one more is not, in chunks or not."""
    full = GOOD.ljust(1024)
    assert strict_wire.ask(request(full)).status == 200
    assert strict_wire.ask(chunked(full)).status == 200
    for content in (request(full + b" "), chunked(full, b" ")):
        answer = strict_wire.ask(content)
        assert_problem(answer, 413)
        assert "1024 bytes (SKDEPLOY_MAX_BODY)" in answer.json["detail"]
    assert_in_step(strict_wire)


def test_the_key_can_be_named(strict_wire: Wire) -> None:
    """SKDEPLOY_ID_FIELD names the key that comes back with a prediction, one record or many."""
    one = strict_wire.ask(request(record(key="a"))).json
    assert one["key"] == "a"
    many = strict_wire.ask(request(b"[" + record(key="a") + b"," + record(key=2) + b"]")).json["predictions"]
    assert [item["key"] for item in many] == ["a", 2]


def test_requests_are_logged_if_asked(service: Service, strict: Service) -> None:
    """SKDEPLOY_ACCESS_LOG=1 writes a line per request with its status; by default there is none."""
    assert strict.get("/no-such-page")[0] == 404
    wait_until(lambda: '"path":"/no-such-page","status":404' in strict.log(), "the request is logged", 5)
    service.get("/no-such-page")
    assert "/no-such-page" not in service.log()


def test_an_idle_service_ends_at_once(tmp_path: Path) -> None:
    """SIGTERM without requests: the workers leave within seconds, whatever libraries they loaded."""
    with served(tmp_path, WEB_CONCURRENCY="2") as service:
        begin = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - begin < 8
        assert "SIG" not in service.log()
