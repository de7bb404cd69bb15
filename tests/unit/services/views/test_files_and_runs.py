"""Files, runs, regimes, tapes, baskets and the RL dataset as they are shown."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import os
import pkgutil
import socket
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gate_samples import CORE, GROWTH, shipped
from tests.views_world import DEFENSIVE, EVAL, KESTREL, NORTH, World, asker, request

from regime_trading.adapters import firm_files as firm_files_module
from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.firm_files import LocalFirmFiles
from regime_trading.core.access import Role
from regime_trading.core.errors import BadInput, NotThere
from regime_trading.core.firm_files import scope_of
from regime_trading.core.proposals import OwnWeights, Prechecked
from regime_trading.services import views
from regime_trading.services.pm import GateConfig, decide
from regime_trading.services.views import artifacts, baskets, regimes, rl, runs, weights
from regime_trading.services.views.base import Shown

PRINTABLE = st.text(st.characters(min_codepoint=0, max_codepoint=0x2FFF), max_size=20)


# --- artifacts --------------------------------------------------------------------------------------------------


def test_the_tree_of_a_run_is_the_shared_part_and_the_firms_own(world: World) -> None:
    found = artifacts.tree(world.sources(), asker(), world.run_id)
    assert not found.withheld and {file.scope for file in found.files} == {"market", "firm"}
    assert all(scope_of(file.path, NORTH) for file in found.files)
    assert [file.path for file in found.files] == sorted(file.path for file in found.files)
    names = {file.name for file in found.files}
    assert {"report.md", "report.html", "decisions.json", "prices.parquet", "regime.json"} <= names


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("report.md", "markdown"),
        ("report.html", "html"),
        ("decisions.json", "json"),
        ("targets.parquet", "parquet"),
        ("charts/regime.svg", "svg"),
    ],
)
def test_every_kind_has_its_preview_its_checksum_and_its_bytes(world: World, name: str, kind: str) -> None:
    path = f"runs/{world.run_id}/firms/{NORTH}/{name}"
    data = (world.folder / path).read_bytes()
    told = artifacts.preview(world.sources(), asker(), path)
    assert told.artifact.kind == kind and told.artifact.size_bytes == len(data) and not told.truncated
    forms = [told.text, told.json_value, told.table, told.picture_base64]
    assert sum(form is not None for form in forms) == 1
    if kind == "json":
        assert told.json_value == orjson.loads(data)
    if kind == "svg":
        assert base64.b64decode(told.picture_base64 or "") == data
    if told.table is not None:
        assert [column.name for column in told.table.columns][:2] == ["account", "symbol"]
        assert told.table.total_rows == len(told.table.rows) > 0
        assert {row[0] for row in told.table.rows} == {CORE, DEFENSIVE}
    assert artifacts.checksum(world.sources(), asker(), path).sha256 == hashlib.sha256(data).hexdigest()
    sent = artifacts.download(world.sources(), asker(), path)
    assert sent.data == data and sent.name == name.rpartition("/")[2]


def test_a_long_table_is_cut_and_says_so(world: World) -> None:
    told = artifacts.preview(world.sources(), asker(), f"runs/{world.run_id}/market/features.parquet")
    assert told.table is not None and told.truncated
    assert len(told.table.rows) == artifacts.PREVIEW_ROWS < (told.table.total_rows or 0)
    assert None in told.table.rows[0]  # a feature that is not known yet


REFUSED = [
    "runs/{run}/report.md",
    "runs/{run}/report.html",
    "runs/{run}/firms/kestrel-lane/report.md",
    "runs/{run}/firms/north-pier",
    "runs/{run}/firms/north-pier/",
    "runs/{run}/firms/north-pier/../kestrel-lane/report.md",
    "runs/{run}/market/../firms/kestrel-lane/report.md",
    "runs/{run}/market/../../../state/regime.db",
    "runs/{run}/market//regime.json",
    "runs/{run}/market/./regime.json",
    "/runs/{run}/market/regime.json",
    "runs/{run}/market/regime.json/",
    "runs\\{run}\\market\\regime.json",
    "runs/{run}/market/regime.json\0",
    "runs/{run}/market/%2e%2e/report.md",
    "runs/{run}/market/*",
    "runs/{run}/market",
    "runs/{run}/firms/north-pier/charts",
    "runs/none/market/regime.json",
    "runs/../runs/{run}/market/regime.json",
    "state/regime.db",
    "audit/schema=1/firm=north-pier/account=core/run={run}/part-1-1-00000000.parquet",
    "audit/_manifest/schema=1/firm=kestrel-lane/account=growth/run={run}.json",
    "cache/x.npz",
    "inputs/schema=1/firm=north-pier/config/x",
    "/etc/passwd",
    "../../etc/passwd",
    "",
    ".",
    "runs",
]


@pytest.mark.parametrize("path", REFUSED)
def test_whatever_is_not_the_firms_does_not_exist(world: World, path: str) -> None:
    asked = path.format(run=world.run_id)
    files = LocalFirmFiles(world.folder, firm_id=NORTH)
    assert files.read(asked, 10) is files.digest(asked) is files.head(asked, 1) is None
    for ask in (artifacts.preview, artifacts.checksum, artifacts.download):
        with pytest.raises(NotThere, match="file that exists"):
            ask(world.sources(), asker(role=Role.ADMIN), asked)


STEP = st.sampled_from(["..", ".", "", "report.md", "firms", "market", KESTREL, NORTH, "a b", "%2e"])
PATHS = st.tuples(
    st.just("runs"),
    st.sampled_from(["bt-1", ".."]),
    st.sampled_from(["firms", "market"]),
    st.sampled_from([KESTREL, NORTH, f"{NORTH}2", ".."]),
    st.lists(STEP, min_size=1, max_size=2).map("/".join),
).map("/".join)


@given(path=PRINTABLE | PATHS)
@settings(max_examples=300, deadline=None)
def test_a_path_that_may_be_shown_names_the_market_or_the_firm(path: str) -> None:
    place = scope_of(path, NORTH)
    if place is not None:
        steps = path.split("/")
        assert steps[0] == "runs" and ".." not in steps and "." not in steps and "" not in steps
        assert steps[2] == "market" or steps[2:4] == ["firms", NORTH]


def test_links_devices_and_hidden_files_are_not_there(tmp_path: Path) -> None:
    home = tmp_path / "root" / "runs" / "r" / "market"
    home.mkdir(parents=True)
    (tmp_path / "secret.json").write_text("{}")
    (home / "plain.json").write_text("{}")
    (home / ".hidden.json").write_text("{}")
    (home / "link.json").symlink_to(tmp_path / "secret.json")
    (home / "inside.json").symlink_to(home / "plain.json")
    (home / "folder").symlink_to(tmp_path)
    os.mkfifo(home / "pipe.json")
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(home)
        listening.bind("sock.json")
        files = LocalFirmFiles(tmp_path / "root", firm_id="f")
        assert [file.path for file in files.listed("r")] == ["runs/r/market/plain.json"]
        for name in (
            "link.json",
            "inside.json",
            "folder/secret.json",
            "pipe.json",
            "sock.json",
            ".hidden.json",
        ):
            assert files.read(f"runs/r/market/{name}", 10) is None, name
            assert files.digest(f"runs/r/market/{name}") is None, name
    (tmp_path / "root" / "runs" / "linked").symlink_to(home.parent)
    assert files.listed("linked") == () and files.read("runs/linked/market/plain.json", 10) is None
    assert files.read("runs/r/market/plain.json", 10) == b"{}"
    for run_id in ("../r", "r/market", "", "R", "r\0"):
        assert files.listed(run_id) == ()
    with pytest.raises(BadInput):
        LocalFirmFiles(tmp_path, firm_id="../f")


def test_a_report_over_accounts_one_may_not_see_is_withheld(world: World) -> None:
    report = f"runs/{world.run_id}/firms/{NORTH}/report.md"
    for of in (asker(accounts={CORE}), asker(role=Role.VIEWER, redact=True)):
        told = artifacts.tree(world.sources(), of, world.run_id)
        assert told.withheld and {file.scope for file in told.files} == {"market"}
        with pytest.raises(NotThere):
            artifacts.download(world.sources(), of, report)
    backtest = f"runs/{world.backtest_id}/firms/{NORTH}/report.md"  # of that account alone
    assert artifacts.download(world.sources(), asker(accounts={CORE}), backtest).data
    with pytest.raises(NotThere):
        artifacts.tree(world.sources(), asker(accounts={DEFENSIVE}), world.backtest_id)
    with pytest.raises(NotThere):
        artifacts.tree(world.sources(), asker(KESTREL), world.run_id)


def test_files_that_are_not_what_their_name_says_are_shown_as_they_are(tmp_path: Path) -> None:
    home = tmp_path / "runs" / "r" / "market"
    home.mkdir(parents=True)
    (home / "broken.parquet").write_bytes(b"PAR1 no")
    (home / "table.csv").write_text("a,b\n1,x\n2,\n")
    files = LocalFirmFiles(tmp_path, firm_id="f")
    with pytest.raises(firm_files_module.CheckFailed):
        files.head("runs/r/market/broken.parquet", 5)
    head = files.head("runs/r/market/table.csv", 1)
    assert head is not None and head.columns == (("a", "VARCHAR"), ("b", "VARCHAR"))
    assert (head.rows, head.total) == ((("1", "x"),), 2)


# --- runs -------------------------------------------------------------------------------------------------------


def test_runs_are_listed_with_the_accounts_one_may_see(world: World) -> None:
    found = runs.runs(world.sources(), asker()).items
    assert {row.run_id: row.kind for row in found} == {world.run_id: "run", world.backtest_id: "backtest"}
    first = next(row for row in found if row.run_id == world.run_id)
    assert (first.status, first.accounts) == ("done", (CORE, DEFENSIVE)) and first.inputs_hash is not None
    assert [row.run_id for row in runs.runs(world.sources(), asker(accounts={DEFENSIVE})).items] == [
        world.run_id
    ]
    assert runs.runs(world.sources(), asker(KESTREL)).items == ()
    page = runs.runs(world.sources(), asker(), limit=1)
    rest = runs.runs(world.sources(), asker(), cursor=page.next_cursor, limit=1)
    assert (*page.items, *rest.items) == found and rest.next_cursor is None


def test_one_run_tells_its_inputs_stages_results_and_report(world: World) -> None:
    told = runs.run(world.sources(), asker(), world.run_id)
    assert told.manifest is not None and told.manifest.symbols == ("KO", "PEP", "XOM")
    assert [stage.name for stage in told.stages] == list(runs.STAGES)
    assert {stage.status for stage in told.stages} == {"done"}
    assert {result.account for result in told.results} == {CORE, DEFENSIVE}
    assert told.report == f"runs/{world.run_id}/firms/{NORTH}/report.html" and told.artifacts
    backtest = runs.run(world.sources(), asker(), world.backtest_id)
    assert backtest.stages == () and backtest.manifest is None and backtest.as_of is not None
    for run_id, of in (("none", asker()), ("../x", asker()), (world.run_id, asker(KESTREL))):
        with pytest.raises(NotThere):
            runs.run(world.sources(), of, run_id)


def test_stages_follow_from_what_a_run_left() -> None:
    from regime_trading.core.schemas import RunRecord

    record = RunRecord("r", "run", "failed", "a" * 64, 0, "runs/r")
    file: Any = type("File", (), {"name": "features.parquet"})()
    told = runs._stages(record, [file], decided=False)
    assert [stage.status for stage in told[:5]] == ["done", "done", "done", "failed", "waiting"]
    told = runs._stages(replace(record, status="started"), [file], decided=True)
    assert [stage.status for stage in told[-3:]] == ["done", "waiting", "waiting"]


# --- regimes and tapes ------------------------------------------------------------------------------------------


class Broken:
    """Files of a run of which one is no table."""

    def __init__(self, files: Any, name: str) -> None:
        self._files, self._name = files, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    def read(self, path: str, limit: int) -> bytes | None:
        return b"?" if path.endswith(self._name) else self._files.read(path, limit)


def test_regimes_say_since_when_and_why_they_are_capped(world: World) -> None:
    told = regimes.regimes(world.sources(), asker())
    assert told.run_id == world.run_id and told.regimes[0].is_market
    assert [one.symbol for one in told.regimes[1:]] == ["KO", "PEP", "XOM"]
    for one in told.regimes:
        assert all(item.confidence_cap >= one.confidence for item in one.evidence)
        assert one.evidence == () or any(item.binds for item in one.evidence) or one.confidence < 1
        changes = [change.at for change in one.transitions]
        assert changes == sorted(changes, reverse=True) and (one.since is None) == (not changes)
        assert all(change.before != change.after for change in one.transitions)
    ribbon = regimes.history(world.sources(), asker(), "KO", bars=50)
    assert len(ribbon.points) == 50 and ribbon.points[-1].label == told.regimes[1].label
    assert all(point.close and point.close > 0 for point in ribbon.points)
    assert told.notes == ribbon.notes == ()
    lost = replace(world.sources(), files=Broken(world.sources().files, "prices.parquet"))
    without = regimes.history(lost, asker(), "KO", bars=50)
    assert {point.close for point in without.points} == {None} and "prices are unknown" in without.notes[0]
    lost = replace(world.sources(), files=Broken(world.sources().files, "regimes.parquet"))
    without = regimes.history(lost, asker(), "KO", bars=50)
    assert without.points == () and "regimes.parquet" in without.notes[0]
    with pytest.raises(NotThere):
        regimes.history(lost, asker(), "NONE")
    now = regimes.regimes(lost, asker())
    assert {one.since for one in now.regimes} == {None} and now.notes == without.notes
    market = regimes.history(world.sources(), asker(), told.regimes[0].symbol, bars=5)
    assert {point.close for point in market.points} == {None}, (
        "the market here is a mean of symbols, not a price"
    )
    for bad in (0, 5_001):
        with pytest.raises(BadInput):
            regimes.history(world.sources(), asker(), "KO", bars=bad)
    for symbol in ("NONE", ""):
        with pytest.raises(NotThere):
            regimes.history(world.sources(), asker(), symbol)
    with pytest.raises(NotThere):
        regimes.regimes(world.sources(), asker(KESTREL))


def test_a_tape_is_told_with_what_is_not_known_of_it(world: World) -> None:
    from regime_trading.core.schemas import MicrostructureFeatures, TapeSummary

    features = MicrostructureFeatures.model_validate(
        {
            "symbol": "KO", "start_ns": 0, "end_ns": 10**9, "evidence": "L1", "book": "two_sided",
            "counts": {
                "rows": 9, "used": 9, "crossed": 0, "locked": 0, "one_sided": 0, "non_positive": 0,
                "out_of_order": 0, "repeated_ts": 0,
            },
            "spread": {
                "time_weighted_bps": 1.5, "time_weighted_px": 0.01, "effective_bps": None, "realised_bps": None,
                "impact_bps": None,
            },
            "ofi": {"sum": -3.0, "interval_s": 1.0, "beta": None, "r2": None, "r2_window_mean": None, "n": 2},
            "microprice": {"last": 60.01, "mid_last": 60.0, "gap_bps": 1.7},
            "trades": {"n": 0, "signed_volume": None, "kyle_lambda": None, "vpin": None},
            "health": {"score": 88.0, "grade": "thin", "reasons": ["few quotes"]},
            "unknown": {"spread.effective_bps": "no trades"},
        }
    )  # fmt: skip
    summary = TapeSummary(evidence="L1", confidence_cap=0.9, features=(features,))
    market = {"request": {"as_of_ns": 0}, "regime": {}, "tape": json.loads(summary.model_dump_json())}

    class Files:
        def read(self, path: str, limit: int) -> bytes:
            return orjson.dumps(market)

    told = regimes.tape(replace(world.sources(), files=Files()), asker(), world.run_id)  # type: ignore[arg-type]
    (one,) = told.symbols
    assert (one.order_flow_imbalance, one.microprice, one.spread_bps, one.health) == (
        -3.0,
        60.01,
        1.5,
        "thin",
    )
    assert one.effective_spread_bps is None and one.unknown == {"spread.effective_bps": "no trades"}
    real = regimes.tape(world.sources(), asker())
    assert real.symbols == () and {bar.symbol for bar in real.bars_only} == {"KO", "PEP", "XOM"}


# --- baskets ----------------------------------------------------------------------------------------------------


def test_baskets_are_those_that_ones_accounts_follow(world: World) -> None:
    whole = {one.name: one for one in baskets.baskets(world.sources(), asker())}
    assert set(whole) == {"us-core", "us-defensive"}
    assert {follower.account for follower in whole["us-core"].accounts} == {CORE, DEFENSIVE}
    part = baskets.baskets(world.sources(), asker(accounts={CORE}))
    assert [one.name for one in part] == ["us-core"] and part[0].accounts[0].share == 1.0
    for of, name in ((asker(accounts={CORE}), "us-defensive"), (asker(), "us-growth"), (asker(), "none")):
        with pytest.raises(NotThere):
            baskets.basket(world.sources(), of, name)


def test_candidates_are_ranked_by_what_their_regime_allows(world: World) -> None:
    told = baskets.candidates(world.sources(), asker(accounts={CORE}), "us-core")
    assert (told.run_id, told.basket) == (world.run_id, "us-core") and told.market_label is not None
    members = {member.symbol for member in baskets.basket(world.sources(), asker(), "us-core").members}
    assert {one.symbol for one in told.items} == members
    known = [one for one in told.items if one.label is not None]
    assert {one.symbol for one in known} == {"KO", "PEP", "XOM"} and list(told.items[:3]) == known
    assert [one.score for one in known] == sorted((one.score for one in known), reverse=True)  # type: ignore[type-var]
    now = {one.symbol: one for one in regimes.regimes(world.sources(), asker()).regimes}
    for one in known:
        assert (one.label, one.confidence, one.evidence) == (
            now[one.symbol].label, now[one.symbol].confidence, now[one.symbol].evidence,
        )  # fmt: skip
        assert one.score is not None and 0 <= one.score <= (one.confidence or 0)
    for of, name in ((asker(accounts={CORE}), "us-defensive"), (asker(KESTREL), "us-core"), (asker(), "x")):
        with pytest.raises(NotThere):
            baskets.candidates(world.sources(), of, name)


def test_what_a_run_left_an_account_with_begins_a_proposal(world: World) -> None:
    told = orjson.loads((world.folder / f"runs/{world.run_id}/firms/{NORTH}/decisions.json").read_bytes())
    left = {d["account"]: {t["symbol"]: t["target_w"] for t in d["targets"]} for d in told}
    for account in (CORE, DEFENSIVE):
        wanted = {symbol: Decimal(w) for symbol, w in left[account].items() if Decimal(w)}
        if wanted:
            found = weights.left_weights(world.sources(), asker(), account, world.run_id)
            assert found == (world.run_id, OwnWeights(weights=wanted))
        else:
            with pytest.raises(BadInput, match="not all 0"):
                weights.left_weights(world.sources(), asker(), account, world.run_id)
    assert any(Decimal(w) for d in left.values() for w in d.values())
    for of, account, run_id in ((asker(KESTREL), CORE, ""), (asker(), EVAL, ""), (asker(), CORE, "run-9")):
        with pytest.raises(NotThere):
            weights.left_weights(world.sources(), of, account, run_id)


def test_followers_are_those_one_may_propose_for(world: World) -> None:
    assert baskets.followers(world.sources(), asker(), "us-core") == (CORE, DEFENSIVE)
    assert baskets.followers(world.sources(), asker(accounts={CORE}), "us-core") == (CORE,)
    for of in (asker(role=Role.VIEWER), asker(role=Role.ADMIN), asker(KESTREL)):
        assert baskets.followers(world.sources(), of, "us-core") == ()


def test_a_pre_check_tells_what_is_left_and_how_close_each_limit_is(world: World) -> None:
    book, bold = {"cash": "250000"}, ("proposal.weights", {"KO": "0.5", "XOM": "0.5"})
    asked = request(120, bold, account=GROWTH, portfolio=book)
    (decision,) = decide([asked], config=GateConfig(shipped()[0], world.standings, "test"))
    found = Prechecked(decision, (0.0, 0.2, None))
    told = baskets.pre_check(asker(KESTREL), found)
    assert (told.outcome, told.trading_state_after) == ("resize", "NORMAL")
    assert told.proposed.gross == pytest.approx(1.0) and told.before.gross == 0.0
    assert 0 < told.after.gross < told.proposed.gross and "CC-01" in told.binding_rules
    assert (told.before.volatility, told.proposed.volatility, told.after.volatility) == (0.0, 0.2, None)
    assert all("CC-01" in target.limiting_rules for target in told.targets)
    assert 0 < len(told.closest) <= 8
    assert [one.used for one in told.closest] == sorted((one.used for one in told.closest), reverse=True)
    rules = {rule.rule_id: rule for rule in told.rules}
    for one in told.closest:
        assert (one.value, one.limit) == (rules[one.rule_id].value, rules[one.rule_id].limit)
        assert (
            one.headroom is None
            or one.used == pytest.approx(1)
            or (one.used < 1) == (float(one.headroom) > 0)
        )
    hidden = baskets.pre_check(asker(KESTREL, Role.ANALYST, redact=True), found)
    assert hidden.redacted and all(target.step_quantity is None for target in hidden.targets)
    money = [one for one in hidden.closest if one.unit == "money"]
    assert all(one.value is one.limit is one.headroom is None for one in money)


# --- the RL dataset ---------------------------------------------------------------------------------------------


def test_the_dataset_tells_its_rows_gaps_and_how_much_is_known(world: World) -> None:
    told = rl.dataset(world.sources(), asker())
    assert {part.account for part in told.partitions} == {CORE, DEFENSIVE}
    assert told.rows == sum(part.states for part in told.partitions) > 300
    long = next(part for part in told.partitions if part.run_id == world.backtest_id)
    assert long.open == long.states - long.transitions and long.feature_set_versions == ("4",)
    assert len(told.rows_by_day) == rl.DAYS and sum(bar.count for bar in told.rewards) > 300
    assert all(one.known is None or 0 <= one.known <= 1 for one in told.coverage)
    assert {one.known for one in told.coverage} - {0.0, 1.0, None}
    assert told.lag_s is not None and told.lag_s > 0
    assert rl.dataset(world.sources(), asker(), env="shadow").rows == 0
    assert rl.dataset(world.sources(), asker(), env="shadow").coverage[0].known is None
    assert {p.account for p in rl.dataset(world.sources(), asker(accounts={DEFENSIVE})).partitions} == {
        DEFENSIVE
    }
    assert rl.dataset(world.sources(), asker(KESTREL)).partitions == ()
    with pytest.raises(NotThere):
        rl.dataset(world.sources(), asker(), account=EVAL)


def test_what_waits_to_be_sealed_is_told_and_counts_for_the_lag(world: World) -> None:
    told = rl.dataset(world.sources(), asker(), env="shadow")
    (part,) = told.partitions
    assert (part.account, part.states, part.transitions, part.open) == (CORE, 0, 0, 0)
    assert part.waiting == told.waiting == 3 and told.rows == 0 and told.rewards == ()
    assert told.last == part.last == "2026-11-20T15:32:00Z" and told.lag_s == 480.0
    assert rl.dataset(world.sources(), asker(accounts={DEFENSIVE}), env="shadow").partitions == ()


def test_a_sealed_file_is_counted_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first, read = rl.dataset(world.sources(), asker()), LocalArtifacts.read_bytes

    def only_manifests(store: LocalArtifacts, path: str) -> bytes:
        assert "_manifest" in path, f"{path} is read again"
        return read(store, path)

    monkeypatch.setattr(LocalArtifacts, "read_bytes", only_manifests)
    assert rl.dataset(world.sources(), asker()) == first


# --- the models -------------------------------------------------------------------------------------------------


def models() -> list[type[Shown]]:
    """Every model of the views, whoever has asked for them before."""
    for module in pkgutil.iter_modules(views.__path__, f"{views.__name__}."):
        importlib.import_module(module.name)
    found, waiting = list[type[Shown]](), [Shown]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            if kind not in found:
                found.append(kind)
                waiting.append(kind)
    return [kind for kind in found if "services.views" in kind.__module__]


def test_models_are_strict_frozen_and_have_a_schema() -> None:
    found = models()
    assert len(found) > 50
    for kind in found:
        assert (
            kind.model_config["frozen"]
            and kind.model_config["strict"]
            and kind.model_config["extra"] == "forbid"
        )
        assert kind.__doc__
        assert kind.__name__.startswith("Page") or kind.model_json_schema(mode="serialization")["properties"]
    named = [kind.__name__ for kind in found if "[" not in kind.__name__]
    assert len(named) == len(set(named)), sorted(name for name in named if named.count(name) > 1)


def test_what_is_shown_reads_back_as_it_is(world: World) -> None:
    told = runs.run(world.sources(), asker(), world.run_id)
    assert type(told).model_validate_json(told.model_dump_json()) == told


def test_sources_of_two_firms_do_not_mix(world: World) -> None:
    one, other = world.sources(NORTH), world.sources(KESTREL)
    for name in ("rl", "proofs", "standings"):
        with pytest.raises(BadInput):
            replace(one, **{name: getattr(other, name)})
    with pytest.raises(BadInput):
        replace(one, firm_id="../x")
