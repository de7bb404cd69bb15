"""Acts and the record they go into, wired: who runs this process, the clock, the record of each firm."""

from __future__ import annotations

from functools import cache
from typing import Any

from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database import SqlActors, SqlAuditLog
from regime_trading.adapters.database.history import SqlRecorded
from regime_trading.adapters.local_user import local_subject
from regime_trading.adapters.record_history import FirmHistory
from regime_trading.core.audit import FIRM_ACCOUNT
from regime_trading.core.ports import ArtifactStore
from regime_trading.core.schemas import ActorType
from regime_trading.services.acts import Acts


def make_acts(engine: Any, store: ArtifactStore, version: str) -> Acts:
    """Acts of the user of this process, who gets a pseudonym with the first of them.

    Parameters
    ----------
    engine : Engine
        Of the database of the artifacts folder.
    store : ArtifactStore
        The artifacts folder.
    version : str
        Of the code.
    """
    clock = SystemClock()

    @cache
    def actor(firm_id: str) -> tuple[ActorType, str]:
        known = SqlActors(engine, firm_id=firm_id)
        return ActorType.USER, known.pseudonym(local_subject(), clock.now_ns())

    return Acts(
        audit=lambda firm: SqlAuditLog(engine, firm_id=firm),
        actor=actor,
        history=lambda firm: firm_history(engine, store, firm, FIRM_ACCOUNT),
        clock=clock,
        code_version=version,
    )


def firm_history(engine: Any | None, store: ArtifactStore, firm_id: str, account_id: str = "") -> FirmHistory:
    """The record of a firm, sealed and not; without a database (None) what is sealed.

    Where only ``account_id`` is asked for and has no sealed files, what reads those is not even loaded.
    """
    write_ahead = None if engine is None else SqlRecorded(engine, firm_id=firm_id)
    folder = store.root / "audit" / "_manifest" / "schema=1" / f"firm={firm_id}"
    if not (folder / f"account={account_id}" if account_id else folder).is_dir():
        return FirmHistory(None, write_ahead)
    from regime_trading.adapters.journal.history import SealedHistory

    return FirmHistory(SealedHistory(store, firm_id=firm_id), write_ahead)
