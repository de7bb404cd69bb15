"""The application: middleware from the outside in, the routers, and a check that every route asks who may."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette_compress import CompressMiddleware

from regime_trading.api import errors
from regime_trading.api.deps import Asks, Base, asks_for, record_missing, route_of
from regime_trading.api.document import documented, http_routes
from regime_trading.api.errors import Problem
from regime_trading.api.etags import EntityTags
from regime_trading.api.idempotency import Again, Answers
from regime_trading.api.pages import Pages
from regime_trading.api.security import KnownHosts, PrintablePaths, SecureHeaders, SmallBodies

LOG = logging.getLogger("regime_trading.api")
PREFIX = "/api/v1"
Application = FastAPI
MAX_BODY = 1 << 20
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
Observe = Callable[[str, str, int, float], None]


@dataclass(frozen=True)
class Options:
    """What the application is made of.

    Parameters
    ----------
    base : Base
    routers : sequence of APIRouter
        Under ``/api/v1``.
    others : sequence of APIRouter
        At the root: the live channel, metrics, the pages.
    open_to_all : frozenset of str
        ``METHOD path`` of routes that ask for nothing.
    own_only : frozenset of str
        ``METHOD path`` of routes that ask who calls, and are about the caller alone or ask further themselves.
    version : str
    request_id : callable
        A new one.
    observe : callable, optional
        Told method, route, status and seconds of every request.
    schemas : callable, optional
        More schemas for the OpenAPI document (the messages of the live channel).
    lifespan : callable, optional
    pages : mapping
        Files of the command center by path; none where it was not built.
    """

    base: Base
    routers: Sequence[APIRouter]
    open_to_all: frozenset[str]
    own_only: frozenset[str]
    version: str
    request_id: Callable[[], str]
    others: Sequence[APIRouter] = ()
    observe: Observe | None = None
    schemas: Callable[[], dict[str, Any]] | None = None
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None
    pages: Mapping[str, bytes] = field(default_factory=dict)


def create_app(options: Options) -> FastAPI:
    """The application.

    Raises
    ------
    RuntimeError
        A route that asks for less than what it is listed for.
    """
    app = FastAPI(
        title="Regime Trading",
        version=options.version,
        summary="Regimes, allocations, every account's own rules, and the record of why each order was allowed.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=options.lifespan,
        generate_unique_id_function=_operation_id,
        responses={"default": {"model": Problem, "description": "What went wrong (RFC 9457)"}},
    )
    app.state.base = options.base
    errors.install(app, record_missing)
    app.add_exception_handler(Again, _again)
    for router in options.routers:
        app.include_router(router, prefix=PREFIX)
    for router in options.others:
        app.include_router(router)
    _require_permissions(app, options)
    app.openapi = documented(app, options.base, options.schemas)  # type: ignore[method-assign]
    if options.pages:
        app.add_middleware(Pages, files=options.pages)
    app.add_middleware(errors.NoTrace)
    app.add_middleware(Answers, base=options.base)
    app.add_middleware(SmallBodies, most=MAX_BODY)
    app.add_middleware(EntityTags)
    app.add_middleware(CompressMiddleware, minimum_size=1_024)
    app.add_middleware(PrintablePaths)
    app.add_middleware(KnownHosts, site=options.base.site)
    app.add_middleware(SecureHeaders, site=options.base.site)
    app.add_middleware(RequestId, new=options.request_id, observe=options.observe)
    return app


def _again(request: Request, error: Exception) -> Response:
    assert isinstance(error, Again)
    return error.response


def _require_permissions(app: FastAPI, options: Options) -> None:
    """Every route asks for a permission, or is listed as one that does not."""
    found: dict[Asks, set[str]] = {asks: set() for asks in Asks}
    for route in http_routes(app):
        found[asks_for(route)] |= {f"{method} {route.path}" for method in route.methods or ()}
    for asks, listed in ((Asks.NOTHING, options.open_to_all), (Asks.WHO, options.own_only)):
        if found[asks] != listed:
            more, stale = sorted(found[asks] - listed), sorted(listed - found[asks])
            raise RuntimeError(f"routes that ask for {asks}: not listed {more}; listed and not so {stale}")


def _operation_id(route: APIRoute) -> str:
    """Name of an operation in generated clients: that of its function."""
    return route.name


class RequestId:
    """Names every request, times it, and says one line about it."""

    def __init__(self, app: ASGIApp, new: Callable[[], str], observe: Observe | None) -> None:
        self._app, self._new, self._observe = app, new, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else self._new()
        scope.setdefault("state", {})["request_id"] = request_id
        status, began = 500, perf_counter()

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in scope["state"].get("rate", {}).items():
                    headers[name] = value
            await send(message)

        try:
            await self._app(scope, receive, named)
        finally:
            self._say(scope, request_id, status, perf_counter() - began)

    def _say(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = route_of(scope)
        if self._observe is not None:
            self._observe(scope["method"], route, status, seconds)
        principal = scope.get("state", {}).get("principal")
        LOG.info(
            "%s %s %d",
            scope["method"],
            route,
            status,
            extra={
                "request_id": request_id,
                "user": getattr(principal, "user_id", ""),
                "ms": round(seconds * 1e3, 1),
            },
        )
