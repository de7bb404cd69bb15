"""The sample of the specification loads as it is written, and each of its counter-examples is refused."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from regime_trading.adapters.config_files import Configuration, load_configuration
from regime_trading.cli import app
from regime_trading.core.errors import BadInput
from regime_trading.core.rules import RULE_BY_KEY
from regime_trading.core.schemas import Mode
from regime_trading.core.trader_profile import explain
from regime_trading.core.traders import AccountType

HERE = Path(__file__).parent
SAMPLE = (HERE / "sample_traders.yaml").read_text(encoding="utf-8")
EQUITY, CRYPTO = "north-pier/np-core-equity", "north-pier/np-crypto"
FUTURES, FX = "kestrel-lane/kl-eval-fut-50k", "kestrel-lane/kl-fx-100k"


@pytest.fixture(scope="module")
def sample() -> Configuration:
    return load_configuration(HERE / "sample_settings.yaml", HERE / "sample_traders.yaml")


def in_force(sample: Configuration, account: str, path: str) -> Any:
    """Value in force of a risk parameter, as JSON."""
    profile = next(p for p in sample.profiles if p.account == account)
    _, key, *rest = path.split(".")
    spec = RULE_BY_KEY[key]
    name = rest[0] if rest else str(spec.principal)
    return profile.rules[spec.rule_id].model_dump(mode="json")[name]


def folder(home: Path, text: str = SAMPLE) -> Path:
    """A configuration folder with ``text`` as its traders file."""
    home.mkdir(exist_ok=True)
    shutil.copy(HERE / "sample_settings.yaml", home / "settings.yaml")
    (home / "traders.yaml").write_text(text, encoding="utf-8")
    return home


def regime(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_sample_is_valid(tmp_path: Path) -> None:
    told = regime("config", "validate", "--config", folder(tmp_path / "config"), "--json")
    assert (told.exit_code, json.loads(told.stdout)) == (0, {"ok": True, "findings": []})


def test_every_account_stands_as_it_says(sample: Configuration) -> None:
    modes = {profile.account: profile.mode for profile in sample.profiles}
    assert modes == {
        EQUITY: Mode.SHADOW,
        CRYPTO: Mode.GATED_LIVE,
        FUTURES: Mode.SHADOW,
        FX: Mode.DRY_RUN,
    }
    assert all(profile.baskets == () for profile in sample.profiles)


@pytest.mark.parametrize(
    ("account", "path", "value"),
    [
        (EQUITY, "risk.sigma_target", "0.08"),
        (EQUITY, "risk.single_name", "0.15"),
        (EQUITY, "risk.allow", ["GLD", "IWM", "QQQ", "SPY", "TLT"]),
        (EQUITY, "risk.deny", ["LUNAUSD"]),
        (EQUITY, "risk.permissions.classes", ["crypto", "equity", "fx"]),
        (EQUITY, "risk.flat_by.allowed", True),
        (EQUITY, "risk.drawdown.hysteresis", "0.02"),
        (CRYPTO, "risk.participation.entry_adv", "0.005"),
        (CRYPTO, "risk.book.max_spread_bps", "30"),
        (FUTURES, "risk.daily_loss.limit_money", "700"),
        (FUTURES, "risk.daily_loss.anchor", "balance"),
        (FUTURES, "risk.max_loss_eod.amount", "2000"),
        (FUTURES, "risk.max_loss_eod.lock_at", "initial"),
        (FUTURES, "risk.consistency.best_day_share", "0.5"),
        (FUTURES, "risk.flat_by.at", "15:08"),
        (FUTURES, "risk.flat_by.zone", "America/Chicago"),
        (FUTURES, "risk.max_contracts.mini_equivalents", "5"),
        (FUTURES, "risk.direction.hedge_groups", [["ES", "MES", "MNQ", "NQ"]]),
        (FUTURES, "risk.lifecycle.start", "2026-12-01"),
        (FX, "risk.max_loss_static.limit_pct", "0.1"),
        (FX, "risk.news.mode", "no_trade"),
        (FX, "risk.news.pre_flatten", True),
        (FX, "risk.leverage", "5"),
        (FX, "risk.gross", "2"),
    ],
)
def test_what_is_in_force(sample: Configuration, account: str, path: str, value: Any) -> None:
    assert in_force(sample, account, path) == value


def test_a_time_to_be_flat_by_is_in_the_zone_of_the_trading_day(sample: Configuration) -> None:
    profile = next(p for p in sample.profiles if p.account == FUTURES)
    step = explain(profile, "risk.flat_by.zone")[-1]
    assert (step.layer, step.value, step.winning) == ("preset", "America/Chicago", True)


def test_the_evaluation_has_its_target_in_money(sample: Configuration) -> None:
    profile = next(p for p in sample.profiles if p.account == FUTURES)
    assert profile.account_type is AccountType.PROP_EVAL
    assert profile.lifecycle is not None
    assert profile.lifecycle.profit_target_pct == Decimal("0.06")
    assert profile.trading_day.close_at == "15:10"


def test_only_a_broker_knows_the_capital_of_two_of_them(sample: Configuration) -> None:
    stated = {profile.account: profile.stated_capital for profile in sample.profiles}
    assert stated == {EQUITY: None, CRYPTO: None, FUTURES: Decimal(50_000), FX: Decimal(100_000)}


def test_the_firms_governance_reaches_its_accounts(sample: Configuration) -> None:
    profile = sample.profiles[0]
    assert profile.governance.approver_roles == ("Admin", "PM")
    assert "governance.**" in profile.sealed_paths
    (step,) = explain(profile, "governance.loosen_approvers")
    assert (step.layer, step.value) == ("firm", 2)


def test_a_run_still_refuses_the_modes_it_does_not_serve(tmp_path: Path) -> None:
    prices = tmp_path / "prices.csv"
    prices.write_text("ts_event,AAA\n2020-01-02T21:00:00Z,1\n2020-01-03T21:00:00Z,1\n")
    config, artifacts = folder(tmp_path / "config"), tmp_path / "artifacts"
    for command in ("run", "backtest"):
        told = regime(
            command, "--source", prices, "--symbols", "AAA", "--config", config, "--artifacts", artifacts
        )
        assert told.exit_code == 2
        assert "dry_run" in told.stderr and EQUITY in told.stderr


def test_an_account_without_baskets_wants_proposals(tmp_path: Path) -> None:
    prices = tmp_path / "prices.csv"
    prices.write_text("ts_event,AAA\n2020-01-02T21:00:00Z,1\n2020-01-03T21:00:00Z,1\n")
    config, artifacts = folder(tmp_path / "config"), tmp_path / "artifacts"
    for command in ("run", "backtest"):
        told = regime(
            command, "--source", prices, "--accounts", FX, "--config", config, "--artifacts", artifacts
        )
        assert told.exit_code == 2
        assert FX in told.stderr and "proposals or symbols" in told.stderr


# --- the counter-examples -----------------------------------------------------------------------------------

PRESET, FIRM, ACCOUNT = "preset eval_eod_trailing_50k@2", "firm north-pier", f"account {EQUITY}"
RISK = 'risk: {sigma_target: "0.08",'

COUNTER_EXAMPLES = {
    "looser volatility": (
        'sigma_target: "0.08"', 'sigma_target: "0.20"',
        "risk.sigma_target", [FIRM, ACCOUNT], ["at most 0.1", FIRM, "0.2 in account"],
    ),
    "no drawdown limit": (
        RISK, f"{RISK} drawdown: unlimited,",
        "risk.drawdown", [FIRM, ACCOUNT], ["nowhere looser", FIRM, "unlimited in account"],
    ),
    "misspelt key": (
        RISK, f"{RISK} max_postion: 3,",
        "risk.max_postion", [ACCOUNT], ["'max_positions'"],
    ),
    "percentage for a fraction": (
        'daily_loss: {id: LD-01, limit_pct: "0.015"', "daily_loss: {id: LD-01, limit_pct: 5",
        "risk.daily_loss.limit_pct", [FIRM], ["did you mean 0.05?"],
    ),
    "an id twice": (
        'id: "np-crypto"', 'id: "np-core-equity"',
        "firms.0.accounts.1.id", [ACCOUNT], ["not used before", "line 38"],
    ),
    "no such zone": (
        '"America/New_York"', '"CET+1"',
        "firms.0.accounts.0.trading_day.zone", [ACCOUNT], ["IANA"],
    ),
    "no such zone in a preset": (
        '"America/Chicago"', '"CET+1"',
        "presets.eval_eod_trailing_50k@2.trading_day.zone", [PRESET], ["IANA"],
    ),
    "a preset of a preset": (
        '    initial_capital: "50000"', '    preset: "eval_static_100k_2step@1"',
        "presets.eval_eod_trailing_50k@2.preset", [PRESET], ["presets do not refer to presets"],
    ),
    "a ladder that is not monotone": (
        '["0.08", "0.50"]', '["0.04", "0.50"]',
        "risk.drawdown", [FIRM], ["both get stricter"],
    ),
    "act before warn": (
        'act: "0.85", on_act', 'act: "0.75", on_act',
        "risk.daily_loss", [PRESET], ["soft < warn < act"],
    ),
    "an unquoted time": (
        'reset_at: "17:00"', "reset_at: 17:00",
        "presets.eval_eod_trailing_50k@2.trading_day.reset_at", [], ['quoted ("17:00")'],
    ),
    "a session override in the file": (
        "sessions: []", "sessions: [{path: risk.gross}]",
        "sessions", [], ["regime config override"],
    ),
    "too few approvers": (
        "loosen_approvers: 2", "loosen_approvers: 1",
        "firms.0.governance.loosen_approvers", [FIRM], ["greater than or equal to 2"],
    ),
    "a universe that widens": (
        'allow: ["MES", "MNQ", "MGC"]', 'allow: ["MES", "MNQ", "MGC"], clases: []',
        "firms.1.accounts.0.universe.clases", [f"account {FUTURES}"], ["'classes'"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTER_EXAMPLES)
def test_each_counter_example(tmp_path: Path, name: str) -> None:
    old, new, path, layers, words = COUNTER_EXAMPLES[name]
    assert old in SAMPLE
    config = folder(tmp_path / "config", SAMPLE.replace(old, new, 1))
    line = SAMPLE[: SAMPLE.index(old)].count("\n") + 1
    told = regime("config", "validate", "--config", config, "--json")
    assert told.exit_code == 2, told.stdout
    answer = json.loads(told.stdout)
    assert answer["ok"] is False
    finding = answer["findings"][0]
    assert (finding["path"], finding["line"], finding["layers"]) == (path, line, layers)
    assert finding["message"].startswith(f"{(config / 'traders.yaml').as_posix()}:{line} {path}: expected ")
    for word in words:
        assert word in finding["message"]
    plain = regime("config", "validate", "--config", config)
    assert plain.exit_code == 2 and finding["message"] in plain.stderr.replace("\n", "")


def test_a_looser_session_override_is_refused(tmp_path: Path) -> None:
    config, artifacts = folder(tmp_path / "config"), tmp_path / "artifacts"
    words = ["config", "override", FX, "risk.news.mode", "no_increase", "--ttl", "4h", "--reason", "hurry"]
    told = regime(*words, "--config", config, "--artifacts", artifacts)
    assert told.exit_code == 2
    line = SAMPLE[: SAMPLE.index("pre_flatten")].count("\n") + 1
    for word in (
        "risk.news.mode: expected no_trade or stricter",
        "preset eval_static_100k_2step@1",
        f"traders.yaml:{line})",
        "no_increase in session override",
    ):
        assert word in told.stderr
    listed = regime("config", "overrides", "--config", config, "--artifacts", artifacts, "--json")
    assert json.loads(listed.stdout) == {"overrides": []}


def test_an_unknown_schema_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="schema_version: expected 1 or 3, found 2"):
        home = folder(tmp_path / "config", SAMPLE.replace("schema_version: 3", "schema_version: 2"))
        load_configuration(home / "settings.yaml", home / "traders.yaml")
