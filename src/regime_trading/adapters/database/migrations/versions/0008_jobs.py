"""Jobs, their log, slots of schedules, workers."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "jobs",
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("job_id", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("by", sa.String(80), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("started_ns", sa.BigInteger()),
        sa.Column("finished_ns", sa.BigInteger()),
        sa.Column("stage", sa.String(80), nullable=False),
        sa.Column("progress", sa.Float()),
        sa.Column("run_id", sa.String(40), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("worker", sa.String(80), nullable=False),
        sa.Column("lease_ns", sa.BigInteger()),
        sa.PrimaryKeyConstraint("firm_id", "job_id", name=op.f("pk_jobs")),
        comment="Work that takes longer than a request; held by one worker for the length of a lease.",
    )
    op.create_index(op.f("ix_jobs_status_created_ns"), "jobs", ["status", "created_ns"])
    op.create_index(op.f("ix_jobs_firm_id_created_ns_job_id"), "jobs", ["firm_id", "created_ns", "job_id"])
    op.create_table(
        "job_lines",
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("job_id", sa.String(40), nullable=False),
        sa.Column("line_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("firm_id", "job_id", "line_no", name=op.f("pk_job_lines")),
        comment="The log of each job, its first lines up to a bound.",
    )
    op.create_table(
        "schedules_fired",
        sa.Column("firm_id", sa.String(40), nullable=False),
        sa.Column("basket", sa.String(40), nullable=False),
        sa.Column("slot_ns", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "job_id", sa.String(40), nullable=False, comment="empty: where the schedule began, or was missed"
        ),
        sa.PrimaryKeyConstraint("firm_id", "basket", "slot_ns", name=op.f("pk_schedules_fired")),
        comment="Slots of each basket's cadence that were fired, each exactly once.",
    )
    op.create_table(
        "workers",
        sa.Column("firm_id", sa.String(40), nullable=False, comment="_platform: workers serve every firm"),
        sa.Column("worker", sa.String(80), nullable=False),
        sa.Column("seen_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("firm_id", "worker", name=op.f("pk_workers")),
        comment="When each worker was last alive.",
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("workers")
    op.drop_table("schedules_fired")
    op.drop_table("job_lines")
    op.drop_table("jobs")
