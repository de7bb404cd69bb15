"""Actors: whose the pseudonyms in the record are."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "actors",
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("pseudonym", sa.String(40), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("erased_ns", sa.BigInteger()),
        sa.Column("subject_hash", sa.String(64), comment="finds a subject again; null once erased"),
        sa.Column(
            "key",
            sa.LargeBinary(),
            comment="of this row alone; null once erased: nothing can read the name then",
        ),
        sa.Column(
            "sealed_name",
            sa.LargeBinary(),
            nullable=False,
            comment="nonce and AES-256-GCM of subject, name, e-mail",
        ),
        sa.PrimaryKeyConstraint("firm_id", "pseudonym", name=op.f("pk_actors")),
        sa.UniqueConstraint("firm_id", "subject_hash", name=op.f("uq_actors_firm_id_subject_hash")),
        comment="Whose the pseudonyms in the record are. Names are nowhere else.",
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("actors")
