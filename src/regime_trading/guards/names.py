"""Parameters that are names, groups and times of the wall clock, as arrays over accounts.

What many accounts say in words is held once: a vocabulary, and who says which word of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from regime_trading.core.numbers import B1, F8, I8

EPOCH_ORDINAL = dt.date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class NameSets:
    """One allow list of names per account.

    Parameters
    ----------
    names : tuple of str
        Every name that any account lists.
    listed : bool [A, V]
        Who lists which of them.
    everything : bool [A]
        Accounts without a list: all is allowed.
    """

    names: tuple[str, ...]
    listed: B1
    everything: B1

    def allow(self, vocabulary: tuple[str, ...], index: I8) -> B1:
        """Whether each account allows each asset, bool [A, N].

        Parameters
        ----------
        vocabulary : tuple of str
            Names in the market's own order.
        index : int64 [N]
            Index of each asset into ``vocabulary``; anything outside it is unknown and on no list.
        """
        known = (index >= 0) & (index < len(vocabulary))
        column = np.array(
            [self.names.index(v) if v in self.names else -1 for v in vocabulary], dtype=np.int64
        )
        wide = np.column_stack([self.listed, np.zeros(len(self.everything), dtype=np.bool_)])
        own = np.full(len(index), -1, dtype=np.int64)
        own[known] = column[index[known]]
        allowed: B1 = wide[:, own] | self.everything[:, None]
        return allowed


@dataclass(frozen=True, slots=True)
class HedgeGroups:
    """Groups of symbols that must not be held against each other: ``members`` bool [G, N], ``declared`` bool [A, G]."""

    members: B1
    declared: B1

    def touched(self, assets: B1) -> B1:
        """The declared groups with one of the marked ``assets`` [A, N] in them, bool [A, G]."""
        groups: B1 = (assets.astype(np.float64) @ self.members.T.astype(np.float64) > 0) & self.declared
        return groups

    def assets(self, groups: B1) -> B1:
        """The assets in one of the marked ``groups`` [A, G], bool [A, N]."""
        assets: B1 = groups.astype(np.float64) @ self.members.astype(np.float64) > 0
        return assets


@dataclass(frozen=True, slots=True)
class Labels:
    """One word per account: ``words[index[a]]``, int64 [A]."""

    words: tuple[str, ...]
    index: I8


def stack_names(values: Sequence[Any], symbols: tuple[str, ...]) -> NameSets:
    """Allow lists of names; None = all."""
    names = tuple(sorted({name for value in values for name in value or ()}))
    listed = [[name in (value or ()) for name in names] for value in values]
    return NameSets(
        names=names,
        listed=np.array(listed, dtype=np.bool_).reshape(len(values), len(names)),
        everything=np.array([value is None for value in values], dtype=np.bool_),
    )


def stack_groups(values: Sequence[Any], symbols: tuple[str, ...]) -> HedgeGroups:
    """Tuples of groups of symbols; symbols that the market does not have are left out."""
    groups = sorted({group for value in values for group in value})
    members = [[symbol in group for symbol in symbols] for group in groups]
    declared = [[group in value for group in groups] for value in values]
    return HedgeGroups(
        members=np.array(members, dtype=np.bool_).reshape(len(groups), len(symbols)),
        declared=np.array(declared, dtype=np.bool_).reshape(len(values), len(groups)),
    )


def stack_labels(values: Sequence[Any], symbols: tuple[str, ...]) -> Labels:
    """One word each."""
    words = tuple(sorted(set(values)))
    return Labels(words, np.array([words.index(value) for value in values], dtype=np.int64))


def stack_times(values: Sequence[Any], symbols: tuple[str, ...]) -> F8:
    """``HH:MM`` as seconds of the local day, NaN = none."""
    return np.array([np.nan if v is None else int(v[:2]) * 3600.0 + int(v[3:]) * 60.0 for v in values])


def stack_dates(values: Sequence[Any], symbols: tuple[str, ...]) -> F8:
    """ISO dates as days since 1970-01-01, NaN = none."""
    days = [
        np.nan if v is None else float(dt.date.fromisoformat(v).toordinal() - EPOCH_ORDINAL) for v in values
    ]
    return np.array(days)


#: Array form of what only its unit tells from a list of symbols.
STACKED: dict[str, Callable[[Sequence[Any], tuple[str, ...]], Any]] = {
    "classes (absent = all)": stack_names,
    "venues (absent = all)": stack_names,
    "groups of symbols": stack_groups,
    "time zone": stack_labels,
    "local time (absent = none)": stack_times,
    "date (absent = none)": stack_dates,
}
