"""Requests that count once: the same ``Idempotency-Key`` again gets the same answer for a day."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Annotated

from fastapi import Header, Request
from fastapi.responses import Response
from pydantic import BaseModel

from regime_trading.api.errors import ApiError
from regime_trading.core.canonical import canonical_json
from regime_trading.core.ports import Idempotency

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


def once(
    store: Idempotency,
    request: Request,
    user_id: str,
    key: str | None,
    body: BaseModel | None,
    now_ns: int,
    act: Callable[[], BaseModel],
    status: int = 200,
) -> Response:
    """Answer of ``act``, carried out once for a key; what fails changed nothing and may be sent again.

    Raises
    ------
    ApiError
        400 without a key.
    Conflict
        Another request with the same key, or the first is not answered yet.
    """
    said = require_key(key)
    asked = {
        "method": request.method,
        "path": request.url.path,
        "body": None if body is None else body.model_dump(mode="json"),
    }
    known = store.begin(user_id, said, sha256(canonical_json(asked)).hexdigest(), now_ns)
    if known is not None:
        return Response(known[1], known[0], media_type="application/json")
    try:
        answer = act().model_dump_json()
    except BaseException:
        store.forget(user_id, said)
        raise
    store.finish(user_id, said, status, answer)
    return Response(answer, status, media_type="application/json")
