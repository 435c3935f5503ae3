import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from satcommon.raster.layers import PixelClass
from satcommon.raster.masks import CLASS_NAMES, translate

N, CLEAR, CLOUD, THIN, SHADOW, SNOW, WATER, DEFECTIVE = PixelClass


@pytest.mark.parametrize(
    ("kind", "shows"),
    [
        ("clear", {0: CLOUD, 1: CLEAR, 2: DEFECTIVE}),
        ("cloud", {0: CLEAR, 1: CLOUD, 255: DEFECTIVE}),
        ("cloud_mask", {0: CLEAR, 1: CLOUD}),
        ("mask", {0: CLEAR, 1: CLOUD}),
        ("classes", {**{int(code): code for code in PixelClass}, 8: DEFECTIVE}),
        (
            "scl",
            {0: N, 1: DEFECTIVE, 2: SHADOW, 3: SHADOW, 4: CLEAR, 5: CLEAR, 6: WATER, 7: CLEAR}
            | {8: CLOUD, 9: CLOUD, 10: THIN, 11: SNOW, 12: DEFECTIVE, 999: DEFECTIVE, 65535: DEFECTIVE},
        ),
        ("fmask", {0: CLEAR, 1: WATER, 2: SHADOW, 3: SNOW, 4: CLOUD, 5: DEFECTIVE, 254: DEFECTIVE, 255: N}),
        (
            "hls_fmask",
            {
                0b00000000: CLEAR,
                0b11000000: CLEAR,  # much aerosol
                0b00000001: THIN,
                0b01000010: CLOUD,
                0b01000100: CLOUD,  # next to one
                0b01001000: SHADOW,
                0b01010000: SNOW,
                0b01100000: WATER,
                0b00001010: CLOUD,  # and shadow
                0b00111001: SHADOW,  # and cirrus, snow, water
                0b00110001: THIN,
                0b00110000: SNOW,
                0b11111111: N,
                256: DEFECTIVE,
            },
        ),
        ("clm", {0: CLEAR, 1: CLOUD, 255: N, 2: DEFECTIVE}),
        ("clp", {0: CLEAR, 101: CLEAR, 102: CLOUD, 255: CLOUD, 256: DEFECTIVE}),
        ("qa60", {0: CLEAR, 1024: CLOUD, 2048: THIN, 3072: CLOUD, 1: DEFECTIVE, 4096: DEFECTIVE}),
        (
            "pixel_qa",
            {  # usual combinations of Landsat 8, then single rules
                1: N,
                322: CLEAR,
                324: WATER,
                328: SHADOW,
                336: SNOW,
                352: CLOUD,
                386: CLOUD,  # of medium confidence
                480: CLOUD,
                834: THIN,
                66: CLEAR,  # Landsat 5 and 7
                0: DEFECTIVE,
                1 << 1 | 1 << 10: DEFECTIVE,  # hidden by terrain
                1 << 1 | 1 << 3: SHADOW,
            },
        ),
        (
            "qa_pixel",
            {  # usual combinations first, then single rules
                1: N,
                21824: CLEAR,
                21826: CLOUD,  # dilated
                21888: WATER,
                21890: CLOUD,  # dilated, over water
                22080: CLOUD,  # of medium confidence
                22144: CLOUD,  # of medium confidence, over water
                22280: CLOUD,
                23888: SHADOW,
                23952: SHADOW,  # over water
                24088: CLOUD,  # of medium confidence, and shadow
                24344: CLOUD,  # and shadow
                30048: SNOW,
                54596: THIN,
                54852: CLOUD,  # of medium confidence, and cirrus
                55052: CLOUD,  # and cirrus
                0: DEFECTIVE,  # not determined
                0b1 | 1 << 3: N,
                1 << 4 | 1 << 2: SHADOW,
                1 << 2 | 1 << 5: THIN,
                1 << 5 | 1 << 7: SNOW,
                1 << 6 | 3 << 10: SHADOW,  # by confidence alone
                1 << 6 | 3 << 12: SNOW,
                1 << 6 | 3 << 14: THIN,
            },
        ),
    ],
)
def test_values_of_a_class_band_are_translated(kind: str, shows: dict[int, PixelClass]) -> None:
    values = np.array([list(shows)], np.uint16)

    found = translate(values, kind)

    assert found.dtype == np.uint8
    assert dict(zip(shows, found[0].tolist(), strict=True)) == shows


@pytest.mark.parametrize("kind", CLASS_NAMES)
@given(value=st.floats(width=32) | st.integers(-(2**31), 2**31 - 1))
def test_what_is_no_value_of_16_bits_is_defective(kind: str, value: float) -> None:
    (found,) = translate(np.array([value]), kind)

    if not (0 <= value <= 65535 and value == int(value)):
        assert found == PixelClass.DEFECTIVE


@given(value=st.integers(0, 65535))
def test_bits_of_cloud_or_shadow_are_never_clear(value: int) -> None:
    (landsat,) = translate(np.array([value]), "qa_pixel")
    (hls,) = translate(np.array([value & 255]), "hls_fmask")

    assert landsat != PixelClass.CLEAR or (value & 0b0111_1111 == 0b0100_0000 and value >> 8 & 3 < 2)
    assert hls != PixelClass.CLEAR or value & 0b0011_1111 == 0
