"""Modes and halts over HTTP: stopping works for whoever may, whatever else is down; going on takes more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from tests.edge_world import Edge, pseudonym
from tests.gate_samples import CORE, shipped
from tests.views_world import KESTREL, NORTH, NOW, World, decided

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import FixedClock
from regime_trading.adapters.database import SqlControls, SqlLedger, open_database, sqlite_url
from regime_trading.adapters.halt_flags import FlagFiles
from regime_trading.api.v1.live import LiveDeps, live_router
from regime_trading.bootstrap.acts import firm_history, make_acts
from regime_trading.core.access import Answer, Permission, Target
from regime_trading.core.errors import StoreDown
from regime_trading.core.event_schema import read_event
from regime_trading.core.ladder import NO_BROKER, NO_FEED
from regime_trading.core.recorded import Selection
from regime_trading.core.schemas import Mode
from regime_trading.services.controls import Carried, Halts, took_effect

AT = f"/firms/{NORTH}"
PROFILES = shipped()[1]
MODES = {
    name: Mode.SHADOW if name == CORE else one.mode for name, one in PROFILES.items() if one.firm_id == NORTH
}
DRY = next(name for name, mode in MODES.items() if mode is Mode.DRY_RUN)
SAID = {"reason": "the tape is wrong"}


def at(account: str, what: str) -> str:
    return f"{AT}/accounts/{account.partition('/')[2]}/{what}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Decisions of two firms, which are only read."""
    folder = tmp_path_factory.mktemp("live") / "artifacts"
    engine = open_database(sqlite_url(folder / "state" / "regime.db"))
    yield World(folder, engine, decided(folder, engine))
    engine.dispose()


class Live(Edge):
    """The routes over halts of a store of their own; ``down`` takes everything that is stored away."""

    def __init__(self, folder: Path, world: World, modes: dict[str, Mode] = MODES) -> None:
        self.engine: Engine = open_database(sqlite_url(folder / "state" / "regime.db"))
        self.folder, self.down, self.void_down = folder, False, False
        self.voided: list[tuple[str, str | None, str]] = []
        store = LocalArtifacts(folder)
        acts = replace(make_acts(self.engine, store, "test"), clock=FixedClock(NOW))
        self.history = lambda: firm_history(self.engine, store, NORTH)
        self.halts = Halts(
            store=lambda firm: SqlControls(self.up(), firm_id=firm),
            flags=FlagFiles(folder),
            modes=lambda firm: modes if firm == NORTH else {},
            acts=lambda: acts,
            clock=FixedClock(NOW),
        )

        def sources(firm: str) -> Any:
            self.up()
            return world.sources(firm)

        def ledger(firm: str, mode: Mode) -> SqlLedger:
            self.up()
            return SqlLedger(world.engine, firm_id=firm, env=mode)

        def named(firm: str, user_id: str) -> str:
            self.up()
            return pseudonym(firm, user_id)

        deps = LiveDeps(self.halts, self.void, named, sources, ledger, NOW - 60 * 10**9)
        accounts = {NORTH: tuple(modes), KESTREL: (f"{KESTREL}/any",)}
        super().__init__([live_router(deps)], accounts, NORTH, NOW)

    def up(self) -> Engine:
        if self.down:
            raise StoreDown("a test")
        return self.engine

    def void(self, firm: str, account: str | None, reason: str) -> int:
        self.up()
        if self.void_down:
            raise StoreDown("a test")
        self.voided.append((firm, account, reason))
        return 2

    def told(self, kind: str) -> list[dict[str, Any]]:
        found = self.history().entries(Selection(kinds=(kind,)))
        return [read_event(entry.body).model_dump(mode="json") for entry in found]

    def row(self, account: str, who: str = "viewer") -> dict[str, Any]:
        rows = self.get(f"{AT}/live", who)["accounts"]
        found: dict[str, Any] = next(one for one in rows if one["account"] == account)
        return found


@pytest.fixture
def edge(tmp_path: Path, world: World) -> Iterator[Live]:
    made = Live(tmp_path, world)
    yield made
    made.engine.dispose()


# --- where accounts stand -----------------------------------------------------------------------------------------


def test_where_every_account_stands(edge: Live) -> None:
    said = edge.get(f"{AT}/live", "viewer")
    assert [one["account"] for one in said["accounts"]] == list(MODES) and said["degraded"] == ""
    core, dry = edge.row(CORE), edge.row(DRY)
    assert (core["mode"], dry["mode"]) == ("shadow", "dry_run")
    assert core["trading_state"] == "FLATTEN" and core["latches"]
    assert dry["halt"]["level"] == 0 and dry["halt"]["text"] == "no halt"
    gate = dry["next_gate"]
    assert (gate["name"], gate["title"], gate["state"]) == ("G0", "shadow", "closed") and NO_FEED in gate[
        "detail"
    ]
    states = {one["name"]: one["state"] for one in gate["conditions"]}
    assert states == {
        "rules": "met", "invariants": "unknown", "replay": "unknown", "history": "not_met", "report": "not_met",
        "fuzz": "unknown",
    }  # fmt: skip
    assert gate["conditions"][0]["age_s"] == 60.0 and gate["conditions"][1]["age_s"] is None
    assert core["next_gate"]["title"] == "gated live" and NO_BROKER in core["next_gate"]["detail"]
    one = edge.get(f"{AT}/live", "viewer:" + CORE.partition("/")[2])
    assert [row["account"] for row in one["accounts"]] == [CORE]
    assert edge.get(f"/firms/{KESTREL}/live", "admin", 404)["code"] == "not_found"


def test_a_flatten_is_told_of_honestly(edge: Live) -> None:
    edge.post(at(CORE, "halt"), "pm", 201, level="K3", **SAID)
    assert edge.row(CORE)["halt"]["text"] == "K3, not in effect yet, NOT FLAT: 1 of 1"
    took_effect(edge.halts, [Carried(CORE, "d-1", NOW, 3, 2)])
    halt = edge.row(CORE)["halt"]
    assert (halt["text"], halt["left"], halt["of"]) == ("K3, NOT FLAT: 1 of 2", ["KO"], 2)
    assert (halt["flat"], halt["decision_id"], halt["controls"]) == (False, "d-1", [1])
    edge.down = True
    said = edge.get(f"{AT}/live", "viewer")
    assert said["degraded"] and all(row["halt"]["level"] is None for row in said["accounts"])
    assert {row["halt"]["flat"] for row in said["accounts"]} == {None}


# --- stopping -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "level", "answer"),
    [
        ("viewer", "K1", "no_role"),
        ("analyst", "K1", ""),
        ("analyst", "K2", "no_role"),
        ("analyst", "K3", "no_role"),
        ("pm", "K2", ""),
        ("pm", "K3", ""),
        ("admin", "K1", ""),
        ("admin", "K3", ""),
    ],
)
def test_who_may_halt_an_account(edge: Live, who: str, level: str, answer: str) -> None:
    said = edge.post(at(CORE, "halt"), who, 403 if answer else 201, level=level, **SAID)
    if answer:
        assert said["code"] == answer and not edge.halts.store(NORTH).all() and not edge.voided
        permission = Permission.HALT if level == "K1" else Permission.KILL
        asked = Permission.HALT if who == "viewer" else permission
        told = edge.doors.told[-1]
        assert (told.permission, told.target, told.answer) == (asked, Target(NORTH, CORE), Answer.NO_ROLE)
        return
    assert (said["control_no"], said["scope"], said["level"], said["flag"]) == (1, CORE, level, False)
    assert (said["voided"], edge.voided) == (2, [(NORTH, CORE, f"{level} of {CORE}")])
    (entry,) = edge.told("KILL")
    assert (entry["actor"]["id"], entry["level"], entry["scope"]) == (f"u-{who}", level, CORE)
    assert edge.halts.store(NORTH).all()[0].set_by == f"u-{who}"
    assert edge.row(CORE)["halt"]["level"] == int(level[1])


def test_who_may_halt_the_firm(edge: Live) -> None:
    for who in ("analyst", "viewer", "pm:" + CORE.partition("/")[2]):
        assert edge.post(f"{AT}/halt", who, 403, level="K1", **SAID)["code"] == "no_role"
    assert edge.doors.told[-1].permission is Permission.KILL_FIRM
    said = edge.post(f"{AT}/halt", "pm", 201, level="K2", **SAID)
    assert (said["scope"], edge.voided) == (NORTH, [(NORTH, None, f"K2 of {NORTH}")])
    assert {row["halt"]["level"] for row in edge.get(f"{AT}/live", "pm")["accounts"]} == {2}


def test_what_is_anothers_or_not_there_cannot_be_halted(edge: Live) -> None:
    part = "pm:" + CORE.partition("/")[2]
    for path in (at(DRY, "halt"), f"{AT}/accounts/none/halt", f"/firms/{KESTREL}/accounts/any/halt"):
        assert edge.post(path, part, 404, level="K1", **SAID)["code"] == "not_found"
    for wrong in ({"level": "K4"}, {"level": "K1", "reason": ""}, {"level": "K1", "more": 1}):
        assert edge.post(at(CORE, "halt"), part, 422, **(SAID | wrong))["code"] == "invalid"
    two_lines = {"level": "K1", "reason": "line one\nline two"}
    assert edge.post(at(CORE, "halt"), part, 400, **two_lines)["code"] == "bad_input"
    assert not edge.halts.store(NORTH).all()


@pytest.mark.parametrize("path", [at(CORE, "halt"), f"{AT}/halt"])
def test_a_halt_works_while_the_store_is_down(edge: Live, path: str) -> None:
    edge.down = True
    said = edge.post(path, "pm", 202, level="K2", **SAID)
    assert (said["flag"], said["control_no"], said["voided"]) == (True, None, None)
    assert "flag" in said["detail"] and edge.row(CORE)["halt"]["level"] == 2
    flags = FlagFiles(edge.folder).all()
    assert [flag.level.name for flag in flags] == ["K2"]
    edge.down = False
    assert edge.row(CORE)["halt"]["controls"] == [1], "it is adopted with the next look"
    assert FlagFiles(edge.folder).all() == ()


def test_a_halt_stays_where_requests_cannot_be_voided(edge: Live) -> None:
    edge.void_down = True
    said = edge.post(at(CORE, "halt"), "pm", 201, level="K1", **SAID)
    assert (said["control_no"], said["voided"]) == (1, None)
    assert edge.row(CORE)["halt"]["level"] == 1


def test_a_page_of_another_site_halts_nothing(edge: Live) -> None:
    sent = edge.ask(
        "POST", at(CORE, "halt"), "pm", json=SAID | {"level": "K1"}, headers={"sec-fetch-site": "cross-site"}
    )
    assert (sent.status_code, sent.json()["code"]) == (403, "cross_site")
    assert edge.ask("POST", at(CORE, "halt"), token="pm", json=SAID | {"level": "K1"}).status_code == 201


# --- going on -----------------------------------------------------------------------------------------------------


def test_a_dry_run_goes_on_when_one_person_says_so(edge: Live) -> None:
    edge.post(at(DRY, "halt"), "pm", 201, level="K1", **SAID)
    body: dict[str, Any] = {"control_no": 1, "reason": "the tape is right again"}
    for who, code in (("analyst+fresh", "no_role"), ("admin+fresh", "no_role"), ("pm", "step_up")):
        assert edge.post(at(DRY, "resume"), who, 403, **body)["code"] == code
    assert edge.post(at(CORE, "resume"), "pm+fresh", 404, **body)["code"] == "not_found"
    assert edge.post(f"{AT}/resume", "pm+fresh", 404, **body)["code"] == "not_found"
    program = edge.ask("POST", at(DRY, "resume"), token="pm+fresh", json=body)
    assert (program.status_code, program.json()["code"]) == (403, "not_by_token")
    said = edge.post(at(DRY, "resume"), "pm+fresh", **body)
    assert (said["in_force"], said["cleared_by"]) == (False, "u-pm")
    assert edge.row(DRY)["halt"]["level"] == 0 and len(edge.told("UNLOCK")) == 1
    assert edge.post(at(DRY, "resume"), "pm+fresh", 404, **body)["code"] == "not_found"


def test_any_other_account_goes_on_when_two_agree(edge: Live) -> None:
    edge.post(at(CORE, "halt"), "analyst", 201, level="K1", **SAID)
    edge.post(f"{AT}/halt", "admin", 201, level="K2", **SAID)
    for path, number in ((at(CORE, "resume"), 1), (f"{AT}/resume", 2)):
        said = edge.post(path, "pm+fresh", 403, control_no=number, reason="all is well")
        assert (said["code"], said["needs"]) == ("needs_agreement", ["agreement"])
    assert all(one.cleared_ns is None for one in edge.halts.store(NORTH).all())


def test_a_firm_that_runs_dry_goes_on(tmp_path: Path, world: World) -> None:
    edge = Live(tmp_path, world, dict.fromkeys(MODES, Mode.DRY_RUN))
    edge.post(f"{AT}/halt", "pm", 201, level="K2", **SAID)
    part = "pm+fresh:" + DRY.partition("/")[2]
    edge.post(f"{AT}/resume", part, 403, control_no=1, reason="all is well")
    assert edge.post(f"{AT}/resume", "pm+fresh", control_no=1, reason="all is well")["account"] == ""
    edge.engine.dispose()


# --- history and modes ----------------------------------------------------------------------------------------------


def test_the_history_of_halts(edge: Live) -> None:
    edge.post(at(CORE, "halt"), "pm", 201, level="K1", **SAID)
    edge.post(at(DRY, "halt"), "pm", 201, level="K3", **SAID)
    edge.post(f"{AT}/halt", "pm", 201, level="K2", **SAID)
    took_effect(edge.halts, [Carried(DRY, "d-1", NOW, 3, 1), Carried(CORE, "d-2", NOW, 2, 0)])
    said = edge.get(f"{AT}/controls", "viewer")
    assert [(one["control_no"], one["account"], one["level"]) for one in said] == [
        (3, "", "K2"),
        (2, DRY, "K3"),
        (1, CORE, "K1"),
    ]
    assert [one["control_no"] for one in edge.get(f"{AT}/controls?limit=1", "viewer")] == [3]
    own = edge.get(f"{AT}/controls", "viewer:" + CORE.partition("/")[2])
    assert [one["control_no"] for one in own] == [3, 1]
    assert {effect["account"] for one in own for effect in one["effects"]} == {CORE}
    assert DRY not in json.dumps(own)


@pytest.mark.parametrize(
    ("who", "mode", "code", "asked"),
    [
        ("pm", "shadow", "not_built", Permission.SHADOW),
        ("admin", "shadow", "not_built", Permission.SHADOW),
        ("pm+fresh", "gated_live", "not_built", Permission.REQUEST_LIVE),
        ("pm", "gated_live", "step_up", Permission.REQUEST_LIVE),
        ("admin+fresh", "gated_live", "no_role", Permission.REQUEST_LIVE),
        ("analyst", "shadow", "no_role", Permission.SHADOW),
    ],
)
def test_no_mode_beyond_dry_runs_is_enabled(
    edge: Live, who: str, mode: str, code: str, asked: Permission
) -> None:
    said = edge.post(at(DRY, "mode"), who, 403, mode=mode, reason="it is time")
    assert said["code"] == code
    assert "G0 history: not met" in said["detail"] or code != "not_built"
    (told,) = edge.doors.told
    assert (told.permission, told.target) == (asked, Target(NORTH, DRY))
    assert told.route.endswith("/accounts/{account}/mode")
    assert edge.row(DRY)["mode"] == "dry_run"


def test_the_document_says_who_may(edge: Live) -> None:
    paths = {path.split("{firm}")[1]: operations for path, operations in edge.app.openapi()["paths"].items()}
    said = {path: {m: one["x-permission"] for m, one in ops.items()} for path, ops in paths.items()}
    assert said == {
        "/live": {"get": "account.read"},
        "/controls": {"get": "account.read"},
        "/accounts/{account}/halt": {"post": "halt.pause"},
        "/halt": {"post": "firm.halt"},
        "/accounts/{account}/resume": {"post": "unlock.request"},
        "/resume": {"post": "unlock.request"},
        "/accounts/{account}/mode": {"post": "mode.shadow"},
    }
    assert {"201", "202"} <= set(paths["/halt"]["post"]["responses"])
    mode = paths["/accounts/{account}/mode"]["post"]["responses"]
    assert not [status for status in mode if status.startswith("2")]
    assert mode["403"] == {"$ref": "#/components/responses/Forbidden"}
