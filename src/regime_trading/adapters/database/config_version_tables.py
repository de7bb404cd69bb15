"""Table of the versions of each firm's section of ``traders.yaml``."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, String, Table, Text

from regime_trading.adapters.database.tables import METADATA

CONFIG_VERSIONS = Table(
    "config_versions",
    METADATA,
    Column("firm_id", String(40), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("status", String(16), nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("changed_ns", BigInteger, nullable=False),
    Column("effective_from_ns", BigInteger),
    Column("request_id", String(140), nullable=False),
    Column("document_hash", String(64), nullable=False),
    Column("document", Text, nullable=False),
    Column("body", Text, nullable=False, comment="the rest of it as JSON"),
    CheckConstraint("version >= 1", name="version_from_one"),
    Index(None, "firm_id", "status", "version"),
    comment="Versions of each firm's section of the traders file; only their status moves on.",
)
