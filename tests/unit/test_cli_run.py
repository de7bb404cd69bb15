"""`regime run` in the terminal: exit codes, one sentence per error, and nothing but JSON on stdout with ``--json``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from regime_trading import __version__
from regime_trading.cli import app
from regime_trading.core.errors import NotDurable

ROOT = Path(__file__).parents[2]
RUN = ["run", "--symbols", "KO,PEP", "--as-of", "1993-12-31"]


@pytest.fixture(autouse=True)
def _at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("REGIME_ARTIFACTS", raising=False)
    monkeypatch.delenv("REGIME_CONFIG", raising=False)


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def fails(code: int, *words: str | Path) -> str:
    """The one line on stderr of a command that must fail."""
    done = call(*words)
    assert done.exit_code == code, (done.stdout, done.stderr)
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if not line.endswith("finished")]
    assert line.startswith("regime: ") and "Traceback" not in line
    return line


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


def test_version_and_help() -> None:
    assert call("--version").stdout.strip() == __version__
    shown = call("--help").stdout
    for command in ("run", "backtest", "schema", "config"):
        assert command in shown


def test_a_run_answers_in_json_and_leaves_its_files(artifacts: Path) -> None:
    done = call(*RUN, "--artifacts", artifacts, "--json")
    assert done.exit_code == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert list(answer) == ["run_id", "as_of", "path", "accounts", "status", "waiting"]
    assert answer["as_of"] == "1993-12-31T21:00:00Z"
    assert [sorted(item) for item in answer["accounts"]] == [
        ["account", "approval", "binding_rules", "outcome", "trading_state"]
    ] * 4
    folder = Path(answer["path"])
    assert folder == artifacts / "runs" / answer["run_id"]
    for name in ("report.md", "report.html", "market/regime.json", "firms/north-pier/report.html"):
        assert (folder / name).stat().st_size > 0


def test_people_get_a_table_and_the_place_of_the_report(artifacts: Path) -> None:
    done = call(*RUN, "--artifacts", artifacts)
    assert done.exit_code == 0, done.stderr
    assert "north-pier/core" in done.stdout and "report.html" in done.stdout
    assert "verified and re-used" in done.stdout


def test_a_firm_does_not_see_another(artifacts: Path) -> None:
    answer = json.loads(call(*RUN, "--artifacts", artifacts, "--json").stdout)
    own = Path(answer["path"]) / "firms" / "north-pier"
    for path in sorted(own.rglob("*")):
        if path.is_file():
            assert b"kestrel" not in path.read_bytes().lower(), path
    shared = Path(answer["path"]) / "market"
    for path in sorted(shared.rglob("*")):
        if path.is_file():
            assert b"kestrel" not in path.read_bytes().lower(), path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--symbols", "NOPE"], "NOPE"),
        (["--basket", "nope"], "us-core"),
        (["--source", "no-such-file.csv"], "no-such-file.csv"),
        (["--as-of", "yesterday"], "--as-of: expected a date"),
        (["--as-of", "1980-01-01"], "1990"),
        (["--effort", "heroic"], "fast or thorough"),
        (["--resume", "run-none"], "run-none"),
        (["--accounts", "nobody"], "north-pier/core"),
        (["--proposal", "none.json"], "none.json"),
        (["--config", "no-such-folder"], "no-such-folder"),
        (["--basket", "us-core", "--symbols", "KO"], "one of a basket"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(tmp_path: Path, words: list[str], told: str) -> None:
    assert told in fails(2, "run", "--artifacts", tmp_path, *words)


def test_bad_usage_is_exit_2() -> None:
    for words in (["run", "--nonsense"], ["nonsense"], ["schema", "a", "b"]):
        done = call(*words)
        assert done.exit_code == 2 and done.stdout == ""


def test_an_error_in_json_is_json_on_stdout_too(tmp_path: Path) -> None:
    done = call("run", "--artifacts", tmp_path, "--as-of", "never", "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"]["exit_code"] == 2


def test_a_failed_check_is_exit_3(tmp_path: Path, artifacts: Path) -> None:
    answer = json.loads(call(*RUN, "--artifacts", artifacts, "--json").stdout)
    copy = tmp_path / "copy"
    shutil.copytree(artifacts, copy)
    page = copy / "runs" / answer["run_id"] / "report.md"
    page.write_text(page.read_text() + "x")
    assert "report.md" in fails(3, *RUN, "--artifacts", copy)


def test_an_unexpected_error_is_exit_1_and_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import regime_trading.bootstrap.app as bootstrap

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("x")

    monkeypatch.setattr(bootstrap, "wire", broken)
    assert "unexpected ZeroDivisionError: x (--debug" in fails(1, "run", "--artifacts", tmp_path)
    assert "broken" in call("run", "--artifacts", tmp_path, "--debug").stderr


def test_the_users_own_weights_go_through_every_guard(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("symbol,weight\nKO,0.9\nPEP,0.05\n")
    done = call(
        "run", "--proposal", path, "--as-of", "1993-12-31", "--artifacts", tmp_path / "a", "--json",
        "--accounts", "north-pier/core",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    (account,) = answer["accounts"]
    assert account["outcome"] == "resize" and "CC-01" in account["binding_rules"]
    decisions = json.loads((Path(answer["path"]) / "firms/north-pier/decisions.json").read_text())
    targets = {target["symbol"]: target for target in decisions[0]["targets"]}
    assert targets["KO"]["proposed_w"] == "0.9" and float(targets["KO"]["target_w"]) <= 0.15


def test_a_run_that_stops_half_way_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from regime_trading.adapters.artifacts import LocalArtifacts

    real = LocalArtifacts.write_bytes

    def full(self: LocalArtifacts, relative: str, data: bytes) -> Path:
        if relative.endswith("report.html"):
            raise NotDurable("disk full")
        return real(self, relative, data)

    with monkeypatch.context() as patch:
        patch.setattr(LocalArtifacts, "write_bytes", full)
        done = call(*RUN, "--artifacts", tmp_path)
    assert done.exit_code == 1 and "regime: disk full" in done.stderr
    (hint,) = [
        line for line in done.stderr.splitlines() if line.startswith("To continue: regime run --resume ")
    ]
    done = call("run", "--resume", hint.split()[-1], "--artifacts", tmp_path, "--json")
    assert done.exit_code == 0, done.stderr
    assert [line.split()[1] for line in done.stderr.splitlines()] == ["summarizer"]


def test_schema() -> None:
    names = call("schema").stdout.split()
    assert "PMDecision" in names and names == sorted(names)
    for name in names:
        assert json.loads(call("schema", name).stdout)["title"] == name
    assert "PMDecision" in fails(2, "schema", "PMDecison")


def test_config_validate(tmp_path: Path) -> None:
    assert json.loads(call("config", "validate", "--json").stdout) == {"ok": True, "findings": []}
    shutil.copytree(ROOT / "config", tmp_path / "config")
    path = tmp_path / "config" / "traders.yaml"
    path.write_text(path.read_text().replace('sigma_target: "0.08"', 'sigma_target: "0.5"', 1))
    done = call("config", "validate", "--config", tmp_path / "config", "--json")
    answer = json.loads(done.stdout)
    assert done.exit_code == 2 and answer["ok"] is False
    assert set(answer["findings"][0]) == {"path", "file", "line", "layers", "direction", "message"}
    assert answer["findings"][0]["direction"] == "looser"
    told = call("config", "validate", "--config", tmp_path / "config")
    assert told.exit_code == 2 and "sigma_target" in told.stderr


def test_config_explain() -> None:
    steps = json.loads(call("config", "explain", "north-pier/core", "risk.gross", "--json").stdout)["steps"]
    assert any(step["winning"] for step in steps) and "firm north-pier" in [s["layer"] for s in steps]
    assert "in force" in call("config", "explain", "north-pier/core", "risk.gross").stdout
    assert "risk.gross" in fails(2, "config", "explain", "north-pier/core", "risk.gros")
    assert "north-pier/core" in fails(2, "config", "explain", "nobody/x", "risk.gross")
