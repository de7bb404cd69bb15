"""Guard 4: what makes random scenes hit its rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from regime_trading.core.rules import LATCHING_RULES, TIMER_RULES, Release
from regime_trading.guards.snapshot import View

TRAITS: tuple[str, ...] = ("recalled_k", "own_vol", "shocks", "tails")
S = 10**9


def vary(r: np.random.Generator, traits: frozenset[str], view: View) -> View:
    """The view with this guard's part of the world as the traits ask; untouched without them."""
    for trait in TRAITS:
        numbers = np.random.default_rng(r.integers(2**63))  # a trait's numbers do not depend on its company
        if trait in traits and trait in _VARY:
            view = _VARY[trait](numbers, view)
    return view


def _recalled_k(r: np.random.Generator, view: View) -> View:
    a, session = len(view.books.accounts), view.market.session
    states = replace(
        view.states,
        k_last=r.choice([0.0, 0.3, 0.5, 0.75, 0.97, 1.0, np.nan], a),
        k_session=r.choice([-1, session - 2, session - 1, session, session + 1], a).astype(np.int64),
    )
    return replace(view, states=states)


def _shocks(r: np.random.Generator, view: View) -> View:
    a, n, m = len(view.books.accounts), len(view.market.symbols), view.market
    moves = np.where(r.random(n) < 0.4, r.choice([3.0, 3.5, 9.0, np.nan, -1.0, np.inf], n), 1.0)
    market = float(r.choice([0.5, 3.0, 4.0, np.nan, -1.0], p=[0.4, 0.2, 0.2, 0.1, 0.1]))
    signals = replace(m.signals, shock_sigmas=moves, market_shock_sigmas=market)
    states, row, column = view.states, TIMER_RULES.index("VT-03"), LATCHING_RULES.index("VT-03")
    timer, kind, until = states.timer_ns.copy(), states.latch_kind.copy(), states.latch_until_ns.copy()
    started, slowed = r.random((a, n)) < 0.2, r.random(a) < 0.2
    timer[:, row] = np.where(started, m.ts_ns + r.choice([-1, 0, 1, 9_000], (a, n)) * S, timer[:, row])
    kind[:, column] = np.where(slowed, Release.TIMED, kind[:, column])
    until[:, column] = np.where(slowed, m.ts_ns + r.choice([1, 7_200], a) * S, until[:, column])
    return replace(
        view,
        market=replace(m, signals=signals, provided=m.provided | {"intraday"}),
        states=replace(states, timer_ns=timer, latch_kind=kind, latch_until_ns=until),
    )


def _tails(r: np.random.Generator, view: View) -> View:
    """Few scenarios, some with a crash, some on a coarse grid (equal losses), some with holes."""
    n, m = len(view.market.symbols), view.market
    rows = int(r.choice([0, 1, 5, 20, 40]))
    common = r.normal(0, 0.02, (rows, 1))
    moves = common * r.choice([-1.0, 0.5, 1.0], n) + r.normal(0, 0.01, (rows, n))
    moves = np.where(r.random((rows, 1)) < 0.05, -0.2, moves)
    moves = np.round(moves, 2) if r.random() < 0.5 else moves
    moves = np.where(r.random((rows, n)) < r.choice([0.0, 0.05]), np.nan, moves)
    return replace(view, market=replace(m, signals=replace(m.signals, scenarios=moves)))


_VARY: dict[str, Callable[[np.random.Generator, View], View]] = {
    "recalled_k": _recalled_k,
    "shocks": _shocks,
    "tails": _tails,
}


def tune(
    r: np.random.Generator, traits: frozenset[str], put: Callable[..., None], pick: Callable[..., Any]
) -> None:
    """Parameters of this guard's rules: ``put(rule_id, **values)``, one of several by ``pick``."""
    if "recalled_k" in traits:
        put("VT-01", max_k_rise=pick("0", "0.1", "0.25", "1"), min_k_change=pick("0", "0.05", "0.3"))
    if "own_vol" in traits:
        put("VT-02", max_annual_vol=pick("unlimited", "0", "0.005", "0.02", "0.05"))
    if "shocks" in traits:
        put("VT-03", sigmas=pick("3", "2.5"), hold_s=pick(0, 3600), market_throttle=pick("0", "0.5", "1"))
    if "tails" in traits:
        put(
            "VT-05",
            max_es=pick("unlimited", "0", "0.005", "0.01", "0.03"),
            confidence=pick("0.6", "0.9", "0.975"),
            min_obs=pick(1, 5, 20, 250),
        )
