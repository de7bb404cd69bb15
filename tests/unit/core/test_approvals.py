"""Four eyes as a machine: never carried out without enough other people, never twice, nothing after it has ended."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.approval_samples import MINUTE, REASON, H, T, actor, approval, bound, person, request, token

from regime_trading.core import approval_steps as steps
from regime_trading.core.access import MATRIX, Answer, Principal, Role
from regime_trading.core.approvals import (
    PENDING,
    PERMISSIONS,
    Approval,
    ApprovalKind,
    Required,
    others_needed,
    ttl_ns,
)
from regime_trading.core.approvals import ApprovalStatus as S
from regime_trading.core.errors import BadInput, Conflict, Refused
from regime_trading.core.schemas import Mode

NAMES = ("mary", "ann", "bob", "cy")


def agreed(found: Approval, name: str = "ann", at_ns: int = T, **more: Any) -> Approval:
    return steps.agree(found, person(name, at_ns=at_ns, **more), actor(name), bound(found), at_ns)


# --- policy ---------------------------------------------------------------------------------------------------


def test_who_may_ask_for_what_and_who_may_agree() -> None:
    table = {
        ApprovalKind.BASKET: ("analyst pm admin", "pm"),  # whoever may begin a run that asks
        ApprovalKind.CONFIG: ("pm", "pm admin"),
        ApprovalKind.UNLOCK: ("pm", "pm admin"),
        ApprovalKind.MODE: ("pm", "admin"),
        ApprovalKind.CUSTOM: ("analyst pm admin", "pm admin"),
    }
    for kind, (asking, agreeing) in table.items():
        ask, agree = PERMISSIONS[kind]
        assert {role.value for role in MATRIX[ask].roles} == set(asking.split())
        assert {role.value for role in MATRIX[agree].roles} == set(agreeing.split())
        assert MATRIX[agree].by_person


@pytest.mark.parametrize(("kind", "mode", "could"), list(product(ApprovalKind, (None, *Mode), (True, False))))
def test_only_a_dry_run_needs_nobody_else(kind: ApprovalKind, mode: Mode | None, could: bool) -> None:
    alone = mode is Mode.DRY_RUN and could and kind is not ApprovalKind.MODE
    assert others_needed(kind, mode, maker_could_agree=could) == (0 if alone else 1)


def test_a_request_stands_for_half_an_hour_and_of_a_configuration_for_a_day() -> None:
    assert {ttl_ns(kind) // MINUTE for kind in ApprovalKind if kind is not ApprovalKind.CONFIG} == {30}
    assert ttl_ns(ApprovalKind.CONFIG) == 24 * 60 * MINUTE


def test_the_payload_hash_is_of_every_word() -> None:
    one = request()
    for field in type(one).model_fields:
        if field not in ("required", "kind", "account", "loosens"):
            value = getattr(one, field)
            other = value + 1 if isinstance(value, int) else ("x",) if field == "effects" else f"{value}x"
            assert one.model_copy(update={field: other}).payload_hash != one.payload_hash, field
    assert one.model_copy(update={"required": Required(n=2)}).payload_hash != one.payload_hash


# --- who ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("voter", "answer"),
    [
        (person("mary"), Answer.NO_ROLE),
        (person("mary", Role.ADMIN), Answer.NO_ROLE),
        (person("ann", session_id="s-mary"), Answer.NO_ROLE),
        (person("ann", session_id=""), Answer.NOT_BY_TOKEN),
        (token("mary"), Answer.NOT_BY_TOKEN),
        (token("ann"), Answer.NOT_BY_TOKEN),
        (person("ann", Role.ANALYST), Answer.NO_ROLE),
        (person("ann", stepped_up_ns=None), Answer.STEP_UP),
        (person("ann", at_ns=T - 6 * MINUTE), Answer.STEP_UP),
        (person("ann", second_factor=False), Answer.NO_FACTOR),
        (person("ann", accounts=frozenset({"alpha/other"})), Answer.UNKNOWN),
        (Principal("ann", ()), Answer.UNKNOWN),
        (person("eve"), Answer.NO_ROLE),
    ],
)
def test_who_may_not_agree(voter: Principal, answer: Answer) -> None:
    found = approval(required=Required(excludes=("eve",)))
    with pytest.raises(Refused) as caught:
        steps.agree(found, voter, "u-x", bound(found), T)
    assert caught.value.answer is answer


def test_a_request_may_ask_for_certain_roles_and_a_firm_s_for_a_grant_over_all_of_it() -> None:
    picky = approval(required=Required(roles=(Role.ADMIN,)))
    with pytest.raises(Refused, match="admin"):
        agreed(picky)
    assert steps.agree(picky, person("ann", Role.ADMIN), "u-x", bound(picky), T).status is S.GIVEN
    firm = approval(account="")
    with pytest.raises(Refused):
        agreed(firm, accounts=frozenset({"alpha/main"}))
    assert agreed(firm).status is S.GIVEN


def test_each_person_says_so_once_and_from_a_session_of_their_own() -> None:
    once = agreed(approval(required=Required(n=2)))
    assert (once.status, once.given, once.by) == (S.REQUESTED, 1, (actor("ann"),))
    with pytest.raises(Conflict, match="you have answered"):
        agreed(once, session_id="s-other")
    with pytest.raises(Conflict, match="you have answered"):
        agreed(once)
    with pytest.raises(Refused, match="session"):
        agreed(once, "bob", session_id="s-ann")
    assert agreed(once, "bob").status is S.GIVEN


def test_one_refusal_ends_it_and_says_why() -> None:
    found = approval()
    with pytest.raises(BadInput, match="reason"):
        steps.refuse(found, person("ann"), actor("ann"), T, "  short  ")
    late = steps.refuse(found, person("ann", stepped_up_ns=None), actor("ann"), T, REASON)
    assert (late.status, late.votes[0].agrees, late.votes[0].reason) == (S.REFUSED, False, REASON)


# --- what it is bound to --------------------------------------------------------------------------------------

CHANGES = {
    "payload_hash": ("c" * 64, "the request"),
    "effects_hash": ("c" * 64, "its effects"),
    "base_version": ("8", "the state"),
    "config_hash": ("c" * 64, "the configuration"),
    "code_version": ("2", "the program"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_the_world_is_named_and_stops_it(name: str) -> None:
    value, said = CHANGES[name]
    found = approval()
    changed = bound(found, **{name: value})
    with pytest.raises(Conflict, match=said):
        steps.agree(found, person("ann"), actor("ann"), changed, T)
    with pytest.raises(Conflict, match=said):
        steps.begin(agreed(found), changed, T)


def test_a_forged_request_with_too_few_votes_is_never_begun() -> None:
    found = approval(required=Required(n=2))
    forged = agreed(found).model_copy(update={"status": S.GIVEN})
    with pytest.raises(Conflict, match="fewer people"):
        steps.begin(forged, bound(found), T)
    twice = forged.model_copy(update={"votes": forged.votes * 2})
    with pytest.raises(Conflict, match="fewer people"):
        steps.begin(twice, bound(found), T)


# --- every order of steps -------------------------------------------------------------------------------------


class FourEyes(RuleBasedStateMachine):
    """Steps in any order, at any time, by anybody; what is refused changes nothing."""

    @initialize(n=st.integers(1, 3), kind=st.sampled_from([ApprovalKind.CONFIG, ApprovalKind.UNLOCK]))
    def start(self, n: int, kind: ApprovalKind) -> None:
        self.now = T
        self.found = approval(kind=kind, required=Required(n=n))
        self.begun = self.ended = self.halts = 0
        self.world = bound(self.found)

    def _try(self, step: Any, *args: Any, **more: Any) -> bool:
        before = self.found
        try:
            self.found = step(before, *args, **more)
        except (Conflict, Refused, BadInput):
            assert self.found is before
            return False
        assert self.found.version == before.version + 1 and self.found.request == before.request
        return True

    @rule(minutes=st.sampled_from([0, 1, 20, 700]))
    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @rule(name=st.sampled_from(NAMES), session=st.sampled_from(["", "s-mary", "s-x"]), by_token=st.booleans())
    def agree(self, name: str, session: str, by_token: bool) -> None:
        who = token(name) if by_token else person(name, at_ns=self.now, session_id=session or f"s-{name}")
        if self._try(steps.agree, who, actor(name), self.world, self.now):
            assert name != "mary" and not by_token and who.session_id != "s-mary"
            assert self.now < self.found.request.expires_ns

    @rule()
    def enough(self) -> None:
        for name in NAMES[1:]:
            self._try(steps.agree, person(name, at_ns=self.now), actor(name), self.world, self.now)

    @precondition(lambda self: self.found.votes)
    @rule(name=st.sampled_from(NAMES), reason=st.sampled_from(["", REASON]))
    def refuse(self, name: str, reason: str) -> None:
        if self._try(steps.refuse, person(name, at_ns=self.now), actor(name), self.now, reason):
            assert name != "mary" and reason

    @rule()
    def begin(self) -> None:
        if self._try(steps.begin, self.world, self.now):
            self.begun += 1
            others = {vote.user_id for vote in self.found.votes if vote.agrees} - {"mary"}
            assert len(others) >= self.found.request.required.n
            assert self.now < self.found.request.expires_ns and not self.halts
            assert self.world == bound(self.found)

    @rule(failure=st.sampled_from(["", "the store is down"]))
    def end(self, failure: str) -> None:
        self.ended += self._try(steps.end, failure)

    @precondition(lambda self: self.found.votes)
    @rule()
    def halt(self) -> None:
        voided = self._try(steps.void, "account halted")
        self.halts += voided
        assert voided or self.found.status not in PENDING

    @rule()
    def expire(self) -> None:
        if self._try(steps.expire, self.now):
            assert self.now >= self.found.request.expires_ns

    @precondition(lambda self: self.found.status in PENDING)
    @rule(name=st.sampled_from(sorted(CHANGES)))
    def change(self, name: str) -> None:
        self.world = bound(self.found, **{name: CHANGES[name][0]})

    @rule()
    def change_back(self) -> None:
        self.world = bound(self.found)

    @invariant()
    def at_most_once(self) -> None:
        if not hasattr(self, "found"):
            return
        assert self.begun <= 1 and self.ended <= self.begun
        voters = [vote.user_id for vote in self.found.votes]
        assert len(set(voters)) == len(voters) and "mary" not in voters
        assert (self.found.status is S.EXECUTED) <= (self.ended == 1)
        assert (self.found.status is S.VOID) == (self.halts == 1)


FourEyes.TestCase.settings = settings(
    max_examples=300, stateful_step_count=25, derandomize=True, database=None, deadline=None
)
TestFourEyes = FourEyes.TestCase


def test_the_whole_way() -> None:
    found = agreed(approval())
    begun = steps.begin(found, bound(found), T + MINUTE)
    assert steps.end(begun).status is S.EXECUTED
    assert (steps.end(begun, "x" * 600).status, len(steps.end(begun, "x" * 600).why)) == (S.FAILED, 500)
    for step in (lambda: steps.begin(begun, bound(found), T), lambda: steps.void(begun, H)):
        with pytest.raises(Conflict, match="executing"):
            step()
    with pytest.raises(Conflict, match="expired"):
        steps.begin(found, bound(found), found.request.expires_ns)
