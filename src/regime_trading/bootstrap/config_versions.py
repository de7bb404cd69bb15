"""Versions of the configuration, wired; and the commands of the machine's operator on them.

Whoever sits at the machine may tighten, and loosen what runs dry (``contracts.md`` 14): nobody's agreement can be shown
here, so whatever takes a second person is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database import SqlConfigVersions, SqlLastGood, open_database
from regime_trading.adapters.traders_file import TradersFile
from regime_trading.bootstrap import SETTINGS, TRADERS, artifacts_folder, config_folder, database_url
from regime_trading.bootstrap.acts import make_acts
from regime_trading.bootstrap.version import code_version
from regime_trading.core.config_versions import ConfigVersion
from regime_trading.core.errors import BadInput
from regime_trading.core.instants import instant_text
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.services.acts import Acts, Who
from regime_trading.services.config_apply import VersionDeps
from regime_trading.services.config_changes import WhatIf, changes_answer
from regime_trading.services.config_versions import ConfigService, Replay


def config_service(engine: Any, acts: Acts, config: Path | None) -> ConfigService:
    """Versions of the configuration in a folder, over a store; ``acts`` says who acts."""
    folder = config_folder(config)
    return ConfigService(
        VersionDeps(
            file=TradersFile(folder / SETTINGS, folder / TRADERS),
            versions=lambda firm: SqlConfigVersions(engine, firm_id=firm),
            last_good=lambda firm: SqlLastGood(engine, firm_id=firm),
            acts=acts,
        )
    )


def config_replay(artifacts: Path | None, config: Path | None, progress: Any = None) -> Replay:
    """Replays the last decision days under two sets of profiles of one firm; loads the engine."""

    def replay(old: Sequence[TraderProfile], new: Sequence[TraderProfile], asked: WhatIf) -> dict[str, Any]:
        from regime_trading.bootstrap import load_valid
        from regime_trading.bootstrap.changes import replay_profiles

        return replay_profiles(load_valid(config), old, new, asked, artifacts, progress)

    return replay


# --- the operator at the machine ----------------------------------------------------------------------------


@contextmanager
def local_service(artifacts: Path | None, config: Path | None) -> Iterator[ConfigService]:
    """The service as whoever runs this process."""
    folder = LocalArtifacts(artifacts_folder(artifacts))
    engine = open_database(database_url(folder.root))
    try:
        yield config_service(engine, make_acts(engine, folder, code_version()), config)
    finally:
        engine.dispose()


def list_versions(firm_id: str, limit: int, artifacts: Path | None, config: Path | None) -> dict[str, Any]:
    """Versions of a firm, newest first, and how the file stands to the one in force."""
    with local_service(artifacts, config) as service:
        current = service.current(firm_id)
        return {
            "firm": firm_id,
            "current": current.number,
            "drift": current.drift.value,
            "findings": [finding.model_dump(mode="json") for finding in current.reading.findings],
            "versions": [told(one) for one in service.history(firm_id, limit=limit)],
        }


def apply_local(
    firm_id: str,
    document: Path | None,
    version: int | None,
    reason: str,
    artifacts: Path | None,
    config: Path | None,
) -> dict[str, Any]:
    """Apply a document, or a version that is there.

    Raises
    ------
    NeedsAgreement
        It loosens an account that does not run dry.
    InvalidConfig, BadInput
        The loader refuses it, or another version came in between.
    """
    if (document is None) == (version is None):
        raise BadInput(expected="either a document or --version", found="both or neither", where="apply")

    def make(service: ConfigService) -> ConfigVersion:
        if document is None:
            return service.get(firm_id, version or 0)
        base = service.current(firm_id).number
        return service.draft(firm_id, _text(document), base, reason)

    return _applied(firm_id, make, artifacts, config)


def rollback_local(
    firm_id: str, to: int, reason: str, artifacts: Path | None, config: Path | None
) -> dict[str, Any]:
    """Apply the document of an earlier version as a new one; raises as :func:`apply_local`."""
    return _applied(firm_id, lambda service: service.rollback(firm_id, to, reason), artifacts, config)


def export_version(firm_id: str, version: int | None, artifacts: Path | None, config: Path | None) -> str:
    """Document of a version, or of the file as it is."""
    with local_service(artifacts, config) as service:
        if version is None:
            return service.deps.file.now(firm_id).document
        return service.get(firm_id, version).document


def _applied(
    firm_id: str, make: Callable[[ConfigService], ConfigVersion], artifacts: Path | None, config: Path | None
) -> dict[str, Any]:
    with local_service(artifacts, config) as service:
        made = make(service)
        diff = service.diff(firm_id, made.parent, made.version) if made.parent else None
        done = service.apply(firm_id, made.version)
        return told(done) | changes_answer(() if diff is None else diff.changes) | {"ok": True}


def told(version: ConfigVersion) -> dict[str, Any]:
    """A version as it is shown, without its document."""
    plain = version.model_dump(mode="json", exclude={"document", "created_ns", "changed_ns"})
    for name in ("applied_ns", "effective_from_ns"):
        at_ns = plain.pop(name)
        plain[name.removesuffix("_ns")] = None if at_ns is None else instant_text(at_ns)
    more = {
        "created": instant_text(version.created_ns),
        "direction": version.direction.value,
        "approvers": version.approvers,
        "payload_hash": version.payload_hash,
    }
    return plain | more


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(expected="a text file", found=str(error), where=str(path)) from error


def with_actor(service: ConfigService, actor: Callable[[str], Who]) -> ConfigService:
    """The service as somebody else: ``actor`` says who, by firm."""
    return replace(service, deps=replace(service.deps, acts=replace(service.deps.acts, actor=actor)))
