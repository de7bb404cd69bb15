"""Executors behind the commands: previewed, confirmed and agreed to at a real desk, over a real store and files."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from tests.approval_samples import REASON, actor
from tests.config_samples import FIRM, HOUR, T, folder_of, service_over

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import (
    SqlApprovals,
    SqlControls,
    SqlLedger,
    SqlOverrides,
    SqlPreviews,
    open_database,
    sqlite_url,
)
from regime_trading.adapters.database.jobs import SqlJobs
from regime_trading.adapters.halt_flags import FlagFiles
from regime_trading.bootstrap.acts import make_acts
from regime_trading.bootstrap.config_versions import with_actor
from regime_trading.core.access import Answer, Grant, Permission, Principal, Role
from regime_trading.core.approvals import Approval, ApprovalKind, ApprovalStatus
from regime_trading.core.commands.catalogue import CATALOGUE
from regime_trading.core.commands.execution import Outcome
from regime_trading.core.commands.previews import Done, Preview
from regime_trading.core.commands.spec import Klass
from regime_trading.core.config_diff import Direction
from regime_trading.core.config_versions import VersionStatus
from regime_trading.core.controls import Control, Level
from regime_trading.core.errors import BadInput, Conflict, NotDurable, Refused, StoreDown
from regime_trading.core.jobs import JobKind, JobStatus
from regime_trading.core.settings import InvalidConfig
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.services.acts import Acts
from regime_trading.services.command_executors import own_executors
from regime_trading.services.commands import Asker, confirm, preview
from regime_trading.services.commands import do as do_once
from regime_trading.services.config_versions import ConfigService
from regime_trading.services.controls import HaltAsk, Halts, halt, in_force
from regime_trading.services.desk import Desk
from regime_trading.services.executors import ExecutorDeps, executors
from regime_trading.services.jobs import JobService
from regime_trading.services.understanding import understand

DRY, SHADOW = "north-pier/core", "north-pier/live"
ELSE = "kestrel-lane"


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = T

    def now_ns(self) -> int:
        return self.at


def person(
    name: str, role: Role = Role.PM, accounts: frozenset[str] | None = None, firm: str = FIRM
) -> Principal:
    return Principal(name, (Grant(firm, role, accounts),), second_factor=True, session_id=f"s-{name}")


PEOPLE = {
    "mary": person("mary"),
    "ann": person("ann"),
    "bob": person("bob", Role.ADMIN),
    "joe": person("joe", Role.ANALYST),
    "vic": person("vic", Role.VIEWER),
    "sue": person("sue", Role.PM, frozenset({SHADOW})),
    "eve": person("eve", firm=ELSE),
}


KEYS = (f"key-{n}" for n in itertools.count())


def do(desk: Desk, asker: Asker, text: str) -> Outcome:
    """Have a command done, under a key of its own."""
    return do_once(desk, asker, text, next(KEYS))


@dataclass
class House:
    """A desk with every executor, and what is behind it."""

    engine: Engine
    watch: Watch
    acts: Acts
    halts: Halts
    service: ConfigService
    jobs: JobService
    heard: list[str]
    file: Path
    desk: Desk
    deps: ExecutorDeps

    def ask(self, name: str = "mary") -> Asker:
        """Somebody who has just proved who they are."""
        return Asker(replace(PEOPLE[name], stepped_up_ns=self.watch.at))

    def preview(self, text: str, name: str = "mary") -> Preview:
        return preview(self.desk, self.ask(name), text)

    def confirm(self, made: Preview, name: str = "mary", **more: Any) -> Done:
        said = {"action_hash": made.action_hash, "phrase": made.confirm_phrase, "reason": REASON} | more
        return confirm(self.desk, self.ask(name), made.preview_id, key=f"k-{made.preview_id}", **said)

    def command(self, text: str, name: str = "mary", **more: Any) -> Done:
        return self.confirm(self.preview(text, name), name, **more)

    def answer(self, asked: Done, name: str = "ann") -> Done:
        return self.command(f"/approve id:{asked.request_id}", name)

    def request(self, asked: Done) -> Approval:
        found = self.desk.approvals(FIRM).get(asked.request_id)
        assert found is not None
        return found

    def standing(self) -> list[Control]:
        return [one for one in self.halts.store(FIRM).all() if one.cleared_ns is None]

    def level(self, account: str) -> int:
        return in_force(self.halts, [account])[account].level


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    engine = open_database(sqlite_url(tmp_path / "state" / "regime.db"))
    watch, counter, heard = Watch(), itertools.count(1), list[str]()
    acts = replace(make_acts(engine, LocalArtifacts(tmp_path), "1"), clock=watch)
    base = service_over(engine, folder_of(tmp_path / "config"))
    service = replace(base, deps=replace(base.deps, acts=acts))

    file = tmp_path / "config" / "traders.yaml"
    read = dict[tuple[str, bytes], dict[str, TraderProfile]]()

    def profiles(firm: str) -> dict[str, TraderProfile]:
        key = firm, file.read_bytes()
        if key not in read:
            read[key] = {one.account: one for one in service.deps.file.now(firm).profiles}
        return read[key]

    halts = Halts(
        store=lambda firm: SqlControls(engine, firm_id=firm),
        flags=FlagFiles(tmp_path),
        modes=lambda firm: {name: one.mode for name, one in profiles(firm).items()},
        acts=lambda: acts,
        clock=watch,
        alarm=heard.append,
    )
    made = list[Desk]()

    def entropy(n: int) -> bytes:
        return next(counter).to_bytes(n, "big")

    jobs = JobService(lambda firm: SqlJobs(engine, firm_id=firm), watch, entropy)
    deps = ExecutorDeps(
        desk=lambda: made[0],
        acts=lambda: acts,
        halts=halts,
        ledger=lambda firm, mode: SqlLedger(engine, firm_id=firm, env=mode),
        configs=lambda who: with_actor(service, lambda _: who),
        profiles=profiles,
        overrides=lambda firm: SqlOverrides(engine, firm_id=firm),
        jobs=jobs,
    )
    made.append(
        Desk(
            acts=acts,
            approvals=lambda firm: SqlApprovals(engine, firm_id=firm),
            previews=lambda firm: SqlPreviews(engine, firm_id=firm),
            executors={**executors(deps), **own_executors(lambda: made[0])},
            # as the store knows them: grants alone, nobody has proved anything
            people=lambda user: Principal(user, PEOPLE[user].grants) if user in PEOPLE else None,
            pseudonym=lambda firm, user: actor(user),
            mode=lambda account: halts.modes(account.split("/")[0]).get(account),
            entropy=entropy,
        )
    )
    service.current(FIRM)
    yield House(engine, watch, acts, halts, service, jobs, heard, file, made[0], deps)
    engine.dispose()


def refused(call: Callable[[], Any], answer: Answer) -> None:
    with pytest.raises(Refused) as caught:
        call()
    assert caught.value.answer is answer


def conflict(call: Callable[[], Any], what: str) -> Conflict:
    with pytest.raises(Conflict) as caught:
        call()
    assert caught.value.what == what
    return caught.value


def test_every_command_has_an_executor_but_those_that_are_said_not_to(house: House) -> None:
    absent = {
        (spec.verb, spec.object)
        for spec in CATALOGUE
        if (spec.verb, "" if spec.takes else spec.object) not in house.desk.executors
    }
    assert absent == {
        ("propose", "basket"),
        ("propose", "allocation"),
        ("live", "enable"),
        ("live", "disable"),
        ("live", "shadow"),
    }


# --- who, and in which direction ------------------------------------------------------------------------------

TIGHT = f"/config set account:{SHADOW} risk.gross:50%"
LOOSE = f"/config set account:{SHADOW} risk.sigma_target:9%"


@pytest.mark.parametrize(
    ("text", "allowed", "direction", "kind"),
    [
        (f"/halt account:{SHADOW}", "mary bob joe sue", Direction.TIGHTENS, ApprovalKind.CUSTOM),
        (f"/halt firm firm:{FIRM}", "mary bob", Direction.TIGHTENS, ApprovalKind.CUSTOM),
        (f"/kill account account:{SHADOW} level:K2", "mary bob sue", Direction.TIGHTENS, ApprovalKind.CUSTOM),
        (f"/flatten account account:{SHADOW}", "mary bob sue", Direction.TIGHTENS, ApprovalKind.CUSTOM),
        (f"/resume account:{SHADOW}", "mary sue", Direction.LOOSENS, ApprovalKind.UNLOCK),
        (TIGHT, "mary bob sue", Direction.TIGHTENS, ApprovalKind.CONFIG),
        (LOOSE, "mary sue", Direction.LOOSENS, ApprovalKind.CONFIG),
        (f"/config rollback account:{SHADOW} v:1", "mary bob sue", Direction.NEUTRAL, ApprovalKind.CONFIG),
        (f"/override account:{SHADOW} rule:gross value:40% until:4h", "mary bob sue", Direction.TIGHTENS,
         ApprovalKind.CUSTOM),
        (f"/run backtest account:{SHADOW}", "mary bob joe sue", Direction.NEUTRAL, ApprovalKind.CUSTOM),
        (f"/config diff account:{SHADOW} from:1", "mary bob joe sue", Direction.NEUTRAL, ApprovalKind.CUSTOM),
        (f"/show portfolio account:{SHADOW}", "mary bob joe sue vic", Direction.NEUTRAL, ApprovalKind.CUSTOM),
    ],
)  # fmt: skip
def test_who_may_and_what_it_does(
    house: House, text: str, allowed: str, direction: Direction, kind: ApprovalKind
) -> None:
    seen = set()
    for name in sorted(set(PEOPLE) - {"ann"}):
        try:
            now = understand(house.desk, house.ask(name), text)
        except Refused as error:
            assert error.answer is (Answer.UNKNOWN if name == "eve" else Answer.NO_ROLE)
            continue
        seen.add(name)
        assert (now.effects.direction, now.effects.kind) == (direction, kind)
        again = understand(house.desk, house.ask(name), text).effects
        assert again.effects_hash == now.effects.effects_hash, "two looks at one world are the same"
    assert seen == set(allowed.split())


def test_accounts_that_are_not_there_look_like_those_one_may_not_see(house: House) -> None:
    for text in (
        "/halt account:ghost",
        "/resume account:ghost",
        "/config set account:ghost risk.gross:1x",
        "/override account:ghost rule:gross value:40% until:4h",
        "/run backtest account:ghost",
    ):
        refused(lambda text=text: house.preview(text), Answer.UNKNOWN)  # type: ignore[misc]
    refused(lambda: house.preview(f"/halt account:{DRY}", "sue"), Answer.UNKNOWN)


# --- halts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "level", "scope"),
    [
        (f"/halt account:{SHADOW}", 1, SHADOW),
        ("/halt firm", 1, ""),
        (f"/kill account account:{SHADOW} level:K2", 2, SHADOW),
        (f"/kill account account:{SHADOW} level:K3", 3, SHADOW),
        (f"/flatten account account:{SHADOW}", 3, SHADOW),
    ],
)
def test_to_stop_takes_one_person_and_no_reason(house: House, text: str, level: int, scope: str) -> None:
    made = house.preview(text)
    assert (made.klass, made.others, made.requires_reason) == (Klass.TIGHTEN, 0, False)
    assert f"K{level}" in made.effects[0] and made.base_version == "halts none"
    assert house.standing() == [], "a preview changes nothing"
    assert any("rotective" in line for line in made.unchanged)
    assert made.warnings == (("It holds nothing.",) if level == 3 else ())
    done = house.confirm(made, reason="")
    (control,) = house.standing()
    assert (control.level, control.account, control.set_by) == (level, scope, actor("mary"))
    assert control.reason == "no reason was given" and done.data["control_no"] == 1
    assert house.level(SHADOW) == level and house.level(DRY) == (0 if scope else 1)


def test_a_halt_that_came_in_between_asks_for_another_look(house: House) -> None:
    made = house.preview(f"/kill account account:{SHADOW} level:K2")
    house.command(f"/halt account:{SHADOW}", "joe")
    fresh = conflict(lambda: house.confirm(made), "base_version").fresh
    assert isinstance(fresh, Preview) and fresh.base_version == "halts 1"
    house.confirm(fresh)
    assert house.level(SHADOW) == 2


def test_a_limit_on_slippage_is_not_passed_over_in_silence(house: House) -> None:
    made = house.preview(f"/flatten account account:{SHADOW} max_slippage:50bp")
    conflict(lambda: house.confirm(made), "blocked")
    assert house.standing() == []


@pytest.mark.parametrize("text", [f"/halt account:{SHADOW}", "/halt firm"])
def test_a_halt_voids_what_would_loosen(house: House, text: str) -> None:
    asked, unused = house.command(LOOSE), house.preview(LOOSE, "ann")
    other = house.preview(TIGHT)
    assert "1 requests" in house.command(text, "bob").said
    assert house.request(asked).status is ApprovalStatus.VOID
    conflict(lambda: house.confirm(unused, "ann"), "used")
    conflict(lambda: house.answer(asked), "blocked")
    assert house.confirm(other).outcome == "executed", "what tightens goes on"


def test_a_halt_holds_where_nothing_can_be_voided(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any) -> int:
        raise StoreDown("a test")

    monkeypatch.setattr("regime_trading.services.executors.halts.void_pending", down)
    assert "could not be voided" in house.command(f"/halt account:{SHADOW}").said
    assert house.level(SHADOW) == 1 and "could not be voided" in house.heard[-1]


def test_a_dry_run_goes_on_alone(house: House) -> None:
    house.command(f"/halt account:{DRY}")
    house.command(f"/flatten account account:{DRY}")
    made = house.preview(f"/resume account:{DRY}")
    assert (made.klass, made.others, made.confirm_phrase) == (Klass.LOOSEN, 0, DRY)
    assert [line[:2] for line in made.effects] == ["K1", "K3"] and made.base_version == "halts 1,2"
    with pytest.raises(BadInput, match="phrase"):
        house.confirm(made, phrase="")
    assert house.confirm(made).data["controls"] == [1, 2]
    assert house.level(DRY) == 0
    assert house.preview(f"/resume account:{DRY}").blocking == (f"no halt of {DRY} itself is in force",)


def test_halts_end_together_or_not_at_all(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        house.command(f"/halt account:{DRY}")
    made, clear = house.preview(f"/resume account:{DRY}"), SqlControls._clear

    def second_fails(self: SqlControls, connection: Any, no: int, said: Any) -> None:
        if no == 2:
            raise NotDurable("a test")
        clear(self, connection, no, said)

    monkeypatch.setattr(SqlControls, "_clear", second_fails)
    with pytest.raises(NotDurable):
        house.confirm(made)
    assert [one.control_no for one in house.standing()] == [1, 2]


def test_a_shadow_account_goes_on_when_a_second_person_agrees(house: House) -> None:
    house.command(f"/halt account:{SHADOW}", "joe")
    asked = house.command(f"/resume account:{SHADOW}")
    assert asked.outcome == "requested" and house.level(SHADOW) == 1
    refused(lambda: house.answer(asked, "mary"), Answer.NO_ROLE)
    refused(lambda: house.answer(asked, "joe"), Answer.NO_ROLE)
    house.answer(asked, "ann")
    assert house.request(asked).status is ApprovalStatus.EXECUTED and house.level(SHADOW) == 0
    (ended,) = house.halts.store(FIRM).all()
    assert (ended.cleared_by, ended.approval_id) == (actor("mary"), asked.request_id)


def test_who_set_a_halt_does_not_ask_for_its_end(house: House) -> None:
    house.command(f"/halt account:{SHADOW}")
    made = house.preview(f"/resume account:{SHADOW}")
    assert "somebody else must" in made.blocking[0]
    conflict(lambda: house.confirm(made), "blocked")
    assert house.level(SHADOW) == 1


def test_a_halt_after_the_request_is_not_ended_by_it(house: House) -> None:
    house.command(f"/halt account:{SHADOW}", "joe")
    asked = house.command(f"/resume account:{SHADOW}")
    halt(house.halts, HaltAsk(FIRM, SHADOW, Level.K2, "another"), PEOPLE["bob"], house.acts.actor(FIRM))
    conflict(lambda: house.answer(asked), "blocked")
    assert len(house.standing()) == 2


def test_a_halt_of_the_firm_holds_on(house: House) -> None:
    house.command("/halt firm")
    assert house.preview(f"/resume account:{DRY}").blocking
    house.command(f"/flatten account account:{DRY}")
    made = house.preview(f"/resume account:{DRY}")
    assert "K1 over the firm holds on (halt 1)" in made.unchanged
    assert "one of the firm holds on" in house.confirm(made).said and house.level(DRY) == 1


# --- the configuration ----------------------------------------------------------------------------------------


def test_tightening_is_applied_at_once(house: House) -> None:
    made = house.preview(TIGHT)
    assert (made.klass, made.others) == (Klass.TIGHTEN, 0) and made.base_version.startswith("1.")
    assert "risk.gross" in made.effects[0] and '+      gross: "0.5"' in made.diff.replace("  risk", "risk")
    assert house.service.current(FIRM).number == 1
    done = house.confirm(made)
    current = house.service.current(FIRM)
    assert (current.number, done.data["version"], done.data["status"]) == (2, 2, "applied")
    assert current.version is not None and current.version.author == actor("mary")
    assert current.version.reason == REASON


def test_a_shadow_account_is_loosened_by_two(house: House) -> None:
    made = house.preview(LOOSE)
    assert (made.klass, made.others, made.kind) == (Klass.LOOSEN, 1, ApprovalKind.CONFIG)
    asked = house.confirm(made)
    assert asked.outcome == "requested" and house.service.current(FIRM).number == 1
    refused(lambda: house.answer(asked, "mary"), Answer.NO_ROLE)
    house.answer(asked, "bob")
    version = house.service.current(FIRM).version
    assert version is not None
    assert (version.version, version.status, version.request_id) == (
        2,
        VersionStatus.APPLIED,
        asked.request_id,
    )
    assert house.request(asked).status is ApprovalStatus.EXECUTED


def test_a_dry_run_is_loosened_alone(house: House) -> None:
    house.command(f"/config set account:{DRY} risk.gross:50%")
    made = house.preview(f"/config set account:{DRY} risk.gross:80%")
    assert (made.klass, made.others) == (Klass.LOOSEN, 0)
    assert house.confirm(made).data["status"] == "applied"
    assert house.service.current(FIRM).number == 3


def test_another_version_in_between_is_a_conflict(house: House) -> None:
    made, asked = house.preview(TIGHT), house.command(LOOSE)
    house.command(f"/config set account:{SHADOW} risk.gross:60%", "ann")
    fresh = conflict(lambda: house.confirm(made), "base_version").fresh
    assert isinstance(fresh, Preview) and fresh.base_version.startswith("2.")
    conflict(lambda: house.answer(asked), "blocked")
    assert house.service.current(FIRM).number == 2


def test_what_changed_after_the_last_look_is_a_conflict_and_leaves_no_draft(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, draft = house.preview(TIGHT), ConfigService.draft

    def late(self: ConfigService, *args: Any) -> Any:
        monkeypatch.setattr(ConfigService, "draft", draft)
        house.command(f"/config set account:{SHADOW} risk.gross:60%", "ann")
        return draft(self, *args)

    monkeypatch.setattr(ConfigService, "draft", late)
    conflict(lambda: house.confirm(made), "base_version")
    assert [one.status for one in house.service.history(FIRM)] == [
        VersionStatus.APPLIED,
        VersionStatus.SUPERSEDED,
    ]


def test_a_draft_that_cannot_be_applied_is_void(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def apply(*_: Any) -> Any:
        raise StoreDown("a test")

    made = house.preview(TIGHT)
    monkeypatch.setattr(ConfigService, "apply", apply)
    with pytest.raises(StoreDown):
        house.confirm(made)
    assert house.service.get(FIRM, 2).status is VersionStatus.VOID


def test_what_the_loader_refuses_is_blocked_with_its_words(house: House) -> None:
    made = house.preview(f"/config set account:{SHADOW} risk.gross:5x")
    assert made.blocking and "gross" in made.blocking[0]
    conflict(lambda: house.confirm(made), "blocked")
    assert "'g-r'" in house.preview(f"/config set account:{SHADOW} risk.g-r:1x").blocking[0]
    with pytest.raises(BadInput, match="no version 9"):
        house.preview(f"/config rollback account:{SHADOW} v:9")
    assert house.preview(f"/config rollback account:{SHADOW} v:1").blocking == ("that is in force already",)


def test_a_rollback_reaches_no_further_than_who_asks_for_it(house: House) -> None:
    house.command(TIGHT)
    made = house.preview(f"/config rollback account:{SHADOW} v:1")
    assert (made.klass, made.others) == (Klass.LOOSEN, 1)
    refused(lambda: house.preview(f"/config rollback account:{SHADOW} v:1", "bob"), Answer.NO_ROLE)
    house.answer(house.confirm(made))
    assert house.service.current(FIRM).number == 3
    house.command(f"/config set account:{DRY} risk.gross:40%")
    back = f"/config rollback account:{SHADOW} v:3"
    refused(lambda: house.preview(back, "sue"), Answer.NO_ROLE)
    house.answer(house.command(back))
    house.command(f"/config set account:{SHADOW} risk.gross:40%")
    last = house.service.current(FIRM).number
    alone = house.preview(f"/config rollback account:{DRY} v:{last - 1}")
    assert f"it loosens {SHADOW}, where others must agree" in alone.blocking[0], "not by way of a dry run"


def by_hand(house: House, *changes: tuple[str, str]) -> None:
    """Somebody edits the file."""
    file = house.file
    text = file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    house.service.current(FIRM)


def test_where_a_firm_wants_more_people_as_many_are_asked(house: House) -> None:
    governed = "(fictional)   # a remark\n    governance: {loosen_approvers: 3}"
    by_hand(house, ("(fictional)   # a remark", governed))
    made = house.preview(LOOSE)
    assert (made.others, made.blocking) == (2, ())
    asked = house.confirm(made)
    house.answer(asked, "ann")
    assert house.request(asked).status is ApprovalStatus.REQUESTED
    house.answer(asked, "bob")
    assert house.request(asked).status is ApprovalStatus.EXECUTED
    version = house.service.current(FIRM).version
    assert version is not None and version.request_id == asked.request_id


def test_a_version_that_was_drafted_is_put_into_force_by_those_it_takes(house: House) -> None:
    """What tightens goes at once; what loosens is bound to its draft, and ends with it."""
    text = house.service.current(FIRM).reading.document
    tighter = house.service.draft(FIRM, text.replace('gross: "0.9"', 'gross: "0.8"'), 1, "calmer")
    assert house.command(f"/config apply v:{tighter.version}").data["version"] == tighter.version
    made = house.preview(f"/config apply v:{tighter.version}")
    assert f"version {tighter.version} of {FIRM} is applied" in made.blocking
    text = house.service.current(FIRM).reading.document
    looser = [
        house.service.draft(FIRM, text.replace(old, new), tighter.version, "bolder")
        for old, new in (('gross: "0.8"', 'gross: "0.85"'), ('gross: "0.8"', 'gross: "0.9"'))
    ]
    asked = [house.command(f"/config apply v:{one.version}") for one in looser]
    assert {one.outcome for one in asked} == {"requested"}
    house.answer(asked[0], "ann")
    assert house.service.current(FIRM).number == looser[0].version
    conflict(lambda: house.answer(asked[1], "ann"), "blocked")
    refused(lambda: house.preview(f"/config apply v:{looser[0].version}", "sue"), Answer.NO_ROLE)


def test_no_rollback_lets_an_account_trade_with_money(house: House) -> None:
    by_hand(house, ("mode: shadow", "mode: gated_live"))
    by_hand(house, ("mode: gated_live", "mode: shadow"))
    made = house.preview(f"/config rollback account:{SHADOW} v:2")
    assert any("trade with money" in why for why in made.blocking)


def test_nobody_reads_the_text_around_an_account_that_is_theirs(house: House) -> None:
    assert "# the first account" not in house.preview(TIGHT, "sue").diff
    assert "core" not in house.preview(TIGHT, "sue").diff
    assert house.preview(TIGHT).diff.startswith("--- version 1")


# --- overrides ------------------------------------------------------------------------------------------------


def test_an_override_tightens_until_the_end_of_its_session(house: House) -> None:
    text = f"/override account:{SHADOW} rule:gross value:40% until:4h"
    made = house.preview(text)
    assert (made.klass, made.others, made.warnings) == (Klass.TIGHTEN, 0, ("It takes a reason.",))
    house.watch.at += 60_000_000_000
    done = house.confirm(made)
    (stored,) = house.deps.overrides(FIRM).of(SHADOW)
    assert (stored.path, stored.value, stored.created_by) == ("risk.gross", "0.4", actor("mary"))
    assert stored.reason == REASON and stored.expires_at_ns == house.watch.at + 4 * HOUR
    assert done.data["ends_at"] == "2026-11-26T22:00:00Z", "17:00 in New York"
    again = house.preview(
        f'/override account:{SHADOW} rule:risk.gross value:30% until:2026-11-26T20:00Z reason:"a"'
    )
    assert again.base_version != made.base_version and again.warnings == ()


def test_nothing_loosens_by_an_override(house: House) -> None:
    house.command(f"/override account:{SHADOW} rule:gross value:40% until:4h")
    for value in ("41%", "90%"):
        with pytest.raises(InvalidConfig, match="gross"):
            house.preview(f"/override account:{SHADOW} rule:gross value:{value} until:4h")
    for until in ("2d", "2020-01-01"):
        with pytest.raises(BadInput, match="until"):
            house.preview(f"/override account:{SHADOW} rule:gross value:30% until:{until}")
    made = house.preview(f"/override account:{SHADOW} rule:sigma_target value:5% until:4h")
    house.command(f"/override account:{SHADOW} rule:gross value:35% until:4h")
    conflict(lambda: house.confirm(made), "base_version")
    assert len(house.deps.overrides(FIRM).of(SHADOW)) == 2


# --- runs -----------------------------------------------------------------------------------------------------


def test_a_backtest_is_a_job_over_what_one_may_run(house: House) -> None:
    text = "/run backtest from:2019-01-01 to:2019-12-31 symbol:AAPL,MSFT"
    for name, accounts in (("joe", [DRY, SHADOW]), ("sue", [SHADOW])):
        done = do(house.desk, house.ask(name), text)
        job = house.jobs.get(FIRM, str(done.data["job_id"]))
        assert (job.kind, job.by) == (JobKind.BACKTEST, actor(name))
        assert all(f'"{account}"' in job.request for account in accounts)
        assert (DRY in job.request) == (DRY in accounts) and '"first":"2019-01-01"' in job.request
    shown = do(house.desk, house.ask(), "/run backtest --dry-run")
    assert shown.data["request"] == {"accounts": [DRY, SHADOW]} and len(house.jobs.listed(FIRM).jobs) == 2
    refused(lambda: do(house.desk, house.ask("sue"), f"/run backtest account:{DRY}"), Answer.UNKNOWN)
    refused(lambda: do(house.desk, house.ask("vic"), "/run backtest"), Answer.NO_ROLE)
    with pytest.raises(BadInput, match="first"):
        do(house.desk, house.ask(), "/run backtest from:2019-01-01T10:30Z")


def test_what_no_job_executes_is_refused_with_the_reason(house: House) -> None:
    for text, why in (
        ("/run scan", "no job executes /run scan"),
        ("/run report", "no job executes /run report"),
        ("/run regime symbol:AAPL", "no job executes /run regime"),
        ("/run backtest seed:7", "no seed"),
    ):
        error = conflict(lambda text=text: do(house.desk, house.ask(), text), "blocked")  # type: ignore[misc]
        assert why in error.detail
    assert house.jobs.listed(FIRM).jobs == ()
    done = do(house.desk, house.ask(), f"/run shadow account:{SHADOW}")
    assert house.jobs.get(FIRM, str(done.data["job_id"])).kind is JobKind.RUN


def test_a_job_is_cancelled_by_who_asked_or_by_who_may_halt_the_firm(house: House) -> None:
    def started(name: str, text: str = "/run backtest") -> str:
        return str(do(house.desk, house.ask(name), text).data["job_id"])

    first = started("joe")
    refused(lambda: do(house.desk, house.ask("sue"), f"/cancel run id:{first}"), Answer.UNKNOWN)
    refused(lambda: do(house.desk, house.ask("eve"), f"/cancel run id:{first}"), Answer.UNKNOWN)
    refused(lambda: do(house.desk, house.ask("joe"), "/cancel run id:job-0"), Answer.UNKNOWN)
    do(house.desk, house.ask("joe"), f"/cancel run id:{first}")
    assert house.jobs.get(FIRM, first).status is JobStatus.CANCELLED
    conflict(lambda: do(house.desk, house.ask("joe"), f"/cancel run id:{first}"), "blocked")
    second = started("mary", f"/run backtest account:{SHADOW}")
    refused(lambda: do(house.desk, house.ask("joe"), f"/cancel run id:{second}"), Answer.NO_ROLE)
    do(house.desk, house.ask("bob"), f"/cancel run id:{second}")
    assert house.jobs.get(FIRM, second).status is JobStatus.CANCELLED


# --- what is shown --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (f"/show constraints account:{SHADOW} rule:gross",
         {"route": "/constraints", "account": SHADOW, "rule": "gross"}),
        (f"/show portfolio account:{SHADOW} --watch", {"route": "/portfolio", "account": SHADOW, "watch": True}),
        ("/show regime symbol:AAPL,MSFT", {"route": "/regimes", "symbol": ["AAPL", "MSFT"]}),
        ("/show run id:#run-1", {"route": "/runs/run-1", "id": "run-1"}),
        ("/show artifact id:run-1 v:report.md", {"route": "/runs/run-1", "id": "run-1", "v": "report.md"}),
        (f"/show audit account:{SHADOW}", {"route": "/audit", "account": SHADOW}),
        (f"/show rl account:{SHADOW}", {"route": "/rl", "account": SHADOW}),
        (f"/show diff account:{SHADOW} from:1", {"route": "/configs", "account": SHADOW, "from": 1}),
        (f"/config diff account:{SHADOW} from:1 to:1",
         {"route": "/configs", "account": SHADOW, "from": 1, "to": 1}),
    ],
)  # fmt: skip
def test_what_is_shown_is_a_route_and_ids(house: House, text: str, data: dict[str, Any]) -> None:
    assert do(house.desk, house.ask("joe"), text).data == data
    if "account" in data:
        refused(lambda: do(house.desk, house.ask("eve"), text), Answer.UNKNOWN)
        refused(lambda: do(house.desk, house.ask("sue"), text.replace("live", "core")), Answer.UNKNOWN)


def test_versions_that_are_not_there_are_not_compared(house: House) -> None:
    with pytest.raises(BadInput, match="no version 9"):
        do(house.desk, house.ask("joe"), f"/config diff account:{SHADOW} from:9")


# --- the key --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [LOOSE, f"/resume account:{SHADOW}", TIGHT])
def test_nothing_runs_that_was_not_confirmed_under_its_key(house: House, text: str) -> None:
    house.command(f"/halt account:{SHADOW}", "joe")
    now = understand(house.desk, house.ask(), text)
    executor = house.desk.executors[(now.command.verb, now.command.object)]
    for key in ("", "pv-none", "rq-none"):
        context = replace(now.context, key=key, reason=REASON, approved_by=(actor("ann"),))
        conflict(lambda context=context: executor.execute(now.command, context), "preview")  # type: ignore[misc]
    asked = house.command(LOOSE) if text != TIGHT else house.command(f"/resume account:{SHADOW}")
    context = replace(now.context, key=asked.request_id, reason=REASON, approved_by=(actor("ann"),))
    conflict(lambda: executor.execute(now.command, context), "request")
    assert house.level(SHADOW) == 1 and house.service.current(FIRM).number == 1


@pytest.mark.parametrize(
    ("text", "between"),
    [
        (f"/resume account:{DRY}", f"/flatten account account:{DRY}"),
        (f"/config set account:{DRY} risk.gross:50%", f"/config set account:{DRY} risk.sigma_target:5%"),
        (
            f"/override account:{DRY} rule:gross value:40% until:4h",
            f"/override account:{DRY} rule:gross value:50% until:4h",
        ),
    ],
)
def test_executors_look_again_by_themselves(house: House, text: str, between: str) -> None:
    house.command(f"/halt account:{DRY}")
    made, now = house.preview(text), understand(house.desk, house.ask(), text)
    house.command(between)
    level, number = house.level(DRY), house.service.current(FIRM).number
    executor = house.desk.executors[(now.command.verb, now.command.object)]
    context = replace(now.context, key=made.preview_id, reason=REASON)
    conflict(lambda: executor.execute(now.command, context), "drift")
    assert (house.level(DRY), house.service.current(FIRM).number) == (level, number)


def test_permissions_of_the_effect_are_told(house: House) -> None:
    for text, permission in (
        (TIGHT, Permission.TIGHTEN),
        (LOOSE, Permission.REQUEST_LOOSENING),
        (f"/resume account:{SHADOW}", Permission.REQUEST_UNLOCK),
    ):
        assert understand(house.desk, house.ask(), text).effects.permission is permission
