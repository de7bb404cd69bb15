"""A version of the configuration into the file: the record first, then the file, and never half.

Whatever ends the process in between is made whole by the next look at the firm (:func:`settled`): what the record says
was changed is written, or, where that is not possible any more, the record says that it was not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from regime_trading.core.canonical import sha256_hex
from regime_trading.core.config_diff import Direction
from regime_trading.core.config_holds import holds, session_end_ns, waits
from regime_trading.core.config_status import LastGood
from regime_trading.core.config_versions import (
    FILE,
    ConfigVersion,
    NeedsAgreement,
    Reading,
    VersionConflict,
    VersionStatus,
    document_hash,
    effects,
    moved,
    name_of,
)
from regime_trading.core.errors import RegimeError
from regime_trading.core.messages import ConfigData, Message
from regime_trading.core.overrides import SessionOverride
from regime_trading.core.ports import ConfigVersions, FirmFile, LastGoodConfigs
from regime_trading.core.schemas import AuditEvent
from regime_trading.core.settings import Finding, InvalidConfig
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.services.acts import Act, Acts, place_of_firm, record_act, record_acts
from regime_trading.services.config_acts import (
    accept,
    changed_act,
    override_act,
    refused_version,
    reverted_act,
)

REQUEST_NS = (
    86_400_000_000_000  #: how long people's agreement to a configuration counts (``contracts.md`` 12)
)

Approved = Callable[[str], str | None]


def nobody(_request_id: str) -> str | None:
    """No request was agreed to."""
    return None


@dataclass(frozen=True, slots=True)
class VersionDeps:
    """What versions of the configuration need; ``acts`` says who acts, by firm."""

    file: FirmFile
    versions: Callable[[str], ConfigVersions]
    last_good: Callable[[str], LastGoodConfigs]
    acts: Acts

    def now_ns(self) -> int:
        return self.acts.clock.now_ns()

    def actor(self, firm_id: str) -> str:
        """Pseudonym or service that acts."""
        return self.acts.actor(firm_id)[1]


class Drift(StrEnum):
    """How the file stands to the version in force."""

    NONE = "none"
    TAKEN_IN = "taken_in"  #: it was written by hand, and has just become a version of its own
    REFUSED = "refused"  #: what is written there is refused by the loader, so it is not in force


@dataclass(frozen=True, slots=True)
class Current:
    """A firm's configuration: the version in force (None before the first), and its section as it is."""

    version: ConfigVersion | None
    reading: Reading
    drift: Drift

    @property
    def number(self) -> int:
        """Of the version in force; 0 before the first."""
        return 0 if self.version is None else self.version.version


# --- what there is --------------------------------------------------------------------------------------------


def settled(deps: VersionDeps, firm_id: str) -> Current:
    """A firm's configuration after whatever was left undone is done and what was written by hand is taken in.

    Only while it is this caller's turn at the file (``FirmFile.turn``).

    Raises
    ------
    BadInput
        A file that cannot be read, or no such firm.
    NotDurable
        It could not be made whole.
    """
    repository = deps.versions(firm_id)
    reading = deps.file.now(firm_id)
    for unfinished in repository.of_status(VersionStatus.APPLYING):
        _make_whole(deps, unfinished, reading, write=True)
        reading = deps.file.now(firm_id)
    base, digest = repository.in_force(), document_hash(reading.document)
    if base is not None and base.document_hash == digest:
        return Current(base, reading, Drift.REFUSED if reading.findings else Drift.NONE)
    if not reading.findings:
        return Current(_taken_in(deps, base, reading, firm_id), reading, Drift.TAKEN_IN)
    known = [one for one in repository.of_status(VersionStatus.REJECTED) if one.author == FILE]
    if not known or known[0].document_hash != digest:
        _refused_file(deps, base, reading, firm_id)
    return Current(base, reading, Drift.REFUSED)


def _taken_in(deps: VersionDeps, base: ConfigVersion | None, reading: Reading, firm_id: str) -> ConfigVersion:
    old = () if base is None else deps.file.with_document(firm_id, base.document).profiles
    now_ns, found = deps.now_ns(), list[ConfigVersion]()
    version = _of_file(base, reading, firm_id, VersionStatus.APPLIED, now_ns)
    version = version.model_copy(
        update={
            "accounts": effects(old, reading.profiles)[0],
            "applied_ns": now_ns,
            "effective_from_ns": now_ns,
        }
    )

    def commit(profiles: Sequence[TraderProfile], events: Sequence[AuditEvent]) -> None:
        found.append(
            deps.versions(firm_id).take_in(version, profiles, events, _loaded_messages(version, now_ns))
        )

    accept(firm_id, reading.profiles, _Taking(deps.last_good(firm_id), commit), now_ns, deps.acts)
    return found[-1]


def _refused_file(deps: VersionDeps, base: ConfigVersion | None, reading: Reading, firm_id: str) -> None:
    version = _of_file(base, reading, firm_id, VersionStatus.REJECTED, deps.now_ns())
    version = version.model_copy(update={"detail": "the loader refuses it"})
    deps.versions(firm_id).take_in(version, ())


def _of_file(
    base: ConfigVersion | None, reading: Reading, firm_id: str, status: VersionStatus, now_ns: int
) -> ConfigVersion:
    return ConfigVersion(
        firm_id=firm_id,
        version=0,
        parent=0 if base is None else base.version,
        status=status,
        author=FILE,
        created_ns=now_ns,
        changed_ns=now_ns,
        document=reading.document,
        document_hash=document_hash(reading.document),
        base_file_hash=sha256_hex(reading.before),
        by=FILE,
    )


@dataclass(frozen=True, slots=True)
class _Taking:
    """Last good configurations that are accepted together with a version."""

    store: LastGoodConfigs
    commit: Callable[[Sequence[TraderProfile], Sequence[AuditEvent]], None]

    def accept(
        self, profiles: Sequence[TraderProfile], _now_ns: int, events: Sequence[AuditEvent] = ()
    ) -> None:
        self.commit(profiles, events)

    def hashes(self) -> Mapping[str, str]:
        return self.store.hashes()

    def get(self, account: str) -> LastGood | None:
        return self.store.get(account)

    def accounts(self) -> tuple[str, ...]:
        return self.store.accounts()


# --- applying -------------------------------------------------------------------------------------------------


def apply_version(
    deps: VersionDeps, firm_id: str, number: int, approval: str = "", approved: Approved = nobody
) -> ConfigVersion:
    """Put a version into the file, or make it wait for the next session where it must.

    What it loosens in accounts that do not run dry is held back by session overrides to the end of their session; where
    no override can do that, the version stays ``approved`` with ``effective_from_ns`` and is applied again then.

    Parameters
    ----------
    approval : str
        The request that people agreed to.
    approved : callable
        Hash of what was agreed to in a request; None where there is no agreement.

    Raises
    ------
    VersionConflict
        Another base, another status, or accounts that would come out otherwise than was shown.
    InvalidConfig
        The loader refuses it.
    NeedsAgreement
        It loosens, and nobody has agreed to exactly this.
    NotDurable
        It could not be recorded or written.
    """
    with deps.file.turn():
        current, version = settled(deps, firm_id), deps.versions(firm_id).get(number)
        moved(version, VersionStatus.APPLYING, 0, "")  # refuses what cannot be applied
        _require_base(version, current)
        reading = _accepted_reading(deps, version)
        _require_shown(version, current, reading)
        approval = approval or version.request_id
        _require_agreement(deps, version, approval, approved)
        plan = _planned(deps, version, approval, current.reading.profiles, reading)
        if plan.applying.status is VersionStatus.APPROVED:
            if plan.applying != version:
                deps.versions(firm_id).change(version, plan.applying)
            return plan.applying
        _start(deps, version, plan)
        try:
            deps.file.replace(reading.before, reading.data)
        except RegimeError as error:
            _make_whole(deps, plan.applying, deps.file.now(firm_id), write=False)
            if deps.versions(firm_id).get(number).status is not VersionStatus.APPLIED:
                raise error
            return deps.versions(firm_id).get(number)
        return _finish(deps, plan.applying, reading.profiles)


def _require_base(version: ConfigVersion, current: Current) -> None:
    if version.parent != current.number:
        raise VersionConflict(
            expected=f"version {current.number} as its base, which is in force",
            found=f"version {version.parent}",
            where=name_of(version),
        )


def _accepted_reading(deps: VersionDeps, version: ConfigVersion) -> Reading:
    reading = deps.file.with_document(version.firm_id, version.document)
    if reading.findings:
        _refuse(deps, version, reading.findings)
        raise InvalidConfig(reading.findings)
    return reading


def _require_shown(version: ConfigVersion, current: Current, reading: Reading) -> None:
    if effects(current.reading.profiles, reading.profiles)[0] != version.accounts:
        raise VersionConflict(
            expected="accounts as they were shown",
            found="others: settings or presets have changed since",
            where=name_of(version),
        )


def _require_agreement(deps: VersionDeps, version: ConfigVersion, approval: str, approved: Approved) -> None:
    if version.approvers == 1 or (approval and approved(approval) == version.payload_hash):
        return
    names = ", ".join(one.account for one in version.accounts if one.needs_agreement)
    found = "an agreement to something else" if approval else "none"
    refusal = NeedsAgreement(
        expected=f"{version.approvers} people who agree to what it loosens ({names}: not in dry_run)",
        found=found,
        where=name_of(version),
    )
    _refuse(deps, version, (Finding(path="approval", expected=refusal.expected, found=found),))
    raise refusal


def _refuse(deps: VersionDeps, version: ConfigVersion, findings: Sequence[Finding]) -> None:
    record_act(deps.acts, place_of_firm(version.firm_id), refused_version(version, findings))


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is about to be done: the version as it will be, its overrides, and the entries of the record."""

    applying: ConfigVersion
    holds: tuple[SessionOverride, ...]
    made: tuple[Act, ...]


def _planned(
    deps: VersionDeps,
    version: ConfigVersion,
    approval: str,
    old: Sequence[TraderProfile],
    reading: Reading,
) -> _Plan:
    now_ns, by = deps.now_ns(), deps.actor(version.firm_id)
    before = {profile.account: profile for profile in old}
    after = {profile.account: profile for profile in reading.profiles}
    waiting = [
        (before[one.account], after[one.account])
        for one in version.accounts
        if one.loosens
        and one.account in before
        and one.account in after
        and waits(before[one.account], after[one.account])
    ]
    reason = f"version {version.version} loosens with the next session"
    due = version.effective_from_ns is not None and version.effective_from_ns <= now_ns
    kept = [] if due else [holds(a, b, now_ns, reason) for a, b in waiting]
    ends_ns = max((session_end_ns(a, now_ns) for a, _ in waiting), default=now_ns)
    if None in kept:
        if version.effective_from_ns is not None:
            return _Plan(version, (), ())
        more = {"request_id": approval, "effective_from_ns": ends_ns}
        return _Plan(moved(version, VersionStatus.APPROVED, now_ns, by, **more), (), ())
    overrides = tuple(override for some in kept for override in some or ())
    applying = moved(
        version,
        VersionStatus.APPLYING,
        now_ns,
        by,
        base_file_hash=sha256_hex(reading.before),
        request_id=approval,
        effective_from_ns=ends_ns if overrides else now_ns,
    )
    changed = [one.account for one in version.accounts if one.changes and one.account in after]
    made = [changed_act(applying, before.get(name), after[name]) for name in changed]
    made += [override_act(override, after[override.account]) for override in overrides]
    return _Plan(applying, overrides, tuple(made))


def _start(deps: VersionDeps, version: ConfigVersion, plan: _Plan) -> None:
    repository = deps.versions(version.firm_id)
    record_acts(
        deps.acts,
        place_of_firm(version.firm_id),
        plan.made,
        lambda events: repository.start(version, plan.applying, plan.holds, events),
    )


def _finish(deps: VersionDeps, applying: ConfigVersion, profiles: Sequence[TraderProfile]) -> ConfigVersion:
    now_ns = deps.now_ns()
    applied = moved(applying, VersionStatus.APPLIED, now_ns, applying.by, applied_ns=now_ns)
    messages = _loaded_messages(applied, now_ns)
    deps.versions(applied.firm_id).finish(applying, applied, profiles, messages)
    return applied


def _loaded_messages(version: ConfigVersion, now_ns: int) -> tuple[Message, ...]:
    """One for each account that is another now, one for the firm where none is. No engine has loaded it yet."""
    changed = [one for one in version.accounts if one.changes]
    told = [(one.account, one.after_hash) for one in changed if one.after_hash] or [("", "")]
    number = version.version
    return tuple(
        Message(now_ns, ConfigData(version=number, config_hash=digest, loaded=False), account)
        for account, digest in told
    )


# --- after an interruption --------------------------------------------------------------------------------------


def _make_whole(deps: VersionDeps, version: ConfigVersion, reading: Reading, *, write: bool) -> None:
    """Finish a version that was being applied, or take back what the record says of it.

    ``write``: the file may be written once more, where it still is what it was, the loader makes the same of it, and a
    loosening is not older than people's agreement to it.
    """
    if document_hash(reading.document) == version.document_hash and not reading.findings:
        _finish(deps, version, reading.profiles)
        return
    again = deps.file.with_document(version.firm_id, version.document) if write else None
    if again is not None and not again.findings and _is_same_world(deps, version, reading, again):
        deps.file.replace(again.before, again.data)
        _finish(deps, version, again.profiles)
        return
    _take_back(deps, version)


def _is_same_world(deps: VersionDeps, version: ConfigVersion, reading: Reading, again: Reading) -> bool:
    base = deps.versions(version.firm_id).in_force()
    same_section = base is not None and base.document_hash == document_hash(reading.document)
    if not same_section and sha256_hex(reading.before) != version.base_file_hash:
        return False
    age_ns = deps.now_ns() - version.changed_ns
    if version.direction is Direction.LOOSENS and not 0 <= age_ns <= REQUEST_NS:
        return False
    hashes = {profile.account: profile.config_hash for profile in again.profiles}
    return hashes == {one.account: one.after_hash for one in version.accounts if one.after_hash}


def _take_back(deps: VersionDeps, version: ConfigVersion) -> None:
    firm_id = version.firm_id
    void = moved(
        version, VersionStatus.VOID, deps.now_ns(), version.by, detail="it was not written into the file"
    )
    known = deps.last_good(firm_id)
    made = [
        reverted_act(version, one, last.profile)
        for one in version.accounts
        if one.changes and one.after_hash and (last := known.get(one.account)) is not None
    ]
    record_acts(
        deps.acts,
        place_of_firm(firm_id),
        made,
        lambda events: deps.versions(firm_id).change(version, void, events),
    )
