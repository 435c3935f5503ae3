import importlib.util
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import spyndex
from hypothesis import given
from hypothesis import strategies as st
from satcommon.raster.indices import ALWAYS, CATALOGUE, INDICES, LETTERS, further_bands, layers, reflectance
from satcommon.raster.layers import FURTHER

NAMES = ("red", "nir", "swir16")


def cells(**bands: float | list[float]) -> dict[str, np.ndarray]:
    """Harmonised cells of reflectances: 0 is nodata, a reflectance of 0 is 1000."""
    return {
        name: np.array([0 if np.isnan(v) else round((v + 0.1) * 1e4) for v in np.atleast_1d(values)], np.uint16)
        for name, values in bands.items()
    }


def test_ndvi_and_ndmi_are_those_computed_by_hand() -> None:
    found = layers(cells(red=0.05, nir=0.40, swir16=0.25))

    assert found["ndvi"][0][0] == pytest.approx((0.40 - 0.05) / (0.40 + 0.05))
    assert found["ndmi"][0][0] == pytest.approx((0.40 - 0.25) / (0.40 + 0.25))
    assert found["ndvi"][1].all()
    assert found["ndmi"][1].all()


@given(st.lists(st.tuples(*[st.integers(1, 65_535)] * 3), min_size=1, max_size=50))
def test_the_indices_are_spyndexs_to_the_bit(values: list[tuple[int, int, int]]) -> None:
    given_cells = dict(zip(NAMES, np.array(values, np.uint16).T, strict=True))
    surface = {letter: reflectance(given_cells[band]) for letter, band in zip(("R", "N", "S1"), NAMES, strict=True)}

    with np.errstate(invalid="ignore", divide="ignore"):
        for column in ALWAYS:
            ours, theirs = layers(given_cells)[column][0], spyndex.computeIndex(INDICES[column].name, surface)
            assert ours.tobytes() == theirs.tobytes()


def test_a_forgotten_offset_would_turn_an_ndvi_of_0_82_into_0_51() -> None:
    dense = {"red": np.array([1300], np.uint16), "nir": np.array([4033], np.uint16)}

    right = layers(dense)["ndvi"][0][0]

    raw_red, raw_nir = (float(dense[name][0]) for name in ("red", "nir"))
    assert right == pytest.approx(0.82, abs=0.005)
    assert (raw_nir - raw_red) / (raw_nir + raw_red) == pytest.approx(0.51, abs=0.005)


def test_reflectance_may_be_slightly_negative_and_keeps_every_digit() -> None:
    assert reflectance(np.array([1000, 1, 900, 65535], np.uint16)) == pytest.approx([0, -0.0999, -0.01, 6.4535])
    assert reflectance(np.array([1000], np.uint16)).dtype == np.float64


def test_a_cell_without_data_in_any_of_its_bands_is_not_valid() -> None:
    nothing = float("nan")

    found = layers(
        cells(red=[0.05, nothing, 0.05, 0.05], nir=[0.4, 0.4, nothing, 0.4], swir16=[0.2, 0.2, 0.2, nothing])
    )

    assert found["ndvi"][1].tolist() == [True, False, False, True]
    assert found["ndmi"][1].tolist() == [True, True, False, False]


def test_a_layer_whose_bands_the_scene_lacks_is_not_there() -> None:
    assert layers(cells(red=0.05, nir=0.4)).keys() == {"ndvi"}
    assert layers(cells(nir=0.4, swir16=0.2)).keys() == {"ndmi"}
    assert layers(cells(blue=0.1)) == {}


def test_temperature_is_in_degrees_celsius_and_valid_where_it_was_sensed() -> None:
    values, valid = layers({"lwir11": np.array([29315, 0], np.uint16)})["lst_c"]

    assert values[0] == pytest.approx(20.0)
    assert valid.tolist() == [True, False]


def test_a_ratio_of_reflectances_of_opposite_sign_is_no_index() -> None:
    values = cells(red=[-0.01, 0.02, 0.4, 0.05], nir=[0.3, -0.02, -0.03, 0.05])

    found, valid = layers(values)["ndvi"]

    assert valid.tolist() == [False, False, False, True]
    assert np.isfinite(found[valid]).all()


def test_two_negative_reflectances_make_no_index_either() -> None:
    # (-0.02 - -0.04) / (-0.02 + -0.04) lies between -1 and 1, and has the wrong sign.
    _, valid = layers(cells(red=-0.04, nir=-0.02))["ndvi"]

    assert not valid.any()


def test_the_mean_of_ratios_is_not_the_ratio_of_means() -> None:
    found = layers(cells(red=[0.02, 0.20], nir=[0.50, 0.22]))["ndvi"][0].mean()

    assert found != pytest.approx((0.36 - 0.11) / (0.36 + 0.11), abs=0.01)


@given(
    st.lists(st.tuples(*[st.integers(0, 65535)] * 3), min_size=1, max_size=20),
    st.randoms(use_true_random=False),
)
def test_every_valid_index_lies_within_its_bounds_and_is_the_cells_own(
    values: list[tuple[int, int, int]], order: object
) -> None:
    bands = dict(zip(NAMES, np.array(values, np.uint16).T, strict=True))
    shuffled = list(range(len(values)))
    order.shuffle(shuffled)  # type: ignore[attr-defined]

    found = layers(bands)
    mixed = layers({name: band[shuffled] for name, band in bands.items()})

    for name in ("ndvi", "ndmi"):
        index, valid = found[name]
        assert (np.abs(index[valid]) <= 1).all()
        assert index[valid].dtype == np.float64
        assert mixed[name][0][mixed[name][1]].tobytes() == index[shuffled][valid[shuffled]].tobytes()


FURTHER_INDICES = [name for name in INDICES if name not in ALWAYS]
CELLS = st.lists(st.tuples(*[st.integers(1, 65_535)] * len(LETTERS)), min_size=1, max_size=20)


def test_the_table_of_indices_is_the_installed_catalogues() -> None:
    path = Path(__file__).parents[3] / "libs/satcommon/make_indices.py"
    spec = importlib.util.spec_from_file_location("make_indices", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert module.table() == CATALOGUE.read_text(encoding="utf-8"), "run `make indices`"
    assert {"evi", "evi2", "savi", "msavi", "ndwi", "mndwi", "gndvi", "nbr", "cire", "ndrei", "bi"} <= INDICES.keys()


@hypothesis.settings(max_examples=25)
@given(CELLS)
def test_every_index_is_spyndexs(values: list[tuple[int, ...]]) -> None:
    given_cells = dict(zip(LETTERS.values(), np.array(values, np.uint16).T, strict=True))
    surface = {letter: reflectance(given_cells[band]) for letter, band in LETTERS.items()}
    constants = {name: value for index in INDICES.values() for name, value in index.constants.items()}

    with np.errstate(all="ignore"):
        found = layers(given_cells, FURTHER_INDICES)
        theirs = spyndex.computeIndex([INDICES[column].name for column in FURTHER_INDICES], surface | constants)

    for column, expected in zip(FURTHER_INDICES, theirs, strict=True):
        ours, valid = found[column]
        assert (np.isfinite(expected) | ~valid).all()
        assert ours[valid] == pytest.approx(expected[valid], rel=1e-12, abs=1e-12), column


@hypothesis.settings(max_examples=25)
@given(CELLS)
def test_a_cells_index_is_the_same_to_the_bit_alone_and_among_others(values: list[tuple[int, ...]]) -> None:
    given_cells = dict(zip(LETTERS.values(), np.array(values, np.uint16).T, strict=True))

    together = layers(given_cells, FURTHER_INDICES)
    alone = layers({band: cells[-1:] for band, cells in given_cells.items()}, FURTHER_INDICES)

    for column in FURTHER_INDICES:
        assert together[column][0][-1:].tobytes() == alone[column][0].tobytes(), column


def test_only_what_indices_need_is_wanted_of_further_bands() -> None:
    assert further_bands(["evi", "mndwi"]) == ()
    assert further_bands(["seli", "rendvi", "evi"]) == ("rededge071", "rededge075", "nir08")
    assert {band for index in INDICES.values() for band in further_bands([index.name.lower()])} == set(FURTHER)
