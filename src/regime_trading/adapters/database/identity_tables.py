"""Tables of people. What belongs to a login has no firm (decision 0021): it is reached by user, link or cookie only."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from regime_trading.adapters.database.tables import METADATA

_FIRM = String(40)
_ID = String(20)
_HASH = String(64)
_NAME = String(200)


def _user(*, primary_key: bool = False) -> Column[str]:
    owner = ForeignKey("users.user_id", ondelete="CASCADE")
    return Column("user_id", _ID, owner, nullable=False, primary_key=primary_key)


USERS = Table(
    "users",
    METADATA,
    Column("user_id", _ID, primary_key=True),
    Column("login", String(120), nullable=False),
    Column("name", _NAME, nullable=False),
    Column("password_hash", Text),
    Column("created_ns", BigInteger, nullable=False),
    Column("disabled_ns", BigInteger),
    UniqueConstraint("login"),
    comment="One row per person, whichever firms they work for.",
)

GRANTS = Table(
    "grants",
    METADATA,
    Column("firm_id", _FIRM, primary_key=True),
    _user(primary_key=True),
    Column("role", String(16), primary_key=True),
    Column("accounts", JSON(none_as_null=True), comment="full names; null = all of the firm"),
    Column("redact", Boolean, nullable=False),
    Column("granted_ns", BigInteger, nullable=False),
    Index(None, "user_id"),
    comment="Roles of people in firms.",
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("cookie_hash", _HASH, primary_key=True),
    Column("session_id", _ID, nullable=False),
    _user(),
    Column("created_ns", BigInteger, nullable=False),
    Column("seen_ns", BigInteger, nullable=False),
    Column("method", String(40), nullable=False),
    Column("second_factor", Boolean, nullable=False),
    Column("stepped_up_ns", BigInteger),
    Column("ip_prefix", String(43), nullable=False),
    Column("agent", _NAME, nullable=False),
    UniqueConstraint("session_id"),
    Index(None, "user_id"),
    comment="People who came in, found by a keyed hash of the cookie. Ended ones are gone.",
)

API_TOKENS = Table(
    "api_tokens",
    METADATA,
    Column("firm_id", _FIRM, primary_key=True),
    Column("token_id", _ID, primary_key=True),
    Column("token_hash", _HASH, nullable=False),
    _user(),
    Column("name", _NAME, nullable=False),
    Column("permissions", JSON, nullable=False),
    Column("accounts", JSON(none_as_null=True), comment="full names; null = those of its maker"),
    Column("second_factor", Boolean, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("used_ns", BigInteger),
    UniqueConstraint("token_hash"),
    Index(None, "user_id"),
    comment="API tokens by keyed hash. Revoked ones are gone.",
)

LINKS = Table(
    "one_time_links",
    METADATA,
    Column("link_hash", _HASH, primary_key=True),
    _user(),
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("drops_factors", Boolean, nullable=False),
    Index(None, "user_id"),
    comment="Leave to set a password once, by keyed hash. Used ones are gone.",
)

TOTP_SEEDS = Table(
    "totp_seeds",
    METADATA,
    _user(primary_key=True),
    Column("confirmed", Boolean, primary_key=True),
    Column("sealed_seed", LargeBinary, nullable=False, comment="nonce and AES-256-GCM under a server key"),
    Column("created_ns", BigInteger, nullable=False),
    Column("last_step", BigInteger, nullable=False, comment="time step used last; none counts twice"),
    comment="Authenticators; one that is not confirmed yet counts for nothing.",
)

PASSKEYS = Table(
    "passkeys",
    METADATA,
    Column("credential_id", LargeBinary(1024), primary_key=True),
    _user(),
    Column("public_key", LargeBinary, nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("name", _NAME, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("used_ns", BigInteger),
    Index(None, "user_id"),
    comment="Public keys of people's devices.",
)

RECOVERY_CODES = Table(
    "recovery_codes",
    METADATA,
    _user(primary_key=True),
    Column("code_hash", _HASH, primary_key=True),
    comment="Codes for a lost device, by keyed hash. Used ones are gone.",
)

CHALLENGES = Table(
    "webauthn_challenges",
    METADATA,
    Column("session_id", _ID, primary_key=True),
    Column("purpose", String(16), primary_key=True),
    Column("challenge", LargeBinary, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    comment="The challenge that waits for an answer in each session; taken out with the answer.",
)

EXTERNAL_IDENTITIES = Table(
    "external_identities",
    METADATA,
    Column("issuer", _NAME, primary_key=True),
    Column("subject", _NAME, primary_key=True),
    _user(),
    Index(None, "user_id"),
    comment="Who a person is elsewhere.",
)

LOGIN_THROTTLES = Table(
    "login_throttles",
    METADATA,
    Column("place_hash", _HASH, primary_key=True, comment="keyed hash of what the budget belongs to"),
    Column("count", Integer, nullable=False),
    Column("since_ns", BigInteger, nullable=False),
    Column("last_ns", BigInteger, nullable=False),
    Column("strikes", Integer, nullable=False),
    Column("until_ns", BigInteger, nullable=False),
    Index(None, "last_ns"),
    comment="Budgets of login attempts; quiet ones are dropped.",
)

TALLIES = Table(
    "tallies",
    METADATA,
    Column("firm_id", _FIRM, primary_key=True),
    Column("key", _HASH, primary_key=True),
    Column("since_ns", BigInteger, nullable=False),
    Column("waiting", Integer, nullable=False, comment="happened since then, and not in the record yet"),
    Column("kind", String(40), nullable=False),
    Column("actor_type", String(16), nullable=False),
    Column("actor_id", _NAME, nullable=False),
    Column("payload", Text, nullable=False),
    comment="What happens again and again within a minute is counted, and recorded once with its number.",
)
