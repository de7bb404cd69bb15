"""One entry as it was recorded, and which entries a reader wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from regime_trading.core.instants import EARLIEST_NS, LATEST_NS

WRITE_AHEAD = "write-ahead rows"  #: where an entry lies that is not sealed yet


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries. Everything of a firm where nothing is said.

    Parameters
    ----------
    kinds : tuple of str
        Event types; empty = all.
    accounts : tuple of str
        Account ids, without the firm; empty = all.
    run_id : str
        One run, or one day of shadow, live and the acts of a firm; empty = all.
    chain_id : str
        One chain; empty = all.
    from_ns, to_ns : int
        Time of the event, UTC nanoseconds, both included.
    mentions : str
        Text that the body contains, such as an id; empty = anything.
    """

    kinds: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    run_id: str = ""
    chain_id: str = ""
    from_ns: int = EARLIEST_NS
    to_ns: int = LATEST_NS
    mentions: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One entry with its hashes, and where it lies: a file of the artifacts folder, or the write-ahead rows."""

    chain_id: str
    seq: int
    ts_event_ns: int
    event_type: str
    rule_id: str
    body: bytes
    prev_hash: str
    entry_hash: str
    place: str

    def fields(self) -> dict[str, Any]:
        """Header and payload as plain values."""
        found: dict[str, Any] = orjson.loads(self.body)
        return found

    @property
    def account(self) -> str:
        """``firm/account``."""
        return "/".join(self.chain_id.split("/")[-2:])

    @property
    def env(self) -> str:
        """``dry_run``, ``shadow``, ``live`` or ``admin``."""
        return self.chain_id.split("/", 1)[0]
