"""A change replayed: what would have differed, by the loop of a backtest, and nothing is written."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.core.test_trader_profile import TERMS, settings

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.adapters.journal import ParquetInputs, ParquetSealer
from regime_trading.adapters.market_data import open_source
from regime_trading.core.errors import BadInput
from regime_trading.core.profile_merge import merge_profiles
from regime_trading.core.traders import TradersConfig
from regime_trading.services.backtest import run_backtest
from regime_trading.services.backtest_plan import BacktestDeps, BacktestRequest
from regime_trading.services.config_changes import WhatIf, what_if
from regime_trading.services.market import tape_days

CALENDARS: dict[str, ExchangeCalendar] = {}


def calendar(name: str) -> ExchangeCalendar:
    return CALENDARS.setdefault(name, ExchangeCalendar(name))


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> str:
    days = np.arange("2020-01-02", "2021-12-31", dtype="datetime64[D]")
    moves = np.random.default_rng(5).normal(0, 0.01, (300, 2))
    rows = [
        f"{day}T21:00:00Z,{a:.2f},{b:.2f}"
        for day, (a, b) in zip(days[np.is_busday(days)][:300], 100 * np.exp(moves.cumsum(0)), strict=True)
    ]
    path = tmp_path_factory.mktemp("prices") / "prices.csv"
    path.write_text("\n".join(["ts_event,AAPL,MSFT", *rows]) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts") / "never"


def deps(artifacts: Path, risk: dict[str, Any] | None = None, **account: Any) -> BacktestDeps:
    """Two firms over the two symbols; ``risk`` is that of the first account."""
    common = settings(features={"momentum_lookback_bars": 20})
    base = {
        "mode": "dry_run",
        **TERMS,
        "baskets": [{"name": "one", "share": "0.5"}, {"name": "two", "share": "0.5"}],
    }
    said = [
        {"id": "one", "name": "One", "accounts": [
            {**base, "id": "acc", "risk": risk or {}, **account}, {**base, "id": "next"},
        ]},
        {"id": "two", "name": "Two", "accounts": [{**base, "id": "acc"}]},
    ]  # fmt: skip
    profiles = merge_profiles(TradersConfig.model_validate({"firms": said}), common)
    store = LocalArtifacts(artifacts)
    return BacktestDeps(
        settings=common,
        profiles=profiles,
        source=lambda name: open_source(name, calendars={"files": "XNYS"}),
        calendar=calendar,
        day_edges=tape_days(common, calendar),
        sealer=ParquetSealer(store),
        inputs=ParquetInputs(store),
        store=store,
        code_version="test",
    )


@pytest.fixture(scope="module")
def told(prices: str, artifacts: Path) -> dict[str, Any]:
    tight = deps(artifacts, {"single_name": "0.01"})
    return what_if(WhatIf(source=prices, days=40), deps(artifacts), tight)


def test_what_would_have_differed(told: dict[str, Any]) -> None:
    assert told["days"] == 40
    changed, *others = told["accounts"]
    assert changed["account"] == "one/acc"
    assert changed["decisions"] == 40
    assert 0 < changed["counts"]["targets"] <= changed["differ"] <= 40
    assert changed["rules"]["CC-01"]["new"] > changed["rules"]["CC-01"]["old"]
    assert len(changed["rows"]) <= 20
    row = changed["rows"][0]
    assert told["first"] <= row["as_of"] <= told["last"]
    moved = row["changes"]["targets"]
    for pair in moved.values():
        assert pair["new"] is None or abs(pair["new"]["target_w"]) <= 0.01 + 1e-9
    assert changed["max_drawdown"]["new"] < changed["max_drawdown"]["old"]
    for other in others:
        assert (other["differ"], other["rows"], other["rules"]) == (0, [], {})
        assert other["return"]["old"] == other["return"]["new"]


def test_nothing_is_written(told: dict[str, Any], artifacts: Path) -> None:
    assert told["accounts"]
    assert not artifacts.exists()


def test_the_present_side_is_what_a_backtest_gives(
    told: dict[str, Any], prices: str, artifacts: Path, tmp_path: Path
) -> None:
    first = dt.date.fromisoformat(told["first"][:10])
    ran = run_backtest(BacktestRequest(source=prices, first_day=first), deps(tmp_path))
    for mine, theirs in zip(told["accounts"], ran.summary["accounts"], strict=True):
        assert mine["decisions"] == theirs["decisions"]
        assert mine["max_drawdown"]["old"] == pytest.approx(theirs["max_drawdown"], abs=1e-12)


def test_the_same_configuration_differs_nowhere(prices: str, artifacts: Path) -> None:
    same = what_if(WhatIf(source=prices, days=10), deps(artifacts), deps(artifacts))
    assert [item["differ"] for item in same["accounts"]] == [0, 0, 0]


def test_another_mode_is_replayed_as_a_dry_run(prices: str, artifacts: Path) -> None:
    shadow = what_if(
        WhatIf(source=prices, days=3, accounts=("one/acc",)), deps(artifacts), deps(artifacts, mode="shadow")
    )
    assert [item["account"] for item in shadow["accounts"]] == ["one/acc"]
    assert shadow["accounts"][0]["differ"] == 0


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (WhatIf(days=0), "--days"),
        (WhatIf(days=5, first_day=dt.date(2020, 2, 3)), "not both"),
        (WhatIf(last_day=dt.date(1999, 1, 1)), "at least one bar"),
        (WhatIf(accounts=("one/nobody",)), "one/acc"),
    ],
)
def test_what_cannot_be_replayed(prices: str, artifacts: Path, request_: WhatIf, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        what_if(replace(request_, source=prices), deps(artifacts), deps(artifacts))


def test_accounts_of_one_side_only_cannot_be_compared(prices: str, artifacts: Path) -> None:
    old, new = deps(artifacts), deps(artifacts)
    new = replace(new, profiles=tuple(p for p in new.profiles if p.firm_id == "two"))
    with pytest.raises(BadInput, match="both configurations"):
        what_if(WhatIf(source=prices, accounts=("one/acc",)), old, new)
    left = what_if(WhatIf(source=prices, days=3), old, new)
    assert [item["account"] for item in left["accounts"]] == ["two/acc"]


def test_a_stretch_by_its_days(prices: str, artifacts: Path) -> None:
    days = WhatIf(source=prices, first_day=dt.date(2020, 12, 1), last_day=dt.date(2020, 12, 4))
    found = what_if(days, deps(artifacts), deps(artifacts))
    assert (found["first"][:10], found["last"][:10], found["days"]) == ("2020-12-01", "2020-12-04", 4)
