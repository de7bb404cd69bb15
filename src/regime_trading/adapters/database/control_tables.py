"""Tables of the halts that people set."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from regime_trading.adapters.database.tables import METADATA

CONTROLS = Table(
    "controls",
    METADATA,
    Column("firm_id", String(40), primary_key=True),
    Column("control_no", BigInteger, primary_key=True, autoincrement=False),
    Column("account", String(81), nullable=False, comment="empty = every account of the firm"),
    Column("level", Integer, nullable=False),
    Column("set_ns", BigInteger, nullable=False),
    Column("set_by", String(40), nullable=False, comment="pseudonym, or service:local"),
    Column("reason", Text, nullable=False),
    Column("flag", String(64), comment="digest of the flag file that it was adopted from"),
    Column("cleared_ns", BigInteger, comment="null = in force"),
    Column("cleared_by", String(40)),
    Column("approval_id", String(40)),
    UniqueConstraint("firm_id", "flag"),
    CheckConstraint("level BETWEEN 1 AND 3", name="level_known"),
    CheckConstraint("(cleared_ns IS NULL) = (cleared_by IS NULL)", name="cleared_by_somebody"),
    comment="Halts: a row each, never removed; only their end is ever added.",
)

CONTROL_EFFECTS = Table(
    "control_effects",
    METADATA,
    Column("firm_id", String(40), primary_key=True),
    Column("control_no", BigInteger, primary_key=True, autoincrement=False),
    Column("account", String(81), primary_key=True),
    Column("decision_id", String(64), nullable=False),
    Column("as_of_ns", BigInteger, nullable=False),
    Column("effective_ns", BigInteger, nullable=False),
    Column("positions", Integer, nullable=False),
    Column("cancelled", Integer, nullable=False),
    Column("flat_ns", BigInteger),
    ForeignKeyConstraint(["firm_id", "control_no"], ["controls.firm_id", "controls.control_no"]),
    comment="The first decision of each account that carried a halt, and when it was seen flat.",
)
