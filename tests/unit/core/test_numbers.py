"""Nanoweights: exact where nine decimals are exact, toward zero elsewhere, NaN stays NaN."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_FLOOR, Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from regime_trading.core.numbers import (
    NANO,
    exp_of,
    floor_micro,
    from_nano,
    log_of,
    money,
    nano_of,
    nano_text,
    to_nano,
)

NANOS = st.integers(-(10**13), 10**13)  # weights up to 10,000 times equity
GRID = Decimal("1e-9")


@given(NANOS)
def test_nine_decimals_are_exact(n: int) -> None:
    exact = n * GRID
    assert to_nano(float(exact)) == n
    assert nano_of(exact) == n
    assert from_nano(float(n)) == float(exact)
    assert Decimal(nano_text(float(n))) == exact


@given(st.decimals(-10, 10, places=12))
def test_more_decimals_go_toward_zero(weight: Decimal) -> None:
    toward_zero = (weight / GRID).to_integral_value(ROUND_DOWN)
    assert nano_of(weight) == float(toward_zero)
    got = float(to_nano(float(weight)))
    if abs((weight / GRID) % 1) < Decimal("0.99999"):  # clear of the next multiple by more than its tolerance
        assert got == float(toward_zero)
    assert abs(got) <= abs(weight) / GRID + Decimal("1e-5")


def test_known_traps() -> None:
    assert to_nano(0.29) == 290_000_000  # 0.29 * 1e9 is 289999999.99999994
    assert to_nano(1e-10) == 0
    assert to_nano(-0.1234567891) == -123_456_789
    assert nano_text(200_000_000.0) == "0.2"
    assert nano_text(0.0) == "0"
    assert not np.signbit(to_nano(-1e-12))  # one zero


def test_nan_and_infinity_stay() -> None:
    with np.errstate(invalid="ignore"):
        got = to_nano([np.nan, np.inf, -np.inf, 0.5])
    assert np.isnan(got[0])
    assert got[1] == np.inf
    assert got[2] == -np.inf
    assert got[3] == NANO / 2


@given(st.lists(NANOS, min_size=1, max_size=50), st.randoms())
def test_sums_are_free_of_order(values: list[int], random: object) -> None:
    nano = to_nano([float(n * GRID) for n in values])
    shuffled = list(nano)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sum(shuffled) == float(nano.sum()) == sum(values)


@given(st.decimals(-(10**9), 10**9, places=8))
def test_money_is_rounded_down_in_both_forms(amount: Decimal) -> None:
    down = amount.quantize(Decimal("0.000001"), rounding=ROUND_FLOOR)
    assert money(amount) == down
    assert abs(Decimal(float(floor_micro(float(amount)))) - down) <= Decimal("0.0000011")


def test_money_of_a_double_is_its_shortest_text() -> None:
    assert money(0.1) == Decimal("0.1")
    assert money(-0.0000001) == Decimal("-0.000001")
    assert floor_micro([0.29, -0.0000001]).tolist() == [0.29, -0.000001]


def test_logarithm_and_exponential_of_edges_and_their_inverse() -> None:
    inf, nan = np.inf, np.nan
    np.testing.assert_array_equal(log_of(np.array([0.0, 1.0, inf, -1.0, nan])), [-inf, 0.0, inf, nan, nan])
    np.testing.assert_array_equal(exp_of(np.array([0.0, -inf, inf, nan, 710.0])), [1.0, 0.0, inf, nan, inf])
    assert np.isfinite(exp_of(log_of(np.array([np.finfo(float).max])))).all()
    x = np.random.default_rng(3).uniform(-600, 600, (7, 5))
    np.testing.assert_allclose(log_of(exp_of(x)), x, rtol=1e-14)
