"""One process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regime_trading.core.errors import NotDurable


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``, made where missing; another holder is waited for. It ends with its process.

    Raises
    ------
    NotDurable
        The file cannot be made or locked.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as err:
        raise NotDurable(f"{path}: {err.strerror}") from err
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
