"""People, wired; and what ``regime user`` does: the operator at the machine, recorded by the local user's pseudonym."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database import (
    SqlActors,
    SqlApiTokens,
    SqlFactors,
    SqlLogins,
    SqlMembers,
    SqlSessions,
    SqlTallies,
    SqlThrottles,
    open_database,
)
from regime_trading.adapters.identity import AesGcmSealer, Argon2Passwords, PyotpTotp, WebauthnPasskeys
from regime_trading.bootstrap import artifacts_folder, database_url, load_valid
from regime_trading.bootstrap.acts import make_acts
from regime_trading.bootstrap.secrets import Purpose, ServerSecret, server_secret
from regime_trading.bootstrap.version import code_version
from regime_trading.core.access import Grant, Role
from regime_trading.core.credentials import require_login
from regime_trading.core.errors import BadInput
from regime_trading.core.instants import instant_text
from regime_trading.core.ports import Passwords
from regime_trading.core.users import Account, Member
from regime_trading.services.acts import Acts
from regime_trading.services.people import OPERATOR, People
from regime_trading.services.users import MemberService

DEFAULT_URL = "http://localhost:8000"


def make_people(
    engine: Any,
    secret: ServerSecret,
    acts: Acts,
    *,
    passwords: Passwords | None = None,
    entropy: Callable[[int], bytes] = secrets.token_bytes,
) -> People:
    """Ports of identity over a database.

    Parameters
    ----------
    engine : Engine
    secret : ServerSecret
    acts : Acts
        Of the operator at the machine (:func:`~regime_trading.bootstrap.acts.make_acts`).
    passwords : Passwords, optional
        Another cost, for tests.
    entropy : callable
        Random bytes, by their number.
    """
    return People(
        logins=SqlLogins(engine),
        sessions=SqlSessions(engine),
        factors=SqlFactors(engine),
        throttles=SqlThrottles(engine),
        members=lambda firm: SqlMembers(engine, firm_id=firm),
        tokens=lambda firm: SqlApiTokens(engine, firm_id=firm),
        tallies=lambda firm: SqlTallies(engine, firm_id=firm),
        actors=lambda firm: SqlActors(engine, firm_id=firm),
        passwords=passwords or Argon2Passwords(),
        totp=PyotpTotp(),
        sealer=AesGcmSealer(secret.key(Purpose.SEALING)),
        passkeys=WebauthnPasskeys(),
        acts=acts,
        entropy=entropy,
        pepper=secret.key(Purpose.PEPPER),
    )


@contextmanager
def open_people(artifacts: Path | None) -> Iterator[People]:
    """People of an artifacts folder, whose database is made where there is none; closed at the end.

    Raises
    ------
    BadInput
        No usable secret of the server.
    """
    secret = server_secret()
    store = LocalArtifacts(artifacts_folder(artifacts))
    engine = open_database(database_url(store.root))
    try:
        yield make_people(engine, secret, make_acts(engine, store, code_version()))
    finally:
        engine.dispose()


def link_url(public_url: str | None, link: str) -> str:
    """Address of a one-time link. The secret is the fragment: browsers send it to nobody, so it is in no log."""
    return f"{(public_url or DEFAULT_URL).rstrip('/')}/login/link#{link}"


# --- regime user ------------------------------------------------------------------------------------------------


def create_admin(
    firm: str,
    login: str,
    name: str | None,
    public_url: str | None,
    artifacts: Path | None,
    config: Path | None,
) -> dict[str, Any]:
    """A new Admin of a firm, and the link with which they set their password.

    Raises
    ------
    BadInput
        No such firm in the configuration, or a login that is taken or none.
    """
    grant = Grant(_known_firm(firm, config), Role.ADMIN)
    with open_people(artifacts) as people:
        made = MemberService(people).create(OPERATOR, login, name or login, grant, SystemClock().now_ns())
    return {"user_id": made.user.user_id, "login": made.user.login, "link": link_url(public_url, made.link)}


def list_users(firm: str, artifacts: Path | None) -> list[dict[str, Any]]:
    """Everybody with a role in a firm."""
    with open_people(artifacts) as people:
        return [_told(member) for member in MemberService(people).members(firm)]


def disable_user(login: str, artifacts: Path | None) -> dict[str, Any]:
    """Let nothing of a person in any more; raises ``BadInput`` for nobody, or the last Admin of a firm."""
    return _with_user(login, artifacts, lambda service, user: service.disable(OPERATOR, None, user, _now()))


def enable_user(login: str, artifacts: Path | None) -> dict[str, Any]:
    """Let a person in again; raises ``BadInput`` for nobody."""
    return _with_user(login, artifacts, lambda service, user: service.enable(OPERATOR, None, user, _now()))


def reset_link(
    login: str, drops_factors: bool, public_url: str | None, artifacts: Path | None
) -> dict[str, Any]:
    """A link with which a person sets another password; raises ``BadInput`` for nobody."""
    links = list[str]()

    def make(service: MemberService, user_id: str) -> None:
        links.append(service.reset_link(OPERATOR, None, user_id, _now(), drops_factors=drops_factors))

    return _with_user(login, artifacts, make) | {"link": link_url(public_url, links[0])}


def grant_role(
    login: str,
    firm: str,
    role: str,
    accounts: Sequence[str],
    redact: bool,
    artifacts: Path | None,
    config: Path | None,
) -> dict[str, Any]:
    """Give a person a role in a firm, over some accounts (``firm/account`` or ``account``) or all.

    Raises
    ------
    BadInput
        Nobody of that login, no such role, firm or account, or the firm would lose its last Admin.
    """
    names = frozenset(name if "/" in name else f"{firm}/{name}" for name in accounts)
    grant = Grant(_known_firm(firm, config, names), role_of(role), names or None, redact)
    return _with_user(login, artifacts, lambda service, user: service.grant(OPERATOR, user, grant, _now()))


def revoke_role(login: str, firm: str, role: str | None, artifacts: Path | None) -> dict[str, Any]:
    """Take a role in a firm from a person, or all of them.

    Raises
    ------
    BadInput
        Nobody of that login, a role they do not have, or the last Admin of the firm.
    """
    roles = None if role is None else (role_of(role),)
    revoke = partial(MemberService.revoke, by=OPERATOR, firm_id=firm, now_ns=_now(), roles=roles)
    return _with_user(login, artifacts, lambda service, user: revoke(service, user_id=user))


def role_of(text: str) -> Role:
    """A role by its name.

    Raises
    ------
    BadInput
        No such role.
    """
    try:
        return Role(text)
    except ValueError:
        raise BadInput(expected=f"one of {', '.join(Role)}", found=text[:40], where="role") from None


def _with_user(
    login: str, artifacts: Path | None, work: Callable[[MemberService, str], object]
) -> dict[str, Any]:
    name = require_login(login)
    with open_people(artifacts) as people:
        account = people.logins.by_login(name)
        if account is None:
            raise BadInput(expected="the login of a user", found="none", where=name)
        work(MemberService(people), account.user.user_id)
        after = people.logins.account(account.user.user_id)
        return _told(after or account)


def _known_firm(firm: str, config: Path | None, accounts: frozenset[str] = frozenset()) -> str:
    loaded = load_valid(config)
    known = {profile.account for profile in loaded.profiles}
    broken = {one.firm_id for one in loaded.broken}
    firms = {name.split("/")[0] for name in known} | broken
    if firm not in firms:
        raise BadInput(expected=f"one of {', '.join(sorted(firms))}", found=firm, where="--firm")
    missing = sorted(accounts - known)
    if missing and firm not in broken:
        raise BadInput(expected=f"accounts of {firm}", found=", ".join(missing), where="--accounts")
    return firm


def _told(one: Account | Member) -> dict[str, Any]:
    user = one.user
    return {
        "user_id": user.user_id,
        "login": user.login,
        "name": user.name,
        "created": instant_text(user.created_ns),
        "disabled": None if user.disabled_ns is None else instant_text(user.disabled_ns),
        "second_factor": one.second_factor if isinstance(one, Member) else bool(one.factors),
        "invited": one.invited if isinstance(one, Member) else one.password_hash is None,
        "grants": [
            {
                "firm": grant.firm_id,
                "role": grant.role.value,
                "accounts": None if grant.accounts is None else sorted(grant.accounts),
                "redact": grant.redact,
            }
            for grant in one.grants
        ],
    }


def _now() -> int:
    return SystemClock().now_ns()
