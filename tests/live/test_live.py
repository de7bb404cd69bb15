"""The live channel with real sockets: who gets in, what is resumed, who is slow, when it ends."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import resource
import socket
import statistics
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from tests.live.server import HOST, ORIGIN, InProcess, InThread, People, app_of
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database import (
    SqlMessages,
    SqlTickets,
    message_heads,
    open_database,
    sqlite_url,
)
from regime_trading.core.access import Grant, Role
from regime_trading.core.errors import StoreDown
from regime_trading.core.messages import Message, ModeData, RunLogData
from regime_trading.core.wire import FRAME_BYTES, ServerFrame
from regime_trading.services.stream import Close, Limits
from regime_trading.services.stream_tickets import GOOD_FOR_NS, issue

Frame = dict[str, Any]
WHOLE = (Grant("alpha", Role.PM),)
OF_A = (Grant("alpha", Role.ANALYST, frozenset({"alpha/a"})),)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "store.db")


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    opened = open_database(url)
    yield opened
    opened.dispose()


@pytest.fixture
def store(engine: Engine) -> SqlMessages:
    return SqlMessages(engine, firm_id="alpha")


@pytest.fixture
def people(tmp_path: Path) -> People:
    found = People(tmp_path / "people.json")
    found.write(anna=WHOLE, ben=OF_A, carl=(Grant("beta", Role.PM),))
    return found


@pytest.fixture
def served(url: str, people: People) -> Iterator[InThread]:
    with InThread(app_of(url, people, Limits(ask_within_ns=700_000_000))) as server:
        yield server


def line(text: str = "x", account: str = "", ts_ns: int = 0) -> Message:
    return Message(ts_ns, RunLogData(job_id="job", line=text), account)


def mode(account: str = "") -> Message:
    return Message(0, ModeData(mode="shadow", trading_state="LOCKED", kill_level=None), account)


@asynccontextmanager
async def joined(
    port: int, cookie: str | None = "anna", query: str = "", **more: Any
) -> AsyncIterator[ClientConnection]:
    origin = more.pop("origin", ORIGIN)
    headers = {} if cookie is None else {"Cookie": f"sid={cookie}"}
    options = {"additional_headers": headers, "origin": origin, "compression": None, "proxy": None} | more
    async with connect(f"ws://{HOST}:{port}/ws{query}", **options) as client:
        yield client


async def ask(client: ClientConnection, firm: str = "alpha", after: int | None = None, **wanted: str) -> None:
    topics = [{"topic": wanted.get("topic", "*"), "account": wanted.get("account", "")}]
    await client.send(json.dumps({"v": 1, "firm": firm, "subscribe": topics, "after": after}))


async def hear(client: ClientConnection, within_s: float = 10.0) -> Frame:
    text = await asyncio.wait_for(client.recv(), within_s)
    ServerFrame.validate_json(text)
    found: Frame = json.loads(text)
    return found


async def hear_until(client: ClientConnection, seq: int) -> list[Frame]:
    """Frames up to the first that has ``seq``."""
    frames = [await hear(client)]
    while frames[-1]["seq"] < seq:
        frames.append(await hear(client))
    return frames


async def unread(port: int) -> socket.socket:
    """A connected socket in which next to nothing waits to be read."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    small.setblocking(False)
    await asyncio.get_running_loop().sock_connect(small, (HOST, port))
    return small


async def end_of(client: ClientConnection, within_s: float = 5.0) -> tuple[int | None, list[Frame]]:
    """Close code, and what was heard before."""
    frames: list[Frame] = []
    try:
        while True:
            frames.append(await hear(client, within_s))
    except ConnectionClosed as closed:
        return (closed.rcvd.code if closed.rcvd else None), frames


def run(work: Coroutine[Any, Any, None], within_s: float = 60.0) -> None:
    asyncio.run(asyncio.wait_for(work, within_s))


# --- who gets in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cookie", "origin", "query"),
    [
        (None, ORIGIN, ""),
        ("nobody", ORIGIN, ""),
        ("anna", None, ""),
        ("anna", "https://evil.example", ""),
        ("anna", ORIGIN + ".evil.example", ""),
        ("anna", "null", ""),
        ("anna", ORIGIN, "?ticket=" + "0" * 64),
        ("anna", ORIGIN, "?ticket="),
    ],
)
def test_who_may_not_come_in_is_refused_before_anything_is_said(
    served: InThread, store: SqlMessages, cookie: str | None, origin: str | None, query: str
) -> None:
    store.publish([line()])

    async def work() -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with joined(served.port, cookie, query, origin=origin):
                pass
        assert (refused.value.response.status_code, refused.value.response.body) == (403, b"")

    run(work())


def test_a_ticket_lets_in_once_and_is_used_up_by_a_foreign_page_too(
    served: InThread, engine: Engine, store: SqlMessages
) -> None:
    store.publish([line()])
    tickets, now_ns = SqlTickets(engine), SystemClock().now_ns()
    numbers = itertools.count(1)

    def ticket(made_ns: int, session: str = "session-anna") -> str:
        made = issue(tickets, "anna", session, now_ns=made_ns, entropy=lambda n: bytes([next(numbers)]) * n)
        return f"?ticket={made}"

    async def refused(query: str, origin: str | None = None) -> bool:
        try:
            async with joined(served.port, None, query, origin=origin):
                return False
        except InvalidStatus as answer:
            return answer.response.status_code == 403

    async def work() -> None:
        good, late, ended, foreign = (
            ticket(now_ns), ticket(now_ns - GOOD_FOR_NS), ticket(now_ns, "session-nobody"), ticket(now_ns),
        )  # fmt: skip
        async with joined(served.port, None, good, origin=None) as client:
            await ask(client, after=0)
            assert (await hear(client))["type"] == "run.log"
        assert await refused(good)
        assert await refused(late)
        assert await refused(ended)
        assert await refused(foreign, "https://evil.example")
        assert await refused(foreign)
        assert await refused(f"{ticket(now_ns)}&{ticket(now_ns)[1:]}")

    run(work())


def test_another_firm_is_answered_as_one_that_is_not_there(served: InThread, engine: Engine) -> None:
    SqlMessages(engine, firm_id="beta").publish([line(account="beta/a"), line()])

    async def work() -> None:
        answers = []
        for cookie, wanted in (
            ("anna", {"firm": "beta"}),
            ("anna", {"firm": "nobody"}),
            ("anna", {"firm": "beta", "account": "beta/a"}),
            ("anna", {"firm": "alpha", "account": "beta/a"}),
            ("ben", {"firm": "alpha", "account": "alpha/b"}),
            ("ben", {"firm": "alpha", "account": "alpha/nothing"}),
        ):
            async with joined(served.port, cookie) as client:
                await ask(client, after=0, **wanted)
                code, frames = await end_of(client)
                assert client.protocol.close_rcvd is not None
                answers.append((code, client.protocol.close_rcvd.reason, frames))
        assert answers == [(Close.UNKNOWN, "unknown", [])] * 6

    run(work())


def test_each_hears_what_is_his(served: InThread, store: SqlMessages) -> None:
    async def work() -> None:
        async with joined(served.port, "anna") as anna, joined(served.port, "ben") as ben:
            for client in (anna, ben):
                await ask(client)
                assert (await hear(client))["type"] == "hb"
            store.publish([line("1", "alpha/b"), line("2", "alpha/a"), line("3", "alpha/b"), line("4")])
            both = [await hear_until(client, 4) for client in (anna, ben)]
        assert [[frame["data"]["line"] for frame in frames] for frames in both] == [
            ["1", "2", "3", "4"],
            ["2", "4"],
        ]
        assert [[frame["n"] for frame in frames] for frames in both] == [[2, 3, 4, 5], [2, 3]]

    run(work())


# --- when it ends ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (["x" * (FRAME_BYTES + 1)], Close.TOO_LARGE),
        (['{"v":1}'], Close.BAD_FRAME),
        ([b"\x00"], Close.BAD_FRAME),
        (['{"v":1,"firm":"alpha","subscribe":[{"topic":"run.status"}]}'] * 11, Close.TOO_FAST),
        ([], Close.NOTHING_ASKED),
    ],
)
def test_what_is_too_large_too_fast_or_no_frame_ends_it(
    served: InThread, frames: list[Any], code: Close
) -> None:
    async def work() -> None:
        async with joined(served.port) as client:
            for frame in frames:
                await client.send(frame)
            found, heard = await end_of(client)
            assert found == code
            assert {frame["type"] for frame in heard} <= {"hb"}

    run(work())


@pytest.mark.parametrize(
    ("after", "code"),
    [({"ben": OF_A}, Close.SESSION_ENDED), ({"anna": OF_A}, Close.RIGHTS_CHANGED), (None, Close.TRY_LATER)],
)
def test_other_rights_end_it_within_a_second(
    served: InThread, store: SqlMessages, people: People, after: dict[str, Any] | None, code: Close,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    async def work() -> None:
        async with joined(served.port, "anna") as anna:
            await ask(anna)
            await hear(anna)
            if after is None:
                monkeypatch.setattr("regime_trading.api.ws.CHECK_WITHIN_S", 0.0)
            else:
                people.write(**after)
            began = time.monotonic()
            found, _ = await end_of(anna)
            assert (found, time.monotonic() - began <= 1.0) == (code, True)

    run(work())


def test_others_stay_when_one_session_ends(served: InThread, store: SqlMessages, people: People) -> None:
    async def work() -> None:
        async with joined(served.port, "anna") as anna, joined(served.port, "ben") as ben:
            for client in (anna, ben):
                await ask(client)
                await hear(client)
            people.write(ben=OF_A)
            assert (await end_of(anna))[0] == Close.SESSION_ENDED
            store.publish([line()])
            assert (await hear(ben))["type"] == "run.log"

    run(work())


def test_without_the_store_there_is_no_sign_of_life(
    url: str, store: SqlMessages, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = threading.Event()

    def heads(engine: Engine, firms: Sequence[str]) -> dict[str, int]:
        if down.is_set():
            raise StoreDown("gone")
        return message_heads(engine, firms)

    monkeypatch.setattr("tests.live.server.message_heads", heads)
    for module in ("services.stream", "api.ws"):
        monkeypatch.setattr(f"regime_trading.{module}.HEARTBEAT_NS", 400_000_000)

    async def work() -> None:
        async with joined(served.port) as client:
            await ask(client)
            assert [(await hear(client, 2))["type"] for _ in range(2)] == ["hb", "hb"]
            down.set()
            with pytest.raises(TimeoutError):
                for _ in range(3):  # one or two may be on their way
                    await hear(client, 1.2)
            down.clear()
            store.publish([line()])
            assert "run.log" in [(await hear(client, 2))["type"] for _ in range(2)]

    with InThread(app_of(url, people)) as served:
        run(work())


# --- who is slow ----------------------------------------------------------------------------------------------


def test_a_slow_reader_is_told_and_costs_nothing(url: str, store: SqlMessages, people: People) -> None:
    def buffered() -> list[int]:
        return [c.transport.get_write_buffer_size() for c in served.server.server_state.connections]

    async def work() -> None:
        small = await unread(served.port)
        async with joined(served.port, sock=small, max_queue=1) as slow, joined(served.port) as quick:
            for client in (slow, quick):
                await ask(client)
                await hear(client)
            text, frames = "y" * 500, list[Frame]()
            for n in range(1, 21):
                await asyncio.to_thread(store.publish, [*[line(text)] * 99, mode()])
                frames += await hear_until(quick, 100 * n)
            assert [frame["seq"] for frame in frames if frame["type"] != "hb"] == list(range(1, 2_001))
            assert max(buffered()) > 0, "the slow one is not slow"
            assert max(buffered()) < 2 * 65_536
            late = await hear_until(slow, 2_000)
        resyncs = [frame for frame in late if frame["type"] == "resync"]
        assert resyncs and {frame["data"]["reason"] for frame in resyncs} == {"slow"}
        urgent = [frame["seq"] for frame in late if frame["type"] == "mode.update"]
        assert urgent == list(range(100, 2_001, 100))
        assert [frame["n"] for frame in late] == list(range(2, len(late) + 2))
        assert len(late) < 1_500

    with InThread(app_of(url, people, Limits(waiting=300)), send_buffer=16_384) as served:
        run(work())


# --- resuming over restarts -----------------------------------------------------------------------------------


class Follower:
    """A client that comes back after the last message it has, whatever happens to the server."""

    def __init__(self, port: int) -> None:
        self.port, self.seen, self.resyncs, self.joins = port, list[int](), 0, 0

    async def follow(self, until: Callable[[], int | None]) -> None:
        while until() is None or (self.seen[-1] if self.seen else 0) < (until() or 0):
            try:
                async with joined(self.port, open_timeout=5) as client:
                    self.joins += 1
                    await ask(client, after=self.seen[-1] if self.seen else 0)
                    while (last := until()) is None or not self.seen or self.seen[-1] < last:
                        frame = await hear(client)
                        self.resyncs += frame["type"] == "resync"
                        if frame["type"] == "run.log":
                            self.seen.append(frame["seq"])
            except (OSError, ConnectionClosed, InvalidStatus, TimeoutError, EOFError):
                await asyncio.sleep(0.02)
            except Exception as err:  # a handshake that is cut in the middle
                if "HTTP response" not in str(err):
                    raise
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("restarts", [3, pytest.param(100, marks=pytest.mark.full)])
def test_over_restarts_nothing_is_missed_and_nothing_comes_twice(
    url: str, store: SqlMessages, people: People, restarts: int
) -> None:
    stop, last = threading.Event(), list[int]()

    def publish() -> None:
        for n in itertools.count(1):
            store.publish([line(str(n)), line(str(n), "alpha/a")])
            if stop.wait(0.01):
                last.append(2 * n)
                return

    async def work() -> None:
        followers = [Follower(server.port) for _ in range(4)]
        tasks = [asyncio.create_task(one.follow(lambda: last[0] if last else None)) for one in followers]
        for _ in range(restarts):
            await asyncio.sleep(0.3)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        await asyncio.sleep(0.3)
        stop.set()
        await asyncio.gather(*tasks)
        for one in followers:
            assert one.seen == list(range(1, last[0] + 1))
            assert one.resyncs == 0
        joins = sum(one.joins for one in followers)
        assert joins > 4 * restarts * 0.5, "clients were attached"
        print(f"{restarts} restarts, {joins} connections, {last[0]} messages each, no gap, none twice")

    with InProcess(url, people.path) as server:
        writer = threading.Thread(target=publish)
        writer.start()
        try:
            run(work(), 600)
        finally:
            stop.set()
            writer.join()


def test_two_servers_on_one_database_tell_the_same(url: str, store: SqlMessages, people: People) -> None:
    async def work() -> None:
        async with joined(one.port) as first, joined(two.port) as second:
            for client in (first, second):
                await ask(client)
                await hear(client)
            for n in range(20):
                store.publish([line(f"{n}-{k}") for k in range(3)])
            both = [await hear_until(client, 60) for client in (first, second)]
        assert both[0] == both[1]
        assert [frame["seq"] for frame in both[0]] == list(range(1, 61))

    with InProcess(url, people.path) as one, InProcess(url, people.path) as two:
        run(work())


# --- many -----------------------------------------------------------------------------------------------------


@pytest.mark.full
def test_a_thousand_clients_with_fifty_slow_ones(url: str, store: SqlMessages, people: People) -> None:
    clients, slow, rate, seconds = 1_000, 50, 5, 15
    total = 20 * rate * seconds
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8_192), hard))
    delays: list[float] = []
    clock = SystemClock()

    def memory_kb(pid: int) -> int:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        assert found
        return int(found[1])

    async def listen(number: int, door: asyncio.Semaphore, inside: list[int], done: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            async with door:
                more = {"sock": await unread(server.port), "max_queue": 1} if number < slow else {}
                context = joined(server.port, open_timeout=60, **more)
                client = await stack.enter_async_context(context)
                await ask(client, account="" if number < slow else "alpha/quick")
                await hear(client, 60)
            inside.append(number)
            if number < slow:
                await done.wait()
            last, marked = 0, False
            while last < total:
                frame = json.loads(await client.recv())
                last, marked = frame["seq"], marked or frame["type"] == "resync"
                if frame["type"] == "run.log" and number >= slow:
                    delays.append((clock.now_ns() - int(frame["ts"])) / 1e6)
            assert marked is (number < slow)

    async def work() -> None:
        door, inside, done = asyncio.Semaphore(20), list[int](), asyncio.Event()
        tasks = [asyncio.create_task(listen(n, door, inside, done)) for n in range(clients)]
        while len(inside) < clients:
            assert not any(task.done() for task in tasks)
            await asyncio.sleep(0.1)
        before = memory_kb(server.pid)
        for _ in range(rate * seconds):
            for_the_slow = [line("z" * 500, "alpha/slow")] * 19
            await asyncio.to_thread(store.publish, [*for_the_slow, line("z" * 400, ts_ns=clock.now_ns())])
            await asyncio.sleep(1 / rate)
        done.set()
        await asyncio.gather(*tasks)
        grown = (memory_kb(server.pid) - before) / 1024
        cuts = statistics.quantiles(delays, n=100)
        print(
            f"{clients} clients, {slow} of them slow, {rate} messages/s: delay p50 {cuts[49]:.0f} ms, "
            f"p99 {cuts[98]:.0f} ms; the server grew by {grown:.1f} MB"
        )
        assert len(delays) == (clients - slow) * rate * seconds
        assert grown < 100

    try:
        with InProcess(url, people.path, send_buffer=16_384) as server:
            run(work(), 300)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
