"""Verifying the record: from its files, trusted public keys and witnesses alone; every link, no skipping.

No database and no configuration is asked. What this cannot see is said with the answer: entries after the last
checkpoint can be cut off or rewritten by whoever can write the folder, and keys that come from the record itself prove
nothing against that person.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from regime_trading.core.audit import require_firm
from regime_trading.core.checkpoint import origin
from regime_trading.core.errors import CheckFailed
from regime_trading.core.notes import PublicKey
from regime_trading.core.ports import RecordReader, Witness
from regime_trading.core.record_files import RunManifest, kind_of
from regime_trading.services.chains import ChainReport, Fault, check_chain, runs_by_chain
from regime_trading.services.checkpoint_log import LogReport, check_trust, check_witness, read_log


@dataclass(frozen=True, slots=True)
class Verified:
    """Everything that was found, in the order in which it was checked.

    Parameters
    ----------
    faults, gaps : tuple of Fault
        What was changed, and what is missing.
    chains : tuple of ChainReport
        Every chain, by name, as far as it holds.
    logs : mapping of firm to LogReport
    trusted : bool
        Whether keys were given; else they are those of the record.
    witnesses : tuple of str
        Witnesses that were asked.
    now_ns : int
        When, UTC nanoseconds.
    """

    faults: tuple[Fault, ...]
    gaps: tuple[Fault, ...]
    chains: tuple[ChainReport, ...]
    logs: dict[str, LogReport]
    trusted: bool
    witnesses: tuple[str, ...]
    now_ns: int

    @property
    def ok(self) -> bool:
        return not self.faults and not self.gaps

    def unsigned(self) -> Iterator[tuple[ChainReport, int]]:
        """Chains that go further than the checkpoints, and the entry that the last one signed (0 = none)."""
        signed = {
            name: size for log in self.logs.values() for name, size in log.sizes(len(log.checkpoints)).items()
        }
        for report in self.chains:
            if report.tree.size > signed.get(report.chain, 0):
                yield report, signed.get(report.chain, 0)


def verify(
    reader: RecordReader,
    *,
    now_ns: int,
    trusted: Sequence[PublicKey] | None = None,
    firm_id: str | None = None,
    witnesses: Sequence[Witness] = (),
) -> Verified:
    """Check the whole record, or that of one firm.

    Parameters
    ----------
    reader : RecordReader
    now_ns : int
        Now, UTC nanoseconds; only ages follow from it.
    trusted : sequence of PublicKey, optional
        Keys that came to the auditor by another way. Where None, those of the record are taken.
    firm_id : str, optional
        Only this firm; files of others are not opened.
    witnesses : sequence of Witness
        Whose checkpoints must be those of the record.

    Raises
    ------
    BadInput
        An illegal firm.
    NotDurable
        A witness that cannot be reached.
    """
    if firm_id is not None:
        require_firm(firm_id)
    paths = [path for path in reader.paths() if firm_id is None or _is_of(path, firm_id)]
    runs, faults = runs_by_chain(reader, paths, firm_id)
    gaps = list(_strangers(paths, runs))
    logs = {}
    for firm in _firms(paths, firm_id, trusted, witnesses):
        log = logs[firm] = read_log(reader, paths, firm)
        if trusted is not None:
            check_trust(log, trusted)
        for witness in witnesses:
            check_witness(reader, log, witness)
        faults += log.faults
        gaps += log.gaps
    chains = tuple(_chains(reader, set(paths), runs, logs))
    faults += [report.fault for report in chains if report.fault]
    gaps += [report.gap for report in chains if report.gap]
    names = tuple(witness.name for witness in witnesses)
    return Verified(tuple(faults), tuple(gaps), chains, logs, trusted is not None, names, now_ns)


def _is_of(path: str, firm_id: str) -> bool:
    """Whether a file is a firm's by its path, however odd the path."""
    return kind_of(path)[1] == firm_id or f"/firm={firm_id}/" in path or f"/_keys/{firm_id}/" in path


def _firms(
    paths: Sequence[str],
    firm_id: str | None,
    trusted: Sequence[PublicKey] | None,
    witnesses: Sequence[Witness],
) -> list[str]:
    """Every firm that has a file here, a trusted key, or a checkpoint with a witness."""
    if firm_id is not None:
        return [firm_id]
    named = {kind_of(path)[1] for path in paths} - {""}
    keyed = {key.name.removeprefix(origin("x")[:-1]) for key in trusted or ()}
    held = {firm for witness in witnesses for firm in witness.firms()}
    return sorted(named | keyed | held)


def _strangers(paths: Sequence[str], runs: dict[str, list[RunManifest]]) -> Iterator[Fault]:
    """Files that no manifest names, and those that have no business where they are."""
    named = {part.path for found in runs.values() for run in found for part in run.parts}
    for path in paths:
        kind, _ = kind_of(path)
        if kind == "part" and path not in named:
            yield Fault("", None, path, "no manifest names this file")
        elif kind == "unknown":
            yield Fault("", None, path, "this file does not belong here")


def _is_there(reader: RecordReader, path: str) -> bool:
    """Whether a file can be read, which may have been sealed since the folder was listed."""
    try:
        reader.read(path)
    except CheckFailed:
        return False
    return True


def _chains(
    reader: RecordReader, paths: set[str], runs: dict[str, list[RunManifest]], logs: dict[str, LogReport]
) -> Iterator[ChainReport]:
    claims = {chain: found for log in logs.values() for chain, found in log.claims().items()}
    for chain in sorted(runs.keys() | claims.keys()):
        here, said = runs.get(chain, []), claims.get(chain, [])
        unseen = (part for run in here for part in run.parts if part.path not in paths)
        gone = next((part for part in unseen if not _is_there(reader, part.path)), None)
        if gone is not None:
            report = ChainReport(chain)
            report.gap = Fault(
                chain, gone.seq_from, gone.path, "the manifest names this file, and it is gone"
            )
            yield report
        else:
            yield check_chain(reader, chain, here, said)


# --- the answer ---------------------------------------------------------------------------------------------


def answer(found: Verified) -> dict[str, Any]:
    """The ``--json`` answer (``contracts.md`` 14); instants are decimal strings of UTC nanoseconds."""
    return {
        "ok": found.ok,
        "integrity": {
            "ok": not found.faults,
            "first_bad": _told(found.faults[0]) if found.faults else None,
        },
        "completeness": {"ok": not found.gaps, "gaps": [_told(gap) for gap in found.gaps]},
        "witnessed_to": [
            _reach(log, log.witnessed, found.now_ns) for log in found.logs.values() if log.witnessed
        ]
        if found.witnesses
        else None,
        "entries": sum(report.tree.size for report in found.chains),
        "checkpoints": [
            _reach(log, len(log.checkpoints), found.now_ns) | {"signed_by": log.last.key.label}
            for log in found.logs.values()
            if log.last is not None
        ],
        "keys": "trusted" if found.trusted else "from_the_record",
        "unsigned_after": [
            {"chain": report.chain, "seq": signed, "entries": report.tree.size - signed}
            for report, signed in found.unsigned()
        ],
        "chains": [{"chain": r.chain, "entries": r.tree.size, "ok": r.ok} for r in found.chains],
    }


def _told(fault: Fault) -> dict[str, Any]:
    return asdict(fault) | {"chain": fault.chain or None, "file": fault.file or None}


def _reach(log: LogReport, seq: int, now_ns: int) -> dict[str, Any]:
    """How far checkpoint ``seq`` goes."""
    made = log.checkpoints[seq - 1]
    return {
        "firm": made.firm_id,
        "checkpoint": seq,
        "ts_ns": str(made.ts_ns),
        "time": dt.datetime.fromtimestamp(made.ts_ns // 1_000_000_000, dt.UTC).isoformat(),
        "age_s": (now_ns - made.ts_ns) // 1_000_000_000,
        "entries": made.entries,
        "chains": dict(sorted(log.sizes(seq).items())),
    }
