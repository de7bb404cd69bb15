"""Questions about recorded entries that are answered newest first, page by page.

Entries have one order over all chains of a firm: by time, then by chain, then by sequence number. A page ends at a
:class:`Key`, and the next one holds what lies before it, so that entries that arrive meanwhile move nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from regime_trading.core.audit import FIRM_ACCOUNT
from regime_trading.core.errors import CheckFailed
from regime_trading.core.instants import EARLIEST_NS, LATEST_NS
from regime_trading.core.recorded import Recorded


class Key(NamedTuple):
    """Place of an entry in the order of all entries of a firm."""

    ts_event_ns: int
    chain_id: str
    seq: int


def key_of(entry: Recorded) -> Key:
    """Where an entry stands."""
    return Key(entry.ts_event_ns, entry.chain_id, entry.seq)


@dataclass(frozen=True, slots=True)
class EntryQuery:
    """Which entries of a firm. ``accounts`` is what the asker may see: nothing else is ever found.

    Parameters
    ----------
    accounts : tuple of str
        Account ids, without the firm.
    firm_acts : bool
        The firm's own acts too, whichever account they name. Where False, those that name one of ``accounts``.
    kinds, envs : tuple of str
        Event types, and environments (``dry_run``, ``shadow``, ``gated_live``, ``admin``); empty = all.
    chain_id, run_id, rule_id, actor_id, outcome, trading_state, correlation_id : str
        Empty = any. ``rule_id`` is that of the entry, or one of the rules that bound a decision; ``outcome`` and
        ``trading_state`` (after it) are those of a decision.
    named : str
        An id or a hash that the entry says in a field of its own; empty = any.
    from_ns, to_ns : int
        Time of the event, UTC nanoseconds, both included.
    """

    accounts: tuple[str, ...]
    firm_acts: bool = False
    kinds: tuple[str, ...] = ()
    envs: tuple[str, ...] = ()
    chain_id: str = ""
    run_id: str = ""
    rule_id: str = ""
    actor_id: str = ""
    outcome: str = ""
    trading_state: str = ""
    correlation_id: str = ""
    named: str = ""
    from_ns: int = EARLIEST_NS
    to_ns: int = LATEST_NS

    def mentions(self) -> tuple[str, ...]:
        """Texts that the canonical body of every entry that fits contains."""
        said = (
            (f'"run_id":"{self.run_id}"', self.run_id),
            (f'"{self.rule_id}"', self.rule_id),
            (f'"actor":{{"id":"{self.actor_id}"', self.actor_id),
            (f'"outcome":"{self.outcome}"', self.outcome),
            (f'"trading_state_after":"{self.trading_state}"', self.trading_state),
            (f'"correlation_id":"{self.correlation_id}"', self.correlation_id),
            (f':"{self.named}"', self.named),
        )
        return tuple(text for text, asked in said if asked)


def fits(query: EntryQuery, firm_id: str, entry: Recorded) -> bool:
    """Whether an entry of a firm is asked for. What finds entries may find too many, never too few: this decides.

    Raises
    ------
    CheckFailed
        A body that is not what its place says, or an entry of another firm.
    """
    said = entry.fields()
    place = (said["firm_id"], said["account_id"], said["seq"], said["event_type"])
    chain = tuple(entry.chain_id.split("/"))
    if place != (firm_id, chain[-1], entry.seq, entry.event_type) or chain[-2] != firm_id:
        raise CheckFailed(f"{entry.place}: entry {entry.seq} of {entry.chain_id} is not what its place says")
    return _is_visible(query, said) and _is_placed(query, entry, said) and _says(query, said)


def _is_visible(query: EntryQuery, said: Mapping[str, Any]) -> bool:
    if said["account_id"] != FIRM_ACCOUNT:
        return said["account_id"] in query.accounts
    named = str(said.get("account", ""))
    return query.firm_acts or named in {f"{said['firm_id']}/{name}" for name in query.accounts}


def _is_placed(query: EntryQuery, entry: Recorded, said: Mapping[str, Any]) -> bool:
    return (
        query.from_ns <= entry.ts_event_ns <= query.to_ns
        and (not query.kinds or entry.event_type in query.kinds)
        and (not query.envs or said["env"] in query.envs)
        and query.chain_id in ("", entry.chain_id)
        and query.run_id in ("", said["run_id"])
    )


def _says(query: EntryQuery, said: Mapping[str, Any]) -> bool:
    return (
        query.rule_id in ("", said["rule_id"], *said.get("binding_rules", ()))
        and query.actor_id in ("", said["actor"]["id"])
        and query.outcome in ("", said.get("outcome"))
        and query.trading_state in ("", said.get("trading_state_after"))
        and query.correlation_id in ("", said["correlation_id"])
        and (not query.named or query.named in (v for k, v in said.items() if k.endswith(_NAMING)))
    )


_NAMING = ("_id", "_hash")  #: how fields are called that hold an id or a hash
