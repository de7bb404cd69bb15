"""The second place of the record: where a decision that only reduces is kept while the store cannot take it.

One append-only file per firm. A frame is the length of its body (4 bytes, big endian), a hash (32 bytes) that binds the
body to the frame before it (:func:`regime_trading.core.canonical.entry_hash`), and the body. What an interrupted append
left at the end was never acknowledged and is cut off; anything else that does not follow is damage, and stays.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from regime_trading.adapters.disk import locked, sync
from regime_trading.core.audit import require_firm
from regime_trading.core.canonical import GENESIS, entry_hash
from regime_trading.core.errors import CheckFailed, NotDurable

_LENGTH, _HASH = 4, 32
_HEAD = _LENGTH + _HASH
MAX_BODY = 2**24  #: a longer frame is damage


class FirmSpool:
    """Spool of one firm, shared by every process that names the same folder.

    Parameters
    ----------
    folder : Path
        Made with the first frame. Put it on another device than the store: then no single disk can stop an exit.
    firm_id : str
        Tenant; it has a file of its own.
    """

    def __init__(self, folder: Path, *, firm_id: str) -> None:
        self._folder, self._firm = Path(folder).absolute(), require_firm(firm_id)

    @property
    def path(self) -> Path:
        """The file; there only while something waits."""
        return self._folder / f"firm={self._firm}.spool"

    def append(self, bodies: Sequence[bytes]) -> None:
        """Make bodies durable behind those that wait, all or none; a body that waits already is left as it is.

        Raises
        ------
        NotDurable
            This place cannot write either; nothing was added.
        CheckFailed
            What waits is damaged.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._locked():
                self._append(bodies)
        except OSError as err:
            raise NotDurable(f"{self.path}: {err.strerror}") from err

    def pending(self) -> tuple[bytes, ...]:
        """Bodies that wait, in order; nothing where there is no file.

        Raises
        ------
        CheckFailed
            A frame that does not follow from the one before, other than a torn last one.
        NotDurable
            The file cannot be read.
        """
        return tuple(self._read()[0])

    def settle(self, apply: Callable[[Sequence[bytes]], None]) -> int:
        """Hand everything that waits to ``apply``, and put the file away once that has returned; how many it was.

        ``apply`` must be idempotent: it is called again where the process ends before the file is away.

        Raises
        ------
        CheckFailed, NotDurable
            As :meth:`pending`; whatever ``apply`` raises. The file stays.
        """
        if not self.path.exists():
            return 0
        try:
            with self._locked():
                bodies, head, _ = self._read()
                if bodies:
                    apply(bodies)
                self._archive(head)
        except OSError as err:
            raise NotDurable(f"{self.path}: {err.strerror}") from err
        return len(bodies)

    def _append(self, bodies: Sequence[bytes]) -> None:
        waiting, head, size = self._read()
        frames = bytearray()
        for body in dict.fromkeys(bodies):
            if body not in waiting:
                head = entry_hash(head, body)
                frames += len(body).to_bytes(_LENGTH, "big") + bytes.fromhex(head) + body
        if not frames:
            return
        descriptor = os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            os.ftruncate(descriptor, size)
            try:
                _write_all(descriptor, bytes(frames), size)
                os.fsync(descriptor)
                sync(self._folder)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)

    def _read(self) -> tuple[list[bytes], str, int]:
        """Bodies, hash of the last one, and the number of bytes that hold."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return [], GENESIS, 0
        except OSError as err:
            raise NotDurable(f"{self.path}: {err.strerror}") from err
        bodies, head, at = list[bytes](), GENESIS, 0
        while at < len(data):
            size = int.from_bytes(data[at : at + _LENGTH], "big")
            end = at + _HEAD + size
            body = data[at + _HEAD : end]
            if end > len(data) and size <= MAX_BODY:
                break
            follows = 0 < size <= MAX_BODY and entry_hash(head, body) == data[at + _LENGTH : at + _HEAD].hex()
            if not follows and data.endswith(b"\0"):
                break  # blocks that a power cut left empty: no body ends so
            if not follows:
                raise CheckFailed(f"{self.path}: the frame at byte {at} does not follow from the one before")
            bodies.append(body)
            head, at = entry_hash(head, body), end
        return bodies, head, at

    def _archive(self, head: str) -> None:
        done = self._folder / "settled"
        done.mkdir(exist_ok=True)
        self.path.replace(done / f"firm={self._firm}-{head[:16]}.spool")
        sync(done)
        sync(self._folder)

    def _locked(self) -> AbstractContextManager[bool]:
        return locked(self._folder / f"firm={self._firm}.lock")


def _write_all(descriptor: int, data: bytes, at: int) -> None:
    """Every byte: a short write is continued until the system says why it cannot."""
    os.lseek(descriptor, at, os.SEEK_SET)
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
