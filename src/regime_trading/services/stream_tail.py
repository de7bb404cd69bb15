"""The tail of the live channel: one reader per process follows the messages of every firm that somebody listens to.

Polling the numbers of the database is the truth, whichever process wrote; so all processes on one database tell the
same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from regime_trading.core.messages import URGENT, Numbered, redacted
from regime_trading.core.ports import Messages

RING = 10_000  #: messages of a firm that a process keeps at hand, for resuming
PAGE = 1_000
LOOK_S = 0.025  #: between two looks: a breach is on a screen within 50 ms of being written, whichever process wrote it


class Told:
    """One message, put into text once for everybody who hears it."""

    def __init__(self, row: Numbered) -> None:
        self.seq, self.type, self.account = row.seq, row.type, row.account
        self.urgent = row.type in URGENT
        self._row = row

    @cached_property
    def full(self) -> str:
        """The envelope from ``seq`` on, with amounts."""
        return self._text(self._row.body)

    @cached_property
    def redacted(self) -> str:
        """The envelope from ``seq`` on, without amounts."""
        return self._text(redacted(self._row.body))

    def _text(self, body: str) -> str:
        row = self._row
        return envelope(row.seq, row.ts_ns, row.type, row.firm_id, row.account, body)


def envelope(seq: int, ts_ns: int, kind: str, firm_id: str, account: str, data: str) -> str:
    """A frame but for its beginning, which counts the frames of a connection; ``data`` is JSON, the rest are names."""
    return (
        f'"seq":{seq},"ts":"{ts_ns}","type":"{kind}","firm":"{firm_id}","account":"{account}","data":{data}}}'
    )


class Ring:
    """The last messages of a firm, without holes.

    Parameters
    ----------
    firm_id : str
    first : int
        Number of the first message in it, or that will be.
    told : list of Told
    """

    def __init__(self, firm_id: str, first: int, told: list[Told] | None = None) -> None:
        self.firm_id, self.first = firm_id, first
        self._told: list[Told] = [] if told is None else told

    @property
    def last(self) -> int:
        """Number of the last message that came, whether it is still in it or not."""
        return self.first + len(self._told) - 1

    def reaches(self, seq: int) -> bool:
        """Whether everything after ``seq`` is in it."""
        return self.first - 1 <= seq <= self.last

    def __getitem__(self, seq: int) -> Told:
        return self._told[seq - self.first]

    def add(self, told: Sequence[Told]) -> None:
        """Append what follows, and forget the oldest; a few more are kept so that this is seldom work."""
        self._told.extend(told)
        if (over := len(self._told) - RING) > RING // 10:
            del self._told[:over]
            self.first += over


@dataclass(frozen=True, slots=True)
class Fresh:
    """What one look found: rings that begin anew, and what follows in those there are."""

    rings: dict[str, Ring] = field(default_factory=dict)
    more: dict[str, list[Told]] = field(default_factory=dict)


class Tail:
    """Follows firms. :meth:`read` may run in another thread, one at a time; :meth:`apply` and everything else where the
    connections are.

    Parameters
    ----------
    heads : callable
        The last number given out in each of some firms; one query.
    messages : callable
        Messages of a firm, by its id.
    """

    def __init__(
        self,
        heads: Callable[[Sequence[str]], Mapping[str, int]],
        messages: Callable[[str], Messages],
    ) -> None:
        self._heads, self._messages = heads, messages
        self._rings: dict[str, Ring] = {}

    def ring(self, firm_id: str) -> Ring | None:
        """The ring of a firm; None before the first look at it."""
        return self._rings.get(firm_id)

    def read_to(self) -> dict[str, int]:
        """The last message read of each firm that is followed; from any thread."""
        return {firm: ring.last for firm, ring in self._rings.items()}

    def read(self, wanted: Mapping[str, int | None]) -> Fresh:
        """Look once at the firms ``wanted``, each with the smallest number that somebody resumes after (None = nobody).

        Raises
        ------
        StoreDown
            The database cannot be read; nothing changed.
        """
        fresh = Fresh()
        heads = self._heads(sorted(wanted))
        for firm_id, after in wanted.items():
            head, ring = heads.get(firm_id, 0), self._rings.get(firm_id)
            if ring is None or head < ring.last or head - ring.last > RING or _is_before(after, ring):
                fresh.rings[firm_id] = self._begin(firm_id, head, after)
            elif head > ring.last:
                told = self._since(firm_id, ring.last)
                if told and told[0].seq == ring.last + 1:
                    fresh.more[firm_id] = told
                elif told:  # dropped before they were read
                    fresh.rings[firm_id] = Ring(firm_id, told[0].seq, told)
        return fresh

    def apply(self, fresh: Fresh, wanted: Mapping[str, int | None]) -> frozenset[str]:
        """Take in what was read, and forget firms that nobody wants; the firms in which something came."""
        self._rings = {firm: ring for firm, ring in self._rings.items() if firm in wanted} | fresh.rings
        for firm_id, told in fresh.more.items():
            self._rings[firm_id].add(told)
        return frozenset(fresh.rings) | frozenset(fresh.more)

    def _begin(self, firm_id: str, head: int, after: int | None) -> Ring:
        start = head if after is None or after > head else max(after, head - RING)
        told = self._since(firm_id, start)
        return Ring(firm_id, told[0].seq if told else start + 1, told)

    def _since(self, firm_id: str, seq: int) -> list[Told]:
        found: list[Told] = []
        messages = self._messages(firm_id)
        while page := messages.after(seq, PAGE):
            found.extend(map(Told, page))
            seq = page[-1].seq
            if len(page) < PAGE:
                break
        return found


def _is_before(after: int | None, ring: Ring) -> bool:
    """Whether somebody wants more than the ring has, and the ring may still have it."""
    return after is not None and after < ring.first - 1 and ring.last - ring.first + 1 < RING
