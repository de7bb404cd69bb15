"""``regime config`` in the terminal, and what it changes for ``regime run``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_cli import prices
from typer.testing import CliRunner, Result

from regime_trading.adapters.database import SqlLastGood, open_database, sqlite_url
from regime_trading.cli import app

ROOT = Path(__file__).parents[2]
CORE = "north-pier/core"
TRADERS = (ROOT / "config" / "traders.yaml").read_text()
GROSS = '      gross: "1.0"'


@pytest.fixture(autouse=True)
def _shipped_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REGIME_CONFIG", str(ROOT / "config"))
    monkeypatch.setenv("REGIME_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.chdir(tmp_path)


def regime(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def answer(*words: str | Path, code: int = 0) -> dict[str, Any]:
    told = regime(*words, "--json")
    assert told.exit_code == code, (told.stdout, told.stderr)
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def changed(folder: Path, *pairs: tuple[str, str]) -> Path:
    """The shipped configuration with some words changed, in a folder of its own."""
    shutil.copytree(ROOT / "config", folder)
    text = TRADERS
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "traders.yaml").write_text(text)
    return folder


def line_of(text: str) -> int:
    return TRADERS[: TRADERS.index(text)].count("\n") + 1


# --- diff -----------------------------------------------------------------------------------------------------


def test_diff_tells_every_key_with_both_places(tmp_path: Path) -> None:
    new = changed(
        tmp_path / "new",
        ('sigma_target: "0.08"', 'sigma_target: "0.06"'),
        ('          daily_loss: "0.025"\n', '          net: "0.9"\n'),
        ('share: "0.7"', 'share: "0.6"'),
    )
    told = answer("config", "diff", ROOT / "config", new)
    assert told["ok"] is False
    by_path = {finding["path"]: finding for finding in told["findings"]}
    assert {path: finding["direction"] for path, finding in by_path.items()} == {
        "risk.sigma_target.sigma_target": "tightens",
        "risk.daily_loss.limit_pct": "loosens",
        "risk.net.max_net": "tightens",
        "baskets.us-defensive.share": "neutral",
    }
    sigma = by_path["risk.sigma_target.sigma_target"]
    assert (sigma["old"], sigma["new"], sigma["account"]) == ("0.08", "0.06", "north-pier/defensive")
    line = line_of('sigma_target: "0.08"')
    assert (sigma["line"], sigma["old_line"]) == (line, line)
    assert sigma["file"] == (new / "traders.yaml").as_posix()
    assert sigma["layers"] == sigma["old_layers"] == ["account north-pier/defensive"]
    removed = by_path["risk.daily_loss.limit_pct"]
    assert "account kestrel-lane/growth no longer says it" in removed["message"]
    assert (removed["layers"], removed["old_layers"]) == (
        ["firm kestrel-lane"],
        ["account kestrel-lane/growth"],
    )
    plain = regime("config", "diff", ROOT / "config", new)
    assert plain.exit_code == 0 and "4 changes: 1 loosens, 2 tightens, 1 neutral." in plain.stdout
    assert f"new/traders.yaml:{line}]" in plain.stdout


def test_diff_takes_one_file_and_defaults_to_the_configured_folder(tmp_path: Path) -> None:
    old = tmp_path / "old.yaml"
    old.write_text(TRADERS.replace('sigma_target: "0.08"', 'sigma_target: "0.06"', 1))
    told = answer("config", "diff", old)
    assert [(f["old"], f["new"], f["direction"]) for f in told["findings"]] == [("0.06", "0.08", "loosens")]
    assert answer("config", "diff", ROOT / "config") == {"ok": True, "findings": []}
    assert "No change." in regime("config", "diff", ROOT / "config").stdout


def test_diff_of_what_is_no_configuration(tmp_path: Path) -> None:
    told = regime("config", "diff", tmp_path / "nowhere")
    assert told.exit_code == 2 and "nowhere" in told.stderr
    broken = changed(tmp_path / "broken", (GROSS, GROSS.replace("gross", "gros")))
    told = regime("config", "diff", broken)
    assert told.exit_code == 2 and "'gross'" in told.stderr


# --- whatif ---------------------------------------------------------------------------------------------------


def test_whatif_replays_and_writes_nothing(tmp_path: Path) -> None:
    source = prices(tmp_path, n_bars=60)
    new = changed(tmp_path / "new", ('single_name: "0.15"', 'single_name: "0.01"'))
    words = ["config", "whatif", new, "--source", source, "--days", "5", "--account", CORE]
    told = answer(*words)
    assert told["ok"] is True
    assert {finding["account"] for finding in told["findings"]} == {CORE}
    (item,) = told["replay"]["accounts"]
    assert (item["account"], item["decisions"]) == (CORE, 5)
    plain = regime(*words)
    assert plain.exit_code == 0, plain.stderr
    assert "Replay of 5 days" in plain.stdout and f"{CORE}: " in plain.stdout
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--days", "0"], "--days"),
        (["--from", "yesterday"], "--from"),
        (["--days", "5", "--from", "2020-01-10"], "not both"),
        (["--account", "north-pier/cor"], "north-pier/core"),
    ],
)
def test_what_cannot_be_replayed(tmp_path: Path, words: list[str], told: str) -> None:
    done = regime("config", "whatif", ROOT / "config", "--source", prices(tmp_path), *words)
    assert done.exit_code == 2 and told in done.stderr


# --- session overrides ----------------------------------------------------------------------------------------

AS_OF = "2021-02-01T12:00:00Z"  #: within the session that ends with the last bar of 280


def test_a_dry_run_obeys_an_override_while_it_is_in_force(tmp_path: Path) -> None:
    source = prices(tmp_path, n_bars=280)
    run = ["run", "--source", source, "--accounts", CORE]
    before = answer(*run)
    start = before["as_of"].replace("T21:00:00Z", "T12:00:00Z")
    value = ["config", "override", CORE, "risk.single_name", "0.01", "--ttl", "12h", "--reason", "a bad day"]
    made = answer(*value, "--as-of", start)
    assert (made["account"], made["value"], made["created_by"]) == (CORE, "0.01", "service:local")
    after = answer(*run)
    assert after["run_id"] != before["run_id"]
    assert "CC-01" in after["accounts"][0]["binding_rules"]
    decisions = json.loads((tmp_path / after["path"] / "firms/north-pier/decisions.json").read_text())
    assert all(abs(float(target["target_w"])) <= 0.01 for target in decisions[0]["targets"])
    earlier = answer(*run, "--as-of", "2021-01-04")
    assert "CC-01" not in earlier["accounts"][0]["binding_rules"], "it was not made yet"
    assert answer("config", "overrides", CORE, "--as-of", start)["overrides"] == [made]
    assert answer("config", "overrides")["overrides"] == []
    listed = regime("config", "overrides", "--as-of", start)
    assert "risk.single_name" in listed.stdout and "a bad day" in listed.stdout
    assert "No override is in force." in regime("config", "overrides").stdout


def test_an_override_ends_with_its_session_unless_it_is_exact() -> None:
    words = ["config", "override", CORE, "risk.gross", "0.5", "--ttl", "1h", "--reason", "x", "--as-of"]
    plain, exact = answer(*words, AS_OF), answer(*words, "2021-02-01T12:00:01Z", "--exact")
    assert (plain["expires_at"], plain["ends_at"]) == ("2021-02-01T13:00:00Z", "2021-02-01T22:00:00Z")
    assert exact["expires_at"] == exact["ends_at"] == "2021-02-01T13:00:01Z"
    told = regime(*words, "2021-02-01T12:00:02Z")
    assert told.exit_code == 0 and "until 2021-02-01T22:00:00Z" in told.stdout


@pytest.mark.parametrize(
    ("value", "more", "told"),
    [
        ("5", [], "at most 1, as set by firm north-pier"),
        ("0.5", ["--ttl", "25h"], "at most 24 h"),
        ("0.5", ["--reason", ""], "reason"),
    ],
)
def test_an_override_that_is_refused(value: str, more: list[str], told: str) -> None:
    words = ["config", "override", CORE, "risk.gross", value, "--ttl", "4h", "--reason", "a bad day"]
    done = regime(*words, *more)
    assert done.exit_code == 2 and told in done.stderr
    assert answer("config", "overrides")["overrides"] == []


@pytest.mark.parametrize("missing", ["--ttl", "--reason"])
def test_ttl_and_reason_are_mandatory(missing: str) -> None:
    words = {"--ttl": "4h", "--reason": "x"}
    del words[missing]
    more = [word for pair in words.items() for word in pair]
    assert regime("config", "override", CORE, "risk.gross", "0.5", *more).exit_code == 2


# --- last known good ------------------------------------------------------------------------------------------


def test_a_firm_that_cannot_be_accepted_does_not_stop_the_other(tmp_path: Path) -> None:
    source = prices(tmp_path, n_bars=280)
    answer("run", "--source", source)
    engine = open_database(sqlite_url(tmp_path / "artifacts" / "state" / "regime.db"))
    assert SqlLastGood(engine, firm_id="north-pier").accounts() == (CORE, "north-pier/defensive")
    broken = changed(tmp_path / "broken", (GROSS, GROSS.replace("gross", "gros")))
    told = regime("run", "--source", source, "--config", broken, "--json")
    assert told.exit_code == 0, told.stderr
    decided = {
        account["account"]: account["trading_state"] for account in json.loads(told.stdout)["accounts"]
    }
    assert decided == {
        "kestrel-lane/eval-100k": "NORMAL",
        "kestrel-lane/growth": "NORMAL",
        CORE: "REDUCE_ONLY",
        "north-pier/defensive": "REDUCE_ONLY",
    }
    for account in (CORE, "north-pier/defensive"):
        said = f"{account} is decided under its last good configuration, config_status STALE, REDUCE_ONLY: "
        assert said in told.stderr
    assert "'gross'" in told.stderr


def test_without_a_last_good_one_the_accounts_are_locked(tmp_path: Path) -> None:
    broken = changed(tmp_path / "broken", (GROSS, GROSS.replace("gross", "gros")))
    told = regime("run", "--source", prices(tmp_path, n_bars=280), "--config", broken)
    assert told.exit_code == 0
    assert f"{CORE} is not decided, config_status INVALID, LOCKED: " in told.stderr


def test_without_any_valid_account_nothing_runs(tmp_path: Path) -> None:
    broken = changed(tmp_path / "broken", ("schema_version: 1", "schema_version: 9"))
    for command in ("run", "backtest"):
        assert regime(command, "--source", prices(tmp_path), "--config", broken).exit_code == 2
    one = changed(tmp_path / "one", (GROSS, GROSS.replace("gross", "gros")))
    assert regime("backtest", "--source", prices(tmp_path), "--config", one).exit_code == 2, (
        "a study is whole"
    )


def test_explain_tells_where_the_terms_of_a_preset_are_published(tmp_path: Path) -> None:
    words = (
        '    source_url: "https://example.org/terms"\n    read_on: "2026-11-22"\n    account_type: prop_eval'
    )
    new = changed(tmp_path / "new", ("    account_type: prop_eval", words))
    explain = ["config", "explain", "kestrel-lane/eval-100k", "risk.daily_loss", "--config", new]
    (step,) = [step for step in answer(*explain)["steps"] if step["layer"].startswith("preset")]
    assert (step["source_url"], step["read_on"]) == ("https://example.org/terms", "2026-11-22")
    assert "https://example.org/terms, read on 2026-11-22" in regime(*explain).stdout
    for wrong in ('"example.org"', '"https://"'):
        bad = changed(
            tmp_path / f"bad{len(wrong)}", ("    account_type: prop_eval", f"    source_url: {wrong}")
        )
        assert regime("config", "validate", "--config", bad).exit_code == 2
