"""⑧ The report for people, and the same facts as JSON and Parquet beside it: shared, per firm, and over all firms."""

from __future__ import annotations

from typing import Any

import polars as pl

from regime_trading.agents.deps import Deps
from regime_trading.agents.frames import save
from regime_trading.agents.run_report import market_facts, run_report, write_json, write_pages
from regime_trading.core.schemas import PMDecision
from regime_trading.core.state import PipelineState, Report
from regime_trading.tools.report import firms, for_firm


def summarizer(state: PipelineState, deps: Deps) -> dict[str, Any]:
    """Write ``report.md`` and ``report.html`` over all firms and for each firm, with the data beside them."""
    report = run_report(state, deps)
    home = f"runs/{state.request.run_id}"
    files = [write_json(deps, f"{home}/market/regime.json", market_facts(state))]
    files += write_pages(deps, home, report)
    for firm in firms(report):
        folder = f"{home}/firms/{firm}"
        own = tuple(d for d in state.decisions or () if d.account.split("/")[0] == firm)
        files += write_pages(deps, folder, for_firm(report, firm))
        files.append(write_json(deps, f"{folder}/decisions.json", [d.model_dump(mode="json") for d in own]))
        files.append(save(deps.store, f"{folder}/targets.parquet", _targets(own)))
    return {"report": Report(files=tuple(files))}


def _targets(decisions: tuple[PMDecision, ...]) -> pl.DataFrame:
    rows = [
        {
            "account": decision.account,
            "symbol": target.symbol,
            **{name: float(getattr(target, name)) for name in _WEIGHTS},
            "limiting_rules": list(target.limiting_rules),
        }
        for decision in decisions
        for target in decision.targets
    ]
    text = {"account": pl.String, "symbol": pl.String}
    schema = text | dict.fromkeys(_WEIGHTS, pl.Float64) | {"limiting_rules": pl.List(pl.String)}
    return pl.DataFrame(rows, schema=schema)


_WEIGHTS = ("proposed_w", "current_w", "target_w", "current_qty", "target_qty", "step_qty")
