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
from regime_trading.core.audit import chain_of
from regime_trading.core.event_schema import read_event
from regime_trading.core.rules import RULE_IDS
from regime_trading.core.schemas import (
    AuditEvent,
    Fill,
    Order,
    PMDecision,
    Proposal,
    Receipt,
    RuleResult,
    Target,
)
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
    def __init__(self, filled: tuple[str, ...] = ()) -> None:
        self.sent: list[tuple[str, int]] = []
        self.filled = filled

    def submit(self, account: str, orders: tuple[Order, ...], receipt: Receipt) -> None:
        self.sent.append((account, len(orders)))

    def fills(self, account: str, until_ns: int) -> list[Fill]:
        return [Fill(name, "AAA", 1.0, 2.0, 0.0, until_ns) for name in self.filled]


class Record:
    """Write-ahead record and sealer in one: what was made durable, and what was sealed behind which entry."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.sealed: list[tuple[str, str, int]] = []

    def append(self, events: list[AuditEvent]) -> tuple[Receipt, ...]:
        self.events += events
        return (Receipt(chain_of(events[-1]), events[-1].seq, "b" * 64),)

    def seal_audit(self, chain: str, prev_hash: str, events: list[AuditEvent]) -> None:
        assert events == self.events, "durable before it is sealed"
        self.sealed.append((chain, prev_hash, len(events)))

    def told(self) -> list[dict[str, Any]]:
        return [read_event(event.body).model_dump(mode="json") for event in self.events]


CHAIN = f"dry_run/run-1/{PROFILE.account}"


def deps_with(broker: Broker, record: Record, waiting: tuple[Order, ...] = ()) -> Any:
    stored = (None, None, waiting) if waiting else None
    return SimpleNamespace(
        broker=lambda account, source: broker,
        ledger=lambda firm, mode: SimpleNamespace(load=lambda account, before_ns: stored),
        audit=lambda firm: record,
        sealer=record,
        notary=None,
    )


@pytest.mark.parametrize(
    ("action", "status", "receipt_of", "reason"),
    [
        ("ok", "not_required", "d", ""),
        ("ok", "granted", "d", ""),
        ("HOLD", "not_required", "d", "the run is held"),
        ("ok", "refused", "d", "approval refused"),
        ("ok", "expired", "d", "approval expired"),
        ("ok", "void", "d", "approval void"),
        ("ok", "not_required", "another", "no durable receipt"),
        ("ok", "not_required", None, "no durable receipt"),
        ("ok", None, "d", "approval missing"),
    ],
)
def test_only_valid_agreed_and_recorded_orders_leave(
    action: str, status: str | None, receipt_of: str | None, reason: str
) -> None:
    broker, record = Broker(), Record()
    receipt = Receipt(chain_id=CHAIN, seq=1, entry_hash=H)
    run = state(
        GOOD,
        verdict={"action": action},
        approval=() if status is None else (Approval(account=PROFILE.account, status=status),),
        receipts=()
        if receipt_of is None
        else (DecisionReceipt(account=PROFILE.account, decision_id=receipt_of, receipt=receipt),),
    )
    (accepted,) = execution(run, deps_with(broker, record))["executions"]
    assert accepted.reason == reason
    assert broker.sent == ([] if reason else [(PROFILE.account, 2)])
    assert accepted.order_ids == (() if reason else ("d-001", "d-002"))
    assert accepted.receipt == (None if reason else Receipt(CHAIN, 3, "b" * 64))
    assert record.sealed == ([] if reason else [(CHAIN, H, 2)])
    assert [entry["client_order_id"] for entry in record.told()] == list(accepted.order_ids)


def agreed(**fields: Any) -> PipelineState:
    receipt = Receipt(chain_id=CHAIN, seq=4, entry_hash=H)
    return state(
        GOOD,
        **{
            "verdict": {"action": "ok"},
            "approval": (Approval(account=PROFILE.account, status="not_required"),),
            "receipts": (
                DecisionReceipt(account=PROFILE.account, decision_id="d", receipt=receipt, event_id="e-4"),
            ),
            **fields,
        },
    )


def test_every_order_is_in_the_record_with_its_cause() -> None:
    record = Record()
    execution(agreed(), deps_with(Broker(), record))
    first, second = record.told()
    assert (first["event_type"], first["seq"], first["ts_event_ns"]) == ("ORDER_SENT", 5, str(T))
    assert (first["correlation_id"], first["causation_id"], first["decision_id"]) == ("d", "e-4", "d")
    assert (first["intent"], first["symbol"], first["qty"]) == ("exit", "AAA", "-1000")
    assert first["rationale"] == "exit -1000 AAA taken by the broker."
    assert (second["seq"], second["rationale"]) == (6, "entry +400 BBB taken by the broker.")
    assert first["config_hash"] == PROFILE.config_hash


def test_orders_that_were_not_filled_end_in_the_record() -> None:
    waiting = (
        order(1, "AAA", "exit", "-5", "w-1"),
        order(2, "BBB", "entry", "7", "w-2-1"),
        order(2, "BBB", "entry", "8", "w-2-2").model_copy(update={"slice": 2}),
    )
    record = Record()
    (accepted,) = execution(agreed(), deps_with(Broker(filled=("w-1",)), record, waiting))["executions"]
    told = [(entry["client_order_id"], entry["event_type"], entry.get("qty_open")) for entry in record.told()]
    assert told == [
        ("w-2-1", "ORDER_CANCELLED", "7"),
        ("w-2-2", "ORDER_CANCELLED", "8"),
        ("d-001", "ORDER_SENT", None),
        ("d-002", "ORDER_SENT", None),
    ]
    assert accepted.receipt is not None and accepted.receipt.seq == 8


def test_a_held_run_says_nothing_of_orders() -> None:
    record = Record()
    execution(
        agreed(verdict={"action": "HOLD"}), deps_with(Broker(), record, (order(1, "AAA", "exit", "-5"),))
    )
    assert record.events == []
