"""The RL dataset (``/rl``): rows and lag, versions, partitions, how much of the state is known, gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TypeVar

import numpy as np
import polars as pl
from pydantic import Field

from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import F8
from regime_trading.core.rl_features import FEATURE_SET_VERSION, FEATURES, READABLE_VERSIONS
from regime_trading.core.rl_rows import RLUnsealed
from regime_trading.engine.rl_body import Record
from regime_trading.services.rl_dataset import RLDataset, RLRun
from regime_trading.services.views.base import (
    Account,
    Asker,
    Fraction,
    Instant,
    Measured,
    Seconds,
    Shown,
    instant,
)
from regime_trading.services.views.sources import FirmSources

T = TypeVar("T")
SCHEMA = 1
MOST_RUNS = 20  #: whose rows are read for coverage and rewards; sizes are told of all
DAYS = 60
BINS = 20


class Partition(Shown):
    """Rows of one run of an account."""

    account: Account
    run_id: str  #: or ``core.audit.GATE_RUNS``
    env: str
    states: int = Field(description="sealed decisions, as are all counts but waiting")
    waiting: int = Field(description="decisions whose rows are in the store and not sealed yet")
    actions: int
    transitions: int
    open: int = Field(description="decisions whose next state is not known yet")
    gaps: int = Field(description="transitions over missing bars")
    censored: int = Field(description="transitions at the end of the data, where the episode went on")
    first: Instant | None
    last: Instant | None
    feature_set_versions: tuple[str, ...]


class DayRows(Shown):
    """Rows of one UTC day."""

    day: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    rows: int


class FeatureCoverage(Shown):
    """How much of one feature is known."""

    name: str
    block: str
    per: str
    unit: str
    description: str
    unknown_when: str
    known: Fraction | None = Field(description="share of numbers that are known; null = there are no rows")


class RewardBin(Shown):
    """One bar of the histogram of net rewards."""

    low: Measured
    high: Measured
    count: int


class DatasetStatus(Shown):
    """The dataset of the accounts the asker may see, in one environment."""

    env: str
    schema_version: int
    feature_set_version: str = Field(description="that is written now")
    readable_versions: tuple[str, ...]
    rows: int = Field(description="sealed states")
    waiting: int = Field(description="states in the store that are not sealed yet")
    last: Instant | None = Field(description="of the last state, sealed or not")
    lag_s: Seconds | None = Field(description="seconds since the last state")
    rows_by_day: tuple[DayRows, ...] = Field(
        description="sealed rows of the last 60 days with any, oldest first; as coverage"
    )
    partitions: tuple[Partition, ...] = Field(description="by account and run")
    coverage: tuple[FeatureCoverage, ...] = Field(description="over the newest 20 partitions")
    rewards: tuple[RewardBin, ...] = Field(
        description="of the net profit, as a fraction of equity; as coverage"
    )


def dataset(
    sources: FirmSources, asker: Asker, env: str = "dry_run", account: str = "", run_id: str = ""
) -> DatasetStatus:
    """How the dataset stands.

    Raises
    ------
    NotThere
        An account that is named does not exist, or not for this asker.
    CheckFailed
        Files that are no longer what was sealed.
    """
    if account:
        sources.require(asker, account)
    accounts = set(sources.readable(asker)) & ({account} if account else set(sources.standings))
    waiting = _waiting(sources)
    chosen = [
        run
        for run in {*sources.rl.folders(), *waiting}
        if run.account in accounts and run.env == env and run_id in ("", run.run_id)
    ]
    found = {run: _counted(sources, run, waiting.get(run)) for run in sorted(chosen)}
    newest = sorted(found.values(), key=lambda one: one.last_ns or 0, reverse=True)[:MOST_RUNS]
    states = [tally for one in newest for tally in one.states]
    last_ns = max((one.last_ns for one in found.values() if one.last_ns is not None), default=None)
    parts = tuple(_partition(run, one) for run, one in found.items())
    return DatasetStatus(
        env=env,
        schema_version=SCHEMA,
        feature_set_version=FEATURE_SET_VERSION,
        readable_versions=READABLE_VERSIONS,
        rows=sum(part.states for part in parts),
        waiting=sum(part.waiting for part in parts),
        last=instant(last_ns),
        lag_s=None if last_ns is None else asker.age_s(last_ns),
        rows_by_day=_by_day(states),
        partitions=parts,
        coverage=_coverage(states),
        rewards=_rewards([move.rewards for one in newest for move in one.moves]),
    )


# --- counting -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sealed:
    """Rows of one sealed file, told apart by their hash: they never change, so that they are counted once."""

    run: RLRun
    sha256: str
    rows: Callable[[], pl.DataFrame] = field(compare=False)


@dataclass(frozen=True, slots=True)
class _States:
    rows: int
    first_ns: int
    last_ns: int
    versions: frozenset[str]
    days: Mapping[str, int]
    known: tuple[int, ...]  #: numbers of each feature that are known
    numbers: tuple[int, ...]  #: and all of them


@dataclass(frozen=True, slots=True)
class _Moves:
    rows: int
    gaps: int
    censored: int
    rewards: F8


@dataclass(frozen=True, slots=True)
class _Counted:
    """One run of an account: what its files hold, and what waits for them."""

    states: tuple[_States, ...]
    moves: tuple[_Moves, ...]
    actions: int
    waiting: RLUnsealed | None

    @property
    def first_ns(self) -> int | None:
        waiting = () if self.waiting is None else (self.waiting.first_ns,)
        return min((*(one.first_ns for one in self.states), *waiting), default=None)

    @property
    def last_ns(self) -> int | None:
        waiting = () if self.waiting is None else (self.waiting.last_ns,)
        return max((*(one.last_ns for one in self.states), *waiting), default=None)


def _waiting(sources: FirmSources) -> dict[RLRun, RLUnsealed]:
    """What is not sealed yet, by the folder that it will lie in."""
    found: dict[RLRun, RLUnsealed] = {}
    for one in sources.rl_log.unsealed():
        folder = RLRun(sources.firm_id, one.account.split("/")[1], one.run_id, one.env).folder
        more = found.get(folder, one)
        found[folder] = RLUnsealed(
            account=one.account,
            run_id=folder.run_id,
            env=one.env,
            rows=one.rows + (more.rows if more is not one else 0),
            first_ns=min(one.first_ns, more.first_ns),
            last_ns=max(one.last_ns, more.last_ns),
        )
    return found


def _counted(sources: FirmSources, run: RLRun, waiting: RLUnsealed | None) -> _Counted:
    return _Counted(
        states=_tallies(sources.rl, run, "state", _states),
        moves=_tallies(sources.rl, run, "transition", _moves),
        actions=sum(part.rows for part in sources.rl.sealed(run, "action")),
        waiting=waiting,
    )


def _tallies(dataset: RLDataset, run: RLRun, record: Record, tally: Callable[[_Sealed], T]) -> tuple[T, ...]:
    """One tally a file, as of one manifest: files that were merged meanwhile are not there any more."""
    while True:
        parts = dataset.sealed(run, record)
        try:
            return tuple(
                tally(_Sealed(run, one.sha256, partial(dataset.part, run, record, one))) for one in parts
            )
        except BadInput:
            if parts == dataset.sealed(run, record):
                raise


@lru_cache(maxsize=1_024)
def _states(sealed: _Sealed) -> _States:
    """One query a file: every call of its own into Polars would wait for its turn beside what decides."""
    frame, time = sealed.rows(), pl.col("ts_event").dt
    counted = [
        expression
        for n, feature in enumerate(FEATURES)
        for expression in _numbers(feature.name, n, wide=feature.per == "asset")
    ]
    told = frame.select(
        time.epoch("ns").min().alias("first"),
        time.epoch("ns").max().alias("last"),
        pl.col("feature_set_version").unique().implode().alias("versions"),
        time.strftime("%Y-%m-%d").value_counts().implode().alias("days"),
        *counted,
    ).row(0, named=True)
    return _States(
        rows=frame.height,
        first_ns=told["first"],
        last_ns=told["last"],
        versions=frozenset(told["versions"]),
        days={row["ts_event"]: row["count"] for row in told["days"]},
        known=tuple(told[f"known_{n}"] for n in range(len(FEATURES))),
        numbers=tuple(told[f"all_{n}"] for n in range(len(FEATURES))),
    )


def _numbers(name: str, n: int, *, wide: bool) -> tuple[pl.Expr, pl.Expr]:
    """How many numbers of a feature are known, and how many there are."""
    column = pl.col(name)
    flat = column.explode() if wide else column
    whole = column.list.len().sum() if wide else column.len()
    return flat.cast(pl.Float64).is_finite().sum().alias(f"known_{n}"), whole.alias(f"all_{n}")


@lru_cache(maxsize=1_024)
def _moves(sealed: _Sealed) -> _Moves:
    frame = sealed.rows().select("gap", "censored", "reward_pnl_net")
    reward = frame["reward_pnl_net"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return _Moves(
        rows=frame.height,
        gaps=int(frame["gap"].sum()),
        censored=int(frame["censored"].fill_null(False).sum()),
        rewards=reward[np.isfinite(reward)],
    )


# --- telling ------------------------------------------------------------------------------------------------


def _partition(run: RLRun, found: _Counted) -> Partition:
    states, moves = sum(one.rows for one in found.states), sum(one.rows for one in found.moves)
    return Partition(
        account=run.account,
        run_id=run.run_id,
        env=run.env,
        states=states,
        waiting=0 if found.waiting is None else found.waiting.rows,
        actions=found.actions,
        transitions=moves,
        open=states - moves,
        gaps=sum(one.gaps for one in found.moves),
        censored=sum(one.censored for one in found.moves),
        first=instant(found.first_ns),
        last=instant(found.last_ns),
        feature_set_versions=tuple(sorted({name for one in found.states for name in one.versions})),
    )


def _by_day(states: Sequence[_States]) -> tuple[DayRows, ...]:
    found: Counter[str] = Counter()
    for one in states:
        found.update(one.days)
    return tuple(DayRows(day=day, rows=found[day]) for day in sorted(found)[-DAYS:])


def _coverage(states: Sequence[_States]) -> tuple[FeatureCoverage, ...]:
    found = []
    for n, feature in enumerate(FEATURES):
        known, numbers = sum(one.known[n] for one in states), sum(one.numbers[n] for one in states)
        found.append(
            FeatureCoverage(
                name=feature.name,
                block=feature.block,
                per=feature.per,
                unit=feature.unit,
                description=feature.doc,
                unknown_when=feature.nan,
                known=known / numbers if numbers else None,
            )
        )
    return tuple(found)


def _rewards(found: Sequence[F8]) -> tuple[RewardBin, ...]:
    whole = np.concatenate(found) if found else np.zeros(0)
    if not whole.size:
        return ()
    counts, edges = np.histogram(whole, bins=BINS)
    return tuple(
        RewardBin(low=float(low), high=float(high), count=int(count))
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    )
