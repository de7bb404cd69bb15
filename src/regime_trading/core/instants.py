"""Instants as they arrive from outside: ISO 8601 with a zone, or integer nanoseconds; inside they are nanoseconds."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

EARLIEST_NS, LATEST_NS = -(2**63), 2**63 - 1
_FRACTION = re.compile(r"[.,](\d{1,9})\d*")
_WHOLE = re.compile(r"[-+]?\d{1,19}")
_EXPECTED = "expected a time with its zone (2026-11-20T14:30:00Z) or whole nanoseconds"


def parse_instant(value: Any) -> int:
    """UTC nanoseconds of an instant.

    Parameters
    ----------
    value : int, str or datetime
        Nanoseconds since the epoch (also as text), ISO 8601 text with an offset or ``Z``, or an aware datetime.

    Raises
    ------
    ValueError
        A time without a zone, a date alone, a number that is not whole, or anything else.
    """
    found: int | None = None
    if isinstance(value, dt.datetime):
        found = _aware(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        found = value
    elif isinstance(value, str):
        found = int(value) if _WHOLE.fullmatch(value) else _iso(value)
    if found is None or not EARLIEST_NS <= found <= LATEST_NS:
        raise ValueError(f"{_EXPECTED}, found {str(value)[:60]!r}")
    return found


def _iso(text: str) -> int | None:
    """Nanoseconds of ISO text, all nine digits of its fraction kept; None where it is none or has no zone."""
    fraction = _FRACTION.search(text)
    try:
        whole = _aware(dt.datetime.fromisoformat(_FRACTION.sub("", text, count=1)))
    except ValueError:
        return None
    if whole is None or fraction is None:
        return whole
    return whole + int(fraction[1].ljust(9, "0"))


def _aware(moment: dt.datetime) -> int | None:
    if moment.tzinfo is None or moment.utcoffset() is None:
        return None
    since = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


def instant_text(ts_ns: int) -> str:
    """ISO 8601 text of UTC nanoseconds, to the second where it is whole."""
    moment = dt.datetime.fromtimestamp(ts_ns // 1_000_000_000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    rest = ts_ns % 1_000_000_000
    return f"{moment}Z" if rest == 0 else f"{moment}.{rest:09d}Z"


Instant = Annotated[int, BeforeValidator(parse_instant)]


def named(name: str, default: Any = ...) -> Any:
    """A field that is called ``name`` outside and ``name_ns`` inside; both are read."""
    return Field(default=default, validation_alias=AliasChoices(name, f"{name}_ns"))
