"""The publication log: what is published is never overwritten, and a day has a version in place of one object's key.

Each published object becomes the `day` publication of its day, committed when the day was closed; no object is written
anew. The way back needs one object a day again: `satctl gc --patches 0` makes them.
"""

import uuid

import sqlalchemy as sa
from alembic import op
from satcommon.errors import InputError

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "publications",
        sa.Column("bbox_id", sa.Integer, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("object_key", sa.String(300)),
        sa.Column("object_digest", sa.String(64)),
        sa.Column("first_day", sa.Date, nullable=False),
        sa.Column("last_day", sa.Date, nullable=False),
        sa.Column("row_count", sa.Integer, nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("cause", sa.String(200), nullable=False),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("bbox_id", "sequence", name="pk_publications"),
        sa.ForeignKeyConstraint(["bbox_id"], ["bounding_boxes.bbox_id"], name="fk_publications_bbox_id"),
    )
    op.create_table(
        "publication_days",
        sa.Column("bbox_id", sa.Integer, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("is_base", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("bbox_id", "day", "sequence", name="pk_publication_days"),
        sa.ForeignKeyConstraint(
            ["bbox_id", "sequence"],
            ["publications.bbox_id", "publications.sequence"],
            name="fk_publication_days_bbox_id",
        ),
        sqlite_with_rowid=False,
    )
    op.add_column("region_days", sa.Column("version", sa.Integer))
    op.execute("""
        INSERT INTO publications (bbox_id, sequence, kind, object_key, object_digest, first_day, last_day, row_count,
            run_id, cause, committed_at)
        SELECT bbox_id, row_number() OVER (PARTITION BY bbox_id ORDER BY closed_at, day), 'day', object_key,
            object_digest, day, day, row_count, '', 'closed', closed_at
        FROM region_days
        WHERE object_key IS NOT NULL
    """)
    op.execute("""
        INSERT INTO publication_days (bbox_id, day, sequence, is_base)
        SELECT bbox_id, first_day, sequence, true FROM publications
    """)
    op.execute("""
        UPDATE region_days
        SET version = (
            SELECT sequence FROM publication_days p WHERE p.bbox_id = region_days.bbox_id AND p.day = region_days.day
        )
    """)
    _refusals(["bbox_id", "day", "item_id", "seen_at"], resolved=True)
    op.add_column("registry", sa.Column("installation", sa.String(32), nullable=False, server_default=""))
    op.execute(sa.text("UPDATE registry SET installation = :name").bindparams(name=uuid.uuid4().hex))
    op.create_index("ix_publications_object_key", "publications", ["object_key"])
    op.drop_column("region_days", "object_key")
    op.drop_column("region_days", "object_digest")
    op.drop_table("retired_objects")


def downgrade() -> None:
    # A day's publications from the last that gives all its rows on.
    current = """
        FROM publication_days d JOIN publications p ON p.bbox_id = d.bbox_id AND p.sequence = d.sequence
        WHERE NOT EXISTS (
            SELECT 1 FROM publication_days b
            WHERE b.bbox_id = d.bbox_id AND b.day = d.day AND b.is_base AND b.sequence > d.sequence
        )
    """
    patched = op.get_bind().execute(
        sa.text(f"SELECT count(*) {current} AND (NOT d.is_base OR p.object_key IS NULL)")  # no input of a user
    )
    if days := patched.scalar_one():
        raise InputError(
            f"{days:,} patches, or days without an object, are needed to read days, and revision 0007 knows one object "
            "a day alone; `satctl gc --patches 0` writes those objects: run it, and downgrade again"
        )
    op.create_table(
        "retired_objects",
        sa.Column("object_key", sa.String(300), primary_key=True),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.add_column("region_days", sa.Column("object_key", sa.String(300)))
    op.add_column("region_days", sa.Column("object_digest", sa.String(64)))
    for column in ("object_key", "object_digest"):
        op.execute(
            f"UPDATE region_days SET {column} = (SELECT p.{column} {current} "  # noqa: S608  # likewise
            "AND d.bbox_id = region_days.bbox_id AND d.day = region_days.day)"
        )
    op.execute("DELETE FROM refusals WHERE resolved_at IS NOT NULL")
    _refusals(["bbox_id", "day", "item_id"], resolved=False)
    op.drop_column("registry", "installation")
    op.drop_column("region_days", "version")
    op.drop_table("publication_days")
    op.drop_table("publications")


def _refusals(key: list[str], *, resolved: bool) -> None:
    """Another key, and whether a resolved refusal is kept; SQLite makes the table anew."""
    if op.get_context().dialect.name == "postgresql":
        op.drop_constraint("pk_refusals", "refusals")
        op.create_primary_key("pk_refusals", "refusals", key)
        if resolved:
            op.add_column("refusals", sa.Column("resolved_at", sa.DateTime(timezone=True)))
        else:
            op.drop_column("refusals", "resolved_at")
        return
    op.rename_table("refusals", "refusals_before")
    op.create_table(
        "refusals",
        sa.Column("bbox_id", sa.Integer, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("item_id", sa.String(300), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        *([sa.Column("resolved_at", sa.DateTime(timezone=True))] if resolved else []),
        sa.PrimaryKeyConstraint(*key, name="pk_refusals"),
        sa.ForeignKeyConstraint(["bbox_id"], ["bounding_boxes.bbox_id"], name="fk_refusals_bbox_id"),
    )
    columns = "bbox_id, day, item_id, seen_at, reason"
    op.execute(f"INSERT INTO refusals ({columns}) SELECT {columns} FROM refusals_before")  # noqa: S608  # likewise
    op.drop_table("refusals_before")
