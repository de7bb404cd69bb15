"""The market of a request as the guards see it. Pure: what is not said is NaN, and nothing is imputed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from regime_trading.core.bars import SECOND_NS
from regime_trading.core.numbers import B1, F8, I1, I8
from regime_trading.core.requests import Covariance, MarketSnapshot, Quote, Scenarios
from regime_trading.core.schemas import REGIME_LABELS, InstrumentSpec
from regime_trading.core.settings import ScheduledEvent, Settings
from regime_trading.engine.facts import days_to, instruments_of
from regime_trading.engine.market import event_distances, instrument_arrays
from regime_trading.guards.facts import (
    BORROW_UNKNOWN,
    BORROWABLE,
    NO_BORROW,
    OPEN,
    RECALLED,
    STATUS_NAMES,
    InstrumentFacts,
    Signals,
    quiet_signals,
)
from regime_trading.guards.snapshot import (
    CROSSED_BOOK,
    LOCKED_BOOK,
    NO_BOOK,
    NO_TAPE,
    TWO_SIDED,
    Market,
)
from regime_trading.tools.risk import condition_number

DAYS_A_YEAR = 252.0
DAY_NS = 86_400 * SECOND_NS
FINE_BAR_S = 900
_BORROW = {"none": NO_BORROW, "borrowable": BORROWABLE, "recalled": RECALLED, "unknown": BORROW_UNKNOWN}
_NEVER = np.iinfo(np.int64).max


def market_of(
    said: MarketSnapshot,
    symbols: tuple[str, ...],
    as_of_ns: int,
    currency: str,
    reference: Mapping[str, float],
    settings: Settings,
) -> Market:
    """The market at one instant.

    Parameters
    ----------
    symbols : tuple of str
        Columns, sorted. One without an instrument has unknown metadata (DS-13).
    currency : str
        Of the account: rates are amounts of it per unit.
    reference : mapping
        Last clean marks, for symbols whose quote brings none.
    """
    events = settings.events if said.events is None else said.events
    specs, known = specs_of(said, symbols)
    arrays = instrument_arrays(specs)
    quotes = {quote.symbol: quote for quote in said.quotes}
    asked = [quotes.get(symbol) for symbol in symbols]
    price, spread, book = _prices(asked)
    currencies = [spec.currency for spec in specs]
    found = _estimates(said.covariance, symbols, currencies, currency)
    provided, substituted = provided_by(said, events)
    ts = np.array([as_of_ns], dtype=np.int64)
    ahead, behind = event_distances(ts, symbols, events)
    status = _status(said, symbols, "status" in provided)
    n = len(symbols)
    regime = said.regime
    unknown = np.where(known, 1.0, np.nan)
    return Market(
        ts_ns=as_of_ns,
        bar_ns=said.bar_s * SECOND_NS,
        session=as_of_ns // DAY_NS if said.session is None else said.session,
        date=dt.datetime.fromtimestamp(as_of_ns // SECOND_NS, dt.UTC).date(),
        symbols=symbols,
        price=price,
        ref_price=_references(asked, symbols, reference),
        age_bars=_ages(asked, "ts_ns", as_of_ns) / said.bar_s,
        sigma=found.sigma,
        correlation=found.correlation,
        n_obs=found.n_obs,
        condition=_condition(found.correlation),
        completeness=np.ones(n),
        gap=np.zeros(n, dtype=np.int64),
        venue_open=status == OPEN,
        adv=_numbers(said.adv, symbols) if "volume" in provided else arrays.adv,
        spread_bps=np.where(np.isnan(spread), arrays.spread_bps, spread),
        book=book,
        tape_grade=np.full(n, NO_TAPE, dtype=np.int8),
        group=arrays.group,
        n_groups=len(arrays.groups),
        lot=arrays.lot * unknown,
        multiplier=arrays.multiplier * unknown,
        fx=rates(said, currencies, currency),
        to_event_s=ahead[0],
        since_event_s=behind[0],
        label=-1 if regime is None else REGIME_LABELS.index(regime.label.value),
        confidence=np.nan if regime is None else regime.confidence,
        provided=provided,
        substituted=substituted,
        annual=DAYS_A_YEAR,
        instruments=_instruments(said, specs, known, symbols, as_of_ns, events),
        signals=_signals(said, asked, symbols, price, status, currencies, currency, as_of_ns),
        price_sigma=found.price_sigma,
    )


def provided_by(
    said: MarketSnapshot, events: Sequence[ScheduledEvent]
) -> tuple[frozenset[str], frozenset[str]]:
    """What the sender says itself, and what the instruments' own declarations say for it."""
    sections = {
        "clock": said.clock is not None,
        "second_source": said.second_source is not None,
        "session_clock": said.session_clock is not None,
        "intraday": said.shocks is not None or said.bar_s <= FINE_BAR_S,
        "borrow": said.borrow is not None or any(s.shortable is not None for s in said.instruments),
        "earnings": said.earnings is not None or any(event.kind == "earnings" for event in events),
        "correlation_shift": said.correlation_shift_sigmas is not None,
    }
    provided = frozenset(said.provides) | {name for name, there in sections.items() if there}
    declared = {
        "quotes": any(spec.spread_bps is not None for spec in said.instruments),
        "volume": any(spec.adv is not None for spec in said.instruments),
    }
    return provided, frozenset(name for name, there in declared.items() if there and name not in provided)


def specs_of(said: MarketSnapshot, symbols: tuple[str, ...]) -> tuple[list[InstrumentSpec], B1]:
    """Specification of each symbol, and whether it was given; bool [N]."""
    given = {spec.symbol: spec for spec in said.instruments}
    specs = [given.get(symbol) or InstrumentSpec(symbol=symbol) for symbol in symbols]
    return specs, np.array([symbol in given for symbol in symbols], dtype=np.bool_)


def number(value: Decimal | float | None) -> float:
    """A number as float64; NaN where there is none."""
    return np.nan if value is None else float(value)


def _numbers(values: Mapping[str, Any] | None, symbols: Sequence[str]) -> F8:
    """Numbers by symbol, float64 [N]; NaN where there is none."""
    return np.array([number((values or {}).get(symbol)) for symbol in symbols], dtype=np.float64)


def _prices(asked: Sequence[Quote | None]) -> tuple[F8, F8, I1]:
    """Mid of bid and ask, else the last price; spread in basis points; state of the book; [N] each."""
    bid, ask, last = (
        np.array([number(getattr(quote, name, None)) for quote in asked], dtype=np.float64)
        for name in ("bid", "ask", "last")
    )
    both = (bid > 0) & (ask > 0)
    mid = np.array([_mid(quote) for quote in asked], dtype=np.float64)
    sided = np.where(bid < ask, TWO_SIDED, np.where(bid == ask, LOCKED_BOOK, CROSSED_BOOK))
    book = np.where(both, sided, NO_BOOK).astype(np.int8)
    with np.errstate(invalid="ignore"):
        spread = (ask - bid) / mid * 1e4
    return np.where(both, mid, last), spread, book


def _mid(quote: Quote | None) -> float:
    """Middle of bid and ask, exact before it is rounded; NaN where one of them is missing."""
    if quote is None or quote.bid is None or quote.ask is None or min(quote.bid, quote.ask) <= 0:
        return np.nan
    return float((quote.bid + quote.ask) / 2)


def _references(asked: Sequence[Quote | None], symbols: Sequence[str], reference: Mapping[str, float]) -> F8:
    said = [None if quote is None else quote.reference for quote in asked]
    return np.array(
        [
            number(own) if own is not None else reference.get(s, np.nan)
            for own, s in zip(said, symbols, strict=True)
        ],
        dtype=np.float64,
    )


def _ages(asked: Sequence[Quote | None], name: str, as_of_ns: int) -> F8:
    """Seconds since a time of each quote, negative for one from the future; NaN where it is not known."""
    times = [None if quote is None else getattr(quote, name) for quote in asked]
    return np.array([np.nan if t is None else (as_of_ns - t) / SECOND_NS for t in times], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Estimates:
    """Daily volatility [N] and correlation [N, N] in account currency, returns behind them [N], and the daily
    volatility of the price alone [N] (None where every price is in account currency); NaN and 0 = not known."""

    sigma: F8
    correlation: F8
    n_obs: I8
    price_sigma: F8 | None


def _estimates(
    said: Covariance | None, symbols: Sequence[str], currencies: Sequence[str], own: str
) -> _Estimates:
    """What a covariance says of each symbol, its currency included.

    A return in account currency is that of the price and that of its currency, ``r_i + r_c(i)`` to first order, so
    the covariance of two is the sum of four. Between a price and its own currency nothing known counts as
    correlation 1: ``σ_i + σ_c``.
    """
    n = len(symbols)
    sigma, correlation, n_obs = np.full(n, np.nan), np.full((n, n), np.nan), np.zeros(n, dtype=np.int64)
    foreign = np.array([name != own for name in currencies], dtype=np.bool_)
    price_sigma = sigma.copy() if foreign.any() else None
    if said is None:
        return _Estimates(sigma, correlation, n_obs, price_sigma)
    at = {symbol: i for i, symbol in enumerate(said.symbols)}
    here = [k for k, symbol in enumerate(symbols) if symbol in at]
    told = _with_edges(said)
    rows = [at[symbols[k]] for k in here]
    matrix = told[np.ix_(rows, rows)]
    alone = np.sqrt(np.diag(matrix))
    scale = np.sqrt(DAYS_A_YEAR) if said.annualised else 1.0
    if price_sigma is not None:
        if said.returns_in == "price":
            beside = [_currency_row(said, currencies[k], own) for k in here]
            matrix = _in_account_currency(told, rows, beside)
        price_sigma[here] = np.where(alone > 0, alone / scale, np.nan)
        if said.returns_in == "account":
            price_sigma[foreign] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = np.sqrt(np.diag(matrix))
        rho = np.clip(matrix / np.outer(deviation, deviation), -2.0, 2.0)
    rho = np.where(np.abs(np.abs(rho) - 1.0) <= 1e-9, np.sign(rho), rho)
    sigma[here] = np.where(deviation > 0, deviation / scale, np.nan)
    correlation[np.ix_(here, here)] = rho
    n_obs[here] = said.n_obs
    return _Estimates(sigma, correlation, n_obs, price_sigma)


def _with_edges(said: Covariance) -> F8:
    """The matrix with two rows and columns more: of a currency that does not move, and of one nobody knows."""
    n = len(said.names)
    told = np.zeros((n + 2, n + 2))
    told[:n, :n] = np.array([[number(x) for x in row] for row in said.matrix], dtype=np.float64).reshape(n, n)
    told[n + 1, :] = told[:, n + 1] = np.nan
    return told


def _currency_row(said: Covariance, currency: str, own: str) -> int:
    """Row of a currency in the matrix with edges."""
    n = len(said.names)
    if currency == own:
        return n
    return len(said.symbols) + said.currencies.index(currency) if currency in said.currencies else n + 1


def _in_account_currency(told: F8, rows: Sequence[int], beside: Sequence[int]) -> F8:
    """Covariance of ``r_i + r_c(i)`` of the symbols in ``rows`` whose currencies are in ``beside``."""
    cross = told[np.ix_(rows, beside)]
    matrix = told[np.ix_(rows, rows)] + cross + cross.T + told[np.ix_(beside, beside)]
    price, currency, both = np.diag(told)[rows], np.diag(told)[beside], np.diag(cross)
    both = np.where(np.isnan(both), np.sqrt(price * currency), both)
    np.fill_diagonal(matrix, price + 2.0 * both + currency)
    return matrix


def _condition(correlation: F8) -> float:
    """Condition number of the known part to nine digits; NaN where a pair of it is not known."""
    known = ~np.isnan(np.diagonal(correlation))
    if np.isnan(correlation[np.ix_(known, known)]).any():
        return np.nan
    return float(f"{condition_number(correlation):.9g}")


def _status(said: MarketSnapshot, symbols: Sequence[str], told: bool) -> I1:
    """Status of each venue; open where nobody tells (the rules that need it are then not evaluable)."""
    default = "unknown" if told else "open"
    return np.array([STATUS_NAMES.index(said.status.get(s, default)) for s in symbols], dtype=np.int8)


def rates(said: MarketSnapshot, currencies: Sequence[str], own: str) -> F8:
    """Account currency per unit of each of ``currencies``; 1 for its own, NaN where it is not said."""
    known = {name: rate.rate for name, rate in said.fx.items()}
    return np.array([1.0 if c == own else number(known.get(c)) for c in currencies], dtype=np.float64)


def _rate_ages(said: MarketSnapshot, currencies: Sequence[str], own: str, as_of_ns: int) -> F8:
    ages = {
        name: 0.0 if rate.ts_ns is None else (as_of_ns - rate.ts_ns) / SECOND_NS
        for name, rate in said.fx.items()
    }
    return np.array([0.0 if c == own else ages.get(c, np.nan) for c in currencies], dtype=np.float64)


def _instruments(
    said: MarketSnapshot,
    specs: Sequence[InstrumentSpec],
    known: B1,
    symbols: Sequence[str],
    as_of_ns: int,
    events: Sequence[ScheduledEvent],
) -> InstrumentFacts:
    facts, expiry_ns = instruments_of(specs)
    unknown = np.where(known, 0.0, np.nan)
    in_days, ago_days = _earnings(said, symbols, as_of_ns, events)
    borrow, fee = facts.borrow, facts.borrow_fee
    if said.borrow is not None:
        told = [said.borrow.get(symbol) for symbol in symbols]
        borrow = np.array([BORROW_UNKNOWN if b is None else _BORROW[b.status] for b in told], dtype=np.int8)
        fee = np.array([number(None if b is None else b.fee) for b in told], dtype=np.float64)
    left_s = np.where(expiry_ns == _NEVER, np.inf, (expiry_ns - as_of_ns) / SECOND_NS)
    gaps = said.gaps or {}
    return replace(
        facts,
        metadata_age_s=unknown,
        min_notional=facts.min_notional + unknown,
        margin_rate=facts.margin_rate + unknown,
        to_expiry_s=left_s + unknown,
        borrow=borrow,
        borrow_fee=fee,
        gap_down=_numbers({symbol: gap.down for symbol, gap in gaps.items()}, symbols),
        gap_up=_numbers({symbol: gap.up for symbol, gap in gaps.items()}, symbols),
        earnings_in_days=in_days,
        earnings_ago_days=ago_days,
    )


def _earnings(
    said: MarketSnapshot, symbols: Sequence[str], as_of_ns: int, events: Sequence[ScheduledEvent]
) -> tuple[F8, F8]:
    """Days to and since earnings: of the section where there is one (no entry = unknown), else of the events."""
    if said.earnings is None:
        own = [event for event in events if event.kind == "earnings"]
        ahead, behind = days_to(np.array([as_of_ns], dtype=np.int64), symbols, own)
        return ahead[0], behind[0]
    sides = []
    for name in ("in_days", "ago_days"):
        days = [np.nan if (e := said.earnings.get(s)) is None else getattr(e, name) for s in symbols]
        sides.append(np.array([np.inf if d is None else float(d) for d in days], dtype=np.float64))
    return sides[0], sides[1]


def _signals(
    said: MarketSnapshot,
    asked: Sequence[Quote | None],
    symbols: Sequence[str],
    price: F8,
    status: I1,
    currencies: Sequence[str],
    currency: str,
    as_of_ns: int,
) -> Signals:
    n = len(symbols)
    happened = _ages(asked, "ts_ns", as_of_ns)
    received = _ages(asked, "received_ns", as_of_ns)
    clocks, shocks = said.session_clock or {}, said.shocks
    bps, lasted = _divergence(said, symbols, price)
    return replace(
        quiet_signals(n),
        status=status,
        since_open_s=_numbers({s: c.since_open_s for s, c in clocks.items()}, symbols),
        to_close_s=_numbers({s: c.to_close_s for s, c in clocks.items()}, symbols),
        quote_age_s=happened,
        received_age_s=np.where(np.isnan(received), happened, received),
        frozen_updates=np.array([0.0 if q is None else float(q.frozen_updates) for q in asked]),
        reference_sigmas=np.array([0.0 if q is None else float(q.reference_sigmas) for q in asked]),
        divergence_bps=bps,
        divergence_s=lasted,
        fx_age_s=_rate_ages(said, currencies, currency, as_of_ns),
        shock_sigmas=_numbers(None if shocks is None else shocks.symbols, symbols),
        market_shock_sigmas=np.nan if shocks is None else float(shocks.market),
        future_rows=happened < 0,
        clock_skew_ms=np.nan if said.clock is None else float(said.clock.skew_ms),
        beta=_numbers(said.betas, symbols),
        scenarios=_scenarios(said.scenarios, symbols, currencies, currency),
        correlation_shift_sigmas=number(said.correlation_shift_sigmas),
    )


def _divergence(said: MarketSnapshot, symbols: Sequence[str], price: F8) -> tuple[F8, F8]:
    """Distance of the second source in basis points, and for how long; NaN where it says nothing."""
    others = said.second_source or {}
    second = _numbers({s: other.price for s, other in others.items()}, symbols)
    lasted = _numbers({s: other.diverging_s for s, other in others.items()}, symbols)
    with np.errstate(invalid="ignore"):
        return np.abs(price / second - 1.0) * 1e4, lasted


def _scenarios(said: Scenarios | None, symbols: Sequence[str], currencies: Sequence[str], own: str) -> F8:
    """One-bar returns in account currency, ``r_i + r_c(i) + r_i r_c(i)``, float64 [S, N]; NaN = missing."""
    if said is None:
        return np.zeros((0, len(symbols)))
    n = len(said.symbols)
    told = np.array([[number(x) for x in row] for row in said.returns], dtype=np.float64)
    told = told.reshape(len(said.returns), n + len(said.currencies))
    at = {symbol: k for k, symbol in enumerate(said.symbols)}
    rate_at = {currency: n + k for k, currency in enumerate(said.currencies)}
    out = np.full((len(told), len(symbols)), np.nan)
    for i, (symbol, currency) in enumerate(zip(symbols, currencies, strict=True)):
        if symbol in at:
            out[:, i] = told[:, at[symbol]]
        if currency != own and said.returns_in == "price":
            rate = told[:, rate_at[currency]] if currency in rate_at else np.nan
            out[:, i] += rate + out[:, i] * rate
    return out
