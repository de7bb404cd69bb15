"""Versions of the configuration as they are shown: what the reader may see of them, with amounts or without."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import Field, JsonValue

from regime_trading.api.deps import Allowed, Base
from regime_trading.api.shapes import InstantText, Shape
from regime_trading.core.access import Answer, Permission, Target, may, reachable, shows_amounts
from regime_trading.core.config_diff import Change, Direction
from regime_trading.core.config_versions import AccountEffect, ConfigVersion, DocumentFinding, VersionStatus
from regime_trading.core.instants import instant_text
from regime_trading.core.schemas import Mode
from regime_trading.services.config_apply import Current, Drift
from regime_trading.services.config_versions import VersionDiff


class FindingOut(Shape):
    """Why the loader refuses a document; ``file`` is ``document`` where line and column are those of the document."""

    path: str = Field(description="dotted key", examples=["risk.gross"])
    file: str | None
    line: int | None
    column: int | None
    layers: tuple[str, ...] = Field(description="involved, upper first", examples=[["firm north-pier"]])
    direction: str = Field(description="looser, for what loosens a layer above; else empty")
    expected: str
    found: str


class EffectOut(Shape):
    """What a version does to one account."""

    account: str = Field(examples=["north-pier/core"])
    before_hash: str = Field(description="SHA-256 of what was in force; empty = the account was not there")
    after_hash: str
    loosens: int = Field(description="changes that loosen")
    tightens: int
    neutral: int
    mode: Mode = Field(description="the less guarded of before and after")
    approvers: int = Field(description="people it takes to loosen it, the one who asks included")
    goes_live: bool


class ChangeOut(Shape):
    """One key in force that differs; values are null where there are none, or where amounts are not shown."""

    account: str
    path: str = Field(examples=["risk.gross.max_gross"])
    direction: Direction
    old: JsonValue
    new: JsonValue
    message: str
    layers: tuple[str, ...] = Field(description="that decide now")
    file: str | None
    line: int | None
    old_layers: tuple[str, ...]
    old_file: str | None
    old_line: int | None


class VersionOut(Shape):
    """One version, without its document."""

    firm: str
    version: int = Field(examples=[7])
    parent: int = Field(description="the version in force when it was made; 0 = none")
    status: VersionStatus
    direction: Direction
    approvers: int = Field(description="people it takes, the one who asks included; 1 = alone")
    author: str = Field(description="pseudonym, or file for what was written by hand")
    by: str = Field(description="who moved it last")
    reason: str
    detail: str = Field(description="why it ended, where it did")
    request_id: str
    document_hash: str
    payload_hash: str = Field(description="SHA-256 of what people agree to")
    accounts: tuple[EffectOut, ...] = Field(description="those that one may see")
    created_at: InstantText
    applied_at: InstantText | None
    effective_from: InstantText | None = Field(description="when everything it loosens is in force")


class VersionsOut(Shape):
    """Versions, the newest first; ``next_before`` null = there are no more."""

    items: tuple[VersionOut, ...]
    next_before: int | None


class DocumentOut(Shape):
    """A version with its document, which is shown only to who may see every account of the firm with its amounts."""

    version: VersionOut
    document: str | None = Field(description="YAML of the firm's section; null where it is not shown")


class AccountHash(Shape):
    """The configuration of an account as the file has it."""

    account: str
    config_hash: str
    mode: Mode


class CurrentOut(Shape):
    """What is in force, and how the file stands to it."""

    base_version: int = Field(description="what a draft must name; 0 before the first")
    version: VersionOut | None
    drift: Drift
    document: str | None = Field(description="YAML of the firm's section; null where it is not shown")
    findings: tuple[FindingOut, ...] = Field(description="why the file is refused")
    accounts: tuple[AccountHash, ...] = Field(description="those that one may see")


class DiffOut(Shape):
    """What lies between two documents; changes that loosen come first."""

    direction: Direction
    approvers: int
    text: str | None = Field(description="unified diff; null where documents are not shown")
    accounts: tuple[EffectOut, ...]
    changes: tuple[ChangeOut, ...]
    findings: tuple[FindingOut, ...]


@dataclass(frozen=True, slots=True)
class Eyes:
    """What of a firm's configuration somebody may see."""

    allowed: Allowed
    known: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether documents are shown: they hold every account, amounts included."""
        firm = Target(self.allowed.target.firm_id)
        all_of_it = may(self.allowed.principal, Permission.READ_CONFIG, firm, self.allowed.now_ns)
        return all_of_it is Answer.ALLOWED and all(map(self.amounts, self.known))

    def sees(self, account: str) -> bool:
        """Whether an account is shown at all."""
        return bool(self.among((account,)))

    def among(self, accounts: Iterable[str]) -> tuple[str, ...]:
        """Those of some accounts that are shown."""
        who, now_ns = self.allowed.principal, self.allowed.now_ns
        return tuple(reachable(who, Permission.READ_CONFIG, accounts, now_ns))

    def amounts(self, account: str) -> bool:
        """Whether its amounts are shown."""
        return shows_amounts(self.allowed.principal, account)

    def text(self, document: str) -> str | None:
        """A document, where it is shown."""
        return document if self.whole else None


def eyes_of(allowed: Allowed, base: Base) -> Eyes:
    """What whoever calls may see."""
    return Eyes(allowed, base.accounts(allowed.target.firm_id) or ())


def finding_out(found: DocumentFinding) -> FindingOut:
    """A finding as it is shown."""
    return FindingOut(**{name: getattr(found, name) for name in FindingOut.model_fields})


def effects_out(effects: Iterable[AccountEffect], eyes: Eyes) -> tuple[EffectOut, ...]:
    """What is done to the accounts that are shown."""
    names = EffectOut.model_fields
    return tuple(EffectOut(**{n: getattr(e, n) for n in names}) for e in effects if eyes.sees(e.account))


def version_out(version: ConfigVersion, eyes: Eyes) -> VersionOut:
    """A version as it is shown."""

    def at(ts_ns: int | None) -> str | None:
        return None if ts_ns is None else instant_text(ts_ns)

    return VersionOut(
        firm=version.firm_id,
        version=version.version,
        parent=version.parent,
        status=version.status,
        direction=version.direction,
        approvers=version.approvers,
        author=version.author,
        by=version.by,
        reason=version.reason,
        detail=version.detail,
        request_id=version.request_id,
        document_hash=version.document_hash,
        payload_hash=version.payload_hash,
        accounts=effects_out(version.accounts, eyes),
        created_at=instant_text(version.created_ns),
        applied_at=at(version.applied_ns),
        effective_from=at(version.effective_from_ns),
    )


def current_out(current: Current, eyes: Eyes) -> CurrentOut:
    """What is in force, as it is shown."""
    reading = current.reading
    return CurrentOut(
        base_version=current.number,
        version=None if current.version is None else version_out(current.version, eyes),
        drift=current.drift,
        document=eyes.text(reading.document),
        findings=tuple(map(finding_out, reading.findings)) if eyes.whole else (),
        accounts=tuple(
            AccountHash(account=one.account, config_hash=one.config_hash, mode=one.mode)
            for one in reading.profiles
            if eyes.sees(one.account)
        ),
    )


def diff_out(diff: VersionDiff, eyes: Eyes) -> DiffOut:
    """A difference as it is shown."""
    return DiffOut(
        direction=diff.direction,
        approvers=diff.approvers,
        text=eyes.text(diff.text),
        accounts=effects_out(diff.accounts, eyes),
        changes=tuple(
            _change(one, eyes.amounts(one.account)) for one in diff.changes if eyes.sees(one.account)
        ),
        findings=tuple(map(finding_out, diff.findings)),
    )


def _change(change: Change, amounts: bool) -> ChangeOut:
    """One change; without amounts, which key differs and in which direction is all that is said."""
    said = {name: getattr(change, name) for name in ChangeOut.model_fields}
    if not amounts:
        said |= {
            "old": None,
            "new": None,
            "message": f"{change.account} {change.path}: {change.direction.value}",
        }
    return ChangeOut(**said)
