"""A real server with nothing but the live channel, for the tests and the benchmark: people come from a file."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database import SqlMessages, SqlTickets, message_heads, open_database
from regime_trading.api.ws import Hub, StreamDeps, websocket_router
from regime_trading.core.access import Grant, Principal, Role
from regime_trading.services.stream import Limits
from regime_trading.services.stream_tickets import redeem

ORIGIN = "https://desk.example"
HOST = "127.0.0.1"
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.live.server"])


@dataclass
class People:
    """Sessions in a file, by cookie; every process reads them anew."""

    path: Path

    def write(self, **grants: Sequence[Grant]) -> None:
        plain = {
            cookie: [
                [g.firm_id, g.role.value, sorted(g.accounts) if g.accounts is not None else None, g.redact]
                for g in held
            ]
            for cookie, held in grants.items()
        }
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(plain))
        new.replace(self.path)

    def of_cookie(self, cookie: str) -> Principal | None:
        return self.of_sessions([f"session-{cookie}"]).get(f"session-{cookie}")

    def of_sessions(self, sessions: Sequence[str]) -> dict[str, Principal]:
        known = json.loads(self.path.read_text())
        return {
            name: Principal(
                user_id=cookie,
                grants=tuple(
                    Grant(firm, Role(role), None if names is None else frozenset(names), redact)
                    for firm, role, names, redact in known[cookie]
                ),
                second_factor=True,
                session_id=name,
            )
            for name in sessions
            if (cookie := name.removeprefix("session-")) in known
        }


def app_of(url: str, people: People, limits: Limits | None = None) -> FastAPI:
    engine, clock = open_database(url), SystemClock()
    tickets = SqlTickets(engine)
    app = FastAPI()
    app.include_router(
        websocket_router(
            Hub(
                StreamDeps(
                    principal_of_cookie=people.of_cookie,
                    principals_of=people.of_sessions,
                    redeem_ticket=lambda text: redeem(tickets, text, clock.now_ns()),
                    heads=partial(message_heads, engine),
                    messages=lambda firm: SqlMessages(engine, firm_id=firm),
                    clock=clock,
                    allowed_origins=frozenset({ORIGIN}),
                    denied=lambda *_: None,
                    limits=limits or Limits(),
                )
            )
        )
    )
    return app


def beside_echo(app: FastAPI) -> Any:
    """``app``, and at ``/echo`` a bare ASGI websocket that says back what it hears: the baseline of the benchmark."""

    async def both(scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path") != "/echo":
            return await app(scope, receive, send)
        while (message := await receive())["type"] != "websocket.disconnect":
            answer = {"type": "websocket.accept"}
            if message["type"] == "websocket.receive":
                answer = {"type": "websocket.send", "text": message["text"]}
            await send(answer)
        return None

    return both


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def config_of(app: Any, port: int) -> uvicorn.Config:
    return uvicorn.Config(app, HOST, port, log_level="warning", ws_per_message_deflate=False, lifespan="off")


@dataclass
class InThread:
    """A server in a thread of this process; ``send_buffer`` bytes wait in the kernel for each of its clients."""

    app: FastAPI
    send_buffer: int | None = None

    def __enter__(self) -> InThread:
        listening = _listening(0, self.send_buffer)
        self.port = listening.getsockname()[1]
        self.server = uvicorn.Server(config_of(self.app, self.port))
        self._thread = threading.Thread(target=self.server.run, args=([listening],), daemon=True)
        self._thread.start()
        _wait_for(self.port)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self._thread.join(10)


def _listening(port: int, send_buffer: int | None) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if send_buffer is not None:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    listening.bind((HOST, port))
    return listening


def _serve(url: str, people: Path, port: int, send_buffer: int | None) -> None:
    server = uvicorn.Server(config_of(beside_echo(app_of(url, People(people))), port))
    server.run([_listening(port, send_buffer)])


@dataclass
class InProcess:
    """A server in a process of its own, which can be killed."""

    url: str
    people: Path
    port: int = field(default_factory=free_port)
    send_buffer: int | None = None

    def __enter__(self) -> InProcess:
        self.start()
        return self

    def start(self) -> None:
        self._process = CONTEXT.Process(
            target=_serve, args=(self.url, self.people, self.port, self.send_buffer), daemon=True
        )
        self._process.start()
        _wait_for(self.port)

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self._process.join(10)

    def __exit__(self, *_: object) -> None:
        self.kill()


def _wait_for(port: int, within_s: float = 30.0) -> None:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.01)
    raise TimeoutError(f"nothing answers on port {port}")
