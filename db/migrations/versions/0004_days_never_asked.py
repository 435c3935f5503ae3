"""An index of the closed days for which the source was never asked: ingest looks for them at each tick."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    unasked = sa.text("answered_at IS NULL AND closed_at IS NOT NULL")
    op.create_index(
        "ix_region_days_never_asked",
        "region_days",
        ["bbox_id", "day"],
        sqlite_where=unasked,
        postgresql_where=unasked,
    )


def downgrade() -> None:
    op.drop_index("ix_region_days_never_asked", "region_days")
