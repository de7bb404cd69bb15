"""What an account holds (``/portfolio``): positions with marks, weights and risk shares, exposures, correlations.

Everything is as of the last decision; marks, volatilities and correlations are those the guards saw.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

import numpy as np
from pydantic import Field

from regime_trading.core.portfolio import Position as HeldPosition
from regime_trading.services.views.base import (
    Account,
    Asker,
    DecimalText,
    Fraction,
    Instant,
    Measured,
    Seconds,
    Shown,
    instant,
    nano,
    plain,
)
from regime_trading.services.views.current import Current, Seen, current, seen
from regime_trading.services.views.decisions import Outcome, Place, place_of
from regime_trading.services.views.sources import FirmSources


class PositionRow(Shown):
    """One position, with the Portfolio Manager's last word on it."""

    symbol: str
    group: str | None = Field(description="sector or group; null = not classified")
    quantity: DecimalText | None = Field(description="units, signed; null where amounts are not shown")
    average_price: DecimalText | None = Field(description="entry price, quote currency; null = not known")
    mark: DecimalText | None = Field(description="price the guards saw, quote currency; null = none")
    mark_age_bars: Measured | None = Field(
        description="bars since the price was observed, 0 = at the decision"
    )
    mark_age_s: Seconds | None = Field(description="seconds since then, up to now")
    market_value: DecimalText | None = Field(description="account currency, signed")
    unrealised_pnl: DecimalText | None = Field(description="account currency; null = not known, or not shown")
    unrealised_return: Fraction | None = Field(description="of the entry price, positive = a gain")
    weight: Fraction | None = Field(description="fraction of equity, signed")
    proposed_weight: Fraction | None
    target_weight: Fraction | None = Field(description="fraction of equity that the last decision allows")
    risk_share: Fraction | None = Field(
        description="share of the book's variance; sums to 1; null = not known"
    )
    volatility: Fraction | None = Field(description="annualised, of the symbol")
    beta: Measured | None = Field(description="to the market proxy, as the guards saw it; null = not known")
    limiting_rules: tuple[str, ...] = Field(description="rules that kept the target from the proposal")
    opened_at: Instant | None


class GroupExposure(Shown):
    """Positions of one group together."""

    group: str | None = Field(description="null = those that are not classified")
    symbols: tuple[str, ...]
    gross: Fraction | None
    net: Fraction | None
    risk_share: Fraction | None


class FactorExposure(Shown):
    """What a book holds of one factor: the sum of weight times loading over its positions."""

    factor: Literal["market_beta", "volatility"] = Field(
        description="market_beta: of each position to the market proxy; volatility: annualised, of each position alone"
    )
    gross: Measured | None = Field(
        description="sum of absolute parts; null = the loading of a position is not known"
    )
    net: Measured | None
    missing: tuple[str, ...] = Field(description="positions whose loading is not known")


class Correlations(Shown):
    """Correlation of the returns of what is held, as the guards saw it."""

    symbols: tuple[str, ...]
    matrix: tuple[tuple[Measured | None, ...], ...] = Field(description="null = not known")


class Portfolio(Shown):
    """The book of one account."""

    account: Account
    currency: str | None
    as_of: Instant | None = Field(description="of the last decision; null = the account was never decided")
    age_s: Seconds | None
    equity: DecimalText | None = Field(description="account currency; null = not known, or not shown")
    cash: DecimalText | None = Field(description="account currency; null where it is kept by currency")
    cash_by_currency: dict[str, DecimalText] | None
    cash_weight: Fraction | None = Field(description="fraction of equity")
    gross: Fraction | None = Field(description="sum of absolute weights, of equity")
    net: Fraction | None = Field(description="sum of weights, of equity")
    volatility: Fraction | None = Field(description="of the book, annualised; null = an input is not known")
    positions: tuple[PositionRow, ...]
    groups: tuple[GroupExposure, ...]
    factors: tuple[FactorExposure, ...] = Field(
        description="those whose loadings the guards saw; empty where flat"
    )
    correlations: Correlations | None
    outcome: Outcome | None = Field(description="of the last decision")
    decision: Place | None
    notes: tuple[str, ...] = Field(description="what is missing, and why")
    redacted: bool = Field(description="amounts are left out")


NO_DECISION = "the account was never decided in its mode"
NO_INPUTS = "what the last decision saw is not stored: no marks, volatilities and correlations"
NO_RISK = "a volatility or correlation of a position is not known: no risk shares"


def portfolio(sources: FirmSources, asker: Asker, account: str) -> Portfolio:
    """The book of an account as of its last decision.

    Raises
    ------
    NotThere
        There is no such account, or not for this asker.
    """
    sources.require(asker, account)
    of = current(sources, account)
    shows, profile = asker.shows_amounts(account), of.standing.profile
    saw = seen(sources, of)
    weights, held = _weights(of), _held(of)
    risk = _Risk.of(saw, weights)
    rows = tuple(_position(sources, asker, of, saw, weights, risk, one, shows) for one in held)
    known = [row.weight for row in rows if row.weight is not None]
    whole = len(known) == len(rows) and of.stored is not None
    cash = None if of.stored is None else of.stored.portfolio.cash
    return Portfolio(
        account=account,
        currency=None if profile is None else profile.account_currency,
        as_of=None if of.stored is None else instant(of.stored.state.as_of_ns),
        age_s=None if of.stored is None else asker.age_s(of.stored.state.as_of_ns),
        equity=plain(of.said.get("equity")) if shows else None,
        cash=plain(cash) if shows and not isinstance(cash, Mapping) else None,
        cash_by_currency={name: plain(amount) or "0" for name, amount in cash.items()}
        if shows and isinstance(cash, Mapping)
        else None,
        cash_weight=_share(cash, of.said.get("equity")),
        gross=sum(map(abs, known)) if whole else None,
        net=sum(known) if whole else None,
        volatility=risk.volatility,
        positions=rows,
        groups=_groups(rows),
        factors=_factors(rows),
        correlations=_correlations(saw, [row.symbol for row in rows]),
        outcome=of.said.get("outcome"),
        decision=None if of.entry is None else place_of(of.entry, of.said),
        notes=_notes(of, saw, risk, bool(rows)),
        redacted=not shows,
    )


class _Risk:
    """Shares of the book's variance, ``w_i (Σw)_i / wᵀΣw``, and its volatility; nothing where an input is missing."""

    def __init__(self, shares: Mapping[str, float], volatility: float | None) -> None:
        self.shares, self.volatility = shares, volatility

    @classmethod
    def of(cls, saw: Seen | None, weights: Mapping[str, Mapping[str, Any]]) -> _Risk:
        held = {symbol: row["current"] for symbol, row in weights.items() if row["current"]}
        if saw is None or not held:
            return cls({}, 0.0 if saw is not None else None)
        at = saw.columns(list(held))
        if at is None:
            return cls({}, None)
        market, w = saw.view.market, np.array(list(held.values()))
        sigma, rho = market.sigma[at], market.correlation[np.ix_(at, at)]
        covariance = sigma[:, None] * rho * sigma[None, :]
        variance = float(w @ covariance @ w)
        if not np.isfinite(variance) or variance <= 0:
            return cls({}, None)
        shares = w * (covariance @ w) / variance
        return cls(dict(zip(held, shares.tolist(), strict=True)), float(np.sqrt(variance * saw.annual)))


def _weights(of: Current) -> dict[str, dict[str, Any]]:
    """Weights of the last decision by symbol."""
    columns = of.said.get("targets")
    if not columns:
        return {}
    return {
        symbol: {
            "current": nano(columns["current_w_e9"][n]),
            "proposed": nano(columns["proposed_w_e9"][n]),
            "target": nano(columns["target_w_e9"][n]),
            "rules": tuple(columns["limiting_rules"][n]),
        }
        for n, symbol in enumerate(columns["symbol"])
    }


def _held(of: Current) -> list[HeldPosition]:
    if of.stored is None:
        return []
    return sorted((p for p in of.stored.portfolio.positions if p.qty), key=lambda p: p.symbol)


def _position(
    sources: FirmSources,
    asker: Asker,
    of: Current,
    saw: Seen | None,
    weights: Mapping[str, Mapping[str, Any]],
    risk: _Risk,
    held: HeldPosition,
    shows: bool,
) -> PositionRow:
    row = weights.get(held.symbol)
    mark = _Mark.of(saw, held.symbol)
    value, profit, gain = mark.worth(held)
    age_s = None
    if mark.price is not None and mark.age_bars is not None and saw is not None:
        age_s = asker.age_s(saw.view.market.ts_ns) + mark.age_bars * saw.view.market.bar_ns / 1e9
    return PositionRow(
        symbol=held.symbol,
        group=sources.settings.instruments.spec(held.symbol).group,
        quantity=plain(held.qty) if shows else None,
        average_price=plain(held.avg_price) if held.avg_price else None,
        mark=plain(mark.price),
        mark_age_bars=mark.age_bars,
        mark_age_s=age_s,
        market_value=plain(value) if shows else None,
        unrealised_pnl=plain(profit) if shows else None,
        unrealised_return=gain,
        weight=None if row is None else row["current"],
        proposed_weight=None if row is None else row["proposed"],
        target_weight=None if row is None else row["target"],
        risk_share=risk.shares.get(held.symbol),
        volatility=mark.volatility,
        beta=mark.beta,
        limiting_rules=() if row is None else row["rules"],
        opened_at=instant(held.opened_at),
    )


class _Mark:
    """What the guards saw of one symbol; everything None where they did not."""

    def __init__(
        self,
        price: Decimal | None,
        age_bars: float | None,
        per_unit: Decimal | None,
        volatility: float | None,
        beta: float | None,
    ) -> None:
        self.price, self.age_bars, self.per_unit = price, age_bars, per_unit
        self.volatility, self.beta = volatility, beta

    @classmethod
    def of(cls, saw: Seen | None, symbol: str) -> _Mark:
        at = None if saw is None else saw.column(symbol)
        if saw is None or at is None:
            return cls(None, None, None, None, None)
        market = saw.view.market
        price, unit = _known(market.price[at]), _known(market.multiplier[at] * market.fx[at])
        sigma, age = _known(market.sigma[at]), _known(market.age_bars[at])
        return cls(
            Decimal(repr(price)) if price is not None and price > 0 else None,
            age,
            None if unit is None else Decimal(repr(unit)),
            None if sigma is None else sigma * float(np.sqrt(saw.annual)),
            _known(market.signals.beta[at]),
        )

    def worth(self, held: HeldPosition) -> tuple[Decimal | None, Decimal | None, float | None]:
        """Market value and unrealised profit in account currency, and the return on the entry price."""
        if self.price is None or self.per_unit is None:
            return None, None, None
        value = held.qty * self.price * self.per_unit
        if not held.avg_price:
            return value, None, None
        move = self.price - held.avg_price
        side = 1 if held.qty > 0 else -1
        return value, held.qty * move * self.per_unit, side * float(move / abs(held.avg_price))


def _known(value: Any) -> float | None:
    found = float(value)
    return found if np.isfinite(found) else None


def _share(cash: Any, equity: Any) -> float | None:
    if cash is None or isinstance(cash, Mapping) or equity is None:
        return None
    whole = Decimal(str(equity))
    return float(cash / whole) if whole.is_finite() and whole > 0 else None


def _groups(rows: Sequence[PositionRow]) -> tuple[GroupExposure, ...]:
    found: dict[str | None, list[PositionRow]] = defaultdict(list)
    for row in rows:
        found[row.group].append(row)
    return tuple(
        GroupExposure(
            group=name,
            symbols=tuple(row.symbol for row in own),
            gross=_total([None if row.weight is None else abs(row.weight) for row in own]),
            net=_total([row.weight for row in own]),
            risk_share=_total([row.risk_share for row in own]),
        )
        for name, own in sorted(found.items(), key=lambda item: (item[0] is None, item[0] or ""))
    )


def _factors(rows: Sequence[PositionRow]) -> tuple[FactorExposure, ...]:
    if not rows:
        return ()
    loadings = {"market_beta": [row.beta for row in rows], "volatility": [row.volatility for row in rows]}
    return tuple(_factor(name, rows, found) for name, found in loadings.items())


def _factor(name: Any, rows: Sequence[PositionRow], loadings: Sequence[float | None]) -> FactorExposure:
    parts = [
        None if row.weight is None or loading is None else row.weight * loading
        for row, loading in zip(rows, loadings, strict=True)
    ]
    return FactorExposure(
        factor=name,
        gross=_total([None if part is None else abs(part) for part in parts]),
        net=_total(parts),
        missing=tuple(row.symbol for row, part in zip(rows, parts, strict=True) if part is None),
    )


def _total(values: Sequence[float | None]) -> float | None:
    """Sum, or nothing where a part of it is not known."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _correlations(saw: Seen | None, symbols: Sequence[str]) -> Correlations | None:
    at = None if saw is None else saw.columns(symbols)
    if saw is None or not at:
        return None
    matrix = saw.view.market.correlation[np.ix_(at, at)]
    return Correlations(symbols=tuple(symbols), matrix=tuple(tuple(_known(x) for x in row) for row in matrix))


def _notes(of: Current, saw: Seen | None, risk: _Risk, holds: bool) -> tuple[str, ...]:
    if of.stored is None:
        return (NO_DECISION,)
    if saw is None:
        return (NO_INPUTS,)
    return (NO_RISK,) if holds and risk.volatility is None else ()
