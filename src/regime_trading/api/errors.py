"""Errors as RFC 9457 problem details: one shape, a code to act on, never a trace."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from regime_trading.api.shapes import preview_out
from regime_trading.core.access import Answer, Permission, takes_role
from regime_trading.core.commands.faults import ParseError
from regime_trading.core.commands.previews import Preview
from regime_trading.core.config_versions import NeedsAgreement, VersionConflict
from regime_trading.core.controls import HaltDenied
from regime_trading.core.errors import (
    BadInput,
    CheckFailed,
    Conflict,
    NotDurable,
    NotThere,
    NotYet,
    Refused,
    TooMuch,
)
from regime_trading.core.settings import Finding, InvalidConfig
from regime_trading.core.users import NotIdentified, ProofNeeded, TooManyTries

LOG = logging.getLogger("regime_trading.api")
MEDIA_TYPE = "application/problem+json"


class FieldProblem(BaseModel):
    """What is wrong with one part of a request."""

    model_config = ConfigDict(extra="forbid")

    where: str = Field(description="body, query, path or header, and the way to the value")
    message: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="urn:regime:problem:<code>", examples=["urn:regime:problem:not_found"])
    title: str = Field(description="of the status", examples=["Not Found"])
    status: int = Field(examples=[404])
    code: str = Field(description="to act on; stable", examples=["not_found"])
    detail: str = Field(description="what was expected and what was found", examples=["no such thing"])
    instance: str = Field(description="path of the request", examples=["/api/v1/firms/north-pier"])
    request_id: str = Field(examples=["01k8r3v0d2"])
    errors: tuple[FieldProblem, ...] = ()
    needs: tuple[str, ...] = Field(
        default=(), description="what it takes: second_factor, step_up, role, agreement"
    )
    at: int | None = Field(
        default=None, description="where the caret goes in a command: characters before it"
    )
    suggestions: tuple[str, ...] = Field(
        default=(), description="legal names nearest to one that is not known"
    )
    fresh: dict[str, JsonValue] | None = Field(
        default=None, description="a new preview in the place of a stale one"
    )
    done: dict[str, JsonValue] | None = Field(
        default=None, description="the answer to what was done before, without its secrets"
    )


class ApiError(Exception):
    """A refusal that the edge itself decides.

    Parameters
    ----------
    status : int
    code : str
        Stable name of the kind of problem.
    detail : str
    needs : sequence of str
        What would make it possible.
    headers : mapping, optional
    done : mapping, optional
        What the answer to this request was before, where it is not told again whole.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        needs: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        done: dict[str, JsonValue] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.needs, self.headers, self.done = tuple(needs), dict(headers or {}), done


def not_found() -> ApiError:
    """What exists and may not be known, and what does not exist, are told in the same words."""
    return ApiError(404, "not_found", "no such thing, or none that you may see")


def refusal(answer: Answer, permission: Permission | None = None) -> ApiError:
    """A denial of :func:`core.access.may` as an error; of ``permission`` it says which roles have it."""
    if answer is Answer.UNKNOWN:
        return not_found()
    if answer is Answer.STEP_UP:
        challenge = 'Session error="insufficient_user_authentication", max_age=300'
        return ApiError(
            403,
            "step_up",
            "prove your identity again: it must be at most five minutes old",
            needs=("step_up",),
            headers={"WWW-Authenticate": challenge},
        )
    if answer is Answer.NO_FACTOR:
        return ApiError(403, "second_factor", "this role needs a second factor", needs=("second_factor",))
    if answer is Answer.NOT_BY_TOKEN:
        return ApiError(403, "not_by_token", "this token may not do that; some things no token may")
    detail = (
        "none of your roles here may do that"
        if permission is None
        else f"this takes {takes_role(permission)}"
    )
    return ApiError(403, "no_role", detail, needs=("role",))


def problem_response(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[FieldProblem] = (),
    needs: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """The response of a problem; ``more`` are further fields of it."""
    problem = Problem(
        type=f"urn:regime:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        instance=request.url.path,
        request_id=getattr(request.state, "request_id", ""),
        errors=tuple(errors),
        needs=tuple(needs),
        **more,
    )
    return JSONResponse(problem.model_dump(), status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


Missing = Callable[[Request, NotThere], None]


def install(app: FastAPI, missing: Missing) -> None:
    """Every error of the application becomes a problem; ``missing`` is told of everything somebody asked for that is
    not there for them, before they are."""
    app.state.missing = missing
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(BadInput, _bad_input)
    app.add_exception_handler(NotThere, _not_there)
    app.add_exception_handler(InvalidConfig, _invalid_config)
    app.add_exception_handler(VersionConflict, _version_conflict)
    app.add_exception_handler(NeedsAgreement, _needs_agreement)
    app.add_exception_handler(ParseError, _no_command)
    app.add_exception_handler(Conflict, _conflict)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HaltDenied, _halt_denied)
    app.add_exception_handler(TooMuch, _too_much)
    app.add_exception_handler(NotIdentified, _not_identified)
    app.add_exception_handler(TooManyTries, _too_many_tries)
    app.add_exception_handler(ProofNeeded, _proof_needed)
    app.add_exception_handler(CheckFailed, _check_failed)
    app.add_exception_handler(NotDurable, _not_durable)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def _api_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return problem_response(
        request,
        error.status,
        error.code,
        error.detail,
        needs=error.needs,
        headers=error.headers,
        done=error.done,
    )


def _not_there(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, NotThere)
    if not isinstance(error, NotYet):
        request.app.state.missing(request, error)
    return _api_error(request, not_found())


def _denied(request: Request, answer: Answer, sought: NotThere) -> JSONResponse:
    return _not_there(request, sought) if answer is Answer.UNKNOWN else _api_error(request, refusal(answer))


def _bad_input(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BadInput)
    said = FieldProblem(where=error.where, message=f"expected {error.expected}, found {error.found}")
    return problem_response(request, 400, "bad_input", str(error), errors=[said])


def _invalid_config(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InvalidConfig)
    said = [_finding(one) for one in error.findings[:50]]
    return problem_response(request, 422, "invalid_config", "the loader refuses this document", errors=said)


def _finding(found: Finding) -> FieldProblem:
    place = ":".join(str(part) for part in (found.file, found.line) if part is not None)
    where = " ".join(part for part in (place, found.path) if part)
    return FieldProblem(where=where, message=f"expected {found.expected}, found {found.found}")


def _version_conflict(request: Request, error: Exception) -> JSONResponse:
    return problem_response(request, 409, "conflict_version", str(error))


def _needs_agreement(request: Request, error: Exception) -> JSONResponse:
    detail = f"{error}. Propose it as a command: other people are asked then"
    return problem_response(request, 403, "needs_agreement", detail, needs=("agreement",))


def _halt_denied(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HaltDenied)
    return _denied(request, error.answer, NotThere("account", ""))


def _no_command(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ParseError)
    fault = error.fault
    return problem_response(
        request, 422, fault.code.value, fault.message, at=fault.at, suggestions=fault.suggestions
    )


def _conflict(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Conflict)
    fresh = preview_out(error.fresh).model_dump(mode="json") if isinstance(error.fresh, Preview) else None
    headers = {"Retry-After": "2"} if error.what == "pending" else {}
    return problem_response(
        request, 409, f"conflict_{error.what}", error.detail, headers=headers, fresh=fresh
    )


def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    if error.why and error.answer is not Answer.UNKNOWN:
        known = refusal(error.answer)
        known.detail = error.why
        return _api_error(request, known)
    if error.answer is Answer.NO_ROLE:
        return problem_response(request, 403, "no_role", f"you are not allowed {error.what}", needs=("role",))
    return _denied(request, error.answer, error.sought or NotThere("thing", ""))


def _not_identified(request: Request, error: Exception) -> JSONResponse:
    detail = "this login and this proof of identity do not fit, or no longer"
    return problem_response(request, 401, "not_identified", detail, headers={"WWW-Authenticate": "Session"})


def _too_many_tries(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TooManyTries)
    wait_s = str(max(-(-error.wait_ns // 10**9), 1))
    detail = f"too many tries from where you are: again in {wait_s} s"
    return problem_response(request, 429, "too_many_tries", detail, headers={"Retry-After": wait_s})


def _proof_needed(request: Request, error: Exception) -> JSONResponse:
    return _api_error(request, refusal(Answer.STEP_UP))


def _too_much(request: Request, error: Exception) -> JSONResponse:
    return problem_response(request, 422, "too_much", str(error))


def _check_failed(request: Request, error: Exception) -> JSONResponse:
    return problem_response(request, 409, "check_failed", str(error))


def _not_durable(request: Request, error: Exception) -> JSONResponse:
    LOG.error("not durable: %s", error)
    detail = "the store cannot take this now; nothing was changed"
    return problem_response(request, 503, "not_durable", detail, headers={"Retry-After": "2"})


def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [_field(one) for one in error.errors()[:50]]
    return problem_response(request, 422, "invalid", "the request does not fit its schema", errors=errors)


def _field(error: Mapping[str, Any]) -> FieldProblem:
    return FieldProblem(where=".".join(str(part) for part in error["loc"]), message=str(error["msg"]))


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    code = codes.get(error.status_code, HTTPStatus(error.status_code).name.lower())
    detail = not_found().detail if error.status_code == 404 else str(error.detail)
    return problem_response(request, error.status_code, code, detail, headers=error.headers)


class NoTrace:
    """Turns what nobody expected into a problem; the log has the trace, the caller an id to name it by."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = False

        async def noting(message: Message) -> None:
            nonlocal began
            began = began or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            LOG.exception(
                "unexpected error", extra={"request_id": scope.get("state", {}).get("request_id", "")}
            )
            if began:
                raise
            detail = "something broke here; the request id names it in our log"
            await problem_response(Request(scope), 500, "internal", detail)(scope, receive, send)
