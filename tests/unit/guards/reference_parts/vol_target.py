"""Guard 4, in plain Python: one part of the reference that the array form is compared with."""

from __future__ import annotations

import math
from statistics import NormalDist

from tests.unit.guards.reference_parts.common import (
    nano,
    number,
)

from regime_trading.core.rules import LATCHING_RULES, TIMER_RULES, Release
from regime_trading.core.schemas import REGIME_LABELS


class VolTarget:
    """Methods of ``reference.Account``."""

    def volatility(self):
        m = self.m
        if r := self.on("VT-01"):
            self.meet.vol = float(r.sigma_target)
            seen = int(self.s.k_session[self.a])
            if seen >= 0 and math.isfinite(self.meet.vol):
                most = float(r.max_k_rise) * max(m.session - seen, 0)
                last = number(self.s.k_last[self.a]) or 0.0
                self.meet.rises.append(("VT-01", last, most, float(r.min_k_change)))
        if (r := self.on("VT-02")) and math.isfinite(r.max_annual_vol):
            for i, sigma in enumerate(self.sigma):
                if sigma is None:
                    self.block(i)
                else:
                    most = nano(float(r.max_annual_vol) / (sigma * math.sqrt(self.annual)))
                    self.meet.box(i, -most, most)
        if r := self.on("VT-03"):
            self.shocks(r)
        if r := self.on("VT-04"):
            known = 0 <= m.label < len(REGIME_LABELS)
            factor = float(getattr(r, REGIME_LABELS[m.label] if known else "uncertain"))
            if not known or not float(r.min_confidence) <= m.confidence <= 1:
                factor = min(factor, float(r.uncertain))
            self.meet.slow(factor)
        if (r := self.on("VT-05")) and math.isfinite(r.max_es):
            self.tails(r)
        if self.on("VT-06"):
            for i in range(self.n):
                if self.sigma[i] is None:
                    self.block(i)

    def shocks(self, r):
        until = self.m.ts_ns + r.hold_s * 10**9
        row = TIMER_RULES.index("VT-03")
        for i, x in enumerate(self.m.signals.shock_sigmas):
            move = number(x)
            if move is None or move < 0:
                self.block(i)
            elif move > float(r.sigmas):
                self.hold("VT-03", i, until)
                self.block(i)
            if self.s.timer_ns[self.a, row, i] > self.m.ts_ns:
                self.block(i)
        market = number(self.m.signals.market_shock_sigmas)
        market = None if market is None or market < 0 else market
        if market is not None and market > float(r.sigmas):
            self.latch("VT-03", 0, Release.TIMED, until)
        if market is None or "VT-03" in self.fired or self.latched("VT-03"):
            self.meet.slow(float(r.market_throttle))

    def latched(self, rule_id):
        return self.s.latch_kind[self.a, LATCHING_RULES.index(rule_id)] >= 0

    def tails(self, r):
        """Historical shortfall is a budget; the expansion of Cornish and Fisher scales the book as proposed."""
        confidence, limit = float(r.confidence), float(r.max_es)
        used = [i for i in range(self.n) if self.p[i] or self.qty[i] or self.held_weight[i]]
        rows = self.m.signals.scenarios
        complete = sum(all(math.isfinite(row[i]) for i in used) for row in rows)
        if used and complete < r.min_obs:
            for i in range(self.n):
                self.block(i)
        self.meet.tails.append(("VT-05", confidence, limit))
        expanded = self.cornish_fisher(self.losses(self.p, [0] * self.n, [1.0] * self.n)[0], confidence)
        if expanded > limit:
            whole = sum(abs(x) for x in self.p) * (limit * (1.0 - 1e-7) / expanded)
            self.meet.tilts.append(("VT-05", [(x > 0) - (x < 0) for x in self.p], whole))

    @staticmethod
    def cornish_fisher(losses, confidence):
        if not losses:
            return 0.0
        n, alpha = len(losses), 1.0 - confidence
        mean = sum(-x for x in losses) / n
        around = [-x - mean for x in losses]
        variance = sum(x * x for x in around) / n
        skew = excess = 0.0
        if variance > 0:
            skew = sum(x * x * x for x in around) / n / (variance * math.sqrt(variance))
            excess = sum(x * x * x * x for x in around) / n / (variance * variance) - 3.0
        z = NormalDist().inv_cdf(alpha)
        bend = 1.0 + z * skew / 6.0 + (z * z - 1.0) * excess / 24.0 + (1.0 - 2.0 * z * z) * skew * skew / 36.0
        return max(math.sqrt(variance) * NormalDist().pdf(z) / alpha * bend - mean, 0.0)

    def effective_sigma(self):
        """Annualised σ and blindness of every asset."""
        said = self.meet  # asking for parameters of another rule must not change who speaks
        r, year = self.rules["VT-06"], math.sqrt(self.annual)
        known = sorted(v for v in self.sigma if v is not None)
        half = len(known) // 2
        median = 0.0
        if known:
            median = known[half] if len(known) % 2 else (known[half - 1] + known[half]) / 2
        prior = max(float(r.class_prior) / year, float(r.median_multiple) * median)
        sigma, blind = [], []
        for i in range(self.n):
            substitute = self.sigma[i] is None or self.thin(i)
            own = self.sigma[i] or self.price_sigma[i] or 0.0
            last = number(self.s.last_sigma[self.a, i]) or 0.0
            sigma.append((max(prior, last, own) if substitute else own) * year)
            blind.append(substitute or self.ill())
        self.meet = said
        return sigma, blind
