"""What the Dockerfiles promise, as far as it can be told without building them."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCATIONS = {"ingest", "realtime", "reprocessing"}
FOLDERS = ["k8s/platform", "libs/satctl", "libs/satserve", *(f"locations/{name}" for name in sorted(LOCATIONS))]
VERSION = 'version = "0.1.0"'
BASE = "${PYTHON_IMAGE}"
LABELS = {"title", "description", "licenses"}  # those that change with each build come from k8s/build.sh

every_image = pytest.mark.parametrize("folder", FOLDERS)


def instructions(folder: str) -> list[tuple[str, str]]:
    """(keyword, the rest), comments gone and continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / folder / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(keyword, rest) for keyword, _, rest in (line.partition(" ") for line in lines if line)]


def last_stage(folder: str) -> list[tuple[str, str]]:
    found = instructions(folder)
    return found[max(i for i, (keyword, _) in enumerate(found) if keyword == "FROM") :]


def copied(folder: str) -> list[str]:
    """What comes from the repository."""
    copies = [rest.split() for keyword, rest in instructions(folder) if keyword in ("COPY", "ADD")]
    return [source for words in copies if not words[0].startswith("--from=") for source in words[:-1]]


def test_every_dockerfile_is_looked_at() -> None:
    assert sorted(file.parent.relative_to(ROOT).as_posix() for file in ROOT.glob("[kl]*/*/Dockerfile")) == FOLDERS


@every_image
def test_the_base_is_an_argument(folder: str) -> None:
    bases = {rest.partition(" AS ")[0] for keyword, rest in instructions(folder) if keyword == "FROM"}

    assert instructions(folder)[0] == ("ARG", "PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm")
    assert bases <= {"${PYTHON_IMAGE}", "dependencies"}


@every_image
def test_it_runs_as_a_user_that_kubernetes_can_tell_from_root(folder: str) -> None:
    users = [rest for keyword, rest in last_stage(folder) if keyword == "USER"]

    assert len(users) == 1
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[0])


@every_image
def test_what_is_installed_is_locked_and_compilers_are_not(folder: str) -> None:
    commands = [step for keyword, rest in instructions(folder) if keyword == "RUN" for step in rest.split("&&")]
    installs = [step for step in commands if re.search(r"\bpip\b.* install\b", step)]

    assert installs
    assert [step for step in installs if "--require-hashes" not in step and "--no-index" not in step] == []
    assert not re.search(r"\b(apt|apt-get|curl|wget|gcc)\b", " ".join(commands))
    assert [keyword for keyword, _ in last_stage(folder) if keyword == "RUN"] == []


def with_exactextract() -> list[str]:
    return [name for name in FOLDERS if "\nexactextract==" in (ROOT / name / "requirements.lock").read_text()]


@pytest.mark.parametrize("folder", with_exactextract())
def test_exactextract_is_compiled_on_arm64_in_a_stage_of_its_own(folder: str) -> None:
    steps = instructions(folder)
    stages = [rest for keyword, rest in steps if keyword == "FROM"]
    copies = [rest for keyword, rest in last_stage(folder) if keyword == "COPY"]

    assert stages == ["${PYTHON_IMAGE} AS compiled", "${PYTHON_IMAGE} AS dependencies", "dependencies AS code", BASE]
    assert ("ARG", "COMPILE_ON=aarch64") in steps
    assert ("COPY", "--from=compiled /compiled /build/") in steps
    assert not [rest for rest in copies if "compiled" in rest]


def compiled(tmp_path: Path, machine: str) -> Path:
    """What compile.sh hands on; apt-get, pip and auditwheel are programs that note what they were asked."""
    build, programs, made = tmp_path / "build", tmp_path / "programs", tmp_path / "compiled"
    build.mkdir()
    programs.mkdir()
    shutil.copy(ROOT / "k8s/exactextract/compile.sh", build)
    shutil.copy(ROOT / "k8s/exactextract/requirements.lock", build / "tools.lock")
    shutil.copy(ROOT / "locations/ingest/requirements.lock", build)
    for name, does in {
        "apt-get": "",
        "pip": "mkdir -p made; echo wheel > made/exactextract-0-linux.whl",
        "auditwheel": "cp made/*.whl $3/",
    }.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/asked\n{does}\n')
        program.chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "COMPILE_ON": machine}
    subprocess.run([build / "compile.sh", made], env=environment, check=True)
    return made


def test_where_exactextract_has_a_wheel_the_lock_is_handed_on_as_it_is(tmp_path: Path) -> None:
    made = compiled(tmp_path, "another")

    assert [file.name for file in made.iterdir()] == ["requirements.lock"]
    assert (made / "requirements.lock").read_text() == (ROOT / "locations/ingest/requirements.lock").read_text()
    assert not (tmp_path / "asked").exists()


def test_where_it_has_none_its_locked_source_is_compiled_and_the_lock_has_the_hash_of_that_wheel(
    tmp_path: Path,
) -> None:
    made = compiled(tmp_path, platform.machine())
    before = (ROOT / "locations/ingest/requirements.lock").read_text()
    [entry] = re.findall(r"^exactextract==.*\n(?: +--hash=.*\n)+", before, re.MULTILINE)
    version = re.match(r"\S+", entry)
    assert version
    [wheel] = made.glob("*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    pips = [line for line in (tmp_path / "asked").read_text().splitlines() if line.startswith("pip ")]

    after = (made / "requirements.lock").read_text()
    assert after == before.replace(entry, "") + f"{version[0]} --hash=sha256:{digest}\n"
    assert (tmp_path / "build/source.lock").read_text() == entry
    assert len(pips) == 2
    assert all("--require-hashes" in line for line in pips)


@every_image
def test_what_it_copies_is_let_in_and_is_of_no_other_location(folder: str) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = [ROOT / line.removeprefix("!") for line in lines if line.startswith("!")]
    mine = Path(folder).name

    for source in copied(folder):
        assert (ROOT / source).exists()
        assert any((ROOT / source).is_relative_to(path) for path in let_in), f".dockerignore keeps out {source}"
        assert LOCATIONS.isdisjoint({*Path(source).parts} - {mine}), f"{mine}'s image holds {source}"
        assert source not in (".", "libs", "locations", "k8s"), "a change anywhere would make this image anew"


def test_the_platform_holds_no_code_of_ours_but_for_its_log_and_its_storage() -> None:
    mine = [f"k8s/platform/{name}" for name in ("requirements.lock", "root_log.py", "root_log.pth")]
    names = ["pooled_storage", "errors", "secret_files", "telemetry/redaction"]
    modules = [f"libs/satcommon/src/satcommon/{name}.py" for name in names]

    assert copied("k8s/platform") == [*mine, *modules]
    for module in modules:  # they need no other of ours
        imported = re.findall(r"^\s*(?:from|import) satcommon[.\w]*", (ROOT / module).read_text(), re.M)
        assert {line.split("satcommon.")[1].replace(".", "/") for line in imported} <= set(names)


@every_image
def test_an_image_says_what_it_is(folder: str) -> None:
    stage = last_stage(folder)
    labels = re.findall(r"org\.opencontainers\.image\.(\w+)=", stage[-1][1])

    assert set(labels) == LABELS
    assert "ARG" not in dict(stage)  # a cached label keeps the value that its argument had
    assert f'title="satfields/{Path(folder).name}"' in stage[-1][1]


@pytest.mark.parametrize("name", sorted(LOCATIONS))
def test_a_location_serves_its_code_unless_told_otherwise(name: str) -> None:
    stage = dict(last_stage(f"locations/{name}"))

    assert "ENTRYPOINT" not in stage  # a run's Job names its whole command
    assert f'"satfields_{name}.definitions"' in stage["CMD"]


def test_a_tag_stands_for_one_content(tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for name in ("k8s/image-tag.sh", "pyproject.toml", ".dockerignore"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)

    def run(*command: str) -> str:
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    tags = [run("k8s/image-tag.sh")]  # of an archive without a history
    run(*git, "init", "--quiet")
    run(*git, "add", ".")
    run(*git, "commit", "--quiet", "--message=x")
    tags.append(run("k8s/image-tag.sh"))
    changes = (("libs/new", "1"), ("libs/new", "2"), ("k8s/platform/Dockerfile", "3"), ("pyproject.toml", VERSION))
    for name, content in changes:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
        tags.append(run("k8s/image-tag.sh"))
    run(*git, "add", ".")
    run(*git, "commit", "--quiet", "--message=y")
    tags.append(run("k8s/image-tag.sh"))

    for commit in (False, True):  # what goes into no image changes none
        (tmp_path / "k8s/values").mkdir(exist_ok=True)
        (tmp_path / "k8s/values/mine.yaml").write_text(str(commit))
        if commit:
            run(*git, "add", ".")
            run(*git, "commit", "--quiet", "--message=z")
        assert run("k8s/image-tag.sh") == tags[-1]

    assert len(set(tags)) == len(tags)
    assert all(re.fullmatch(r"0\.1\.0(-[0-9a-f]{10}(-[0-9a-f]{8})?)?", tag) for tag in tags)


@pytest.mark.slow
def test_the_platforms_root_logger_writes_each_line_once_whatever_was_logged_before() -> None:
    program = """
import logging
from dagster._utils.log import configure_loggers
configure_loggers(formatter="json")
logging.warning("no database")
logging.getLogger("dagster.daemon.SensorDaemon").info("a tick")
logging.getLogger("urllib3").warning("a retry")
"""

    def written(first: str) -> list[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "k8s/platform")}
        done = subprocess.run(
            [sys.executable, "-c", first + program], env=environment, capture_output=True, text=True, check=True
        )
        return (done.stdout + done.stderr).splitlines()

    events = [json.loads(line)["event"] for line in written("import root_log")]

    assert sorted(events) == ["a retry", "a tick", "no database"]
    assert len(written("")) == 4  # else it is of no use any more: the tick was written twice


def test_the_platforms_log_holds_no_secret_of_its_environment() -> None:
    password, key = 'a "quoted" p\\ssword', "of-the-bucket/8s+"
    program = f"""
import logging, sys
import root_log
from dagster._utils.log import configure_loggers
configure_loggers(formatter="json")
for name in ("root", "dagster.daemon", "urllib3"):
    logging.getLogger(name).warning("%s and {key}", {password!r})
print({password!r}, {key!r})
sys.stderr.writelines([{key!r}])
raise ValueError({key!r})
"""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "k8s/platform"),
        "DAGSTER_PG_PASSWORD": password,
        "AWS_SECRET_ACCESS_KEY": key,
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)

    lines = (done.stdout + done.stderr).splitlines()
    assert [json.loads(line)["event"] for line in lines if line.startswith("{")] == 3 * ["*** and ***"]
    assert {"*** ***", "ValueError: ***"} <= set(lines)
    assert not [secret for secret in ("quoted", "ssword", "of-the-bucket") if secret in done.stdout + done.stderr]
