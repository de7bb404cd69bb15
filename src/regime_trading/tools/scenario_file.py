"""What a scenario file says: accounts with their rules, instruments, and steps, each with the decision it must bring.

Nothing is optional that a reader would miss: an unknown key, an account without an expectation, a time that does not
exist or occurs twice without saying which, all are errors.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from regime_trading.core.rules import (
    LATCHING_RULES,
    RULE_BY_ID,
    AuthorityName,
    Frozen,
    Number,
    ReleaseName,
    TradingStateName,
)
from regime_trading.core.rules.blackout import LocalTime, Zone
from regime_trading.core.schemas import Ident, Outcome, RegimeLabel, Symbol

BAR_S: dict[str, int] = {"1m": 60, "1h": 3_600, "1d": 86_400}
EVERYONE = "all"
_S = 1_000_000_000


def _rule(rule_id: str) -> str:
    if rule_id not in RULE_BY_ID:
        raise ValueError(f"expected the id of a rule, found {rule_id!r}")
    return rule_id


def _latching(rule_id: str) -> str:
    if rule_id not in LATCHING_RULES:
        raise ValueError(f"expected one of {', '.join(LATCHING_RULES)}, found {rule_id!r}")
    return rule_id


RuleId = Annotated[str, AfterValidator(_rule)]
LatchingRule = Annotated[str, AfterValidator(_latching)]
Prose = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
WallTime = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}(:\d{2})?$")]
Weights = dict[Symbol, Number]
Status = Literal["open", "auction", "halted", "limit_locked", "closed", "unknown"]


def instant_ns(at: str, zone: str, again: bool | None = None) -> int:
    """UTC nanoseconds of a wall clock time.

    Parameters
    ----------
    at : str
        ``2024-11-03 01:30`` or with seconds.
    zone : str
    again : bool, optional
        Of a time that occurs twice: the second (True) or the first (False).

    Raises
    ------
    ValueError
        The time does not exist; it occurs twice and ``again`` is not given; it occurs once and ``again`` is given.
    """
    wall, tz = dt.datetime.fromisoformat(at), ZoneInfo(zone)
    first, second = (int(wall.replace(tzinfo=tz, fold=fold).timestamp()) for fold in (0, 1))
    if dt.datetime.fromtimestamp(first, tz).replace(tzinfo=None) != wall:
        raise ValueError(f"at: expected a time that exists in {zone}, found {at}")
    if (again is None) is not (first == second):
        needed = "no `again`" if first == second else "`again`, for it occurs twice in that zone"
        raise ValueError(f"at: expected {needed}, found {at} with again = {again}")
    return (second if again else first) * _S


class Instrument(Frozen):
    """``price`` and ``sigma`` (of a day) until a step says otherwise; ``adv`` in account currency a day."""

    group: str
    price: Number
    sigma: Number = Field(gt=0)
    adv: Number = Field(gt=0)


class Day(Frozen):
    reset_at: LocalTime
    zone: Zone


class Account(Frozen):
    """``risk`` as it is written in ``traders.yaml``."""

    id: Ident
    initial_capital: Number = Field(gt=0)
    trading_day: Day
    risk: dict[str, Any] = Field(default_factory=dict)


class Firm(Frozen):
    id: Ident
    risk: dict[str, Any] = Field(default_factory=dict)
    accounts: tuple[Account, ...] = Field(min_length=1)


class Event(Frozen):
    """A scheduled event of high impact; ``at`` on the scenario's clock."""

    id: Ident
    at: WallTime
    symbols: tuple[Symbol, ...]


class Unlocked(Frozen):
    """A person releases one latch."""

    account: Ident
    rule: LatchingRule


class MarketRegimeSaid(Frozen):
    label: RegimeLabel
    confidence: Number = Field(ge=0, le=1)


class Expected(Frozen):
    """The decision of one account. Numbers that are not given are not compared, latches and rules always are.

    ``bind`` are all binding rules, ``bind_includes`` some of them. ``latches`` are held after the decision, by rule,
    with who may release them; ``released`` ended by time before it. ``day`` names the trading day.
    """

    outcome: Outcome
    state: TradingStateName
    why: Prose
    bind: tuple[RuleId, ...] | None = None
    bind_includes: tuple[RuleId, ...] | None = None
    targets: Weights = Field(default_factory=dict)
    steps: Weights = Field(default_factory=dict)
    owed: Weights = Field(default_factory=dict)
    latches: dict[LatchingRule, ReleaseName] = Field(default_factory=dict)
    released: tuple[LatchingRule, ...] = ()
    authority: AuthorityName | None = None
    equity: Number | None = None
    drawdown: Number | None = None
    throttle: Number | None = None
    budget_factor: Number | None = None
    day: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None

    @model_validator(mode="after")
    def _one_list(self) -> Expected:
        if (self.bind is None) is (self.bind_includes is None):
            raise ValueError("expected either bind or bind_includes")
        return self


class Step(Frozen):
    """One decision. Prices, volatilities and proposals stand until they are said anew; books and status do not.

    A price of null is one that is missing.
    """

    at: WallTime
    again: bool | None = None
    what: Prose
    prices: dict[Symbol, Number | None] = Field(default_factory=dict)
    sigma: dict[Symbol, Number] = Field(default_factory=dict)
    book: dict[Symbol, Literal["two_sided", "locked", "crossed"]] = Field(default_factory=dict)
    status: dict[Symbol, Literal["open", "auction", "halted", "limit_locked", "closed", "unknown"]] = Field(
        default_factory=dict
    )
    regime: MarketRegimeSaid | None = None
    propose: dict[Ident, Weights] = Field(default_factory=dict)
    flows: dict[Ident, Number] = Field(default_factory=dict)
    kill: dict[Ident, Literal["K1", "K2", "K3", "K4"]] = Field(default_factory=dict)
    release: tuple[Unlocked, ...] = ()
    restart: bool = False
    expect: dict[Ident, Expected]


class Scenario(Frozen):
    """A file. ``clock`` is the zone of every ``at``; ``source`` what the data source says (``contracts.md`` 3)."""

    title: Prose
    shows: Prose
    clock: Zone
    bar: Literal["1m", "1h", "1d"]
    source: tuple[str, ...] = ("close", "volume", "quotes", "status")
    correlation: Number = Field(ge=-1, le=1)
    instruments: dict[Symbol, Instrument] = Field(min_length=1)
    firms: tuple[Firm, ...] = Field(min_length=1)
    events: tuple[Event, ...] = ()
    steps: tuple[Step, ...] = Field(min_length=2)

    @property
    def accounts(self) -> tuple[tuple[Firm, Account], ...]:
        """Every account with its firm, in the order of the file."""
        return tuple((firm, account) for firm in self.firms for account in firm.accounts)

    @property
    def names(self) -> tuple[str, ...]:
        """Ids of the accounts."""
        return tuple(account.id for _, account in self.accounts)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Instruments, sorted."""
        return tuple(sorted(self.instruments))

    @property
    def instants(self) -> tuple[int, ...]:
        """UTC nanoseconds of the steps."""
        return tuple(instant_ns(step.at, self.clock, step.again) for step in self.steps)

    @model_validator(mode="after")
    def _hangs_together(self) -> Scenario:
        names = self.names
        if len(set(names)) < len(names):
            raise ValueError(f"firms: expected different account ids, found {', '.join(names)}")
        for before, after in pairwise(self.instants):
            if after <= before:
                raise ValueError("steps: expected times that rise")
        for number, step in enumerate(self.steps, start=1):
            for problem in _strangers(step, names, self.symbols):
                raise ValueError(f"step {number} ({step.at}): {problem}")
        for event in self.events:
            instant_ns(event.at, self.clock)
            if lost := sorted(set(event.symbols) - set(self.symbols)):
                raise ValueError(f"event {event.id}: expected known instruments, found {lost}")
        return self


def _strangers(step: Step, names: tuple[str, ...], symbols: tuple[str, ...]) -> Iterator[str]:
    """What a step says of accounts and instruments that are not there, and accounts it says nothing of."""
    if set(step.expect) != set(names):
        yield f"expected an expectation for {', '.join(names)}, found {', '.join(step.expect) or 'none'}"
    told = {
        *(n for n in step.propose if n != EVERYONE),
        *step.flows,
        *step.kill,
        *(unlocked.account for unlocked in step.release),
    }
    if lost := sorted(told - set(names)):
        yield f"expected known accounts, found {lost}"
    symbols_said = {*step.prices, *step.sigma, *step.book, *step.status}
    symbols_said |= {symbol for weights in step.propose.values() for symbol in weights}
    symbols_said |= {
        symbol for e in step.expect.values() for table in (e.targets, e.steps, e.owed) for symbol in table
    }
    if lost := sorted(symbols_said - set(symbols)):
        yield f"expected known instruments, found {lost}"
