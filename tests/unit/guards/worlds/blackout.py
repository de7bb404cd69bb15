"""Guard 2: what makes random scenes hit its rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from regime_trading.guards.snapshot import View

TRAITS: tuple[str, ...] = (
    "orphans", "permissions", "session_clock", "pre_flatten", "earnings", "flat_by", "expiry", "borrow", "cooldown",
    "hedges", "lifecycle",
)  # fmt: skip
_SAYS = {
    "permissions": "instruments", "expiry": "instruments", "session_clock": "session_clock", "earnings": "earnings",
    "borrow": "borrow",
}  # fmt: skip
SATURDAY = 11573  # the scenes' 2001-09-08 in America/Chicago


def vary(r: np.random.Generator, traits: frozenset[str], view: View) -> View:
    """The view with this guard's part of the world as the traits ask; untouched without them."""
    m, books, states = view.market, view.books, view.states
    a, n = books.qty.shape

    def some(values: tuple[Any, ...], shape: Any, neutral: Any, p: float = 0.5) -> np.ndarray:
        return np.where(r.random(shape) < p, r.choice(values, shape), neutral)

    facts, signals, market = {}, {}, {}
    if "permissions" in traits:
        facts |= {"classes": ("equity", "future"), "venues": ("XNYS", "XCME", "GRAY")}
        facts["asset_class"] = r.choice([0, 0, 1, 1, 2, -1], n).astype(np.int64)
        facts["venue"] = r.choice([0, 0, 1, 2, -1], n).astype(np.int64)
    if "session_clock" in traits:
        signals["since_open_s"] = some((0.0, 299.5, 300.0, np.nan, -3.0), n, 5000.0)
        signals["to_close_s"] = some((600.0, 599.5, 60.0, np.nan, 0.0, 900.0), n, 15_000.0)
    if "pre_flatten" in traits:
        market["to_event_s"] = some((300.0, 600.0, 600.5, 900.0, np.nan), n, np.inf)
        market["bar_ns"] = int(r.choice([60, 900])) * 10**9
    if "earnings" in traits:
        facts["earnings_in_days"] = some((0.0, 1.0, 2.0, np.nan), n, np.inf)
        facts["earnings_ago_days"] = some((0.0, 1.0, np.nan), n, np.inf, 0.3)
    if "flat_by" in traits:
        market["bar_ns"] = int(r.choice([60, 60, 3600, 86_400])) * 10**9
        states = replace(states, day_id=SATURDAY + r.integers(-5, 6, a))
    if "expiry" in traits:
        days = np.array([0.0, 1.0, 1.5, 3.0, 4.0, np.nan, -1.0])
        facts["to_expiry_s"] = some(tuple(days * 86_400), n, np.inf)
    if "borrow" in traits:
        facts["borrow"] = some((0, 2, -1, 5), n, 1).astype(np.int8)
        facts["borrow_fee"] = some((0.1, 0.1001, 0.5, np.nan, np.inf, -0.01), n, 0.0)
    if "cooldown" in traits:
        ago = some((0, 1800 * 10**9, 1800 * 10**9 - 1, 3600 * 10**9, -(10**9)), (a, n), 10**15).astype(
            np.int64
        )
        side = r.choice([-1, 1, 1, 0], (a, n)).astype(np.int8)
        states = replace(states, flat_ns=m.ts_ns - ago, flat_side=side)
    if "lifecycle" in traits:
        states = replace(states, last_trade_ns=m.ts_ns - r.integers(0, 60, a) * 86_400 * 10**9)
    market["provided"] = m.provided | {name for trait, name in _SAYS.items() if trait in traits}
    m = replace(
        m, **market, instruments=replace(m.instruments, **facts), signals=replace(m.signals, **signals)
    )
    return replace(view, market=m, states=states)


def tune(
    r: np.random.Generator, traits: frozenset[str], put: Callable[..., None], pick: Callable[..., Any]
) -> None:
    """Parameters of this guard's rules: ``put(rule_id, **values)``, one of several by ``pick``."""
    if "orphans" in traits:
        listed = tuple(f"S{i:02d}" for i in range(12) if r.random() < 0.6)
        put("UT-01", symbols=listed, orphan_policy=pick("reduce_only", "exit"))
    if "permissions" in traits:
        put(
            "UT-03",
            classes=pick(None, (), ("equity",), ("equity", "future")),
            venues=pick(None, ("XNYS", "XCME"), ("XNYS", "ELSEWHERE")),
        )
    if "session_clock" in traits:
        put("UT-05", no_entry_after_open_s=pick(0, 300), no_entry_before_close_s=pick(0, 600))
    if "pre_flatten" in traits:
        put(
            "UT-06",
            mode=pick("no_increase", "no_trade"),
            pre_flatten=pick(True, False),
            pre_flatten_s=pick(0, 300),
        )
    if "earnings" in traits:
        put("UT-07", days_before=pick(0, 1, 2), days_after=pick(0, 1), effect=pick("block", "half"))
    if "flat_by" in traits:
        put(
            "UT-08",
            at=pick(None, "01:50", "02:00", "20:50", "20:45", "15:08", "00:00"),
            zone=pick("Etc/UTC", "America/Chicago", "Europe/Prague"),
            scope=pick("daily", "daily", "weekend"),
            allowed=pick(True, False),
            lead_s=pick(0, 199, 200, 300),
            no_entry_s=pick(0, 200, 900, 6000),
            exit_adv_share=pick("0.05", "0.001", "1"),
        )
    if "expiry" in traits:
        put("UT-09", block_days=pick(0, 3), exit_days=pick(0, 1, 4))
    if "borrow" in traits:
        put("UT-10", max_borrow_fee=pick("0.1", "0", "unlimited"), recall_adv=pick("0.05", "0.0001"))
    if "cooldown" in traits:
        put("UT-11", cooldown_s=pick(0, 1800, 1801), both_sides=pick(True, False))
    if "hedges" in traits:
        groups = [("S00", "S01"), ("S01", "S02", "S05"), ("S03", "S04", "S06", "S07"), ("S08", "QQ")]
        chosen = tuple(group for group in groups if r.random() < 0.5)
        put("UT-12", long_only=pick(True, False, False), hedge_groups=chosen)
    if "lifecycle" in traits:
        start = pick(None, "2020-03-01", "2020-03-02", "2020-03-03")
        end = pick(None, "2020-03-02", "2020-03-03") if start is None else pick(None, start, "2020-03-03")
        put("UT-13", start=start, end=end, inactivity_days=pick(1, 30))
