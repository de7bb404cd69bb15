"""Guard 6, execution and liquidity limits. They bound sizes and steps; only XL-04 and XL-05 move a target."""

from __future__ import annotations

import numpy as np

from regime_trading.core.numbers import F8, NANO, to_nano
from regime_trading.guards.constraint import Constraint, block, clamp
from regime_trading.guards.snapshot import Params, View, known_spread
from regime_trading.guards.variance import known_sigma
from regime_trading.guards.verdict import Verdict, least, verdict, worst

_MOST = 1e6


def _adv_weight(view: View, share: F8) -> F8:
    """``share · ADV_i`` as nanoweights of equity, float64 [A, N]; NaN where ADV or equity is unknown."""
    adv = view.market.adv
    usable = np.where(np.isfinite(adv) & (adv >= 0), adv, np.nan)
    equity = np.where(view.books.equity > 0, view.books.equity, np.nan)
    return to_nano(np.minimum(share[:, None] * usable / equity[:, None], _MOST))


def legs(view: View) -> tuple[F8, F8]:
    """How much of each change closes and how much opens a position, nanoweights ≥ 0, float64 [A, N]."""
    held, size = np.abs(view.held), view.size
    through_zero = view.books.proposed * view.held < 0
    closing = np.where(through_zero, held, np.maximum(held - size, 0.0))
    return closing, np.where(through_zero, size, np.maximum(size - held, 0.0))


def participation(view: View, k: Params) -> Verdict:
    """XL-03: ``|order_i| ≤ share · ADV_i`` a bar, entries and exits apart; paces steps, never the target.

    ADV unknown: no entry; exits are not held back by what is not known.
    """
    entry, leave = _adv_weight(view, k["entry_adv"]), _adv_weight(view, k["exit_adv"])
    unknown = np.isnan(entry)
    closing, opening = legs(view)
    limited = (opening > entry) | (closing > leave)
    return verdict(
        view,
        Constraint(pace_entry=np.where(unknown, 0.0, entry), pace_exit=np.where(unknown, np.inf, leave)),
        bound=limited,
        unknown=unknown & (closing + opening > 0),
        value=worst(np.maximum(closing, opening)),
        limit=least(entry),
        codes={"PACED": limited, "ADV_UNKNOWN": unknown},
    )


def liquidation(view: View, k: Params) -> Verdict:
    """XL-04: ``|w_i| · E ≤ days · adv_share · ADV_i``; ADV unknown: ``|w_i| ≤ unknown_adv_weight``."""
    known = _adv_weight(view, k["days"] * k["adv_share"])
    unknown = np.isnan(known)
    limit = np.where(unknown, k["unknown_adv_weight"][:, None], known)
    over = view.size > limit
    return verdict(
        view,
        clamp(limit),
        bound=over,
        unknown=unknown & (view.size > 0),
        value=worst(view.size),
        limit=least(limit),
        codes={"DAYS_TO_LIQUIDATE": over, "ADV_UNKNOWN": unknown},
    )


def entry_cost_bps(view: View, opening: F8, k_impact: F8) -> F8:
    """Half the spread and the square-root impact of opening ``opening`` nanoweights, float64 [A, N].

    NaN where spread, σ, ADV or equity is unknown; without volume there is no estimate either.
    """
    market = view.market
    adv = np.where(np.isfinite(market.adv) & (market.adv > 0), market.adv, np.nan)
    sigma_bps = np.where(known_sigma(market), market.sigma, np.nan) * 1e4
    equity = np.where(np.isfinite(view.books.equity) & (view.books.equity > 0), view.books.equity, np.nan)
    share = opening / NANO * equity[:, None] / adv
    return known_spread(market) / 2.0 + k_impact[:, None] * sigma_bps * np.sqrt(share)


def cost_gate(view: View, k: Params) -> Verdict:
    """XL-05: ``spread_i / 2 + k_impact · σ_i · √(order_i / ADV_i) ≤ max_cost_bps``, else BLOCK(i); entries only.

    ``order_i`` is the whole leg that opens, as proposed: the square-root law is about the order, however it is
    sliced. Source: Almgren et al. (2005), Tóth et al. (2011). A cost that is not known is no entry. The half of
    the gate that compares cost with the expected edge is not part of the rule: no edge is an input here, nor are
    fees.
    """
    opening = legs(view)[1]
    entry = opening > 0
    cost = np.where(entry, entry_cost_bps(view, opening, k["k_impact"]), np.nan)
    over = cost > k["max_cost_bps"][:, None]
    unknown = entry & np.isnan(cost)
    return verdict(
        view,
        block(over | unknown, view.held),
        bound=over,
        unknown=unknown,
        value=worst(cost),
        limit=k["max_cost_bps"],
        codes={"ENTRY_TOO_COSTLY": over, "COST_UNKNOWN": unknown},
    )


def turnover(view: View, k: Params) -> Verdict:
    """XL-06: Σ increases ≤ ``max_increase`` of equity a bar; reductions are free."""
    increase = legs(view)[1].sum(axis=1)
    over = increase > k["max_increase"]
    return verdict(
        view,
        Constraint(turnover=k["max_increase"]),
        bound=over,
        off=np.isinf(k["max_increase"]),
        value=increase,
        limit=k["max_increase"],
        codes={"TURNOVER": over},
    )


def small_orders(view: View, k: Params) -> Verdict:
    """XL-07: an entry is skipped below ``min_notional`` or below the dead band; applied to the step plan.

    The dead band covers entries and elective reductions, never a reduction that a limit or a mode demands, and
    never a full exit. Quantities round toward zero to the lot.
    """
    nobody = np.zeros(view.n_accounts, dtype=np.bool_)
    return verdict(view, Constraint(), bound=nobody, limit=k["min_notional"], codes={"SKIPPED": nobody})
