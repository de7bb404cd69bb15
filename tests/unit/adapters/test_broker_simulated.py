from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from regime_trading.adapters.broker.simulated import SimulatedBroker
from regime_trading.core.schemas import InstrumentSpec, Order, OrderStatus, PriceWindow, Receipt
from regime_trading.engine.fills import FillCosts

DAY = 86_400_000_000_000
TS = np.arange(1, 5, dtype=np.int64) * DAY
CLOSE = np.array([[10.0, 20.0], [11.0, np.nan], [12.0, 22.0], [13.0, 23.0]])


class Source:
    def __init__(self, opens: np.ndarray | None = None) -> None:
        self._bars = PriceWindow(("A", "B"), TS, CLOSE, open=opens)

    def window(self, until: int | None = None, symbols: tuple[str, ...] | None = None) -> PriceWindow:
        bars = self._bars if until is None else self._bars.until(until)
        return bars.select(symbols or bars.symbols)


class Ledger:
    def __init__(self, as_of_ns: int, *orders: Order) -> None:
        self._as_of_ns, self._orders = as_of_ns, orders
        self.marked: list[tuple[Receipt, dict[str, OrderStatus]]] = []

    def load(self, account: str, before_ns: int) -> Any:
        state = type("State", (), {"as_of_ns": self._as_of_ns})
        return (state, None, self._orders) if self._as_of_ns < before_ns else None

    def mark_orders(self, receipt: Receipt, status_of: dict[str, OrderStatus]) -> None:
        self.marked.append((receipt, status_of))


def order(symbol: str, qty: str, leg: int = 1) -> Order:
    return Order(client_order_id=f"o{leg}", leg=leg, symbol=symbol, intent="entry", qty=Decimal(qty))


def broker(ledger: Ledger, source: Source | None = None, **spec: Any) -> SimulatedBroker:
    costs = FillCosts(fee_bps=1.0, slippage_bps=2.0, default_spread_bps=10.0)
    return SimulatedBroker(
        ledger,
        source or Source(),  # type: ignore[arg-type]
        costs,
        lambda symbol: InstrumentSpec(symbol=symbol, **spec),
    )


def test_an_order_fills_at_the_first_bar_after_its_decision_whenever_it_is_asked() -> None:
    for until in (TS[1], TS[2], TS[3]):
        (fill,) = broker(Ledger(int(TS[0]), order("A", "100"))).fills("f/a", int(until))
        assert (fill.symbol, fill.qty, fill.ts_ns) == ("A", 100.0, TS[1])
        assert fill.price == pytest.approx(11.0 * (1 + 7e-4))
        assert fill.fee == pytest.approx(100 * fill.price * 1e-4)


def test_a_sale_is_paid_less_and_the_declared_spread_counts() -> None:
    (fill,) = broker(Ledger(int(TS[0]), order("A", "-100")), spread_bps=Decimal(30)).fills("f/a", int(TS[1]))
    assert fill.price == pytest.approx(11.0 * (1 - 17e-4))


def test_the_open_is_traded_where_the_source_has_one() -> None:
    opens = CLOSE - 0.5
    (fill,) = broker(Ledger(int(TS[0]), order("A", "1")), Source(opens)).fills("f/a", int(TS[1]))
    assert fill.price == pytest.approx(10.5 * (1 + 7e-4))


def test_nothing_fills_before_the_next_bar_without_a_price_or_without_orders() -> None:
    assert broker(Ledger(int(TS[3]), order("A", "1"))).fills("f/a", int(TS[3]) + 1) == ()
    assert broker(Ledger(int(TS[0]))).fills("f/a", int(TS[1])) == ()
    ledger = Ledger(int(TS[0]), order("B", "5"), order("A", "1", 2))
    assert [fill.client_order_id for fill in broker(ledger).fills("f/a", int(TS[3]))] == ["o2"]


def test_accepted_orders_are_marked_as_sent() -> None:
    ledger, receipt = Ledger(0), Receipt("c", 1, "0" * 64)
    broker(ledger).submit("f/a", (order("A", "1"), order("B", "2", 2)), receipt)
    assert ledger.marked == [(receipt, {"o1": OrderStatus.SENT, "o2": OrderStatus.SENT})]
