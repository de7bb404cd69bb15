"""``config/settings.yaml`` and ``config/traders.yaml``: read, typed, merged, every error with its line.

:func:`load_configuration` takes all or nothing; :func:`load_firms` keeps the firms that a problem does not concern.
Where a ``presets.yaml`` lies beside the traders file, its presets count as if they stood there.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from regime_trading.adapters.yaml_text import parse_yaml, read_yaml
from regime_trading.core.config_status import BrokenFirm
from regime_trading.core.profile_merge import merge_firms, merge_profiles
from regime_trading.core.risk_layers import NO_TEXT, ConfigText, expected_found, nearest
from regime_trading.core.risk_layers import Path as KeyPath
from regime_trading.core.settings import Finding, InvalidConfig, Settings
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.core.traders import Preset, PresetsConfig, TradersConfig, problem

M = TypeVar("M", bound=BaseModel)
PRESETS = "presets.yaml"


@dataclass(frozen=True, slots=True)
class Configuration:
    """The files: the settings, one profile per account in the order of the file, the presets by name; where the keys
    are written; and the firms that cannot be accepted."""

    settings: Settings
    profiles: tuple[TraderProfile, ...]
    presets: Mapping[str, Preset] = field(default_factory=dict)
    settings_text: ConfigText = NO_TEXT
    broken: tuple[BrokenFirm, ...] = ()
    traders_text: ConfigText = NO_TEXT


def load_configuration(
    settings_path: Path, traders_path: Path, config_version: int = 1, presets_path: Path | None = None
) -> Configuration:
    """Settings and profiles of a pair of files.

    Parameters
    ----------
    presets_path : Path, optional
        The presets file, which need not be there; ``presets.yaml`` beside the traders file where None.

    Raises
    ------
    InvalidConfig
        What the files say is not acceptable; ``findings`` has every problem of the first bad file.
    BadInput
        A file that cannot be read, or is not strict YAML (see ``adapters.yaml_text``).
    """
    settings, settings_text = _load(settings_path, Settings)
    written = _read_traders(traders_path, presets_path)
    traders, text = _typed(written), written.text
    profiles = merge_profiles(traders, settings, text, settings_text, config_version)
    return Configuration(settings, profiles, traders.presets, settings_text, traders_text=text)


def load_firms(
    settings_path: Path, traders_path: Path, config_version: int = 1, content: bytes | None = None
) -> Configuration:
    """As :func:`load_configuration`, but a problem of one firm stops that firm only.

    Parameters
    ----------
    content : bytes, optional
        What the traders file would say; what it says where None.

    Raises
    ------
    InvalidConfig
        A problem above all firms, or of every one of them.
    BadInput
        A file that cannot be read, or is not strict YAML.
    """
    settings, settings_text = _load(settings_path, Settings)
    written = _read_traders(traders_path, content=content)
    data, text = written.data, written.text
    kept, refused = _isolated(written)
    absent = {_id(_firm(data, f)) for f in refused}
    traders = TradersConfig.model_validate(_only(data, kept))
    merged = merge_firms(traders, settings, text, settings_text, config_version, kept.firms, absent)
    profiles = tuple(profile for profile in merged.profiles if profile.firm_id not in absent)
    if not profiles:
        typed = (finding for found in refused.values() for finding in found)
        raise InvalidConfig(tuple(dict.fromkeys((*typed, *merged.findings))))
    by_place = {f: tuple(found) for f, found in refused.items()}
    by_place |= {f: merged.by_firm.get(_id(_firm(data, f)), ()) for f in kept.firms}
    broken = (
        BrokenFirm(_id(_firm(data, f)), _accounts(data, f), found)
        for f, found in sorted(by_place.items())
        if found
    )
    return Configuration(settings, profiles, traders.presets, settings_text, tuple(broken), text)


def load_settings(path: Path) -> Settings:
    """``config/settings.yaml``; raises as :func:`load_configuration`."""
    return _load(path, Settings)[0]


def load_profiles(path: Path, settings: Settings, config_version: int = 1) -> tuple[TraderProfile, ...]:
    """Profiles of ``config/traders.yaml`` under ``settings``, whose provenance then names no settings file;
    raises as :func:`load_configuration`."""
    written = _read_traders(path)
    return merge_profiles(_typed(written), settings, written.text, NO_TEXT, config_version)


@dataclass(frozen=True, slots=True)
class _Written:
    """A traders file with the presets beside it: data, where its keys are written, and what is wrong between the two
    files, by path."""

    data: dict[str, Any]
    text: ConfigText
    found: Mapping[KeyPath, Finding] = field(default_factory=dict)


def _read_traders(path: Path, presets_path: Path | None = None, content: bytes | None = None) -> _Written:
    """The traders file, and the presets of ``presets_path`` (``presets.yaml`` beside it where None) if it is there.
    ``content`` is taken for what the traders file says, where given.

    Raises
    ------
    InvalidConfig
        The presets file has a problem that belongs to no preset.
    BadInput
        A file that cannot be read, or is not strict YAML.
    """
    data, text = read_yaml(path) if content is None else parse_yaml(content, path.as_posix())
    beside = path.with_name(PRESETS) if presets_path is None else presets_path
    if not beside.exists():
        return _Written(data, text)
    more, more_text = read_yaml(beside)
    found = _preset_file_findings(more, more_text)
    if any(at[:1] != ("presets",) or len(at) == 1 for at in found):
        raise InvalidConfig(tuple(found.values()))
    if not isinstance(data.get("presets", {}), Mapping):
        return _Written(data, text)
    twice = _presets(data).keys() & _presets(more).keys()
    new = {ref: terms for ref, terms in _presets(more).items() if ref not in twice}
    return _Written(
        data={**data, "presets": {**_presets(data), **new}},
        text=ConfigText(text.file, text.lines, {("presets", ref): more_text for ref in new}),
        found={("presets", ref): _named_twice(ref, text, more_text) for ref in sorted(twice)},
    )


def _preset_file_findings(data: Mapping[str, Any], text: ConfigText) -> dict[KeyPath, Finding]:
    try:
        PresetsConfig.model_validate(data)
    except ValidationError as error:
        return _findings(error, PresetsConfig, data, text)
    return {}


def _named_twice(ref: str, first: ConfigText, second: ConfigText) -> Finding:
    at: KeyPath = ("presets", ref)
    expected = f"a name not used before ({first.file}:{first.line(at)})"
    return problem(second, at, expected, repr(ref), (f"preset {ref}",))


def _load(path: Path, model: type[M]) -> tuple[M, ConfigText]:
    data, text = read_yaml(path)
    try:
        return model.model_validate(data), text
    except ValidationError as error:
        raise InvalidConfig(tuple(_findings(error, model, data, text).values())) from error


def _typed(written: _Written) -> TradersConfig:
    located = _located(written)
    if located:
        raise InvalidConfig(tuple(located.values()))
    return TradersConfig.model_validate(written.data)


def _located(written: _Written) -> dict[KeyPath, Finding]:
    """Every problem of a traders file that shows before its layers merge, by path."""
    data, text = written.data, written.text
    found: dict[KeyPath, Finding] = {}
    try:
        TradersConfig.model_validate(data)
    except ValidationError as error:
        found = _findings(error, TradersConfig, data, text)
    others = {**written.found, **dict(_zone_findings(data, text))}
    return found | {path: finding for path, finding in others.items() if path not in found}


# --- one firm at a time -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Kept:
    """Positions of the firms and names of the presets that can be typed."""

    firms: tuple[int, ...]
    presets: frozenset[str]


def _isolated(written: _Written) -> tuple[_Kept, dict[int, list[Finding]]]:
    """What can be typed, and the problems of each firm that cannot, by its position.

    Raises
    ------
    InvalidConfig
        A problem that belongs to no firm and to no preset, or no firm that can be typed.
    """
    located, data = _located(written), written.data
    refused: dict[int, list[Finding]] = {}
    by_preset: dict[str, list[Finding]] = {}
    for path, finding in located.items():
        match path[:2]:
            case ("firms", int(f)):
                refused.setdefault(f, []).append(finding)
            case ("presets", str(ref)):
                by_preset.setdefault(ref, []).append(finding)
            case _:
                raise InvalidConfig(tuple(located.values()))
    for f, firm in _items(data.get("firms")):
        for ref in {_field(account, "preset") for _, account in _items(_field(firm, "accounts"))} & set(
            by_preset
        ):
            refused.setdefault(f, []).extend(by_preset[ref])
    firms = tuple(f for f, _ in _items(data.get("firms")) if f not in refused)
    if not firms:
        raise InvalidConfig(tuple(located.values()))
    return _Kept(firms, frozenset(_presets(data)) - set(by_preset)), refused


def _only(data: Mapping[str, Any], kept: _Kept) -> dict[str, Any]:
    """``data`` without the firms and presets that cannot be typed."""
    presets = {ref: terms for ref, terms in _presets(data).items() if ref in kept.presets}
    return {**data, "presets": presets, "firms": [data["firms"][f] for f in kept.firms]}


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    """Keys and values of whatever was written."""
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _presets(data: Mapping[str, Any]) -> Mapping[str, Any]:
    found = data.get("presets")
    return found if isinstance(found, Mapping) else {}


def _firm(data: Mapping[str, Any], f: int) -> Any:
    return dict(_items(data.get("firms"))).get(f)


def _id(written: Any) -> str:
    found = _field(written, "id")
    return found if isinstance(found, str) else "?"


def _accounts(data: Mapping[str, Any], f: int) -> tuple[str, ...]:
    """``firm/account`` of every account of a firm that says its id."""
    firm = _firm(data, f)
    names = (_id(account) for _, account in _items(_field(firm, "accounts")))
    return tuple(f"{_id(firm)}/{name}" for name in names if name != "?")


def _layers(path: KeyPath, data: Any) -> tuple[str, ...]:
    """Who speaks at ``path`` of a traders file."""
    match path[:4]:
        case ("firms", int(f), "accounts", int(a)):
            firm = _firm(data, f)
            return (f"account {_id(firm)}/{_id(dict(_items(_field(firm, 'accounts'))).get(a))}",)
        case ("firms", int(f), *_):
            return (f"firm {_id(_firm(data, f))}",)
        case ("presets", str(ref), *_):
            return (f"preset {ref}",)
    return ()


# --- what pydantic found, in our words --------------------------------------------------------------------


def _findings(
    error: ValidationError, model: type[BaseModel], data: Any, text: ConfigText
) -> dict[KeyPath, Finding]:
    """One finding per place, in the order of the file; what is missing comes last, for it is most often
    what an unknown key was meant to be."""
    found: dict[KeyPath, Finding] = {}
    last: set[KeyPath] = set()
    for detail in error.errors(include_url=False):
        path = _written(detail, data)
        expected, shown = _words(detail, model, path)
        layers = _layers(path, data) if model is TradersConfig else ()
        found.setdefault(path, problem(text, path, expected, shown, layers))
        if detail["type"] == "missing":
            last.add(path)
    order = sorted(found, key=lambda path: (path in last, found[path].line or 0, found[path].path))
    return {path: found[path] for path in order}


def _written(detail: ErrorDetails, data: Any) -> KeyPath:
    """The part of an error's location that is a path of the file (a missing key included)."""
    path: list[str | int] = []
    for step in detail["loc"]:
        inside = isinstance(data, Mapping) and step in data
        if not inside and not (isinstance(data, list) and isinstance(step, int) and step < len(data)):
            return (*path, step) if detail["type"] == "missing" else tuple(path)
        path.append(step)
        data = data[step]
    return tuple(path)


def _words(detail: ErrorDetails, model: type[BaseModel], path: KeyPath) -> tuple[str, str]:
    if detail["type"] == "extra_forbidden":
        if (path[0], path[2:]) == ("presets", ("preset",)):
            return "no key 'preset' here (presets do not refer to presets)", repr(detail["input"])
        return nearest(str(path[-1]), _keys_at(model, path[:-1])), repr(path[-1])
    if detail["type"] == "missing":
        return "a value", "nothing"
    return expected_found(detail["msg"], detail["input"])


def _keys_at(model: type[BaseModel], path: KeyPath) -> Iterable[str]:
    """Keys that a path of the file may have."""
    kinds: list[Any] = [model]
    for step in path:
        kinds = [inner for kind in kinds for inner in _inside(kind, step)]
    return {key for kind in kinds if _is_model(kind) for key in kind.model_fields}


def _inside(kind: Any, step: str | int) -> Iterator[Any]:
    if _is_model(kind):
        if step in kind.model_fields:
            yield from _plain_types(kind.model_fields[step].annotation)
    elif get_origin(kind) is dict:
        yield from _plain_types(get_args(kind)[1])
    elif get_args(kind):
        yield from _plain_types(get_args(kind)[0])


def _plain_types(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _plain_types(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _plain_types(member)
    else:
        yield annotation


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


# --- time zones -------------------------------------------------------------------------------------------


@cache
def known_zones() -> frozenset[str]:
    """IANA zones of the pinned ``tzdata`` package, the same on every machine."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text(encoding="ascii").split())


def _zone_findings(data: Mapping[str, Any], text: ConfigText) -> Iterator[tuple[KeyPath, Finding]]:
    """Trading days in zones that do not exist."""
    places: list[tuple[KeyPath, Any]] = [(("presets", ref), terms) for ref, terms in _presets(data).items()]
    for f, firm in _items(data.get("firms")):
        places += [(("firms", f, "accounts", a), one) for a, one in _items(_field(firm, "accounts"))]
    for path, terms in places:
        zone = _field(_field(terms, "trading_day"), "zone")
        if isinstance(zone, str) and zone not in known_zones():
            at = (*path, "trading_day", "zone")
            yield at, problem(text, at, "an IANA zone (Area/City)", repr(zone), _layers(at, data))
