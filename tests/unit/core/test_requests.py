"""A request is read strictly: every kind of bad input is refused, with its path, and all of it at once."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from tests.gate_samples import T, decided, request, tree

from regime_trading.core.errors import BadInput
from regime_trading.core.instants import instant_text, parse_instant
from regime_trading.core.request_reading import InvalidRequest, read_json, read_requests
from regime_trading.core.requests import PMRequest
from regime_trading.core.schemas import AccountState, PortfolioSnapshot, Proposal
from regime_trading.services.schemas import model_names, model_schema

NAN = float("nan")


def problems(given: Any) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        read_requests(given)
    return [problem.message for problem in caught.value.problems]


# --- what is accepted -------------------------------------------------------------------------------------


def test_a_minimal_request_is_accepted_as_text_bytes_mapping_and_model() -> None:
    whole = tree()
    text = json.dumps(whole)
    (from_text,), many = read_requests(text)
    assert not many
    for same in (text.encode(), whole, from_text):
        assert read_requests(same)[0] == (from_text,)
    assert read_requests([whole])[1]


def test_numbers_are_json_numbers_or_decimal_strings_and_exact() -> None:
    one = request(("portfolio.cash", 0.1), ("proposal.weights.KO", "0.1"), ("market.quotes.0.bid", 61))
    assert one.portfolio.cash == Decimal("0.1")
    assert one.proposal.weights["KO"] == Decimal("0.1")
    long = '{"schema_version": 1, "as_of"'
    text = json.dumps(tree()).replace('{"as_of"', long, 1).replace('"938000"', "938000.123456789012345678")
    assert read_requests(text)[0][0].portfolio.cash == Decimal("938000.123456789012345678")


@pytest.mark.parametrize(
    ("given", "ns"),
    [
        ("2026-11-20T15:30:00Z", T),
        ("2026-11-20T16:30:00+01:00", T),
        ("2026-11-20T15:30:00.000000001Z", T + 1),
        ("2026-11-20T15:30:00,5Z", T + 500_000_000),
        (str(T), T),
        (T, T),
        (dt.datetime(2026, 11, 20, 15, 30, tzinfo=dt.UTC), T),
    ],
)
def test_instants(given: Any, ns: int) -> None:
    assert parse_instant(given) == ns
    assert parse_instant(instant_text(ns)) == ns


@pytest.mark.parametrize(
    "given",
    [
        "2026-11-20T15:30:00",
        "2026-11-20",
        "now",
        "",
        True,
        1.5,
        None,
        10**19,
        dt.datetime.fromisoformat("2026-01-01"),
        "1e18",
    ],
)
def test_an_instant_without_a_zone_is_none(given: Any) -> None:
    with pytest.raises(ValueError, match="expected a time with its zone"):
        parse_instant(given)


def test_what_was_stored_before_still_loads() -> None:
    stored = (
        '{"account":"a/b","as_of_ns":5,"cash":"1.5","positions":[{"symbol":"A","qty":"2","avg_price":"3"}]}'
    )
    book = PortfolioSnapshot.model_validate_json(stored)
    assert (book.as_of_ns, book.plain_cash, book.positions[0].qty) == (5, Decimal("1.5"), 2)
    assert PortfolioSnapshot.model_validate_json(book.model_dump_json()) == book
    assert Proposal(proposal_id="p", as_of_ns=3, weights={}).as_of_ns == 3
    with pytest.raises(BadInput, match="cash of a/b: expected cash in account currency"):
        _ = PortfolioSnapshot(account="a/b", as_of_ns=1, cash={"EUR": Decimal(1)}).plain_cash


def test_a_request_and_its_state_survive_their_own_json() -> None:
    one = request()
    assert read_requests(one.model_dump_json())[0] == (one,)
    state = decided().state
    assert state is not None and AccountState.model_validate_json(state.model_dump_json()) == state


# --- what is refused --------------------------------------------------------------------------------------

ROWS: list[tuple[str, Any, str]] = [
    ("as_of", "2026-11-20T15:30:00", "as_of: expected a time with its zone"),
    ("as_of", 1_795_188_600, "as_of: expected nanoseconds since 1970"),
    ("as_of", ..., "as_of: expected a value, found nothing"),
    ("account", "core", "account: expected"),
    ("account", "North-Pier/core", "account: expected"),
    ("schema_version", 2, "schema_version: expected 1"),
    ("surprise", 1, "surprise: expected no such key"),
    ("portfolio", 5, "portfolio: expected an object, found 5"),
    ("portfolio.cash", "much", "portfolio.cash: expected a number or a decimal string, found 'much'"),
    ("portfolio.cash", True, "portfolio.cash: expected a number or a decimal string, found True"),
    ("portfolio.cash", None, "portfolio.cash: expected a number"),
    ("portfolio.cash", {"usd": 1}, "portfolio.cash.usd"),
    ("portfolio.cash", {"USD": "x"}, "portfolio.cash.USD: expected a number or a decimal string"),
    ("portfolio.cash", ..., "portfolio.cash: expected a value, found nothing"),
    ("portfolio.positions", {}, "portfolio.positions: expected a list"),
    ("portfolio.positions.0.qty", "NaN", "portfolio.positions[0].qty: expected a finite number"),
    ("portfolio.positions.0.qty", "Infinity", "portfolio.positions[0].qty: expected a finite number"),
    ("portfolio.positions.0.symbol", "K O", "portfolio.positions[0].symbol: expected"),
    ("portfolio.positions.0.avg_price", ..., "portfolio.positions[0].avg_price: expected a value, found nothing"),
    ("portfolio.positions.0.opened_at", "2027-01-01T00:00Z", "portfolio.positions[0].opened_at: expected a time not"),
    ("portfolio.cash", "1e400", "portfolio.cash: expected less than or equal to"),
    ("portfolio.positions.0.qty", -1e300, "portfolio.positions[0].qty: expected greater than or equal to"),
    ("portfolio.as_of", "2026-11-20T15:30:01Z", "portfolio.as_of: expected a time not after as_of"),
    ("portfolio.account", "north-pier/defensive", "portfolio.account: expected north-pier/core"),
    ("portfolio.margin_used", -1, "portfolio.margin_used: expected greater than or equal to 0"),
    ("portfolio.recon", {"status": "fine"}, "portfolio.recon.status: expected"),
    ("portfolio.recon", {"status": "ok", "count": True}, "portfolio.recon.count: expected a number, found True"),
    ("portfolio.traffic", {"orders_1s": -1}, "portfolio.traffic.orders_1s: expected greater than or equal to 0"),
    ("portfolio.traffic", {"orders_1s": 1.5}, "portfolio.traffic.orders_1s: expected"),
    (
        "portfolio.traffic",
        {"fills": [{"symbol": "KO", "side": "buy", "qty": 0, "px": 1, "ts": T}]},
        "portfolio.traffic.fills[0].qty: expected greater than 0",
    ),
    (
        "portfolio.working_orders",
        [{"client_order_id": "a", "symbol": "KO", "side": "both", "qty_open": 1, "intent": "entry"}],
        "portfolio.working_orders[0].side: expected",
    ),
    (
        "portfolio.working_orders",
        [{"client_order_id": "a", "symbol": "KO", "side": "buy", "qty_open": 1, "intent": "entry"}] * 2,
        "portfolio.working_orders: expected every client_order_id once, found a more than once",
    ),
    ("proposal.complete", ..., "proposal.complete: expected true"),
    ("proposal.as_of", "2026-11-20T15:31:00Z", "proposal.as_of: expected a time not after as_of"),
    ("proposal.confidence", 1.5, "proposal.confidence: expected less than or equal to 1"),
    ("proposal.weights", [], "proposal.weights: expected an object"),
    ("proposal.weights.KO", "ten", "proposal.weights.KO: expected a number or a decimal string"),
    ("market.quotes.1.symbol", "KO", "market.quotes: expected every symbol once, found KO more than once"),
    ("market.quotes.0.bid", [1], "market.quotes[0].bid: expected a number or a decimal string"),
    ("market.quotes.0.ts", "yesterday", "market.quotes[0].ts: expected a time with its zone"),
    ("market.instruments.1.symbol", "KO", "market.instruments: expected every symbol once"),
    ("market.status.KO", "shut", "market.status.KO: expected"),
    ("market.adv.KO", -5, "market.adv.KO: expected greater than or equal to 0"),
    ("market.fx", {"EUR": "x"}, "market.fx.EUR.rate: expected a number or a decimal string"),
    ("market.fx", {"EUR": {"rate": 1, "ts": "noon"}}, "market.fx.EUR.ts: expected a time with its zone"),
    ("market.provides", ["volume"], "market.provides: expected close among them"),
    ("market.provides", ["close", "bars"], "market.provides[1]: expected"),
    ("market.bar_s", 0, "market.bar_s: expected greater than or equal to 1"),
    ("market.regime.label", "calm", "market.regime.label: expected"),
    ("market.regime.confidence", -0.1, "market.regime.confidence: expected greater than or equal to 0"),
    ("market.covariance.symbols", ["KO", "KO"], "market.covariance.symbols: expected every symbol once"),
    ("market.covariance.matrix", [[0.03]], "market.covariance: expected 2 rows of 2 numbers"),
    ("market.covariance.matrix", [[-0.03, 0], [0, 0.1]], "market.covariance: expected a variance ≥ 0 of KO"),
    ("market.covariance.matrix", [[0.03, 0.01], [0.02, 0.1]], "market.covariance: expected a symmetric matrix"),
    ("market.covariance.matrix", [["NaN", 0], [0, 0.1]], "market.covariance.matrix[0][0]: expected a finite number"),
    ("market.covariance.matrix", [[True, 0], [0, 0.1]], "market.covariance.matrix[0][0]: expected a number, found"),
    ("market.scenarios", {"symbols": ["KO"], "returns": [[0.1, 0.2]]}, "market.scenarios: expected 1 returns in row 0"),
    ("market.events", [{"id": "x", "at": "2026-11-20T16:00"}], "market.events[0].at: expected"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), ROWS)
def test_bad_input_is_refused_with_its_path(path: str, value: Any, message: str) -> None:
    told = problems(json.dumps(tree((path, value))))
    assert any(one.startswith(message) for one in told), told
    assert all(": expected " in one and ", found " in one for one in told)


def test_every_problem_is_named_at_once() -> None:
    bad = tree(
        ("portfolio.cash", "x"),
        ("proposal.weights.KO", "y"),
        ("market.quotes.0.bid", "z"),
        ("market.bar_s", 0),
    )
    told = problems([tree(), bad])
    assert [one.split(":")[0] for one in told] == [
        "[1].portfolio.cash",
        "[1].proposal.weights.KO",
        "[1].market.quotes[0].bid",
        "[1].market.bar_s",
    ]
    with pytest.raises(BadInput) as caught:
        read_requests([tree(), bad])
    assert str(caught.value) == "; ".join(told) and caught.value.exit_code == 2


def test_times_after_the_request_are_named_together() -> None:
    late = "2026-11-20T15:30:01Z"
    told = problems(tree(("portfolio.as_of", late), ("proposal.as_of", late), ("proposal.complete", ...)))
    assert [one.split(":")[0] for one in told] == ["proposal.complete", "portfolio.as_of", "proposal.as_of"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": NaN}', "a: expected a finite number, found NaN"),
        ('{"a": [1, {"b": -Infinity}]}', "a[1].b: expected a finite number, found -Infinity"),
        ('{"a": {"b": 1, "b": 2}}', "a.b: expected the key once, found it twice"),
        ('[{"a": 1, "a": 2}]', "[0].a: expected the key once, found it twice"),
        ("{", "line 1, column 2: expected JSON, found text that is none"),
        ("", "line 1, column 1: expected JSON"),
        (b"\xff\xfe", "request: expected UTF-8 text"),
        ("[" * 100_000, "request: expected JSON of a sane depth"),
        ("NaN", "request: expected a finite number, found NaN"),
        (f'{{"a": {"9" * 5000}}}', "request: expected JSON of a sane depth and size"),
    ],
)
def test_text_that_is_no_strict_json(text: str | bytes, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_json(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("given", ["5", "null", '"text"', "[1]", "[null]"])
def test_a_request_is_an_object(given: str) -> None:
    assert all("expected a valid dictionary" in one or "an object" in one for one in problems(given))


def test_floats_that_are_none_are_refused_from_python_too() -> None:
    assert problems(tree(("market.quotes.0.last", NAN))) == [
        "market.quotes[0].last: expected a finite number, found nan"
    ]


def test_an_account_stands_once_in_a_list() -> None:
    assert problems([tree(), tree()]) == [
        "[1].account: expected every account once in a list, found north-pier/core again"
    ]


def state(**changes: Any) -> dict[str, Any]:
    made = decided().state
    assert made is not None
    return made.model_dump(mode="json") | changes


LATCH = {"rule_id": "CC-01", "trading_state": "LOCKED", "release": "DUAL", "since_ns": 1, "since_session": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"account": "north-pier/defensive"}, "state.account: expected north-pier/core"),
        ({"as_of_ns": T + 1}, "state.as_of: expected a time not after as_of"),
        ({"latches": [LATCH]}, "state.latches: expected rules that latch, found CC-01"),
        ({"trips": {"CC-02": 1}}, "state.trips: expected rules that latch, found CC-02"),
        ({"trips": {"LD-01": 500}}, "state.trips.LD-01: expected less than or equal to 127"),
        ({"timers": {"XX-99": {"KO": 1}}}, "state.timers: expected rule ids, found XX-99"),
        ({"unclean": {"DS-01": {"KO": -1}}}, "state.unclean.DS-01.KO: expected greater than or equal to 0"),
        ({"units": "NaN"}, "state.units: expected a finite number"),
        ({"day_id": 10**30}, "state.day_id: expected"),
        ({"recent": [{"ts_ns": 1, "unit": 1}] * 17}, "state.recent: expected"),
        ({"rung": 8}, "state.rung: expected -1 to 7, found 8"),
        ({"kill_level": 5}, "state.kill_level: expected less than or equal to 4"),
    ],
)
def test_a_state_that_cannot_be_one_is_refused(changes: dict[str, Any], message: str) -> None:
    told = problems(tree(state=state(**changes)))
    assert any(one.startswith(message) for one in told), told


@pytest.mark.parametrize(
    "name", ["PMRequest", "Proposal", "MarketSnapshot", "AccountState", "PortfolioSnapshot", "PMDecision",
             "ConstraintSnapshot", "TraderProfile"],
)  # fmt: skip
def test_public_models_have_a_schema(name: str) -> None:
    assert name in model_names()
    assert model_schema(name)["title"] == name
    assert PMRequest.model_json_schema()["properties"].keys() >= {"as_of", "account", "state"}
