"""Packs of prop firms: dated and versioned, able to open their smallest lot, and right on every golden money path."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
from tests.gate_samples import CONFIG, answers
from tests.presets.runner import (
    FILES,
    INSTRUMENTS,
    PRICES,
    MoneyPath,
    Step,
    decide,
    packs,
    paths,
    profile_of,
    request_of,
    state_word,
    walk,
)

from regime_trading.adapters.config_files import Configuration
from regime_trading.adapters.yaml_text import read_yaml
from regime_trading.core.request_reading import read_requests
from regime_trading.core.schemas import Outcome
from regime_trading.core.traders import AccountType

PACKS = tuple(read_yaml(CONFIG / "presets.yaml")[0]["presets"])
FUTURES = tuple(ref for ref in PACKS if "50k" in ref)
PATHS = [path for file in FILES for path in paths(file)]
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "presets.md"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Configuration:
    return packs(tmp_path_factory.mktemp("packs"))


@pytest.mark.parametrize("path", PATHS, ids=[path.id for path in PATHS])
def test_each_step_of_each_money_path(loaded: Configuration, path: MoneyPath) -> None:
    for at, expected, found in walk(path, profile_of(loaded, path.pack)):
        assert found == expected, f"{path.file} {at}"


def test_every_pack_has_its_file_and_enough_paths() -> None:
    assert {path.pack for path in PATHS} == set(PACKS)
    for ref in PACKS:
        assert sum(path.pack == ref for path in PATHS) >= 3, ref


def test_every_pack_is_dated_and_tells_what_to_do_before_use(loaded: Configuration) -> None:
    for ref in PACKS:
        terms = loaded.presets[ref]
        assert terms.read_on is not None, ref
        assert terms.note is not None and terms.note.endswith("must be read before use."), ref
        assert terms.account_type in {AccountType.PROP_EVAL, AccountType.PROP_FUNDED}
        assert profile_of(loaded, ref).initial_capital == terms.initial_capital


LOTS = [(ref, symbol) for ref in PACKS for symbol in (("MES",) if ref in FUTURES else ("EURUSD", "MEGA"))]


@pytest.mark.parametrize(("ref", "symbol"), LOTS)
def test_each_pack_can_open_its_smallest_lot(loaded: Configuration, ref: str, symbol: str) -> None:
    """One lot of one plausible instrument, as proposed: nothing cuts it, nothing waits."""
    profile, lot = profile_of(loaded, ref), Decimal(INSTRUMENTS[symbol]["lot"])
    step = Step(
        at="2026-03-03T15:30:00+00:00",
        symbol=symbol,
        balance=profile.initial_capital,
        entry=PRICES[symbol],
        ask=lot,
    )
    decision = decide(profile, step, []).decision
    (target,) = decision.targets
    assert decision.outcome is Outcome.APPROVE
    assert (target.target_qty, target.step_qty) == (lot, lot)
    assert target.limiting_rules == ()
    assert [order.qty for order in decision.orders] == [lot]


@pytest.mark.parametrize(("held", "asked", "gets"), [(2, -1, 0), (2, 1, 1), (-2, 1, 0), (0, -1, -1)])
def test_a_hedge_group_has_one_direction(loaded: Configuration, held: int, asked: int, gets: int) -> None:
    """Long the micro and short the big one is a hedge the firm forbids: the second direction does not open."""
    profile = profile_of(loaded, "eval_intraday_trailing_50k@1")
    at = "2026-03-03T15:30:00+00:00"
    micro = Step(at=at, symbol="MES", balance=Decimal(50_000), entry=Decimal(5000), qty=Decimal(held))
    quarter = Step(at=at, symbol="ES", balance=Decimal(50_000), entry=Decimal(1000), ask=Decimal(asked))
    asking, holding = (request_of(step, profile.account, [], None) for step in (quarter, micro))
    asking["portfolio"]["positions"] = holding["portfolio"]["positions"]
    for name in ("instruments", "quotes"):
        asking["market"][name] += holding["market"][name]
    for name in ("adv", "status", "session_clock"):
        asking["market"][name] |= holding["market"][name]
    asking["market"]["shocks"]["symbols"]["MES"] = 0
    asking["market"]["covariance"] = {
        "symbols": ["ES", "MES"], "matrix": [[0.04, 0.038], [0.038, 0.04]], "annualised": True, "n_obs": 300,
    }  # fmt: skip
    asking["proposal"] |= {"complete": False, "weights": {"ES": str(quarter.weight)}}
    (request,), _ = read_requests(asking)
    decision = answers([request], {profile.account: profile})[0].decision
    assert state_word(decision) == "NORMAL"
    quantities = {target.symbol: target.target_qty for target in decision.targets}
    assert quantities["ES"] == gets
    assert quantities.get("MES", 0) == held


def test_the_guide_has_every_pack_and_its_own_example_loads(tmp_path: Path) -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z0-9_]+@\d+)` \|", text, flags=re.M)) == set(PACKS)
    (example,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.S)
    (tmp_path / "presets.yaml").write_text(example, encoding="utf-8")
    (ref,) = read_yaml(tmp_path / "presets.yaml")[0]["presets"]
    assert ref not in PACKS
