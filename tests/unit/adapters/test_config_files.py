"""The two files: what ships loads and is honest, and each mistake has one clear error with its line."""

from __future__ import annotations

import datetime as dt
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from regime_trading.adapters.config_files import (
    Configuration,
    known_zones,
    load_configuration,
    load_firms,
    load_profiles,
    load_settings,
)
from regime_trading.adapters.market_data.bundled import SOURCES, open_bundled
from regime_trading.core.errors import BadInput
from regime_trading.core.risk_stack import covers
from regime_trading.core.rules import (
    BookVolatility,
    DailyLoss,
    DaysToLiquidate,
    FirmDailyLoss,
    Group,
    NewsBlackout,
    Participation,
    RegimeBudget,
    SingleName,
    SmallOrders,
    StaticLoss,
    TrailingDrawdown,
)
from regime_trading.core.schemas import Mode
from regime_trading.core.settings import InvalidConfig, Settings
from regime_trading.core.trader_profile import TraderProfile, explain
from regime_trading.core.traders import AccountType

CONFIG = Path(__file__).parents[3] / "config"


@pytest.fixture(scope="module")
def shipped() -> Configuration:
    return load_configuration(CONFIG / "settings.yaml", CONFIG / "traders.yaml")


def by_account(shipped: Configuration) -> dict[str, TraderProfile]:
    return {profile.account: profile for profile in shipped.profiles}


# --- what ships -----------------------------------------------------------------------------------------------


def test_two_firms_and_four_dry_accounts(shipped: Configuration) -> None:
    assert list(by_account(shipped)) == [
        "north-pier/core",
        "north-pier/defensive",
        "kestrel-lane/eval-100k",
        "kestrel-lane/growth",
    ]
    assert {profile.mode for profile in shipped.profiles} == {Mode.DRY_RUN}
    assert len({profile.config_hash for profile in shipped.profiles}) == 4
    for profile in shipped.profiles:
        assert sum(basket.share for basket in profile.baskets) <= 1
        assert profile.params(FirmDailyLoss).limit_pct < 1
        assert profile.trading_day.zone in known_zones()


def test_the_evaluation_keeps_the_terms_of_its_preset(shipped: Configuration) -> None:
    profile = by_account(shipped)["kestrel-lane/eval-100k"]
    assert profile.account_type is AccountType.PROP_EVAL
    assert profile.initial_capital == 100_000
    assert profile.lifecycle is not None
    assert profile.lifecycle.profit_target_pct == Decimal("0.08")
    daily, static = profile.params(DailyLoss), profile.params(StaticLoss)
    assert (daily.limit_pct, daily.base, daily.anchor) == (Decimal("0.05"), "initial", "balance")
    assert static.limit_pct == Decimal("0.10")
    assert profile.params(NewsBlackout).before_s == 86_400
    firm = [step for step in explain(profile, "risk.daily_loss") if step.layer == "firm"]
    assert [(step.value, step.winning) for step in firm] == [("0.06", False)]  # looser, and so without effect


def test_the_firms_differ_as_the_file_says(shipped: Configuration) -> None:
    core, defensive, _, growth = shipped.profiles
    assert [p.params(BookVolatility).sigma_target for p in (core, defensive, growth)] == [
        Decimal("0.10"),
        Decimal("0.08"),
        Decimal("0.20"),
    ]
    assert core.params(RegimeBudget).random == 1
    assert core.params(RegimeBudget).volatile_trending == Decimal("0.5")
    assert core.params(TrailingDrawdown).ladder[-1].at == Decimal("0.16")
    assert defensive.params(Group).max_group == Decimal("0.35")


def test_each_account_can_open_its_smallest_lot(shipped: Configuration) -> None:
    """At the dearest price of the bundled history, for every symbol of its baskets."""
    datasets = pytest.importorskip("skfolio.datasets")
    dearest = datasets.load_sp500_dataset().max()
    for profile in shipped.profiles:
        throttle = min(Decimal(1), profile.params(BookVolatility).sigma_target)  # a name of 100 % volatility
        symbols = {s for basket in profile.baskets for s in shipped.settings.baskets[basket.name].symbols}
        for symbol in sorted(symbols):
            spec = shipped.settings.instruments.spec(symbol)
            assert spec.adv is not None
            lot = spec.lot * spec.multiplier * Decimal(str(dearest[symbol]))
            liquid = profile.params(DaysToLiquidate)
            room = [
                profile.initial_capital * profile.params(SingleName).max_weight * throttle,
                profile.params(Participation).entry_adv * spec.adv,
                liquid.days * liquid.adv_share * spec.adv,
            ]
            assert lot <= min(room), (profile.account, symbol)
            assert profile.params(SmallOrders).min_notional <= min(room)


def test_baskets_and_instruments_are_the_bundled_names(shipped: Configuration) -> None:
    datasets = pytest.importorskip("skfolio.datasets")
    names = set(datasets.load_sp500_dataset().columns)
    settings = shipped.settings
    assert set(settings.instruments.symbols) == names == set(settings.baskets["us-core"].symbols)
    for basket in settings.baskets.values():
        assert set(basket.symbols) <= names
    for symbol in names:
        spec = settings.instruments.spec(symbol)
        assert spec.group
        assert spec.spread_bps
        assert spec.adv


def test_a_market_proxy_is_a_series_its_source_has(shipped: Configuration) -> None:
    for name in SOURCES:
        assert shipped.settings.sources[name].market_proxy in open_bundled(name).symbols
    assert set(shipped.settings.sources) == {*SOURCES, "files"}


def test_elections_are_the_first_tuesday_after_the_first_monday_of_november(shipped: Configuration) -> None:
    for year, event in zip(range(1992, 2021, 4), shipped.settings.events, strict=True):
        day = dt.datetime.fromisoformat(event.at).date()
        monday = next(d for d in (dt.date(year, 11, n) for n in range(1, 8)) if d.weekday() == 0)
        assert day == monday + dt.timedelta(days=1)
        assert event.id == f"us-election-{year}"


def test_the_file_states_the_defaults_of_the_models(shipped: Configuration) -> None:
    """So that neither can drift: what the file shows is what code without a file uses."""
    for name in ("features", "regime", "structure", "allocation", "contradictor", "execution", "report"):
        assert getattr(shipped.settings, name) == Settings.model_fields[name].default, name
    assert shipped.settings.market_intelligence == Settings.model_fields["market_intelligence"].default


def test_every_step_of_the_provenance_is_on_its_line(shipped: Configuration) -> None:
    lines = (CONFIG / "traders.yaml").read_text().splitlines()
    checked = 0
    for profile in shipped.profiles:
        for path, steps in profile.provenance.items():
            for step in steps:
                if step.file is not None and step.file.endswith("traders.yaml"):
                    assert step.line is not None
                    text = lines[step.line - 1]
                    assert any(f"{key}:" in text for key in path.split(".")[-2:]), (path, text)
                    checked += 1
    assert checked > 60


def test_sealed_paths_reach_the_accounts(shipped: Configuration) -> None:
    core = by_account(shipped)["north-pier/core"]
    assert any(covers(pattern, "risk.drawdown.ladder") for pattern in core.sealed_paths)
    assert any(covers(pattern, "risk.proposal_sanity.gross_max") for pattern in core.sealed_paths)


def test_the_parts_load_alone(shipped: Configuration) -> None:
    settings = load_settings(CONFIG / "settings.yaml")
    assert settings.content_hash() == shipped.settings.content_hash()
    alone = load_profiles(CONFIG / "traders.yaml", settings)
    assert [p.config_hash for p in alone] == [p.config_hash for p in shipped.profiles]
    numbered = load_profiles(CONFIG / "traders.yaml", settings, config_version=7)
    assert {p.config_version for p in numbered} == {7}
    assert [p.config_hash for p in numbered] == [p.config_hash for p in shipped.profiles]


# --- one mistake, one error -------------------------------------------------------------------------------------


def broken(folder: Path, file: str, old: str, new: str) -> tuple[BadInput, int]:
    """The error after one change to one of the shipped files, and the line of the change."""
    for name in ("settings.yaml", "traders.yaml"):
        shutil.copy(CONFIG / name, folder / name)
    text = (CONFIG / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(BadInput) as error:
        load_configuration(folder / "settings.yaml", folder / "traders.yaml")
    return error.value, text[: text.index(old)].count("\n") + 1


FIRM, TIGHT = "firm north-pier", 'turnover: "0.25"'
LADDER = 'drawdown: [["0.03", "0.75"], ["0.05", "0.50"], ["0.08", FLATTEN], ["0.12", LOCKED]]'

TRADERS = [
    ('sigma_target: "0.08"', 'sigma_target: "0.20"', "risk.sigma_target", ["at most 0.1", FIRM]),
    (LADDER, "drawdown: unlimited", "risk.drawdown", ["nowhere looser", FIRM, "unlimited in account"]),
    (TIGHT, "max_postion: 3", "risk.max_postion", ["'max_positions'"]),
    ('daily_loss: "0.015"', "daily_loss: {limit_pct: 5}", "risk.daily_loss.limit_pct", ["did you mean 0.05?"]),
    ('daily_loss: "0.015"', "daily_loss: {limit_pct: 1.5}", "risk.daily_loss.limit_pct", ["0.015?"]),
    ("- id: defensive", "- id: core", "firms.0.accounts.1.id", ["not used before", "'core'"]),
    ("- id: kestrel-lane", "- id: north-pier", "firms.1.id", ["not used before"]),
    ("zone: Europe/Prague", "zone: CET+1", "presets.eval_static_100k@1.trading_day.zone", ["IANA", "CET+1"]),
    ("zone: America/New_York", "zone: America/Gotham", "firms.0.accounts.0.trading_day.zone", ["IANA"]),
    ('["0.08", "0.50"], ["0.12"', '["0.05", "0.50"], ["0.12"', "risk.drawdown", ["both get stricter"]),
    ('"17:00"', "17:00", "firms.0.accounts.0.trading_day.reset_at", ['quoted ("17:00")']),
    ('"17:00"', '"25:00"', "firms.0.accounts.0.trading_day.reset_at", ["pattern"]),
    ('"17:00"', "1020", "firms.0.accounts.0.trading_day.reset_at", ["string"]),
    (TIGHT, "gross: {enabled: false}", "risk.gross.enabled", ["still true"]),
    (TIGHT, "net: null", "risk.net", ["'unlimited'"]),
    ("id: LD-13", "id: LD-14", "risk.firm_daily_loss.id", ["'LD-13'"]),
    ("mode: dry_run", "mode: live", "firms.0.accounts.0.mode", ["'gated_live'"]),
    ("display_name:", "dislay_name:", "firms.0.accounts.0.dislay_name", ["'display_name'"]),
    ("name: us-defensive, share", "name: us-defensiv, share", "firms.0.accounts.1.baskets.0", ["'us-defensive'"]),
    ('sigma_target: "0.08"', 'sigma_target: "0,08"', "risk.sigma_target", ["decimal"]),
    ("daily_loss: \"0.015\"", "daily_loss: {anchor: max}", "risk.daily_loss.anchor", ["equity unchanged"]),
    ("sealed: [risk.drawdown.**", "sealed: [risk.drawdwn.**", "sealed[0]", ["glob"]),
    ("display_name: Kestrel Growth", "account_token: abc", "account_token", ["secret://"]),
]  # fmt: skip

SETTINGS = [
    ("momentum_lookback_bars", "momentum_lokback_bars", "features.momentum_lokback_bars", ["'momentum_lookback"]),
    ("    allocator: risk_parity", "    alocator: risk_parity", "baskets.us-core.alocator", ["'allocator'"]),
    ("allow_short: false", "allow_short: off", "baskets.us-core.exposure.allow_short", ["quoted"]),
    ("AAPL: {group", "AAPL: {gruop", "instruments.symbols.AAPL.gruop", ["'group'"]),
    ("rules: {}", 'rules: {grss: "1"}', "rules.grss", ["'gross'"]),
    ("penalty: \"50\"", "penalty: -1", "regime.penalty", ["greater than or equal to 0"]),
    ("account: north-pier/defensive", "account: north-pier/defensiv", "backtest.flows.0", ["'north-pier/defensive'"]),
    ("symbols: all}", "symbols: some}", "events.0.symbols", ["'all'"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "old", "new", "path", "words"),
    [("traders.yaml", *case) for case in TRADERS] + [("settings.yaml", *case) for case in SETTINGS],
)
def test_each_mistake(tmp_path: Path, file: str, old: str, new: str, path: str, words: list[str]) -> None:
    error, line = broken(tmp_path, file, old, new)
    assert error.exit_code == 2
    assert str(error).startswith(f"{(tmp_path / file).as_posix()}:{line} ")
    assert f"{path}: expected " in str(error) or error.where.endswith(path)
    for word in words:
        assert word in str(error)


def test_levels_out_of_order_name_the_rule(tmp_path: Path) -> None:
    error, _ = broken(tmp_path, "traders.yaml", 'act: "0.85"\n', 'act: "0.70"\n')
    assert "risk.daily_loss: expected soft < warn < act, found 0.60, 0.75, 0.70" in str(error)
    assert isinstance(error, InvalidConfig)
    assert error.findings[0].layers == ("preset eval_static_100k@1",)


def test_a_duplicate_key_names_both_lines(tmp_path: Path) -> None:
    error, line = broken(tmp_path, "traders.yaml", "    name: North", "    id: again\n    name: North")
    assert f":{line} firms.0.id: expected each key once (first on line {line - 1})" in str(error)


def test_both_layers_are_named_with_their_lines(tmp_path: Path) -> None:
    error, line = broken(tmp_path, "traders.yaml", 'sigma_target: "0.08"', 'sigma_target: "0.20"')
    assert isinstance(error, InvalidConfig)
    (finding,) = error.findings
    firm_line = (CONFIG / "traders.yaml").read_text().split('sigma_target: "0.10"')[0].count("\n") + 1
    assert finding.layers == ("firm north-pier", "account north-pier/defensive")
    assert (finding.direction, finding.line) == ("looser", line)
    assert f"traders.yaml:{firm_line})" in finding.expected


def test_a_platform_override_is_traced_to_the_settings_file(tmp_path: Path) -> None:
    shutil.copy(CONFIG / "traders.yaml", tmp_path / "traders.yaml")
    text = (CONFIG / "settings.yaml").read_text()
    (tmp_path / "settings.yaml").write_text(text.replace("rules: {}", "rules:\n  net:\n    max_net: 0.90"))
    loaded = load_configuration(tmp_path / "settings.yaml", tmp_path / "traders.yaml")
    step = explain(loaded.profiles[0], "risk.net")[-1]
    assert (step.layer, step.name, step.value, step.winning) == ("defaults", "platform", "0.9", True)
    assert step.file is not None
    assert Path(step.file).read_text().splitlines()[(step.line or 0) - 1].strip() == "max_net: 0.90"


# --- one firm's problem -----------------------------------------------------------------------------------------


def changed(folder: Path, old: str, new: str) -> tuple[Path, Path]:
    """The shipped files with one change to the traders."""
    text = (CONFIG / "traders.yaml").read_text()
    assert old in text
    (folder / "traders.yaml").write_text(text.replace(old, new, 1))
    return CONFIG / "settings.yaml", folder / "traders.yaml"


KESTREL = ["kestrel-lane/eval-100k", "kestrel-lane/growth"]
PIER = ["north-pier/core", "north-pier/defensive"]

ISOLATED = [
    ('sigma_target: "0.08"', 'sigma_target: "0.20"', "north-pier", PIER),  # does not merge
    ("display_name: North Pier Core", "dislay_name: x", "north-pier", PIER),  # cannot be typed
    ("zone: America/New_York", "zone: CET+1", "north-pier", PIER),
    ("zone: Europe/Prague", "zone: CET+1", "kestrel-lane", KESTREL),  # in the preset its account names
    ('soft: "0.60"', 'soft: "0.99"', "kestrel-lane", KESTREL),
    ("presets: [eval_static_100k@1]", "presets: []", "kestrel-lane", KESTREL),
    ("- id: defensive", "- id: core", "north-pier", ["north-pier/core"]),
]


@pytest.mark.parametrize(("old", "new", "firm", "accounts"), ISOLATED)
def test_a_problem_of_one_firm_stops_that_firm(
    tmp_path: Path, shipped: Configuration, old: str, new: str, firm: str, accounts: list[str]
) -> None:
    loaded = load_firms(*changed(tmp_path, old, new))
    assert [p.account for p in loaded.profiles] == [a for a in (*PIER, *KESTREL) if not a.startswith(firm)]
    (broken_firm,) = loaded.broken
    assert (broken_firm.firm_id, list(dict.fromkeys(broken_firm.accounts))) == (firm, accounts)
    whole = {p.account: p.config_hash for p in shipped.profiles}
    assert all(whole[p.account] == p.config_hash for p in loaded.profiles)
    with pytest.raises(InvalidConfig) as error:
        load_configuration(*changed(tmp_path, old, new))
    assert set(broken_firm.findings) <= set(error.value.findings)


def test_what_ships_is_whole(shipped: Configuration) -> None:
    loaded = load_firms(CONFIG / "settings.yaml", CONFIG / "traders.yaml")
    assert loaded.broken == ()
    assert loaded.profiles == shipped.profiles


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("schema_version: 1", "schema_version: 2"),
        ("schema_version: 1", "schema_version: 1\nnonsense: 1"),
        ("- id: kestrel-lane", "- id: north-pier"),  # nobody can tell them apart
        ("    name: Kestrel", "    id: again\n    name: Kestrel"),
    ],
)
def test_a_problem_of_all_of_them_stops_everything(tmp_path: Path, old: str, new: str) -> None:
    with pytest.raises(BadInput):
        load_firms(*changed(tmp_path, old, new))


def test_lines_stay_those_of_the_file(tmp_path: Path) -> None:
    """Although the first firm is left out, what is said of the second one is where it stands."""
    text = (CONFIG / "traders.yaml").read_text()
    one = text.replace("display_name: North Pier Core", "dislay_name: x", 1)
    two = one.replace('daily_loss: "0.025"', 'daily_loss: "0.25"', 1)
    third = two + text[text.index("  - id: kestrel-lane") :].replace("id: kestrel-lane", "id: third", 1)
    (tmp_path / "traders.yaml").write_text(third)
    loaded = load_firms(CONFIG / "settings.yaml", tmp_path / "traders.yaml")
    assert [p.account for p in loaded.profiles] == ["third/eval-100k", "third/growth"]
    first, second = loaded.broken
    assert (first.firm_id, second.firm_id) == ("north-pier", "kestrel-lane")
    (finding,) = second.findings
    assert finding.line == text[: text.index('daily_loss: "0.025"')].count("\n") + 1
    for path, steps in loaded.profiles[1].provenance.items():
        for step in steps:
            if step.file is not None and step.file.endswith("traders.yaml"):
                assert any(
                    f"{key}:" in third.splitlines()[(step.line or 0) - 1] for key in path.split(".")[-2:]
                )
