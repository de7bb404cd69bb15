"""A real ``regime serve``: how it ends, and what it says of itself while something is broken."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.api.installation import API
from tests.api.process import Nursery, Person, Served, nursery, running
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from regime_trading.adapters.database import SqlJobs, open_database
from regime_trading.bootstrap import database_url
from regime_trading.core.jobs import JobStatus


@pytest.fixture(scope="module")
def where() -> Iterator[Nursery]:
    with nursery() as found:
        yield found


@pytest.fixture(scope="module")
def served(
    where: Nursery, tmp_path_factory: pytest.TempPathFactory, database: str, _keys_and_witness: None
) -> Iterator[Served]:
    with running(Served(where, tmp_path_factory.mktemp("process"), jobs=1)) as found:
        yield found


def job_of(served: Served, job_id: str) -> Any:
    engine = open_database(database_url(served.artifacts))
    try:
        return SqlJobs(engine, firm_id="north-pier").get(job_id)
    finally:
        engine.dispose()


def listened(served: Served, person: Person, joined: threading.Event) -> int | None:
    """Listen to the live channel until it ends; its close code."""

    async def work() -> int | None:
        url = f"ws://localhost:{served.port}/ws"
        headers = {"Cookie": person.cookie}
        async with connect(url, additional_headers=headers, origin=served.home, proxy=None) as client:  # type: ignore[arg-type]
            await client.send(json.dumps({"v": 1, "firm": "north-pier", "subscribe": [{"topic": "*"}]}))
            await client.recv()
            joined.set()
            try:
                while True:
                    await client.recv()
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else None

    return asyncio.run(work())


def readiness(served: Served) -> tuple[int, dict[str, Any], list[str]]:
    answer = httpx.get(f"{served.home}/readyz", timeout=60)
    found = answer.json()
    return answer.status_code, found, [one["name"] for one in found["checks"] if not one["ok"]]


def test_readiness_tells_the_truth(served: Served, database: str) -> None:
    until = time.monotonic() + 60
    while readiness(served)[2] == ["worker"] and time.monotonic() < until:
        time.sleep(0.1)
    assert readiness(served)[0::2] == (200, [])

    served.witness.write_text("")
    status, found, failed = readiness(served)
    assert (status, found["degraded"], failed) == (200, True, ["witness"]), "degraded is ready"
    served.witness.unlink()

    traders = served.config / "traders.yaml"
    good = traders.read_text()
    traders.write_text(good.replace("schema_version", "schema_versoin", 1))
    status, _, failed = readiness(served)
    assert status == 503 and "config" in failed
    traders.write_text(good)

    engine = open_database(database_url(served.artifacts))
    with engine.connect() as connection:
        newest = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
    for statement, wanted in (
        ("UPDATE alembic_version SET version_num = '0001'", "migrations"),
        ("ALTER TABLE workers RENAME TO gone", "store"),
    ):
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)
        status, _, failed = readiness(served)
        assert status == 503 and wanted in failed, failed
        metrics = httpx.get(f"{served.home}/metrics", timeout=60).text
        assert f'regime_ready{{check="{wanted}"}} 0.0' in metrics, "and so do the metrics"
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO workers")
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{newest}'")
    engine.dispose()

    if database == "sqlite":
        state, moved = served.artifacts / "state", served.artifacts / "moved"
        state.rename(moved)
        state.write_text("")  # a file in the place of the folder: nothing can be written
        status, _, failed = readiness(served)
        assert status == 503 and {"store", "artifacts"} <= set(failed), failed
        state.unlink()
        moved.rename(state)
    until = time.monotonic() + 60
    while readiness(served)[2] == ["worker"] and time.monotonic() < until:
        time.sleep(0.1)
    assert readiness(served)[0::2] == (200, []), "everything is well again"


def on_its_way(served: Served, person: Person, path: str, body: dict[str, Any]) -> socket.socket:
    """A request that the server is at work on: it has asked for the body."""
    content = json.dumps(body).encode()
    lines = (
        f"POST {API}{path} HTTP/1.1",
        f"Host: localhost:{served.port}",
        f"Cookie: {person.cookie}",
        f"Origin: {served.home}",
        "X-Regime: 1",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        "Expect: 100-continue",
        "",
        "",
    )
    connection = socket.create_connection(("localhost", served.port), timeout=60)
    connection.sendall("\r\n".join(lines).encode())
    assert connection.recv(1_000).startswith(b"HTTP/1.1 100 ")
    connection.sendall(content)
    return connection


def everything(connection: socket.socket) -> bytes:
    said = b""
    while piece := connection.recv(65_536):
        said += piece
    return said


def test_sigterm_finishes_answers_closes_sockets_and_gives_jobs_back(served: Served) -> None:
    pm = served.admin("north-pier").invite("pm@north-pier.example", "pm")
    asked = {"kind": "backtest", "request": {"source": "bundled"}}
    started = pm.once("POST", "/firms/north-pier/jobs", asked, idempotency_key="key-of-the-backtest")
    assert started is not None and started.status_code == 202, started
    job_id = started.json()["job_id"]
    until = time.monotonic() + 120
    while job_of(served, job_id).status is not JobStatus.RUNNING:
        assert time.monotonic() < until
        time.sleep(0.05)
    codes, joined = list[int | None](), threading.Event()
    listening = threading.Thread(target=lambda: codes.append(listened(served, pm, joined)))
    listening.start()
    assert joined.wait(60)

    text = {"command": "/config set account:north-pier/core risk.gross:50%"}
    connection = on_its_way(served, pm, "/commands/preview", text)
    began = time.monotonic()
    assert served.end(signal.SIGTERM) == 0, served.log[-2_000:]
    print(f"stopped within {time.monotonic() - began:.1f} s")
    said = everything(connection)
    assert said.startswith(b"HTTP/1.1 200 ") and b'"preview_id"' in said, "it was on its way"
    listening.join(60)
    assert codes == [1012]
    found = job_of(served, job_id)
    assert (found.status, found.attempt, found.worker, found.lease_ns) == (JobStatus.QUEUED, 0, "", None)
    assert "Traceback" not in served.log
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{served.home}/healthz")
