"""Regions by HTTP are what the metrics and the status say of them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import shapely
from satcommon.db import fields
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.registry import add_region
from satcommon.environment import Environment
from satcommon.geo.grid import Bounds, Grid
from satcommon.settings import PREFIX, Settings, settings
from satcommon.stats.algorithm import CURRENT, resolved
from satcommon.views.metrics.expected_days import ExpectedDays
from satcommon.views.metrics.regions import region_samples
from sqlalchemy import Engine

from tests.unit.satserve.serving import Served, served
from tests.unit.views.test_region_metrics import DEADLINES, KINDS, NOW, START, crowd


def serving(engine: Engine, folder: Path) -> AbstractContextManager[Served]:
    chosen = Settings(**(settings().model_dump() | {"store": str(folder / "store"), "home": folder}))
    return served(Environment(chosen, engine), NOW)


def test_completeness_is_that_of_the_metrics(engine: Engine, tmp_path: Path) -> None:
    crowd(engine, 0, KINDS)
    with write_transaction(engine) as connection:  # R00 has a row a day; as many are missed and have none
        late = fields.NewField("late", "late", shapely.box(0.016, 45.005, 0.026, 45.015), START)
        fields.register_fields(connection, [late], NOW)
    with read_transaction(engine) as connection:
        samples = region_samples(connection, DEADLINES, ExpectedDays(), KINDS, NOW)
    figures = {(each.metric, each.labels[0]): each.value for each in samples}

    with serving(engine, tmp_path) as service:
        listed = {each["region"]: each for each in service.json("/regions")["regions"]}
        alone = service.json("/regions/R00")

    assert alone["completeness"] == listed["R00"]["completeness"] == 0.5
    assert len(listed) == KINDS
    for name, told in listed.items():
        assert told["completeness"] == figures["satfields_completeness_ratio", name]
        assert told["expected_field_days"] == figures["satfields_fielddays_expected", name]
        assert told["missed_field_days"] == figures["satfields_fielddays_missed", name]


def test_columns_of_a_region_have_those_of_its_further_indices(
    sqlite_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = tmp_path / "algorithms.toml"
    versions.write_text("[edge]\nbased_on = '2'\nindices = ['ndrei']\n")
    monkeypatch.setenv(f"{PREFIX}ALGORITHMS", str(versions))
    settings.cache_clear()
    with write_transaction(sqlite_engine) as connection:
        bounds = Bounds(0, 45.0, 0.03, 45.03)
        for name, version in (("edge", resolved("edge")), ("plain", CURRENT)):
            add_region(connection, name, bounds, Grid.utm(bounds, 500.0), START, None, version, NOW)

    with serving(sqlite_engine, tmp_path) as service:
        every = service.json("/columns")["columns"]
        edge, plain = (service.json("/columns", region=name)["columns"] for name in ("edge", "plain"))

        assert service.get("/columns", region="none").status_code == 404
        assert service.get("/columns", key=service.key("plain"), region="edge").status_code == 404
    assert plain == every
    assert [each for each in edge if each in every] == every
    further = {f"ndrei_{what}" for what in ("mean", "stdev", "min", "max", "quantiles")} | {"rededge071_mean"}
    assert {each["name"] for each in edge if each not in every} == further
