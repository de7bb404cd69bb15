"""``regime audit dossier``: everything in the record of one order."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from regime_trading.cli.audit.options import Account, Firm, Run
from regime_trading.cli.audit.registers import short_number
from regime_trading.cli.common import Artifacts, Debug, Json, out, print_json, reporting

_SECTIONS = (
    ("consequences", "What followed"),
    ("approvals", "Approvals"),
    ("orders", "Orders"),
    ("fills", "Executions"),
)


def dossier(
    name: Annotated[
        str,
        typer.Argument(
            metavar="ORDER|DECISION", help="An order, or a decision (12 digits of it are enough)."
        ),
    ],
    firm: Firm = None,
    account: Account = None,
    run: Run = None,
    artifacts: Artifacts = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Proposal, rules, approvals, order, executions and result of one order, with the hash and place of each entry."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.registers import Words, open_record
        from regime_trading.services.dossier import dossier as make

        with open_record(artifacts) as record:
            scope = record.scope(Words(firm, account, run))
            told = make(record.history(scope.firm_id), scope, name)
        if as_json:
            print_json(told)
        else:
            _show(told)


def _show(told: dict[str, Any]) -> None:
    rules = told["rules"]
    decided = told["decision"][0]
    out.print(f"[bold]{escape(told['account'])}[/bold] at {told['as_of']}, run {told['run']}", soft_wrap=True)
    out.print(f"Decision {decided.get('decision_id')}")
    out.print(escape(rules["rationale"]), soft_wrap=True)
    out.print("\n[bold]Proposal[/bold]")
    out.print(_targets(told["proposal"]["targets"]))
    counts = ", ".join(f"{n} {outcome.replace('_', ' ')}" for outcome, n in sorted(rules["counts"].items()))
    out.print(f"\n[bold]Rules[/bold]: {counts or 'none'}")
    for rule in rules["spoke"]:
        codes = f" ({', '.join(rule['reason_codes'])})" if rule["reason_codes"] else ""
        measured = f"{short_number(rule['value'])} against {short_number(rule['limit'])}"
        out.print(escape(f"  {rule['rule_id']} {rule['title']}: {rule['outcome']}, {measured}{codes}"))
    for key, title in _SECTIONS:
        if told[key] or key in ("orders", "fills"):
            out.print(f"\n[bold]{title}[/bold]" + ("" if told[key] else ": none in the record"))
        for entry in told[key]:
            out.print(escape(f"  {_line(entry)}"), soft_wrap=True)
    _show_result(told["result"])
    out.print("\n[bold]Entries[/bold]")
    for key in ("decision", *(key for key, _ in _SECTIONS)):
        for entry in told[key]:
            out.print(f"  {entry['seq']:>6} {entry['event_type']:14} {entry['entry_hash']}", soft_wrap=True)
            out.print(escape(f"         {entry['place']}"), soft_wrap=True)


def _targets(targets: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("  symbol")
    for title in ("asked", "had", "target", "step"):
        table.add_column(title, justify="right")
    table.add_column("limited by")
    for one in targets:
        weights = (f"{100 * one[key]:.2f} %" for key in ("proposed_w", "current_w", "target_w"))
        limited = ", ".join(one["limiting_rules"]) or "-"
        table.add_row(f"  {escape(one['symbol'])}", *weights, f"{float(one['step_qty']):+g}", limited)
    return table


def _line(entry: dict[str, Any]) -> str:
    if entry["event_type"] != "FILL":
        order = f" {entry['client_order_id']}" if "client_order_id" in entry else ""
        return (
            f"{entry['event_type']}{order}: {entry['rationale'].removesuffix('.')} ({entry['actor']['id']})"
        )
    rows = zip(*(entry[key] for key in ("symbol", "qty", "price", "fee")), strict=True)
    return "; ".join(f"{float(q):+g} {s} at {float(p):g}, fee {float(f):g}" for s, q, p, f in rows)


def _show_result(result: dict[str, Any]) -> None:
    out.print("\n[bold]Result[/bold]")
    before, after = result["equity_at_decision"], result["equity_at_next_decision"]
    if before is not None and after is not None:
        change = float(after) - float(before)
        later = f"at the next decision {float(after):,.2f} ({change:+,.2f}, all positions)"
        out.print(f"  equity {float(before):,.2f}, {later}", soft_wrap=True)
    else:
        out.print("  equity at the next decision is not in the record")
    out.print(f"  fees {float(result['fees']):,.2f}")
    if result["realised_per_unit_of_multiplier"] is not None:
        gain = float(result["realised_per_unit_of_multiplier"])
        out.print(
            f"  realised {gain:+,.2f} by average cost, before fees (contract multipliers are not recorded)"
        )
