"""Checkpoints of a firm's record: what was sealed becomes a signed statement, kept here and with witnesses.

A checkpoint covers everything that is sealed and not signed yet. It is written here first and then pushed; a witness
that cannot be reached gets it with a later one. Where a witness holds what is not in this record, nothing is signed:
two pasts under one key is what witnesses are there to show (decision 0017).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from regime_trading.core.checkpoint import (
    ChainHead,
    Checkpoint,
    Forked,
    LogState,
    NotSigned,
    SealedEntries,
    checkpoint_folder,
    checkpoint_path,
    extend,
    next_checkpoint,
    read_checkpoint,
    sign_checkpoint,
)
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable
from regime_trading.core.merkle import Frontier, leaf_hash
from regime_trading.core.notes import PublicKey, Signer
from regime_trading.core.ports import ArtifactStore, Clock, RecordReader, Signers, Witness
from regime_trading.services.chains import Claim, check_chain, head_of, runs_by_chain


@dataclass(frozen=True, slots=True)
class ProofDeps:
    """What the service reaches the world through.

    Parameters
    ----------
    store : ArtifactStore
    reader : callable
        Opens the record in the same folder.
    clock : Clock
    keys : Signers
    publish : callable
        Puts a public key of a firm beside the record.
    witnesses : callable
        Opens the witnesses.
    lock : callable
        Held by one process at a time, by firm.
    tell : callable
        Says a sentence to the operator.
    """

    store: ArtifactStore
    reader: Callable[[], RecordReader]
    clock: Clock
    keys: Signers
    publish: Callable[[str, PublicKey], None]
    witnesses: Callable[[], Sequence[Witness]]
    lock: Callable[[str], AbstractContextManager[None]]
    tell: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Grown:
    """A chain that is longer than the checkpoints say: its tree, and what the next one says of it."""

    tree: Frontier
    head: ChainHead


class Proof:
    """Makes the checkpoints of every firm of one artifacts folder."""

    def __init__(self, deps: ProofDeps) -> None:
        self._deps = deps
        self._states: dict[str, LogState] = {}
        self._trees: dict[str, Frontier] = {}  #: of the chains signed by this process, at their signed size
        self._witnesses: Sequence[Witness] | None = None
        self._looked: set[str] = set()  #: firms whose sealed files were looked through

    def sign(self, firm_id: str, sealed: Sequence[SealedEntries] = ()) -> None:
        """As :meth:`checkpoint`; where no key can sign, or a witness knows another past, that is said loudly."""
        try:
            self.checkpoint(firm_id, sealed)
        except (NotSigned, Forked) as err:
            self._deps.tell(f"The record of {firm_id} is NOT signed: {err}")

    def checkpoint(self, firm_id: str, sealed: Iterable[SealedEntries] = ()) -> Checkpoint | None:
        """Sign everything of a firm that is sealed and not signed yet, and push it to the witnesses.

        Parameters
        ----------
        firm_id : str
        sealed : iterable of SealedEntries
            What the caller has just sealed, so that it need not be read back. Whatever else is sealed is found, read
            and checked.

        Returns
        -------
        Checkpoint or None
            None where there is nothing new.

        Raises
        ------
        NotSigned
            No usable key.
        Forked
            A witness holds a checkpoint that is not in this record.
        CheckFailed
            The checkpoints here do not verify, or a chain is no longer what they signed.
        NotDurable
            The checkpoint could not be written.
        """
        with self._deps.lock(firm_id):
            state = self._load(firm_id)
            behind = self._behind(firm_id, state)
            trees = self._grown(firm_id, state, sealed)
            made = None
            if trees:
                key, introduced = self._key(firm_id, state)
                made, state = self._write(firm_id, state, trees, [key], introduced)
            if state is not None:
                self._deps.publish(firm_id, state.key)
                self._push(firm_id, state, behind)
            return made

    def rotate(self, firm_id: str, *, keep: bool = False) -> PublicKey:
        """Hand over to a new key: both sign the checkpoint that introduces it; then the old private key goes.

        Raises
        ------
        NotSigned, Forked, CheckFailed, NotDurable
            As :meth:`checkpoint`; nothing has changed then.
        """
        deps = self._deps
        with deps.lock(firm_id):
            state = self._load(firm_id)
            old = deps.keys.only(firm_id) if state is None else deps.keys.signer(firm_id, state.key.key_hash)
            if old is None:
                raise NotSigned(expected=f"a key of {firm_id} to rotate", found="none", where=deps.keys.name)
            behind = self._behind(firm_id, state)
            trees = self._grown(firm_id, state, ())
            new = deps.keys.create(firm_id)
            if state is not None:
                try:
                    _, state = self._write(firm_id, state, trees, [old, new], new.public)
                except BaseException:
                    if not deps.store.exists(checkpoint_path(firm_id, state.last.seq + 1)):
                        deps.keys.retire(firm_id, new.public.key_hash, keep=False)  # nobody introduced it
                    raise
                self._push(firm_id, state, behind)
            deps.keys.retire(firm_id, old.public.key_hash, keep=keep)
            return new.public

    def state(self, firm_id: str) -> LogState | None:
        """What the firm's checkpoints say; None where there are none. Raises ``CheckFailed`` where they do not hold."""
        return self._load(firm_id)

    # --- what is there ------------------------------------------------------------------------------------

    def _load(self, firm_id: str) -> LogState | None:
        """The state after the last checkpoint here. What was read before is not read again."""
        store, state = self._deps.store, self._states.get(firm_id)
        names = store.names(checkpoint_folder(firm_id))
        if state is not None and not self._is_there(firm_id, state):
            state = None
        for path in names[0 if state is None else state.last.seq :]:
            try:
                state = extend(state, store.read_bytes(path), firm_id, path)
            except BadInput as err:
                raise CheckFailed(str(err)) from err
            if path != checkpoint_path(firm_id, state.last.seq):
                raise CheckFailed(f"{path}: checkpoint {state.last.seq} under another name")
        if state is not None:
            self._states[firm_id] = state
        return state

    def _is_there(self, firm_id: str, state: LogState) -> bool:
        path = checkpoint_path(firm_id, state.last.seq)
        if not self._deps.store.exists(path):
            return False
        found, _ = read_checkpoint(self._deps.store.read_bytes(path), firm_id, path)
        return found == state.last

    def _grown(
        self, firm_id: str, state: LogState | None, sealed: Iterable[SealedEntries]
    ) -> dict[str, Grown]:
        """Chains that are longer than the checkpoints say: those just sealed, and those that nobody signed yet."""
        grown: dict[str, Grown] = {}
        all_used = True
        for one in sealed:
            tree = self._extended(state, one)
            all_used &= tree is not None
            if tree is not None and tree.size > _signed(state, one.chain_id):
                head = ChainHead(one.chain_id, tree.size, tree.root().hex(), one.entry_hashes[-1])
                grown[one.chain_id] = Grown(tree, head)
        if not (grown and all_used and firm_id in self._looked):
            grown |= self._unsigned(firm_id, state, set(grown))
            self._looked.add(firm_id)
        return grown

    def _extended(self, state: LogState | None, sealed: SealedEntries) -> Frontier | None:
        """The tree of a chain with what was just sealed; None where its beginning is not at hand."""
        signed = None if state is None else state.heads.get(sealed.chain_id)
        tree = Frontier() if sealed.first_seq == 1 else self._trees.get(sealed.chain_id, Frontier()).copy()
        known = tree.size - sealed.first_seq + 1
        here = signed is not None and (tree.size, tree.root().hex()) == (signed.size, signed.root)
        if known < 0 or not sealed.entry_hashes or (sealed.first_seq > 1 and not here):
            return None
        leaves = [leaf_hash(bytes.fromhex(hash_)) for hash_ in sealed.entry_hashes[known:]]
        if signed is not None and sealed.first_seq == 1:
            tree.extend(leaves[: signed.size])
            if tree.size == signed.size and tree.root().hex() != signed.root:
                raise CheckFailed(
                    f"chain {sealed.chain_id}: its first {signed.size} entries are not those that were signed"
                )
            leaves = leaves[signed.size :]
        tree.extend(leaves)
        return tree

    def _unsigned(self, firm_id: str, state: LogState | None, known: set[str]) -> dict[str, Grown]:
        """Chains whose files go further than the checkpoints, read and checked from their beginning."""
        grown: dict[str, Grown] = {}
        try:
            reader = self._deps.reader()
        except BadInput:
            return grown  # nothing is sealed yet
        chains, _ = runs_by_chain(reader, reader.paths(), firm_id)
        for chain, runs in sorted(chains.items()):
            if chain in known or runs[-1].parts[-1].seq_to <= _signed(state, chain):
                continue
            signed = None if state is None else state.heads.get(chain)
            said = [] if signed is None or state is None else [Claim(signed, state.last.seq, runs[0].path)]
            report = check_chain(reader, chain, runs, said)
            if bad := report.fault or report.gap:
                self._deps.tell(f"chain {chain} is not signed: {bad.file}, entry {bad.seq}: {bad.reason}")
            else:
                grown[chain] = Grown(report.tree, head_of(report))
        return grown

    # --- what is made -------------------------------------------------------------------------------------

    def _key(self, firm_id: str, state: LogState | None) -> tuple[Signer, PublicKey | None]:
        """The key that signs, and the same as one to introduce before the first checkpoint."""
        keys = self._deps.keys
        if state is not None:
            return keys.signer(firm_id, state.key.key_hash), None
        signer = keys.only(firm_id)
        if signer is None:
            signer = keys.create(firm_id)
            self._deps.tell(
                f"A key was made that signs the record of {firm_id}: {signer.public.label}. Its private half is in "
                f"{keys.name}; give the public half, audit/_keys/{firm_id}/{signer.public.key_hash}.pub, to whoever "
                "checks the record."
            )
        return signer, signer.public

    def _write(
        self,
        firm_id: str,
        state: LogState | None,
        grown: Mapping[str, Grown],
        signers: Sequence[Signer],
        introduced: PublicKey | None,
    ) -> tuple[Checkpoint, LogState]:
        heads = [one.head for one in grown.values()]
        made = next_checkpoint(state, firm_id, heads, ts_ns=self._deps.clock.now_ns(), key=introduced)
        path, note = checkpoint_path(firm_id, made.seq), sign_checkpoint(made, *signers)
        after = extend(state, note, firm_id, path)
        self._deps.store.write_bytes(path, note)
        self._deps.publish(firm_id, after.key)
        self._states[firm_id] = after
        self._trees |= {chain: one.tree for chain, one in grown.items()}
        return made, after

    # --- witnesses ----------------------------------------------------------------------------------------

    def _behind(self, firm_id: str, state: LogState | None) -> list[tuple[Witness, int]]:
        """Witnesses that can be reached, and the last checkpoint each of them holds."""
        behind = []
        for witness in self._opened():
            try:
                held = witness.latest(firm_id)
            except NotDurable as err:
                self._deps.tell(f"{err}; checkpoints of {firm_id} are kept here and follow with a later one")
                continue
            behind.append((witness, 0 if held is None else self._known(firm_id, state, witness, held)))
        return behind

    def _opened(self) -> Sequence[Witness]:
        """The witnesses, opened once."""
        if self._witnesses is None:
            self._witnesses = self._deps.witnesses()
        return self._witnesses

    def _known(self, firm_id: str, state: LogState | None, witness: Witness, held: bytes) -> int:
        """Number of a checkpoint that a witness holds, which must be one of this record."""
        where = f"witness {witness.name}"
        try:
            seq = read_checkpoint(held, firm_id, where)[0].seq
        except BadInput as err:
            raise Forked(str(err)) from err
        last = 0 if state is None else state.last.seq
        if seq <= last and self._deps.store.read_bytes(checkpoint_path(firm_id, seq)) == held:
            return seq
        mine = f"ends at checkpoint {last}" if seq > last else "has another one"
        raise Forked(
            f"{where} holds checkpoint {seq} of {firm_id}, and the record here {mine}. Put the record back that it "
            "witnessed; to begin a new one on purpose, give it another witness (REGIME_WITNESS)"
        )

    def _push(self, firm_id: str, state: LogState, behind: Iterable[tuple[Witness, int]]) -> None:
        """Every checkpoint that a witness does not hold yet, in order."""
        for witness, held in behind:
            for seq in range(held + 1, state.last.seq + 1):
                try:
                    witness.put(firm_id, self._deps.store.read_bytes(checkpoint_path(firm_id, seq)))
                except (NotDurable, CheckFailed) as err:
                    self._deps.tell(f"Checkpoint {seq} of {firm_id} is not witnessed: {err}")
                    break


def _signed(state: LogState | None, chain: str) -> int:
    """Number of entries of a chain that checkpoints cover."""
    head = None if state is None else state.heads.get(chain)
    return 0 if head is None else head.size
