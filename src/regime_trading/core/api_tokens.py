"""How an API token is written, ``rt_<id>_<secret>_<checksum>``, and what it may be made for.

A scanner knows one when it sees it, and a typo is told before anything is looked up.
"""

from __future__ import annotations

import base64
import re
import zlib
from dataclasses import dataclass, field

from regime_trading.core.access import MATRIX, Permission, Principal, covers, held
from regime_trading.core.errors import BadInput

PREFIX = "rt"
LONGEST_NS = 90 * 24 * 3600 * 1_000_000_000
ID_BYTES, SECRET_BYTES = 7, 32
_TEXT = re.compile(r"rt_([a-z2-7]{10})_([a-z2-7]{52})_([0-9a-f]{8})")


@dataclass(frozen=True, slots=True)
class TokenText:
    """The parts of a token: ``token_id`` is no secret."""

    token_id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """The token as its holder has it; shown once, when it is made."""
        body = f"{PREFIX}_{self.token_id}_{self.secret}"
        return f"{body}_{_checksum(body)}"


def token_from(id_entropy: bytes, secret_entropy: bytes) -> TokenText:
    """A new token of 7 and 32 random bytes."""
    if (len(id_entropy), len(secret_entropy)) != (ID_BYTES, SECRET_BYTES):
        raise BadInput(expected=f"{ID_BYTES} and {SECRET_BYTES} random bytes", found="others", where="token")
    return TokenText(_base32(id_entropy)[:10], _base32(secret_entropy))


def parse_token(text: str) -> TokenText | None:
    """The parts of a token; None where it is none, before anything is looked up."""
    found = _TEXT.fullmatch(text) if len(text) <= 120 else None
    if found is None or _checksum(text.rpartition("_")[0]) != found[3]:
        return None
    return TokenText(found[1], found[2])


def check_token(
    maker: Principal, firm_id: str, permissions: frozenset[Permission], accounts: frozenset[str] | None
) -> None:
    """Refuse a token that is asked to do more than its maker may.

    Raises
    ------
    BadInput
        A permission that needs a person, or that the maker does not have over these accounts; no permission at all; an
        account the maker does not reach.
    """
    if not permissions or accounts == frozenset():
        raise BadInput(expected="at least one permission and account", found="none", where="token")
    own = {h.permission for h in held(maker) if h.firm_id == firm_id and "second_factor" not in h.needs}
    for permission in sorted(permissions):
        if MATRIX[permission].by_person:
            raise BadInput(expected="permissions of programs", found=permission, where="permissions")
        if permission not in own:
            raise BadInput(expected="permissions of your own", found=permission, where="permissions")
    near = [grant for grant in maker.grants if grant.firm_id == firm_id]
    for account in sorted(accounts or ()):
        if not any(covers(grant, account) for grant in near):
            raise BadInput(expected="accounts of your own", found=account, where="accounts")


def check_expiry(now_ns: int, expires_ns: int) -> int:
    """``expires_ns`` if it lies ahead, at most 90 days.

    Raises
    ------
    BadInput
        It does not.
    """
    if not 0 < expires_ns - now_ns <= LONGEST_NS:
        raise BadInput(expected="an expiry within 90 days from now", found="another", where="expires")
    return expires_ns


def _base32(entropy: bytes) -> str:
    return base64.b32encode(entropy).decode().rstrip("=").lower()


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
