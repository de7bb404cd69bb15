"""Budgets of attempts, shared by all processes, and what is counted before it is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, Engine, delete, insert, select, update

from regime_trading.adapters.database.accounts import record
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.identity_tables import LOGIN_THROTTLES, TALLIES
from regime_trading.core.audit import require_firm
from regime_trading.core.schemas import AuditEvent
from regime_trading.core.throttling import FORGET_NS, Budget, Tries, admit, given_back
from regime_trading.core.users import Tally, Told


class SqlThrottles:
    """Budgets of attempts, each by the hash of what it belongs to.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def admit(self, places: Sequence[tuple[str, Budget]], now_ns: int) -> int:
        """Charge each budget, or, where one is used up, none; how long to wait in nanoseconds, 0 = go on."""
        with writing(self._engine) as connection:
            connection.execute(delete(LOGIN_THROTTLES).where(LOGIN_THROTTLES.c.last_ns < now_ns - FORGET_NS))
            found = [(place, admit(_tries(connection, place), budget, now_ns)) for place, budget in places]
            refused = [(place, admission) for place, admission in found if admission.wait_ns]
            for place, admission in refused or found:
                _write(connection, place, admission.tries)
            return max((admission.wait_ns for _, admission in refused), default=0)

    def give_back(self, places: Sequence[str], *, whole: Sequence[str]) -> None:
        """Give back a try that succeeded; what is in ``whole`` is forgotten altogether."""
        with writing(self._engine) as connection:
            connection.execute(delete(LOGIN_THROTTLES).where(LOGIN_THROTTLES.c.place_hash.in_(whole)))
            for place in places:
                if (tries := _tries(connection, place)) is not None:
                    _write(connection, place, given_back(tries))


def _tries(connection: Connection, place: str) -> Tries | None:
    query = select(LOGIN_THROTTLES).where(LOGIN_THROTTLES.c.place_hash == place)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Tries(**{name: row[name] for name in Tries.__slots__})


def _write(connection: Connection, place: str, tries: Tries) -> None:
    connection.execute(delete(LOGIN_THROTTLES).where(LOGIN_THROTTLES.c.place_hash == place))
    connection.execute(insert(LOGIN_THROTTLES), {"place_hash": place} | asdict(tries))


class SqlTallies:
    """What happens again and again in one firm.

    Parameters
    ----------
    engine : Engine
    firm_id : str
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)

    def count(self, key: str, now_ns: int, window_ns: int) -> int | None:
        """Count one more within the window (None), or say how many wait to be recorded outside of it, this one left
        out."""
        mine = (TALLIES.c.firm_id == self._firm_id) & (TALLIES.c.key == key)
        within = mine & (TALLIES.c.since_ns > now_ns - window_ns)
        with writing(self._engine) as connection:
            more = update(TALLIES).where(within).values(waiting=TALLIES.c.waiting + 1)
            if connection.execute(more).rowcount:
                return None
            return connection.execute(select(TALLIES.c.waiting).where(mine)).scalar() or 0

    def start(self, tally: Tally, waiting: int, events: Sequence[AuditEvent]) -> bool:
        """Begin a window with the entries of what waited; False, and nothing, where somebody else was faster.

        Raises
        ------
        NotDurable
            A database that cannot write, or entries whose place is taken. Nothing was stored.
        """
        mine = (TALLIES.c.firm_id == self._firm_id) & (TALLIES.c.key == tally.key)
        with writing(self._engine) as connection:
            row = connection.execute(select(TALLIES.c.since_ns, TALLIES.c.waiting).where(mine)).one_or_none()
            if row is not None and (row[0] >= tally.since_ns or row[1] != waiting):
                return False
            if row is None and waiting:
                return False
            connection.execute(delete(TALLIES).where(mine))
            connection.execute(insert(TALLIES), {"firm_id": self._firm_id, "waiting": 0} | asdict(tally))
            record(connection, Told(tuple(events)))
            return True

    def due(self, before_ns: int) -> tuple[tuple[Tally, int], ...]:
        """Windows that began before an instant, and how many wait in each."""
        query = select(TALLIES).where(TALLIES.c.firm_id == self._firm_id, TALLIES.c.since_ns < before_ns)
        with reading(self._engine) as connection:
            return tuple(
                (Tally(**{name: row[name] for name in Tally.__slots__}), int(row["waiting"]))
                for row in connection.execute(query.order_by(TALLIES.c.key)).mappings()
            )

    def close(self, tally: Tally, waiting: int, events: Sequence[AuditEvent]) -> bool:
        """End a window with the entries of what waited; False, and nothing, where it has moved on.

        Raises
        ------
        NotDurable
            A database that cannot write, or entries whose place is taken. Nothing was changed.
        """
        mine = (TALLIES.c.firm_id == self._firm_id) & (TALLIES.c.key == tally.key)
        same = mine & (TALLIES.c.since_ns == tally.since_ns) & (TALLIES.c.waiting == waiting)
        with writing(self._engine) as connection:
            if connection.execute(delete(TALLIES).where(same)).rowcount != 1:
                return False
            record(connection, Told(tuple(events)))
            return True
