"""Scenarios as pages that a client can read: who is under which rules, what happened, what was decided, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from regime_trading.core.rules import RULE_BY_ID, TradingState
from regime_trading.tools.scenario_file import EVERYONE, Account, Expected, Firm, Scenario, Step

INTRODUCTION = """# Scenarios: which rule wins

Generated from `tests/scenarios/*.yaml` (`make docs`); each of them is also a test that plays it through the portfolio
manager's own cycle and compares every decision with what is written here. All firms and accounts are fictional.

How to read them. At every step the waiting orders fill at the step's prices, without costs; then the book is marked
and decided on. A proposal and a price stand until they are replaced. *Decision* names the outcome, the trading state,
target weights (fractions of equity) and the orders it sends (signed quantities), then the rules that bind and the
latches that are held, with who may release them. Every rule looks at every decision; the strictest wins, component by
component: trading state, what may be sent, the box of each asset, and the factors on the book. Rules that are not
written under an account are the platform's defaults ([the rules](rules.md)).
"""


def scenario_pages(scenarios: Sequence[Scenario]) -> str:
    """The whole guide as Markdown; ends with a newline."""
    lines = [INTRODUCTION]
    lines += [f"- [{one.title}](#{_anchor(one.title)})" for one in scenarios]
    for one in scenarios:
        lines += ["", *scenario_page(one)]
    return "\n".join(lines) + "\n"


def scenario_page(scenario: Scenario) -> Iterator[str]:
    """Lines of one scenario."""
    yield f"## {scenario.title}\n"
    yield f"{_flat(scenario.shows)}\n"
    yield "| account | capital | trading day | rules of its own |"
    yield "|---|---|---|---|"
    for firm, account in scenario.accounts:
        yield _row(_account(firm, account))
    yield ""
    yield f"{_instruments(scenario)} Times are of {scenario.clock}.\n"
    yield "| when | what happened | proposed | account | decision | why |"
    yield "|---|---|---|---|---|---|"
    for step in scenario.steps:
        for number, name in enumerate(scenario.names):
            first = number == 0
            when, what = (f"**{_when(step)}**", _flat(step.what)) if first else ("", "")
            asked = _proposed(step, name)
            yield _row((when, what, asked, name, _decision(step.expect[name]), _flat(step.expect[name].why)))


def _account(firm: Firm, account: Account) -> tuple[str, ...]:
    day = account.trading_day
    own = [f"`{key}: {_plain(body)}`" for key, body in account.risk.items()]
    shared = [f"`{key}: {_plain(body)}` (firm)" for key, body in firm.risk.items()]
    rules = "<br>".join([*shared, *own]) or "none"
    return (
        f"{firm.id}/{account.id}",
        _number(account.initial_capital),
        f"from {day.reset_at} {day.zone}",
        rules,
    )


def _instruments(scenario: Scenario) -> str:
    said = [
        f"{symbol} ({one.group}) at {_number(one.price)}, daily volatility {_percent(one.sigma)}"
        for symbol, one in sorted(scenario.instruments.items())
    ]
    events = [f"{event.id} at {event.at} concerns {', '.join(event.symbols)}" for event in scenario.events]
    rho = f"each pair correlated {_number(scenario.correlation)}"
    return f"Instruments: {'; '.join(said)}; {rho}." + "".join(f" {event}." for event in events)


def _when(step: Step) -> str:
    suffix = {None: "", False: " (the first time)", True: " (the second time)"}[step.again]
    return step.at + suffix


def _proposed(step: Step, name: str) -> str:
    weights = step.propose.get(name, step.propose.get(EVERYONE))
    return "as before" if weights is None else _weights(weights) or "nothing"


def _decision(said: Expected) -> str:
    parts = [f"**{said.outcome.value}**, {TradingState(said.state).name}"]
    if said.targets:
        parts.append(f"target {_weights(said.targets)}")
    if said.drawdown is not None:
        parts.append(f"drawdown {_percent(said.drawdown)}")
    moves = {symbol: qty for symbol, qty in said.steps.items() if qty}
    if said.steps:
        parts.append(f"orders {_signed(moves)}" if moves else "no orders")
    if said.owed:
        parts.append(f"owed {_signed(said.owed)}")
    bound = said.bind if said.bind is not None else said.bind_includes
    if bound:
        others = "" if said.bind is not None else ", among others"
        parts.append(f"binding{others}: " + ", ".join(f"{rule} {RULE_BY_ID[rule].title}" for rule in bound))
    for rule, release in said.latches.items():
        parts.append(f"latch {rule} ({release.name})")
    for rule in said.released:
        parts.append(f"latch {rule} has ended")
    return "<br>".join(parts)


def _weights(weights: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{symbol} {_number(weight)}" for symbol, weight in weights.items())


def _signed(quantities: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{symbol} {'+' if qty > 0 else ''}{_number(qty)}" for symbol, qty in quantities.items())


def _plain(body: Any) -> str:
    """A value as it could stand in a configuration file."""
    if isinstance(body, Mapping):
        return "{" + ", ".join(f"{key}: {_plain(value)}" for key, value in body.items()) + "}"
    if isinstance(body, list | tuple):
        return "[" + ", ".join(_plain(item) for item in body) + "]"
    if isinstance(body, bool):
        return "true" if body else "false"
    return str(body)


def _number(value: Decimal) -> str:
    return format(value.normalize(), ",f").replace("-", "−")


def _percent(value: Decimal) -> str:
    return f"{_number(value * 100)} %"


def _flat(text: str) -> str:
    return " ".join(text.split())


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _anchor(title: str) -> str:
    return "".join(c for c in title.lower() if c.isalnum() or c in " -_").replace(" ", "-")
