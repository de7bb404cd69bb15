"""Account state, latches and pending orders, committed together with the audit entries that explain them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, and_, func, select, tuple_, update

from regime_trading.adapters.database.audit_log import append_chains, chunks, require_chain_of
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.group import group_of
from regime_trading.adapters.database.rl_rows import insert_rl, open_ends
from regime_trading.adapters.database.tables import ACCOUNT_STATE, LATCHES, OUTBOX
from regime_trading.core.audit import chain_id, require_account, require_firm, trail_of
from regime_trading.core.canonical import canonical_bytes_trusted
from regime_trading.core.commits import DecisionCommit
from regime_trading.core.errors import BadInput, NotDurable, Overtaken
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

_DECIDING = (EventType.DECISION, EventType.DEGRADED)
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
    announce_dry_runs : bool
        Tell the live channel of dry runs as well: of paced ones, which people watch. Shadow and live always tell.
    """

    def __init__(self, engine: Engine, *, firm_id: str, env: Mode, announce_dry_runs: bool = False) -> None:
        self._engine, self._firm_id, self._env = engine, require_firm(firm_id), Mode(env)
        self._dry_runs = announce_dry_runs

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
            orders = orders_of(connection, self._firm_id, row["chain_id"], row["decision_id"])
            return (
                state_of(connection, row),
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
            return state_of(connection, row), PortfolioSnapshot.model_validate_json(row["portfolio"])

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
        made = DecisionCommit(state, portfolio, orders, events, run_id, decision_id, newest_ns)
        return self.commit_decisions([made])[0]

    def commit_decisions(self, decisions: Sequence[DecisionCommit]) -> tuple[Receipt, ...]:
        """Decisions of many accounts in one durable transaction, all or none; a receipt each, in their order.

        As :meth:`commit_decision`, one after the other. Threads that commit at the same time share a COMMIT, without
        one's failure undoing another's.

        Raises
        ------
        BadInput, NotDurable
            As :meth:`commit_decision`, of any of them; none was committed.
        """
        named = [self._named(decision) for decision in decisions]

        def work(connection: Connection) -> tuple[Receipt, ...]:
            receipts: dict[int, Receipt] = {}
            for wave in _waves(named):
                receipts |= self._commit_wave(connection, wave)
            return tuple(receipts[i] for i in range(len(named)))

        return group_of(self._engine).run(work)

    def _named(self, decision: DecisionCommit) -> _Named:
        self._require_own(decision.state.account)
        chain = chain_id(self._env.value, decision.run_id, *decision.state.account.split("/"))
        _require_belonging(decision, self._env)
        return _Named(decision, chain)

    def _commit_wave(self, connection: Connection, wave: Mapping[int, _Named]) -> dict[int, Receipt]:
        """Decisions of different accounts."""
        self._require_newest(connection, [named.decision for named in wave.values()])
        chains = {named.chain: named.decision.events for named in wave.values()}
        receipts = append_chains(connection, self._firm_id, chains, announce_dry_runs=self._dry_runs)
        found = {
            i: _Decision(self._firm_id, self._env, named.decision, receipts[named.chain])
            for i, named in wave.items()
        }
        known = _committed(connection, self._firm_id, list(found.values()))
        for decision in found.values():
            if decision.key in known:
                _require_same_decision(connection, decision, known[decision.key])
        new = [decision for decision in found.values() if decision.key not in known]
        _insert(connection, new)
        return {i: decision.receipt for i, decision in found.items()}

    def open_ends(self, accounts: Sequence[str], run_id: str = "") -> dict[str, bytes]:
        """By account what its last decision at the gate, or in the run ``run_id``, left open in the RL dataset; nothing
        of one that never left rows there.

        Raises
        ------
        BadInput
            An account of another firm.
        """
        for account in accounts:
            self._require_own(account)
        env = self._env.value
        trails = {
            trail_of(env, run_id, *account.split("/")) if run_id else f"{env}/{account}": account
            for account in accounts
        }
        with reading(self._engine) as connection:
            found = open_ends(connection, self._firm_id, list(trails))
        return {trails[trail]: end for trail, end in found.items()}

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

    def _require_newest(self, connection: Connection, decisions: Sequence[DecisionCommit]) -> None:
        asked = {d.state.account: d.newest_ns for d in decisions if d.newest_ns is not None}
        for some in chunks(asked):
            query = (
                select(ACCOUNT_STATE.c.account, func.max(ACCOUNT_STATE.c.as_of_ns))
                .where(
                    ACCOUNT_STATE.c.firm_id == self._firm_id,
                    ACCOUNT_STATE.c.env == self._env.value,
                    ACCOUNT_STATE.c.account.in_(some),
                )
                .group_by(ACCOUNT_STATE.c.account)
            )
            for account, newest_ns in connection.execute(query):
                if newest_ns > asked[account]:
                    raise Overtaken(account)

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
class _Named:
    decision: DecisionCommit
    chain: str


@dataclass(frozen=True, slots=True)
class _Decision:
    firm_id: str
    env: Mode
    made: DecisionCommit
    receipt: Receipt

    @property
    def key(self) -> tuple[str, str]:
        """Chain and decision id."""
        return self.receipt.chain_id, self.made.decision_id


def _waves(named: Sequence[_Named]) -> list[dict[int, _Named]]:
    """The decisions by position, in groups in which each account occurs once, its first decision first."""
    waves: list[dict[int, _Named]] = []
    turns: dict[str, int] = {}
    for i, one in enumerate(named):
        turn = turns.get(one.decision.state.account, 0)
        turns[one.decision.state.account] = turn + 1
        if turn == len(waves):
            waves.append({})
        waves[turn][i] = one
    return waves


def _require_belonging(decision: DecisionCommit, env: Mode) -> None:
    account = decision.state.account
    if decision.portfolio.account != account:
        raise BadInput(
            expected=f"the portfolio of {account}", found=decision.portfolio.account, where="portfolio"
        )
    for event in decision.events:
        owner = (f"{event.firm_id}/{event.account_id}", event.run_id, event.env)
        if owner != (account, decision.run_id, env):
            raise BadInput(
                expected=f"events of {account}, run {decision.run_id}, {env}",
                found=" ".join(owner),
                where="events",
            )
    if not any(event.event_type in _DECIDING for event in decision.events):
        raise BadInput(expected="a DECISION among the events", found="none", where="events")


def _committed(
    connection: Connection, firm_id: str, decisions: Sequence[_Decision]
) -> dict[tuple[str, str], RowMapping]:
    """Rows of the decisions that are stored already, by chain and decision id."""
    found: dict[tuple[str, str], RowMapping] = {}
    for some in chunks(decision.key for decision in decisions):
        query = select(ACCOUNT_STATE).where(
            ACCOUNT_STATE.c.firm_id == firm_id,
            tuple_(ACCOUNT_STATE.c.chain_id, ACCOUNT_STATE.c.decision_id).in_(some),
        )
        for row in connection.execute(query).mappings():
            found[row["chain_id"], row["decision_id"]] = row
    return found


def _require_same_decision(connection: Connection, decision: _Decision, row: RowMapping) -> None:
    """Refuse a decision that is stored with other content."""
    made, receipt = decision.made, decision.receipt
    orders = orders_of(connection, decision.firm_id, row["chain_id"], row["decision_id"])
    same = (
        (row["seq"], row["entry_hash"]) == (receipt.seq, receipt.entry_hash)
        and state_of(connection, row) == made.state
        and PortfolioSnapshot.model_validate_json(row["portfolio"]) == made.portfolio
        and [order for order, _ in orders] == list(made.orders)
    )
    if not same:
        raise NotDurable(f"decision {made.decision_id} is committed with different content")


def _insert(connection: Connection, decisions: Sequence[_Decision]) -> None:
    """State, latches and orders of new decisions."""
    if not decisions:
        return
    connection.execute(ACCOUNT_STATE.insert(), [_state_row(decision) for decision in decisions])
    latched = [decision for decision in decisions if decision.made.state.latches]
    numbers = {
        key: row["state_no"] for key, row in _committed(connection, decisions[0].firm_id, latched).items()
    }
    latches = [
        {"state_no": numbers[decision.key], "firm_id": decision.firm_id, "position": i}
        | latch.model_dump(mode="json")
        for decision in latched
        for i, latch in enumerate(decision.made.state.latches)
    ]
    orders = [
        _common(decision)
        | {"position": i, "client_order_id": order.client_order_id}
        | {"order_json": _text(order), "status": OrderStatus.NEW.value}
        for decision in decisions
        for i, order in enumerate(decision.made.orders)
    ]
    for table, rows in ((LATCHES, latches), (OUTBOX, orders)):
        if rows:
            connection.execute(table.insert(), rows)
    insert_rl(connection, [(_whose(d), d.made.rl) for d in decisions if d.made.rl is not None])


def _whose(decision: _Decision) -> dict[str, Any]:
    made = decision.made
    return {
        "firm_id": decision.firm_id,
        "env": decision.env.value,
        "account": made.state.account,
        "run_id": made.run_id,
        "chain_id": decision.receipt.chain_id,
        "trail": trail_of(decision.env.value, made.run_id, *made.state.account.split("/")),
    }


def _common(decision: _Decision) -> dict[str, Any]:
    made, receipt = decision.made, decision.receipt
    return {
        "firm_id": decision.firm_id,
        "account": made.state.account,
        "run_id": made.run_id,
        "decision_id": made.decision_id,
        "chain_id": receipt.chain_id,
        "seq": receipt.seq,
        "entry_hash": receipt.entry_hash,
    }


def _state_row(decision: _Decision) -> dict[str, Any]:
    state = decision.made.state
    bare = state.model_copy(update={"latches": ()}) if state.latches else state
    return _common(decision) | {
        "env": decision.env.value,
        "as_of_ns": state.as_of_ns,
        "state": bare.model_dump_json(),
        "portfolio": decision.made.portfolio.model_dump_json(),
    }


def state_of(connection: Connection, row: RowMapping) -> AccountState:
    """The state of a row, its latches with it."""
    query = (
        select(*(LATCHES.c[name] for name in _LATCH_FIELDS))
        .where(LATCHES.c.state_no == row["state_no"], LATCHES.c.firm_id == row["firm_id"])
        .order_by(LATCHES.c.position)
    )
    latches = tuple(Latch.model_validate(dict(found)) for found in connection.execute(query).mappings())
    return AccountState.model_validate_json(row["state"]).model_copy(update={"latches": latches})


def orders_of(
    connection: Connection, firm_id: str, chain: str, decision_id: str
) -> list[tuple[Order, OrderStatus]]:
    """Orders of a decision in their order, with how far each has come."""
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
