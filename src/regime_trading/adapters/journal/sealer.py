"""Sealing events and RL rows into Parquet, and checking what was sealed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

import numpy as np
import pyarrow as pa

from regime_trading.adapters.journal import files
from regime_trading.adapters.journal.compaction import closing_groups, growing_groups
from regime_trading.adapters.journal.manifest import Manifest, SealedRun, read_manifest, write_manifest
from regime_trading.core.audit import (
    GATE_RUNS,
    ChainCheck,
    ChainEntry,
    Dataset,
    SealedPart,
    chain_of,
    link,
    verify_chain,
)
from regime_trading.core.canonical import GENESIS, sha256_hex
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable, RegimeError
from regime_trading.core.ports import SealedFiles
from regime_trading.core.schemas import AuditEvent, Mode, Receipt, RLBlock

MAX_PART_BYTES = 128 * 2**20


class ParquetSealer:
    """Sealed record under one artifacts folder. One writer per run at a time.

    Parameters
    ----------
    store : SealedFiles
        The artifacts folder; an object store serves as well, it only has to write whole files.
    max_part_bytes : int
        Upper bound of a part before compression.
    """

    def __init__(self, store: SealedFiles, *, max_part_bytes: int = MAX_PART_BYTES) -> None:
        self._store, self._max_part_bytes = store, max_part_bytes
        self._looked = lru_cache(1_024)(self._look)  #: a part never changes

    def seal_audit(
        self, chain_id: str, prev_hash: str, events: Sequence[AuditEvent]
    ) -> tuple[SealedPart, ...]:
        """Seal consecutive events of one run; all its parts count from the moment this returns.

        Events that are sealed already are compared, not written again.

        Raises
        ------
        BadInput
            No events, or events of several runs or of another chain.
        NotDurable
            Events that do not continue or do not equal what is sealed, or a store that cannot write.
        CheckFailed
            The run is sealed and its files are no longer what was sealed.
        """
        run, env = _run_of(chain_id, events)
        entries = link(events, prev_hash)
        sealed = self._sealed_in(run, env)
        new = _beyond(sealed, entries, chain_id)
        if not new:
            self._require_intact(run)
            return sealed
        check = verify_chain(new, chain=chain_id, first_seq=new[0].event.seq, prev_hash=new[0].prev_hash)
        if not check.ok:
            raise NotDurable(f"chain {chain_id}, entry {check.first_bad}: {check.reason}")
        parts = [self._write_audit(run, chunk) for chunk in self._chunks(new)]
        return self._publish(run, env, (*sealed, *parts))

    def seal_rl(self, block: RLBlock) -> tuple[SealedPart, ...]:
        """Seal RL rows that follow the run's sealed ones; rows that are sealed already are compared, not written again.

        The block's columns include ``seq`` (of the decision's audit entry, strictly increasing) and ``ts_event_ns``; in
        a block of the gate's dry runs that one is strictly increasing. One-dimensional columns become primitive
        columns, two-dimensional ones lists; NaN stays NaN.

        Raises
        ------
        BadInput
            Columns of unequal length, an unsupported type, a reserved name, or a missing or unordered key.
        NotDurable
            Rows that neither follow nor equal what is sealed, or a store that cannot write.
        CheckFailed
            The run is sealed and its files are no longer what was sealed.
        """
        run = SealedRun(block.record, block.firm_id, block.account_id, block.run_id)
        if block.run_id != GATE_RUNS:
            run.chain(block.env)
        elif block.env != Mode.DRY_RUN:
            raise BadInput(expected=Mode.DRY_RUN, found=block.env, where=f"{run.folder}: env")
        files.require_rl_columns(block)
        sealed = self._sealed_in(run, block.env)
        at = files.places(block)
        begin = int(np.searchsorted(at, self._last_place(run, sealed[-1]), side="right")) if sealed else 0
        if begin:
            self._require_same_rows(run, sealed, files.rows_of(block, slice(0, begin)))
        if begin == len(at):
            self._require_intact(run)
            return sealed
        parts = list(sealed)
        for chunk in files.rl_chunks(files.rows_of(block, slice(begin, None)), self._max_part_bytes):
            parts.append(self._write_rl(run, chunk, parts[-1].seq_to if parts else 0))
        return self._publish(run, block.env, tuple(parts))

    def sealed(
        self, run_id: str, firm_id: str, account_id: str, dataset: Dataset = "audit"
    ) -> tuple[SealedPart, ...] | None:
        """Parts of a run in sequence; None where nothing of it counts as sealed."""
        manifest = read_manifest(self._store, SealedRun(dataset, firm_id, account_id, run_id))
        return None if manifest is None else manifest.parts

    def verify_sealed(
        self,
        run_id: str,
        firm_id: str,
        account_id: str,
        dataset: Dataset = "audit",
        head: Receipt | None = None,
    ) -> ChainCheck:
        """Check every file of a run against the manifest and, in ``audit``, every entry against its chain.

        The manifest itself is not signed: whoever can rewrite it can cut off the tail. ``head``, a receipt
        kept elsewhere, makes that visible too.
        """
        run = SealedRun(dataset, firm_id, account_id, run_id)
        while True:
            try:
                manifest = read_manifest(self._store, run)
            except RegimeError as err:
                return ChainCheck(0, GENESIS, 1, str(err))
            if manifest is None:
                return ChainCheck(0, GENESIS, 1, f"{run.manifest}: missing")
            check = self._check_audit(run, manifest) if dataset == "audit" else self._check_rl(run, manifest)
            if check.ok or read_manifest(self._store, run) == manifest:
                break  # else the parts were compacted under our hands
        last = (manifest.parts[-1].seq_to, check.head)
        if check.ok and head is not None and last != (head.seq, head.entry_hash):
            return replace(
                check, first_bad=last[0] + 1, reason=f"ends at {last[0]}, receipt is for {head.seq}"
            )
        return check

    def entries(self, run_id: str, firm_id: str, account_id: str, after_seq: int = 0) -> Iterator[ChainEntry]:
        """Sealed audit entries of a run after ``after_seq``, in order, as the files hold them (unchecked).

        Each is told once, also where parts are compacted meanwhile: the manifest is asked again for every part.
        """
        while True:
            parts = self.sealed(run_id, firm_id, account_id) or ()
            part = next((part for part in parts if part.seq_to > after_seq), None)
            if part is None:
                return
            try:
                data = self._store.read_bytes(part.path)
            except BadInput:
                if part in (self.sealed(run_id, firm_id, account_id) or ()):
                    raise
                continue
            for entry in files.entries_of(files.decode(data)):
                if entry.event.seq > after_seq:
                    yield entry
            after_seq = part.seq_to

    def contents(
        self, run_id: str, firm_id: str, account_id: str, dataset: Dataset = "audit"
    ) -> tuple[bytes, ...]:
        """Files of all parts of a run in sequence, unchecked, as of one manifest: each row is in them once, also where
        parts are compacted meanwhile."""
        while True:
            parts = self.sealed(run_id, firm_id, account_id, dataset) or ()
            try:
                return tuple(self._store.read_bytes(part.path) for part in parts)
            except BadInput:
                if parts == (self.sealed(run_id, firm_id, account_id, dataset) or ()):
                    raise

    def runs(self, firm_id: str, account_id: str, env: str) -> tuple[str, ...]:
        """Runs of an account with sealed audit entries of an environment, in the order of their entries."""
        folder = SealedRun("audit", firm_id, account_id, "any").siblings
        found = []
        for path in self._store.names(folder):
            run_id = path.rsplit("/run=", 1)[1].removesuffix(".json")
            manifest = read_manifest(self._store, SealedRun("audit", firm_id, account_id, run_id))
            if manifest is not None and manifest.env == env:
                found.append((manifest.parts[0].seq_from, run_id))
        return tuple(run_id for _, run_id in sorted(found))

    def compact(
        self, run_id: str, firm_id: str, account_id: str, dataset: Dataset = "audit", *, closed: bool
    ) -> tuple[SealedPart, ...]:
        """Merge small parts of a run into larger ones, and remove what is left of an interrupted merge.

        While a run grows, eight or more neighbours of about one size become one part; a run that is ``closed`` is left
        with as few parts as their upper bound allows. The order of steps: the merged part is written and read back, the
        manifest is replaced in one step, the old parts are removed. Through the manifest each row is there once at
        every instant. One glob over the folder counts the merged rows twice from the first step to the last, also
        where it is interrupted in between, until the next call. RL rows of two feature sets never become one part.

        Raises
        ------
        CheckFailed
            Parts that are no longer what was sealed: damage is never copied.
        NotDurable
            A store that cannot write; the old parts still count.
        """
        run = SealedRun(dataset, firm_id, account_id, run_id)
        manifest = read_manifest(self._store, run)
        if manifest is None:
            return ()
        parts = manifest.parts
        spans = [(0, len(parts))] if closed else growing_groups(parts)
        groups = [group for span in spans for group in self._fitting(run, parts, *span)]
        for start, stop in reversed(groups):
            merged = self._merged(run, manifest, parts[start:stop])
            parts = (*parts[:start], merged, *parts[stop:])
        if groups:
            write_manifest(self._store, run, Manifest(manifest.env, parts))
        self._tidy(run, parts)
        return parts

    def _sealed_in(self, run: SealedRun, env: str) -> tuple[SealedPart, ...]:
        """Parts of a run, all of whose rows must come from ``env``."""
        manifest = read_manifest(self._store, run)
        if manifest is not None and manifest.env != env:
            raise NotDurable(f"{run.folder}: sealed in {manifest.env}, rows come from {env}")
        return () if manifest is None else manifest.parts

    def _chunks(self, entries: list[ChainEntry]) -> Iterator[list[ChainEntry]]:
        start, size = 0, 0
        for i, entry in enumerate(entries):
            row = _row_bytes(entry)
            if i > start and size + row > self._max_part_bytes:
                yield entries[start:i]
                start, size = i, 0
            size += row
        yield entries[start:]

    def _write_audit(self, run: SealedRun, entries: list[ChainEntry]) -> SealedPart:
        part = self._write(run, files.audit_table(entries), entries[0].event.seq, entries[-1].event.seq)
        return replace(
            part,
            prev_hash=entries[0].prev_hash,
            first_entry_hash=entries[0].entry_hash,
            last_entry_hash=entries[-1].entry_hash,
        )

    def _write_rl(self, run: SealedRun, block: RLBlock, before: int) -> SealedPart:
        """Write rows that follow those up to ``before``."""
        at = files.places(block)
        if run.run_id == GATE_RUNS:
            at = np.arange(before + 1, before + 1 + len(at))
        part = self._write(run, files.rl_table(block), int(at[0]), int(at[-1]))
        return replace(part, content_hash=files.rl_content_hash(block))

    def _write(self, run: SealedRun, table: pa.Table, seq_from: int, seq_to: int) -> SealedPart:
        data = files.encode(table)
        digest = sha256_hex(data)
        path = f"{run.folder}/part-{seq_from}-{seq_to}-{digest[:8]}.parquet"
        self._store.write_bytes(path, data)
        part = SealedPart(path, table.num_rows, seq_from, seq_to, digest, files.fingerprint(table.schema))
        _, fault = self._read(part)
        if fault:
            raise NotDurable(f"{path}: read back differently: {fault}")
        return part

    def _publish(self, run: SealedRun, env: str, parts: tuple[SealedPart, ...]) -> tuple[SealedPart, ...]:
        """Remove what an unfinished sealing left behind, then make ``parts`` count."""
        self._tidy(run, parts)
        write_manifest(self._store, run, Manifest(env, parts))
        return parts

    def _tidy(self, run: SealedRun, parts: Sequence[SealedPart]) -> None:
        kept = {part.path for part in parts}
        for path in self._store.names(run.folder):
            if path not in kept:
                self._store.remove(path)

    def _fitting(
        self, run: SealedRun, parts: Sequence[SealedPart], start: int, stop: int
    ) -> Iterator[tuple[int, int]]:
        """Half-open spans of neighbours among some parts that are of one kind and fit into one part."""
        if stop - start < 2:
            return
        looked = [self._looked(run, part) for part in parts[start:stop]]
        for _, like in groupby(looked, key=itemgetter(1)):
            sizes = [size for size, _ in like]
            for first, last in closing_groups(sizes, self._max_part_bytes):
                yield start + first, start + last
            start += len(sizes)

    def _look(self, run: SealedRun, part: SealedPart) -> tuple[int, tuple[str, ...]]:
        """Bytes of a part before compression, and what it must have in common with a part that it is merged with."""
        if run.dataset == "audit":
            return sum(map(_row_bytes, self._table_entries(part))), ()
        table = self._rl_rows(run, part)
        versions = table.column("feature_set_version").unique().to_pylist()
        return table.nbytes, (part.schema_fingerprint, *versions)

    def _merged(self, run: SealedRun, manifest: Manifest, parts: Sequence[SealedPart]) -> SealedPart:
        """One part with the rows of consecutive ones, all of it checked."""
        if run.dataset == "audit":
            return self._write_audit(run, self._checked(run, manifest, parts))
        table = pa.concat_tables([self._rl_rows(run, part) for part in parts]).combine_chunks()
        part = self._write(run, table, parts[0].seq_from, parts[-1].seq_to)
        return replace(part, content_hash=files.rl_table_hash(table, run.run_id))

    def _rl_rows(self, run: SealedRun, part: SealedPart) -> pa.Table:
        table, fault = self._read(part)
        if table is None or fault or (fault := _rl_fault(run, part, table)):
            raise CheckFailed(f"{part.path}: {fault}")
        return table

    def _last_place(self, run: SealedRun, part: SealedPart) -> int:
        if run.run_id != GATE_RUNS:
            return part.seq_to
        return int(files.places_in(self._rl_rows(run, part), run.run_id)[-1])

    def _require_same_rows(self, run: SealedRun, sealed: Sequence[SealedPart], block: RLBlock) -> None:
        """Rows up to the last that is sealed must be those that are sealed in their places."""
        first, last = (int(at) for at in files.places(block)[[0, -1]])
        found: list[pa.Table] = []
        for part in reversed(sealed):
            found.insert(0, self._rl_rows(run, part))
            if files.places_in(found[0], run.run_id)[0] <= first:
                break
        theirs = pa.concat_tables(found, promote_options="default")
        begin, end = np.searchsorted(files.places_in(theirs, run.run_id), (first, last + 1))
        theirs, ours = theirs.slice(begin, end - begin), files.rl_table(block)
        if not len(theirs) or files.rl_table_hash(theirs, run.run_id) != files.rl_table_hash(
            ours, run.run_id
        ):
            raise NotDurable(f"{run.folder}: rows {first} to {last} are not what is sealed there")

    def _table_entries(self, part: SealedPart) -> list[ChainEntry]:
        table, fault = self._read(part)
        if table is None or fault or not table.schema.equals(files.AUDIT_SCHEMA):
            raise CheckFailed(f"{part.path}: {fault or 'not an audit file'}")
        return files.entries_of(table)

    def _checked(self, run: SealedRun, manifest: Manifest, parts: Sequence[SealedPart]) -> list[ChainEntry]:
        """Entries of consecutive parts, files and chain checked."""
        whole: list[ChainEntry] = []
        for part in parts:
            entries = self._table_entries(part)
            fault = _part_fault(run, part, entries)
            if fault:
                raise CheckFailed(f"{part.path}: {fault}")
            whole += entries
        check = verify_chain(
            whole, chain=run.chain(manifest.env), first_seq=parts[0].seq_from, prev_hash=parts[0].prev_hash
        )
        if not check.ok:
            raise CheckFailed(f"{run.folder}: entry {check.first_bad}: {check.reason}")
        return whole

    def _require_intact(self, run: SealedRun) -> None:
        check = self.verify_sealed(run.run_id, run.firm_id, run.account_id, run.dataset)
        if not check.ok:
            raise CheckFailed(f"{run.folder}: sealed record, entry {check.first_bad}: {check.reason}")

    def _read(self, part: SealedPart) -> tuple[pa.Table | None, str]:
        """Table of a part, where it can be decoded, and what is wrong with its file."""
        try:
            data = self._store.read_bytes(part.path)
            table = files.decode(data)
        except (RegimeError, pa.ArrowException, OSError) as err:
            return None, str(err)
        digest = sha256_hex(data)
        name = f"part-{part.seq_from}-{part.seq_to}-{digest[:8]}.parquet"
        if digest != part.sha256 or part.path.rsplit("/", 1)[1] != name:
            return table, "file differs from the manifest's sha256 or from its own name"
        if (table.num_rows, files.fingerprint(table.schema)) != (part.rows, part.schema_fingerprint):
            return table, "rows or columns differ from the manifest"
        return table, ""

    def _check_audit(self, run: SealedRun, manifest: Manifest) -> ChainCheck:
        first = manifest.parts[0]
        dry = manifest.env == Mode.DRY_RUN
        start = (1, GENESIS) if dry else (first.seq_from, first.prev_hash)
        so_far, ts_ns = ChainCheck(0, start[1]), -(2**63)
        for part in manifest.parts:
            seq = start[0] + so_far.entries
            table, fault = self._read(part)
            if table is None or table.num_rows == 0 or not table.schema.equals(files.AUDIT_SCHEMA):
                return replace(so_far, first_bad=seq, reason=f"{part.path}: {fault or 'not an audit file'}")
            entries = files.entries_of(table)
            check = verify_chain(
                entries,
                chain=run.chain(manifest.env),
                first_seq=seq,
                prev_hash=so_far.head,
                not_before_ns=ts_ns,
            )
            so_far = replace(check, entries=so_far.entries + check.entries)
            if not check.ok:
                return replace(so_far, reason=f"{part.path}: {check.reason}")
            fault = fault or _part_fault(run, part, entries)
            if fault:
                return replace(so_far, first_bad=seq, reason=f"{part.path}: {fault}")
            ts_ns = entries[-1].event.ts_event_ns
        return so_far

    def _check_rl(self, run: SealedRun, manifest: Manifest) -> ChainCheck:
        rows, before, last = 0, 0, -(2**63)
        for part in manifest.parts:
            table, fault = self._read(part)
            fault = fault or ("" if table is None else _rl_fault(run, part, table))
            at = None if table is None or fault else files.places_in(table, run.run_id)
            if at is None or at[0] <= last or (run.run_id == GATE_RUNS and part.seq_from != before + 1):
                return ChainCheck(rows, "", part.seq_from, f"{part.path}: {fault or 'parts out of order'}")
            rows, before, last = rows + part.rows, part.seq_to, int(at[-1])
        return ChainCheck(rows, "")


def _row_bytes(entry: ChainEntry) -> int:
    return len(entry.event.body) + files.AUDIT_ROW_OVERHEAD_BYTES


def _run_of(chain_id: str, events: Sequence[AuditEvent]) -> tuple[SealedRun, str]:
    """The one run and environment that all ``events`` belong to."""
    found = {(chain_of(event), event.run_id, event.env) for event in events}
    if len(found) != 1 or {chain for chain, _, _ in found} != {chain_id}:
        raise BadInput(
            expected=f"events of one run of chain {chain_id}",
            found=", ".join(sorted(f"{chain} run {run_id}" for chain, run_id, _ in found)) or "no events",
            where="events",
        )
    first = events[0]
    return SealedRun("audit", first.firm_id, first.account_id, first.run_id), first.env


def _beyond(sealed: Sequence[SealedPart], entries: list[ChainEntry], chain_id: str) -> list[ChainEntry]:
    """Entries that are not sealed yet; those that are must be the same."""
    first, last = entries[0], entries[-1]
    if not sealed:
        if first.event.env == Mode.DRY_RUN and (first.event.seq, first.prev_hash) != (1, GENESIS):
            raise NotDurable(
                f"chain {chain_id} starts at entry {first.event.seq}: its beginning is not sealed"
            )
        return entries
    end = next((p for p in sealed if p.seq_to == last.event.seq), sealed[-1])
    known = end.seq_to - first.event.seq + 1
    if first.event.seq < sealed[0].seq_from or not 0 <= known <= len(entries):
        raise NotDurable(
            f"chain {chain_id}: entries {first.event.seq} to {last.event.seq} do not meet the sealed "
            f"{sealed[0].seq_from} to {sealed[-1].seq_to}"
        )
    if (entries[known - 1].entry_hash if known else first.prev_hash) != end.last_entry_hash:
        raise NotDurable(f"chain {chain_id}: different entries are sealed up to {end.seq_to}")
    return entries[known:]


def _rl_fault(run: SealedRun, part: SealedPart, table: pa.Table) -> str:
    """What the manifest says wrongly of RL rows."""
    at = files.places_in(table, run.run_id)
    counted = (part.seq_from, part.seq_from + len(at) - 1)
    ends = counted if run.run_id == GATE_RUNS or not len(at) else (at[0], at[-1])
    if not len(at) or ends != (part.seq_from, part.seq_to) or np.any(np.diff(at) < 1):
        return "rows out of order, or others than the manifest says"
    return ""


def _part_fault(run: SealedRun, part: SealedPart, entries: Sequence[ChainEntry]) -> str:
    """What the manifest says wrongly of entries that hold as a chain."""
    first, last = entries[0], entries[-1]
    said = (part.seq_from, part.seq_to, part.prev_hash, part.first_entry_hash, part.last_entry_hash)
    if said != (first.event.seq, last.event.seq, first.prev_hash, first.entry_hash, last.entry_hash):
        return "sequence or hashes differ from the manifest"
    if any(entry.event.run_id != run.run_id for entry in entries):
        return "entries of another run"
    return ""
