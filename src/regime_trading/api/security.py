"""What every request and response goes through: an id, headers, origin checks, cookies.

Sources: OWASP ASVS 5.0 3.3, 3.4, 3.5; RFC 6265bis (``__Host-``); Fetch metadata (``Sec-Fetch-Site``).
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_plus, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from regime_trading.api.errors import ApiError, problem_response
from regime_trading.core.errors import BadInput

CUSTOM_HEADER = "x-regime"  #: a page of another site cannot send it without being asked for first
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
API_CSP = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "x-frame-options": "DENY",
}
HSTS = "max-age=31536000; includeSubDomains"


@dataclass(frozen=True, slots=True)
class Site:
    """Where the server is reached, and so what cookies and origins look like.

    Parameters
    ----------
    public_url : str
        Scheme, host and port that people type, without a path.
    """

    public_url: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.public_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise BadInput(
                expected="https://host or http://localhost:port", found=self.public_url, where="--public-url"
            )
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise BadInput(
                expected="https, or http on this machine only", found=self.public_url, where="--public-url"
            )

    @property
    def secure(self) -> bool:
        """Whether people come by TLS."""
        return self.public_url.startswith("https:")

    @property
    def host(self) -> str:
        """Host name; also the relying party id of passkeys."""
        return str(urlsplit(self.public_url).hostname)

    @property
    def cookie(self) -> str:
        """Name of the session cookie."""
        return "__Host-sid" if self.secure else "sid"

    @property
    def origin(self) -> str:
        """The one origin whose pages may act."""
        return self.public_url.rstrip("/")

    def set_cookie(self, response: Response, secret: str, max_age_s: int) -> None:
        """Give the browser its session."""
        response.set_cookie(
            self.cookie,
            secret,
            max_age=max_age_s,
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="strict",
        )

    def clear_cookie(self, response: Response) -> None:
        """Take the session away, and what the browser keeps of us."""
        response.delete_cookie(self.cookie, path="/", secure=self.secure, httponly=True, samesite="strict")
        response.headers["clear-site-data"] = '"cache", "storage"'


def require_own_page(connection: HTTPConnection, site: Site) -> None:
    """Refuse a request that carries a cookie and that another site may have caused.

    Raises
    ------
    ApiError
        403 ``cross_site``: without our header, or from another origin; where a browser says neither ``Origin`` nor
        ``Sec-Fetch-Site``, it is refused too.
    """
    headers = connection.headers
    origin, fetched = headers.get("origin"), headers.get("sec-fetch-site")
    known = origin == site.origin if origin is not None else fetched == "same-origin"
    if CUSTOM_HEADER in headers and known and fetched in (None, "same-origin"):
        return
    raise ApiError(403, "cross_site", f"send this from a page of {site.origin}, with the header X-Regime")


class SecureHeaders:
    """Adds the headers that every response has; what the API answers is never kept."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._headers = ALWAYS | ({"strict-transport-security": HSTS} if site.secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                headers.setdefault("content-security-policy", API_CSP)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers)


class KnownHosts:
    """Refuses requests that name another host: a page that rebinds its name to this machine gets nothing."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._known = LOOPBACK | {site.host} if site.host in LOOPBACK else {site.host}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or socket."""
        known = scope["type"] == "lifespan" or _host_of(Headers(scope=scope).get("host", "")) in self._known
        if not known and scope["type"] == "http":
            await Response("unknown host", 421, media_type="text/plain")(scope, receive, send)
            return
        if not known:
            await send({"type": "websocket.close", "code": 1008})
            return
        await self._app(scope, receive, send)


def _host_of(header: str) -> str | None:
    """The host that a header names; None where it names none."""
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


class PrintablePaths:
    """Refuses control characters in what a request names: no store takes them all, and no log should."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            asked = scope["path"] + unquote_plus(scope["query_string"].decode("latin-1"))
            if any(ord(one) < 32 or ord(one) == 127 for one in asked):
                detail = "no control characters in an address"
                await problem_response(Request(scope), 400, "bad_input", detail)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class SmallBodies:
    """Refuses bodies that are too long, whether or not they say so beforehand."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        detail = f"a body of at most {self._most} bytes"
        said = Headers(scope=scope).get("content-length", "")
        if said.isdecimal() and int(said) > self._most:
            headers = {"Connection": "close"}
            response = problem_response(Request(scope), 413, "too_large", detail, headers=headers)
            await response(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                raise HTTPException(413, detail)
            return message

        await self._app(scope, counted, send)
