"""Longer bars from shorter ones: values by hand, against polars, and unchanged when the future is cut off."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regime_trading.core.bars import DAY_NS
from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import PriceWindow
from regime_trading.tools.resample import bar_ends, resample

MINUTE = 60_000_000_000
T0 = 1_609_459_200_000_000_000  # 2021-01-01T00:00Z


def window(n: int, seed: int = 0, holes: float = 0.0) -> PriceWindow:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (n, 2)), axis=0))
    close[rng.random((n, 2)) < holes] = np.nan
    spread = rng.random((n, 2))
    keep = np.isfinite(close).any(axis=1)
    ts = T0 + MINUTE * np.arange(1, n + 1)
    return PriceWindow(
        ("A", "B"), ts[keep], close[keep], close[keep] - 0.1, close[keep] + spread[keep],
        close[keep] - spread[keep], np.where(np.isfinite(close), 5.0, np.nan)[keep],
    )  # fmt: skip


def midnights(w: PriceWindow) -> np.ndarray:
    return -(-w.ts_ns // DAY_NS) * DAY_NS


def test_by_hand() -> None:
    w = PriceWindow(
        ("A",),
        T0 + MINUTE * np.array([1, 2, 3, 4]),
        np.array([[10.0], [12.0], [np.nan], [9.0]]),
        np.array([[9.5], [11.0], [np.nan], [9.9]]),
        np.array([[10.5], [13.0], [np.nan], [10.0]]),
        np.array([[9.0], [10.0], [np.nan], [8.0]]),
        np.array([[1.0], [2.0], [np.nan], [4.0]]),
    )
    r = resample(w, 2 * MINUTE, midnights(w))
    assert r.ts_ns.tolist() == [T0 + 2 * MINUTE, T0 + 4 * MINUTE]
    assert r.close.ravel().tolist() == [12.0, 9.0]
    assert r.open is not None and r.open.ravel().tolist() == [9.5, 9.9]
    assert r.high is not None and r.high.ravel().tolist() == [13.0, 10.0]
    assert r.low is not None and r.low.ravel().tolist() == [9.0, 8.0]
    assert r.volume is not None and r.volume.ravel().tolist() == [3.0, 4.0]


def test_the_bar_in_progress_is_left_out_and_a_gap_completes_it() -> None:
    w = window(14)
    assert len(resample(w, 5 * MINUTE, midnights(w)).ts_ns) == 2
    later = PriceWindow(("A",), T0 + MINUTE * np.array([1, 2, 9]), np.array([[1.0], [2.0], [3.0]]))
    r = resample(later, 5 * MINUTE, midnights(later))
    assert (r.ts_ns.tolist(), r.close.ravel().tolist()) == ([T0 + 5 * MINUTE], [2.0])


def test_no_bar_reaches_over_the_close() -> None:
    ts = T0 + MINUTE * np.array([58, 60, 62, 70])
    close = np.where(ts <= T0 + 62 * MINUTE, T0 + 62 * MINUTE, T0 + 200 * MINUTE)
    assert (bar_ends(ts, 60 * MINUTE, close) - T0).tolist() == [
        60 * MINUTE,
        60 * MINUTE,
        62 * MINUTE,
        120 * MINUTE,
    ]


@pytest.mark.parametrize("bar_ns", [0, 2 * DAY_NS])
def test_bar_out_of_range(bar_ns: int) -> None:
    w = window(3)
    with pytest.raises(BadInput, match="bars of 1 ns to one day"):
        resample(w, bar_ns, midnights(w))


@given(st.integers(1, 400), st.integers(0, 9), st.sampled_from([3, 7, 60]), st.floats(0, 0.9))
def test_equal_to_polars_and_causal(n: int, seed: int, minutes: int, holes: float) -> None:
    w = window(n, seed, holes)
    bar = minutes * MINUTE
    r = resample(w, bar, midnights(w))
    frame = pl.DataFrame({"end": -(-w.ts_ns // bar) * bar, "c": w.close[:, 0], "o": w.open[:, 0]}).fill_nan(
        None
    )
    ref = frame.group_by("end", maintain_order=True).agg(
        pl.col("c").drop_nulls().last(), pl.col("o").drop_nulls().first()
    )
    ref = ref.filter(pl.col("end") <= (w.ts_ns[-1] if len(w.ts_ns) else 0)) if len(w.ts_ns) else ref
    assert r.ts_ns.tolist() == ref["end"].to_list()
    assert np.array_equal(r.close[:, 0], ref["c"].fill_null(np.nan).to_numpy(), equal_nan=True)
    assert np.array_equal(r.open[:, 0], ref["o"].fill_null(np.nan).to_numpy(), equal_nan=True)
    cut = w.until(int(w.ts_ns[len(w.ts_ns) // 2])) if len(w.ts_ns) else w
    early = resample(cut, bar, midnights(cut))
    assert np.array_equal(early.close, r.close[: len(early.ts_ns)], equal_nan=True)
