from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.core.errors import BadInput
from regime_trading.tools import cross_asset as ca
from regime_trading.tools.convergent_mapping import CrossMap, CrossMapParams
from regime_trading.tools.coupling import (
    FAST,
    CouplingParams,
    GroupCoupling,
    couple,
    couplings,
    cross_asset_cap,
    judge,
)
from regime_trading.tools.cross_asset import (
    Correlation,
    CorrelationBreak,
    clusters,
    correlation_break,
    lead_lag,
    mean_correlation,
    named_clusters,
    robust_correlation,
    stable_labels,
)


def blocks(sizes: list[int], inside: float, between: float) -> np.ndarray:
    label = np.repeat(np.arange(len(sizes)), sizes)
    c = np.where(label[:, None] == label[None, :], inside, between)
    np.fill_diagonal(c, 1.0)
    return c


def test_two_blocks_are_two_clusters_largest_first() -> None:
    assert clusters(blocks([2, 3], 0.8, 0.2)) == ((2, 3, 4), (0, 1))
    assert clusters(blocks([2, 3], 0.8, 0.6)) == ((0, 1, 2, 3, 4),)
    assert clusters(blocks([3], 0.1, 0.0)) == ((0,), (1,), (2,))


def test_an_unknown_asset_is_in_no_cluster() -> None:
    c = blocks([3], 0.9, 0.0)
    c[1, :] = c[:, 1] = np.nan
    assert clusters(c) == ((0, 2),)
    assert mean_correlation(c) == pytest.approx(0.9)
    assert mean_correlation(c, (0,)) is None
    assert clusters(np.full((2, 2), np.nan)) == ()


@given(st.integers(1, 7), st.integers(0, 10_000), st.floats(-1, 1))
def test_every_known_asset_is_in_exactly_one_cluster(n: int, seed: int, threshold: float) -> None:
    c = np.corrcoef(np.random.default_rng(seed).normal(size=(n, 20))).reshape(n, n)
    members = sorted(i for group in clusters(c, threshold) for i in group)
    assert members == list(range(n))


@given(st.integers(2, 6), st.integers(0, 10_000))
def test_a_higher_threshold_never_joins_more(n: int, seed: int) -> None:
    c = np.corrcoef(np.random.default_rng(seed).normal(size=(n, 20)))
    counts = [len(clusters(c, t)) for t in (-1.0, 0.0, 0.3, 0.6, 1.0)]
    assert counts == sorted(counts)


def test_it_agrees_with_scipy_on_average_linkage() -> None:
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    rng = np.random.default_rng(7)
    for _ in range(30):
        c = np.corrcoef(rng.normal(size=(8, 15)) + rng.normal(size=(1, 15)))
        np.fill_diagonal(c, 1.0)
        label = fcluster(linkage(squareform(1 - c, checks=False), "average"), 0.5, "distance")
        ours = {frozenset(g) for g in clusters(c, 0.5)}
        theirs = {frozenset(np.flatnonzero(label == k).tolist()) for k in np.unique(label)}
        assert ours == theirs


def test_a_matrix_that_is_not_square_is_refused() -> None:
    with pytest.raises(BadInput):
        clusters(np.zeros((2, 3)))


# --- names ------------------------------------------------------------------------------------------------------


@given(st.integers(1, 8), st.integers(0, 10_000), st.floats(-1, 1), st.booleans())
def test_named_clusters_do_not_depend_on_the_order_of_assets(n, seed, threshold, ties):
    rng = np.random.default_rng(seed)
    c = np.corrcoef(rng.normal(size=(n, 12))).reshape(n, n)
    c = np.round(c, 1) if ties else c
    symbols = [f"S{i}" for i in rng.permutation(n)]
    order = rng.permutation(n)
    moved = named_clusters(c[np.ix_(order, order)], [symbols[i] for i in order], threshold)
    assert moved == named_clusters(c, symbols, threshold)


def test_a_tie_goes_to_the_first_symbols():
    c = np.array(
        [[1.0, 0.6, 0.2], [0.6, 1.0, 0.6], [0.2, 0.6, 1.0]]
    )  # a chain: the middle joins one end only
    assert named_clusters(c, ["C", "B", "A"]) == (("A", "B"), ("C",))
    assert named_clusters(c, ["A", "B", "C"]) == (("A", "B"), ("C",))


@pytest.mark.parametrize("symbols", [["A"], ["A", "A"]])
def test_symbols_must_name_the_rows(symbols):
    with pytest.raises(BadInput):
        named_clusters(np.eye(2), symbols)


def test_labels_stay_with_their_members():
    first = stable_labels([("A", "B", "C"), ("D", "E")])
    assert first == ((0, ("A", "B", "C")), (1, ("D", "E")))
    second = stable_labels([("C", "D", "E"), ("A", "B")], first)
    assert second == ((1, ("C", "D", "E")), (0, ("A", "B")))
    third = stable_labels([("A", "B"), ("C", "D"), ("E",), ("X",)], second)
    assert {g: label for label, g in third} == {("A", "B"): 0, ("C", "D"): 1, ("E",): 2, ("X",): 3}
    assert stable_labels([], first) == ()


# --- correlation ------------------------------------------------------------------------------------------------


def garch(rng: np.random.Generator, n: int, count: int, df: float = 5.0) -> np.ndarray:
    e = rng.standard_t(df, (n + 200, count)) * np.sqrt((df - 2) / df)
    x, h = np.empty_like(e), np.ones(count)
    for t in range(n + 200):
        x[t] = np.sqrt(h) * e[t]
        h = 0.02 + 0.08 * x[t] ** 2 + 0.9 * h
    return x[200:]


def ar1(rng: np.random.Generator, n: int, phi: float, count: int) -> np.ndarray:
    e = rng.standard_normal((n + 100, count))
    x = np.zeros_like(e)
    for t in range(1, n + 100):
        x[t] = phi * x[t - 1] + e[t]
    return x[100:]


def common_volatility(rng: np.random.Generator, n: int, rho: float, count: int) -> np.ndarray:
    """Pairs with correlation rho whose two members share one clustered volatility, [n, count, 2]."""
    h, level = np.empty((n, count)), np.ones(count)
    for t in range(n):
        h[t] = level
        level = 0.02 + 0.05 * level * rng.chisquare(1, count) + 0.93 * level
    e = rng.standard_normal((n, count, 2)) @ np.linalg.cholesky(np.array([[1, rho], [rho, 1]])).T
    return e * np.sqrt(h)[:, :, None]


def covers(x: np.ndarray, y: np.ndarray, truth: float) -> bool:
    c = robust_correlation(x, y)
    return c.low <= truth <= c.high


@pytest.mark.parametrize("n", [250, 504])
def test_the_interval_covers_under_volatility_clustering(n):
    pairs = common_volatility(np.random.default_rng(1), n, 0.6, 500)
    share = np.mean([covers(pairs[:, k, 0], pairs[:, k, 1], 0.6) for k in range(500)])
    print(f"correlation interval, n={n}, shared volatility: covers {share:.1%}")
    assert 0.91 <= share <= 0.98


def test_the_interval_covers_for_persistent_series():
    rng = np.random.default_rng(2)
    x, y = ar1(rng, 500, 0.9, 500), ar1(rng, 500, 0.9, 500)
    share = np.mean([covers(x[:, k], y[:, k], 0.0) for k in range(500)])
    print(f"correlation interval, n=500, AR(1) .9: covers {share:.1%}")
    assert share >= 0.91


def test_on_independent_rows_the_interval_is_that_of_fisher():
    rng = np.random.default_rng(3)
    x = rng.standard_normal(20_000)
    y = 0.5 * x + rng.standard_normal(20_000)
    c = robust_correlation(x, y)
    assert c.value == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert np.arctanh(c.high) - np.arctanh(c.low) == pytest.approx(2 * 1.96 / np.sqrt(20_000), rel=0.08)


@given(st.integers(0, 1000), st.sampled_from([0.25, 8.0, -2.0]))
def test_correlation_ignores_scale_and_leaves_holes_out(seed, scale):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, 60))
    holes = rng.random(60) < 0.2
    whole, sign = robust_correlation(x[~holes], y[~holes]), np.sign(scale)
    other = robust_correlation(np.where(holes, np.nan, scale * x), y)
    assert (other.n_obs, whole.n_obs) == (int((~holes).sum()),) * 2
    assert other.value == pytest.approx(sign * whole.value)
    assert sorted([sign * other.low, sign * other.high]) == pytest.approx([whole.low, whole.high])


def test_correlation_is_unknown_or_exact_at_the_edges():
    x = np.random.default_rng(0).normal(size=50)
    assert np.isnan(robust_correlation(x[:9], x[:9]).value)
    assert np.isnan(robust_correlation(x, np.ones(50)).low)
    assert robust_correlation(x, 2 * x).low == pytest.approx(1.0)


def test_long_run_variance_of_an_autoregression():
    x = ar1(np.random.default_rng(4), 20_000, 0.8, 1)[:, 0]
    assert ca.long_run_variance(x) == pytest.approx(1 / 0.2**2, rel=0.1)
    assert ca.long_run_variance(np.ones(10)) == 0.0


# --- lead and lag -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "paths"), [(250, 800), pytest.param(504, 4000, marks=pytest.mark.full)])
def test_joint_lead_lag_test_keeps_its_size_under_garch(n, paths):
    rng = np.random.default_rng(5)
    m, own = garch(rng, n, paths), garch(rng, n, 2 * paths)
    x, y = m + 0.7 * own[:, :paths], m + 0.7 * own[:, paths:]
    for block in (1, 5):
        size = np.mean([lead_lag(x[:, k], y[:, k], rng, block=block).p_value < 0.05 for k in range(paths)])
        print(f"lead/lag n={n} block={block}: nominal 5 % rejects {size:.2%}")
        assert 0.03 <= size <= 0.08


def test_the_leader_is_found():
    rng = np.random.default_rng(6)
    x, e = garch(rng, 504, 50), garch(rng, 504, 50)
    y = 0.3 * np.roll(x, 2, axis=0) + e
    found = [lead_lag(x[:, k], y[:, k], rng) for k in range(50)]
    assert np.mean([f.leader == "first" and f.best_lag == 2 for f in found]) > 0.9
    mirrored = lead_lag(y[:, 0], x[:, 0], rng)
    assert (mirrored.leader, mirrored.best_lag) == ("second", -2)


def test_lead_lag_takes_scale_and_holes_and_names_its_lags():
    rng = np.random.default_rng(7)
    x, y = garch(rng, 300, 2).T
    a = lead_lag(x, y, np.random.default_rng(1), max_lag=2)
    b = lead_lag(np.append(4.0 * x, np.nan), np.append(-y, 1.0), np.random.default_rng(1), max_lag=2)
    assert a.lags == (-2, -1, 1, 2)
    assert a.p_value == b.p_value
    np.testing.assert_allclose(a.correlations, -b.correlations)
    z = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    assert a.correlations[3] == pytest.approx((z[0][2:298] * z[1][4:300]).mean())


@pytest.mark.parametrize("options", [{"max_lag": 0}, {"block": 0}, {"max_lag": 20}])
def test_lead_lag_refuses_what_it_cannot_judge(options):
    x = np.random.default_rng(0).normal(size=150)
    with pytest.raises(BadInput):
        lead_lag(x, x, np.random.default_rng(0), **options)


# --- breaks -----------------------------------------------------------------------------------------------------


def equicorrelated(rng: np.random.Generator, n: int, rho: float, assets: int = 5) -> np.ndarray:
    root = np.linalg.cholesky(np.full((assets, assets), rho) + (1 - rho) * np.eye(assets))
    return (
        rng.standard_normal((n, assets)) @ root.T * np.exp(0.01 * np.cumsum(rng.standard_normal(n)))[:, None]
    )


@pytest.mark.parametrize("paths", [300, pytest.param(4000, marks=pytest.mark.full)])
def test_break_test_keeps_its_size_and_sees_a_break(paths):
    rng = np.random.default_rng(8)
    steady = [equicorrelated(rng, 504, 0.6) for _ in range(paths)]
    factor = [(lambda m: m[:, :1] + m[:, 1:])(garch(rng, 504, 6)) for _ in range(paths)]
    broken = [np.vstack([x[:-42], equicorrelated(rng, 42, 0.1)]) for x in steady]
    size, wandering, power = (
        np.mean([correlation_break(x).p_value < 0.05 for x in set_]) for set_ in (steady, factor, broken)
    )
    print(f"break test n=504: steady {size:.2%}, factor GARCH {wandering:.2%}, .6 to .1 found {power:.2%}")
    assert 0.02 <= size <= 0.08
    assert 0.02 <= wandering <= 0.08
    assert power > 0.6


def test_break_levels_are_mean_correlations():
    x = equicorrelated(np.random.default_rng(9), 4000, 0.5)
    found = correlation_break(x, recent=400)
    assert found.past == pytest.approx(0.5, abs=0.06)
    assert found.recent == pytest.approx(0.5, abs=0.08)


def test_break_is_unknown_with_a_short_past_and_refuses_short_blocks():
    x = equicorrelated(np.random.default_rng(9), 200, 0.5)
    assert np.isnan(correlation_break(x).p_value)
    assert correlation_break(x).reason == "180 bars, 294 needed"
    assert not np.isnan(correlation_break(x, recent=20).p_value)
    with pytest.raises(BadInput):
        correlation_break(x, recent=4)


def test_break_ignores_scale_order_and_what_is_missing():
    x = equicorrelated(np.random.default_rng(10), 504, 0.5)
    first = correlation_break(x)
    assert correlation_break(8.0 * x).t == pytest.approx(first.t)
    assert correlation_break(x[:, ::-1]).t == pytest.approx(first.t)
    assert correlation_break(np.column_stack([x, np.full(504, np.nan)])).t == pytest.approx(first.t)


# --- verdicts ---------------------------------------------------------------------------------------------------

NONE = CrossMap(0.0, 0.05, 0.0, 0.5, 0.5, np.nan, 0, 2, 1, False, False, False)
CAUSE = CrossMap(0.3, 0.8, 1.0, 0.04, 0.01, 0.01, -1, 2, 1, True, True, True)
MUTE = replace(CAUSE, best_lag=0, causal=False)
AHEAD = replace(NONE, best_lag=3)
LOW, MID, HIGH = (
    Correlation(0.0, -0.1, 0.1, 500),
    Correlation(0.3, 0.2, 0.4, 500),
    Correlation(0.8, 0.7, 0.9, 500),
)
WIDE = Correlation(0.2, -0.1, 0.5, 500)
NEGATIVE = Correlation(-0.8, -0.9, -0.7, 500)


@pytest.mark.parametrize(
    ("drives", "driven", "volatility", "returns", "verdict"),
    [
        (CAUSE, CAUSE, MID, MID, "bidirectional"),
        (CAUSE, CAUSE, HIGH, MID, "synchronous"),
        (CAUSE, CAUSE, NEGATIVE, MID, "synchronous"),
        (CAUSE, NONE, MID, LOW, "drives"),
        (NONE, CAUSE, MID, LOW, "driven"),
        (CAUSE, NONE, HIGH, LOW, "synchronous"),
        (CAUSE, AHEAD, HIGH, LOW, "drives"),
        (AHEAD, CAUSE, HIGH, LOW, "driven"),
        (MUTE, MUTE, MID, MID, "synchronous"),
        (NONE, NONE, LOW, LOW, "decoupled"),
        (replace(NONE, dependent=True), NONE, LOW, LOW, "unknown"),
        (NONE, replace(NONE, skill_max=0.4), LOW, LOW, "unknown"),
        (NONE, NONE, HIGH, LOW, "correlated"),
        (NONE, NONE, LOW, MID, "correlated"),
        (NONE, NONE, LOW, NEGATIVE, "correlated"),
        (NONE, NONE, LOW, WIDE, "unknown"),
        (MUTE, NONE, WIDE, WIDE, "unknown"),
    ],
)
def test_verdicts(drives, driven, volatility, returns, verdict):
    found, reason = judge(drives, driven, volatility, returns, CouplingParams())
    assert found == verdict
    assert reason


def test_verdicts_mirror():
    mirror = {"drives": "driven", "driven": "drives"}
    states = (NONE, CAUSE, MUTE, AHEAD)
    for a in states:
        for b in states:
            for volatility in (LOW, MID, HIGH, WIDE):
                for returns in (LOW, MID, WIDE):
                    one, _ = judge(a, b, volatility, returns, CouplingParams())
                    two, _ = judge(b, a, volatility, returns, CouplingParams())
                    assert two == mirror.get(one, one)


# --- groups and the market --------------------------------------------------------------------------------------

QUICK = CouplingParams(
    cross_map=CrossMapParams(dimensions=(2, 3), n_surrogates=39, n_libraries=20, min_obs=120)
)


def world(rng: np.random.Generator, n: int, groups: int, apart: int = 0):
    """Groups of three assets on one market factor; the first ``apart`` groups do not load on it."""
    m, own, single = garch(rng, n, 1), garch(rng, n, groups), garch(rng, n, 3 * groups)
    load = np.where(np.arange(groups) < apart, 0.0, 1.0)
    x = np.repeat(load * m + 0.6 * own, 3, axis=1) + 0.8 * single
    return x, m[:, 0], {f"g{i:02d}": list(range(3 * i, 3 * i + 3)) for i in range(groups)}


def test_a_common_factor_is_correlation_and_a_group_without_it_is_decoupled():
    rng = np.random.default_rng(12)
    usual: Counter = Counter()
    apart: Counter = Counter()
    for _ in range(3):
        found = couplings(*world(rng, 504, 5, apart=2), params=QUICK, rng=rng)
        apart.update(g.verdict for g in found[:2])
        usual.update(g.verdict for g in found[2:])
    print(f"factor groups {dict(usual)}, groups apart {dict(apart)}")
    assert usual["correlated"] + usual["synchronous"] >= 8
    assert apart["decoupled"] >= 5


def test_each_group_stands_alone():
    x, m, groups = world(np.random.default_rng(13), 300, 3)
    found = couplings(x, m, groups, params=QUICK, rng=np.random.default_rng(1))
    assert [g.group for g in found] == ["g00", "g01", "g02"]
    backwards = dict(reversed(groups.items()))
    assert couplings(x, m, backwards, params=QUICK, rng=np.random.default_rng(1)) == found
    one = couplings(x, m, {"g01": groups["g01"]}, params=QUICK, rng=np.random.default_rng(1))
    assert one == found[1:2]
    moved = couplings(x[:, ::-1], m, {"g01": [5, 4, 3]}, params=QUICK, rng=np.random.default_rng(1))
    assert moved == one
    twins = couplings(x, m, {"a": [0], "b": [0]}, params=QUICK, rng=np.random.default_rng(1))
    assert twins[0].correlation == twins[1].correlation
    assert twins[0].drives != twins[1].drives  # errors of different groups are independent


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.125, 4.0, 1024.0]))
def test_scale_changes_no_verdict(seed, scale):
    x, m, groups = world(np.random.default_rng(seed), 200, 1)
    one = couplings(x, m, groups, params=QUICK, rng=np.random.default_rng(seed))[0]
    two = couplings(scale * x, m / scale, groups, params=QUICK, rng=np.random.default_rng(seed))[0]
    assert two.verdict == one.verdict
    assert two.skill == pytest.approx(one.skill, abs=0.02)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000), st.floats(0.0, 0.3))
def test_rows_with_a_hole_are_as_if_they_were_not_there(seed, share):
    rng = np.random.default_rng(seed)
    x, m, groups = world(rng, 260, 1)
    holes = rng.random(260) < share
    side = rng.random(260) < 0.5
    with_holes = np.where((holes & side)[:, None], np.nan, x)
    market = np.where(holes & ~side, np.nan, m)
    a = couplings(with_holes, market, groups, params=QUICK, rng=np.random.default_rng(0))
    b = couplings(x[~holes], m[~holes], groups, params=QUICK, rng=np.random.default_rng(0))
    assert a == b
    assert a[0].n_obs == int((~holes).sum())


def test_a_group_is_the_mean_of_the_members_that_are_there():
    x, m, groups = world(np.random.default_rng(3), 200, 1)
    x[:, 2] = np.nan
    a = couplings(x, m, groups, params=QUICK, rng=np.random.default_rng(0))[0]
    b = couplings(
        x[:, :2].mean(axis=1)[:, None], m, {"g00": [0]}, params=QUICK, rng=np.random.default_rng(0)
    )[0]
    assert a.correlation is not None and b.correlation is not None
    assert a.correlation.value == pytest.approx(b.correlation.value)


def test_what_comes_later_changes_nothing():
    x, m, groups = world(np.random.default_rng(14), 300, 2)
    later, after = x.copy(), m.copy()
    later[220:], after[220:] = 50.0, np.nan
    args = (groups,)
    a = couplings(x[:220], m[:220], *args, params=QUICK, rng=np.random.default_rng(0))
    assert a == couplings(later[:220], after[:220], *args, params=QUICK, rng=np.random.default_rng(0))
    assert correlation_break(x[:220], recent=20) == correlation_break(later[:220], recent=20)
    # the series that are mapped are causal too: a longer sample begins with the shorter one
    short = ca.ewma_volatility(x[:220], 5.0, min_obs=20)
    np.testing.assert_array_equal(ca.ewma_volatility(later, 5.0, min_obs=20)[:220], short)


def test_too_few_common_returns_are_unknown_with_the_reason():
    x, m, groups = world(np.random.default_rng(15), 100, 2)
    x[:, :3] = np.nan
    nothing, few = couplings(x, m, groups, params=QUICK, rng=np.random.default_rng(0))
    assert (nothing.verdict, nothing.n_obs, nothing.correlation, nothing.skill) == ("unknown", 0, None, None)
    assert few.verdict == "unknown"
    assert few.reason == "100 common returns, 139 needed"
    assert few.correlation is not None and few.best_lag is None


def test_returns_that_never_move_are_unknown():
    x, m, groups = world(np.random.default_rng(15), 200, 1)
    (flat,) = couplings(np.zeros_like(x), m, groups, params=QUICK, rng=np.random.default_rng(0))
    assert (flat.verdict, flat.correlation) == ("unknown", None)
    same = couple("a", m, np.ones(200), robust_correlation(m, m), QUICK, np.random.default_rng(0))
    assert same.verdict == "unknown"
    assert "vary" in same.reason


def test_bad_shapes_are_refused():
    x, m, groups = world(np.random.default_rng(15), 200, 1)
    rng = np.random.default_rng(0)
    for r, market, g in (
        (x, m[1:], groups),
        (x[:, 0], m, groups),
        (x, np.full(200, np.inf), groups),
        (x, m, {"a": []}),
    ):
        with pytest.raises(BadInput):
            couplings(r, market, g, params=QUICK, rng=rng)
    with pytest.raises(BadInput):
        CouplingParams(halflife=0.0)


def test_a_true_one_way_coupling_is_named_from_the_group():
    named: Counter = Counter()
    for seed in range(5):
        rng = np.random.default_rng([2, seed])
        x, y = np.empty(500), np.empty(500)
        x[0], y[0] = rng.uniform(0.2, 0.6, 2)
        for t in range(499):
            x[t + 1] = 3.7 * x[t] * (1 - x[t])
            y[t + 1] = y[t] * (3.7 - 3.7 * y[t] - 0.32 * x[t])
        named[couple("x", x, y, robust_correlation(x, y), CouplingParams(), rng).verdict] += 1
        named[couple("y", y, x, robust_correlation(x, y), CouplingParams(), rng).verdict] += 1
    assert named["drives"] >= 4
    assert named["driven"] >= 4


# --- the cap ----------------------------------------------------------------------------------------------------

CALM = CorrelationBreak(0.5, 0.5, 0.0, 1.0)


def group(verdict: str) -> GroupCoupling:
    return GroupCoupling("g", verdict, 500, "")  # type: ignore[arg-type]


def test_the_cap_is_one_unless_something_is_shown():
    usual = [group(v) for v in ("correlated", "synchronous", "driven", "unknown")]
    assert cross_asset_cap(usual, CALM) == 1.0
    assert cross_asset_cap([], CALM) == 1.0
    assert cross_asset_cap(usual, replace(CALM, p_value=np.nan)) == 1.0
    assert cross_asset_cap(usual, replace(CALM, p_value=0.05)) == 1.0
    assert cross_asset_cap(usual, replace(CALM, p_value=0.0)) == 0.75
    assert cross_asset_cap([*usual[:3], group("decoupled")], CALM) == 0.875
    assert cross_asset_cap([group("decoupled")], replace(CALM, p_value=0.0)) == 0.375
    with pytest.raises(BadInput):
        cross_asset_cap(usual, CALM, break_cost=1.5)


@given(
    st.lists(st.sampled_from(["correlated", "unknown", "driven", "decoupled"]), min_size=1, max_size=8),
    st.floats(0, 1),
    st.floats(0, 1),
    st.data(),
)
def test_the_cap_is_monotone(verdicts, p, q, data):
    before = cross_asset_cap([group(v) for v in verdicts], replace(CALM, p_value=max(p, q)))
    verdicts[data.draw(st.integers(0, len(verdicts) - 1))] = "decoupled"
    after = cross_asset_cap([group(v) for v in verdicts], replace(CALM, p_value=min(p, q)))
    assert 0.0 <= after <= before <= 1.0


# --- long form --------------------------------------------------------------------------------------------------


@pytest.mark.full
def test_verdicts_long():
    for name, mapped in (("fast", FAST), ("thorough", CrossMapParams())):
        rng, params = np.random.default_rng(21), CouplingParams(cross_map=mapped)
        usual: Counter = Counter()
        apart: Counter = Counter()
        for _ in range(20):
            found = couplings(*world(rng, 504, 10, apart=5), params=params, rng=rng)
            apart.update(g.verdict for g in found[:5])
            usual.update(g.verdict for g in found[5:])
        print(f"\n{name}: factor groups {dict(usual)}, groups apart {dict(apart)}")
        for seen in (usual, apart):
            assert seen["drives"] + seen["driven"] + seen["bidirectional"] <= 5
        assert apart["decoupled"] >= 80
        assert usual["decoupled"] == 0


@pytest.mark.full
def test_speed_of_groups():
    for name, mapped, count, limit in (("fast", FAST, 11, 2.0), ("thorough", CrossMapParams(), 20, 10.0)):
        rng, params = np.random.default_rng(0), CouplingParams(cross_map=mapped)
        x, m, groups = world(rng, 504, count)
        couplings(x, m, {"g00": groups["g00"]}, params=params, rng=rng)
        started = time.process_time()
        couplings(x, m, groups, params=params, rng=rng)
        spent = time.process_time() - started
        print(f"{name}: {count} groups at n=504 in {spent:.2f} s")
        assert spent <= limit


@pytest.mark.full
def test_real_sectors_are_mostly_correlated():
    from skfolio.datasets import load_sp500_dataset, load_sp500_index

    close = load_sp500_dataset()
    index = load_sp500_index()["SP500"].reindex(close.index)
    returns, market = np.diff(np.log(close.to_numpy()), axis=0), np.diff(np.log(index.to_numpy()))
    sectors = {
        "energy": ["CVX", "XOM", "RRC"],
        "financials": ["BAC", "JPM"],
        "health": ["JNJ", "LLY", "MRK", "PFE", "UNH"],
        "staples": ["KO", "PEP", "PG", "WMT"],
        "technology": ["AAPL", "AMD", "MSFT"],
    }
    columns = {name: [close.columns.get_loc(s) for s in symbols] for name, symbols in sectors.items()}
    seen: Counter = Counter()
    for end in range(504, len(returns), 504):
        past = slice(end - 504, end)
        found = couplings(
            returns[past], market[past], columns, params=CouplingParams(), rng=np.random.default_rng(0)
        )
        broken = correlation_break(returns[past])
        apart = [f"{g.group} {g.verdict}" for g in found if g.verdict != "correlated"]
        print(
            f"{close.index[end].date()} break p={broken.p_value:.3f} cap {cross_asset_cap(found, broken):.2f} {apart}"
        )
        seen.update(g.verdict for g in found)
    print(dict(seen))
    total = seen.total()
    assert seen["correlated"] / total > 0.8
    assert (seen["drives"] + seen["driven"] + seen["bidirectional"]) / total <= 0.1
