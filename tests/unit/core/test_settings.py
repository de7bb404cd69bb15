"""Settings: strict models, declared instruments, flows, operators, one canonical hash."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from regime_trading.core.rules import Release
from regime_trading.core.settings import (
    AllocationSettings,
    BacktestSettings,
    ConfidenceCaps,
    ContradictorSettings,
    ExecutionSettings,
    Finding,
    Flow,
    Instruments,
    InvalidConfig,
    Operators,
    ScheduledEvent,
    Settings,
    StructureSettings,
)


def smallest(**more: Any) -> dict[str, Any]:
    return {
        "sources": {"files": {"calendar": "XNYS"}},
        "evidence": {"files": {}},
        "baskets": {"one": {"symbols": ["AAPL"], "allocator": "risk_parity"}},
        **more,
    }


def test_an_instrument_is_its_own_fields_over_the_defaults() -> None:
    instruments = Instruments.model_validate(
        {
            "defaults": {"spread_bps": "10", "lot": "1"},
            "symbols": {"ES": {"multiplier": "50", "group": "index", "adv": "1000000"}},
        }
    )
    future = instruments.spec("ES")
    assert (future.multiplier, future.spread_bps, future.group) == (Decimal(50), Decimal(10), "index")
    unknown = instruments.spec("QQQ")
    assert unknown.adv is None
    assert unknown.group is None


def test_numbers_are_exact_and_the_hash_says_what_matters() -> None:
    one = Settings.model_validate(smallest(execution={"fee_bps": "0.10"}))
    assert one.execution.fee_bps == Decimal("0.1")
    same = Settings.model_validate(smallest(execution={"fee_bps": "0.1"}))
    other = Settings.model_validate(smallest(execution={"fee_bps": "0.2"}))
    assert one.content_hash() == same.content_hash() != other.content_hash()
    assert Settings.model_validate_json(one.model_dump_json()) == one


@pytest.mark.parametrize(
    "more",
    [
        {"sourcez": {}},
        {"evidence": {}},
        {"evidence": {"files": {}, "bundled": {}}},
        {"baskets": {"one": {"symbols": [], "allocator": "risk_parity"}}},
        {"baskets": {"one": {"symbols": ["A", "A"], "allocator": "risk_parity"}}},
        {"baskets": {"one": {"symbols": ["A"], "allocator": "hope"}}},
        {"baskets": {"One": {"symbols": ["A"], "allocator": "risk_parity"}}},
        {"execution": {"fee_bps": "-1"}},
        {"execution": {"fee_bps": "NaN"}},
        {"execution": {"fill": "same_bar"}},
        {"regime": {"n_states": 1}},
        {"events": [{"id": "x", "at": "2020-02-30T00:00Z"}]},
        {"events": [{"id": "x", "at": "2020-02-28T00:00"}]},
        {"events": [{"id": "x", "at": "2020-02-28T00:00Z"}] * 2},
        {"schema_version": 2},
    ],
)
def test_refuses(more: dict[str, Any]) -> None:
    Settings.model_validate(smallest())
    with pytest.raises(ValidationError):
        Settings.model_validate(smallest(**more))


def test_refuses_what_cannot_hold_together() -> None:
    with pytest.raises(ValidationError, match="cap_both_disagree"):
        ContradictorSettings(cap_one_disagrees="0.2", cap_both_disagree="0.3")
    with pytest.raises(ValidationError, match="a quarter"):
        StructureSettings(lags=[2, 200])
    with pytest.raises(ValidationError, match="ascending"):
        StructureSettings(lags=[4, 2])
    with pytest.raises(ValidationError, match="at most window_bars"):
        StructureSettings(min_obs_bars=1009)
    with pytest.raises(ValidationError, match="L2 ≥ L1"):
        ConfidenceCaps(trades="0.5")


def test_sections_are_frozen() -> None:
    with pytest.raises(ValidationError):
        AllocationSettings().window_bars = 1
    with pytest.raises(ValidationError):
        ExecutionSettings().fee_bps = Decimal(0)


def test_operators_release_only_what_people_may_release() -> None:
    people = Operators.model_validate({"MANUAL": 3, "DUAL": "never"})
    assert people.sessions(Release.MANUAL) == 3
    assert people.sessions(Release.DUAL) is None
    for kind in (Release.AUTO, Release.NEXT_SESSION, Release.TERMINAL):
        assert people.sessions(kind) is None
    for bad in (0, -1, "soon"):
        with pytest.raises(ValidationError):
            BacktestSettings.model_validate({"operators": {"MANUAL": bad}})


def test_a_recurring_flow_comes_once_a_year() -> None:
    flow = Flow(account="north-pier/core", date="01-15", amount="25000")
    assert flow.days(dt.date(2000, 1, 15), dt.date(2002, 1, 15)) == (
        dt.date(2000, 1, 15),
        dt.date(2001, 1, 15),
        dt.date(2002, 1, 15),
    )
    assert flow.days(dt.date(2000, 1, 16), dt.date(2001, 1, 14)) == ()


def test_a_dated_flow_comes_once() -> None:
    flow = Flow(account="north-pier/core", date="2000-02-29", amount="-1")
    assert flow.days(dt.date(1999, 1, 1), dt.date(2022, 1, 1)) == (dt.date(2000, 2, 29),)
    assert flow.days(dt.date(2000, 3, 1), dt.date(2022, 1, 1)) == ()


@pytest.mark.parametrize(
    "bad", [{"date": "02-29"}, {"date": "2001-02-29"}, {"amount": "0"}, {"account": "core"}, {"date": "1-1"}]
)
def test_refuses_a_flow_that_cannot_be_dated_or_booked(bad: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Flow.model_validate({"account": "a/b", "date": "01-15", "amount": "1", **bad})


def test_events_are_instants_and_know_whom_they_concern() -> None:
    event = ScheduledEvent(id="x", at="2016-11-08T23:00Z", symbols=("AAPL",))
    assert event.at_ns == 1_478_646_000_000_000_000
    assert event.concerns("AAPL")
    assert not event.concerns("MSFT")
    assert ScheduledEvent(id="y", at="2016-11-08T23:00:00Z").concerns("MSFT")


def test_invalid_config_shows_the_first_finding_and_keeps_all() -> None:
    first = Finding(path="a.b", file="f.yaml", line=3, expected="x", found="y")
    second = Finding(path="c", expected="x", found="z")
    error = InvalidConfig((first, second))
    assert str(error) == "f.yaml:3 a.b: expected x, found y"
    assert error.exit_code == 2
    assert error.findings == (first, second)
    assert second.where == "c"
