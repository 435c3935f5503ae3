"""What makes a day complete, fresh and plausible, and what only warns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from dagster import AssetCheckSeverity
from satcommon.asset_checks import as_result
from satcommon.contract import FIELD_METRICS
from satcommon.db import answers, ledger, missed_days
from satcommon.db.deadlines import Deadlines
from satcommon.db.engine import read_transaction, write_transaction
from satcommon.db.models import Cause, Miss, Region, RegionDay
from satcommon.db.quarantine import Doubt
from satcommon.environment import Environment
from satcommon.views.day_checks import CheckResult, Outcome, audit_check, day_checks, plausible
from sqlalchemy import update

from tests.integration.satctl_world import FIRST, LAST, Satctl, closed, satctl, system  # noqa: F401  # fixtures

DAY = date(2025, 6, 3)


def region(env: Environment) -> Region:
    with read_transaction(env.engine) as connection:
        return ledger.region(connection, 1)


def check(env: Environment, name: str, day: date = DAY, deadlines: Deadlines | None = None) -> CheckResult:
    found = day_checks(env.engine, env.store(), deadlines or env.deadlines, region(env), day)
    return {one.name: one for one in found}[name]


def miss(env: Environment, attempts: int) -> None:
    with write_transaction(env.engine) as connection:
        opened = missed_days.OpenMiss(1, DAY, Cause.LATE_FIELD, "x")
        missed_days.open_misses(connection, 1, [opened], datetime.now(UTC))
        connection.execute(update(Miss).values(attempts=attempts))


def test_a_day_with_all_its_rows_is_complete(closed: Environment) -> None:  # noqa: F811
    found = check(closed, "complete")

    assert found.outcome is Outcome.PASSED
    assert found.facts == {"expected": 1, "settled": 1, "missed": 0}
    assert audit_check(closed.engine, region(closed)).facts == {"expected": 4, "settled": 4, "missed": 0}


def test_a_miss_is_a_warning_by_its_cause_until_it_has_failed_too_often(closed: Environment) -> None:  # noqa: F811
    miss(closed, attempts=0)
    known = check(closed, "complete")
    miss(closed, attempts=3)
    given_up = check(closed, "complete")

    assert (known.outcome, known.facts["missed: late_field"], known.facts["settled"]) == (Outcome.WARNING, 1, 0)
    assert (given_up.outcome, given_up.facts["given up"]) == (Outcome.ERROR, 1)
    assert audit_check(closed.engine, region(closed)).outcome is Outcome.ERROR


def test_a_day_with_an_acquisition_in_quarantine_warns_and_names_item_and_check(closed: Environment) -> None:  # noqa: F811
    reasons = {
        "tile_b.tif": "tile_b.tif: the thermal band is cold; expected kelvin",
        "tile_c.tif": "tile_c.tif: is cut",
    }
    doubts = {"tile_b.tif": Doubt("thermal_range", "d" * 64)}
    with write_transaction(closed.engine) as connection:
        answers.refuse(connection, 1, DAY, reasons, datetime.now(UTC), doubts)

    found, other = check(closed, "complete"), check(closed, "complete", LAST)

    assert (found.outcome, found.facts["settled"]) == (Outcome.WARNING, 1)
    assert "in quarantine: tile_b.tif (thermal_range), tile_c.tif (is cut)" in found.said
    assert found.facts["in quarantine"] == {"tile_b.tif": "thermal_range", "tile_c.tif": "is cut"}
    assert other.outcome is Outcome.PASSED
    shown = as_result(FIELD_METRICS, found)
    assert (shown.passed, shown.severity, shown.description) == (False, AssetCheckSeverity.WARN, found.said)


def test_quarantine_makes_no_error_less(closed: Environment) -> None:  # noqa: F811
    miss(closed, attempts=3)
    with write_transaction(closed.engine) as connection:
        answers.refuse(connection, 1, DAY, {f"t{n}": f"t{n}: is cut" for n in range(5)}, datetime.now(UTC))

    found = check(closed, "complete")

    assert found.outcome is Outcome.ERROR
    assert "t0 (is cut), t1 (is cut), t2 (is cut) and 2 more" in found.said


def test_rows_that_are_neither_there_nor_missed_are_an_error(closed: Environment) -> None:  # noqa: F811
    with write_transaction(closed.engine) as connection:
        connection.execute(update(RegionDay).where(RegionDay.day == DAY).values(row_count=0))

    found, past = check(closed, "complete"), audit_check(closed.engine, region(closed))

    assert (found.outcome, found.facts["lost"]) == (Outcome.ERROR, 1)
    assert (past.outcome, past.facts["lost"], past.facts["settled"]) == (Outcome.ERROR, 1, 3)
    assert check(closed, "complete", LAST).outcome is Outcome.PASSED


def test_a_region_without_a_closed_day_has_nothing_to_account_for(system: Any, satctl: Satctl) -> None:  # noqa: F811
    satctl("regions", "add", "S", "--bounds", "-94.3", "40.3", "-94.0", "40.6", "--resolution", "500")
    with read_transaction(system) as connection:
        found = ledger.region(connection, 1)

    assert audit_check(system, found).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("closed_after", "answered_after", "outcome"),
    [(37, 3, Outcome.PASSED), (39, 3, Outcome.ERROR), (39, 40, Outcome.WARNING)],
)
def test_a_day_is_fresh_until_two_hours_after_its_deadline(
    closed_after: int,
    answered_after: int,
    outcome: Outcome,
    closed: Environment,  # noqa: F811
) -> None:
    noon = datetime(2025, 6, 3, 18, 16, 36, tzinfo=UTC)  # solar, at 94.15 degrees west
    with write_transaction(closed.engine) as connection:
        connection.execute(update(Region).values(created_at=noon - timedelta(days=90)))
        times = {
            "closed_at": noon + timedelta(hours=closed_after),
            "answered_at": noon + timedelta(hours=answered_after),
        }
        connection.execute(update(RegionDay).where(RegionDay.day == DAY).values(**times))

    assert check(closed, "fresh", deadlines=Deadlines(36, 30)).outcome is outcome


def test_the_past_of_a_region_that_was_just_registered_is_fresh(closed: Environment) -> None:  # noqa: F811
    assert check(closed, "fresh", FIRST).outcome is Outcome.PASSED


def rows(*newest: float, day: date = DAY, step: float = 0.01, length: int = 6) -> Iterator[dict[str, Any]]:
    """Fields whose NDVI rose by `step` to 0.5, and then came to ``newest``; the oldest places of eight are empty."""
    for value in newest:
        series = [value, *(0.5 - step * n for n in range(length - 1))]
        days = [day.toordinal() - 3 * n for n in range(length)]
        padding = [0] * (8 - length)
        yield {
            "clear_fraction": 0.9,
            "state_days": days + padding,
            "state_ndvi_e4": [round(ndvi * 10_000) for ndvi in series] + padding,
        }


@pytest.mark.parametrize(
    ("newest", "outcome"),
    [
        ((0.51, 0.52, 0.5), Outcome.PASSED),
        ((0.3, 0.31, 0.29), Outcome.WARNING),  # an offset that was forgotten
        ((0.7, 0.71, 0.69), Outcome.WARNING),
        ((0.3, 0.5, 0.51), Outcome.PASSED),  # one field's harvest
        ((0.3, 0.31), Outcome.PASSED),  # too few to say
    ],
)
def test_a_region_whose_ndvi_jumps_is_a_warning(newest: tuple[float, ...], outcome: Outcome) -> None:
    assert plausible(DAY, list(rows(*newest))).outcome is outcome


def test_a_past_of_larger_steps_lets_expect_larger_ones() -> None:
    assert plausible(DAY, list(rows(0.3, 0.31, 0.29, step=0.05))).outcome is Outcome.PASSED


def test_fields_without_a_clear_observation_or_a_past_are_not_judged() -> None:
    unseen = rows(0.1, 0.1, 0.1, day=DAY - timedelta(days=1))
    young = rows(0.1, 0.1, 0.1, length=4)
    none: list[dict[str, Any]] = [{"clear_fraction": None, "state_days": None, "state_ndvi_e4": None}] * 3

    found = plausible(DAY, [*unseen, *young, *none])

    assert (found.outcome, found.facts["fields judged"]) == (Outcome.PASSED, 0)
