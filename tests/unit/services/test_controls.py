"""Halts: who may, what is in force, how they end, and that every way to a decision carries them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from tests.gate_samples import CONFIG, CORE, DEFENSIVE, GROWTH
from tests.gate_samples import T as FIRST_NS
from tests.unit.services.test_degraded import EXIT, World, down
from typer.testing import CliRunner

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import FixedClock
from regime_trading.adapters.database import SqlControls, SqlLedger, SqlMessages, open_database, sqlite_url
from regime_trading.adapters.halt_flags import FlagFiles
from regime_trading.bootstrap.acts import firm_history, make_acts
from regime_trading.bootstrap.app import open_app
from regime_trading.cli import app
from regime_trading.core.access import Answer, Caller, Grant, Principal, Role
from regime_trading.core.controls import (
    LOCAL,
    UNKNOWN,
    Control,
    Flag,
    HaltDenied,
    Level,
    NewControl,
    halt_of,
)
from regime_trading.core.errors import BadInput, StoreDown
from regime_trading.core.event_schema import read_event
from regime_trading.core.recorded import Selection
from regime_trading.core.rules import TradingState
from regime_trading.core.schemas import ActorType, Mode
from regime_trading.services.controls import (
    Carried,
    HaltAsk,
    Halts,
    ResumeAsk,
    halt,
    in_force,
    resume,
    status,
    took_effect,
)
from regime_trading.services.registers import Scope, kills
from regime_trading.services.runs import Ask, parse_time

T = 1_795_680_000_000_000_000
A, B = "firm/a", "firm/b"
ME, YOU = (ActorType.USER, "u-me"), (ActorType.USER, "u-you")
NOW = FixedClock(T)


def who(role: Role, accounts: frozenset[str] | None = None, **more: Any) -> Principal:
    said: dict[str, Any] = {"second_factor": True, "stepped_up_ns": T} | more
    return Principal("u", (Grant("firm", role, accounts),), **said)


ADMIN, PM, ANALYST, VIEWER = (who(role) for role in (Role.ADMIN, Role.PM, Role.ANALYST, Role.VIEWER))
TERMINAL = Principal(LOCAL, (), Caller.LOCAL)


class Place:
    """Halts of a firm over a database of its own."""

    def __init__(self, folder: Path) -> None:
        self.engine: Engine = open_database(sqlite_url(folder / "state" / "regime.db"))
        store = LocalArtifacts(folder)
        acts = replace(make_acts(self.engine, store, "test"), clock=NOW)
        self.modes = {A: Mode.DRY_RUN, B: Mode.DRY_RUN}
        self.history = lambda: firm_history(self.engine, store, "firm")
        self.heard: list[str] = []
        self.halts = Halts(
            store=lambda firm: SqlControls(self.engine, firm_id=firm),
            flags=FlagFiles(folder),
            modes=lambda firm: self.modes if firm == "firm" else {},
            acts=lambda: acts,
            clock=NOW,
            alarm=self.heard.append,
        )

    def down(self) -> Halts:
        """The same with a database that cannot be used."""

        def store(_: str) -> Any:
            raise StoreDown("a test")

        return replace(self.halts, store=store)

    def told(self, kind: str) -> list[dict[str, Any]]:
        found = self.history().entries(Selection(kinds=(kind,)))
        return [read_event(entry.body).model_dump(mode="json") for entry in found]

    def messages(self) -> list[dict[str, Any]]:
        found = SqlMessages(self.engine, firm_id="firm").after(0)
        return [json.loads(one.body) | {"account": one.account, "type": one.type} for one in found]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.engine.dispose()


def ask(level: Level = Level.K1, account: str = A) -> HaltAsk:
    return HaltAsk("firm", account, level, "a bad day")


# --- who may --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("principal", "account_levels", "firm_levels"),
    [
        (VIEWER, "", ""),
        (ANALYST, "K1", ""),
        (PM, "K1 K2 K3", "K1 K2 K3"),
        (ADMIN, "K1 K2 K3", "K1 K2 K3"),
        (who(Role.PM, frozenset({A})), "K1 K2 K3", ""),
        (who(Role.PM, frozenset({B})), "", ""),
        (who(Role.PM, second_factor=False), "", ""),
        (Principal("u", (Grant("other", Role.ADMIN),), second_factor=True), "", ""),
        (TERMINAL, "K1 K2 K3", "K1 K2 K3"),
    ],
)
def test_who_may_halt(place: Place, principal: Principal, account_levels: str, firm_levels: str) -> None:
    for account, allowed in ((A, account_levels), ("", firm_levels)):
        for level in Level:
            before = len(place.halts.store("firm").all())
            if level.name in allowed.split():
                halt(place.halts, ask(level, account), principal, ME)
            else:
                with pytest.raises(HaltDenied) as denied:
                    halt(place.halts, ask(level, account), principal, ME)
                assert denied.value.answer is not Answer.ALLOWED
            assert len(place.halts.store("firm").all()) == before + (level.name in allowed.split())


def test_a_halt_is_a_row_an_entry_and_a_message_for_each_account(place: Place) -> None:
    made = halt(place.halts, ask(Level.K2, ""), PM, ME)
    assert isinstance(made, Control) and (made.scope, made.set_by, made.set_ns) == ("firm", "u-me", T)
    (told,) = place.told("KILL")
    assert (told["level"], told["scope"], told["asked_at_ns"], told["effective_at_ns"]) == (
        "K2",
        "firm",
        str(T),
        None,
    )
    assert told["actor"] == {"type": "user", "id": "u-me"} and told["rule_id"] == "LD-15"
    told_of = [(m["type"], m["account"], m.get("kill_level")) for m in place.messages()]
    assert told_of == [("audit.append", "", None), ("mode.update", A, 2), ("mode.update", B, 2)]


@pytest.mark.parametrize(
    "wrong", [replace(ask(), account="firm/c"), replace(ask(), firm_id="none", account=""), replace(ask(), reason=" "),
              replace(ask(), reason="ask mary@example.org")]
)  # fmt: skip
def test_what_cannot_be_halted_is_refused(place: Place, wrong: HaltAsk) -> None:
    with pytest.raises(BadInput):
        halt(place.halts, wrong, TERMINAL, ME)
    assert place.halts.store("firm").all() == () and place.told("KILL") == []


# --- what is in force -----------------------------------------------------------------------------------------


def control(level: int, account: str = "", cleared: bool = False, flag: str = "") -> Control:
    made = Control("firm", account, Level(level), 5, "u-me", f"K{level}", flag, control_no=level)
    return replace(made, cleared_ns=9, cleared_by="u-you") if cleared else made


def flag(level: int, account: str = A, digest: str = "f") -> Flag:
    return Flag("firm", account, Level(level), 4, "a flag", digest)


@pytest.mark.parametrize(
    ("controls", "flags", "level", "lifted"),
    [
        ((), (), 0, 0),
        ((control(1, A),), (), 1, 0),
        ((control(1, A), control(3)), (), 3, 0),
        ((control(2), control(1, A)), (), 2, 0),
        ((control(3, B),), (), 0, 0),
        ((control(1, A), control(3, A, cleared=True)), (), 1, 3),
        ((control(3, cleared=True),), (), 0, 3),
        ((), (flag(2),), 2, 0),
        ((control(1, A),), (flag(3, ""),), 3, 0),
        ((), (flag(3, B),), 0, 0),
        ((control(3, A, cleared=True, flag="f"),), (flag(3),), 0, 3),
        ((control(3, A, cleared=True, flag="other"),), (flag(3),), 3, 3),
        (None, (), UNKNOWN, 0),
        ((), None, UNKNOWN, 0),
        (None, (flag(3),), 3, 0),
        ((control(1, A),), None, 1, 0),
    ],
)
def test_the_strictest_counts_and_what_cannot_be_read_is_not_nothing(
    controls: tuple[Control, ...] | None, flags: tuple[Flag, ...] | None, level: int, lifted: int
) -> None:
    found = halt_of(A, controls, flags)
    assert found.level == level
    assert level in (0, UNKNOWN) or found.reason
    assert found.lifted == lifted


def test_a_flag_counts_at_once_and_is_adopted_when_the_database_is_back(place: Place) -> None:
    made = halt(place.down(), ask(Level.K3), PM, ME)
    assert isinstance(made, Flag) and place.heard
    assert in_force(place.down(), [A, B])[A].level == 3
    assert in_force(place.down(), [A, B])[B].level == UNKNOWN
    for _ in range(2):
        found = in_force(place.halts, [A, B])
        assert (found[A].level, found[A].reason, found[B].level) == (3, "a bad day", 0)
    assert place.halts.flags.all() == ()
    (kept,) = place.halts.store("firm").all()
    assert (kept.set_by, kept.set_ns, kept.flag) == (LOCAL, T, made.digest)
    (told,) = place.told("KILL")
    assert told["actor"] == {"type": "service", "id": LOCAL}


@pytest.mark.parametrize("data", [b"", b"{", b'{"level": "K9"}', b"[]", b"\xff"])
def test_a_flag_is_a_flag_whatever_is_in_it(place: Place, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "state" / "halt-firm.json").write_bytes(data)
    assert {h.level for h in in_force(place.down(), [A, B]).values()} == {1}
    assert {h.level for h in in_force(place.halts, [A, B]).values()} == {1}


def test_a_flag_never_gets_weaker_and_names_do_not_mix(tmp_path: Path) -> None:
    flags = FlagFiles(tmp_path)
    new = NewControl("a-b", "a-b/c", Level.K3, T, LOCAL, "x")
    strict = flags.put(new)
    assert flags.put(replace(new, level=Level.K1, set_ns=T + 1)) == strict
    other = flags.put(replace(new, firm_id="a", account="a/b-c", level=Level.K1))
    firm = flags.put(replace(new, firm_id="a", account="", level=Level.K2))
    assert {(f.firm_id, f.account, f.level.name) for f in flags.all()} == {
        ("a-b", "a-b/c", "K3"), ("a", "a/b-c", "K1"), ("a", "", "K2")
    }  # fmt: skip
    flags.lower(replace(other, digest="another"))
    assert len(flags.all()) == 3
    flags.lower(other)
    assert flags.all() == (firm, strict) or flags.all() == (strict, firm)


def test_a_spent_flag_that_could_not_be_taken_away_stays_spent(place: Place) -> None:
    laid = place.halts.flags.put(NewControl("firm", A, Level.K2, T, LOCAL, "x"))
    in_force(place.halts, [A])
    resume(place.halts, ResumeAsk("firm", 1, "over"), PM, YOU, lambda *_: False)
    place.halts.flags.put(NewControl("firm", A, Level.K2, T, LOCAL, "x"))
    assert place.halts.flags.all() == (laid,)
    assert in_force(place.halts, [A])[A].level == 0
    place.halts.flags.put(NewControl("firm", A, Level.K2, T + 1, LOCAL, "x"))
    assert in_force(place.halts, [A])[A].level == 2


# --- ended ----------------------------------------------------------------------------------------------------


def test_a_dry_account_is_resumed_alone_and_what_else_holds_it_holds_on(place: Place) -> None:
    for level, account in ((Level.K3, A), (Level.K1, "")):
        halt(place.halts, ask(level, account), PM, ME)
    ended = resume(place.halts, ResumeAsk("firm", 1, "all is well"), PM, ME, lambda *_: False)
    assert (ended.cleared_ns, ended.cleared_by) == (T, "u-me")
    found = in_force(place.halts, [A])[A]
    assert (found.level, found.lifted) == (1, 3)
    (told,) = place.told("UNLOCK")
    assert (told["release"], told["level"], told["scope"], told["reason"]) == ("HALT", "K3", A, "all is well")
    assert place.messages()[-1] | {"reason": ""} == {
        "type": "mode.update", "account": A, "mode": "dry_run", "trading_state": None, "kill_level": 1, "reason": "",
    }  # fmt: skip
    with pytest.raises(BadInput, match="in force"):
        resume(place.halts, ResumeAsk("firm", 1, "again"), PM, ME, lambda *_: False)


@pytest.mark.parametrize(
    ("mode", "principal", "by", "approval", "agreed", "error"),
    [
        (Mode.DRY_RUN, ANALYST, YOU, "", False, HaltDenied),
        (Mode.DRY_RUN, who(Role.PM, frozenset({B})), YOU, "", False, HaltDenied),
        (Mode.DRY_RUN, TERMINAL, YOU, "", False, None),
        (Mode.SHADOW, TERMINAL, YOU, "r-1", True, HaltDenied),
        (Mode.SHADOW, PM, YOU, "", True, BadInput),
        (Mode.SHADOW, PM, YOU, "r-1", False, BadInput),
        (Mode.SHADOW, PM, ME, "r-1", True, BadInput),
        (Mode.SHADOW, PM, YOU, "r-1", True, None),
        (Mode.GATED_LIVE, ADMIN, YOU, "r-1", True, None),
        (Mode.GATED_LIVE, ANALYST, YOU, "r-1", True, HaltDenied),
    ],
)
def test_who_may_end_a_halt(
    place: Place, mode: Mode, principal: Principal, by: Any, approval: str, agreed: bool, error: Any
) -> None:
    halt(place.halts, ask(Level.K1), ANALYST, ME)
    place.modes[A] = mode
    asked = ResumeAsk("firm", 1, "over", approval)
    if error is not None:
        with pytest.raises(error):
            resume(place.halts, asked, principal, by, lambda *_: agreed)
        assert in_force(place.halts, [A])[A].level == 1 and place.told("UNLOCK") == []
        return
    ended = resume(place.halts, asked, principal, by, lambda *_: agreed)
    assert (ended.approval_id, in_force(place.halts, [A])[A].level) == (approval, 0)


def test_one_account_that_is_not_dry_makes_a_firm_not_dry(place: Place) -> None:
    halt(place.halts, ask(Level.K1, ""), PM, ME)
    place.modes[B] = Mode.SHADOW
    with pytest.raises(BadInput, match="other than who set"):
        resume(place.halts, ResumeAsk("firm", 1, "over"), PM, ME, lambda *_: True)


# --- told -----------------------------------------------------------------------------------------------------


def test_effects_are_told_once_each_and_flat_only_when_it_is(place: Place) -> None:
    halt(place.halts, ask(Level.K3), PM, ME)
    decided = Carried(A, "d" * 64, 7, 3, positions=2, cancelled=1)
    took_effect(place.halts, [replace(decided, level=0), replace(decided, account=B, level=0)])
    assert len(place.told("KILL")) == 1
    took_effect(place.halts, [decided, replace(decided, account=B, level=3)])
    took_effect(place.halts, [replace(decided, decision_id="e" * 64)])
    first, effect = place.told("KILL")
    assert (effect["scope"], effect["effective_at_ns"], effect["flat_at_ns"]) == (A, str(T), None)
    assert (effect["cancelled_orders"], effect["correlation_id"]) == (1, "d" * 64)
    for _ in range(2):
        took_effect(place.halts, [replace(decided, decision_id="f" * 64, positions=0)])
    assert [k["flat_at_ns"] for k in place.told("KILL")] == [None, None, str(T)]
    assert first["effective_at_ns"] is None
    (row,) = kills(place.history(), Scope("firm")).rows
    assert (row["level"], row["by"], row["effective_s"], row["flat_s"]) == ("K3", "u-me", "0.000", "0.000")


# --- every way to a decision ----------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.delenv("REGIME_SPOOL", raising=False)
    made = World(tmp_path)
    with made.gate:
        yield made
    for patch in made.broken:
        patch.undo()


def cli(world: World, *words: str) -> Any:
    done = CliRunner().invoke(
        app, ["halt", *words, "--artifacts", str(world.artifacts), "--config", str(world.config), "--json"]
    )
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("level", "scope", "state", "outcome"),
    [
        ("K1", "account", TradingState.REDUCE_ONLY, "reduce_only"),
        ("K2", "account", TradingState.REDUCE_ONLY, "reduce_only"),
        ("K3", "account", TradingState.LOCKED, "lock"),
        ("K1", "firm", TradingState.REDUCE_ONLY, "reduce_only"),
        ("K3", "firm", TradingState.LOCKED, "lock"),
    ],
)
def test_the_gate_carries_a_halt_from_the_next_decision_on(
    world: World, level: str, scope: str, state: TradingState, outcome: str
) -> None:
    assert any(order.intent == "entry" for order in world.ask(0).orders)
    name = CORE if scope == "account" else "north-pier"
    assert cli(world, scope, name, "--level", level, "--reason", "a drill") == {
        "scope": name, "level": level, "stored": True
    }  # fmt: skip
    told = world.ask(1)
    assert (told.trading_state_after, told.outcome.value) == (state, outcome)
    assert "LD-15" in told.binding_rules and "Manual kill" in told.rationale
    assert not any(order.intent == "entry" for order in told.orders)
    (row,) = [r for r in cli(world, "list") if r["account"] == CORE]
    assert row["decision_id"] == told.decision_id and row["level"] == int(level[1])
    own = world.ask(2, state=told_state(world))
    assert own.trading_state_after >= state, "a state of one's own does not get around it"


def told_state(world: World) -> dict[str, Any]:
    """A state of the account from before any halt."""
    engine = engine_of(world)
    stored = SqlLedger(engine, firm_id="north-pier", env=Mode.SHADOW).load(CORE, FIRST_NS + 1)
    engine.dispose()
    assert stored is not None and stored[0].kill_level == 0
    return stored[0].model_dump(mode="json")


def test_halts_of_one_scope_end_together_from_the_machine_and_only_in_dry_runs(world: World) -> None:
    world.ask(0)
    for words in (("firm", "kestrel-lane", "--level", "K1"), ("account", GROWTH, "--level", "K2")):
        cli(world, *words, "--reason", "a drill")
    cli(world, "firm", "kestrel-lane", "--level", "K3", "--reason", "another")
    assert cli(world, "end", "kestrel-lane", "--reason", "explained") == {
        "scope": "kestrel-lane", "halts": [1, 3], "ended": True
    }  # fmt: skip
    levels = {row["account"]: row["level"] for row in cli(world, "list")}
    assert levels[GROWTH] == 2 and {n for a, n in levels.items() if a.startswith("kestrel-lane/")} == {0, 2}
    assert cli(world, "end", GROWTH, "2", "--reason", "explained")["halts"] == [2]
    cli(world, "firm", "north-pier", "--reason", "a drill")
    place = ["--artifacts", str(world.artifacts), "--config", str(world.config)]
    for scope, code, said in (("north-pier", 1, "ending K1"), ("kestrel-lane", 2, "itself that is in force")):
        done = CliRunner().invoke(app, ["halt", "end", scope, "--reason", "explained", *place])
        assert done.exit_code == code and said in done.stderr, done.stderr
    assert {row["level"] for row in cli(world, "list") if row["account"].startswith("north-pier/")} == {1}


def test_a_flag_flattens_with_the_database_gone(world: World) -> None:
    world.ask(0)
    cli(world, "account", CORE, "--level", "K1", "--reason", "first")
    mend = down(world, reads=True)
    patch = pytest.MonkeyPatch()
    world.broken.append(patch)

    def refuse(*_: object, **__: object) -> None:
        raise StoreDown("disk I/O error")

    for name in ("all", "set"):
        patch.setattr(SqlControls, name, refuse)
    assert cli(world, "account", CORE, "--level", "K3", "--reason", "worse")["stored"] is False
    told = world.ask(1, EXIT, ("portfolio.equity_broker", "1000000"))
    assert told.trading_state_after is TradingState.LOCKED and "LD-15" in told.binding_rules
    assert [(o.intent, o.symbol) for o in told.orders] == [("exit", "KO")]
    patch.undo()
    mend()
    after = world.ask(2)
    assert after.trading_state_after is TradingState.LOCKED
    assert [c.level for c in SqlControls(engine_of(world), firm_id="north-pier").all()] == [1, 3]


def engine_of(world: World) -> Engine:
    return open_database(sqlite_url(world.artifacts / "state" / "regime.db"))


def test_controls_that_cannot_be_read_reduce_for_as_long_as_that_lasts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise StoreDown("disk I/O error")

    world.ask(0)
    with monkeypatch.context() as patch:
        patch.setattr(SqlControls, "all", refuse)
        told = world.ask(1)
    assert told.trading_state_after is TradingState.REDUCE_ONLY and "LD-15" in told.binding_rules
    said = next(rule for rule in told.rules if rule.rule_id == "LD-15")
    assert (said.outcome.value, said.reason_codes) == ("unknown", ("KILL_UNKNOWN",))
    assert world.ask(2).trading_state_after is TradingState.NORMAL


def test_a_run_carries_a_halt_and_is_another_run_for_it(tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(CONFIG, config)
    symbols = ("JNJ", "KO")
    day = parse_time("1993-03-08", "test")
    with open_app(artifacts=tmp_path / "a", config=config) as opened:
        wanted = Ask(symbols=symbols, accounts=(CORE, DEFENSIVE), as_of_ns=day)
        before = opened.runs.request(wanted).run_id
        done = CliRunner().invoke(
            app,
            [
                "halt",
                "account",
                CORE,
                "--reason",
                "a drill",
                "--artifacts",
                str(tmp_path / "a"),
                "--config",
                str(config),
            ],
        )
        assert done.exit_code == 0
        finished = opened.runs.run(wanted)
        assert finished.state.request.run_id != before
        decisions = {d.account: d for d in finished.state.decisions or ()}
        assert decisions[CORE].trading_state_after is TradingState.REDUCE_ONLY
        assert "LD-15" in decisions[CORE].binding_rules
        assert "LD-15" not in decisions[DEFENSIVE].binding_rules


def test_no_configuration_switches_a_halt_off(tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(CONFIG, config)
    traders = config / "traders.yaml"
    traders.write_text(
        traders.read_text().replace('      gross: "1.0"', "      manual_kill: {enabled: false}", 1)
    )
    done = CliRunner().invoke(app, ["config", "validate", "--config", str(config)])
    assert done.exit_code == 2 and "a halt cannot be switched off" in done.output


def test_status_is_of_this_account_alone(place: Place) -> None:
    halt(place.halts, ask(Level.K3), PM, ME)
    ledger = SqlLedger(place.engine, firm_id="firm", env=Mode.DRY_RUN)
    told = status(place.halts, A, ledger)
    assert (told.level, told.set_by, told.since_ns, told.text) == (
        3,
        "u-me",
        T,
        "K3, not in effect yet, FLAT",
    )
    assert status(place.halts, B, ledger).text == "no halt"
    assert status(place.down(), B, ledger).text == "UNKNOWN, only what reduces"
