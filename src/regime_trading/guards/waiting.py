"""What waits: entries that would take the book past a budget while exits are still to come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regime_trading.core.numbers import B1, F8, NANO
from regime_trading.guards.budgets import (
    budget_rules,
    cap_share,
    cap_slack,
    mean_worst,
    pair_share,
    pair_worst,
    scenario_losses,
    tilt_slack,
    tilted,
    used,
)
from regime_trading.guards.constraint import Constraint, Tail, Tilt, holds
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


def books_after(view: View, exit_qty: F8, scale: Scale) -> tuple[F8, ...]:
    """Nanoweights of the book once exits are filled: without the entries that already work at the broker, and with.

    Whether they fill or are cancelled first is not known, and a hedge that may not come is no hedge.
    """
    qty, working = view.books.qty, view.books.broker.working_entry_qty
    left = np.divide(qty + exit_qty, qty, out=np.ones_like(qty), where=(qty != 0) & (exit_qty != 0))
    book: F8 = np.trunc(view.held * left)
    return (book, book + weights_of(working, scale)) if holds(working) else (book,)


def passed(view: View, meet: Constraint, before: F8, after: F8, risk: Risk) -> B1:
    """Budgets that ``after`` is over and further over than ``before``, bool [A, B]."""
    measured = [(used(c, after), used(c, before), c.limit + cap_slack(c)) for c in meet.caps]
    for pair in meet.pairs:
        now, was = (pair_worst(pair, book, risk.rho, risk.blind) for book in (after, before))
        measured.append((now, was, pair.limit))
    for tilt in meet.tilts:
        now, was = (np.abs(tilted(tilt, book)) for book in (after, before))
        measured.append((now, was, tilt.limit + tilt_slack(tilt)))
    for tail in meet.tails:
        now, was = (_shortfall(view, tail, book) for book in (after, before))
        measured.append((now, was, tail.limit + 1e-9))
    if meet.vol is not None:
        measured.append((book_volatility(after, risk), book_volatility(before, risk), meet.vol + 1e-9))
    over = np.zeros((len(after), len(budget_rules(meet))), dtype=np.bool_)
    for column, (now, was, limit) in enumerate(measured):
        over[:, column] = any_asset((now > limit) & (now > was))
    return over


def _shortfall(view: View, tail: Tail, book: F8) -> F8:
    nothing, scenarios = np.zeros_like(book), np.ascontiguousarray(view.market.signals.scenarios)
    return mean_worst(scenario_losses(nothing, book / NANO, nothing, scenarios)[1], tail.confidence)


def within_budgets(
    view: View, meet: Constraint, exit_qty: F8, entry_qty: F8, entering: F8, risk: Risk, scale: Scale
) -> tuple[F8, B1]:
    """Entries scaled to what the budgets leave beside a book whose exits are not through yet.

    The target keeps every budget, but paced, skipped or banded legs arrive later: entries of one set share what is
    left; of signed budgets, shortfall and volatility only the entries that add to them are cut, never those that hedge.
    Also returns which entries wait for which budget, bool [A, N, B].
    """
    waiting = np.zeros((*entry_qty.shape, len(budget_rules(meet))), dtype=np.bool_)
    if not holds(entry_qty):
        return entry_qty, waiting
    factor = np.ones(entry_qty.shape)
    for base in books_after(view, exit_qty, scale):
        over = passed(view, meet, base, base + entering, risk)
        if not holds(over):
            continue
        for budget, share in enumerate(_shares(meet, base, entering, risk)):
            share = np.where(over[:, budget, None], share, 1.0)
            waiting[..., budget] |= (share < 1.0) & (entry_qty != 0)
            factor = np.minimum(factor, share)
    if not holds(waiting):
        return entry_qty, waiting
    return np.where(factor < 1.0, scale.lots(entry_qty * factor), entry_qty) + 0.0, waiting


def _shares(meet: Constraint, base: F8, entering: F8, risk: Risk) -> list[F8]:
    """Share of each entry that each budget leaves beside ``base``, float64 [A, N] per budget."""
    shares = [cap_share(c, base, entering) for c in meet.caps]
    shares += [pair_share(pair, base, entering, risk.rho, risk.blind) for pair in meet.pairs]
    shares += [_share_of_tilt(tilt, base, entering) for tilt in meet.tilts]
    shares += [np.where(entering != 0, 0.0, 1.0) for _ in meet.tails]
    shares += [_share_of_volatility(meet.vol, base, entering, risk)] if meet.vol is not None else []
    return shares


def _share_of_tilt(tilt: Tilt, base: F8, entering: F8) -> F8:
    total = tilted(tilt, base + entering)
    side = np.where(total >= 0, 1.0, -1.0)
    adding = np.where(side[:, None] * tilt.load * entering > 0, entering, 0.0)
    wanted = np.abs(tilted(tilt, adding))
    room = np.maximum(tilt.limit - (side * total - wanted), 0.0)
    share = np.divide(room, wanted, out=np.ones_like(wanted), where=wanted > room)
    return np.where(adding != 0, share[:, None], 1.0)


def _share_of_volatility(limit: F8, base: F8, entering: F8, risk: Risk) -> F8:
    after = (base + entering) / NANO
    adds = (entering != 0) & (marginal_variance(after, risk.sigma, risk.rho, risk.blind) > 0)
    adding = np.where(adds, entering / NANO, 0.0)
    terms = variance_terms(adding, after - adding, np.ones_like(adding), risk.sigma, risk.rho, risk.blind)
    return np.where(adds, largest_factor(*terms, limit)[:, None], 1.0)


def all_or_none(
    view: View, meet: Constraint, exit_qty: F8, entry_qty: F8, risk: Risk, scale: Scale
) -> tuple[F8, B1]:
    """Lots and dropped legs may undo a hedge: then no entry of the account leaves in this step."""
    entering = weights_of(entry_qty, scale)
    found = [passed(view, meet, base, base + entering, risk) for base in books_after(view, exit_qty, scale)]
    over = np.logical_or.reduce(found)
    waiting = over[:, None, :] & (entry_qty != 0)[..., None]
    return np.where(any_asset(over)[:, None], 0.0, entry_qty), waiting
