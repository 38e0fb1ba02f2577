"""streaming/README.md and compose.yaml say what is so."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml

from examples.flights.produce import main as produce
from skdeploy.config import DECLARED
from skdeploy.stream.kafka.command import MEANINGS
from skdeploy.stream.kafka.command import main as consume
from skdeploy.stream.kafka.replay_command import main as replay
from skdeploy.stream.kinesis.command import main as consume_kinesis
from tests.live import ROOT

FOLDER = ROOT / "streaming"
README = (FOLDER / "README.md").read_text()
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
COMMANDS = {
    "streaming.consume": consume,
    "streaming.consume_kinesis": consume_kinesis,
    "streaming.replay": replay,
    "streaming.produce": produce,
}


def commands() -> list[list[str]]:
    """Modules and arguments of the commands of README and compose file."""
    lines = re.findall(r"^\$ .*?python -m (streaming\..*)$", README, re.MULTILINE)
    services = [service["command"] for service in COMPOSE["services"].values() if "command" in service]
    return [*map(shlex.split, lines), *services]


def test_every_exit_code_is_documented() -> None:
    """The table is what the command line's own help says."""
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", README, re.MULTILINE)
    assert [(int(code), meaning) for code, meaning in rows] == list(MEANINGS.items())


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_is_understood(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The one argument that the command does not take is the one that it complains of."""
    module, *arguments = command
    with pytest.raises(SystemExit) as ended:
        COMMANDS[module]([*arguments, "--no-such-argument"], {})
    assert ended.value.code == 2
    assert "unrecognized arguments: --no-such-argument" in capsys.readouterr().err


def test_the_compose_file_sets_what_somebody_reads() -> None:
    """Every variable is a setting, or Kafka's own; what is waited for has a health check."""
    for service in COMPOSE["services"].values():
        named = set(service["environment"])
        assert {name for name in named - set(DECLARED) if not name.startswith("KAFKA_")} == set()
        for needed in service.get("depends_on", {}):
            assert COMPOSE["services"][needed]["healthcheck"]["test"]
