"""A real run on bundled prices, killed with -9 again and again, decides as one that was never broken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from regime_trading.agents.graph import PIPELINE
from regime_trading.bootstrap import load
from regime_trading.bootstrap.app import open_app
from regime_trading.bootstrap.proof import verify_record
from regime_trading.bootstrap.rl import check_dataset
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.state import PipelineState
from regime_trading.services.runs import Ask, parse_time

ROOT = Path(__file__).parents[2]
ASK = Ask(symbols=("KO", "PEP", "XOM"), as_of_ns=parse_time("1994-12-30", "test"))

# A process that dies of SIGKILL at a chosen event, or after the n-th call of a chosen write.
CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.pipeline.test_kill_and_resume import ASK, ROOT
from regime_trading.adapters.database import SqlLedger
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.bootstrap.app import open_app
what, when = sys.argv[3], sys.argv[4]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Killer:
    def emit(self, event):
        if (event["stage"], event["status"]) == (what, when):
            die()

def dying(kind, name):
    real, calls = getattr(kind, name), []
    def call(self, *args, **kwargs):
        answer = real(self, *args, **kwargs)
        calls.append(name)
        if len(calls) == int(when):
            die()
        return answer
    setattr(kind, name, call)

if what == "commit":
    dying(SqlLedger, "commit_decision")
if what == "seal":
    dying(ParquetSealer, "seal_audit")
with open_app(artifacts=Path(sys.argv[2]), config=ROOT / "config", events=Killer()) as app:
    app.runs.run(ASK)
print("survived")
"""

FEW = [("regime", "running"), ("commit", "2"), ("execution", "finished")]
MANY = [(stage.name, status) for stage in PIPELINE for status in ("started", "finished")]
MANY += [(what, str(nth)) for what in ("commit", "seal") for nth in (1, 2, 3, 4)]


def decide(artifacts: Path) -> PipelineState:
    with open_app(artifacts=artifacts, config=ROOT / "config") as app:
        return app.runs.run(ASK).state


def killed(artifacts: Path, what: str, when: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHILD, str(ROOT), str(artifacts), what, when]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PipelineState]:
    artifacts = tmp_path_factory.mktemp("unbroken")
    return artifacts, decide(artifacts)


def test_the_run_is_real(unbroken: tuple[Path, PipelineState]) -> None:
    _, state = unbroken
    assert state.verdict is not None and state.verdict.action == "ok", state.verdict
    assert state.decisions is not None and len(state.decisions) == len(load(ROOT / "config").profiles)
    assert any(decision.orders for decision in state.decisions)
    assert state.receipts is not None and state.executions is not None
    for decision, sent in zip(state.decisions, state.executions, strict=True):
        assert sent.order_ids == tuple(order.client_order_id for order in decision.orders)


@pytest.mark.parametrize("kills", [FEW, pytest.param(MANY, marks=pytest.mark.full)], ids=["few", "many"])
def test_a_run_killed_again_and_again_decides_as_one_that_was_not(
    tmp_path: Path, unbroken: tuple[Path, PipelineState], kills: list[tuple[str, str]]
) -> None:
    for number, (what, when) in enumerate(kills):
        done = killed(tmp_path, what, when, PYTHONHASHSEED=str(number), TZ="Asia/Tokyo")
        # what was already committed or sealed is not done again, so a later count may not be reached
        assert done.returncode == -signal.SIGKILL or kills is MANY, (what, when, done.stdout, done.stderr)
    assert decide(tmp_path) == unbroken[1]
    assert files(tmp_path) == files(unbroken[0])
    assert verify_record(tmp_path, None, None, ()).ok


def files(artifacts: Path) -> dict[str, bytes]:
    """Everything the run left for others: report, record, RL rows; but the proof, which is dated by the clock."""
    return {
        str(path.relative_to(artifacts)): path.read_bytes()
        for folder in ("runs", "audit", "rl_dataset")
        for path in sorted((artifacts / folder).rglob("*"))
        if path.is_file() and not {"_checkpoints", "_keys"} & set(path.parts)
    }


def test_the_run_leaves_a_state_an_action_and_an_open_end(unbroken: tuple[Path, PipelineState]) -> None:
    found = check_dataset(unbroken[0], None)
    assert found.ok and not found.uncovered, found.answer()
    assert len(found.chains) == len(load(ROOT / "config").profiles)
    assert {(c.decisions, c.transitions, c.open) for c in found.chains} == {(1, 0, 1)}


def test_the_same_ask_verifies_and_re_uses_the_run(unbroken: tuple[Path, PipelineState]) -> None:
    artifacts, state = unbroken
    with open_app(artifacts=artifacts, config=ROOT / "config") as app:
        again = app.runs.run(ASK)
        assert (again.state, again.fresh) == (state, False)
        assert app.runs.resume(state.request.run_id).state == state
        with pytest.raises(BadInput, match="no-such-run"):
            app.runs.resume("no-such-run")


def test_a_tampered_run_is_not_re_used_and_a_missing_file_is_made_again(tmp_path: Path) -> None:
    state = decide(tmp_path)
    page = tmp_path / "runs" / state.request.run_id / "report.md"
    good = page.read_bytes()
    page.write_bytes(good.replace(b"Regime", b"Regimx", 1))
    with pytest.raises(CheckFailed, match=r"report\.md"):
        decide(tmp_path)
    page.unlink()
    assert decide(tmp_path) == state
    assert page.read_bytes() == good
    part, _ = sorted(tmp_path.glob("audit/schema=1/firm=north-pier/account=core/run=*/part-*.parquet"))
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckFailed):
        decide(tmp_path)


def test_the_next_run_fills_what_this_one_ordered(
    unbroken: tuple[Path, PipelineState], tmp_path: Path
) -> None:
    first = decide(tmp_path)
    later = Ask(symbols=ASK.symbols, as_of_ns=parse_time("1995-01-06", "test"))
    with open_app(artifacts=tmp_path, config=ROOT / "config") as app:
        second = app.runs.run(later).state
    assert first.decisions is not None and second.decisions is not None
    for before, after in zip(first.decisions, second.decisions, strict=True):
        ordered: dict[str, Decimal] = {}
        for order in before.orders:
            ordered[order.symbol] = ordered.get(order.symbol, Decimal(0)) + order.qty
        held = {target.symbol: target.current_qty for target in after.targets if target.current_qty}
        assert held == ordered
    assert second.verdict is not None and second.verdict.action == "ok", second.verdict
