"""Runs of a firm: what was asked, over which inputs, and how far it came."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from sqlalchemy import Engine, RowMapping, Select, select, update

from regime_trading.adapters.database.engine import reading, writing
from regime_trading.adapters.database.tables import RUNS
from regime_trading.core.audit import require_firm, require_ident
from regime_trading.core.errors import BadInput
from regime_trading.core.schemas import RunRecord, Wait


class SqlRuns:
    """Runs of one firm; a run over two firms is recorded for each.

    Parameters
    ----------
    engine : Engine
        From :func:`~regime_trading.adapters.database.engine.open_database`.
    firm_id : str
        Tenant.
    """

    def __init__(self, engine: Engine, *, firm_id: str) -> None:
        self._engine, self._firm_id = engine, require_firm(firm_id)

    def start(self, run: RunRecord) -> RunRecord:
        """Record ``run``, or return what is recorded where it was started before with the same inputs.

        Raises
        ------
        BadInput
            An illegal run id, or one that belongs to a run over other inputs.
        NotDurable
            A database that cannot write.
        """
        require_ident(run.run_id, "run_id")
        with writing(self._engine) as connection:
            row = connection.execute(self._rows().where(RUNS.c.run_id == run.run_id)).mappings().one_or_none()
            if row is None:
                waits = {"waits": _waits_text(run.waits)}
                connection.execute(RUNS.insert(), asdict(run) | waits | {"firm_id": self._firm_id})
                return run
            found = _read(row)
            if (found.kind, found.inputs_hash) != (run.kind, run.inputs_hash):
                raise BadInput(
                    expected=f"a {found.kind} over inputs {found.inputs_hash}",
                    found=f"a {run.kind} over inputs {run.inputs_hash}",
                    where=f"run {run.run_id}",
                )
            return found

    def pause(self, run_id: str, waits: Sequence[Wait]) -> None:
        """Record that a started run waits for people; raises as :meth:`finish`."""
        self._set(run_id, status="waiting", waits=_waits_text(waits))

    def finish(self, run_id: str, status: Literal["done", "failed"]) -> None:
        """Record how a started run ended.

        Raises
        ------
        BadInput
            A run that was never started.
        NotDurable
            A database that cannot write.
        """
        self._set(run_id, status=status)

    def _set(self, run_id: str, **values: str) -> None:
        key = (RUNS.c.firm_id == self._firm_id) & (RUNS.c.run_id == run_id)
        with writing(self._engine) as connection:
            if connection.execute(update(RUNS).where(key).values(**values)).rowcount != 1:
                raise BadInput(expected=f"a run of firm {self._firm_id}", found=run_id, where="run_id")

    def get(self, run_id: str) -> RunRecord | None:
        """The run of that id; None where there is none."""
        with reading(self._engine) as connection:
            row = connection.execute(self._rows().where(RUNS.c.run_id == run_id)).mappings().one_or_none()
        return None if row is None else _read(row)

    def all(self) -> tuple[RunRecord, ...]:
        """All runs, by ``as_of_ns`` and id."""
        return self._listed(self._rows())

    def waiting(self) -> tuple[RunRecord, ...]:
        """Runs that wait for people, by ``as_of_ns`` and id."""
        return self._listed(self._rows().where(RUNS.c.status == "waiting"))

    def _listed(self, rows: Select[Any]) -> tuple[RunRecord, ...]:
        with reading(self._engine) as connection:
            found = connection.execute(rows.order_by(RUNS.c.as_of_ns, RUNS.c.run_id)).mappings()
            return tuple(map(_read, found))

    def _rows(self) -> Select[Any]:
        columns = [column for column in RUNS.c if column is not RUNS.c.firm_id]
        return select(*columns).where(RUNS.c.firm_id == self._firm_id)


def _waits_text(waits: Sequence[Wait]) -> str:
    return json.dumps([asdict(wait) for wait in waits]) if waits else ""


def _read(row: RowMapping) -> RunRecord:
    waits = tuple(Wait(**wait) for wait in json.loads(row["waits"] or "[]"))
    return RunRecord(**{**row, "waits": waits})
