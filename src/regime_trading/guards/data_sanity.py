"""Guard 1, data sanity: nothing downstream may use a field that failed here."""

from __future__ import annotations

import numpy as np

from regime_trading.core.numbers import B1, F8, I8
from regime_trading.core.rules import TradingState
from regime_trading.guards.constraint import block, halt, meet, mode, stay
from regime_trading.guards.snapshot import (
    BROKEN_TAPE,
    CROSSED_BOOK,
    LOCKED_BOOK,
    Market,
    Params,
    View,
    known_spread,
    missing_mark,
)
from regime_trading.guards.variance import thin_history
from regime_trading.guards.verdict import Verdict, least, verdict, worst


def _fresh(age: F8, limit: F8) -> B1:
    """Known, not from the future, and not older than the limit."""
    fresh: B1 = (age >= 0) & (age <= limit)
    return fresh


def stale_price(view: View, k: Params) -> Verdict:
    """DS-01: ``age_i ≤ max_age_bars`` (in bars of the source), else BLOCK(i).

    Source: FIA (2015), market-data reasonability. An unknown age is stale, and so is one from the future.
    """
    age = view.market.age_bars
    stale = ~_fresh(age[None, :], k["max_age_bars"][:, None])
    return verdict(
        view,
        block(stale, view.held),
        bound=stale,
        unknown=stale & np.isnan(age),
        value=view.everyone(worst(age[None, :])[0]),
        limit=k["max_age_bars"],
        codes={"STALE_PRICE": stale},
    )


def missing_price(view: View, k: Params) -> Verdict:
    """DS-02: ``P_i`` finite and > 0, else BLOCK(i) and no order; never imputed, never zero."""
    missing = view.per_asset(missing_mark(view.market))
    return verdict(
        view,
        halt(missing, view.held),
        bound=missing,
        unknown=missing,
        value=missing.sum(axis=1).astype(np.float64),
        limit=view.everyone(0.0),
        codes={"PRICE_MISSING": missing},
    )


def price_moves(market: Market, k: Params) -> tuple[F8, F8]:
    """Absolute log move since the last clean mark [1, N] (NaN = nothing to compare), and its bound [A, N]."""
    both = np.isfinite(market.price) & (market.price > 0) & (market.ref_price > 0)
    ratio = np.divide(market.price, market.ref_price, out=np.full(len(both), np.nan), where=both)
    move = np.abs(np.log(ratio))[None, :]
    sigma = np.where(np.isfinite(market.sigma), market.sigma, 0.0)
    bound = np.maximum(k["k_sigma"][:, None] * sigma, k["abs_move"][:, None])
    return move, bound


def price_jump(view: View, k: Params) -> Verdict:
    """DS-03: ``|ln(P_i / P_ref,i)| ≤ max(k_sigma · σ_i, abs_move)``, else NO_TRADE(i) until the next bar confirms.

    Source: RTS 6 article 15 price collars. Without a reference there is nothing to compare: pass; without σ
    the absolute bound stands alone.
    """
    move, bound = price_moves(view.market, k)
    jumped = move > bound
    return verdict(
        view,
        stay(jumped),
        bound=jumped,
        value=view.everyone(worst(move)[0]),
        limit=k["abs_move"],
        codes={"PRICE_JUMP_UNCONFIRMED": jumped},
    )


def book(view: View, k: Params) -> Verdict:
    """DS-04: ``bid_i < ask_i``, ``spread_i ≤ max_spread_bps`` and a tape that is not broken, else BLOCK(i).

    Crossed, locked, or ``spread_i > hard_multiple · max_spread_bps``: NO_TRADE(i), for no price of such a book is
    one to exit at. Not known on a source that has quotes: BLOCK(i); a declared spread stands in only for a source
    that has none.
    """
    market = view.market
    spread = known_spread(market)[None, :]
    wide = spread > k["max_spread_bps"][:, None]
    extreme = spread > (k["hard_multiple"] * k["max_spread_bps"])[:, None]
    locked = view.per_asset(market.book == LOCKED_BOOK)
    crossed = view.per_asset(market.book == CROSSED_BOOK)
    broken = view.per_asset(market.tape_grade == BROKEN_TAPE)
    unknown = np.isnan(spread) & ~locked & ~crossed
    return verdict(
        view,
        meet(block(wide | broken | unknown, view.held), stay(extreme | locked | crossed)),
        bound=wide | locked | crossed | broken,
        unknown=unknown,
        value=view.everyone(worst(spread)[0]),
        limit=k["max_spread_bps"],
        codes={
            "SPREAD_WIDE": wide,
            "SPREAD_EXTREME": extreme,
            "BOOK_LOCKED": locked,
            "BOOK_CROSSED": crossed,
            "TAPE_BROKEN": broken,
            "BOOK_UNKNOWN": unknown,
        },
    )


def bar_integrity(view: View, k: Params) -> Verdict:
    """DS-05: ``completeness_i ≥ min_completeness`` and ``gap_i ≤ max_gap_bars``, else BLOCK(i)."""
    completeness = np.where(np.isfinite(view.market.completeness), view.market.completeness, np.nan)
    incomplete = ~(completeness[None, :] >= k["min_completeness"][:, None])
    gap = view.market.gap[None, :] > k["max_gap_bars"][:, None]
    bad = incomplete | gap
    return verdict(
        view,
        block(bad, view.held),
        bound=bad,
        unknown=incomplete & np.isnan(completeness),
        value=view.everyone(least(completeness[None, :])[0]),
        limit=k["min_completeness"],
        codes={"BARS_INCOMPLETE": incomplete, "BARS_GAP": gap},
    )


def proposal_defects(view: View, k: Params) -> dict[str, B1]:
    """Why a proposal cannot be used, by reason code; bool [A]."""
    age = view.books.proposal_age_bars
    none = np.isnan(age)
    finite = np.logical_and.reduce(np.isfinite(view.books.proposed), axis=1)
    return {
        "PROPOSAL_MISSING": none,
        "PROPOSAL_STALE": ~none & ~_fresh(age, k["max_age_bars"]),
        "PROPOSAL_NOT_FINITE": ~none & ~finite,
        "PROPOSAL_WEIGHT": np.logical_or.reduce(view.size > k["abs_weight_max"][:, None], axis=1),
        "PROPOSAL_GROSS": view.size.sum(axis=1) > k["gross_max"],
    }


def proposal_sanity(view: View, k: Params) -> Verdict:
    """DS-11: finite, ``|p_i| ≤ abs_weight_max``, ``Σ|p| ≤ gross_max``, ``age ≤ max_age_bars``.

    Else the whole proposal is refused and the book is held; reductions stay allowed. One bad symbol is
    never dropped silently: it may be the hedge. This rule alone looks at the proposal as it arrived.
    """
    defects = proposal_defects(view, k)
    refused = np.logical_or.reduce(list(defects.values()))
    return verdict(
        view,
        block(np.repeat(refused[:, None], view.n_assets, axis=1), view.held),
        bound=refused,
        unknown=defects["PROPOSAL_MISSING"],
        value=view.books.proposal_age_bars,
        limit=k["max_age_bars"],
        codes=defects,
    )


def covariance_health(view: View, k: Params) -> Verdict:
    """DS-12: ``n_obs,i ≥ min_obs`` and ``cond(Σ) ≤ max_condition``, else BLOCK(i) (all assets for cond).

    What fails here enters book volatility as VT-06 says: substitute σ for thin assets, ρ = 1 for both.
    """
    thin, ill = thin_history(view, k)
    bad = thin | ill[:, None]
    n_obs: I8 = view.market.n_obs
    return verdict(
        view,
        block(bad, view.held),
        bound=bad,
        unknown=ill & np.isnan(view.market.condition),
        value=view.everyone(float(n_obs.min()) if n_obs.size else np.nan),
        limit=k["min_obs"].astype(np.float64),
        codes={"TOO_FEW_RETURNS": thin, "COVARIANCE_ILL_CONDITIONED": ill},
    )


def equity_freshness(view: View, k: Params) -> Verdict:
    """DS-14: ``age(E) ≤ max_age_bars`` and E known, else REDUCE_ONLY. Never FLATTEN: a dead feed dumps no book."""
    age = view.books.equity_age_bars
    unknown = ~np.isfinite(view.books.equity)
    stale = ~_fresh(age, k["max_age_bars"]) | view.books.equity_estimated
    return verdict(
        view,
        mode(unknown | stale, TradingState.REDUCE_ONLY),
        bound=stale,
        unknown=unknown | np.isnan(age),
        value=age,
        limit=k["max_age_bars"],
        codes={"EQUITY_UNKNOWN": unknown, "EQUITY_STALE": stale},
    )
