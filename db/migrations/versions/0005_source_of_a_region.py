"""A region keeps the source that it was registered with; of those that are there, what their acquisitions tell.

Scenes of a region all of which were simulated are certain, and that some were not is, too; from which folder those came
is not: the first folder that is asked is adopted. A region without acquisitions belongs to the first source asked.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("bounding_boxes", sa.Column("scene_source", sa.Text(), nullable=True))
    op.execute(r"""
        UPDATE bounding_boxes SET scene_source = CASE
            WHEN EXISTS (
                SELECT 1 FROM acquisitions a WHERE a.bbox_id = bounding_boxes.bbox_id
                AND NOT (a.item_id LIKE 'SIM\_%' ESCAPE '\' AND a.platform LIKE 'simulated%')
            ) THEN 'folder'
            WHEN EXISTS (SELECT 1 FROM acquisitions a WHERE a.bbox_id = bounding_boxes.bbox_id) THEN 'simulated'
        END
    """)


def downgrade() -> None:
    op.drop_column("bounding_boxes", "scene_source")
