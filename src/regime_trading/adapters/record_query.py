"""Entries of a firm newest first: sealed files through DuckDB, the write-ahead rows beside them, each entry once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import merge
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import duckdb

from regime_trading.adapters.database.newest import SqlNewest
from regime_trading.adapters.duck import reader
from regime_trading.adapters.journal.history import SealedChainPart, SealedHistory
from regime_trading.core.audit import FIRM_ACCOUNT, require_firm
from regime_trading.core.canonical import entry_hash
from regime_trading.core.checkpoint import require_chain_of
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.ladder import RunSpan, joined
from regime_trading.core.ports import ArtifactStore
from regime_trading.core.record_query import EntryQuery, Key, fits, key_of
from regime_trading.core.recorded import Recorded
from regime_trading.core.schemas import Mode

_TRIES = 3
_CHUNK = 1_000  #: entries that are looked at together, at most
_FIRST_CHUNK = 64  #: and at first, where few will fit
_KEPT = 32 * 2**20  #: characters of the answers that a process keeps; one has an eighth of them at most
_NEWER_THAN_ALL = Key(
    2**63 - 1, "~", 2**63 - 1
)  #: no chain name begins with a tilde, the last printable character
_COLUMNS = "seq, ts_ns, event_type, rule_id, body, prev_hash, entry_hash"
_ROWS = """
  SELECT CASE WHEN env = 'dry_run' THEN concat_ws('/', env, run_id, firm_id, account_id)
              ELSE concat_ws('/', env, firm_id, account_id) END AS chain,
         seq, epoch_ns(ts_event) AS ts_ns, event_type, rule_id, body, prev_hash, entry_hash, filename
  FROM read_parquet($files, hive_partitioning = false, filename = true)
  WHERE firm_id = $firm"""
_NEWEST = f"""
SELECT chain, {_COLUMNS}, filename FROM ({_ROWS})
WHERE ts_ns BETWEEN $from_ns AND $to_ns
  AND (len($kinds::VARCHAR[]) = 0 OR list_contains($kinds::VARCHAR[], event_type))
  AND coalesce(list_bool_and(list_transform($mentions::VARCHAR[], lambda text: contains(body, text))), true)
  AND (ts_ns, chain, seq) < ($ts_ns, $chain, $seq)
ORDER BY ts_ns DESC, chain DESC, seq DESC
LIMIT $limit"""
_ONE = f"SELECT chain, {_COLUMNS}, filename FROM ({_ROWS}) WHERE chain = $chain AND seq = $seq"


_SPANS = f"""
SELECT run_id, account_id, count(*), epoch_ns(min(ts_event)), epoch_ns(max(ts_event))
FROM read_parquet($files, hive_partitioning = false)
WHERE firm_id = $firm AND env = '{Mode.DRY_RUN}' AND event_type = 'DECISION' GROUP BY ALL"""
_Value = str | int | tuple[str, ...]
Parts = Callable[[], Sequence[SealedChainPart]]


class _Stamped(NamedTuple):
    """A sealed file as it is now. It never changes; where it did, it is another one."""

    path: str
    mtime_ns: int
    size: int


def _stamp(path: str) -> _Stamped:
    found = Path(path).stat()
    return _Stamped(path, found.st_mtime_ns, found.st_size)


_Rows = tuple[tuple[Any, ...], ...]
_Question = tuple[str, tuple[_Stamped, ...], tuple[tuple[str, _Value], ...]]


class Answers:
    """Answers of sealed files, those that were asked for last.

    Parameters
    ----------
    most : int
        Characters that all of them have at most, with their questions; one has an eighth of it, or is not kept.
    """

    def __init__(self, most: int) -> None:
        self._most, self._has = most, 0
        self._kept: OrderedDict[_Question, tuple[_Rows, int]] = OrderedDict()
        self._lock = Lock()

    def of(self, question: _Question, ask: Callable[[], _Rows]) -> _Rows:
        """The answer that is kept, else what ``ask`` gives."""
        with self._lock:
            if question in self._kept:
                self._kept.move_to_end(question)
                return self._kept[question][0]
        found = ask()
        size = len(question[0]) + sum(len(file.path) for file in question[1])
        size += sum(len(value) for row in found for value in row if isinstance(value, str))
        if 8 * size <= self._most:
            with self._lock:
                _, before = self._kept.pop(question, ((), 0))
                self._kept[question] = found, size
                self._has += size - before
                while self._has > self._most:
                    self._has -= self._kept.popitem(last=False)[1][1]
        return found


_ANSWERS = Answers(_KEPT)


def _rows(sql: str, files: tuple[_Stamped, ...], values: tuple[tuple[str, _Value], ...]) -> _Rows:
    """Rows of a question to sealed files, read once for as long as they are the same."""

    def ask() -> _Rows:
        bound = {name: list(value) if isinstance(value, tuple) else value for name, value in values}
        paths = [file.path for file in files]
        with reader([Path(path) for path in paths]) as opened:
            return tuple(opened.rows(sql, {**bound, "files": paths}))

    return _ANSWERS.of((sql, files, values), ask)


class FirmRecordQuery:
    """Everything recorded of one firm, newest first.

    Only files that a manifest names count, and every entry that is handed out follows from its own hashes.

    Parameters
    ----------
    store : ArtifactStore
        The artifacts folder.
    write_ahead : SqlNewest or None
        None where there is no database.
    firm_id : str
        Tenant.
    """

    def __init__(self, store: ArtifactStore, write_ahead: SqlNewest | None, *, firm_id: str) -> None:
        self._store, self._write_ahead, self._firm_id = store, write_ahead, require_firm(firm_id)
        self._sealed = SealedHistory(store, firm_id=firm_id)

    def newest(self, query: EntryQuery, before: Key | None, limit: int) -> tuple[Recorded, ...]:
        """At most ``limit`` entries that fit and stand before ``before``, newest first.

        Raises
        ------
        CheckFailed
            An entry that is not what was recorded.
        TooMuch
            The question takes too long or too much memory.
        """
        found = list[Recorded]()
        chunk = min(_CHUNK, max(2 * limit, _FIRST_CHUNK if query.mentions() else 0))
        while len(found) < limit:
            seen, is_last = self._chunk(query, before, chunk, limit - len(found))
            found += [entry for entry in seen if fits(query, self._firm_id, entry)]
            if is_last:
                break
            before, chunk = key_of(seen[-1]), min(_CHUNK, 4 * chunk)
        return tuple(found[:limit])

    def entry(self, chain_id: str, seq: int) -> Recorded | None:
        """One entry of a chain; None where there is none, or no such chain of the firm. Raises as :meth:`newest`."""
        try:
            require_chain_of(self._firm_id, chain_id)
        except BadInput:
            return None
        waiting = None if self._write_ahead is None else self._write_ahead.entry(chain_id, seq)
        if waiting is not None:
            return _checked(waiting)
        env, *run, _, account = chain_id.split("/")

        def parts() -> list[SealedChainPart]:
            known = self._sealed.parts(account, run[0] if env == Mode.DRY_RUN else "*")
            return [p for p in known if p.chain_id == chain_id and p.part.seq_from <= seq <= p.part.seq_to]

        rows = self._read(_ONE, parts, {"chain": chain_id, "seq": seq})
        return rows[0] if rows else None

    def runs(self) -> Mapping[str, frozenset[str]]:
        """Run ids of the firm's dry-run chains, with the ids of their accounts."""
        waiting = () if self._write_ahead is None else self._write_ahead.chains()
        found: dict[str, set[str]] = {}
        for chain in {*waiting, *(piece.chain_id for piece in self._sealed.parts())}:
            env, *run, _, account = chain.split("/")
            if env == Mode.DRY_RUN:
                found.setdefault(run[0], set()).add(account)
        return {run_id: frozenset(accounts) for run_id, accounts in sorted(found.items())}

    def spans(self) -> tuple[RunSpan, ...]:
        """Decisions of every dry run of every account, by run and account. Raises as :meth:`newest`."""

        def parts() -> list[SealedChainPart]:
            return [one for one in self._sealed.parts() if one.chain_id.startswith(f"{Mode.DRY_RUN}/")]

        rows, _ = self._asked(_SPANS, parts, {})
        found = {(one.run_id, one.account_id): one for one in (RunSpan(*row) for row in rows)}
        sealed_to = {key: one.last_ns for key, one in found.items()}
        for one in () if self._write_ahead is None else self._write_ahead.spans(sealed_to):
            known = found.get((one.run_id, one.account_id))
            found[one.run_id, one.account_id] = one if known is None else joined(known, one)
        return tuple(found[key] for key in sorted(found))

    def _parts(self, query: EntryQuery) -> list[SealedChainPart]:
        """Sealed files that may hold what is asked for."""
        found = [
            piece
            for account in dict.fromkeys((*query.accounts, FIRM_ACCOUNT))
            for piece in self._sealed.parts(account, query.run_id or "*")
        ]
        return [
            piece
            for piece in found
            if query.chain_id in ("", piece.chain_id)
            and (not query.envs or piece.chain_id.split("/", 1)[0] in query.envs)
        ]

    def _chunk(
        self, query: EntryQuery, before: Key | None, limit: int, wanted: int
    ) -> tuple[list[Recorded], bool]:
        """The next entries that may fit, newest first, and whether nothing is asked for beyond them.

        Write-ahead rows are read before the sealed files: what is sealed meanwhile is in one of the two, and of what is
        in both the sealed one counts. The time of a chain never runs backwards, so what waits of one chain is newer
        than all that is sealed and waits no longer: where that is enough, no file is opened.
        """
        waiting = [] if self._write_ahead is None else self._write_ahead.newest(query, before, limit)
        if query.chain_id and sum(fits(query, self._firm_id, entry) for entry in waiting) >= wanted:
            return [_checked(entry) for entry in waiting], True
        last = before or _NEWER_THAN_ALL
        values: dict[str, _Value] = {
            "from_ns": query.from_ns,
            "to_ns": query.to_ns,
            "kinds": query.kinds,
            "mentions": query.mentions(),
            "ts_ns": last.ts_event_ns,
            "chain": last.chain_id,
            "seq": last.seq,
            "limit": limit,
        }
        sealed = self._read(_NEWEST, lambda: self._parts(query), values)
        known = {key_of(entry) for entry in sealed}
        rest = [_checked(entry) for entry in waiting if key_of(entry) not in known]
        found = list(merge(sealed, rest, key=key_of, reverse=True))[:limit]
        return found, len(found) < limit

    def _read(self, sql: str, parts: Parts, values: Mapping[str, _Value]) -> list[Recorded]:
        """Entries of sealed files."""
        return list(_sealed(*self._asked(sql, parts, values)))

    def _asked(
        self, sql: str, parts: Parts, values: Mapping[str, _Value]
    ) -> tuple[_Rows, Mapping[str, SealedChainPart]]:
        """Rows of sealed files, with the files; one that was merged into another since it was listed is looked for
        again."""
        for tries_left in reversed(range(_TRIES)):
            files = {str(self._store.root / piece.part.path): piece for piece in parts()}
            if not files:
                return (), files
            bound = (*values.items(), ("firm", self._firm_id))
            try:
                return _rows(sql, tuple(map(_stamp, files)), bound), files
            except (duckdb.Error, OSError) as error:
                if not tries_left:
                    raise CheckFailed(f"a sealed file of {self._firm_id} cannot be read: {error}") from error
        raise AssertionError("unreachable")


def _sealed(rows: Iterable[tuple[Any, ...]], files: Mapping[str, SealedChainPart]) -> Iterable[Recorded]:
    """Rows as entries, each of them in the chain that its file is of."""
    for chain, seq, ts_ns, kind, rule_id, body, before, own, file in rows:
        piece = files[file]
        if chain != piece.chain_id or not piece.part.seq_from <= seq <= piece.part.seq_to:
            raise CheckFailed(f"{piece.part.path}: entry {seq} of {chain} does not belong here")
        own_place = (piece.chain_id, seq, ts_ns, kind, rule_id, body.encode(), before, own, piece.part.path)
        yield _checked(Recorded(*own_place))


def _checked(entry: Recorded) -> Recorded:
    if entry_hash(entry.prev_hash, entry.body) != entry.entry_hash:
        raise CheckFailed(f"{entry.place}: entry {entry.seq} of {entry.chain_id} is not what was recorded")
    return entry
