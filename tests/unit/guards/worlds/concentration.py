"""Guard 5: what makes random scenes hit its rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from regime_trading.core.rules import LATCHING_RULES, Release
from regime_trading.guards.snapshot import View

TRAITS: tuple[str, ...] = (
    "aliases", "clusters", "pair_caps", "betas", "contracts", "risk_shares", "correlation_breaks", "firm_caps",
    "levered",
)  # fmt: skip
S = 10**9


def vary(r: np.random.Generator, traits: frozenset[str], view: View) -> View:
    """The view with this guard's part of the world as the traits ask; untouched without them."""
    for trait in TRAITS:
        numbers = np.random.default_rng(r.integers(2**63))  # a trait's numbers do not depend on its company
        if trait in traits and trait in _VARY:
            view = _VARY[trait](numbers, view)
    return view


def _facts(view: View, **facts: Any) -> View:
    m = view.market
    told = m.provided | {"instruments"}
    return replace(view, market=replace(m, instruments=replace(m.instruments, **facts), provided=told))


def _signals(view: View, *told: str, **signals: Any) -> View:
    m = view.market
    return replace(
        view, market=replace(m, signals=replace(m.signals, **signals), provided=m.provided | set(told))
    )


def _aliases(r: np.random.Generator, view: View) -> View:
    n = len(view.market.symbols)
    return _facts(view, underlying=r.integers(-1, max(n // 2, 1), n), cash_like=r.random(n) < 0.15)


def _clusters(r: np.random.Generator, view: View) -> View:
    """Correlations at and around the thresholds."""
    n, m = len(view.market.symbols), view.market
    drawn = np.triu(r.choice([0.0, 0.6, 0.65, 0.7, 0.75, 0.9, -0.65, -0.75, -0.9, 1.0, np.nan], (n, n)), 1)
    return replace(view, market=replace(m, correlation=drawn + drawn.T + np.eye(n)))


def _betas(r: np.random.Generator, view: View) -> View:
    n = len(view.market.symbols)
    odd = r.random(n) < 0.15
    beta = np.where(odd, r.choice([np.nan, np.inf], n), r.choice([0.5, 1.0, 1.25, -0.5, 2.0], n))
    return _signals(view, beta=beta)


def _contracts(r: np.random.Generator, view: View) -> View:
    """Futures of standard and tenth size beside shares, a scaling plan at and around its steps, entries at work."""
    a, n = view.books.qty.shape
    mini = r.choice([0.0, 0.1, 1.0, 1.0, np.nan, -1.0], n, p=[0.3, 0.2, 0.2, 0.2, 0.05, 0.05])
    view = _facts(view, mini_equivalents=mini)
    working = np.where(r.random((a, n)) < 0.3, r.choice([1.0, -2.0, 10.0], (a, n)), 0.0)
    start = view.states.initial_capital
    best = start + r.choice([0.0, 1_499.0, 1_500.0, 3_000.0, np.nan], a, p=[0.3, 0.2, 0.2, 0.2, 0.1])
    broker = replace(view.books.broker, working_entry_qty=working)
    return replace(view, books=replace(view.books, broker=broker), states=replace(view.states, eod_hwm=best))


def _correlation_breaks(r: np.random.Generator, view: View) -> View:
    a, m, states = len(view.books.accounts), view.market, view.states
    kind, until, column = (
        states.latch_kind.copy(),
        states.latch_until_ns.copy(),
        LATCHING_RULES.index("CC-11"),
    )
    slowed = r.random(a) < 0.3
    kind[:, column] = np.where(slowed, Release.TIMED, kind[:, column])
    until[:, column] = np.where(slowed, m.ts_ns + r.choice([1, 200_000], a) * S, until[:, column])
    view = replace(view, states=replace(states, latch_kind=kind, latch_until_ns=until))
    shift = float(r.choice([0.0, 2.0, 2.5, np.nan, np.inf]))
    return _signals(view, "correlation_shift", correlation_shift_sigmas=shift)


def _levered(r: np.random.Generator, view: View) -> View:
    n = len(view.market.symbols)
    return _facts(view, margin_rate=r.choice([0.0, 0.05, 0.5, 1.0, 1.5, np.nan, -1.0], n))


_VARY: dict[str, Callable[[np.random.Generator, View], View]] = {
    "aliases": _aliases,
    "clusters": _clusters,
    "betas": _betas,
    "contracts": _contracts,
    "correlation_breaks": _correlation_breaks,
    "levered": _levered,
}


def tune(
    r: np.random.Generator, traits: frozenset[str], put: Callable[..., None], pick: Callable[..., Any]
) -> None:
    """Parameters of this guard's rules: ``put(rule_id, **values)``, one of several by ``pick``."""
    if "clusters" in traits:
        put(
            "CC-05",
            max_cluster=pick("unlimited", "0", "0.2", "0.35"),
            rho_in=pick("0.7", "0.9"),
            rho_out=pick("0.6", "0.7"),
            min_obs=pick(1, 60),
        )
    if "pair_caps" in traits:
        put("CC-06", max_pair=pick("unlimited", "0", "0.1", "0.25"), rho=pick("0.6", "0.85", "0.95"))
    if "betas" in traits:
        put("CC-07", max_beta=pick("unlimited", "0", "0.2", "0.8"))
    if "contracts" in traits:
        steps = [{"eod_profit_ge": "0", "n": "2"}, {"eod_profit_ge": "1500", "n": "50"}]
        put("CC-09", mini_equivalents=pick("unlimited", "0", "5", "100"), scaling=pick((), steps, steps[1:]))
    if "risk_shares" in traits:
        put("CC-10", max_share=pick("unlimited", "0", "0.2", "0.35", "0.5"))
    if "correlation_breaks" in traits:
        put("CC-11", throttle=pick("0", "0.5", "1"), hold_days=pick(0, 1), sigmas=pick("2", "3"))
    if "firm_caps" in traits:
        put("CC-12", max_firm_weight=pick("unlimited", "0", "0.05", "0.1", "0.2"))
    if "levered" in traits:
        put(
            "CC-13",
            max_leverage=pick("0", "0.5", "1", "2"),
            margin_share=pick("0", "0.1", "0.6", "unlimited"),
        )
    else:
        put("CC-13", max_leverage="10", margin_share="unlimited")
