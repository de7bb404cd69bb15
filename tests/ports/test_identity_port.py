"""What every store of people must do. SQLite and a real PostgreSQL are both held to it (``conftest.py``)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import Engine
from tests.record_samples import event

from regime_trading.adapters.database import (
    SqlApiTokens,
    SqlAuditLog,
    SqlFactors,
    SqlLogins,
    SqlMembers,
    SqlSessions,
    SqlTallies,
    SqlThrottles,
)
from regime_trading.core.access import Grant, Permission, Role
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.ports import ApiTokens, Factors, Logins, Members, Sessions, Tallies, Throttles
from regime_trading.core.schemas import AuditEvent
from regime_trading.core.throttling import PER_LOGIN, PER_PREFIX
from regime_trading.core.users import (
    Account,
    ApiToken,
    Factor,
    Member,
    NotIdentified,
    OneTimeLink,
    Passkey,
    Rotation,
    Session,
    Spent,
    Tally,
    Told,
    User,
)

MARY = User("usr-aaaaaaaaaaaaaaaa", "mary@example.org", "Mary Major", 5)
JOHN = User("usr-bbbbbbbbbbbbbbbb", "john", "John", 6)
SESSION = Session(
    "ses-aaaaaaaaaaaaaaaa", MARY.user_id, 10, 10, "password", ip_prefix="203.0.113.0/24", agent="b"
)
ADMIN, PM = (
    Grant("alpha", Role.ADMIN),
    Grant("alpha", Role.PM, frozenset({"alpha/b", "alpha/a"}), redact=True),
)
NOTHING = Told()
SECOND = 10**9
FAR = 2**62


@dataclass
class Store:
    """Every repository of people, each over an engine of its own, as in several processes."""

    database: Callable[[], Engine]

    def __post_init__(self) -> None:
        engine = self.database()
        self.logins: Logins = SqlLogins(engine)
        self.sessions: Sessions = SqlSessions(self.database())
        self.factors: Factors = SqlFactors(self.database())
        self.throttles: Throttles = SqlThrottles(engine)
        self.engine = engine

    def members(self, firm_id: str = "alpha") -> Members:
        return SqlMembers(self.engine, firm_id=firm_id)

    def tokens(self, firm_id: str = "alpha") -> ApiTokens:
        return SqlApiTokens(self.engine, firm_id=firm_id)

    def tallies(self, firm_id: str = "alpha") -> Tallies:
        return SqlTallies(self.engine, firm_id=firm_id)

    def audit(self, firm_id: str = "alpha") -> int:
        return SqlAuditLog(self.engine, firm_id=firm_id).head(f"dry_run/run-1/{firm_id}/main")[0]

    def create(self, user: User = MARY, grant: Grant = ADMIN, told: Told = NOTHING) -> None:
        link = OneTimeLink(user.user_id, user.created_ns, FAR)
        self.members(grant.firm_id).create(user, grant, f"link-{user.user_id}", link, told)

    def account(self, user: User = MARY) -> Account:
        found = self.logins.account(user.user_id)
        assert found is not None
        return found

    def with_password(self, user: User = MARY, grant: Grant = ADMIN) -> None:
        self.create(user, grant)
        self.logins.use_link(f"link-{user.user_id}", 7, "hash-1", NOTHING)


@pytest.fixture
def store(database: Callable[[], Engine]) -> Store:
    return Store(database)


def entry(seq: int, firm: str = "alpha") -> AuditEvent:
    return event(seq, firm=firm)


# --- people -----------------------------------------------------------------------------------------------------


def test_a_person_is_found_by_login_and_id_with_roles_and_factors(store: Store) -> None:
    assert store.logins.by_login("mary@example.org") is None and store.members().all() == ()
    store.create()
    store.members().grant(MARY.user_id, PM, 8, NOTHING)
    store.members("beta").grant(MARY.user_id, Grant("beta", Role.VIEWER), 8, NOTHING)
    found = store.logins.by_login("mary@example.org")
    assert (
        found == store.account() == Account(MARY, None, (ADMIN, PM, Grant("beta", Role.VIEWER)), frozenset())
    )
    assert found is not None and found.firms == ("alpha", "beta") and found.trusted
    assert store.members().all() == (Member(MARY, (ADMIN, PM), second_factor=False, invited=True),)
    assert store.members("gamma").get(MARY.user_id) is None


def test_a_role_replaces_one_of_its_kind_and_may_be_over_all_again(store: Store) -> None:
    store.create()
    for grant in (PM, Grant("alpha", Role.PM, frozenset({"alpha/c"})), Grant("alpha", Role.PM)):
        store.members().grant(MARY.user_id, grant, 8, NOTHING)
        assert store.account().grants == (ADMIN, grant)
    store.members().revoke(MARY.user_id, [Role.PM], NOTHING)
    assert store.account().grants == (ADMIN,)


def test_what_changes_is_recorded_with_it_or_not_at_all(store: Store) -> None:
    store.create(told=Told((entry(1), entry(1, "beta"), entry(2))))
    assert (store.audit("alpha"), store.audit("beta")) == (2, 1)
    gap = Told((entry(9),))
    for call in (
        lambda: store.create(JOHN, told=gap),
        lambda: store.members().grant(MARY.user_id, PM, 8, gap),
        lambda: store.logins.add_link("l", OneTimeLink(MARY.user_id, 1, 2), None, gap),
        lambda: store.logins.use_link(f"link-{MARY.user_id}", 7, "h", gap),
        lambda: store.sessions.open("c", SESSION, None, gap),
        lambda: store.logins.set_disabled(MARY.user_id, None, None, gap),
        lambda: store.factors.replace_codes(MARY.user_id, ["x"], gap),
    ):
        with pytest.raises(NotDurable, match="seq 9"):
            call()
    assert store.logins.by_login("john") is None and store.account().grants == (ADMIN,)
    assert store.logins.link("l") is None and store.sessions.get("c") is None
    assert store.account().password_hash is None and store.factors.codes_left(MARY.user_id) == 0


def test_a_firm_cannot_write_for_another(store: Store) -> None:
    store.create()
    for grant in (
        Grant("beta", Role.PM),
        Grant("alpha", Role.PM, frozenset({"beta/a"})),
        replace(PM, accounts=frozenset()),
    ):
        with pytest.raises(BadInput, match="accounts of firm alpha"):
            store.members().grant(MARY.user_id, grant, 8, NOTHING)
    with pytest.raises(BadInput, match="a token of firm beta"):
        store.tokens("beta").add(token(), "t", NOTHING)
    with pytest.raises(BadInput, match="the firm's own"):
        store.logins.set_disabled(MARY.user_id, 9, "beta", NOTHING)
    with pytest.raises(BadInput, match="the firm's own"):
        store.logins.add_link("l", OneTimeLink(MARY.user_id, 1, 2), "beta", NOTHING)


def test_the_last_admin_stays_whoever_else_is_there(store: Store) -> None:
    store.create()
    store.create(JOHN, Grant("alpha", Role.ADMIN, frozenset({"alpha/a"})))
    for call in (
        lambda: store.members().revoke(MARY.user_id, [Role.ADMIN], NOTHING),
        lambda: store.members().grant(
            MARY.user_id, Grant("alpha", Role.ADMIN, frozenset({"alpha/a"})), 8, NOTHING
        ),
        lambda: store.logins.set_disabled(MARY.user_id, 9, None, NOTHING),
    ):
        with pytest.raises(BadInput, match="an Admin of the firm left"):
            call()
    assert store.account().grants == (ADMIN,) and store.account().user.disabled_ns is None


def test_two_admins_removed_at_once_leave_one(store: Store) -> None:
    store.create()
    store.create(JOHN)

    def remove(user: User) -> bool:
        try:
            SqlMembers(store.database(), firm_id="alpha").revoke(user.user_id, [Role.ADMIN], NOTHING)
            return True
        except BadInput:
            return False

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(remove, [MARY, JOHN])) == 1


def test_who_somebody_is_elsewhere(store: Store) -> None:
    store.create()
    store.logins.link_external(MARY.user_id, "https://id", "42")
    assert store.logins.by_external("https://id", "42") == store.account()
    assert store.logins.by_external("https://id", "43") is None
    with pytest.raises(NotDurable):
        store.logins.link_external(MARY.user_id, "https://id", "42")


# --- sessions ---------------------------------------------------------------------------------------------------


def rotation(session: Session, before: str = "c1", after: str = "c2") -> Rotation:
    return Rotation(before, after, replace(session, second_factor=True, stepped_up_ns=20))


def test_a_session_is_found_by_its_cookie_until_it_ends(store: Store) -> None:
    store.with_password()
    store.sessions.open("c1", SESSION, ("hash-1", "hash-2"), NOTHING)
    assert store.sessions.get("c1") == (SESSION, store.account())
    assert store.account().password_hash == "hash-2"
    store.sessions.touch("c1", 15)
    store.sessions.touch("c1", 12)
    assert store.sessions.of(MARY.user_id) == (replace(SESSION, seen_ns=15),)
    assert store.sessions.end(MARY.user_id, None, SESSION.session_id, NOTHING) == 0
    assert store.sessions.end(JOHN.user_id, [SESSION.session_id], "", NOTHING) == 0
    assert store.sessions.end(MARY.user_id, [SESSION.session_id], "", NOTHING) == 1
    assert store.sessions.get("c1") is None


def test_a_session_does_not_open_on_what_is_no_longer_so(store: Store) -> None:
    store.with_password()
    with pytest.raises(NotIdentified):
        store.sessions.open("c1", SESSION, ("hash-0", "hash-0"), NOTHING)
    with pytest.raises(NotIdentified):
        store.sessions.open("c1", replace(SESSION, user_id=JOHN.user_id), None, NOTHING)
    store.create(JOHN)
    store.sessions.open("c1", SESSION, None, NOTHING)
    store.logins.set_disabled(MARY.user_id, 9, None, NOTHING)
    assert store.sessions.get("c1") is None
    with pytest.raises(NotIdentified):
        store.sessions.open("c1", SESSION, ("hash-1", "hash-1"), NOTHING)


def test_sessions_that_are_over_by_age_are_dropped(store: Store) -> None:
    store.with_password()
    store.sessions.open("c1", SESSION, None, NOTHING)
    later = replace(SESSION, session_id="ses-bbbbbbbbbbbbbbbb", created_ns=10 + 12 * 3600 * SECOND + 1)
    store.sessions.open("c2", later, None, NOTHING)
    assert store.sessions.of(MARY.user_id) == (later,)


def test_a_proof_is_used_up_with_the_cookie_or_neither(store: Store) -> None:
    store.with_password()
    store.sessions.open("c1", SESSION, None, NOTHING)
    store.factors.offer_totp(MARY.user_id, b"seed", 8)
    store.factors.confirm_totp(rotation(SESSION, "c1", "c1"), b"seed", 100, ["r1", "r2"], NOTHING)
    for spent in (
        Spent(totp_step=100),
        Spent(totp_step=99),
        Spent(recovery_hash="r9"),
        Spent(credential_id=b"k"),
    ):
        with pytest.raises(NotIdentified):
            store.sessions.prove(rotation(SESSION), spent, NOTHING)
    with pytest.raises(NotIdentified):
        store.sessions.prove(rotation(SESSION, "gone"), Spent(totp_step=101), NOTHING)
    with pytest.raises(NotIdentified):
        store.sessions.prove(
            rotation(replace(SESSION, session_id="ses-x")), Spent(recovery_hash="r1"), NOTHING
        )
    assert store.factors.totp(MARY.user_id, confirmed=True) == (b"seed", 100)
    assert store.factors.codes_left(MARY.user_id) == 2
    store.sessions.prove(rotation(SESSION), Spent(totp_step=101), NOTHING)
    store.sessions.prove(rotation(SESSION, "c2", "c3"), Spent(recovery_hash="r1"), NOTHING)
    assert store.factors.codes_left(MARY.user_id) == 1
    found = store.sessions.get("c3")
    assert found is not None and found[0] == rotation(SESSION).session
    assert store.sessions.get("c1") is None and store.sessions.get("c2") is None


def test_of_many_that_use_one_cookie_one_gets_the_next(store: Store) -> None:
    store.with_password()
    store.sessions.open("c1", SESSION, None, NOTHING)

    def prove(n: int) -> bool:
        try:
            SqlSessions(store.database()).prove(rotation(SESSION, "c1", f"c1-{n}"), Spent(), NOTHING)
            return True
        except NotIdentified:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(prove, range(4))) == 1


def test_another_password_ends_other_sessions(store: Store) -> None:
    store.with_password()
    store.sessions.open("c1", SESSION, None, NOTHING)
    store.sessions.open("o1", replace(SESSION, session_id="ses-bbbbbbbbbbbbbbbb"), None, NOTHING)
    before = store.account()
    store.logins.set_password(before, "hash-2", rotation(SESSION), NOTHING)
    assert store.sessions.get("o1") is None and store.sessions.get("c2") is not None
    with pytest.raises(NotIdentified):
        store.logins.set_password(before, "hash-3", rotation(SESSION, "c2", "c3"), NOTHING)
    assert store.account().password_hash == "hash-2"


def test_a_link_is_used_once_in_time(store: Store) -> None:
    store.create()
    link = OneTimeLink(MARY.user_id, 1, 100, drops_factors=True)
    store.logins.add_link("l", link, None, NOTHING)
    assert store.logins.link("l") == (link, MARY)
    assert store.logins.link(f"link-{MARY.user_id}") is None, "the earlier one is gone"
    store.factors.replace_codes(MARY.user_id, ["r1"], NOTHING)
    for call in (
        lambda: store.logins.use_link("l", 100, "h", NOTHING),
        lambda: store.logins.use_link("x", 1, "h", NOTHING),
    ):
        with pytest.raises(NotIdentified):
            call()
    store.logins.use_link("l", 99, "h", NOTHING)
    assert store.account().password_hash == "h" and store.factors.codes_left(MARY.user_id) == 0
    with pytest.raises(NotIdentified):
        store.logins.use_link("l", 99, "h", NOTHING)


# --- factors ----------------------------------------------------------------------------------------------------


def test_an_authenticator_counts_when_it_is_confirmed(store: Store) -> None:
    store.with_password()
    store.sessions.open("c1", SESSION, None, NOTHING)
    store.factors.offer_totp(MARY.user_id, b"one", 8)
    store.factors.offer_totp(MARY.user_id, b"two", 9)
    assert store.account().factors == frozenset()
    with pytest.raises(NotIdentified):
        store.factors.confirm_totp(rotation(SESSION), b"one", 100, ["r1"], NOTHING)
    store.factors.confirm_totp(rotation(SESSION), b"two", 100, ["r1"], NOTHING)
    assert store.account().factors == {Factor.TOTP}
    assert store.factors.totp(MARY.user_id, confirmed=False) is None
    store.factors.offer_totp(MARY.user_id, b"three", 10)
    store.factors.confirm_totp(rotation(SESSION, "c2", "c3"), b"three", 101, [], NOTHING)
    assert store.factors.totp(MARY.user_id, confirmed=True) == (b"three", 101)
    assert store.factors.codes_left(MARY.user_id) == 1
    with pytest.raises(BadInput, match="another second factor left"):
        store.factors.remove(MARY.user_id, Factor.TOTP, None, NOTHING)
    assert store.account().factors == {Factor.TOTP}


def test_passkeys_are_kept_and_removed(store: Store) -> None:
    store.with_password()
    store.sessions.open("c1", SESSION, None, NOTHING)
    key = Passkey(b"\x00\xff" * 8, MARY.user_id, b"public", 3, "my key", 8)
    store.factors.add_passkey(rotation(SESSION), key, ["r1"], NOTHING)
    assert store.factors.passkeys(MARY.user_id) == (key,) and store.factors.passkeys(JOHN.user_id) == ()
    with pytest.raises(BadInput, match="enrolled already"):
        store.factors.add_passkey(rotation(SESSION, "c2", "c3"), key, [], NOTHING)
    store.sessions.prove(
        rotation(SESSION, "c2", "c3"), Spent(credential_id=key.credential_id, sign_count=4), NOTHING
    )
    assert store.factors.passkeys(MARY.user_id) == (replace(key, sign_count=4, used_ns=20),)
    with pytest.raises(BadInput, match="another second factor left"):
        store.factors.remove(MARY.user_id, Factor.PASSKEY, key.credential_id, NOTHING)
    store.members().grant(MARY.user_id, Grant("alpha", Role.VIEWER), 8, NOTHING)
    store.create(JOHN)
    store.members().revoke(MARY.user_id, [Role.ADMIN], NOTHING)
    store.factors.remove(MARY.user_id, Factor.PASSKEY, key.credential_id, NOTHING)
    assert store.account().factors == frozenset() and store.factors.codes_left(MARY.user_id) == 0


def test_a_challenge_is_taken_once_in_time(store: Store) -> None:
    store.factors.put_challenge("s", "register", b"one", 100)
    store.factors.put_challenge("s", "register", b"two", 100)
    store.factors.put_challenge("s", "authenticate", b"late", 50)
    assert store.factors.take_challenge("t", "register", 10) is None
    assert store.factors.take_challenge("s", "authenticate", 50) is None
    assert store.factors.take_challenge("s", "register", 99) == b"two"
    assert store.factors.take_challenge("s", "register", 99) is None


# --- tokens -----------------------------------------------------------------------------------------------------


def token(**more: object) -> ApiToken:
    plain = ApiToken(
        "abcdefgh23", "alpha", MARY.user_id, "bot", frozenset({Permission.READ, Permission.RUN}),
        frozenset({"alpha/b", "alpha/a"}), second_factor=True, created_ns=5, expires_ns=100,
    )  # fmt: skip
    return replace(plain, **more)  # type: ignore[arg-type]


def test_a_token_is_found_by_its_hash_until_it_is_revoked(store: Store) -> None:
    store.create()
    other = token(token_id="zzzzzzzz23", accounts=None, second_factor=False, created_ns=6)
    store.tokens().add(token(), "t1", NOTHING)
    store.tokens().add(other, "t2", NOTHING)
    assert store.logins.token("t1") == (token(), store.account()) and store.logins.token("x") is None
    store.logins.touch_token(token(), 8)
    assert store.tokens().all() == store.tokens().all(MARY.user_id) == (other, token(used_ns=8))
    assert store.tokens("beta").all() == () == store.tokens().all(JOHN.user_id)
    for firm, user_id in (("beta", None), ("alpha", JOHN.user_id)):
        with pytest.raises(BadInput, match="a token of yours"):
            store.tokens(firm).revoke("abcdefgh23", user_id, NOTHING)
    store.tokens().revoke("abcdefgh23", MARY.user_id, NOTHING)
    assert store.logins.token("t1") is None


def test_a_permission_that_is_gone_is_left_out(store: Store) -> None:
    store.create()
    store.tokens().add(token(), "t1", NOTHING)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("""UPDATE api_tokens SET permissions = '["run.start", "no.more"]'""")
    found = store.logins.token("t1")
    assert found is not None and found[0].permissions == {Permission.RUN}


# --- budgets and tallies ----------------------------------------------------------------------------------------


def test_budgets_are_charged_together_or_not_at_all(store: Store) -> None:
    own, shared = ("own", PER_LOGIN), ("shared", PER_PREFIX)
    assert [store.throttles.admit([own, shared], 1) for _ in range(6)] == [0] * 5 + [60 * SECOND]
    other = SqlThrottles(store.database())
    assert [other.admit([shared], 2) for _ in range(16)] == [0] * 15 + [60 * SECOND]
    other.give_back(["shared"], whole=["own"])
    assert store.throttles.admit([own, shared], 3) == 0
    assert store.throttles.admit([shared], 3 + 3601 * SECOND) == 0, "quiet budgets are dropped"
    with store.engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM login_throttles").scalar_one() == 1


def test_budgets_hold_for_many_at_once(store: Store) -> None:
    def ask(_: int) -> int:
        return SqlThrottles(store.database()).admit([("own", PER_LOGIN)], 1)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(ask, range(8)))[:6] == [0] * 5 + [60 * SECOND]


def tally(since_ns: int) -> Tally:
    return Tally("k" * 64, since_ns, "DENIED", "user", "u-abcdefgh23456777", "{}")


def test_what_happens_again_is_counted_within_its_window(store: Store) -> None:
    one, key = store.tallies(), tally(0).key
    assert one.count(key, 10, 60) == 0
    assert one.start(tally(10), 0, [entry(1)])
    assert not one.start(tally(10), 0, [entry(2)]), "somebody else was faster"
    assert [one.count(key, now, 60) for now in (10, 40, 69)] == [None] * 3
    assert store.tallies("beta").count(key, 10, 60) == 0 and store.tallies("beta").due(FAR) == ()
    assert one.count(key, 70, 60) == 3
    assert not one.start(tally(70), 2, [entry(2)])
    with pytest.raises(NotDurable, match="seq 9"):
        one.start(tally(70), 3, [entry(9)])
    assert one.due(10) == () and one.due(11) == ((tally(10), 3),)
    assert not one.close(tally(10), 2, [entry(2)])
    assert one.close(tally(10), 3, [entry(2)])
    assert one.due(FAR) == () and store.audit() == 2
