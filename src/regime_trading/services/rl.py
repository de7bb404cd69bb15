"""The RL dataset against the record: is it complete, does it leak, and how much of it is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import polars as pl

from regime_trading.core.audit import is_gate_run, trail_of
from regime_trading.core.errors import RegimeError
from regime_trading.core.event_payloads import UNDECIDED
from regime_trading.core.instants import LATEST_NS
from regime_trading.core.rl_features import BLOCKS, FEATURES, MASKS, bits, features, known_column, mask_column
from regime_trading.engine.rl_body import RECORDS, Record
from regime_trading.services.rl_dataset import (
    RLDataset,
    RLRun,
    Selection,
    by_symbols,
    flat_of,
    numbers_of,
    values_of,
)


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
    """Verdict over a dataset; ``uncovered`` are chains whose decisions left no RL rows, as those of the gate and of
    paced runs did in older versions."""

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
    """Hold every row against the record: transitions and open ends make up the decisions of each chain, ids join one to
    one, nothing was known after its decision, masks say what the columns say, environments are apart. Of each trail
    only the last decision is open: those of the gate lead from run to run.

    Parameters
    ----------
    dataset : RLDataset
    run_id : str, optional
        Only this run.
    """
    states, asked = _asked(dataset, run_id)
    told = {run: _told(dataset, run) for run in asked}
    begun = _begun(told, states)
    runs, uncovered = list(states), list[str]()
    for run in sorted(told.keys() - set(states)):
        decided = [entry for entry in told[run].values() if not entry.held]
        if not decided:
            continue
        if _must_have_rows(dataset, run, max(entry.ts_ns for entry in decided), begun):
            runs.append(run)
        else:
            uncovered.append(run.chain)
    following = _following({run: told[run] for run in runs})
    chosen = [run for run in sorted(runs) if run_id in (None, run.run_id)]
    intact = cache(partial(_intact, dataset))
    return RLCheck(
        tuple(_checked(dataset, run, told[run], following[run], intact) for run in chosen),
        tuple(sorted(set(uncovered))),
    )


def _asked(dataset: RLDataset, run_id: str | None) -> tuple[list[RLRun], set[RLRun]]:
    """Runs with states, and all runs, that a check of one run or of all needs: of the gate's every run of the account,
    because its decisions lead from one to the next."""
    states = dataset.runs()
    every = {*states, *dataset.runs("audit")}
    if run_id is None:
        return list(states), every
    own = {run for run in every if run.run_id == run_id}
    trails = {(run.env, run.account) for run in own if is_gate_run(run.env, run.run_id)}
    own |= {run for run in every if is_gate_run(run.env, run.run_id) and (run.env, run.account) in trails}
    return [run for run in states if run in own], own


@dataclass(frozen=True, slots=True)
class _Decision:
    """What the check needs of a DECISION entry."""

    event_id: str
    env: str
    ts_ns: int
    held: bool


@dataclass(frozen=True, slots=True)
class _Next:
    """The decision that follows another; ``run_id`` None = in the same run."""

    run_id: str | None
    seq: int
    event_id: str


_Told = Mapping[int, _Decision]
_Following = Mapping[int, _Next | None]


def _told(dataset: RLDataset, run: RLRun) -> dict[int, _Decision]:
    return {seq: _entry(body) for seq, body in dataset.decisions(run).items()}


def _entry(body: bytes) -> _Decision:
    entry = orjson.loads(body)
    held = not UNDECIDED.isdisjoint(entry["reason_codes"])
    return _Decision(entry["event_id"], entry["env"], int(entry["ts_event_ns"]), held)


def _begun(told: Mapping[RLRun, _Told], states: Iterable[RLRun]) -> dict[tuple[str, str], int]:
    """Since when the gate has left rows of each account in each environment: decisions of before are of an older
    version."""
    found: dict[tuple[str, str], int] = {}
    for run in states:
        if is_gate_run(run.env, run.run_id) and told[run]:
            first = min(entry.ts_ns for entry in told[run].values())
            key = (run.env, run.account)
            found[key] = min(first, found.get(key, first))
    return found


def _must_have_rows(
    dataset: RLDataset, run: RLRun, last_ns: int, begun: Mapping[tuple[str, str], int]
) -> bool:
    if is_gate_run(run.env, run.run_id):
        return last_ns >= begun.get((run.env, run.account), LATEST_NS)
    return dataset.store.exists(f"runs/{run.run_id}/report.html")  # a run or a backtest


def _following(told: Mapping[RLRun, _Told]) -> dict[RLRun, dict[int, _Next | None]]:
    """What follows each decision; None after the last of a trail."""
    found: dict[RLRun, dict[int, _Next | None]] = {run: {} for run in told}
    trails: dict[str, list[tuple[int, int, RLRun]]] = {}
    for run, entries in told.items():
        trail = trails.setdefault(trail_of(run.env, run.run_id, run.firm_id, run.account_id), [])
        trail += [(entry.ts_ns, seq, run) for seq, entry in entries.items() if not entry.held]
    for trail in trails.values():
        trail.sort()
        for (_, seq, run), after in pairwise([*trail, None]):
            if after is None:
                found[run][seq] = None
            else:
                _, to, other = after
                named = None if other == run else other.run_id
                found[run][seq] = _Next(named, to, told[other][to].event_id)
    return found


def _intact(dataset: RLDataset, folder: RLRun, record: Record) -> tuple[str, ...]:
    """What is wrong with the files of a folder."""
    where = (folder.run_id, folder.firm_id, folder.account_id, record)
    if dataset.sealer.sealed(*where) is None:
        return ()
    found = dataset.sealer.verify_sealed(*where)
    return () if found.ok else (f"{record}: {found.reason}",)


def _checked(
    dataset: RLDataset,
    run: RLRun,
    told: _Told,
    following: _Following,
    intact: Callable[[RLRun, Record], tuple[str, ...]],
) -> ChainRows:
    decided = {seq: entry for seq, entry in told.items() if not entry.held}
    faults, frames = list[str](), dict[str, pl.DataFrame]()
    for record in RECORDS:
        try:
            faults += intact(run.folder, record)
            frames[record] = dataset.table(run, record)
        except (RegimeError, pl.exceptions.PolarsError) as error:
            faults.append(f"{record}: {error}")
            frames[record] = pl.DataFrame()
    state, action, moves = (frames[record] for record in RECORDS)
    for record, frame in (("state", state), ("action", action)):
        faults += _joins(record, frame, decided)
    for piece in by_symbols(state) if state.height else []:
        faults += _known(piece)
    faults += _moves(moves, state, following)
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


def _moves(moves: pl.DataFrame, state: pl.DataFrame, following: _Following) -> Iterator[str]:
    """Every decision that another one follows has its transition, and each leads to that one."""
    there = moves["seq"].to_list() if moves.height else []
    holes = sorted(seq for seq, after in following.items() if after is not None and seq not in set(there))
    if set(there) - set(following) or len(set(there)) != len(there):
        yield "transition: rows that belong to no decision, or twice to one"
    if holes:
        yield f"transition: {len(holes)} decisions without one, the first is entry {holes[0]}"
    if not moves.height or not state.height:
        return
    ids = dict(zip(state["seq"].to_list(), state["state_id"].to_list(), strict=True))
    names = ("seq", "state_id", "next_run_id", "next_seq", "next_state_id", "done")
    for seq, own, next_run, after, next_id, done in moves.select(names).iter_rows():
        expected = None if done else following.get(seq)
        to = 0 if expected is None else expected.seq
        if (after, next_run) != (to, None if expected is None else expected.run_id) or own != ids.get(seq):
            yield f"transition: entry {seq} leads to {after}, the next decision is {to}"
            return
        known = None if expected is None or own is None else expected.event_id
        if next_id != known:
            yield f"transition: entry {seq} leads to state {next_id}, not {known}"
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
            values = flat_of(state, feature)
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
