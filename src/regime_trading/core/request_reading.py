"""Requests from JSON or plain data, strictly.

Unknown keys, keys that stand there twice, NaN and Infinity, numbers that are none and times without a zone are refused,
all of them at once, each with its path.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from regime_trading.core.errors import BadInput
from regime_trading.core.portfolio import CASH_FORMS
from regime_trading.core.requests import PMRequest
from regime_trading.core.risk_layers import expected_found

MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a request."""

    path: str
    expected: str
    found: str

    @property
    def message(self) -> str:
        """As one sentence."""
        return f"{self.path}: expected {self.expected}, found {self.found}"


class InvalidRequest(BadInput):
    """A request that cannot be read; ``problems`` has everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        super().__init__(expected=first.expected, found=first.found, where=first.path)
        self.args = ("; ".join(problem.message for problem in self.problems),)


class _Object(dict[str, Any]):
    """A JSON object that remembers keys that stand there twice."""

    twice: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _NoNumber:
    """NaN, Infinity or -Infinity, which are no JSON."""

    token: str


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        made.twice = tuple(name for name in dict.fromkeys(names) if names.count(name) > 1)
    return made


def read_json(data: str | bytes) -> Any:
    """Plain data of strict JSON: numbers exact, no NaN or Infinity, no key twice.

    Raises
    ------
    InvalidRequest
        Everything that is wrong, each with its path; or the place at which it stops being JSON.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        if len(text) > MAX_BYTES:
            raise InvalidRequest([Problem("request", f"at most {MAX_BYTES >> 20} MiB", f"{len(text)} bytes")])
        value = json.loads(text, parse_float=Decimal, parse_constant=_NoNumber, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequest([Problem(place, "JSON", f"text that is none ({error.msg})")]) from error
    except UnicodeDecodeError as error:
        raise InvalidRequest([Problem("request", "UTF-8 text", f"byte {error.start} is none")]) from error
    except (RecursionError, ValueError) as error:
        raise InvalidRequest([Problem("request", "JSON of a sane depth and size", str(error))]) from error
    problems = list(_impure(value, ""))
    if problems:
        raise InvalidRequest(problems)
    return value


def _impure(value: Any, path: str) -> Iterator[Problem]:
    if isinstance(value, _NoNumber):
        yield Problem(path or "request", "a finite number", value.token)
    elif isinstance(value, _Object):
        for name in value.twice:
            yield Problem(_join(path, name), "the key once", "it twice")
        for name, item in value.items():
            yield from _impure(item, _join(path, name))
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from _impure(item, f"{path}[{n}]")


def _join(path: str, step: str | int) -> str:
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if path else step


def read_requests(given: Any) -> tuple[tuple[PMRequest, ...], bool]:
    """Requests, and whether a list was given.

    Parameters
    ----------
    given : str, bytes, mapping, PMRequest, or a sequence of mappings and PMRequests
        Text and bytes are JSON.

    Raises
    ------
    InvalidRequest
        Everything that is wrong with all of them, each with its path (``[2].market.quotes[0].bid`` in a list).
    """
    value = read_json(given) if isinstance(given, str | bytes) else given
    many = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    items = list(value) if many else [value]
    requests, problems = list[PMRequest](), list[Problem]()
    for n, item in enumerate(items):
        try:
            requests.append(item if isinstance(item, PMRequest) else PMRequest.model_validate(_plain(item)))
        except ValidationError as error:
            problems += _problems(error, f"[{n}]" if many else "")
    named_twice = _account_twice(requests) if not problems else []
    if problems or named_twice:
        raise InvalidRequest([*problems, *named_twice])
    return tuple(requests), many


def _plain(item: Any) -> Any:
    """A request must be an object; anything else is left for the model to refuse."""
    return dict(item) if isinstance(item, Mapping) else item


def _account_twice(requests: Sequence[PMRequest]) -> list[Problem]:
    seen, twice = set[str](), list[Problem]()
    for n, request in enumerate(requests):
        if request.account in seen:
            twice.append(
                Problem(f"[{n}].account", "every account once in a list", f"{request.account} again")
            )
        seen.add(request.account)
    return twice


def _problems(error: ValidationError, root: str) -> Iterator[Problem]:
    for detail in error.errors(include_url=False):
        path = root
        for step in detail["loc"]:
            path = path if step in CASH_FORMS else _join(path, step)
        if detail["type"] == "request":
            for where, expected, found in detail["ctx"]["problems"]:
                yield Problem(_join(path, where), expected, found)
        elif detail["type"] == "missing":
            yield Problem(path, "a value", "nothing")
        elif detail["type"] == "extra_forbidden":
            yield Problem(path, "no such key", "it")
        else:
            expected, found = expected_found(detail["msg"], detail["input"])
            yield Problem(path or "request", _WORDS.get(detail["type"], expected), found[:80])


_WORDS = {
    "decimal_type": "a number or a decimal string",
    "decimal_parsing": "a number or a decimal string",
    "float_parsing": "a number",
    "int_parsing": "a whole number",
    "dict_type": "an object",
    "model_type": "an object",
    "tuple_type": "a list",
}
