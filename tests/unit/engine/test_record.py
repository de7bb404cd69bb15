"""The record: canonical bytes, the same in every process; transitions once; words made of codes alone."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from tests.history_samples import history, market, prices, rules

from regime_trading.core.canonical import canonical_json
from regime_trading.core.rules import LATCHING_RULES, RULE_BY_ID, RULE_IDS, TradingState
from regime_trading.core.settings import Operators
from regime_trading.engine import record
from regime_trading.engine.backtest import HistoryInputs, HistoryResult, run_history
from regime_trading.engine.fills import FillCosts
from regime_trading.engine.record import market_hash, number_text
from regime_trading.guards.attribution import WORD, rule_names
from regime_trading.guards.verdict import BOUND, UNKNOWN

ROOT = Path(__file__).parents[3]
STRICT: dict[str, Any] = {
    "LD_01": {"limit_pct": "0.02"},
    "LD_02": {"ladder": [["0.03", "0.5"], ["0.06", "FLATTEN"], ["0.12", "LOCKED"]], "ramp_sessions": 3},
    "CC_01": {"max_weight": "0.2"},
    "VT_01": {"sigma_target": "0.08"},
}


def inputs(n_bars: int = 160) -> HistoryInputs:
    """A rough market with holes: latches, throttles, unknown prices, jumps."""
    close = prices(n_bars, 4, 11, 0.025)
    close[70:74, 1] = np.nan
    close[90, 2] *= 1.4
    flows = np.zeros((n_bars, 2))
    flows[30, 1] = 5_000.0
    return history(
        market(close),
        [rules(**STRICT), rules()],
        operators=Operators(MANUAL=3, DUAL=6),
        costs=FillCosts(1.0, 2.0, 10.0),
        flows=flows,
    )


def run(of: HistoryInputs) -> tuple[HistoryResult, list[list[bytes]]]:
    bodies: list[list[bytes]] = [[] for _ in of.identities]
    result = run_history(of, lambda a, events: bodies[a].extend(e.body for e in events), block_bars=64)
    return result, bodies


def digest() -> str:
    """SHA-256 over every body of the sample history; called in child processes too."""
    _, bodies = run(inputs())
    return hashlib.sha256(b"\n".join(body for chain in bodies for body in chain)).hexdigest()


@pytest.fixture(scope="module")
def made() -> tuple[HistoryInputs, HistoryResult, list[list[dict[str, Any]]]]:
    sample = inputs()
    result, bodies = run(sample)
    return sample, result, [[orjson.loads(body) for body in chain] for chain in bodies]


def of_type(chain: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [entry for entry in chain if entry["event_type"] == kind]


def test_the_sample_has_every_kind_of_entry(made) -> None:
    kinds = Counter(entry["event_type"] for entry in made[2][0])
    assert {"DECISION", "FILL", "LATCH", "UNLOCK", "MODE_CHANGE", "RULE_BREACH"} <= set(kinds)
    assert of_type(made[2][1], "CASH_FLOW")


def test_every_entry_is_canonical() -> None:
    _, bodies = run(inputs())
    for chain in bodies:
        for body in chain:
            assert canonical_json(orjson.loads(body)) == body


@pytest.mark.parametrize(("seed", "zone"), [("4711", "America/St_Johns")])
def test_another_process_writes_the_same_bytes(seed: str, zone: str) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from tests.unit.engine.test_record import digest as d; "
    )
    code += "print(d())"
    env = os.environ | {"PYTHONHASHSEED": seed, "TZ": zone, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT)], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == digest()


def test_a_decision_says_every_rule_once_and_its_binding_rules_are_bound(made) -> None:
    for chain in made[2]:
        for entry in of_type(chain, "DECISION"):
            table = {row["rule_id"]: row for row in entry["rules"]}
            assert [row["rule_id"] for row in entry["rules"]] == list(RULE_IDS)
            assert entry["rule_id"] == (entry["binding_rules"] or [""])[0]
            for rule_id in entry["binding_rules"]:
                by_latch = rule_id in LATCHING_RULES and entry["trading_state_after"] != "NORMAL"
                assert table[rule_id]["outcome"] in ("bound", "unknown") or by_latch, rule_id
            lengths = {len(column) for column in entry["targets"].values()}
            assert len(lengths) == 1


def test_the_rationale_is_made_of_the_decisions_own_codes_and_numbers(made) -> None:
    told = 0
    for chain in made[2]:
        for entry in of_type(chain, "DECISION"):
            sentence, rules_bound = entry["rationale"], entry["binding_rules"]
            assert sentence.startswith(f"{entry['outcome']}: ") and sentence.endswith(".")
            if not rules_bound:
                assert sentence == f"{entry['outcome']}: no rule binds."
                continue
            assert re.findall(r"\b[A-Z]{2}-\d\d\b", sentence) == rules_bound
            table = {row["rule_id"]: row for row in entry["rules"]}
            for rule_id in rules_bound:
                assert f"{rule_id} {RULE_BY_ID[rule_id].title}" in sentence
                row = table[rule_id]
                if row["value"] is not None and row["limit"] is not None:
                    value, limit = (format(float(row[k]), ".6g") for k in ("value", "limit"))
                    assert f"({value} against {limit})" in sentence
                    told += 1
    assert told > 20


def test_equal_decisions_have_equal_sentences_and_ids_bind_their_inputs(made) -> None:
    _, again = run(inputs())
    for chain, other in zip(made[2], again, strict=True):
        assert [e["rationale"] for e in chain] == [orjson.loads(b)["rationale"] for b in other]
        ids = [e["decision_id"] for e in of_type(chain, "DECISION")]
        assert len(set(ids)) == len(ids)
    sample = inputs()
    who = tuple(replace(x, config_hash="d" * 64) for x in sample.identities)
    _, changed = run(replace(sample, identities=who))
    first = [orjson.loads(chain[0])["decision_id"] for chain in (again[0], changed[0])]
    assert first[0] != first[1]


def test_mode_changes_are_written_when_the_trading_state_changes_and_only_then(made) -> None:
    sample, result, chains = made
    times = [str(ts) for ts in sample.market.ts_ns.tolist()]
    for a, chain in enumerate(chains):
        states = [0, *result.trading_state[:, a].tolist()]
        want = [
            (times[t], TradingState(x).name, TradingState(y).name)
            for t, (x, y) in enumerate(pairwise(states))
            if x != y
        ]
        found = [(e["ts_event_ns"], e["before"], e["after"]) for e in of_type(chain, "MODE_CHANGE")]
        assert found == want
    assert len(of_type(chains[0], "MODE_CHANGE")) >= 4


def test_breaches_are_written_when_they_begin_and_only_then(made) -> None:
    sample, result, chains = made
    guards = {"data_sanity", "blackout", "drawdown"}
    for a, chain in enumerate(chains):
        want = set()
        for r, rule_id in enumerate(RULE_IDS):
            if RULE_BY_ID[rule_id].guard.name.lower() not in guards:
                continue
            said = np.isin(result.rule_outcome[:, a, r], (BOUND, UNKNOWN))
            begins = said & ~np.concatenate([[False], said[:-1]])
            want |= {(str(sample.market.ts_ns[t]), rule_id) for t in np.flatnonzero(begins)}
        found = [(e["ts_event_ns"], e["rule_id"]) for e in of_type(chain, "RULE_BREACH")]
        assert len(found) == len(set(found)) and set(found) == want
        assert all(e["actor"] == {"type": "rule", "id": e["rule_id"]} for e in of_type(chain, "RULE_BREACH"))
        if a == 0:
            assert want


def test_a_latch_is_written_once_and_every_unlock_follows_its_latch(made) -> None:
    for chain in made[2]:
        held: dict[str, tuple[str, str]] = {}
        for entry in chain:
            if entry["event_type"] == "LATCH":
                now = (entry["trading_state"], entry["release"])
                assert held.get(entry["rule_id"]) != now, "a standing latch is not written again"
                held[entry["rule_id"]] = now
            if entry["event_type"] == "UNLOCK":
                assert held.pop(entry["rule_id"])[1] == entry["release"]


def test_entries_of_one_bar_stand_in_causal_order(made) -> None:
    order = {name: i for i, name in enumerate(("CASH_FLOW", "FILL", "UNLOCK", "DECISION", "LATCH"))}
    for chain in made[2]:
        for one, two in pairwise(chain):
            assert int(one["ts_event_ns"]) <= int(two["ts_event_ns"])
            if one["ts_event_ns"] == two["ts_event_ns"]:
                rank = [order.get(e["event_type"], 9) for e in (one, two)]
                assert rank[0] <= rank[1]


def test_a_fill_names_the_decision_that_ordered_it(made) -> None:
    for chain in made[2]:
        last: dict[str, Any] = {}
        for entry in chain:
            if entry["event_type"] == "DECISION":
                last = entry
            if entry["event_type"] == "FILL":
                assert entry["correlation_id"] == last["decision_id"]
                ordered = dict(zip(last["targets"]["symbol"], last["targets"]["step_qty"], strict=True))
                for symbol, qty in zip(entry["symbol"], entry["qty"], strict=True):
                    assert ordered[symbol] == qty


def test_numbers_are_the_shortest_text_and_what_is_not_known_is_null() -> None:
    assert number_text(0.1) == "0.1"
    record._text.cache_clear()  # equal numbers have one text, whichever of them this process met first
    assert number_text(-0.0) == number_text(0.0) == "0.0"
    assert number_text(float("nan")) is None
    assert (number_text(float("inf")), number_text(float("-inf"))) == ("unlimited", "-unlimited")
    assert rule_names(np.array([0b101, 0b1])) == (RULE_IDS[0], RULE_IDS[2], RULE_IDS[WORD])


def test_the_snapshot_binds_everything_the_guards_saw_of_the_market() -> None:
    """An array that a rule may read and the hash leaves out could change a decision without changing its id."""
    seen = market(prices(5, 4, 1)).at(4)
    whole = market_hash(seen)
    read = 0
    for part, put in (
        (seen, lambda **new: replace(seen, **new)),
        (seen.instruments, lambda **new: replace(seen, instruments=replace(seen.instruments, **new))),
        (seen.signals, lambda **new: replace(seen, signals=replace(seen.signals, **new))),
    ):
        for f in (f for f in fields(part) if f.init and isinstance(getattr(part, f.name), np.ndarray)):
            values = getattr(part, f.name).copy()
            if values.size:
                values.flat[-1] = not values.flat[-1] if values.dtype == np.bool_ else 7
                assert market_hash(put(**{f.name: values})) != whole, f.name
                read += 1
    assert read > 40
    for name, value in (("provided", frozenset({"close"})), ("substituted", frozenset({"quotes"}))):
        assert market_hash(replace(seen, **{name: value})) != whole, name
