"""Recorded decisions in the write-ahead rows, read without changing the database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Engine, create_engine, select
from sqlalchemy.engine import URL, make_url

from regime_trading.adapters.database.engine import reading
from regime_trading.adapters.database.tables import WAL
from regime_trading.core.audit import chain_id, event_of
from regime_trading.core.decision_inputs import RecordedRun
from regime_trading.core.schemas import AuditEvent, EventType, Mode

_DECISION = WAL.c.event_type == EventType.DECISION.value


def open_to_read(url: str) -> Engine:
    """Engine on a database that nothing can be written through, not even a migration."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, execution_options={"postgresql_readonly": True})
    file = Path(str(parsed.database)).absolute().as_uri()
    return create_engine(URL.create("sqlite", database=file, query={"mode": "ro", "uri": "true"}))


class WalDecisions:
    """Decisions of the write-ahead record.

    Parameters
    ----------
    engine : Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def runs(self) -> tuple[RecordedRun, ...]:
        """Runs with decisions, sorted."""
        return tuple(sorted({RecordedRun(e.firm_id, e.account_id, e.run_id) for e in self._events()}))

    def decisions(self, run: RecordedRun) -> Iterator[AuditEvent]:
        """DECISION entries of a run, in the order of time.

        Raises
        ------
        BadInput
            A row that is no entry.
        """
        chains = [chain_id(mode.value, run.run_id, run.firm_id, run.account_id) for mode in Mode]
        for event in self._events(chains):
            if event.run_id == run.run_id:
                yield event

    def _events(self, chains: list[str] | None = None) -> Iterator[AuditEvent]:
        query = select(WAL.c.body).where(_DECISION).order_by(WAL.c.ts_event_ns, WAL.c.chain_id, WAL.c.seq)
        if chains is not None:
            query = query.where(WAL.c.chain_id.in_(chains))
        with reading(self._engine) as connection:
            for (body,) in connection.execute(query):
                yield event_of(body)
