"""Tables of the live channel."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, String, Table, Text

from regime_trading.adapters.database.tables import METADATA

MESSAGES = Table(
    "messages",
    METADATA,
    Column("firm_id", String(40), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("ts_ns", BigInteger, nullable=False),
    Column("type", String(40), nullable=False),
    Column("account", String(81), nullable=False),
    Column("body", Text, nullable=False),
    CheckConstraint("seq >= 1", name="seq_from_one"),
    comment="What the live channel tells, numbered per firm in the order of commits; old rows are dropped.",
)

MESSAGE_HEADS = Table(
    "message_heads",
    METADATA,
    Column("firm_id", String(40), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    comment="The last number given out in each firm.",
)

MESSAGE_READERS = Table(
    "message_readers",
    METADATA,
    Column("firm_id", String(40), primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    comment="How far each lasting reader (notifications) has come.",
)

WS_TICKETS = Table(
    "ws_tickets",
    METADATA,
    Column("ticket_hash", String(64), primary_key=True),
    Column("user_id", String(140), nullable=False),
    Column("session_id", String(140), nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("used_ns", BigInteger),
    comment="Tickets that open the live channel once, within seconds; they belong to a login, not to a firm.",
)
