"""What readiness asks of the store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Engine, func, insert, select

from regime_trading.adapters.database.backup import schema_revision
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.job_tables import WORKERS
from regime_trading.adapters.database.jobs import SqlQueue
from regime_trading.adapters.database.message_tables import MESSAGES
from regime_trading.adapters.database.tables import WAL
from regime_trading.core.audit import PLATFORM
from regime_trading.core.errors import StoreDown
from regime_trading.core.schemas import Mode


class _TakenBack(Exception):
    """Ends a transaction that was a trial."""


class StoreProbes:
    """Questions over every firm, for the operator of the store.

    Parameters
    ----------
    engine : Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def write_store(self) -> None:
        """Write a row and take it back; raises ``NotDurable`` where the store cannot."""
        self._require_file()
        try:
            with writing(self._engine) as connection:
                row = {"firm_id": PLATFORM, "worker": "readiness", "seen_ns": 0}
                connection.execute(insert(WORKERS), row)
                raise _TakenBack
        except _TakenBack:
            return

    def _require_file(self) -> None:
        """An open SQLite file can be written after somebody has removed it, and nobody would ever find that again."""
        if self._engine.dialect.name == "sqlite" and not Path(str(self._engine.url.database)).exists():
            raise StoreDown("the file of the database is gone")

    def store_clock_ns(self) -> int | None:
        """Time of the database server; None where the database is a file."""
        if self._engine.dialect.name == "sqlite":
            return None
        with reading(self._engine) as connection:
            micros = connection.exec_driver_sql(
                "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
            ).scalar_one()
            return int(micros) * 1_000

    def revisions(self) -> tuple[str, str]:
        """Revision of the schema that is there, and the newest this program knows."""
        return schema_revision(self._engine)

    def last_entry_ns(self) -> int | None:
        """Time of the newest write-ahead entry outside dry runs."""
        query = select(func.max(WAL.c.ts_event_ns)).where(WAL.c.chain_id.not_like(f"{Mode.DRY_RUN}/%"))
        with reading(self._engine) as connection:
            found = connection.execute(query).scalar()
            return None if found is None else int(found)

    def worker_seen_ns(self) -> int | None:
        """When any worker was last alive."""
        return SqlQueue(self._engine).last_seen()

    def oldest_unread_ns(self, read: Mapping[str, int]) -> int | None:
        """When the oldest message was written that comes after the last one ``read``, by firm; a firm that is not named
        has read nothing."""
        with reading(self._engine) as connection:
            firms = connection.execute(select(MESSAGES.c.firm_id).distinct()).scalars().all()
            times = [
                connection.execute(
                    select(MESSAGES.c.ts_ns)
                    .where(MESSAGES.c.firm_id == firm, MESSAGES.c.seq > read.get(firm, 0))
                    .order_by(MESSAGES.c.seq)
                    .limit(1)
                ).scalar()
                for firm in firms
            ]
        return min((int(one) for one in times if one is not None), default=None)
