"""Who was limited by what, and which rules are shown to fire."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from regime_trading.core.rules import RULE_IDS
from regime_trading.tools.report_document import (
    Block,
    Cell,
    Column,
    Details,
    Part,
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
    NEAR,
    columns,
    guard_title,
    in_rule_order,
    silent_sentences,
    slug,
    tag,
)
from regime_trading.tools.report_text import (
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
        blocks.append(Text(f"{told}; Guard liveness, below, says why."))
    lead = "Share of decisions that each rule made smaller, and the last day it did. Stronger colour: more often."
    return Section("limits", "Who was limited by what", lead, tuple(blocks))


def _heat_cell(rule: RuleHistory | None) -> Cell:
    if rule is None:
        return gap("no record")
    if not rule.evaluated:
        return gap(_standing(rule) or "never evaluated")
    share = rule.bound / rule.evaluated
    step = 0 if not rule.bound else 1 + int(np.searchsorted(_HEAT_STEPS[:3], share, side="right"))
    note = day(rule.last_bound_ns) if rule.bound else ""
    return Cell(_share(rule), kind="heat", note=note, scale=(float(step),))


def _share(rule: RuleHistory) -> str:
    share = rule.bound / rule.evaluated if rule.evaluated else 0.0
    return f"0{NBSP}%" if not rule.bound else percent(share) if share >= 0.001 else f"<{NBSP}0.1{NBSP}%"


def _standing(rule: RuleHistory) -> str:
    """Its reach; where that is not known, what the record says of a rule that was never evaluated."""
    if rule.reach or rule.evaluated:
        return rule.reach
    return "not evaluable" if rule.not_evaluable else "off" if rule.off else ""


# --- guard liveness -------------------------------------------------------------------------------------


def liveness_section(accounts: Sequence[AccountHistory]) -> Section:
    """Every rule of every account: how often it was evaluated and bound, when last, and whether it ever can."""
    lead = (
        "A limit that is never evaluated is the commonest risk bug. Reach says whether a rule can bind at all under "
        "the account's own configuration and on this source. Shown are the rules that bound, that were not known, or "
        f"that came to {percent(NEAR, 0)} of their limit; the others are folded."
    )
    parts: tuple[Block, ...] = tuple(_liveness_part(k, item) for k, item in enumerate(accounts, 1))
    return Section("liveness", "Guard liveness", lead, parts or (Text("No account has a history yet."),))


def _liveness_part(k: int, item: AccountHistory) -> Part:
    rules = {rule.rule_id: rule for rule in item.rules}
    known = [rules[r] for r in in_rule_order(rules)]
    telling = [rule for rule in known if _tells(rule)]
    telling.sort(key=lambda rule: -rule.bound / max(rule.evaluated, 1))
    rest = [rule for rule in known if rule not in telling]
    silent = {name: [r.rule_id for r in rest if _standing(r) == name] for name in ("off", "not evaluable")}
    quiet = [rule for rule in rest if _standing(rule) not in silent]
    missing = tuple(r for r in RULE_IDS if r not in rules)
    lost = tuple(Row((rule_name(r), *[gap()] * 5, tag("no record", "bad"))) for r in missing)
    rows = (*(Row(_liveness_cells(rule)) for rule in telling), *lost)
    table = Table(
        f"Rules that told, {item.account}",
        _TITLES,
        rows,
        "No rule bound or came near its limit.",
        headed=False,
    )
    blocks: list[Block] = [Text(_summary(known)), table]
    if quiet:
        told = f"{count(len(quiet), 'other rule')} never bound and never came near a limit"
        held = tuple(Row(_liveness_cells(rule), guard_title(rule.rule_id)) for rule in quiet)
        whole = Table(f"Other rules, {item.account}", _TITLES, held, "", headed=False)
        blocks.append(Details(told, (whole,), brief=f"{', '.join(rule.rule_id for rule in quiet)}."))
    blocks += [Text(text, "muted") for text in silent_sentences(silent["off"], silent["not evaluable"])]
    return Part(f"liveness-{k}-{slug(item.account)}", item.account, tuple(blocks))


_TITLES = columns("Rule", ">Evaluated", ">Bound", ">Share", ">Last bound", ">Most used", "Reach")


def _tells(rule: RuleHistory) -> bool:
    near = (most := _most_used(rule)) is not None and most >= NEAR
    lost = _standing(rule) == "unreachable" or not (_standing(rule) or rule.evaluated)
    return rule.bound > 0 or rule.unknown > 0 or near or lost


def _most_used(rule: RuleHistory) -> float | None:
    use = rule.utilisation
    return None if use is None or not np.isfinite(use).any() else float(np.nanmax(use[~np.isnan(use)]))


def _summary(rules: Sequence[RuleHistory]) -> str:
    found = [_standing(rule) for rule in rules]
    told = [f"{name} {found.count(name)}" for name in _REACHES if name in found]
    never = sum(
        not r.bound and r.evaluated > 0 and _standing(r) not in ("off", "not evaluable") for r in rules
    )
    return f"{', '.join([*told, f'never bound {never}'])}.".capitalize()


def _liveness_cells(rule: RuleHistory) -> tuple[Value, ...]:
    most, standing = _most_used(rule), _standing(rule)
    return (
        rule_name(rule.rule_id),
        num(f"{rule.evaluated:,}", f"{rule.unknown:,} unknown" if rule.unknown else ""),
        num(f"{rule.bound:,}"),
        num(_share(rule)) if rule.evaluated else gap(),
        num(day(rule.last_bound_ns)) if rule.last_bound_ns is not None else gap(),
        gap() if most is None else num(percent(most, 0) if most < 10 else f"over 1,000{NBSP}%"),
        tag(standing, "bad") if standing == "unreachable" else standing or "not known",
    )


_REACHES = ("reachable", "unreachable", "off", "not evaluable")
