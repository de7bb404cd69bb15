"""Coming in: one factor, two, again; and what a stranger can neither do nor tell."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from argon2.exceptions import VerifyMismatchError
from tests.identity_samples import (
    AWAY,
    CHEAP,
    HOME,
    HOUR,
    MINUTE,
    PASSWORD,
    SECOND,
    SITE,
    World,
    world,
)
from tests.soft_passkey import SoftPasskey

from regime_trading.adapters.identity import Argon2Passwords
from regime_trading.adapters.identity.passwords import Cost
from regime_trading.core.access import Answer, Grant, Permission, Role, Target, may
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.users import (
    Factor,
    NotIdentified,
    PasskeyAnswer,
    PasswordAgain,
    ProofNeeded,
    RecoveryCode,
    TooManyTries,
    TotpCode,
)
from regime_trading.services.people import OPERATOR, By

PM = Grant("alpha", Role.PM)
ADMIN = Grant("alpha", Role.ADMIN)
FIRM = Target("alpha")


@pytest.fixture
def w(tmp_path: Path) -> World:
    return world(tmp_path)


def refused(call: Any, *arguments: Any) -> None:
    with pytest.raises(NotIdentified, match="expected a valid login and proof"):
        call(*arguments)


# --- one factor -------------------------------------------------------------------------------------------------


def test_a_person_without_a_factor_is_in_with_the_password(w: World) -> None:
    user = w.person()
    opened = w.login("  MARY ")
    assert not opened.presence.awaits_factor and opened.presence.user == user
    principal = w.principal(opened.cookie)
    assert principal is not None and principal == opened.presence.principal
    assert (principal.grants, principal.second_factor) == ((Grant("alpha", Role.VIEWER),), False)
    (login,) = w.told(kind="LOGIN")
    assert (login["outcome"], login["method"], login["ip_prefix"]) == (
        "succeeded",
        "password",
        "203.0.113.0/24",
    )
    created = w.told(kind="ACCESS")[0]
    assert login["actor"]["id"] == created["subject"] != created["actor"]["id"]


@pytest.mark.parametrize("login", ["mary", "nobody", "not a login", "", "disabled", "invited", "x" * 5000])
def test_every_refusal_is_the_same_after_the_same_work(w: World, login: str) -> None:
    w.person()
    w.person("invited", password=None)
    w.members.disable(OPERATOR, None, w.person("disabled").user_id, w.now)
    work: list[str | None] = []

    class Counted:
        def verify(self, stored: str | None, password: str) -> bool:
            work.append(stored)
            return CHEAP.verify(stored, password)

    object.__setattr__(w.people, "passwords", Counted())
    password = "wrong-" + PASSWORD if login == "mary" else PASSWORD
    with pytest.raises(NotIdentified) as caught:
        w.login(login, password)
    assert str(caught.value) == str(NotIdentified()) and len(work) == 1
    assert w.told("_platform" if login in ("nobody", "not a login", "", "x" * 5000) else "alpha", "LOGIN")


def test_a_dummy_hash_is_as_much_work_as_a_real_one() -> None:
    slow = Argon2Passwords(Cost(memory_kib=64, passes=2))
    assert slow._nobodys.split("$")[:4] == slow.hash("x").split("$")[:4]
    assert not slow.verify(None, "x") and not slow.verify("nonsense", "x")
    with pytest.raises(VerifyMismatchError):  # not refused before the work
        slow._hasher.verify(slow._nobodys, "x")
    assert Argon2Passwords().hash("x").startswith("$argon2id$v=19$m=65536,t=3,p=1$")


def test_a_password_is_hashed_again_when_the_cost_changes(w: World) -> None:
    user = w.person()
    before = w.people.logins.account(user.user_id).password_hash  # type: ignore[union-attr]
    object.__setattr__(w.people, "passwords", Argon2Passwords(Cost(memory_kib=16, passes=1)))
    w.login()
    after = w.people.logins.account(user.user_id).password_hash  # type: ignore[union-attr]
    assert before != after and "m=16," in str(after)
    w.login()


def test_no_secret_is_stored_or_shown(w: World) -> None:
    w.person("mary", PM)
    opened = w.with_totp()
    made = w.tokens.make(
        opened.presence.principal, "alpha", "t", frozenset({Permission.READ}), None, w.now + HOUR, w.now
    )
    link = w.members.reset_link(OPERATOR, None, opened.presence.user.user_id, w.now)
    held = w.everything()
    for secret in (
        PASSWORD,
        opened.cookie,
        w.seeds["mary"],
        *w.codes,
        made.text,
        made.text.split("_")[2],
        link,
    ):
        assert secret not in held
        assert secret not in repr((opened, made, w.people))


# --- throttling -------------------------------------------------------------------------------------------------


def tries(
    w: World, count: int, address: str = HOME, login: str = "mary", password: str = "wrong"
) -> list[str]:
    found = []
    for _ in range(count):
        try:
            w.login(login, password, address)
            found.append("in")
        except TooManyTries:
            found.append("wait")
        except NotIdentified:
            found.append("no")
    return found


def test_five_tries_a_minute_and_then_longer_and_longer_waits(w: World) -> None:
    w.person()
    assert tries(w, 7) == ["no"] * 5 + ["wait"] * 2
    assert tries(w, 1, password=PASSWORD) == ["wait"], "not even the right one"
    waits = []
    for _ in range(5):
        with pytest.raises(TooManyTries) as caught:
            w.login()
        waits.append(caught.value.wait_ns // SECOND)
        w.now += caught.value.wait_ns
        assert tries(w, 2) == ["no", "wait"]
    assert waits == [60, 120, 240, 480, 900]
    w.now += HOUR
    assert tries(w, 1, password=PASSWORD) == ["in"]
    assert tries(w, 6) == ["no"] * 5 + ["wait"], "a success makes the budget whole"


def test_a_stranger_cannot_lock_anybody_out(w: World) -> None:
    w.person()
    cookie = w.login().cookie
    for n in range(30):
        tries(w, 6, address=f"198.51.{n}.9")
    assert tries(w, 1, password=PASSWORD) == ["in"]
    assert w.principal(cookie) is not None
    assert tries(w, 1, address="2001:db8::1", password=PASSWORD) == ["in"]


def test_one_address_prefix_has_twenty_tries_over_all_logins(w: World) -> None:
    w.person()
    found = [tries(w, 1, login=f"login-{n}", address=f"203.0.113.{n}")[0] for n in range(21)]
    assert found == ["no"] * 20 + ["wait"]
    assert tries(w, 1, address=AWAY, password=PASSWORD) == ["in"]


def test_successes_use_no_budget(w: World) -> None:
    w.person()
    assert tries(w, 25, password=PASSWORD) == ["in"] * 25


def test_many_tries_at_once_do_not_get_by(w: World) -> None:
    w.person()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: tries(w, 1)[0], range(12)))
    assert sorted(found) == ["no"] * 5 + ["wait"] * 7


def test_failures_are_counted_and_recorded_once_a_minute(w: World) -> None:
    w.person()
    tries(w, 9)
    failed = [e for e in w.told(kind="LOGIN") if e["outcome"] == "failed"]
    assert [e["count"] for e in failed] == [1]
    w.now += 2 * MINUTE
    tries(w, 1)
    failed = [e for e in w.told(kind="LOGIN") if e["outcome"] == "failed"]
    assert [e["count"] for e in failed] == [1, 9]


# --- two factors ------------------------------------------------------------------------------------------------


def test_with_a_factor_the_password_alone_permits_nothing(w: World) -> None:
    w.person("mary", PM)
    w.with_totp()
    logins = len(w.told(kind="LOGIN"))
    opened = w.login()
    assert opened.presence.awaits_factor and opened.presence.factors == {Factor.TOTP}
    principal = w.principal(opened.cookie)
    assert principal is not None and (principal.grants, principal.second_factor) == ((), False)
    assert may(principal, Permission.READ, FIRM, w.now) is Answer.UNKNOWN
    assert len(w.told(kind="LOGIN")) == logins, "recorded when it is done"
    for call in (w.factors.offer_totp, w.factors.new_recovery_codes):
        with pytest.raises(ProofNeeded):
            call(opened.cookie, w.now)
    refused(w.identity.step_up, opened.cookie, w.code(), HOME, w.now)
    refused(w.identity.second_step, opened.cookie, PasswordAgain(PASSWORD), HOME, w.now)
    done = w.identity.second_step(opened.cookie, w.code(), HOME, w.now)
    assert w.principal(opened.cookie) is None, "another cookie"
    principal = w.principal(done.cookie)
    assert principal is not None and principal.second_factor and principal.stepped_up_ns == w.now
    assert may(principal, Permission.TIGHTEN, FIRM, w.now) is Answer.ALLOWED
    assert w.told(kind="LOGIN")[-1]["method"] == "password+totp"


def test_a_code_counts_once_and_one_step_around_now(w: World) -> None:
    w.person()
    w.with_totp()
    for steps, fits in ((-2, False), (2, False), (-1, False), (0, True), (1, True)):  # -1 was used to enrol
        opened = w.login()
        if fits:
            code = w.code(steps=steps)
            w.identity.second_step(opened.cookie, code, HOME, w.now)
            refused(w.identity.second_step, w.login().cookie, code, HOME, w.now)
        else:
            refused(w.identity.second_step, opened.cookie, w.code(steps=steps), HOME, w.now)
    for code in ("", "12345", "1234567", "abcdef", "١٢٣٤٥٦"):
        w.now += HOUR
        refused(w.identity.second_step, w.login().cookie, TotpCode(code), HOME, w.now)


def test_one_code_used_by_many_at_once_counts_once(w: World) -> None:
    w.person()
    w.with_totp()
    cookies, code = [w.login().cookie for _ in range(4)], w.code()

    def use(cookie: str) -> bool:
        try:
            w.identity.second_step(cookie, code, HOME, w.now)
            return True
        except NotIdentified:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(use, cookies)) == 1


def test_guesses_of_a_code_are_few_wherever_they_come_from(w: World) -> None:
    w.person()
    w.with_totp()
    found = []
    for n in range(8):
        opened = w.login(address=f"198.51.{n}.9")
        try:
            w.identity.second_step(opened.cookie, TotpCode("000000"), f"198.51.{n}.9", w.now)
        except (NotIdentified, TooManyTries) as error:
            found.append(type(error))
    assert found == [NotIdentified] * 5 + [TooManyTries] * 3


def test_a_recovery_code_counts_once_and_is_no_step_up(w: World) -> None:
    w.person("mary", PM)
    opened = w.with_totp()
    assert len(set(w.codes)) == 10
    refused(w.identity.step_up, opened.cookie, RecoveryCode(w.codes[0]), HOME, w.now)
    typed = RecoveryCode(f" {w.codes[0].upper().replace('-', ' ')} ")
    done = w.identity.second_step(w.login().cookie, typed, HOME, w.now)
    assert done.presence.principal.second_factor
    refused(w.identity.second_step, w.login().cookie, typed, HOME, w.now)
    assert w.factors.of(done.presence.user.user_id).recovery_codes_left == 9
    fresh = w.factors.new_recovery_codes(done.cookie, w.now)
    refused(w.identity.second_step, w.login().cookie, RecoveryCode(w.codes[1]), HOME, w.now)
    w.identity.second_step(w.login().cookie, RecoveryCode(fresh[0]), HOME, w.now)


def test_somebody_elses_proof_does_not_count(w: World) -> None:
    w.person()
    w.with_totp()
    codes = w.codes
    w.person("john")
    w.with_totp("john")
    for proof in (w.code("mary", 1), RecoveryCode(codes[0])):
        refused(w.identity.second_step, w.login("john").cookie, proof, HOME, w.now)


def test_a_seed_that_was_moved_to_another_row_does_not_open(w: World) -> None:
    mary, john = w.person(), w.person("john")
    w.with_totp()
    w.with_totp("john")
    sealed = w.people.factors.totp(mary.user_id, confirmed=True)
    assert sealed is not None
    with w.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE totp_seeds SET sealed_seed = ? WHERE user_id = ?", (sealed[0], john.user_id)
        )
    with pytest.raises(CheckFailed, match="does not open"):
        w.identity.second_step(w.login("john").cookie, w.code("mary"), HOME, w.now)


# --- passkeys ---------------------------------------------------------------------------------------------------


def enrol(w: World, key: SoftPasskey, login: str = "mary") -> str:
    """Cookie of a session after ``key`` was enrolled."""
    opened = w.login(login)
    options = w.factors.passkey_creation(opened.cookie, SITE, w.now)
    return w.factors.add_passkey(opened.cookie, key.create(options), SITE, "my key", w.now).opened.cookie


def passkey(**more: Any) -> SoftPasskey:
    return SoftPasskey(SITE.origins[0], SITE.rp_id, **more)


@pytest.mark.parametrize("counts", [True, False])
def test_a_passkey_is_a_second_factor(w: World, counts: bool) -> None:
    w.person("mary", PM)
    key = passkey(counts=counts)
    assert w.principal(enrol(w, key)).second_factor  # type: ignore[union-attr]
    for _ in range(2):
        opened = w.login()
        assert opened.presence.awaits_factor
        answer = key.get(w.identity.passkey_options(opened.cookie, SITE, w.now))
        done = w.identity.second_step(opened.cookie, PasskeyAnswer(answer, SITE), HOME, w.now)
        assert w.principal(done.cookie).second_factor  # type: ignore[union-attr]
        refused(w.identity.second_step, w.login().cookie, PasskeyAnswer(answer, SITE), HOME, w.now)
    (stored,) = w.factors.of(done.presence.user.user_id).passkeys
    assert (stored.sign_count, stored.used_ns, stored.name) == (2 if counts else 0, w.now, "my key")


def _other_origin(key: SoftPasskey) -> None:
    key.origin = "http://evil.example"


def _other_site(key: SoftPasskey) -> None:
    key.rp_id = "evil.example"


def _not_verified(key: SoftPasskey) -> None:
    key.verified = False


def _copied(key: SoftPasskey) -> None:
    key.count -= 1


def _other_key(key: SoftPasskey) -> None:
    key.key = passkey().key


def _unknown(key: SoftPasskey) -> None:
    key.credential_id = b"another"


@pytest.mark.parametrize("wrong", [_other_origin, _other_site, _not_verified, _copied, _other_key, _unknown])
def test_an_answer_that_does_not_verify_is_refused(w: World, wrong: Any) -> None:
    w.person()
    key = passkey(count=5)
    enrol(w, key)
    opened = w.login()
    options = w.identity.passkey_options(opened.cookie, SITE, w.now)
    wrong(key)
    refused(w.identity.second_step, opened.cookie, PasskeyAnswer(key.get(options), SITE), HOME, w.now)


def test_a_challenge_counts_once_soon_and_in_its_session(w: World) -> None:
    w.person()
    key = passkey()
    enrol(w, key)
    opened, other = w.login(), w.login()
    options = w.identity.passkey_options(opened.cookie, SITE, w.now)
    w.identity.passkey_options(other.cookie, SITE, w.now)
    refused(w.identity.second_step, other.cookie, PasskeyAnswer(key.get(options), SITE), HOME, w.now)
    refused(w.identity.second_step, opened.cookie, PasskeyAnswer("{}", SITE), HOME, w.now)
    refused(w.identity.second_step, opened.cookie, PasskeyAnswer(key.get(options), SITE), HOME, w.now)
    options = w.identity.passkey_options(opened.cookie, SITE, w.now)
    w.now += 5 * MINUTE
    refused(w.identity.second_step, opened.cookie, PasskeyAnswer(key.get(options), SITE), HOME, w.now)


def test_a_passkey_is_enrolled_once(w: World) -> None:
    w.person()
    w.person("john")
    key = passkey()
    enrol(w, key)
    with pytest.raises(BadInput, match="enrolled already"):
        enrol(w, key, "john")
    for wrong in (_other_origin, _other_site, _not_verified):
        bad = passkey()
        wrong(bad)
        refused(enrol, w, bad, "john")
    opened = w.login("john")
    w.factors.passkey_creation(opened.cookie, SITE, w.now)
    refused(w.factors.add_passkey, opened.cookie, "x" * 100_000, SITE, "n", w.now)


# --- proving it again -------------------------------------------------------------------------------------------


def test_a_step_up_counts_for_five_minutes_and_changes_the_cookie(w: World) -> None:
    w.person("mary", ADMIN)
    opened = w.with_totp()
    w.now += 6 * MINUTE
    assert may(w.principal(opened.cookie), Permission.MANAGE_USERS, FIRM, w.now) is Answer.STEP_UP  # type: ignore[arg-type]
    refused(w.identity.step_up, opened.cookie, PasswordAgain(PASSWORD), HOME, w.now)
    done = w.identity.step_up(opened.cookie, w.code(), HOME, w.now)
    assert w.principal(opened.cookie) is None
    assert done.presence.session.session_id == opened.presence.session.session_id
    assert may(w.principal(done.cookie), Permission.MANAGE_USERS, FIRM, w.now) is Answer.ALLOWED  # type: ignore[arg-type]
    w.now += 5 * MINUTE + 1
    assert may(w.principal(done.cookie), Permission.MANAGE_USERS, FIRM, w.now) is Answer.STEP_UP  # type: ignore[arg-type]


def test_the_password_steps_up_only_who_needs_no_factor(w: World) -> None:
    w.person()
    w.person("john", PM)
    w.now += HOUR
    opened = w.login()
    w.now += 6 * MINUTE
    done = w.identity.step_up(opened.cookie, PasswordAgain(PASSWORD), HOME, w.now)
    assert w.principal(done.cookie).stepped_up_ns == w.now  # type: ignore[union-attr]
    assert not w.principal(done.cookie).second_factor  # type: ignore[union-attr]
    pm = w.login("john")
    assert pm.presence.principal.stepped_up_ns is None
    refused(w.identity.step_up, pm.cookie, PasswordAgain(PASSWORD), HOME, w.now)
    found = []
    for _ in range(7):
        try:
            w.identity.step_up(done.cookie, PasswordAgain("wrong"), HOME, w.now)
        except (NotIdentified, TooManyTries) as error:
            found.append(type(error))
    assert found == [NotIdentified] * 5 + [TooManyTries] * 2


def test_a_session_that_was_in_before_awaits_a_factor_enrolled_in_another(w: World) -> None:
    w.person()
    before = w.identity.step_up(w.login().cookie, PasswordAgain(PASSWORD), HOME, w.now)
    w.with_totp()
    principal = w.principal(before.cookie)
    assert principal is not None and (principal.grants, principal.second_factor) == ((), False)
    assert w.sessions.presence(before.cookie, w.now).awaits_factor  # type: ignore[union-attr]
    w.identity.second_step(before.cookie, w.code(), HOME, w.now)


def test_a_role_that_needs_a_factor_counts_for_nothing_without(w: World) -> None:
    w.person("mary", PM)
    opened = w.login()
    assert may(w.principal(opened.cookie), Permission.TIGHTEN, FIRM, w.now) is Answer.NO_FACTOR  # type: ignore[arg-type]
    w.now += 6 * MINUTE
    with pytest.raises(ProofNeeded):
        w.factors.offer_totp(opened.cookie, w.now)  # the login is no longer fresh
    w.with_totp()


def test_factors_are_removed_with_a_fresh_proof_and_not_the_last_of_a_pm(w: World) -> None:
    user = w.person("mary", PM)
    opened = w.with_totp()
    with pytest.raises(BadInput, match="another second factor left"):
        w.factors.remove(opened.cookie, Factor.TOTP, w.now)
    key = passkey()
    options = w.factors.passkey_creation(opened.cookie, SITE, w.now)
    enrolled = w.factors.add_passkey(opened.cookie, key.create(options), SITE, "", w.now)
    assert enrolled.recovery_codes == (), "codes come with the first factor"
    cookie = enrolled.opened.cookie
    w.now += 6 * MINUTE
    with pytest.raises(ProofNeeded):
        w.factors.remove(cookie, Factor.TOTP, w.now)
    cookie = w.identity.step_up(cookie, w.code(), HOME, w.now).cookie
    w.factors.remove(cookie, Factor.TOTP, w.now)
    with pytest.raises(BadInput, match="another second factor left"):
        w.factors.remove(cookie, Factor.PASSKEY, w.now, credential_id=key.credential_id)
    with pytest.raises(BadInput, match="a factor that is enrolled"):
        w.factors.remove(cookie, Factor.PASSKEY, w.now, credential_id=b"another")
    assert [e["detail"] for e in w.told(kind="ACCESS") if e["action"].startswith("factor")] == [
        "totp", "passkey", "totp",
    ]  # fmt: skip
    w.members.revoke(OPERATOR, "alpha", user.user_id, w.now, [Role.PM])
    w.members.grant(OPERATOR, user.user_id, Grant("alpha", Role.VIEWER), w.now)
    w.factors.remove(cookie, Factor.PASSKEY, w.now, credential_id=key.credential_id)
    assert w.factors.of(user.user_id).recovery_codes_left == 0
    assert not w.principal(cookie).second_factor  # type: ignore[union-attr]


# --- how long ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("grant", "idle"), [(Grant("alpha", Role.VIEWER), 30), (PM, 15), (ADMIN, 15)])
def test_a_session_ends_when_it_is_idle(w: World, grant: Grant, idle: int) -> None:
    w.person("mary", grant)
    opened = w.login()
    w.now += idle * MINUTE - 1
    assert w.principal(opened.cookie) is not None, "and is used now"
    w.now += idle * MINUTE - 1
    assert w.principal(opened.cookie) is not None
    w.now += idle * MINUTE
    assert w.principal(opened.cookie) is None


def test_a_session_ends_after_twelve_hours_whatever_happens(w: World) -> None:
    w.person()
    opened = w.login()
    for _ in range(71):
        w.now += 10 * MINUTE
        assert w.principal(opened.cookie) is not None
    w.now += 10 * MINUTE
    assert w.principal(opened.cookie) is None
    w.now -= 12 * HOUR + 2 * MINUTE
    assert w.principal(opened.cookie) is None, "nor before it began"


def test_the_last_use_is_written_at_most_once_a_minute(w: World) -> None:
    user = w.person()
    opened = w.login()
    began = w.now
    w.now += MINUTE - 1
    w.principal(opened.cookie)
    assert w.sessions.all(user.user_id, w.now)[0].seen_ns == began
    w.now += 1
    w.principal(opened.cookie)
    assert w.sessions.all(user.user_id, w.now)[0].seen_ns == w.now


def test_a_change_of_roles_counts_at_once(w: World) -> None:
    user = w.person("mary", PM)
    w.person("root", ADMIN)
    opened = w.with_totp()
    assert may(w.principal(opened.cookie), Permission.TIGHTEN, FIRM, w.now) is Answer.ALLOWED  # type: ignore[arg-type]
    w.members.grant(OPERATOR, user.user_id, Grant("alpha", Role.PM, frozenset({"alpha/a"})), w.now)
    assert may(w.principal(opened.cookie), Permission.TIGHTEN, FIRM, w.now) is Answer.NO_ROLE  # type: ignore[arg-type]
    w.members.revoke(OPERATOR, "alpha", user.user_id, w.now)
    assert may(w.principal(opened.cookie), Permission.READ, FIRM, w.now) is Answer.UNKNOWN  # type: ignore[arg-type]
    w.members.disable(OPERATOR, None, user.user_id, w.now)
    assert w.principal(opened.cookie) is None
    w.members.enable(OPERATOR, None, user.user_id, w.now)
    assert w.principal(opened.cookie) is None, "disabling ended it"


def test_sessions_are_listed_and_ended(w: World) -> None:
    user = w.person()
    one, two, three = (w.login(address=address) for address in (HOME, AWAY, HOME))
    assert {s.ip_prefix for s in w.sessions.all(user.user_id, w.now)} == {"203.0.113.0/24", "198.51.100.0/24"}
    assert w.sessions.all(user.user_id, w.now)[0].agent == "a browser"
    w.sessions.logout(one.cookie, w.now)
    w.sessions.logout(one.cookie, w.now)
    assert w.told(kind="LOGIN")[-1]["outcome"] == "ended"
    keep = three.presence.session.session_id
    assert w.sessions.end(By(user.user_id), user.user_id, w.now, keep=keep) == 1
    assert [w.principal(o.cookie) is not None for o in (one, two, three)] == [False, False, True]
    other = w.person("john")
    assert w.sessions.end(By(other.user_id), other.user_id, w.now, session_ids=[keep]) == 0
    assert w.told(kind="ACCESS")[-1]["action"] != "sessions_revoked", "nothing ended, nothing is told"
    assert w.sessions.end(OPERATOR, "usr-aaaaaaaaaaaaaaaa", w.now) == 0


def test_another_password_ends_every_other_session(w: World) -> None:
    w.person()
    one, two = w.login(), w.login()
    link = w.members.reset_link(OPERATOR, None, one.presence.user.user_id, w.now)
    refused(w.identity.change_password, one.cookie, "wrong", "another-good-pass-77", HOME, w.now)
    with pytest.raises(BadInput, match="password: expected 12 to 128"):
        w.identity.change_password(one.cookie, PASSWORD, "short", HOME, w.now)
    three = w.identity.change_password(one.cookie, PASSWORD, "another-good-pass-77", HOME, w.now)
    assert [w.principal(o.cookie) is not None for o in (one, two, three)] == [False, False, True]
    assert w.links.holder(link, w.now) is None
    refused(w.login)
    w.login(password="another-good-pass-77")


def test_a_cookie_that_is_none_is_nobodys(w: World) -> None:
    assert w.principal("") is None and w.principal("x" * 100_000) is None
    refused(w.identity.second_step, "x", TotpCode("000000"), HOME, w.now)


def test_nobody_is_in_where_the_store_cannot_be_written(w: World) -> None:
    w.person()
    with w.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON wal BEGIN SELECT RAISE(ABORT, 'disk'); END"
        )
    with pytest.raises(Exception, match="disk") as caught:
        w.login()
    assert not isinstance(caught.value, NotIdentified)
    with w.engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM sessions").scalar_one() == 0
        connection.exec_driver_sql("DROP TRIGGER full")


# --- elsewhere --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    issuer: str = "https://id.example"
    subject: str = "42"
    email_verified: bool = True


def test_an_identity_elsewhere_comes_in_only_where_it_was_linked(w: World) -> None:
    user = w.person()
    refused(w.identity.login_external, Said(), HOME, w.now)
    w.people.logins.link_external(user.user_id, Said.issuer, Said.subject)
    assert w.identity.login_external(Said(), HOME, w.now).presence.user == user
    for other in (Said(subject="43"), Said(issuer="https://other.example"), Said(email_verified=False)):
        refused(w.identity.login_external, other, HOME, w.now)
    w.with_totp()
    opened = w.identity.login_external(Said(), HOME, w.now)
    assert opened.presence.awaits_factor
    w.identity.second_step(opened.cookie, w.code(), HOME, w.now)
    assert w.told(kind="LOGIN")[-1]["method"] == "external+totp"
    w.members.disable(OPERATOR, None, user.user_id, w.now)
    refused(w.identity.login_external, Said(), HOME, w.now)
