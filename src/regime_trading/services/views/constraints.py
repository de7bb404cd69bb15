"""The rules of an account (``/constraints``): what each measured, its limit, what is left, and who set the limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, JsonValue

from regime_trading.core.access import Permission
from regime_trading.core.errors import NotThere
from regime_trading.core.record_query import EntryQuery, key_of
from regime_trading.core.recorded import Recorded
from regime_trading.core.risk_layers import LayerKind, adapter
from regime_trading.core.risk_stack import ProvenanceStep, risk_path
from regime_trading.core.rules import RULE_BY_ID, RULES, RuleSpec, unit_of
from regime_trading.core.schemas import EventType
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.services.breaches import Acknowledgement, Where
from regime_trading.services.views.base import (
    Account,
    Asker,
    DecimalText,
    Fraction,
    Hash,
    Instant,
    Seconds,
    Shown,
    instant,
    number,
    plain,
)
from regime_trading.services.views.breaches import Acknowledged, acknowledged, acknowledged_of
from regime_trading.services.views.current import Current, current
from regime_trading.services.views.decisions import (
    KINDS,
    Place,
    RuleOutcome,
    TradingState,
    before_of,
    place_of,
    said_in,
)
from regime_trading.services.views.headroom import headroom, used_fraction
from regime_trading.services.views.pages import Page, page_of, require_limit
from regime_trading.services.views.redaction import is_money, safe_rationale
from regime_trading.services.views.sources import FirmSources, ids_of

TRIGGERS = 20
_TRIGGERING = (EventType.RULE_BREACH.value, EventType.LATCH.value, EventType.UNLOCK.value)
_MONEY_WORDS = (
    "currency",
    "money",
    "contracts",
    "units of the asset",
)  #: in the unit of a parameter that is an amount


LayerName = Literal["defaults", "preset", "firm", "account", "session"]


class LayerStep(Shown):
    """What one layer said about a parameter."""

    layer: LayerName
    name: str
    value: JsonValue = Field(description="null where amounts are not shown")
    file: str | None = Field(description="name of the file; null = built in, or a session override")
    line: int | None
    merge: str = Field(description="how the layers of this parameter combine")
    decides: bool = Field(description="its value is in force")


class SetBy(Shown):
    """Where a value in force comes from."""

    path: str = Field(description="dotted key of the parameter")
    layer: LayerName
    name: str = Field(description="of the preset, firm, account or override")
    file: str | None = Field(description="name of the file; null = built in, or a session override")
    line: int | None


class Parameter(Shown):
    """One parameter in force of a rule, and where it comes from."""

    path: str = Field(description="dotted key, risk.<rule>.<parameter>")
    value: JsonValue = Field(description="null where amounts are not shown")
    unit: str
    set_by: SetBy | None
    layers: tuple[LayerStep, ...] = Field(description="from the top down")


class Trigger(Shown):
    """A breach, a lockout or its release."""

    event_type: Literal["RULE_BREACH", "LATCH", "UNLOCK"]
    as_of: Instant
    env: str
    run_id: str
    value: DecimalText | None
    limit: DecimalText | None
    trading_state: TradingState | None = Field(description="that a lockout holds the account at")
    release: str | None
    actor: str = Field(description="rule, service or pseudonym of the person")
    rationale: str
    place: Place
    acknowledged: Acknowledged | None = Field(description="of a breach; null = nobody has yet")


class ConstraintRow(Shown):
    """One rule on the board."""

    rule_id: str
    key: str = Field(description="its name under risk: in configuration files")
    title: str
    guard: int = Field(
        description="1 data sanity, 2 blackout, 3 loss and drawdown, 4 volatility, 5 concentration, 6 liquidity"
    )
    state: RuleOutcome | Literal["never_evaluated"] = Field(
        description="unknown = an input was missing, so the rule was at its most careful"
    )
    alarming: bool = Field(description="binds, holds the account, or does not know")
    unit: str
    at_least: bool = Field(description="the value must not fall below the limit")
    value: DecimalText | None
    limit: DecimalText | None = Field(description="unlimited = no limit is set")
    headroom: DecimalText | None = Field(description="what is left, in the unit; negative = beyond the limit")
    used: Fraction | None = Field(description="1 = at the limit; null = not known or no limit")
    warn_at: Fraction | None = Field(
        description="used fraction from which the rule warns; null = it does not"
    )
    acts_at: Fraction | None = Field(
        description="used fraction from which the rule acts; null = at the limit"
    )
    holds: bool = Field(description="a lockout of this rule is open")
    inequality: str
    effect: str
    recovery: str = Field(description="what ends its effect")
    reason_codes: tuple[str, ...]
    set_by: SetBy | None = Field(
        description="the layer that set its main parameter; null where the asker may not read configurations"
    )


class Board(Shown):
    """All rules of an account in guard order."""

    account: Account
    as_of: Instant | None = Field(description="of the last decision; null = the account was never decided")
    age_s: Seconds | None
    decided_under: Hash | None = Field(description="configuration of the last decision")
    in_force: Hash | None = Field(description="configuration in force now, session overrides included")
    rows: tuple[ConstraintRow, ...]
    decision: Place | None
    redacted: bool


class Constraint(ConstraintRow):
    """One rule of an account with its last triggers."""

    account: Account
    as_of: Instant | None
    parameters: tuple[Parameter, ...] | None = Field(
        description="null where the asker may not read configurations"
    )
    triggers: tuple[Trigger, ...] = Field(description="the last 20, newest first")
    redacted: bool


class Measurement(Shown):
    """What one rule said of one decision."""

    as_of: Instant
    decision_id: str
    env: str
    run_id: str
    outcome: RuleOutcome
    value: DecimalText | None
    limit: DecimalText | None
    used: Fraction | None


def board(sources: FirmSources, asker: Asker, account: str) -> Board:
    """Every rule of an account as of its last decision.

    Raises
    ------
    NotThere
        There is no such account, or not for this asker.
    """
    sources.require(asker, account)
    of, shows = current(sources, account), asker.shows_amounts(account)
    profile = _profile(sources, asker, of)
    told = profile if asker.may(Permission.READ_CONFIG, sources.firm_id, account) else None
    stored = of.stored
    return Board(
        account=account,
        as_of=None if stored is None else instant(stored.state.as_of_ns),
        age_s=None if stored is None else asker.age_s(stored.state.as_of_ns),
        decided_under=of.said.get("config_hash"),
        in_force=None if profile is None else profile.config_hash,
        rows=tuple(ConstraintRow(**_row(spec, of, profile, told, shows)) for spec in RULES),
        decision=None if of.entry is None else place_of(of.entry, of.said),
        redacted=not shows,
    )


def constraint(sources: FirmSources, asker: Asker, account: str, rule_id: str) -> Constraint:
    """One rule of an account with its last triggers in the account's mode.

    Raises
    ------
    NotThere
        There is no such account or rule, or not for this asker.
    """
    sources.require(asker, account)
    spec = _spec(rule_id)
    of, shows = current(sources, account), asker.shows_amounts(account)
    profile = _profile(sources, asker, of)
    told = profile if asker.may(Permission.READ_CONFIG, sources.firm_id, account) else None
    query = EntryQuery(
        accounts=ids_of((account,)),
        kinds=_TRIGGERING,
        rule_id=rule_id,
        envs=() if of.mode is None else (of.mode.value,),
    )
    found = sources.record.newest(query, None, TRIGGERS)
    seen = acknowledged_of(sources, account, rule_id)
    return Constraint(
        **_row(spec, of, profile, told, shows),
        account=account,
        as_of=None if of.stored is None else instant(of.stored.state.as_of_ns),
        parameters=None if told is None else _parameters(spec, told, shows),
        triggers=tuple(_trigger(entry, shows, seen) for entry in found),
        redacted=not shows,
    )


def history(
    sources: FirmSources,
    asker: Asker,
    account: str,
    rule_id: str,
    run_id: str = "",
    cursor: str | None = None,
    limit: int = 200,
) -> Page[Measurement]:
    """Value against limit of one rule over the decisions of an account in its mode, newest first.

    Raises
    ------
    NotThere
        There is no such account or rule, or not for this asker.
    BadInput
        A cursor of other filters, or a limit that no page has.
    """
    standing = sources.require(asker, account)
    spec, shows = _spec(rule_id), asker.shows_amounts(account) or not is_money(rule_id)
    envs = () if standing.profile is None else (standing.profile.mode.value,)
    query = EntryQuery(accounts=ids_of((account,)), kinds=KINDS, run_id=run_id, envs=envs)
    asked = ["constraint history", account, rule_id, run_id]
    rows = sources.record.newest(query, before_of(cursor, asked), require_limit(limit) + 1)
    page = page_of(rows, asked, limit, lambda entry: _measurement(spec, entry, shows), key_of)
    return Page(items=tuple(item for item in page.items if item is not None), next_cursor=page.next_cursor)


def _spec(rule_id: str) -> RuleSpec:
    if rule_id not in RULE_BY_ID:
        raise NotThere("rule", rule_id)
    return RULE_BY_ID[rule_id]


def _profile(sources: FirmSources, asker: Asker, of: Current) -> TraderProfile | None:
    profile = of.standing.profile
    return None if profile is None else sources.in_force(profile, asker.now_ns)


def _row(
    spec: RuleSpec, of: Current, profile: TraderProfile | None, told: TraderProfile | None, shows: bool
) -> dict[str, Any]:
    said = of.rule(spec.rule_id)
    hidden = not shows and is_money(spec.rule_id)
    latches = () if of.stored is None else of.stored.state.latches
    holds = any(latch.rule_id == spec.rule_id for latch in latches)
    state = "never_evaluated" if said is None else said["outcome"]
    params = None if profile is None else profile.rules[spec.rule_id]
    return {
        "rule_id": spec.rule_id,
        "key": spec.key,
        "title": spec.title,
        "guard": int(spec.guard),
        "state": state,
        "alarming": holds or state in ("bound", "unknown"),
        "unit": spec.measure.unit,
        "at_least": spec.measure.at_least,
        "value": None if said is None or hidden else plain(said["value"]),
        "limit": None if said is None or hidden else plain(said["limit"]),
        "headroom": None if said is None or hidden else headroom(spec, said),
        "used": None if said is None else used_fraction(spec, said),
        "warn_at": number(getattr(params, "warn", None)),
        "acts_at": number(getattr(params, "act", None)),
        "holds": holds,
        "inequality": spec.inequality,
        "effect": spec.effect,
        "recovery": spec.recovery,
        "reason_codes": () if said is None else tuple(said["reason_codes"]),
        "set_by": None if told is None else _set_by(told, risk_path(spec.key, _main(spec))),
    }


# --- who set it ---------------------------------------------------------------------------------------------


def _parameters(spec: RuleSpec, profile: TraderProfile, shows: bool) -> tuple[Parameter, ...]:
    params, found = profile.rules[spec.rule_id], []
    for name in spec.params.model_fields:
        path, unit = risk_path(spec.key, name), unit_of(spec.params, name)
        hidden = not shows and any(word in unit for word in _MONEY_WORDS)
        steps = tuple(_step(step, hidden) for step in profile.provenance.get(path, ()))
        value = adapter(spec.params, name).dump_python(getattr(params, name), mode="json")
        found.append(
            Parameter(
                path=path,
                value=None if hidden else value,
                unit=unit,
                set_by=_set_by(profile, path),
                layers=steps,
            )
        )
    return tuple(found)


def _step(step: ProvenanceStep, hidden: bool) -> LayerStep:
    return LayerStep(
        layer=step.layer.value,
        name=step.name,
        value=None if hidden else step.value,
        file=_file_of(step),
        line=step.line,
        merge=step.operator.value,
        decides=step.winning,
    )


def file_name(path: str | None) -> str | None:
    """Name of a file without its folders, which may name people."""
    return None if path is None else path.replace("\\", "/").rpartition("/")[2]


def _main(spec: RuleSpec) -> str:
    """The parameter that is the limit of a rule: its principal one, else the first that is no switch."""
    return spec.principal or next((name for name in spec.params.model_fields if name != "enabled"), "enabled")


def _set_by(profile: TraderProfile, path: str) -> SetBy | None:
    """The last of the layers whose value is in force."""
    last = next((step for step in reversed(profile.provenance.get(path, ())) if step.winning), None)
    if last is None:
        return None
    return SetBy(path=path, layer=last.layer.value, name=last.name, file=_file_of(last), line=last.line)


def _file_of(step: ProvenanceStep) -> str | None:
    return None if step.layer is LayerKind.DEFAULTS else file_name(step.file)


# --- what happened ------------------------------------------------------------------------------------------


def _trigger(entry: Recorded, amounts: bool, seen: Mapping[Where, Acknowledgement]) -> Trigger:
    said = entry.fields()
    shows = amounts or not is_money(said["rule_id"])
    return Trigger(
        event_type=entry.event_type,  # type: ignore[arg-type]
        as_of=instant(entry.ts_event_ns) or "",
        env=said["env"],
        run_id=said["run_id"],
        value=plain(said.get("value")) if shows else None,
        limit=plain(said.get("limit")) if shows else None,
        trading_state=said.get("trading_state"),
        release=said.get("release"),
        actor=f"{said['actor']['type']} {said['actor']['id']}",
        rationale=said["rationale"] if shows else safe_rationale(said),
        place=place_of(entry, said),
        acknowledged=acknowledged(seen.get((entry.chain_id, entry.seq)), amounts),
    )


def _measurement(spec: RuleSpec, entry: Recorded, shows: bool) -> Measurement | None:
    """What the rule said; None of a decision that does not name it (a held run, an older version)."""
    said: Mapping[str, Any] = said_in(entry)
    row = next((one for one in said.get("rules", ()) if one["rule_id"] == spec.rule_id), None)
    if row is None:
        return None
    return Measurement(
        as_of=instant(entry.ts_event_ns) or "",
        decision_id=said["decision_id"],
        env=said["env"],
        run_id=said["run_id"],
        outcome=row["outcome"],
        value=plain(row["value"]) if shows else None,
        limit=plain(row["limit"]) if shows else None,
        used=used_fraction(spec, row),
    )
