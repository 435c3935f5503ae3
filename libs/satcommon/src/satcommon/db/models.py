"""The tables, one set of models for SQLite and PostgreSQL.

`bounding_boxes`, `fields`, `missed_fields` and `processing_attempts` keep their published names and columns; the
other tables are ours. Geometries are WKB in WGS 84, so that a daily run decodes no JSON.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Date,
    DateTime,
    Dialect,
    Enum,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    TextClause,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from satcommon.sources.source import Due

SCHEMA_REVISION = "0012"  # the Alembic revision that this code was written for; a test compares it with the newest one


class Cause(StrEnum):
    """Why a field-day is to be (re)computed."""

    LATE_FIELD = "late_field"
    LATE_REGION = "late_region"
    LATE_SCENE = "late_scene"
    REVISED_FIELD = "revised_field"
    REVISED_SCENE = "revised_scene"
    REVISED_ALGORITHM = "revised_algorithm"
    PROCESSING_ERROR = "processing_error"
    CARRY = "carry"


class ProcessingType(StrEnum):
    """What kind of run made an attempt."""

    REALTIME = "realtime"
    REPROCESSING = "reprocessing"


class Verdict(StrEnum):
    """What somebody decided of a refused acquisition."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


class RevisionKind(StrEnum):
    """What a field revision says, from its day on."""

    REGISTERED = "registered"
    CORRECTED = "corrected"  # the polygon was wrong since the season's start
    CHANGED = "changed"  # the polygon changed on a day
    DEACTIVATED = "deactivated"
    REACTIVATED = "reactivated"


class PublicationKind(StrEnum):
    """What a publication's object holds."""

    DAY = "day"  # all rows of a day
    PATCH = "patch"  # rows that a replay changed, of some days, and marks for rows taken out
    REBASE = "rebase"  # all rows of a day anew, the same as before

    @property
    def is_base(self) -> bool:
        """Whether earlier publications of the day are no longer needed to read it."""
        return self is not PublicationKind.PATCH


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: time-zone aware and in UTC in Python, even on SQLite, which has no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002  # its signature
        """To the database.

        Raises:
            ValueError: the instant has no time zone.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; every instant here has one")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002  # its signature
        """From the database: in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _words(words: type[StrEnum]) -> Enum:
    """A column of an enumeration's values, as text: a new value needs no migration of a database type."""
    return Enum(words, native_enum=False, length=32, values_callable=lambda e: [w.value for w in e])


class Base(DeclarativeBase):
    """The root of the models; constraints get names, so that migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy's own declaration
        datetime: UtcDateTime(),
        date: Date(),
        bytes: LargeBinary(),
        Cause: _words(Cause),
        Due: _words(Due),
        ProcessingType: _words(ProcessingType),
        PublicationKind: _words(PublicationKind),
        RevisionKind: _words(RevisionKind),
        Verdict: _words(Verdict),
    }


def open_misses_only(dialect: str) -> TextClause:
    """The condition of the indexes of open misses, exactly as each database writes `~Miss.processed`.

    For the equivalent `processed IS false`, no database uses the index.
    """
    return text("NOT processed" if dialect == "postgresql" else "processed = 0")


_CLOSED_UNASKED = text("answered_at IS NULL AND closed_at IS NOT NULL")


class Registry(Base):
    """One row: the lock of all writes to regions and geometry, and a counter that moves with each of them."""

    __tablename__ = "registry"

    registry_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    revision: Mapped[int] = mapped_column(default=0)
    # Tells this database's cursors from others'.
    installation: Mapped[str] = mapped_column(String(32), server_default=text("''"))


class Region(Base):
    """A named rectangle, the extent of processing. Its row is the lock of everything published for it."""

    __tablename__ = "bounding_boxes"

    bbox_id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    geometry: Mapped[bytes]
    created_at: Mapped[datetime]
    active: Mapped[bool] = mapped_column(default=True, server_default=true())
    monitored_from: Mapped[date]
    monitored_until: Mapped[date | None]
    grid: Mapped[str] = mapped_column(Text)
    scene_source: Mapped[str | None] = mapped_column(Text)  # identity of the source that it belongs to; None: unknown
    algorithm_version: Mapped[str] = mapped_column(String(32))
    rescanned_at: Mapped[datetime | None]  # when its last complete rescan began


class Field(Base):
    """A parcel with a stable identity; the polygon is the latest, `field_revisions` has those of other days."""

    __tablename__ = "fields"

    field_id: Mapped[int] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(String(200), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    geometry: Mapped[bytes]
    geometry_digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    known_at: Mapped[datetime]
    planting_date: Mapped[date]
    active: Mapped[bool] = mapped_column(default=True, server_default=true())


class Season(Base):
    """From planting to an optional end, both days included."""

    __tablename__ = "seasons"
    __table_args__ = (UniqueConstraint("field_id", "planting_date"),)

    season_id: Mapped[int] = mapped_column(primary_key=True)
    field_id: Mapped[int] = mapped_column(ForeignKey("fields.field_id"))
    planting_date: Mapped[date]
    end_date: Mapped[date | None]
    crop_code: Mapped[str | None] = mapped_column(String(64))


class FieldRevision(Base):
    """A field revision, valid from a day on until a later revision covers that day. Append-only."""

    __tablename__ = "field_revisions"
    __table_args__ = (
        Index("ix_field_revisions_field_id", "field_id"),
        Index("ix_field_revisions_geometry_digest", "geometry_digest"),
    )

    revision_id: Mapped[int] = mapped_column(primary_key=True)
    field_id: Mapped[int] = mapped_column(ForeignKey("fields.field_id"))
    kind: Mapped[RevisionKind]
    valid_from: Mapped[date]
    known_at: Mapped[datetime]
    geometry: Mapped[bytes | None]
    geometry_digest: Mapped[str | None] = mapped_column(String(64))


class Membership(Base):
    """The polygon of a revision intersects a region; `home` marks the region of its largest overlap."""

    __tablename__ = "membership"
    __table_args__ = (Index("ix_membership_bbox_id", "bbox_id"),)

    revision_id: Mapped[int] = mapped_column(ForeignKey("field_revisions.revision_id"), primary_key=True)
    bbox_id: Mapped[int] = mapped_column(ForeignKey("bounding_boxes.bbox_id"), primary_key=True)
    area_ha: Mapped[float]
    overlap_ha: Mapped[float]
    home: Mapped[bool]


class Acquisition(Base):
    """One item of imagery as a source listed it for a region."""

    __tablename__ = "acquisitions"
    __table_args__ = (Index("ix_acquisitions_bbox_id_day", "bbox_id", "day"),)

    bbox_id: Mapped[int] = mapped_column(ForeignKey("bounding_boxes.bbox_id"), primary_key=True)
    item_id: Mapped[str] = mapped_column(String(300), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    collection: Mapped[str] = mapped_column(String(64))
    day: Mapped[date]
    platform: Mapped[str] = mapped_column(String(64))
    overpass: Mapped[str] = mapped_column(String(200))
    tile: Mapped[str] = mapped_column(String(64))
    baseline: Mapped[str] = mapped_column(String(32))
    sensed_at: Mapped[datetime]
    published_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class Scene(Base):
    """What a region has of a collection for a day, under a key made of its digest."""

    __tablename__ = "scenes"

    bbox_id: Mapped[int] = mapped_column(ForeignKey("bounding_boxes.bbox_id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    object_key: Mapped[str] = mapped_column(String(300))
    item_ids: Mapped[str] = mapped_column(Text)
    sensed_at: Mapped[datetime]
    observed_fraction: Mapped[float]
    clear_fraction: Mapped[float]
    registered_at: Mapped[datetime]


class Refusal(Base):
    """An acquisition of a region's day that was refused: damaged, contradictory, or out of reach. Append-only."""

    __tablename__ = "refusals"

    bbox_id: Mapped[int] = mapped_column(ForeignKey("bounding_boxes.bbox_id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    item_id: Mapped[str] = mapped_column(String(300), primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(primary_key=True)  # when it was first refused for this reason
    reason: Mapped[str] = mapped_column(Text)
    resolved_at: Mapped[datetime | None]  # when it was taken, had gone, or was refused for another reason
    check_name: Mapped[str | None] = mapped_column(String(64))  # the radiometric check that refused it, if one did
    digest: Mapped[str | None] = mapped_column(String(64))  # of its content; none where it could not be listed


class Decision(Base):
    """What somebody decided of one version of a refused acquisition. Append-only; the latest counts."""

    __tablename__ = "decisions"

    bbox_id: Mapped[int] = mapped_column(ForeignKey("bounding_boxes.bbox_id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    item_id: Mapped[str] = mapped_column(String(300), primary_key=True)
    decided_at: Mapped[datetime] = mapped_column(primary_key=True)
    verdict: Mapped[Verdict]
    version: Mapped[str] = mapped_column(String(64))  # the item's digest, or that of the reason where it has none
    check_name: Mapped[str | None] = mapped_column(String(64))
    refused_because: Mapped[str] = mapped_column(Text)
    decided_by: Mapped[str] = mapped_column(String(100))
    why: Mapped[str] = mapped_column(Text)


class RegionDay(Base):
    """A region's day: what its source answered, its current scene, and the version of what is published."""

    __tablename__ = "region_days"
    __table_args__ = (
        ForeignKeyConstraint(["bbox_id", "day", "scene_digest"], ["scenes.bbox_id", "scenes.day", "scenes.digest"]),
        Index("ix_region_days_closed", "bbox_id", "closed_at", "day"),
        Index(
            "ix_region_days_never_asked",
            "bbox_id",
            "day",
            sqlite_where=_CLOSED_UNASKED,
            postgresql_where=_CLOSED_UNASKED,
        ),
    )

    bbox_id: Mapped[int] = mapped_column(ForeignKey("bounding_boxes.bbox_id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    due: Mapped[Due] = mapped_column(default=Due.UNKNOWN)
    answered_at: Mapped[datetime | None]
    listing: Mapped[str | None] = mapped_column(String(64))  # identifies the acquisitions of the answer
    scene_digest: Mapped[str | None] = mapped_column(String(64))
    version: Mapped[int | None]  # sequence of the last publication that changed the day
    row_count: Mapped[int | None]
    closed_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    error: Mapped[str | None] = mapped_column(Text)


class Miss(Base):
    """A field-day that is to be (re)computed; open until `processed`. `date_missed` is the day missed, no clock's."""

    __tablename__ = "missed_fields"
    __table_args__ = (
        Index(
            "uq_missed_fields_open",
            "bbox_id",
            "field_id",
            "date_missed",
            unique=True,
            sqlite_where=open_misses_only("sqlite"),
            postgresql_where=open_misses_only("postgresql"),
        ),
        Index(
            "ix_missed_fields_open_by_day",
            "bbox_id",
            "date_missed",
            sqlite_where=open_misses_only("sqlite"),
            postgresql_where=open_misses_only("postgresql"),
        ),
        Index("ix_missed_fields_field_id_date_missed", "field_id", "date_missed"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    field_id: Mapped[int] = mapped_column(ForeignKey("fields.field_id"))
    bbox_id: Mapped[int] = mapped_column(ForeignKey("bounding_boxes.bbox_id"))
    processing_time: Mapped[datetime]
    date_missed: Mapped[date]
    processed: Mapped[bool] = mapped_column(default=False, server_default=false())
    resolved_time: Mapped[datetime | None]
    cause: Mapped[Cause]
    digest: Mapped[str] = mapped_column(String(64))
    attempts: Mapped[int] = mapped_column(default=0, server_default=text("0"))  # that failed
    tried_at: Mapped[datetime | None]  # when the last of them did


class Attempt(Base):
    """An audit trail of processing that nothing else depends on.

    On PostgreSQL it is partitioned by month (`attempts`), and its key there is (attempt_id, created_at).
    """

    __tablename__ = "processing_attempts"
    __table_args__ = (
        Index("ix_processing_attempts_field_id_day", "field_id", "day"),
        Index("ix_processing_attempts_created_at", "created_at"),
        {"postgresql_partition_by": "RANGE (created_at)"},
    )

    attempt_id: Mapped[int] = mapped_column(primary_key=True)
    field_id: Mapped[int] = mapped_column(ForeignKey("fields.field_id"))
    bbox_id: Mapped[int] = mapped_column(ForeignKey("bounding_boxes.bbox_id"))
    processing_time: Mapped[datetime]
    processing_type: Mapped[ProcessingType]
    error_code: Mapped[str | None] = mapped_column(String(300))
    created_at: Mapped[datetime]
    day: Mapped[date]
    run_id: Mapped[str] = mapped_column(String(64))
    duration_seconds: Mapped[float] = mapped_column(Float)


class Withdrawal(Base):
    """A row to be taken out of a published object: its field-day is no longer expected."""

    __tablename__ = "withdrawals"

    bbox_id: Mapped[int] = mapped_column(ForeignKey("bounding_boxes.bbox_id"), primary_key=True)
    field_id: Mapped[int] = mapped_column(ForeignKey("fields.field_id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    listed_at: Mapped[datetime]


class Publication(Base):
    """A publication of a region: append-only, counted under the region's lock, so that its order is that of commits."""

    __tablename__ = "publications"
    __table_args__ = (Index("ix_publications_object_key", "object_key"),)

    bbox_id: Mapped[int] = mapped_column(ForeignKey("bounding_boxes.bbox_id"), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[PublicationKind]
    object_key: Mapped[str | None] = mapped_column(String(300))  # None: no rows, no object
    object_digest: Mapped[str | None] = mapped_column(String(64))
    first_day: Mapped[date]
    last_day: Mapped[date]
    row_count: Mapped[int]
    run_id: Mapped[str] = mapped_column(String(64))
    cause: Mapped[str] = mapped_column(String(200))
    committed_at: Mapped[datetime]  # never before that of the publication before
    removed_at: Mapped[datetime | None]  # out of retention, or lost: its object is not to be read


class PublicationDay(Base):
    """A day that a publication changes, or gives anew."""

    __tablename__ = "publication_days"
    __table_args__ = (
        ForeignKeyConstraint(["bbox_id", "sequence"], ["publications.bbox_id", "publications.sequence"]),
        {"sqlite_with_rowid": False},
    )

    bbox_id: Mapped[int] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    is_base: Mapped[bool]  # as its publication's kind


class ApiKey(Base):
    """A key of the HTTP API: its public part, and the digest of the whole."""

    __tablename__ = "api_keys"

    key_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    digest: Mapped[str] = mapped_column(String(64))
    all_regions: Mapped[bool]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]  # None: never
    revoked_at: Mapped[datetime | None]


class ApiKeyRegion(Base):
    """A region that a key may read; it goes with the region."""

    __tablename__ = "api_key_regions"

    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.key_id"), primary_key=True)
    bbox_id: Mapped[int] = mapped_column(ForeignKey("bounding_boxes.bbox_id"), primary_key=True)


class Webhook(Base):
    """An address that is told of changes."""

    __tablename__ = "webhooks"

    webhook_id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    url: Mapped[str] = mapped_column(String(2000))
    secret: Mapped[str] = mapped_column(String(100))  # signs: a receiver has the same, so no digest would do
    every_region: Mapped[bool]  # also those that are registered later
    columns: Mapped[str] = mapped_column(Text)  # JSON list; empty for all
    threshold: Mapped[float | None] = mapped_column(Float)
    first_publications: Mapped[bool]  # also days that are published for the first time
    created_at: Mapped[datetime]


class Delivery(Base):
    """How far a webhook was told of a region's changes, in the publication log; of the changes it keeps no copy."""

    __tablename__ = "webhook_deliveries"

    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.webhook_id"), primary_key=True)
    bbox_id: Mapped[int] = mapped_column(ForeignKey("bounding_boxes.bbox_id"), primary_key=True)
    position: Mapped[int]  # as in a cursor: the sequence of the last publication that was told whole
    mark: Mapped[int] = mapped_column(BigInteger)  # as in a cursor: tells that publication from any other
    part: Mapped[int]  # changes of the publication after it that were told already
    resync: Mapped[str | None] = mapped_column(Text)  # why the receiver must read all anew; it is told so next
    attempts: Mapped[int]  # that failed, since the last that did not
    failing_since: Mapped[datetime | None]
    next_try_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)
    delivered_at: Mapped[datetime | None]
    dead_at: Mapped[datetime | None]  # given up, until somebody resumes it
    claimed_by: Mapped[str | None] = mapped_column(String(32))
    claimed_until: Mapped[datetime | None]


class Run(Base):
    """A run's heartbeat: the local launcher has no health check, so the ledger shows which runs are alive."""

    __tablename__ = "runs"

    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    lane: Mapped[str] = mapped_column(String(140))
    started_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]


class Measurement(Base):
    """The latest value of what is too costly for each look: audit and maintenance measure it."""

    __tablename__ = "measurements"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    bbox_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # 0: of no region
    value: Mapped[float] = mapped_column(Float)
    measured_at: Mapped[datetime]
