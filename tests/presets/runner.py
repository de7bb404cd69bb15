"""Golden scenarios of the packs of ``config/presets.yaml``: money paths through the public decision, step by step.

One file per pack. A step says what an account is worth at an instant; its time, balance, open profit and flows go
through the gate's own decision, whose state goes into the next step. Expected are the account's state, the rules that
said so and the floors in money, all worked out by hand in the comments.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np
from tests.gate_samples import CONFIG, answers

from regime_trading.adapters.config_files import Configuration, load_firms
from regime_trading.adapters.yaml_text import read_yaml
from regime_trading.core.request_reading import read_requests
from regime_trading.core.rules import RULE_BY_ID, Guard, Release, TradingState
from regime_trading.core.schemas import PMDecision
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.engine.requests import Answer
from regime_trading.guards.floors import floors
from regime_trading.guards.snapshot import stack_params

HERE = Path(__file__).parent
FILES = tuple(sorted(HERE.glob("*.yaml")))
TERMINAL, THROTTLED = "TERMINAL", "throttled"
#: Guards whose bound rules a step names: windows of time, and losses.
NAMED = (Guard.BLACKOUT, Guard.DRAWDOWN)

#: One plausible instrument of each kind, as a desk would declare it.
INSTRUMENTS: dict[str, dict[str, Any]] = {
    "EURUSD": {"lot": "1000", "margin_rate": "0.05", "margined": True, "asset_class": "fx"},
    "MEGA": {"lot": "1", "group": "technology", "asset_class": "equity"},
    "MES": {"lot": "1", "multiplier": "5", "margin_rate": "0.05", "mini_equivalents": "0.1", "tick": "0.25"},
    "ES": {"lot": "1", "multiplier": "50", "margin_rate": "0.05", "mini_equivalents": "1", "tick": "0.25"},
    "ZC": {"lot": "1", "multiplier": "50", "margin_rate": "0.05", "mini_equivalents": "1", "tick": "0.25"},
}
PRICES = {"EURUSD": Decimal("1.08"), "MEGA": Decimal(190), "MES": Decimal(5000), "ES": Decimal(5000),
          "ZC": Decimal(400)}  # fmt: skip
VARIANCE = {"EURUSD": 0.0064, "MEGA": 0.09, "MES": 0.04, "ES": 0.04, "ZC": 0.09}  #: annual


def packs(folder: Path) -> Configuration:
    """The shipped packs, each taken over by one account of a firm that adds nothing."""
    written = read_yaml(CONFIG / "presets.yaml")[0]["presets"]
    lines = ["schema_version: 1", "firms:", "  - id: desk", "    name: Desk (fictional)", "    accounts:"]
    for ref in written:
        lines += [f"      - {{id: {account_id(ref)}, mode: dry_run, preset: {ref}}}"]
    traders = folder / "traders.yaml"
    traders.write_text("\n".join(lines) + "\n", encoding="utf-8")
    shutil.copy(CONFIG / "presets.yaml", folder)
    loaded = load_firms(CONFIG / "settings.yaml", traders)  # its deposits are of accounts that are not here
    assert loaded.broken == ()
    return loaded


def account_id(ref: str) -> str:
    """``eval_eod_trailing_50k@2`` as the id of an account."""
    return ref.replace("_", "-").replace("@", "-v")


def profile_of(loaded: Configuration, ref: str) -> TraderProfile:
    """The account that took over one pack."""
    return next(profile for profile in loaded.profiles if profile.preset_ref == ref)


# --- one step ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """What one account is worth at one instant, and what it asks for.

    ``balance`` is cash and what was realised, ``open`` the open profit of ``qty`` units bought at ``entry``; ``flow``
    what was paid in today (out: negative); ``ask`` the units it wants to hold, None = what it holds.
    """

    at: str
    symbol: str
    balance: Decimal
    entry: Decimal
    qty: Decimal = Decimal(0)
    open: Decimal = Decimal(0)
    flow: Decimal = Decimal(0)
    ask: Decimal | None = None
    stop: bool = True
    held_s: int = 0
    to_close_s: int = 36_000

    @property
    def price(self) -> Decimal:
        """The price at which ``qty`` units have gained ``open``."""
        if self.qty == 0:
            return self.entry
        multiplier = Decimal(INSTRUMENTS[self.symbol].get("multiplier", "1"))
        return self.entry + self.open / (self.qty * multiplier)

    @property
    def weight(self) -> Decimal:
        """``ask`` as a share of equity, rounded away from zero, so that no unit is lost to the rounding."""
        assert self.ask is not None
        unit = self.price * Decimal(INSTRUMENTS[self.symbol].get("multiplier", "1"))
        share = abs(self.ask) * unit / (self.balance + self.open)
        return share.quantize(Decimal("1e-9"), ROUND_UP).copy_sign(self.ask)


def request_of(step: Step, account: str, events: list[dict[str, Any]], state: Any) -> dict[str, Any]:
    """The step in the words of the public request, in a calm market that trends."""
    symbol, now = step.symbol, dt.datetime.fromisoformat(step.at)
    market = {
        "instruments": [{"symbol": symbol, "spread_bps": "0"} | INSTRUMENTS[symbol]],
        "quotes": [{"symbol": symbol, "last": str(step.price), "ts": step.at}],
        "adv": {symbol: "1000000000"},
        "status": {symbol: "open"},
        "provides": ["close", "volume", "status", "instruments"],
        "covariance": {"symbols": [symbol], "matrix": [[VARIANCE[symbol]]], "annualised": True, "n_obs": 300},
        "regime": {"label": "trending", "confidence": 0.9},
        "shocks": {"market": 0, "symbols": {symbol: 0}},
        "session_clock": {symbol: {"since_open_s": 36_000, "to_close_s": step.to_close_s}},
        "bar_s": 60,
        "events": events,
    }
    position = {
        "symbol": symbol,
        "qty": str(step.qty),
        "avg_price": str(step.entry),
        "protective_stop": str(step.entry / 2) if step.stop else None,
        "opened_at": (now - dt.timedelta(seconds=step.held_s)).isoformat(),
    }
    return {
        "as_of": step.at,
        "account": account,
        "portfolio": {
            "cash": str(step.balance),
            "positions": [position] if step.qty else [],
            "flows_today": str(step.flow),
            "traffic": {"fills": []},
        },
        "proposal": {
            "proposal_id": step.at,
            "as_of": step.at,
            "complete": step.ask is not None,
            "weights": {} if step.ask is None else {symbol: str(step.weight)},
        },
        "market": market,
        "state": state,
    }


def decide(profile: TraderProfile, step: Step, events: list[dict[str, Any]], state: Any = None) -> Answer:
    """The gate's answer to one step."""
    (request,), _ = read_requests(request_of(step, profile.account, events, state))
    return answers([request], {profile.account: profile})[0]


# --- what came of it ----------------------------------------------------------------------------------------------


def state_word(decision: PMDecision) -> str:
    """``TERMINAL`` where a latch ends the account, else the trading state, or ``throttled``."""
    if decision.release is not None and decision.release.kind is Release.TERMINAL:
        return TERMINAL
    if decision.trading_state_after is TradingState.NORMAL and decision.throttle < 1:
        return THROTTLED
    return decision.trading_state_after.name


def bound_by(decision: PMDecision) -> list[str]:
    """Rules of guards 2 and 3 that did not hold."""
    return [
        rule.rule_id
        for rule in decision.rules
        if rule.outcome.value in {"bound", "unknown"} and RULE_BY_ID[rule.rule_id].guard in NAMED
    ]


def money_floors(answer: Answer, profile: TraderProfile) -> dict[str, list[float]]:
    """Equity at which our circuit acts and at which the firm's floor is, by rule; those that have one."""
    view = answer.cycle.view
    found = floors(view, stack_params([profile.rules], view.market.symbols))
    return {
        rule_id: [round(float(floor.act[answer.row]), 6), round(float(floor.external[answer.row]), 6)]
        for rule_id, floor in found.items()
        if np.isfinite(floor.act[answer.row]) and rule_id != "LD-02"
    }


@dataclass(frozen=True)
class MoneyPath:
    """One money path of a file."""

    file: str
    pack: str
    name: str
    symbol: str
    entry: Decimal
    events: list[dict[str, Any]]
    steps: list[dict[str, Any]]

    @property
    def id(self) -> str:
        return f"{self.pack}: {self.name}"


def paths(file: Path) -> Iterator[MoneyPath]:
    """The money paths of a file."""
    data = read_yaml(file)[0]
    for one in data["paths"]:
        symbol = one.get("symbol", data["symbol"])
        events = [
            {"id": f"e{n}", "at": at, "impact": "high", "symbols": "all"}
            for n, at in enumerate(one.get("events", []))
        ]
        entry = Decimal(str(one.get("entry", PRICES[symbol])))
        yield MoneyPath(file.name, data["pack"], one["name"], symbol, entry, events, one["steps"])


_WORLD = {"balance", "open", "qty", "flow", "ask"}
_EXPECTED = {"state", "by", "floors", "gets", "sends", "owes", "release"}


def walk(path: MoneyPath, profile: TraderProfile) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Time, expected and found of every step; only what a step says is compared."""
    state: Any = None
    for written in path.steps:
        given: Mapping[str, Any] = {k: v for k, v in written.items() if k not in _EXPECTED}
        numbers = {k: Decimal(str(given[k])) for k in given if k in _WORLD}
        others = {k: v for k, v in given.items() if k not in _WORLD}
        step = Step(symbol=path.symbol, entry=path.entry, **{**others, **numbers})
        answer = decide(profile, step, path.events, state)
        state = answer.state.model_dump(mode="json")
        decision = answer.decision
        target = next((t for t in decision.targets if t.symbol == path.symbol), None)
        found: dict[str, Any] = {
            "state": state_word(decision),
            "by": bound_by(decision),
            "release": None if decision.release is None else decision.release.kind.name,
            "floors": money_floors(answer, profile),
            "gets": None if target is None else float(target.target_qty),
            "sends": 0.0 if target is None else float(target.step_qty),
            "owes": float(sum((owed.qty for owed in decision.owed), Decimal(0))),
        }
        expected = {k: written[k] for k in _EXPECTED if k in written}
        if "floors" in expected:
            expected["floors"] = {k: [float(x) for x in v] for k, v in expected["floors"].items()}
        for name in ("gets", "sends", "owes"):
            if name in expected:
                expected[name] = float(expected[name])
        assert decision.equity == step.balance + step.open, (written["at"], decision.equity)
        yield written["at"], expected, {k: found[k] for k in expected}
