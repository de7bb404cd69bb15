"""What watches the server asks: alive, ready, metrics. Outside ``/api/v1``; names nobody."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from regime_trading.api.errors import ApiError, not_found
from regime_trading.api.security import LOOPBACK

METRICS_TYPE = "text/plain; version=1.0.0; charset=utf-8"


def system_router(
    ready: Callable[[], dict[str, Any]], metrics: Callable[[], bytes], metrics_token: str | None
) -> APIRouter:
    """``/healthz``, ``/readyz`` and ``/metrics``.

    Parameters
    ----------
    ready : callable
        ``{ok, checks}``.
    metrics : callable
        In the text format of Prometheus.
    metrics_token : str, optional
        Who has it may read the metrics from anywhere; without one only this machine may.
    """
    router = APIRouter(tags=["system"])

    @router.get("/healthz")
    def read_health() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    not_ready = {"application/json": {"schema": {"type": "object"}, "example": {"ok": False}}}

    @router.get("/readyz", responses={503: {"description": "Not ready", "content": not_ready}})
    def read_readiness(request: Request) -> Response:
        """Whether it can do its work now; the reasons are for this machine only."""
        found = ready()
        told = found if _is_near(request) else {"ok": found["ok"]}
        return JSONResponse(told, 200 if found["ok"] else 503)

    refused: dict[int | str, dict[str, Any]] = {401: {"description": "No token"}, 404: {"description": "Far"}}

    @router.get("/metrics", response_class=Response, responses=refused)
    def read_metrics(request: Request) -> Response:
        """Counters and times of this process."""
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if metrics_token is not None:
            if not hmac.compare_digest(given.encode(), metrics_token.encode()):
                raise ApiError(401, "sign_in", "the token of the metrics, please")
        elif not _is_near(request):
            raise not_found()
        return Response(metrics(), media_type=METRICS_TYPE)

    return router


def _is_near(request: Request) -> bool:
    return request.client is not None and request.client.host in LOOPBACK
