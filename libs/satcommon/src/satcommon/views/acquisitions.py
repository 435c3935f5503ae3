"""What became of the acquisitions of a region's days: used, refused or rejected."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import Connection

from satcommon.db import ledger
from satcommon.db import quarantine as held
from satcommon.db.models import Region, Verdict


class KnownAcquisition(NamedTuple):
    """What the ledger knows of an acquisition.

    Args:
        day: that it is of.
        item: its id.
        state: used (in the day's scene), refused (in quarantine) or rejected (left out for good).
        check: the radiometric check that refuses it now.
        found: what was found.
        expected: what was expected.
        since: when it was first refused for this reason.
        decision: what somebody decided of it.
    """

    day: date
    item: str
    state: str
    check: str | None
    found: str | None
    expected: str | None
    since: datetime | None
    decision: str | None


def acquisitions(connection: Connection, region: Region, first: date, last: date) -> Iterator[KnownAcquisition]:
    """The acquisitions that the ledger knows of a span of days, by day and item.

    Args:
        connection: of a read transaction.
        region: the region.
        first: first day of the span.
        last: last day of the span.
    """
    scenes = ledger.current_scenes(connection, region.bbox_id, first, last)
    decided = held.decisions(connection, region.bbox_id, first, last)
    refused = [each for each in held.quarantined(connection, region) if first <= each.day <= last]
    known: dict[tuple[date, str], KnownAcquisition] = {}
    for day, decisions in decided.items():
        for (item, _), verdict in decisions.items():
            if verdict is Verdict.REJECTED:
                known[day, item] = KnownAcquisition(day, item, "rejected", None, None, None, None, verdict.value)
    for each in refused:
        decision = each.decision.value if each.decision else None
        told = (each.check, each.found, each.expected or None, each.since, decision)
        known[each.day, each.item] = KnownAcquisition(each.day, each.item, "refused", *told)
    for day, scene in scenes.items():
        accepted = {item for (item, _), verdict in decided.get(day, {}).items() if verdict is Verdict.ACCEPTED}
        for item in json.loads(scene.item_ids):
            decision = Verdict.ACCEPTED.value if item in accepted else None
            known[day, item] = KnownAcquisition(day, item, "used", None, None, None, None, decision)
    for key in sorted(known):
        yield known[key]
