"""``regime audit breaches`` and the other registers, and the limits in force at an instant."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from regime_trading.cli.audit.options import Account, Firm, First, Last, Run
from regime_trading.cli.common import Artifacts, Debug, Json, err, out, print_json, reporting
from regime_trading.core.errors import BadInput

if TYPE_CHECKING:
    from regime_trading.services.registers import Register

Csv = Annotated[bool, typer.Option("--csv", help="Comma-separated values on stdout.")]
MOST_ROWS = 40
WIDTH = 100
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_HELP = {
    "breaches": "Rules that did not hold, from when to when, and who or what ended it.",
    "limit-changes": "Every key of a configuration that changed, in which direction, and by whom it was taken over.",
    "overrides": "Temporary tightenings, with their reason and their end.",
    "approvals": "Requests that people had to agree to, and their answers.",
    "kills": "Uses of the kill switch, drills included, and how long they took.",
    "denials": "Who was refused what, and what they asked for that is not there for them.",
    "orders": "Orders and what became of them.",
}
#: What fits a terminal; --json and --csv have every column.
_SHOWN = {
    "breaches": "started ended duration_s account rule_id value limit ended_by",
    "limit-changes": "at account path before after direction by",
    "overrides": "at account path value ends reason by",
    "approvals": "at account kind request state required agreed",
    "kills": "at level scope drill effective_s flat_s by",
    "denials": "at by answer what asked permission count",
    "orders": "at account symbol intent qty state price order",
}


def _command(name: str) -> Callable[..., None]:
    def command(
        firm: Firm = None,
        account: Account = None,
        run: Run = None,
        first: First = None,
        last: Last = None,
        artifacts: Artifacts = None,
        as_json: Json = False,
        as_csv: Csv = False,
        debug: Debug = False,
    ) -> None:
        with reporting(as_json, debug):
            if as_json and as_csv:
                raise BadInput(expected="--json or --csv", found="both", where=name)
            from regime_trading.bootstrap.registers import Words, open_record
            from regime_trading.services.registers import register

            with open_record(artifacts) as record:
                scope = record.scope(Words(firm, account, run, first, last))
                found = register(name, record.history(scope.firm_id), scope)
            if as_json:
                print_json({"firm": scope.firm_id, "register": name, "rows": list(found.rows)})
            elif as_csv:
                write_csv(found.columns, found.rows)
            else:
                _show(found, scope.firm_id)

    command.__doc__ = _HELP[name]
    return command


REGISTER_COMMANDS = {name: _command(name) for name in _HELP}


# --- showing ------------------------------------------------------------------------------------------------


def _show(found: Register, firm_id: str) -> None:
    rows = [_worded(row) for row in found.rows[-MOST_ROWS:]]
    if not rows:
        out.print(f"Nothing in the register of {found.name} of {escape(firm_id)}.")
        return
    out.print(table_of(_SHOWN[found.name].split(), rows), width=WIDTH)
    total = len(found.rows)
    if total > len(rows):
        told = (
            f"The last {len(rows)} of {total:,}; --from and --to narrow, --csv and --json have all of them."
        )
    else:
        told = f"{total} row{'' if total == 1 else 's'}; --csv and --json have every column."
    out.print(told, soft_wrap=True)


def _worded(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """An account that was new, or whose files came back, says so where a key would stand."""
    if row.get("path") == "" and row.get("codes"):
        return {**row, "path": row["codes"].replace("_", " ").lower()}
    return row


def table_of(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Table:
    """A table that fits a terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        right = name in ("value", "limit", "qty", "price", "duration_s", "effective_s", "flat_s")
        table.add_column(name.removesuffix("_s").replace("_", " "), justify="right" if right else "left")
    for row in rows:
        table.add_row(*(escape(_cell(name, row[name])) for name in columns))
    return table


def _cell(name: str, value: Any) -> str:
    if value is None or value == "":
        return "-"
    if name == "duration_s":
        return _duration(int(value))
    if name in ("at", "started", "ended", "ends", "in_force_from"):
        return str(value)[:16].replace("T", " ").removesuffix(" 00:00")
    if name in ("value", "limit", "price"):
        return short_number(value)
    if name == "account":
        return str(value).split("/")[-1]
    return str(value)


def short_number(value: Any) -> str:
    """A number to six digits; other text as it is, ``-`` where there is none."""
    text = str(value or "-")
    return format(float(text), ".6g") if _NUMBER.fullmatch(text) else text


def _duration(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    if days:
        return f"{days} d"
    hours, rest = divmod(rest, 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"


def write_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """CSV on stdout. No cell can be taken for a formula: one that begins as a formula does gets a leading quote;
    plain numbers stay numbers."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([safe_cell(row[name]) for name in columns])


def safe_cell(value: Any) -> str:
    """Text of a cell that a spreadsheet shows and does not run."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


# --- limits -------------------------------------------------------------------------------------------------


def limits(
    at: Annotated[str | None, typer.Option("--at", help="Day (its end) or instant, UTC.")] = None,
    account: Account = None,
    firm: Firm = None,
    run: Run = None,
    every: Annotated[
        bool, typer.Option("--all", help="Defaults too, not only what a file or an override says.")
    ] = False,
    artifacts: Artifacts = None,
    as_json: Json = False,
    as_csv: Csv = False,
    debug: Debug = False,
) -> None:
    """Limits in force at an instant, or in a run: value, the layer that decided it, and its place."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.registers import Words, open_record
        from regime_trading.services.limits import limits_in_force
        from regime_trading.services.registers import moment

        with open_record(artifacts) as record:
            scope = record.scope(Words(firm, account, run))
            at_ns = None if at is None else moment(at, "--at", end=True)
            told = limits_in_force(record.history(scope.firm_id), scope, at_ns)
        rows = [row for row in told["limits"] if every or as_json or not row["default"]]
        flat = [
            row
            | {"value": _plain(row["value"])}
            | {key: "; ".join(row[key]) for key in ("decided_by", "where")}
            for row in rows
        ]
        if as_json:
            print_json(told)
        elif as_csv:
            write_csv(("rule_id", "path", "value", "decided_by", "where"), flat)
        else:
            _show_limits(told, flat)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _show_limits(told: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    place = told["accepted_in"]
    at, accepted = (f"{told[key][:19]}Z".replace("ZZ", "Z") for key in ("at", "accepted_at"))
    out.print(f"{told['account']} at {at}: configuration {told['config_hash'][:16]}, verified.")
    out.print(
        f"Accepted {accepted}, entry {place['seq']} of {place['chain']} ({place['place']}).",
        soft_wrap=True,
    )
    if told["run"]:
        out.print(f"The hash is the one that run {told['run']} was decided under.")
    for one in told["overrides"]:
        out.print(
            escape(f"Override {one['override_id']}: {one['path']} {_plain(one['value'])}, {one['reason']}")
        )
    for note in told["notes"]:
        err.print(note, soft_wrap=True)
    table = Table("limit", "value", "decided by", "where", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for row in rows:
        table.add_row(*(escape(str(row[key])) for key in ("path", "value", "decided_by", "where")))
    shown = table if rows else "Every limit is the platform's default (--all shows them)."
    out.print(shown, width=WIDTH)
