"""Jobs and their events, assets, workflows and their versions, shares and drafts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Makes the first tables."""
    _jobs()
    _assets()
    _workflows()


def downgrade() -> None:
    """Takes them away."""
    for name in ("drafts", "shares", "versions", "workflows", "assets", "settings", "events", "jobs"):
        op.drop_table(name)


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("number", _number, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("client", sa.Text),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("started", sa.Float),
        sa.Column("finished", sa.Float),
        sa.Column("progress", sa.Float, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("outputs", sa.Text, nullable=False),
        sa.Column("nodes", sa.Text, nullable=False),
        sa.Column("targets", sa.Text),
        sa.Column("workflow", sa.Text, nullable=False),
        sa.Column("extra", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.String(255), unique=True),
        sa.Column("request_digest", sa.String(64)),
    )
    op.create_index("jobs_by_status", "jobs", ["status", "priority", "position"])
    op.create_table(
        "events",
        sa.Column("job", sa.String(64), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("data", sa.Text, nullable=False),
    )
    op.create_table("settings", sa.Column("name", sa.String(64), primary_key=True), sa.Column("value", sa.Text))


def _assets() -> None:
    op.create_table(
        "assets",
        sa.Column("number", _number, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("name", sa.String(1024), nullable=False),
        sa.Column("media_type", sa.String(255), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("job", sa.String(64)),
        sa.Column("node", sa.Text),
        sa.UniqueConstraint("kind", "name"),
    )
    op.create_index("ix_assets_id", "assets", ["id"])


def _workflows() -> None:
    op.create_table(
        "workflows",
        sa.Column("number", _number, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("updated", sa.Float, nullable=False),
        sa.Column("thumbnail", sa.String(32)),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    op.create_index("ix_workflows_digest", "workflows", ["digest"])
    owner = sa.ForeignKey("workflows.id", ondelete="CASCADE")
    op.create_table(
        "versions",
        sa.Column("workflow", sa.String(32), owner, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "shares",
        sa.Column("token", sa.String(64), primary_key=True),
        sa.Column(
            "workflow",
            sa.String(32),
            sa.ForeignKey("workflows.id", ondelete="CASCADE"),
            nullable=False,
            unique=True,
        ),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_table(
        "drafts",
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("updated", sa.Float, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
