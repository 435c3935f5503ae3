"""What is declared of a file in two places: one rule says which counts, or the file is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from satcommon.sources.folder import FolderSource

from tests.unit.geotiffs import AOI, NAME, full, items, listed, only, write

PRODUCT = "S2B_MSIL2A_20160107T101243_N0509_R022_T33TVL_20240601T150000"
STACK = "T33TVL_20160107T101243_stack"


def item(path: Path, bands: list[dict[str, Any]] | None = None, id: str = "", **properties: Any) -> None:  # noqa: A002 - STAC's key
    assets = {"data": {"href": path.with_suffix(".tif").name, "raster:bands": bands}} if bands else {}
    told = {"datetime": "2016-01-07T10:12:43Z", **properties}
    path.with_suffix(".json").write_text(json.dumps({"id": id, "properties": told, "assets": assets}))


def red_of(folder: Path) -> int:
    return int(FolderSource(folder).read(AOI, only(folder)).bands["red"][0, 0])


@pytest.mark.parametrize(
    ("name", "properties", "tags"),
    [
        (f"{PRODUCT}.tif", None, {}),
        (f"{PRODUCT.lower()}.tif", None, {}),
        (f"{PRODUCT}.SAFE/{STACK}.tif", None, {}),
        (f"{PRODUCT.lower()}.safe/GRANULE/{STACK}.tif", None, {}),
        (f"N0400/{STACK}.tif", None, {}),
        (f"{STACK}.tif", None, {"PROCESSING_BASELINE": "05.09"}),
        (f"{STACK}.tif", None, {"PROCESSING_BASELINE": "05.09", "PLATFORM": "Sentinel-2B"}),
        (f"{STACK}.tif", {"s2:processing_baseline": "05.09", "platform": "sentinel-2b"}, {}),
        (f"{STACK}.tif", {"processing:version": "5.09", "platform": "sentinel-2b"}, {}),
        (f"{STACK}.tif", {"s2:product_uri": f"{PRODUCT}.SAFE"}, {}),
        (f"{STACK}.tif", {"id": PRODUCT}, {}),
    ],
)
def test_integers_of_a_baseline_with_an_offset_are_refused_without_it_whoever_tells_the_baseline(
    name: str, properties: dict[str, Any] | None, tags: dict[str, str], tmp_path: Path
) -> None:
    path = write(tmp_path / name, **tags)
    if properties is not None:
        item(path, **properties)

    ((refused, why),) = listed(tmp_path).refused.items()

    assert refused == name
    assert "band red has offset 0 and scale 0.0001, but baseline" in why
    assert "has a reflectance offset of -0.1; set it; where it was taken out of the values, state `offset = 0`" in why
    (tmp_path / "satfields.toml").write_text('[[files]]\nmatch = "*"\noffset = 0\n')
    assert red_of(tmp_path) == 1500


def test_integers_that_floats_hold_are_integers(tmp_path: Path) -> None:
    write(tmp_path / f"{PRODUCT}.tif", {"red": full(500, "float32"), "nir": full(4000, "float32")})

    assert "baseline 05.09 has a reflectance offset" in listed(tmp_path).refused[f"{PRODUCT}.tif"]


@pytest.mark.parametrize("offset", [0.1, -0.2])
def test_another_offset_than_the_baseline_s_is_refused(offset: float, tmp_path: Path) -> None:
    write(tmp_path / f"{PRODUCT}.tif", offset=offset)

    assert f"has offset {offset:g} and scale 0.0001" in listed(tmp_path).refused[f"{PRODUCT}.tif"]


def test_an_offset_of_a_baseline_that_has_none_is_refused_unless_its_owner_states_it(tmp_path: Path) -> None:
    name = PRODUCT.replace("N0509", "N0209") + ".tif"
    write(tmp_path / name, {"red": full(1500), "nir": full(4000)}, offset=-0.1)

    assert "baseline 02.09 has none, since Sentinel-2 has one from 04.00 on" in listed(tmp_path).refused[name]
    (tmp_path / "satfields.toml").write_text('[[files]]\nmatch = "*"\noffset = -0.1\n')
    assert red_of(tmp_path) == 1500


def test_landsat_s_scale_without_its_offset_is_refused(tmp_path: Path) -> None:
    name = "LC08_L2SP_190028_20160107_20200907_02_T1.tif"
    raw = {"red": full(8364), "nir": full(18182)}
    write(tmp_path / name, raw, scale=2.75e-5, TIFFTAG_DATETIME="2016:01:07 09:51:00")

    assert "Landsat Collection 2 has offset -0.2 with this scale" in listed(tmp_path).refused[name]
    write(tmp_path / name, raw, scale=2.75e-5, offset=-0.2, TIFFTAG_DATETIME="2016:01:07 09:51:00")
    assert red_of(tmp_path) == 1300


@pytest.mark.parametrize(
    ("name", "properties", "tags"),
    [
        (f"N0400/{PRODUCT}.tif", {}, {}),
        (f"{PRODUCT}.tif", {}, {"PROCESSING_BASELINE": "05.10"}),
        (f"{PRODUCT}.tif", {"s2:processing_baseline": "05.10"}, {}),
        (f"{PRODUCT}.SAFE/{STACK}.tif", {"s2:processing_baseline": "03.00"}, {}),
        (f"{STACK}.tif", {"s2:processing_baseline": "05.09"}, {"PROCESSING_BASELINE": "04.00"}),
        (f"{STACK}.tif", {"s2:processing_baseline": "05.09", "id": PRODUCT.replace("N0509", "N0400")}, {}),
    ],
)
def test_two_baselines_of_one_file_are_refused(
    name: str, properties: dict[str, Any], tags: dict[str, str], tmp_path: Path
) -> None:
    path = write(tmp_path / name, offset=-0.1, **tags)
    if properties:
        item(path, **properties)

    assert " says baseline " in listed(tmp_path).refused[name]


APPLIED = "earthsearch:boa_offset_applied"
OFFSET = [{"scale": 1e-4, "offset": -0.1}] * 2


@pytest.mark.parametrize(
    ("bands", "properties"),
    [
        (OFFSET, {"s2:processing_baseline": "04.00", APPLIED: True}),
        ([{"scale": 1e-4, "offset": 0}] * 2, {"s2:processing_baseline": "04.00", APPLIED: True}),
        ([{"scale": 1e-4}] * 2, {"s2:processing_baseline": "04.00", APPLIED: True}),
        (OFFSET, {APPLIED: True}),
        ([{"scale": 1e-4, "offset": 0}] * 2, {"s2:processing_baseline": "03.01", APPLIED: False}),
    ],
)
def test_an_offset_that_an_item_says_is_applied_is_not_applied_again(
    bands: list[dict[str, Any]], properties: dict[str, Any], tmp_path: Path
) -> None:
    item(write(tmp_path / NAME, scale=1.0), bands, platform="sentinel-2b", **properties)

    assert red_of(tmp_path) == 1500


def test_an_offset_that_is_not_applied_is_applied(tmp_path: Path) -> None:
    properties = {"s2:processing_baseline": "04.00", APPLIED: False}
    raw = {"red": full(1500), "nir": full(4000)}
    item(write(tmp_path / NAME, raw, scale=1.0), OFFSET, platform="sentinel-2b", **properties)

    assert red_of(tmp_path) == 1500


@pytest.mark.parametrize(
    ("bands", "properties", "told"),
    [
        (
            [{"scale": 1e-4}] * 2,
            {"s2:processing_baseline": "04.00", APPLIED: False},
            "baseline 04.00 has a reflectance",
        ),
        ([{"scale": 1e-4, "offset": 0}] * 2, {"s2:processing_baseline": "05.09"}, "baseline 05.09 has a"),
        ([{"scale": 1e-4}] * 2, {APPLIED: False}, "boa_offset_applied is false, and no baseline tells"),
        (OFFSET, {"s2:processing_baseline": "03.01", APPLIED: False}, "baseline 03.01 has none"),
    ],
)
def test_an_offset_that_is_neither_applied_nor_stated_is_refused(
    bands: list[dict[str, Any]], properties: dict[str, Any], told: str, tmp_path: Path
) -> None:
    item(write(tmp_path / NAME, scale=1.0), bands, platform="sentinel-2b", **properties)

    assert told in listed(tmp_path).refused[NAME]


def test_an_offset_of_the_file_s_own_is_refused_where_the_item_says_that_it_is_applied(tmp_path: Path) -> None:
    item(write(tmp_path / NAME, offset=-0.1), platform="sentinel-2b", **{APPLIED: True})

    assert "boa_offset_applied is true, so expected is 0" in listed(tmp_path).refused[NAME]


@pytest.mark.parametrize(
    ("name", "properties", "tags", "told"),
    [
        (PRODUCT, {"platform": "sentinel-2a"}, {}, "the name says platform sentinel-2b, the STAC item beside it"),
        (PRODUCT, {}, {"PLATFORM": "landsat-8"}, "the name says platform sentinel-2b, tag PLATFORM landsat-8"),
        (PRODUCT, {"s2:product_type": "S2MSI1C"}, {}, "two processing levels"),
        (f"{PRODUCT.replace('L2A', 'L1C')}.SAFE/S2B_33TVL_20160107T101243_0_L2A", {}, {}, "two processing levels"),
    ],
)
def test_two_satellites_or_levels_of_one_file_are_refused(
    name: str, properties: dict[str, Any], tags: dict[str, str], told: str, tmp_path: Path
) -> None:
    path = write(tmp_path / f"{name}.tif", offset=-0.1, **tags)
    if properties:
        item(path, **properties)

    assert told in listed(tmp_path).refused[f"{name}.tif"]


def test_satellites_of_one_moment_that_only_names_tell_are_not_one_platform(tmp_path: Path) -> None:
    write(tmp_path / f"{PRODUCT}.tif", offset=-0.1)
    write(tmp_path / "LC08_L2SP_190028_20160107_20200907_02_T1.tif", TIFFTAG_DATETIME="2016:01:07 09:51:00")

    assert {one.platform for one in items(tmp_path)} == {"sentinel-2b", "landsat-8"}
