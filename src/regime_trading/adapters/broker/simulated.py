"""The simulated broker: takes orders into the ledger's outbox and fills them at the next bar by ``engine.fills``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from regime_trading.core.numbers import F8
from regime_trading.core.ports import Ledger, MarketData
from regime_trading.core.schemas import Fill, InstrumentSpec, Order, OrderStatus, PriceWindow, Receipt
from regime_trading.engine.fills import FillCosts, fill_orders


class SimulatedBroker:
    """Broker of dry-run accounts of one firm over one source of bars.

    Parameters
    ----------
    ledger : Ledger
        Its outbox holds the orders that wait.
    source : MarketData
        An order trades at the open of the first bar after its decision, at the close where the source has no
        open.
    costs : FillCosts
    instrument : callable
        Specification by symbol: the declared spread and the multiplier.
    """

    def __init__(
        self,
        ledger: Ledger,
        source: MarketData,
        costs: FillCosts,
        instrument: Callable[[str], InstrumentSpec],
    ) -> None:
        self._ledger, self._source, self._costs, self._instrument = ledger, source, costs, instrument

    def submit(self, account: str, orders: Sequence[Order], receipt: Receipt) -> None:
        """Accept orders for the next bar; the same orders again change nothing.

        Raises
        ------
        BadInput
            Orders that the receipt does not cover.
        """
        self._ledger.mark_orders(receipt, {order.client_order_id: OrderStatus.SENT for order in orders})

    def fills(self, account: str, until_ns: int) -> tuple[Fill, ...]:
        """Executions of the waiting orders by the bars before or at ``until_ns``, in order of their legs.

        An order in a symbol that has no price at that bar, or a price beyond its limit, is not filled, then or later.

        Raises
        ------
        BadInput
            An account of another firm, or a symbol the source does not have.
        """
        stored = self._ledger.load(account, until_ns)
        if stored is None or not stored[2]:
            return ()
        state, _, orders = stored
        symbols = tuple(sorted({order.symbol for order in orders}))
        bars = self._source.window(until=until_ns, symbols=symbols)
        bar = int(np.searchsorted(bars.ts_ns, state.as_of_ns, side="right"))
        if bar == len(bars.ts_ns):
            return ()
        return self._fill(orders, _price(bars, bar), symbols, int(bars.ts_ns[bar]))

    def _fill(
        self, orders: Sequence[Order], price: F8, symbols: tuple[str, ...], ts_ns: int
    ) -> tuple[Fill, ...]:
        """One execution for each leg: its slices trade together at the bar's price, under the name of the first."""
        legs: dict[tuple[int, str], list[Order]] = {}
        for order in orders:
            legs.setdefault((order.leg, order.symbol), []).append(order)
        firsts = [slices[0] for slices in legs.values()]
        at = [symbols.index(order.symbol) for order in firsts]
        specs = [self._instrument(order.symbol) for order in firsts]
        spread = np.array([np.nan if s.spread_bps is None else float(s.spread_bps) for s in specs])
        asked = np.array([[float(sum(order.qty for order in slices)) for slices in legs.values()]])
        done = fill_orders(
            asked,
            price[at],
            spread,
            self._costs,
            np.array([float(s.multiplier) for s in specs]),
            np.array([[np.nan if o.limit_price is None else float(o.limit_price) for o in firsts]]),
        )
        return tuple(
            Fill(order.client_order_id, order.symbol, float(qty), float(paid), float(fee), ts_ns)
            for order, qty, paid, fee in zip(firsts, done.qty[0], done.price[0], done.fee[0], strict=True)
            if qty != 0
        )


def _price(bars: PriceWindow, bar: int) -> F8:
    return (bars.close if bars.open is None else bars.open)[bar]
