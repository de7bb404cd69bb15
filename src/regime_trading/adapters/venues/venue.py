"""What every venue does alike: one fetch with its bounds, its counts and its provenance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from regime_trading.adapters.venues.provenance import ClockOffset, FeedAge, Provenance, feed_age
from regime_trading.adapters.venues.retry import Attempt, Retrier, RetryLimits, Sleep, Transient
from regime_trading.adapters.venues.rows import BadAnswer, BarRows, Rows, rows_hash, utc
from regime_trading.adapters.venues.secrets import Redactor
from regime_trading.core.bars import SECOND_NS
from regime_trading.core.errors import BadInput, RegimeError
from regime_trading.core.ports import Clock
from regime_trading.core.schemas import Provides
from regime_trading.core.tape import QuoteRows, TradeRows

Kind = Literal["bars", "quotes", "trades"]
T = TypeVar("T")
R = TypeVar("R", bound=Rows)
MAX_POLLS = 100_000
_SETTLE_NS = 5 * SECOND_NS  #: quotes and trades younger than this may still arrive


@dataclass(frozen=True, slots=True)
class Progress:
    """State of a fetch after a page."""

    kind: str
    symbol: str
    pages: int
    rows: int
    newest_ns: int | None


ProgressCall = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Fetched(Generic[R]):
    """Rows and where they come from."""

    rows: R
    provenance: Provenance

    def age(self, now_ns: int | None = None) -> FeedAge:
        """Age of the newest row."""
        p = self.provenance
        return feed_age(p.last_ns, p.received_ns, p.clock, now_ns)


@dataclass(slots=True)
class Job:
    """One fetch on its way: what is asked, what was counted so far."""

    venue: str
    kind: Kind
    symbol: str
    interval: str | None
    since_ns: int
    until_ns: int
    max_pages: int
    progress: ProgressCall | None
    lag_ns: int = 0  #: how long after an event the venue may still add or change it
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    pages: int = 0
    rows: int = 0
    endpoint: str = ""

    @property
    def where(self) -> str:
        """Venue and endpoint, for messages."""
        return f"{self.venue} {self.endpoint}".rstrip()

    def page(self, rows: int, newest_ns: int | None) -> None:
        """Count a page and tell who listens."""
        self.pages += 1
        self.rows += rows
        if self.progress is not None:
            self.progress(Progress(self.kind, self.symbol, self.pages, self.rows, newest_ns))

    def require_room(self) -> None:
        """Before a further page: is it still within the bound?"""
        if self.pages >= self.max_pages:
            raise RegimeError(
                f"{self.where}: {self.symbol} has more than {self.max_pages} pages in this stretch; "
                "ask for a shorter one"
            )


class Venue(ABC):
    """A place that answers for bars, quotes and trades. Not thread-safe: one venue per thread.

    Parameters
    ----------
    name : str
        As the user typed it.
    limits : RetryLimits
    clock : Clock
    sleep : callable
    retrier : Retrier
    redact : Redactor
    """

    library = ""
    provides: frozenset[Provides] = frozenset()
    #: whether quotes of the past can be fetched; else they can only be polled
    has_quote_history = False

    def __init__(
        self, name: str, limits: RetryLimits, clock: Clock, sleep: Sleep, retrier: Retrier, redact: Redactor
    ) -> None:
        self.name, self.limits = name, limits
        self._clock, self._sleep, self._retrier, self._redact = clock, sleep, retrier, redact

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    # --- what is asked of it ------------------------------------------------------------------------------

    def bars(
        self, symbol: str, interval: str, since_ns: int, until_ns: int, progress: ProgressCall | None = None
    ) -> BarRows:
        """Complete bars that lie wholly within [since, until]; ``ts_ns`` is when each was complete."""
        return self.fetch("bars", symbol, since_ns, until_ns, interval=interval, progress=progress).rows  # type: ignore[return-value]

    def quotes(
        self, symbol: str, since_ns: int, until_ns: int, progress: ProgressCall | None = None
    ) -> QuoteRows:
        """Best bid and ask in [since, until), as the venue said them."""
        return self.fetch("quotes", symbol, since_ns, until_ns, progress=progress).rows  # type: ignore[return-value]

    def trades(
        self, symbol: str, since_ns: int, until_ns: int, progress: ProgressCall | None = None
    ) -> TradeRows:
        """Executions in [since, until)."""
        return self.fetch("trades", symbol, since_ns, until_ns, progress=progress).rows  # type: ignore[return-value]

    def poll_quotes(
        self, symbol: str, n: int, every_s: float, progress: ProgressCall | None = None
    ) -> QuoteRows:
        """The quote now, asked ``n`` times; see :meth:`poll`."""
        return self.poll(symbol, n, every_s, progress=progress).rows

    def fetch(
        self,
        kind: Kind,
        symbol: str,
        since_ns: int,
        until_ns: int,
        *,
        interval: str | None = None,
        progress: ProgressCall | None = None,
    ) -> Fetched[Rows]:
        """Rows of one stretch and their provenance.

        Parameters
        ----------
        kind : str
            ``bars``, ``quotes`` or ``trades``.
        symbol : str
            As the venue writes it (``BTC/USDT``, ``AAPL``).
        since_ns, until_ns : int
            UTC nanoseconds.
        interval : str, optional
            Of bars.
        progress : callable, optional
            Called after every page.

        Raises
        ------
        BadInput
            What the venue cannot or will not answer.
        RegimeError
            Attempts, time or pages used up; an answer that cannot be used. Nothing is returned then.
        """
        if not 0 <= since_ns < until_ns:
            raise BadInput(
                expected="since < until",
                found=f"{utc(since_ns)} and {utc(until_ns)}",
                where=f"{self.name} {kind}",
            )
        if kind == "bars" and interval is None:
            raise BadInput(expected="an interval such as 1m or 1d", found="none", where=f"{self.name} bars")
        job = self._job(kind, symbol, since_ns, until_ns, interval, progress)
        before = self._used()
        clock = self._measure()
        job.lag_ns = 0 if kind == "bars" else _SETTLE_NS
        rows = self._rows(job, clock)
        covered = min(until_ns, clock.earliest_venue_ns(before[2]) - job.lag_ns)
        return self._fetched(job, rows, clock, before, covered)

    def poll(
        self, symbol: str, n: int, every_s: float, progress: ProgressCall | None = None
    ) -> Fetched[QuoteRows]:
        """Quotes of now, ``n`` requests ``every_s`` seconds apart (counted from their beginnings).

        A state that the venue says is the one before (same sequence number or event time) is counted as
        ``unchanged`` and left out.
        """
        if not (1 <= n <= MAX_POLLS and 0 <= every_s < float("inf")):
            raise BadInput(
                expected=f"1 to {MAX_POLLS} requests, at least 0 s apart",
                found=f"{n} requests, {every_s} s apart",
                where=f"{self.name} poll",
            )
        start = self._clock.now_ns()
        job = self._job("quotes", symbol, start, start, None, progress)
        job.max_pages = n
        before = self._used()
        clock = self._measure()
        rows = self._polled(job, clock, n, every_s)
        job.until_ns = self._clock.now_ns()
        return self._fetched(job, rows, clock, before, job.until_ns)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every HTTP request so far (the last ten thousand), oldest first."""
        return tuple(self._adapter.attempts)

    def clock_offset(self) -> ClockOffset:
        """The venue's clock against ours, measured now."""
        return self._measure()

    # --- what a venue of a kind adds ----------------------------------------------------------------------

    _adapter: Any  # transport.GuardedAdapter: its module is imported with the extra only

    @abstractmethod
    def _rows(self, job: Job, clock: ClockOffset) -> Rows: ...

    @abstractmethod
    def _polled(self, job: Job, clock: ClockOffset, n: int, every_s: float) -> QuoteRows: ...

    @abstractmethod
    def _measure(self) -> ClockOffset: ...

    @abstractmethod
    def _translated(self, fault: Exception, where: str) -> RegimeError: ...

    @property
    @abstractmethod
    def library_version(self) -> str: ...

    # --- shared -------------------------------------------------------------------------------------------

    def _call(self, where: str, act: Callable[[], T]) -> T:
        """One call of the client library, repeated where that may help, its errors in our words."""

        def once() -> T:
            try:
                return act()
            except RegimeError:
                raise
            except Exception as fault:
                raise self._translated(fault, where) from None

        return self._retrier.call(once)

    def _unreadable(self, fault: Exception, where: str) -> RegimeError:
        return BadAnswer(
            where,
            "an answer as documented",
            f"one that the client library cannot read ({type(fault).__name__})",
        )

    def _passing(self, where: str, reason: str) -> Transient:
        return Transient(self.name, where.removeprefix(self.name).strip(), reason)

    def _pace(self, begun_ns: int, every_s: float) -> None:
        """Wait until ``every_s`` after ``begun_ns``."""
        gone_s = max(self._clock.now_ns() - begun_ns, 0) / SECOND_NS
        if gone_s < every_s:
            self._sleep(every_s - gone_s)

    def _used(self) -> tuple[int, int, int]:
        return self._adapter.requests, self._retrier.retries, self._clock.now_ns()

    def _job(
        self,
        kind: Kind,
        symbol: str,
        since_ns: int,
        until_ns: int,
        interval: str | None,
        progress: ProgressCall | None,
    ) -> Job:
        return Job(self.name, kind, symbol, interval, since_ns, until_ns, self.limits.max_pages, progress)

    def _fetched(
        self, job: Job, rows: R, clock: ClockOffset, before: tuple[int, int, int], covered_ns: int
    ) -> Fetched[R]:
        reply = self._adapter.last_reply
        received = reply.received_ns if reply else self._clock.now_ns()
        return Fetched(
            rows,
            Provenance(
                venue=self.name,
                endpoint=job.endpoint,
                kind=job.kind,
                symbol=job.symbol,
                interval=job.interval,
                since_ns=job.since_ns,
                until_ns=job.until_ns,
                covered_until_ns=covered_ns,
                fetched_at_ns=before[2],
                received_ns=received,
                clock=clock,
                pages=job.pages,
                requests=self._adapter.requests - before[0],
                retries=self._retrier.retries - before[1],
                rows=len(rows),
                content_sha256=rows_hash(rows),
                library=self.library,
                library_version=self.library_version,
                first_ns=int(rows.ts_ns[0]) if len(rows) else None,
                last_ns=int(rows.ts_ns[-1]) if len(rows) else None,
                counts={k: n for k, n in sorted(job.counts.items()) if n},
                notes=tuple(job.notes),
            ),
        )
