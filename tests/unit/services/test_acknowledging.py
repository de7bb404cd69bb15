"""``/ack breach``: who may, once for each breach, of one's own accounts alone; and where it is seen afterwards."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
from tests.approval_samples import actor
from tests.gate_samples import CORE
from tests.views_world import DEFENSIVE, KESTREL, NORTH, NOW, World, acts_of, asker, decided

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import FixedClock
from regime_trading.adapters.database import (
    SqlApprovals,
    SqlAuditLog,
    SqlPreviews,
    open_database,
    sqlite_url,
)
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.core.access import Answer, Caller, Grant, Principal, Role
from regime_trading.core.canonical import GENESIS
from regime_trading.core.commands.previews import Done, Preview
from regime_trading.core.commands.spec import Klass
from regime_trading.core.config_diff import Direction
from regime_trading.core.errors import BadInput, Conflict, NotThere, NotYet, Refused
from regime_trading.core.schemas import Mode
from regime_trading.services.acts import Acts
from regime_trading.services.commands import Asker, confirm, preview
from regime_trading.services.desk import Desk
from regime_trading.services.executors import ExecutorDeps
from regime_trading.services.executors.breaches import Acknowledging
from regime_trading.services.registers import Scope, register
from regime_trading.services.understanding import understand
from regime_trading.services.views import audit, constraints
from regime_trading.services.views import breaches as breaches_module
from regime_trading.services.views.breaches import BreachRow, breaches

ACK = f"/ack account:{CORE} rule:LD-01"
KEYS = (f"k-{n}" for n in itertools.count())


def person(name: str, role: Role, accounts: frozenset[str] | None = None, firm: str = NORTH) -> Principal:
    return Principal(name, (Grant(firm, role, accounts),), second_factor=True, session_id=f"s-{name}")


PEOPLE = {
    "mary": person("mary", Role.PM),
    "bob": person("bob", Role.ADMIN),
    "joe": person("joe", Role.ANALYST),
    "vic": person("vic", Role.VIEWER),
    "sue": person("sue", Role.PM, frozenset({DEFENSIVE})),
    "eve": person("eve", Role.PM, firm=KESTREL),
}


@dataclass
class Desked:
    """A world with a desk that knows this one command."""

    world: World
    acts: Acts
    desk: Desk

    def preview(self, text: str = ACK, name: str = "mary") -> Preview:
        return preview(self.desk, Asker(PEOPLE[name]), text)

    def confirm(self, made: Preview, name: str = "mary", reason: str = "") -> Done:
        return confirm(
            self.desk, Asker(PEOPLE[name]), made.preview_id, made.action_hash, "", reason, next(KEYS)
        )

    def board(self, **who: Any) -> dict[str, BreachRow]:
        rows = breaches(self.world.sources(), asker(**who))
        return {row.rule_id: row for row in rows if row.account == CORE}

    def entries(self, kind: str = "BREACH_ACKNOWLEDGED") -> list[dict[str, Any]]:
        told = SqlAuditLog(self.world.engine, firm_id=NORTH).entries(f"admin/{NORTH}/_firm")
        found = [json.loads(one.event.body) for one in told]
        return [one for one in found if one["event_type"] == kind]

    def registered(self) -> dict[str, Any]:
        table = register("breaches", self.world.sources().history, Scope(NORTH, "core"))
        return next(row for row in table.rows if row["rule_id"] == "LD-01")


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desked]:
    folder = tmp_path / "artifacts"
    engine = open_database(sqlite_url(folder / "state" / "regime.db"))
    world = World(folder, engine, decided(folder, engine))
    acts = replace(acts_of(engine, folder), clock=FixedClock(NOW))
    made, counter = list[Desk](), itertools.count(1)
    needs = {"desk": lambda: made[0], "acts": lambda: acts, "sources": world.sources}
    others = {name: cast(Any, None) for name in ExecutorDeps.__slots__ if name not in needs}
    deps = ExecutorDeps(**needs, **others)
    made.append(
        Desk(
            acts=acts,
            approvals=lambda firm: SqlApprovals(engine, firm_id=firm),
            previews=lambda firm: SqlPreviews(engine, firm_id=firm),
            executors={("ack", "breach"): Acknowledging(deps)},
            people=PEOPLE.get,
            pseudonym=lambda firm, user: actor(user),
            mode=lambda scope: Mode.SHADOW,
            entropy=lambda n: next(counter).to_bytes(n, "big"),
        )
    )
    yield Desked(world, acts, made[0])
    engine.dispose()


def sealed(at: Desked, account: str, chain: str) -> None:
    """Everything of a chain goes into a sealed file and out of the store."""
    log = SqlAuditLog(at.world.engine, firm_id=NORTH)
    told = [one.event for one in log.entries(chain)]
    ParquetSealer(LocalArtifacts(at.world.folder)).seal_audit(chain, GENESIS, told)
    assert log.drop_sealed(chain, *log.head(chain)) > 0


def test_a_person_who_may_pause_says_that_they_have_seen_it_and_nothing_else_changes(at: Desked) -> None:
    before = at.board()["LD-01"]
    assert before.acknowledged is None and before.stands and at.registered()["acknowledged"] is None
    standing = at.world.sources().states.latest(CORE, Mode.SHADOW)
    made = at.preview()
    assert (made.klass, made.others, made.requires_reason, made.confirm_phrase) == (
        Klass.NEUTRAL,
        0,
        False,
        "",
    )
    assert made.base_version == before.place.event_id and "LD-01 Daily loss" in made.effects[0]
    assert any("no lock" in line for line in made.unchanged) and at.entries() == []
    done = at.confirm(made, reason="the desk is on it")
    assert done.outcome == "executed" and done.data["breach_id"] == before.place.event_id
    (entry,) = at.entries()
    assert {key: entry[key] for key in ("account", "rule_id", "breach_id", "breach_chain", "breach_seq")} == {
        "account": CORE,
        "rule_id": "LD-01",
        "breach_id": before.place.event_id,
        "breach_chain": before.place.chain_id,
        "breach_seq": before.place.seq,
    }
    assert (entry["actor"]["id"], entry["reason"]) == (actor("mary"), "the desk is on it")
    assert entry["causation_id"] == before.place.event_id and "on it" not in entry["rationale"]
    assert at.world.sources().states.latest(CORE, Mode.SHADOW) == standing, "no latch, no limit"
    after = at.board()["LD-01"]
    assert after.acknowledged is not None and after.stands
    assert (after.acknowledged.by, after.acknowledged.reason) == (actor("mary"), "the desk is on it")
    assert (at.registered()["acknowledged_by"], at.registered()["acknowledged"]) == (
        actor("mary"),
        after.acknowledged.at,
    )


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("mary", None),
        ("bob", None),
        ("joe", None),
        ("vic", Answer.NO_ROLE),
        ("sue", Answer.UNKNOWN),
        ("eve", Answer.UNKNOWN),
    ],
)
def test_who_may(at: Desked, name: str, answer: Answer | None) -> None:
    if answer is None:
        now = understand(at.desk, Asker(PEOPLE[name]), ACK)
        assert now.effects.direction is Direction.NEUTRAL
        assert understand(at.desk, Asker(PEOPLE[name]), ACK).effects.effects_hash == now.effects.effects_hash
        return
    with pytest.raises(Refused) as caught:
        at.preview(ACK, name)
    assert caught.value.answer is answer and at.entries() == []


def test_whoever_only_has_the_machine_acknowledges_nothing(at: Desked) -> None:
    local = replace(PEOPLE["mary"], caller=Caller.LOCAL)
    with pytest.raises(BadInput, match="login"):
        preview(at.desk, Asker(local), ACK)


def test_a_second_one_of_the_same_breach_is_refused_and_told_who_was_first(at: Desked) -> None:
    first, second = at.preview(), at.preview(ACK, "joe")
    at.confirm(first)
    with pytest.raises(Conflict) as caught:
        at.confirm(second, "joe")
    assert isinstance(caught.value.fresh, Preview)
    assert caught.value.fresh.blocking[0].startswith(f"acknowledged already, by {actor('mary')} at 2026-")
    named = f"{ACK} breach:{first.base_version}"
    (why,) = at.preview(named, "joe").blocking
    assert why.startswith(f"acknowledged already, by {actor('mary')} at 2026-")
    assert len(at.entries()) == 1


def test_two_at_the_same_time_are_one(at: Desked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look of one and their entry comes that of another."""
    made = at.preview(ACK, "joe")
    audit_of, late = at.acts.audit, []

    class Slow:
        def __init__(self, log: Any) -> None:
            self.log = log

        def __getattr__(self, name: str) -> Any:
            return getattr(self.log, name)

        def append(self, events: Any) -> Any:
            if events[0].event_type == "BREACH_ACKNOWLEDGED" and not late:
                late.append(1)
                at.confirm(at.preview())
            return self.log.append(events)

    slow = replace(at.acts, audit=lambda firm: Slow(audit_of(firm)))
    executor = at.desk.executors["ack", "breach"]
    assert isinstance(executor, Acknowledging)
    monkeypatch.setitem(
        cast(Any, at.desk.executors),
        ("ack", "breach"),
        Acknowledging(replace(executor.deps, acts=lambda: slow)),
    )
    with pytest.raises(Conflict, match="acknowledged already, by"):
        at.confirm(made, "joe")
    assert late and [one["actor"]["id"] for one in at.entries()] == [actor("mary")]


def test_what_is_not_there_looks_like_what_one_may_not_see(at: Desked) -> None:
    for text, what in (
        ("/ack account:ghost rule:LD-01", "account"),
        (f"/ack account:{CORE} rule:LD-99", "rule"),
        (f"{ACK} breach:e-none", "breach"),
        (f"/ack account:{DEFENSIVE} rule:LD-01 breach:{at.board()['LD-01'].place.event_id}", "breach"),
        (f"/ack account:{CORE} rule:LD-02 breach:{at.board()['LD-01'].place.event_id}", "breach"),
        (f"/ack account:{CORE} rule:LD-01 breach:{'a' * 64}", "breach"),
    ):
        with pytest.raises(Refused) as caught:
            at.preview(text)
        sought = caught.value.sought
        assert (caught.value.answer, type(sought), sought and sought.what) == (Answer.UNKNOWN, NotThere, what)
    for text in (f"/ack account:{DEFENSIVE} rule:LD-01", f"/ack account:{CORE} rule:LD-03"):
        with pytest.raises(Refused) as caught:
            at.preview(text)
        assert isinstance(caught.value.sought, NotYet), "nobody named a breach"


@pytest.mark.parametrize("which", [(), ("breach",), ("acknowledgement",), ("breach", "acknowledgement")])
def test_it_is_seen_wherever_the_two_entries_lie(at: Desked, which: tuple[str, ...]) -> None:
    chain = at.board()["LD-01"].place.chain_id
    if "breach" in which:
        sealed(at, "core", chain)
    at.confirm(at.preview())
    if "acknowledgement" in which:
        sealed(at, "_firm", f"admin/{NORTH}/_firm")
    row = at.board()["LD-01"]
    assert row.place.stored == ("sealed" if "breach" in which else "write_ahead")
    assert row.acknowledged is not None and row.acknowledged.by == actor("mary")
    assert at.registered()["acknowledged_by"] == actor("mary")
    told = constraints.constraint(at.world.sources(), asker(), CORE, "LD-01")
    (of_breach,) = [one for one in told.triggers if one.event_type == "RULE_BREACH"]
    assert of_breach.acknowledged == row.acknowledged
    assert {one.acknowledged for one in told.triggers if one.event_type != "RULE_BREACH"} == {None}
    (why,) = at.preview(f"{ACK} breach:{row.place.event_id}", "joe").blocking
    assert why.startswith("acknowledged already")


def test_the_board_has_what_nobody_has_seen_first_and_what_is_over_and_seen_no_more(
    at: Desked, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = breaches(at.world.sources(), asker())
    assert len({(row.account, row.rule_id) for row in rows}) == len(rows) >= 2
    at.confirm(at.preview())
    rows = breaches(at.world.sources(), asker())
    assert [row.acknowledged is not None for row in rows] == [False] * (len(rows) - 1) + [True]
    assert all(row.stands for row in rows)
    monkeypatch.setattr(breaches_module, "_stands", lambda *_: False)
    left = breaches(at.world.sources(), asker())
    assert [row.rule_id for row in left] == [row.rule_id for row in rows if row.acknowledged is None]


def test_what_was_said_with_it_may_hold_amounts_and_is_left_out_for_whom_they_are(at: Desked) -> None:
    at.confirm(at.preview(), reason="lost 100000 on KO")
    row = at.board(role=Role.ANALYST, redact=True)["LD-01"]
    assert row.acknowledged is not None and (row.acknowledged.reason, row.value, row.limit) == (
        "",
        None,
        None,
    )
    assert "100000" not in row.rationale
    (entry,) = audit.entries(
        at.world.sources(),
        asker(role=Role.ANALYST, redact=True),
        audit.EntryFilter(kinds=("BREACH_ACKNOWLEDGED",)),
    ).items
    whole = audit.entry(
        at.world.sources(), asker(role=Role.ANALYST, redact=True), entry.place.chain_id, entry.place.seq
    )
    assert set(whole.payload) == {"account", "breach_id", "breach_chain", "breach_seq"}
    assert breaches(at.world.sources(), asker(accounts={DEFENSIVE})) == ()
    with pytest.raises(Refused):
        at.preview(f"{ACK} breach:{row.place.event_id}", "sue")
