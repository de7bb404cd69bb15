"""``regime config``: validate and explain the configuration, compare and replay changes, tighten for a while."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from regime_trading.cli.common import (
    Artifacts,
    Config,
    Debug,
    Json,
    err,
    out,
    print_json,
    reporting,
    steps,
)
from regime_trading.cli.versions import add_commands
from regime_trading.core.errors import BadInput

config_app = typer.Typer(
    help="The merged configuration: validate it, explain a value, compare and replay changes, tighten for a while.",
    no_args_is_help=True,
)

Account = Annotated[str, typer.Argument(help="firm/account")]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", help="Date or time instead of now, where a dry run decides history."),
]


@config_app.command("validate")
def config_validate(config: Config = None, as_json: Json = False, debug: Debug = False) -> None:
    """Check settings.yaml, traders.yaml and presets.yaml and every merge between them. Exit 2 where they are not
    acceptable."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap import check_configuration

        findings = check_configuration(config)
        if as_json:
            print_json({"ok": not findings, "findings": findings})
        elif not findings:
            out.print("The configuration is valid.")
        for finding in [] if as_json else findings:
            err.print(escape(finding["message"]), soft_wrap=True)
        if findings:
            raise typer.Exit(2)


@config_app.command("explain")
def config_explain(
    account: Account,
    path: Annotated[
        str, typer.Argument(help="For example risk.gross, risk.daily_loss.limit_pct, initial_capital.")
    ],
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """What each layer says about one value, from the top down, and which of them decides."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap import explain_value

        told = explain_value(config, account, path)
        if as_json:
            print_json({"account": account, "path": path, "steps": told})
            return
        table = Table("layer", "says", "where", "in force", box=None, pad_edge=False)
        for step in told:
            table.add_row(step["layer"], str(step["value"]), step["where"], "yes" if step["winning"] else "")
        out.print(table)
        for step in told:
            if step["source_url"] or step["read_on"]:
                published = step["source_url"] or "no address given"
                read_on = step["read_on"] or "a day not given"
                out.print(f"{step['layer']}: {escape(published)}, read on {read_on}", soft_wrap=True)
            if step["note"]:
                out.print(f"{step['layer']}: {escape(step['note'])}", soft_wrap=True)


@config_app.command("diff")
def config_diff(
    old: Annotated[Path, typer.Argument(help="Configuration folder, or one traders.yaml.")],
    new: Annotated[
        Path | None, typer.Argument(help="The same, after the change [the configured folder].")
    ] = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """What changed between two configurations, key by key and account by account, and in which direction."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap import changed_keys
        from regime_trading.services.config_changes import changes_answer

        answer = changes_answer(changed_keys(old, new, config))
        if as_json:
            print_json(answer)
        else:
            _show_changes(answer)


def _show_changes(answer: dict[str, Any]) -> None:
    for finding in answer["findings"]:
        places = " → ".join(_place(finding, prefix) for prefix in ("old_", ""))
        out.print(
            escape(f"{finding['message']} [{places}]" if places != " → " else finding["message"]),
            soft_wrap=True,
        )
    counts = {
        way: sum(f["direction"] == way for f in answer["findings"])
        for way in ("loosens", "tightens", "neutral")
    }
    told = ", ".join(f"{n} {way}" for way, n in counts.items())
    out.print(f"{len(answer['findings'])} changes: {told}." if answer["findings"] else "No change.")


def _place(finding: dict[str, Any], prefix: str) -> str:
    layers, file, line = (finding[f"{prefix}{name}"] for name in ("layers", "file", "line"))
    where = "" if file is None else file if line is None else f"{file}:{line}"
    return f"{' + '.join(layers)} {where}".strip()


@config_app.command("whatif")
def config_whatif(
    new: Annotated[Path, typer.Argument(help="Configuration folder, or one traders.yaml, with the change.")],
    account: Annotated[str | None, typer.Option("--account", help="Only this one.")] = None,
    days: Annotated[int | None, typer.Option("--days", help="Last decision days to replay [60].")] = None,
    first: Annotated[
        str | None, typer.Option("--from", help="First day to replay, instead of --days.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day to replay [last of the source].")] = None,
    source: Annotated[str, typer.Option(help="bundled, or a Parquet or CSV file or folder.")] = "bundled",
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Replay the last decision days under the present and the new configuration: what would have differed.

    Both start with fresh books. Nothing is written."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.changes import replay_change
        from regime_trading.services.config_changes import WhatIf

        request = WhatIf(
            source=source,
            accounts=None if account is None else (account,),
            days=days,
            first_day=_day(first, "--from"),
            last_day=_day(last, "--to"),
        )
        with steps(as_json) as progress:
            answer = replay_change(new, request, artifacts, config, progress)
        if as_json:
            print_json(answer)
        else:
            _show_changes(answer)
            _show_replay(answer["replay"])


def _day(text: str | None, where: str) -> dt.date | None:
    try:
        return None if text is None else dt.date.fromisoformat(text)
    except ValueError as error:
        raise BadInput(expected="a date such as 1998-01-02", found=repr(text), where=where) from error


def _show_replay(replay: dict[str, Any]) -> None:
    out.print(f"Replay of {replay['days']} days, {replay['first'][:10]} to {replay['last'][:10]}:")
    for item in replay["accounts"]:
        counts = ", ".join(f"{name} {n}" for name, n in item["counts"].items() if n)
        differ = f"{item['differ']} of {item['decisions']} decisions differ" + (
            f" ({counts})" if counts else ""
        )
        numbers = ", ".join(
            f"{title} {_percent(item[name]['old'])} → {_percent(item[name]['new'])}"
            for title, name in (("return", "return"), ("max drawdown", "max_drawdown"))
        )
        out.print(f"{item['account']}: {differ}; {numbers}", soft_wrap=True)
        for rule_id, n in item["rules"].items():
            out.print(f"  {rule_id} bound {n['old']} → {n['new']} decisions", soft_wrap=True)
        for row in item["rows"]:
            told = "; ".join(_row(name, change) for name, change in row["changes"].items())
            out.print(escape(f"  {row['as_of'][:10]} {told}"), soft_wrap=True)
        if item["differ"] > len(item["rows"]):
            out.print(f"  and {item['differ'] - len(item['rows'])} more")


def _percent(value: float | None) -> str:
    return "not known" if value is None else f"{value * 100:.2f} %"


def _row(name: str, change: dict[str, Any]) -> str:
    if name == "targets":
        moved = [f"{s} {_weight(pair['old'])} → {_weight(pair['new'])}" for s, pair in change.items()]
        more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
        return f"targets {', '.join(moved[:3])}{more}"
    old, new = (
        ", ".join(v) or "no rule" if isinstance(v, list) else v for v in (change["old"], change["new"])
    )
    return f"{name.replace('_', ' ')} {old} → {new}"


def _weight(target: dict[str, float] | None) -> str:
    return "0 %" if target is None else f"{target['target_w'] * 100:.2f} %"


# --- session overrides --------------------------------------------------------------------------------------


@config_app.command("override")
def config_override(
    account: Account,
    path: Annotated[str, typer.Argument(help="For example risk.sigma_target or risk.news.mode.")],
    value: Annotated[str, typer.Argument(help="A value that is stricter; a list as JSON.")],
    ttl: Annotated[str, typer.Option("--ttl", help="How long: 4h, 30m, 90s; at most 24h.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept with the override.")],
    exact: Annotated[
        bool, typer.Option("--exact", help="End at that instant, not at the end of its session.")
    ] = False,
    as_of: AsOf = None,
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Tighten one risk parameter of an account for a while. Nothing can loosen one."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.changes import override_value
        from regime_trading.services.configurations import OverrideAsk

        ask = OverrideAsk(path, value, ttl, reason, exact)
        told = override_value(account, ask, as_of, artifacts, config)
        if as_json:
            print_json(told)
        else:
            out.print(
                escape(f"{told['account']} {told['path']}: {told['value']} until {told['ends_at']}"),
                soft_wrap=True,
            )


@config_app.command("overrides")
def config_overrides(
    account: Annotated[str | None, typer.Argument(help="firm/account [all]")] = None,
    as_of: AsOf = None,
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Session overrides in force."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.changes import list_overrides

        told = list_overrides(account, as_of, artifacts, config)
        if as_json:
            print_json({"overrides": told})
            return
        table = Table("account", "path", "value", "ends at", "reason", box=None, pad_edge=False)
        for item in told:
            table.add_row(*(escape(str(item[k])) for k in ("account", "path", "value", "ends_at", "reason")))
        out.print(table if told else "No override is in force.")


add_commands(config_app)
