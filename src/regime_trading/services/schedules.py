"""Schedules: a run of each followed basket at every slot of its cadence, once, whatever processes there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from regime_trading.core.errors import RegimeError
from regime_trading.core.instants import instant_text
from regime_trading.core.jobs import BY_SERVICE, Job, JobKind, JobStatus, checked_request, job_id_of
from regime_trading.core.ports import Calendar, Clock
from regime_trading.core.ports import Jobs as JobRows
from regime_trading.core.schedules import due_slots
from regime_trading.core.settings import ScheduleSettings, Settings
from regime_trading.core.trader_profile import TraderProfile

BY = f"{BY_SERVICE}scheduler"
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Scheduler:
    """Fires what is due.

    Where a schedule stands is a row that moves on in the transaction that queues the jobs, so a slot is fired once
    over all processes and restarts.

    Parameters
    ----------
    rows : callable
        Jobs of a firm, by its id.
    calendar : callable
        Exchange calendar, by name.
    clock : Clock
    tell : callable
        Told, in one sentence, of slots that were missed and of a basket that could not be scheduled.
    """

    rows: Callable[[str], JobRows]
    calendar: Callable[[str], Calendar]
    clock: Clock
    tell: Callable[[str], None]

    def tick(self, settings: Settings, profiles: tuple[TraderProfile, ...]) -> tuple[Job, ...]:
        """Queue the run of every slot that is due. Slots that were missed are told of by a job that failed; only the
        latest of them is made up for, where the schedule says so. A basket that is seen for the first time begins with
        its next slot. What goes wrong with one basket stops no other."""
        fired: list[Job] = []
        for firm_id, baskets in followed(profiles).items():
            for basket in baskets:
                if (schedule := settings.schedules.get(basket)) is None:
                    continue
                try:
                    fired += self._fire(settings, schedule, firm_id, basket)
                except RegimeError as error:
                    self.tell(f"schedule of basket {basket} of {firm_id}: {error}")
        return tuple(fired)

    def _fire(
        self, settings: Settings, schedule: ScheduleSettings, firm_id: str, basket: str
    ) -> tuple[Job, ...]:
        rows, now_ns = self.rows(firm_id), self.clock.now_ns()
        until_ns = now_ns - schedule.delay_s * _SECOND_NS
        calendar = self.calendar(settings.sources[schedule.source].calendar)
        closes = calendar.closes_ns(calendar.close_of(0), until_ns)
        last = rows.last_slot(basket)
        slots = due_slots(
            settings.baskets[basket].cadence_sessions, closes, -1 if last is None else last, until_ns
        )
        if not slots:
            return ()
        jobs = () if last is None else _jobs(schedule, firm_id, basket, slots, now_ns)
        if not rows.fire(basket, last, slots[-1], jobs):
            return ()
        for job in jobs:
            if job.error:
                self.tell(f"schedule of basket {basket} of {firm_id}: {job.error}")
        return jobs


def _jobs(
    schedule: ScheduleSettings, firm_id: str, basket: str, slots: tuple[int, ...], now_ns: int
) -> tuple[Job, ...]:
    """Jobs of slots that are due: one that tells of those that were missed, one that runs the latest."""
    is_late = now_ns - slots[-1] > (schedule.delay_s + schedule.late_s) * _SECOND_NS
    runs = not (is_late and schedule.missed == "skip")
    missed = slots[:-1] if runs else slots
    jobs = []
    if missed:
        jobs.append(_missed(_job(schedule, firm_id, basket, missed[-1], now_ns), missed, now_ns))
    if runs:
        jobs.append(_job(schedule, firm_id, basket, slots[-1], now_ns))
    return tuple(jobs)


def _job(schedule: ScheduleSettings, firm_id: str, basket: str, slot_ns: int, now_ns: int) -> Job:
    asked = {"source": schedule.source, "basket": basket, "as_of": instant_text(slot_ns)}
    return Job(
        job_id=job_id_of(firm_id, BY, f"{basket} {slot_ns}"),
        firm_id=firm_id,
        kind=JobKind.RUN,
        request=checked_request(JobKind.RUN, asked, firm_id),
        by=BY,
        created_ns=now_ns,
    )


def _missed(job: Job, slots: tuple[int, ...], now_ns: int) -> Job:
    """The job of a slot that nobody ran, as one that failed."""
    first, last = instant_text(slots[0]), instant_text(slots[-1])
    what = f"the slot {last} was" if len(slots) == 1 else f"{len(slots)} slots from {first} to {last} were"
    error = f"{what} missed and will not be run"
    return replace(job, status=JobStatus.FAILED, finished_ns=now_ns, error=error)


def followed(profiles: tuple[TraderProfile, ...]) -> Mapping[str, tuple[str, ...]]:
    """The baskets that accounts of each firm follow, sorted."""
    found: dict[str, set[str]] = {}
    for profile in profiles:
        found.setdefault(profile.firm_id, set()).update(basket.name for basket in profile.baskets)
    return {firm: tuple(sorted(names)) for firm, names in sorted(found.items())}
