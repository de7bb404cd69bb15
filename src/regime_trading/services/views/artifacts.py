"""Files of runs (``/artifacts``): the tree, a preview, a checksum, the bytes.

Only what ``contracts.md`` 9 lets a firm see exists: ``runs/<run>/market``, shared, and ``runs/<run>/firms/<firm>``. A
report covers every account of the run and its amounts cannot be cut out of it, so the folder of the firm is for who may
see all of these accounts, and their amounts.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Literal

import orjson
from pydantic import Field, JsonValue

from regime_trading.core.access import Permission
from regime_trading.core.errors import CheckFailed, NotThere
from regime_trading.core.firm_files import FileKind, RunFile, kind_of_file, scope_of
from regime_trading.services.views.base import Asker, Hash, Instant, Shown, instant
from regime_trading.services.views.sources import FirmSources

PREVIEW_BYTES = 256 * 1024
PICTURE_BYTES = 2 * 1024 * 1024
PREVIEW_ROWS = 100
MOST_BYTES = 256 * 1024 * 1024
MARKET_ONLY = frozenset({"regime", "scan"})  #: kinds of runs that are about nobody's account


class Artifact(Shown):
    """A file of a run."""

    path: str = Field(description="relative, with /; names the file for preview, checksum and download")
    run_id: str
    name: str
    scope: Literal["market", "firm"] = Field(description="shared by all firms of the run, or the firm's own")
    kind: FileKind
    media_type: str
    size_bytes: int
    modified_at: Instant


class Tree(Shown):
    """Files of one run that the asker may see."""

    run_id: str
    files: tuple[Artifact, ...] = Field(description="by path")
    withheld: bool = Field(
        description="the firm's own files are left out: they show accounts or amounts that the asker may not see"
    )


class Column(Shown):
    """A column of a table."""

    name: str
    type: str


class Table(Shown):
    """The beginning of a table."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[JsonValue, ...], ...]
    total_rows: int | None = Field(description="of the whole file; null = not counted")


class Preview(Shown):
    """The beginning of a file in the form of its kind; all but one of the forms are null."""

    artifact: Artifact
    truncated: bool = Field(description="there is more than is shown")
    text: str | None = Field(description="markdown, HTML source, YAML, plain text; to be shown as text")
    json_value: JsonValue = Field(description="the value of a whole JSON file")
    table: Table | None
    picture_base64: str | None = Field(description="a whole PNG or SVG, of the artifact's media type")


class Checksum(Shown):
    """SHA-256 of a file as it is now."""

    path: str
    size_bytes: int
    sha256: Hash


@dataclass(frozen=True, slots=True)
class Download:
    """A file to be sent: its name, media type and bytes."""

    name: str
    media_type: str
    data: bytes


def tree(sources: FirmSources, asker: Asker, run_id: str) -> Tree:
    """Files of a run.

    Raises
    ------
    NotThere
        The firm has no such run, or the asker may see no account of it.
    """
    if not may_see_run(sources, asker, run_id):
        raise NotThere("run", run_id)
    found = sources.files.listed(run_id)
    whole = may_see_reports(sources, asker, run_id)
    shown = [file for file in found if whole or file.scope == "market"]
    return Tree(run_id=run_id, files=tuple(map(_artifact, shown)), withheld=len(shown) < len(found))


def preview(sources: FirmSources, asker: Asker, path: str) -> Preview:
    """The beginning of a file; raises as :func:`download`."""
    artifact = _require(sources, asker, path)
    if artifact.kind in ("csv", "parquet"):
        return _table(sources, artifact)
    picture = artifact.kind in ("png", "svg")
    limit = PICTURE_BYTES if picture else PREVIEW_BYTES
    data = sources.files.read(path, limit + 1)
    if data is None:
        raise NotThere("file", path)
    more = len(data) > limit
    if picture:
        return _preview(artifact, more, picture_base64=None if more else base64.b64encode(data).decode())
    if artifact.kind == "other":
        return _preview(artifact, True)
    if artifact.kind == "json" and not more:
        try:
            return _preview(artifact, False, json_value=orjson.loads(data))
        except orjson.JSONDecodeError:
            pass  # shown as the text that it is
    return _preview(artifact, more, text=data[:limit].decode(errors="replace"))


def checksum(sources: FirmSources, asker: Asker, path: str) -> Checksum:
    """SHA-256 of a file; raises as :func:`download`."""
    artifact = _require(sources, asker, path)
    found = sources.files.digest(artifact.path)
    if found is None:
        raise NotThere("file", path)
    return Checksum(path=path, size_bytes=found[0], sha256=found[1])


def download(sources: FirmSources, asker: Asker, path: str) -> Download:
    """The bytes of a file.

    Raises
    ------
    NotThere
        There is no such file, it is not of those a firm may see, or not for this asker: other firms', the record,
        reports over all firms, links, odd spellings of a path.
    """
    artifact = _require(sources, asker, path)
    data = sources.files.read(path, MOST_BYTES)
    if data is None:
        raise NotThere("file", path)
    return Download(artifact.name, artifact.media_type, data)


def may_see_run(sources: FirmSources, asker: Asker, run_id: str) -> bool:
    """Whether a run is one of the firm's, and the asker may see an account of it; any account of the firm where it is
    about the market alone."""
    record = sources.runs.get(run_id)
    if record is not None and asker.may(Permission.READ, sources.firm_id):
        return True
    if record is not None and record.kind in MARKET_ONLY:
        return bool(sources.readable(asker))
    accounts = {f"{sources.firm_id}/{name}" for name in sources.record.runs().get(run_id, ())}
    accounts |= {wait.account for wait in (() if record is None else record.waits)}
    return bool(asker.among(Permission.READ, sorted(accounts)))


def may_see_reports(sources: FirmSources, asker: Asker, run_id: str) -> bool:
    """Whether the asker may see everything that the firm's reports of a run show."""
    ids = sources.record.runs().get(run_id, frozenset())
    accounts = [f"{sources.firm_id}/{name}" for name in sorted(ids)] or list(sources.standings)
    seen = asker.among(Permission.READ, accounts)
    return bool(accounts) and len(seen) == len(accounts) and all(map(asker.shows_amounts, accounts))


def _require(sources: FirmSources, asker: Asker, path: str) -> Artifact:
    place = scope_of(path, sources.firm_id)
    if place is None or not may_see_run(sources, asker, place[0]):
        raise NotThere("file", path)
    run_id, scope = place
    if scope == "firm" and not may_see_reports(sources, asker, run_id):
        raise NotThere("file", path)
    found = next((file for file in sources.files.listed(run_id) if file.path == path), None)
    if found is None:
        raise NotThere("file", path)
    return _artifact(found)


def _artifact(file: RunFile) -> Artifact:
    kind, media_type = kind_of_file(file.path)
    return Artifact(
        path=file.path,
        run_id=file.path.split("/")[1],
        name=file.path.rpartition("/")[2],
        scope=file.scope,
        kind=kind,
        media_type=media_type,
        size_bytes=file.size,
        modified_at=instant(file.modified_ns) or "",
    )


def _table(sources: FirmSources, artifact: Artifact) -> Preview:
    try:
        head = sources.files.head(artifact.path, PREVIEW_ROWS)
    except CheckFailed:
        return _preview(artifact, True)
    if head is None:
        raise NotThere("file", artifact.path)
    table = Table(
        columns=tuple(Column(name=name, type=kind) for name, kind in head.columns),
        rows=head.rows,
        total_rows=head.total,
    )
    more = head.total is None or head.total > len(head.rows)
    return _preview(artifact, more, table=table)


def _preview(
    artifact: Artifact,
    truncated: bool,
    *,
    text: str | None = None,
    json_value: JsonValue = None,
    table: Table | None = None,
    picture_base64: str | None = None,
) -> Preview:
    return Preview(
        artifact=artifact,
        truncated=truncated,
        text=text,
        json_value=json_value,
        table=table,
        picture_base64=picture_base64,
    )
