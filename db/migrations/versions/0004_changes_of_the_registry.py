"""`bounding_boxes.registry_changes`: whether the registry is the one that was read, by one number."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("bounding_boxes", sa.Column("registry_changes", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("bounding_boxes", "registry_changes")
