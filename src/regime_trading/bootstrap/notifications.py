"""Notifications and the dead-man ping, wired: channels by the environment, one process of several that sends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database.message_readers import SqlMessageReader, only_one
from regime_trading.adapters.notifications import AppriseChannel, DeadManPing, Outbound
from regime_trading.bootstrap import dead_man, notification_urls, outbound_hosts
from regime_trading.core.actors import masked_text
from regime_trading.core.ports import Channel
from regime_trading.services.notifications import Notifier

POLL_S = 1.0


def channels_of(firms: Iterable[str]) -> dict[str, tuple[Channel, ...]]:
    """Channels of each firm that has any.

    Raises
    ------
    BadInput
        A channel that cannot be used, by its number and kind.
    """
    outbound = Outbound(outbound_hosts())
    found: dict[str, tuple[Channel, ...]] = {}
    for firm in firms:
        urls = notification_urls(firm)
        if urls:
            found[firm] = tuple(AppriseChannel(url, n, outbound) for n, url in enumerate(urls, 1))
    return found


class NotificationThread:
    """Sends notices and pings until it is stopped. Of several processes over one database one sends at a time.

    Parameters
    ----------
    engine : Engine
    firms : iterable of str
    tell : callable
        Told of what goes wrong.
    alive : callable
        Whether all is well here; only then is the watcher outside told so.
    """

    def __init__(
        self,
        engine: Any,
        firms: Iterable[str],
        tell: Callable[[str], None],
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self._engine, self._tell, self._alive = engine, tell, alive
        self._notifier = Notifier(
            channels=channels_of(firms),
            reader=lambda firm, number: SqlMessageReader(engine, firm_id=firm, name=f"notify:{number}"),
            clock=SystemClock(),
            tell=tell,
        )
        url, self._every_s = dead_man()
        self._ping = None if url is None else DeadManPing(url, Outbound(outbound_hosts()))
        self._pinged = -self._every_s
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="notifications", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, when what is being sent has been."""
        self._ending.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ending.is_set():
            try:
                with only_one(self._engine, "notify") as mine:
                    while mine and not self._ending.is_set():
                        self._notifier.tick()
                        self._watch()
                        self._ending.wait(POLL_S)
            except Exception as error:
                self._tell(f"notifications: {masked_text(str(error))[0]}")
            self._watch()
            self._ending.wait(POLL_S)

    def _watch(self) -> None:
        if self._ping is None or time.monotonic() - self._pinged < self._every_s:
            return
        self._pinged = time.monotonic()
        if not self._alive():
            self._tell("the watcher outside is not told that all is well, because it is not")
        elif not self._ping.send():
            self._tell("the watcher outside did not hear that all is well")
