"""Tables of approvals and commands."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from regime_trading.adapters.database.tables import METADATA

_NUMBERED = BigInteger().with_variant(Integer(), "sqlite")
_ID = String(40)
_HASH = String(64)
_NAME = String(140)

APPROVALS = Table(
    "approvals",
    METADATA,
    Column("firm_id", _ID, primary_key=True),
    Column("request_id", _NAME, primary_key=True),
    Column("account", String(81), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("payload_hash", _HASH, nullable=False),
    Column("body", Text, nullable=False, comment="the request; never changes"),
    Column("why", Text, nullable=False),
    CheckConstraint("version >= 1", name="version_from_one"),
    Index(None, "firm_id", "status", "created_ns"),
    comment="Requests that people must agree to.",
)

APPROVAL_VOTES = Table(
    "approval_votes",
    METADATA,
    Column("firm_id", _ID, primary_key=True),
    Column("request_id", _NAME, primary_key=True),
    Column("user_id", _NAME, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("session_id", _NAME, nullable=False),
    Column("actor", _NAME, nullable=False),
    Column("agrees", Boolean, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    ForeignKeyConstraint(["firm_id", "request_id"], ["approvals.firm_id", "approvals.request_id"]),
    comment="What each person said to a request, once.",
)

APPROVAL_COMMENTS = Table(
    "approval_comments",
    METADATA,
    Column("firm_id", _ID, primary_key=True),
    Column("request_id", _NAME, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("actor", _NAME, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    ForeignKeyConstraint(["firm_id", "request_id"], ["approvals.firm_id", "approvals.request_id"]),
    comment="What people said about a request, in order; never changed.",
)

PREVIEWS = Table(
    "previews",
    METADATA,
    Column("firm_id", _ID, primary_key=True),
    Column("preview_id", _NAME, primary_key=True),
    Column("account", String(81), nullable=False),
    Column("klass", String(16), nullable=False),
    Column("action_hash", _HASH, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column(
        "used_key", String(200), comment="of the attempt that used it; null before, empty where it was voided"
    ),
    Column("used_ns", BigInteger),
    Column("done", Text, comment="how its use ended; null until then"),
    comment="What commands would do, each for one person, one session and one use.",
)

IDEMPOTENCY = Table(
    "idempotency",
    METADATA,
    Column("user_id", _NAME, primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("request_hash", _HASH, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("status", Integer, comment="null while it is being answered"),
    Column("response", Text),
    Index(None, "expires_ns"),
    comment="Answers by Idempotency-Key, for a day.",
)

COMMAND_HISTORY = Table(
    "command_history",
    METADATA,
    Column("entry_no", _NUMBERED, primary_key=True, autoincrement=True),
    Column("firm_id", _ID, nullable=False),
    Column("user_id", _NAME, nullable=False),
    Column("ts_ns", BigInteger, nullable=False),
    Column("command", Text, nullable=False, comment="without secrets"),
    Column("klass", String(16), nullable=False),
    Column("outcome", String(16), nullable=False),
    Index(None, "firm_id", "user_id", "entry_no"),
    comment="What each person commanded, in their own history.",
)
