"""One account in one run: what was decided, the targets, the orders, and every rule."""

from __future__ import annotations

from regime_trading.core.rules import TradingState
from regime_trading.core.schemas import Outcome, PMDecision, RuleOutcome, RuleResult, Target
from regime_trading.tools.report_document import (
    Block,
    Cell,
    Details,
    Facts,
    Part,
    Row,
    Section,
    Table,
    Text,
    Tone,
    Value,
    gap,
    num,
)
from regime_trading.tools.report_model import AccountRun
from regime_trading.tools.report_shared import (
    columns,
    guard_title,
    in_rule_order,
    known,
    slug,
    state_tag,
    tag,
)
from regime_trading.tools.report_text import (
    NBSP,
    count,
    money,
    percent,
    rule_name,
    rule_value,
    units,
    utilisation,
    words,
)

OUTCOME_TONES: dict[Outcome, Tone] = {
    Outcome.APPROVE: "good",
    Outcome.RESIZE: "info",
    Outcome.BLOCK: "warn",
    Outcome.REDUCE_ONLY: "warn",
    Outcome.FLATTEN: "bad",
    Outcome.LOCK: "bad",
    Outcome.HOLD: "muted",
}
RULE_TONES: dict[RuleOutcome, Tone] = {
    RuleOutcome.PASS: "",
    RuleOutcome.BOUND: "info",
    RuleOutcome.UNKNOWN: "warn",
    RuleOutcome.NOT_EVALUABLE: "muted",
    RuleOutcome.OFF: "muted",
}
_RULE_WORDS = {
    RuleOutcome.PASS: "passed",
    RuleOutcome.BOUND: "bound",
    RuleOutcome.UNKNOWN: "unknown",
    RuleOutcome.NOT_EVALUABLE: "not evaluable",
    RuleOutcome.OFF: "off",
}


def decision_section(accounts: tuple[AccountRun, ...]) -> Section:
    """One part per account: outcome, targets, orders, every rule."""
    parts: tuple[Block, ...] = tuple(_account_part(k, item) for k, item in enumerate(accounts, 1))
    empty = (Text("No account was decided in this run."),)
    return Section("accounts", "Accounts", "", parts or empty)


def _account_part(k: int, item: AccountRun) -> Part:
    d = item.decision
    outcome, state = tag(words(d.outcome.value), OUTCOME_TONES[d.outcome]), state_tag(d.trading_state_after)
    restricted = d.trading_state_after != TradingState.NORMAL and state.text != outcome.text
    tags = (outcome, *((state,) if restricted else ()), _mode_tag(item))
    blocks: tuple[Block, ...] = (
        _account_facts(item),
        Text(d.rationale or "No rationale was recorded."),
        _target_table(item),
        _order_table(d),
        _limit_table(item),
        _all_rules(item),
    )
    return Part(f"account-{k}-{slug(d.account)}", d.account, blocks, tags, in_contents=True)


def _mode_tag(item: AccountRun) -> Cell:
    tones: dict[str, Tone] = {"dry_run": "muted", "shadow": "violet", "gated_live": "warn"}
    return tag(words(item.profile.mode.value), tones[item.profile.mode.value])


def _account_facts(item: AccountRun) -> Facts:
    d = item.decision
    before, after = (words(s.name) for s in (d.trading_state_before, d.trading_state_after))
    facts: list[tuple[str, Value]] = [
        ("Equity", "not known" if d.equity is None else num(money(float(d.equity), item.currency))),
        ("Trading state", after if before == after else f"{before} → {after}"),
        ("May send", words(d.authority.name)),
        ("Throttle", num(percent(float(d.throttle), 0))),
        ("Budget factor", num(percent(float(d.budget_factor)))),
        ("Baskets", ", ".join(item.profile.baskets) or gap("own proposal")),
        ("Decision", Cell(d.decision_id, kind="code")),
    ]
    if item.approval is not None:
        by = f" by {', '.join(item.approval.by)}" if item.approval.by else ""
        facts.append(("Approval", words(item.approval.status) + by))
    if item.acceptance is not None:
        taken = f"{len(item.acceptance.order_ids)} of {count(len(d.orders), 'order')}"
        facts.append(("Taken by the broker", num(taken, item.acceptance.reason)))
    return Facts(tuple(facts))


def _target_table(item: AccountRun) -> Table:
    targets = [t for t in item.decision.targets if t.proposed_w or t.current_w or t.target_w or t.step_qty]
    largest = max((abs(float(w)) for t in targets for w in (t.proposed_w, t.target_w)), default=0.0) or 1.0
    rows = tuple(
        Row(_target_cells(t, largest)) for t in sorted(targets, key=lambda t: (-abs(t.proposed_w), t.symbol))
    )
    titles = columns(
        "Symbol", ">Proposed", ">Now", "Target (tick: proposed)", ">Units now", ">Step, units", "Limited by"
    )
    return Table("Targets", titles, rows, "Flat, and nothing was proposed.")


def _target_cells(t: Target, largest: float) -> tuple[Value, ...]:
    bar = (abs(float(t.target_w)) / largest, abs(float(t.proposed_w)) / largest)
    why = [rule_name(r) for r in in_rule_order(t.limiting_rules)] + [words(c) for c in t.reason_codes]
    return (
        Cell(t.symbol, kind="code"),
        num(percent(float(t.proposed_w))),
        num(percent(float(t.current_w))),
        Cell(percent(float(t.target_w)), kind="bar", scale=bar),
        num(units(t.current_qty)),
        num(units(t.step_qty, signed=True)),
        ", ".join(why) or "no rule",
    )


def _order_table(decision: PMDecision) -> Table:
    rows = tuple(
        Row(
            (
                Cell(o.symbol, kind="code"),
                o.intent,
                num(units(o.qty, signed=True)),
                num(str(o.leg)),
                Cell(o.client_order_id, kind="code"),
            )
        )
        for o in decision.orders
    )
    titles = columns("Symbol", "Intent", ">Units", ">Leg", "Order id")
    return Table("Orders", titles, rows, "No order follows from this decision.")


def _limit_table(item: AccountRun) -> Table:
    telling = [r for r in item.decision.rules if r.outcome in (RuleOutcome.BOUND, RuleOutcome.UNKNOWN)]
    order = in_rule_order(r.rule_id for r in telling)
    rows = tuple(_rule_row(r, item.currency) for r in sorted(telling, key=lambda r: order.index(r.rule_id)))
    return Table("What limited this account", _RULE_COLUMNS, rows, "No rule made this decision smaller.")


_RULE_COLUMNS = columns("Rule", "Outcome", "Used", ">Value", ">Limit", "Reason")


def _rule_row(result: RuleResult, currency: str, grouped: bool = False) -> Row:
    value = None if result.value is None else float(result.value)
    limit = None if result.limit is None else float(result.limit)
    missing = _missing_reason(result)
    cells: tuple[Value, ...] = (
        rule_name(result.rule_id),
        tag(_RULE_WORDS[result.outcome], RULE_TONES[result.outcome]),
        use_cell(
            float(utilisation(result.rule_id, value, limit))
            if value is not None and limit is not None
            else None,
            missing,
        ),
        known(rule_value(result.rule_id, value, currency)),
        known(rule_value(result.rule_id, limit, currency)),
        ", ".join(words(c) for c in result.reason_codes),
    )
    return Row(cells, guard_title(result.rule_id) if grouped else "")


def _missing_reason(result: RuleResult) -> str:
    if result.outcome == RuleOutcome.OFF:
        return "off"
    if result.outcome in (RuleOutcome.UNKNOWN, RuleOutcome.NOT_EVALUABLE):
        return "input missing"
    return "yes-or-no rule"


def use_cell(used: float | None, reason: str = "") -> Cell:
    """Utilisation of a limit as a bar with a tick at the limit."""
    if used is None or used != used:
        return gap(reason)
    text = percent(used, 0) if used < 10 else f"over 1,000{NBSP}%"
    return Cell(text, kind="bar", scale=(min(used, 10.0), 1.0), tone="warn" if used > 1 else "")


def _all_rules(item: AccountRun) -> Details:
    results = {r.rule_id: r for r in item.decision.rules}
    order = in_rule_order(results)
    table = Table(
        f"All rules, {item.account}",
        _RULE_COLUMNS,
        tuple(_rule_row(results[r], item.currency, grouped=True) for r in order),
        "No rule outcome was recorded.",
        headed=False,
    )
    counts = [r.outcome for r in results.values()]
    told = ", ".join(f"{counts.count(o)} {_RULE_WORDS[o]}" for o in RuleOutcome if o in counts)
    return Details(f"All {count(len(results), 'rule')}: {told}" if results else "All rules", (table,))


def rule_list(rule_ids: tuple[str, ...]) -> str:
    """Names of rules in the order of the registry."""
    return ", ".join(rule_name(r) for r in in_rule_order(rule_ids))
