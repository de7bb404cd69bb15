"""Tables. Every row names its firm; a migration under ``migrations/versions`` creates exactly these."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from regime_trading.adapters.database.bodies import Packed

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_NUMBERED = BigInteger().with_variant(Integer(), "sqlite")
_ID = String(40)
_HASH = String(64)
_CHAIN = String(140)

WAL = Table(
    "wal",
    METADATA,
    Column("chain_id", _CHAIN, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("firm_id", _ID, nullable=False),
    Column("event_type", String(40), nullable=False),
    Column("ts_event_ns", BigInteger, nullable=False),
    Column("body", Packed, nullable=False),
    Column("prev_hash", _HASH, nullable=False),
    Column("entry_hash", _HASH, nullable=False),
    CheckConstraint("seq >= 1", name="seq_from_one"),
    comment="Write-ahead audit rows; sealed into Parquet later.",
)

SEALED_HEADS = Table(
    "sealed_heads",
    METADATA,
    Column("chain_id", _CHAIN, primary_key=True),
    Column("firm_id", _ID, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("entry_hash", _HASH, nullable=False),
    Column("dropped_seq", BigInteger, nullable=False),
    comment="Last sealed entry of each chain, and the last one whose write-ahead row is gone.",
)

ACCOUNT_STATE = Table(
    "account_state",
    METADATA,
    Column("state_no", _NUMBERED, primary_key=True, autoincrement=True),
    Column("firm_id", _ID, nullable=False),
    Column("account", String(81), nullable=False),
    Column("env", String(16), nullable=False),
    Column("as_of_ns", BigInteger, nullable=False),
    Column("run_id", _ID, nullable=False),
    Column("decision_id", String(64), nullable=False),
    Column("chain_id", _CHAIN, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("entry_hash", _HASH, nullable=False),
    Column("state", Text, nullable=False, comment="AccountState without its latches, which are rows"),
    Column("portfolio", Text, nullable=False),
    UniqueConstraint("chain_id", "decision_id"),
    UniqueConstraint("chain_id", "seq"),
    Index(None, "firm_id", "env", "account", "as_of_ns", "state_no"),
    comment="State after each decision; the latest by as_of_ns, then state_no, is in force.",
)

LATCHES = Table(
    "latches",
    METADATA,
    Column("state_no", _NUMBERED, ForeignKey(ACCOUNT_STATE.c.state_no, ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("firm_id", _ID, nullable=False),
    Column("rule_id", String(40), nullable=False),
    Column("trading_state", String(16), nullable=False),
    Column("release", String(16), nullable=False),
    Column("since_ns", BigInteger, nullable=False),
    Column("since_session", BigInteger, nullable=False),
    Column("until_ns", BigInteger),
    Column("detail", Text, nullable=False),
    comment="Latches open after a decision; those of the state in force are the open ones.",
)

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("chain_id", _CHAIN, primary_key=True),
    Column("client_order_id", String(64), primary_key=True),
    Column("firm_id", _ID, nullable=False),
    Column("account", String(81), nullable=False),
    Column("run_id", _ID, nullable=False),
    Column("decision_id", String(64), nullable=False),
    Column("position", Integer, nullable=False),
    Column("order_json", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("entry_hash", _HASH, nullable=False),
    Index(None, "chain_id", "decision_id", "position"),
    comment="Orders that a durable decision allows, with its receipt (chain_id, seq, entry_hash).",
)

RL_ROWS = Table(
    "rl_rows",
    METADATA,
    Column("row_no", _NUMBERED, primary_key=True, autoincrement=True),
    Column("firm_id", _ID, nullable=False),
    Column("env", String(16), nullable=False),
    Column("account", String(81), nullable=False),
    Column("run_id", _ID, nullable=False),
    Column("chain_id", _CHAIN, nullable=False),
    Column("trail", _CHAIN, nullable=False, comment="decisions in which each follows the one before"),
    Column("seq", BigInteger, nullable=False),
    Column("ts_event_ns", BigInteger, nullable=False),
    Column("sealed", Boolean(create_constraint=False), nullable=False),
    Column("open_end", Text, nullable=False, comment="what the next decision needs to close this one"),
    Column("body", Packed, nullable=False),
    UniqueConstraint("chain_id", "seq"),
    Index(None, "firm_id", "trail", "row_no"),
    Index(None, "firm_id", "sealed", "row_no"),
    comment="RL rows of decisions made one by one; sealed into Parquet later, the last of each trail stays.",
)

RUNS = Table(
    "runs",
    METADATA,
    Column("firm_id", _ID, primary_key=True),
    Column("run_id", _ID, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("inputs_hash", _HASH, nullable=False),
    Column("as_of_ns", BigInteger, nullable=False),
    Column("path", Text, nullable=False),
    Column(
        "waits",
        Text,
        nullable=False,
        server_default="",
        comment="accounts that waited for people, and for which requests; JSON",
    ),
    Index(None, "firm_id", "as_of_ns"),
    comment="Runs of a firm; a run over two firms has a row for each.",
)

SESSION_OVERRIDES = Table(
    "session_overrides",
    METADATA,
    Column("firm_id", _ID, primary_key=True),
    Column("override_id", String(16), primary_key=True),
    Column("account", String(81), nullable=False),
    Column("created_at_ns", BigInteger, nullable=False),
    Column("expires_at_ns", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index(None, "firm_id", "account", "created_at_ns"),
    comment="Temporary tightenings of an account; never changed, never removed.",
)

LAST_GOOD_CONFIGS = Table(
    "last_good_configs",
    METADATA,
    Column("firm_id", _ID, primary_key=True),
    Column("account", String(81), primary_key=True),
    Column("accepted_ns", BigInteger, nullable=False),
    Column("config_hash", _HASH, nullable=False),
    Column("profile", Text, nullable=False),
    comment="The configuration of each account that was accepted last.",
)

ACTORS = Table(
    "actors",
    METADATA,
    Column("firm_id", _ID, primary_key=True),
    Column("pseudonym", _ID, primary_key=True),
    Column("created_ns", BigInteger, nullable=False),
    Column("erased_ns", BigInteger),
    Column("subject_hash", _HASH, comment="finds a subject again; null once erased"),
    Column("key", LargeBinary, comment="of this row alone; null once erased: nothing can read the name then"),
    Column(
        "sealed_name", LargeBinary, nullable=False, comment="nonce and AES-256-GCM of subject, name, e-mail"
    ),
    UniqueConstraint("firm_id", "subject_hash"),
    comment="Whose the pseudonyms in the record are. Names are nowhere else.",
)
