"""Guard 6: what makes random scenes hit its rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from regime_trading.core.rules import LATCHING_RULES, TIMER_RULES
from regime_trading.guards.snapshot import View

TRAITS: tuple[str, ...] = (
    "sized",
    "traffic",
    "fills",
    "working_entries",
    "margin",
    "heartbeat",
    "crossing",
    "impact",
)


def vary(r: np.random.Generator, traits: frozenset[str], view: View) -> View:
    """The view with this guard's part of the world as the traits ask; untouched without them."""
    broker, a, n = view.books.broker, view.n_accounts, view.n_assets
    provided, changes = set(broker.provided), {}

    def some(p: float, shape: Any, *odd: float) -> np.ndarray:
        return np.where(r.random(shape) < p, r.choice(odd, shape), 0.0)

    if "traffic" in traits:
        provided |= {"orders"}
        changes |= {
            "orders_1s": some(0.3, a, 9.0, 10.0, 11.0, np.nan),
            "orders_60s": some(0.3, a, 59.0, 60.0, np.nan),
            "orders_day": some(0.2, a, 999.0, 1000.0, -1.0),
            "rejects_60s": some(0.3, a, 4.0, 5.0, 6.0, np.nan),
            "timeouts_60s": some(0.3, a, 1.0, 2.0, np.inf),
            "sent_qty": some(0.3, (a, n), -100.0, 100.0, np.nan),
        }
    if "fills" in traits:
        provided |= {"fills"}
        changes |= {
            "fills_60s": some(0.2, (a, n, 2), 1.0, 1.0, 1.0, 5.0, 6.0, np.nan),
            "round_trips_day": some(0.1, (a, n), 20.0, 21.0, np.nan),
            "slippage_bps": some(0.4, (a, n), 50.0, 51.0, 500.0, np.nan),
        }
    if "working_entries" in traits:
        provided |= {"orders"}
        with np.errstate(all="ignore"):
            size = np.abs(view.books.proposed - view.held) / 1e9 * np.abs(view.books.equity)[:, None]
            size = np.nan_to_num(size / view.market.ref_price, posinf=0.0)
        wanted = np.trunc(size * r.choice([0.5, 1.0, 1.2], (a, n)))
        wanted *= np.where(r.random((a, n)) < 0.8, np.sign(np.nan_to_num(view.books.proposed)), -1.0)
        changes |= {
            "working_entry_qty": np.where(r.random((a, n)) < 0.4, wanted, 0.0) + 0.0,
            "working_age_s": some(0.5, (a, n), 60.0, 86_400.0, 86_401.0, np.nan),
        }
    if "margin" in traits:
        provided |= {"margin"}
        power = np.abs(np.nan_to_num(view.books.equity, posinf=1e6, neginf=1e6)) * r.choice(
            [0.0, 0.1, 0.3, 2.0, np.nan], a
        )
        changes["buying_power"] = np.where(r.random(a) < 0.1, -100.0, power)
    if "heartbeat" in traits:
        provided |= {"heartbeat"}
        changes["heartbeat_age_s"] = some(0.5, a, 1.0, 10.0, 10.5, np.nan)
    if "crossing" in traits:
        provided |= {"orders"}
    if not changes and provided == broker.provided:
        return view
    books = replace(view.books, broker=replace(broker, provided=frozenset(provided), **changes))
    return replace(view, books=books, states=_breakers(r, view, traits))


def _breakers(r: np.random.Generator, view: View, traits: frozenset[str]) -> Any:
    """Trips earlier in the day, and assets that are held."""
    trips, timers = view.states.latch_trips.copy(), view.states.timer_ns.copy()
    if traits & {"traffic", "fills", "heartbeat"}:
        for rule_id in ("XL-13", "XL-14", "XL-16"):
            trips[:, LATCHING_RULES.index(rule_id)] = r.integers(0, 4, view.n_accounts)
    if "fills" in traits:
        shape = (view.n_accounts, view.n_assets)
        until = view.market.ts_ns + r.choice([0, 1, 10**12], shape)
        timers[:, TIMER_RULES.index("XL-13")] = np.where(
            r.random(shape) < 0.2, until, timers[:, TIMER_RULES.index("XL-13")]
        )
    return replace(view.states, latch_trips=trips, timer_ns=timers)


def tune(
    r: np.random.Generator, traits: frozenset[str], put: Callable[..., None], pick: Callable[..., Any]
) -> None:
    """Parameters of this guard's rules: ``put(rule_id, **values)``, one of several by ``pick``."""
    if "sized" in traits:
        put(
            "XL-01",
            max_notional_pct=pick("0.02", "0.05", "0.1", "unlimited"),
            max_notional_money=pick("unlimited", "5000"),
            max_qty=pick("unlimited", "100"),
            reject_multiple=pick("1", "2", "5"),
        )
        put("XL-02", entry_pct=pick("0.0001", "0.01"))
    else:
        put("XL-01", max_notional_pct="unlimited")
    if "crossing" not in traits:
        put("XL-12", enabled=False)
    if "impact" in traits:
        put("XL-18", max_impact_bps=pick("0", "1", "5", "25"), k_impact=pick("0", "0.5", "1", "2"))
    else:
        put("XL-18", max_impact_bps="unlimited")
    if "margin" in traits:
        put("XL-15", fee_pct=pick("0", "0.001", "0.1"))
    if "fills" in traits:
        put("XL-13", hold_s=pick(0, 60, 1800))
