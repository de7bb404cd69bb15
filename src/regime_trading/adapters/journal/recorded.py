"""Recorded decisions in the sealed files."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from regime_trading.adapters.journal import files
from regime_trading.adapters.journal.manifest import SCHEMA, SealedRun, read_manifest
from regime_trading.core.decision_inputs import RecordedRun
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.ports import ArtifactStore
from regime_trading.core.schemas import AuditEvent, EventType


class SealedDecisions:
    """Decisions of the sealed record under one artifacts folder.

    Parameters
    ----------
    store : ArtifactStore
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def runs(self) -> tuple[RecordedRun, ...]:
        """Runs with a manifest, sorted."""
        root = self._store.root / "audit" / "_manifest" / f"schema={SCHEMA}"
        found = (path.relative_to(root).parts for path in root.glob("firm=*/account=*/run=*.json"))
        return tuple(
            sorted(
                RecordedRun(
                    firm.removeprefix("firm="),
                    account.removeprefix("account="),
                    run.removeprefix("run=").removesuffix(".json"),
                )
                for firm, account, run in found
            )
        )

    def decisions(self, run: RecordedRun) -> Iterator[AuditEvent]:
        """DECISION entries of a run, in chain order, as the files hold them.

        Raises
        ------
        CheckFailed
            A manifest or a file that cannot be read.
        """
        manifest = read_manifest(self._store, SealedRun("audit", run.firm_id, run.account_id, run.run_id))
        for part in () if manifest is None else manifest.parts:
            try:
                table = files.decode(self._store.read_bytes(part.path))
                chosen = table.filter(pc.equal(table.column("event_type"), EventType.DECISION.value))
                entries = files.entries_of(chosen)
            except (BadInput, pa.ArrowException, OSError, KeyError) as err:
                raise CheckFailed(f"{part.path}: not an audit file: {err}") from err
            yield from (entry.event for entry in entries)
