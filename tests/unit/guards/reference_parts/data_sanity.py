"""Guard 1, in plain Python: one part of the reference that the array form is compared with."""

from __future__ import annotations

import math

from tests.unit.guards.reference_parts.common import (
    REDUCE_ONLY,
    nano,
    number,
)

from regime_trading.core.rules import RECOVERING_RULES, TIMER_RULES

FOREVER = 2**63 - 1
SPLITS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 100, 1.5, 2.5)
OPEN, AUCTION, HALTED, LOCKED_LIMIT, CLOSED = range(5)


def positive(x):
    """A number above zero, else None."""
    return float(x) if math.isfinite(x) and x > 0 else None


def at_most(age, limit):
    """An age that is known, not from the future, and within its limit."""
    return not math.isnan(age) and 0 <= age <= float(limit)


class DataSanity:
    """Methods of ``reference.Account``."""

    def check_proposal(self, raw, age):
        r = self.rules["DS-11"]
        never = math.isnan(age) or None in raw
        weights = [abs(w) for w in raw if w is not None]
        bad = never or not 0 <= age <= float(r.max_age_bars)
        bad = bad or any(w > nano(float(r.abs_weight_max)) for w in weights)
        bad = bad or sum(weights) > nano(float(r.gross_max))
        if bad and r.enabled:
            for i in range(self.n):
                self.meet.hull(i, self.held_weight[i])
        return never or (bad and r.enabled)

    def block(self, i):
        self.meet.hull(i, self.held_weight[i])

    def frozen(self, i):
        self.meet.frozen[i] = True

    def recover(self, rule_id, i, dirty):
        """A rule that recovers: what is clean again stays blocked while observations are missing."""
        if dirty or self.s.unclean[self.a, RECOVERING_RULES.index(rule_id), i] > 0:
            self.block(i)

    def status(self, i):
        return int(self.m.signals.status[i])

    def shut(self, i):
        return self.says("status") and self.status(i) == CLOSED

    def data_sanity(self):
        m = self.m
        for i in range(self.n):
            self.stale(i)
            if self.on("DS-02") and self.says("close"):
                self.recover("DS-02", i, self.price[i] is None)
                if self.price[i] is None:
                    self.frozen(i)
            ref = number(m.ref_price[i])
            if (r := self.on("DS-03")) and self.says("close") and self.price[i] and ref and ref > 0:
                sigma = number((m.sigma if m.price_sigma is None else m.price_sigma)[i]) or 0.0
                if abs(math.log(self.price[i] / ref)) > max(float(r.k_sigma) * sigma, float(r.abs_move)):
                    self.frozen(i)
            self.book(i)
            if r := self.on("DS-05"):
                complete = number(m.completeness[i])
                if complete is None or complete < float(r.min_completeness) or m.gap[i] > r.max_gap_bars:
                    self.block(i)
            if self.thin(i) or self.ill():
                self.block(i)
            self.sources(i)
            self.exchange_rate(i)
            self.split(i)
            self.metadata(i)
            self.venue(i)
        self.clock()
        self.reconciliation()
        if r := self.on("DS-14"):
            age = self.view.books.equity_age_bars[self.a]
            if self.E is None or self.estimated or not 0 <= age <= float(r.max_age_bars):
                self.meet.at_least(REDUCE_ONLY)

    def stale(self, i):
        r = self.on("DS-01")
        if not r or not self.says("close"):
            return
        signals = self.m.signals
        bad = False
        if not self.shut(i):
            bad = not at_most(self.m.age_bars[i], r.max_age_bars)
            if self.says("quotes", itself=True):
                event, receipt = signals.quote_age_s[i], signals.received_age_s[i]

                def young(limit):
                    ahead_or_behind = math.nan if math.isnan(event) else abs(event)
                    return at_most(ahead_or_behind, limit) and at_most(receipt, limit)

                bad = bad or not young(r.max_quote_age_s)
                if self.qty[i] != 0 and not young(r.hold_age_s):
                    self.meet.at_least(REDUCE_ONLY)
                alive = signals.frozen_updates[i] < r.frozen_updates
                quiet = signals.reference_sigmas[i] <= float(r.frozen_sigmas)
                bad = bad or not (alive or quiet)
        self.recover("DS-01", i, bad)

    def sources(self, i):
        r = self.on("DS-06")
        if not r or not self.says("second_source", itself=True):
            return
        bps, lasted = number(self.m.signals.divergence_bps[i]), self.m.signals.divergence_s[i]
        apart = bps is not None and bps > float(r.max_div_bps)
        self.recover("DS-06", i, apart and (math.isnan(lasted) or lasted >= float(r.after_s)))

    def clock(self):
        r = self.on("DS-07")
        if not r or not self.says("clock", itself=True):
            return
        skew = number(self.m.signals.clock_skew_ms)
        if skew is None or abs(skew) > float(r.max_skew_ms):
            self.meet.at_least(REDUCE_ONLY)
        for i in range(self.n):
            ahead = [-self.m.age_bars[i] * (self.m.bar_ns / 1e6), -self.m.signals.quote_age_s[i] * 1e3]
            ahead = max((x for x in ahead if not math.isnan(x)), default=0.0)
            if ahead > float(r.future_tolerance_ms) or (ahead <= 0 and self.m.signals.future_rows[i]):
                self.block(i)

    def reconciliation(self):
        r = self.on("DS-08")
        if not r or not self.says("recon", itself=True):
            return
        broker, a = self.view.books.broker, self.a
        gap = number(broker.equity_gap[a])
        if gap is None or gap < 0 or gap > float(r.equity_tolerance):
            self.meet.at_least(REDUCE_ONLY)
        if broker.reconciled[a] < r.min_reconciled:
            self.meet.at_least(REDUCE_ONLY)
        for i in range(self.n):
            if broker.mismatch[a, i] != 0:
                self.meet.at_least(REDUCE_ONLY)
                self.block(i)
            if broker.mismatch[a, i] == 2:
                self.frozen(i)
        if gap is not None and gap > float(r.latch_gap) and not self.estimated:
            self.meet.at_least(REDUCE_ONLY)
            self.latch("DS-08", REDUCE_ONLY, r.release)

    def exchange_rate(self, i):
        r = self.on("DS-09")
        if not r or not self.says("fx"):
            return
        saturday = self.m.date.isoweekday() == 6
        limit = r.weekend_max_age_s if saturday else r.fx_max_age_s
        good = positive(self.m.fx[i]) is not None and at_most(self.m.signals.fx_age_s[i], limit)
        self.recover("DS-09", i, not good)

    def split(self, i):
        r = self.on("DS-10")
        if not r or not self.says("close"):
            return
        if self.s.timer_ns[self.a, TIMER_RULES.index("DS-10"), i] > self.m.ts_ns:
            self.frozen(i)
        ref = positive(self.m.ref_price[i])
        if self.price[i] is None or ref is None or self.m.instruments.adjusted[i]:
            return
        move = self.price[i] / ref
        ratios = [*SPLITS, *(1.0 / x for x in SPLITS)]
        if any(abs(move / x - 1.0) <= float(r.tolerance) for x in ratios):
            self.frozen(i)
            self.hold("DS-10", i, FOREVER)

    def metadata(self, i):
        r = self.on("DS-13")
        if not r or not self.says("instruments"):
            return
        facts, m = self.m.instruments, self.m
        not_negative = (m.lot[i], facts.min_notional[i], facts.margin_rate[i])
        known = all(number(x) is not None and x >= 0 for x in not_negative)
        known = known and positive(m.multiplier[i]) is not None and not math.isnan(facts.to_expiry_s[i])
        self.recover("DS-13", i, not (known and at_most(facts.metadata_age_s[i], r.max_age_s)))

    def venue(self, i):
        r = self.on("DS-15")
        if not r or not self.says("status"):
            return
        if self.status(i) not in (OPEN, AUCTION, CLOSED):
            self.block(i)
            self.frozen(i)
        if self.status(i) == AUCTION:
            self.meet.collar[i] = min(self.meet.collar[i], float(r.auction_collar))
        if not self.m.signals.since_resume_s[i] >= float(r.reopen_wait_s):
            self.block(i)

    def spread(self, i):
        """Spread in basis points, None where it is unknown."""
        bps = number(self.m.spread_bps[i])
        unseen = "quotes" in self.m.provided and self.m.book[i] not in (0, 1, 2)
        return None if bps is None or bps < 0 or unseen else bps

    def book(self, i):
        r = self.on("DS-04")
        if not r or not self.says("quotes"):
            return
        bps, broken_price = self.spread(i), self.m.book[i] in (1, 2)
        most = float(r.max_spread_bps)
        wide = bps is not None and bps > most
        blind = bps is None and not broken_price
        self.recover("DS-04", i, self.m.tape_grade[i] == 3 or wide or blind or broken_price)
        if broken_price or (bps is not None and bps > float(r.hard_multiple) * most):
            self.frozen(i)

    def thin(self, i):
        r = self.on("DS-12")
        return bool(r) and self.m.n_obs[i] < r.min_obs

    def ill(self):
        r = self.on("DS-12")
        return bool(r) and not self.m.condition <= float(r.max_condition)
