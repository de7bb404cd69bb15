"""What every store of approvals, previews and answers must do, on SQLite and on PostgreSQL (``conftest.py``)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, text
from tests import record_samples as sample
from tests.approval_samples import MINUTE, H, T, actor, approval, bound, person

from regime_trading.adapters.database import (
    SqlApprovals,
    SqlAuditLog,
    SqlIdempotency,
    SqlMessages,
    SqlPreviews,
)
from regime_trading.adapters.database.engine import one_turn, writing
from regime_trading.core import approval_steps as steps
from regime_trading.core.approvals import PENDING, Approval, ApprovalKind, ApprovalStatus, Comment, Required
from regime_trading.core.commands.previews import Done, Given, Preview, Use
from regime_trading.core.commands.spec import Klass
from regime_trading.core.errors import BadInput, CheckFailed, Conflict, NotDurable, RegimeError
from regime_trading.core.intents import INTENT, TTL_NS, Intent, Kept
from regime_trading.core.messages import Message, ProposalData
from regime_trading.core.schemas import Mode

THREADS = 6
CHAIN = "dry_run/run-1/alpha/main"


@pytest.fixture
def engine(database: Callable[[], Engine]) -> Engine:
    return database()


@pytest.fixture
def store(engine: Engine) -> SqlApprovals:
    return SqlApprovals(engine, firm_id="alpha")


@pytest.fixture
def previews(engine: Engine) -> SqlPreviews:
    return SqlPreviews(engine, firm_id="alpha")


def message(status: str = "requested") -> Message:
    data = ProposalData(request_id="rq-1", kind="config", status=status, given=0, required=1)
    return Message(T, data, "alpha/main")


def agreed(found: Approval, name: str = "ann") -> Approval:
    return steps.agree(found, person(name), actor(name), bound(found), T, "it is fine")


def preview(preview_id: str = "pv-1", **more: Any) -> Preview:
    said: dict[str, Any] = {
        "firm_id": "alpha",
        "account": "alpha/main",
        "mode": Mode.SHADOW,
        "user_id": "mary",
        "session_id": "s-mary",
        "command": "/resume account account:alpha/main",
        "resolved_from": "",
        "klass": Klass.LOOSEN,
        "kind": ApprovalKind.UNLOCK,
        "summary_md": "",
        "effects": ("It trades again.",),
        "unchanged": (),
        "undo": "",
        "diff": "",
        "blocking": (),
        "warnings": ("It was halted twice today.",),
        "confirm_phrase": "alpha/main",
        "requires_reason": True,
        "requires_step_up": True,
        "others": 1,
        "base_version": "7",
        "config_hash": "",
        "effects_hash": H,
        "code_version": "1",
        "created_ns": T,
        "expires_ns": T + 5 * MINUTE,
    }
    return Preview(preview_id=preview_id, **(said | more))


def given(outcome: str = "previewed", user_id: str = "mary") -> Given:
    return Given(user_id, T, "/resume account account:alpha/main", "loosen", outcome)


def race(work: Callable[[int], Any]) -> list[Any]:
    """What each of several threads got, that begin at once: a result or the error."""
    gate = Barrier(THREADS)

    def run(n: int) -> Any:
        gate.wait()
        try:
            return work(n)
        except RegimeError as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


# --- approvals ------------------------------------------------------------------------------------------------


def test_what_was_asked_is_there_after_a_restart(database: Callable[[], Engine]) -> None:
    first = SqlApprovals(database(), firm_id="alpha")
    found = approval(required=Required(n=2))
    first.add(found)
    once = agreed(found)
    first.move(found, once)
    again = SqlApprovals(database(), firm_id="alpha")
    assert again.get("rq-1") == once
    twice = agreed(once, "bob")
    again.move(once, twice)
    assert first.get("rq-1") == twice and twice.status is ApprovalStatus.GIVEN
    assert first.get("rq-2") is None


def test_requests_are_listed_by_status_and_account_oldest_first(store: SqlApprovals) -> None:
    store.add(approval("rq-2", created_ns=T + 2))
    store.add(approval("rq-1", created_ns=T + 1, account="alpha/other"))
    store.add(approval("rq-0", created_ns=T, account=""))
    ended = steps.void(approval("rq-3"), "halted")
    store.add(approval("rq-3"))
    store.move(approval("rq-3"), ended)

    def names(**more: Any) -> list[str]:
        return [one.request.request_id for one in store.listed(PENDING, **more)]

    assert names() == ["rq-0", "rq-1", "rq-2"]
    assert names(accounts=("alpha/main",)) == ["rq-0", "rq-2"]
    assert names(accounts=()) == ["rq-0"] and names(limit=1) == ["rq-0"]
    assert [one.why for one in store.listed([ApprovalStatus.VOID])] == ["halted"]


def test_a_step_is_one_transaction_with_its_entry_and_its_message(
    engine: Engine, store: SqlApprovals
) -> None:
    audit, channel = SqlAuditLog(engine, firm_id="alpha"), SqlMessages(engine, firm_id="alpha")
    found = approval()
    store.add(found, [sample.event(1)], [message()])
    with pytest.raises(NotDurable):
        store.move(found, agreed(found), [sample.event(3)], [message("given")])
    assert (store.get("rq-1"), audit.head(CHAIN)[0], len(channel.after(0))) == (found, 1, 1)
    store.move(found, agreed(found), [sample.event(2)], [message("given")])
    assert (store.get("rq-1"), audit.head(CHAIN)[0], len(channel.after(0))) == (agreed(found), 2, 2)
    with pytest.raises(Conflict) as caught:
        store.move(found, agreed(found, "bob"), [sample.event(3)], [message("given")])
    assert caught.value.what == "version"
    assert (store.get("rq-1"), audit.head(CHAIN)[0], len(channel.after(0))) == (agreed(found), 2, 2)


def test_a_comment_is_stored_with_its_entry_and_takes_no_step(engine: Engine, store: SqlApprovals) -> None:
    audit = SqlAuditLog(engine, firm_id="alpha")
    found = approval()
    store.add(found, [sample.event(1)])
    first, second = (Comment(actor=actor(name), at_ns=T, text="see the log") for name in ("ann", "mary"))
    with pytest.raises(NotDurable):
        store.comment("rq-1", first, [sample.event(3)])
    assert store.get("rq-1") == found
    store.comment("rq-1", first, [sample.event(2)])
    store.comment("rq-1", second)
    said = store.get("rq-1")
    assert said == found.model_copy(update={"comments": (first, second)}) and audit.head(CHAIN)[0] == 2
    store.move(found, agreed(found))  # whoever saw it before the comments still answers it
    for missing in (SqlApprovals(engine, firm_id="beta"), store):
        with pytest.raises(Conflict, match="is not there"):
            missing.comment("rq-1" if missing is not store else "rq-2", first)
    store.comment("rq-1", first)  # given, and not carried out yet
    now = store.get("rq-1")
    assert now is not None and len(now.comments) == 3
    store.move(now, steps.void(now, "halted"))
    with pytest.raises(Conflict, match="rq-1 is void"):
        store.comment("rq-1", first)


def test_of_many_comments_at_once_none_is_lost(store: SqlApprovals) -> None:
    store.add(approval())
    race(lambda n: store.comment("rq-1", Comment(actor=actor("ann"), at_ns=T, text=f"n {n}")))
    said = store.get("rq-1")
    assert said is not None and sorted(one.text for one in said.comments) == [
        f"n {n}" for n in range(THREADS)
    ]


def test_a_firm_does_not_see_another(engine: Engine, store: SqlApprovals) -> None:
    store.add(approval())
    other = SqlApprovals(engine, firm_id="beta")
    assert other.get("rq-1") is None and other.listed(list(ApprovalStatus)) == ()
    with pytest.raises(BadInput, match="firm beta"):
        other.add(approval())
    with pytest.raises(BadInput, match="firm alpha"):
        store.add(approval("rq-9", account="beta/main"))
    with pytest.raises(Conflict):
        other.move(approval(), steps.void(approval(), "x"))
    with pytest.raises(BadInput, match="one step"):
        store.move(approval(), approval("rq-2"))


def test_a_request_that_was_altered_is_not_read(engine: Engine, store: SqlApprovals) -> None:
    store.add(approval())
    with engine.begin() as connection:
        connection.execute(text("UPDATE approvals SET body = replace(body, 'trades again', 'is halted')"))
    with pytest.raises(CheckFailed, match="no longer what was stored"):
        store.get("rq-1")


def test_of_many_who_agree_at_once_one_step_is_taken(store: SqlApprovals) -> None:
    found = approval()
    store.add(found)
    said = race(lambda n: store.move(found, agreed(found, f"person{n}")))
    assert said.count(None) == 1 and sum(isinstance(one, Conflict) for one in said) == THREADS - 1
    after = store.get("rq-1")
    assert after is not None and (after.given, after.version) == (1, 2)


def test_of_many_who_begin_at_once_one_carries_it_out(store: SqlApprovals) -> None:
    found = approval()
    store.add(found)
    ready = agreed(found)
    store.move(found, ready)
    said = race(
        lambda n: store.move(
            ready, steps.void(ready, "halted") if n == 0 else steps.begin(ready, bound(ready), T)
        )
    )
    assert said.count(None) == 1
    after = store.get("rq-1")
    assert after is not None and after.status in (ApprovalStatus.EXECUTING, ApprovalStatus.VOID)
    assert (after.status is ApprovalStatus.VOID) == (said[0] is None)


# --- previews and history -------------------------------------------------------------------------------------


def test_a_preview_is_there_for_one_use(previews: SqlPreviews) -> None:
    previews.add(preview(), given())
    use, done = Use("pv-1", "key-1", T), Done(outcome="executed", said="Done.", data={"id": 1})
    found = previews.get("pv-1")
    assert found is not None and (found.preview, found.used_key, found.done) == (preview(), None, None)
    with pytest.raises(Conflict):
        previews.finish(use, done, given("executed"))
    previews.claim(use)
    with pytest.raises(Conflict, match="used"):
        previews.claim(Use("pv-1", "key-2", T))
    with pytest.raises(Conflict):
        previews.finish(Use("pv-1", "key-2", T), done, given("executed"))
    previews.finish(use, done, given("executed"))
    with pytest.raises(Conflict):
        previews.finish(use, done, given("executed"))
    found = previews.get("pv-1")
    assert found is not None and (found.used_key, found.done) == ("key-1", done)
    assert [one.outcome for one in previews.history("mary")] == ["executed", "previewed"]
    assert previews.history("ann") == ()
    with pytest.raises(Conflict):
        previews.claim(Use("pv-none", "key", T))
    with pytest.raises(BadInput, match="Key"):
        previews.claim(Use("pv-1", "", T))


def test_of_many_uses_at_once_one_wins(previews: SqlPreviews) -> None:
    previews.add(preview(), given())
    said = race(lambda n: previews.claim(Use("pv-1", f"key-{n}", T)))
    assert said.count(None) == 1
    found = previews.get("pv-1")
    assert found is not None and found.used_key == f"key-{said.index(None)}"


def test_of_many_requests_from_one_preview_one_is_stored(store: SqlApprovals, previews: SqlPreviews) -> None:
    previews.add(preview(), given())
    done = Done(outcome="requested", said="", request_id="rq")
    said = race(
        lambda n: store.add(
            approval(f"rq-{n}"), use=Use("pv-1", f"k{n}", T), done=done, given=given("requested")
        )
    )
    assert said.count(None) == 1
    assert [one.request.request_id for one in store.listed(PENDING)] == [f"rq-{said.index(None)}"]
    assert len(previews.history("mary")) == 2


def test_a_halt_voids_unused_previews_that_loosen(previews: SqlPreviews) -> None:
    previews.add(preview("pv-1"), given())
    previews.add(preview("pv-2", account="alpha/other"), given())
    previews.add(preview("pv-3", account=""), given())
    previews.add(preview("pv-4", klass=Klass.TIGHTEN), given())
    previews.add(preview("pv-5"), given())
    previews.claim(Use("pv-5", "key", T))
    assert previews.void_loosening("alpha/main", T) == 2
    used = {n: previews.get(f"pv-{n}") for n in range(1, 6)}
    assert [one.used_key if one else "?" for one in used.values()] == ["", None, "", None, "key"]
    with pytest.raises(Conflict):
        previews.claim(Use("pv-1", "key", T))
    assert previews.void_loosening(None, T) == 1


def test_previews_of_a_firm_are_its_own_and_are_forgotten(engine: Engine, previews: SqlPreviews) -> None:
    previews.add(preview(), given())
    other = SqlPreviews(engine, firm_id="beta")
    assert other.get("pv-1") is None and other.history("mary") == () and other.drop_before(2**62) == 0
    for refused in (lambda: other.add(preview(), given()), lambda: other.claim(Use("pv-1", "k", T))):
        with pytest.raises((BadInput, Conflict)):
            refused()
    assert other.void_loosening(None, T) == 0
    assert previews.drop_before(T + 5 * MINUTE) == 0 and previews.drop_before(T + 6 * MINUTE) == 1
    assert previews.get("pv-1") is None


def test_a_preview_that_was_altered_is_not_read(engine: Engine, previews: SqlPreviews) -> None:
    previews.add(preview(), given())
    with engine.begin() as connection:
        connection.execute(text("UPDATE previews SET body = replace(body, 'alpha/main', 'alpha/many')"))
    with pytest.raises(CheckFailed, match="no longer what was stored"):
        previews.get("pv-1")


# --- answers by Idempotency-Key -------------------------------------------------------------------------------


def intent(user: str = "mary", key: str = "k", request_hash: str = H, at_ns: int = T) -> Intent:
    return Intent(user, key, request_hash, at_ns)


def change(engine: Engine, found: Intent) -> None:
    """A transaction of a request."""
    token = INTENT.set(found)
    try:
        with writing(engine):
            pass
    finally:
        INTENT.reset(token)


def test_the_key_of_a_request_comes_with_what_it_changes(engine: Engine) -> None:
    answers, first = SqlIdempotency(engine), intent()
    assert answers.find(first) is None
    answers.keep(first, 201, "nothing was changed")
    assert answers.find(first) is None
    change(engine, first)
    change(engine, first)
    assert first.wrote and answers.find(intent()) == Kept(H)
    with pytest.raises(Conflict, match="at work"):
        change(engine, intent())
    answers.keep(first, 201, "{}")
    answers.keep(first, 500, "late")
    answers.forget(first)
    assert answers.find(intent(request_hash="b" * 64)) == Kept(H, 201, "{}")
    assert answers.find(intent("ann")) is None, "another person, another key"


def test_what_fails_leaves_no_key(engine: Engine) -> None:
    answers, first = SqlIdempotency(engine), intent()
    token = INTENT.set(first)
    try:
        with pytest.raises(ZeroDivisionError), writing(engine):
            raise ZeroDivisionError
        assert not first.wrote and answers.find(first) is None
        with writing(engine, shared=True):
            pass
        assert not first.wrote, "a transaction of several threads belongs to none of their requests"
    finally:
        INTENT.reset(token)
    change(engine, first)
    answers.forget(first)
    assert answers.find(first) is None, "a refusal gives it back"


def test_the_key_of_a_request_is_stored_once_in_a_turn_and_only_with_it(engine: Engine) -> None:
    answers, first = SqlIdempotency(engine), intent()
    with pytest.raises(ZeroDivisionError), one_turn(engine):
        change(engine, first)
        raise ZeroDivisionError
    assert not first.wrote and answers.find(first) is None
    with one_turn(engine):
        change(engine, first)
        change(engine, first)
        assert not first.wrote
    assert first.wrote and answers.find(first) == Kept(H)


def test_a_key_names_its_request_for_a_day(engine: Engine) -> None:
    answers, first, later = SqlIdempotency(engine), intent(), intent(at_ns=T + TTL_NS)
    change(engine, first)
    assert answers.find(intent(at_ns=T + TTL_NS - 1)) == Kept(H) and answers.find(later) is None
    change(engine, later)
    assert answers.find(later) == Kept(H)
    answers.drop_before(T + TTL_NS)
    assert answers.find(later) == Kept(H)
    answers.drop_before(T + 2 * TTL_NS)
    assert answers.find(intent(at_ns=T)) is None


def test_of_many_requests_with_one_key_one_changes_something(engine: Engine) -> None:
    said = race(lambda n: change(engine, intent()))
    assert said.count(None) == 1 and sum(isinstance(one, Conflict) for one in said) == THREADS - 1
