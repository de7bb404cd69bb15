"""The sources of a firm's views, wired over an artifacts folder and its database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import SqlOverrides, SqlRLLog, SqlRuns
from regime_trading.adapters.database.newest import SqlNewest, SqlStates
from regime_trading.adapters.firm_files import LocalFirmFiles
from regime_trading.adapters.journal import ParquetInputs, ParquetSealer
from regime_trading.adapters.journal.reader import FolderFiles, SealedRecord
from regime_trading.adapters.record_query import FirmRecordQuery
from regime_trading.bootstrap.acts import firm_history
from regime_trading.core.checkpoint import checkpoint_folder
from regime_trading.core.config_status import Standing
from regime_trading.core.errors import BadInput
from regime_trading.core.ports import Witness
from regime_trading.core.settings import Settings
from regime_trading.services.rl_dataset import RLDataset
from regime_trading.services.views.proof import ProofReader
from regime_trading.services.views.sources import FirmSources


def firm_sources(
    firm_id: str,
    *,
    engine: Any,
    store: LocalArtifacts,
    settings: Settings,
    standings: Mapping[str, Standing],
    witnesses: Sequence[Witness] = (),
    proofs: ProofReader | None = None,
) -> FirmSources:
    """What the views of one firm read.

    Parameters
    ----------
    firm_id : str
    engine : Engine
        Of the database of the artifacts folder.
    store : LocalArtifacts
        The artifacts folder.
    settings : Settings
    standings : mapping
        How accounts stand, of any firm; those of others are left out.
    witnesses : sequence of Witness
        That hold checkpoints; of no use beside ``proofs``.
    proofs : ProofReader, optional
        One of the firm that is kept from call to call.

    Raises
    ------
    BadInput
        An illegal firm.
    """

    return FirmSources(
        firm_id=firm_id,
        settings=settings,
        standings={name: one for name, one in standings.items() if name.split("/")[0] == firm_id},
        states=SqlStates(engine, firm_id=firm_id),
        record=FirmRecordQuery(store, SqlNewest(engine, firm_id=firm_id), firm_id=firm_id),
        history=firm_history(engine, store, firm_id),
        inputs=ParquetInputs(store),
        overrides=SqlOverrides(engine, firm_id=firm_id),
        runs=SqlRuns(engine, firm_id=firm_id),
        files=LocalFirmFiles(store.root, firm_id=firm_id),
        rl=RLDataset(store, ParquetSealer(store), firm_id),
        rl_log=SqlRLLog(engine, firm_id=firm_id),
        proofs=proofs or open_proofs(firm_id, store, witnesses),
    )


def open_proofs(firm_id: str, store: LocalArtifacts, witnesses: Sequence[Witness] = ()) -> ProofReader:
    """Reads the checkpoints of a firm; worth keeping, since it reads each of them once."""
    return ProofReader(
        firm_id, lambda: sealed_record(store), lambda: store.names(checkpoint_folder(firm_id)), witnesses
    )


def sealed_record(store: LocalArtifacts) -> SealedRecord:
    """The sealed record; an empty one where nothing is sealed yet."""
    try:
        return SealedRecord(FolderFiles(store.root))
    except BadInput:
        return SealedRecord({})
