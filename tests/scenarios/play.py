"""Plays a scenario file through the real cycle and compares every decision with what the file expects of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from regime_trading.adapters.yaml_text import read_yaml
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import to_nano
from regime_trading.core.risk_layers import LayerKind, RiskLayer
from regime_trading.core.risk_stack import apply_layer, default_stack, rule_models
from regime_trading.core.rules import LATCHING_RULES, RULE_IDS, Authority, Release, RuleParams, TradingState
from regime_trading.core.schemas import REGIME_LABELS, AccountState, InstrumentSpec, Order, PortfolioSnapshot
from regime_trading.core.settings import ScheduledEvent
from regime_trading.core.trading_day import EPOCH, trading_day_id
from regime_trading.engine.carry import Stored, carried_from, orders_of, portfolio_of, state_of
from regime_trading.engine.cycle import Carried, Cycle, Desk, Tick, firm_index, opening, step
from regime_trading.engine.facts import instruments_of
from regime_trading.engine.fills import FillCosts
from regime_trading.engine.market import event_distances, instrument_arrays
from regime_trading.engine.record import binding
from regime_trading.guards.chain import OUTCOMES
from regime_trading.guards.drawdown import release_latch
from regime_trading.guards.facts import STATUS_NAMES, quiet_signals
from regime_trading.guards.snapshot import (
    CROSSED_BOOK,
    HEALTHY_TAPE,
    LOCKED_BOOK,
    NO_LATCH,
    TWO_SIDED,
    Market,
    States,
    stack_params,
)
from regime_trading.tools.scenario_file import (
    BAR_S,
    EVERYONE,
    Account,
    Expected,
    Firm,
    Scenario,
    Step,
    instant_ns,
)

S = 1_000_000_000
BOOKS = {"two_sided": TWO_SIDED, "locked": LOCKED_BOOK, "crossed": CROSSED_BOOK}
ANNUAL = 252.0  #: volatilities are those of a day
WEIGHT, MONEY, FACTOR = 1e-6, 0.005, 1e-6


def load(path: Path) -> Scenario:
    """The scenario of a file; strict YAML, no unknown key."""
    return Scenario.model_validate(read_yaml(path)[0])


def rules_of(firm: Firm, account: Account) -> dict[str, RuleParams]:
    """Parameters of an account: platform defaults, then its firm's, then its own, as in ``traders.yaml``."""
    stack = default_stack()
    for kind, name, risk in (
        (LayerKind.FIRM, firm.id, firm.risk),
        (LayerKind.ACCOUNT, f"{firm.id}/{account.id}", account.risk),
    ):
        stack, findings = apply_layer(stack, RiskLayer(kind, name, risk))
        for one in findings:
            raise BadInput(expected=one.expected, found=one.found, where=f"{kind} {name} {one.path}")
    return rule_models(stack)


@dataclass(frozen=True)
class Played:
    """One step: what was expected, and what the cycle did."""

    step: Step
    cycle: Cycle
    carried: Carried


@dataclass
class Stage:
    """What stands from step to step: the last price and its age, volatility, proposals."""

    scenario: Scenario
    price: np.ndarray
    last_price: np.ndarray
    age: np.ndarray
    sigma: np.ndarray
    proposed: np.ndarray
    proposal_age: np.ndarray

    @classmethod
    def of(cls, scenario: Scenario) -> Stage:
        shape = (len(scenario.names), len(scenario.symbols))
        said = [scenario.instruments[symbol] for symbol in scenario.symbols]
        price = np.array([float(one.price) for one in said])
        return cls(
            scenario=scenario,
            price=price,
            last_price=price,
            age=np.zeros(shape[1]),
            sigma=np.array([float(one.sigma) for one in said]),
            proposed=np.zeros(shape),
            proposal_age=np.full(shape[0], np.nan),
        )

    def say(self, told: Step) -> None:
        """Take in what a step says."""
        symbols = self.scenario.symbols
        self.last_price = np.where(np.isfinite(self.price), self.price, self.last_price)
        self.price, self.sigma = self.last_price.copy(), self.sigma.copy()
        for symbol, price in told.prices.items():
            self.price[symbols.index(symbol)] = np.nan if price is None else float(price)
        for symbol, sigma in told.sigma.items():
            self.sigma[symbols.index(symbol)] = float(sigma)
        self.age = np.where(np.isfinite(self.price), 0.0, self.age + 1.0)
        self.proposed, self.proposal_age = self.proposed.copy(), self.proposal_age + 1.0
        for row, name in enumerate(self.scenario.names):
            weights = told.propose.get(name, told.propose.get(EVERYONE))
            if weights is not None:
                self.proposed[row] = [float(weights.get(symbol, Decimal(0))) for symbol in symbols]
                self.proposal_age[row] = 0.0


def market_at(stage: Stage, told: Step, ts_ns: int) -> Market:
    """The market of a step; what the scenario does not speak of is plain."""
    scenario = stage.scenario
    symbols, n = scenario.symbols, len(scenario.symbols)
    specs = [
        InstrumentSpec(symbol=symbol, group=scenario.instruments[symbol].group, spread_bps=Decimal(0))
        for symbol in symbols
    ]
    arrays = instrument_arrays(specs)
    rho = np.full((n, n), float(scenario.correlation))
    np.fill_diagonal(rho, 1.0)
    events = [
        ScheduledEvent(id=event.id, at=_utc(instant_ns(event.at, scenario.clock)), symbols=event.symbols)
        for event in scenario.events
    ]
    ahead, behind = event_distances(np.array([ts_ns]), symbols, events)
    status = [STATUS_NAMES.index(told.status.get(symbol, "open")) for symbol in symbols]
    date = dt.datetime.fromtimestamp(ts_ns // S, dt.UTC).date()
    return Market(
        ts_ns=ts_ns,
        bar_ns=BAR_S[scenario.bar] * S,
        session=int(np.busday_count("1970-01-01", date)),
        date=date,
        symbols=symbols,
        price=stage.price,
        ref_price=stage.last_price,
        age_bars=stage.age,
        sigma=stage.sigma,
        correlation=rho,
        n_obs=np.full(n, 300, dtype=np.int64),
        condition=10.0,
        completeness=np.ones(n),
        gap=np.zeros(n, dtype=np.int64),
        venue_open=np.array([told.status.get(symbol, "open") in ("open", "auction") for symbol in symbols]),
        adv=np.array([float(scenario.instruments[symbol].adv) for symbol in symbols]),
        spread_bps=np.zeros(n),
        book=np.array([BOOKS[told.book.get(symbol, "two_sided")] for symbol in symbols], dtype=np.int8),
        tape_grade=np.full(n, HEALTHY_TAPE, dtype=np.int8),
        group=arrays.group,
        n_groups=len(arrays.groups),
        lot=arrays.lot,
        multiplier=arrays.multiplier,
        fx=np.ones(n),
        to_event_s=ahead[0],
        since_event_s=behind[0],
        label=REGIME_LABELS.index(told.regime.label if told.regime else "trending"),
        confidence=float(told.regime.confidence) if told.regime else 0.9,
        provided=frozenset(scenario.source),
        annual=ANNUAL,
        instruments=instruments_of(specs)[0],
        signals=replace(quiet_signals(n), status=np.array(status, dtype=np.int8)),
    )


def _utc(ts_ns: int) -> str:
    return dt.datetime.fromtimestamp(ts_ns // S, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def desk_of(scenario: Scenario) -> Desk:
    """The accounts under their rules; no costs, and nobody who releases latches by himself."""
    names = tuple(f"{firm.id}/{account.id}" for firm, account in scenario.accounts)
    return Desk(
        accounts=names,
        firm=firm_index(names)[1],
        initial_capital=np.array([float(account.initial_capital) for _, account in scenario.accounts]),
        knobs=stack_params([rules_of(*both) for both in scenario.accounts], scenario.symbols),
        costs=FillCosts(0.0, 0.0, 0.0),
        annual=ANNUAL,
    )


def play(scenario: Scenario, *, restarts: bool = True) -> Iterator[Played]:
    """Every step through ``engine.cycle.step``; with ``restarts`` False the process is never interrupted."""
    desk, stage = desk_of(scenario), Stage.of(scenario)
    carried = opening(desk.initial_capital, len(scenario.symbols))
    last: Cycle | None = None
    for told, ts_ns in zip(scenario.steps, scenario.instants, strict=True):
        if told.restart and restarts:
            carried = restarted(desk, carried, last)
        carried = by_people(desk, scenario, carried, told)
        stage.say(told)
        market = market_at(stage, told, ts_ns)
        tick = Tick(
            market=market,
            fill_price=market.price,
            spread_bps=market.spread_bps,
            day_id=np.array([_day(account, ts_ns) for _, account in scenario.accounts], dtype=np.int64),
            flow=np.array([float(told.flows.get(name, Decimal(0))) for name in scenario.names]),
            proposed=to_nano(stage.proposed),
            mentioned=np.ones_like(stage.proposed, dtype=np.bool_),
            proposal_age_bars=stage.proposal_age,
        )
        last, carried = step(desk, carried, tick)
        yield Played(told, last, carried)


def _day(account: Account, ts_ns: int) -> int:
    return trading_day_id(
        ts_ns, dt.time.fromisoformat(account.trading_day.reset_at), account.trading_day.zone
    )


def by_people(desk: Desk, scenario: Scenario, carried: Carried, told: Step) -> Carried:
    """What people did since the last step: kills, and releases of latches that are held."""
    states = carried.states
    level = states.kill_level.copy()
    for name, kill in told.kill.items():
        row = scenario.names.index(name)
        level[row] = max(level[row], int(kill[1]))
    states = replace(states, kill_level=level)
    for unlocked in told.release:
        row, column = scenario.names.index(unlocked.account), LATCHING_RULES.index(unlocked.rule)
        assert states.latch_kind[row, column] > NO_LATCH, f"{told.at}: {unlocked.rule} holds nothing"
        k = desk.knobs["LD-02"]
        rebase = k["restart_policy"][row] == 0
        states = release_latch(states, row, column, int(k["ramp_sessions"][row]), rebase=bool(rebase))
    return replace(carried, states=states)


def restarted(desk: Desk, carried: Carried, last: Cycle | None) -> Carried:
    """The books as a new process finds them: everything through the stored form, as text, and back."""
    assert last is not None, "a restart before the first decision stores nothing"
    market, stored = last.view.market, []
    for row, account in enumerate(desk.accounts):
        state = state_of(carried.states, row, account, market.symbols, market.ts_ns, market.session)
        books = portfolio_of(carried.positions, row, account, market.symbols, market.ts_ns)
        orders = orders_of(last, row, f"{row:064d}")
        stored.append(
            Stored(
                AccountState.model_validate_json(state.model_dump_json()),
                PortfolioSnapshot.model_validate_json(books.model_dump_json()),
                tuple(Order.model_validate_json(order.model_dump_json()) for order in orders),
            )
        )
    return carried_from(stored, desk.initial_capital, market.symbols)


def different_states(one: States, other: States) -> list[str]:
    """Names of the parts in which two states differ; of latches that nobody holds only that counts."""

    def part(states: States, name: str) -> np.ndarray:
        values = getattr(states, name).astype(np.float64)
        told = name.startswith("latch_") and name not in ("latch_kind", "latch_trips")
        return np.where(states.latch_kind > NO_LATCH, values, np.nan) if told else values

    return [
        field.name
        for field in fields(States)
        if not np.array_equal(part(one, field.name), part(other, field.name), equal_nan=True)
    ]


def found(played: Played, row: int) -> dict[str, Any]:
    """The decision of one account in the words of :class:`Expected`."""
    d, states, symbols = played.cycle.decisions, played.cycle.latched_states, played.cycle.view.market.symbols
    target = np.nan_to_num(d.projection.target[row]) / 1e9
    return {
        "outcome": OUTCOMES[d.outcome[row]],
        "state": TradingState(int(d.mode[row])).name,
        "bind": [RULE_IDS[r] for r in binding(d, row)],
        "targets": dict(zip(symbols, target.tolist(), strict=True)),
        "steps": dict(zip(symbols, d.steps.step_qty[row].tolist(), strict=True)),
        "owed": {s: q for s, q in zip(symbols, d.steps.owed_qty[row].tolist(), strict=True) if q},
        "latches": {
            rule: Release(int(states.latch_kind[row, column])).name
            for column, rule in enumerate(LATCHING_RULES)
            if states.latch_kind[row, column] > NO_LATCH
        },
        "released": [r.rule_id for r in played.cycle.released if r.account == row],
        "authority": Authority(int(d.authority[row])).name,
        "equity": float(played.cycle.marks.equity[row]),
        "drawdown": float(d.rule_value[row, RULE_IDS.index("LD-02")]),
        "throttle": float(d.projection.throttle[row]),
        "budget_factor": float(d.projection.k[row]),
        "day": (EPOCH + dt.timedelta(days=int(states.day_id[row]))).isoformat(),
    }


def differences(expected: Expected, said: dict[str, Any]) -> list[str]:
    """What a decision has otherwise than expected, in words."""
    wrong = []

    def compare(what: str, want: Any, have: Any) -> None:
        if want != have:
            wrong.append(f"{what}: expected {want}, found {have}")

    compare("outcome", expected.outcome.value, said["outcome"])
    compare("state", TradingState(expected.state).name, said["state"])
    if expected.bind is not None:
        compare("bind", sorted(expected.bind), sorted(said["bind"]))
    else:
        missing = sorted(set(expected.bind_includes or ()) - set(said["bind"]))
        compare("bind_includes, not bound", [], missing)
    compare("latches", {rule: kind.name for rule, kind in sorted(expected.latches.items())}, said["latches"])
    compare("released", sorted(expected.released), sorted(said["released"]))
    for name in ("targets", "steps"):
        for symbol, value in getattr(expected, name).items():
            if abs(float(value) - said[name][symbol]) > WEIGHT:
                wrong.append(f"{name} {symbol}: expected {value}, found {said[name][symbol]:.9g}")
    compare("owed", {symbol: float(qty) for symbol, qty in expected.owed.items()}, said["owed"])
    for name, tolerance in (
        ("equity", MONEY),
        ("drawdown", FACTOR),
        ("throttle", FACTOR),
        ("budget_factor", FACTOR),
    ):
        value = getattr(expected, name)
        if value is not None and abs(float(value) - said[name]) > tolerance:
            wrong.append(f"{name}: expected {value}, found {said[name]:.9g}")
    if expected.authority is not None:
        compare("authority", Authority(expected.authority).name, said["authority"])
    if expected.day is not None:
        compare("day", expected.day, said["day"])
    return wrong
