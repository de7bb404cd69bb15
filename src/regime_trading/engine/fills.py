"""The pure array fill model: next-bar fills with half the spread, slippage and fees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regime_trading.core.numbers import B1, F8


@dataclass(frozen=True, slots=True)
class FillCosts:
    """Costs of one fill, each a share of notional in basis points; half of ``spread_bps`` is paid."""

    fee_bps: float
    slippage_bps: float
    default_spread_bps: float


@dataclass(frozen=True, slots=True)
class Fills:
    """Executions of one bar; ``qty`` is 0 and ``price``, ``fee`` are 0 where nothing was done. float64 [A, N]."""

    qty: F8
    price: F8
    fee: F8


@dataclass(frozen=True, slots=True)
class Positions:
    """Cash and positions of all accounts, account currency.

    Parameters
    ----------
    cash : float64 [A]
    qty, avg_price : float64 [A, N]
        Signed quantity, and average entry price in quote currency (0 where flat).
    """

    cash: F8
    qty: F8
    avg_price: F8


def fill_orders(
    order_qty: F8, price: F8, spread_bps: F8, costs: FillCosts, unit: F8, limit: F8 | None = None
) -> Fills:
    """Fill orders at ``price``, worsened by half the spread and slippage, where that is within their limit.

    Parameters
    ----------
    order_qty : float64 [A, N]
        Signed quantities.
    price : float64 [N]
        Price at which the bar trades. NaN: the asset does not trade, its orders die unfilled.
    spread_bps : float64 [N]
        NaN: ``costs.default_spread_bps``.
    unit : float64 [N]
        Multiplier times exchange rate.
    limit : float64 [A, N], optional
        Worst price an order takes; NaN = any. An order that asks for a better one dies unfilled.
    """
    tradable = np.isfinite(price) & (price > 0)
    qty = np.where(tradable[None, :], order_qty, 0.0)
    worse_bps = (
        np.where(np.isfinite(spread_bps), spread_bps, costs.default_spread_bps) / 2.0 + costs.slippage_bps
    )
    paid = np.where(tradable, price, 0.0)[None, :] * (1.0 + np.sign(qty) * worse_bps[None, :] / 1e4)
    if limit is not None:
        beyond = (np.sign(qty) * (paid - limit) > 0) & np.isfinite(limit)
        qty = np.where(beyond, 0.0, qty)
    paid = np.where(qty != 0, paid, 0.0)
    fee = np.abs(qty) * paid * unit[None, :] * (costs.fee_bps / 1e4)
    return Fills(qty, paid, fee)


def apply_fills(positions: Positions, fills: Fills, unit: F8) -> Positions:
    """Positions after the fills; opening legs average into ``avg_price``, closing legs leave it.

    Cash is kept on the 1e-6 grid, so that it does not depend on how a history was cut into runs.
    """
    before, after = positions.qty, positions.qty + fills.qty
    opened = fills.qty * before >= 0
    flipped = before * after < 0
    with np.errstate(divide="ignore", invalid="ignore"):
        blended = (positions.avg_price * np.abs(before) + fills.price * np.abs(fills.qty)) / np.abs(after)
    avg = np.where(fills.qty == 0, positions.avg_price, np.where(opened, blended, positions.avg_price))
    avg = np.where(flipped, fills.price, avg)
    avg = np.where(after == 0, 0.0, avg)
    spent = (fills.qty * fills.price * unit[None, :] + fills.fee).sum(axis=1)
    cash = np.round(positions.cash - spent, 6)
    return Positions(cash, after + 0.0, avg)


def balance(positions: Positions, unit: F8) -> F8:
    """Cash plus positions at cost: what has been realised, float64 [A]."""
    total: F8 = positions.cash + (positions.qty * positions.avg_price * unit).sum(axis=1)
    return total


@dataclass(frozen=True, slots=True)
class Marks:
    """What the books are worth.

    Parameters
    ----------
    equity : float64 [A]
        Conservative equity for every rule: bid for longs, ask for shorts, the adverse side of an unconfirmed
        jump, the last good mark less a haircut where a price is missing. Rounded down to 1e-6.
    plain_equity : float64 [A]
        Equity at the plain marks (last good ones where missing), for reports.
    estimated : bool [A]
        A held asset had no price of its own.
    mark : float64 [A, N]
        Conservative mark per position.
    unit_value : float64 [A, N]
        What one unit is worth at that mark, in account currency.
    """

    equity: F8
    plain_equity: F8
    estimated: B1
    mark: F8
    unit_value: F8


def value_books(
    positions: Positions,
    price: F8,
    last_price: F8,
    jumped: B1,
    spread_bps: F8,
    haircut: F8,
    unit: F8,
    costs: FillCosts,
) -> Marks:
    """Mark every position (``risk.md`` 1.0 *Equity*, DS-02, DS-03).

    Parameters
    ----------
    price : float64 [N]
    last_price : float64 [A, N]
        Last good mark of each account.
    jumped : bool [A, N]
        The move since the last mark is unconfirmed.
    haircut : float64 [A]
        DS-02 ``stress_haircut``.
    unit : float64 [N] or [A, N]
        Multiplier times exchange rate.
    """
    side = np.sign(positions.qty)
    half = np.where(np.isfinite(spread_bps), spread_bps, costs.default_spread_bps) / 2e4
    known = np.broadcast_to(np.isfinite(price) & (price > 0), positions.qty.shape)
    now = np.where(known, np.where(known, price, 0.0), last_price)
    adverse = np.where(side > 0, np.fmin(now, last_price), np.fmax(now, last_price))
    mark = np.where(jumped & known, adverse, now)
    mark = np.where(known, mark * (1.0 - side * half[None, :]), mark * (1.0 - side * haircut[:, None]))
    held = positions.qty != 0
    exposure = np.where(held, positions.qty * mark * unit, 0.0)
    plain = np.where(held, positions.qty * now * unit, 0.0)
    equity = positions.cash + exposure.sum(axis=1)
    return Marks(
        equity=np.floor(equity * 1e6 + 1e-3) / 1e6,
        plain_equity=positions.cash + plain.sum(axis=1),
        estimated=np.asarray((held & ~known).any(axis=1)),
        mark=mark,
        unit_value=mark * unit,
    )
