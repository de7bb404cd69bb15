"""Small synthetic histories for tests of the engine: seeded prices, fixed proposals, default rules."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from regime_trading.core.numbers import to_nano
from regime_trading.core.rules import RULE_BY_ID, RULES, RuleParams
from regime_trading.core.schemas import InstrumentSpec
from regime_trading.core.settings import Operators
from regime_trading.core.traders import Lifecycle
from regime_trading.core.trading_day import trading_day_ids
from regime_trading.engine.attempts import attempt_terms
from regime_trading.engine.backtest import BasketPath, HistoryInputs
from regime_trading.engine.cycle import Desk, firm_index
from regime_trading.engine.facts import fact_path
from regime_trading.engine.fills import FillCosts
from regime_trading.engine.market import Correlations, MarketPath, last_known
from regime_trading.engine.record import Identity
from regime_trading.guards.snapshot import stack_params

FREE = FillCosts(0.0, 0.0, 0.0)
PEOPLE = Operators()
DAY_NS = 86_400 * 10**9
START_NS = int(dt.datetime(2001, 1, 2, 21, tzinfo=dt.UTC).timestamp()) * 10**9


def rules(**changes: Mapping[str, Any]) -> dict[str, RuleParams]:
    """Default parameters of every rule; ``CC_01={"max_weight": "0.5"}`` changes one."""
    made = {spec.rule_id: spec.params() for spec in RULES}
    for name, values in changes.items():
        rule_id = name.replace("_", "-")
        made[rule_id] = RULE_BY_ID[rule_id].params(**values)
    return made


#: Nothing but data checks: what a book would do without limits.
UNLIMITED: dict[str, Mapping[str, Any]] = {
    "LD_01": {"limit_pct": "unlimited"},
    "LD_02": {"ladder": []},
    "LD_08": {"enabled": False},
    "CC_13": {"max_leverage": "10"},
    "XL_01": {"max_notional_pct": "unlimited"},
    "XL_02": {"enabled": False},
    "XL_15": {"enabled": False},
    "XL_18": {"max_impact_bps": "unlimited"},
    "VT_01": {"sigma_target": "unlimited"},
    "CC_01": {"max_weight": "unlimited"},
    "CC_02": {"max_gross": "unlimited"},
    "CC_03": {"max_net": "unlimited"},
    "CC_04": {"max_group": "unlimited", "max_unclassified": "unlimited"},
    "CC_08": {"count": 1000},
    "XL_06": {"max_increase": "unlimited"},
    "XL_07": {"min_notional": "0", "dead_band": "0"},
}


def prices(n_bars: int, n: int, seed: int, daily_sd: float = 0.01) -> np.ndarray:
    """Correlated random walks from 100, float64 [T, N], on a grid of cents."""
    rng = np.random.default_rng(seed)
    moves = rng.normal(0.0003, daily_sd, (n_bars, n)) + rng.normal(0, daily_sd / 2, (n_bars, 1))
    return np.round(100.0 * np.exp(np.cumsum(moves, axis=0)), 2)


def market(close: np.ndarray, *, label: int = 0, confidence: float = 0.9, lot: float = 1.0) -> MarketPath:
    """A market path over daily bars in which everything but the prices is plain."""
    n_bars, n = close.shape
    before, age = last_known(close)
    ts_ns = START_NS + np.arange(n_bars, dtype=np.int64) * DAY_NS
    ones = np.ones((n_bars, n))
    rho = np.full((n, n), 0.3) + np.eye(n) * 0.7
    symbols = tuple(f"S{i:02d}" for i in range(n))
    facts = fact_path(
        [InstrumentSpec(symbol=symbol) for symbol in symbols],
        ts_ns,
        close,
        None,
        np.zeros(n_bars),
        np.arange(n_bars, dtype=np.int64),
        np.ones(n_bars, dtype=np.bool_),
        DAY_NS,
        None,
        (),
    )
    return MarketPath(
        symbols=symbols,
        bar_ns=DAY_NS,
        ts_ns=ts_ns,
        session=np.arange(n_bars, dtype=np.int64),
        close=close,
        fill_price=close,
        last_close=before,
        age_bars=age,
        sigma=ones * 0.01,
        n_obs=np.full((n_bars, n), 300, dtype=np.int64),
        completeness=ones,
        gap=np.zeros((n_bars, n), dtype=np.int64),
        adv=ones * 1e9,
        venue_open=np.ones(n_bars, dtype=np.bool_),
        to_event_s=ones * np.inf,
        since_event_s=ones * np.inf,
        label=np.full(n_bars, label, dtype=np.int8),
        confidence=np.full(n_bars, confidence),
        correlations=Correlations(np.array([0]), rho[None], np.array([10.0])),
        spread_bps=np.zeros((n_bars, n)),
        book=np.zeros((n_bars, n), dtype=np.int8),
        tape_grade=np.zeros((n_bars, n), dtype=np.int8),
        declared_spread_bps=np.zeros(n),
        group=np.arange(n, dtype=np.int64) % 3,
        groups=("a", "b", "c"),
        lot=np.full(n, lot),
        multiplier=np.ones(n),
        fx=np.ones(n),
        provided=frozenset({"close", "bars", "volume", "quotes", "status"}),
        facts=facts,
    )


def history(
    path: MarketPath,
    profiles: Sequence[Mapping[str, RuleParams]],
    *,
    accounts: Sequence[str] = ("north/a", "north/b", "south/c", "south/d"),
    weights: np.ndarray | None = None,
    capital: float = 100_000.0,
    costs: FillCosts = FREE,
    operators: Operators | None = PEOPLE,
    lifecycles: Sequence[Lifecycle | None] | None = None,
    flows: np.ndarray | None = None,
    run_id: str = "bt-test",
) -> HistoryInputs:
    """Inputs of a history; ``weights`` [K, N] are plain fractions, one proposal every five bars."""
    n_bars, n = path.close.shape
    accounts = tuple(accounts[: len(profiles)])
    rows = np.arange(0, n_bars, 5, dtype=np.int64)
    if weights is None:
        weights = np.full((len(rows), n), 0.9 / n)
    desk = Desk(
        accounts=accounts,
        firm=firm_index(accounts)[1],
        initial_capital=np.full(len(accounts), capital),
        knobs=stack_params(profiles, path.symbols),
        costs=costs,
        annual=252.0,
        operators=operators,
    )
    days = trading_day_ids(path.ts_ns, dt.time(17), "America/New_York")
    return HistoryInputs(
        desk=desk,
        market=path,
        baskets=(BasketPath("all", rows, to_nano(weights), np.ones(len(accounts))),),
        day_ids=np.repeat(days[:, None], len(accounts), axis=1),
        flows=np.zeros((n_bars, len(accounts))) if flows is None else flows,
        terms=attempt_terms([None] * len(accounts) if lifecycles is None else lifecycles),
        identities=tuple(Identity(*a.split("/"), run_id, "dry_run", "c" * 64, "0") for a in accounts),
        first=0,
        last=n_bars - 1,
    )
