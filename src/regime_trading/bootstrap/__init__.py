"""The one place where adapters, agents and services meet, and the only reader of the environment.

``bootstrap.app`` wires the whole application, ``bootstrap.files`` the commands on files; what is here loads fast.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from regime_trading.adapters.config_files import Configuration, load_configuration
from regime_trading.adapters.venues.secrets import Credentials
from regime_trading.core.errors import BadInput
from regime_trading.core.settings import InvalidConfig
from regime_trading.core.trader_profile import explain

SETTINGS, TRADERS = "settings.yaml", "traders.yaml"


def artifacts_folder(given: Path | None) -> Path:
    """``given``, else ``REGIME_ARTIFACTS``, else ``./artifacts``."""
    return given or Path(os.environ.get("REGIME_ARTIFACTS") or "artifacts")


def config_folder(given: Path | None) -> Path:
    """``given``, else ``REGIME_CONFIG``, else ``./config``.

    Raises
    ------
    BadInput
        No such folder.
    """
    folder = given or Path(os.environ.get("REGIME_CONFIG") or "config")
    if not folder.is_dir():
        raise BadInput(
            expected=f"a folder with {SETTINGS} and {TRADERS} (--config or REGIME_CONFIG)",
            found="none",
            where=str(folder),
        )
    return folder


def venue_credentials(venue: str) -> Credentials | None:
    """Keys of a venue from the environment; None where it needs none."""
    if not venue.startswith("alpaca"):
        return None
    return Credentials(os.environ.get("ALPACA_API_KEY", ""), os.environ.get("ALPACA_API_SECRET", ""))


def load(config: Path | None) -> Configuration:
    """Both configuration files.

    Raises
    ------
    InvalidConfig, BadInput
        What is wrong with them.
    """
    folder = config_folder(config)
    return load_configuration(folder / SETTINGS, folder / TRADERS)


def check_configuration(config: Path | None) -> list[dict[str, Any]]:
    """Everything wrong with the configuration, in the words of ``contracts.md`` 14; empty where it is valid."""
    try:
        load(config)
    except InvalidConfig as error:
        return [
            finding.model_dump(mode="json", exclude={"expected", "found"}) | {"message": finding.message}
            for finding in error.findings
        ]
    return []


def explain_value(config: Path | None, account: str, path: str) -> list[dict[str, Any]]:
    """What each layer says about one value of an account, from the top down.

    Raises
    ------
    BadInput
        No such account, or no such path, with the nearest one.
    """
    profiles = {profile.account: profile for profile in load(config).profiles}
    if account not in profiles:
        raise BadInput(expected=f"one of {', '.join(profiles)}", found=account, where="account")
    return [
        {
            "layer": f"{step.layer} {step.name}",
            "value": step.value,
            "where": step.file if step.line is None else f"{step.file}:{step.line}",
            "operator": step.operator.value,
            "winning": step.winning,
        }
        for step in explain(profiles[account], path)
    ]
