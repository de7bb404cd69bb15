"""Reading sealed audit entries of a firm across its runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import polars as pl

from regime_trading.adapters.journal.manifest import SealedRun, read_manifest
from regime_trading.core.audit import SealedPart, require_firm
from regime_trading.core.canonical import sha256_hex
from regime_trading.core.errors import CheckFailed
from regime_trading.core.ports import ArtifactStore
from regime_trading.core.recorded import Recorded, Selection

_MANIFESTS = "audit/_manifest/schema=1"
_COLUMNS = ("seq", "ts_event", "event_type", "rule_id", "body", "prev_hash", "entry_hash")


@dataclass(frozen=True, slots=True)
class SealedChainPart:
    """A sealed file, the chain its entries belong to, and its run."""

    chain_id: str
    run_id: str
    part: SealedPart


class SealedHistory:
    """Sealed entries of one firm under an artifacts folder; only what a manifest names counts.

    Parameters
    ----------
    store : ArtifactStore
    firm_id : str
        Tenant; nothing of another firm is opened.
    """

    def __init__(self, store: ArtifactStore, *, firm_id: str) -> None:
        self._store, self._firm_id = store, require_firm(firm_id)

    def parts(self, account_id: str = "*", run_id: str = "*") -> tuple[SealedChainPart, ...]:
        """Sealed files, by chain and in sequence; of one account and one run where they are named.

        Raises
        ------
        CheckFailed
            A manifest that cannot be read.
        """
        found = []
        folder = self._store.root / _MANIFESTS / f"firm={self._firm_id}"
        for path in sorted(folder.glob(f"account={account_id}/run={run_id}.json")):
            account, run = path.parent.name.removeprefix("account="), path.stem.removeprefix("run=")
            address = SealedRun("audit", self._firm_id, account, run)
            manifest = read_manifest(self._store, address)
            if manifest is not None:
                chain = address.chain(manifest.env)
                found += [SealedChainPart(chain, run, part) for part in manifest.parts]
        return tuple(sorted(found, key=lambda x: (x.chain_id, x.part.seq_from)))

    def entries(self, piece: SealedChainPart, wanted: Selection) -> Iterator[Recorded]:
        """Entries of one file that fit, in sequence.

        Raises
        ------
        CheckFailed
            A file that is no longer what was sealed.
        """
        rows = self._scan(piece).filter(_condition(wanted)).select(_COLUMNS)
        ordered = rows.with_columns(pl.col("ts_event").dt.epoch("ns")).sort("seq").collect()
        for seq, ts_ns, kind, rule_id, body, before, own in ordered.iter_rows():
            yield Recorded(
                piece.chain_id, seq, ts_ns, kind, rule_id, body.encode(), before, own, piece.part.path
            )

    def hashes(self, piece: SealedChainPart) -> list[str]:
        """Entry hashes of one file, in sequence; raises as :meth:`entries`."""
        frame = self._scan(piece).select("seq", "entry_hash").sort("seq").collect()
        return frame["entry_hash"].to_list()

    def _scan(self, piece: SealedChainPart) -> pl.LazyFrame:
        data = self._store.read_bytes(piece.part.path)
        if sha256_hex(data) != piece.part.sha256:
            raise CheckFailed(f"{piece.part.path}: the file is no longer what was sealed")
        return pl.scan_parquet(BytesIO(data))


def _condition(wanted: Selection) -> pl.Expr:
    time = pl.col("ts_event").dt.epoch("ns")
    condition = time.is_between(wanted.from_ns, wanted.to_ns)
    if wanted.kinds:
        condition &= pl.col("event_type").is_in(wanted.kinds)
    if wanted.mentions:
        condition &= pl.col("body").str.contains(wanted.mentions, literal=True)
    return condition
