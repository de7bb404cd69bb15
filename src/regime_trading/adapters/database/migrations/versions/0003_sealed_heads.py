"""How far each chain is sealed, and how far its write-ahead rows have gone."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "sealed_heads",
        sa.Column("chain_id", sa.String(140), nullable=False),
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("entry_hash", sa.String(64), nullable=False),
        sa.Column("dropped_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", name=op.f("pk_sealed_heads")),
        comment="Last sealed entry of each chain, and the last one whose write-ahead row is gone.",
    )


def downgrade() -> None:
    """Drop it. Rows that are gone stay in the sealed record."""
    op.drop_table("sealed_heads")
