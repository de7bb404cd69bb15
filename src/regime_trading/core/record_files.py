"""The sealed record as a set of files: what each path is, and what a run's manifest says (``contracts.md`` 8)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from regime_trading.core.audit import SealedPart, chain_id

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


def kind_of(path: str) -> tuple[Kind, str]:
    """What a file of the record is by its path, and the firm the path names (empty where it names none).

    ``other`` is what lies in a folder that the audit trail does not own, ``unknown`` what has no business in one that
    it does.
    """
    for kind, form in _FORMS:
        if match := form.fullmatch(path):
            return kind, match.groupdict().get("firm") or ""
    return "other", ""
