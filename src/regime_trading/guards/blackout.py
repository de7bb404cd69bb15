"""Guard 2, universe and time blackouts."""

from __future__ import annotations

import numpy as np

from regime_trading.core.numbers import B1
from regime_trading.core.rules import DenyMode, NewsMode, TradingState
from regime_trading.guards.constraint import UNCONSTRAINED, block, halt, holds, meet, mode, stay, zero
from regime_trading.guards.snapshot import Params, View, in_freeze
from regime_trading.guards.verdict import Verdict, least, verdict

_DENY = list(DenyMode)
_NEWS = list(NewsMode)


def allow(view: View, k: Params) -> Verdict:
    """UT-01: ``i ∈ symbols``, else BLOCK(i): an existing position may only shrink."""
    outside = ~k["symbols"]
    return verdict(
        view,
        block(outside, view.held),
        bound=_concerned(view) & outside,
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
        bound=listed & _concerned(view),
        codes={"DENIED": listed},
    )


def session_hours(view: View, k: Params) -> Verdict:
    """UT-04: the venue session of ``i`` is open, else BLOCK(i) and no order. Unknown status counts as closed."""
    closed = view.per_asset(~view.market.venue_open)
    return verdict(
        view,
        halt(closed, view.held),
        bound=closed,
        codes={"VENUE_CLOSED": closed},
    )


def news(view: View, k: Params) -> Verdict:
    """UT-06: ``t ∉ [event − before_s, event + after_s]``, else BLOCK(i) or NO_TRADE(i) by mode.

    An unknown calendar (NaN) counts as inside a window, but freezes nothing.
    """
    ahead, behind = view.market.to_event_s[None, :], view.market.since_event_s[None, :]
    inside = (ahead <= k["before_s"][:, None]) | (behind <= k["after_s"][:, None])
    unknown = view.per_asset(np.isnan(view.market.to_event_s) | np.isnan(view.market.since_event_s))
    frozen = inside & (k["mode"] == _NEWS.index(NewsMode.NO_TRADE))[:, None]
    nearest = least(np.fmin(ahead, behind))
    return verdict(
        view,
        meet(block(inside | unknown, view.held), stay(frozen)),
        bound=inside,
        unknown=unknown,
        value=view.everyone(nearest[0]),
        limit=k["before_s"].astype(np.float64),
        codes={"NEWS_WINDOW": inside, "CALENDAR_UNKNOWN": unknown},
    )


def freeze(view: View, k: Params) -> Verdict:
    """UT-14: ``day(t) ∉ windows``, else REDUCE_ONLY until the window ends."""
    inside = np.array([in_freeze(windows, view.market.date) for windows in k["windows"]], dtype=np.bool_)
    return verdict(
        view,
        mode(inside, TradingState.REDUCE_ONLY),
        bound=inside,
        codes={"FREEZE_WINDOW": inside},
    )


def _concerned(view: View) -> B1:
    """Assets that are held or asked for."""
    concerned: B1 = (view.size != 0) | (view.books.current != 0)
    return concerned
