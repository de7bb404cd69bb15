"""Tables of jobs, their log, the slots of schedules and the workers."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, String, Table, Text

from regime_trading.adapters.database.tables import METADATA

JOBS = Table(
    "jobs",
    METADATA,
    Column("firm_id", String(40), primary_key=True),
    Column("job_id", String(40), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("request", Text, nullable=False),
    Column("by", String(80), nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("started_ns", BigInteger),
    Column("finished_ns", BigInteger),
    Column("stage", String(80), nullable=False),
    Column("progress", Float),
    Column("run_id", String(40), nullable=False),
    Column("result", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("worker", String(80), nullable=False),
    Column("lease_ns", BigInteger),
    Index(None, "status", "created_ns"),
    Index(None, "firm_id", "created_ns", "job_id"),
    comment="Work that takes longer than a request; held by one worker for the length of a lease.",
)

JOB_LINES = Table(
    "job_lines",
    METADATA,
    Column("firm_id", String(40), primary_key=True),
    Column("job_id", String(40), primary_key=True),
    Column("line_no", Integer, primary_key=True, autoincrement=False),
    Column("ts_ns", BigInteger, nullable=False),
    Column("line", Text, nullable=False),
    comment="The log of each job, its first lines up to a bound.",
)

SCHEDULES_FIRED = Table(
    "schedules_fired",
    METADATA,
    Column("firm_id", String(40), primary_key=True),
    Column("basket", String(40), primary_key=True),
    Column("slot_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("job_id", String(40), nullable=False, comment="empty: where the schedule began, or was missed"),
    comment="Slots of each basket's cadence that were fired, each exactly once.",
)

WORKERS = Table(
    "workers",
    METADATA,
    Column("firm_id", String(40), primary_key=True, comment="_platform: workers serve every firm"),
    Column("worker", String(80), primary_key=True),
    Column("seen_ns", BigInteger, nullable=False),
    comment="When each worker was last alive.",
)
