"""kill -9 of a real server under people who change things: what was acknowledged is there, once, and is all that is."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.api import killed_story as story
from tests.api.killed_story import CORE, KESTREL, NORTH, SHADOW, Killer, Listener, Tale
from tests.api.process import Nursery, Served, nursery, running
from tests.databases import ONE, named
from tests.whole_chain import whole_chain

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import (
    Engine,
    SqlApprovals,
    SqlAuditLog,
    SqlConfigVersions,
    SqlJobs,
    SqlMessages,
    SqlOverrides,
    open_database,
)
from regime_trading.adapters.database.controls import SqlControls
from regime_trading.adapters.database.identity_tables import API_TOKENS, GRANTS, USERS
from regime_trading.adapters.database.tables import WAL
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.adapters.traders_file import TradersFile
from regime_trading.bootstrap import database_url
from regime_trading.bootstrap.proof import verify_record
from regime_trading.bootstrap.sealing import seal_everything
from regime_trading.core.approvals import ApprovalStatus
from regime_trading.core.audit import ChainEntry, chain_of, verify_chain
from regime_trading.core.config_versions import VersionStatus
from regime_trading.core.jobs import JobStatus
from regime_trading.core.messages import Message, RunLogData

RESTARTS = int(os.environ.get("REGIME_RESTARTS", "100"))
SEED = int(os.environ.get("REGIME_KILL_SEED", "1"))
ROUNDS = int(os.environ.get("REGIME_KILL_ROUNDS", "22"))  #: of the long form; about 24 requests each


@pytest.fixture(params=ONE)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """Empty for each test: each has the first person of its firms."""
    with named(request) as kind:
        yield kind


@pytest.fixture(scope="module")
def where() -> Iterator[Nursery]:
    with nursery() as found:
        yield found


def people_of(served: Served) -> dict[str, Any]:
    admin, kestrel = served.admin(NORTH), served.admin(KESTREL)
    people = {f"pm{n}": admin.invite(f"pm{n}@north-pier.example", "pm") for n in range(3)}
    return people | {"admin": admin, "kestrel": kestrel.invite("pm@kestrel-lane.example", "pm")}


def acts(tale: Tale, people: dict[str, Any]) -> list[Callable[[int], None]]:
    """What each round of each client does."""
    pm = [people[f"pm{n}"] for n in range(3)]

    def first(n: int) -> None:
        story.halts_and_resumes(tale, pm[0], n)
        story.overrides(tale, pm[0], n)

    def second(n: int) -> None:
        story.agreed_by_another(tale, pm[1], pm[2], n)
        story.jobs(tale, pm[2], n)
        story.tokens(tale, pm[2], n)

    guests = partial(story.people_come_and_go, tale, people["admin"])
    return [guests, first, second, partial(story.configurations, tale, people["kestrel"])]


@pytest.mark.parametrize(
    ("rounds", "kills"), [(1, 3), pytest.param(ROUNDS, 4 + ROUNDS, marks=pytest.mark.full)]
)
def test_what_was_acknowledged_is_there_once(
    where: Nursery,
    tmp_path: Path,
    database: str,
    rounds: int,
    kills: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served = Served(where, tmp_path)
    traders = served.config / "traders.yaml"
    before, rest = traders.read_text().split("- id: defensive", 1)
    traders.write_text(f"{before}- id: defensive{rest.replace('mode: dry_run', 'mode: shadow', 1)}")
    with running(served):
        people, tale = people_of(served), Tale()
        listener = Listener(people["pm0"])
        listener.start()
        begun = {name: one.sent for name, one in people.items()}
        killer = Killer(served, list(people.values()), kills, 24 * rounds, SEED)
        killer._at = [at + sum(begun.values()) for at in killer._at]
        killer.start()
        failures = list[str]()

        def work(act: Callable[[int], None]) -> None:
            try:
                for n in range(rounds):
                    act(n)
            except Exception:
                failures.append(traceback.format_exc())

        began = time.monotonic()
        threads = [threading.Thread(target=work, args=(act,)) for act in acts(tale, people)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        killer.stop()
        assert not failures, "\n".join(failures)
        seconds = time.monotonic() - began

        monkeypatch.setenv("REGIME_WITNESS", served.env["REGIME_WITNESS"])
        engine = open_database(database_url(served.artifacts))
        listener.stop(SqlMessages(engine, firm_id=NORTH).span()[1])
        assert served.end(signal.SIGTERM) == 0, served.log[-2_000:]
    sent = sum(one.sent for one in people.values()) - sum(begun.values())
    lost = sum(one.unanswered for one in people.values())
    check(engine, served, tale, listener)
    engine.dispose()
    assert killer.kills == kills
    print(
        f"{database}, seed {SEED}: {sent} state-changing requests of {len(threads)} clients in {seconds:.0f} s, "
        f"{killer.kills} kills, {lost} requests without an answer; acknowledged "
        f"{ {kind: len(marks) for kind, marks in tale.marks.items()} }; {dict(tale.counts)}; "
        f"{len(listener.seen)} messages heard over {listener.joins} connections; 0 lost, 0 twice"
    )


@pytest.mark.full
def test_over_restarts_desks_miss_nothing_and_hear_nothing_twice(
    where: Nursery, tmp_path: Path, database: str
) -> None:
    """Desks at a whole server that is killed while another process writes; in the short form one desk is, above."""
    served, stop = Served(where, tmp_path), threading.Event()
    with running(served):
        pm = served.admin(NORTH).invite("pm@north-pier.example", "pm")
        engine = open_database(database_url(served.artifacts))
        store, desks = SqlMessages(engine, firm_id=NORTH), [Listener(pm) for _ in range(4)]

        def publish() -> None:
            while not stop.wait(0.02):
                store.publish([Message(time.time_ns(), RunLogData(job_id="job", line="x"), CORE)] * 2)

        writer = threading.Thread(target=publish)
        writer.start()
        for desk in desks:
            desk.start()
        for _ in range(RESTARTS):
            story.until(lambda: all(desk.is_in for desk in desks), "every desk is back")
            served.end(signal.SIGKILL)
            served.start()
        stop.set()
        writer.join()
        last = store.span()[1]
        for desk in desks:
            desk.stop(last)
            assert desk.seen == list(range(1, last + 1)) and desk.resyncs == 0
    engine.dispose()
    print(
        f"{database}: {RESTARTS} restarts, {sum(desk.joins for desk in desks)} connections, "
        f"{last} messages heard by each of {len(desks)}, no gap, none twice"
    )


# --- what must hold -------------------------------------------------------------------------------------------


def check(engine: Engine, served: Served, tale: Tale, listener: Listener) -> None:
    record = {firm: entries(engine, served, firm) for firm in (NORTH, KESTREL)}
    marks = defaultdict(Counter, {kind: Counter(found) for kind, found in tale.marks.items()})
    assert all(set(found.values()) == {1} for found in marks.values()), marks
    check_people(engine, record[NORTH], marks)
    check_halts(engine, record[NORTH], marks)
    check_jobs(engine, marks)
    check_configurations(engine, served, record[KESTREL], marks)
    for firm in (NORTH, KESTREL):
        check_messages(engine, firm, record[firm])
    heads = SqlMessages(engine, firm_id=NORTH).span()[1]
    assert listener.seen == list(range(1, heads + 1)) and listener.resyncs == 0
    seal_everything(served.artifacts, served.config)
    assert verify_record(served.artifacts, None, None, ()).ok


def entries(engine: Engine, served: Served, firm: str) -> list[ChainEntry]:
    """Every entry of the chains of a firm's acts, which hold."""
    log, sealer = SqlAuditLog(engine, firm_id=firm), ParquetSealer(LocalArtifacts(served.artifacts))
    found = list[ChainEntry]()
    with engine.connect() as connection:
        rows = connection.execute(select(WAL.c.chain_id).where(WAL.c.firm_id == firm).distinct())
        chains = sorted(row[0] for row in rows if not row[0].startswith("dry_run/"))
    for chain in chains:
        whole = list(whole_chain(log, sealer, chain))
        assert verify_chain(whole, chain=chain).ok, chain
        found += whole
    return found


def kinds(record: list[ChainEntry], kind: str, *words: str) -> int:
    return sum(
        str(one.event.event_type) == kind and all(word.encode() in one.event.body for word in words)
        for one in record
    )


def check_people(engine: Engine, record: list[ChainEntry], marks: dict[str, Counter[str]]) -> None:
    guests = USERS.c.login.like("guest-%")
    with engine.connect() as connection:
        users = connection.execute(
            select(USERS.c.login, USERS.c.user_id, USERS.c.disabled_ns).where(guests)
        ).all()
        grants = connection.execute(select(GRANTS.c.user_id, GRANTS.c.role)).all()
        left = connection.execute(select(API_TOKENS.c.name)).all()
    assert Counter(login for login, _, _ in users) == marks["user"]
    roles = {user_id: [role for one, role in grants if one == user_id] for _, user_id, _ in users}
    assert all(held == ["analyst"] for held in roles.values()), roles
    assert all(disabled is not None for _, _, disabled in users)
    assert left == [] and marks["token"] == marks["token revoked"]
    for what in ("token_created", "token_revoked"):
        assert kinds(record, "ACCESS", f'"{what}"') == len(marks["token"]), what
    assert kinds(record, "ACCESS", '"user_created"') == len(users) + 3 + 1  # and those who are at the desk
    assert kinds(record, "ACCESS", '"role_revoked"') == len(users)


def check_halts(engine: Engine, record: list[ChainEntry], marks: dict[str, Counter[str]]) -> None:
    controls = SqlControls(engine, firm_id=NORTH).all()
    found = Counter(one.reason.split()[0] for one in controls)
    assert found == marks["halt"], "each halt is there once"
    assert all(one.cleared_ns is not None for one in controls) and marks["resume"] == marks["halt"]
    assert kinds(record, "KILL") == kinds(record, "UNLOCK") == len(controls)
    overrides = SqlOverrides(engine, firm_id=NORTH).of(CORE)
    assert Counter(one.reason.split()[0] for one in overrides) == marks["override"]
    assert kinds(record, "OVERRIDE") == len(overrides)
    approvals = {
        one.request.request_id: one
        for one in SqlApprovals(engine, firm_id=NORTH).listed(tuple(ApprovalStatus))
    }
    executed = {name for name, one in approvals.items() if one.status.value == "executed"}
    assert set(marks["executed"]) <= executed
    assert all(len(one.votes) <= 1 for one in approvals.values())
    cleared = [one.approval_id for one in controls if one.account == SHADOW]
    assert len(cleared) == len(set(cleared)) and set(cleared) <= approvals.keys(), "one agreement, one end"


def check_jobs(engine: Engine, marks: dict[str, Counter[str]]) -> None:
    rows = SqlJobs(engine, firm_id=NORTH).page(limit=10_000)
    assert Counter(job.job_id for job in rows) == marks["job"] == marks["cancel"]
    assert {job.status for job in rows} == {JobStatus.CANCELLED}


def check_configurations(
    engine: Engine, served: Served, record: list[ChainEntry], marks: dict[str, Counter[str]]
) -> None:
    versions = [one for one in SqlConfigVersions(engine, firm_id=KESTREL).all(limit=10_000) if one.reason]
    assert Counter(one.reason for one in versions) == marks["draft"] == marks["applied"]
    assert Counter(one.status for one in versions) == Counter(
        {VersionStatus.APPLIED: 1, VersionStatus.SUPERSEDED: len(versions) - 1}
    )
    assert kinds(record, "CONFIG_CHANGED") == len(versions), "each was applied once"
    current = max(versions, key=lambda one: one.version)
    file = TradersFile(served.config / "settings.yaml", served.config / "traders.yaml")
    assert file.now(KESTREL).document == current.document, "and the file says what was applied last"


def check_messages(engine: Engine, firm: str, record: list[ChainEntry]) -> None:
    """Numbers without a hole, and every entry told once: nothing that did not happen, nothing that did kept quiet."""
    messages = SqlMessages(engine, firm_id=firm)
    told, (_, last) = messages.after(0, 1_000_000), messages.span()
    assert [one.seq for one in told] == list(range(1, last + 1))
    bodies = [(one.type, json.loads(one.body)) for one in told]
    config = [one for one in record if str(one.event.event_type).startswith("CONFIG_")]
    entry = [one for one in record if one not in config]
    assert Counter(
        (data["chain_id"], int(data["seq"])) for kind, data in bodies if kind == "audit.append"
    ) == Counter((chain_of(one.event), one.event.seq) for one in entry)
    assert Counter(
        data["config_hash"] for kind, data in bodies if kind == "config.loaded" and data["version"] is None
    ) == Counter(json.loads(one.event.body)["after_hash"] for one in config)
    jobs = {job.job_id for job in SqlJobs(engine, firm_id=firm).page(limit=10_000)}
    assert {data["job_id"] for kind, data in bodies if kind == "run.status"} <= jobs
