"""A valid decision passes; each single defect turns the run into HOLD and is named."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from regime_trading.adapters.config_files import load_configuration
from regime_trading.agents.execution import execution
from regime_trading.agents.judge import judge
from regime_trading.core.rules import RULE_IDS
from regime_trading.core.schemas import Order, PMDecision, Proposal, Receipt, RuleResult, Target
from regime_trading.core.state import Approval, DecisionReceipt, PipelineState, ProfileRef, RunRequest

CONFIG = Path(__file__).parents[3] / "config"
PROFILE = load_configuration(CONFIG / "settings.yaml", CONFIG / "traders.yaml").profiles[0]
T, H, CODE = 1_672_347_600_000_000_000, "a" * 64, "0.1.0+x"
DEPS: Any = SimpleNamespace(profile=lambda account, as_of_ns: PROFILE)


def target(symbol: str, proposed: str, current: str, goal: str, held: str, wanted: str, step: str) -> Target:
    return Target(
        symbol=symbol,
        proposed_w=Decimal(proposed),
        current_w=Decimal(current),
        target_w=Decimal(goal),
        current_qty=Decimal(held),
        target_qty=Decimal(wanted),
        step_qty=Decimal(step),
    )


def order(leg: int, symbol: str, intent: str, qty: str, name: str = "") -> Order:
    return Order(
        client_order_id=name or f"d-{leg:03d}", leg=leg, symbol=symbol, intent=intent, qty=Decimal(qty)
    )


GOOD = PMDecision(
    decision_id="d",
    account=PROFILE.account,
    as_of_ns=T,
    proposal_id="p",
    outcome="resize",
    trading_state_before="NORMAL",
    trading_state_after="NORMAL",
    authority="ALL",
    equity=Decimal(1_000_000),
    throttle=Decimal("0.5"),
    budget_factor=Decimal(1),
    targets=(
        target("AAA", "0.1", "0.2", "0.1", "2000", "1000", "-1000"),
        target("BBB", "0.2", "0", "0.1", "0", "1000", "400"),
        target("CCC", "0", "0.05", "0.05", "500", "500", "0"),
    ),
    orders=(order(1, "AAA", "exit", "-1000"), order(2, "BBB", "entry", "400")),
    rules=tuple(RuleResult(rule_id=rule_id, outcome="pass") for rule_id in RULE_IDS),
    binding_rules=(),
    latches_added=(),
    latches_cleared=(),
    rationale="r",
    snapshot_hash=H,
    proposal_hash=H,
    state_hash=H,
    config_hash=PROFILE.config_hash,
    code_version=CODE,
)


def state(*decisions: PMDecision, **fields: Any) -> PipelineState:
    request = RunRequest(
        run_id="run-1",
        as_of_ns=T,
        source="bundled",
        symbols=("AAA", "BBB", "CCC"),
        traded=("AAA", "BBB", "CCC"),
        baskets=(PROFILE.baskets[0].name,),
        accounts=(PROFILE.account,),
        data_hash=H,
        config_hash=H,
        ledger_hash=H,
        code_version=CODE,
    )
    basket = PROFILE.baskets[0]
    assert basket.share == 1
    weights = {"AAA": Decimal("0.1"), "BBB": Decimal("0.2"), "CCC": Decimal(0)}
    given: dict[str, Any] = {
        "profiles": (
            ProfileRef(
                account=PROFILE.account,
                mode=PROFILE.mode,
                config_hash=PROFILE.config_hash,
                baskets=(basket.name,),
            ),
        ),
        "proposals": (Proposal(proposal_id="p", as_of_ns=T, weights=weights, basket=basket.name),),
        "decisions": decisions,
    }
    return PipelineState(request=request, **{**given, **fields})


def with_target(n: int, **changes: Any) -> dict[str, Any]:
    targets = list(GOOD.targets)
    targets[n] = targets[n].model_copy(update=changes)
    return {"targets": tuple(targets)}


def test_a_valid_decision_is_ok() -> None:
    verdict = judge(state(GOOD), DEPS)["verdict"]
    assert verdict.findings == () and verdict.action == "ok"


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"as_of_ns": T + 1}, "as_of_ns"),
        ({"config_hash": H}, "config_hash"),
        ({"code_version": "0.1.0+y"}, "code_version"),
        ({"rules": GOOD.rules[:-1]}, "rules"),
        ({"rules": (GOOD.rules[1], GOOD.rules[0], *GOOD.rules[2:])}, "rules"),
        ({"equity": Decimal("NaN")}, "equity"),
        ({"throttle": Decimal("1.01")}, "throttle"),
        ({"budget_factor": Decimal("-0.1")}, "budget_factor"),
        (with_target(1, target_w=Decimal("NaN")), "target BBB"),
        (
            {"orders": (order(1, "AAA", "exit", "-1000").model_copy(update={"qty": Decimal("NaN")}),)},
            "order AAA",
        ),
        ({"targets": (*GOOD.targets, GOOD.targets[2])}, "targets"),
        (with_target(1, proposed_w=Decimal("0.21")), "proposed weight of BBB"),
        (
            {"targets": GOOD.targets[1:], "orders": (order(1, "BBB", "entry", "400"),)},
            "proposed weight of AAA",
        ),
        (with_target(1, target_w=Decimal("0.2000001")), "target of BBB"),
        (with_target(1, target_w=Decimal("-0.01")), "target of BBB"),
        (with_target(0, step_qty=Decimal("-1001")), "step of AAA"),
        (with_target(0, step_qty=Decimal(1)), "step of AAA"),
        ({"trading_state_after": 2}, "target of AAA"),
        ({"trading_state_after": 1}, "step of BBB"),
        ({"trading_state_after": 1}, "entry of BBB"),
        ({"orders": GOOD.orders[:1]}, "orders"),
        ({"orders": (*GOOD.orders, order(3, "ZZZ", "entry", "1"))}, "orders"),
        ({"orders": (GOOD.orders[0], order(2, "BBB", "entry", "401"))}, "orders"),
        ({"orders": (order(1, "BBB", "entry", "400"), order(2, "AAA", "exit", "-1000"))}, "orders"),
        ({"orders": (GOOD.orders[0], order(3, "BBB", "entry", "400"))}, "orders"),
        ({"orders": (GOOD.orders[0], order(2, "BBB", "entry", "400", "d-001"))}, "orders"),
        ({"orders": (order(1, "AAA", "exit", "-2001"), GOOD.orders[1])}, "exit of AAA"),
        ({"outcome": "hold"}, "orders"),
    ],
)
def test_each_defect_holds_the_run(changes: dict[str, Any], check: str) -> None:
    # model_copy does not validate: a defect that the schemas would refuse must still be seen here
    kinds = {"trading_state_after": type(GOOD.trading_state_after), "outcome": type(GOOD.outcome)}
    typed = {name: kinds[name](value) if name in kinds else value for name, value in changes.items()}
    bad = state(GOOD).model_copy(update={"decisions": (GOOD.model_copy(update=typed),)})
    verdict = judge(bad, DEPS)["verdict"]
    assert verdict.action == "HOLD"
    assert check in [finding.check for finding in verdict.findings], verdict.findings


def test_a_missing_and_a_strange_account_hold_the_run() -> None:
    assert judge(state(), DEPS)["verdict"].findings[0].check == "completeness"
    stranger = GOOD.model_copy(update={"account": "other/one"})
    assert judge(state(GOOD, stranger), DEPS)["verdict"].findings[0].check == "completeness"
    assert judge(state(GOOD, GOOD), DEPS)["verdict"].findings[0].check == "completeness"


def test_caps_are_checked_from_the_profile_and_a_book_above_one_may_shrink() -> None:
    over = [target("AAA", "0.5", "0.4", goal, "4000", "4000", "0") for goal in ("0.41", "0.4", "0.39")]
    weights = {"AAA": Decimal("0.5")}
    for item, checks in zip(over, (["CC-01 AAA"], [], []), strict=True):
        decision = GOOD.model_copy(update={"targets": (item,), "orders": ()})
        proposal = state(GOOD).proposals
        assert proposal is not None
        run = state(decision, proposals=(proposal[0].model_copy(update={"weights": weights}),))
        assert [f.check for f in judge(run, DEPS)["verdict"].findings] == checks


def test_gross_net_and_count_are_checked() -> None:
    names = [f"S{n:02d}" for n in range(21)]
    items = tuple(target(name, "0.06", "0", "0.06", "0", "1", "0") for name in names)
    proposal = state(GOOD).proposals
    assert proposal is not None
    asked = proposal[0].model_copy(update={"weights": dict.fromkeys(names, Decimal("0.06"))})
    decision = GOOD.model_copy(update={"targets": items, "orders": ()})
    checks = {f.check for f in judge(state(decision, proposals=(asked,)), DEPS)["verdict"].findings}
    assert checks == {"CC-02", "CC-03", "CC-08"}


class Broker:
    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    def submit(self, account: str, orders: tuple[Order, ...], receipt: Receipt) -> None:
        self.sent.append((account, len(orders)))


@pytest.mark.parametrize(
    ("action", "status", "receipt_of", "reason"),
    [
        ("ok", "not_required", "d", ""),
        ("ok", "granted", "d", ""),
        ("HOLD", "not_required", "d", "the run is held"),
        ("ok", "pending", "d", "approval pending"),
        ("ok", "refused", "d", "approval refused"),
        ("ok", "not_required", "another", "no durable receipt"),
        ("ok", "not_required", None, "no durable receipt"),
        ("ok", None, "d", "approval missing"),
    ],
)
def test_only_valid_agreed_and_recorded_orders_leave(
    action: str, status: str | None, receipt_of: str | None, reason: str
) -> None:
    broker = Broker()
    deps: Any = SimpleNamespace(broker=lambda account, source: broker)
    receipt = Receipt(chain_id="c", seq=1, entry_hash=H)
    run = state(
        GOOD,
        verdict={"action": action},
        approval=() if status is None else (Approval(account=PROFILE.account, status=status),),
        receipts=()
        if receipt_of is None
        else (DecisionReceipt(account=PROFILE.account, decision_id=receipt_of, receipt=receipt),),
    )
    (accepted,) = execution(run, deps)["executions"]
    assert accepted.reason == reason
    assert broker.sent == ([] if reason else [(PROFILE.account, 2)])
    assert accepted.order_ids == (() if reason else ("d-001", "d-002"))
