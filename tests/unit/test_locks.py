"""The locks are made by `make lock`; these tests tell, without a network, when that was forgotten."""

import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DEVELOPMENT = "requirements-dev.lock"
BUILD = "requirements-build.lock"
LOCATIONS = ["locations/ingest", "locations/realtime", "locations/reprocessing"]
IMAGES = ["libs/satctl", "libs/satserve", *LOCATIONS, "k8s/platform"]
LOCKS = [BUILD, *(f"{folder}/requirements.lock" for folder in IMAGES)]
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
            folder = OURS[requirement.name]
            yield from requirements(folder)
            extras = pyproject(folder)["project"].get("optional-dependencies", {})
            yield from (Requirement(line) for extra in requirement.extras for line in extras[extra])
        else:
            yield requirement


@pytest.mark.parametrize("folder", [".", *IMAGES])
def test_a_lock_holds_all_that_its_pyproject_asks_for(folder: str) -> None:
    locked = pins(DEVELOPMENT if folder == "." else f"{folder}/requirements.lock")

    asked = {str(one): (canonicalize_name(one.name), one.specifier) for one in requirements(ROOT / folder)}
    unmet = [text for text, (name, versions) in asked.items() if name not in locked or locked[name] not in versions]

    assert unmet == [], "run `make lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_an_image_gets_the_versions_that_were_tested(lock: str) -> None:
    tested, locked = pins(DEVELOPMENT), pins(lock)

    assert {name: version for name, version in locked.items() if tested.get(name, version) != version} == {}
    untested = locked.keys() - tested.keys()
    assert not untested or lock == "k8s/platform/requirements.lock", "run `make lock`"  # it runs in a cluster only


def test_locations_that_need_the_same_share_a_layer() -> None:
    needs = {folder: {str(one) for one in requirements(ROOT / folder)} for folder in LOCATIONS}
    locks = {folder: (ROOT / folder / "requirements.lock").read_bytes() for folder in LOCATIONS}

    for one, other in pairwise(LOCATIONS):
        assert (needs[one] == needs[other]) == (locks[one] == locks[other]), "run `make lock`"


def test_a_code_location_goes_without_what_only_the_command_line_needs() -> None:
    for folder in LOCATIONS:
        assert pins(f"{folder}/requirements.lock").keys().isdisjoint({"pandas", "pyogrio", "dagster-k8s"})


@pytest.mark.parametrize("lock", [DEVELOPMENT, *LOCKS])
def test_a_lock_is_pins_with_hashes_and_names_no_place(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()

    odd = [line for line in lines if not (PIN.match(line) or re.match(r"$|#|    # via |    --hash=sha256:", line))]

    assert odd == []
    assert not [line for line in lines if "://" in line]
    assert pins(lock).keys().isdisjoint(OURS)
