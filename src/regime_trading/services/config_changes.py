"""What a change of the configuration does: key by key, and replayed over the days that were decided last."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from regime_trading.core.config_diff import Change, Direction
from regime_trading.core.errors import BadInput
from regime_trading.core.rules import RULE_IDS
from regime_trading.core.schemas import AuditEvent, EventType, Mode
from regime_trading.core.trader_profile import in_mode
from regime_trading.engine.backtest import HistoryInputs, HistoryResult, run_history
from regime_trading.engine.universe import choose_accounts
from regime_trading.services.backtest_plan import (
    BacktestDeps,
    BacktestRequest,
    end_of,
    history_inputs,
    make_plan,
    plan_readings,
)
from regime_trading.services.backtest_report import account_returns
from regime_trading.services.overlay import Overlay
from regime_trading.services.study import Progress, StudyCache, study
from regime_trading.tools.performance import equity_curve, max_drawdown, total_return

DEFAULT_DAYS = 60
MOST_ROWS = 20
_WATCHED = ("outcome", "trading_state", "binding_rules", "targets")

Decision = Mapping[str, Any]


def changes_answer(changes: Sequence[Change]) -> dict[str, Any]:
    """``{ok, findings}`` (``contracts.md`` 14); ``ok`` = nothing loosens."""
    return {
        "ok": all(change.direction is not Direction.LOOSENS for change in changes),
        "findings": [change.model_dump(mode="json") for change in changes],
    }


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What to replay: the last ``days`` decision days up to ``last_day``, or those from ``first_day`` on."""

    source: str = "bundled"
    accounts: tuple[str, ...] | None = None
    days: int | None = None
    first_day: dt.date | None = None
    last_day: dt.date | None = None


def what_if(
    request: WhatIf, old: BacktestDeps, new: BacktestDeps, progress: Progress | None = None
) -> dict[str, Any]:
    """Replay one stretch of history under two configurations and compare the decisions, day by day.

    Both go through the loop of ``regime backtest``, as dry runs that start with fresh books. Every account of a firm
    takes part where one of them is asked for, for the firm's rules see them all. Nothing is written.

    Raises
    ------
    BadInput
        No account that both configurations have, or a stretch without bars.
    """
    both = {p.account for p in old.profiles} & {p.account for p in new.profiles}
    shown = [p.account for p in choose_accounts(old.profiles, request.accounts) if p.account in both]
    if not shown:
        raise BadInput(expected="an account that both configurations have", found="none", where="accounts")
    firms = {name.split("/")[0] for name in shown}
    asked = BacktestRequest(
        source=request.source,
        first_day=_first_day(request, old),
        last_day=request.last_day,
        run_id="what-if",
    )
    memory = Overlay(old.store)
    before, after = (
        _replay(asked, replace(deps, profiles=_dry(deps, both, firms), store=memory), progress)
        for deps in (old, new)
    )
    return {
        "first": before.days[0],
        "last": before.days[-1],
        "days": len(before.days),
        "accounts": [_compared(name, before, after) for name in shown],
    }


def _dry(deps: BacktestDeps, both: set[str], firms: set[str]) -> Any:
    return tuple(in_mode(p, Mode.DRY_RUN) for p in deps.profiles if p.account in both and p.firm_id in firms)


def _first_day(request: WhatIf, deps: BacktestDeps) -> dt.date:
    """First day to replay, a UTC date."""
    if request.first_day is not None and request.days is not None:
        raise BadInput(expected="--days or --from, not both", found="both", where="whatif")
    if request.first_day is not None:
        return request.first_day
    wanted = DEFAULT_DAYS if request.days is None else request.days
    if wanted < 1:
        raise BadInput(expected="at least 1 day", found=str(wanted), where="--days")
    until = None if request.last_day is None else end_of(request.last_day)
    bars = deps.source(request.source).window(until=until).ts_ns
    if not len(bars):
        raise BadInput(expected="at least one bar", found="none", where=f"source {request.source}")
    days = np.unique(bars // 86_400_000_000_000)
    return dt.date(1970, 1, 1) + dt.timedelta(days=int(days[-min(wanted, len(days))]))


def what_if_page(found: Mapping[str, Any], version: int) -> str:
    """The answer of :func:`what_if` as Markdown, account by account; ``version`` is what was tried."""
    lines = [
        f"# What version {version} would have decided",
        "",
        f"{found['days']} decision days, {found['first'][:10]} to {found['last'][:10]}, under what is in force and "
        "under the version.",
        "",
        "| account | decisions | different | return | maximal drawdown | rules that bound otherwise |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for one in found["accounts"]:
        rules = ", ".join(f"{rule} {n['old']} → {n['new']}" for rule, n in one["rules"].items()) or "none"
        changes = (_shown(one["return"]), _shown(one["max_drawdown"]))
        lines.append(
            f"| {one['account']} | {one['decisions']} | {one['differ']} | {' | '.join(changes)} | {rules} |"
        )
    return "\n".join([*lines, ""])


def _shown(pair: Mapping[str, float | None]) -> str:
    return " → ".join("not known" if v is None else f"{v * 100:.2f} %" for v in (pair["old"], pair["new"]))


# --- one replay ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Replay:
    """One history: its days, and of each account its decisions."""

    days: tuple[str, ...]
    decisions: Mapping[str, tuple[Decision, ...]]
    inputs: HistoryInputs
    result: HistoryResult

    def returns(self, account: str) -> tuple[float, float]:
        """Return of the stretch and its deepest drawdown."""
        a = [who.name for who in self.inputs.identities].index(account)
        returns = account_returns(self.result, self.inputs, a)
        return total_return(returns), -max_drawdown(equity_curve(returns))


def _replay(request: BacktestRequest, deps: BacktestDeps, progress: Progress | None) -> _Replay:
    plan = make_plan(request, deps)
    cache = StudyCache(deps.store, deps.code_version)
    found = study(plan.window, plan.universe, deps.settings, cache, progress)
    inputs = history_inputs(plan, found, request, plan_readings(plan, deps), deps, progress)
    decided: list[list[Decision]] = [[] for _ in plan.profiles]

    def sink(account: int, events: list[AuditEvent]) -> None:
        decided[account] += [_decision(e) for e in events if e.event_type == EventType.DECISION]

    result = run_history(inputs, sink, progress=progress)
    return _Replay(
        days=tuple(_day(int(ts)) for ts in plan.window.ts_ns[plan.first :]),
        decisions={p.account: tuple(d) for p, d in zip(plan.profiles, decided, strict=True)},
        inputs=inputs,
        result=result,
    )


def _day(ts_ns: int) -> str:
    moment = dt.datetime.fromtimestamp(ts_ns // 1_000_000_000, dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _decision(event: AuditEvent) -> Decision:
    """What a replay compares of one decision; weights as fractions."""
    body = json.loads(event.body)
    table = body["targets"]
    rows = zip(table["symbol"], table["target_w_e9"], table["step_qty"], strict=True)
    return {
        "outcome": body["outcome"],
        "trading_state": body["trading_state_after"],
        "binding_rules": body["binding_rules"],
        "targets": {s: {"target_w": w / 1e9, "step_qty": float(q)} for s, w, q in rows if w or float(q)},
    }


# --- the comparison -----------------------------------------------------------------------------------------


def _compared(account: str, before: _Replay, after: _Replay) -> dict[str, Any]:
    """What would have differed for one account."""
    later = dict(zip(after.days, after.decisions[account], strict=True))
    earlier = zip(before.days, before.decisions[account], strict=True)
    pairs = [(day, decision, later[day]) for day, decision in earlier if day in later]
    rows = [row for day, a, b in pairs if (row := _differing(day, a, b))]
    earned = [one.returns(account) for one in (before, after)]
    return {
        "account": account,
        "decisions": len(pairs),
        "differ": len(rows),
        "counts": {name: sum(name in row["changes"] for row in rows) for name in _WATCHED},
        "rules": _by_rule(pairs),
        "return": _pair(*(total for total, _ in earned)),
        "max_drawdown": _pair(*(deepest for _, deepest in earned)),
        "rows": rows[:MOST_ROWS],
    }


def _differing(day: str, a: Decision, b: Decision) -> dict[str, Any] | None:
    changes = {name: {"old": a[name], "new": b[name]} for name in _WATCHED if a[name] != b[name]}
    if "targets" in changes:
        old, new = a["targets"], b["targets"]
        moved = sorted(s for s in {*old, *new} if old.get(s) != new.get(s))
        changes["targets"] = {s: {"old": old.get(s), "new": new.get(s)} for s in moved}
    return {"as_of": day, "changes": changes} if changes else None


def _by_rule(pairs: Sequence[tuple[str, Decision, Decision]]) -> dict[str, dict[str, int]]:
    """Decisions each rule bound before and after, and those it bound on one side only; rules without a difference
    are left out."""
    found: dict[str, dict[str, int]] = {}
    for rule_id in RULE_IDS:
        bound = [(rule_id in a["binding_rules"], rule_id in b["binding_rules"]) for _, a, b in pairs]
        differ = sum(x is not y for x, y in bound)
        if differ:
            found[rule_id] = {
                "old": sum(x for x, _ in bound),
                "new": sum(y for _, y in bound),
                "differ": differ,
            }
    return found


def _pair(old: float, new: float) -> dict[str, float | None]:
    return {
        "old": float(old) if np.isfinite(old) else None,
        "new": float(new) if np.isfinite(new) else None,
    }
