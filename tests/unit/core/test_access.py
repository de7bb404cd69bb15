"""Who may do what: every role and permission against the table, and what a role can never do."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regime_trading.core.access import (
    MATRIX,
    SECOND_FACTOR_ROLES,
    STEP_UP_NS,
    Answer,
    Caller,
    Grant,
    Permission,
    Principal,
    Reach,
    Role,
    Target,
    held,
    is_fresh,
    may,
    reachable,
    shows_amounts,
)

NOW = 1_700_000_000_000_000_000
MAIN, CORE = "alpha/main", "alpha/core"

TABLE = """
account.read      viewer analyst pm admin
config.read       -      analyst pm admin
audit.read        -      analyst pm admin
audit.export      -      -       -  admin
run.start         -      analyst pm admin
run.cancel        -      analyst pm admin
basket.propose    -      analyst pm -
basket.submit     -      -       pm -
basket.approve    -      -       pm -
config.draft      -      analyst pm admin
config.tighten    -      -       pm admin
config.loosen     -      -       pm -
config.approve    -      -       pm admin
override.add      -      -       pm admin
halt.pause        -      analyst pm admin
halt.flatten      -      -       pm admin
firm.halt         -      -       pm admin
unlock.request    -      -       pm -
unlock.approve    -      -       pm admin
mode.shadow       -      -       pm admin
mode.live         -      -       pm -
mode.approve_live -      -       -  admin
order.exit        -      -       pm -
user.read         -      -       pm admin
user.manage       -      -       -  admin
token.own         viewer analyst pm admin
record.purge      -      -       -  admin
"""
ALLOWED = {row.split()[0]: set(row.split()[1:]) - {"-"} for row in TABLE.strip().splitlines()}


def person(role: Role, accounts: frozenset[str] | None = None, **more: object) -> Principal:
    known = {"second_factor": True, "stepped_up_ns": NOW} | more
    return Principal("u1", (Grant("alpha", role, accounts),), **known)  # type: ignore[arg-type]


def test_every_permission_is_in_the_table() -> None:
    assert set(MATRIX) == set(Permission) and {p.value for p in Permission} == set(ALLOWED)


@pytest.mark.parametrize(("permission", "role"), list(product(Permission, Role)))
def test_the_table(permission: Permission, role: Role) -> None:
    expected = Answer.ALLOWED if role.value in ALLOWED[permission.value] else Answer.NO_ROLE
    assert may(person(role), permission, Target("alpha", MAIN), NOW) is expected
    assert may(person(role), permission, Target("alpha"), NOW) is expected
    assert may(person(role), permission, Target("beta", "beta/main"), NOW) is Answer.UNKNOWN
    assert may(person(role), permission, Target("beta"), NOW) is Answer.UNKNOWN


@pytest.mark.parametrize(("permission", "role"), list(product(Permission, Role)))
def test_of_some_accounts_only(permission: Permission, role: Role) -> None:
    """Another account does not exist; the firm as a whole is not theirs, its name is."""
    one = person(role, frozenset({MAIN}))
    has = role.value in ALLOWED[permission.value]
    reach = MATRIX[permission].reach
    on_it = has and reach is not Reach.FIRM
    assert (may(one, permission, Target("alpha", MAIN), NOW) is Answer.ALLOWED) == on_it
    assert may(one, permission, Target("alpha", CORE), NOW) is Answer.UNKNOWN
    of_firm = has and reach is Reach.MEMBER
    assert may(one, permission, Target("alpha"), NOW) is (Answer.ALLOWED if of_firm else Answer.NO_ROLE)


@pytest.mark.parametrize(("permission", "role"), list(product(Permission, Role)))
def test_what_it_takes(permission: Permission, role: Role) -> None:
    if role.value not in ALLOWED[permission.value]:
        return
    rule, target = MATRIX[permission], Target("alpha", MAIN)
    bare = may(person(role, second_factor=False), permission, target, NOW)
    assert (bare is Answer.NO_FACTOR) == (role in SECOND_FACTOR_ROLES)
    for stepped_up in (None, NOW - STEP_UP_NS - 1, NOW + 1):
        answer = may(person(role, stepped_up_ns=stepped_up), permission, target, NOW)
        assert answer is (Answer.STEP_UP if rule.step_up else Answer.ALLOWED)
    token = person(role, caller=Caller.TOKEN)
    assert may(token, permission, target, NOW) is (Answer.NOT_BY_TOKEN if rule.by_person else Answer.ALLOWED)


@pytest.mark.parametrize("permission", Permission)
def test_a_token_does_what_it_was_made_for_and_no_more(permission: Permission) -> None:
    token = person(Role.PM, caller=Caller.TOKEN, permissions=frozenset({Permission.READ}))
    answer = may(token, permission, Target("alpha", MAIN), NOW)
    assert answer is (Answer.ALLOWED if permission is Permission.READ else Answer.NOT_BY_TOKEN)


def test_approvals_live_and_users_are_never_for_a_token() -> None:
    never = {p for p, rule in MATRIX.items() if rule.by_person}
    assert never >= {p for p in Permission if "approve" in p.value or p.value in ("mode.live", "user.manage")}


@given(
    st.lists(
        st.builds(
            Grant,
            st.sampled_from(["alpha", "beta"]),
            st.sampled_from(Role),
            st.none() | st.frozensets(st.sampled_from([MAIN, CORE, "beta/main"])),
        ),
        max_size=4,
    ),
    st.sampled_from(Permission),
    st.sampled_from([MAIN, CORE, "beta/main", None]),
)
def test_more_grants_never_take_anything_away(
    grants: list[Grant], permission: Permission, account: str | None
) -> None:
    target = Target("alpha" if account is None else account.split("/")[0], account)

    def answer(some: list[Grant]) -> bool:
        principal = Principal("u1", tuple(some), second_factor=True, stepped_up_ns=NOW)
        return may(principal, permission, target, NOW) is Answer.ALLOWED

    allowed = [answer(grants[:n]) for n in range(len(grants) + 1)]
    assert allowed == sorted(allowed)
    whole = Principal("u1", tuple(grants), second_factor=True, stepped_up_ns=NOW)
    told = [one for one in held(whole) if one.permission is permission and one.firm_id == target.firm_id]
    if allowed[-1] and account is not None:
        assert told and (told[0].accounts is None or account in told[0].accounts)
    assert reachable(whole, permission, [MAIN], NOW) == [MAIN] or not answer_for(whole, permission)


def answer_for(principal: Principal, permission: Permission) -> bool:
    return may(principal, permission, Target("alpha", MAIN), NOW) is Answer.ALLOWED


def test_what_screens_are_told() -> None:
    mixed = Principal(
        "u1",
        (Grant("alpha", Role.VIEWER), Grant("alpha", Role.PM, frozenset({MAIN, CORE}))),
        second_factor=False,
    )
    told = {one.permission: one for one in held(mixed)}
    assert told[Permission.READ].accounts is None and told[Permission.READ].needs == ()
    assert told[Permission.KILL].accounts == (CORE, MAIN)
    assert told[Permission.KILL].needs == ("second_factor",)
    assert told[Permission.REQUEST_LIVE].needs == ("second_factor", "step_up")
    assert Permission.KILL_FIRM not in told and Permission.MANAGE_USERS not in told
    token = Principal("u1", mixed.grants, Caller.TOKEN, True, permissions=frozenset({Permission.READ}))
    assert [one.permission for one in held(token)] == [Permission.READ]


def test_amounts_are_shown_where_any_role_shows_them() -> None:
    shy = Grant("alpha", Role.ANALYST, redact=True)
    assert not shows_amounts(Principal("u1", (shy,)), MAIN)
    assert not shows_amounts(Principal("u1", (Grant("alpha", Role.VIEWER, frozenset({CORE})), shy)), MAIN)
    assert shows_amounts(Principal("u1", (shy, Grant("alpha", Role.VIEWER, frozenset({MAIN})))), MAIN)


def test_a_proof_of_identity_ages() -> None:
    assert is_fresh(NOW, NOW) and is_fresh(NOW - STEP_UP_NS, NOW)
    assert not is_fresh(NOW - STEP_UP_NS - 1, NOW) and not is_fresh(NOW + 1, NOW) and not is_fresh(None, NOW)
