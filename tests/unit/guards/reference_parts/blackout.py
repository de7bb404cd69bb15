"""Guard 2, in plain Python: one part of the reference that the array form is compared with."""

from __future__ import annotations

import datetime as dt
import math
from zoneinfo import ZoneInfo

from tests.unit.guards.reference_parts.common import (
    FLATTEN,
    INF,
    REDUCE_ONLY,
    nano,
    number,
)

from regime_trading.core.rules import Release

EPOCH = dt.date(1970, 1, 1)
HALF_DAY_S = 43_200


class Blackout:
    """Methods of ``reference.Account``."""

    def blackout(self):
        for i in range(self.n):
            self.lists(i)
            self.windows(i)
            self.borrow(i)
            self.cools_down(i)
        self.one_direction()
        self.days()
        if r := self.on("UT-08"):
            self.flat_by(r)

    def block(self, i):
        self.meet.hull(i, self.held_weight[i])

    def gone(self, i):
        self.meet.box(i, 0, 0)
        self.meet.shrink(i, 0.0)

    def no_long(self, i):
        self.meet.box(i, -INF, max(self.held_weight[i], 0))

    def no_short(self, i):
        self.meet.box(i, min(self.held_weight[i], 0), INF)

    def lists(self, i):
        symbol, facts = self.m.symbols[i], self.m.instruments
        if (r := self.on("UT-01")) and r.symbols is not None and symbol not in r.symbols:
            self.block(i)
            if r.orphan_policy == "exit":
                self.gone(i)
        if (r := self.on("UT-02")) and symbol in r.symbols:
            self.block(i)
            self.meet.frozen[i] |= r.mode == "no_trade"
            if r.mode == "exit":
                self.gone(i)
        if (r := self.on("UT-03")) and self.says("instruments"):
            for allowed, names, index in (
                (r.classes, facts.classes, facts.asset_class[i]),
                (r.venues, facts.venues, facts.venue[i]),
            ):
                name = names[index] if 0 <= index < len(names) else None
                if allowed is not None and name not in allowed:
                    self.block(i)

    def windows(self, i):
        m, facts = self.m, self.m.instruments
        if self.on("UT-04") and self.says("status") and not m.venue_open[i]:
            self.block(i)
            self.meet.frozen[i] = True
        if (r := self.on("UT-05")) and self.says("session_clock", itself=True):
            since, ahead = m.signals.since_open_s[i], m.signals.to_close_s[i]
            if not (since >= r.no_entry_after_open_s and ahead >= r.no_entry_before_close_s):
                self.block(i)
        if r := self.on("UT-06"):
            ahead, behind = m.to_event_s[i], m.since_event_s[i]
            inside = ahead <= r.before_s or behind <= r.after_s
            if inside or math.isnan(ahead) or math.isnan(behind):
                self.block(i)
            self.meet.embargo[i] |= inside and r.mode == "no_trade"
            lead = max(r.pre_flatten_s, m.bar_ns / 1e9)
            if r.mode == "no_trade" and r.pre_flatten and ahead - r.before_s <= lead:
                self.gone(i)
        if (r := self.on("UT-07")) and self.says("earnings"):
            ahead, behind = facts.earnings_in_days[i], facts.earnings_ago_days[i]
            inside = ahead <= r.days_before or behind <= r.days_after
            if inside and r.effect == "half":
                self.meet.shrink(i, 0.5)
            elif inside:
                self.block(i)
            if math.isnan(ahead) or math.isnan(behind):
                self.block(i)
        if (r := self.on("UT-09")) and self.says("instruments"):
            left = facts.to_expiry_s[i]
            if math.isnan(left) or left <= r.block_days * 86_400:
                self.block(i)
            if left <= r.exit_days * 86_400:
                self.gone(i)

    def borrow(self, i):
        r, facts = self.on("UT-10"), self.m.instruments
        if not r or not self.says("borrow") or not (self.qty[i] < 0 or self.p[i] < 0):
            return
        fee, state = number(facts.borrow_fee[i]), int(facts.borrow[i])
        if state not in (1, 2) or fee is None or fee > float(r.max_borrow_fee):
            self.no_short(i)
        if state == 2:
            self.meet.box(i, 0, INF)
            if self.p[i] <= 0:
                self.meet.shrink(i, 0.0)
            adv = number(self.m.adv[i])
            if adv is not None and adv >= 0 and self.E and self.E > 0:
                most = nano(min(float(r.recall_adv) * adv / self.E, 1e6))
                if most < -self.held_weight[i]:
                    self.meet.pace_out[i] = min(self.meet.pace_out[i], most)

    def cools_down(self, i):
        r, side = self.on("UT-11"), int(self.s.flat_side[self.a, i])
        if not r or not r.cooldown_s or not side:
            return
        if self.m.ts_ns - int(self.s.flat_ns[self.a, i]) < r.cooldown_s * 10**9:
            if side > 0 or r.both_sides:
                self.no_long(i)
            if side < 0 or r.both_sides:
                self.no_short(i)

    def one_direction(self):
        r = self.on("UT-12")
        if not r:
            return
        if r.long_only:
            for i in range(self.n):
                self.no_short(i)
        works = self.view.books.broker.working_entry_qty[self.a]
        for group in r.hedge_groups:
            members = [i for i, symbol in enumerate(self.m.symbols) if symbol in group]
            has = {s for i in members for s in (1, -1) if s * self.qty[i] > 0 or s * works[i] > 0}
            wants = {s for i in members for s in (1, -1) if s * self.p[i] > 0}
            shut = {-s for s in has} if has else wants if len(wants) == 2 else set()
            for i in members:
                if 1 in shut:
                    self.no_long(i)
                if -1 in shut:
                    self.no_short(i)

    def days(self):
        today = self.m.date
        r = self.on("UT-13")
        if r and (
            (r.start is not None and today < dt.date.fromisoformat(r.start))
            or (r.end is not None and today > dt.date.fromisoformat(r.end))
        ):
            self.meet.at_least(REDUCE_ONLY)
        r = self.on("UT-14")
        for window in r.windows if r else ():
            day = today.isoformat()[-len(window.first) :]
            first, last = window.first, window.last
            if first <= day <= last or (last < first and (day >= first or day <= last)):
                self.meet.at_least(REDUCE_ONLY)

    # --- UT-08 ------------------------------------------------------------------------------------------------

    def flat_by(self, r):
        if r.at is None and r.allowed:
            return
        bar_s, weekly = self.m.bar_ns / 1e9, r.scope == "weekend"
        daily_bars = bar_s >= HALF_DAY_S
        now = dt.datetime.fromtimestamp(self.m.ts_ns / 1e9, ZoneInfo(r.zone))
        named = int(self.s.day_id[self.a])
        day = EPOCH + dt.timedelta(days=named) if named >= 0 else now.date()
        times = [
            x for d in range(-8, 9) if (x := self.local_time(r, now.date() + dt.timedelta(days=d), weekly))
        ]
        gone = [(x, d) for x, d in times if x <= now]
        to_flat = min(((x - now).total_seconds() for x, _ in times if x >= now), default=INF)
        passed = bool(gone) and max(gone)[1] == day
        if weekly:
            passed |= day.weekday() >= 5 or (daily_bars and day.weekday() >= 3)
        else:
            passed |= daily_bars
        slow = self.slowest_exit(r) * bar_s
        close = self.closes(weekly and day.weekday() != 4)
        to_flat = min([to_flat, *(c for i, c in enumerate(close) if self.qty[i] and not math.isnan(c))])
        lead = max(r.lead_s, bar_s, slow)
        flatten = passed or to_flat <= lead
        if flatten:
            self.meet.at_least(FLATTEN)
            self.latch("UT-08", FLATTEN, Release.NEXT_SESSION)
        blind = r.at is None and not weekly and not daily_bars and not self.says("session_clock")
        for i, c in enumerate(close):
            late = not flatten and min(to_flat, INF if math.isnan(c) else c) <= max(r.no_entry_s, lead)
            if blind or math.isnan(c) or self.bars_to_exit(r, i) is None or late:
                self.block(i)

    @staticmethod
    def local_time(r, day, weekly):
        """The flat-by time of a local date, and that date; None where it has none. Far from a change of clocks."""
        at = r.at
        if weekly and day.weekday() != (5 if at is None else 4):
            return None
        if at is None and not weekly:
            return None
        hour, minute = map(int, (at or "00:00").split(":"))
        wall = dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(r.zone))
        return wall.astimezone(dt.UTC).astimezone(ZoneInfo(r.zone)), day

    def closes(self, without):
        if without or not self.says("session_clock"):
            return [INF] * self.n
        return [float(c) for c in self.m.signals.to_close_s]

    def bars_to_exit(self, r, i):
        """Whole bars, None where nobody can know."""
        if not self.qty[i]:
            return 0
        unit = float(self.m.price[i]) * float(self.m.multiplier[i]) * float(self.m.fx[i])
        adv = float(self.m.adv[i])
        if not (0 < unit < INF and 0 < adv < INF):
            return None
        return math.ceil(abs(self.qty[i]) * unit / (float(r.exit_adv_share) * adv))

    def slowest_exit(self, r):
        if self.estimated:
            return 0
        return max((self.bars_to_exit(r, i) or 0 for i in range(self.n)), default=0)
