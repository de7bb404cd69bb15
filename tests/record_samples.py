"""Events, states and orders that the tests of the record share."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from regime_trading.core.audit import EventHeader, audit_event
from regime_trading.core.rules import Release, TradingState
from regime_trading.core.schemas import (
    AccountState,
    ActorType,
    AuditEvent,
    EventType,
    Latch,
    Mode,
    Order,
    PortfolioSnapshot,
    Position,
    RLBlock,
)

DAY_NS = 86_400_000_000_000
T0_NS = 631_843_200_000_000_000


def decision_id(seq: int, run_id: str = "run-1") -> str:
    return f"decision-{run_id}-{seq}"


def header(
    seq: int,
    *,
    firm: str = "alpha",
    account: str = "main",
    run_id: str = "run-1",
    env: Mode = Mode.DRY_RUN,
    event_type: EventType = EventType.DECISION,
    ts_event_ns: int | None = None,
) -> EventHeader:
    ts_ns = T0_NS + seq * DAY_NS if ts_event_ns is None else ts_event_ns
    return EventHeader(
        firm_id=firm,
        account_id=account,
        run_id=run_id,
        env=str(env),
        seq=seq,
        ts_event_ns=ts_ns,
        event_type=event_type,
        actor_type=ActorType.SERVICE,
        actor_id="portfolio_manager",
        feature_set_version="fs-1",
        config_hash="c" * 64,
        code_version="0.1.0",
        rule_id="CC-02",
        rationale="gross cap: 1.2 → 1.0",
        reason_codes=("CLAMPED",),
        correlation_id=decision_id(seq, run_id),
        ts_recorded_ns=None if env == Mode.DRY_RUN else ts_ns + 1_000,
    )


def event(seq: int, *, note: str = "", **where: object) -> AuditEvent:
    payload = {"decision_id": decision_id(seq, str(where.get("run_id", "run-1"))), "outcome": "resize"}
    payload |= {"target_w_e9": [seq, -seq, 250_000_000], "equity": f"{1_000_000 + seq}.5", "note": note}
    return audit_event(header(seq, **where), payload)  # type: ignore[arg-type]


def events(n: int, *, first: int = 1, **where: object) -> list[AuditEvent]:
    return [event(seq, **where) for seq in range(first, first + n)]


def latch(seq: int) -> Latch:
    return Latch(
        rule_id="LD-03",
        trading_state=TradingState.LOCKED,
        release=Release.DUAL,
        since_ns=T0_NS + seq * DAY_NS,
        since_session=seq,
        detail=f"drawdown at {seq}",
    )


def state(seq: int, *, account: str = "alpha/main", latches: tuple[Latch, ...] = ()) -> AccountState:
    equity = Decimal(1_000_000) + seq
    return AccountState(
        account=account,
        as_of_ns=T0_NS + seq * DAY_NS,
        initial_capital=Decimal(1_000_000),
        units=Decimal(10_000),
        unit_hwm=Decimal("100.25"),
        last_equity=equity,
        last_balance=equity,
        day_id=seq,
        day_anchor_balance=equity,
        day_anchor_equity=equity,
        day_flow=Decimal(0),
        session=seq,
        last_good_price={"AAPL": Decimal("12.5"), "MSFT": Decimal("0.1")},
        latches=latches,
    )


def portfolio(seq: int, *, account: str = "alpha/main") -> PortfolioSnapshot:
    held = Position(symbol="AAPL", qty=Decimal(seq), avg_price=Decimal("12.5"))
    return PortfolioSnapshot(
        account=account, as_of_ns=T0_NS + seq * DAY_NS, cash=Decimal("999.5"), positions=(held,)
    )


def orders(seq: int, run_id: str = "run-1") -> tuple[Order, ...]:
    return (
        Order(client_order_id=f"rt-{run_id}-{seq}-0", leg=0, symbol="AAPL", intent="exit", qty=Decimal("-5")),
        Order(
            client_order_id=f"rt-{run_id}-{seq}-1", leg=1, symbol="MSFT", intent="entry", qty=Decimal("2.5")
        ),
    )


def rl_block(rows: int = 6, *, first: int = 1, record: Any = "state", **changes: Any) -> RLBlock:
    seq = np.arange(first, first + rows, dtype=np.int64)
    columns = {
        "seq": seq,
        "ts_event_ns": T0_NS + seq * DAY_NS,
        "equity": 1e6 + seq / 3,
        "weights": np.where(seq[:, None] % 3 == np.arange(3), np.nan, seq[:, None] / 7),
        "mask": np.arange(rows * 2).reshape(rows, 2) % 2 == 0,
        "code": seq.astype(np.int8),
        "label": ["calm" if i % 2 else None for i in range(rows)],
        "state": np.array(["NORMAL", "LOCKED"])[seq % 2],
    }
    plain = {"firm_id": "alpha", "account_id": "main", "run_id": "run-1", "env": "dry_run"}
    return RLBlock(
        record,
        **(plain | {"feature_set_version": "fs-1", "columns": columns} | changes),  # type: ignore[arg-type]
    )
