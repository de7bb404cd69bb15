"""The merged configuration of one account, and the session overrides on top of it.

``core.profile_merge`` makes it from the files; what each layer may do to a risk parameter is decided in
``core.risk_stack``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, TypeVar

import orjson
from pydantic import Field, SerializeAsAny, field_validator, model_validator

from regime_trading.core.canonical import canonical_json, sha256_hex
from regime_trading.core.errors import BadInput
from regime_trading.core.overrides import SessionOverride as SessionOverride
from regime_trading.core.overrides import live_overrides, session_boundary
from regime_trading.core.risk_layers import LayerKind, RiskLayer, nearest
from regime_trading.core.risk_stack import (
    ProvenanceStep,
    Right,
    RiskStack,
    apply_layer,
    risk_path,
    rule_models,
)
from regime_trading.core.rules import RULE_BY_ID, RULE_BY_KEY, RULES, Frozen, RuleParams, decimal_text
from regime_trading.core.schemas import Ident, Mode
from regime_trading.core.settings import Finding, InvalidConfig
from regime_trading.core.traders import (
    AccountType,
    BasketShare,
    Capital,
    Currency,
    Governance,
    Lifecycle,
    PresetRef,
    TradingDay,
)

SCHEMA_VERSION: Literal[1] = 1
MERGE_ENGINE_VERSION = 1

P = TypeVar("P", bound=RuleParams)


class TraderProfile(Frozen):
    """The merged configuration of one account.

    ``rules`` holds the parameters in force of every rule, by rule id. ``provenance`` says, by dotted path,
    what each layer said and which one decided. ``config_hash`` covers what is in force: not the provenance,
    not the version, not the wording of overrides. ``stated_capital`` is None where the file leaves the capital to
    the broker, in shadow and live only.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    firm_id: Ident
    account_id: Ident
    display_name: str
    account_type: AccountType
    account_currency: Currency
    mode: Mode
    stated_capital: Capital | None
    trading_day: TradingDay
    lifecycle: Lifecycle | None
    governance: Governance
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

    @property
    def initial_capital(self) -> Decimal:
        """Capital the account starts with.

        Raises
        ------
        BadInput
            The file does not state it: only a broker could.
        """
        if self.stated_capital is None:
            raise BadInput(
                expected="an initial_capital (only accounts of a broker can do without)",
                found="none",
                where=f"account {self.account}",
            )
        return self.stated_capital

    def params(self, kind: type[P]) -> P:
        """Parameters in force of the rule whose model is ``kind``."""
        for params in self.rules.values():
            if type(params) is kind:
                return params
        raise KeyError(kind.__name__)


def effective_hash(profile: TraderProfile) -> str:
    """``sha256(JCS(effective typed config) ‖ schema_version ‖ merge_engine_version)``."""
    return fields_hash(dict(profile))


_NOT_IN_FORCE = {"schema_version", "config_hash", "config_version", "provenance", "session_overrides"}


def fields_hash(fields: Mapping[str, Any]) -> str:
    """:func:`effective_hash` of a profile with these fields."""
    return sha256_hex(_bytes_in_force(fields))


def effective_bytes(profile: TraderProfile) -> bytes:
    """What ``config_hash`` is the SHA-256 of: the configuration in force as canonical JSON, ``|`` and two versions."""
    return _bytes_in_force(dict(profile))


def recorded_rules(data: bytes) -> dict[str, RuleParams]:
    """Parameters of every rule from stored :func:`effective_bytes`.

    A rule that was unknown when they were stored has its default parameters; one that is unknown now is left out.

    Raises
    ------
    BadInput
        Bytes that hold no configuration, or parameters that no rule of this version accepts.
    """
    try:
        stored = orjson.loads(data.rpartition(b"|")[0].rpartition(b"|")[0])["rules"]
        return {
            rule_id: spec.params.model_validate(stored[rule_id]) if rule_id in stored else spec.params()
            for rule_id, spec in RULE_BY_ID.items()
        }
    except (ValueError, KeyError, TypeError) as err:
        raise BadInput(
            expected="a recorded configuration", found=f"{type(err).__name__}: {err}", where="rules"
        ) from err


def _bytes_in_force(fields: Mapping[str, Any]) -> bytes:
    body = {name: plain_json(value) for name, value in fields.items() if name not in _NOT_IN_FORCE}
    return canonical_json(body) + f"|{SCHEMA_VERSION}|{MERGE_ENGINE_VERSION}".encode()


def plain_json(value: Any) -> Any:
    """JSON form of a field."""
    if isinstance(value, Frozen):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: plain_json(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [plain_json(item) for item in value]
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


def in_mode(profile: TraderProfile, mode: Mode) -> TraderProfile:
    """``profile`` in another mode, everything else as it is."""
    fields = {**dict(profile), "mode": mode}
    return TraderProfile(**{**fields, "config_hash": fields_hash(fields)})


def require_baskets(profiles: Sequence[TraderProfile]) -> None:
    """Refuse accounts without a basket where nobody proposes anything for them.

    Raises
    ------
    BadInput
        An account that follows no basket.
    """
    for profile in profiles:
        if not profile.baskets:
            raise BadInput(
                expected="baskets in the account, or proposals or symbols in the request",
                found="neither",
                where=f"account {profile.account}",
            )


def with_overrides(
    profile: TraderProfile, overrides: Sequence[SessionOverride], as_of_ns: int
) -> TraderProfile:
    """``profile`` tightened by those of its overrides that are in force at ``as_of_ns``.

    An override that the configuration has overtaken since (what it says is looser by now) changes nothing: the
    stricter of the two is in force. A new override is checked by :func:`check_override`.

    Raises
    ------
    InvalidConfig
        An override that names no risk parameter, or no value of it.
    """
    own = [override for override in overrides if override.account == profile.account]
    live = live_overrides(own, as_of_ns, session_boundary(profile.trading_day))
    stack, findings = _stack_of(profile), list[Finding]()
    for override in live:
        below, found = apply_layer(stack, _override_layer(override))
        if found and all(finding.direction == "looser" for finding in found):
            below, found = apply_layer(stack, _override_layer(override), right=Right.GENERAL)
        stack, findings = below, [*findings, *found]
    if findings:
        raise InvalidConfig(tuple(findings))
    fields = {
        **dict(profile),
        "rules": rule_models(stack),
        "session_overrides": (*profile.session_overrides, *live),
        "provenance": dict(stack.provenance),
    }
    return TraderProfile(**{**fields, "config_hash": fields_hash(fields)})


def check_override(profile: TraderProfile, override: SessionOverride) -> None:
    """Refuse an override that does not tighten ``profile``.

    Raises
    ------
    InvalidConfig
        It is of another account, names no risk parameter, or is looser than what is in force; a looser one names
        both layers.
    """
    if override.account != profile.account:
        found = Finding(path="account", expected=profile.account, found=override.account)
        raise InvalidConfig((found,))
    findings = apply_layer(_stack_of(profile), _override_layer(override))[1]
    if findings:
        raise InvalidConfig(findings)


def _stack_of(profile: TraderProfile) -> RiskStack:
    values = {spec.key: dict(profile.rules[spec.rule_id]) for spec in RULES}
    return RiskStack(values, profile.provenance, profile.sealed_paths)


def _override_layer(override: SessionOverride) -> RiskLayer:
    name = f"override {override.override_id} ({override.reason})"
    return RiskLayer(LayerKind.SESSION, name, _override_risk(override))


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
