"""Whatever somebody does in whatever order: no second factor without the proof of one, and no old cookie counts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.identity_samples import HOME, MINUTE, PASSWORD, SECOND, World, world

from regime_trading.core.access import Grant, Role
from regime_trading.core.errors import BadInput
from regime_trading.core.users import (
    Factor,
    NotIdentified,
    PasswordAgain,
    Proof,
    ProofNeeded,
    RecoveryCode,
    TooManyTries,
    TotpCode,
)
from regime_trading.services.identity import Opened
from regime_trading.services.people import OPERATOR

NAMES = count()
STEPS = [
    "login", "login wrong", "totp", "totp wrong", "totp again", "recovery", "recovery again", "password",
    "step totp", "step password", "step recovery", "offer", "confirm", "confirm wrong", "remove", "codes",
    "change password", "logout", "wait", "disable", "enable", "reset",
]  # fmt: skip


@pytest.fixture(scope="module")
def w() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        made = world(Path(folder))
        made.person("keeper", Grant("alpha", Role.ADMIN))
        yield made


@dataclass
class Story:
    """One person's doings, and what a plain model says of them."""

    w: World
    login: str
    user_id: str
    cookie: str = "none"
    proved: bool = False  #: a factor was proved in the session of ``cookie``
    old: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    codes: list[str] = field(default_factory=list)
    seed: str = ""
    password: str = PASSWORD

    def take(self, opened: Opened, proved: bool) -> None:
        self.old.append(self.cookie)
        self.cookie, self.proved = opened.cookie, proved

    def prove(self, proof: Proof, *, up: bool) -> None:
        """A proof that is accepted twice is a fault."""
        call = self.w.identity.step_up if up else self.w.identity.second_step
        done = call(self.cookie, proof, HOME, self.w.now)
        said = getattr(proof, "code", "")
        assert not said or said not in self.used
        self.used.add(said)
        self.take(done, self.proved or not isinstance(proof, PasswordAgain))

    def code(self) -> TotpCode:
        return self.w.code(self.login) if self.login in self.w.seeds else TotpCode("000000")

    def do(self, step: str) -> None:
        w = self.w
        if step.startswith("login"):
            opened = w.login(self.login, "wrong" if "wrong" in step else self.password)
            assert step == "login"
            self.cookie, self.proved = opened.cookie, False  # the session before goes on
        elif step in ("totp", "step totp"):
            self.prove(self.code(), up="step" in step)
        elif step in ("totp wrong", "totp again"):
            wrong = "x" if "wrong" in step or not self.used else sorted(self.used)[-1]
            self.prove(TotpCode(wrong), up=False)
            raise AssertionError("a wrong or used code was accepted")
        elif step in ("recovery", "step recovery"):
            self.prove(RecoveryCode(self.codes[-1] if self.codes else "none"), up="step" in step)
            assert step == "recovery"
        elif step == "recovery again":
            self.prove(RecoveryCode(next((u for u in self.used if "-" in u), "none")), up=False)
            raise AssertionError("a used code was accepted")
        elif step in ("password", "step password"):
            self.prove(PasswordAgain(self.password), up="step" in step)
            assert step == "step password"
        elif step == "offer":
            self.seed = w.factors.offer_totp(self.cookie, w.now).seed
        elif step == "confirm wrong":
            w.factors.confirm_totp(self.cookie, "000000x", w.now)
            raise AssertionError("a wrong code was accepted")
        elif step == "confirm":
            self.confirm()
        elif step == "remove":
            w.factors.remove(self.cookie, Factor.TOTP, w.now)
        elif step == "codes":
            self.codes = list(w.factors.new_recovery_codes(self.cookie, w.now))
        elif step == "change password":
            self.password, new = f"{PASSWORD}-{len(self.old)}", self.password
            self.password, new = new, self.password
            self.take(w.identity.change_password(self.cookie, self.password, new, HOME, w.now), self.proved)
            self.password = new
        else:
            self.around(step)

    def confirm(self) -> None:
        before, self.w.seeds[self.login] = self.w.seeds.get(self.login), self.seed or "A" * 32
        try:
            code = self.w.code(self.login).code
            done = self.w.factors.confirm_totp(self.cookie, code, self.w.now)
        except (NotIdentified, ProofNeeded):
            self.w.seeds[self.login] = before or "A" * 32
            raise
        self.codes = list(done.recovery_codes) or self.codes
        self.used = {code}
        self.take(done.opened, proved=True)

    def around(self, step: str) -> None:
        w = self.w
        if step == "logout":
            w.sessions.logout(self.cookie, w.now)
            self.old.append(self.cookie)
        elif step == "wait":
            w.now += 3 * MINUTE
        elif step == "disable":
            w.members.disable(OPERATOR, None, self.user_id, w.now)
            self.old.append(self.cookie)
        elif step == "enable":
            w.members.enable(OPERATOR, None, self.user_id, w.now)
        elif step == "reset":
            link = w.members.reset_link(OPERATOR, None, self.user_id, w.now)
            w.links.set_password(link, self.password, w.now)
            self.old.append(self.cookie)

    def check(self) -> None:
        found = self.w.principal(self.cookie)
        if found is not None:
            assert self.proved or not found.second_factor
            account = self.w.people.logins.account(self.user_id)
            assert account is not None
            if account.factors and not self.proved:
                assert found.grants == () and found.stepped_up_ns is None
        for cookie in self.old[-4:]:
            assert self.w.principal(cookie) is None


@settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.sampled_from([Role.VIEWER, Role.PM]), st.lists(st.sampled_from(STEPS), max_size=14), st.booleans())
def test_no_second_factor_without_its_proof(w: World, role: Role, steps: list[str], enrolled: bool) -> None:
    name = f"p{next(NAMES)}"
    user = w.person(name, Grant("alpha", role))
    story = Story(w, name, user.user_id)
    for step in [*(["login", "offer", "confirm"] if enrolled else ["login"]), *steps]:
        with suppress(NotIdentified, ProofNeeded, TooManyTries, BadInput):
            story.do(step)
        w.now += 31 * SECOND
        story.check()
