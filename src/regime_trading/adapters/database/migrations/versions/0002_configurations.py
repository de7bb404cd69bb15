"""Session overrides, and the last accepted configuration of each account."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "session_overrides",
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("override_id", sa.String(16), nullable=False),
        sa.Column("account", sa.String(81), nullable=False),
        sa.Column("created_at_ns", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ns", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("firm_id", "override_id", name=op.f("pk_session_overrides")),
        comment="Temporary tightenings of an account; never changed, never removed.",
    )
    op.create_index(
        op.f("ix_session_overrides_firm_id_account_created_at_ns"),
        "session_overrides",
        ["firm_id", "account", "created_at_ns"],
    )
    op.create_table(
        "last_good_configs",
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("account", sa.String(81), nullable=False),
        sa.Column("accepted_ns", sa.BigInteger(), nullable=False),
        sa.Column("config_hash", sa.String(64), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("firm_id", "account", name=op.f("pk_last_good_configs")),
        comment="The configuration of each account that was accepted last.",
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("last_good_configs", "session_overrides"):
        op.drop_table(table)
