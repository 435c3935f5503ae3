"""Keys of the HTTP API: who may read which regions, until when. Only the digest of a key is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("all_regions", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("key_id", name="pk_api_keys"),
    )
    op.create_table(
        "api_key_regions",
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("bbox_id", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("key_id", "bbox_id", name="pk_api_key_regions"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.key_id"], name="fk_api_key_regions_key_id"),
        sa.ForeignKeyConstraint(["bbox_id"], ["bounding_boxes.bbox_id"], name="fk_api_key_regions_bbox_id"),
    )


def downgrade() -> None:
    op.drop_table("api_key_regions")
    op.drop_table("api_keys")
