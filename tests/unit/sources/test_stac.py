"""The source `stac`: items as acquisitions, their files read in place, and what is refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pytest
from satcommon.errors import RadiometricError, SceneError, SettingError, StoreError
from satcommon.geo.grid import Grid
from satcommon.raster.scene import Acquisition
from satcommon.settings import settings
from satcommon.sources import polite_requests
from satcommon.sources.folder import FolderSource
from satcommon.sources.mosaic import mosaic_scene
from satcommon.sources.open_source import open_source
from satcommon.sources.source import Due, Listing
from satcommon.sources.stac import StacSource
from satcommon.storage.s3 import open_bucket

from tests.unit.geotiffs import AOI, FIRST, GRID, LAST, NOW, write
from tests.unit.stac_catalogue import COLUMNS, ID, ROWS, Files, api, band, item, pixels, source

DAY = date(2016, 1, 7)


@pytest.fixture(autouse=True)
def closed_circuits() -> Iterator[None]:
    polite_requests.forget_circuits()
    yield
    polite_requests.forget_circuits()


def static(folder: Path, *items: dict[str, Any], **keys: Any) -> StacSource:
    """A source whose catalogue is a file of items; it may be written again."""
    path = folder / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(items)}))
    return source("", **({"catalogue": str(path)} | keys))


def listing(source: StacSource) -> Listing:
    return source.list(AOI, FIRST, LAST, NOW)


def only(source: StacSource) -> Acquisition:
    ((acquisition,),) = listing(source).acquisitions.values()
    return acquisition


def stacked(path: Path, values: dict[str, Any]) -> Path:
    """The same bands in one file, as `gdalbuildvrt -separate -resolution highest` makes it."""
    names = {"B04": "red", "B08": "nir", "B11": "swir16", "SCL": "scl"}
    bands = {
        names[key]: cells.repeat(ROWS // len(cells), 0).repeat(ROWS // len(cells), 1) for key, cells in values.items()
    }
    whole = replace(GRID, width=COLUMNS)
    scale = {"red": 1e-4, "nir": 1e-4, "swir16": 1e-4}
    stack = {name: cells.astype(np.uint16) for name, cells in bands.items()}
    return write(path, stack, grid=whole, scale=scale, offset=dict.fromkeys(scale, -0.1), nodata=0)


NEARBY = Grid("EPSG:32633", GRID.left + 3.0, GRID.top - 4.0, 12.0, 12.0, 10, 8)  # no cell aligns with the files'


@pytest.mark.parametrize("grid", [GRID, NEARBY], ids=["aligned", "warped"])
def test_an_item_gives_the_pixels_that_one_file_of_the_same_bands_gives(
    grid: Grid, files: Files, base: str, tmp_path: Path
) -> None:
    aoi = replace(AOI, grid=grid)
    values = pixels()
    stacked(tmp_path / "folder" / f"{ID}.tif", values)
    folder = FolderSource(tmp_path / "folder")
    ((of_folder,),) = folder.list(aoi, FIRST, LAST, NOW).acquisitions.values()
    with api(tmp_path / "api", [item(files.folder, base, values=values, baseline="")]) as url:
        stac = source(url)
        ((acquisition,),) = stac.list(aoi, FIRST, LAST, NOW).acquisitions.values()
        found, expected = stac.read(aoi, acquisition), folder.read(aoi, of_folder)
        anchor = stac.anchor_grid(AOI.bounds)

    assert list(found.bands) == list(expected.bands) == ["red", "nir", "swir16"]
    for name, cells in expected.bands.items():
        np.testing.assert_array_equal(found.bands[name], cells)
    np.testing.assert_array_equal(found.classes, expected.classes)
    assert (acquisition.item_id, acquisition.sensed_at) == (f"s2/{ID}", of_folder.sensed_at)
    assert (acquisition.platform, acquisition.tile) == (of_folder.platform, of_folder.tile) == ("sentinel-2b", "T33TVL")
    assert anchor == replace(GRID, width=COLUMNS)


def test_only_what_lies_under_the_region_is_fetched(files: Files, base: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(3000, 4000, (1024, 1024)).astype(np.uint16)
    large = {"B04": noise, "B08": noise, "B11": noise[:512, :512], "SCL": np.full((512, 512), 4, np.uint8)}
    stated = item(files.folder, base, values=pixels())
    for key, cells in large.items():
        band(
            files.folder / ID / f"{key}.tif",
            cells,
            20 if len(cells) < 1024 else 10,
            tiled=True,
            blockxsize=256,
            blockysize=256,
        )
    aoi = replace(AOI, grid=replace(GRID, left=GRID.left + 700 * GRID.xres, top=GRID.top - 700 * GRID.yres))
    size = sum(path.stat().st_size for path in (files.folder / ID).iterdir())
    stac = static(tmp_path, stated)
    acquisition = only(stac)
    files.requests.clear()

    layers = stac.read(aoi, acquisition)

    spans = [request.rpartition("bytes=")[2].split("-") for request in files.requests]
    fetched = sum(int(end) - int(start) + 1 for start, end in spans)
    assert fetched < size / 4
    np.testing.assert_array_equal(layers.bands["red"], noise[700:712, 700:715])
    np.testing.assert_array_equal(layers.bands["swir16"], noise[350:356, 350:358].repeat(2, 0).repeat(2, 1)[:12, :15])


def test_files_in_a_bucket_are_read_with_the_keys_that_the_configuration_names(
    s3_url: str, s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = pixels()
    stated = item(tmp_path / "files", s3_url, values=values)
    for path in (tmp_path / "files" / ID).iterdir():
        obstore.put(open_bucket(s3_url, "SATFIELDS_STORE"), f"{ID}/{path.name}", path.read_bytes())
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)  # of another object store
    monkeypatch.setenv("IMAGERY_KEY", "id")
    monkeypatch.setenv("IMAGERY_SECRET", "secret")
    storage = {
        "endpoint": s3_endpoint,
        "requester_pays": True,
        "key_variable": "IMAGERY_KEY",
        "secret_variable": "IMAGERY_SECRET",
    }
    stac = static(tmp_path, stated, storage=storage)

    layers = stac.read(AOI, only(stac))

    np.testing.assert_array_equal(layers.bands["red"], values["B04"][:, :15])


def test_requests_to_a_bucket_say_who_pays(
    files: Files, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    values = pixels()
    stated = item(files.folder / "imagery", "s3://imagery", values=values)
    told: list[str | None] = []
    ask = files.ask

    def note(method: str, target: str, headers: dict[str, str]) -> Any:
        told.append({name.lower(): value for name, value in headers.items()}.get("x-amz-request-payer"))
        return ask(method, target, headers)

    files.ask = note  # type: ignore[method-assign]
    for pays in (True, False):
        stac = static(tmp_path, stated, storage={"endpoint": base, "requester_pays": pays})
        np.testing.assert_array_equal(stac.read(AOI, only(stac)).bands["red"], values["B04"][:, :15])

    assert told == ["requester"] * 8 + [None] * 8


def test_bands_of_jpeg_2000_are_read_where_the_configuration_says_so(tmp_path: Path, files: Files, base: str) -> None:
    values = pixels()
    stated = item(files.folder, base, values=values)
    for key, cells in values.items():
        path, metres = files.folder / ID / f"{key}.tif", 20 if len(cells) < ROWS else 10
        written = band(path.with_suffix(".jp2"), cells, metres, "JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
        written.replace(path)  # the driver leaves out the georeference in a file of another name
    collections = [
        {
            "id": "s2",
            "format": "jp2",
            "assets": {"B04": "red", "B08": "nir", "B11": "swir16"},
            "mask": {"asset": "SCL", "kind": "scl"},
        }
    ]
    stac = static(tmp_path, stated, collections=collections)

    layers = stac.read(AOI, only(stac))

    np.testing.assert_array_equal(layers.bands["red"], values["B04"][:, :15])


def replaced(files: Files, key: str = "B08") -> None:
    band(files.folder / ID / f"{key}.tif", pixels(2)[key], 10)


def test_a_file_that_was_replaced_since_it_was_listed_is_not_read_and_is_another_acquisition(
    files: Files, base: str, tmp_path: Path
) -> None:
    stac = static(tmp_path, item(files.folder, base))
    listed = only(stac)
    replaced(files)

    with pytest.raises(SceneError, match=f"s2/{ID}: is not what was listed"):
        stac.read(AOI, listed)
    assert only(stac).digest != listed.digest
    assert only(stac).item_id == listed.item_id


@pytest.mark.parametrize("pins", ["asset", "item"])
def test_a_file_that_is_replaced_while_it_is_read_is_never_read_as_a_mixture(
    pins: str, files: Files, base: str, tmp_path: Path
) -> None:
    noise = np.random.default_rng(1).integers(3000, 4000, (400, 400)).astype(np.uint16)
    stated = item(files.folder, base)
    for key in ("B04", "B08"):
        band(files.folder / ID / f"{key}.tif", noise)
    for key in ("B11", "SCL"):
        band(
            files.folder / ID / f"{key}.tif",
            noise[:200, :200] if key == "B11" else np.full((200, 200), 4, np.uint8),
            20,
        )
    aoi = replace(AOI, grid=replace(GRID, width=400, height=400))
    stac = static(tmp_path, stated, pins=pins)
    listed = only(stac)
    asked: list[str] = []

    def replace_after_the_first_range(request: str) -> None:
        asked.append(request)
        if request.startswith("GET") and asked.count(request) == 2 and "B08" in request:
            band(files.folder / ID / "B08.tif", noise[::-1].copy())

    files.before = replace_after_the_first_range

    with pytest.raises(SceneError, match=f"s2/{ID}: asset B08: was changed while it was read"):
        stac.read(aoi, listed)


def test_a_checksum_in_the_item_pins_a_file_without_a_request(files: Files, base: str, tmp_path: Path) -> None:
    stated = item(files.folder, base, checksum=True)
    stac = static(tmp_path, stated)
    listed = only(stac)
    assert files.requests == []
    moved = json.loads(json.dumps(stated).replace(f"/{ID}/", f"/{ID}//"))

    stated["assets"]["B04"]["file:checksum"] = "1220" + "0" * 64

    assert only(static(tmp_path, moved)).digest == listed.digest  # the same bytes elsewhere
    assert only(static(tmp_path, stated)).digest != listed.digest


@pytest.mark.parametrize("order", [("02.14", "05.00"), ("05.00", "02.14")])
def test_of_two_baselines_the_higher_one_lies_on_top_whichever_came_first(
    order: tuple[str, str], files: Files, base: str, tmp_path: Path
) -> None:
    def stated(baseline: str) -> dict[str, Any]:
        old = baseline < "04"
        values = {key: cells - (1000 if old and key != "SCL" else 0) for key, cells in pixels().items()}
        values["B04"][0, 0] = 0 if not old else values["B04"][0, 0]
        found = item(files.folder, base, f"{ID}_N{baseline}", values=values, baseline=baseline)
        for key, asset in found["assets"].items():
            if old and key != "SCL":
                asset["raster:bands"][0]["offset"] = 0.0
        return found

    first, second = map(stated, order)
    static(tmp_path, first)
    stac = static(tmp_path, first, second)

    scene = mosaic_scene(stac, AOI, listing(stac).acquisitions[DAY])

    assert scene is not None
    assert scene.items[0].baseline == "05.00"
    expected = mosaic_scene(stac, AOI, reversed(listing(stac).acquisitions[DAY]))
    assert expected is not None
    assert scene.digest == expected.digest


def without(*keys: str) -> Callable[[dict[str, Any]], None]:
    def remove(stated: dict[str, Any]) -> None:
        for key in keys:
            del stated["assets"][key]

    return remove


def with_property(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda stated: stated["properties"].update({key.replace("__", ":"): value for key, value in values.items()})


def with_asset(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda stated: stated["assets"]["B04"].update(values)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without("B08"), "has no asset B08, for nir; it is incomplete"),
        (without("SCL"), "has no asset SCL, its mask; it is incomplete"),
        (with_property(s2__processing_baseline=5), "is no STAC item .*processing_baseline"),
        (
            with_property(s2__product_uri="S2B_MSIL2A_20160107T101243_N0214_R122_T33TVL_20160107T101243.SAFE"),
            "says baseline",
        ),
        (with_property(platform="x" * 70), "its platform is 'xxx.*; expected at most 64 letters of ASCII"),
        (with_property(grid__code="a\u202eb"), "its tile is .* expected at most 64 letters of ASCII"),
        (with_asset(href=17), "is no STAC item .*href"),
        (with_asset(href="ftp://host/B04.tif"), r"asset B04: its link 'ftp://host/B04\.tif' can't be followed"),
        (with_asset(href="http://127.0.0.1/gone.tif", **{"file:checksum": 4}), "is no STAC item .*checksum"),
    ],
)
def test_an_item_that_cannot_be_understood_is_refused_on_its_day_and_the_others_go_on(
    change: Callable[[dict[str, Any]], None], reason: str, files: Files, base: str, tmp_path: Path
) -> None:
    bad = item(files.folder, base, "bad")
    change(bad)
    other = item(files.folder, base, "other", sensed="2016-01-09T10:12:43Z")

    found = listing(static(tmp_path, bad, other))

    assert list(found.acquisitions) == [date(2016, 1, 9)]
    assert list(found.refused) == ["s2/bad"]
    assert found.refused_on == {DAY: found.refused}
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(found.refused["s2/bad"])


def test_an_item_whose_file_is_gone_is_refused(files: Files, base: str, tmp_path: Path) -> None:
    stated = item(files.folder, base)
    (files.folder / ID / "B11.tif").unlink()

    found = listing(static(tmp_path, stated))

    assert found.acquisitions == {}
    assert found.refused_on[DAY][f"s2/{ID}"].startswith(f"s2/{ID}: asset B11: is gone ({base}/{ID}/B11.tif)")


def test_an_api_cannot_lead_into_the_folders_of_this_machine(files: Files, tmp_path: Path) -> None:
    stated = item(files.folder, str(files.folder))
    with api(tmp_path / "api", [stated]) as url:
        found = listing(source(url))

    assert "can't be followed; expected https:// or s3://" in found.refused[f"s2/{ID}"]
    assert only(static(tmp_path, stated)).item_id == f"s2/{ID}"  # a catalogue in a folder may


def test_bands_that_share_no_lattice_are_refused(files: Files, base: str, tmp_path: Path) -> None:
    stac = static(tmp_path, item(files.folder, base, values=pixels() | {"B11": np.full((5, 8), 3000, np.uint16)}))

    with pytest.raises(SceneError, match=f"s2/{ID}: asset B11 has 8 x 5 cells .* expected rasters that share their"):
        stac.read(AOI, only(stac))


def test_an_offset_that_the_baseline_contradicts_is_refused(files: Files, base: str, tmp_path: Path) -> None:
    stated = item(files.folder, base)
    for asset in stated["assets"].values():
        asset.get("raster:bands", [{}])[0]["offset"] = 0.0
    stac = static(tmp_path, stated)

    with pytest.raises(SceneError, match=r"baseline 05\.00 has a reflectance offset of -0\.1") as caught:
        stac.read(AOI, only(stac))
    assert "state `offset = 0` in the file that SATFIELDS_STAC names" in str(caught.value)


def test_pixels_that_contradict_their_item_are_refused_by_name_of_the_check_unless_they_were_accepted(
    files: Files, base: str, tmp_path: Path
) -> None:
    values = pixels() | {"B04": np.full_like(pixels()["B04"], 500)}
    stac = static(tmp_path, item(files.folder, base, values=values))
    acquisition = only(stac)
    with pytest.raises(RadiometricError, match=r"have red below 0 .* in the file that SATFIELDS_STAC names") as refused:
        stac.read(AOI, acquisition)
    assert refused.value.check == "offset_applied_twice"
    assert str(refused.value).startswith(f"s2/{ID}: ")
    assert (stac.read(AOI, replace(acquisition, accepted=True)).bands["red"] == 500).any()


def test_the_cloud_that_an_item_states_is_held_against_its_mask(files: Files, base: str, tmp_path: Path) -> None:
    values = pixels() | {"SCL": np.full_like(pixels()["SCL"], 9), "B04": np.full_like(pixels()["B04"], 7000)}
    values["B08"] = values["B04"] + 200
    stated = item(files.folder, base, values=values, **{"eo:cloud_cover": 0.0})
    for box, refused in ((AOI.bounds, True), ((10.0, 40.0, 20.0, 50.0), True), (None, False)):
        stated |= {"bbox": list(box)} if box else {}
        stated["properties"]["eo:cloud_cover"] = 0.0 if box else 100.0
        stac = static(tmp_path, stated)
        fine = replace(AOI, grid=replace(GRID, xres=GRID.xres / 4, yres=GRID.yres / 4, width=60, height=48))
        ((acquisition,),) = stac.list(fine, FIRST, LAST, NOW).acquisitions.values()
        if refused:
            with pytest.raises(RadiometricError, match="the item states eo:cloud_cover 0 for"):
                stac.read(fine, acquisition)
        else:
            stac.read(fine, acquisition)


def test_an_offset_that_was_applied_already_is_not_applied_again(files: Files, base: str, tmp_path: Path) -> None:
    applied = {key: cells if key == "SCL" else cells - 1000 for key, cells in pixels().items()}
    true = item(files.folder, base, "true")
    stated = item(files.folder, base, values=applied, **{"earthsearch:boa_offset_applied": True})
    one, other = static(tmp_path, true), source("", catalogue=str(tmp_path / "items.json"))
    expected = one.read(AOI, only(one))

    other = static(tmp_path, stated)

    np.testing.assert_array_equal(other.read(AOI, only(other)).bands["red"], expected.bands["red"])


@pytest.mark.parametrize(("baseline", "shift"), [("05.00", 0), ("02.14", 1000)])
def test_a_configuration_states_the_offset_that_items_leave_out_by_their_baseline(
    baseline: str, shift: int, files: Files, base: str, tmp_path: Path
) -> None:
    stated = item(files.folder, base, baseline=baseline)
    for asset in stated["assets"].values():
        asset.pop("raster:bands", None)
    collections = [
        {"id": "s2", "assets": {"B04": "red", "B08": "nir"}, "scale": 0.0001, "offset": -0.1}
        | {"offset_since_baseline": "04.00"}
    ]
    stac = static(tmp_path, stated, collections=collections)

    layers = stac.read(AOI, only(stac))

    np.testing.assert_array_equal(layers.bands["red"], pixels()["B04"][:, :15] + shift)


def test_a_link_is_signed_when_it_is_read_and_anew_when_its_signature_has_expired(
    files: Files, base: str, tmp_path: Path
) -> None:
    stated = item(files.folder, base)
    (files.folder / "sas").mkdir()
    token = files.folder / "sas" / ID

    def give(signature: str) -> None:
        token.write_text(json.dumps({"token": f"se=2099&sig={signature}", "msft:expiry": "2099-01-01T00:00:00Z"}))

    with files.served() as tokens:  # the service gives tokens without one
        files.ask, ask = (lambda *asked: free(*asked)), files.ask  # type: ignore[method-assign]
        one_by_one = threading.Lock()  # bands are asked for together, and the token is that of all requests

        def free(method: str, target: str, headers: dict[str, str]) -> Any:
            with one_by_one:
                needed, files.token = files.token, None if target.startswith("/sas/") else files.token
                try:
                    return ask(method, target, headers)
                finally:
                    files.token = needed

        give("one")
        files.token = "one"
        signing = {"token_url": f"{tokens}/sas/{{container}}", "hosts": ["127.0.0.1"]}
        stac = static(tmp_path, stated, signing=signing)
        listed = only(stac)
        assert [request for request in files.requests if "sas" in request] == [f"GET /sas/{ID}"]

        give("two")
        files.token = "two"
        files.requests.clear()
        layers = stac.read(AOI, listed)
        assert (layers.bands["red"] > 0).all()
        assert f"GET /sas/{ID}" in files.requests

        files.token = "three"
        with pytest.raises(StoreError, match=rf"s2/{ID}: asset \w+: may not be read \(http://[^?]*\); check the cred"):
            stac.read(AOI, listed)


def test_a_signature_is_never_shown(files: Files, base: str, tmp_path: Path) -> None:
    files.token = "right"
    stated = item(files.folder, base)
    for asset in stated["assets"].values():
        asset["href"] += "?sig=wrong-and-secret"

    with pytest.raises(StoreError) as caught:
        listing(static(tmp_path, stated))

    assert "secret" not in str(caught.value)


def test_a_header_goes_to_its_hosts_only(
    files: Files, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", "abc")
    seen: list[str | None] = []
    ask = files.ask
    files.ask = lambda m, t, headers: (
        seen.append(headers.get("authorization", headers.get("Authorization"))),
        ask(m, t, headers),
    )[1]  # type: ignore[method-assign]
    header = {"name": "Authorization", "prefix": "Bearer ", "variable": "EARTHDATA_TOKEN"}
    stated = item(files.folder, base)

    for hosts in (["127.0.0.1"], ["*.example.com"]):
        listing(static(tmp_path, stated, headers=[header | {"hosts": hosts}]))

    assert seen == ["Bearer abc"] * 4 + [None] * 4


def test_a_calendar_of_the_configuration_tells_due_days(tmp_path: Path) -> None:
    stac = static(tmp_path, calendar={"cycle_days": 5, "first_day": date(2016, 1, 2)})

    answers = stac.calendar(AOI, date(2016, 1, 1), date(2016, 1, 7))

    assert [day.day for day, due in answers.items() if due is Due.DUE] == [2, 7]
    assert answers[date(2016, 1, 1)] is Due.UNKNOWN


def test_the_settings_name_a_file_or_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SATFIELDS_SCENE_SOURCE", "stac")
    with pytest.raises(SettingError, match="SATFIELDS_SCENE_SOURCE=stac needs SATFIELDS_STAC"):
        settings()
    monkeypatch.setenv("SATFIELDS_STAC", "earth-search-c1")
    settings.cache_clear()
    opened = open_source(settings())
    assert opened.identity == "stac https://earth-search.aws.element84.com/v1 sentinel-2-c1-l2a"

    monkeypatch.setenv("SATFIELDS_STAC", "earth-serch")
    settings.cache_clear()
    with pytest.raises(SettingError, match="SATFIELDS_STAC='earth-serch': is no profile; expected one of cdse, earth"):
        open_source(settings())
