"""Budgets on the way to the target (``risk.md`` 2.5 I3): exits always go, entries wait where a budget would be passed.

The target keeps every budget; a book half way there need not, because legs are paced, skipped or banded apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regime_trading.core.numbers import B1, F8, NANO
from regime_trading.guards.constraint import Constraint, holds
from regime_trading.guards.projection import BUDGETS, GROSS, GROUP, NET, VOL
from regime_trading.guards.snapshot import View, known_or_zero, nano_weights
from regime_trading.guards.variance import (
    Risk,
    book_volatility,
    largest_factor,
    marginal_variance,
    variance_terms,
)
from regime_trading.guards.verdict import any_asset


@dataclass(frozen=True, slots=True)
class Scale:
    """Values that turn quantities into weights: per unit [1, N] (0 = unknown), equity [A, 1] (NaN = unusable)."""

    value: F8
    equity: F8
    lot: F8

    def units(self, weight: F8) -> F8:
        """Quantities of nanoweights, before lots; NaN where they cannot be known."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return weight / NANO * self.equity / np.where(self.value > 0, self.value, np.nan)

    def lots(self, units: F8) -> F8:
        """Whole lots toward zero."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.lot == 0, units, np.trunc(units / self.lot * (1.0 + 1e-12)) * self.lot)


def weights_of(qty: F8, scale: Scale) -> F8:
    """Nanoweights of quantities, 0 where they cannot be known."""
    return known_or_zero(nano_weights(qty, scale.value, scale.equity[:, 0]))


def _after_exits(view: View, exit_qty: F8) -> F8:
    """Nanoweights of the book once the exits are filled."""
    qty = view.books.qty
    left = np.divide(qty + exit_qty, qty, out=np.ones_like(qty), where=(qty != 0) & (exit_qty != 0))
    book: F8 = np.trunc(view.held * left)
    return book


def _passed(view: View, meet: Constraint, before: F8, after: F8, risk: Risk) -> B1:
    """Budgets that ``after`` is over and further over than ``before``, bool [A, 4]."""
    passed = np.zeros((len(after), len(BUDGETS)), dtype=np.bool_)

    def measure(book: F8, budget: int) -> F8:
        if budget == VOL:
            return book_volatility(book, risk)
        if budget == NET:
            book = book.sum(axis=1, keepdims=True)
        size = np.abs(book)
        held: F8 = size @ view.market.members if budget == GROUP else size.sum(axis=1)
        return held

    grid = float(after.shape[1])  # one nanoweight an asset
    for budget, limit, slack in (
        (GROSS, meet.gross, 0.0),
        (GROUP, meet.group, 0.0),
        (NET, meet.net, grid),
        (VOL, meet.vol, 1e-9),
    ):
        if limit is not None:
            now = measure(after, budget)
            over = now > limit + slack
            if holds(over):
                over &= now > measure(before, budget)
                passed[:, budget] = any_asset(over)
    return passed


def within_budgets(
    view: View, meet: Constraint, exit_qty: F8, entry_qty: F8, entering: F8, risk: Risk, scale: Scale
) -> tuple[F8, B1]:
    """Entries scaled to what the budgets leave beside a book whose exits are not through yet.

    The target keeps every budget, but paced, skipped or banded legs arrive later: gross and group entries share
    what is left; of net and volatility only the entries that add to them are cut, never those that hedge.
    """
    waiting = np.zeros((*entry_qty.shape, len(BUDGETS)), dtype=np.bool_)
    if not holds(entry_qty):
        return entry_qty, waiting
    base = _after_exits(view, exit_qty)
    over = _passed(view, meet, base, base + entering, risk)
    if not holds(over):
        return entry_qty, waiting
    shares = (
        _share_of_gross(meet, base, entering),
        _share_of_groups(view, meet, base, entering),
        _share_of_net(meet, base, entering),
        _share_of_volatility(meet, base, entering, risk),
    )
    factor = np.ones(entry_qty.shape)
    for budget, share in enumerate(shares):
        share = np.where(over[:, budget, None], share, 1.0)
        waiting[..., budget] = (share < 1.0) & (entry_qty != 0)
        factor = np.minimum(factor, share)
    return np.where(factor < 1.0, scale.lots(entry_qty * factor), entry_qty) + 0.0, waiting


def _share(room: F8, wanted: F8) -> F8:
    return np.divide(
        np.maximum(room, 0.0), wanted, out=np.ones_like(wanted), where=wanted > np.maximum(room, 0)
    )


def _share_of_gross(meet: Constraint, base: F8, entering: F8) -> F8 | float:
    if meet.gross is None:
        return 1.0
    return _share(meet.gross - np.abs(base).sum(axis=1), np.abs(entering).sum(axis=1))[:, None]


def _share_of_groups(view: View, meet: Constraint, base: F8, entering: F8) -> F8 | float:
    if meet.group is None:
        return 1.0
    members = view.market.members
    per_set = _share(meet.group - np.abs(base) @ members, np.abs(entering) @ members)
    per_asset: F8 = np.take(per_set, members.argmax(axis=1), axis=1)
    return per_asset


def _share_of_net(meet: Constraint, base: F8, entering: F8) -> F8 | float:
    if meet.net is None:
        return 1.0
    side = np.where((base + entering).sum(axis=1) >= 0, 1.0, -1.0)[:, None]
    adding = np.maximum(side * entering, 0.0)
    others = (side * (base + entering) - adding).sum(axis=1)
    return np.where(adding > 0, _share(meet.net - others, adding.sum(axis=1))[:, None], 1.0)


def _share_of_volatility(meet: Constraint, base: F8, entering: F8, risk: Risk) -> F8 | float:
    if meet.vol is None:
        return 1.0
    after = (base + entering) / NANO
    adds = (entering != 0) & (marginal_variance(after, risk.sigma, risk.rho, risk.blind) > 0)
    adding = np.where(adds, entering / NANO, 0.0)
    terms = variance_terms(adding, after - adding, np.ones_like(adding), risk.sigma, risk.rho, risk.blind)
    return np.where(adds, largest_factor(*terms, meet.vol)[:, None], 1.0)


def all_or_none(
    view: View, meet: Constraint, exit_qty: F8, entry_qty: F8, risk: Risk, scale: Scale
) -> tuple[F8, B1]:
    """Lots and dropped legs may undo a hedge: then no entry of the account leaves in this step."""
    waiting = np.zeros((*entry_qty.shape, len(BUDGETS)), dtype=np.bool_)
    base = _after_exits(view, exit_qty)
    over = _passed(view, meet, base, base + weights_of(entry_qty, scale), risk)
    if not holds(over):
        return entry_qty, waiting
    waiting = over[:, None, :] & (entry_qty != 0)[..., None]
    return np.where(any_asset(over)[:, None], 0.0, entry_qty), waiting
