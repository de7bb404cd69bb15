r"""The one parser of commands (``pwa.md`` 7): text to a frozen :class:`Command`, or a :class:`ParseError` with a caret.

::

    /verb object key:value,value … --flag …

Beyond the EBNF of the design, where it leaves a choice: blanks are U+0020 alone; outside of quotes everything is
printable ASCII; within quotes ``\"`` and ``\\`` are the only escapes and characters that cannot be seen are refused.
An object may be left out where the catalogue names a default. One pass; time grows with the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from regime_trading.core.commands.catalogue import ALIASES, BY_VERB, ROUTES
from regime_trading.core.commands.faults import Code, nearest, shown, wrong
from regime_trading.core.commands.spec import CommandSpec, KeySpec
from regime_trading.core.commands.values import Kind, Raw, Span, Type, Value, read_value

MAX_LENGTH = 2_000  #: code points
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff0-\ufffb\ufffe\uffff"
    "\ud800-\udfff]"
)
_BLANKS = re.compile(" *")
_KEY = re.compile(r"([A-Za-z][A-Za-z0-9._-]*):")
_BARE = re.compile(r"[!#-~]*")
_BARE_VALUE = re.compile(r"[!#-+\--~]*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)')
_ESCAPE = re.compile(r"\\(.)")
_PLACE = re.compile(r"[#@][A-Za-z0-9][A-Za-z0-9._/-]{0,139}|/?([a-z]+)(?:/[A-Za-z0-9._-]{1,140}){0,6}")


@dataclass(frozen=True, slots=True)
class Pair:
    """A key and its values."""

    key: str
    values: tuple[Value, ...]
    span: Span = field(default=Span(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class Spans:
    """Where the parts of a command stood; ``object`` is None where it was left out."""

    verb: Span
    object: Span | None
    flags: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """A command that fits the catalogue. Two are equal where they say the same, however they were spelled.

    Parameters
    ----------
    verb, object : str
        After aliases and defaults; a free object in its normal form (``/overview``, ``#id``), empty where there is
        none.
    pairs : tuple of Pair
        As typed, in order.
    flags : tuple of str
        Without ``--``.
    resolved_from : str
        What was typed, where it was an alias or left the object out; to be shown as ``→``.
    spans : Spans
    """

    verb: str
    object: str
    pairs: tuple[Pair, ...]
    flags: tuple[str, ...]
    resolved_from: str = field(default="", compare=False)
    spans: Spans = field(default=Spans(Span(0, 0), None, ()), compare=False)

    @property
    def name(self) -> str:
        """Verb and object as they are typed."""
        return f"/{self.verb} {self.object}".rstrip()

    def values(self, key: str) -> tuple[Value, ...]:
        """Values of a key; none where it was not given."""
        return next((pair.values for pair in self.pairs if pair.key == key), ())

    def text(self, key: str) -> str:
        """The one value of a key as text; empty where it was not given."""
        values = self.values(key)
        return values[0].text if values else ""

    def render(self) -> str:
        """The command in its normal form, which parses to an equal one."""
        pairs = [f"{pair.key}:{','.join(value.render() for value in pair.values)}" for pair in self.pairs]
        return " ".join([self.name, *pairs, *(f"--{flag}" for flag in self.flags)])

    def plain(self) -> dict[str, Any]:
        """As JSON values, without places."""
        return {
            "verb": self.verb,
            "object": self.object,
            "pairs": [[p.key, [[v.kind.value, v.text] for v in p.values]] for p in self.pairs],
            "flags": list(self.flags),
            "resolved_from": self.resolved_from,
        }


def parse(text: str) -> Command:
    """The command a text is.

    Raises
    ------
    ParseError
        The first thing that is wrong, from the left; a key that is missing comes last.
    """
    start = _start(text)
    head = _BARE.match(text, start + 1)
    assert head is not None
    verb, at = head[0], head.end()
    _require_blank(text, at)
    noun, at = _object(text, at)
    spec, place, resolved_from = _resolve(verb, start, noun, len(text.rstrip(" ")))
    pairs, at = _pairs(text, at, spec)
    flags, spans = _flags(text, at, spec)
    _require_keys(spec, pairs, len(text.rstrip(" ")))
    where = Spans(Span(start + 1, head.end()), None if noun is None else Span(noun.at, noun.end), spans)
    return Command(spec.verb, place, tuple(pairs.values()), flags, resolved_from, where)


def _start(text: str) -> int:
    """Where the slash is."""
    if len(text) > MAX_LENGTH:
        raise wrong(Code.TOO_LONG, f"expected at most {MAX_LENGTH} characters, found {len(text)}", MAX_LENGTH)
    if unseen := _UNSEEN.search(text):
        told = f"expected characters that can be seen, found U+{ord(unseen[0]):04X}"
        raise wrong(Code.BAD_CHARACTER, told, unseen.start())
    start = len(text) - len(text.lstrip(" "))
    if start == len(text):
        raise wrong(Code.EMPTY, "expected a command such as /help, found nothing", 0)
    if text[start] != "/":
        raise wrong(Code.NO_SLASH, "expected / before a command", start)
    return start


# --- words ----------------------------------------------------------------------------------------------------


def _skip(text: str, at: int) -> int:
    blanks = _BLANKS.match(text, at)
    assert blanks is not None
    return blanks.end()


def _require_blank(text: str, at: int, more: str = "") -> None:
    """Refuse what sticks to a word, a value or a closing quote."""
    if at == len(text) or text[at] == " " or (more and text[at] == more):
        return
    if text[at] == '"' or text[at - 1] == '"':
        raise wrong(Code.BAD_QUOTE, 'expected quotes around a whole value, \\" for a quote in it', at)
    raise wrong(Code.BAD_CHARACTER, f"expected plain ASCII outside of quotes, found {shown(text[at])}", at)


def _raw(text: str, at: int, bare: re.Pattern[str], more: str = "") -> Raw:
    """The quoted or bare word at a place."""
    opened = _QUOTED.match(text, at)
    if opened is None:
        word = bare.match(text, at)
        assert word is not None
        _require_blank(text, word.end(), more)
        return Raw(word[0], False, at, word.end())
    end = opened.end()
    if end == len(text):
        raise wrong(Code.BAD_QUOTE, "expected a closing quote, found the end", at)
    if text[end] != '"':
        raise wrong(Code.BAD_QUOTE, 'expected \\" or \\\\ after a backslash in quotes', end)
    _require_blank(text, end + 1, more)
    return Raw(_ESCAPE.sub(r"\1", opened[1]), True, at, end + 1)


def _object(text: str, at: int) -> tuple[Raw | None, int]:
    """The object after the verb, where there is one."""
    at = _skip(text, at)
    if at == len(text) or _KEY.match(text, at) or text.startswith("--", at):
        return None, at
    noun = _raw(text, at, _BARE)
    return noun, noun.end


# --- which command --------------------------------------------------------------------------------------------


def _resolve(verb: str, start: int, noun: Raw | None, end: int) -> tuple[CommandSpec, str, str]:
    """The command, its object in normal form, and what was typed where that differs."""
    said = "" if noun is None else noun.text
    typed = f"/{verb} {said}".rstrip()
    actual = ALIASES.get((verb, said))
    if actual is not None:
        spec = next(spec for spec in BY_VERB[actual[0]] if spec.object == actual[1])
        return spec, spec.object, typed
    specs = BY_VERB.get(verb)
    if specs is None:
        _unknown_verb(verb, start, noun, end)
    if specs[0].takes is not None:
        return specs[0], _free(specs[0].takes, noun, end), ""
    found = next((s for s in specs if (s.default if noun is None else s.object == said)), None)
    if found is None:
        raise _no_object(verb, [spec.object for spec in specs], noun, end)
    return found, found.object, typed if noun is None else ""


def _unknown_verb(verb: str, start: int, noun: Raw | None, end: int) -> NoReturn:
    objects = [said for other, said in ALIASES if other == verb]
    if objects:
        raise _no_object(verb, objects, noun, end)
    raise wrong(Code.UNKNOWN_VERB, f"unknown verb {shown(verb)}", start + 1, nearest(verb, BY_VERB))


def _no_object(verb: str, objects: list[str], noun: Raw | None, end: int) -> Exception:
    if noun is None:
        return wrong(Code.MISSING_OBJECT, f"/{verb} needs one of {', '.join(objects)}", end, objects[:3])
    told = f"/{verb} knows {', '.join(objects)}, not {shown(noun.text)}"
    return wrong(Code.UNKNOWN_OBJECT, told, noun.at, nearest(noun.text, objects))


def _free(takes: KeySpec, noun: Raw | None, end: int) -> str:
    """The free object of a command in its normal form."""
    names = takes.choices or tuple(BY_VERB)
    if noun is None:
        if not takes.required:
            return ""
        raise wrong(Code.MISSING_OBJECT, f"expected one of {', '.join(names)}", end, names[:3])
    if takes.source == "route":
        found = _PLACE.fullmatch(noun.text)
        if found and (found[1] is None or found[1] in ROUTES):
            return noun.text if found[1] is None else f"/{noun.text.removeprefix('/')}"
    elif noun.text in names:
        return noun.text
    told = f"expected one of {', '.join(names)}, found {shown(noun.text)}"
    raise wrong(Code.UNKNOWN_OBJECT, told, noun.at, nearest(noun.text, names))


# --- pairs and flags ------------------------------------------------------------------------------------------


def _pairs(text: str, at: int, spec: CommandSpec) -> tuple[dict[str, Pair], int]:
    pairs: dict[str, Pair] = {}
    while (at := _skip(text, at)) < len(text) and not text.startswith("--", at):
        named = _KEY.match(text, at)
        if named is None:
            loose = _raw(text, at, _BARE)
            raise wrong(Code.LOOSE_WORD, f"expected key:value, found {shown(loose.text)}", at)
        key = _known_key(spec, named[1], at, pairs)
        values = tuple(_values(text, named.end(), key))
        pairs[key.name] = Pair(key.name, values, Span(at, values[-1].span.end))
        at = values[-1].span.end
    return pairs, at


def _known_key(spec: CommandSpec, name: str, at: int, pairs: dict[str, Pair]) -> KeySpec:
    key = spec.key(name)
    if key is None:
        near = nearest(name, [key.name for key in spec.keys])
        raise wrong(Code.UNKNOWN_KEY, f"{spec.name} has no key {shown(name)}", at, near)
    if name in pairs:
        raise wrong(Code.DUPLICATE_KEY, f"key {shown(name)} was given before", at)
    return key


def _values(text: str, at: int, key: KeySpec) -> Iterator[Value]:
    while True:
        raw = _raw(text, at, _BARE_VALUE, ",")
        if not (raw.text or raw.quoted):
            raise wrong(Code.MISSING_VALUE, f"expected a value of {key.name}, found none", at)
        yield read_value(raw, key.type, key.choices)
        if not text.startswith(",", raw.end):
            return
        at = raw.end + 1
        if not key.many:
            raise wrong(Code.TOO_MANY_VALUES, f"{key.name} takes one value; quote a text with commas", at)


def _flags(text: str, at: int, spec: CommandSpec) -> tuple[tuple[str, ...], tuple[Span, ...]]:
    spans: dict[str, Span] = {}
    while (at := _skip(text, at)) < len(text):
        word = _raw(text, at, _BARE)
        if not word.text.startswith("--") or word.quoted:
            code = Code.PAIR_AFTER_FLAG if _KEY.match(text, at) else Code.LOOSE_WORD
            raise wrong(code, f"expected nothing but flags after a flag, found {shown(word.text)}", at)
        flag = word.text[2:]
        if flag not in spec.flags:
            told = f"{spec.name} has no flag {shown(word.text)}"
            raise wrong(Code.UNKNOWN_FLAG, told, at, [f"--{near}" for near in nearest(flag, spec.flags)])
        if flag in spans:
            raise wrong(Code.DUPLICATE_FLAG, f"flag {shown(word.text)} was given before", at)
        spans[flag] = Span(at, word.end)
        at = word.end
    return tuple(spans), tuple(spans.values())


def _require_keys(spec: CommandSpec, pairs: dict[str, Pair], end: int) -> None:
    missing = [key.name for key in spec.keys if key.required and key.name not in pairs]
    if missing:
        raise wrong(Code.MISSING_KEY, f"{spec.name} needs {', '.join(missing)}", end, missing[:3])
    if spec.open_keys and not any("." in name for name in pairs):
        told = f"{spec.name} needs a key of the configuration, such as risk.gross:150%"
        raise wrong(Code.MISSING_KEY, told, end)


__all__ = ["MAX_LENGTH", "Command", "Kind", "Pair", "Spans", "Type", "parse"]
