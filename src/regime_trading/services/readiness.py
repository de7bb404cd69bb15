"""Whether this installation may be given work: a list of checks, each of which fails unless it holds.

A check that cannot be made has failed. One that is not needed makes the installation degraded, not unready. What a
check needs of the world is asked of :class:`Probes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from regime_trading.core.actors import masked_text

_SECOND_NS = 1_000_000_000


class Probes(Protocol):
    """What checks ask of the world. One that cannot answer raises."""

    def write_store(self) -> None:
        """Write a row of the store and take it back."""
        ...

    def revisions(self) -> tuple[str, str]:
        """Revision of the schema that is there, and the newest this program knows."""
        ...

    def write_artifacts(self) -> None:
        """Write a file into the artifacts folder durably, and remove it."""
        ...

    def last_entry_ns(self) -> int | None:
        """Time of the newest entry outside dry runs, UTC nanoseconds; None where there is none."""
        ...

    def store_clock_ns(self) -> int | None:
        """Time of the store's own clock, UTC nanoseconds; None where it has none but this machine's."""
        ...

    def witness_problem(self) -> str:
        """What is wrong with the witnesses of the record; empty where each of them can be reached."""
        ...

    def oldest_unread_ns(self) -> int | None:
        """When the oldest message was written that the live channel has not read; None where it has read all."""
        ...

    def worker_seen_ns(self) -> int | None:
        """When any worker was last alive; None where there was none."""
        ...

    def config_problems(self) -> tuple[str, ...]:
        """What is wrong with the configuration, the first first."""
        ...

    def free_bytes(self) -> int:
        """Bytes that can still be written where the artifacts are."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on a check fails."""

    clock_s: float = 5.0
    message_lag_s: float = 5.0
    worker_age_s: float = 15.0
    free_bytes: int = 512 * 1024 * 1024


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Check:
    """Answer of one check; ``detail`` is for the operator, and names nobody. Where one that is not ``needed`` fails,
    work goes on without what it is about."""

    name: str
    ok: bool
    detail: str
    needed: bool = True


Found = tuple[bool, str]
#: Checks by name, in the order in which they are told.
CHECKS: Mapping[str, Callable[[Probes, int, Limits], Found]] = {
    "store": lambda p, _, __: _done(p.write_store, "a row can be written"),
    "migrations": lambda p, _, __: _migrations(*p.revisions()),
    "artifacts": lambda p, _, __: _done(p.write_artifacts, "a file can be written"),
    "clock": lambda p, now, limits: _clock(p.last_entry_ns(), p.store_clock_ns(), now, limits.clock_s),
    "messages": lambda p, now, limits: _lag(p.oldest_unread_ns(), now, limits.message_lag_s),
    "worker": lambda p, now, limits: _worker(p.worker_seen_ns(), now, limits.worker_age_s),
    "config": lambda p, _, __: _config(p.config_problems()),
    "disk": lambda p, _, limits: _disk(p.free_bytes(), limits.free_bytes),
    "witness": lambda p, _, __: _witness(p.witness_problem()),
}
SPARED = frozenset({"witness"})  #: checks that are not needed anywhere


def readiness(
    probes: Probes,
    now_ns: int,
    limits: Limits = LIMITS,
    *,
    without: frozenset[str] = frozenset(),
    spared: frozenset[str] = SPARED,
) -> tuple[Check, ...]:
    """Every check but those ``without`` (a command with no live channel); those ``spared`` are not needed (a server
    that leaves jobs to others)."""
    return tuple(
        replace(_made(name, probes, now_ns, limits), needed=name not in spared)
        for name in CHECKS
        if name not in without
    )


def answer(checks: tuple[Check, ...]) -> dict[str, Any]:
    """``{ok, degraded, checks}`` as plain values; no check at all is not ready."""
    return {
        "ok": is_ready(checks),
        "degraded": not all(one.ok for one in checks),
        "checks": [asdict(one) for one in checks],
    }


def is_ready(checks: tuple[Check, ...]) -> bool:
    """Whether every check that is needed holds."""
    return bool(checks) and all(one.ok or not one.needed for one in checks)


def _made(name: str, probes: Probes, now_ns: int, limits: Limits) -> Check:
    try:
        ok, detail = CHECKS[name](probes, now_ns, limits)
    except Exception as error:
        ok, detail = False, f"{type(error).__name__}: {error}"
    return Check(name, ok, masked_text(detail)[0])


def _done(act: Callable[[], None], detail: str) -> Found:
    act()
    return True, detail


def _migrations(found: str, newest: str) -> Found:
    return found == newest != "", f"revision {found or 'none'} of {newest or 'none'}"


def _clock(last_ns: int | None, store_ns: int | None, now_ns: int, most_s: float) -> Found:
    off = 0.0 if store_ns is None else (now_ns - store_ns) / _SECOND_NS
    if abs(off) > most_s:
        return False, f"{off:+.1f} s from the clock of the store"
    if last_ns is None:
        return True, "no entry yet"
    behind = (last_ns - now_ns) / _SECOND_NS
    return behind <= most_s, f"{max(0.0, behind):.1f} s behind the last entry"


def _lag(oldest_ns: int | None, now_ns: int, most_s: float) -> Found:
    lag = 0.0 if oldest_ns is None else (now_ns - oldest_ns) / _SECOND_NS
    return lag <= most_s, f"{max(0.0, lag):.1f} s behind"


def _worker(seen_ns: int | None, now_ns: int, most_s: float) -> Found:
    if seen_ns is None:
        return False, "no worker was ever seen"
    age = (now_ns - seen_ns) / _SECOND_NS
    return -most_s <= age <= most_s, f"last seen {age:.1f} s ago"


def _config(problems: tuple[str, ...]) -> Found:
    return not problems, problems[0] if problems else "accepted"


def _witness(problem: str) -> Found:
    return not problem, problem or "reached"


def _disk(free: int, least: int) -> Found:
    return free >= least, f"{free // (1024 * 1024)} MiB free"
