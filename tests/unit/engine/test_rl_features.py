"""Features of RL states against a slow plain reference, masks, and sources that look ahead."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.history_samples import DAY_NS, history, market, prices, rules

from regime_trading.core.errors import CheckFailed
from regime_trading.core.rl import PMState, action_of, state_of, transition_of
from regime_trading.core.rl_features import (
    BLOCKS,
    FEATURE_SET_VERSION,
    FEATURES,
    FLOORS,
    MASKS,
    features,
    floor_column,
    mask_column,
)
from regime_trading.core.rules import RULE_IDS
from regime_trading.core.schemas import RLBlock
from regime_trading.core.traders import Lifecycle
from regime_trading.engine.backtest import HistoryInputs, HistoryResult, run_history
from regime_trading.engine.cycle import Cycle
from regime_trading.engine.fills import FillCosts
from regime_trading.engine.market import Correlations
from regime_trading.engine.rl import RLRows
from regime_trading.engine.rl_columns import horizon
from regime_trading.engine.rl_context import context_of
from regime_trading.guards.floors import floors
from regime_trading.guards.snapshot import NO_LATCH

COSTS = FillCosts(1.0, 2.0, 10.0)
LIFE = Lifecycle(profit_target_pct="0.05", min_trading_days=2, max_sessions=40)
N_BARS = 130


def rough(seed: int) -> HistoryInputs:
    """Two accounts (the second runs attempts) in a market with holes, unknown sigmas, matrices that change, a fall that
    latches, a deposit, proposals of both signs."""
    r = np.random.default_rng(seed)
    close = prices(N_BARS, 4, seed, 0.02)
    close[60:68] *= np.cumprod(np.full(8, 0.97))[:, None]
    close[68:] *= 0.97**8
    close[r.random(close.shape) < 0.02] = np.nan
    path = market(close)
    rho = np.stack([np.full((4, 4), c) + np.eye(4) * (1 - c) for c in (0.1, 0.5, 0.3)])
    rho[2, 0, 1] = rho[2, 1, 0] = np.nan
    sigma = np.where(r.random(close.shape) < 0.02, np.nan, 0.01 + 0.01 * r.random(close.shape))
    path = replace(
        path,
        sigma=sigma,
        adv=np.where(r.random(close.shape) < 0.02, np.nan, 1e7),
        spread_bps=np.where(r.random(close.shape) < 0.1, np.nan, 5.0),
        book=r.integers(-1, 1, close.shape).astype(np.int8),
        tape_grade=r.integers(-1, 3, close.shape).astype(np.int8),
        correlations=Correlations(np.array([5, 50, 90]), rho, np.full(3, 5.0)),
    )
    weights = r.normal(0.15, 0.15, (26, 4))
    flows = np.zeros((N_BARS, 2))
    flows[40, 0] = 20_000.0
    own = rules(LD_01={"limit_pct": "0.01"}, LD_03={"limit_pct": "0.2"}, LD_16={"min_equity": "20000"})
    return history(path, [own, rules()], weights=weights, costs=COSTS, flows=flows, lifecycles=[None, LIFE])


def played(of: HistoryInputs) -> tuple[HistoryResult, list[Cycle]]:
    """The history, and every cycle as it was noted."""
    cycles: list[Cycle] = []
    plain = RLRows.add

    def noted(self: RLRows, cycle: Cycle, *args: Any) -> None:
        cycles.append(cycle)
        plain(self, cycle, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RLRows, "add", noted)
        result = run_history(of, lambda account, events: None)
    return result, cycles


@pytest.fixture(
    scope="module", params=[3, 4, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(5, 25))]
)
def both(request: pytest.FixtureRequest) -> tuple[HistoryInputs, HistoryResult, list[Cycle]]:
    of = rough(request.param)
    return of, *played(of)


# --- the reference ----------------------------------------------------------------------------------------


def expected(of: HistoryInputs, cycles: list[Cycle], t: int, a: int) -> dict[str, Any]:
    """Features of one account at one bar, number by number."""
    cycle = cycles[t]
    d, books, states, m = cycle.decisions, cycle.view.books, cycle.view.states, cycle.view.market
    n, equity = len(m.symbols), float(books.equity[a])
    w = [float(x) / 1e9 for x in d.current[a]]
    gross = math.fsum(abs(x) for x in w)
    unit = equity / float(states.units[a])
    row = {
        "equity": equity,
        "unit_drawdown": 1 - unit / float(states.unit_hwm[a]),
        "open_profit_share": (equity - float(books.balance[a])) / equity,
        "gross": gross,
        "net": math.fsum(w),
        "herfindahl": math.fsum(x * x for x in w) / gross**2 if gross > 0 else math.nan,
        "turnover_last": math.fsum(
            abs(q) * p
            for q, p in zip(cycle.fills.qty[a].tolist(), cycle.fills.price[a].tolist(), strict=True)
        )
        / equity,
        "bars_since_trade": since_trade(cycles, t, a, of),
        "open_latches": float(sum(kind > NO_LATCH for kind in states.latch_kind[a].tolist())),
        "trading_state": float(d.mode[a]),
        "throttle": float(d.projection.throttle[a]),
        "budget_factor": float(d.projection.k[a]),
    }
    at = floors(cycle.view, of.desk.knobs)
    for rule_id in FLOORS:
        act = float(at[rule_id].act[a])
        row[floor_column(rule_id, "money")] = equity - act if math.isfinite(act) else math.nan
        row[floor_column(rule_id, "share")] = (equity - act) / equity if math.isfinite(act) else math.nan
    used = {}
    for rule_id in ("LD-01", "LD-03", "LD-13"):
        r = RULE_IDS.index(rule_id)
        limit = float(d.rule_limit[a, r])
        used[rule_id] = float(d.rule_value[a, r]) / limit if math.isfinite(limit) else math.nan
    today = [used[rule_id] for rule_id in ("LD-01", "LD-13") if not math.isnan(used[rule_id])]
    row |= {"static_loss_share": used["LD-03"], "loss_today_share": max(today, default=math.nan)}
    sigma = m.sigma.tolist()
    entry, qty = books.broker.avg_price[a].tolist(), books.qty[a].tolist()
    wide = {
        "weight": w,
        "adv_share": [abs(w[i]) * equity / float(m.adv[i]) for i in range(n)],
        "book_correlation": [correlation(w, sigma, m.correlation, i) for i in range(n)],
        "upnl_r": [
            math.copysign(1, qty[i]) * (float(m.price[i]) / entry[i] - 1) / sigma[i] if qty[i] else math.nan
            for i in range(n)
        ],
        "age_bars": [age(cycles, t, a, i) for i in range(n)],
        "lo": [float(x) / 1e9 for x in d.projection.lo[a]],
        "hi": [float(x) / 1e9 for x in d.projection.hi[a]],
        "bound": [float(any(int(x) for x in d.limiting[a, i])) for i in range(n)],
        "frozen": [float(x) for x in d.projection.frozen[a]],
    }
    return row | wide


def correlation(w: list[float], sigma: list[float], rho: np.ndarray, i: int) -> float:
    held = [j for j in range(len(w)) if w[j] != 0]
    if any(math.isnan(w[j]) for j in range(len(w))) or not held:
        return math.nan
    risk = {j: w[j] * sigma[j] for j in held}
    with_book = sum((1.0 if i == j else rho[i, j]) * risk[j] for j in held)
    variance = sum(risk[j] * risk[k] * (1.0 if j == k else rho[j, k]) for j in held for k in held)
    return with_book / math.sqrt(variance) if variance > 0 else math.nan


def since_trade(cycles: list[Cycle], t: int, a: int, of: HistoryInputs) -> float:
    """Bars back to the last one with a fill of this account; a new attempt has traded nothing yet."""
    for back in range(t + 1):
        cycle = cycles[t - back]
        if cycle.fills.qty[a].any():
            return float(back)
        if of.terms.on[a] and not cycle.view.books.qty[a].any() and cycle.view.states.last_trade_ns[a] < 0:
            return math.nan
    return math.nan


def age(cycles: list[Cycle], t: int, a: int, i: int) -> float:
    side = np.sign(cycles[t].view.books.qty[a, i])
    if side == 0:
        return math.nan
    back = 0
    while t - back > 0 and np.sign(cycles[t - back - 1].view.books.qty[a, i]) == side:
        back += 1
    return float(back)


def test_features_are_those_of_the_plain_reference(
    both: tuple[HistoryInputs, HistoryResult, list[Cycle]],
) -> None:
    of, result, cycles = both
    for a in range(2):
        state = result.rl.blocks(a)[0].columns
        for t in range(N_BARS):
            for name, value in expected(of, cycles, t, a).items():
                want = np.where(np.isfinite(value), value, np.nan)
                assert np.allclose(state[name][t], want, rtol=1e-9, atol=1e-12, equal_nan=True), (name, t, a)
    seen = result.rl.blocks(0)[0].columns
    for name in (
        "book_correlation",
        "upnl_r",
        "age_bars",
        "floor_money_ld_01",
        "floor_share_ld_16",
        "weight",
    ):
        known = np.isfinite(seen[name])
        assert known.any(), name
    blind = np.isnan(seen["book_correlation"][:, 0]) & (seen["gross"] > 0)
    assert blind.any(), "a pair or a sigma that is not known leaves the correlation unknown"


def test_rewards_say_what_the_next_decision_saw(
    both: tuple[HistoryInputs, HistoryResult, list[Cycle]], request: pytest.FixtureRequest
) -> None:
    _, result, cycles = both
    fired = 0
    for a in range(2):
        found = result.rl.blocks(a)[2].columns
        for i, done in enumerate(found["done"]):
            if done:
                assert found["reward_pnl_net"][i] < 0 or found["reward_turnover"][i] == 0
                continue
            now, after = cycles[i], cycles[i + 1]
            latched = bin(int(after.decisions.latched[a])).count("1")
            fired += latched
            assert found["reward_breach_penalty"][i] == latched
            dd = [
                1 - c.view.books.equity[a] / c.view.states.units[a] / c.view.states.unit_hwm[a]
                for c in (now, after)
            ]
            assert np.isclose(
                found["reward_dd_penalty"][i], max(dd[1] - dd[0], 0), atol=1e-12, equal_nan=True
            )
    assert fired > 0 or request.node.callspec.params["both"] not in (3, 4), "not every history latches"


# --- masks ------------------------------------------------------------------------------------------------


def test_a_number_is_unknown_exactly_where_its_mask_says_so(
    both: tuple[HistoryInputs, HistoryResult, list[Cycle]],
) -> None:
    result = both[1]
    for a in range(2):
        state = result.rl.blocks(a)[0].columns
        for block, per in MASKS:
            mask = state[mask_column(block, per)]
            for bit, feature in enumerate(features(block, per)):
                known = (mask >> bit & 1).astype(bool)
                assert np.array_equal(known, ~np.isnan(state[feature.name])), feature.name
                assert np.isfinite(state[feature.name][known]).all(), feature.name
            assert (mask >> len(features(block, per)) == 0).all()


def rows_of(block: RLBlock) -> list[dict[str, Any]]:
    head = {name: getattr(block, name) for name in ("firm_id", "account_id", "run_id", "env")}
    head["feature_set_version"] = block.feature_set_version
    columns = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in block.columns.items()}
    return [head | {k: v[i] for k, v in columns.items()} for i in range(len(columns["seq"]))]


def test_every_row_is_a_model_and_a_wrong_one_is_refused(
    both: tuple[HistoryInputs, HistoryResult, list[Cycle]],
) -> None:
    state, action, moves = both[1].rl.blocks(1)
    for made, block in ((state_of, state), (action_of, action), (transition_of, moves)):
        for row in rows_of(block)[::9]:
            assert made(row).feature_set_version == FEATURE_SET_VERSION
    row = rows_of(state)[20]
    again = PMState.model_validate_json(state_of(row).model_dump_json())
    assert again == state_of(row) and set(again.blocks) == set(BLOCKS)
    with pytest.raises(CheckFailed, match="gross"):
        state_of(row | {"gross": math.nan})
    with pytest.raises(CheckFailed, match="mask_asset"):
        state_of(row | {"mask_asset": [0] * 4})
    with pytest.raises(ValueError, match="after the decision"):
        state_of(row | {"ts_known_market_ns": row["ts_event_ns"] + 1})
    moved = rows_of(moves)[3]
    for wrong in ({"next_seq": 0}, {"done": True}, {"next_seq": moved["seq"]}):
        with pytest.raises(ValueError, match="next state"):
            transition_of(moved | wrong)


def test_the_table_names_every_feature_once_and_fits_its_masks() -> None:
    assert len({f.name for f in FEATURES}) == len(FEATURES)
    assert [f for block, per in MASKS for f in features(block, per)] == sorted(
        FEATURES, key=lambda f: [(f.block, f.per) == key for key in MASKS].index(True)
    )
    assert all(f.unit and f.nan and f.known and f.doc for f in FEATURES)


# --- leaks ------------------------------------------------------------------------------------------------


def ahead_proposal(of: HistoryInputs) -> HistoryInputs:
    (basket,) = of.baskets
    made = of.market.ts_ns[basket.rows].copy()
    made[6] += 1
    return replace(of, baskets=(replace(basket, made_ns=made),))


def ahead_tape(of: HistoryInputs) -> HistoryInputs:
    context = context_of(of.market)
    late = context.market_ns.copy()
    late[30] = of.market.ts_ns[30] + 1
    return replace(of, context=replace(context, market_ns=late))


def ahead_correlation(of: HistoryInputs) -> HistoryInputs:
    """A matrix that was estimated later than the bar from which it is said to be in force."""
    context = context_of(of.market)
    late = context.asset_ns.copy()
    late[30:] = np.maximum(late[30:], of.market.ts_ns[31])
    return replace(of, context=replace(context, asset_ns=late))


def ahead_bars(of: HistoryInputs) -> HistoryInputs:
    """Research over bars that are stamped a day later than the market's."""
    context = context_of(of.market)
    return replace(of, context=replace(context, market_ns=of.market.ts_ns + DAY_NS))


@pytest.mark.parametrize(
    ("leak", "block"),
    [
        (ahead_proposal, "portfolio"),
        (ahead_tape, "market"),
        (ahead_correlation, "asset"),
        (ahead_bars, "market"),
    ],
)
def test_a_source_that_looks_ahead_is_refused_and_nothing_is_written(
    leak: Callable[[HistoryInputs], HistoryInputs], block: str
) -> None:
    of = leak(rough(3))
    written: list[int] = []
    with pytest.raises(CheckFailed, match=rf"{block} block.*stamped \d+"):
        run_history(of, lambda account, events: written.append(account))
    assert not written


def test_a_memory_from_the_future_is_refused() -> None:
    of = rough(3)
    plain = RLRows.add

    def later(self: RLRows, cycle: Cycle, *args: Any) -> None:
        states = replace(cycle.view.states, last_trade_ns=np.full(2, cycle.view.market.ts_ns + 1))
        plain(self, replace(cycle, view=replace(cycle.view, states=states)), *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RLRows, "add", later)
        with pytest.raises(CheckFailed, match="portfolio block"):
            run_history(of, lambda account, events: None)


# --- prefixes, gaps ---------------------------------------------------------------------------------------


def test_rows_do_not_change_with_what_comes_later() -> None:
    whole = rough(4)
    cut = replace(whole, last=79)
    other = whole.market.close.copy()
    other[80:] = other[80:] * 1.5
    changed = replace(whole, market=replace(whole.market, close=other, fill_price=other))
    full = run_history(whole, lambda account, events: None).rl
    for part in (cut, changed):
        found = run_history(part, lambda account, events: None).rl
        for a in range(2):
            for one, two in zip(full.blocks(a)[:2], found.blocks(a)[:2], strict=True):
                for name, column in one.columns.items():
                    assert equal(column[:80], two.columns[name][:80]), name
            before, after = (rl.blocks(a)[2].columns for rl in (full, found))
            for name in before:
                assert equal(before[name][:78], after[name][:78]), name


def equal(one: Any, two: Any) -> bool:
    if isinstance(one, np.ndarray):
        return np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(two).tobytes()
    return bool(one == two)


def test_missing_sessions_are_gaps_and_the_last_step_is_censored() -> None:
    of = rough(3)
    session = of.market.session.copy()
    session[50:] += 3
    result = run_history(
        replace(of, market=replace(of.market, session=session)), lambda account, events: None
    )
    moves = result.rl.blocks(0)[2].columns
    assert np.flatnonzero(moves["gap"]).tolist() == [49] and moves["horizon_bars"][49] == 4
    assert np.flatnonzero(moves["censored"]).tolist() == [N_BARS - 2]
    assert moves["done_reason"][-1] == "end_of_data" and not moves["done"].any()
    attempts = result.rl.blocks(1)[2].columns
    assert attempts["done"].any()
    for i in np.flatnonzero(attempts["done"]):
        assert (
            attempts["next_state_id"][i] is None
            and not attempts["gap"][i]
            and attempts["horizon_bars"][i] == 0
        )


def test_horizons_within_the_day_count_slots() -> None:
    minute = 60 * 10**9
    ts_ns = np.array([0, 1, 2, 5, 600], dtype=np.int64) * minute
    session = np.array([0, 0, 0, 0, 1])
    bars, gap = horizon(ts_ns, session, minute)
    assert bars.tolist() == [1, 1, 3, 1, 1] and gap.tolist() == [False, False, True, False, False]
