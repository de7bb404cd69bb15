"""Weights to begin a proposal with: what a run proposed for a basket, and what a run left an account with."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from regime_trading.core.errors import BadInput, NotThere, NotYet
from regime_trading.core.proposals import OwnWeights
from regime_trading.core.record_query import EntryQuery
from regime_trading.services.views.artifacts import may_see_run
from regime_trading.services.views.base import Asker
from regime_trading.services.views.baskets import basket
from regime_trading.services.views.decisions import KINDS, said_in
from regime_trading.services.views.regimes import latest_run
from regime_trading.services.views.runs import market_of
from regime_trading.services.views.sources import FirmSources, ids_of


def proposed_weights(
    sources: FirmSources, asker: Asker, name: str, run_id: str = ""
) -> tuple[str, OwnWeights]:
    """What a run proposed for a basket, of the newest run where none is named; and the run.

    Raises
    ------
    NotThere
        No such basket or run, or not for this asker, or the run proposed nothing for it.
    """
    basket(sources, asker, name)
    found = run_id or latest_run(sources, asker) or ""
    if not found or not may_see_run(sources, asker, found):
        raise NotThere("run", run_id) if run_id else NotYet("run", "none")
    market = market_of(sources, found) or {}
    said = next((one for one in market.get("proposals") or () if one["basket"] == name), None)
    if said is None:
        raise NotYet("proposal", f"{name} {found}")
    return found, _weights({symbol: Decimal(text) for symbol, text in said["weights"].items()}, found)


def left_weights(
    sources: FirmSources, asker: Asker, account: str, run_id: str = ""
) -> tuple[str, OwnWeights]:
    """What the guards left an account with at its last decision, in a run where one is named; and its run.

    Raises
    ------
    NotThere
        No such account or decision, or not for this asker.
    """
    sources.require(asker, account)
    query = EntryQuery(accounts=ids_of((account,)), kinds=KINDS, run_id=run_id)
    entries = sources.record.newest(query, None, 1)
    columns: Mapping[str, Any] | None = said_in(entries[0]).get("targets") if entries else None
    if not columns:
        raise NotThere("run", run_id) if run_id else NotYet("decision", account)
    pairs = zip(columns["symbol"], columns["target_w_e9"], strict=True)
    run = str(said_in(entries[0]).get("run_id", run_id))
    return run, _weights({symbol: Decimal(nano).scaleb(-9) for symbol, nano in pairs}, run)


def _weights(found: Mapping[str, Decimal], run_id: str) -> OwnWeights:
    """Those that are not 0; the rest of a whole proposal is."""
    kept = {symbol: weight for symbol, weight in sorted(found.items()) if weight}
    if not kept:
        raise BadInput(expected="weights that are not all 0", found="none", where=f"run {run_id}")
    return OwnWeights(weights=kept)
