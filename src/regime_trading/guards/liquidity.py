"""Guard 6, execution and liquidity: size and cost. XL-01, XL-02, XL-04, XL-05 may move a target, the others a step.

The rules of order traffic are in ``guards.traffic``; what becomes of orders, in ``guards.slicing``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numba
import numpy as np

from regime_trading.core.numbers import B1, F8, NANO, to_nano
from regime_trading.guards.constraint import UNCONSTRAINED, Constraint, block, clamp, holds
from regime_trading.guards.snapshot import (
    Happened,
    Params,
    States,
    View,
    known_spread,
    missing_mark,
    nano_weights,
)
from regime_trading.guards.variance import known_price_sigma
from regime_trading.guards.verdict import Verdict, least, verdict, worst

_MOST = 1e6


def usable_equity(view: View) -> F8:
    """Equity that orders can be weighed with, float64 [A]; NaN where it is unknown or not above zero."""
    equity = view.books.equity
    return np.where(np.isfinite(equity) & (equity > 0), equity, np.nan)


def _adv_weight(view: View, share: F8) -> F8:
    """``share · ADV_i`` as nanoweights of equity, float64 [A, N]; NaN where ADV or equity is unknown."""
    adv = view.market.adv
    usable = np.where(np.isfinite(adv) & (adv >= 0), adv, np.nan)
    return to_nano(np.minimum(share[:, None] * usable / usable_equity(view)[:, None], _MOST))


def known_unit_value(view: View) -> F8:
    """Account-currency value of one unit, float64 [N]; NaN where price, multiplier or rate is unknown."""
    value = view.market.unit_value()
    known = ~missing_mark(view.market) & np.isfinite(value) & (value > 0)
    return np.where(known, value, np.nan)


def _nano_up(weight: F8) -> F8:
    """Nanoweights of plain weights, rounded up: so many whole lots stay so many."""
    down = to_nano(weight)
    return np.where(
        np.isfinite(weight) & (weight * NANO - down > 1e-6 + np.abs(down) * 4e-16), down + 1.0, down
    )


def legs(view: View) -> tuple[F8, F8]:
    """How much of each change closes and how much opens a position, nanoweights ≥ 0, float64 [A, N]."""
    return _legs(view.books.proposed, view.held, view.size)


@numba.njit(cache=True)
def _legs(proposed: F8, held: F8, size: F8) -> tuple[F8, F8]:  # pragma: no cover
    closing, opening = np.empty_like(held), np.empty_like(held)
    for r in range(held.shape[0]):
        for i in range(held.shape[1]):
            have, want = abs(held[r, i]), size[r, i]
            turns = proposed[r, i] * held[r, i] < 0.0
            closing[r, i] = have if turns else max(have - want, 0.0)
            opening[r, i] = want if turns else max(want - have, 0.0)
    return closing, opening


def largest_order(view: View, k: Params) -> tuple[F8, F8]:
    """``min(max_notional_pct · E, max_notional_money, max_qty · value_i)`` for entries and for exits, float64 [A, N].

    Nanoweights, +inf where nothing limits. Where the equity, or the price that ``max_qty`` needs, is unknown, that of
    entries is NaN; exits keep to what is known.
    """
    equity = usable_equity(view)[:, None]
    share = np.where(np.isnan(equity), np.nan, k["max_notional_pct"][:, None])
    by_weight = np.repeat(
        np.minimum(share, to_nano(k["max_notional_money"][:, None] / equity)), view.n_assets, axis=1
    )
    units = k["max_qty"][:, None]
    value = np.minimum(np.where(np.isinf(units), 1.0, units) * known_unit_value(view) / equity, _MOST)
    by_units = np.where(np.isinf(units), np.inf, _nano_up(value))
    exits = np.fmin(by_weight, by_units)
    return np.minimum(by_weight, by_units), np.where(np.isnan(exits), np.inf, exits)


def order_size(view: View, k: Params) -> Verdict:
    """XL-01: ``|order_i| ≤ min(max_notional_pct · E, max_notional_money, max_qty)``: longer legs leave in slices.

    A leg, as proposed, that opens more than ``reject_multiple`` times that is an error of whoever proposed it:
    BLOCK(i). So is an entry of which one lot is more. Exits are sliced, never refused. Equity or the price of a
    quantity unknown: no entry, exits unsliced. Source: SEC rule 15c3-5; Delegated Regulation (EU) 2017/589
    article 15(1)(b, c).
    """
    off = np.isinf(k["max_notional_pct"]) & np.isinf(k["max_notional_money"]) & np.isinf(k["max_qty"])
    most, most_exit = (np.where(off[:, None], np.inf, size) for size in largest_order(view, k))
    closing, opening = legs(view)
    unknown = np.isnan(most) & (opening > 0)
    ceiling = most * k["reject_multiple"][:, None]
    lot = nano_weights(
        np.broadcast_to(view.market.lot, opening.shape), known_unit_value(view), view.books.equity
    )
    too_large = opening > ceiling
    lot_too_large = (opening > 0) & (lot > most) & ~off[:, None]
    return verdict(
        view,
        Constraint(
            slice_entry=np.where(np.isnan(most), 0.0, most),
            slice_exit=most_exit,
            lo=(refused := block(too_large | lot_too_large | unknown, view.held)).lo,
            hi=refused.hi,
        ),
        bound=too_large | lot_too_large,
        unknown=unknown,
        off=off,
        value=worst(opening),
        limit=least(ceiling),
        codes={
            "ORDER_TOO_LARGE": too_large,
            "LOT_TOO_LARGE": lot_too_large,
            "SLICED": (opening > most) | (closing > most_exit),
            "ORDER_SIZE_UNKNOWN": unknown,
        },
    )


def collar_of(view: View, k: Params) -> F8:
    """Collar of entries by asset class, fraction of the reference; float64 [A, N]."""
    facts = view.market.instruments
    collar = np.repeat(k["entry_pct"][:, None], view.n_assets, axis=1)
    for name in ("fx", "crypto"):
        if name in facts.classes:
            member = facts.asset_class == facts.classes.index(name)
            collar = np.where(member, k[f"{name}_pct"][:, None], collar)
    return collar


def collar(view: View, k: Params) -> Verdict:
    """XL-02: ``|limit price / reference − 1| ≤ collar of the class``; entries and exits leave as limit orders.

    The reference is the mark of a clean quote. Exits that do not fill widen 1×, 2×, 4×, 8× up to
    ``exit_ladder_max`` (``slicing.limit_prices``). Quote unknown: BLOCK(i); an exit then has no limit price. Where
    half the spread is wider than the collar, an entry rests inside the spread (COLLARED). Source: Delegated
    Regulation (EU) 2017/589 article 15(1)(a).
    """
    limit = collar_of(view, k)
    half = np.where(missing_mark(view.market), np.nan, known_spread(view.market) / 2e4)
    entry = legs(view)[1] > 0
    unknown = entry & np.isnan(half)
    collared = entry & (half > limit)
    unpriced = block(unknown, view.held)
    return verdict(
        view,
        Constraint(collar=limit, lo=unpriced.lo, hi=unpriced.hi),
        bound=collared,
        unknown=unknown,
        value=worst(np.where(entry, half, np.nan)),
        limit=least(limit),
        codes={"COLLARED": collared, "REFERENCE_UNKNOWN": unknown},
    )


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
        Constraint(
            pace_entry=np.where(unknown, 0.0, entry),
            pace_exit=np.where(leave < np.abs(view.held), leave, np.inf),  # no exit is more than the position
        ),
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
    sigma_bps = known_price_sigma(market) * 1e4
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
    """XL-07: an entry is skipped below ``min_notional``, below the venue's own minimum (the larger of both), or
    below the dead band; applied to the step plan.

    The dead band covers entries and elective reductions, never a reduction that a limit or a mode demands, and
    never a full exit. Quantities round toward zero to the lot.
    """
    nobody = np.zeros(view.n_accounts, dtype=np.bool_)
    return verdict(view, Constraint(), bound=nobody, limit=k["min_notional"], codes={"SKIPPED": nobody})


def working_weight(view: View) -> F8:
    """Nanoweights of the entries that work at the broker, signed, float64 [A, N]; NaN = not known."""
    working = view.books.broker.working_entry_qty
    return np.where(
        np.isfinite(working), nano_weights(working, known_unit_value(view), view.books.equity), np.nan
    )


def buying_power(view: View, k: Params) -> Verdict:
    """XL-15: ``(Σ increases + Σ |working entries|) · E · (1 + fee_pct) ≤ buying power``; a budget of the step.

    It is met with the turnover of XL-06. Buying power, equity or a working entry unknown: BLOCK of every
    increase. Source: SEC rule 15c3-5, credit and capital thresholds, open orders included.
    """
    power = view.books.broker.buying_power
    gross = to_nano(
        np.minimum(
            np.where(np.isfinite(power), power, np.nan) / usable_equity(view) / (1.0 + k["fee_pct"]), _MOST
        )
    )
    left = gross - np.abs(working_weight(view)).sum(axis=1)  # whole nanoweights: exact
    missing = np.isnan(left)
    budget = np.maximum(left, 0.0)
    increases = legs(view)[1]
    total = increases.sum(axis=1)
    over = total > budget
    unknown = missing & (total > 0)
    blind = block(unknown[:, None] & (increases > 0), view.held)
    turnover = np.where(over, budget, np.inf)
    return verdict(
        view,
        Constraint(turnover=turnover if holds(over) else None, lo=blind.lo, hi=blind.hi),
        bound=over,
        unknown=unknown,
        value=total,
        limit=budget,
        codes={"BUYING_POWER": over, "BUYING_POWER_UNKNOWN": unknown},
    )


def impact(view: View, k: Params) -> Verdict:
    """XL-18: ``k_impact · σ_i · √(order_i / ADV_i) ≤ max_impact_bps``: an entry takes at most the order that does.

    ``order_i ≤ (max_impact_bps / (k_impact · σ_i))² · ADV_i``, a pace: the target stays. The value is the impact
    of the whole opening leg, as proposed. σ or ADV unknown: no entry. Source: the square-root law, Tóth et al. (2011).
    """
    market, opening = view.market, legs(view)[1]
    cap = k["max_impact_bps"][:, None]
    adv = np.where(np.isfinite(market.adv) & (market.adv > 0), market.adv, np.nan)
    sigma_bps = known_price_sigma(market) * 1e4
    share = adv / usable_equity(view)[:, None]
    slope = k["k_impact"][:, None] * sigma_bps
    with np.errstate(divide="ignore", invalid="ignore"):
        most = np.where(slope == 0, np.inf, np.square(cap / slope)) * share
    pace = to_nano(np.minimum(most, _MOST))
    limited = ~np.isinf(cap) & (opening > 0)
    unknown = limited & np.isnan(pace)
    over = limited & (opening > pace)
    held_back = over | unknown
    return verdict(
        view,
        _entries_at_most(held_back, np.where(unknown, 0.0, pace)),
        bound=over,
        unknown=unknown,
        off=np.isinf(k["max_impact_bps"]),
        value=worst(np.where(limited, slope * np.sqrt(opening / NANO / share), np.nan)),
        limit=k["max_impact_bps"],
        codes={"IMPACT": over, "IMPACT_UNKNOWN": unknown},
    )


def _entries_at_most(assets: B1, pace: F8) -> Constraint:
    return Constraint(pace_entry=np.where(assets, pace, np.inf)) if holds(assets) else UNCONSTRAINED


def remember(view: View, knobs: Mapping[str, Params], happened: Happened) -> States:
    """What this guard carries from cycle to cycle, moved forward by one (``guards.memory``)."""
    return view.states
