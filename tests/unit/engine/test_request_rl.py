"""Whatever a request tells, its rows satisfy the schema, and nothing in them was known later."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests.gate_samples import CORE, T, answers, shipped, tree

from regime_trading.adapters.journal import files
from regime_trading.adapters.rl_files import block_table
from regime_trading.core.request_reading import InvalidRequest, read_requests
from regime_trading.core.rl import action_of, state_of, transition_of
from regime_trading.core.rl_features import BLOCKS, known_column
from regime_trading.core.rl_rows import RLDecision, RLWaiting
from regime_trading.core.schemas import AccountState
from regime_trading.engine.request_books import Subject
from regime_trading.engine.request_rl import notes_of
from regime_trading.engine.rl_body import blocks_of, open_end

STEP = 60 * 10**9
MATRICES = [[[0.03, None], [None, None]], [[0, 0], [0, 0]], [[0.03, 0.04], [0.04, 0.02]]]
MODELS = {"state": state_of, "action": action_of, "transition": transition_of}

quantity = st.sampled_from([-1000, -1, 0, 1, 1000])
symbol = st.sampled_from(["KO", "XOM", "PEP"])
ago = st.sampled_from([0, 1, 30, 90_000])


@st.composite
def positions(draw: st.DrawFn) -> list[dict[str, Any]]:
    held = draw(st.lists(symbol, unique=True, max_size=3))
    return [{"symbol": s, "qty": draw(quantity), "avg_price": draw(st.sampled_from([0, 60]))} for s in held]


def fills(as_of: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    one = st.fixed_dictionaries(
        {
            "symbol": symbol,
            "side": st.sampled_from(["buy", "sell"]),
            "qty": st.sampled_from([1, 999, 1000]),
            "px": st.just(61),
            "ts": ago.map(lambda s: as_of - s * 10**9),
        }
    )
    return st.lists(one, max_size=3)


@st.composite
def changes(draw: st.DrawFn, as_of: int) -> list[tuple[str, Any]]:
    """Up to eight things that a request says otherwise, or not at all."""
    later = st.sampled_from([as_of - 10**9, as_of, as_of + 10**9, None])
    every: list[tuple[str, st.SearchStrategy[Any]]] = [
        ("portfolio.positions", positions()),
        ("portfolio.cash", st.sampled_from([0, -(10**6), 938_000, {"USD": 938_000}, {"EUR": 10, "USD": 5}])),
        ("portfolio.equity", st.sampled_from([None, 0, -5, 999_000])),
        ("portfolio.balance", st.sampled_from([None, 0, 999_000])),
        ("portfolio.flows_today", st.sampled_from([None, 0, -1000, 10**6])),
        ("portfolio.traffic", st.fixed_dictionaries({"fills": fills(as_of) | st.none()})),
        ("proposal.weights", st.dictionaries(symbol, st.sampled_from(["-0.3", "0", "0.1", "2"]), max_size=3)),
        ("proposal.complete", st.booleans()),
        ("market.quotes.0.ts", later),
        ("market.quotes.1.ts", later),
        ("market.quotes.0.bid", st.sampled_from([None, 0, 1, "62.01", 70])),
        ("market.quotes", st.just([])),
        ("market.instruments", st.just([])),
        ("market.covariance", st.none()),
        ("market.covariance.matrix", st.sampled_from(MATRICES)),
        ("market.adv", st.sampled_from([{}, {"KO": 0}])),
        ("market.status", st.sampled_from([{}, {"KO": "halted", "XOM": "closed"}])),
        ("market.regime", st.none()),
        ("market.fx", st.sampled_from([{}, {"EUR": "1.1"}, {"EUR": {"rate": "1.1", "ts": as_of + 1}}])),
        ("market.session", st.sampled_from([None, 0, 7])),
        ("market.bar_s", st.sampled_from([1, 60, 86_400, 604_800])),
        ("market.provides", st.just(["close"])),
        ("market.session_clock", st.sampled_from([None, {"KO": {"since_open_s": 5, "to_close_s": 0}}])),
    ]  # fmt: skip
    picked = draw(st.lists(st.sampled_from(every), unique_by=lambda one: one[0], max_size=8))
    # a part of what another one replaces comes first, and is then gone
    return [(path, draw(values)) for path, values in sorted(picked, key=lambda one: -one[0].count("."))]


def left(asked: dict[str, Any], state: AccountState | None, before: RLDecision | None, n: int) -> Any:
    """What one request leaves, and the state after it; None where it cannot be read."""
    try:
        (one,), _ = read_requests(asked)
    except InvalidRequest:
        return None
    told = one.model_copy(update={"state": state})
    (answer,) = answers([told])
    subject = Subject(told, shipped()[1][CORE], state)
    ends = {} if before is None else {CORE: open_end(before.open_end)}
    (notes,) = notes_of([answer], [subject], ends)
    return notes.at(n), answer


def models(left_behind: RLDecision, who: Any) -> dict[str, Any]:
    """The rows as models, by record, after they went through what seals them."""
    waits = RLWaiting(
        1,
        who.firm_id,
        who.account_id,
        who.run_id,
        who.env,
        left_behind.seq,
        left_behind.ts_event_ns,
        left_behind.body,
    )
    found = {}
    for block in blocks_of([waits]):
        files.require_rl_columns(block)
        table = block_table(block).with_columns(pl.col("ts_event").cast(pl.Int64).alias("ts_event_ns"))
        (row,) = table.iter_rows(named=True)
        if block.record == "state":
            assert all(row[known_column(b)] <= left_behind.ts_event_ns for b in BLOCKS)
        found[block.record] = MODELS[block.record](row)
    return found


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(first=changes(T), second=changes(T + STEP), days=st.sampled_from([0, 1, 3]))
def test_any_request_leaves_rows_of_the_schema(
    first: list[tuple[str, Any]], second: list[tuple[str, Any]], days: int
) -> None:
    begun = left(tree(*first), None, None, 1)
    event("first request " + ("refused" if begun is None else "decided"))
    if begun is None:
        return
    rows, answer = begun
    told = models(rows, answer.identity)
    assert set(told) == {"state", "action"}
    ts = T + STEP + days * 86_400 * 10**9
    fresh = [("proposal.as_of", ts), ("market.quotes.0.ts", ts), ("market.quotes.1.ts", ts)]
    after = left(tree(*fresh, *second, as_of=ts), answer.state, rows, 2)
    event("second request " + ("refused" if after is None else "decided"))
    if after is None:
        return
    rows, later = after
    told = models(rows, later.identity)
    assert set(told) == {"state", "action", "transition"}
    book = later.cycle.view.books
    equity = told["state"].blocks["portfolio"].values["equity"]
    assert equity is None or equity == book.equity[later.row]
    assert np.isfinite([x for x in vars(told["transition"].rewards).values() if x is not None]).all()
