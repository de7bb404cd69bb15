"""How ``regime pm liveness`` looks: one table per account, one line per rule, under its guard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from regime_trading.cli.common import out
from regime_trading.core.rules import RULE_BY_ID
from regime_trading.tools.report_text import GUARD_TITLES, rule_name

if TYPE_CHECKING:
    from regime_trading.services.liveness import AccountLiveness, Liveness, RuleLiveness, RuleTally

_WIDTH = 100
_RULE_WIDTH = 34
_COUNTS = ("evaluated", "bound", "unknown", "not ev.", "off")


def show_liveness(found: Liveness) -> None:
    """Every account, quiet rules dimmed."""
    record = found.record
    if record is None:
        out.print(
            f"Nothing is recorded yet (regime backtest records): reach only, on source {found.source}.",
            soft_wrap=True,
        )
    else:
        out.print(
            f"Run {record.run_id} on source {record.source}, {record.first[:10]} to {record.last[:10]}; "
            "reach is that of the configuration as it is now.",
            soft_wrap=True,
        )
    for one in found.accounts:
        _show_account(one, recorded=record is not None)


def _show_account(one: AccountLiveness, *, recorded: bool) -> None:
    counted, told = True, f"{one.decisions} decision{'' if one.decisions == 1 else 's'}"
    if one.decisions is None:
        counted, told = False, "not in this run" if recorded else "no record"
    changed = "" if one.same_config else ", made under another configuration than today's"
    out.print(f"\n[bold]{escape(one.account)}[/bold]: {told}{changed}", soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), width=_WIDTH if counted else None)
    table.add_column("rule", no_wrap=True, width=_RULE_WIDTH, overflow="ellipsis")
    for title in _COUNTS if counted else ():
        table.add_column(title, justify="right", no_wrap=True)
    if counted:
        table.add_column("last bound", no_wrap=True)
    table.add_column("reach", no_wrap=True)
    guard = None
    for rule in one.rules:
        if (own := RULE_BY_ID[rule.rule_id].guard) is not guard:
            guard = own
            table.add_row(f"[bold]{GUARD_TITLES[own]}[/bold]")
        numbers = _numbers(rule.tally) if counted else ()
        table.add_row(escape(rule_name(rule.rule_id)), *numbers, rule.reach, style=_style(rule, counted))
    out.print(table)
    out.print(", ".join(f"{name} {n}" for name, n in one.summary.items()))


def _numbers(tally: RuleTally | None) -> tuple[str, ...]:
    if tally is None:
        return ("-",) * (len(_COUNTS) + 1)
    counts = (tally.unknown, tally.not_evaluable, tally.off)
    return (
        f"{tally.evaluated:,}",
        f"{tally.bound:,}",
        *(f"{n:,}" if n else "-" for n in counts),
        "-" if tally.last_bound is None else tally.last_bound[:10],
    )


def _style(rule: RuleLiveness, counted: bool) -> str:
    """A limit that can never bind stands out; a rule that did not bind steps back."""
    if rule.reach == "unreachable":
        return "yellow"
    quiet = (rule.tally is None or not rule.tally.bound) if counted else rule.reach != "reachable"
    return "dim" if quiet else ""
