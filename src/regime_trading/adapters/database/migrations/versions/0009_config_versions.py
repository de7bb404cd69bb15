"""Versions of each firm's configuration."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "config_versions",
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("changed_ns", sa.BigInteger(), nullable=False),
        sa.Column("effective_from_ns", sa.BigInteger(), nullable=True),
        sa.Column("request_id", sa.String(140), nullable=False),
        sa.Column("document_hash", sa.String(64), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="the rest of it as JSON"),
        sa.CheckConstraint("version >= 1", name=op.f("ck_config_versions_version_from_one")),
        sa.PrimaryKeyConstraint("firm_id", "version", name=op.f("pk_config_versions")),
        comment="Versions of each firm's section of the traders file; only their status moves on.",
    )
    op.create_index(
        op.f("ix_config_versions_firm_id_status_version"), "config_versions", ["firm_id", "status", "version"]
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("config_versions")
