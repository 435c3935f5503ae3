"""Is a closed day complete, fresh and plausible? Is a region's past accounted for?

Completeness, freshness and the account of the past are read from the ledger alone. Plausibility needs three columns of
the day's own rows: these remember the last clear observations of their fields, so that no other day is opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from satcommon.db import ledger, missed_days, quarantine
from satcommon.db.engine import read_transaction
from satcommon.db.expectations import timelines
from satcommon.db.registry import aoi_of
from satcommon.pipeline.backlog import TRIES

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from satcommon.db.deadlines import Deadlines
    from satcommon.db.models import Miss, Region
    from satcommon.db.quarantine import Quarantined
    from satcommon.storage.object_store import ObjectStore

COMPLETE, FRESH, PLAUSIBLE, AUDIT = "complete", "fresh", "plausible", "audit"

# What asks for a day wakes every hour; a run then waits for a slot, and takes minutes.
GRACE = timedelta(hours=2)
# A jump is judged where at least so many fields remember so many observations.
FIELDS, REMEMBERED = 3, 5
# In NDVI. In nine simulated seasons none of 461 judged days was told (docs/reference/dagster.md).
JUMP = 0.10
USUAL_STEPS = 3
NAMED = 3  # acquisitions in a sentence; the facts have all


class Outcome(StrEnum):
    """What a check comes to."""

    PASSED = "passed"
    WARNING = "warning"
    """It is known and comes right by itself, or is to be looked at."""
    ERROR = "error"
    """Somebody has to act."""


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Args:
        name: of the check.
        outcome: whether what it promises holds, and whether somebody has to act.
        said: the finding in a sentence.
        facts: numbers and causes.
    """

    name: str
    outcome: Outcome
    said: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def day_checks(
    engine: Engine, store: ObjectStore, deadlines: Deadlines, region: Region, day: date
) -> list[CheckResult]:
    """The checks of a region's closed day as it now is published.

    Args:
        engine: of the ledger.
        store: of the results.
        deadlines: the waiting times.
        region: the region.
        day: the day.
    """
    from satcommon.publication.objects import ResultObjects
    from satcommon.publication.reader import published_days

    with read_transaction(engine) as connection:
        row = ledger.region_day(connection, region.bbox_id, day)
        assert row is not None
        assert row.closed_at is not None, "only closed days are checked"
        found = [_complete(connection, region, row), _fresh(region, row, deadlines)]
        published = published_days(connection, region.bbox_id, day, day)
    columns = ["clear_fraction", "state_days", "state_ndvi_e4"]
    return [*found, plausible(day, published.rows(ResultObjects(store), day, columns).to_pylist())]


def _complete(connection: Connection, region: Region, day: ledger.Day) -> CheckResult:
    lines = timelines(connection, region.bbox_id).values()
    expected = sum(line.at(day.day) is not None for line in lines)
    missed = missed_days.misses(connection, region.bbox_id, day.day, day.day)
    withdrawn = len(ledger.withdrawals(connection, region.bbox_id, day.day, day.day))
    account = _account(COMPLETE, expected, (day.row_count or 0) - withdrawn, missed)
    return _with_quarantine(account, quarantine.quarantined(connection, region, day.day))


def _with_quarantine(account: CheckResult, refused: Sequence[Quarantined]) -> CheckResult:
    """An account that also names what is in quarantine of the day: rows may rest on less than was delivered."""
    if not refused:
        return account
    failed = {each.item: each.check or each.found for each in refused}
    named = ", ".join(f"{item} ({why})" for item, why in list(failed.items())[:NAMED])
    more = f" and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
    said = f"{account.said}; in quarantine: {named}{more}; see `satctl scenes quarantine`"
    outcome = Outcome.WARNING if account.outcome is Outcome.PASSED else account.outcome
    return replace(account, outcome=outcome, said=said, facts={**account.facts, "in quarantine": failed})


def audit_check(engine: Engine, region: Region) -> CheckResult:
    """Whether the closed days of a region have as many rows as its expected field-days that are not missed.

    It counts; `satctl audit` compares field by field, and looks for every object.
    """
    with read_transaction(engine) as connection:
        last = ledger.watermark(connection, region.bbox_id)
        if last is None:
            return CheckResult(AUDIT, Outcome.PASSED, "no day is closed yet", {"expected": 0})
        lines = timelines(connection, region.bbox_id).values()
        expected = sum(max(0, (min(span.last, last) - span.first).days + 1) for line in lines for span in line.spans)
        missed = missed_days.misses(connection, region.bbox_id, date.min, last)
        withdrawn = len(ledger.withdrawals(connection, region.bbox_id, date.min, last))
        rows = ledger.published_rows(connection, region.bbox_id, date.min, last)
    return _account(AUDIT, expected, rows - withdrawn, missed)


def _account(name: str, expected: int, rows: int, missed: Sequence[Miss]) -> CheckResult:
    """Expected is settled and missed. A missed field may keep an earlier row, so rows can be more than settled ones."""
    lost = max(0, expected - len(missed) - rows)
    given_up = sum(miss.attempts >= TRIES for miss in missed)
    causes = {f"missed: {cause.value}": count for cause, count in Counter(miss.cause for miss in missed).items()}
    facts = {"expected": expected, "settled": expected - len(missed) - lost, "missed": len(missed), **causes}
    if lost:
        said = f"{lost} of {expected} field-days have no row and are not missed; run `satctl audit`"
        return CheckResult(name, Outcome.ERROR, said, facts | {"lost": lost})
    if given_up:
        said = f"{given_up} of {expected} field-days failed {TRIES} times; `satctl status` says why"
        return CheckResult(name, Outcome.ERROR, said, facts | {"given up": given_up})
    if missed:
        return CheckResult(name, Outcome.WARNING, f"{len(missed)} of {expected} field-days are not computed yet", facts)
    return CheckResult(name, Outcome.PASSED, f"all {expected} expected field-days have their rows", facts)


def _fresh(region: Region, day: ledger.Day, deadlines: Deadlines) -> CheckResult:
    """Rows were published in time: two hours after the day's deadline, or after the region was registered."""
    assert day.closed_at is not None
    promised = max(deadlines.closes_at(day.day, aoi_of(region).bounds), region.created_at) + GRACE
    late = day.closed_at - promised
    facts = {"closed at": _minute(day.closed_at), "promised by": _minute(promised)}
    if late <= timedelta(0):
        return CheckResult(FRESH, Outcome.PASSED, "its rows were published in time", facts)
    hours = f"{late.total_seconds() / 3600:.1f} hours late"
    if day.answered_at is None or day.answered_at > promised:
        return CheckResult(
            FRESH, Outcome.WARNING, f"{hours}: the source was first asked, or answered, after that", facts
        )
    return CheckResult(FRESH, Outcome.ERROR, f"{hours}, though its answer was there", facts)


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def plausible(day: date, rows: Sequence[Mapping[str, Any]]) -> CheckResult:
    """Whether the region's NDVI stays within its own past.

    The jump is the median over fields of the newest clear observation less the one before. It may be 0.10, and three
    times the usual step: the median of the earlier steps, without sign. The share of clear cells is shown, not judged.

    Args:
        day: the day.
        rows: of the day, with `clear_fraction`, `state_days` and `state_ndvi_e4`.
    """
    clear = [row["clear_fraction"] for row in rows if row["clear_fraction"] is not None]
    facts: dict[str, Any] = {"mean clear fraction": round(fmean(clear), 3)} if clear else {}
    series = [
        [ndvi / 10_000 for ndvi, seen in zip(row["state_ndvi_e4"], row["state_days"], strict=True) if seen]
        for row in rows
        if row["state_days"] and row["state_days"][0] == day.toordinal()
    ]
    series = [values for values in series if len(values) >= REMEMBERED]
    facts["fields judged"] = len(series)
    if len(series) < FIELDS:
        return CheckResult(PLAUSIBLE, Outcome.PASSED, "too few clear fields with a past to be judged", facts)
    jump = median(values[0] - values[1] for values in series)
    usual = median(abs(new - old) for values in series for new, old in pairwise(values[1:]))
    limit = JUMP + USUAL_STEPS * usual
    facts |= {"NDVI jump": round(jump, 4), "limit": round(limit, 4), "usual step": round(usual, 4)}
    if abs(jump) <= limit:
        return CheckResult(PLAUSIBLE, Outcome.PASSED, "NDVI moved as it did before", facts)
    said = (
        f"NDVI of the region moved by {jump:+.2f} since the last clear observation, more than {limit:.2f}; see the map"
    )
    return CheckResult(PLAUSIBLE, Outcome.WARNING, said, facts)
