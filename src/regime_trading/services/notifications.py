"""Telling people: every message that is worth it goes out through each channel of its firm, at least once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from regime_trading.core.notifications import Notice, notice_of
from regime_trading.core.ports import Channel, Clock, MessageReader

_SECOND_NS = 1_000_000_000
WAITS_S = (2, 8, 30, 120, 600)  #: after each try of a notice that failed; the last one again and again
GIVE_UP_S = 86_400  #: a notice that could not be sent for a day is put behind, and said so


@dataclass(slots=True)
class _Trouble:
    """A channel that does not take what it is given."""

    seq: int
    tries: int
    next_ns: int


@dataclass(frozen=True, slots=True)
class Notifier:
    """Sends what each firm's channels have not sent yet. A channel that fails holds up no other.

    Parameters
    ----------
    channels : mapping
        Channels of each firm, by its id.
    reader : callable
        The lasting reader of a firm's channel, by firm and number of the channel.
    clock : Clock
    tell : callable
        Told of what goes wrong, in one sentence without secrets.
    """

    channels: Mapping[str, Sequence[Channel]]
    reader: Callable[[str, int], MessageReader]
    clock: Clock
    tell: Callable[[str], None]
    _trouble: dict[tuple[str, int], _Trouble] = field(default_factory=dict)

    def tick(self) -> int:
        """Send what waits, as far as channels take it; how many notices went out."""
        return sum(
            self._serve(firm_id, number, channel)
            for firm_id, channels in self.channels.items()
            for number, channel in enumerate(channels, 1)
        )

    def _serve(self, firm_id: str, number: int, channel: Channel) -> int:
        trouble = self._trouble.get((firm_id, number))
        if trouble is not None and self.clock.now_ns() < trouble.next_ns:
            return 0
        reader = self.reader(firm_id, number)
        messages, dropped = reader.next()
        if dropped:
            self.tell(
                f"{channel.name} of {firm_id}: {dropped} messages were dropped before they could be read"
            )
        sent, behind = 0, None
        for message in messages:
            notice = notice_of(message)
            if notice is not None and not self._sent(channel, notice):
                if not self._given_up(firm_id, number, channel, notice, message.seq, message.ts_ns):
                    break
            else:
                sent += notice is not None
                self._trouble.pop((firm_id, number), None)
            behind = message.seq
            if notice is not None:
                reader.advance(message.seq)
        if behind is not None:
            reader.advance(behind)
        return sent

    def _sent(self, channel: Channel, notice: Notice) -> bool:
        try:
            return channel.send(notice)
        except Exception as error:
            self.tell(f"{channel.name} of {notice.firm_id}: {type(error).__name__}")
            return False

    def _given_up(
        self, firm_id: str, number: int, channel: Channel, notice: Notice, seq: int, ts_ns: int
    ) -> bool:
        """Whether to go on without a notice that was not taken; else when it is tried again."""
        now_ns, key = self.clock.now_ns(), (firm_id, number)
        if now_ns - ts_ns > GIVE_UP_S * _SECOND_NS:
            self.tell(
                f"{channel.name} of {firm_id}: notice {notice.notice_id} was not taken for a day, and is left out"
            )
            self._trouble.pop(key, None)
            return True
        before = self._trouble.get(key)
        tries = before.tries + 1 if before is not None and before.seq == seq else 1
        wait = WAITS_S[min(tries, len(WAITS_S)) - 1]
        self._trouble[key] = _Trouble(seq, tries, now_ns + wait * _SECOND_NS)
        self.tell(f"{channel.name} of {firm_id}: notice {notice.notice_id} was not taken; again in {wait} s")
        return False
