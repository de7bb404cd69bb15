"""Account state, latches and pending orders, committed together with the audit entries that explain them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, and_, func, select, update

from regime_trading.adapters.database.audit_log import append_chain, require_chain_of
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.tables import ACCOUNT_STATE, LATCHES, OUTBOX
from regime_trading.core.audit import chain_id, require_account, require_firm
from regime_trading.core.canonical import canonical_bytes_trusted
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.instants import LATEST_NS
from regime_trading.core.schemas import (
    OPEN_ORDER_STATUSES,
    AccountState,
    AuditEvent,
    EventType,
    Latch,
    Mode,
    Order,
    OrderStatus,
    PortfolioSnapshot,
    Receipt,
)

_LATCH_FIELDS = ("rule_id", "trading_state", "release", "since_ns", "since_session", "until_ns", "detail")


class SqlLedger:
    """State of one firm's accounts in one environment. Accounts are named ``firm/account``.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    firm_id : str
        Tenant; accounts of any other firm are refused.
    env : Mode
        Dry-run state never mixes with that of shadow or live.
    """

    def __init__(self, engine: Engine, *, firm_id: str, env: Mode) -> None:
        self._engine, self._firm_id, self._env = engine, require_firm(firm_id), Mode(env)

    def load(
        self, account: str, before_ns: int
    ) -> tuple[AccountState, PortfolioSnapshot, tuple[Order, ...]] | None:
        """State in force strictly before ``before_ns`` and the orders of its decision that are still open.

        Of several decisions at one instant the one committed last is in force.

        Raises
        ------
        BadInput
            An account of another firm.
        """
        self._require_own(account)
        query = (
            select(ACCOUNT_STATE)
            .where(
                ACCOUNT_STATE.c.firm_id == self._firm_id,
                ACCOUNT_STATE.c.env == self._env.value,
                ACCOUNT_STATE.c.account == account,
                ACCOUNT_STATE.c.as_of_ns < before_ns,
            )
            .order_by(ACCOUNT_STATE.c.as_of_ns.desc(), ACCOUNT_STATE.c.state_no.desc())
            .limit(1)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
            if row is None:
                return None
            orders = _orders(connection, self._firm_id, row["chain_id"], row["decision_id"])
            return (
                _state(connection, row),
                PortfolioSnapshot.model_validate_json(row["portfolio"]),
                tuple(order for order, status in orders if status in OPEN_ORDER_STATUSES),
            )

    def load_beside(
        self, account: str, decided: str, as_of_ns: int
    ) -> tuple[AccountState, PortfolioSnapshot] | None:
        """State of ``account`` at or before ``as_of_ns``, as it was when ``decided`` was decided at that instant.

        Where ``decided`` was not decided at that instant, the state in force now. A decision that is made again so
        sees of other accounts what it saw the first time.

        Raises
        ------
        BadInput
            An account of another firm.
        """
        self._require_own(account)
        self._require_own(decided)
        at = select(func.min(ACCOUNT_STATE.c.state_no)).where(
            self._of(decided), ACCOUNT_STATE.c.as_of_ns == as_of_ns
        )
        query = (
            select(ACCOUNT_STATE)
            .where(
                self._of(account),
                ACCOUNT_STATE.c.as_of_ns <= as_of_ns,
                ACCOUNT_STATE.c.state_no < func.coalesce(at.scalar_subquery(), LATEST_NS),
            )
            .order_by(ACCOUNT_STATE.c.as_of_ns.desc(), ACCOUNT_STATE.c.state_no.desc())
            .limit(1)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
            if row is None:
                return None
            return _state(connection, row), PortfolioSnapshot.model_validate_json(row["portfolio"])

    def commit_decision(
        self,
        *,
        state: AccountState,
        portfolio: PortfolioSnapshot,
        orders: Sequence[Order],
        events: Sequence[AuditEvent],
        run_id: str,
        decision_id: str,
        newest_ns: int | None = None,
    ) -> Receipt:
        """Audit entries, state, latches and orders of one decision in one durable transaction.

        The same decision again returns the same receipt and changes nothing.

        Parameters
        ----------
        newest_ns : int, optional
            Time of the state that the decision was made from: a later one was made meanwhile.

        Raises
        ------
        BadInput
            An account of another firm, events that do not belong to it, or no DECISION among them.
        NotDurable
            Nothing was committed: a conflicting entry or decision, a state later than ``newest_ns``, or a database
            that cannot write.
        """
        self._require_own(state.account)
        chain = chain_id(self._env.value, run_id, *state.account.split("/"))
        _require_belonging(state, portfolio, events, run_id, self._env)
        with writing(self._engine) as connection:
            if newest_ns is not None:
                self._require_newest(connection, state.account, newest_ns)
            receipt = append_chain(connection, self._firm_id, chain, events)
            decision = _Decision(
                decision_id, run_id, self._firm_id, self._env, state, portfolio, orders, receipt
            )
            if not _already_committed(connection, decision):
                _insert(connection, decision)
        return receipt

    def decided(self, account: str, decision_id: str) -> bool:
        """Whether this decision of an account is committed.

        Raises
        ------
        BadInput
            An account of another firm.
        """
        self._require_own(account)
        query = select(ACCOUNT_STATE.c.state_no).where(
            self._of(account), ACCOUNT_STATE.c.decision_id == decision_id
        )
        with reading(self._engine) as connection:
            return connection.execute(query.limit(1)).scalar_one_or_none() is not None

    def _of(self, account: str) -> ColumnElement[bool]:
        return and_(
            ACCOUNT_STATE.c.firm_id == self._firm_id,
            ACCOUNT_STATE.c.env == self._env.value,
            ACCOUNT_STATE.c.account == account,
        )

    def _require_newest(self, connection: Connection, account: str, newest_ns: int) -> None:
        query = select(ACCOUNT_STATE.c.as_of_ns).where(
            self._of(account), ACCOUNT_STATE.c.as_of_ns > newest_ns
        )
        if connection.execute(query.limit(1)).scalar_one_or_none() is not None:
            raise NotDurable(f"{account} was decided by somebody else meanwhile; nothing was recorded")

    def mark_orders(self, receipt: Receipt, status_of: Mapping[str, OrderStatus]) -> None:
        """Move orders of the decision behind ``receipt`` to a new status, durably, all or none.

        An order never returns to ``NEW`` and never leaves a final status.

        Raises
        ------
        BadInput
            A receipt of another firm, an order it does not cover, or a step that is not allowed.
        NotDurable
            A database that cannot write.
        """
        require_chain_of(self._firm_id, receipt.chain_id)
        with writing(self._engine) as connection:
            for client_order_id in sorted(status_of):
                _mark(connection, self._firm_id, receipt, client_order_id, status_of[client_order_id])

    def _require_own(self, account: str) -> None:
        firm_id, _, account_id = account.partition("/")
        if firm_id != self._firm_id:
            raise BadInput(expected=f"an account of firm {self._firm_id}", found=account, where="account")
        require_account(firm_id, account_id)


@dataclass(frozen=True, slots=True)
class _Decision:
    decision_id: str
    run_id: str
    firm_id: str
    env: Mode
    state: AccountState
    portfolio: PortfolioSnapshot
    orders: Sequence[Order]
    receipt: Receipt


def _require_belonging(
    state: AccountState, portfolio: PortfolioSnapshot, events: Sequence[AuditEvent], run_id: str, env: Mode
) -> None:
    if portfolio.account != state.account:
        raise BadInput(
            expected=f"the portfolio of {state.account}", found=portfolio.account, where="portfolio"
        )
    for event in events:
        owner = (f"{event.firm_id}/{event.account_id}", event.run_id, event.env)
        if owner != (state.account, run_id, env):
            raise BadInput(
                expected=f"events of {state.account}, run {run_id}, {env}",
                found=" ".join(owner),
                where="events",
            )
    if not any(event.event_type == EventType.DECISION for event in events):
        raise BadInput(expected="a DECISION among the events", found="none", where="events")


def _already_committed(connection: Connection, decision: _Decision) -> bool:
    """Whether this decision is stored as it is; one stored differently raises ``NotDurable``."""
    query = select(ACCOUNT_STATE).where(
        ACCOUNT_STATE.c.firm_id == decision.firm_id,
        ACCOUNT_STATE.c.chain_id == decision.receipt.chain_id,
        ACCOUNT_STATE.c.decision_id == decision.decision_id,
    )
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return False
    orders = _orders(connection, decision.firm_id, row["chain_id"], row["decision_id"])
    same = (
        (row["seq"], row["entry_hash"]) == (decision.receipt.seq, decision.receipt.entry_hash)
        and _state(connection, row) == decision.state
        and row["portfolio"] == _text(decision.portfolio)
        and [order for order, _ in orders] == list(decision.orders)
    )
    if not same:
        raise NotDurable(f"decision {decision.decision_id} is committed with different content")
    return True


def _insert(connection: Connection, decision: _Decision) -> None:
    common = {"firm_id": decision.firm_id, "run_id": decision.run_id, "decision_id": decision.decision_id}
    proof = {"chain_id": decision.receipt.chain_id, "seq": decision.receipt.seq}
    proof |= {"entry_hash": decision.receipt.entry_hash}
    state = decision.state
    state_no = connection.execute(
        ACCOUNT_STATE.insert().returning(ACCOUNT_STATE.c.state_no),
        common
        | proof
        | {"account": state.account, "env": decision.env.value, "as_of_ns": state.as_of_ns}
        | {"state": _text(state.model_copy(update={"latches": ()})), "portfolio": _text(decision.portfolio)},
    ).scalar_one()
    key = {"state_no": state_no, "firm_id": decision.firm_id}
    latches = [key | {"position": i} | latch.model_dump(mode="json") for i, latch in enumerate(state.latches)]
    orders = [
        common
        | proof
        | {"account": state.account, "position": i, "client_order_id": order.client_order_id}
        | {"order_json": _text(order), "status": OrderStatus.NEW.value}
        for i, order in enumerate(decision.orders)
    ]
    for table, rows in ((LATCHES, latches), (OUTBOX, orders)):
        if rows:
            connection.execute(table.insert(), rows)


def _state(connection: Connection, row: RowMapping) -> AccountState:
    query = (
        select(*(LATCHES.c[name] for name in _LATCH_FIELDS))
        .where(LATCHES.c.state_no == row["state_no"], LATCHES.c.firm_id == row["firm_id"])
        .order_by(LATCHES.c.position)
    )
    latches = tuple(Latch.model_validate(dict(found)) for found in connection.execute(query).mappings())
    return AccountState.model_validate_json(row["state"]).model_copy(update={"latches": latches})


def _orders(
    connection: Connection, firm_id: str, chain: str, decision_id: str
) -> list[tuple[Order, OrderStatus]]:
    query = (
        select(OUTBOX.c.order_json, OUTBOX.c.status)
        .where(OUTBOX.c.firm_id == firm_id, OUTBOX.c.chain_id == chain, OUTBOX.c.decision_id == decision_id)
        .order_by(OUTBOX.c.position)
    )
    return [
        (Order.model_validate_json(text), OrderStatus(status)) for text, status in connection.execute(query)
    ]


def _mark(
    connection: Connection, firm_id: str, receipt: Receipt, client_order_id: str, status: OrderStatus
) -> None:
    key = and_(
        OUTBOX.c.firm_id == firm_id,
        OUTBOX.c.chain_id == receipt.chain_id,
        OUTBOX.c.client_order_id == client_order_id,
        OUTBOX.c.seq == receipt.seq,
        OUTBOX.c.entry_hash == receipt.entry_hash,
    )
    found = connection.execute(select(OUTBOX.c.status).where(key)).scalar_one_or_none()
    if found is None:
        raise BadInput(expected=f"an order of entry {receipt.seq}", found=client_order_id, where="orders")
    if found == status:
        return
    if found not in OPEN_ORDER_STATUSES or status == OrderStatus.NEW:
        raise BadInput(
            expected=f"a status that may follow {found}", found=status, where=f"order {client_order_id}"
        )
    connection.execute(update(OUTBOX).where(key).values(status=status.value))


def _text(schema: Any) -> str:
    """JSON with sorted keys."""
    return canonical_bytes_trusted(schema.model_dump(mode="json")).decode()
