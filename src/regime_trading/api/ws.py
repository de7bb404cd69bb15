"""The live channel's endpoint, ``/ws``: who is let in, and the pump between rings and sockets.

Whoever may not come in is refused before the socket is accepted (403), and nothing is ever sent to him. Ends are close
codes (:class:`~regime_trading.services.stream.Close`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, WebSocket
from pydantic import TypeAdapter
from starlette.websockets import WebSocketDisconnect

from regime_trading.core.access import Denial, Principal
from regime_trading.core.errors import RegimeError
from regime_trading.core.ports import Clock, Messages
from regime_trading.core.wire import ClientFrame, ServerFrame, Subscribe
from regime_trading.services.stream import HEARTBEAT_NS, Close, Connection, Limits
from regime_trading.services.stream_tail import LOOK_S, Tail

REST_S = 0.25  #: until the next look, where nobody follows anything yet or the database cannot be read
CHECK_S = 0.5  #: between two looks at all sessions, and at the heartbeats
CHECK_WITHIN_S = 5.0  #: a look at the sessions that takes longer has failed
CLOSE_WITHIN_S = 1.0  #: for saying goodbye to whoever does not read
_LOG = logging.getLogger("regime_trading.live")


@dataclass(frozen=True, slots=True)
class StreamDeps:
    """What the channel is made of. Callables may block; they are called in threads.

    Parameters
    ----------
    principal_of_cookie : callable
        Who a session cookie belongs to; None where it does not count. ``session_id`` must be set.
    principals_of : callable
        Of many sessions (``Principal.session_id``) those that still count, with their rights as they are now. Asked
        every half second for all connections of the process together; what is missing in the answer is closed.
    redeem_ticket : callable
        Use a ticket up; the session it was made for, or None.
    heads : callable
        The last number given out in each of some firms.
    messages : callable
        Messages of a firm, by its id.
    clock : Clock
    allowed_origins : frozenset of str
        ``scheme://host[:port]`` of the pages that may connect.
    cookie : str
        Name of the session cookie.
    denied : callable
        Record that somebody was refused; raises nothing.
    limits : Limits
    """

    principal_of_cookie: Callable[[str], Principal | None]
    principals_of: Callable[[Sequence[str]], Mapping[str, Principal]]
    redeem_ticket: Callable[[str], str | None]
    heads: Callable[[Sequence[str]], Mapping[str, int]]
    messages: Callable[[str], Messages]
    clock: Clock
    allowed_origins: frozenset[str]
    denied: Callable[[Principal, Denial], None]
    cookie: str = "sid"
    limits: Limits = field(default_factory=Limits)


def websocket_router(hub: Hub) -> APIRouter:
    """A router with ``/ws``. All of its connections share one reader of the database and one look at the sessions."""
    router = APIRouter()

    @router.websocket("/ws")
    async def live(socket: WebSocket) -> None:
        principal = await asyncio.to_thread(_admitted, hub.deps, socket)
        if principal is None:
            await socket.close()
            return
        await socket.accept()
        await hub.serve(socket, principal)

    return router


def wire_schema() -> dict[str, Any]:
    """JSON schemas for ``components.schemas``: ``LiveServerFrame``, ``LiveClientFrame`` and all they refer to."""
    wanted: list[tuple[str, Any, TypeAdapter[Any]]] = [
        ("LiveServerFrame", "serialization", ServerFrame),
        ("LiveClientFrame", "validation", ClientFrame),
    ]
    by_key, defs = TypeAdapter.json_schemas(wanted, ref_template="#/components/schemas/{model}")
    return {**defs["$defs"], **{str(key): schema for (key, _), schema in by_key.items()}}


def _admitted(deps: StreamDeps, socket: WebSocket) -> Principal | None:
    """Who may come in: a page on the list with a cookie, or a ticket. A ticket is used up whatever else is wrong, so
    that none that was seen in a log still opens anything."""
    tickets, origins = socket.query_params.getlist("ticket"), socket.headers.getlist("origin")
    try:
        session = deps.redeem_ticket(tickets[0]) if len(tickets) == 1 else None
        if len(origins) > 1 or not deps.allowed_origins.issuperset(origins):
            return None
        if tickets:
            found = None if session is None else deps.principals_of([session]).get(session)
        else:
            cookie = socket.cookies.get(deps.cookie)
            found = deps.principal_of_cookie(cookie) if cookie and origins else None
    except RegimeError as err:
        _LOG.warning("nobody can be let in: %s", err)
        return None
    return found if found is not None and found.session_id else None


class _Client:
    """One socket: its connection, who listens, and whether there may be something to send."""

    def __init__(self, principal: Principal, limits: Limits) -> None:
        self.principal: Principal | None = principal
        self.session_id = principal.session_id
        self.wake = asyncio.Event()
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.connection = Connection(lambda: self.principal, time.monotonic_ns(), limits)

    def close(self, why: Close) -> None:
        """End it, even where it waits for a reader that does not read."""
        self.principal = None
        self.connection.close(why)
        if not self.over.done():
            self.over.set_result(None)


class Hub:
    """All connections of a process. Its loops run while there are any."""

    def __init__(self, deps: StreamDeps) -> None:
        self.deps, self._tail = deps, Tail(deps.heads, deps.messages)
        self._clients: set[_Client] = set()
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._asked = asyncio.Event()
        self._read_ns = 0

    @property
    def connections(self) -> int:
        """How many listen now."""
        return len(self._clients)

    def read(self) -> dict[str, int]:
        """The last message that was read of each firm that somebody listens to; nothing where nobody is there."""
        return self._tail.read_to() if self._clients else {}

    async def serve(self, socket: WebSocket, principal: Principal) -> None:
        """Serve one accepted socket until either side ends it."""
        client = _Client(principal, self.deps.limits)
        self._clients.add(client)
        self._run()
        both = [asyncio.create_task(work(socket, client)) for work in (self._listen, self._tell)]
        try:
            await asyncio.wait({*both, client.over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._clients.discard(client)
            for task in both:
                task.cancel()
            for ended in await asyncio.gather(*both, return_exceptions=True):
                if isinstance(ended, Exception) and not isinstance(ended, WebSocketDisconnect):
                    _LOG.error("a connection of the live channel broke", exc_info=ended)
                    client.close(Close.TRY_LATER)
        why = client.connection.closing
        if why is not None:
            await _goodbye(socket, why)

    async def _listen(self, socket: WebSocket, client: _Client) -> None:
        while client.connection.closing is None:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text, data, principal = message.get("text"), message.get("bytes"), client.principal
            client.connection.receive(text if text is not None else data or b"", time.monotonic_ns())
            denied = client.connection.denied
            if denied is not None and principal is not None:
                await asyncio.to_thread(self.deps.denied, principal, denied)
            self._asked.set()

    async def _tell(self, socket: WebSocket, client: _Client) -> None:
        connection = client.connection
        while connection.closing is None:
            await client.wake.wait()
            client.wake.clear()
            while frames := self._frames(connection):
                for frame in frames:
                    if connection.closing is not None:
                        return
                    await socket.send_text(frame)

    def _frames(self, connection: Connection) -> list[str]:
        ring = self._tail.ring(connection.firm_id or "")
        if ring is None:
            return []
        now_ns = time.monotonic_ns()
        return connection.take(ring, now_ns, self.deps.clock.now_ns(), alive=self._is_alive(now_ns))

    # --- loops ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        for name, loop in (("tail", self._follow), ("beat", self._beat), ("check", self._check)):
            if name not in self._loops or self._loops[name].done():
                self._loops[name] = asyncio.create_task(self._guarded(loop()))

    async def _guarded(self, loop: Coroutine[Any, Any, None]) -> None:
        try:
            await loop
        except Exception:
            _LOG.exception("the live channel ends all connections")
            self._close_all(Close.TRY_LATER)

    async def _follow(self) -> None:
        """Read what is new of every firm that somebody listens to, and wake those whom it concerns."""
        while self._clients:
            self._asked.clear()
            waiting = [(c, asked) for c in self._clients if (asked := c.connection.awaits) is not None]
            wanted = self._wanted(waiting)
            delay_s = await self._look(wanted, waiting) if wanted else REST_S
            try:
                await asyncio.wait_for(self._asked.wait(), delay_s)
            except TimeoutError:
                continue

    def _wanted(self, waiting: Sequence[tuple[_Client, Subscribe]]) -> dict[str, int | None]:
        wanted: dict[str, int | None] = {
            firm: None for client in self._clients if (firm := client.connection.firm_id) is not None
        }
        for _, asked in waiting:
            known = wanted[asked.firm]
            if asked.after is not None:
                wanted[asked.firm] = asked.after if known is None else min(known, asked.after)
        return wanted

    async def _look(
        self, wanted: Mapping[str, int | None], waiting: Sequence[tuple[_Client, Subscribe]]
    ) -> float:
        try:
            fresh = await asyncio.to_thread(self._tail.read, wanted)
        except RegimeError as err:
            _LOG.warning("the live channel cannot read: %s", err)
            return REST_S
        changed = self._tail.apply(fresh, wanted)
        self._read_ns = time.monotonic_ns()
        for client, asked in waiting:
            ring = self._tail.ring(asked.firm)
            if ring is not None and client.connection.awaits is asked:
                client.connection.begin(ring, self._read_ns)
                client.wake.set()
        self._wake(changed)
        return LOOK_S

    async def _beat(self) -> None:
        while self._clients:
            await asyncio.sleep(CHECK_S)
            now_ns = time.monotonic_ns()
            for client in list(self._clients):
                client.connection.tick(now_ns)
                if client.connection.closing is not None:
                    client.close(client.connection.closing)
            self._wake(None)

    async def _check(self) -> None:
        """Look at all sessions; where that cannot be done, nobody stays."""
        while self._clients:
            await asyncio.sleep(CHECK_S)
            clients = list(self._clients)
            sessions = sorted({client.session_id for client in clients})
            try:
                found = await asyncio.wait_for(
                    asyncio.to_thread(self.deps.principals_of, sessions), CHECK_WITHIN_S
                )
            except (RegimeError, TimeoutError) as err:
                _LOG.warning("sessions cannot be looked at: %s", err)
                self._close_all(Close.TRY_LATER)
                continue
            for client in clients:
                _judge(client, found.get(client.session_id))

    def _wake(self, firms: frozenset[str] | None) -> None:
        """Wake whoever has something to send, in some firms or (None) all."""
        now_ns = time.monotonic_ns()
        alive = self._is_alive(now_ns)
        for client in self._clients:
            firm = client.connection.firm_id
            if firm is None or (firms is not None and firm not in firms) or client.wake.is_set():
                continue
            ring = self._tail.ring(firm)
            if ring is not None and client.connection.is_due(ring, now_ns, alive=alive):
                client.wake.set()

    def _is_alive(self, now_ns: int) -> bool:
        return now_ns - self._read_ns < HEARTBEAT_NS

    def _close_all(self, why: Close) -> None:
        for client in list(self._clients):
            client.close(why)


def _judge(client: _Client, found: Principal | None) -> None:
    """End a connection whose session has ended, or whose rights are others now."""
    if found is None:
        client.close(Close.SESSION_ENDED)
    elif client.principal is not None and _rights(found) != _rights(client.principal):
        client.close(Close.RIGHTS_CHANGED)


def _rights(principal: Principal) -> tuple[object, ...]:
    return (
        principal.user_id,
        frozenset(principal.grants),
        principal.caller,
        principal.second_factor,
        principal.permissions,
    )


async def _goodbye(socket: WebSocket, why: Close) -> None:
    try:
        await asyncio.wait_for(socket.close(why.value, why.name.lower()), CLOSE_WITHIN_S)
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        return
