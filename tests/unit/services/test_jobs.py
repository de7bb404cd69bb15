"""Asking for jobs, and reading their pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.jobs.world import MARY, ask

from regime_trading.adapters.clock import FixedClock
from regime_trading.adapters.database import Engine, SqlJobs, open_database, sqlite_url
from regime_trading.core.errors import BadInput
from regime_trading.core.jobs import JobKind, TooManyJobs
from regime_trading.services.jobs import JobService


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_database(sqlite_url(tmp_path / "store.db"))
    yield opened
    opened.dispose()


def service(engine: Engine, entropy: Iterator[int] = iter(range(100)), most: int = 100) -> JobService:  # noqa: B008
    return JobService(
        lambda firm: SqlJobs(engine, firm_id=firm), FixedClock(5), lambda n: next(entropy).to_bytes(n), most
    )


def test_one_key_is_one_job_of_one_person_in_one_firm(engine: Engine) -> None:
    jobs = service(engine)

    def made(firm: str = "alpha", by: str = MARY, key: str | None = "k") -> str:
        return jobs.enqueue(firm, JobKind.VERIFY, {}, by=by, key=key).job_id

    assert made() == made()
    assert (
        len(
            {
                made(),
                made("beta"),
                made(by="u-bbbbbbbb23456777"),
                made(key="l"),
                made(key=None),
                made(key=None),
            }
        )
        == 6
    )
    with pytest.raises(BadInput, match="idempotency key"):
        jobs.enqueue("alpha", JobKind.RUN, {}, by=MARY, key="k")
    for key in ("", "k" * 201):
        with pytest.raises(BadInput, match="idempotency key"):
            made(key=key)


def test_the_quota_is_the_services(engine: Engine) -> None:
    jobs = service(engine, most=1)
    jobs.enqueue("alpha", JobKind.VERIFY, {}, by=MARY)
    with pytest.raises(TooManyJobs):
        jobs.enqueue("alpha", JobKind.VERIFY, {}, by=MARY)


def test_pages_name_the_next_one(engine: Engine) -> None:
    made = {ask(engine, str(n), "").job_id for n in range(5)}
    jobs, found, after = service(engine), list[str](), ""
    while True:
        page = jobs.listed("alpha", after=after, limit=2)
        found += [one.job_id for one in page.jobs]
        if not (after := page.after):
            break
    assert len(found) == 5 and set(found) == made
    assert jobs.listed("beta").jobs == ()
    for wrong in ("x", "5", "5.", "-1.job-1", "٣.job-1"):
        with pytest.raises(BadInput, match="cursor"):
            jobs.listed("alpha", after=wrong)
    for limit in (0, 201):
        with pytest.raises(BadInput, match="limit"):
            jobs.listed("alpha", limit=limit)


def test_what_is_not_there_is_not_there_whatever_is_asked(engine: Engine) -> None:
    job, jobs = ask(engine, "a", ""), service(engine)
    for act in (jobs.get, jobs.cancel, jobs.log):
        for firm, job_id in (("beta", job.job_id), ("alpha", "job-0")):
            with pytest.raises(BadInput, match="a job of firm"):
                act(firm, job_id)
