"""Acquisitions that were there for a region's day and were not taken, and why."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "refusals",
        sa.Column("bbox_id", sa.Integer, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("item_id", sa.String(300), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("bbox_id", "day", "item_id", name="pk_refusals"),
        sa.ForeignKeyConstraint(["bbox_id"], ["bounding_boxes.bbox_id"], name="fk_refusals_bbox_id"),
    )


def downgrade() -> None:
    op.drop_table("refusals")
