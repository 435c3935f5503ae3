from datetime import UTC, date, datetime

import pytest
from satcommon.raster.product import Level, Tier, level_of, read, same_satellite

L2A = "S2B_MSIL2A_20220601T101243_N0510_R022_T33TVL_20240601T160000"
HLS = "HLS.S30.T20HNJ.2022152T141043.v2.0"
LANDSAT = "LC08_L2SP_190028_20220601_20220614_02_T1"


@pytest.mark.parametrize(
    ("path", "sensed_at"),
    [
        (f"{L2A}.tif", (2022, 6, 1, 10, 12, 43)),
        (f"{L2A.lower()}.tif", (2022, 6, 1, 10, 12, 43)),
        (f"20240701T120000_{L2A}.tif", (2022, 6, 1, 10, 12, 43)),
        (f"{HLS}.tif", (2022, 6, 1, 14, 10, 43)),
        (f"{HLS}.B04.tif", (2022, 6, 1, 14, 10, 43)),
        (f"{HLS}_downloaded_2022-07-01T120000.tif", (2022, 6, 1, 14, 10, 43)),
        (f"2022-07-01T120000_{HLS}.tif", (2022, 6, 1, 14, 10, 43)),
        (f"{HLS}.20220701_120000.tif", (2022, 6, 1, 14, 10, 43)),
        ("HLS.L30.T20HNJ.2022-06-01T141043.v2.0.tif", (2022, 6, 1, 14, 10, 43)),
        ("HLS.L30.T20HNJ.2024366T141043.v2.0.tif", (2024, 12, 31, 14, 10, 43)),
        ("north_2022152T141043_2022-07-01T120000.tif", (2022, 6, 1, 14, 10, 43)),
    ],
)
def test_the_time_of_sensing_is_never_that_of_processing_or_download(path: str, sensed_at: tuple[int, ...]) -> None:
    told = read(path)

    assert told.sensed_at == datetime(*sensed_at, tzinfo=UTC)
    assert told.day == date(*sensed_at[:3])


@pytest.mark.parametrize(
    "path",
    [
        f"{LANDSAT}.tif",
        f"2022-07-01T120000_{LANDSAT}.tif",
        f"{LANDSAT}_2022-07-01T120000.tif",
        "LC81900282022152LGN00.tif",
        "LC81900282022152LGN00_2022-07-01T120000.tif",
        "MOD09GA.A2022152.h19v04.061.2022154031544.tif",
        "VNP09GA.A2022152.h19v04.002.20220701T120000.tif",
        "S2B_33TVL_20220601_0_L2A.tif",
    ],
)
def test_a_product_s_day_without_a_time_takes_none_from_elsewhere_in_the_name(path: str) -> None:
    told = read(path)

    assert (told.sensed_at, told.day) == (None, date(2022, 6, 1))


@pytest.mark.parametrize("path", ["north.tif", "2022366T141043.tif", "A2022000.tif", "north_4021152.tif", ".tif"])
def test_what_is_no_date_is_none(path: str) -> None:
    assert read(path).day is None


@pytest.mark.parametrize(
    ("path", "platform", "tile", "levels", "tier", "baselines"),
    [
        (f"{L2A}.tif", "sentinel-2b", "T33TVL", (Level.SURFACE,), Tier.UNSTATED, ("05.10",)),
        (f"a/{L2A}.SAFE/b.tif", "sentinel-2b", "", (Level.SURFACE,), Tier.UNSTATED, ("05.10",)),
        (f"{L2A.lower()}.SAFE/b.tif", "sentinel-2b", "", (Level.SURFACE,), Tier.UNSTATED, ("05.10",)),
        ("N0509/T33TVL_20220601T101243_N0400.tif", "", "T33TVL", (), Tier.UNSTATED, ("04.00", "05.09")),
        ("S2B_33TVL_20220601_0_L2A.tif", "sentinel-2b", "", (Level.SURFACE,), Tier.UNSTATED, ()),
        ("S2A_MSIL1C_20220601T101243.tif", "sentinel-2a", "", (Level.TOP_OF_ATMOSPHERE,), Tier.UNSTATED, ()),
        (f"{HLS}.tif", "hls-s30", "T20HNJ", (), Tier.UNSTATED, ()),
        (f"{LANDSAT}.tif", "landsat-8", "", (Level.SURFACE,), Tier.TIER_1, ()),
        ("LE07_L1TP_190028_20220601_20220614_02_RT.tif", "landsat-7", "", (Level(0),), Tier.REAL_TIME, ()),
        ("N4530/N45E015_2022-06-01T101243.tif", "", "", (), Tier.UNSTATED, ()),
    ],
)
def test_names_of_the_archives_are_understood(
    path: str, platform: str, tile: str, levels: tuple[Level, ...], tier: Tier, baselines: tuple[str, ...]
) -> None:
    told = read(path)

    assert (told.platform, told.tile, told.levels, told.tier, told.baselines) == (
        platform,
        tile,
        levels,
        tier,
        baselines,
    )


def test_the_time_of_processing_is_told_apart() -> None:
    assert read(f"{L2A}.SAFE/a.tif").processed_at == datetime(2024, 6, 1, 16, tzinfo=UTC)
    assert read(f"{LANDSAT}.tif").processed_at == datetime(2022, 6, 14, tzinfo=UTC)
    assert read("2022-06-01T101243.tif").processed_at is None


@pytest.mark.parametrize(
    ("text", "level"),
    [("S2MSI2A", 1), ("S2MSI1C", 0), ("L2", 1), ("L2A", 1), ("L1C", 0), ("L2SP", 1), ("L1TP", 0), ("other", None)],
)
def test_levels_that_items_state(text: str, level: int | None) -> None:
    assert level_of(text) == level


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sentinel-2b", "Sentinel-2B", True),
        ("sentinel-2b", "sentinel-2", True),
        ("sentinel-2b", "sentinel-2a", False),
        ("sentinel-2b", "landsat-8", False),
        ("landsat-8", "LANDSAT_9", False),
        ("landsat-8", "of ours", True),
    ],
)
def test_names_of_one_satellite(one: str, other: str, same: bool) -> None:
    assert same_satellite(one, other) is same
