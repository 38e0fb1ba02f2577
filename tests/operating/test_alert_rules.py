"""The alerts, as Prometheus itself evaluates them: promtool's checks, and its tests of every alert."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.live import ROOT
from tests.operating.alert_cases import CASES, Case

FOLDER = ROOT / "web-service" / "monitoring"
GROUPS = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
RULES = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}


def _promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def _test(case: Case) -> dict[str, Any]:
    rule = RULES[case.alert]
    fires = [] if case.labels is None else [_expected(rule, case.labels)]
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [
            {"eval_time": f"{case.minute}m", "alertname": case.alert, "exp_alerts": fires},
        ],
    }


def _expected(rule: Any, labels: dict[str, str]) -> dict[str, Any]:
    return {"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": rule["annotations"]}


def _written(folder: Path, cases: tuple[Case, ...]) -> Path:
    """promtool's file of tests."""
    tests = {
        "rule_files": [str(FOLDER / "alerts.yml")],
        "evaluation_interval": "1m",
        "tests": [_test(case) for case in cases],
    }
    path = folder / "tests.yml"
    path.write_text(json.dumps(tests))
    return path


def test_every_alert_has_series_at_which_it_fires_and_such_at_which_it_does_not() -> None:
    """No alert is without its two cases, and no case without its alert."""
    assert {case.alert for case in CASES if case.labels is not None} == set(RULES)
    assert {case.alert for case in CASES if case.labels is None} == set(RULES)


@pytest.mark.heavy
def test_prometheus_accepts_configuration_and_rules() -> None:
    """promtool finds nothing wrong with either file."""
    for what, name in (("rules", "alerts.yml"), ("config", "prometheus.yml")):
        checked = _promtool("check", what, FOLDER / name)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.heavy
@pytest.mark.parametrize("alert", sorted(RULES))
def test_the_alert_fires_when_it_should_and_only_then(tmp_path: Path, alert: str) -> None:
    """Of each case, Prometheus' own evaluation gives the expected alert, or none."""
    path = _written(tmp_path, tuple(case for case in CASES if case.alert == alert))
    tested = _promtool("test", "rules", path)
    assert tested.returncode == 0, tested.stdout + tested.stderr
