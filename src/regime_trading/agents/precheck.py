"""What the guards would leave of a person's own weights: a run's own stages up to the decision, and nothing after."""

from __future__ import annotations

import numpy as np

from regime_trading.agents.decision import Stepped, proposal_id, step_once
from regime_trading.agents.deps import Deps
from regime_trading.agents.graph import rehearse
from regime_trading.core.numbers import F8
from regime_trading.core.proposals import Prechecked
from regime_trading.core.state import RunRequest
from regime_trading.engine.carry import decision_of
from regime_trading.engine.record import decision_hashes, market_hash
from regime_trading.guards.variance import Risk, book_volatility, known_sigma


def precheck(request: RunRequest, deps: Deps) -> tuple[Prechecked, ...]:
    """Decide a request as its run would, account by account, and write nothing.

    Parameters
    ----------
    request : RunRequest
    deps : Deps
        With a store that keeps in memory what the stages write.

    Raises
    ------
    BadInput, CheckFailed
        As the run.
    """
    state = rehearse(request, deps, "allocator")
    done = step_once(state, deps)
    cycle, who = done.cycle, done.inputs.identities
    hashes = decision_hashes(cycle.view, market_hash(done.tick.market), who)
    held, proposed = _volatility(done, cycle.view.held), _volatility(done, cycle.decisions.proposed)
    allowed = _volatility(done, np.nan_to_num(cycle.decisions.projection.target, nan=0.0))
    return tuple(
        Prechecked(
            decision=decision_of(cycle, row, identity, hashes[row], proposal_id(state, done.profiles[row])),
            volatility=(held[row], proposed[row], allowed[row]),
        )
        for row, identity in enumerate(who)
    )


def _volatility(done: Stepped, weights: F8) -> list[float | None]:
    """Annualised volatility of nanoweights [A, N] by account, as the guards reckon it; None where that of a symbol is
    not known."""
    market = done.tick.market
    known = known_sigma(market)
    sigma = np.where(known, market.sigma, 0.0) * np.sqrt(done.inputs.desk.annual)
    plain = np.nan_to_num(weights, nan=0.0)
    risk = Risk(
        np.repeat(sigma[None, :], len(plain), axis=0),
        np.ascontiguousarray(market.correlation),
        np.zeros(plain.shape, dtype=np.bool_),
    )
    found = book_volatility(plain, risk)
    unknown = ((plain != 0) & ~known).any(axis=1) | ~np.isfinite(weights).all(axis=1)
    return [
        None if missing else float(value)
        for value, missing in zip(found.tolist(), unknown.tolist(), strict=True)
    ]
