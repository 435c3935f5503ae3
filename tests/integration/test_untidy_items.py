"""What is wrong with files in a folder, in items of a real API (rustac's): the same pixels, or refused likewise.

Each case is written twice: as files of all bands in a folder, and as items with a file a band.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.warp import transform_bounds
from satcommon.errors import SceneError
from satcommon.geo.grid import Bounds, Grid
from satcommon.raster.layers import Layers
from satcommon.sources import polite_requests
from satcommon.sources.folder import FolderSource
from satcommon.sources.mosaic import mosaic_scene
from satcommon.sources.source import AreaOfInterest, SceneSource
from satcommon.sources.stac import StacSource

from tests.unit.geotiffs import FIRST, LAST, NOW, Raster
from tests.unit.stac_catalogue import Files, api, config

SIDE = 24
UTM = Grid("EPSG:32633", 500_000.0, 5_000_000.0, 10.0, 10.0, SIDE, SIDE)
PRODUCT = "S2B_MSIL2A_20160107T101243_N0509_R022_T33TVL_20240601T150000"
PLAIN = "2016-01-07T101243"
RED, NIR = 603, 3990


def full(value: float, dtype: str = "uint16", blank: int = 0) -> Raster:
    """A band of one value; its first columns are 0."""
    cells = np.full((SIDE, SIDE), value, dtype)
    cells[:, :blank] = 0
    return cells


def land(offset: int = 0, blank: int = 0, **more: Raster) -> dict[str, Raster]:
    return {"B04": full(RED + offset, blank=blank), "B08": full(NIR + offset, blank=blank), **more}


@dataclass(frozen=True)
class Untidy:
    """A file, or an item."""

    name: str = PLAIN
    bands: Mapping[str, Raster] = field(default_factory=land)
    grid: Grid = UTM
    south_up: bool = False
    points: bool = False
    scale: float = 1e-4
    offset: float = 0.0
    nodata: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    stated: Mapping[str, float] | None = None
    folder: str = ""


def write(path: Path, one: Untidy, bands: Mapping[str, Raster]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    transform = one.grid.transform
    if one.south_up:
        transform = transform @ Affine.translation(0, SIDE) @ Affine.scale(1, -1)
        bands = {name: cells[::-1] for name, cells in bands.items()}
    placed = {} if one.points else {"crs": one.grid.crs, "transform": transform}
    stack = np.stack(list(bands.values()))
    shape = {"count": len(stack), "height": SIDE, "width": SIDE, "dtype": stack.dtype}
    with warnings.catch_warnings(), ExitStack() as opened:
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # of what is placed by points
        dataset = opened.enter_context(rasterio.open(path, "w", driver="GTiff", nodata=one.nodata, **shape, **placed))
        dataset.write(stack)
        dataset.descriptions = tuple(bands)
        reflective = [name not in ("scl", "QA60") for name in bands]
        dataset.scales = [one.scale if each else 1.0 for each in reflective]
        dataset.offsets = [one.offset if each else 0.0 for each in reflective]
        dataset.update_tags(**one.tags)
        if one.points:
            corners = ((0, 0), (0, SIDE), (SIDE, 0))
            points = [GroundControlPoint(r, c, UTM.left + 10 * c, UTM.top - 10 * r) for r, c in corners]
            dataset.gcps = points, rasterio.CRS.from_string(UTM.crs)


def item(case: str, one: Untidy, files: Path, base: str) -> dict[str, Any]:
    """An item; its files are written, one a band."""
    assets = {}
    for key, cells in one.bands.items():
        path = Path(case) / one.folder / f"{one.name}_{key}.tif"
        write(files / path, one, {key: cells})
        assets[key] = {"href": f"{base}/{path}"} | ({"raster:bands": [one.stated]} if one.stated else {})
    west, south, east, north = transform_bounds(one.grid.crs, "EPSG:4326", *one.grid.extent)
    west, east = (x - 360 if x > 180 else x for x in (west, east))
    spans = [(west, east)] if west < east else [(west, 180), (-180, east)]
    boxes = [[[[w, south], [e, south], [e, north], [w, north], [w, south]]] for w, e in spans]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": one.name,
        "collection": case,
        "geometry": {"type": "MultiPolygon", "coordinates": boxes},
        "bbox": [west, south, east, north],
        "properties": {"datetime": "2016-01-07T10:12:43Z", **one.properties},
        "links": [],
        "assets": assets,
    }


def halves() -> list[Untidy]:
    """One pass and tile in two products, each 0 where the other has data."""
    made = []
    for time, rows in (("150000", slice(0, 14)), ("150512", slice(14, SIDE))):
        bands = {name: np.zeros_like(cells) for name, cells in land(1000).items()}
        for name, cells in land(1000).items():
            bands[name][rows] = cells[rows]
        name = PRODUCT.replace("150000", time)
        made.append(Untidy(name, bands, offset=-0.1, nodata=0))
    return made


def two_levels() -> list[Untidy]:
    lower = PRODUCT.replace("L2A", "L1C").replace("N0509", "N0511")
    return [Untidy(lower, land(1200), offset=-0.1), Untidy(PRODUCT, land(1000), offset=-0.1)]


# The second raster begins where the first ends, and reaches over the antimeridian, in the UTM zone west of it.
FIJI = Grid("EPSG:32760", 816_000.0, 8_142_200.0, 100.0, 100.0, SIDE, SIDE)
FIJI_EAST = replace(FIJI, left=FIJI.left + 100.0 * SIDE)
ACROSS = replace(FIJI, left=FIJI.left + 1200.0, width=2 * SIDE - 12)
DEGREES = Grid("EPSG:4326", 299.9, -33.9, 0.001, 0.001, SIDE, SIDE)
HLS = Grid("EPSG:32620", 499_980.0, -3_800_000.0, 30.0, 30.0, SIDE, SIDE)
NAMED = {"red": full(RED), "nir": full(NIR)}
APPLIED = {"earthsearch:boa_offset_applied": True, "s2:processing_baseline": "04.00", "platform": "sentinel-2b"}
LANDSAT = "LC08_L2SP_190028_20160107_20200907_02_T1"
FLOATS = {"B04": full(0.06, "float32"), "B08": full(0.4, "float32")}
CLOUDY = full(4, blank=3)
CLOUDY[:, 3:8] = 9

TAKEN: dict[str, list[Untidy]] = {
    "microseconds": [
        Untidy(bands=NAMED, properties={"datetime": "2016-01-07T10:12:43.123456Z", "platform": "landsat-8"})
    ],
    "split_granules": halves(),
    "earth_search_applied": [Untidy("S2B_33TVL_20160107_0_L2A", properties=APPLIED, stated={"offset": -0.1})],
    "not_applied": [
        Untidy(
            "S2B_33TVL_20160107_0_L2A",
            land(1000),
            properties=APPLIED | {"earthsearch:boa_offset_applied": False},
            stated={"offset": -0.1},
        )
    ],
    "antimeridian": [
        Untidy("2016-01-07T221243_west", grid=FIJI, properties={"datetime": "2016-01-07T22:12:43Z"}),
        Untidy("2016-01-07T221243_east", grid=FIJI_EAST, properties={"datetime": "2016-01-07T22:12:43Z"}),
    ],
    "longitudes_to_360": [Untidy(grid=DEGREES)],
    "zeros_in_floats": [
        Untidy(bands={"B04": full(0.06, "float32", 7), "B08": full(0.4, "float32", 7)}, scale=1.0),
    ],
    "zeros_in_one_band": [Untidy(bands=land(B11=full(2000, blank=7)))],
    "zeros_in_red": [Untidy(bands=land() | {"B04": full(RED, blank=7)})],
    "qa60": [Untidy(bands=land(QA60=full(1024, blank=15)))],
    "l1c_and_l2a": two_levels(),
    "south_up": [Untidy(bands=land(scl=CLOUDY), south_up=True)],
    "landsat_nir08": [
        Untidy(
            LANDSAT,
            {"B4": full(9455), "nir08": full(21818)},
            scale=2.75e-5,
            offset=-0.2,
            properties={"datetime": "2016-01-07T10:12:43.024Z", "platform": "landsat-8"},
        )
    ],
    "hls_name": [Untidy("HLS.S30.T20HNJ.2016007T141043.v2.0", grid=HLS, tags={"SENSING_TIME": "2016-01-07T14:20:36Z"})],
    "baseline_in_folder_with_offset": [Untidy(PLAIN, land(1000), folder=f"{PRODUCT}.SAFE", offset=-0.1)],
}
REFUSED: dict[str, tuple[Untidy, str]] = {
    "baseline_in_folder": (Untidy(folder=f"{PRODUCT}.SAFE"), "baseline 05.09 has a reflectance offset of -0.1; set it"),
    "baseline_in_lower_case": (Untidy(PRODUCT.lower()), "baseline 05.09 has a reflectance offset of -0.1; set it"),
    "baseline_in_tag": (
        Untidy(tags={"PROCESSING_BASELINE": "05.09", "PLATFORM": "Sentinel-2B"}),
        "baseline 05.09 has a reflectance offset of -0.1; set it",
    ),
    "baseline_in_item": (
        Untidy(properties={"s2:processing_baseline": "05.09", "platform": "sentinel-2b"}),
        "baseline 05.09 has a reflectance offset of -0.1; set it",
    ),
    "two_baselines": (
        Untidy(folder=f"{PRODUCT}.SAFE", properties={"s2:processing_baseline": "04.00"}, offset=-0.1),
        "correct the one that is wrong",
    ),
    "celsius": (Untidy(bands=FLOATS | {"lwir11": full(22.8, "float32")}, scale=1.0), "expected kelvin, 170 to 375"),
    "offset_twice": (Untidy(offset=-0.1), "an offset of reflectance is applied that the values have in them already"),
    "integers_without_scale": (Untidy(scale=1.0), "set its scale and offset"),
    "points": (Untidy(points=True), "is placed by 3 ground control points (in EPSG:32633), not by a geotransform"),
}
BAND_OF = {
    "red": "red",
    "nir": "nir",
    "B04": "red",
    "B4": "red",
    "B08": "nir",
    "nir08": "nir",
    "B11": "swir16",
    "lwir11": "lwir11",
}
MASKS = {"QA60": "qa60", "scl": "scl"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The folder of all cases as files, and the address of the API that has them as items."""
    root = tmp_path_factory.mktemp("untidy")
    files = Files(root / "files")
    cases = TAKEN | {name: [one] for name, (one, _) in REFUSED.items()}
    polite_requests.forget_circuits()
    with files.served() as base:
        made = [item(case, one, files.folder, base) for case, ones in cases.items() for one in ones]
        for case, ones in cases.items():
            for one in ones:
                path = root / "folder" / case / one.folder / f"{one.name}.tif"
                write(path, one, one.bands)
                beside = {"properties": {"datetime": "2016-01-07T10:12:43Z", **one.properties}, "assets": {}}
                if one.stated:
                    beside["assets"] = {"data": {"href": path.name, "raster:bands": [one.stated] * len(one.bands)}}
                path.with_suffix(".json").write_text(json.dumps(beside))
        with api(root / "api", made) as url:
            yield root / "folder", url


def stac(case: str, url: str, *, copy: bool) -> StacSource:
    keys = (TAKEN.get(case) or [REFUSED[case][0]])[0].bands
    mask = next((key for key in keys if key in MASKS), None)
    collection: dict[str, Any] = {"id": case, "assets": {key: BAND_OF[key] for key in keys if key in BAND_OF}}
    if mask:
        collection["mask"] = {"asset": mask, "kind": MASKS[mask]}
    return StacSource(config(url, collections=[collection], copy=copy))


def area(case: str) -> AreaOfInterest:
    first = (TAKEN.get(case) or [REFUSED[case][0]])[0]
    grid = ACROSS if case == "antimeridian" else first.grid
    grid = replace(grid, left=grid.left - 360) if case == "longitudes_to_360" else grid
    return AreaOfInterest("North", Bounds(*transform_bounds(grid.crs, "EPSG:4326", *grid.extent)), grid)


def scene_of(source: SceneSource, aoi: AreaOfInterest) -> tuple[list[Any], Layers]:
    """The acquisitions of the day's scene, and its pixels."""
    listing = source.list(aoi, FIRST, LAST, NOW)
    assert listing.refused == {}
    ((_, acquisitions),) = listing.acquisitions.items()
    scene = mosaic_scene(source, aoi, acquisitions)
    assert scene is not None
    return list(scene.items), scene.layers


def why(source: SceneSource, aoi: AreaOfInterest) -> str:
    """Why the one acquisition is refused, be it when it is listed or read."""
    listing = source.list(aoi, FIRST, LAST, NOW)
    if listing.refused:
        return next(iter(listing.refused.values()))
    ((acquisition,),) = listing.acquisitions.values()
    with pytest.raises(SceneError) as caught:
        source.read(aoi, acquisition)
    return str(caught.value)


def same(one: Layers, other: Layers) -> bool:
    return np.array_equal(one.classes.ravel(), other.classes.ravel()) and all(
        np.array_equal(one.bands[band].ravel(), other.bands[band].ravel()) for band in one.bands.keys() | other.bands
    )


@pytest.mark.parametrize("copy", [True, False], ids=["copied", "by reference"])
@pytest.mark.parametrize("case", TAKEN)
def test_an_item_gives_the_pixels_of_the_same_file_in_a_folder(case: str, copy: bool, served: tuple[Path, str]) -> None:
    folder, url = served
    aoi, source = area(case), stac(case, url, copy=copy)

    _, by_folder = scene_of(FolderSource(folder / case), aoi)
    acquisitions, by_stac = scene_of(source, aoi)

    assert same(by_folder, by_stac)
    assert by_stac.bands["red"].any()
    everywhere = np.arange(aoi.grid.width * aoi.grid.height)
    for acquisition in acquisitions:
        reference = source.reference(aoi, acquisition)
        assert (reference is None) is copy
        if reference is not None:
            with source.open_cells(aoi.grid, acquisition, reference) as cells:
                assert same(cells.read(everywhere), source.read(aoi, acquisition))


@pytest.mark.parametrize("copy", [True, False], ids=["copied", "by reference"])
@pytest.mark.parametrize("case", REFUSED)
def test_an_item_is_refused_for_what_the_same_file_in_a_folder_is(
    case: str, copy: bool, served: tuple[Path, str]
) -> None:
    folder, url = served
    one, told = REFUSED[case]

    assert told in why(FolderSource(folder / case), area(case))
    refusal = why(stac(case, url, copy=copy), area(case))
    assert told in refusal
    assert refusal.startswith(f"{case}/{one.name}: ")
    assert "satfields.toml" not in refusal


def test_a_region_across_the_antimeridian_is_searched_on_either_side(served: tuple[Path, str]) -> None:
    aoi = area("antimeridian")
    assert aoi.bounds.west > aoi.bounds.east

    acquisitions, layers = scene_of(stac("antimeridian", served[1], copy=True), aoi)

    assert {each.item_id for each in acquisitions} == {f"antimeridian/{one.name}" for one in TAKEN["antimeridian"]}
    assert layers.classes.all()


def catalogue_of(tmp_path: Path, one: dict[str, Any], collection: dict[str, Any]) -> StacSource:
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [one]}))
    content = {"catalogue": str(path), "collections": [collection]}
    return StacSource(config("", **content))


PLAIN_COLLECTION = {"id": "one", "assets": {"B04": "red", "B08": "nir"}}


def test_an_asset_of_several_bands_is_refused(tmp_path: Path) -> None:
    one = item("one", Untidy(), tmp_path, str(tmp_path))
    write(tmp_path / "one" / f"{PLAIN}_B04.tif", Untidy(), land())

    assert "one/2016-01-07T101243: asset B04: holds 2 bands, and " in why(
        catalogue_of(tmp_path, one, PLAIN_COLLECTION), area("split_granules")
    )


def test_a_mask_beside_an_asset_that_another_asset_names_is_refused(tmp_path: Path) -> None:
    one = item("one", Untidy(), tmp_path, str(tmp_path))
    one["assets"]["validity"] = {"href": one["assets"]["B08"]["href"] + ".msk"}

    assert "asset B08: has a mask in a file beside it, asset validity; only a mask within the file is read" in why(
        catalogue_of(tmp_path, one, PLAIN_COLLECTION), area("split_granules")
    )


def test_descriptions_that_are_not_utf_8_do_no_harm_where_assets_name_the_bands(tmp_path: Path) -> None:
    one = item("one", Untidy(), tmp_path, str(tmp_path))
    path = tmp_path / "one" / f"{PLAIN}_B04.tif"
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("rötlich",)
    path.write_bytes(path.read_bytes().replace("rötlich".encode(), b"r\xf6tlich "))

    _, layers = scene_of(catalogue_of(tmp_path, one, PLAIN_COLLECTION), area("split_granules"))

    assert (layers.bands["red"] == RED + 1000).all()
    assert (
        date(2016, 1, 7)
        in catalogue_of(tmp_path, one, PLAIN_COLLECTION).list(area("split_granules"), FIRST, LAST, NOW).acquisitions
    )
