"""Jobs that decide nothing: regimes, scans, reports, what-ifs and exports, and what they leave."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.jobs.world import MARY, service, until
from tests.proposal_samples import content

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import (
    Engine,
    SqlAuditLog,
    SqlConfigVersions,
    SqlRuns,
    open_database,
)
from regime_trading.adapters.exports import LocalExports, file_digest
from regime_trading.bootstrap import config_versions, database_url
from regime_trading.bootstrap.acts import make_acts
from regime_trading.bootstrap.job_process import carry_out
from regime_trading.bootstrap.worker import WorkerSettings, open_worker
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.event_payloads import Beat
from regime_trading.core.jobs import MOST_REPLAYED, MOST_SURVEYED, Job, JobKind, JobStatus, checked_request
from regime_trading.services.acts import Act, place_of_firm, record_act

CONFIG = Path(__file__).parents[2] / "config"
FIRM, OTHER = "north-pier", "kestrel-lane"
LOOK = {"symbols": ["KO", "PEP"], "as_of": "1992-12-31"}
HISTORY = {
    "symbols": ["KO", "PEP"],
    "accounts": ["north-pier/core"],
    "first": "1992-11-30",
    "last": "1992-12-31",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, _keys_and_witness: None) -> Path:
    return tmp_path_factory.mktemp("kinds")


def job_of(kind: JobKind, asked: dict[str, Any], firm: str = FIRM) -> Job:
    return Job(f"job-{kind.value}", firm, kind, checked_request(kind, asked, firm), MARY, 1)


def done(place: Path, kind: JobKind, asked: dict[str, Any], told: list[Any] | None = None) -> dict[str, Any]:
    heard = [] if told is None else told
    return carry_out(job_of(kind, asked), place, CONFIG, heard.append)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_database(database_url(tmp_path))
    yield opened
    opened.dispose()


def rows(place: Path, firm: str = FIRM) -> SqlRuns:
    return SqlRuns(open_database(database_url(place)), firm_id=firm)


def read(place: Path, path: str) -> Any:
    return orjson.loads((place / path).read_bytes())


# --- what can be asked ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "asked", "where"),
    [
        (JobKind.REGIME, {"symbols": [f"S{n}" for n in range(MOST_SURVEYED + 1)]}, "request.symbols"),
        (JobKind.REGIME, {"basket": "us-core", "symbols": ["KO"]}, "request"),
        (JobKind.REGIME, {"effort": "fast"}, "request.effort"),
        (JobKind.SCAN, {"source": "files"}, "request.source"),
        (JobKind.SCAN, {"accounts": [f"{OTHER}/growth"]}, "request.accounts"),
        (JobKind.REPORT, {}, "request.run_id"),
        (JobKind.REPORT, {"run_id": "../etc"}, "request.run_id"),
        (JobKind.WHATIF, {"version": 0}, "request.version"),
        (JobKind.WHATIF, {"version": 1, "days": MOST_REPLAYED + 1}, "request.days"),
        (JobKind.WHATIF, {"version": 1, "days": 3, "first": "2019-01-01"}, "request"),
        (JobKind.WHATIF, {"version": 1, "accounts": [f"{OTHER}/growth"]}, "request.accounts"),
        (JobKind.EXPORT, {"account": f"{OTHER}/growth"}, "request.accounts"),
        (JobKind.EXPORT, {"first": "yesterday"}, "request.first"),
        (JobKind.VERIFY, {"firm": OTHER}, "request.firm"),
    ],
)
def test_what_a_firm_may_not_ask_is_refused_at_once(kind: JobKind, asked: dict[str, Any], where: str) -> None:
    with pytest.raises(BadInput) as caught:
        checked_request(kind, asked, FIRM)
    assert caught.value.where == where


# --- the market -----------------------------------------------------------------------------------------------


def test_regimes_and_a_scan_are_runs_of_their_own_and_decide_nothing(place: Path) -> None:
    told: list[Any] = []
    found = done(place, JobKind.REGIME, LOOK, told)["result"]
    again = done(place, JobKind.REGIME, LOOK)["result"]
    assert found == again and found["summary"]["market"]["symbol"] == "SPX"
    assert [one["symbol"] for one in found["summary"]["symbols"]] == ["KO", "PEP"]
    assert told[0] == {"run_id": found["run_id"]} and told[-1]["progress"] == 1.0
    market = read(place, f"{found['path']}/market/regime.json")
    assert market["proposals"] is None and market["request"]["traded"] == ["KO", "PEP"]
    report = (place / found["path"] / "market" / "report.md").read_text()
    assert "# Regimes" in report and "Candidates" not in report and "judge" not in report
    assert not (place / found["path"] / "firms").exists()

    scan = done(place, JobKind.SCAN, LOOK)["result"]
    candidates = read(place, f"{scan['path']}/market/scan.json")["candidates"]
    assert [one["rank"] for one in candidates] == [1, 2]
    assert candidates[0]["score"] >= candidates[1]["score"]
    assert [one["symbol"] for one in scan["summary"]["symbols"]] == [one["symbol"] for one in candidates]
    assert "Candidates" in (place / scan["path"] / "market" / "report.md").read_text()
    assert (place / scan["path"] / "market" / "scan.csv").read_text().count("\n") == 3
    assert {one.kind: one.status for one in rows(place).all()} == {"regime": "done", "scan": "done"}
    assert rows(place, OTHER).all() == ()
    assert SqlAuditLog(open_database(database_url(place)), firm_id=FIRM).head(
        f"dry_run/{scan['run_id']}/{FIRM}/core"
    ) == (
        0,
        "0" * 64,
    )


def test_a_symbol_that_is_not_there_fails_and_says_which(place: Path) -> None:
    with pytest.raises(BadInput, match="'NOPE'"):
        done(place, JobKind.SCAN, LOOK | {"symbols": ["NOPE"]})
    with pytest.raises(BadInput, match="expected one of bundled"):
        done(place, JobKind.SCAN, LOOK | {"source": "src"})
    with pytest.raises(BadInput, match="accounts of firm nobody"):
        carry_out(job_of(JobKind.SCAN, {}, "nobody"), place, CONFIG, lambda _: None)


# --- reports --------------------------------------------------------------------------------------------------


def test_the_report_of_a_run_is_rendered_again_as_it_was(place: Path) -> None:
    own = content(FIRM, weights={"KO": "0.4", "PEP": "0.2"})
    weights = {"weights": {"KO": "0.4", "PEP": "0.2"}, "proposal_id": "pr-1", "hash": own.content_hash}
    asked = {"accounts": ["north-pier/core"], "as_of": "1992-12-31", "proposal": weights}
    run = done(place, JobKind.RUN, asked)["result"]
    (decision,) = read(place, f"{run['path']}/firms/{FIRM}/decisions.json")
    assert {t["symbol"]: t["proposed_w"] for t in decision["targets"]} == {"KO": "0.4", "PEP": "0.2"}
    assert decision["proposal_id"] == own.content_hash[:32]
    assert (
        read(place, f"{run['path']}/market/regime.json")["request"]["proposal"]["input_hash"]
        == own.content_hash
    )

    found = done(place, JobKind.REPORT, {"run_id": run["run_id"]})["result"]
    assert found["summary"]["of"] == run["run_id"]
    for name in ("report.md", "report.html", "charts/regime.svg"):
        paths = [place / one["path"] / "firms" / FIRM / name for one in (run, found)]
        assert paths[0].read_bytes() == paths[1].read_bytes(), name
    with pytest.raises(BadInput, match="a run of firm kestrel-lane"):
        carry_out(job_of(JobKind.REPORT, {"run_id": run["run_id"]}, OTHER), place, CONFIG, lambda _: None)
    with pytest.raises(BadInput, match="a run of firm north-pier"):
        done(place, JobKind.REPORT, {"run_id": "run-0"})


def test_the_report_of_a_backtest_comes_from_the_same_history_or_not_at_all(place: Path) -> None:
    made = done(place, JobKind.BACKTEST, HISTORY)["result"]
    found = done(place, JobKind.REPORT, {"run_id": made["run_id"], "backtest": HISTORY})["result"]
    for name in ("report.md", "report.html"):
        paths = [place / one["path"] / "firms" / FIRM / name for one in (made, found)]
        assert paths[0].read_bytes() == paths[1].read_bytes(), name
    other = HISTORY | {"last": "1992-12-30"}
    with pytest.raises(CheckFailed, match="was made of other prices"):
        done(place, JobKind.REPORT, {"run_id": made["run_id"], "backtest": other})


def test_where_there_is_no_record_nothing_is_said_to_be_whole(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="a record in audit"):
        done(tmp_path, JobKind.VERIFY, {})


# --- what-ifs -------------------------------------------------------------------------------------------------


def test_a_what_if_replays_a_stored_version_into_files(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    shutil.copytree(CONFIG, config)
    versions = config_versions.config_service(
        engine, make_acts(engine, LocalArtifacts(tmp_path), "1"), config
    )
    now = versions.current(FIRM)
    document = now.reading.document.replace('sigma_target: "0.08"', 'sigma_target: "0.07"')
    version = versions.draft(FIRM, document, now.number, "tighter").version
    asked: list[Any] = []

    def replay(old: Any, new: Any, wanted: Any) -> dict[str, Any]:
        asked.append((old, new, wanted))
        one = {"account": "north-pier/core", "decisions": 3, "differ": 1, "rows": [{"as_of": "x"}]}
        numbers = {"rules": {"VT-01": {"old": 1, "new": 2, "differ": 1}}}
        moved = {"return": {"old": 0.01, "new": None}, "max_drawdown": {"old": 0.0, "new": 0.0}}
        return {
            "first": "1992-12-29T21:00:00Z",
            "last": "1992-12-31T21:00:00Z",
            "days": 3,
            "accounts": [one | numbers | moved],
        }

    monkeypatch.setattr(config_versions, "config_replay", lambda *_: replay)
    job = job_of(JobKind.WHATIF, {"version": version, "days": 3, "accounts": ["north-pier/core"]})
    found = carry_out(job, tmp_path, config, lambda _: None)["result"]
    ((old, new, wanted),) = asked
    assert (wanted.days, wanted.accounts) == (3, ("north-pier/core",))
    assert {p.account: p.config_hash for p in old} != {p.account: p.config_hash for p in new}
    assert found["summary"]["accounts"] == [{"account": "north-pier/core", "decisions": 3, "differ": 1}]
    home = tmp_path / found["path"] / "firms" / FIRM
    assert orjson.loads((home / "whatif.json").read_bytes())["days"] == 3
    assert "VT-01 1 → 2" in (home / "report.md").read_text()
    assert carry_out(job, tmp_path, config, lambda _: None)["result"] == found
    (row,) = SqlRuns(engine, firm_id=FIRM).all()
    assert (row.kind, row.status, row.run_id) == ("whatif", "done", found["run_id"])
    with pytest.raises(BadInput, match="version"):
        carry_out(job_of(JobKind.WHATIF, {"version": version + 1}), tmp_path, config, lambda _: None)
    assert SqlConfigVersions(engine, firm_id=FIRM).get(version).status.value == "draft"


# --- exports --------------------------------------------------------------------------------------------------


def beats(engine: Engine, folder: Path, n: int, firm: str = FIRM) -> None:
    acts = make_acts(engine, LocalArtifacts(folder), "1")
    for k in range(n):
        record_act(acts, place_of_firm(firm), Act(Beat(component=f"test-{k}")))


def exports_in(engine: Engine) -> list[dict[str, Any]]:
    entries = SqlAuditLog(engine, firm_id=FIRM).entries(f"admin/{FIRM}/_firm")
    bodies = [json.loads(one.event.body) for one in entries]
    return [body for body in bodies if body["event_type"] == "EXPORT"]


def exported(engine: Engine, folder: Path, **settings: Any) -> Job:
    """An export by a worker of this process and a process of the job; as it ended."""
    job = service(engine).enqueue(FIRM, JobKind.EXPORT, {}, by=MARY, key=f"e-{time.monotonic_ns()}")
    told: list[str] = []
    with open_worker(folder, CONFIG, WorkerSettings(lease_s=20, **settings), told.append) as worker:
        worker.drain()
    return service(engine).get(FIRM, job.job_id)


def test_an_export_is_in_the_record_as_soon_as_it_is_done(engine: Engine, tmp_path: Path) -> None:
    beats(engine, tmp_path, 5)
    beats(engine, tmp_path, 2, OTHER)
    job = exported(engine, tmp_path)
    assert job.status is JobStatus.DONE, job.error
    said = json.loads(job.result)["summary"]
    place = LocalExports(tmp_path, firm_id=FIRM).find(job.job_id)
    assert place is not None and file_digest(place) == said["sha256"]
    with zipfile.ZipFile(io.BytesIO(place.read_bytes())) as bundle:
        names = set(bundle.namelist())
        told = b"".join(bundle.read(name) for name in names if name.startswith("entries/"))
    assert OTHER.encode() not in told and told.count(b"\n") == said["entries"] == 5
    (entry,) = exports_in(engine)
    assert (entry["sha256"], entry["actor"]["id"], entry["correlation_id"]) == (
        said["digest"],
        MARY,
        job.job_id,
    )
    assert LocalExports(tmp_path, firm_id=OTHER).find(job.job_id) is None


FULL = pytest.mark.full


@pytest.mark.parametrize(
    "where", ["rename", pytest.param("fsync", marks=FULL), pytest.param("sync", marks=FULL)]
)
def test_a_kill_in_the_middle_leaves_nothing_half_written(engine: Engine, tmp_path: Path, where: str) -> None:
    """The first process is killed at a step of writing; the second makes the bundle whole, and it is recorded once."""
    beats(engine, tmp_path, 3)
    (tmp_path / "killed_at").write_text(where)
    job = exported(
        engine, tmp_path, command=(sys.executable, "-P", str(Path(__file__).with_name("killed.py")))
    )
    assert (job.status, job.attempt) == (JobStatus.DONE, 2), job
    left = sorted(path.name for path in (tmp_path / "exports" / f"firm={FIRM}").iterdir())
    assert left == [f"{job.job_id}.zip"]
    place = LocalExports(tmp_path, firm_id=FIRM).find(job.job_id)
    assert place is not None and file_digest(place) == json.loads(job.result)["summary"]["sha256"]
    assert len(exports_in(engine)) == 1


def test_what_is_killed_before_it_is_whole_is_not_there(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from tests.jobs.killed import arm; arm('rename');"
        "from pathlib import Path; from regime_trading.adapters.exports import LocalExports;"
        "LocalExports(Path(sys.argv[2]), firm_id='alpha').put('job-1', b'x' * 10_000)"
    )
    root = str(Path(__file__).parents[2])
    ended = subprocess.run([sys.executable, "-c", code, root, str(tmp_path)], check=False)
    assert ended.returncode == -9
    exports = LocalExports(tmp_path, firm_id="alpha")
    assert exports.find("job-1") is None
    assert exports.sweep(time.time_ns() + 10**9) == 0, "what was never whole is no bundle"
    assert list((tmp_path / "exports" / "firm=alpha").iterdir()) == []


def test_bundles_go_when_their_time_is_over(tmp_path: Path) -> None:
    exports = LocalExports(tmp_path, firm_id="alpha")
    assert exports.sweep(time.time_ns()) == 0
    exports.put("job-1", b"one")
    assert exports.sweep(time.time_ns() - 60 * 10**9) == 0 and exports.find("job-1") is not None
    assert exports.sweep(time.time_ns() + 10**9) == 1 and exports.find("job-1") is None
    for wrong in ("../x", "", "job/1", "JOB"):
        with pytest.raises(BadInput):
            exports.find(wrong)
        with pytest.raises(BadInput):
            exports.put(wrong, b"")


@FULL
def test_every_kind_in_processes_that_are_killed_once(engine: Engine, tmp_path: Path) -> None:
    """A scan and a report go on after their processes are killed, and leave what they leave undisturbed."""
    import os
    import signal
    import threading

    from tests.jobs.test_real_jobs import children

    run = done(tmp_path, JobKind.RUN, LOOK)["result"]
    scan = LOOK | {"symbols": ["KO", "XOM"]}
    asked = {JobKind.SCAN: scan, JobKind.REPORT: {"run_id": run["run_id"]}, JobKind.REGIME: LOOK}
    jobs = [service(engine).enqueue(FIRM, kind, one, by=MARY, key=kind.value) for kind, one in asked.items()]

    def kill() -> None:
        until(lambda: service(engine).get(FIRM, jobs[0].job_id).stage == "cross_asset", 120)
        for pid in children():
            os.kill(pid, signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    with open_worker(tmp_path, CONFIG, WorkerSettings(lease_s=20), lambda _: None) as worker:
        worker.drain()
    ended = [service(engine).get(FIRM, job.job_id) for job in jobs]
    assert [job.status for job in ended] == [JobStatus.DONE] * 3, ended
    assert ended[0].attempt == 2
    for job in ended:
        kind, said = job.kind, json.loads(job.result)
        beside = (
            done(tmp_path / "beside", kind, asked[kind])["result"] if kind is not JobKind.REPORT else said
        )
        assert said["run_id"] == beside["run_id"]
