"""The store: account state, latches, write-ahead audit rows and outbox, in one transaction per decision."""

from sqlalchemy import Engine

from regime_trading.adapters.database.actors import SqlActors
from regime_trading.adapters.database.api_tokens import SqlApiTokens
from regime_trading.adapters.database.approvals import SqlApprovals
from regime_trading.adapters.database.audit_log import SqlAuditLog, firms_with_entries
from regime_trading.adapters.database.config_versions import SqlConfigVersions
from regime_trading.adapters.database.configurations import SqlLastGood
from regime_trading.adapters.database.controls import SqlControls
from regime_trading.adapters.database.engine import open_database, sqlite_url
from regime_trading.adapters.database.factors import SqlFactors
from regime_trading.adapters.database.idempotency import SqlIdempotency
from regime_trading.adapters.database.jobs import SqlJobs, SqlQueue
from regime_trading.adapters.database.ledger import SqlLedger
from regime_trading.adapters.database.logins import SqlLogins
from regime_trading.adapters.database.messages import SqlMessages, message_heads
from regime_trading.adapters.database.overrides import SqlOverrides
from regime_trading.adapters.database.pending_rows import SqlPendingRows
from regime_trading.adapters.database.previews import SqlPreviews
from regime_trading.adapters.database.runs import SqlRuns
from regime_trading.adapters.database.sessions import SqlSessions
from regime_trading.adapters.database.throttles import SqlTallies, SqlThrottles
from regime_trading.adapters.database.tickets import SqlTickets
from regime_trading.adapters.database.users import SqlMembers

__all__ = [
    "Engine",
    "SqlActors",
    "SqlApiTokens",
    "SqlApprovals",
    "SqlAuditLog",
    "SqlConfigVersions",
    "SqlControls",
    "SqlFactors",
    "SqlIdempotency",
    "SqlJobs",
    "SqlLastGood",
    "SqlLedger",
    "SqlLogins",
    "SqlMembers",
    "SqlMessages",
    "SqlOverrides",
    "SqlPendingRows",
    "SqlPreviews",
    "SqlQueue",
    "SqlRuns",
    "SqlSessions",
    "SqlTallies",
    "SqlThrottles",
    "SqlTickets",
    "firms_with_entries",
    "message_heads",
    "open_database",
    "sqlite_url",
]
