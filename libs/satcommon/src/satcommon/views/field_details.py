"""What the registry and the ledger know about fields, as `satctl fields` shows it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

import shapely
from sqlalchemy import Connection, Select, func, select

from satcommon.db import ledger
from satcommon.db.expectations import timelines
from satcommon.db.expected import ONE_DAY, Span
from satcommon.db.fields import fields
from satcommon.db.models import Cause, Field, FieldRevision, Membership, Miss, Region, RevisionKind, Season, Withdrawal
from satcommon.db.records import all_of, select_all, typed
from satcommon.db.statement_batches import rows_in
from satcommon.geo.geometry import area_ha

FieldDay = tuple[int, int, date]  # region id, field id, day


@dataclass(frozen=True)
class Listed:
    """A field in a list; `home` is the region of its latest polygon's largest overlap."""

    external_id: str
    name: str
    active: bool
    planting_date: date
    season_end: date | None
    crop_code: str | None
    home: str | None
    regions: list[str]
    open_misses: int


@dataclass(frozen=True)
class ExpectedDays:
    """Consecutive days with one season and polygon; `last` is None if they are open-ended."""

    first: date
    last: date | None
    planting_date: date
    geometry_digest: str


@dataclass(frozen=True)
class OpenMisses:
    """A field's open misses of one cause in one region."""

    cause: Cause
    field_days: int
    first_day: date
    last_day: date


@dataclass(frozen=True)
class InRegion:
    """A field in a region; `expected_days` counts those up to the region's watermark."""

    region: str
    home: bool
    overlap_ha: float
    overlap_share: float
    watermark: date | None
    expected: list[ExpectedDays]
    expected_days: int
    open_misses: list[OpenMisses]


@dataclass(frozen=True)
class SeasonFacts:
    """A season of a field."""

    planting_date: date
    end_date: date | None
    crop_code: str | None


@dataclass(frozen=True)
class RevisionFacts:
    """A field revision."""

    kind: RevisionKind
    valid_from: date
    known_at: datetime
    geometry_digest: str | None


@dataclass(frozen=True)
class FieldFacts:
    """All that is known about one field."""

    external_id: str
    name: str
    active: bool
    area_ha: float
    created_at: datetime
    known_at: datetime
    geometry_digest: str
    seasons: list[SeasonFacts]
    revisions: list[RevisionFacts]
    regions: list[InRegion]
    geometry: dict[str, Any]


def listed(connection: Connection, region: Region | None) -> list[Listed]:
    """All fields, or those whose latest polygon is in a region, by external id."""
    homes: dict[int, str] = {}
    within: dict[int, list[str]] = defaultdict(list)
    for row in typed(connection.execute(_memberships().order_by(Region.name)), _Member):
        within[row.field_id].append(row.name)
        if row.home:
            homes[row.field_id] = row.name
    counts = select(Miss.field_id, func.count().label("open")).where(~Miss.processed).group_by(Miss.field_id)
    missed = {row.field_id: row.open for row in connection.execute(counts)}
    current = select_all(Season).join(
        Field, (Field.field_id == Season.field_id) & (Field.planting_date == Season.planting_date)
    )
    seasons = {row.field_id: row for row in all_of(connection, current)}
    return [
        Listed(
            external_id=row.external_id,
            name=row.name,
            active=row.active,
            planting_date=row.planting_date,
            season_end=seasons[row.field_id].end_date,
            crop_code=seasons[row.field_id].crop_code,
            home=homes.get(row.field_id),
            regions=within[row.field_id],
            open_misses=missed.get(row.field_id, 0),
        )
        for row in fields(connection)
        if region is None or region.name in within[row.field_id]
    ]


def facts(connection: Connection, field: Field) -> FieldFacts:
    """All that is known about a field."""
    polygon = shapely.from_wkb(field.geometry)
    seasons = (
        select(Season.planting_date, Season.end_date, Season.crop_code)
        .where(Season.field_id == field.field_id)
        .order_by(Season.planting_date)
    )
    revisions = (
        select(FieldRevision.kind, FieldRevision.valid_from, FieldRevision.known_at, FieldRevision.geometry_digest)
        .where(FieldRevision.field_id == field.field_id)
        .order_by(FieldRevision.revision_id)
    )
    members = _memberships().where(FieldRevision.field_id == field.field_id).order_by(Region.name)
    return FieldFacts(
        external_id=field.external_id,
        name=field.name,
        active=field.active,
        area_ha=area_ha(polygon),
        created_at=field.created_at,
        known_at=field.known_at,
        geometry_digest=field.geometry_digest,
        seasons=[SeasonFacts(*row) for row in connection.execute(seasons)],
        revisions=[RevisionFacts(*row) for row in connection.execute(revisions)],
        regions=[
            _in_region(connection, field.field_id, row) for row in typed(connection.execute(members).all(), _Member)
        ],
        geometry=shapely.geometry.mapping(shapely.orient_polygons(polygon)),
    )


class _Member(NamedTuple):
    """A region of a field's latest polygon."""

    field_id: int
    bbox_id: int
    home: bool
    overlap_ha: float
    area_ha: float
    name: str


def _memberships() -> Select[Any]:
    """The regions of each field's latest polygon."""
    latest = (
        select(func.max(FieldRevision.revision_id))
        .where(FieldRevision.geometry.is_not(None))
        .group_by(FieldRevision.field_id)
    )
    return (
        select(
            FieldRevision.field_id,
            Membership.bbox_id,
            Membership.home,
            Membership.overlap_ha,
            Membership.area_ha,
            Region.name,
        )
        .join(Membership, Membership.revision_id == FieldRevision.revision_id)
        .join(Region, Region.bbox_id == Membership.bbox_id)
        .where(FieldRevision.revision_id.in_(latest))
    )


def _in_region(connection: Connection, field_id: int, member: _Member) -> InRegion:
    spans = timelines(connection, member.bbox_id, [field_id])[field_id].spans
    last = ledger.watermark(connection, member.bbox_id)
    causes = (
        select(Miss.cause, func.count(), func.min(Miss.date_missed), func.max(Miss.date_missed))
        .where(Miss.bbox_id == member.bbox_id, Miss.field_id == field_id, ~Miss.processed)
        .group_by(Miss.cause)
        .order_by(Miss.cause)
    )
    return InRegion(
        region=member.name,
        home=member.home,
        overlap_ha=member.overlap_ha,
        overlap_share=min(1.0, member.overlap_ha / member.area_ha),
        watermark=last,
        expected=[
            ExpectedDays(s.first, None if s.last == date.max else s.last, s.planting, s.geometry_digest) for s in spans
        ],
        expected_days=0 if last is None else sum(_days(span, last) for span in spans),
        open_misses=[OpenMisses(*row) for row in connection.execute(causes)],
    )


def _days(span: Span, last: date) -> int:
    return max(0, (min(span.last, last) - span.first + ONE_DAY).days)


# --- consequences --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FieldBacklog:
    """Fields' open misses and withdrawals at one moment."""

    misses: set[FieldDay]
    withdrawals: set[FieldDay]

    @classmethod
    def of(cls, connection: Connection, external_ids: Collection[str]) -> FieldBacklog:
        """The backlog of some fields."""
        ids = [row.field_id for row in fields(connection, external_ids)]
        misses = select(Miss.bbox_id, Miss.field_id, Miss.date_missed).where(~Miss.processed)
        withdrawals = select(Withdrawal.bbox_id, Withdrawal.field_id, Withdrawal.day)
        return cls(
            {(r.bbox_id, r.field_id, r.date_missed) for r in rows_in(connection, misses, Miss.field_id, ids)},
            {(r.bbox_id, r.field_id, r.day) for r in rows_in(connection, withdrawals, Withdrawal.field_id, ids)},
        )

    def since(self, before: FieldBacklog) -> Consequences:
        """What was added since an earlier moment."""
        return Consequences(
            opened=len(self.misses - before.misses),
            resolved=len(before.misses - self.misses),
            withdrawn=len(self.withdrawals - before.withdrawals),
        )


@dataclass(frozen=True)
class Consequences:
    """What a change of the registry caused on closed days, in field-days."""

    opened: int
    resolved: int
    withdrawn: int

    @classmethod
    def at(cls, connection: Connection, now: datetime) -> Consequences:
        """What the transaction caused whose changes became known at this instant."""
        open_now = ~Miss.processed
        counts = (
            select(func.count()).where(Miss.processing_time == now, open_now),
            select(func.count()).where(Miss.resolved_time == now, Miss.processing_time != now),
            select(func.count()).where(Withdrawal.listed_at == now),
        )
        return cls(*(connection.execute(count).scalar_one() for count in counts))

    def __str__(self) -> str:
        parts = [f"{self.opened:,} opened as missed"]
        if self.resolved:
            parts.append(f"{self.resolved:,} no longer missed")
        if self.withdrawn:
            parts.append(f"{self.withdrawn:,} to be withdrawn")
        return "field-days: " + ", ".join(parts)
