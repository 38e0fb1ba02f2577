"""streaming/README.md and compose.yaml say what is so."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import pytest
import yaml

from examples.flights.produce import main as produce
from skdeploy.settings import SETTINGS
from skdeploy.stream.kafka.command import MEANINGS
from skdeploy.stream.kafka.command import main as consume
from skdeploy.stream.kafka.replay_command import main as replay
from skdeploy.stream.kinesis.command import main as consume_kinesis
from skdeploy.stream.kinesis.settings import KINESIS_SETTINGS
from skdeploy.stream.settings import STREAM_SETTINGS
from skdeploy.variables import Setting
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


@pytest.mark.parametrize(
    ("text", "settings"),
    [(README, STREAM_SETTINGS), ((ROOT / "docs" / "lambda.md").read_text(), KINESIS_SETTINGS)],
    ids=["a consumer's", "a function's"],
)
def test_every_setting_is_documented_with_its_default(text: str, settings: Sequence[Setting]) -> None:
    """The table is that of the code, row by row."""
    assert re.findall(r"^\| `[A-Z_0-9]+` \|.*\|$", text, re.MULTILINE) == [
        f"| `{setting.name}` | {f'`{setting.default}`' if setting.default else ''} | {setting.meaning} |"
        for setting in settings
    ]


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
    ours = {setting.name for setting in (*SETTINGS, *STREAM_SETTINGS)}
    for service in COMPOSE["services"].values():
        named = set(service["environment"])
        assert {name for name in named - ours if not name.startswith("KAFKA_")} == set()
        for needed in service.get("depends_on", {}):
            assert COMPOSE["services"][needed]["healthcheck"]["test"]
