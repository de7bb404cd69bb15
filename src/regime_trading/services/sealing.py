"""Write-ahead entries into the sealed record: in batches, beside the writers, and only then dropped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

from regime_trading.core.audit import Backlog, ChainEntry, SealedPart, is_gate_run
from regime_trading.core.checkpoint import SealedEntries
from regime_trading.core.errors import CheckFailed
from regime_trading.core.ports import AuditLog, RecordSealer, RLLog
from regime_trading.core.schemas import RLBlock
from regime_trading.engine.rl_body import RECORDS, blocks_of

PAGE_ROWS = 10_000  #: entries that are held in memory at once
RL_PAGE_ROWS = 1_000  #: decisions whose RL rows are
MINUTE_NS = 60_000_000_000


@dataclass(frozen=True, slots=True)
class SealPolicy:
    """When a firm's entries are sealed: as soon as so many wait, or the oldest is so old."""

    rows: int = 1_000
    age_ns: int = MINUTE_NS


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one sealing of a chain did: entries that are now in the sealed record, and all parts of the runs they belong
    to."""

    entries: SealedEntries
    parts: tuple[SealedPart, ...]

    @property
    def rows(self) -> int:
        """Number of entries."""
        return len(self.entries.entry_hashes)


OnSealed = Callable[[str, tuple[SealedEntries, ...]], None]


class Sealing:
    """Seals and compacts chains and RL rows beside writers and other sealers.

    Chains of shadow, live, administration and paced runs; RL rows after the entries of their decisions. A dry run of
    the gate is one decision with a chain of its own, whose entries stay in the write-ahead store: its RL rows alone are
    sealed.

    Parameters
    ----------
    audit : callable
        Write-ahead record of a firm, by its id.
    sealer : RecordSealer
    policy : SealPolicy
    on_sealed : callable, optional
        Called with a firm and what is now sealed of it after each sealing: the place for a checkpoint.
    rl : callable, optional
        RL rows of a firm; without them no paced run is sealed either.
    on_rows : callable, optional
        Called with a firm and the number of decisions whose RL rows are now sealed, after each sealing of some.
    """

    def __init__(
        self,
        audit: Callable[[str], AuditLog],
        sealer: RecordSealer,
        *,
        policy: SealPolicy | None = None,
        on_sealed: OnSealed | None = None,
        rl: Callable[[str], RLLog] | None = None,
        on_rows: Callable[[str, int], None] = lambda *_: None,
    ) -> None:
        self._audit, self._sealer, self._rl, self._on_rows = audit, sealer, rl, on_rows
        self.policy, self._on_sealed = policy or SealPolicy(), on_sealed

    def seal_due(self, firms: Iterable[str], now_ns: int) -> tuple[Sealed, ...]:
        """Seal the firms whose entries are due at ``now_ns`` (UTC nanoseconds, on the clock of the entries)."""
        return tuple(one for firm in firms for one in self._seal_firm(firm, now_ns))

    def seal_all(self, firms: Iterable[str]) -> tuple[Sealed, ...]:
        """Seal whatever waits, due or not."""
        return tuple(one for firm in firms for one in self._seal_firm(firm, None))

    def _seal_firm(self, firm: str, now_ns: int | None) -> tuple[Sealed, ...]:
        audit, rl = self._audit(firm), None if self._rl is None else self._rl(firm)
        paced = () if rl is None else rl.dry_runs()
        if now_ns is not None:
            waiting = (*audit.backlog(paced), *(() if rl is None else rl.backlog()))
            if not self._due(waiting, now_ns):
                return ()
        with audit.sealing() as mine:
            if not mine:
                return ()
            done = tuple(self._seal_chain(audit, one) for one in audit.backlog(paced))
        if done and self._on_sealed is not None:
            self._on_sealed(firm, tuple(one.entries for one in done))
        if rl is not None and (decisions := self._seal_rl(audit, rl)):
            self._on_rows(firm, decisions)
        return done

    def _seal_rl(self, audit: AuditLog, log: RLLog) -> int:
        """Seal RL rows, compact, and only then forget them: whatever interrupts it, they still wait, and what is sealed
        already is compared and not sealed again. How many decisions they are of."""
        done = 0
        with audit.sealing() as mine:
            while mine and (page := log.sealable(RL_PAGE_ROWS)):
                blocks = blocks_of(page)
                for block in blocks:
                    self._sealer.seal_rl(block)
                self._compact_rl(blocks)
                log.drop_sealed(page)
                done += len(page)
        return done

    def _compact_rl(self, blocks: Sequence[RLBlock]) -> None:
        """Rows of a trading day are complete with the first decision of a later one: it leads there from the last."""
        latest: dict[tuple[str, str, str], str] = {}
        for block in blocks:
            account = (block.firm_id, block.account_id, block.env)
            latest[account] = max(block.run_id, latest.get(account, ""))
        for run_id, *account in sorted({(b.run_id, b.firm_id, b.account_id, b.env) for b in blocks}):
            firm, name, env = account
            closed = is_gate_run(env, run_id) and run_id < latest[firm, name, env]
            for record in RECORDS:
                self._sealer.compact(run_id, firm, name, record, closed=closed)

    def _due(self, waiting: Sequence[Backlog], now_ns: int) -> bool:
        rows = sum(one.rows for one in waiting)
        old = any(now_ns - one.oldest_ns >= self.policy.age_ns for one in waiting)
        return rows >= self.policy.rows or old

    def _seal_chain(self, audit: AuditLog, waiting: Backlog) -> Sealed:
        """Seal run by run, read back, compact, and only then drop: whatever interrupts it, the entries still wait, and
        the next call finishes what was begun, an unfinished merge included."""
        chain, hashes = waiting.chain_id, list[str]()
        *_, firm, account = chain.split("/")
        head = audit.sealed(chain)
        (kept,) = audit.entries(chain, head.dropped_seq, limit=1)
        first = after = head.seq
        run = kept.event.run_id
        parts, growing = list[SealedPart](), tuple[SealedPart, ...]()
        while page := audit.entries(chain, after, limit=PAGE_ROWS):
            for run_id, group in groupby(page, key=lambda entry: entry.event.run_id):
                if run_id != run:
                    parts += self._sealer.compact(run, firm, account, closed=True)
                    run = run_id
                last = self._seal_group(chain, run_id, list(group))
                growing = self._sealer.compact(run, firm, account, closed=False)
                audit.drop_sealed(chain, last.event.seq, last.entry_hash)
            hashes += [entry.entry_hash for entry in page]
            after = page[-1].event.seq
        return Sealed(SealedEntries(chain, first + 1, hashes), (*parts, *growing))

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

    Whatever a firm wrote is sealed, and so signed, as soon as ``policy.rows`` decisions were made or ``policy.age_ns``
    after the first of them, whether or not another follows. What an earlier process left is looked at first.

    Parameters
    ----------
    sealing : Sealing
    alarm : callable
        Told in one sentence what went wrong; entries that could not be sealed stay where they are.
    """

    def __init__(self, sealing: Sealing, alarm: Callable[[str], None]) -> None:
        self._sealing, self._alarm = sealing, alarm
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, "sealing")
        self._decided: dict[str, int] = {}  #: by firm that was heard of: decisions since it was last sealed
        self._timers: dict[str, threading.Timer] = {}

    def nudge(self, firms: Iterable[str], now_ns: int, decisions: int = 1) -> None:
        """Tell of ``decisions`` that were written at ``now_ns``, the clock of the entries."""
        policy = self._sealing.policy
        with self._lock:
            for firm in firms:
                if firm not in self._decided:
                    self._worker.submit(self._run, self._sealing.seal_due, firm, now_ns)
                self._decided[firm] = self._decided.get(firm, 0) + decisions
                if self._decided[firm] >= policy.rows:
                    self._seal(firm)
                elif firm not in self._timers:
                    timer = threading.Timer(policy.age_ns / 1e9, self._ring, [firm])
                    timer.daemon = True
                    self._timers[firm] = timer
                    timer.start()

    def close(self) -> None:
        """Wait for a sealing that is on its way. What is not due yet waits for the next process."""
        with self._lock:
            for timer in self._timers.values():
                timer.cancel()
            self._timers.clear()
        self._worker.shutdown()

    def _ring(self, firm: str) -> None:
        with self._lock:
            if firm in self._timers:
                self._seal(firm)

    def _seal(self, firm: str) -> None:
        if timer := self._timers.pop(firm, None):
            timer.cancel()
        self._decided[firm] = 0
        self._worker.submit(self._run, self._sealing.seal_all, firm)

    def _run(self, seal: Callable[..., tuple[Sealed, ...]], firm: str, *now_ns: int) -> None:
        try:
            seal([firm], *now_ns)
        except Exception as error:
            self._alarm(f"sealing failed, the entries stay in the write-ahead store: {error}")
