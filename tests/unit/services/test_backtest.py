"""The long dry run over a small source: re-use, repeatability, tampering, the files it leaves, kill and restart."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import orjson
import pytest

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.adapters.journal import ParquetInputs, ParquetSealer
from regime_trading.adapters.market_data import open_source
from regime_trading.bootstrap import load
from regime_trading.bootstrap.proof import open_proof, verify_record
from regime_trading.core.canonical import sha256_hex
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.instants import instant_text
from regime_trading.core.rules import RULE_IDS
from regime_trading.core.schemas import Mode, ProposalRows
from regime_trading.services import backtest as service
from regime_trading.services.backtest import BacktestOutcome, run_backtest
from regime_trading.services.backtest_plan import BacktestDeps, BacktestRequest
from regime_trading.services.liveness import liveness, read_record, source_heard
from regime_trading.services.market import tape_days

ROOT = Path(__file__).parents[3]
DATASETS = ("audit", "state", "action", "transition")
ACCOUNTS = ("north-pier/core", "kestrel-lane/eval-100k")
calendar = cache(ExchangeCalendar)

# A process that dies of SIGKILL at the n-th call of a progress stage, or after the n-th sealing of a kind.
CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.unit.services.test_backtest import deps_in, request_for, run_backtest
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.services import backtest
artifacts, source, what, nth = Path(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
backtest.BLOCK_BARS = 200
calls = []

def count(name):
    calls.append(name)
    if calls.count(what) == nth:
        os.kill(os.getpid(), signal.SIGKILL)

def counted(name):
    real = getattr(ParquetSealer, name)
    def call(self, *args):
        answer = real(self, *args)
        count(name)
        return answer
    setattr(ParquetSealer, name, call)

counted("seal_audit")
counted("seal_rl")
run_backtest(request_for(source), deps_in(artifacts), lambda stage, done, total: count(stage))
print("survived")
"""


def deps_in(artifacts: Path) -> BacktestDeps:
    """The shipped configuration over a folder, with fewer resamplings in the report."""
    config = load(ROOT / "config")
    report = config.settings.report.model_copy(update={"bootstrap_samples": 50})
    settings = config.settings.model_copy(update={"report": report})
    calendars = {name: item.calendar for name, item in settings.sources.items()}
    store = LocalArtifacts(artifacts)
    return BacktestDeps(
        day_edges=tape_days(settings, calendar),
        settings=settings,
        profiles=config.profiles,
        source=lambda name: open_source(name, calendars=calendars),
        calendar=calendar,
        sealer=ParquetSealer(store),
        inputs=ParquetInputs(store),
        store=store,
        code_version="0.0.0+test",
    )


def request_for(source: str) -> BacktestRequest:
    """One account of each firm; the second one runs attempts."""
    return BacktestRequest(source=source, accounts=ACCOUNTS)


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing is most of a small run: left out where nobody looks."""
    monkeypatch.setattr(service, "_write_report", lambda report, path, store: None)


def write_prices(path: Path, bars: int) -> Path:
    """Closes of three symbols at the closes of New York sessions from 2003 on, with a fall in the middle."""
    first = int(dt.datetime(2003, 1, 2, tzinfo=dt.UTC).timestamp()) * 10**9
    closes = calendar("XNYS").closes_ns(first, first + bars * 2 * 86_400 * 10**9)[:bars]
    rng = np.random.default_rng(7)
    moves = rng.normal(3e-4, 0.011, (bars, 3)) + rng.normal(0, 0.006, (bars, 1))
    moves[bars * 5 // 6 : bars * 5 // 6 + 12] -= 0.02
    price = np.round(100.0 * np.exp(np.cumsum(moves, axis=0)), 2)
    rows = [
        ",".join([f"{np.datetime64(ts, 's')}Z", *map(str, row)])
        for ts, row in zip((closes // 10**9).tolist(), price.tolist(), strict=True)
    ]
    path.write_text("\n".join(["ts_event,KO,PEP,XOM", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_prices(tmp_path_factory.mktemp("prices") / "long.csv", 580))


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_prices(tmp_path_factory.mktemp("prices") / "short.csv", 320))


@pytest.fixture(scope="module")
def unbroken(long: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BacktestOutcome]:
    artifacts = tmp_path_factory.mktemp("unbroken")
    return artifacts, run_backtest(request_for(long), deps_in(artifacts))


def hashes(artifacts: Path, run_id: str) -> dict[str, list[str]]:
    """Entry hashes of every account."""
    found = deps_in(artifacts)
    return {name: [e.entry_hash for e in found.sealer.entries(run_id, *name.split("/"))] for name in ACCOUNTS}


def decisions(deps: BacktestDeps, run_id: str, account: str) -> list[dict[str, Any]]:
    bodies = [orjson.loads(e.event.body) for e in deps.sealer.entries(run_id, *account.split("/", 1))]
    return [body for body in bodies if body["event_type"] == "DECISION"]


def copy_of(artifacts: Path, to: Path, *folders: str) -> Path:
    for folder in folders:
        shutil.copytree(artifacts / folder, to / folder)
    return to


# --- once and again ---------------------------------------------------------------------------------------


def test_the_run_decides_every_bar_for_every_account(
    unbroken: tuple[Path, BacktestOutcome], long: str
) -> None:
    artifacts, outcome = unbroken
    summary = outcome.summary
    assert not outcome.reused and summary["bars"] == 580 and "all its 3 symbols" in summary["notes"][0]
    deps = deps_in(artifacts)
    assert tuple(a["account"] for a in summary["accounts"]) == ACCOUNTS
    times = open_source(long, calendar="XNYS").window().ts_ns.tolist()
    for told in summary["accounts"]:
        made = decisions(deps, outcome.run_id, told["account"])
        assert [int(d["ts_event_ns"]) for d in made] == times
        assert told["decisions"] == 580
        bound = Counter(r["rule_id"] for d in made for r in d["rules"] if r["outcome"] == "bound")
        assert {rule_id: n["bound"] for rule_id, n in told["rules"].items() if n["bound"]} == bound
        assert bound["XL-07"] > 100 and bound["VT-04"] > 100
    assert summary["accounts"][0]["rules"]["CC-01"]["bound"] > 0
    assert summary["accounts"][1]["attempts"]


def test_an_identical_request_verifies_the_sealed_run_and_re_uses_it(
    unbroken: tuple[Path, BacktestOutcome], long: str
) -> None:
    artifacts, outcome = unbroken
    before = {p: p.stat().st_mtime_ns for p in artifacts.rglob("*") if p.is_file()}
    stages: list[str] = []
    again = run_backtest(
        request_for(long), deps_in(artifacts), lambda stage, done, total: stages.append(stage)
    )
    assert again == replace(outcome, reused=True) and stages == []
    assert {p: p.stat().st_mtime_ns for p in artifacts.rglob("*") if p.is_file()} == before


def test_a_fresh_folder_gives_the_same_hashes_and_the_same_bytes(
    unbroken: tuple[Path, BacktestOutcome], long: str, tmp_path: Path
) -> None:
    artifacts, outcome = unbroken
    again = run_backtest(request_for(long), deps_in(tmp_path))
    assert again == outcome
    assert hashes(tmp_path, again.run_id) == hashes(artifacts, outcome.run_id)
    assert all(len(set(chain)) == len(chain) > 580 for chain in hashes(tmp_path, again.run_id).values())
    for folder in ("audit", "rl_dataset", "runs"):
        for path in sorted((artifacts / folder).rglob("*")):
            if path.is_file():
                assert (tmp_path / path.relative_to(artifacts)).read_bytes() == path.read_bytes(), path


@pytest.mark.parametrize("dataset", DATASETS)
def test_one_changed_byte_in_a_sealed_part_is_found_on_re_use(
    unbroken: tuple[Path, BacktestOutcome], long: str, tmp_path: Path, dataset: str
) -> None:
    artifacts, outcome = unbroken
    copy_of(artifacts, tmp_path, "audit", "inputs", "rl_dataset", "runs")
    base = "audit/schema=1" if dataset == "audit" else f"rl_dataset/schema=1/record={dataset}"
    (part,) = tmp_path.glob(f"{base}/firm=kestrel-lane/account=eval-100k/run=*/part-*.parquet")
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(CheckFailed, match=rf"{outcome.run_id} of kestrel-lane/eval-100k"):
        run_backtest(request_for(long), deps_in(tmp_path))


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize(
    ("what", "nth"),
    [
        ("decisions", 1),
        pytest.param("seal_audit", 3, marks=pytest.mark.full),
        pytest.param("seal_rl", 2, marks=pytest.mark.full),
    ],
)
def test_a_killed_run_started_again_ends_as_an_unbroken_one(
    unbroken: tuple[Path, BacktestOutcome], long: str, tmp_path: Path, what: str, nth: int
) -> None:
    artifacts, outcome = unbroken
    copy_of(artifacts, tmp_path, "cache")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(ROOT), str(tmp_path), long, what, str(nth)],
        env=os.environ | {"PYTHONHASHSEED": str(nth), "TZ": "Asia/Tokyo"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list(tmp_path.glob("audit/schema=1/*/*/*/part-*.parquet")), "something was sealed before the kill"
    assert not (tmp_path / outcome.path / "summary.json").exists()
    assert run_backtest(request_for(long), deps_in(tmp_path)) == outcome
    assert hashes(tmp_path, outcome.run_id) == hashes(artifacts, outcome.run_id)
    assert run_backtest(request_for(long), deps_in(tmp_path)).reused


# --- what it leaves ---------------------------------------------------------------------------------------


def test_reports_charts_and_the_summary_are_there(unbroken: tuple[Path, BacktestOutcome]) -> None:
    artifacts, outcome = unbroken
    folder = artifacts / outcome.path
    assert json.loads((folder / "summary.json").read_bytes()) == outcome.summary
    for shown in (folder, folder / "firms/north-pier", folder / "firms/kestrel-lane"):
        text, page = (shown / "report.md").read_text(), (shown / "report.html").read_text()
        assert page.lstrip().lower().startswith("<!doctype html>") and len(text) > 2000
        charts = sorted(p.name for p in (shown / "charts").glob("*.svg"))
        assert "regime.svg" in charts and len(charts) >= 3
        for name in charts:
            assert f"charts/{name}" in text, name
            assert (shown / "charts" / name).read_text().rstrip().endswith("</svg>")
        assert "http://" not in page.replace("http://www.w3.org", "") and "<script src" not in page


@pytest.mark.parametrize(("firm", "other"), [("north-pier", "kestrel-lane"), ("kestrel-lane", "north-pier")])
def test_a_firms_report_does_not_name_the_other_firm(
    unbroken: tuple[Path, BacktestOutcome], firm: str, other: str
) -> None:
    artifacts, outcome = unbroken
    profiles = load(ROOT / "config").profiles
    foreign = {other, other.split("-")[0].title()}
    foreign |= {p.account for p in profiles if p.firm_id == other}
    foreign |= {p.display_name for p in profiles if p.firm_id == other and p.display_name}
    own = [name for name in ACCOUNTS if name.startswith(firm)]
    files = [p for p in (artifacts / outcome.path / "firms" / firm).rglob("*") if p.is_file()]
    assert all(name in (artifacts / outcome.path / "firms" / firm / "report.md").read_text() for name in own)
    for path in files:
        text = path.name + path.read_text()
        assert not [name for name in sorted(foreign) if name in text], path


def test_duckdb_reads_record_and_dataset_with_one_glob_each(unbroken: tuple[Path, BacktestOutcome]) -> None:
    artifacts, outcome = unbroken
    with duckdb.connect() as db:
        rows = db.sql(
            f"SELECT firm || '/' || account AS who, count(*) FILTER (event_type = 'DECISION'), count(*) "
            f"FROM read_parquet('{artifacts}/audit/schema=1/**/*.parquet', hive_partitioning=true) "
            f"GROUP BY who ORDER BY who"
        ).fetchall()
        told = {a["account"]: (a["decisions"], a["events"]) for a in outcome.summary["accounts"]}
        assert {who: (decided, events) for who, decided, events in rows} == told
        records = db.sql(
            f"SELECT record, account_id, count(*), count(DISTINCT seq), min(run_id) "
            f"FROM read_parquet('{artifacts}/rl_dataset/schema=1/**/*.parquet', "
            f"hive_partitioning=true, union_by_name=true) GROUP BY ALL"
        ).fetchall()
    assert len(records) == 6 and {row[4] for row in records} == {outcome.run_id}
    for record, _, n, distinct, _ in records:
        assert n == distinct and (n == 580 if record != "transition" else n in (579, 580))


def test_the_counts_of_the_rules_are_those_of_the_sealed_record(
    unbroken: tuple[Path, BacktestOutcome],
) -> None:
    artifacts, outcome = unbroken
    deps = deps_in(artifacts)
    told = read_record(deps.store, outcome.run_id, deps.settings, ())
    for account in told.accounts:
        made = decisions(deps, outcome.run_id, account.account)
        assert account.decisions == len(made) == 580
        said = {r: Counter(d["rules"][k]["outcome"] for d in made) for k, r in enumerate(RULE_IDS)}
        assert [rule["rule_id"] for rule in made[0]["rules"]] == list(RULE_IDS)
        for k, (rule_id, tally) in enumerate(account.rules.items()):
            counts = said[rule_id]
            assert tally.evaluated == counts["pass"] + counts["bound"] + counts["unknown"], rule_id
            assert (tally.bound, tally.unknown) == (counts["bound"], counts["unknown"]), rule_id
            assert (tally.not_evaluable, tally.off) == (counts["not_evaluable"], counts["off"]), rule_id
            bound = [int(d["ts_event_ns"]) for d in made if d["rules"][k]["outcome"] == "bound"]
            assert tally.last_bound == (instant_text(bound[-1]) if bound else None), rule_id


def test_reach_agrees_with_what_was_recorded(unbroken: tuple[Path, BacktestOutcome], long: str) -> None:
    artifacts, outcome = unbroken
    deps = deps_in(artifacts)
    record = read_record(deps.store, outcome.run_id, deps.settings, ())
    profiles = [p for p in deps.profiles if p.account in ACCOUNTS]
    assert record.heard == source_heard(deps.source(long), long, profiles, deps.settings)
    seen = Counter[str]()
    for account in liveness(profiles, record.source, record.heard, record).accounts:
        for rule in account.rules:
            tally, where = rule.tally, (account.account, rule.rule_id)
            assert tally is not None
            seen[rule.reach] += 1
            if rule.reach == "not evaluable":
                assert tally.not_evaluable == 580, where
            elif rule.reach == "off":
                assert tally.bound == tally.unknown == 0, where
            else:
                assert tally.evaluated == 580 and (rule.reach == "reachable" or not tally.bound), where
    assert min(seen["reachable"], seen["off"], seen["not evaluable"]) > 10
    report = (artifacts / outcome.path / "report.md").read_text()
    (part,) = report.split("## Guard liveness")[1].split("\n## ")[0].split("### north-pier/core")[1:]
    summary = liveness(profiles[:1], record.source, record.heard, record).accounts[0].summary
    assert ", ".join(f"{name} {n}" for name, n in summary.items()).capitalize() in part


# --- what can be asked ------------------------------------------------------------------------------------


def ask(short: str, artifacts: Path, **asked: Any) -> tuple[BacktestOutcome, BacktestDeps]:
    deps = deps_in(artifacts)
    return run_backtest(BacktestRequest(**({"source": short, "accounts": ACCOUNTS} | asked)), deps), deps


def rows_of(source: str, at: dict[int, dict[str, float]]) -> ProposalRows:
    """Proposals at bars of the source."""
    ts_ns = open_source(source, calendar="XNYS").window().ts_ns
    symbols = tuple(sorted({s for weights in at.values() for s in weights}))
    weights = np.array([[row.get(s, 0.0) for s in symbols] for row in at.values()]) * 1e9
    return ProposalRows(ts_ns[list(at)], symbols, weights, sha256_hex(repr(at).encode()))


@pytest.mark.usefixtures("no_report")
def test_the_users_own_proposals_go_through_the_same_guards(short: str, tmp_path: Path) -> None:
    rows = rows_of(short, {270: {"KO": 0.1, "XOM": 0.9}, 290: {"KO": 0.05}})
    outcome, deps = ask(short, tmp_path, proposals=rows)
    made = decisions(deps, outcome.run_id, "north-pier/core")
    proposed = [dict(zip(d["targets"]["symbol"], d["targets"]["proposed_w_e9"], strict=True)) for d in made]
    target = [dict(zip(d["targets"]["symbol"], d["targets"]["target_w_e9"], strict=True)) for d in made]
    assert not any(any(x.values()) for x in proposed[:270])
    assert proposed[270] == {"KO": 100_000_000, "XOM": 900_000_000}
    assert proposed[290]["KO"] == 50_000_000 and proposed[290].get("XOM", 0) == 0
    assert all(x.get("XOM", 0) <= 150_000_000 for x in target), "north-pier holds 15 % of a name at most"
    assert "CC-01" in made[270]["binding_rules"]
    assert target[275]["KO"] > 0


@pytest.mark.usefixtures("no_report")
def test_first_and_last_day_are_included_and_make_another_run(short: str, tmp_path: Path) -> None:
    bars = open_source(short, calendar="XNYS").window().ts_ns
    days = [dt.datetime.fromtimestamp(ts // 10**9, dt.UTC).date() for ts in bars.tolist()]
    outcome, deps = ask(short, tmp_path, first_day=days[280], last_day=days[290])
    assert outcome.summary["bars"] == 11
    made = decisions(deps, outcome.run_id, "kestrel-lane/eval-100k")
    assert [int(d["ts_event_ns"]) for d in made] == bars[280:291].tolist()
    whole, _ = ask(short, tmp_path, first_day=days[280])
    assert whole.summary["bars"] == 40 and whole.run_id != outcome.run_id
    same = decisions(deps, whole.run_id, "kestrel-lane/eval-100k")[:11]
    for one, two in zip(made, same, strict=True):
        assert (one["targets"], one["rules"]) == (two["targets"], two["rules"]), (
            "what follows changes nothing"
        )


@pytest.mark.usefixtures("no_report")
def test_a_single_bar_is_decided_and_re_used(short: str, tmp_path: Path) -> None:
    bars = open_source(short, calendar="XNYS").window().ts_ns
    day = dt.datetime.fromtimestamp(int(bars[-1]) // 10**9, dt.UTC).date()
    outcome, _ = ask(short, tmp_path, first_day=day, accounts=("north-pier/core",))
    assert outcome.summary["bars"] == 1 and not outcome.reused
    assert ask(short, tmp_path, first_day=day, accounts=("north-pier/core",))[0].reused


@pytest.mark.usefixtures("no_report")
def test_what_was_sealed_is_signed_once_per_firm(short: str, tmp_path: Path) -> None:
    bars = open_source(short, calendar="XNYS").window().ts_ns
    day = dt.datetime.fromtimestamp(int(bars[-9]) // 10**9, dt.UTC).date()
    request = BacktestRequest(source=short, accounts=ACCOUNTS, first_day=day)
    deps, told = deps_in(tmp_path), list[str]()
    outcomes, proofs = [], []
    for _ in range(2):
        proof = open_proof(LocalArtifacts(tmp_path), (), told.append)
        outcomes.append(run_backtest(request, replace(deps, notary=proof)))
        proofs.append(sorted((tmp_path / "audit" / "_checkpoints").rglob("*.txt")))
    assert [outcome.reused for outcome in outcomes] == [False, True]
    assert [path.parent.name for path in proofs[0]] == ["firm=kestrel-lane", "firm=north-pier"]
    assert proofs[1] == proofs[0]
    found = verify_record(tmp_path, None, None, ())
    assert found.ok and not list(found.unsigned()) and len(found.chains) == 2
    assert not any("NOT signed" in text for text in told)


def test_a_report_for_some_accounts_has_those_alone(short: str, tmp_path: Path) -> None:
    outcome, _ = ask(short, tmp_path, accounts=("kestrel-lane/growth",), symbols=("KO",))
    assert [a["account"] for a in outcome.summary["accounts"]] == ["kestrel-lane/growth"]
    assert [p.name for p in (tmp_path / outcome.path / "firms").iterdir()] == ["kestrel-lane"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"accounts": ("north-pier/cor",)}, "north-pier/core.*'north-pier/cor'"),
        ({"basket": "us-cor"}, "us-core.*'us-cor'"),
        ({"basket": "us-core"}, "basket us-core"),
        ({"symbols": ("PEPP",)}, "'PEPP'.*nearest: PEP"),
        ({"source": "no-such-source"}, "no-such-source"),
        ({"first_day": dt.date(2030, 1, 1)}, "--from"),
        ({"last_day": dt.date(1999, 1, 1)}, "1999-01-01"),
    ],
)
def test_what_cannot_be_accepted_is_refused_before_anything_is_written(
    short: str, tmp_path: Path, asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        run_backtest(BacktestRequest(**({"source": short} | asked)), deps_in(tmp_path))
    assert not list(tmp_path.rglob("*"))


def test_an_account_that_is_not_dry_is_refused(short: str, tmp_path: Path) -> None:
    deps = deps_in(tmp_path)
    shadow = deps.profiles[0].model_copy(update={"mode": Mode.SHADOW})
    with pytest.raises(BadInput, match="dry_run"):
        run_backtest(BacktestRequest(source=short), replace(deps, profiles=(shadow,)))
