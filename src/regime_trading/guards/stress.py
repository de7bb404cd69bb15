"""Guard 3, LD-12: what a bad day would cost must fit into what is left before a floor acts."""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np

from regime_trading.core.numbers import B1, F8, to_nano
from regime_trading.core.rules import StressWhen, TradingState
from regime_trading.guards.constraint import Constraint, cap, clamp, meet, mode
from regime_trading.guards.floors import loss_budget, tomorrow
from regime_trading.guards.snapshot import Params, View, known_or_zero
from regime_trading.guards.variance import known_price_sigma, known_sigma
from regime_trading.guards.verdict import Verdict, any_asset, verdict, worst

_WHEN = list(StressWhen)
_CODES = ("PROJECTED_STRESS", "LOSS_BUDGET_UNKNOWN")


def stress(view: View, k: Params) -> Verdict:
    """LD-12: ``max over scenarios of the loss of w ≤ share_of_budget · D / E``, else sizes are scaled down to it.

    D is the smallest distance to a floor at which LD-01, 03, 04, 05 or 06 acts, as they are now and as a reset at
    this instant would leave them: an open loss before it counts again after it. Scenarios, each linear in ``|w|``
    and without credit for diversification: every asset moves ``sigmas`` daily standard deviations against its
    position; every asset makes its worst gap on record against it; one name moves ``single_name``. σ or gap unknown:
    ``single_name`` stands in, and no less than the last good σ.

    ``before_close`` looks at accounts with an asset that is held or asked for within ``lead_s`` of its close or of an
    event, and at all of them where the source has no session clock: what such a source decides is held overnight. No
    floor: off. D unknown: REDUCE_ONLY. An estimated equity tightens nothing by force: REDUCE_ONLY instead of the caps.
    """
    never = k["when"] == _WHEN.index(StressWhen.NEVER)
    if np.count_nonzero(never) == len(never):
        return verdict(view, _idle(view), bound=~never, off=never, codes=dict.fromkeys(_CODES, ~never))
    active = _active(view, k)
    room = np.minimum(
        loss_budget(view.states, view.books.equity, k["floors"]),
        loss_budget(tomorrow(view.states, view.books), view.books.equity, k["floors"]),
    )
    off = never | np.isposinf(room)
    equity = np.where(view.books.equity > 0, view.books.equity, np.nan)
    budget = np.where(np.isposinf(room), 0.0, np.maximum(room, 0.0))
    limit = np.where(np.isposinf(room), np.inf, to_nano(k["share_of_budget"] * budget / equity))
    sigma_load, gap_load = loads(view, k)
    single = k["single_name"][:, None]
    size = view.size
    costs = np.stack([_dot(size, sigma_load), _dot(size, gap_load), known_or_zero(worst(size * single))])
    value = np.maximum.reduce(costs, axis=0)
    unknown = active & ~off & np.isnan(limit)
    over = active & ~off & (value > limit)
    estimated = view.books.equity_estimated & over
    capped = np.where(active & ~off & ~unknown & ~estimated, limit, np.inf)
    each = np.divide(capped[:, None], single, out=np.full(single.shape, np.inf), where=single > 0)
    effect = replace(
        clamp(np.repeat(np.trunc(each), view.n_assets, axis=1)),
        caps=(cap("LD-12", capped, load=sigma_load), cap("LD-12", capped, load=gap_load)),
    )
    return verdict(
        view,
        meet(mode(unknown | estimated, TradingState.REDUCE_ONLY), effect),
        bound=over,
        unknown=unknown,
        off=off,
        value=np.where(never, np.nan, value),
        limit=np.where(never, np.nan, limit),
        codes=dict(zip(_CODES, (over, unknown), strict=True)),
    )


def _idle(view: View) -> Constraint:
    """The same budgets without a limit: how many there are must not depend on who else is looked at."""
    nothing, no_limit = np.zeros((1, view.n_assets)), view.everyone(np.inf)
    return Constraint(caps=(cap("LD-12", no_limit, load=nothing), cap("LD-12", no_limit, load=nothing)))


def loads(view: View, k: Params) -> tuple[F8, F8]:
    """Loss of one unit of weight when σ and when the worst gap strikes, float64 [A, N] each.

    The gap is that of the position's side; where what is held and what is asked for differ in it, the worse of both.
    """
    market, single = view.market, k["single_name"][:, None]
    last = np.maximum(known_or_zero(view.states.last_sigma), known_or_zero(known_price_sigma(market)))
    fallback = np.maximum(single, k["sigmas"][:, None] * last)
    known = known_sigma(market)
    sigma_load = np.where(known, k["sigmas"][:, None] * np.where(known, market.sigma, 0.0), fallback)
    down, up = (
        np.where(np.isfinite(gap) & (gap >= 0), gap, single)
        for gap in (market.instruments.gap_down, market.instruments.gap_up)
    )
    long = (view.books.proposed > 0) | (view.held > 0)
    short = (view.books.proposed < 0) | (view.held < 0)
    return sigma_load, np.maximum(np.where(long, down, 0.0), np.where(short, up, 0.0))


def _active(view: View, k: Params) -> B1:
    """Accounts whose stress is looked at now, bool [A]."""
    wanted: B1 = k["when"] != _WHEN.index(StressWhen.NEVER)
    if not view.says("session_clock"):
        return wanted
    market, lead = view.market, k["lead_s"][:, None]
    near = ~(market.signals.to_close_s > lead) | ~(market.to_event_s > lead)
    before = any_asset(near & ((view.size != 0) | (view.books.qty != 0)))
    always: B1 = k["when"] == _WHEN.index(StressWhen.ALWAYS)
    return always | (wanted & before)


@numba.njit(cache=True)
def _dot(sizes: F8, load: F8) -> F8:  # pragma: no cover
    """``Σ_i sizes_i · load_i`` in fixed (symbol) order, float64 [A]."""
    out = np.zeros(sizes.shape[0])
    for r in range(sizes.shape[0]):
        for i in range(sizes.shape[1]):
            out[r] += sizes[r, i] * load[r, i]
    return out
