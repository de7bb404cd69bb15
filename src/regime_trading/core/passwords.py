"""Which passwords are accepted: long ones that are not the first to be guessed. No rules of composition (ASVS 6.2)."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

from regime_trading.core.errors import BadInput

SHORTEST, LONGEST = 12, 128
_FEWEST_LETTERS = 5  #: different characters
_WORD = 4  #: parts of a login or name this long may not be in the password
_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "azertyuiop",
)
_STEPS = frozenset(pair for row in _ROWS for one in (row, row[::-1]) for pair in pairwise(one))
_LEET = str.maketrans("@4310$57!", "aaeiossti")
_WORDS = """
a abc access admin administrator alpha andrew angel apple asdf ashley autumn baby bailey banana
baseball basketball batman battery batterystaple beautiful biteme blink buster butterfly change
changeme charlie cheese chelsea chocolate computer cookie correct daniel default dragon family
flower football forever freedom friends fuckyou george ginger hannah hello hockey horse hunter i
iloveyou internet is jennifer jessica jordan joshua killer letmein liverpool login london love
lovely loveme maggie master matrix matthew me merlin michael michelle monkey monster mustang my
naruto new nicole nothing old pass passphrase passw passwd password pepper pokemon princess purple
qazwsx qwer qwert qwerty regime robert root samsung secret secure server shadow silver soccer spring
staple starwars summer sunshine superman system temp temporary test testing the thomas tigger trader
trading trustno user welcome whatever william winter wizard wolf xxx you zaq zxcvbnm
"""
#: What the commonest passwords are made of (public lists of leaked ones); a password that is only these, figures and
#: marks is one of theirs.
COMMON = frozenset(_WORDS.split())


def normal_password(text: str) -> str:
    """The password as it is hashed: the same characters whichever keyboard made them (NFKC, NIST SP 800-63B)."""
    return unicodedata.normalize("NFKC", text)


def check_password(text: str, login: str, name: str) -> str:
    """The normalised password, if it is accepted.

    Raises
    ------
    BadInput
        Saying what is wrong with it, without repeating it.
    """
    password = normal_password(text)
    for found, expected in (
        (_length(password), f"{SHORTEST} to {LONGEST} characters"),
        (_personal(password, login, name), "a password without the login or the name in it"),
        (_simple(password), "more than a sequence or a repetition"),
        (_common(password), "a password that is not among the commonest"),
    ):
        if found:
            raise BadInput(expected=expected, found=found, where="password")
    return password


def _length(password: str) -> str:
    return "" if SHORTEST <= len(password) <= LONGEST else f"{len(password)} characters"


def _personal(password: str, login: str, name: str) -> str:
    folded = password.casefold()
    words = {login.casefold(), *re.split(r"[^\w]+|_", f"{login} {name}".casefold())}
    return "one of them" if any(len(word) >= _WORD and word in folded for word in words) else ""


def _simple(password: str) -> str:
    folded = password.casefold()
    if len(set(folded)) < _FEWEST_LETTERS:
        return f"{len(set(folded))} different characters"
    if any(folded == (folded[:n] * len(folded))[: len(folded)] for n in range(1, len(folded) // 2 + 1)):
        return "one part over and over"
    pairs = list(pairwise(folded))
    plain = sum(pair in _STEPS or pair[0] == pair[1] for pair in pairs)
    return "a sequence" if 4 * plain >= 3 * len(pairs) else ""


def _common(password: str) -> str:
    folded = password.casefold()
    middle = re.sub(r"^[^a-z]+|[^a-z]+$", "", folded)
    plain = (re.sub(r"[^a-z]", "", text) for text in (folded, middle.translate(_LEET)))
    return "one of them" if any(_made_of_common(letters) for letters in plain) else ""


def _made_of_common(letters: str) -> bool:
    """Whether the letters are nothing but common words in a row."""
    ends = {0}
    for end in range(1, len(letters) + 1):
        if any(letters[start:end] in COMMON for start in ends):
            ends.add(end)
    return 0 < len(letters) < 2 * SHORTEST and len(letters) in ends
