"""Guard 2, universe: what an account may hold at all, on which side, and what it remembers of its exits.

The windows of time of this guard are in ``guards.calendar`` and ``guards.flat_by``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from regime_trading.core.numbers import B1, F8, to_nano
from regime_trading.core.rules import DenyMode, OrphanPolicy
from regime_trading.guards.constraint import UNCONSTRAINED, Constraint, block, holds, meet, stay, zero
from regime_trading.guards.facts import BORROWABLE, NO_BORROW, RECALLED
from regime_trading.guards.snapshot import Happened, Params, States, View
from regime_trading.guards.verdict import Verdict, least, verdict, worst

_DENY = list(DenyMode)
_ORPHAN = list(OrphanPolicy)
_MOST = 1e6
_LONG_AGO_NS = 1 << 62


def concerned(view: View) -> B1:
    """Assets that are held or asked for, bool [A, N]."""
    either: B1 = (view.size != 0) | (view.books.current != 0)
    return either


def allow(view: View, k: Params) -> Verdict:
    """UT-01: ``i ∈ symbols``, else BLOCK(i): an existing position may only shrink; ``exit``: ZERO(i)."""
    outside = ~k["symbols"]
    orphans = outside & (k["orphan_policy"] == _ORPHAN.index(OrphanPolicy.EXIT))[:, None]
    return verdict(
        view,
        meet(block(outside, view.held), zero(orphans)),
        bound=concerned(view) & outside,
        codes={"NOT_ALLOWED": outside},
    )


def deny(view: View, k: Params) -> Verdict:
    """UT-02: ``i ∉ symbols``, else BLOCK(i), NO_TRADE(i) or ZERO(i) by mode. Deny always beats allow.

    Source: SEC rule 15c3-5, securities restricted from trading.
    """
    listed = k["symbols"]
    if not holds(listed):
        return verdict(view, UNCONSTRAINED, bound=listed, codes={"DENIED": listed})
    chosen = k["mode"][:, None]
    gone = zero(listed & (chosen == _DENY.index(DenyMode.EXIT)))
    frozen = stay(listed & (chosen == _DENY.index(DenyMode.NO_TRADE)))
    return verdict(
        view,
        meet(block(listed, view.held), meet(gone, frozen)),
        bound=listed & concerned(view),
        codes={"DENIED": listed},
    )


def permissions(view: View, k: Params) -> Verdict:
    """UT-03: ``class(i) ∈ classes`` and ``venue(i) ∈ venues``, else BLOCK(i). Without a list all is permitted.

    A class or venue that is not known is on no list: BLOCK(i) where there is one.
    """
    facts, seen = view.market.instruments, concerned(view)
    refused, unknown = {}, np.zeros_like(seen)
    for code, names, vocabulary, index in (
        ("CLASS", k["classes"], facts.classes, facts.asset_class),
        ("VENUE", k["venues"], facts.venues, facts.venue),
    ):
        outside = ~names.allow(vocabulary, index)
        stranger = (index < 0) | (index >= len(vocabulary))
        refused[f"{code}_NOT_PERMITTED"] = outside & ~stranger & seen
        refused[f"{code}_UNKNOWN"] = outside & stranger & seen
        unknown |= outside & stranger & seen
    blocked = np.logical_or.reduce(list(refused.values()))
    return verdict(view, block(blocked, view.held), bound=blocked, unknown=unknown, codes=refused)


def short_sale(view: View, k: Params) -> Verdict:
    """UT-10: ``fee_i ≤ max_borrow_fee`` and a borrow to be had, else no new short: ``w_i ≥ min(held_i, 0)``.

    A borrow that is recalled closes the short, ``w_i ≥ 0``, by at most ``recall_adv · ADV_i`` a bar (ADV unknown:
    not held back). Borrow or fee unknown: no new short. Longs are never touched. Source: Regulation SHO, rule 203.
    """
    facts = view.market.instruments
    short = (view.books.qty < 0) | (view.books.proposed < 0)
    fee = np.where(np.isfinite(facts.borrow_fee), facts.borrow_fee, np.nan)
    unknown = short & (~np.isin(facts.borrow, (NO_BORROW, BORROWABLE, RECALLED)) | np.isnan(fee))
    dear = short & (fee > k["max_borrow_fee"][:, None])
    none, recalled = short & (facts.borrow == NO_BORROW), short & (facts.borrow == RECALLED)
    return verdict(
        view,
        meet(_no_new_short(view, unknown | dear | none), _bought_back(view, recalled, k["recall_adv"])),
        bound=dear | none | recalled,
        unknown=unknown,
        value=worst(np.where(short, fee, np.nan)),
        limit=k["max_borrow_fee"],
        codes={
            "CANNOT_BORROW": none,
            "BORROW_FEE": dear,
            "BORROW_RECALLED": recalled,
            "BORROW_UNKNOWN": unknown,
        },
    )


def _no_new_short(view: View, assets: B1) -> Constraint:
    if not holds(assets):
        return UNCONSTRAINED
    return Constraint(lo=np.where(assets, np.minimum(view.held, 0.0), -np.inf))


def _no_new_long(view: View, assets: B1) -> Constraint:
    if not holds(assets):
        return UNCONSTRAINED
    return Constraint(hi=np.where(assets, np.maximum(view.held, 0.0), np.inf))


def _bought_back(view: View, assets: B1, share: F8) -> Constraint:
    """ZERO for shorts, even those that cannot be weighed, with a pace; a long on the other side stays possible."""
    if not holds(assets):
        return UNCONSTRAINED
    adv = np.where(np.isfinite(view.market.adv) & (view.market.adv >= 0), view.market.adv, np.nan)
    equity = np.where(view.books.equity > 0, view.books.equity, np.nan)
    pace = to_nano(np.minimum(share[:, None] * adv / equity[:, None], _MOST))
    leaves = assets & (view.books.proposed <= 0)
    paced = assets & (pace < -view.held)  # no exit is more than the position
    return Constraint(
        lo=np.where(assets, 0.0, -np.inf),
        scale=np.where(leaves, 0.0, 1.0),
        pace_exit=np.where(paced, pace, np.inf),
    )


def cooldown(view: View, k: Params) -> Verdict:
    """UT-11: ``t − t_flat,i ≥ cooldown_s`` since the fill that closed a position, else BLOCK of its side.

    ``both_sides``: BLOCK(i). Whatever closed it counts, a person included; a closing fill from the future (a clock
    that was set back) still cools. What never was closed passes; nothing else is an input.
    """
    flat_ns, side = view.states.flat_ns, view.states.flat_side
    since = (view.market.ts_ns - np.maximum(flat_ns, view.market.ts_ns - _LONG_AGO_NS)) // 1_000_000_000
    cooling = (since < k["cooldown_s"][:, None]) & (side != 0) & (k["cooldown_s"] > 0)[:, None]
    both = k["both_sides"][:, None]
    return verdict(
        view,
        meet(
            _no_new_long(view, cooling & (both | (side > 0))),
            _no_new_short(view, cooling & (both | (side < 0))),
        ),
        bound=cooling,
        value=least(np.where(cooling, since.astype(np.float64), np.nan)),
        limit=k["cooldown_s"].astype(np.float64),
        codes={"COOLDOWN": cooling},
    )


def direction(view: View, k: Params) -> Verdict:
    """UT-12: no short where ``long_only``; one direction in each hedge group, else BLOCK of the other.

    What is held, or works as an entry at the broker, is the direction of its group; held both ways, neither may
    grow. From flat, a proposal that asks for both directions opens neither. A group turns through flat: the other
    direction opens once the first is gone. Source: prop-firm rules against opposite positions in one underlying.
    """
    books, groups = view.books, k["hedge_groups"]
    working = books.broker.working_entry_qty
    long, short = (
        groups.touched((books.qty > 0) | (working > 0)),
        groups.touched((books.qty < 0) | (working < 0)),
    )
    torn = groups.touched(books.proposed > 0) & groups.touched(books.proposed < 0) & ~long & ~short
    no_long, no_short = groups.assets(short | torn), groups.assets(long | torn)
    hedged = (no_long & (books.proposed > np.maximum(view.held, 0.0))) | (
        no_short & (books.proposed < np.minimum(view.held, 0.0))
    )
    shorts = k["long_only"][:, None] & ((books.proposed < 0) | (books.qty < 0))
    return verdict(
        view,
        meet(_no_new_long(view, no_long), _no_new_short(view, no_short | k["long_only"][:, None])),
        bound=hedged | shorts,
        codes={"HEDGE_GROUP": hedged, "LONG_ONLY": shorts},
    )


def remember(view: View, knobs: Mapping[str, Params], happened: Happened) -> States:
    """What this guard carries from cycle to cycle, moved forward by one (``guards.memory``).

    The fill that closed a position, and the last trade; neither ever moves back.
    """
    states, now = view.states, view.market.ts_ns
    closed = happened.flat_side != 0
    return replace(
        states,
        flat_ns=np.where(closed, np.maximum(states.flat_ns, now), states.flat_ns),
        flat_side=np.where(closed, happened.flat_side, states.flat_side),
        last_trade_ns=np.where(happened.traded, np.maximum(states.last_trade_ns, now), states.last_trade_ns),
    )
