"""Bundles for an auditor: entries of one firm with proofs, checkpoint, key, and a verifier that stands alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from typing import Any

import orjson

from regime_trading.core.audit import PLATFORM
from regime_trading.core.canonical import canonical_json, sha256_hex
from regime_trading.core.checkpoint import (
    ChainHead,
    LogState,
    checkpoint_folder,
    checkpoint_path,
    extend,
)
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.event_payloads import Exported
from regime_trading.core.instants import EARLIEST_NS, LATEST_NS, instant_text
from regime_trading.core.jobs import Job
from regime_trading.core.merkle import inclusion_proof, inclusion_proofs, leaf_hash
from regime_trading.core.ports import ArtifactStore, RecordHistory
from regime_trading.core.recorded import Recorded, Selection
from regime_trading.core.schemas import Receipt
from regime_trading.services.acts import Act, Acts, Who, place_of_firm, record_act
from regime_trading.services.registers import Scope
from regime_trading.services.verify_bundle import SUMS, zip_bytes

FORMAT, VERSION = "regime-trading audit bundle", 1
MOST_BYTES = 2**32 - 2**20  #: of a bundle: the plain ZIP format counts in 32 bits
_VERIFIER = "verify_bundle.py"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files of a bundle by name; ``digest`` is the SHA-256 of ``SHA256SUMS``, which covers all of them."""

    files: Mapping[str, bytes]
    digest: str
    entries: int
    covered: int
    about: Mapping[str, Any]

    def zipped(self) -> bytes:
        """The bundle as one ZIP file, the same bytes anywhere."""
        return zip_bytes(self.files)


def make_bundle(history: RecordHistory, store: ArtifactStore, scope: Scope) -> Bundle:
    """The bundle of a scope; the same record gives the same bytes.

    Raises
    ------
    BadInput
        No entry in the scope, or more than a bundle can hold.
    CheckFailed
        A record that is not what was recorded or signed.
    """
    state = read_checkpoints(store, scope.firm_id)
    about, files = list[dict[str, Any]](), dict[str, bytes]()
    covered = size = 0
    for n, (chain, entries) in enumerate(_by_chain(history, scope), 1):
        head = None if state is None else state.heads.get(chain)
        told, proofs = _proved(history, chain, state, head)
        name = f"entries/{n:05d}.jsonl"
        lines = [_line(entry, proofs) for entry in entries]
        files[name] = b"".join(lines)
        covered += sum(entry.seq <= told["size"] for entry in entries)
        size += len(files[name])
        if size > MOST_BYTES:
            raise BadInput(
                expected="a bundle below 4 GiB (--from, --to, --account and --run narrow it)",
                found=f"more, from chain {chain} on",
                where="export",
            )
        about.append({"chain": chain, "file": name, "entries": len(lines), **told})
    if not about:
        raise BadInput(expected="entries in that range", found="none", where=f"record of {scope.firm_id}")
    bundle = {
        "format": FORMAT,
        "version": VERSION,
        "firm": scope.firm_id,
        "range": range_of(scope),
        "checkpoint": None if state is None else _checkpoint(state),
        "chains": about,
    }
    files["bundle.json"] = canonical_json(bundle) + b"\n"
    files |= _proof_files(store, scope.firm_id, state)
    files[_VERIFIER] = resources.files("regime_trading.services").joinpath(_VERIFIER).read_bytes()
    entries_in_all = sum(one["entries"] for one in about)
    files["README.txt"] = _readme(scope, entries_in_all, covered, state).encode()
    files[SUMS] = "".join(f"{sha256_hex(files[name])}  {name}\n" for name in sorted(files)).encode()
    return Bundle(files, sha256_hex(files[SUMS]), entries_in_all, covered, bundle)


def record_export(acts: Acts, scope: Scope, bundle: Bundle) -> Receipt:
    """The entry that says what is about to leave; durable before it does."""
    return record_act(acts, place_of_firm(scope.firm_id), Act(exported(scope, bundle)))


def exported(scope: Scope, bundle: Bundle) -> Exported:
    """What the entry of an export says."""
    said = range_of(scope) | {"entries": bundle.entries, "covered": bundle.covered}
    return Exported(range=said, files=tuple(sorted(bundle.files)), sha256=bundle.digest)


def record_fetched(acts: Acts, job: Job, who: Who) -> Receipt:
    """The entry that says who fetches the bundle of an export, under the digest that the export itself is recorded
    with; durable before the first byte leaves."""
    said = orjson.loads(job.result)["summary"]
    asked = {name: value for name, value in orjson.loads(job.request).items() if value is not None}
    payload = Exported(
        range={"firm": job.firm_id, **asked, "entries": said["entries"], "covered": said["covered"]},
        files=(f"{job.job_id}.zip",),
        sha256=said["digest"],
    )
    act = Act(payload, actor=who, reason_codes=("DOWNLOADED",), correlation_id=job.job_id)
    return record_act(acts, place_of_firm(job.firm_id), act)


def range_of(scope: Scope) -> dict[str, Any]:
    """A scope as it is told; null = open."""
    return {
        "firm": scope.firm_id,
        "account": scope.account_id or None,
        "run": scope.run_id or None,
        "from_ns": None if scope.from_ns == EARLIEST_NS else str(scope.from_ns),
        "to_ns": None if scope.to_ns == LATEST_NS else str(scope.to_ns),
    }


def read_checkpoints(store: ArtifactStore, firm_id: str) -> LogState | None:
    """Everything the checkpoints of a firm say together; None where there is none.

    Raises
    ------
    CheckFailed
        Checkpoints that do not follow one another.
    """
    state: LogState | None = None
    for n, path in enumerate(store.names(checkpoint_folder(firm_id)), 1):
        if path != checkpoint_path(firm_id, n):
            raise CheckFailed(f"{path}: checkpoint {n} is missing")
        try:
            state = extend(state, store.read_bytes(path), firm_id, path)
        except BadInput as error:
            raise CheckFailed(str(error)) from error
    return state


# --- proofs -------------------------------------------------------------------------------------------------


def _by_chain(history: RecordHistory, scope: Scope) -> Iterable[tuple[str, list[Recorded]]]:
    wanted = Selection(
        accounts=(scope.account_id,) if scope.account_id else (),
        run_id=scope.run_id,
        from_ns=scope.from_ns,
        to_ns=scope.to_ns,
    )
    for chain, entries in groupby(history.entries(wanted), lambda entry: entry.chain_id):
        if chain.split("/")[-2] != scope.firm_id:
            raise CheckFailed(f"chain {chain} is not of {scope.firm_id}; nothing is exported")
        yield chain, list(entries)


def _proved(
    history: RecordHistory, chain: str, state: LogState | None, head: ChainHead | None
) -> tuple[dict[str, Any], list[list[bytes]]]:
    """What a checkpoint says of a chain, and the inclusion proof of each of the entries it covers."""
    if state is None or head is None:
        return {"size": 0, "root": None, "index": None, "proof": None}, []
    hashes = history.hashes(chain)[: head.size]
    if len(hashes) < head.size:
        raise CheckFailed(f"chain {chain} has {len(hashes)} entries, {head.size} were signed")
    top, proofs = inclusion_proofs([leaf_hash(bytes.fromhex(own)) for own in hashes])
    if top.hex() != head.root:
        raise CheckFailed(f"chain {chain} is not what checkpoint {state.last.seq} signed")
    ordered = sorted(state.heads)
    leaves = [
        leaf_hash(f"{name} {state.heads[name].size} {state.heads[name].root}".encode()) for name in ordered
    ]
    index = ordered.index(chain)
    beside = inclusion_proof(leaves, index)
    told = {"size": head.size, "root": head.root, "index": index, "proof": [h.hex() for h in beside]}
    return told, proofs


def _line(entry: Recorded, proofs: Sequence[Sequence[bytes]]) -> bytes:
    proof = [h.hex() for h in proofs[entry.seq - 1]] if entry.seq <= len(proofs) else None
    row = {
        "seq": entry.seq,
        "prev_hash": entry.prev_hash,
        "entry_hash": entry.entry_hash,
        "body": entry.body.decode(),
        "proof": proof,
    }
    return canonical_json(row) + b"\n"


def _checkpoint(state: LogState) -> dict[str, Any]:
    return {
        "file": f"checkpoints/{state.last.seq:012d}.txt",
        "seq": state.last.seq,
        "size": state.last.size,
        "ts_ns": str(state.last.ts_ns),
        "key": state.key.label,
    }


def _proof_files(store: ArtifactStore, firm_id: str, state: LogState | None) -> dict[str, bytes]:
    """The newest checkpoint, and the public key that signed it."""
    if state is None:
        return {}
    return {
        _checkpoint(state)["file"]: store.read_bytes(checkpoint_path(firm_id, state.last.seq)),
        f"keys/{state.key.key_hash}.pub": f"{state.key.vkey}\n".encode(),
    }


def _readme(scope: Scope, entries: int, covered: int, state: LogState | None) -> str:
    whose = "the platform" if scope.firm_id == PLATFORM else f"firm {scope.firm_id}"
    part = range_of(scope)
    lines = [
        f"Audit bundle of {whose}: {entries} entries of the record, each as it was recorded.",
        "",
        f"account {part['account'] or 'all'}, run {part['run'] or 'all'}, "
        f"from {_when(scope.from_ns)}, to {_when(scope.to_ns)} (UTC)",
        "No checkpoint covers them: nothing here is signed."
        if state is None
        else f"{covered} of them are in checkpoint {state.last.seq} of {instant_text(state.last.ts_ns)}.",
        "",
        "entries/*.jsonl    one entry a line: its canonical JSON (body), its hash, and its proof of inclusion",
        "bundle.json        which chains, and how they hang in the checkpoint",
        "checkpoints/       the signed checkpoint (C2SP tlog-checkpoint)",
        "keys/              the public key that signed it; compare it with the one you got by another way",
        "verify_bundle.py   checks all of this; reads nothing else, needs only Python",
        "SHA256SUMS         the SHA-256 of this file is the digest of the bundle",
        "",
        "  python verify_bundle.py . --sha256 DIGEST --key VKEY",
        "",
        "People are pseudonyms (u-...). Names, market data and other firms are not in here.",
        "",
    ]
    return "\n".join(lines)


def _when(ts_ns: int) -> str:
    return "the beginning" if ts_ns == EARLIEST_NS else "now" if ts_ns == LATEST_NS else instant_text(ts_ns)
