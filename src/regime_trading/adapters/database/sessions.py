"""Sessions, found by the hash of their cookie."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, delete, insert, select, update

from regime_trading.adapters.database.accounts import (
    find_account,
    find_accounts,
    record,
    rotate,
    session_of,
    session_row,
)
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.identity_tables import (
    CHALLENGES,
    PASSKEYS,
    RECOVERY_CODES,
    SESSIONS,
    TOTP_SEEDS,
    USERS,
)
from regime_trading.core.sessions import ABSOLUTE_NS
from regime_trading.core.users import Account, NotIdentified, Rotation, Session, Spent, Told


class SqlSessions:
    """Sessions of everybody, each reached by its cookie or its person only.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self, cookie_hash: str, session: Session, password: tuple[str, str] | None, told: Told) -> None:
        """Store a session, with the entries that tell of it. Those that are over by their age are dropped.

        Parameters
        ----------
        cookie_hash : str
        session : Session
        password : pair of str, optional
            The hash that was verified, and the one it is replaced by (often the same).
        told : Told

        Raises
        ------
        NotIdentified
            The user was disabled, or the password replaced, meanwhile.
        NotDurable
            A database that cannot write. Nothing was stored.
        """
        mine = (USERS.c.user_id == session.user_id) & USERS.c.disabled_ns.is_(None)
        with writing(self._engine) as connection:
            found = connection.execute(select(USERS.c.password_hash).where(mine)).one_or_none()
            if found is None or (password is not None and found[0] != password[0]):
                raise NotIdentified
            if password is not None and password[0] != password[1]:
                connection.execute(update(USERS).where(mine).values(password_hash=password[1]))
            connection.execute(
                delete(SESSIONS).where(SESSIONS.c.created_ns < session.created_ns - ABSOLUTE_NS)
            )
            connection.execute(insert(SESSIONS), {"cookie_hash": cookie_hash} | session_row(session))
            record(connection, told)

    def get(self, cookie_hash: str) -> tuple[Session, Account] | None:
        """The session of a cookie and whose it is, as they are now; it may be over."""
        with reading(self._engine) as connection:
            query = select(SESSIONS).where(SESSIONS.c.cookie_hash == cookie_hash)
            row = connection.execute(query).mappings().one_or_none()
            if row is None:
                return None
            account = find_account(connection, USERS.c.user_id == row["user_id"])
            return None if account is None else (session_of(row), account)

    def by_ids(self, session_ids: Sequence[str]) -> tuple[tuple[Session, Account], ...]:
        """Those of some sessions that are there, and whose they are, as they are now; some may be over."""
        with reading(self._engine) as connection:
            query = select(SESSIONS).where(SESSIONS.c.session_id.in_(session_ids))
            sessions = [session_of(row) for row in connection.execute(query).mappings()]
            accounts = find_accounts(connection, sorted({one.user_id for one in sessions}))
        return tuple((one, accounts[one.user_id]) for one in sessions if one.user_id in accounts)

    def touch(self, cookie_hash: str, now_ns: int) -> None:
        """Note that a session was used; never backwards."""
        mine = (SESSIONS.c.cookie_hash == cookie_hash) & (SESSIONS.c.seen_ns < now_ns)
        with writing(self._engine) as connection:
            connection.execute(update(SESSIONS).where(mine).values(seen_ns=now_ns))

    def prove(self, rotation: Rotation, spent: Spent, told: Told) -> None:
        """Use up a proof and replace the cookie, or neither.

        Raises
        ------
        NotIdentified
            The proof was used already, the session has ended, or its user was disabled.
        NotDurable
            A database that cannot write. Nothing was changed.
        """
        with writing(self._engine) as connection:
            _spend(connection, rotation.session, spent)
            rotate(connection, rotation)
            record(connection, told)

    def of(self, user_id: str) -> tuple[Session, ...]:
        """Sessions of a person, newest first; some may be over."""
        query = select(SESSIONS).where(SESSIONS.c.user_id == user_id).order_by(SESSIONS.c.created_ns.desc())
        with reading(self._engine) as connection:
            return tuple(session_of(row._mapping) for row in connection.execute(query))

    def end(self, user_id: str, session_ids: Sequence[str] | None, keep: str, told: Told) -> int:
        """End some sessions of a person (all where None) but ``keep``, with the entries that tell of it; how many."""
        gone = (SESSIONS.c.user_id == user_id) & (SESSIONS.c.session_id != keep)
        if session_ids is not None:
            gone &= SESSIONS.c.session_id.in_(session_ids)
        with writing(self._engine) as connection:
            ended = connection.execute(select(SESSIONS.c.session_id).where(gone)).scalars().all()
            connection.execute(delete(CHALLENGES).where(CHALLENGES.c.session_id.in_(ended)))
            connection.execute(delete(SESSIONS).where(gone))
            if ended:
                record(connection, told)
            return len(ended)


def _spend(connection: Connection, session: Session, spent: Spent) -> None:
    """Mark a proof as used; one that is used already changes no row."""
    done = 1
    if spent.totp_step is not None:
        seed = (TOTP_SEEDS.c.user_id == session.user_id) & TOTP_SEEDS.c.confirmed.is_(True)
        newer = seed & (TOTP_SEEDS.c.last_step < spent.totp_step)
        done = connection.execute(update(TOTP_SEEDS).where(newer).values(last_step=spent.totp_step)).rowcount
    if spent.recovery_hash is not None:
        mine = RECOVERY_CODES.c.user_id == session.user_id
        code = mine & (RECOVERY_CODES.c.code_hash == spent.recovery_hash)
        done = connection.execute(delete(RECOVERY_CODES).where(code)).rowcount
    if spent.credential_id is not None:
        mine = PASSKEYS.c.user_id == session.user_id
        key = mine & (PASSKEYS.c.credential_id == spent.credential_id)
        used = {"sign_count": spent.sign_count, "used_ns": session.stepped_up_ns}
        done = connection.execute(update(PASSKEYS).where(key).values(**used)).rowcount
    if done != 1:
        raise NotIdentified
