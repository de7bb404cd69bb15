"""The RL dataset against the record: is it complete, does it leak, and how much of it is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import polars as pl

from regime_trading.core.errors import RegimeError
from regime_trading.core.event_payloads import UNDECIDED
from regime_trading.core.rl_features import BLOCKS, FEATURES, MASKS, bits, features, known_column, mask_column
from regime_trading.services.rl_dataset import (
    RLDataset,
    RLRun,
    Selection,
    decisions_of,
    numbers_of,
    values_of,
)

_RECORDS = ("state", "action", "transition")


@dataclass(frozen=True, slots=True)
class ChainRows:
    """What was found of one run of one account. ``faults`` is empty where everything holds."""

    chain: str
    account: str
    run_id: str
    env: str
    decisions: int
    held: int
    transitions: int
    open: int
    gaps: int
    censored: int
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RLCheck:
    """Verdict over a dataset; ``uncovered`` are chains whose decisions leave no RL rows (the gate's)."""

    chains: tuple[ChainRows, ...]
    uncovered: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not any(chain.faults for chain in self.chains)

    def answer(self) -> dict[str, Any]:
        """The ``--json`` answer."""
        total = {
            name: sum(getattr(chain, name) for chain in self.chains)
            for name in ("decisions", "transitions", "open")
        }
        chains = [
            {name: getattr(chain, name) for name in ChainRows.__dataclass_fields__} for chain in self.chains
        ]
        return {"ok": self.ok, **total, "chains": chains, "uncovered": list(self.uncovered)}


def check(dataset: RLDataset, run_id: str | None = None) -> RLCheck:
    """Hold every sealed row against the record: transitions and open ends make up the decisions of each chain, ids
    join one to one, nothing was known after its decision, masks say what the columns say, environments are apart.

    Parameters
    ----------
    dataset : RLDataset
    run_id : str, optional
        Only this run.
    """
    states, audited = dataset.runs(), dataset.runs("audit")
    with_rows = {(run.firm_id, run.account_id, run.run_id) for run in states}
    runs, uncovered = list(states), list[str]()
    for run in audited:
        if (run.firm_id, run.account_id, run.run_id) in with_rows or not _decides(dataset, run):
            continue
        if dataset.store.exists(f"runs/{run.run_id}/report.html"):  # a run or a backtest: it must have rows
            runs.append(run)
        else:
            uncovered.append(run.chain)
    chosen = [run for run in sorted(runs) if run_id in (None, run.run_id)]
    return RLCheck(tuple(_checked(dataset, run) for run in chosen), tuple(sorted(set(uncovered))))


@dataclass(frozen=True, slots=True)
class _Decision:
    """What the check needs of a DECISION entry."""

    event_id: str
    env: str
    held: bool


def _entry(body: bytes) -> _Decision:
    entry = orjson.loads(body)
    return _Decision(entry["event_id"], entry["env"], not UNDECIDED.isdisjoint(entry["reason_codes"]))


def _decides(dataset: RLDataset, run: RLRun) -> bool:
    return any(not _entry(body).held for _, body in decisions_of(dataset, run))


def _checked(dataset: RLDataset, run: RLRun) -> ChainRows:
    told = {seq: _entry(body) for seq, body in decisions_of(dataset, run)}
    decided = {seq: entry for seq, entry in told.items() if not entry.held}
    faults, frames = list[str](), dict[str, pl.DataFrame]()
    for record in _RECORDS:
        try:
            if dataset.sealer.sealed(run.run_id, run.firm_id, run.account_id, record) is not None:  # type: ignore[arg-type]
                intact = dataset.sealer.verify_sealed(run.run_id, run.firm_id, run.account_id, record)  # type: ignore[arg-type]
                faults += [] if intact.ok else [f"{record}: {intact.reason}"]
            frames[record] = dataset.table(run, record)  # type: ignore[arg-type]
        except (RegimeError, pl.exceptions.PolarsError) as error:
            faults.append(f"{record}: {error}")
            frames[record] = pl.DataFrame()
    state, action, moves = (frames[record] for record in _RECORDS)
    for record, frame in (("state", state), ("action", action)):
        faults += _joins(record, frame, decided)
    faults += _known(state) if state.height else []
    faults += _moves(moves, state, decided)
    return ChainRows(
        chain=run.chain,
        account=run.account,
        run_id=run.run_id,
        env=run.env,
        decisions=len(decided),
        held=len(told) - len(decided),
        transitions=moves.height,
        open=len(decided) - moves.height,
        gaps=int(moves["gap"].sum()) if moves.height else 0,
        censored=int(moves["censored"].fill_null(False).sum()) if moves.height else 0,
        faults=tuple(faults),
    )


def _joins(record: str, frame: pl.DataFrame, decided: dict[int, _Decision]) -> Iterator[str]:
    """Rows and decisions must be the same, one to one, by sequence number, id and environment."""
    seqs = frame["seq"].to_list() if frame.height else []
    if seqs != sorted(decided):
        lost, extra = sorted(set(decided) - set(seqs)), sorted(set(seqs) - set(decided))
        first = (
            f"entry {lost[0]} has none" if lost else f"entry {extra[0]} is no decision" if extra else "order"
        )
        yield f"{record}: {len(seqs)} rows for {len(decided)} decisions; {first}"
        return
    if not seqs:
        return
    env = {entry.env for entry in decided.values()}
    if env != set(frame["env"].unique().to_list()):
        yield f"{record}: environment {frame['env'][0]}, the record says {', '.join(sorted(env))}"
    for seq, own in zip(seqs, frame["state_id"].to_list(), strict=True):
        if own is not None and own != decided[seq].event_id:
            yield f"{record}: entry {seq} has id {own}, the record says {decided[seq].event_id}"
            return


def _known(state: pl.DataFrame) -> Iterator[str]:
    """Nothing known after the decision, masks that say what the columns say, no infinite number."""
    ts_ns, seqs = state["ts_event"].cast(pl.Int64).to_numpy(), state["seq"].to_numpy()
    for block in BLOCKS:
        late = np.flatnonzero(state[known_column(block)].to_numpy() > ts_ns)
        if len(late):
            yield f"state: {block} of entry {seqs[late[0]]} was known after its decision"
    for block, per in MASKS:
        values = [values_of(state, f) for f in features(block, per)]
        for feature, value in zip(features(block, per), values, strict=True):
            if np.isinf(value).any():
                yield f"state: {feature.name} is infinite in entry {seqs[np.argwhere(np.isinf(value))[0][0]]}"
        column = mask_column(block, per)
        said = numbers_of(state, column, wide=per == "asset").astype(np.int64)
        wrong = np.argwhere(said != bits(values))
        if len(wrong):
            yield f"state: {column} of entry {seqs[wrong[0][0]]} does not say what is known"


def _moves(moves: pl.DataFrame, state: pl.DataFrame, decided: dict[int, _Decision]) -> Iterator[str]:
    """Every decision but the last open one has its transition, and each leads to the next decision."""
    seqs = sorted(decided)
    there = moves["seq"].to_list() if moves.height else []
    holes = sorted(set(seqs[:-1]) - set(there))
    if set(there) - set(seqs) or len(set(there)) != len(there):
        yield "transition: rows that belong to no decision, or twice to one"
    if holes:
        yield f"transition: {len(holes)} decisions without one, the first is entry {holes[0]}"
    if not moves.height or not state.height:
        return
    following = dict(pairwise(seqs))
    ids = dict(zip(state["seq"].to_list(), state["state_id"].to_list(), strict=True))
    rows = moves.select("seq", "state_id", "next_seq", "next_state_id", "done").iter_rows()
    for seq, own, after, next_id, done in rows:
        expected = 0 if done else following.get(seq, 0)
        if after != expected or own != ids.get(seq):
            yield f"transition: entry {seq} leads to {after}, the next decision is {expected}"
            return
        if next_id != (None if done else ids.get(expected)):
            yield f"transition: entry {seq} leads to state {next_id}, not {ids.get(expected)}"
            return


# --- how much is known --------------------------------------------------------------------------------------


def describe(dataset: RLDataset, selection: Selection) -> dict[str, Any]:
    """The features of the table with the share of unknown numbers among the rows of a selection.

    Raises
    ------
    BadInput
        No such rows.
    """
    runs = dataset.chosen(selection)
    unknown, total = (
        dict.fromkeys((f.name for f in FEATURES), 0),
        dict.fromkeys((f.name for f in FEATURES), 0),
    )
    rows = 0
    for run in runs:
        state = dataset.table(run, "state")
        rows += state.height
        for feature in FEATURES:
            values = values_of(state, feature)
            unknown[feature.name] += int(np.isnan(values).sum())
            total[feature.name] += values.size
    return {
        "env": selection.env,
        "runs": sorted({run.run_id for run in runs}),
        "accounts": sorted({run.account for run in runs}),
        "rows": rows,
        "features": [
            {
                "name": f.name, "block": f.block, "per": f.per, "unit": f.unit, "unknown_when": f.nan,
                "description": f.doc, "unknown_share": unknown[f.name] / max(total[f.name], 1),
            }
            for f in FEATURES
        ],
    }  # fmt: skip
