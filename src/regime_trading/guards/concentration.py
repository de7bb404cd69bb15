"""Guard 5, correlation and concentration caps."""

from __future__ import annotations

import numpy as np

from regime_trading.guards.constraint import Constraint, block, clamp, holds
from regime_trading.guards.snapshot import Params, View
from regime_trading.guards.verdict import Verdict, verdict, worst


def single_name(view: View, k: Params) -> Verdict:
    """CC-01: ``|w_i| ≤ max_weight``."""
    limit = np.repeat(k["max_weight"][:, None], view.n_assets, axis=1)
    over = view.size > limit
    return verdict(
        view,
        clamp(limit),
        bound=over,
        off=np.isinf(k["max_weight"]),
        value=worst(view.size),
        limit=k["max_weight"],
        codes={"SINGLE_NAME": over},
    )


def gross(view: View, k: Params) -> Verdict:
    """CC-02: ``Σ|w| ≤ max_gross``."""
    total = view.size.sum(axis=1)
    over = total > k["max_gross"]
    return verdict(
        view,
        Constraint(gross=k["max_gross"]),
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
        Constraint(net=k["max_net"]),
        bound=over,
        off=np.isinf(k["max_net"]),
        value=total,
        limit=k["max_net"],
        codes={"NET": over},
    )


def group(view: View, k: Params) -> Verdict:
    """CC-04: ``Σ_{i∈g}|w_i| ≤ max_group``; all unclassified assets together form one group with its own cap."""
    n_groups = view.market.n_groups
    used = view.size @ view.market.members
    limit = np.repeat(k["max_group"][:, None], n_groups + 1, axis=1)
    limit[:, n_groups] = np.minimum(k["max_group"], k["max_unclassified"])
    over = used > limit
    return verdict(
        view,
        Constraint(group=limit),
        bound=over,
        off=np.isinf(k["max_group"]) & np.isinf(k["max_unclassified"]),
        value=worst(used),
        limit=k["max_group"],
        codes={"GROUP": over[:, :n_groups], "UNCLASSIFIED": over[:, n_groups]},
    )


def max_positions(view: View, k: Params) -> Verdict:
    """CC-08: rank of ``|p_i|`` ≤ count, ties by symbol, else BLOCK(i): held ones may only shrink."""
    positions = (view.size > 0).sum(axis=1)
    beyond = np.zeros(view.size.shape, dtype=np.bool_)
    if holds(positions > k["count"]):
        rank = np.argsort(np.argsort(-view.size, axis=1, kind="stable"), axis=1, kind="stable")
        beyond = (rank >= k["count"][:, None]) & (view.size > 0)
    return verdict(
        view,
        block(beyond, view.held),
        bound=beyond,
        value=positions.astype(np.float64),
        limit=k["count"].astype(np.float64),
        codes={"TOO_MANY_POSITIONS": beyond},
    )
