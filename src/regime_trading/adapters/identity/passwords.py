"""Passwords under Argon2id (RFC 9106)."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError


@dataclass(frozen=True, slots=True)
class Cost:
    """How much work a password is: memory in KiB, passes, lanes."""

    memory_kib: int = 64 * 1024
    passes: int = 3
    lanes: int = 1


class Argon2Passwords:
    """Hashing of passwords.

    Parameters
    ----------
    cost : Cost
        64 MiB, three passes, one lane; tests take less.
    """

    def __init__(self, cost: Cost = Cost()) -> None:
        self._hasher = PasswordHasher(cost.passes, cost.memory_kib, cost.lanes)
        self._nobodys = _nobodys(cost)

    def hash(self, password: str) -> str:
        """A salted hash with the parameters in it."""
        return self._hasher.hash(password)

    def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password fits; without a hash the same work is done, and the answer is False."""
        try:
            return self._hasher.verify(stored or self._nobodys, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False

    def is_dated(self, stored: str) -> bool:
        """Whether a hash was made with other parameters."""
        return self._hasher.check_needs_rehash(stored)


def _nobodys(cost: Cost) -> str:
    """A hash of no password: as much work to verify as a real one, none to make."""
    salt, digest = (base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32))
    return f"$argon2id$v=19$m={cost.memory_kib},t={cost.passes},p={cost.lanes}${salt}${digest}"
