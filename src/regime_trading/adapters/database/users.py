"""People as one firm sees them: whoever has a role in it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, delete, insert, select

from regime_trading.adapters.database.accounts import (
    USER,
    admins,
    factors_of,
    find_account,
    grant_of,
    record,
    require_admin_left,
    user_of,
    write_grant,
)
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.identity_tables import GRANTS, LINKS, USERS
from regime_trading.adapters.database.logins import link_row
from regime_trading.core.access import Grant, Role
from regime_trading.core.audit import require_firm
from regime_trading.core.errors import BadInput
from regime_trading.core.users import Member, OneTimeLink, Told, User


class SqlMembers:
    """People of one firm and their roles in it.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    firm_id : str
        Tenant; nobody without a role in it is seen, nor any role elsewhere.
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)

    def all(self) -> tuple[Member, ...]:
        """Everybody with a role in the firm, by login."""
        with reading(self._engine) as connection:
            return self._found(connection)

    def get(self, user_id: str) -> Member | None:
        """One of them; None for whoever has no role in the firm."""
        with reading(self._engine) as connection:
            return next(iter(self._found(connection, user_id)), None)

    def create(self, user: User, grant: Grant, link_hash: str, link: OneTimeLink, told: Told) -> None:
        """A new person with a first role and a link, with the entries that tell of it.

        Raises
        ------
        BadInput
            A login that is taken, or a role in another firm.
        NotDurable
            A database that cannot write. Nothing was stored.
        """
        self._require_own(grant)
        with writing(self._engine) as connection:
            if find_account(connection, USERS.c.login == user.login) is not None:
                raise BadInput(expected="a login that is free", found="one that is taken", where=user.login)
            connection.execute(insert(USERS), {name: getattr(user, name) for name in User.__slots__})
            write_grant(connection, user.user_id, grant, user.created_ns)
            connection.execute(insert(LINKS), link_row(link_hash, link))
            record(connection, told)

    def grant(self, user_id: str, grant: Grant, now_ns: int, told: Told) -> None:
        """Give a role, or change what it covers, with the entries that tell of it.

        Raises
        ------
        BadInput
            A role in another firm, no such user, or the firm would lose its last Admin.
        NotDurable
            A database that cannot write. Nothing was changed.
        """
        self._require_own(grant)
        with writing(self._engine) as connection:
            if find_account(connection, USERS.c.user_id == user_id) is None:
                raise BadInput(expected="a user", found="none", where=user_id)
            before = admins(connection, self._firm_id)
            write_grant(connection, user_id, grant, now_ns)
            require_admin_left(connection, {self._firm_id: before})
            record(connection, told)

    def revoke(self, user_id: str, roles: Sequence[Role], told: Told) -> None:
        """Take roles away, with the entries that tell of it.

        Raises
        ------
        BadInput
            A role the person does not have, or the last Admin of the firm.
        NotDurable
            A database that cannot write. Nothing was changed.
        """
        names = sorted({role.value for role in roles})
        mine = (GRANTS.c.firm_id == self._firm_id) & (GRANTS.c.user_id == user_id)
        with writing(self._engine) as connection:
            before = admins(connection, self._firm_id)
            gone = connection.execute(delete(GRANTS).where(mine, GRANTS.c.role.in_(names))).rowcount
            if not names or gone != len(names):
                raise BadInput(expected="a role of this member", found="none", where=user_id)
            require_admin_left(connection, {self._firm_id: before})
            record(connection, told)

    def _found(self, connection: Connection, user_id: str | None = None) -> tuple[Member, ...]:
        mine = GRANTS.c.firm_id == self._firm_id
        if user_id is not None:
            mine &= GRANTS.c.user_id == user_id
        grants: dict[str, list[Grant]] = {}
        for row in connection.execute(select(GRANTS).where(mine).order_by(GRANTS.c.role)):
            grants.setdefault(row.user_id, []).append(grant_of(row._mapping))
        members = USERS.c.user_id.in_(select(GRANTS.c.user_id).where(mine))
        rows = connection.execute(USER.where(members).order_by(USERS.c.login)).mappings().all()
        return tuple(
            Member(
                user_of(row),
                tuple(grants.get(row["user_id"], ())),
                second_factor=bool(factors_of(row)),
                invited=row["password_hash"] is None,
            )
            for row in rows
        )

    def _require_own(self, grant: Grant) -> None:
        accounts = grant.accounts if grant.accounts is not None else {f"{self._firm_id}/"}
        others = sorted(name for name in accounts if name.split("/")[0] != self._firm_id)
        if grant.firm_id != self._firm_id or others or not accounts:
            raise BadInput(
                expected=f"a role over accounts of firm {self._firm_id}",
                found=", ".join(others) or (grant.firm_id if accounts else "no account"),
                where="grant",
            )
