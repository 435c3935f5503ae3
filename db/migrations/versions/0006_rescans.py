"""When the days of a region that are older than the allowed lateness were last asked for anew."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("bounding_boxes", sa.Column("rescanned_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("bounding_boxes", "rescanned_at")
