"""Names and secrets of people: how they are made from entropy, written, and stored as hashes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable

from regime_trading.core.errors import BadInput

SECRET_BYTES = 32
RECOVERY_CODES, RECOVERY_BYTES = 10, 10
ID_BYTES = 10
Entropy = Callable[[int], bytes]

_USER_ID = re.compile(r"usr-[a-z2-7]{16}")
_LOGIN = re.compile(r"[a-z0-9][a-z0-9._+-]{0,63}(@[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*)?")


def id_from(prefix: str, entropy: bytes) -> str:
    """``usr-…`` or ``ses-…`` of 10 random bytes."""
    if len(entropy) != 10:
        raise BadInput(expected="10 random bytes", found=f"{len(entropy)} bytes", where=prefix)
    return f"{prefix}-{base64.b32encode(entropy).decode().lower()}"


def secret_from(entropy: bytes) -> str:
    """A secret as text: base32 of 32 random bytes, lower case, without padding."""
    if len(entropy) != SECRET_BYTES:
        raise BadInput(expected=f"{SECRET_BYTES} random bytes", found=f"{len(entropy)} bytes", where="secret")
    return base64.b32encode(entropy).decode().rstrip("=").lower()


def recovery_code_from(entropy: bytes) -> str:
    """``abcd-efgh-ijkl-mnop`` of 10 random bytes."""
    text = id_from("r", entropy)[2:]
    return "-".join(text[n : n + 4] for n in range(0, 16, 4))


def keyed_hash(pepper: bytes, purpose: str, secret: str) -> str:
    """How a random secret is stored: HMAC-SHA256 under a key of the server, apart for each purpose."""
    return hmac.new(pepper, f"{purpose}:{secret}".encode(), hashlib.sha256).hexdigest()


def plain_recovery_code(text: str) -> str:
    """A recovery code as typed, without blanks and dashes, lower case."""
    return re.sub(r"[\s-]", "", text).lower()


def require_user_id(text: str) -> str:
    """``text`` if it is the id of a user.

    Raises
    ------
    BadInput
        Anything else.
    """
    if not _USER_ID.fullmatch(text):
        raise BadInput(
            expected="a user id such as usr-abcdefgh23456777", found=repr(text[:60]), where="user_id"
        )
    return text


def normal_login(text: str) -> str | None:
    """A login as it is looked up: lower case, no blanks around it; None where it can be nobody's."""
    login = unicodedata.normalize("NFKC", text[:200]).strip().lower()
    return login if _LOGIN.fullmatch(login) and len(login) <= 120 else None


def require_login(text: str) -> str:
    """A new login, normalised.

    Raises
    ------
    BadInput
        No e-mail address and no name of plain letters, digits, ``. _ + -``.
    """
    found = normal_login(text)
    if found is None:
        raise BadInput(
            expected="an e-mail address or a name of a-z, 0-9 and . _ + -",
            found=repr(text[:60]),
            where="login",
        )
    return found
