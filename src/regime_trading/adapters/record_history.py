"""The record of a firm as one: sealed files, and behind them the write-ahead rows that are not sealed yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import pairwise
from typing import TYPE_CHECKING

from regime_trading.adapters.database.history import SqlRecorded
from regime_trading.core.canonical import entry_hash
from regime_trading.core.errors import CheckFailed
from regime_trading.core.recorded import Recorded, Selection
from regime_trading.core.schemas import Mode

if TYPE_CHECKING:  # loads pyarrow, which a process without sealed files does without
    from regime_trading.adapters.journal.history import SealedChainPart, SealedHistory


class FirmHistory:
    """Everything recorded of one firm, each entry once.

    Parameters
    ----------
    sealed : SealedHistory or None
        None where nothing is sealed.
    write_ahead : SqlRecorded or None
        None where there is no database (an artifacts folder alone).
    """

    def __init__(self, sealed: SealedHistory | None, write_ahead: SqlRecorded | None) -> None:
        self._sealed, self._write_ahead = sealed, write_ahead

    def chains(self) -> tuple[str, ...]:
        """Names of all chains, sorted."""
        return tuple(sorted({*self._by_chain(), *self._unsealed()}))

    def entries(self, wanted: Selection) -> Iterator[Recorded]:
        """Entries that fit, chain by chain in the order of their names, in sequence.

        Raises
        ------
        CheckFailed
            An entry that does not follow from its hashes, a file that is no longer what was sealed, or two sealed
            entries in one place.
        """
        parts = self._by_chain(wanted.accounts)
        for chain in [wanted.chain_id] if wanted.chain_id else sorted({*parts, *self._unsealed()}):
            if not wanted.accounts or chain.rsplit("/", 1)[1] in wanted.accounts:
                yield from _once(self._of_chain(chain, parts.get(chain, ()), wanted))

    def hashes(self, chain_id: str) -> list[str]:
        """Entry hashes of a whole chain, from entry 1.

        Raises
        ------
        CheckFailed
            A hole in the chain, or a beginning that is gone.
        """
        waiting = [] if self._write_ahead is None else self._write_ahead.hashes(chain_id)
        found = dict(waiting)
        for piece in self._parts_of(chain_id):
            found |= self._hashes(piece)
        numbers = sorted(found)
        for before, after in pairwise((0, *numbers)):
            if after != before + 1:
                raise CheckFailed(f"chain {chain_id}: entry {after} follows entry {before}")
        return [found[seq] for seq in numbers]

    def _of_chain(
        self, chain: str, known: Sequence[SealedChainPart], wanted: Selection
    ) -> Iterator[Recorded]:
        """Write-ahead rows are read before the list of files: what is sealed meanwhile is in one of the two."""
        waiting: list[Recorded] = []
        if self._write_ahead is not None:
            waiting = list(self._write_ahead.entries(chain, wanted, _spans(known)))
        parts = self._parts_of(chain)
        spans = _spans(parts)
        waiting = [e for e in waiting if not any(first <= e.seq <= last for first, last in spans)]
        asked = [piece for piece in parts if wanted.run_id in ("", piece.run_id)]
        sealed = (entry for piece in asked for entry in self._entries(piece, wanted))
        return merge(sealed, waiting, key=lambda entry: entry.seq)

    def _by_chain(self, accounts: tuple[str, ...] = ()) -> dict[str, list[SealedChainPart]]:
        found: dict[str, list[SealedChainPart]] = {}
        for account in accounts or ("*",):
            for piece in self._parts(account):
                found.setdefault(piece.chain_id, []).append(piece)
        return found

    def _parts_of(self, chain: str) -> list[SealedChainPart]:
        """Files of one chain; an account that is in shadow or live has those of its dry runs beside them."""
        return [piece for piece in self._parts(*_address(chain)) if piece.chain_id == chain]

    def _parts(self, *address: str) -> tuple[SealedChainPart, ...]:
        return () if self._sealed is None else self._sealed.parts(*address)

    def _entries(self, piece: SealedChainPart, wanted: Selection) -> Iterator[Recorded]:
        assert self._sealed is not None
        return self._sealed.entries(piece, wanted)

    def _hashes(self, piece: SealedChainPart) -> dict[int, str]:
        assert self._sealed is not None
        return {piece.part.seq_from + n: own for n, own in enumerate(self._sealed.hashes(piece))}

    def _unsealed(self) -> tuple[str, ...]:
        return () if self._write_ahead is None else self._write_ahead.chains()


def _address(chain_id: str) -> tuple[str, str]:
    """Account and run whose files hold a chain; ``*`` = any run."""
    env, *run, _, account = chain_id.split("/")
    return account, run[0] if env == Mode.DRY_RUN else "*"


def _spans(parts: Sequence[SealedChainPart]) -> list[tuple[int, int]]:
    return [(piece.part.seq_from, piece.part.seq_to) for piece in parts]


def _once(entries: Iterator[Recorded]) -> Iterator[Recorded]:
    last = 0
    for entry in entries:
        if entry.seq <= last:
            raise CheckFailed(f"{entry.place}: entry {entry.seq} of {entry.chain_id} is there twice")
        if entry_hash(entry.prev_hash, entry.body) != entry.entry_hash:
            raise CheckFailed(
                f"{entry.place}: entry {entry.seq} of {entry.chain_id} is not what was recorded"
            )
        last = entry.seq
        yield entry
