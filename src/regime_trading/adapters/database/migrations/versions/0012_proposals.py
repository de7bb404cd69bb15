"""People's own weights."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "proposals",
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("proposal_id", sa.String(140), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("maker", sa.String(140), nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="the proposal as JSON"),
        sa.CheckConstraint("version >= 1", name=op.f("ck_proposals_version_from_one")),
        sa.PrimaryKeyConstraint("firm_id", "proposal_id", name=op.f("pk_proposals")),
        comment="People's own weights; a row each, never removed.",
    )
    op.create_index(
        op.f("ix_proposals_firm_id_status_created_ns"), "proposals", ["firm_id", "status", "created_ns"]
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("proposals")
