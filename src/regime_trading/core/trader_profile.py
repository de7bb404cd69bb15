"""The merged configuration of one account: defaults → preset → firm → account → session.

What each layer may do to a risk parameter is decided in ``core.risk_stack``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeVar

from pydantic import Field, JsonValue, SerializeAsAny, field_validator, model_validator

from regime_trading.core.canonical import canonical_json, sha256_hex
from regime_trading.core.errors import BadInput
from regime_trading.core.risk_layers import NO_TEXT, ConfigText, LayerKind, Path, RiskLayer, nearest
from regime_trading.core.risk_stack import (
    ProvenanceStep,
    RiskStack,
    apply_layer,
    default_stack,
    risk_path,
    rule_models,
)
from regime_trading.core.rules import (
    RULE_BY_ID,
    RULE_BY_KEY,
    RULES,
    Frozen,
    Merge,
    RuleParams,
    decimal_text,
)
from regime_trading.core.schemas import Ident, Mode
from regime_trading.core.settings import Finding, InvalidConfig, Settings
from regime_trading.core.traders import (
    AccountConfig,
    AccountType,
    BasketShare,
    Capital,
    Currency,
    FirmConfig,
    Lifecycle,
    PresetRef,
    Terms,
    TradersConfig,
    TradingDay,
    check_traders,
    problem,
)

SCHEMA_VERSION: Literal[1] = 1
MERGE_ENGINE_VERSION = 1

P = TypeVar("P", bound=RuleParams)


class SessionOverride(Frozen):
    """A temporary tightening of one risk parameter, valid before ``expires_at_ns``."""

    path: str
    value: JsonValue
    reason: str = Field(min_length=1, max_length=500)
    expires_at_ns: int


# --- the profile ------------------------------------------------------------------------------------------


class TraderProfile(Frozen):
    """The merged configuration of one account.

    ``rules`` holds the parameters in force of every rule, by rule id. ``provenance`` says, by dotted path,
    what each layer said and which one decided. ``config_hash`` covers what is in force: not the provenance,
    not the version, not the wording of overrides.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    firm_id: Ident
    account_id: Ident
    display_name: str
    account_type: AccountType
    account_currency: Currency
    mode: Mode
    initial_capital: Capital
    trading_day: TradingDay
    lifecycle: Lifecycle | None
    baskets: tuple[BasketShare, ...]
    rules: dict[str, SerializeAsAny[RuleParams]]
    preset_ref: PresetRef | None
    sealed_paths: tuple[str, ...]
    session_overrides: tuple[SessionOverride, ...] = ()
    config_version: int = Field(ge=1)
    config_hash: str
    provenance: dict[str, tuple[ProvenanceStep, ...]]

    @field_validator("rules", mode="before")
    @classmethod
    def _typed(cls, rules: Any) -> Any:
        if not isinstance(rules, Mapping):
            return rules
        if sorted(rules) != sorted(RULE_BY_ID):
            raise ValueError(f"expected every rule id once, found {sorted(rules)}")
        return {rule_id: RULE_BY_ID[rule_id].params.model_validate(rules[rule_id]) for rule_id in RULE_BY_ID}

    @model_validator(mode="after")
    def _hash_holds(self) -> TraderProfile:
        if self.config_hash != effective_hash(self):
            raise ValueError(f"config_hash: expected {effective_hash(self)}, found {self.config_hash}")
        return self

    @property
    def account(self) -> str:
        """``firm/account``."""
        return f"{self.firm_id}/{self.account_id}"

    def params(self, kind: type[P]) -> P:
        """Parameters in force of the rule whose model is ``kind``."""
        for params in self.rules.values():
            if type(params) is kind:
                return params
        raise KeyError(kind.__name__)


def effective_hash(profile: TraderProfile) -> str:
    """``sha256(JCS(effective typed config) ‖ schema_version ‖ merge_engine_version)``."""
    return _effective_hash(dict(profile))


_NOT_IN_FORCE = {"schema_version", "config_hash", "config_version", "provenance", "session_overrides"}


def _effective_hash(fields: Mapping[str, Any]) -> str:
    body = {name: _plain(value) for name, value in fields.items() if name not in _NOT_IN_FORCE}
    return sha256_hex(canonical_json(body) + f"|{SCHEMA_VERSION}|{MERGE_ENGINE_VERSION}".encode())


def _plain(value: Any) -> Any:
    """JSON form of a field."""
    if isinstance(value, Frozen):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return decimal_text(value) if isinstance(value, Decimal) else value


def explain(profile: TraderProfile, path: str) -> tuple[ProvenanceStep, ...]:
    """What each layer said about ``path``, from the top down, and which layers decided.

    Parameters
    ----------
    path : str
        ``risk.daily_loss.act``, ``risk.sigma_target`` (the rule's principal parameter), or a plain field
        (``initial_capital``).

    Raises
    ------
    BadInput
        No such path, with the nearest one.
    """
    full = _full_path(path)
    if full not in profile.provenance:
        raise BadInput(expected=nearest(path, profile.provenance), found=repr(path), where=profile.account)
    return profile.provenance[full]


def _full_path(path: str) -> str:
    root, _, key = path.partition(".")
    spec = RULE_BY_KEY.get(key)
    return risk_path(key, spec.principal) if root == "risk" and spec and spec.principal else path


def with_overrides(
    profile: TraderProfile, overrides: Sequence[SessionOverride], as_of_ns: int
) -> TraderProfile:
    """``profile`` tightened by the overrides that are still valid at ``as_of_ns``.

    Raises
    ------
    InvalidConfig
        An override that names no risk parameter, or loosens one.
    """
    live = tuple(override for override in overrides if as_of_ns < override.expires_at_ns)
    values = {spec.key: dict(profile.rules[spec.rule_id]) for spec in RULES}
    stack = RiskStack(values, profile.provenance, profile.sealed_paths)
    findings: list[Finding] = []
    for override in live:
        layer = RiskLayer(LayerKind.SESSION, f"override ({override.reason})", _override_risk(override))
        stack, found = apply_layer(stack, layer)
        findings += found
    if findings:
        raise InvalidConfig(tuple(findings))
    fields = {
        **dict(profile),
        "rules": rule_models(stack),
        "session_overrides": (*profile.session_overrides, *live),
        "provenance": dict(stack.provenance),
    }
    return TraderProfile(**{**fields, "config_hash": _effective_hash(fields)})


def _override_risk(override: SessionOverride) -> dict[str, Any]:
    match override.path.split("."):
        case ["risk", key]:
            return {key: override.value}
        case ["risk", key, name]:
            return {key: {name: override.value}}
    found = Finding(
        path=override.path, expected="risk.<rule> or risk.<rule>.<parameter>", found=override.path
    )
    raise InvalidConfig((found,))


# --- the merge --------------------------------------------------------------------------------------------


def merge_profiles(
    traders: TradersConfig,
    settings: Settings,
    traders_text: ConfigText = NO_TEXT,
    settings_text: ConfigText = NO_TEXT,
    config_version: int = 1,
) -> tuple[TraderProfile, ...]:
    """One profile per account, in the order of the file.

    Parameters
    ----------
    traders, settings
        The two files, typed.
    traders_text, settings_text
        Where their keys are written, for provenance and findings.
    config_version : int
        Number of this configuration, given by whoever stores it.

    Raises
    ------
    InvalidConfig
        Any problem of any layer; ``findings`` has them all.
    """
    above, findings = _above_firms(traders, settings, traders_text, settings_text)
    findings += check_traders(traders, settings, traders_text, settings_text)
    drafts: list[dict[str, Any]] = []
    for f, firm in enumerate(traders.firms):
        root: Path = ("firms", f)
        layer = RiskLayer(LayerKind.FIRM, firm.id, firm.risk, traders_text, (*root, "risk"), firm.sealed)
        findings += apply_layer(above.platform, layer)[1]
        for a, account in enumerate(firm.accounts):
            draft, problems = _draft(above, firm, layer, account, (*root, "accounts", a))
            drafts.append(draft)
            findings += problems
    if findings:
        raise InvalidConfig(tuple(dict.fromkeys(findings)))
    return tuple(
        TraderProfile(**draft, config_version=config_version, config_hash=_effective_hash(draft))
        for draft in drafts
    )


@dataclass(frozen=True, slots=True)
class _Above:
    """What lies above the firms: the platform's stack, and that of each preset."""

    platform: RiskStack
    presets: Mapping[str, RiskStack]
    terms: Mapping[str, Terms]


def _above_firms(
    traders: TradersConfig, settings: Settings, text: ConfigText, settings_text: ConfigText
) -> tuple[_Above, list[Finding]]:
    layer = RiskLayer(
        LayerKind.DEFAULTS, "platform", settings.rules, settings_text, ("rules",), settings.sealed
    )
    platform, found = apply_layer(default_stack(), layer)
    findings, presets = list(found), {}
    for ref, terms in traders.presets.items():
        preset = RiskLayer(LayerKind.PRESET, ref, terms.risk, text, ("presets", ref, "risk"))
        presets[ref], found = apply_layer(platform, preset)
        findings += found
    return _Above(platform, presets, traders.presets), findings


def _draft(
    above: _Above, firm: FirmConfig, firm_layer: RiskLayer, account: AccountConfig, at: Path
) -> tuple[dict[str, Any], list[Finding]]:
    """Fields of one profile but its version and hash, and what is wrong with them."""
    text, preset = firm_layer.text, account.preset or ""
    layer = RiskLayer(LayerKind.ACCOUNT, f"{firm.id}/{account.id}", account.risk, text, (*at, "risk"))
    stack, by_firm = apply_layer(above.presets.get(preset, above.platform), firm_layer)
    stack, by_account = apply_layer(stack, layer)
    terms, provenance, findings = _terms(account, above.terms.get(preset), layer, at)
    if preset and preset not in above.terms:  # said once, where the preset is named
        findings = []
    fields = {
        "firm_id": firm.id,
        "account_id": account.id,
        "display_name": account.display_name or account.id,
        "mode": account.mode,
        "baskets": tuple(sorted(account.baskets, key=lambda basket: basket.name)),
        "rules": rule_models(stack),
        "preset_ref": account.preset,
        "sealed_paths": tuple(sorted(set(stack.sealed))),
        "provenance": {**stack.provenance, **provenance},
        **terms,
    }
    return fields, [*by_firm, *by_account, *findings]


_TERMS = ("account_type", "account_currency", "initial_capital", "trading_day", "lifecycle")


def _terms(
    account: AccountConfig, preset: Terms | None, layer: RiskLayer, at: Path
) -> tuple[dict[str, Any], dict[str, tuple[ProvenanceStep, ...]], list[Finding]]:
    """Plain fields from the preset, or else from the account, and what is wrong with them."""
    values: dict[str, Any] = {}
    provenance: dict[str, tuple[ProvenanceStep, ...]] = {}
    findings: list[Finding] = []
    for name in _TERMS:
        fixed, own = getattr(preset, name, None), getattr(account, name)
        values[name] = own if fixed is None else fixed
        steps = _term_steps(account, fixed, own, layer, (*at, name))
        if steps:
            provenance[name] = steps
        if fixed is not None and own not in (None, fixed):
            expected = f"{_plain(fixed)}, the term of {steps[0].title}"
            layers = (f"preset {account.preset}", layer.title)
            findings.append(problem(layer.text, (*at, name), expected, str(_plain(own)), layers))
        if values[name] is None and name != "lifecycle":
            findings.append(problem(layer.text, (*at, name), "a value in the account or its preset", "none"))
    evaluated, lifecycle = values["account_type"] is AccountType.PROP_EVAL, values["lifecycle"]
    if evaluated is (lifecycle is None):
        expected = "the terms of the evaluation" if evaluated else "none (only prop_eval accounts have one)"
        findings.append(problem(layer.text, (*at, "lifecycle"), expected, str(_plain(lifecycle))))
    return values, provenance, findings


def _term_steps(
    account: AccountConfig, fixed: Any, own: Any, layer: RiskLayer, at: Path
) -> tuple[ProvenanceStep, ...]:
    said = (
        (LayerKind.PRESET, str(account.preset), fixed, ("presets", str(account.preset), at[-1])),
        (LayerKind.ACCOUNT, layer.name, own, at),
    )
    return tuple(
        ProvenanceStep(
            layer=kind,
            name=name,
            value=_plain(value),
            file=layer.text.file,
            line=layer.text.line(path),
            operator=Merge.FIXED,
            winning=kind is LayerKind.PRESET or fixed is None,
        )
        for kind, name, value, path in said
        if value is not None
    )
