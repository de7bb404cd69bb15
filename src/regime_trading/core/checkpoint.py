"""Checkpoints: what a firm's record is at an instant, as a signed text (C2SP tlog-checkpoint).

A checkpoint states how far every chain of a firm has come: number of entries, Merkle root, hash of the last entry.
The tree of a checkpoint has one leaf per chain (:func:`tenant_root`), so its size is the number of chains; the lines
after the root say which chains grew, so that the whole state follows from the checkpoints in order (decision 0017)::

    regime-trading/alpha
    2
    <base64 of the root>
    seq 7
    time 1795188600000000000
    prev <SHA-256 of the text of checkpoint 6>
    entries 4711
    chain dry_run/bt-1/alpha/main 4000 <root> <hash of entry 4000>

Nothing here reads a clock, a file or a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from regime_trading.core.audit import chain_id, require_firm
from regime_trading.core.canonical import GENESIS, sha256_hex
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.merkle import leaf_hash, root
from regime_trading.core.notes import (
    Note,
    PublicKey,
    Signer,
    from_base64,
    read_note,
    sign,
    to_base64,
)
from regime_trading.core.schemas import Mode

_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_HASH = re.compile(r"[0-9a-f]{64}")
_KEY_BYTES = _ROOT_BYTES = 32


class NotSigned(BadInput):
    """There is no key that could sign the record."""


class Forked(CheckFailed):
    """A witness holds checkpoints that do not belong to this record; signing on would make a second past."""


@dataclass(frozen=True, slots=True)
class SealedEntries:
    """Consecutive entries of a chain that have just been sealed.

    Parameters
    ----------
    chain_id : str
    first_seq : int
        Sequence number of the first of them.
    entry_hashes : sequence of str
        Their hashes, in order.
    """

    chain_id: str
    first_seq: int
    entry_hashes: Sequence[str]


@dataclass(frozen=True, slots=True)
class ChainHead:
    """How far a chain has come.

    Parameters
    ----------
    chain_id : str
        Name of the chain.
    size : int
        Number of its entries, which is the seq of the last one.
    root : str
        Merkle root over them, hexadecimal.
    last_hash : str
        ``entry_hash`` of the last one.
    """

    chain_id: str
    size: int
    root: str
    last_hash: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint, unsigned.

    Parameters
    ----------
    firm_id : str
    seq : int
        Number of the checkpoint, from 1.
    ts_ns : int
        When it was made, UTC nanoseconds; never before the checkpoint before.
    prev : str
        SHA-256 of the text of the checkpoint before; ``GENESIS`` for the first.
    size : int
        Number of chains of the firm.
    root : bytes [32]
        Merkle root over them.
    entries : int
        Number of entries of all of them.
    chains : tuple of ChainHead
        Those that grew since the checkpoint before, by name.
    key : PublicKey or None
        The key that signs from here on, where it is a new one: always in the first checkpoint.
    """

    firm_id: str
    seq: int
    ts_ns: int
    prev: str
    size: int
    root: bytes
    entries: int
    chains: tuple[ChainHead, ...]
    key: PublicKey | None = None


@dataclass(frozen=True, slots=True)
class LogState:
    """Everything a firm's checkpoints say together, after the last of them.

    Parameters
    ----------
    last : Checkpoint
    text_hash : str
        SHA-256 of its text; the next one's ``prev``.
    heads : mapping of str to ChainHead
        Every chain of the firm.
    key : PublicKey
        The key that signs the next one.
    """

    last: Checkpoint
    text_hash: str
    heads: Mapping[str, ChainHead]
    key: PublicKey


def origin(firm_id: str) -> str:
    """Name of a firm's log and of its keys.

    Raises
    ------
    BadInput
        An illegal firm.
    """
    return f"regime-trading/{require_firm(firm_id)}"


def checkpoint_path(firm_id: str, seq: int) -> str:
    """Where a checkpoint lies, relative to the artifacts folder."""
    return f"{checkpoint_folder(firm_id)}/{seq:012d}.txt"


def checkpoint_folder(firm_id: str) -> str:
    """Folder of a firm's checkpoints, relative to the artifacts folder."""
    return f"audit/_checkpoints/firm={require_firm(firm_id)}"


def tenant_root(heads: Iterable[ChainHead]) -> bytes:
    """Merkle root over the chains of a firm: leaves ``chain_id size root``, by ``chain_id``."""
    ordered = sorted(heads, key=lambda head: head.chain_id)
    return root([leaf_hash(f"{head.chain_id} {head.size} {head.root}".encode()) for head in ordered])


def require_chain_of(firm_id: str, chain: str, where: str = "chain") -> str:
    """``chain`` if it is the name of a chain of the firm.

    Raises
    ------
    BadInput
        Anything else.
    """
    env, *rest = chain.split("/")
    run_id = rest.pop(0) if env == Mode.DRY_RUN and len(rest) == 3 else "any"
    try:
        known = len(rest) == 2 and rest[0] == firm_id and chain_id(env, run_id, *rest) == chain
    except BadInput:
        known = False
    if not known:
        raise BadInput(expected=f"a chain of {firm_id}", found=repr(chain), where=where)
    return chain


def next_checkpoint(
    state: LogState | None,
    firm_id: str,
    grown: Sequence[ChainHead],
    *,
    ts_ns: int,
    key: PublicKey | None = None,
) -> Checkpoint:
    """The checkpoint that follows ``state`` with these chains grown.

    Parameters
    ----------
    state : LogState or None
        None before the first.
    grown : sequence of ChainHead
        Chains that are new or longer; may be empty only where ``key`` changes.
    ts_ns : int
        Now, UTC nanoseconds. Where that is before the last checkpoint, its time is repeated.
    key : PublicKey, optional
        The key that signs from here on; required in the first checkpoint.
    """
    heads = dict({} if state is None else state.heads)
    heads.update((head.chain_id, head) for head in grown)
    return Checkpoint(
        firm_id=require_firm(firm_id),
        seq=1 if state is None else state.last.seq + 1,
        ts_ns=ts_ns if state is None else max(ts_ns, state.last.ts_ns),
        prev=GENESIS if state is None else state.text_hash,
        size=len(heads),
        root=tenant_root(heads.values()),
        entries=sum(head.size for head in heads.values()),
        chains=tuple(sorted(grown, key=lambda head: head.chain_id)),
        key=key,
    )


def checkpoint_text(checkpoint: Checkpoint) -> bytes:
    """The text that is signed."""
    lines = [
        origin(checkpoint.firm_id),
        str(checkpoint.size),
        to_base64(checkpoint.root),
        f"seq {checkpoint.seq}",
        f"time {checkpoint.ts_ns}",
        f"prev {checkpoint.prev}",
        f"entries {checkpoint.entries}",
    ]
    if checkpoint.key is not None:
        lines.append(f"key {checkpoint.key.label} {to_base64(checkpoint.key.raw)}")
    lines += [f"chain {h.chain_id} {h.size} {h.root} {h.last_hash}" for h in checkpoint.chains]
    return "".join(f"{line}\n" for line in lines).encode()


def sign_checkpoint(checkpoint: Checkpoint, *signers: Signer) -> bytes:
    """The signed note: one signer, or the old and then the new one where the key changes."""
    return sign(checkpoint_text(checkpoint), signers)


def read_checkpoint(data: bytes, firm_id: str, where: str) -> tuple[Checkpoint, Note]:
    """A checkpoint of a firm and its unverified signatures.

    Raises
    ------
    BadInput
        A byte that :func:`checkpoint_text` would not have written.
    """
    note = read_note(data, where)
    lines = note.text.decode().split("\n")[:-1]
    reader = _Lines(lines, where)
    reader.exactly(origin(firm_id))
    size = reader.number("")
    top = from_base64(reader.take(""), _ROOT_BYTES, reader.where)
    seq, ts_ns = reader.number("seq "), reader.number("time ")
    prev, entries = reader.hash("prev "), reader.number("entries ")
    key = _key(reader.take("key "), firm_id, reader.where) if reader.next_is("key ") else None
    chains = []
    while reader.left:
        chains.append(_head(reader.take("chain "), firm_id, reader.where))
    found = Checkpoint(firm_id, seq, ts_ns, prev, size, top, entries, tuple(chains), key)
    if seq < 1 or checkpoint_text(found) != note.text:
        raise BadInput(expected="the exact text of a checkpoint", found="another spelling", where=where)
    return found, note


class _Lines:
    """Lines of a note, taken one by one."""

    def __init__(self, lines: Sequence[str], where: str) -> None:
        self._lines, self._where, self._at = lines, where, 0

    @property
    def where(self) -> str:
        return f"{self._where}, line {self._at}"

    @property
    def left(self) -> int:
        return len(self._lines) - self._at

    def next_is(self, prefix: str) -> bool:
        return self.left > 0 and self._lines[self._at].startswith(prefix)

    def take(self, prefix: str) -> str:
        line = self._lines[self._at] if self.left > 0 else ""
        self._at += 1
        if not line or not line.startswith(prefix):
            raise BadInput(expected=f"'{prefix}…'", found=repr(line[:60]), where=self.where)
        return line[len(prefix) :]

    def exactly(self, text: str) -> None:
        if (found := self.take("")) != text:
            raise BadInput(expected=repr(text), found=repr(found[:80]), where=self.where)

    def number(self, prefix: str) -> int:
        return _number(self.take(prefix), self.where)

    def hash(self, prefix: str) -> str:
        return _hash(self.take(prefix), self.where)


def _number(text: str, where: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise BadInput(expected="a decimal number", found=repr(text[:60]), where=where)
    return int(text)


def _hash(text: str, where: str) -> str:
    if not _HASH.fullmatch(text):
        raise BadInput(expected="a SHA-256 in lower-case hexadecimal", found=repr(text[:80]), where=where)
    return text


def _key(text: str, firm_id: str, where: str) -> PublicKey:
    label, _, coded = text.partition(" ")
    key = PublicKey(origin(firm_id), from_base64(coded, _KEY_BYTES, where))
    if label != key.label:
        raise BadInput(expected=key.label, found=repr(label[:80]), where=where)
    return key


def _head(text: str, firm_id: str, where: str) -> ChainHead:
    parts = text.split(" ")
    if len(parts) != 4:
        raise BadInput(expected="'chain id size root hash'", found=repr(text[:80]), where=where)
    require_chain_of(firm_id, parts[0], where)
    return ChainHead(parts[0], _number(parts[1], where), _hash(parts[2], where), _hash(parts[3], where))


def extend(state: LogState | None, data: bytes, firm_id: str, where: str) -> LogState:
    """The state after one more checkpoint, all of which is checked.

    It follows the last one by number, hash and time; chains only grow; size, root and number of entries are those of
    the chains; and it is signed by the key in force, where the key changes by the old and the new one, by none else.

    Raises
    ------
    BadInput
        Bytes that are no checkpoint of the firm.
    CheckFailed
        A checkpoint that does not follow.
    """
    found, note = read_checkpoint(data, firm_id, where)
    fault = _order_fault(state, found) or _chain_fault(state, found) or _signature_fault(state, found, note)
    if fault:
        raise CheckFailed(f"{where}: {fault}")
    heads = dict({} if state is None else state.heads)
    heads.update((head.chain_id, head) for head in found.chains)
    said = (found.size, found.root, found.entries)
    if said != (len(heads), tenant_root(heads.values()), sum(head.size for head in heads.values())):
        raise CheckFailed(f"{where}: size, root or number of entries are not those of its chains")
    key = found.key or (None if state is None else state.key)
    assert key is not None  # _signature_fault refuses a first checkpoint without one
    return LogState(found, sha256_hex(note.text), MappingProxyType(heads), key)


def _order_fault(state: LogState | None, found: Checkpoint) -> str:
    seq, prev = (1, GENESIS) if state is None else (state.last.seq + 1, state.text_hash)
    if found.seq != seq:
        return f"checkpoint {found.seq} where {seq} follows"
    if found.prev != prev:
        return "prev is not the hash of the checkpoint before"
    if state is not None and found.ts_ns < state.last.ts_ns:
        return "time before the checkpoint before"
    return ""


def _chain_fault(state: LogState | None, found: Checkpoint) -> str:
    names = [head.chain_id for head in found.chains]
    if names != sorted(set(names)):
        return "chains are not in order"
    if not names and found.key is None:
        return "nothing has changed"
    for head in found.chains:
        before = None if state is None else state.heads.get(head.chain_id)
        if head.size <= (0 if before is None else before.size):
            return f"chain {head.chain_id} does not grow"
    return ""


def _signature_fault(state: LogState | None, found: Checkpoint, note: Note) -> str:
    keys = [key for key in (None if state is None else state.key, found.key) if key is not None]
    if state is None and found.key is None:
        return "the first checkpoint names no key"
    if len({key.key_id for key in keys}) != len(keys):
        return "the new key is the old one"
    if len(note.signatures) != len(keys):
        return f"{len(note.signatures)} signatures where {len(keys)} are due"
    for key, signature in zip(keys, note.signatures, strict=True):
        if not signature.is_of(key):
            return f"signed by {signature.name}+{signature.key_id.hex()}, the key in force is {key.label}"
        if not key.verifies(signature.raw, note.text):
            return f"the signature of {key.label} does not hold"
    return ""
