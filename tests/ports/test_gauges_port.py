"""What metrics read of the store: counts and ages, as of now, over every firm."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine, insert
from tests.record_samples import event

from regime_trading.adapters.database import SqlAuditLog, SqlJobs, SqlMessages, SqlQueue
from regime_trading.adapters.database.approval_tables import APPROVALS
from regime_trading.adapters.database.control_tables import CONTROLS
from regime_trading.adapters.database.engine import writing
from regime_trading.adapters.database.gauges import store_gauges
from regime_trading.adapters.database.message_readers import SqlMessageReader
from regime_trading.adapters.database.probes import StoreProbes
from regime_trading.adapters.metrics import READ
from regime_trading.core.jobs import Job, JobKind
from regime_trading.core.messages import Message, RunLogData
from regime_trading.core.schemas import Mode

S = 10**9
NOW = 1_000_000 * S
ALONE = {
    "regime_ready",
    "regime_live_connections",
    "regime_live_lag_seconds",
}  #: of the process, not of the store


def test_counts_and_ages(database: Callable[[], Engine]) -> None:
    engine = database()
    nothing = store_gauges(engine, NOW)
    assert nothing["regime_jobs"] == nothing["regime_halts"] == {}
    assert not {"regime_last_entry_seconds", "regime_oldest_queued_job_seconds"} & nothing.keys()

    for n, firm in enumerate(("alpha", "beta", "beta")):
        queued = Job(f"job-{n}", firm, JobKind.RUN, "{}", "u-abcdefgh23456777", NOW - (n + 1) * 10 * S)
        SqlJobs(engine, firm_id=firm).add(queued, max_waiting=9)
    SqlQueue(engine).beat("alive", NOW - 5 * S)
    SqlQueue(engine).beat("gone", NOW - 500 * S)
    SqlAuditLog(engine, firm_id="alpha").append([event(1, env=Mode.SHADOW, ts_event_ns=NOW - 7 * S)])
    slow, quick = (SqlMessageReader(engine, firm_id="alpha", name=name) for name in ("notify:1", "notify:2"))
    for reader in (slow, quick):
        reader.next()
    SqlMessages(engine, firm_id="alpha").publish(
        [Message(NOW, RunLogData(job_id="job", line=str(n))) for n in range(4)]
    )
    (_, told), heads = quick.next(), store_gauges(engine, NOW)["regime_messages_total"][()]
    quick.advance(quick.next()[0][-1].seq)
    control = {"set_ns": 1, "set_by": "u-abcdefgh23456777", "reason": "x", "account": ""}
    request = {"account": "", "kind": "config", "version": 1, "payload_hash": "", "body": "", "why": ""}
    with writing(engine) as connection:
        for n, (level, cleared) in enumerate(((1, None), (1, None), (3, None), (2, 5)), 1):
            ended = {"cleared_ns": cleared, "cleared_by": "x" if cleared else None}
            row = control | ended | {"firm_id": "alpha", "control_no": n, "level": level}
            connection.execute(insert(CONTROLS), row)
        for n, (status, left_s) in enumerate((("requested", 60), ("requested", -1), ("executed", 60))):
            row = request | {"firm_id": "alpha", "request_id": f"rq-{n}", "status": status}
            row |= {"created_ns": NOW - 30 * S, "expires_ns": NOW + left_s * S}
            connection.execute(insert(APPROVALS), row)

    found = store_gauges(engine, NOW)
    assert told == 0
    assert found == {
        "regime_jobs": {("run", "queued"): 3.0},
        "regime_halts": {("K1",): 2.0, ("K3",): 1.0},
        "regime_decisions_total": {(): 0.0},
        "regime_unsealed_entries": {(): 1.0},
        "regime_workers": {(): 1.0},
        "regime_requests_waiting": {(): 1.0},
        "regime_messages_total": {(): heads},
        "regime_notices_behind": {(): 4.0},
        "regime_last_entry_seconds": {(): 7.0},
        "regime_oldest_queued_job_seconds": {(): 30.0},
        "regime_oldest_request_seconds": {(): 30.0},
    }
    assert {one.name for one in READ} == found.keys() | ALONE, "every metric is fed"
    assert heads >= 4 + 3


def test_the_clock_of_a_server_is_asked(database: Callable[[], Engine]) -> None:
    import time

    engine = database()
    found = StoreProbes(engine).store_clock_ns()
    if engine.dialect.name == "sqlite":
        assert found is None
    else:
        assert found is not None and abs(found - time.time_ns()) < 60 * S
