"""Versions of a firm's own section of ``traders.yaml``: what each holds, what it does, and how it may move on.

A version is never edited: going back is a new version with an old document. ``payload_hash`` is what people agree to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from pydantic import Field, field_validator, model_validator

from regime_trading.core.canonical import content_hash, sha256_hex
from regime_trading.core.config_diff import Change, Direction, account_changes
from regime_trading.core.errors import BadInput
from regime_trading.core.messages import Message, ProposalData
from regime_trading.core.rules import Frozen
from regime_trading.core.schemas import Ident, Mode
from regime_trading.core.settings import Finding
from regime_trading.core.trader_profile import TraderProfile

FILE = "file"  #: author of what was written into the file by hand
DOCUMENT = "document"  #: how findings call the document they were given
REQUEST_KIND = "config"  #: of requests about a version
ALONE = 1
_ORDER = {Direction.LOOSENS: 0, Direction.TIGHTENS: 1, Direction.NEUTRAL: 2}


class VersionConflict(BadInput):
    """What was decided on is no longer what is there: another base, another status, another file."""


class NeedsAgreement(BadInput):
    """A loosening that the people it takes have not agreed to."""


class VersionStatus(StrEnum):
    """Where a version stands."""

    DRAFT = "draft"
    PROPOSED = "proposed"  #: people are asked to agree
    APPROVED = "approved"  #: agreed; not written yet, perhaps because it waits for ``effective_from_ns``
    APPLYING = "applying"  #: in the record, and about to be in the file
    APPLIED = "applied"  #: in the file
    SUPERSEDED = "superseded"
    REJECTED = "rejected"  #: by people, or by the loader where it was written by hand
    VOID = "void"


_NEXT: Mapping[VersionStatus, frozenset[VersionStatus]] = MappingProxyType(
    {
        VersionStatus.DRAFT: frozenset(
            {VersionStatus.PROPOSED, VersionStatus.APPROVED, VersionStatus.APPLYING, VersionStatus.VOID}
        ),
        VersionStatus.PROPOSED: frozenset(
            {VersionStatus.APPROVED, VersionStatus.APPLYING, VersionStatus.REJECTED, VersionStatus.VOID}
        ),
        VersionStatus.APPROVED: frozenset(
            {VersionStatus.APPROVED, VersionStatus.APPLYING, VersionStatus.VOID}
        ),
        VersionStatus.APPLYING: frozenset({VersionStatus.APPLIED, VersionStatus.VOID}),
        VersionStatus.APPLIED: frozenset({VersionStatus.SUPERSEDED}),
    }
)
OPEN = (VersionStatus.DRAFT, VersionStatus.PROPOSED, VersionStatus.APPROVED)  #: void once another is applied


class DocumentFinding(Finding):
    """A finding whose ``line`` is one of the document that was given, where ``file`` is ``document``.

    ``column`` counts from 1; both are None where the finding is not about a place of the document.
    """

    column: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What the loader says of a file with a firm's section in it.

    Parameters
    ----------
    data, before : bytes
        The whole file as it would be (empty where the document cannot even be put in), and as it is.
    document : str
        The firm's section, as it would be cut out again.
    profiles : tuple of TraderProfile
        Its accounts; empty where there are findings.
    findings : tuple of DocumentFinding
        Why the loader refuses the firm.
    file, first_line
        How the loader calls the file, and the line of it in which the document begins.
    """

    data: bytes
    before: bytes
    document: str
    profiles: tuple[TraderProfile, ...]
    findings: tuple[DocumentFinding, ...]
    file: str = ""
    first_line: int = 1

    def placed(self, file: str | None, line: int | None) -> tuple[str | None, int | None]:
        """A place of the loader's in the words of the document; other files by their names alone."""
        count = self.document.count("\n")
        if file == self.file and line is not None and 0 <= line - self.first_line < count:
            return DOCUMENT, line - self.first_line + 1
        return (None if file is None else file.rpartition("/")[2]), line


class AccountEffect(Frozen):
    """What a version does to one account, which may be nothing.

    Parameters
    ----------
    before_hash, after_hash : str
        Of the configuration in force; empty where the account is not there.
    loosens, tightens, neutral : int
        Changes by direction.
    mode : Mode
        The less guarded of its modes before and after.
    approvers : int
        People it takes to loosen it, the one who asks included; 1 = alone (``contracts.md`` 12).
    goes_live : bool
        It trades with real money after, and did not before.
    """

    account: str
    before_hash: str
    after_hash: str
    loosens: int
    tightens: int
    neutral: int
    mode: Mode
    approvers: int
    goes_live: bool

    @property
    def changes(self) -> bool:
        """Whether anything of the account changes."""
        return self.before_hash != self.after_hash or self.loosens + self.tightens + self.neutral > 0

    @property
    def needs_agreement(self) -> bool:
        """Whether it takes a second person."""
        return self.loosens > 0 and self.approvers > ALONE


class ConfigVersion(Frozen):
    """One version of a firm's section.

    Parameters
    ----------
    version : int
        1, 2, 3 … within the firm; 0 = not stored yet.
    parent : int
        The version that was in force when it was made; 0 = none.
    author, by : str
        Pseudonym of who wrote it and of who moved it last; ``file`` for what was written by hand.
    document : str
        YAML of the firm's mapping alone.
    base_file_hash : str
        SHA-256 of the whole file it was made against, and of the file before it was written.
    accounts : tuple of AccountEffect
        Every account before or after, in the order of the file.
    request_id : str
        The request that people agreed to; empty where nobody was asked.
    applied_ns, effective_from_ns : int, optional
        When it was written, and when everything it loosens is in force; UTC nanoseconds.
    detail : str
        Why it ended, where it did.
    """

    firm_id: Ident
    version: int = Field(ge=0)
    parent: int = Field(ge=0)
    status: VersionStatus
    author: str = Field(min_length=1, max_length=140)
    created_ns: int
    changed_ns: int
    document: str = Field(min_length=1)
    document_hash: str
    base_file_hash: str
    accounts: tuple[AccountEffect, ...] = ()
    reason: str = Field(default="", max_length=500)
    request_id: str = Field(default="", max_length=140)
    by: str = ""
    applied_ns: int | None = None
    effective_from_ns: int | None = None
    detail: str = ""

    @model_validator(mode="after")
    def _hash_holds(self) -> ConfigVersion:
        if self.document_hash != document_hash(self.document):
            raise ValueError(f"document_hash: expected {document_hash(self.document)}")
        return self

    @field_validator("reason", "detail")
    @classmethod
    def _one_line(cls, text: str) -> str:
        if not (text == "" or text.isprintable()):
            raise ValueError("expected printable text of one line, found control characters")
        return text

    @property
    def direction(self) -> Direction:
        """What it does as a whole: it loosens where anything does."""
        if any(one.loosens for one in self.accounts):
            return Direction.LOOSENS
        return Direction.TIGHTENS if any(one.tightens for one in self.accounts) else Direction.NEUTRAL

    @property
    def approvers(self) -> int:
        """People it takes, the one who asks included."""
        return max((one.approvers for one in self.accounts if one.needs_agreement), default=ALONE)

    @property
    def payload_hash(self) -> str:
        """What people agree to: this document over that base, and what it makes of every account."""
        return content_hash(
            {
                "firm_id": self.firm_id,
                "version": self.version,
                "parent": self.parent,
                "document": self.document_hash,
                "accounts": [one.model_dump(mode="json") for one in self.accounts],
            }
        )


def document_hash(document: str) -> str:
    """SHA-256 of a document."""
    return sha256_hex(document.encode())


def moved(version: ConfigVersion, status: VersionStatus, now_ns: int, by: str, **more: Any) -> ConfigVersion:
    """``version`` in another status.

    Raises
    ------
    VersionConflict
        No version goes that way.
    """
    if status not in _NEXT.get(version.status, frozenset()):
        ways = ", ".join(one for one in VersionStatus if status in _NEXT.get(one, frozenset()))
        raise VersionConflict(expected=f"one that is {ways}", found=version.status, where=name_of(version))
    return ConfigVersion(**{**dict(version), "status": status, "changed_ns": now_ns, "by": by, **more})


def name_of(version: ConfigVersion) -> str:
    """``version 7 of north-pier``."""
    return f"version {version.version} of {version.firm_id}"


def proposal_message(version: ConfigVersion, given: int = 0) -> Message:
    """Tells that what people were asked to agree to has moved on; ``given`` of them have agreed."""
    data = ProposalData(
        request_id=version.request_id,
        kind=REQUEST_KIND,
        status=version.status.value,
        given=given,
        required=version.approvers,
    )
    return Message(version.changed_ns, data)


def ordered(changes: Sequence[Change]) -> tuple[Change, ...]:
    """``changes`` with those that loosen first, else in their order."""
    return tuple(sorted(changes, key=lambda change: _ORDER[change.direction]))


def effects(
    old: Sequence[TraderProfile], new: Sequence[TraderProfile]
) -> tuple[tuple[AccountEffect, ...], tuple[Change, ...]]:
    """What a change of one firm's configuration does to each of its accounts, and every change.

    An account that is not in ``dry_run`` before or after takes as many people as its firm says, before or after,
    whichever is more.
    """
    changes = account_changes(old, new)
    before, after = ({profile.account: profile for profile in some} for some in (old, new))
    found = []
    for account in dict.fromkeys((*before, *after)):
        sides = (before.get(account), after.get(account))
        own = [change.direction for change in changes if change.account == account]
        found.append(_effect(account, *sides, own))
    return tuple(found), ordered(changes)


def _effect(
    account: str, old: TraderProfile | None, new: TraderProfile | None, own: Sequence[Direction]
) -> AccountEffect:
    sides = [side for side in (old, new) if side is not None]
    mode = max((side.mode for side in sides), key=list(Mode).index)
    people = max(side.governance.loosen_approvers for side in sides)
    live = [side is not None and side.mode is Mode.GATED_LIVE for side in (old, new)]
    return AccountEffect(
        account=account,
        before_hash=_hash(old),
        after_hash=_hash(new),
        loosens=own.count(Direction.LOOSENS),
        tightens=own.count(Direction.TIGHTENS),
        neutral=own.count(Direction.NEUTRAL),
        mode=mode,
        approvers=ALONE if mode is Mode.DRY_RUN else people,
        goes_live=live == [False, True],
    )


def _hash(profile: TraderProfile | None) -> str:
    return "" if profile is None else profile.config_hash
