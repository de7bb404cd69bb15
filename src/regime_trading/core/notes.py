"""Signed notes (C2SP signed-note v1): a text, a blank line, and one signature line per key, with Ed25519 (RFC 8032).

A key is known by its name and the first four bytes of ``SHA-256(name || 0x0A || 0x01 || public key)``. Reading is
strict: what was not written by :func:`sign` is refused, with the place.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from regime_trading.core.errors import BadInput

ED25519 = b"\x01"
_KEY_BYTES, _SIGNATURE_BYTES, _ID_BYTES = 32, 64, 4
_MAX_SIGNATURES = 16
_DASH = "— "
_NAME = re.compile(r"[^\s+]+")
_VKEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A named Ed25519 key to verify with.

    Parameters
    ----------
    name : str
        Without spaces and ``+``.
    raw : bytes [32]
        As RFC 8032 encodes it.

    Raises
    ------
    BadInput
        An illegal name or a key of another length.
    """

    name: str
    raw: bytes

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise BadInput(expected="a key name without spaces and '+'", found=repr(self.name), where="key")
        if len(self.raw) != _KEY_BYTES:
            raise BadInput(expected="32 bytes", found=f"{len(self.raw)}", where=f"key {self.name}")

    @property
    def key_id(self) -> bytes:
        """First four bytes of the hash of name, type and key."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.raw).digest()[:_ID_BYTES]

    @property
    def key_hash(self) -> str:
        """``key_id`` in hexadecimal, as files and lines name it."""
        return self.key_id.hex()

    @property
    def label(self) -> str:
        """``name+hash``."""
        return f"{self.name}+{self.key_hash}"

    @property
    def vkey(self) -> str:
        """Text to hand out: ``name+hash+base64(type || key)``."""
        return f"{self.label}+{to_base64(ED25519 + self.raw)}"

    def verifies(self, signature: bytes, text: bytes) -> bool:
        """Whether ``signature`` is this key's, over ``text``."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signer:
    """A named key to sign with. It never shows its private half."""

    name: str
    _private: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"Signer({self.public.label})"

    @property
    def public(self) -> PublicKey:
        """The key that verifies what this one signs."""
        return PublicKey(self.name, self._private.public_key().public_bytes_raw())

    def sign(self, text: bytes) -> bytes:
        """Signature over ``text``, 64 bytes; the same text gives the same bytes."""
        return self._private.sign(text)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line, unverified."""

    name: str
    key_id: bytes
    raw: bytes

    def is_of(self, key: PublicKey) -> bool:
        """Whether the line names ``key``; it says nothing of whether the signature holds."""
        return (self.name, self.key_id) == (key.name, key.key_id)


@dataclass(frozen=True, slots=True)
class Note:
    """A text and its signatures, as read."""

    text: bytes
    signatures: tuple[Signature, ...]


def sign(text: bytes, signers: Sequence[Signer]) -> bytes:
    """The note of ``text`` with one line per signer, in their order."""
    lines = (
        f"{_DASH}{signer.name} {to_base64(signer.public.key_id + signer.sign(text))}\n" for signer in signers
    )
    return text + b"\n" + "".join(lines).encode()


def read_note(data: bytes, where: str) -> Note:
    """Text and signature lines of a note; the signatures are not verified yet.

    Raises
    ------
    BadInput
        Anything but the exact form.
    """
    try:
        whole = data.decode()
    except UnicodeDecodeError as err:
        raise BadInput(expected="UTF-8 text", found=str(err), where=where) from err
    control = next((char for char in whole if char < " " and char != "\n"), None)
    if control is not None:
        raise BadInput(expected="no control characters", found=repr(control), where=where)
    text, found, rest = whole.rpartition("\n\n")
    lines = rest.split("\n")
    if not found or not text or lines[-1] or not 2 <= len(lines) <= _MAX_SIGNATURES + 1:
        raise BadInput(
            expected="a text, a blank line, and 1 to 16 signature lines that end in a newline",
            found=f"{len(lines) - 1} lines after the last blank one" if found else "no blank line",
            where=where,
        )
    signatures = (_signature(line, f"{where}, signature {n}") for n, line in enumerate(lines[:-1], 1))
    return Note(f"{text}\n".encode(), tuple(signatures))


def _signature(line: str, where: str) -> Signature:
    name, _, coded = line.removeprefix(_DASH).partition(" ")
    raw = from_base64(coded, _ID_BYTES + _SIGNATURE_BYTES, where)
    if line != f"{_DASH}{name} {coded}" or not _NAME.fullmatch(name):
        raise BadInput(expected=f"'{_DASH}name signature'", found=repr(line[:60]), where=where)
    return Signature(name, raw[:_ID_BYTES], raw[_ID_BYTES:])


def read_vkey(text: str, where: str) -> PublicKey:
    """The key a ``name+hash+base64`` text stands for.

    Raises
    ------
    BadInput
        Anything else, a key of another type, or a hash that is not this key's.
    """
    match = _VKEY.fullmatch(text)
    if match is None:
        raise BadInput(expected="name+hash+base64 of an Ed25519 key", found=repr(text[:80]), where=where)
    name, said, coded = match.groups()
    raw = from_base64(coded, 1 + _KEY_BYTES, where)
    if raw[:1] != ED25519:
        raise BadInput(expected="an Ed25519 key (type 01)", found=f"type {raw[:1].hex()}", where=where)
    key = PublicKey(name, raw[1:])
    if key.key_hash != said:
        raise BadInput(expected=f"key hash {key.key_hash}", found=said, where=where)
    return key


def to_base64(data: bytes) -> str:
    """Standard base64 (RFC 4648, section 4)."""
    return base64.b64encode(data).decode()


def from_base64(text: str, length: int, where: str) -> bytes:
    """``length`` bytes of their one base64 form.

    Raises
    ------
    BadInput
        Another length or another spelling.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as err:
        raise BadInput(expected=f"base64 of {length} bytes", found=repr(text[:60]), where=where) from err
    if len(data) != length or to_base64(data) != text:
        raise BadInput(expected=f"base64 of {length} bytes", found=f"{len(data)} bytes", where=where)
    return data
