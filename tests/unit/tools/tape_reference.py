"""A tape measured the plain way, row by row over the whole of it, and random tapes with every kind of dirt."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from regime_trading.core.tape import QuoteRows, TapeChunk, TradeRows
from regime_trading.tools.quote_pass import TapeParams

NAN = math.nan
S = 1_000_000_000
MIDNIGHT = 1_700_006_400 * S  # 2023-11-15T00:00Z


def quotes(*rows: tuple[float, float, float, float, float]) -> QuoteRows:
    """Rows of (ns since midnight, bid, bid size, ask, ask size)."""
    table = np.array(rows, dtype=object).reshape(-1, 5)
    bid, bid_sz, ask, ask_sz = (table[:, i].astype(float) for i in (1, 2, 3, 4))
    return QuoteRows(table[:, 0].astype(np.int64) + MIDNIGHT, bid, ask, bid_sz, ask_sz)


def trades(*rows: tuple[float, float, float], **columns: list[int]) -> TradeRows:
    """Rows of (ns since midnight, price, size); flags, visibility and the rest by name."""
    table, m = np.array(rows, dtype=object).reshape(-1, 3), len(rows)
    return TradeRows(
        table[:, 0].astype(np.int64) + MIDNIGHT,
        table[:, 1].astype(float),
        table[:, 2].astype(float),
        np.array(columns.get("aggressor", [0] * m), np.int8),
        np.array(columns.get("visible", [1] * m), np.bool_),
        np.array(columns.get("continuous", [1] * m), np.bool_),
        np.array(columns.get("after_quote", [-1] * m), np.int64),
    )


def split(chunk: TapeChunk, quote_cuts: list[int], trade_cuts: list[int]) -> list[TapeChunk]:
    """Consecutive chunks; the i-th cut lies before row ``quote_cuts[i]`` and trade ``trade_cuts[i]``."""
    q, t = chunk.quotes, chunk.trades
    out = []
    for (a, b), (c, d) in zip(
        zip([0, *quote_cuts], [*quote_cuts, len(q)], strict=True),
        zip([0, *trade_cuts], [*trade_cuts, len(t)], strict=True),
        strict=True,
    ):
        rows = (x[a:b] for x in (q.ts_ns, q.bid_px, q.ask_px, q.bid_sz, q.ask_sz))
        names = ("ts_ns", "price", "size", "aggressor", "visible", "continuous", "after_quote")
        out.append(TapeChunk(QuoteRows(*rows), TradeRows(*(getattr(t, name)[c:d] for name in names))))
    return out


def same(a: object, b: object) -> bool:
    """Equal to the bit, NaN equal to NaN."""
    if is_dataclass(a) and is_dataclass(b):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, float) and isinstance(b, float):
        return np.float64(a).tobytes() == np.float64(b).tobytes() or (math.isnan(a) and math.isnan(b))
    return bool(a == b)


# --- reference --------------------------------------------------------------------------------------------


@dataclass
class Row:
    ts: int
    b: float
    a: float
    bs: float
    as_: float
    place: int
    session: int = -1

    @property
    def mid(self) -> float:
        return (self.a + self.b) / 2


@dataclass
class Reference:
    counts: dict[str, int] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    events: list[float] = field(default_factory=list)
    buckets: list[dict[str, float]] = field(default_factory=list)
    spread_px: float = NAN
    spread_bps: float = NAN
    depth: float = NAN
    orders: list[dict] = field(default_factory=list)
    costs: dict[int, tuple[int, float, float]] = field(default_factory=dict)


def price_ok(x: float) -> bool:
    return math.isfinite(x) and x > 0


def reason(b: float, a: float, bs: float, as_: float) -> str:
    if (not price_ok(b) and not price_ok(a)) or bs < 0 or as_ < 0:
        return "non_positive"
    if not (price_ok(b) and price_ok(a) and price_ok(bs) and price_ok(as_)):
        return "one_sided"
    return "crossed" if b > a else "used"


def days(edges: list[int], ts: int) -> int:
    return bisect.bisect_right(edges, ts)


def mean(pairs: list[tuple[float, float]]) -> float:
    weight = sum(w for w, _ in pairs)
    return math.fsum(w * x for w, x in pairs) / weight if weight > 0 else NAN


def keep(ref: Reference, q: QuoteRows, p: TapeParams) -> None:
    edges = p.day_edges_ns.tolist()
    names = ("rows", "used", "crossed", "locked", "one_sided", "non_positive", "repeated_ts")
    ref.counts = dict.fromkeys(names, 0)
    columns = (q.ts_ns, q.bid_px, q.ask_px, q.bid_sz, q.ask_sz)
    for i, (ts, b, a, bs, as_) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        ref.counts["rows"] += 1
        why = reason(b, a, bs, as_)
        ref.counts[why] += 1
        if why != "used":
            continue
        row, last = Row(ts, b, a, bs, as_, i), ref.rows[-1] if ref.rows else None
        ref.counts["locked"] += b == a
        ref.counts["repeated_ts"] += last is not None and last.ts == ts
        new = last is None or ts - last.ts > p.session_gap_ns or days(edges, ts) != days(edges, last.ts)
        row.session = (last.session if last else -1) + new
        e = 0.0
        if last is not None and not new:
            e += bs if b >= last.b else 0
            e -= last.bs if b <= last.b else 0
            e -= as_ if a <= last.a else 0
            e += last.as_ if a >= last.a else 0
        ref.rows.append(row)
        ref.events.append(e)


def cut(ref: Reference, p: TapeParams) -> None:
    step, overall = p.interval_ns, []
    for session in range(ref.rows[-1].session + 1 if ref.rows else 0):
        mine = [(r, e) for r, e in zip(ref.rows, ref.events, strict=True) if r.session == session]
        spans = [(x.ts, y.ts, x) for (x, _), (y, _) in pairwise(mine)]
        overall += [(end - start, r) for start, end, r in spans]
        mid = mine[0][0].mid
        for start in range(mine[0][0].ts // step * step, mine[-1][0].ts + 1, step):
            inside = [(r, e) for r, e in mine if start <= r.ts < start + step]
            held = [(min(z, start + step) - max(a, start), r) for a, z, r in spans]
            held = [(w, r) for w, r in held if w > 0]
            now = inside[-1][0].mid if inside else mid
            bucket = {"edge_ns": start + step, "session": session, "rows": len(inside), "mid": now}
            bucket |= {"d_mid": now - mid, "ofi": math.fsum(e for _, e in inside)}
            bucket["spread_bps"] = mean([(w, (r.a - r.b) / r.mid * 1e4) for w, r in held])
            bucket["depth"] = mean([(w, (r.bs + r.as_) / 2) for w, r in held])
            bucket |= {"signed_volume": 0.0, "volume": 0.0}
            ref.buckets.append(bucket)
            mid = now
    ref.spread_px = mean([(w, r.a - r.b) for w, r in overall])
    ref.spread_bps = mean([(w, (r.a - r.b) / r.mid * 1e4) for w, r in overall])
    ref.depth = mean([(w, (r.bs + r.as_) / 2) for w, r in overall])


def in_force(ref: Reference, ts: int, after_quote: int) -> Row | None:
    sequenced = after_quote >= 0
    earlier = [r for r in ref.rows if (r.place < after_quote if sequenced else r.ts < ts)]
    return earlier[-1] if earlier else None


def sign(ref: Reference, t: TradeRows, p: TapeParams) -> None:
    edges, orders = p.day_edges_ns.tolist(), ref.orders
    for i in range(len(t)):
        if not t.continuous[i]:
            continue
        ts, price, size, flag = int(t.ts_ns[i]), float(t.price[i]), float(t.size[i]), int(t.aggressor[i])
        quote, why = in_force(ref, ts, int(t.after_quote[i])), ""
        if quote is None:
            why = "before_first_quote"
        elif ts - quote.ts > p.session_gap_ns or days(edges, ts) != days(edges, quote.ts):
            quote, why = None, "no_quote_in_session"
        side, how = flag, "aggressor"
        if flag == 0 and quote is not None and price != quote.mid:
            side, how = (1 if price > quote.mid else -1), "quote"
        elif flag == 0:
            how = "tick" if t.visible[i] else "none"
        key = (ts, side, how)
        if not orders or orders[-1]["key"] != key:
            orders.append({"key": key, "ts": ts, "quote": quote, "why": why, "fills": [], "shown": []})
        orders[-1]["fills"].append((size, price))
        if t.visible[i]:
            orders[-1]["shown"].append((size, price))
    finish(orders)


def average(fills: list[tuple[float, float]]) -> float:
    prices = {price for _, price in fills}
    return prices.pop() if len(prices) == 1 else mean(fills)


def finish(orders: list[dict]) -> None:
    past: list[float] = []
    for order in orders:
        _, order["sign"], order["how"] = order["key"]
        order["price"], order["size"] = average(order["fills"]), sum(s for s, _ in order["fills"])
        if order["how"] == "tick":
            different = [x for x in past if x != order["price"]]
            order["sign"] = 0 if not different else (1 if order["price"] > different[-1] else -1)
            order["how"] = "tick" if different else "none"
        past.append(order["price"])
        if not order["why"] and not order["shown"]:
            order["why"] = "hidden"
        if not order["why"] and order["sign"] == 0:
            order["why"] = "unsigned"


def cost(ref: Reference, p: TapeParams) -> None:
    last = {r.session: r.ts for r in ref.rows}
    for horizon in (0, *p.horizons_ns):
        n, effective, impact = 0, [], []
        for o in ref.orders:
            if o["why"] or (horizon and last[o["quote"].session] < o["ts"] + horizon):
                continue
            m, size, price = o["quote"].mid, sum(s for s, _ in o["shown"]), average(o["shown"])
            later = m
            if horizon:
                later = [r for r in ref.rows if r.ts <= o["ts"] + horizon][-1].mid
            n += 1
            effective.append((size, 2e4 * o["sign"] * (price - m) / m))
            impact.append((size, 2e4 * o["sign"] * (later - m) / m))
        ref.costs[horizon] = (n, mean(effective), mean(impact))
    for o in ref.orders:
        for b in ref.buckets:
            here = b["edge_ns"] - p.interval_ns <= o["ts"] < b["edge_ns"]
            if here and o["quote"] is not None and o["quote"].session == b["session"]:
                b["signed_volume"] += o["sign"] * o["size"]
                b["volume"] += o["size"]


def reference(chunk: TapeChunk, p: TapeParams) -> Reference:
    ref = Reference()
    keep(ref, chunk.quotes, p)
    cut(ref, p)
    sign(ref, chunk.trades, p)
    cost(ref, p)
    return ref


# --- random tapes -----------------------------------------------------------------------------------------

PARAMS = TapeParams(
    interval_ns=10,
    session_gap_ns=45,
    r2_window_ns=50,
    horizons_ns=(1, 7, 30),
    headline_horizon_ns=7,
    day_edges_ns=np.array([MIDNIGHT + 60, MIDNIGHT + 63, MIDNIGHT + 200]),
)
STEPS = st.sampled_from([0, 0, 0, 1, 1, 2, 5, 11, 30, 44, 45, 46, 90])
DIRT = st.sampled_from([NAN, 0.0, -1.0, math.inf])


@st.composite
def dirty_quote(draw: st.DrawFn) -> list[float]:
    bid = draw(st.integers(95, 105))
    row = [
        bid,
        bid + draw(st.sampled_from([0, 1, 1, 1, 2, 3, -1])),
        *draw(st.tuples(*[st.integers(1, 9)] * 2)),
    ]
    row = [float(x) for x in row]
    for i in range(4):
        if draw(st.integers(0, 24)) == 0:
            row[i] = draw(DIRT)
    return row


@st.composite
def tapes(draw: st.DrawFn, max_rows: int = 40) -> TapeChunk:
    """Quotes and trades on one clock; half of them with a common sequence, and some with flags."""
    n = draw(st.integers(0, max_rows))
    events = draw(st.lists(st.tuples(STEPS, st.booleans()), min_size=n, max_size=n))
    sequenced, flagged, ts = draw(st.booleans()), draw(st.booleans()), MIDNIGHT
    q: list[list[float]] = []
    t: list[tuple] = []
    for step, is_trade in events:
        ts += step
        if is_trade:
            price = draw(st.integers(186, 216)) / 2
            flag = draw(st.sampled_from([-1, 0, 1])) if flagged else 0
            seen, open_ = draw(st.integers(0, 4)) > 0, draw(st.integers(0, 7)) > 0
            t.append(
                (ts, price, float(draw(st.integers(1, 5))), flag, seen, open_, len(q) if sequenced else -1)
            )
        else:
            q.append([ts, *draw(dirty_quote())])
    table = np.array(q, dtype=object).reshape(-1, 5)
    rows = np.array(t, dtype=object).reshape(-1, 7)
    types = (np.int64, float, float, np.int8, np.bool_, np.bool_, np.int64)
    return TapeChunk(
        QuoteRows(table[:, 0].astype(np.int64), *(table[:, i].astype(float) for i in range(1, 5))),
        TradeRows(*(rows[:, i].astype(kind) for i, kind in enumerate(types))),
    )


@st.composite
def cuts(draw: st.DrawFn, chunk: TapeChunk) -> list[TapeChunk]:
    """The same tape in chunks, cut wherever no later row is earlier: inside an instant too."""
    qt, tt = chunk.quotes.ts_ns, chunk.trades.ts_ns
    places = [
        (i, j)
        for i in range(len(qt) + 1)
        for j in range(len(tt) + 1)
        if max([*qt[i - 1 : i], *tt[j - 1 : j]], default=0)
        <= min([*qt[i : i + 1], *tt[j : j + 1]], default=2**62)
    ]
    chosen = sorted(draw(st.lists(st.sampled_from(places), max_size=6)))
    path, at = [], (0, 0)
    for i, j in chosen:
        if i >= at[0] and j >= at[1]:
            path.append((i, j))
            at = (i, j)
    return split(chunk, [i for i, _ in path], [j for _, j in path])
