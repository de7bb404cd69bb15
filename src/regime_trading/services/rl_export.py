"""The RL dataset as others read it: one flat training table, and episodes of observations, actions and rewards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.numbers import F8
from regime_trading.core.rl import REWARDS, symbols_of
from regime_trading.core.rl_features import FEATURE_SET_VERSION, FEATURES
from regime_trading.services.rl_dataset import (
    WHO,
    RLDataset,
    RLRun,
    Selection,
    by_symbols,
    numbers_of,
    values_of,
)

_KEYS = (*WHO, "seq", "ts_event")
_ROW_FEATURES = tuple(f for f in FEATURES if f.per == "row")
_ASSET_FEATURES = tuple(f for f in FEATURES if f.per == "asset")


def training_table(dataset: RLDataset, selection: Selection) -> pl.DataFrame:
    """State, action and transition of every decision in one row; ``open`` where the transition is not known yet.

    Rows are those of one environment, sorted by run, account and ``seq``. NaN is not known, as the masks say.

    Raises
    ------
    BadInput
        No such rows.
    CheckFailed
        States, actions and transitions that do not join one to one.
    """
    table = pl.concat([joined(dataset, run) for run in _by_run(dataset, selection)], how="diagonal")
    if selection.symbols is None:
        return table
    names = pl.col("symbols").str.split(",").list.sort().list.join(",")
    return table.filter(names == ",".join(sorted(selection.symbols)))


def _by_run(dataset: RLDataset, selection: Selection) -> list[RLRun]:
    return sorted(dataset.chosen(selection), key=lambda run: (run.run_id, run.account))


def joined(dataset: RLDataset, run: RLRun) -> pl.DataFrame:
    """The training table of one run of one account.

    Raises
    ------
    CheckFailed
        States, actions and transitions that do not join one to one.
    """
    state, action, moves = (dataset.table(run, record) for record in ("state", "action", "transition"))
    if state["seq"].to_list() != (action["seq"].to_list() if action.height else []):
        raise CheckFailed(
            f"{run.chain}: {state.height} states, {action.height} actions; see `regime rl check`"
        )
    own = [name for name in action.columns if name not in {*_KEYS, *state.columns}]
    table = state.join(action.select("seq", *own), on="seq", how="left", validate="1:1")
    if not moves.height:
        return table.with_columns(pl.lit(True).alias("open"))
    further = [name for name in moves.columns if name not in {*_KEYS, "state_id", "action_id"}]
    table = table.join(moves.select("seq", *further), on="seq", how="left", validate="1:1")
    return table.with_columns(pl.col("done").is_null().alias("open"))


# --- episodes -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Episode:
    """One attempt (or one whole account) from its first decision to its end, or to where it is about other assets.

    Parameters
    ----------
    account, run_id, done_reason : str
        ``run_id``: of the first decision.
    attempt : int
    observations : mapping of str to array [T + 1, …]
        ``row`` and ``asset`` with what is not known as 0, and ``row_known``, ``asset_known`` that say so; after the end
        of an episode nothing is known.
    actions : float64 [T, N]
        Final weights.
    rewards : float64 [T]
        ``pnl_net``; the other components are in ``infos`` [T + 1].
    terminated, truncated : bool [T]
    """

    account: str
    run_id: str
    attempt: int
    done_reason: str
    symbols: tuple[str, ...]
    observations: dict[str, np.ndarray]
    actions: F8
    rewards: F8
    terminated: np.ndarray
    truncated: np.ndarray
    infos: dict[str, np.ndarray]


def episodes(dataset: RLDataset, selection: Selection) -> list[Episode]:
    """Episodes of a selection, those without a single transition left out.

    Raises
    ------
    BadInput
        No such rows, or accounts with different symbols, which have no common space.
    """
    found: list[Episode] = []
    for table in _trails([joined(dataset, run) for run in _by_run(dataset, selection)]):
        found += _episodes(table)
    if selection.symbols is not None:
        found = [episode for episode in found if sorted(episode.symbols) == sorted(selection.symbols)]
    symbols = {episode.symbols for episode in found}
    if not found:
        raise BadInput(expected="at least one transition", found="none", where="RL dataset")
    if len(symbols) > 1:
        raise BadInput(
            expected="one list of symbols",
            found=f"{len(symbols)}; choose one with --run or --symbols: "
            + ", ".join(sorted(",".join(names) for names in symbols)[:5]),
            where="RL dataset",
        )
    return found


def _trails(tables: Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
    """Tables of runs, those that lead from run to run in one piece."""
    by_id = {table["state_id"][0]: table for table in tables}
    after = {n: _onward(table, by_id) for n, table in enumerate(tables)}
    places = {id(table): n for n, table in enumerate(tables)}
    reached = {places[id(table)] for table in after.values() if table is not None}
    found = []
    for n in range(len(tables)):
        trail, at = list[pl.DataFrame](), None if n in reached else n
        while at is not None:
            trail.append(tables[at])
            onward = after[at]
            at = None if onward is None else places[id(onward)]
        if trail:
            found.append(pl.concat(trail, how="diagonal"))
    return found


def _onward(table: pl.DataFrame, by_id: Mapping[str | None, pl.DataFrame]) -> pl.DataFrame | None:
    """The table of the run that the last decision of a run leads to."""
    last = table.row(-1, named=True)
    return by_id.get(last["next_state_id"]) if last.get("next_run_id") is not None else None


def _episodes(table: pl.DataFrame) -> Iterator[Episode]:
    for attempt in table.partition_by("attempt", maintain_order=True):
        for part in by_symbols(attempt):
            closed = part.filter(~pl.col("open"))
            if closed.height:
                yield _episode(part, closed)


def _episode(part: pl.DataFrame, closed: pl.DataFrame) -> Episode:
    t, symbols = closed.height, symbols_of(part["symbols"][0])
    row = np.stack([values_of(part, f) for f in _ROW_FEATURES], axis=1)
    asset = np.stack([values_of(part, f) for f in _ASSET_FEATURES], axis=2)
    seen = {"row": row, "asset": asset}
    if part.height == t:  # the episode ended here, or goes on among other assets: there is no further state
        seen = {name: np.concatenate([v, np.full((1, *v.shape[1:]), np.nan)]) for name, v in seen.items()}
    done = closed["done"].to_numpy()
    truncated = np.zeros(t, dtype=np.bool_)
    truncated[-1] = not done[-1]
    rewards = {name: numbers_of(closed, f"reward_{name}", wide=False) for name in REWARDS}
    infos = {f"reward_{name}": np.append(values, np.nan) for name, values in rewards.items()}
    infos |= {name: np.append(closed[name].to_numpy(), 0) for name in ("seq", "horizon_bars")}
    infos |= {"gap": np.append(closed["gap"].to_numpy(), False)}
    last = closed.row(t - 1, named=True)
    return Episode(
        account=f"{last['firm_id']}/{last['account_id']}",
        run_id=part["run_id"][0],
        attempt=last["attempt"],
        done_reason=last["done_reason"] or "",
        symbols=symbols,
        observations={name: np.nan_to_num(v, nan=0.0) for name, v in seen.items()}
        | {f"{name}_known": (~np.isnan(v)).astype(np.uint8) for name, v in seen.items()},
        actions=numbers_of(closed, "final_w", wide=True),
        rewards=rewards["pnl_net"],
        terminated=done,
        truncated=truncated,
        infos=infos,
    )


def contents(found: Sequence[Episode]) -> dict[str, Any]:
    """What the axes of exported episodes mean, for the file beside them."""
    return {
        "feature_set_version": FEATURE_SET_VERSION,
        "row": [f.name for f in _ROW_FEATURES],
        "asset": [f.name for f in _ASSET_FEATURES],
        "symbols": list(found[0].symbols),
        "reward": "pnl_net",
        "episodes": [
            {
                "id": n, "account": e.account, "run_id": e.run_id, "attempt": e.attempt,
                "steps": len(e.rewards), "done_reason": e.done_reason,
            }
            for n, e in enumerate(found)
        ],
    }  # fmt: skip
