"""Guard 1, data sanity: nothing downstream may use a field that failed here.

Prices, books, bars, proposals and estimates; sources, clocks, rates and instruments are in ``guards.data_state``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from regime_trading.core.numbers import B1, F8, I8, log_of
from regime_trading.core.rules import RECOVERING_RULES, RULE_BY_ID, TradingState
from regime_trading.guards.constraint import block, halt, meet, meet_all, mode, stay
from regime_trading.guards.data_state import diverging, last_rates, metadata_unusable, rate_unusable
from regime_trading.guards.recovery import closed_session, fresh, observed, recovering
from regime_trading.guards.snapshot import (
    BROKEN_TAPE,
    CROSSED_BOOK,
    LOCKED_BOOK,
    Happened,
    Market,
    Params,
    States,
    View,
    known_or_zero,
    known_spread,
    missing_mark,
)
from regime_trading.guards.variance import thin_history
from regime_trading.guards.verdict import Verdict, any_asset, least, verdict, worst


@dataclass(frozen=True, slots=True)
class Staleness:
    """DS-01 in parts, bool [A, N]: old bars, old quotes, a feed that ticks without moving, a quote too old to weigh
    a position by, an age that is not known."""

    bar: B1
    quote: B1
    frozen: B1
    unweighable: B1
    unknown: B1

    @property
    def any(self) -> B1:
        """Anything that blocks the asset."""
        return self.bar | self.quote | self.frozen


def staleness(view: View, k: Params) -> Staleness:
    """What is stale and why; in a closed session nothing is. Quote ages count where the source itself has quotes."""
    market, signals = view.market, view.market.signals
    watched = ~closed_session(market)
    bar = ~fresh(market.age_bars[None, :], k["max_age_bars"][:, None]) & watched
    unknown = view.per_asset(np.isnan(market.age_bars) & watched)
    if not view.says("quotes", itself=True):
        never = np.zeros(bar.shape, dtype=np.bool_)
        return Staleness(bar, never, never, never, unknown)
    happened, received = np.abs(signals.quote_age_s)[None, :], signals.received_age_s[None, :]
    ticks, moved = signals.frozen_updates[None, :], signals.reference_sigmas[None, :]

    def within(limit: F8) -> B1:
        return (happened <= limit[:, None]) & fresh(received, limit[:, None])

    frozen = ~((ticks < k["frozen_updates"][:, None]) | (moved <= k["frozen_sigmas"][:, None])) & watched
    unknown |= np.isnan(happened + received) & watched
    return Staleness(
        bar=bar,
        quote=~within(k["max_quote_age_s"]) & watched,
        frozen=frozen,
        unweighable=~within(k["hold_age_s"]) & watched,
        unknown=unknown | (frozen & np.isnan(ticks + moved)),
    )


def stale_price(view: View, k: Params) -> Verdict:
    """DS-01: ``age_i ≤ max_age_bars`` (in bars of the source), else BLOCK(i).

    Where the source itself has quotes, also ``quote age ≤ max_quote_age_s`` by the time of the event and by the
    time of receipt; and fewer than ``frozen_updates`` updates at one price, or a reference that moved by at most
    ``frozen_sigmas`` meanwhile (a feed may tick and be dead). An account that holds an asset whose quote is older
    than ``hold_age_s`` cannot prove its equity: REDUCE_ONLY, as DS-14 says of a stale equity. In a closed session
    nothing is stale. Source: FIA (2015), market-data reasonability. An unknown age is stale, and so is a bar from
    the future; a quote's event time may be ahead as far as it may be behind, for the venue's clock is another one
    (DS-07 knows how far apart they are).
    """
    age, parts = view.market.age_bars, staleness(view, k)
    unproven = any_asset(parts.unweighable & (view.books.qty != 0))
    waiting, hold = recovering(view, "DS-01", parts.any)
    return verdict(
        view,
        meet_all([block(parts.any, view.held), hold, mode(unproven, TradingState.REDUCE_ONLY)]),
        bound=any_asset(parts.any | waiting) | unproven,
        unknown=parts.unknown,
        value=view.everyone(worst(age[None, :])[0]),
        limit=k["max_age_bars"],
        codes={
            "STALE_PRICE": parts.bar,
            "STALE_QUOTE": parts.quote,
            "FEED_FROZEN": parts.frozen,
            "HELD_PRICE_STALE": unproven,
            "PRICE_AGE_UNKNOWN": parts.unknown,
            "RECOVERING": waiting,
        },
    )


def missing_price(view: View, k: Params) -> Verdict:
    """DS-02: ``P_i`` finite and > 0, else BLOCK(i) and no order; never imputed, never zero.

    Back again, the asset stays blocked (but may be sold) until ``clean_observations`` prices in a row were good.
    """
    missing = view.per_asset(missing_mark(view.market))
    waiting, hold = recovering(view, "DS-02", missing)
    return verdict(
        view,
        meet(halt(missing, view.held), hold),
        bound=missing | waiting,
        unknown=missing,
        value=missing.sum(axis=1).astype(np.float64),
        limit=view.everyone(0.0),
        codes={"PRICE_MISSING": missing, "RECOVERING": waiting},
    )


def price_moves(market: Market, k: Params) -> tuple[F8, F8]:
    """Absolute log move since the last clean mark [1, N] (NaN = nothing to compare), and its bound [A, N]."""
    both = np.isfinite(market.price) & (market.price > 0)
    both &= np.isfinite(market.ref_price) & (market.ref_price > 0)
    ratio = np.divide(market.price, market.ref_price, out=np.full(len(both), np.nan), where=both)
    move = np.abs(log_of(ratio))[None, :]
    sigma = known_or_zero(market.sigma_of_price())
    bound = np.maximum(k["k_sigma"][:, None] * sigma, k["abs_move"][:, None])
    return move, bound


def price_jump(view: View, k: Params) -> Verdict:
    """DS-03: ``|ln(P_i / P_ref,i)| ≤ max(k_sigma · σ_i, abs_move)``, else NO_TRADE(i) until the next bar confirms.

    Source: RTS 6 article 15 price collars. Without a reference there is nothing to compare: pass; without σ, that
    of the price in its own currency, the absolute bound stands alone.

    On bars the next one confirms: the reference is the last finite price before it, so a jump that lasts is the
    reference of the next bar, and one that does not is a jump back (NO_TRADE for a second bar). Meanwhile equity
    is at the adverse of both marks, so a real gap reaches the loss rules on the bar it happens. Nothing is
    discarded and nothing recovers: the confirmation is the recovery.
    """
    move, bound = price_moves(view.market, k)
    jumped = move > bound
    value, limit = _nearest_its_bound(move, bound)
    return verdict(
        view,
        stay(jumped),
        bound=jumped,
        value=value,
        limit=limit,
        codes={"PRICE_JUMP_UNCONFIRMED": jumped},
    )


def _nearest_its_bound(move: F8, bound: F8) -> tuple[F8, F8]:
    """Move and bound, float64 [A], of the asset that is furthest beyond its own bound, or nearest below it."""
    if not bound.shape[1]:
        return np.full(len(bound), np.nan), np.full(len(bound), np.nan)
    column = np.where(np.isnan(move), -np.inf, move - bound).argmax(axis=1)
    return move[0, column], bound[np.arange(len(bound)), column]


@dataclass(frozen=True, slots=True)
class BookFaults:
    """DS-04 in parts, bool [A, N]."""

    wide: B1
    extreme: B1
    locked: B1
    crossed: B1
    broken: B1
    unknown: B1

    @property
    def any(self) -> B1:
        """Anything that blocks the asset."""
        return self.wide | self.locked | self.crossed | self.broken | self.unknown


def book_faults(view: View, k: Params) -> BookFaults:
    """What is wrong with each book."""
    market = view.market
    spread = known_spread(market)[None, :]
    locked = view.per_asset(market.book == LOCKED_BOOK)
    crossed = view.per_asset(market.book == CROSSED_BOOK)
    return BookFaults(
        wide=spread > k["max_spread_bps"][:, None],
        extreme=spread > (k["hard_multiple"] * k["max_spread_bps"])[:, None],
        locked=locked,
        crossed=crossed,
        broken=view.per_asset(market.tape_grade == BROKEN_TAPE),
        unknown=np.isnan(spread) & ~locked & ~crossed,
    )


def book(view: View, k: Params) -> Verdict:
    """DS-04: ``bid_i < ask_i``, ``spread_i ≤ max_spread_bps`` and a tape that is not broken, else BLOCK(i).

    Crossed, locked, or ``spread_i > hard_multiple · max_spread_bps``: NO_TRADE(i), for no price of such a book is
    one to exit at. Not known on a source that has quotes: BLOCK(i); a declared spread stands in only for a source
    that has none. Until ``clean_observations`` good books in a row: BLOCK(i).
    """
    bad = book_faults(view, k)
    waiting, hold = recovering(view, "DS-04", bad.any)
    shrink = block(bad.wide | bad.broken | bad.unknown, view.held)
    return verdict(
        view,
        meet_all([shrink, stay(bad.extreme | bad.locked | bad.crossed), hold]),
        bound=bad.wide | bad.locked | bad.crossed | bad.broken | waiting,
        unknown=bad.unknown,
        value=view.everyone(worst(known_spread(view.market)[None, :])[0]),
        limit=k["max_spread_bps"],
        codes={
            "SPREAD_WIDE": bad.wide,
            "SPREAD_EXTREME": bad.extreme,
            "BOOK_LOCKED": bad.locked,
            "BOOK_CROSSED": bad.crossed,
            "TAPE_BROKEN": bad.broken,
            "BOOK_UNKNOWN": bad.unknown,
            "RECOVERING": waiting,
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
        "PROPOSAL_STALE": ~none & ~fresh(age, k["max_age_bars"]),
        "PROPOSAL_NOT_FINITE": ~none & ~finite,
        "PROPOSAL_WEIGHT": np.logical_or.reduce(view.size > k["abs_weight_max"][:, None], axis=1),
        "PROPOSAL_GROSS": view.size.sum(axis=1) > k["gross_max"],
    }


def proposal_sanity(view: View, k: Params) -> Verdict:
    """DS-11: finite, ``|p_i| ≤ abs_weight_max``, ``Σ|p| ≤ gross_max``, ``age ≤ max_age_bars``.

    Else the whole proposal is refused and the book is held; reductions stay allowed. One bad symbol is
    never dropped silently: it may be the hedge. This rule alone looks at the proposal as it arrived. That its
    confidence lies in [0, 1], and that every symbol is known and named once, is checked before there are arrays:
    such a request is refused as input and never becomes a decision.
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
    stale = ~fresh(age, k["max_age_bars"]) | view.books.equity_estimated
    return verdict(
        view,
        mode(unknown | stale, TradingState.REDUCE_ONLY),
        bound=stale,
        unknown=unknown | np.isnan(age),
        value=age,
        limit=k["max_age_bars"],
        codes={"EQUITY_UNKNOWN": unknown, "EQUITY_STALE": stale},
    )


def _missing_price(view: View, k: Params) -> B1:
    return view.per_asset(missing_mark(view.market))


_DIRTY: dict[str, Callable[[View, Params], B1]] = {
    "DS-01": lambda view, k: staleness(view, k).any,
    "DS-02": _missing_price,
    "DS-04": lambda view, k: book_faults(view, k).any,
    "DS-06": diverging,
    "DS-09": rate_unusable,
    "DS-13": metadata_unusable,
}
assert tuple(_DIRTY) == RECOVERING_RULES


def remember(view: View, knobs: Mapping[str, Params], happened: Happened) -> States:
    """What this guard carries from cycle to cycle, moved forward by one (``guards.memory``).

    Per recovering rule the clean observations that are still missing, and the last good exchange rates. What
    nobody says is not observed: the count stays.
    """
    unclean, seen = view.states.unclean.copy(), ~closed_session(view.market)
    for row, rule_id in enumerate(RECOVERING_RULES):
        if _said(view, rule_id):
            k = knobs[rule_id]
            dirty = _DIRTY[rule_id](view, k)
            unclean[:, row, :] = observed(unclean[:, row, :], dirty, seen, k["clean_observations"])
    rates = last_rates(view, knobs["DS-09"])
    return replace(view.states, unclean=unclean, last_fx=rates)


def _said(view: View, rule_id: str) -> bool:
    """Whether everything that the rule looks at is said."""
    spec = RULE_BY_ID[rule_id]
    return all(view.says(name) for name in spec.inputs) and all(
        view.says(name, itself=True) for name in spec.measured
    )
