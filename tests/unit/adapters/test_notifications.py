"""Notices go out over real sockets, at least once, and nothing of a secret or a private network with them."""

from __future__ import annotations

import logging
import os
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.jobs.world import until

from regime_trading.adapters.database import Engine, SqlMessages, open_database, sqlite_url
from regime_trading.adapters.database.message_readers import SqlMessageReader
from regime_trading.adapters.notifications import (
    AppriseChannel,
    DeadManPing,
    Outbound,
    read_channel_file,
)
from regime_trading.bootstrap.notifications import NotificationThread, channels_of
from regime_trading.core.errors import BadInput
from regime_trading.core.events import Severity
from regime_trading.core.messages import BreachData, Message, RunLogData
from regime_trading.core.notifications import Notice
from regime_trading.services.notifications import GIVE_UP_S, WAITS_S, Notifier

HERE = Outbound(frozenset({"127.0.0.1", "localhost"}))
NOTICE = Notice(
    "alpha-7", "alpha", Severity.WARNING, "[warning] alpha: something", "alpha: something.\nNotice alpha-7"
)
SECRET = "s3cr3t-t0ken-of-the-channel"


class Web(BaseHTTPRequestHandler):
    """Takes what it is sent; ``/moved`` sends elsewhere, ``/sick`` refuses, ``/slow`` says nothing for a while."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.server.got.append((self.path, body))  # type: ignore[attr-defined]
        if "/slow" in self.path:
            self.server.slow.wait(5)  # type: ignore[attr-defined]
        self.send_response(302 if "/moved" in self.path else 503 if "/sick" in self.path else 200)
        if "/moved" in self.path:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as one message takes."""

    def handle(self) -> None:
        def say(text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        say("220 here")
        while line := self.rfile.readline().decode().strip():
            verb = line.split()[0].upper()
            if verb == "DATA":
                say("354 go on")
                lines = list(iter(self.rfile.readline, b".\r\n"))
                self.server.got.append(b"".join(lines).decode())  # type: ignore[attr-defined]
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                return
            elif verb == "EHLO":
                say("250 here")
            else:
                say("250 well")


@contextmanager
def serving(kind: Any, handler: Any) -> Iterator[tuple[int, list[Any], Any]]:
    server = kind(("127.0.0.1", 0), handler)
    server.got, server.slow, server.daemon_threads = [], threading.Event(), True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_address[1], server.got, server
    server.slow.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def web() -> Iterator[tuple[int, list[Any], Any]]:
    with serving(ThreadingHTTPServer, Web) as found:
        yield found


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_database(sqlite_url(tmp_path / "store.db"))
    yield opened
    opened.dispose()


# --- channels -------------------------------------------------------------------------------------------------


def test_a_webhook_gets_the_notice(web: Any) -> None:
    port, got, _ = web
    assert AppriseChannel(f"json://127.0.0.1:{port}/{SECRET}", 1, HERE).send(NOTICE)
    path, body = got[0]
    assert path == f"/{SECRET}" and NOTICE.subject in body and "Notice alpha-7" in body


def test_a_mail_server_gets_the_notice() -> None:
    with serving(socketserver.ThreadingTCPServer, Mail) as (port, got, _):
        url = f"mailto://127.0.0.1:{port}?from=desk@alpha.example&to=ops@alpha.example&mode=insecure"
        assert AppriseChannel(url, 1, HERE).send(NOTICE)
        assert (
            len(got) == 1 and "Subject: [warning] alpha: something" in got[0] and "Notice alpha-7" in got[0]
        )


def test_nothing_goes_to_a_private_address_unless_it_is_allowed(web: Any) -> None:
    port, got, _ = web
    for host in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433"):
        assert not AppriseChannel(f"json://{host}:{port}/x", 1, Outbound()).send(NOTICE), host
    mail = (
        f"mailto://alpha.example?smtp=127.0.0.1&port={port}&from=a@alpha.example&mode=insecure&user=u&pass=p"
    )
    assert not AppriseChannel(mail, 1, Outbound()).send(NOTICE)
    assert not DeadManPing(f"http://127.0.0.1:{port}/x", Outbound()).send()
    assert got == []


@pytest.mark.parametrize(
    ("addresses", "ok"),
    [
        (["93.184.215.14"], True),
        (["2606:2800:21f:cb07:6820:80da:af6b:8b2c"], True),
        ([], False),
        (["93.184.215.14", "10.0.0.1"], False),
        (["169.254.169.254"], False),
        (["172.16.0.1"], False),
        (["192.168.1.1"], False),
        (["100.64.0.1"], False),
        (["0.0.0.0"], False),
        (["224.0.0.1"], False),
        (["::1"], False),
        (["::ffff:127.0.0.1"], False),
        (["2002:7f00:1::"], False),
        (["fe80::1%eth0"], False),
        (["fd00::1"], False),
    ],
)
def test_every_address_of_a_host_must_be_public(addresses: list[str], ok: bool) -> None:
    assert Outbound(resolve=lambda _: addresses).permits("somewhere.example") is ok
    assert Outbound(frozenset({"somewhere.example"}), lambda _: addresses).permits("Somewhere.Example.")


def test_a_host_that_cannot_be_found_is_not_permitted() -> None:
    def fail(_: str) -> list[str]:
        raise OSError

    assert not Outbound(resolve=fail).permits("x") and not Outbound().permits("")


def test_redirects_are_not_followed_even_where_the_url_asks_for_it(web: Any) -> None:
    port, got, _ = web
    assert not AppriseChannel(f"json://127.0.0.1:{port}/moved?redirect=yes", 1, HERE).send(NOTICE)
    assert not DeadManPing(f"http://127.0.0.1:{port}/moved", HERE).send()
    assert [path for path, _ in got] == ["/moved", "/moved"]


def test_a_server_that_says_nothing_is_given_up_in_time(web: Any) -> None:
    port, _, server = web
    channel = AppriseChannel(f"json://127.0.0.1:{port}/slow?rto=60", 1, HERE, timeout_s=0.3)
    done = threading.Event()
    threading.Thread(target=lambda: (channel.send(NOTICE), done.set()), daemon=True).start()
    assert done.wait(3)
    server.slow.set()


@pytest.mark.parametrize(
    "url",
    [
        f"gibberish {SECRET}",
        f"syslog://{SECRET}",
        f"dbus://{SECRET}",
        f"json://:{SECRET}",
        f"matrix://{SECRET}/x",
        "",
    ],
)
def test_what_cannot_be_used_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(BadInput) as caught:
        AppriseChannel(url, 3, HERE)
    assert SECRET not in str(caught.value) and "channel 3" in str(caught.value)
    with pytest.raises(BadInput) as caught:
        DeadManPing(f"ftp://{SECRET}", HERE)
    assert SECRET not in str(caught.value)


def test_a_file_of_urls_is_read_only_where_nobody_else_can(tmp_path: Path) -> None:
    path = tmp_path / "urls"
    path.write_text("# e-mail\njson://a.example\n\n  jsons://b.example  \n")
    path.chmod(0o600)
    assert read_channel_file(path) == ("json://a.example", "jsons://b.example")
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(BadInput, match="0600"):
            read_channel_file(path)
    with pytest.raises(BadInput):
        read_channel_file(tmp_path / "none")


# --- at least once ----------------------------------------------------------------------------------------------


class Hands:
    at_ns = 10**18

    def now_ns(self) -> int:
        return self.at_ns


class Fake:
    """A channel that takes what it is given while it is ``well``."""

    def __init__(self, name: str) -> None:
        self.name, self.well, self.got, self.tries = name, True, list[str](), 0

    def send(self, notice: Notice) -> bool:
        self.tries += 1
        if self.well is None:
            raise RuntimeError(SECRET)
        if self.well:
            self.got.append(notice.notice_id)
        return bool(self.well)


def tell(engine: Engine, n: int, ts_ns: int = Hands.at_ns) -> None:
    one = BreachData(breach_id=f"b-{n}", rule_id="DD-01", value=None, limit=None)
    noise = Message(ts_ns, RunLogData(job_id="j", line="x"))
    SqlMessages(engine, firm_id="alpha").publish([noise, Message(ts_ns, one, "alpha/main"), noise])


def notifier(engine: Engine, hands: Hands, channels: list[Fake], told: list[str]) -> Notifier:
    return Notifier(
        {"alpha": channels},
        lambda firm, n: SqlMessageReader(engine, firm_id=firm, name=f"notify:{n}"),
        hands,
        told.append,
    )


def test_each_notice_goes_out_once_and_a_new_channel_tells_no_history(engine: Engine) -> None:
    hands, one, told = Hands(), Fake("channel 1"), list[str]()
    tell(engine, 0)
    sender = notifier(engine, hands, [one], told)
    assert sender.tick() == 0
    for n in range(1, 4):
        tell(engine, n)
    assert sender.tick() == 3 and sender.tick() == 0
    assert one.got == ["alpha-5", "alpha-8", "alpha-11"] and told == []
    tell(engine, 4)
    assert notifier(engine, hands, [one], told).tick() == 1, "after a restart it goes on where it was"
    assert one.got[-1] == "alpha-14"


@pytest.mark.parametrize("how", [False, None], ids=["refuses", "raises"])
def test_a_channel_that_fails_is_tried_later_and_holds_up_no_other(engine: Engine, how: Any) -> None:
    hands, one, two, told = Hands(), Fake("channel 1"), Fake("channel 2"), list[str]()
    sender = notifier(engine, hands, [one, two], told)
    sender.tick()
    one.well = how
    tell(engine, 1)
    tell(engine, 2)
    waited = list[int]()
    for wait in (*WAITS_S, WAITS_S[-1]):
        sender.tick()
        tries = one.tries
        sender.tick()
        assert one.tries == tries, "not before its time"
        hands.at_ns += wait * 10**9
        waited.append(wait)
    assert two.got == ["alpha-2", "alpha-5"] and one.got == []
    one.well = True
    sender.tick()
    assert one.got == ["alpha-2", "alpha-5"]
    assert told and SECRET not in "".join(told)


def test_a_notice_that_nobody_takes_for_a_day_is_left_out_and_said_so(engine: Engine) -> None:
    hands, one, told = Hands(), Fake("channel 1"), list[str]()
    sender = notifier(engine, hands, [one], told)
    sender.tick()
    one.well = False
    tell(engine, 1)
    sender.tick()
    hands.at_ns += (GIVE_UP_S + 1) * 10**9
    tell(engine, 2, hands.at_ns)
    sender.tick()
    assert any("alpha-2 was not taken for a day" in text for text in told)
    one.well = True
    hands.at_ns += 10**10
    sender.tick()
    assert one.got == ["alpha-5"]


def test_a_send_that_was_not_put_down_is_repeated_with_the_same_id(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands, one, told = Hands(), Fake("channel 1"), list[str]()
    sender = notifier(engine, hands, [one], told)
    sender.tick()
    tell(engine, 1)
    with monkeypatch.context() as patch:
        patch.setattr(SqlMessageReader, "advance", lambda *_: (_ for _ in ()).throw(OSError("killed here")))
        with pytest.raises(OSError, match="killed"):
            sender.tick()
    notifier(engine, hands, [one], told).tick()
    assert one.got == ["alpha-2", "alpha-2"]


def test_messages_that_were_dropped_unread_are_said_to_be(engine: Engine) -> None:
    hands, one, told = Hands(), Fake("channel 1"), list[str]()
    sender = notifier(engine, hands, [one], told)
    sender.tick()
    for n in range(3):
        tell(engine, n)
    SqlMessages(engine, firm_id="alpha").drop_before(2 * 10**18, keep=3)
    assert sender.tick() == 1
    assert told == ["channel 1 of alpha: 6 messages were dropped before they could be read"]


# --- wired ------------------------------------------------------------------------------------------------------


def test_the_thread_sends_and_pings_and_nothing_of_a_url_is_anywhere(
    engine: Engine, web: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    port, got, _ = web
    file = tmp_path / "urls"
    file.touch(0o600)
    file.write_text(f"json://127.0.0.1:{port}/sick/{SECRET}\n")
    monkeypatch.setenv("REGIME_NOTIFY_NORTH_PIER", f"json://127.0.0.1:{port}/a/{SECRET}")
    monkeypatch.setenv("REGIME_NOTIFY_NORTH_PIER_FILE", os.fspath(file))
    monkeypatch.setenv("REGIME_OUTBOUND_ALLOW", "127.0.0.1")
    monkeypatch.setenv("REGIME_DEADMAN_URL", f"http://127.0.0.1:{port}/ping/{SECRET}")
    monkeypatch.setenv("REGIME_DEADMAN_EVERY_S", "1")
    assert list(channels_of(["kestrel-lane", "north-pier"])) == ["north-pier"]
    told, well = list[str](), [True]
    caplog.set_level(logging.DEBUG)
    thread = NotificationThread(engine, ["north-pier"], told.append, lambda: well[0])
    thread.start()
    until(lambda: any("/ping/" in path for path, _ in got), 5)
    one = BreachData(breach_id="b", rule_id="DD-01", value="5", limit="4")
    SqlMessages(engine, firm_id="north-pier").publish([Message(5, one, "north-pier/core")])
    until(lambda: {path.split("/")[1] for path, _ in got} == {"a", "sick", "ping"}, 8)
    well[0] = False
    until(lambda: any("it is not" in text for text in told), 5)
    thread.stop()
    assert next(body for path, body in got if "/a/" in path).count("north-pier-1") == 1
    everything = "".join(told) + caplog.text
    assert any("channel 2 (json) of north-pier: notice north-pier-1 was not taken" in text for text in told)
    assert SECRET not in everything
    with engine.connect() as connection:
        dump = "\n".join(connection.connection.driver_connection.iterdump())  # type: ignore[union-attr]
    assert SECRET not in dump
