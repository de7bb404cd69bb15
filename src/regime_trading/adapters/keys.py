"""Private keys of firms, in a folder of their owner's, and the public ones beside the record.

One file per key, ``<firm>.<key hash>.key``, PEM (PKCS #8), encrypted where there is a passphrase. The folder is 0700,
the files 0600; wider ones are refused, as ssh does. Only :class:`regime_trading.core.notes.Signer` leaves this module.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from regime_trading.adapters.disk import sync
from regime_trading.core.audit import require_firm
from regime_trading.core.checkpoint import NotSigned, origin
from regime_trading.core.errors import BadInput
from regime_trading.core.notes import PublicKey, Signer, read_vkey
from regime_trading.core.ports import ArtifactStore

_FILE = re.compile(r"([a-z0-9-]{1,40}|_platform)\.([0-9a-f]{8})\.(key|retired)")
_MAX_KEY_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A private key there is: whose, its hash, and whether it still signs."""

    firm_id: str
    key_hash: str
    active: bool


class KeyFolder:
    """Private keys in one folder.

    Parameters
    ----------
    folder : Path
        Where they lie.
    artifacts : Path
        Where they may not lie.
    may_make : bool
        Whether the folder may be made where it is missing.
    passphrase : str, optional
        Under which the files are encrypted; plain files otherwise.
    """

    def __init__(
        self, folder: Path, *, artifacts: Path, may_make: bool = False, passphrase: str | None = None
    ) -> None:
        self._folder, self._artifacts = folder.expanduser().absolute(), artifacts.absolute()
        self._may_make = may_make
        self._passphrase = passphrase.encode() if passphrase else None

    def __repr__(self) -> str:
        return f"KeyFolder({self._folder})"

    @property
    def name(self) -> str:
        """Where they are."""
        return str(self._folder)

    def held(self, firm_id: str | None = None) -> tuple[HeldKey, ...]:
        """Keys of a firm (of all where None), by firm and hash; none where there is no folder yet.

        Raises
        ------
        NotSigned
            A folder that others may look into.
        """
        if not self._folder.exists() and self._may_make:
            return ()
        self._require_private_folder()
        matches = (_FILE.fullmatch(path.name) for path in sorted(self._folder.iterdir()))
        return tuple(
            HeldKey(match[1], match[2], match[3] == "key")
            for match in matches
            if match and firm_id in (None, match[1])
        )

    def signer(self, firm_id: str, key_hash: str) -> Signer:
        """The key of a firm with this hash.

        Raises
        ------
        NotSigned
            It is not there, may be read by others, or cannot be decrypted.
        """
        self._require_private_folder()
        return self._load(firm_id, key_hash)

    def only(self, firm_id: str) -> Signer | None:
        """The one key of a firm that has signed nothing yet; None where there is none.

        Raises
        ------
        NotSigned
            There are several, or it cannot be used.
        """
        found = [key for key in self.held(require_firm(firm_id)) if key.active]
        if len(found) > 1:
            raise NotSigned(
                expected=f"one key of {firm_id}",
                found=", ".join(key.key_hash for key in found),
                where=str(self._folder),
            )
        return self._load(firm_id, found[0].key_hash) if found else None

    def create(self, firm_id: str) -> Signer:
        """A new key of a firm, durable before this returns.

        Raises
        ------
        NotSigned
            The folder cannot take it.
        """
        made = Signer(origin(firm_id), private := Ed25519PrivateKey.generate())
        self._make_folder()
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, self._encryption())
        self._write(self._path(firm_id, made.public.key_hash), pem)
        return made

    def retire(self, firm_id: str, key_hash: str, *, keep: bool) -> None:
        """Take a key out of use: removed, or with ``keep`` renamed to ``.retired``."""
        path = self._path(firm_id, key_hash)
        try:
            if keep:
                path.rename(path.with_suffix(".retired"))
            else:
                path.unlink(missing_ok=True)
            sync(self._folder)
        except OSError as err:
            raise NotSigned(
                expected="a folder to write in", found=str(err.strerror), where=str(path)
            ) from err

    def _path(self, firm_id: str, key_hash: str) -> Path:
        return self._folder / f"{require_firm(firm_id)}.{key_hash}.key"

    def _encryption(self) -> KeySerializationEncryption:
        return NoEncryption() if self._passphrase is None else BestAvailableEncryption(self._passphrase)

    def _make_folder(self) -> None:
        if not self._folder.exists() and self._may_make:
            self._require_outside()
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._require_private_folder()

    def _require_outside(self) -> None:
        inside = self._folder.resolve()
        if inside == self._artifacts.resolve() or inside.is_relative_to(self._artifacts.resolve()):
            raise NotSigned(
                expected="a folder of keys outside the artifacts", found=str(inside), where="REGIME_KEYS"
            )

    def _require_private_folder(self) -> None:
        self._require_outside()
        if not self._folder.is_dir():
            raise NotSigned(
                expected="an existing folder of keys (REGIME_KEYS)", found="none", where=str(self._folder)
            )
        _require_private(self._folder, 0o700)

    def _load(self, firm_id: str, key_hash: str) -> Signer:
        path = self._path(firm_id, key_hash)
        if not path.is_file():
            raise NotSigned(
                expected=f"the private key of {origin(firm_id)}+{key_hash}", found="none", where=str(path)
            )
        _require_private(path, 0o600)
        private = self._decrypt(path)
        found = Signer(origin(firm_id), private)
        if found.public.key_hash != key_hash:
            raise NotSigned(expected=f"key {key_hash}", found=f"key {found.public.key_hash}", where=str(path))
        return found

    def _decrypt(self, path: Path) -> Ed25519PrivateKey:
        """The key in a file; what went wrong is said without a word of its content."""
        try:
            with path.open("rb") as file:
                private = load_pem_private_key(file.read(_MAX_KEY_BYTES), self._passphrase)
        except (OSError, ValueError, TypeError):
            how = "without a passphrase" if self._passphrase is None else "under REGIME_KEY_PASSPHRASE"
            raise NotSigned(
                expected=f"a private key that opens {how}", found="one that does not", where=str(path)
            ) from None
        if not isinstance(private, Ed25519PrivateKey):
            raise NotSigned(expected="an Ed25519 key", found=type(private).__name__, where=str(path))
        return private

    def _write(self, path: Path, pem: bytes) -> None:
        """Whole, durable and new, or not at all."""
        temporary = self._folder / f".tmp-{secrets.token_hex(8)}"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(pem)
                    file.flush()
                    os.fsync(file.fileno())
                os.link(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
            sync(self._folder)
        except OSError as err:
            raise NotSigned(
                expected="a folder that takes a new key", found=str(err.strerror), where=str(path)
            ) from err


def publish(store: ArtifactStore, firm_id: str, key: PublicKey) -> None:
    """Write a public key beside the record, where it is not there yet."""
    path = f"audit/_keys/{require_firm(firm_id)}/{key.key_hash}.pub"
    if not store.exists(path):
        store.write_bytes(path, f"{key.vkey}\n".encode())


def read_public_keys(folder: Path) -> tuple[PublicKey, ...]:
    """Every ``*.pub`` in a folder and below it.

    Raises
    ------
    BadInput
        No such folder, no key in it, or a file that is none.
    """
    paths = sorted(folder.rglob("*.pub")) if folder.is_dir() else []
    if not paths:
        raise BadInput(expected="a folder with public keys (*.pub)", found="none", where=str(folder))
    return tuple(read_public_key(path.read_bytes(), str(path)) for path in paths)


def read_public_key(data: bytes, where: str) -> PublicKey:
    """The key a ``.pub`` file holds.

    Raises
    ------
    BadInput
        Anything else.
    """
    text = data.decode("ascii", errors="replace")
    if not text.endswith("\n"):
        raise BadInput(expected="one line", found=repr(text[:80]), where=where)
    return read_vkey(text[:-1], where)


def _require_private(path: Path, widest: int) -> None:
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & ~widest or found.st_uid != os.geteuid():
        who = "" if found.st_uid == os.geteuid() else f", of user {found.st_uid}"
        raise NotSigned(expected=f"mode {widest:04o} of your own", found=f"{mode:04o}{who}", where=str(path))
