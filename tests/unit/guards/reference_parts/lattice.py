"""Meet, projection and step plan, in plain Python: one part of the reference that the array form is compared with."""

from __future__ import annotations

import math

from tests.unit.guards.reference_parts.common import (
    FLATTEN,
    NORMAL,
    REDUCE_ONLY,
    grid,
    nano,
    number,
    times,
)

from regime_trading.core.rules import RULE_BY_ID


class Lattice:
    """Methods of ``reference.Account``."""

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

    def linked(self, x, y, i, j, threshold):
        """Whether two sizes stand for one bet."""
        if not x or not y:
            return False
        rho = self.risk[1](i, j)
        return (1.0 if rho is None else rho * (1 if x * y > 0 else -1)) > threshold

    def losses(self, free, fixed, credit):
        """Loss of the free part of each scenario, gains as far as they survive; loss of the fixed part. A scenario in
        which an asset in use has no return is none."""
        moving, stuck = [], []
        used = [i for i in range(self.n) if free[i] or fixed[i]]
        for row in self.m.signals.scenarios:
            if not all(math.isfinite(row[i]) for i in used):
                continue
            lost = [(i, -(free[i] / 1e9) * float(row[i])) for i in used]
            moving.append(sum(loss if loss >= 0 else loss * credit[i] for i, loss in lost))
            stuck.append(sum(-(fixed[i] / 1e9) * float(row[i]) for i in used))
        return moving, stuck

    @staticmethod
    def mean_worst(losses, confidence):
        if not losses:
            return 0.0
        count = min(max(math.ceil((1 - confidence) * len(losses) - 1e-9), 1), len(losses))
        return sum(sorted(losses, reverse=True)[:count]) / count

    def project(self):
        meet, n, p = self.meet, self.n, self.p
        gone = [meet.scale[i] == 0 for i in range(n)]
        leaving = [meet.mode >= FLATTEN or gone[i] or (p[i] == 0 and not self.keep[i]) for i in range(n)]
        lost = [c is None for c in self.current]
        shut = [meet.frozen[i] or (meet.embargo[i] and meet.mode < FLATTEN) for i in range(n)]
        frozen = self.frozen = [shut[i] or (lost[i] and not leaving[i]) for i in range(n)]
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
        self.risk = sigma, pair
        c_fixed = self.variance([0] * n, fixed, [0.0] * n, sigma, pair)[2]
        stuck, cut = False, list(meet.scale)
        self.hard_cut = [False] * n
        for rule, load, limit in meet.caps:
            spent = sum(load[i] * abs(fixed[i]) for i in load)
            wanted = sum(load[i] * (abs(free[i]) + spare[i]) for i in load)
            if spent > limit and any(load[i] * free[i] for i in load):
                stuck = True
                self.hard_cut = [cut_ or RULE_BY_ID[rule].hard for cut_ in self.hard_cut]
            if 0 <= limit - spent < wanted:
                for i in load:
                    if load[i] > 0:
                        factor = grid((limit - spent) / wanted)
                        cut[i] = min(cut[i], factor)
                        self.hard_cut[i] |= factor < 1 and RULE_BY_ID[rule].hard
        for _, threshold, limit, exempt in meet.pairs:
            for i in range(n):
                for j in range(i):
                    if exempt[i] or exempt[j]:
                        continue
                    ways = ((asked[i], asked[j]), (fixed[i], asked[j]), (asked[i], fixed[j]))
                    if not (free[i] or free[j]) or not any(
                        self.linked(x, y, i, j, threshold) for x, y in ways
                    ):
                        continue
                    room = limit - abs(fixed[i]) - abs(fixed[j])
                    wanted = abs(free[i]) + abs(free[j]) + spare[i] + spare[j]
                    stuck |= room < 0
                    if 0 <= room < wanted:
                        cut[i], cut[j] = (min(c, grid(room / wanted)) for c in (cut[i], cut[j]))
        tails = [(conf, limit, self.mean_worst(self.losses(asked, fixed, [0.0] * n)[1], conf))
                 for _, conf, limit in meet.tails]  # fmt: skip
        stuck |= any(
            abs(sum(x * f for x, f in zip(load, fixed, strict=True))) > limit for _, load, limit in meet.tilts
        )
        stuck |= any(spent > limit for _, limit, spent in tails) or c_fixed > meet.vol * meet.vol
        box_mode = max(meet.mode, REDUCE_ONLY if (stuck and any(free)) or any(lost) else NORMAL)
        for i in range(n):
            if box_mode == REDUCE_ONLY:
                meet.hull(i, self.left(i))
            elif box_mode >= FLATTEN:
                meet.box(i, 0, 0)

        boxed, size, scale = [0] * n, [0] * n, [1.0] * n
        for i in range(n):
            boxed[i] = int(abs(min(max(free[i], meet.lo[i]), meet.hi[i])))
            size[i] = min(boxed[i], times(cut[i], abs(free[i])))
            scale[i] = min(boxed[i] / abs(free[i]) if free[i] else 1.0, cut[i])

        mixed = any(self.keep[i] and free[i] for i in range(n))
        late = [meet.throttle if mixed and not self.keep[i] else 1.0 for i in range(n)]
        k = 1.0
        for _, load, limit in meet.tilts:
            for sign in (1, -1):
                side = sum(max(sign * load[i] * asked[i], 0) for i in range(n))
                side -= sum(
                    abs(load[i]) * times(late[i], size[i]) for i in range(n) if sign * load[i] * free[i] < 0
                )
                room = limit - max(sign * sum(x * f for x, f in zip(load, fixed, strict=True)), 0)
                if 0 <= room < side:
                    k = min(k, grid(max(room - sum(map(abs, load)), 0) / side))
        credit = [0.0 if frozen[i] else late[i] * scale[i] for i in range(n)]
        for conf, limit, spent in tails:
            wanted, room = (
                self.mean_worst(self.losses(asked, fixed, credit)[0], conf),
                limit - max(spent, 0.0),
            )
            if 0 <= room < wanted:
                k = min(k, grid(room / wanted * (1.0 - 1e-9)))
        terms = self.variance(asked, fixed, credit, sigma, pair)
        if c_fixed <= meet.vol * meet.vol:
            k = min(k, self.largest_k(*terms, meet.vol))
        for _, last, most, least in meet.rises:
            small = last < k < last + least and k < 1
            lower = min(last if small else k, last + most)
            k = grid(lower) if lower < k else k
        target = []
        for i in range(n):
            whole = times(k if self.keep[i] else meet.throttle * k, times(cut[i], abs(free[i])))
            whole = min(boxed[i], whole)
            target.append(self.current[i] if frozen[i] else int(math.copysign(whole, free[i])))
        return target, k, math.sqrt(terms[0] + 2 * terms[1] + terms[2])

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
        units, now = self.units(i, target), self.current[i]
        if units is None and target is not None and now and abs(target) < abs(now) and target * now > 0:
            return self.lots(i, self.qty[i] * (target / now))
        return self.qty[i] if target == now or units is None else self.lots(i, units)

    def only_soft(self, i):
        """Whether nothing but soft rules keeps the asset from its proposed weight."""
        hard, p, left = self.hard, self.p[i], self.left(i)
        shrinking = abs(p) <= abs(left) and p * left >= 0
        held_back = not hard.lo[i] <= p <= hard.hi[i]
        held_back |= hard.mode >= FLATTEN or (hard.mode == REDUCE_ONLY and not shrinking)
        held_back |= (hard.frozen[i] or hard.embargo[i]) and p != self.current[i]
        held_back |= hard.scale[i] < 1 or (hard.throttle < 1 and not self.keep[i]) or self.hard_cut[i]
        return not held_back and None not in self.current

    def plan(self, target):
        n, meet, small = self.n, self.meet, self.rules["XL-07"]
        venue = [number(x) or 0.0 for x in self.m.instruments.min_notional]
        least = [max(float(small.min_notional), v) if small.enabled else 0.0 for v in venue]
        band = nano(float(small.dead_band)) / 1e9 if small.enabled else 0.0
        band *= self.E if self.E and self.E > 0 else 0.0
        exits, entries = [0.0] * n, [0.0] * n
        entering = [float(q) for q in self.view.books.broker.working_entry_qty[self.a]]
        self.cancels = []
        for i in range(n):
            step = self.target_qty(i, target[i]) - self.qty[i]
            closing = min(abs(step), abs(self.qty[i])) if step * self.qty[i] < 0 else 0.0
            opening = 0.0 if self.working[i] else abs(step) - closing
            exits[i] = math.copysign(max(closing - self.working[i], 0.0), step)
            entries[i] = math.copysign(opening, step)
            if entering[i]:
                wanted = entering[i] * entries[i] > 0 and abs(entering[i]) <= abs(entries[i])
                if not wanted or meet.cancel[i] or meet.mode != NORMAL or meet.authority >= 1:
                    self.cancels.append(i)
                    entries[i] = 0.0
                else:
                    entries[i] -= entering[i]
            entries[i] = self.lots(i, entries[i]) if entries[i] else 0.0

        def crumb(i):
            return entries[i] != 0 and (abs(entries[i]) * self.value(i) < least[i] or not self.value(i))

        one_sided = [not exits[i] or not entries[i] for i in range(n)]
        inside = [
            one_sided[i] and self.value(i) > 0 and abs(exits[i] + entries[i]) * self.value(i) < band
            for i in range(n)
        ]
        skipped = []
        for i in range(n):
            held, aim = self.held_weight[i], target[i] or 0
            demanded = meet.mode != NORMAL or not meet.lo[i] <= held <= meet.hi[i]
            passive = abs(aim) < abs(held) <= 1.1 * abs(aim) and held * aim > 0 and meet.mode == NORMAL
            passive = passive and abs(self.p[i]) >= abs(held) and self.only_soft(i) and one_sided[i]
            if exits[i] and ((inside[i] and target[i] != 0 and not demanded) or passive):
                skipped.append(i)
            if crumb(i) or (entries[i] and inside[i]):
                entries[i] = 0.0
        after = [
            self.held_weight[i] + self.weight(i, entries[i])
            if i in skipped or not exits[i]
            else target[i] or 0
            for i in range(n)
        ]
        too_big = False
        for _, load, limit in meet.caps:
            now, was = (sum(load[i] * abs(book[i]) for i in load) for book in (after, self.held_weight))
            too_big |= now > limit and now > was
        for i in skipped if not too_big else ():
            exits[i] = 0.0

        for i in range(n):
            out = exits[i]
            if meet.mode < FLATTEN:
                out = self.at_most(i, out, meet.pace_out[i], abs(out))
            entries[i] = 0.0 if out != exits[i] else self.at_most(i, entries[i], meet.pace_in[i], 0.0)
            exits[i] = out
        total = sum(abs(self.weight(i, entries[i])) for i in range(n))
        if total > meet.turnover:
            entries = [self.lots(i, e * (meet.turnover / total)) if e else 0.0 for i, e in enumerate(entries)]
        entries = self.wait_for_exits(exits, entries)
        for i in [i for i in range(n) if crumb(i)]:
            entries[i] = 0.0
        over = [
            self.passed(base, [b + self.weight(i, entries[i]) for i, b in enumerate(base)])
            for base in self.after_exits(exits)
        ]
        if any(over):
            entries = [0.0] * n
        if meet.authority >= 1:
            entries = [0.0] * n
        if meet.authority >= 2:
            exits = [0.0] * n
        return [x + e for x, e in zip(exits, entries, strict=True)]

    def at_most(self, i, step, pace, unknown):
        if math.isinf(pace):
            return step
        units = self.units(i, pace)
        return math.copysign(min(abs(step), self.lots(i, units) if units is not None else unknown), step)

    def after_exits(self, exits):
        """The book once exits are filled: nothing of what works at the broker fills, or all of it."""
        working = [number(x) or 0.0 for x in self.view.books.broker.working_entry_qty[self.a]]
        alone = [
            math.trunc(w * ((self.qty[i] + exits[i]) / self.qty[i])) if exits[i] else w
            for i, w in enumerate(self.held_weight)
        ]
        yield alone
        if any(self.view.books.broker.working_entry_qty.flat):
            yield [w + self.weight(i, working[i]) for i, w in enumerate(alone)]

    def volatility_of(self, book):
        sigma, pair = self.risk
        return math.sqrt(self.variance([0] * self.n, book, [0.0] * self.n, sigma, pair)[2])

    def measures(self, book):
        """What a book uses of every budget, beside its limit with the rounding that is allowed."""
        n, meet = self.n, self.meet
        for _, load, limit in meet.caps:
            whole = all(float(x).is_integer() for x in load.values())
            yield (
                sum(load[i] * abs(book[i]) for i in load),
                limit if whole or math.isinf(limit) else limit + limit * 1e-9,
            )
        for _, threshold, limit, exempt in meet.pairs:
            linked = [
                abs(book[i]) + abs(book[j])
                for i in range(n)
                for j in range(i)
                if not exempt[i] and not exempt[j] and self.linked(book[i], book[j], i, j, threshold)
            ]
            yield max(linked, default=0), limit
        for _, load, limit in meet.tilts:
            yield (
                abs(sum(x * w for x, w in zip(load, book, strict=True))),
                limit + sum(map(abs, load)) * (1 + 1e-9),
            )
        for _, conf, limit in meet.tails:
            yield self.mean_worst(self.losses([0] * n, book, [0.0] * n)[1], conf), limit + 1e-9
        yield self.volatility_of(book), meet.vol + 1e-9

    def passed(self, before, after):
        """Which budgets the book would be over, and further over than it was before its entries."""
        pairs = zip(self.measures(before), self.measures(after), strict=True)
        return [at for at, ((was, _), (now, limit)) in enumerate(pairs) if now > limit and now > was]

    def wait_for_exits(self, exits, entries):
        """Entries cut to what the budgets leave while exits are still to come; hedges are not cut."""
        factor = [1.0] * self.n
        for base in self.after_exits(exits):
            self.beside(base, entries, factor)
        return [self.lots(i, e * factor[i]) if factor[i] < 1 else e for i, e in enumerate(entries)]

    def beside(self, base, entries, factor):
        n, meet = self.n, self.meet
        entering = [self.weight(i, e) for i, e in enumerate(entries)]
        after = [b + e for b, e in zip(base, entering, strict=True)]
        over = self.passed(base, after)

        def least(i, value):
            factor[i] = min(factor[i], value)

        def share(wanted, room):
            return max(room, 0) / wanted if wanted > max(room, 0) else 1.0

        at = 0
        for _, load, limit in meet.caps:
            if at in over:
                wanted = sum(load[i] * abs(entering[i]) for i in load)
                for i in load:
                    if load[i] > 0:
                        least(i, share(wanted, limit - sum(load[j] * abs(base[j]) for j in load)))
            at += 1
        for _, threshold, limit, exempt in meet.pairs:
            for i in range(n) if at in over else ():
                for j in range(i):
                    if exempt[i] or exempt[j]:
                        continue
                    coming = abs(entering[i]) + abs(entering[j])
                    if coming and self.linked(after[i], after[j], i, j, threshold):
                        part = share(coming, limit - abs(base[i]) - abs(base[j]))
                        least(i, part)
                        least(j, part)
            at += 1
        for _, load, limit in meet.tilts:
            if at in over:
                total = sum(x * w for x, w in zip(load, after, strict=True))
                side = 1 if total >= 0 else -1
                adding = [i for i in range(n) if side * load[i] * entering[i] > 0]
                wanted = abs(sum(load[i] * entering[i] for i in adding))
                for i in adding:
                    least(i, share(wanted, limit - (side * total - wanted)))
            at += 1
        for _ in meet.tails:
            for i in range(n) if at in over else ():
                least(i, 0.0 if entering[i] else 1.0)
            at += 1
        if at in over:
            sigma, pair = self.risk
            adding = [i for i in range(n) if entering[i] and self.adds_variance(after, i)]
            part = [entering[i] if i in adding else 0 for i in range(n)]
            rest = [w - e for w, e in zip(after, part, strict=True)]
            k = self.largest_k(*self.variance(part, rest, [1.0] * n, sigma, pair), meet.vol)
            for i in adding:
                least(i, k)

    def adds_variance(self, book, i):
        sigma, pair = self.risk
        x = book[i] / 1e9 * sigma[i]
        total = x * x
        for j in range(self.n):
            if j != i:
                y, rho = book[j] / 1e9 * sigma[j], pair(i, j)
                total += abs(x * y) if rho is None else x * y * rho
        return total > 0
