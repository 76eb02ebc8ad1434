"""Alert rules fire when they should and are silent when they should, as Prometheus itself says."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

RULES = Path(__file__).resolve().parents[2] / "deploy" / "alerts.yml"
CASES = Path(__file__).parent / "alert_cases.yml"
"""Made-up measurements, and which alerts fire at which moment."""


def promtool(*words: str) -> str:
    """What promtool says, which has to be content; skips the test where there is none."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("there is no promtool here; Debian's package prometheus has it")
    done = subprocess.run([found, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def read(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


def test_prometheus_takes_the_rules() -> None:
    assert "rules found" in promtool("check", "rules", str(RULES))


def test_each_alert_fires_and_is_silent_as_the_cases_say() -> None:
    assert "SUCCESS" in promtool("test", "rules", str(CASES))


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    rules = {rule["alert"] for group in read(RULES)["groups"] for rule in group["rules"]}
    asked = [each for test in read(CASES)["tests"] for each in test["alert_rule_test"]]
    assert rules
    assert {each["alertname"] for each in asked if each["exp_alerts"]} == rules
    assert {each["alertname"] for each in asked if not each["exp_alerts"]} == rules
