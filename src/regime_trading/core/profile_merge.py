"""From the files to the accounts: defaults → preset → firm → account, one firm at a time.

What each layer may do to a risk parameter is decided in ``core.risk_stack``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import Any

from pydantic import ValidationError

from regime_trading.core.risk_layers import (
    NO_TEXT,
    ConfigText,
    LayerKind,
    Path,
    RiskLayer,
    expected_found,
    universe_layer,
)
from regime_trading.core.risk_stack import (
    ProvenanceStep,
    Right,
    RiskStack,
    apply_layer,
    default_stack,
    risk_path,
    rule_models,
)
from regime_trading.core.rules import Merge, decimal_text
from regime_trading.core.schemas import Mode
from regime_trading.core.settings import Finding, InvalidConfig, Settings
from regime_trading.core.trader_profile import TraderProfile, fields_hash, plain_json
from regime_trading.core.traders import (
    AccountConfig,
    AccountType,
    FirmConfig,
    Lifecycle,
    Preset,
    TradersConfig,
    TradingDay,
    Universe,
    check_firm,
    check_flows,
    problem,
)


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of the firms of a file.

    Parameters
    ----------
    profiles : tuple of TraderProfile
        Accounts of the firms without a problem, in the order of the file; empty where ``common`` is not.
    common : tuple of Finding
        Problems above all firms (platform rules): they concern every account.
    by_firm : mapping
        Problems of each firm that has some, those of the presets its accounts name included.
    idle : tuple of Finding
        Problems of presets that no account names, and of flows into firms that are not there: they stop nobody.
    """

    profiles: tuple[TraderProfile, ...]
    common: tuple[Finding, ...]
    by_firm: Mapping[str, tuple[Finding, ...]]
    idle: tuple[Finding, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them, each once."""
        own = (finding for findings in self.by_firm.values() for finding in findings)
        return tuple(dict.fromkeys((*own, *self.idle, *self.common)))


def merge_profiles(
    traders: TradersConfig,
    settings: Settings,
    traders_text: ConfigText = NO_TEXT,
    settings_text: ConfigText = NO_TEXT,
    config_version: int = 1,
) -> tuple[TraderProfile, ...]:
    """One profile per account, in the order of the file; parameters as :func:`merge_firms`.

    Raises
    ------
    InvalidConfig
        Any problem of any layer; ``findings`` has them all.
    """
    merged = merge_firms(traders, settings, traders_text, settings_text, config_version)
    if merged.findings:
        raise InvalidConfig(merged.findings)
    return merged.profiles


def merge_firms(
    traders: TradersConfig,
    settings: Settings,
    traders_text: ConfigText = NO_TEXT,
    settings_text: ConfigText = NO_TEXT,
    config_version: int = 1,
    places: Sequence[int] | None = None,
    absent: Collection[str] = (),
) -> Merged:
    """Profiles of every firm that merges without a problem, and the problems of the others.

    Parameters
    ----------
    traders, settings
        The two files, typed.
    traders_text, settings_text
        Where their keys are written, for provenance and findings.
    config_version : int
        Number of this configuration, given by whoever stores it.
    places : sequence of int, optional
        Position of each firm in the file, where others could not even be typed; ``absent`` are the ids of those.
    """
    above, common, by_preset = _above_firms(traders, settings, traders_text, settings_text)
    roots: list[Path] = [("firms", n) for n in (places or range(len(traders.firms)))]
    named, drafts = set[str](), list[dict[str, Any]]()
    by_firm: dict[str, list[Finding]] = {}
    for f, firm in enumerate(traders.firms):
        made, problems = _firm_drafts(above, traders, f, roots, settings, traders_text)
        presets = {account.preset for account in firm.accounts} & set(by_preset)
        problems = [
            *(finding for ref in sorted(presets, key=str) for finding in by_preset[str(ref)]),
            *problems,
        ]
        named |= {str(ref) for ref in presets}
        drafts += made
        if problems:
            by_firm.setdefault(firm.id, []).extend(problems)
    idle = [finding for ref in sorted(by_preset) if ref not in named for finding in by_preset[ref]]
    for name, finding in check_flows(traders, settings, settings_text, absent):
        known = any(firm.id == name for firm in traders.firms)
        (by_firm.setdefault(name, []) if known else idle).append(finding)
    return Merged(
        profiles=tuple(
            TraderProfile(**draft, config_version=config_version, config_hash=fields_hash(draft))
            for draft in drafts
            if not common and draft["firm_id"] not in by_firm
        ),
        common=tuple(common),
        by_firm={name: tuple(dict.fromkeys(found)) for name, found in by_firm.items()},
        idle=tuple(idle),
    )


def _firm_drafts(
    above: _Above,
    traders: TradersConfig,
    f: int,
    roots: Sequence[Path],
    settings: Settings,
    text: ConfigText,
) -> tuple[list[dict[str, Any]], list[Finding]]:
    """Fields of the profiles of firm ``f``, and what is wrong with them."""
    firm, root = traders.firms[f], roots[f]
    findings = check_firm(traders, f, roots, settings, text)
    layer = RiskLayer(LayerKind.FIRM, firm.id, firm.risk, text, (*root, "risk"), firm.sealed)
    findings += _apply(above.platform, layer, firm.universe)[1]
    drafts = []
    for a, account in enumerate(firm.accounts):
        draft, problems = _draft(above, firm, layer, account, (*root, "accounts", a))
        drafts.append(draft)
        findings += problems
    return drafts, findings


def _apply(stack: RiskStack, layer: RiskLayer, universe: Universe) -> tuple[RiskStack, tuple[Finding, ...]]:
    """A layer's ``universe`` and its ``risk`` folded onto ``stack``."""
    stack, narrowed = apply_layer(stack, universe_layer(layer, universe.said))
    stack, findings = apply_layer(stack, layer)
    return stack, (*narrowed, *findings)


@dataclass(frozen=True, slots=True)
class _Above:
    """What lies above the firms: the platform's stack, and that of each preset."""

    platform: RiskStack
    presets: Mapping[str, RiskStack]
    terms: Mapping[str, Preset]


def _above_firms(
    traders: TradersConfig, settings: Settings, text: ConfigText, settings_text: ConfigText
) -> tuple[_Above, list[Finding], dict[str, tuple[Finding, ...]]]:
    """What lies above the firms, what is wrong with the platform's part, and with each preset."""
    layer = RiskLayer(
        LayerKind.DEFAULTS, "platform", settings.rules, settings_text, ("rules",), settings.sealed
    )
    platform, found = apply_layer(default_stack(), layer)
    presets, by_preset = dict[str, RiskStack](), dict[str, tuple[Finding, ...]]()
    for ref, terms in traders.presets.items():
        root: Path = ("presets", ref, "risk")
        preset = RiskLayer(LayerKind.PRESET, ref, terms.risk, text.of(root), root)
        presets[ref], problems = _apply(platform, preset, terms.universe)
        if problems:
            by_preset[ref] = problems
    return _Above(platform, presets, traders.presets), list(found), by_preset


def _draft(
    above: _Above, firm: FirmConfig, firm_layer: RiskLayer, account: AccountConfig, at: Path
) -> tuple[dict[str, Any], list[Finding]]:
    """Fields of one profile but its version and hash, and what is wrong with them."""
    text, preset = firm_layer.text, account.preset or ""
    layer = RiskLayer(LayerKind.ACCOUNT, f"{firm.id}/{account.id}", account.risk, text, (*at, "risk"))
    stack, by_firm = _apply(above.presets.get(preset, above.platform), firm_layer, firm.universe)
    stack, by_account = _apply(stack, layer, account.universe)
    terms, provenance, findings = _terms(account, above.terms.get(preset), layer, at)
    if preset and preset not in above.terms:  # said once, where the preset is named
        findings = []
    stack, by_days = _with_days(stack, layer, account.lifecycle)
    stack = _with_zone(stack, terms["trading_day"], provenance.get("trading_day", ()))
    fields = {
        "firm_id": firm.id,
        "account_id": account.id,
        "display_name": account.display_name or account.id,
        "mode": account.mode,
        "governance": firm.governance,
        "baskets": tuple(sorted(account.baskets, key=lambda basket: basket.name)),
        "rules": rule_models(stack),
        "preset_ref": account.preset,
        "sealed_paths": tuple(sorted(set(stack.sealed))),
        "provenance": {
            **stack.provenance,
            **_firm_steps(firm, firm_layer),
            **_account_steps(account, layer, at),
            **provenance,
        },
        **terms,
    }
    return fields, [*by_firm, *by_account, *by_days, *findings]


def _with_days(
    stack: RiskStack, layer: RiskLayer, lifecycle: Lifecycle | None
) -> tuple[RiskStack, tuple[Finding, ...]]:
    """The first and last day of an account, which are rule UT-13: its own to say where nobody above has."""
    said = {} if lifecycle is None else lifecycle.model_dump(include={"start", "end"}, exclude_none=True)
    findings: list[Finding] = []
    for name, day in said.items():
        at: Path = ("lifecycle", name)
        one = RiskLayer(
            layer.kind, layer.name, {"lifecycle": {name: day}}, layer.text, (*layer.root[:-1], "lifecycle"),
            names={at: name},
        )  # fmt: skip
        free = stack.values["lifecycle"][name] is None
        stack, found = apply_layer(stack, one, right=Right.REPLACE if free else None)
        findings += found
    return stack, tuple(findings)


def _with_zone(stack: RiskStack, day: TradingDay | None, said: tuple[ProvenanceStep, ...]) -> RiskStack:
    """A time to be flat by (UT-08) without a zone is in that of the trading day."""
    path = risk_path("flat_by", "zone")
    if day is None or stack.values["flat_by"]["at"] is None or len(stack.provenance[path]) > 1:
        return stack
    rule = {**stack.values["flat_by"], "zone": day.zone}
    above = tuple(step.model_copy(update={"winning": False}) for step in stack.provenance[path])
    own = tuple(step.model_copy(update={"value": day.zone}) for step in said if step.winning)
    return RiskStack(
        {**stack.values, "flat_by": rule}, {**stack.provenance, path: (*above, *own)}, stack.sealed
    )


def _account_steps(
    account: AccountConfig, layer: RiskLayer, at: Path
) -> dict[str, tuple[ProvenanceStep, ...]]:
    """Where an account says what only it can say."""
    said: dict[str, tuple[Any, Path]] = {"mode": (account.mode.value, (*at, "mode"))}
    for name in ("display_name", "preset"):
        if getattr(account, name) is not None:
            said[name] = (getattr(account, name), (*at, name))
    for n, basket in enumerate(account.baskets):
        said[f"baskets.{basket.name}.share"] = (decimal_text(basket.share), (*at, "baskets", n, "share"))
    return {
        path: (
            ProvenanceStep(
                layer=LayerKind.ACCOUNT,
                name=layer.name,
                value=value,
                file=layer.text.file,
                line=layer.text.line(place),
                operator=Merge.OVERRIDE,
            ),
        )
        for path, (value, place) in said.items()
    }


def _firm_steps(firm: FirmConfig, layer: RiskLayer) -> dict[str, tuple[ProvenanceStep, ...]]:
    """Who decides each key of the governance: the firm where it says something, else the defaults."""
    root: Path = (*layer.root[:-1], "governance")
    steps: dict[str, tuple[ProvenanceStep, ...]] = {}
    for name, value in firm.governance:
        said = name in firm.governance.model_fields_set
        step = ProvenanceStep(
            layer=LayerKind.FIRM if said else LayerKind.DEFAULTS,
            name=firm.id if said else "built-in",
            value=plain_json(value),
            file=layer.text.file if said else None,
            line=layer.text.line((*root, name)) if said else None,
            operator=Merge.OVERRIDE,
        )
        steps[f"governance.{name}"] = (step,)
    return steps


_TERMS = ("account_type", "account_currency", "initial_capital", "trading_day", "lifecycle")


def _terms(
    account: AccountConfig, preset: Preset | None, layer: RiskLayer, at: Path
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
            expected = f"{plain_json(fixed)}, the term of {steps[0].title}"
            layers = (f"preset {account.preset}", layer.title)
            findings.append(problem(layer.text, (*at, name), expected, str(plain_json(own)), layers))
        if values[name] is None and name in _required(account):
            expected = "a value in the account or its preset"
            findings.append(problem(layer.text, (*at, name), expected, "none", (layer.title,)))
    values["stated_capital"] = values.pop("initial_capital")
    return _with_type(values, layer, at, findings), provenance, findings


def _with_type(values: dict[str, Any], layer: RiskLayer, at: Path, findings: list[Finding]) -> dict[str, Any]:
    """``values`` with the type of the account and its evaluation, if it is in one; problems go to ``findings``."""
    lifecycle: Lifecycle | None = values["lifecycle"]
    evaluates = lifecycle is not None and lifecycle.evaluates
    kind = values["account_type"] or (AccountType.PROP_EVAL if evaluates else AccountType.OWN)
    evaluated, text, where = kind is AccountType.PROP_EVAL, layer.text, (*at, "lifecycle")
    if evaluated is (lifecycle is None) or (
        lifecycle is not None and not evaluated and _pointless(lifecycle)
    ):
        expected = "the terms of the evaluation"
        expected = (
            expected if evaluated else "a start or an end at most (only prop_eval accounts are evaluated)"
        )
        findings.append(problem(text, where, expected, str(plain_json(lifecycle)), (layer.title,)))
    if evaluated and lifecycle is not None and lifecycle.profit_target is not None:
        lifecycle, found = _with_share(lifecycle, values["stated_capital"])
        findings += [problem(text, (*where, "profit_target"), *words, (layer.title,)) for words in found]
    return {**values, "account_type": kind, "lifecycle": lifecycle if evaluated else None}


def _pointless(lifecycle: Lifecycle) -> bool:
    """Whether it says something of an evaluation, or nothing at all."""
    return lifecycle.evaluates or lifecycle == Lifecycle()


def _required(account: AccountConfig) -> tuple[str, ...]:
    """Terms an account cannot do without; a broker knows the capital, a dry run has to be told."""
    always = ("account_currency", "trading_day")
    return (*always, "initial_capital") if account.mode is Mode.DRY_RUN else always


def _with_share(lifecycle: Lifecycle, capital: Decimal | None) -> tuple[Lifecycle, list[tuple[str, str]]]:
    """``lifecycle`` with its target in money as a share of the capital too: the greater of both is the target."""
    assert lifecycle.profit_target is not None
    if capital is None:
        return lifecycle, [("an initial_capital beside a profit_target in money", "none")]
    share = (lifecycle.profit_target / capital).quantize(Decimal("1e-9"), ROUND_UP)
    try:
        target = max(share, lifecycle.profit_target_pct or share)
        return Lifecycle(**{**dict(lifecycle), "profit_target_pct": target}), []
    except ValidationError as error:
        expected, _ = expected_found(error.errors()[0]["msg"], share)
        return lifecycle, [(f"a share of the initial capital {expected}", str(share))]


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
            value=plain_json(value),
            file=layer.text.of(path).file,
            line=layer.text.line(path),
            operator=Merge.FIXED,
            winning=kind is LayerKind.PRESET or fixed is None,
        )
        for kind, name, value, path in said
        if value is not None
    )
