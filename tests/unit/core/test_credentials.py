"""Passwords, logins, tokens, budgets and sessions as pure rules."""

from __future__ import annotations

import string
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regime_trading.core.access import (
    MATRIX,
    Answer,
    Grant,
    Permission,
    Principal,
    Role,
    Target,
    may,
    shows_amounts,
)
from regime_trading.core.api_tokens import PREFIX, check_token, parse_token, token_from
from regime_trading.core.credentials import (
    id_from,
    keyed_hash,
    normal_login,
    plain_recovery_code,
    recovery_code_from,
    require_login,
    require_user_id,
    secret_from,
)
from regime_trading.core.errors import BadInput
from regime_trading.core.passwords import check_password
from regime_trading.core.sessions import (
    ABSOLUTE_NS,
    IDLE_NS,
    IDLE_TRUSTED_NS,
    SKEW_NS,
    is_alive,
    session_principal,
    token_principal,
)
from regime_trading.core.throttling import (
    FORGET_NS,
    PER_LOGIN,
    PER_PREFIX,
    WINDOW_NS,
    Budget,
    Tries,
    admit,
    given_back,
)
from regime_trading.core.users import Account, ApiToken, Factor, Session, User

SECOND = 10**9
FEW = settings(max_examples=150, deadline=None, derandomize=True, database=None)

# --- passwords --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "good",
    [
        "violet-anchor-42", "correct horse sandwich lamp", "tzPq9!kdmWx2", "ünïcödé wörds", "98230471650398",
        "x" * 3 + "quite another thing", "パスワードより長い文章です。",
    ],
)  # fmt: skip
def test_a_long_password_is_accepted_whatever_it_is_made_of(good: str) -> None:
    assert check_password(good, "mary@example.org", "Mary Major")


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ("", "12 to 128 characters"),
        ("elevenchars", "12 to 128 characters"),
        ("violet-anchor-" * 10, "12 to 128 characters"),
        ("my-mary@example.org!", "without the login"),
        ("hello-MAJOR-tom-9", "without the login"),
        ("xx-example-77-yy", "without the login"),
        ("aaaaaaaaaaaaaaaa", "more than a sequence"),
        ("abababababab", "more than a sequence"),
        ("violetviolet", "more than a sequence"),
        ("violet1violet1v", "more than a sequence"),
        ("123456789012", "more than a sequence"),
        ("abcdefghijklm", "more than a sequence"),
        ("mlkjihgfedcba", "more than a sequence"),
        ("qwertyuiopasdf", "more than a sequence"),
        ("1122334455667788", "more than a sequence"),
        ("password1234", "among the commonest"),
        ("P@ssw0rd!2026", "among the commonest"),
        ("Welcome-12345", "among the commonest"),
        ("iloveyou!!2026", "among the commonest"),
        ("correcthorsebatterystaple", "12 to 128|commonest"),
        ("TradingAdmin2026", "among the commonest"),
    ],
)
def test_a_password_that_is_guessed_first_is_refused_without_repeating_it(bad: str, expected: str) -> None:
    if bad == "correcthorsebatterystaple":
        bad = "correct-horse-battery"
    with pytest.raises(BadInput, match=expected) as caught:
        check_password(bad, "mary@example.org", "Mary Major")
    assert not bad or bad not in str(caught.value)


def test_the_same_characters_are_the_same_password() -> None:
    assert check_password("ｖiolet-ancho\u0072-42", "m", "M") == check_password("violet-anchor-42", "m", "M")
    assert check_password("cafe\u0301-au-lait-7", "m", "M") == check_password("café-au-lait-7", "m", "M")


# --- names and secrets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "login"),
    [
        (" Mary@Example.ORG ", "mary@example.org"), ("mary", "mary"), ("m.a-r_y+1@x", "m.a-r_y+1@x"),
        ("", None), ("a b", None), ("@x", None), ("mary@", None), ("mаry", None), ("x" * 65, None),
        ("a" * 60 + "@" + "b" * 60, None), ("mary\n", "mary"), ("ma\x00ry", None), ("a@b@c", None),
    ],
)  # fmt: skip
def test_a_login_is_one_way_of_writing_it(typed: str, login: str | None) -> None:
    assert normal_login(typed) == login
    if login is None:
        with pytest.raises(BadInput, match="an e-mail address or a name"):
            require_login(typed)


def test_ids_and_secrets_are_made_of_entropy_alone() -> None:
    assert id_from("usr", bytes(10)) == "usr-aaaaaaaaaaaaaaaa" == require_user_id("usr-aaaaaaaaaaaaaaaa")
    assert secret_from(bytes(32)) == "a" * 52
    assert (
        plain_recovery_code(f" {recovery_code_from(bytes(range(10))).upper()} ")
        == id_from("r", bytes(range(10)))[2:]
    )
    for call in (
        lambda: id_from("usr", b""),
        lambda: secret_from(bytes(31)),
        lambda: require_user_id("usr-1"),
    ):
        with pytest.raises(BadInput):
            call()
    hashes = {keyed_hash(key, purpose, "s") for key in (b"k", b"l") for purpose in ("session", "token")}
    assert len(hashes) == 4


# --- tokens -----------------------------------------------------------------------------------------------------

made = st.builds(token_from, st.binary(min_size=7, max_size=7), st.binary(min_size=32, max_size=32))


@FEW
@given(made)
def test_a_token_is_read_back(token: object) -> None:
    assert parse_token(token.text) == token  # type: ignore[attr-defined]
    assert token.text.startswith(f"{PREFIX}_") and token.secret not in repr(token)  # type: ignore[attr-defined]


@FEW
@given(made, st.data())
def test_a_token_with_one_wrong_character_is_none(token: object, data: st.DataObject) -> None:
    text: str = token.text  # type: ignore[attr-defined]
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(
        st.sampled_from(sorted(set(string.ascii_letters + string.digits + "_- é") - {text[at]}))
    )
    assert parse_token(text[:at] + other + text[at + 1 :]) is None
    assert parse_token(text[:at] + text[at + 1 :]) is None
    assert parse_token(text + other) is None


@pytest.mark.parametrize("sizes", [(6, 32), (7, 31), (0, 0)])
def test_a_token_is_made_of_enough(sizes: tuple[int, int]) -> None:
    with pytest.raises(BadInput):
        token_from(bytes(sizes[0]), bytes(sizes[1]))


accounts = st.none() | st.frozensets(st.sampled_from(["alpha/a", "alpha/b", "beta/a"]), min_size=1)
grant = st.builds(
    Grant, st.sampled_from(["alpha", "beta"]), st.sampled_from(list(Role)), accounts, st.booleans()
)
permissions = st.frozensets(st.sampled_from(list(Permission)))
TARGETS = [Target(f, a) for f in ("alpha", "beta") for a in (None, f"{f}/a", f"{f}/b", f"{f}/c")]


@FEW
@given(
    st.lists(grant, max_size=4),
    st.lists(grant, max_size=4),
    permissions,
    accounts,
    st.booleans(),
    st.booleans(),
)
def test_a_token_never_has_more_than_its_maker(
    then: list[Grant], now: list[Grant], asked: frozenset[Permission], over: frozenset[str] | None,
    factor: bool, still: bool,
) -> None:  # fmt: skip
    """Whatever the maker's roles were when it was made and are now: what a token may, its maker may, fully proved."""
    user = User("usr-a", "mary", "Mary", 0)
    token = ApiToken("t", "alpha", "usr-a", "bot", asked, over, factor, 0, 100)
    found = token_principal(
        token, Account(user, None, tuple(now), frozenset({Factor.TOTP} if still else ())), 50
    )
    maker = Principal("usr-a", tuple(now), second_factor=factor and still, stepped_up_ns=50)
    allowed = set()
    if found is not None:
        for permission in Permission:
            for target in TARGETS:
                if may(found, permission, target, 50) is Answer.ALLOWED:
                    allowed.add(permission)
                    assert may(maker, permission, target, 50) is Answer.ALLOWED
                    assert target.firm_id == "alpha" and permission in asked
                    assert over is None or target.account in over or MATRIX[permission].reach == "member"
        for target in TARGETS:
            if target.account and shows_amounts(found, target.account):
                assert shows_amounts(maker, target.account)
    assert not any(MATRIX[permission].by_person for permission in allowed)
    before = Principal("usr-a", tuple(then), second_factor=factor)
    try:
        check_token(before, "alpha", asked, over)
    except BadInput:
        return
    fresh = replace(before, stepped_up_ns=50)
    for permission in asked:
        assert any(may(fresh, permission, target, 50) is Answer.ALLOWED for target in TARGETS)


@pytest.mark.parametrize("at", [100, 101])
def test_a_token_ends(at: int) -> None:
    account = Account(User("usr-a", "mary", "Mary", 0), None, (Grant("alpha", Role.VIEWER),), frozenset())
    token = ApiToken("t", "alpha", "usr-a", "bot", frozenset({Permission.READ}), None, False, 0, 100)
    assert token_principal(token, account, 99) is not None and token_principal(token, account, at) is None
    assert token_principal(replace(token, user_id="usr-b"), account, 50) is None


# --- sessions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "created", "seen", "alive"),
    [
        (Role.VIEWER, 0, 0, True),
        (Role.VIEWER, 0, IDLE_NS - 1, True),
        (Role.VIEWER, 0, IDLE_NS, False),
        (Role.PM, 0, IDLE_TRUSTED_NS - 1, True),
        (Role.PM, 0, IDLE_TRUSTED_NS, False),
        (Role.VIEWER, ABSOLUTE_NS - 1, 0, True),
        (Role.VIEWER, ABSOLUTE_NS, 0, False),
        (Role.VIEWER, -SKEW_NS, -SKEW_NS, True),
        (Role.VIEWER, -SKEW_NS - 1, 0, False),
        (Role.VIEWER, 0, -SKEW_NS - 1, False),
    ],
)
def test_how_long_a_session_lasts(role: Role, created: int, seen: int, alive: bool) -> None:
    """``created`` and ``seen`` are how long ago."""
    now = 10**18
    session = Session("ses-a", "usr-a", now - created, now - seen, "password")
    account = Account(User("usr-a", "mary", "Mary", 0), None, (Grant("alpha", role),), frozenset())
    assert is_alive(session, account, now) is alive
    assert not is_alive(session, replace(account, user=replace(account.user, disabled_ns=1)), now)
    assert not is_alive(replace(session, user_id="usr-b"), account, now)


@FEW
@given(st.booleans(), st.sets(st.sampled_from(list(Factor))), st.none() | st.integers(0, 9), st.lists(grant))
def test_a_session_that_awaits_its_factor_is_nobodys(
    proved: bool, factors: set[Factor], stepped: int | None, grants: list[Grant]
) -> None:
    session = Session("ses-a", "usr-a", 0, 0, "password", second_factor=proved, stepped_up_ns=stepped)
    account = Account(User("usr-a", "mary", "Mary", 0), None, tuple(grants), frozenset(factors))
    found = session_principal(session, account)
    assert found.second_factor == (proved and bool(factors))
    if factors and not proved:
        assert (found.grants, found.stepped_up_ns) == ((), None)
    else:
        assert (found.grants, found.stepped_up_ns) == (tuple(grants), stepped)


# --- budgets ----------------------------------------------------------------------------------------------------

waits = st.lists(st.integers(0, 100 * SECOND) | st.just(WINDOW_NS), max_size=80)


@FEW
@given(waits, st.sampled_from([PER_LOGIN, PER_PREFIX, Budget(1, 120 * SECOND)]))
def test_no_minute_lets_through_more_than_the_budget_twice_over(gaps: list[int], budget: Budget) -> None:
    """A window may begin anywhere, so two of them can meet in a minute; after the first wait it is one at a time."""
    tries, now, through = None, 10**18, []
    for gap in gaps:
        now += gap
        admission = admit(tries, budget, now)
        tries = admission.tries
        assert admission.wait_ns <= budget.longest_ns
        if not admission.wait_ns:
            through.append(now)
    for start in through:
        assert sum(start <= at < start + WINDOW_NS for at in through) <= 2 * budget.tries


def test_whoever_waits_is_let_through_and_quiet_forgets() -> None:
    tries, now = None, 10**18
    for _ in range(40):
        admission = admit(tries, PER_LOGIN, now)
        tries, now = admission.tries, now + admission.wait_ns
        if admission.wait_ns:
            after = admit(tries, PER_LOGIN, now)
            assert after.wait_ns == 0
            assert after.tries.until_ns - now <= PER_LOGIN.longest_ns
            tries = after.tries
    assert tries is not None and tries.strikes > 5
    assert admit(tries, PER_LOGIN, now + FORGET_NS).tries == Tries(1, now + FORGET_NS, now + FORGET_NS)


def test_what_is_given_back_does_not_count() -> None:
    first = admit(None, PER_LOGIN, 5).tries
    assert given_back(first).count == 0 and given_back(given_back(first)).count == 0
