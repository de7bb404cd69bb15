"""What is told, how grave it is, and that no amount and no text of a person leaves the house."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.core import messages as m
from regime_trading.core.messages import Numbered
from regime_trading.core.notifications import notice_of

CORE = "north-pier/core"
AMOUNT = "987654.32"


def numbered(data: m.Data, account: str = CORE) -> Numbered:
    return Numbered("north-pier", 77, 5, data.type, account, data.model_dump_json())


def breach(rule: str = "DD-01", **more: Any) -> m.BreachData:
    plain = {
        "breach_id": "b-1",
        "rule_id": rule,
        "value": AMOUNT,
        "limit": AMOUNT,
        "rationale": f"lost {AMOUNT}",
    }
    return m.BreachData(**(plain | more))


def mode(state: str | None, level: int = 0) -> m.ModeData:
    return m.ModeData(mode="shadow", trading_state=state, kill_level=level, reason=f"because {AMOUNT}")  # type: ignore[arg-type]


def proposal(status: str, given: int = 1) -> m.ProposalData:
    return m.ProposalData(request_id="r-1", kind="config", status=status, given=given, required=2)


def job(status: Any) -> m.RunStatusData:
    return m.RunStatusData(job_id="job-1", kind="run", status=status, detail=f"found {AMOUNT}")


def entry(kind: str) -> m.AuditData:
    return m.AuditData(chain_id="admin/north-pier/_firm", seq=5, event_type=kind, rationale=f"moved {AMOUNT}")


@pytest.mark.parametrize(
    ("data", "severity", "words"),
    [
        (breach(), "warning", "rule DD-01 does not hold"),
        (breach("DS-01"), "critical", "the market data have stopped"),
        (mode("LOCKED"), "critical", "trading state LOCKED"),
        (mode("FLATTEN"), "critical", "trading state FLATTEN"),
        (mode("REDUCE_ONLY"), "warning", "trading state REDUCE_ONLY"),
        (mode("NORMAL"), "notice", "mode or trading state changed"),
        (mode(None, 3), "critical", "halted, level K3"),
        (proposal("pending"), "notice", "a request (config) waits for somebody"),
        (proposal("a status nobody has thought of"), "notice", "waits for somebody"),
        (job("failed"), "warning", "a job (run) failed"),
        (entry("DEGRADED"), "critical", "the record is degraded"),
        (entry("CONFIG_REFUSED"), "warning", "a configuration was refused"),
    ],
)
def test_what_is_told_and_how_grave_it_is(data: m.Data, severity: str, words: str) -> None:
    notice = notice_of(numbered(data))
    assert notice is not None
    assert notice.severity.value == severity and words in notice.subject and words in notice.body
    assert notice.notice_id == "north-pier-77" and notice.body.endswith("Notice north-pier-77")
    assert CORE in notice.subject and notice.subject.isprintable()
    assert "987" not in notice.subject + notice.body


@pytest.mark.parametrize(
    "data",
    [
        proposal("approved"), proposal("expired"), proposal("pending", given=2), job("running"), job("done"),
        job("cancelled"), entry("EXPORT"), m.RunLogData(job_id="j", line="x"),
        m.ConfigData(version=1, config_hash="", loaded=True),
    ],
)  # fmt: skip
def test_what_is_not_worth_it_is_not_told(data: m.Data) -> None:
    assert notice_of(numbered(data)) is None


def test_a_firm_without_an_account_is_named() -> None:
    notice = notice_of(numbered(job("failed"), account=""))
    assert notice is not None and notice.subject == "[warning] north-pier: a job (run) failed"


@settings(max_examples=100, deadline=None)
@given(st.integers(10_000, 10**12), st.text(max_size=80), st.sampled_from(["DD-01", "DS-02", "CC-04"]))
def test_no_amount_and_no_text_of_a_person_gets_out(amount: int, said: str, rule: str) -> None:
    secret = f"{said} {amount}"
    made = [
        breach(rule, value=str(amount), limit=f"{amount}.5", rationale=secret[:500]),
        m.ModeData(mode="live", trading_state="LOCKED", kill_level=2, reason=secret[:500]),
        m.RunStatusData(job_id="job-1", kind="run", status="failed", detail=secret[:500], stage=secret),
        m.AuditData(chain_id="a/b/c", seq=1, event_type="DEGRADED", rationale=secret[:500]),
    ]
    for data in made:
        notice = notice_of(numbered(data))
        assert notice is not None
        found = re.findall(r"\d{3,}", notice.subject + notice.body)
        assert not found, found
