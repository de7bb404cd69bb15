"""``/config set``, ``rollback``, ``apply`` and ``diff``: the effect alone says what a change takes.

What people agreed to is the request; where there is no draft yet it is made when that is carried out, from the same
document over the same version with the same effects, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from pydantic import JsonValue

from regime_trading.core.access import Answer, Permission
from regime_trading.core.approvals import Approval, ApprovalKind
from regime_trading.core.canonical import content_hash
from regime_trading.core.commands.execution import Context, Effects, Outcome
from regime_trading.core.commands.grammar import Command, Pair
from regime_trading.core.commands.values import Kind, Value
from regime_trading.core.config_diff import Direction
from regime_trading.core.config_versions import (
    ALONE,
    AccountEffect,
    ConfigVersion,
    DocumentFinding,
    VersionConflict,
    VersionStatus,
    document_hash,
    name_of,
)
from regime_trading.core.errors import Conflict, Refused, RegimeError
from regime_trading.core.instants import instant_text
from regime_trading.core.schemas import Mode
from regime_trading.services.config_commands import (
    Simulated,
    simulate_config_set,
    simulate_rollback,
    simulate_version,
)
from regime_trading.services.config_versions import ConfigService
from regime_trading.services.executors.deps import ExecutorDeps
from regime_trading.services.executors.looking import (
    has_role,
    looked_again,
    require_known,
    within_reach,
)

NO_LIVE = "no account can trade with money yet: this would let {} do so"
_BOOLEANS = {"true": True, "false": False}

Simulate = Callable[[ConfigService, Command, Context], Simulated]


@dataclass(frozen=True, slots=True)
class Changing:
    """A change of the firm's configuration, as ``simulated`` makes it of the command."""

    deps: ExecutorDeps
    simulated: Simulate

    def simulate(self, command: Command, context: Context) -> Effects:
        """Every key that would differ, those that loosen first, and why the loader would refuse it."""
        service = self.deps.configs(context.actor)
        before = {one.account for one in service.current(context.firm_id).reading.profiles}
        if context.account:
            require_known(context, command, before or {context.account})
        shown = self.simulated(service, command, context)
        changed = [one for one in shown.diff.accounts if one.changes]
        _require_reach(command, context, changed)
        said = tuple(change.message for change in shown.diff.changes)
        base = shown.base_version
        own = next((one for one in shown.diff.accounts if one.account == context.account), None)
        loosens = shown.direction is Direction.LOOSENS
        undone = context.account or next((one.account for one in changed), "")
        return Effects(
            direction=shown.direction,
            effects=said,
            unchanged=("Halts, locks and positions stay as they are.",),
            undo=f"/config rollback account:{undone} v:{base}" if base and undone else "",
            diff=shown.diff.text if has_role(context, Permission.READ_CONFIG, None) else "\n".join(said),
            base_version=f"{base}.{_hash(shown)}",
            config_hash="" if own is None else own.before_hash,
            blocking=_blocking(shown, changed, context),
            permission=Permission.REQUEST_LOOSENING if loosens else Permission.TIGHTEN,
            kind=ApprovalKind.CONFIG,
            others=shown.diff.approvers - ALONE,
        )

    def execute(self, command: Command, context: Context) -> Outcome:
        """Draft what was shown, on the version it was shown on, and apply it."""
        service = self.deps.configs(context.actor)
        effects, asked = looked_again(self, self.deps.desk(), command, context)
        shown = self.simulated(service, command, context)
        if f"{shown.base_version}.{_hash(shown)}" != effects.base_version:
            raise Conflict("base_version", "the configuration changed while it was looked at")
        _require_enough(shown, context)
        try:
            version = _applied(service, shown, context, asked)
        except VersionConflict as error:
            raise Conflict("base_version", str(error)) from error
        return _outcome(version, context)


def simulated_set(service: ConfigService, command: Command, context: Context) -> Simulated:
    """``/config set``: every dotted key of the command."""
    values = {pair.key: _plain(pair) for pair in command.pairs if "." in pair.key}
    return simulate_config_set(service, context.firm_id, context.account, values)


def simulated_rollback(service: ConfigService, command: Command, context: Context) -> Simulated:
    """``/config rollback``: the document of an earlier version."""
    return simulate_rollback(service, context.firm_id, int(command.text("v")))


def simulated_version(service: ConfigService, command: Command, context: Context) -> Simulated:
    """``/config apply``: a version that was drafted."""
    return simulate_version(service, context.firm_id, int(command.text("v")))


@dataclass(frozen=True, slots=True)
class Comparing:
    """Where two versions are compared; the versions must be there."""

    deps: ExecutorDeps

    def simulate(self, command: Command, context: Context) -> Effects:
        """Changes nothing; raises ``BadInput`` for a version that is not there."""
        service = self.deps.configs(context.actor)
        for key in ("from", "to"):
            if command.values(key):
                service.get(context.firm_id, int(command.text(key)))
        return Effects(Direction.NEUTRAL, ())

    def execute(self, command: Command, context: Context) -> Outcome:
        """A route, and the versions; without ``to`` it is the one in force."""
        data: dict[str, JsonValue] = {"route": "/configs", "account": context.account}
        data |= {key: int(command.text(key)) for key in ("from", "to") if command.values(key)}
        return Outcome(f"Versions of {context.firm_id} side by side.", data)


# --- what it takes --------------------------------------------------------------------------------------------


def _plain(pair: Pair) -> JsonValue:
    """A value as the configuration has it: numbers as decimal text, several as a list."""
    found: list[JsonValue] = [_one(value) for value in pair.values]
    return found[0] if len(found) == 1 else found


def _one(value: Value) -> JsonValue:
    return _BOOLEANS.get(value.text, value.text) if value.kind is Kind.WORD else value.text


def _hash(shown: Simulated) -> str:
    """Names what would be applied, and what it makes of every account."""
    accounts = [one.model_dump(mode="json") for one in shown.diff.accounts]
    return content_hash({"document": document_hash(shown.document), "accounts": accounts})


def _require_reach(command: Command, context: Context, changed: list[AccountEffect]) -> None:
    """Refuse a change of accounts that whoever asks may not change in that way."""
    for one in changed:
        needed = Permission.REQUEST_LOOSENING if one.loosens else Permission.TIGHTEN
        if one.account != context.account and not within_reach(context, needed, [one.account]):
            raise Refused(Answer.NO_ROLE, f"to use {command.name}: it changes other accounts as well")


def _blocking(shown: Simulated, changed: list[AccountEffect], context: Context) -> tuple[str, ...]:
    found = list(dict.fromkeys(_told(finding, context) for finding in shown.findings))
    if not found and not changed and not shown.diff.text:
        found.append("that is in force already")
    found += [NO_LIVE.format(one.account) for one in changed if one.goes_live]
    if shown.version is not None:
        return tuple(found + _unfit(shown, shown.version))
    for one in changed:
        if one.needs_agreement and (one.account != context.account or context.mode is Mode.DRY_RUN):
            found.append(
                f"it loosens {one.account}, where others must agree: a version of the firm must be proposed"
            )
    return tuple(found)


def _unfit(shown: Simulated, version: ConfigVersion) -> list[str]:
    """Why a version cannot be put into force by now."""
    found = []
    if version.status not in (VersionStatus.DRAFT, VersionStatus.PROPOSED):
        found.append(f"{name_of(version)} is {version.status.value}")
    if version.parent != shown.base_version:
        found.append(f"it was drafted on version {version.parent}, and {shown.base_version} is in force")
    return found


def _told(finding: DocumentFinding, context: Context) -> str:
    """Why the loader refuses it, as far as it is about an account whose configuration one may read."""
    own = has_role(context, Permission.READ_CONFIG, None) or f"account {context.account}" in finding.layers
    return finding.message if own else "the loader refuses it"


def _require_enough(shown: Simulated, context: Context) -> None:
    """Refuse a loosening that fewer people agreed to than its accounts take; whoever asked is one of them."""
    people = {context.actor[1], *context.approved_by}
    if len(people) < shown.diff.approvers:
        raise Conflict("votes", f"it takes {shown.diff.approvers} people, and {len(people)} agreed")


# --- applying -------------------------------------------------------------------------------------------------


def _applied(
    service: ConfigService, shown: Simulated, context: Context, asked: Approval | None
) -> ConfigVersion:
    """Drafted and applied; a draft that could not be applied is void."""
    firm_id, request_id = context.firm_id, "" if asked is None else asked.request.request_id
    draft = shown.version or service.draft(firm_id, shown.document, shown.base_version, context.reason)

    def approved(named: str) -> str | None:
        same = draft.accounts == shown.diff.accounts and draft.document_hash == document_hash(shown.document)
        return draft.payload_hash if request_id and named == request_id and same else None

    try:
        return service.apply(firm_id, draft.version, request_id, approved)
    except RegimeError:
        if shown.version is not None:
            raise
        with suppress(RegimeError):  # what has begun to be applied is made whole by the next look at the firm
            service.withdraw(firm_id, draft.version, "it could not be applied")
        raise


def _outcome(version: ConfigVersion, context: Context) -> Outcome:
    number, when = version.version, version.effective_from_ns
    said = f"Version {number} of {context.firm_id} is applied."
    if version.status is VersionStatus.APPROVED and when is not None:
        said = f"Version {number} of {context.firm_id} waits for the session that begins at {instant_text(when)}."
    elif when is not None and when > context.now_ns:
        said = f"Version {number} of {context.firm_id} is applied; what it loosens waits until {instant_text(when)}."
    data: dict[str, JsonValue] = {"version": number, "status": version.status.value, "route": "/configs"}
    return Outcome(said, data)
