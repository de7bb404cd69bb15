"""Commands and four eyes at work: on a real store, with a world of one number that executors change."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from tests.approval_samples import MINUTE, REASON, T, actor, person, token

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import (
    SqlApprovals,
    SqlMessages,
    SqlPreviews,
    open_database,
    sqlite_url,
)
from regime_trading.bootstrap.acts import make_acts
from regime_trading.core.access import Answer, Caller, Grant, Permission, Principal, Role
from regime_trading.core.approvals import (
    CONFIG_TTL_NS,
    PENDING,
    Approval,
    ApprovalKind,
    ApprovalStatus,
    Required,
)
from regime_trading.core.audit import verify_chain
from regime_trading.core.commands.execution import Context, Effects, Outcome
from regime_trading.core.commands.faults import ParseError
from regime_trading.core.commands.grammar import Command
from regime_trading.core.commands.previews import Done, Preview
from regime_trading.core.commands.spec import Klass
from regime_trading.core.config_diff import Direction
from regime_trading.core.controls import LOCAL
from regime_trading.core.errors import BadInput, Conflict, Refused, StoreDown
from regime_trading.core.event_schema import read_event
from regime_trading.core.schemas import ActorType, Mode
from regime_trading.services import approvals as four_eyes
from regime_trading.services.approvals import comment
from regime_trading.services.command_executors import OnScreen, own_executors
from regime_trading.services.commands import Asker, confirm, do, preview
from regime_trading.services.desk import Desk
from regime_trading.services.understanding import understand

RESUME = "/resume account:alpha/main"
GROSS = "/config set account:alpha/main risk.gross:"
STATES = {"alpha/main": Mode.SHADOW, "alpha/dry": Mode.DRY_RUN, "alpha/other": Mode.SHADOW}


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = T

    def now_ns(self) -> int:
        return self.at


@dataclass
class World:
    """One number per account, and everything that was done to it."""

    gross: dict[str, str] = field(default_factory=lambda: dict.fromkeys(STATES, "1"))
    version: int = 7
    done: list[tuple[str, Context]] = field(default_factory=list)
    blocked: str = ""
    fails: Exception | None = None
    warnings: tuple[str, ...] = ()


@dataclass
class Setting:
    """``/config set``: loosens where the number grows."""

    world: World

    def simulate(self, command: Command, context: Context) -> Effects:
        assert not (context.reason or context.key)
        then, now = command.text("risk.gross"), self.world.gross[context.account]
        ways = {True: Direction.LOOSENS, False: Direction.TIGHTENS}
        direction = Direction.NEUTRAL if then == now else ways[float(then) > float(now)]
        return Effects(
            direction,
            (f"gross {now} -> {then}",),
            base_version=str(self.world.version),
            blocking=(self.world.blocked,) if self.world.blocked else (),
            warnings=self.world.warnings,
            permission=Permission.REQUEST_LOOSENING if direction is Direction.LOOSENS else Permission.TIGHTEN,
            kind=ApprovalKind.CONFIG,
        )

    def execute(self, command: Command, context: Context) -> Outcome:
        if self.world.fails is not None:
            raise self.world.fails
        self.world.gross[context.account] = command.text("risk.gross")
        self.world.version += 1
        self.world.done.append((command.render(), context))
        return Outcome("Applied.", {"version": self.world.version})


@dataclass
class Acting:
    """Any other command: one effect, a fixed direction."""

    world: World
    direction: Direction
    kind: ApprovalKind = ApprovalKind.CUSTOM

    def simulate(self, command: Command, context: Context) -> Effects:
        return Effects(self.direction, (command.name,), base_version=str(self.world.version), kind=self.kind)

    def execute(self, command: Command, context: Context) -> Outcome:
        self.world.done.append((command.render(), context))
        return Outcome("Done.")


@dataclass
class House:
    """Everything wired, and the people in it."""

    desk: Desk
    world: World
    watch: Watch
    people: dict[str, Principal]
    engine: Engine

    def ask(self, name: str = "mary", firm_id: str = "") -> Asker:
        """Somebody who has just proved who they are."""
        return Asker(replace(self.people[name], stepped_up_ns=self.watch.at), firm_id)

    def confirm(self, made: Preview, name: str = "mary", key: str = "k-1", **more: Any) -> Done:
        said = {"action_hash": made.action_hash, "phrase": made.confirm_phrase, "reason": REASON} | more
        asker = said.pop("asker", None) or self.ask(name)
        return confirm(self.desk, asker, made.preview_id, key=key, **said)

    def asked(self, text: str = GROSS + "2x", name: str = "mary") -> str:
        """A request that waits for others."""
        return self.confirm(preview(self.desk, self.ask(name), text), name).request_id

    def answer(self, request_id: str, name: str = "ann", verb: str = "approve") -> Done:
        said = f"/{verb} id:{request_id}" + (f' reason:"{REASON}"' if verb == "reject" else "")
        return self.confirm(preview(self.desk, self.ask(name), said), name)

    def get(self, request_id: str) -> Approval:
        found = self.desk.approvals("alpha").get(request_id)
        assert found is not None
        return found

    def told(self) -> list[Any]:
        """The record of the firm, verified."""
        chain = "admin/alpha/_firm"
        entries = self.desk.acts.audit("alpha").entries(chain)
        assert verify_chain(entries, chain=chain).ok
        return [read_event(entry.event.body) for entry in entries]

    def kinds(self) -> list[str]:
        """Kinds in the record, with the outcome of commands."""
        return [f"{e.event_type} {getattr(e, 'outcome', '')}".strip() for e in self.told()]

    def messages(self) -> list[str]:
        return [one.body for one in SqlMessages(self.engine, firm_id="alpha").after(0)]


@pytest.fixture
def house(tmp_path: Path) -> House:
    engine = open_database(sqlite_url(tmp_path / "regime.db"))
    watch, world = Watch(), World()
    counter = itertools.count(1)
    people = {
        "mary": person("mary"),
        "ann": person("ann"),
        "bob": person("bob", Role.ADMIN),
        "joe": person("joe", Role.ANALYST),
        "eve": Principal("eve", (Grant("beta", Role.PM),), second_factor=True, session_id="s-eve"),
    }
    made: list[Desk] = []
    executors = {
        ("config", "set"): Setting(world),
        ("resume", "account"): Acting(world, Direction.LOOSENS, ApprovalKind.UNLOCK),
        ("halt", "account"): Acting(world, Direction.TIGHTENS),
        ("halt", "firm"): Acting(world, Direction.TIGHTENS),
        ("run", "report"): Acting(world, Direction.NEUTRAL),
        ("override", "rule"): Acting(world, Direction.TIGHTENS),
    }
    made.append(
        Desk(
            acts=replace(make_acts(engine, LocalArtifacts(tmp_path), "1"), clock=watch),
            approvals=lambda firm: SqlApprovals(engine, firm_id=firm),
            previews=lambda firm: SqlPreviews(engine, firm_id=firm),
            executors={**executors, **own_executors(lambda: made[0])},  # type: ignore[dict-item]
            people=people.get,
            pseudonym=lambda firm, user: actor(user),
            mode=STATES.get,
            entropy=lambda n: next(counter).to_bytes(n, "big"),
        )
    )
    return House(made[0], world, watch, people, engine)


def refused(call: Callable[[], Any], answer: Answer) -> None:
    with pytest.raises(Refused) as caught:
        call()
    assert caught.value.answer is answer


# --- previews -------------------------------------------------------------------------------------------------


def test_a_preview_says_what_it_takes_by_its_effect(house: House) -> None:
    loosening = preview(house.desk, house.ask(), GROSS + "2x")
    assert (loosening.klass, loosening.others, loosening.confirm_phrase) == (Klass.LOOSEN, 1, "alpha/main")
    assert loosening.requires_reason and loosening.requires_step_up and loosening.requires_second
    assert loosening.expires_ns - loosening.created_ns == 5 * MINUTE
    assert "- gross 1 -&gt; 2" in loosening.summary_md and "alpha/main" in loosening.summary_md
    tightening = preview(house.desk, house.ask(), GROSS + "50%")
    assert (tightening.klass, tightening.others, tightening.confirm_phrase) == (Klass.TIGHTEN, 0, "")
    assert not (tightening.requires_reason or tightening.requires_step_up)
    alone = preview(house.desk, house.ask(), "/config set account:alpha/dry risk.gross:2x")
    assert (alone.klass, alone.others, alone.confirm_phrase) == (Klass.LOOSEN, 0, "alpha/dry")
    assert house.kinds() == ["COMMAND previewed"] * 3
    assert house.world.done == []


def test_a_short_name_is_that_of_the_only_firm_and_an_alias_is_shown(house: House) -> None:
    made = preview(house.desk, house.ask(), "/unlock account account:main")
    assert (made.command, made.account) == ("/resume account account:alpha/main", "alpha/main")
    assert made.resolved_from == "/unlock account"
    two = replace(house.people["mary"], grants=(Grant("alpha", Role.PM), Grant("beta", Role.PM)))
    with pytest.raises(BadInput, match="one firm"):
        preview(house.desk, Asker(two), "/halt account:main")
    assert preview(house.desk, Asker(two, "alpha"), "/halt account:main").account == "alpha/main"
    assert do(house.desk, Asker(two), "/go overview").data == {"to": "/overview"}
    with pytest.raises(BadInput, match="one firm"):
        preview(house.desk, Asker(two), "/run backtest account:alpha/main,beta/main")


def test_what_is_not_built_is_told_and_never_done(house: House) -> None:
    house.desk = replace(house.desk, executors={**house.desk.executors, ("live", "enable"): OnScreen("mode")})
    made = preview(house.desk, house.ask(), "/live enable account:alpha/main mode:gated until:1d")
    assert "not built" in made.blocking[0]
    with pytest.raises(Conflict, match="not built"):
        house.confirm(made)
    assert house.kinds()[-1] == "COMMAND refused", "what was blocked is in the record"
    with pytest.raises(Conflict, match="not built"):
        preview(house.desk, house.ask(), "/live shadow account:alpha/main")


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("/halt account:alpha/main", True),
        ("/help", True),
        (GROSS + "0.5x", True),
        (GROSS + "2x", False),
        (RESUME, False),
        ("/run report id:run-1", False),
    ],
)
def test_whoever_has_only_the_files_reads_and_tightens(house: House, text: str, allowed: bool) -> None:
    grants = (Grant("alpha", Role.ADMIN), Grant("alpha", Role.PM))
    local = Principal(LOCAL, grants, Caller.LOCAL, second_factor=True, session_id="local")
    if allowed:
        assert understand(house.desk, Asker(local), text).context.actor == (ActorType.SERVICE, LOCAL)
        return
    with pytest.raises(BadInput, match="a login or a token"):
        understand(house.desk, Asker(local), text)
    assert house.kinds() == ["COMMAND refused"]


@pytest.mark.parametrize(
    ("name", "text", "answer"),
    [
        ("joe", RESUME, Answer.NO_ROLE),
        ("joe", GROSS + "2x", Answer.NO_ROLE),
        ("bob", GROSS + "2x", Answer.NO_ROLE),
        ("joe", "/halt firm", Answer.NO_ROLE),
        ("eve", RESUME, Answer.UNKNOWN),
        ("mary", "/halt account:beta/main", Answer.UNKNOWN),
        ("mary", "/approve id:rq-none", Answer.UNKNOWN),
    ],
)
def test_who_may_not_is_refused_and_that_is_recorded(
    house: House, name: str, text: str, answer: Answer
) -> None:
    refused(lambda: preview(house.desk, house.ask(name), text), answer)
    assert house.kinds() == (["COMMAND refused"] if answer is Answer.NO_ROLE else [])


def test_an_executor_that_asks_for_too_little_does_not_let_anybody_ask(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Setting.simulate
    monkeypatch.setattr(Setting, "simulate", lambda *a: replace(real(*a), permission=None))
    refused(lambda: preview(house.desk, house.ask("joe"), GROSS + "2x"), Answer.NO_ROLE)
    assert preview(house.desk, house.ask("joe"), GROSS + "50%").klass is Klass.TIGHTEN


def test_a_text_that_is_no_command_or_cannot_stay_in_the_record_is_refused(house: House) -> None:
    with pytest.raises(ParseError):
        preview(house.desk, house.ask(), "/resume account:alpha/main now")
    for secret in ("mail mary@example.com", "token=abcdefgh12345678"):
        with pytest.raises(BadInput, match="stay in the record"):
            preview(house.desk, house.ask(), f'{RESUME} reason:"{secret}"')
    with pytest.raises(BadInput, match="session"):
        preview(house.desk, Asker(replace(house.people["mary"], session_id="")), RESUME)
    assert house.kinds() == []


# --- confirmation ---------------------------------------------------------------------------------------------


def test_a_tightening_takes_one_confirm(house: House) -> None:
    made = preview(house.desk, house.ask(), GROSS + "50%")
    done = house.confirm(
        made, phrase="", reason="", asker=Asker(replace(house.people["mary"], stepped_up_ns=None))
    )
    assert (done.outcome, done.said, done.data) == ("executed", "Applied.", {"version": 8})
    assert house.world.gross["alpha/main"] == "0.5"
    (context,) = [context for _, context in house.world.done]
    assert context.key == made.preview_id and context.approved_by == ()
    assert house.kinds() == ["COMMAND previewed", "COMMAND executed"]
    told = house.told()[-1]
    assert (told.actor.id, told.preview_id, told.action_hash) == (
        actor("mary"),
        made.preview_id,
        made.action_hash,
    )


def test_it_is_done_once_and_the_same_key_gets_the_same_answer(house: House) -> None:
    made = preview(house.desk, house.ask(), GROSS + "50%")
    assert house.confirm(made) == house.confirm(made)
    with pytest.raises(Conflict) as caught:
        house.confirm(made, key="k-2")
    assert caught.value.what == "used" and isinstance(caught.value.fresh, Preview)
    assert len(house.world.done) == 1


def test_many_confirmations_at_once_are_done_once(house: House) -> None:
    made = preview(house.desk, house.ask(), "/halt account:alpha/main")

    def once(n: int) -> Any:
        try:
            return house.confirm(made, key=f"k-{n}")
        except Conflict as conflict:
            return conflict.what

    with ThreadPoolExecutor(5) as pool:
        said = list(pool.map(once, range(5)))
    assert len(house.world.done) == 1
    assert sum(isinstance(one, Done) for one in said) == 1 and said.count("used") == 4


def test_what_must_be_typed_must_be_typed(house: House) -> None:
    made = preview(house.desk, house.ask(), GROSS + "2x")
    for phrase in ("", "main", "alpha/other", "ALPHA/MAIN", " alpha/main"):
        with pytest.raises(BadInput, match="phrase"):
            house.confirm(made, phrase=phrase)
    for reason in ("", "too short"):
        with pytest.raises(BadInput, match="reason"):
            house.confirm(made, reason=reason)
    with pytest.raises(BadInput, match="stay in the record"):
        house.confirm(made, reason="ask mary@example.com about it")
    stale = Asker(replace(house.people["mary"], stepped_up_ns=T - 6 * MINUTE))
    refused(lambda: house.confirm(made, asker=stale), Answer.STEP_UP)
    assert house.kinds() == ["COMMAND previewed"]
    assert house.confirm(made).outcome == "requested", "nothing of all that used it up"


def test_a_reason_in_the_command_is_the_reason(house: House) -> None:
    made = preview(house.desk, house.ask(), f'{RESUME} reason:"it was a false alarm"')
    assert house.get(house.confirm(made, reason="").request_id).request.reason == "it was a false alarm"


def test_a_preview_is_of_one_person_and_one_session(house: House) -> None:
    made = preview(house.desk, house.ask(), GROSS + "50%")
    for other in (house.ask("ann"), house.ask("eve"), Asker(replace(house.people["mary"], session_id="s-2"))):
        refused(lambda other=other: house.confirm(made, asker=other), Answer.UNKNOWN)  # type: ignore[misc]
    for name in ("pv-none", "", "pv\x00", "pv-" + "a" * 200):
        other = made.model_copy(update={"preview_id": name})
        refused(lambda other=other: house.confirm(other), Answer.UNKNOWN)  # type: ignore[misc]


def test_a_world_that_changed_is_a_conflict_with_a_fresh_preview(house: House) -> None:
    made = preview(house.desk, house.ask(), GROSS + "50%")
    house.world.version += 1
    with pytest.raises(Conflict) as caught:
        house.confirm(made)
    fresh = caught.value.fresh
    assert caught.value.what == "base_version" and isinstance(fresh, Preview)
    assert fresh.preview_id != made.preview_id and house.world.done == []
    house.world.gross["alpha/main"] = "0.4"
    with pytest.raises(Conflict) as caught:
        house.confirm(fresh)
    assert caught.value.what == "effects_hash" and caught.value.fresh.klass is Klass.LOOSEN  # type: ignore[attr-defined]
    with pytest.raises(Conflict) as caught:
        house.confirm(fresh, action_hash="0" * 64)
    assert caught.value.what == "action_hash"
    house.world.gross["alpha/main"] = "1"
    house.watch.at += 5 * MINUTE
    with pytest.raises(Conflict) as caught:
        house.confirm(fresh)
    assert caught.value.what == "expired"
    assert house.confirm(caught.value.fresh).outcome == "executed"  # type: ignore[arg-type]


def test_warnings_may_change_and_a_block_may_not(house: House) -> None:
    made = preview(house.desk, house.ask(), GROSS + "50%")
    house.world.warnings = ("just now",)
    house.world.blocked = "the market is shut"
    with pytest.raises(Conflict) as caught:
        house.confirm(made)
    assert caught.value.fresh.blocking == ("the market is shut",)  # type: ignore[attr-defined]
    with pytest.raises(Conflict, match="the market is shut"):
        house.confirm(caught.value.fresh)  # type: ignore[arg-type]
    house.world.blocked = ""
    assert house.confirm(made).outcome == "executed"


def test_a_role_that_was_taken_away_counts_at_the_confirmation(house: House) -> None:
    made = preview(house.desk, house.ask(), GROSS + "50%")
    less = replace(house.ask().principal, grants=(Grant("alpha", Role.VIEWER),))
    refused(lambda: house.confirm(made, asker=Asker(less)), Answer.NO_ROLE)
    assert house.kinds() == ["COMMAND previewed", "COMMAND refused"]


def test_what_refuses_to_change_is_told_and_uses_the_preview_up(house: House) -> None:
    made = preview(house.desk, house.ask(), GROSS + "50%")
    house.world.fails = BadInput(expected="a lower limit", found="0.5", where="risk.gross")
    with pytest.raises(BadInput, match="a lower limit"):
        house.confirm(made)
    assert house.kinds() == ["COMMAND previewed", "COMMAND refused"]
    assert house.confirm(made).outcome == "refused", "the same key: the same answer"


# --- without confirmation -------------------------------------------------------------------------------------


def test_what_changes_nothing_runs_at_once_and_stays_out_of_the_record(house: House) -> None:
    assert do(house.desk, house.ask("joe"), "/go approvals").data == {"to": "/approvals"}
    assert do(house.desk, house.ask("joe"), "/theme dark").data == {"theme": "dark"}
    told = do(house.desk, house.ask("joe"), "/help").data["commands"]
    names = {one["name"] for one in told}  # type: ignore[index, union-attr, call-overload]
    assert "/halt account" in names and "/flatten account" not in names
    assert house.kinds() == []
    history = house.desk.previews("alpha").history("joe")
    assert [one.command for one in history] == ["/help", "/theme dark", "/go /approvals"]


def test_a_run_is_recorded_and_what_must_be_confirmed_is_not_run(house: House) -> None:
    assert do(house.desk, house.ask("joe"), "/run report id:run-1", "a-key").said == "Done."
    assert house.kinds() == ["COMMAND executed"]
    with pytest.raises(BadInput, match="Idempotency-Key"):
        do(house.desk, house.ask("joe"), "/run report id:run-1")
    with pytest.raises(Conflict) as caught:
        do(house.desk, house.ask(), GROSS + "50%")
    assert caught.value.what == "preview" and isinstance(caught.value.fresh, Preview)
    assert len(house.world.done) == 1


# --- four eyes ------------------------------------------------------------------------------------------------


def test_a_loosening_is_carried_out_when_another_person_agrees(house: House) -> None:
    made = preview(house.desk, house.ask(), GROSS + "2x")
    done = house.confirm(made)
    assert done == house.confirm(made) and done.outcome == "requested"
    assert house.world.done == [] and house.get(done.request_id).status is ApprovalStatus.REQUESTED
    shown = preview(house.desk, house.ask("ann"), f"/approve id:{done.request_id}")
    assert (shown.effects, shown.account, shown.others) == (made.effects, "alpha/main", 0)
    assert shown.confirm_phrase == "alpha/main" and shown.blocking == ()
    answer = house.confirm(shown, "ann")
    assert answer.data == {"version": 8, "request_id": done.request_id, "status": "executed"}
    assert house.get(done.request_id).status is ApprovalStatus.EXECUTED
    ((text, context),) = house.world.done
    assert text == "/config set account:alpha/main risk.gross:2x"
    assert context.principal.user_id == "mary" and context.approved_by == (actor("ann"),)
    assert (context.key, context.reason) == (done.request_id, REASON)
    assert house.kinds() == [
        "COMMAND previewed", "COMMAND requested", "APPROVAL_REQUESTED", "COMMAND previewed",
        "APPROVAL_GIVEN", "COMMAND executed", "COMMAND executed",
    ]  # fmt: skip
    told = [json.loads(body) for body in house.messages()]
    statuses = [one["status"] for one in told if "status" in one]
    assert statuses == ["requested", "given", "executing", "executed"]


@pytest.mark.parametrize("name", ["mary", "joe", "eve"])
def test_nobody_agrees_to_what_they_asked_for_or_may_not(house: House, name: str) -> None:
    request_id = house.asked()
    answer = Answer.UNKNOWN if name == "eve" else Answer.NO_ROLE
    refused(lambda: preview(house.desk, house.ask(name), f"/approve id:{request_id} "), answer)
    refused(lambda: four_eyes.approve(house.desk, house.ask(name).principal, "alpha", request_id), answer)
    assert house.get(request_id).votes == ()


def test_a_token_never_agrees_not_even_that_of_another_person(house: House) -> None:
    request_id = house.asked()
    for program in (token("mary"), token("ann")):
        refused(
            lambda program=program: four_eyes.approve(house.desk, program, "alpha", request_id),  # type: ignore[misc]
            Answer.NOT_BY_TOKEN,
        )


def test_a_comment_is_said_for_good_and_takes_no_step(house: House) -> None:
    request_id = house.asked()
    before = house.get(request_id)
    for name, text in (("joe", "  see the log of 9:40  "), ("mary", "x" * 1_000)):
        said = comment(house.desk, house.people[name], "alpha", request_id, text)
        assert (said.comments[-1].actor, said.comments[-1].text) == (actor(name), text.strip())
    after = house.get(request_id)
    assert [one.actor for one in after.comments] == [actor("joe"), actor("mary")]
    assert after == before.model_copy(update={"comments": after.comments}), (
        "version, votes and hash as before"
    )
    entry = house.told()[-2]
    assert (entry.event_type, entry.comment) == ("APPROVAL_COMMENTED", "see the log of 9:40")
    assert (entry.actor.id, entry.payload_hash) == (actor("joe"), before.request.payload_hash)
    assert "log" not in entry.rationale and "9:40" not in "".join(house.messages())
    assert [one for one in house.messages() if '"by"' in one and request_id in one]
    assert house.answer(request_id).outcome == "executed", "who had it open still agrees"
    with pytest.raises(Conflict, match="is executed"):
        comment(house.desk, house.people["joe"], "alpha", request_id, "too late")


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("vic", "I only look on", Refused),
        ("eve", "from another firm", Refused),
        ("joe", "", BadInput),
        ("joe", "   ", BadInput),
        ("joe", "x" * 1_001, BadInput),
        ("joe", "two\nlines", BadInput),
        ("joe", "ask ann@alpha.example", BadInput),
    ],
)
def test_who_may_not_comment_and_what_may_not_stay(
    house: House, name: str, text: str, error: type[Exception]
) -> None:
    house.people["vic"] = person("vic", Role.VIEWER)
    request_id = house.asked()
    before = house.kinds()
    with pytest.raises(error) as caught:
        comment(house.desk, house.people[name], "alpha", request_id, text)
    if isinstance(caught.value, Refused):
        assert caught.value.answer is (Answer.UNKNOWN if name == "eve" else Answer.NO_ROLE)
    assert house.get(request_id).comments == () and house.kinds() == before


def test_nobody_comments_on_what_is_over(house: House) -> None:
    request_id = house.asked()
    house.watch.at += CONFIG_TTL_NS
    with pytest.raises(Conflict, match="expired"):
        comment(house.desk, house.people["joe"], "alpha", request_id, "too late")
    assert house.get(request_id).status is ApprovalStatus.EXPIRED


def test_a_refusal_needs_a_reason_and_no_fresh_proof(house: House) -> None:
    request_id = house.asked()
    stale = Asker(replace(house.people["ann"], stepped_up_ns=None))
    made = preview(house.desk, stale, f'/reject id:{request_id} reason:"{REASON}"')
    assert confirm(house.desk, stale, made.preview_id, made.action_hash, "", "", "k").outcome == "executed"
    assert house.get(request_id).status is ApprovalStatus.REFUSED
    assert house.told()[-2].reason == REASON and house.told()[-2].actor.id == actor("ann")
    with pytest.raises(Conflict, match="refused"):
        four_eyes.approve(house.desk, house.ask("bob").principal, "alpha", request_id)


def test_what_changed_since_it_was_asked_for_voids_it_by_name(house: House) -> None:
    request_id = house.asked()
    house.world.version += 1
    shown = preview(house.desk, house.ask("ann"), f"/approve id:{request_id}")
    assert shown.blocking == ("the state it is based on changed since it was asked for",)
    with pytest.raises(Conflict, match="the state it is based on changed"):
        four_eyes.approve(house.desk, house.ask("ann").principal, "alpha", request_id)
    found = house.get(request_id)
    assert (found.status, found.why) == (
        ApprovalStatus.VOID,
        "the state it is based on changed since it was asked for",
    )
    assert house.told()[-1].reason == found.why and house.told()[-1].actor.type == "service"


def test_a_store_that_is_down_voids_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    request_id = house.asked()

    def down(*_: Any) -> Effects:
        raise StoreDown("gone")

    monkeypatch.setattr(Setting, "simulate", down)
    with pytest.raises(StoreDown):
        four_eyes.approve(house.desk, house.ask("ann").principal, "alpha", request_id)
    assert house.get(request_id).status is ApprovalStatus.REQUESTED


@pytest.mark.parametrize("who", ["mary", "ann"])
def test_whoever_lost_the_role_in_between_stops_it(house: House, who: str) -> None:
    request_id = house.asked()
    asker = house.ask("ann").principal
    house.people[who] = replace(house.people[who], grants=(Grant("alpha", Role.VIEWER),))
    with pytest.raises(Conflict, match=f"{actor(who)} may no longer"):
        four_eyes.approve(house.desk, asker, "alpha", request_id)
    assert house.get(request_id).status is ApprovalStatus.VOID and house.world.done == []


def test_a_maker_who_is_gone_voids_the_request(house: House) -> None:
    request_id = house.asked()
    del house.people["mary"]
    with pytest.raises(Conflict, match="not there any more"):
        four_eyes.approve(house.desk, house.ask("ann").principal, "alpha", request_id)
    assert house.get(request_id).status is ApprovalStatus.VOID


def test_what_refuses_to_be_changed_fails_the_request_for_good(house: House) -> None:
    request_id = house.asked()
    house.world.fails = BadInput(expected="an open market", found="shut", where="market")
    with pytest.raises(BadInput, match="an open market"):
        house.answer(request_id)
    found = house.get(request_id)
    assert found.status is ApprovalStatus.FAILED and "an open market" in found.why
    house.world.fails = None
    four_eyes.settle(house.desk, "alpha")
    assert house.world.done == []


def test_many_who_agree_at_once_carry_it_out_once(house: House) -> None:
    request_id = house.asked()
    askers = [house.ask(name).principal for name in ("ann", "bob")] * 2

    def agree(asker: Principal) -> Any:
        try:
            return four_eyes.approve(house.desk, asker, "alpha", request_id)[0].status
        except Conflict as conflict:
            return conflict.what

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(agree, askers))
    assert len(house.world.done) == 1 and said.count(ApprovalStatus.EXECUTED) == 1
    assert house.get(request_id).given == 1


def test_whoever_agrees_while_another_does_is_counted_too(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = house.get(house.asked()).request
    both = four_eyes.ask(house.desk, one.model_copy(update={"request_id": "rq-2", "required": Required(n=2)}))
    real, calls = SqlApprovals.get, itertools.count(1)

    def get(store: SqlApprovals, request_id: str) -> Approval | None:
        found = real(store, request_id)
        if next(calls) == 2:  # ann has just looked and takes her step: bob is faster
            four_eyes.approve(house.desk, house.ask("bob").principal, "alpha", "rq-2")
        return found

    monkeypatch.setattr(SqlApprovals, "get", get)
    after, outcome = four_eyes.approve(house.desk, house.ask("ann").principal, "alpha", "rq-2")
    assert (both.version, after.given, after.by) == (1, 2, (actor("bob"), actor("ann")))
    assert outcome is not None and len(house.world.done) == 1


def test_a_halt_voids_what_would_loosen_the_account_and_nothing_else(house: House) -> None:
    mine = house.asked()
    other = house.asked("/resume account:alpha/other")
    waiting = preview(house.desk, house.ask(), GROSS + "3x")
    tightening = preview(house.desk, house.ask(), GROSS + "50%")
    assert four_eyes.void_pending(house.desk, "alpha", "alpha/main", "account halted") == 1
    assert (house.get(mine).status, house.get(mine).why) == (ApprovalStatus.VOID, "account halted")
    assert house.get(other).status is ApprovalStatus.REQUESTED
    with pytest.raises(Conflict):
        house.confirm(waiting)
    assert house.confirm(tightening).outcome == "executed"
    assert four_eyes.void_pending(house.desk, "alpha", None, "firm halted") == 1
    assert house.desk.approvals("alpha").listed(PENDING) == ()


def test_a_halt_in_the_middle_of_agreeing_wins_or_is_too_late(house: House) -> None:
    request_id = house.asked()
    asker = house.ask("ann").principal

    def agree() -> Any:
        try:
            return four_eyes.approve(house.desk, asker, "alpha", request_id)[0].status
        except Conflict:
            return None

    with ThreadPoolExecutor(2) as pool:
        agreed = pool.submit(agree)
        voided = pool.submit(four_eyes.void_pending, house.desk, "alpha", "alpha/main", "halted")
        carried, went = agreed.result(), voided.result()
    status = house.get(request_id).status
    assert (len(house.world.done), went) == ((1, 0) if carried else (0, 1))
    assert status is (ApprovalStatus.EXECUTED if carried else ApprovalStatus.VOID)


def test_expiry_is_recorded_and_nothing_happens_after_it(house: House) -> None:
    request_id = house.asked(RESUME)
    house.watch.at += 30 * MINUTE
    with pytest.raises(Conflict, match="expired"):
        four_eyes.approve(house.desk, house.ask("ann").principal, "alpha", request_id)
    assert house.get(request_id).status is ApprovalStatus.EXPIRED
    later = house.asked(RESUME)
    house.watch.at += 30 * MINUTE
    four_eyes.settle(house.desk, "alpha")
    assert house.get(later).status is ApprovalStatus.EXPIRED
    ends = [e for e in house.told() if e.event_type == "APPROVAL_VOID"]
    assert [e.reason for e in ends] == ["expired", "expired"] and house.world.done == []


def test_what_was_agreed_to_and_forgotten_is_carried_out_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = house.asked()

    def die(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(four_eyes, "carry_out", die)
        four_eyes.approve(house.desk, house.ask("ann").principal, "alpha", request_id)
    four_eyes.settle(house.desk, "alpha")
    assert house.get(request_id).status is ApprovalStatus.GIVEN, "whoever agreed may be about to carry it out"
    house.watch.at += 2 * MINUTE
    four_eyes.settle(house.desk, "alpha")
    four_eyes.settle(house.desk, "alpha")
    assert house.get(request_id).status is ApprovalStatus.EXECUTED and len(house.world.done) == 1


def test_what_was_interrupted_is_never_begun_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    request_id = house.asked()

    def die(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Setting, "execute", die)
        four_eyes.approve(house.desk, house.ask("ann").principal, "alpha", request_id)
    four_eyes.settle(house.desk, "alpha")
    house.watch.at += 25 * 60 * MINUTE
    four_eyes.settle(house.desk, "alpha")
    assert house.get(request_id).status is ApprovalStatus.EXECUTING and house.world.done == []
