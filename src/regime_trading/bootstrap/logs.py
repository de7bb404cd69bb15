"""Logs as lines of JSON: one line per event whatever is in it, UTC, without secrets."""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

from regime_trading.core.actors import MASK, masked_text

_CONTEXT: ContextVar[dict[str, str] | None] = ContextVar("log_context", default=None)
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_DEPTH = 3
_SECRET = re.compile(
    r"pass(word|wd|phrase)|secret|token|cookie|authori[sz]ation|api[_-]?key|totp", re.IGNORECASE
)


@contextmanager
def log_context(**names: str) -> Iterator[None]:
    """What every line of this task says beside its event: ``request_id``, ``firm``."""
    token = _CONTEXT.set({**(_CONTEXT.get() or {}), **names})
    try:
        yield
    finally:
        _CONTEXT.reset(token)


class JsonLines(logging.Formatter):
    """``{"ts", "level", "event", "logger", …}``. Text is masked and cut (``core.actors.masked_text``); an error is its
    type, what it says and where it was raised, never a traceback with its values."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, ASCII, without control characters."""
        line: dict[str, Any] = {
            "ts": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": _plain(_said(record)),
            "logger": record.name,
        }
        line |= {name: _named(name, value) for name, value in (_CONTEXT.get() or {}).items()}
        line |= {
            name: _named(name, value)
            for name, value in vars(record).items()
            if name not in _OWN and name not in line
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _error(record.exc_info[1])
        return json.dumps(line, ensure_ascii=True)


def configure_logs(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send every log of this process to ``stream`` (stderr) as lines of JSON, and nothing anywhere else."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _said(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit: what was meant is still worth a line
        return str(record.msg)


def _error(error: BaseException) -> dict[str, str]:
    trace, where = error.__traceback__, ""
    while trace is not None:
        where = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return {"type": type(error).__name__, "says": masked_text(str(error))[0], "where": where}


def _plain(value: Any, depth: int = 0) -> Any:
    """Numbers as they are, text masked, containers to a depth, anything else as masked text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if depth < _DEPTH and isinstance(value, dict):
        return {masked_text(str(key))[0]: _named(str(key), item, depth + 1) for key, item in value.items()}
    if depth < _DEPTH and isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    return masked_text(str(value))[0]


def _named(name: str, value: Any, depth: int = 0) -> Any:
    """A text whose name says that it is a secret is one."""
    if isinstance(value, str) and _SECRET.search(name):
        return MASK
    return _plain(value, depth)
