"""``config/settings.yaml`` and ``config/traders.yaml``: read, typed, merged, every error with its line."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from regime_trading.adapters.yaml_text import read_yaml
from regime_trading.core.risk_layers import NO_TEXT, ConfigText, expected_found, nearest
from regime_trading.core.risk_layers import Path as KeyPath
from regime_trading.core.settings import Finding, InvalidConfig, Settings
from regime_trading.core.trader_profile import TraderProfile, merge_profiles
from regime_trading.core.traders import TradersConfig, problem

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Configuration:
    """Both files: the settings, and one profile per account in the order of the file."""

    settings: Settings
    profiles: tuple[TraderProfile, ...]


def load_configuration(settings_path: Path, traders_path: Path, config_version: int = 1) -> Configuration:
    """Settings and profiles of a pair of files.

    Raises
    ------
    InvalidConfig
        What the files say is not acceptable; ``findings`` has every problem of the first bad file.
    BadInput
        A file that cannot be read, or is not strict YAML (see ``adapters.yaml_text``).
    """
    settings, settings_text = _load(settings_path, Settings)
    profiles = _profiles(traders_path, settings, settings_text, config_version)
    return Configuration(settings, profiles)


def load_settings(path: Path) -> Settings:
    """``config/settings.yaml``; raises as :func:`load_configuration`."""
    return _load(path, Settings)[0]


def load_profiles(path: Path, settings: Settings, config_version: int = 1) -> tuple[TraderProfile, ...]:
    """Profiles of ``config/traders.yaml`` under ``settings``, whose provenance then names no settings file;
    raises as :func:`load_configuration`."""
    return _profiles(path, settings, NO_TEXT, config_version)


def _profiles(
    path: Path, settings: Settings, settings_text: ConfigText, config_version: int
) -> tuple[TraderProfile, ...]:
    traders, text = _load(path, TradersConfig)
    findings = tuple(_zone_findings(traders, text))
    if findings:
        raise InvalidConfig(findings)
    return merge_profiles(traders, settings, text, settings_text, config_version)


def _load(path: Path, model: type[M]) -> tuple[M, ConfigText]:
    data, text = read_yaml(path)
    try:
        return model.model_validate(data), text
    except ValidationError as error:
        raise InvalidConfig(_findings(error, model, data, text)) from error


# --- what pydantic found, in our words --------------------------------------------------------------------


def _findings(
    error: ValidationError, model: type[BaseModel], data: Any, text: ConfigText
) -> tuple[Finding, ...]:
    """One finding per place, in the order of the file; what is missing comes last, for it is most often
    what an unknown key was meant to be."""
    found: dict[KeyPath, Finding] = {}
    last: set[KeyPath] = set()
    for detail in error.errors(include_url=False):
        path = _written(detail, data)
        expected, shown = _words(detail, model, path)
        found.setdefault(path, problem(text, path, expected, shown))
        if detail["type"] == "missing":
            last.add(path)
    order = sorted(found, key=lambda path: (path in last, found[path].line or 0, found[path].path))
    return tuple(found[path] for path in order)


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


def _zone_findings(traders: TradersConfig, text: ConfigText) -> Iterator[Finding]:
    places: list[tuple[KeyPath, Any]] = [(("presets", ref), terms) for ref, terms in traders.presets.items()]
    for f, firm in enumerate(traders.firms):
        places += [(("firms", f, "accounts", a), account) for a, account in enumerate(firm.accounts)]
    for path, terms in places:
        if terms.trading_day is not None and terms.trading_day.zone not in known_zones():
            zone = terms.trading_day.zone
            yield problem(text, (*path, "trading_day", "zone"), "an IANA zone (Area/City)", repr(zone))
