"""Further bands are read where they are wanted; a scene without them is what it was before they were known."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from satcommon.geo.grid import Bounds, Grid
from satcommon.raster.band_names import known_name
from satcommon.raster.cog import encode
from satcommon.raster.layers import ALL_BANDS, BANDS, FURTHER, Layers
from satcommon.raster.scene_reader import SceneReader
from satcommon.settings import Scenario
from satcommon.sources.folder import FolderSource
from satcommon.sources.mosaic import mosaic_scene
from satcommon.sources.simulated import SimulatedSource
from satcommon.sources.source import AreaOfInterest

from tests.unit.geotiffs import AOI, COLUMNS, NAME, ROWS, items, layers_of, write

SENTINEL_2 = {
    "B01": "coastal",
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "rededge071",
    "B06": "rededge075",
    "B07": "rededge078",
    "B08": "nir",
    "B8A": "nir08",
    "B11": "swir16",
    "B12": "swir22",
}
SIX = ["blue", "green", "red", "nir", "swir16", "swir22"]
IOWA = Bounds(-93.7, 41.9, -93.6, 42.0)
FIELDS = AreaOfInterest("Iowa", IOWA, Grid.utm(IOWA, 200))
DAY = date(2026, 7, 1)
WANTING = replace(AOI, further=FURTHER)


def archive(folder: Path, item: bool) -> Path:
    """A file of all of Sentinel-2's bands; its item names them, too."""
    random = np.random.default_rng(7)
    cells = {
        name: random.integers(400 + 150 * i, 700 + 150 * i, (ROWS, COLUMNS)).astype(np.uint16)
        for i, name in enumerate(SENTINEL_2)
    }
    path = write(folder / NAME, cells)
    if item:
        bands = [{"name": name, "eo:common_name": common} for name, common in SENTINEL_2.items()]
        asset = {"href": NAME, "bands": bands}
        stated = {"datetime": "2016-01-07T10:12:43Z"}
        path.with_suffix(".json").write_text(json.dumps({"id": "x", "properties": stated, "assets": {"all": asset}}))
    return folder


def digest(layers: Layers) -> str:
    content = hashlib.sha256(json.dumps(list(layers.bands)).encode())
    for values in (*layers.bands.values(), layers.classes):
        content.update(values.tobytes())
    return content.hexdigest()[:16]


def simulated(aoi: AreaOfInterest, *scenarios: Scenario) -> Layers:
    source = SimulatedSource(scenarios={"*": frozenset(scenarios)} if scenarios else {})
    (listed, *_) = source.list(aoi, DAY, DAY, datetime(2030, 1, 1, tzinfo=UTC)).acquisitions[DAY]
    return source.read(aoi, listed)


@pytest.mark.parametrize("item", [False, True], ids=["by descriptions", "by an item"])
def test_a_file_is_read_as_before_where_no_further_band_is_wanted(item: bool, tmp_path: Path) -> None:
    layers = layers_of(archive(tmp_path, item))

    assert list(layers.bands) == SIX
    assert digest(layers) == "8e227aa1906d4d45"


def test_what_an_item_says_of_bands_that_are_not_wanted_leaves_the_digest_as_it_was(tmp_path: Path) -> None:
    folder = archive(tmp_path, item=True)
    content = hashlib.sha256((folder / NAME).read_bytes()).hexdigest()
    (listed,) = items(folder)
    (wanting,) = items(folder, WANTING)

    assert (
        listed.digest
        == hashlib.sha256(
            f"{content} 4c73f6b0f0f34b8987f2d4323b4c9cf4f8356359a3eb49925db9822901079f62".encode()
        ).hexdigest()
    )
    assert wanting.digest != listed.digest


@pytest.mark.parametrize("item", [False, True], ids=["by descriptions", "by an item"])
def test_further_bands_come_after_the_others_and_change_none_of_them(item: bool, tmp_path: Path) -> None:
    folder = archive(tmp_path, item)
    plain, wanting = layers_of(folder), layers_of(folder, WANTING)
    (one,) = (layers_of(folder, replace(AOI, further=(band,))) for band in ("rededge075",))

    assert list(wanting.bands) == [*SIX, *FURTHER]
    assert list(one.bands) == [*SIX, "rededge075"]
    assert digest(Layers({band: wanting.bands[band] for band in SIX}, wanting.classes)) == digest(plain)
    means = [wanting.bands[common].mean() for common in SENTINEL_2.values()]
    assert means == sorted(means), "each band is the one that its name says"


def test_the_narrow_near_infrared_is_the_near_infrared_of_a_file_without_another(tmp_path: Path) -> None:
    write(tmp_path / NAME, {name: np.full((ROWS, COLUMNS), 3000, np.uint16) for name in ("B04", "B8A")})

    assert list(layers_of(tmp_path, WANTING).bands) == ["red", "nir"]


def test_satfields_toml_may_name_further_bands(tmp_path: Path) -> None:
    cells = [np.full((ROWS, COLUMNS), value, np.uint16) for value in (500, 4000, 1500, 3900)]
    write(tmp_path / NAME, dict(zip(("one", "two", "three", "four"), cells, strict=True)))
    names = '{ 1 = "red", 2 = "nir", 3 = "rededge1", 4 = "B8A" }'
    (tmp_path / "satfields.toml").write_text(f'settle_seconds = 0\n[[files]]\nmatch = "*"\nbands = {names}\n')

    assert list(layers_of(tmp_path).bands) == ["red", "nir"]
    bands = layers_of(tmp_path, WANTING).bands
    assert {name: int(values[0, 0]) for name, values in bands.items()} == {
        "red": 1500,
        "nir": 5000,
        "rededge071": 2500,
        "nir08": 4900,
    }


def test_the_simulated_satellite_sees_what_it_saw_and_further_bands_when_asked() -> None:
    source, now = SimulatedSource(), datetime(2030, 1, 1, tzinfo=UTC)
    scene = mosaic_scene(source, FIELDS, source.list(FIELDS, DAY, DAY, now).acquisitions[DAY])
    layers = simulated(replace(FIELDS, further=FURTHER))

    assert scene is not None
    assert scene.digest == "e3d62039aac884ff898cfdb8d6fd057fc6e0815d3784fe76bd7597394c4dfc5e"
    assert list(layers.bands) == list(ALL_BANDS)
    assert digest(Layers({b: layers.bands[b] for b in BANDS}, layers.classes)) == digest(simulated(FIELDS))
    clear = layers.classes == 1
    edge = [layers.bands[name][clear].mean() for name in ("red", "rededge071", "rededge075", "rededge078", "nir")]
    assert edge == sorted(edge)


@pytest.mark.parametrize("scenario", list(Scenario))
def test_untidy_deliveries_have_further_bands_too(scenario: Scenario) -> None:
    assert list(simulated(replace(FIELDS, further=FURTHER), scenario).bands) == list(ALL_BANDS)


def test_a_scene_keeps_further_bands(tmp_path: Path) -> None:
    source, aoi = FolderSource(archive(tmp_path / "in", item=False)), replace(AOI, further=("rededge071", "nir08"))
    scene = mosaic_scene(source, aoi, items(tmp_path / "in", aoi))
    assert scene is not None
    (tmp_path / "scene.tif").write_bytes(encode(scene, AOI.grid, date(2016, 1, 7)))

    with SceneReader(tmp_path / "scene.tif") as reader:
        found = reader.gather(np.arange(4))

    assert reader.bands == (*SIX, "rededge071", "nir08")
    assert found["rededge071"].tolist() == scene.layers.bands["rededge071"].ravel()[:4].tolist()


@pytest.mark.parametrize(
    ("text", "platform", "name"),
    [
        ("B05", "sentinel-2a", "rededge071"),
        ("B5", "landsat-8", "nir"),
        ("B1", "landsat-8", "coastal"),
        ("B1", "landsat-7", "blue"),
        ("B06", "hls-s30", "rededge075"),
        ("B06", "hls-l30", "swir16"),
        ("B8A", "sentinel-2b", "nir08"),
        ("rededge3", "", "rededge078"),
        ("rededge", "", None),
        ("B09", "sentinel-2b", None),
    ],
)
def test_names_of_archives_stand_for_further_bands(text: str, platform: str, name: str | None) -> None:
    assert known_name(text, platform) == name
