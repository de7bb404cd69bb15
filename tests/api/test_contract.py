"""The document and the server agree: requests made from the document, by each role, against a real server."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis.checks import CHECKS
from tests.api.installation import Browser, Installation, installed
from tests.properties.budget import LEAST

from regime_trading.api.limits import Limiter
from regime_trading.bootstrap.server import LOG
from regime_trading.core.access import Role

LEAVING = {"log_out", "end_session", "end_user_sessions", "change_password"}  #: end the session that asks
#: What is legal by its schema and not by what it says (a cursor, an id) is answered with 400 or 404.
LEFT_OUT = {"positive_data_acceptance"}
SMALL, LONG, STEPS = 2, 50, 50  #: requests per operation and role, in short and in long; sequences in long
REAL = {"firm": "north-pier", "account": "core", "rule_id": "CC-01", "symbol": "AAPL"}


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, _keys_and_witness: None, database: str
) -> Iterator[Installation]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    errors: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Limiter, "take", lambda *_: {})
        patch.setattr(LOG, "error", lambda said, *rest, **_: errors.append(said % rest if rest else said))
        with installed(tmp_path_factory.mktemp("contract"), home=f"http://localhost:{port}") as found:
            server = uvicorn.Server(
                uvicorn.Config(found.app, port=port, log_config=None, server_header=False)
            )
            thread = threading.Thread(target=server.run, daemon=True)
            thread.start()
            while not server.started:
                assert thread.is_alive()
            yield found
            server.should_exit = True
            thread.join(30)
    assert not [one for one in errors if "could not be recorded" in one], "every refusal is in the record"


@pytest.fixture(scope="module")
def people(place: Installation) -> dict[str, Browser | None]:
    found: dict[str, Browser | None] = {"nobody": None}
    for role in Role:
        found[role.value] = place.invite(
            "north-pier", f"{role.value}.x@north-pier.example", (role.value, None)
        )
    return found


def sent_by(browser: Browser | None, home: str) -> dict[str, str]:
    headers = {"x-regime": "1", "origin": home, "if-match": "*"}
    if browser is not None:
        headers["cookie"] = "; ".join(f"{name}={value}" for name, value in browser.client.cookies.items())
    return headers


def made_real(case: Any) -> None:
    """Names of what is there in the place of made-up ones, and nobody else's token."""
    for name in ("Authorization", "authorization"):
        (case.headers or {}).pop(name, None)
    (case.cookies or {}).clear()
    for name, real in REAL.items():
        if name in (case.path_parameters or {}):
            case.path_parameters[name] = real


def schema_of(place: Installation) -> Any:
    """The document without what ends the session that asks."""
    schema = schemathesis.openapi.from_dict(place.app.openapi())
    schema.config.checks.negative_data_rejection.expected_statuses += [
        "413"
    ]  # too long is refused before it is read
    return schema.exclude(operation_id=sorted(LEAVING))


def left_out() -> list[Any]:
    return [check for check in CHECKS.get_all() if check.__name__ in LEFT_OUT]


def is_in(place: Installation, headers: dict[str, str]) -> bool:
    """Whether a session still counts."""
    return httpx.get(f"{place.home}/api/v1/me", headers=headers).status_code == 200


def figures(who: str, said: Counter[int], capsys: pytest.CaptureFixture[str]) -> None:
    by_kind = ", ".join(f"{status} {count}" for status, count in sorted(said.items()))
    with capsys.disabled():
        print(f"\n{who}: {sum(said.values())} requests, {by_kind}", end="")


@pytest.mark.parametrize("who", ["nobody", *Role])
def test_every_operation(
    place: Installation, people: dict[str, Browser | None], who: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No server error, nothing outside its schema, nobody let in unasked."""
    schema, said = schema_of(place), Counter[int]()
    headers, unchecked = sent_by(people[who], place.home), left_out()
    examples, tried = SMALL if LEAST <= 500 else LONG, 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            made_real(case)
            response = case.call_and_validate(
                base_url=place.home, headers=headers, excluded_checks=unchecked, timeout=30
            )
            said[response.status_code] += 1

        check()
        tried += 1
    assert tried > 50
    figures(who, said, capsys)
    assert (people[who] is None) or is_in(place, headers), "whoever asked was put out"


@pytest.mark.full
@pytest.mark.parametrize("who", list(Role))
def test_one_thing_after_another(
    place: Installation, people: dict[str, Browser | None], who: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an answer links to is asked for with what it holds: drafts are applied, halts ended, jobs cancelled."""
    schema, said = schema_of(place), Counter[int]()
    headers, unchecked, found = sent_by(people[who], place.home), left_out(), list[str]()

    class Machine(schema.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"base_url": place.home, "headers": headers, "timeout": 30}

        def before_call(self, case: Any) -> None:
            made_real(case)

        def validate_response(self, response: Any, case: Any, *_: Any, **more: Any) -> None:
            said[response.status_code] += 1
            sent = self.get_call_kwargs(case)
            try:
                case.validate_response(
                    response, excluded_checks=unchecked, headers=headers, transport_kwargs=sent
                )
            except BaseExceptionGroup as failures:
                found.append(str(failures))
                raise

    # What a server holds is another thing the second time: what cannot be generated again says nothing about it.
    with suppress(FlakyStrategyDefinition):
        Machine.run(
            settings=settings(
                max_examples=STEPS,
                stateful_step_count=8,
                deadline=None,
                database=None,
                phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            )
        )
    assert not found, found[0]
    figures(f"{who}, in sequence", said, capsys)
    assert sum(said[status] for status in (200, 201, 202, 204)) > 0
