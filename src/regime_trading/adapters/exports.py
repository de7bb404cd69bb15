"""Bundles that wait to be fetched: one file for each export of a firm, whole or not there, and not for ever."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from regime_trading.adapters.disk import sync
from regime_trading.core.audit import require_firm, require_ident
from regime_trading.core.errors import NotDurable

_PART = ".part"  #: of a file that is being written; the next attempt at it begins anew


class LocalExports:
    """Bundles of one firm under an artifacts folder.

    Parameters
    ----------
    root : Path
        The artifacts folder.
    firm_id : str
        Tenant; no name reaches another firm's.
    """

    def __init__(self, root: Path, *, firm_id: str) -> None:
        self._folder = root / "exports" / f"firm={require_firm(firm_id)}"

    def put(self, name: str, data: bytes) -> None:
        """Write a bundle durably, in the place of one of that name.

        Raises
        ------
        BadInput
            A name that is no id.
        NotDurable
            A disk that cannot keep it.
        """
        whole = self._place(name)
        part = whole.with_suffix(_PART)
        try:
            whole.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(whole)
            sync(whole.parent)
        except OSError as error:
            raise NotDurable(f"{whole.name}: {error.strerror}") from error

    def find(self, name: str) -> Path | None:
        """Where a whole bundle lies; None where there is none."""
        whole = self._place(name)
        return whole if whole.is_file() else None

    def sweep(self, before_ns: int) -> int:
        """Remove what was last written before an instant, UTC nanoseconds; how many bundles went."""
        gone = 0
        for path in sorted(self._folder.glob("*")) if self._folder.is_dir() else ():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime_ns < before_ns:
                    path.unlink()
                    gone += path.suffix != _PART
        return gone

    def _place(self, name: str) -> Path:
        return self._folder / f"{require_ident(name, 'export')}.zip"


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
