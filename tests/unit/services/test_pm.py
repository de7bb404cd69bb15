"""The gate with its store: lockouts survive a restart, a request again is the same decision, the past is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.gate_samples import CONFIG, CORE, DEFENSIVE, GROWTH, ROOT, T, codes, outcome, shipped, tree
from typer.testing import CliRunner

from regime_trading import pm
from regime_trading.adapters.database import SqlAuditLog, SqlLedger, SqlOverrides, open_database, sqlite_url
from regime_trading.cli import app
from regime_trading.core.audit import chain_id, verify_chain
from regime_trading.core.instants import LATEST_NS
from regime_trading.core.rules import TradingState
from regime_trading.core.schemas import Mode, Outcome, PMDecision
from regime_trading.services.configurations import OverrideAsk, make_override

S = 10**9
LOST = ("portfolio.cash", "900000")  # 3.8 % of a day's 2 %


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[pm.Gate]:
    with pm.Gate(CONFIG, tmp_path / "artifacts") as opened:
        yield opened


def one(answer: PMDecision | list[PMDecision]) -> PMDecision:
    assert isinstance(answer, PMDecision)
    return answer


def later(seconds: int, *changes: tuple[str, Any], **top: Any) -> dict[str, Any]:
    ts = T + seconds * S
    fresh = [(path, ts) for path in ("proposal.as_of", "market.quotes.0.ts", "market.quotes.1.ts")]
    return tree(*fresh, *changes, **({"as_of": ts} | top))


def rows(folder: Path) -> int:
    engine = open_database(sqlite_url(folder / "artifacts" / "state" / "regime.db"))
    with engine.connect() as connection:
        count: int = connection.exec_driver_sql("select count(*) from account_state").scalar_one()
    engine.dispose()
    return count


def test_a_lockout_is_remembered_and_the_same_request_is_the_same_decision(
    gate: pm.Gate, tmp_path: Path
) -> None:
    first = one(gate.decide(tree(LOST)))
    assert first.outcome is Outcome.FLATTEN and "LD-01" in first.latches_added
    assert rows(tmp_path) == 1
    healed = one(gate.decide(later(60)))  # the money is back, the lockout is not gone
    assert healed.trading_state_before is TradingState.FLATTEN and healed.outcome is Outcome.FLATTEN
    assert rows(tmp_path) == 2
    for again in (tree(LOST), later(60)):  # the first one long after it was overtaken
        told = one(gate.decide(again))
        assert told in (first, healed)
    assert rows(tmp_path) == 2


CHILD = """
import json, sys
from regime_trading import pm
told = pm.decide(sys.stdin.read(), config=sys.argv[1], artifacts=sys.argv[2])
print(told.model_dump_json())
"""


def in_a_new_process(whole: dict[str, Any], folder: Path, **more: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(CONFIG), str(folder / "artifacts")],
        input=json.dumps(whole), env=os.environ | more, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_lockout_survives_a_restart(tmp_path: Path) -> None:
    first = in_a_new_process(tree(LOST), tmp_path)
    second = in_a_new_process(later(60), tmp_path)
    assert first["trading_state_after"] == second["trading_state_before"] == "FLATTEN"
    assert in_a_new_process(tree(LOST), tmp_path, PYTHONHASHSEED="7", TZ="Asia/Tokyo") == first


def test_the_past_is_refused(gate: pm.Gate) -> None:
    gate.decide(later(60))
    for other in (later(60, LOST), tree()):
        with pytest.raises(pm.InvalidRequest, match="as_of: expected a time after the last decision of"):
            gate.decide(other)


def test_a_list_is_decided_or_refused_as_a_whole(gate: pm.Gate, tmp_path: Path) -> None:
    gate.decide(later(60))
    with pytest.raises(pm.InvalidRequest, match=r"\[1\].as_of"):
        gate.decide([tree(account=GROWTH), tree()])
    assert rows(tmp_path) == 1
    with pytest.raises(pm.InvalidRequest) as caught:
        gate.decide([tree(account="no/body"), tree(account="nor/me")])
    assert [problem.path for problem in caught.value.problems] == ["[0].account", "[1].account"]


def test_with_state_nothing_is_stored(gate: pm.Gate, tmp_path: Path) -> None:
    first = one(gate.decide(tree(LOST)))
    assert first.state is not None
    state = first.state.model_dump(mode="json")
    own = one(gate.decide(later(60, state=state)))
    assert rows(tmp_path) == 1
    assert one(gate.decide(later(60))).state == own.state  # the store remembers what the state said
    with pm.Gate(CONFIG, tmp_path / "other") as fresh:
        assert one(fresh.decide(later(60, state=state))).state == own.state
    assert not (tmp_path / "other").exists()
    with pm.Gate(CONFIG, tmp_path / "other", stateless=True) as fresh:
        assert one(fresh.decide(later(60))).trading_state_before is TradingState.NORMAL
    assert not (tmp_path / "other").exists()


def test_the_record_is_a_chain_that_verifies(gate: pm.Gate, tmp_path: Path) -> None:
    first = one(gate.decide(tree(LOST)))
    engine = open_database(sqlite_url(tmp_path / "artifacts" / "state" / "regime.db"))
    audit, ledger = (
        SqlAuditLog(engine, firm_id="north-pier"),
        SqlLedger(engine, firm_id="north-pier", env=Mode.DRY_RUN),
    )
    stored = ledger.load(CORE, LATEST_NS)
    assert (
        stored is not None and stored[0] == first.state and stored[2] == ()
    )  # the sender sends, nobody else
    with engine.connect() as connection:
        (name,) = connection.exec_driver_sql(
            "select distinct chain_id from wal where chain_id not like 'admin/%'"
        ).scalars()
    entries = audit.entries(name)
    assert verify_chain(entries, chain=name).ok
    kinds = [entry.event.event_type for entry in entries]
    assert kinds.count("DECISION") == 1 and "LATCH" in kinds and "MODE_CHANGE" in kinds
    engine.dispose()


@pytest.fixture
def shadow(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    shutil.copytree(CONFIG, folder)
    traders = folder / "traders.yaml"
    traders.write_text(traders.read_text().replace("mode: dry_run", "mode: shadow", 1))
    return folder


RECON = ("portfolio.recon", {"status": "ok", "count": 2, "equity_gap": 0})


def test_in_shadow_one_chain_goes_on_and_only_changes_are_written(tmp_path: Path, shadow: Path) -> None:
    with pm.Gate(shadow, tmp_path / "artifacts") as gate:
        boot = one(gate.decide(tree()))
        assert boot.trading_state_after is TradingState.REDUCE_ONLY and "RECON_UNKNOWN" in codes(
            boot, "DS-08"
        )
        assert one(gate.decide(tree())) == boot
        again = one(gate.decide(later(1)))
        assert again.trading_state_after is TradingState.REDUCE_ONLY
        assert one(gate.decide(later(2, RECON))).trading_state_after is TradingState.NORMAL
    engine = open_database(sqlite_url(tmp_path / "artifacts" / "state" / "regime.db"))
    name = chain_id("shadow", "any", *CORE.split("/"))
    entries = SqlAuditLog(engine, firm_id="north-pier").entries(name)
    engine.dispose()
    assert verify_chain(entries, chain=name).ok
    bodies = [orjson.loads(entry.event.body) for entry in entries]
    assert [b["seq"] for b in bodies] == list(range(1, len(bodies) + 1))
    broken = [b["rule_id"] for b in bodies if b["event_type"] == "RULE_BREACH"]
    assert broken.count("DS-08") == 1  # not at every decision anew
    assert sum(b["event_type"] == "DECISION" for b in bodies) == 3


def test_somebody_else_in_between_is_noticed(
    gate: pm.Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writers read the same state; the second one must not forget the lockout of the first."""
    real = SqlLedger.decided

    def slow(self: SqlLedger, account: str, decision_id: str) -> bool:
        monkeypatch.setattr(SqlLedger, "decided", real)
        with pm.Gate(CONFIG, tmp_path / "artifacts") as other:
            other.decide(tree(LOST))
        monkeypatch.setattr("regime_trading.services.pm._require_newest", lambda *_: None)
        return False

    monkeypatch.setattr(SqlLedger, "decided", slow)
    with pytest.raises(pm.NotDurable, match="decided by somebody else meanwhile"):
        gate.decide(later(60))
    monkeypatch.undo()
    assert one(gate.decide(later(61))).trading_state_before is TradingState.FLATTEN


def test_siblings_come_from_the_store(gate: pm.Gate) -> None:
    """Their last equity counts; a decision that is asked for again sees of them what it saw at first."""
    early = one(gate.decide(tree()))
    assert outcome(early, "LD-13") == "pass"
    gate.decide(tree(("portfolio.cash", "390000"), account=DEFENSIVE))
    assert one(gate.decide(tree())) == early
    late = one(gate.decide(later(1)))
    assert outcome(late, "LD-13") == "bound" and one(gate.decide(later(1))) == late


def test_a_session_override_tightens_even_who_brings_a_state(gate: pm.Gate, tmp_path: Path) -> None:
    first = one(gate.decide(tree()))
    assert first.state is not None
    engine = open_database(sqlite_url(tmp_path / "artifacts" / "state" / "regime.db"))
    asked = OverrideAsk(path="risk.single_name", value="0.05", ttl="4h", reason="results tonight")
    make_override(shipped()[1][CORE], asked, SqlOverrides(engine, firm_id="north-pier"), now_ns=T)
    engine.dispose()
    state = first.state.model_dump(mode="json")
    for whole in (later(60, state=state), later(60)):
        told = one(gate.decide(whole))
        assert max(target.target_w for target in told.targets) <= Decimal("0.05")
        assert told.config_hash != first.config_hash


def test_a_broken_firm_stops_itself_only(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    shutil.copytree(CONFIG, folder)
    artifacts = tmp_path / "artifacts"
    with pm.Gate(folder, artifacts) as gate:
        assert one(gate.decide(tree())).trading_state_after is TradingState.NORMAL
    traders = folder / "traders.yaml"
    traders.write_text(traders.read_text().replace('sigma_target: "0.10"', 'sigma_target: "lots"', 1))
    with pm.Gate(folder, artifacts) as gate:
        stale = one(gate.decide(later(60)))
        assert stale.trading_state_after is TradingState.REDUCE_ONLY and not stale.orders
        other = one(gate.decide(tree(("portfolio.cash", "188000"), account=GROWTH)))
        assert other.trading_state_after is TradingState.NORMAL
    with (
        pm.Gate(folder, stateless=True) as gate,
        pytest.raises(pm.InvalidRequest, match="configuration that verifies"),
    ):
        gate.decide(tree())


# --- the command line -------------------------------------------------------------------------------------


def regime(*words: str | Path, stdin: str | None = None) -> Any:
    return CliRunner().invoke(app, ["pm", "decide", *(str(word) for word in words)], input=stdin)


def test_the_command_prints_one_json_document(tmp_path: Path) -> None:
    given = json.dumps(tree(LOST))
    where = ("--config", CONFIG, "--artifacts", tmp_path / "artifacts", "--json")
    told = regime("-", *where, stdin=given)
    assert told.exit_code == 0, told.stderr
    assert told.stdout.count("\n") == 1 and json.loads(told.stdout)["outcome"] == "flatten"
    (tmp_path / "request.json").write_text(given)
    assert regime(tmp_path / "request.json", *where).stdout == told.stdout
    listed = regime("-", *where, "--stateless", stdin=f"[{given}]")
    assert [item["account"] for item in json.loads(listed.stdout)] == [CORE]
    assert PMDecision.model_validate_json(told.stdout).outcome is Outcome.FLATTEN


def test_the_command_tells_a_person_what_to_do() -> None:
    told = regime("-", "--config", CONFIG, "--stateless", stdin=json.dumps(tree()))
    assert told.exit_code == 0, told.stderr
    for words in ("north-pier/core: resize, NORMAL", "CC-01", "entry +612 KO", "15.00 %", "decision "):
        assert words in told.stdout
    held = regime("-", "--config", CONFIG, "--stateless", stdin=json.dumps(tree(("proposal.weights.ZZZ", 1))))
    assert held.exit_code == 0 and "nothing to send" in held.stdout and "hold" in held.stdout


def test_a_bad_request_names_every_problem(tmp_path: Path) -> None:
    bad = json.dumps(tree(("portfolio.cash", "x"), ("market.bar_s", 0)))
    told = regime("-", "--config", CONFIG, "--stateless", stdin=bad)
    assert told.exit_code == 2 and told.stdout == ""
    (line,) = told.stderr.strip().splitlines()
    assert "portfolio.cash: expected" in line and "market.bar_s: expected" in line
    for words, stdin in ((["-"], ""), (["-"], '{"a": NaN}'), ([tmp_path / "none.json"], None)):
        told = regime(*words, "--config", CONFIG, "--stateless", stdin=stdin)
        assert told.exit_code == 2 and len(told.stderr.strip().splitlines()) == 1
    assert regime("-", "--config", tmp_path / "none", stdin=json.dumps(tree())).exit_code == 2
