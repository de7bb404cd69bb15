"""From the name a user types to a venue."""

from __future__ import annotations

import difflib
import importlib
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from regime_trading.adapters.venues.retry import Retrier, RetryLimits, Sleep
from regime_trading.adapters.venues.secrets import Credentials, Redactor
from regime_trading.adapters.venues.venue import Venue
from regime_trading.core.errors import BadInput
from regime_trading.core.ports import Clock

EXTRA = "pip install 'regime-trading[venues]'"
ALPACA_FEEDS = ("sip", "iex", "delayed_sip", "otc", "boats", "overnight")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def open_venue(
    name: str,
    *,
    credentials: Credentials | None,
    clock: Clock,
    sleep: Sleep,
    base_url: str | None = None,
    limits: RetryLimits | None = None,
    rng: np.random.Generator | None = None,
) -> Venue:
    """Open a venue. No request is sent yet.

    Parameters
    ----------
    name : str
        ``ccxt:binance``, ``ccxt:kraken`` … (any exchange of ccxt), ``alpaca`` (the consolidated feed) or
        ``alpaca:iex`` (or another feed of Alpaca).
    credentials : Credentials or None
        Alpaca needs them. Market data of crypto exchanges are public: ccxt is never given any.
    clock : Clock
        Wall clock.
    sleep : callable
        Waits for so many seconds.
    base_url : str, optional
        Another server that speaks the same language, such as a proxy; https, or http on this machine.
    limits : RetryLimits, optional
    rng : numpy.random.Generator, optional
        Jitter of the retries; from the clock's time where None, so that two processes do not wait in step.

    Raises
    ------
    BadInput
        An unknown venue (with the nearest names), a missing package (with the command that installs it),
        missing keys (with their names), a base URL that would show keys to the network.
    """
    limits = limits or RetryLimits()
    if base_url is not None:
        _require_safe(base_url)
    rng = rng or np.random.default_rng(clock.now_ns() % 2**63)
    retrier = Retrier(limits, clock, sleep, rng)
    kind, _, rest = name.partition(":")
    if kind == "ccxt":
        return _open_ccxt(name, rest, clock, sleep, base_url, limits, retrier)
    if kind == "alpaca":
        return _open_alpaca(name, rest, credentials, clock, sleep, base_url, limits, retrier)
    raise BadInput(
        expected="ccxt:EXCHANGE (such as ccxt:binance or ccxt:kraken), alpaca or alpaca:iex",
        found=repr(name[:60]),
        where="venue",
    )


def _open_ccxt(
    name: str,
    exchange: str,
    clock: Clock,
    sleep: Sleep,
    base_url: str | None,
    limits: RetryLimits,
    retrier: Retrier,
) -> Venue:
    ccxt = _library("ccxt", name)
    if exchange not in ccxt.exchanges:
        near = difflib.get_close_matches(exchange.lower(), ccxt.exchanges, n=3, cutoff=0.5)
        hint = f" (nearest: {', '.join(near)})" if near else " (such as binance, kraken, coinbase)"
        raise BadInput(
            expected=f"an exchange of ccxt{hint}", found=repr(exchange[:60]), where=f"venue {name[:60]}"
        )
    from regime_trading.adapters.venues.ccxt_venue import CcxtVenue

    return CcxtVenue(name, ccxt, exchange, clock, sleep, base_url, limits, retrier, Redactor(None))


def _open_alpaca(
    name: str,
    feed: str,
    credentials: Credentials | None,
    clock: Clock,
    sleep: Sleep,
    base_url: str | None,
    limits: RetryLimits,
    retrier: Retrier,
) -> Venue:
    if ":" in name and feed not in ALPACA_FEEDS:
        near = difflib.get_close_matches(feed, ALPACA_FEEDS, n=2, cutoff=0.4) or ALPACA_FEEDS
        raise BadInput(
            expected=f"a feed of Alpaca (nearest: {', '.join(near)})",
            found=repr(feed[:60]),
            where=f"venue {name[:60]}",
        )
    _library("alpaca.data", name)
    held = {
        "ALPACA_API_KEY": credentials.key if credentials else "",
        "ALPACA_API_SECRET": credentials.secret if credentials else "",
    }
    missing = [variable for variable, value in held.items() if not value.strip()]
    if credentials is None or missing:
        raise BadInput(
            expected="ALPACA_API_KEY and ALPACA_API_SECRET",
            found=f"no {' and no '.join(missing)}",
            where=f"venue {name}",
        )
    from regime_trading.adapters.venues.alpaca_venue import AlpacaVenue

    return AlpacaVenue(
        name, feed or "sip", credentials, clock, sleep, base_url, limits, retrier, Redactor(credentials)
    )


def _library(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise
        raise BadInput(
            expected=f"the optional packages for venues: {EXTRA}",
            found=f"no package {module.partition('.')[0]!r}",
            where=f"venue {name[:60]}",
        ) from None


def _require_safe(base_url: str) -> None:
    """Keys travel in headers: plain http only to this machine."""
    parts = urlsplit(base_url)
    local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    plain = parts.username is None and not parts.query and not parts.fragment and bool(parts.hostname)
    if not plain or not (local or parts.scheme == "https"):
        raise BadInput(
            expected="an https URL without user, query or fragment (http on this machine only)",
            found=f"scheme {parts.scheme!r}, host {parts.hostname!r}",
            where="base_url",
        )
