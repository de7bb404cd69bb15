"""The first gate of the ladder: what is not known is never met, and nothing is passed without a feed."""

from __future__ import annotations

import datetime as dt

import pytest

from regime_trading.core.ladder import NO_BROKER, NO_FEED, RunSpan, joined, next_gate, reasons_against
from regime_trading.core.schemas import Mode


def span(first: str, last: str, decisions: int = 10) -> RunSpan:
    at = [
        int(dt.datetime.fromisoformat(f"{day}T21:00:00+00:00").timestamp()) * 10**9 for day in (first, last)
    ]
    return RunSpan("bt-1", "core", decisions, *at)


@pytest.mark.parametrize(
    ("spans", "holds"),
    [
        ([], False),
        ([span("2010-01-04", "2012-12-31")], False),
        ([span("2010-01-04", "2015-01-05")], True),
        ([span("2020-02-20", "2022-03-01")], True),
        ([span("2020-03-15", "2022-03-01")], False),
        ([span("2020-02-20", "2021-12-31")], False),
        ([span("2020-03-01", "2020-04-01"), span("2022-01-01", "2022-02-01")], False),
        ([span("2015-01-04", "2018-01-05"), span("2020-02-20", "2022-03-01")], True),
    ],
)
def test_how_long_a_dry_run_must_be(spans: list[RunSpan], holds: bool) -> None:
    gate = next_gate(Mode.DRY_RUN, spans, rules=33, tested_ns=7)
    assert gate is not None
    found = next(one for one in gate.conditions if one.name == "history")
    assert found.holds is holds and (found.at_ns is None) == (not spans)


def test_what_is_not_known_is_not_met() -> None:
    gate = next_gate(None, [span("2010-01-04", "2020-01-05")], rules=33, tested_ns=7)
    assert gate is not None and (gate.name, gate.mode, gate.passed) == ("G0", Mode.SHADOW, False)
    assert gate.unmet[0] == NO_FEED and not any(
        "G0 history" in said or "G0 rules" in said for said in gate.unmet
    )
    assert sum("not known" in said for said in gate.unmet) == 3
    assert reasons_against(Mode.GATED_LIVE, gate)[0] == NO_BROKER
    above = next_gate(Mode.SHADOW, [], rules=33, tested_ns=7)
    assert (
        above is not None and above.mode is Mode.GATED_LIVE and NO_BROKER in above.unmet and not above.passed
    )
    assert (
        next_gate(Mode.GATED_LIVE, [], rules=33, tested_ns=7) is None
        and reasons_against(Mode.SHADOW, None) == ()
    )


def test_two_stretches_of_a_run_are_one() -> None:
    whole = joined(span("2010-01-04", "2012-12-31", 3), span("2013-01-04", "2015-12-31", 4))
    assert whole == span("2010-01-04", "2015-12-31", 7)
