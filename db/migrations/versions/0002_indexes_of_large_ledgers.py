"""Indexes that a ledger of 100,000 fields and a million misses asks for (docs/explanation/performance.md)."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_missed_fields_open_by_day",  # a region's backlog, and its misses of some days
        "missed_fields",
        ["bbox_id", "date_missed"],
        sqlite_where=sa.text("processed = 0"),
        postgresql_where=sa.text("NOT processed"),
    )
    op.create_index("ix_field_revisions_geometry_digest", "field_revisions", ["geometry_digest"])
    op.create_index("ix_acquisitions_bbox_id_day", "acquisitions", ["bbox_id", "day"])


def downgrade() -> None:
    op.drop_index("ix_acquisitions_bbox_id_day", "acquisitions")
    op.drop_index("ix_field_revisions_geometry_digest", "field_revisions")
    op.drop_index("ix_missed_fields_open_by_day", "missed_fields")
