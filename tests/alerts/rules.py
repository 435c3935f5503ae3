"""The alert rules as they are shipped, and promtool, which tries them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "k8s" / "alerts"
FILES = sorted(FOLDER.glob("*.yaml"))
ALERTMANAGER = FOLDER / "alertmanager.example.yml"
JOB = "satfields"

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool (apt-get install prometheus)"
)


def groups() -> Iterator[dict[str, Any]]:
    """The groups of all files."""
    for file in FILES:
        yield from yaml.safe_load(file.read_text())["groups"]


def rules() -> Iterator[dict[str, Any]]:
    """All rules, recording ones and alerts."""
    for group in groups():
        yield from group["rules"]


def alerts() -> list[dict[str, Any]]:
    """The alerts; one of two severities is there twice."""
    return [rule for rule in rules() if "alert" in rule]


def promtool(*arguments: str) -> str:
    """What promtool says; it must be content."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Firing:
    """Alerts that fire at a time, and no others: names with labels, as in PromQL without the job."""

    minute: float
    alerts: Sequence[str]

    def expectation(self) -> dict[str, Any]:
        """The check, as promtool reads it."""
        severity = {rule["alert"]: rule["labels"]["severity"] for rule in reversed(alerts())}
        samples = []
        for alert in self.alerts:
            name, _, labels = alert.partition("{")
            given = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            given = {"job": JOB, "severity": severity[name]} | given
            given = {label: value for label, value in given.items() if value}
            told = ", ".join(f'{label}="{value}"' for label, value in given.items())
            samples.append({"labels": f'ALERTS{{alertname="{name}", alertstate="firing", {told}}}', "value": 1})
        return {
            "expr": 'ALERTS{alertstate="firing"}',
            "eval_time": f"{round(self.minute * 60)}s",
            "exp_samples": samples,
        }


def written_test(name: str, step: str, series: Mapping[str, str], firing: Iterable[Firing]) -> dict[str, Any]:
    """A test of promtool.

    Args:
        name: what it is called.
        step: between two values.
        series: values in promtool's notation, by metric and labels.
        firing: what fires when.
    """
    return {
        "name": name,
        "interval": step,
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [one.expectation() for one in firing],
    }


def run_tests(file: Path, step: str, tests: Sequence[dict[str, Any]], files: Sequence[Path] = FILES) -> None:
    """Let promtool run tests, with rules that are evaluated at each step.

    All rules are one group, in their order: promtool evaluates groups in any order, and what was recorded a step of
    half an hour ago is too old for the next one.
    """
    found = [rule for each in files for group in yaml.safe_load(each.read_text())["groups"] for rule in group["rules"]]
    united = file.with_name("rules.yaml")
    united.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": found}]}, width=1000))
    content = {"rule_files": [str(united)], "evaluation_interval": step, "tests": list(tests)}
    file.write_text(yaml.safe_dump(content, width=1000))
    promtool("test", "rules", str(file))
