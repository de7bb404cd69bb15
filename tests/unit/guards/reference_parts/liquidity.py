"""Guard 6, in plain Python: one part of the reference that the array form is compared with."""

from __future__ import annotations

import math

from tests.unit.guards.reference_parts.common import INF, REDUCE_ONLY, nano, number

from regime_trading.core.rules import LATCHING_RULES, TIMER_RULES, Release

ALL, RISK_REDUCING, CANCEL_ONLY = range(3)


def count(x):
    """A number of things, None where it is none."""
    x = number(x)
    return x if x is not None and x >= 0 else None


def sign(x):
    return (x > 0) - (x < 0)


class Traffic:
    """Methods of ``reference.Account``: the rules of order traffic."""

    def said(self, name):
        return getattr(self.view.books.broker, name)[self.a]

    def closing_leg(self, i):
        """Whole nanoweights that close a position."""
        p, held = self.p[i], self.held_weight[i]
        return abs(held) if p * held < 0 else max(abs(held) - abs(p), 0)

    def waits(self, i):
        self.meet.pace_in[i] = 0

    def stops(self, authority):
        self.meet.authority = max(self.meet.authority, authority)

    def working_weight(self, i):
        """Signed whole nanoweights of working entries, None where they are not known."""
        qty = float(self.said("working_entry_qty")[i])
        if qty == 0:
            return 0
        if not math.isfinite(qty) or not self.value(i) or self.E is None or self.E <= 0:
            return None
        return nano(qty * self.value(i) / self.E)

    def breaker(self, rule_id, state, hold_s, third_state=None):
        """TIMED; MANUAL at the third trip of a day."""
        column = LATCHING_RULES.index(rule_id)
        trips = int(self.s.latch_trips[self.a, column]) + (not self.is_latched(rule_id))
        third = trips >= 3
        until = self.m.ts_ns + int(hold_s) * 10**9
        if third and third_state is not None:
            state = third_state
            self.meet.at_least(state)
        self.latch(rule_id, state, Release.MANUAL if third else Release.TIMED, until)

    def is_latched(self, rule_id):
        return self.s.latch_kind[self.a, LATCHING_RULES.index(rule_id)] >= 0

    def traffic(self):
        everyone = range(self.n)
        self.orders(everyone)
        if self.on("XL-12"):
            for i in everyone:
                if self.opens(i) and self.crosses(i):
                    self.waits(i)
        self.fills(everyone)
        if r := self.on("XL-16"):
            age = count(self.said("heartbeat_age_s"))
            late, held = age is not None and age > float(r.max_heartbeat_age_s), self.is_latched("XL-16")
            if late or held or age is None:
                self.stops(RISK_REDUCING)
                for i in everyone:
                    self.meet.cancel[i] |= bool(self.said("working_entry_qty")[i] != 0)
            if late and not held:
                self.breaker("XL-16", 0, r.hold_s)

    def orders(self, everyone):
        if r := self.on("XL-08"):
            sent = [count(self.said(name)) for name in ("orders_1s", "orders_60s", "orders_day")]
            if None in sent or any(
                n >= most for n, most in zip(sent, (r.per_s, r.per_min, r.per_day), strict=True)
            ):
                for i in everyone:
                    self.waits(i)
        for i in everyone:
            sent, working = float(self.said("sent_qty")[i]), self.working_weight(i)
            if self.on("XL-10") and self.opens(i) and (not math.isfinite(sent) or sent * self.p[i] > 0):
                self.waits(i)
            if self.on("XL-11"):
                if working is None:
                    for j in everyone:
                        self.waits(j)
                    self.meet.cancel[i] = True
                elif working:
                    wanted = working * self.p[i] > 0 and abs(working) <= self.opens(i)
                    self.meet.cancel[i] |= not wanted
            if (r := self.on("XL-17")) and self.said("working_entry_qty")[i] != 0:
                age = count(self.said("working_age_s")[i])
                shut = not self.m.venue_open[i] or int(self.m.signals.status[i]) in (2, 3, 4)
                self.meet.cancel[i] |= age is None or age > float(r.max_age_s) or shut
        if r := self.on("XL-14"):
            rejects, timeouts = count(self.said("rejects_60s")), count(self.said("timeouts_60s"))
            storm = rejects is not None and rejects >= r.max_rejects_60s
            if storm or rejects is None:
                self.meet.at_least(REDUCE_ONLY)
            if timeouts is None:
                self.stops(RISK_REDUCING)
            elif timeouts >= r.max_timeouts_60s:
                self.stops(CANCEL_ONLY)
            if storm and not self.is_latched("XL-14"):
                self.breaker("XL-14", REDUCE_ONLY, r.hold_s)

    def fills(self, everyone):
        if r := self.on("XL-09"):
            fills = [count(x) for i in everyone for x in self.said("fills_60s")[i]]
            trips = [count(x) for x in self.said("round_trips_day")]
            over = any(x is not None and x > r.max_fills_60s for x in fills)
            over |= any(x is not None and x > r.max_round_trips_day for x in trips)
            if over or None in fills or None in trips:
                self.meet.at_least(REDUCE_ONLY)
            if over:
                self.latch("XL-09", REDUCE_ONLY, Release.MANUAL)
        if r := self.on("XL-13"):
            tripped = False
            for i in everyone:
                held = self.s.timer_ns[self.a, TIMER_RULES.index("XL-13"), i] > self.m.ts_ns
                fresh = not all(x == 0 for x in self.said("fills_60s")[i])
                bad = fresh and self.said("slippage_bps")[i] > float(r.max_slippage_bps)
                if bad or held:
                    self.block(i)
                if bad and not held:
                    tripped = True
                    self.hold("XL-13", i, self.m.ts_ns + r.hold_s * 10**9)
            if tripped:
                self.breaker("XL-13", 0, r.hold_s, third_state=REDUCE_ONLY)

    def crosses(self, i):
        """Whether another account of the firm acts against this one's entry."""
        firm = self.view.books.firm
        for other in range(len(firm)):
            if other != self.a and firm[other] == firm[self.a]:
                them = type(self)(self.view, other, self.all, self.annual)
                acts = []
                if them.opens(i):
                    acts.append(sign(them.p[i]))
                if them.closing_leg(i):
                    acts.append(-sign(them.held_weight[i]))
                working = float(them.said("working_entry_qty")[i])
                acts += [-1, 1] if math.isnan(working) else [sign(working)]
                if -sign(self.p[i]) in acts:
                    return True
        return False


class Liquidity(Traffic):
    """Methods of ``reference.Account``: the rules of size and cost."""

    def largest_order(self, i, r):
        """Whole nanoweights of one entry and one exit; INF where nothing limits; None where an entry's is unknown."""
        if self.E is None or self.E <= 0:
            return None, INF
        most = min(nano(float(r.max_notional_pct)), nano(float(r.max_notional_money) / self.E))
        if math.isfinite(r.max_qty):
            if not self.value(i):
                return None, most
            exact = min(float(r.max_qty) * self.value(i) / self.E, 1e6)
            whole = nano(exact)
            above = exact * 1e9 - whole > 1e-6 + abs(whole) * 4e-16
            most = min(most, whole + 1 if above else whole)
        return most, most

    def size(self, i, r):
        (most, leaving), opens = self.largest_order(i, r), self.opens(i)
        self.meet.slice_in[i] = 0 if most is None else most
        self.meet.slice_out[i] = leaving
        if not opens:
            return
        lot = (
            0 if self.price[i] is None or not self.E else nano(float(self.m.lot[i]) * self.value(i) / self.E)
        )
        if most is None or opens > most * float(r.reject_multiple) or lot > most:
            self.block(i)

    def collar(self, i, r):
        facts = self.m.instruments
        at = int(facts.asset_class[i])
        name = facts.classes[at] if 0 <= at < len(facts.classes) else ""
        pct = {"fx": r.fx_pct, "crypto": r.crypto_pct}.get(name, r.entry_pct)
        self.meet.collar[i] = float(pct)
        if self.opens(i) and (self.price[i] is None or self.spread(i) is None):
            self.block(i)

    def buying_power(self, r):
        power = number(self.said("buying_power"))
        working = [self.working_weight(i) for i in range(self.n)]
        if power is None or None in working or self.E is None or self.E <= 0:
            for i in range(self.n):
                if self.opens(i):
                    self.block(i)
            return
        budget = nano(min(power / self.E / (1.0 + float(r.fee_pct)), 1e6)) - sum(map(abs, working))
        self.meet.turnover = min(self.meet.turnover, max(budget, 0))

    def impact(self, i, r):
        """The largest entry whose impact is within the cap."""
        cap, sigma, adv = float(r.max_impact_bps), self.price_sigma[i], number(self.m.adv[i])
        if math.isinf(cap):
            return
        if sigma is None or adv is None or adv <= 0 or self.E is None or self.E <= 0:
            most = 0
        else:
            slope = float(r.k_impact) * (sigma * 1e4)
            most = nano(min((cap / slope) ** 2 * (adv / self.E), 1e6)) if slope else INF
        self.meet.pace_in[i] = min(self.meet.pace_in[i], most)

    def adv_weight(self, i, share):
        adv = number(self.m.adv[i])
        if adv is None or adv < 0 or self.E is None or self.E <= 0:
            return None
        return nano(min(share * adv / self.E, 1e6))

    def opens(self, i):
        """Whole nanoweights that open a position."""
        p, held = self.p[i], self.held_weight[i]
        return abs(p) if p * held < 0 else max(abs(p) - abs(held), 0)

    def entry_cost(self, i, k_impact):
        """Basis points, None where one of its parts is unknown."""
        bps, sigma, adv = self.spread(i), self.price_sigma[i], number(self.m.adv[i])
        if None in (bps, sigma, adv, self.E) or adv <= 0 or self.E <= 0:
            return None
        share = self.opens(i) / 1e9 * self.E / adv
        return bps / 2.0 + k_impact * (sigma * 1e4) * math.sqrt(share)

    def liquidity(self):
        for i in range(self.n):
            if r := self.on("XL-01"):
                self.size(i, r)
            if r := self.on("XL-02"):
                self.collar(i, r)
            if r := self.on("XL-03"):
                entry, leave = self.adv_weight(i, float(r.entry_adv)), self.adv_weight(i, float(r.exit_adv))
                self.meet.pace_in[i] = 0 if entry is None else entry
                if leave is not None and leave < abs(self.held_weight[i]):
                    self.meet.pace_out[i] = min(self.meet.pace_out[i], leave)
            if r := self.on("XL-04"):
                limit = self.adv_weight(i, float(r.days) * float(r.adv_share))
                limit = nano(float(r.unknown_adv_weight)) if limit is None else limit
                self.meet.box(i, -limit, limit)
            if (r := self.on("XL-05")) and self.opens(i):
                cost = self.entry_cost(i, float(r.k_impact))
                if cost is None or cost > float(r.max_cost_bps):
                    self.block(i)
            if r := self.on("XL-18"):
                self.impact(i, r)
        if r := self.on("XL-06"):
            self.meet.turnover = min(self.meet.turnover, nano(float(r.max_increase)))
        if r := self.on("XL-15"):
            self.buying_power(r)
        self.traffic()
