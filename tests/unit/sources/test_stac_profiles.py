"""Items as each archive writes them (`archives`), read by the profile that ships."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from satcommon.raster.layers import PixelClass
from satcommon.raster.product import Tier
from satcommon.sources import polite_requests
from satcommon.sources.mosaic import mosaic_scene
from satcommon.sources.stac import StacSource
from satcommon.sources.stac_config import StacConfig, profiles

from tests.unit.archives import ARCHIVES, LANDSAT, LC08, Archive, stated
from tests.unit.geotiffs import AOI, FIRST, LAST, NOW
from tests.unit.stac_catalogue import Files

DAY = date(2016, 1, 7)


@pytest.fixture(autouse=True)
def closed_circuits() -> Iterator[None]:
    polite_requests.forget_circuits()
    yield
    polite_requests.forget_circuits()


def opened(profile: str, tmp_path: Path, *items: dict[str, Any]) -> StacSource:
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(items)}))
    shipped = profiles()[profile].model_dump(by_alias=True, exclude={"endpoint", "signing"})
    return StacSource(StacConfig.model_validate(shipped | {"catalogue": str(path)}))


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: f"{archive.profile}-{archive.collection}")
def test_an_item_as_the_archive_writes_it_gives_reflectance_and_classes(archive: Archive, tmp_path: Path) -> None:
    files = Files(tmp_path / "files")
    with files.served() as base:
        stac = opened(archive.profile, tmp_path, stated(archive, files, base))
        listing = stac.list(AOI, FIRST, LAST, NOW)
        assert listing.refused == {}
        ((acquisition,),) = listing.acquisitions.values()
        layers = stac.read(AOI, acquisition)

    reflectance = layers.bands["red"] * 1e-4 - 0.1
    np.testing.assert_allclose(reflectance, 0.05, atol=1e-4)
    assert set(layers.bands) >= {"blue", "green", "red", "nir", "swir16", "swir22"}
    assert (layers.classes == PixelClass.CLEAR).all()
    assert acquisition.tile == archive.tile


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_tier_1_lies_over_the_real_time_scene_of_the_same_pass(order: tuple[int, int], tmp_path: Path) -> None:
    files = Files(tmp_path / "files")
    landsat = next(one for one in ARCHIVES if one.profile == "landsatlook")
    real_time = landsat._replace(
        item_id="LC08_L2SP_191028_20160107_20210101_02_RT_SR",  # processed last: only the tier can decide
        properties=LANDSAT | {"landsat:collection_category": "RT", "landsat:product_generated": "2021-01-01T00:00:00Z"},
        red=9200,
    )
    with files.served() as base:
        items = [stated(each, files, base) for each in (real_time, landsat)]
        stac = opened("landsatlook", tmp_path, *(items[n] for n in order))
        acquisitions = stac.list(AOI, FIRST, LAST, NOW).acquisitions[DAY]
        scene = mosaic_scene(stac, AOI, acquisitions)

    assert scene is not None
    assert [(each.tier, each.item_id) for each in scene.items] == [(Tier.TIER_1, f"landsat-c2l2-sr/{LC08}_SR")]
    assert len({(each.overpass, each.tile) for each in acquisitions}) == 1
