"""Quarantine: the refused acquisitions, and what somebody decided of one version of them.

A version is an acquisition's digest. What could not even be listed has none: for it, the reason of its refusal stands
for the version. Another version is another matter: no decision concerns it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import Connection, insert, select

from satcommon.db import ledger
from satcommon.db.models import Decision, Refusal, Region, Verdict
from satcommon.db.records import all_of, select_all
from satcommon.errors import InputError
from satcommon.messages import command
from satcommon.raster.scene import Acquisition

MOST_LETTERS = 2_000  # of a reason
_MOST_OF_A_NAME = 100
_BETWEEN = "; expected "


class Doubt(NamedTuple):
    """What is known of a refused acquisition besides the reason: the radiometric check that failed, and its digest."""

    check: str | None = None
    digest: str | None = None


class Decided(NamedTuple):
    """An item's version of which somebody decided."""

    item_id: str
    version: str


Decisions = Mapping[Decided, Verdict]


@dataclass(frozen=True)
class Quarantined:
    """A refused acquisition.

    Args:
        region: its name.
        day: that it is of.
        item: its id.
        check: the radiometric check that it failed; None where it can't be read or listed, and so can't be accepted.
        found: what was found.
        expected: what was expected; empty where the reason does not say it apart.
        since: when it was first refused for this reason.
        reason: the whole message.
        decision: what was decided of it, and is not yet carried out.
        version: identifies its content.
    """

    region: str
    day: date
    item: str
    check: str | None
    found: str
    expected: str
    since: datetime
    reason: str
    decision: Verdict | None
    version: str


@dataclass(frozen=True)
class Judgement:
    """What somebody decides.

    Args:
        verdict: to take or to leave out.
        by: who decides.
        why: in words.
        at: when.
    """

    verdict: Verdict
    by: str
    why: str
    at: datetime


def version_of(reason: str, digest: str | None) -> str:
    """What identifies the content of a refused acquisition."""
    return digest or hashlib.sha256(reason.encode()).hexdigest()


def decisions(connection: Connection, bbox_id: int, first: date, last: date) -> dict[date, dict[Decided, Verdict]]:
    """The latest decision on each version of an item, by day, of a span of a region's days.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        first: first day of the span.
        last: last day of the span.
    """
    return decisions_of(connection, [bbox_id], first, last).get(bbox_id, {})


def decisions_of(
    connection: Connection, bbox_ids: Collection[int], first: date, last: date
) -> dict[int, dict[date, dict[Decided, Verdict]]]:
    """The `decisions` of some regions, by region, in one query.

    Args:
        connection: of a read transaction.
        bbox_ids: the regions.
        first: first day of the span.
        last: last day of the span.
    """
    statement = (
        select(Decision.bbox_id, Decision.day, Decision.item_id, Decision.version, Decision.verdict)
        .where(Decision.bbox_id.in_(bbox_ids), Decision.day.between(first, last))
        .order_by(Decision.decided_at)
    )
    found: dict[int, dict[date, dict[Decided, Verdict]]] = {}
    for row in connection.execute(statement):
        of_region = found.setdefault(row.bbox_id, {})
        of_region.setdefault(row.day, {})[Decided(row.item_id, row.version)] = row.verdict
    return found


def judged(acquisitions: Iterable[Acquisition], of_day: Decisions) -> list[Acquisition]:
    """A day's acquisitions without the rejected ones; the accepted ones are marked as such."""
    verdicts = ((each, of_day.get(Decided(each.item_id, each.digest))) for each in acquisitions)
    return [
        replace(each, accepted=True) if verdict is Verdict.ACCEPTED else each
        for each, verdict in verdicts
        if verdict is not Verdict.REJECTED
    ]


def still_refused(refused: Mapping[str, str], of_day: Decisions) -> dict[str, str]:
    """What could not be listed of a day, and why, without what was rejected."""
    return {
        item: why
        for item, why in refused.items()
        if of_day.get(Decided(item, version_of(why, None))) is not Verdict.REJECTED
    }


def quarantined(connection: Connection, region: Region | None = None, day: date | None = None) -> list[Quarantined]:
    """The acquisitions that are refused now, by region, day and item.

    Args:
        connection: of a read transaction.
        region: only this one's; None for those of all.
        day: only those of this day; None for all.
    """
    statement = (
        select(Region.name, Refusal.__table__)
        .join(Region, Region.bbox_id == Refusal.bbox_id)
        .where(Refusal.resolved_at.is_(None))
        .order_by(Region.name, Refusal.day, Refusal.item_id)
    )
    if region is not None:
        statement = statement.where(Refusal.bbox_id == region.bbox_id)
    if day is not None:
        statement = statement.where(Refusal.day == day)
    rows = connection.execute(statement).all()
    known = {
        bbox_id: decisions(connection, bbox_id, min(days), max(days))
        for bbox_id in {row.bbox_id for row in rows}
        if (days := [row.day for row in rows if row.bbox_id == bbox_id])
    }
    return [
        Quarantined(
            region=row.name,
            day=row.day,
            item=row.item_id,
            check=row.check_name,
            found=row.reason.removeprefix(f"{row.item_id}: ").partition(_BETWEEN)[0],
            expected=row.reason.partition(_BETWEEN)[2],
            since=row.seen_at,
            reason=row.reason,
            decision=known[row.bbox_id].get(row.day, {}).get(Decided(row.item_id, version)),
            version=version,
        )
        for row in rows
        for version in [version_of(row.reason, row.digest)]
    ]


def decided_before(connection: Connection, bbox_id: int, day: date, item: str) -> Decision | None:
    """The latest decision on any version of an item.

    Args:
        connection: of a read transaction.
        bbox_id: the region.
        day: of the item.
        item: its id.
    """
    statement = select_all(Decision).where(Decision.bbox_id == bbox_id, Decision.day == day, Decision.item_id == item)
    return next(iter(all_of(connection, statement.order_by(Decision.decided_at.desc()).limit(1))), None)


def decide(
    connection: Connection, region: Region, day: date, item: str, judgement: Judgement, *, dry_run: bool = False
) -> bool:
    """Enter what somebody decides of an acquisition that is refused, or was rejected.

    Args:
        connection: of a write transaction.
        region: the region.
        day: the day.
        item: the acquisition's id.
        judgement: what is decided.
        dry_run: only tell.

    Returns:
        False if that was decided already: nothing is entered.

    Raises:
        InputError: there is no such acquisition, it can't be accepted, or nothing says why. Nothing is entered.
    """
    ledger.lock_region(connection, region.bbox_id)
    why, by = _text("--reason", judgement.why, MOST_LETTERS), _text("--by", judgement.by, _MOST_OF_A_NAME)
    here = quarantined(connection, region, day)
    found = next((each for each in here if each.item == item), None)
    before = decided_before(connection, region.bbox_id, day, item)
    if found is not None:
        version, check, reason = found.version, found.check, found.reason
        if found.decision is judgement.verdict:
            return False
    elif before is not None and before.verdict is judgement.verdict:
        return False
    elif before is not None and before.verdict is Verdict.REJECTED:
        version, check, reason = before.version, before.check_name, before.refused_because
    else:
        raise InputError(_no_such(region, day, item, here, before))
    if before is not None and before.decided_at >= judgement.at:
        raise InputError(
            f"{item} was {before.verdict.value} by {before.decided_by} at the same instant, or later; look again"
        )
    if judgement.verdict is Verdict.ACCEPTED and check is None:
        raise InputError(
            f"{item} can't be accepted, since no radiometric check refused it: {reason}. Correct it; or "
            f"{command('scenes', 'reject', region.name, str(day), item)} leaves it out"
        )
    if dry_run:
        return True
    connection.execute(
        insert(Decision).values(
            bbox_id=region.bbox_id,
            day=day,
            item_id=item,
            decided_at=judgement.at,
            verdict=judgement.verdict,
            version=version,
            check_name=check,
            refused_because=reason,
            decided_by=by,
            why=why,
        )
    )
    return True


def _text(option: str, stated: str, most: int) -> str:
    text = stated.strip()
    if not text or len(text) > most or not text.replace("\n", " ").isprintable():
        raise InputError(f"{option} {stated[:40]!a}: expected 1 to {most:,} letters that can be shown")
    return text


def _no_such(region: Region, day: date, item: str, here: list[Quarantined], before: Decision | None) -> str:
    others = ", ".join(each.item for each in here[:3]) or "nothing"
    was = f"; it was {before.verdict.value} by {before.decided_by} on {before.decided_at:%Y-%m-%d}" if before else ""
    listing = command("scenes", "quarantine", "--region", region.name)
    return f"{item} of {day} is not in quarantine in region {region.name!r}{was}; of that day, {others} is: {listing}"
