"""Checking one chain of the sealed record from its files: every entry, every link, every root that was signed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from regime_trading.core.audit import ChainEntry, SealedPart, verify_chain
from regime_trading.core.canonical import GENESIS
from regime_trading.core.checkpoint import ChainHead
from regime_trading.core.errors import CheckFailed
from regime_trading.core.merkle import Frontier, leaf_hash
from regime_trading.core.ports import RecordReader
from regime_trading.core.record_files import RunManifest, kind_of

_EARLIEST_NS = -(2**63)


@dataclass(frozen=True, slots=True)
class Fault:
    """Where the record does not hold, and why.

    Parameters
    ----------
    chain : str
        Chain, or name of the checkpoint log.
    seq : int or None
        Entry, or number of the checkpoint; None where a file as a whole is meant.
    file : str
        Relative to the artifacts folder.
    reason : str
    """

    chain: str
    seq: int | None
    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What a checkpoint says of a chain."""

    head: ChainHead
    checkpoint: int
    file: str


@dataclass(slots=True)
class ChainReport:
    """How far a chain holds.

    Parameters
    ----------
    tree : Frontier
        Over the entries that hold.
    head : str
        Hash of the last of them.
    fault : Fault or None
        Why it does not hold further: something was changed.
    gap : Fault or None
        Why it does not go further: something is missing.
    """

    chain: str
    tree: Frontier = field(default_factory=Frontier)
    head: str = GENESIS
    ts_ns: int = _EARLIEST_NS
    fault: Fault | None = None
    gap: Fault | None = None

    @property
    def ok(self) -> bool:
        return self.fault is None and self.gap is None


def runs_by_chain(
    reader: RecordReader, paths: Iterable[str], firm_id: str | None = None
) -> tuple[dict[str, list[RunManifest]], list[Fault]]:
    """Manifests of every chain, in the order of their entries, and files that are none; of all firms where None."""
    chains: dict[str, list[RunManifest]] = {}
    faults = []
    for path in paths:
        kind, firm = kind_of(path)
        if kind != "manifest" or firm_id not in (None, firm):
            continue
        try:
            found = reader.manifest(path)
            chains.setdefault(found.chain, []).append(found)
        except CheckFailed as err:
            faults.append(Fault("", None, path, str(err)))
    for runs in chains.values():
        runs.sort(key=lambda run: (run.parts[0].seq_from, run.run_id))
    return chains, faults


def check_chain(
    reader: RecordReader, chain: str, runs: Sequence[RunManifest], claims: Sequence[Claim] = ()
) -> ChainReport:
    """Read a chain from its first entry to its last.

    Parameters
    ----------
    reader : RecordReader
    chain : str
    runs : sequence of RunManifest
        Of this chain, in order.
    claims : sequence of Claim
        What checkpoints say of it, by size. Every one is compared with the root over as many entries.
    """
    report = ChainReport(chain)
    due = list(claims)
    for run in runs:
        for part in run.parts:
            report.gap = report.gap or _missing(report, part)
            if report.ok:
                _check_part(reader, report, run, part, due)
            if not report.ok:
                return report
    if due:
        last = due[-1]
        seq = report.tree.size + 1
        report.gap = Fault(
            chain,
            seq,
            last.file,
            f"entries {seq} to {last.head.size} are gone; checkpoint {last.checkpoint} signed them",
        )
    return report


def head_of(report: ChainReport) -> ChainHead:
    """What a checkpoint says of a chain that holds."""
    return ChainHead(report.chain, report.tree.size, report.tree.root().hex(), report.head)


def _missing(report: ChainReport, part: SealedPart) -> Fault | None:
    seq = report.tree.size + 1
    if part.seq_from > seq:
        return Fault(report.chain, seq, part.path, f"entries {seq} to {part.seq_from - 1} are gone")
    return None


def _check_part(
    reader: RecordReader, report: ChainReport, run: RunManifest, part: SealedPart, due: list[Claim]
) -> None:
    seq, before = report.tree.size + 1, report.head
    if part.seq_from < seq:
        report.fault = Fault(report.chain, part.seq_from, part.path, "entries that are in another file too")
        return
    try:
        first, batches = "", reader.entries(part)
        for batch in batches:
            first = first or batch[0].entry_hash
            _check_batch(report, run, part, batch, due)
            if report.fault:
                return
    except CheckFailed as err:
        report.fault = Fault(report.chain, seq, part.path, str(err))
        return
    said = (part.seq_to, part.prev_hash, part.first_entry_hash, part.last_entry_hash)
    if said != (report.tree.size, before, first, report.head):
        report.fault = Fault(report.chain, seq, part.path, "sequence or hashes differ from the manifest")


def _check_batch(
    report: ChainReport, run: RunManifest, part: SealedPart, batch: Sequence[ChainEntry], due: list[Claim]
) -> None:
    first = report.tree.size + 1
    check = verify_chain(
        batch, chain=report.chain, first_seq=first, prev_hash=report.head, not_before_ns=report.ts_ns
    )
    held = batch[: check.entries]
    stranger = next((entry.event.seq for entry in held if entry.event.run_id != run.run_id), None)
    for entry in held:
        report.tree.append(leaf_hash(bytes.fromhex(entry.entry_hash)))
        report.head = entry.entry_hash
        if due and due[0].head.size == report.tree.size:
            claim = due.pop(0)
            if (report.tree.root().hex(), report.head) != (claim.head.root, claim.head.last_hash):
                reason = f"the entries up to here are not those that checkpoint {claim.checkpoint} signed"
                report.fault = Fault(report.chain, report.tree.size, part.path, reason)
                return
    if held:
        report.ts_ns = held[-1].event.ts_event_ns
    if stranger is not None:
        report.fault = Fault(report.chain, stranger, part.path, "entry of another run")
    elif not check.ok:
        report.fault = Fault(report.chain, check.first_bad, part.path, check.reason)
