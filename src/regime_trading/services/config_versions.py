"""Versions of a firm's configuration: read, validated, drafted, compared, agreed to, applied, rolled back.

The loader alone decides what is valid; what a version does is computed from what the loader makes of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from regime_trading.core.actors import plain_text
from regime_trading.core.canonical import sha256_hex
from regime_trading.core.config_diff import Change, Direction
from regime_trading.core.config_versions import (
    OPEN,
    AccountEffect,
    ConfigVersion,
    DocumentFinding,
    Reading,
    VersionConflict,
    VersionStatus,
    document_hash,
    effects,
    moved,
    name_of,
    proposal_message,
)
from regime_trading.core.errors import BadInput, NotThere
from regime_trading.core.settings import InvalidConfig
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.services.config_apply import (
    Approved,
    Current,
    VersionDeps,
    apply_version,
    nobody,
    settled,
)
from regime_trading.services.config_changes import WhatIf

Replay = Callable[[Sequence[TraderProfile], Sequence[TraderProfile], WhatIf], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """What lies between two documents of a firm.

    Parameters
    ----------
    text : str
        Unified diff of the documents.
    accounts : tuple of AccountEffect
    changes : tuple of Change
        Every key in force that differs, those that loosen first; places are lines of the documents.
    findings : tuple of DocumentFinding
        Why one of them is refused today; ``accounts`` and ``changes`` are then empty.
    """

    text: str
    accounts: tuple[AccountEffect, ...]
    changes: tuple[Change, ...]
    findings: tuple[DocumentFinding, ...] = ()

    @property
    def direction(self) -> Direction:
        """What it does as a whole; what cannot be told loosens."""
        if self.findings or any(one.loosens for one in self.accounts):
            return Direction.LOOSENS
        return Direction.TIGHTENS if any(one.tightens for one in self.accounts) else Direction.NEUTRAL

    @property
    def approvers(self) -> int:
        """People it takes, the one who asks included."""
        return max((one.approvers for one in self.accounts if one.needs_agreement), default=1)


@dataclass(frozen=True, slots=True)
class ConfigService:
    """Everything that can be done with versions of the configuration, over :class:`VersionDeps`."""

    deps: VersionDeps

    # --- reading --------------------------------------------------------------------------------------------

    def current(self, firm_id: str) -> Current:
        """The configuration in force; what was written into the file by hand has become a version of its own.

        Raises
        ------
        BadInput
            A file that cannot be read, or no such firm.
        NotDurable
            The store or the file is down.
        """
        with self.deps.file.turn():
            return settled(self.deps, firm_id)

    def get(self, firm_id: str, version: int) -> ConfigVersion:
        """One version; raises ``BadInput`` where there is none."""
        return self.deps.versions(firm_id).get(version)

    def history(self, firm_id: str, before: int | None = None, limit: int = 100) -> tuple[ConfigVersion, ...]:
        """Versions, newest first."""
        return self.deps.versions(firm_id).all(before, limit)

    def due(self, firm_id: str, now_ns: int) -> tuple[ConfigVersion, ...]:
        """Versions that waited for a session which has begun, oldest first: to be applied by whoever keeps time."""
        waiting = self.deps.versions(firm_id).of_status(VersionStatus.APPROVED)
        return tuple(
            one
            for one in reversed(waiting)
            if one.effective_from_ns is not None and one.effective_from_ns <= now_ns
        )

    def validate(self, firm_id: str, document: str) -> tuple[DocumentFinding, ...]:
        """What the loader would say of a document; empty where it would take it."""
        return self.deps.file.with_document(firm_id, document).findings

    def diff(self, firm_id: str, old: int, new: int) -> VersionDiff:
        """What lies between two versions, under settings and presets as they are now."""
        repository, file = self.deps.versions(firm_id), self.deps.file
        sides = [file.with_document(firm_id, repository.get(n).document) for n in (old, new)]
        return diff_of(sides[0], sides[1], f"version {old}", f"version {new}")

    def compare(self, firm_id: str, document: str) -> VersionDiff:
        """What a document would change of what is in force."""
        current = self.current(firm_id)
        after = self.deps.file.with_document(firm_id, document)
        return diff_of(current.reading, after, f"version {current.number}", "document")

    def what_if(self, firm_id: str, document: str, request: WhatIf, replay: Replay) -> dict[str, Any]:
        """The last decision days under what is in force and under a document (``services.config_changes``).

        Raises
        ------
        InvalidConfig
            The loader refuses the document, or what is in the file.
        BadInput
            An account of another firm, or a request that cannot be replayed.
        """
        old, new = self.deps.file.now(firm_id), self.deps.file.with_document(firm_id, document)
        if refused := (*old.findings, *new.findings):
            raise InvalidConfig(refused)
        for account in request.accounts or ():
            if "/" in account and account.split("/")[0] != firm_id:
                raise NotThere("account", account, expected=f"an account of firm {firm_id}")
        return replay(old.profiles, new.profiles, request)

    # --- making ---------------------------------------------------------------------------------------------

    def draft(self, firm_id: str, document: str, base_version: int, reason: str = "") -> ConfigVersion:
        """Store a document as a draft on the version in force; whoever ``acts`` says is its author.

        Raises
        ------
        VersionConflict
            Another version is in force.
        InvalidConfig
            The loader refuses it.
        BadInput
            It says what is in force already, or a reason that may not stay for ever.
        """
        current = self.current(firm_id)
        if base_version != current.number:
            raise VersionConflict(
                expected=f"version {current.number} as its base, which is in force",
                found=f"version {base_version}",
                where=f"a draft of {firm_id}",
            )
        reading = self.deps.file.with_document(firm_id, document)
        if reading.findings:
            raise InvalidConfig(reading.findings)
        if reading.document == current.reading.document:
            raise BadInput(expected="a change", found="what is in force", where=f"a draft of {firm_id}")
        now_ns, by = self.deps.now_ns(), self.deps.actor(firm_id)
        version = ConfigVersion(
            firm_id=firm_id,
            version=0,
            parent=current.number,
            status=VersionStatus.DRAFT,
            author=by,
            created_ns=now_ns,
            changed_ns=now_ns,
            document=reading.document,
            document_hash=document_hash(reading.document),
            base_file_hash=sha256_hex(reading.before),
            accounts=effects(current.reading.profiles, reading.profiles)[0],
            reason=plain_text(reason, "reason"),
            by=by,
        )
        return self.deps.versions(firm_id).add(version)

    def rollback(self, firm_id: str, to: int, reason: str = "") -> ConfigVersion:
        """A draft with the document of an earlier version; history stays as it is. Raises as :meth:`draft`."""
        document = self.get(firm_id, to).document
        said = f"rollback to version {to}" + (f": {reason}" if reason else "")
        return self.draft(firm_id, document, self.current(firm_id).number, said)

    # --- moving on ------------------------------------------------------------------------------------------

    def propose(self, firm_id: str, version: int, request_id: str) -> ConfigVersion:
        """People are asked to agree to a draft in ``request_id``; raises ``VersionConflict`` where it is none."""
        return self._moved(firm_id, version, VersionStatus.PROPOSED, request_id=request_id)

    def approve(self, firm_id: str, version: int) -> ConfigVersion:
        """People have agreed to a version; nothing is applied yet."""
        return self._moved(firm_id, version, VersionStatus.APPROVED, given=True)

    def reject(self, firm_id: str, version: int, reason: str) -> ConfigVersion:
        """People have refused a version; why is kept."""
        return self._moved(firm_id, version, VersionStatus.REJECTED, detail=plain_text(reason, "reason"))

    def withdraw(self, firm_id: str, version: int, reason: str = "") -> ConfigVersion:
        """A draft, a proposal or what was agreed to is no longer wanted, expired, or cancelled by a halt."""
        found = self.get(firm_id, version)
        if found.status not in OPEN:
            raise VersionConflict(
                expected=f"one that is {', '.join(OPEN)}", found=found.status, where=name_of(found)
            )
        return self._moved(firm_id, version, VersionStatus.VOID, detail=plain_text(reason, "reason"))

    def apply(
        self, firm_id: str, version: int, approval: str = "", approved: Approved = nobody
    ) -> ConfigVersion:
        """Put a version into the file (:func:`~regime_trading.services.config_apply.apply_version`)."""
        return apply_version(self.deps, firm_id, version, approval, approved)

    def _moved(
        self, firm_id: str, number: int, to: VersionStatus, *, given: bool = False, **more: str
    ) -> ConfigVersion:
        repository = self.deps.versions(firm_id)
        before = repository.get(number)
        after = moved(before, to, self.deps.now_ns(), self.deps.actor(firm_id), **more)
        agreed = after.approvers if given else 0
        messages = (proposal_message(after, agreed),) if after.request_id else ()
        repository.change(before, after, messages=messages)
        return after


def diff_of(old: Reading, new: Reading, old_name: str, new_name: str) -> VersionDiff:
    """What lies between two readings of a firm's section."""
    sides = (one.document.splitlines(keepends=True) for one in (old, new))
    text = "".join(difflib.unified_diff(*sides, fromfile=old_name, tofile=new_name))
    if new.findings:
        return VersionDiff(text, (), (), new.findings)
    accounts, changes = effects(old.profiles, new.profiles)
    return VersionDiff(text, accounts, tuple(_in_documents(one, old, new) for one in changes))


def _in_documents(change: Change, old: Reading, new: Reading) -> Change:
    file, line = new.placed(change.file, change.line)
    old_file, old_line = old.placed(change.old_file, change.old_line)
    return change.model_copy(update={"file": file, "line": line, "old_file": old_file, "old_line": old_line})
