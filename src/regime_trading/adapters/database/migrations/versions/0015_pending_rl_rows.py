"""RL rows of paced runs, durable with their decisions until they are sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "pending_rl_rows",
        sa.Column("chain_id", sa.String(140), nullable=False),
        sa.Column(
            "seq", sa.BigInteger(), autoincrement=False, nullable=False, comment="last entry of the decision"
        ),
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "seq", name=op.f("pk_pending_rl_rows")),
        comment="RL rows of decisions, durable with them; gone once sealed, but for the last of each chain.",
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("pending_rl_rows")
