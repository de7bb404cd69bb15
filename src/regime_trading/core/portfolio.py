"""What an account holds and what its broker says of it. Part of ``core.schemas``.

Of everything optional, absent means *not said*: what a rule does without it is that rule's business. What is said of
orders, fills or margin must be whole: a part that is left out is missing, and the rules that need it fail closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from regime_trading.core.analysis import Symbol
from regime_trading.core.errors import BadInput
from regime_trading.core.instants import Instant, named
from regime_trading.core.rules import Frozen, Number

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3,5}$")]


def no_switch(value: Any) -> Any:
    """Refuse true and false where a number belongs."""
    if isinstance(value, bool):
        raise ValueError(f"expected a number, found {value}")
    return value


Count = Annotated[int, Field(ge=0, le=2**53), BeforeValidator(no_switch)]
Amount = Annotated[Number, Field(ge=-(10**18), le=10**18)]
Worked = Annotated[Number, Field(ge=-(10**200), le=10**200)]  #: what arithmetic on amounts may reach
Positive = Annotated[Number, Field(gt=0, le=10**18)]
NonNegative = Annotated[Number, Field(ge=0, le=10**18)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Side = Literal["buy", "sell"]
CASH_FORMS = ("one amount", "by currency")


def _cash_form(value: Any) -> str:
    return CASH_FORMS[isinstance(value, Mapping)]


Cash = Annotated[
    Annotated[Amount, Tag(CASH_FORMS[0])] | Annotated[dict[Currency, Amount], Tag(CASH_FORMS[1])],
    Discriminator(_cash_form),
]


def each_once(items: tuple[Symbol, ...]) -> tuple[Symbol, ...]:
    """Refuse a name that stands there twice."""
    twice = sorted({item for item in items if items.count(item) > 1}) if len(set(items)) < len(items) else []
    if twice:
        raise ValueError(f"expected every symbol once, found {', '.join(twice)} more than once")
    return items


class Position(Frozen):
    """Signed quantity and average entry price, quote currency.

    ``protective_stop`` is the price of its stop at the broker, null = it has none; where it is left out of every
    position, nobody tells of stops. ``opened_at`` is when the position was opened.
    """

    symbol: Symbol
    qty: Amount
    avg_price: Amount
    protective_stop: Positive | None = None
    opened_at: Instant | None = None


class WorkingOrder(Frozen):
    """An order that works at the broker; ``qty_open`` is what is not filled yet, without a sign."""

    client_order_id: Name
    symbol: Symbol
    side: Side
    qty_open: NonNegative
    type: Literal["market", "limit", "stop", "stop_limit"] = "limit"
    px: Positive | None = None
    intent: Literal["entry", "exit", "stop"]
    sent_at: Instant | None = None

    @property
    def signed(self) -> Decimal:
        """Open quantity, positive for a buy."""
        return self.qty_open if self.side == "buy" else -self.qty_open


class ReconDiff(Frozen):
    """A position on which the broker and the account's own books differ."""

    symbol: Symbol
    own_qty: Amount
    broker_qty: Amount


class Recon(Frozen):
    """The latest reconciliation with the broker.

    ``count`` is how many in a row were clean; ``equity_gap`` is ``|E_broker / E_own − 1|``, worked out from
    ``equity_broker`` where it is left out.
    """

    status: Literal["ok", "mismatch", "pending", "never"]
    count: Count = 0
    diff: tuple[ReconDiff, ...] = ()
    equity_gap: NonNegative | None = None
    checked_at: Instant | None = None


class RecentFill(Frozen):
    """One execution; ``entry_price`` is the average price of the position that it closed."""

    symbol: Symbol
    side: Side
    qty: Positive
    px: Positive
    ts_ns: Instant = named("ts")
    entry_price: Positive | None = None

    @property
    def signed(self) -> Decimal:
        """Quantity, positive for a buy."""
        return self.qty if self.side == "buy" else -self.qty


class SentOrder(Frozen):
    """An order that was sent within the last two seconds."""

    symbol: Symbol
    side: Side
    qty: Positive


class Traffic(Frozen):
    """Orders and fills of the account so far: counts over the last second, minute and trading day, fills of the
    trading day, orders sent in the last two seconds, smoothed slippage of its fills by symbol."""

    orders_1s: Count | None = None
    orders_60s: Count | None = None
    orders_day: Count | None = None
    rejects_60s: Count | None = None
    timeouts_60s: Count | None = None
    heartbeat_age_s: NonNegative | None = None
    fills: tuple[RecentFill, ...] | None = None
    sent: tuple[SentOrder, ...] | None = None
    slippage_bps: dict[Symbol, Amount] = Field(default_factory=dict)


def _unique_positions(positions: tuple[Position, ...]) -> tuple[Position, ...]:
    each_once(tuple(position.symbol for position in positions))
    return positions


def _unique_orders(orders: tuple[WorkingOrder, ...] | None) -> tuple[WorkingOrder, ...] | None:
    names = [order.client_order_id for order in orders or ()]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ValueError(f"expected every client_order_id once, found {', '.join(twice)} more than once")
    return orders


class PortfolioSnapshot(Frozen):
    """Positions and cash of one account at ``as_of``, with what its broker says.

    ``cash`` is an amount in account currency, or amounts by currency. ``equity`` is the sender's own figure,
    ``equity_broker`` the broker's; the smallest of what is known counts. ``balance`` is cash and what has been
    realised. ``flows_today`` are deposits less withdrawals since the reset of the trading day. ``violated``: the
    broker or the prop firm reports the account's rules broken.
    """

    account: str
    as_of_ns: Instant = named("as_of")
    cash: Cash
    positions: Annotated[tuple[Position, ...], AfterValidator(_unique_positions)] = ()
    equity: Amount | None = None
    equity_broker: Amount | None = None
    balance: Amount | None = None
    flows_today: Amount | None = None
    margin_used: NonNegative | None = None
    buying_power: NonNegative | None = None
    working_orders: Annotated[tuple[WorkingOrder, ...] | None, AfterValidator(_unique_orders)] = None
    recon: Recon | None = None
    traffic: Traffic | None = None
    violated: bool = False

    @property
    def plain_cash(self) -> Decimal:
        """Cash of an account that keeps one currency, as the ledger stores it.

        Raises
        ------
        BadInput
            Amounts by currency: only a request with their rates can add them up.
        """
        if isinstance(self.cash, dict):
            raise BadInput(
                expected="cash in account currency",
                found="amounts by currency",
                where=f"cash of {self.account}",
            )
        return self.cash
