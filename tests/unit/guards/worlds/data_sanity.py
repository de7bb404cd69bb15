"""Guard 1: what makes random scenes hit its rules."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from regime_trading.core.rules import RECOVERING_RULES, TIMER_RULES, Release
from regime_trading.guards.facts import FOREVER_NS
from regime_trading.guards.snapshot import View

TRAITS: tuple[str, ...] = (
    "feeds", "second_source", "skewed_clock", "recon", "fx_gaps", "splits", "metadata", "status_feed", "recovering",
)  # fmt: skip
SPLITS = (0.5, 0.51, 0.4899, 2 / 3, 0.68, 1.5, 2.0, 2.04, 0.1, 10.0, 0.8, 0.75, 1.25)


def vary(r: np.random.Generator, traits: frozenset[str], view: View) -> View:
    """The view with this guard's part of the world as the traits ask; untouched without them."""
    for trait, change in _CHANGES.items():
        own = np.random.default_rng(r.integers(2**63))
        if trait in traits:
            view = change(own, view)
    return view


def _some(r: np.random.Generator, values: tuple[Any, ...], default: np.ndarray, p: float) -> Any:
    """About a share ``p`` of the assets gets one of the values."""
    drawn = r.choice(np.array(values, dtype=np.float64), default.shape)
    return np.where(r.random(default.shape) < p, drawn, default).astype(default.dtype)


def _signals(view: View, *provided: str, **changes: Any) -> View:
    market = view.market
    signals = replace(market.signals, **changes)
    return replace(
        view, market=replace(market, signals=signals, provided=market.provided | frozenset(provided))
    )


def _feeds(r: np.random.Generator, view: View) -> View:
    s, ages = view.market.signals, (0.0, 15.0, 15.5, 300.0, 301.0, -0.4, -20.0, np.nan, np.inf)
    return _signals(
        view,
        quote_age_s=_some(r, ages, s.quote_age_s, 0.3),
        received_age_s=_some(r, ages, s.received_age_s, 0.2),
        frozen_updates=_some(r, (49, 50, 51, 10, np.nan), s.frozen_updates, 0.5),
        reference_sigmas=_some(r, (2.5, 3.0, 3.5, np.nan), s.reference_sigmas, 0.5),
    )


def _second_source(r: np.random.Generator, view: View) -> View:
    s = view.market.signals
    return _signals(
        view,
        "second_source",
        divergence_bps=_some(r, (9.0, 10.0, 11.0, 60.0, -5.0, np.nan, np.inf), s.divergence_bps, 0.6),
        divergence_s=_some(r, (0.0, 9.5, 10.0, 11.0, np.nan), s.divergence_s, 0.8),
    )


def _skewed_clock(r: np.random.Generator, view: View) -> View:
    s, m = view.market.signals, view.market
    bar_s = m.bar_ns / 1e9
    ahead = tuple(-x / bar_s for x in (0.2, 0.5, 0.6, 60.0))
    view = _signals(
        view,
        "clock",
        clock_skew_ms=float(r.choice([0.0, 0.0, 0.0, 99.0, -100.0, 100.5, -150.0, np.nan, np.inf])),
        future_rows=r.random(s.future_rows.shape) < 0.2,
        quote_age_s=_some(r, (-0.2, -0.5, -0.6), s.quote_age_s, 0.3),
    )
    return replace(view, market=replace(view.market, age_bars=_some(r, ahead, m.age_bars, 0.2)))


def _recon(r: np.random.Generator, view: View) -> View:
    broker = view.books.broker
    shape = (view.n_accounts, view.n_assets)
    broker = replace(
        broker,
        provided=broker.provided | {"recon"},
        reconciled=r.choice([2, 2, 3, 1, 0, -1], shape[0]).astype(np.int64),
        mismatch=np.where(r.random(shape) < 0.15, r.choice([1, 2, -1], shape), 0).astype(np.int8),
        equity_gap=r.choice([0.0, 0.0, 0.002, 0.003, 0.01, 0.011, -0.1, np.nan, np.inf], shape[0]),
    )
    return replace(view, books=replace(view.books, broker=broker))


def _fx_gaps(r: np.random.Generator, view: View) -> View:
    m = view.market
    ages = (59.0, 60.0, 61.0, 86_400.0, 86_401.0, -1.0, np.nan, np.inf)
    view = _signals(view, "fx", fx_age_s=_some(r, ages, m.signals.fx_age_s, 0.4))
    rate = _some(r, (np.nan, 0.0, -1.0, np.inf), m.fx, 0.1)
    saturday = dt.date(2020, 3, 7) if r.random() < 0.4 else m.date
    return replace(view, market=replace(view.market, fx=rate, date=saturday))


def _splits(r: np.random.Generator, view: View) -> View:
    m, shape = view.market, view.market.price.shape
    moved = m.price / r.choice(np.array(SPLITS), shape)
    timers = view.states.timer_ns.copy()
    held = r.random((view.n_accounts, view.n_assets)) < 0.15
    timers[:, TIMER_RULES.index("DS-10"), :][held] = r.choice([FOREVER_NS, m.ts_ns, m.ts_ns + 1])
    return replace(
        view,
        market=replace(
            m,
            ref_price=np.where(r.random(shape) < 0.4, moved, m.ref_price),
            instruments=replace(m.instruments, adjusted=r.random(shape) < 0.2),
        ),
        states=replace(view.states, timer_ns=timers),
    )


def _metadata(r: np.random.Generator, view: View) -> View:
    m, facts = view.market, view.market.instruments
    ages = (604_800.0, 604_801.0, 86_400.0, -1.0, np.nan, np.inf)
    facts = replace(
        facts,
        metadata_age_s=_some(r, ages, facts.metadata_age_s, 0.4),
        to_expiry_s=_some(r, (np.nan, 8.64e8), facts.to_expiry_s, 0.1),
    )
    return replace(view, market=replace(m, instruments=facts, provided=m.provided | {"instruments"}))


def _status_feed(r: np.random.Generator, view: View) -> View:
    s = view.market.signals
    return _signals(
        view,
        "status",
        status=_some(r, (1, 2, 3, 4, 5, -1), s.status, 0.4),
        since_resume_s=_some(r, (0.0, 59.5, 60.0, 61.0, np.nan), s.since_resume_s, 0.3),
    )


def _recovering(r: np.random.Generator, view: View) -> View:
    shape = (view.n_accounts, len(RECOVERING_RULES), view.n_assets)
    left = np.where(r.random(shape) < 0.1, r.integers(1, 4, shape), 0).astype(np.int8)
    return replace(view, states=replace(view.states, unclean=left))


_CHANGES: dict[str, Callable[[np.random.Generator, View], View]] = {
    "feeds": _feeds,
    "second_source": _second_source,
    "skewed_clock": _skewed_clock,
    "recon": _recon,
    "fx_gaps": _fx_gaps,
    "splits": _splits,
    "metadata": _metadata,
    "status_feed": _status_feed,
    "recovering": _recovering,
}
assert tuple(_CHANGES) == TRAITS


def tune(
    r: np.random.Generator, traits: frozenset[str], put: Callable[..., None], pick: Callable[..., Any]
) -> None:
    """Parameters of this guard's rules: ``put(rule_id, **values)``, one of several by ``pick``."""
    if "feeds" in traits:
        put("DS-01", max_quote_age_s=pick("5", "15"), hold_age_s=pick("15", "300"))
        put("DS-01", frozen_updates=pick(10, 50), frozen_sigmas=pick("2.5", "3"))
    if "second_source" in traits:
        put("DS-06", max_div_bps=pick("10", "50"), after_s=pick("0", "10"))
    if "skewed_clock" in traits:
        put("DS-07", max_skew_ms=pick("100", "50"), future_tolerance_ms=pick("0", "500"))
    if "recon" in traits:
        put("DS-08", min_reconciled=pick(1, 2, 3), release=pick(Release.MANUAL, Release.DUAL))
        put("DS-08", equity_tolerance=pick("0.002", "0.001"), latch_gap=pick("0.01", "0.002"))
    if "fx_gaps" in traits:
        put("DS-09", fx_max_age_s=pick("60", "10"), weekend_max_age_s=pick("86400", "3600"))
    if "splits" in traits:
        put("DS-10", tolerance=pick("0.02", "0", "0.1"))
    if "metadata" in traits:
        put("DS-13", max_age_s=pick("604800", "86400"))
    if "status_feed" in traits:
        put("DS-15", reopen_wait_s=pick("0", "60"), auction_collar=pick("0.01", "0.02"))
