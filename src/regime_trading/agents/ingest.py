"""① Prices up to ``as_of``, once: the run's own copy, its integrity record and its hash."""

from __future__ import annotations

from typing import Any

from regime_trading.agents.deps import Deps
from regime_trading.agents.frames import save, shared_path
from regime_trading.core.errors import BadInput
from regime_trading.core.state import DataSnapshot, PipelineState
from regime_trading.engine.price_table import window_frame


def ingest(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """Copy the source's window into the run's artifacts.

    Raises
    ------
    BadInput
        The source no longer says what it said when the run was asked for.
    """
    request = state.request
    source = deps.source(request.source)
    window = source.window(until=request.as_of_ns, symbols=request.symbols)
    content_hash = window.content_hash()
    if content_hash != request.data_hash:
        raise BadInput(
            expected=f"prices with content hash {request.data_hash}, as when the run was asked for",
            found=content_hash,
            where=f"source {request.source}",
        )
    health = source.health(until=request.as_of_ns, symbols=request.symbols)
    prices = save(deps.store, shared_path(request.run_id, "prices"), window_frame(window))
    return {"data": DataSnapshot(health=health, prices=prices, content_hash=content_hash)}
