"""What people do at a server that is killed under them, how they ask again, and what they may then rely on.

Whoever gets no answer asks again: with the same key where there is one, else after a look at whether it was done. A
fact that is *acknowledged* was answered with success, or seen to be done.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.api.process import PATIENCE_S, Person, Served
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

NORTH, KESTREL = "north-pier", "kestrel-lane"
CORE, SHADOW = "north-pier/core", "north-pier/defensive"
AGREED = {"reason": "I have looked at it", "phrase": SHADOW}
OVERRIDES = 18  #: an account has at most twenty at a time


@dataclass
class Tale:
    """What was acknowledged, by kind, each under a mark of its own; and how it was asked for."""

    marks: dict[str, list[str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def told(self, kind: str, mark: str) -> None:
        with self.lock:
            self.marks.setdefault(kind, []).append(mark)

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1


def until(true: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.2)
    raise TimeoutError(what)


# --- commands -------------------------------------------------------------------------------------------------


def commanded(tale: Tale, who: Person, text: str, key: str, mark: str, done: Callable[[], Any]) -> Any:
    """Have a command carried out: preview, confirm with a key, and the same key again. A key whose use was
    interrupted is answered with a conflict: then one looks, and asks anew where nothing was done."""
    for attempt in range(20):
        preview = who.post("/commands/preview", {"command": text})
        assert preview["blocking"] == [], preview
        body = {
            "preview_id": preview["preview_id"],
            "action_hash": preview["action_hash"],
            "phrase": preview["confirm_phrase"],
            "reason": f"{mark} as the story goes on",
        }
        answer, broke = who.answer("POST", "/commands/confirm", body, idempotency_key=f"{key}-{attempt}")
        if answer.status_code == 200:
            tale.count("confirmed again by its key" if broke else "confirmed")
            return answer.json()
        code = answer.json()["code"]
        assert answer.status_code in (404, 409), (
            answer.text
        )  # 404: identity was proved again, in another session
        assert broke or code in ("not_found", "conflict_drift", "conflict_effects"), answer.text
        if broke and (found := done()):
            tale.count("interrupted after it was done")
            return found
        tale.count(f"asked anew ({code})")
    raise AssertionError(text)


def control_of(who: Person, mark: str) -> Any:
    found = [one for one in who.get(f"/firms/{NORTH}/controls?limit=200") if mark in one["reason"]]
    assert len(found) <= 1, found
    return found[0] if found else None


def halts_and_resumes(tale: Tale, who: Person, n: int) -> None:
    mark = f"mark-halt-{n:03d}"
    text = f"/halt account account:{CORE}"
    commanded(tale, who, text, f"key-{mark}", mark, lambda: control_of(who, mark))
    tale.told("halt", mark)
    text = f"/resume account account:{CORE}"
    commanded(tale, who, text, f"end-{mark}", mark, lambda: not control_of(who, mark)["in_force"])
    tale.told("resume", mark)


def overrides(tale: Tale, who: Person, n: int) -> None:
    if n >= OVERRIDES:
        return
    mark = f"mark-override-{n:03d}"
    value = f"{9_000 - 10 * n}bp"

    def stored() -> bool:
        return mark in json.dumps(who.get(f"/firms/{NORTH}/audit/registers/overrides"))

    text = f"/override rule account:{CORE} rule:risk.gross value:{value} until:4h"
    commanded(tale, who, text, f"key-{mark}", mark, stored)
    tale.told("override", mark)


def agreed_by_another(tale: Tale, maker: Person, other: Person, n: int) -> None:
    """A halt of an account in shadow: who set it does not ask for its end, and who asks does not agree."""
    mark = f"mark-agreed-{n:03d}"
    halt = f"/halt account account:{SHADOW}"
    commanded(tale, other, halt, f"key-{mark}", mark, lambda: control_of(other, mark))
    tale.told("halt", mark)
    for attempt in range(10):
        if not control_of(maker, mark)["in_force"]:
            break
        said, key = f"/resume account account:{SHADOW}", f"ask-{mark}-{attempt}"
        asked = commanded(tale, maker, said, key, mark, lambda: pending(maker, mark))
        assert asked.get("outcome", "requested") == "requested", asked
        path = f"/firms/{NORTH}/approvals/{asked['request_id']}"
        answer, broke = other.answer("POST", f"{path}/approve", AGREED)
        assert answer.status_code == 200 or broke, answer.text
        status = until(lambda: settled(other, path), f"{mark} is settled")  # noqa: B023
        if status == "executing":
            tale.count("left in the middle, for a person to look at")
        tale.count(f"requests {status}")
        if status == "executed":
            tale.told("executed", asked["request_id"])
    tale.told("resume", mark)


def pending(who: Person, mark: str) -> Any:
    found = who.get(f"/firms/{NORTH}/approvals?status=requested&status=given&status=executing")
    return next((one for one in found if mark in one["reason"]), None)


def settled(who: Person, path: str) -> str:
    """How a request ended; one that is being carried out by nobody any more stays so, for a person to look at. What was
    agreed to and then forgotten is carried out within a minute, so one looks for a while."""
    for _ in range(50):
        if (found := who.get(path))["status"] != "executing":
            break
        time.sleep(0.2)
    if found["status"] == "requested":  # the answer was lost with the process, before it was stored
        who.answer("POST", f"{path}/approve", AGREED)
        return ""
    return "" if found["status"] == "given" else str(found["status"])


# --- the rest -------------------------------------------------------------------------------------------------


def people_come_and_go(tale: Tale, admin: Person, n: int) -> None:
    login, path = f"guest-{n:03d}@north-pier.example", f"/firms/{NORTH}/users"
    body = {"login": login, "name": "A Guest", "role": "viewer", "accounts": None}

    def member() -> Any:
        return next((one for one in admin.get(path) if one["login"] == login), None)

    answer, broke = admin.answer("POST", path, body)
    assert answer.status_code == 201 or (broke and member()), answer.text
    tale.count("invited" if answer.status_code == 201 else "invited, its link lost with the answer")
    tale.told("user", login)
    user_id = member()["user_id"]
    answer, _ = admin.answer("PUT", f"{path}/{user_id}/roles", {"role": "analyst", "accounts": [CORE]})
    assert answer.status_code == 204, answer.text
    tale.told("grant", login)
    answer, broke = admin.answer("DELETE", f"{path}/{user_id}/roles/viewer")
    assert answer.status_code == 204 or (broke and len(member()["roles"]) == 1), answer.text
    tale.told("revoke", login)
    answer, _ = admin.answer("POST", f"{path}/{user_id}/disable")
    assert answer.status_code == 204, answer.text
    tale.told("disable", login)


def tokens(tale: Tale, who: Person, n: int) -> None:
    name, path = f"token-{who.login}-{n:03d}", f"/me/firms/{NORTH}/tokens"
    expires = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).isoformat()
    body = {"name": name, "permissions": ["account.read"], "accounts": None, "expires_at": expires}

    def mine() -> list[Any]:
        return [one for one in who.get(path) if one["name"] == name]

    answer, _ = who.ask("POST", path, body, done=mine)
    assert answer is None or answer.status_code == 201, answer.text
    tale.count("tokens" if answer is not None else "tokens whose text was lost with the answer")
    tale.told("token", name)
    found, broke = who.answer("DELETE", f"{path}/{mine()[0]['token_id']}")
    assert found.status_code == 204 or (broke and not mine()), found.text
    tale.told("token revoked", name)


def jobs(tale: Tale, who: Person, n: int) -> None:
    key, path = f"job-{who.user_id[-8:]}-{n:03d}", f"/firms/{NORTH}/jobs"
    answer, _ = who.answer("POST", path, {"kind": "verify", "request": {}}, idempotency_key=key)
    assert answer.status_code == 202, answer.text
    tale.told("job", answer.json()["job_id"])
    answer, _ = who.answer("POST", f"{path}/{answer.json()['job_id']}/cancel")
    assert answer.status_code == 200 and answer.json()["status"] == "cancelled", answer.text
    tale.told("cancel", answer.json()["job_id"])


def configurations(tale: Tale, who: Person, n: int) -> None:
    mark, path = f"mark-config-{n:03d}", f"/firms/{KESTREL}/configs"
    current = who.get(f"{path}/current")
    head, tail = current["document"].rsplit("daily_loss: ", 1)
    document = f'{head}daily_loss: "{0.0249 - n / 10_000:.4f}"\n{tail.partition(chr(10))[2]}'
    body = {"document": document, "base_version": current["base_version"], "reason": mark}

    def drafted() -> Any:
        return next((one for one in who.get(f"{path}?limit=200")["items"] if one["reason"] == mark), None)

    answer, _ = who.ask("POST", f"{path}/drafts", body, done=drafted)
    assert answer is None or answer.status_code == 201, answer.text
    version = drafted()["version"]
    tale.told("draft", mark)
    answer, broke = who.answer("POST", f"{path}/{version}/apply", {})
    if answer.status_code != 200:
        assert broke and who.get(f"{path}/{version}")["version"]["status"] == "applied", answer.text
    tale.told("applied", mark)


# --- who is there ---------------------------------------------------------------------------------------------


class Listener:
    """A desk that comes back after the last message it has, whatever happens to the server."""

    def __init__(self, who: Person) -> None:
        self._who, self.seen, self.last, self.resyncs, self.joins = who, list[int](), 0, 0, 0
        self.is_in = False
        self.over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._follow()), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, last: int) -> None:
        """When everything up to ``last`` was heard."""
        until(lambda: self.last >= last, f"message {last}, heard {self.last}")
        self.over.set()
        self._thread.join(30)

    async def _follow(self) -> None:
        while not self.over.is_set():
            self.is_in = False
            try:
                await self._listen()
            except (OSError, ConnectionClosed, InvalidStatus, TimeoutError, EOFError):
                await asyncio.sleep(0.05)
            except Exception as err:  # a handshake that is cut in the middle
                if "HTTP response" not in str(err):
                    raise
                await asyncio.sleep(0.05)

    async def _listen(self) -> None:
        served, headers = self._who.served, {"Cookie": self._who.cookie}
        url, asked = f"ws://localhost:{served.port}/ws", {"topic": "*"}
        async with connect(
            url,
            additional_headers=headers,
            origin=served.home,
            proxy=None,
            open_timeout=60,  # type: ignore[arg-type]
        ) as client:
            self.joins += 1
            ask = {"v": 1, "firm": self._who.firm, "subscribe": [asked], "after": self.last}
            await client.send(json.dumps(ask))
            while not self.over.is_set():
                frame = json.loads(await asyncio.wait_for(client.recv(), 60))
                self.is_in = True
                self.resyncs += frame["type"] == "resync"
                if frame["type"] not in ("hb", "resync"):
                    self.seen.append(frame["seq"])
                self.last = frame["seq"]


class Killer:
    """Ends the server at random, and begins it again: so long after so many requests."""

    def __init__(self, served: Served, people: list[Person], kills: int, most: int, seed: int) -> None:
        chance = random.Random(seed)
        self._served, self._people, self.kills = served, people, 0
        self._at = sorted(chance.sample(range(2, most), kills))
        self._delays_s = [chance.uniform(0, 0.15) for _ in self._at]
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.over.set()
        self._thread.join()

    def _work(self) -> None:
        for at, delay_s in zip(self._at, self._delays_s, strict=True):
            while sum(one.sent for one in self._people) < at:
                if self.over.wait(0.005):
                    return
            time.sleep(delay_s)
            self._served.end(signal.SIGKILL)
            self.kills += 1
            self._served.start()
