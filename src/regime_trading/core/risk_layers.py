"""One layer of risk parameters as written in a file or sent as an override: read, typed, with its lines."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from regime_trading.core.merging import in_order
from regime_trading.core.rules import (
    RULE_BY_ID,
    RULE_BY_KEY,
    UNLIMITED,
    Merge,
    RuleParams,
    RuleSpec,
    merge_of,
)
from regime_trading.core.settings import Finding

Path = tuple[str | int, ...]


class LayerKind(StrEnum):
    """Who speaks, from the top down."""

    DEFAULTS = "defaults"
    PRESET = "preset"
    FIRM = "firm"
    ACCOUNT = "account"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class ConfigText:
    """Where the keys of one file are written: its name, and the line of each path.

    ``apart`` holds the paths that are written in another file, with the text of that file.
    """

    file: str | None = None
    lines: Mapping[Path, int] = field(default_factory=dict)
    apart: Mapping[Path, ConfigText] = field(default_factory=dict)

    def of(self, path: Path) -> ConfigText:
        """The text of the file in which ``path`` is written."""
        return next((text for root, text in self.apart.items() if path[: len(root)] == root), self)

    def line(self, path: Path) -> int | None:
        """Line of ``path``, or of the nearest key above it."""
        lines = self.of(path).lines
        for n in range(len(path), -1, -1):
            if path[:n] in lines:
                return lines[path[:n]]
        return None


NO_TEXT = ConfigText()


@dataclass(frozen=True, slots=True)
class RiskLayer:
    """The ``risk`` (or ``rules``) mapping of one layer as written, at path ``root`` of ``text``.

    ``sealed`` are the path globs that may only be tightened below this layer. ``names`` says how the file calls a
    parameter (rule key, parameter) where it has a name of its own there (``universe``).
    """

    kind: LayerKind
    name: str
    risk: Mapping[str, Any]
    text: ConfigText = NO_TEXT
    root: Path = ("risk",)
    sealed: tuple[str, ...] = ()
    names: Mapping[Path, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """``account north-pier/core``."""
        return f"{self.kind} {self.name}"

    def line(self, at: Path) -> int | None:
        """Line of a key below ``root``."""
        return self.text.line((*self.root, *self._written(at)))

    def finding(self, at: Path, expected: str, found: str, line: int | None = None) -> Finding:
        """A finding on a key below ``root``; ``at`` is (rule key, parameter)."""
        return Finding(
            path=".".join([str(self.root[-1]), *map(str, self._written(at))]),
            file=self.text.file,
            line=self.line(at) if line is None else line,
            layers=(self.title,),
            expected=expected,
            found=found,
        )

    def _written(self, at: Path) -> Path:
        """``at`` as far as it is written in the file."""
        if at in self.names:
            return (self.names[at],)
        return at if isinstance(self.risk.get(str(at[0])), Mapping) else at[:1]


@dataclass(frozen=True, slots=True)
class Given:
    """One parameter as one layer gives it: as written, typed, and its line."""

    raw: Any
    value: Any
    line: int | None


#: What ``universe:`` says in the files, and the rule parameter that it is.
UNIVERSE: Mapping[str, tuple[str, str]] = {
    "allow": ("allow", "symbols"),
    "deny": ("deny", "symbols"),
    "classes": ("permissions", "classes"),
    "venues": ("permissions", "venues"),
    "hedge_groups": ("direction", "hedge_groups"),
}


def universe_layer(layer: RiskLayer, universe: Mapping[str, Any]) -> RiskLayer:
    """What ``universe`` says beside the ``risk`` of ``layer``, as a layer of the same speaker."""
    risk: dict[str, dict[str, Any]] = {}
    for name, value in universe.items():
        key, parameter = UNIVERSE[name]
        risk.setdefault(key, {})[parameter] = value
    names: dict[Path, str] = {UNIVERSE[name]: name for name in universe}
    root = (*layer.root[:-1], "universe")
    return RiskLayer(layer.kind, layer.name, risk, layer.text, root, names=names)


MOST_NAMED = 16


def nearest(word: str, known: Iterable[str], what: str = "key") -> str:
    """What to expect instead of ``word``: the nearest known word, or all of them, or the nearest three of many."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"a known {what}, the nearest is {close[0]!r}"
    if len(known) <= MOST_NAMED:
        return f"one of {', '.join(known)}"
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.0)
    return f"a known {what}, the nearest are {', '.join(map(repr, near))}"


def find_rule(layer: RiskLayer, key: Any) -> RuleSpec | Finding:
    """The rule that ``key`` names in configuration files."""
    if key in RULE_BY_KEY:
        return RULE_BY_KEY[key]
    by_id = RULE_BY_ID.get(str(key))
    word = by_id.key if by_id else str(key)
    return layer.finding((key,), nearest(word, RULE_BY_KEY), repr(key))


def read_rule(layer: RiskLayer, key: str, spec: RuleSpec) -> tuple[dict[str, Given], list[Finding]]:
    """The parameters ``layer`` gives under ``key`` for one rule, each typed by itself.

    A bare value sets the rule's principal parameter; an ``id`` inside must be the rule's own.
    """
    body = layer.risk[key]
    if body is None:
        return {}, [layer.finding((key,), *_NO_NULL)]
    if not isinstance(body, Mapping):
        if spec.principal is None:
            names = ", ".join(sorted(spec.params.model_fields))
            return {}, [layer.finding((key,), f"a mapping of {names}", shown(body))]
        body = {spec.principal: body}
    given: dict[str, Given] = {}
    findings: list[Finding] = []
    for name in sorted(body, key=str):
        if name == "id" and body[name] == spec.rule_id:
            continue
        one = _read_param(layer, key, spec, name, body[name])
        if isinstance(one, Finding):
            findings.append(one)
        else:
            given[name] = one
    return given, findings


_NO_NULL = (f"a value (no limit is written {UNLIMITED!r})", "null")


def _read_param(layer: RiskLayer, key: str, spec: RuleSpec, name: str, raw: Any) -> Given | Finding:
    at: Path = (key, name)
    if name == "id":
        return layer.finding(at, f"{spec.rule_id!r}, the id of rule {key!r}", shown(raw))
    if name not in spec.params.model_fields:
        return layer.finding(at, nearest(str(name), spec.params.model_fields), repr(name))
    if raw is None:
        return layer.finding(at, *_NO_NULL)
    merge = merge_of(spec.params, name)
    if isinstance(raw, bool) is not (merge in {Merge.PROTECT, Merge.PERMIT}):
        return layer.finding(at, "a value" if isinstance(raw, bool) else "true or false", shown(raw))
    try:
        lifted = merge is Merge.LADDER and raw == UNLIMITED
        typed = () if lifted else adapter(spec.params, name).validate_python(raw)
        return Given(raw, in_order(spec.params, name, typed), layer.line(at))
    except ValidationError as error:
        expected, found = expected_found(error.errors()[0]["msg"], raw)
        return layer.finding(at, expected + _as_fraction(expected, raw), found)
    except ValueError as error:
        return layer.finding(at, *expected_found(str(error), raw))


@functools.cache
def adapter(params: type[RuleParams], name: str) -> TypeAdapter[Any]:
    """Validator and serialiser of one parameter by itself."""
    info = params.model_fields[name]
    kind: Any = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
    return TypeAdapter(kind)


def shown(value: Any, most: int = 80) -> str:
    """Short text of a value as written, for an error."""
    if isinstance(value, Mapping):
        text = "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    elif isinstance(value, list | tuple):
        text = "[" + ", ".join(shown(item) for item in value) + "]"
    else:
        text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= most else text[: most - 1] + "…"


def expected_found(message: str, raw: Any) -> tuple[str, str]:
    """Split a validator's message into what was expected and what was found."""
    text = message.removeprefix("Value error, ").removeprefix("Input should be ")
    if "expected " in text and ", found " in text:
        expected, found = text.rsplit(", found ", 1)
        return expected.replace("expected ", "", 1), found
    return text[:1].lower() + text[1:], shown(raw)


def _as_fraction(expected: str, raw: Any) -> str:
    """A hint for a percentage written where a fraction belongs."""
    try:
        value = Decimal(str(raw))
    except InvalidOperation:
        return ""
    at_most_one = expected == "less than or equal to 1" or "at most 1 " in expected
    if not at_most_one or not 1 < value <= 100:
        return ""
    return f" (did you mean {format((value / 100).normalize(), 'f')}?)"
