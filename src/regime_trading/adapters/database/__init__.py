"""The store: account state, latches, write-ahead audit rows and outbox, in one transaction per decision."""

from sqlalchemy import Engine

from regime_trading.adapters.database.actors import SqlActors
from regime_trading.adapters.database.audit_log import SqlAuditLog, firms_with_entries
from regime_trading.adapters.database.config_versions import SqlConfigVersions
from regime_trading.adapters.database.configurations import SqlLastGood
from regime_trading.adapters.database.engine import open_database, sqlite_url
from regime_trading.adapters.database.ledger import SqlLedger
from regime_trading.adapters.database.messages import SqlMessages
from regime_trading.adapters.database.overrides import SqlOverrides
from regime_trading.adapters.database.runs import SqlRuns

__all__ = [
    "Engine",
    "SqlActors",
    "SqlAuditLog",
    "SqlConfigVersions",
    "SqlLastGood",
    "SqlLedger",
    "SqlMessages",
    "SqlOverrides",
    "SqlRuns",
    "firms_with_entries",
    "open_database",
    "sqlite_url",
]
