"""The RL dataset (``/rl``): rows and lag, versions, partitions, how much of the state is known, gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl
from pydantic import Field

from regime_trading.core.rl_features import FEATURE_SET_VERSION, FEATURES, READABLE_VERSIONS, Feature
from regime_trading.services.rl_dataset import RLRun, flat_of
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

SCHEMA = 1
MOST_RUNS = 20  #: whose rows are read for coverage and rewards; sizes are told of all
DAYS = 60
BINS = 20


class Partition(Shown):
    """Sealed rows of one run of an account."""

    account: Account
    run_id: str  #: or ``core.audit.GATE_RUNS``
    env: str
    states: int
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
    rows: int = Field(description="states")
    last: Instant | None
    lag_s: Seconds | None = Field(description="seconds since the last state")
    rows_by_day: tuple[DayRows, ...] = Field(description="the last 60 days with rows, oldest first")
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
    chosen = [
        run
        for run in sources.rl.folders()
        if run.account in accounts and run.env == env and run_id in ("", run.run_id)
    ]
    parts, kept = list[Partition](), dict[RLRun, tuple[pl.DataFrame, pl.DataFrame]]()
    for run in sorted(chosen, key=lambda one: (one.account, one.run_id)):
        rows = _rows(sources, run)
        parts.append(_partition(sources, run, *rows))
        if len(chosen) <= MOST_RUNS:
            kept[run] = rows
    read = sorted(chosen, key=lambda run: _last_of(parts, run), reverse=True)[:MOST_RUNS]
    shown = [kept.get(run) or _rows(sources, run) for run in read]
    states, moves = [state for state, _ in shown], [move for _, move in shown]
    last_ns = max((ns for frame in states for ns in _times(frame)[-1:]), default=None)
    return DatasetStatus(
        env=env,
        schema_version=SCHEMA,
        feature_set_version=FEATURE_SET_VERSION,
        readable_versions=READABLE_VERSIONS,
        rows=sum(part.states for part in parts),
        last=instant(last_ns),
        lag_s=None if last_ns is None else asker.age_s(last_ns),
        rows_by_day=_by_day(states),
        partitions=tuple(parts),
        coverage=tuple(_coverage(feature, states) for feature in FEATURES),
        rewards=_rewards(moves),
    )


def _rows(sources: FirmSources, run: RLRun) -> tuple[pl.DataFrame, pl.DataFrame]:
    return sources.rl.table(run, "state"), sources.rl.table(run, "transition")


def _partition(sources: FirmSources, run: RLRun, state: pl.DataFrame, moves: pl.DataFrame) -> Partition:
    actions = sources.rl.sealer.sealed(run.run_id, run.firm_id, run.account_id, "action") or ()
    times, rows = _times(state), state.height
    return Partition(
        account=run.account,
        run_id=run.run_id,
        env=run.env,
        states=rows,
        actions=sum(part.rows for part in actions),
        transitions=moves.height,
        open=rows - moves.height,
        gaps=int(moves["gap"].sum()) if moves.height else 0,
        censored=int(moves["censored"].fill_null(False).sum()) if moves.height else 0,
        first=instant(times[0]) if times else None,
        last=instant(times[-1]) if times else None,
        feature_set_versions=tuple(sorted(state["feature_set_version"].unique().to_list())) if rows else (),
    )


def _last_of(parts: Sequence[Partition], run: RLRun) -> str:
    return next(p.last or "" for p in parts if (p.account, p.run_id) == (run.account, run.run_id))


def _times(frame: pl.DataFrame) -> list[int]:
    """Times of the rows, UTC nanoseconds, ascending."""
    return sorted(frame["ts_event"].dt.epoch("ns").to_list()) if frame.height else []


def _by_day(states: Sequence[pl.DataFrame]) -> tuple[DayRows, ...]:
    found: Counter[str] = Counter()
    for frame in states:
        if frame.height:
            found.update(frame["ts_event"].dt.strftime("%Y-%m-%d").to_list())
    return tuple(DayRows(day=day, rows=found[day]) for day in sorted(found)[-DAYS:])


def _coverage(feature: Feature, states: Sequence[pl.DataFrame]) -> FeatureCoverage:
    values = [flat_of(frame, feature) for frame in states if frame.height]
    whole = np.concatenate(values) if values else np.zeros(0)
    return FeatureCoverage(
        name=feature.name,
        block=feature.block,
        per=feature.per,
        unit=feature.unit,
        description=feature.doc,
        unknown_when=feature.nan,
        known=float(np.isfinite(whole).mean()) if whole.size else None,
    )


def _rewards(moves: Sequence[pl.DataFrame]) -> tuple[RewardBin, ...]:
    column = "reward_pnl_net"
    found = [frame[column].drop_nulls().to_numpy() for frame in moves if frame.height]
    whole = np.concatenate(found) if found else np.zeros(0)
    whole = whole[np.isfinite(whole)]
    if not whole.size:
        return ()
    counts, edges = np.histogram(whole, bins=BINS)
    return tuple(
        RewardBin(low=float(low), high=float(high), count=int(count))
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    )
