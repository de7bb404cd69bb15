"""RL rows of decisions that are made one by one, at the gate and in paced runs."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "rl_rows",
        sa.Column(
            "row_no",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("env", sa.String(16), nullable=False),
        sa.Column("account", sa.String(81), nullable=False),
        sa.Column("run_id", sa.String(40), nullable=False),
        sa.Column("chain_id", sa.String(140), nullable=False),
        sa.Column(
            "trail",
            sa.String(140),
            nullable=False,
            comment="decisions in which each follows the one before",
        ),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("ts_event_ns", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column(
            "open_end", sa.Text(), nullable=False, comment="what the next decision needs to close this one"
        ),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("row_no", name=op.f("pk_rl_rows")),
        sa.UniqueConstraint("chain_id", "seq", name=op.f("uq_rl_rows_chain_id_seq")),
        comment="RL rows of decisions made one by one; sealed into Parquet later, the last of each trail stays.",
    )
    op.create_index(op.f("ix_rl_rows_firm_id_trail_row_no"), "rl_rows", ["firm_id", "trail", "row_no"])
    op.create_index(op.f("ix_rl_rows_firm_id_sealed_row_no"), "rl_rows", ["firm_id", "sealed", "row_no"])


def downgrade() -> None:
    """Drop it. Rows that were sealed stay in the dataset."""
    op.drop_table("rl_rows")
