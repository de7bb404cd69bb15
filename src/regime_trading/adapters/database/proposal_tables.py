"""Table of the weights that people propose."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, String, Table, Text

from regime_trading.adapters.database.tables import METADATA

PROPOSALS = Table(
    "proposals",
    METADATA,
    Column("firm_id", String(40), primary_key=True),
    Column("proposal_id", String(140), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("maker", String(140), nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("body", Text, nullable=False, comment="the proposal as JSON"),
    CheckConstraint("version >= 1", name="version_from_one"),
    Index(None, "firm_id", "status", "created_ns"),
    comment="People's own weights; a row each, never removed.",
)
