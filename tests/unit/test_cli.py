"""The command line: exit codes, one JSON document on stdout, one clear sentence on stderr."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from regime_trading import __version__
from regime_trading.cli import app

ROOT = Path(__file__).parents[2]
NAMES = {"north-pier/core", "north-pier/defensive", "kestrel-lane/eval-100k", "kestrel-lane/growth"}


@pytest.fixture(autouse=True)
def _shipped_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REGIME_CONFIG", str(ROOT / "config"))
    monkeypatch.setenv("REGIME_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.chdir(tmp_path)


def regime(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def prices(folder: Path, rows: Sequence[str] | None = None, *, n_bars: int = 30) -> Path:
    """A tiny source: working days from January 2020 on."""
    days = np.arange("2020-01-02", "2021-12-31", dtype="datetime64[D]")
    moves = np.random.default_rng(5).normal(0, 0.01, (n_bars, 2))
    made = [
        f"{day}T21:00:00Z,{a:.2f},{b:.2f}"
        for day, (a, b) in zip(days[np.is_busday(days)][:n_bars], 100 * np.exp(moves.cumsum(0)), strict=True)
    ]
    path = folder / "prices.csv"
    path.write_text("\n".join(["ts_event,AAA,BBB", *(made if rows is None else rows)]) + "\n")
    return path


def refused(told: Result, *words: str) -> None:
    """Exit code 2, nothing on stdout, one line on stderr that holds every word."""
    assert told.exit_code == 2, (told.stdout, told.stderr)
    assert told.stdout == ""
    (line,) = told.stderr.strip().splitlines()
    assert line.startswith("regime: ") and "Traceback" not in line
    for word in words:
        assert word in line, line


def backtest(path: Path, *more: str | Path) -> Result:
    return regime("backtest", "--source", path, *more)


# --- what is done -----------------------------------------------------------------------------------------


def test_a_backtest_prints_one_json_document_and_nothing_else(tmp_path: Path) -> None:
    source = prices(tmp_path)
    two = ["--accounts", "north-pier/core, kestrel-lane/growth"]
    told = backtest(source, *two, "--json")
    assert told.exit_code == 0, told.stderr
    answer = json.loads(told.stdout)
    assert told.stdout.count("\n") == 1
    assert [a["account"] for a in answer["accounts"]] == ["north-pier/core", "kestrel-lane/growth"]
    assert {"run_id", "path", "bars", "first", "last"} <= set(answer)
    for account in answer["accounts"]:
        assert {"attempts", "return", "max_drawdown", "volatility", "turnover", "rules"} <= set(account)
        assert {"evaluated", "bound", "last_bound"} <= set(account["rules"]["CC-01"])
    assert (tmp_path / answer["path"] / "report.html").is_file()

    again = backtest(source, *two, "--json")
    assert (again.exit_code, json.loads(again.stdout)) == (0, answer)
    words = backtest(source, *two)
    assert words.exit_code == 0 and answer["run_id"] in words.stdout
    assert "verified and re-used" in words.stdout and "north-pier/core" in words.stdout

    (part,) = tmp_path.glob("artifacts/audit/schema=1/firm=north-pier/account=core/run=*/part-*.parquet")
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    bad = backtest(source, *two, "--json")
    assert bad.exit_code == 3
    error = json.loads(bad.stdout)["error"]
    assert error["exit_code"] == 3 and "north-pier/core" in error["message"]
    assert bad.stderr.startswith("regime: sealed run")


def test_a_run_in_a_process_of_its_own_keeps_stdout_for_the_json(tmp_path: Path) -> None:
    code = "import sys; from regime_trading.cli import main; sys.argv[0] = 'regime'; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "--source", str(prices(tmp_path, n_bars=280)), "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ.copy(),
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert set(answer) >= {"run_id", "as_of", "path", "accounts"}
    for account in answer["accounts"]:
        assert set(account) >= {"account", "outcome", "trading_state", "binding_rules"}
    assert {a["account"] for a in answer["accounts"]} == NAMES
    assert "portfolio_manager" in done.stderr, "progress goes to stderr"


def test_version_schemas_and_configuration() -> None:
    assert regime("--version").stdout.strip() == __version__
    told = regime("schema", "PMDecision")
    assert told.exit_code == 0 and told.stderr == ""
    schema = json.loads(told.stdout)
    assert schema["type"] == "object" and {"outcome", "binding_rules", "rationale"} <= set(
        schema["properties"]
    )
    assert "PMDecision" in regime("schema").stdout.split()
    told = regime("config", "validate", "--json")
    assert (told.exit_code, json.loads(told.stdout)) == (0, {"ok": True, "findings": []})
    told = regime("config", "explain", "kestrel-lane/growth", "risk.daily_loss.limit_pct", "--json")
    steps = json.loads(told.stdout)["steps"]
    (winner,) = [step for step in steps if step["winning"]]
    assert "growth" in winner["layer"] and float(winner["value"]) == 0.025


def test_an_invalid_configuration_is_exit_2_with_file_line_and_nearest_key(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    traders = tmp_path / "config/traders.yaml"
    lines = traders.read_text().splitlines()
    number = next(i for i, line in enumerate(lines) if line.strip().startswith("gross:"))
    lines[number] = lines[number].replace("gross:", "gros:")
    traders.write_text("\n".join(lines) + "\n")
    told = regime("config", "validate", "--config", tmp_path / "config", "--json")
    answer = json.loads(told.stdout)
    assert told.exit_code == 2 and answer["ok"] is False
    finding = answer["findings"][0]
    assert finding["file"].endswith("traders.yaml") and finding["line"] == number + 1
    assert "gross" in finding["message"]
    assert {"path", "file", "line", "layers", "direction", "message"} <= set(finding)
    told = regime("config", "validate", "--config", tmp_path / "config")
    assert told.exit_code == 2 and told.stdout == "" and "gros" in told.stderr
    assert backtest(prices(tmp_path), "--config", tmp_path / "config").exit_code == 2


# --- what is refused --------------------------------------------------------------------------------------


def test_an_unknown_source_basket_symbol_or_account(tmp_path: Path) -> None:
    refused(backtest(tmp_path / "nowhere.csv"), "nowhere.csv", "bundled")
    source = prices(tmp_path)
    refused(backtest(source, "--basket", "us-cor"), "us-core", "'us-cor'")
    refused(backtest(source, "--symbols", "AAB"), "'AAB'", "nearest: AAA")
    refused(backtest(source, "--accounts", "north-pier/cor"), "north-pier/core", "'north-pier/cor'")
    refused(regime("run", "--source", source, "--basket", "us-cor"), "us-core", "us-cor")
    refused(regime("schema", "PMDecisio"), "PMDecision")
    refused(regime("config", "explain", "kestrel-lane/growt", "risk.gross"), "kestrel-lane/growth")
    assert not (tmp_path / "artifacts" / "runs").exists()


def test_with_json_an_error_is_a_document_too(tmp_path: Path) -> None:
    told = backtest(tmp_path / "nowhere.csv", "--json")
    assert told.exit_code == 2
    error = json.loads(told.stdout)["error"]
    assert error["exit_code"] == 2 and "nowhere.csv" in error["message"]
    assert told.stderr.startswith("regime: ") and error["message"] in told.stderr


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["2020-01-02T21:00:00Z,1,2", "2020-01-03T21:00:00Z,abc,2"], ["prices.csv", "row 3", "AAA", "abc"]),
        (["2020-01-02T21:00:00Z,1,2", "2020-01-03T21:00:00Z,1"], ["prices.csv", "row 3"]),
        (["2020-01-02T21:00:00,1,2"], ["prices.csv", "row 2", "ts_event", "2020-01-02T21:00:00"]),
        (["2020-01-02,1,2"], ["prices.csv", "row 2", "ts_event"]),
        (["yesterday,1,2"], ["prices.csv", "row 2", "ts_event", "yesterday"]),
        (["2020-01-02T21:00:00Z,1,2", "2020-01-02T21:00:00Z,1,3"], ["prices.csv", "row 3", "BBB"]),
        ([], ["prices.csv"]),
    ],
    ids=["no number", "short row", "naive time", "naive date", "no time", "two values", "empty"],
)
def test_a_malformed_file_is_named_with_row_and_column(
    tmp_path: Path, rows: list[str], words: list[str]
) -> None:
    refused(backtest(prices(tmp_path, rows)), *words)


@pytest.mark.parametrize("option", ["--from", "--to"])
@pytest.mark.parametrize("day", ["02/01/2020", "2020-13-01", "yesterday"])
def test_a_day_that_is_none(tmp_path: Path, option: str, day: str) -> None:
    refused(backtest(prices(tmp_path), option, day), option, repr(day), "1998-01-02")


def test_proposals_that_cannot_be_read(tmp_path: Path) -> None:
    source, mine = prices(tmp_path), tmp_path / "mine.csv"
    mine.write_text("ts_event,symbol,weight\n2020-01-10T21:00:00Z,AAA,much\n")
    refused(backtest(source, "--proposals", mine), "mine.csv", "row 1", "weight", "much")
    mine.write_text("ts_event,symbol\n2020-01-10T21:00:00Z,AAA\n")
    refused(backtest(source, "--proposals", mine), "mine.csv", "weight")
    mine.write_text("ts_event,symbol,weight\n2020-01-10T21:00:00Z,ZZZ,0.5\n")
    refused(backtest(source, "--proposals", mine), "'ZZZ'")


@pytest.mark.parametrize(
    "words", [["backtest", "--no-such-option"], ["no-such-command"], ["run", "--effort", "some"]]
)
def test_wrong_usage_is_exit_2(words: list[str]) -> None:
    told = regime(*words)
    assert told.exit_code == 2 and told.stdout == "" and told.stderr
