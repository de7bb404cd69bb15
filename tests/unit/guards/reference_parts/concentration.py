"""Guard 5, in plain Python: one part of the reference that the array form is compared with."""

from __future__ import annotations

import math

from tests.unit.guards.reference_parts.common import (
    grid,
    nano,
    number,
)

from regime_trading.core.rules import Release

DAY_NS = 24 * 3600 * 10**9


class Concentration:
    """Methods of ``reference.Account``."""

    def concentration(self):
        self.sizes()
        self.bets()
        self.contracts()
        self.aggregates()

    def sizes(self):
        p, cash = self.p, self.m.instruments.cash_like
        if r := self.on("CC-01"):
            limit, same = nano(float(r.max_weight)), {}
            for i in range(self.n):
                if not cash[i]:
                    self.meet.box(i, -limit, limit)
                    if self.m.instruments.underlying[i] >= 0:
                        same.setdefault(int(self.m.instruments.underlying[i]), []).append(i)
            for members in same.values():
                if len(members) > 1:
                    self.meet.caps.append(("CC-01", dict.fromkeys(members, 1), limit))
        if r := self.on("CC-02"):
            self.meet.caps.append(("CC-02", dict.fromkeys(range(self.n), 1), nano(float(r.max_gross))))
        if r := self.on("CC-03"):
            self.meet.tilts.append(("CC-03", [1] * self.n, nano(float(r.max_net))))
        if r := self.on("CC-04"):
            cap, rest = nano(float(r.max_group)), nano(float(r.max_unclassified))
            groups = [g if 0 <= g < self.m.n_groups else None for g in self.m.group]
            for name in {*groups}:
                members = {i: 1 for i, g in enumerate(groups) if g == name and not cash[i]}
                self.meet.caps.append(("CC-04", members, min(cap, rest) if name is None else cap))
        if r := self.on("CC-08"):
            some = [i for i in range(self.n) if p[i] and not cash[i]]
            ranked = sorted(some, key=lambda i: (-abs(p[i]), self.m.symbols[i]))
            for i in ranked[r.count :]:
                self.block(i)

    def bets(self):
        m, p, cash = self.m, self.p, self.m.instruments.cash_like
        if (r := self.on("CC-05")) and math.isfinite(r.max_cluster):
            for members in self.clusters(r):
                self.meet.caps.append(("CC-05", dict.fromkeys(members, 1), nano(float(r.max_cluster))))
        if (r := self.on("CC-06")) and math.isfinite(r.max_pair):
            exempt = [bool(x) for x in self.m.instruments.cash_like]
            self.meet.pairs.append(("CC-06", float(r.rho), nano(float(r.max_pair)), exempt))
        if (r := self.on("CC-07")) and math.isfinite(r.max_beta):
            betas = [number(x) for x in m.signals.beta]
            top = max([1.0, *(abs(b) for b in betas if b is not None)])
            sides = [math.copysign(1, p[i] or self.held_weight[i]) for i in range(self.n)]
            for way in (1, -1) if None in betas else (1,):
                load = [
                    way * top * sides[i] * bool(p[i] or self.held_weight[i]) if b is None else b
                    for i, b in enumerate(betas)
                ]
                self.meet.tilts.append(("CC-07", load, float(r.max_beta) * 1e9))
            for i, b in enumerate(betas):
                if b is None:
                    self.block(i)
        if (r := self.on("CC-10")) and math.isfinite(r.max_share):
            book = [p[i] if self.sigma[i] is not None and not cash[i] else 0 for i in range(self.n)]
            parts = [self.part_of_variance(book, i) for i in range(self.n)]
            whole = sum(parts)
            for i, part in enumerate(parts):
                if whole > 0 and part / whole > float(r.max_share):
                    self.meet.shrink(i, grid(float(r.max_share) / (part / whole)))
                if self.sigma[i] is None and not cash[i]:
                    self.block(i)
        if r := self.on("CC-11"):
            shift = number(m.signals.correlation_shift_sigmas)
            if shift is not None and shift > float(r.sigmas):
                self.latch("CC-11", 0, Release.TIMED, m.ts_ns + r.hold_days * DAY_NS)
            if shift is None or "CC-11" in self.fired or self.latched("CC-11"):
                self.meet.slow(float(r.throttle))

    def part_of_variance(self, book, i):
        """``w_i (Σ w)_i``; a correlation that is not known adds to the risk."""
        sigma = [s or 0.0 for s in self.sigma]
        x = book[i] / 1e9 * sigma[i]
        total = x * x
        for j in range(self.n):
            if j != i:
                y, rho = book[j] / 1e9 * sigma[j], float(self.m.correlation[i, j])
                total += x * y * rho if abs(rho) <= 1.000001 else abs(x * y)
        return total

    def clusters(self, r):
        """Sets of assets that hang together by single linkage."""
        there = [
            i
            for i in range(self.n)
            if (self.p[i] or self.held_weight[i]) and not self.m.instruments.cash_like[i]
        ]
        clusters = []
        for i in there:
            near = [c for c in clusters if any(self.one_bet(i, j, r) for j in c)]
            clusters = [c for c in clusters if c not in near] + [[i, *(j for c in near for j in c)]]
        return clusters

    def one_bet(self, i, j, r):
        i, j = max(i, j), min(i, j)
        rho = float(self.m.correlation[i, j])
        sure = all(self.sigma[k] is not None and self.m.n_obs[k] >= r.min_obs for k in (i, j))
        if not sure or not abs(rho) <= 1.000001:
            return True
        for x in {self.p[i], self.held_weight[i]} - {0}:
            for y in {self.p[j], self.held_weight[j]} - {0}:
                is_held = x * self.held_weight[i] > 0 and y * self.held_weight[j] > 0
                if (rho if x * y > 0 else -rho) > float(r.rho_out if is_held else r.rho_in):
                    return True
        return False

    def contracts(self):
        r = self.on("CC-09")
        if not r:
            return
        allowed, unread = float(r.mini_equivalents), False
        if r.scaling:
            best, start = (number(x[self.a]) for x in (self.s.eod_hwm, self.s.initial_capital))
            unread = None in (best, start)
            if not unread:
                reached = [step.n for step in r.scaling if float(step.eod_profit_ge) <= best - start]
                allowed = min(allowed, float(reached[-1] if reached else r.scaling[0].n))
        if math.isinf(allowed) and not unread:
            return
        load, held, lost, entering = {}, 0.0, 0.0, 0.0
        for i in range(self.n):
            mini = number(self.m.instruments.mini_equivalents[i])
            sized = mini is not None and mini >= 0
            mini = mini if sized else 1.0
            works = number(self.view.books.broker.working_entry_qty[self.a, i])
            unit = self.value(i)
            weighed = unit > 0 and self.E is not None and self.E > 0
            slack = 1e-5 if self.m.lot[i] > 0 else 1e-12
            load[i] = mini * self.E / unit / 1e9 * (1.0 - slack) if weighed else 0.0
            held += mini * abs(self.qty[i])
            lost += 0.0 if weighed else mini * abs(self.qty[i])
            entering += mini * abs(works or 0.0)
            if mini > 0 and (not sized or not weighed or works is None or unread):
                self.block(i)
        left = max(allowed - lost, 0.0)
        self.meet.caps.append(("CC-09", load, max(left - entering, min(left, held - lost))))
        for i in range(self.n):
            if held - lost + lost + entering > allowed * (1.0 + 1e-12):
                mini = number(self.m.instruments.mini_equivalents[i])
                self.meet.cancel[i] |= mini is None or mini != 0

    def aggregates(self):
        if (r := self.on("CC-12")) and math.isfinite(r.max_firm_weight):
            self.firm_issuer(r)
        if r := self.on("CC-13"):
            self.meet.caps.append(("CC-13", dict.fromkeys(range(self.n), 1), nano(float(r.max_leverage))))
            if self.says("instruments"):
                rates = [number(x) for x in self.m.instruments.margin_rate]
                load = [1.0 if x is None or x < 0 else 0.0 if x == 1 else x for x in rates]
                if any(load):
                    self.meet.caps.append(("CC-13", dict(enumerate(load)), nano(float(r.margin_share))))

    def firm_issuer(self, r):
        books, facts = self.view.books, self.m.instruments
        firm = [type(self)(self.view, b, self.all, self.annual) for b, f in enumerate(books.firm)
                if f == books.firm[self.a]]  # fmt: skip
        if any(other.E is None for other in firm):
            for i in range(self.n):
                self.block(i)
        wealth = sum(sorted(other.E or 0.0 for other in firm))
        for i in range(self.n):
            if facts.cash_like[i]:
                continue
            same = [j for j in range(self.n) if not facts.cash_like[j] and (
                j == i or facts.underlying[j] == facts.underlying[i] >= 0)]  # fmt: skip
            parts = []
            for other in firm:
                own = max(other.E or 0.0, 0.0)
                part = own / wealth if wealth > 0 else math.inf if own > 0 else 0.0
                sizes = [max(abs(other.p[j]), abs(other.held_weight[j])) for j in same]
                parts += [d * part * 65536 for d in sizes if d > 0]
            if any(other.current[j] is None for other in firm for j in same):
                self.block(i)
            spent = sum(math.ceil(x) if x < math.inf else x for x in parts) / 65536
            allowed = nano(float(r.max_firm_weight))
            own = max(abs(self.p[i]), abs(self.held_weight[i]))
            if spent > allowed and own:
                most = math.floor(allowed * (1.0 - 1e-12) / spent * own)
                self.meet.box(i, -most, most)
