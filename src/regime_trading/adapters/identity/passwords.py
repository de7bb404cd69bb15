"""Passwords under Argon2id (RFC 9106)."""

from __future__ import annotations

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
        self._nobodys = self._hasher.hash(secrets.token_hex(16))

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
