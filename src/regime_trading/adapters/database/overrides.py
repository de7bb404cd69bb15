"""Session overrides of a firm: added, never changed, never removed; they end by themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import ValidationError
from sqlalchemy import Connection, Engine, select

from regime_trading.adapters.database.audit_log import append_chain
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.tables import SESSION_OVERRIDES
from regime_trading.core.audit import chain_of, require_firm
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.overrides import SessionOverride
from regime_trading.core.schemas import AuditEvent

Check = Callable[[tuple[SessionOverride, ...]], None]


class SqlOverrides:
    """Session overrides of one firm.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    firm_id : str
        Tenant; accounts of any other firm are refused.
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)

    def add(self, override: SessionOverride, check: Check, events: Sequence[AuditEvent] = ()) -> None:
        """Store an override durably, with the entries that tell of it in the same transaction; nothing happens where
        it is there already.

        Parameters
        ----------
        override : SessionOverride
        check : callable
            Sees what is stored of the account, within the same transaction, and refuses by raising.
        events : sequence of AuditEvent
            Consecutive entries of one chain of the firm.

        Raises
        ------
        BadInput
            An account of another firm, or what ``check`` raises.
        NotDurable
            A database that cannot write, or entries whose place is taken. Nothing was stored.
        """
        self._require_own(override.account)
        with writing(self._engine) as connection:
            stored = self._of(connection, override.account)
            if override in stored:
                return
            check(stored)
            insert_overrides(connection, self._firm_id, (override,))
            if events:
                append_chain(connection, self._firm_id, chain_of(events[0]), events)

    def of(self, account: str) -> tuple[SessionOverride, ...]:
        """Every override that was ever made of an account, oldest first.

        Raises
        ------
        BadInput
            An account of another firm.
        CheckFailed
            A stored override is no longer what was stored.
        """
        self._require_own(account)
        with reading(self._engine) as connection:
            return self._of(connection, account)

    def _of(self, connection: Connection, account: str) -> tuple[SessionOverride, ...]:
        query = (
            select(SESSION_OVERRIDES.c.override_id, SESSION_OVERRIDES.c.body)
            .where(SESSION_OVERRIDES.c.firm_id == self._firm_id, SESSION_OVERRIDES.c.account == account)
            .order_by(SESSION_OVERRIDES.c.created_at_ns, SESSION_OVERRIDES.c.override_id)
        )
        return tuple(_verified(name, body, account) for name, body in connection.execute(query))

    def _require_own(self, account: str) -> None:
        if account.split("/")[0] != self._firm_id:
            raise BadInput(expected=f"an account of firm {self._firm_id}", found=account, where="account")


def insert_overrides(connection: Connection, firm_id: str, overrides: Sequence[SessionOverride]) -> None:
    """Store new overrides of a firm, within the caller's transaction."""
    rows = [
        {
            "firm_id": firm_id,
            "override_id": override.override_id,
            "account": override.account,
            "created_at_ns": override.created_at_ns,
            "expires_at_ns": override.expires_at_ns,
            "body": override.model_dump_json(),
        }
        for override in overrides
    ]
    if rows:
        connection.execute(SESSION_OVERRIDES.insert(), rows)


def _verified(name: str, body: str, account: str) -> SessionOverride:
    try:
        override = SessionOverride.model_validate_json(body)
    except ValidationError as error:
        raise CheckFailed(
            f"session override {name} of {account}: cannot be read ({error.errors()[0]['msg']})"
        ) from error
    if (override.override_id, override.account) != (name, account):
        raise CheckFailed(f"session override {name} of {account}: it is no longer what was stored")
    return override
