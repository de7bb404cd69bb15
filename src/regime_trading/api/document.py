"""The OpenAPI document: who may do what, every problem it can end in, what its headers say, and examples of it all."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from regime_trading.api.deps import Asks, Base, Require, asks_for, calls_of, permission_of
from regime_trading.api.errors import MEDIA_TYPE, Problem
from regime_trading.api.etags import if_match
from regime_trading.api.examples import with_examples
from regime_trading.api.idempotency import Once
from regime_trading.api.security import UNSAFE

COMPONENTS = "#/components"
#: Problems by status: code and what is said, each an example.
PROBLEMS: Mapping[int, Mapping[str, str]] = MappingProxyType(
    {
        400: {"bad_input": "expected a legal value, found another"},
        401: {"sign_in": "sign in first", "not_identified": "login and proof of identity do not fit"},
        403: {
            "no_role": "this takes the role pm or admin",
            "step_up": "prove your identity again: it must be at most five minutes old",
            "cross_site": "send this from a page of ours, with the header X-Regime",
        },
        404: {"not_found": "no such thing, or none that you may see"},
        409: {
            "conflict_version": "another version is in force by now",
            "conflict_pending": "another request with this Idempotency-Key is at work, or was",
            "done": "it was carried out; its answer held a secret, which is told once",
        },
        410: {"expired": "it is no longer kept: ask for it again"},
        412: {"changed_meanwhile": "it has changed since you read it: read it again"},
        413: {"too_large": "a body of at most 1048576 bytes"},
        422: {
            "invalid": "the request does not fit its schema",
            "key_reused": "this Idempotency-Key was used for another request",
        },
        428: {"if_match_missing": "say which version you change: If-Match with its ETag"},
        429: {"too_many": "too many requests: again in 1 s"},
        500: {"internal": "something broke here; the request id names it in our log"},
        503: {"not_durable": "the store cannot take this now; nothing was changed"},
    }
)
#: Headers by name: type, example and what they say.
HEADERS: Mapping[str, tuple[str, Any, str]] = MappingProxyType(
    {
        "X-Request-Id": ("string", "01k8r3v0d2", "names the request in the server's log"),
        "RateLimit-Limit": ("integer", 120, "requests of this kind that one may send at once"),
        "RateLimit-Remaining": ("integer", 119, "of those, how many are left"),
        "RateLimit-Reset": ("integer", 1, "seconds until all of them are there again"),
        "Retry-After": ("integer", 2, "seconds to wait before the next try"),
        "ETag": ("string", '"7"', "names what is answered as it is; a change of it names it in If-Match"),
        "Idempotency-Replayed": ("string", "true", "the answer to what was done before under this key"),
    }
)
#: What an answer leads to: by operation its status, and by the operation that may follow what of the answer goes where.
LINKS: Mapping[str, tuple[int, Mapping[str, Mapping[str, str]]]] = MappingProxyType(
    {
        "start_job": (202, {name: {"job_id": "job_id"} for name in ("read_job", "read_log", "cancel_job")}),
        "create_user": (
            201,
            {
                name: {"user_id": "user_id"}
                for name in ("read_user", "reset_user", "grant_role", "disable_user")
            },
        ),
        "make_token": (201, {"revoke_token": {"token_id": "token/token_id"}}),
        "draft_version": (
            201,
            {name: {"version": "version"} for name in ("read_version", "apply_version", "propose_version")},
        ),
        "roll_back": (201, {"apply_version": {"version": "version"}}),
        "propose_version": (
            200,
            {
                name: {"request_id": "request_id"}
                for name in ("read_approval", "approve_request", "reject_request")
            },
        ),
    }
)
#: The same for what goes into a body.
BODY_LINKS: Mapping[str, tuple[int, Mapping[str, Mapping[str, str]]]] = MappingProxyType(
    {
        "preview_command": (
            200,
            {
                "confirm_command": {name: name for name in ("preview_id", "action_hash")}
                | {"phrase": "confirm_phrase"}
            },
        ),
        "halt_account": (201, {"resume_account": {"control_no": "control_no"}}),
        "halt_firm": (201, {"resume_firm": {"control_no": "control_no"}}),
    }
)
_RATE = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
_PLACEHOLDER = re.compile(r"{(\w+)}")
_WAITING = frozenset({409, 429, 503})


def http_routes(app: FastAPI) -> list[RouteContext]:
    """Every HTTP route that answers with something of ours, whole paths."""
    return [one for one in iter_route_contexts(app.routes) if isinstance(one.original_route, APIRoute)]


def complete(document: dict[str, Any], app: FastAPI, base: Base, more: dict[str, Any]) -> None:
    """Put into a document what the framework does not know; ``more`` are further schemas."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    components.setdefault("securitySchemes", {}).update(_schemes(base))
    for route in http_routes(app):
        for method in route.methods or ():
            if operation := document["paths"].get(route.path, {}).get(method.lower()):
                _describe(operation, route, method)
    components["responses"] = {_name(status): _problem(status) for status in PROBLEMS}
    components["headers"] = {name: _header(*said) for name, said in HEADERS.items()}
    with_examples(document)
    _add(schemas, more)


def _add(schemas: dict[str, Any], more: dict[str, Any]) -> None:
    """Schemas of the live channel, none in the place of one of the API."""
    clashes = sorted(name for name in schemas.keys() & more.keys() if _plain(schemas[name]) != more[name])
    if clashes:
        raise RuntimeError(f"two schemas of one name: {clashes}")
    schemas.update({name: schema for name, schema in more.items() if name not in schemas})


def _plain(part: Any) -> Any:
    """A schema without its examples."""
    if isinstance(part, dict):
        return {name: _plain(one) for name, one in part.items() if name != "examples"}
    return [_plain(one) for one in part] if isinstance(part, list) else part


def _schemes(base: Base) -> dict[str, Any]:
    return {
        "session": {"type": "apiKey", "in": "cookie", "name": base.site.cookie},
        "token": {"type": "http", "scheme": "bearer"},
    }


def _describe(operation: dict[str, Any], route: RouteContext, method: str) -> None:
    """Who may do it, what it can end in, and which headers come with it."""
    asks, permission = asks_for(route), permission_of(route)
    if permission is not None:
        operation["x-permission"] = permission.value
    operation["security"] = _security(route, asks)
    _name_path(operation, str(route.path))
    responses = operation["responses"]
    responses.pop("default", None)
    for answer in responses.values():
        names = ("X-Request-Id", *_rates(route), *_tags(answer, route, method))
        answer["headers"] = {name: {"$ref": f"{COMPONENTS}/headers/{name}"} for name in names}
    _lead_on(operation, str(route.path))
    declared = [int(one) for one in responses if not one.startswith("2")]
    for status in {*declared, *_statuses(operation, route, method)}:
        if "application/json" not in responses.get(str(status), {}).get("content", {}):
            responses[str(status)] = {"$ref": f"{COMPONENTS}/responses/{_name(status)}"}


def _name_path(operation: dict[str, Any], path: str) -> None:
    """Every placeholder of a path as a parameter, those too that only the guard of the route reads."""
    known = {one["name"] for one in operation.get("parameters", ())}
    for name in _PLACEHOLDER.findall(path):
        if name not in known:
            parameter = {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            operation.setdefault("parameters", []).insert(0, parameter)


def _lead_on(operation: dict[str, Any], path: str) -> None:
    """Links from an answer to what may follow it, in the same firm and account."""
    name = operation["operationId"]
    same = {one: f"$request.path.{one}" for one in _PLACEHOLDER.findall(path) if one in ("firm", "account")}
    for table, into_body in ((LINKS, False), (BODY_LINKS, True)):
        status, following = table.get(name, (0, {}))
        for target, parts in following.items():
            taken = {one: f"$response.body#/{where}" for one, where in parts.items()}
            link: dict[str, Any] = {"operationId": target}
            if into_body:
                link["requestBody"] = taken
            if parameters := same if into_body else same | taken:
                link["parameters"] = parameters
            operation["responses"][str(status)].setdefault("links", {})[target] = link


def _security(route: RouteContext, asks: Asks) -> list[dict[str, list[str]]]:
    if asks is not Asks.NOTHING:
        return [{"session": []}, {"token": []}]
    return [{"session": []}] if "cookie_of" in _names(route) else []


def _names(route: RouteContext) -> frozenset[str]:
    """Names of the functions that a route depends on."""
    return frozenset(getattr(call, "__name__", "") for call in calls_of(route))


def _rates(route: RouteContext) -> tuple[str, ...]:
    by_name = {"_limited", "own_page", "cookie_of"} & _names(route)
    return _RATE if by_name or any(isinstance(call, Require) for call in calls_of(route)) else ()


def _tags(answer: Mapping[str, Any], route: RouteContext, method: str) -> tuple[str, ...]:
    tagged = method == "GET" and "application/json" in answer.get("content", {})
    keyed = any(isinstance(call, Once) for call in calls_of(route))
    return ("ETag",) * (tagged or if_match in calls_of(route)) + ("Idempotency-Replayed",) * keyed


def _statuses(operation: Mapping[str, Any], route: RouteContext, method: str) -> list[int]:
    """Of the problems that an operation can end in."""
    calls, names = calls_of(route), _names(route)
    asked = bool(operation.get("parameters")) or "requestBody" in operation
    cookie = "cookie_of" in names or asks_for(route) is not Asks.NOTHING
    found = {
        400: asked,
        401: cookie or "own_page" in names,
        403: cookie or "own_page" in names,
        404: "{" in str(route.path) or (method in UNSAFE and asks_for(route) is Asks.WHO),
        409: method in UNSAFE and cookie,
        412: any(one["name"] == "If-Match" for one in operation.get("parameters", ())),
        413: "requestBody" in operation,
        422: asked,
        428: if_match in calls,
        429: bool(_rates(route)),
        500: True,
        503: True,
    }
    return [status for status, can in found.items() if can]


def _name(status: int) -> str:
    """Of the component that is the answer with a status."""
    return HTTPStatus(status).phrase.title().replace(" ", "").replace("-", "")


def _problem(status: int) -> dict[str, Any]:
    examples = {code: {"value": problem_example(status, code)} for code in PROBLEMS[status]}
    headers = ("X-Request-Id",) + ("Retry-After",) * (status in _WAITING) + ("ETag",) * (status == 412)
    return {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"{COMPONENTS}/schemas/Problem"}, "examples": examples}},
        "headers": {name: {"$ref": f"{COMPONENTS}/headers/{name}"} for name in headers},
    }


def problem_example(status: int, code: str) -> dict[str, Any]:
    """A problem as it is answered."""
    return Problem(
        type=f"urn:regime:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=PROBLEMS[status][code],
        instance="/api/v1/firms/north-pier",
        request_id="01k8r3v0d2",
    ).model_dump(mode="json")


def _header(kind: str, example: Any, said: str) -> dict[str, Any]:
    return {"description": said, "schema": {"type": kind}, "example": example}


Documented = Callable[[], dict[str, Any]]


def documented(app: FastAPI, base: Base, more: Callable[[], dict[str, Any]] | None) -> Documented:
    """What makes the document, once."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = made()
            complete(document, app, base, more() if more is not None else {})
            app.openapi_schema = document
        return app.openapi_schema

    return openapi
