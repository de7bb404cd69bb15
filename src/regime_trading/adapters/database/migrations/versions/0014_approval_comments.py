"""What people say about a request beside their answer to it."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "approval_comments",
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("request_id", sa.String(140), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(140), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["firm_id", "request_id"],
            ["approvals.firm_id", "approvals.request_id"],
            name=op.f("fk_approval_comments_firm_id_request_id_approvals"),
        ),
        sa.PrimaryKeyConstraint("firm_id", "request_id", "position", name=op.f("pk_approval_comments")),
        comment="What people said about a request, in order; never changed.",
    )


def downgrade() -> None:
    """Drop it. The record keeps every comment."""
    op.drop_table("approval_comments")
