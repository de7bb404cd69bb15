"""People in the record: pseudonyms, shortened addresses, and free text that names nobody and holds no secret.

An entry can never be changed, so what must be erasable may not get into one. The record says ``u-…``; whose that is,
only the table of actors knows, under a key of its own (``adapters.database.actors``).
"""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass

from regime_trading.core.errors import BadInput

MAX_TEXT = 500
MASK = "[masked]"
_PSEUDONYM = re.compile(r"u-[a-z2-7]{16}")
_EMAIL = re.compile(r"[^\s@<>\"'(),;:]+@[^\s@<>\"'(),;:]+")
_UUID = r"(?!\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b)"
_TOKEN = re.compile(
    r"-----BEGIN|\bBearer\s+\S+|\beyJ[\w-]{8,}"
    r"|\b(?:sk|pk|rk|gh[opsu]|github_pat|xox[abprs]|glpat|AKIA|ASIA)[-_]?[A-Za-z0-9_-]{12,}"
    r"|\b(?:password|passwd|secret|token|api[_-]?key)\s*[:=]\s*\S+"
    rf"|{_UUID}\b(?=[A-Za-z0-9+/_=-]*[A-Za-z])(?=[A-Za-z0-9+/_=-]*\d)[A-Za-z0-9+/_=-]{{32,}}",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ActorName:
    """Whom a pseudonym stands for. ``erased``: nobody can tell any more; ``subject``, ``name`` and ``email`` are empty.

    Parameters
    ----------
    pseudonym : str
        ``u-`` and 16 base32 digits.
    subject : str
        What identifies the person where they came in (``local:mary``).
    name, email : str
        As shown to the operator; empty where not known.
    created_ns : int
        UTC nanoseconds.
    """

    pseudonym: str
    subject: str
    name: str
    email: str
    created_ns: int
    erased: bool = False


def pseudonym_from(entropy: bytes) -> str:
    """Pseudonym made of 10 random bytes.

    Raises
    ------
    BadInput
        Another number of bytes.
    """
    if len(entropy) != 10:
        raise BadInput(expected="10 random bytes", found=f"{len(entropy)} bytes", where="pseudonym")
    return f"u-{base64.b32encode(entropy).decode().lower()}"


def require_pseudonym(text: str) -> str:
    """``text`` if it is a pseudonym.

    Raises
    ------
    BadInput
        Anything else.
    """
    if not _PSEUDONYM.fullmatch(text):
        raise BadInput(expected="a pseudonym such as u-abcdefgh23456777", found=repr(text), where="actor")
    return text


def plain_name(text: str, where: str) -> str:
    """Name of a subject: one printable line of 1 to 200 characters.

    Raises
    ------
    BadInput
        Anything else.
    """
    if not (text and text.isprintable() and len(text) <= 200):
        raise BadInput(expected="a name of 1 to 200 printable characters", found=repr(text[:60]), where=where)
    return text


def ip_prefix(address: str) -> str:
    """Network of an address that is kept in its place: /24 of IPv4, /48 of IPv6; an IPv4 address inside an IPv6 one
    counts as IPv4.

    Raises
    ------
    BadInput
        Text that is no address.
    """
    try:
        found = ipaddress.ip_address(address.split("%")[0])
    except ValueError as error:
        raise BadInput(expected="an IP address", found=repr(address[:60]), where="ip") from error
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(ipaddress.ip_network((found, 24 if found.version == 4 else 48), strict=False))


def plain_text(text: str, where: str, most: int = MAX_TEXT) -> str:
    """Free text that may go into the record: stripped, at most ``most`` characters, without e-mail addresses or
    secrets.

    Raises
    ------
    BadInput
        Saying what must go, without repeating it.
    """
    said = text.strip()
    if len(said) > most:
        raise BadInput(expected=f"at most {most} characters", found=str(len(said)), where=where)
    if not said.isprintable():
        raise BadInput(expected="printable text of one line", found="control characters", where=where)
    for pattern, what in ((_EMAIL, "an e-mail address"), (_TOKEN, "what looks like a key or a token")):
        if pattern.search(said):
            raise BadInput(
                expected="text that can stay in the record for ever: no e-mail addresses, keys or tokens",
                found=what,
                where=where,
            )
    return said


def masked_text(text: str) -> tuple[str, bool]:
    """Text of a machine that may quote a person's file: what :func:`plain_text` refuses is masked, too long text is
    cut. Returns the text and whether anything was masked."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    shown, n = _TOKEN.subn(MASK, shown)
    shown, m = _EMAIL.subn(MASK, shown)
    return (shown if len(shown) <= MAX_TEXT else shown[: MAX_TEXT - 1] + "…"), n + m > 0
