"""Readiness of an artifacts folder and a configuration, wired."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database.probes import StoreProbes
from regime_trading.bootstrap import load_valid
from regime_trading.core.errors import RegimeError
from regime_trading.core.settings import InvalidConfig
from regime_trading.services.readiness import LIMITS, Check, Limits, readiness

_TRIAL = "state/readiness-trial"


class FolderProbes(StoreProbes):
    """What checks ask, of one installation.

    Parameters
    ----------
    engine : Engine
    artifacts, config : Path
        Folders.
    tail : callable, optional
        The last message that the live channel of this process has read, by firm.
    """

    def __init__(
        self, engine: Any, artifacts: Path, config: Path, tail: Callable[[], Mapping[str, int]] | None = None
    ) -> None:
        super().__init__(engine)
        self._store, self._config, self._tail = LocalArtifacts(artifacts), config, tail

    def write_artifacts(self) -> None:
        """Write a small file durably, and remove it."""
        self._store.write_bytes(_TRIAL, b"")
        self._store.remove(_TRIAL)

    def oldest_unread_ns(self, read: Mapping[str, int] | None = None) -> int | None:
        """As of the store, by what the live channel says it has read; raises where nobody says."""
        if read is None:
            if self._tail is None:
                raise LookupError("no live channel tells how far it has read")
            read = self._tail()
        return super().oldest_unread_ns(read)

    def config_problems(self) -> tuple[str, ...]:
        """What is wrong with the files as they are now."""
        try:
            broken = load_valid(self._config).broken
        except InvalidConfig as error:
            return tuple(finding.message for finding in error.findings)
        except RegimeError as error:
            return (str(error),)
        return tuple(f"firm {firm.firm_id} is refused" for firm in broken)

    def free_bytes(self) -> int:
        """Free space of the file system of the artifacts."""
        return shutil.disk_usage(self._store.root).free


def readiness_of(
    engine: Any,
    artifacts: Path,
    config: Path,
    *,
    tail: Callable[[], Mapping[str, int]] | None = None,
    with_worker: bool = True,
    limits: Limits = LIMITS,
) -> tuple[Check, ...]:
    """Every check of an installation, as of now.

    Parameters
    ----------
    engine : Engine
    artifacts, config : Path
        Folders.
    tail : callable, optional
        As of :class:`FolderProbes`; without one that check is left out.
    with_worker : bool
        Whether a worker must be alive.
    limits : Limits
    """
    left_out = {name for name, out in (("messages", tail is None), ("worker", not with_worker)) if out}
    probes = FolderProbes(engine, artifacts, config, tail)
    return readiness(probes, SystemClock().now_ns(), limits, frozenset(left_out))
