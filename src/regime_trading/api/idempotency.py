"""The ``Idempotency-Key`` of a request: what it names counts once, in the store of what it asks for."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header

from regime_trading.api.errors import ApiError

_KEY = re.compile(r"[A-Za-z0-9_-]{8,64}")
KeyHeader = Annotated[
    str | None, Header(alias="Idempotency-Key", description="8 to 64 letters, digits, - or _; one per intent")
]


def require_key(key: str | None) -> str:
    """``key`` if it is one.

    Raises
    ------
    ApiError
        400.
    """
    if key is None or not _KEY.fullmatch(key):
        detail = "send Idempotency-Key: 8 to 64 letters, digits, - or _, a new one for each intent"
        raise ApiError(400, "idempotency_key", detail)
    return key
