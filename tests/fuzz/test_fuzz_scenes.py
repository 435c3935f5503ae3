"""Damaged scenes, items and settings give layers or an error of ours, never anything else.

Takes a second or two for each kind of file; FUZZ_SECONDS=60 goes on for longer, FUZZ_SEED does other damage.
"""

import os
import random
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from satcommon.errors import SceneError, SettingError
from satcommon.geo.grid import Grid
from satcommon.sources.folder import FolderSource

from tests.unit.geotiffs import AOI, COLUMNS, FIRST, GRID, LAST, NAME, NOW, PLAIN, ROWS, full, write

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
SEED = int(os.environ.get("FUZZ_SEED", "7"))
ROUNDS = 150  # without FUZZ_SECONDS
ITEM = """{"type": "Feature", "properties": {"datetime": "2016-01-07T10:12:50.024Z", "platform": "sentinel-2a",
"s2:processing_baseline": "05.00", "s2:datatake_id": "GS2A_20160107T101243_002840_N05.00", "grid:code": "MGRS-33TVL",
"created": "2016-01-08T01:00:00Z"}, "assets": {"data": {"href": "./2016-01-07T101243.tif", "raster:bands": [{"scale":
1e-4, "offset": -0.1, "nodata": 0}, {"scale": 0.0001, "nodata": "nan"}, {}], "bands": [{"name": "B04"}]}}}"""
TOML = """settle_seconds = 0
most_megabytes = 100
calendar_file = "calendar.csv"
[[files]]
match = "*.tif"
platform = "a"
scale = 1e-4
offset = -0.1
nodata = 0
bands = {1 = "red", 2 = {name = "nir", scale = 2e-4}, 3 = "scl"}
"""
CALENDAR = "day,due\n2016-01-06,no\n2016-01-07,yes # pass\n2016-01-12\n"
# What damage by single bytes seldom makes.
SPLICES = (
    b"\x00",
    b"\xff" * 4,
    b'"',
    b"[" * 2000,
    b"{",
    b"-1",
    b"1e999",
    b"nan",
    b"null",
    b"9" * 400,
    b"\n",
    b"\xed\xa0\x80",
)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """The content with some bytes flipped, cut out, doubled or put in."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        at, length = chance.randrange(len(data) + 1), chance.randint(1, 40)
        kind = chance.randrange(5)
        if kind == 0:
            data[at:at] = chance.choice(SPLICES)
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at:at] = data[at : at + length]
        elif kind == 3 and chance.random() < 0.2:
            del data[at:]
        elif at < len(data):
            data[at] ^= 1 << chance.randrange(8)
    return bytes(data)


def use(folder: Path, grid: Grid) -> None:
    """Lists, asks and reads as ingest does."""
    source, aoi = FolderSource(folder), replace(AOI, grid=grid)
    with suppress(SettingError):
        source.due(aoi, FIRST)
    with suppress(SettingError):
        source.anchor_grid(aoi.bounds)
        listing = source.list(aoi, FIRST - timedelta(days=20_000), LAST + timedelta(days=20_000), NOW)
        assert listing.refused.keys() <= {NAME}
        assert all("\n" not in why and why.isprintable() for why in listing.refused.values())
        for item in (item for items in listing.acquisitions.values() for item in items):
            with suppress(SceneError):
                layers = source.read(aoi, item)
                assert layers.classes.shape == (grid.height, grid.width)
                assert all(band.dtype == "uint16" for band in layers.bands.values())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # rasterio logs garbage as UTF-8
@pytest.mark.parametrize("spoilt", [NAME, NAME.replace(".tif", ".json"), "satfields.toml", "calendar.csv"])
def test_damage_gives_layers_or_an_error_of_ours(spoilt: str, tmp_path: Path) -> None:
    write(tmp_path / NAME, PLAIN | {"scl": full(4)}, scale={"red": 1e-4, "nir": 1e-4}, PLATFORM="sentinel-2")
    texts = {NAME.replace(".tif", ".json"): ITEM, "satfields.toml": TOML, "calendar.csv": CALENDAR}
    for name, text in texts.items():
        if spoilt != NAME or name == "calendar.csv":
            (tmp_path / name).write_text(text)
    whole = (tmp_path / spoilt).read_bytes()
    end, rounds = time.monotonic() + SECONDS, 0
    grids = (GRID, replace(GRID, left=GRID.left + 3.3, width=COLUMNS + 2, height=ROWS + 2))
    use(tmp_path, GRID)

    while rounds < ROUNDS or time.monotonic() < end:
        chance = random.Random(f"{SEED}/{rounds}")
        content = damaged(whole, chance)
        (tmp_path / spoilt).write_bytes(content)
        try:
            use(tmp_path, chance.choice(grids))
        except BaseException as error:
            error.add_note(f"damaged {spoilt}, seed {SEED}, round {rounds}: {content[:3000]!r}")
            raise
        rounds += 1
