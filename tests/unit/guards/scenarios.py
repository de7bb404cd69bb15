"""Random markets, books, states and rule parameters, small enough to hit limits, ties and gaps often."""

from __future__ import annotations

import datetime as dt
import functools
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from tests.unit.guards.worlds import blackout, concentration, data_sanity, drawdown, liquidity, vol_target

from regime_trading.core.numbers import to_nano
from regime_trading.core.rules import LATCHING_RULES, RULES, FreezeWindow, Frozen, Release
from regime_trading.guards.snapshot import (
    Books,
    Market,
    States,
    View,
    fresh_states,
    nano_weights,
    stack_params,
)

ANNUAL = 252.0
WORLDS = (data_sanity, blackout, drawdown, vol_target, concentration, liquidity)
OWN_TRAITS = (
    "shorts", "pairs", "halts", "jumps", "gaps", "nan_proposal", "no_proposal", "unknown_sigma", "thin", "latched",
    "ladder", "losses", "bad_equity", "estimated", "unnamed", "working", "illiquid", "unclassified", "lists", "news",
    "stale", "odd_rho", "coarse_lots", "big_proposal", "switched_off", "tight", "frugal", "regime",
    "books", "costly", "odd_lots", "currencies",
)  # fmt: skip
TRAITS = (*OWN_TRAITS, *(trait for world in WORLDS for trait in world.TRAITS))


@dataclass
class Scene:
    """A view and the parameters that judge it."""

    view: View
    profiles: list[dict[str, Any]]
    knobs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.knobs = self.knobs or stack_params(self.profiles, self.view.market.symbols)

    def with_rules(self, **changes: dict[str, Any]) -> Scene:
        """The same view under changed parameters, ``CC_01={"max_weight": …}``, for every account."""
        profiles = [dict(profile) for profile in self.profiles]
        for profile in profiles:
            for key, values in changes.items():
                rule_id = key.replace("_", "-")
                profile[rule_id] = changed(profile[rule_id], **values)
        return Scene(self.view, profiles)

    def with_market(self, **changes: Any) -> Scene:
        return replace(self, view=replace(self.view, market=replace(self.view.market, **changes)))

    def with_books(self, **changes: Any) -> Scene:
        return replace(self, view=replace(self.view, books=replace(self.view.books, **changes)))

    def with_states(self, **changes: Any) -> Scene:
        return replace(self, view=replace(self.view, states=replace(self.view.states, **changes)))


def changed(params: Frozen, **values: Any) -> Frozen:
    """A validated copy; numbers may be given as text."""
    return type(params).model_validate(params.model_dump(mode="python") | values)


_DEFAULTS = {spec.rule_id: spec.params() for spec in RULES}


def defaults() -> dict[str, Any]:
    """The platform's parameters of every rule."""
    return dict(_DEFAULTS)


def scene(seed: int, n_accounts: int, n_assets: int, traits: frozenset[str] = frozenset()) -> Scene:
    """A random scene; a trait that is absent leaves its part of the world harmless."""
    r = np.random.default_rng(seed)

    def some(trait: str, p: float = 0.3, shape: Any = None) -> Any:
        shape = n_assets if shape is None else shape
        drawn = r.random(shape) < p
        return drawn if trait in traits else np.zeros_like(drawn)

    market = replace(
        _market(r, n_assets, some), **_quotes(np.random.default_rng((seed, 1)), n_assets, traits)
    )
    market = replace(market, **_currencies(np.random.default_rng((seed, 0)), market, traits))
    profiles = [_profile(r, market.symbols, traits) for _ in range(n_accounts)]
    books = _books(r, market, n_accounts, some)
    view = View(market, books, _states(r, market, books, some))
    for number, world in enumerate(WORLDS, start=2):  # each from numbers of its own
        own = np.random.default_rng((seed, number))
        view = world.vary(own, traits, view)
        for profile in profiles:
            world.tune(own, traits, functools.partial(_put, profile), functools.partial(_pick, own))
    return Scene(view, profiles)


def _put(profile: dict[str, Any], rule_id: str, **values: Any) -> None:
    profile[rule_id] = changed(profile[rule_id], **values)


def _pick(r: np.random.Generator, *options: Any) -> Any:
    return options[int(r.integers(len(options)))]


def _market(r: np.random.Generator, n: int, some: Any) -> Market:
    price = np.round(r.uniform(5, 300, n), 2)
    factor = r.normal(size=(80, 1)) * r.uniform(0, 1.5)
    sample = r.normal(size=(80, n)) * 1.0 + factor * r.choice([-1.0, 1.0], n)
    rho = np.clip(np.atleast_2d(np.corrcoef(sample.T)), -1, 1) if n else np.zeros((0, 0))
    odd = np.triu(some("odd_rho", 0.3, (n, n)), 1)
    rho = np.where(odd | odd.T, np.nan, rho)
    pairs = bool(some("pairs", 1.0, 1)[0])
    if pairs:  # alike, and proposed against each other: hedges matter
        rho = np.where(np.eye(n, dtype=np.bool_), 1.0, 0.95)
    late = (np.arange(n) % 2 == 1) & some("pairs", 0.4)
    sigma = np.where(
        some("unknown_sigma"), r.choice([np.nan, 0.0, -1.0, np.inf], n), r.uniform(0.004, 0.03, n)
    )
    far = np.full(n, np.inf)
    news = some("news", 0.4)
    return Market(
        ts_ns=10**18,
        bar_ns=86_400 * 10**9,
        session=100,
        date=dt.date(2020, 3, 2),
        symbols=tuple(f"S{i:02d}" for i in range(n)),
        price=np.where(some("gaps", 0.2), r.choice([np.nan, 0.0, -3.0, np.inf], n), price),
        ref_price=price * np.where(some("jumps"), 1.6, 1.0),
        age_bars=np.where(some("stale", 0.2), r.choice([1.5, 1.6, np.nan, np.inf, -1.0], n), 9.0 * late),
        sigma=sigma,
        correlation=rho,
        n_obs=np.where(some("thin"), r.choice([0, 30, 59, 60], n), 300).astype(np.int64),
        condition=float(r.choice([100.0, 2e6, np.nan])) if some("thin", 0.3, 1)[0] else 100.0,
        completeness=np.where(some("stale", 0.2), r.choice([0.95, 0.9, np.nan], n), 1.0),
        gap=np.where(some("stale", 0.1), 4, 0).astype(np.int64),
        venue_open=~some("halts"),
        adv=np.where(
            some("illiquid", 0.5),
            r.choice([np.nan, 0.0, -1.0, np.inf, 1e4, 1e5, 1e6], n),
            r.uniform(1e7, 1e9, n),
        ),
        spread_bps=np.full(n, 5.0),
        book=np.zeros(n, dtype=np.int8),
        tape_grade=np.zeros(n, dtype=np.int8),
        group=np.where(some("unclassified"), -1, r.integers(0, 3, n)).astype(np.int64),
        n_groups=3,
        lot=np.where(some("coarse_lots", 0.5), r.choice([0.0, 10.0, 100.0], n), 1.0),
        multiplier=np.ones(n),
        fx=np.ones(n),
        to_event_s=np.where(news, r.choice([0.0, 300.0, 301.0, np.nan], n), far),
        since_event_s=np.where(some("news", 0.2), r.choice([300.0, 600.0], n), far),
        label=int(r.integers(-1, 5)) if some("regime", 0.7, 1)[0] else 0,
        confidence=float(r.choice([0.9, 0.5, 0.4, np.nan])) if some("regime", 0.5, 1)[0] else 0.9,
        provided=frozenset({"close", "bars", "volume", "quotes", "status"}),
    )


def _currencies(r: np.random.Generator, market: Market, traits: frozenset[str]) -> dict[str, Any]:
    """Prices in other currencies, whose volatility is sometimes not known; from numbers of its own."""
    if "currencies" not in traits:
        return {}
    n = len(market.symbols)
    foreign, unknown = r.random(n) < 0.5, r.random((2, n)) < 0.3
    alone = np.where(foreign, market.sigma * r.uniform(0.4, 1.2, n), market.sigma)
    return {
        "sigma": np.where(foreign & unknown[0], np.nan, market.sigma),
        "price_sigma": np.where(foreign & unknown[1], np.nan, alone),
    }


def _quotes(r: np.random.Generator, n: int, traits: frozenset[str]) -> dict[str, Any]:
    """Wide, crossed and unknown books, broken tapes, and sources without quotes; from numbers of its own."""
    if "books" not in traits:
        return {}
    odd = r.random((3, n)) < 0.35
    source = frozenset({"close", "bars", "volume", "status"})
    measured = r.random() < 0.6
    stand_in = frozenset({"quotes"}) if r.random() < 0.7 else frozenset()
    wide = r.choice([30.0, 30.5, 60.0, 150.0, 151.0, 0.0, -2.0, np.nan, np.inf], n)
    return {
        "spread_bps": np.where(odd[0], wide, np.round(r.uniform(0, 30, n), 1)),
        "book": np.where(odd[1], r.choice([-1, 0, 1, 2], n), 0).astype(np.int8),
        "tape_grade": np.where(odd[2], r.choice([-1, 1, 2, 3], n), 0).astype(np.int8),
        "provided": source | {"quotes"} if measured else source,
        "substituted": frozenset() if measured else stand_in,
    }


def _weights(r: np.random.Generator, shape: tuple[int, int], some: Any, gross: float) -> Any:
    """Weights on a coarse grid (ties, exact limits) or fine, both sides where there are shorts."""
    size = r.dirichlet(np.ones(max(shape[1], 1)), shape[0])[:, : shape[1]] * gross
    size = np.where(r.random((shape[0], 1)) < 0.5, np.round(size / 0.05) * 0.05, size)
    size = np.where(r.random(shape) < 0.15, 0.0, size)
    against = (np.arange(shape[1]) % 2 == 1) & some("pairs", 1.0, shape)
    return size * np.where(some("shorts", 0.5, shape) ^ against, -1.0, 1.0)


def _books(r: np.random.Generator, market: Market, a: int, some: Any) -> Books:
    n = len(market.symbols)
    capital = np.round(r.uniform(2e4, 1e6, a), 2)
    last = market.ref_price
    lot = np.where(market.lot > 0, market.lot, 1.0)
    qty = np.trunc(_weights(r, (a, n), some, r.uniform(0, 1.2)) * capital[:, None] / last / lot) * lot
    qty = np.where(some("odd_lots", 0.5, (a, n)), qty + np.copysign(np.trunc(0.3 * lot), qty), qty)
    equity = np.where(
        some("losses", 0.6, a), capital * r.choice([0.99, 0.985, 0.982, 0.97, 0.9, 0.8], a), capital
    )
    equity = np.where(some("bad_equity", 0.5, a), r.choice([np.nan, 0.0, -500.0, np.inf, -np.inf], a), equity)
    proposed = to_nano(_weights(r, (a, n), some, r.uniform(0.2, 1.6)))
    proposed = np.where(some("big_proposal", 0.5, (a, 1)), proposed * 8, proposed)
    holes = some("nan_proposal", 0.5, (a, 1)) & some("nan_proposal", 0.4, (a, n))
    mentioned = ~some("unnamed", 0.3, (a, n))
    mark = np.where(np.isfinite(market.price) & (market.price > 0), market.price, np.nan)
    mark = np.where(some("estimated", 0.7, n) & np.isnan(mark), last * 0.9, mark)
    return Books(
        accounts=tuple(f"f{i % 2}/a{i}" for i in range(a)),
        firm=np.arange(a) % 2,
        equity=equity,
        balance=np.where(np.isfinite(equity), equity, capital),
        equity_estimated=some("estimated", 0.5, a),
        equity_age_bars=np.where(some("stale", 0.3, a), r.choice([1.0, 1.1, np.nan], a), 0.0),
        qty=qty,
        working_exit_qty=np.where(
            some("working", 0.5, (a, n)), np.trunc(np.abs(qty) * r.uniform(0, 1.2)), 0.0
        ),
        current=nano_weights(qty, mark, equity),
        proposed=np.where(holes, r.choice([np.nan, np.inf], (a, n)), np.where(mentioned, proposed, 0.0)),
        mentioned=mentioned,
        proposal_age_bars=np.where(some("no_proposal", 0.5, a), r.choice([np.nan, 7.0, 8.0, -1.0], a), 0.0),
    )


def _states(r: np.random.Generator, market: Market, books: Books, some: Any) -> States:
    a, n, latches = len(books.accounts), len(market.symbols), len(LATCHING_RULES)
    capital = np.where(np.isfinite(books.equity) & (books.equity > 0), books.equity, 1e5)
    start = np.where(
        some("losses", 0.7, a), np.round(capital * r.choice([1.0, 1.012, 1.02, 1.1], a), 2), capital
    )
    latched = some("latched", 0.1, (a, latches))
    return replace(
        fresh_states(start, n),
        initial_capital=np.where(some("bad_equity", 0.1, a), np.nan, start),
        unit_hwm=np.where(some("ladder", 0.7, a), r.choice([1.0, 1.05, 1.12, 1.2], a), 1.0),
        last_equity=capital,
        last_balance=capital,
        day_id=np.zeros(a, dtype=np.int64),
        day_anchor_equity=np.where(some("bad_equity", 0.1, a), np.nan, start),
        day_flow=np.where(some("losses", 0.2, a), 1000.0, 0.0),
        rung=np.where(some("ladder", 0.6, a), r.integers(-1, 4, a), -1),
        acknowledged_rung=np.where(some("ladder", 0.3, a), r.integers(-1, 4, a), -1),
        ramp_left=np.where(some("ladder", 0.3, a), r.integers(0, 11, a), 0),
        last_price=np.tile(market.ref_price, (a, 1)),
        last_sigma=np.where(r.random((a, n)) < 0.5, np.nan, r.uniform(0.01, 0.08, (a, n))),
        latch_kind=np.where(latched, r.integers(0, 6, (a, latches)), -1).astype(np.int8),
        latch_state=np.where(latched, r.integers(0, 4, (a, latches)), 0).astype(np.int8),
        latch_until_ns=np.where(latched, market.ts_ns + r.integers(0, 2, (a, latches)), 0),
    )


def _profile(r: np.random.Generator, symbols: tuple[str, ...], traits: frozenset[str]) -> dict[str, Any]:
    profile = defaults()

    def put(rule_id: str, **values: Any) -> None:
        profile[rule_id] = changed(profile[rule_id], **values)

    def pick(*options: Any) -> Any:
        return options[int(r.integers(len(options)))]

    if "tight" in traits:
        put("CC-01", max_weight=pick("0.05", "0.2", "0.5", "unlimited"))
        put("CC-02", max_gross=pick("0", "0.35", "0.8", "1", "unlimited"))
        put("CC-03", max_net=pick("0.05", "0.3", "1", "unlimited"))
        put(
            "CC-04",
            max_group=pick("0.1", "0.4", "unlimited"),
            max_unclassified=pick("0.05", "0.2", "unlimited"),
        )
        put("CC-08", count=pick(0, 1, 3, 10))
        put("VT-01", sigma_target=pick("0", "0.03", "0.08", "0.15", "unlimited"))
    else:
        put("CC-01", max_weight="0.5")
    if "frugal" in traits:
        put("XL-06", max_increase=pick("0", "0.1", "0.5", "unlimited"))
        put("XL-07", min_notional=pick("0", "10", "2000"), dead_band=pick("0.0025", "0.05"))
    else:
        put("XL-06", max_increase="unlimited")
        put("XL-07", min_notional="0", dead_band="0")
    if "costly" in traits:
        put("XL-05", max_cost_bps=pick("2", "10", "50", "200"), k_impact=pick("0", "0.5", "1"))
    else:
        put("XL-05", max_cost_bps="1000000")
    if "books" in traits:
        put("DS-04", max_spread_bps=pick("5", "30", "60"), hard_multiple=pick("1", "2", "5"))
    if "losses" in traits:
        put(
            "LD-01",
            limit_money=pick("unlimited", "500"),
            base=pick("anchor", "initial"),
            anchor=pick("max", "equity"),
        )
        put("LD-03", limit_pct=pick("unlimited", "0.1"), limit_money=pick("unlimited", "2000"))
        put("LD-13", limit_pct=pick("unlimited", "0.02"), limit_money=pick("unlimited", "3000"))
    if "ladder" in traits and pick(True, False):
        put("LD-02", ladder=[["0.03", "0.9"], ["0.06", "FLATTEN"]], flatten_release=Release.NEXT_SESSION)
    if "lists" in traits:
        named = tuple(s for s in symbols if r.random() < 0.3)
        put("UT-01", symbols=pick(None, tuple(s for s in symbols if r.random() < 0.7)))
        put("UT-02", symbols=named, mode=pick("no_increase", "no_trade", "exit"))
        window = FreezeWindow(id="w", first=pick("12-20", "02-20"), last=pick("03-02", "03-01"))
        put("UT-14", windows=pick((), (window,)))
    if "news" in traits:
        put("UT-06", mode=pick("no_increase", "no_trade"), before_s=pick(0, 300))
    if "switched_off" in traits:
        for rule_id in profile:
            if r.random() < 0.15 and rule_id != "LD-15":  # a halt cannot be switched off
                put(rule_id, enabled=False)
    return profile


def accounts_named(s: Scene, firm: str) -> Scene:
    """The same accounts, all of one firm."""
    n = len(s.profiles)
    return s.with_books(accounts=tuple(f"{firm}/a{i}" for i in range(n)), firm=np.zeros(n, dtype=np.int64))
