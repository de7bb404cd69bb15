"""Values of a command: numbers with units, durations, dates, references and words, each in one normal form.

Limits are fractions: ``1.5%``, ``150bp`` and ``0.015x`` are the same ``0.015``. A number without a unit is never
guessed at.
"""

from __future__ import annotations

import datetime as dt
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal
from enum import StrEnum

from regime_trading.core.commands.faults import Code, nearest, shown, wrong

UNITS = ("%", "bp", "x", "usd")
DAY_S = 86_400
_SHIFT = {"%": -2, "bp": -4, "x": 0, "usd": 0}
_EXACT = Context(prec=60)
_NUMBER = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]{1,12}))?")
_UNIT_LETTERS = string.ascii_letters + "%"
_CLOCK = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?")
_DURATION = re.compile(r"([0-9]{1,6})([mhdw])")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?Z)?")
_DATE_LIKE = re.compile(r"[0-9]{4}-.*")
_WHOLE = re.compile(r"[0-9]{1,15}")
_NAME = r"[a-z0-9-]{1,40}"
_ACCOUNT = re.compile(rf"@?({_NAME}(?:/{_NAME})?)")
_FIRM = re.compile(_NAME)
_REF = re.compile(r"#?([A-Za-z0-9][A-Za-z0-9._-]{0,139})")
_WORD = re.compile(r"[A-Za-z0-9^][A-Za-z0-9._/=^-]{0,139}")
_SECONDS = {"m": 60, "h": 3_600, "d": DAY_S, "w": 7 * DAY_S}
_LONGEST_S = 366 * DAY_S


class Kind(StrEnum):
    """What a value is."""

    TEXT = "text"  #: free text, always shown in quotes
    WORD = "word"
    FRACTION = "fraction"
    MONEY = "money"  #: US dollars
    WHOLE = "whole"
    DURATION = "duration"
    DATE = "date"
    ACCOUNT = "account"
    REF = "ref"  #: an id, without its ``#``


class Type(StrEnum):
    """What a key takes."""

    TEXT = "text"
    WORD = "word"
    CHOICE = "choice"
    ACCOUNT = "account"
    FIRM = "firm"
    ID = "id"
    LIMIT = "limit"  #: any value of a configuration; a number needs its unit
    SHARE = "share"  #: a fraction, ``%``, ``bp`` or ``x``
    WHOLE = "whole"
    DATE = "date"
    UNTIL = "until"  #: a date, or how long from now


@dataclass(frozen=True, slots=True)
class Span:
    """Place in the text: code points from ``start`` to before ``end``."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Raw:
    """One value as it was typed, quotes and escapes removed."""

    text: str
    quoted: bool
    at: int
    end: int


@dataclass(frozen=True, slots=True)
class Value:
    """One value in its normal form; where it stood does not count when values are compared."""

    kind: Kind
    text: str
    span: Span = field(default=Span(0, 0), compare=False)

    def render(self) -> str:
        """As a command spells it."""
        if self.kind is Kind.TEXT:
            return quoted(self.text)
        return self.text + {Kind.FRACTION: "x", Kind.MONEY: "usd"}.get(self.kind, "")


def quoted(text: str) -> str:
    """Text in quotes, as the grammar reads it back."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def read_value(raw: Raw, type_: Type, choices: tuple[str, ...] = ()) -> Value:
    """The value of ``raw`` where a key takes ``type_``.

    Raises
    ------
    ParseError
        A value that is none of its type.
    """
    if type_ is Type.CHOICE:
        return _choice(raw, choices)
    return _READERS[type_](raw)


def _value(raw: Raw, kind: Kind, text: str) -> Value:
    return Value(kind, text, Span(raw.at, raw.end))


def _text(raw: Raw) -> Value:
    if not raw.text.strip():
        raise wrong(Code.MISSING_VALUE, "expected some text, found none", raw.at)
    return _value(raw, Kind.TEXT, raw.text)


def _choice(raw: Raw, choices: tuple[str, ...]) -> Value:
    if raw.text not in choices:
        told = f"expected one of {', '.join(choices)}, found {shown(raw.text)}"
        raise wrong(Code.BAD_VALUE, told, raw.at, nearest(raw.text, choices))
    return _value(raw, Kind.WORD, raw.text)


def _shaped(pattern: re.Pattern[str], kind: Kind, expected: str) -> Callable[[Raw], Value]:
    """Reader of values that fit a pattern; its first group, if it has one, is what counts."""

    def read(raw: Raw) -> Value:
        fits = pattern.fullmatch(raw.text)
        if fits is None:
            raise wrong(Code.BAD_VALUE, f"expected {expected}, found {shown(raw.text)}", raw.at)
        return _value(raw, kind, fits[pattern.groups])

    return read


def _number(raw: Raw, units: tuple[str, ...]) -> Value:
    """A number with one of ``units``, as an exact decimal."""
    digits = raw.text.rstrip(_UNIT_LETTERS)
    unit, number = raw.text[len(digits) :], _NUMBER.fullmatch(digits)
    if number is None:
        told = f"expected a number of at most 15 digits and 12 decimals, found {shown(raw.text)}"
        raise wrong(Code.BAD_NUMBER, told, raw.at)
    if unit not in units:
        found = shown(unit) if unit else "none: a limit without a unit is never guessed"
        told = f"expected a unit ({', '.join(units)}), found {found}"
        raise wrong(Code.BAD_UNIT, told, raw.end - len(unit), nearest(unit, units))
    return _value(raw, Kind.MONEY if unit == "usd" else Kind.FRACTION, _normal(number[0], _SHIFT[unit]))


def _normal(number: str, shift: int) -> str:
    """Plain decimal text without needless zeros; there is no minus zero."""
    exact = Decimal(number).scaleb(shift, _EXACT)
    if not exact:
        return "0"
    text = format(exact, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _share(raw: Raw) -> Value:
    return _number(raw, ("%", "bp", "x"))


def _limit(raw: Raw) -> Value:
    """Any value of a configuration: quotes make it text; what begins like a number must be one."""
    if raw.quoted:
        return _text(raw)
    if _DURATION.fullmatch(raw.text):
        return _duration(raw)
    if _DATE_LIKE.fullmatch(raw.text):
        return _date(raw)
    if _CLOCK.fullmatch(raw.text):
        return _value(raw, Kind.WORD, raw.text)
    if raw.text[0] in "+-.0123456789":
        return _number(raw, UNITS)
    return _word(raw)


def _whole(raw: Raw) -> Value:
    if not _WHOLE.fullmatch(raw.text):
        told = f"expected a whole number of at most 15 digits, found {shown(raw.text)}"
        raise wrong(Code.BAD_NUMBER, told, raw.at)
    return _value(raw, Kind.WHOLE, str(int(raw.text)))


def _duration(raw: Raw) -> Value:
    said = _DURATION.fullmatch(raw.text)
    if said is None or not 0 < int(said[1]) * _SECONDS[said[2]] <= _LONGEST_S:
        told = f"expected a duration such as 30m, 4h, 2d or 1w, at most 366 days, found {shown(raw.text)}"
        raise wrong(Code.BAD_DURATION, told, raw.at)
    return _value(raw, Kind.DURATION, f"{int(said[1])}{said[2]}")


def _date(raw: Raw) -> Value:
    said = _DATE.fullmatch(raw.text)
    moment = None if said is None else _moment([int(part) for part in said.groups() if part is not None])
    if said is None or moment is None:
        told = f"expected a date such as 2026-12-01 or 2026-12-01T14:30Z, from 1970 to 2261, found {shown(raw.text)}"
        raise wrong(Code.BAD_DATE, told, raw.at)
    text = f"{moment:%Y-%m-%d}" if said[4] is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    return _value(raw, Kind.DATE, text)


def _moment(parts: list[int]) -> dt.datetime | None:
    try:
        moment = dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        return None
    return moment if 1970 <= moment.year <= 2261 else None


def _until(raw: Raw) -> Value:
    return _date(raw) if _DATE_LIKE.fullmatch(raw.text) else _duration(raw)


def instant_ns(value: Value, now_ns: int) -> int:
    """The instant a date or a duration from now means, UTC nanoseconds; a date alone is its first instant."""
    if value.kind is Kind.DURATION:
        return now_ns + int(value.text[:-1]) * _SECONDS[value.text[-1]] * 1_000_000_000
    moment = dt.datetime.fromisoformat(value.text)
    since = moment.replace(tzinfo=dt.UTC) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (since.days * DAY_S + since.seconds) * 1_000_000_000


_word = _shaped(_WORD, Kind.WORD, "a word of letters, digits and . _ - / = ^")
_READERS: Mapping[Type, Callable[[Raw], Value]] = {
    Type.TEXT: _text,
    Type.WORD: _word,
    Type.ACCOUNT: _shaped(_ACCOUNT, Kind.ACCOUNT, "an account (firm/account, or @account)"),
    Type.FIRM: _shaped(_FIRM, Kind.WORD, "a firm's name of a-z, 0-9 and -"),
    Type.ID: _shaped(_REF, Kind.REF, "an id (#id)"),
    Type.LIMIT: _limit,
    Type.SHARE: _share,
    Type.WHOLE: _whole,
    Type.DATE: _date,
    Type.UNTIL: _until,
}
