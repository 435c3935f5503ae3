"""The data dictionary holds what the schema and the statuses are."""

import re
from pathlib import Path

from satcommon.stats.algorithm import algorithm
from satcommon.stats.data_dictionary import DERIVED, DICTIONARY, OF_FIELD, meaning_of
from satcommon.stats.result_rows import OPTIONAL, SCHEMA, SEEN, Status

PAGE = (Path(__file__).parents[3] / "docs/reference/columns.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")]


def test_every_column_is_told_in_its_place_with_its_type_and_what_it_is() -> None:
    columns = {row[0].strip("`"): row for row in ROWS if len(row) == 6}

    stored = [(name, row[1]) for name, row in columns.items() if name in DICTIONARY]
    assert stored == [(column.name, str(column.type)) for column in SCHEMA]
    assert set(columns) == {*DICTIONARY, *DERIVED, *OF_FIELD}
    assert all(row[4] and row[5] for row in columns.values())
    without_unit = {name for name, row in columns.items() if not row[2]}
    numbers = {column.name for column in SCHEMA if str(column.type) in ("double", "int32", "int64")}
    assert not without_unit & numbers


def test_each_unit_has_the_form_that_programs_read() -> None:
    for meaning in map(meaning_of, (*DICTIONARY, *OPTIONAL, *OF_FIELD)):
        assert (meaning.units is None) == (meaning.unit is None), meaning
    assert meaning_of("lst_c_mean").units == "degC"
    assert meaning_of("lst_c_stdev").units == "K"  # a difference has no offset
    assert meaning_of("ndvi_integral_e4").units == "1e-4 day"


def test_columns_of_further_indices_and_bands_have_a_meaning_too() -> None:
    for name in OPTIONAL:
        assert meaning_of(name).meaning
        assert meaning_of(name).unit


def test_every_status_is_defined_and_whether_it_feeds_the_state() -> None:
    statuses = [row for row in ROWS if len(row) == 3]

    assert sorted(row[0].strip("`") for row in statuses) == sorted(Status)
    assert {row[0].strip("`") for row in statuses if row[1] == "yes"} == set(SEEN)
    assert all(row[2] for row in statuses)


def test_the_thresholds_of_the_statuses_are_those_of_version_2() -> None:
    second = algorithm("2")
    told = re.findall(r"< `(min_\w+)`, ([0-9.]+)", PAGE)

    assert told
    assert all(float(value) == second.rules[rule] for rule, value in told)
    assert (second.min_clear, second.min_clear_full, second.min_cells) == (0.3, 0.9, 2)
