"""A traders file of two firms, and versions of it, that the tests of the configuration share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from regime_trading.adapters.clock import FixedClock
from regime_trading.adapters.database import SqlAuditLog, SqlConfigVersions, SqlLastGood
from regime_trading.adapters.record_history import FirmHistory
from regime_trading.adapters.traders_file import TradersFile
from regime_trading.core.config_versions import ConfigVersion, VersionStatus, document_hash
from regime_trading.core.schemas import ActorType
from regime_trading.services.acts import Acts
from regime_trading.services.config_apply import VersionDeps
from regime_trading.services.config_versions import ConfigService

T = 1_795_680_000_000_000_000  # 2026-11-26T08:00:00Z
HOUR = 3_600_000_000_000
NIGHT_NS = T + 14 * HOUR  #: 17:00 in New York, when the sessions of the sample end
FIRM, OTHER = "north-pier", "kestrel-lane"
SETTINGS = """\
sources: {files: {calendar: XNYS}}
evidence: {files: {}}
baskets:
  one: {symbols: [AAPL], allocator: risk_parity}
"""
TRADERS = """\
# Fictional firms.
schema_version: 1
presets: {}

firms:
  - id: north-pier
    name: North Pier (fictional)   # a remark
    risk:
      gross: "0.9" # the firm's
      daily_loss: {limit_pct: "0.02"}
    accounts:
      # the first account
      - id: core
        mode: dry_run
        account_currency: USD
        initial_capital: "1000000"
        trading_day: {reset_at: "17:00", zone: America/New_York}
        baskets: [{name: one, share: "1"}]

      - id: live
        mode: %s
        account_currency: USD
        initial_capital: "500000"
        trading_day: {reset_at: "17:00", zone: America/New_York}
        baskets:
          - {name: one, share: "0.5"}
        risk:
          sigma_target: "0.08"   # the mandate
          drawdown: [["0.03", "0.75"], ["0.05", "0.50"], ["0.08", FLATTEN], ["0.12", LOCKED]]
          # a remark at the end

# between the firms
  - id: kestrel-lane
    name: Kestrel Lane
    risk: {gross: "0.7"}
    accounts:
      - {id: solo, mode: dry_run, account_currency: USD, initial_capital: "1", trading_day: {reset_at: "17:00", zone: America/New_York}}
# the end
"""  # noqa: E501 - as people write


def folder_of(path: Path, mode: str = "shadow") -> Path:
    """A configuration folder whose second account is in ``mode``."""
    path.mkdir(parents=True)
    (path / "settings.yaml").write_text(SETTINGS)
    (path / "traders.yaml").write_text(TRADERS % mode)
    return path


def service_over(
    engine: Any, folder: Path, now_ns: int = T, actor: str = "u-abcdefgh23456777"
) -> ConfigService:
    """Versions over a store, at a time of the tests' own."""
    acts = Acts(
        audit=lambda firm: SqlAuditLog(engine, firm_id=firm),
        actor=lambda firm: (ActorType.USER, actor),
        history=lambda firm: FirmHistory(None, recorded(engine, firm)),
        clock=FixedClock(now_ns),
        code_version="test",
    )
    return ConfigService(
        VersionDeps(
            file=TradersFile(folder / "settings.yaml", folder / "traders.yaml"),
            versions=lambda firm: SqlConfigVersions(engine, firm_id=firm),
            last_good=lambda firm: SqlLastGood(engine, firm_id=firm),
            acts=acts,
        )
    )


def recorded(engine: Any, firm: str) -> Any:
    from regime_trading.adapters.database.history import SqlRecorded

    return SqlRecorded(engine, firm_id=firm)


def at(service: ConfigService, now_ns: int) -> ConfigService:
    """The service at another time."""
    acts = replace(service.deps.acts, clock=FixedClock(now_ns))
    return replace(service, deps=replace(service.deps, acts=acts))


def agreed(version: ConfigVersion) -> Callable[[str], str | None]:
    """People agreed to exactly this, in request ``r-1``."""
    return {"r-1": version.payload_hash}.get


def a_version(parent: int = 0, **more: Any) -> ConfigVersion:
    """A version for the store alone."""
    document = more.pop("document", "id: north-pier\n")
    return ConfigVersion(
        **{
            "firm_id": FIRM,
            "version": 0,
            "parent": parent,
            "status": VersionStatus.DRAFT,
            "author": "u-abcdefgh23456777",
            "created_ns": T,
            "changed_ns": T,
            "document": document,
            "document_hash": document_hash(document),
            "base_file_hash": "0" * 64,
            **more,
        }
    )
