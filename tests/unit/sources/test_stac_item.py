import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from satcommon.errors import SceneError
from satcommon.raster.declared import DeclaredBand
from satcommon.sources.folder import FolderSource
from satcommon.sources.stac_item import parse, parse_item

from tests.unit.geotiffs import AOI, FIRST, LAST, NAME, NOW, full, listed, only, write

BESIDE = NAME.replace(".tif", ".json")
PROPERTIES: dict[str, Any] = {
    "datetime": "2016-01-07T11:12:50.024+01:00",
    "platform": "sentinel-2a",
    "s2:processing_baseline": "05.00",
    "s2:datatake_id": "GS2A_20160107T101243_002840_N05.00",
    "grid:code": "MGRS-33TVL",
    "s2:tile_id": "S2A_OPER_MSI_L2A_TL_EPA__20160107T153021_A002840_T33TVL_N05.00",
    "created": "2016-01-08T01:00:00Z",
    "published": "2016-01-08T02:00:00Z",
}
BANDS = [{"scale": 1e-4, "offset": -0.1, "nodata": 0}, {"scale": 1e-4, "offset": -0.1, "nodata": "nan"}]


def stac(assets: dict[str, Any] | None = None, **properties: Any) -> str:
    return json.dumps({"type": "Feature", "properties": PROPERTIES | properties, "assets": assets or {}})


def test_what_an_item_says_stands_above_tags_and_names(tmp_path: Path) -> None:
    write(tmp_path / NAME, offset=-0.1, PLATFORM="other", TIFFTAG_DATETIME="2020:01:01 00:00:00")
    (tmp_path / BESIDE).write_text(stac())

    item = only(tmp_path)

    assert item.sensed_at == datetime(2016, 1, 7, 10, 12, 50, 24_000, UTC)
    assert (item.platform, item.baseline, item.tile) == ("sentinel-2a", "05.00", "T33TVL")
    assert item.overpass == "GS2A_20160107T101243_002840"
    assert item.published_at == datetime(2016, 1, 8, 2, tzinfo=UTC)


def test_a_file_without_a_time_has_that_of_its_item(tmp_path: Path) -> None:
    write(tmp_path / "north.tif", offset=-0.1)
    span = {"start_datetime": "2016-01-07T10:00:00Z", "end_datetime": "2016-01-07T10:20:00Z"}
    (tmp_path / "north.json").write_text(stac(datetime=None, **span))

    assert only(tmp_path).sensed_at == datetime(2016, 1, 7, 10, 10, tzinfo=UTC)


def test_a_time_finer_than_rows_keep_it_is_rounded_once(tmp_path: Path) -> None:
    write(tmp_path / "north.tif", offset=-0.1)
    (tmp_path / "north.json").write_text(stac(datetime="2016-01-07T09:51:43.123456Z"))

    assert only(tmp_path).sensed_at == datetime(2016, 1, 7, 9, 51, 43, 123_000, UTC)


def test_two_deliveries_of_a_pass_are_one_pass_and_tile() -> None:
    later = "S2A_OPER_MSI_L2A_TL_S2RP_20230401T000000_A002840_T33TVL_N05.10"
    one, two = (
        parse(stac(**changes, **{"grid:code": None}).encode(), "a.json", "a.tif")
        for changes in ({}, {"s2:tile_id": later, "s2:datatake_id": "GS2A_20160107T101243_002840_N05.10"})
    )

    assert (one.overpass, one.tile) == (two.overpass, two.tile) == ("GS2A_20160107T101243_002840", "T33TVL")


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ({"processing:version": "02.14"}, ("05.00", "T33TVL")),
        ({"s2:processing_baseline": None, "processing:version": "02.14"}, ("02.14", "T33TVL")),
        ({"grid:code": "MGRS-4QFJ"}, ("05.00", "T04QFJ")),
        ({"grid:code": "WRS2-190028"}, ("05.00", "WRS2-190028")),
    ],
)
def test_baseline_and_tile_are_told(properties: dict[str, str], told: tuple[str, str]) -> None:
    declared = parse(stac(**properties).encode(), "a.json", "a.tif")

    assert (declared.baseline, declared.tile) == told


@pytest.mark.parametrize(
    "asset",
    [
        {"raster:bands": BANDS},
        {"bands": [{"raster:scale": b["scale"], "raster:offset": b["offset"], "nodata": b["nodata"]} for b in BANDS]},
        {"raster:scale": 1e-4, "raster:offset": -0.1, "nodata": 0},
    ],
)
def test_scale_offset_and_nodata_are_those_of_the_asset_of_the_file(asset: dict[str, Any], tmp_path: Path) -> None:
    red = full(1500)
    red[0, 0] = 0
    write(tmp_path / NAME, {"red": red, "nir": full(4000)}, scale=1.0)
    assets = {"other": {"href": "other.tif", "raster:bands": [{"scale": 5}]}}
    assets["data"] = {"href": f"https://example.org/a%20b/{NAME}?signature=1", **asset}
    (tmp_path / BESIDE).write_text(stac(assets))

    layers = FolderSource(tmp_path).read(AOI, only(tmp_path))

    assert layers.bands["red"][0, :2].tolist() == [0, 1500]
    assert layers.bands["nir"][0, 0] == 4000


@pytest.mark.parametrize(
    ("name", "here", "there"),
    [("offset", 0.0, -0.1), ("scale", 1.0, 1e-4), ("scale", 1.000000001, 1.0), ("nodata", 1, 0)],
)
def test_two_lists_of_bands_that_state_different_numbers_refuse_the_item(name: str, here: float, there: float) -> None:
    key = "nodata" if name == "nodata" else f"raster:{name}"
    asset: dict[str, Any] = {"href": "./a.tif", "raster:bands": [{name: there}], "bands": [{key: here}]}

    with pytest.raises(
        SceneError, match=rf"band 1 of 'a\.tif' has {name} {float(there)} and {float(here)} in its lists"
    ):
        parse(stac({"data": asset}).encode(), "a.json", "a.tif")

    declared, _ = parse_item(json.loads(stac({"data": asset})), "an item", ["data"], scaling=False)
    assert declared.bands == {}
    asset["bands"] = [{key: there}]
    assert getattr(parse(stac({"data": asset}).encode(), "a.json", "a.tif").bands[1], name) == there


def test_an_item_stands_above_a_rule_and_a_rule_above_the_file(tmp_path: Path) -> None:
    write(tmp_path / NAME, {"red": full(1500), "nir": full(4000)}, offset=0.2, PLATFORM="of the file")
    (tmp_path / BESIDE).write_text(stac({"a": {"href": NAME, "raster:bands": [{"offset": -0.1}, {}]}}))
    (tmp_path / "satfields.toml").write_text('[[files]]\nmatch = "*"\nplatform = "of the rule"\noffset = 0.1\n')

    item = only(tmp_path)
    layers = FolderSource(tmp_path).read(AOI, item)

    assert item.platform == "sentinel-2a"
    assert [int(band[0, 0]) for band in layers.bands.values()] == [1500, 4000 + 2000]
    (tmp_path / BESIDE).unlink()
    assert only(tmp_path).platform == "of the rule"


def test_an_item_of_megabytes_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / NAME)
    (tmp_path / BESIDE).write_bytes(b" " * 4_000_001)

    assert f"{BESIDE}: has 4,000,001 bytes; expected text of at most" in listed(tmp_path).refused[NAME]


def test_bands_are_named_by_common_name_or_name() -> None:
    names = [{"name": "B04", "common_name": "red"}, {"name": "B08"}, {"name": "B8A", "eo:common_name": "nir08"}]
    content = stac({"data": {"href": "./a.tif", "eo:bands": names, "raster:bands": [{}, {"scale": 2}]}})

    declared = parse(content.encode(), "a.json", "a.tif")

    assert declared.bands == {1: DeclaredBand("red"), 2: DeclaredBand("nir", 2), 3: DeclaredBand("nir08")}


def test_what_an_item_says_of_the_content_is_part_of_the_digest(tmp_path: Path) -> None:
    write(tmp_path / NAME, offset=-0.1)
    source = FolderSource(tmp_path)

    def digest(content: str | None) -> str:
        if content is not None:
            (tmp_path / BESIDE).write_text(content)
        ((item,),) = source.list(AOI, FIRST, LAST, NOW).acquisitions.values()
        return item.digest

    asset = {"href": NAME, "raster:bands": BANDS}
    other = {"href": NAME, "raster:bands": [BANDS[0] | {"nodata": 1}, BANDS[1]]}
    contents = [None, stac(), stac({"a": asset}), stac({"a": other}), stac(platform="sentinel-2b")]
    digests = [digest(content) for content in contents]

    assert len(set(digests)) == len(contents)
    signed = asset | {"href": f"https://example.org/{NAME}?signature=2"}
    assert digest(stac({"a": signed}, updated="2026-01-01T00:00:00Z", published=None)) == digests[2]


def test_an_item_changed_since_it_was_listed_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / NAME, offset=-0.1)
    item = only(tmp_path)
    (tmp_path / BESIDE).write_text(stac(platform="sentinel-2b"))

    with pytest.raises(SceneError, match=f"{NAME}: is not the file that was listed"):
        FolderSource(tmp_path).read(AOI, item)


@pytest.mark.parametrize(
    ("name", "properties", "told"),
    [
        (
            NAME,
            {"datetime": "2016-01-08T10:00:00Z"},
            "the name says day 2016-01-07, the STAC item beside it 2016-01-08",
        ),
        ("2016-01-07_N0400.tif", {}, "the name says baseline 04.00, the STAC item beside it 05.00"),
        ("2016-01-07_T33TVM.tif", {}, "the name says tile T33TVM, the STAC item beside it T33TVL"),
        (NAME, {"platform": "s\x00"}, r"its platform is 's\x00'; expected at most 100 letters"),
        (NAME, {"platform": "s" * 101}, "expected at most 100 letters"),
    ],
)
def test_an_item_that_can_not_be_the_files_is_refused(
    name: str, properties: dict[str, str], told: str, tmp_path: Path
) -> None:
    write(tmp_path / name)
    (tmp_path / name).with_suffix(".json").write_text(stac(**properties))

    listing = listed(tmp_path)

    assert listing.acquisitions == {}
    assert listing.refused.keys() == {name}
    assert told in listing.refused[name]


def test_a_baseline_may_be_written_in_two_ways(tmp_path: Path) -> None:
    write(tmp_path / "2016-01-07_N0509.tif", offset=-0.1)
    (tmp_path / "2016-01-07_N0509.json").write_text(stac(**{"s2:processing_baseline": "5.09"}))

    assert only(tmp_path).baseline == "5.09"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "the whole: invalid JSON"),
        ("{" * 5000, "the whole: invalid JSON"),
        ("[]", "the whole: expected an object"),
        ("{}", "properties: field required"),
        (stac(datetime="yesterday"), "properties.datetime: expected a valid datetime"),
        (stac(datetime="2016-01-07T10:12:50"), "properties.datetime: expected to have timezone info"),
        (stac(datetime="0001-01-01T00:00:00+23:00"), "properties.datetime: 1 is no year"),
        (stac(datetime=1452161570), "properties.datetime: "),
        (stac(platform=2), "properties.platform: expected a valid string"),
        (stac({"a": {"href": NAME, "raster:bands": [{"scale": "1"}]}}), "assets.a.raster:bands.0.scale: expected"),
        (stac({"a": {"href": NAME, "raster:bands": [{"nodata": "none"}]}}), "assets.a.raster:bands.0.nodata"),
        (stac({"a": {"href": NAME, "raster:bands": [{}, {}, {}]}}), "has 2 bands; 3 are stated beside it"),
        (stac({"a": {"href": NAME, "raster:bands": [{"scale": -1}]}}), "band red is uint16 with scale -1"),
    ],
)
def test_what_is_no_item_is_refused_with_the_file_and_the_others_are_not(
    content: str, told: str, tmp_path: Path
) -> None:
    for folder in ("bad", "good"):
        write(tmp_path / folder / NAME)
    (tmp_path / "bad" / BESIDE).write_text(content)

    listing = listed(tmp_path)

    assert listing.refused.keys() == {f"bad/{NAME}"}
    assert told in listing.refused[f"bad/{NAME}"]
    assert "\n" not in listing.refused[f"bad/{NAME}"]
    ((item,),) = listing.acquisitions.values()
    assert item.item_id == f"good/{NAME}"


def test_an_item_that_is_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text(stac())
    write(tmp_path / "folder" / NAME)
    (tmp_path / "folder" / BESIDE).symlink_to(tmp_path / "secret.json")

    listing = listed(tmp_path / "folder")

    assert listing.acquisitions == {}
    assert f"{BESIDE}: is a pipe, or a link that leads out" in listing.refused[NAME]
