"""Checking one chain of the sealed record from its files: every entry, every link, every root that was signed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np

from regime_trading.core.audit import SealedPart, verify_chain
from regime_trading.core.canonical import GENESIS
from regime_trading.core.checkpoint import ChainHead
from regime_trading.core.errors import CheckFailed
from regime_trading.core.merkle import Frontier
from regime_trading.core.numbers import B1
from regime_trading.core.ports import RecordReader
from regime_trading.core.record_files import Rows, RunManifest, kind_of
from regime_trading.tools.audit_rows import plainly_hold

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
        first = ""
        for batch in reader.rows(part):
            first = first or batch.entry(0).entry_hash
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
    report: ChainReport, run: RunManifest, part: SealedPart, rows: Rows, due: list[Claim]
) -> None:
    """Check rows and add them to the report, up to the first that does not hold.

    Rows that hold plainly are known from their columns at once; each other one is asked of
    :func:`regime_trading.core.audit.verify_chain`, which also says what is wrong with it.
    """
    sound = (plainly_hold(rows, run) & _in_order(report, rows)).tolist()
    body, view = rows.body.offsets.tolist(), memoryview(rows.body.data)
    tree, head, said = report.tree, bytes.fromhex(report.head), report.head.encode()
    for row, (prev, own) in enumerate(zip(rows.prev_hash, rows.entry_hash, strict=True)):
        hashed = sha256(b"\x00" + head)
        hashed.update(view[body[row] : body[row + 1]])
        digest = hashed.digest()
        text = digest.hex().encode()
        if not (sound[row] and prev == said and own == text):
            report.head, report.ts_ns = said.decode(), _time_before(report, rows, row)
            if reason := _reason(report, run, rows, row):
                report.fault = Fault(report.chain, tree.size + 1, part.path, reason)
                return
        head, said = digest, text
        tree.append(sha256(b"\x00" + digest).digest())
        if due and due[0].head.size == tree.size:
            report.head = said.decode()
            report.fault = _claim_fault(report, due.pop(0), part)
            if report.fault:
                return
    report.head, report.ts_ns = said.decode(), int(rows.ts_event_ns[-1])


def _in_order(report: ChainReport, rows: Rows) -> B1:
    """Rows with the sequence number that is due, and a time not before the row before."""
    first = report.tree.size + 1
    before = np.concatenate([[report.ts_ns], rows.ts_event_ns[:-1]])
    return (rows.seq == np.arange(first, first + len(rows))) & (rows.ts_event_ns >= before)


def _time_before(report: ChainReport, rows: Rows, row: int) -> int:
    return int(rows.ts_event_ns[row - 1]) if row else report.ts_ns


def _reason(report: ChainReport, run: RunManifest, rows: Rows, row: int) -> str:
    """Why a row does not hold after what the report has; empty where it does."""
    check = verify_chain(
        [rows.entry(row)],
        chain=report.chain,
        first_seq=report.tree.size + 1,
        prev_hash=report.head,
        not_before_ns=report.ts_ns,
    )
    stranger = rows.run_id[row] != run.run_id.encode()
    return check.reason or ("entry of another run" if stranger else "")


def _claim_fault(report: ChainReport, claim: Claim, part: SealedPart) -> Fault | None:
    if (report.tree.root().hex(), report.head) == (claim.head.root, claim.head.last_hash):
        return None
    reason = f"the entries up to here are not those that checkpoint {claim.checkpoint} signed"
    return Fault(report.chain, report.tree.size, part.path, reason)
