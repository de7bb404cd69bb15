"""Halts that people set."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "controls",
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("control_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(81), nullable=False, comment="empty = every account of the firm"),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("set_ns", sa.BigInteger(), nullable=False),
        sa.Column("set_by", sa.String(40), nullable=False, comment="pseudonym, or service:local"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("flag", sa.String(64), comment="digest of the flag file that it was adopted from"),
        sa.Column("cleared_ns", sa.BigInteger(), comment="null = in force"),
        sa.Column("cleared_by", sa.String(40)),
        sa.Column("approval_id", sa.String(40)),
        sa.CheckConstraint("level BETWEEN 1 AND 3", name=op.f("ck_controls_level_known")),
        sa.CheckConstraint(
            "(cleared_ns IS NULL) = (cleared_by IS NULL)", name=op.f("ck_controls_cleared_by_somebody")
        ),
        sa.PrimaryKeyConstraint("firm_id", "control_no", name=op.f("pk_controls")),
        sa.UniqueConstraint("firm_id", "flag", name=op.f("uq_controls_firm_id_flag")),
        comment="Halts: a row each, never removed; only their end is ever added.",
    )
    op.create_table(
        "control_effects",
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("control_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(81), nullable=False),
        sa.Column("decision_id", sa.String(64), nullable=False),
        sa.Column("as_of_ns", sa.BigInteger(), nullable=False),
        sa.Column("effective_ns", sa.BigInteger(), nullable=False),
        sa.Column("positions", sa.Integer(), nullable=False),
        sa.Column("cancelled", sa.Integer(), nullable=False),
        sa.Column("flat_ns", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["firm_id", "control_no"],
            ["controls.firm_id", "controls.control_no"],
            name=op.f("fk_control_effects_firm_id_control_no_controls"),
        ),
        sa.PrimaryKeyConstraint("firm_id", "control_no", "account", name=op.f("pk_control_effects")),
        comment="The first decision of each account that carried a halt, and when it was seen flat.",
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("control_effects")
    op.drop_table("controls")
