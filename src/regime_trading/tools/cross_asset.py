"""How assets hang together. Correlation is called correlation; nothing here is causal evidence."""

from __future__ import annotations

import numpy as np

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8

CLUSTER_CORRELATION = 0.5


def clusters(correlation: F8, threshold: float = CLUSTER_CORRELATION) -> tuple[tuple[int, ...], ...]:
    """Groups of assets whose mean correlation between groups stays below ``threshold``.

    Average linkage on the correlation itself: the two groups with the highest mean correlation between their
    members are joined while it is at least ``threshold``; the first pair wins a tie.

    Parameters
    ----------
    correlation : float64 [N, N]
        Symmetric, NaN rows and columns for assets that are not known.
    threshold : float
        In [−1, 1].

    Returns
    -------
    tuple of tuple of int
        Columns of each group, ascending; groups by size (largest first), then by first column. Unknown assets
        are in none.

    Raises
    ------
    BadInput
        A matrix that is not square, or a threshold out of range.
    """
    if correlation.ndim != 2 or correlation.shape[0] != correlation.shape[1] or not -1 <= threshold <= 1:
        raise BadInput(
            expected="a square correlation matrix and a threshold in [−1, 1]",
            found=f"shape {correlation.shape}, threshold {threshold}",
            where="clusters",
        )
    groups = [[int(i)] for i in np.flatnonzero(~np.isnan(np.diag(correlation)))]
    while len(groups) > 1:
        best, pair = -np.inf, (0, 0)
        for a in range(len(groups)):
            for b in range(a + 1, len(groups)):
                between = float(correlation[np.ix_(groups[a], groups[b])].mean())
                if between > best:
                    best, pair = between, (a, b)
        if best < threshold:
            break
        groups[pair[0]] = sorted(groups[pair[0]] + groups.pop(pair[1]))
    return tuple(tuple(g) for g in sorted(groups, key=lambda g: (-len(g), g[0])))


def mean_correlation(correlation: F8, members: tuple[int, ...] | None = None) -> float | None:
    """Mean over the known pairs of ``members`` (all by default); None where there is no pair."""
    chosen = correlation if members is None else correlation[np.ix_(list(members), list(members))]
    pairs = chosen[np.triu_indices(len(chosen), k=1)]
    known = pairs[np.isfinite(pairs)]
    return float(known.mean()) if len(known) else None
