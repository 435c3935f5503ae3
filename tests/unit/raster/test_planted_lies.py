"""Lies planted over true region-days are told, and true ones under snow, water, bare soil, haze and clouds are not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from satcommon.errors import RadiometricError, SceneError
from satcommon.raster.layers import BANDS, CLASSES, REFLECTIVE, THERMAL, Layers, PixelClass
from satcommon.raster.pixel_checks import check_pixels
from satcommon.sources.folder import FolderSource

from tests.unit.geotiffs import AOI, FIRST, GRID, LAST, NOW, write
from tests.unit.raster.region_days import KINDS, LIES, region_day

TWO_BANDS = ("red", "nir")
# Shares that may pass, since nothing in one acquisition contradicts them (docs/decisions/0025-radiometric-checks.md).
_MAY_PASS = {
    "offset forgotten": 0.65,
    "blue and red swapped": 0.15,
    "mask inverted": 0.06,
    "offset applied twice": 0.04,
}
_FIRST_LIE = 1_000_000  # no region-day of the true ones


def _refused(layers: Layers, mask: str) -> str:
    try:
        check_pixels(layers, "a.tif", mask)
    except RadiometricError as error:
        return error.check
    return ""


def _alarms(count: int, first: int = 0) -> list[str]:
    """The true region-days that are refused; every other one has red and near infrared alone."""
    alarms = []
    for number in range(first, first + count):
        kind = KINDS[number // 2 % len(KINDS)]
        day = region_day(number, kind, TWO_BANDS if number % 2 else BANDS)
        if check := _refused(day.layers, day.mask):
            alarms.append(f"{check}: {day.name}")
    return alarms


def _missed(count: int) -> tuple[Counter[str], list[str]]:
    """How often each lie was told, and those that passed. Without clear cells, no number is made, and none is wrong."""
    told: Counter[str] = Counter()
    passed = []
    number = _FIRST_LIE
    while told.total() < count:
        number += 1
        name = list(LIES)[told.total() % len(LIES)]
        day = region_day(number, "as it is", BANDS, "scl")
        if np.count_nonzero(day.layers.classes == PixelClass.CLEAR) < 200:
            continue
        told[name] += 1
        if not _refused(LIES[name](day.layers), day.mask):
            passed.append(name)
    return told, passed


def test_a_sample_of_true_region_days_is_taken_whatever_lies_over_the_land() -> None:
    assert _alarms(180) == []


@pytest.mark.nightly
def test_of_five_thousand_true_region_days_at_most_five_are_refused() -> None:
    alarms = _alarms(5_000, 10_000)
    assert len(alarms) <= 5, alarms


def test_a_sample_of_lies_is_told() -> None:
    told, passed = _missed(63)
    assert min(told.values()) == 7
    assert set(passed) <= set(_MAY_PASS)
    assert Counter(passed)["offset forgotten"] < 7
    assert len([name for name in passed if name != "offset forgotten"]) <= 2


@pytest.mark.nightly
def test_of_a_thousand_lies_those_pass_that_nothing_in_one_acquisition_contradicts() -> None:
    told, passed = _missed(1_000)
    shares = {name: number / told[name] for name, number in Counter(passed).items()}
    assert set(shares) <= set(_MAY_PASS)
    assert {name: share for name, share in shares.items() if share > _MAY_PASS[name]} == {}


@pytest.mark.parametrize("baseline", ["04.00", "05.11"])
def test_an_offset_that_is_forgotten_is_told_by_the_baseline_over_any_land(tmp_path: Path, baseline: str) -> None:
    for number in range(6):
        day = region_day(number, KINDS[number])
        rows, columns = GRID.height, GRID.width
        stored = {band: values[:rows, :columns] for band, values in day.layers.bands.items() if band != THERMAL}
        stored[CLASSES] = day.layers.classes[:rows, :columns].astype(np.uint16)
        scale = dict.fromkeys(REFLECTIVE, 1e-4)
        path = tmp_path / str(number) / "S2A_2016-01-07T101243.tif"
        for offset, taken in ((0.0, False), (-0.1, True)):
            offsets = dict.fromkeys(REFLECTIVE, offset)
            write(path, stored, scale=scale, offset=offsets, nodata=0, PROCESSING_BASELINE=baseline)
            source = FolderSource(path.parent)
            listing = source.list(AOI, FIRST, LAST, NOW)
            assert bool(listing.acquisitions) is taken
            if taken:
                source.read(AOI, next(iter(listing.acquisitions.values()))[0])
            else:
                assert "has a reflectance offset of -0.1" in listing.refused[path.name]


@pytest.mark.parametrize("lie", [name for name in LIES if name != "offset forgotten"])
def test_a_lie_in_a_file_is_refused_when_the_file_is_read(tmp_path: Path, lie: str) -> None:
    day = region_day(4, "as it is", BANDS, "classes")
    told = LIES[lie](day.layers)
    rows, columns = told.classes.shape
    grid = replace(GRID, width=columns, height=rows)
    bands = {band: values for band, values in told.bands.items() if band != THERMAL} | {
        CLASSES: told.classes.astype(np.uint16)
    }
    offsets, scale = dict.fromkeys(REFLECTIVE, -0.1), dict.fromkeys(REFLECTIVE, 1e-4)
    write(tmp_path / "2016-01-07T101243.tif", bands, grid=grid, scale=scale, offset=offsets, nodata=0)
    source, aoi = FolderSource(tmp_path), replace(AOI, grid=grid)
    (items,) = source.list(aoi, FIRST, LAST, NOW).acquisitions.values()
    with pytest.raises(SceneError, match="expected") as refused:
        source.read(aoi, items[0])
    assert isinstance(refused.value, RadiometricError)
    assert source.read(aoi, replace(items[0], accepted=True)).classes.any()
