"""The image's targets that score events, run by a real Docker engine."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from examples.servers.aws import environment
from examples.servers.kafka import embedded_server
from examples.servers.lambda_runtime import kinesis_invocation, lambda_function
from skdeploy.model import Model
from skdeploy.stream import Event, Position, process
from tests.integration.docker_engine import Docker
from tests.live import ROOT, wait_until
from tests.stream.aws import documents_in, record, running_aws
from tests.stream.topics import create, ids, received, send

pytestmark = pytest.mark.heavy
# What the targets add to the web service's image: librdkafka; Amazon's runtime client.
MOST_ADDED_MB = {"streaming": 40, "lambda": 25}
HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host")


@pytest.fixture(scope="module", params=MOST_ADDED_MB)
def target(docker: Docker, base: str, image: str, request: pytest.FixtureRequest) -> Generator[str]:
    """A target, built behind the web service's layers."""
    name = f"skdeploy-test-{request.param}"
    docker.build(name, ROOT, f"--build-arg=BASE={base}", f"--target={request.param}")
    yield name
    docker.run("rmi", "--force", name)


@pytest.fixture
def model_folder(regressor_file: Path, tmp_path: Path) -> Path:
    """A folder with tree.bin that anybody may read."""
    shutil.copy(regressor_file, tmp_path / "tree.bin")
    tmp_path.chmod(0o755)
    (tmp_path / "tree.bin").chmod(0o644)
    return tmp_path


def test_a_target_scores_events(
    docker: Docker, target: str, model_folder: Path, regressor: Model, tmp_path: Path
) -> None:
    """Those of a topic until SIGTERM, or those that Lambda hands over: each has its prediction."""
    if target.endswith("streaming"):
        assert_consumes(docker, target, model_folder, tmp_path)
    else:
        assert_is_a_function(docker, target, model_folder, regressor, tmp_path)


def assert_consumes(docker: Docker, target: str, models: Path, tmp_path: Path) -> None:
    """A consumer in a container reads and writes topics, and ends well."""
    with embedded_server(tmp_path / "broker") as broker:
        create(broker, "trees", "out", "out.dead-letters")
        send(broker, "trees", [record(place) for place in range(50)] + [b"{"])
        settings = {
            "SKDEPLOY_MODEL_URI": "/models/tree.bin",
            "SKDEPLOY_KAFKA_BOOTSTRAP": broker.bootstrap,
            "SKDEPLOY_METRICS_LISTEN": "0",
        }
        with docker.container(
            *(*HARDENED, "--tmpfs=/tmp", f"--volume={models}:/models:ro"),
            *(f"--env={name}={value}" for name, value in settings.items()),
            *(target, "streaming.consume", "--topics=trees", "--output=out", "--group=g"),
        ) as container:
            found = received(broker, ["out", "out.dead-letters"], 51)
            assert len(ids(found["out"])) == 50, container.log()
            docker.run("stop", "--time=20", container.id)
            wait_until(lambda: container.state("Running") == "false", "the container has ended", 20)
            assert container.state("ExitCode") == "0", container.log()


def assert_is_a_function(docker: Docker, target: str, models: Path, regressor: Model, tmp_path: Path) -> None:
    """Under AWS's own runtime client a container answers an invocation, and writes to the streams."""
    name = "skdeploy-test-function"
    with running_aws(tmp_path / "aws") as aws:
        output, letters = aws.create_stream(), aws.create_stream()
        streams = {"SKDEPLOY_OUTPUT_STREAM": output, "SKDEPLOY_DEAD_LETTER_STREAM": letters}
        variables = environment(aws.endpoint) | streams | {"SKDEPLOY_MODEL_URI": "/models/tree.bin"}
        inherited = ("AWS_LAMBDA_RUNTIME_API", *variables)
        command = (
            *(docker.client, "run", "--rm", f"--name={name}", *HARDENED, f"--volume={models}:/models:ro"),
            *(f"--env={variable}" for variable in inherited),
            target,
        )
        values = [record(place) for place in range(20)]
        try:
            with lambda_function(tmp_path, docker.environment() | variables, command=command) as function:
                answer = function.invoke(kinesis_invocation([*values, b"{"]))
        finally:
            docker.attempt("rm", "--force", name)
        assert answer.document == {"batchItemFailures": []}
        here = process(regressor, [Event(value, Position("s", 0, n)) for n, value in enumerate(values)])
        assert len(documents_in(aws, output)) == len(here.predictions) == 20
        assert [letter["reason"] for letter in documents_in(aws, letters)] == ["malformed-body"]


def test_a_target_is_small(docker: Docker, target: str, image: str) -> None:
    """It adds what events need, and nothing twice."""
    sizes = [int(docker.run("image", "inspect", "--format={{.Size}}", name)) for name in (target, image)]
    assert (sizes[0] - sizes[1]) / 10**6 <= MOST_ADDED_MB[target.rpartition("-")[2]]


def test_the_producer_has_the_flights(docker: Docker, base: str, image: str) -> None:
    """The demo's target has what makes events of them."""
    name = "skdeploy-test-producer"
    docker.build(name, ROOT, f"--build-arg=BASE={base}", "--target=producer")
    try:
        code = "from examples.flights.data import flights_table; print(len(flights_table()))"
        said = docker.run("run", "--rm", "--network=none", "--entrypoint=python3", name, "-c", code)
        assert said.splitlines()[-1] == "336776"
    finally:
        docker.run("rmi", "--force", name)
