"""What may follow what was typed: verb, object, missing keys, values; only what this person's roles allow.

Pure: candidates come as arguments. Order: what begins as typed, then what this person used lately, then what
contains the letters in their order; accounts in scope first. Nothing is completed into being executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from regime_trading.core.access import MATRIX, Permission, Principal, Role, held
from regime_trading.core.commands.catalogue import BY_VERB, CATALOGUE, find_spec
from regime_trading.core.commands.faults import ParseError
from regime_trading.core.commands.grammar import MAX_LENGTH, parse
from regime_trading.core.commands.spec import CommandSpec, KeySpec
from regime_trading.core.commands.values import UNITS, Type, quoted

MOST = 50  #: completions at most
_TOKEN = re.compile(r'(?:"(?:[^"\\]|\\.)*"?|[^ "])+')
_PLAIN = re.compile(r"[!#-+\--~]+")


class What(StrEnum):
    """What a completion is."""

    VERB = "verb"
    OBJECT = "object"
    KEY = "key"
    VALUE = "value"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Candidates:
    """What there is to choose from.

    Parameters
    ----------
    values : mapping
        By source (``account``, ``rule``, ``run`` …), as typed; only what this person may see.
    scope : tuple of str
        Accounts that are on the screen; offered first.
    recent : mapping
        By source, and of verbs and objects by ``verb`` and ``object:<verb>``, the newest first (:func:`recent_of`).
    """

    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    scope: tuple[str, ...] = ()
    recent: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Completion:
    """One row: ``text`` goes in the place of code points ``start`` to ``end``. ``needs`` says which role is missing
    ("needs PM"); such a row is never inserted."""

    what: What
    text: str
    help: str
    start: int
    end: int
    required: bool = False
    needs: str = ""


def complete(text: str, principal: Principal, candidates: Candidates) -> tuple[Completion, ...]:
    """Rows for the text up to the caret; none where it is no command."""
    if not text.startswith("/") or len(text) > MAX_LENGTH:
        return ()
    words = [(found.start(), found[0]) for found in _TOKEN.finditer(text)]
    typing = (len(text), "") if text.endswith(" ") and not _open_quote(text) else words.pop()
    allowed = _allowed(principal)
    rows = _rows(words, typing, allowed, candidates)
    return tuple(row for row, _ in zip(rows, range(MOST), strict=False))


def named_elsewhere(text: str, principal: Principal) -> tuple[str, ...]:
    """Accounts that a text names in full, in firms of which this person knows nothing. A name without its firm, or in
    a firm of theirs, may be half typed: it names nothing yet."""
    words = (word for word in _TOKEN.findall(text[:MAX_LENGTH]) if word.startswith("account:"))
    names = (name.strip('"@') for word in words for name in word.removeprefix("account:").split(","))
    return tuple(name for name in names if _is_elsewhere(name, principal))


def _is_elsewhere(name: str, principal: Principal) -> bool:
    firm, _, account = name.partition("/")
    return bool(account) and firm not in principal.firms


def needs(spec: CommandSpec, principal: Principal) -> str:
    """Which role somebody lacks for a command, as ``needs PM``; empty where none."""
    return "" if _may(spec, _allowed(principal)) or spec.permission is None else _missing(spec.permission)


def offered(principal: Principal) -> tuple[CommandSpec, ...]:
    """Commands that somebody may use, in the order of the catalogue."""
    allowed = _allowed(principal)
    return tuple(spec for spec in CATALOGUE if _may(spec, allowed))


def recent_of(commands: Iterable[str]) -> dict[str, list[str]]:
    """What somebody used lately, by source, from their commands, the newest first; what no longer parses is left
    out."""
    found: dict[str, dict[str, None]] = {}
    for text in commands:
        try:
            command = parse(text)
        except ParseError:
            continue
        found.setdefault("verb", {})[command.verb] = None
        found.setdefault(f"object:{command.verb}", {})[command.object] = None
        spec = find_spec(command.verb, command.object)
        for pair in command.pairs:
            key = spec.key(pair.key)
            if key is not None and key.source:
                found.setdefault(key.source, {}).update(dict.fromkeys(value.text for value in pair.values))
    return {source: list(values) for source, values in found.items()}


# --- who ------------------------------------------------------------------------------------------------------


def _allowed(principal: Principal) -> frozenset[Permission]:
    return frozenset(one.permission for one in held(principal))


def _may(spec: CommandSpec, allowed: frozenset[Permission]) -> bool:
    return not spec.internal and (spec.permission is None or spec.permission in allowed)


def _missing(permission: Permission) -> str:
    """The least role that would do."""
    names = {Role.PM: "PM"}
    least = next(role for role in Role if role in MATRIX[permission].roles)
    return f"needs {names.get(least, least.value.capitalize())}"


# --- rows -----------------------------------------------------------------------------------------------------


def _rows(
    words: list[tuple[int, str]],
    typing: tuple[int, str],
    allowed: frozenset[Permission],
    candidates: Candidates,
) -> Iterator[Completion]:
    if not words:
        yield from _verbs(typing, allowed, candidates)
        return
    verb, rest = words[0][1][1:], words[1:]
    specs = BY_VERB.get(verb, ())
    takes = specs[0].takes if specs else None
    said = _noun(rest)
    if not rest and takes is not None:
        yield from _free(takes, typing, candidates)
    elif not rest and not _is_pair(typing[1]):
        yield from _objects(verb, typing, allowed, candidates)
    spec = next((s for s in specs if (s.default if said is None else s.object == said)), None)
    if spec is not None and _may(spec, allowed) and (rest or any(s.default for s in specs)):
        yield from _rest(spec, rest, typing, candidates)


def _noun(rest: list[tuple[int, str]]) -> str | None:
    return rest[0][1].strip('"') if rest and not _is_pair(rest[0][1]) else None


def _is_pair(word: str) -> bool:
    return ":" in word or word.startswith("--")


def _verbs(
    typing: tuple[int, str], allowed: frozenset[Permission], candidates: Candidates
) -> Iterator[Completion]:
    at, word = typing[0] + 1, typing[1][1:]
    open_ = [verb for verb, specs in BY_VERB.items() if any(_may(spec, allowed) for spec in specs)]
    for verb in _ranked(word, open_, candidates.recent.get("verb", ())):
        specs = BY_VERB[verb]
        told = specs[0].help if len(specs) == 1 else ", ".join(spec.object for spec in specs)
        yield Completion(What.VERB, verb, told, at, at + len(word))
    if word in BY_VERB and word not in open_ and not BY_VERB[word][0].internal:
        spec = BY_VERB[word][0]
        yield _closed(What.VERB, word, spec, at)


def _objects(
    verb: str, typing: tuple[int, str], allowed: frozenset[Permission], candidates: Candidates
) -> Iterator[Completion]:
    at, word = typing
    specs = {spec.object: spec for spec in BY_VERB.get(verb, ()) if spec.object}
    open_ = [noun for noun, spec in specs.items() if _may(spec, allowed)]
    for noun in _ranked(word, open_, candidates.recent.get(f"object:{verb}", ())):
        yield Completion(What.OBJECT, noun, specs[noun].help, at, at + len(word))
    if word in specs and word not in open_:
        yield _closed(What.OBJECT, word, specs[word], at)


def _closed(what: What, word: str, spec: CommandSpec, at: int) -> Completion:
    missing = "" if spec.permission is None else _missing(spec.permission)
    return Completion(what, word, spec.help, at, at + len(word), needs=missing)


def _free(takes: KeySpec, typing: tuple[int, str], candidates: Candidates) -> Iterator[Completion]:
    at, word = typing
    verbs = tuple(verb for verb, specs in BY_VERB.items() if not specs[0].internal)
    for name in _ranked(word, takes.choices or verbs, candidates.recent.get(takes.source, ())):
        yield Completion(What.OBJECT, name, "", at, at + len(word))


def _rest(
    spec: CommandSpec, rest: list[tuple[int, str]], typing: tuple[int, str], candidates: Candidates
) -> Iterator[Completion]:
    """Values of the key that is being typed, or keys and flags that are not there yet."""
    at, word = typing
    name, colon, value = word.partition(":")
    if colon:
        key = spec.key(name)
        if key is not None:
            yield from _values(key, at + len(name) + 1, value, candidates)
        return
    given = {other.partition(":")[0] for _, other in rest if _is_pair(other)}
    if not word.startswith("--"):
        keys = {key.name: key for key in spec.keys if key.name not in given}
        order = sorted(keys, key=lambda one: not keys[one].required)
        for one in _ranked(word, order):
            yield Completion(
                What.KEY, f"{one}:", keys[one].type.value, at, at + len(word), keys[one].required
            )
    for flag in _ranked(word, [f"--{flag}" for flag in spec.flags if f"--{flag}" not in given]):
        yield Completion(What.FLAG, flag, "", at, at + len(word))


def _values(key: KeySpec, at: int, said: str, candidates: Candidates) -> Iterator[Completion]:
    before, _, word = said.rpartition(",") if key.many else ("", "", said)
    at += len(said) - len(word)
    known = key.choices or candidates.values.get(key.source, ())
    taken = set(before.split(","))
    ranked = _ranked(word.lstrip("@#"), known, candidates.recent.get(key.source, ()), candidates.scope)
    for name in (one for one in ranked if one not in taken):
        text = name if _PLAIN.fullmatch(name) else quoted(name)
        yield Completion(What.VALUE, text, "", at, at + len(word))
    if key.type in (Type.LIMIT, Type.SHARE) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", word):
        for unit in UNITS if key.type is Type.LIMIT else UNITS[:-1]:
            yield Completion(What.VALUE, word + unit, "", at, at + len(word))


def _ranked(
    word: str, names: Iterable[str], recent: Sequence[str] = (), scope: Sequence[str] = ()
) -> list[str]:
    """``names`` that fit ``word``, each once: those that begin with it first, then those in scope, then those used
    lately, then in their own order."""
    lately = {name: n for n, name in reversed(list(enumerate(recent)))}
    near = set(scope)

    def order(name: str) -> tuple[bool, bool, int]:
        return not (word and name.startswith(word)), name not in near, lately.get(name, len(lately))

    return sorted((name for name in dict.fromkeys(names) if _contains(name, word)), key=order)


def _contains(name: str, word: str) -> bool:
    """Whether the letters of ``word`` are in ``name`` in their order."""
    letters = iter(name.lower())
    return all(letter in letters for letter in word.lower())


def _open_quote(text: str) -> bool:
    last = [found[0] for found in _TOKEN.finditer(text)][-1:]
    return bool(last) and text.endswith(last[0]) and last[0].count('"') % 2 == 1
