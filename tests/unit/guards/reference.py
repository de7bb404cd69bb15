"""``decide()`` for one account in plain Python: loops, ifs and floats, read off the rule catalogue.

It is what the array form is compared with, so it shares nothing with it but the shape of its inputs: parameters
are the validated models themselves, weights are whole numbers of nanoweights, ``None`` means unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tests.unit.guards.reference_parts.blackout import Blackout
from tests.unit.guards.reference_parts.common import (
    Meet,
    number,
)
from tests.unit.guards.reference_parts.concentration import Concentration
from tests.unit.guards.reference_parts.data_sanity import DataSanity
from tests.unit.guards.reference_parts.drawdown import Drawdown
from tests.unit.guards.reference_parts.lattice import Lattice
from tests.unit.guards.reference_parts.liquidity import Liquidity
from tests.unit.guards.reference_parts.vol_target import VolTarget

from regime_trading.core.rules import RULE_BY_ID, Release


@dataclass
class Answer:
    """What the comparison looks at."""

    target: list
    mode: int
    k: float
    throttle: float
    authority: int
    step: list
    fired: dict
    timers: dict
    cancels: list
    refused: bool
    sigma_tilde: float


class Account(DataSanity, Blackout, Drawdown, VolTarget, Concentration, Liquidity, Lattice):
    """One account at one instant."""

    def __init__(self, view, a, profiles, annual):
        m, b, s = view.market, view.books, view.states
        self.view, self.a, self.all, self.annual = view, a, profiles, annual
        self.m, self.s, self.rules = m, s, profiles[a]
        self.n = len(m.symbols)
        self.E = number(b.equity[a])
        self.estimated = bool(b.equity_estimated[a])
        self.qty = [float(q) for q in b.qty[a]]
        self.working = [
            min(abs(float(w)), abs(q)) for w, q in zip(b.working_exit_qty[a], self.qty, strict=True)
        ]
        weighable = self.E is not None and self.E > 0
        self.current = [int(c) if weighable and math.isfinite(c) else None for c in b.current[a]]
        self.current = [c if q else 0 for c, q in zip(self.current, self.qty, strict=True)]
        self.held_weight = [c or 0 for c in self.current]
        self.price = [p if (p := number(x)) is not None and p > 0 else None for x in m.price]
        self.sigma = [
            v if (v := number(x)) is not None and v > 0 and m.n_obs[i] > 0 else None
            for i, x in enumerate(m.sigma)
        ]
        alone = m.sigma if m.price_sigma is None else m.price_sigma
        self.price_sigma = [
            v if (v := number(x)) is not None and v > 0 and m.n_obs[i] > 0 else self.sigma[i]
            for i, x in enumerate(alone)
        ]
        self.hard, self.soft = Meet(self.n), Meet(self.n)
        self.meet = self.hard
        self.fired, self.timers = {}, {}
        raw = [number(p) for p in b.proposed[a]]
        self.refused = self.check_proposal(raw, b.proposal_age_bars[a])
        self.keep = [self.refused or not b.mentioned[a, i] for i in range(self.n)]
        self.p = [self.held_weight[i] if self.keep[i] else int(raw[i]) for i in range(self.n)]
        for i in range(self.n):
            if not b.mentioned[a, i]:
                self.meet.hull(i, self.held_weight[i])

    def on(self, rule_id):
        """Parameters of the rule where it is on and can be evaluated; from here on ``meet`` is that of its kind."""
        spec, rule = RULE_BY_ID[rule_id], self.rules[rule_id]
        self.meet = self.hard if spec.hard else self.soft
        told = self.says(*spec.inputs) and self.says(*spec.measured, itself=True)
        return rule if rule.enabled and told else None

    def says(self, *names, itself=False):
        """Whether the source or the broker, or what is declared for them, says all of this."""
        said = self.m.provided | self.view.books.broker.provided
        return all(name in said or (not itself and name in self.m.substituted) for name in names)

    def latch(self, rule_id, state, release, until_ns=None):
        """The rule fires its latch now; a latch of this instant acts at once."""
        self.fired[rule_id] = (int(state), int(release), until_ns)

    def hold(self, rule_id, i, until_ns):
        """The rule starts a timer on asset ``i``."""
        self.timers[rule_id, i] = until_ns


def judge(view, a, profiles, annual):
    """Account ``a`` after every rule has spoken: its ``meet`` is the strictest of all they said."""
    account = Account(view, a, profiles, annual)
    account.data_sanity()
    account.blackout()
    account.drawdown_circuits()
    account.volatility()
    account.concentration()
    account.liquidity()
    total = Meet(account.n)
    total.join(account.hard)
    total.join(account.soft)
    account.meet = total
    account.proposal = account.project()
    account.meet = total  # asking for a parameter on the way turned it to that rule's kind
    return account


def decide_one(view, a, profiles, annual):
    """Answer for account ``a``; ``profiles`` holds one mapping of validated rule parameters per account."""
    account = judge(view, a, profiles, annual)
    target, k, sigma_tilde = account.proposal
    step = account.plan(target)
    return Answer(
        target=target,
        mode=account.meet.mode,
        k=k,
        throttle=account.meet.throttle,
        authority=max(account.meet.authority, int(account.meet.mode > 0)),
        step=step,
        fired={rule: (state, Release(kind)) for rule, (state, kind, _) in account.fired.items()},
        timers=account.timers,
        cancels=account.cancels,
        refused=account.refused,
        sigma_tilde=sigma_tilde,
    )
