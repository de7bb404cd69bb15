"""One pass over best quotes against copying its input, against polars and against pandas.

All of them: what is kept and why not, time-weighted spread and depth, weighted mid, event order-flow imbalance,
and buckets of one second with mid, order flow, spread and depth. Medians of ``--repeats`` rounds (at least five)
after a warm-up, every contender once a round, in processor seconds: what else the machine does counts less.
Start with ``OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 python benchmarks/microstructure.py [--rows 10000000]``.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import polars as pl

from regime_trading.core.tape import QuoteRows, TapeChunk, TradeRows, no_trades
from regime_trading.tools.microstructure import TapeMeasures, TapeParams, TapePass, measure
from regime_trading.tools.quote_pass import BLOCK_ROWS

SECOND_NS = 1_000_000_000
OPEN_NS = 1_700_006_400 * SECOND_NS
ROWS_PER_S = 460
CHUNK_ROWS = 1 << 20
Columns = dict[str, np.ndarray]


def quotes(n: int, seed: int, dirt: float = 0.001) -> Columns:
    """Random walk of a book on a cent grid, with crossed, one-sided and empty rows among the good ones."""
    rng = np.random.default_rng(seed)
    bid = np.round(100 + np.cumsum(rng.choice([-0.01, 0, 0, 0, 0, 0, 0, 0, 0.01], n)), 2)
    ask = np.round(bid + rng.choice([0.01, 0.01, 0.02], n), 2)
    sizes = [rng.integers(1, 100, n).astype(float) for _ in range(2)]
    ts = OPEN_NS + np.sort(rng.integers(0, n * SECOND_NS // ROWS_PER_S, n))
    bad = rng.choice(n, int(n * dirt), replace=False)
    ask[bad[::3]], bid[bad[1::3]], sizes[0][bad[2::3]] = bid[bad[::3]] - 0.01, np.nan, 0.0
    return {"ts": ts, "bid": bid, "ask": ask, "bid_sz": sizes[0], "ask_sz": sizes[1]}


def params() -> TapeParams:
    return TapeParams(interval_ns=SECOND_NS)


def rows(data: Columns, start: int = 0, stop: int | None = None) -> QuoteRows:
    return QuoteRows(*(data[name][start:stop] for name in ("ts", "bid", "ask", "bid_sz", "ask_sz")))


def ours(data: Columns) -> TapeMeasures:
    return measure([TapeChunk(rows(data), no_trades())], params())


def ours_with_weighted_mid(data: Columns, out: np.ndarray) -> TapeMeasures:
    """The same with the weighted mid of every kept row, written while its block is in the cache."""
    at, total, other = 0, np.empty(BLOCK_ROWS), np.empty(BLOCK_ROWS)

    def take(
        ts: np.ndarray, bid: np.ndarray, ask: np.ndarray, bid_sz: np.ndarray, ask_sz: np.ndarray, _: object
    ) -> None:
        nonlocal at
        n = len(ts)
        to = np.multiply(ask, bid_sz, out=out[at : at + n])
        to += np.multiply(bid, ask_sz, out=other[:n])
        to /= np.add(bid_sz, ask_sz, out=total[:n])
        at += n

    tape = TapePass(params(), quote_sink=take)
    tape.update(TapeChunk(rows(data), no_trades()))
    return tape.result()


def in_polars(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """One lazy plan. Time weights are not cut at bucket edges and every row is of one session: less work."""
    two = (pl.col("bid") > 0) & pl.col("bid").is_finite() & (pl.col("ask") > 0) & pl.col("ask").is_finite()
    sized = (pl.col("bid_sz") > 0) & (pl.col("ask_sz") > 0)
    crossed = pl.col("bid") > pl.col("ask")
    counts = frame.lazy().select(
        used=(two & sized & ~crossed).sum(),
        crossed=(two & sized & crossed).sum(),
        other=(~(two & sized)).sum(),
    )
    kept = frame.lazy().filter(two & sized & ~crossed)
    held = (pl.col("ts").shift(-1) - pl.col("ts")).fill_null(0).cast(pl.Float64)
    b, a, bs, as_ = (pl.col(name) for name in ("bid", "ask", "bid_sz", "ask_sz"))
    zero = pl.lit(0.0)
    flow = (
        pl.when(b >= b.shift(1)).then(bs).otherwise(zero)
        - pl.when(b <= b.shift(1)).then(bs.shift(1)).otherwise(zero)
        - pl.when(a <= a.shift(1)).then(as_).otherwise(zero)
        + pl.when(a >= a.shift(1)).then(as_.shift(1)).otherwise(zero)
    )
    mid = (a + b) / 2
    events = kept.with_columns(
        edge=pl.col("ts") // SECOND_NS,
        held=held,
        ofi=flow.fill_null(0.0),
        mid=mid,
        spread=(a - b) / mid,
        width=a - b,
        depth=(bs + as_) / 2,
        weighted=(a * bs + b * as_) / (bs + as_),
    )
    weigh = [(pl.col(name) * pl.col("held")).sum().alias(name) for name in ("spread", "width", "depth")]
    last = [pl.col("mid").last(), pl.col("ofi").sum(), pl.len(), pl.col("weighted").last()]
    buckets = events.group_by("edge", maintain_order=True).agg(*weigh, *last)
    totals = events.select(
        *weigh, pl.col("ofi").sum(), pl.col("held").sum(), locked=(pl.col("width") == 0).sum()
    )
    counted, summed, cut = pl.collect_all([counts, totals, buckets])
    return counted, summed, cut


def in_pandas(frame: pd.DataFrame) -> pd.DataFrame:
    two = np.isfinite(frame.bid) & (frame.bid > 0) & np.isfinite(frame.ask) & (frame.ask > 0)
    sized = (frame.bid_sz > 0) & (frame.ask_sz > 0)
    kept = frame[two & sized & (frame.bid <= frame.ask)]
    b, a, bs, as_ = kept.bid, kept.ask, kept.bid_sz, kept.ask_sz
    before = kept.shift(1)
    flow = (
        bs.where(b >= before.bid, 0)
        - before.bid_sz.where(b <= before.bid, 0)
        - as_.where(a <= before.ask, 0)
        + before.ask_sz.where(a >= before.ask, 0)
    )
    held, mid = (kept.ts.shift(-1) - kept.ts).fillna(0), (a + b) / 2
    columns = {"mid": mid, "ofi": flow.fillna(0), "width": (a - b) * held, "spread": (a - b) / mid * held}
    columns |= {"depth": (bs + as_) / 2 * held, "weighted": (a * bs + b * as_) / (bs + as_)}
    how = {"mid": "last", "ofi": "sum", "width": "sum", "spread": "sum", "depth": "sum", "weighted": "last"}
    return pd.DataFrame(columns).groupby(kept.ts // SECOND_NS, sort=False).agg(how)


def medians(contenders: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Processor seconds; every contender once a round, so that a busy machine slows all of them alike."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for i in range(repeats + 1):
        for name, run in contenders.items():
            start = time.process_time()
            run()
            if i:
                times[name].append(time.process_time() - start)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def compare(n: int, seed: int, repeats: int) -> dict[str, float]:
    data = quotes(n, seed)
    target, out = {name: np.empty_like(column) for name, column in data.items()}, np.empty(n)
    frame, table = pl.DataFrame(data), pd.DataFrame(data)

    def copy() -> None:
        for name, column in data.items():
            np.copyto(target[name], column)

    seconds = medians(
        {
            "copy": copy,
            "ours": lambda: ours(data),
            "ours, weighted mid of every row": lambda: ours_with_weighted_mid(data, out),
            "polars": lambda: in_polars(frame),
            "pandas": lambda: in_pandas(table),
        },
        repeats,
    )
    print(f"\n{n:,} rows ({len(ours(data).buckets):,} buckets)")
    for name, s in seconds.items():
        print(
            f"  {name:32} {s * 1e3:9.1f} ms  {n / s / 1e6:7.1f} M rows/s"
            f"  {s / seconds['copy']:6.2f} x copy  {s / seconds['ours']:6.2f} x ours"
        )
    agree(data, frame)
    return seconds


def agree(data: Columns, frame: pl.DataFrame) -> None:
    found, (counted, summed, _) = ours(data), in_polars(frame)
    width = summed["width"][0] / summed["held"][0]
    same = (found.counts.used, found.counts.crossed) == (counted["used"][0], counted["crossed"][0])
    print(
        f"  counts equal {same}, ofi equal {found.ofi_sum == summed['ofi'][0]},"
        f" spread differs by {abs(found.spread_px / width - 1):.1e} (relative)"
    )


def chunks(data: Columns, n: int) -> Iterator[TapeChunk]:
    """A tape of ``n`` rows that never exists as a whole: one chunk, moved on in time."""
    base, size = data["ts"], len(data["ts"])
    step = int(base[-1] - base[0]) + 1
    for i in range(n // size):
        yield TapeChunk(rows(data | {"ts": base + i * step}), no_trades())


def bounded_memory(n: int, seed: int) -> None:
    data = quotes(CHUNK_ROWS, seed)
    measure(chunks(data, CHUNK_ROWS), params())
    print(f"\nmemory above the input, chunks of {CHUNK_ROWS:,} rows")
    for total in (CHUNK_ROWS, max(n, CHUNK_ROWS), 10 * max(n, CHUNK_ROWS)):
        tracemalloc.start()
        start = time.process_time()
        found = measure(chunks(data, total), params())
        seconds = time.process_time() - start
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        print(
            f"  {found.counts.rows:>13,} rows {seconds:8.2f} s, peak {peak:6.1f} MB"
            f" ({len(found.buckets):,} buckets)"
        )


def with_trades(n: int, seed: int, repeats: int) -> None:
    """One trade to ten quotes, costs at four horizons."""
    data, rng = quotes(n, seed), np.random.default_rng(seed)
    at = np.sort(rng.choice(np.arange(1, n), n // 10, replace=False))
    m, yes = len(at), np.ones(n // 10, np.bool_)
    price = np.where(rng.random(m) < 0.5, np.roll(data["bid"], 1)[at], np.roll(data["ask"], 1)[at])
    price[np.isnan(price)] = 100.0
    sizes, unsigned = rng.integers(1, 50, m).astype(float), np.zeros(m, np.int8)
    trades = TradeRows(data["ts"][at], price, sizes, unsigned, yes, yes, at.astype(np.int64))
    both = TapeChunk(rows(data), trades)
    seconds = medians({"quotes": lambda: ours(data), "both": lambda: measure([both], params())}, repeats)
    print(
        f"\n{n:,} quotes and {m:,} trades: {seconds['both'] * 1e3:.1f} ms,"
        f" {seconds['both'] / seconds['quotes']:.2f} x the quotes alone"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the largest tape")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    repeats = max(5, args.repeats)
    small, large = (compare(n, args.seed, repeats) for n in (max(100_000, args.rows // 10), args.rows))
    print("\ntime for ten times the rows: " + ", ".join(f"{k} x{large[k] / small[k]:.1f}" for k in small))
    with_trades(max(100_000, args.rows // 10), args.seed, repeats)
    bounded_memory(args.rows, args.seed)


if __name__ == "__main__":
    main()
