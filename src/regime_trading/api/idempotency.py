"""The ``Idempotency-Key`` of a request (decision 0022): the same again is the same act, with the same answer."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from regime_trading.api.deps import Base, BaseDep, PrincipalDep
from regime_trading.api.errors import ApiError
from regime_trading.core.errors import NotDurable, RegimeError
from regime_trading.core.intents import INTENT, Intent, Kept

LOG = logging.getLogger("regime_trading.api")
REPLAYED = "idempotency-replayed"
_KEY = r"[A-Za-z0-9_-]{8,64}"
_KEPT_HEADERS = ("content-type", "etag")
KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="8 to 64 letters, digits, - or _; one per intent",
        json_schema_extra={"pattern": f"^{_KEY}$"},
    ),
]


def require_key(key: str | None) -> str:
    """``key`` if it is one.

    Raises
    ------
    ApiError
        400.
    """
    if key is None or not re.fullmatch(_KEY, key):
        detail = "send Idempotency-Key: 8 to 64 letters, digits, - or _, a new one for each intent"
        raise ApiError(400, "idempotency_key", detail)
    return key


class Again(Exception):
    """The request was carried out before; its answer is told once more."""

    def __init__(self, response: Response) -> None:
        super().__init__("answered before")
        self.response = response


@dataclass(frozen=True)
class Once:
    """Dependency of a route that changes something; it comes after those that ask whether the caller may.

    Parameters
    ----------
    secrets : tuple of str
        Fields of the answer that are told once, and kept nowhere.
    """

    secrets: tuple[str, ...] = ()

    async def __call__(
        self, request: Request, principal: PrincipalDep, base: BaseDep, key: KeyHeader = None
    ) -> None:
        """Have the request carried out under its key, if that names none that was.

        Raises
        ------
        Again
            It was carried out, and this was its answer.
        ApiError
            422 for another request under the key; 409 while its answer is not there, or where that held a secret.
        """
        if key is None:
            return
        intent = Intent(principal.user_id, require_key(key), await _hash_of(request), base.clock.now_ns())
        try:
            kept = await run_in_threadpool(base.answers.find, intent)
        except NotDurable as error:
            LOG.error(
                "no key can be looked up: %s", error
            )  # a halt works all the same; the rest says so itself
            return
        if kept is None:
            request.state.intent, request.state.secrets = intent, self.secrets
            INTENT.set(intent)
            return
        if kept.request_hash != intent.request_hash:
            raise ApiError(422, "key_reused", "this Idempotency-Key was used for another request")
        raise Again(_told_again(kept))


def once(*secrets: str) -> Any:
    """``Depends`` on :class:`Once`."""
    return Depends(Once(secrets))


OnceDep = Annotated[None, once()]


async def _hash_of(request: Request) -> str:
    """What was asked for: method, path, query and body."""
    asked = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return sha256(asked + await request.body()).hexdigest()


def _told_again(kept: Kept) -> Response:
    if kept.status is None:
        detail = "it is at work, or was interrupted after it changed something: look at what it is about"
        raise ApiError(409, "conflict_pending", detail, headers={"Retry-After": "2"})
    said = json.loads(kept.response)
    if said["secret"]:
        detail = "it was carried out; its answer held a secret, which is told once"
        raise ApiError(409, "done", detail, done=json.loads(said["body"]))
    return Response(said["body"], kept.status, {**said["headers"], REPLAYED: "true"})


class Answers:
    """Keeps the answer to a request under a key before it is sent."""

    def __init__(self, app: ASGIApp, base: Base) -> None:
        self._app, self._base = app, base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token = INTENT.set(None)
        try:
            await self._app(scope, receive, _Keeping(scope, send, self._base))
        finally:
            INTENT.reset(token)


class _Keeping:
    """Holds an answer back until it is kept."""

    def __init__(self, scope: Scope, send: Send, base: Base) -> None:
        self._state, self._send, self._base = scope.setdefault("state", {}), send, base
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        intent: Intent | None = self._state.get("intent")
        if intent is None or not intent.wrote:
            await self._send(message)
            return
        if message["type"] == "http.response.start":
            self._start = message
            return
        assert self._start is not None, "an answer begins with its start"
        self._body += message.get("body", b"")
        if message.get("more_body", False):
            return
        await run_in_threadpool(self._keep, intent, self._start)
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": bytes(self._body)})

    def _keep(self, intent: Intent, start: Message) -> None:
        """What was done keeps its answer; what was refused gives the key back; what broke keeps the key, so that nobody
        does it again unseen."""
        status, answers = start["status"], self._base.answers
        try:
            if 200 <= status < 300:
                answers.keep(intent, status, self._text(Headers(scope=start)))
            elif status < 500:
                answers.forget(intent)
        except RegimeError as error:
            LOG.error("an answer is not kept: %s", error)

    def _text(self, headers: Headers) -> str:
        """The answer as it is kept: without what is told once."""
        body, secrets = self._body.decode(), self._state.get("secrets", ())
        if secrets:
            body = json.dumps({k: v for k, v in json.loads(body).items() if k not in secrets})
        kept = {name: headers[name] for name in _KEPT_HEADERS if name in headers}
        return json.dumps({"body": body, "headers": kept, "secret": bool(secrets)})
