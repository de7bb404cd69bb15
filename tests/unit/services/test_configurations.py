"""Broken files keep the last good configuration, and a session override only ever tightens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.core.test_trader_profile import TERMS, profile, settings

from regime_trading.adapters.database import SqlLastGood, SqlOverrides, open_database, sqlite_url
from regime_trading.core.config_status import MAX_STALE_NS, BrokenFirm, ConfigStatus
from regime_trading.core.errors import BadInput
from regime_trading.core.overrides import MAX_LIVE
from regime_trading.core.profile_merge import merge_profiles
from regime_trading.core.rules import BookVolatility, TradingState
from regime_trading.core.settings import Finding, InvalidConfig
from regime_trading.core.trader_profile import TraderProfile, with_overrides
from regime_trading.core.traders import TradersConfig
from regime_trading.services.configurations import OverrideAsk, make_override, take_over, ttl_ns

FINDING = Finding(path="risk.grss", file="traders.yaml", line=7, expected="'gross'", found="'grss'")
BROKEN = (BrokenFirm("bad", ("bad/acc", "bad/fresh"), (FINDING,)),)
HOUR = 3_600_000_000_000

Stores = Callable[[str], SqlLastGood]


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    engine = open_database(sqlite_url(tmp_path / "store.db"))
    return lambda firm: SqlLastGood(engine, firm_id=firm)


def accounts(*firms: str) -> tuple[TraderProfile, ...]:
    one = {"id": "acc", "mode": "dry_run", **TERMS}
    said = [{"id": firm, "name": firm, "accounts": [one]} for firm in firms]
    return merge_profiles(TradersConfig.model_validate({"firms": said}), settings())


def test_what_is_accepted_is_current_and_remembered(stores: Stores) -> None:
    found = take_over(accounts("bad", "good"), (), stores, now_ns=5)
    assert {name: s.status for name, s in found.items()} == dict.fromkeys(found, ConfigStatus.CURRENT)
    last = stores("bad").get("bad/acc")
    assert last is not None
    assert (last.profile, last.accepted_ns) == (accounts("bad")[0], 5)


def test_a_broken_start_reduces_only_what_it_knows_and_locks_the_rest(stores: Stores) -> None:
    take_over(accounts("bad", "good"), (), stores, now_ns=5)
    found = take_over(accounts("good"), BROKEN, stores, now_ns=6)
    assert {name: (s.status, s.least_state) for name, s in found.items()} == {
        "good/acc": (ConfigStatus.CURRENT, TradingState.NORMAL),
        "bad/acc": (ConfigStatus.STALE, TradingState.REDUCE_ONLY),
        "bad/fresh": (ConfigStatus.INVALID, TradingState.LOCKED),
    }
    assert found["bad/acc"].profile == accounts("bad")[0]


@pytest.mark.parametrize(
    ("age_ns", "state"),
    [(MAX_STALE_NS, TradingState.NORMAL), (MAX_STALE_NS + 1, TradingState.REDUCE_ONLY)],
)
def test_a_broken_reload_keeps_the_last_good_one_for_a_day(
    stores: Stores, age_ns: int, state: TradingState
) -> None:
    take_over(accounts("bad", "good"), (), stores, now_ns=5)
    for now_ns in (5 + age_ns // 2, 5 + age_ns):  # trying again does not make it any younger
        found = take_over(accounts("good"), BROKEN, stores, now_ns=now_ns, starting=False)
    assert (found["bad/acc"].status, found["bad/acc"].least_state) == (ConfigStatus.STALE, state)
    assert found["good/acc"].status is ConfigStatus.CURRENT


def test_an_account_that_the_broken_file_does_not_name_is_not_forgotten(stores: Stores) -> None:
    take_over(accounts("bad"), (), stores, now_ns=5)
    nameless = (BrokenFirm("bad", (), (FINDING,)), BrokenFirm("?", (), (FINDING,)))
    assert list(take_over((), nameless, stores, now_ns=6)) == ["bad/acc"]


# --- session overrides --------------------------------------------------------------------------------------


@pytest.fixture
def overrides(tmp_path: Path) -> SqlOverrides:
    return SqlOverrides(open_database(sqlite_url(tmp_path / "store.db")), firm_id="firm")


def ask(value: str = "0.05", path: str = "risk.sigma_target", **more: Any) -> OverrideAsk:
    return OverrideAsk(**{"path": path, "value": value, "ttl": "4h", "reason": "a bad day", **more})


def test_an_override_is_in_force_after_a_restart(overrides: SqlOverrides, tmp_path: Path) -> None:
    made = make_override(profile(), ask(exact=True), overrides, now_ns=5)
    assert (made.created_by, made.expires_at_ns) == ("service:local", 5 + 4 * HOUR)
    again = SqlOverrides(open_database(sqlite_url(tmp_path / "store.db")), firm_id="firm")
    for as_of_ns, sigma in ((4, "0.15"), (5, "0.05"), (5 + 4 * HOUR, "0.15")):
        tight = with_overrides(profile(), again.of("firm/acc"), as_of_ns)
        assert str(tight.params(BookVolatility).sigma_target) == sigma


def test_an_override_may_not_loosen_another(overrides: SqlOverrides) -> None:
    make_override(profile(), ask("0.05"), overrides, now_ns=5)
    with pytest.raises(InvalidConfig) as error:
        make_override(profile(), ask("0.06"), overrides, now_ns=6)
    (finding,) = error.value.findings
    assert [layer.split()[0] for layer in finding.layers] == ["session", "session"]
    assert finding.direction == "looser"
    make_override(profile(), ask("0.04"), overrides, now_ns=6)
    assert len(overrides.of("firm/acc")) == 2


def test_values_are_read_as_people_type_them(overrides: SqlOverrides) -> None:
    strict = profile({"allow": ["A", "B"]})
    made = [
        make_override(strict, ask(value, path), overrides, now_ns=n)
        for n, (path, value) in enumerate(
            (
                ("risk.allow", '["A"]'),
                ("risk.max_positions", "3"),
                ("risk.news.mode", "no_trade"),
                ("risk.gross.enabled", "true"),
                ("risk.drawdown", '[["0.05", "LOCKED"]]'),
                ("risk.daily_loss.limit_pct", "0.001"),
            )
        )
    ]
    assert [one.value for one in made] == [["A"], "3", "no_trade", True, [["0.05", "LOCKED"]], "0.001"]
    assert len(with_overrides(strict, overrides.of("firm/acc"), 9).session_overrides) == 6


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"ttl": "25h"}, "--ttl: expected more than 0 and at most 24 h, found 25 h"),
        ({"ttl": "0h"}, "4h, 30m or 90s"),
        ({"ttl": "tomorrow"}, "4h, 30m or 90s, found 'tomorrow'"),
        ({"reason": "  "}, "reason: expected"),
        ({"value": "unlimited"}, "found unlimited in session override"),
        ({"path": "initial_capital"}, r"risk\.<rule>"),
        ({"path": "risk.sigma"}, "'sigma_target'"),
    ],
)
def test_what_is_no_override(overrides: SqlOverrides, wrong: dict[str, str], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        make_override(profile(), ask(**wrong), overrides, now_ns=5)
    assert overrides.of("firm/acc") == ()


def test_there_is_room_for_twenty_live_ones(overrides: SqlOverrides) -> None:
    for n in range(MAX_LIVE):
        make_override(profile(), ask("0.05", exact=True), overrides, now_ns=n)
    with pytest.raises(BadInput, match="fewer than 20"):
        make_override(profile(), ask("0.05"), overrides, now_ns=MAX_LIVE)
    make_override(profile(), ask("0.05"), overrides, now_ns=4 * HOUR)  # the first one has ended


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("24h", 86_400)])
def test_times_to_live(text: str, seconds: int) -> None:
    assert ttl_ns(text) == seconds * 10**9
