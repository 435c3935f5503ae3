"""Files that can't be taken: each is one message that tells which, what of it, and what to do; the others are taken."""

import os
import re
import resource
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.control import GroundControlPoint
from satcommon.errors import SceneError
from satcommon.raster.layers import PixelClass
from satcommon.sources.folder import FolderSource
from satcommon.sources.source import Listing

from tests.unit.geotiffs import (
    AOI,
    COLUMNS,
    FIRST,
    GRID,
    LAST,
    NAME,
    NOW,
    PLAIN,
    ROWS,
    Raster,
    full,
    items,
    layers_of,
    listed,
    only,
    write,
)


def text(path: Path) -> None:
    path.write_text("Not Found")


def empty(path: Path) -> None:
    path.touch()


def cut_in_its_header(path: Path) -> None:
    path.write_bytes(write(path).read_bytes()[:100])


def without_crs(path: Path) -> None:
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        write(path, grid=None)


def a_list_of_other_files(path: Path) -> None:
    path.write_text('<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>')


def a_list_of_a_good_file(path: Path) -> None:
    path.write_text(
        f'<VRTDataset rasterXSize="{COLUMNS}" rasterYSize="{ROWS}"><VRTRasterBand dataType="UInt16" band="1">'
        f"<SimpleSource><SourceFilename>{path.parents[1]}/good/{NAME}</SourceFilename></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )


def a_picture(path: Path) -> None:
    Image.new("RGB", (2, 2)).save(path, format="PNG")


def zeros(path: Path) -> None:
    path.write_bytes(bytes(100_000))


def without_its_second_half(path: Path) -> None:
    content = write(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def in_degrees_though_it_is_in_metres(path: Path) -> None:
    write(path, crs="EPSG:4326")


def off_the_earth(path: Path) -> None:
    write(path, grid=replace(GRID, left=1e30))


def placed_by_points(path: Path) -> None:
    without_crs(path)
    points = [
        GroundControlPoint(row, column, GRID.left + column, GRID.top - row)
        for row, column in ((0, 0), (0, COLUMNS), (ROWS, 0))
    ]
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(path, "r+") as dataset:
        dataset.gcps = points, rasterio.CRS.from_string(GRID.crs)


def described_in_latin_1(path: Path) -> None:
    write(path, {"rot": full(500), "nah": full(4000)})
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("rötlich", "nah")
    content = path.read_bytes()
    assert b"r\xc3\xb6tlich" in content
    path.write_bytes(content.replace(b"r\xc3\xb6tlich", b"r\xf6tlich "))


BROKEN: list[tuple[str, Callable[[Path], object], str]] = [
    (NAME, text, "can't be read as a GeoTIFF"),
    (NAME, empty, "can't be read as a GeoTIFF"),
    (NAME, cut_in_its_header, "can't be read as a GeoTIFF"),
    (NAME, a_list_of_other_files, "can't be read as a GeoTIFF"),
    (NAME, a_list_of_a_good_file, "can't be read as a GeoTIFF"),
    (NAME, a_picture, "can't be read as a GeoTIFF"),
    (NAME, zeros, "can't be read as a GeoTIFF"),
    (NAME, without_its_second_half, "can't be read as a GeoTIFF"),
    (NAME, in_degrees_though_it_is_in_metres, "lies nowhere on Earth in EPSG:4326"),
    (NAME, lambda p: write(p, {"nir": full(1)}), "no band is described as red; found 'nir'"),
    (NAME, lambda p: write(p, scale=1e-12), "band red is uint16 with scale 1e-12 and offset 0, too small; set them so"),
    (NAME, lambda p: write(p, scale=1e4), "band red is uint16 with scale 10000 and offset 0, too coarse; set them so"),
    (
        NAME,
        lambda p: write(p, offset=-1000.0),
        "offset -1000, which is far off; set them so that",
    ),
    (
        NAME,
        lambda p: write(p, PLAIN | {"lwir11": full(3)}),
        "lwir11 is uint16 with scale 0.0001 and offset 0, too small",
    ),
    (NAME, lambda p: write(p, PLATFORM="s\x7f"), r"its platform is 's\x7f'; expected at most 100 letters to print"),
    ("a.tif", lambda p: write(p, TIFFTAG_DATETIME="9999:12:31 23:59:59"), "expected a year from 1970 to 2100"),
    (NAME, without_crs, "has no coordinate reference system; assign"),
    (
        NAME,
        placed_by_points,
        "is placed by 3 ground control points (in EPSG:32633), not by a geotransform; warp",
    ),
    (NAME, placed_by_points, f"`gdalwarp -t_srs EPSG:32633 {NAME} warped.tif`"),
    (NAME, described_in_latin_1, "bands' descriptions are not written in UTF-8"),
    (NAME, described_in_latin_1, "name the bands by their numbers under [files.bands] in satfields.toml"),
    ("2016-01-07T101243_B04.tif", lambda p: write(p, {"": full(1)}), "the file holds one band, as archives keep them"),
    (NAME, lambda p: write(p, {"B08": full(1)}), "no band is described as red; found 'b08'; the file holds one band"),
    (NAME, off_the_earth, "lies nowhere on Earth"),
    (NAME, lambda p: write(p, {"red": full(1), "green": full(1)}), "no band is described as nir; found 'red', 'green'"),
    (NAME, lambda p: write(p, {"": full(1)}), "no band is described as nir or red; found ''; set"),
    (NAME, lambda p: write(p, PLAIN | {"B04": full(1)}), "bands 1 and 3 are both red"),
    (NAME, lambda p: write(p, scale=1.0), "band red is uint16 with scale 1 and offset 0; set its scale and offset"),
    (NAME, lambda p: write(p, scale=-1e-4), "band red is uint16 with scale -0.0001"),
    (NAME, lambda p: write(p, offset=np.nan), "offset nan"),
    (NAME, lambda p: write(p, {b: full(0.1, "complex64") for b in PLAIN}), "band red is complex64"),
    ("north.tif", write, "unknown time of sensing: the name does not tell, TIFFTAG_DATETIME is ''; name the file like"),
    ("north_2016-01-07.tif", write, "unknown time of sensing: the name says 2016-01-07"),
    (
        "north_2016-01-07.tif",
        lambda p: write(p, TIFFTAG_DATETIME="2020:02:02 11:11:11"),
        "the name says 2016-01-07, TIFFTAG_DATETIME is '2020:02:02 11:11:11'",
    ),
]


@pytest.mark.parametrize(("name", "make", "why"), BROKEN)
def test_what_can_not_be_taken_is_refused_by_name_and_the_others_are_not(
    name: str, make: Callable[[Path], object], why: str, tmp_path: Path
) -> None:
    write(tmp_path / "good" / NAME)
    (tmp_path / "bad").mkdir()
    make(tmp_path / "bad" / name)

    listing = listed(tmp_path)

    assert listing.refused.keys() == {f"bad/{name}"}
    assert listing.refused[f"bad/{name}"].startswith(f"bad/{name}: ")
    assert why in listing.refused[f"bad/{name}"]
    assert [item.item_id for item in items(tmp_path)] == [f"good/{NAME}"]


def test_other_files_are_no_one_s_business(tmp_path: Path) -> None:
    for name in ("README.md", ".tmp-2016-01-07T101243.tif", "2016-01-07T101243.tif.aux.xml", ".hidden/a.tif"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("-")

    assert listed(tmp_path) == Listing({})


def test_files_elsewhere_are_refused_only_where_none_lies_over_the_place(tmp_path: Path) -> None:
    write(tmp_path / "away" / NAME, grid=replace(GRID, left=GRID.left + 50_000))

    alone = listed(tmp_path)
    write(tmp_path / NAME)
    together = listed(tmp_path)

    assert alone.acquisitions == {}
    assert "covers longitude 15.19" in alone.refused[f"away/{NAME}"]
    assert 'about 50 km from region "North"' in alone.refused[f"away/{NAME}"]
    assert together.refused == {}
    assert [item.item_id for item in items(tmp_path)] == [NAME]


def test_floats_that_are_no_reflectance_are_an_error_when_read(tmp_path: Path) -> None:
    write(tmp_path / NAME, {"red": full(500, "float32"), "nir": full(4000, "float32")}, scale=1.0)

    with pytest.raises(SceneError, match=rf"{NAME}: most values of band red are too large \(as 500.*; set the scale"):
        layers_of(tmp_path)


def test_bands_described_in_another_encoding_are_taken_by_number(tmp_path: Path) -> None:
    described_in_latin_1(tmp_path / NAME)
    (tmp_path / "satfields.toml").write_text('[[files]]\nmatch = "*"\nbands = { 1 = "red", 2 = "nir" }\n')

    assert [int(band[0, 0]) for band in layers_of(tmp_path).bands.values()] == [1500, 5000]


def test_tags_in_another_encoding_that_nobody_reads_do_no_harm(tmp_path: Path) -> None:
    write(tmp_path / NAME, TIFFTAG_ARTIST="Müller")
    content = (tmp_path / NAME).read_bytes()
    assert "Müller".encode() in content
    (tmp_path / NAME).write_bytes(content.replace("Müller".encode(), "Müller ".encode("latin-1")))

    assert only(tmp_path).platform == "unknown"


def ramp(low: float, high: float, dtype: str = "float32") -> Raster:
    return np.linspace(low, high, ROWS * COLUMNS).reshape(ROWS, COLUMNS).astype(dtype)


COUNTS = {"red": ramp(300, 899, "uint16"), "nir": ramp(3000, 4999, "uint16")}
LAND = {"red": ramp(0.03, 0.09), "nir": ramp(0.3, 0.5)}


@pytest.mark.parametrize(
    ("bands", "scale", "offset", "told"),
    [
        ({"red": ramp(300, 899), "nir": ramp(3000, 4999)}, 1.0, 0.0, "most values of band red are too large"),
        ({"red": ramp(0, 899) // 300 * 300, "nir": ramp(0, 4999)}, 1.0, 0.0, "values of band red are too large"),
        ({"red": ramp(3, 9), "nir": ramp(30, 50)}, 1.0, 0.0, "values of band red are too large"),
        (
            {"red": ramp(300, 899, "uint16"), "nir": ramp(3000, 4999, "uint16")},
            1e-3,
            0.0,
            "red is 0.60 and near infrared",
        ),
        (COUNTS, 1e-4, -0.1, "have red below 0 and near"),
        (COUNTS, 1e-4, -0.3, "band red are too small"),
        (LAND | {"lwir11": full(22.8, "float32")}, 1.0, 0.0, "100% of band lwir11 are no temperature of land or cloud"),
        (LAND | {"lwir11": ramp(15, 35)}, 1.0, 0.0, "(in the middle 25.0); expected kelvin, 170 to 375"),
        (LAND | {"lwir11": ramp(-9, 4)}, 1.0, 0.0, "many values of band lwir11 are too small"),
        (LAND | {"lwir11": ramp(60, 95)}, 1.0, 0.0, "are no temperature of land or cloud"),
        (LAND | {"lwir11": ramp(2880, 3050)}, 1.0, 0.0, "most values of band lwir11 are too large"),
        (LAND | {"lwir11": ramp(139, 160)}, 1.0, 0.0, "state them in satfields.toml, as `offset = 273.15`"),
    ],
)
def test_pixels_that_are_not_what_they_are_said_to_be_are_an_error_when_read(
    bands: dict[str, Raster], scale: float, offset: float, told: str, tmp_path: Path
) -> None:
    write(tmp_path / NAME, bands, scale=scale, offset=offset)

    with pytest.raises(SceneError, match=re.escape(told)) as caught:
        layers_of(tmp_path)
    assert str(caught.value).startswith(f"{NAME}: ")


def test_degrees_celsius_that_are_said_to_be_such_are_kelvin(tmp_path: Path) -> None:
    write(tmp_path / NAME, LAND | {"lwir11": full(22.8, "float32")}, scale=1.0)
    (tmp_path / "satfields.toml").write_text(
        '[[files]]\nmatch = "*"\nbands = { 1 = "red", 2 = "nir", 3 = { name = "lwir11", offset = 273.15 } }\n'
    )

    assert int(layers_of(tmp_path).bands["lwir11"][0, 0]) == 29595


@pytest.mark.parametrize(
    "land",
    [
        pytest.param({"red": ramp(0.7, 1.7), "nir": ramp(0.6, 1.6)}, id="snow and cloud under a low sun"),
        pytest.param({"red": ramp(-0.03, 0.02), "nir": ramp(-0.04, 0.01)}, id="dark water"),
        pytest.param({"red": ramp(-0.004, 0.03), "nir": ramp(0.02, 0.2)}, id="shadowed forest"),
        pytest.param({"red": ramp(0.15, 0.4), "nir": ramp(0.35, 0.6)}, id="haze"),
        pytest.param({"red": ramp(0.2, 0.5), "nir": ramp(0.25, 0.6)}, id="desert"),
        pytest.param({"red": ramp(0.01, 0.03), "nir": ramp(0.5, 0.9)}, id="dense vegetation"),
        pytest.param(LAND | {"lwir11": ramp(190, 340)}, id="cold clouds over hot land"),
    ],
)
def test_what_the_earth_can_look_like_is_taken(land: dict[str, Raster], tmp_path: Path) -> None:
    write(tmp_path / NAME, land, scale=1.0)

    layers = layers_of(tmp_path)

    assert (layers.classes == PixelClass.CLEAR).all()
    assert all(values.all() for values in layers.bands.values())


def test_fill_that_nothing_declares_is_no_error(tmp_path: Path) -> None:
    bands = {band: values.copy() for band, values in LAND.items()}
    for values in bands.values():
        values[:, :3], values[:, 3:6] = -9999, 20_000

    write(tmp_path / NAME, bands, scale=1.0)

    assert (layers_of(tmp_path).bands["red"] == 0).mean() == 6 / COLUMNS


def test_a_file_cut_in_its_pixels_is_an_error_that_names_it(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(1, 9999, (2, 400, 400)).astype(np.uint16)
    path = write(tmp_path / NAME, {"red": noise[0], "nir": noise[1]}, grid=replace(GRID, width=400, height=400))
    header_first = path.read_bytes()
    path.write_bytes(header_first[: len(header_first) * 2 // 3])

    listing = listed(tmp_path)

    if listing.refused:
        assert NAME in listing.refused
    else:
        with pytest.raises(SceneError, match=f"{NAME}: can't be read"):
            layers_of(tmp_path, replace(AOI, grid=replace(GRID, width=400, height=400)))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file to be damaged."""
    return write(tmp_path_factory.mktemp("good") / NAME, PLATFORM="sentinel-2").read_bytes()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # rasterio logs garbage as UTF-8
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_no_flipped_bits_do_worse_than_a_refusal_or_an_error(data: st.DataObject, good: bytes, tmp_path: Path) -> None:
    content = bytearray(good)
    places = st.tuples(st.integers(0, len(content) - 1), st.integers(0, 7))
    for byte, bit in data.draw(st.lists(places, min_size=1, max_size=8)):
        content[byte] ^= 1 << bit
    (tmp_path / NAME).write_bytes(content)
    source = FolderSource(tmp_path)

    listing = source.list(AOI, FIRST, LAST + timedelta(days=365), NOW)

    assert listing.refused.keys() <= {NAME}
    for item in (item for day in listing.acquisitions.values() for item in day):
        with suppress(SceneError):
            assert source.read(AOI, item).classes.shape == (ROWS, COLUMNS)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder that a user without rights reaches, as who this process goes on if it has all of them."""
    with tempfile.TemporaryDirectory(prefix="satfields-scenes-") as name:
        Path(name).chmod(0o755)
        before = os.geteuid()
        if before == 0:
            write(Path(name) / "warm" / NAME)  # what is loaded at first use must not need rights
            layers_of(Path(name))
            (Path(name) / "warm" / NAME).unlink()
        yield Path(name)
        os.seteuid(before)


def drop_rights() -> None:
    datetime.strptime("2016", "%Y")  # noqa: DTZ007  # loads a module, from where perhaps only root may read
    if os.geteuid() == 0:
        os.seteuid(65534)


def test_a_file_that_may_not_be_read_is_taken_as_soon_as_it_may(elsewhere: Path) -> None:
    write(elsewhere / "good" / NAME)
    path = write(elsewhere / NAME)
    owner = os.geteuid()
    source = FolderSource(elsewhere)
    path.chmod(0)
    drop_rights()

    listing = source.list(AOI, FIRST, LAST, NOW)
    os.seteuid(owner)
    path.chmod(0o644)
    drop_rights()

    assert listing.refused == {
        NAME: f"{NAME}: can't be read (Permission denied); let this process read it, or remove it"
    }
    assert [item.item_id for day in listing.acquisitions.values() for item in day] == [f"good/{NAME}"]
    assert source.list(AOI, FIRST, LAST, NOW).refused == {}


def test_a_folder_that_may_not_be_listed_is_told(elsewhere: Path) -> None:
    write(elsewhere / NAME)
    (elsewhere / "closed").mkdir(mode=0)
    drop_rights()

    listing = listed(elsewhere)

    assert listing.refused == {
        "closed/": "closed/: can't be listed (Permission denied); let this process read the folder"
    }
    assert len(listing.acquisitions) == 1


def test_a_folder_named_as_a_file_is_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "2016.tif" / NAME)

    assert [item.item_id for item in items(tmp_path)] == [f"2016.tif/{NAME}"]


@pytest.mark.parametrize(
    "name",
    [
        "été 北 🛰/2016-01-07T101243.tif",
        "2016-01-07T101243 a%2f..%2fb?c#d!e:f.tif",
        "vsicurl/2016-01-07T101243.tif",
        "GTIFF_DIR:1:2016-01-07T101243.tif",
        "-rf 2016-01-07T101243.TIFF",
        "[a]*{b}2016-01-07T101243.tif",
        "a\\..\\2016-01-07T101243.tif",
    ],
)
def test_a_name_is_only_a_name(name: str, tmp_path: Path) -> None:
    write(tmp_path / "other.tif", PLAIN | {"red": full(7)}, TIFFTAG_DATETIME="2020:01:01 00:00:00")
    write(tmp_path / name)

    (item,) = items(tmp_path)

    assert item.item_id == name
    assert FolderSource(tmp_path).read(AOI, item).bands["red"][0, 0] == 1500


@pytest.mark.parametrize("name", ["a\nb.tif", "a\x1b[2Jb.tif", "a\u202eb.tif", os.fsdecode(b"a\xffb.tif")])
def test_a_name_that_can_not_be_shown_is_refused_in_letters_that_can(name: str, tmp_path: Path) -> None:
    write(tmp_path / NAME)
    (tmp_path / name).write_bytes(b"")

    ((told, why),) = listed(tmp_path).refused.items()

    assert told.isprintable()
    assert why.isprintable()
    assert "bears a name that can't be shown; rename it" in why


def test_nothing_but_nodata_is_a_scene_without_data(tmp_path: Path) -> None:
    write(tmp_path / NAME, {"red": full(0), "nir": full(0)}, nodata=0)

    assert (layers_of(tmp_path).classes == PixelClass.NODATA).all()


@pytest.mark.parametrize("order", [("nir", "scl", "red"), ("scl", "red", "nir", "blue")])
def test_the_order_of_bands_does_not_matter(order: tuple[str, ...], tmp_path: Path) -> None:
    bands = {"red": full(500), "nir": full(4000), "blue": full(300), "scl": full(11)}
    write(tmp_path / NAME, {name: bands[name] for name in order}, scale=dict.fromkeys(("red", "nir", "blue"), 1e-4))

    layers = layers_of(tmp_path)

    assert (layers.bands["red"][0, 0], layers.bands["nir"][0, 0]) == (1500, 5000)
    assert (layers.classes == PixelClass.SNOW).all()


def test_two_files_of_one_time_are_two_items_of_one_piece(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write(tmp_path / name / NAME)

    one, other = items(tmp_path)

    assert (one.item_id, other.item_id) == (f"a/{NAME}", f"b/{NAME}")
    assert (one.overpass, one.tile, one.sensed_at) == (other.overpass, other.tile, other.sensed_at)


@pytest.mark.parametrize("layout", [{"tiled": True, "blockxsize": 4096, "blockysize": 4096}, {"blockysize": 8192}])
def test_a_huge_raster_without_pixels_costs_no_more_than_is_allowed(layout: dict[str, int], tmp_path: Path) -> None:
    size = {"width": 100_000, "height": 100_000, "count": 2, "dtype": "uint16"}
    path = tmp_path / NAME
    with rasterio.open(
        path, "w", driver="GTiff", crs=GRID.crs, transform=GRID.transform, sparse_ok=True, **size, **layout
    ) as dataset:
        dataset.descriptions = ("red", "nir")
        dataset.scales = (1e-4, 1e-4)
    assert path.stat().st_size < 30_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (tmp_path / "satfields.toml").write_text("most_megabytes = 200\n")

    if "tiled" in layout:
        assert (layers_of(tmp_path).classes == PixelClass.NODATA).all()
    else:
        with pytest.raises(SceneError, match=f"{NAME}: 819,200,000 cells lie in one block; at most 25,000,000 "):
            layers_of(tmp_path)

    shifted = replace(AOI, grid=replace(GRID, left=GRID.left + 3.3, width=20_000, height=20_000))
    with pytest.raises(SceneError, match=f"{NAME}: .* cells lie (in one block|under the region)"):
        layers_of(tmp_path, shifted)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # in KiB
