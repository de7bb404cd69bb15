"""``regime do``: one command of the palette, through the server; from the machine alone where it only tightens."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from regime_trading.cli.common import Artifacts, Config, Debug, Json, err, out, print_json, reporting
from regime_trading.cli.shown import show
from regime_trading.core.errors import BadInput

if TYPE_CHECKING:
    from regime_trading.adapters.api_client import ApiClient


def do(
    text: Annotated[
        str | None, typer.Argument(help='The command: "/show portfolio account:firm/name".')
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="Address of the server [REGIME_SERVER or http://localhost:8000].")
    ] = None,
    login: Annotated[
        str | None, typer.Option("--as", help="Sign in as this person; else REGIME_TOKEN.")
    ] = None,
    firm: Annotated[str, typer.Option(help="Which firm is meant, where several could be.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Confirm what only tightens without asking.")] = False,
    phrase: Annotated[
        str, typer.Option(help="What must be typed of something unsafe: the account's full name.")
    ] = "",
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    preview_id: Annotated[str, typer.Option(help="Confirm this earlier preview (of the same token).")] = "",
    preview_hash: Annotated[str, typer.Option("--hash", help="Its action_hash.")] = "",
    catalogue: Annotated[bool, typer.Option("--list", help="What there is to command.")] = False,
    beginning: Annotated[str | None, typer.Option("--complete", help="What may follow this text.")] = None,
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Give one command. What reads goes at once, what tightens is confirmed; what loosens takes a phrase and
    a reason, and another person where the policy says so."""
    with reporting(as_json, debug):
        from regime_trading.adapters.api_client import Problem

        asked = [text is not None, bool(preview_id), catalogue, beginning is not None]
        if sum(asked) != 1:
            raise BadInput(
                expected="a command, or one of --preview-id, --list and --complete",
                found="several" if any(asked) else "none",
                where="regime do",
            )
        try:
            with _signed_in(server, login, artifacts, config) as client:
                if catalogue:
                    _list(client.ask("GET", "/commands"), as_json)
                elif beginning is not None:
                    _complete(client, beginning, as_json)
                elif preview_id:
                    _told(_confirm(client, preview_id, preview_hash, phrase, reason, login), as_json)
                else:
                    assert text is not None
                    _give(client, text, firm, _Said(yes, phrase, reason, login), as_json)
        except Problem as problem:
            _refused(problem, text or beginning or "", as_json)


@dataclass(frozen=True, slots=True)
class _Said:
    """What was said with the command already, so that nobody is asked for it."""

    yes: bool
    phrase: str
    reason: str
    login: str | None


# --- who ------------------------------------------------------------------------------------------------------


@contextmanager
def _signed_in(
    server: str | None, login: str | None, artifacts: Artifacts, config: Config
) -> Iterator[ApiClient]:
    from regime_trading.bootstrap.command_line import open_client

    with open_client(server, artifacts, config, login=login is not None) as (client, remote):
        if not remote:
            err.print(
                "No server is asked: what only reads or tightens, recorded as service:local.", soft_wrap=True
            )
        if login is None:
            yield client
            return
        client.ask("POST", "/session", {"login": login, "password": _secret(f"Password of {login}")})
        try:
            found = client.ask("GET", "/session")
            if found["awaits_factor"]:
                client.ask("POST", "/session/factor", {"kind": "totp", "value": _secret("Six digits")})
            yield client
        finally:
            client.ask("DELETE", "/session")


def _asks() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


def _secret(what: str) -> str:
    """Something secret: typed unseen, or a line of what is piped in."""
    if _asks():
        return str(typer.prompt(what, hide_input=True, err=True))
    line = sys.stdin.readline().rstrip("\n")
    if not line:
        raise BadInput(expected=what, found="the end of what was piped in", where="standard input")
    return line


def _prove(client: ApiClient) -> None:
    """Prove identity again, with the second factor where there is one."""
    kind = "totp" if "totp" in client.ask("GET", "/session")["factors"] else "password"
    value = _secret("Prove your identity: six digits" if kind == "totp" else "Prove your identity: password")
    client.ask("POST", "/session/step-up", {"kind": kind, "value": value})


# --- from a line to an act ------------------------------------------------------------------------------------


def _give(client: ApiClient, text: str, firm: str, said: _Said, as_json: bool) -> None:
    from regime_trading.adapters.api_client import Problem

    try:
        done = client.ask("POST", "/commands/do", {"command": text, "firm": firm}, key=secrets.token_hex(16))
    except Problem as problem:
        if problem.code != "conflict_preview" or problem.fresh is None:
            raise
        _decide(client, problem.fresh, said, as_json)
        return
    path = _path(client, text, firm, done["data"])
    shown = client.ask("GET", path) if path else None
    if as_json:
        print_json(done if shown is None else done | {"path": path, "shown": shown})
    elif shown is None:
        out.print(escape(done["said"]), soft_wrap=True)
        show(done["data"])
    else:
        show(shown)


def _path(client: ApiClient, text: str, firm: str, data: Mapping[str, Any]) -> str:
    """Where what the command shows is answered; empty where it shows nothing."""
    from regime_trading.adapters.clock import SystemClock
    from regime_trading.core.commands.calls import request_of
    from regime_trading.core.commands.grammar import parse

    command = parse(text)
    owner = str(data.get("account", "")).rpartition("/")[0] or firm
    if not owner:
        firms = [one["firm"] for one in client.ask("GET", "/me")["firms"]]
        owner = firms[0] if len(firms) == 1 else ""
    return request_of(command, owner, SystemClock().now_ns()) if owner else ""


def _decide(client: ApiClient, preview: dict[str, Any], said: _Said, as_json: bool) -> None:
    """Show a preview, and have it done where somebody says so."""
    unsafe = bool(preview["confirm_phrase"])
    if not as_json:
        _preview(preview)
    asks = _asks() and not as_json
    if preview["blocking"] or not _agrees(preview, said, unsafe, asks):
        if as_json:
            print_json({"outcome": "blocked" if preview["blocking"] else "previewed", "preview": preview})
        else:
            why = "it is blocked" if preview["blocking"] else "it was not confirmed"
            err.print(f"regime: nothing was done: {why}", soft_wrap=True)
        raise typer.Exit(1)
    phrase, reason = said.phrase, said.reason
    if asks:
        phrase = phrase or (typer.prompt(f"Type {preview['confirm_phrase']}", err=True) if unsafe else "")
        reason = reason or (typer.prompt("Reason", err=True) if preview["requires_reason"] else "")
    done = _confirm(client, preview["preview_id"], preview["action_hash"], phrase, reason, said.login)
    _told(done, as_json)


def _agrees(preview: Mapping[str, Any], said: _Said, unsafe: bool, asks: bool) -> bool:
    """Whether to go on: what is unsafe takes its phrase, never ``--yes``; nothing goes on by Enter alone."""
    if unsafe:
        return bool(said.phrase) or asks
    return said.yes or (asks and typer.confirm("Do it?", default=False, err=True))


def _confirm(
    client: ApiClient, preview_id: str, action_hash: str, phrase: str, reason: str, login: str | None
) -> dict[str, Any]:
    """Have a preview done, with a fresh proof of identity where it takes one and somebody is signed in."""
    from regime_trading.adapters.api_client import Problem

    body = {"preview_id": preview_id, "action_hash": action_hash, "phrase": phrase, "reason": reason}
    key = secrets.token_hex(16)
    try:
        return dict(client.ask("POST", "/commands/confirm", body, key))
    except Problem as problem:
        if problem.code != "step_up" or login is None:
            raise
    _prove(client)
    return dict(client.ask("POST", "/commands/confirm", body, key))


# --- what is printed ------------------------------------------------------------------------------------------


def _preview(preview: Mapping[str, Any]) -> None:
    """What changes, loosened limits first; what does not; how to undo it; what is in the way."""
    if preview["resolved_from"]:
        out.print(escape(f"→ {preview['command']}"), soft_wrap=True)
    second = "; another person must agree" if preview["requires_second"] else ""
    scope = preview["account"] or preview["firm_id"]
    out.print(
        escape(f"{scope} ({preview['mode'] or 'mode not known'}): {preview['klass']}{second}"), soft_wrap=True
    )
    parts: Sequence[tuple[str, Sequence[str]]] = (
        ("What changes", preview["effects"] or ["Nothing."]),
        ("What does not change", preview["unchanged"]),
        ("How to undo it", [preview["undo"]] if preview["undo"] else []),
        ("To know first", preview["warnings"]),
        ("Blocked", preview["blocking"]),
    )
    for head, lines in parts:
        if lines:
            out.print(f"\n{head}")
            for line in lines:
                out.print(escape(f"  - {line}"), soft_wrap=True)
    if preview["diff"]:
        out.print(f"\n{escape(preview['diff'])}", soft_wrap=True)


def _told(done: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(done)
    else:
        out.print(escape(str(done["said"])), soft_wrap=True)
        if done["request_id"]:
            out.print(
                f"Request {done['request_id']}: somebody else agrees in the web desk or over the API, never by token."
            )
    if done["outcome"] == "refused":
        raise typer.Exit(1)


def _refused(problem: Any, text: str, as_json: bool) -> None:
    """One sentence; of a text that cannot be read also the place, and names that would have been right."""
    if as_json:
        print_json({"error": {"message": str(problem), "exit_code": problem.exit_code, **problem.said}})
    else:
        if problem.at is not None:
            err.print(escape(text), soft_wrap=True)
            err.print(" " * int(problem.at) + "^", soft_wrap=True)
        hint = f" (did you mean {', '.join(problem.suggestions)}?)" if problem.suggestions else ""
        err.print(f"regime: {escape(str(problem) + hint)}", soft_wrap=True)
        if problem.code in ("step_up", "not_by_token"):
            err.print("A token cannot do this: sign in with --as LOGIN.", soft_wrap=True)
    raise typer.Exit(problem.exit_code)


def _list(found: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    table = Table("command", "class", "keys", "what it does", box=None, pad_edge=False)
    for one in found["commands"]:
        keys = " ".join(key["name"] + ("!" if key["required"] else "") for key in one["keys"])
        why = f" (refused: {one['not_built']})" if one["not_built"] else ""
        table.add_row(*(escape(cell) for cell in (one["name"], one["klass"], keys, one["help"] + why)))
    out.print(table)


def _complete(client: ApiClient, text: str, as_json: bool) -> None:
    from urllib.parse import quote

    rows = client.ask("GET", f"/complete?text={quote(text, safe='')}")
    if as_json:
        print_json(rows)
        return
    for row in rows:
        note = f"  (needs {row['needs']})" if row["needs"] else ""
        out.print(escape(f"{row['text']:28} {row['help']}{note}"), soft_wrap=True)
