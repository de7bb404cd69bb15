"""The one place where adapters, agents and services meet, and the only reader of the environment.

``bootstrap.app`` wires the whole application, ``bootstrap.files`` the commands on files; what is here loads fast.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from regime_trading.adapters.config_files import PRESETS, Configuration, load_configuration, load_firms
from regime_trading.adapters.venues.secrets import Credentials
from regime_trading.core.config_diff import Change, Side, config_changes
from regime_trading.core.errors import BadInput
from regime_trading.core.risk_layers import LayerKind
from regime_trading.core.settings import InvalidConfig
from regime_trading.core.trader_profile import explain

SETTINGS, TRADERS = "settings.yaml", "traders.yaml"
DATABASE = "regime.db"


def artifacts_folder(given: Path | None) -> Path:
    """``given``, else ``REGIME_ARTIFACTS``, else ``./artifacts``."""
    return given or Path(os.environ.get("REGIME_ARTIFACTS") or "artifacts")


def keys_folder() -> tuple[Path, bool]:
    """Folder of private keys: ``REGIME_KEYS``, which must exist, else one in the user's configuration, which may be
    made; and whether it may."""
    given = os.environ.get("REGIME_KEYS")
    if given:
        return Path(given), False
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "regime-trading" / "keys", True


def key_passphrase() -> str | None:
    """``REGIME_KEY_PASSPHRASE``, under which private keys are encrypted; None where it is not set."""
    return os.environ.get("REGIME_KEY_PASSPHRASE") or None


def given_secret() -> str | None:
    """``REGIME_SECRET``, the secret of the server; None where it is not set (``bootstrap.secrets``)."""
    return os.environ.get("REGIME_SECRET") or None


def given_token() -> str:
    """``REGIME_TOKEN``, an API token of whoever uses the command line; empty where it is not set."""
    return os.environ.get("REGIME_TOKEN", "")


def given_server() -> str:
    """``REGIME_SERVER``, the address of the server that the command line asks; empty where it is not set."""
    return os.environ.get("REGIME_SERVER", "")


def witness_places(configured: Sequence[str], artifacts: Path) -> tuple[str, ...]:
    """Where checkpoints are kept beside the record: ``REGIME_WITNESS``, else what is configured, else a folder of the
    user's, one for each artifacts folder."""
    given = os.environ.get("REGIME_WITNESS")
    if given:
        return (given,)
    if configured:
        return tuple(configured)
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    mine = sha256(str(artifacts.resolve()).encode()).hexdigest()[:12]
    return (str(home / "regime-trading" / "witness" / mine),)


@contextmanager
def minari_datasets_in(folder: Path) -> Iterator[None]:
    """Minari keeps its datasets in ``folder`` for a while, and nowhere in the user's home."""
    name = "MINARI_DATASETS_PATH"
    before = os.environ.get(name)
    os.environ[name] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def state_file(artifacts: Path, name: str) -> Path:
    """Where a database of an artifacts folder lies; its folder is made."""
    path = artifacts / "state" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def database_url(artifacts: Path) -> str:
    """The store: ``REGIME_DATABASE`` (a PostgreSQL URL), else a SQLite file of the artifacts folder, which is made."""
    from regime_trading.adapters.database import sqlite_url

    named = os.environ.get("REGIME_DATABASE")
    return named or sqlite_url(state_file(artifacts, DATABASE))


def has_database(artifacts: Path) -> bool:
    """Whether there is a store already: one that is named is taken to be there."""
    return bool(os.environ.get("REGIME_DATABASE")) or (artifacts / "state" / DATABASE).exists()


def metrics_token() -> str | None:
    """``REGIME_METRICS_TOKEN``: who sends it may read the metrics from another machine; None where it is not set."""
    return os.environ.get("REGIME_METRICS_TOKEN") or None


def spool_folder(artifacts: Path) -> Path:
    """Second place of the record: ``REGIME_SPOOL``, which belongs on another device, else beside the database."""
    named = os.environ.get("REGIME_SPOOL")
    return Path(named) if named else artifacts / "spool"


def notification_urls(firm_id: str) -> tuple[str, ...]:
    """Channels of a firm: ``REGIME_NOTIFY_<FIRM>`` (URLs between spaces), and those of the file that
    ``REGIME_NOTIFY_<FIRM>_FILE`` names. Secrets: they are read here, and written nowhere.

    Raises
    ------
    BadInput
        A file that cannot be read, or that others may read.
    """
    from regime_trading.adapters.notifications import read_channel_file

    name = f"REGIME_NOTIFY_{firm_id.upper().replace('-', '_')}"
    given = tuple(os.environ.get(name, "").split())
    file = os.environ.get(f"{name}_FILE")
    return given + (read_channel_file(Path(file)) if file else ())


def outbound_hosts() -> frozenset[str]:
    """``REGIME_OUTBOUND_ALLOW``: hosts, separated by commas, that notices may be sent to although their addresses are
    private."""
    given = os.environ.get("REGIME_OUTBOUND_ALLOW", "")
    return frozenset(host.strip().lower() for host in given.split(",") if host.strip())


def dead_man() -> tuple[str | None, float]:
    """``REGIME_DEADMAN_URL``, which is told that all is well, and every how many seconds (``REGIME_DEADMAN_EVERY_S``,
    60).

    Raises
    ------
    BadInput
        An interval that is no number of seconds.
    """
    text = os.environ.get("REGIME_DEADMAN_EVERY_S") or "60"
    if not text.isdecimal() or int(text) < 1:
        raise BadInput(expected="whole seconds, 1 or more", found=repr(text), where="REGIME_DEADMAN_EVERY_S")
    return os.environ.get("REGIME_DEADMAN_URL") or None, float(text)


def schedule_watcher(firm_id: str, basket: str) -> str | None:
    """``REGIME_DEADMAN_<FIRM>_<BASKET>``, which is told of each scheduled run of a basket that is done; a secret."""
    name = f"{firm_id}_{basket}".upper().replace("-", "_")
    return os.environ.get(f"REGIME_DEADMAN_{name}") or None


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


def load_valid(config: Path | None) -> Configuration:
    """Both configuration files, without the firms that cannot be accepted (``Configuration.broken``).

    Raises
    ------
    InvalidConfig, BadInput
        What is wrong with all of them.
    """
    folder = config_folder(config)
    return load_firms(folder / SETTINGS, folder / TRADERS)


def load_from(path: Path, config: Path | None) -> Configuration:
    """The configuration of a folder, or of one ``traders.yaml`` under the settings and the presets beside it, else
    under those of the configured folder.

    Raises
    ------
    InvalidConfig, BadInput
        What is wrong with it.
    """
    if path.is_dir():
        return load_configuration(path / SETTINGS, path / TRADERS)
    if not path.is_file():
        raise BadInput(
            expected=f"a folder with {SETTINGS} and {TRADERS}, or a file", found="neither", where=str(path)
        )
    home = path.parent if (path.parent / SETTINGS).is_file() else config_folder(config)
    beside = path.with_name(PRESETS)
    presets = beside if beside.exists() else home / PRESETS
    return load_configuration(home / SETTINGS, path, presets_path=presets)


def changed_keys(old: Path, new: Path | None, config: Path | None) -> tuple[Change, ...]:
    """Every difference between two configurations, of which ``new`` is the configured folder where None."""
    before = load_from(old, config)
    return changes_between(before, load(config) if new is None else load_from(new, config))


def changes_between(old: Configuration, new: Configuration) -> tuple[Change, ...]:
    """Every difference between two configurations."""
    return config_changes(
        *(Side(c.profiles, c.presets, c.settings, c.settings_text, c.traders_text) for c in (old, new))
    )


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
    """What each layer says about one value of an account, from the top down; of a preset also where its terms are
    published, when they were read, and what to know of them.

    Raises
    ------
    BadInput
        No such account, or no such path, with the nearest one.
    """
    loaded = load(config)
    profiles = {profile.account: profile for profile in loaded.profiles}
    if account not in profiles:
        raise BadInput(expected=f"one of {', '.join(profiles)}", found=account, where="account")
    steps = []
    for step in explain(profiles[account], path):
        preset = loaded.presets[step.name] if step.layer is LayerKind.PRESET else None
        steps.append(
            {
                "layer": f"{step.layer} {step.name}",
                "value": step.value,
                "where": step.file if step.line is None else f"{step.file}:{step.line}",
                "operator": step.operator.value,
                "winning": step.winning,
                "source_url": None if preset is None else preset.source_url,
                "read_on": None if preset is None else preset.read_on,
                "note": None if preset is None else preset.note,
            }
        )
    return steps
