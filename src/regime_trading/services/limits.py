"""Limits in force at an instant, or in a run, from the record alone: the configuration accepted last, tightened by the
overrides of that instant, its hash computed again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.instants import LATEST_NS, instant_text
from regime_trading.core.overrides import SessionOverride
from regime_trading.core.ports import RecordHistory
from regime_trading.core.recorded import Recorded, Selection
from regime_trading.core.risk_layers import LayerKind, adapter
from regime_trading.core.risk_stack import risk_path
from regime_trading.core.rules import RULES
from regime_trading.core.schemas import EventType as E
from regime_trading.core.trader_profile import TraderProfile, with_overrides
from regime_trading.services.config_acts import NOT_APPLIED
from regime_trading.services.registers import Scope, place_of

_ACCEPTED = (E.CONFIG_ACCEPTED, E.CONFIG_CHANGED)


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A configuration and the entry that accepted it."""

    profile: TraderProfile
    entry: Recorded


def limits_in_force(history: RecordHistory, scope: Scope, at_ns: int | None) -> dict[str, Any]:
    """Every limit of one account: its value, the layer that decided it, and where that is written.

    Parameters
    ----------
    history : RecordHistory
    scope : Scope
        Of one account; with a run, the limits of that run at its decision (the last one at or before ``at_ns``).
    at_ns : int or None
        UTC nanoseconds; only a run can do without.

    Raises
    ------
    BadInput
        No account, no time, or nothing recorded of the account by then.
    CheckFailed
        A configuration that does not have the hash under which it was accepted or decided.
    """
    if not scope.account:
        raise BadInput(expected="an account (--account FIRM/ACCOUNT)", found="none", where="limits")
    if scope.run_id:
        return _of_run(history, scope, LATEST_NS if at_ns is None else at_ns)
    if at_ns is None:
        raise BadInput(expected="an instant (--at) or a run (--run)", found="neither", where="limits")
    return _at(history, scope, at_ns)


def _at(history: RecordHistory, scope: Scope, at_ns: int) -> dict[str, Any]:
    known = list(_accepted(history, scope, at_ns))
    if not known:
        raise BadInput(
            expected=f"a configuration of {scope.account} accepted by then",
            found="none in the record",
            where=instant_text(at_ns),
        )
    last = known[-1]
    tight = _tightened(last, _overrides(history, scope, at_ns), at_ns)
    entries = history.entries(replace(scope, to_ns=at_ns).of_firm(E.CONFIG_REFUSED))
    refused = [entry for entry in entries if NOT_APPLIED not in entry.fields()["reason_codes"]]
    notes = [
        f"The files were refused at {instant_text(entry.ts_event_ns)}; since then the account may do less."
        for entry in refused[-1:]
        if entry.seq > last.entry.seq
    ]
    return _told(scope, at_ns, last, tight, notes)


def _of_run(history: RecordHistory, scope: Scope, at_ns: int) -> dict[str, Any]:
    """The configuration whose hash the decision carries, found among those accepted and the overrides on them."""
    wanted = Selection(
        kinds=(E.DECISION.value,), accounts=(scope.account_id,), run_id=scope.run_id, to_ns=at_ns
    )
    decided = None
    for entry in history.entries(wanted):
        decided = entry if decided is None or entry.ts_event_ns >= decided.ts_event_ns else decided
    if decided is None:
        raise BadInput(
            expected=f"a decision of {scope.account}", found="none in the record", where=f"run {scope.run_id}"
        )
    digest, as_of_ns = decided.fields()["config_hash"], decided.ts_event_ns
    known = list(_accepted(history, scope, LATEST_NS))
    made = _overrides(history, scope, LATEST_NS)
    for one in reversed(known):
        if one.profile.config_hash == digest:
            return _told(scope, as_of_ns, one, one.profile, [])
        if made and (tight := _tightened(one, made, as_of_ns)).config_hash == digest:
            return _told(scope, as_of_ns, one, tight, [])
    raise CheckFailed(
        f"run {scope.run_id} of {scope.account} was decided under configuration {digest}, which the record does not "
        f"hold ({len(known)} accepted, {len(made)} overrides)"
    )


def _accepted(history: RecordHistory, scope: Scope, to_ns: int) -> Iterator[_Accepted]:
    for entry in history.entries(replace(scope, to_ns=to_ns).of_firm(*_ACCEPTED)):
        said = entry.fields()
        if said["account"] != scope.account:
            continue
        try:
            profile = TraderProfile.model_validate(said["profile"])
        except ValidationError as error:
            raise CheckFailed(
                f"{entry.place}, entry {entry.seq}: the configuration does not verify "
                f"({error.errors(include_url=False)[0]['msg']})"
            ) from error
        if profile.config_hash != said["after_hash"]:
            raise CheckFailed(
                f"{entry.place}, entry {entry.seq}: accepted {said['after_hash']}, holds {profile.config_hash}"
            )
        yield _Accepted(profile, entry)


def _overrides(history: RecordHistory, scope: Scope, to_ns: int) -> tuple[SessionOverride, ...]:
    """Overrides of the account that were recorded by then."""
    found = []
    for entry in history.entries(replace(scope, to_ns=to_ns).of_firm(E.OVERRIDE)):
        said = entry.fields()
        if said["account"] == scope.account:
            found.append(
                SessionOverride(
                    account=said["account"],
                    path=said["path"],
                    value=said["value"],
                    reason=said["reason"],
                    created_by=said["created_by"],
                    created_at_ns=int(said["created_at_ns"]),
                    expires_at_ns=int(said["expires_at_ns"]),
                    exact=said["exact"],
                )
            )
    return tuple(found)


def _tightened(one: _Accepted, made: Sequence[SessionOverride], at_ns: int) -> TraderProfile:
    return with_overrides(one.profile, made, at_ns) if made else one.profile


def _told(
    scope: Scope, at_ns: int, accepted: _Accepted, profile: TraderProfile, notes: list[str]
) -> dict[str, Any]:
    return {
        "account": scope.account,
        "at": instant_text(at_ns),
        "run": scope.run_id or None,
        "config_hash": profile.config_hash,
        "accepted_at": instant_text(accepted.entry.ts_event_ns),
        "accepted_in": place_of(accepted.entry) | {"place": accepted.entry.place},
        "overrides": [
            {"override_id": o.override_id, "path": o.path, "value": o.value, "reason": o.reason}
            for o in profile.session_overrides
        ],
        "mode": profile.mode.value,
        "notes": notes,
        "limits": list(_limits(profile)),
    }


def _limits(profile: TraderProfile) -> Iterator[dict[str, Any]]:
    for spec in RULES:
        params = profile.rules[spec.rule_id]
        for name in spec.params.model_fields:
            path = risk_path(spec.key, name)
            winners = [step for step in profile.provenance.get(path, ()) if step.winning]
            where = [f"{s.file}:{s.line}" if s.line is not None else s.file or "" for s in winners]
            yield {
                "rule_id": spec.rule_id,
                "path": path,
                "value": adapter(spec.params, name).dump_python(getattr(params, name), mode="json"),
                "decided_by": [f"{step.layer.value} {step.name}" for step in winners],
                "where": where,
                "default": all(step.layer is LayerKind.DEFAULTS for step in winners),
            }
