"""A person's own weights (``contracts.md`` 5): drafted, changed, submitted as a run, withdrawn, step by step.

A draft may be changed by whoever made it. What was submitted is a job with these very weights; it becomes a draft again
where that job did not end well, and stays as it is where it did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from regime_trading.core.canonical import canonical_json, content_hash, sha256_hex
from regime_trading.core.errors import BadInput, Conflict
from regime_trading.core.event_payloads import Name, ProposalMoved, Text
from regime_trading.core.messages import Message, ProposalData
from regime_trading.core.rules import Frozen
from regime_trading.core.rules.base import Number, decimal_text
from regime_trading.core.schemas import Ident, PMDecision, Proposal, Symbol
from regime_trading.core.settings import AccountName, SourceName

MOST_SYMBOLS = 500
MOST_ACCOUNTS = 50
MOST_DRAFTS = 100  #: that one person may have open in a firm
LARGEST = Decimal(
    2
)  #: absolute weight that is still taken for one (DS-11 refuses the whole proposal beyond it)
REQUEST_KIND = "proposal"  #: of the messages that tell of one
NANO = Decimal("1e-9")


def _weight(value: Decimal) -> Decimal:
    if not value.is_finite() or abs(value) > LARGEST:
        raise ValueError(f"expected a fraction of equity from -{LARGEST} to {LARGEST}, found {value}")
    if value != value.quantize(NANO):
        raise ValueError(f"expected at most 9 decimals, found {value}")
    return value.normalize() + 0  # no -0


Weight = Annotated[Number, AfterValidator(_weight)]
Weights = Annotated[dict[Symbol, Weight], Field(min_length=1, max_length=MOST_SYMBOLS)]


class ProposalStatus(StrEnum):
    """Where a proposal stands."""

    DRAFT = "draft"
    SUBMITTED = "submitted"  #: its job waits or is at work
    WITHDRAWN = "withdrawn"
    RUN = "run"  #: its run is done


class OwnWeights(Frozen):
    """What is proposed: fractions of equity by symbol. ``complete``: a symbol that is not named is to be 0, else it is
    kept as it is."""

    weights: Weights
    complete: bool = True

    @property
    def content_hash(self) -> str:
        """SHA-256 of the weights, however they were written."""
        plain = {symbol: decimal_text(weight) for symbol, weight in self.weights.items()}
        return content_hash({"complete": self.complete, "weights": plain})

    def proposal(self, as_of_ns: int) -> Proposal:
        """What the pipeline takes."""
        return Proposal(
            proposal_id=self.content_hash[:32],
            as_of=as_of_ns,  # type: ignore[call-arg]
            complete=self.complete,
            weights=dict(self.weights),
            input_hash=self.content_hash,
        )


class Content(OwnWeights):
    """What somebody writes into a proposal.

    Parameters
    ----------
    name : str
        What people call it.
    basket : str, optional
        The configured basket it takes the place of.
    accounts : tuple of str
        Full names, sorted. Each of them is to follow these weights with its whole book.
    source : str
        Name of the data source it is decided on.
    note : str
    """

    name: Ident
    basket: Ident | None = None
    accounts: Annotated[tuple[AccountName, ...], Field(min_length=1, max_length=MOST_ACCOUNTS)]
    source: SourceName = "bundled"
    note: Text = ""


class BasketProposal(Frozen):
    """A proposal of a firm. ``version`` counts its steps; people are pseudonyms, times UTC nanoseconds.

    Parameters
    ----------
    proposal_id, firm_id : str
    content : Content
    maker : str
        Who wrote it; also who its job is asked for by.
    by : str
        Who took the last step.
    status : ProposalStatus
    job_id, run_id : str
        Of what it was submitted as; empty before.
    why : str
        Why it is a draft again, or how it ended.
    """

    proposal_id: Name
    firm_id: Ident
    content: Content
    maker: Name
    by: Name
    created_ns: int
    changed_ns: int
    status: ProposalStatus = ProposalStatus.DRAFT
    job_id: Annotated[str, Field(max_length=140)] = ""
    run_id: Annotated[str, Field(max_length=140)] = ""
    why: Text = ""
    version: Annotated[int, Field(ge=1)] = 1

    @property
    def content_hash(self) -> str:
        """SHA-256 of the weights."""
        return self.content.content_hash


@dataclass(frozen=True, slots=True)
class Prechecked:
    """What would be decided for one account. ``volatility`` is annualised: of what is held, of what is proposed and of
    what would be left of it; None where it is not known."""

    decision: PMDecision
    volatility: tuple[float | None, float | None, float | None]


def proposal_id_of(firm_id: str, maker: str, key: str) -> str:
    """Id of what somebody drafts under an idempotency key: the same key is the same proposal."""
    return f"pr-{sha256_hex(canonical_json([firm_id, maker, key]))[:20]}"


# --- from one state to the next -------------------------------------------------------------------------------


def changed(before: BasketProposal, content: Content, by: str, now_ns: int) -> BasketProposal:
    """With another content; only a draft, by whoever made it."""
    _require(before, ProposalStatus.DRAFT)
    if by != before.maker:
        raise BadInput(expected="whoever made it", found=by, where=before.proposal_id)
    return _moved(before, by, now_ns, content=content, why="")


def withdrawn(before: BasketProposal, by: str, now_ns: int, why: str) -> BasketProposal:
    """No longer wanted; only a draft: what was submitted is taken back by cancelling its job."""
    _require(before, ProposalStatus.DRAFT)
    return _moved(before, by, now_ns, status=ProposalStatus.WITHDRAWN, why=why)


def submitted(before: BasketProposal, job_id: str, by: str, now_ns: int) -> BasketProposal:
    """A job with its weights waits."""
    _require(before, ProposalStatus.DRAFT)
    return _moved(before, by, now_ns, status=ProposalStatus.SUBMITTED, job_id=job_id, run_id="", why="")


def was_run(before: BasketProposal, run_id: str, by: str, now_ns: int) -> BasketProposal:
    """Its job is done."""
    _require(before, ProposalStatus.SUBMITTED)
    return _moved(before, by, now_ns, status=ProposalStatus.RUN, run_id=run_id)


def given_back(before: BasketProposal, why: str, by: str, now_ns: int) -> BasketProposal:
    """Its job failed or was cancelled: a draft again."""
    _require(before, ProposalStatus.SUBMITTED)
    return _moved(before, by, now_ns, status=ProposalStatus.DRAFT, why=why)


def _moved(before: BasketProposal, by: str, now_ns: int, **values: object) -> BasketProposal:
    step = {"by": by, "changed_ns": now_ns, "version": before.version + 1}
    return before.model_copy(update=step | values)


def _require(proposal: BasketProposal, status: ProposalStatus) -> None:
    if proposal.status is not status:
        said = f"{proposal.proposal_id} is {proposal.status.value}, not {status.value}"
        raise Conflict("status", said)


# --- telling --------------------------------------------------------------------------------------------------

Action = Literal["drafted", "changed", "submitted", "withdrawn", "run", "given_back"]


def move_payload(proposal: BasketProposal, action: Action) -> ProposalMoved:
    """The entry that tells of a step."""
    content = proposal.content
    return ProposalMoved(
        proposal_id=proposal.proposal_id,
        action=action,
        version=proposal.version,
        name=content.name,
        basket=content.basket or "",
        accounts=content.accounts,
        weights={symbol: decimal_text(weight) for symbol, weight in sorted(content.weights.items())},
        complete=content.complete,
        content_hash=proposal.content_hash,
        maker=proposal.maker,
        job_id=proposal.job_id,
        produced_run=proposal.run_id,
        note=content.note,
        why=proposal.why,
    )


def messages_of(proposal: BasketProposal) -> Sequence[Message]:
    """What the live channel tells of a step, account by account: whoever may read one of them is told."""
    data = ProposalData(
        request_id=proposal.proposal_id,
        kind=REQUEST_KIND,
        status=proposal.status.value,
        given=0,
        required=0,
    )
    return tuple(Message(proposal.changed_ns, data, account) for account in proposal.content.accounts)
