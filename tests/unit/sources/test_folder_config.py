from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from satcommon.errors import SceneError, SettingError
from satcommon.raster.layers import PixelClass
from satcommon.sources.folder import FolderSource
from satcommon.sources.folder_config import FolderConfig, parse

from tests.unit.geotiffs import AOI, FIRST, GRID, LAST, NAME, NOW, PLAIN, full, listed, only, write

STACK = {"a": full(1), "b": full(500), "c": full(4000), "red": full(7), "e": full(44_000), "f": full(23888)}
RULE = """
[[files]]
match = "planet/*.tif"
platform = "planetscope"
scale = 1e-4
offset = -0.1
nodata = 999
[files.bands]
2 = "B04"
3 = { name = "nir", scale = 2e-4, offset = 0 }
5 = { name = "thermal", scale = 0.00341802, offset = 149.0, nodata = 0 }
6 = "qa_pixel"
"""


def test_bands_that_no_description_names_are_named_by_their_numbers(tmp_path: Path) -> None:
    stack = STACK | {"b": full(500)}
    stack["b"][0, 0] = 999
    write(tmp_path / "planet" / NAME, stack, scale=1.0)
    (tmp_path / "satfields.toml").write_text(RULE)

    item = only(tmp_path)
    layers = FolderSource(tmp_path).read(AOI, item)

    assert item.platform == "planetscope"
    assert list(layers.bands) == ["red", "nir", "lwir11"]
    assert layers.bands["red"][0, :2].tolist() == [0, 500]
    assert [int(band[1, 1]) for band in layers.bands.values()] == [500, 9000, round(100 * (44_000 * 0.00341802 + 149))]
    assert (layers.classes == PixelClass.SHADOW).all()


def test_a_scale_alone_is_of_the_reflective_bands_that_descriptions_name(tmp_path: Path) -> None:
    write(tmp_path / NAME, PLAIN | {"lwir11": full(2000)}, scale={"lwir11": 0.1})
    (tmp_path / "satfields.toml").write_text('[[files]]\nmatch = "*"\nscale = 1e-4\n')

    layers = FolderSource(tmp_path).read(AOI, only(tmp_path))

    assert [int(band[0, 0]) for band in layers.bands.values()] == [1500, 5000, 20_000]


def test_a_stated_nodata_value_stands_for_the_files_own(tmp_path: Path) -> None:
    red, nir = full(500), full(4000)
    red[0, 0] = nir[0, 0] = 0
    red[0, 1] = nir[0, 1] = 4999
    write(tmp_path / NAME, {"red": red, "nir": nir}, nodata=4999)
    (tmp_path / "satfields.toml").write_text('[[files]]\nmatch = "*"\nnodata = 0\n')

    layers = FolderSource(tmp_path).read(AOI, only(tmp_path))

    assert layers.bands["red"][0, :3].tolist() == [0, 5999, 1500]


def test_the_first_rule_that_matches_counts(tmp_path: Path) -> None:
    for folder in ("a", "b", "c"):
        write(tmp_path / folder / NAME)
    (tmp_path / "satfields.toml").write_text(
        '[[files]]\nmatch = "a/*"\nplatform = "one"\n[[files]]\nmatch = "[ab]/*"\nplatform = "two"\n'
    )

    (items,) = listed(tmp_path).acquisitions.values()

    assert [item.platform for item in items] == ["one", "two", "unknown"]


def test_a_changed_rule_is_a_revision_of_the_files_that_it_matches_alone(tmp_path: Path) -> None:
    write(tmp_path / "planet" / NAME, STACK, scale=1.0)
    write(tmp_path / "plain" / NAME)
    source = FolderSource(tmp_path)

    def digests(toml: str) -> dict[str, str]:
        (tmp_path / "satfields.toml").write_text(toml)
        listing = source.list(AOI, FIRST, LAST, NOW)
        return {item.item_id: item.digest for items in listing.acquisitions.values() for item in items}

    first, other_calendar = digests(RULE), digests("[calendar]\ncycle_days = 5\nfirst_day = 2016-01-02\n" + RULE)
    rescaled = digests(RULE.replace("2e-4", "3e-4"))

    assert first == other_calendar
    assert first[f"plain/{NAME}"] == rescaled[f"plain/{NAME}"]
    assert first[f"planet/{NAME}"] != rescaled[f"planet/{NAME}"]


def test_a_band_that_the_file_has_not_is_refused(tmp_path: Path) -> None:
    write(tmp_path / NAME)
    (tmp_path / "satfields.toml").write_text('[[files]]\nmatch = "*"\nbands = {1 = "red", 2 = "nir", 7 = "scl"}\n')

    assert listed(tmp_path).refused == {NAME: f"{NAME}: has 2 bands; 7 are stated beside it; correct that"}


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("settle_seconds = -1", "satfields.toml: settle_seconds = -1: expected a number greater than or equal to 0"),
        ('most_megabytes = "2000"', "most_megabytes = '2000': expected a valid integer"),
        ("setle_seconds = 1", "setle_seconds = 1: extra inputs are not permitted"),
        ("[[files]]\nmatch = '*'\nscale = 0", "files[0].scale = 0: expected a number greater than 0"),
        ("[[files]]\nmatch = '*'\nscale = true", "files[0].scale = True: expected a valid number"),
        ("[[files]]\nmatch = '*'\nnodata = nan", "files[0].nodata = nan: expected a finite number"),
        ("[[files]]\nplatform = 'a'", "files[0].match: field required"),
        ("[[files]]\nmatch = '*'\nplatform = ' '", "files[0].platform = ' ': can't be shown"),
        (
            "[[files]]\nmatch = '*'\nbands = {4 = 'nirr'}",
            "files[0].bands.4.name = 'nirr': is no band; expected one of blue",
        ),
        ("[[files]]\nmatch = '*'\nbands = {0 = 'nir'}", "files[0].bands.0"),
        (
            "[[files]]\nmatch = '*'\nbands = {1 = 'B04', 2 = 'red'}",
            "files[0]: bands 1 and 2 are both red; name each once",
        ),
        ("[calendar]\ncycle_days = 5", "calendar: cycle_days and first_day belong together; state both"),
        ("[calendar]\ncycle_days = 5\nfirst_day = 'soon'", "calendar.first_day = 'soon': expected a valid date"),
        ("[calendar]\ncycle_days = 5\nfirst_day = 2016-01-02\noffsets = [0, 5]", "calendar: offsets: 5 lies past the"),
        ("calendar_file = '../days.csv'", "calendar_file = '../days.csv': must lie in the folder of the scenes"),
        (
            "calendar_file = 'a'\ncalendar = {cycle_days = 5, first_day = 2016-01-02}",
            "calendar and calendar_file are both",
        ),
        ("a = ", "satfields.toml: is no TOML (Invalid value (at end of document)); correct it"),
        ("a = " + "[" * 5000, "satfields.toml: is no TOML ("),
    ],
)
def test_a_mistake_is_one_message_that_names_file_and_key(toml: str, told: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse(toml.encode(), "scenes/satfields.toml")

    assert str(caught.value).startswith("scenes/satfields.toml: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(SettingError, match=r"settle_seconds = -1: .*; .*most_megabytes = 0: "):
        parse(b"settle_seconds = -1\nmost_megabytes = 0", "satfields.toml")


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "satfields.toml").write_bytes(b"\xff")

    with pytest.raises(SettingError, match=rf"{tmp_path}/satfields.toml: is no TOML \("):
        listed(tmp_path)


def test_without_the_file_all_is_as_the_files_say(tmp_path: Path) -> None:
    write(tmp_path / NAME)
    plain = only(tmp_path)
    (tmp_path / "satfields.toml").write_text("# nothing\n")

    assert parse(b"", "") == FolderConfig()
    assert only(tmp_path) == plain


def test_more_memory_than_is_allowed_is_not_taken(tmp_path: Path) -> None:
    many = np.ones((2, 400, 400), np.uint16)
    write(tmp_path / NAME, {"red": many[0], "nir": many[1]})
    (tmp_path / "satfields.toml").write_text("most_megabytes = 1\n")
    source = FolderSource(tmp_path)

    assert source.read(AOI, only(tmp_path)).bands["red"].all()
    wide = replace(AOI, grid=replace(GRID, width=400, height=400))
    with pytest.raises(SceneError, match=f"{NAME}: 160,000 cells lie under the region; at most 125,000 are held"):
        source.read(wide, only(tmp_path))


def test_the_example_of_the_docs_is_taken() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/folder-source.md").read_text()
    example = page.split("```toml\n")[1].split("```")[0]

    assert (
        parse(example.encode(), "docs/reference/folder-source.md").declared("planet/a.tif").bands[8].name == "qa_pixel"
    )
