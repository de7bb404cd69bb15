"""Stored inputs of decisions: one row per decided cycle of a firm, as plain columns.

What the columns mean is known to ``engine.inputs``; what is here is their shape, so that a store can keep them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from regime_trading.core.audit import require_firm, require_ident
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import I8

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, order=True)
class RecordedRun:
    """A run of one account that the record has decisions of."""

    firm_id: str
    account_id: str
    run_id: str

    @property
    def account(self) -> str:
        """``firm/account``."""
        return f"{self.firm_id}/{self.account_id}"


@dataclass(frozen=True, slots=True)
class Lists:
    """A list for every row: row ``i`` holds ``values[starts[i] : starts[i + 1]]``.

    Parameters
    ----------
    values : one-dimensional array, or list of str
    starts : int64 [rows + 1]
    """

    values: npt.NDArray[Any] | list[str]
    starts: I8


Column = npt.NDArray[Any] | list[str] | Lists


@dataclass(frozen=True, slots=True)
class InputBlock:
    """Inputs of consecutive cycles of one firm in one run.

    Parameters
    ----------
    columns : mapping
        ``ts_event`` int64 [rows] (UTC nanoseconds, not decreasing), ``accounts`` (``firm/account``, a list per row) and
        what ``engine.inputs`` adds.
    configs : mapping
        By ``config_hash``: the bytes that it is the SHA-256 of.

    Raises
    ------
    BadInput
        An illegal id, an account of another firm, or no rows: what is of one firm never lies beside another's.
    """

    firm_id: str
    run_id: str
    columns: Mapping[str, Column]
    configs: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_firm(self.firm_id)
        require_ident(self.run_id, "run_id")
        accounts = self.columns["accounts"]
        assert isinstance(accounts, Lists)
        foreign = {name for name in accounts.values if name.partition("/")[0] != self.firm_id}
        if foreign:
            raise BadInput(
                expected=f"accounts of firm {self.firm_id}", found=", ".join(sorted(foreign)), where="inputs"
            )
        if not self.rows:
            raise BadInput(expected="at least one cycle", found="none", where=f"inputs of {self.firm_id}")

    @property
    def rows(self) -> int:
        """Number of cycles."""
        return len(self.columns["ts_event"])  # type: ignore[arg-type]

    @property
    def span_ns(self) -> tuple[int, int]:
        """First and last time, UTC nanoseconds."""
        times = np.asarray(self.columns["ts_event"])
        return int(times[0]), int(times[-1])
