from dataclasses import replace
from pathlib import Path

import pytest
from satcommon.errors import AlgorithmError
from satcommon.raster.indices import INDICES
from satcommon.raster.layers import PixelClass
from satcommon.settings import settings
from satcommon.stats.algorithm import CURRENT, algorithm, algorithms, read_algorithms, resolved

EDGE = """
[edge]
based_on = "1"
inward_buffer_m = 10
dilate_cells = 2
dilate_classes = ["shadow", "cloud"]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the settings name, with one version."""
    path = tmp_path / "algorithms.toml"
    path.write_text(EDGE)
    monkeypatch.setenv("SATFIELDS_ALGORITHMS", str(path))
    settings.cache_clear()
    return path


def test_version_1_has_the_numbers_that_it_always_had() -> None:
    # Never to be edited: rows of version 1 are out in the world.
    assert algorithm("1").rules == {
        "clear_classes": ["clear"],
        "dilate_cells": 0,
        "dilate_classes": ["cloud", "shadow", "thin_cloud"],
        "inward_buffer_m": 0.0,
        "whole_cells": None,
        "min_cell_coverage": 0.0,
        "min_cells": 2.0,
        "statuses": 1,
        "min_inside": 0.0,
        "min_observed": 0.0,
        "min_clear": 0.3,
        "min_clear_full": 0.9,
        "kernel_size": 8,
        "kernel_tau_days": 16.0,
        "quantiles": [],
        "indices": [],
    }


def test_version_2_tells_statuses_by_their_cause_and_is_what_new_regions_get() -> None:
    first, second = algorithm("1").rules, algorithm("2").rules

    differing = {key: value for key, value in second.items() if value != first[key]}
    assert differing == {"statuses": 2, "min_inside": 0.5, "min_observed": 0.5}
    assert CURRENT == "2"


def test_without_a_file_the_built_in_versions_are_known() -> None:
    assert list(algorithms()) == ["1", "2"]


def test_a_version_of_the_file_differs_from_its_base_where_it_says_so(file: Path) -> None:
    name = resolved("edge")

    made = algorithm(name)

    assert list(algorithms()) == ["1", "2", name]
    assert made.version == name
    differing = {key: value for key, value in made.rules.items() if value != algorithm("1").rules[key]}
    assert differing == {"inward_buffer_m": 10.0, "dilate_cells": 2, "dilate_classes": ["cloud", "shadow"]}
    assert set(made.dilate_classes) == {PixelClass.CLOUD, PixelClass.SHADOW}


def test_a_version_s_name_is_known_by_heart(file: Path) -> None:
    # Rows bear it: a release that names the same rules otherwise would recompute every region that is pinned to them.
    assert resolved("edge") == resolved("edge@90f0089a") == "edge@90f0089a"


@pytest.mark.parametrize(
    "same",
    [
        EDGE.replace("10", "10.0"),
        EDGE.replace('["shadow", "cloud"]', '["cloud", "shadow", "cloud"]'),
        EDGE + "min_clear = 0.3\n",  # is so anyway
        EDGE + "quantiles = []\n",  # likewise
        "# said otherwise\n" + EDGE,
    ],
)
def test_the_same_rules_have_the_same_name(same: str, file: Path) -> None:
    before = resolved("edge")

    file.write_text(same)

    assert resolved("edge") == before


def test_quantiles_are_asked_for_by_a_version_of_the_file(file: Path) -> None:
    file.write_text("[median]\nbased_on = '1'\nquantiles = [0, 0.5, 1]\n")

    made = algorithm(resolved("median"))

    assert made.quantiles == (0.0, 0.5, 1.0)
    assert made.rules == algorithm("1").rules | {"quantiles": [0.0, 0.5, 1.0]}
    assert made.version == "median@8ae6d131"
    assert made.coverage_rule == algorithm("1").coverage_rule  # coverage is not computed anew for them


@pytest.mark.parametrize(
    "rule",
    [
        "clear_classes = ['clear', 'snow']",
        "dilate_cells = 3",
        "dilate_classes = ['cloud']",
        "inward_buffer_m = 10.000001",
        "whole_cells = 0.5",
        "min_cell_coverage = 0.1",
        "min_cells = 3",
        "min_inside = 0.5",
        "min_observed = 0.5",
        "min_clear = 0.4",
        "min_clear_full = 0.8",
        "kernel_size = 4",
        "kernel_tau_days = 8",
        "quantiles = [0.5]",
    ],
)
def test_a_rule_that_is_edited_makes_another_version_and_the_former_one_is_refused(rule: str, file: Path) -> None:
    before = resolved("edge")
    key = rule.split(" ")[0]

    file.write_text("".join(line for line in EDGE.splitlines(keepends=True) if not line.startswith(key)) + rule)

    now = resolved("edge")
    assert now != before
    with pytest.raises(AlgorithmError) as caught:
        algorithm(before)
    said = f"algorithm version '{before}' is not supported here: {file} has other rules by that name now, which are"
    assert str(caught.value).startswith(f"{said} version '{now}'; put the former ones back, or")
    assert str(caught.value).endswith(f"`satctl regions pin REGION {now}`")


def test_an_image_without_the_file_refuses_its_versions(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = resolved("edge")
    monkeypatch.delenv("SATFIELDS_ALGORITHMS")
    settings.cache_clear()

    with pytest.raises(
        AlgorithmError, match=rf"'{name}' is not supported here \(known: 1, 2\); name the file .* by SATF"
    ):
        algorithm(name)


def test_a_bare_name_is_no_version(file: Path) -> None:
    with pytest.raises(AlgorithmError, match="'edge' is not supported here"):
        algorithm("edge")
    with pytest.raises(AlgorithmError, match="'egde' is not supported here"):
        resolved("egde")


def test_a_name_fits_the_ledger(file: Path) -> None:
    file.write_text(EDGE.replace("edge", "e" * 23))

    assert len(resolved("e" * 23)) == 32


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[edge]\nbased_on = '1'\nmin_clear = 2.5",
            r"\[edge\] min_clear = 2.5: expected a number less than or equal to 1",
        ),
        ("[edge]\nbased_on = '1'\nmin_clear = nan", r"\[edge\] min_clear = nan: expected a finite number"),
        ("[edge]\nbased_on = '1'\ndilate_cells = 1.5", r"\[edge\] dilate_cells = 1.5: expected a valid integer"),
        ("[edge]\nbased_on = '1'\nmin_cells = true", r"\[edge\] min_cells = True: expected a valid number"),
        ("[edge]\nbased_on = '1'\nwhole_cells = 0", r"\[edge\] whole_cells = 0: expected a number greater than 0"),
        (
            "[edge]\nbased_on = '1'\nkernel_size = 0",
            r"\[edge\] kernel_size = 0: expected a number greater than or equal to 1",
        ),
        (
            "[edge]\nbased_on = '1'\nclear_classes = ['haze']",
            r"\[edge\] clear_classes = \['haze'\]: expected names of nodata, clear, cloud, thin_cloud, ",
        ),
        (
            "[edge]\nbased_on = '1'\nclear_classes = 'clear'",
            r"\[edge\] clear_classes = 'clear': expected a list of names",
        ),
        (
            "[edge]\nbased_on = '1'\nquantiles = [0.5, 0.1]",
            r"\[edge\] quantiles = \[0.5, 0.1\]: expected fractions that ascend, each of them once",
        ),
        ("[edge]\nbased_on = '1'\nquantiles = [0.5, 0.5]", r"\[edge\] quantiles = .*: expected fractions that ascend"),
        (
            "[edge]\nbased_on = '1'\nquantiles = [50]",
            r"\[edge\] quantiles = \[50\]: expected a number less than or equal to 1",
        ),
        (
            "[edge]\nbased_on = '1'\nquantiles = [-0.1]",
            r"\[edge\] quantiles = .*: expected a number greater than or equal to 0",
        ),
        ("[edge]\nbased_on = '1'\nquantiles = ['median']", r"\[edge\] quantiles = .*: expected a valid number"),
        ("[edge]\nbased_on = '1'\nquantiles = 0.5", r"\[edge\] quantiles = 0.5: expected a list of numbers"),
        (
            f"[edge]\nbased_on = '1'\nquantiles = {[n / 20 for n in range(21)]}",
            r"\[edge\] quantiles = .* at most 20 items",
        ),
        ("[edge]\nbased_on = '1'\nclear_classes = []", r"\[edge\] clear_classes = \[\]: .* at least 1 item"),
        ("[edge]\nbased_on = '1'\nclear_classes = ['nodata']", r"\[edge\]: clear_classes can't hold nodata"),
        (
            "[edge]\nbased_on = '1'\nclear_classes = ['clear', 'shadow']\ndilate_cells = 1",
            r"\[edge\]: shadow can't be in both clear_classes and dilate_classes",
        ),
        ("[edge]\nbased_on = '1'\nmin_clear = 0.95", r"\[edge\]: min_clear 0.95 is more than min_clear_full 0.9"),
        ("[edge]\nbased_on = '1'\nstatuses = 3", r"\[edge\] statuses = 3: expected a number less than or equal to 2"),
        ("[edge]\nbased_on = '1'\nstatuses = 2", r"\[edge\]: min_observed 0.0 is less than min_clear 0.3"),
        (
            "[edge]\nbased_on = '2'\nmin_observed = 0.2",
            r"\[edge\]: min_observed 0.2 is less than min_clear 0.3: .*cloudy",
        ),
        (
            "[edge]\nbased_on = '1'\ntau = 3",
            r"\[edge\] tau = 3: is no rule; expected based_on and some of clear_classes,",
        ),
        ("[edge]\nbased_on = '1'\nversion = '1'", r"\[edge\] version = '1': is no rule"),
        ("[edge]\nmin_clear = 0.2", r"\[edge\] based_on = None: expected one of '1'"),
        ("[edge]\nbased_on = 1", r"\[edge\] based_on = 1: expected one of '1'"),
        ("edge = 3", r"\[edge\]: is 3; expected a table"),
        ("[1]\nbased_on = '1'", r"\[1\]: can't be a version's name; .* none that is built in \(1, 2\)"),
        ("['a@b']\nbased_on = '1'", r"\[a@b\]: can't be a version's name"),
        ("[edge\n", r"can't be read as TOML: .*line 1"),
    ],
)
def test_a_wrong_file_is_refused_with_file_table_key_value_and_what_was_expected(
    text: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "algorithms.toml"
    path.write_text(text)

    with pytest.raises(AlgorithmError, match=rf"algorithms\.toml: {said}"):
        read_algorithms(path)


def test_every_wrong_rule_of_a_table_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "algorithms.toml"
    path.write_text("[edge]\nbased_on = '1'\nmin_clear = 2\nkernel_size = 0\n")

    with pytest.raises(AlgorithmError, match=r"\[edge\] kernel_size = 0: .*; .*\[edge\] min_clear = 2: "):
        read_algorithms(path)


def test_a_file_that_is_not_there_is_named_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(AlgorithmError, match=r"^SATFIELDS_ALGORITHMS=.*gone\.toml: can't be read"):
        read_algorithms(tmp_path / "gone.toml")


def test_a_version_may_ask_for_indices_whose_formulas_are_part_of_its_name(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('[red]\nbased_on = "2"\nindices = ["evi", "ndrei"]\n')
    before = algorithm(resolved("red"))
    changed = replace(INDICES["evi"], formula="2.5*(N-R)/(N+6*R-7.5*B+1)")

    assert before.further_bands == ("rededge071",)
    assert algorithm("2").further_bands == ()
    monkeypatch.setitem(INDICES, "evi", changed)
    assert resolved("red") != before.version
    with pytest.raises(AlgorithmError, match="has other rules by that name"):
        algorithm(before.version)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("EVI", "did you mean 'evi'"),
        ("ndre", "did you mean .*'ndrei'"),
        ("kndvi", "`satctl regions indices` lists all"),
        ("ndvi", "every row has ndvi anyway"),
    ],
)
def test_an_index_that_is_not_known_is_refused_with_those_like_it(file: Path, name: str, told: str) -> None:
    file.write_text(f'[red]\nbased_on = "2"\nindices = ["{name}"]\n')

    with pytest.raises(AlgorithmError, match=rf"algorithms.toml: \[red\] indices: .*{told}"):
        algorithms()
