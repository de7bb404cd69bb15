"""Guard 3: what makes random scenes hit its rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from regime_trading.guards.facts import NEVER_NS
from regime_trading.guards.snapshot import View

TRAITS: tuple[str, ...] = (
    "floors", "periods", "stopped_out", "streaks", "swift", "profits", "stressed", "killed", "margin_call",
)  # fmt: skip
S = 10**9


def vary(r: np.random.Generator, traits: frozenset[str], view: View) -> View:
    """The view with this guard's part of the world as the traits ask; untouched without them."""
    for trait in TRAITS:
        numbers = np.random.default_rng(r.integers(2**63))  # a trait's numbers do not depend on its company
        if trait in traits:
            view = _VARY[trait](numbers, view)
    return view


def _capital(view: View) -> np.ndarray:
    equity = view.books.equity
    return np.where(np.isfinite(equity) & (equity > 0), equity, 1e5)


def _told(view: View, market: tuple[str, ...] = (), broker: tuple[str, ...] = ()) -> View:
    books, m = view.books, view.market
    says = replace(books.broker, provided=books.broker.provided | set(broker))
    return replace(
        view,
        market=replace(m, provided=m.provided | set(market)),
        books=replace(books, broker=says),
    )


def _floors(r: np.random.Generator, view: View) -> View:
    capital, a = _capital(view), len(view.books.accounts)
    odd = r.random((2, a)) < 0.05
    balance = capital * r.choice([1.0, 0.98, 1.03], a)
    view = replace(view, books=replace(view.books, balance=np.where(r.random(a) < 0.05, np.nan, balance)))
    states = replace(
        view.states,
        eod_hwm=np.where(odd[0], np.nan, np.round(capital * r.choice([1.0, 1.02, 1.085, 1.1], a), 2)),
        equity_hwm=np.where(odd[1], np.nan, np.round(capital * r.choice([1.0, 1.02, 1.085, 1.1], a), 2)),
        flows=np.round(capital * r.choice([0.0, 0.0, 0.1, -0.05], a), 2),
    )
    return _told(replace(view, states=states), ("intraday",) if r.random() < 0.8 else ())


def _periods(r: np.random.Generator, view: View) -> View:
    capital, a = _capital(view), len(view.books.accounts)
    anchors = np.round(capital * r.choice([1.0, 1.01, 1.03, 1.06], (2, a)), 2)
    states = replace(
        view.states,
        week_anchor=np.where(r.random(a) < 0.05, np.nan, anchors[0]),
        month_anchor=np.where(r.random(a) < 0.05, np.nan, anchors[1]),
        week_flow=np.where(r.random(a) < 0.2, 1000.0, 0.0),
        month_flow=np.where(r.random(a) < 0.2, -1000.0, 0.0),
    )
    return replace(view, states=states)


def _stopped_out(r: np.random.Generator, view: View) -> View:
    shape = view.books.qty.shape
    price = np.where(np.isfinite(view.market.price), view.market.price, 100.0)
    average = price * r.choice([1.0, 0.9, 1.1, 1.5, 0.5], shape)
    average = np.where(r.random(shape) < 0.1, r.choice([np.nan, 0.0], shape), np.round(average, 4))
    seconds = np.where(r.random(shape) < 0.4, r.choice([4.0, 5.0, 6.0, np.nan], shape), 0.0)
    broker = replace(
        view.books.broker, avg_price=np.where(view.books.qty != 0, average, 0.0), unprotected_s=seconds
    )
    view = replace(view, books=replace(view.books, broker=broker))
    return _told(view, broker=("fills", "stops") if r.random() < 0.7 else ("fills",))


def _streaks(r: np.random.Generator, view: View) -> View:
    ring = view.states.loss_exit_ns
    ages = r.choice([0, 600, 3_599, 3_600, 3_601, 86_400, 86_401], ring.shape)
    times = np.where(r.random(ring.shape) < 0.3, view.market.ts_ns - ages * S, NEVER_NS)
    return _told(
        replace(view, states=replace(view.states, loss_exit_ns=np.sort(times, axis=1))), broker=("fills",)
    )


def _swift(r: np.random.Generator, view: View) -> View:
    states = view.states
    shape = states.recent_ns.shape
    age = np.sort(r.choice([0, 60, 299, 300, 301, 900], shape), axis=1)[:, ::-1]
    unit = (_capital(view) / states.units)[:, None] * r.choice([0.99, 1.0, 1.005, 1.0101010101, 1.025], shape)
    missing = r.random(shape) < 0.4
    states = replace(
        states,
        recent_ns=np.where(missing, NEVER_NS, view.market.ts_ns - age * S),
        recent_unit=np.where(missing, np.nan, unit),
    )
    return _told(replace(view, states=states), ("intraday",))


def _profits(r: np.random.Generator, view: View) -> View:
    capital, a = _capital(view), len(view.books.accounts)
    anchor = np.round(capital * r.choice([1.0, 0.98, 0.995], a), 2)
    states = replace(
        view.states,
        day_anchor_equity=np.where(r.random(a) < 0.05, np.nan, anchor),
        day_anchor_balance=anchor,
        day_peak=np.where(r.random(a) < 0.05, np.nan, anchor * r.choice([1.0, 1.01, 1.03, 1.05], a)),
        closed_profit=np.round(capital * r.choice([0.0, -0.01, 0.005, 0.01, 0.02, 0.1], a), 2),
    )
    return replace(view, states=states)


def _stressed(r: np.random.Generator, view: View) -> View:
    m = view.market
    n = len(m.symbols)
    gaps = r.choice([0.0, 0.05, 0.15, 0.5, np.nan], (2, n))
    facts = replace(m.instruments, gap_down=gaps[0], gap_up=gaps[1])
    close = np.where(r.random(n) < 0.3, r.choice([0.0, 1_800.0, 1_801.0, np.nan], n), np.inf)
    m = replace(m, instruments=facts, signals=replace(m.signals, to_close_s=close))
    return _told(replace(view, market=m), ("session_clock",) if r.random() < 0.7 else ())


def _killed(r: np.random.Generator, view: View) -> View:
    a = len(view.books.accounts)
    level = np.where(r.random(a) < 0.5, r.integers(0, 5, a), 0).astype(np.int8)
    broker = replace(
        view.books.broker,
        violated=r.random(a) < 0.15,
        reconciled=np.full(a, 2, dtype=np.int64),
        equity_gap=np.zeros(a),
    )
    view = replace(
        view, states=replace(view.states, kill_level=level), books=replace(view.books, broker=broker)
    )
    return _told(view, broker=("recon",))


def _margin_call(r: np.random.Generator, view: View) -> View:
    shape = view.books.qty.shape
    use = r.choice([0.0, 0.5, 0.8, 0.81, 0.9, 0.95, 1.5], shape[0]) * _capital(view)
    use = np.where(r.random(shape[0]) < 0.1, r.choice([np.nan, -1.0], shape[0]), use)
    price = np.where(np.isfinite(view.market.price), view.market.price, 100.0)
    average = np.round(price * r.choice([0.8, 1.0, 1.2, np.nan], shape), 4)
    broker = replace(
        view.books.broker,
        margin_used=use,
        buying_power=np.full(shape[0], 1e12),
        avg_price=np.where(view.books.qty != 0, average, 0.0),
    )
    return _told(replace(view, books=replace(view.books, broker=broker)), broker=("margin",))


_VARY: dict[str, Callable[[np.random.Generator, View], View]] = {
    "floors": _floors,
    "periods": _periods,
    "stopped_out": _stopped_out,
    "streaks": _streaks,
    "swift": _swift,
    "profits": _profits,
    "stressed": _stressed,
    "killed": _killed,
    "margin_call": _margin_call,
}


def tune(
    r: np.random.Generator, traits: frozenset[str], put: Callable[..., None], pick: Callable[..., Any]
) -> None:
    """Parameters of this guard's rules: ``put(rule_id, **values)``, one of several by ``pick``."""
    if traits & {"floors", "stressed"}:
        flows = pick("none", "shift", "unitized")
        put("LD-03", limit_pct=pick("unlimited", "0.05", "0.1"), flow_policy=flows)
        put(
            "LD-04",
            amount=pick("unlimited", "2000", "20000"),
            limit_pct=pick("unlimited", "0.1"),
            lock_at=pick("none", "initial"),
            flow_policy=pick("none", "shift", "unitized"),
        )
        put(
            "LD-05",
            amount=pick("unlimited", "2500"),
            limit_pct=pick("unlimited", "0.02", "0.1"),
            lock_offset=pick("unlimited", "100"),
            flow_policy=flows,
        )
        put("LD-01", on_act=pick("FLATTEN", "REDUCE_ONLY"), anchor=pick("balance", "equity", "max"))
    if "periods" in traits:
        put(
            "LD-06",
            weekly_pct=pick("unlimited", "0.03"),
            weekly_money=pick("unlimited", "1000"),
            monthly_pct=pick("unlimited", "0.05"),
            monthly_money=pick("unlimited", "5000"),
        )
    if "stopped_out" in traits:
        put(
            "LD-07",
            max_loss_pct_equity=pick("unlimited", "0.01", "0.002"),
            max_mae=pick("unlimited", "500"),
            stop_attach_s=pick("unlimited", "5"),
        )
    if "streaks" in traits:
        put("LD-08", count=pick(1, 2, 4), window_s=pick(3_600, 86_400), hold_s=pick(0, 3_600, 14_400))
    if "swift" in traits:
        put("LD-09", reduce_pct=pick("0.01", "unlimited"), flatten_pct=pick("0.02", "0.005", "unlimited"))
    if "profits" in traits:
        put("LD-10", share=pick("unlimited", "0", "0.5"), min_gain=pick("0", "0.01"))
        put("LD-11", best_day_share=pick("unlimited", "0", "0.5", "1"), on_cap=pick("BLOCK", "EXIT"))
    if "stressed" in traits:
        put(
            "LD-12",
            when=pick("never", "before_close", "always"),
            sigmas=pick("0", "3"),
            single_name=pick("0", "0.2"),
            share_of_budget=pick("0", "0.8"),
        )
    if "margin_call" in traits:
        put(
            "LD-16",
            min_equity=pick("0", "50000"),
            margin_block=pick("0.8", "unlimited"),
            margin_reduce=pick("0.9", "0.5"),
        )
