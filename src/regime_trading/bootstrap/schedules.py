"""Schedules, wired: what the baskets' cadences make due, by the configuration as it is now."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database import SqlJobs
from regime_trading.bootstrap import load_valid
from regime_trading.core.errors import BadInput, RegimeError
from regime_trading.services.schedules import Scheduler

DELAY_S = 900  #: prices of a session are taken to be there a quarter of an hour after its close
EVERY_S = 30.0  #: between two looks


def scheduled(engine: Any, config: Path, source: str, tell: Callable[[str], None]) -> Callable[[], object]:
    """What a worker calls again and again to fire what is due on a data source.

    Raises
    ------
    BadInput
        No such source, or a configuration that cannot be read at all.
    """
    if source not in (known := load_valid(config).settings.sources):
        raise BadInput(expected=f"one of {', '.join(sorted(known))}", found=source, where="schedule")
    scheduler = Scheduler(
        rows=lambda firm: SqlJobs(engine, firm_id=firm),
        calendar=cache(ExchangeCalendar),
        clock=SystemClock(),
        source=source,
        delay_s=DELAY_S,
        tell=tell,
    )
    last = [-EVERY_S]

    def tick() -> None:
        if time.monotonic() - last[0] < EVERY_S:
            return
        last[0] = time.monotonic()
        try:
            found = load_valid(config)
        except RegimeError as error:
            tell(f"schedules wait for a configuration that can be read: {error}")
            return
        scheduler.tick(found.settings, found.profiles)

    return tick
