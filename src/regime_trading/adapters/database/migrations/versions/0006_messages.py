"""Messages of the live channel."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "messages",
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("account", sa.String(81), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.CheckConstraint("seq >= 1", name=op.f("ck_messages_seq_from_one")),
        sa.PrimaryKeyConstraint("firm_id", "seq", name=op.f("pk_messages")),
        comment="What the live channel tells, numbered per firm in the order of commits; old rows are dropped.",
    )
    op.create_table(
        "message_heads",
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("firm_id", name=op.f("pk_message_heads")),
        comment="The last number given out in each firm.",
    )
    op.create_table(
        "message_readers",
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("firm_id", "name", name=op.f("pk_message_readers")),
        comment="How far each lasting reader (notifications) has come.",
    )
    op.create_table(
        "ws_tickets",
        sa.Column("ticket_hash", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(140), nullable=False),
        sa.Column("session_id", sa.String(140), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        sa.Column("used_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("ticket_hash", name=op.f("pk_ws_tickets")),
        comment="Tickets that open the live channel once, within seconds; they belong to a login, not to a firm.",
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("ws_tickets")
    op.drop_table("message_readers")
    op.drop_table("message_heads")
    op.drop_table("messages")
