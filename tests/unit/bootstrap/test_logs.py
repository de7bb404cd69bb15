"""One line per event, whatever is in it, and no secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regime_trading.bootstrap.logs import JsonLines, configure_logs, log_context

SECRET = "Bearer abcdef0123456789"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    found = io.StringIO()
    configure_logs(found)
    yield found
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    text = stream.getvalue()
    assert text.isascii()
    return [json.loads(line) for line in text.split("\n")[:-1]]


def test_a_line_says_when_how_grave_and_for_whom(stream: io.StringIO) -> None:
    with log_context(request_id="r-1"), log_context(firm="alpha"):
        logging.getLogger("regime.x").warning(
            "job %s ended", "job-1", extra={"seconds": 1.5, "status": "done"}
        )
    logging.getLogger("regime.x").info("outside")
    one, two = lines(stream)
    assert one["ts"].endswith("+00:00")
    del one["ts"]
    assert one == {
        "level": "warning", "event": "job job-1 ended", "logger": "regime.x", "request_id": "r-1",
        "firm": "alpha", "seconds": 1.5, "status": "done",
    }  # fmt: skip
    assert "firm" not in two


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=200), st.text(max_size=50), st.floats())
def test_nothing_can_begin_a_line_of_its_own(
    stream: io.StringIO, said: str, more: str, number: float
) -> None:
    stream.seek(0)
    stream.truncate()
    forged = f'{said}\n{{"level": "critical"}}\r\u2028\x1b[2K'
    with log_context(request_id=more):
        logging.getLogger("x").error("%s", forged, extra={"more": {more: [forged, number]}})
    (one,) = lines(stream)
    assert one["level"] == "error" and "\n" not in one["event"] and "\x1b" not in one["event"]


def test_no_secret_gets_into_a_line(stream: io.StringIO) -> None:
    log = logging.getLogger("x")
    log.info("header %s of ann@alpha.example", SECRET)
    log.info(
        "x", extra={"headers": {"Authorization": "abc", "cookie": "short"}, "password": "pw", "n": [SECRET]}
    )
    try:
        raise ValueError(f"refused {SECRET}")
    except ValueError:
        log.exception("failed")
    text = stream.getvalue()
    for secret in ("abcdef0123456789", "ann@", '"abc"', "short", '"pw"', "Traceback"):
        assert secret not in text, secret
    error = lines(stream)[-1]["error"]
    assert error["type"] == "ValueError" and error["where"].startswith("test_logs.py:")


def test_arguments_that_do_not_fit_cost_no_line() -> None:
    record = logging.makeLogRecord({"msg": "%d of %s", "args": ("a",), "levelname": "INFO", "name": "x"})
    assert json.loads(JsonLines().format(record))["event"] == "%d of %s"


def test_what_uvicorn_says_is_a_line_too(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").info("started", extra={"color_message": "x"})
    (one,) = lines(stream)
    assert (one["event"], one["logger"]) == ("started", "uvicorn.error") and "color_message" not in one
