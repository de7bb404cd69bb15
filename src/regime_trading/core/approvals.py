"""Four eyes (``risk.md`` 5.2): a request that other people must agree to, and what has become of it, as values.

What was asked for never changes; any change of the world around it voids it. The steps it can take are in
:mod:`regime_trading.core.approval_steps`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from regime_trading.core.access import Permission, Role
from regime_trading.core.canonical import content_hash
from regime_trading.core.event_payloads import Account, Hash, MaybeHash, Name
from regime_trading.core.schemas import Mode

MINUTE_NS = 60_000_000_000
TTL_NS = 30 * MINUTE_NS  #: how long others have to agree
CONFIG_TTL_NS = 24 * 60 * MINUTE_NS  #: to a configuration
REASON_LENGTH = 10
COMMENT_LENGTH = 1_000  #: characters of a comment at most


class ApprovalKind(StrEnum):
    """What is asked for."""

    BASKET = "basket"
    CONFIG = "config"
    UNLOCK = "unlock"
    MODE = "mode"
    CUSTOM = "custom"  #: whatever else an account or a firm wants two people for


class ApprovalStatus(StrEnum):
    """How far a request has come. All but the first three are final."""

    REQUESTED = "requested"
    GIVEN = "given"  #: enough people agreed; not carried out yet
    EXECUTING = "executing"  #: somebody is carrying it out; never by a second one
    EXECUTED = "executed"
    FAILED = "failed"  #: it was tried, and refused; nothing was done
    REFUSED = "refused"
    VOID = "void"
    EXPIRED = "expired"


S = ApprovalStatus
PENDING = frozenset({S.REQUESTED, S.GIVEN})
ENDED = frozenset(S) - PENDING - {S.EXECUTING}
#: Permission to ask, and permission to agree.
PERMISSIONS: Mapping[ApprovalKind, tuple[Permission, Permission]] = MappingProxyType(
    {
        ApprovalKind.BASKET: (
            Permission.RUN,
            Permission.APPROVE_BASKET,
        ),  # the run asks, for whoever began it
        ApprovalKind.CONFIG: (Permission.REQUEST_LOOSENING, Permission.APPROVE_LOOSENING),
        ApprovalKind.UNLOCK: (Permission.REQUEST_UNLOCK, Permission.APPROVE_UNLOCK),
        ApprovalKind.MODE: (Permission.REQUEST_LIVE, Permission.APPROVE_LIVE),
        ApprovalKind.CUSTOM: (Permission.DRAFT_CONFIG, Permission.APPROVE_LOOSENING),
    }
)


class _Model(BaseModel):
    """Immutable and strict."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Required(_Model):
    """Who must agree: ``n`` people, each with one of ``roles`` over the account, none of ``excludes`` (user ids)."""

    n: Annotated[int, Field(ge=1, le=9)] = 1
    roles: tuple[Role, ...] = (Role.PM, Role.ADMIN)
    excludes: tuple[str, ...] = ()


class Request(_Model):
    """What is asked for, by whom, and what it was bound to. Never changes.

    Parameters
    ----------
    request_id : str
    firm_id, account : str
        ``account`` is empty where it is about the firm.
    kind : ApprovalKind
    klass : str
        Class of the command.
    loosens : bool
        A halt voids it.
    command : str
        In its normal form; what is carried out.
    summary_md : str
        What the maker was shown.
    effects : tuple of str
    diff : str
    effects_hash : str
        Of what it would do, as it was simulated for the maker.
    base_version, config_hash, code_version : str
        The state of the world, the configuration and the program it was asked for under.
    maker, maker_session, maker_actor : str
        User id, session, pseudonym. A maker that is no person (:attr:`by_person`) can agree to nothing.
    reason : str
    created_ns, expires_ns : int
        UTC nanoseconds.
    required : Required
    """

    request_id: Name
    firm_id: Name
    account: Account = ""
    kind: ApprovalKind
    klass: Name
    loosens: bool
    command: Annotated[str, Field(min_length=1, max_length=2_000)]
    summary_md: str
    effects: tuple[str, ...]
    diff: str = ""
    effects_hash: Hash
    base_version: str
    config_hash: MaybeHash = ""
    code_version: str
    maker: Name
    maker_session: Name
    maker_actor: Name
    reason: Annotated[str, Field(min_length=REASON_LENGTH, max_length=500)]
    created_ns: int
    expires_ns: int
    required: Required

    @property
    def by_person(self) -> bool:
        """Whether a person asked who has a login; else a service (``service:…``) or whoever runs this machine
        (``local:…``), who have no roles that could be lost."""
        return ":" not in self.maker

    @property
    def phrase(self) -> str:
        """What whoever agrees must type: the full name of the account, or the firm."""
        return self.account or self.firm_id

    @property
    def payload_hash(self) -> str:
        """SHA-256 of everything above: what people agree to."""
        plain: dict[str, JsonValue] = self.model_dump(mode="json")
        return content_hash(plain | {"created_ns": str(self.created_ns), "expires_ns": str(self.expires_ns)})


class Vote(_Model):
    """What one person said."""

    user_id: Name
    session_id: Name
    actor: Name
    agrees: bool
    at_ns: int
    reason: Annotated[str, Field(max_length=500)] = ""


class Comment(_Model):
    """What one person (a pseudonym) said about a request, beside any answer."""

    actor: Name
    at_ns: int
    text: Annotated[str, Field(min_length=1, max_length=COMMENT_LENGTH)]


class Approval(_Model):
    """A request and what has become of it. ``version`` counts its steps, and a comment is none; ``why`` says how it
    ended."""

    request: Request
    status: ApprovalStatus = S.REQUESTED
    votes: tuple[Vote, ...] = ()
    version: int = 1
    why: Annotated[str, Field(max_length=500)] = ""
    comments: tuple[Comment, ...] = ()

    @property
    def given(self) -> int:
        """How many have agreed."""
        return sum(vote.agrees for vote in self.votes)

    @property
    def by(self) -> tuple[str, ...]:
        """Pseudonyms of those who agreed."""
        return tuple(vote.actor for vote in self.votes if vote.agrees)


class Seen(_Model):
    """What somebody had before their eyes when they agreed, or what is there now that it is to be carried out."""

    payload_hash: Hash
    effects_hash: Hash
    base_version: str
    config_hash: MaybeHash
    code_version: str


def seen(request: Request) -> Seen:
    """What a request was bound to."""
    return Seen(
        payload_hash=request.payload_hash,
        effects_hash=request.effects_hash,
        base_version=request.base_version,
        config_hash=request.config_hash,
        code_version=request.code_version,
    )


# --- who, and how many ----------------------------------------------------------------------------------------


def ttl_ns(kind: ApprovalKind) -> int:
    """How long a request of a kind stands."""
    return CONFIG_TTL_NS if kind is ApprovalKind.CONFIG else TTL_NS


def others_needed(kind: ApprovalKind, mode: Mode | None, *, maker_could_agree: bool) -> int:
    """How many other people must agree (``contracts.md`` 12): none in a dry run, where the maker might agree to such
    a request of somebody else; one everywhere else, and always for a mode. ``mode`` None = unknown."""
    alone = mode is Mode.DRY_RUN and maker_could_agree and kind is not ApprovalKind.MODE
    return 0 if alone else 1
