"""Schedules, wired: what the settings make due, by the configuration as it is now; and who hears that a run of one is
done."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database import SqlJobs
from regime_trading.adapters.notifications import DeadManPing, Outbound
from regime_trading.bootstrap import outbound_hosts, schedule_watcher
from regime_trading.core.errors import RegimeError
from regime_trading.core.jobs import Job, JobStatus
from regime_trading.core.settings import Settings
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.services.schedules import BY, Scheduler

EVERY_S = 30.0  #: between two looks


class Configured(Protocol):
    """A configuration that was read."""

    @property
    def settings(self) -> Settings: ...

    @property
    def profiles(self) -> tuple[TraderProfile, ...]: ...


def scheduled(
    engine: Any, configured: Callable[[], Configured], tell: Callable[[str], None]
) -> Callable[[], object]:
    """What a worker calls again and again to fire what is due; ``configured`` is asked each time anew."""
    scheduler = Scheduler(
        rows=lambda firm: SqlJobs(engine, firm_id=firm),
        calendar=cache(ExchangeCalendar),
        clock=SystemClock(),
        tell=tell,
    )
    last = [-EVERY_S]

    def tick() -> None:
        if time.monotonic() - last[0] < EVERY_S:
            return
        last[0] = time.monotonic()
        try:
            found = configured()
        except RegimeError as error:
            tell(f"schedules wait for a configuration that can be read: {error}")
            return
        scheduler.tick(found.settings, found.profiles)

    return tick


def watched(tell: Callable[[str], None]) -> Callable[[Job], object]:
    """What a worker calls with every job that it ended: the watcher of a schedule hears of each run that is done and of
    nothing else, so that silence raises its alarm."""
    outbound = Outbound(outbound_hosts())

    def ended(job: Job) -> None:
        if job.by != BY or job.status is not JobStatus.DONE:
            return
        basket = json.loads(job.request)["basket"]
        url = schedule_watcher(job.firm_id, basket)
        if url is not None and not DeadManPing(url, outbound).send():
            tell(f"the watcher of basket {basket} of {job.firm_id} did not hear that its run is done")

    return ended
