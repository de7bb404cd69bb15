"""A client of the API: over HTTP to a server, or straight into an application of this process."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from regime_trading.core.errors import BadInput, RegimeError

PREFIX = "/api/v1"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_TIMEOUT_S = 60.0


class Unreachable(RegimeError):
    """No server answers there."""


class Problem(RegimeError):
    """The server refused (RFC 9457).

    Parameters
    ----------
    said : mapping
        The problem as it was sent.
    """

    def __init__(self, said: Mapping[str, Any]) -> None:
        self.code, self.at = str(said.get("code", "")), said.get("at")
        self.suggestions = tuple(said.get("suggestions") or ())
        self.fresh: dict[str, Any] | None = said.get("fresh")
        self.exit_code = 2 if said.get("status") in (400, 422) else 1
        self.said = dict(said)
        super().__init__(str(said.get("detail", "refused")))


@dataclass(frozen=True, slots=True)
class Response:
    """What came back; names of headers in small letters."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


#: Sends one request: method, path with its query, headers, body.
Send = Callable[[str, str, Mapping[str, str], bytes], Response]


class ApiClient:
    """Somebody at the API: with a token, or with the cookie of a session that :meth:`ask` keeps.

    Parameters
    ----------
    send : Send
    home : str
        Origin of the server.
    token : str
        Empty = none.
    """

    def __init__(self, send: Send, home: str, token: str = "") -> None:
        self._send, self._home, self._token, self._cookie = send, home.rstrip("/"), token, ""

    def ask(self, method: str, path: str, body: Any = None, key: str = "") -> Any:
        """One request below ``/api/v1``; its answer, None where there is no content.

        Raises
        ------
        Problem
            The server refuses.
        Unreachable
            Nobody answers, or not as this API does.
        """
        headers = {"accept": "application/json", "content-type": "application/json", "x-regime": "1"}
        headers |= {"origin": self._home} if method != "GET" else {}
        headers |= {"authorization": f"Bearer {self._token}"} if self._token else {}
        headers |= {"cookie": self._cookie} if self._cookie else {}
        headers |= {"idempotency-key": key} if key else {}
        sent = b"" if body is None else json.dumps(body).encode()
        full = path if path.startswith(PREFIX) else PREFIX + path
        response = self._send(method, full, headers, sent)
        self._keep(response)
        try:
            said = json.loads(response.body) if response.body else None
        except ValueError as error:
            raise Unreachable(
                f"{self._home}: this is no answer of this API (status {response.status})"
            ) from error
        if response.status >= 400:
            raise Problem(said if isinstance(said, dict) else {"status": response.status})
        return said

    def _keep(self, response: Response) -> None:
        """The cookie of a session, as long as it is one."""
        for name, value in response.headers:
            if name == "set-cookie":
                pair = value.split(";", 1)[0]
                self._cookie = pair if pair.partition("=")[2].strip('"') else ""


def over_http(url: str) -> Send:
    """Requests to a server.

    Raises
    ------
    BadInput
        Anything but ``https``, or ``http`` on this machine: what is sent is a secret.
    """
    parts = urlsplit(url)
    host, loopback = parts.hostname or "", (parts.hostname or "") in _LOOPBACK
    if not host or parts.scheme not in ("https", "http") or (parts.scheme == "http" and not loopback):
        raise BadInput(expected="https://… (http:// on this machine only)", found=url, where="--server")

    def send(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        connection = (
            http.client.HTTPSConnection(
                host, parts.port, timeout=_TIMEOUT_S, context=ssl.create_default_context()
            )
            if parts.scheme == "https"
            else http.client.HTTPConnection(host, parts.port, timeout=_TIMEOUT_S)
        )
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            told = tuple((name.lower(), value) for name, value in answer.getheaders())
            return Response(answer.status, told, answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"no server answers at {url}: {error}") from error
        finally:
            connection.close()

    return send


def in_process(app: Any, home: str) -> Send:
    """Requests to an application of this process, one at a time."""
    parts = urlsplit(home)

    def send(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        return asyncio.run(_served(app, _scope(parts, method, path, headers), body))

    return send


def _scope(parts: Any, method: str, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
    plain, _, query = path.partition("?")
    sent = {"host": parts.netloc, **headers}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": parts.scheme,
        "path": plain,
        "raw_path": plain.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 0),
        "server": (parts.hostname, parts.port),
        "state": {},
    }


async def _served(app: Any, scope: dict[str, Any], body: bytes) -> Response:
    told = list[dict[str, Any]]()
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    await app(scope, receive, send)
    start = next(one for one in told if one["type"] == "http.response.start")
    headers = tuple((name.decode().lower(), value.decode()) for name, value in start["headers"])
    return Response(start["status"], headers, b"".join(one.get("body", b"") for one in told))
