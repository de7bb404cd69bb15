"""This project in the scorecard's scenarios that one decision answers: 1, 2, 5, 6, 7, 10, 11.

Every scenario builds a book, lets the real ``decide`` answer it, and reads the answer off the decision. The book is
the small scene of the rule tests: three shares at 100, one account of 100 000 that holds 100 AAA.
"""

from __future__ import annotations

import itertools
from typing import Any
from unittest import mock

import numpy as np
from benchmarks.peers.outcome import Outcome
from tests.unit.guards.test_rules import SYMBOLS, decide_case

from regime_trading.core.rules import RULE_IDS, Authority, TradingState
from regime_trading.guards import chain
from regime_trading.guards.chain import REGISTRY, Decisions
from regime_trading.guards.constraint import Constraint, meet_all

NAN = float("nan")
#: Limits on size that would cut the oversize order of scenario 2 before its own rule sees it.
NO_SIZE_LIMITS = {
    "CC-01": {"max_weight": "0.5"},
    "XL-01": {"enabled": False},
    "XL-03": {"enabled": False},
    "XL-05": {"enabled": False},
    "XL-06": {"enabled": False},
}
DRAWDOWN_TEN_PERCENT = 1 / 0.9
ORDERS = 100


def answer(given: dict[str, Any], rule_id: str = "CC-01") -> Decisions:
    return decide_case(rule_id, given)[0]


def steps(d: Decisions) -> dict[str, int]:
    """Signed quantities that would be sent, by symbol, zeros left out."""
    return {s: int(q) for s, q in zip(SYMBOLS, d.steps.step_qty[0].tolist(), strict=True) if q}


def codes(d: Decisions, rule_id: str) -> list[str]:
    row = RULE_IDS.index(rule_id)
    return [c for bit, c in enumerate(d.rule_codes[row]) if d.rule_reasons[0, row] >> bit & 1]


def state(d: Decisions) -> str:
    return TradingState(int(d.mode[0])).name


def shown(sent: dict[str, int]) -> str:
    return ", ".join(f"{symbol} {qty:+d}" for symbol, qty in sent.items()) or "nothing"


def silence() -> tuple[str, dict[str, int]]:
    """What may be sent, and is, when two orders of the last minute have no answer."""
    d = answer({"timeouts_60s": 2, "proposed": {"BBB": 0.10}})
    return Authority(int(d.authority[0])).name, steps(d)


def missing_price() -> Outcome:
    """1: BBB has no price; a buy of 10 % of it is asked for. With a price it would go."""
    asked = {"proposed": {"BBB": 0.10, "AAA": 0.10}}
    without, priced = answer({**asked, "price": {"BBB": NAN}}), answer(asked)
    said = codes(without, "DS-02")
    held = steps(priced) == {"BBB": 100} and not steps(without) and said == ["PRICE_MISSING"]
    return Outcome(
        held,
        f"without a price sent {shown(steps(without))} (DS-02 {' '.join(said)}); with one {shown(steps(priced))}",
    )


def oversize_exit() -> Outcome:
    """2: LONG 100, SELL 300, while only reductions are allowed; again with 40 of an exit already working."""
    asked = {"qty": {"AAA": 100}, "proposed": {"AAA": -0.20}, "rules": NO_SIZE_LIMITS}
    free = answer(asked)
    reducing = answer({**asked, "kill_level": 1})
    working = answer({**asked, "kill_level": 1, "working_exit_qty": {"AAA": 40}})
    sent = [steps(d).get("AAA", 0) for d in (free, reducing, working)]
    return Outcome(
        sent == [-300, -100, -60] and state(reducing) == "REDUCE_ONLY",
        f"{state(reducing)}: sent {sent[1]} of -300, position after {100 + sent[1]}; with 40 of an exit working "
        f"{sent[2]}; while {state(free)} {sent[0]}",
    )


def permuted_rules() -> Outcome:
    """5: a drawdown that flattens and a pause that only forbids more, first in one order, then in the other; then all
    rules in random orders."""
    given = {
        "qty": {"AAA": 300},
        "proposed": {"AAA": 0.30, "BBB": 0.10},
        "unit_hwm": DRAWDOWN_TEN_PERCENT,
        "kill_level": 1,
        "params": {"max_weight": "0.2"},
        "rules": {"LD-02": {"ladder": [["0.05", "FLATTEN"]]}},
    }
    found = set()
    orders = [*_two_orders("LD-02", "LD-15"), *_random_orders(ORDERS)]
    for order in orders:
        with mock.patch.object(chain, "meet_all", lambda parts, order=order: meet_all(order(parts))):
            d = answer(given)
        found.add((state(d), d.projection.target.tobytes(), d.steps.step_qty.tobytes()))
    return Outcome(
        len(found) == 1 and steps(d) == {"AAA": -300} and state(d) == "FLATTEN",
        f"{len(orders)} orders of {len(RULE_IDS)} rules, {len(found)} answer to the byte: {state(d)}, "
        f"sent {shown(steps(d))}",
    )


def _two_orders(one: str, other: str) -> list[Any]:
    rows = [RULE_IDS.index(one), RULE_IDS.index(other)]

    def swapped(order: tuple[int, ...]) -> Any:
        def sort(parts: list[Constraint]) -> list[Constraint]:
            before = len(parts) - len(RULE_IDS)  # what does not come from a rule stays in front
            picked = [parts[before + r] for r in order]
            return picked + [p for i, p in enumerate(parts) if i - before not in rows]

        return sort

    return [swapped(order) for order in itertools.permutations(rows)]


def _random_orders(n: int) -> list[Any]:
    rng = np.random.default_rng(1)

    def shuffled(seed: int) -> Any:
        def sort(parts: list[Constraint]) -> list[Constraint]:
            return [parts[i] for i in np.random.default_rng(seed).permutation(len(parts))]

        return sort

    return [shuffled(int(seed)) for seed in rng.integers(0, 2**32, n)]


def blackout_and_stop() -> Outcome:
    """6: a position through its stop, and a daily loss at its limit, inside a news window of either kind."""
    stop = {"avg_price": {"AAA": 111}, "proposed": {"AAA": 0.15, "BBB": 0.10}}
    circuit = {"day_anchor_equity": 103_000, "day_anchor_balance": 103_000}
    exits = {}
    for window in ("no_increase", "no_trade"):
        for name, given in (("stop", stop), ("daily loss", circuit)):
            rules = {"LD-07": {"max_loss_pct_equity": "0.01"}, "UT-06": {"mode": window}}
            d = answer({**given, "rules": rules, "to_event_s": {"AAA": 60, "BBB": 60}})
            assert codes(d, "UT-06") == ["NEWS_WINDOW"]
            exits[name, window] = steps(d)
    out = {"AAA": -100}
    held = (
        exits["stop", "no_increase"] == exits["daily loss", "no_increase"] == out
        and exits["daily loss", "no_trade"] == out
        and exits["stop", "no_trade"] in ({}, out)
    )
    told = "; ".join(f"{name} in a {window} window: {shown(sent)}" for (name, window), sent in exits.items())
    return Outcome(held, f"{told} (of AAA +100 held; BBB +100 asked for)")


def small_exit() -> Outcome:
    """7: the whole position is worth 10 000, the smallest order 50 000; out of it, and into another."""
    d = answer({"proposed": {"BBB": 0.10}, "rules": {"XL-07": {"min_notional": 50_000}}})
    return Outcome(
        steps(d) == {"AAA": -100} and codes(d, "XL-07") == ["SKIPPED"],
        f"sent {shown(steps(d))}; the entry of BBB +100 was skipped",
    )


def kill_with_resting_orders() -> Outcome:
    """10: entries of three symbols rest at the broker, one of them unknown to the proposal, when a person stops the
    account; at the next look they still rest."""
    resting = {"AAA": 10, "BBB": 40, "CCC": -3}
    given = {"working_entry_qty": resting, "proposed": {"AAA": 0.15, "BBB": 0.10}}
    told, held = [], True
    for level, out in ((2, {}), (3, {"AAA": -100}), (4, {})):
        d = answer({**given, "kill_level": level})
        cancelled = [s for s, c in zip(SYMBOLS, d.steps.cancel[0].tolist(), strict=True) if c]
        held &= cancelled == list(resting) and steps(d) == out
        told.append(f"K{level} cancels {' '.join(cancelled)}, sends {shown(steps(d))}, {state(d)}")
    flat = answer({**given, "kill_level": 3, "qty": {"AAA": 0}})
    again = [s for s, c in zip(SYMBOLS, flat.steps.cancel[0].tolist(), strict=True) if c]
    return Outcome(
        held and again == list(resting) and not steps(flat),
        "; ".join(told) + f"; flat and still resting: cancels {' '.join(again)} again",
    )


def guard_exception() -> Outcome:
    """11: each rule in turn raises; an exit of AAA and an entry of BBB are asked for."""
    wrong = []
    for rule_id in REGISTRY:
        with mock.patch.dict(REGISTRY, {rule_id: _broken}):
            d = answer({"proposed": {"BBB": 0.10}})
        if (state(d), codes(d, rule_id), steps(d)) != ("REDUCE_ONLY", ["RULE_ERROR"], {"AAA": -100}):
            wrong.append(rule_id)
    return Outcome(
        not wrong,
        f"{len(REGISTRY) - len(wrong)} of {len(REGISTRY)} rules, one at a time: REDUCE_ONLY with RULE_ERROR, "
        f"exit of AAA -100 sent, entry of BBB +100 not" + (f"; not so: {' '.join(wrong)}" if wrong else ""),
    )


def _broken(view: Any, params: Any) -> Any:
    raise RuntimeError("injected")


SCENARIOS = {
    1: missing_price,
    2: oversize_exit,
    5: permuted_rules,
    6: blackout_and_stop,
    7: small_exit,
    10: kill_with_resting_orders,
    11: guard_exception,
}
