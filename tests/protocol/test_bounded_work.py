"""Work is bounded: what one late field costs does not depend on how many other fields there are."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import satcommon.pipeline.inputs
import shapely
from runs import Replay
from satcommon.db import fields
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.pipeline.backlog import plan
from satcommon.pipeline.close_day import Processor
from satcommon.stats import coverage
from satcommon.stats.algorithm import CURRENT
from satcommon.stats.observation import ObservationCost
from truth import DEADLINES, OTHER_VERSION, REGIONS, day, rectangle
from world import Laboratory, World

WEST = REGIONS[0]
CLOSED = 4


@dataclass(frozen=True)
class Cost:
    """What a replay did, and what was told of it before."""

    work: ObservationCost
    steps: int
    observed: int
    reused: int
    changed_rows: int
    bytes_put: int  # one patch, whatever the number of days and of other fields
    steps_told: int
    scenes_told: int


def with_others(laboratory: Laboratory, count: int, version: str) -> World:
    """A world of four closed days with so many fields."""
    world = laboratory.world()
    world.pin(WEST, version)
    polygons = [rectangle(0.02 + n * 0.02, 0.2 + n * 0.02, 0.1 + n * 0.015, 0.3 + n * 0.015) for n in range(40)]
    new = [fields.NewField(f"other-{n}", "other", polygons[n % len(polygons)], day(1)) for n in range(count)]
    with write_transaction(world.engine) as connection:
        fields.register_fields(connection, new, world.now)
    for n in range(1, CLOSED + 1):
        world.arrives(WEST, day(n), "first")
    world.close(WEST)
    return world


def cost(world: World, name: str) -> Cost:
    """Drain, and tell what it cost; the rows of the others stay as they were."""
    before = {on: world.rows(WEST, on) for on in world.closed(WEST)}
    with read_transaction(world.engine) as connection:
        told = plan(connection, world.bbox_id(WEST), DEADLINES, world.now)
    run = Replay.start(world, WEST)
    assert run is not None
    run.until("commit")
    computed, stored = run.computed, run.stored
    assert run.finish() == "COMMITTED"
    for on, rows in before.items():
        after = world.rows(WEST, on)
        assert {f: row for f, row in after.items() if f != name} == {f: row for f, row in rows.items() if f != name}
    return Cost(
        computed.work,
        len(computed.steps),
        computed.observed,
        computed.reused,
        computed.changed_rows,
        len(world.store.get(stored.patch.key)),
        told.steps_at_most,
        told.scenes_at_most,
    )


def costs(laboratory: Laboratory, others: int, version: str) -> list[Cost]:
    """Of a late field, of the correction of its polygon, and of a planting that moves."""
    world = with_others(laboratory, others, version)
    found = []
    world.register("f1", 0, day(2))
    found.append(cost(world, "f1"))
    world.reshape("f1", 1, None)
    found.append(cost(world, "f1"))
    world.season("f1", day(1), None)
    found.append(cost(world, "f1"))
    return found


def compare(laboratory: Laboratory, few: int, many: int, version: str = CURRENT) -> None:
    late, corrected, replanted = few_costs = costs(laboratory, few, version)

    assert few_costs == costs(laboratory, many, version)
    for one, days in ((late, 3), (corrected, 3), (replanted, 4)):
        assert one.changed_rows == one.steps == one.steps_told == days
    assert late.observed == late.work.scenes == late.scenes_told == 3
    assert replanted.observed == 1, "a polygon that stands is not observed again"
    assert replanted.reused == 3


def test_a_late_field_costs_the_same_beside_200_and_1000_others(laboratory: Laboratory) -> None:
    compare(laboratory, 200, 1_000)


def test_a_late_field_costs_the_same_where_clouds_are_grown_from_cells_around_it(laboratory: Laboratory) -> None:
    compare(laboratory, 20, 200, OTHER_VERSION)


def test_a_day_of_known_fields_decodes_joins_and_covers_no_polygon(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = with_others(laboratory, 20, CURRENT)
    world.arrives(WEST, day(CLOSED + 1), "first")
    world.processor = Processor(world.engine, world.store)  # as a new process: what is known comes from the store

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a polygon was looked at")

    for owner, name in ((shapely, "from_wkb"), (shapely, "from_geojson"), (shapely, "STRtree"), (coverage, "cover")):
        monkeypatch.setattr(owner, name, never)
    world.close(WEST)

    assert len(world.rows(WEST, day(CLOSED + 1))) == 20


def test_the_days_of_a_history_read_fields_once_where_the_registry_stands(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = with_others(laboratory, 20, CURRENT)
    world.arrives(WEST, day(CLOSED + 1), "first")

    def never(*_: object) -> None:
        raise AssertionError("the fields were read again")

    with monkeypatch.context() as patch:
        patch.setattr(satcommon.pipeline.inputs, "timelines", never)
        world.close(WEST)
    world.register("f1", 0, day(CLOSED + 2))
    world.arrives(WEST, day(CLOSED + 2), "first")
    world.close(WEST)

    assert [len(world.rows(WEST, day(CLOSED + n))) for n in (1, 2)] == [20, 21]


@pytest.mark.slow
def test_a_late_field_costs_the_same_beside_2000_and_10000_others(laboratory: Laboratory) -> None:
    compare(laboratory, 2_000, 10_000)
