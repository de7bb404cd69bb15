"""Schedules: a run of each followed basket at every slot of its cadence, once, whatever processes there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from regime_trading.core.errors import RegimeError
from regime_trading.core.instants import instant_text
from regime_trading.core.jobs import BY_SERVICE, Job, JobKind, checked_request, job_id_of
from regime_trading.core.ports import Calendar, Clock
from regime_trading.core.ports import Jobs as JobRows
from regime_trading.core.schedules import due_slots
from regime_trading.core.settings import Settings
from regime_trading.core.trader_profile import TraderProfile

BY = f"{BY_SERVICE}scheduler"
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Scheduler:
    """Fires what is due.

    Parameters
    ----------
    rows : callable
        Jobs of a firm, by its id.
    calendar : callable
        Exchange calendar, by name.
    clock : Clock
    source : str
        Data source of the runs; its calendar is the baskets'.
    delay_s : int
        How long after a close its prices are taken to be there.
    tell : callable
        Told, in one sentence, of a basket that could not be scheduled.
    """

    rows: Callable[[str], JobRows]
    calendar: Callable[[str], Calendar]
    clock: Clock
    source: str
    delay_s: int
    tell: Callable[[str], None]

    def tick(self, settings: Settings, profiles: tuple[TraderProfile, ...]) -> tuple[Job, ...]:
        """Queue the run of every slot that is due; of several that were missed only the latest. A basket that is seen
        for the first time begins with its next slot. What goes wrong with one basket stops no other."""
        fired = []
        for firm_id, baskets in followed(profiles).items():
            for basket in baskets:
                try:
                    job = self._fire(settings, firm_id, basket)
                except RegimeError as error:
                    self.tell(f"schedule of basket {basket} of {firm_id}: {error}")
                else:
                    fired += [] if job is None else [job]
        return tuple(fired)

    def _fire(self, settings: Settings, firm_id: str, basket: str) -> Job | None:
        rows = self.rows(firm_id)
        now_ns = self.clock.now_ns()
        calendar = self.calendar(settings.sources[self.source].calendar)
        until_ns = now_ns - self.delay_s * _SECOND_NS
        closes = calendar.closes_ns(calendar.close_of(0), until_ns)
        last = rows.last_slot(basket)
        slots = due_slots(
            settings.baskets[basket].cadence_sessions, closes, -1 if last is None else last, until_ns
        )
        if not slots:
            return None
        first_time = last is None
        return rows.fire(
            basket, slots[-1], None if first_time else self._job(firm_id, basket, slots[-1], now_ns)
        )

    def _job(self, firm_id: str, basket: str, slot_ns: int, now_ns: int) -> Job:
        asked = {"source": self.source, "basket": basket, "as_of": instant_text(slot_ns)}
        return Job(
            job_id=job_id_of(firm_id, BY, f"{basket} {slot_ns}"),
            firm_id=firm_id,
            kind=JobKind.RUN,
            request=checked_request(JobKind.RUN, asked, firm_id),
            by=BY,
            created_ns=now_ns,
        )


def followed(profiles: tuple[TraderProfile, ...]) -> Mapping[str, tuple[str, ...]]:
    """The baskets that accounts of each firm follow, sorted."""
    found: dict[str, set[str]] = {}
    for profile in profiles:
        found.setdefault(profile.firm_id, set()).update(basket.name for basket in profile.baskets)
    return {firm: tuple(sorted(names)) for firm, names in sorted(found.items())}
