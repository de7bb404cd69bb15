"""RL rows of decisions that requests ask for: the state, the action, and what followed the decision before. Pure.

What a request does not tell is not known, never 0. A request is known at its ``as_of``; what it stamps later itself (a
quote, a rate) was not known then, and neither is any block that is made of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

import numpy as np

from regime_trading.core.audit import chain_id, event_id
from regime_trading.core.bars import DAY_NS
from regime_trading.core.numbers import B1, F8, I8
from regime_trading.core.portfolio import RecentFill
from regime_trading.core.rl_features import BLOCKS, Block, features
from regime_trading.core.rl_rows import RLDecision
from regime_trading.engine.record import Identity
from regime_trading.engine.request_books import Subject, fills_of
from regime_trading.engine.request_firm import day_id
from regime_trading.engine.request_market import number
from regime_trading.engine.requests import Answer
from regime_trading.engine.rl import remembered_ns, require_known
from regime_trading.engine.rl_body import OpenEnd, action_of, body_of, known, state_of
from regime_trading.engine.rl_columns import (
    Noted,
    SharedRows,
    Standing,
    components,
    feature_columns,
    finite,
    horizon,
    noted,
)
from regime_trading.engine.rl_context import ASSETS, ROWS, clocks, coded, mean_pair
from regime_trading.guards.snapshot import Market


@dataclass(frozen=True, slots=True)
class RLNotes:
    """The rows of one decision before the place of its entry is known."""

    identity: Identity
    ts_ns: int
    state: Mapping[str, Any]
    action: Mapping[str, Any]
    closed: Mapping[str, Any] | None
    left: Mapping[str, Any]

    def at(self, seq: int) -> RLDecision:
        """The rows with their DECISION at ``seq``."""
        who = self.identity
        chain = chain_id(who.env, who.run_id, who.firm_id, who.account_id)
        own = event_id(chain, seq)
        end = OpenEnd(run_id=who.run_id, seq=seq, state_id=own, **self.left)
        transitions = []
        if self.closed is not None:
            other = self.closed["run_id"] != who.run_id
            following = {"next_run_id": who.run_id if other else None, "next_state_id": own, "next_seq": seq}
            transitions.append({**self.closed, **following})
        return RLDecision(seq, self.ts_ns, end.text(), body_of(self.state, self.action, transitions))


def notes_of(
    answers: Sequence[Answer], subjects: Sequence[Subject], ends: Mapping[str, OpenEnd]
) -> tuple[RLNotes, ...]:
    """Rows of the answers, in their order.

    Parameters
    ----------
    answers, subjects : sequence
        Each answer and what it was asked.
    ends : mapping
        By account the open end of its last decision, where it has one.

    Raises
    ------
    CheckFailed
        Something in a state is stamped later than its decision.
    """
    groups: dict[int, list[int]] = {}
    for n, answer in enumerate(answers):
        groups.setdefault(id(answer.cycle), []).append(n)
    found: dict[int, RLNotes] = {}
    for own in groups.values():
        steps = [_step(answers[n], subjects[n], ends.get(subjects[n].account)) for n in own]
        found.update(zip(own, _notes([answers[n] for n in own], steps), strict=True))
    return tuple(found[n] for n in range(len(answers)))


# --- from the decision before to this one -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Step:
    """What is known of the time since the decision before; NaN = it is not told. ``unseen``: somebody decided in
    between and left no rows."""

    subject: Subject
    end: OpenEnd | None
    bars: int
    gap: bool
    unseen: bool
    flow: float
    fee: float
    traded: float
    since_trade: float
    age: F8


def _step(answer: Answer, subject: Subject, end: OpenEnd | None) -> _Step:
    market = answer.cycle.view.market
    nothing = np.full(len(market.symbols), np.nan)
    if end is None:
        return _Step(subject, None, 0, False, False, np.nan, np.nan, np.nan, np.nan, nothing)
    unseen = subject.state is None or subject.state.as_of_ns != end.ts_ns
    bars, missing = _between(end, subject, market)
    new = _new_fills(subject, end)
    traded = np.nan if new is None else _notional(new, market)
    since = np.nan
    if new is not None and not unseen:
        since = 0.0 if new else number(end.since_trade) + bars
    return _Step(
        subject=subject,
        end=end,
        bars=bars,
        gap=missing or unseen,
        unseen=unseen,
        flow=_flow(subject, end, missing),
        fee=0.0 if new == [] else np.nan,
        traded=traded,
        since_trade=since,
        age=nothing if new is None else _ages(subject, end, new, bars, market.symbols),
    )


def _between(end: OpenEnd, subject: Subject, market: Market) -> tuple[int, bool]:
    """Bars since the decision before, and whether some are missing: by the sessions that both requests name, else by
    days."""
    said = (end.session, subject.request.market.session)
    times = np.array([end.ts_ns, market.ts_ns], dtype=np.int64)
    sessions = times // DAY_NS if None in said else np.array(said, dtype=np.int64)
    bars, gap = horizon(times, sessions, market.bar_ns)
    return int(bars[0]), bool(gap[0])


def _new_fills(subject: Subject, end: OpenEnd) -> list[RecentFill] | None:
    """Fills since the decision before, in order of time; None where they are not told, or do not explain what became of
    every position: then some of them are missing."""
    traffic = subject.book.traffic
    if traffic is None or traffic.fills is None:
        return None
    new = sorted((fill for fill in fills_of(subject) if fill.ts_ns > end.ts_ns), key=lambda fill: fill.ts_ns)
    held = {symbol: Decimal(text) for symbol, text in end.qty.items()}
    for fill in new:
        held[fill.symbol] = held.get(fill.symbol, Decimal(0)) + fill.signed
    return new if _open(held) == _open({p.symbol: p.qty for p in subject.book.positions}) else None


def _open(held: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {symbol: qty for symbol, qty in held.items() if qty != 0}


def _notional(fills: Sequence[RecentFill], market: Market) -> float:
    """Notional of fills, account currency; NaN where a symbol has no instrument or rate here."""
    at = {symbol: column for column, symbol in enumerate(market.symbols)}
    if any(fill.symbol not in at for fill in fills):
        return np.nan
    gross = np.zeros(len(at))
    for fill in fills:
        gross[at[fill.symbol]] += float(fill.qty) * float(fill.px)
    return float(np.where(gross != 0, gross * (market.multiplier * market.fx), 0.0).sum())


def _flow(subject: Subject, end: OpenEnd, missing: bool) -> float:
    """Deposits less withdrawals since the decision before, as requests tell them: of the trading day so far. Over days
    that no request tells of they are not known."""
    said = number(subject.book.flows_today)
    if day_id(subject.profile, subject.request.as_of_ns) != end.day_id:
        return np.nan if missing else said
    return float(np.round(said - number(end.flows_today), 6))


def _ages(subject: Subject, end: OpenEnd, new: Sequence[RecentFill], bars: int, symbols: Sequence[str]) -> F8:
    """Bars since each position was opened, float64 [N]; ``new`` are all fills since the decision before."""
    held, opened = {symbol: Decimal(text) for symbol, text in end.qty.items()}, set[str]()
    for fill in new:
        before = held.get(fill.symbol, Decimal(0))
        held[fill.symbol] = before + fill.signed
        if before * held[fill.symbol] <= 0:
            opened.add(fill.symbol)
    return np.array(
        [
            np.nan if not held.get(s) else 0.0 if s in opened else number(end.age.get(s)) + bars
            for s in symbols
        ],
        dtype=np.float64,
    )


# --- the rows -----------------------------------------------------------------------------------------------


def _notes(answers: Sequence[Answer], steps: Sequence[_Step]) -> Iterator[RLNotes]:
    """Rows of answers of one cycle."""
    cycle, rows = answers[0].cycle, [answer.row for answer in answers]
    market = cycle.view.market
    seen = _rows_of(noted(cycle, answers[0].floors), rows, steps)
    held_late, late, late_symbols = _late(market, seen.assets["qty"], steps)
    known_ns = _known_ns(market, remembered_ns(cycle.view.states)[rows], held_late, steps)
    require_known([step.subject.account for step in steps], known_ns, market.ts_ns)
    shared = _shared(market, len(rows), late_symbols)
    since, age = np.array([step.since_trade for step in steps]), np.array([step.age for step in steps])
    values = feature_columns(seen, shared, since, age.reshape(len(rows), len(market.symbols)))
    for block, gone in (("portfolio", held_late), ("asset", held_late), ("constraint", late)):
        _forget(values, block, gone)  # type: ignore[arg-type]
    now = Standing(values["equity"], values["unit_drawdown"])
    rewards = {name: value.tolist() for name, value in _rewards(seen, now, steps).items()}
    for r, (answer, step) in enumerate(zip(answers, steps, strict=True)):
        state = state_of(seen, r, known_ns, 1, market.symbols, values)
        yield RLNotes(
            identity=answer.identity,
            ts_ns=market.ts_ns,
            state=state,
            action=action_of(seen, r),
            closed=_closed(step, {name: value[r] for name, value in rewards.items()}),
            left=_left(market, step, state["values"]),
        )


def _rows_of(seen: Noted, rows: Sequence[int], steps: Sequence[_Step]) -> Noted:
    """What was noted of some accounts of a cycle, with what was traded before it."""
    taken: dict[str, Any] = {}
    for field in fields(Noted):
        value = getattr(seen, field.name)
        taken[field.name] = (
            {name: array[rows] for name, array in value.items()}
            if isinstance(value, Mapping)
            else value[rows]
        )
    taken["numbers"]["traded"] = np.array([step.traded for step in steps])
    return Noted(**taken)


def _late(market: Market, qty: F8, steps: Sequence[_Step]) -> tuple[B1, B1, B1]:
    """Which accounts hold something that a request stamps after the decision, and which are decided beside such
    things, [R] each; and the symbols, [N]."""
    signals, now = market.signals, market.ts_ns
    with np.errstate(invalid="ignore"):
        symbols = signals.future_rows | (signals.received_age_s < 0) | (signals.fx_age_s < 0)
    cash = np.array([_late_cash(step.subject, now) for step in steps], dtype=np.bool_)
    return ((qty != 0) & symbols).any(axis=1) | cash, cash | bool(symbols.any()), symbols


def _late_cash(subject: Subject, now: int) -> bool:
    cash, rates = subject.book.cash, subject.request.market.fx
    stamps = [rates[name].ts_ns for name in cash if name in rates] if isinstance(cash, dict) else []
    return any(stamp is not None and stamp > now for stamp in stamps)


def _known_ns(market: Market, memory: I8, held_late: B1, steps: Sequence[_Step]) -> I8:
    """Latest time stamp of what each block used, int64 [R, blocks]; one that is not known is stamped as the book."""
    found = np.full((len(steps), len(BLOCKS)), market.ts_ns, dtype=np.int64)
    for r, step in enumerate(steps):
        request, book = step.subject.request, step.subject.book
        held = {position.symbol for position in book.positions if position.qty != 0}
        stamps = [q.ts_ns for q in request.market.quotes if q.symbol in held and q.ts_ns is not None]
        stamps = [] if held_late[r] else [*stamps, *(fill.ts_ns for fill in fills_of(step.subject))]
        found[r, BLOCKS.index("portfolio")] = max(
            book.as_of_ns, request.proposal.as_of_ns, int(memory[r]), *stamps
        )
    return np.maximum(found, found[:, :1])


def _shared(market: Market, n: int, late: B1) -> SharedRows:
    """The market beside ``n`` accounts, with nothing in it that is stamped later."""
    signals, wide = market.signals, (n, len(market.symbols))
    unknown = np.full(len(market.symbols), np.nan)
    label = coded(np.array([market.label]))[0]
    rows = {
        "regime_label": label,
        "regime_confidence": market.confidence,
        "mean_correlation": mean_pair(market.correlation),
    }
    clock = clocks(
        np.array([market.ts_ns], dtype=np.int64),
        np.array([_agreed(signals.since_open_s)]),
        np.array([_agreed(signals.to_close_s)]),
        np.array([np.min(market.to_event_s, initial=np.inf)]),
    )
    rows |= {name: float(value[0]) for name, value in clock.items()}
    assets = {
        "spread_bps": np.where(late, np.nan, market.spread_bps),
        "book": np.where(late, np.nan, coded(market.book)),
        "tape_grade": coded(market.tape_grade),
    }
    values = {name: np.full(n, rows.get(name, np.nan)) for name in (*rows, *ROWS)}
    values |= {name: np.broadcast_to(assets.get(name, unknown), wide) for name in (*assets, *ASSETS)}
    nobody = np.zeros(n, dtype=np.int64)
    return SharedRows(
        ts_ns=nobody + market.ts_ns,
        session=nobody + market.session,
        bar_ns=market.bar_ns,
        path_ns=nobody[:0],
        first=0,
        price=np.broadcast_to(market.price, wide).copy(),
        sigma=np.broadcast_to(market.sigma, wide).copy(),
        adv=np.broadcast_to(market.adv, wide).copy(),
        values={name: finite(value) for name, value in values.items()},
        matrix=np.ascontiguousarray(market.correlation)[None],
        matrix_at=nobody,
    )


def _agreed(clock: F8) -> float:
    """What the session clocks of all symbols say; NaN where they differ, or one is not told."""
    return float(clock[0]) if len(clock) and (clock == clock[0]).all() else np.nan


def _forget(values: dict[str, F8], block: Block, gone: B1) -> None:
    """Make a block unknown in some rows."""
    if gone.any():
        for feature in features(block):
            value = values[feature.name]
            values[feature.name] = np.where(gone if value.ndim == 1 else gone[:, None], np.nan, value)


def _rewards(seen: Noted, now: Standing, steps: Sequence[_Step]) -> dict[str, F8]:
    latched = np.bitwise_count(seen.counts["latched"]).astype(np.float64)
    return components(
        Standing(
            np.array([np.nan if s.end is None else number(s.end.equity) for s in steps]),
            np.array([np.nan if s.end is None else number(s.end.depth) for s in steps]),
        ),
        now,
        flow=np.array([s.flow for s in steps]),
        fee=np.array([s.fee for s in steps]),
        traded=np.array([s.traded for s in steps]),
        latched=np.where([s.unseen for s in steps], np.nan, latched),
    )


def _closed(step: _Step, rewards: Mapping[str, float]) -> dict[str, Any] | None:
    """The transition from the decision before, but for where it leads."""
    end = step.end
    if end is None:
        return None
    own = {"run_id": end.run_id, "seq": end.seq, "state_id": end.state_id, "ts_event_ns": end.ts_ns}
    goes_on = {"done": False, "done_reason": "", "censored": False}
    return {**own, **goes_on, "horizon_bars": step.bars, "gap": step.gap, "rewards": dict(rewards)}


def _left(market: Market, step: _Step, values: Mapping[str, Any]) -> dict[str, Any]:
    """What the next decision needs, but for the place of this one."""
    request, book = step.subject.request, step.subject.book
    ages = zip(market.symbols, values["age_bars"], strict=True)
    return {
        "ts_ns": market.ts_ns,
        "day_id": day_id(step.subject.profile, market.ts_ns),
        "session": request.market.session,
        "equity": known(values["equity"]),
        "depth": known(values["unit_drawdown"]),
        "flows_today": None if book.flows_today is None else float(book.flows_today),
        "qty": {p.symbol: format(p.qty, "f") for p in book.positions if p.qty != 0},
        "since_trade": known(step.since_trade),
        "age": {symbol: age for symbol, age in ages if age == age},
    }
