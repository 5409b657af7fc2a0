"""The peak of memory of each job."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column."""
    op.add_column("jobs", sa.Column("peak", sa.BigInteger))


def downgrade() -> None:
    """Takes it away."""
    op.drop_column("jobs", "peak")
