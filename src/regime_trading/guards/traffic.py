"""Guard 6, execution and liquidity: order traffic. Rates, repeats, working entries, rejects, the dead man's switch.

Whatever these rules hold back are entries; exits pass, but for XL-14: who does not know whether orders arrive sends
none until it is reconciled.
"""

from __future__ import annotations

import numpy as np

from regime_trading.core.numbers import B1, F8, I1, I8
from regime_trading.core.rules import LATCHING_RULES, Authority, Release, TradingState
from regime_trading.guards.constraint import (
    UNCONSTRAINED,
    Constraint,
    block,
    holds,
    mode,
)
from regime_trading.guards.facts import CLOSED, HALTED, LIMIT_LOCKED
from regime_trading.guards.liquidity import legs, working_weight
from regime_trading.guards.snapshot import Params, View
from regime_trading.guards.verdict import LatchRequest, TimerRequest, Verdict, any_asset, verdict, worst

_NS = 1e9
_SPANS_S = (1, 60, 86_400)


def orders_left(view: View, k: Params) -> F8:
    """How many more orders XL-08 allows before the next cycle, float64 [A].

    What is left of each of the three windows now, and the windows that begin and end within a bar: whoever sends them
    spreads them over it. +inf where the rule is off or nobody counts orders, 0 where a count is unknown.
    """
    if not view.says("orders"):
        return view.everyone(np.inf)
    bar_s = view.market.bar_ns // int(_NS)
    left = np.min(
        [
            np.maximum(limit - sent, 0.0) + limit * ((bar_s - 1) // span)
            for (sent, limit), span in zip(_windows(view, k), _SPANS_S, strict=True)
        ],
        axis=0,
    )  # NaN spreads
    return np.where(k["enabled"], np.where(np.isnan(left), 0.0, left), np.inf)


def _windows(view: View, k: Params) -> tuple[tuple[F8, F8], ...]:
    broker = view.books.broker
    sent = (
        (broker.orders_1s, k["per_s"]),
        (broker.orders_60s, k["per_min"]),
        (broker.orders_day, k["per_day"]),
    )
    return tuple((_count(n), limit.astype(np.float64)) for n, limit in sent)


def _count(values: F8) -> F8:
    """Numbers of things; NaN where it is none: infinite or negative."""
    return np.where(np.isfinite(values) & (values >= 0), values, np.nan)


def _nearest(measures: tuple[tuple[F8, F8], ...]) -> tuple[F8, F8]:
    """Of several values beside their limits the one with the least room left, the first of equals; float64 [A]."""
    room = np.array([np.where(np.isnan(value), np.inf, limit - value) for value, limit in measures])
    first = room.argmin(axis=0)[None, :]
    picked = [np.take_along_axis(np.array(side), first, axis=0)[0] for side in zip(*measures, strict=True)]
    return picked[0], picked[1]


def _wait(assets: B1) -> Constraint:
    """PACE(0): the marked assets open nothing in this cycle."""
    return Constraint(pace_entry=np.where(assets, 0.0, np.inf)) if holds(assets) else UNCONSTRAINED


def _until(view: View, hold_s: I8) -> I8:
    return np.int64(view.market.ts_ns) + hold_s.astype(np.int64) * np.int64(_NS)


def _same(view: View, value: int) -> I1:
    return np.full(view.n_accounts, value, dtype=np.int8)


def order_rate(view: View, k: Params) -> Verdict:
    """XL-08: orders sent in a second ≤ ``per_s``, in a minute ≤ ``per_min``, in a day ≤ ``per_day``.

    At a limit no entry leaves in this cycle; below it ``slicing`` holds the cycle's own orders to what is left.
    Exits and cancels pass. A count that is not known: no entry. Source: Delegated Regulation (EU) 2017/589
    article 15(1)(d).
    """
    windows = _windows(view, k)
    full = np.logical_or.reduce([sent >= limit for sent, limit in windows])
    unknown = np.logical_or.reduce([np.isnan(sent) for sent, _ in windows])
    value, limit = _nearest(windows)
    opening = legs(view)[1] > 0
    return verdict(
        view,
        _wait((full | unknown)[:, None] & opening),
        bound=full,
        unknown=unknown,
        value=value,
        limit=limit,
        codes={"ORDER_RATE": full, "ORDERS_UNKNOWN": unknown},
    )


def repeated_execution(view: View, k: Params) -> Verdict:
    """XL-09: fills of one asset and side in 60 s ≤ ``max_fills_60s``; round trips a day ≤ ``max_round_trips_day``.

    Beyond: REDUCE_ONLY and latch MANUAL. Fills that are not known: REDUCE_ONLY. Source: Delegated Regulation (EU)
    2017/589 article 15(3), disabled until re-enabled by designated staff.
    """
    broker = view.books.broker
    fills = _count(broker.fills_60s).reshape(view.n_accounts, -1)  # assets and sides
    trips = _count(broker.round_trips_day)
    measures = (
        (worst(fills), k["max_fills_60s"].astype(np.float64)),
        (worst(trips), k["max_round_trips_day"].astype(np.float64)),
    )
    over = np.logical_or.reduce([seen > limit for seen, limit in measures])
    unknown = any_asset(np.isnan(fills)) | any_asset(np.isnan(trips))
    value, limit = _nearest(measures)
    return verdict(
        view,
        mode(over | unknown, TradingState.REDUCE_ONLY),
        bound=over,
        unknown=unknown,
        value=value,
        limit=limit,
        codes={"REPEATED_EXECUTION": over, "FILLS_UNKNOWN": unknown},
        latch=LatchRequest(
            fire=over, state=_same(view, TradingState.REDUCE_ONLY), kind=_same(view, Release.MANUAL)
        ),
    )


def duplicates(view: View, k: Params) -> Verdict:
    """XL-10: an entry waits while an order of that asset and side was sent within the last two seconds.

    Not the quantity decides: pace, lots and a part that filled change it, the side they do not. Exits are not held
    back: a closing leg is what the position is beyond its working exits, so none is closed twice. What was sent
    unknown: the entry waits. Source: SEC rule 15c3-5, duplicative orders.
    """
    sent, proposed, opening = view.books.broker.sent_qty, view.books.proposed, legs(view)[1]
    unknown = (opening > 0) & ~np.isfinite(sent)
    again = (opening > 0) & (np.sign(sent) * np.sign(proposed) > 0)
    return verdict(
        view,
        _wait(again | unknown),
        bound=again,
        unknown=unknown,
        value=worst(np.where(again, opening, np.nan)),
        codes={"DUPLICATE": again, "SENT_UNKNOWN": unknown},
    )


def working_orders(view: View, k: Params) -> Verdict:
    """XL-11: working entries ≤ what the proposal still wants to open, on its side; else CANCEL(i).

    The worst case counts: what works is filled, exits are not credited; the step plan sends only the rest. The
    value is that worst case of the largest position. A working entry of unknown size: CANCEL(i), and nothing new
    opens anywhere in the account, because no cap of the book can be vouched for. Source: Delegated
    Regulation (EU) 2017/589 article 15(2).
    """
    working, opening = working_weight(view), legs(view)[1]
    unknown = np.isnan(working)
    wanted = (working * view.books.proposed > 0) & (np.abs(working) <= opening)
    unwanted = ~unknown & (working != 0) & ~wanted
    gone = unwanted | unknown
    exposure = np.maximum(np.abs(view.held), np.abs(view.held + working))
    waits = _wait(any_asset(unknown)[:, None] & (opening > 0))
    return verdict(
        view,
        Constraint(cancel=gone, pace_entry=waits.pace_entry) if holds(gone) else UNCONSTRAINED,
        bound=unwanted,
        unknown=unknown,
        value=worst(exposure),
        codes={"WORKING_UNWANTED": unwanted, "WORKING_UNKNOWN": unknown},
    )


def self_match(view: View, k: Params) -> Verdict:
    """XL-12: no entry while another account of the firm buys what this one sells, or has such an entry working.

    Both entries wait, whoever is first; exits pass. A working entry of unknown size counts as one on either
    side. It depends on accounts of the same firm and of no other. Source: FIA, self-match prevention.
    """
    closing, opening = legs(view)
    working = view.books.broker.working_entry_qty
    side, leaving = np.sign(view.books.proposed), -np.sign(view.held)
    lost = np.isnan(working)

    def acts(direction: float) -> B1:
        acting: B1 = ((opening > 0) & (side == direction)) | ((closing > 0) & (leaving == direction))
        acting |= (np.sign(working) == direction) | lost
        return acting

    buys, sells = acts(1.0), acts(-1.0)
    against_buys, against_sells = _others(view.books.firm, sells), _others(view.books.firm, buys)
    crossing = (opening > 0) & np.where(side > 0, against_buys, against_sells)
    return verdict(
        view,
        _wait(crossing),
        bound=crossing,
        value=worst(np.where(crossing, opening, np.nan)),
        codes={"SELF_MATCH": crossing},
    )


def _others(firm: I8, acting: B1) -> B1:
    """Whether another account of the firm does so in that asset, bool [A, N]."""
    total = np.zeros((int(firm.max(initial=-1)) + 1, acting.shape[1]), dtype=np.int64)
    np.add.at(total, firm, acting.astype(np.int64))
    others: B1 = total[firm] > acting
    return others


def fill_quality(view: View, k: Params) -> Verdict:
    """XL-13: smoothed slippage_i ≤ ``max_slippage_bps``; a fill beyond it: BLOCK(i) for ``hold_s``.

    Only a fresh fill trips it, so that an old number does not hold an asset for ever. Every trip of the account
    counts; the third of a day is REDUCE_ONLY and latch MANUAL. An asset without a fill passes; where it is not
    known whether one was filled, one was.
    """
    broker = view.books.broker
    held = view.states.timed("XL-13", view.market.ts_ns)
    quiet = np.logical_and.reduce(broker.fills_60s == 0, axis=2)
    bad = (broker.slippage_bps > k["max_slippage_bps"][:, None]) & ~quiet
    fire = bad & ~held
    tripped = any_asset(fire)
    until = _until(view, k["hold_s"])
    again = tripped & ~view.states.latched("XL-13")
    third = view.states.latch_trips[:, LATCHING_RULES.index("XL-13")] + again >= 3
    state = np.where(third, np.int8(TradingState.REDUCE_ONLY), np.int8(TradingState.NORMAL))
    stopped = block(bad | held, view.held)
    final = mode(tripped & third, TradingState.REDUCE_ONLY)
    return verdict(
        view,
        Constraint(lo=stopped.lo, hi=stopped.hi, mode=final.mode),
        bound=bad | held,
        value=worst(np.where(np.isfinite(broker.slippage_bps), broker.slippage_bps, np.nan)),
        limit=k["max_slippage_bps"],
        codes={"SLIPPAGE": bad, "FILL_QUALITY_HOLD": held},
        latch=_trip(view, tripped, state, until),
        timer=TimerRequest(fire=fire, until_ns=np.repeat(until[:, None], view.n_assets, axis=1)),
    )


def _trip(view: View, fire: B1, state: I1, until: I8) -> LatchRequest:
    """A breaker: TIMED, and MANUAL at the third trip of a day."""
    return LatchRequest(
        fire=fire,
        state=state,
        kind=_same(view, Release.TIMED),
        until_ns=until,
        third_trip=_same(view, Release.MANUAL),
    )


def rejects(view: View, k: Params) -> Verdict:
    """XL-14: rejects in 60 s < ``max_rejects_60s``, else REDUCE_ONLY and latch for ``hold_s``.

    Orders without an answer in 60 s < ``max_timeouts_60s``, else nothing but cancels may be sent: what arrived is
    not known until it is reconciled. Rejects unknown: REDUCE_ONLY; timeouts unknown: authority RISK_REDUCING.
    """
    broker = view.books.broker
    refused, silent = _count(broker.rejects_60s), _count(broker.timeouts_60s)
    measures = (
        (refused, k["max_rejects_60s"].astype(np.float64)),
        (silent, k["max_timeouts_60s"].astype(np.float64)),
    )
    storm, ambiguous = (seen >= limit for seen, limit in measures)
    unknown = np.isnan(refused) | np.isnan(silent)
    value, limit = _nearest(measures)
    authority = np.where(
        ambiguous, Authority.CANCEL_ONLY, np.where(np.isnan(silent), Authority.RISK_REDUCING, Authority.ALL)
    ).astype(np.int8)
    reduce_only = mode(storm | np.isnan(refused), TradingState.REDUCE_ONLY)
    return verdict(
        view,
        Constraint(mode=reduce_only.mode, authority=authority if holds(authority) else None),
        bound=storm | ambiguous,
        unknown=unknown,
        value=value,
        limit=limit,
        codes={"REJECT_STORM": storm, "ORDERS_AMBIGUOUS": ambiguous, "REJECTS_UNKNOWN": unknown},
        latch=_trip(
            view,
            storm & ~view.states.latched("XL-14"),
            _same(view, TradingState.REDUCE_ONLY),
            _until(view, k["hold_s"]),
        ),
    )


def dead_man(view: View, k: Params) -> Verdict:
    """XL-16: age of the engine's heartbeat ≤ ``max_heartbeat_age_s``, else CANCEL of all entries, exits only.

    It stays so for ``hold_s`` (latch), at the third trip of a day until a person releases it. Age unknown: the
    same without a latch. Source: FIA, heartbeat and cancel on disconnect.
    """
    age = _count(view.books.broker.heartbeat_age_s)
    limit = k["max_heartbeat_age_s"]
    late, unknown = age > limit, np.isnan(age)
    held = view.states.latched("XL-16")
    silent = late | unknown | held
    authority = np.where(silent, np.int8(Authority.RISK_REDUCING), np.int8(Authority.ALL))
    stop = Constraint(
        authority=authority, cancel=silent[:, None] & (view.books.broker.working_entry_qty != 0)
    )
    return verdict(
        view,
        stop if holds(silent) else UNCONSTRAINED,
        bound=late | held,
        unknown=unknown,
        value=age,
        limit=limit,
        codes={"HEARTBEAT_LOST": late, "DEAD_MAN_HOLD": held, "HEARTBEAT_UNKNOWN": unknown},
        latch=_trip(view, late & ~held, _same(view, TradingState.NORMAL), _until(view, k["hold_s"])),
    )


def order_ttl(view: View, k: Params) -> Verdict:
    """XL-17: age of a working entry ≤ ``max_age_s`` and its venue trades, else CANCEL(i). Age unknown: CANCEL(i)."""
    broker, market = view.books.broker, view.market
    working = broker.working_entry_qty != 0  # NaN works too
    age = np.where(working, _count(broker.working_age_s), 0.0)
    shut = ~market.venue_open | np.isin(market.signals.status, (CLOSED, HALTED, LIMIT_LOCKED))
    old, closed = working & (age > k["max_age_s"][:, None]), working & shut
    unknown = np.isnan(age)
    gone = old | closed | unknown
    return verdict(
        view,
        Constraint(cancel=gone) if holds(gone) else UNCONSTRAINED,
        bound=old | closed,
        unknown=unknown,
        value=worst(np.where(working, age, np.nan)),
        limit=k["max_age_s"],
        codes={"ORDER_EXPIRED": old, "VENUE_SHUT": closed, "ORDER_AGE_UNKNOWN": unknown},
    )
