"""The live channel from the writer's stamp to the client, beside a bare ASGI echo on the same server in the same run.

    python benchmarks/stream.py [--clients 1 20] [--seconds 5] [--folder DIR] [--json]

A message is stamped when it is due, published in a transaction that is durable (with whatever else is due by then),
found by the server's tail, and read by every client. The echo sends the same number of the same bytes from client to
server and back, with no database between. Delays are in milliseconds; ``ratio`` is p50 of ours over p50 of the echo.
Most of it is the COMMIT and the tail, which looks every 20 ms while something comes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.live.server import HOST, ORIGIN, InProcess, People
from websockets.asyncio.client import ClientConnection, connect

from regime_trading.adapters.database import SqlMessages, open_database, sqlite_url
from regime_trading.core.access import Grant, Role
from regime_trading.core.messages import Message, RunLogData

FIRM, TEXT = "north-pier", "x" * 300
RATES = (10, 100, 300)


def percentiles(delays: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(delays, n=100)
    return {"p50_ms": cuts[49], "p99_ms": cuts[98]}


async def join(port: int, path: str) -> ClientConnection:
    headers = {"Cookie": "sid=anna"}
    return await connect(
        f"ws://{HOST}:{port}{path}", additional_headers=headers, origin=ORIGIN, compression=None, proxy=None
    )


async def ours(port: int, store: SqlMessages, clients: int, rate: int, seconds: float) -> dict[str, float]:
    count, delays = int(rate * seconds), list[float]()
    sockets = [await join(port, "/ws") for _ in range(clients)]
    for socket in sockets:
        await socket.send(json.dumps({"v": 1, "firm": FIRM, "subscribe": [{"topic": "run.log"}]}))
        await socket.recv()

    async def listen(socket: ClientConnection) -> None:
        heard = 0
        while heard < count:
            frame = json.loads(await socket.recv())
            if frame["type"] == "run.log":
                heard += 1
                delays.append((time.time_ns() - int(frame["ts"])) / 1e6)

    async def write() -> None:
        began, done = time.time_ns(), 0
        while done < count:
            due = min(count, int((time.time_ns() - began) * rate / 1e9) + 1)
            stamps = [began + int(n * 1e9 / rate) for n in range(done, due)]
            said = [Message(stamp, RunLogData(job_id="job", line=TEXT)) for stamp in stamps]
            await asyncio.to_thread(store.publish, said)
            done = due
            await asyncio.sleep(max(0.0, (began + done * 1e9 / rate - time.time_ns()) / 1e9))

    await asyncio.gather(write(), *map(listen, sockets))
    for socket in sockets:
        await socket.close()
    return percentiles(delays)


async def echo(port: int, clients: int, rate: int, seconds: float) -> dict[str, float]:
    count, delays = int(rate * seconds), list[float]()
    sockets = [await join(port, "/echo") for _ in range(clients)]

    async def listen(socket: ClientConnection) -> None:
        for _ in range(count):
            frame = json.loads(await socket.recv())
            delays.append((time.time_ns() - int(frame["ts"])) / 1e6)

    async def write(socket: ClientConnection) -> None:
        began = time.time_ns()
        for n in range(count):
            await asyncio.sleep(max(0.0, (began + n * 1e9 / rate - time.time_ns()) / 1e9))
            await socket.send(json.dumps({"ts": str(time.time_ns()), "line": TEXT}))

    await asyncio.gather(*map(listen, sockets), *map(write, sockets))
    for socket in sockets:
        await socket.close()
    return percentiles(delays)


async def measure(folder: Path, clients: Sequence[int], seconds: float) -> list[dict[str, float]]:
    url, people = sqlite_url(folder / "store.db"), People(folder / "people.json")
    people.write(anna=(Grant(FIRM, Role.PM),))
    store, found = SqlMessages(open_database(url), firm_id=FIRM), list[dict[str, float]]()
    with InProcess(url, people.path) as server:
        for number in clients:
            for rate in RATES:
                bare = await echo(server.port, number, rate, seconds)
                live = await ours(server.port, store, number, rate, seconds)
                row = {"clients": number, "per_s": rate} | {f"echo_{k}": v for k, v in bare.items()}
                found.append(row | live | {"ratio": live["p50_ms"] / bare["p50_ms"]})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--folder", type=Path, help="a folder on the device to measure")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        found = asyncio.run(measure(Path(folder), asked.clients, asked.seconds))
    if asked.json:
        print(json.dumps(found))
        return
    for row in found:
        print("  ".join(f"{key} {value:,.4g}" for key, value in row.items()))


if __name__ == "__main__":
    main()
