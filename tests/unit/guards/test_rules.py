"""Every rule against its own table of cases, ``rules/<ID>.yaml``, which is also its documentation.

A case changes a small scene by name (``given``) and says what must come out (``expect``). The scene: three shares
AAA, BBB, CCC at 100, one account of 100 000 that holds 100 AAA (0.10) and is asked for 0.15 AAA and 0.10 BBB. AAA
and BBB are one group. Nothing binds.
"""

from __future__ import annotations

import datetime as dt
import functools
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML
from tests.unit.guards.scenarios import ANNUAL, changed, defaults

from regime_trading.core.numbers import to_nano
from regime_trading.core.rules import (
    LATCHING_RULES,
    RECOVERING_RULES,
    RULE_BY_ID,
    RULE_IDS,
    TIMER_RULES,
    Authority,
    Release,
    TradingState,
)
from regime_trading.core.schemas import REGIME_LABELS, RULE_OUTCOMES
from regime_trading.guards.attribution import rule_names
from regime_trading.guards.chain import decide
from regime_trading.guards.facts import (
    NEVER_NS,
    Brokerage,
    InstrumentFacts,
    Signals,
    plain_instruments,
    quiet_signals,
    silent_brokerage,
)
from regime_trading.guards.snapshot import (
    NO_LATCH,
    Books,
    Market,
    States,
    View,
    fresh_states,
    nano_weights,
    stack_params,
)

FIXTURES = Path(__file__).parent / "rules"
SYMBOLS = ("AAA", "BBB", "CCC")
CASES = (
    "pass",
    "breach",
    "exactly_on_the_limit",
    "missing_input",
    "nan",
    "short_position",
    "zero_equity",
    "restart_with_latch",
)
POSITION = {"qty": {"AAA": 100.0}, "proposed": {"AAA": 0.15, "BBB": 0.10}}
MARKET = {
    "price": 100.0, "age_bars": 0.0, "sigma": 0.01, "n_obs": 300, "completeness": 1.0, "gap": 0, "venue_open": True,
    "adv": 1e9, "lot": 1.0, "multiplier": 1.0, "fx": 1.0, "to_event_s": np.inf, "since_event_s": np.inf,
    "spread_bps": 5.0, "book": 0, "tape_grade": 0,
}  # fmt: skip
OTHER = {
    "ref_price", "correlation", "condition", "group", "label", "confidence", "date", "equity", "balance",
    "equity_estimated", "equity_age_bars", "working_exit_qty", "mentioned", "provided", "broker_provided",
    "substituted", "rules", "proposal_age_bars", "latches", "timers", "params", "sister", "bar_s", "session",
}  # fmt: skip
PROVIDED = (
    "close", "bars", "volume", "quotes", "status", "instruments", "intraday", "second_source", "session_clock",
    "clock", "fx", "borrow", "earnings", "correlation_shift",
)  # fmt: skip
BROKER = frozenset({"recon", "margin", "orders", "fills", "stops", "heartbeat"})
TS_NS = 10**18


@functools.cache
def load(rule_id: str) -> dict[str, Any]:
    return dict(YAML(typ="safe").load(FIXTURES / f"{rule_id}.yaml"))


def variants(rule_id: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, case in load(rule_id)["cases"].items():
        several = case if isinstance(case, list) else [case]
        if "not_applicable" not in several[0]:
            found += [
                (name if len(several) == 1 else f"{name}-{i + 1}", one) for i, one in enumerate(several)
            ]
    return found


def per_asset(values: Any, default: Any) -> np.ndarray:
    """One value for all, or by symbol over the default."""
    if not isinstance(values, dict):
        values = dict.fromkeys(SYMBOLS, default if values is None else values)
    unknown = set(values) - set(SYMBOLS)
    assert not unknown, unknown
    return np.array([values.get(s, default) for s in SYMBOLS])


def build_market(given: dict[str, Any]) -> Market:
    columns = {name: per_asset(given.get(name), default) for name, default in MARKET.items()}
    label = given.get("label", "trending")
    return Market(
        ts_ns=TS_NS,
        bar_ns=int(given.get("bar_s", 86_400)) * 10**9,
        session=int(given.get("session", 100)),
        date=dt.date.fromisoformat(given.get("date", "2020-03-02")),
        symbols=SYMBOLS,
        ref_price=per_asset(given.get("ref_price"), 100.0),
        correlation=np.array(given.get("correlation", np.eye(3)), dtype=np.float64),
        condition=float(given.get("condition", 10.0)),
        group=per_asset(given.get("group"), 0) if "group" in given else np.array([0, 0, 1]),
        n_groups=2,
        label=REGIME_LABELS.index(label) if label in REGIME_LABELS else -1,
        confidence=float(given.get("confidence", 0.9)),
        provided=frozenset(given.get("provided", PROVIDED)),
        substituted=frozenset(given.get("substituted", ())),
        instruments=facts(plain_instruments(3), given),
        signals=facts(quiet_signals(3), given),
        **columns,
    )


def facts(neutral: Any, given: dict[str, Any]) -> Any:
    """Neutral market facts with what ``given`` says: one value for all assets, by symbol, or a list as it is."""
    changes = {}
    for field in fields(neutral):
        if field.name in given:
            default, said = getattr(neutral, field.name), given[field.name]
            if not isinstance(default, np.ndarray):
                changes[field.name] = tuple(said) if isinstance(default, tuple) else float(said)
            elif isinstance(said, list):
                changes[field.name] = np.array(said, dtype=default.dtype)
            else:
                filler = default[0] if len(default) else 0.0
                changes[field.name] = per_asset(said, filler).astype(default.dtype)
    return replace(neutral, **changes)


def table_of(accounts: list[dict[str, Any]], name: str, neutral: np.ndarray) -> np.ndarray:
    """One row per account: a number, or by symbol over the neutral values (the last axis but sides)."""
    whole = neutral.copy()
    for row, given in enumerate(accounts):
        if name not in given:
            continue
        said = given[name]
        if isinstance(said, dict):
            for symbol, value in said.items():
                whole[row, SYMBOLS.index(symbol)] = value
        else:
            whole[row] = said
    return whole


def build_books(given: list[dict[str, Any]], market: Market) -> Books:
    def column(name: str, default: Any) -> np.ndarray:
        return np.array([g.get(name, default) for g in given])

    def table(name: str, default: float = 0.0) -> np.ndarray:
        return np.array(
            [per_asset(g.get(name, POSITION.get(name)), default) for g in given], dtype=np.float64
        )

    equity, qty = column("equity", 100_000.0).astype(np.float64), table("qty")
    proposed = table("proposed")
    mark = np.where(
        np.isfinite(market.price) & (market.price > 0), market.price, 100.0
    )  # else the last good one
    neutral = replace(
        silent_brokerage(len(given), 3),
        provided=BROKER,
        reconciled=np.full(len(given), 2, dtype=np.int64),
        equity_gap=np.zeros(len(given)),
        margin_used=np.zeros(len(given)),
        buying_power=np.full(len(given), 1e9),
        avg_price=np.where(qty != 0, 100.0, 0.0),
    )
    said = {
        f.name: table_of(given, f.name, getattr(neutral, f.name))
        for f in fields(neutral)
        if f.name != "provided"
    }
    return Books(
        accounts=tuple(f"firm/account-{i}" for i in range(len(given))),
        firm=np.zeros(len(given), dtype=np.int64),
        equity=equity,
        balance=column("balance", 100_000.0).astype(np.float64) if "balance" in given[0] else equity,
        equity_estimated=column("equity_estimated", False),
        equity_age_bars=column("equity_age_bars", 0.0).astype(np.float64),
        qty=qty,
        working_exit_qty=table("working_exit_qty"),
        current=nano_weights(qty, mark * market.multiplier * market.fx, equity),
        proposed=to_nano(proposed),
        mentioned=np.array([per_asset(g.get("mentioned"), True) for g in given]),
        proposal_age_bars=column("proposal_age_bars", 0.0).astype(np.float64),
        broker=replace(neutral, **said, provided=frozenset(given[0].get("broker_provided", BROKER))),
    )


def build_states(given: list[dict[str, Any]], books: Books) -> States:
    capital = np.where(np.isfinite(books.equity) & (books.equity > 0), books.equity, 100_000.0)
    states = fresh_states(capital, 3)
    states = replace(
        states, last_price=np.full((len(given), 3), 100.0), last_sigma=np.full((len(given), 3), 0.01)
    )
    plain = {
        f.name: table_of(given, f.name, getattr(states, f.name))
        for f in fields(States)
        if (not f.name.startswith("latch_") or f.name == "latch_trips")
        and f.name not in ("timer_ns", "unclean")
    }
    states = replace(states, **plain)
    for row, g in enumerate(given):
        for rule_id, until in g.get("timers", {}).items():
            for symbol, seconds in until.items():  # seconds from now
                states.timer_ns[row, TIMER_RULES.index(rule_id), SYMBOLS.index(symbol)] = TS_NS + int(
                    seconds * 1e9
                )
        for rule_id, left in g.get("unclean", {}).items():
            for symbol, count in left.items():
                states.unclean[row, RECOVERING_RULES.index(rule_id), SYMBOLS.index(symbol)] = count
        for rule_id, latch in g.get("latches", {}).items():
            column = LATCHING_RULES.index(rule_id)
            states.latch_kind[row, column] = Release[latch["release"]]
            states.latch_state[row, column] = TradingState[latch["state"]]
            states.latch_trips[row, column] = latch.get("trips", 1)
            states.latch_until_ns[row, column] = TS_NS + int(latch.get("for_s", 0) * 1e9)
    return states


def decide_case(rule_id: str, given: dict[str, Any]) -> tuple[Any, States]:
    named = {f.name for kind in (InstrumentFacts, Signals, Brokerage, States) for f in fields(kind)}
    known = named | {*MARKET, *POSITION, *OTHER}
    unknown = set(given) - known
    assert not unknown, f"{rule_id}: {unknown}"
    profile = defaults()
    for name, params in {rule_id: given.get("params", {}), **given.get("rules", {})}.items():
        profile[name] = changed(profile[name], **params)
    accounts = [given] + ([given["sister"]] if "sister" in given else [])
    market = build_market(given)
    books = build_books(accounts, market)
    view = View(market, books, build_states(accounts, books))
    return decide(view, stack_params([profile] * len(accounts), SYMBOLS), annual=ANNUAL)


def weight(nano: float) -> float | None:
    return None if np.isnan(nano) else float(nano)


WRITTEN = [rule_id for rule_id in RULE_IDS if (FIXTURES / f"{rule_id}.yaml").exists()]
ALL = [(rule_id, name, case) for rule_id in WRITTEN for name, case in variants(rule_id)]


@pytest.mark.parametrize(
    ("rule_id", "case"), [(r, c) for r, _, c in ALL], ids=[f"{r}-{n}" for r, n, _ in ALL]
)
def test_case(rule_id: str, case: dict[str, Any]) -> None:
    decisions, states = decide_case(rule_id, case.get("given", {}))
    row = RULE_IDS.index(rule_id)
    codes = decisions.rule_codes[row]
    found: dict[str, Any] = {
        "outcome": RULE_OUTCOMES[decisions.rule_outcome[0, row]],
        "reasons": [code for bit, code in enumerate(codes) if decisions.rule_reasons[0, row] >> bit & 1],
        "mode": TradingState(int(decisions.mode[0])).name,
        "throttle": float(decisions.projection.throttle[0]),
        "k": float(decisions.projection.k[0]),
        "value": float(decisions.rule_value[0, row]),
        "authority": Authority(int(decisions.authority[0])).name,
        "cancel": [SYMBOLS[i] for i in np.flatnonzero(decisions.steps.cancel[0])],
    }
    expected = dict(case["expect"])
    latch = expected.pop("latch", None)
    for symbol, seconds in expected.pop("timer", {}).items():
        until = int(states.timer_ns[0, TIMER_RULES.index(rule_id), SYMBOLS.index(symbol)])
        assert (None if until == NEVER_NS else (until - TS_NS) / 1e9) == seconds, symbol
    for name, per in (("target", decisions.projection.target), ("step", decisions.steps.step_qty)):
        for symbol, value in expected.pop(name, {}).items():
            exact = value * 1e9 if name == "target" and value is not None else value
            shown = weight(per[0, SYMBOLS.index(symbol)])
            assert shown == (None if exact is None else pytest.approx(exact, abs=0.5e-3)), (name, symbol)
    for symbol, rules in expected.pop("limited_by", {}).items():
        assert list(rule_names(decisions.limiting[0, SYMBOLS.index(symbol)])) == rules, symbol
    if rule_id in LATCHING_RULES:
        column = LATCHING_RULES.index(rule_id)
        held = states.latch_kind[0, column] > NO_LATCH
        names = {
            "release": Release(int(states.latch_kind[0, column])).name if held else None,
            "state": TradingState(int(states.latch_state[0, column])).name if held else None,
        }
        if latch and "for_s" in latch:
            names["for_s"] = (int(states.latch_until_ns[0, column]) - TS_NS) / 1e9
        assert (names if held else None) == latch
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("rule_id", RULE_IDS)
def test_fixture_is_complete(rule_id: str) -> None:
    """Every rule answers all eight questions, or says why one does not apply to it."""
    fixture = load(rule_id)
    assert set(fixture) == {"rule", "about", "cases"}
    assert fixture["rule"] == rule_id
    assert tuple(fixture["cases"]) == CASES
    for name, case in fixture["cases"].items():
        for one in case if isinstance(case, list) else [case]:
            assert set(one) in ({"not_applicable"}, {"expect"}, {"given", "expect"}), (rule_id, name)
            if "expect" in one:
                assert {"outcome", "reasons"} <= set(one["expect"]), (rule_id, name)


def test_no_fixture_without_a_rule() -> None:
    assert sorted(p.stem for p in FIXTURES.glob("*.yaml")) == sorted(RULE_BY_ID)


def test_base_scene_binds_nothing() -> None:
    decisions, _ = decide_case("CC-01", {})
    assert set(decisions.rule_outcome[0].tolist()) <= {
        RULE_OUTCOMES.index("pass"),
        RULE_OUTCOMES.index("off"),
    }
    assert decisions.projection.target[0].tolist() == [150_000_000.0, 100_000_000.0, 0.0]
    assert decisions.steps.step_qty[0].tolist() == [50.0, 100.0, 0.0]
