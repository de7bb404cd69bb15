"""Registers: every entry once, sealed or not; the rows they should have; nothing of another firm."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update
from tests.register_samples import ACCOUNTS, recorded, seal
from tests.unit.core.test_trader_profile import profile
from tests.unit.services.test_configurations import BROKEN, ask

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import FixedClock
from regime_trading.adapters.database import (
    SqlAuditLog,
    SqlLastGood,
    SqlOverrides,
    open_database,
    sqlite_url,
)
from regime_trading.adapters.database.history import SqlRecorded
from regime_trading.adapters.database.tables import WAL
from regime_trading.adapters.journal.history import SealedHistory
from regime_trading.adapters.record_history import FirmHistory
from regime_trading.bootstrap.acts import make_acts
from regime_trading.bootstrap.registers import Record, Words
from regime_trading.core import event_payloads as p
from regime_trading.core.audit import chain_of, event_of
from regime_trading.core.canonical import GENESIS
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.instants import instant_text
from regime_trading.core.recorded import Recorded, Selection
from regime_trading.core.rules import RULE_BY_ID, Guard
from regime_trading.core.schemas import ActorType, AuditEvent, EventType
from regime_trading.core.trader_profile import TraderProfile, with_overrides
from regime_trading.engine.record import Chain, Identity
from regime_trading.services.acts import Act, Acts, place_of_firm, record_act
from regime_trading.services.breaches import outcome_in
from regime_trading.services.configurations import make_override, take_over
from regime_trading.services.dossier import dossier
from regime_trading.services.limits import limits_in_force
from regime_trading.services.registers import REGISTERS, Scope, moment, register

T = 1_795_680_000_000_000_000  # 2026-11-26T08:00:00Z
HOUR = 3_600_000_000_000
GOLDEN = Path(__file__).parent / "golden_breaches.csv"
NORTH, SOUTH = recorded()[:2], recorded()[2]


@dataclass(frozen=True)
class Store:
    """An artifacts folder with its database."""

    folder: Path
    engine: Any

    @property
    def record(self) -> Record:
        return Record(LocalArtifacts(self.folder), self.engine)

    def acts(self, at_ns: int = T) -> Acts:
        return replace(make_acts(self.engine, LocalArtifacts(self.folder), "test"), clock=FixedClock(at_ns))

    def rows(self, name: str, **words: Any) -> list[dict[str, Any]]:
        scope = self.record.scope(Words(**words))
        return list(register(name, self.record.history(scope.firm_id), scope).rows)


def made(folder: Path) -> Store:
    return Store(folder, open_database(sqlite_url(folder / "state" / "regime.db")))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return made(tmp_path)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three accounts of two firms, sealed."""
    store = made(tmp_path_factory.mktemp("sealed"))
    for events in recorded():
        seal(store.folder, events)
    return store


# --- each entry once ----------------------------------------------------------------------------------------


@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_entry_is_there_once_whatever_is_sealed_and_whatever_is_left(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    store = made(tmp_path_factory.mktemp("once"))
    expected = []
    for chain in NORTH:
        events = chain[: data.draw(st.integers(1, 60))]
        expected += [(chain_of(event), event.seq, event.body) for event in events]
        upto, dropped = _partly_sealed(store, events, data)
        log = SqlAuditLog(store.engine, firm_id="north")
        if upto < len(events) or data.draw(st.booleans()):
            log.append(events)
        with store.engine.begin() as connection:
            connection.execute(delete(WAL).where(WAL.c.chain_id == chain_of(events[0]), WAL.c.seq <= dropped))
    history = store.record.history("north")
    found = [(e.chain_id, e.seq, e.body) for e in history.entries(Selection())]
    assert found == sorted(expected)
    assert history.chains() == tuple(sorted({chain for chain, _, _ in expected}))
    _require_selections(store, expected, data)
    store.engine.dispose()


def _partly_sealed(store: Store, events: Sequence[AuditEvent], data: st.DataObject) -> tuple[int, int]:
    """Seal a beginning in some parts; returns how far, and how far the rows behind it may go."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=3, unique=True)))
    head = GENESIS
    for first, last in pairwise([0, *[c for c in cuts if c]]):
        head = seal(store.folder, events[first:last], head)
    upto = cuts[-1] if cuts else 0
    return upto, data.draw(st.integers(0, upto))


def _require_selections(store: Store, expected: list[tuple[str, int, bytes]], data: st.DataObject) -> None:
    kinds = tuple(data.draw(st.sets(st.sampled_from([k.value for k in EventType][:9]), min_size=1)))
    chain, seq, _ = data.draw(st.sampled_from(expected))
    at_ns = next(event_of(b).ts_event_ns for c, s, b in expected if (c, s) == (chain, seq))
    wanted = Selection(kinds=kinds, accounts=(chain.split("/")[-1],), from_ns=at_ns)
    found = [(e.chain_id, e.seq) for e in store.record.history("north").entries(wanted)]
    assert found == [
        (c, s)
        for c, s, b in sorted(expected)
        if c == chain and (e := event_of(b)).event_type in kinds and e.ts_event_ns >= at_ns
    ]


def test_an_entry_that_was_changed_is_not_told(store: Store) -> None:
    SqlAuditLog(store.engine, firm_id="north").append(NORTH[0][:5])
    with store.engine.begin() as connection:
        row = WAL.c.seq == 3
        body = connection.execute(select(WAL.c.body).where(row)).scalar_one()
        connection.execute(update(WAL).where(row).values(body=body.replace(b"bound", b"pass")))
    with pytest.raises(CheckFailed, match="entry 3"):
        store.rows("breaches", firm="north")


def test_a_file_that_was_changed_is_not_told(store: Store) -> None:
    seal(store.folder, NORTH[0])
    (part,) = store.folder.glob("audit/schema=1/firm=north/account=a/run=*/part-*.parquet")
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckFailed, match="no longer what was sealed"):
        store.rows("breaches", firm="north")


# --- breaches -----------------------------------------------------------------------------------------------


def test_the_breach_register_is_the_golden_one(sealed: Store) -> None:
    rows = sealed.rows("breaches", firm="north") + sealed.rows("breaches", firm="south")
    sheet = io.StringIO()
    writer = csv.DictWriter(sheet, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    assert sheet.getvalue() == GOLDEN.read_text()


_GUARDED = {
    r for r, spec in RULE_BY_ID.items() if spec.guard in (Guard.DATA_SANITY, Guard.BLACKOUT, Guard.DRAWDOWN)
}


def reference(events: Sequence[AuditEvent]) -> list[tuple[str, str, str | None]]:
    """Spans of bars at whose end a rule does not hold or holds the account by a latch, from the whole tables."""
    bars: dict[int, set[str]] = {}
    latched: set[str] = set()
    broken: set[str] = set()
    for entry in (orjson.loads(event.body) for event in events):
        kind, rule_id = entry["event_type"], entry["rule_id"]
        if kind == "DECISION":
            broken = {r["rule_id"] for r in entry["rules"] if r["outcome"] in ("bound", "unknown")}
        elif kind == "LATCH":
            latched.add(rule_id)
        elif kind == "UNLOCK":
            latched.discard(rule_id)
        elif kind == "ATTEMPT":
            latched.clear()
        bars[int(entry["ts_event_ns"])] = (broken | latched) & _GUARDED
    spans: list[tuple[str, str, str | None]] = []
    for rule_id in sorted(_GUARDED):
        inside = [(ts, rule_id in bars[ts]) for ts in sorted(bars)]
        start = None
        for ts, on in inside:
            if on and start is None:
                start = ts
            elif not on and start is not None:
                spans.append((rule_id, instant_text(start), instant_text(ts)))
                start = None
        if start is not None:
            spans.append((rule_id, instant_text(start), None))
    return sorted(spans, key=str)


@pytest.mark.parametrize("n", range(3))
def test_breaches_are_the_spans_of_the_tables(sealed: Store, n: int) -> None:
    rows = sealed.rows("breaches", account=ACCOUNTS[n])
    found = [(r["rule_id"], r["started"], r["ended"]) for r in rows if r["rule_id"] in _GUARDED]
    assert sorted(found, key=str) == reference(recorded()[n])
    assert found


def test_outcomes_read_off_the_bytes_are_those_of_the_table() -> None:
    for event in (e for chain in recorded() for e in chain):
        said = {r["rule_id"]: r["outcome"] for r in orjson.loads(event.body).get("rules", ())}
        for rule_id in RULE_BY_ID:
            assert outcome_in(event.body, rule_id) == said.get(rule_id)


def test_who_released_a_latch_is_told(sealed: Store) -> None:
    rows = sealed.rows("breaches", account=ACCOUNTS[0])
    released = [r for r in rows if r["released_by"] == "simulated operator"]
    assert released and all(r["ended_by"].startswith("latch released (") for r in released if r["ended"])
    assert all(r["latches"] for r in released)


def test_a_window_keeps_the_breaches_that_touch_it(sealed: Store) -> None:
    rows = sealed.rows("breaches", account=ACCOUNTS[0])
    day = next(r for r in rows if r["ended"] and r["duration_s"] > 86_400 * 2)["started"][:10]
    kept = sealed.rows("breaches", account=ACCOUNTS[0], first=day, last=day)
    assert [(r["started"], r["rule_id"]) for r in kept] == [
        (r["started"], r["rule_id"])
        for r in rows
        if r["started"][:10] <= day and (r["ended"] is None or r["ended"][:10] >= day)
    ]


# --- acts ---------------------------------------------------------------------------------------------------


@pytest.fixture
def governed(store: Store) -> Store:
    """A configuration that is accepted, changed, refused and tightened; approvals and kills."""
    stores = lambda firm: SqlLastGood(store.engine, firm_id=firm)  # noqa: E731
    take_over((profile(),), (), stores, now_ns=T, acts=store.acts(T))
    tight = profile({"sigma_target": "0.10"})
    take_over((tight,), (), stores, now_ns=T, acts=store.acts(T + HOUR))
    overrides = SqlOverrides(store.engine, firm_id="firm")
    make_override(tight, ask(exact=True), overrides, now_ns=T + 2 * HOUR, acts=store.acts(T + 2 * HOUR))
    broken = replace(BROKEN[0], firm_id="firm", accounts=("firm/acc",))
    take_over((), (broken,), stores, now_ns=T, acts=store.acts(T + 20 * HOUR))
    return store


WHO = (ActorType.USER, "u-" + "b" * 16)


def act(store: Store, payload: p.Payload, at_ns: int) -> None:
    record_act(store.acts(at_ns), place_of_firm("firm"), Act(payload, actor=WHO))


def test_limit_changes_and_overrides(governed: Store) -> None:
    first, *changes = governed.rows("limit-changes")
    assert (first["path"], first["codes"], first["before_config"]) == ("", "FIRST_SIGHT", "")
    (change,) = [row for row in changes if "sigma_target" in row["path"]]
    assert (change["before"], change["after"], change["direction"]) == ("0.15", "0.1", "tightens")
    assert change["at"] == instant_text(T + HOUR) and change["by"].startswith("u-")
    (row,) = governed.rows("overrides")
    assert (row["path"], row["value"], row["reason"]) == ("risk.sigma_target", "0.05", "a bad day")
    assert row["ends"] == instant_text(T + 6 * HOUR)
    assert governed.rows("overrides", last="2026-11-25") == []
    assert governed.rows("limit-changes", account="firm/other") == []


def test_approvals_by_request(store: Store) -> None:
    same = {
        "request_id": "q-1", "request_kind": "unlock", "account": "firm/acc", "payload_hash": "a" * 64,
        "requested_config_hash": "", "requested_code_version": "1", "required": 2,
    }  # fmt: skip
    act(store, p.ApprovalRequested(**same, by=(), expires_at_ns="9"), T)
    act(store, p.ApprovalGiven(**same, by=("u-a",)), T + 1)
    (row,) = store.rows("approvals")
    assert (row["state"], row["agreed"], row["answered"]) == ("open", "u-a", None)
    act(store, p.ApprovalGiven(**same, by=("u-a", "u-b")), T + 2)
    (row,) = store.rows("approvals")
    assert (row["state"], row["agreed"], row["answered"]) == ("given", "u-a u-b", instant_text(T + 2))
    act(store, p.ApprovalRequested(**same | {"request_id": "q-2"}, by=(), expires_at_ns="9"), T + 3)
    act(store, p.ApprovalVoid(**same | {"request_id": "q-2"}, by=()), T + 4)
    assert [row["state"] for row in store.rows("approvals")] == ["given", "void"]


def test_kill_drills_say_how_long_they_took(store: Store) -> None:
    killed = p.Killed(
        level="K2", scope="firm/acc", drill=True, asked_at_ns=str(T), effective_at_ns=str(T + 250_000_000),
        cancelled_orders=3,
    )  # fmt: skip
    act(store, killed, T + 1)
    (row,) = store.rows("kills")
    assert (row["level"], row["drill"], row["effective_s"], row["flat_s"]) == ("K2", True, "0.250", None)
    assert store.rows("kills", account="firm/other") == []


def test_denials_say_what_was_asked_for(store: Store) -> None:
    route = "GET /api/v1/firms/{firm}/jobs/{job_id}"
    act(
        store,
        p.Denied(permission="order.exit", account="firm/acc", answer="no_role", route="POST /x", count=2),
        T,
    )
    sought = p.Denied(permission="", account="", answer="unknown", route=route, what="job", asked="job-1")
    record_act(store.acts(T + 1), place_of_firm("firm"), Act(sought, correlation_id="request-0123abcd"))
    first, second = store.rows("denials")
    assert (first["permission"], first["account"], first["count"], first["what"]) == (
        "order.exit",
        "firm/acc",
        2,
        "",
    )
    assert (second["what"], second["asked"], second["request"]) == ("job", "job-1", "0123abcd")
    assert store.rows("denials", account="firm/acc") == [first]


# --- limits in force ----------------------------------------------------------------------------------------


def sigma(store: Store, at_ns: int | None, run: str = "") -> tuple[str, list[str], dict[str, Any]]:
    told = limits_in_force(store.record.history("firm"), Scope("firm", "acc", run), at_ns)
    (limit,) = [x for x in told["limits"] if x["path"].endswith("sigma_target.sigma_target")]
    return limit["value"], limit["decided_by"], told


@pytest.mark.parametrize(
    ("hours", "value", "layer"),
    [(0, "0.15", "defaults"), (1, "0.1", "account"), (2, "0.05", "session"), (6, "0.1", "account")],
)
def test_limits_are_those_of_the_instant(governed: Store, hours: int, value: str, layer: str) -> None:
    found, decided_by, told = sigma(governed, T + hours * HOUR)
    assert found == value and told["notes"] == []
    if layer == "session":
        assert any("override" in name for name in decided_by)
        assert [o["reason"] for o in told["overrides"]] == ["a bad day"]


def test_before_anything_was_accepted_nothing_is_known(governed: Store) -> None:
    with pytest.raises(BadInput, match="accepted by then"):
        sigma(governed, T - 1)
    with pytest.raises(BadInput, match="--at"):
        sigma(governed, None)


def test_a_refusal_since_is_said(governed: Store) -> None:
    assert "refused" in sigma(governed, T + 21 * HOUR)[2]["notes"][0]


def decision_of(one: TraderProfile, at_ns: int, run_id: str) -> list[AuditEvent]:
    body = next(e for e in NORTH[0] if e.event_type == "DECISION").body
    payload = {k: v for k, v in orjson.loads(body).items() if k in p.Decided.model_fields}
    chain = Chain(Identity("firm", "acc", run_id, "dry_run", one.config_hash, "test"))
    chain.write(at_ns, EventType.DECISION, payload)
    return chain.take()


def test_limits_of_a_run_are_found_by_the_hash_it_was_decided_under(governed: Store) -> None:
    tight = profile({"sigma_target": "0.10"})
    made = SqlOverrides(governed.engine, firm_id="firm").of("firm/acc")
    at_ns = T + 3 * HOUR
    log = SqlAuditLog(governed.engine, firm_id="firm")
    log.append(decision_of(profile(), at_ns, "run-1"))
    log.append(decision_of(with_overrides(tight, made, at_ns), at_ns, "run-2"))
    log.append(decision_of(profile({"sigma_target": "0.07"}), at_ns, "run-3"))
    assert sigma(governed, None, "run-1")[0] == "0.15"
    assert sigma(governed, None, "run-2")[0] == "0.05"
    with pytest.raises(CheckFailed, match="which the record does not hold"):
        sigma(governed, None, "run-3")
    with pytest.raises(BadInput, match="run no-run"):
        sigma(governed, None, "no-run")


# --- dossier ------------------------------------------------------------------------------------------------


def test_a_dossier_has_every_entry_of_the_decision_and_where_it_lies(sealed: Store) -> None:
    entries = [orjson.loads(event.body) for event in NORTH[0]]
    latched = {e["correlation_id"] for e in entries if e["event_type"] == "LATCH"}
    traded = next(e for e in entries if e["event_type"] == "FILL" and e["correlation_id"] in latched)
    decision_id = traded["correlation_id"]
    told = dossier(sealed.record.history("north"), Scope("north"), decision_id[:12])
    expected = sorted(e["seq"] for e in entries if decision_id in (e["correlation_id"], e.get("decision_id")))
    parts = ("decision", "consequences", "approvals", "orders", "fills")
    assert sorted(e["seq"] for part in parts for e in told[part]) == expected
    (fill,) = told["fills"]
    assert fill["seq"] == traded["seq"] and fill["place"].startswith("audit/schema=1/firm=north/account=a/")
    assert told["result"]["equity_at_next_decision"] is not None
    assert told["rules"]["counts"]["bound"] == len(
        [r for r in told["rules"]["spoke"] if r["outcome"] == "bound"]
    )
    assert told["decision"][0]["entry_hash"]


def test_realised_gains_add_up_to_the_money_that_was_made(sealed: Store) -> None:
    """Of an account whose book is closed at the end of an attempt: gains less fees are its result."""
    entries = [orjson.loads(event.body) for event in SOUTH]
    ended = next(e for e in entries if e["event_type"] == "ATTEMPT" and e["status"] != "started")
    fills = [e for e in entries if e["event_type"] == "FILL" and e["seq"] < ended["seq"]]
    total = 0.0
    for decision_id in {e["correlation_id"] for e in fills}:
        told = dossier(sealed.record.history("south"), Scope("south"), decision_id)
        total += float(told["result"]["realised_per_unit_of_multiplier"]) - float(told["result"]["fees"])
    assert total == pytest.approx(float(ended["pnl"]), rel=1e-6)


def test_unknown_and_ambiguous_names_are_refused(sealed: Store) -> None:
    history = sealed.record.history("north")
    for name in ("short", "0" * 24, 'x" OR "y" = "y'):
        with pytest.raises(BadInput):
            dossier(history, Scope("north"), name)
    south = next(orjson.loads(e.body)["decision_id"] for e in SOUTH if e.event_type == "DECISION")
    with pytest.raises(BadInput, match="0 in the record of north"):
        dossier(history, Scope("north"), south)


# --- whose --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REGISTERS)
def test_a_register_is_of_one_firm(sealed: Store, name: str) -> None:
    for firm in ("north", "south"):
        for row in sealed.rows(name, firm=firm):
            assert row["chain"].split("/")[-2] == firm


def test_a_firm_must_be_named_where_there_are_several(sealed: Store) -> None:
    with pytest.raises(BadInput, match="--firm, one of north, south"):
        sealed.rows("breaches")
    with pytest.raises(BadInput, match="an account of north"):
        sealed.rows("breaches", firm="north", account="south/c")
    with pytest.raises(BadInput, match="one of north, south"):
        sealed.rows("breaches", firm="east")
    with pytest.raises(BadInput, match="one of breaches"):
        register("secrets", sealed.record.history("north"), Scope("north"))


def test_the_platform_has_its_own(store: Store) -> None:
    record_act(store.acts(), place_of_firm("_platform"), Act(p.Beat(component="x")))
    assert store.rows("kills", firm="_platform") == []
    assert store.record.firms() == ()


@pytest.mark.parametrize(
    ("text_", "end", "told"),
    [
        ("2026-11-26", False, "2026-11-26T00:00:00Z"),
        ("2026-11-26", True, "2026-11-26T23:59:59.999999999Z"),
        ("2026-11-26T08:00:00+01:00", True, "2026-11-26T07:00:00Z"),
    ],
)
def test_days_and_instants(text_: str, end: bool, told: str) -> None:
    assert instant_text(moment(text_, "--to", end=end)) == told


def test_other_words_are_no_instant() -> None:
    with pytest.raises(BadInput, match="--from"):
        moment("yesterday", "--from", end=False)


class _Sealing(SqlRecorded):
    """Write-ahead rows that are sealed, and gone, while somebody reads them."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.engine, firm_id="north")
        self._store = store

    def entries(self, chain_id: str, wanted: Selection, sealed: Any) -> Iterator[Recorded]:
        rows = list(super().entries(chain_id, wanted, sealed))
        if rows:
            seal(self._store.folder, NORTH[0][:9])
            with self._store.engine.begin() as connection:
                connection.execute(delete(WAL))
        return iter(rows)


def test_rows_that_are_sealed_in_between_are_there_once(store: Store) -> None:
    SqlAuditLog(store.engine, firm_id="north").append(NORTH[0][:9])
    files = SealedHistory(LocalArtifacts(store.folder), firm_id="north")
    history = FirmHistory(files, _Sealing(store))
    assert [entry.seq for entry in history.entries(Selection())] == list(range(1, 10))
    assert [entry.place[:6] for entry in history.entries(Selection())] == ["audit/"] * 9
