"""What NautilusTrader's RiskEngine does in the scorecard's scenarios, one JSON object on standard output.

Runs in an environment of its own that has ``nautilus_trader`` and imports nothing of this project. The engine is
driven as a component: message bus, cache, test clock, portfolio, execution engine and the package's mock execution
client, which records what would go to the venue; fills are given as events. Every answer is read off the objects
after the call.

    python benchmarks/peers/nautilus.py
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import nautilus_trader
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.engine import ExecutionEngine
from nautilus_trader.execution.messages import SubmitOrder
from nautilus_trader.model.enums import (
    AccountType,
    OrderSide,
    TradingState,
    order_status_to_str,
    trading_state_to_str,
)
from nautilus_trader.model.events import AccountState
from nautilus_trader.model.identifiers import (
    AccountId,
    ClientId,
    ClientOrderId,
    PositionId,
    TraderId,
    VenueOrderId,
)
from nautilus_trader.model.instruments import CurrencyPair, Instrument
from nautilus_trader.model.objects import AccountBalance, Money, Price, Quantity
from nautilus_trader.model.orders import Order
from nautilus_trader.portfolio.base import PortfolioFacade
from nautilus_trader.portfolio.portfolio import Portfolio
from nautilus_trader.risk.config import RiskEngineConfig
from nautilus_trader.risk.engine import RiskEngine
from nautilus_trader.test_kit.mocks.exec_clients import MockExecutionClient
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.test_kit.stubs.data import TestDataStubs
from nautilus_trader.test_kit.stubs.events import TestEventStubs
from nautilus_trader.trading.strategy import Strategy

TRADER = TraderId("SCORECARD-001")


def small_pair(min_notional: str | None = None) -> CurrencyPair:
    """AUD/USD of the package's provider that trades in single units."""
    changed = TestInstrumentProvider.default_fx_ccy("AUD/USD").to_dict(
        TestInstrumentProvider.default_fx_ccy("AUD/USD")
    ) | {"min_quantity": "1", "lot_size": "1", "min_notional": min_notional}
    return CurrencyPair.from_dict(changed)


class Bench:
    """One engine with its own bus, cache, portfolio and recording client."""

    def __init__(self, instrument: Instrument, account_type: AccountType) -> None:
        self.clock, self.cache, self.instrument = TestClock(), Cache(database=None), instrument
        self.bus = MessageBus(trader_id=TRADER, clock=self.clock)
        parts = {"msgbus": self.bus, "cache": self.cache, "clock": self.clock}
        self.portfolio = Portfolio(**parts)
        self.execution = ExecutionEngine(**parts)
        self.risk = self.engine(self.portfolio)
        venue = instrument.id.venue
        self.client = MockExecutionClient(
            client_id=ClientId(venue.value),
            venue=venue,
            account_type=account_type,
            base_currency=instrument.quote_currency,
            **parts,
        )
        self.execution.register_client(self.client)
        self.portfolio.update_account(self.account_state(account_type))
        self.cache.add_instrument(instrument)
        self.execution.start()
        self.strategy = Strategy()
        self.strategy.register(trader_id=TRADER, portfolio=self.portfolio, **parts)
        self.fills = 0

    def engine(self, portfolio: PortfolioFacade) -> RiskEngine:
        """A risk engine over the same bus and cache."""
        return RiskEngine(portfolio=portfolio, msgbus=self.bus, cache=self.cache, clock=self.clock)

    def new_engine(self, portfolio: PortfolioFacade) -> RiskEngine:
        """Take the old one off the bus and make another in its place."""
        self.bus.deregister("RiskEngine.execute", self.risk.execute)
        self.bus.deregister("RiskEngine.process", self.risk.process)
        self.risk = self.engine(portfolio)
        self.risk.start()
        return self.risk

    def account_state(self, account_type: AccountType) -> AccountState:
        currency = self.instrument.quote_currency
        million = Money(1_000_000, currency)
        return AccountState(
            account_id=AccountId(f"{self.instrument.id.venue.value}-000"),
            account_type=account_type,
            base_currency=currency,
            reported=True,
            balances=[AccountBalance(million, Money(0, currency), million)],
            margins=[],
            info={},
            event_id=UUID4(),
            ts_event=0,
            ts_init=0,
        )

    def price(self, bid: float, ask: float) -> None:
        self.cache.add_quote_tick(TestDataStubs.quote_tick(self.instrument, bid_price=bid, ask_price=ask))

    def market(self, side: OrderSide, quantity: str, *, reduce_only: bool = False) -> Order:
        return self.strategy.order_factory.market(
            self.instrument.id, side, Quantity.from_str(quantity), reduce_only=reduce_only
        )

    def submit(self, order: Order, position: PositionId | None = None) -> dict[str, Any]:
        """Submit as a strategy does; says whether the order reached the client and what became of it."""
        before = len(self.client.commands)
        self.strategy.submit_order(order, position_id=position)
        denied = [e.reason for e in order.events if type(e).__name__ == "OrderDenied"]
        return {
            "reached_client": len(self.client.commands) > before,
            "status": order_status_to_str(order.status),
            "denied": denied[0] if denied else None,
        }

    def accept(self, order: Order) -> None:
        self.fills += 1
        account, venue_id = self.account_id(), VenueOrderId(str(self.fills))
        self.execution.process(TestEventStubs.order_submitted(order, account_id=account))
        self.execution.process(
            TestEventStubs.order_accepted(order, account_id=account, venue_order_id=venue_id)
        )

    def fill(self, order: Order, price: float, position: PositionId) -> None:
        self.accept(order)
        self.execution.process(
            TestEventStubs.order_filled(
                order,
                self.instrument,
                strategy_id=self.strategy.id,
                account_id=self.account_id(),
                venue_order_id=VenueOrderId(str(self.fills)),
                position_id=position,
                last_px=Price(price, self.instrument.price_precision),
            )
        )

    def account_id(self) -> AccountId:
        return AccountId(f"{self.instrument.id.venue.value}-000")

    def net(self) -> str:
        return str(self.portfolio.net_position(self.instrument.id))


POSITION = PositionId("P-1")


def long_hundred(account_type: AccountType, *, min_notional: str | None = None) -> Bench:
    bench = Bench(small_pair(min_notional), account_type)
    bench.price(0.99, 1.01)
    entry = bench.market(OrderSide.BUY, "100")
    bench.submit(entry)
    bench.fill(entry, 1.0, POSITION)
    assert Decimal(bench.net()) == 100
    return bench


def missing_price() -> dict[str, Any]:
    """A market order of 100,000 under a limit of 1,000 an order: without any price, then with one as a control."""
    found = {}
    for name, account_type in (("cash", AccountType.CASH), ("margin", AccountType.MARGIN)):
        bench = Bench(small_pair(), account_type)
        bench.risk.set_max_notional_per_order(bench.instrument.id, 1_000)
        found[f"{name}_without_price"] = bench.submit(bench.market(OrderSide.BUY, "100000"))
        bench.price(0.99, 1.01)
        found[f"{name}_with_price"] = bench.submit(bench.market(OrderSide.BUY, "100000"))
    return found


def oversize_exit() -> dict[str, Any]:
    """TradingState REDUCING, LONG 100, SELL 300; plain, and flagged reduce-only with and without the position's id."""
    found: dict[str, Any] = {}
    for name, flagged, position in (
        ("plain", False, None),
        ("reduce_only", True, None),
        ("reduce_only_with_position", True, POSITION),
    ):
        bench = long_hundred(AccountType.MARGIN)
        bench.risk.set_trading_state(TradingState.REDUCING)
        order = bench.market(OrderSide.SELL, "300", reduce_only=flagged)
        found[name] = bench.submit(order, position)
        if name == "plain" and found[name]["reached_client"]:
            bench.fill(order, 1.0, POSITION)
            found[name]["net_after_fill"] = bench.net()
        buy = bench.market(OrderSide.BUY, "100")
        found[name]["control_buy_while_net_position"] = bench.submit(buy)
    return found


def restart() -> dict[str, Any]:
    """The trading state before, and of a new engine over the same cache and bus."""
    found = {}
    for state in (TradingState.HALTED, TradingState.REDUCING):
        bench = long_hundred(AccountType.MARGIN)
        bench.risk.set_trading_state(state)
        before = bench.submit(bench.market(OrderSide.BUY, "100"))
        again = bench.new_engine(bench.portfolio)
        found[trading_state_to_str(state)] = {
            "buy_before": before,
            "state_after": trading_state_to_str(again.trading_state),
            "buy_after": bench.submit(bench.market(OrderSide.BUY, "100")),
        }
    return found


def small_exit() -> dict[str, Any]:
    """The whole position is worth less than the instrument's smallest notional; SELL all of it, reduce-only."""
    found = {}
    for name, account_type in (("cash", AccountType.CASH), ("margin", AccountType.MARGIN)):
        bench = long_hundred(account_type)
        changed = small_pair("1000 USD")
        bench.cache.add_instrument(changed)  # the venue raised it after the entry
        order = bench.market(OrderSide.SELL, "100", reduce_only=True)
        found[name] = bench.submit(order, POSITION)
    return found


def resend() -> dict[str, Any]:
    """An order without an answer, and a second one under the same client order id."""
    bench = Bench(small_pair(), AccountType.MARGIN)
    bench.price(0.99, 1.01)
    order = bench.market(OrderSide.BUY, "100")
    first = bench.submit(order)
    again = bench.strategy.order_factory.market(
        bench.instrument.id,
        OrderSide.BUY,
        Quantity.from_str("100"),
        client_order_id=ClientOrderId(order.client_order_id.value),
    )
    second = bench.submit(again)
    submits = sum(isinstance(command, SubmitOrder) for command in bench.client.commands)
    return {"first": first, "second": second, "submits_at_client": submits}


def halt_with_resting_order() -> dict[str, Any]:
    """A resting limit BUY, then HALTED: what reaches the client."""
    bench = Bench(small_pair(), AccountType.MARGIN)
    bench.price(0.99, 1.01)
    order = bench.strategy.order_factory.limit(
        bench.instrument.id, OrderSide.BUY, Quantity.from_str("100"), Price.from_str("0.90000")
    )
    bench.submit(order)
    bench.accept(order)
    before = len(bench.client.calls)
    bench.risk.set_trading_state(TradingState.HALTED)
    return {
        "calls_after_halt": bench.client.calls[before:],
        "resting": order_status_to_str(order.status),
        "next_order": bench.submit(bench.market(OrderSide.SELL, "100")),
    }


class Broken(PortfolioFacade):
    """A portfolio that raises where the engine asks for the net side."""

    def is_net_long(self, instrument_id: Any) -> bool:
        raise RuntimeError("injected")

    def is_net_short(self, instrument_id: Any) -> bool:
        raise RuntimeError("injected")


def exception_in_the_check() -> dict[str, Any]:
    """REDUCING and LONG 100; what the check asks for the net side raises; a BUY, then the exit."""
    found: dict[str, Any] = {}
    for name, side in (("entry", OrderSide.BUY), ("exit", OrderSide.SELL)):
        bench = long_hundred(AccountType.MARGIN)
        engine = bench.new_engine(Broken())
        engine.set_trading_state(TradingState.REDUCING)
        before, raised = len(bench.client.commands), None
        order = bench.market(side, "100")
        try:
            bench.submit(order)
        except Exception as error:
            raised = f"{type(error).__name__}: {error}"
        found[name] = {
            "raised_to_caller": raised,
            "reached_client": len(bench.client.commands) > before,
            "status": order_status_to_str(order.status),
            "state_after": trading_state_to_str(engine.trading_state),
        }
    return found


SCENARIOS: dict[int, Callable[[], dict[str, Any]]] = {
    1: missing_price,
    2: oversize_exit,
    3: restart,
    7: small_exit,
    9: resend,
    10: halt_with_resting_order,
    11: exception_in_the_check,
}


def attempt(scenario: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return scenario()
    except Exception as error:  # another version may have other names: say so, claim nothing
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    outcomes = {str(number): attempt(scenario) for number, scenario in SCENARIOS.items()}
    told = {
        "package": "nautilus_trader",
        "version": nautilus_trader.__version__,
        "settings": sorted(RiskEngineConfig.__struct_fields__),
    }
    print(json.dumps(told | outcomes))


if __name__ == "__main__":
    main()
