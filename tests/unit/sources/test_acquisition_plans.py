"""Days that are due by the passes of satellites, and by ESA's acquisition plans."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from satcommon.errors import SettingError
from satcommon.geo.grid import Bounds
from satcommon.sources.acquisition_plans import PlanFolder
from satcommon.sources.calendar import answers
from satcommon.sources.calendar_config import CalendarConfig
from satcommon.sources.files import FolderFiles
from satcommon.sources.folder import FolderSource
from satcommon.sources.open_files import open_files
from satcommon.sources.plan_kml import parse
from satcommon.sources.source import AreaOfInterest, Due
from satcommon.sources.stac import StacSource
from satcommon.sources.stac_config import load
from satcommon.storage.object_store import ObjectStore

from tests.unit.geotiffs import AOI
from tests.unit.plans import Take, around, kml, write_plan

DUE, NOT_DUE, UNKNOWN, NOT_PLANNED = Due
OVER, ELSEWHERE = around(AOI.bounds), around(Bounds(60, 20, 61, 21))
FIRST, LAST = "20241114T120000", "20241130T150000"


def passes(
    *orbits: int, platform: str = "sentinel-2a", anchor: date = date(2024, 11, 5), **keys: Any
) -> CalendarConfig:
    stated = {"platform": platform, "orbits": list(orbits), "anchor_day": anchor, **keys}
    return CalendarConfig.model_validate({"passes": [stated]})


def due_days(config: CalendarConfig, first: date, count: int, aoi: AreaOfInterest = AOI) -> list[int]:
    found = answers(config, None, aoi, [first + timedelta(days=n) for n in range(count)])
    return [(day - first).days for day, due in found.items() if due is DUE]


# --- passes --------------------------------------------------------------------------------------------------------


def test_sentinel_2_passes_every_ten_days_and_on_the_neighbouring_orbit_seven_days_later() -> None:
    # Orbits 22 and 65 lie over Sardinia: 43 orbits of 143 in ten days are three days.
    assert due_days(passes(22), date(2024, 11, 5), 21) == [0, 10, 20]
    assert due_days(passes(22, 65), date(2024, 11, 5), 21) == [0, 3, 10, 13, 20]
    assert due_days(passes(65, 22), date(2024, 11, 5), 21) == [0, 7, 10, 17, 20]


def test_landsat_passes_every_sixteen_days_and_on_the_path_to_the_west_seven_days_later() -> None:
    assert due_days(passes(190, 191, platform="landsat-8"), date(2024, 11, 5), 33) == [0, 7, 16, 23, 32]
    assert due_days(passes(233, 1, platform="landsat-9"), date(2024, 11, 5), 16) == [0, 7]


def test_before_the_anchor_day_nothing_is_known_and_after_the_last_nothing_is_due() -> None:
    config = passes(22, last_day=date(2024, 11, 20))
    found = answers(config, None, AOI, [date(2024, 11, day) for day in (4, 5, 6, 15, 25)])

    assert list(found.values()) == [UNKNOWN, DUE, NOT_DUE, DUE, NOT_DUE]


def test_a_day_on_which_one_satellite_is_unknown_is_not_due_by_the_other_alone() -> None:
    two = [
        {"platform": "sentinel-2a", "orbits": [22], "anchor_day": date(2024, 11, 5)},
        {"platform": "sentinel-2b", "orbits": [22], "anchor_day": date(2024, 11, 10)},
    ]
    found = answers(
        CalendarConfig.model_validate({"passes": two}),
        None,
        AOI,
        [date(2024, 11, day) for day in (5, 6, 10, 11, 15, 20)],
    )

    assert list(found.values()) == [DUE, UNKNOWN, DUE, NOT_DUE, DUE, DUE]


def test_passes_are_of_the_regions_that_they_name() -> None:
    config = passes(22, regions=["No*"])

    assert due_days(config, date(2024, 11, 5), 1) == [0]
    other = AreaOfInterest("South", AOI.bounds, AOI.grid)
    assert answers(config, None, other, [date(2024, 11, 5)]) == {date(2024, 11, 5): UNKNOWN}


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({"platform": "sentinel-9", "orbits": [22]}, "is no satellite whose cycle is known"),
        ({"platform": "sentinel-2a", "orbits": [22, 29]}, "29 is flown 0.49 days after 22"),
        ({"platform": "sentinel-2a", "orbits": [144]}, "144 is none of the 143"),
        ({"platform": "landsat-8", "orbits": []}, "at least 1"),
        ({"platform": "landsat-8", "orbits": [1], "last_day": date(2024, 1, 1)}, "is before anchor_day"),
    ],
)
def test_passes_that_can_not_be_are_refused(stated: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        CalendarConfig.model_validate({"passes": [{"anchor_day": date(2024, 11, 5), **stated}]})


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({}, "states no day"),
        ({"offsets": [0]}, "offsets are days of a cycle"),
        ({"first_day": date(2024, 1, 1)}, "belong together"),
    ],
)
def test_a_calendar_without_days_is_refused(stated: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        CalendarConfig.model_validate(stated)


# --- plans ---------------------------------------------------------------------------------------------------------


def planned(folder: Path, *days: int, config: CalendarConfig | None = None, aoi: AreaOfInterest = AOI) -> list[Due]:
    config = config or CalendarConfig(plans=str(folder))
    reader = PlanFolder(FolderFiles(folder), "")
    return list(answers(config, reader, aoi, [date(2024, 11, day) for day in days]).values())


def test_a_plan_answers_for_the_days_that_it_covers_whole(tmp_path: Path) -> None:
    takes = [
        Take("2024-11-18T10:12:00", OVER),
        Take("2024-11-21T10:12:00", ELSEWHERE),
        Take("2024-11-14T13:00:00", OVER),
    ]
    write_plan(tmp_path, FIRST, LAST, takes)

    found = planned(tmp_path, 13, 14, 15, 18, 21, 29, 30)

    assert found == [UNKNOWN, DUE, NOT_DUE, DUE, NOT_DUE, NOT_DUE, UNKNOWN]


def test_only_modes_whose_images_are_delivered_make_a_day_due(tmp_path: Path) -> None:
    takes = [
        Take("2024-11-18T10:12:00", OVER, mode="VIC"),
        Take("2024-11-19T10:12:00", OVER, timeliness="NOT_RECORDING"),
        Take("2024-11-20T10:12:00", OVER, timeliness="NRT"),
    ]
    write_plan(tmp_path, FIRST, LAST, takes)

    assert planned(tmp_path, 18, 19, 20) == [NOT_DUE, NOT_DUE, DUE]


def test_a_pass_that_the_plan_leaves_out_is_not_planned_and_outside_of_the_plan_the_passes_count(
    tmp_path: Path,
) -> None:
    write_plan(tmp_path, FIRST, LAST, [Take("2024-11-25T10:12:00", OVER)])
    config = passes(22)

    assert planned(tmp_path, 5, 6, 15, 16, 25, config=config) == [DUE, NOT_DUE, NOT_PLANNED, NOT_DUE, DUE]
    cycle = CalendarConfig(cycle_days=5, first_day=date(2024, 11, 5))
    assert planned(tmp_path, 10, 15, 20, 21, config=cycle) == [DUE, NOT_PLANNED, NOT_PLANNED, NOT_DUE]


def test_a_satellite_without_a_plan_for_the_day_answers_by_its_passes(tmp_path: Path) -> None:
    write_plan(tmp_path, FIRST, LAST, [])
    both: list[dict[str, Any]] = [
        {"platform": "sentinel-2a", "orbits": [22], "anchor_day": date(2024, 11, 5)},
        {"platform": "sentinel-2b", "orbits": [22], "anchor_day": date(2024, 11, 10)},
    ]
    config = CalendarConfig.model_validate({"passes": both})

    assert planned(tmp_path, 15, 16, 20, config=config) == [NOT_PLANNED, NOT_DUE, DUE]
    both[1]["anchor_day"] = date(2024, 11, 30)
    assert planned(tmp_path, 15, config=CalendarConfig.model_validate({"passes": both})) == [UNKNOWN]
    write_plan(tmp_path, FIRST, "20241118T150000", [], "S2B")
    assert planned(tmp_path, 16, 20, config=CalendarConfig(plans="x")) == [NOT_DUE, UNKNOWN]


def test_of_overlapping_plans_the_later_counts_from_its_beginning(tmp_path: Path) -> None:
    takes = [Take(f"2024-11-{day}T10:12:00", OVER) for day in (16, 23, 29)]
    write_plan(tmp_path, FIRST, LAST, takes)
    write_plan(tmp_path, "20241121T120000", "20241207T150000", [Take("2024-11-26T10:12:00", OVER)])

    assert planned(tmp_path, 16, 20, 21, 23, 26, 29, 30) == [DUE, NOT_DUE, NOT_DUE, NOT_DUE, DUE, NOT_DUE, NOT_DUE]


def test_of_two_plans_of_one_span_the_one_written_last_counts(tmp_path: Path) -> None:
    old = write_plan(tmp_path, FIRST, LAST, [Take("2024-11-18T10:12:00", OVER)])
    os.utime(old.rename(tmp_path / f"z_{FIRST}_{LAST}.kml"), (1e9, 1e9))
    write_plan(tmp_path, FIRST, LAST, [Take("2024-11-19T10:12:00", OVER)])

    assert planned(tmp_path, 18, 19) == [NOT_DUE, DUE]


def test_a_footprint_across_the_antimeridian_lies_on_both_sides(tmp_path: Path) -> None:
    ring = [(178.5, -16.0), (177.5, -19.0), (-179.5, -19.5), (-178.0, -16.5), (178.5, -16.0)]
    write_plan(tmp_path, FIRST, LAST, [Take("2024-11-17T22:20:00", ring)])
    east, west = Bounds(178.2, -18.0, 178.6, -17.6), Bounds(-179.9, -18.0, -179.6, -17.6)
    far = Bounds(10.0, -18.0, 10.5, -17.6)  # where the polygon would lie if it went the other way round

    # 22:20 UTC is the morning of the next solar day at 178 degrees east, and of the same day at 179 degrees west.
    assert planned(tmp_path, 17, 18, aoi=AreaOfInterest("F", east, AOI.grid)) == [NOT_DUE, DUE]
    assert planned(tmp_path, 17, 18, aoi=AreaOfInterest("F", west, AOI.grid)) == [DUE, NOT_DUE]
    assert planned(tmp_path, 17, 18, aoi=AreaOfInterest("F", far, AOI.grid)) == [NOT_DUE, NOT_DUE]


def test_a_footprint_around_a_pole_spoils_no_plan(tmp_path: Path) -> None:
    ring = [(-170.0, 82.0), (-60.0, 81.0), (60.0, 82.0), (170.0, 81.0), (-170.0, 82.0)]
    write_plan(tmp_path, FIRST, LAST, [Take("2024-11-17T10:12:00", ring), Take("2024-11-18T10:12:00", OVER)])

    assert planned(tmp_path, 17, 18) == [NOT_DUE, DUE]


GOOD = kml(FIRST, LAST, [Take("2024-11-18T10:12:00", OVER)])
BOMB = '<?xml version="1.0"?>\n<!DOCTYPE kml [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>\n<kml>&b;</kml>'
OUTSIDE = '<?xml version="1.0"?>\n<!DOCTYPE kml [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n<kml>&a;</kml>'


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is no KML"),
        (GOOD[:1000], "is no KML"),
        ("<kml/>", "states no span"),
        (BOMB, "declares a document type"),
        (OUTSIDE, "declares a document type"),
        (GOOD.replace('encoding="iso-8859-1"', 'encoding="klingon"'), "is no KML"),
        (GOOD.replace("<name>S2A</name>", "<name>all</name>"), "has no satellite's folder"),
        (GOOD.replace("T10:12:00.748</value>", "soon</value>"), "ObservationTimeStart is '2024-11-18soon'"),
        (GOOD.replace("T10:13:30.788</value>", "T10:11:00</value>"), "before its start"),
        (GOOD.replace(f"{OVER[0][0]},", "nan,"), "expected a closed ring"),
        (GOOD.replace(f"{OVER[0][0]},", "1e999,"), "expected a closed ring"),
        (GOOD.replace(f"{OVER[1][0]},{OVER[1][1]},0", "500,2,0"), "expected a closed ring"),
        (GOOD.replace("<coordinates>", "<coordinates>1,2 "), "expected a closed ring"),
        (GOOD.replace(LAST, FIRST), "expected some days"),
        (GOOD.replace(LAST, "20341130T150000"), "expected some days"),
        (GOOD.replace(LAST, "20241350T150000"), "the span is"),
        (GOOD.replace("<Polygon>", "<!--").replace("</Polygon>", "-->"), "has no polygon"),
    ],
)
def test_a_damaged_plan_is_left_out_whole_and_named(
    content: str, told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SettingError, match=told) as caught:
        parse(content.encode(), "plans/x.kml")
    assert "plans/x.kml" in str(caught.value)
    write_plan(tmp_path, "20241101T120000", "20241120T120000", [Take("2024-11-18T10:12:00", OVER)])
    (tmp_path / "x.kml").write_text(content)
    (tmp_path / "notes.txt").write_text("no plan")
    reader = PlanFolder(FolderFiles(tmp_path), "")
    config = CalendarConfig(plans="x")

    for _ in range(2):
        found = answers(config, reader, AOI, [date(2024, 11, day) for day in (17, 18, 25)])

    assert list(found.values()) == [NOT_DUE, DUE, UNKNOWN]  # by the sound one alone
    assert len(reader.troubles()) == 1
    assert caplog.text.count("plan left out") == 1


def test_a_plan_that_is_too_large_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plan(tmp_path, FIRST, LAST, [Take("2024-11-18T10:12:00", OVER)])
    monkeypatch.setattr("satcommon.sources.plan_kml.MOST_BYTES", 1000)

    assert planned(tmp_path, 18) == [UNKNOWN]
    assert "expected text of at most 1,000" in PlanFolder(FolderFiles(tmp_path), "").troubles()[0]


def test_a_plan_that_is_replaced_counts_at_the_next_question(tmp_path: Path) -> None:
    plan = write_plan(tmp_path, FIRST, LAST, [Take("2024-11-18T10:12:00", OVER)])
    reader, config, days = PlanFolder(FolderFiles(tmp_path), ""), CalendarConfig(plans="x"), [date(2024, 11, 18)]
    before = answers(config, reader, AOI, days)
    plan.write_text(kml(FIRST, LAST, []))
    after = answers(config, reader, AOI, days)
    plan.unlink()

    assert [each[days[0]] for each in (before, after, answers(config, reader, AOI, days))] == [DUE, NOT_DUE, UNKNOWN]


# --- in the sources ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plans", ["plans", f"plans/S2A_MP_ACQ__KML_{FIRST}_{LAST}.kml"], ids=["folder", "file"])
def test_folder_and_catalogue_read_the_plans_that_their_configuration_names(plans: str, tmp_path: Path) -> None:
    write_plan(tmp_path / "plans", FIRST, LAST, [Take("2024-11-18T10:12:00", OVER)])
    (tmp_path / "satfields.toml").write_text(f'[calendar]\nplans = "{plans}"\n')
    assets = '[collections.assets]\nB04 = "red"\nB08 = "nir"\n'
    (tmp_path / "stac.toml").write_text(
        f'catalogue = "items.json"\n[[collections]]\nid = "s2"\n{assets}[calendar]\nplans = "{plans}"\n'
    )
    folder, stac = FolderSource(tmp_path), StacSource(load(str(tmp_path / "stac.toml")))

    for source in (folder, stac):
        found = source.calendar(AOI, date(2024, 11, 17), date(2024, 11, 19))
        assert list(found.values()) == [NOT_DUE, DUE, NOT_DUE]
        assert source.due(AOI, date(2024, 11, 18)) is DUE
    folder.check()


def test_the_check_of_a_source_fails_for_a_damaged_plan_and_for_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "satfields.toml").write_text('[calendar]\nplans = "plans"\n')
    source = FolderSource(tmp_path)
    with pytest.raises(SettingError, match="there is no such folder"):
        source.due(AOI, date(2024, 11, 18))
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "x.kml").write_text("<kml/>")

    with pytest.raises(SettingError, match=r"x\.kml: states no span"):
        source.check()


def test_a_bucket_can_hold_the_plans(tmp_path: Path, s3_url: str) -> None:
    plan = write_plan(tmp_path, FIRST, LAST, [Take("2024-11-18T10:12:00", OVER)])
    ObjectStore(s3_url).put(f"plans/{plan.name}", plan.read_bytes())
    reader = PlanFolder(open_files(s3_url), "plans")

    assert answers(CalendarConfig(plans="x"), reader, AOI, [date(2024, 11, 18)]) == {date(2024, 11, 18): DUE}
