"""Entries newest first and states in force, on SQLite and on a real PostgreSQL: all of them, in order, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, update
from tests.gate_samples import CORE, GROWTH
from tests.register_samples import recorded, seal
from tests.views_world import KESTREL, NORTH, NOW, World, ask, asker, decided

from regime_trading.adapters import duck, record_query
from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import SqlAuditLog
from regime_trading.adapters.database.newest import SqlNewest, SqlStates
from regime_trading.adapters.database.tables import WAL
from regime_trading.adapters.journal.history import SealedChainPart
from regime_trading.adapters.record_query import FirmRecordQuery
from regime_trading.bootstrap.acts import firm_history
from regime_trading.core.audit import chain_of
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.record_query import EntryQuery, Key, fits, key_of
from regime_trading.core.recorded import Recorded, Selection
from regime_trading.core.schemas import EventType, Mode
from regime_trading.services.views import accounts, audit, constraints, decisions, portfolio

ALL = EntryQuery(("a", "b"), firm_acts=True)


class Stored:
    """Two accounts of a firm, of one the beginning sealed, beside another firm's."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder, self.engine = folder, engine
        first, second, south = recorded()
        seal(folder, first[:120])
        SqlAuditLog(engine, firm_id="north").append(first)
        SqlAuditLog(engine, firm_id="north").append(second[:90])
        SqlAuditLog(engine, firm_id="south").append(south[:40])
        seal(folder, second[:90])
        gone = (WAL.c.chain_id == chain_of(first[0])) & (WAL.c.seq <= 50)
        with engine.begin() as connection:
            connection.execute(delete(WAL).where(gone))
        self.rest = second[90:]
        store = LocalArtifacts(folder)
        self.query = FirmRecordQuery(store, SqlNewest(engine, firm_id="north"), firm_id="north")
        self.history = firm_history(engine, store, "north")

        self.whole = list(self.history.entries(Selection()))

    def expected(self, wanted: EntryQuery) -> list[Recorded]:
        found = [entry for entry in self.whole if fits(wanted, "north", entry)]
        return sorted(found, key=key_of, reverse=True)


@pytest.fixture
def stored(database: Callable[[], Engine], tmp_path: Path) -> Stored:
    return Stored(tmp_path / "artifacts", database())


def pages(query: FirmRecordQuery, wanted: EntryQuery, limit: int) -> Iterator[tuple[Recorded, ...]]:
    before: Key | None = None
    while page := query.newest(wanted, before, limit):
        yield page
        before = key_of(page[-1])


QUERIES = st.builds(
    EntryQuery,
    accounts=st.sampled_from([("a", "b"), ("a",), ("b",), ()]),
    firm_acts=st.booleans(),
    kinds=st.sets(st.sampled_from([k.value for k in EventType][:8]), max_size=3).map(tuple),
    envs=st.sampled_from([(), ("dry_run",), ("shadow",), ("dry_run", "shadow")]),
    rule_id=st.sampled_from(["", "LD-01", "VT-01", "CC-01", "%"]),
    actor_id=st.sampled_from(["", "engine", "operator", "LD-01"]),
    outcome=st.sampled_from(["", "approve", "flatten", "lock"]),
    trading_state=st.sampled_from(["", "NORMAL", "LOCKED"]),
    run_id=st.sampled_from(["", "bt-test", "other"]),
    chain_id=st.sampled_from(["", "dry_run/bt-test/north/a", "dry_run/bt-test/south/c"]),
    named=st.sampled_from(["", "", "bt-test", "LD-01", "NORMAL"]),
)


def test_every_entry_that_fits_comes_once_newest_first_however_long_the_pages(stored: Stored) -> None:
    @given(wanted=QUERIES, limit=st.integers(1, 60))
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def holds(wanted: EntryQuery, limit: int) -> None:
        found = stored.query.newest(wanted, None, limit)
        expected = stored.expected(wanted)
        assert [key_of(e) for e in found] == [key_of(e) for e in expected[:limit]]
        assert [e.body for e in found] == [e.body for e in expected[:limit]]
        if expected:
            middle = key_of(expected[len(expected) // 2])
            rest = stored.query.newest(wanted, middle, 500)
            assert [key_of(e) for e in rest] == [key_of(e) for e in expected[len(expected) // 2 + 1 :]][:500]

    holds()
    whole = [e for page in pages(stored.query, ALL, 61) for e in page]
    assert [(e.chain_id, e.seq) for e in whole] == [(e.chain_id, e.seq) for e in stored.expected(ALL)]
    assert {e.place == "write-ahead rows" for e in whole} == {True, False}


def test_what_arrives_between_two_pages_moves_nothing(stored: Stored) -> None:
    before = stored.expected(ALL)
    first = stored.query.newest(ALL, None, 90)
    SqlAuditLog(stored.engine, firm_id="north").append(stored.rest)
    rest = [e for page in _from(stored.query, key_of(first[-1])) for e in page]
    seen = [key_of(e) for e in (*first, *rest)]
    assert len(set(seen)) == len(seen) and set(map(key_of, before)) <= set(seen)


def _from(query: FirmRecordQuery, before: Key) -> Iterator[tuple[Recorded, ...]]:
    while page := query.newest(ALL, before, 90):
        yield page
        before = key_of(page[-1])


def test_how_far_dry_runs_go_counts_each_decision_once(stored: Stored) -> None:
    """Of one run the beginning is sealed and gone from the store, of the other everything is in both places."""
    decided = [one for one in stored.whole if one.event_type == EventType.DECISION]
    expected = {
        account: [one.ts_event_ns for one in decided if one.chain_id.endswith(f"/{account}")]
        for account in "ab"
    }
    found = {one.account_id: one for one in stored.query.spans()}
    assert {name: (one.decisions, one.first_ns, one.last_ns) for name, one in found.items()} == {
        name: (len(times), min(times), max(times)) for name, times in expected.items()
    }
    assert {one.run_id for one in found.values()} == {"bt-test"}


def test_one_entry_by_its_place(stored: Stored) -> None:
    for entry in stored.expected(ALL)[::40]:
        assert stored.query.entry(entry.chain_id, entry.seq).body == entry.body  # type: ignore[union-attr]
    for chain, seq in (("dry_run/bt-test/south/c", 1), ("dry_run/bt-test/north/a", 10**6), ("x", 1), ("", 1)):
        assert stored.query.entry(chain, seq) is None
    assert dict(stored.query.runs()) == {"bt-test": frozenset({"a", "b"})}


def test_an_entry_that_was_changed_is_not_handed_out(stored: Stored) -> None:
    with stored.engine.begin() as connection:
        row = (WAL.c.chain_id == "dry_run/bt-test/north/a") & (WAL.c.seq == 125)
        body = connection.execute(WAL.select().where(row)).mappings().one()["body"]
        changed = body.replace(b'"run_id":"bt-test"', b'"run_id":"bt-tesT"')
        connection.execute(update(WAL).where(row).values(body=changed))
    with pytest.raises(CheckFailed, match="not what was recorded"):
        stored.query.entry("dry_run/bt-test/north/a", 125)
    with pytest.raises(CheckFailed, match="not what was recorded"):
        stored.query.newest(ALL, None, 500)


def test_a_sealed_file_that_was_changed_is_not_handed_out(stored: Stored) -> None:
    home = stored.folder / "audit/schema=1/firm=north/account=a/run=bt-test"
    (part,) = home.glob("*.parquet")
    part.write_bytes(
        next((stored.folder / "audit/schema=1/firm=north/account=b/run=bt-test").glob("*")).read_bytes()
    )
    with pytest.raises(CheckFailed, match="does not belong here"):
        stored.query.newest(ALL, None, 500)
    part.write_bytes(b"no table")
    with pytest.raises(CheckFailed, match="cannot be read"):
        stored.query.newest(ALL, None, 500)


def test_files_are_opened_once_and_only_where_what_waits_is_not_enough(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    monkeypatch.setattr(record_query, "reader", lambda files: opened.append(len(files)) or duck.reader(files))
    own = EntryQuery(("a", "b"), chain_id="dry_run/bt-test/north/a")
    assert stored.query.newest(own, None, 5) == tuple(stored.expected(own)[:5])
    assert opened == [], "the newest of a chain wait"
    whole = stored.query.newest(own, None, 500)
    assert [e.body for e in whole] == [e.body for e in stored.expected(own)] and opened == [1]
    assert stored.query.newest(own, None, 500) == whole and opened == [1], "a sealed file never changes"
    (part,) = (stored.folder / "audit/schema=1/firm=north/account=a/run=bt-test").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckFailed, match="cannot be read"):
        stored.query.newest(own, None, 500)


def test_a_file_that_was_merged_since_it_was_listed_is_looked_for_again(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions: list[Callable[[], object]] = [
        stored.query.spans,
        lambda: stored.query.newest(ALL, None, 500),
        lambda: stored.query.entry("dry_run/bt-test/north/a", 3),
    ]
    expected = [one() for one in questions]
    parts, listed = stored.query._sealed.parts, [0]
    lives = 1

    def late(*asked: str) -> list[SealedChainPart]:
        listed[0] += 1
        now = parts(*asked)
        return [_gone(one) for one in now] if listed[0] <= lives else now

    monkeypatch.setattr(stored.query._sealed, "parts", late)
    for one, whole in zip(questions, expected, strict=True):
        listed[0] = 0
        assert one() == whole
    lives = 10**6
    for one in questions:
        with pytest.raises(CheckFailed, match="a sealed file of north cannot be read"):
            one()


def _gone(one: SealedChainPart) -> SealedChainPart:
    return replace(one, part=replace(one.part, path=one.part.path + ".gone"))


def test_answers_are_kept_up_to_their_size_those_asked_for_last() -> None:
    kept, asked = record_query.Answers(80), list[str]()

    def ask(name: str, size: int = 9) -> int:
        def told() -> tuple[tuple[str, int], ...]:
            asked.append(name)
            return (("x" * size, 1),)

        return len(kept.of((name, (), ()), told)[0][0])

    for name in "abcdefgh":
        assert ask(name) == 9
    ask("a")
    assert asked == list("abcdefgh"), "a was kept"
    ask("i")
    ask("a")
    ask("b")
    assert asked[8:] == ["i", "b"], "b was asked for longest ago"
    ask("m", 10)
    ask("m", 10)
    assert asked[10:] == ["m", "m"], "more than an eighth is not kept"


# --- a walk over what reads the database --------------------------------------------------------------------------


@pytest.fixture
def world(database: Callable[[], Engine], tmp_path: Path) -> World:
    engine = database()
    return World(tmp_path / "artifacts", engine, decided(tmp_path / "artifacts", engine))


def test_the_views_of_a_live_store(world: World) -> None:
    sources, of = world.sources(), asker()
    (core, defensive) = accounts.accounts(sources, of)
    assert (core.trading_state, defensive.trading_state) == ("FLATTEN", None)
    assert [latch.rule_id for latch in core.latches] == ["LD-01", "LD-13"]
    page = decisions.decisions(sources, of, limit=2)
    rest = decisions.decisions(sources, of, cursor=page.next_cursor, limit=2)
    assert [row.outcome for row in (*page.items, *rest.items)] == ["flatten", "flatten", "resize"]
    assert rest.next_cursor is None
    assert portfolio.portfolio(sources, of, CORE).positions[0].market_value == "62000"
    assert constraints.board(sources, of, CORE).in_force == core.config_hash
    kinds = [row.event_type for row in audit.entries(sources, of, limit=100).items]
    assert (
        kinds.count("DECISION") == 3 and kinds.count("CONFIG_ACCEPTED") == 2 and kinds.count("OVERRIDE") == 1
    )
    ask(world.folder, world.engine, world.standings, 180)
    assert accounts.account(sources, of, CORE).last_decision.as_of == "2026-11-20T15:33:00Z"  # type: ignore[union-attr]
    assert decisions.decisions(sources, of, cursor=page.next_cursor, limit=2) == rest


def test_states_are_those_of_the_firm_and_the_environment(world: World) -> None:
    states = SqlStates(world.engine, firm_id=NORTH)
    found = states.latest(CORE, Mode.SHADOW)
    assert found is not None and found.state.as_of_ns < NOW and len(found.state.latches) == 2
    assert states.latest(CORE, Mode.DRY_RUN) is None and states.latest("north-pier/none", Mode.SHADOW) is None
    with pytest.raises(BadInput):
        states.latest(GROWTH, Mode.SHADOW)
    with pytest.raises(BadInput):
        SqlStates(world.engine, firm_id="../x")
    assert SqlStates(world.engine, firm_id=KESTREL).latest(GROWTH, Mode.SHADOW) is not None


def test_a_decision_made_while_the_store_was_down_is_shown_as_such(world: World) -> None:
    from tests.views_world import acts_of

    from regime_trading.core.event_payloads import Degraded
    from regime_trading.services.acts import Act, Place, record_act

    row = decisions.decisions(world.sources(), asker(), limit=1).items[0]
    said = world.sources().record.entry(row.place.chain_id, row.place.seq).fields()  # type: ignore[union-attr]
    told = Degraded(
        store="audit", spooled=("x",), why="down", decided_at_ns=str(NOW), decision_id="b" * 64,
        outcome="reduce_only", trading_state_before="NORMAL", trading_state_after="REDUCE_ONLY", orders=(),
        entries=({"event_type": "DECISION", "targets": said["targets"], "rules": said["rules"], "equity": "5"},),
    )  # fmt: skip
    acts = acts_of(world.engine, world.folder)
    record_act(acts, Place(NORTH, "core", "shadow"), Act(told, correlation_id="b" * 64))
    newest = decisions.decisions(world.sources(), asker(), limit=1).items[0]
    assert (newest.degraded, newest.outcome, newest.equity) == (True, "reduce_only", "5")
    whole = decisions.decision(world.sources(), asker(), CORE, "b" * 64)
    assert whole.degraded and whole.inputs is None and len(whole.rules) > 60
