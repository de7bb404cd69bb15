"""What changed between two configurations, key by key, and in which direction.

A change loosens unless it is provably tighter: where neither value is at least as strict as the other everywhere
(two ladders that cross, two lists of which neither contains the other), it counts as looser. Keys that limit no
risk have no direction, with one exception: ``mode``, which loosens towards live.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, JsonValue

from regime_trading.core.merging import stricter_or_equal
from regime_trading.core.risk_layers import NO_TEXT, ConfigText, LayerKind, Path, adapter, shown
from regime_trading.core.risk_stack import ProvenanceStep, risk_path
from regime_trading.core.rules import RULES, Frozen, RuleSpec, decimal_text
from regime_trading.core.schemas import Mode
from regime_trading.core.settings import Settings
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.core.traders import Governance, Preset


class Direction(StrEnum):
    """What a change does to the risk an account may take."""

    LOOSENS = "loosens"
    TIGHTENS = "tightens"
    NEUTRAL = "neutral"


class Change(Frozen):
    """One key whose value differs, or one account that came or went.

    ``account`` is empty where a key belongs to no account. ``layers``, ``file`` and ``line`` are those that decide
    now; ``old_layers``, ``old_file`` and ``old_line`` those that decided before. ``old`` or ``new`` is null where there
    is no value on that side.
    """

    account: str
    path: str
    old: JsonValue
    new: JsonValue
    direction: Direction
    message: str
    layers: tuple[str, ...] = ()
    file: str | None = None
    line: int | None = None
    old_layers: tuple[str, ...] = ()
    old_file: str | None = None
    old_line: int | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two configurations, and where the keys of its files are written."""

    profiles: tuple[TraderProfile, ...]
    presets: Mapping[str, Preset]
    settings: Settings
    settings_text: ConfigText = NO_TEXT
    traders_text: ConfigText = NO_TEXT


def config_changes(old: Side, new: Side) -> tuple[Change, ...]:
    """Every difference between two configurations.

    Accounts that came or went, then the keys of each account in the order of the file, then presets and what is
    common to all accounts.
    """
    changes = list(account_changes(old.profiles, new.profiles))
    changes += _preset_changes(old, new)
    changes += _settings_changes(old, new)
    return tuple(changes)


def account_changes(old: Sequence[TraderProfile], new: Sequence[TraderProfile]) -> tuple[Change, ...]:
    """Accounts that came or went, then the keys of each account in the order of the file."""
    before, after = ({profile.account: profile for profile in some} for some in (old, new))
    changes = [_gone(profile) for name, profile in before.items() if name not in after]
    changes += [_came(profile) for name, profile in after.items() if name not in before]
    for name, profile in after.items():
        if name in before:
            changes += profile_changes(before[name], profile)
    return tuple(changes)


def profile_changes(old: TraderProfile, new: TraderProfile) -> tuple[Change, ...]:
    """Every key of one account whose value differs, or whose deciding layer no longer speaks."""
    changes = list(_risk_changes(old, new))
    changes += _plain_changes(old, new)
    changes += _seal_changes(old, new)
    return tuple(changes)


def direction_of(spec: RuleSpec, name: str, old: Any, new: Any) -> tuple[Direction, str]:
    """Direction of a change of one rule parameter, and a remark where it cannot be proved."""
    tighter = stricter_or_equal(spec.params, name, new, old)
    looser = stricter_or_equal(spec.params, name, old, new)
    if tighter and looser:
        return Direction.NEUTRAL, ""
    if tighter:
        return Direction.TIGHTENS, ""
    return Direction.LOOSENS, "" if looser else "neither is stricter everywhere, so it counts as looser"


# --- accounts -----------------------------------------------------------------------------------------------


def _came(profile: TraderProfile) -> Change:
    live = profile.mode is not Mode.DRY_RUN
    message = f"{profile.account} is new, in mode {profile.mode.value}"
    return Change(
        account=profile.account,
        path="",
        old=None,
        new=profile.mode.value,
        direction=Direction.LOOSENS if live else Direction.NEUTRAL,
        message=message,
    )


def _gone(profile: TraderProfile) -> Change:
    return Change(
        account=profile.account,
        path="",
        old=profile.mode.value,
        new=None,
        direction=Direction.NEUTRAL,
        message=f"{profile.account} is no longer there",
    )


# --- risk ---------------------------------------------------------------------------------------------------


def _risk_changes(old: TraderProfile, new: TraderProfile) -> Iterable[Change]:
    for spec in RULES:
        before, after = old.rules[spec.rule_id], new.rules[spec.rule_id]
        for name in spec.params.model_fields:
            a, b = getattr(before, name), getattr(after, name)
            path = risk_path(spec.key, name)
            removed = _silent(old.provenance[path], new.provenance[path])
            if a == b and not removed:
                continue
            direction, remark = direction_of(spec, name, a, b)
            plain = adapter(spec.params, name)
            values = (plain.dump_python(a, mode="json"), plain.dump_python(b, mode="json"))
            yield _change(old, new, path, *values, direction, [*removed, remark])


def _silent(old: Sequence[ProvenanceStep], new: Sequence[ProvenanceStep]) -> list[str]:
    """A remark for each layer that spoke before and does not now."""
    speaking = {_speaker(step) for step in new}
    gone = [step for step in old if _speaker(step) not in speaking]
    titles = ", ".join(step.title for step in _winners(new))
    return [f"{step.layer} {step.name} no longer says it, inherited from {titles}" for step in gone]


def _speaker(step: ProvenanceStep) -> tuple[LayerKind, str]:
    """Who speaks; another version of a preset takes the place of the one before."""
    return (step.layer, "" if step.layer is LayerKind.PRESET else step.name)


def _winners(steps: Sequence[ProvenanceStep]) -> tuple[ProvenanceStep, ...]:
    return tuple(step for step in steps if step.winning)


def _change(
    old: TraderProfile,
    new: TraderProfile,
    path: str,
    before: Any,
    after: Any,
    direction: Direction,
    remarks: Sequence[str] = (),
) -> Change:
    deciding, decided = (_winners(p.provenance.get(path, ())) for p in (new, old))
    place, past = (steps[-1] if steps else None for steps in (deciding, decided))
    said = "; ".join(remark for remark in remarks if remark)
    message = f"{new.account} {path}: {_text(before)} → {_text(after)}, {direction.value}"
    return Change(
        account=new.account,
        path=path,
        old=before,
        new=after,
        direction=direction,
        message=f"{message} ({said})" if said else message,
        layers=tuple(f"{step.layer} {step.name}" for step in deciding),
        file=place.file if place else None,
        line=place.line if place else None,
        old_layers=tuple(f"{step.layer} {step.name}" for step in decided),
        old_file=past.file if past else None,
        old_line=past.line if past else None,
    )


def _text(value: Any) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else shown(value)


# --- plain keys ---------------------------------------------------------------------------------------------

_PLAIN = (
    "display_name",
    "mode",
    "account_type",
    "account_currency",
    "initial_capital",
    "trading_day",
    "lifecycle",
    "preset",
)
_FIELDS = {"initial_capital": "stated_capital", "preset": "preset_ref"}
_LIVE = list(Mode.__members__.values())


def _plain_changes(old: TraderProfile, new: TraderProfile) -> Iterable[Change]:
    for name in _PLAIN:
        a, b = (getattr(profile, _FIELDS.get(name, name)) for profile in (old, new))
        if a != b:
            direction = _mode_direction(a, b) if name == "mode" else Direction.NEUTRAL
            yield _change(old, new, name, _json(a), _json(b), direction)
    shares = [{basket.name: basket.share for basket in profile.baskets} for profile in (old, new)]
    for name in sorted({*shares[0], *shares[1]}):
        a, b = (share.get(name) for share in shares)
        if a != b:
            yield _change(old, new, f"baskets.{name}.share", _json(a), _json(b), Direction.NEUTRAL)
    for name in type(new.governance).model_fields:
        a, b = getattr(old.governance, name), getattr(new.governance, name)
        if a != b:
            direction = _governance_direction(old.governance, new.governance, name)
            yield _change(old, new, f"governance.{name}", _json(a), _json(b), direction)


def _mode_direction(old: Mode, new: Mode) -> Direction:
    return Direction.LOOSENS if _LIVE.index(new) > _LIVE.index(old) else Direction.TIGHTENS


def _governance_direction(old: Governance, new: Governance, name: str) -> Direction:
    """More people tighten, and so do fewer roles that may approve."""
    a, b = getattr(old, name), getattr(new, name)
    if isinstance(a, int):
        return Direction.TIGHTENS if b > a else Direction.LOOSENS
    if set(a) == set(b):
        return Direction.NEUTRAL
    return Direction.TIGHTENS if set(b) < set(a) else Direction.LOOSENS


def _json(value: Any) -> Any:
    """JSON form of a plain value, without what it does not say."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        return [_json(item) for item in value]
    return value if value is None or isinstance(value, str | int | float) else decimal_text(value)


def _seal_changes(old: TraderProfile, new: TraderProfile) -> Iterable[Change]:
    before, after = set(old.sealed_paths), set(new.sealed_paths)
    for pattern in sorted(before ^ after):
        sealed = pattern in after
        direction = Direction.TIGHTENS if sealed else Direction.LOOSENS
        a, b = (None, pattern) if sealed else (pattern, None)
        yield _change(old, new, "sealed", a, b, direction)


# --- what is above the accounts -----------------------------------------------------------------------------


def _preset_changes(old: Side, new: Side) -> Iterable[Change]:
    """Presets whose terms changed under one version; what that does to an account is shown with the account."""
    for ref in sorted(set(old.presets) & set(new.presets)):
        if _terms(old.presets[ref]) != _terms(new.presets[ref]):
            name, _, version = ref.partition("@")
            expected, at = f"{name}@{int(version) + 1}", ("presets", ref)
            yield Change(
                account="",
                path=f"presets.{ref}",
                old=_json(old.presets[ref]),
                new=_json(new.presets[ref]),
                direction=Direction.LOOSENS,
                message=f"presets.{ref}: a version of a preset never changes, expected the new terms as {expected}",
                layers=(f"preset {ref}",),
                file=new.traders_text.of(at).file,
                line=new.traders_text.line(at),
                old_layers=(f"preset {ref}",),
                old_file=old.traders_text.of(at).file,
                old_line=old.traders_text.line(at),
            )


def _terms(preset: Preset) -> Any:
    """What a preset asks for, without where that was read and what is remarked on it."""
    return preset.model_dump(exclude={"source_url", "read_on", "note"})


def _settings_changes(old: Side, new: Side) -> Iterable[Change]:
    """Keys of the settings beside ``rules`` and ``sealed``, which act through the accounts."""
    before, after = (dict(_leaves(side.settings.model_dump(mode="json"))) for side in (old, new))
    for path in sorted({*before, *after}, key=lambda path: tuple(map(str, path))):
        a, b = before.get(path), after.get(path)
        if a != b and path[0] not in {"rules", "sealed"}:
            dotted = ".".join(map(str, path))
            yield Change(
                account="",
                path=dotted,
                old=a,
                new=b,
                direction=Direction.NEUTRAL,
                message=f"settings {dotted}: {_text(a)} → {_text(b)}, neutral",
                file=new.settings_text.file,
                line=new.settings_text.line(path),
                old_file=old.settings_text.file,
                old_line=old.settings_text.line(path),
            )


def _leaves(value: Any, at: Path = ()) -> Iterable[tuple[Path, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, (*at, key))
    else:
        yield at, value
