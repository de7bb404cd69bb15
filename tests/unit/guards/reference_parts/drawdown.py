"""Guard 3, in plain Python: one part of the reference that the array form is compared with."""

from __future__ import annotations

import math

from tests.unit.guards.reference_parts.common import (
    FLATTEN,
    INF,
    LOCKED,
    NORMAL,
    REDUCE_ONLY,
    nano,
    number,
)

from regime_trading.core.rules import LATCHING_RULES, Authority, Release, TradingState

SECOND = 10**9


class Drawdown:
    """Methods of ``reference.Account``."""

    def drawdown_circuits(self):
        s, a = self.s, self.a
        if r := self.on("LD-01"):
            (limit,) = self.daily(r, a)
            self.circuit("LD-01", r, [limit], self.estimated, act=int(r.on_act))
        if r := self.on("LD-02"):
            self.ladder(r)
        for rule_id, measured in (("LD-03", self.static), ("LD-04", self.trailing), ("LD-05", self.trailing)):
            if r := self.on(rule_id):
                self.circuit(rule_id, r, measured(r, a), self.estimated, locks=True)
        if r := self.on("LD-06"):
            self.circuit("LD-06", r, self.periodic(r, a), self.estimated)
        for rule in (self.positions, self.streak, self.velocity, self.give_back, self.best_day, self.stress):
            rule()
        if r := self.on("LD-13"):
            firm = [b for b, f in enumerate(self.view.books.firm) if f == self.view.books.firm[a]]
            pairs = [self.loss_today(b) for b in firm]
            anchors, losses = [x for x, _ in pairs], [x for _, x in pairs]
            base = None if None in anchors else sum(sorted(anchors))
            loss = None if None in losses else sum(sorted(losses))
            estimated = any(self.view.books.equity_estimated[b] for b in firm)
            self.judge("LD-13", r, [(loss, self.limit_of(r.limit_pct, base, r.limit_money))], estimated)
        self.outside()
        self.meet = self.hard
        for column in range(s.latch_kind.shape[1]):
            if s.latch_kind[a, column] >= 0:
                self.meet.at_least(int(s.latch_state[a, column]))
        for state, *_ in self.fired.values():
            self.meet.at_least(state)

    # --- floors ---------------------------------------------------------------------------------------------

    @staticmethod
    def limit_of(pct, base, money):
        pct, money = float(pct), float(money)
        if math.isinf(pct):
            return money
        return None if base is None else min(pct * base, money)

    def field(self, name, b):
        return number(getattr(self.s, name)[b])

    def loss_today(self, b, choice="equity"):
        anchor = self.anchor(b, choice)
        now = number(self.view.books.equity[b])
        return anchor, None if None in (anchor, now) else anchor + float(self.s.day_flow[b]) - now

    def anchor(self, b, choice, balance=None, equity=None):
        balance = self.field("day_anchor_balance", b) if balance is None else balance
        equity = self.field("day_anchor_equity", b) if equity is None else equity
        wanted = {"balance": [balance], "equity": [equity], "max": [balance, equity]}[choice]
        return None if None in wanted else max(wanted)

    def daily(self, r, b, tomorrow=False):
        """(reference, limit) of the day, or of the day that would begin now."""
        flow = 0.0 if tomorrow else float(self.s.day_flow[b])
        if tomorrow:
            now = number(self.view.books.balance[b]), self.E
            wanted = {"balance": [now[0]], "equity": [now[1]], "max": list(now)}[r.anchor]
            anchor = None if None in wanted else max(wanted)
        else:
            anchor = self.anchor(b, r.anchor)
        base = self.field("initial_capital", b) if r.base == "initial" else anchor
        limit = self.limit_of(r.limit_pct, base, r.limit_money)
        return [(None if anchor is None else anchor + flow, limit)]

    def capital(self, r, b):
        """Initial capital as flows have moved it, and the factor that limits scale with; None where unknown."""
        initial, units, flows = (self.field(n, b) for n in ("initial_capital", "units", "flows"))
        if r.flow_policy == "unitized":
            if initial is None or units is None or initial == 0:
                return None, None
            return initial * (units / initial), units / initial
        if r.flow_policy == "shift":
            return (None if initial is None or flows is None else initial + flows), 1.0
        return initial, 1.0

    @staticmethod
    def scaled(limit, factor):
        if limit is not None and math.isinf(limit):
            return INF
        return None if None in (limit, factor) else limit * factor

    def static(self, r, b, tomorrow=False):
        base, factor = self.capital(r, b)
        limit = self.limit_of(r.limit_pct, self.field("initial_capital", b), r.limit_money)
        return [(base, self.scaled(limit, factor))]

    def trailing(self, r, b, tomorrow=False):
        base, factor = self.capital(r, b)
        limit = self.scaled(self.limit_of(r.limit_pct, self.field("initial_capital", b), r.amount), factor)
        end_of_day = hasattr(r, "lock_at")
        marks = [base, self.field("eod_hwm" if end_of_day else "equity_hwm", b)]
        if end_of_day and tomorrow:
            marks.append(number(self.view.books.balance[b]))
        if None in marks or limit is None:
            return [(None, limit)]
        reference = max(marks)
        if end_of_day and r.lock_at == "initial":
            reference = min(reference, base + limit)
        if not end_of_day:
            offset = self.scaled(float(r.lock_offset), factor)
            reference = None if offset is None else min(reference, base + offset + limit)
        return [(reference, limit)]

    def periodic(self, r, b, tomorrow=False):
        found = []
        for period, name in (("week", "weekly"), ("month", "monthly")):
            anchor, flow = self.field(f"{period}_anchor", b), self.field(f"{period}_flow", b)
            limit = self.limit_of(getattr(r, f"{name}_pct"), anchor, getattr(r, f"{name}_money"))
            found.append((None if None in (anchor, flow) else anchor + flow, limit))
        return found

    def circuit(self, rule_id, r, measured, estimated, act=FLATTEN, locks=False):
        losses = [(None if None in (ref, self.E) else ref - self.E, limit) for ref, limit in measured]
        self.judge(rule_id, r, losses, estimated, act, locks)

    def judge(self, rule_id, r, losses, estimated, act=FLATTEN, locks=False):
        """soft throttles, warn reduces, act acts and latches; the limit itself latches harder."""
        acting = harder = False
        for loss, limit in losses:
            if limit is not None and math.isinf(limit):
                continue
            if loss is None or limit is None:
                self.meet.at_least(REDUCE_ONLY)
                continue
            if not locks and loss >= float(r.soft) * limit:
                self.meet.slow(0.5)
            if not locks and loss >= float(r.warn) * limit:
                self.meet.at_least(REDUCE_ONLY)
            if loss >= float(r.act) * limit:
                self.meet.at_least(REDUCE_ONLY)
                acting = True
                harder |= loss >= limit and hasattr(r, "on_external")
        if acting and not estimated:
            state = act if not harder else LOCKED if locks else FLATTEN
            self.latch(rule_id, state, r.on_external if harder else r.release)

    def ladder(self, r):
        s, a = self.s, self.a
        drawdown = None
        if self.E is not None and s.units[a] != 0 and s.unit_hwm[a] != 0:
            drawdown = number(1.0 - self.E / float(s.units[a]) / float(s.unit_hwm[a]))
        reached = sum(drawdown is not None and drawdown >= float(rung.at) for rung in r.ladder) - 1
        depth = max(int(s.rung[a]), reached)
        state = NORMAL
        for at, rung in enumerate(r.ladder[: depth + 1]):
            if isinstance(rung.action, str):
                if at > s.acknowledged_rung[a]:
                    state = max(state, TradingState[rung.action])
            else:
                self.meet.slow(float(rung.action))
        if self.E is not None and self.E <= 0:
            state = LOCKED
        if self.estimated:
            state = min(state, REDUCE_ONLY)
        self.meet.at_least(state if drawdown is not None else max(state, REDUCE_ONLY))
        if state >= FLATTEN:
            self.latch("LD-02", state, r.lock_release if state == LOCKED else r.flatten_release)
        if r.ramp_sessions and s.ramp_left[a] > 0:
            self.meet.slow(0.25 if s.ramp_left[a] / r.ramp_sessions > 0.5 else 0.5)

    # --- positions, streaks, velocity, profits --------------------------------------------------------------

    def open_profit(self, i):
        average = number(self.view.books.broker.avg_price[self.a, i])
        if not self.qty[i]:
            return 0.0
        if self.price[i] is None or not average:
            return None
        return number(
            self.qty[i] * (self.price[i] - average) * (float(self.m.multiplier[i]) * float(self.m.fx[i]))
        )

    def block_all(self):
        for i in range(self.n):
            self.meet.hull(i, self.held_weight[i])

    def empty(self, i):
        self.meet.box(i, 0, 0)
        self.meet.shrink(i, 0.0)

    def positions(self):
        r = self.on("LD-07")
        if not r:
            return
        share, money, attach = (float(x) for x in (r.max_loss_pct_equity, r.max_mae, r.stop_attach_s))
        solvent = self.E is not None and self.E > 0
        for i in range(self.n):
            if not self.qty[i]:
                continue
            profit = self.open_profit(i)
            hit = lost = False
            if math.isfinite(money):
                lost |= profit is None
                hit |= profit is not None and -profit >= money
            if math.isfinite(share):
                lost |= profit is None or not solvent
                hit |= profit is not None and solvent and nano(min(-profit / self.E, 1e9)) >= nano(share)
            if hit and not self.estimated:
                self.empty(i)
            bare = False
            if math.isfinite(attach) and self.says("stops"):
                seconds = float(self.view.books.broker.unprotected_s[self.a, i])
                bare = math.isnan(seconds) or seconds > attach
            if hit or lost or bare:
                self.meet.hull(i, self.held_weight[i])

    def streak(self):
        r = self.on("LD-08")
        if not r:
            return
        now = self.m.ts_ns
        times = [int(t) for t in self.s.loss_exit_ns[self.a] if t >= now - r.window_s * SECOND]
        until = max(times) + r.hold_s * SECOND if times else 0
        fires = len(times) >= r.count and until > now
        if fires:
            self.latch("LD-08", NORMAL, Release.TIMED, until)
        if fires or self.s.latched("LD-08")[self.a]:
            self.block_all()

    def velocity(self):
        r = self.on("LD-09")
        if not r or (math.isinf(r.reduce_pct) and math.isinf(r.flatten_pct)):
            return
        now, units = self.m.ts_ns, float(self.s.units[self.a])
        unit = None if self.E is None or units == 0 else number(self.E / units)
        if unit is None:
            self.meet.at_least(REDUCE_ONLY)
            return
        peak = unit
        for at, sample in zip(self.s.recent_ns[self.a], self.s.recent_unit[self.a], strict=True):
            if at >= now - r.window_s * SECOND and not math.isnan(sample):
                peak = max(peak, float(sample))
        if peak <= 0:
            self.meet.at_least(REDUCE_ONLY)
            return
        lost = 1.0 - unit / peak
        flatten = lost >= float(r.flatten_pct)
        if flatten or lost >= float(r.reduce_pct):
            self.meet.at_least(REDUCE_ONLY)
            if not self.estimated:
                until = now + r.hold_s * SECOND
                if flatten:
                    self.latch("LD-09", FLATTEN, Release.MANUAL, until)
                else:
                    self.latch("LD-09", REDUCE_ONLY, Release.TIMED, until)

    def give_back(self):
        r = self.on("LD-10")
        if not r or math.isinf(r.share):
            return
        anchor, peak = self.field("day_anchor_equity", self.a), self.field("day_peak", self.a)
        if None in (anchor, peak, self.E):
            self.meet.at_least(REDUCE_ONLY)
            return
        now = self.E - float(self.s.day_flow[self.a])
        peak = max(peak, now)
        gain = peak - anchor
        if gain > 0 and gain >= float(r.min_gain) * anchor and (peak - now) / gain >= float(r.share):
            self.meet.at_least(REDUCE_ONLY)
            if not self.estimated:
                self.latch("LD-10", REDUCE_ONLY, Release.NEXT_SESSION)

    def best_day(self):
        r = self.on("LD-11")
        if not r or r.best_day_share >= 1:
            return
        anchor, others = self.field("day_anchor_equity", self.a), self.field("closed_profit", self.a)
        if None in (anchor, others, self.E):
            self.meet.at_least(REDUCE_ONLY)
            return
        x = float(r.best_day_share)
        today = self.E - anchor - float(self.s.day_flow[self.a])
        if others > 0 and today >= x / (1.0 - x) * others:
            self.block_all()
            if r.on_cap == "EXIT" and not self.estimated:
                for i in range(self.n):
                    self.empty(i)

    # --- stress ---------------------------------------------------------------------------------------------

    def budget(self, tomorrow):
        """Smallest distance to a floor at which a rule acts, INF without one, None where one is unknown."""
        measures = {
            "LD-01": self.daily,
            "LD-03": self.static,
            "LD-04": self.trailing,
            "LD-05": self.trailing,
            "LD-06": self.periodic,
        }
        highest = -INF
        for rule_id, measure in measures.items():
            r = self.rules[rule_id]
            if not r.enabled:
                continue
            for reference, limit in measure(r, self.a, tomorrow):
                if limit is not None and math.isinf(limit):
                    continue
                if limit is None or reference is None:
                    return None
                highest = max(highest, reference - float(r.act) * limit)
        if math.isinf(highest):
            return INF
        return None if self.E is None else self.E - highest

    def near(self, lead):
        for i in range(self.n):
            if self.p[i] or self.qty[i]:
                for seconds in (self.m.signals.to_close_s[i], self.m.to_event_s[i]):
                    if not seconds > lead:
                        return True
        return False

    def stress(self):
        r = self.on("LD-12")
        if not r or r.when == "never":
            return
        if self.says("session_clock") and r.when == "before_close" and not self.near(r.lead_s):
            return
        rooms = [self.budget(False), self.budget(True)]
        if rooms == [INF, INF]:
            return
        if None in rooms or not self.E or self.E <= 0:
            self.meet.at_least(REDUCE_ONLY)
            return
        limit = nano(float(r.share_of_budget) * max(min(rooms), 0.0) / self.E)
        single, sigmas = float(r.single_name), float(r.sigmas)
        sigma_load, gap_load = {}, {}
        for i in range(self.n):
            last = max(number(self.s.last_sigma[self.a, i]) or 0.0, self.price_sigma[i] or 0.0)
            known = self.sigma[i]
            sigma_load[i] = sigmas * known if known else max(single, sigmas * last)
            gaps = [0.0]
            for side, facts in ((1, self.m.instruments.gap_down), (-1, self.m.instruments.gap_up)):
                if side * self.p[i] > 0 or side * self.held_weight[i] > 0:
                    gap = number(facts[i])
                    gaps.append(single if gap is None or gap < 0 else gap)
            gap_load[i] = max(gaps)
        size = [abs(w) for w in self.p]
        worst = max(
            sum((size[i] * sigma_load[i] for i in range(self.n)), 0.0),
            sum((size[i] * gap_load[i] for i in range(self.n)), 0.0),
            max((size[i] * single for i in range(self.n)), default=0.0),
        )
        if self.estimated and worst > limit:
            self.meet.at_least(REDUCE_ONLY)
            return
        self.meet.caps.append(("LD-12", sigma_load, limit))
        self.meet.caps.append(("LD-12", gap_load, limit))
        if single > 0:
            for i in range(self.n):
                self.meet.box(i, -math.trunc(limit / single), math.trunc(limit / single))

    # --- what others say ------------------------------------------------------------------------------------

    def outside(self):
        a, broker = self.a, self.view.books.broker
        if self.on("LD-14") and broker.violated[a]:
            self.meet.at_least(LOCKED)
            self.meet.cancel = [True] * self.n
            self.latch("LD-14", LOCKED, Release.TERMINAL)
        if self.on("LD-15"):
            self.kill()
        if r := self.on("LD-16"):
            self.margin(r)

    def kill(self):
        s, a = self.s, self.a
        level = min(max(int(s.kill_level[a]), 0), 4)
        if level == 0 and s.latched("LD-15")[a]:
            column = LATCHING_RULES.index("LD-15")
            level = {NORMAL: 4, REDUCE_ONLY: 2, FLATTEN: 3, LOCKED: 3}[int(s.latch_state[a, column])]
        if level == 0:
            return
        state = {1: REDUCE_ONLY, 2: REDUCE_ONLY, 3: LOCKED, 4: NORMAL}[level]
        authority = Authority.CANCEL_ONLY if level == 4 else Authority.RISK_REDUCING
        self.meet.at_least(state)
        self.meet.authority = max(self.meet.authority, int(authority))
        if level >= 2:
            self.meet.cancel = [True] * self.n
        self.latch("LD-15", state, Release.MANUAL)

    def margin(self, r):
        least = float(r.min_equity)
        if least > 0 and (self.E is None or least >= self.E):
            self.meet.at_least(REDUCE_ONLY)
        block_at, reduce_at = float(r.margin_block), float(r.margin_reduce)
        if not self.says("margin") or (math.isinf(block_at) and math.isinf(reduce_at)):
            return
        used = number(self.view.books.broker.margin_used[self.a])
        if used is None or used < 0 or self.E is None or self.E <= 0:
            self.meet.at_least(REDUCE_ONLY)
            return
        use = used / self.E
        if use > block_at or use > reduce_at:
            self.meet.at_least(REDUCE_ONLY)
        if use > reduce_at and not self.estimated:
            held = [i for i in range(self.n) if self.qty[i]]
            losing = [i for i in held if self.open_profit(i) is None or self.open_profit(i) < 0]
            for i in losing or held:
                self.meet.hull(i, math.trunc(self.held_weight[i] * min(block_at / use, 1.0)))
