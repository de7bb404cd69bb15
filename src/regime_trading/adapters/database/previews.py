"""Previews of commands, each used once, and what each person has commanded."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError
from sqlalchemy import Connection, Engine, delete, insert, select, update

from regime_trading.adapters.database.approval_tables import COMMAND_HISTORY, PREVIEWS
from regime_trading.adapters.database.audit_log import append_chain
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.messages import publish
from regime_trading.core.audit import chain_of, require_firm
from regime_trading.core.commands.policy import UNSAFE
from regime_trading.core.commands.previews import Done, Given, Preview, StoredPreview, Use
from regime_trading.core.errors import BadInput, CheckFailed, Conflict
from regime_trading.core.messages import Message
from regime_trading.core.schemas import AuditEvent

LONGEST_KEY = 200


class SqlPreviews:
    """Previews and command histories of one firm.

    Parameters
    ----------
    engine : Engine
    firm_id : str
        Tenant; previews of any other firm are refused.
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)

    def add(
        self,
        preview: Preview,
        given: Given,
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> None:
        """Store a preview and the line of history it makes.

        Raises
        ------
        BadInput
            A preview of another firm.
        NotDurable
            A database that cannot write, or a taken id. Nothing was stored.
        """
        if preview.firm_id != self._firm_id:
            raise BadInput(
                expected=f"a preview of firm {self._firm_id}", found=preview.firm_id, where="preview"
            )
        row = {
            "firm_id": self._firm_id,
            "preview_id": preview.preview_id,
            "account": preview.account,
            "klass": preview.klass.value,
            "action_hash": preview.action_hash,
            "expires_ns": preview.expires_ns,
            "body": preview.model_dump_json(),
        }
        with writing(self._engine) as connection:
            connection.execute(insert(PREVIEWS), row)
            remember(connection, self._firm_id, given)
            self._tell(connection, events, messages)

    def get(self, preview_id: str) -> StoredPreview | None:
        """A preview and its use; None where the firm has none of that id.

        Raises
        ------
        CheckFailed
            What is stored is no longer what was stored.
        """
        mine = (PREVIEWS.c.firm_id == self._firm_id) & (PREVIEWS.c.preview_id == preview_id)
        with reading(self._engine) as connection:
            row = connection.execute(select(PREVIEWS).where(mine)).mappings().one_or_none()
        if row is None:
            return None
        try:
            preview = Preview.model_validate_json(row["body"])
            done = None if row["done"] is None else Done.model_validate_json(row["done"])
        except ValidationError as error:
            raise CheckFailed(f"preview {preview_id}: what is stored cannot be read") from error
        if preview.action_hash != row["action_hash"]:
            raise CheckFailed(f"preview {preview_id}: it is no longer what was stored")
        return StoredPreview(preview, row["used_key"], done)

    def claim(self, use: Use) -> None:
        """Use a preview: the first use wins.

        Raises
        ------
        Conflict
            ``used``: it was used before, or voided.
        NotDurable
            A database that cannot write.
        """
        with writing(self._engine) as connection:
            claim(connection, self._firm_id, use)

    def finish(
        self,
        use: Use,
        done: Done,
        given: Given,
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> None:
        """Store how a claimed use ended, with what tells of it.

        Raises
        ------
        Conflict
            It was not claimed under this key, or has ended before.
        NotDurable
            A database that cannot write. Nothing was stored.
        """
        with writing(self._engine) as connection:
            finish(connection, self._firm_id, use, done)
            remember(connection, self._firm_id, given)
            self._tell(connection, events, messages)

    def void_loosening(self, account: str | None, now_ns: int) -> int:
        """Void unused previews of unsafe commands of an account and of the firm as a whole (None = all of the firm);
        how many went."""
        unsafe = PREVIEWS.c.klass.in_([klass.value for klass in UNSAFE])
        query = update(PREVIEWS).where(
            PREVIEWS.c.firm_id == self._firm_id, PREVIEWS.c.used_key.is_(None), unsafe
        )
        if account is not None:
            query = query.where(PREVIEWS.c.account.in_(["", account]))
        with writing(self._engine) as connection:
            return int(connection.execute(query.values(used_key="", used_ns=now_ns)).rowcount)

    def note(self, given: Given, events: Sequence[AuditEvent] = ()) -> None:
        """Remember a command that had no preview, with the entries that tell of it."""
        with writing(self._engine) as connection:
            remember(connection, self._firm_id, given)
            self._tell(connection, events, ())

    def history(self, user_id: str, limit: int = 100) -> tuple[Given, ...]:
        """What somebody commanded, the newest first."""
        h = COMMAND_HISTORY.c
        query = (
            select(h.user_id, h.ts_ns, h.command, h.klass, h.outcome)
            .where(h.firm_id == self._firm_id, h.user_id == user_id)
            .order_by(h.entry_no.desc())
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return tuple(Given(**row) for row in connection.execute(query).mappings())

    def drop_before(self, ts_ns: int) -> int:
        """Forget previews that expired before ``ts_ns``; how many went."""
        old = (PREVIEWS.c.firm_id == self._firm_id) & (PREVIEWS.c.expires_ns < ts_ns)
        with writing(self._engine) as connection:
            return int(connection.execute(delete(PREVIEWS).where(old)).rowcount)

    def _tell(
        self, connection: Connection, events: Sequence[AuditEvent], messages: Sequence[Message]
    ) -> None:
        if events:
            append_chain(connection, self._firm_id, chain_of(events[0]), events)
        publish(connection, self._firm_id, messages)


def require_key(key: str) -> str:
    """``key`` if it can be an idempotency key: 1 to 200 printable characters; raises ``BadInput`` otherwise."""
    if not (1 <= len(key) <= LONGEST_KEY and key.isprintable()):
        expected = f"a key of 1 to {LONGEST_KEY} printable characters"
        raise BadInput(expected=expected, found=f"{len(key)} characters", where="Idempotency-Key")
    return key


def claim(connection: Connection, firm_id: str, use: Use) -> None:
    """Use a preview within the caller's transaction; raises ``Conflict`` where it was used."""
    require_key(use.key)
    mine = (PREVIEWS.c.firm_id == firm_id) & (PREVIEWS.c.preview_id == use.preview_id)
    values = {"used_key": use.key, "used_ns": use.at_ns}
    query = update(PREVIEWS).where(mine, PREVIEWS.c.used_key.is_(None)).values(**values)
    if connection.execute(query).rowcount != 1:
        raise Conflict("used", f"preview {use.preview_id} was used or voided")


def finish(connection: Connection, firm_id: str, use: Use, done: Done) -> None:
    """Store how a use ended, within the caller's transaction."""
    mine = (PREVIEWS.c.firm_id == firm_id) & (PREVIEWS.c.preview_id == use.preview_id)
    open_ = (PREVIEWS.c.used_key == use.key) & PREVIEWS.c.done.is_(None)
    query = update(PREVIEWS).where(mine, open_).values(done=done.model_dump_json())
    if connection.execute(query).rowcount != 1:
        raise Conflict("used", f"preview {use.preview_id} is not in use under this key")


def remember(connection: Connection, firm_id: str, given: Given) -> None:
    """One line of somebody's history, within the caller's transaction."""
    row = {"firm_id": firm_id, "user_id": given.user_id, "ts_ns": given.ts_ns}
    row |= {"command": given.command, "klass": given.klass, "outcome": given.outcome}
    connection.execute(insert(COMMAND_HISTORY), row)
