from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regime_trading.core.errors import BadInput
from regime_trading.tools.cross_asset import clusters, mean_correlation


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
