"""Witnesses: checkpoints kept in another place, a folder or an object store.

A witness takes only what follows from what it holds. That it remembers is worth as much as the place is out of the
operator's reach: another host, or a bucket of another owner with object lock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.core.audit import require_firm
from regime_trading.core.checkpoint import LogState, extend
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable, RegimeError

_NAME = re.compile(r"(\d{12})\.txt")
_READERS = 16


class StoredWitness:
    """A witness over a folder or an object store.

    Parameters
    ----------
    where : str
        A folder, or a URI that ``pyarrow.fs`` knows (``s3://bucket/prefix?region=…``).

    Raises
    ------
    BadInput
        A URI that is none.
    """

    def __init__(self, where: str) -> None:
        self.name = where.partition("?")[0]
        try:
            self._fs, root = _open(where)
            if not root.strip("/"):
                raise ValueError("no folder or bucket")
        except (pa.ArrowException, OSError, ValueError) as err:
            raise BadInput(
                expected="a folder or a URI such as s3://bucket/prefix",
                found=f"{where}: {err}",
                where="witness",
            ) from err
        self._root = root.rstrip("/")
        self._states: dict[str, LogState] = {}
        self._last: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"StoredWitness({self.name})"

    def require(self) -> None:
        """Refuse a place where no witness is.

        Raises
        ------
        BadInput
            There is nothing at that place.
        NotDurable
            It cannot be reached.
        """
        with self._reaching():
            found = self._fs.get_file_info(self._root)
        if found.type != fs.FileType.Directory:
            raise BadInput(expected="a witness that holds checkpoints", found="none", where=self.name)

    def latest(self, firm_id: str) -> bytes | None:
        """The last checkpoint it holds of a firm; raises ``NotDurable`` where it cannot be reached."""
        with self._reaching():
            names = self._names(firm_id)
            return self._read(firm_id, names[-1]) if names else None

    def held(self, firm_id: str) -> tuple[bytes, ...]:
        """Every checkpoint it holds of a firm, in order; raises ``NotDurable`` where it cannot be reached."""
        with self._reaching(), ThreadPoolExecutor(_READERS) as pool:
            return tuple(pool.map(lambda name: self._read(firm_id, name), self._names(firm_id)))

    def firms(self) -> tuple[str, ...]:
        """Firms it holds checkpoints of, sorted; raises ``NotDurable`` where it cannot be reached."""
        with self._reaching():
            found = self._fs.get_file_info(fs.FileSelector(self._root, allow_not_found=True))
            names = (info.base_name.removeprefix("firm=") for info in found if "firm=" in info.base_name)
            return tuple(sorted(names))

    def put(self, firm_id: str, checkpoint: bytes) -> None:
        """Keep the checkpoint that follows the last one.

        Raises
        ------
        CheckFailed
            It does not follow, is not signed by a key that was introduced, or what is held is no log.
        NotDurable
            The place cannot be reached or cannot write.
        """
        state = self._state(firm_id)
        if state is not None and checkpoint == self._last[firm_id]:
            return
        try:
            after = extend(state, checkpoint, firm_id, f"witness {self.name}")
        except BadInput as err:
            raise CheckFailed(str(err)) from err
        with self._reaching():
            self._write(f"{self._folder(firm_id)}/{_name(after.last.seq)}", checkpoint)
        self._states[firm_id], self._last[firm_id] = after, checkpoint

    def _state(self, firm_id: str) -> LogState | None:
        """What the held checkpoints say together. Each is read once, also those that another writer gave it."""
        state = self._states.get(firm_id)
        known = 0 if state is None else state.last.seq
        with self._reaching(), ThreadPoolExecutor(_READERS) as pool:
            names = self._names(firm_id)
            if known and names[known - 1 : known] != [_name(known)]:
                raise CheckFailed(f"witness {self.name}: it no longer holds checkpoint {known} of {firm_id}")
            notes = tuple(pool.map(lambda name: self._read(firm_id, name), names[known:]))
        for n, note in enumerate(notes, known + 1):
            try:
                state = extend(state, note, firm_id, f"witness {self.name}, checkpoint {n}")
            except RegimeError as err:
                raise CheckFailed(str(err)) from err
        if state is not None and notes:
            self._states[firm_id], self._last[firm_id] = state, notes[-1]
        return state

    def _folder(self, firm_id: str) -> str:
        return f"{self._root}/firm={require_firm(firm_id)}"

    def _names(self, firm_id: str) -> list[str]:
        found = self._fs.get_file_info(fs.FileSelector(self._folder(firm_id), allow_not_found=True))
        return sorted(info.base_name for info in found if _NAME.fullmatch(info.base_name))

    def _read(self, firm_id: str, name: str) -> bytes:
        with self._fs.open_input_stream(f"{self._folder(firm_id)}/{name}", compression=None) as stream:
            return bytes(stream.read())

    def _write(self, path: str, data: bytes) -> None:
        if isinstance(self._fs, fs.LocalFileSystem):
            LocalArtifacts(Path(self._root)).write_bytes(path[len(self._root) + 1 :], data)
            return
        with self._fs.open_output_stream(path, compression=None) as stream:
            stream.write(data)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, NotDurable) as err:
            told = str(err).split("\n")[0]
            raise NotDurable(f"witness {self.name} cannot be reached: {told}") from err


def open_witnesses(places: Sequence[str]) -> tuple[StoredWitness, ...]:
    """One witness per place, each place once."""
    return tuple(StoredWitness(place) for place in dict.fromkeys(places))


def _name(seq: int) -> str:
    return f"{seq:012d}.txt"


def _open(where: str) -> tuple[fs.FileSystem, str]:
    if "://" in where:
        opened: tuple[fs.FileSystem, str] = fs.FileSystem.from_uri(where)
        return opened
    return fs.LocalFileSystem(), str(Path(where).expanduser().absolute())
