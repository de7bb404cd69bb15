"""Strict YAML: plain data with the line of every key, and nothing that two readers could read differently."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from regime_trading.core.errors import BadInput
from regime_trading.core.risk_layers import ConfigText
from regime_trading.core.risk_layers import Path as KeyPath
from regime_trading.core.settings import Finding, InvalidConfig

MAX_BYTES = 1 << 20
MAX_NODES = 50_000
MAX_DEPTH = 40
REMEMBERED_BYTES = 1 << 16  #: of a text whose nodes are kept: the same files are read for almost every change

_CORE_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?(0|[1-9]\d*)")
_DECIMAL = re.compile(r"[-+]?(0|[1-9]\d*)\.\d+")
_TIME = re.compile(r"\d+(:\d+)+")
_OTHER_BOOL = re.compile(r"y|n|yes|no|on|off", re.IGNORECASE)
_LETTERS = frozenset({"n", "y"})  # as a key a number of something or an axis, to every reader in use
_SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b(AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\b(sk|pk|rk)[-_](live|test|ant|proj)[-_][A-Za-z0-9_-]{8,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\."
    r"|\b[0-9a-f]{32,}\b"
    r"|\b(?=[A-Za-z0-9+/]*\d)(?=[A-Za-z0-9+/]*[a-z])(?=[A-Za-z0-9+/]*[A-Z])[A-Za-z0-9+/]{32,}={0,2}"
)
_SECRET_KEY = re.compile(
    r"(^|[_-])(secret|password|passwd|passphrase|api_?key|private_?key|token)($|[_-])", re.IGNORECASE
)


def read_yaml(path: Path) -> tuple[dict[str, Any], ConfigText]:
    """The mapping in a YAML 1.2 file, and the line of each of its keys.

    Text stays text, integers are ``int``, decimals are exact ``Decimal``. Refused, with file and line: more
    than 1 MiB, more than one document, duplicate keys, merge keys, custom tags, aliases that grow beyond
    50,000 nodes or refer to themselves, values that look like a secret, and every unquoted value that YAML
    1.1 and 1.2 read differently (``17:00``, ``off``, ``1e-3``, ``010``, a date).

    Raises
    ------
    InvalidConfig
        A value of the file, with its path and line.
    BadInput
        Any other of the above, or a file that cannot be read.
    """
    name = path.as_posix()
    return parse_yaml(_read(path, name), name)


def parse_yaml(data: bytes, name: str) -> tuple[dict[str, Any], ConfigText]:
    """As :func:`read_yaml`, for the bytes of a file called ``name``."""
    return parse_nodes(data, name)[1:]


def parse_nodes(data: bytes, name: str) -> tuple[MappingNode, dict[str, Any], ConfigText]:
    """As :func:`parse_yaml`, with the nodes of the text before it."""
    if len(data) > MAX_BYTES:
        raise BadInput(expected=f"at most {MAX_BYTES} bytes", found=f"{len(data)} or more", where=name)
    builder = _Builder(name)
    try:
        text = data.decode("utf-8-sig")
        root = (_composed if len(data) <= REMEMBERED_BYTES else _composed.__wrapped__)(text)
        if not isinstance(root, MappingNode):
            raise BadInput(expected="a mapping", found=_kind(root), where=f"{name}:1")
        value = builder.build(root, ())
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = name if mark is None else f"{name}:{mark.line + 1}"
        raise BadInput(expected="YAML", found=str(error.problem or error.context), where=where) from error
    except UnicodeDecodeError as error:
        raise BadInput(expected="UTF-8 text", found=f"byte {error.start} that is not", where=name) from error
    except RecursionError as error:
        raise BadInput(expected=f"at most {MAX_DEPTH} levels", found="more", where=name) from error
    except YAMLError as error:
        raise BadInput(expected="YAML", found=str(error).splitlines()[0], where=name) from error
    return root, value, ConfigText(name, builder.lines)


@lru_cache(maxsize=8)
def _composed(text: str) -> Node | None:
    """The nodes of a text, which nobody changes; nine tenths of the time of reading it."""
    found: Node | None = YAML(typ="safe", pure=True).compose(text)
    return found


def _read(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(expected="a file that can be read", found=str(error.strerror), where=name) from error


@dataclass(slots=True)
class _Builder:
    """Builds plain data from YAML nodes, counting nodes and noting lines."""

    name: str
    lines: dict[KeyPath, int] = field(default_factory=dict)
    nodes: int = 0

    def build(self, node: Node, path: KeyPath) -> Any:
        self.nodes += 1
        self.lines.setdefault(path, node.start_mark.line + 1)
        if self.nodes > MAX_NODES:
            raise self._bad(node, path, f"at most {MAX_NODES} values (aliases counted)", "more")
        if len(path) > MAX_DEPTH:
            raise self._bad(node, path[:3], f"at most {MAX_DEPTH} levels", "more")
        if str(node.tag).removeprefix(_CORE_TAG) not in _tags(node):
            raise self._bad(node, path, "no tag", f"tag {node.tag}")
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.build(item, (*path, n)) for n, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return self._scalar(node, path)

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            at = (*path, key)
            if key in result:
                raise self._bad(key_node, at, f"each key once (first on line {self.lines[at]})", repr(key))
            self.lines[at] = key_node.start_mark.line + 1
            result[key] = self.build(value_node, at)
            text = result[key]
            if _SECRET_KEY.search(key) and isinstance(text, str) and not text.startswith("secret://"):
                raise self._bad(
                    key_node, at, "a reference secret://…", "what looks like a secret (not shown)"
                )
        return result

    def _key(self, node: Node, path: KeyPath) -> str:
        if not isinstance(node, ScalarNode):
            raise self._bad(node, path, "text as a key", _kind(node))
        if str(node.tag) == f"{_CORE_TAG}merge":
            raise self._bad(node, path, "no merge key", repr(node.value))
        if node.value in _LETTERS:
            return str(node.value)
        key = self._scalar(node, path)
        if not isinstance(key, str):
            raise self._bad(node, path, "text as a key", repr(node.value))
        return key

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        text, kind = str(node.value), str(node.tag).removeprefix(_CORE_TAG)
        if _SECRET_VALUE.search(text):
            raise self._bad(node, path, "a reference secret://…", "what looks like a secret (not shown)")
        if node.style is not None and kind == "str":
            return text
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in {"true", "false"}:
            return text.lower() == "true"
        if kind == "int" and _INT.fullmatch(text):
            return int(text)
        if kind == "float" and _DECIMAL.fullmatch(text):
            return Decimal(text)
        if kind != "str" or _TIME.fullmatch(text) or _OTHER_BOOL.fullmatch(text):
            raise self._bad(
                node, path, f'a value that every reader reads alike, quoted ("{text}")', f"{text} unquoted"
            )
        return text

    def _bad(self, node: Node, path: KeyPath, expected: str, found: str) -> InvalidConfig:
        line, key = node.start_mark.line + 1, ".".join(map(str, path))
        return InvalidConfig((Finding(path=key, file=self.name, line=line, expected=expected, found=found),))


def _kind(node: Node | None) -> str:
    if isinstance(node, ScalarNode):
        return "a value"
    return "nothing" if node is None else "a list" if isinstance(node, SequenceNode) else "a mapping"


def _tags(node: Node) -> tuple[str, ...]:
    """Tags YAML itself gives to values that carry none."""
    if isinstance(node, ScalarNode):
        return ("str", "int", "float", "bool", "null", "timestamp")
    return ("seq",) if isinstance(node, SequenceNode) else ("map",)
