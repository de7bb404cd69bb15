"""The history loop around ``cycle.step``: all accounts at once, bar by bar, never through the graph.

Simulated people release latches, evaluation accounts run attempt after attempt, deposits arrive. Everything
that is written down leaves through two callbacks, so that the loop itself touches nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from regime_trading.core.numbers import F8, I1, I8
from regime_trading.core.rules import LATCHING_RULES, RULE_IDS, Release, TradingState
from regime_trading.core.schemas import ActorType, AuditEvent, EventType
from regime_trading.engine.attempts import (
    AttemptClock,
    AttemptResult,
    AttemptTerms,
    count_trading_day,
    first_attempts,
    next_attempts,
)
from regime_trading.engine.attempts import ended as ended_attempts
from regime_trading.engine.cycle import Carried, Cycle, Desk, Released, Tick, opening, restart, step
from regime_trading.engine.fills import Fills, Positions, apply_fills, fill_orders
from regime_trading.engine.market import MarketPath
from regime_trading.engine.record import (
    Chain,
    DecisionHashes,
    Identity,
    decision_hashes,
    market_hash,
    write_cycle,
    write_fills,
)
from regime_trading.engine.rl import RLRows
from regime_trading.engine.rl_columns import End
from regime_trading.engine.rl_context import UNSTAMPED, MarketContext
from regime_trading.guards.snapshot import View
from regime_trading.guards.verdict import BOUND, NOT_EVALUABLE, OFF, UNKNOWN

Sink = Callable[[int, list[AuditEvent]], None]
Progress = Callable[[str, int, int], None]
Keep = Callable[[View, str, Sequence[DecisionHashes]], None]


@dataclass(frozen=True, slots=True)
class BasketPath:
    """Proposals of one basket over time, aligned to the market's symbols.

    ``rows`` int64 [K]: the bars at which they are made; ``weights`` float64 [K, N], nanoweights of the basket's
    share; ``share`` float64 [A]: what each account gives the basket; ``made_ns`` int64 [K]: when each was made,
    at the time of its bar where None.
    """

    name: str
    rows: I8
    weights: F8
    share: F8
    made_ns: I8 | None = None


@dataclass(frozen=True, slots=True)
class HistoryInputs:
    """Everything a history needs. ``day_ids`` and ``flows`` are [T, A]; bars ``first`` … ``last`` are decided;
    ``context`` is what states of the RL dataset tell of the market beyond what the guards see."""

    desk: Desk
    market: MarketPath
    baskets: tuple[BasketPath, ...]
    day_ids: I8
    flows: F8
    terms: AttemptTerms
    identities: tuple[Identity, ...]
    first: int
    last: int
    context: MarketContext | None = None

    @property
    def n_bars(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class LatchSpan:
    """A latch from bar to bar; ``released`` None = still held at the end."""

    account: int
    rule_id: str
    state: TradingState
    kind: Release
    since: int
    released: int | None
    by_operator: bool


@dataclass(frozen=True, slots=True)
class HistoryResult:
    """What happened, bar by bar (rows from ``first``): [T, A] arrays, per rule [T, A, R]."""

    equity: F8
    drawdown: F8
    trading_state: I1
    throttle: F8
    outcome: I1
    fees: F8
    traded: F8
    attempt: I8
    flow: F8
    rule_outcome: I1
    rule_value: F8
    rule_limit: F8
    attempts: tuple[AttemptResult, ...]
    latches: tuple[LatchSpan, ...]
    rl: RLRows
    heads: tuple[int, ...]


@dataclass(slots=True)
class _Trace:
    """Arrays that fill up while the loop runs."""

    equity: F8
    drawdown: F8
    trading_state: I1
    throttle: F8
    outcome: I1
    fees: F8
    traded: F8
    attempt: I8
    flow: F8
    rule_outcome: I1
    rule_value: F8
    rule_limit: F8

    @classmethod
    def empty(cls, n_bars: int, n_accounts: int) -> _Trace:
        shape, rules = (n_bars, n_accounts), (n_bars, n_accounts, len(RULE_IDS))
        floats = {
            name: np.full(shape, np.nan)
            for name in ("equity", "drawdown", "throttle", "fees", "traded", "flow")
        }
        return cls(
            **floats,
            trading_state=np.zeros(shape, dtype=np.int8),
            outcome=np.zeros(shape, dtype=np.int8),
            attempt=np.zeros(shape, dtype=np.int64),
            rule_outcome=np.full(rules, OFF, dtype=np.int8),
            rule_value=np.full(rules, np.nan),
            rule_limit=np.full(rules, np.nan),
        )


def run_history(
    inputs: HistoryInputs,
    sink: Sink,
    *,
    block_bars: int = 512,
    progress: Progress | None = None,
    keep: Keep | None = None,
) -> HistoryResult:
    """Decide every bar from ``first`` to ``last`` for all accounts.

    Parameters
    ----------
    inputs : HistoryInputs
    sink : callable
        Takes (account index, entries) about every ``block_bars`` bars, in chain order; must make them durable
        before it returns.
    progress : callable, optional
        Takes (stage, bars done, bars).
    keep : callable, optional
        Takes (view, market digest, hashes) of every bar before its entries are handed over: what was decided from.
    """
    desk, n_bars = inputs.desk, inputs.n_bars
    book = opening_book(inputs)
    chains = [Chain(identity) for identity in inputs.identities]
    trace = _Trace.empty(n_bars, desk.size)
    rl = RLRows(inputs.identities, desk, inputs.market, inputs.first, n_bars, inputs.context)
    attempts: list[AttemptResult] = []
    latches = _LatchBook()

    for row in range(n_bars):
        bar = inputs.first + row
        played, book = play_bar(inputs, chains, book, bar)
        cycle, tick = played.cycle, played.tick
        if keep is not None:
            keep(cycle.view, played.market, played.hashes)
        rl.add(cycle, played.seq, played.number, tick.flow, proposal_times(inputs, bar))
        _fill_trace(trace, row, cycle, tick, played.number, inputs.market.unit)
        latches.update(bar, cycle, played.carried)
        if played.ended:
            cash, fee, traded = played.settled(inputs.market.unit)
            ends = played.ends(inputs.market.unit)
            trace.fees[row] += fee
            trace.traded[row] += traded
            for result in played.ended:
                a = result.account
                rl.finish(a, ends[a])
                latches.close(a, bar)
                trace.equity[row, a] = cash[a]
            attempts += played.ended

        if (row + 1) % block_bars == 0 or row + 1 == n_bars:
            for a, chain in enumerate(chains):
                sink(a, chain.take())
            if progress is not None:
                progress("decisions", row + 1, n_bars)

    attempts += _open_attempts(inputs, book.clock, trace)
    return HistoryResult(
        **{name: getattr(trace, name) for name in _Trace.__dataclass_fields__},
        attempts=tuple(sorted(attempts, key=lambda x: (x.account, x.number))),
        latches=latches.finished(),
        rl=rl,
        heads=tuple(chain.seq for chain in chains),
    )


@dataclass(frozen=True, slots=True)
class Book:
    """What one bar hands to the next: books of all accounts, and where their attempts stand."""

    carried: Carried
    clock: AttemptClock


@dataclass(frozen=True, slots=True)
class Played:
    """One bar of every account: what was new, what was decided, its hashes, and the attempts that ended with it.

    ``seq`` is each account's DECISION in its chain, ``number`` int64 [A] its attempt; ``carried`` are the books before
    those attempts were closed by ``closing``, ``closed`` the positions after it.
    """

    tick: Tick
    cycle: Cycle
    market: str
    hashes: list[DecisionHashes]
    seq: list[int]
    number: I8
    carried: Carried
    ended: tuple[AttemptResult, ...] = ()
    closing: Fills | None = None
    closed: Positions | None = None

    def settled(self, unit: F8) -> tuple[F8, F8, F8]:
        """Cash after the books of attempts were closed, fees and traded value of closing them, float64 [A] each."""
        assert self.closing is not None and self.closed is not None
        value = (np.abs(self.closing.qty) * self.closing.price * unit[None, :]).sum(axis=1)
        return self.closed.cash, self.closing.fee.sum(axis=1), value

    def ends(self, unit: F8) -> dict[int, End]:
        """How the episodes of accounts ended with this bar, where they did."""
        if not self.ended:
            return {}
        cash, fee, traded = self.settled(unit)
        found: dict[int, End] = {}
        for result in self.ended:
            a, equity = result.account, float(self.cycle.marks.equity[result.account])
            pnl, cost, turnover = (float(x) / equity for x in (cash[a] - equity, fee[a], traded[a]))
            found[a] = (result.told, pnl, cost, turnover)
        return found


def opening_book(inputs: HistoryInputs) -> Book:
    """Fresh books at the first bar."""
    clock = first_attempts(inputs.desk.size)
    clock = replace(clock, first_bar=clock.first_bar + inputs.first)
    return Book(opening(inputs.desk.initial_capital, len(inputs.market.symbols)), clock)


def play_bar(
    inputs: HistoryInputs, chains: Sequence[Chain], book: Book, bar: int, ended: Sequence[Released] = ()
) -> tuple[Played, Book]:
    """Decide one bar for all accounts and write it into their chains.

    Parameters
    ----------
    inputs : HistoryInputs
    chains : sequence of Chain
        One an account.
    book : Book
        What the bar before left.
    bar : int
    ended : sequence of Released
        Kills that people have ended since (``engine.halts``).
    """
    desk = inputs.desk
    tick = tick_at(inputs, bar)
    _write_openings(chains, inputs, tick, book.clock.number, bar, book.clock.first_bar)
    cycle, carried = step(desk, book.carried, tick)
    if ended:
        cycle = replace(cycle, released=(*ended, *cycle.released))
    clock = count_trading_day(book.clock, np.asarray((cycle.fills.qty != 0).any(axis=1)), tick.day_id)
    digest = market_hash(tick.market)
    hashes = decision_hashes(cycle.view, digest, inputs.identities)
    seq = [
        write_cycle(chain, cycle, a, hashes[a], [r for r in cycle.released if r.account == a])
        for a, chain in enumerate(chains)
    ]
    played = Played(tick, cycle, digest, hashes, seq, clock.number, carried)
    session = inputs.market.session
    lasted = session[bar] - session[clock.first_bar] + 1
    over = ended_attempts(inputs.terms, clock, carried.states, cycle.marks.equity, lasted)
    if not over:
        return played, Book(carried, clock)
    return _close_attempts(inputs, chains, played, Book(carried, clock), bar, over)


def _close_attempts(
    inputs: HistoryInputs,
    chains: Sequence[Chain],
    played: Played,
    book: Book,
    bar: int,
    over: Sequence[tuple[int, str, str]],
) -> tuple[Played, Book]:
    """Close the books of attempts that are over; the accounts start another with the next bar."""
    clock, tick = book.clock, played.tick
    closing, carried = _settle(inputs, book.carried, tick, over)
    fresh = np.zeros(inputs.desk.size, dtype=np.bool_)
    results = []
    for a, name, rule_id in over:
        fresh[a] = True
        pnl = float(carried.positions.cash[a] - inputs.desk.initial_capital[a])
        results.append(
            AttemptResult(a, int(clock.number[a]), int(clock.first_bar[a]), bar, name, rule_id, pnl,
                          int(clock.trading_days[a]))
        )  # fmt: skip
        symbols, ts_ns = inputs.market.symbols, tick.market.ts_ns
        write_fills(chains[a], closing, a, symbols, ts_ns, "to close the book of the attempt")
        _write_attempt_end(chains[a], tick, results[-1])
    played = replace(played, ended=tuple(results), closing=closing, closed=carried.positions)
    return played, Book(restart(carried, fresh), next_attempts(clock, fresh, bar + 1))


def tick_at(inputs: HistoryInputs, bar: int) -> Tick:
    """What is new at ``bar``: the market, the day, flows and the standing proposals.

    Each basket's latest proposal at or before the bar stands, scaled by the account's share and summed; an
    account is as old as its oldest basket, and without a proposal while any of its baskets has none.
    """
    market = inputs.market.at(bar)
    n_accounts, n = inputs.desk.size, len(market.symbols)
    proposed, age = np.zeros((n_accounts, n)), np.zeros(n_accounts)
    for basket in inputs.baskets:
        k = int(np.searchsorted(basket.rows, bar, side="right")) - 1
        uses = basket.share > 0
        if k < 0:
            age = np.where(uses, np.nan, age)
            continue
        proposed += np.trunc(basket.share[:, None] * basket.weights[k][None, :])
        age = np.where(uses, np.maximum(age, float(bar - basket.rows[k])), age)
    return Tick(
        market=market,
        fill_price=inputs.market.fill_price[bar],
        spread_bps=inputs.market.declared_spread_bps,
        day_id=inputs.day_ids[bar],
        flow=inputs.flows[bar],
        proposed=proposed,
        mentioned=np.ones((n_accounts, n), dtype=np.bool_),
        proposal_age_bars=age,
    )


def proposal_times(inputs: HistoryInputs, bar: int) -> I8:
    """When the newest proposal that each account follows at ``bar`` was made, int64 [A] UTC nanoseconds."""
    latest = np.full(inputs.desk.size, UNSTAMPED, dtype=np.int64)
    for basket in inputs.baskets:
        k = int(np.searchsorted(basket.rows, bar, side="right")) - 1
        if k >= 0:
            made = inputs.market.ts_ns[basket.rows[k]] if basket.made_ns is None else basket.made_ns[k]
            latest = np.where(basket.share > 0, np.maximum(latest, int(made)), latest)
    return latest


def _fill_trace(trace: _Trace, row: int, cycle: Cycle, tick: Tick, attempt: I8, unit: F8) -> None:
    d, fills = cycle.decisions, cycle.fills
    trace.equity[row] = cycle.marks.plain_equity
    trace.drawdown[row] = d.rule_value[:, RULE_IDS.index("LD-02")]
    trace.trading_state[row] = d.mode
    trace.throttle[row] = d.projection.throttle * d.projection.k
    trace.outcome[row] = d.outcome
    trace.fees[row] = fills.fee.sum(axis=1)
    trace.traded[row] = (np.abs(fills.qty) * fills.price * unit[None, :]).sum(axis=1)
    trace.attempt[row] = attempt
    trace.flow[row] = tick.flow
    trace.rule_outcome[row] = d.rule_outcome
    trace.rule_value[row] = d.rule_value
    trace.rule_limit[row] = d.rule_limit


def _settle(
    inputs: HistoryInputs, carried: Carried, tick: Tick, over: Sequence[tuple[int, str, str]]
) -> tuple[Fills, Carried]:
    """Close the books of finished attempts at this bar's own price, costs included."""
    closing = np.zeros(inputs.desk.size, dtype=np.bool_)
    closing[[a for a, _, _ in over]] = True
    positions = carried.positions
    orders = np.where(closing[:, None], -positions.qty, 0.0)
    price = np.where(np.isfinite(tick.market.price), tick.market.price, tick.market.ref_price)
    fills = fill_orders(orders, price, tick.spread_bps, inputs.desk.costs, inputs.market.unit)
    closed = apply_fills(positions, fills, inputs.market.unit)
    return fills, replace(carried, positions=closed)


def _write_openings(
    chains: Sequence[Chain], inputs: HistoryInputs, tick: Tick, number: I8, bar: int, first_bar: I8
) -> None:
    ts_ns = tick.market.ts_ns
    for a, chain in enumerate(chains):
        if inputs.terms.on[a] and bar == first_bar[a]:
            chain.write(
                ts_ns,
                EventType.ATTEMPT,
                {"attempt": int(number[a]), "status": "started"},
                rationale=f"Attempt {int(number[a])} starts with fresh capital.",
            )
            chain.mode = 0
        if tick.flow[a] != 0:
            chain.write(
                ts_ns,
                EventType.CASH_FLOW,
                {"amount": repr(float(tick.flow[a]))},
                actor=(ActorType.SIMULATED, "treasurer"),
                rationale="Deposit." if tick.flow[a] > 0 else "Withdrawal.",
            )


def _write_attempt_end(chain: Chain, tick: Tick, result: AttemptResult) -> None:
    why = f" by {result.rule_id}" if result.rule_id else ""
    chain.write(
        tick.market.ts_ns,
        EventType.ATTEMPT,
        {
            "attempt": result.number,
            "status": result.result,
            "pnl": repr(result.pnl),
            "trading_days": result.trading_days,
        },
        rule_id=result.rule_id,
        rationale=f"Attempt {result.number} {result.result}{why}; the book is closed at this bar.",
    )


def _open_attempts(inputs: HistoryInputs, clock: AttemptClock, trace: _Trace) -> list[AttemptResult]:
    return [
        AttemptResult(int(a), int(clock.number[a]), int(clock.first_bar[a]), inputs.last, "open", "",
                      float(trace.equity[-1, a] - inputs.desk.initial_capital[a]), int(clock.trading_days[a]))
        for a in np.flatnonzero(inputs.terms.on)
        if clock.first_bar[a] <= inputs.last
    ]  # fmt: skip


class _LatchBook:
    """Spans of latches, from the states before and after each bar."""

    def __init__(self) -> None:
        self.open: dict[tuple[int, str], LatchSpan] = {}
        self.closed: list[LatchSpan] = []

    def update(self, bar: int, cycle: Cycle, carried: Carried) -> None:
        for gone in cycle.released:
            span = self.open.pop((gone.account, gone.rule_id), None)
            if span is not None:
                self.closed.append(replace(span, released=bar, by_operator=gone.by_operator))
        for a in np.flatnonzero(cycle.decisions.latched):
            for column, rule_id in enumerate(LATCHING_RULES):
                if int(cycle.decisions.latched[a]) >> column & 1:
                    states = carried.states
                    known = self.open.get((int(a), rule_id))
                    self.open[int(a), rule_id] = LatchSpan(
                        account=int(a),
                        rule_id=rule_id,
                        state=TradingState(int(states.latch_state[a, column])),
                        kind=Release(int(states.latch_kind[a, column])),
                        since=bar if known is None else known.since,
                        released=None,
                        by_operator=False,
                    )

    def close(self, account: int, bar: int) -> None:
        """The account's attempt ended: its latches end with it."""
        for key in [key for key in self.open if key[0] == account]:
            self.closed.append(replace(self.open.pop(key), released=bar))

    def finished(self) -> tuple[LatchSpan, ...]:
        spans = [*self.closed, *self.open.values()]
        return tuple(sorted(spans, key=lambda s: (s.account, s.since, s.rule_id)))


def rule_counts(result: HistoryResult) -> dict[str, I8]:
    """How often each rule was evaluated, bound, unknown, not evaluable or off, int64 [A, R], and the last bound bar."""
    said = result.rule_outcome
    rows = np.arange(len(said))[:, None, None]
    bound = said == BOUND
    return {
        "evaluated": (said < NOT_EVALUABLE).sum(axis=0),
        "bound": bound.sum(axis=0),
        "unknown": (said == UNKNOWN).sum(axis=0),
        "not_evaluable": (said == NOT_EVALUABLE).sum(axis=0),
        "off": (said == OFF).sum(axis=0),
        "last_bound": np.where(bound, rows, -1).max(axis=0, initial=-1),
    }
