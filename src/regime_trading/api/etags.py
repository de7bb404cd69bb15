"""Entity tags (RFC 9110, 8.8.3 and 13): what is unchanged is not sent again, what has changed is not overwritten."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated

from fastapi import Depends, Header
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from regime_trading.api.errors import ApiError

MOST = 1 << 20  #: longer answers go out as they come, without a tag


def etag_of(body: bytes) -> str:
    """Strong tag of a representation before it is compressed."""
    return f'"{sha256(body).hexdigest()[:32]}"'


def matches(header: str, etag: str, *, weakly: bool) -> bool:
    """Whether a list of tags (or ``*``) names ``etag``; a weak tag matches only where that is enough."""
    tags = [tag.strip() for tag in header.split(",")]
    return "*" in tags or etag in tags or (weakly and f"W/{etag}" in tags)


Match = Annotated[
    str | None, Header(alias="If-Match", max_length=600, description="ETag of what is changed, or *")
]


def if_match(given: Match = None) -> str:
    """The ``If-Match`` of a change that must say what it changes.

    Raises
    ------
    ApiError
        428 without one.
    """
    if not given:
        raise ApiError(428, "if_match_missing", "say which version you change: If-Match with its ETag")
    return given


IfMatch = Annotated[str, Depends(if_match)]


def require_match(given: str | None, etag: str) -> None:
    """Refuse a change to what is not what the caller has seen; without ``If-Match`` it is taken as it is.

    Raises
    ------
    ApiError
        412 where it names another version; the ``ETag`` of the one that is comes with it.
    """
    if given and not matches(given, etag, weakly=False):
        detail = "it has changed since you read it: read it again"
        raise ApiError(412, "changed_meanwhile", detail, headers={"ETag": etag})


class EntityTags:
    """Tags the JSON a GET answers with, where the route has not, and answers 304 to who has it already."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Tagging(send, Headers(scope=scope).get("if-none-match", "")))


class _Tagging:
    """Holds the beginning of an answer back until its body is whole."""

    def __init__(self, send: Send, known: str) -> None:
        self._send, self._known = send, known
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_taggable(message):
            self._start = message
            return
        if self._start is None or message["type"] != "http.response.body":
            await self._send(message)
            return
        self._body += message.get("body", b"")
        more = message.get("more_body", False)
        if more and len(self._body) <= MOST:
            return
        start, self._start = self._start, None
        if not more:
            self._tag(start)
        await self._send(start)
        await self._send({"type": "http.response.body", "body": bytes(self._body), "more_body": more})
        self._body.clear()

    def _tag(self, start: Message) -> None:
        headers = MutableHeaders(scope=start)
        etag = headers.setdefault("etag", etag_of(bytes(self._body)))
        if self._known and matches(self._known, etag, weakly=True):
            start["status"] = 304
            for name in ("content-length", "content-type"):
                del headers[name]
            self._body.clear()


def _is_taggable(start: Message) -> bool:
    headers = Headers(scope=start)
    return start["status"] == 200 and headers.get("content-type", "").startswith("application/json")
