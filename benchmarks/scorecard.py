"""Twelve scripted scenarios in which a risk engine can go wrong: what must happen, and what did.

Our side always runs, against this code base (``benchmarks/peers/ours*.py``). The peer runs where an interpreter that
has it is named; nothing is ever installed from here. A cell begins with ``held`` or ``did not hold``, or with ``not
run`` and the reason; nothing is claimed that did not run in this very call.

    python benchmarks/scorecard.py [--nautilus-python PATH] [--only 1,2,3] [--markdown]

Exit code 1 where a scenario did not hold on our side.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers import ours, ours_gate, ours_over_time, ours_record
from benchmarks.peers.outcome import Outcome

PEER_SCRIPT = Path(__file__).resolve().parent / "peers" / "nautilus.py"
NO_SUCH_RULE = "not run: its RiskEngine has no such rule or record"
NOT_INSTALLED = "not run (nautilus_trader is not installed)"
OURS: dict[int, Callable[[], Outcome]] = (
    ours.SCENARIOS | ours_gate.SCENARIOS | ours_over_time.SCENARIOS | ours_record.SCENARIOS
)
WIDTHS = (20, 34, 50, 44)


@dataclass(frozen=True, slots=True)
class Scenario:
    """``must`` is what ``held`` means, for every engine alike."""

    name: str
    must: str


SCENARIOS: dict[int, Scenario] = {
    1: Scenario("missing price, market order", "no order that cannot be valued is sent"),
    2: Scenario("reduce-only, oversize exit", "at most the position is sold; it never turns"),
    3: Scenario("drawdown breach, then restart", "the new process is as stopped as the old one"),
    4: Scenario("drawdown breach, then deposit", "the deposit changes neither drawdown nor stop"),
    5: Scenario("two rules, permuted", "one answer, whatever the order"),
    6: Scenario("blackout and stop", "exits pass a no-increase window; a loss circuit passes any window"),
    7: Scenario("exit below the minimum notional", "the exit is sent"),
    8: Scenario("daily reset across DST", "exactly one reset a local day, at the local time"),
    9: Scenario("no acknowledgement, then resend", "one execution, however often it is sent"),
    10: Scenario("kill with resting orders", "every resting entry is cancelled"),
    11: Scenario("exception in a guard", "entries stop, exits pass"),
    12: Scenario("tampered audit record", "every change is found, given the last receipt"),
}


# --- what the peer's answers mean --------------------------------------------------------------------------


def sent(answer: dict[str, Any]) -> str:
    """Sent, or denied with the reason, without its numbers and ids."""
    reason = str(answer["denied"]).split(":")[0].split(" Position")[0].split(" Client")[0]
    return "sent" if answer["reached_client"] else f"denied ({reason})"


def peer_missing_price(said: dict[str, Any]) -> Outcome:
    held = not (
        said["cash_without_price"]["reached_client"] or said["margin_without_price"]["reached_client"]
    )
    told = ", ".join(f"{name.replace('_', ' ')} {sent(answer)}" for name, answer in said.items())
    return Outcome(held, f"BUY 100,000 under a limit of 1,000 an order: {told}")


def peer_oversize_exit(said: dict[str, Any]) -> Outcome:
    plain, flagged = said["plain"], said["reduce_only_with_position"]
    after = f", position after its fill {plain['net_after_fill']}" if plain["reached_client"] else ""
    return Outcome(
        not plain["reached_client"],
        f"REDUCING, LONG 100, SELL 300: {sent(plain)}{after}; the same flagged reduce-only "
        f"{sent(said['reduce_only'])}, and with the position's id {sent(flagged)}",
    )


def peer_restart(said: dict[str, Any]) -> Outcome:
    told = [
        f"{state} before, {answer['state_after']} in a new engine over the same cache; a BUY was "
        f"{sent(answer['buy_before'])}, then {sent(answer['buy_after'])}"
        for state, answer in said.items()
    ]
    held = all(answer["state_after"] == state for state, answer in said.items())
    return Outcome(held, "; ".join(told) + " (the state was set by hand: it has no drawdown rule)")


def peer_small_exit(said: dict[str, Any]) -> Outcome:
    told = ", ".join(f"{account} account {sent(answer)}" for account, answer in said.items())
    return Outcome(
        all(a["reached_client"] for a in said.values()), f"exit of 99 where 1,000 is least: {told}"
    )


def peer_resend(said: dict[str, Any]) -> Outcome:
    return Outcome(
        said["submits_at_client"] == 1,
        f"a second order under the id of the unanswered one: {sent(said['second'])}; submits at the client: "
        f"{said['submits_at_client']}",
    )


def peer_kill(said: dict[str, Any]) -> Outcome:
    calls = " ".join(said["calls_after_halt"]) or "nothing"
    return Outcome(
        any("cancel" in call for call in said["calls_after_halt"]),
        f"HALTED sends {calls} to the client, the resting BUY is {said['resting']}; the next order "
        f"{sent(said['next_order'])} (HALTED is the nearest it has to a kill)",
    )


def peer_exception(said: dict[str, Any]) -> Outcome:
    told = ", ".join(f"{n} {'sent' if a['reached_client'] else 'not sent'}" for n, a in said.items())
    return Outcome(
        said["exit"]["reached_client"] and not said["entry"]["reached_client"],
        f"REDUCING, the portfolio it asks raises: {told}; the caller gets {said['exit']['raised_to_caller']}",
    )


PEER: dict[int, Callable[[dict[str, Any]], Outcome]] = {
    1: peer_missing_price,
    2: peer_oversize_exit,
    3: peer_restart,
    7: peer_small_exit,
    9: peer_resend,
    10: peer_kill,
    11: peer_exception,
}


# --- running ------------------------------------------------------------------------------------------------


def ask_peer(python: str | None) -> dict[str, Any] | str:
    """The peer's answers from its own interpreter, or why there are none."""
    if python is None:
        return NOT_INSTALLED
    try:
        done = subprocess.run([python, str(PEER_SCRIPT)], capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.SubprocessError):
        return "not run (the interpreter did not answer)"
    if done.returncode:
        error = done.stderr.strip().rsplit("\n", 1)[-1]
        return (
            NOT_INSTALLED
            if error.startswith(("ModuleNotFoundError", "ImportError"))
            else f"not run ({error})"
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def cell(outcome: Outcome) -> str:
    return f"{'held' if outcome.held else 'did not hold'}: {outcome.what}"


def peer_cell(number: int, told: dict[str, Any] | str) -> str:
    if isinstance(told, str):
        return told
    if number not in PEER:
        return NO_SUCH_RULE
    said = told.get(str(number), {"error": "no answer"})
    return f"not run: {said['error']}" if "error" in said else cell(PEER[number](said))


def run(number: int) -> Outcome:
    """Our side of one scenario, again through the gate where that can tell; an exception is an outcome too."""
    try:
        inside = OURS[number]()
        if number not in ours_gate.ALSO:
            return inside
        gate = ours_gate.ALSO[number]()
    except Exception as error:
        return Outcome(False, f"{type(error).__name__}: {error}")
    return Outcome(inside.held and gate.held, f"{inside.what}; through the gate: {gate.what}")


def table(rows: list[tuple[str, ...]]) -> str:
    """Columns of fixed width, long cells wrapped."""
    lines = []
    for row in rows:
        wrapped = [textwrap.wrap(text, width) for text, width in zip(row, WIDTHS, strict=True)]
        for i in range(max(map(len, wrapped))):
            parts = [w[i] if i < len(w) else "" for w in wrapped]
            lines.append("  ".join(p.ljust(width) for p, width in zip(parts, WIDTHS, strict=True)).rstrip())
        lines.append("")
    return "\n".join(lines).rstrip()


def markdown(rows: list[tuple[str, ...]]) -> str:
    head, *rest = ["| " + " | ".join(text.replace("|", "\\|") for text in row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(WIDTHS), *rest])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nautilus-python", metavar="PATH", help="an interpreter that has nautilus_trader")
    parser.add_argument("--only", metavar="N,N", help="some of the scenarios")
    parser.add_argument("--markdown", action="store_true", help="the table of docs/guides/scorecard.md")
    args = parser.parse_args()
    numbers = [int(n) for n in args.only.split(",")] if args.only else list(SCENARIOS)
    told = ask_peer(args.nautilus_python)
    peer = "nautilus_trader" if isinstance(told, str) else f"nautilus_trader {told['version']}, RiskEngine"
    outcomes = {number: run(number) for number in numbers}
    rows = [("scenario", "what must happen", "this project", peer)]
    for number, outcome in outcomes.items():
        scenario = SCENARIOS[number]
        rows.append((f"{number}. {scenario.name}", scenario.must, cell(outcome), peer_cell(number, told)))
    print((markdown if args.markdown else table)(rows))
    if not isinstance(told, str):
        print(f"\nAll settings of that RiskEngine: {', '.join(told['settings'])}.")
    print(f"\n{sum(o.held for o in outcomes.values())} of {len(outcomes)} held on our side.")
    return 0 if all(outcome.held for outcome in outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
