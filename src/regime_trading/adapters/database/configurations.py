"""The last accepted configuration of each account of a firm, kept for the day on which the files are broken."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError
from sqlalchemy import Connection, Engine, delete, select

from regime_trading.adapters.database.audit_log import append_chain
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.tables import LAST_GOOD_CONFIGS
from regime_trading.core.audit import chain_of, require_firm
from regime_trading.core.config_status import LastGood
from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import AuditEvent
from regime_trading.core.trader_profile import TraderProfile


class SqlLastGood:
    """Last accepted configurations of one firm.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    firm_id : str
        Tenant; accounts of any other firm are refused.
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)

    def accept(
        self, profiles: Sequence[TraderProfile], now_ns: int, events: Sequence[AuditEvent] = ()
    ) -> None:
        """Remember configurations that were just accepted, all or none; an account has one.

        ``events`` are consecutive entries of one chain of the firm that tell of it, in the same transaction.

        Raises
        ------
        BadInput
            An account of another firm, or a configuration with session overrides in it.
        NotDurable
            A database that cannot write, or entries whose place is taken. Nothing was remembered.
        """
        require_acceptable(profiles, self._firm_id)
        with writing(self._engine) as connection:
            remember(connection, self._firm_id, profiles, now_ns)
            if events:
                append_chain(connection, self._firm_id, chain_of(events[0]), events)

    def get(self, account: str) -> LastGood | None:
        """The last accepted configuration of an account; None where there is none, or where it does not verify.

        It verifies where it still has the hash under which it was stored, under the rules as they are now.
        """
        table = LAST_GOOD_CONFIGS
        query = select(table.c.profile, table.c.config_hash, table.c.accepted_ns).where(
            table.c.firm_id == self._firm_id, table.c.account == account
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        try:
            profile = TraderProfile.model_validate_json(row.profile)
        except ValidationError:
            return None
        same = (profile.account, profile.config_hash) == (account, row.config_hash)
        return LastGood(profile, row.accepted_ns) if same else None

    def hashes(self) -> dict[str, str]:
        """Hash of the last accepted configuration of each account, whether it still verifies or not."""
        table = LAST_GOOD_CONFIGS
        query = select(table.c.account, table.c.config_hash).where(table.c.firm_id == self._firm_id)
        with reading(self._engine) as connection:
            return {row.account: row.config_hash for row in connection.execute(query)}

    def accounts(self) -> tuple[str, ...]:
        """Accounts that were accepted before, sorted."""
        table = LAST_GOOD_CONFIGS
        query = select(table.c.account).where(table.c.firm_id == self._firm_id).order_by(table.c.account)
        with reading(self._engine) as connection:
            return tuple(connection.execute(query).scalars())


def require_acceptable(profiles: Sequence[TraderProfile], firm_id: str) -> None:
    """Refuse accounts of another firm, and configurations with session overrides in them.

    Raises
    ------
    BadInput
        Any of these.
    """
    for profile in profiles:
        if profile.firm_id != firm_id:
            raise BadInput(expected=f"an account of firm {firm_id}", found=profile.account, where="account")
        if profile.session_overrides:
            raise BadInput(expected="no session overrides", found="some", where=profile.account)


def remember(connection: Connection, firm_id: str, profiles: Sequence[TraderProfile], now_ns: int) -> None:
    """Remember configurations that were accepted, within the caller's transaction."""
    table = LAST_GOOD_CONFIGS
    rows = [
        {
            "firm_id": firm_id,
            "account": profile.account,
            "accepted_ns": now_ns,
            "config_hash": profile.config_hash,
            "profile": profile.model_dump_json(),
        }
        for profile in profiles
    ]
    names = [profile.account for profile in profiles]
    connection.execute(delete(table).where(table.c.firm_id == firm_id, table.c.account.in_(names)))
    if rows:
        connection.execute(table.insert(), rows)
