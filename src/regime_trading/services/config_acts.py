"""Configurations and overrides in the record: what was taken over, what was refused, what was tightened."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from regime_trading.core.actors import masked_text
from regime_trading.core.audit import FIRM_ACCOUNT, PLATFORM
from regime_trading.core.canonical import content_hash
from regime_trading.core.config_diff import profile_changes
from regime_trading.core.config_status import BrokenFirm
from regime_trading.core.config_versions import AccountEffect, ConfigVersion
from regime_trading.core.event_payloads import (
    ConfigAccepted,
    ConfigChange,
    ConfigChanged,
    ConfigFinding,
    ConfigRefused,
    Overridden,
)
from regime_trading.core.overrides import SessionOverride, ends_ns, session_boundary
from regime_trading.core.ports import LastGoodConfigs
from regime_trading.core.recorded import Selection
from regime_trading.core.schemas import EventType
from regime_trading.core.settings import Finding
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.services.acts import Act, Acts, place_of_firm, record_act, record_acts

FIRST_SIGHT = "FIRST_SIGHT"  #: the record holds no earlier configuration of the account
BEFORE_UNKNOWN = "BEFORE_UNKNOWN"  #: there was one, and it does not verify any more
AFTER_REFUSAL = "AFTER_REFUSAL"  #: the files were refused in between
NOT_APPLIED = "NOT_APPLIED"  #: a version was refused before it got into the files
NOT_WRITTEN = "NOT_WRITTEN"  #: a recorded change did not reach the files: what was in force before is again
_IDENT = re.compile(r"[a-z0-9-]{1,40}")


def accept(
    firm_id: str,
    profiles: Sequence[TraderProfile],
    store: LastGoodConfigs,
    now_ns: int,
    acts: Acts | None,
) -> None:
    """Remember the configurations of a firm, and record those that are new or changed, in one transaction."""
    known = {} if acts is None else store.hashes()
    refused = acts is not None and bool(_open_refusals(acts, firm_id))
    made = [
        _accepted(profile, known, store, refused)
        for profile in profiles
        if refused or known.get(profile.account) != profile.config_hash
    ]
    if acts is None or not made:
        store.accept(profiles, now_ns)
        return
    record_acts(acts, place_of_firm(firm_id), made, lambda events: store.accept(profiles, now_ns, events))


def changed_act(version: ConfigVersion, before: TraderProfile | None, after: TraderProfile) -> Act:
    """The entry of one account that a version changes."""
    changes = () if before is None else tuple(map(_change, profile_changes(before, after)))
    return Act(
        ConfigChanged(
            account=after.account,
            before_hash="" if before is None else before.config_hash,
            after_hash=after.config_hash,
            changes=changes,
            profile=recorded_profile(after),
            request_id=version.request_id or f"version-{version.version}",
        ),
        config_hash=after.config_hash,
        reason_codes=(FIRST_SIGHT,) if before is None else (),
        correlation_id=f"version-{version.version}",
    )


def reverted_act(version: ConfigVersion, effect: AccountEffect, before: TraderProfile) -> Act:
    """The entry that takes one back: the version did not reach the files, and ``before`` is in force as it was."""
    return Act(
        ConfigChanged(
            account=effect.account,
            before_hash=effect.after_hash,
            after_hash=before.config_hash,
            changes=(),
            profile=recorded_profile(before),
            request_id=version.request_id or f"version-{version.version}",
        ),
        config_hash=before.config_hash,
        reason_codes=(NOT_WRITTEN,),
        correlation_id=f"version-{version.version}",
    )


def _accepted(profile: TraderProfile, known: Mapping[str, str], store: LastGoodConfigs, refused: bool) -> Act:
    last = store.get(profile.account) if profile.account in known else None
    changes = () if last is None else tuple(map(_change, profile_changes(last.profile, profile)))
    codes = ((FIRST_SIGHT if profile.account not in known else BEFORE_UNKNOWN),) if last is None else ()
    return Act(
        ConfigAccepted(
            account=profile.account,
            before_hash="" if last is None else last.profile.config_hash,
            after_hash=profile.config_hash,
            changes=changes,
            profile=recorded_profile(profile),
        ),
        config_hash=profile.config_hash,
        reason_codes=(*codes, AFTER_REFUSAL) if refused else codes,
    )


def _change(change: Any) -> ConfigChange:
    return ConfigChange(
        path=change.path,
        before=_exact(change.old),
        after=_exact(change.new),
        direction=change.direction.value,
    )


def recorded_profile(profile: TraderProfile) -> dict[str, Any]:
    """The merged configuration as it is recorded: whole, files by their names alone (folders name people)."""
    plain = _exact(profile.model_dump(mode="json"))
    for steps in plain["provenance"].values():
        for step in steps:
            step["file"] = None if step["file"] is None else PurePath(step["file"]).name
    return dict(plain)


def _exact(value: Any) -> Any:
    """``value`` without floats: their shortest text."""
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(item) for item in value]
    return repr(value) if isinstance(value, float) else value


# --- refusals -----------------------------------------------------------------------------------------------


def record_refusal(broken: BrokenFirm, acts: Acts) -> None:
    """Record why the configuration of a firm was refused, unless the same is recorded since the last acceptance; of a
    firm without a legal name in the record of the platform."""
    firm_id = broken.firm_id if _IDENT.fullmatch(broken.firm_id) else PLATFORM
    refused = _refused(broken)
    if refused.refusal_hash not in _open_refusals(acts, firm_id):
        record_act(acts, place_of_firm(firm_id), Act(refused))


def refused_version(version: ConfigVersion, findings: Sequence[Finding]) -> Act:
    """The entry of a version that was to be applied and was not: the files stay as they are."""
    accounts = tuple(one.account for one in version.accounts)
    refused = _refused(BrokenFirm(version.firm_id, accounts, tuple(findings)))
    return Act(refused, reason_codes=(NOT_APPLIED,), correlation_id=f"version-{version.version}")


def _refused(broken: BrokenFirm) -> ConfigRefused:
    findings, erased = [], []
    for n, finding in enumerate(broken.findings):
        place = "" if finding.file is None else PurePath(finding.file).name
        message, masked = masked_text(f"expected {finding.expected}, found {finding.found}")
        path, hidden = masked_text(finding.path)
        findings.append(ConfigFinding(path=path, file=place, line=finding.line, message=message))
        erased += [str(n)] if masked or hidden else []
    accounts = tuple(name for name in broken.accounts if _is_account(name))
    said = {"accounts": list(accounts), "findings": [f.model_dump(mode="json") for f in findings]}
    digest = content_hash(said)
    return ConfigRefused(
        accounts=accounts, refusal_hash=digest, findings=tuple(findings), erased=tuple(erased)
    )


def _is_account(name: str) -> bool:
    return all(_IDENT.fullmatch(part) for part in name.split("/")) and name.count("/") == 1


def _open_refusals(acts: Acts, firm_id: str) -> set[str]:
    """Hashes of the refusals recorded of a firm since something of it was accepted last."""
    kinds = (EventType.CONFIG_REFUSED, EventType.CONFIG_ACCEPTED, EventType.CONFIG_CHANGED)
    account = PLATFORM if firm_id == PLATFORM else FIRM_ACCOUNT
    wanted = Selection(kinds=tuple(k.value for k in kinds), accounts=(account,))
    found: set[str] = set()
    for entry in acts.history(firm_id).entries(wanted):
        said = entry.fields()
        if entry.event_type != EventType.CONFIG_REFUSED:
            found.clear()
        elif NOT_APPLIED not in said["reason_codes"]:
            found.add(said["refusal_hash"])
    return found


# --- overrides ----------------------------------------------------------------------------------------------


def override_act(override: SessionOverride, profile: TraderProfile) -> Act:
    """The entry of a session override that is about to take effect."""
    return Act(
        Overridden(
            override_id=override.override_id,
            account=override.account,
            path=override.path,
            value=_exact(override.value),
            reason=override.reason,
            created_by=override.created_by,
            created_at_ns=str(override.created_at_ns),
            expires_at_ns=str(override.expires_at_ns),
            ends_at_ns=str(ends_ns(override, session_boundary(profile.trading_day))),
            exact=override.exact,
        ),
        config_hash=profile.config_hash,
        correlation_id=override.override_id,
    )
