"""What is stored of one person, read and changed within somebody's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, delete, exists, func, insert, select, update

from regime_trading.adapters.database.audit_log import append_chains
from regime_trading.adapters.database.identity_tables import GRANTS, PASSKEYS, SESSIONS, TOTP_SEEDS, USERS
from regime_trading.adapters.database.messages import publish
from regime_trading.core.access import Grant, Role
from regime_trading.core.audit import chain_of
from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import AuditEvent
from regime_trading.core.users import Account, Factor, NotIdentified, Rotation, Session, Told, User

_HAS_TOTP = exists().where(TOTP_SEEDS.c.user_id == USERS.c.user_id, TOTP_SEEDS.c.confirmed.is_(True))
_HAS_PASSKEY = exists().where(PASSKEYS.c.user_id == USERS.c.user_id)
USER = select(USERS, _HAS_TOTP.label("totp"), _HAS_PASSKEY.label("passkey"))
_SESSION = tuple(SESSIONS.c[name] for name in Session.__slots__)


def find_account(connection: Connection, where: ColumnElement[bool]) -> Account | None:
    """The one user for which ``where`` holds, with roles and factors."""
    row = connection.execute(USER.where(where)).mappings().one_or_none()
    if row is None:
        return None
    grants = connection.execute(
        select(GRANTS).where(GRANTS.c.user_id == row["user_id"]).order_by(GRANTS.c.firm_id, GRANTS.c.role)
    )
    return _account(row, grants.mappings())


def find_accounts(connection: Connection, user_ids: Sequence[str]) -> dict[str, Account]:
    """Those of some users who are there, with roles and factors, by user id."""
    grants: dict[str, list[RowMapping]] = {user_id: [] for user_id in user_ids}
    query = select(GRANTS).where(GRANTS.c.user_id.in_(user_ids)).order_by(GRANTS.c.firm_id, GRANTS.c.role)
    for grant in connection.execute(query).mappings():
        grants[grant["user_id"]].append(grant)
    users = connection.execute(USER.where(USERS.c.user_id.in_(user_ids))).mappings()
    return {row["user_id"]: _account(row, grants[row["user_id"]]) for row in users}


def _account(row: RowMapping, grants: Iterable[RowMapping]) -> Account:
    return Account(user_of(row), row["password_hash"], tuple(map(grant_of, grants)), factors_of(row))


def user_of(row: RowMapping) -> User:
    """The user in a row of :data:`USER`."""
    return User(row["user_id"], row["login"], row["name"], row["created_ns"], row["disabled_ns"])


def factors_of(row: RowMapping) -> frozenset[Factor]:
    """The kinds of factors in a row of :data:`USER`."""
    return frozenset(factor for factor in Factor if row[factor.value])


def grant_of(row: RowMapping) -> Grant:
    """The grant in a row. A list of accounts that is not one is nobody's leave to all of them."""
    accounts = None if row["accounts"] is None else frozenset(map(str, row["accounts"]))
    return Grant(row["firm_id"], Role(row["role"]), accounts, bool(row["redact"]))


def write_grant(connection: Connection, user_id: str, grant: Grant, now_ns: int) -> None:
    """Store a grant in the place of one of the same role."""
    connection.execute(delete(GRANTS).where(*_key_of(user_id, grant)))
    row = {
        "firm_id": grant.firm_id,
        "user_id": user_id,
        "role": grant.role.value,
        "accounts": None if grant.accounts is None else sorted(grant.accounts),
        "redact": grant.redact,
        "granted_ns": now_ns,
    }
    connection.execute(insert(GRANTS), row)


def admins(connection: Connection, firm_id: str) -> int:
    """How many enabled people are Admin over a whole firm."""
    query = (
        select(func.count())
        .select_from(GRANTS.join(USERS, USERS.c.user_id == GRANTS.c.user_id))
        .where(
            GRANTS.c.firm_id == firm_id,
            GRANTS.c.role == Role.ADMIN.value,
            GRANTS.c.accounts.is_(None),
            USERS.c.disabled_ns.is_(None),
        )
    )
    return int(connection.execute(query).scalar_one())


def require_admin_left(connection: Connection, firms: Mapping[str, int]) -> None:
    """Refuse what took the last Admin of a firm; ``firms`` says how many each had before.

    Raises
    ------
    BadInput
        A firm had one and has none.
    """
    for firm_id, before in firms.items():
        if before and not admins(connection, firm_id):
            raise BadInput(expected="an Admin of the firm left", found="the last one", where=firm_id)


def only_in(connection: Connection, user_id: str, firm_id: str) -> None:
    """Refuse a person with roles elsewhere, or with none here.

    Raises
    ------
    BadInput
        A firm may not act on the login that another one relies on.
    """
    firms = set(connection.execute(select(GRANTS.c.firm_id).where(GRANTS.c.user_id == user_id)).scalars())
    if firms != {firm_id}:
        raise BadInput(
            expected="a member whose login is the firm's own (the operator of the server can do it)",
            found="another",
            where=user_id,
        )


def rotate(connection: Connection, rotation: Rotation) -> None:
    """Replace the cookie of a session and what was proved in it.

    Raises
    ------
    NotIdentified
        The cookie is no longer valid, or its user was disabled.
    """
    session = rotation.session
    enabled = exists().where(USERS.c.user_id == SESSIONS.c.user_id, USERS.c.disabled_ns.is_(None))
    mine = (
        (SESSIONS.c.cookie_hash == rotation.before) & (SESSIONS.c.session_id == session.session_id) & enabled
    )
    values = {
        name: getattr(session, name) for name in ("seen_ns", "method", "second_factor", "stepped_up_ns")
    }
    done = connection.execute(update(SESSIONS).where(mine).values(cookie_hash=rotation.after, **values))
    if done.rowcount != 1:
        raise NotIdentified


def session_row(session: Session) -> dict[str, Any]:
    """Columns of a session."""
    return {name: getattr(session, name) for name in Session.__slots__}


def session_of(row: RowMapping) -> Session:
    """The session in a row."""
    return Session(**{column.name: row[column.name] for column in _SESSION})


def record(connection: Connection, told: Told) -> None:
    """Write entries and messages of any number of firms, within the transaction of what they tell of."""
    for firm_id, events in _by_firm(told.events).items():
        chains: dict[str, list[AuditEvent]] = {}
        for event in events:
            chains.setdefault(chain_of(event), []).append(event)
        append_chains(connection, firm_id, chains)
    for firm_id, messages in told.messages.items():
        publish(connection, firm_id, messages)


def _by_firm(events: Iterable[AuditEvent]) -> dict[str, list[AuditEvent]]:
    found: dict[str, list[AuditEvent]] = {}
    for event in events:
        found.setdefault(event.firm_id, []).append(event)
    return found


def _key_of(user_id: str, grant: Grant) -> tuple[ColumnElement[bool], ...]:
    return (
        GRANTS.c.firm_id == grant.firm_id,
        GRANTS.c.user_id == user_id,
        GRANTS.c.role == grant.role.value,
    )
