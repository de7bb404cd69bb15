"""This project behind its public gate, ``regime_trading.pm``: scenario 3, and 1, 2 and 10 once more.

A request goes in as another engine would send it, under the shipped configuration; what counts is the answer: trading
state, orders, cancels. Run as a module it answers the requests on standard input and dies of SIGKILL.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.peers.outcome import Outcome
from tests.gate_samples import CONFIG, ROOT, tree

from regime_trading import pm
from regime_trading.core.schemas import PMDecision

DAYS = ("2026-11-18", "2026-11-19", "2026-11-20")
RESTING = (("entry", "XOM"), ("entry", "KO"))


def answer(*changes: tuple[str, Any], **top: Any) -> PMDecision:
    """The answer to one request that brings nothing but itself; nothing is stored."""
    with pm.Gate(CONFIG, stateless=True) as gate:
        decision = gate.decide(tree(*changes, **top))
    assert isinstance(decision, PMDecision)
    return decision


def orders(decision: PMDecision) -> dict[str, int]:
    """Signed quantity by symbol."""
    found: dict[str, int] = {}
    for order in decision.orders:
        found[order.symbol] = found.get(order.symbol, 0) + int(order.qty)
    return found


def sent(found: dict[str, int]) -> str:
    return ", ".join(f"{symbol} {qty:+d}" for symbol, qty in found.items()) or "nothing"


def shown(decision: PMDecision) -> str:
    return sent(orders(decision))


def missing_price() -> Outcome:
    """1: XOM without a quote."""
    unpriced = answer(("market.quotes.1", ...))
    priced = answer()
    return Outcome(
        "XOM" not in orders(unpriced) and orders(priced).get("XOM", 0) > 0,
        f"sent {shown(unpriced)}, with a quote of XOM {shown(priced)}",
    )


def oversize_exit() -> Outcome:
    """2: LONG 1 000 KO, asked to be short as much again, while the broker's books do not agree (REDUCE_ONLY)."""
    asked = ("proposal.weights", {"KO": "-0.062"})
    free, reducing = answer(asked), answer(asked, ("portfolio.recon", {"status": "mismatch"}))
    held = orders(reducing) == {"KO": -1000} and orders(free).get("KO", 0) < -1000
    return Outcome(
        held and reducing.trading_state_after.name == "REDUCE_ONLY",
        f"{reducing.trading_state_after.name} {shown(reducing)}, "
        f"{free.trading_state_after.name} {shown(free)}",
    )


def resting_orders() -> Outcome:
    """10: one entry that is wanted and one that is not rest while the account may only shrink."""
    resting = [
        {"client_order_id": f"mine-{s}", "symbol": s, "side": "buy", "qty_open": "100", "intent": intent}
        for intent, s in RESTING
    ]
    decision = answer(("portfolio.working_orders", resting), ("portfolio.recon", {"status": "mismatch"}))
    cancelled = sorted(cancel.symbol for cancel in decision.cancels)
    return Outcome(
        cancelled == ["KO", "XOM"] and not any(qty > 0 for qty in orders(decision).values()),
        f"{decision.trading_state_after.name} cancels {' '.join(cancelled) or 'nothing'}, sends {shown(decision)}",
    )


def priced_at(day: str, price: float) -> dict[str, Any]:
    """A book that is 87 % KO, on a day at a price."""
    quote = {"symbol": "KO", "bid": f"{price - 0.01:.2f}", "ask": f"{price + 0.01:.2f}"}
    return tree(
        ("portfolio", {"cash": "132000", "positions": [{"symbol": "KO", "qty": "14000", "avg_price": "62"}]}),
        ("market.quotes.0", quote | {"ts": f"{day}T15:29:59Z"}),
        ("market.quotes.1.ts", f"{day}T15:29:59Z"),
        ("proposal.as_of", f"{day}T15:29:50Z"),
        ("proposal.weights", {"XOM": "0.10", "KO": "0.10"}),
        as_of=f"{day}T15:30:00Z",
    )


def restart() -> Outcome:
    """3: one process answers before and after a fall of 16 % and is killed; another answers at the first price
    again; the same request without a past beside it."""
    with tempfile.TemporaryDirectory() as folder:
        first, fallen = _in_a_process(folder, [priced_at(DAYS[0], 62.0), priced_at(DAYS[1], 52.0)])
        (back,) = _in_a_process(folder, [priced_at(DAYS[2], 62.0)])
    forgot = told(answer(**priced_at(DAYS[2], 62.0)))
    held = (
        (first["state"], fallen["state"], back["state"]) == ("NORMAL", "FLATTEN", "FLATTEN")
        and back["orders"] == {"KO": -14000}
        and forgot["state"] == "NORMAL"
    )
    return Outcome(
        held,
        f"drawdown {fallen['drawdown']:.1%}: {fallen['state']}, answered, SIGKILL; new process at drawdown "
        f"{back['drawdown']:.1%}: {back['state']}, sent {sent(back['orders'])}; the same request without a past: "
        f"{forgot['state']}, sent {sent(forgot['orders'])}",
    )


def told(decision: PMDecision) -> dict[str, Any]:
    """What scenario 3 looks at."""
    drawdown = next(rule.value for rule in decision.rules if rule.rule_id == "LD-02")
    return {
        "state": decision.trading_state_after.name,
        "drawdown": float(drawdown or 0),
        "orders": orders(decision),
    }


def _in_a_process(folder: str, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.ours_gate", folder],
        cwd=ROOT,
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    if done.returncode != -signal.SIGKILL:
        raise RuntimeError(done.stderr.strip().rsplit("\n", 1)[-1])
    return [json.loads(line) for line in done.stdout.splitlines()]


#: Scenarios that run nowhere else, and those that :mod:`benchmarks.peers.ours` answers too.
SCENARIOS = {3: restart}
ALSO = {1: missing_price, 2: oversize_exit, 10: resting_orders}


if __name__ == "__main__":
    with pm.Gate(CONFIG, Path(sys.argv[1])) as kept:
        for request in json.load(sys.stdin):
            decided = kept.decide(request)
            assert isinstance(decided, PMDecision)
            print(json.dumps(told(decided)), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
