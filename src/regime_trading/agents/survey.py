"""The market alone: the research stages of a run, and what they found as files. Nothing is decided for anybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from regime_trading.agents.deps import Deps
from regime_trading.agents.frames import save_bytes
from regime_trading.agents.graph import rehearse
from regime_trading.agents.run_report import market_facts, run_report, write_json, write_pages
from regime_trading.core.state import PipelineState, RunRequest
from regime_trading.tools.candidates import Candidate, plain, ranked

LAST = "contradictor"  #: of the stages that look at the market


def survey(
    request: RunRequest, deps: Deps, title: str, *, rank: bool
) -> tuple[PipelineState, tuple[Candidate, ...]]:
    """Find the regimes of a request's symbols and write them, with a report, where every firm of the run may look.

    Parameters
    ----------
    request : RunRequest
        Of no account.
    deps : Deps
    title : str
        Of the report.
    rank : bool
        Also rank the symbols: ``scan.json``, ``scan.csv`` and a table in the report.

    Raises
    ------
    BadInput
        As the stages.
    """
    state = rehearse(request, deps, LAST)
    assert state.regime is not None
    found = ranked(state.regime) if rank else ()
    home = f"runs/{request.run_id}/market"
    if rank:
        write_json(deps, f"{home}/scan.json", {"run_id": request.run_id, "candidates": plain(found)})
        save_bytes(deps.store, f"{home}/scan.csv", _csv(found))
    write_pages(deps, home, replace(run_report(state, deps), title=title, candidates=found))
    write_json(deps, f"{home}/regime.json", market_facts(state))
    return state, found


def _csv(candidates: Sequence[Candidate]) -> bytes:
    rows: list[dict[str, Any]] = [
        {name: value for name, value in row.items() if name != "evidence"} for row in plain(candidates)
    ]
    return pl.DataFrame(rows, infer_schema_length=None).write_csv().encode()
