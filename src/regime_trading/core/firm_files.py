"""Which files of a run a firm may be shown, by their paths (``contracts.md`` 9), and what a file is by its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from regime_trading.core.audit import require_ident

FileKind = Literal["markdown", "html", "json", "csv", "parquet", "yaml", "svg", "png", "text", "other"]
Scope = Literal["market", "firm"]

_KINDS: dict[str, tuple[FileKind, str]] = {
    "md": ("markdown", "text/markdown; charset=utf-8"),
    "html": ("html", "text/html; charset=utf-8"),
    "json": ("json", "application/json"),
    "csv": ("csv", "text/csv; charset=utf-8"),
    "parquet": ("parquet", "application/vnd.apache.parquet"),
    "yaml": ("yaml", "application/yaml"),
    "svg": ("svg", "image/svg+xml"),
    "png": ("png", "image/png"),
    "txt": ("text", "text/plain; charset=utf-8"),
}
_STEP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
_MOST_STEPS = 8


@dataclass(frozen=True, slots=True)
class RunFile:
    """A file of a run: its path relative to the artifacts folder, its size and when it was written."""

    path: str
    scope: Scope
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class TableHead:
    """Beginning of a table: its columns with their types, the first rows as JSON values, and how many rows it has."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[JsonValue, ...], ...]
    total: int | None


def run_folders(run_id: str, firm_id: str) -> dict[Scope, str]:
    """The folders of a run that a firm may see.

    Raises
    ------
    BadInput
        An illegal run or firm.
    """
    home = f"runs/{require_ident(run_id, 'run_id')}"
    return {"market": f"{home}/market", "firm": f"{home}/firms/{require_ident(firm_id, 'firm_id')}"}


def scope_of(path: str, firm_id: str) -> tuple[str, Scope] | None:
    """Run and scope of a path that a firm may see; None for every other path, however it is spelled."""
    steps = path.split("/")
    if not 4 <= len(steps) <= _MOST_STEPS or not all(_STEP.fullmatch(step) for step in steps):
        return None
    if steps[0] != "runs" or not re.fullmatch(r"[a-z0-9-]{1,40}", steps[1]):
        return None
    if steps[2] == "market":
        return steps[1], "market"
    if steps[2] == "firms" and steps[3] == firm_id and len(steps) > 4:
        return steps[1], "firm"
    return None


def is_step(name: str) -> bool:
    """Whether a name may be one step of a path that is shown."""
    return _STEP.fullmatch(name) is not None


def kind_of_file(path: str) -> tuple[FileKind, str]:
    """What a file is by its name, and its media type."""
    return _KINDS.get(path.rpartition(".")[2].lower(), ("other", "application/octet-stream"))
