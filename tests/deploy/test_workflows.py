"""Workflows call the targets that developers and `.ci/run` call, and leave nothing of them out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.workflows.run_workflow import Step, actions, steps

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

MAY_PUBLISH = {"pages.deploy": {"pages": "write", "id-token": "write"}}

every_workflow = pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)


def read(file: Path) -> dict[str, Any]:
    loaded = yaml.safe_load(file.read_text())
    assert isinstance(loaded, dict)
    return loaded


def run_steps(name: str) -> list[Step]:
    return list(steps(read(ROOT / ".github" / "workflows" / name)))


def made(step: Step) -> list[str]:
    """What a step gives to make, its variables put in: `test-order EXAMPLES=150`."""
    command = step.command
    for name, value in step.environment.items():
        command = command.replace(f'"${name}"', value).replace(f"${name}", value)
    return re.findall(r"^\s*make ([^\n|]*?)(?: 2>&1.*)?$", command, re.MULTILINE)


def targets_of_ci_run() -> set[str]:
    loop = re.search(r"for target in (.*); do", (ROOT / ".ci" / "run").read_text())
    assert loop
    return {quoted or bare for quoted, bare in re.findall(r'"([^"]+)"|(\S+)', loop[1])}


@every_workflow
def test_every_target_that_a_workflow_makes_exists(file: Path) -> None:
    targets = {word for line in re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE) for word in line.split()}
    asked = {call.split()[0] for step in steps(read(file)) for call in made(step)}

    assert asked <= targets


def test_ci_makes_what_ci_run_makes() -> None:
    called = {call for step in run_steps("ci.yml") for call in made(step)}
    parts = {call for call in called if call.startswith("test TESTS=")}

    assert (called - parts) | {"test"} == targets_of_ci_run()


def test_the_parts_of_the_tests_are_all_of_them() -> None:
    whole = re.search(r"\$\(or \$\(TESTS\),(.*)\)", MAKEFILE)
    assert whole
    parts = {step.environment["TESTS"] for step in run_steps("ci.yml") if "TESTS" in step.environment}

    assert sorted(folder for part in parts for folder in part.split()) == sorted(whole[1].split())


def test_ci_has_the_cluster_test_of_ci_run() -> None:
    commands = [step.command for step in run_steps("ci.yml")]

    assert ".ci/cluster.sh" in commands
    assert ".ci/cluster.sh" in (ROOT / ".ci" / "run").read_text()


def test_a_release_has_every_image_for_both_machines() -> None:
    images = read(ROOT / ".github/workflows/release.yml")["jobs"]["images"]
    folders = {file.parent.name for file in ROOT.glob("[kl]*/*/Dockerfile")}
    builders = [step.command for step in run_steps("release.yml") if "buildx build" in step.command]

    assert set(images["strategy"]["matrix"]["image"]) == folders
    assert len(builders) == len(folders)
    assert all("--platform linux/amd64,linux/arm64 " in command for command in builders)


@every_workflow
def test_actions_are_pinned_by_commit_and_say_their_version(file: Path) -> None:
    lines = re.findall(r"uses: (.*)$", file.read_text(), re.MULTILINE)

    assert len(lines) == len(actions(read(file)))
    for line in lines:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


@every_workflow
def test_a_job_has_no_more_than_it_asks_for(file: Path) -> None:
    workflow = read(file)

    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert job["permissions"], name
        assert file.stem == "release" or job["permissions"] in (
            {"contents": "read"},
            MAY_PUBLISH.get(f"{file.stem}.{name}"),
        )
        assert job["timeout-minutes"] <= 240, name


def run_workflow(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    script = ROOT / "tests" / "deploy" / "workflows" / "run_workflow.py"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")} | variables
    command = [sys.executable, script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_runner_of_workflows_says_what_it_does_not_run_and_why() -> None:
    done = run_workflow(ROOT / ".github/workflows/ci.yml", "--list", "--skip", "make docs")

    assert done.returncode == 0, done.stderr
    assert "would run: lint: make lint\n" in done.stdout
    assert "NOT RUN: docs: make docs-site: --skip\n" in done.stdout
    assert (
        "NOT RUN: cluster: kind create cluster --name satfields --wait 2m: it needs a cluster of kind's\n"
        in done.stdout
    )
    assert "NOT RUN: lint: actions/checkout: an action\n" in done.stdout
    mine = f"3.{sys.version_info.minor}"
    others = {version for version in ("3.11", "3.12", "3.13", "3.14") if version != mine}
    assert set(re.findall(r"NOT RUN: test: with Python (\S+): this is another", done.stdout)) == others


def test_the_runner_of_workflows_runs_what_needs_only_a_variable_of_githubs_when_it_is_set() -> None:
    release = ROOT / ".github/workflows/release.yml"

    assert "GITHUB_REF_NAME is not set\n" in run_workflow(release, "--list", "--job", "notes").stdout
    assert "would run: notes: " in run_workflow(release, "--list", "--job", "notes", GITHUB_REF_NAME="v0.1.0").stdout


def test_the_runner_of_workflows_fails_with_a_command(tmp_path: Path) -> None:
    workflow = tmp_path / "w.yml"
    step = {"run": "exit $CODE", "env": {"CODE": "${{ matrix.code }}"}}
    workflow.write_text(yaml.safe_dump({"jobs": {"one": {"strategy": {"matrix": {"code": [0, 3]}}, "steps": [step]}}}))
    done = run_workflow(workflow)

    assert done.returncode == 1
    assert done.stdout.endswith("FAILED: one: exit $CODE CODE=3\n")
    assert done.stdout.count("== running") == 2


def test_hooks_before_a_commit_run_commands_of_make_lint() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    entries = [hook["entry"] for repo in hooks for hook in repo["hooks"]]

    assert [repo["repo"] for repo in hooks] == ["local"]
    for entry in entries:
        program = entry.split()[0].replace(".venv/bin", "$(bin)")
        assert entry == "make lint-workflows" or re.search(rf"^\t{re.escape(program)}\b", MAKEFILE, re.MULTILINE), entry
