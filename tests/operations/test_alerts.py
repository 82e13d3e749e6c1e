"""The example alerts in Prometheus itself: its own tool reads and plays each one. test_stack.py scrapes for real."""

from __future__ import annotations

import re

from tests.operations.prometheus import ALERTS, PLAYED, rules, run, tool


def test_prometheus_can_read_the_rules() -> None:
    assert f"{len(rules())} rules found" in run(tool("promtool"), "check", "rules", str(ALERTS))


def test_every_alert_fires_when_it_should_and_not_before() -> None:
    assert "SUCCESS" in run(tool("promtool"), "test", "rules", str(PLAYED))
    played = PLAYED.read_text()
    for rule in rules():
        assert re.search(rf'alertname(="|: ){rule["alert"]}\b', played), f"{rule['alert']} is not played"
