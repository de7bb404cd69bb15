"""What a target may be: invariants I1, I3, I4, I5, I7, I12 and I14 of the risk specification."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.properties.budget import examples
from tests.properties.scenes import UNWEIGHABLE, run, scenes
from tests.unit.guards.reference import Account, judge
from tests.unit.guards.scenarios import ANNUAL, Scene, changed, scene

from regime_trading.core.rules import (
    LATCHING_RULES,
    RULE_IDS,
    RULES,
    Authority,
    Merge,
    Release,
    TradingState,
    merge_of,
)
from regime_trading.guards.chain import Decisions
from regime_trading.guards.snapshot import nano_weights
from regime_trading.guards.verdict import OFF, PASS

AT = {rule_id: i for i, rule_id in enumerate(RULE_IDS)}
NOTHING_REFUSED = frozenset({"nan_proposal", "no_proposal", "big_proposal"})


@given(scenes())
@examples()
def test_i1_never_larger_than_proposed_and_never_the_other_side(s: Scene) -> None:
    d, _ = run(s)
    free = ~d.projection.frozen
    target_, proposed = d.projection.target[free], d.proposed[free]
    assert (np.abs(target_) <= np.abs(proposed)).all()
    assert (target_ * proposed >= 0).all()
    kept, current = d.projection.target[~free], s.view.books.current[~free]
    assert np.array_equal(kept, np.where(np.isinf(current), np.nan, current), equal_nan=True)


# --- I3 -----------------------------------------------------------------------------------------------------


def budgets(account: Account, book: np.ndarray) -> np.ndarray:
    """What a book of nanoweights uses of every budget, and its limit, by the plain reference; [B, 2]."""
    whole = [int(w) for w in np.nan_to_num(book, nan=0.0)]
    return np.array(list(account.measures(whole)), dtype=np.float64).reshape(-1, 2)


def frozen_legs(account: Account, book: np.ndarray, frozen: np.ndarray) -> Iterator[float]:
    """Of every pair limit: the most that frozen legs alone, one or both of them, use of a pair of the book."""
    for _, threshold, _, exempt in account.meet.pairs:
        yield max(
            (
                abs(frozen[i]) + abs(frozen[j])
                for i in range(len(book))
                for j in range(i)
                if not (exempt[i] or exempt[j]) and account.linked(book[i], book[j], i, j, threshold)
            ),
            default=0.0,
        )


def assert_caps_hold(s: Scene) -> None:
    """Every budget at its limit at most, or no further over it than now where what is frozen alone is over it."""
    d, _ = run(s)
    for a in range(len(s.profiles)):
        account = judge(s.view, a, s.profiles, ANNUAL)
        book, now, frozen = d.projection.target[a], s.view.books.current[a], d.projection.frozen[a]
        used, limit = budgets(account, book).T
        stuck = budgets(account, np.where(frozen, now, 0.0))[:, 0]
        at = len(account.meet.caps)
        stuck[at : at + len(account.meet.pairs)] = list(
            frozen_legs(account, book, np.where(frozen, now, 0.0))
        )
        sizes = np.arange(len(limit)) < len(account.meet.caps) + len(account.meet.pairs)
        overspent_ = np.where(
            sizes, np.maximum(limit, budgets(account, now)[:, 0]), np.inf
        )  # what is left may hedge
        allowed = np.where(stuck > limit, overspent_, limit)
        assert (used <= allowed + 1e-9 * np.maximum(1.0, np.abs(allowed))).all()
        inside = (book >= np.array(account.meet.lo)) & (book <= np.array(account.meet.hi))
        assert (inside | frozen).all()


@given(scenes(always=frozenset({"tight"}), without=UNWEIGHABLE, least=1, accounts=3))
@examples()
def test_i3_every_cap_holds_at_the_target(s: Scene) -> None:
    """Or does not grow where what cannot be traded alone is over it."""
    assert_caps_hold(s)


HEDGED = {
    "CC_01": {"max_weight": 2},
    "CC_02": {"max_gross": 2},
    "CC_04": {"max_group": "unlimited", "max_unclassified": "unlimited"},
}


@given(
    scenes(always=frozenset({"pairs", "unnamed"}), without=UNWEIGHABLE | {"tight"}, least=2, accounts=3),
    st.sampled_from(["0.02", "0.1", "unlimited"]),
    st.sampled_from(["0.02", "0.05", "unlimited"]),
    st.sampled_from(["0.3", "1"]),
)
@examples()
def test_i3_with_hedges_that_are_clamped_or_slowed(s: Scene, net: str, vol: str, slow: str) -> None:
    """A hedge may be cut by its own rules, and slowed by a throttle that "keep" targets do not feel."""
    rules = HEDGED | {"CC_03": {"max_net": net}, "VT_01": {"sigma_target": vol}, "VT_04": {"trending": slow}}
    assert_caps_hold(s.with_rules(**rules))


@given(
    scenes(
        always=frozenset({"tight", "pairs", "illiquid", "frugal"}),
        without=UNWEIGHABLE | {"latched", "losses", "ladder"} | NOTHING_REFUSED,
        least=2,
        accounts=3,
    )
)
@examples()
def test_i3_and_after_the_step(s: Scene) -> None:
    """Exits always go; entries never take the book past a cap that it would keep without them."""
    d, _ = run(s)
    books, value = s.view.books, s.view.market.unit_value()
    steps = d.steps
    for a in range(len(s.profiles)):
        account, qty, now = judge(s.view, a, s.profiles, ANNUAL), books.qty[a], books.current[a]

        def book(moved: np.ndarray, qty: np.ndarray = qty, now: np.ndarray = now, a: int = a) -> np.ndarray:
            weights = nano_weights((qty + moved)[None, :], value, books.equity[[a]])[0]
            return np.where(moved == 0, now, weights)

        exits, after = book(steps.exit_qty[a]), book(steps.step_qty[a])
        used, limit = budgets(account, after).T
        without = np.maximum(budgets(account, now)[:, 0], budgets(account, exits)[:, 0])
        assert (used <= np.maximum(limit, without) + 3e-9 * len(now) * np.maximum(1.0, np.abs(limit))).all()


# --- I4 -----------------------------------------------------------------------------------------------------


@given(scenes(without=frozenset({"working"})))
@examples()
def test_i4_exits_pass(s: Scene) -> None:
    """A smaller target sends an exit now; only pace, and the dead band for elective changes, hold it back."""
    d, _ = run(s)
    books, steps = s.view.books, d.steps
    smaller = (np.abs(d.projection.target) < np.abs(books.current)) & ~d.projection.frozen
    through = books.current * d.projection.target < 0
    wants = (smaller | through) & (books.qty != 0)
    held_back = steps.skipped | steps.passive | steps.paced | (steps.owed_qty != 0)
    assert ((steps.exit_qty != 0) | held_back)[wants].all()
    may = (d.authority < Authority.CANCEL_ONLY)[:, None]
    emergency = (d.mode >= TradingState.FLATTEN)[:, None] & ~d.projection.frozen & may
    assert np.array_equal(steps.exit_qty[emergency], -books.qty[emergency] + 0.0)
    demanded = (d.mode != TradingState.NORMAL)[:, None] | (d.projection.target == 0)
    assert not (steps.skipped & demanded & (steps.exit_qty == 0) & wants).any()


# --- I5 -----------------------------------------------------------------------------------------------------


def tighter(value: Any, merge: Merge, draw: st.DataObject, symbols: tuple[str, ...]) -> Any:
    """A stricter value in the sense of the parameter's own merge operator."""
    if merge in (Merge.LOWER, Merge.HIGHER):
        if merge is Merge.LOWER:
            number = 2.0 if not np.isfinite(float(value)) else float(value)
            lower = number * draw.draw(st.sampled_from([0.0, 0.5, 0.9]))
            return int(lower) if isinstance(value, int) else f"{lower:.9f}"
        more = draw.draw(st.sampled_from([1.1, 2.0]))
        return int(value * more) + 1 if isinstance(value, int) else f"{float(value) * more + 0.01:.9f}"
    if merge is Merge.UNION and symbols:
        return tuple(sorted({*value, draw.draw(st.sampled_from(symbols))}))
    if merge is Merge.INTERSECT and symbols:
        kept = symbols if value is None else value
        return tuple(x for x in kept if x != draw.draw(st.sampled_from(symbols)))
    if merge is Merge.LADDER:
        return tuple({"at": float(rung.at) * 0.5, "action": rung.action} for rung in value)
    return value


def tightened(s: Scene, draw: st.DataObject) -> Scene:
    """One rule's parameter tightened, one rule switched on, or one latch added."""
    how = draw.draw(st.sampled_from(["parameter", "enable", "latch"]))
    if how == "latch":
        states = s.view.states
        column = draw.draw(st.integers(0, len(LATCHING_RULES) - 1))
        kind, state = states.latch_kind.copy(), states.latch_state.copy()
        strict = draw.draw(st.integers(1, 3))
        state[:, column] = np.where(kind[:, column] >= 0, np.maximum(state[:, column], strict), strict)
        kind[:, column] = np.maximum(kind[:, column], Release.MANUAL)
        return s.with_states(latch_kind=kind, latch_state=state)
    spec = draw.draw(st.sampled_from(RULES))
    if how == "enable":
        return s.with_rules(**{spec.rule_id.replace("-", "_"): {"enabled": True}})
    names = [n for n in spec.params.model_fields if n not in ("enabled", "windows", "mode")]
    if not names:
        return s
    name = draw.draw(st.sampled_from(names))
    profiles = [dict(p) for p in s.profiles]
    for profile in profiles:
        old = getattr(profile[spec.rule_id], name)
        new = tighter(old, merge_of(spec.params, name), draw, s.view.market.symbols)
        try:
            profile[spec.rule_id] = changed(profile[spec.rule_id], **{name: new})
        except ValueError:
            assume(False)
    return Scene(s.view, profiles)


def no_looser(loose: Decisions, tight: Decisions, s: Scene) -> int:
    """Every target of ``tight`` is at most as large, but for the cases the specification rules on.

    Returns how many accounts were judged.
    """
    assert (tight.mode >= loose.mode).all()
    gained = tight.projection.frozen & ~loose.projection.frozen
    lost = loose.projection.frozen & ~tight.projection.frozen
    several = (tight.projection.frozen & (s.view.held != 0)).sum(axis=1) > 1
    excused = (
        (tight.refused & ~loose.refused)  # hold means the present book
        | (gained.any(axis=1) & several)  # two frozen positions may hedge each other
        | lost.any(axis=1)  # from "cannot trade" to "leave"
    )
    assert (tight.projection.throttle <= loose.projection.throttle)[~excused].all()
    sizes = [np.abs(np.nan_to_num(d.projection.target, nan=0.0)) for d in (loose, tight)]
    grown = (sizes[1] > sizes[0]) & ~tight.projection.frozen & ~excused[:, None]
    for a in np.flatnonzero(grown.any(axis=1)):
        assert overspent(tight, s, a), (a, loose.projection.target[a], tight.projection.target[a])
    return int((~excused & ~grown.any(axis=1)).sum())


def overspent(d: Decisions, s: Scene, a: int) -> bool:
    """The frozen part alone is over a budget: the rest may stay as it is, it may be the hedge."""
    account = judge(s.view, a, s.profiles, ANNUAL)
    used, limit = budgets(account, np.where(d.projection.frozen[a], s.view.held[a], 0.0)).T
    return bool((used > limit).any())


@given(scenes(least=1), st.data())
@examples()
def test_i5_tightening_never_loosens(s: Scene, data: st.DataObject) -> None:
    tight = tightened(s, data)
    no_looser(run(s)[0], run(tight)[0], tight)


@given(
    scenes(always=frozenset({"books", "costly"}), least=1),
    st.tuples(*(st.sampled_from(v) for v in (["60", "30"], ["5", "1.5"], ["100", "20"], ["0.5", "0"]))),
    st.tuples(*(st.sampled_from(v) for v in (["30", "5"], ["1.5", "1"], ["20", "2"], ["0.5", "2"]))),
)
@examples()
def test_i5_of_books_and_costs(s: Scene, loose: tuple[str, ...], tight: tuple[str, ...]) -> None:
    before, after = (
        s.with_rules(
            DS_04={"max_spread_bps": spread, "hard_multiple": hard},
            XL_05={"max_cost_bps": cost, "k_impact": impact},
        )
        for spread, hard, cost, impact in (loose, tight)
    )
    no_looser(run(before)[0], run(after)[0], after)


# --- I7 -----------------------------------------------------------------------------------------------------

SLOWED = frozenset(
    {"regime", "losses", "ladder", "latched", "periods", "profits", "shocks", "correlation_breaks", "earnings",
     "recalled_k", "risk_shares", "firm_caps", "contracts"}
)  # fmt: skip
GUARD_1 = frozenset(
    {"halts", "jumps", "stale", "books", "feeds", "second_source", "skewed_clock", "recon", "fx_gaps", "splits",
     "metadata", "status_feed", "recovering"}
)  # fmt: skip


@given(scenes(without=UNWEIGHABLE | NOTHING_REFUSED | SLOWED | GUARD_1 | {"pre_flatten", "working_entries"}))
@examples()
def test_i7_proposing_the_target_again_changes_nothing(s: Scene) -> None:
    """Where no throttle is on: a throttle is meant to act on what is proposed, every time.

    A book that was cut may rank its positions differently, fall into other clusters, has a tail of another shape
    (VT-05 expands that of the proposal) and gaps on other sides (LD-12): then nothing grows.
    """
    first, _ = run(s)
    again, _ = run(
        s.with_books(proposed=first.projection.target, mentioned=np.ones_like(s.view.books.mentioned))
    )
    ranks = [AT["CC-05"], AT["CC-08"]]
    same = (first.rule_outcome[:, [AT["LD-12"], AT["VT-05"]]] == OFF).all(axis=1)
    for d in (first, again):
        same &= np.isin(d.rule_outcome[:, ranks], (PASS, OFF)).all(axis=1)
    before, after = first.projection.target, again.projection.target
    assert (first.projection.throttle == 1.0).all()
    assert np.array_equal(after[same], before[same])
    assert (np.abs(after) <= np.abs(before)).all()


@given(scenes())
@examples()
def test_i7_the_same_question_has_the_same_answer(s: Scene) -> None:
    (first, states), (again, states_again) = run(s), run(s)
    for x, y in ((first, again), (states, states_again)):
        for name in (f for f in type(x).__dataclass_fields__ if isinstance(getattr(x, f), np.ndarray)):
            assert getattr(x, name).tobytes() == getattr(y, name).tobytes(), name
    assert first.projection.target.tobytes() == again.projection.target.tobytes()
    assert first.steps.step_qty.tobytes() == again.steps.step_qty.tobytes()


# --- I12 ----------------------------------------------------------------------------------------------------


def _nan_at(values: np.ndarray, i: Any) -> np.ndarray:
    out = values.copy()
    out[i] = np.nan
    return out


def without_price(s: Scene, i: int) -> Scene:
    """A held asset without a mark leaves the equity an estimate (the last good mark stands in for it)."""
    held = s.view.books.qty[:, i] != 0
    return s.with_market(price=_nan_at(s.view.market.price, i)).with_books(
        equity_estimated=s.view.books.equity_estimated | held
    )


def without_equity(s: Scene, a: int) -> Scene:
    current = s.view.books.current.copy()
    current[a] = np.where(s.view.books.qty[a] != 0, np.nan, 0.0)
    return s.with_books(equity=_nan_at(s.view.books.equity, a), current=current)


def _market(name: str, missing: float = np.nan) -> Any:
    def without(s: Scene, i: int) -> Scene:
        values = getattr(s.view.market, name).copy()
        values[i] = missing
        return s.with_market(**{name: values})

    return without


def without_currency(s: Scene, i: int) -> Scene:
    """The volatility of the currency goes missing, that of the price stays."""
    m = s.view.market
    alone = m.sigma if m.price_sigma is None else m.price_sigma
    return s.with_market(sigma=_nan_at(m.sigma, i), price_sigma=alone)


def _one(name: str, missing: Any) -> Any:
    return lambda s, i: s.with_market(**{name: missing})


def _books(name: str) -> Any:
    return lambda s, a: s.with_books(**{name: _nan_at(getattr(s.view.books, name), a)})


def _states(name: str) -> Any:
    return lambda s, a: s.with_states(**{name: _nan_at(getattr(s.view.states, name), a)})


def without_pair(s: Scene, i: int) -> Scene:
    rho = s.view.market.correlation.copy()
    rho[i], rho[:, i] = np.nan, np.nan
    return s.with_market(correlation=rho)


_PER_ACCOUNT = ("equity", "age of the equity", "balance at the anchor", "equity at the anchor", "initial capital",
                "units", "high-water mark")  # fmt: skip
LOSSES = (
    "LD-01",
    "LD-02",
    "LD-03",
    "LD-04",
    "LD-05",
    "LD-06",
    "LD-09",
    "LD-10",
    "LD-11",
    "LD-12",
    "LD-13",
    "CC-12",
)
MISSING: dict[str, tuple[Any, tuple[str, ...]]] = {
    "price": (
        without_price,
        ("DS-02", "DS-03", "DS-10", "DS-14", "LD-07", "LD-16", "XL-02", "XL-01", *LOSSES),
    ),
    "reference price": (_market("ref_price"), ("DS-03", "DS-10")),
    "age of the price": (_market("age_bars"), ("DS-01", "DS-07")),
    "sigma": (_market("sigma"), ("DS-03", "VT-06", "VT-02", "CC-10", "LD-12", "XL-05", "XL-18")),
    "volatility of the currency": (without_currency, ("VT-06", "VT-02", "CC-10", "LD-12")),
    "correlations": (without_pair, ("CC-10",)),
    "returns": (_market("n_obs", 0), ("DS-12", "VT-06")),
    "condition": (_one("condition", np.nan), ("DS-12",)),
    "completeness": (_market("completeness"), ("DS-05",)),
    "venue status": (_market("venue_open", False), ("UT-04", "XL-17")),
    "calendar": (_market("to_event_s"), ("UT-06",)),
    "volume": (_market("adv"), ("XL-04", "XL-05", "XL-18", "UT-08", "UT-10")),
    "spread": (_market("spread_bps"), ("DS-04", "XL-05", "XL-02")),
    "book": (_market("book", -1), ("DS-04", "XL-05", "XL-02")),
    "grade of the tape": (_market("tape_grade", -1), ("DS-04",)),
    "group": (_market("group", -1), ("CC-04",)),
    "label": (_one("label", -1), ("VT-04",)),
    "confidence": (_one("confidence", np.nan), ("VT-04",)),
    "equity": (without_equity, ("DS-14", *LOSSES)),
    "age of the equity": (_books("equity_age_bars"), ("DS-14",)),
    "balance at the anchor": (_states("day_anchor_balance"), ("LD-01", "LD-12", "LD-13")),
    "equity at the anchor": (_states("day_anchor_equity"), ("LD-01", "LD-10", "LD-11", "LD-12", "LD-13")),
    "initial capital": (_states("initial_capital"), ("LD-01", "LD-03", "LD-04", "LD-05", "LD-12", "CC-09")),
    "units": (_states("units"), ("LD-02", "LD-03", "LD-04", "LD-05", "LD-09", "LD-12")),
    "high-water mark": (_states("unit_hwm"), ("LD-02",)),
}


@given(
    scenes(without=frozenset({"bad_equity", "working", "unknown_sigma"}), least=1),
    st.sampled_from(sorted(MISSING)),
    st.integers(0, 99),
)
@examples()
def test_i12_missing_is_never_looser(s: Scene, what: str, at: int) -> None:
    """An input that breached nothing goes missing: no target grows, no mode falls, nobody is flattened for it."""
    m = s.view.market
    calm = np.minimum(m.sigma, 0.025)  # below the class prior; the last good value is what it was
    s = s.with_market(sigma=calm).with_states(last_sigma=np.tile(calm, (len(s.profiles), 1)))
    remove, readers = MISSING[what]
    per_account = what in _PER_ACCOUNT
    bare = remove(s, at % (len(s.profiles) if per_account else len(m.symbols)))
    before, after = run(s)[0], run(bare)[0]
    rules = [AT[rule_id] for rule_id in readers]
    assume(np.isin(before.rule_outcome[:, rules], (PASS, OFF)).all())
    no_looser(before, after, bare)
    assert (
        after.mode[after.mode >= TradingState.FLATTEN] <= before.mode[after.mode >= TradingState.FLATTEN]
    ).all()


# --- I14 ----------------------------------------------------------------------------------------------------

MONEY = (
    "initial_capital", "last_equity", "last_balance", "day_anchor_balance", "day_anchor_equity", "day_flow", "day_peak",
    "week_anchor", "week_flow", "month_anchor", "month_flow", "flows", "eod_hwm", "equity_hwm", "closed_profit",
    "best_day",
)  # fmt: skip
IN_MONEY = frozenset(
    {"frugal", "losses", "floors", "periods", "stopped_out", "profits", "contracts", "sized", "margin_call"}
)


@given(
    scenes(without=IN_MONEY),
    st.sampled_from([2.0**-7, 0.5, 2.0, 1024.0]),
    st.booleans(),
)
@examples()
def test_i14_the_unit_of_money_does_not_matter(s: Scene, scale: float, by_currency: bool) -> None:
    """Where no limit is an amount; the stress rule measures against floors, which are then fractions too."""
    s = s.with_rules(LD_04={"amount": "unlimited"}, LD_05={"amount": "unlimited", "lock_offset": "unlimited"})
    m, b, states = s.view.market, s.view.books, s.view.states
    market = (
        {"fx": m.fx * scale} if by_currency else {"price": m.price * scale, "ref_price": m.ref_price * scale}
    )
    at_price = 1.0 if by_currency else scale
    broker = replace(
        b.broker,
        margin_used=b.broker.margin_used * scale,
        buying_power=b.broker.buying_power * scale,
        avg_price=b.broker.avg_price * at_price,
    )
    scaled = (
        s.with_market(adv=m.adv * scale, **market)
        .with_books(equity=b.equity * scale, balance=b.balance * scale, broker=broker)
        .with_states(
            units=states.units * scale,
            last_price=states.last_price * at_price,
            last_fx=states.last_fx * (scale / at_price),
            **{name: getattr(states, name) * scale for name in MONEY},
        )
    )
    first, second = run(s)[0], run(scaled)[0]
    assert np.array_equal(first.projection.target, second.projection.target, equal_nan=True)
    assert np.array_equal(first.steps.step_qty, second.steps.step_qty)
    assert np.array_equal(first.mode, second.mode)
    assert np.array_equal(first.limiting, second.limiting)


ONE_SIDED = frozenset({"borrow", "hedges", "tails", "stressed"})


@given(scenes(without=ONE_SIDED))
@examples()
def test_i14_a_mirrored_book_has_a_mirrored_answer(s: Scene) -> None:
    b = s.view.books
    broker = replace(
        b.broker, sent_qty=-b.broker.sent_qty, working_entry_qty=-b.broker.working_entry_qty,
        fills_60s=b.broker.fills_60s[..., ::-1],
    )  # fmt: skip
    mirrored = s.with_books(qty=-b.qty, current=-b.current, proposed=-b.proposed, broker=broker)
    mirrored = mirrored.with_states(flat_side=-s.view.states.flat_side)
    first, second = run(s)[0], run(mirrored)[0]
    assert np.array_equal(first.projection.target, -second.projection.target, equal_nan=True)
    assert np.array_equal(first.steps.step_qty, -second.steps.step_qty)
    assert np.array_equal(first.mode, second.mode)


def test_the_tightening_is_not_vacuous() -> None:
    """Every pair is judged, and in most the tighter rules bite."""
    judged = bitten = 0
    for seed in range(60):
        s = scene(seed, 3, 6, frozenset({"shorts"}))
        tight = s.with_rules(VT_01={"sigma_target": "0.05"}, CC_02={"max_gross": "0.3"})
        loose_d, tight_d = run(s)[0], run(tight)[0]
        judged += no_looser(loose_d, tight_d, tight)
        bitten += int((tight_d.projection.target != loose_d.projection.target).any(axis=1).sum())
    assert judged == 180
    assert bitten > 90
