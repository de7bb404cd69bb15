"""A small data folder with bars, quotes and trades, made by a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

MINUTE = 60_000_000_000
T0 = int(np.datetime64("2024-01-01", "ns").astype(np.int64))
STAMP = pl.Datetime("ns", "UTC")


def bars(n: int, seed: int, start: float = 100.0) -> pl.DataFrame:
    """Quarter-hour bars with a calm and a turbulent stretch by turns."""
    rng = np.random.default_rng(seed)
    sd = np.where((np.arange(n) // 400) % 2 == 0, 1e-3, 3e-3)
    close = start * np.exp(np.cumsum(rng.normal(0, sd)))
    ts = T0 + 15 * MINUTE * np.arange(1, n + 1)
    return pl.DataFrame(
        {
            "ts_event": pl.Series(ts).cast(STAMP),
            "open": close,
            "high": close * 1.002,
            "low": close * 0.998,
            "close": close,
            "volume": rng.gamma(2, 500, n),
        }
    )


def quotes(end_ns: int, n: int, seed: int, *, mid: float = 100.0, crossed: float = 0.0) -> pl.DataFrame:
    """Quotes of the three hours before ``end_ns``; sizes push the mid, ``crossed`` is the share of crossed rows."""
    rng = np.random.default_rng(seed)
    ts = np.sort(rng.integers(end_ns - 180 * MINUTE, end_ns, n))
    path = mid + 0.01 * np.cumsum(rng.choice([-1, 0, 0, 0, 1], n))
    half = 0.01 * (1 + rng.integers(0, 2, n))
    bid, ask = np.round(path - half, 2), np.round(path + half, 2)
    wrong = rng.random(n) < crossed
    bid[wrong], ask[wrong] = ask[wrong].copy(), bid[wrong].copy()
    return pl.DataFrame(
        {
            "ts_event": pl.Series(ts).cast(STAMP),
            "bid_px": bid,
            "ask_px": ask,
            "bid_sz": rng.integers(1, 50, n).astype(float),
            "ask_sz": rng.integers(1, 50, n).astype(float),
        }
    )


def trades(book: pl.DataFrame, n: int, seed: int) -> pl.DataFrame:
    """Trades at the touch, a microsecond after quotes picked at random."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(book.height, n, replace=False))
    buys = rng.random(n) < 0.5
    picked = book[rows.tolist()]
    low, high = picked.select(
        pl.min_horizontal("bid_px", "ask_px"), pl.max_horizontal("ask_px", "bid_px").alias("h")
    )
    return pl.DataFrame(
        {
            "ts_event": (picked["ts_event"].cast(pl.Int64) + 1000).cast(STAMP),
            "price": np.where(buys, high, low),
            "size": rng.integers(1, 9, n).astype(float),
            "aggressor": np.where(buys, "B", "S"),
        }
    )


def data_folder(folder: Path, n_bars: int = 1600) -> Path:
    """``SOUND`` has a good tape, ``DIRTY`` one with crossed rows, ``MUTE`` bars alone."""
    for name in ("bars", "quotes", "trades"):
        (folder / name).mkdir(parents=True)
    end = T0 + 15 * MINUTE * n_bars
    for seed, symbol in enumerate(("DIRTY", "MUTE", "SOUND"), start=1):
        table = bars(n_bars, seed)
        table.write_parquet(folder / "bars" / f"{symbol}.parquet")
        if symbol != "MUTE":
            book = quotes(
                end, 6000, seed, mid=float(table["close"][-1]), crossed=0.3 if symbol == "DIRTY" else 0.0
            )
            book.write_parquet(folder / "quotes" / f"{symbol}.parquet")
            trades(book, 1200, seed).write_parquet(folder / "trades" / f"{symbol}.parquet")
    return folder
