"""Who was limited by what, and which rules are shown to fire."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from regime_trading.core.rules import RULE_IDS
from regime_trading.tools.report_document import (
    Block,
    Cell,
    Column,
    Row,
    Section,
    Table,
    Text,
    Value,
    gap,
    num,
)
from regime_trading.tools.report_model import (
    AccountHistory,
    RuleHistory,
)
from regime_trading.tools.report_shared import (
    columns,
    guard_title,
    in_rule_order,
    tag,
)
from regime_trading.tools.report_text import (
    MISSING,
    NBSP,
    count,
    day,
    percent,
    rule_name,
)

_HEAT_STEPS = (0.01, 0.05, 0.20, 0.50)


def limits_section(accounts: Sequence[AccountHistory]) -> Section:
    """Share of decisions bound, accounts by rules."""
    order = in_rule_order({r.rule_id for item in accounts for r in item.rules if r.bound})
    titles = (Column("Rule"), *(Column(item.account, right=True) for item in accounts))
    by_account = [{r.rule_id: r for r in item.rules} for item in accounts]
    rows = tuple(
        Row((rule_name(rule_id), *(_heat_cell(rules.get(rule_id)) for rules in by_account)))
        for rule_id in order
    )
    silent = [r for r in RULE_IDS if r not in order]
    blocks: list[Block] = [
        Table(
            "Share of decisions bound", titles, rows, "No rule bound any account.", kind="heat", headed=False
        )
    ]
    if silent and accounts:
        told = f"{len(silent)} of {count(len(RULE_IDS), 'rule')} bound nobody"
        blocks.append(Text(f"{told}; Rule liveness, below, says why."))
    lead = "Share of decisions that each rule made smaller, and the last day it did. Stronger colour: more often."
    return Section("limits", "Who was limited by what", lead, tuple(blocks))


def _heat_cell(rule: RuleHistory | None) -> Cell:
    if rule is None:
        return gap("no record")
    if not rule.evaluated:
        return gap("off" if rule.off else rule.reason or "never evaluated")
    share = rule.bound / rule.evaluated
    step = 0 if not rule.bound else 1 + int(np.searchsorted(_HEAT_STEPS[:3], share, side="right"))
    text = "0" + NBSP + "%" if not rule.bound else percent(share) if share >= 0.001 else f"<{NBSP}0.1{NBSP}%"
    return Cell(text, kind="heat", note=day(rule.last_bound_ns) if rule.bound else "", scale=(float(step),))


# --- rule liveness ------------------------------------------------------------------------------


def liveness_section(accounts: Sequence[AccountHistory]) -> Section:
    """Every rule of the registry: evaluated, bound, last bound, or why not."""
    by_rule: dict[str, list[RuleHistory]] = {rule_id: [] for rule_id in RULE_IDS}
    for item in accounts:
        for rule in item.rules:
            by_rule.setdefault(rule.rule_id, []).append(rule)
    order = in_rule_order(by_rule)
    rows = tuple(Row(_liveness_cells(r, by_rule[r], len(accounts)), guard_title(r)) for r in order)
    titles = columns(
        "Rule",
        "On this history",
        ">Evaluated",
        ">Bound",
        ">Unknown",
        ">Last bound",
        ">Accounts bound",
        "Why not",
    )
    fired = sum(any(h.bound for h in by_rule[r]) for r in order)
    evaluated = sum(any(h.evaluated for h in by_rule[r]) for r in order)
    lead = (
        f"A limit that is never evaluated is the commonest risk bug. Of {count(len(order), 'rule')} {fired} bound at "
        f"least once, {evaluated - fired} were evaluated and never bound, {len(order) - evaluated} were never "
        "evaluated."
    )
    return Section(
        "liveness", "Rule liveness", lead, (Table("Rules", titles, rows, "No rule.", headed=False),)
    )


def _liveness_cells(rule_id: str, found: list[RuleHistory], n_accounts: int) -> tuple[Value, ...]:
    evaluated, bound = sum(h.evaluated for h in found), sum(h.bound for h in found)
    last = max((h.last_bound_ns for h in found if h.last_bound_ns is not None), default=None)
    reasons = sorted({h.reason for h in found if h.reason})
    return (
        rule_name(rule_id),
        _liveness_tag(found, evaluated, bound),
        num(f"{evaluated:,}") if found else gap(),
        num(f"{bound:,}") if found else gap(),
        num(f"{sum(h.unknown for h in found):,}") if found else gap(),
        num(day(last)) if last is not None else gap(),
        num(f"{sum(h.bound > 0 for h in found)} of {n_accounts}") if found else gap(),
        ", ".join(reasons) or MISSING,
    )


def _liveness_tag(found: list[RuleHistory], evaluated: int, bound: int) -> Cell:
    if not found:
        return tag("no record", "bad")
    if bound:
        return tag("fires", "good")
    if evaluated:
        return tag("never bound", "warn")
    return tag("not evaluable" if any(h.not_evaluable for h in found) else "off", "muted")
