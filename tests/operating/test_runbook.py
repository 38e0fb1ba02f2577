"""docs/runbook.md and the alerts: each has the other."""

from __future__ import annotations

import re

import pytest

from tests.live import ROOT
from tests.operating.test_alert_rules import RULES

TEXT = (ROOT / "docs" / "runbook.md").read_text()
SECTIONS = set(re.findall(r"^### (\w+)$", TEXT, re.MULTILINE))


def test_each_alert_has_its_section_and_each_section_its_alert() -> None:
    """Neither the rules nor the runbook knows an alert that the other does not."""
    assert set(RULES) == SECTIONS


@pytest.mark.parametrize("alert", sorted(RULES))
def test_an_alert_says_what_is_wrong_and_where_it_is_explained(alert: str) -> None:
    """A summary, a severity, and the anchor of the alert's own section."""
    rule = RULES[alert]
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{alert.lower()}"
    assert rule["labels"]["severity"] in ("critical", "warning")
