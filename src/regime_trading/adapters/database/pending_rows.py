"""RL rows of decisions that are not sealed yet."""

from __future__ import annotations

from sqlalchemy import Engine, delete, func, select

from regime_trading.adapters.database.audit_log import require_chain_of
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.tables import PENDING_RL_ROWS
from regime_trading.core.audit import require_firm


class SqlPendingRows:
    """RL rows of one firm that wait to be sealed; they come with the decisions (``SqlLedger.commit_decisions``).

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    firm_id : str
        Tenant; chains of any other firm are refused.
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)

    def last(self, chain_id: str) -> bytes | None:
        """Rows of the last decision of a chain, sealed or not; None where it has none."""
        query = select(PENDING_RL_ROWS.c.body).where(*self._of(chain_id))
        with reading(self._engine) as connection:
            found = connection.execute(query.order_by(PENDING_RL_ROWS.c.seq.desc()).limit(1))
            body: bytes | None = found.scalar_one_or_none()
            return body

    def until(self, chain_id: str, seq: int) -> tuple[bytes, ...]:
        """Rows of decisions whose entries go no further than ``seq``, in order."""
        query = select(PENDING_RL_ROWS.c.body).where(*self._of(chain_id), PENDING_RL_ROWS.c.seq <= seq)
        with reading(self._engine) as connection:
            return tuple(connection.execute(query.order_by(PENDING_RL_ROWS.c.seq)).scalars())

    def drop(self, chain_id: str, seq: int) -> None:
        """Forget the rows of :meth:`until`, which are sealed now; those of the last decision stay."""
        last = select(func.max(PENDING_RL_ROWS.c.seq)).where(*self._of(chain_id)).scalar_subquery()
        own = (*self._of(chain_id), PENDING_RL_ROWS.c.seq <= seq, PENDING_RL_ROWS.c.seq < last)
        with writing(self._engine) as connection:
            connection.execute(delete(PENDING_RL_ROWS).where(*own))

    def _of(self, chain_id: str) -> tuple[object, ...]:
        require_chain_of(self._firm_id, chain_id)
        return PENDING_RL_ROWS.c.chain_id == chain_id, PENDING_RL_ROWS.c.firm_id == self._firm_id
