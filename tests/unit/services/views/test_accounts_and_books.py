"""Accounts, portfolios and rules as they are shown: exact values, what is not known, what is not shown."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.gate_samples import CORE, GROWTH
from tests.views_world import DEFENSIVE, KESTREL, NORTH, World, asker

from regime_trading.core.access import Role
from regime_trading.core.errors import NotThere
from regime_trading.core.rules import RULE_BY_ID, RULE_IDS
from regime_trading.core.schemas import Mode
from regime_trading.core.trader_profile import in_mode
from regime_trading.services.views import accounts, constraints, portfolio
from regime_trading.services.views.constraints import ConstraintRow
from regime_trading.services.views.headroom import headroom, used_fraction


def row_of(board: constraints.Board, rule_id: str) -> ConstraintRow:
    return next(row for row in board.rows if row.rule_id == rule_id)


# --- accounts ---------------------------------------------------------------------------------------------------


def test_an_account_that_lost_is_shown_with_its_lockout_and_its_age(world: World) -> None:
    core = accounts.account(world.sources(), asker(), CORE)
    assert (core.mode, core.trading_state, core.kill_level) == ("shadow", "FLATTEN", 0)
    assert [latch.rule_id for latch in core.latches] == ["LD-01", "LD-13"]
    latch = core.latches[0]
    assert (latch.rule_id, latch.trading_state, latch.release) == ("LD-01", "FLATTEN", "DUAL")
    assert latch.since == "2026-11-20T15:31:00Z"
    assert (
        core.equity == "999990" and core.day_pnl == "-10"
    )  # the guards count a thousand shares at their bid
    assert core.last_decision is not None and core.last_decision.age_s == 480.0
    assert core.last_decision.place.chain_id == "shadow/north-pier/core"
    daily = next(limit for limit in core.loss_limits if limit.rule_id == "LD-01")
    assert (daily.loss, daily.limit, daily.headroom, daily.used) == ("10", "20000", "19990", 0.0005)
    assert core.config_hash == core.last_decision.config_hash


def test_an_account_that_was_never_decided_in_its_mode_knows_nothing_of_itself(world: World) -> None:
    profile = world.standings[DEFENSIVE].profile
    assert profile is not None
    live = replace(world.standings[DEFENSIVE], profile=in_mode(profile, Mode.GATED_LIVE))
    sources = replace(world.sources(), standings={DEFENSIVE: live})
    told = accounts.account(sources, asker(), DEFENSIVE)
    unknown = (
        told.trading_state,
        told.kill_level,
        told.equity,
        told.day_pnl,
        told.drawdown,
        told.last_decision,
    )
    assert told.mode == "gated_live" and set(unknown) == {None} and told.loss_limits == ()
    board = constraints.board(sources, asker(), DEFENSIVE)
    assert {row.state for row in board.rows} == {"never_evaluated"} and board.age_s is None
    book = portfolio.portfolio(sources, asker(), DEFENSIVE)
    assert book.positions == () and book.gross is None and book.notes == (portfolio.NO_DECISION,)


def test_the_firm_lists_what_the_asker_may_see_and_nothing_else(world: World) -> None:
    whole = accounts.firm(world.sources(), asker())
    assert whole.whole_firm and [one.account for one in whole.accounts] == [CORE, DEFENSIVE]
    part = accounts.firm(world.sources(), asker(accounts={DEFENSIVE}))
    assert not part.whole_firm and [one.account for one in part.accounts] == [DEFENSIVE]
    assert accounts.firm(world.sources(), asker(KESTREL)).accounts == ()
    for name in (CORE, GROWTH, "north-pier/none", "", "north-pier"):
        with pytest.raises(NotThere, match="account that exists"):
            accounts.account(world.sources(), asker(accounts={DEFENSIVE}), name)


def test_amounts_are_null_for_who_is_not_shown_them_and_fractions_stay(world: World) -> None:
    open_, hidden = (
        accounts.account(world.sources(KESTREL), asker(KESTREL, Role.ANALYST, redact=redact), GROWTH)
        for redact in (False, True)
    )
    assert hidden.redacted and not open_.redacted
    assert open_.equity is not None and hidden.equity is None and hidden.day_pnl is None
    assert hidden.drawdown == open_.drawdown and hidden.day_return == open_.day_return is not None
    money = [limit for limit in hidden.loss_limits if limit.unit == "money"]
    assert money and all(limit.loss is limit.limit is limit.headroom is None for limit in money)
    assert [limit.used for limit in hidden.loss_limits] == [limit.used for limit in open_.loss_limits]


# --- portfolio ----------------------------------------------------------------------------------------------------


def test_positions_carry_marks_weights_profit_and_risk_shares(world: World) -> None:
    book = portfolio.portfolio(world.sources(KESTREL), asker(KESTREL), GROWTH)
    (held,) = book.positions
    assert (held.symbol, held.quantity, held.average_price, held.mark) == ("KO", "800", "60.5", "62")
    assert (held.market_value, held.unrealised_pnl) == ("49600", "1200")
    assert held.unrealised_return == pytest.approx(1.5 / 60.5)
    assert held.weight == pytest.approx(49_592 / 249_592, abs=1e-9)
    assert held.mark_age_s is not None and held.mark_age_s >= 570.0
    assert held.volatility == pytest.approx(math.sqrt(0.03))
    assert book.volatility == pytest.approx(held.weight * math.sqrt(0.03))
    assert held.risk_share == 1.0 and book.gross == book.net == held.weight
    assert book.cash == "200000" and book.cash_weight == pytest.approx(200_000 / 249_592)
    assert book.correlations is not None and book.correlations.matrix == ((1.0,),)
    (group,) = book.groups
    assert group.symbols == ("KO",) and group.net == held.weight and group.risk_share == 1.0
    assert book.notes == ()


def test_a_factor_is_the_sum_of_weight_times_loading_and_nothing_where_one_is_not_known(world: World) -> None:
    book = portfolio.portfolio(world.sources(KESTREL), asker(KESTREL), GROWTH)
    (held,) = book.positions
    beta, volatility = book.factors
    assert held.weight is not None and held.volatility is not None
    assert (volatility.factor, volatility.missing) == ("volatility", ())
    assert volatility.net == volatility.gross == pytest.approx(held.weight * held.volatility)
    # the request said no betas: neither 1 nor 0 is made of that
    assert held.beta is None and (beta.factor, beta.net, beta.missing) == ("market_beta", None, ("KO",))
    short = held.model_copy(update={"weight": -0.5, "beta": 1.2})
    (found, _) = portfolio._factors(
        [short, held.model_copy(update={"symbol": "XOM", "weight": 0.2, "beta": 0.5})]
    )
    assert found.net == pytest.approx(-0.5) and found.gross == pytest.approx(0.7) and found.missing == ()
    assert portfolio._factors([]) == ()


def test_a_redacted_book_has_no_amount_and_no_quantity(world: World) -> None:
    book = portfolio.portfolio(world.sources(KESTREL), asker(KESTREL, Role.VIEWER, redact=True), GROWTH)
    (held,) = book.positions
    hidden = (held.quantity, held.market_value, held.unrealised_pnl, book.cash, book.equity)
    assert book.redacted and set(hidden) == {None}
    assert held.weight and held.risk_share and held.unrealised_return
    text = book.model_dump_json()
    assert not any(amount in text for amount in ("800", "49600", "249592", "200000"))


def test_without_stored_inputs_marks_and_risk_are_unknown_and_said_to_be(world: World) -> None:
    class Nothing:
        def parts(self, firm_id: str, run_id: str) -> tuple[str, ...]:
            return ()

    bare = replace(world.sources(KESTREL), inputs=Nothing())  # type: ignore[arg-type]
    book = portfolio.portfolio(bare, asker(KESTREL), GROWTH)
    (held,) = book.positions
    assert held.mark is held.market_value is held.unrealised_pnl is held.risk_share is book.volatility is None
    assert held.weight is not None and book.notes == (portfolio.NO_INPUTS,)


# --- rules --------------------------------------------------------------------------------------------------------


def test_the_board_has_every_rule_in_guard_order_and_says_who_set_its_limit(world: World) -> None:
    board = constraints.board(world.sources(), asker(), CORE)
    assert tuple(row.rule_id for row in board.rows) == RULE_IDS
    assert [row.guard for row in board.rows] == sorted(row.guard for row in board.rows)
    daily = row_of(board, "LD-01")
    assert daily.holds and daily.alarming and (daily.warn_at, daily.acts_at) == (0.75, 0.9)
    assert daily.set_by is not None
    assert (daily.set_by.layer, daily.set_by.name, daily.set_by.file) == ("firm", NORTH, "traders.yaml")
    assert daily.set_by.line is not None
    gross = next(row for row in board.rows if row.key == "gross")
    assert gross.set_by is not None and gross.set_by.layer == "session" and gross.set_by.file is None
    assert board.in_force == board.decided_under  # the override was in force when it was decided
    silent = [row for row in board.rows if row.state == "not_evaluable"]
    assert silent and all(row.used is None for row in silent)


def test_what_is_unknown_is_a_state_of_its_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from regime_trading.services.views import current as current_module

    real = current_module.said_in

    def blind(entry):  # type: ignore[no-untyped-def]
        said = real(entry)
        row = {
            "rule_id": "VT-01",
            "outcome": "unknown",
            "value": None,
            "limit": "0.1",
            "reason_codes": ["NO_SIGMA"],
        }
        return {**said, "rules": [row if r["rule_id"] == "VT-01" else r for r in said["rules"]]}

    monkeypatch.setattr(current_module, "said_in", blind)
    row = row_of(constraints.board(world.sources(), asker(), CORE), "VT-01")
    assert (row.state, row.alarming, row.value, row.headroom, row.used) == ("unknown", True, None, None, None)
    assert row.limit == "0.1" and row.reason_codes == ("NO_SIGMA",)


def test_a_viewer_sees_the_board_without_the_configuration(world: World) -> None:
    board = constraints.board(world.sources(), asker(role=Role.VIEWER), CORE)
    assert all(row.set_by is None for row in board.rows) and row_of(board, "LD-01").limit is not None
    assert constraints.constraint(world.sources(), asker(role=Role.VIEWER), CORE, "LD-01").parameters is None


def test_one_rule_tells_its_parameters_layers_and_triggers(world: World) -> None:
    told = constraints.constraint(world.sources(), asker(), CORE, "LD-01")
    assert told.parameters is not None
    limit = next(one for one in told.parameters if one.path == "risk.daily_loss.limit_pct")
    assert limit.value == "0.02" and [step.layer for step in limit.layers][:1] == ["defaults"]
    assert sum(step.decides for step in limit.layers) >= 1
    kinds = [trigger.event_type for trigger in told.triggers]
    assert set(kinds) == {"LATCH", "RULE_BREACH"} and {t.env for t in told.triggers} == {"shadow"}
    assert [t.as_of for t in told.triggers] == sorted((t.as_of for t in told.triggers), reverse=True)
    for rule_id in ("LD-99", "", "LD-01'; --"):
        with pytest.raises(NotThere):
            constraints.constraint(world.sources(), asker(), CORE, rule_id)


def test_money_in_parameters_and_triggers_is_left_out(world: World) -> None:
    told = constraints.constraint(world.sources(), asker(role=Role.ANALYST, redact=True), CORE, "LD-01")
    assert told.parameters is not None and told.redacted
    for parameter in told.parameters:
        hidden = "currency" in parameter.unit
        assert (parameter.value is None) == hidden or parameter.value is not None
        assert not hidden or all(step.value is None for step in parameter.layers)
    assert all(t.value is t.limit is None and "against" not in t.rationale for t in told.triggers)


def test_the_history_of_a_rule_is_its_value_against_its_limit(world: World) -> None:
    page = constraints.history(world.sources(), asker(), CORE, "LD-01", limit=2)
    assert [one.value for one in page.items] == ["10", "38010"] and page.next_cursor is not None
    assert page.items[1].used == pytest.approx(38_010 / 20_000)
    rest = constraints.history(world.sources(), asker(), CORE, "LD-01", cursor=page.next_cursor, limit=2)
    assert [one.as_of for one in rest.items] == ["2026-11-20T15:30:00Z"] and rest.next_cursor is None


@pytest.mark.parametrize(
    ("rule_id", "value", "limit", "left", "used"),
    [
        ("LD-01", "15000", "20000", "5000", 0.75),
        ("LD-01", "-5", "20000", "20005", -0.00025),
        ("LD-01", "25000", "20000", "-5000", 1.25),
        ("LD-01", "5", "unlimited", "unlimited", None),
        ("LD-01", None, "20000", None, None),
        ("LD-01", "5", None, None, None),
        ("LD-01", "nan", "5", None, None),
        ("LD-01", "5", "0.0", "-5", None),
        ("DS-04", "40.0", "30.0", "10" if RULE_BY_ID["DS-04"].measure.at_least else "-10", None),
    ],
)
def test_headroom(
    rule_id: str, value: str | None, limit: str | None, left: str | None, used: float | None
) -> None:
    row = {"value": value, "limit": limit}
    assert headroom(RULE_BY_ID[rule_id], row) == left
    if rule_id == "LD-01":
        assert used_fraction(RULE_BY_ID[rule_id], row) == used
