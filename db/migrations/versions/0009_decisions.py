"""What somebody decided of refused acquisitions; a refusal names its check and the version that was refused.

Refusals of before name neither: their days are asked for again as ever, and then they do.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("refusals", sa.Column("check_name", sa.String(64)))
    op.add_column("refusals", sa.Column("digest", sa.String(64)))
    op.create_table(
        "decisions",
        sa.Column("bbox_id", sa.Integer, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("item_id", sa.String(300), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("verdict", sa.String(32), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("check_name", sa.String(64)),
        sa.Column("refused_because", sa.Text, nullable=False),
        sa.Column("decided_by", sa.String(100), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("bbox_id", "day", "item_id", "decided_at", name="pk_decisions"),
        sa.ForeignKeyConstraint(["bbox_id"], ["bounding_boxes.bbox_id"], name="fk_decisions_bbox_id"),
    )


def downgrade() -> None:
    # The scenes of accepted acquisitions stay, as all that was delivered; rejected ones are refused again.
    op.drop_table("decisions")
    op.drop_column("refusals", "digest")
    op.drop_column("refusals", "check_name")
