"""Guard 4, volatility targeting. Only ever scales down."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from regime_trading.core.numbers import B1, F8, I8, NANO, to_nano
from regime_trading.core.rules import RegimeBudget, Release
from regime_trading.core.schemas import REGIME_LABELS, RegimeLabel
from regime_trading.guards.budgets import mean_worst, scenario_losses
from regime_trading.guards.constraint import Constraint, Rise, Tail, Tilt, block, clamp, holds, meet
from regime_trading.guards.snapshot import Happened, Params, States, View, known_or_zero
from regime_trading.guards.tail import complete_scenarios, cornish_fisher
from regime_trading.guards.variance import known_price_sigma, known_sigma
from regime_trading.guards.verdict import LatchRequest, TimerRequest, Verdict, verdict, worst

_UNCERTAIN = REGIME_LABELS.index(RegimeLabel.UNCERTAIN)
assert all(label in RegimeBudget.model_fields for label in REGIME_LABELS)


def sigma_target(view: View, k: Params) -> Verdict:
    """VT-01: ``k · σ̃(p, a) ≤ sigma_target``, annualised; the budget is spent in the projection (``risk.md`` 2.4).

    From one session to the next k rises by at most ``max_k_rise``, and below 1 by no less than ``min_k_change`` (no
    churn); a session that was missed counts too, and within one session k only falls. Without a memory of k nothing
    holds it back. An unknown σ is the matter of VT-06: in σ̃ it counts with its prior. Source: Moreira and Muir
    (2017) for the scaling, ``risk.md`` 1.4 for its asymmetry.
    """
    limit, states = k["sigma_target"], view.states
    recalled = (states.k_session >= 0) & np.isfinite(limit)
    sessions = np.maximum(view.market.session - states.k_session, 0)
    rise = Rise(
        "VT-01",
        last=np.where(recalled, known_or_zero(states.k_last), 0.0),
        most=np.where(recalled, sessions * k["max_k_rise"], np.inf),
        least=np.where(recalled, k["min_k_change"], 0.0),
    )
    return verdict(
        view,
        Constraint(vol=limit, rises=(rise,) if holds(recalled) else ()),
        bound=np.zeros(view.n_accounts, dtype=np.bool_),
        off=np.isinf(limit),
        limit=limit,
    )


def asset_volatility(view: View, k: Params) -> Verdict:
    """VT-02: ``σ_i · |w_i| ≤ max_annual_vol``, annualised, else CLAMP(i).

    σ_i unknown: BLOCK(i). Source: ``risk.md`` 1.4.
    """
    limit = k["max_annual_vol"]
    if np.count_nonzero(np.isinf(limit)) == len(limit):
        return _switched_off(view, limit)
    known = known_sigma(view.market)
    annual = np.where(known, view.market.sigma, np.nan) * np.sqrt(view.market.annual)
    off, unknown = np.isinf(limit), view.per_asset(~known)
    with np.errstate(invalid="ignore"):
        room = np.where(unknown | off[:, None], np.inf, to_nano(limit[:, None] / annual))
    over = view.size > room
    unknown &= ~off[:, None]
    return verdict(
        view,
        meet(clamp(room), block(unknown, view.held)),
        bound=over,
        unknown=unknown,
        off=off,
        value=np.where(off, np.nan, worst(view.size / NANO * annual)),
        limit=limit,
        codes={"ASSET_VOLATILITY": over, "VOLATILITY_UNKNOWN": unknown},
    )


def _switched_off(view: View, limit: F8) -> Verdict:
    """No account has a limit: nothing is measured."""
    return verdict(
        view, Constraint(), bound=np.zeros(view.n_accounts, dtype=np.bool_), off=np.isinf(limit), limit=limit
    )


def volatility_shock(view: View, k: Params) -> Verdict:
    """VT-03: ``|15-minute return| ≤ sigmas · σ_24h``, else BLOCK(i) for ``hold_s``; the market proxy beyond it:
    THROTTLE(market_throttle) for ``hold_s``.

    The market's shock is remembered by a TIMED latch in state NORMAL, an asset's by a timer. A move that is not
    known is held for as long as it is unknown, and starts neither. Nothing is closed here: that is guard 3's.
    Source: ``risk.md`` 1.4, with the threshold of the earlier regime tool named there.
    """
    signals, limit = view.market.signals, k["sigmas"]
    moves, market = signals.shock_sigmas, signals.market_shock_sigmas
    known = np.isfinite(moves) & (moves >= 0)
    market_known = bool(np.isfinite(market)) and market >= 0
    shock = known & (np.where(known, moves, 0.0) > limit[:, None])
    market_shock = np.full(view.n_accounts, market_known) & (market > limit)
    unknown = view.per_asset(~known)
    until: I8 = view.market.ts_ns + k["hold_s"] * 1_000_000_000
    still = view.states.timed("VT-03", view.market.ts_ns)
    struck = market_shock | view.states.latched("VT-03")
    slow = struck | (not market_known)
    throttle = np.where(slow, k["market_throttle"], 1.0)
    held = shock | still
    largest = float(
        np.fmax.reduce(np.where(known, moves, np.nan), initial=market if market_known else np.nan)
    )
    return verdict(
        view,
        meet(block(held | unknown, view.held), Constraint(throttle=throttle if holds(slow) else None)),
        bound=np.logical_or.reduce(held, axis=1) | slow,
        unknown=np.logical_or.reduce(unknown, axis=1) | (not market_known),
        value=view.everyone(largest),
        limit=limit,
        codes={
            "VOLATILITY_SHOCK": held,
            "MARKET_SHOCK": struck,
            "SHOCK_UNKNOWN": unknown,
            "MARKET_SHOCK_UNKNOWN": np.full(view.n_accounts, not market_known),
        },
        latch=timed_latch(market_shock, until),
        timer=TimerRequest(shock, np.repeat(until[:, None], view.n_assets, axis=1)),
    )


def tail_risk(view: View, k: Params) -> Verdict:
    """VT-05: ``ES_confidence(one bar) ≤ max_es``; historical, and Cornish-Fisher beside it, the worse of both.

    The historical one is a budget of the projection, with hedge credit only for hedges that survive; Cornish-Fisher
    scales the book as proposed. With fewer than ``min_obs`` scenarios in which every asset that is proposed or held
    has a return, the tail is unknown: BLOCK(all). Source: Acerbi and Tasche (2002); Maillard (2012).
    """
    limit = k["max_es"] / NANO
    off = np.isinf(limit)
    if np.count_nonzero(off) == len(off):
        return _switched_off(view, limit)
    scenarios = np.ascontiguousarray(view.market.signals.scenarios)
    proposed = view.books.proposed / NANO
    used = (view.books.proposed != 0) | (view.held != 0) | np.isnan(view.books.current)
    some = np.logical_or.reduce(used, axis=1)
    unknown = some & (complete_scenarios(used, scenarios) < k["min_obs"]) & ~off
    losses = scenario_losses(proposed, np.zeros_like(proposed), np.ones_like(proposed), scenarios)[0]
    historical = np.maximum(mean_worst(losses, k["confidence"]), 0.0)
    expanded = cornish_fisher(losses, k["confidence"])
    worse = np.maximum(historical, expanded)
    heavy = expanded > limit
    share = np.divide(limit * (1.0 - 1e-7), expanded, out=np.ones_like(limit), where=heavy)
    whole = np.where(heavy, share * view.size.sum(axis=1), np.inf)
    return verdict(
        view,
        meet(
            Constraint(
                tails=(Tail("VT-05", k["confidence"], limit),),
                tilts=(Tilt("VT-05", np.sign(view.books.proposed), whole),),
            ),
            block(np.repeat(unknown[:, None], view.n_assets, axis=1), view.held),
        ),
        bound=worse > limit,
        unknown=unknown,
        off=off,
        value=to_nano(np.where(off | unknown, np.nan, worse)),
        limit=k["max_es"],
        codes={
            "TAIL_RISK": historical > limit,
            "FAT_TAILS": heavy,
            "SCENARIOS_UNKNOWN": unknown,
        },
    )


def timed_latch(fire: B1, until_ns: I8) -> LatchRequest:
    """A latch that holds no account back by its state, only remembers until ``until_ns``; int64 [A]."""
    return LatchRequest(
        fire=fire,
        state=np.zeros(len(fire), dtype=np.int8),
        kind=np.full(len(fire), Release.TIMED, dtype=np.int8),
        until_ns=until_ns,
    )


def regime_budget(view: View, k: Params) -> Verdict:
    """VT-04: ``book factor ≤ multiplier(label)``; below ``min_confidence`` the label counts as uncertain.

    A regime can never raise a limit: multipliers are ≤ 1, and doubt never loosens what the label says. A
    confidence that is not in [0, 1] is no confidence.
    """
    label, confidence = view.market.label, view.market.confidence
    known = 0 <= label < len(REGIME_LABELS)
    named: F8 = k[REGIME_LABELS[label if known else _UNCERTAIN]]
    unsure: B1 = ~((confidence >= k["min_confidence"]) & (confidence <= 1.0)) | (not known)
    throttle: F8 = np.where(unsure, np.minimum(named, k[REGIME_LABELS[_UNCERTAIN]]), named)
    throttled = throttle < 1.0
    return verdict(
        view,
        Constraint(throttle=throttle if holds(throttled) else None),
        bound=throttled,
        value=view.everyone(confidence),
        limit=k["min_confidence"],
        codes={"REGIME_THROTTLE": throttled, "REGIME_UNSURE": unsure},
    )


def unknown_volatility(view: View, k: Params) -> Verdict:
    """VT-06: σ_i known and > 0, else BLOCK(i). Zero variance is missing, not riskless.

    σ_i is that of returns in account currency: without the volatility of the currency a foreign asset has none.

    In book factors such an asset counts with :func:`~regime_trading.guards.variance.effective_sigma` and ρ = 1.
    """
    unknown = view.per_asset(~known_sigma(view.market))
    currency = unknown & view.per_asset(np.isfinite(known_price_sigma(view.market)))
    return verdict(
        view,
        block(unknown, view.held),
        bound=unknown,
        unknown=unknown,
        value=unknown.sum(axis=1).astype(np.float64),
        limit=view.everyone(0.0),
        codes={"VOLATILITY_UNKNOWN": unknown & ~currency, "FX_VOLATILITY_UNKNOWN": currency},
    )


def remember(view: View, knobs: Mapping[str, Params], happened: Happened) -> States:
    """What this guard carries from cycle to cycle, moved forward by one (``guards.memory``)."""
    return view.states
