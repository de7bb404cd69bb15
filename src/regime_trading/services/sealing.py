"""Write-ahead entries into the sealed record: in batches, beside the writers, and only then dropped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from regime_trading.core.audit import Backlog, ChainEntry, SealedPart
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.ports import AuditLog, RecordSealer

PAGE_ROWS = 10_000  #: entries that are held in memory at once
HOUR_NS = 3_600_000_000_000
OnSealed = Callable[[str, tuple[SealedPart, ...]], None]


@dataclass(frozen=True, slots=True)
class SealPolicy:
    """When a firm's entries are sealed: as soon as so many wait, or the oldest is so old."""

    rows: int = 1_000
    age_ns: int = HOUR_NS


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one sealing of a chain did: entries that are now in the sealed record only or also, and all parts of the
    runs they belong to."""

    chain_id: str
    entries: int
    parts: tuple[SealedPart, ...]


class Sealing:
    """Seals and compacts the chains of shadow, live and administration. Safe beside writers and other sealers.

    Parameters
    ----------
    audit : callable
        Write-ahead record of a firm, by its id.
    sealer : RecordSealer
    policy : SealPolicy
    on_sealed : callable, optional
        Called with a firm and its parts after each sealing: the place for a checkpoint.
    """

    def __init__(
        self,
        audit: Callable[[str], AuditLog],
        sealer: RecordSealer,
        *,
        policy: SealPolicy | None = None,
        on_sealed: OnSealed | None = None,
    ) -> None:
        self._audit, self._sealer = audit, sealer
        self._policy, self._on_sealed = policy or SealPolicy(), on_sealed

    def seal_due(self, firms: Iterable[str], now_ns: int) -> tuple[Sealed, ...]:
        """Seal the firms whose entries are due at ``now_ns`` (UTC nanoseconds, on the clock of the entries)."""
        return tuple(one for firm in firms for one in self._seal_firm(firm, now_ns))

    def may_be_due(self, passed_ns: int, rows: int) -> bool:
        """Whether it is time to ask the store, so long after it was asked and after so many entries at least."""
        return rows >= self._policy.rows or passed_ns >= self._policy.age_ns // 4

    def seal_all(self, firms: Iterable[str]) -> tuple[Sealed, ...]:
        """Seal whatever waits, due or not."""
        return tuple(one for firm in firms for one in self._seal_firm(firm, None))

    def _seal_firm(self, firm: str, now_ns: int | None) -> tuple[Sealed, ...]:
        audit = self._audit(firm)
        if now_ns is not None and not self._due(audit.backlog(), now_ns):
            return ()
        with audit.sealing() as mine:
            if not mine:
                return ()
            done = tuple(self._seal_chain(audit, one) for one in audit.backlog())
        if done and self._on_sealed is not None:
            self._on_sealed(firm, tuple(part for one in done for part in one.parts))
        return done

    def _due(self, waiting: Sequence[Backlog], now_ns: int) -> bool:
        rows = sum(one.rows for one in waiting)
        old = any(now_ns - one.oldest_ns >= self._policy.age_ns for one in waiting)
        return rows >= self._policy.rows or old

    def _seal_chain(self, audit: AuditLog, waiting: Backlog) -> Sealed:
        """Seal run by run, read back, compact, and only then drop: whatever interrupts it, the entries still wait, and
        the next call finishes what was begun, an unfinished merge included."""
        chain, entries = waiting.chain_id, 0
        _, firm, account = chain.split("/")
        head = audit.sealed(chain)
        (kept,) = audit.entries(chain, head.dropped_seq, limit=1)
        after, run = head.seq, kept.event.run_id
        parts, growing = list[SealedPart](), tuple[SealedPart, ...]()
        while page := audit.entries(chain, after, limit=PAGE_ROWS):
            for run_id, group in groupby(page, key=lambda entry: entry.event.run_id):
                if run_id != run:
                    parts += self._sealer.compact(run, firm, account, closed=True)
                    run = run_id
                last = self._seal_group(chain, run_id, list(group))
                growing = self._sealer.compact(run, firm, account, closed=False)
                audit.drop_sealed(chain, last.event.seq, last.entry_hash)
            entries, after = entries + len(page), page[-1].event.seq
        return Sealed(chain, entries, (*parts, *growing))

    def _seal_group(self, chain: str, run_id: str, group: list[ChainEntry]) -> ChainEntry:
        """Seal consecutive entries of one run and read them back; the last of them."""
        first, last = group[0], group[-1]
        self._sealer.seal_audit(chain, first.prev_hash, [entry.event for entry in group])
        back = self._sealer.entries(
            run_id, first.event.firm_id, first.event.account_id, after_seq=first.event.seq - 1
        )
        if list(back)[: len(group)] != group:
            raise CheckFailed(
                f"{chain}: entries {first.event.seq} to {last.event.seq} read back differently from the sealed "
                "record; none was dropped"
            )
        return last


class BackgroundSealing:
    """Sealing in a thread of its own, one at a time, so that no decision waits for it.

    Parameters
    ----------
    sealing : Sealing
    alarm : callable
        Told in one sentence what went wrong; entries that could not be sealed stay where they are.
    """

    def __init__(self, sealing: Sealing, alarm: Callable[[str], None]) -> None:
        self._sealing, self._alarm = sealing, alarm
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._asked: dict[str, tuple[int, int]] = {}  # by firm: when the store was asked, decisions since
        self._wanted: set[str] = set()

    def nudge(self, firms: Iterable[str], now_ns: int, decisions: int = 1) -> None:
        """Seal what is due at ``now_ns`` after so many ``decisions``, unless a sealing is on its way.

        The store is asked at the first call, and again after as many decisions as the policy has rows, or a quarter of
        its age.
        """
        with self._lock:
            for firm in firms:
                seen = self._asked.get(firm)
                self._asked[firm] = (now_ns, decisions) if seen is None else (seen[0], seen[1] + decisions)
                if seen is None or self._sealing.may_be_due(now_ns - seen[0], seen[1] + decisions):
                    self._wanted.add(firm)
            if not self._wanted or (self._thread is not None and self._thread.is_alive()):
                return
            wanted = sorted(self._wanted)
            self._wanted.clear()
            self._asked.update(dict.fromkeys(wanted, (now_ns, 0)))
            self._thread = threading.Thread(target=self._run, args=(wanted, now_ns), name="sealing")
            self._thread.start()

    def close(self) -> None:
        """Wait for a sealing that is on its way."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self, firms: list[str], now_ns: int) -> None:
        try:
            self._sealing.seal_due(firms, now_ns)
        except Exception as error:
            self._alarm(f"sealing failed, the entries stay in the write-ahead store: {error}")


def whole_chain(audit: AuditLog, sealer: RecordSealer, chain: str) -> Iterator[ChainEntry]:
    """Every entry of a chain of shadow, live or administration once and in order: sealed ones, then those that wait."""
    env, firm, account = chain.split("/")
    seen, told = 0, -1
    while True:
        for run_id in sealer.runs(firm, account, env):
            for entry in sealer.entries(run_id, firm, account, after_seq=seen):
                seen = entry.event.seq
                yield entry
        try:
            waiting = audit.entries(chain, seen)
        except BadInput:
            if seen == told:
                raise
            told = seen
            continue  # sealed while we read
        yield from waiting
        return
