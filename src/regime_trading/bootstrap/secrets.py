"""The secret of the server, and the keys made of it: one for each purpose, so that none can stand in for another.

It is ``REGIME_SECRET`` (base64 or hex of at least 32 random bytes), else a file ``secret`` in the folder of private
keys, made with the first use. Whoever loses it loses every session, token, link and authenticator; passwords and
passkeys stay.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from regime_trading.adapters.disk import sync
from regime_trading.bootstrap import given_secret, keys_folder
from regime_trading.core.errors import BadInput

FILE = "secret"
BYTES = 32
_MOST_BYTES = 4096
_FEWEST_DIFFERENT = 20  #: of 32 random bytes fewer than this differ once in 10^12 times
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
_EXPECTED = f"base64 or hex of at least {BYTES} random bytes (openssl rand -base64 {BYTES})"


class Purpose(StrEnum):
    """What a key is for."""

    PEPPER = "pepper"  #: hashes of cookies, tokens, links and recovery codes
    SEALING = "sealing"  #: seeds of authenticators at rest
    PREVIEWS = "previews"  #: signatures of previewed commands


@dataclass(frozen=True, slots=True)
class ServerSecret:
    """The secret; it is shown nowhere."""

    value: bytes = field(repr=False)

    def key(self, purpose: Purpose) -> bytes:
        """32 bytes for one purpose (HKDF-SHA256, RFC 5869)."""
        return HKDF(SHA256(), BYTES, salt=None, info=f"regime-trading/{purpose.value}/v1".encode()).derive(
            self.value
        )


def server_secret() -> ServerSecret:
    """The secret of this server.

    Raises
    ------
    BadInput
        One that is short, known or not random, a file that others may read, or no folder to keep one in. What it is is
        never said.
    """
    given = given_secret()
    if given is not None:
        return ServerSecret(decoded(given, "REGIME_SECRET"))
    folder, may_make = keys_folder()
    return ServerSecret(_of_folder(folder.expanduser().absolute(), may_make))


def decoded(text: str, where: str) -> bytes:
    """The bytes of a secret as it is written.

    Raises
    ------
    BadInput
        It is none, too short, or not random.
    """
    plain = text.strip()
    try:
        value = bytes.fromhex(plain) if _HEX.fullmatch(plain) else _base64(plain)
    except (ValueError, binascii.Error):
        raise BadInput(expected=_EXPECTED, found="something else", where=where) from None
    if len(value) < BYTES:
        raise BadInput(expected=_EXPECTED, found=f"{len(value)} bytes", where=where)
    if len(set(value)) < _FEWEST_DIFFERENT or all(32 <= byte < 127 or byte in b"\r\n\t" for byte in value):
        raise BadInput(expected=_EXPECTED, found="bytes that are not random", where=where)
    if _rises(value):
        raise BadInput(expected=_EXPECTED, found="a sequence", where=where)
    return value


def _base64(text: str) -> bytes:
    standard = text.translate(str.maketrans("-_", "+/")).rstrip("=")
    return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)


def _rises(value: bytes) -> bool:
    """Whether each byte follows from the one before by the same step."""
    return len({(after - before) % 256 for before, after in pairwise(value)}) == 1


def _of_folder(folder: Path, may_make: bool) -> bytes:
    if not folder.exists() and may_make:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not folder.is_dir():
        raise BadInput(expected="an existing folder of keys (REGIME_KEYS)", found="none", where=str(folder))
    _require_private(folder, 0o700)
    path = folder / FILE
    if not path.exists():
        _make(path)
    _require_private(path, 0o600)
    with path.open("rb") as file:
        return decoded(file.read(_MOST_BYTES).decode("ascii", errors="replace"), str(path))


def _make(path: Path) -> None:
    """A new secret, whole and durable; where another process was faster, its secret stays."""
    temporary = path.with_name(f".tmp-{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(base64.b64encode(secrets.token_bytes(BYTES)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink(missing_ok=True)
        sync(path.parent)
    except OSError as error:
        raise BadInput(
            expected="a folder that takes a new secret", found=str(error.strerror), where=str(path)
        ) from error


def _require_private(path: Path, widest: int) -> None:
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & ~widest or found.st_uid != os.geteuid():
        who = "" if found.st_uid == os.geteuid() else f", of user {found.st_uid}"
        raise BadInput(expected=f"mode {widest:04o} of your own", found=f"{mode:04o}{who}", where=str(path))
