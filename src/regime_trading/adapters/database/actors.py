"""Whose the pseudonyms of a firm are: names under a key of their own, erased by deleting that key."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Engine, RowMapping, select, update

from regime_trading.adapters.database.audit_log import append_chain
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.tables import ACTORS
from regime_trading.core.actors import ActorName, plain_name, pseudonym_from, require_pseudonym
from regime_trading.core.audit import chain_of, require_firm
from regime_trading.core.canonical import sha256_hex
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.schemas import AuditEvent

NONCE_BYTES = 12


class SqlActors:
    """Actors of one firm.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    firm_id : str
        Tenant; the same person has another pseudonym in another firm.
    entropy : callable
        Random bytes, by their number.
    """

    def __init__(
        self, engine: Engine, *, firm_id: str, entropy: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._engine, self._firm_id, self._entropy = engine, require_firm(firm_id), entropy

    def pseudonym(self, subject: str, now_ns: int, *, name: str = "", email: str = "") -> str:
        """Pseudonym of a subject, made where it has none; of one that was erased nobody knows, so it gets a new one.

        Raises
        ------
        BadInput
            No subject, or text that is too long.
        NotDurable
            A database that cannot write.
        """
        who = {"subject": plain_name(subject, "subject"), "name": name, "email": email}
        with reading(self._engine) as connection:
            known = self._find(connection, who["subject"])
        if known is not None:
            return known
        with writing(self._engine) as connection:
            known = self._find(connection, who["subject"])
            return known or self._insert(connection, who, now_ns)

    def all(self) -> tuple[ActorName, ...]:
        """Every actor, oldest first, with the names of those that were not erased.

        Raises
        ------
        CheckFailed
            A name that its key does not open: the row is no longer what was stored.
        """
        query = select(ACTORS).where(ACTORS.c.firm_id == self._firm_id)
        with reading(self._engine) as connection:
            rows = (
                connection.execute(query.order_by(ACTORS.c.created_ns, ACTORS.c.pseudonym)).mappings().all()
            )
        return tuple(map(self._opened, rows))

    def subject(self, pseudonym: str) -> str:
        """Whose a pseudonym is (``user:…``, ``local:…``); empty where nobody knows it, or nobody any more.

        Raises
        ------
        CheckFailed
            As :meth:`all`.
        """
        query = select(ACTORS).where(ACTORS.c.firm_id == self._firm_id, ACTORS.c.pseudonym == pseudonym)
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
        return "" if row is None else self._opened(row).subject

    def fingerprint(self, pseudonym: str) -> str:
        """SHA-256 of the encrypted name, which stays after erasure.

        Raises
        ------
        BadInput
            No such actor of this firm.
        """
        with reading(self._engine) as connection:
            return sha256_hex(bytes(self._row(connection, pseudonym)["sealed_name"]))

    def erase(self, pseudonym: str, now_ns: int, events: Sequence[AuditEvent]) -> None:
        """Delete the key of a name, and what finds its subject, together with the entry that says so.

        The chain keeps the pseudonym and verifies as before. In a SQLite file the bytes are overwritten too.

        Raises
        ------
        BadInput
            No such actor of this firm, or one that was erased already.
        NotDurable
            A database that cannot write, or an entry whose place is taken. Nothing was erased.
        """
        key = (ACTORS.c.firm_id == self._firm_id) & (ACTORS.c.pseudonym == pseudonym)
        gone = {"key": None, "subject_hash": None, "erased_ns": now_ns}
        sqlite = self._engine.dialect.name == "sqlite"
        with writing(self._engine) as connection:
            if self._row(connection, pseudonym)["key"] is None:
                raise BadInput(expected="an actor with a name", found="erased already", where=pseudonym)
            if sqlite:
                connection.exec_driver_sql("PRAGMA secure_delete=ON")
            for event in events:
                append_chain(connection, self._firm_id, chain_of(event), [event])
            connection.execute(update(ACTORS).where(key).values(**gone))
        if sqlite:
            self._forget_pages()

    def _forget_pages(self) -> None:
        """Empty the write-ahead file, which still has the page as it was."""
        with self._engine.connect() as connection:
            raw = connection.connection.cursor()
            try:
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                raw.close()

    def _find(self, connection: Connection, subject: str) -> str | None:
        query = select(ACTORS.c.pseudonym).where(
            ACTORS.c.firm_id == self._firm_id, ACTORS.c.subject_hash == self._digest(subject)
        )
        return connection.execute(query).scalar_one_or_none()

    def _insert(self, connection: Connection, who: dict[str, str], now_ns: int) -> str:
        pseudonym, key = pseudonym_from(self._entropy(10)), self._entropy(32)
        nonce = self._entropy(NONCE_BYTES)
        sealed = nonce + AESGCM(key).encrypt(nonce, json.dumps(who).encode(), self._bound(pseudonym))
        row = {"firm_id": self._firm_id, "pseudonym": pseudonym, "created_ns": now_ns, "key": key}
        row |= {"subject_hash": self._digest(who["subject"]), "sealed_name": sealed}
        connection.execute(ACTORS.insert(), row)
        return pseudonym

    def _row(self, connection: Connection, pseudonym: str) -> RowMapping:
        query = select(ACTORS).where(
            ACTORS.c.firm_id == self._firm_id, ACTORS.c.pseudonym == require_pseudonym(pseudonym)
        )
        found = connection.execute(query).mappings().one_or_none()
        if found is None:
            raise BadInput(expected=f"an actor of firm {self._firm_id}", found=pseudonym, where="actor")
        return found

    def _opened(self, row: RowMapping) -> ActorName:
        if row["key"] is None:
            return ActorName(row["pseudonym"], "", "", "", row["created_ns"], erased=True)
        sealed = bytes(row["sealed_name"])
        try:
            plain = AESGCM(bytes(row["key"])).decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self._bound(row["pseudonym"])
            )
        except (InvalidTag, ValueError) as error:
            raise CheckFailed(f"actor {row['pseudonym']}: its key does not open its name") from error
        return ActorName(row["pseudonym"], **json.loads(plain), created_ns=row["created_ns"])

    def _bound(self, pseudonym: str) -> bytes:
        """What ties an encrypted name to its row."""
        return f"{self._firm_id}/{pseudonym}".encode()

    def _digest(self, subject: str) -> str:
        return sha256_hex(f"{self._firm_id}|{subject}".encode())
