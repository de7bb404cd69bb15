"""The one gate to the network, shared by both client libraries: a ``requests`` session of theirs, guarded.

Importing this module imports ``requests``, which both libraries bring.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
from requests.adapters import HTTPAdapter

from regime_trading.adapters.venues.retry import Attempt, TokenBucket, Transient
from regime_trading.adapters.venues.secrets import Redactor
from regime_trading.core.bars import SECOND_NS
from regime_trading.core.errors import BadInput, RegimeError
from regime_trading.core.ports import Clock

_TOO_FAST = {418: "banned for asking too often", 429: "asked too often"}
_PASSING = {408, 425, *_TOO_FAST}
_KEPT_ATTEMPTS = 10_000


@dataclass(frozen=True, slots=True)
class Reply:
    """When the last good answer was asked for and received, and what its ``Date`` header said (ns or None)."""

    path: str
    sent_ns: int
    received_ns: int
    date_ns: int | None


class GuardedAdapter(HTTPAdapter):
    """Sends one request: waits for its token, reads the whole answer, records it, and tells faults apart.

    Raises ``Transient`` for what may pass (no connection, a broken or unreadable answer, 408, 418, 425, 429,
    5xx), ``BadInput`` for what the venue refuses (other 4xx) and ``RegimeError`` for a redirect, which could
    carry keys elsewhere. No message holds a query string or a header.

    Parameters
    ----------
    venue : str
    bucket : TokenBucket
    clock : Clock
    timeout_s : float
    redact : Redactor
    """

    def __init__(
        self, venue: str, bucket: TokenBucket, clock: Clock, timeout_s: float, redact: Redactor
    ) -> None:
        super().__init__(max_retries=0)
        self._venue, self._bucket, self._clock = venue, bucket, clock
        self._timeout_s, self._redact = timeout_s, redact
        self.attempts: deque[Attempt] = deque(maxlen=_KEPT_ATTEMPTS)
        self.requests = 0
        self.last_reply: Reply | None = None

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        """Answer to one request, its body read and known to be JSON."""
        path = urlsplit(request.url).path
        options["timeout"] = self._timeout_s
        self._bucket.take()
        sent_ns = self._clock.now_ns()
        try:
            response = super().send(request, *args, **options)
            body = response.content
        except (requests.RequestException, OSError) as fault:
            self._record(sent_ns, path, None, type(fault).__name__)
            raise Transient(self._venue, path, f"no whole answer ({type(fault).__name__})") from None
        self._record(sent_ns, path, response.status_code, "")
        self._require_good(path, response, body)
        received_ns = self._clock.now_ns()
        self.last_reply = Reply(path, sent_ns, received_ns, _date_ns(response.headers.get("Date")))
        return response

    def _record(self, sent_ns: int, path: str, status: int | None, error: str) -> None:
        self.requests += 1
        self.attempts.append(Attempt(sent_ns, path, status, error, self._clock.now_ns() - sent_ns))

    def _require_good(self, path: str, response: Any, body: bytes) -> None:
        status = response.status_code
        if status in _PASSING or status >= 500:
            wait_s = _retry_after_s(response.headers.get("Retry-After"), self._clock.now_ns())
            reason = f"HTTP {status}" + (f", {_TOO_FAST[status]}" if status in _TOO_FAST else "")
            raise Transient(self._venue, path, reason, status, wait_s)
        if 300 <= status < 400:
            raise RegimeError(f"{self._venue} {path}: HTTP {status}, a redirect, which is not followed")
        if status >= 400:
            raise _refused(self._venue, path, status, self._redact(body.decode("utf-8", "replace")))
        if not _is_json(body):
            found = "an HTML page" if body.lstrip()[:1] == b"<" else f"{len(body)} bytes that are not JSON"
            raise Transient(self._venue, path, f"HTTP {status} with {found}", status)


def guard(session: Any, adapter: GuardedAdapter) -> None:
    """Send all of a session's requests through ``adapter``; nothing comes from the environment."""
    session.trust_env = False
    session.mount("https://", adapter)
    session.mount("http://", adapter)


def _refused(venue: str, path: str, status: int, message: str) -> BadInput:
    expected = {
        401: "keys that the venue accepts",
        403: "keys that the venue accepts, with a plan that covers these data",
        404: "an endpoint and a symbol that the venue has",
        451: "a venue that serves this place",
    }.get(status, "a request that the venue accepts")
    return BadInput(
        expected=expected, found=f"HTTP {status}: {message or 'no text'}", where=f"{venue} {path}"
    )


def _is_json(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


def _date_ns(text: str | None) -> int | None:
    """Middle of the second that an HTTP date names."""
    at = _http_date(text)
    return None if at is None else int(at.timestamp()) * SECOND_NS + SECOND_NS // 2


def _retry_after_s(text: str | None, now_ns: int) -> float | None:
    """Seconds of a ``Retry-After`` header, which holds seconds or a date (RFC 9110 10.2.3)."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    at = _http_date(text)
    return None if at is None else max(at.timestamp() - now_ns / SECOND_NS, 0.0)


def _http_date(text: str | None) -> datetime | None:
    try:
        at = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, IndexError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
