"""The store: account state, latches, write-ahead audit rows and outbox, in one transaction per decision."""

from regime_trading.adapters.database.actors import SqlActors
from regime_trading.adapters.database.audit_log import SqlAuditLog
from regime_trading.adapters.database.configurations import SqlLastGood
from regime_trading.adapters.database.engine import open_database, sqlite_url
from regime_trading.adapters.database.ledger import SqlLedger
from regime_trading.adapters.database.overrides import SqlOverrides
from regime_trading.adapters.database.runs import SqlRuns

__all__ = [
    "SqlActors",
    "SqlAuditLog",
    "SqlLastGood",
    "SqlLedger",
    "SqlOverrides",
    "SqlRuns",
    "open_database",
    "sqlite_url",
]
