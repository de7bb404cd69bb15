"""One account in one run: what was decided, the targets, the orders, and every rule."""

from __future__ import annotations

from regime_trading.core.instants import instant_text
from regime_trading.core.rules import RULE_BY_ID, TradingState
from regime_trading.core.schemas import Outcome, PMDecision, RuleOutcome, RuleResult, Target
from regime_trading.core.state import Approval
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
    NEAR,
    columns,
    guard_title,
    in_rule_order,
    known,
    silent_sentences,
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
        *_rule_blocks(item),
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
        facts.append(("Approval", approval_said(item.approval)))
    if item.acceptance is not None:
        taken = f"{len(item.acceptance.order_ids)} of {count(len(d.orders), 'order')}"
        facts.append(("Taken by the broker", num(taken, item.acceptance.reason)))
    return Facts(tuple(facts))


def approval_said(approval: Approval) -> str:
    """What became of an approval: by whom, when and why."""
    by = f" by {', '.join(approval.by)}" if approval.by else ""
    at = "" if approval.at_ns is None else f" at {instant_text(approval.at_ns)}"
    why = f" ({approval.why})" if approval.why and approval.why != approval.status else ""
    return words(approval.status) + by + at + why


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


def _rule_blocks(item: AccountRun) -> tuple[Block, ...]:
    """What limited the account and what came near; the other rules folded; those that said nothing in a sentence."""
    results = {r.rule_id: r for r in item.decision.rules}
    known = [results[r] for r in in_rule_order(results)]
    telling = [r for r in known if r.outcome in (RuleOutcome.BOUND, RuleOutcome.UNKNOWN)]
    near = [r for r in known if r.outcome is RuleOutcome.PASS and (_used(r) or 0.0) >= NEAR]
    quiet = [r for r in known if r.outcome is RuleOutcome.PASS and r not in near]
    silent = {
        outcome: [r.rule_id for r in known if r.outcome is outcome]
        for outcome in (RuleOutcome.OFF, RuleOutcome.NOT_EVALUABLE)
    }
    first = Table(
        "What limited this account, and what came near",
        _RULE_COLUMNS,
        tuple(_rule_row(r, item.currency) for r in (*telling, *near)),
        "No rule made this decision smaller, and none came near its limit.",
    )
    return (
        first,
        *_folded_rules(item, quiet),
        *(Text(text, "muted") for text in silent_sentences(*silent.values())),
    )


def _folded_rules(item: AccountRun, quiet: list[RuleResult]) -> tuple[Block, ...]:
    if not quiet:
        return ()
    table = Table(
        f"Rules that passed, {item.account}",
        tuple(column for column in _RULE_COLUMNS if column.title != "Outcome"),
        tuple(_passed_row(r, item.currency) for r in quiet),
        "",
        headed=False,
    )
    told = f"{count(len(quiet), 'other rule')} passed, each below {percent(NEAR, 0)} of its limit"
    return (Details(told, (table,), brief=f"{', '.join(r.rule_id for r in quiet)}."),)


def _used(result: RuleResult) -> float | None:
    """Share of its limit that is used; None where it is not known."""
    if result.value is None or result.limit is None:
        return None
    used = float(utilisation(result.rule_id, float(result.value), float(result.limit)))
    return None if used != used else used


_RULE_COLUMNS = columns("Rule", "Outcome", "Used", ">Value", ">Limit", "Reason")


def _passed_row(result: RuleResult, currency: str) -> Row:
    """As :func:`_rule_row` without the outcome, under its guard."""
    rule, _, *rest = _rule_row(result, currency).cells
    return Row((rule, *rest), guard_title(result.rule_id))


def _rule_row(result: RuleResult, currency: str) -> Row:
    value = None if result.value is None else float(result.value)
    limit = None if result.limit is None else float(result.limit)
    cells: tuple[Value, ...] = (
        rule_name(result.rule_id),
        tag(_RULE_WORDS[result.outcome], RULE_TONES[result.outcome]),
        use_cell(_used(result), _missing_reason(result)),
        known(rule_value(result.rule_id, value, currency)),
        known(rule_value(result.rule_id, limit, currency)),
        ", ".join(words(c) for c in result.reason_codes),
    )
    return Row(cells)


def _missing_reason(result: RuleResult) -> str:
    if result.outcome == RuleOutcome.OFF:
        return "off"
    if result.outcome in (RuleOutcome.UNKNOWN, RuleOutcome.NOT_EVALUABLE):
        return "input missing"
    spec = RULE_BY_ID.get(result.rule_id)
    return "yes or no" if spec is None or spec.measure.unit == "condition" else "no single value"


def use_cell(used: float | None, reason: str = "") -> Cell:
    """Utilisation of a limit as a bar with a tick at the limit."""
    if used is None:
        return gap(reason)
    text = percent(used, 0) if used < 10 else f"over 1,000{NBSP}%"
    return Cell(text, kind="bar", scale=(min(used, 10.0), 1.0), tone="warn" if used > 1 else "")


def rule_list(rule_ids: tuple[str, ...]) -> str:
    """Names of rules in the order of the registry."""
    return ", ".join(rule_name(r) for r in in_rule_order(rule_ids))
