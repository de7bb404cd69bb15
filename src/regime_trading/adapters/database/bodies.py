"""Bodies as they lie in the write-ahead table: zstd, which is an eighth of the bytes that a COMMIT waits for."""

from __future__ import annotations

from collections.abc import Callable

import zstandard

from regime_trading.core.errors import CheckFailed

_LEVEL = 1
_MAGIC = b"\x28\xb5\x2f\xfd"
_SMALL = 512  #: below this a body is kept as it is


def packer() -> Callable[[bytes], bytes]:
    """A function from body to stored bytes, for one thread."""
    compress = zstandard.ZstdCompressor(level=_LEVEL).compress
    return lambda body: body if len(body) < _SMALL else compress(body)


def unpacked(stored: bytes) -> bytes:
    """The body of stored bytes; canonical JSON, which never starts as a zstd frame does, is its own stored form.

    Raises
    ------
    CheckFailed
        Bytes that are no longer what was stored.
    """
    stored = bytes(stored)
    if not stored.startswith(_MAGIC):
        return stored
    try:
        return zstandard.ZstdDecompressor().decompress(stored)
    except zstandard.ZstdError as err:
        raise CheckFailed(f"write-ahead row: the body cannot be unpacked: {err}") from err
