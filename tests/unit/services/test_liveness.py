"""Guard liveness: the counts of a record beside the reach of today's configuration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.market_data import open_source
from regime_trading.bootstrap import load
from regime_trading.core.errors import BadInput
from regime_trading.core.rules import RULE_IDS
from regime_trading.core.schemas import Provides
from regime_trading.engine.desk import Heard
from regime_trading.services.liveness import (
    AccountTally,
    RuleRecord,
    RuleTally,
    liveness,
    profile_reach,
    read_record,
    record_bytes,
    source_heard,
)

ROOT = Path(__file__).parents[3]
CONFIG = load(ROOT / "config")
CORE = next(p for p in CONFIG.profiles if p.account == "north-pier/core")
DAILY = Heard(
    frozenset({"bars", "close", "instruments", "recon", "margin", "orders", "fills"}),
    frozenset({"volume", "quotes", "status"}),
)


def tally(**counts: Any) -> RuleTally:
    return RuleTally(**({"evaluated": 10, "bound": 0, "unknown": 0, "not_evaluable": 0, "off": 0} | counts))


def record(config_hash: str = CORE.config_hash, **rules: RuleTally) -> RuleRecord:
    every = {rule_id: tally() for rule_id in RULE_IDS} | {k.replace("_", "-"): v for k, v in rules.items()}
    account = AccountTally(account=CORE.account, config_hash=config_hash, decisions=10, rules=every)
    return RuleRecord(
        run_id="bt-1",
        source="bundled",
        first="2008-01-02T21:00:00Z",
        last="2008-01-15T21:00:00Z",
        said=tuple(sorted(DAILY.themselves)),
        substituted=tuple(sorted(DAILY.substitutes)),
        accounts=(account,),
    )


def test_counts_and_reach_stand_side_by_side() -> None:
    bound = tally(bound=4, last_bound="2008-01-14T21:00:00Z")
    found = liveness([CORE], "bundled", DAILY, record(VT_01=bound, CC_02=tally(unknown=10))).accounts[0]
    rules = {rule.rule_id: rule for rule in found.rules}
    assert tuple(rules) == RULE_IDS and rules["VT-01"].tally == bound
    assert {rule_id: rule.reach for rule_id, rule in rules.items()} == profile_reach(CORE, DAILY)
    summary = found.summary
    assert sum(summary[name] for name in ("reachable", "off", "not evaluable")) == len(RULE_IDS)
    assert "unreachable" not in summary, "only where there is one"
    assert summary["never bound"] == summary["reachable"] - 1, "VT-01 alone bound; the off are not counted"


def test_the_machine_answer_names_the_run_and_every_rule() -> None:
    told = liveness([CORE], "bundled", DAILY, record(VT_01=tally(bound=3))).answer()
    assert json.loads(json.dumps(told)) == told
    assert told["run_id"] == "bt-1" and told["first"] == "2008-01-02T21:00:00Z"
    (account,) = told["accounts"]
    assert list(account["rules"]) == list(RULE_IDS)
    assert account["rules"]["VT-01"] == {
        "reach": "reachable",
        "evaluated": 10,
        "bound": 3,
        "unknown": 0,
        "not_evaluable": 0,
        "off": 0,
        "last_bound": None,
    }


def test_without_a_record_there_is_reach_and_no_count() -> None:
    found = liveness([CORE], "bundled", DAILY, None)
    told = found.answer()
    assert told["run_id"] is None and told["accounts"][0]["decisions"] is None
    assert told["accounts"][0]["rules"]["VT-01"] == {"reach": "reachable"}
    assert "never bound" not in found.accounts[0].summary


def test_a_record_of_another_configuration_is_called_so() -> None:
    assert liveness([CORE], "bundled", DAILY, record()).accounts[0].same_config
    assert not liveness([CORE], "bundled", DAILY, record(config_hash="0" * 64)).accounts[0].same_config


def test_an_account_outside_the_record_has_no_counts() -> None:
    other = next(p for p in CONFIG.profiles if p.account != CORE.account)
    (found,) = liveness([other], "bundled", DAILY, record()).accounts
    assert found.decisions is None and {rule.tally for rule in found.rules} == {None}


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    store = LocalArtifacts(tmp_path)
    store.write_bytes("runs/bt-1/rules.json", record_bytes(record()))
    assert read_record(store, "bt-1", CONFIG.settings, ()) == record()


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"run_id": "bt-1", "accounts": [{}]}'])
def test_a_record_that_cannot_be_read_says_where(tmp_path: Path, data: bytes) -> None:
    store = LocalArtifacts(tmp_path)
    store.write_bytes("runs/bt-1/rules.json", data)
    with pytest.raises(BadInput, match=r"runs/bt-1/rules\.json: expected what a finished run writes"):
        read_record(store, "bt-1", CONFIG.settings, ())


@pytest.mark.parametrize("run_id", ["bt-2", "../bt-1", ""])
def test_an_unknown_run_is_bad_input(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(BadInput, match="--run"):
        read_record(LocalArtifacts(tmp_path), run_id, CONFIG.settings, ())


# --- a run ------------------------------------------------------------------------------------------------


def write_run(store: LocalArtifacts, rules: list[dict[str, str]]) -> None:
    health = {"provides": ["close"], "bar_s": 86_400}
    request = {"source": "bundled", "traded": ["KO", "PEP"], "as_of_ns": 1_223_668_800_000_000_000}
    market = {"request": request, "data": {"health": health}}
    decision = {"account": CORE.account, "config_hash": CORE.config_hash, "rules": rules}
    store.write_bytes("runs/run-1/market/regime.json", json.dumps(market).encode())
    store.write_bytes("runs/run-1/firms/north-pier/decisions.json", json.dumps([decision]).encode())


def test_a_run_is_one_decision_per_account(tmp_path: Path) -> None:
    store = LocalArtifacts(tmp_path)
    outcomes = {
        "VT-01": "bound",
        "CC-01": "pass",
        "XL-04": "unknown",
        "DS-06": "not_evaluable",
        "LD-03": "off",
    }
    write_run(store, [{"rule_id": r, "outcome": o} for r, o in outcomes.items()])
    found = read_record(store, "run-1", CONFIG.settings, ("kestrel-lane", "north-pier"))
    assert (found.heard, found.first, found.last) == (DAILY, "2008-10-10T20:00:00Z", "2008-10-10T20:00:00Z")
    (account,) = found.accounts
    assert account.decisions == 1
    assert account.rules == {
        "VT-01": tally(evaluated=1, bound=1, last_bound="2008-10-10T20:00:00Z"),
        "CC-01": tally(evaluated=1),
        "XL-04": tally(evaluated=1, unknown=1),
        "DS-06": tally(evaluated=0, not_evaluable=1),
        "LD-03": tally(evaluated=0, off=1),
    }


def test_a_run_with_a_word_nobody_knows_is_refused(tmp_path: Path) -> None:
    store = LocalArtifacts(tmp_path)
    write_run(store, [{"rule_id": "VT-01", "outcome": "maybe"}])
    with pytest.raises(BadInput, match="expected what a finished run writes"):
        read_record(store, "run-1", CONFIG.settings, ("north-pier",))


# --- a source nobody has run on ---------------------------------------------------------------------------


def test_what_a_source_will_say_is_known_before_it_is_run() -> None:
    calendars = {name: item.calendar for name, item in CONFIG.settings.sources.items()}
    data = open_source("bundled", calendars=calendars)
    assert data.provides == {Provides.CLOSE}
    assert source_heard(data, "bundled", [CORE], CONFIG.settings) == DAILY


def test_declared_borrow_and_earnings_are_heard() -> None:
    from regime_trading.core.settings import ScheduledEvent
    from regime_trading.engine.desk import heard_of

    spec = CONFIG.settings.instruments.spec("KO")
    evidence = CONFIG.settings.evidence["bundled"]
    event = ScheduledEvent.model_validate({"id": "ko", "at": "2008-10-15T12:00:00Z", "kind": "earnings"})
    plain = heard_of(frozenset({Provides.CLOSE}), evidence, [spec], (), 86_400 * 10**9)
    assert plain == DAILY
    fine = heard_of(
        frozenset({Provides.CLOSE}),
        evidence,
        [spec.model_copy(update={"shortable": True})],
        (event,),
        60 * 10**9,
    )
    assert fine == replace(
        plain, themselves=plain.themselves | {"borrow", "earnings", "session_clock", "intraday"}
    )
