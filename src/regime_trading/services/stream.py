"""One connection of the live channel, without a socket: what it asked for, what it may hear, what is sent next.

A connection keeps no messages. It remembers a number, and reads on from there in the ring that all connections of a
process share (:mod:`regime_trading.services.stream_tail`); so whoever reads slowly costs nothing, and is told so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from pydantic import ValidationError

from regime_trading.core.access import Answer, Denial, Permission, Principal, Target, may, shows_amounts
from regime_trading.core.wire import FRAME_BYTES, VERSION, ClientFrame, Subscribe
from regime_trading.services.stream_tail import Ring, Told, envelope

ROUTE = "WS /ws"  #: as refusals on the channel are recorded
HEARTBEAT_NS = 5_000_000_000
SECOND_NS = 1_000_000_000
REMEMBERED = 4_096  #: answers about types and accounts that a connection keeps
#: What a type of message takes; every other type takes reading the account. None of them asks for a fresh proof of
#: identity, so that an answer holds as long as the principal does.
PERMISSION = {"audit.append": Permission.READ_AUDIT, "config.loaded": Permission.READ_CONFIG}


class Close(IntEnum):
    """Why a connection ends, as WebSocket close codes (RFC 6455, 7.4)."""

    TOO_LARGE = 1009
    TRY_LATER = 1013  #: who is there cannot be told at the moment
    BAD_FRAME = 4400
    SESSION_ENDED = 4401
    NO_ROLE = 4403
    UNKNOWN = 4404  #: to this person there is no such firm or account
    NOTHING_ASKED = 4408
    RIGHTS_CHANGED = 4409  #: come again
    TOO_FAST = 4429


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a connection.

    Parameters
    ----------
    waiting : int
        Ordinary messages that may wait for a reader before a ``resync`` takes their place.
    inbound_per_s : int
    frame_bytes : int
        Of an inbound frame.
    ask_within_ns : int
        Time for the first frame, nanoseconds.
    """

    waiting: int = 1_000
    inbound_per_s: int = 10
    frame_bytes: int = FRAME_BYTES
    ask_within_ns: int = 10 * SECOND_NS


class Connection:
    """State of one connection. Ticks are nanoseconds of a clock that never goes back.

    Parameters
    ----------
    principal : callable
        Who listens, read anew at every use; None once the session has ended.
    tick_ns : int
        When it was opened.
    limits : Limits

    Attributes
    ----------
    closing : Close, optional
        Why it ends.
    denied : Denial, optional
        The refusal that ends it.
    """

    def __init__(
        self, principal: Callable[[], Principal | None], tick_ns: int, limits: Limits | None = None
    ) -> None:
        self._principal, self._opened_ns, self._limits = principal, tick_ns, limits or Limits()
        self._judged: Principal | None = None
        self._shown: dict[tuple[str, str], Callable[[Told], str] | None] = {}
        self._inbound: deque[int] = deque(maxlen=self._limits.inbound_per_s)
        self._asked: Subscribe | None = None
        self._at: int | None = None
        self._n = self._thin_to = self._replay_to = 0
        self._beat_ns: int | None = None
        self.closing: Close | None = None
        self.denied: Denial | None = None

    @property
    def firm_id(self) -> str | None:
        """The firm listened to; None before anything was asked for."""
        return None if self._asked is None else self._asked.firm

    @property
    def awaits(self) -> Subscribe | None:
        """What was asked for and has not begun."""
        return self._asked if self._at is None else None

    def close(self, why: Close) -> None:
        """End it; the first reason counts, and nothing is sent after it."""
        self.closing = self.closing or why

    # --- what the client says ---------------------------------------------------------------------------------

    def receive(self, frame: str | bytes, tick_ns: int) -> None:
        """Take one inbound frame; whatever is wrong with it ends the connection."""
        if len(frame.encode() if isinstance(frame, str) else frame) > self._limits.frame_bytes:
            return self.close(Close.TOO_LARGE)
        full = len(self._inbound) == self._limits.inbound_per_s
        if full and tick_ns - self._inbound[0] < SECOND_NS:
            return self.close(Close.TOO_FAST)
        self._inbound.append(tick_ns)
        if isinstance(frame, bytes):
            return self.close(Close.BAD_FRAME)
        try:
            asked = ClientFrame.validate_json(frame)
        except ValidationError:
            return self.close(Close.BAD_FRAME)
        return self._subscribe(asked)

    def _subscribe(self, asked: Subscribe) -> None:
        principal = self._principal()
        if principal is None:
            return self.close(Close.SESSION_ENDED)
        answers = {one.account: _subscribing(principal, asked.firm, one.account) for one in asked.subscribe}
        refused = {account: one for account, one in answers.items() if one is not Answer.ALLOWED}
        if refused:
            unknown = [account for account, one in refused.items() if one is Answer.UNKNOWN]
            account = (unknown or list(refused))[0]
            self.denied = _denial(asked.firm, account, refused[account])
            return self.close(Close.UNKNOWN if unknown else Close.NO_ROLE)
        self._asked, self._at, self._thin_to = asked, None, 0
        self._shown.clear()
        return None

    # --- what it is told --------------------------------------------------------------------------------------

    def begin(self, ring: Ring, tick_ns: int) -> None:
        """Start where the client asked to, now that the ring reaches as far back as it can."""
        if self._asked is not None and self._at is None:
            after = self._asked.after
            self._at = ring.last if after is None else after
            self._replay_to, self._beat_ns = ring.last, tick_ns - HEARTBEAT_NS

    def tick(self, tick_ns: int) -> None:
        """Look at the time: whoever never asks for anything is not kept."""
        if self._asked is None and tick_ns - self._opened_ns > self._limits.ask_within_ns:
            self.close(Close.NOTHING_ASKED)

    def is_due(self, ring: Ring, tick_ns: int, *, alive: bool = True) -> bool:
        """Whether there is something to send, or it has ended; passes over what is not for this reader."""
        if self.closing is not None or self._at is None:
            return self.closing is not None
        if not self._judge() or not ring.reaches(self._at) or (alive and self._beats(tick_ns)):
            return True
        while self._at < ring.last:
            if self._text(ring[self._at + 1]) is not None:
                return True
            self._at += 1
        return False

    def take(
        self, ring: Ring, tick_ns: int, wall_ns: int, *, most: int = 64, alive: bool = True
    ) -> list[str]:
        """The next frames, at most about ``most``; empty where nothing is due.

        Parameters
        ----------
        ring : Ring
            Of the firm listened to.
        tick_ns, wall_ns : int
            Now, by the clock of :class:`Connection` and in UTC nanoseconds.
        alive : bool
            Whether the store could be read lately: without that no heartbeat is sent.
        """
        if self.closing is not None or self._at is None or not self._judge():
            return []
        frames = []
        if not ring.reaches(self._at):
            self._at = self._replay_to = ring.last
            frames.append(self._marker("resync", wall_ns, '{"reason":"behind"}'))
        elif self._at >= self._replay_to and self._waiting(ring) > self._limits.waiting:
            self._thin_to = ring.last
            frames.append(self._marker("resync", wall_ns, '{"reason":"slow"}'))
        while self._at < ring.last and len(frames) < most:
            told = ring[self._at + 1]
            self._at += 1
            if (told.urgent or told.seq > self._thin_to) and (text := self._text(told)) is not None:
                frames.append(self._framed(text))
        if alive and self._beats(tick_ns):
            self._beat_ns = tick_ns
            frames.append(self._marker("hb", wall_ns, "{}"))
        return frames

    def _beats(self, tick_ns: int) -> bool:
        return self._beat_ns is None or tick_ns - self._beat_ns >= HEARTBEAT_NS

    def _waiting(self, ring: Ring) -> int:
        """Ordinary messages for this reader that have not been sent, nor given up; counted where there may be many."""
        since = max(self._at or 0, self._thin_to)
        if ring.last - since <= self._limits.waiting:
            return 0
        unsent = (ring[seq] for seq in range(since + 1, ring.last + 1))
        return sum(not told.urgent and self._text(told) is not None for told in unsent)

    def _marker(self, kind: str, wall_ns: int, data: str) -> str:
        assert self._asked is not None and self._at is not None
        return self._framed(envelope(self._at, wall_ns, kind, self._asked.firm, "", data))

    def _framed(self, text: str) -> str:
        self._n += 1
        return f'{{"v":{VERSION},"n":{self._n},{text}'

    # --- who may hear what ------------------------------------------------------------------------------------

    def _judge(self) -> bool:
        """Whether the session holds; what was judged of somebody else, or of other rights, is forgotten."""
        principal = self._principal()
        if principal is None:
            self.close(Close.SESSION_ENDED)
        elif principal is not self._judged:
            self._judged = principal
            self._shown.clear()
        return principal is not None

    def _text(self, told: Told) -> str | None:
        """A message as this reader may see it; None where it is not for him."""
        key = (told.type, told.account)
        if key not in self._shown:
            if len(self._shown) >= REMEMBERED:
                self._shown.clear()
            self._shown[key] = self._show(told)
        show = self._shown[key]
        return None if show is None else show(told)

    def _show(self, told: Told) -> Callable[[Told], str] | None:
        assert self._asked is not None and self._judged is not None
        if not _is_asked(self._asked, told) or not _may_hear(self._judged, self._asked.firm, told):
            return None
        return _full if _sees_amounts(self._judged, self._asked.firm, told.account) else _redacted


def _full(told: Told) -> str:
    return told.full


def _redacted(told: Told) -> str:
    return told.redacted


def _is_asked(asked: Subscribe, told: Told) -> bool:
    """What concerns a firm concerns each of its accounts; a ``resync`` concerns everybody."""
    return told.type == "resync" or any(
        one.topic in ("*", told.type) and (not told.account or one.account in ("", told.account))
        for one in asked.subscribe
    )


def _may_hear(principal: Principal, firm_id: str, told: Told) -> bool:
    permission = PERMISSION.get(told.type, Permission.READ)
    if not told.account and permission is Permission.READ:
        return _membership(principal, firm_id) is Answer.ALLOWED
    return may(principal, permission, Target(firm_id, told.account or None), 0) is Answer.ALLOWED


def _sees_amounts(principal: Principal, firm_id: str, account: str) -> bool:
    if account:
        return shows_amounts(principal, account)
    return any(grant.firm_id == firm_id and not grant.redact for grant in principal.grants)


def _denial(firm_id: str, account: str, answer: Answer) -> Denial:
    target = Target(firm_id, account or None)
    if answer is not Answer.UNKNOWN:
        return Denial(Permission.READ, target, answer, ROUTE)
    what, name = ("account", account) if account else ("firm", firm_id)
    return Denial(Permission.READ, target, answer, ROUTE, what, name)


def _subscribing(principal: Principal, firm_id: str, account: str) -> Answer:
    return (
        may(principal, Permission.READ, Target(firm_id, account), 0)
        if account
        else _membership(principal, firm_id)
    )


def _membership(principal: Principal, firm_id: str) -> Answer:
    """Whether somebody may read anything of a firm."""
    targets = [
        Target(firm_id, account)
        for grant in principal.grants
        if grant.firm_id == firm_id
        for account in (sorted(grant.accounts) if grant.accounts is not None else (None,))
    ]
    answers = [may(principal, Permission.READ, target, 0) for target in targets]
    return Answer.ALLOWED if Answer.ALLOWED in answers else answers[0] if answers else Answer.UNKNOWN
