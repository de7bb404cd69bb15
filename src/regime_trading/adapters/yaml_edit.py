"""One value of a YAML document set to another, every other byte of it kept: layout, comments, quotes.

The document is read by ``ruamel.yaml`` for the places of its values; only the text of the value itself is written anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from regime_trading.adapters.firm_section import last_of
from regime_trading.adapters.yaml_text import parse_nodes, parse_yaml
from regime_trading.core.config_versions import DOCUMENT
from regime_trading.core.errors import BadInput
from regime_trading.core.rules import RULE_BY_KEY

_PLAIN = re.compile(r"[A-Za-z][A-Za-z_]*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")

Steps = tuple[str | int, ...]


def set_values(document: str, account_id: str, values: Mapping[str, JsonValue]) -> str:
    """A firm's document with values of one account set, one after the other.

    Parameters
    ----------
    values : mapping
        By dotted path below the account: ``risk.gross``, ``risk.daily_loss.act``, ``mode``. Numbers are decimal text. A
        rule that is written as a bare value becomes a mapping where another of its parameters is set.

    Raises
    ------
    BadInput
        No such account, a path that cannot be, or a document that is not strict YAML.
    """
    for path, value in values.items():
        steps = path.split(".")
        if not all(_NAME.fullmatch(step) for step in steps):
            raise BadInput(expected="a path such as risk.gross", found=repr(path), where="path")
        document = _set(document, _account(document, account_id), steps, value)
    return document


def _account(document: str, account_id: str) -> Steps:
    data, _ = parse_yaml(document.encode(), DOCUMENT)
    accounts = data.get("accounts")
    for n, account in enumerate(accounts if isinstance(accounts, list) else ()):
        if isinstance(account, Mapping) and account.get("id") == account_id:
            return ("accounts", n)
    raise BadInput(expected="an account of the firm", found=repr(account_id), where="account")


def _set(document: str, base: Steps, steps: Sequence[str], value: JsonValue) -> str:
    root, data, _ = parse_nodes(document.encode(), DOCUMENT)
    base, steps = _entered(data, base, list(steps))
    path, rest, old = _reach(data, (*base, *steps))
    wanted: Any = value
    for step in reversed(rest):
        wanted = {step: wanted}
    if rest and isinstance(old, Mapping) and old:
        after = _inserted(document, _node(root, path), rest[0], wanted[rest[0]])
    else:
        after = _replaced(document, root, path, _bare(path, old, rest) | wanted if rest else wanted)
    return _checked(data, (*base, *steps), value, after)


def _entered(data: Any, base: Steps, steps: list[str]) -> tuple[Steps, list[str]]:
    """``risk.gross`` means the main parameter of the rule where that is written as a mapping."""
    match steps:
        case ["risk", key] if key in RULE_BY_KEY:
            written = _at(data, (*base, "risk", key))
            if isinstance(written, Mapping) and RULE_BY_KEY[key].principal:
                return base, ["risk", key, str(RULE_BY_KEY[key].principal)]
        case ["risk", key, name] if key in RULE_BY_KEY and name == RULE_BY_KEY[key].principal:
            written = _at(data, (*base, "risk", key))
            if written is not None and not isinstance(written, Mapping):
                return base, ["risk", key]
    return base, steps


def _bare(path: Steps, old: Any, rest: Sequence[Any]) -> dict[str, Any]:
    """What a bare value says, as the mapping that it stands for."""
    if old is None or old == {}:
        return {}
    match path:
        case (*_, "risk", str(key)) if key in RULE_BY_KEY and RULE_BY_KEY[key].principal and len(rest) == 1:
            return {str(RULE_BY_KEY[key].principal): old}
    raise BadInput(expected="a mapping", found="a value", where=".".join(map(str, path)))


def _at(data: Any, path: Steps) -> Any:
    for step in path:
        inside = step in data if isinstance(data, Mapping) else isinstance(step, int)
        if not inside or isinstance(data, str):
            return None
        data = data[step]
    return data


def _reach(data: Any, path: Steps) -> tuple[Steps, Steps, Any]:
    """How far ``path`` is written, what is left of it, and the value there."""
    for n, step in enumerate(path):
        if not (isinstance(data, Mapping) and step in data) and not (
            isinstance(data, list) and isinstance(step, int)
        ):
            return path[:n], path[n:], data
        data = data[step]
    return path, (), data


def _node(root: Node, path: Steps) -> Node:
    return _pair(root, path)[1]


def _pair(root: Node, path: Steps) -> tuple[Node | None, Node]:
    """The key and the value at ``path``; no key for an item of a list."""
    key, node = None, root
    for step in path:
        if isinstance(node, SequenceNode):
            key, node = None, node.value[int(step)]
        else:
            key, node = next((k, v) for k, v in node.value if k.value == step)
    return key, node


def _inserted(document: str, node: Node, key: Any, value: Any) -> str:
    """A key added at the end of a mapping."""
    assert isinstance(node, MappingNode)
    written = f"{_flow(key)}: {_flow(value)}"
    last = last_of(document, node)
    if node.flow_style:
        at = document.rindex("}", 0, node.end_mark.index)
        body = document[node.start_mark.index + 1 : at].rstrip()
        comma = "" if body.endswith(",") else ","
        at = node.start_mark.index + 1 + len(body)
        return f"{document[:at]}{comma} {written}{document[at:]}"
    at = document.find("\n", last)
    at = len(document) if at < 0 else at
    return f"{document[:at]}\n{' ' * node.start_mark.column}{written}{document[at:]}"


def _replaced(document: str, root: Node, path: Steps, value: Any) -> str:
    """The value at ``path`` written anew; what stood below it goes with its comments."""
    key, node = _pair(root, path)
    start, end = node.start_mark.index, last_of(document, node)
    if key is not None and (_is_block(node) or start == node.end_mark.index):
        start = document.index(":", key.end_mark.index) + 1
        return f"{document[:start]} {_flow(value)}{document[max(start, end) if _is_block(node) else start :]}"
    return f"{document[:start]}{_flow(value)}{document[end:]}"


def _is_block(node: Node) -> bool:
    if isinstance(node, ScalarNode):
        return node.style in ("|", ">")
    return not node.flow_style


def _flow(value: Any) -> str:
    """A value on one line, quoted as in the files that ship."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


def _checked(data: Any, path: Steps, value: JsonValue, after: str) -> str:
    """``after`` if it says ``value`` at ``path``, and otherwise exactly what ``data`` says."""
    found, _ = parse_yaml(after.encode(), DOCUMENT)
    if _plain(found) != _plain(_with(data, (), path, value)):
        where = ".".join(map(str, path))
        raise BadInput(expected="a layout in which one value can be set", found="another", where=where)
    return after


def _with(data: Any, at: Steps, path: Steps, value: Any) -> Any:
    """``data`` with ``value`` at ``path``, which goes on from ``at``."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(data, list):
        return [_with(v, (*at, n), rest, value) if n == step else v for n, v in enumerate(data)]
    known = data if isinstance(data, Mapping) else _bare(at, data, path)
    return {**known, step: _with(known.get(step), (*at, step), rest, value)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | str) else str(value)
