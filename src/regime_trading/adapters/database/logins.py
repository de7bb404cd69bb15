"""Logins: reached by login, user, link, external identity or token, before anybody knows for which firm."""

from __future__ import annotations

from sqlalchemy import Engine, delete, insert, select, update

from regime_trading.adapters.database.accounts import (
    admins,
    find_account,
    only_in,
    record,
    require_admin_left,
    rotate,
)
from regime_trading.adapters.database.api_tokens import token_of
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.identity_tables import (
    API_TOKENS,
    EXTERNAL_IDENTITIES,
    GRANTS,
    LINKS,
    PASSKEYS,
    RECOVERY_CODES,
    SESSIONS,
    TOTP_SEEDS,
    USERS,
)
from regime_trading.core.access import Role
from regime_trading.core.credentials import require_user_id
from regime_trading.core.errors import BadInput
from regime_trading.core.users import (
    Account,
    ApiToken,
    NotIdentified,
    OneTimeLink,
    Rotation,
    Told,
    User,
)


class SqlLogins:
    """People and what they come in with.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def by_login(self, login: str) -> Account | None:
        """The person with this login (normalised); None where there is none."""
        with reading(self._engine) as connection:
            return find_account(connection, USERS.c.login == login)

    def account(self, user_id: str) -> Account | None:
        """The person with this id; None where there is none."""
        with reading(self._engine) as connection:
            return find_account(connection, USERS.c.user_id == user_id)

    def by_external(self, issuer: str, subject: str) -> Account | None:
        """The person an identity elsewhere was linked to; None where it was not."""
        query = select(EXTERNAL_IDENTITIES.c.user_id).where(
            EXTERNAL_IDENTITIES.c.issuer == issuer, EXTERNAL_IDENTITIES.c.subject == subject
        )
        with reading(self._engine) as connection:
            user_id = connection.execute(query).scalar_one_or_none()
            return None if user_id is None else find_account(connection, USERS.c.user_id == user_id)

    def link_external(self, user_id: str, issuer: str, subject: str) -> None:
        """Remember who a person is elsewhere.

        Raises
        ------
        NotDurable
            No such user, or an identity that is somebody's already.
        """
        row = {"issuer": issuer, "subject": subject, "user_id": require_user_id(user_id)}
        with writing(self._engine) as connection:
            connection.execute(insert(EXTERNAL_IDENTITIES), row)

    def set_disabled(self, user_id: str, disabled_ns: int | None, only_firm: str | None, told: Told) -> None:
        """Disable a user (all sessions end), or enable one again, with the entries that tell of it.

        Parameters
        ----------
        user_id : str
        disabled_ns : int, optional
            Since when; None enables.
        only_firm : str, optional
            Refuse a person with roles outside of this firm; None for the operator of the server.
        told : Told

        Raises
        ------
        BadInput
            No such user, one of other firms, or the last Admin of a firm.
        NotDurable
            A database that cannot write. Nothing was changed.
        """
        with writing(self._engine) as connection:
            if only_firm is not None:
                only_in(connection, user_id, only_firm)
            roles = (GRANTS.c.user_id == user_id) & (GRANTS.c.role == Role.ADMIN.value)
            firms = set(connection.execute(select(GRANTS.c.firm_id).where(roles)).scalars())
            before = {firm: admins(connection, firm) for firm in sorted(firms)}
            done = connection.execute(
                update(USERS).where(USERS.c.user_id == user_id).values(disabled_ns=disabled_ns)
            )
            if done.rowcount != 1:
                raise BadInput(expected="a user", found="none", where=user_id)
            if disabled_ns is not None:
                require_admin_left(connection, before)
                connection.execute(delete(SESSIONS).where(SESSIONS.c.user_id == user_id))
                connection.execute(delete(LINKS).where(LINKS.c.user_id == user_id))
            record(connection, told)

    def set_password(self, account: Account, password_hash: str, rotation: Rotation, told: Told) -> None:
        """Replace a password; all sessions end but the one it was changed in, which gets another cookie.

        Raises
        ------
        NotIdentified
            The password was replaced, or the session ended, meanwhile.
        NotDurable
            A database that cannot write. Nothing was changed.
        """
        user_id = account.user.user_id
        mine = (USERS.c.user_id == user_id) & (USERS.c.password_hash == account.password_hash)
        with writing(self._engine) as connection:
            if (
                connection.execute(update(USERS).where(mine).values(password_hash=password_hash)).rowcount
                != 1
            ):
                raise NotIdentified
            rotate(connection, rotation)
            others = (SESSIONS.c.user_id == user_id) & (SESSIONS.c.cookie_hash != rotation.after)
            connection.execute(delete(SESSIONS).where(others))
            connection.execute(delete(LINKS).where(LINKS.c.user_id == user_id))
            record(connection, told)

    # --- links ----------------------------------------------------------------------------------------------

    def add_link(self, link_hash: str, link: OneTimeLink, only_firm: str | None, told: Told) -> None:
        """Store a link in the place of earlier ones of its user.

        Raises
        ------
        BadInput
            A person with roles outside of ``only_firm``, or no such user.
        NotDurable
            A database that cannot write. Nothing was stored.
        """
        with writing(self._engine) as connection:
            if only_firm is not None:
                only_in(connection, link.user_id, only_firm)
            if find_account(connection, USERS.c.user_id == link.user_id) is None:
                raise BadInput(expected="a user", found="none", where=link.user_id)
            connection.execute(delete(LINKS).where(LINKS.c.user_id == link.user_id))
            connection.execute(insert(LINKS), link_row(link_hash, link))
            record(connection, told)

    def link(self, link_hash: str) -> tuple[OneTimeLink, User] | None:
        """A link that was not used, and whose it is; it may have expired."""
        with reading(self._engine) as connection:
            row = (
                connection.execute(select(LINKS).where(LINKS.c.link_hash == link_hash))
                .mappings()
                .one_or_none()
            )
            if row is None:
                return None
            account = find_account(connection, USERS.c.user_id == row["user_id"])
            link = OneTimeLink(*(row[name] for name in OneTimeLink.__slots__))
            return None if account is None else (link, account.user)

    def use_link(self, link_hash: str, now_ns: int, password_hash: str, told: Told) -> None:
        """Set the password of a link's user, once; all their sessions and links end.

        Raises
        ------
        NotIdentified
            A link that was used, has expired, or is a disabled user's.
        NotDurable
            A database that cannot write. Nothing was changed.
        """
        fresh = (LINKS.c.link_hash == link_hash) & (LINKS.c.expires_ns > now_ns)
        with writing(self._engine) as connection:
            row = connection.execute(select(LINKS).where(fresh)).mappings().one_or_none()
            if row is None:
                raise NotIdentified
            mine = (USERS.c.user_id == row["user_id"]) & USERS.c.disabled_ns.is_(None)
            if (
                connection.execute(update(USERS).where(mine).values(password_hash=password_hash)).rowcount
                != 1
            ):
                raise NotIdentified
            gone = [LINKS, SESSIONS] + (
                [TOTP_SEEDS, PASSKEYS, RECOVERY_CODES] if row["drops_factors"] else []
            )
            for table in gone:
                connection.execute(delete(table).where(table.c.user_id == row["user_id"]))
            record(connection, told)

    # --- tokens ---------------------------------------------------------------------------------------------

    def token(self, token_hash: str) -> tuple[ApiToken, Account] | None:
        """A token that was not revoked, and its maker; it may have expired."""
        with reading(self._engine) as connection:
            row = (
                connection.execute(select(API_TOKENS).where(API_TOKENS.c.token_hash == token_hash))
                .mappings()
                .one_or_none()
            )
            if row is None:
                return None
            account = find_account(connection, USERS.c.user_id == row["user_id"])
            return None if account is None else (token_of(row), account)

    def touch_token(self, token: ApiToken, now_ns: int) -> None:
        """Note that a token was used."""
        mine = (API_TOKENS.c.firm_id == token.firm_id) & (API_TOKENS.c.token_id == token.token_id)
        with writing(self._engine) as connection:
            connection.execute(update(API_TOKENS).where(mine).values(used_ns=now_ns))


def link_row(link_hash: str, link: OneTimeLink) -> dict[str, object]:
    """Columns of a link."""
    return {"link_hash": link_hash} | {name: getattr(link, name) for name in OneTimeLink.__slots__}
