"""Readiness of an artifacts folder and a configuration, wired."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any, TypeVar

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database.probes import StoreProbes
from regime_trading.adapters.witness import open_witnesses
from regime_trading.bootstrap import load_valid, witness_places
from regime_trading.core.errors import RegimeError
from regime_trading.core.settings import InvalidConfig
from regime_trading.services.readiness import LIMITS, SPARED, Check, Limits, readiness

T = TypeVar("T")
WITNESS_WITHIN_S = 3.0  #: a witness that answers later is taken to be out of reach
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

    def witness_problem(self) -> str:
        """Whether each witness answers in time, and holds something of every firm that has checkpoints here."""
        places = witness_places(load_valid(self._config).settings.audit.witness, self._store.root)
        log = self._store.root / "audit" / "_checkpoints"
        firms = {path.name.removeprefix("firm=") for path in log.glob("firm=*")}
        return within(WITNESS_WITHIN_S, lambda: _missing(places, firms))

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


def within(seconds: float, ask: Callable[[], T]) -> T:
    """What ``ask`` gives; whoever does not answer in time is not waited for.

    Raises
    ------
    TimeoutError
        It took longer.
    """
    found: Future[T] = Future()

    def work() -> None:
        try:
            found.set_result(ask())
        except Exception as error:
            found.set_exception(error)

    threading.Thread(target=work, name="readiness", daemon=True).start()
    try:
        return found.result(seconds)
    except FutureTimeout:
        raise TimeoutError(f"no answer within {seconds:.0f} s") from None


def _missing(places: Sequence[str], firms: set[str]) -> str:
    for witness in open_witnesses(places):
        if gone := sorted(firms - set(witness.firms())):
            return f"witness {witness.name} holds nothing of {', '.join(gone)}"
    return ""


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
        Whether a worker must be alive; else one that is not is told, and nothing more.
    limits : Limits
    """
    probes = FolderProbes(engine, artifacts, config, tail)
    return readiness(
        probes,
        SystemClock().now_ns(),
        limits,
        without=frozenset() if tail is not None else frozenset({"messages"}),
        spared=SPARED if with_worker else SPARED | {"worker"},
    )
