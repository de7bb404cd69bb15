"""The long dry run: prices, research, the history loop, the sealed record and the report."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from regime_trading.core.audit import Dataset, chain_id
from regime_trading.core.canonical import GENESIS, chain_hashes
from regime_trading.core.checkpoint import SealedEntries
from regime_trading.core.errors import CheckFailed
from regime_trading.core.ports import (
    ArtifactStore,
)
from regime_trading.core.rules import RULE_IDS
from regime_trading.core.schemas import (
    AuditEvent,
)
from regime_trading.core.trader_profile import effective_bytes
from regime_trading.engine.backtest import HistoryInputs, HistoryResult, rule_counts, run_history
from regime_trading.engine.desk import heard
from regime_trading.engine.inputs import InputBuffer
from regime_trading.services.backtest_plan import (
    BacktestDeps,
    BacktestRequest,
    Plan,
    history_inputs,
    make_plan,
    plan_readings,
)
from regime_trading.services.backtest_report import build_report
from regime_trading.services.liveness import RULES, history_record, record_bytes
from regime_trading.services.study import Progress, StudyCache, study
from regime_trading.tools.report import charts, firms, for_firm, render_html, render_markdown
from regime_trading.tools.report_model import BacktestReport

BLOCK_BARS = 2048


@dataclass(frozen=True, slots=True)
class BacktestOutcome:
    """Answer of a backtest: ``summary`` is what ``--json`` prints; ``reused`` = a sealed run was verified."""

    run_id: str
    path: str
    summary: dict[str, Any]
    reused: bool


def run_backtest(
    request: BacktestRequest, deps: BacktestDeps, progress: Progress | None = None
) -> BacktestOutcome:
    """Dry run of every chosen account over history.

    An identical request verifies the sealed run and re-uses it.

    Raises
    ------
    BadInput
        A request, a source or a configuration that cannot be accepted.
    CheckFailed
        The sealed run is no longer what was sealed.
    """
    plan = make_plan(request, deps)
    path = f"runs/{plan.run_id}"
    if deps.store.exists(f"{path}/summary.json"):
        _verify(plan, deps)
        _verify_inputs(plan, deps)
        _sign(plan, deps, {})
        return BacktestOutcome(
            plan.run_id, path, json.loads(deps.store.read_bytes(f"{path}/summary.json")), True
        )
    found = study(
        plan.window, plan.universe, deps.settings, StudyCache(deps.store, deps.code_version), progress
    )
    readings = plan_readings(plan, deps)
    inputs = history_inputs(plan, found, request, readings, deps, progress)
    kept = InputBuffer(inputs.desk.annual, inputs.identities, _configs(plan), deps.inputs.put)
    sealed: dict[str, list[str]] = {}
    result = run_history(
        inputs, _sealing(inputs, kept, deps, sealed), block_bars=BLOCK_BARS, progress=progress, keep=kept.add
    )
    for account in range(len(plan.profiles)):
        for block in result.rl.blocks(account):
            if len(block.columns["seq"]):
                deps.sealer.seal_rl(block)
    report = build_report(plan, found, inputs, result, readings, deps)
    _write_report(report, path, deps.store)
    record = history_record(
        plan.run_id,
        plan.source,
        plan.window.ts_ns[plan.first :],
        heard(inputs.market),
        [(profile.account, profile.config_hash) for profile in plan.profiles],
        result,
    )
    deps.store.write_bytes(f"{path}/{RULES}", record_bytes(record))
    summary = _summary(plan, inputs, result, report, path)
    _sign(plan, deps, sealed)
    deps.store.write_bytes(f"{path}/summary.json", json.dumps(summary, indent=2).encode())
    return BacktestOutcome(plan.run_id, path, summary, False)


def report_again(
    request: BacktestRequest, deps: BacktestDeps, run_id: str, progress: Progress | None = None
) -> BacktestReport:
    """The report of a backtest that was made before, from the same history run through the loop once more; nothing is
    written.

    Raises
    ------
    BadInput
        A request that cannot be accepted.
    CheckFailed
        Prices, configuration or code are no longer those it was made with.
    """
    plan = make_plan(request, deps)
    if plan.run_id != run_id:
        raise CheckFailed(
            f"backtest {run_id} was made of other prices, configurations or code: the same request would now be "
            f"{plan.run_id}"
        )
    cache = StudyCache(deps.store, deps.code_version)
    found = study(plan.window, plan.universe, deps.settings, cache, progress)
    readings = plan_readings(plan, deps)
    inputs = history_inputs(plan, found, request, readings, deps, progress)
    result = run_history(inputs, lambda account, events: None, block_bars=BLOCK_BARS, progress=progress)
    return build_report(plan, found, inputs, result, readings, deps)


def _configs(plan: Plan) -> dict[str, bytes]:
    return {profile.config_hash: effective_bytes(profile) for profile in plan.profiles}


def _sealing(
    inputs: HistoryInputs, kept: InputBuffer, deps: BacktestDeps, sealed: dict[str, list[str]]
) -> Callable[[int, list[AuditEvent]], None]:
    """Seal entries, after what their decisions were made of; ``sealed`` collects, by chain, the hashes of all."""
    heads = [GENESIS] * len(inputs.identities)
    chains = [chain_id(who.env, who.run_id, who.firm_id, who.account_id) for who in inputs.identities]

    def sink(account: int, events: list[AuditEvent]) -> None:
        kept.flush()
        if events:
            deps.sealer.seal_audit(chains[account], heads[account], events)
            hashes = chain_hashes(heads[account], [event.body for event in events])
            sealed.setdefault(chains[account], []).extend(hashes)
            heads[account] = hashes[-1]

    return sink


def _sign(plan: Plan, deps: BacktestDeps, sealed: dict[str, list[str]]) -> None:
    """One checkpoint per firm, where anything is new."""
    if deps.notary is None:
        return
    for firm in sorted({profile.firm_id for profile in plan.profiles}):
        own = [
            SealedEntries(chain, 1, hashes)
            for chain, hashes in sealed.items()
            if chain.split("/")[-2] == firm
        ]
        deps.notary.sign(firm, own)


def _verify(plan: Plan, deps: BacktestDeps) -> None:
    for profile in plan.profiles:
        who = (plan.run_id, profile.firm_id, profile.account_id)
        for dataset in get_args(Dataset):
            if (
                dataset == "transition"
                and plan.first == plan.last
                and deps.sealer.sealed(*who, dataset) is None
            ):
                continue  # a single decision leaves its transition open
            check = deps.sealer.verify_sealed(*who, dataset)
            if not check.ok:
                raise CheckFailed(
                    f"sealed run {plan.run_id} of {profile.account}, {dataset}: entry {check.first_bad}: "
                    f"{check.reason}; remove the run's files to make it anew"
                )


def _verify_inputs(plan: Plan, deps: BacktestDeps) -> None:
    """Every decided bar has its inputs, once per firm, in files that are what was stored."""
    expected = set(plan.window.ts_ns[plan.first : plan.last + 1].tolist())
    for profile in plan.profiles:
        deps.inputs.config(profile.firm_id, profile.config_hash)
    for firm_id in sorted({profile.firm_id for profile in plan.profiles}):
        parts = deps.inputs.parts(firm_id, plan.run_id)
        found = {
            ts for part in parts for ts in np.asarray(deps.inputs.read(part).columns["ts_event"]).tolist()
        }
        if found != expected:
            raise CheckFailed(
                f"inputs of run {plan.run_id} of {firm_id}: expected {len(expected)} bars, found "
                f"{len(found & expected)} of them; remove the run's files to make it anew"
            )


def _write_report(report: BacktestReport, path: str, store: ArtifactStore) -> None:
    for folder, shown in [
        (path, report),
        *((f"{path}/firms/{firm}", for_firm(report, firm)) for firm in firms(report)),
    ]:
        write_pages(shown, folder, store)


def write_pages(report: BacktestReport, folder: str, store: ArtifactStore) -> None:
    """``report.md``, ``report.html`` and their charts."""
    for name, svg in charts(report).items():
        store.write_bytes(f"{folder}/charts/{name}.svg", svg.encode())
    store.write_bytes(f"{folder}/report.md", render_markdown(report, "charts").encode())
    store.write_bytes(f"{folder}/report.html", render_html(report).encode())


def _summary(
    plan: Plan, inputs: HistoryInputs, result: HistoryResult, report: BacktestReport, path: str
) -> dict[str, Any]:
    """The ``--json`` answer (``contracts.md`` 14)."""
    counts = rule_counts(result)
    ts_ns = plan.window.ts_ns

    def day(bar: int) -> str | None:
        return None if bar < 0 else _iso(int(ts_ns[plan.first + bar]))

    accounts = []
    for a, (profile, shown) in enumerate(zip(plan.profiles, report.accounts, strict=True)):
        stats = shown.performance
        rules = {
            rule_id: {
                "evaluated": int(counts["evaluated"][a, r]),
                "bound": int(counts["bound"][a, r]),
                "unknown": int(counts["unknown"][a, r]),
                "last_bound": day(int(counts["last_bound"][a, r])),
            }
            for r, rule_id in enumerate(RULE_IDS)
        }
        accounts.append(
            {
                "account": profile.account,
                "decisions": inputs.n_bars,
                "events": result.heads[a],
                "final_equity": float(result.equity[-1, a]),
                "return": None if stats is None else _number(stats.annual_return),
                "max_drawdown": None if stats is None else _number(-stats.max_drawdown),
                "volatility": None if stats is None else _number(stats.annual_volatility),
                "turnover": _number(shown.turnover_pa),
                "attempts": [
                    {"number": x.number, "result": x.result, "rule_id": x.rule_id, "pnl": x.pnl}
                    for x in shown.attempts or ()
                ],
                "latches": len(shown.latches),
                "rules": rules,
            }
        )
    return {
        "run_id": plan.run_id,
        "path": path,
        "first": _iso(int(ts_ns[plan.first])),
        "last": _iso(int(ts_ns[plan.last])),
        "bars": inputs.n_bars,
        "notes": list(plan.universe.notes),
        "accounts": accounts,
    }


def _iso(ts_ns: int) -> str:
    return dt.datetime.fromtimestamp(ts_ns // 1_000_000_000, dt.UTC).isoformat()


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
