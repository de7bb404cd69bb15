"""Encryption at rest: AES-256-GCM under a key of the server."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from regime_trading.core.errors import CheckFailed

NONCE_BYTES = 12


class AesGcmSealer:
    """Encryption of small secrets.

    Parameters
    ----------
    key : bytes
        32 bytes.
    entropy : callable
        Random bytes, by their number.
    """

    def __init__(self, key: bytes, entropy: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._box, self._entropy = AESGCM(key), entropy

    def seal(self, plain: bytes, bound: bytes) -> bytes:
        """Nonce and ciphertext; ``bound`` is what the row it is for says of itself."""
        nonce = self._entropy(NONCE_BYTES)
        return nonce + self._box.encrypt(nonce, plain, bound)

    def open(self, sealed: bytes, bound: bytes) -> bytes:
        """What was sealed.

        Raises
        ------
        CheckFailed
            It was altered, moved to another row, or sealed under another secret of the server.
        """
        try:
            return self._box.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
        except (InvalidTag, ValueError) as error:
            raise CheckFailed("a sealed secret: the server's secret does not open it") from error
