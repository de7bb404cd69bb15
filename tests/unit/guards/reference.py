"""``decide()`` for one account in plain Python: loops, ifs and floats, read off the rule catalogue.

It is what the array form is compared with, so it shares nothing with it but the shape of its inputs: parameters
are the validated models themselves, weights are whole numbers of nanoweights, ``None`` means unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from regime_trading.core.rules import Release, TradingState
from regime_trading.core.schemas import REGIME_LABELS

INF = math.inf
ONE = 10**9
NORMAL, REDUCE_ONLY, FLATTEN, LOCKED = range(4)


@dataclass
class Answer:
    """What the comparison looks at."""

    target: list
    mode: int
    k: float
    throttle: float
    step: list
    fired: dict
    refused: bool
    sigma_tilde: float


@dataclass
class Meet:
    """The strictest value of everything any rule has said so far."""

    n: int
    groups: int
    mode: int = NORMAL
    throttle: float = 1.0
    gross: float = INF
    net: float = INF
    vol: float = INF
    turnover: float = INF
    lo: list = field(default_factory=list)
    hi: list = field(default_factory=list)
    frozen: list = field(default_factory=list)
    gone: list = field(default_factory=list)
    pace_in: list = field(default_factory=list)
    pace_out: list = field(default_factory=list)
    group: list = field(default_factory=list)

    def __post_init__(self):
        self.lo, self.hi = [-INF] * self.n, [INF] * self.n
        self.frozen, self.gone = [False] * self.n, [False] * self.n
        self.pace_in, self.pace_out = [INF] * self.n, [INF] * self.n
        self.group = [INF] * (self.groups + 1)

    def at_least(self, mode):
        self.mode = max(self.mode, mode)

    def slow(self, throttle):
        self.throttle = min(self.throttle, throttle)

    def box(self, i, lo, hi):
        self.lo[i], self.hi[i] = max(self.lo[i], lo), min(self.hi[i], hi)

    def hull(self, i, weight):
        self.box(i, min(weight, 0), max(weight, 0))


def nano(x):
    """Whole nanoweights toward zero; the double nearest to a multiple of 1e-9 is that multiple."""
    if math.isinf(x):
        return x
    scaled = x * 1e9
    nearest = round(scaled)
    return nearest if abs(scaled - nearest) <= 1e-6 + abs(scaled) * 4e-16 else math.trunc(scaled)


def number(x):
    """A float, or None where it is not a finite number."""
    return float(x) if math.isfinite(x) else None


def grid(x):
    return 1.0 if x >= 1 else math.floor(x * 1e9) / 1e9


def times(factor, whole):
    """``factor · whole`` toward zero in whole nanoweights."""
    return whole if factor == 1 else math.trunc(factor * whole)


class Account:
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
        self.meet = Meet(self.n, m.n_groups)
        self.fired = {}
        raw = [number(p) for p in b.proposed[a]]
        self.refused = self.check_proposal(raw, b.proposal_age_bars[a])
        self.keep = [self.refused or not b.mentioned[a, i] for i in range(self.n)]
        self.p = [self.held_weight[i] if self.keep[i] else int(raw[i]) for i in range(self.n)]
        for i in range(self.n):
            if not b.mentioned[a, i]:
                self.meet.hull(i, self.held_weight[i])

    def on(self, rule_id):
        return self.rules[rule_id] if self.rules[rule_id].enabled else None

    def latch(self, rule_id, state, release):
        self.fired[rule_id] = (int(state), int(release))

    # --- guard 1 ---

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

    def data_sanity(self):
        m = self.m
        for i in range(self.n):
            if (r := self.on("DS-01")) and not 0 <= m.age_bars[i] <= float(r.max_age_bars):
                self.block(i)
            if self.on("DS-02") and self.price[i] is None:
                self.block(i)
                self.meet.frozen[i] = True
            ref = number(m.ref_price[i])
            if (r := self.on("DS-03")) and self.price[i] and ref and ref > 0:
                sigma = number(m.sigma[i]) or 0.0
                if abs(math.log(self.price[i] / ref)) > max(float(r.k_sigma) * sigma, float(r.abs_move)):
                    self.meet.frozen[i] = True
            self.book(i)
            if r := self.on("DS-05"):
                complete = number(m.completeness[i])
                if complete is None or complete < float(r.min_completeness) or m.gap[i] > r.max_gap_bars:
                    self.block(i)
            if self.thin(i) or self.ill():
                self.block(i)
        if r := self.on("DS-14"):
            age = self.view.books.equity_age_bars[self.a]
            if self.E is None or self.estimated or not 0 <= age <= float(r.max_age_bars):
                self.meet.at_least(REDUCE_ONLY)

    def says(self, *names):
        """Whether the source, or what is declared for it, says all of this."""
        return all(name in self.m.provided or name in self.m.substituted for name in names)

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
        if (
            self.m.tape_grade[i] == 3
            or (bps is None and not broken_price)
            or (bps is not None and bps > most)
        ):
            self.block(i)
        if broken_price or (bps is not None and bps > float(r.hard_multiple) * most):
            self.meet.frozen[i] = True

    def thin(self, i):
        r = self.on("DS-12")
        return bool(r) and self.m.n_obs[i] < r.min_obs

    def ill(self):
        r = self.on("DS-12")
        return bool(r) and not self.m.condition <= float(r.max_condition)

    # --- guard 2 ---

    def blackout(self):
        m = self.m
        for i, symbol in enumerate(m.symbols):
            if (r := self.on("UT-01")) and r.symbols is not None and symbol not in r.symbols:
                self.block(i)
            if (r := self.on("UT-02")) and symbol in r.symbols:
                self.block(i)
                self.meet.frozen[i] |= r.mode == "no_trade"
                if r.mode == "exit":
                    self.meet.box(i, 0, 0)
                    self.meet.gone[i] = True
            if self.on("UT-04") and not m.venue_open[i]:
                self.block(i)
                self.meet.frozen[i] = True
            if r := self.on("UT-06"):
                ahead, behind = m.to_event_s[i], m.since_event_s[i]
                inside = ahead <= r.before_s or behind <= r.after_s
                if inside or math.isnan(ahead) or math.isnan(behind):
                    self.block(i)
                self.meet.frozen[i] |= inside and r.mode == "no_trade"
        r = self.on("UT-14")
        for window in r.windows if r else ():
            day = m.date.isoformat()[-len(window.first) :]
            first, last = window.first, window.last
            if first <= day <= last or (last < first and (day >= first or day <= last)):
                self.meet.at_least(REDUCE_ONLY)

    # --- guard 3 ---

    def circuit(self, rule_id, r, loss, limit, levels, estimated, locks=False):
        """soft throttles, warn reduces, act flattens and latches; the limit itself latches harder."""
        if limit is not None and math.isinf(limit):
            return
        if loss is None or limit is None:
            self.meet.at_least(REDUCE_ONLY)
            return
        soft, warn, act = (loss >= float(level) * limit for level in levels)
        if soft and not locks:
            self.meet.slow(0.5)
        if warn or act:
            self.meet.at_least(REDUCE_ONLY)
        if act and not estimated:
            self.meet.at_least(FLATTEN)
            harder = loss >= limit and hasattr(r, "on_external")
            self.latch(
                rule_id, LOCKED if harder and locks else FLATTEN, r.on_external if harder else r.release
            )

    @staticmethod
    def limit_of(r, base):
        pct, money = float(r.limit_pct), float(r.limit_money)
        if math.isinf(pct):
            return money
        return None if base is None else min(pct * base, money)

    def loss_today(self, b, choice="max"):
        s = self.s
        balance, equity = number(s.day_anchor_balance[b]), number(s.day_anchor_equity[b])
        wanted = {"balance": [balance], "equity": [equity], "max": [balance, equity]}[choice]
        anchor = None if None in wanted else max(wanted)
        now = number(self.view.books.equity[b])
        return anchor, None if None in (anchor, now) else anchor + float(s.day_flow[b]) - now

    def drawdown_circuits(self):
        s, a = self.s, self.a
        initial = number(s.initial_capital[a])
        if r := self.on("LD-01"):
            anchor, loss = self.loss_today(a, r.anchor)
            base = initial if r.base == "initial" else anchor
            self.circuit("LD-01", r, loss, self.limit_of(r, base), (r.soft, r.warn, r.act), self.estimated)
        if r := self.on("LD-02"):
            self.ladder(r)
        if r := self.on("LD-03"):
            loss = None if None in (initial, self.E) else initial - self.E
            self.circuit(
                "LD-03", r, loss, self.limit_of(r, initial), (r.act,) * 3, self.estimated, locks=True
            )
        if r := self.on("LD-13"):
            firm = [b for b, f in enumerate(self.view.books.firm) if f == self.view.books.firm[a]]
            pairs = [self.loss_today(b) for b in firm]
            anchors, losses = [x for x, _ in pairs], [x for _, x in pairs]
            base = None if None in anchors else sum(sorted(anchors))
            loss = None if None in losses else sum(sorted(losses))
            estimated = any(self.view.books.equity_estimated[b] for b in firm)
            self.circuit("LD-13", r, loss, self.limit_of(r, base), (r.soft, r.warn, r.act), estimated)
        for column in range(s.latch_kind.shape[1]):
            if s.latch_kind[a, column] >= 0:
                self.meet.at_least(int(s.latch_state[a, column]))
        for state, _ in self.fired.values():
            self.meet.at_least(state)

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

    # --- guards 4 to 6 ---

    def volatility(self):
        m = self.m
        if r := self.on("VT-01"):
            self.meet.vol = float(r.sigma_target)
        if r := self.on("VT-04"):
            known = 0 <= m.label < len(REGIME_LABELS)
            factor = float(getattr(r, REGIME_LABELS[m.label] if known else "uncertain"))
            if not known or not float(r.min_confidence) <= m.confidence <= 1:
                factor = min(factor, float(r.uncertain))
            self.meet.slow(factor)
        if self.on("VT-06"):
            for i in range(self.n):
                if self.sigma[i] is None:
                    self.block(i)

    def effective_sigma(self):
        """Annualised σ and blindness of every asset."""
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
            own = self.sigma[i] or 0.0
            last = number(self.s.last_sigma[self.a, i]) or 0.0
            sigma.append((max(prior, last, own) if substitute else own) * year)
            blind.append(substitute or self.ill())
        return sigma, blind

    def adv_weight(self, i, share):
        adv = number(self.m.adv[i])
        if adv is None or adv < 0 or self.E is None or self.E <= 0:
            return None
        return nano(min(share * adv / self.E, 1e6))

    def concentration(self):
        p, meet = self.p, self.meet
        if r := self.on("CC-01"):
            for i in range(self.n):
                meet.box(i, -nano(float(r.max_weight)), nano(float(r.max_weight)))
        if r := self.on("CC-02"):
            meet.gross = nano(float(r.max_gross))
        if r := self.on("CC-03"):
            meet.net = nano(float(r.max_net))
        if r := self.on("CC-04"):
            cap = nano(float(r.max_group))
            meet.group = [cap] * self.m.n_groups + [min(cap, nano(float(r.max_unclassified)))]
        if r := self.on("CC-08"):
            ranked = sorted((i for i in range(self.n) if p[i]), key=lambda i: (-abs(p[i]), self.m.symbols[i]))
            for i in ranked[r.count :]:
                self.block(i)

    def opens(self, i):
        """Whole nanoweights that open a position."""
        p, held = self.p[i], self.held_weight[i]
        return abs(p) if p * held < 0 else max(abs(p) - abs(held), 0)

    def entry_cost(self, i, k_impact):
        """Basis points, None where one of its parts is unknown."""
        bps, sigma, adv = self.spread(i), self.sigma[i], number(self.m.adv[i])
        if None in (bps, sigma, adv, self.E) or adv <= 0 or self.E <= 0:
            return None
        share = self.opens(i) / 1e9 * self.E / adv
        return bps / 2.0 + k_impact * (sigma * 1e4) * math.sqrt(share)

    def liquidity(self):
        meet = self.meet
        for i in range(self.n):
            if r := self.on("XL-03"):
                entry, leave = self.adv_weight(i, float(r.entry_adv)), self.adv_weight(i, float(r.exit_adv))
                meet.pace_in[i] = 0 if entry is None else entry
                meet.pace_out[i] = INF if leave is None else leave
            if r := self.on("XL-04"):
                limit = self.adv_weight(i, float(r.days) * float(r.adv_share))
                limit = nano(float(r.unknown_adv_weight)) if limit is None else limit
                meet.box(i, -limit, limit)
            if (r := self.on("XL-05")) and self.says("close", "quotes", "volume") and self.opens(i):
                cost = self.entry_cost(i, float(r.k_impact))
                if cost is None or cost > float(r.max_cost_bps):
                    self.block(i)
        if r := self.on("XL-06"):
            meet.turnover = nano(float(r.max_increase))

    # --- from constraints to a target ---

    def covariance(self, blind):
        rho = self.m.correlation

        def pair(i, j):
            """Correlation of two assets, None where it counts as 1 and hedges nothing."""
            if i == j:
                return 1.0
            i, j = max(i, j), min(i, j)
            known = not blind[i] and not blind[j] and abs(rho[i, j]) <= 1.000001
            return float(rho[i, j]) if known else None

        return pair

    def variance(self, free, fixed, credit, sigma, pair):
        """A, B, C of σ̃²(k) = k²A + 2kB + C, hedge credit only where both legs of a free pair survive."""
        x = [f / 1e9 * v for f, v in zip(free, sigma, strict=True)]
        z = [f / 1e9 * v for f, v in zip(fixed, sigma, strict=True)]
        a = b = c = 0.0
        for i in range(self.n):
            a, b, c = a + x[i] * x[i], b + max(x[i] * z[i], 0.0), c + z[i] * z[i]
            for j in range(i):
                rho = pair(i, j)

                def cross(left, right, rho=rho):
                    return abs(left * right) if rho is None else left * right * rho

                term = cross(x[i], x[j])
                a += 2.0 * term if term >= 0 else 2.0 * term * credit[i] * credit[j]
                b += max(cross(x[i], z[j]), 0.0)
                b += max(cross(z[i], x[j]), 0.0)
                c += 2.0 * cross(z[i], z[j])
        return max(a, 0.0), b, max(c, 0.0)

    @staticmethod
    def largest_k(a, b, c, limit):
        """Largest k in [0, 1] with k²A + 2kB + C ≤ limit², less one part in 1e8, on the grid."""
        if math.sqrt(a + 2.0 * b + c) <= limit:
            return 1.0
        room = max(limit * limit - c, 0.0)
        root = b + math.sqrt(b * b + a * room)
        return grid(min(room / root * (1.0 - 1e-8), 1.0)) if root > 0 else 0.0

    def sets(self):
        """Budget, assets and limit of every size budget."""
        g = [x if 0 <= x < self.m.n_groups else self.m.n_groups for x in self.m.group]
        yield "gross", range(self.n), self.meet.gross
        for index, limit in enumerate(self.meet.group):
            yield "group", [i for i in range(self.n) if g[i] == index], limit

    def project(self):
        meet, n, p = self.meet, self.n, self.p
        leaving = [meet.mode >= FLATTEN or meet.gone[i] or (p[i] == 0 and not self.keep[i]) for i in range(n)]
        lost = [c is None for c in self.current]
        frozen = self.frozen = [meet.frozen[i] or (lost[i] and not leaving[i]) for i in range(n)]
        free = [0 if frozen[i] else p[i] for i in range(n)]
        fixed = [self.held_weight[i] if frozen[i] else 0 for i in range(n)]
        asked = list(p)  # what the asset may still claim: a frozen one, what it wanted beyond what it is
        spare = [0] * n  # the same, as size
        for i in range(n):
            if frozen[i]:
                same = p[i] * fixed[i] > 0
                asked[i] = int(math.copysign(max(abs(p[i]) - (abs(fixed[i]) if same else 0), 0), p[i]))
                spare[i] = max(abs(p[i]) - abs(fixed[i]), 0)

        sigma, blind = self.effective_sigma()
        pair = self.covariance(blind)
        c_fixed = self.variance([0] * n, fixed, [0.0] * n, sigma, pair)[2]
        stuck = False
        if any(free):
            for _, members, limit in self.sets():
                wants = any(free[i] for i in members)
                stuck |= wants and sum(abs(fixed[i]) for i in members) > limit
            stuck |= abs(sum(fixed)) > meet.net or c_fixed > meet.vol * meet.vol
        box_mode = max(meet.mode, REDUCE_ONLY if stuck or any(lost) else NORMAL)
        for i in range(n):
            if box_mode == REDUCE_ONLY:
                meet.hull(i, self.left(i))
            elif box_mode >= FLATTEN:
                meet.box(i, 0, 0)

        cut = [0.0 if meet.gone[i] else 1.0 for i in range(n)]
        for _, members, limit in self.sets():
            room = limit - sum(abs(fixed[i]) for i in members)
            wanted = sum(abs(free[i]) + spare[i] for i in members)
            if 0 <= room < wanted:
                for i in members:
                    cut[i] = min(cut[i], grid(room / wanted))
        size, scale = [0] * n, [1.0] * n
        for i in range(n):
            boxed = int(abs(min(max(free[i], meet.lo[i]), meet.hi[i])))
            size[i] = min(boxed, times(cut[i], abs(free[i])))
            scale[i] = min(boxed / abs(free[i]) if free[i] else 1.0, cut[i])

        mixed = any(self.keep[i] and free[i] for i in range(n))
        late = [meet.throttle if mixed and not self.keep[i] else 1.0 for i in range(n)]
        k = 1.0
        for sign in (1, -1):
            side = sum(max(sign * asked[i], 0) for i in range(n))
            side -= sum(times(late[i], size[i]) for i in range(n) if sign * free[i] < 0)
            room = meet.net - max(sign * sum(fixed), 0)
            if 0 <= room < side:
                k = min(k, grid(max(room - n, 0) / side))
        credit = [0.0 if frozen[i] else late[i] * scale[i] for i in range(n)]
        terms = self.variance(asked, fixed, credit, sigma, pair)
        if c_fixed <= meet.vol * meet.vol:
            k = min(k, self.largest_k(*terms, meet.vol))
        target = []
        for i in range(n):
            whole = times(k if self.keep[i] else meet.throttle * k, size[i])
            target.append(self.current[i] if frozen[i] else int(math.copysign(whole, free[i])))
        self.risk = sigma, pair
        return target, k, math.sqrt(terms[0] + 2 * terms[1] + terms[2])

    # --- from a target to steps ---

    def left(self, i):
        q = abs(self.qty[i])
        return (
            math.trunc(self.held_weight[i] * ((q - self.working[i]) / q))
            if self.working[i]
            else self.held_weight[i]
        )

    def value(self, i):
        unit = (self.price[i] or 0.0) * float(self.m.multiplier[i]) * float(self.m.fx[i])
        return unit if unit > 0 and math.isfinite(unit) else 0.0

    def lots(self, i, units):
        lot = float(self.m.lot[i])
        return units if lot == 0 else math.trunc(units / lot * (1.0 + 1e-12)) * lot

    def units(self, i, weight):
        """Quantity of a weight before lots, None where it cannot be known."""
        if weight is None or not self.E or self.E < 0 or not self.value(i):
            return None
        return weight / 1e9 * self.E / self.value(i)

    def weight(self, i, qty):
        if not qty or not self.E or self.E < 0:
            return 0
        return nano(qty * self.value(i) / self.E)

    def target_qty(self, i, target):
        if self.frozen[i]:
            return self.qty[i]
        if target == 0:
            return 0.0
        if self.working[i] and target == self.left(i):
            return math.copysign(abs(self.qty[i]) - self.working[i], self.qty[i])
        units = self.units(i, target)
        return self.qty[i] if target == self.current[i] or units is None else self.lots(i, units)

    def plan(self, target):
        n, meet, small = self.n, self.meet, self.rules["XL-07"]
        least = float(small.min_notional) if small.enabled else 0.0
        band = nano(float(small.dead_band)) / 1e9 if small.enabled else 0.0
        band *= self.E if self.E and self.E > 0 else 0.0
        exits, entries = [0.0] * n, [0.0] * n
        for i in range(n):
            step = self.target_qty(i, target[i]) - self.qty[i]
            closing = min(abs(step), abs(self.qty[i])) if step * self.qty[i] < 0 else 0.0
            opening = 0.0 if self.working[i] else abs(step) - closing
            exits[i] = math.copysign(max(closing - self.working[i], 0.0), step)
            entries[i] = math.copysign(opening, step)

        def crumb(i):
            return entries[i] != 0 and (abs(entries[i]) * self.value(i) < least or not self.value(i))

        inside = [
            (not exits[i] or not entries[i]) and abs(exits[i] + entries[i]) * self.value(i) < band
            for i in range(n)
        ]
        skipped = []
        for i in range(n):
            demanded = meet.mode != NORMAL or not meet.lo[i] <= self.held_weight[i] <= meet.hi[i]
            if exits[i] and inside[i] and target[i] != 0 and not demanded:
                skipped.append(i)
            if crumb(i) or (entries[i] and inside[i]):
                entries[i] = 0.0
        after = [
            self.held_weight[i] + self.weight(i, entries[i])
            if i in skipped or not exits[i]
            else target[i] or 0
            for i in range(n)
        ]
        gross = sum(map(abs, after))
        if not (gross > meet.gross and gross > sum(map(abs, self.held_weight))):
            for i in skipped:
                exits[i] = 0.0

        for i in range(n):
            out = exits[i]
            if meet.mode < FLATTEN:
                out = self.at_most(i, out, meet.pace_out[i])
            entries[i] = 0.0 if out != exits[i] else self.at_most(i, entries[i], meet.pace_in[i])
            exits[i] = out
        total = sum(abs(self.weight(i, entries[i])) for i in range(n))
        if total > meet.turnover:
            entries = [self.lots(i, e * (meet.turnover / total)) if e else 0.0 for i, e in enumerate(entries)]
        entries = self.wait_for_exits(exits, entries)
        for i in [i for i in range(n) if crumb(i)]:
            entries[i] = 0.0
        base = self.after_exits(exits)
        if self.passed(base, [b + self.weight(i, entries[i]) for i, b in enumerate(base)]):
            entries = [0.0] * n
        return [x + e for x, e in zip(exits, entries, strict=True)]

    def at_most(self, i, step, pace):
        if math.isinf(pace):
            return step
        units = self.units(i, pace)
        return math.copysign(min(abs(step), self.lots(i, units) if units is not None else 0.0), step)

    def after_exits(self, exits):
        return [
            math.trunc(w * ((self.qty[i] + exits[i]) / self.qty[i])) if exits[i] else w
            for i, w in enumerate(self.held_weight)
        ]

    def volatility_of(self, book):
        sigma, pair = self.risk
        return math.sqrt(self.variance([0] * self.n, book, [0.0] * self.n, sigma, pair)[2])

    def passed(self, before, after):
        """Budgets that the book would be over, and further over than it was before its entries."""
        found = {}
        for budget, members, limit in self.sets():
            was, now = (sum(abs(book[i]) for i in members) for book in (before, after))
            if now > limit and now > was:
                found[budget] = limit
        if abs(sum(after)) > self.meet.net + self.n and abs(sum(after)) > abs(sum(before)):
            found["net"] = self.meet.net
        now = self.volatility_of(after)
        if now > self.meet.vol + 1e-9 and now > self.volatility_of(before):
            found["vol"] = self.meet.vol
        return found

    def wait_for_exits(self, exits, entries):
        """Entries cut to what the budgets leave while exits are still to come; hedges are not cut."""
        n = self.n
        base, entering = self.after_exits(exits), [self.weight(i, e) for i, e in enumerate(entries)]
        after = [b + e for b, e in zip(base, entering, strict=True)]
        over = self.passed(base, after)
        factor = [1.0] * n

        def share(members, room):
            wanted = sum(abs(entering[i]) for i in members)
            for i in members:
                factor[i] = min(factor[i], max(room, 0) / wanted if wanted > max(room, 0) else 1.0)

        for budget, members, limit in self.sets():
            if budget in over:
                share(members, limit - sum(abs(base[i]) for i in members))
        if "net" in over:
            side = 1 if sum(after) >= 0 else -1
            adding = [i for i in range(n) if side * entering[i] > 0]
            share(adding, over["net"] - (side * sum(after) - sum(abs(entering[i]) for i in adding)))
        if "vol" in over:
            sigma, pair = self.risk
            adding = [i for i in range(n) if entering[i] and self.adds_variance(after, i)]
            part = [entering[i] if i in adding else 0 for i in range(n)]
            rest = [w - e for w, e in zip(after, part, strict=True)]
            k = self.largest_k(*self.variance(part, rest, [1.0] * n, sigma, pair), over["vol"])
            for i in adding:
                factor[i] = min(factor[i], k)
        return [self.lots(i, e * factor[i]) if factor[i] < 1 else e for i, e in enumerate(entries)]

    def adds_variance(self, book, i):
        sigma, pair = self.risk
        x = book[i] / 1e9 * sigma[i]
        total = x * x
        for j in range(self.n):
            if j != i:
                y, rho = book[j] / 1e9 * sigma[j], pair(i, j)
                total += abs(x * y) if rho is None else x * y * rho
        return total > 0


def decide_one(view, a, profiles, annual):
    """Answer for account ``a``; ``profiles`` holds one mapping of validated rule parameters per account."""
    account = Account(view, a, profiles, annual)
    account.data_sanity()
    account.blackout()
    account.drawdown_circuits()
    account.volatility()
    account.concentration()
    account.liquidity()
    target, k, sigma_tilde = account.project()
    return Answer(
        target=target,
        mode=account.meet.mode,
        k=k,
        throttle=account.meet.throttle,
        step=account.plan(target),
        fired={rule: (state, Release(kind)) for rule, (state, kind) in account.fired.items()},
        refused=account.refused,
        sigma_tilde=sigma_tilde,
    )
