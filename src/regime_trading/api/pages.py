"""The pages of the command center: what the build made, from memory, compressed ahead, with a strict policy.

A path that names no file is a place inside the application and gets its first page; what the API, the socket and the
system routes answer is theirs. Names under ``assets/`` hold a hash of their content and never change.

Sources: Content Security Policy Level 3; RFC 9110 12.5.3 (Accept-Encoding), 13.1.2 (If-None-Match); RFC 8246
(immutable).
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from regime_trading.api.etags import matches
from regime_trading.core.canonical import sha256_hex

FIRST = "index.html"
FOREVER = "assets/"
NOT_PAGES = ("api", "ws", "healthz", "readyz", "metrics")
ENCODINGS = (("br", ".br"), ("gzip", ".gz"))
#: Styles may be inline: the editor, the charts and the scroll lock of dialogs insert them. Scripts never are.
PAGE_CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; object-src 'none'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_TYPES = {".webmanifest": "application/manifest+json", ".js": "text/javascript", ".woff2": "font/woff2"}


@dataclass(frozen=True, slots=True)
class Page:
    """One file as it is sent: its bodies by encoding (``""`` = as it is), type and entity tag."""

    bodies: Mapping[str, bytes]
    media_type: str
    tag: str
    forever: bool


def pages_of(files: Mapping[str, bytes]) -> dict[str, Page]:
    """Pages by path, of the files of a build with their compressed twins (``.br``, ``.gz``) beside them."""
    suffixes = tuple(suffix for _, suffix in ENCODINGS)
    found: dict[str, Page] = {}
    for name, data in files.items():
        if name.endswith(suffixes):
            continue
        twins = {encoding: files[name + suffix] for encoding, suffix in ENCODINGS if name + suffix in files}
        found[name] = Page(
            {"": data, **twins}, _type_of(name), sha256_hex(data)[:32], name.startswith(FOREVER)
        )
    return found


class Pages:
    """Answers GET and HEAD of every path that is not the API's; everything else goes on."""

    def __init__(self, app: ASGIApp, files: Mapping[str, bytes]) -> None:
        self._app, self._pages = app, pages_of(files)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix("/")
        page = self._pages.get(path)
        if page is None and (path.partition("/")[0] in NOT_PAGES or path.startswith(FOREVER)):
            await self._app(scope, receive, send)
            return
        await _sent(page or self._pages[FIRST], Headers(scope=scope))(scope, receive, send)


def _sent(page: Page, asked: Headers) -> Response:
    accepted = {part.partition(";")[0].strip() for part in asked.get("accept-encoding", "").split(",")}
    encoding = next((name for name, _ in ENCODINGS if name in accepted and name in page.bodies), "")
    tag = f'"{page.tag}-{encoding}"' if encoding else f'"{page.tag}"'
    headers = {
        "etag": tag,
        "vary": "accept-encoding",
        "content-security-policy": PAGE_CSP,
        "cache-control": "public, max-age=31536000, immutable" if page.forever else "no-cache",
    }
    if matches(asked.get("if-none-match", ""), tag, weakly=True):
        return Response(status_code=304, headers=headers)
    if encoding:
        headers["content-encoding"] = encoding
    return Response(page.bodies[encoding], media_type=page.media_type, headers=headers)


def _type_of(name: str) -> str:
    suffix = "." + name.rpartition(".")[2]
    return _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
