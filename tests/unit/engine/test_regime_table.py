from __future__ import annotations

import numpy as np
import pytest

from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import PriceWindow
from regime_trading.engine.histories import RegimeHistory, ResearchParams
from regime_trading.engine.regime_table import from_parquet, to_parquet
from regime_trading.engine.research import features, regimes

PARAMS = ResearchParams(
    min_obs=80,
    refit_every=40,
    structure_window=64,
    structure_min_obs=64,
    structure_lags=(2, 4),
    structure_every=5,
)


@pytest.fixture(scope="module")
def history() -> tuple[RegimeHistory, np.ndarray]:
    rng = np.random.default_rng(3)
    close = np.exp(np.cumsum(rng.normal(0, 0.01, size=(400, 2)), axis=0)) * 100
    close[:150, 1] = np.nan
    ts_ns = 1_600_000_000_000_000_000 + np.arange(400, dtype=np.int64) * 86_400_000_000_000
    found = features(PriceWindow(("A", "B"), ts_ns, close), None, PARAMS)
    return regimes(found, PARAMS), ts_ns


def test_the_table_is_the_history_to_the_bit(history: tuple[RegimeHistory, np.ndarray]) -> None:
    before, ts_ns = history
    data = to_parquet(before, ts_ns)
    after, times = from_parquet(data, "x")
    np.testing.assert_array_equal(times, ts_ns)
    assert (after.symbols, after.market, after.n_states) == (before.symbols, before.market, before.n_states)
    assert np.isnan(before.risk_margin).any() and (before.risk_state >= 0).any()
    for name in (
        "label",
        "confidence",
        "risk_state",
        "risk_margin",
        "risk_duration",
        "risk_fitted_at",
        "risk_reason",
    ):
        a, b = getattr(before, name), getattr(after, name)
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes(), name
    for name in before.structure.__dataclass_fields__:
        a, b = getattr(before.structure, name), getattr(after.structure, name)
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes(), name
    assert to_parquet(after, times) == data


def test_a_damaged_table_is_refused(history: tuple[RegimeHistory, np.ndarray]) -> None:
    before, ts_ns = history
    data = to_parquet(before, ts_ns)
    for bad in (b"", b"nonsense", data[:-20], data[:200] + bytes(200) + data[400:]):
        with pytest.raises(BadInput, match="x: expected"):
            from_parquet(bad, "x")


def test_another_content_under_the_same_hash_is_refused(history: tuple[RegimeHistory, np.ndarray]) -> None:
    import io

    import polars as pl

    before, ts_ns = history
    data = to_parquet(before, ts_ns)
    frame = pl.read_parquet(io.BytesIO(data)).with_columns(pl.col("confidence") * 0.5)
    metadata = {k: v for k, v in pl.read_parquet_metadata(io.BytesIO(data)).items() if k != "ARROW:schema"}
    buffer = io.BytesIO()
    frame.write_parquet(buffer, metadata=metadata)
    with pytest.raises(BadInput, match="content hash"):
        from_parquet(buffer.getvalue(), "x")
