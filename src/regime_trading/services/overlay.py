"""A store that is read through, and written to in memory only."""

from __future__ import annotations

from pathlib import Path

from regime_trading.core.ports import ArtifactStore


class Overlay:
    """Reads a store, and keeps what is written in memory: the store itself stays as it is."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._kept: dict[str, bytes] = {}

    @property
    def root(self) -> Path:
        return self._store.root

    def write_bytes(self, relative: str, data: bytes) -> Path:
        self._kept[relative] = data
        return self.root / relative

    def read_bytes(self, relative: str) -> bytes:
        return self._kept[relative] if relative in self._kept else self._store.read_bytes(relative)

    def exists(self, relative: str) -> bool:
        return relative in self._kept or self._store.exists(relative)

    def names(self, folder: str) -> tuple[str, ...]:
        own = (name for name in self._kept if name.rpartition("/")[0] == folder)
        return tuple(sorted({*self._store.names(folder), *own}))

    def remove(self, relative: str) -> None:
        self._kept.pop(relative, None)
