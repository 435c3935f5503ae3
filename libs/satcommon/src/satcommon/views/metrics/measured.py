"""What the last audits and the last garbage collection found, and what the last hour's runs took."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection, case, func, select

from satcommon.db import registry
from satcommon.db.measurements import PLAIN, measurements
from satcommon.db.models import Attempt
from satcommon.telemetry.metrics import Sample
from satcommon.views.metrics.capped import capped

_WITHIN = timedelta(hours=1)
_OBJECTS = {"count": "satfields_objects", "bytes": "satfields_objects_bytes"}


def measured_samples(connection: Connection, limit: int, now: datetime) -> list[Sample]:
    """The samples of the collector `audits`.

    Args:
        connection: of a read transaction.
        limit: how many regions have series of their own: those whose audit is oldest or not clean.
        now: the present.
    """
    regions = {region.bbox_id: region for region in registry.regions(connection)}
    age = {region.name: (now - region.created_at).total_seconds() for region in regions.values()}  # of the last audit
    unaudited, unclean = set(age), set()
    samples, of_regions = [], []
    for each in measurements(connection):
        kind, part, figure = each.name.split("/")
        since = (now - each.measured_at).total_seconds()
        if kind == "objects":
            samples.append(Sample(_OBJECTS[figure], (part,), each.value))
            if figure == "count":
                samples.append(Sample("satfields_objects_age_seconds", (part,), since))
        elif each.bbox_id in regions:
            name = regions[each.bbox_id].name
            of_regions.append(_of_audit(name, part, figure, each.value))
            if figure == "clean":
                of_regions.append(Sample("satfields_audit_age_seconds", (name, part), since))
                if part == PLAIN:
                    unaudited.remove(name)
                    age[name] = since
                if not each.value:
                    unclean.add(name)
    of_regions += [Sample("satfields_audit_age_seconds", (name, PLAIN), age[name]) for name in unaudited]
    urgent = sorted(age, key=lambda name: (name not in unclean, -age[name], name))
    return [*samples, *capped(of_regions, urgent, limit)]


def _of_audit(region: str, depth: str, figure: str, value: float) -> Sample:
    if figure in ("clean", "problems"):
        return Sample(f"satfields_audit_{figure}", (region, depth), value)
    return Sample("satfields_audit_fielddays", (region, depth, figure), value)


def attempt_samples(connection: Connection, now: datetime) -> Iterator[Sample]:
    """The samples of the collector `attempts`.

    Args:
        connection: of a read transaction.
        now: the present.
    """
    outcome = case((Attempt.error_code.is_(None), "done"), else_="failed").label("outcome")
    statement = (
        select(
            Attempt.processing_type,
            outcome,
            func.count().label("fields"),
            func.max(Attempt.duration_seconds).label("longest"),
        )
        .where(Attempt.created_at > now - _WITHIN)
        .group_by(Attempt.processing_type, outcome)
    )
    longest: dict[str, float] = {}
    for row in connection.execute(statement):
        kind = row.processing_type.value
        yield Sample("satfields_attempts", (kind, row.outcome), float(row.fields))
        longest[kind] = max(row.longest, longest.get(kind, 0.0))
    for kind, seconds in longest.items():
        yield Sample("satfields_attempt_duration_seconds", (kind,), seconds)
