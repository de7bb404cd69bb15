"""Sealing and compaction of an artifacts folder, wired."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import SqlAuditLog, SqlRLLog, firms_with_entries, open_database
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.bootstrap import DATABASE, artifacts_folder, database_url, has_database
from regime_trading.bootstrap.proof import configured_witnesses, open_proof, to_stderr
from regime_trading.core.errors import BadInput
from regime_trading.services.sealing import Sealed, Sealing


def seal_everything(
    artifacts: Path | None, config: Path | None = None, on_rows: Callable[[str, int], None] = lambda *_: None
) -> tuple[Sealed, ...]:
    """Seal and compact whatever waits, of every firm, once, and sign it; ``on_rows`` is told of the RL rows, as
    :class:`~regime_trading.services.sealing.Sealing` tells.

    Raises
    ------
    BadInput
        An artifacts folder without a store.
    NotDurable, CheckFailed
        What could not be sealed stays where it is.
    """
    folder = artifacts_folder(artifacts)
    if not has_database(folder):
        raise BadInput(expected=f"a folder with state/{DATABASE}", found="none", where=str(folder))
    store = LocalArtifacts(folder)
    proof = open_proof(store, configured_witnesses(config), to_stderr)
    engine = open_database(database_url(folder))
    try:
        sealing = Sealing(
            lambda firm: SqlAuditLog(engine, firm_id=firm),
            ParquetSealer(store),
            on_sealed=proof.sign,
            rl=lambda firm: SqlRLLog(engine, firm_id=firm),
            on_rows=on_rows,
        )
        return sealing.seal_all(firms_with_entries(engine))
    finally:
        engine.dispose()
