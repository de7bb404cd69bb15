"""The meet of all rules for one account, as it is shown and as an allocator reads it. Part of ``core.schemas``.

Weights are fractions of equity. Null is *no bound* in a limit and *not known* in a measure.
"""

from __future__ import annotations

from typing import Literal

from regime_trading.core.analysis import Symbol
from regime_trading.core.rules import AuthorityName, Frozen, Number, ReleaseName, TradingStateName


class ReleaseTerms(Frozen):
    """What holds the account, and who or what lets it go: all of ``latches`` must clear. ``until_ns`` is the latest
    time of those that end by time."""

    kind: ReleaseName
    until_ns: int | None
    latches: tuple[str, ...]


class AssetConstraint(Frozen):
    """What one asset may become: weights within ``[lo, hi]``, at most ``a`` times what was asked for, steps within the
    paces. ``no_trade``: it stays as it is."""

    symbol: Symbol
    lo: Number | None
    hi: Number | None
    a: Number
    tradability: Literal["ok", "no_trade"]
    pace_entry: Number | None
    pace_exit: Number | None
    binding_rules: tuple[str, ...]


class BudgetUse(Frozen):
    """A budget over several assets: its limit, what the targets use of it, and whether it reduced them."""

    limit: Number | None
    used: Number | None
    binding: bool


class ThrottleParts(Frozen):
    """The book factor in force, and what each rule asked for (the smallest counts)."""

    value: Number
    parts: dict[str, Number]


class FloorDistance(Frozen):
    """Equity left before a loss rule acts: in account currency, and as a share of equity."""

    money: Number | None
    share: Number | None


class NextEvent(Frozen):
    """What time alone will change."""

    rule: str
    at_ns: int
    effect: str


class RuleEvaluated(Frozen):
    """One rule's answer, and what it had to do without."""

    id: str
    outcome: str
    value: Number | None
    limit: Number | None
    missing_inputs: tuple[str, ...]


class ConstraintSnapshot(Frozen):
    """Everything the rules said, met. ``constraint_id`` is the hash of the rest.

    ``k`` is the budget factor, ``sigma_tilde`` the volatility of the proposal with credit only for hedges that
    survive, ``sigma_plain`` that of the proposal as it is; annualised.
    """

    constraint_id: str
    trading_state: TradingStateName
    release: ReleaseTerms | None
    authority: AuthorityName
    assets: tuple[AssetConstraint, ...]
    budgets: dict[str, BudgetUse]
    throttle: ThrottleParts
    k: Number
    sigma_tilde: Number | None
    sigma_plain: Number | None
    distance: dict[str, FloorDistance]
    next_events: tuple[NextEvent, ...]
    rules_evaluated: tuple[RuleEvaluated, ...]
