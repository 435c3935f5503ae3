"""What is too costly for each look is measured by audit and maintenance, and kept: the latest value of each."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "measurements",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("bbox_id", sa.Integer, nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "bbox_id", name="pk_measurements"),
    )


def downgrade() -> None:
    op.drop_table("measurements")
