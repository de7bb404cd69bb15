"""Time-based one-time codes (RFC 6238): six digits, 30 seconds, one step of tolerance."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable

import pyotp
from pyotp.exceptions import OTPVerificationError

_CODE = re.compile(r"[0-9]{6}")
_SEED_BYTES = 20


class PyotpTotp:
    """One-time codes.

    Parameters
    ----------
    issuer : str
        Shown by the authenticator.
    entropy : callable
        Random bytes, by their number.
    """

    def __init__(
        self, issuer: str = "Regime Trading", entropy: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._issuer, self._entropy = issuer, entropy

    def seed(self) -> str:
        """160 random bits, base32."""
        return base64.b32encode(self._entropy(_SEED_BYTES)).decode()

    def uri(self, seed: str, login: str) -> str:
        """``otpauth://…`` for the QR code."""
        return pyotp.TOTP(seed).provisioning_uri(name=login, issuer_name=self._issuer)

    def step_of(self, seed: str, code: str, now_ns: int) -> int | None:
        """Time step of a code that is valid now, one step early or late; None of any other."""
        plain = code.replace(" ", "")
        if not _CODE.fullmatch(plain):
            return None
        try:
            return pyotp.TOTP(seed).verify_and_get_timecode(plain, for_time=now_ns // 10**9, valid_window=1)
        except OTPVerificationError:
            return None
