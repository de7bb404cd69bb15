"""A firm's own part of ``traders.yaml``: cut out as a document of its own, and put back without touching the rest.

The document is the firm's mapping, moved to the left edge. Comments and empty lines between two firms belong to
neither. Whatever a document does to the text around it, the rest of the file must still say exactly what it said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from regime_trading.adapters.yaml_text import parse_nodes, parse_yaml
from regime_trading.core.config_versions import DOCUMENT
from regime_trading.core.errors import BadInput
from regime_trading.core.settings import Finding, InvalidConfig

_BREAKS = re.compile("[\r\x85\u2028\u2029\0]")
_FILE = "traders.yaml"


@dataclass(frozen=True, slots=True)
class Section:
    """Where a firm is written: ``text[start:end]`` of the file; its document, and how to put one back.

    ``position`` counts the firms from 0, ``first_line`` the lines of the file from 1.
    """

    position: int
    document: str
    start: int
    end: int
    first_line: int
    dash: int
    indent: int

    @property
    def lines(self) -> range:
        """Lines of the file that it takes up."""
        return range(self.first_line, self.first_line + self.document.count("\n"))

    def written(self, document: str) -> str:
        """A document as it stands in the file."""
        first, *rest = document.removesuffix("\n").split("\n")
        lead = " " * self.dash + "-" + " " * (self.indent - self.dash - 1)
        lines = [f"{lead}{first}" if first else lead.rstrip(" ")]
        lines += [" " * self.indent + line if line else "" for line in rest]
        return "".join(f"{line}\n" for line in lines)


def cut(text: str, firm_id: str) -> Section:
    """The section of one firm.

    Raises
    ------
    BadInput
        No such firm, more than one, or firms that are not written as a block list of block mappings.
    """
    return _cut(text, _firms(parse_nodes(text.encode(), _FILE)[0]), firm_id)


def _cut(text: str, firms: SequenceNode, firm_id: str) -> Section:
    found = [n for n, item in enumerate(firms.value) if _id(item) == firm_id]
    if len(found) != 1:
        raise BadInput(expected=f"firm {firm_id} once", found=f"it is there {len(found)} times", where=_FILE)
    item = firms.value[found[0]]
    if firms.flow_style or item.flow_style or _BREAKS.search(text.replace("\r\n", "\n")):
        raise BadInput(
            expected="firms as a block list, each of them a block mapping, and plain line breaks",
            found="another layout",
            where=f"{_FILE} firms",
        )
    dash, indent = firms.start_mark.column, item.start_mark.column
    start = _dash_line(text, item.start_mark.index, dash)
    end = _end(text, last_of(text, item), dash)
    lines = text[start:end].replace("\r\n", "\n").removesuffix("\n").split("\n")
    moved = [lines[0][indent:], *(_left(line, indent) for line in lines[1:])]
    return Section(
        position=found[0],
        document="".join(f"{line}\n" for line in moved),
        start=start,
        end=end,
        first_line=text.count("\n", 0, start) + 1,
        dash=dash,
        indent=indent,
    )


def put(text: str, firm_id: str, document: str) -> str:
    """The file with another document of one firm.

    Raises
    ------
    InvalidConfig
        A document that is no mapping of this firm, or that would change what the rest of the file says.
    BadInput
        As :func:`cut`; or a file or a document that is not strict YAML.
    """
    plain = f"{document.replace(chr(13) + chr(10), chr(10)).rstrip(chr(10))}\n"
    if _BREAKS.search(plain):
        raise _bad("", "plain line breaks", "another control character")
    said = parse_yaml(plain.encode(), DOCUMENT)[0]
    if said.get("id") != firm_id:
        raise _bad("id", repr(firm_id), repr(said.get("id")))
    root, before, _ = parse_nodes(text.encode(), _FILE)
    section = _cut(text, _firms(root), firm_id)
    written = section.written(plain)
    if "\r\n" in text[section.start : section.end]:
        written = written.replace("\n", "\r\n")
    after = text[: section.start] + written + text[section.end :]
    firms = [said if n == section.position else firm for n, firm in enumerate(before["firms"])]
    try:
        root, found, _ = parse_nodes(after.encode(), _FILE)
        same = found == {**before, "firms": firms} and _cut(after, _firms(root), firm_id).document == plain
    except BadInput:
        same = False
    if not same:
        raise _bad(
            "", "a document that means the same inside the file, and nothing else there", "another one"
        )
    return after


def _bad(path: str, expected: str, found: str) -> InvalidConfig:
    return InvalidConfig((Finding(path=path, file=DOCUMENT, line=1, expected=expected, found=found),))


def _firms(root: MappingNode) -> SequenceNode:
    for key, value in root.value:
        if key.value == "firms" and isinstance(value, SequenceNode):
            return value
    raise BadInput(expected="a list of firms", found="none", where=_FILE)


def _id(item: Node) -> str | None:
    for key, value in item.value if isinstance(item, MappingNode) else ():
        if key.value == "id" and isinstance(value, ScalarNode):
            return str(value.value)
    return None


def _dash_line(text: str, index: int, dash: int) -> int:
    """Start of the line with the dash of the item whose first key is at ``index``."""
    start = text.rfind("\n", 0, index) + 1
    while text[start + dash : start + dash + 1] != "-" or text[start : start + dash].strip(" "):
        if start == 0:
            raise BadInput(expected="a dash before each firm", found="none", where=_FILE)
        start = text.rfind("\n", 0, start - 1) + 1
    return start


def last_of(text: str, node: Node) -> int:
    """Just after the last character of a node that is no comment; its start where it is empty."""
    return max((_leaf_end(text, leaf) for leaf in _leaves(node)), default=node.start_mark.index)


def _leaves(node: Node) -> Iterator[Node]:
    """What is written on one line or as one text; an empty value has no place of its own."""
    if isinstance(node, ScalarNode) or node.flow_style:
        if node.start_mark.index < node.end_mark.index:
            yield node
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            yield key
            yield from _leaves(value)
    else:
        for item in node.value:
            yield from _leaves(item)


def _leaf_end(text: str, leaf: Node) -> int:
    """A block scalar ends after its last line that is not empty."""
    end: int = leaf.end_mark.index
    return len(text[:end].rstrip(" \r\n")) if getattr(leaf, "style", None) in ("|", ">") else end


def _end(text: str, last: int, dash: int) -> int:
    """After the line of ``last`` and the comments below it that are indented deeper than the dash."""
    end = found = _next(text, last)
    while end < len(text):
        after = _next(text, end)
        line = text[end:after].strip("\r\n")
        deep = len(line) - len(line.lstrip(" ")) > dash
        if line.strip() and not (deep and line.lstrip().startswith("#")):
            break
        end = after
        found = after if line.strip() else found
    return found


def _next(text: str, index: int) -> int:
    """Start of the line after the one ``index`` is in."""
    at = text.find("\n", index)
    return len(text) if at < 0 else at + 1


def _left(line: str, by: int) -> str:
    return line[min(by, len(line) - len(line.lstrip(" "))) :]
