"""Settings and prices become what the cycle needs: research knobs, costs, a desk, a market path. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from regime_trading.core.bars import DAY_NS, SECOND_NS, integrity_history
from regime_trading.core.numbers import B1, F8, I8
from regime_trading.core.ports import Calendar
from regime_trading.core.rules import TradingState
from regime_trading.core.schemas import InstrumentSpec, PriceWindow, Provides
from regime_trading.core.settings import (
    BasketSettings,
    EvidenceSettings,
    Operators,
    ScheduledEvent,
    Settings,
)
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.engine.cycle import SIMULATED_SAYS, Desk, firm_index
from regime_trading.engine.facts import fact_path, facts_said
from regime_trading.engine.fills import FillCosts
from regime_trading.engine.histories import FeatureHistory, RegimeHistory, ResearchParams
from regime_trading.engine.market import (
    Correlations,
    MarketPath,
    TapePath,
    average_daily_notional,
    event_distances,
    instrument_arrays,
    last_known,
)
from regime_trading.guards.snapshot import NO_BOOK, NO_TAPE, stack_params
from regime_trading.tools.allocation import ExposureParams

ALWAYS_OPEN = "24/7"
SESSIONS_A_YEAR = 252.0
RTH_SECONDS = 23_400.0


def research_params(settings: Settings, cadence_sessions: int = 5) -> ResearchParams:
    """Every knob between a price and a proposal, as the settings say."""
    regime, structure, features = settings.regime, settings.structure, settings.features
    return ResearchParams(
        model=regime.model,
        n_states=regime.n_states,
        penalty=float(regime.penalty),
        min_obs=regime.min_obs_bars,
        refit_every=regime.refit_every_bars,
        seed=regime.seed,
        hysteresis_bars=regime.hysteresis_bars,
        structure_window=structure.window_bars,
        structure_every=structure.every_bars,
        structure_lags=structure.lags,
        structure_min_obs=structure.min_obs_bars,
        momentum_lookback=features.momentum_lookback_bars,
        z_lookback=features.z_lookback_bars,
        vol_fast_halflife=float(features.vol_fast_halflife_bars),
        vol_slow_halflife=float(features.vol_slow_halflife_bars),
        corr_window=features.correlation_window_bars,
        allocation_window=settings.allocation.window_bars,
        allocation_every=settings.allocation.every_bars,
        cadence_sessions=cadence_sessions,
    )


def exposure_params(basket: BasketSettings, settings: Settings) -> ExposureParams:
    """Exposure of each strategy in one basket."""
    said = basket.exposure
    return ExposureParams(
        trend_following=float(said.trend_following),
        mean_reversion=float(said.mean_reversion),
        stand_aside=float(said.stand_aside),
        de_risk=float(said.de_risk),
        allow_short=said.allow_short,
        z_full=float(settings.features.z_full),
    )


def fill_costs(settings: Settings) -> FillCosts:
    """Costs of a simulated fill."""
    said = settings.execution
    return FillCosts(float(said.fee_bps), float(said.slippage_bps), float(said.default_spread_bps))


def annual_bars(calendar: str, bar_ns: int) -> float:
    """Bars a year: 365 days of 24 hours for a market that never closes, else 252 sessions of 6.5 hours."""
    bar_s = bar_ns / SECOND_NS
    if calendar == ALWAYS_OPEN:
        return 365.0 * 86_400.0 / bar_s
    return SESSIONS_A_YEAR * (max(RTH_SECONDS / bar_s, 1.0) if bar_s <= 86_400.0 else 86_400.0 * 1.4 / bar_s)


def bars_a_day(calendar: str, bar_ns: int) -> float:
    """Bars of one trading day, at least one."""
    days = 365.0 if calendar == ALWAYS_OPEN else SESSIONS_A_YEAR
    return max(annual_bars(calendar, bar_ns) / days, 1.0)


def make_desk(
    profiles: Sequence[TraderProfile],
    symbols: tuple[str, ...],
    settings: Settings,
    annual: float,
    operators: Operators | None,
    least_states: Sequence[TradingState] = (),
) -> Desk:
    """Accounts with their rules as arrays over ``symbols``; ``least_states`` is what the standing of each configuration
    demands, nothing where it is empty."""
    accounts = tuple(profile.account for profile in profiles)
    return Desk(
        accounts=accounts,
        firm=firm_index(accounts)[1],
        initial_capital=np.array([float(profile.initial_capital) for profile in profiles]),
        knobs=stack_params([profile.rules for profile in profiles], symbols),
        costs=fill_costs(settings),
        annual=annual,
        operators=operators,
        imposed_state=np.array(least_states, dtype=np.int8) if any(least_states) else None,
    )


def bar_slots(calendar: Calendar, ts_ns: I8, bar_ns: int) -> tuple[I8, I8, B1]:
    """Session ordinal, slot and "the venue trades" of each bar; int64, int64, bool [T].

    Daily and longer bars belong to the nearest session, and are inside it when its close is at most half a day
    away; intraday bars are inside when their slot lies in the trading hours.
    """
    if _whole_days(bar_ns):
        nearest, _ = calendar.nearest_session(ts_ns)
        closes = np.array([calendar.close_of(int(o)) for o in nearest], dtype=np.int64)
        return nearest, nearest, np.abs(ts_ns - closes) <= DAY_NS // 2
    slot, inside = calendar.grid(bar_ns).slot(ts_ns)
    return calendar.session_ordinal(ts_ns), slot, inside


def said_by(
    provides: frozenset[Provides], evidence: EvidenceSettings
) -> tuple[frozenset[str], frozenset[str]]:
    """What a source of bars says itself, and what a declared substitute says for it (``contracts.md`` 3)."""
    provided = frozenset(item.value for item in provides) | {"bars"}
    stand_ins = {
        Provides.VOLUME.value: evidence.volume,
        Provides.QUOTES.value: evidence.quotes,
        Provides.STATUS.value: evidence.status,
    }
    return provided, frozenset(
        name for name, by in stand_ins.items() if by != "none" and name not in provided
    )


@dataclass(frozen=True, slots=True)
class Heard:
    """What rules are told: by source and simulated broker ``themselves``, and by declared ``substitutes`` for them."""

    themselves: frozenset[str]
    substitutes: frozenset[str]


def heard(market: MarketPath) -> Heard:
    """What is told on a market path."""
    return Heard(market.provided | market.facts.said | SIMULATED_SAYS, market.substituted)


def heard_of(
    provides: frozenset[Provides],
    evidence: EvidenceSettings,
    specs: Sequence[InstrumentSpec],
    events: Sequence[ScheduledEvent],
    bar_ns: int,
) -> Heard:
    """What will be told on the market path of a source, before there is one."""
    provided, substituted = said_by(provides, evidence)
    facts = facts_said(specs, events, bar_ns, clocked=not _whole_days(bar_ns))
    return Heard(provided | facts | SIMULATED_SAYS, substituted)


def _whole_days(bar_ns: int) -> bool:
    """Whether a bar belongs to a session as a whole: bars of half a day and more."""
    return bar_ns > DAY_NS // 2


def market_path(
    window: PriceWindow,
    symbols: tuple[str, ...],
    features: FeatureHistory,
    regimes: RegimeHistory,
    correlations: Correlations,
    *,
    settings: Settings,
    source: str,
    provides: frozenset[Provides],
    calendar: Calendar,
    bar_ns: int,
    confidence_cap: float | F8,
    tape: TapePath | None = None,
) -> MarketPath:
    """The market as the guards see it at every bar of ``window``.

    Parameters
    ----------
    window : PriceWindow
        May hold more symbols than are traded (a market proxy).
    symbols : tuple of str
        The traded ones; columns of the result and of ``correlations``.
    source : str
        Key of ``settings.evidence``.
    confidence_cap : float, or float64 [T]
        Highest confidence the grade of evidence allows.
    tape : TapePath, optional
        What a tape of the traded symbols said by each bar; where it is silent, the declared spread stands in,
        unless the source has quotes: there it is missing.
    """
    traded = window.select(symbols)
    columns = features.columns(symbols)
    declared = [settings.instruments.spec(symbol) for symbol in symbols]
    specs = instrument_arrays(declared)
    provided, substituted = said_by(provides, settings.evidence[source])
    session, slot, inside = bar_slots(calendar, window.ts_ns, bar_ns)
    integrity = integrity_history(traded.close, slot)
    before, age = last_known(traded.close)
    ahead, behind = event_distances(window.ts_ns, symbols, settings.events)
    market = regimes.symbols.index(regimes.market)
    default_bps = float(settings.execution.default_spread_bps)
    said = _tape(traded, tape, np.where(np.isnan(specs.spread_bps), default_bps, specs.spread_bps), provided)
    return MarketPath(
        symbols=symbols,
        bar_ns=bar_ns,
        ts_ns=window.ts_ns,
        session=session,
        close=traded.close,
        fill_price=traded.close if traded.open is None else traded.open,
        last_close=before,
        age_bars=age,
        sigma=np.ascontiguousarray(features.sigma_daily[:, columns]),
        n_obs=np.ascontiguousarray(features.n_obs[:, columns]),
        completeness=integrity.completeness,
        gap=integrity.current_gap,
        adv=_adv(traded, specs.adv, provided, bars_a_day(calendar.name, bar_ns)),
        venue_open=inside,
        to_event_s=ahead,
        since_event_s=behind,
        label=np.ascontiguousarray(regimes.label[:, market]),
        confidence=np.minimum(regimes.confidence[:, market], confidence_cap),
        correlations=correlations,
        spread_bps=said.spread_bps,
        book=said.book,
        tape_grade=said.tape_grade,
        declared_spread_bps=specs.spread_bps,
        group=specs.group,
        groups=specs.groups,
        lot=specs.lot,
        multiplier=specs.multiplier,
        fx=np.ones(len(symbols)),
        provided=provided,
        facts=fact_path(
            declared,
            window.ts_ns,
            traded.close,
            traded.open,
            features.market_returns,
            session,
            inside,
            bar_ns,
            None if _whole_days(bar_ns) else calendar.grid(bar_ns),
            settings.events,
            adjusted=settings.sources[source].adjusted,
        ),
        substituted=substituted,
    )


def _adv(traded: PriceWindow, declared: F8, provided: frozenset[str], a_day: float) -> F8:
    if Provides.VOLUME.value in provided and traded.volume is not None:
        return average_daily_notional(traded.close, traded.volume, a_day)
    return np.broadcast_to(declared, traded.close.shape)


def _tape(traded: PriceWindow, tape: TapePath | None, declared: F8, provided: frozenset[str]) -> TapePath:
    """The tape, with the declared spread where it is silent and the source has no quotes of its own."""
    shape = traded.close.shape
    stand_in = (
        np.full(shape, np.nan) if Provides.QUOTES.value in provided else np.broadcast_to(declared, shape)
    )
    if tape is None:
        silent = np.full(shape, NO_BOOK, dtype=np.int8)
        return TapePath(stand_in, silent, np.full(shape, NO_TAPE, dtype=np.int8))
    measured = np.isfinite(tape.spread_bps)
    return TapePath(np.where(measured, tape.spread_bps, stand_in), tape.book, tape.tape_grade)
