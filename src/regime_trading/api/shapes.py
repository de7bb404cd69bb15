"""What the API says in answer: frozen models with instants as ISO 8601 text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from regime_trading.core.approvals import Approval, Comment, Vote
from regime_trading.core.commands.previews import Preview
from regime_trading.core.instants import instant_text
from regime_trading.services.approvals import Now

InstantText = Annotated[
    str, Field(description="UTC, ISO 8601", examples=["2026-11-26T12:00:00Z"], max_length=40)
]


class Shape(BaseModel):
    """Base of what is read or answered; what is not declared is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PreviewOut(Shape):
    """What a command would do, and what it takes to have it done (``pwa.md`` 7)."""

    preview_id: str
    action_hash: str = Field(description="SHA-256 of the whole preview; a confirmation names it")
    command: str
    resolved_from: str = Field(description="what was typed, where that was an alias; else empty")
    firm_id: str
    account: str
    mode: str | None
    klass: str
    summary_md: str
    effects: tuple[str, ...]
    unchanged: tuple[str, ...]
    undo: str
    diff: str
    blocking: tuple[str, ...] = Field(description="why it cannot be done")
    warnings: tuple[str, ...]
    confirm_phrase: str = Field(description="what must be typed; empty = nothing")
    requires_reason: bool
    requires_step_up: bool
    requires_second: bool
    base_version: str
    expires_at: InstantText


class DoneOut(Shape):
    """How a command ended: executed, requested of others, refused."""

    outcome: str
    said: str
    data: dict[str, JsonValue]
    request_id: str = ""


class VoteOut(Shape):
    """What one person said; people are pseudonyms."""

    actor: str
    agrees: bool
    at: InstantText
    reason: str


class CommentOut(Shape):
    """What one person said about a request."""

    actor: str = Field(description="pseudonym")
    at: InstantText
    text: str


class ApprovalOut(Shape):
    """A request that other people must agree to."""

    request_id: str
    firm_id: str
    account: str
    kind: str
    klass: str
    status: str
    why: str = Field(description="how it ended; empty while it has not")
    command: str
    summary_md: str
    effects: tuple[str, ...]
    diff: str
    maker: str = Field(description="pseudonym")
    reason: str
    payload_hash: str
    base_version: str
    given: int
    required: int
    votes: tuple[VoteOut, ...]
    comments: tuple[CommentOut, ...] = Field(description="in their order; a comment is no step")
    created_at: InstantText
    expires_at: InstantText
    phrase: str = Field(description="what whoever agrees must type")
    version: int


class EffectNowOut(Shape):
    """One effect of a request: as it was asked for (`same`), `new` since, or `gone` since."""

    text: str
    mark: Literal["same", "new", "gone"]


class NowOut(Shape):
    """What a request would do if it were carried out now."""

    effects: tuple[EffectNowOut, ...]
    unchanged: tuple[str, ...]
    warnings: tuple[str, ...]
    undo: str
    diff: str
    changed: str = Field(
        description="what is not as it was, or stands in the way: whoever agrees voids it; empty where nothing is"
    )


class ApprovalNowOut(ApprovalOut):
    """A request beside what it would do now."""

    now: NowOut | None = Field(description="null where it can no longer be answered")
    why_not: str = Field(description="why the caller cannot agree to it; empty where they can")


def preview_out(preview: Preview) -> PreviewOut:
    """A preview as it is shown."""
    same = set(PreviewOut.model_fields) & set(Preview.model_fields)
    said = {name: getattr(preview, name) for name in same}
    return PreviewOut(
        **said
        | {
            "mode": None if preview.mode is None else preview.mode.value,
            "klass": preview.klass.value,
            "action_hash": preview.action_hash,
            "requires_second": preview.requires_second,
            "expires_at": instant_text(preview.expires_ns),
        }
    )


def approval_out(approval: Approval) -> ApprovalOut:
    """A request as it is shown."""
    request = approval.request
    return ApprovalOut(
        request_id=request.request_id,
        firm_id=request.firm_id,
        account=request.account,
        kind=request.kind.value,
        klass=request.klass,
        status=approval.status.value,
        why=approval.why,
        command=request.command,
        summary_md=request.summary_md,
        effects=request.effects,
        diff=request.diff,
        maker=request.maker_actor,
        reason=request.reason,
        payload_hash=request.payload_hash,
        base_version=request.base_version,
        given=approval.given,
        required=request.required.n,
        votes=tuple(_vote(vote) for vote in approval.votes),
        comments=tuple(comment_out(one) for one in approval.comments),
        created_at=instant_text(request.created_ns),
        expires_at=instant_text(request.expires_ns),
        phrase=request.phrase,
        version=approval.version,
    )


def comment_out(comment: Comment) -> CommentOut:
    """A comment as it is shown."""
    return CommentOut(actor=comment.actor, at=instant_text(comment.at_ns), text=comment.text)


def approval_now_out(approval: Approval, now: Now | None, why_not: str) -> ApprovalNowOut:
    """A request beside what it would do now."""
    said = None if now is None else _now(approval.request.effects, now)
    return ApprovalNowOut(**approval_out(approval).model_dump(), now=said, why_not=why_not)


def _now(asked: Sequence[str], now: Now) -> NowOut:
    found = now.effects
    there = () if found is None else found.effects
    marked = [EffectNowOut(text=text, mark="same" if text in asked else "new") for text in there]
    marked += [EffectNowOut(text=text, mark="gone") for text in asked if text not in there]
    return NowOut(
        effects=tuple(marked),
        unchanged=() if found is None else found.unchanged,
        warnings=() if found is None else found.warnings,
        undo="" if found is None else found.undo,
        diff="" if found is None else found.diff,
        changed=now.changed,
    )


def _vote(vote: Vote) -> VoteOut:
    return VoteOut(actor=vote.actor, agrees=vote.agrees, at=instant_text(vote.at_ns), reason=vote.reason)
