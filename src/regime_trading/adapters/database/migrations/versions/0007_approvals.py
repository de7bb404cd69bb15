"""Approvals, previews, answers by Idempotency-Key, command histories."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "approvals",
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("request_id", sa.String(140), nullable=False),
        sa.Column("account", sa.String(81), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        sa.Column("payload_hash", sa.String(64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="the request; never changes"),
        sa.Column("why", sa.Text(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_approvals_version_from_one")),
        sa.PrimaryKeyConstraint("firm_id", "request_id", name=op.f("pk_approvals")),
        comment="Requests that people must agree to.",
    )
    op.create_index(
        op.f("ix_approvals_firm_id_status_created_ns"), "approvals", ["firm_id", "status", "created_ns"]
    )
    op.create_table(
        "approval_votes",
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("request_id", sa.String(140), nullable=False),
        sa.Column("user_id", sa.String(140), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.String(140), nullable=False),
        sa.Column("actor", sa.String(140), nullable=False),
        sa.Column("agrees", sa.Boolean(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["firm_id", "request_id"],
            ["approvals.firm_id", "approvals.request_id"],
            name=op.f("fk_approval_votes_firm_id_request_id_approvals"),
        ),
        sa.PrimaryKeyConstraint("firm_id", "request_id", "user_id", name=op.f("pk_approval_votes")),
        comment="What each person said to a request, once.",
    )
    op.create_table(
        "previews",
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("preview_id", sa.String(140), nullable=False),
        sa.Column("account", sa.String(81), nullable=False),
        sa.Column("klass", sa.String(16), nullable=False),
        sa.Column("action_hash", sa.String(64), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column(
            "used_key",
            sa.String(200),
            comment="of the attempt that used it; null before, empty where it was voided",
        ),
        sa.Column("used_ns", sa.BigInteger()),
        sa.Column("done", sa.Text(), comment="how its use ended; null until then"),
        sa.PrimaryKeyConstraint("firm_id", "preview_id", name=op.f("pk_previews")),
        comment="What commands would do, each for one person, one session and one use.",
    )
    op.create_table(
        "idempotency",
        sa.Column("user_id", sa.String(140), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), comment="null while it is being answered"),
        sa.Column("response", sa.Text()),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_idempotency")),
        comment="Answers by Idempotency-Key, for a day.",
    )
    op.create_index(op.f("ix_idempotency_expires_ns"), "idempotency", ["expires_ns"])
    op.create_table(
        "command_history",
        sa.Column(
            "entry_no",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("user_id", sa.String(140), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False, comment="without secrets"),
        sa.Column("klass", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("entry_no", name=op.f("pk_command_history")),
        comment="What each person commanded, in their own history.",
    )
    op.create_index(
        op.f("ix_command_history_firm_id_user_id_entry_no"),
        "command_history",
        ["firm_id", "user_id", "entry_no"],
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("command_history")
    op.drop_table("idempotency")
    op.drop_table("previews")
    op.drop_table("approval_votes")
    op.drop_table("approvals")
