"""The gate's answers: the market and the books behind them, what missing data does, and that bytes never move."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gate_samples import (
    CORE,
    DEFENSIVE,
    GROWTH,
    ROOT,
    T,
    answers,
    changed,
    codes,
    decided,
    outcome,
    request,
    shipped,
    tree,
    weights,
)

from regime_trading.core.errors import BadInput
from regime_trading.core.request_reading import InvalidRequest, read_requests
from regime_trading.core.requests import PMRequest
from regime_trading.core.rules import TradingState
from regime_trading.core.schemas import Mode, Outcome, PMDecision, PortfolioSnapshot
from regime_trading.core.trader_profile import in_mode
from regime_trading.engine.request_books import Subject
from regime_trading.engine.request_firm import Sibling
from regime_trading.engine.request_market import market_of
from regime_trading.engine.requests import decide_requests
from regime_trading.guards.facts import OPEN, UNKNOWN_STATUS
from regime_trading.guards.snapshot import CROSSED_BOOK, LOCKED_BOOK, NO_BOOK, TWO_SIDED, Market

S = 10**9


def market(*changes: tuple[str, Any], reference: dict[str, float] | None = None) -> Market:
    return market_of(request(*changes).market, ("KO", "XOM", "ZZZ"), T, "USD", reference or {}, shipped()[0])


def sent(decision: PMDecision) -> dict[str, Decimal]:
    """Quantity by symbol, whatever the slices."""
    total: dict[str, Decimal] = {}
    for one in decision.orders:
        total[one.symbol] = total.get(one.symbol, Decimal(0)) + one.qty
    return total


def text(decision: PMDecision) -> str:
    return decision.model_dump_json()


# --- the market -------------------------------------------------------------------------------------------


def test_price_is_the_exact_middle_and_what_is_not_said_is_unknown() -> None:
    found = market()
    assert found.price.tolist()[:2] == [62.0, 110.01] and np.isnan(found.price[2])
    assert found.spread_bps[0] == pytest.approx(2 / 62 * 100) and np.isnan(found.spread_bps[2])
    assert found.book.tolist() == [TWO_SIDED, TWO_SIDED, NO_BOOK]
    assert found.sigma[:2] == pytest.approx(np.sqrt([0.03 / 252, 0.08 / 252])) and np.isnan(found.sigma[2])
    assert found.correlation[0, 1] == pytest.approx(0.01 / np.sqrt(0.03 * 0.08))
    assert found.correlation[0, 0] == 1.0 and np.isnan(found.correlation[2]).all()
    assert found.n_obs.tolist() == [252, 252, 0]
    rho = 0.01 / np.sqrt(0.03 * 0.08)
    assert found.condition == pytest.approx((1 + rho) / (1 - rho), rel=1e-8)
    assert found.adv.tolist()[:2] == [8e8, 1.5e9] and np.isnan(found.adv[2])
    assert found.signals.status.tolist() == [OPEN, OPEN, UNKNOWN_STATUS]
    assert found.signals.quote_age_s.tolist()[:2] == [1.0, 0.5]
    assert found.instruments.metadata_age_s.tolist()[:2] == [0.0, 0.0] and np.isnan(found.lot[2])
    assert found.provided >= {"close", "quotes", "volume", "status", "fx", "instruments"}
    assert "intraday" not in found.provided and found.label >= 0


@pytest.mark.parametrize(
    ("bid", "ask", "last", "price", "book"),
    [
        (10, 10, None, 10.0, LOCKED_BOOK),
        (11, 10, None, 10.5, CROSSED_BOOK),
        (10, None, 9, 9.0, NO_BOOK),
        (0, 10, 9, 9.0, NO_BOOK),
        (-1, 10, None, np.nan, NO_BOOK),
        (None, None, None, np.nan, NO_BOOK),
    ],
)
def test_the_state_of_a_book(bid: Any, ask: Any, last: Any, price: float, book: int) -> None:
    found = market(("market.quotes.0.bid", bid), ("market.quotes.0.ask", ask), ("market.quotes.0.last", last))
    assert found.book[0] == book
    np.testing.assert_array_equal(found.price[0], price)


def test_daily_and_annualised_covariance() -> None:
    daily = market(("market.covariance.annualised", False))
    assert daily.sigma[0] == np.sqrt(0.03)
    unknown_pair = market(("market.covariance.matrix", [[0.03, None], [None, 0.08]]))
    assert np.isnan(unknown_pair.condition) and np.isnan(unknown_pair.correlation[0, 1])
    assert (
        market(("market.covariance.matrix", [[0.04, 0.04], [0.04, 0.04]])).condition > 1e6
    )  # all but singular
    assert np.isnan(market(("market.covariance", ...)).sigma).all()


IN_EUROS = ("market.instruments.0", {"symbol": "KO", "group": "staples", "currency": "EUR"})


def covariance(matrix: list[list[Any]], **more: Any) -> tuple[str, Any]:
    return (
        "market.covariance",
        {"symbols": ["KO", "XOM"], "matrix": matrix, "annualised": True, "n_obs": 252} | more,
    )


def test_a_return_in_another_currency_has_the_volatility_of_both() -> None:
    with_euro = [[0.03, 0.01, -0.004], [0.01, 0.08, 0.002], [-0.004, 0.002, 0.01]]
    found = market(IN_EUROS, covariance(with_euro, currencies=["EUR"]))
    assert found.sigma[:2] == pytest.approx(np.sqrt([(0.03 + 0.01 - 0.008) / 252, 0.08 / 252]))
    assert found.correlation[0, 1] == pytest.approx((0.01 + 0.002) / np.sqrt(0.032 * 0.08))
    assert found.price_sigma is not None
    assert found.price_sigma[:2] == pytest.approx(np.sqrt([0.03 / 252, 0.08 / 252]))
    daily = market(IN_EUROS, covariance(with_euro, currencies=["EUR"], annualised=False))
    assert daily.sigma[0] == pytest.approx(np.sqrt(0.032))

    pair = [[0.03, 0.01, None], [0.01, 0.08, None], [None, None, 0.01]]
    apart = market(IN_EUROS, covariance(pair, currencies=["EUR"]))
    assert apart.sigma[0] == pytest.approx((np.sqrt(0.03) + 0.1) / np.sqrt(252))
    assert np.isnan(apart.correlation[0, 1]) and np.isnan(apart.condition)

    silent = market(IN_EUROS)
    assert np.isnan(silent.sigma[0]) and np.isfinite(silent.sigma[1]) and silent.condition == 1.0
    assert silent.price_sigma is not None and silent.price_sigma[0] == pytest.approx(np.sqrt(0.03 / 252))

    ready = market(IN_EUROS, ("market.covariance.returns_in", "account"))
    assert ready.sigma[:2] == pytest.approx(np.sqrt([0.03 / 252, 0.08 / 252]))
    assert ready.price_sigma is not None and np.isnan(
        ready.price_sigma[0]
    )  # the bound of a jump stays the tight one
    assert market().price_sigma is None

    contradiction = [[0.01, 0.0, -0.02], [0.0, 0.08, 0.0], [-0.02, 0.0, 0.01]]  # no such returns exist
    assert np.isnan(market(IN_EUROS, covariance(contradiction, currencies=["EUR"])).sigma[0])


def test_scenarios_in_another_currency_are_those_of_both() -> None:
    told = {
        "symbols": ["KO", "XOM"],
        "currencies": ["EUR"],
        "returns": [[0.1, -0.02, -0.1], [0.1, 0.02, None]],
    }
    found = market(IN_EUROS, ("market.scenarios", told)).signals.scenarios
    assert (
        found[0, :2] == pytest.approx([1.1 * 0.9 - 1, -0.02])
        and np.isnan(found[1, 0])
        and found[1, 1] == 0.02
    )
    bare = {"symbols": ["KO", "XOM"], "returns": [[0.1, -0.02]]}
    assert np.isnan(market(IN_EUROS, ("market.scenarios", bare)).signals.scenarios[0, 0])
    ready = market(IN_EUROS, ("market.scenarios", bare | {"returns_in": "account"})).signals.scenarios
    assert ready[0, :2].tolist() == [0.1, -0.02]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (covariance([[0.03, 0.01], [0.01, 0.08]], currencies=["EUR"]), "expected 3 rows of 3 numbers"),
        (covariance([[0, 0, 0]] * 2 + [[0, 0, -1]], currencies=["EUR"]), "a variance ≥ 0 of EUR, found -1"),
        (covariance([[0, 0, 1], [0, 0, 0], [0, 0, 1]], currencies=["EUR"]), "0.0 and 1.0 for EUR and KO"),
        (
            covariance([[0, 0, 0]] * 3, currencies=["EUR"], returns_in="account"),
            "expected no currencies beside returns_in account, found EUR",
        ),
        (("market.scenarios", {"symbols": ["KO"], "currencies": ["EUR"], "returns": [[0.1]]}), "expected 2 returns"),
    ],
)  # fmt: skip
def test_a_matrix_that_does_not_fit_its_currencies_is_refused(change: tuple[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        request(change)


def test_without_a_word_of_the_currency_nothing_in_it_grows() -> None:
    told = decided(IN_EUROS, ("market.fx", {"EUR": "1.1"}), ("proposal.weights", {"KO": "0.1", "XOM": "0"}))
    assert codes(told, "VT-06") == ("FX_VOLATILITY_UNKNOWN",)
    (target,) = (t for t in told.targets if t.symbol == "KO")
    assert float(target.target_w) <= float(target.current_w)


def test_rates_are_never_assumed_to_be_one() -> None:
    instruments = ("market.instruments.0", {"symbol": "KO", "currency": "EUR"})
    assert np.isnan(market(instruments).fx[0]) and market(instruments).fx[1] == 1.0
    told = market(instruments, ("market.fx", {"EUR": {"rate": "1.1", "ts": T - 5 * S}}))
    assert (told.fx[0], told.signals.fx_age_s[0]) == (1.1, 5.0)
    assert market(instruments, ("market.fx", {"EUR": "1.1"})).signals.fx_age_s[0] == 0.0


def test_a_section_that_is_there_is_declared() -> None:
    sections: dict[str, Any] = {
        "clock": {"skew_ms": 3},
        "second_source": {"KO": {"price": 62, "diverging_s": 0}},
        "session_clock": {"KO": {"since_open_s": 60, "to_close_s": 600}},
        "shocks": {"market": 1, "symbols": {"KO": 2}},
        "borrow": {"KO": {"status": "borrowable", "fee": "0.01"}},
        "earnings": {"KO": {}},
        "correlation_shift_sigmas": 1,
    }
    names = ("clock", "second_source", "session_clock", "intraday", "borrow", "earnings", "correlation_shift")
    for (section, value), name in zip(sections.items(), names, strict=True):
        assert name not in market().provided
        assert name in market((f"market.{section}", value)).provided
    assert "intraday" in market(("market.bar_s", 900)).provided
    whole = market(*((f"market.{name}", value) for name, value in sections.items()))
    assert whole.signals.clock_skew_ms == 3 and whole.signals.divergence_bps[0] == 0
    assert np.isnan(whole.signals.to_close_s[1]) and whole.instruments.earnings_in_days[0] == np.inf
    assert np.isnan(whole.instruments.earnings_in_days[1])


def test_declared_spread_and_volume_stand_in_only_for_a_source_without() -> None:
    declared = ("market.instruments.0", {"symbol": "KO", "spread_bps": "7", "adv": "1000"})
    found = market(
        declared, ("market.provides", ["close", "status", "instruments"]), ("market.quotes.0.bid", None)
    )
    assert found.substituted == {"quotes", "volume"} and (found.spread_bps[0], found.adv[0]) == (7.0, 1000.0)
    assert not market(declared).substituted and market(declared).adv[0] == 8e8


# --- what missing data does -------------------------------------------------------------------------------


def test_a_whole_request_is_decided_by_the_rules() -> None:
    decision = decided()
    assert decision.outcome is Outcome.RESIZE and weights(decision) == {"KO": "0.1", "XOM": "0.15"}
    assert decision.binding_rules == ("CC-01",)
    assert sent(decision) == {"KO": Decimal(612), "XOM": Decimal(1363)}
    assert decision.equity == Decimal("999990")  # 1000 KO at the bid
    assert decision.turnover == Decimal("0.187889509") and decision.expected_cost_bps == Decimal("0.385391")


MISSING: list[tuple[str, Any, str, str]] = [
    ("market.quotes.0", {"symbol": "KO", "last": "62"}, "DS-01", "PRICE_AGE_UNKNOWN"),
    ("market.quotes.0", {"symbol": "KO", "bid": "61.99", "ask": "62.01"}, "DS-01", "PRICE_AGE_UNKNOWN"),
    ("market.quotes.0.ts", "2026-11-20T15:29:00Z", "DS-01", "STALE_QUOTE"),
    ("market.quotes.0.ts", "2026-11-20T15:30:02Z", "DS-07", ""),
    ("market.quotes.0.received", "2026-11-20T15:29:00Z", "DS-01", "STALE_QUOTE"),
    ("market.quotes", [], "DS-02", "PRICE_MISSING"),
    ("market.quotes.0.reference", "40", "DS-03", "PRICE_JUMP_UNCONFIRMED"),
    ("market.quotes.0.ask", "61.98", "DS-04", "BOOK_CROSSED"),
    ("market.quotes.0.reference", "124", "DS-10", "CORPORATE_ACTION_UNRECORDED"),
    ("market.instruments.0", {"symbol": "KO", "currency": "EUR"}, "DS-09", "FX_UNKNOWN"),
    ("market.covariance", ..., "DS-12", "TOO_FEW_RETURNS"),
    ("market.covariance.n_obs", 10, "DS-12", "TOO_FEW_RETURNS"),
    ("portfolio.as_of", "2026-11-18T15:30:00Z", "DS-14", "EQUITY_STALE"),
    ("portfolio.cash", {"EUR": 938000}, "DS-14", "EQUITY_UNKNOWN"),
    ("market.status.KO", "halted", "DS-15", "HALTED"),
    ("market.status", {}, "DS-15", "STATUS_UNKNOWN"),
    ("market.adv", {}, "XL-03", "ADV_UNKNOWN"),
    ("market.regime", ..., "VT-04", "REGIME_UNSURE"),
    ("proposal.as_of", "2026-11-01T15:30:00Z", "DS-11", "PROPOSAL_STALE"),
    ("market.clock", {"skew_ms": 500}, "DS-07", "CLOCK_SKEWED"),
]


@pytest.mark.parametrize(("path", "value", "rule_id", "code"), MISSING)
def test_what_is_missing_or_wrong_never_adds_risk(path: str, value: Any, rule_id: str, code: str) -> None:
    decision = decided((path, value))
    if rule_id == "DS-07" and not code:  # a row from the future is refused only where a clock is declared
        decision = decided((path, value), ("market.clock", {"skew_ms": 0}))
        code = "FUTURE_ROW"
    assert outcome(decision, rule_id) in ("bound", "unknown"), codes(decision, rule_id)
    assert code in codes(decision, rule_id)
    full = {t.symbol: t.target_w for t in decided().targets}
    moved = {t.symbol: t.step_qty for t in decision.targets}
    assert all(abs(t.target_w) <= max(abs(full[t.symbol]), abs(t.current_w)) for t in decision.targets)
    if rule_id not in ("XL-03", "VT-04", "DS-12"):
        assert moved["KO"] <= 0


def test_a_jump_is_seen_against_what_the_account_saw_last() -> None:
    """Quotes bring no reference: the account's own last price is one, and an equity at the worse of both counts."""
    state = decided().state
    assert state is not None
    jumped = decided(
        ("market.quotes.0.bid", "99.99"),
        ("market.quotes.0.ask", "100.01"),
        ("market.quotes.0.ts", T + S),
        ("as_of", T + S),
        state=state.model_dump(mode="json"),
    )
    assert "PRICE_JUMP_UNCONFIRMED" in codes(jumped, "DS-03") and "KO" not in sent(jumped)
    assert jumped.equity is not None and jumped.equity < Decimal("1000000")
    fresh = decided(("market.quotes.0.bid", "99.99"), ("market.quotes.0.ask", "100.01"))
    assert outcome(fresh, "DS-03") == "pass"


def test_an_unknown_symbol_refuses_the_whole_proposal() -> None:
    decision = decided(("proposal.weights.ZZZ", "0.01"))
    assert decision.outcome is Outcome.HOLD and not decision.orders
    assert "PROPOSAL_NOT_FINITE" in codes(decision, "DS-11")


def test_a_held_symbol_without_an_instrument_never_crashes_and_adds_no_risk() -> None:
    extra = {"symbol": "ZZZ", "qty": 5, "avg_price": 10}
    decision = decided(("portfolio.positions", [{"symbol": "KO", "qty": 1000, "avg_price": 60}, extra]))
    assert "METADATA_UNKNOWN" in codes(decision, "DS-13")
    assert decision.trading_state_after is TradingState.REDUCE_ONLY
    assert all(order.intent == "exit" for order in decision.orders)
    assert decision.equity is None  # nobody can say what it is worth
    told = decided(
        ("portfolio.positions", [{"symbol": "KO", "qty": 1000, "avg_price": 60}, extra]),
        ("portfolio.equity_broker", "1000040"),
    )
    assert told.equity == Decimal("1000040") and "EQUITY_STALE" in codes(told, "DS-14")
    rateless = decided(("portfolio.cash", {"EUR": 938000}), ("portfolio.equity_broker", "999990"))
    assert rateless.equity == Decimal("999990") and "EQUITY_STALE" in codes(rateless, "DS-14")


def test_reconciliation_is_asked_for_outside_dry_runs() -> None:
    def of(mode: Mode, *changes: tuple[str, Any]) -> PMDecision:
        profiles = {CORE: in_mode(shipped()[1][CORE], mode)}
        return answers([request(*changes)], profiles)[0].decision

    assert outcome(of(Mode.DRY_RUN), "DS-08") == "not_evaluable"
    for mode in (Mode.SHADOW, Mode.GATED_LIVE):
        boot = of(mode)
        assert (
            "RECON_UNKNOWN" in codes(boot, "DS-08") and boot.trading_state_after is TradingState.REDUCE_ONLY
        )
        clean = of(mode, ("portfolio.recon", {"status": "ok", "count": 2, "equity_gap": 0}))
        assert clean.trading_state_after is TradingState.NORMAL
        young = of(mode, ("portfolio.recon", {"status": "ok", "count": 1, "equity_gap": 0}))
        assert young.trading_state_after is TradingState.REDUCE_ONLY
    diff = {"symbol": "KO", "own_qty": 1000, "broker_qty": -1000}
    told = of(Mode.SHADOW, ("portfolio.recon", {"status": "mismatch", "diff": [diff], "equity_gap": 0}))
    assert "POSITION_SIGN_DIFFERS" in codes(told, "DS-08")


# --- money and orders -------------------------------------------------------------------------------------


def test_the_smallest_of_the_known_equities_counts() -> None:
    assert decided(("portfolio.equity_broker", "999000")).equity == Decimal("999000")
    assert decided(("portfolio.equity", "2000000")).equity == Decimal("999990")


def test_a_future_is_worth_its_difference_only() -> None:
    future = {"symbol": "KO", "mini_equivalents": "1", "multiplier": "50"}
    book = {"cash": "1000000", "positions": [{"symbol": "KO", "qty": 10, "avg_price": 61}]}
    decision = decided(("market.instruments.0", future), portfolio=book)
    assert decision.equity == Decimal("1000495")  # 10 · 50 · (61.99 − 61) at the bid
    cash = decided(("market.instruments.0", future | {"margined": False}), portfolio=book)
    assert cash.equity == Decimal("1030995")


def test_cash_in_several_currencies_is_added_up() -> None:
    told = decided(("portfolio.cash", {"USD": "838000", "EUR": "50000"}), ("market.fx", {"EUR": "2"}))
    assert told.equity == Decimal("999990")


def test_a_position_whose_rate_is_lost_is_weighed_at_the_last_one_less_a_haircut() -> None:
    """62 000 euros at 1.10, then at 1.10 less 2 %: the equity is an estimate, the way out stays open."""
    euros = ("market.instruments.0", {"symbol": "KO", "group": "staples", "currency": "EUR"})
    first = decided(euros, ("market.fx", {"EUR": "1.1"}))
    assert first.equity == Decimal("938000") + Decimal("61990") * Decimal("1.1") and first.state is not None
    later = decided(
        euros,
        ("market.fx", {"GBP": "1.3"}),
        ("as_of", T + S),
        ("proposal.weights", {"KO": "0", "XOM": "0"}),
        state=first.state.model_dump(mode="json"),
    )
    assert later.equity == Decimal("938000") + Decimal("61990") * Decimal("1.1") * Decimal("0.98")
    assert codes(later, "DS-09") == ("FX_UNKNOWN",)
    (target,) = (t for t in later.targets if t.symbol == "KO")
    assert float(target.current_w) == pytest.approx(61_990 * 1.1 * 0.98 / float(later.equity), abs=2e-9)
    assert sent(later) == {"KO": Decimal(-1000)}


def test_a_deposit_is_no_profit() -> None:
    first = decided()
    assert first.state is not None
    later = decided(
        ("portfolio.cash", "1038000"),
        ("portfolio.flows_today", "100000"),
        ("as_of", T + S),
        state=first.state.model_dump(mode="json"),
    )
    assert later.state is not None and later.state.flows == 100_000
    assert later.state.unit_hwm == first.state.unit_hwm and later.equity == Decimal("1099990")
    again = decided(
        ("portfolio.cash", "1038000"),
        ("portfolio.flows_today", "100000"),
        ("as_of", T + 2 * S),
        state=later.state.model_dump(mode="json"),
    )
    assert again.state is not None and again.state.flows == 100_000


def order(name: str, symbol: str, side: str, qty: int, intent: str = "entry", **more: Any) -> dict[str, Any]:
    return {"client_order_id": name, "symbol": symbol, "side": side, "qty_open": qty, "intent": intent} | more


TRAFFIC = {"orders_1s": 0, "orders_60s": 0, "orders_day": 0, "rejects_60s": 0, "timeouts_60s": 0, "sent": []}


def test_working_entries_count_as_filled_and_unwanted_ones_are_cancelled() -> None:
    working = [
        order("good", "XOM", "buy", 363, sent_at=T - S),
        order("bad", "KO", "sell", 50, sent_at=T - S),
    ]
    decision = decided(("portfolio.working_orders", working), ("portfolio.traffic", TRAFFIC))
    assert [(c.client_order_id, c.symbol) for c in decision.cancels] == [("bad", "KO")]
    assert sent(decision) == {"XOM": Decimal(1000)}
    silent = decided(("portfolio.traffic", TRAFFIC))  # orders are told of, but not which ones work
    assert not silent.orders and {c.symbol for c in silent.cancels} == {"KO", "XOM"}


def test_a_working_exit_is_not_sent_twice() -> None:
    working = [order("out", "KO", "sell", 400, "exit", sent_at=T - S)]
    decision = decided(
        ("proposal.weights", {}), ("portfolio.working_orders", working), ("portfolio.traffic", TRAFFIC)
    )
    assert sent(decision) == {"KO": Decimal(-600)}


def test_traffic_stops_entries() -> None:
    base = ("portfolio.working_orders", [])
    busy = decided(base, ("portfolio.traffic", TRAFFIC | {"orders_60s": 10_000}))
    assert outcome(busy, "XL-08") == "bound" and not busy.orders
    recent = [{"symbol": "XOM", "side": "buy", "qty": 5}]
    twice = decided(base, ("portfolio.traffic", TRAFFIC | {"sent": recent}))
    assert outcome(twice, "XL-10") == "bound" and sent(twice).keys() == {"KO"}
    storm = decided(base, ("portfolio.traffic", TRAFFIC | {"rejects_60s": 50}))
    assert storm.latches_added == ("XL-14",) and storm.trading_state_after is TradingState.REDUCE_ONLY


def fill(side: str, qty: int, ago_s: int, **more: Any) -> dict[str, Any]:
    return {"symbol": "KO", "side": side, "qty": qty, "px": "60", "ts": T - ago_s * S} | more


def test_fills_are_remembered_as_exits() -> None:
    """Sold 1000 and bought 1000 back: one position was closed, at a loss."""
    fills = [fill("buy", 1000, 10), fill("sell", 1000, 20, entry_price="70")]
    state = decided(("portfolio.traffic", {"fills": fills})).state
    assert state is not None
    assert state.closed["KO"].side == 1 and len(state.losing_exits_ns) == 1
    assert state.last_trade_ns == T
    old = decided(
        ("portfolio.traffic", {"fills": fills}), ("as_of", T + S), state=state.model_dump(mode="json")
    )
    assert old.state is not None and old.state.last_trade_ns == T  # the same fills are not new again


def test_a_breach_reported_from_outside_locks_for_good() -> None:
    decision = decided(("portfolio.violated", True))
    assert decision.trading_state_after is TradingState.LOCKED
    assert decision.release is not None and decision.release.kind.name == "TERMINAL"
    assert "LD-14" in decision.release.latches


def test_halted_positions_of_a_flatten_are_owed() -> None:
    decision = decided(("portfolio.violated", True), ("market.status.KO", "halted"))
    assert [(o.symbol, o.qty) for o in decision.owed] == [("KO", Decimal(-1000))] and not decision.orders


def test_the_first_capital_is_stated_or_the_brokers() -> None:
    bare = changed(shipped()[1][CORE], stated_capital=None, mode=Mode.SHADOW)
    with pytest.raises(BadInput, match="equity_broker"):
        answers([request()], {CORE: bare})
    told = answers([request(("portfolio.equity_broker", "999990"))], {CORE: bare})[0]
    assert told.state.initial_capital == Decimal("999990")


# --- the constraint ---------------------------------------------------------------------------------------


def test_the_constraint_says_what_bounds_what() -> None:
    constraint = decided().constraint
    assert constraint is not None
    xom = next(asset for asset in constraint.assets if asset.symbol == "XOM")
    assert (xom.lo, xom.hi, xom.a, xom.tradability) == (
        Decimal("-0.15"),
        Decimal("0.15"),
        Decimal("0.5"),
        "ok",
    )
    assert xom.binding_rules == ("CC-01",)
    gross = constraint.budgets["CC-02"]
    assert (gross.limit, gross.used, gross.binding) == (1, Decimal("0.25"), False)
    assert constraint.budgets["VT-01"].limit == Decimal("0.1")
    assert constraint.throttle.value == 1 and not constraint.throttle.parts and constraint.k == 1
    assert constraint.sigma_tilde == constraint.sigma_plain  # no hedge, no clamp in it
    floor = constraint.distance["LD-01"]
    assert floor.money is not None and 0 < floor.money < 20_000
    unsaid = {rule.id: rule.missing_inputs for rule in constraint.rules_evaluated if rule.missing_inputs}
    assert unsaid["DS-08"] == ("recon",) and unsaid["XL-16"] == ("heartbeat",)


def test_throttles_and_ends_are_told() -> None:
    decision = decided(("portfolio.cash", "925000"), ("market.regime.label", "uncertain"))
    constraint = decision.constraint
    assert constraint is not None
    assert constraint.throttle.parts.keys() == {"LD-01", "VT-04"} and constraint.throttle.value == Decimal(
        "0.5"
    )
    lost = decided(("portfolio.cash", "900000"))
    assert lost.release is not None and lost.release.kind.name == "DUAL"
    assert lost.constraint is not None
    ends = {event.rule: event.at_ns for event in lost.constraint.next_events}
    assert ends["LD-13"] == 1_795_212_000 * S  # 17:00 in New York


# --- bytes ------------------------------------------------------------------------------------------------

BATCH = (CORE, "kestrel-lane/eval-100k")
BOOKS = {CORE: "938000", "kestrel-lane/eval-100k": "38000", GROWTH: "188000", DEFENSIVE: "438000"}


def of(account: str, *changes: tuple[str, Any]) -> PMRequest:
    return request(("account", account), ("portfolio.cash", BOOKS[account]), *changes)


def alone(one: PMRequest) -> str:
    return text(answers([one])[0].decision)


def test_batch_is_one_by_one_to_the_byte() -> None:
    same = [of(CORE), of("kestrel-lane/eval-100k")]
    other = [of(CORE), of("kestrel-lane/eval-100k", ("proposal.weights.PEP", "0.1"), ("market.bar_s", 60))]
    for batch in (same, other):
        assert [text(a.decision) for a in answers(batch)] == [alone(one) for one in batch]


def test_the_order_of_a_list_changes_nothing_but_the_order() -> None:
    batch = [of(account) for account in BOOKS]
    straight = {a.decision.account: text(a.decision) for a in answers(batch)}
    for mixed in permutations(batch):
        told = answers(list(mixed))
        assert [a.decision.account for a in told] == [one.account for one in mixed]
        assert {a.decision.account: text(a.decision) for a in told} == straight


def test_the_order_of_what_is_said_changes_nothing() -> None:
    whole = tree()
    for name in ("instruments", "quotes"):
        whole["market"][name].reverse()
    whole["market"]["adv"] = dict(reversed(whole["market"]["adv"].items()))
    whole["proposal"]["weights"] = dict(reversed(whole["proposal"]["weights"].items()))
    matrix = whole["market"]["covariance"]
    matrix["symbols"].reverse()
    matrix["matrix"] = [row[::-1] for row in matrix["matrix"][::-1]]
    assert alone(read_requests(whole)[0][0]) == alone(request())


def test_another_firm_changes_nothing_but_a_sibling_counts() -> None:
    """A loss of one account is its whole firm's (LD-13), and nobody else's."""
    poor = of(DEFENSIVE, ("portfolio.cash", "390000"))
    told = {a.decision.account: a.decision for a in answers([of(CORE), of(GROWTH), poor])}
    assert text(told[GROWTH]) == alone(of(GROWTH))
    assert outcome(told[CORE], "LD-13") == "bound" and outcome(decided(), "LD-13") == "pass"
    assert told[CORE].decision_id != decided().decision_id
    apart = of(DEFENSIVE, ("portfolio.cash", "390000"), ("market.bar_s", 60))  # another market, another call
    assert outcome(answers([of(CORE), apart])[0].decision, "LD-13") == "bound"


def test_siblings_of_the_store_count() -> None:
    profiles = shipped()[1]
    state = answers([of(DEFENSIVE)])[0].state
    lost = state.model_copy(update={"last_equity": state.last_equity - 50_000})
    told = answers([request()], siblings={"north-pier": [Sibling(profiles[DEFENSIVE], lost, None)]})[
        0
    ].decision
    assert outcome(told, "LD-13") == "bound"
    never = answers([request()], siblings={"north-pier": [Sibling(profiles[DEFENSIVE], None, None)]})[
        0
    ].decision
    assert outcome(never, "LD-13") == "pass"
    limit = next(rule.limit for rule in never.rules if rule.rule_id == "LD-13")
    assert limit == Decimal(37_500)  # 2.5 % of a million and half a million


def test_issuers_are_added_up_over_a_firm() -> None:
    """What a sibling holds of the same underlying counts, under whatever symbol (CC-12)."""
    profile = shipped()[1][CORE]
    rule = profile.rules["CC-12"].model_copy(update={"max_firm_weight": Decimal("0.35")})
    strict = changed(profile, rules={**profile.rules, "CC-12": rule})
    future = {"symbol": "XOMF", "underlying": "XOM", "group": "energy"}
    quote = {"symbol": "XOMF", "last": "110", "bid": "109.99", "ask": "110.01", "ts": T}
    whole = tree()
    whole["market"]["instruments"].append(future)
    whole["market"]["quotes"].append(quote)
    book = PortfolioSnapshot.model_validate(
        {
            "account": DEFENSIVE,
            "as_of": T,
            "cash": 0,
            "positions": [{"symbol": "XOMF", "qty": 2500, "avg_price": 110}],
        }
    )
    other = Sibling(shipped()[1][DEFENSIVE], answers([of(DEFENSIVE)])[0].state, book)
    (asked,), _ = read_requests(whole)
    told = decide_requests([Subject(asked, strict, None)], {"north-pier": [other]}, shipped()[0], "test")[
        0
    ].decision
    calm = decide_requests([Subject(asked, strict, None)], {}, shipped()[0], "test")[0].decision
    assert (outcome(told, "CC-12"), outcome(calm, "CC-12")) == ("bound", "pass")


def test_state_round_trip_is_the_continuous_run() -> None:
    """Through JSON or as it is: the next decision is the same to the byte, and replays give the same."""
    state, chain = None, []
    for n in range(6):
        changes: list[tuple[str, Any]] = [
            ("as_of", T + n * 86_400 * S),
            ("proposal.as_of", T + n * 86_400 * S),
            ("portfolio.cash", str(938_000 - 4_000 * n)),
            *((f"market.quotes.{i}.ts", T + n * 86_400 * S) for i in (0, 1)),
        ]
        plain = None if state is None else json.loads(state.model_dump_json())
        through_json = request(*changes, state=plain)
        direct = through_json.model_copy(update={"state": state})
        told = answers([through_json])[0]
        assert (
            text(told.decision)
            == text(answers([direct])[0].decision)
            == text(answers([through_json])[0].decision)
        )
        state = told.decision.state
        chain.append(told.decision.decision_id)
    assert len(set(chain)) == 6


PROBE = (
    "import json, sys; from tests.gate_samples import *; "
    "print(answers([request()])[0].decision.model_dump_json())"
)


def test_bytes_do_not_depend_on_the_process() -> None:
    told = set()
    for seed, threads, zone in (("0", "1", "UTC"), ("4711", "2", "Asia/Tokyo")):
        env = os.environ | {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads, "TZ": zone}
        done = subprocess.run(
            [sys.executable, "-c", PROBE], cwd=ROOT, env=env, capture_output=True, text=True, check=True
        )
        told.add(done.stdout.strip())
    assert told == {alone(request())}


SOME = st.one_of(
    st.none(), st.floats(-1e12, 1e12), st.sampled_from(["0", "-1", "1e400", "1e-400", "62", "110", "-0"])
)
PLACES = st.sampled_from(
    ["portfolio.cash", "portfolio.positions.0.qty", "portfolio.positions.0.avg_price", "portfolio.equity_broker",
     "proposal.weights.KO", "proposal.weights.XOM", "market.quotes.0.bid", "market.quotes.0.ask",
     "market.quotes.1.last", "market.quotes.0.reference", "market.adv.KO", "market.covariance.matrix.0.0",
     "market.instruments.0.lot", "market.instruments.0.multiplier", "market.instruments.0.margin_rate",
     "portfolio.balance", "portfolio.flows_today", "portfolio.buying_power"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(PLACES, SOME, max_size=6))
def test_no_number_makes_it_fail(changes: dict[str, Any]) -> None:
    """Whatever can be read is decided: with a state that can be read again, and no rule that raised."""
    whole = tree(*changes.items())
    try:
        (asked,), _ = read_requests(whole)
    except BadInput:
        return
    decision = answers([asked])[0].decision
    assert not [rule.rule_id for rule in decision.rules if "RULE_ERROR" in rule.reason_codes]
    assert decision.state is not None
    again = whole | {"as_of": T + S, "state": json.loads(decision.state.model_dump_json())}
    answers(read_requests(again)[0])
