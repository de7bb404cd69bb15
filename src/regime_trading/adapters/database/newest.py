"""Write-ahead rows and states of a firm as they are shown: newest first, and the last of each account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import ColumnElement, Engine, and_, collate, func, or_, select

from regime_trading.adapters.database.engine import reading
from regime_trading.adapters.database.ledger import orders_of, state_of
from regime_trading.adapters.database.tables import ACCOUNT_STATE, WAL
from regime_trading.core.audit import FIRM_ACCOUNT, require_account, require_firm
from regime_trading.core.errors import BadInput
from regime_trading.core.instants import EARLIEST_NS
from regime_trading.core.ladder import RunSpan
from regime_trading.core.record_query import EntryQuery, Key
from regime_trading.core.recorded import WRITE_AHEAD, Recorded
from regime_trading.core.schemas import EventType, Mode, PortfolioSnapshot
from regime_trading.core.stored_state import StoredState

_COLUMNS = (
    WAL.c.chain_id, WAL.c.seq, WAL.c.ts_event_ns, WAL.c.event_type, WAL.c.body, WAL.c.prev_hash, WAL.c.entry_hash
)  # fmt: skip


class SqlNewest:
    """Write-ahead rows of one firm, newest first.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    firm_id : str
        Tenant.
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)
        sqlite = engine.dialect.name == "sqlite"
        #: both databases compare chain names byte by byte, as Python does
        self._chain: ColumnElement[str] = WAL.c.chain_id if sqlite else collate(WAL.c.chain_id, "C")

    def newest(self, query: EntryQuery, before: Key | None, limit: int) -> list[Recorded]:
        """At most ``limit`` rows that may fit, newest first; what a body says is for the caller to look at."""
        w = WAL.c
        chosen = [w.firm_id == self._firm_id, w.ts_event_ns.between(query.from_ns, query.to_ns)]
        chosen.append(or_(*(w.chain_id.endswith(f"/{name}", autoescape=True) for name in _accounts(query))))
        if query.kinds:
            chosen.append(w.event_type.in_(query.kinds))
        if query.chain_id:
            chosen.append(w.chain_id == query.chain_id)
        if query.envs:
            chosen.append(or_(*(w.chain_id.startswith(f"{env}/", autoescape=True) for env in query.envs)))
        if before is not None:
            chosen.append(self._stands_before(before))
        order = (w.ts_event_ns.desc(), self._chain.desc(), w.seq.desc())
        statement = select(*_COLUMNS).where(*chosen).order_by(*order).limit(limit)
        with reading(self._engine) as connection:
            return [_recorded(*row) for row in connection.execute(statement)]

    def entry(self, chain_id: str, seq: int) -> Recorded | None:
        """One row; None where there is none."""
        own = (WAL.c.firm_id == self._firm_id, WAL.c.chain_id == chain_id, WAL.c.seq == seq)
        with reading(self._engine) as connection:
            row = connection.execute(select(*_COLUMNS).where(*own)).one_or_none()
        return None if row is None else _recorded(*row)

    def chains(self) -> Iterator[str]:
        """Chains of the firm that have rows."""
        statement = select(WAL.c.chain_id).where(WAL.c.firm_id == self._firm_id).distinct()
        with reading(self._engine) as connection:
            yield from connection.execute(statement).scalars()

    def spans(self, after: Mapping[tuple[str, str], int]) -> Iterator[RunSpan]:
        """Decisions of every dry run of every account that are later than ``after``, by run and account id."""
        w = WAL.c
        for chain in self.chains():
            env, *run, _, account = chain.split("/")
            if env != Mode.DRY_RUN:
                continue
            later = w.ts_event_ns > after.get((run[0], account), EARLIEST_NS)
            kind = w.event_type == EventType.DECISION.value
            statement = select(func.count(), func.min(w.ts_event_ns), func.max(w.ts_event_ns)).where(
                w.firm_id == self._firm_id, w.chain_id == chain, kind, later
            )
            with reading(self._engine) as connection:
                count, first_ns, last_ns = connection.execute(statement).one()
            if count:
                yield RunSpan(run[0], account, count, first_ns, last_ns)

    def _stands_before(self, key: Key) -> ColumnElement[bool]:
        ts_ns, chain, seq = WAL.c.ts_event_ns, self._chain, WAL.c.seq
        return or_(
            ts_ns < key.ts_event_ns,
            and_(ts_ns == key.ts_event_ns, chain < key.chain_id),
            and_(ts_ns == key.ts_event_ns, WAL.c.chain_id == key.chain_id, seq < key.seq),
        )


class SqlStates:
    """States in force of one firm's accounts, in every environment.

    Parameters
    ----------
    engine : Engine
    firm_id : str
        Tenant; accounts of any other firm are refused.
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)

    def latest(self, account: str, env: Mode) -> StoredState | None:
        """What the last decision of an account left; None where there is none.

        Raises
        ------
        BadInput
            An account of another firm.
        """
        firm_id, _, account_id = account.partition("/")
        if firm_id != self._firm_id:
            raise BadInput(expected=f"an account of firm {self._firm_id}", found=account, where="account")
        require_account(firm_id, account_id)
        s = ACCOUNT_STATE.c
        statement = (
            select(ACCOUNT_STATE)
            .where(s.firm_id == self._firm_id, s.env == env.value, s.account == account)
            .order_by(s.as_of_ns.desc(), s.state_no.desc())
            .limit(1)
        )
        with reading(self._engine) as connection:
            row = connection.execute(statement).mappings().one_or_none()
            if row is None:
                return None
            return StoredState(
                env=env,
                run_id=row["run_id"],
                decision_id=row["decision_id"],
                chain_id=row["chain_id"],
                seq=row["seq"],
                entry_hash=row["entry_hash"],
                state=state_of(connection, row),
                portfolio=PortfolioSnapshot.model_validate_json(row["portfolio"]),
                orders=tuple(orders_of(connection, self._firm_id, row["chain_id"], row["decision_id"])),
            )


def _accounts(query: EntryQuery) -> tuple[str, ...]:
    """Account ids whose chains may hold what fits; the acts of the firm name the accounts they are about."""
    return (*query.accounts, FIRM_ACCOUNT)


def _recorded(chain: str, seq: int, ts_ns: int, kind: str, body: bytes, before: str, own: str) -> Recorded:
    return Recorded(chain, seq, ts_ns, kind, "", body, before, own, WRITE_AHEAD)
