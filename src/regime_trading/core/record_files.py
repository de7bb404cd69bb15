"""The sealed record as a set of files: what each path is, and what a run's manifest says (``contracts.md`` 8)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from regime_trading.core.audit import ChainEntry, SealedPart, chain_id
from regime_trading.core.numbers import I8
from regime_trading.core.schemas import AuditEvent

Kind = Literal["part", "manifest", "checkpoint", "key", "temporary", "other", "unknown"]

_FIRM = r"(?P<firm>[a-z0-9-]{1,40}|_platform)"
_ACCOUNT = rf"schema=1/firm={_FIRM}/account=([a-z0-9-]{{1,40}}|_firm|_platform)/run=[a-z0-9-]{{1,40}}"
_FORMS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("part", re.compile(rf"audit/{_ACCOUNT}/part-\d+-\d+-[0-9a-f]{{8}}\.parquet")),
    ("manifest", re.compile(rf"audit/_manifest/{_ACCOUNT}\.json")),
    ("checkpoint", re.compile(rf"audit/_checkpoints/firm={_FIRM}/\d{{12}}\.txt")),
    ("key", re.compile(rf"audit/_keys/{_FIRM}/[0-9a-f]{{8}}\.pub")),
    ("temporary", re.compile(r"audit/(.*/)?\.tmp-[0-9a-f]{16}")),
    ("unknown", re.compile(r"audit/((schema=|_manifest/|_checkpoints/|_keys/).*|[^/]*)")),
)


@dataclass(frozen=True, slots=True)
class RunManifest:
    """What the manifest of one run of one account says.

    Parameters
    ----------
    path : str
        Of the manifest, relative to the artifacts folder.
    firm_id, account_id, run_id, env : str
        Whose run, and where it was recorded.
    parts : tuple of SealedPart
        In sequence; at least one.
    """

    path: str
    firm_id: str
    account_id: str
    run_id: str
    env: str
    parts: tuple[SealedPart, ...]

    @property
    def chain(self) -> str:
        """Chain that the run's entries belong to."""
        return chain_id(self.env, self.run_id, self.firm_id, self.account_id)


@dataclass(frozen=True, slots=True)
class Text:
    """A column of text, UTF-8.

    Parameters
    ----------
    data : uint8 [bytes]
        All texts, one after the other.
    offsets : int64 [rows + 1]
        Where each begins and the last one ends.
    """

    data: npt.NDArray[np.uint8]
    offsets: I8

    def __getitem__(self, row: int) -> bytes:
        return self.data[self.offsets[row] : self.offsets[row + 1]].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        at = self.offsets.tolist()
        whole = self.data[at[0] : at[-1]].tobytes()
        return (whole[a - at[0] : b - at[0]] for a, b in pairwise(at))

    def is_all(self, text: str) -> bool:
        """Whether every row is ``text``."""
        raw, rows = text.encode(), len(self.offsets) - 1
        same = bool(np.all(np.diff(self.offsets) == len(raw)))
        return same and self.data[self.offsets[0] : self.offsets[-1]].tobytes() == raw * rows


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive rows of an audit file, by column, as the file holds them. Columns as in ``AuditEvent``."""

    firm_id: Text
    account_id: Text
    run_id: Text
    env: Text
    feature_set_version: Text
    seq: I8
    ts_event_ns: I8
    event_type: Text
    rule_id: Text
    body: Text
    prev_hash: Text
    entry_hash: Text

    def __len__(self) -> int:
        return len(self.seq)

    def entry(self, row: int) -> ChainEntry:
        """One row as an entry."""

        def text(column: Text) -> str:
            return column[row].decode(errors="replace")

        event = AuditEvent(
            firm_id=text(self.firm_id),
            account_id=text(self.account_id),
            run_id=text(self.run_id),
            env=text(self.env),
            seq=int(self.seq[row]),
            ts_event_ns=int(self.ts_event_ns[row]),
            event_type=text(self.event_type),
            rule_id=text(self.rule_id),
            body=self.body[row],
            feature_set_version=text(self.feature_set_version),
        )
        return ChainEntry(event, text(self.prev_hash), text(self.entry_hash))

    def entries(self) -> Iterator[ChainEntry]:
        """Every row as an entry."""
        return (self.entry(row) for row in range(len(self)))


@lru_cache(maxsize=65_536)
def kind_of(path: str) -> tuple[Kind, str]:
    """What a file of the record is by its path, and the firm the path names (empty where it names none).

    ``other`` is what lies in a folder that the audit trail does not own, ``unknown`` what has no business in one that
    it does.
    """
    for kind, form in _FORMS:
        if match := form.fullmatch(path):
            return kind, match.groupdict().get("firm") or ""
    return "other", ""
