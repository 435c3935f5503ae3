"""The first tables.

Constraints without a name are named by the models' convention. Enumerations are text, instants are in UTC.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
DIGEST = sa.String(64)
WORD = sa.String(32)


def upgrade() -> None:
    _registry()
    _regions_and_fields()
    _imagery_and_days()
    _backlog_and_attempts()


def downgrade() -> None:
    for table in (
        "runs",
        "retired_objects",
        "withdrawals",
        "processing_attempts",
        "missed_fields",
        "region_days",
        "scenes",
        "acquisitions",
        "membership",
        "field_revisions",
        "seasons",
        "fields",
        "bounding_boxes",
        "registry",
    ):
        op.drop_table(table)


def _registry() -> None:
    registry = op.create_table(
        "registry",
        sa.Column("registry_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.Integer, nullable=False),
    )
    op.bulk_insert(registry, [{"registry_id": 1, "revision": 0}])


def _regions_and_fields() -> None:
    op.create_table(
        "bounding_boxes",
        sa.Column("bbox_id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(100), nullable=False, unique=True),
        sa.Column("geometry", sa.LargeBinary, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("monitored_from", sa.Date, nullable=False),
        sa.Column("monitored_until", sa.Date),
        sa.Column("grid", sa.Text, nullable=False),
        sa.Column("algorithm_version", sa.String(32), nullable=False),
    )
    op.create_table(
        "fields",
        sa.Column("field_id", sa.Integer, primary_key=True),
        sa.Column("external_id", sa.String(200), nullable=False, unique=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("geometry", sa.LargeBinary, nullable=False),
        sa.Column("geometry_digest", DIGEST, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("known_at", INSTANT, nullable=False),
        sa.Column("planting_date", sa.Date, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()),
    )
    op.create_table(
        "seasons",
        sa.Column("season_id", sa.Integer, primary_key=True),
        sa.Column("field_id", sa.Integer, sa.ForeignKey("fields.field_id"), nullable=False),
        sa.Column("planting_date", sa.Date, nullable=False),
        sa.Column("end_date", sa.Date),
        sa.Column("crop_code", sa.String(64)),
        sa.UniqueConstraint("field_id", "planting_date"),
    )
    op.create_table(
        "field_revisions",
        sa.Column("revision_id", sa.Integer, primary_key=True),
        sa.Column("field_id", sa.Integer, sa.ForeignKey("fields.field_id"), nullable=False, index=True),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("valid_from", sa.Date, nullable=False),
        sa.Column("known_at", INSTANT, nullable=False),
        sa.Column("geometry", sa.LargeBinary),
        sa.Column("geometry_digest", DIGEST),
    )
    op.create_table(
        "membership",
        sa.Column("revision_id", sa.Integer, sa.ForeignKey("field_revisions.revision_id"), primary_key=True),
        sa.Column("bbox_id", sa.Integer, sa.ForeignKey("bounding_boxes.bbox_id"), primary_key=True, index=True),
        sa.Column("area_ha", sa.Float, nullable=False),
        sa.Column("overlap_ha", sa.Float, nullable=False),
        sa.Column("home", sa.Boolean, nullable=False),
    )


def _imagery_and_days() -> None:
    op.create_table(
        "acquisitions",
        sa.Column("bbox_id", sa.Integer, sa.ForeignKey("bounding_boxes.bbox_id"), primary_key=True),
        sa.Column("item_id", sa.String(300), primary_key=True),
        sa.Column("digest", DIGEST, primary_key=True),
        sa.Column("collection", sa.String(64), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("platform", sa.String(64), nullable=False),
        sa.Column("overpass", sa.String(200), nullable=False),
        sa.Column("tile", sa.String(64), nullable=False),
        sa.Column("baseline", sa.String(32), nullable=False),
        sa.Column("sensed_at", INSTANT, nullable=False),
        sa.Column("published_at", INSTANT, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
    )
    op.create_table(
        "scenes",
        sa.Column("bbox_id", sa.Integer, sa.ForeignKey("bounding_boxes.bbox_id"), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("digest", DIGEST, primary_key=True),
        sa.Column("object_key", sa.String(300), nullable=False),
        sa.Column("item_ids", sa.Text, nullable=False),
        sa.Column("sensed_at", INSTANT, nullable=False),
        sa.Column("observed_fraction", sa.Float, nullable=False),
        sa.Column("clear_fraction", sa.Float, nullable=False),
        sa.Column("registered_at", INSTANT, nullable=False),
    )
    op.create_table(
        "region_days",
        sa.Column("bbox_id", sa.Integer, sa.ForeignKey("bounding_boxes.bbox_id"), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("due", WORD, nullable=False),
        sa.Column("answered_at", INSTANT),
        sa.Column("listing", DIGEST),
        sa.Column("scene_digest", DIGEST),
        sa.Column("object_key", sa.String(300)),
        sa.Column("row_count", sa.Integer),
        sa.Column("object_digest", DIGEST),
        sa.Column("closed_at", INSTANT),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("error", sa.Text),
        sa.ForeignKeyConstraint(["bbox_id", "day", "scene_digest"], ["scenes.bbox_id", "scenes.day", "scenes.digest"]),
    )
    op.create_index("ix_region_days_closed", "region_days", ["bbox_id", "closed_at", "day"])


def _backlog_and_attempts() -> None:
    op.create_table(
        "missed_fields",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("field_id", sa.Integer, sa.ForeignKey("fields.field_id"), nullable=False),
        sa.Column("bbox_id", sa.Integer, sa.ForeignKey("bounding_boxes.bbox_id"), nullable=False),
        sa.Column("processing_time", INSTANT, nullable=False),
        sa.Column("date_missed", sa.Date, nullable=False),
        sa.Column("processed", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("resolved_time", INSTANT),
        sa.Column("cause", WORD, nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("tried_at", INSTANT),
    )
    op.create_index(
        "uq_missed_fields_open",  # at most one open miss per field-day
        "missed_fields",
        ["bbox_id", "field_id", "date_missed"],
        unique=True,
        sqlite_where=sa.text("processed = 0"),
        postgresql_where=sa.text("NOT processed"),
    )
    op.create_index("ix_missed_fields_field_id_date_missed", "missed_fields", ["field_id", "date_missed"])
    op.create_table(
        "processing_attempts",
        sa.Column("attempt_id", sa.Integer, primary_key=True),
        sa.Column("field_id", sa.Integer, sa.ForeignKey("fields.field_id"), nullable=False),
        sa.Column("bbox_id", sa.Integer, sa.ForeignKey("bounding_boxes.bbox_id"), nullable=False),
        sa.Column("processing_time", INSTANT, nullable=False),
        sa.Column("processing_type", WORD, nullable=False),
        sa.Column("error_code", sa.String(300)),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("duration_seconds", sa.Float, nullable=False),
    )
    op.create_index("ix_processing_attempts_field_id_day", "processing_attempts", ["field_id", "day"])
    op.create_index("ix_processing_attempts_created_at", "processing_attempts", ["created_at"])
    op.create_table(
        "withdrawals",
        sa.Column("bbox_id", sa.Integer, sa.ForeignKey("bounding_boxes.bbox_id"), primary_key=True),
        sa.Column("field_id", sa.Integer, sa.ForeignKey("fields.field_id"), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("listed_at", INSTANT, nullable=False),
    )
    op.create_table(
        "retired_objects",
        sa.Column("object_key", sa.String(300), primary_key=True),
        sa.Column("retired_at", INSTANT, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(64), primary_key=True),
        sa.Column("lane", sa.String(140), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("heartbeat_at", INSTANT, nullable=False),
    )
