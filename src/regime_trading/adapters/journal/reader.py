"""The sealed record read back for checking: every file of it, manifests, and parts row by row."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from regime_trading.adapters.journal import files
from regime_trading.core.audit import SealedPart, require_account, require_ident
from regime_trading.core.canonical import canonical_json, sha256_hex
from regime_trading.core.errors import BadInput, CheckFailed, RegimeError
from regime_trading.core.record_files import Rows, RunManifest, Text

_AUDIT = "audit"
_FIELDS = frozenset({"schema", "dataset", "firm_id", "account_id", "run_id", "env", "parts"})
_FINGERPRINT = files.fingerprint(files.AUDIT_SCHEMA)
_BATCH_ROWS = 1024


class FolderFiles(Mapping[str, bytes]):
    """Files of an artifacts folder's record by path, read when asked for.

    Parameters
    ----------
    folder : Path
        An artifacts folder, or the ``audit`` folder of one.

    Raises
    ------
    BadInput
        Neither.
    """

    def __init__(self, folder: Path) -> None:
        within = folder / _AUDIT
        if not within.is_dir():
            within = folder
        if not any((within / name).is_dir() for name in ("schema=1", "_manifest", "_checkpoints")):
            raise BadInput(
                expected="an artifacts folder with a record in audit/", found="none", where=str(folder)
            )
        self._audit = within

    def __getitem__(self, path: str) -> bytes:
        try:
            return self._audit.joinpath(*path.split("/")[1:]).read_bytes()
        except OSError as err:
            raise BadInput(expected="a readable file", found=str(err.strerror), where=path) from err

    def __iter__(self) -> Iterator[str]:
        for path in sorted(self._audit.rglob("*")):
            if not path.is_dir():
                yield f"{_AUDIT}/{path.relative_to(self._audit).as_posix()}"

    def __len__(self) -> int:
        return sum(1 for _ in self)


class SealedRecord:
    """The record in ``files``, by their paths relative to an artifacts folder."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def paths(self) -> tuple[str, ...]:
        """Every file there is, sorted."""
        return tuple(sorted(self._files))

    def read(self, path: str) -> bytes:
        """Content of a file.

        Raises
        ------
        CheckFailed
            It is not there, or cannot be read.
        """
        try:
            return self._files[path]
        except (KeyError, BadInput) as err:
            raise CheckFailed(f"{path}: cannot be read") from err

    def manifest(self, path: str) -> RunManifest:
        """The manifest at ``path``.

        Raises
        ------
        CheckFailed
            A file that is not, byte for byte, the manifest of the run its path names.
        """
        try:
            return _manifest(path, self.read(path))
        except (ValueError, KeyError, TypeError, AttributeError, RegimeError) as err:
            raise CheckFailed(f"{path}: not the manifest of this run: {err}") from err

    def rows(self, part: SealedPart) -> Iterator[Rows]:
        """Rows of a part in batches, as its file holds them; their chain is not checked.

        Raises
        ------
        CheckFailed
            A file that is not what the manifest says: hash, name, columns, rows.
        """
        data = self.read(part.path)
        digest = sha256_hex(data)
        name = f"part-{part.seq_from}-{part.seq_to}-{digest[:8]}.parquet"
        if digest != part.sha256 or part.path.rsplit("/", 1)[1] != name:
            raise CheckFailed(f"{part.path}: file differs from the manifest's sha256 or from its own name")
        try:
            file = pq.ParquetFile(pa.BufferReader(data))
            if not file.schema_arrow.equals(files.AUDIT_SCHEMA):
                raise CheckFailed(f"{part.path}: not an audit file")
            if (file.metadata.num_rows, _FINGERPRINT) != (part.rows, part.schema_fingerprint):
                raise CheckFailed(f"{part.path}: rows or columns differ from the manifest")
            for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
                if batch.num_rows:
                    yield _rows(batch)
        except (pa.ArrowException, OSError, ValueError) as err:
            raise CheckFailed(f"{part.path}: {err}") from err


def _rows(batch: pa.RecordBatch) -> Rows:
    text = {name: _text(batch.column(name)) for name in batch.schema.names if name not in ("seq", "ts_event")}
    return Rows(
        seq=batch.column("seq").to_numpy(),
        ts_event_ns=batch.column("ts_event").cast(pa.int64()).to_numpy(),
        **text,
    )


def _text(array: pa.StringArray) -> Text:
    """The buffers of a column without missing values."""
    if array.null_count:
        raise ValueError("missing values")
    _, offsets, data = array.buffers()
    rows = slice(array.offset, array.offset + len(array) + 1)
    found = np.frombuffer(offsets, np.int32)[rows].astype(np.int64)
    return Text(np.frombuffer(data or b"", np.uint8), found)


def _manifest(path: str, data: bytes) -> RunManifest:
    """A manifest, strictly: one spelling, parts of its own folder, in sequence."""
    found = orjson.loads(data)
    if canonical_json(found) != data or set(found) != _FIELDS:
        raise ValueError("another spelling or other fields")
    firm, account, run = found["firm_id"], found["account_id"], found["run_id"]
    require_account(firm, account)
    require_ident(run, "run_id")
    folder = f"schema=1/firm={firm}/account={account}/run={run}"
    if (found["schema"], found["dataset"], path) != (1, _AUDIT, f"{_AUDIT}/_manifest/{folder}.json"):
        raise ValueError("manifest of another run")
    parts = tuple(SealedPart(**part) for part in found["parts"])
    if not parts or any(not _is_sound(part, f"{_AUDIT}/{folder}/part-") for part in parts):
        raise ValueError("parts that cannot be")
    if any(after.seq_from != before.seq_to + 1 for before, after in itertools.pairwise(parts)):
        raise ValueError("parts that do not follow each other")
    made = RunManifest(path, firm, account, run, found["env"], parts)
    if not made.chain:
        raise ValueError("no chain")
    return made


def _is_sound(part: SealedPart, folder: str) -> bool:
    return (
        part.path.startswith(folder)
        and "/" not in part.path[len(folder) :]
        and 1 <= part.seq_from <= part.seq_to
        and part.rows == part.seq_to - part.seq_from + 1
        and part.content_hash == ""
    )
