"""Guard 5, concentration: caps on sizes (what moves together is in ``guards.clusters``).

Shorts count gross. Cash-like instruments concentrate nothing: they are exempt from every cap but gross, net and
leverage.
"""

from __future__ import annotations

import numpy as np

from regime_trading.core.numbers import B1, F8, I8, NANO
from regime_trading.guards.budgets import used
from regime_trading.guards.constraint import Constraint, Tilt, block, cap, clamp, holds, meet
from regime_trading.guards.snapshot import Params, View
from regime_trading.guards.verdict import Verdict, verdict, worst

#: Share of a contract that is let through where there are lots: whole lots cut it off again, and the last contract is
#: not lost to the rounding of weights.
LOT_SLACK = 1e-5


def counted(view: View) -> F8:
    """``|p|`` of what concentration caps look at: cash-like instruments count as 0; float64 [A, N]."""
    return np.where(view.market.instruments.cash_like, 0.0, view.size)


def unlimited(view: View, *limits: F8) -> Verdict | None:
    """The verdict of a rule that no account has a limit for: nothing is measured."""
    off = np.logical_and.reduce([np.isinf(limit) for limit in limits])
    if np.count_nonzero(off) < len(off):
        return None
    nobody = np.zeros(view.n_accounts, dtype=np.bool_)
    return verdict(view, Constraint(), bound=nobody, off=off, limit=limits[0])


def shared_underlyings(view: View) -> I8:
    """The underlying of each asset where several assets have it, numbered; −1 where it stands alone, int64 [N].

    An underlying that is not known (−1) is nobody else's.
    """
    facts = view.market.instruments
    counts = (facts.underlying >= 0) & ~facts.cash_like
    same = (facts.underlying[:, None] == facts.underlying) & counts[:, None] & counts
    shared = same.sum(axis=1) > 1
    label = np.full(view.n_assets, -1, dtype=np.int64)
    label[shared] = np.unique(facts.underlying[shared], return_inverse=True)[1]
    return label


def single_name(view: View, k: Params) -> Verdict:
    """CC-01: ``|w_i| ≤ max_weight``, and ``Σ|w| ≤ max_weight`` over assets of one underlying."""
    limit, exempt = k["max_weight"], view.market.instruments.cash_like
    size = counted(view)
    room = np.where(exempt, np.inf, limit[:, None])
    over = size > room
    constraint, together = clamp(room), np.zeros((view.n_accounts, 1))
    label = shared_underlyings(view)
    if holds(label >= 0):
        sets = np.arange(label.max() + 1)
        together = size @ (label[:, None] == sets)
        whole = np.repeat(limit[:, None], len(sets), axis=1)
        constraint = meet(constraint, Constraint(caps=(cap("CC-01", whole, label=label[None, :]),)))
    alike = together > limit[:, None]
    return verdict(
        view,
        constraint,
        bound=np.logical_or.reduce(over, axis=1) | np.logical_or.reduce(alike, axis=1),
        off=np.isinf(limit),
        value=np.fmax(worst(size), worst(together)),
        limit=limit,
        codes={"SINGLE_NAME": over, "SAME_UNDERLYING": alike},
    )


def gross(view: View, k: Params) -> Verdict:
    """CC-02: ``Σ|w| ≤ max_gross``."""
    total = view.size.sum(axis=1)
    over = total > k["max_gross"]
    return verdict(
        view,
        Constraint(caps=(cap("CC-02", k["max_gross"], n_assets=view.n_assets),)),
        bound=over,
        off=np.isinf(k["max_gross"]),
        value=total,
        limit=k["max_gross"],
        codes={"GROSS": over},
    )


def net(view: View, k: Params) -> Verdict:
    """CC-03: ``|Σw| ≤ max_net``; hedges earn credit only as far as they survive (``risk.md`` 2.4)."""
    total = np.abs(view.books.proposed.sum(axis=1))
    over = total > k["max_net"]
    return verdict(
        view,
        Constraint(tilts=(Tilt("CC-03", np.ones((1, view.n_assets)), k["max_net"]),)),
        bound=over,
        off=np.isinf(k["max_net"]),
        value=total,
        limit=k["max_net"],
        codes={"NET": over},
    )


def group(view: View, k: Params) -> Verdict:
    """CC-04: ``Σ_{i∈g}|w_i| ≤ max_group``; all unclassified assets together form one group with its own cap."""
    n_groups = view.market.n_groups
    label = np.where(view.market.instruments.cash_like, -1, view.market.set_of_group)[None, :]
    used = view.size @ (np.arange(n_groups + 1) == label.T)
    limit = np.repeat(k["max_group"][:, None], n_groups + 1, axis=1)
    limit[:, n_groups] = np.minimum(k["max_group"], k["max_unclassified"])
    over = used > limit
    return verdict(
        view,
        Constraint(caps=(cap("CC-04", limit, label=label),)),
        bound=over,
        off=np.isinf(k["max_group"]) & np.isinf(k["max_unclassified"]),
        value=worst(used),
        limit=k["max_group"],
        codes={"GROUP": over[:, :n_groups], "UNCLASSIFIED": over[:, n_groups]},
    )


def max_positions(view: View, k: Params) -> Verdict:
    """CC-08: rank of ``|p_i|`` ≤ count, ties by symbol, else BLOCK(i): held ones may only shrink."""
    size = counted(view)
    positions = (size > 0).sum(axis=1)
    beyond = np.zeros(size.shape, dtype=np.bool_)
    if holds(positions > k["count"]):
        rank = np.argsort(np.argsort(-size, axis=1, kind="stable"), axis=1, kind="stable")
        beyond = (rank >= k["count"][:, None]) & (size > 0)
    return verdict(
        view,
        block(beyond, view.held),
        bound=beyond,
        value=positions.astype(np.float64),
        limit=k["count"].astype(np.float64),
        codes={"TOO_MANY_POSITIONS": beyond},
    )


def scaled_contracts(view: View, k: Params) -> tuple[F8, B1]:
    """Contracts allowed by the plan at the best end of day, float64 [A] (+inf without one); where that day is unknown.

    A step that was reached once stays reached; below the first step the first one holds.
    """
    profit = view.states.eod_hwm - view.states.initial_capital
    planned, unknown = np.isfinite(k["scaling_at"][:, 0]), ~np.isfinite(profit)
    reached = (k["scaling_at"] <= np.where(unknown, np.inf, profit)[:, None]) & np.isfinite(k["scaling_at"])
    at = np.maximum(reached.sum(axis=1) - 1, 0)
    n = np.take_along_axis(k["scaling_n"], at[:, None], axis=1)[:, 0]
    return np.where(planned & ~unknown, n, np.inf), planned & unknown


def max_contracts(view: View, k: Params) -> Verdict:
    """CC-09: ``Σ mini_i |q_i| ≤ min(mini_equivalents, scaling)``, entries that already work included.

    What works leaves that much less room, but no less than what is held needs: a position is not sold to make room
    for an entry, the entry is cancelled. A future whose size, price or working entries are not known, and any future
    while the plan cannot be read: BLOCK(i); a size that is not known counts as one standard contract. Source: scaling
    plans of futures evaluations.
    """
    planned, unread = scaled_contracts(view, k)
    limit = np.minimum(k["mini_equivalents"], planned)
    early = unlimited(view, np.where(unread, 0.0, limit))
    if early is not None:
        return early
    off = np.isinf(limit) & ~unread
    mini, working = view.market.instruments.mini_equivalents, view.books.broker.working_entry_qty
    sized = np.isfinite(mini) & (mini >= 0)
    each = np.where(sized, mini, 1.0)
    load, weighed = _contracts_per_nano(view, each)
    capped = load * (1.0 - np.where(view.market.lot > 0, LOT_SLACK, 1e-12))
    unknown = (each > 0) & ~(sized & weighed & np.isfinite(working) & ~unread[:, None]) & ~off[:, None]

    def contracts(qty: F8) -> F8:
        return _total(np.where(np.isfinite(qty), qty, 0.0), each[None, :])

    entering, lost = contracts(working), contracts(np.where(weighed, 0.0, view.books.qty))
    held, left = contracts(view.books.qty) - lost, np.maximum(limit - lost, 0.0)
    room = np.maximum(left - entering, np.minimum(left, held))
    asked, wanted = _total(view.size, load), _total(view.size, capped)
    beyond = (held + lost + entering > limit * (1.0 + 1e-12))[:, None] & (each > 0) & (working != 0)
    return verdict(
        view,
        meet(
            Constraint(
                caps=(cap("CC-09", np.where(off, np.inf, room), load=capped),),
                cancel=beyond if holds(beyond) else None,
            ),
            block(unknown, view.held),
        ),
        bound=(wanted > room) | np.logical_or.reduce(beyond, axis=1),
        unknown=unknown,
        off=off,
        value=np.where(off, np.nan, np.round(np.maximum(asked, held) + lost + entering, 9)),
        limit=limit,
        codes={
            "MAX_CONTRACTS": wanted > room,
            "WORKING_BEYOND_LIMIT": beyond,
            "CONTRACTS_UNKNOWN": unknown & ~unread[:, None],
            "PLAN_UNKNOWN": unread,
        },
    )


def _contracts_per_nano(view: View, each: F8) -> tuple[F8, B1]:
    """Mini-equivalents in one nanoweight of each asset, float64 [A, N] (0 where unknown), and where it is known."""
    unit, equity = view.market.unit_value(), view.books.equity
    with np.errstate(divide="ignore", invalid="ignore"):
        load = each * equity[:, None] / unit / NANO
    known = np.isfinite(load) & np.isfinite(unit) & (unit > 0) & (equity > 0)[:, None]
    return np.where(known, load, 0.0), known


def _total(sizes: F8, load: F8) -> F8:
    """``Σ load_i |x_i|`` in symbol order, float64 [A]."""
    total: F8 = used(cap("", np.full(len(sizes), np.inf), load=load), sizes)[:, 0]
    return total


def sum_within(key: I8, values: F8) -> F8:
    """Sum of ``values`` over all entries with the same key, smallest first whatever their order; same shape."""
    order = np.lexsort((values, key))
    total = np.bincount(key[order], weights=values[order]).astype(np.float64)
    return total[key]


_FINEST = 2.0**16
"""Steps of a nanoweight in which accounts of a firm are added up: their sums are exact, whatever their order."""


def _part_of_firm(demand: F8, part: F8) -> F8:
    """Nanoweights of accounts as nanoweights of their firm, rounded up to a grid on which sums are exact."""
    with np.errstate(invalid="ignore"):
        return np.where(demand > 0, np.ceil(demand * part[:, None] * _FINEST) / _FINEST, 0.0)


def _shared(key: I8, values: F8) -> F8:
    """The exact sum of all entries with the same key, at each of them; same shape."""
    total = np.bincount(key.ravel(), weights=values.ravel()).astype(np.float64)
    return total[key]


def firm_issuer(view: View, k: Params) -> Verdict:
    """CC-12: ``Σ_accounts Σ_i∈underlying d_i E / Σ E ≤ max_firm_weight`` over a firm, ``d_i = max(|p_i|, |c_i|)``.

    Beyond it every account is cut by the same share of what it asks for or holds, ``|w_i| ≤ ⌊f d_i⌋``. The equity of
    one account unknown: nobody in the firm may add anything; the weight of a position unknown: nobody may add to that
    underlying. Money of accounts in different currencies is added as it is, as in LD-13. Source: SEC rule 15c3-5,
    aggregate exposure.
    """
    limit = k["max_firm_weight"]
    early = unlimited(view, limit)
    if early is not None:
        return early
    equity, firm = view.books.equity, view.books.firm
    off, sick = np.isinf(limit), ~np.isfinite(equity)
    wealth = sum_within(firm, np.where(sick, 0.0, equity))
    demand = np.maximum(counted(view), np.where(view.market.instruments.cash_like, 0.0, np.abs(view.held)))
    own = np.where(sick, 0.0, np.maximum(equity, 0.0))
    part = np.divide(own, wealth, out=np.where(own > 0, np.inf, 0.0), where=wealth > 0)
    key = _issuer(view)[None, :] + firm[:, None] * (2 * view.n_assets + 1)
    spent = _shared(key, _part_of_firm(demand, part))
    counts = ~view.market.instruments.cash_like
    lost = np.isnan(view.books.current) & counts
    blurred = (_shared(key, lost.astype(np.float64)) > 0) & counts if holds(lost) else lost
    firm_sick = sum_within(firm, sick.astype(np.float64)) > 0
    unknown = (blurred | firm_sick[:, None]) & ~off[:, None]
    over = (spent > limit[:, None]) & (demand > 0)
    share = np.divide(
        np.where(off, 0.0, limit * (1.0 - 1e-12))[:, None], spent, out=np.ones_like(spent), where=over
    )
    value = np.where(wealth > 0, np.trunc(spent.max(axis=1, initial=0.0)), np.nan)
    return verdict(
        view,
        meet(
            clamp(np.where(over, np.floor(share * demand), np.inf)) if holds(over) else Constraint(),
            block(unknown, view.held),
        ),
        bound=over,
        unknown=unknown,
        off=off,
        value=np.where(firm_sick | off, np.nan, value),
        limit=limit,
        codes={
            "FIRM_ISSUER": over,
            "FIRM_EQUITY_UNKNOWN": firm_sick & ~off,
            "FIRM_POSITION_UNKNOWN": blurred & ~off[:, None],
        },
    )


def _issuer(view: View) -> I8:
    """A number for the underlying of each asset, its own where it is not known; int64 [N] in 0 … 2N."""
    underlying = view.market.instruments.underlying
    dense = np.unique(underlying, return_inverse=True)[1].astype(np.int64)
    own = view.n_assets + np.arange(view.n_assets, dtype=np.int64)
    return np.where(underlying >= 0, dense, own + 1)


def leverage(view: View, k: Params) -> Verdict:
    """CC-13: ``Σ|w| ≤ max_leverage`` and ``Σ margin_i |w_i| ≤ margin_share`` of equity.

    An instrument with a rate of 1 is paid for in full and owes no margin; a rate that is not known counts as 1. Where
    the source says nothing of instruments, leverage alone is limited. Source: SEC rule 15c3-5, capital thresholds.
    """
    total, margin = view.size.sum(axis=1), view.everyone(0.0)
    caps = [cap("CC-13", k["max_leverage"], n_assets=view.n_assets)]
    rate = view.market.instruments.margin_rate
    known = np.isfinite(rate) & (rate >= 0)
    load = np.where(known, np.where(rate == 1.0, 0.0, rate), 1.0)
    if view.says("instruments") and holds(load > 0):
        caps.append(cap("CC-13", k["margin_share"], load=load[None, :]))
        margin = _total(view.size, load[None, :])
    levered, margined = total > k["max_leverage"], margin > k["margin_share"]
    unknown = ~known & (view.size > 0) & view.says("instruments")
    return verdict(
        view,
        Constraint(caps=tuple(caps)),
        bound=levered | margined,
        unknown=unknown,
        value=total,
        limit=k["max_leverage"],
        codes={"LEVERAGE": levered, "MARGIN": margined, "MARGIN_RATE_UNKNOWN": unknown},
    )
