"""Values: each is described, a wrong one is refused by name, and none is said twice."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml
from satcommon.settings import PREFIX, Settings

from tests.deploy.charts import CHARTS, ENVIRONMENTS, LOCATIONS, VALUES, Manifest, location, platform

Path = tuple[str, ...]
OWN = {"global"}  # Helm's own
NAMED = {"devices", "labels"}  # maps whose keys are the names of things

each_chart = pytest.mark.parametrize("chart", ["platform", "code-location"])


def values_of(chart: str) -> Manifest:
    found: Manifest = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())
    return found


def schema_of(chart: str) -> Manifest:
    found: Manifest = json.loads((CHARTS / chart / "values.schema.json").read_text())
    return found


def refusals(schema: Manifest, values: Manifest) -> list[jsonschema.ValidationError]:
    return list(jsonschema.Draft202012Validator(schema).iter_errors(values))


def described(schema: Manifest, defs: Manifest, above: Path = ()) -> Iterator[tuple[Path, Manifest]]:
    """Every property and its schema."""
    for name, part in schema.get("properties", {}).items():
        part = defs[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        yield (*above, name), part
        yield from described(part, defs, (*above, name))


def parts(values: Manifest, above: Path = ()) -> Iterator[tuple[Path, Any]]:
    for name, value in values.items():
        yield (*above, name), value
        if isinstance(value, dict):
            yield from parts(value, (*above, name))


def leaf_values(values: Manifest) -> dict[Path, Any]:
    return {path: value for path, value in parts(values) if not isinstance(value, dict) or not value}


def changed(values: Manifest, path: Path, value: object) -> Manifest:
    found = copy.deepcopy(values)
    part = found
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    return found


def merged(below: Manifest, above: Manifest) -> Manifest:
    found = dict(below)
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(name), dict)
        found[name] = merged(below[name], value) if both else value
    return found


def file_of(*names: str) -> Manifest:
    found: Manifest = yaml.safe_load(VALUES.joinpath(*names).read_text())
    return found


@each_chart
def test_every_value_is_described_and_every_description_is_of_a_value(chart: str) -> None:
    schema = schema_of(chart)

    said = {path for path, _ in described(schema, schema["$defs"])}
    there = {path for path, _ in parts(values_of(chart))}

    optional = {path for path in said if path[-1] in ("cpu", "ephemeral-storage") or path[0] in OWN}
    assert {path for path in there if NAMED.isdisjoint(path[:-1])} - said == set()
    assert said - there - optional == set()


@each_chart
def test_every_value_that_its_name_does_not_tell_has_a_sentence(chart: str) -> None:
    schema = schema_of(chart)
    plain = {"enabled", "cpu", "memory", "ephemeral-storage"}

    found = [(path, part) for path, part in described(schema, schema["$defs"]) if "properties" not in part]

    assert [path for path, part in found if "description" not in part and path[-1] not in plain] == []


@each_chart
def test_a_misspelt_name_is_refused_at_every_level(chart: str) -> None:
    schema, values = schema_of(chart), values_of(chart)
    closed = [(), *(path for path, part in described(schema, schema["$defs"]) if "properties" in part)]

    for path in closed:
        (refusal,) = refusals(schema, changed(values, (*path, "mispelt"), 1))
        assert "mispelt" in refusal.message


def test_the_chart_knows_every_setting_and_no_other() -> None:
    names, aws = schema_of("platform")["properties"]["settings"]["propertyNames"]["anyOf"]

    assert names["enum"] == sorted(f"{PREFIX}{name.upper()}" for name in Settings.model_fields)
    assert aws["pattern"].startswith("^AWS_")


@each_chart
def test_a_value_of_another_type_is_refused_everywhere(chart: str) -> None:
    schema, values = schema_of(chart), values_of(chart)
    assert refusals(schema, values) == []

    for path, value in leaf_values(values).items():
        wrong: object = [[]] if not isinstance(value, list) else "x"
        found = refusals(schema, changed(values, path, wrong))
        assert {tuple(refusal.absolute_path)[: len(path)] for refusal in found} == {path}


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"runs": {"maxConcurent": 3}}, "maxConcurent"),
        ({"runs": {"maxConcurrent": "3"}}, "maxConcurrent"),
        ({"runs": {"maxRetries": 11}}, "maxRetries"),
        ({"retentionDays": 0}, "retentionDays"),
        ({"networkPolicy": {"databasePort": 70000}}, "databasePort"),
        ({"postgresql": {"image": {"tag": 16}}}, "tag"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"volume": {"size": "20 GB"}}, "size"),
        ({"locations": []}, "locations"),
        ({"locations": ["ingest", "ingest"]}, "locations"),
        ({"locations": ["In gest"]}, "locations"),
        ({"maintenance": {"schedule": "daily"}}, "schedule"),
        ({"settings": {"SATFIELD_STORE": "/x"}}, "SATFIELD_STORE"),
        ({"settings": {"SATFIELDS_DEADLINE_HOUR": 3}}, "SATFIELDS_DEADLINE_HOUR"),
        ({"settings": {"AWS_SECRET_ACCESS_KEY": "x"}}, "AWS_SECRET_ACCESS_KEY"),
        ({"daemon": {"resources": {"limits": {"memory": "1GB"}}}}, "memory"),
        ({"secrets": {"ledger": ""}}, "ledger"),
    ],
)
def test_the_platform_refuses_and_names_it(values: Manifest, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        platform(values=values)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"replica": 2}, "replica"),
        ({"replicas": 0}, "replicas"),
        ({"replicas": 11}, "replicas"),
        ({"location": "Real time"}, "location"),
        ({"module": "a-b"}, "module"),
        ({"runs": {"withEnvironment": "yes"}}, "withEnvironment"),
        ({"volume": {"mountPath": "relative"}}, "mountPath"),
        ({"nodeSelector": {"disk": True}}, "nodeSelector"),
    ],
)
def test_a_location_refuses_and_names_it(values: Manifest, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        location(values=values)


NO_VOLUME = {"volume": {"enabled": False}}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"settings": {"SATFIELDS_STORE": "s3://b/p"}}, ["volume.enabled", "s3://b/p", "/var/lib/satfields"]),
        ({"settings": {"SATFIELDS_STORE": "/var/lib/satfields-2/x"}}, ["volume.enabled", "/var/lib/satfields-2/x"]),
        (NO_VOLUME, ["settings.SATFIELDS_STORE", "/var/lib/satfields/store", "s3://", "volume.mountPath"]),
        ({**NO_VOLUME, "settings": {"SATFIELDS_STORE": ""}}, ["settings.SATFIELDS_STORE"]),
        ({"settings": {"SATFIELDS_DATABASE_URL": "sqlite://"}}, ["SATFIELDS_DATABASE_URL", "secrets.ledger"]),
        ({"settings": {"SATFIELDS_ALGORITHMS": "/x"}}, ["SATFIELDS_ALGORITHMS", "`algorithms`"]),
        ({"settings": {"SATFIELDS_SCENE_SOURCE": ""}}, ["settings.SATFIELDS_SCENE_SOURCE", "folder"]),
        ({"settings": {"SATFIELDS_SCENE_SOURCE": "simulate"}}, ['SATFIELDS_SCENE_SOURCE is "simulate"']),
        ({"settings": {"SATFIELDS_SCENE_SOURCE": "folder"}}, ["settings.SATFIELDS_SCENE_FOLDER", "s3://"]),
        ({"settings": {"SATFIELDS_SCENE_SOURCE": "stac"}}, ["settings.SATFIELDS_STAC", "earth-search-c1"]),
        ({"postgresql": {"enabled": False}}, ["SATFIELDS_SCENE_SOURCE is simulated", "postgresql.enabled"]),
        ({"runs": {"maxConcurrentBackground": 4}}, ["runs.maxConcurrentBackground is 4", "runs.maxConcurrent, 3"]),
        ({"secrets": {"ledger": "one", "dagster": "one"}}, ["secrets.ledger", "secrets.dagster", "one"]),
    ],
)
def test_values_that_do_not_go_together_are_refused(values: Manifest, said: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        platform(values=values)

    assert [part for part in said if part not in str(caught.value)] == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_file_of_values_repeats_no_value_below_it(environment: str) -> None:
    platforms, below = leaf_values(file_of(environment, "platform.yaml")), leaf_values(values_of("platform"))
    locations = leaf_values(file_of(environment, "location.yaml"))
    stacks = [leaf_values(merged(values_of("code-location"), file_of(f"{name}.yaml"))) for name in LOCATIONS]

    assert [path for path, value in platforms.items() if below.get(path) == value] == []
    assert [path for path, value in locations.items() if all(one.get(path) == value for one in stacks)] == []


@pytest.mark.parametrize("name", LOCATIONS)
def test_a_location_repeats_no_default(name: str) -> None:
    below = leaf_values(values_of("code-location"))

    assert [path for path, value in leaf_values(file_of(f"{name}.yaml")).items() if below.get(path) == value] == []
