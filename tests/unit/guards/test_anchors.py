"""What guard 3 measures from: days, weeks and months that roll, flows, marks that only rise, samples and exits."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.budget import examples
from tests.unit.guards.scenarios import Scene, scene

from regime_trading.core.trading_day import EPOCH, month_ids, reset_instant_s, trading_day_id, week_ids
from regime_trading.guards import circuits, drawdown
from regime_trading.guards.anchors import add_flows, remember, roll, unseen
from regime_trading.guards.facts import NEVER_NS
from regime_trading.guards.snapshot import MAX_SAMPLES, States, fresh_states, nothing_happened

S = 10**9
CAPITAL = 100_000.0


def day_of(text: str) -> int:
    return (dt.date.fromisoformat(text) - EPOCH).days


def fresh(n: int = 1) -> States:
    return fresh_states(np.full(n, CAPITAL), 1)


def seen(states: States, equity: float, balance: float | None = None) -> States:
    """The states after a look at the account."""
    balance = equity if balance is None else balance
    return replace(states, last_equity=np.array([equity]), last_balance=np.array([balance]))


def rolled(states: States, day: str, **more: Any) -> tuple[States, bool]:
    states, new_day = roll(states, np.array([day_of(day)]), **more)
    return states, bool(new_day[0])


# --- days ---------------------------------------------------------------------------------------------------

CHANGES = {
    "Europe/Prague": ("2024-03-31", "2024-10-27"),
    "America/Chicago": ("2024-03-10", "2024-11-03"),
}
RESETS = (
    "00:00",
    "01:30",
    "02:00",
    "02:30",
    "03:00",
    "17:00",
)  # in the gap, in the fold, at their edges, elsewhere


@pytest.mark.parametrize("reset_at", RESETS)
@pytest.mark.parametrize(("zone", "sunday"), [(z, day) for z, days in CHANGES.items() for day in days])
def test_every_local_day_has_exactly_one_reset(zone: str, sunday: str, reset_at: str) -> None:
    """Looked at every minute from Friday to Tuesday; the equity is the minute, so an anchor tells when it was set."""
    at, middle = dt.time.fromisoformat(reset_at), dt.date.fromisoformat(sunday)
    days = [middle + dt.timedelta(days=n) for n in range(-2, 3)]
    resets = [reset_instant_s(day, at, zone) for day in days]
    states, events = fresh(), []
    for second in range(resets[0] - 3600, resets[-1] + 3600, 60):
        states, new = roll(states, np.array([trading_day_id(second * S, at, zone)]))
        if new[0]:
            events.append(second)
            assert states.day_anchor_equity[0] == states.last_equity[0]
        states = seen(states, float(second))
    assert events[1:] == resets
    assert states.day_anchor_equity[0] == resets[-1] - 60


@pytest.mark.parametrize(
    ("zone", "day", "reset_at", "utc"),
    [
        (
            "America/Chicago",
            "2024-03-10",
            "02:30",
            "2024-03-10T08:00",
        ),  # does not exist: the first instant after
        ("America/Chicago", "2024-11-03", "01:30", "2024-11-03T06:30"),  # occurs twice: the first of them
        ("Europe/Prague", "2024-03-31", "02:30", "2024-03-31T01:00"),
        ("Europe/Prague", "2024-10-27", "02:30", "2024-10-27T00:30"),
    ],
)
def test_the_reset_of_a_change_is_the_first_instant_there_is(
    zone: str, day: str, reset_at: str, utc: str
) -> None:
    at = reset_instant_s(dt.date.fromisoformat(day), dt.time.fromisoformat(reset_at), zone)
    assert at == dt.datetime.fromisoformat(utc + "+00:00").timestamp()


def test_a_day_without_a_session_begins_nothing() -> None:
    states, _ = rolled(fresh(), "2024-12-24")
    states = seen(states, 101_000.0)
    for _look in range(3):
        states, new = rolled(states, "2024-12-24")
        assert not new
    states, new = rolled(states, "2024-12-27")
    assert new
    assert states.day_anchor_equity[0] == 101_000.0
    assert states.closed_profit[0] == 1_000.0  # one day, however long


def test_days_never_go_back() -> None:
    states, _ = rolled(fresh(), "2024-05-02")
    again, new = rolled(seen(states, 90_000.0), "2024-05-01")
    assert not new
    assert again.day_id[0] == day_of("2024-05-02")
    assert again.day_anchor_equity[0] == CAPITAL


def test_what_was_known_last_stands_in_for_a_reset_nobody_saw() -> None:
    states = seen(rolled(fresh(), "2024-05-02")[0], 97_000.0, 99_000.0)
    on_time, _ = rolled(states, "2024-05-03")
    assert (on_time.day_anchor_equity[0], on_time.day_anchor_balance[0]) == (97_000.0, 99_000.0)
    late, _ = rolled(states, "2024-05-03", missed=np.array([True]))
    assert (late.day_anchor_equity[0], late.day_anchor_balance[0]) == (99_000.0, 99_000.0)


@pytest.mark.parametrize(
    ("last", "session", "missed"), [(-1, 90, False), (89, 90, False), (90, 90, False), (88, 90, True)]
)
def test_a_reset_is_unseen_after_a_session_without_a_decision(last: int, session: int, missed: bool) -> None:
    states = replace(fresh(), k_session=np.array([last]))
    assert unseen(states, session).tolist() == [missed]


def test_the_day_that_ended_leaves_its_balance_and_its_profit() -> None:
    states, _ = rolled(fresh(), "2024-05-02")
    assert (states.closed_profit[0], states.best_day[0], states.eod_hwm[0]) == (0.0, 0.0, CAPITAL)
    profits = [1_500.0, -400.0, 900.0]
    equity, day = CAPITAL, dt.date(2024, 5, 3)
    for n, profit in enumerate(profits):
        equity += profit
        states = seen(states, equity, equity - 100.0)
        states, new = rolled(states, str(day + dt.timedelta(days=n)))
        assert new
    assert states.closed_profit[0] == sum(profits)
    assert states.best_day[0] == 1_500.0
    assert states.eod_hwm[0] == CAPITAL + 1_900.0  # the last of them: 101 500 − 100, 101 000, 101 900
    assert states.day_peak[0] == equity
    assert states.day_flow[0] == 0.0


def test_what_was_paid_in_is_no_profit_of_the_day() -> None:
    states = add_flows(rolled(fresh(), "2024-05-02")[0], np.array([20_000.0]), knobs("shift"))
    states = seen(states, states.last_equity[0] + 300.0)
    states, _ = rolled(states, "2024-05-03")
    assert (states.closed_profit[0], states.best_day[0]) == (300.0, 300.0)


# --- weeks and months -----------------------------------------------------------------------------------------


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    days = np.arange(day_of("1969-12-20"), day_of("2032-01-10"))
    dates = [EPOCH + dt.timedelta(days=int(d)) for d in days]
    begins = np.flatnonzero(np.diff(week_ids(days))) + 1
    assert {dates[i].weekday() for i in begins} == {0}
    assert len(begins) == sum(d.weekday() == 0 for d in dates[1:])
    assert month_ids(days).tolist() == [(d.year - 1970) * 12 + d.month - 1 for d in dates]
    assert week_ids(
        np.array([day_of("1970-01-01"), day_of("1970-01-04"), day_of("1970-01-05")])
    ).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("before", "day", "week", "month"),
    [
        ("2024-05-02", "2024-05-03", False, False),
        ("2024-05-03", "2024-05-06", True, False),
        ("2024-05-03", "2024-05-07", True, False),  # Monday was a holiday
        ("2024-05-30", "2024-05-31", False, False),
        ("2024-05-31", "2024-06-03", True, True),
        ("2024-07-31", "2024-08-01", False, True),
        ("2024-12-31", "2025-01-02", False, True),
    ],
)
def test_new_weeks_and_months_take_the_larger_anchor(before: str, day: str, week: bool, month: bool) -> None:
    states, _ = rolled(fresh(), before)
    states = replace(seen(states, 97_000.0, 98_000.0), week_flow=np.array([5.0]), month_flow=np.array([7.0]))
    after, _ = rolled(states, day)
    assert (after.week_anchor[0], after.week_flow[0]) == ((98_000.0, 0.0) if week else (CAPITAL, 5.0))
    assert (after.month_anchor[0], after.month_flow[0]) == ((98_000.0, 0.0) if month else (CAPITAL, 7.0))


# --- flows ----------------------------------------------------------------------------------------------------


def knobs(flow_policy: str) -> dict[str, Any]:
    policy = {"flow_policy": flow_policy}
    return scene(0, 1, 1).with_rules(LD_04=policy, LD_05=policy).knobs


@pytest.mark.parametrize(
    ("policy", "marks"), [("none", 110_000.0), ("shift", 100_000.0), ("unitized", 110_000.0 * 0.9)]
)
def test_a_payout_moves_the_marks_as_the_policy_says(policy: str, marks: float) -> None:
    states = replace(seen(fresh(), CAPITAL), eod_hwm=np.array([110_000.0]), equity_hwm=np.array([110_000.0]))
    after = add_flows(states, np.array([-10_000.0]), knobs(policy))
    assert after.eod_hwm[0] == pytest.approx(marks)
    assert after.equity_hwm[0] == pytest.approx(marks)
    for name in ("flows", "day_flow", "week_flow", "month_flow"):
        assert getattr(after, name)[0] == -10_000.0
    assert after.last_equity[0] == after.last_balance[0] == after.units[0] == 90_000.0
    assert after.unit_hwm[0] == 1.0


def test_without_a_flow_nothing_changes() -> None:
    states = fresh()
    assert add_flows(states, np.zeros(1), knobs("shift")) is states


FLOORS = {
    "LD-01": drawdown.daily_loss,
    "LD-02": drawdown.drawdown,
    "LD-03": drawdown.static_loss,
    "LD-04": circuits.eod_loss,
    "LD-05": circuits.intraday_loss,
    "LD-06": circuits.period_loss,
    "LD-09": circuits.loss_velocity,
    "LD-10": circuits.give_back,
    "LD-11": circuits.consistency,
}
LIMITS = {
    "LD_03": {"limit_pct": "0.05"},
    "LD_04": {"amount": "3000", "limit_pct": "0.2"},
    "LD_05": {"limit_pct": "0.06", "lock_offset": "100"},
    "LD_06": {"weekly_pct": "0.03", "monthly_money": "4000"},
    "LD_10": {"share": "0.5"},
    "LD_11": {"best_day_share": "0.4"},
}


@given(st.integers(0, 10_000), st.integers(-9, 30), st.sampled_from(["shift", "unitized"]))
@examples(300)
def test_a_flow_alone_changes_no_loss_and_triggers_no_rule(seed: int, tenths: int, policy: str) -> None:
    """Invariant I15: every loss keeps its share of its limit, and every rule its outcome."""
    r = np.random.default_rng(seed)
    limits = {key: dict(values) for key, values in LIMITS.items()}
    for key in ("LD_03", "LD_04", "LD_05"):
        limits[key]["flow_policy"] = policy
    s = scene(seed, 1, 1).with_rules(**limits)
    near = CAPITAL * (1.0 + np.round(r.uniform(-0.02, 0.03, 9), 4))
    equity = near[:1]
    names = (
        "eod_hwm",
        "equity_hwm",
        "week_anchor",
        "month_anchor",
        "day_anchor_equity",
        "day_anchor_balance",
    )
    states = replace(
        fresh_states(np.full(1, CAPITAL), 1),
        **{name: np.array([value]) for name, value in zip(names, near[1:7], strict=True)},
        last_equity=equity,
        last_balance=equity,
        unit_hwm=near[7:8] / CAPITAL,
        day_peak=near[8:9],
        closed_profit=np.array([float(r.choice([-500.0, 500.0, 4_000.0]))]),
        recent_ns=np.full((1, MAX_SAMPLES), s.view.market.ts_ns - 60 * S),
        recent_unit=r.uniform(0.98, 1.02, (1, MAX_SAMPLES)),
    )
    flow = np.round(equity * tenths / 10, 2)
    moved = add_flows(states, flow, s.knobs)
    for rule_id, rule in FLOORS.items():
        first = rule(looked(s, states, equity).view, s.knobs[rule_id])
        second = rule(looked(s, moved, equity + flow).view, s.knobs[rule_id])
        share, again = first.value / first.limit, second.value / second.limit
        assert np.allclose(share, again, rtol=1e-7, atol=1e-9, equal_nan=True), rule_id
        levels = [0.5, 0.6, 0.75, 0.85, 0.9, 1.0]
        on_a_limit = np.abs(np.subtract.outer(share, levels)).min() < 1e-6
        assert on_a_limit or first.outcome[0] == second.outcome[0], rule_id


def looked(s: Scene, states: States, equity: Any) -> Scene:
    told = {name: getattr(states, name) for name in States.__dataclass_fields__}
    return s.with_states(**told).with_books(equity=equity, balance=equity)


# --- marks, samples, exits --------------------------------------------------------------------------------------


def cycle(s: Scene, equity: float, seconds: int = 0, estimated: bool = False, **happened: Any) -> Scene:
    """One look at the account, ``seconds`` after the last one."""
    s = s.with_market(ts_ns=s.view.market.ts_ns + seconds * S)
    s = s.with_books(equity=np.array([equity]), equity_estimated=np.array([estimated]))
    what = replace(nothing_happened(1, s.view.n_assets), **happened)
    states = remember(s.view, s.knobs, what)
    return looked(s, states, np.array([equity]))


@pytest.fixture
def one() -> Scene:
    s = scene(0, 1, 3)
    return looked(s, fresh_states(np.full(1, CAPITAL), 3), np.array([CAPITAL]))


def test_only_clean_marks_raise_a_mark(one: Scene) -> None:
    s = cycle(one, 102_000.0)
    assert (s.view.states.equity_hwm[0], s.view.states.day_peak[0]) == (102_000.0, 102_000.0)
    for equity, estimated in ((150_000.0, True), (np.nan, False), (np.inf, False), (101_000.0, False)):
        s = cycle(s, equity, estimated=estimated)
        assert (s.view.states.equity_hwm[0], s.view.states.day_peak[0]) == (102_000.0, 102_000.0)


def test_the_peak_of_the_day_is_net_of_flows(one: Scene) -> None:
    s = one.with_states(day_flow=np.array([10_000.0]))
    assert cycle(s, 113_000.0).view.states.day_peak[0] == 103_000.0


@pytest.mark.parametrize("every_s", [1, 7, 20, 21, 22, 60, 299, 86_400])
def test_the_samples_span_the_window_however_often_it_is_looked_at(one: Scene, every_s: int) -> None:
    """The highest value of the last five minutes is there, and nothing from longer than a slot before them."""
    r = np.random.default_rng(every_s)
    s, past = one, []
    for _look in range(900):
        equity = float(np.round(CAPITAL * (1 + r.normal(0, 0.01)), 2))
        s = cycle(s, equity, seconds=every_s)
        now = s.view.market.ts_ns
        past = [(at, unit) for at, unit in [*past, (now, equity / CAPITAL)] if at >= now - 400 * S]
        states = s.view.states
        inside = states.recent_ns[0] >= now - 300 * S
        highest = states.recent_unit[0][inside].max()
        slot = 300 / (MAX_SAMPLES - 2)
        least = max(unit for at, unit in past if at >= now - 300 * S)
        most = max(unit for at, unit in past if at >= now - (300 + slot) * S)
        assert least <= highest <= most


def test_an_estimate_is_no_sample(one: Scene) -> None:
    s = cycle(cycle(one, 99_000.0, seconds=60), 50_000.0, seconds=60, estimated=True)
    assert np.nanmin(s.view.states.recent_unit) == 0.99
    assert (s.view.states.recent_ns[0] != NEVER_NS).sum() == 1


def test_losing_exits_are_remembered_and_scratches_are_not(one: Scene) -> None:
    side = np.array([[1, -1, 1]], dtype=np.int8)
    returns = np.array([[-0.02, np.nan, -0.00009]])
    s = cycle(one, CAPITAL, seconds=60, flat_side=side, flat_return=returns)
    now = s.view.market.ts_ns
    assert s.view.states.loss_exit_ns[0, -2:].tolist() == [now, now]  # the loss, and the one nobody knows
    assert (s.view.states.loss_exit_ns[0, :-2] == NEVER_NS).all()
    on_the_line = np.array([[-0.0001, 0.5, -0.5]])
    later = cycle(
        s, CAPITAL, seconds=60, flat_side=np.array([[1, 1, 0]], dtype=np.int8), flat_return=on_the_line
    )
    assert later.view.states.loss_exit_ns[0, -3:].tolist() == [now, now, now + 60 * S]


def test_the_oldest_exits_are_forgotten_first(one: Scene) -> None:
    s = one
    for _n in range(10):
        s = cycle(
            s, CAPITAL, seconds=1, flat_side=np.ones((1, 3), np.int8), flat_return=np.full((1, 3), -0.1)
        )
    ring = s.view.states.loss_exit_ns[0]
    assert np.array_equal(ring, np.sort(ring))
    assert (ring > s.view.market.ts_ns - 6 * S).all()
    assert len(ring) == MAX_SAMPLES
