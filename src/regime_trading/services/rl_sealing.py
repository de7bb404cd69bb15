"""RL rows of a run that goes on, sealed behind the entries of the decisions they belong to."""

from __future__ import annotations

from collections.abc import Iterable

from regime_trading.core.checkpoint import SealedEntries
from regime_trading.core.ports import PendingRows, RecordSealer
from regime_trading.core.rl_features import FEATURE_SET_VERSION
from regime_trading.core.rl_rows import RECORDS, after, joined, unpacked
from regime_trading.core.schemas import RLBlock


def rows_of(chain_id: str) -> RLBlock:
    """An empty block of the dry run behind a chain: whose its rows are."""
    env, run_id, firm_id, account_id = chain_id.split("/")
    return RLBlock("state", firm_id, account_id, run_id, env, FEATURE_SET_VERSION)


def seal_rows(store: PendingRows, sealer: RecordSealer, sealed: Iterable[SealedEntries], run_id: str) -> None:
    """Seal the RL rows of every decision of ``run_id`` whose entries are sealed, then forget them.

    Whatever interrupts it, the rows still wait, and the next call goes on behind what is sealed.

    Raises
    ------
    CheckFailed
        Rows that cannot be read.
    NotDurable
        They could not be sealed.
    """
    for entries in sealed:
        if run_id in entries.chain_id.split("/")[1:-2]:
            _seal_chain(store, sealer, entries.chain_id, entries.first_seq + len(entries.entry_hashes) - 1)


def _seal_chain(store: PendingRows, sealer: RecordSealer, chain_id: str, seq: int) -> None:
    who = rows_of(chain_id)
    found = [unpacked(body, who) for body in store.until(chain_id, seq)]
    for place, record in enumerate(RECORDS):
        parts = sealer.sealed(who.run_id, who.firm_id, who.account_id, record)
        behind = parts[-1].seq_to if parts else 0
        for block in joined([after(rows.blocks[place], behind) for rows in found]):
            sealer.seal_rl(block)
    store.drop(chain_id, seq)
