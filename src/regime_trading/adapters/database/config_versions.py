"""Versions of a firm's section of ``traders.yaml``: added and moved on, never edited, never removed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, func, select, update

from regime_trading.adapters.database.audit_log import append_chains
from regime_trading.adapters.database.config_version_tables import CONFIG_VERSIONS
from regime_trading.adapters.database.configurations import remember, require_acceptable
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.messages import publish
from regime_trading.adapters.database.overrides import insert_overrides
from regime_trading.core.audit import chain_of, require_firm
from regime_trading.core.config_versions import (
    OPEN,
    ConfigVersion,
    VersionConflict,
    VersionStatus,
    moved,
    name_of,
    proposal_message,
)
from regime_trading.core.errors import BadInput, CheckFailed
from regime_trading.core.messages import Message
from regime_trading.core.numbers import LARGEST_NUMBER
from regime_trading.core.overrides import SessionOverride
from regime_trading.core.schemas import AuditEvent
from regime_trading.core.trader_profile import TraderProfile

_T = CONFIG_VERSIONS
_APART = ("firm_id", "version", "document")


class SqlConfigVersions:
    """Versions of one firm.

    Every method that changes something does so in one transaction, with the entries of the record and the messages
    that tell of it, and refuses (``VersionConflict``) where what it was told is no longer what is stored.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    firm_id : str
        Tenant; versions of any other firm are refused.
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)

    # --- reading --------------------------------------------------------------------------------------------

    def get(self, version: int) -> ConfigVersion:
        """One version.

        Raises
        ------
        BadInput
            No such version.
        CheckFailed
            It is no longer what was stored.
        """
        with reading(self._engine) as connection:
            return self._get(connection, version)

    def all(self, before: int | None = None, limit: int = 1_000) -> tuple[ConfigVersion, ...]:
        """Versions, newest first; those before number ``before`` where given."""
        query = self._mine().order_by(_T.c.version.desc()).limit(limit)
        if before is not None:
            query = query.where(_T.c.version < before)
        with reading(self._engine) as connection:
            return tuple(_version(row) for row in connection.execute(query).mappings())

    def of_status(self, *statuses: VersionStatus) -> tuple[ConfigVersion, ...]:
        """Versions that stand at any of ``statuses``, newest first."""
        with reading(self._engine) as connection:
            return self._of_status(connection, statuses)

    def in_force(self) -> ConfigVersion | None:
        """The version that the file is held to be at; None before the first."""
        with reading(self._engine) as connection:
            return self._in_force(connection)

    # --- writing --------------------------------------------------------------------------------------------

    def add(
        self,
        version: ConfigVersion,
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> ConfigVersion:
        """Store a new version under the next number, on the version in force.

        Raises
        ------
        VersionConflict
            Its parent is not the version in force.
        NotDurable
            A database that cannot write, or entries whose place is taken. Nothing was stored.
        """
        with writing(self._engine) as connection:
            self._require_base(connection, version)
            added = self._insert(connection, version)
            self._tell(connection, events, messages)
            return added

    def take_in(
        self,
        version: ConfigVersion,
        profiles: Sequence[TraderProfile],
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> ConfigVersion:
        """Store what somebody wrote into the file, under the next number: applied, or refused by the loader.

        What is applied supersedes what was; open versions on the old base become void; ``profiles`` are remembered as
        accepted. Raises as :meth:`add`.
        """
        require_acceptable(profiles, self._firm_id)
        with writing(self._engine) as connection:
            self._require_base(connection, version)
            added = self._insert(connection, version)
            if added.status is VersionStatus.APPLIED:
                self._supersede(connection, added)
            remember(connection, self._firm_id, profiles, version.created_ns)
            self._tell(connection, events, messages)
            return added

    def change(
        self,
        before: ConfigVersion,
        after: ConfigVersion,
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> None:
        """Move a version from ``before`` to ``after``; raises as :meth:`add`."""
        with writing(self._engine) as connection:
            self._move(connection, before, after)
            self._tell(connection, events, messages)

    def start(
        self,
        before: ConfigVersion,
        after: ConfigVersion,
        holds: Sequence[SessionOverride],
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> None:
        """Move a version to ``applying``, with the overrides that hold back what it loosens.

        Raises
        ------
        VersionConflict
            Another one is being applied, or its parent is no longer in force.
        NotDurable
            As :meth:`add`.
        """
        for override in holds:
            if override.account.split("/")[0] != self._firm_id:
                raise BadInput(
                    expected=f"an account of firm {self._firm_id}", found=override.account, where="account"
                )
        with writing(self._engine) as connection:
            busy = self._of_status(connection, (VersionStatus.APPLYING,))
            if busy:
                raise VersionConflict(
                    expected="nothing else that is being applied",
                    found=name_of(busy[0]),
                    where=name_of(after),
                )
            self._require_base(connection, after)
            self._move(connection, before, after)
            insert_overrides(connection, self._firm_id, holds)
            self._tell(connection, events, messages)

    def finish(
        self,
        before: ConfigVersion,
        after: ConfigVersion,
        profiles: Sequence[TraderProfile],
        messages: Sequence[Message] = (),
    ) -> None:
        """Move a version from ``applying`` to ``applied``, as :meth:`take_in` does."""
        require_acceptable(profiles, self._firm_id)
        with writing(self._engine) as connection:
            self._move(connection, before, after)
            self._supersede(connection, after)
            remember(connection, self._firm_id, profiles, after.changed_ns)
            self._tell(connection, (), messages)

    # --- within a transaction ---------------------------------------------------------------------------------

    def _mine(self) -> Any:
        return select(_T).where(_T.c.firm_id == self._firm_id)

    def _get(self, connection: Connection, version: int) -> ConfigVersion:
        query = self._mine().where(_T.c.version == min(version, LARGEST_NUMBER))
        row = connection.execute(query).mappings().one_or_none()
        if row is None or version > LARGEST_NUMBER:
            raise BadInput(
                expected=f"a version of {self._firm_id}", found=f"no version {version}", where="version"
            )
        return _version(row)

    def _of_status(
        self, connection: Connection, statuses: Sequence[VersionStatus]
    ) -> tuple[ConfigVersion, ...]:
        query = self._mine().where(_T.c.status.in_([one.value for one in statuses]))
        rows = connection.execute(query.order_by(_T.c.version.desc())).mappings()
        return tuple(_version(row) for row in rows)

    def _in_force(self, connection: Connection) -> ConfigVersion | None:
        return next(iter(self._of_status(connection, (VersionStatus.APPLIED,))), None)

    def _require_base(self, connection: Connection, version: ConfigVersion) -> None:
        self._require_own(version)
        base = self._in_force(connection)
        number = 0 if base is None else base.version
        if version.parent != number:
            raise VersionConflict(
                expected=f"version {number} as its base, which is in force",
                found=f"version {version.parent}",
                where=name_of(version),
            )

    def _require_own(self, version: ConfigVersion) -> None:
        if version.firm_id != self._firm_id:
            raise BadInput(expected=f"a version of {self._firm_id}", found=version.firm_id, where="version")

    def _insert(self, connection: Connection, version: ConfigVersion) -> ConfigVersion:
        mine = _T.c.firm_id == self._firm_id
        last = connection.execute(select(func.max(_T.c.version)).where(mine)).scalar() or 0
        added = version.model_copy(update={"version": last + 1})
        connection.execute(_T.insert(), {"firm_id": self._firm_id, "version": last + 1, **_row(added)})
        return added

    def _move(self, connection: Connection, before: ConfigVersion, after: ConfigVersion) -> None:
        self._require_own(after)
        stored = self._get(connection, before.version)
        if stored != before or (before.version, before.document) != (after.version, after.document):
            raise VersionConflict(
                expected=f"it as it was read, {before.status}", found=stored.status, where=name_of(before)
            )
        key = (_T.c.firm_id == self._firm_id) & (_T.c.version == before.version)
        connection.execute(update(_T).where(key).values(**_row(after)))

    def _supersede(self, connection: Connection, applied: ConfigVersion) -> None:
        """What was in force is superseded by ``applied``, and what waited on the old base is void."""
        for other in self._of_status(connection, (VersionStatus.APPLIED, *OPEN)):
            if other.version == applied.version:
                continue
            in_force = other.status is VersionStatus.APPLIED
            to = VersionStatus.SUPERSEDED if in_force else VersionStatus.VOID
            detail = "" if in_force else f"version {applied.version} was applied meanwhile"
            after = moved(other, to, applied.changed_ns, applied.by, detail=detail)
            self._move(connection, other, after)
            if after.status is VersionStatus.VOID and after.request_id:
                publish(connection, self._firm_id, (proposal_message(after),))

    def _tell(
        self, connection: Connection, events: Sequence[AuditEvent], messages: Sequence[Message]
    ) -> None:
        if events:
            append_chains(connection, self._firm_id, {chain_of(events[0]): events})
        publish(connection, self._firm_id, messages)


def _row(version: ConfigVersion) -> dict[str, Any]:
    """Columns of a version but its key."""
    return {
        "status": version.status.value,
        "created_ns": version.created_ns,
        "changed_ns": version.changed_ns,
        "effective_from_ns": version.effective_from_ns,
        "request_id": version.request_id,
        "document_hash": version.document_hash,
        "document": version.document,
        "body": version.model_dump_json(exclude=set(_APART)),
    }


def _version(row: RowMapping) -> ConfigVersion:
    where = f"version {row['version']} of {row['firm_id']}"
    try:
        rest = ConfigVersion.model_validate_json(_whole(row))
    except ValueError as error:
        raise CheckFailed(f"{where}: it can no longer be read") from error
    if (rest.status, rest.document_hash) != (row["status"], row["document_hash"]):
        raise CheckFailed(f"{where}: it is no longer what was stored")
    return rest


def _whole(row: RowMapping) -> str:
    return json.dumps({**json.loads(row["body"]), **{name: row[name] for name in _APART}})
