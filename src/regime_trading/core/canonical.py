"""Canonical bytes: the one JSON form that is hashed, and the chain built on it.

The canonical form is RFC 8785 (JSON Canonicalization Scheme) restricted to ``null``, booleans, strings,
integers of at most 53 bits, arrays and objects with ASCII keys. Floats are refused: a number that is not
an integer travels as a decimal string or as an integer multiple (``_e9``), so no two machines can disagree
about its text. On this subset ``orjson`` with sorted keys writes RFC 8785 bytes (held by a property test
against the ``rfc8785`` package).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from regime_trading.core.errors import BadInput

GENESIS = "0" * 64
_MAX_SAFE_INTEGER = 2**53 - 1


def canonical_json(value: Any) -> bytes:
    """RFC 8785 bytes of ``value``.

    Raises
    ------
    BadInput
        A float, an integer beyond 53 bits, a non-ASCII key or an unsupported type, with its path.
    """
    _require_canonical(value, "$")
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def canonical_bytes_trusted(value: Any) -> bytes:
    """As :func:`canonical_json`, without the walk; only for values built by code that writes no floats."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _require_canonical(value: Any, path: str) -> None:
    if value is None or isinstance(value, str | bool):
        return
    if isinstance(value, int):
        if abs(value) > _MAX_SAFE_INTEGER:
            raise BadInput(expected="an integer of at most 53 bits", found=str(value), where=path)
        return
    if isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _require_canonical(item, f"{path}[{i}]")
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not (isinstance(key, str) and key.isascii()):
                raise BadInput(expected="an ASCII key", found=repr(key), where=path)
            _require_canonical(item, f"{path}.{key}")
        return
    raise BadInput(
        expected="null, boolean, string, integer, array or object", found=type(value).__name__, where=path
    )


def sha256_hex(data: bytes) -> str:
    """SHA-256 of ``data`` in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def content_hash(value: Any) -> str:
    """SHA-256 of the canonical form of ``value``."""
    return sha256_hex(canonical_json(value))


def array_hash(arrays: Mapping[str, npt.NDArray[Any] | None]) -> str:
    """SHA-256 over named arrays: name, dtype, shape and little-endian C-order bytes, in name order.

    ``None`` hashes as absent, which differs from an empty array. NaN payloads are normalised.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        if array is None:
            digest.update(f"{name}|absent;".encode())
            continue
        plain = np.ascontiguousarray(array)
        if plain.dtype.kind == "f":
            plain = np.where(np.isnan(plain), np.nan, plain)
        plain = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name}|{plain.dtype.str}|{plain.shape};".encode())
        digest.update(plain.tobytes())
    return digest.hexdigest()


def entry_hash(prev_hash: str, body: bytes) -> str:
    """Hash of one audit entry: ``SHA-256(0x00 || prev_hash || body)``, ``body`` in canonical form.

    The leading zero byte is the leaf prefix of RFC 6962, so an entry can never be taken for a tree node.
    """
    return hashlib.sha256(b"\x00" + bytes.fromhex(prev_hash) + body).hexdigest()


def chain_hashes(prev_hash: str, bodies: list[bytes]) -> list[str]:
    """Entry hashes of consecutive bodies, each bound to the one before."""
    hashes: list[str] = []
    for body in bodies:
        prev_hash = entry_hash(prev_hash, body)
        hashes.append(prev_hash)
    return hashes
