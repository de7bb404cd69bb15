"""Where a run stands: LangGraph's own SQLite checkpoints, as plain JSON and synced to the disk."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import orjson
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Interrupt

from regime_trading.core.errors import NotDurable


class PlainJson:
    """Serializer that writes JSON and nothing else: no pickle, no class named in the file, none imported.

    An exception (LangGraph notes why a stage failed) becomes its text, what a paused run asks keeps its id and its
    value; any other object is refused.
    """

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        if isinstance(obj, list | tuple) and obj and all(isinstance(one, Interrupt) for one in obj):
            return "questions", orjson.dumps([{"id": one.id, "value": one.value} for one in obj])
        return "json", orjson.dumps(obj, default=_text_of_error)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        kind, raw = data
        if kind == "questions":
            return [Interrupt(one["value"], one["id"]) for one in orjson.loads(raw)]
        if kind != "json":
            raise NotDurable(f"checkpoint: expected plain JSON, found {kind!r}")
        return orjson.loads(raw)


def _text_of_error(obj: Any) -> str:
    if isinstance(obj, BaseException):
        return f"{type(obj).__name__}: {obj}"
    raise TypeError(f"a checkpoint holds plain JSON, found {type(obj).__name__}")


def open_checkpoints(path: Path) -> SqliteSaver:
    """Checkpoints in the SQLite file ``path`` (made with its folder where absent); every commit is synced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, check_same_thread=False, timeout=30)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return SqliteSaver(connection, serde=PlainJson())
