"""A local HTTP server that answers as venues document it, and can be told to misbehave.

Public documentation that it follows, consulted 2026-11:

- Binance spot REST, https://developers.binance.com/docs/binance-spot-api-docs/rest-api : ``GET /api/v3/time``,
  ``/exchangeInfo``, ``/klines`` (open time first, startTime inclusive, limit ≤ 1000), ``/depth``
  (``lastUpdateId``, no time), ``/aggTrades`` (``m``: the buyer was the maker; fromId inclusive), errors as
  ``{"code", "msg"}``, 429 and 418 with ``Retry-After``.
- Kraken REST, https://docs.kraken.com/api-reference : ``GET /0/public/Time``, ``Assets``, ``AssetPairs``, ``OHLC``,
  ``Trades`` (``last`` is the cursor, nanoseconds), ``Depth``; errors as ``{"error": […]}`` with HTTP 200.
- Alpaca market data, https://docs.alpaca.markets/reference/stockbars : ``GET /v2/stocks/bars``, ``/quotes``,
  ``/trades`` (``next_page_token``), ``/quotes/latest``, ``/meta/exchanges``; keys in ``APCA-API-KEY-ID`` and
  ``APCA-API-SECRET-KEY``; 403 without.

The data are the test's own: lists that it sets on the server. Only loopback, only an ephemeral port.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

MS = 1_000_000
KEY, SECRET = "PKTESTKEY0000000001", "s3cr3t-of-the-test-000000000000000000001"


@dataclass
class Fault:
    """What to answer instead of data: a status and body, or a broken connection."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None  #: bytes of the body sent before the connection is reset
    hang_s: float = 0.0


@dataclass
class Script:
    """State of the server: what it knows, what it was asked, how it fails next (by path ending, in order)."""

    now_ms: int
    klines: list[list[Any]] = field(default_factory=list)
    agg_trades: list[dict[str, Any]] = field(default_factory=list)
    books: list[dict[str, Any]] = field(default_factory=list)
    kraken_trades: list[list[Any]] = field(default_factory=list)
    stock: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    latest: list[dict[str, Any]] = field(default_factory=list)
    page: int = 1000
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    echo_keys: bool = False
    stuck_token: bool = False
    released: threading.Event = field(default_factory=threading.Event)

    def fail(self, path: str, *faults: Fault) -> None:
        self.faults.setdefault(path, []).extend(faults)

    def count(self, path: str) -> int:
        return sum(asked.endswith(path) for asked, _ in self.asked)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script

    def log_message(self, *_: Any) -> None: ...

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(self.script.now_ms / 1000, usegmt=True)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        self.script.asked.append((parts.path, query))
        for ending, faults in self.script.faults.items():
            if parts.path.endswith(ending) and faults:
                return self._misbehave(faults.pop(0))
        status, answer = _answer(self.script, parts.path, query, dict(self.headers))
        return self._send(status, json.dumps(answer).encode(), {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _misbehave(self, fault: Fault) -> None:
        if fault.hang_s:
            self.script.released.wait(fault.hang_s)
            self.close_connection = True
            return
        if fault.cut_after is None:
            self._send(fault.status, fault.body, fault.headers)
            return
        self.send_response(fault.status)
        self.send_header("Content-Length", str(len(fault.body)))
        self.end_headers()
        self.wfile.write(fault.body[: fault.cut_after])
        self.wfile.flush()
        self.close_connection = True


def _answer(s: Script, path: str, q: dict[str, str], headers: dict[str, str]) -> tuple[int, Any]:
    if path.startswith("/api/v3/"):
        return _binance(s, path.removeprefix("/api/v3/"), q)
    if path.startswith("/0/public/"):
        return 200, _kraken(s, path.removeprefix("/0/public/"), q)
    if path.startswith("/v2/stocks/"):
        return _alpaca(s, path.removeprefix("/v2/stocks/"), q, headers)
    return 404, {"message": "not found"}


# --- Binance ----------------------------------------------------------------------------------------------


def _binance(s: Script, name: str, q: dict[str, str]) -> tuple[int, Any]:
    if name == "time":
        return 200, {"serverTime": s.now_ms}
    if name == "exchangeInfo":
        return 200, {"timezone": "UTC", "serverTime": s.now_ms, "symbols": [_pair("BTC"), _pair("ETH")]}
    if q.get("symbol") not in ("BTCUSDT", "ETHUSDT"):
        return 400, {"code": -1121, "msg": "Invalid symbol."}
    limit = min(int(q.get("limit", 500)), s.page)
    if name == "klines":
        rows = [k for k in s.klines if k[0] >= int(q.get("startTime", 0))]
        return 200, rows[:limit]
    if name == "depth":
        book = s.books.pop(0) if len(s.books) > 1 else s.books[0]
        return 200, book
    if name == "aggTrades":
        rows = [
            t
            for t in s.agg_trades
            if t["a"] >= int(q.get("fromId", 0))
            and int(q.get("startTime", 0)) <= t["T"] <= int(q.get("endTime", 2**60))
        ]
        return 200, rows[:limit]
    return 404, {"code": -1, "msg": "unknown"}


def _pair(base: str) -> dict[str, Any]:
    return {
        "symbol": f"{base}USDT",
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": "USDT",
        "quotePrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000.0", "stepSize": "0.00001"},
        ],
        "permissions": ["SPOT"],
    }


def kline(open_ms: int, step_ms: int, close: float = 100.0, **cells: Any) -> list[Any]:
    """One candle as Binance sends it; ``cells`` replaces open, high, low, close or volume."""
    named = {"o": close - 0.5, "h": close + 1, "l": close - 1, "c": close, "v": 3.25} | cells
    texts = [v if isinstance(v, str) else f"{v:.8f}" for v in named.values()]
    return [open_ms, *texts, open_ms + step_ms - 1, "325.0", 12, "1.5", "150.0", "0"]


def agg_trade(
    number: int, time_ms: int, price: str = "100.00", size: str = "0.5", maker: bool = False
) -> Any:
    return {"a": number, "p": price, "q": size, "f": number, "l": number, "T": time_ms, "m": maker, "M": True}


# --- Kraken -----------------------------------------------------------------------------------------------


def _kraken(s: Script, name: str, q: dict[str, str]) -> dict[str, Any]:
    if name == "Time":
        return {"error": [], "result": {"unixtime": s.now_ms // 1000, "rfc1123": ""}}
    if name == "Assets":
        coin = {"aclass": "currency", "decimals": 10, "display_decimals": 5, "status": "enabled"}
        return {
            "error": [],
            "result": {"XXBT": {**coin, "altname": "XBT"}, "ZUSD": {**coin, "altname": "USD"}},
        }
    if name == "AssetPairs":
        pair = {
            "altname": "XBTUSD",
            "wsname": "XBT/USD",
            "base": "XXBT",
            "quote": "ZUSD",
            "pair_decimals": 1,
            "lot_decimals": 8,
            "leverage_buy": [],
            "fees": [[0, 0.4]],
            "fees_maker": [[0, 0.25]],
            "ordermin": "0.00005",
            "status": "online",
        }
        return {"error": [], "result": {"XXBTZUSD": pair}}
    if name == "OHLC":
        since = int(q.get("since", 0))
        rows = [
            [k[0] // 1000, k[1], k[2], k[3], k[4], "100.0", k[5], 3] for k in s.klines if k[0] // 1000 > since
        ][-720:]
        return {"error": [], "result": {"XXBTZUSD": rows, "last": rows[-1][0] if rows else since}}
    if name == "Trades":
        since = int(q.get("since", 0))
        rows = [list(t) for t in s.kraken_trades if round(t[2] * 1e9) > since][: s.page]
        last = str(round(rows[-1][2] * 1e9)) if rows else str(since)
        return {"error": [], "result": {"XXBTZUSD": rows, "last": last}}
    return {"error": ["EGeneral:Unknown method"]}


# --- Alpaca -----------------------------------------------------------------------------------------------


def _alpaca(s: Script, name: str, q: dict[str, str], headers: dict[str, str]) -> tuple[int, Any]:
    given = {k.lower(): v for k, v in headers.items()}
    key, secret = given.get("apca-api-key-id"), given.get("apca-api-secret-key")
    if s.echo_keys or (key, secret) != (KEY, SECRET):
        return 403, {"message": f"forbidden: key {key} with secret {secret}"}
    if name == "meta/exchanges":
        return 200, {"V": "IEX", "D": "FINRA ADF", "Q": "NASDAQ OMX"}
    if name == "quotes/latest":
        quote = s.latest.pop(0) if len(s.latest) > 1 else s.latest[0]
        return 200, {"quotes": {q["symbols"]: quote}}
    if name not in ("bars", "quotes", "trades"):
        return 404, {"message": "not found"}
    rows = [r for r in s.stock.get(name, []) if _ns(q["start"]) <= _ns(r["t"]) <= _ns(q["end"])]
    start = int(q.get("page_token", 0))
    limit = min(int(q["limit"]), s.page)
    following = str(start + limit) if start + limit < len(rows) else None
    if s.stuck_token:
        following = "5"
    return 200, {name: {q["symbols"]: rows[start : start + limit]}, "next_page_token": following}


def _ns(text: str) -> int:
    return int(np.datetime64(text.removesuffix("Z").removesuffix("+00:00"), "ns").astype(np.int64))


@contextmanager
def serving(script: Script) -> Iterator[str]:
    """The server's base URL while the block runs."""
    handler = type("Handler", (_Handler,), {"script": script})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        script.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
