"""Runs that wait for people."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "runs",
        sa.Column(
            "waits",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="accounts that waited for people, and for which requests; JSON",
        ),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_column("runs", "waits")
