"""Decisions on refused acquisitions, on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from satcommon.db import answers, registry
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import Region, Verdict
from satcommon.db.quarantine import (
    Decided,
    Doubt,
    Judgement,
    decide,
    decisions,
    judged,
    quarantined,
    still_refused,
    version_of,
)
from satcommon.db.region_removal import remove_region
from satcommon.errors import InputError
from satcommon.geo.grid import Bounds, Grid
from satcommon.raster.scene import Acquisition
from satctl.local import migrations
from sqlalchemy import Engine, text

NOW = datetime(2026, 5, 2, 8, tzinfo=UTC)
DAY = date(2026, 5, 1)
DIGEST, OTHER = "a" * 64, "b" * 64
BOUNDS = Bounds(-94.3, 40.3, -94.0, 40.6)
REASON = "a.tif: 9% of it are blue; expected green; paint it"


def acquisition(item: str, digest: str) -> Acquisition:
    return Acquisition(item, digest, "sim", "one", "", "1", NOW, NOW)


@pytest.fixture
def region(engine: Engine) -> Region:
    """A region with two refused acquisitions: one failed a check, the other can't be listed."""
    with write_transaction(engine) as connection:
        grid = Grid.utm(BOUNDS, 1000)
        registry.add_region(connection, "A", BOUNDS, grid, DAY, None, "1", NOW)
        place = registry.region(connection, "A")
        refused = {"a.tif": REASON, "b.tif": "b.tif: is damaged"}
        assert answers.refuse(connection, place.bbox_id, DAY, refused, NOW, {"a.tif": Doubt("blue", DIGEST)})
        assert not answers.refuse(connection, place.bbox_id, DAY, refused, NOW, {"a.tif": Doubt("blue", DIGEST)})
    return place


def judge(engine: Engine, region: Region, item: str, verdict: Verdict, minutes: int = 1) -> bool:
    judgement = Judgement(verdict, "Ada", "seen on the ground", NOW + timedelta(minutes=minutes))
    with write_transaction(engine) as connection:
        return decide(connection, region, DAY, item, judgement)


def test_what_is_refused_is_listed_with_found_and_expected(engine: Engine, region: Region) -> None:
    with read_transaction(engine) as connection:
        first, second = quarantined(connection, region)
        assert quarantined(connection) == [first, second]
        assert quarantined(connection, region, DAY + timedelta(days=1)) == []
    assert (first.check, first.found, first.expected, first.since) == (
        "blue",
        "9% of it are blue",
        "green; paint it",
        NOW,
    )
    assert (second.check, second.found, second.expected) == (None, "is damaged", "")
    assert (first.version, second.version) == (DIGEST, version_of("b.tif: is damaged", None))


def test_the_latest_decision_on_a_version_counts_and_others_are_not_concerned(engine: Engine, region: Region) -> None:
    assert judge(engine, region, "a.tif", Verdict.REJECTED, 1)
    assert not judge(engine, region, "a.tif", Verdict.REJECTED, 2)
    assert judge(engine, region, "a.tif", Verdict.ACCEPTED, 3)
    with read_transaction(engine) as connection:
        of_day = decisions(connection, region.bbox_id, DAY, DAY)[DAY]
    assert of_day == {Decided("a.tif", DIGEST): Verdict.ACCEPTED}
    taken = judged([acquisition("a.tif", DIGEST), acquisition("c.tif", DIGEST)], of_day)
    assert [each.accepted for each in taken] == [True, False]
    assert not judged([acquisition("a.tif", OTHER)], of_day)[0].accepted


def test_what_is_rejected_is_not_there(engine: Engine, region: Region) -> None:
    for item in ("a.tif", "b.tif"):
        assert judge(engine, region, item, Verdict.REJECTED)
    with read_transaction(engine) as connection:
        of_day = decisions(connection, region.bbox_id, DAY, DAY)[DAY]
    assert judged([acquisition("a.tif", DIGEST), acquisition("a.tif", OTHER)], of_day) == [acquisition("a.tif", OTHER)]
    assert still_refused({"b.tif": "b.tif: is damaged"}, of_day) == {}
    assert still_refused({"b.tif": "b.tif: is too large"}, of_day) == {"b.tif": "b.tif: is too large"}


def test_what_no_check_refused_can_not_be_accepted(engine: Engine, region: Region) -> None:
    with pytest.raises(InputError, match=r"b\.tif can't be accepted"):
        judge(engine, region, "b.tif", Verdict.ACCEPTED)
    with pytest.raises(InputError, match=r"c\.tif of 2026-05-01 is not in .+; of that day, a\.tif, b\.tif is"):
        judge(engine, region, "c.tif", Verdict.REJECTED)


def test_a_region_is_removed_with_its_decisions(engine: Engine, region: Region) -> None:
    judge(engine, region, "a.tif", Verdict.REJECTED)
    with write_transaction(engine) as connection:
        remove_region(connection, "A")
        assert connection.execute(text("SELECT count(*) FROM decisions")).scalar_one() == 0


def test_the_way_back_forgets_decisions_and_keeps_refusals(engine: Engine, region: Region) -> None:
    judge(engine, region, "a.tif", Verdict.REJECTED)
    migrations.downgrade(engine, "0008")
    with read_transaction(engine) as connection:
        assert connection.execute(text("SELECT item_id, reason FROM refusals ORDER BY item_id")).all()[0] == (
            "a.tif",
            REASON,
        )
    migrations.upgrade(engine)
    with read_transaction(engine) as connection:
        first, _ = quarantined(connection, region)
    assert (first.item, first.check, first.decision) == ("a.tif", None, None)
