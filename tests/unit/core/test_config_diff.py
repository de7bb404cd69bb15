"""What is not provably tighter counts as looser, and a removed key shows what takes its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from tests.unit.core.strategies import risks
from tests.unit.core.test_trader_profile import EVAL, TERMS, profile, settings, traders

from regime_trading.core.config_diff import Change, Direction, Side, config_changes, profile_changes
from regime_trading.core.merging import stricter_or_equal
from regime_trading.core.profile_merge import merge_profiles
from regime_trading.core.risk_stack import risk_path
from regime_trading.core.rules import RULES
from regime_trading.core.settings import InvalidConfig, Settings
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.core.traders import TradersConfig

LOOSENS, TIGHTENS, NEUTRAL = Direction.LOOSENS, Direction.TIGHTENS, Direction.NEUTRAL


def account(**said: Any) -> TraderProfile:
    return merge_profiles(traders({}, said), settings())[0]


def only(changes: tuple[Change, ...]) -> Change:
    (change,) = changes
    return change


def side(config: TradersConfig, common: Settings | None = None) -> Side:
    common = common or settings()
    return Side(merge_profiles(config, common), config.presets, common)


@pytest.mark.parametrize(
    ("old", "new", "direction"),
    [
        ({"gross": "0.5"}, {"gross": "0.4"}, TIGHTENS),
        ({"gross": "0.4"}, {"gross": "0.5"}, LOOSENS),
        ({"gross": "0.5"}, {"gross": "unlimited"}, LOOSENS),
        ({"news": {"before_s": 300}}, {"news": {"before_s": 600}}, TIGHTENS),
        ({"news": {"mode": "no_trade"}}, {"news": {"mode": "no_increase"}}, LOOSENS),
        ({"deny": ["A"]}, {"deny": ["A", "B"]}, TIGHTENS),
        ({"deny": ["A"]}, {"deny": ["B"]}, LOOSENS),
        ({"allow": ["A"]}, {"allow": ["A", "B"]}, LOOSENS),
        ({"allow": ["A", "B"]}, {"allow": ["B", "C"]}, LOOSENS),
        ({"small_orders": {"dead_band": "0.01"}}, {"small_orders": {"dead_band": "0.02"}}, NEUTRAL),
        ({"daily_loss": {"anchor": "max"}}, {"daily_loss": {"anchor": "balance"}}, LOOSENS),
        ({"drawdown": [["0.1", "FLATTEN"]]}, {"drawdown": [["0.05", "FLATTEN"]]}, TIGHTENS),
        ({"drawdown": [["0.1", "LOCKED"]]}, {"drawdown": [["0.05", "FLATTEN"]]}, LOOSENS),
    ],
)
def test_directions(old: dict[str, Any], new: dict[str, Any], direction: Direction) -> None:
    change = only(profile_changes(profile(old), profile(new)))
    assert change.direction is direction
    assert f", {direction.value}" in change.message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"allow": ["A", "B"]}, {"allow": ["B", "C"]}),
        ({"drawdown": [["0.1", "LOCKED"]]}, {"drawdown": [["0.05", "FLATTEN"]]}),
    ],
)
def test_values_that_cannot_be_compared_say_so(old: dict[str, Any], new: dict[str, Any]) -> None:
    change = only(profile_changes(profile(old), profile(new)))
    assert "neither is stricter everywhere, so it counts as looser" in change.message


@hypothesis_settings(deadline=None)
@given(risks(), risks())
def test_nothing_that_loosens_is_called_anything_else(old: dict[str, Any], new: dict[str, Any]) -> None:
    try:
        before, after = profile(old), profile(new)
    except InvalidConfig:
        return
    told = {change.path: change.direction for change in profile_changes(before, after)}
    for spec in RULES:
        for name, value in before.rules[spec.rule_id]:
            path, now = risk_path(spec.key, name), getattr(after.rules[spec.rule_id], name)
            if now != value:
                strict = stricter_or_equal(spec.params, name, now, value)
                assert (told[path] is LOOSENS) is not strict


def test_both_deciding_layers_are_told() -> None:
    change = only(profile_changes(profile({"gross": "0.5"}), profile({"gross": "0.5"}, {"gross": "0.4"})))
    assert change.layers == ("account firm/acc",)
    assert change.old_layers == ("firm firm",)
    assert (change.old, change.new, change.account) == ("0.5", "0.4", "firm/acc")


def test_a_removed_key_is_inherited_and_shown() -> None:
    kept = profile({"gross": "0.5"}, {"gross": "0.4"})
    change = only(profile_changes(kept, profile({"gross": "0.5"})))
    assert (change.path, change.direction) == ("risk.gross.max_gross", LOOSENS)
    assert "account firm/acc no longer says it, inherited from firm firm" in change.message
    same = only(profile_changes(profile({"gross": "0.5"}, {"gross": "0.5"}), profile({"gross": "0.5"})))
    assert same.direction is NEUTRAL
    assert same.old == same.new


def test_a_seal_that_goes_loosens() -> None:
    open_, sealed = profile(), profile(sealed=["risk.gross"])
    assert only(profile_changes(open_, sealed)).direction is TIGHTENS
    assert only(profile_changes(sealed, open_)).direction is LOOSENS


@pytest.mark.parametrize(
    ("old", "new", "direction"),
    [
        ("dry_run", "shadow", LOOSENS),
        ("shadow", "gated_live", LOOSENS),
        ("gated_live", "dry_run", TIGHTENS),
    ],
)
def test_a_mode_loosens_towards_live(old: str, new: str, direction: Direction) -> None:
    change = only(profile_changes(account(mode=old), account(mode=new)))
    assert (change.path, change.direction) == ("mode", direction)


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ({"initial_capital": "7"}, "initial_capital"),
        ({"display_name": "Another"}, "display_name"),
        ({"trading_day": {"reset_at": "18:00", "zone": "Etc/UTC"}}, "trading_day"),
        ({"baskets": [{"name": "one", "share": "0.5"}]}, "baskets.one.share"),
        ({"account_currency": "EUR"}, "account_currency"),
    ],
)
def test_other_plain_keys_have_no_direction(said: dict[str, Any], path: str) -> None:
    change = only(profile_changes(account(), account(**said)))
    assert (change.path, change.direction) == (path, NEUTRAL)


def test_more_approvers_tighten_and_more_roles_loosen() -> None:
    base = profile()
    for said, direction in (
        ({"loosen_approvers": 3}, TIGHTENS),
        ({"approver_roles": ["PM"]}, TIGHTENS),
        ({"approver_roles": ["Admin", "PM", "Analyst"]}, LOOSENS),
        ({"approver_roles": ["Admin", "Analyst"]}, LOOSENS),
        ({"approver_roles": ["PM", "Admin"]}, NEUTRAL),
    ):
        assert only(profile_changes(base, profile(governance=said))).direction is direction


def test_accounts_that_come_and_go_are_listed() -> None:
    one = {"id": "one", "name": "One", "accounts": [{"id": "acc", "mode": "dry_run", **TERMS}]}
    two = {**one, "id": "two", "accounts": [{"id": "acc", "mode": "shadow", **TERMS}]}
    small, large = (TradersConfig.model_validate({"firms": firms}) for firms in ([one], [one, two]))
    came, gone = (only(config_changes(side(a), side(b))) for a, b in ((small, large), (large, small)))
    assert (came.account, came.old, came.new, came.direction) == ("two/acc", None, "shadow", LOOSENS)
    assert (gone.account, gone.old, gone.new, gone.direction) == ("two/acc", "shadow", None, NEUTRAL)


def test_a_version_of_a_preset_never_changes() -> None:
    def under(terms: dict[str, Any], ref: str = "eval@1") -> Side:
        return side(traders({}, {"preset": ref}, presets={ref: {**EVAL, **terms}}))

    read = {"source_url": "https://example.org/terms", "read_on": "2026-11-22"}
    assert config_changes(under({}), under(read)) == ()
    capital, preset = config_changes(under({}), under({"initial_capital": "50000"}))
    assert (capital.path, preset.path, preset.direction) == ("initial_capital", "presets.eval@1", LOOSENS)
    assert "expected the new terms as eval@2" in preset.message
    changes = config_changes(under({}), under({"initial_capital": "50000"}, "eval@2"))
    assert [change.path for change in changes] == ["initial_capital", "preset"]


def test_settings_are_told_once_without_a_direction() -> None:
    config = traders()
    change = only(config_changes(side(config), side(config, settings(execution={"fee_bps": "3"}))))
    assert (change.account, change.path, change.direction) == ("", "execution.fee_bps", NEUTRAL)
    platform = only(config_changes(side(config), side(config, settings(rules={"gross": "0.5"}))))
    assert (platform.account, platform.path) == ("firm/acc", "risk.gross.max_gross")


def test_the_same_configuration_has_no_change() -> None:
    assert config_changes(side(traders()), side(traders())) == ()
