"""The verbs of people's own weights: draft, change, withdraw, submit, read; and what became of those submitted.

Whoever calls has asked whether the person may. Each step is one transaction: the row, its entry, its messages, and the
job that a submitted one becomes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from regime_trading.core.actors import masked_text, plain_text
from regime_trading.core.errors import Conflict, NotThere
from regime_trading.core.jobs import ENDED, Job, JobKind, JobStatus, job_id_of
from regime_trading.core.ports import Proposals
from regime_trading.core.proposals import (
    Action,
    BasketProposal,
    Content,
    Prechecked,
    ProposalStatus,
    changed,
    given_back,
    messages_of,
    move_payload,
    proposal_id_of,
    submitted,
    was_run,
    withdrawn,
)
from regime_trading.core.schemas import ActorType
from regime_trading.services.acts import Act, Acts, Who, place_of_firm, record_acts
from regime_trading.services.jobs import JobService

#: What the guards would leave of weights, for each of some accounts; nothing is recorded.
Precheck = Callable[[Content, Sequence[str]], tuple[Prechecked, ...]]
ITSELF: Who = (ActorType.SERVICE, "service:proposals")
MOST_SETTLED = 200  #: of one look


@dataclass(frozen=True, slots=True)
class ProposalService:
    """The verbs over the proposals of every firm.

    Parameters
    ----------
    rows : callable
        Proposals of a firm, by its id.
    jobs : JobService
    acts : Acts
    """

    rows: Callable[[str], Proposals]
    jobs: JobService
    acts: Acts

    def draft(self, firm_id: str, content: Content, who: Who, key: str) -> BasketProposal:
        """Keep weights as a draft; under the same ``key`` of the same person they are one.

        Raises
        ------
        BadInput
            Another firm's account, a note that may not stay in the record, or a key that was used for other weights.
        NotDurable
            A database that cannot write. Nothing was kept.
        """
        now_ns, by = self.acts.clock.now_ns(), who[1]
        made = BasketProposal(
            proposal_id=proposal_id_of(firm_id, by, key),
            firm_id=firm_id,
            content=_plain(content),
            maker=by,
            by=by,
            created_ns=now_ns,
            changed_ns=now_ns,
        )
        there = self.rows(firm_id).get(made.proposal_id)
        if there is not None:
            return self.rows(firm_id).add(made)  # says whether it is the same
        return record_acts(
            self.acts,
            place_of_firm(firm_id),
            (_act(made, "drafted", who),),
            lambda events: self.rows(firm_id).add(made, events, messages_of(made)),
        )

    def change(self, before: BasketProposal, content: Content, who: Who) -> BasketProposal:
        """Another content for a draft, by whoever made it.

        Raises
        ------
        BadInput
            Somebody else's, or as :meth:`draft`.
        Conflict
            It is no draft, or no longer as it was ``before``.
        """
        after = changed(before, _plain(content), who[1], self.acts.clock.now_ns())
        return self._move(before, after, "changed", who)

    def withdraw(self, before: BasketProposal, who: Who, why: str) -> BasketProposal:
        """A draft is no longer wanted; raises as :meth:`change`."""
        after = withdrawn(before, who[1], self.acts.clock.now_ns(), plain_text(why, "reason"))
        return self._move(before, after, "withdrawn", who)

    def submit(self, before: BasketProposal, who: Who, key: str) -> tuple[BasketProposal, Job]:
        """Queue a draft as a run over its accounts, asked for by whoever made it; with the same ``key`` again nothing
        more happens.

        Raises
        ------
        Conflict
            It is no draft, or no longer as it was ``before``.
        TooManyJobs
            Its maker has as many jobs waiting as one may.
        """
        firm_id, content = before.firm_id, before.content
        if before.job_id == job_id_of(firm_id, before.maker, key):
            return before, self.jobs.get(firm_id, before.job_id)
        request = {
            "source": content.source,
            "accounts": list(content.accounts),
            "proposal": {
                **content.model_dump(mode="json", include={"weights", "complete"}),
                "proposal_id": before.proposal_id,
                "hash": before.content_hash,
            },
        }
        job = self.jobs.prepared(firm_id, JobKind.RUN, request, by=before.maker, key=key)
        after = submitted(before, job.job_id, who[1], self.acts.clock.now_ns())
        return self._move(before, after, "submitted", who, job), job

    def get(self, firm_id: str, proposal_id: str) -> BasketProposal:
        """A proposal of a firm, as it is now that its job may have ended; ``BadInput`` where there is none."""
        found = self.rows(firm_id).get(proposal_id)
        if found is None:
            raise NotThere("proposal", proposal_id, expected=f"a proposal of firm {firm_id}")
        return self._settled(found)

    def listed(
        self, firm_id: str, status: ProposalStatus | None, before: tuple[int, str] | None, limit: int
    ) -> tuple[BasketProposal, ...]:
        """Proposals of a firm, the newest first, of those before ``(created_ns, proposal_id)``."""
        self.settle(firm_id)
        statuses = () if status is None else (status,)
        return self.rows(firm_id).page(statuses=statuses, before=before, limit=limit)

    def settle(self, firm_id: str) -> None:
        """Take note of the jobs that have ended: a run that is done, or a draft again."""
        for one in self.rows(firm_id).page(statuses=(ProposalStatus.SUBMITTED,), limit=MOST_SETTLED):
            self._settled(one)

    def _settled(self, before: BasketProposal) -> BasketProposal:
        if before.status is not ProposalStatus.SUBMITTED:
            return before
        job = self.jobs.rows(before.firm_id).get(before.job_id)
        if job is not None and job.status not in ENDED:
            return before
        now_ns, by = self.acts.clock.now_ns(), ITSELF[1]
        if job is not None and job.status is JobStatus.DONE:
            after, action = was_run(before, job.run_id, by, now_ns), "run"
        else:
            after, action = given_back(before, _why(job), by, now_ns), "given_back"
        with suppress(Conflict):  # somebody else has just said so
            return self._move(before, after, action, ITSELF)  # type: ignore[arg-type]
        return self.get(before.firm_id, before.proposal_id)

    def _move(
        self, before: BasketProposal, after: BasketProposal, action: Action, who: Who, job: Job | None = None
    ) -> BasketProposal:
        rows, most = self.rows(before.firm_id), self.jobs.max_waiting
        record_acts(
            self.acts,
            place_of_firm(before.firm_id),
            (_act(after, action, who),),
            lambda events: rows.move(before, after, events, messages_of(after), job=job, max_waiting=most),
        )
        return after


def _plain(content: Content) -> Content:
    """With a note that may stay in the record, and its accounts in order, each once."""
    tidy = {"note": plain_text(content.note, "note"), "accounts": tuple(sorted(set(content.accounts)))}
    return content.model_copy(update=tidy)


def _act(proposal: BasketProposal, action: Action, who: Who) -> Act:
    return Act(
        move_payload(proposal, action), actor=who, correlation_id=proposal.job_id or proposal.proposal_id
    )


def _why(job: Job | None) -> str:
    if job is None:
        return "its job is no longer there"
    return masked_text(f"its job {job.status.value}" + (f": {job.error}" if job.error else ""))[0]
