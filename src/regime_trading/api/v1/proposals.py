"""People's own weights: candidates, drafts, pre-checks, and a run of what was submitted."""

from __future__ import annotations

from collections.abc import Callable
from threading import BoundedSemaphore
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from regime_trading.api.deps import Allowed, Base, BaseDep, require, require_also
from regime_trading.api.errors import ApiError
from regime_trading.api.etags import IfMatch, require_match
from regime_trading.api.idempotency import KeyHeader, OnceDep, require_key
from regime_trading.api.limits import alone
from regime_trading.api.shapes import InstantText, Shape
from regime_trading.api.v1.jobs import JobOut, job_out
from regime_trading.core.access import Permission, reachable
from regime_trading.core.errors import BadInput, NotThere
from regime_trading.core.instants import instant_text
from regime_trading.core.jobs import job_id_of
from regime_trading.core.proposals import (
    MOST_ACCOUNTS,
    BasketProposal,
    Content,
    ProposalStatus,
    Weights,
)
from regime_trading.core.rules.base import decimal_text
from regime_trading.core.schemas import ActorType, Ident
from regime_trading.core.settings import AccountName, SourceName
from regime_trading.services.acts import Who
from regime_trading.services.proposals import Precheck, ProposalService
from regime_trading.services.views import baskets
from regime_trading.services.views.base import Asker
from regime_trading.services.views.sources import FirmSources

Reader = Annotated[Allowed, require(Permission.READ, some=True)]
Proposer = Annotated[Allowed, require(Permission.PROPOSE_BASKET)]
Submitter = Annotated[Allowed, require(Permission.SUBMIT_BASKET, some=True)]
Id = Annotated[str, Path(max_length=140)]
MOST = 200


class WeightsIn(Shape):
    """Weights that somebody has in an editor."""

    name: Ident | None = Field(default=None, description="what people call it; the basket's where not said")
    basket: Ident | None = Field(default=None, description="whose followers it is for", examples=["us-core"])
    accounts: tuple[AccountName, ...] = Field(
        default=(),
        max_length=MOST_ACCOUNTS,
        description="that shall follow these weights with their whole book; the basket's followers where empty",
        examples=[["north-pier/core"]],
    )
    source: SourceName = "bundled"
    weights: Weights = Field(
        description="fractions of equity by symbol, as decimal text", examples=[{"KO": "0.3", "PEP": "0.2"}]
    )
    complete: bool = Field(default=True, description="symbols that are not named are to be 0, else kept")
    note: str = Field(default="", max_length=500, description="stays in the record")


class WithdrawIn(Shape):
    """Why it is no longer wanted."""

    reason: str = Field(default="", max_length=400, description="stays in the record")


class ProposalOut(Shape):
    """A proposal."""

    proposal_id: str
    firm: str
    name: str
    basket: str | None
    accounts: tuple[str, ...]
    source: str
    weights: dict[str, str]
    complete: bool
    gross: float
    net: float
    note: str
    content_hash: str = Field(description="SHA-256 of the weights; the run names it")
    maker: str = Field(description="pseudonym")
    mine: bool = Field(description="it is the caller's own")
    status: ProposalStatus
    job_id: str
    run_id: str
    why: str = Field(description="why it is a draft again, or was withdrawn")
    version: int
    created_at: InstantText
    changed_at: InstantText


class ProposalsOut(Shape):
    """A page of proposals."""

    items: tuple[ProposalOut, ...]
    next_cursor: str | None


class SubmittedOut(Shape):
    """A proposal and the run it became."""

    proposal: ProposalOut
    job: JobOut


class PrecheckOut(Shape):
    """What the guards would make of weights now, account by account; nothing was recorded."""

    content_hash: str
    accounts: tuple[baskets.PreCheck, ...]


class ProposalDeps:
    """What the routes stand on.

    Parameters
    ----------
    service : ProposalService
    sources_of : callable
        Sources of a firm's views.
    pseudonym : callable
        Of a person in the record of a firm.
    precheck : Precheck
        One at a time.
    """

    def __init__(
        self,
        service: ProposalService,
        sources_of: Callable[[str], FirmSources],
        pseudonym: Callable[[str, str], str],
        precheck: Precheck,
    ) -> None:
        self.service, self.sources_of, self.pseudonym, self.precheck = (
            service,
            sources_of,
            pseudonym,
            precheck,
        )

    def who(self, allowed: Allowed) -> Who:
        """Whoever calls, in the record."""
        return ActorType.USER, self.pseudonym(allowed.target.firm_id, allowed.principal.user_id)


def proposals_router(deps: ProposalDeps) -> APIRouter:
    """Routes over the proposals of a firm."""
    router = APIRouter(prefix="/firms/{firm}/proposals", tags=["proposals"])
    _add_reading(router, deps)
    _add_trying(router, deps)
    _add_making(router, deps)
    return router


def _add_reading(router: APIRouter, deps: ProposalDeps) -> None:
    @router.get("")
    def list_proposals(
        firm: str,
        allowed: Reader,
        base: BaseDep,
        status: ProposalStatus | None = None,
        cursor: Annotated[str, Query(max_length=200)] = "",
        limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
    ) -> ProposalsOut:
        """Proposals over accounts one may see, the newest first."""
        shown, place = list[BasketProposal](), _place(cursor)
        while len(shown) <= limit:
            page = deps.service.listed(firm, status, place, MOST)
            shown += [one for one in page if _sees(allowed, one)]
            if len(page) < MOST:
                break
            place = page[-1].created_ns, page[-1].proposal_id
        me, kept = deps.who(allowed)[1], shown[:limit]
        more = f"{kept[-1].created_ns}.{kept[-1].proposal_id}" if len(shown) > limit else None
        return ProposalsOut(items=tuple(proposal_out(one, me) for one in kept), next_cursor=more)

    @router.get("/candidates")
    def list_candidates(
        firm: str, allowed: Reader, basket: Annotated[str, Query(max_length=40, examples=["us-core"])]
    ) -> baskets.Candidates:
        """Symbols of a basket with the regimes of the last run, the best first."""
        return baskets.candidates(deps.sources_of(firm), _asker(allowed), basket)

    @router.get("/{proposal_id}")
    def read_proposal(
        firm: str, proposal_id: Id, allowed: Reader, base: BaseDep, request: Request, response: Response
    ) -> ProposalOut:
        """One proposal; its ETag is what a change must name."""
        found = _find(deps, request, base, allowed, proposal_id)
        return _tagged(response, proposal_out(found, deps.who(allowed)[1]))


def _add_trying(router: APIRouter, deps: ProposalDeps) -> None:
    turn = BoundedSemaphore(1)

    def checked(content: Content, allowed: Allowed) -> PrecheckOut:
        with alone(turn, "pre-check"):
            found = deps.precheck(content, content.accounts)
        shown = tuple(baskets.pre_check(_asker(allowed), one) for one in found)
        return PrecheckOut(content_hash=content.content_hash, accounts=shown)

    @router.post("/precheck")
    def check_weights(firm: str, body: WeightsIn, allowed: Proposer, base: BaseDep) -> PrecheckOut:
        """What the guards would leave of weights that nobody has kept yet. The first look at a set of symbols finds
        their regimes and takes longer than the next."""
        return checked(_content(body, allowed, base, deps.sources_of(firm)), allowed)

    @router.post("/{proposal_id}/precheck")
    def check_proposal(
        firm: str, proposal_id: Id, allowed: Proposer, base: BaseDep, request: Request
    ) -> PrecheckOut:
        """What the guards would leave of a proposal now."""
        found = _find(deps, request, base, allowed, proposal_id)
        for account in found.content.accounts:
            require_also(request, base, allowed, allowed.permission, account)
        return checked(found.content, allowed)


def _add_making(router: APIRouter, deps: ProposalDeps) -> None:
    @router.post("", status_code=201)
    def draft_proposal(
        firm: str,
        body: WeightsIn,
        allowed: Proposer,
        base: BaseDep,
        response: Response,
        key: KeyHeader = None,
    ) -> ProposalOut:
        """Keep weights as a draft; the same key again is the same draft."""
        content, who = _content(body, allowed, base, deps.sources_of(firm)), deps.who(allowed)
        made = deps.service.draft(firm, content, who, require_key(key))
        return _tagged(response, proposal_out(made, who[1]))

    @router.put("/{proposal_id}")
    def change_proposal(
        firm: str,
        proposal_id: Id,
        body: WeightsIn,
        allowed: Proposer,
        base: BaseDep,
        request: Request,
        match: IfMatch,
        _once: OnceDep,
        response: Response,
    ) -> ProposalOut:
        """Other weights for one's own draft; ``If-Match`` names what one has seen."""
        before, who = _find(deps, request, base, allowed, proposal_id), deps.who(allowed)
        if before.maker != who[1]:
            raise ApiError(403, "not_own", "somebody else's draft: make one of your own", needs=("role",))
        require_match(match, etag_of_version(before.proposal_id, before.version))
        content = _content(body, allowed, base, deps.sources_of(firm))
        return _tagged(response, proposal_out(deps.service.change(before, content, who), who[1]))

    @router.post("/{proposal_id}/withdraw")
    def withdraw_proposal(
        firm: str,
        proposal_id: Id,
        body: WithdrawIn,
        allowed: Proposer,
        base: BaseDep,
        request: Request,
        match: IfMatch,
        _once: OnceDep,
        response: Response,
    ) -> ProposalOut:
        """A draft is no longer wanted: one's own, or anybody's by whoever could submit it."""
        before, who = _find(deps, request, base, allowed, proposal_id), deps.who(allowed)
        if before.maker != who[1]:
            _require_submitting(request, base, allowed, before)
        require_match(match, etag_of_version(before.proposal_id, before.version))
        return _tagged(response, proposal_out(deps.service.withdraw(before, who, body.reason), who[1]))

    @router.post("/{proposal_id}/submit", status_code=202)
    def submit_proposal(
        firm: str,
        proposal_id: Id,
        allowed: Submitter,
        base: BaseDep,
        request: Request,
        match: IfMatch,
        response: Response,
        key: KeyHeader = None,
    ) -> SubmittedOut:
        """Queue a draft as a run over its accounts; the same key again is the same run. ``If-Match`` names what one has
        seen."""
        before, who, intent = (
            _find(deps, request, base, allowed, proposal_id),
            deps.who(allowed),
            require_key(key),
        )
        _require_submitting(request, base, allowed, before)
        if before.job_id != job_id_of(firm, before.maker, intent):
            require_match(match, etag_of_version(before.proposal_id, before.version))
        after, job = deps.service.submit(before, who, intent)
        shown = _tagged(response, proposal_out(after, who[1]))
        return SubmittedOut(proposal=shown, job=job_out(job))


def etag_of_version(proposal_id: str, version: int) -> str:
    """Tag of one version of a proposal."""
    return f'"{proposal_id}.{version}"'


def proposal_out(proposal: BasketProposal, me: str) -> ProposalOut:
    """A proposal as it is shown to somebody."""
    content = proposal.content
    weights = [float(weight) for weight in content.weights.values()]
    return ProposalOut(
        proposal_id=proposal.proposal_id,
        firm=proposal.firm_id,
        name=content.name,
        basket=content.basket,
        accounts=content.accounts,
        source=content.source,
        weights={symbol: decimal_text(weight) for symbol, weight in content.weights.items()},
        complete=content.complete,
        gross=sum(map(abs, weights)),
        net=sum(weights),
        note=content.note,
        content_hash=proposal.content_hash,
        maker=proposal.maker,
        mine=proposal.maker == me,
        status=proposal.status,
        job_id=proposal.job_id,
        run_id=proposal.run_id,
        why=proposal.why,
        version=proposal.version,
        created_at=instant_text(proposal.created_ns),
        changed_at=instant_text(proposal.changed_ns),
    )


def _tagged(response: Response, shown: ProposalOut) -> ProposalOut:
    response.headers["etag"] = etag_of_version(shown.proposal_id, shown.version)
    return shown


def _asker(allowed: Allowed) -> Asker:
    return Asker(allowed.principal, allowed.now_ns)


def _sees(allowed: Allowed, proposal: BasketProposal) -> bool:
    """Whether somebody may read every account that a proposal is for."""
    accounts = proposal.content.accounts
    return len(reachable(allowed.principal, Permission.READ, accounts, allowed.now_ns)) == len(accounts)


def _find(
    deps: ProposalDeps, request: Request, base: Base, allowed: Allowed, proposal_id: str
) -> BasketProposal:
    """A proposal that one may see; whoever asks for another one is told that there is none, and it is recorded."""
    try:
        found = deps.service.get(allowed.target.firm_id, proposal_id)
        if _sees(allowed, found):
            return found
    except BadInput:
        pass
    raise NotThere("proposal", proposal_id)


def _content(body: WeightsIn, allowed: Allowed, base: Base, sources: FirmSources) -> Content:
    """What was asked for, with its accounts named: each of them one that the caller may propose for."""
    known = base.accounts(allowed.target.firm_id) or ()
    mine = reachable(allowed.principal, Permission.PROPOSE_BASKET, known, allowed.now_ns)
    following = () if body.basket is None else baskets.followers(sources, _asker(allowed), body.basket)
    if body.basket is not None and not following:
        raise NotThere("basket", body.basket)
    accounts = body.accounts or following
    if missing := [account for account in accounts if account not in mine]:
        raise NotThere("account", missing[0])
    name = body.name or body.basket
    if name is None or not accounts:
        raise BadInput(expected="a basket, or a name and accounts", found="neither", where="body")
    said = body.model_dump(exclude={"name", "accounts"})
    return Content(name=name, accounts=tuple(sorted(set(accounts))), **said)


def _require_submitting(request: Request, base: Base, allowed: Allowed, proposal: BasketProposal) -> None:
    for account in proposal.content.accounts:
        require_also(request, base, allowed, Permission.SUBMIT_BASKET, account)


def _place(cursor: str) -> tuple[int, str] | None:
    created, _, proposal_id = cursor.partition(".")
    if not cursor:
        return None
    if not (created.isascii() and created.isdecimal() and len(created) < 20 and proposal_id):
        raise BadInput(expected="a cursor of an earlier page", found=repr(cursor[:60]), where="cursor")
    return int(created), proposal_id
