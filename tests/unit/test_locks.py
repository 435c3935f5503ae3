"""The locks are made by `make lock`; these tests tell, without a network, when that was forgotten."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DEVELOPMENT = "requirements-dev.lock"
IMAGES = ["libs/satctl", "locations/ingest", "locations/realtime", "locations/reprocessing"]
PIN = re.compile(r"^([a-z0-9-]+)(?:\[[a-z0-9, -]+\])?==(\S+)(?: ; .+)? \\$")


def pyproject(folder: Path) -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((folder / "pyproject.toml").read_text())


OURS = {str(pyproject(file.parent)["project"]["name"]): file.parent for file in ROOT.glob("l*/*/pyproject.toml")}


def pins(lock: str) -> dict[str, str]:
    """Name -> version."""
    lines = (ROOT / lock).read_text().splitlines()
    return {found[1]: found[2] for line in lines if (found := PIN.match(line))}


def requirements(folder: Path) -> Iterator[Requirement]:
    """What a package asks for, and what our own packages among it ask for."""
    content = pyproject(folder)
    groups = content.get("dependency-groups", {}).values()
    for line in [*content["project"]["dependencies"], *(line for group in groups for line in group)]:
        requirement = Requirement(line)
        if requirement.name in OURS:
            yield from requirements(OURS[requirement.name])
        else:
            yield requirement


@pytest.mark.parametrize("folder", [".", *IMAGES])
def test_a_lock_holds_all_that_its_pyproject_asks_for(folder: str) -> None:
    locked = pins(DEVELOPMENT if folder == "." else f"{folder}/requirements.lock")

    asked = {str(one): (canonicalize_name(one.name), one.specifier) for one in requirements(ROOT / folder)}
    unmet = [text for text, (name, versions) in asked.items() if name not in locked or locked[name] not in versions]

    assert unmet == [], "run `make lock`"


@pytest.mark.parametrize("folder", IMAGES)
def test_an_image_gets_the_versions_that_were_tested(folder: str) -> None:
    assert pins(f"{folder}/requirements.lock").items() <= pins(DEVELOPMENT).items(), "run `make lock`"


@pytest.mark.parametrize("lock", [DEVELOPMENT, *(f"{folder}/requirements.lock" for folder in IMAGES)])
def test_a_lock_is_pins_with_hashes_and_names_no_place(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()

    odd = [line for line in lines if not (PIN.match(line) or re.match(r"$|#|    # via |    --hash=sha256:", line))]

    assert odd == []
    assert not [line for line in lines if "://" in line]
    assert pins(lock).keys().isdisjoint(OURS)
