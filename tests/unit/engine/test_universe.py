"""From request, accounts and source to baskets, shares and the symbols to read."""

from __future__ import annotations

from pathlib import Path

import pytest

from regime_trading.bootstrap import load
from regime_trading.core.errors import BadInput
from regime_trading.engine.universe import (
    AD_HOC,
    Universe,
    choose_accounts,
    choose_universe,
    source_key,
)

CONFIG = load(Path(__file__).parents[3] / "config")
SETTINGS, PROFILES = CONFIG.settings, CONFIG.profiles
CORE = SETTINGS.baskets["us-core"].symbols
GROWTH = SETTINGS.baskets["us-growth"].symbols
NAMES = [profile.account for profile in PROFILES]


def choose(available: tuple[str, ...], source: str = "bundled", **asked: object) -> Universe:
    return choose_universe(SETTINGS, PROFILES, source, available, **asked)  # type: ignore[arg-type]


def test_every_account_trades_its_own_baskets_with_its_own_shares() -> None:
    found = choose((*CORE, "SPX"))
    assert [b.name for b in found.baskets] == ["us-core", "us-defensive", "us-growth"]
    shares = {b.name: dict(zip(NAMES, b.share.tolist(), strict=True)) for b in found.baskets}
    for profile in PROFILES:
        assert {name: s[profile.account] for name, s in shares.items() if s[profile.account]} == {
            b.name: float(b.share) for b in profile.baskets
        }
    assert found.symbols == tuple(sorted(CORE)) and found.proxy == "SPX" and found.notes == ()
    assert found.columns == tuple(sorted((*CORE, "SPX")))


def test_one_basket_is_kept_for_the_accounts_that_list_it() -> None:
    found = choose((*CORE, "SPX"), basket="us-growth")
    (only,) = found.baskets
    assert only.name == "us-growth" and found.symbols == tuple(sorted(GROWTH))
    assert dict(zip(NAMES, only.share.tolist(), strict=True))["kestrel-lane/growth"] == 1.0
    assert dict(zip(NAMES, only.share.tolist(), strict=True))["north-pier/core"] == 0.0


def test_symbols_make_one_basket_for_everybody_each_once_and_sorted() -> None:
    found = choose((*CORE, "SPX"), symbols=("XOM", "KO", "XOM"))
    (only,) = found.baskets
    assert only.name == AD_HOC and only.share.tolist() == [1.0] * len(PROFILES)
    assert found.symbols == tuple(only.basket.symbols) == ("KO", "XOM")
    assert found.columns == ("KO", "SPX", "XOM")


def test_a_source_without_the_baskets_symbols_makes_one_basket_of_all_it_has_and_says_so() -> None:
    found = choose(("ZZ", "KO", "AA"), source="prices.csv")
    assert found.symbols == ("AA", "KO", "ZZ") and found.baskets[0].name == AD_HOC
    assert found.proxy is None and found.columns == found.symbols
    assert "19 of the 20 symbols" in found.notes[0] and "all its 3 symbols" in found.notes[0]


def test_the_market_proxy_is_read_but_not_traded() -> None:
    found = choose(("KO", "SPX"))
    assert found.symbols == ("KO",) and found.proxy == "SPX"
    assert choose(("SPX",)).symbols == ("SPX",), "unless it is all there is"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"basket": "us-cor"}, r"us-core.*'us-cor'"),
        ({"symbols": ("KOO",)}, r"'KOO' \(nearest: KO"),
        ({"basket": "us-core", "symbols": ("KO",)}, "not both"),
    ],
)
def test_what_is_not_known_is_refused_by_name(asked: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        choose((*CORE, "SPX"), **asked)


def test_a_basket_the_source_cannot_fill_or_nobody_lists_is_refused() -> None:
    with pytest.raises(BadInput, match="basket us-growth"):
        choose(("KO",), basket="us-growth")
    one = choose_accounts(PROFILES, ["kestrel-lane/growth"])
    with pytest.raises(BadInput, match="one of the accounts lists"):
        choose_universe(SETTINGS, one, "bundled", CORE, basket="us-defensive")


def test_accounts_are_named_in_full_kept_in_file_order_and_short_where_there_is_one_firm() -> None:
    assert choose_accounts(PROFILES, None) == PROFILES
    chosen = choose_accounts(PROFILES, [NAMES[2], NAMES[0], NAMES[2]])
    assert [p.account for p in chosen] == [NAMES[0], NAMES[2]]
    firm = tuple(p for p in PROFILES if p.firm_id == "north-pier")
    assert [p.account for p in choose_accounts(firm, ["core"])] == ["north-pier/core"]
    with pytest.raises(BadInput, match=r"north-pier/core, .*'core'"):
        choose_accounts(PROFILES, ["core"])


def test_a_path_is_of_the_kind_files() -> None:
    assert source_key(SETTINGS, "bundled:sp500") == "bundled:sp500"
    assert source_key(SETTINGS, "/somewhere/prices.csv") == "files"
