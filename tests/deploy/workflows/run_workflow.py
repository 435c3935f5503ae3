"""Runs the commands of a workflow's jobs here, and lists those that only GitHub's runners can run.

.venv/bin/python tests/deploy/workflows/run_workflow.py .github/workflows/ci.yml --list
.venv/bin/python tests/deploy/workflows/run_workflow.py .github/workflows/ci.yml --job lint --job docs

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
# Programs of the runners, and what only a workflow has: its event, its secrets.
ELSEWHERE = re.compile(
    r"^\s*(?:kind|docker|helm|cosign|gh|sudo)\b|\$\{\{|GITHUB_|E2E_K8S_CONTEXT|make build_docker", re.MULTILINE
)


@dataclass(frozen=True)
class Step:
    """One `run:` of a job, with one combination of its matrix put in."""

    job: str
    command: str
    environment: dict[str, str]

    @property
    def needs_github(self) -> bool:
        """Whether it can't run elsewhere."""
        return bool(ELSEWHERE.search("\n".join([self.command, *self.environment, *self.environment.values()])))


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


def main() -> int:
    """The exit code: 0 if every command that was run ended well."""
    parser = argparse.ArgumentParser(description="Run a workflow's commands on this machine.")
    parser.add_argument("workflow", type=Path)
    parser.add_argument("--job", action="append", help="only these jobs")
    parser.add_argument("--list", action="store_true", help="run nothing")
    given = parser.parse_args()
    workflow = yaml.safe_load(given.workflow.read_text())

    failed = ran = 0
    seen: set[tuple[str, str]] = set()
    for step in steps(workflow):
        what = (step.command.strip(), str(sorted(step.environment.items())))
        if (given.job and step.job not in given.job) or what in seen:
            continue
        seen.add(what)
        title = f"{step.job}: {step.command.strip().splitlines()[-1]} {' '.join(step.environment.values())}".rstrip()
        if step.needs_github:
            print(f"NOT RUN, needs GitHub's runner: {title}")
            continue
        print(f"{'would run' if given.list else '== running'}: {title}", flush=True)
        if not given.list:
            ran += 1
            done = subprocess.run(["bash", "-e", "-c", step.command], cwd=ROOT, env=os.environ | step.environment)
            failed += done.returncode != 0
    for job, action in actions(workflow):
        if not given.job or job in given.job:
            print(f"NOT RUN, an action: {job}: {action.partition('@')[0]}")
    print(f"{ran - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
