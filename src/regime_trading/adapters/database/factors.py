"""Second factors: authenticators, passkeys and the codes for when they are lost."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, insert, select

from regime_trading.adapters.database.accounts import find_account, record, rotate
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.identity_tables import (
    CHALLENGES,
    PASSKEYS,
    RECOVERY_CODES,
    TOTP_SEEDS,
    USERS,
)
from regime_trading.core.errors import BadInput
from regime_trading.core.users import Factor, NotIdentified, Passkey, Rotation, Told


class SqlFactors:
    """Second factors of people, each reached by its person or session only.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def totp(self, user_id: str, *, confirmed: bool) -> tuple[bytes, int] | None:
        """The sealed seed and the time step used last."""
        query = select(TOTP_SEEDS.c.sealed_seed, TOTP_SEEDS.c.last_step).where(
            TOTP_SEEDS.c.user_id == user_id, TOTP_SEEDS.c.confirmed.is_(confirmed)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
            return None if row is None else (bytes(row[0]), int(row[1]))

    def offer_totp(self, user_id: str, sealed: bytes, now_ns: int) -> None:
        """Store a seed that counts for nothing yet, in the place of an earlier such one."""
        row = {
            "user_id": user_id,
            "confirmed": False,
            "sealed_seed": sealed,
            "created_ns": now_ns,
            "last_step": -1,
        }
        with writing(self._engine) as connection:
            connection.execute(delete(TOTP_SEEDS).where(_seed(user_id, confirmed=False)))
            connection.execute(insert(TOTP_SEEDS), row)

    def confirm_totp(
        self, rotation: Rotation, sealed: bytes, step: int, codes: Sequence[str], told: Told
    ) -> None:
        """Let the offered seed count, in the place of another; the time step that confirmed it is used up.

        Parameters
        ----------
        rotation : Rotation
        sealed : bytes
            The seed as it was offered.
        step : int
        codes : sequence of str
            Hashes of new recovery codes; empty leaves those that are there.
        told : Told

        Raises
        ------
        NotIdentified
            Another seed was offered, or the session ended, meanwhile.
        NotDurable
            A database that cannot write. Nothing was changed.
        """
        user_id = rotation.session.user_id
        with writing(self._engine) as connection:
            offered = _seed(user_id, confirmed=False)
            row = connection.execute(select(TOTP_SEEDS).where(offered)).mappings().one_or_none()
            if row is None or bytes(row["sealed_seed"]) != sealed:
                raise NotIdentified
            connection.execute(delete(TOTP_SEEDS).where(TOTP_SEEDS.c.user_id == user_id))
            connection.execute(insert(TOTP_SEEDS), dict(row) | {"confirmed": True, "last_step": step})
            _added(connection, rotation, codes, told)

    def add_passkey(self, rotation: Rotation, passkey: Passkey, codes: Sequence[str], told: Told) -> None:
        """Store a passkey; arguments as :meth:`confirm_totp`.

        Raises
        ------
        BadInput
            A passkey that is known already, whosever it is.
        NotIdentified
            The session ended meanwhile.
        NotDurable
            A database that cannot write. Nothing was stored.
        """
        known = select(PASSKEYS.c.user_id).where(PASSKEYS.c.credential_id == passkey.credential_id)
        with writing(self._engine) as connection:
            if connection.execute(known).one_or_none() is not None:
                raise BadInput(
                    expected="a new passkey", found="one that is enrolled already", where="passkey"
                )
            row = {name: getattr(passkey, name) for name in Passkey.__slots__}
            connection.execute(insert(PASSKEYS), row)
            _added(connection, rotation, codes, told)

    def passkeys(self, user_id: str) -> tuple[Passkey, ...]:
        """Passkeys of a person, oldest first."""
        query = select(PASSKEYS).where(PASSKEYS.c.user_id == user_id)
        query = query.order_by(PASSKEYS.c.created_ns, PASSKEYS.c.credential_id)
        with reading(self._engine) as connection:
            return tuple(
                Passkey(**dict(row) | {name: bytes(row[name]) for name in ("credential_id", "public_key")})
                for row in connection.execute(query).mappings()
            )

    def put_challenge(self, session_id: str, purpose: str, challenge: bytes, expires_ns: int) -> None:
        """Remember a challenge, in the place of an earlier one of the same session and purpose."""
        row = {"session_id": session_id, "purpose": purpose, "challenge": challenge, "expires_ns": expires_ns}
        with writing(self._engine) as connection:
            connection.execute(delete(CHALLENGES).where(_waiting(session_id, purpose)))
            connection.execute(insert(CHALLENGES), row)

    def take_challenge(self, session_id: str, purpose: str, now_ns: int) -> bytes | None:
        """The challenge, once: whoever asks again, or too late, gets None."""
        with writing(self._engine) as connection:
            query = select(CHALLENGES).where(_waiting(session_id, purpose))
            row = connection.execute(query).mappings().one_or_none()
            connection.execute(delete(CHALLENGES).where(_waiting(session_id, purpose)))
            connection.execute(delete(CHALLENGES).where(CHALLENGES.c.expires_ns <= now_ns))
            return None if row is None or row["expires_ns"] <= now_ns else bytes(row["challenge"])

    def replace_codes(self, user_id: str, codes: Sequence[str], told: Told) -> None:
        """New recovery codes, by hash; earlier ones are gone."""
        with writing(self._engine) as connection:
            _write_codes(connection, user_id, codes)
            record(connection, told)

    def codes_left(self, user_id: str) -> int:
        """How many recovery codes were not used."""
        query = select(func.count()).select_from(RECOVERY_CODES).where(RECOVERY_CODES.c.user_id == user_id)
        with reading(self._engine) as connection:
            return int(connection.execute(query).scalar_one())

    def remove(self, user_id: str, factor: Factor, credential_id: bytes | None, told: Told) -> None:
        """Remove a factor, with the entries that tell of it. With the last one its recovery codes go.

        Raises
        ------
        BadInput
            No such factor, or the last one of a PM or Admin.
        NotDurable
            A database that cannot write. Nothing was changed.
        """
        table = TOTP_SEEDS if factor is Factor.TOTP else PASSKEYS
        gone = table.c.user_id == user_id
        if factor is Factor.PASSKEY:
            gone &= PASSKEYS.c.credential_id == credential_id
        with writing(self._engine) as connection:
            if not connection.execute(delete(table).where(gone)).rowcount:
                raise BadInput(expected="a factor that is enrolled", found="none", where=factor.value)
            account = find_account(connection, USERS.c.user_id == user_id)
            if account is None or (account.trusted and not account.factors):
                raise BadInput(
                    expected="another second factor left, for a PM or Admin", found="none", where=factor.value
                )
            if not account.factors:
                _write_codes(connection, user_id, ())
            record(connection, told)


def _added(connection: Connection, rotation: Rotation, codes: Sequence[str], told: Told) -> None:
    if codes:
        _write_codes(connection, rotation.session.user_id, codes)
    rotate(connection, rotation)
    record(connection, told)


def _write_codes(connection: Connection, user_id: str, codes: Sequence[str]) -> None:
    connection.execute(delete(RECOVERY_CODES).where(RECOVERY_CODES.c.user_id == user_id))
    if codes:
        connection.execute(
            insert(RECOVERY_CODES), [{"user_id": user_id, "code_hash": code} for code in codes]
        )


def _seed(user_id: str, *, confirmed: bool) -> ColumnElement[bool]:
    return (TOTP_SEEDS.c.user_id == user_id) & TOTP_SEEDS.c.confirmed.is_(confirmed)


def _waiting(session_id: str, purpose: str) -> ColumnElement[bool]:
    return (CHALLENGES.c.session_id == session_id) & (CHALLENGES.c.purpose == purpose)
