"""Reading the RL dataset: which runs there are, and their rows in the columns of this version.

A file of an older feature set stays readable: what it lacks is null and 0 in the mask, never 0 itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import PurePosixPath

import numpy as np
import orjson
import polars as pl

from regime_trading.core.audit import (
    GATE_RUNS,
    Dataset,
    SealedPart,
    chain_id,
    is_gate_run,
    require_firm,
    rl_folder,
    trail_of,
)
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.instants import EARLIEST_NS, LATEST_NS
from regime_trading.core.ports import ArtifactStore, RecordSealer
from regime_trading.core.rl import REWARDS
from regime_trading.core.rl_features import (
    BLOCKS,
    FEATURE_SET_VERSION,
    FEATURES,
    MASKS,
    READABLE_VERSIONS,
    Feature,
    bits,
    features,
    known_column,
    mask_column,
)
from regime_trading.core.rl_rows import RLWaiting
from regime_trading.core.schemas import AuditEvent, Mode, RLBlock
from regime_trading.engine.rl_body import Record, blocks_of

_PIECE = "piece"
WHO = ("firm_id", "account_id", "run_id", "env", "feature_set_version")
_NUMBERS = pl.List(pl.Float64)
#: Columns that version 4 added beside features and masks: their types.
_ADDED: dict[Record, dict[str, pl.DataType]] = {
    "state": {"state_id": pl.String(), "latch_bits": pl.Int64()},
    "action": {
        "action_id": pl.String(), "state_id": pl.String(), "authority": pl.Float64(), "override_by": pl.String()
    },
    "transition": {
        "state_id": pl.String(), "action_id": pl.String(), "next_state_id": pl.String(), "done_reason": pl.String(),
        "censored": pl.Boolean(), **{f"reward_{name}": pl.Float64() for name in REWARDS},
    },
}  # fmt: skip
#: Columns that came later, without a new version.
_LATER: dict[Record, dict[str, pl.DataType]] = {
    "state": {}, "action": {}, "transition": {"next_run_id": pl.String()}
}  # fmt: skip
#: Codes that version 3 wrote as −1 where nothing was known.
_MINUS_ONE = ("book", "tape_grade")


@dataclass(frozen=True, slots=True, order=True)
class RLRun:
    """One run of one account, and the environment it was recorded in; or the folder in which the gate's dry runs lie
    together (:data:`~regime_trading.core.audit.GATE_RUNS`)."""

    firm_id: str
    account_id: str
    run_id: str
    env: str

    @property
    def account(self) -> str:
        return f"{self.firm_id}/{self.account_id}"

    @property
    def chain(self) -> str:
        return chain_id(self.env, self.run_id, self.firm_id, self.account_id)

    @property
    def trail(self) -> str:
        if self.run_id == GATE_RUNS:
            return f"{self.env}/{self.account}"
        return trail_of(self.env, self.run_id, self.firm_id, self.account_id)

    @property
    def folder(self) -> RLRun:
        """Where its RL rows lie."""
        return replace(self, run_id=rl_folder(self.env, self.run_id))


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows are meant. One environment only: they are never mixed. ``symbols``: decisions about these assets and
    no others, in an export."""

    env: str = Mode.DRY_RUN.value
    run_id: str | None = None
    account: str | None = None
    symbols: tuple[str, ...] | None = None

    def takes(self, run: RLRun) -> bool:
        """Whether a run is meant."""
        return (
            run.env == self.env
            and self.run_id in (None, run.run_id)
            and self.account in (None, run.account, run.account_id)
        )


@dataclass(frozen=True, slots=True)
class Unsealed:
    """What the store holds of decisions made one by one at one instant: rows that are not sealed by folder and record,
    bodies of DECISION entries by run and ``seq``, and by trail the time of its last decision, UTC nanoseconds."""

    tables: Mapping[tuple[RLRun, Dataset], pl.DataFrame] = field(default_factory=dict)
    decisions: Mapping[RLRun, Mapping[int, bytes]] = field(default_factory=dict)
    until_ns: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Folder:
    """Rows of a folder, and where the row of each run is in one of many; valid while the same parts are sealed."""

    parts: tuple[SealedPart, ...]
    table: pl.DataFrame
    rows: Mapping[str, int]


def unsealed(
    rows: Sequence[RLWaiting],
    decisions: Sequence[AuditEvent],
    table_of: Callable[[RLBlock], pl.DataFrame],
) -> Unsealed:
    """Rows that wait to be sealed, and of ``decisions`` those of the gate and of runs whose rows wait; ``table_of``
    makes of a block what its file would hold."""
    tables: dict[tuple[RLRun, Dataset], list[pl.DataFrame]] = {}
    for block in blocks_of(rows):
        run = RLRun(block.firm_id, block.account_id, block.run_id, block.env)
        tables.setdefault((run, block.record), []).append(upgraded(table_of(block), block.record))
    told: dict[RLRun, dict[int, bytes]] = {}
    until_ns: dict[str, int] = {}
    here = {run for run, _ in tables}
    for event in decisions:
        run = RLRun(event.firm_id, event.account_id, event.run_id, event.env)
        if run in here or is_gate_run(run.env, run.run_id):
            told.setdefault(run, {})[event.seq] = event.body
            until_ns[run.trail] = max(event.ts_event_ns, until_ns.get(run.trail, event.ts_event_ns))
    return Unsealed({key: pl.concat(found, how="diagonal") for key, found in tables.items()}, told, until_ns)


class RLDataset:
    """RL rows of an artifacts folder, of one instant where the store is at hand: what was decided after it was read is
    left out.

    Parameters
    ----------
    store : ArtifactStore
    sealer : RecordSealer
        Says which files count.
    firm_id : str, optional
        Only this tenant; None = all, for the local operator.
    waiting : Unsealed, optional
        What is not in the files yet; without it they are all there is.
    """

    def __init__(
        self,
        store: ArtifactStore,
        sealer: RecordSealer,
        firm_id: str | None = None,
        waiting: Unsealed | None = None,
    ) -> None:
        self.store, self.sealer = store, sealer
        self.firm_id = None if firm_id is None else require_firm(firm_id)
        self._waiting = waiting or Unsealed()
        self._read: dict[tuple[RLRun, Record], _Folder] = {}

    def runs(self, dataset: Dataset = "state") -> tuple[RLRun, ...]:
        """Every run with rows of ``dataset``, sorted."""
        if dataset == "audit":
            return tuple(sorted({*self._sealed_runs(dataset), *self._waiting.decisions}))
        found = set[RLRun]()
        for folder in self.folders(dataset):
            if folder.run_id == GATE_RUNS:
                found |= {replace(folder, run_id=run_id) for run_id in self._folder(folder, dataset).rows}
            else:
                found.add(folder)
        return tuple(sorted(found))

    def folders(self, record: Record = "state") -> tuple[RLRun, ...]:
        """Every run with rows of ``record``, sorted; the gate's dry runs of an account are one."""
        waiting = {folder for folder, kind in self._waiting.tables if kind == record}
        return tuple(sorted({*self._sealed_runs(record), *waiting}))

    def _sealed_runs(self, dataset: Dataset) -> tuple[RLRun, ...]:
        base, record = ("audit", "") if dataset == "audit" else ("rl_dataset", f"record={dataset}/")
        pattern = f"{base}/_manifest/schema=1/{record}firm={self.firm_id or '*'}/account=*/run=*.json"
        names = [path.relative_to(self.store.root).as_posix() for path in self.store.root.glob(pattern)]
        return tuple(sorted(self._run(name) for name in names))

    def chosen(self, selection: Selection) -> tuple[RLRun, ...]:
        """Runs of a selection.

        Raises
        ------
        BadInput
            None of them, with what is there; or one account name of several firms.
        """
        known = self.runs()
        found = tuple(run for run in known if selection.takes(run))
        if not found:
            there = sorted({f"{run.env} {run.run_id} {run.account}" for run in known})
            asked = (
                f"env {selection.env}, run {selection.run_id or 'any'}, account {selection.account or 'any'}"
            )
            raise BadInput(
                expected="rows of " + asked, found="; ".join(there[:5]) or "none at all", where="RL dataset"
            )
        firms = {run.firm_id for run in found if selection.account == run.account_id}
        if len(firms) > 1:
            raise BadInput(expected="firm/account", found=str(selection.account), where="--account")
        return found

    def table(self, run: RLRun, record: Record) -> pl.DataFrame:
        """Rows of one run, or of one folder, in their order and in the columns of this version; no rows where there are
        none.

        Raises
        ------
        CheckFailed
            Rows of somebody else, or of another environment, in the run's files.
        BadInput
            A feature set that is not known.
        """
        folder = self._folder(run.folder, record)
        if run.run_id == run.folder.run_id:
            return folder.table
        row = folder.rows.get(run.run_id)
        return pl.DataFrame() if row is None else folder.table.slice(row, 1)

    def _folder(self, folder: RLRun, record: Record) -> _Folder:
        whose = (folder.run_id, folder.firm_id, folder.account_id, record)
        known = self._read.get((folder, record))
        parts = self.sealer.sealed(*whose) or ()
        if known is not None and known.parts == parts:
            return known
        contents = self.sealer.contents(*whose)
        frames = [pl.read_parquet(BytesIO(data), hive_partitioning=False) for data in contents]
        for frame in frames:
            _require_own(frame, folder, record)
        found = [upgraded(frame, record) for frame in frames]
        if (folder, record) in self._waiting.tables:
            at = pl.col("ts_event" if folder.run_id == GATE_RUNS else "seq").cast(pl.Int64)
            last = frames[-1].select(at).item(-1, 0) if frames else EARLIEST_NS
            found.append(self._waiting.tables[folder, record].filter(at > last))
        found = [kept for frame in found if (kept := self._until(frame, folder, record)).height]
        table = pl.concat(found, how="diagonal") if found else pl.DataFrame()
        own = folder.run_id == GATE_RUNS and table.height
        rows = {run_id: row for row, run_id in enumerate(table["run_id"].to_list())} if own else {}
        if len(rows) != (table.height if own else 0):
            raise CheckFailed(f"{folder.account}, {record}: several rows of one of the gate's dry runs")
        made = _Folder(parts, table, rows)
        if own:
            self._read[folder, record] = made
        return made

    def _until(self, frame: pl.DataFrame, folder: RLRun, record: Record) -> pl.DataFrame:
        """Rows without those that were sealed after the store was read, and were not decided then."""
        until_ns = self._waiting.until_ns.get(folder.trail)
        if until_ns is None:
            return frame
        at = pl.col("ts_event").cast(pl.Int64)
        led = at < until_ns
        return frame.filter(
            led | ((at == until_ns) & pl.col("done")) if record == "transition" else at <= until_ns
        )

    def sealed(self, folder: RLRun, record: Record) -> tuple[SealedPart, ...]:
        """Sealed files of one folder in sequence; the rows of a file never change."""
        return self.sealer.sealed(folder.run_id, folder.firm_id, folder.account_id, record) or ()

    def part(self, folder: RLRun, record: Record, part: SealedPart) -> pl.DataFrame:
        """Rows of one sealed file in their order, in the columns of this version.

        Raises
        ------
        CheckFailed
            As :meth:`table`.
        BadInput
            A feature set that is not known; or the file is not there (any more: files are merged).
        """
        frame = pl.read_parquet(BytesIO(self.store.read_bytes(part.path)), hive_partitioning=False)
        _require_own(frame, folder, record)
        return upgraded(frame, record)

    def decisions(self, run: RLRun) -> dict[int, bytes]:
        """Body of every DECISION of a run by sequence number, in order."""
        found = dict(self._waiting.decisions.get(run, {}))
        until_ns = self._waiting.until_ns.get(run.trail, LATEST_NS)
        columns = ["seq", "ts_event", "event_type", "body"]
        for data in self.sealer.contents(run.run_id, run.firm_id, run.account_id, "audit"):
            rows = pl.read_parquet(BytesIO(data), columns=columns, hive_partitioning=False)
            meant = (pl.col("event_type") == "DECISION") & (pl.col("ts_event").cast(pl.Int64) <= until_ns)
            told = rows.filter(meant).select("seq", "body").iter_rows()
            found |= {seq: body.encode() for seq, body in told}
        return dict(sorted(found.items()))

    def _run(self, name: str) -> RLRun:
        parts = dict(part.split("=", 1) for part in PurePosixPath(name).with_suffix("").parts if "=" in part)
        who = (parts["firm"], parts["account"], parts["run"])
        try:
            return RLRun(*who, env=str(orjson.loads(self.store.read_bytes(name))["env"]))
        except (ValueError, KeyError, TypeError) as err:
            raise CheckFailed(f"{name}: not the manifest of a run: {err}") from err


def _require_own(frame: pl.DataFrame, folder: RLRun, record: Record) -> None:
    own = {"firm_id": folder.firm_id, "account_id": folder.account_id, "env": folder.env}
    for name, value in own.items():
        found = frame[name].unique().to_list()
        if found != [value]:
            raise CheckFailed(f"{folder.account}, {record}: expected {name} {value} alone, found {found}")
    runs = frame["run_id"].unique().to_list()
    if {rl_folder(folder.env, run_id) for run_id in runs} != {folder.run_id}:
        raise CheckFailed(
            f"{folder.account}, {record}: expected rows of {folder.run_id} alone, found {runs[:5]}"
        )


def upgraded(frame: pl.DataFrame, record: Record) -> pl.DataFrame:
    """Rows of one file in the columns of this version: what its version lacks is null, and 0 in the masks.

    Raises
    ------
    BadInput
        A feature set that is not known, or several in one file.
    """
    versions = frame["feature_set_version"].unique().to_list()
    if len(versions) != 1 or versions[0] not in READABLE_VERSIONS:
        raise BadInput(
            expected=f"one feature set of {', '.join(READABLE_VERSIONS)}",
            found=", ".join(map(str, versions)),
            where=record,
        )
    old = versions[0] != FEATURE_SET_VERSION
    added = [
        pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in ((_ADDED[record] if old else {}) | _LATER[record]).items()
        if name not in frame.columns
    ]
    frame = frame.with_columns(added)
    return _upgraded_state(frame) if old and record == "state" else frame


def _upgraded_state(frame: pl.DataFrame) -> pl.DataFrame:
    width = frame["weight"].list.len()[0]
    nothing = pl.Series([[None] * width] * frame.height, dtype=_NUMBERS)
    codes = [
        pl.col(name).list.eval(pl.when(pl.element() >= 0).then(pl.element())).alias(name)
        for name in _MINUS_ONE
    ]
    known = [pl.col("ts_known_ns").alias(known_column(block)) for block in BLOCKS]
    frame = frame.with_columns([*codes, *known])
    lacking = [f for f in FEATURES if f.name not in frame.columns]
    frame = frame.with_columns(
        [(nothing if f.per == "asset" else pl.lit(None, dtype=pl.Float64)).alias(f.name) for f in lacking]
    )
    masks = []
    for block, per in MASKS:
        found = bits([values_of(frame, f) for f in features(block, per)])
        masks.append(pl.Series(mask_column(block, per), found.tolist()))
    return frame.with_columns(masks)


def values_of(frame: pl.DataFrame, feature: Feature) -> np.ndarray:
    """Numbers of a feature, float64 [T] or [T, N]; null is NaN."""
    return numbers_of(frame, feature.name, wide=feature.per == "asset")


def numbers_of(frame: pl.DataFrame, name: str, *, wide: bool) -> np.ndarray:
    """A column as float64 [T], or [T, N] of a list column; null is NaN."""
    flat = _flat(frame, name, wide=wide)
    return flat.reshape(frame.height, -1) if wide else flat


def flat_of(frame: pl.DataFrame, feature: Feature) -> np.ndarray:
    """All numbers of a feature one after the other, float64; null is NaN. Rows may be about different assets."""
    return _flat(frame, feature.name, wide=feature.per == "asset")


def by_symbols(frame: pl.DataFrame) -> list[pl.DataFrame]:
    """Rows in pieces in which every row is about the same assets, the pieces and their rows in order."""
    return frame.with_columns(pl.col("symbols").rle_id().alias(_PIECE)).partition_by(
        _PIECE, maintain_order=True, include_key=False
    )


def _flat(frame: pl.DataFrame, name: str, *, wide: bool) -> np.ndarray:
    column = frame[name]
    if wide:
        column = column.filter(column.list.len() > 0).explode()
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()
