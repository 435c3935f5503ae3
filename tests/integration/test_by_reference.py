"""Scenes by reference: the rows of copied ones, and what happens when files of the archive change or can't be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from satcommon.audit.garbage import stored_objects, unreferenced_objects
from satcommon.db import ledger, missed_days
from satcommon.db.engine import read_transaction
from satcommon.db.models import Cause
from satcommon.errors import SceneError, SettingError, StoreError
from satcommon.pipeline.backlog import region_backlog
from satcommon.pipeline.close_day import TRIES
from satcommon.settings import settings
from satcommon.sources import polite_requests
from satcommon.sources.simulated import SimulatedSource
from satcommon.sources.stac import StacSource
from satcommon.sources.stored_scenes import StoredScenes
from satcommon.views.region_map import region_map
from shapely.geometry import box

from tests.integration.satctl_world import Satctl
from tests.integration.stac_world import DAYS, DEADLINES, NOW, World, of_day
from tests.unit.geotiffs import AOI
from tests.unit.stac_catalogue import ROWS, Files, band, item, pixels, source

DAY = DAYS[0]


@pytest.fixture(autouse=True)
def closed_circuits() -> Iterator[None]:
    polite_requests.forget_circuits()
    yield
    polite_requests.forget_circuits()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "files")


@pytest.fixture
def base(files: Files) -> Iterator[str]:
    with files.served() as url:
        yield url


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "world")


class Archive:
    """A catalogue that is a file of items, and the sources that read it, each as a process of its own would."""

    def __init__(self, path: Path, *items: dict[str, Any], **keys: Any) -> None:
        self.path, self.keys = path, keys
        self.has(*items)

    def has(self, *items: dict[str, Any]) -> None:
        self.path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))

    def source(self, *, copy: bool = False) -> StacSource:
        polite_requests.forget_circuits()
        return source("", catalogue=str(self.path), copy=copy, **self.keys)


@pytest.fixture
def archive(files: Files, base: str, tmp_path: Path) -> Archive:
    """An item a day; on the second day two passes, of which each has cells that the other lacks."""
    items = [item(files.folder, base, name, sensed=sensed, values=values) for name, sensed, values in map(of_day, DAYS)]
    name, _, values = of_day(DAYS[1])
    west, east = ({key: cells.copy() for key, cells in values.items()} for _ in range(2))
    for key in values:
        half = values[key].shape[1] // 2
        west[key][:, half:] = 0
        east[key][:, : half - 1] = 0
    items[1] = item(files.folder, base, name, sensed=f"{DAYS[1]}T10:12:43Z", values=west)
    later = item(files.folder, base, f"{name}_later", sensed=f"{DAYS[1]}T11:52:43Z", values=east)
    return Archive(tmp_path / "items.json", *items, later)


def objects(world: World) -> list[str]:
    return [Path(key).suffix for key in world.store.list("scenes/")]


def replaced(files: Files, day_item: str = of_day(DAY)[0], seed: int = 99) -> None:
    for key, cells in pixels(seed).items():
        band(files.folder / day_item / f"{key}.tif", cells, 20 if len(cells) < ROWS else 10)


def test_rows_and_pictures_are_those_of_copied_scenes_also_of_a_field_that_comes_late(
    archive: Archive, tmp_path: Path
) -> None:
    copied, referenced = World(tmp_path / "copied"), World(tmp_path / "referenced")
    west, south, east, north = AOI.bounds
    late = {"late": box(west, south, east, (south + north) / 2)}

    for world, copy in ((copied, True), (referenced, False)):
        world.close(archive.source(copy=copy))
        world.add(late)
        world.replay(archive.source(copy=copy))

    assert objects(copied) == [".tif"] * 3
    assert objects(referenced) == [".json"] * 3
    assert [rows.num_rows for rows in referenced.days()] == [3, 3, 3]
    items = pc.unique(referenced.days()[1]["item_ids"]).to_pylist()
    assert any(len(json.loads(seen)) == 2 for seen in items)
    assert referenced.canonical() == copied.canonical()
    for day in DAYS:
        with read_transaction(copied.engine) as connection:
            region = ledger.region(connection, 1)
        drawn = [
            region_map(world.engine, StoredScenes(world.store, archive.source), region, day)
            for world in (copied, referenced)
        ]
        assert drawn[0] == drawn[1]


def test_a_reader_gives_every_cell_of_the_copy_and_reads_a_later_item_only_where_cells_are_free(
    archive: Archive, files: Files, tmp_path: Path
) -> None:
    worlds = World(tmp_path / "copied"), World(tmp_path / "referenced")
    keys = [
        world.ask(archive.source(copy=copy), DAYS[1]).object_key
        for world, copy in zip(worlds, (True, False), strict=True)
    ]
    cells = np.random.default_rng(1).integers(0, 12 * 16, 500)
    own, around = cells[:300], cells[300:]
    found = []

    for world, key in zip(worlds, keys, strict=True):
        with StoredScenes(world.store, archive.source).open(str(key)) as reader:
            found.append((reader.gather(cells), *reader.gather_around(own, around), reader.items, reader.bands))
            files.requests.clear()
            reader.gather(np.array([0, 1, 17]))

    for world, key in zip(worlds, keys, strict=True):
        assert StoredScenes(world.store).bands(str(key)) == ("red", "nir", "swir16")  # without a source
    for one, other in zip(found[0][0].items(), found[1][0].items(), strict=True):
        assert one[0] == other[0]
        np.testing.assert_array_equal(one[1], other[1])
    np.testing.assert_array_equal(found[0][2], found[1][2])
    assert found[0][3:] == found[1][3:]
    assert len(found[0][3]) == 2
    assert files.requests == []  # small files are at hand since they were opened


def test_a_file_that_was_replaced_after_the_listing_leaves_its_item_out_until_it_is_listed_again(
    archive: Archive, files: Files, world: World
) -> None:
    stac = archive.source()
    ask, once = files.before, []

    def replace_before_the_first_read(request: str) -> None:
        ask(request)
        if request.startswith("GET") and not once:
            once.append(request)
            replaced(files)

    files.before = replace_before_the_first_read

    with pytest.raises(SceneError, match="is not what was listed"):
        world.ask(stac)

    assert world.ask(stac).pixels == "by reference"


def test_a_file_that_was_replaced_after_ingest_fails_the_day_and_the_next_listing_corrects_it(
    archive: Archive, files: Files, world: World, tmp_path: Path
) -> None:
    before = world.ask(archive.source())
    replaced(files)

    for _ in range(TRIES - 1):
        with pytest.raises(SceneError, match=r"is not what was listed .*; list it again"):
            world.through(archive.source())
    world.through(archive.source())  # closes the day all the same
    with read_transaction(world.engine) as connection:
        causes = {miss.cause for miss in missed_days.misses(connection, 1, DAY, DAY)}
    after = world.ask(archive.source())
    world.replay(archive.source())

    assert causes == {Cause.PROCESSING_ERROR}
    assert after.scene_digest != before.scene_digest
    fresh = World(tmp_path / "fresh")
    fresh.ask(archive.source(copy=True))
    fresh.through(archive.source(copy=True))
    assert world.canonical([DAY]) == fresh.canonical([DAY])


def test_a_file_that_is_gone_says_so_and_its_day_is_computed_when_it_is_back(
    archive: Archive, files: Files, world: World
) -> None:
    world.ask(archive.source())
    path = files.folder / of_day(DAY)[0] / "B08.tif"
    content = path.read_bytes()
    path.unlink()

    with pytest.raises(SceneError, match=r"asset B08: is gone \(http.*B08.tif\); list it again"):
        world.through(archive.source())
    path.write_bytes(content)
    world.through(archive.source())

    assert world.days([DAY])[0].num_rows == 2


def test_a_day_that_failed_for_a_file_that_was_gone_is_tried_again_once_the_file_is_listed_again(
    archive: Archive, files: Files, world: World
) -> None:
    world.ask(archive.source())
    path = files.folder / of_day(DAY)[0] / "B08.tif"
    content = path.read_bytes()
    path.unlink()
    for _ in range(TRIES - 1):
        with pytest.raises(SceneError, match="asset B08: is gone"):
            world.through(archive.source())
    world.through(archive.source())  # closes all the same
    (why,) = world.ask(archive.source()).refused.values()
    assert "asset B08: is gone" in why
    later = [NOW + timedelta(hours=n) for n in range(1, TRIES + 2)]
    for now in later:
        world.replay(archive.source(), now)
    path.write_bytes(content)
    world.replay(archive.source(), later[-1])
    assert world.days([DAY])[0].num_rows == 0  # it is not known that the file is back

    world.ask(archive.source())
    world.replay(archive.source(), later[-1])

    assert world.days([DAY])[0].num_rows == 2


def test_an_archive_that_is_down_holds_up_no_other_day_of_a_replay_and_is_tried_again_however_often(
    archive: Archive, files: Files, world: World, tmp_path: Path
) -> None:
    world.ask(archive.source(copy=True))
    world.close(archive.source())
    assert sorted(objects(world)) == [".json", ".json", ".tif"]
    west, south, east, north = AOI.bounds
    world.add({"late": box(west, south, east, (south + north) / 2)})
    files.down = True

    days = [NOW + timedelta(days=n) for n in range(TRIES + 2)]

    for now in days[:-1]:
        world.replay(archive.source(), now)
        assert [rows.num_rows for rows in world.days()] == [3, 2, 2]
    files.down = False
    world.replay(archive.source(), days[-1])

    with read_transaction(world.engine) as connection:
        left = region_backlog(connection, 1, DEADLINES, days[-1])
    assert (left.misses, left.waiting) == ({}, {})
    fresh = World(tmp_path / "fresh")
    fresh.add({"late": box(west, south, east, (south + north) / 2)})
    fresh.close(archive.source(copy=True))
    assert world.canonical() == fresh.canonical()


def test_an_archive_that_is_down_while_a_day_closes_leaves_it_open(
    archive: Archive, files: Files, world: World
) -> None:
    world.ask(archive.source())
    files.down = True

    for _ in range(TRIES + 1):
        with pytest.raises(StoreError, match="could not be read"):
            world.through(archive.source())
    files.down = False
    world.through(archive.source())

    assert world.days([DAY])[0].num_rows == 2


def test_an_archive_that_is_down_past_the_allowed_lateness_holds_up_no_day_for_ever(
    archive: Archive, files: Files, world: World
) -> None:
    world.ask(archive.source())
    files.down = True
    later = NOW + timedelta(days=30)

    for _ in range(TRIES - 1):
        with pytest.raises(StoreError, match="could not be read"):
            world.through(archive.source(), now=later)
    world.through(archive.source(), now=later)
    with read_transaction(world.engine) as connection:
        left = region_backlog(connection, 1, DEADLINES, later)
    files.down = False
    world.replay(archive.source(), later)

    assert set(left.misses.values()) == {Cause.PROCESSING_ERROR}
    assert world.days([DAY])[0].num_rows == 2


def test_a_signature_that_expired_between_ingest_and_close_and_while_a_reader_is_open_is_renewed(
    files: Files, base: str, world: World, tmp_path: Path
) -> None:
    noise = np.random.default_rng(1).integers(3000, 4000, (400, 400)).astype(np.uint16)
    name, sensed, values = of_day(DAY)
    stated = item(files.folder, base, name, sensed=sensed, values=values)
    for key in ("B04", "B08"):  # larger than what is fetched when they are opened
        band(files.folder / name / f"{key}.tif", noise)
    for key, cells in (("B11", noise[:200, :200]), ("SCL", np.full((200, 200), 4, np.uint8))):
        band(files.folder / name / f"{key}.tif", cells, 20)
    tokens = Files(tmp_path / "tokens")
    (tokens.folder / "sas").mkdir(parents=True)

    def expire(signature: str) -> None:
        files.token = signature
        given = {"token": f"sig={signature}", "msft:expiry": "2099-01-01T00:00:00Z"}
        (tokens.folder / "sas" / name).write_text(json.dumps(given))

    with tokens.served() as service:
        signing = {"token_url": f"{service}/sas/{{container}}", "hosts": ["127.0.0.1"]}
        archive = Archive(tmp_path / "items.json", stated, signing=signing)
        expire("one")
        answer = world.ask(archive.source())
        expire("two")
        with StoredScenes(world.store, archive.source).open(str(answer.object_key)) as reader:
            expire("three")
            found = reader.gather(np.array([0, 5]))

    np.testing.assert_array_equal(found["red"], noise[0, [0, 5]])
    assert answer.pixels == "by reference"


def test_a_reader_whose_file_is_replaced_while_it_is_open_gives_no_mixture(
    files: Files, base: str, world: World, tmp_path: Path
) -> None:
    noise = np.random.default_rng(1).integers(3000, 4000, (1500, 40)).astype(np.uint16)
    name, sensed, values = of_day(DAY)
    stated = item(files.folder, base, name, sensed=sensed, values=values)
    for key in ("B04", "B08"):
        band(files.folder / name / f"{key}.tif", noise)
    for key, cells in (("B11", noise[:750, :20]), ("SCL", np.full((750, 20), 4, np.uint8))):
        band(files.folder / name / f"{key}.tif", cells, 20)
    archive = Archive(tmp_path / "items.json", stated)
    tall = replace(AOI, grid=replace(AOI.grid, height=1500, width=40))
    stac = archive.source()
    ((acquisition,),) = stac.list(tall, DAY, DAY, NOW).acquisitions.values()
    stac.read(tall, acquisition)
    reference = stac.reference(tall, acquisition)
    assert reference is not None

    with archive.source().open_cells(tall.grid, acquisition, reference) as reader:
        band(files.folder / name / "B08.tif", noise[::-1].copy())
        with pytest.raises(SceneError, match="asset B08: was changed while it was read"):
            reader.read(np.arange(1499 * 40, 1500 * 40))


@pytest.mark.parametrize("same", [True, False], ids=["the same bytes", "other bytes"])
def test_an_item_with_checksums_is_found_where_its_files_have_moved_if_they_are_the_same(
    same: bool, files: Files, base: str, world: World, tmp_path: Path
) -> None:
    name, sensed, values = of_day(DAY)
    stated = item(files.folder, base, name, sensed=sensed, values=values, checksum=True)
    archive = Archive(tmp_path / "items.json", stated)
    world.ask(archive.source())
    (files.folder / name).rename(files.folder / "moved")
    for asset in stated["assets"].values():
        asset["href"] = asset["href"].replace(name, "moved")
    archive.has(stated)
    files_at = files.folder / "moved"
    if not same:
        band(files_at / "B08.tif", pixels(99)["B08"])

    if same:
        world.through(archive.source())
        assert world.days([DAY])[0].num_rows == 2
    else:
        with pytest.raises(SceneError, match="asset B08: was changed"):
            world.through(archive.source())


def test_an_acquisition_that_must_be_warped_is_copied(files: Files, base: str, world: World, tmp_path: Path) -> None:
    name, sensed, values = of_day(DAY)
    stated = item(files.folder, base, name, sensed=sensed, values=values)
    for key, cells in values.items():
        band(files.folder / name / f"{key}.tif", cells, 20 if len(cells) < ROWS else 10, shift=0.4)

    answer = world.ask(Archive(tmp_path / "items.json", stated).source())

    assert answer.pixels == "copied"
    assert objects(world) == [".tif"]


def test_further_bands_that_a_region_needs_are_read_by_reference_too(files: Files, base: str, tmp_path: Path) -> None:
    name, sensed, values = of_day(DAY)
    values["B05"] = values["B11"][::-1].copy()
    catalogue = tmp_path / "items.json"
    Archive(catalogue, item(files.folder, base, name, sensed=sensed, values=values))
    assets = {"B04": "red", "B08": "nir", "B05": "rededge071"}
    collection = {"id": "s2", "assets": assets, "mask": {"asset": "SCL", "kind": "scl"}}
    aoi = replace(AOI, further=("rededge071",))
    stac, another = (source("", catalogue=str(catalogue), copy=False, collections=[collection]) for _ in range(2))
    ((acquisition,),) = stac.list(aoi, DAY, DAY, NOW).acquisitions.values()
    whole = stac.read(aoi, acquisition)
    reference = stac.reference(aoi, acquisition)
    assert reference is not None
    cells = np.arange(aoi.grid.width * aoi.grid.height)

    with another.open_cells(aoi.grid, acquisition, reference) as reader:
        found = reader.read(cells)

    assert list(found.bands) == list(whole.bands) == ["red", "nir", "rededge071"]
    for band_name, expected in whole.bands.items():
        np.testing.assert_array_equal(found.bands[band_name].ravel(), expected.ravel())


def test_a_process_with_another_source_says_what_to_set(archive: Archive, world: World) -> None:
    world.ask(archive.source())

    with pytest.raises(SettingError, match="set SATFIELDS_SCENE_SOURCE=stac"):
        world.through(SimulatedSource())


def test_the_doctor_says_whether_the_archive_of_scenes_by_reference_can_be_read(
    files: Files, world: World, satctl: Satctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name, sensed, values = of_day(DAY)
    Archive(tmp_path / "items.json", item(files.folder, str(files.folder), name, sensed=sensed, values=values))
    (tmp_path / "stac.toml").write_text(
        'catalogue = "items.json"\ncopy = false\n[[collections]]\nid = "s2"\nmask = { asset = "SCL", kind = "scl" }\n'
        'assets = { B04 = "red", B08 = "nir", B11 = "swir16" }\n'
    )
    world.ask(StacSource.named(str(tmp_path / "stac.toml")))
    monkeypatch.setenv("SATFIELDS_DATABASE_URL", world.engine.url.render_as_string())
    monkeypatch.setenv("SATFIELDS_STORE", world.store.url)

    def found(source: str) -> tuple[str, str]:
        monkeypatch.setenv("SATFIELDS_SCENE_SOURCE", source)
        monkeypatch.setenv("SATFIELDS_STAC", str(tmp_path / "stac.toml"))
        settings.cache_clear()
        said = json.loads(satctl("doctor", "--json", code=1).stdout)["checks"]  # 1: there is no webserver
        return next((one["state"], one["said"]) for one in said if one["check"] == "by reference")

    assert found("stac") == ("ok", "1 scene in 1 active region; the latest of each can be opened")
    assert found("simulated")[0] == "failed"
    assert "set SATFIELDS_SCENE_SOURCE=stac" in found("simulated")[1]
    (files.folder / name / "B08.tif").unlink()
    assert found("stac")[0] == "failed"
    assert "region North: its latest scene can't be opened: " in found("stac")[1]


def test_collection_of_garbage_keeps_the_documents_of_scenes(archive: Archive, world: World) -> None:
    world.close(archive.source())
    world.store.put("scenes/1/nobody's.json", b"{}")

    stored, later = stored_objects(world.store), NOW + timedelta(days=40_000)
    assert unreferenced_objects(world.engine, stored, later) == ["scenes/1/nobody's.json"]
