"""``regime user``: people and their roles, for the operator at the machine where the store is."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from regime_trading.cli.common import Artifacts, Config, Debug, Json, out, print_json, reporting

user_app = typer.Typer(help="People who may log in, and their roles.", no_args_is_help=True)

Firm = Annotated[str, typer.Option("--firm", help="The firm.")]
Login = Annotated[str, typer.Option("--login", help="E-mail address or name with which they log in.")]
PublicUrl = Annotated[
    str | None, typer.Option("--public-url", help="Address of the server [http://localhost:8000].")
]


@user_app.command("create-admin")
def user_create_admin(
    firm: Firm,
    login: Login,
    name: Annotated[str | None, typer.Option("--name", help="As shown to others.")] = None,
    public_url: PublicUrl = None,
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make the first Admin of a firm. Prints a link with which they set a password, once, within 24 hours."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.users import create_admin

        told = create_admin(firm, login, name, public_url, artifacts, config)
        _say(told, as_json, f"{told['login']} is an Admin of {firm}.")


@user_app.command("list")
def user_list(firm: Firm, artifacts: Artifacts = None, as_json: Json = False, debug: Debug = False) -> None:
    """Everybody with a role in a firm."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.users import list_users

        told = list_users(firm, artifacts)
        if as_json:
            print_json({"users": told})
            return
        table = Table("login", "name", "roles", "second factor", "state", box=None, pad_edge=False)
        for one in told:
            state = "disabled" if one["disabled"] else "invited" if one["invited"] else "active"
            factor = "yes" if one["second_factor"] else "no"
            table.add_row(escape(one["login"]), escape(one["name"]), _roles(one), factor, state)
        out.print(table if told else f"Nobody has a role in {firm} yet.")


@user_app.command("disable")
def user_disable(
    login: Login, artifacts: Artifacts = None, as_json: Json = False, debug: Debug = False
) -> None:
    """Let a person in no more, in any firm; their sessions end at once."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.users import disable_user

        told = disable_user(login, artifacts)
        _say(told, as_json, f"{told['login']} is disabled.")


@user_app.command("enable")
def user_enable(
    login: Login, artifacts: Artifacts = None, as_json: Json = False, debug: Debug = False
) -> None:
    """Let a person in again."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.users import enable_user

        told = enable_user(login, artifacts)
        _say(told, as_json, f"{told['login']} is enabled.")


@user_app.command("reset-link")
def user_reset_link(
    login: Login,
    drop_factors: Annotated[
        bool, typer.Option("--drop-factors", help="Second factors go with it: for a lost device.")
    ] = False,
    public_url: PublicUrl = None,
    artifacts: Artifacts = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Print a link with which a person sets another password, once, within 24 hours."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.users import reset_link

        told = reset_link(login, drop_factors, public_url, artifacts)
        _say(told, as_json, f"For {told['login']}:")


@user_app.command("grant")
def user_grant(
    firm: Firm,
    login: Login,
    role: Annotated[str, typer.Option("--role", help="viewer, analyst, pm or admin.")],
    accounts: Annotated[
        str | None, typer.Option("--accounts", help="Only over these, separated by commas [all of the firm].")
    ] = None,
    redact: Annotated[bool, typer.Option("--redact", help="Amounts of money are not shown.")] = False,
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Give a person a role in a firm, or change what it covers."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.users import grant_role

        named = [part.strip() for part in (accounts or "").split(",") if part.strip()]
        told = grant_role(login, firm, role, named, redact, artifacts, config)
        _say(told, as_json, f"{told['login']}: {_roles(told)}.")


@user_app.command("revoke")
def user_revoke(
    firm: Firm,
    login: Login,
    role: Annotated[str | None, typer.Option("--role", help="This one only [all of them].")] = None,
    artifacts: Artifacts = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Take a role in a firm from a person. The last Admin of a firm stays."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.users import revoke_role

        told = revoke_role(login, firm, role, artifacts)
        _say(told, as_json, f"{told['login']}: {_roles(told) or 'no role left'}.")


def _say(told: dict[str, Any], as_json: bool, text: str) -> None:
    if as_json:
        print_json(told)
        return
    out.print(escape(text), soft_wrap=True)
    if "link" in told:
        out.print(f"Valid once, for 24 hours: {told['link']}", soft_wrap=True, markup=False)


def _roles(told: dict[str, Any]) -> str:
    return ", ".join(f"{grant['role']} of {_covered(grant)}" for grant in told["grants"])


def _covered(grant: dict[str, Any]) -> str:
    return f"all of {grant['firm']}" if grant["accounts"] is None else " and ".join(grant["accounts"])
