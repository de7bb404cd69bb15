"""The API and the live channel of a whole server, beside a bare ASGI application and a minimal FastAPI endpoint.

All three answer in one process behind one uvicorn, to one client, one after the other in the same run. ``ratio`` is p50
of ours over p50 of the FastAPI endpoint of the same method. Ours looks up the session, asks who may, counts the rate
and reads the store. The bounds on rates are lifted. Then sockets listen, some of which do not read: delays are from the
writer's stamp to the client, ``grown_mb`` is what the server took beyond what it had when all had joined.

    python benchmarks/api.py [--seconds 5] [--connections 1 8] [--clients 1000] [--slow 50] [--rate 20] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from tests.api.installation import API
from tests.api.process import Person, Served
from tests.identity_samples import CHEAP
from websockets.asyncio.client import connect

from regime_trading.adapters.database import SqlMessages, open_database
from regime_trading.api import deps
from regime_trading.api.limits import Rate
from regime_trading.bootstrap import database_url
from regime_trading.bootstrap.serve import open_server
from regime_trading.bootstrap.server import ServeOptions
from regime_trading.core.messages import Message, RunLogData

FIRM, ACCOUNT, OTHER = "north-pier", "north-pier/core", "north-pier/defensive"
EXTRA = 19  #: messages that only the slow ones listen to, beside each that everybody does
COMMAND = {"command": f"/halt account account:{ACCOUNT}"}
#: What is asked for: name, method, path, body.
ASKED: tuple[tuple[str, str, str, Any], ...] = (
    ("bare GET", "GET", "/bare", None),
    ("fastapi GET", "GET", "/fastapi", None),
    ("GET /me", "GET", f"{API}/me", None),
    ("GET accounts", "GET", f"{API}/firms/{FIRM}/accounts", None),
    ("bare POST", "POST", "/bare", COMMAND),
    ("fastapi POST", "POST", "/fastapi", COMMAND),
    ("POST preview", "POST", f"{API}/commands/preview", COMMAND),
)


class Command(BaseModel):
    """What the minimal endpoint takes and gives."""

    command: str


def minimal() -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.get("/fastapi")
    def read() -> Command:
        return Command(command="nothing")

    @app.post("/fastapi")
    def write(body: Command) -> Command:
        return body

    return app


def beside(app: Any) -> Any:
    """``app``, and the two others by their paths."""
    other = minimal()

    async def all_three(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path")
        if path == "/fastapi":
            await other(scope, receive, send)
        elif path == "/bare":
            while (await receive()).get("more_body"):
                pass
            headers = [(b"content-type", b"application/json"), (b"content-length", b"21")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b'{"command":"nothing"}'})
        else:
            await app(scope, receive, send)

    return all_three


def serve(folder: str, port: int) -> None:
    """The server process."""
    deps.READS = deps.WRITES = deps.HALTS = deps.STRANGERS = Rate(1e9, 10**9)  # type: ignore[misc]
    options = ServeOptions(port=port, public_url=f"http://localhost:{port}", jobs=0)
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    listening.bind(("127.0.0.1", port))
    with open_server(options, Path(folder, "artifacts"), Path(folder, "config"), passwords=CHEAP) as app:
        config = uvicorn.Config(
            beside(app), log_level="warning", access_log=False, ws_per_message_deflate=False
        )
        uvicorn.Server(config).run(sockets=[listening])


def percentiles(values: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100)
    return {"p50_ms": cuts[49], "p99_ms": cuts[98]}


# --- requests -------------------------------------------------------------------------------------------------


async def asked(port: int, request: bytes, seconds: float, took: list[float]) -> None:
    """Ask over one connection that stays open, one after another."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"{request[:80]!r} was answered with {head[:200]!r}")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        took.append((time.perf_counter() - began) * 1e3)
    writer.close()


async def measured(who: Person, connections: int, seconds: float) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name, method, path, body in ASKED:
        content = b"" if body is None else json.dumps(body).encode()
        lines = (
            f"{method} {path} HTTP/1.1",
            f"Host: localhost:{who.served.port}",
            f"Cookie: {who.cookie}",
            f"Origin: {who.served.home}",
            "X-Regime: 1",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
        )
        request = "\r\n".join((*lines, "", "")).encode() + content
        took: list[float] = []
        await asked(who.served.port, request, 0.3, [])
        await asyncio.gather(*(asked(who.served.port, request, seconds, took) for _ in range(connections)))
        row = {"what": name, "connections": connections, "per_s": len(took) / seconds}
        found.append(row | percentiles(took))
    plain = {one["what"]: one["p50_ms"] for one in found}
    for one, (_, method, *_) in zip(found, ASKED, strict=True):
        one["ratio"] = one["p50_ms"] / plain[f"fastapi {method}"]
    return found


# --- sockets --------------------------------------------------------------------------------------------------


async def small(port: int) -> socket.socket:
    """A connected socket in which next to nothing waits to be read."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    made.setblocking(False)
    await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    return made


def memory_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


async def sockets(
    who: Person, pid: int, clients: int, slow: int, rate: int, seconds: float
) -> dict[str, Any]:
    """Most clients listen to one account. The slow ones listen to another too, of which nineteen times as much is told,
    and read nothing until everything was said."""
    store = SqlMessages(open_database(database_url(who.served.artifacts)), firm_id=FIRM)
    total, delays = int(rate * seconds), list[float]()
    first = store.span()[1]
    door, inside, done = asyncio.Semaphore(20), list[int](), asyncio.Event()
    url, headers = f"ws://localhost:{who.served.port}/ws", {"Cookie": who.cookie}

    async def listen(number: int) -> None:
        async with door:
            more: dict[str, Any] = {}
            if number < slow:
                more = {"sock": await small(who.served.port), "max_queue": 1}
            client = await connect(
                url, additional_headers=headers, origin=who.served.home, compression=None, proxy=None,
                open_timeout=120, ping_interval=None, **more,
            )  # type: ignore[arg-type] # fmt: skip
            topic = {"topic": "*", "account": "" if number < slow else ACCOUNT}
            await client.send(json.dumps({"v": 1, "firm": FIRM, "subscribe": [topic]}))
            await client.recv()
        inside.append(number)
        if number < slow:
            await done.wait()
        last = first
        while last < first + (EXTRA + 1) * total:
            frame = json.loads(await client.recv())
            last = frame["seq"]
            if frame["type"] == "run.log" and number >= slow:
                delays.append((time.time_ns() - int(frame["ts"])) / 1e6)
        await client.close()

    tasks = [asyncio.create_task(listen(n)) for n in range(clients)]
    while len(inside) < clients:
        if any(task.done() for task in tasks):
            await asyncio.gather(*tasks)
        await asyncio.sleep(0.1)
    before = memory_mb(pid)
    for _ in range(total):
        said = [Message(0, RunLogData(job_id="job", line="z" * 500), OTHER)] * EXTRA
        said.append(Message(time.time_ns(), RunLogData(job_id="job", line="x" * 400), ACCOUNT))
        await asyncio.to_thread(store.publish, said)
        await asyncio.sleep(1 / rate)
    grown = memory_mb(pid) - before
    done.set()
    await asyncio.gather(*tasks)
    row = {"clients": clients, "slow": slow, "per_s": rate, "heard": len(delays)}
    return row | percentiles(delays) | {"grown_mb": grown}


# --- all of it --------------------------------------------------------------------------------------------------


def measure(folder: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    os.environ |= {"REGIME_KEYS": str(keys), "REGIME_WITNESS": str(folder / "witness")}
    os.environ.pop("REGIME_DATABASE", None)
    served = Served(None, folder)  # type: ignore[arg-type]
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(str(folder), served.port), daemon=True
    )
    process.start()
    assert process.pid is not None
    served.pid = process.pid
    served.wait()
    who = served.admin(FIRM).invite("pm@north-pier.example", "pm")
    found = [row for number in args.connections for row in asyncio.run(measured(who, number, args.seconds))]
    if args.clients:
        found.append(
            asyncio.run(sockets(who, process.pid, args.clients, args.slow, args.rate, 3 * args.seconds))
        )
    process.terminate()
    process.join(60)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--clients", type=int, default=1_000, help="of the live channel; 0 leaves it out")
    parser.add_argument("--slow", type=int, default=50)
    parser.add_argument("--rate", type=int, default=5, help="messages a second that everybody hears")
    parser.add_argument("--folder", type=Path, help="a folder on the device to measure")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8_192)), hard))
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        found = measure(Path(folder), args)
    if args.json:
        print(json.dumps(found))
        return
    for row in found:
        print("  ".join(f"{k} {v:,.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))


if __name__ == "__main__":
    main()
