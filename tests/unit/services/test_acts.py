"""Acts get into the record in one way: numbered without gaps, bound to what they are about, or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from tests.unit.core.test_trader_profile import profile
from tests.unit.services.test_configurations import BROKEN, FINDING, accounts, ask

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import FixedClock
from regime_trading.adapters.database import (
    SqlActors,
    SqlAuditLog,
    SqlLastGood,
    SqlOverrides,
    open_database,
    sqlite_url,
)
from regime_trading.adapters.database.accounts import record
from regime_trading.adapters.database.engine import writing
from regime_trading.bootstrap.acts import firm_history, make_acts
from regime_trading.core.audit import verify_chain
from regime_trading.core.config_status import BrokenFirm
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable
from regime_trading.core.event_payloads import Beat, KeyAct, OrderSent
from regime_trading.core.event_schema import read_event
from regime_trading.core.recorded import Selection
from regime_trading.core.schemas import ActorType, AuditEvent, Receipt
from regime_trading.core.settings import InvalidConfig
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.core.users import Told
from regime_trading.services.acts import Act, Acts, Place, place_of_firm, record_act, record_acts
from regime_trading.services.configurations import make_override, take_over
from regime_trading.services.people import record_in

T = 1_795_680_000_000_000_000  # 2026-11-26T08:00:00Z
BEAT = Act(Beat(component="test"))
NO_REVEALING = ("mary", "example")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_database(sqlite_url(tmp_path / "state" / "regime.db"))


@pytest.fixture
def acts(engine: Engine, tmp_path: Path) -> Acts:
    return at(make_acts(engine, LocalArtifacts(tmp_path), "test"), T)


def at(acts: Acts, ts_ns: int) -> Acts:
    return replace(acts, clock=FixedClock(ts_ns))


def told(acts: Acts, firm: str = "firm") -> list[dict[str, Any]]:
    chain = f"admin/{firm}/{place_of_firm(firm).account_id}"
    entries = acts.audit(firm).entries(chain)
    assert verify_chain(entries, chain=chain).ok
    return [read_event(entry.event.body).model_dump(mode="json") for entry in entries]


# --- writing ------------------------------------------------------------------------------------------------


def test_an_act_is_in_the_chain_of_its_firm_by_day_with_its_actor(acts: Acts) -> None:
    record_act(acts, place_of_firm("firm"), BEAT)
    record_act(at(acts, T + 86_400_000_000_000), place_of_firm("firm"), BEAT)
    record_act(acts, place_of_firm("_platform"), BEAT)
    first, second = told(acts)
    assert [e["run_id"] for e in (first, second)] == ["d-2026-11-26", "d-2026-11-27"]
    assert (first["env"], first["account_id"], first["ts_recorded_ns"]) == ("admin", "_firm", str(T))
    assert first["actor"]["type"] == "user" and first["actor"]["id"].startswith("u-")
    assert first["rationale"] == "test is alive."
    (own,) = told(acts, "_platform")
    assert own["actor"]["id"] != first["actor"]["id"], "another firm, another pseudonym"


def test_a_clock_that_steps_back_is_told_and_stops_nothing(acts: Acts) -> None:
    record_act(acts, place_of_firm("firm"), BEAT)
    record_act(at(acts, T - 86_400_000_000_000), place_of_firm("firm"), BEAT)
    last = told(acts)[-1]
    assert (last["ts_event_ns"], last["ts_recorded_ns"]) == (str(T), str(T - 86_400_000_000_000))
    assert last["run_id"] == "d-2026-11-26"


def test_many_writers_leave_no_gap(acts: Acts) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: record_act(at(acts, T + n), place_of_firm("firm"), BEAT), range(24)))
    assert [entry["seq"] for entry in told(acts)] == list(range(1, 25))


def test_an_act_is_recorded_though_somebody_else_is_faster_whenever_it_looks(acts: Acts) -> None:
    audit, place = acts.audit("firm"), place_of_firm("firm")
    calls, faster = [], []

    with ThreadPoolExecutor(1) as pool:

        def commit(events: Sequence[AuditEvent]) -> Receipt:
            calls.append(events[0].seq)
            faster.append(pool.submit(record_act, at(acts, T + len(calls)), place, BEAT))
            wait(faster, timeout=0.5)
            return audit.append(events)[0]

        receipt = record_acts(acts, place, (Act(Beat(component="slow")),), commit)
        assert (receipt.seq, calls) == (2, [1, 2])
        assert [one.result().seq for one in faster] == [1, 3]
    assert [entry["component"] for entry in told(acts)] == ["test", "slow", "test"]


@pytest.mark.parametrize("faster", ["a", "b", "ab"])
def test_acts_of_two_firms_are_recorded_though_somebody_else_is_faster(
    acts: Acts, engine: Engine, faster: str
) -> None:
    calls: list[list[int]] = []

    def commit(events: Told) -> None:
        if not calls:
            for firm in faster:
                record_act(at(acts, T + 1), place_of_firm(firm), BEAT)
        calls.append([event.seq for event in events.events])
        with writing(engine) as connection:
            record(connection, events)

    record_in(acts, {"a": (BEAT,), "b": (BEAT,)}, T, commit)
    assert (calls[0], calls[-1]) == ([1, 1], [1 + ("a" in faster), 1 + ("b" in faster)])
    assert [len(told(acts, firm)) for firm in "ab"] == calls[-1]


def test_an_act_of_an_account_follows_its_chain(acts: Acts) -> None:
    order = OrderSent(
        client_order_id="o", decision_id="d", symbol="KO", intent="exit", leg=1, slice=1, qty="-5",
        limit_price=None,
    )  # fmt: skip
    place = Place("firm", "acc", "shadow")
    for _ in range(2):
        receipt = record_act(acts, place, Act(order, actor=(ActorType.SERVICE, "execution")))
    assert (receipt.chain_id, receipt.seq) == ("shadow/firm/acc", 2)
    with pytest.raises(BadInput, match="run of a dry run"):
        record_act(acts, replace(place, env="dry_run"), Act(order))


def test_what_does_not_fit_or_cannot_be_written_is_refused(acts: Acts, engine: Engine) -> None:
    forged = KeyAct.model_construct(action="created", key_hash="short", key_name="", subject="")
    with pytest.raises(BadInput, match="KEY"):
        record_act(acts, place_of_firm("firm"), Act(forged))
    with engine.begin() as connection:
        connection.execute(
            text("create trigger full before insert on wal begin select raise(abort, 'disk'); end")
        )
    with pytest.raises(NotDurable, match="disk"):
        record_act(acts, place_of_firm("firm"), BEAT)
    assert told(acts) == []


# --- configurations -----------------------------------------------------------------------------------------


def changed(one: TraderProfile, **rule: str) -> TraderProfile:
    return profile({"sigma_target": rule.get("sigma_target", "0.10")})


def test_a_configuration_is_recorded_when_it_is_new_and_when_it_changes(acts: Acts, engine: Engine) -> None:
    stores = lambda firm: SqlLastGood(engine, firm_id=firm)  # noqa: E731
    before, after = profile(), changed(profile())
    for one in (before, before, after, after):
        take_over((one,), (), stores, now_ns=T, acts=acts)
    first, second = told(acts)
    assert [e["event_type"] for e in (first, second)] == ["CONFIG_ACCEPTED"] * 2
    assert (first["account"], first["before_hash"], first["after_hash"]) == (
        "firm/acc",
        "",
        before.config_hash,
    )
    assert (first["reason_codes"], second["reason_codes"]) == (["FIRST_SIGHT"], [])
    assert (second["before_hash"], second["after_hash"]) == (before.config_hash, after.config_hash)
    (change,) = [c for c in second["changes"] if c["path"].endswith("sigma_target")]
    assert (change["before"], change["after"], change["direction"]) == ("0.15", "0.1", "tightens")
    assert second["config_hash"] == after.config_hash
    assert TraderProfile.model_validate(second["profile"]).config_hash == after.config_hash


def test_a_configuration_that_no_longer_verifies_is_said_to_be_unknown(acts: Acts, engine: Engine) -> None:
    stores = lambda firm: SqlLastGood(engine, firm_id=firm)  # noqa: E731
    take_over((profile(),), (), stores, now_ns=T, acts=acts)
    with engine.begin() as connection:
        connection.execute(text("update last_good_configs set config_hash = :h"), {"h": "0" * 64})
    take_over((profile(),), (), stores, now_ns=T, acts=acts)
    last = told(acts)[-1]
    assert (last["before_hash"], last["changes"], last["reason_codes"]) == ("", [], ["BEFORE_UNKNOWN"])


def test_a_refusal_is_recorded_once_and_its_end_is_too(acts: Acts, engine: Engine) -> None:
    stores = lambda firm: SqlLastGood(engine, firm_id=firm)  # noqa: E731
    good = accounts("bad")
    other = (replace(BROKEN[0], findings=(FINDING.model_copy(update={"line": 8}),)),)
    take_over(good, (), stores, now_ns=T, acts=acts)
    for broken in (BROKEN, BROKEN, other, BROKEN):
        take_over((), broken, stores, now_ns=T, acts=acts)
    take_over(good, (), stores, now_ns=T, acts=acts)
    take_over(good, (), stores, now_ns=T, acts=acts)
    take_over((), BROKEN, stores, now_ns=T, acts=acts)
    kinds = [(entry["event_type"], entry["reason_codes"]) for entry in told(acts, "bad")]
    assert kinds == [
        ("CONFIG_ACCEPTED", ["FIRST_SIGHT"]),
        ("CONFIG_REFUSED", []),
        ("CONFIG_REFUSED", []),
        ("CONFIG_ACCEPTED", ["AFTER_REFUSAL"]),
        ("CONFIG_REFUSED", []),
    ]
    refused = told(acts, "bad")[1]
    assert refused["accounts"] == ["bad/acc", "bad/fresh"]
    assert refused["findings"][0]["message"] == "expected 'gross', found 'grss'"


def test_a_firm_without_a_legal_name_is_the_platforms_and_secrets_are_masked(
    acts: Acts, engine: Engine
) -> None:
    stores = lambda firm: SqlLastGood(engine, firm_id=firm)  # noqa: E731
    leaky = FINDING.model_copy(update={"found": "'mary@example.org'", "file": "/home/mary/traders.yaml"})
    take_over((), (BrokenFirm("?", ("?/x",), (leaky,)),), stores, now_ns=T, acts=acts)
    (entry,) = told(acts, "_platform")
    assert entry["accounts"] == [] and entry["erased"] == ["0"]
    assert not any(word in json.dumps(entry) for word in NO_REVEALING)
    assert entry["findings"][0]["file"] == "traders.yaml"


def test_what_cannot_be_recorded_is_not_accepted(acts: Acts, engine: Engine) -> None:
    stores = lambda firm: SqlLastGood(engine, firm_id=firm)  # noqa: E731
    with engine.begin() as connection:
        connection.execute(
            text("create trigger full before insert on wal begin select raise(abort, 'disk'); end")
        )
    with pytest.raises(NotDurable):
        take_over((profile(),), (), stores, now_ns=T, acts=acts)
    assert stores("firm").get("firm/acc") is None


def test_folders_do_not_get_into_the_record(acts: Acts, engine: Engine) -> None:
    one = profile()
    path, steps = next((path, steps) for path, steps in one.provenance.items() if steps[-1].file)
    moved = steps[-1].model_copy(update={"file": "/home/mary/config/traders.yaml"})
    one = one.model_copy(update={"provenance": {**one.provenance, path: (*steps[:-1], moved)}})
    take_over((one,), (), lambda firm: SqlLastGood(engine, firm_id=firm), now_ns=T, acts=acts)
    assert "mary" not in json.dumps(told(acts))


# --- overrides ----------------------------------------------------------------------------------------------


def test_an_override_is_in_the_record_before_it_is_in_force(acts: Acts, engine: Engine) -> None:
    store = SqlOverrides(engine, firm_id="firm")
    made = make_override(profile(), ask(exact=True), store, now_ns=5, acts=acts)
    (entry,) = told(acts)
    assert (entry["event_type"], entry["override_id"]) == ("OVERRIDE", made.override_id)
    assert (entry["account"], entry["path"], entry["value"]) == ("firm/acc", "risk.sigma_target", "0.05")
    assert (entry["created_at_ns"], entry["ends_at_ns"]) == ("5", str(made.expires_at_ns))
    assert entry["actor"]["type"] == "user" and made.created_by == "service:local"
    assert make_override(profile(), ask(exact=True), store, now_ns=5, acts=acts) == made
    assert len(told(acts)) == 1, "the same words at the same instant are one override"


def test_an_override_that_is_refused_leaves_no_entry(acts: Acts, engine: Engine) -> None:
    store = SqlOverrides(engine, firm_id="firm")
    with pytest.raises(InvalidConfig):
        make_override(profile(), ask("0.5"), store, now_ns=5, acts=acts)
    with pytest.raises(BadInput, match="--reason"):
        make_override(profile(), ask(reason="ask mary@example.org"), store, now_ns=5, acts=acts)
    assert told(acts) == [] and store.of("firm/acc") == ()


def test_an_override_that_cannot_be_recorded_is_not_in_force(acts: Acts, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("create trigger full before insert on wal begin select raise(abort, 'disk'); end")
        )
    store = SqlOverrides(engine, firm_id="firm")
    with pytest.raises(NotDurable):
        make_override(profile(), ask(), store, now_ns=5, acts=acts)
    assert store.of("firm/acc") == ()


# --- actors -------------------------------------------------------------------------------------------------


def test_a_subject_has_one_pseudonym_per_firm_and_its_name_is_nowhere_in_the_clear(
    engine: Engine, tmp_path: Path
) -> None:
    north, south = SqlActors(engine, firm_id="north"), SqlActors(engine, firm_id="south")
    made = north.pseudonym("local:mary", T, name="Mary Major", email="mary@example.org")
    assert north.pseudonym("local:mary", T + 1) == made != south.pseudonym("local:mary", T)
    (known,) = north.all()
    assert (known.pseudonym, known.subject, known.name) == (made, "local:mary", "Mary Major")
    assert known.email == "mary@example.org"
    for file in (tmp_path / "state").iterdir():
        stored = file.read_bytes().lower()
        assert b"local:mary" not in stored and b"major" not in stored


def test_erasure_takes_the_name_and_leaves_the_chain(acts: Acts, engine: Engine, tmp_path: Path) -> None:
    actors = SqlActors(engine, firm_id="firm")
    who = actors.pseudonym("local:mary", T, name="Mary Major")
    record_act(acts, place_of_firm("firm"), Act(Beat(component="x"), actor=(ActorType.USER, who)))
    with engine.connect() as connection:
        key = connection.execute(text("select key from actors where pseudonym = :p"), {"p": who}).scalar_one()
    actors.erase(who, T + 1, ())
    erased = [actor for actor in actors.all() if actor.pseudonym == who]
    assert (erased[0].erased, erased[0].name, erased[0].subject) == (True, "", "")
    assert told(acts)[0]["actor"]["id"] == who
    stored = b"".join(file.read_bytes() for file in (tmp_path / "state").iterdir())
    assert who.encode() in stored and key not in stored, "the key is overwritten, not only unlinked"
    again = SqlActors(engine, firm_id="firm")
    assert again.pseudonym("local:mary", T + 2) != who, "nobody knows that it was the same person"
    with pytest.raises(BadInput, match="erased already"):
        again.erase(who, T + 3, ())
    with pytest.raises(BadInput, match="an actor of firm"):
        again.erase("u-" + "a" * 16, T + 3, ())


def test_a_name_under_another_key_is_found_out(engine: Engine) -> None:
    actors = SqlActors(engine, firm_id="firm")
    actors.pseudonym("local:mary", T)
    with engine.begin() as connection:
        connection.execute(text("update actors set key = :k"), {"k": os.urandom(32)})
    with pytest.raises(CheckFailed, match="does not open"):
        actors.all()


def test_the_same_subject_at_once_has_one_pseudonym(engine: Engine) -> None:
    actors = SqlActors(engine, firm_id="firm")
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda n: actors.pseudonym("local:mary", T), range(12)))) == 1


def test_history_without_files_reads_the_rows(acts: Acts, engine: Engine, tmp_path: Path) -> None:
    record_act(acts, place_of_firm("firm"), BEAT)
    history = firm_history(engine, LocalArtifacts(tmp_path), "firm")
    (entry,) = history.entries(Selection())
    assert (entry.account, entry.env, entry.place) == ("firm/_firm", "admin", "write-ahead rows")
    assert SqlAuditLog(engine, firm_id="firm").head(entry.chain_id) == (1, entry.entry_hash)
