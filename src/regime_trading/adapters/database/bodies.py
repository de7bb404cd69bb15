"""Bodies as they lie in the write-ahead table: zstd, which is a quarter of the bytes that a COMMIT waits for."""

from __future__ import annotations

import threading
from typing import Any

import zstandard
from sqlalchemy import LargeBinary
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from regime_trading.core.errors import CheckFailed

_LEVEL = 1
_MAGIC = b"\x28\xb5\x2f\xfd"
_SMALL = 512  #: below this a body is kept as it is
_OF_THREAD = threading.local()


class Packed(TypeDecorator[bytes]):
    """Bytes that are packed on the way in and unpacked on the way out.

    Canonical JSON never starts as a zstd frame does, so that rows of before are their own stored form.
    """

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> bytes | None:
        if value is None or len(value) < _SMALL:
            return value
        if not hasattr(_OF_THREAD, "compressor"):
            _OF_THREAD.compressor = zstandard.ZstdCompressor(level=_LEVEL)
        packed: bytes = _OF_THREAD.compressor.compress(value)
        return packed

    def process_result_value(self, value: Any, dialect: Dialect) -> bytes | None:
        """The body of stored bytes; ``CheckFailed`` where they are no longer what was stored."""
        if value is None:
            return None
        stored = bytes(value)
        if not stored.startswith(_MAGIC):
            return stored
        try:
            return zstandard.ZstdDecompressor().decompress(stored)
        except zstandard.ZstdError as err:
            raise CheckFailed(f"write-ahead row: the body cannot be unpacked: {err}") from err
