"""Regions by HTTP are what the metrics and the status say of them."""

from __future__ import annotations

from pathlib import Path

import shapely
from satcommon.db import fields
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.environment import Environment
from satcommon.settings import Settings, settings
from satcommon.views.metrics.expected_days import ExpectedDays
from satcommon.views.metrics.regions import region_samples
from sqlalchemy import Engine

from tests.unit.satserve.serving import served
from tests.unit.views.test_region_metrics import DEADLINES, KINDS, NOW, START, crowd


def test_completeness_is_that_of_the_metrics(engine: Engine, tmp_path: Path) -> None:
    crowd(engine, 0, KINDS)
    with write_transaction(engine) as connection:  # R00 has a row a day; as many are missed and have none
        late = fields.NewField("late", "late", shapely.box(0.016, 45.005, 0.026, 45.015), START)
        fields.register_fields(connection, [late], NOW)
    with read_transaction(engine) as connection:
        samples = region_samples(connection, DEADLINES, ExpectedDays(), KINDS, NOW)
    figures = {(each.metric, each.labels[0]): each.value for each in samples}
    chosen = Settings(**(settings().model_dump() | {"store": str(tmp_path / "store"), "home": tmp_path}))

    with served(Environment(chosen, engine), NOW) as service:
        listed = {each["region"]: each for each in service.json("/regions")["regions"]}
        alone = service.json("/regions/R00")

    assert alone["completeness"] == listed["R00"]["completeness"] == 0.5
    assert len(listed) == KINDS
    for name, told in listed.items():
        assert told["completeness"] == figures["satfields_completeness_ratio", name]
        assert told["expected_field_days"] == figures["satfields_fielddays_expected", name]
        assert told["missed_field_days"] == figures["satfields_fielddays_missed", name]
