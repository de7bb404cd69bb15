"""From a venue to a folder of canonical Parquet files, with the provenance of every row beside them.

``bars/<SYMBOL>.parquet`` (``ts_event, open, high, low, close, volume``), ``quotes/…`` (``ts_event, bid_px,
ask_px, bid_sz, ask_sz``), ``trades/…`` (``ts_event, price, size, aggressor, visible, continuous``) and
``provenance/<SYMBOL>.<kind>.json``. A file grows by stretches; where a new stretch meets what is there, both
must say the same. Every file is written whole (temporary file, fsync, rename), data before provenance: after
a crash between the two, the stretch is simply fetched and compared again.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.venues.provenance import Provenance
from regime_trading.adapters.venues.rows import BarRows, Rows, interval_ns, utc
from regime_trading.adapters.venues.venue import Fetched, Kind, ProgressCall, Venue
from regime_trading.core.bars import DAY_NS, SECOND_NS
from regime_trading.core.canonical import array_hash
from regime_trading.core.errors import BadInput, RegimeError
from regime_trading.core.numbers import B1, I8
from regime_trading.core.tape import BUY, SELL, QuoteRows, TradeRows

KINDS: tuple[Kind, ...] = ("bars", "quotes", "trades")
TIME = "ts_event"
COLUMNS: dict[str, tuple[str, ...]] = {
    "bars": ("open", "high", "low", "close", "volume"),
    "quotes": ("bid_px", "ask_px", "bid_sz", "ask_sz"),
    "trades": ("price", "size", "aggressor", "visible", "continuous"),
}
_LETTERS = {BUY: "B", SELL: "S"}
_UNSAFE = re.compile(r"[^A-Za-z0-9^=._-]")

Table = dict[str, npt.NDArray[Any]]
Stretch = tuple[int, int]


@dataclass(frozen=True, slots=True)
class FolderReport:
    """What became of one file.

    Parameters
    ----------
    kind : str
    path : Path
    provenance_path : Path
    added, rows : int
        New rows, and rows in the file now.
    coverage : tuple of (int, int)
        Stretches of time that have been asked for without a hole between; more than one: there are holes.
    fetches : tuple of Provenance
        Of this call; empty where everything was there already.
    """

    kind: str
    path: Path
    provenance_path: Path
    added: int
    rows: int
    coverage: tuple[Stretch, ...]
    fetches: tuple[Provenance, ...]


def file_name(symbol: str) -> str:
    """A symbol as a file name: ``BTC/USDT`` becomes ``BTC-USDT``.

    Raises
    ------
    BadInput
        A symbol that leaves no usable name.
    """
    name = _UNSAFE.sub("-", symbol)
    if not name or len(name) > 40 or name[0] in "._-":
        raise BadInput(
            expected="a symbol of 1 to 40 characters that begins with a letter or digit",
            found=repr(symbol[:60]),
            where="symbol",
        )
    return name


def fetch_to_folder(
    venue: Venue,
    symbol: str,
    folder: Path,
    kinds: Collection[str],
    interval: str,
    since_ns: int,
    until_ns: int,
    *,
    polls: int = 0,
    every_s: float = 1.0,
    slice_ns: int = 30 * DAY_NS,
    recheck: bool = False,
    progress: ProgressCall | None = None,
) -> dict[str, FolderReport]:
    """Fetch a stretch into files, or what is missing of it.

    Parameters
    ----------
    venue : Venue
    symbol : str
        As the venue writes it.
    folder : Path
    kinds : collection of str
        Of ``bars``, ``quotes``, ``trades``.
    interval : str
        Of the bars; one file holds one interval.
    since_ns, until_ns : int
        UTC nanoseconds.
    polls, every_s
        Quotes of a venue without history: how many to poll, and how far apart; they lie at now, whatever the
        stretch.
    slice_ns : int
        Longest stretch fetched before the file is written: what an interruption can lose.
    recheck : bool
        Fetch what is there as well, and compare.
    progress : callable, optional
        Called after every page.

    Returns
    -------
    dict of str to FolderReport
        By kind.

    Raises
    ------
    BadInput
        Values that contradict the file, a file of another venue, symbol or interval.
    RegimeError
        The venue gave up, or has no rows at all. What was written before stays, whole.
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown or not kinds:
        raise BadInput(expected=f"kinds of {', '.join(KINDS)}", found=str(unknown or "none"), where="kinds")
    if slice_ns < SECOND_NS:
        raise BadInput(expected="slices of at least a second", found=f"{slice_ns} ns", where="slice")
    reports = {}
    for kind in (k for k in KINDS if k in kinds):
        store = _Store(LocalArtifacts(folder), venue.name, symbol, kind, interval if kind == "bars" else None)
        if kind == "quotes" and not venue.has_quote_history:
            reports[kind] = _polled(venue, store, polls, every_s, progress)
        else:
            reports[kind] = _filled(venue, store, since_ns, until_ns, slice_ns, recheck, progress)
    return reports


def _filled(
    venue: Venue,
    store: _Store,
    since_ns: int,
    until_ns: int,
    slice_ns: int,
    recheck: bool,
    progress: ProgressCall | None,
) -> FolderReport:
    wanted = [(since_ns, until_ns)] if recheck else _missing((since_ns, until_ns), store.coverage)
    overlap = interval_ns(store.interval) if store.interval else SECOND_NS
    before, fetches = store.rows, []
    for begin, end in wanted:
        for start in range(begin, end, slice_ns):
            touching = any(a <= start - overlap < b for a, b in store.coverage)
            first = start - overlap if touching else start
            got = venue.fetch(
                store.kind,
                store.symbol,
                first,
                min(start + slice_ns, end),
                interval=store.interval,
                progress=progress,
            )
            store.add(got, got.provenance.covered_until_ns)
            fetches.append(got.provenance)
    if store.rows == 0:
        raise RegimeError(
            f"{venue.name}: no {store.kind} of {store.symbol} between {utc(since_ns)} and {utc(until_ns)}"
        )
    return store.report(before, fetches)


def _polled(
    venue: Venue, store: _Store, polls: int, every_s: float, progress: ProgressCall | None
) -> FolderReport:
    if polls < 1:
        raise BadInput(
            expected="a number of polls: this venue has no quotes of the past",
            found=str(polls),
            where=f"{venue.name} quotes",
        )
    before = store.rows
    got = venue.poll(store.symbol, polls, every_s, progress=progress)
    store.add(got, None)
    return store.report(before, [got.provenance])


class _Store:
    """The two files of one symbol and kind, and what they hold."""

    def __init__(
        self, artifacts: LocalArtifacts, venue: str, symbol: str, kind: Kind, interval: str | None
    ) -> None:
        name = file_name(symbol)
        self._artifacts, self._venue, self.symbol, self.kind, self.interval = (
            artifacts,
            venue,
            symbol,
            kind,
            interval,
        )
        self._data, self._record = f"{kind}/{name}.parquet", f"provenance/{name}.{kind}.json"
        self._table = self._read_table()
        self._fetches: list[dict[str, Any]] = []
        self.coverage: list[Stretch] = []
        self._read_record()

    @property
    def rows(self) -> int:
        return int(self._table[TIME].size)

    def report(self, before: int, fetches: Iterable[Provenance]) -> FolderReport:
        root = self._artifacts.root
        return FolderReport(
            self.kind,
            root / self._data,
            root / self._record,
            self.rows - before,
            self.rows,
            tuple(self.coverage),
            tuple(fetches),
        )

    def add(self, got: Fetched[Any], until_ns: int | None) -> None:
        """Join a fetched stretch, up to ``until_ns`` (all of it where None), and write both files.

        Raises
        ------
        BadInput
            Where the file has other values for the same time.
        """
        p = got.provenance
        new, record = _table_of(got.rows), p.as_json()
        counts: dict[str, int] = record["counts"]
        until = p.until_ns if until_ns is None else until_ns
        if until_ns is not None:
            new = _where(new, self._inside(new[TIME], [(0, until)], 0))
        elif self.rows:  # polled: each measurement of the venue's clock differs a little
            later = new[TIME] > self._table[TIME][-1]
            counts["not_later_than_file"] = int((~later).sum())
            new = _where(new, later)
        joined = self._joined(new, (p.since_ns, until))
        grown = joined[TIME].size != self.rows
        self._table = joined
        self._fetches.append(record)
        if until > p.since_ns:
            self.coverage = _union([*self.coverage, (p.since_ns, until)])
        if joined[TIME].size:
            if grown:
                self._artifacts.write_bytes(self._data, _parquet(self.kind, joined))
            self._artifacts.write_bytes(self._record, self._json())

    def _joined(self, new: Table, stretch: Stretch) -> Table:
        """Old and new rows in time order.

        A row that is there must come again where the stretch is sure to hold it, and a row that comes must be
        there where the file is sure to hold it; rows of one time are compared as a sequence.
        """
        old, step = self._table, interval_ns(self.interval) if self.interval else 0
        again = np.isin(new[TIME], old[TIME])
        due = self._inside(old[TIME], [stretch], step) | np.isin(old[TIME], new[TIME])
        known = self._inside(new[TIME], self.coverage, step) & self._inside(new[TIME], [stretch], step)
        there, here = _where(old, due), _where(new, again | known)
        if not _same(there, here):
            raise BadInput(
                expected=f"the {self.kind} that the file has",
                found=_difference(there, here),
                where=str(self._artifacts.root / self._data),
            )
        added = _where(new, ~(again | known))
        joined = {c: np.concatenate([old[c], added[c]]) for c in old}
        order = np.argsort(joined[TIME], kind="stable")
        return {c: a[order] for c, a in joined.items()}

    def _inside(self, ts_ns: I8, stretches: Iterable[Stretch], step_ns: int) -> B1:
        """Times that a stretch is sure to hold: bars complete in [begin + step, end], ticks in [begin, end)."""
        inside = np.zeros(ts_ns.size, dtype=np.bool_)
        for begin, end in stretches:
            last = end if self.kind == "bars" else end - 1
            inside |= (ts_ns >= begin + step_ns) & (ts_ns <= last)
        return inside

    # --- reading ------------------------------------------------------------------------------------------

    def _read_table(self) -> Table:
        names = (TIME, *COLUMNS[self.kind])
        if not self._artifacts.exists(self._data):
            return {n: np.empty(0, _dtype(n)) for n in names}
        where = str(self._artifacts.root / self._data)
        try:
            table = pq.read_table(io.BytesIO(self._artifacts.read_bytes(self._data)))
        except (pa.ArrowException, OSError) as error:
            raise BadInput(expected="a Parquet file", found=type(error).__name__, where=where) from None
        if table.schema != _schema(self.kind):
            found = ", ".join(f"{f.name} {f.type}" for f in table.schema)
            expected = ", ".join(f"{f.name} {f.type}" for f in _schema(self.kind))
            raise BadInput(expected=f"columns {expected}", found=found, where=where)
        out = {n: table[n].to_numpy().astype(_dtype(n)) for n in names}
        if np.any(np.diff(out[TIME]) < 0):
            raise BadInput(expected="ascending times", found="times that go back", where=where)
        return out

    def _read_record(self) -> None:
        """Coverage counts only where the record speaks of this very file."""
        if not self._artifacts.exists(self._record):
            return
        where = str(self._artifacts.root / self._record)
        try:
            record = orjson.loads(self._artifacts.read_bytes(self._record))
            told = {k: record[k] for k in ("venue", "symbol", "interval")}
            fetches, coverage = list(record["fetches"]), [(int(a), int(b)) for a, b in record["coverage"]]
            content = record["content_sha256"]
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise BadInput(expected="a provenance record", found="something else", where=where) from None
        for key, mine in (("venue", self._venue), ("symbol", self.symbol), ("interval", self.interval)):
            if told[key] != mine:
                raise BadInput(
                    expected=f"{key} {told[key]} (the file holds it)", found=str(mine), where=where
                )
        if content == array_hash(self._hashed()):
            self._fetches, self.coverage = fetches, coverage

    def _hashed(self) -> Table:
        """Letters are hashed as bytes: the width of NumPy's texts is no content."""
        return {
            c: a.astype("S1").view(np.uint8) if a.dtype.kind == "U" else a for c, a in self._table.items()
        }

    def _json(self) -> bytes:
        record = {
            "venue": self._venue,
            "symbol": self.symbol,
            "file": self._data,
            "kind": self.kind,
            "interval": self.interval,
            "rows": self.rows,
            "content_sha256": array_hash(self._hashed()),
            "coverage": self.coverage,
            "fetches": self._fetches,
        }
        return orjson.dumps(record, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


# --- tables -----------------------------------------------------------------------------------------------


def _table_of(rows: Rows) -> Table:
    if isinstance(rows, BarRows):
        return {TIME: rows.ts_ns, **{c: getattr(rows, c) for c in COLUMNS["bars"]}}
    if isinstance(rows, QuoteRows):
        return {TIME: rows.ts_ns, **{c: getattr(rows, c) for c in COLUMNS["quotes"]}}
    return _trade_table(rows)


def _trade_table(rows: TradeRows) -> Table:
    letters = np.array([_LETTERS.get(int(a), "N") for a in rows.aggressor], dtype="U1")
    same = {c: getattr(rows, c) for c in ("price", "size", "visible", "continuous")}
    named = {TIME: rows.ts_ns, "aggressor": letters, **same}
    return {c: named[c] for c in (TIME, *COLUMNS["trades"])}


def _dtype(column: str) -> str:
    named = {TIME: "int64", "aggressor": "U1", "visible": "bool", "continuous": "bool"}
    return named.get(column, "float64")


def _schema(kind: str) -> pa.Schema:
    kinds = {TIME: pa.timestamp("ns", tz="UTC"), "aggressor": pa.string()}
    kinds |= {"visible": pa.bool_(), "continuous": pa.bool_()}
    return pa.schema([(c, kinds.get(c, pa.float64())) for c in (TIME, *COLUMNS[kind])])


def _parquet(kind: str, table: Table) -> bytes:
    schema = _schema(kind)
    columns = [pa.array(table[f.name]).cast(f.type) for f in schema]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), sink, compression="zstd")
    return sink.getvalue()


def _where(table: Table, keep: npt.NDArray[np.bool_]) -> Table:
    return {c: a[keep] for c, a in table.items()}


def _same(a: Table, b: Table) -> bool:
    return all(np.array_equal(a[c], b[c], equal_nan=a[c].dtype.kind == "f") for c in a)


def _difference(there: Table, here: Table) -> str:
    n = min(there[TIME].size, here[TIME].size)
    for row in range(n):
        for column, values in there.items():
            a, b = values[row], here[column][row]
            if a != b and not (values.dtype.kind == "f" and np.isnan(a) and np.isnan(b)):
                shown = f"{utc(int(a))} and now {utc(int(b))}" if column == TIME else f"{a} and now {b}"
                return f"{column} {shown} at {utc(int(there[TIME][row]))}"
    return f"{there[TIME].size} rows before and {here[TIME].size} now in the same stretch"


# --- stretches --------------------------------------------------------------------------------------------


def _union(stretches: Iterable[Stretch]) -> list[Stretch]:
    out: list[Stretch] = []
    for begin, end in sorted(stretches):
        if out and begin <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((begin, end))
    return out


def _missing(wanted: Stretch, covered: Iterable[Stretch]) -> list[Stretch]:
    begin, end = wanted
    out = []
    for a, b in sorted(covered):
        if begin < min(a, end):
            out.append((begin, min(a, end)))
        begin = max(begin, b)
    return [*out, (begin, end)] if begin < end else out
