"""Decisions and the record as they are shown: pages, filters, one whole, proof, who may read what."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.gate_samples import CORE, GROWTH, T
from tests.views_world import DEFENSIVE, EVAL, KESTREL, NORTH, NOW, S, World, asker, every_view

from regime_trading.bootstrap.proof import verify_record
from regime_trading.core.access import Role
from regime_trading.core.errors import BadInput, NotThere
from regime_trading.core.jobs import Job, JobKind
from regime_trading.core.recorded import Selection
from regime_trading.core.schemas import Mode
from regime_trading.services.verify import answer
from regime_trading.services.views import audit, decisions
from regime_trading.services.views.audit import EntryFilter
from regime_trading.services.views.decisions import DecisionFilter

# --- decisions --------------------------------------------------------------------------------------------------


def test_decisions_come_newest_first_and_page_by_page_each_once(world: World) -> None:
    sources, of = world.sources(), asker()
    whole = decisions.decisions(sources, of, limit=500).items
    assert [row.outcome for row in whole[:3]] == ["flatten", "flatten", "resize"]
    assert [row.as_of for row in whole] == sorted((row.as_of for row in whole), reverse=True)
    paged, cursor = [], None
    while True:
        page = decisions.decisions(sources, of, cursor=cursor, limit=97)
        paged += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert tuple(paged) == whole and len({row.place.event_id for row in whole}) == len(whole) > 300


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (DecisionFilter(account=CORE), lambda row: row.account == CORE),
        (DecisionFilter(outcome="flatten"), lambda row: row.outcome == "flatten"),
        (DecisionFilter(trading_state="FLATTEN"), lambda row: row.trading_state_after == "FLATTEN"),
        (DecisionFilter(rule_id="VT-04"), lambda row: "VT-04" in row.binding_rules),
        (DecisionFilter(env="shadow"), lambda row: row.env == "shadow"),
        (DecisionFilter(from_ns=T + S, to_ns=T + 61 * S), lambda row: row.as_of == "2026-11-20T15:31:00Z"),
    ],
)
def test_filters_find_exactly_what_fits(world: World, wanted: DecisionFilter, says: Any) -> None:
    whole = decisions.decisions(world.sources(), asker(), limit=500).items
    found = decisions.decisions(world.sources(), asker(), wanted, limit=500).items
    assert found == tuple(row for row in whole if says(row)) and found


def test_one_decision_is_told_whole(world: World) -> None:
    row = decisions.decisions(world.sources(), asker(), DecisionFilter(account=CORE, env="shadow")).items[1]
    assert row.decision_id is not None
    told = decisions.decision(world.sources(), asker(), CORE, row.decision_id)
    assert told.model_dump(include=set(type(row).model_fields)) == row.model_dump()
    assert told == decisions.decision_at(world.sources(), asker(), row.place.chain_id, row.place.seq)
    (ko, xom) = told.targets
    assert (ko.symbol, ko.current_quantity, ko.target_quantity, ko.step_quantity) == (
        "KO",
        "1000",
        "0",
        "-1000",
    )
    assert xom.proposed_weight == 0.3 and xom.target_weight == 0.0 and "LD-01" in xom.limiting_rules
    assert {one.event_type for one in told.consequences} == {"LATCH", "MODE_CHANGE", "RULE_BREACH"}
    assert told.inputs is not None and len(told.inputs.stored_inputs) == 1
    assert told.throttle is not None and len(told.rules) > 60


def test_a_redacted_decision_keeps_weights_and_loses_amounts(world: World) -> None:
    of = asker(role=Role.ANALYST, redact=True)
    row = decisions.decisions(world.sources(), of, DecisionFilter(account=CORE, env="shadow")).items[1]
    assert row.decision_id is not None
    told = decisions.decision(world.sources(), of, CORE, row.decision_id)
    assert told.redacted and told.equity is None and told.targets[0].current_weight > 0
    assert all(t.current_quantity is t.target_quantity is t.step_quantity is None for t in told.targets)
    assert told.rationale.startswith("flatten: ") and "against" not in told.rationale
    money = [rule for rule in told.rules if rule.unit == "money"]
    assert money and all(rule.value is rule.limit is None for rule in money)
    text = told.model_dump_json()
    assert not any(amount in text for amount in ("961990", "38010", "19999.8", '"1000"'))


@pytest.mark.parametrize("name", ["", "x", "f" * 64, "'; drop table wal; --", "é" * 64])
def test_a_decision_that_is_not_there_is_not_found(world: World, name: str) -> None:
    with pytest.raises(NotThere):
        decisions.decision(world.sources(), asker(), CORE, name)


def test_a_decision_of_an_account_that_one_may_not_see_does_not_exist(world: World) -> None:
    row = decisions.decisions(world.sources(), asker(), DecisionFilter(account=CORE)).items[0]
    assert row.decision_id is not None
    for of in (asker(accounts={DEFENSIVE}), asker(KESTREL)):
        with pytest.raises(NotThere, match="account that exists"):
            decisions.decision(world.sources(), of, CORE, row.decision_id)
        with pytest.raises(NotThere):
            decisions.decision_at(world.sources(), of, row.place.chain_id, row.place.seq)
        with pytest.raises(NotThere):
            decisions.decisions(world.sources(), of, DecisionFilter(account=CORE))
    with pytest.raises(NotThere):  # of the account's own firm, asked of another
        decisions.decision_at(world.sources(KESTREL), asker(KESTREL), row.place.chain_id, row.place.seq)


# --- cursors ----------------------------------------------------------------------------------------------------


def test_cursors_of_other_lists_and_filters_are_refused(world: World) -> None:
    sources, of = world.sources(), asker()
    cursor = decisions.decisions(sources, of, limit=1).next_cursor
    assert cursor is not None
    plain = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    forged = [
        base64.urlsafe_b64encode(json.dumps(made).encode()).decode()
        for made in ([], plain[:3], [*plain[:1], 1, 2, 3], [*plain, "x"], {"a": 1}, [plain[0], "x", "y", "z"])
    ]
    for bad in ("", "x", "!!!", "é", "A" * 1000, cursor[:-3], *forged):
        with pytest.raises(BadInput, match="cursor"):
            decisions.decisions(sources, of, cursor=bad)
    with pytest.raises(BadInput, match="same filters"):
        decisions.decisions(sources, of, DecisionFilter(account=CORE), cursor=cursor)
    with pytest.raises(BadInput, match="same filters"):
        audit.entries(sources, of, cursor=cursor)
    with pytest.raises(BadInput, match="same filters"):
        decisions.decisions(world.sources(KESTREL), asker(KESTREL), cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, 501])
def test_pages_have_a_most(world: World, limit: int) -> None:
    for ask in (decisions.decisions, audit.entries):
        with pytest.raises(BadInput, match="1 to 500 rows"):
            ask(world.sources(), asker(), limit=limit)  # type: ignore[operator]


# --- the record -------------------------------------------------------------------------------------------------


def test_an_entry_has_its_change_its_place_and_its_proof(world: World) -> None:
    sources, of = world.sources(), asker()
    mode = audit.entries(sources, of, EntryFilter(account=CORE, kinds=("MODE_CHANGE",), env="shadow")).items[
        0
    ]
    told = audit.entry(sources, of, mode.place.chain_id, mode.place.seq)
    assert (told.before, told.after, told.severity) == ("NORMAL", "FLATTEN", "warning")
    assert told.follows and told.previous == told.place.seq - 1 and told.proof == "not_signed"
    assert told.body is not None and json.loads(told.body)["seq"] == told.place.seq
    changed = audit.entries(sources, of, EntryFilter(account=CORE, kinds=("CONFIG_ACCEPTED",))).items[0]
    told = audit.entry(sources, of, changed.place.chain_id, changed.place.seq)
    assert (told.before, told.after) == ({"mode": "dry_run"}, {"mode": "shadow"})
    assert (told.account, told.about, told.actor.type) == ("north-pier/_firm", CORE, "user")
    sealed = audit.entries(sources, of, EntryFilter(run_id=world.backtest_id), limit=1).items[0]
    assert (sealed.proof, sealed.place.stored) == ("signed", "sealed")


def test_an_id_or_a_hash_finds_the_entries_that_say_it_and_no_other_text_does(world: World) -> None:
    sources, of = world.sources(), asker()
    change = audit.entries(sources, of, EntryFilter(account=CORE, kinds=("CONFIG_ACCEPTED",))).items[0]

    def found(named: str) -> set[str]:
        return {one.event_id for one in audit.entries(sources, of, EntryFilter(named=named), limit=500).items}

    assert found(change.event_id) == {change.event_id}
    assert change.event_id in found(change.config_hash) and len(found(change.config_hash)) > 1
    assert (
        found(change.event_id[:-1]) == found("shadow") == found("NORMAL") == set()
    )  # never an amount by its text


def test_the_reach_tells_how_far_and_how_long_ago(world: World) -> None:
    from regime_trading.adapters.artifacts import LocalArtifacts
    from regime_trading.adapters.witness import open_witnesses
    from regime_trading.bootstrap.views import open_proofs

    sources = world.sources()
    told = audit.reach(sources, asker())
    assert told.checkpoint == 3 and told.checkpoints_ok and told.witnessed_checkpoint == 0
    assert {chain.chain_id.split("/")[-1] for chain in told.chains} == {"core", "defensive"}
    place = world.folder.parent / "witness"
    witnesses = open_witnesses((str(place),))
    first = (world.folder / "audit/_checkpoints/firm=north-pier/000000000001.txt").read_bytes()
    if witnesses[0].latest(NORTH) is None:
        witnesses[0].put(NORTH, first)
    held = replace(sources, proofs=open_proofs(NORTH, LocalArtifacts(world.folder), witnesses))
    told = audit.reach(held, asker())
    assert (told.witnesses, told.witnessed_checkpoint, told.witness_faults) == (1, 1, 0)
    assert told.witnessed_at is not None and told.witnessed_age_s is not None
    rows = audit.entries(held, asker(), EntryFilter(run_id=world.run_id), limit=500).items
    assert {row.proof for row in rows} == {"witnessed", "signed"}  # decisions were signed before their orders
    assert audit.reach(held, asker(accounts={DEFENSIVE})).chains != told.chains


def test_what_a_verification_found_is_for_who_may_read_all_of_the_record(world: World) -> None:
    job = Job("job-1", NORTH, JobKind.VERIFY, "{}", "u-abcdefgh23456777", 1, finished_ns=NOW - 60 * S)
    found = answer(verify_record(world.folder, None, NORTH, ()))
    job = replace(job, result=json.dumps({"summary": found}))
    told = audit.verification(world.sources(), asker(role=Role.ADMIN), job)
    assert told.ok and told.entries > 330 and told.first_bad is None and told.gaps == ()
    assert (told.job_id, told.age_s) == ("job-1", 60) and "cut off" in told.limits
    bad = {"chain": "admin/north-pier/_firm", "seq": 7, "file": "x", "reason": "it was changed"}
    broken = found | {"ok": False, "integrity": {"ok": False, "first_bad": bad}}
    told = audit.verification(world.sources(), asker(), replace(job, result=json.dumps({"summary": broken})))
    assert not told.ok and told.first_bad is not None and told.first_bad.seq == 7
    for of in (asker(accounts={CORE}), asker(role=Role.VIEWER), asker(KESTREL)):
        with pytest.raises(NotThere):
            audit.verification(world.sources(), of, job)


def test_who_may_read_one_account_reads_its_entries_and_the_acts_about_it(world: World) -> None:
    rows = audit.entries(world.sources(), asker(accounts={DEFENSIVE}), limit=500).items
    assert {row.account for row in rows} == {DEFENSIVE, "north-pier/_firm"}
    assert {row.about for row in rows if row.account.endswith("_firm")} == {DEFENSIVE}
    theirs = audit.entries(world.sources(), asker(), EntryFilter(account=CORE, kinds=("OVERRIDE",))).items[0]
    with pytest.raises(NotThere):
        audit.entry(world.sources(), asker(accounts={DEFENSIVE}), theirs.place.chain_id, theirs.place.seq)
    acts = audit.entries(world.sources(), asker(), EntryFilter(account="north-pier/_firm"), limit=500).items
    assert {row.account for row in acts} == {"north-pier/_firm"} and len(acts) >= 4


def test_a_viewer_and_a_pm_without_second_factor_read_no_audit(world: World) -> None:
    weak = replace(asker(), principal=replace(asker().principal, second_factor=False))
    for of in (asker(role=Role.VIEWER), weak, asker(KESTREL)):
        assert audit.entries(world.sources(), of).items == ()
        with pytest.raises(NotThere):
            audit.register_of(world.sources(), of, "breaches")
        with pytest.raises(NotThere):
            audit.entry(world.sources(), of, "shadow/north-pier/core", 1)


@pytest.mark.parametrize(
    ("chain", "seq"),
    [
        ("shadow/north-pier/core", 0),
        ("shadow/north-pier/core", -1),
        ("shadow/north-pier/core", 10**6),
        ("shadow/kestrel-lane/growth", 1),
        ("admin/kestrel-lane/_firm", 1),
        ("shadow/north-pier/../kestrel-lane/growth", 1),
        ("", 1),
        ("dry_run/x", 1),
        ("shadow/north-pier/*", 1),
    ],
)
def test_entries_that_are_not_there_are_not_found(world: World, chain: str, seq: int) -> None:
    with pytest.raises(NotThere):
        audit.entry(world.sources(), asker(role=Role.ADMIN), chain, seq)


def test_a_redacted_entry_keeps_only_what_is_known_to_hold_no_amount(world: World) -> None:
    of = asker(role=Role.ANALYST, redact=True)
    rows = {row.event_type: row for row in audit.entries(world.sources(), of, limit=500).items}
    assert {"DECISION", "LATCH", "RULE_BREACH", "CONFIG_ACCEPTED", "OVERRIDE", "ORDER_SENT", "FILL"} <= set(
        rows
    )
    for kind, row in rows.items():
        told = audit.entry(world.sources(), of, row.place.chain_id, row.place.seq)
        assert told.redacted and told.body is None, kind
        hidden = {
            "equity",
            "qty",
            "price",
            "fee",
            "amount",
            "profile",
            "changes",
            "pnl",
            "limit_price",
            "entries",
        }
        assert not hidden & set(told.payload), kind
        assert set(told.payload.get("targets", {})) <= {  # type: ignore[arg-type]
            "symbol", "proposed_w_e9", "current_w_e9", "target_w_e9", "limiting_rules"
        }  # fmt: skip


def test_registers_are_those_of_the_record(world: World) -> None:
    assert {one.name for one in audit.registers()} >= {"breaches", "limit-changes", "overrides", "approvals"}
    made = audit.register_of(world.sources(), asker(), "overrides", CORE)
    assert made.total == len(made.rows) == 1 and not made.truncated
    assert dict(zip(made.columns, made.rows[0], strict=True))["path"] == "risk.gross"
    for name, account in (("breaches", GROWTH), ("none", ""), ("breaches", "north-pier/none")):
        with pytest.raises(NotThere):
            audit.register_of(world.sources(), asker(), name, account)
    with pytest.raises(NotThere):  # its amounts cannot be left out of it
        audit.register_of(world.sources(), asker(redact=True), "breaches")


def test_of_a_long_register_the_newest_rows_are_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = audit.register_of(world.sources(), asker(), "limit-changes")
    monkeypatch.setattr(audit, "REGISTER_ROWS", 2)
    sent = audit.register_of(world.sources(), asker(), "limit-changes")
    assert sent.truncated and sent.total == len(whole.rows) > 2
    assert sent.rows == whole.rows[-2:]


def test_the_chain_of_an_account_in_shadow_has_nothing_of_its_dry_runs(world: World) -> None:
    history = world.sources().history
    chain = "shadow/north-pier/core"
    found = list(history.entries(Selection(chain_id=chain)))
    assert [entry.seq for entry in found] == list(range(1, len(found) + 1)) and found
    assert {entry.fields()["env"] for entry in found} == {"shadow"}
    assert history.hashes(chain) == [entry.entry_hash for entry in found]


# --- tenants ----------------------------------------------------------------------------------------------------


def strings_in(value: Any) -> set[str]:
    """Every text in plain values, long enough to be nobody's by chance."""
    if isinstance(value, str):
        return {value} if len(value) >= 8 else set()
    if isinstance(value, dict):
        return strings_in(list(value.values()))
    if isinstance(value, list | tuple):
        return set().union(*map(strings_in, value)) if value else set()
    return set()


def recorded_strings(world: World, firm_id: str) -> set[str]:
    """Every text in everything that the store and the record hold of a firm."""
    sources = world.sources(firm_id)
    found = set[str]()
    for entry in sources.history.entries(Selection()):
        found |= strings_in(entry.fields()) | {entry.entry_hash, entry.chain_id}
    for account in sources.standings:
        for mode in ("dry_run", "shadow"):
            stored = sources.states.latest(account, Mode(mode))
            if stored is not None:
                found |= strings_in([stored.state.model_dump(mode="json"), stored.decision_id])
    return found | {firm_id, *sources.standings}


def test_no_view_of_a_firm_has_a_text_that_only_another_firm_has(world: World) -> None:
    own = {NORTH: recorded_strings(world, NORTH), KESTREL: recorded_strings(world, KESTREL)}
    for firm_id, other in ((NORTH, KESTREL), (KESTREL, NORTH)):
        shown = [text for _, text in every_view(world, asker(firm_id, Role.ADMIN), firm_id)]
        ours = "\n".join(own[firm_id])
        market = json.dumps(world.sources(firm_id).settings.model_dump(mode="json"))
        secret = [text for text in own[other] - own[firm_id] if _is_secret(text, ours, market)]
        assert len(secret) > 500
        whole = "\n".join(shown)
        leaks = [text for text in secret if text in whole]
        assert leaks == [], firm_id
        for _, text in every_view(world, asker(other, Role.ADMIN), firm_id):
            assert not any(one in text for one in own[firm_id] - own[other] if len(one) > 40)


def _is_secret(text: str, ours: str, market: str) -> bool:
    """Whether a text of another firm is neither the firm's own, nor everybody's, nor the name of a parameter."""
    return text not in ours and text not in market and not text.startswith("risk.")


ACCOUNTS = (CORE, DEFENSIVE, GROWTH, EVAL)


@given(
    firm=st.sampled_from((NORTH, KESTREL)),
    role=st.sampled_from(Role),
    accounts=st.none() | st.sets(st.sampled_from(ACCOUNTS), max_size=3),
    wanted=st.builds(
        EntryFilter,
        account=st.sampled_from(("", *ACCOUNTS, "north-pier/_firm", "kestrel-lane/_firm")),
        chain_id=st.sampled_from(("", "shadow/north-pier/core", "shadow/kestrel-lane/growth")),
        actor_id=st.sampled_from(("", "engine", "%", "' or 1=1 --")),
        rule_id=st.sampled_from(("", "LD-01", "%", '"')),
    ),
    asked_of=st.sampled_from((NORTH, KESTREL)),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nobody_ever_reads_an_entry_of_an_account_without_a_grant_over_it(
    world: World, firm: str, role: Role, accounts: set[str] | None, wanted: EntryFilter, asked_of: str
) -> None:
    of = asker(firm, role, accounts)
    try:
        rows = audit.entries(world.sources(asked_of), of, wanted, limit=40).items
    except NotThere:
        return
    allowed = {
        name for name in ACCOUNTS if name.split("/")[0] == firm and (accounts is None or name in accounts)
    }
    for row in rows:
        assert role is not Role.VIEWER and asked_of == firm
        if row.account.endswith("/_firm"):
            assert accounts is None or row.about in allowed
        else:
            assert row.account in allowed
