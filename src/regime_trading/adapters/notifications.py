"""Ways out of the house, over apprise: one URL per channel, which is a secret and is never told.

Only services that are listed, only to addresses of the public internet unless a host is named as allowed, without
following redirects, each within a bounded time.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import stat
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from regime_trading.core.errors import BadInput
from regime_trading.core.events import Severity
from regime_trading.core.notifications import Notice

TIMEOUT_S = 10.0
#: Services with an address of their own, and those whose URL chooses the host; none acts on this machine, or is told by
#: a host to ask another.
OF_VENDORS = frozenset({"discord", "msteams", "opsgenie", "pagerduty", "pover", "slack", "tgram", "twilio"})
BY_HOST = frozenset({"form", "forms", "gotify", "gotifys", "json", "jsons", "mmost", "mmosts", "xml", "xmls"})
BY_MAIL = frozenset({"mailto", "mailtos"})
SERVICES = OF_VENDORS | BY_HOST | BY_MAIL
_KIND = {
    Severity.INFO: "info",
    Severity.NOTICE: "info",
    Severity.WARNING: "warning",
    Severity.CRITICAL: "failure",
}
Resolve = Callable[[str], Sequence[str]]


def addresses_of(host: str) -> tuple[str, ...]:
    """Every address of a host; raises ``OSError`` where it has none."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(sorted({str(one[4][0]) for one in found}))


@dataclass(frozen=True, slots=True)
class Outbound:
    """Where something may be sent to.

    Parameters
    ----------
    allowed : frozenset of str
        Hosts that may be reached although their addresses are private, in lower case.
    resolve : callable
        Addresses of a host.
    """

    allowed: frozenset[str] = frozenset()
    resolve: Resolve = addresses_of

    def permits(self, host: str) -> bool:
        """Whether every address of a host is of the public internet, or the host is allowed; a host that cannot be
        found is not."""
        name = host.strip("[]").rstrip(".").lower()
        if name in self.allowed:
            return True
        try:
            found = self.resolve(name) if name else ()
        except (OSError, UnicodeError):
            return False
        return bool(found) and all(_is_public(address) for address in found)


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.split("%")[0])
    inner = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    if inner is not None and not _is_public(str(inner)):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _silence() -> None:
    """What these say would hold paths of URLs, which are secrets; whether a notice went out is told by us."""
    for name in ("apprise", "urllib3", "requests"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


class AppriseChannel:
    """One channel of a firm.

    Parameters
    ----------
    url : str
        Apprise's, a secret.
    number : int
        Its place among the firm's channels, from 1.
    outbound : Outbound
    timeout_s : float

    Raises
    ------
    BadInput
        A URL that apprise does not understand, or of a service that is not listed; the URL is not repeated.
    """

    def __init__(self, url: str, number: int, outbound: Outbound, timeout_s: float = TIMEOUT_S) -> None:
        import apprise

        _silence()
        schema = url.partition(":")[0].lower()
        self._name = f"channel {number} ({schema if schema in SERVICES else 'unknown'})"
        asset = apprise.AppriseAsset(app_id="Regime Trading", app_desc="Regime Trading", secure_logging=True)
        made: Any = apprise.Apprise.instantiate(url, asset=asset) if schema in SERVICES else None
        if made is None:
            raise BadInput(
                expected=f"a URL of apprise for one of {', '.join(sorted(SERVICES))}",
                found="another (not shown: it may hold a secret)",
                where=self._name,
            )
        made.redirects = False
        made.request_rate_per_sec = 0
        made.socket_connect_timeout = made.socket_read_timeout = timeout_s
        self._service: Any = made
        self._schema, self._outbound = schema, outbound

    @property
    def name(self) -> str:
        """Number and kind."""
        return self._name

    def send(self, notice: Notice) -> bool:
        """Whether the service took it; never where its host may not be reached."""
        if self._schema not in OF_VENDORS and not self._outbound.permits(self._host()):
            return False
        kind = _KIND[notice.severity]
        return bool(self._service.notify(body=notice.body, title=notice.subject, notify_type=kind))

    def _host(self) -> str:
        """The host that the URL chooses."""
        if self._schema in BY_MAIL and self._service.smtp_host:
            return str(self._service.smtp_host)
        return str(self._service.host or "")


def read_channel_file(path: Path) -> tuple[str, ...]:
    """URLs of a file that nobody else can read, one a line; ``#`` begins a remark.

    Raises
    ------
    BadInput
        A file that cannot be read, or that others may read.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise BadInput(expected="a file of mode 0600", found=oct(stat.S_IMODE(mode)), where=str(path))
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(expected="a readable file", found=type(error).__name__, where=str(path)) from error
    return tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        return None


class DeadManPing:
    """Tells a watcher outside that all is well; silence is what raises its alarm.

    Parameters
    ----------
    url : str
        http or https, a secret.
    outbound : Outbound

    Raises
    ------
    BadInput
        Another kind of URL, which is not repeated.
    """

    def __init__(self, url: str, outbound: Outbound, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput(
                expected="an http or https URL", found="another (not shown)", where="REGIME_DEADMAN_URL"
            )
        self._url, self._host, self._outbound, self._timeout_s = url, parts.hostname, outbound, timeout_s
        self._opener = urllib.request.build_opener(_NoRedirect)

    def send(self) -> bool:
        """Whether the watcher heard it."""
        if not self._outbound.permits(self._host):
            return False
        try:
            with self._opener.open(self._url, timeout=self._timeout_s) as answer:
                status: Any = answer.status
                return 200 <= int(status) < 300
        except (OSError, ValueError):
            return False
