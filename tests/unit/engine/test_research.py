"""Research: every array is causal to the bit, row by row and column by column; holes, listings, outages."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skfolio.datasets import load_sp500_dataset, load_sp500_index

from regime_trading.core.errors import BadInput, RegimeError
from regime_trading.core.schemas import REGIME_LABELS, Exposure, PriceWindow, RegimeLabel
from regime_trading.engine import proposals as proposing
from regime_trading.engine import research as r
from regime_trading.tools.allocation import ALLOCATORS, ExposureParams, strategy_exposure, target_weights
from regime_trading.tools.regime import confirm, fuse
from regime_trading.tools.risk import shrunk_correlation

NAN = math.nan
PROXY = "SP500"
BASKET = ("AMD", "KO", "LATE", "RRC", "XOM")
PARAMS = r.ResearchParams(
    n_states=2,
    min_obs=200,
    refit_every=90,
    structure_window=250,
    structure_every=10,
    structure_min_obs=120,
    corr_window=120,
    allocation_window=120,
    allocation_min_obs=100,
    allocation_min_rows=60,
    allocation_every=21,
)
EXPOSURE = ExposureParams(allow_short=True)
START, ROWS = 4200, 900


def real_window():
    """Real closes 2006-2010: one symbol listed late, one delisted, scattered holes, a hole in the proxy."""
    stocks, index = load_sp500_dataset(), load_sp500_index()
    at = slice(START, START + ROWS)
    columns = {name: stocks[name].to_numpy()[at].astype(float) for name in ("AMD", "KO", "RRC", "XOM")}
    columns["LATE"] = stocks["JNJ"].to_numpy()[at].astype(float)
    columns["GONE"] = stocks["PG"].to_numpy()[at].astype(float)
    columns[PROXY] = index.to_numpy()[at, 0].astype(float)
    columns["LATE"][:400], columns["GONE"][500:] = NAN, NAN
    columns["KO"][[3, 300, 301, 650]], columns[PROXY][[410, 700]] = NAN, NAN
    names = tuple(sorted(columns))
    close = np.ascontiguousarray(np.column_stack([columns[name] for name in names]))
    return PriceWindow(names, stocks.index[at].as_unit("ns").asi8.astype(np.int64), close)


def research(window, proxy=PROXY, params=PARAMS, allocator="inverse_volatility", basket=BASKET):
    features = r.features(window, proxy, params)
    regimes = r.regimes(features, params)
    rows = r.schedule(len(window.ts_ns), params)
    correlations = r.correlations(features, params, rows, symbols=basket)
    proposals = r.proposals(features, regimes, basket, allocator, EXPOSURE, 0.9, params)
    return {"features": features, "regimes": regimes, "correlations": correlations, "proposals": proposals}


def arrays(value, prefix):
    """Every array in a (nested) dataclass, by path."""
    if isinstance(value, np.ndarray):
        return {prefix: value}
    if not dataclasses.is_dataclass(value):
        return {}
    found = {}
    for item in dataclasses.fields(value):
        found |= arrays(getattr(value, item.name), f"{prefix}.{item.name}")
    return found


def everything(parts):
    return {name: array for key, part in parts.items() for name, array in arrays(part, key).items()}


def until(parts, cut):
    """What is known of ``parts`` at row ``cut - 1``."""
    out = {}
    for key, part in parts.items():
        keep = part.rows < cut if hasattr(part, "rows") else slice(0, cut)
        out |= {name: array[keep] for name, array in arrays(part, key).items()}
    return out


def assert_same_bits(got, expected):
    assert got.keys() == expected.keys()
    for name in got:
        assert got[name].dtype == expected[name].dtype and got[name].shape == expected[name].shape, name
        assert got[name].tobytes() == expected[name].tobytes(), name


@pytest.fixture(scope="module")
def window():
    return real_window()


@pytest.fixture(scope="module")
def parts(window):
    return research(window)


@pytest.fixture(scope="module")
def by_allocator(parts):
    return {
        name: r.proposals(parts["features"], parts["regimes"], BASKET, name, EXPOSURE, 0.9, PARAMS)
        for name in ALLOCATORS
    }


# --- causality --------------------------------------------------------------------------------------------


def test_the_list_of_arrays_is_complete(parts):
    """The truncation test below walks over these; a new field joins by itself, none may slip out."""
    names = set(everything(parts))
    assert len(names) == 42
    assert {"features.z", "regimes.label", "regimes.structure.p_value", "proposals.weights"} < names
    assert {"correlations.matrix", "correlations.condition", "regimes.risk_margin"} < names


@settings(max_examples=10, deadline=None)
@given(cut=st.integers(1, ROWS - 1), seed=st.integers(0, 2**32 - 1))
def test_every_bit_is_the_same_without_the_future_and_with_another_one(window, parts, cut, seed):
    rng = np.random.default_rng(seed)
    altered = window.close.copy()
    altered[cut:] *= np.exp(rng.standard_normal(altered[cut:].shape) * 0.2)
    altered[cut:][rng.random(altered[cut:].shape) < 0.1] = NAN
    now = until(parts, cut)
    assert_same_bits(everything(research(window.until(int(window.ts_ns[cut - 1])))), now)
    other = PriceWindow(window.symbols, window.ts_ns, altered)
    assert_same_bits(until(research(other), cut), now)


@pytest.mark.parametrize("cut", [2, 333, 480])
def test_the_stand_in_is_causal(window, cut):
    whole, early = (research(w, proxy=None) for w in (window, window.until(int(window.ts_ns[cut - 1]))))
    assert_same_bits(everything(early), until(whole, cut))


@pytest.mark.parametrize("allocator", ALLOCATORS)
@pytest.mark.parametrize("cut", [331, 640])
def test_every_allocator_is_causal(window, by_allocator, allocator, cut):
    early = research(window.until(int(window.ts_ns[cut - 1])), allocator=allocator)["proposals"]
    whole = {"proposals": by_allocator[allocator]}
    assert len(early.rows) > 20
    assert_same_bits(everything({"proposals": early}), until(whole, cut))


def test_the_last_row_does_not_depend_on_which_rows_are_asked_for(parts, by_allocator):
    """So a single run and a backtest cannot differ."""
    whole = by_allocator["risk_parity"]
    for k in (0, 1, 60, len(whole.rows) - 1):
        alone = r.proposals(
            parts["features"],
            parts["regimes"],
            BASKET,
            "risk_parity",
            EXPOSURE,
            0.9,
            PARAMS,
            whole.rows[k : k + 1],
        )
        picked = {name: array[k : k + 1] for name, array in arrays(whole, "p").items()}
        assert_same_bits(arrays(alone, "p"), picked)
        matrix = r.correlations(parts["features"], PARAMS, whole.rows[k : k + 1], symbols=BASKET).matrix[0]
        assert matrix.tobytes() == parts["correlations"].matrix[k].tobytes()


def test_columns_do_not_depend_on_other_symbols(window, parts):
    """Neither does a basket on the baskets computed beside it."""
    few = research(window.select(("AMD", "KO", "LATE", "RRC", PROXY, "XOM")))
    assert_same_bits(everything({"p": few["proposals"]}), everything({"p": parts["proposals"]}))
    assert_same_bits(everything({"c": few["correlations"]}), everything({"c": parts["correlations"]}))
    for key in ("features", "regimes"):
        columns = parts[key].columns(few[key].symbols)
        for name, array in arrays(few[key], key).items():
            whole = arrays(parts[key], key)[name]
            expected = whole[:, columns] if whole.ndim > 1 else whole
            assert np.ascontiguousarray(expected).tobytes() == np.ascontiguousarray(array).tobytes(), name


def fingerprint():
    arrays_by_name = everything(
        research(real_window().until(int(real_window().ts_ns[449])), allocator="risk_parity")
    )
    digest = hashlib.sha256()
    for name in sorted(arrays_by_name):
        digest.update(name.encode() + arrays_by_name[name].tobytes())
    return digest.hexdigest()


def test_another_process_gives_the_same_bytes():
    environment = {**os.environ, "PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo", "OPENBLAS_NUM_THREADS": "1"}
    code = f"import runpy; print(runpy.run_path({__file__!r})['fingerprint']())"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == fingerprint()


# --- regimes ----------------------------------------------------------------------------------------------


def test_labels_are_the_confirmed_fusion_and_confidence_never_rises_while_a_change_waits(parts):
    regimes, waiting = parts["regimes"], 0
    for i in range(len(regimes.symbols)):
        fresh, evidence = fuse(
            regimes.structure.label[:, i],
            regimes.structure.confidence[:, i],
            regimes.risk_state[:, i],
            regimes.risk_margin[:, i],
            2,
        )
        label, confidence = regimes.label[:, i], regimes.confidence[:, i]
        assert label.tobytes() == confirm(fresh, 3).tobytes()
        held = label != fresh
        waiting += held.sum()
        assert (confidence[~held] == evidence[~held]).all()
        assert (confidence[held] <= np.minimum(0.5, evidence[held])).all()
    assert waiting > 20
    assert regimes.market == PROXY and (regimes.risk_state[:199] == -1).all()


def test_unknown_counts_as_turbulent(parts):
    regimes = parts["regimes"]
    expected = (regimes.risk_state == -1) | (regimes.risk_state == 1)
    assert (regimes.turbulent() == expected).all() and 0.1 < expected[300:].mean() < 0.9


def test_a_schema_of_one_cell(window, parts):
    regimes = parts["regimes"]
    t = ROWS - 1
    for symbol in window.symbols:
        cell, i = regimes.at(t, symbol, window.ts_ns), regimes.columns([symbol])[0]
        assert cell.label is RegimeLabel(REGIME_LABELS[regimes.label[t, i]])
        assert cell.confidence == regimes.confidence[t, i] and cell.as_of_ns == window.ts_ns[t]
        assert (cell.risk.state is None) == (regimes.risk_state[t, i] < 0)
    gone = regimes.at(t, "GONE", window.ts_ns)
    assert gone.risk.state is None and gone.risk.reason == "return missing at this bar"
    early = regimes.at(10, "AMD", window.ts_ns)
    assert early.label is RegimeLabel.UNCERTAIN and early.confidence == 0 and early.structure.reason


@pytest.mark.parametrize("proxy", [None, "NDX"])
def test_an_equal_weighted_mean_stands_in_for_a_missing_proxy_and_says_so(window, proxy):
    features = r.features(window, proxy, PARAMS, stand_in_symbols=("XOM", "LATE"))
    assert features.market == r.STAND_IN and features.symbols == window.symbols
    (note,) = features.notes
    assert "2 symbols stands in" in note and ("NDX" in note) == (proxy is not None)
    two = features.returns[:, features.columns(("LATE", "XOM"))]
    both = np.log(np.nanmean(np.exp(two[1:]), axis=1))
    np.testing.assert_allclose(features.market_returns[1:], both, atol=1e-14)
    assert math.isnan(features.market_returns[0])
    regimes = r.regimes(features, PARAMS)
    assert regimes.symbols == (*window.symbols, r.STAND_IN) == (*window.symbols, regimes.market)
    assert regimes.at(ROWS - 1, r.STAND_IN, window.ts_ns).risk.state is not None
    assert r.features(window, PROXY, PARAMS).notes == ()


# --- correlations and schedule ----------------------------------------------------------------------------


def test_the_schedule_counts_from_the_start(parts):
    rows = r.schedule(ROWS, PARAMS)
    assert rows.tolist() == [t for t in range(ROWS) if (t + 1) % 5 == 0 and t >= 120]
    weekly = dataclasses.replace(PARAMS, cadence_sessions=7, allocation_window=100)
    assert r.schedule(150, weekly).tolist() == [104, 111, 118, 125, 132, 139, 146]
    assert r.schedule(3, PARAMS).tolist() == []


def test_correlations_are_those_of_the_window(parts):
    features, got = parts["features"], parts["correlations"]
    k = len(got.rows) - 1
    t = got.rows[k]
    window = features.returns[t - 119 : t + 1][:, features.columns(BASKET)]
    assert got.matrix[k].tobytes() == shrunk_correlation(np.ascontiguousarray(window)).tobytes()
    assert np.isfinite(got.condition).all() and (got.condition >= 1).all()
    late = BASKET.index("LATE")
    known = got.rows >= 400 + 60
    assert np.isnan(got.matrix[~known, late]).all() and np.isfinite(got.matrix[known, late]).all()


def test_rows_out_of_order_are_refused(parts):
    for rows in ([200, 100], [-1, 5], [ROWS]):
        with pytest.raises(BadInput, match="ascending rows"):
            r.correlations(parts["features"], PARAMS, np.array(rows))


# --- proposals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("allocator", ALLOCATORS)
def test_proposals_are_whole_and_follow_their_parts(parts, by_allocator, allocator):
    p, features, regimes = by_allocator[allocator], parts["features"], parts["regimes"]
    assert p.symbols == BASKET and (p.rows == r.schedule(ROWS, PARAMS)).all()
    np.testing.assert_allclose(p.base.sum(axis=1), 1.0, atol=1e-12)
    assert (p.base >= 0).all() and (np.abs(p.exposure) <= 1).all()
    assert p.weights.tobytes() == target_weights(p.base, p.exposure, 0.9).tobytes()
    assert (np.abs(p.weights).sum(axis=1) <= 0.9e9 + 1e-3).all()
    assert ((p.confidence >= 0) & (p.confidence <= 1)).all() and p.confidence.max() > 0.3
    at, of = features.columns(BASKET), regimes.columns(BASKET)
    for k in (5, 80, len(p.rows) - 1):
        t = p.rows[k]
        held, strategy = strategy_exposure(
            regimes.label[t, of],
            regimes.turbulent()[t, of],
            features.momentum[t, at],
            features.z[t, at],
            EXPOSURE,
        )
        assert p.exposure[k].tolist() == held.tolist() and p.strategy[k].tolist() == strategy.tolist()
        assert p.confidence[k] == pytest.approx(p.base[k] @ regimes.confidence[t, of])
    assert set(np.unique(p.strategy)) >= {-1, *(list(Exposure).index(x) for x in ("stand_aside", "de_risk"))}


def test_weights_are_solved_once_in_each_span(by_allocator):
    p = by_allocator["minimum_variance"]
    spans = p.rows // PARAMS.allocation_every
    for span in np.unique(spans):
        inside = spans == span
        assert (p.solved_at[inside] == p.rows[inside][0]).all() and np.ptp(p.base[inside], axis=0).max() == 0
    assert len(np.unique(p.solved_at)) == len(np.unique(spans))


def test_an_asset_weighs_nothing_before_it_is_known_and_after_it_is_gone(parts):
    p = r.proposals(
        parts["features"], parts["regimes"], ("GONE", "LATE", "XOM"), "equal", EXPOSURE, 1.0, PARAMS
    )
    gone, late, xom = (p.base[:, i] for i in range(3))
    assert (late[p.solved_at < 500] == 0).all() and (late[p.solved_at >= 501] > 0).all()
    assert (gone[p.solved_at < 500] > 0).all() and (gone[p.solved_at >= 521] == 0).all()
    assert (xom > 0).all()
    missing = p.rows >= 500
    assert (p.weights[missing, 0] == 0).all() and (p.strategy[missing, 0] == -1).all()


def test_an_outage_makes_no_proposal_rather_than_an_empty_one(window):
    close = window.close.copy()
    close[400:600, window.symbols.index("XOM")] = NAN
    features = r.features(PriceWindow(window.symbols, window.ts_ns, close), PROXY, PARAMS)
    p = r.proposals(features, r.regimes(features, PARAMS), ("XOM",), "equal", EXPOSURE, 1.0, PARAMS)
    planned = r.schedule(ROWS, PARAMS)
    assert set(p.rows) < set(planned)
    silent = sorted(set(planned.tolist()) - set(p.rows.tolist()))
    assert silent[0] >= 420 and silent[-1] <= 700 and len(silent) >= 50
    assert (p.weights[(p.rows >= 400) & (p.rows < 600)] == 0).all()


def test_progress_is_reported_for_every_long_loop(parts, window):
    seen = []

    def progress(stage, done, total):
        seen.append((stage, done, total))

    rows = r.schedule(ROWS, PARAMS)[:4]
    r.regimes(parts["features"], PARAMS, progress=progress)
    r.correlations(parts["features"], PARAMS, rows, progress=progress)
    r.proposals(
        parts["features"], parts["regimes"], BASKET, "equal", EXPOSURE, 1.0, PARAMS, rows, progress=progress
    )
    n = len(window.symbols)
    assert seen == [
        *(("regime", i + 1, n) for i in range(n)),
        *(("correlation", i + 1, 4) for i in range(4)),
        *(("proposal", i + 1, 4) for i in range(4)),
    ]


def test_errors_name_their_place(parts, window, monkeypatch):
    features, regimes = parts["features"], parts["regimes"]
    with pytest.raises(BadInput, match="NOPE"):
        r.proposals(features, regimes, ("XOM", "NOPE"), "equal", EXPOSURE, 1.0, PARAMS)
    with pytest.raises(BadInput, match="allocator"):
        r.proposals(features, regimes, BASKET, "best", EXPOSURE, 1.0, PARAMS)
    with pytest.raises(BadInput, match="no symbol"):
        r.proposals(features, regimes, (), "equal", EXPOSURE, 1.0, PARAMS)

    def failing(*_):
        raise RegimeError("allocator risk_parity: no solution")

    monkeypatch.setattr(proposing, "base_weights", failing)
    with pytest.raises(RegimeError, match=rf"no solution \(row 124, ts_ns {window.ts_ns[124]}\)"):
        r.proposals(features, regimes, BASKET, "risk_parity", EXPOSURE, 1.0, PARAMS)


@pytest.mark.parametrize(
    "change",
    [
        {"cadence_sessions": 0},
        {"allocation_every": 0},
        {"hysteresis_bars": -1},
        {"corr_min_obs": 300},
        {"allocation_min_rows": 101},
    ],
)
def test_params_are_checked(change):
    with pytest.raises(BadInput):
        dataclasses.replace(PARAMS, **change)
