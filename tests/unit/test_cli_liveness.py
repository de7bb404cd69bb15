"""The self-test before anything is decided, and ``regime pm liveness`` in the terminal."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tests.gate_samples import tree
from tests.unit.services.test_liveness import record, tally
from typer.testing import CliRunner

from regime_trading import pm
from regime_trading.bootstrap import selftest
from regime_trading.bootstrap.liveness import newest_backtest
from regime_trading.cli import app
from regime_trading.core.rules import RULE_IDS
from regime_trading.guards import chain
from regime_trading.services.liveness import record_bytes

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _at_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("REGIME_ARTIFACTS", raising=False)
    monkeypatch.delenv("REGIME_CONFIG", raising=False)
    selftest.require_live_rules.cache_clear()
    yield
    selftest.require_live_rules.cache_clear()


def call(*words: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], input=stdin)


# --- the self-test ----------------------------------------------------------------------------------------


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """CC-02 and XL-04 let everything pass."""

    def passes(view: Any, params: Any) -> Any:
        said = chain.REGISTRY["UT-14"](view, {"windows": [()] * view.n_accounts})
        return replace(said, codes=())

    for rule_id in ("CC-02", "XL-04"):
        monkeypatch.setitem(chain.REGISTRY, rule_id, passes)


@pytest.mark.usefixtures("asleep")
@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (["run", "--symbols", "KO,PEP", "--as-of", "1993-12-31"], None),
        (["backtest", "--symbols", "KO,PEP", "--to", "1991-12-31"], None),
        (["pm", "decide"], json.dumps(tree())),
        (["pm", "liveness"], None),
    ],
)
def test_a_silent_rule_stops_every_command_that_decides(
    words: list[str], stdin: str | None, tmp_path: Path
) -> None:
    done = call(*words, "--artifacts", tmp_path / "a", stdin=stdin)
    assert done.exit_code == 1 and done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert "CC-02 Gross exposure, XL-04 Days to liquidate" in line and "nothing was decided" in line
    assert not (tmp_path / "a").exists(), "nothing is read, nothing is written"


@pytest.mark.usefixtures("asleep")
def test_the_library_refuses_too_and_goes_on_refusing() -> None:
    for _ in range(2):
        with pytest.raises(selftest.SilentRules) as caught, pm.Gate("config", stateless=True) as gate:
            gate.decide(tree())
        assert caught.value.rule_ids == ("CC-02", "XL-04")


def test_every_rule_is_fired_once_per_process(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(selftest, "silent_rules", lambda: calls.append(1) or ())
    for _ in range(2):
        with pm.Gate("config", stateless=True) as gate:
            gate.decide(tree())
    assert calls == [1]


# --- the table --------------------------------------------------------------------------------------------


def write_backtest(artifacts: Path, run_id: str, at_s: int, *, finished: bool = True) -> None:
    home = artifacts / "runs" / run_id
    home.mkdir(parents=True)
    bound = tally(evaluated=8_318, bound=5, unknown=2, last_bound="2008-01-14T21:00:00Z")
    (home / "rules.json").write_bytes(record_bytes(record(VT_01=bound).model_copy(update={"run_id": run_id})))
    os.utime(home / "rules.json", (at_s, at_s))
    if finished:
        (home / "summary.json").write_text("{}")


def test_the_newest_finished_backtest_is_counted(tmp_path: Path) -> None:
    assert newest_backtest(tmp_path) is None
    write_backtest(tmp_path, "bt-b", 2_000)
    write_backtest(tmp_path, "bt-c", 1_000)
    write_backtest(tmp_path, "bt-d", 3_000, finished=False)
    assert newest_backtest(tmp_path) == "bt-b"
    for words, run_id in (([], "bt-b"), (["--run", "bt-c"], "bt-c")):
        done = call("pm", "liveness", "--artifacts", tmp_path, "--json", *words)
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout)["run_id"] == run_id and done.stdout.count("\n") == 1


def test_the_table_is_readable_at_a_hundred_columns(tmp_path: Path) -> None:
    write_backtest(tmp_path, "bt-b", 2_000)
    done = call("pm", "liveness", "--artifacts", tmp_path, "--account", "north-pier/core")
    assert done.exit_code == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.startswith("Run bt-b on source bundled, 2008-01-02 to 2008-01-15")
    assert max(len(line) for line in lines) <= 100
    told = {line[:5]: line for line in lines if line[:5] in RULE_IDS}
    assert tuple(told) == RULE_IDS, "one line per rule, in the order of the guards"
    assert told["VT-01"].split()[3:] == ["8,318", "5", "2", "-", "-", "2008-01-14", "reachable"]
    assert sum(line.startswith("Guard ") for line in lines) == 6
    summary = dict(part.rsplit(" ", 1) for part in lines[-1].split(", "))
    assert list(summary) == ["reachable", "off", "not evaluable", "never bound"]
    assert int(summary["never bound"]) == int(summary["reachable"]) - 1


def test_without_a_record_it_says_reach_only(tmp_path: Path) -> None:
    done = call("pm", "liveness", "--artifacts", tmp_path, "--account", "north-pier/core")
    assert done.exit_code == 0, done.stderr
    assert "Nothing is recorded yet" in done.stdout and "reach only" in done.stdout
    assert "evaluated" not in done.stdout and "never bound" not in done.stdout
    assert not list(tmp_path.iterdir()), "asking writes nothing"


def test_every_account_is_shown_and_one_that_was_not_run_says_so(tmp_path: Path) -> None:
    write_backtest(tmp_path, "bt-b", 2_000)
    done = call("pm", "liveness", "--artifacts", tmp_path)
    assert "north-pier/core: 10 decisions" in done.stdout
    assert "kestrel-lane/growth: not in this run" in done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--account", "nobody/none"], "expected an account: north-pier/core"),
        (["--run", "bt-none"], "--run: expected a finished run of the artifacts folder, found bt-none"),
    ],
)
def test_what_is_not_there_is_bad_input(words: list[str], told: str, tmp_path: Path) -> None:
    done = call("pm", "liveness", "--artifacts", tmp_path, *words)
    assert done.exit_code == 2 and done.stdout == ""
    assert told in done.stderr and len(done.stderr.strip().splitlines()) == 1
