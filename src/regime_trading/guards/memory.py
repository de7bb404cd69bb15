"""What the guards remember from one cycle to the next, moved forward once per cycle, before the decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from regime_trading.guards import blackout, data_sanity, drawdown, liquidity, vol_target
from regime_trading.guards.snapshot import Happened, Params, States, View


def advance(view: View, knobs: Mapping[str, Params], happened: Happened) -> States:
    """The states as the rules of this cycle see them; each guard moves its own part.

    Applied once per cycle: the decision itself only adds latches and timers, so that deciding twice on one view is
    deciding once.
    """
    for guard in (data_sanity, blackout, drawdown, vol_target, liquidity):
        view = replace(view, states=guard.remember(view, knobs, happened))
    return view.states
