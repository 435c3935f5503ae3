"""Runs the commands of a workflow's jobs here, and lists what is not run, with the reason.

.venv/bin/python tests/deploy/workflows/run_workflow.py .github/workflows/ci.yml --list
.venv/bin/python tests/deploy/workflows/run_workflow.py .github/workflows/ci.yml --job lint --job docs
.venv/bin/python tests/deploy/workflows/run_workflow.py .github/workflows/ci.yml --skip 'make test TESTS|test-slow'
GITHUB_REF_NAME=v0.1.0 .venv/bin/python tests/deploy/workflows/run_workflow.py .github/workflows/release.yml --job notes

Each command is run once, with the Python of .venv, also where a matrix has several.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
# What is not run on a developer's machine, and why.
ELSEWHERE = {
    r"^\s*(?:cosign|gh)\b|\bhelm push\b|make build_docker": "it publishes",
    r"^\s*sudo\b": "it installs packages of the runner's system",
    r"^\s*kind\b|E2E_K8S_CONTEXT": "it needs a cluster of kind's",
    r"\$\{\{": "it needs a secret, or an event, of GitHub's",
}


@dataclass(frozen=True)
class Step:
    """One `run:` of a job, with one combination of its matrix put in."""

    job: str
    command: str
    environment: dict[str, str]

    @property
    def text(self) -> str:
        """The command on one line, its variables behind it."""
        lines = [line.strip() for line in self.command.splitlines() if not line.strip().startswith("#")]
        return " ".join(["; ".join(lines), *(f"{name}={value}" for name, value in self.environment.items())])

    @property
    def obstacle(self) -> str:
        """Why it can't run here, or ""."""
        whole = "\n".join([self.command, *self.environment, *self.environment.values()])
        reasons = [why for pattern, why in ELSEWHERE.items() if re.search(pattern, whole, re.MULTILINE)]
        unset = sorted(set(re.findall(r"GITHUB_[A-Z_]+", whole)) - os.environ.keys())
        return "; ".join(reasons + [f"{name} is not set" for name in unset])


def steps(workflow: dict[str, Any]) -> Iterator[Step]:
    """Every `run:` of a workflow, once for each combination of its job's matrix."""
    for job, told in workflow["jobs"].items():
        for combination in _combinations(told.get("strategy", {}).get("matrix", {})):
            for step in told["steps"]:
                if "run" in step:
                    environment = {name: _filled(str(text), combination) for name, text in step.get("env", {}).items()}
                    yield Step(job, _filled(step["run"], combination), environment)


def actions(workflow: dict[str, Any]) -> list[tuple[str, str]]:
    """(job, action) of every `uses:`."""
    return [(job, step["uses"]) for job, told in workflow["jobs"].items() for step in told["steps"] if "uses" in step]


def _combinations(matrix: dict[str, Any]) -> list[dict[str, Any]]:
    axes = {name: values for name, values in matrix.items() if name not in ("include", "exclude")}
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())] + matrix.get(
        "include", []
    )


def _filled(text: str, combination: dict[str, Any]) -> str:
    """The text with `${{ matrix.x.y }}` replaced; other expressions stay."""

    def value(match: re.Match[str]) -> str:
        found: Any = combination
        for name in match[1].split("."):
            found = found[name]
        return str(found)

    return re.sub(r"\$\{\{ matrix\.([\w.]+) \}\}", value, text)


def other_pythons(workflow: dict[str, Any]) -> list[tuple[str, str]]:
    """(job, version) of every Python of a matrix that is not this one."""
    mine = f"{sys.version_info.major}.{sys.version_info.minor}"
    axes = {job: told.get("strategy", {}).get("matrix", {}).get("python", []) for job, told in workflow["jobs"].items()}
    return [(job, version) for job, versions in axes.items() for version in versions if version != mine]


def main() -> int:
    """The exit code: 0 if every command that was run ended well."""
    parser = argparse.ArgumentParser(description="Run a workflow's commands on this machine.")
    parser.add_argument("workflow", type=Path)
    parser.add_argument("--job", action="append", help="only these jobs")
    parser.add_argument("--skip", metavar="REGEX", help="leave out commands in which this is found")
    parser.add_argument("--list", action="store_true", help="run nothing")
    given = parser.parse_args()
    workflow = yaml.safe_load(given.workflow.read_text())
    if given.job:
        workflow["jobs"] = {job: workflow["jobs"][job] for job in given.job}

    left_out, failed = [], []
    unique = {(step.command, *step.environment.values()): step for step in reversed(list(steps(workflow)))}
    for step in reversed(unique.values()):
        skipped = "--skip" if given.skip and re.search(given.skip, step.text) else ""
        if why := step.obstacle or skipped:
            left_out.append(f"{step.job}: {step.text}: {why}")
            continue
        print(f"{'would run' if given.list else '== running'}: {step.job}: {step.text}", flush=True)
        if not given.list:
            done = subprocess.run(["bash", "-e", "-c", step.command], cwd=ROOT, env=os.environ | step.environment)
            failed += [f"{step.job}: {step.text}"] if done.returncode else []
    left_out += [f"{job}: with Python {version}: this is another" for job, version in other_pythons(workflow)]
    left_out += [f"{job}: {action.partition('@')[0]}: an action" for job, action in actions(workflow)]
    for what in left_out:
        print(f"NOT RUN: {what}")
    for what in failed:
        print(f"FAILED: {what}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
