"""People of firms, links, tokens and denials: what a firm can do, to whom, and what the record says of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.identity_samples import HOUR, MINUTE, PASSWORD, World, world

from regime_trading.adapters.database import SqlMessages
from regime_trading.core.access import (
    MATRIX,
    Answer,
    Caller,
    Denial,
    Grant,
    Permission,
    Principal,
    Role,
    Target,
    may,
)
from regime_trading.core.errors import BadInput
from regime_trading.core.users import NotIdentified
from regime_trading.services.people import OPERATOR, By
from regime_trading.services.tallied import record_denied, record_tallies

ADMIN, PM, VIEWER = Grant("alpha", Role.ADMIN), Grant("alpha", Role.PM), Grant("alpha", Role.VIEWER)
DAY = 24 * HOUR


@pytest.fixture
def w(tmp_path: Path) -> World:
    return world(tmp_path)


def acts(w: World, firm: str = "alpha") -> list[tuple[Any, ...]]:
    return [(e["action"], e["role"], e["accounts"]) for e in w.told(firm, "ACCESS")]


# --- members ----------------------------------------------------------------------------------------------------


def test_a_new_person_gets_a_role_and_a_link(w: World) -> None:
    root = w.person("root", ADMIN)
    grant = Grant("alpha", Role.ANALYST, frozenset({"alpha/b", "alpha/a"}), redact=True)
    made = w.members.create(By(root.user_id), "Mary@Example.org", " Mary Major ", grant, w.now)
    assert (made.user.login, made.user.name) == ("mary@example.org", "Mary Major")
    member = w.members.members("alpha")[0]
    assert (member.user, member.grants, member.invited, member.second_factor) == (
        made.user,
        (grant,),
        True,
        False,
    )
    assert acts(w)[-3:] == [
        ("user_created", "", None),
        ("role_granted", "analyst", ["alpha/a", "alpha/b"]),
        ("link_made", "", None),
    ]
    first, *_, last = w.told(kind="ACCESS")
    assert last["actor"]["id"] == first["subject"] and first["actor"]["id"] != first["subject"]
    names = {a.subject: (a.name, a.email) for a in w.people.actors("alpha").all()}
    assert names[f"user:{made.user.user_id}"] == ("Mary Major", "mary@example.org")
    messages = SqlMessages(w.engine, firm_id="alpha").after(0)
    assert [m.type for m in messages] == ["audit.append"] * len(acts(w))
    for said in (m.body for m in messages):
        assert "mary" not in said.lower()
    assert "mary" not in str(w.told()).lower()


def test_a_login_is_taken_once(w: World) -> None:
    w.person()
    for grant in (VIEWER, Grant("beta", Role.ADMIN)):
        with pytest.raises(BadInput, match="a login that is free"):
            w.members.create(OPERATOR, "MARY", "x", grant, w.now)
    assert w.members.members("beta") == () and w.told("beta") == []


@pytest.mark.parametrize(
    ("grant", "message"),
    [
        (Grant("alpha", Role.PM, frozenset()), "at least one account"),
        (Grant("alpha", Role.PM, frozenset({"beta/a"})), "an account of firm alpha"),
        (Grant("alpha", Role.PM, frozenset({"alpha/A b"})), "an id of a-z"),
        (Grant("_platform", Role.PM), "an id of a-z"),
    ],
)
def test_a_role_covers_accounts_of_its_firm(w: World, grant: Grant, message: str) -> None:
    user = w.person()
    for call in (lambda: w.members.create(OPERATOR, "j", "j", grant, w.now),
                 lambda: w.members.grant(OPERATOR, user.user_id, grant, w.now)):  # fmt: skip
        with pytest.raises(BadInput, match=message):
            call()


def test_nobody_changes_their_own_roles(w: World) -> None:
    root = w.person("root", ADMIN)
    with pytest.raises(BadInput, match="another person"):
        w.members.grant(By(root.user_id), root.user_id, PM, w.now)


def test_a_firm_acts_on_its_members_only(w: World) -> None:
    root = By(w.person("root", ADMIN).user_id)
    other = w.person("other", Grant("beta", Role.VIEWER)).user_id
    for call in (
        lambda: w.members.grant(root, other, VIEWER, w.now),
        lambda: w.members.revoke(root, "alpha", other, w.now),
        lambda: w.members.disable(root, "alpha", other, w.now),
        lambda: w.members.enable(root, "alpha", other, w.now),
        lambda: w.members.reset_link(root, "alpha", other, w.now),
        lambda: w.members.end_sessions(root, "alpha", other, w.now),
        lambda: w.members.grant(root, "usr-aaaaaaaaaaaaaaaa", VIEWER, w.now),
    ):
        with pytest.raises(BadInput, match="a member of the firm"):
            call()
    assert w.people.members("alpha").get(other) is None


def test_a_login_that_two_firms_rely_on_is_the_operators(w: World) -> None:
    root = By(w.person("root", ADMIN).user_id)
    both = w.person("both", VIEWER, Grant("beta", Role.PM)).user_id
    assert [g.firm_id for m in w.members.members("alpha") for g in m.grants] == ["alpha", "alpha"]
    for call in (
        lambda: w.members.disable(root, "alpha", both, w.now),
        lambda: w.members.reset_link(root, "alpha", both, w.now),
        lambda: w.members.end_sessions(root, "alpha", both, w.now),
    ):
        with pytest.raises(BadInput, match="the firm's own"):
            call()
    w.members.grant(root, both, PM, w.now)
    w.members.disable(OPERATOR, None, both, w.now)
    for firm in ("alpha", "beta"):
        assert acts(w, firm)[-1][0] == "user_disabled"
    assert w.told("alpha")[-1]["subject"] != w.told("beta")[-1]["subject"], "another pseudonym in each"


def test_the_last_admin_of_a_firm_stays(w: World) -> None:
    root = w.person("root", ADMIN).user_id
    less = Grant("alpha", Role.ADMIN, frozenset({"alpha/a"}))

    def ways(user_id: str) -> list[Any]:
        return [
            lambda: w.members.revoke(OPERATOR, "alpha", user_id, w.now),
            lambda: w.members.revoke(OPERATOR, "alpha", user_id, w.now, [Role.ADMIN]),
            lambda: w.members.disable(OPERATOR, None, user_id, w.now),
            lambda: w.members.grant(OPERATOR, user_id, less, w.now),
        ]

    before = w.told()
    w.person("half", less)
    w.members.disable(OPERATOR, None, w.person("gone", ADMIN).user_id, w.now)
    before = w.told()
    for way in ways(root):
        with pytest.raises(BadInput, match="an Admin of the firm left"):
            way()
    assert w.told() == before
    second = w.person("second", ADMIN).user_id
    w.members.disable(OPERATOR, None, root, w.now)
    for way in ways(second):
        with pytest.raises(BadInput, match="an Admin of the firm left"):
            way()


def test_two_admins_that_remove_each_other_at_once_leave_one(w: World) -> None:
    one, two = w.person("one", ADMIN).user_id, w.person("two", ADMIN).user_id

    def remove(pair: tuple[str, str]) -> bool:
        try:
            w.members.revoke(By(pair[0]), "alpha", pair[1], w.now)
            return True
        except BadInput:
            return False

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(remove, [(one, two), (two, one)])) == 1
    assert len(w.members.members("alpha")) == 1


def test_a_role_that_is_not_there_cannot_be_taken(w: World) -> None:
    user = w.person().user_id
    with pytest.raises(BadInput, match="a role of this member"):
        w.members.revoke(OPERATOR, "alpha", user, w.now, [Role.PM])
    with pytest.raises(BadInput, match="a role of this member"):
        w.members.revoke(OPERATOR, "alpha", user, w.now, [])


# --- links ------------------------------------------------------------------------------------------------------


def test_a_link_sets_a_password_once_within_a_day(w: World) -> None:
    made = w.members.create(OPERATOR, "mary", "Mary", VIEWER, w.now)
    assert w.links.holder(made.link, w.now) == made.user
    with pytest.raises(BadInput, match="without the login or the name"):
        w.links.set_password(made.link, "mary-mary-mary-12", w.now)
    assert w.links.set_password(made.link, PASSWORD, w.now) == made.user, "a refused password leaves the link"
    assert acts(w)[-1] == ("password_set", "", None)
    assert w.told()[-1]["actor"]["id"] == w.told()[-1]["subject"]
    for link in (made.link, "", "x" * 10_000):
        assert w.links.holder(link, w.now) is None
        with pytest.raises(NotIdentified):
            w.links.set_password(link, PASSWORD, w.now)
    late = w.members.reset_link(OPERATOR, None, made.user.user_id, w.now)
    w.now += DAY
    with pytest.raises(NotIdentified):
        w.links.set_password(late, PASSWORD, w.now)


def test_a_link_used_by_two_at_once_is_used_by_one(w: World) -> None:
    made = w.members.create(OPERATOR, "mary", "Mary", VIEWER, w.now)

    def use(n: int) -> bool:
        try:
            w.links.set_password(made.link, f"{PASSWORD}-{n}", w.now)
            return True
        except NotIdentified:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(use, range(4))) == 1


def test_a_reset_ends_sessions_and_earlier_links_and_keeps_factors(w: World) -> None:
    user = w.person("mary", PM)
    cookie = w.with_totp().cookie
    first = w.members.reset_link(OPERATOR, None, user.user_id, w.now)
    second = w.members.reset_link(OPERATOR, None, user.user_id, w.now)
    assert w.links.holder(first, w.now) is None
    w.links.set_password(second, "another-good-pass-77", w.now)
    assert w.principal(cookie) is None
    assert w.login(password="another-good-pass-77").presence.awaits_factor


def test_the_operator_can_drop_the_factors_of_a_lost_device(w: World) -> None:
    user = w.person("mary", PM)
    w.with_totp()
    with pytest.raises(BadInput, match="the operator of the server"):
        w.members.reset_link(By(user.user_id), "alpha", user.user_id, w.now, drops_factors=True)
    link = w.members.reset_link(OPERATOR, None, user.user_id, w.now, drops_factors=True)
    w.links.set_password(link, PASSWORD, w.now)
    assert acts(w)[-2:] == [("password_set", "", None), ("factor_removed", "", None)]
    opened = w.login()
    assert not opened.presence.awaits_factor and not opened.presence.principal.second_factor
    assert w.factors.of(user.user_id).recovery_codes_left == 0


def test_a_link_of_a_disabled_user_is_none(w: World) -> None:
    made = w.members.create(OPERATOR, "mary", "Mary", VIEWER, w.now)
    w.members.disable(OPERATOR, None, made.user.user_id, w.now)
    with pytest.raises(NotIdentified):
        w.links.set_password(made.link, PASSWORD, w.now)


# --- tokens -----------------------------------------------------------------------------------------------------


def maker(w: World, *grants: Grant) -> Principal:
    w.person("mary", *grants)
    return w.with_totp().presence.principal


def make(w: World, who: Principal, *permissions: Permission, **more: Any) -> Any:
    asked = {"accounts": None, "expires_ns": w.now + DAY} | more
    return w.tokens.make(who, "alpha", "bot", frozenset(permissions), now_ns=w.now, **asked)


def test_a_token_does_what_it_was_made_for_and_nothing_else(w: World) -> None:
    who = maker(w, PM)
    made = make(w, who, Permission.TIGHTEN, Permission.READ, accounts=frozenset({"alpha/a"}))
    found = w.tokens.principal_of_token(made.text, w.now)
    assert found is not None and (found.caller, found.session_id) == (Caller.TOKEN, made.token.token_id)
    a, b = Target("alpha", "alpha/a"), Target("alpha", "alpha/b")
    assert may(found, Permission.TIGHTEN, a, w.now) is Answer.ALLOWED
    assert may(found, Permission.TIGHTEN, b, w.now) is Answer.UNKNOWN
    assert may(found, Permission.KILL, a, w.now) is Answer.NOT_BY_TOKEN
    created = w.told()[-1]
    assert (created["action"], created["detail"]) == ("token_created", made.token.token_id)
    assert created["permissions"] == ["account.read", "config.tighten"]


@pytest.mark.parametrize("permission", sorted(p for p in Permission if MATRIX[p].by_person))
def test_what_needs_a_person_is_in_no_token(w: World, permission: Permission) -> None:
    with pytest.raises(BadInput, match="permissions of programs"):
        make(w, maker(w, PM, ADMIN), permission)


def test_a_token_is_asked_for_no_more_than_its_maker_has(w: World) -> None:
    who = maker(w, Grant("alpha", Role.ANALYST, frozenset({"alpha/a"})), Grant("beta", Role.PM))
    for asked in (
        {"permissions": (Permission.TIGHTEN,)},
        {"permissions": (Permission.READ,), "accounts": frozenset({"alpha/b"})},
        {"permissions": (Permission.READ,), "accounts": frozenset({"beta/a"})},
        {"permissions": (Permission.READ,), "accounts": frozenset()},
        {"permissions": ()},
        {"permissions": (Permission.READ,), "expires_ns": w.now + 90 * DAY + 1},
        {"permissions": (Permission.READ,), "expires_ns": w.now},
    ):
        permissions = asked.pop("permissions")
        with pytest.raises(BadInput):
            make(w, who, *permissions, **asked)
    made = make(w, who, Permission.READ, expires_ns=w.now + 90 * DAY)
    token = w.tokens.principal_of_token(made.text, w.now)
    assert token is not None and token.firms == ("alpha",)
    with pytest.raises(BadInput, match="a person with a session"):
        make(w, token, Permission.READ)


def test_a_pm_without_a_factor_makes_no_token_of_a_pm(w: World) -> None:
    w.person("mary", PM)
    with pytest.raises(BadInput, match="permissions of your own"):
        make(w, w.login().presence.principal, Permission.READ)


def test_a_token_is_worth_what_its_maker_is_now(w: World) -> None:
    who = maker(w, PM)
    made = make(w, who, Permission.TIGHTEN)

    def answer() -> Answer | None:
        found = w.tokens.principal_of_token(made.text, w.now)
        return None if found is None else may(found, Permission.TIGHTEN, Target("alpha", "alpha/a"), w.now)

    assert answer() is Answer.ALLOWED
    w.members.grant(OPERATOR, who.user_id, VIEWER, w.now)
    w.members.revoke(OPERATOR, "alpha", who.user_id, w.now, [Role.PM])
    assert answer() is Answer.NO_ROLE
    w.members.disable(OPERATOR, None, who.user_id, w.now)
    assert answer() is None
    w.members.enable(OPERATOR, None, who.user_id, w.now)
    assert answer() is Answer.NO_ROLE
    w.members.revoke(OPERATOR, "alpha", who.user_id, w.now)
    assert answer() is None


def test_a_token_that_is_wrong_late_or_revoked_is_nobodys(w: World) -> None:
    who = maker(w, PM)
    made = make(w, who, Permission.READ)
    for text in ("", made.text[:-1], made.text.upper(), f" {made.text}", made.text + "\n", "x" * 100_000):
        assert w.tokens.principal_of_token(text, w.now) is None
    assert w.tokens.principal_of_token(made.text, w.now + DAY) is None
    w.tokens.revoke(By(who.user_id), "alpha", made.token.token_id, w.now)
    assert w.tokens.principal_of_token(made.text, w.now) is None
    assert w.tokens.own(who.user_id, "alpha") == ()
    assert w.told()[-1]["action"] == "token_revoked"


def test_ones_own_tokens_are_revoked_and_an_admin_revokes_all(w: World) -> None:
    who = maker(w, PM)
    made = make(w, who, Permission.READ)
    root = By(w.person("root", ADMIN).user_id)
    for firm, own in (("alpha", True), ("beta", False)):
        with pytest.raises(BadInput, match="a token of yours"):
            w.tokens.revoke(root, firm, made.token.token_id, w.now, own=own)
    assert w.tokens.of_firm("alpha") == (made.token,) and w.tokens.of_firm("beta") == ()
    w.tokens.revoke(root, "alpha", made.token.token_id, w.now, own=False)
    assert w.tokens.of_firm("alpha") == ()


def test_the_last_use_of_a_token_is_written_at_most_once_a_minute(w: World) -> None:
    made = make(w, maker(w, PM), Permission.READ)
    began = w.now
    for later in (0, MINUTE - 1, MINUTE):
        w.tokens.principal_of_token(made.text, began + later)
        (token,) = w.tokens.of_firm("alpha")
        assert token.used_ns == (began + MINUTE if later == MINUTE else began)


# --- denials ----------------------------------------------------------------------------------------------------


def deny(
    w: World,
    who: Principal,
    target: Target,
    answer: Answer = Answer.NO_ROLE,
    route: str = "POST /v1/x",
    **more: str,
) -> None:
    record_denied(w.people, who, Denial(Permission.TIGHTEN, target, answer, route, **more), w.now)


def denials(w: World, firm: str = "alpha") -> list[tuple[Any, ...]]:
    return [(e["permission"], e["account"], e["answer"], e["count"]) for e in w.told(firm, "DENIED")]


def test_the_same_denial_is_counted_and_written_once_a_minute(w: World) -> None:
    w.person()
    who = w.login().presence.principal
    a, b = Target("alpha", "alpha/a"), Target("alpha", "alpha/b")
    for target in (a, a, a, b):
        deny(w, who, target)
    once = ("config.tighten", "alpha/a", "no_role", 1)
    assert denials(w) == [once, ("config.tighten", "alpha/b", "no_role", 1)]
    w.now += MINUTE
    deny(w, who, a)
    assert denials(w)[2:] == [("config.tighten", "alpha/a", "no_role", 3)], "two that waited, and this one"
    deny(w, who, a)
    w.now += MINUTE + 1
    assert record_tallies(w.people, "alpha", w.now) == 1
    assert denials(w)[3:] == [once]
    assert record_tallies(w.people, "alpha", w.now) == 0 and len(denials(w)) == 4
    assert w.told()[-1]["actor"]["id"] == w.told(kind="LOGIN")[0]["actor"]["id"]


def test_denials_of_several_processes_add_up(w: World) -> None:
    w.person()
    who = w.login().presence.principal
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: deny(w, who, Target("alpha")), range(20)))
    w.now += MINUTE + 1
    record_tallies(w.people, "alpha", w.now)
    assert sum(found[-1] for found in denials(w)) == 20 and len(denials(w)) == 2


def sought(w: World, firm: str = "alpha") -> list[tuple[Any, ...]]:
    return [(e["what"], e["asked"], e["count"], e["correlation_id"]) for e in w.told(firm, "DENIED")]


def test_trying_out_names_fills_no_record(w: World) -> None:
    """What is not there leaves one trace a minute, in one's own firm, whatever firm was named: the first name, and how
    many came after it."""
    w.person()
    who = w.login().presence.principal
    for n in range(30):
        for firm in ("beta", "alpha"):
            name = f"{firm}/{n}"
            deny(w, who, Target(firm), Answer.UNKNOWN, what="account", name=name, request_id=f"r{n:08}")
    deny(w, who, Target("Beta!"), Answer.UNKNOWN, "GET /v1/other", what="account", name="Beta!/'; drop")
    assert denials(w) == [("config.tighten", "", "unknown", 1)] * 2
    assert sought(w) == [
        ("account", "beta/0", 1, "request-r00000000"),
        ("account", "Beta!/'; drop", 1, ""),
    ]
    w.now += MINUTE
    deny(w, who, Target("beta"), Answer.UNKNOWN, what="account", name="beta/later")
    assert sought(w)[2:] == [("account", "beta/later", 60, "")], "59 that waited, and this one"
    deny(w, who, Target("beta"), Answer.UNKNOWN, what="account", name="beta/last")
    w.now += MINUTE + 1
    record_tallies(w.people, "alpha", w.now)
    assert sought(w)[3:] == [("account", "", 1, "")], "counted, and not named"
    assert w.told("_platform", "DENIED") == [] and w.told("beta") == []
    assert w.told(kind="DENIED")[0]["rationale"] == "config.tighten denied: no such account."


def test_what_is_not_there_is_told_to_every_firm_of_the_person(w: World) -> None:
    grants = tuple(Grant(firm, Role.PM, None) for firm in ("alpha", "beta"))
    who = Principal(w.person().user_id, grants)
    deny(w, who, Target("beta"), Answer.UNKNOWN, what="job", name="job-1")
    assert sought(w) == [] and sought(w, "beta") == [("job", "job-1", 1, "")]
    for firm in ("", "gamma"):
        deny(w, who, Target(firm), Answer.UNKNOWN, f"GET /{firm}", what="preview", name="pv-1")
    assert sought(w) == [("preview", "pv-1", 1, "")] * 2 == sought(w, "beta")[1:]
    deny(w, replace(who, grants=()), Target("alpha"), Answer.UNKNOWN, what="firm", name="alpha")
    assert sought(w, "_platform") == [("firm", "alpha", 1, "")] and len(sought(w)) == 2


def test_a_name_that_was_asked_for_is_masked_and_cut(w: World) -> None:
    who = Principal(w.person().user_id, (Grant("alpha", Role.PM, None),))
    names = ("eve@example.com", "x" * 400, "two\nlines", "", "a" * 70 + "-eve@example.com")
    for n, name in enumerate(names):
        deny(w, who, Target("alpha"), Answer.UNKNOWN, f"GET /{n}", what="job", name=name)
    told = [one[1] for one in sought(w)]
    assert "example" not in "".join(told) and max(map(len, told)) == 80
    assert told[1] == "x" * 79 + "…" and told[2:4] == ["two lines", ""]
