"""What whoever may launch runs can tell them: no job takes a path, an address, a command or a variable's name."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from importlib import import_module
from typing import Any

import pytest
from dagster import DagsterInvalidConfigError, Definitions, JobDefinition, validate_run_config
from dagster._config.config_type import ConfigType, ConfigTypeKind
from pydantic import Field as Described
from satcommon.contract import BACKFILL_JOB, BACKFILL_OP, LOCATIONS, backfill_config
from satcommon.run_config import RunConfig

# Of each job; a new one is added after it was asked what its worst value does.
LOOKED_AT = {
    "execution/config/marker_to_close": "a word in an event",
    "execution/config/step_dependency_config/require_upstream_step_success": "jobs have one step",
    "loggers/console/config/log_level": "how much a run writes",
    "loggers/console/config/name": "a name in its lines",
    "ops/fill_open_days/config/region": "the name of a registered region",
    "ops/fill_open_days/config/until": "a day",
    "ops/ask_anew/config/region": "the name of a registered region",
    "ops/ask_anew/config/first": "a day",
    "ops/ask_anew/config/last": "a day",
    "ops/ask_anew/config/only_never_asked": "a truth",
    "ops/region_after_region/config/kind": "a word: which of two things is done",
    "ops/region_after_region/config/works[]/work": "a name in records of runs",
    "ops/region_after_region/config/works[]/attempt": "a number in records of runs",
    "ops/region_after_region/config/works[]/region": "the name of a registered region",
    "ops/region_after_region/config/works[]/day": "a day",
    "ops/region_after_region/config/works[]/config": "as that of ask_anew or fill_open_days, whose models read it",
}
PLAIN = {"String", "Bool", "Int"}
AS_IT_IS = ConfigTypeKind.PERMISSIVE_SHAPE  # names of variables in it stay what they are


def jobs() -> list[JobDefinition]:
    found = []
    for location in LOCATIONS:
        defs: Definitions = import_module(f"satfields_{location}.definitions").defs
        found += defs.get_repository_def().get_all_jobs()
    return found


def leaves(config: ConfigType, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each place in a run's configuration that takes a value, and its type; ops of assets read none and take any."""
    if config.kind == ConfigTypeKind.ARRAY:
        yield from leaves(config.inner_type, f"{path}[]")  # type: ignore[attr-defined]
    elif config.kind == AS_IT_IS and not config.fields:  # type: ignore[attr-defined]
        yield path, config
    elif ConfigTypeKind.has_fields(config.kind):
        for name, field in config.fields.items():  # type: ignore[attr-defined]
            yield from leaves(field.config_type, f"{path}/{name}".lstrip("/"))
    elif config.kind != ConfigTypeKind.ANY:
        yield path, config


def test_every_value_that_a_run_takes_was_looked_at() -> None:
    found = [leaf for job in jobs() for leaf in leaves(job.run_config_schema.config_type)]

    assert {path for path, _ in found} == LOOKED_AT.keys()
    others = {path for path, config in found if getattr(config, "given_name", None) not in PLAIN}
    assert others == {"ops/region_after_region/config/works[]/config"}


def test_a_run_can_not_be_told_the_name_of_a_variable() -> None:
    backfill = next(job for job in jobs() if job.name == BACKFILL_JOB)
    given = {"region": {"env": "SATFIELDS_DATABASE_URL"}, "until": "2026-05-01"}

    with pytest.raises(DagsterInvalidConfigError, match="region"):
        validate_run_config(backfill, {"ops": {BACKFILL_OP: {"config": given}}})


@pytest.mark.parametrize("base_dir", ["/var/lib/satfields", {"env": "SATFIELDS_DATABASE_URL"}])
def test_a_run_can_not_be_told_where_to_write(base_dir: object) -> None:
    for job in jobs():
        with pytest.raises(DagsterInvalidConfigError):
            validate_run_config(job, {"resources": {"io_manager": {"config": {"base_dir": base_dir}}}})


def test_fields_become_a_schema_with_their_descriptions_and_defaults() -> None:
    class Told(RunConfig):
        names: list[str] = Described(description="of regions")
        days: int = 3

    schema = Told.schema_of_job()

    assert (schema["names"].description, schema["names"].is_required) == ("of regions", True)
    assert schema["names"].config_type.inner_type.given_name == "String"  # type: ignore[attr-defined]
    assert (schema["days"].default_value, schema["days"].is_required) == (3, False)
    assert Told.of({"names": ["A"]}) == Told(names=["A"], days=3)


def test_what_sensors_ask_for_fits() -> None:
    backfill = next(job for job in jobs() if job.name == BACKFILL_JOB)

    assert validate_run_config(backfill, backfill_config("A", date(2026, 5, 1)))
