"""The configuration and its versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from pydantic import JsonValue

from regime_trading.core.config_status import LastGood
from regime_trading.core.config_versions import ConfigVersion, Reading, VersionStatus
from regime_trading.core.messages import Message
from regime_trading.core.overrides import SessionOverride
from regime_trading.core.schemas import AuditEvent
from regime_trading.core.trader_profile import TraderProfile


class LastGoodConfigs(Protocol):
    """The last accepted configuration of each account of one firm."""

    def accept(
        self, profiles: Sequence[TraderProfile], now_ns: int, events: Sequence[AuditEvent] = ()
    ) -> None:
        """Remember configurations that were just accepted, all or none; an account has one. ``events`` tell of it, in
        the same transaction."""
        ...

    def hashes(self) -> Mapping[str, str]:
        """Hash of the last accepted configuration of each account, whether it still verifies or not."""
        ...

    def get(self, account: str) -> LastGood | None:
        """The last accepted configuration; None where there is none, or where its hash does not verify."""
        ...

    def accounts(self) -> tuple[str, ...]:
        """Accounts that were accepted before, sorted."""
        ...


class FirmFile(Protocol):
    """``traders.yaml``, one firm's section at a time (``adapters.traders_file``)."""

    def now(self, firm_id: str) -> Reading:
        """The section as it is, and what the loader says of it."""
        ...

    def with_document(self, firm_id: str, document: str) -> Reading:
        """The same if the section were ``document``."""
        ...

    def edited(self, document: str, account_id: str, values: Mapping[str, JsonValue]) -> str:
        """``document`` with values of one account set, by dotted path; the rest of it as it is."""
        ...

    def turn(self) -> AbstractContextManager[None]:
        """The right to replace the file; waits for it."""
        ...

    def replace(self, before: bytes, after: bytes) -> None:
        """Replace the file durably where it still is ``before``."""
        ...


class ConfigVersions(Protocol):
    """Versions of one firm's section; each change is one transaction with its ``events`` and ``messages``."""

    def get(self, version: int) -> ConfigVersion: ...

    def all(self, before: int | None = None, limit: int = 1_000) -> tuple[ConfigVersion, ...]: ...

    def of_status(self, *statuses: VersionStatus) -> tuple[ConfigVersion, ...]: ...

    def in_force(self) -> ConfigVersion | None: ...

    def add(
        self, version: ConfigVersion, events: Sequence[AuditEvent] = (), messages: Sequence[Message] = ()
    ) -> ConfigVersion:
        """Store a new version under the next number."""
        ...

    def take_in(
        self,
        version: ConfigVersion,
        profiles: Sequence[TraderProfile],
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> ConfigVersion:
        """Store what somebody wrote into the file."""
        ...

    def change(
        self,
        before: ConfigVersion,
        after: ConfigVersion,
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> None:
        """Move a version on."""
        ...

    def start(
        self,
        before: ConfigVersion,
        after: ConfigVersion,
        holds: Sequence[SessionOverride],
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> None:
        """Move a version to ``applying``."""
        ...

    def finish(
        self,
        before: ConfigVersion,
        after: ConfigVersion,
        profiles: Sequence[TraderProfile],
        messages: Sequence[Message] = (),
    ) -> None:
        """Move a version from ``applying`` to ``applied``."""
        ...
