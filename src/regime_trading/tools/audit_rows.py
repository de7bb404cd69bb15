"""Rows of the audit trail, checked by column: which of them hold plainly.

A body holds plainly where it is one canonical JSON object (``core.canonical``) without escapes, and says what the
columns beside it say. That is the common case, told in one pass over the bytes. A row that does not is not yet
wrong: :func:`regime_trading.core.audit.verify_chain` decides about it, and what holds plainly holds there too (held by
a property test).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from regime_trading.core.audit import SCHEMA_NAME, SCHEMA_VERSION
from regime_trading.core.numbers import B1, I8
from regime_trading.core.record_files import Rows, RunManifest, Text

Bytes = npt.NDArray[np.uint8]

_DEPTH = 32
_MAX_DIGITS = 15  #: of a plain integer; any such fits 53 bits
_INT64_DIGITS = 19
#: Bytes of a plain string: none that ends it, escapes, or must be escaped. Whether others are UTF-8 is asked apart.
_PLAIN = np.array([code >= 32 and chr(code) not in '"\\' for code in range(256)])
_PLAIN_KEY = _PLAIN & (np.arange(256) < 128)
#: Header fields that are columns or constants, in the order of their names.
_FIELDS = (
    "account_id",
    "env",
    "event_type",
    "feature_set_version",
    "firm_id",
    "rule_id",
    "run_id",
    "schema_name",
    "schema_version",
    "seq",
    "ts_event_ns",
)
_QUOTE, _COMMA, _COLON, _MINUS = (np.uint8(ord(char)) for char in '",:-')
_OPEN, _CLOSE, _ARRAY, _END = (np.uint8(ord(char)) for char in "{}[]")
_ZERO, _EIGHT, _NINE = (np.uint8(ord(char)) for char in "089")


def plainly_hold(rows: Rows, run: RunManifest) -> B1:
    """Rows whose body is canonical, plain, and says what the columns say, and which belong to ``run``.

    Returns
    -------
    bool [rows]
    """
    who = (
        (rows.firm_id, run.firm_id),
        (rows.account_id, run.account_id),
        (rows.run_id, run.run_id),
        (rows.env, run.env),
    )
    if not all(column.is_all(text) for column, text in who):
        return np.zeros(len(rows), dtype=np.bool_)
    data, starts, ends = _expected(rows)
    body = rows.body
    holds = _check(body.data, body.offsets, data, starts, ends, rows.seq, rows.ts_event_ns, *_NAMES)
    if not body.data[body.offsets[0] : body.offsets[-1]].tobytes().isascii():
        for row in np.flatnonzero(holds).tolist():
            holds[row] = _is_utf8(body[row])
    return holds


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _expected(rows: Rows) -> tuple[Bytes, I8, I8]:
    """For each row, the bytes that the value of each of ``_FIELDS`` must be (those of numbers are compared apart)."""
    columns: dict[str, Text] = {name: getattr(rows, name) for name in _FIELDS[:7]}
    pieces, starts, ends, at = [], [], [], 0
    for name in _FIELDS[:9]:
        if name in columns:
            found = columns[name]
            starts.append(found.offsets[:-1] + at)
            ends.append(found.offsets[1:] + at)
            pieces.append(found.data)
        else:
            text = SCHEMA_NAME if name == "schema_name" else str(SCHEMA_VERSION)
            starts.append(np.full(len(rows), at))
            ends.append(np.full(len(rows), at + len(text)))
            pieces.append(np.frombuffer(text.encode(), np.uint8))
        at += len(pieces[-1])
    return np.concatenate(pieces), np.column_stack(starts), np.column_stack(ends)


def _names() -> tuple[Bytes, I8]:
    data = np.frombuffer("".join(_FIELDS).encode(), np.uint8)
    return data, np.cumsum([0, *map(len, _FIELDS)]).astype(np.int64)


_NAMES = _names()


@njit(cache=True)
def _order(a: Bytes, a0: int, a1: int, b: Bytes, b0: int, b1: int) -> int:
    """-1, 0 or 1 as ``a[a0:a1]`` sorts before, with or after ``b[b0:b1]``."""
    for i in range(min(a1 - a0, b1 - b0)):
        if a[a0 + i] != b[b0 + i]:
            return -1 if a[a0 + i] < b[b0 + i] else 1
    return (a1 - a0 > b1 - b0) - (a1 - a0 < b1 - b0)


@njit(cache=True)
def _string_end(data: Bytes, at: int, end: int) -> int:
    """Where the string that begins at the quote ``at`` closes; -1 where it is not plain."""
    i = at + 1
    while i < end and _PLAIN[data[i]]:
        i += 1
    return i if i < end and data[i] == _QUOTE else -1


@njit(cache=True)
def _key_end(data: Bytes, at: int, end: int) -> int:
    """As :func:`_string_end`, of a key, which must be ASCII."""
    i = at + 1
    while i < end and _PLAIN_KEY[data[i]]:
        i += 1
    return i if i < end and data[i] == _QUOTE else -1


@njit(cache=True)
def _integer_end(data: Bytes, at: int, end: int) -> int:
    """End of the integer that begins at ``at``; -1 where it is not the one spelling of one of at most 15 digits."""
    i = at + 1 if data[at] == _MINUS else at
    first = i
    while i < end and _ZERO <= data[i] <= _NINE:
        i += 1
    digits = i - first
    if digits < 1 or digits > _MAX_DIGITS or (data[first] == _ZERO and i - at > 1):
        return -1
    return i


@njit(cache=True)
def _word_end(data: Bytes, at: int, end: int) -> int:
    """End of ``true``, ``false`` or ``null`` at ``at``; -1 where there is none."""
    if end - at >= 4:
        a, b, c, d = data[at], data[at + 1], data[at + 2], data[at + 3]
        if a == 116 and b == 114 and c == 117 and d == 101:
            return at + 4
        if a == 110 and b == 117 and c == 108 and d == 108:
            return at + 4
        if end - at >= 5 and a == 102 and b == 97 and c == 108 and d == 115 and data[at + 4] == 101:
            return at + 5
    return -1


@njit(cache=True)
def _number(data: Bytes, at: int, end: int, limit: int) -> tuple[bool, int]:
    """The integer whose only spelling is ``data[at:end]``."""
    negative = end > at and data[at] == _MINUS
    first = at + 1 if negative else at
    digits = end - first
    if digits < 1 or digits > limit or (data[first] == _ZERO and (digits > 1 or negative)):
        return False, 0
    if digits == _INT64_DIGITS and data[first] > _EIGHT:
        return False, 0  # it might not fit
    value = 0
    for i in range(first, end):
        if data[i] < _ZERO or data[i] > _NINE:
            return False, 0
        value = value * 10 + int(data[i] - _ZERO)
    return True, -value if negative else value


@njit(cache=True)
def _field_holds(
    field: int, data: Bytes, at: int, end: int, wanted: Bytes, w0: int, w1: int, seq: int, ts_ns: int
) -> bool:
    """Whether the value ``data[at:end]`` of a header field is the one its column holds."""
    quoted = data[at] == _QUOTE
    if field == 9:
        holds, value = _number(data, at, end, _MAX_DIGITS)
        return holds and value == seq
    if field == 8:
        return not quoted and _order(data, at, end, wanted, w0, w1) == 0
    if not quoted:
        return False
    if field == 10:
        holds, value = _number(data, at + 1, end - 1, _INT64_DIGITS)
        return holds and value == ts_ns
    return _order(data, at + 1, end - 1, wanted, w0, w1) == 0


@njit(cache=True)
def _holds(
    data: Bytes,
    begin: int,
    end: int,
    wanted: Bytes,
    starts: I8,
    ends: I8,
    seq: int,
    ts_ns: int,
    names: Bytes,
    name_at: I8,
    key0: I8,
    key1: I8,
    is_object: B1,
) -> bool:
    depth, at, field = 0, begin, 0
    matched = -1  # header field whose value comes next
    after_value = False
    while at < end:
        c = data[at]
        if after_value:
            after_value = False
            if c == _COMMA:
                at += 1
                if at == end or data[at] == _CLOSE or data[at] == _END:
                    return False
            elif c == (_CLOSE if is_object[depth] else _END):
                depth -= 1
                at += 1
                if depth == 0:
                    return at == end and field == len(name_at) - 1
                after_value = True
                continue
            else:
                return False
        # a key, where this is an object
        if depth > 0 and is_object[depth]:
            if data[at] == _CLOSE:  # only directly after the opening brace
                if key0[depth] >= 0:
                    return False
                depth -= 1
                at += 1
                if depth == 0:
                    return False
                after_value = True
                continue
            if data[at] != _QUOTE:
                return False
            close = _key_end(data, at, end)
            if close < 0 or close + 1 >= end or data[close + 1] != _COLON:
                return False
            if key0[depth] >= 0 and _order(data, key0[depth], key1[depth], data, at + 1, close) >= 0:
                return False
            key0[depth], key1[depth] = at + 1, close
            if depth == 1 and field < len(name_at) - 1:
                order = _order(data, at + 1, close, names, name_at[field], name_at[field + 1])
                if order > 0:
                    return False
                matched = field if order == 0 else -1
                field += order == 0
            at = close + 2
            if at >= end:
                return False
        elif depth > 0 and data[at] == _END:  # an empty array: only directly after the opening bracket
            if key0[depth] >= 0:
                return False
            depth -= 1
            at += 1
            after_value = True
            continue
        if depth > 0 and not is_object[depth]:
            key0[depth] = 0
        # a value
        c = data[at]
        if c in (_OPEN, _ARRAY):
            if matched >= 0 or depth + 1 >= _DEPTH or (depth == 0 and c == _ARRAY):
                return False
            depth += 1
            is_object[depth] = c == _OPEN
            key0[depth] = -1
            at += 1
            continue
        if depth == 0:
            return False
        if c == _QUOTE:
            stop = _string_end(data, at, end) + 1
        elif c == _MINUS or _ZERO <= c <= _NINE:
            stop = _integer_end(data, at, end)
        else:
            stop = _word_end(data, at, end)
        if stop <= 0:
            return False
        if matched >= 0:
            w = min(matched, 8)
            if not _field_holds(matched, data, at, stop, wanted, starts[w], ends[w], seq, ts_ns):
                return False
            matched = -1
        at = stop
        after_value = True
    return False


@njit(cache=True)
def _check(
    data: Bytes,
    offsets: I8,
    wanted: Bytes,
    starts: I8,
    ends: I8,
    seq: I8,
    ts_ns: I8,
    names: Bytes,
    name_at: I8,
) -> B1:
    rows = len(seq)
    holds = np.zeros(rows, dtype=np.bool_)
    key0, key1 = np.zeros(_DEPTH, dtype=np.int64), np.zeros(_DEPTH, dtype=np.int64)
    is_object = np.zeros(_DEPTH, dtype=np.bool_)
    for r in range(rows):
        holds[r] = _holds(
            data, offsets[r], offsets[r + 1], wanted, starts[r], ends[r], seq[r], ts_ns[r], names, name_at,
            key0, key1, is_object,
        )  # fmt: skip
    return holds
