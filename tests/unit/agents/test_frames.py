from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.agents.frames import load, save, snapshot_window
from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import PriceWindow
from regime_trading.engine.price_table import closes_of, frame_window, to_parquet, window_frame


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 5), st.integers(1, 3)),
        elements=st.floats(1e-300, 1e300) | st.just(float("nan")),
    ),
    st.booleans(),
)
def test_a_window_comes_back_to_the_bit(close: np.ndarray, full: bool) -> None:
    rows, columns = close.shape
    symbols = tuple(f"S{i}" for i in range(columns))
    ts_ns = np.arange(rows, dtype=np.int64) * 86_400_000_000_000 - 10**18
    extra = dict.fromkeys(("open", "high", "low", "volume"), close * 2) if full else {}
    window = PriceWindow(symbols, ts_ns, close, **extra)
    back = frame_window(window_frame(window))
    assert back.content_hash() == window.content_hash()
    assert (back.open is None) == (not full)


def test_a_table_is_read_back_only_as_it_was_written(tmp_path: Path) -> None:
    store = LocalArtifacts(tmp_path)
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    ref = save(store, "runs/r/market/t.parquet", frame)
    assert load(store, ref).equals(frame) and (ref.rows, ref.columns) == (2, ("a", "b"))
    store.write_bytes(ref.path, b"other")
    with pytest.raises(BadInput, match="SHA-256"):
        load(store, ref)
    store.remove(ref.path)
    with pytest.raises(BadInput, match="no file"):
        load(store, ref)


def test_prices_of_another_content_are_refused(tmp_path: Path) -> None:
    store = LocalArtifacts(tmp_path)
    window = PriceWindow(("A",), np.array([1, 2], dtype=np.int64), np.array([[1.0], [2.0]]))
    ref = save(store, "p.parquet", window_frame(window))
    assert snapshot_window(store, ref, window.content_hash()).symbols == ("A",)
    with pytest.raises(BadInput, match="content hash"):
        snapshot_window(store, ref, "0" * 64)


def test_closes_of_one_symbol_are_read_alone_and_a_missing_bar_stays_one() -> None:
    times = np.array([1, 2, 3], dtype=np.int64)
    window = PriceWindow(("A", "B"), times, np.array([[1.0, 5.0], [np.nan, 6.0], [3.0, 7.0]]))
    ts_ns, close = closes_of(to_parquet(window), "A", "p")
    assert ts_ns.tolist() == [1, 2, 3] and close[[0, 2]].tolist() == [1.0, 3.0] and np.isnan(close[1])
    assert closes_of(to_parquet(window), "C", "p")[0].size == 0
    with pytest.raises(BadInput, match="a table of prices"):
        closes_of(b"other", "A", "p")
