"""``traders.yaml`` as the firms write it: what the loader says or would say of it, and the file replaced whole."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path, PurePath

from pydantic import JsonValue
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from regime_trading.adapters.config_files import load_firms
from regime_trading.adapters.disk import sync
from regime_trading.adapters.firm_section import Section, cut, put
from regime_trading.adapters.yaml_edit import set_values
from regime_trading.adapters.yaml_text import MAX_BYTES, parse_nodes
from regime_trading.core.config_versions import DOCUMENT, DocumentFinding, Reading, VersionConflict
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.settings import Finding, InvalidConfig
from regime_trading.core.trader_profile import TraderProfile

_FOREIGN = re.compile(r"(firm|account) ([^/ ]*)")
_LINE_OF_FILE = re.compile(r"\(line (\d+)\)")


class TradersFile:
    """The traders file under its settings.

    Parameters
    ----------
    settings, traders : Path
    """

    def __init__(self, settings: Path, traders: Path) -> None:
        self._settings, self._traders = settings, traders

    def now(self, firm_id: str) -> Reading:
        """A firm's section as it is, and what the loader says of it.

        Raises
        ------
        BadInput
            A file that cannot be read or is not strict YAML, or no such firm.
        """
        data = self._bytes()
        return self._reading(firm_id, data, cut(_text(data), firm_id))

    def with_document(self, firm_id: str, document: str) -> Reading:
        """The same if the firm's section were ``document``: the loader reads the whole file as it would be.

        Raises
        ------
        BadInput
            As :meth:`now`.
        """
        data = self._bytes()
        cut(_text(data), firm_id)
        try:
            after = put(_text(data), firm_id, document).encode()
        except InvalidConfig as error:
            return Reading(b"", data, document, (), _with_columns(document, error.findings))
        except BadInput as error:
            return Reading(b"", data, document, (), (_of_syntax(document, error),))
        section = cut(after.decode(), firm_id)
        return replace(self._reading(firm_id, after, section), before=data)

    def edited(self, document: str, account_id: str, values: Mapping[str, JsonValue]) -> str:
        """``document`` with values of one account set (``adapters.yaml_edit``)."""
        return set_values(document, account_id, values)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The right to replace the file, across threads and processes of this machine; waits for it.

        Raises
        ------
        NotDurable
            The folder cannot be locked.
        """
        try:
            descriptor = os.open(self._target().parent, os.O_RDONLY)
        except OSError as err:
            raise NotDurable(f"{self._traders}: {err.strerror}") from err
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def replace(self, before: bytes, after: bytes) -> None:
        """Replace the file: temp → fsync → rename → fsync folder. Only within :meth:`turn`.

        Raises
        ------
        VersionConflict
            It is no longer ``before``; nothing was written.
        NotDurable
            The file system cannot write; the file is whole, as before or as after.
        """
        target = self._target()
        temporary = target.with_name(f".{target.name}.new")
        try:
            mode = target.stat().st_mode & 0o777
            with suppress(FileNotFoundError):
                temporary.unlink()
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(after)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(mode)
            if self._bytes() != before:
                temporary.unlink()
                raise VersionConflict(
                    expected="the file as it was read", found="another one", where=target.name
                )
            temporary.replace(target)
            sync(target.parent)
        except OSError as err:
            raise NotDurable(f"{target}: {err.strerror}") from err

    def _target(self) -> Path:
        """The file itself, where the path is a link to it."""
        return self._traders.resolve()

    def _bytes(self) -> bytes:
        try:
            with self._traders.open("rb") as file:
                return file.read(MAX_BYTES + 1)
        except OSError as err:
            raise BadInput(
                expected="a file that can be read", found=str(err.strerror), where=self._traders.name
            ) from err

    def _reading(self, firm_id: str, data: bytes, section: Section) -> Reading:
        profiles: tuple[TraderProfile, ...] = ()
        found: tuple[Finding, ...] = ()
        try:
            loaded = load_firms(self._settings, self._traders, content=data)
        except InvalidConfig as error:
            found = _own(error.findings, firm_id, section)
        except BadInput as error:
            found = (Finding(path="", expected=error.expected, found=error.found),)
        else:
            profiles = tuple(p for p in loaded.profiles if p.firm_id == firm_id)
            found = tuple(f for one in loaded.broken if one.firm_id == firm_id for f in one.findings)
        file = self._traders.as_posix()
        placed = _placed(found, file, section)
        kept = () if found else profiles
        return Reading(data, data, section.document, kept, placed, file, section.first_line)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as err:
        raise BadInput(expected="UTF-8 text", found=f"byte {err.start}", where="traders.yaml") from err


# --- findings in the words of the document ------------------------------------------------------------------


def _own(findings: Iterable[Finding], firm_id: str, section: Section) -> tuple[Finding, ...]:
    """Those that are not about another firm; where only others have any, one that says no more than that."""
    mine = tuple(finding for finding in findings if not _foreign(finding, firm_id, section))
    if mine:
        return mine
    return (Finding(path="", expected="a file that can be loaded", found="problems of other firms alone"),)


def _foreign(finding: Finding, firm_id: str, section: Section) -> bool:
    match finding.path.split("."):
        case ["firms", n, *_] if n != str(section.position):
            return True
    names = [match[2] for layer in finding.layers if (match := _FOREIGN.match(layer))]
    return any(name != firm_id for name in names)


def _placed(findings: Iterable[Finding], file: str, section: Section) -> tuple[DocumentFinding, ...]:
    """Findings of the whole file with their lines in the document; other files by their names alone."""
    first, lines = section.first_line, section.lines
    places = re.compile(rf"{re.escape(file)}:(\d+)")

    def line_of(match: re.Match[str]) -> str:
        n = int(match[1])
        return f"line {n - first + 1}" if n in lines else f"{PurePath(file).name}:{n}"

    def again(match: re.Match[str]) -> str:
        n = int(match[1])
        return f"(line {n - first + 1})" if n in lines else match[0]

    def words(text: str) -> str:
        return _LINE_OF_FILE.sub(again, places.sub(line_of, text))

    moved = []
    for finding in findings:
        inside = finding.file == file and finding.line in lines
        moved.append(
            finding.model_copy(
                update={
                    "path": finding.path.removeprefix(f"firms.{section.position}").lstrip("."),
                    "file": DOCUMENT if inside else _name(finding.file),
                    "line": finding.line - first + 1 if inside and finding.line else finding.line,
                    "expected": words(finding.expected),
                    "found": words(finding.found),
                }
            )
        )
    return _with_columns(section.document, moved)


def _name(file: str | None) -> str | None:
    return None if file is None else PurePath(file).name


def _with_columns(document: str, findings: Iterable[Finding]) -> tuple[DocumentFinding, ...]:
    found, lines = list[DocumentFinding](), document.split("\n")
    keys = _keys(document) if (findings := tuple(findings)) else {}
    for finding in findings:
        inside = finding.file == DOCUMENT and finding.line is not None and finding.line <= len(lines)
        column = None
        if inside and finding.line is not None:
            line = lines[finding.line - 1]
            last = finding.path.rpartition(".")[2]
            column = keys.get((finding.line, last), len(line) - len(line.lstrip(" -")) + 1)
        found.append(DocumentFinding(**{**dict(finding), "column": column}))
    return tuple(found)


def _keys(document: str) -> dict[tuple[int, str], int]:
    """Column of every key, by its line and name; the first of the name on a line."""
    found: dict[tuple[int, str], int] = {}

    def walk(node: Node) -> None:
        for item in node.value if isinstance(node, MappingNode | SequenceNode) else ():
            key, value = item if isinstance(node, MappingNode) else (None, item)
            if key is not None:
                mark = key.start_mark
                found.setdefault((mark.line + 1, str(key.value)), mark.column + 1)
            walk(value)

    with suppress(BadInput):  # what grows or refers to itself never gets here
        walk(parse_nodes(document.encode(), DOCUMENT)[0])
    return found


def _of_syntax(document: str, error: BadInput) -> DocumentFinding:
    """What is wrong with a document that is not strict YAML."""
    cause, (_, _, at) = error.__cause__, error.where.rpartition(":")
    line, column = (int(at) if at.isdecimal() else 1), 1
    if isinstance(cause, MarkedYAMLError):
        mark = cause.problem_mark or cause.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (line, column)
    return DocumentFinding(
        path="", file=DOCUMENT, line=line, column=column, expected=error.expected, found=error.found
    )
