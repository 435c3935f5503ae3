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

from tests.integration.stac_world import DAYS, WHOLE, World, of_day
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
