"""What is registered, held against another catalogue: the same acquisitions have other ids and times there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, build_schedule_context
from satcommon.db import ledger, registry
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import Region
from satcommon.environment import Environment
from satcommon.errors import CatalogueError, SceneError, SettingError
from satcommon.pipeline.ingest_day import ask
from satcommon.pipeline.reconcile import Difference, Standing, reconcile
from satcommon.resources import SatfieldsResource
from satcommon.settings import settings
from satcommon.sources.open_source import open_other
from satcommon.sources.source import Due
from satcommon.sources.stac import StacSource
from satcommon.stats.algorithm import CURRENT
from satcommon.storage.object_store import ObjectStore
from satfields_ingest.jobs import reconcile_scenes
from satfields_ingest.schedules import daily_reconciliation
from sqlalchemy import Engine

from tests.integration.satctl_world import Satctl, satctl, system
from tests.unit.geotiffs import AOI, GRID, PLAIN, write
from tests.unit.stac_catalogue import COLUMNS, config, item, source

__all__ = ["satctl", "system"]

FIRST, LAST = date(2015, 12, 1), date(2016, 1, 20)  # two listings
NOW = datetime(2016, 2, 1, tzinfo=UTC)
DEADLINES = Deadlines(36.0, 30)
HERE = {7: "S2B_33TVL_20160107_0_L2A", 17: "S2B_33TVL_20160117_0_L2A"}
Make = Callable[..., dict[str, Any]]


def sensed(day: int, clock: str = "10:12:43") -> str:
    return f"2016-01-{day:02}T{clock}Z"


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    folder = tmp_path_factory.mktemp("files")
    return lambda *args, **keys: item(folder, str(folder), *args, checksum=True, **keys)


def catalogue(path: Path, *items: dict[str, Any]) -> StacSource:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return source("", catalogue=str(path))


@pytest.fixture
def engine(system: Engine, tmp_path: Path, make: Make) -> Engine:
    """A ledger whose source had two days."""
    own = catalogue(tmp_path / "own.json", *(make(name, sensed=sensed(day)) for day, name in HERE.items()))
    with write_transaction(system) as connection:
        registry.add_region(connection, "North", AOI.bounds, replace(GRID, width=COLUMNS), FIRST, None, CURRENT, NOW)
    for day in HERE:
        ask(system, ObjectStore(str(tmp_path / "store")), own, 1, date(2016, 1, day), NOW)
    return system


def differences(engine: Engine, other: StacSource) -> list[Difference]:
    with read_transaction(engine) as connection:
        region = ledger.region(connection, 1)
    return reconcile(engine, other, region, FIRST, LAST, DEADLINES, NOW).differences


def told(found: list[Difference]) -> list[tuple[int, str, str]]:
    return [(each.day.day, each.tile, each.standing.value) for each in found]


def test_the_same_acquisitions_under_other_ids_and_times_differ_in_nothing(
    engine: Engine, tmp_path: Path, make: Make
) -> None:
    early = {"s2:datatake_id": "GS2B_20160107T095812_003210_N05.00"}  # by the start of its datatake
    other = catalogue(
        tmp_path / "other.json",
        make("S2B_MSIL2A_20160107T095812_N0500_R022_T33TVL_20160108T000000", sensed=sensed(7, "09:58:12"), **early),
        make("S2B_MSIL2A_20160117T095812_N0500_R022_T33TVL_20160118T000000", sensed=sensed(17, "09:58:12")),
    )

    assert differences(engine, other) == []


def test_what_one_side_lacks_is_told_by_day_and_tile(engine: Engine, tmp_path: Path, make: Make) -> None:
    other = catalogue(
        tmp_path / "other.json",
        make("x1", sensed=sensed(7)),
        make("x2", sensed=sensed(7), **{"grid:code": "MGRS-33TVK"}),
        make("x3", sensed=sensed(12)),
        make("x4", sensed=sensed(25)),  # outside of the span
    )

    found = differences(engine, other)

    assert told(found) == [
        (7, "T33TVK", "lacking_here"),
        (12, "T33TVL", "lacking_here"),
        (17, "T33TVL", "lacking_there"),
    ]
    assert [each.item for each in found] == ["s2/x2", "s2/x3", f"s2/{HERE[17]}"]


DUE = {1: Due.DUE, 2: Due.DUE, 7: Due.DUE, 12: Due.DUE, 13: Due.DUE, 14: Due.NOT_DUE, 15: Due.NOT_PLANNED}


@pytest.fixture
def due(engine: Engine) -> Region:
    with write_transaction(engine) as connection:
        for day, answer in DUE.items():
            ledger.set_day(connection, 1, date(2016, 1, day), due=answer, answered_at=NOW)
        return ledger.region(connection, 1)


def test_a_due_day_that_neither_has_is_late_within_the_lateness_and_then_lost_upstream(
    engine: Engine, due: Region, tmp_path: Path, make: Make
) -> None:
    other = catalogue(tmp_path / "other.json", make("x", sensed=sensed(12)))

    found = reconcile(engine, other, due, FIRST, LAST, DEADLINES, NOW)

    assert found.lost_upstream == [date(2016, 1, 1)]
    assert found.late == [date(2016, 1, 2), date(2016, 1, 13)]  # their 30 days end when 1 February does


def test_the_command_prints_late_and_lost_days_apart(
    engine: Engine, due: Region, satctl: Satctl, tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = toml(tmp_path, *(make(f"y{day}", sensed=sensed(day)) for day in (*HERE, 1, 2)))
    told = ("scenes", "reconcile", "--against", str(other), "--from", "2016-01-03", "--to", str(LAST))

    lost = satctl(*told).stdout
    monkeypatch.setenv("SATFIELDS_LATENESS_DAYS", "100000")
    settings.cache_clear()
    late = satctl(*told).stdout

    assert "region North: in neither, lost upstream: 2016-01-12, 2016-01-13" in lost
    assert "neither, late" not in lost
    assert "region North: in neither, late: 2016-01-12, 2016-01-13" in late
    assert "lost upstream" not in late


def test_another_satellite_half_a_minute_later_is_another_acquisition(
    engine: Engine, tmp_path: Path, make: Make
) -> None:
    same = [make(f"y{day}", sensed=sensed(day)) for day in HERE]
    other = catalogue(tmp_path / "other.json", *same, make("z", sensed=sensed(7, "10:13:13"), platform="sentinel-2c"))

    assert told(differences(engine, other)) == [(7, "T33TVL", "lacking_here")]


def test_a_higher_baseline_there_is_newer_and_a_lower_one_is_nothing(
    engine: Engine, tmp_path: Path, make: Make
) -> None:
    other = catalogue(
        tmp_path / "other.json",
        make("old", sensed=sensed(7), baseline="04.00"),
        make("a", sensed=sensed(17), baseline="05.00"),
        make("b", sensed=sensed(17), baseline="05.11"),
    )

    (found,) = differences(engine, other)

    assert (found.day.day, found.item, found.standing) == (17, "s2/b", Standing.NEWER_THERE)
    assert found.detail == "baseline 05.11 there, 05.00 here"


def test_scenes_of_one_landsat_pass_are_told_apart_by_path_and_row(engine: Engine, tmp_path: Path, make: Make) -> None:
    stated: dict[str, Any] = {"platform": "landsat-8", "grid:code": None, "baseline": ""}
    names = [f"LC08_L2SP_19{row}_20160108_20160120_02_T1" for row in ("0028", "0029")]
    own = catalogue(tmp_path / "own.json", make(names[0], sensed=sensed(8, "09:50:00"), **stated))
    ask(engine, ObjectStore(str(tmp_path / "store")), own, 1, date(2016, 1, 8), NOW)
    same = [make(f"y{day}", sensed=sensed(day)) for day in HERE]
    both = [make(name, sensed=sensed(8, f"09:50:{24 * n:02}"), **stated) for n, name in enumerate(names)]
    real_time = make(names[0].replace("_T1", "_RT"), sensed=sensed(8, "09:50:00"), **stated)

    assert told(differences(engine, catalogue(tmp_path / "other.json", *same, *both))) == [
        (8, "190029", "lacking_here")
    ]
    assert told(differences(engine, catalogue(tmp_path / "other.json", *same, real_time))) == []


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a good one"])
def test_what_is_refused_here_is_not_lacking(beside: bool, engine: Engine, tmp_path: Path, make: Make) -> None:
    bad = make("S2B_33TVL_20160112_0_L2A", sensed=sensed(12))
    good = [make("good", sensed=sensed(12), **{"grid:code": "MGRS-33TVK"})] if beside else []
    own = catalogue(tmp_path / "own.json", bad, *good)
    (Path(bad["assets"]["B04"]["href"])).write_bytes(b"damaged")
    with suppress(SceneError):
        ask(engine, ObjectStore(str(tmp_path / "store")), own, 1, date(2016, 1, 12), NOW)
    same = [make(f"y{day}", sensed=sensed(day)) for day in HERE]
    # The name of what is refused here has no time of day, so that only its id and day are certain.
    other = catalogue(tmp_path / "other.json", *same, *good, make("S2B_33TVL_20160112_0_L2A", sensed=sensed(12)))

    (found,) = differences(engine, other)

    assert (found.day.day, found.standing) == (12, Standing.REFUSED_HERE)
    assert "B04" in found.detail


def test_an_item_there_that_is_not_understood_may_be_lacking(engine: Engine, tmp_path: Path, make: Make) -> None:
    name = "S2B_MSIL2A_20160112T101243_N0500_R022_T33TVL_20160113T000000"
    incomplete = {**make(name, sensed=sensed(12)), "assets": {}}
    here = {**make(name.replace("12T10", "07T10"), sensed=sensed(7)), "assets": {}}
    other = catalogue(tmp_path / "other.json", incomplete, here, make("y17", sensed=sensed(17)))

    found = differences(engine, other)

    assert (12, "T33TVL", "unclear_there") in told(found)
    assert (7, "T33TVL", "unclear_there") not in told(found)


def test_a_search_that_breaks_is_a_failure(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError):
        differences(engine, StacSource(config("", catalogue=str(tmp_path / "none.json"))))


def toml(folder: Path, *items: dict[str, Any]) -> Path:
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    assets = 'B04 = "red"\nB08 = "nir"\nB11 = "swir16"\n'
    stated = '[[collections]]\nid = "s2"\nmask = {asset = "SCL", kind = "scl"}\n[collections.assets]\n'
    (folder / "other.toml").write_text(f'catalogue = "items.json"\n{stated}{assets}')
    return folder / "other.toml"


SPAN = ("--from", str(FIRST), "--to", str(LAST))


def test_the_command_fails_if_something_is_lacking_here(
    engine: Engine, satctl: Satctl, tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name = "S2B_MSIL2A_20160112T101243_N0500_R022_T33TVL_20160113T000000"
    other = toml(tmp_path, *(make(f"y{day}", sensed=sensed(day)) for day in HERE), make(name, sensed=sensed(12)))

    table = satctl("scenes", "reconcile", "--against", str(other), *SPAN, code=1).stdout
    listed = json.loads(satctl("scenes", "reconcile", "--against", str(other), *SPAN, "--json", code=1).stdout)

    assert max(map(len, table.splitlines()[:-2])) <= 80
    assert "2016-01-12" in table
    assert "T33TVL" in table
    assert "2 acquisitions here, 3 in " in table
    ((difference,),) = [region["differences"] for region in listed["regions"]]
    assert [region["lacking"] for region in listed["regions"]] == [1]
    assert (difference["day"], difference["item"], difference["standing"]) == (
        "2016-01-12",
        f"s2/{name}",
        "lacking_here",
    )
    monkeypatch.setenv("SATFIELDS_RECONCILE_AGAINST", str(other))
    settings.cache_clear()
    satctl("scenes", "reconcile", *SPAN[:3], "2016-01-11")  # before the day that is lacking


def test_a_folder_can_be_the_other(engine: Engine, satctl: Satctl, tmp_path: Path) -> None:
    files = [
        write(tmp_path / "folder" / f"2016-01-{day:02}T100001.tif", PLAIN, PLATFORM="Sentinel-2") for day in HERE
    ]  # whole passes, of no tile
    told = ("scenes", "reconcile", "--against", str(tmp_path / "folder"), *SPAN)

    written = satctl(*told)
    for file in files:
        os.utime(file, (1_500_000_000, 1_500_000_000))
    said = satctl(*told)

    assert "2016-01-07T100001.tif: is being written" in written.stderr
    assert "2 acquisitions here, 2 in" in said.stdout
    assert "none lacking here" in said.stdout


def test_a_broken_catalogue_fails_the_command_and_is_named(engine: Engine, satctl: Satctl, tmp_path: Path) -> None:
    other = toml(tmp_path)
    (tmp_path / "items.json").write_text("{")

    said = satctl("scenes", "reconcile", "--against", str(other), *SPAN, code=1)

    assert "region North" in said.stderr
    assert "lacking" not in said.stdout
    assert "there is no such folder" in satctl("scenes", "reconcile", "--against", "/no/where", code=2).stderr
    assert "--against" in satctl("scenes", "reconcile", code=2).stderr


def test_what_is_named_as_the_other_must_be_there() -> None:
    with pytest.raises(SettingError, match="SATFIELDS_RECONCILE_AGAINST='no-profile': is no profile"):
        open_other("no-profile", "SATFIELDS_RECONCILE_AGAINST")


@pytest.fixture
def resource(
    engine: Engine, tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SatfieldsResource]:
    monkeypatch.setenv("SATFIELDS_RECONCILE_AGAINST", str(toml(tmp_path, make("y7", sensed=sensed(7)))))
    monkeypatch.setenv("SATFIELDS_LATENESS_DAYS", "100000")
    settings.cache_clear()
    env = Environment(settings(), engine)
    monkeypatch.setattr(SatfieldsResource, "environment", lambda _: env)
    yield SatfieldsResource()
    settings.cache_clear()


def test_ingest_compares_once_a_day_where_the_setting_says_against_what(resource: SatfieldsResource) -> None:
    with DagsterInstance.ephemeral() as instance:
        ran = reconcile_scenes.execute_in_process(instance=instance, resources={"satfields": resource})
        (seen,) = [event.event_specific_data for event in ran.all_events if event.is_asset_observation]
        at = datetime(2026, 5, 1, 5, tzinfo=UTC)
        context = build_schedule_context(instance, scheduled_execution_time=at, resources={"satfields": resource})
        asked = daily_reconciliation.evaluate_tick(context)

    metadata = seen.asset_observation.metadata  # type: ignore[union-attr]
    assert (metadata["here"].value, metadata["there"].value, metadata["lacking here"].value) == (2, 1, 0)
    assert [record["which"] for record in (r.data for r in metadata["differences"].records)] == ["lacking there"]
    assert [request.run_key for request in asked.run_requests or []] == ["reconcile:2026-05-01"]
