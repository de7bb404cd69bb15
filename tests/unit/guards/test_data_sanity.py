"""What guard 1 remembers, how it marks a currency without a rate, and what it takes for a split."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.guards.scenarios import Scene, scene

from regime_trading.core.rules import RECOVERING_RULES, RULE_BY_ID
from regime_trading.guards import data_sanity, data_state
from regime_trading.guards.chain import REGISTRY
from regime_trading.guards.data_state import SPLIT_RATIOS, fx_marks, split_distance
from regime_trading.guards.facts import AUCTION, CLOSED, HALTED, OPEN, QUANTITY_DIFFERS, SIGN_DIFFERS
from regime_trading.guards.recovery import observed
from regime_trading.guards.snapshot import CROSSED_BOOK, Market, States, nothing_happened
from regime_trading.guards.verdict import BOUND, PASS

SAID = frozenset({"close", "volume", "quotes", "status", "instruments", "second_source", "fx"})
N = 3


def calm() -> Scene:
    """Two accounts, three assets, a source that says everything."""
    return scene(4, 2, N).with_market(provided=SAID)


def with_signals(s: Scene, **changes: Any) -> Scene:
    return s.with_market(signals=replace(s.view.market.signals, **changes))


def with_instruments(s: Scene, **changes: Any) -> Scene:
    return s.with_market(instruments=replace(s.view.market.instruments, **changes))


def first(value: Any, other: Any) -> np.ndarray:
    """``value`` for the first asset, ``other`` for the rest."""
    return np.array([value] + [other] * (N - 1))


DIRTY = {
    "DS-01": lambda s: with_signals(s, received_age_s=first(99.0, 0.0)),
    "DS-02": lambda s: s.with_market(price=np.where(first(True, False), np.nan, s.view.market.price)),
    "DS-04": lambda s: s.with_market(book=first(CROSSED_BOOK, 0).astype(np.int8)),
    "DS-06": lambda s: with_signals(s, divergence_bps=first(99.0, 0.0), divergence_s=first(99.0, 0.0)),
    "DS-09": lambda s: with_signals(s, fx_age_s=first(np.nan, 0.0)),
    "DS-13": lambda s: with_instruments(s, metadata_age_s=first(np.nan, 0.0)),
}


def test_every_rule_that_recovers_is_tried() -> None:
    assert tuple(DIRTY) == RECOVERING_RULES


def remembered(s: Scene) -> States:
    return data_sanity.remember(s.view, s.knobs, nothing_happened(2, N))


def passes(s: Scene, rule_id: str) -> tuple[bool, np.ndarray, tuple[str, ...]]:
    """Whether the rule passes, whether it lets the first asset grow at all, and its reasons for the first account."""
    said = REGISTRY[rule_id](s.view, s.knobs[rule_id])
    hi = np.full((2, N), np.inf) if said.constraint.hi is None else said.constraint.hi
    reasons = tuple(c for b, c in enumerate(said.codes) if said.reasons[0] >> b & 1)
    return bool((said.outcome == PASS).all()), np.isinf(hi[:, 0]), reasons


@pytest.mark.parametrize("rule_id", RECOVERING_RULES)
@pytest.mark.parametrize("needed", [1, 3])
def test_what_was_bad_stays_blocked_until_enough_observations_were_clean(rule_id: str, needed: int) -> None:
    clean = calm().with_rules(**{rule_id.replace("-", "_"): {"clean_observations": needed}})
    dirty = DIRTY[rule_id](clean)
    row = RECOVERING_RULES.index(rule_id)
    states = clean.view.states
    for _ in range(2):  # dirty for a while: it does not add up
        states = remembered(Scene(replace(dirty.view, states=states), dirty.profiles))
        assert states.unclean[:, row].tolist() == [[needed, 0, 0]] * 2
    for left in range(needed - 1, -1, -1):
        states = remembered(Scene(replace(clean.view, states=states), clean.profiles))
        assert states.unclean[:, row].tolist() == [[left, 0, 0]] * 2
        ok, free, reasons = passes(Scene(replace(clean.view, states=states), clean.profiles), rule_id)
        assert ok == (left == 0) and (free == (left == 0)).all()
        assert reasons == (("RECOVERING",) if left else ())
        said = REGISTRY[rule_id](replace(clean.view, states=states), clean.knobs[rule_id])
        assert said.constraint.no_trade is None
    others = np.delete(states.unclean, row, axis=1)
    assert not others.any()


@pytest.mark.parametrize("rule_id", RECOVERING_RULES)
def test_a_relapse_starts_the_count_again(rule_id: str) -> None:
    row, s = RECOVERING_RULES.index(rule_id), calm()
    states = s.view.states
    for view, left in ((DIRTY[rule_id](s), 3), (s, 2), (DIRTY[rule_id](s), 3), (s, 2)):
        states = remembered(Scene(replace(view.view, states=states), view.profiles))
        assert states.unclean[0, row, 0] == left


def test_three_clean_observations_by_specification() -> None:
    for rule_id in RECOVERING_RULES:
        assert RULE_BY_ID[rule_id].params().clean_observations == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("rule_id", RECOVERING_RULES)
def test_a_closed_session_and_a_silent_source_are_no_observation(rule_id: str) -> None:
    row, spec = RECOVERING_RULES.index(rule_id), RULE_BY_ID[rule_id]
    s = calm()
    unclean = s.view.states.unclean.copy()
    unclean[:, row, 0] = 2
    s = s.with_states(unclean=unclean)
    closed = with_signals(s, status=first(CLOSED, OPEN).astype(np.int8))
    assert (remembered(closed).unclean[:, row, 0] == 2).all()
    halted = with_signals(s, status=first(HALTED, OPEN).astype(np.int8))
    assert (remembered(halted).unclean[:, row, 0] == 1).all()
    name = (*spec.inputs, *spec.measured)[0]
    silent = s.with_market(provided=SAID - {name})
    assert (remembered(silent).unclean[:, row, 0] == 2).all()


def test_one_account_may_ask_for_more_observations_than_another() -> None:
    dirty = np.array([[True, False]] * 2)
    left = observed(np.zeros((2, 2), dtype=np.int8), dirty, np.ones(2, dtype=np.bool_), np.array([1, 5]))
    assert left.tolist() == [[1, 0], [5, 0]]
    assert left.dtype == np.int8


# --- exchange rates ---------------------------------------------------------------------------------------------

QTY = np.array([[100.0, -100.0, 0.0]] * 2)
LAST = np.array([[1.25, 1.25, 1.25], [0.5, 0.5, np.nan]])


def market(fx: float, age_s: float, said: frozenset[str] = SAID) -> Market:
    s = with_signals(calm(), fx_age_s=np.full(N, age_s))
    return replace(s.view.market, fx=np.full(N, fx), provided=said)


def test_a_fresh_rate_is_itself() -> None:
    rate, estimated = fx_marks(market(1.1, 60.0), LAST, QTY, calm().knobs["DS-09"])
    assert (rate == 1.1).all() and not estimated.any()


@pytest.mark.parametrize(
    ("fx", "age_s"), [(1.1, 61.0), (np.nan, 0.0), (0.0, 0.0), (-1.0, 0.0), (np.inf, 0.0), (1.1, np.nan)]
)
def test_without_one_the_last_good_rate_less_a_haircut_on_the_side_that_hurts(
    fx: float, age_s: float
) -> None:
    rate, estimated = fx_marks(market(fx, age_s), LAST, QTY, calm().knobs["DS-09"])
    assert rate[0].tolist() == pytest.approx([1.25 * 0.98, 1.25 * 1.02, 1.25])
    assert rate[1, :2].tolist() == pytest.approx([0.49, 0.51])
    assert math.isnan(rate[1, 2]), "never assumed to be 1"
    assert estimated.tolist() == [[True, True, False]] * 2
    value = QTY * rate
    assert (value[0, :2] < QTY[0, :2] * 1.25).all(), "both sides are worth less"


def test_the_haircut_is_a_parameter() -> None:
    k = calm().with_rules(DS_09={"haircut": "0.1"}).knobs["DS-09"]
    rate, _ = fx_marks(market(np.nan, 0.0), LAST, QTY, k)
    assert rate[0].tolist() == pytest.approx([1.25 * 0.9, 1.25 * 1.1, 1.25])


def test_where_nobody_says_how_old_a_rate_is_a_number_is_enough() -> None:
    bare = SAID - {"fx"}
    rate, estimated = fx_marks(market(1.0, np.nan, bare), LAST, QTY, calm().knobs["DS-09"])
    assert (rate == 1.0).all() and not estimated.any()
    assert fx_marks(market(np.nan, np.nan, bare), LAST, QTY, calm().knobs["DS-09"])[1][0, 0]


def test_on_a_saturday_a_rate_may_be_a_day_old() -> None:
    friday, saturday = dt.date(2020, 3, 6), dt.date(2020, 3, 7)
    k = calm().knobs["DS-09"]
    old = market(1.1, 80_000.0)
    assert fx_marks(replace(old, date=friday), LAST, QTY, k)[1].any()
    assert not fx_marks(replace(old, date=saturday), LAST, QTY, k)[1].any()


def test_the_last_good_rate_is_remembered_and_a_bad_one_is_not() -> None:
    s = calm().with_states(last_fx=np.tile(LAST[0], (2, 1)))
    good = remembered(s.with_market(fx=np.full(N, 1.4)))
    assert (good.last_fx == 1.4).all()
    for bad in (np.nan, 0.0, -1.0):
        assert (remembered(s.with_market(fx=np.full(N, bad))).last_fx == 1.25).all()
    stale = with_signals(s.with_market(fx=np.full(N, 1.4)), fx_age_s=np.full(N, 61.0))
    assert (remembered(stale).last_fx == 1.25).all()


# --- splits and venues ------------------------------------------------------------------------------------------


def distance(ratio: float) -> float:
    one = replace(calm().view.market, price=np.full(N, 100.0 * ratio), ref_price=np.full(N, 100.0))
    return float(split_distance(one)[0])


@pytest.mark.parametrize(
    "ratio", [1 / 2, 1 / 3, 2 / 3, 1 / 4, 1 / 5, 1 / 10, 2, 3, 3 / 2, 4, 5, 10, 1 / 20, 2 / 5]
)
def test_ratios_of_splits_are_known_both_ways(ratio: float) -> None:
    assert distance(ratio) <= 1e-12
    assert distance(1 / ratio) <= 1e-12


@pytest.mark.parametrize("move", [0.0, -0.05, -0.10, -0.20, -0.25, -0.30, 0.10, 0.20, 0.25, 0.33, 0.45])
def test_gaps_are_no_splits(move: float) -> None:
    assert distance(1 + move) > 0.02


def test_nothing_within_thirty_percent_is_ever_taken_for_a_split() -> None:
    """The nearest ratios are 2:3 and 3:2: a move must be a third down or half up, less the tolerance."""
    moves = np.linspace(-0.31, 0.46, 2001)
    assert (np.abs((1 + moves)[:, None] / SPLIT_RATIOS - 1.0) > 0.02).all()


def test_an_auction_takes_limit_orders_only() -> None:
    s = with_signals(calm(), status=first(AUCTION, OPEN).astype(np.int8))
    s = s.with_rules(DS_15={"auction_collar": "0.03"})
    said = data_state.market_status(s.view, s.knobs["DS-15"])
    assert said.constraint.collar is not None
    assert said.constraint.collar.tolist() == [[0.03, np.inf, np.inf]] * 2
    assert said.constraint.no_trade is None or not said.constraint.no_trade.any()
    assert (said.outcome == BOUND).all()
    open_ = data_state.market_status(calm().view, s.knobs["DS-15"])
    assert open_.constraint.collar is None


def test_a_position_that_differs_is_blocked_and_one_of_the_other_sign_is_frozen_too() -> None:
    """Beside the REDUCE_ONLY of its account, which is the other account's no business."""
    s = calm()
    mismatch = np.array([[QUANTITY_DIFFERS, SIGN_DIFFERS, 0], [0, 0, 0]], dtype=np.int8)
    clean = {"reconciled": np.full(2, 2, dtype=np.int64), "equity_gap": np.zeros(2)}
    broker = replace(s.view.books.broker, provided=frozenset({"recon"}), mismatch=mismatch, **clean)
    view = s.with_books(broker=broker).view
    c = data_state.reconciliation(view, s.knobs["DS-08"]).constraint
    assert c.lo is not None and c.hi is not None and c.no_trade is not None and c.mode is not None
    assert c.mode.tolist() == [1, 0]
    assert np.isinf(c.hi).tolist() == np.isinf(c.lo).tolist() == [[False, False, True], [True, True, True]]
    assert (c.hi[0, :2] == np.maximum(view.held[0, :2], 0)).all()
    assert c.no_trade.tolist() == [[False, True, False], [False, False, False]]


# --- what a jump is shown against ------------------------------------------------------------------------------------


def test_a_move_is_shown_beside_its_own_bound() -> None:
    """σ widens the bound of the first asset beyond its larger move; the second is what jumped."""
    price, sigma = np.array([130.0, 124.0, 100.0]), np.array([0.09, 0.01, 0.01])
    s = calm().with_market(price=price, ref_price=np.full(N, 100.0), sigma=sigma)
    k = s.knobs["DS-03"]
    found = data_sanity.price_jump(s.view, k)
    assert found.value == pytest.approx([math.log(1.24)] * 2)
    assert found.limit == pytest.approx(np.maximum(k["k_sigma"] * 0.01, k["abs_move"]))
    nothing = data_sanity.price_jump(s.with_market(ref_price=np.full(N, np.nan)).view, k)
    assert np.isnan(nothing.value).all()
