"""The public request: what another engine or bot sends before its orders may leave (``contracts.md`` 5).

Reading one is ``core.request_reading``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from regime_trading.core.instants import Instant, instant_text, named
from regime_trading.core.portfolio import (
    Amount,
    Count,
    Currency,
    NonNegative,
    Positive,
    each_once,
    no_switch,
)
from regime_trading.core.rules import LATCHING_RULES, RULE_IDS, Frozen
from regime_trading.core.schemas import (
    AccountState,
    Confidence,
    InstrumentSpec,
    PortfolioSnapshot,
    Proposal,
    RegimeLabel,
    Symbol,
)
from regime_trading.core.settings import AccountName, ScheduledEvent

DAY_S = 86_400
MOST_RUNGS = 8  #: of a drawdown ladder
FIRST_NS = 10**17  #: March 1973; a smaller number is seconds or milliseconds by mistake

Measured = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(no_switch)]
VenueStatus = Literal["open", "auction", "halted", "limit_locked", "closed", "unknown"]
Said = Literal["close", "quotes", "volume", "status", "fx", "instruments"]
ALL_SAID: tuple[Said, ...] = ("close", "quotes", "volume", "status", "fx", "instruments")


# --- the market -------------------------------------------------------------------------------------------


class Quote(Frozen):
    """The last quote or price of one symbol.

    ``ts`` is when it happened, ``received`` when it arrived (``ts`` where left out). ``reference`` is the last clean
    mark before it, the account's own last one where left out. ``frozen_updates`` updates in a row had this price while
    the reference market moved by ``reference_sigmas``.
    """

    symbol: Symbol
    bid: Amount | None = None
    ask: Amount | None = None
    last: Amount | None = None
    ts_ns: Instant | None = named("ts", None)
    received_ns: Instant | None = named("received", None)
    reference: Positive | None = None
    frozen_updates: Count = 0
    reference_sigmas: NonNegative = Decimal(0)


ReturnsIn = Literal["price", "account"]
"""Currency of returns: each price's own, or the account's."""


class Covariance(Frozen):
    """Covariance of returns, rows and columns in the order of ``symbols``, then ``currencies``; null = not known.

    ``annualised`` False: of daily returns. ``n_obs`` returns stand behind it. The return of a currency is that of
    its rate in account currency. With ``returns_in`` "price" a symbol in another currency has the volatility of
    both; without a variance of that currency its own is not known. "account": the returns are those that an
    account of this currency has already, and currencies are not wanted.
    """

    symbols: Annotated[tuple[Symbol, ...], AfterValidator(each_once)]
    matrix: tuple[tuple[Measured | None, ...], ...]
    annualised: bool
    n_obs: Count
    currencies: Annotated[tuple[Currency, ...], AfterValidator(each_once)] = ()
    returns_in: ReturnsIn = "price"

    @property
    def names(self) -> tuple[str, ...]:
        """What the rows and columns are of."""
        return self.symbols + self.currencies

    @model_validator(mode="after")
    def _square(self) -> Covariance:
        names = self.names
        n = len(names)
        if len(self.matrix) != n or any(len(row) != n for row in self.matrix):
            widths = sorted({len(row) for row in self.matrix})
            raise ValueError(f"expected {n} rows of {n} numbers, found {len(self.matrix)} rows of {widths}")
        for i, row in enumerate(self.matrix):
            if (own := row[i]) is not None and own < 0:
                raise ValueError(f"expected a variance ≥ 0 of {names[i]}, found {own}")
            for j in range(i):
                if row[j] != self.matrix[j][i]:
                    pair = f"{names[i]} and {names[j]}"
                    raise ValueError(
                        f"expected a symmetric matrix, found {row[j]} and {self.matrix[j][i]} for {pair}"
                    )
        _no_currencies_in_account(self.returns_in, self.currencies)
        return self


def _no_currencies_in_account(returns_in: ReturnsIn, currencies: tuple[str, ...]) -> None:
    if returns_in == "account" and currencies:
        raise ValueError(f"expected no currencies beside returns_in account, found {', '.join(currencies)}")


class Rate(Frozen):
    """An exchange rate, account currency per unit; a bare number is one of the time of the request."""

    rate: Amount
    ts_ns: Instant | None = named("ts", None)

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        return data if isinstance(data, Mapping | Rate) else {"rate": data}


class RegimeNow(Frozen):
    """The market regime as the sender sees it; it can only lower a limit."""

    label: RegimeLabel
    confidence: Confidence


class Shocks(Frozen):
    """``|15-minute return|`` over the standard deviation of such returns of the last day, per symbol and market."""

    market: NonNegative
    symbols: dict[Symbol, NonNegative] = Field(default_factory=dict)


class Gaps(Frozen):
    """Worst overnight fall and rise on record as the account feels them, currency included; fractions."""

    down: NonNegative
    up: NonNegative


class Scenarios(Frozen):
    """One-bar simple returns of the past, one row per scenario: of ``symbols``, then ``currencies``; null = missing.

    As in :class:`Covariance`: with ``returns_in`` "price" a symbol in another currency needs that currency's too.
    """

    symbols: Annotated[tuple[Symbol, ...], AfterValidator(each_once)]
    returns: tuple[tuple[Measured | None, ...], ...]
    currencies: Annotated[tuple[Currency, ...], AfterValidator(each_once)] = ()
    returns_in: ReturnsIn = "price"

    @model_validator(mode="after")
    def _aligned(self) -> Scenarios:
        n = len(self.symbols) + len(self.currencies)
        for at, row in enumerate(self.returns):
            if len(row) != n:
                raise ValueError(f"expected {n} returns in row {at}, found {len(row)}")
        _no_currencies_in_account(self.returns_in, self.currencies)
        return self


class ClockState(Frozen):
    """Offset of the sender's clock from its reference, milliseconds."""

    skew_ms: Amount


class SecondSource(Frozen):
    """Price of a second source, and for how long the two have differed; 0 = only just."""

    price: Positive
    diverging_s: NonNegative | None = None


class SessionClock(Frozen):
    """Seconds since the session opened and to its close."""

    since_open_s: NonNegative
    to_close_s: NonNegative


class Borrow(Frozen):
    """Whether a short can be borrowed, and its fee, a fraction a year."""

    status: Literal["none", "borrowable", "recalled", "unknown"]
    fee: NonNegative | None = None


class EarningsDays(Frozen):
    """Calendar days to the next and since the last earnings, dividend or ex-date; null = none."""

    in_days: NonNegative | None = None
    ago_days: NonNegative | None = None


def _once(items: tuple[Any, ...]) -> tuple[Any, ...]:
    each_once(tuple(item.symbol for item in items))
    return items


class MarketSnapshot(Frozen):
    """What the sender knows of the market at ``as_of``.

    Parameters
    ----------
    instruments, quotes, adv, status, fx
        By symbol, ``fx`` by currency. ``provides`` declares which of them the sender has: of what it has, a symbol
        without its entry is missing, and the rules that need it fail closed. What it does not have is listed as not
        evaluable; spread and average daily notional declared in ``instruments`` then stand in.
    covariance
        Symbols that are not in it have no known volatility, nor have those in a currency that is not in it.
    events
        Scheduled events; left out, those of the settings.
    regime
        Left out: uncertain.
    bar_s, session
        Length of the sender's bars, and the ordinal of the trading session (the day since 1970 where left out).
    shocks, betas, gaps, scenarios, clock, second_source, session_clock, borrow, earnings, correlation_shift_sigmas
        Optional: a section that is there is declared.
    """

    instruments: Annotated[tuple[InstrumentSpec, ...], AfterValidator(_once)] = ()
    quotes: Annotated[tuple[Quote, ...], AfterValidator(_once)] = ()
    adv: dict[Symbol, NonNegative] = Field(default_factory=dict)
    covariance: Covariance | None = None
    status: dict[Symbol, VenueStatus] = Field(default_factory=dict)
    fx: dict[Currency, Rate] = Field(default_factory=dict)
    events: tuple[ScheduledEvent, ...] | None = None
    regime: RegimeNow | None = None
    provides: tuple[Said, ...] = ALL_SAID
    bar_s: Annotated[int, Field(ge=1, le=31 * DAY_S)] = DAY_S
    session: Annotated[int, Field(ge=0, le=2**53)] | None = None
    shocks: Shocks | None = None
    betas: dict[Symbol, Amount] | None = None
    gaps: dict[Symbol, Gaps] | None = None
    scenarios: Scenarios | None = None
    clock: ClockState | None = None
    second_source: dict[Symbol, SecondSource] | None = None
    session_clock: dict[Symbol, SessionClock] | None = None
    borrow: dict[Symbol, Borrow] | None = None
    earnings: dict[Symbol, EarningsDays] | None = None
    correlation_shift_sigmas: Amount | None = None


# --- the request ------------------------------------------------------------------------------------------


class PMRequest(Frozen):
    """One proposal of one account, with everything it takes to decide it.

    With ``state`` the answer follows from the request and the configuration alone and nothing is stored; without it
    the account's state comes from the store and goes back there.
    """

    schema_version: Literal[1] = 1
    as_of_ns: Instant = named("as_of")
    account: AccountName
    portfolio: PortfolioSnapshot
    proposal: Proposal
    market: MarketSnapshot
    state: AccountState | None = None

    @model_validator(mode="before")
    @classmethod
    def _owner(cls, data: Any) -> Any:
        """A portfolio that names neither account nor time is that of the request."""
        if not isinstance(data, Mapping) or not isinstance(data.get("portfolio"), Mapping):
            return data
        book = dict(data["portfolio"])
        if "account" in data:
            book.setdefault("account", data["account"])
        moment = data.get("as_of", data.get("as_of_ns"))
        if "as_of" not in book and "as_of_ns" not in book and moment is not None:
            book["as_of"] = moment
        return {**data, "portfolio": book}

    @model_validator(mode="after")
    def _fits_together(self) -> PMRequest:
        problems = list(_mismatches(self))
        if problems:
            raise PydanticCustomError("request", "the parts do not fit together", {"problems": problems})
        return self


def _mismatches(request: PMRequest) -> Iterator[tuple[str, str, str]]:
    """What is wrong between the parts of a request: path, expected, found."""
    now, book, state = request.as_of_ns, request.portfolio, request.state
    if now < FIRST_NS:
        yield "as_of", "nanoseconds since 1970", str(now)
        return
    if "complete" not in request.proposal.model_fields_set:
        yield "proposal.complete", "true (symbols not named are to be 0) or false (they are kept)", "nothing"
    if book.account != request.account:
        yield "portfolio.account", request.account, book.account
    for path, moment in _moments(request):
        if moment > now:
            yield path, f"a time not after as_of {instant_text(now)}", instant_text(moment)
    if "close" not in request.market.provides:
        yield (
            "market.provides",
            "close among them: without prices nothing can be weighed",
            ", ".join(request.market.provides) or "none",
        )
    if state is not None:
        yield from _state_problems(request.account, state)


def _moments(request: PMRequest) -> Iterator[tuple[str, int]]:
    """Times that cannot lie after the request; a quote's may (its row is refused, not the request)."""
    book = request.portfolio
    yield "portfolio.as_of", book.as_of_ns
    yield "proposal.as_of", request.proposal.as_of_ns
    if request.state is not None:
        yield "state.as_of", request.state.as_of_ns
    if book.recon is not None and book.recon.checked_at is not None:
        yield "portfolio.recon.checked_at", book.recon.checked_at
    for n, position in enumerate(book.positions):
        if position.opened_at is not None:
            yield f"portfolio.positions[{n}].opened_at", position.opened_at
    for n, order in enumerate(book.working_orders or ()):
        if order.sent_at is not None:
            yield f"portfolio.working_orders[{n}].sent_at", order.sent_at
    for n, fill in enumerate((book.traffic.fills if book.traffic else None) or ()):
        yield f"portfolio.traffic.fills[{n}].ts", fill.ts_ns


def _state_problems(account: str, state: AccountState) -> Iterator[tuple[str, str, str]]:
    if state.account != account:
        yield "state.account", account, state.account
    for path in ("rung", "acknowledged_rung"):
        if not -1 <= getattr(state, path) < MOST_RUNGS:
            yield f"state.{path}", f"-1 to {MOST_RUNGS - 1}", str(getattr(state, path))
    latched = [("state.latches", latch.rule_id) for latch in state.latches]
    for path, rule_id in (*latched, *(("state.trips", name) for name in state.trips)):
        if rule_id not in LATCHING_RULES:
            yield path, "rules that latch", rule_id
    for path, names in (("state.unclean", state.unclean), ("state.timers", state.timers)):
        yield from ((path, "rule ids", name) for name in names if name not in RULE_IDS)
