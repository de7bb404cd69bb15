"""A limit order book built from single orders (market by order)."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

BID, ASK = 0, 1

#: (price, size) of the best levels of bids and of asks
Top = tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]


@dataclass(slots=True)
class _Side:
    """Total size per price. Keys ascend from best to worst: the negated price of a bid, the price of an ask."""

    keys: list[int] = field(default_factory=list)
    sizes: dict[int, int] = field(default_factory=dict)

    def add(self, key: int, size: int) -> None:
        held = self.sizes.get(key)
        if held is None:
            insort(self.keys, key)
            held = 0
        self.sizes[key] = held + size

    def remove(self, key: int, size: int) -> None:
        left = self.sizes[key] - size
        if left > 0:
            self.sizes[key] = left
            return
        del self.sizes[key]
        del self.keys[bisect_left(self.keys, key)]


@dataclass(slots=True)
class OrderBook:
    """Orders of one instrument at one venue, and the levels they make.

    Parameters
    ----------
    unknown : int
        Cancellations of orders the book does not hold; they change nothing.
    """

    unknown: int = 0
    _orders: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    _sides: tuple[_Side, _Side] = field(default_factory=lambda: (_Side(), _Side()))

    def add(self, order_id: int, side: int, price: int, size: int) -> None:
        """A new order, or the new price and size of one that is there already: replaced, never added."""
        if order_id in self._orders:
            self._drop(order_id)
        if size <= 0:
            return
        key = price if side == ASK else -price
        self._orders[order_id] = (side, key, size)
        self._sides[side].add(key, size)

    def cancel(self, order_id: int, size: int) -> None:
        """Take ``size`` off an order, all of it at most."""
        order = self._orders.get(order_id)
        if order is None:
            self.unknown += 1
            return
        side, key, held = order
        if size >= held:
            self._drop(order_id)
            return
        self._orders[order_id] = (side, key, held - size)
        self._sides[side].remove(key, size)

    def clear(self, side: int | None = None) -> None:
        """No orders at all, or none on one side."""
        if side is None:
            self._orders.clear()
            self._sides = (_Side(), _Side())
            return
        for order_id in [i for i, order in self._orders.items() if order[0] == side]:
            self._drop(order_id)

    def top(self, levels: int) -> Top:
        """The best levels of both sides, fewer where the book has fewer."""
        bids, asks = self._sides
        return (
            tuple((-key, bids.sizes[key]) for key in bids.keys[:levels]),
            tuple((key, asks.sizes[key]) for key in asks.keys[:levels]),
        )

    def _drop(self, order_id: int) -> None:
        side, key, size = self._orders.pop(order_id)
        self._sides[side].remove(key, size)
