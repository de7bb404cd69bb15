"""API tokens of a firm, by keyed hash."""

from __future__ import annotations

from sqlalchemy import Engine, RowMapping, delete, insert, select

from regime_trading.adapters.database.accounts import record
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.identity_tables import API_TOKENS
from regime_trading.core.access import Permission
from regime_trading.core.audit import require_firm
from regime_trading.core.errors import BadInput
from regime_trading.core.users import ApiToken, Told


class SqlApiTokens:
    """API tokens of one firm.

    Parameters
    ----------
    engine : Engine
    firm_id : str
        Tenant; tokens of any other firm are refused.
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)

    def add(self, token: ApiToken, token_hash: str, told: Told) -> None:
        """Store a token, with the entries that tell of it.

        Raises
        ------
        BadInput
            A token of another firm.
        NotDurable
            A database that cannot write. Nothing was stored.
        """
        if token.firm_id != self._firm_id:
            raise BadInput(expected=f"a token of firm {self._firm_id}", found=token.firm_id, where="token")
        row = {name: getattr(token, name) for name in ApiToken.__slots__} | {"token_hash": token_hash}
        row["permissions"] = sorted(permission.value for permission in token.permissions)
        row["accounts"] = None if token.accounts is None else sorted(token.accounts)
        with writing(self._engine) as connection:
            connection.execute(insert(API_TOKENS), row)
            record(connection, told)

    def all(self, user_id: str | None = None) -> tuple[ApiToken, ...]:
        """Tokens of a person, or of everybody in the firm, newest first; some may have expired."""
        query = select(API_TOKENS).where(API_TOKENS.c.firm_id == self._firm_id)
        if user_id is not None:
            query = query.where(API_TOKENS.c.user_id == user_id)
        query = query.order_by(API_TOKENS.c.created_ns.desc(), API_TOKENS.c.token_id)
        with reading(self._engine) as connection:
            return tuple(token_of(row._mapping) for row in connection.execute(query))

    def revoke(self, token_id: str, user_id: str | None, told: Told) -> None:
        """End a token, of ``user_id`` where one is named, with the entries that tell of it.

        Raises
        ------
        BadInput
            No such token.
        NotDurable
            A database that cannot write. Nothing was changed.
        """
        mine = (API_TOKENS.c.firm_id == self._firm_id) & (API_TOKENS.c.token_id == token_id)
        if user_id is not None:
            mine &= API_TOKENS.c.user_id == user_id
        with writing(self._engine) as connection:
            if connection.execute(delete(API_TOKENS).where(mine)).rowcount != 1:
                raise BadInput(expected="a token of yours", found="none", where=token_id)
            record(connection, told)


def token_of(row: RowMapping) -> ApiToken:
    """The token in a row; permissions this version does not know are left out."""
    known = {permission.value: permission for permission in Permission}
    fields = {name: row[name] for name in ApiToken.__slots__}
    fields["permissions"] = frozenset(known[name] for name in row["permissions"] if name in known)
    fields["accounts"] = None if row["accounts"] is None else frozenset(row["accounts"])
    return ApiToken(**fields)
