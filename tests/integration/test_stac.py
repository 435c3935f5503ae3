"""Imagery from a STAC API through ingest, realtime and replay: the rows of the same imagery in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from satcommon.sources import polite_requests
from satcommon.sources.folder import FolderSource
from satcommon.sources.stac import StacSource
from satcommon.sources.stac_config import StacConfig, profiles

from tests.integration.stac_world import DAYS, WHOLE, World, of_day
from tests.unit.archives import ARCHIVES, LANDSAT, Archive, stated
from tests.unit.geotiffs import write
from tests.unit.stac_catalogue import ROWS, Files, api, item, source

BANDS = {"B04": "red", "B08": "nir", "B11": "swir16", "SCL": "scl"}


@pytest.fixture(autouse=True)
def closed_circuits() -> Iterator[None]:
    polite_requests.forget_circuits()
    yield
    polite_requests.forget_circuits()


def test_the_rows_are_those_of_the_same_scenes_in_a_folder(tmp_path: Path) -> None:
    files = Files(tmp_path / "files")
    scale = dict.fromkeys(("red", "nir", "swir16"), 1e-4)
    stated = {"scale": scale, "offset": dict.fromkeys(scale, -0.1), "nodata": 0}
    for day in DAYS:
        name, _, values = of_day(day)
        fine = {key: cells.repeat(ROWS // len(cells), 0).repeat(ROWS // len(cells), 1) for key, cells in values.items()}
        bands = {BANDS[key]: cells.astype(np.uint16) for key, cells in fine.items()}
        write(tmp_path / "folder" / f"{name}.tif", bands, grid=WHOLE, **stated)
    by_folder, by_stac = World(tmp_path / "a"), World(tmp_path / "b")

    by_folder.close(FolderSource(tmp_path / "folder"))
    with files.served() as base:
        items = [item(files.folder, base, n, sensed=t, values=v, baseline="") for n, t, v in map(of_day, DAYS)]
        with api(tmp_path / "api", items) as url:
            by_stac.close(source(url))

    told = ["item_ids", "scene_digest"]  # the same pixels of items that are called otherwise
    for one, other in zip(by_stac.days(), by_folder.days(), strict=True):
        assert one.num_rows == 2
        assert one["ndvi_mean"].null_count == 0
        assert one.drop_columns(told).equals(other.drop_columns(told))


@pytest.mark.parametrize("low_first", [True, False], ids=["older baseline first", "newer baseline first"])
def test_two_baselines_end_in_the_same_bytes_whichever_arrived_first(low_first: bool, tmp_path: Path) -> None:
    files = Files(tmp_path / "files")
    name, sensed, values = of_day(DAYS[1])
    older = {key: cells if key == "SCL" else cells - 1100 for key, cells in values.items()}  # slightly darker
    worlds = World(tmp_path / "revised"), World(tmp_path / "fresh")

    catalogue = tmp_path / "items.json"
    stac = source("", catalogue=str(catalogue))

    def has(*items: dict[str, Any]) -> None:
        catalogue.write_text(json.dumps({"type": "FeatureCollection", "features": items}))

    with files.served() as base:
        others = [item(files.folder, base, n, sensed=t, values=v) for n, t, v in map(of_day, (DAYS[0], DAYS[2]))]
        new = item(files.folder, base, f"{name}_new", sensed=sensed, values=values, baseline="05.00")
        old = item(files.folder, base, f"{name}_old", sensed=sensed, values=older, baseline="02.14")
        for asset in old["assets"].values():
            asset.get("raster:bands", [{}])[0]["offset"] = 0.0
        has(*others, old if low_first else new)
        worlds[0].close(stac)
        before = worlds[0].canonical()
        has(*others, new, old)
        worlds[0].correct(stac, DAYS[1])
        worlds[1].close(source("", catalogue=str(catalogue)))

    assert worlds[0].canonical() == worlds[1].canonical()
    assert (before == worlds[0].canonical()) is not low_first


HLS = next(archive for archive in ARCHIVES if archive.collection == "HLSS30_2.0")
LANDSAT_8 = next(archive for archive in ARCHIVES if archive.profile == "landsatlook")


def made(at: str) -> dict[str, Any]:
    return {"platform": None, "created": f"{at}T00:00:00Z", "updated": f"{at}T00:00:00Z"}


FINAL_HLS = HLS._replace(properties=made("2016-01-11"))
LOW_LATENCY = HLS._replace(item_id=f"{HLS.item_id}.LL", properties=made("2016-01-08"), red=600)  # its id sorts last
REAL_TIME = LANDSAT_8._replace(
    item_id="LC08_L2SP_191028_20160107_20210101_02_RT_SR",
    properties=LANDSAT | {"landsat:collection_category": "RT", "landsat:product_generated": "2021-01-01T00:00:00Z"},
    red=9200,
)


class Shipped:
    """A catalogue that a shipped profile reads, and that is a file of items."""

    def __init__(self, profile: str, folder: Path) -> None:
        self.profile, self.path, self.files = profile, folder / "items.json", Files(folder / "files")

    def has(self, base: str, *archives: Archive) -> StacSource:
        items = [stated(archive, self.files, base) for archive in archives]
        self.path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
        shipped = profiles()[self.profile].model_dump(by_alias=True, exclude={"endpoint", "signing"})
        return StacSource(StacConfig.model_validate(shipped | {"catalogue": str(self.path)}))


@pytest.mark.parametrize("final_first", [False, True], ids=["provisional first", "final first"])
@pytest.mark.parametrize(
    ("provisional", "final"),
    [(LOW_LATENCY, FINAL_HLS), (REAL_TIME, LANDSAT_8)],
    ids=["HLS of low latency, processed earlier", "Landsat in real time, processed later"],
)
def test_a_provisional_and_a_final_item_end_in_the_same_bytes_whichever_came_first(
    provisional: Archive, final: Archive, final_first: bool, tmp_path: Path
) -> None:
    worlds = World(tmp_path / "revised"), World(tmp_path / "fresh")
    catalogue = Shipped(final.profile, tmp_path)

    with catalogue.files.served() as base:
        worlds[0].close(catalogue.has(base, final if final_first else provisional))
        before = worlds[0].canonical()
        worlds[0].correct(catalogue.has(base, provisional, final), DAYS[0])
        worlds[1].close(catalogue.has(base, final, provisional))

    after = worlds[0].canonical()
    assert after == worlds[1].canonical()
    assert (before == after) is final_first
    assert worlds[0].days()[0]["red_mean"].to_pylist() == [pytest.approx(0.05, abs=1e-4)] * 2  # the final item's


def test_a_final_item_that_takes_the_place_of_one_of_low_latency_under_its_id_is_a_revision(tmp_path: Path) -> None:
    worlds = World(tmp_path / "revised"), World(tmp_path / "fresh")
    catalogue = Shipped("hls", tmp_path)

    with catalogue.files.served() as base:
        worlds[0].close(catalogue.has(base, LOW_LATENCY._replace(item_id=FINAL_HLS.item_id)))
        before = worlds[0].canonical()
        source = catalogue.has(base, FINAL_HLS)
        worlds[0].correct(source, DAYS[0])
        worlds[1].close(source)

    assert before != worlds[0].canonical() == worlds[1].canonical()
