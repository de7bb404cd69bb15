"""Jobs of a firm over HTTP, and what is done with its record: verifications, exports and who fetches them."""

from __future__ import annotations

import itertools
import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.edge_world import Edge, checked, pseudonym

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import FixedClock
from regime_trading.adapters.database import SqlAuditLog, SqlJobs, open_database, sqlite_url
from regime_trading.adapters.exports import LocalExports, file_digest
from regime_trading.api.v1.jobs import jobs_router
from regime_trading.api.v1.record import RecordDeps, record_router
from regime_trading.bootstrap.acts import make_acts
from regime_trading.core.access import Answer, Permission, Target
from regime_trading.core.jobs import EXPORT_TTL_NS, Job, JobKind, JobStatus
from regime_trading.core.jobs import done as ended
from regime_trading.services.acts import Acts
from regime_trading.services.export import record_fetched
from regime_trading.services.jobs import JobService

FIRM, OTHER = "north-pier", "kestrel-lane"
CORE, DEFENSIVE = f"{FIRM}/core", f"{FIRM}/defensive"
AT = f"/firms/{FIRM}"
T = 1_700_000_000 * 10**9
KEYS = (f"key-of-a-test-{n:04d}" for n in itertools.count())
ADMIN = "admin+fresh"
VERIFIED = {
    "ok": True,
    "integrity": {"ok": True, "first_bad": None},
    "completeness": {"ok": True, "gaps": []},
    "entries": 12,
    "chains": [{"chain": "a", "entries": 12, "ok": True}],
}


class Record(Edge):
    """The routes over two firms; jobs are ended by the tests."""

    def __init__(self, path: Path) -> None:
        self.path, self.engine = path, open_database(sqlite_url(path / "store.db"))
        made = make_acts(self.engine, LocalArtifacts(path), "1")
        self.acts = Acts(made.audit, made.actor, made.history, FixedClock(T), "1")
        self.jobs = JobService(
            lambda firm: SqlJobs(self.engine, firm_id=firm), FixedClock(T), lambda n: b"\1" * n
        )
        log = SimpleNamespace(checkpoints=(), faults=(), gaps=())
        proofs = SimpleNamespace(
            state=lambda: SimpleNamespace(log=log, reached=0, signed={}, witnessed={}, witness_faults=()),
            witnesses=0,
        )
        sources: Any = SimpleNamespace(
            firm_id=FIRM,
            proofs=proofs,
            readable=lambda *_: (CORE, DEFENSIVE),
            runs={"run-1": SimpleNamespace(kind="run"), "bt-1": SimpleNamespace(kind="backtest")},
            record=SimpleNamespace(runs=dict),
        )
        deps = RecordDeps(
            self.jobs,
            lambda _: sources,
            pseudonym,
            self.bundle,
            lambda job, who: record_fetched(self.acts, job, who),
        )
        accounts = {FIRM: (CORE, DEFENSIVE), OTHER: (f"{OTHER}/growth",)}
        routers = [jobs_router(self.jobs, pseudonym, lambda _: sources), record_router(deps)]
        super().__init__(routers, accounts, FIRM, T)

    def bundle(self, firm: str, job_id: str) -> tuple[Path, str] | None:
        found = LocalExports(self.path, firm_id=firm).find(job_id)
        return None if found is None else (found, file_digest(found))

    def send(self, path: str, who: str, status: int, **body: Any) -> Any:
        headers = {"idempotency-key": body.pop("key", None) or next(KEYS)}
        return checked(self.ask("POST", f"{AT}{path}", who, json=body, headers=headers), status)

    def end(self, job_id: str, summary: Any, at_ns: int = T, firm: str = FIRM) -> None:
        """What a worker does at the end of a job that worked."""

        def step(job: Job) -> Job:
            held = replace(job, status=JobStatus.RUNNING)
            return ended(held, {"run_id": "", "path": "", "summary": summary}, at_ns)

        SqlJobs(self.engine, firm_id=firm).change(job_id, step, at_ns)

    def exported(self, data: bytes = b"a bundle", at_ns: int = T) -> str:
        job_id = str(self.send("/audit/exports", ADMIN, 202)["job"]["job_id"])
        LocalExports(self.path, firm_id=FIRM).put(job_id, data)
        summary = {
            "entries": 7,
            "covered": 5,
            "bytes": len(data),
            "sha256": sha256(data).hexdigest(),
            "digest": "d" * 64,
        }
        self.end(job_id, summary, at_ns)
        return job_id

    def fetched(self) -> list[dict[str, Any]]:
        entries = SqlAuditLog(self.engine, firm_id=FIRM).entries(f"admin/{FIRM}/_firm")
        return [json.loads(one.event.body) for one in entries]


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Record]:
    made = Record(tmp_path)
    yield made
    made.engine.dispose()


# --- jobs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "request_", "status"),
    [
        ("regime", {"symbols": ["KO"]}, 202),
        ("scan", {"basket": "us-core"}, 202),
        ("backtest", {"first": "2019-01-01"}, 202),
        ("run", {}, 202),
        ("report", {"run_id": "run-1"}, 202),
        ("verify", {}, 202),
        ("report", {"run_id": "bt-1"}, 400),
        ("report", {"run_id": "run-2"}, 404),
        ("export", {}, 400),
        ("whatif", {"version": 1}, 400),
        ("run", {"proposal": {"weights": {"KO": "0.1"}}}, 400),
        ("scan", {"accounts": [f"{OTHER}/growth"]}, 404),
        ("dance", {}, 422),
    ],
)
def test_jobs_that_are_asked_for_here(edge: Record, kind: str, request_: dict[str, Any], status: int) -> None:
    found = edge.send("/jobs", "analyst", status, kind=kind, request=request_)
    assert len(edge.jobs.listed(FIRM).jobs) == (status == 202)
    if status == 202 and kind not in ("verify", "report"):
        assert found["request"]["accounts"] == [CORE, DEFENSIVE]
    assert (
        edge.send("/jobs", "viewer", 403, kind=kind, request=request_)["code"] == "no_role" or status == 422
    )


def test_an_administrator_originates_no_trade_as_a_job(edge: Record) -> None:
    weights = {"weights": {"KO": "0.1"}, "proposal_id": "pr-1", "hash": "0" * 64}
    refused = edge.send("/jobs", ADMIN, 400, kind="run", request={"proposal": weights})
    assert "submitted as a proposal" in refused["detail"]


def test_a_report_of_a_backtest_says_what_that_was_asked(edge: Record) -> None:
    made = edge.send("/jobs", "analyst", 202, kind="backtest", request={"first": "2019-01-01"})
    rows = SqlJobs(edge.engine, firm_id=FIRM)
    running = lambda job: replace(job, status=JobStatus.RUNNING)  # noqa: E731
    rows.change(made["job_id"], lambda job: ended(running(job), {"run_id": "bt-1"}, T), T)
    found = edge.send("/jobs", "analyst", 202, kind="report", request={"run_id": "bt-1"})
    assert found["request"]["backtest"]["first"] == "2019-01-01"


def test_what_a_job_is_about_is_shown_to_who_may_see_those_accounts(edge: Record) -> None:
    whole = edge.send("/jobs", "analyst", 202, kind="backtest", request={})
    part = edge.send("/jobs", "analyst", 202, kind="backtest", request={"accounts": [CORE]})
    edge.end(whole["job_id"], {"accounts": [{"account": DEFENSIVE}]})
    assert edge.get(f"{AT}/jobs/{whole['job_id']}", "viewer")["result"] is not None
    hidden = edge.get(f"{AT}/jobs/{whole['job_id']}", "viewer:core")
    assert (hidden["request"], hidden["result"]) == ({}, None) and hidden["status"] == "done"
    listed = {one["job_id"]: one["request"] for one in edge.get(f"{AT}/jobs", "viewer:core")["items"]}
    assert listed[whole["job_id"]] == {} and listed[part["job_id"]]["accounts"] == [CORE]


# --- verification ---------------------------------------------------------------------------------------------


def test_a_verification_is_a_job_and_its_last_answer_is_read(edge: Record) -> None:
    assert edge.get(f"{AT}/audit/verification", "pm") == {"last": None, "job": None}
    key = next(KEYS)
    job = edge.send("/audit/verification", "pm", 202, key=key)
    assert edge.send("/audit/verification", "pm", 202, key=key) == job and job["kind"] == "verify"
    waiting = edge.get(f"{AT}/audit/verification", "pm")
    assert waiting["last"] is None and waiting["job"]["status"] == "queued"
    edge.end(job["job_id"], VERIFIED, T - 90 * 10**9)
    again = edge.send("/audit/verification", "admin", 202)
    found = edge.get(f"{AT}/audit/verification", "analyst")
    assert (found["last"]["ok"], found["last"]["entries"], found["last"]["age_s"]) == (True, 12, 90.0)
    newest = max(job["job_id"], again["job_id"])  # of one instant
    assert (found["last"]["job_id"], found["job"]["job_id"]) == (job["job_id"], newest)
    for who in ("viewer", "analyst:core"):
        edge.get(f"{AT}/audit/verification", who, 403)
        edge.send("/audit/verification", who, 403)
    edge.get(f"/firms/{OTHER}/audit/verification", "pm", 404)


# --- exports --------------------------------------------------------------------------------------------------


def test_an_export_is_asked_for_and_fetched_by_who_has_just_proved_who_they_are(edge: Record) -> None:
    job_id = edge.exported(b"PK and so on")
    at = f"{AT}/audit/exports"
    shown = edge.get(f"{at}/{job_id}", ADMIN)
    assert (shown["entries"], shown["covered"], shown["digest"]) == (7, 5, "d" * 64)
    assert edge.get(at, ADMIN)["items"] == [shown] and shown["expires_at"] == "2023-11-15T22:13:20Z"
    answer = edge.ask("GET", f"{at}/{job_id}/download", ADMIN)
    assert (answer.status_code, answer.content) == (200, b"PK and so on")
    assert answer.headers["content-disposition"] == f'attachment; filename="audit-{FIRM}-{job_id}.zip"'
    sums = answer.headers["repr-digest"].removeprefix("sha-256=:").removesuffix(":")
    assert b64decode(sums).hex() == shown["sha256"] == sha256(answer.content).hexdigest()
    (entry,) = edge.fetched()
    assert (entry["event_type"], entry["actor"]["id"], entry["reason_codes"]) == (
        "EXPORT",
        "u-admin",
        ["DOWNLOADED"],
    )
    assert (entry["sha256"], entry["correlation_id"]) == ("d" * 64, job_id)
    for who, code in (
        ("admin", "step_up"),
        ("pm+fresh", "no_role"),
        ("analyst", "no_role"),
        ("viewer", "no_role"),
    ):
        for path in (at, f"{at}/{job_id}", f"{at}/{job_id}/download"):
            assert edge.get(path, who, 403)["code"] == code
        assert edge.send("/audit/exports", who, 403)["code"] == code
    assert len(edge.fetched()) == 1


def test_what_is_not_done_over_or_changed_is_not_sent(edge: Record) -> None:
    waiting = str(edge.send("/audit/exports", ADMIN, 202)["job"]["job_id"])
    old, swept, changed = edge.exported(at_ns=T - EXPORT_TTL_NS - 1), edge.exported(), edge.exported()
    LocalExports(edge.path, firm_id=FIRM).put(old, b"a bundle")
    place = LocalExports(edge.path, firm_id=FIRM)
    (place.find(swept) or Path()).unlink()
    place.put(changed, b"another bundle")
    for job_id, status, code in (
        (waiting, 409, "not_done"),
        (old, 410, "expired"),
        (swept, 410, "expired"),
        (changed, 409, "check_failed"),
    ):
        assert edge.get(f"{AT}/audit/exports/{job_id}/download", ADMIN, status)["code"] == code
    assert edge.fetched() == []


def test_another_firms_exports_are_not_there_and_that_is_recorded(edge: Record) -> None:
    rows = SqlJobs(edge.engine, firm_id=OTHER)
    rows.add(Job("job-foreign", OTHER, JobKind.EXPORT, "{}", "u-eve", T), max_waiting=9)
    LocalExports(edge.path, firm_id=OTHER).put("job-foreign", b"secret")
    edge.end("job-foreign", {"sha256": sha256(b"secret").hexdigest()}, firm=OTHER)
    run = edge.send("/jobs", "analyst", 202, kind="run", request={})["job_id"]
    texts = set()
    for name in ("job-foreign", "job-none", run):
        for end in ("", "/download"):
            edge.doors.told.clear()
            answer = edge.ask("GET", f"{AT}/audit/exports/{name}{end}", ADMIN)
            assert answer.status_code == 404
            texts.add(answer.text.replace(f"{name}{end}", ""))
            (told,) = edge.doors.told
            assert (told.permission, told.answer) == (Permission.EXPORT_AUDIT, Answer.UNKNOWN)
            assert (told.target, told.what, told.name) == (Target(FIRM), "export", name)
    assert len(texts) == 1
    for end in ("", "/download"):
        edge.get(f"/firms/{OTHER}/audit/exports/job-foreign{end}", ADMIN, 404)
    assert edge.send("/audit/exports", ADMIN, 404, account=f"{OTHER}/growth")["code"] == "not_found"
    assert edge.fetched() == []
