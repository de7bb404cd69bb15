"""Pages: lists that go on at an opaque cursor, stable while entries arrive."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import orjson
from pydantic import Field

from regime_trading.core.canonical import content_hash
from regime_trading.core.errors import BadInput
from regime_trading.services.views.base import Shown

MOST = 500
_HASH_DIGITS = 16
_LONGEST = 600

T = TypeVar("T")
Row = TypeVar("Row")


class Page(Shown, Generic[T]):
    """Some rows of a list, in its order."""

    items: tuple[T, ...] = Field(description="at most as many rows as were asked for")
    next_cursor: str | None = Field(description="asks for the rows after these; null where there are none")


def require_limit(limit: int) -> int:
    """``limit`` where a page may have so many rows.

    Raises
    ------
    BadInput
        Fewer than 1 or more than ``MOST``.
    """
    if not 1 <= limit <= MOST:
        raise BadInput(expected=f"1 to {MOST} rows", found=str(limit), where="limit")
    return limit


def cursor_of(asked: Any, key: Sequence[Any]) -> str:
    """Cursor of a list that was asked for by ``asked`` (plain values), after the row with ``key``."""
    plain = [content_hash(asked)[:_HASH_DIGITS], *map(_text, key)]
    return base64.urlsafe_b64encode(orjson.dumps(plain)).decode().rstrip("=")


def key_in(cursor: str | None, asked: Any, parts: int) -> tuple[str, ...] | None:
    """Key of the row before the page that a cursor asks for, as text; None at the beginning of the list.

    Raises
    ------
    BadInput
        A cursor of another list, of other filters, or none at all.
    """
    if cursor is None:
        return None
    try:
        if len(cursor) > _LONGEST or not cursor.isascii():
            raise ValueError("too long")
        padded = cursor + "=" * (-len(cursor) % 4)
        found = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        digest, *key = found
        if len(key) != parts or not all(isinstance(part, str) for part in (digest, *key)):
            raise ValueError("another key")
    except (ValueError, TypeError, binascii.Error) as error:
        raise BadInput(expected="a cursor of this list", found="another text", where="cursor") from error
    if digest != content_hash(asked)[:_HASH_DIGITS]:
        raise BadInput(expected="a cursor of the same filters", found="one of others", where="cursor")
    return tuple(key)


def page_of(
    rows: Sequence[Row],
    asked: Any,
    limit: int,
    show: Callable[[Row], T],
    key: Callable[[Row], Sequence[Any]],
) -> Page[T]:
    """A page of ``rows``, of which there is one more than ``limit`` where the list goes on."""
    kept = rows[:limit]
    more = len(rows) > limit
    return Page(items=tuple(map(show, kept)), next_cursor=cursor_of(asked, key(kept[-1])) if more else None)


def listed(
    rows: Sequence[Row],
    asked: Any,
    cursor: str | None,
    limit: int,
    show: Callable[[Row], T],
    key: Callable[[Row], tuple[str, ...]],
) -> Page[T]:
    """A page of a whole list whose keys are texts that only descend."""
    after = key_in(cursor, asked, len(key(rows[0])) if rows else 1)
    rest = rows if after is None else [row for row in rows if key(row) < after]
    return page_of(rest[: require_limit(limit) + 1], asked, limit, show, key)


def _text(part: Any) -> str:
    return str(part)
