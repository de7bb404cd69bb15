"""What is wrong with the text of a command, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from regime_trading.core.errors import RegimeError

NEAREST = 3  #: names offered in the place of one that is not known
_COMPARED = 40  #: characters of an unknown name that are compared


class Code(StrEnum):
    """Every way in which the text of a command can be wrong."""

    EMPTY = "empty"
    NO_SLASH = "no_slash"
    TOO_LONG = "too_long"
    BAD_CHARACTER = "bad_character"
    BAD_QUOTE = "bad_quote"
    UNKNOWN_VERB = "unknown_verb"
    MISSING_OBJECT = "missing_object"
    UNKNOWN_OBJECT = "unknown_object"
    LOOSE_WORD = "loose_word"
    UNKNOWN_KEY = "unknown_key"
    DUPLICATE_KEY = "duplicate_key"
    MISSING_KEY = "missing_key"
    MISSING_VALUE = "missing_value"
    TOO_MANY_VALUES = "too_many_values"
    BAD_VALUE = "bad_value"
    BAD_NUMBER = "bad_number"
    BAD_UNIT = "bad_unit"
    BAD_DURATION = "bad_duration"
    BAD_DATE = "bad_date"
    UNKNOWN_FLAG = "unknown_flag"
    DUPLICATE_FLAG = "duplicate_flag"
    PAIR_AFTER_FLAG = "pair_after_flag"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    Parameters
    ----------
    code : Code
    message : str
        What was expected and what was found.
    at : int
        Where the caret goes: characters (Unicode code points) before it, from 0.
    suggestions : tuple of str
        Legal names nearest to the one that was found, at most three; never used by themselves.
    """

    code: Code
    message: str
    at: int
    suggestions: tuple[str, ...] = ()


class ParseError(RegimeError):
    """Text that is no command; ``fault`` says why and where."""

    exit_code = 2

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(f"column {fault.at + 1}: {fault.message}")


def wrong(code: Code, message: str, at: int, suggestions: Iterable[str] = ()) -> ParseError:
    """The error of one fault."""
    return ParseError(Fault(code, message, at, tuple(suggestions)))


def shown(text: str) -> str:
    """What was found, cut short, in quotes."""
    return repr(text if len(text) <= _COMPARED else f"{text[:_COMPARED]}…")


def nearest(word: str, names: Iterable[str]) -> tuple[str, ...]:
    """The three of ``names`` nearest to ``word``, the nearest first."""
    known = sorted(set(names))
    return tuple(difflib.get_close_matches(word[:_COMPARED], known, n=NEAREST, cutoff=0.0))
