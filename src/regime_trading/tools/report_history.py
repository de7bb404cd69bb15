"""One account over the whole history: facts, charts, attempts, latches, cash flows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from regime_trading.core.rules import TradingState
from regime_trading.core.schemas import ActorType
from regime_trading.tools.chart_sheet import Size
from regime_trading.tools.charts import (
    AccountSeries,
    Curve,
    Mark,
    account_panels,
    utilisation_strip,
)
from regime_trading.tools.report_controls import performance_cells, turnover_cell
from regime_trading.tools.report_document import (
    Block,
    Facts,
    Figure,
    KeyEntry,
    Part,
    Row,
    Section,
    Table,
    Text,
    Tone,
    Value,
    folded,
    gap,
    num,
)
from regime_trading.tools.report_model import (
    AccountHistory,
    Attempt,
    LatchRecord,
)
from regime_trading.tools.report_shared import (
    columns,
    ends,
    in_rule_order,
    known,
    slug,
    state_tag,
    tag,
)
from regime_trading.tools.report_text import (
    MISSING,
    NBSP,
    count,
    day,
    money,
    percent,
    rule_name,
    signed,
    wilson_interval,
    words,
)


def history_section(accounts: Sequence[AccountHistory]) -> Section:
    """One part per account: facts, charts, attempts, latches, cash flows."""
    parts: tuple[Block, ...] = tuple(_account_part(k, item) for k, item in enumerate(accounts, 1))
    return Section("accounts", "Accounts", "", parts or (Text("No account has a history yet."),))


def _account_part(k: int, item: AccountHistory) -> Part:
    name = f"account-{k}-{slug(item.account)}"
    blocks: list[Block] = [_account_facts(item), _account_figure(name, item), _use_figure(name, item)]
    if item.attempts is not None:
        blocks += [Text(pass_rate(item.attempts)), _attempt_table(item)]
    blocks += [_latch_table(item), _flow_table(item)]
    tags = (
        tag(words(item.mode.value), "muted"),
        *((tag("evaluation", "violet"),) if item.attempts is not None else ()),
    )
    return Part(name, item.account, tuple(blocks), tags, in_contents=True)


def _account_facts(item: AccountHistory) -> Facts:
    told = ", ".join(f"{n:,} {words(outcome)}" for outcome, n in item.outcomes.items() if n)
    days = {s: int((item.trading_state == s).sum()) for s in TradingState if s}
    restricted = ", ".join(f"{n:,} {words(s.name)}" for s, n in days.items() if n)
    titles = ("Return p.a.", "Volatility p.a.", "Sharpe ratio", "Worst drawdown")
    facts: list[tuple[str, Value]] = [
        ("Start capital", num(money(item.initial_capital, item.currency))),
        ("Equity at the end", known(money(ends(item.equity), item.currency), "not known")),
        *zip(titles, performance_cells(item.performance), strict=True),
        ("Turnover p.a.", turnover_cell(item.turnover_pa)),
        ("Fees", known(money(item.fees, item.currency), "not recorded")),
        ("Decisions", told or gap("none")),
        ("Bars restricted", restricted or "none"),
        ("Profile", item.profile or "platform defaults"),
        ("Baskets", ", ".join(item.baskets) or gap("own proposals")),
    ]
    return Facts(tuple(facts))


_EVENT_WORDS = {
    "deposit": "▲ money in",
    "withdrawal": "▼ money out",
    "passed": "● attempt passed",
    "failed": "✕ attempt failed",
    "expired": "○ attempt expired",
}


def _account_figure(name: str, item: AccountHistory) -> Figure:
    starts = tuple(a.start_ns for a in (item.attempts or ())[1:])
    marks = [Mark(f.ts_ns, "deposit" if f.amount > 0 else "withdrawal") for f in item.flows]
    marks += [
        Mark(a.end_ns, a.result)
        for a in item.attempts or ()
        if a.end_ns is not None and a.result != "running"
    ]
    series = AccountSeries(
        item.ts_ns, item.equity, item.drawdown, item.throttle, item.trading_state, item.currency, starts,
        tuple(sorted(marks, key=lambda m: (m.ts_ns, m.kind))),
    )  # fmt: skip
    title = f"Equity, drawdown, throttle and trading state of {item.account}"

    def draw(size: Size) -> str:
        return account_panels(series, title, size)

    fresh = " The line breaks where a fresh attempt starts." if starts else ""
    kinds = {mark.kind for mark in marks}
    told = ", ".join(text for kind, text in _EVENT_WORDS.items() if kind in kinds)
    events = f" Events: {told}." if told else ""
    return Figure(
        name=name,
        title=title,
        caption=f"Every lowest and highest point of the series is kept.{fresh}{events}",
        draw=draw if np.isfinite(item.equity).any() else None,
        empty="No equity is known yet.",
        key=(KeyEntry("amber", "reduce only"), KeyEntry("flatten", "flatten"), KeyEntry("danger", "locked")),
    )


_SHOWN = 0.5  #: share of a limit from which on a rule has a lane of its own


def _use_figure(name: str, item: AccountHistory) -> Figure:
    by_id = {r.rule_id: r for r in item.rules}
    most = {
        r: float(np.max(values, where=~np.isnan(values), initial=0.0))
        for r in in_rule_order(by_id)
        if (values := by_id[r].utilisation) is not None
    }
    rows = [
        Curve(rule_name(r), values)
        for r, top in most.items()
        if top >= _SHOWN and (values := by_id[r].utilisation) is not None
    ]
    below = ", ".join(r for r, top in most.items() if 0 < top < _SHOWN)
    rest = f" Never at half of their limit: {below}." if below else ""
    title = f"How much of each limit {item.account} used"

    def draw(size: Size) -> str:
        return utilisation_strip(item.ts_ns, rows, title, size)

    return Figure(
        name=f"{name}-limits",
        title=title,
        caption=f"Value as a share of its limit; a cell is the largest of its stretch of time. Blank: not known.{rest}",
        draw=draw if rows else None,
        empty=f"No limit was used by half.{rest}",
        key=(
            KeyEntry("use-1", "under 50 %"),
            KeyEntry("use-2", "50 to 80 %"),
            KeyEntry("use-3", "80 to 100 %"),
            KeyEntry("use-4", "at or past the limit"),
        ),
    )


def pass_rate(attempts: tuple[Attempt, ...]) -> str:
    """The honest count of evaluation attempts, with a 95 % interval on the share."""
    results = [a.result for a in attempts]
    finished = len(results) - results.count("running")
    passed, running = results.count("passed"), results.count("running")
    still = f" {running} still running." if running else ""
    if not finished:
        return f"No attempt has finished, so there is no pass rate.{still}"
    low, high = wilson_interval(passed, finished)
    return (
        f"Passed {passed} of {count(finished, 'finished attempt')}: {percent(passed / finished, 0)}, "
        f"95{NBSP}% interval {percent(low, 0)} to {percent(high, 0)}. "
        f"{results.count('failed')} failed, {results.count('expired')} expired.{still}"
    )


_RESULT_TONES: dict[str, Tone] = {"passed": "good", "failed": "bad", "expired": "muted", "running": "info"}


def _attempt_table(item: AccountHistory) -> Block:
    rows = tuple(
        Row(
            (
                num(str(a.number)),
                day(a.start_ns),
                day(a.end_ns) if a.end_ns is not None else "running",
                tag(a.result, _RESULT_TONES[a.result]),
                rule_name(a.rule_id) if a.rule_id else MISSING,
                known(_signed_money(a.pnl, item.currency), "not recorded"),
                num(count(a.sessions, "session")),
            )
        )
        for a in item.attempts or ()
    )
    titles = columns(">Attempt", "Start", "End", "Result", "Failed by", ">Profit or loss", ">Length")
    table = Table("Evaluation attempts", titles, rows, "No attempt was started.")
    return folded(table, count(len(rows), "attempt"))


def _signed_money(value: float | None, currency: str) -> str:
    text = signed(value, 0)
    return text if text == MISSING else f"{text}{NBSP}{currency}"


def _latch_table(item: AccountHistory) -> Block:
    rows = tuple(Row(_latch_cells(latch)) for latch in item.latches)
    titles = columns("Latched by", "Held at", "Since", "Released", "Release kind", "Released by", "Detail")
    fired = [latch.rule_id for latch in item.latches]
    told = ", ".join(f"{fired.count(r)} by {rule_name(r)}" for r in in_rule_order(fired))
    return folded(Table("Latches", titles, rows, "No latch fired."), told)


def _latch_cells(latch: LatchRecord) -> tuple[Value, ...]:
    who = latch.released_by or MISSING
    if latch.actor is ActorType.SIMULATED:
        who = f"{latch.released_by or 'operator'} (simulated)"
    released = num(day(latch.released_ns)) if latch.released_ns is not None else tag("still held", "warn")
    return (
        rule_name(latch.rule_id),
        state_tag(latch.trading_state),
        num(day(latch.since_ns)),
        released,
        words(latch.release.name),
        who,
        latch.detail or MISSING,
    )


def _flow_table(item: AccountHistory) -> Block:
    rows = tuple(
        Row(
            (
                num(day(f.ts_ns)),
                words(f.kind),
                num(_signed_money(f.amount, item.currency)),
                f.detail or MISSING,
            )
        )
        for f in item.flows
    )
    titles = columns("Day", "Kind", ">Amount", "Detail")
    total = _signed_money(sum(f.amount for f in item.flows), item.currency)
    return folded(
        Table("Cash flows", titles, rows, "No money moved in or out."),
        f"{count(len(rows), 'flow')}, {total} in all",
    )
