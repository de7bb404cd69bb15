"""Halts of a firm: set, ended, never removed; with the first decisions that carried them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, func, insert, select, update

from regime_trading.adapters.database.audit_log import append_chain
from regime_trading.adapters.database.control_tables import CONTROL_EFFECTS, CONTROLS
from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.messages import publish
from regime_trading.core.audit import chain_of, require_firm
from regime_trading.core.controls import Clearing, Control, Effect, Level, NewControl
from regime_trading.core.errors import BadInput
from regime_trading.core.messages import Message
from regime_trading.core.schemas import AuditEvent


class SqlControls:
    """Halts of one firm.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    firm_id : str
        Tenant; accounts of any other firm are refused.
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)
        self._mine = CONTROLS.c.firm_id == self._firm_id

    def set(
        self, new: NewControl, events: Sequence[AuditEvent] = (), messages: Sequence[Message] = ()
    ) -> Control:
        """Put a halt in force, with what tells of it, in one transaction; a flag that was adopted before changes
        nothing.

        Raises
        ------
        BadInput
            An account of another firm.
        NotDurable
            A database that cannot write, or entries whose place is taken. Nothing was stored.
        """
        if new.firm_id != self._firm_id or (new.account and new.account.split("/")[0] != self._firm_id):
            raise BadInput(
                expected=f"a scope of firm {self._firm_id}", found=new.account or new.firm_id, where="halt"
            )
        with writing(self._engine) as connection:
            if new.flag:
                query = select(CONTROLS).where(self._mine, CONTROLS.c.flag == new.flag)
                if (row := connection.execute(query).mappings().one_or_none()) is not None:
                    return _control(row)
            last = connection.execute(select(func.max(CONTROLS.c.control_no)).where(self._mine)).scalar()
            made = Control(**asdict(new), control_no=(last or 0) + 1)
            connection.execute(insert(CONTROLS), _row(made))
            self._tell(connection, events, messages)
            return made

    def clear(
        self,
        control_nos: Sequence[int],
        clearing: Clearing,
        events: Sequence[AuditEvent] = (),
        messages: Sequence[Message] = (),
    ) -> None:
        """End halts, all or none, with what tells of it, in one transaction.

        Raises
        ------
        BadInput
            No such halt, or one that has ended already.
        NotDurable
            A database that cannot write, or entries whose place is taken. The halts are in force.
        """
        said = {name: value or None for name, value in asdict(clearing).items()}
        with writing(self._engine) as connection:
            for control_no in control_nos:
                self._clear(connection, control_no, said)
            self._tell(connection, events, messages)

    def _clear(self, connection: Connection, control_no: int, said: Mapping[str, Any]) -> None:
        key = self._mine & (CONTROLS.c.control_no == control_no) & CONTROLS.c.cleared_ns.is_(None)
        if connection.execute(update(CONTROLS).where(key).values(**said)).rowcount != 1:
            raise BadInput(
                expected=f"a halt of firm {self._firm_id} that is in force",
                found=str(control_no),
                where="halt",
            )

    def all(self) -> tuple[Control, ...]:
        """Every halt that ever was, by number."""
        query = select(CONTROLS).where(self._mine).order_by(CONTROLS.c.control_no)
        with reading(self._engine) as connection:
            return tuple(_control(row) for row in connection.execute(query).mappings())

    def note(
        self, effects: Sequence[Effect], events: Sequence[AuditEvent] = (), messages: Sequence[Message] = ()
    ) -> None:
        """Remember the first decisions that carried halts, with what tells of them, in one transaction; of one that
        is known only ``flat_ns`` is added.

        Raises
        ------
        NotDurable
            No such halt, a database that cannot write, or entries whose place is taken. Nothing was stored.
        """
        with writing(self._engine) as connection:
            for effect in effects:
                self._note(connection, effect)
            self._tell(connection, events, messages)

    def effects(self) -> tuple[Effect, ...]:
        """The first decisions that carried halts, by number of the halt and account."""
        table = CONTROL_EFFECTS.c
        columns = [column for column in table if column is not table.firm_id]
        query = select(*columns).where(table.firm_id == self._firm_id)
        with reading(self._engine) as connection:
            found = connection.execute(query.order_by(table.control_no, table.account)).mappings()
            return tuple(Effect(**row) for row in found)

    def _note(self, connection: Connection, effect: Effect) -> None:
        table = CONTROL_EFFECTS.c
        key = (
            (table.firm_id == self._firm_id)
            & (table.control_no == effect.control_no)
            & (table.account == effect.account)
        )
        known = connection.execute(select(table.flat_ns).where(key)).one_or_none()
        if known is None:
            connection.execute(insert(CONTROL_EFFECTS), asdict(effect) | {"firm_id": self._firm_id})
        elif known[0] is None and effect.flat_ns is not None:
            connection.execute(update(CONTROL_EFFECTS).where(key).values(flat_ns=effect.flat_ns))

    def _tell(
        self, connection: Connection, events: Sequence[AuditEvent], messages: Sequence[Message]
    ) -> None:
        if events:
            append_chain(connection, self._firm_id, chain_of(events[0]), events)
        publish(connection, self._firm_id, messages)


def _row(control: Control) -> dict[str, Any]:
    """Empty text that stands for nothing is null."""
    nothing = {name: asdict(control)[name] or None for name in ("flag", "cleared_by", "approval_id")}
    return asdict(control) | nothing | {"level": int(control.level)}


def _control(row: RowMapping) -> Control:
    plain = {name: "" if value is None and name != "cleared_ns" else value for name, value in row.items()}
    return Control(**plain | {"level": Level(row["level"])})
