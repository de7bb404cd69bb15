"""What every store of proposals must do, on SQLite and on PostgreSQL (``conftest.py``)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, text
from tests import record_samples as sample
from tests.proposal_samples import ANN, MARY, T, content, proposal

from regime_trading.adapters.database import SqlAuditLog, SqlJobs, SqlMessages, SqlProposals
from regime_trading.core import proposals as steps
from regime_trading.core.errors import BadInput, CheckFailed, Conflict, NotDurable, RegimeError
from regime_trading.core.jobs import Job, JobKind, TooManyJobs
from regime_trading.core.proposals import MOST_DRAFTS, ProposalStatus

THREADS = 6
CHAIN = "dry_run/run-1/alpha/main"


@pytest.fixture
def engine(database: Callable[[], Engine]) -> Engine:
    return database()


@pytest.fixture
def store(engine: Engine) -> SqlProposals:
    return SqlProposals(engine, firm_id="alpha")


def job(n: int = 1, firm_id: str = "alpha", by: str = MARY) -> Job:
    return Job(f"job-{n}", firm_id, JobKind.RUN, "{}", by, n)


def test_what_was_drafted_is_there_after_a_restart(database: Callable[[], Engine]) -> None:
    first = SqlProposals(database(), firm_id="alpha")
    made = proposal()
    assert first.add(made) == made == first.add(made), "the same again is the same"
    again = SqlProposals(database(), firm_id="alpha")
    assert again.get("pr-1") == made and again.get("pr-2") is None
    after = steps.changed(made, content(weights={"KO": "0.5"}), MARY, T + 9)
    again.move(made, after)
    assert first.get("pr-1") == after and after.content_hash != made.content_hash
    with pytest.raises(BadInput, match="idempotency key"):
        first.add(made)


def test_they_are_listed_from_the_newest_on(store: SqlProposals) -> None:
    for n in (2, 1, 3):
        store.add(proposal(n))
    gone = steps.withdrawn(proposal(2), MARY, T + 9, "")
    store.move(proposal(2), gone)

    def names(**more: Any) -> list[str]:
        return [one.proposal_id for one in store.page(**more)]

    assert names() == ["pr-3", "pr-2", "pr-1"] and names(limit=1) == ["pr-3"]
    assert names(before=(T + 3, "pr-3")) == ["pr-2", "pr-1"]
    assert names(statuses=(ProposalStatus.WITHDRAWN,)) == ["pr-2"]


def test_a_step_is_one_transaction_with_its_entry_its_messages_and_its_job(
    engine: Engine, store: SqlProposals
) -> None:
    audit, channel = SqlAuditLog(engine, firm_id="alpha"), SqlMessages(engine, firm_id="alpha")
    jobs, made = SqlJobs(engine, firm_id="alpha"), proposal()
    store.add(made, [sample.event(1)], steps.messages_of(made))
    told = len(channel.after(0))
    after = steps.submitted(made, "job-1", MARY, T + 9)
    for refused, why in (
        ({"events": [sample.event(3)], "job": job()}, NotDurable),
        ({"events": [sample.event(2)], "job": job(), "max_waiting": 0}, TooManyJobs),
        ({"events": [sample.event(2)], "job": job(1, "beta")}, BadInput),
    ):
        with pytest.raises(why):
            store.move(made, after, **refused)  # type: ignore[arg-type]
        assert (store.get("pr-1"), audit.head(CHAIN)[0], len(channel.after(0))) == (made, 1, told)
        assert jobs.get("job-1") is None
    store.move(made, after, [sample.event(2)], steps.messages_of(after), job=job(), max_waiting=1)
    assert (store.get("pr-1"), audit.head(CHAIN)[0]) == (after, 2) and jobs.get("job-1") == job()
    kinds = [message.type for message in channel.after(0)]
    assert kinds.count("proposal.update") == 2 and kinds.count("run.status") == 1
    with pytest.raises(Conflict) as caught:
        store.move(made, after, [sample.event(3)])
    assert caught.value.what == "version" and audit.head(CHAIN)[0] == 2


def test_a_firm_does_not_see_another(engine: Engine, store: SqlProposals) -> None:
    store.add(proposal())
    other = SqlProposals(engine, firm_id="beta")
    assert other.get("pr-1") is None and other.page() == ()
    for wrong in (proposal(), proposal(2, accounts=["beta/main"]), proposal(3, "beta", accounts=["alpha/x"])):
        with pytest.raises(BadInput, match="firm beta"):
            other.add(wrong)
    with pytest.raises(BadInput, match="firm beta"):
        other.move(proposal(), steps.withdrawn(proposal(), MARY, T, ""))
    foreign = proposal(1, "beta")
    with pytest.raises(Conflict):
        other.move(foreign, steps.withdrawn(foreign, MARY, T, ""))
    for after in (proposal(2), steps.withdrawn(proposal(1, maker=ANN), ANN, T, "")):
        with pytest.raises(BadInput, match="one step"):
            store.move(proposal(), after)


def test_one_that_was_altered_is_not_read(engine: Engine, store: SqlProposals) -> None:
    store.add(proposal())
    with engine.begin() as connection:
        connection.execute(text("""UPDATE proposals SET body = replace(body, '"0.3"', '"1.3"')"""))
    with pytest.raises(CheckFailed, match="no longer what was stored"):
        store.get("pr-1")


def test_a_person_has_so_many_drafts_and_no_more(store: SqlProposals) -> None:
    for n in range(MOST_DRAFTS):
        store.add(proposal(n + 1))
    with pytest.raises(BadInput, match="open drafts"):
        store.add(proposal(MOST_DRAFTS + 1))
    store.add(proposal(MOST_DRAFTS + 2, maker=ANN))
    store.move(proposal(1), steps.withdrawn(proposal(1), MARY, T, ""))
    store.add(proposal(MOST_DRAFTS + 1))


def test_of_many_who_submit_at_once_one_does(engine: Engine, store: SqlProposals) -> None:
    made, gate = proposal(), Barrier(THREADS)
    store.add(made)

    def submit(n: int) -> Any:
        gate.wait()
        try:
            after = steps.submitted(made, f"job-{n}", MARY, T)
            return store.move(made, after, job=job(n), max_waiting=99)
        except RegimeError as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        said = list(pool.map(submit, range(THREADS)))
    assert said.count(None) == 1 and sum(isinstance(one, Conflict) for one in said) == THREADS - 1
    found = store.get("pr-1")
    (queued,) = SqlJobs(engine, firm_id="alpha").page()
    assert found is not None and found.job_id == queued.job_id == f"job-{said.index(None)}"
