"""The matrix of edge cases: what every guard does with each kind of trouble, one test per cell.

The scene is that of ``test_rules``: shares AAA, BBB, CCC at 100, an account of 100 000 that holds 100 AAA (0.10) and is
asked for 0.15 AAA and 0.10 BBB; nothing binds. ``MATRIX`` is the table ("—" does not apply), and the cell of a row and
a column is the function ``@cell(row, column)`` below it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from tests.gate_samples import shipped
from tests.history_samples import FREE
from tests.unit.guards.scenarios import ANNUAL, changed, defaults
from tests.unit.guards.test_rules import (
    MARKET,
    OTHER,
    POSITION,
    SYMBOLS,
    TS_NS,
    build_books,
    build_market,
    build_states,
)

from regime_trading.core.numbers import to_nano
from regime_trading.core.requests import Covariance, MarketSnapshot
from regime_trading.core.risk_layers import LayerKind, RiskLayer
from regime_trading.core.risk_stack import apply_layer, default_stack
from regime_trading.core.rules import LATCHING_RULES, RULE_IDS, Authority, Release, TradingState
from regime_trading.core.schemas import RULE_OUTCOMES, InstrumentSpec
from regime_trading.core.trading_day import EPOCH, trading_day_id
from regime_trading.engine.cycle import Carried, Cycle, Desk, Tick, opening, step
from regime_trading.engine.request_market import market_of
from regime_trading.guards.anchors import roll
from regime_trading.guards.chain import Decisions, decide
from regime_trading.guards.drawdown import expire_latches
from regime_trading.guards.facts import (
    CLOSED,
    HALTED,
    LIMIT_LOCKED,
    Brokerage,
    InstrumentFacts,
    Signals,
)
from regime_trading.guards.slicing import ChildOrder, Terms, slices
from regime_trading.guards.snapshot import NO_LATCH, States, View, stack_params
from regime_trading.tools.risk import daily_sigma

COLUMNS = G1, G2, G3, G4, G5, G6 = ("G1 data", "G2 time", "G3 loss", "G4 vol", "G5 conc.", "G6 exec")
NA = "—"
MISSING, NAN, HALT, GAP = "input missing", "NaN / inf / negative", "halted / limit-locked", "overnight gap"
DST, CURRENCY, FLOW, SHORT = "DST / half day", "account currency", "deposit / withdrawal", "short position"
CROSSING, LOTS, CLOCK, BROKE = (
    "crossing zero",
    "rounding / lots",
    "clock backwards / down",
    "zero or negative equity",
)
TABLE = """
|                         | G1 data                   | G2 time                   | G3 loss                       | G4 vol                              | G5 conc.                 | G6 exec                 |
| input missing           | BLOCK(i)                  | calendar unknown = closed | REDUCE_ONLY                   | ρ = 1, prior σ                      | UNCLASSIFIED 0.10, ρ = 1 | no ADV: 0.5 % E cap     |
| NaN / inf / negative    | missing, never clamped    | reject config             | E NaN: REDUCE_ONLY            | drop row, count                     | missing                  | reject order            |
| halted / limit-locked   | NO_TRADE, owed flatten    | —                         | E marks last good             | keep σ, no shrink                   | counts fully             | orders cancelled        |
| overnight gap           | adj. close, next confirms | no entry first 5 min      | first clean mark acts         | σ_fast reacts                       | passive band 1.1×        | exit ladder             |
| DST / half day          | staleness by instants     | window in local zone      | one reset, id by local date   | bars by session id                  | —                        | TTL by session end      |
| account currency        | FX stale: BLOCK(i)        | —                         | floors in account ccy         | returns incl. FX vol                | currency group caps      | notional in account ccy |
| deposit / withdrawal    | unexplained: DS-08        | —                         | no trigger                    | weights recomputed, no forced trade | —                        | power after settlement  |
| short position          | ask marks                 | borrow rules              | LD-12 uses the gap up         | sign in σ̃                          | gross counts size        | buy to cover = exit     |
| crossing zero           | —                         | both legs checked         | open leg blocked under latch  | a from clamp to 0                   | n/a for the close leg    | two orders, close first |
| rounding / lots         | —                         | —                         | exactly at the floor = breach | k rounded down                      | caps after rounding      | toward 0, close-all     |
| clock backwards / down  | DS-07                     | monotone session id       | higher anchor wins            | —                                   | —                        | TTL by monotone clock   |
| zero or negative equity | LOCKED                    | —                         | LOCKED                        | —                                   | —                        | exits only              |
"""  # noqa: E501
MATRIX: dict[str, tuple[str, ...]] = {
    row[0]: row[1:]
    for row in (tuple(map(str.strip, line.split("|")[1:-1])) for line in TABLE.strip().splitlines()[1:])
}
assert tuple(map(str.strip, TABLE.strip().splitlines()[0].split("|")[2:-1])) == COLUMNS
ROWS = [MISSING, NAN, HALT, GAP, DST, CURRENCY, FLOW, SHORT, CROSSING, LOTS, CLOCK, BROKE]
CELLS: dict[tuple[str, str], Callable[[], None]] = {}


def cell(row: str, column: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Names the test of one cell."""

    def keep(test: Callable[[], None]) -> Callable[[], None]:
        assert (row, column) not in CELLS
        CELLS[row, column] = test
        return test

    return keep


APPLICABLE = [
    (row, column)
    for row, cells in MATRIX.items()
    for column, says in zip(COLUMNS, cells, strict=True)
    if says != NA
]


@dataclass(frozen=True)
class Seen:
    """A decision of one account and the states it leaves."""

    d: Decisions
    states: States

    def target(self, symbol: str) -> float:
        return float(self.d.projection.target[0, SYMBOLS.index(symbol)] / 1e9)

    def step(self, symbol: str) -> float:
        return float(self.d.steps.step_qty[0, SYMBOLS.index(symbol)])

    @property
    def targets(self) -> list[float]:
        return [self.target(symbol) for symbol in SYMBOLS]

    @property
    def steps(self) -> list[float]:
        return [self.step(symbol) for symbol in SYMBOLS]

    @property
    def mode(self) -> str:
        return TradingState(int(self.d.mode[0])).name

    def outcome(self, rule_id: str) -> str:
        return RULE_OUTCOMES[self.d.rule_outcome[0, RULE_IDS.index(rule_id)]]

    def codes(self, rule_id: str) -> set[str]:
        at = RULE_IDS.index(rule_id)
        return {c for bit, c in enumerate(self.d.rule_codes[at]) if self.d.rule_reasons[0, at] >> bit & 1}

    def latch(self, rule_id: str) -> tuple[str, str] | None:
        """Release and state of a latch that is held."""
        column = LATCHING_RULES.index(rule_id)
        if self.states.latch_kind[0, column] == NO_LATCH:
            return None
        kind, state = self.states.latch_kind[0, column], self.states.latch_state[0, column]
        return Release(int(kind)).name, TradingState(int(state)).name


def profile(rules: dict[str, dict[str, Any]]) -> dict[str, Any]:
    made = defaults()
    for rule_id, values in rules.items():
        made[rule_id] = changed(made[rule_id], **values)
    return made


KNOWN = {f.name for kind in (InstrumentFacts, Signals, Brokerage, States) for f in fields(kind)}
KNOWN |= {*MARKET, *POSITION, *OTHER}


def scene(ts_ns: int = TS_NS, market: dict[str, Any] | None = None, **given: Any) -> Seen:
    """The decision on the scene with what is ``given`` changed, and fields of the market as they are."""
    assert set(given) <= KNOWN, set(given) - KNOWN
    knobs = stack_params([profile(given.get("rules", {}))], SYMBOLS)
    seen = replace(build_market(given), ts_ns=ts_ns, **(market or {}))
    books = build_books([given], seen)
    return Seen(*decide(View(seen, books, build_states([given], books)), knobs, annual=ANNUAL))


class Account:
    """One account that lives from bar to bar in the real cycle."""

    def __init__(self, cash: float = 100_000.0, spread: float = 0.0, **rules: dict[str, Any]) -> None:
        named = {rule_id.replace("_", "-"): values for rule_id, values in rules.items()}
        self.desk = Desk(
            accounts=("firm/account-0",),
            firm=np.array([0]),
            initial_capital=np.array([cash]),
            knobs=stack_params([profile(named)], SYMBOLS),
            costs=FREE,
            annual=ANNUAL,
        )
        self.carried: Carried = opening(self.desk.initial_capital, 3)
        self.n, self.spread = 0, spread
        self.proposed = np.zeros((1, 3))

    def holding(self, **qty: float) -> Account:
        """The account with shares that it bought at 100."""
        held = np.array([[qty.get(symbol, 0.0) for symbol in SYMBOLS]])
        positions = self.carried.positions
        states = self.carried.states
        self.carried = replace(
            self.carried,
            positions=replace(
                positions,
                cash=positions.cash - 100.0 * held.sum(axis=1),
                qty=held,
                avg_price=np.where(held != 0, 100.0, 0.0),
            ),
            states=replace(states, last_price=np.full((1, 3), 100.0), last_sigma=np.full((1, 3), 0.01)),
        )
        self.proposed = to_nano(held * 100.0 / float(self.desk.initial_capital[0]))
        return self

    def bar(self, *, flow: float = 0.0, asked: dict[str, float] | None = None, **given: Any) -> Cycle:
        """One bar of the scene's market with what is ``given`` changed."""
        market = replace(
            build_market({"spread_bps": self.spread, "session": 100 + self.n, **given}),
            ts_ns=TS_NS + self.n * 86_400 * 10**9,
        )
        assert set(given) <= KNOWN, set(given) - KNOWN
        self.n += 1
        if asked is not None:
            self.proposed = to_nano(np.array([[asked.get(s, 0.0) for s in SYMBOLS]]))
        tick = Tick(
            market=market,
            fill_price=market.price,
            spread_bps=market.spread_bps,
            day_id=np.array([1]),
            flow=np.array([flow]),
            proposed=self.proposed,
            mentioned=np.ones((1, 3), dtype=np.bool_),
            proposal_age_bars=np.zeros(1),
        )
        cycle, self.carried = step(self.desk, self.carried, tick)
        return cycle


def seen(cycle: Cycle) -> Seen:
    return Seen(cycle.decisions, cycle.latched_states)


def orders(one: Seen, *, price: float = 100.0, attempt: int = 0) -> tuple[ChildOrder, ...]:
    """The child orders of the step plan."""
    meet = one.d.meet
    unlimited = np.full(3, np.inf)

    def bound(values: Any) -> np.ndarray:
        return unlimited if values is None else values[0]

    terms = Terms(
        equity=100_000.0,
        unit_value=np.full(3, price),
        lot=np.ones(3),
        tick=np.zeros(3),
        most_entry=bound(meet.slice_entry),
        most_exit=bound(meet.slice_exit),
        reference=np.full(3, price),
        collar=bound(meet.collar),
        attempt=np.full(3, attempt),
        ladder_max=float(one.d.exit_ladder[0]),
        orders_left=float(one.d.orders_left[0]),
    )
    return slices(one.d.steps.exit_qty[0], one.d.steps.entry_qty[0], terms)


APPROVED = [0.15, 0.10, 0.0]
FLATTEN = {"LD-01": {"release": "MANUAL", "state": "FLATTEN"}}


@pytest.mark.parametrize(("row", "column"), APPLICABLE, ids=[f"{r}, {c}" for r, c in APPLICABLE])
def test_cell(row: str, column: str) -> None:
    CELLS[row, column]()


def test_every_cell_that_applies_has_its_test_and_no_other() -> None:
    assert set(CELLS) == set(APPLICABLE)
    assert list(MATRIX) == ROWS and len(APPLICABLE) == 6 * len(ROWS) - 13


def test_the_scene_itself_binds_nothing() -> None:
    assert scene().targets == APPROVED and scene().mode == "NORMAL"


# --- input missing ----------------------------------------------------------------------------------------


@cell(MISSING, G1)
def _() -> None:
    one = scene(price={"BBB": np.nan})
    assert one.targets == [0.15, 0.0, 0.0] and one.mode == "NORMAL"
    assert one.outcome("DS-02") == "unknown"
    held = scene(price={"AAA": np.nan})
    assert held.step("AAA") == 0 and held.d.projection.frozen[0].tolist() == [True, False, False]


@cell(MISSING, G2)
def _() -> None:
    unknown_status = scene(venue_open={"BBB": False})  # what is not known counts as closed
    assert unknown_status.targets == [0.15, 0.0, 0.0] and unknown_status.codes("UT-04") == {"VENUE_CLOSED"}
    no_events = scene(to_event_s={"BBB": np.nan})
    assert no_events.targets == [0.15, 0.0, 0.0] and no_events.codes("UT-06") == {"CALENDAR_UNKNOWN"}
    no_clock = scene(since_open_s={"BBB": np.nan})
    assert no_clock.targets == [0.15, 0.0, 0.0] and no_clock.codes("UT-05") == {"SESSION_CLOCK_UNKNOWN"}


@cell(MISSING, G3)
def _() -> None:
    one = scene(equity=np.nan)
    assert one.mode == "REDUCE_ONLY" and one.codes("LD-01") == {"EQUITY_UNKNOWN"}
    assert one.steps == [0, 0, 0] and one.latch("LD-01") is None
    anchor = scene(day_anchor_equity=np.nan)
    assert anchor.mode == "REDUCE_ONLY" and anchor.targets == [0.10, 0.0, 0.0]


@cell(MISSING, G4)
def _() -> None:
    one = scene(sigma={"BBB": np.nan})
    assert one.targets == [0.15, 0.0, 0.0] and one.outcome("VT-06") == "unknown"
    prior, own = 0.60, 0.01 * np.sqrt(ANNUAL)
    assert one.d.projection.sigma_tilde[0] == pytest.approx(0.15 * own + 0.10 * prior, rel=1e-12)  # rho = 1


@cell(MISSING, G5)
def _() -> None:
    one = scene(group={"BBB": -1}, proposed={"AAA": 0.15, "BBB": 0.15})
    assert one.targets == pytest.approx([0.15, 0.10, 0.0], abs=2e-9) and one.target("BBB") <= 0.10
    assert one.codes("CC-04") == {"UNCLASSIFIED"}
    rho = np.eye(3)
    rho[0, 1] = rho[1, 0] = np.nan
    pair = {"CC-06": {"max_pair": "0.20"}}
    assert scene(correlation=rho, rules=pair).targets == [0.12, 0.08, 0.0]
    assert scene(correlation=np.eye(3), rules=pair).targets == APPROVED


@cell(MISSING, G6)
def _() -> None:
    one = scene(adv={"AAA": np.nan, "BBB": np.nan}, rules={"XL-05": {"enabled": False}})
    assert one.targets == [0.005, 0.005, 0.0] and one.codes("XL-04") == {"DAYS_TO_LIQUIDATE", "ADV_UNKNOWN"}
    assert one.steps == [-95.0, 0.0, 0.0]  # nothing opens without a volume, exits are not held back


# --- NaN / inf / negative ---------------------------------------------------------------------------------


@cell(NAN, G1)
def _() -> None:
    for bad in (np.nan, np.inf, -np.inf, -3.0, 0.0):
        one = scene(price={"BBB": bad})
        assert one.targets == [0.15, 0.0, 0.0] and one.codes("DS-02") == {"PRICE_MISSING"}, bad
        assert one.d.rule_value[0, RULE_IDS.index("DS-02")] == 1


@cell(NAN, G2)
def _() -> None:
    for key, name, bad in (
        ("news", "before_s", -1),
        ("news", "before_s", "NaN"),
        ("session_buffers", "no_entry_after_open_s", "Infinity"),
        ("cooldown", "cooldown_s", -5),
        ("short_sale", "max_borrow_fee", "NaN"),
        ("flat_by", "at", "25:00"),
    ):
        layer = RiskLayer(LayerKind.FIRM, "firm", {key: {name: bad}})
        stack, findings = apply_layer(default_stack(), layer)
        assert [finding.path for finding in findings] == [f"risk.{key}.{name}"]
        assert stack.values == default_stack().values


@cell(NAN, G3)
def _() -> None:
    for bad in (np.nan, np.inf, -np.inf):
        one = scene(equity=bad)
        assert one.mode == "REDUCE_ONLY" and one.steps == [0, 0, 0], bad
        assert all(one.latch(rule_id) is None for rule_id in LATCHING_RULES), bad
        held = scene(equity=bad, latches=FLATTEN)  # a breach that is latched stays one
        assert held.mode == "FLATTEN" and held.step("AAA") == -100


@cell(NAN, G4)
def _() -> None:
    returns = np.full((252, 3), 0.001)
    tail = {"VT-05": {"max_es": "0.5"}}

    def at(*holes: int) -> Seen:
        rows = returns.copy()
        rows[list(holes), 0] = np.nan
        return scene(scenarios=rows.tolist(), rules=tail)

    assert at(1, 2).outcome("VT-05") == "pass"  # two rows dropped, 250 are left
    assert at(1, 2, 3).outcome("VT-05") == "unknown" and at(1, 2, 3).targets == [0.10, 0.0, 0.0]


@cell(NAN, G5)
def _() -> None:
    for bad in (np.nan, np.inf, -np.inf, 2.0, -2.0):
        rho = np.eye(3)
        rho[0, 1] = rho[1, 0] = bad
        assert scene(correlation=rho, rules={"CC-06": {"max_pair": "0.20"}}).targets == [0.12, 0.08, 0.0], bad
    for bad in (np.nan, np.inf, -0.5):  # a margin rate that is none counts as 1
        one = scene(margin_rate={"BBB": bad}, rules={"CC-13": {"margin_share": "0.05"}})
        assert "MARGIN_RATE_UNKNOWN" in one.codes("CC-13") and one.target("BBB") <= 0.05, bad


@cell(NAN, G6)
def _() -> None:
    for bad in (np.nan, np.inf, -np.inf):
        one = scene(proposed={"AAA": 0.15, "BBB": bad})
        assert one.d.refused[0] and one.steps == [0, 0, 0] and orders(one) == (), bad
        unknown = scene(working_entry_qty={"CCC": bad})
        assert unknown.steps == [0, 0, 0] and unknown.d.steps.cancel[0].tolist() == [False, False, True], bad
    for bad in (np.nan, np.inf, -100.0, 0.0):
        assert scene(price={"BBB": bad}).step("BBB") == 0, bad
        assert scene(adv={"BBB": bad}).step("BBB") == 0, bad


# --- halted / limit-locked --------------------------------------------------------------------------------


@cell(HALT, G1)
def _() -> None:
    for status in (HALTED, LIMIT_LOCKED):
        one = scene(status={"AAA": status}, qty={"AAA": 100, "BBB": 100}, latches=FLATTEN)
        assert one.mode == "FLATTEN" and one.targets == [0.10, 0.0, 0.0]
        assert one.steps == [0, -100, 0] and one.d.steps.owed_qty[0].tolist() == [-100, 0, 0]


@cell(HALT, G3)
def _() -> None:
    account = Account(LD_01={"limit_pct": "0.01"}).holding(AAA=500)
    before = account.bar()
    assert before.marks.equity[0] == 100_000
    halted = account.bar(price={"AAA": np.nan}, status={"AAA": HALTED}, age_bars={"AAA": 1.0})
    assert halted.marks.plain_equity[0] == 100_000  # the last good mark
    assert halted.marks.equity[0] == 95_000 and halted.marks.estimated[0]  # and a haircut for the rules
    one = seen(halted)
    assert one.mode == "REDUCE_ONLY" and one.latch("LD-01") is None and one.step("AAA") == 0


@cell(HALT, G4)
def _() -> None:
    asked = {"proposed": {"AAA": 0.10, "BBB": 0.10}}
    free, halted = scene(**asked), scene(status={"AAA": HALTED}, **asked)
    assert halted.d.projection.sigma_tilde[0] == pytest.approx(free.d.projection.sigma_tilde[0], rel=1e-12)
    assert halted.target("AAA") == 0.10 and halted.step("AAA") == 0
    tight = {"VT-01": {"sigma_target": "0.01"}}
    assert scene(status={"AAA": HALTED}, rules=tight, **asked).target("AAA") == 0.10


@cell(HALT, G5)
def _() -> None:
    one = scene(
        status={"AAA": HALTED},
        proposed={"AAA": 0.10, "BBB": 0.10},
        rules={"CC-04": {"max_group": "0.15"}},
    )
    assert one.targets == [0.10, 0.05, 0.0]  # AAA keeps its 0.10 of the group's 0.15


@cell(HALT, G6)
def _() -> None:
    for status in (HALTED, LIMIT_LOCKED):
        one = scene(status={"AAA": status}, working_entry_qty={"AAA": 50, "BBB": 100}, working_age_s=1.0)
        assert one.d.steps.cancel[0].tolist() == [True, False, False]
        assert one.codes("XL-17") == {"VENUE_SHUT"} and one.step("AAA") == 0


# --- overnight gap ----------------------------------------------------------------------------------------


@cell(GAP, G1)
def _() -> None:
    account = Account(LD_01={"limit_pct": "unlimited"}, LD_02={"ladder": []}).holding(AAA=100)
    account.bar()
    gap = account.bar(price={"AAA": 75.0}, ref_price=100.0, asked={"AAA": 0.0})
    assert seen(gap).codes("DS-03") == {"PRICE_JUMP_UNCONFIRMED"} and seen(gap).step("AAA") == 0
    assert gap.marks.equity[0] == 97_500  # the adverse of both marks reaches the loss rules at once
    later = account.bar(price={"AAA": 75.0}, ref_price={"AAA": 75.0, "BBB": 100.0, "CCC": 100.0})
    assert seen(later).outcome("DS-03") == "pass" and seen(later).step("AAA") == -100
    # the reference is the close as adjusted: half the price after a split of two for one is no jump
    assert scene(price={"AAA": 50.0}, ref_price={"AAA": 50.0}).outcome("DS-03") == "pass"


@cell(GAP, G2)
def _() -> None:
    assert scene(since_open_s=299.0).targets == [0.10, 0.0, 0.0]
    assert scene(since_open_s=299.0).codes("UT-05") == {"AFTER_OPEN"}
    assert scene(since_open_s=299.0, proposed={"AAA": 0.0}).step("AAA") == -100
    assert scene(since_open_s=300.0).targets == APPROVED


@cell(GAP, G3)
def _() -> None:
    account = Account(cash=50_000.0, LD_01={"limit_pct": "0.02"}).holding(AAA=400)
    account.bar()
    dark = account.bar(price={"AAA": np.nan}, age_bars={"AAA": 1.0})
    assert seen(dark).mode == "REDUCE_ONLY" and seen(dark).latch("LD-01") is None
    first = account.bar(price={"AAA": 85.0}, ref_price={"AAA": 100.0})
    assert first.marks.equity[0] == 44_000  # 6 000 lost: far below the outside floor at 49 000
    assert seen(first).mode == "FLATTEN" and seen(first).step("AAA") == -400
    assert seen(first).latch("LD-01") == ("DUAL", "FLATTEN")


@cell(GAP, G4)
def _() -> None:
    calm = np.tile([[0.005], [-0.005]], (100, 1))
    gapped = np.vstack([calm, [[-0.08]]])
    before, after = daily_sigma(calm)[-1, 0], daily_sigma(gapped)[-1, 0]
    slow = daily_sigma(gapped, fast=40.0)[-1, 0]
    assert after > 4 * before and after > 2 * slow


@cell(GAP, G5)
def _() -> None:
    cap = {"CC-01": {"max_weight": "0.10"}}
    inside = scene(qty={"AAA": 110}, proposed={"AAA": 0.15}, rules=cap)
    assert (
        inside.targets[0] == 0.10 and inside.step("AAA") == 0
    )  # the market moved it, by no more than a tenth
    beyond = scene(qty={"AAA": 111}, proposed={"AAA": 0.15}, rules=cap)
    assert beyond.step("AAA") == -11


@cell(GAP, G6)
def _() -> None:
    one = scene(latches=FLATTEN)
    widths = [orders(one, attempt=attempt)[0].limit_price for attempt in range(6)]
    assert widths == pytest.approx([99.0, 98.0, 96.0, 92.0, 92.0, 92.0])


# --- DST / half day ---------------------------------------------------------------------------------------


@cell(DST, G1)
def _() -> None:
    night = 17.5 * 3600  # from the close at 16:00 to 09:30, whatever the clocks on the wall do meanwhile
    for shift in (-3600.0, 0.0, 3600.0):
        asleep = scene(
            status=CLOSED, venue_open=False, quote_age_s=night + shift, received_age_s=night + shift
        )
        assert asleep.outcome("DS-01") == "pass"
    assert scene(quote_age_s={"BBB": 3600.0}).target("BBB") == 0.0  # an hour is an hour while it trades


@cell(DST, G2)
def _() -> None:
    rule = {"UT-08": {"at": "15:08", "zone": "America/Chicago"}}

    def at(utc: str) -> str:
        ts_ns = int(dt.datetime.fromisoformat(utc + "+00:00").timestamp()) * 10**9
        return scene(ts_ns, bar_s=60, day_id=-1, rules=rule).mode

    assert (at("2024-03-08T21:02"), at("2024-03-08T21:03")) == ("NORMAL", "FLATTEN")  # winter: 15:08 is 21:08
    assert (at("2024-03-11T20:02"), at("2024-03-11T20:03")) == ("NORMAL", "FLATTEN")  # summer: 20:08


@cell(DST, G3)
def _() -> None:
    for zone, day, hours in (("Europe/Prague", "2024-03-31", 23), ("America/Chicago", "2024-11-03", 25)):
        states, resets = opening(np.array([100_000.0]), 3).states, []
        first = dt.datetime.fromisoformat(f"{day}T00:00:00+00:00") - dt.timedelta(hours=12)
        for quarter in range(4 * 48):
            ts_ns = int((first + dt.timedelta(minutes=15 * quarter)).timestamp()) * 10**9
            states, new = roll(states, np.array([trading_day_id(ts_ns, dt.time(0), zone)]))
            resets += [(quarter, str(EPOCH + dt.timedelta(days=int(states.day_id[0]))))] * bool(new[0])
        begun = [name for _, name in resets]
        assert begun == sorted(set(begun)) and day in begun  # each day once, by its local date
        at = {name: quarter for quarter, name in resets}
        following = str(dt.date.fromisoformat(day) + dt.timedelta(days=1))
        assert (at[following] - at[day]) / 4 == hours


@cell(DST, G4)
def _() -> None:
    quick = {"k_last": 0.5, "rules": {"VT-01": {"sigma_target": "1.0", "max_k_rise": "0.25"}}}
    for bar_s in (82_800, 86_400, 90_000):  # a day of 23, 24 and 25 hours is one session
        assert scene(bar_s=bar_s, session=100, k_session=99, **quick).d.projection.k[0] == 0.75
    assert scene(session=100, k_session=100, **quick).d.projection.k[0] == 0.5


@cell(DST, G6)
def _() -> None:
    works = {"working_entry_qty": {"BBB": 100}, "working_age_s": 60.0}
    assert not scene(**works).d.steps.cancel.any()
    early = scene(status={"BBB": CLOSED}, venue_open={"BBB": False}, **works)  # a half day has ended
    assert early.d.steps.cancel[0].tolist() == [False, True, False]


# --- account currency -------------------------------------------------------------------------------------


@cell(CURRENCY, G1)
def _() -> None:
    assert scene(fx_age_s={"BBB": 60.0}).targets == APPROVED
    assert scene(fx_age_s={"BBB": 61.0}).targets == [0.15, 0.0, 0.0]
    assert scene(fx={"BBB": np.nan}).targets == [0.15, 0.0, 0.0]


@cell(CURRENCY, G3)
def _() -> None:
    for rate, equity, mode in ((0.92, 98_400, "REDUCE_ONLY"), (0.905, 98_100, "FLATTEN")):
        account = Account(LD_01={"limit_pct": "unlimited", "limit_money": "2000"}).holding(AAA=100, BBB=200)
        assert seen(account.bar()).mode == "NORMAL"
        fell = account.bar(fx={"AAA": 1.0, "BBB": rate, "CCC": 1.0})  # prices stand, the rate falls
        assert fell.marks.equity[0] == equity and seen(fell).mode == mode
    stop = {"LD-07": {"max_mae": "500"}}
    lost = {"qty": {"BBB": 100}, "proposed": {"BBB": 0.10}, "avg_price": {"BBB": 109.0}, "rules": stop}
    assert scene(**lost).outcome("LD-07") == "bound"  # 900 lost
    assert scene(fx={"BBB": 0.5}, **lost).outcome("LD-07") == "pass"  # 450 of the account's currency


@cell(CURRENCY, G4)
def _() -> None:
    """BBB and CCC are in euros: what the book does in dollars is what its volatility says, to the last digit."""
    r = np.random.default_rng(7)
    prices, euro = r.normal(0, 0.01, (300, 3)), r.normal(0, 0.008, 300)
    prices[:, 1] -= 0.5 * euro
    weights = np.array([0.10, 0.12, -0.05])
    told = np.cov(np.column_stack([prices, euro]).T)
    felt = np.std((prices + np.outer(euro, [0, 1, 1])) @ weights, ddof=1)
    proposed = dict(zip(SYMBOLS, weights.tolist(), strict=True))

    def weighed(matrix: np.ndarray, currencies: tuple[str, ...] = ("EUR",), **more: Any) -> Seen:
        one = in_currencies(matrix, currencies, ("USD", "EUR", "EUR"))
        return scene(market=one, qty={}, proposed=proposed, **more)

    whole = weighed(told)
    assert whole.d.projection.sigma_tilde[0] == pytest.approx(felt * np.sqrt(ANNUAL), rel=1e-9)
    assert whole.outcome("VT-06") == "pass" and whole.targets == pytest.approx(weights.tolist())
    target = f"{felt * np.sqrt(ANNUAL) / 2:.9f}"
    halved = weighed(told, rules={"VT-01": {"sigma_target": target}, "XL-07": {"min_notional": "10"}})
    assert halved.targets == pytest.approx((weights / 2).tolist(), rel=1e-6)

    apart = told.copy()  # nobody knows how price and currency go together: as if they always did
    apart[3, :3] = apart[:3, 3] = np.nan
    alone = scene(
        market=in_currencies(apart, ("EUR",), ("USD", "EUR", "EUR")), qty={}, proposed={"BBB": 0.12}
    )
    sigmas = np.sqrt(np.diag(told))
    assert alone.d.projection.sigma_tilde[0] == pytest.approx(
        0.12 * (sigmas[1] + sigmas[3]) * np.sqrt(ANNUAL)
    )

    silent = weighed(told[:3, :3], ())  # and without a word of the euro there is no volatility, and no entry
    assert silent.codes("VT-06") == {"FX_VOLATILITY_UNKNOWN"} and silent.targets[1:] == [0.0, 0.0]
    assert silent.targets[0] == 0.10


def in_currencies(
    matrix: np.ndarray, currencies: tuple[str, ...], of_symbols: tuple[str, ...]
) -> dict[str, Any]:
    """What the gate makes of a covariance of prices and currencies, for an account in dollars."""
    said = MarketSnapshot(
        instruments=tuple(
            InstrumentSpec(symbol=s, currency=c) for s, c in zip(SYMBOLS, of_symbols, strict=True)
        ),
        covariance=Covariance(
            symbols=SYMBOLS,
            currencies=currencies,
            matrix=tuple(tuple(None if np.isnan(x) else Decimal(str(x)) for x in row) for row in matrix),
            annualised=False,
            n_obs=300,
        ),
    )
    found = market_of(said, SYMBOLS, TS_NS, "USD", {}, shipped()[0])
    return {
        name: getattr(found, name) for name in ("sigma", "price_sigma", "correlation", "n_obs", "condition")
    }


@cell(CURRENCY, G5)
def _() -> None:
    """One grouping at a time: here it is the currency."""
    one = scene(
        group={"AAA": 0, "BBB": 1, "CCC": 1},
        proposed={"AAA": 0.15, "BBB": 0.15, "CCC": 0.15},
        fx={"BBB": 0.5, "CCC": 0.5},
        rules={"CC-04": {"max_group": "0.20"}},
    )
    assert one.targets == pytest.approx([0.15, 0.10, 0.10], abs=2e-9) and sum(one.targets[1:]) <= 0.20


@cell(CURRENCY, G6)
def _() -> None:
    half = {"fx": {"BBB": 0.5}}
    one = scene(rules={"XL-01": {"max_notional_money": "5000"}}, **half)
    assert one.step("BBB") == 200  # 10 000 of the account's currency
    assert [order.qty for order in orders(one, price=50.0) if order.symbol == 1] == [100, 100]
    assert scene(rules={"XL-07": {"min_notional": "10000"}}, **half).step("BBB") == 200
    assert scene(rules={"XL-07": {"min_notional": "10001"}}, **half).step("BBB") == 0


# --- deposit / withdrawal ---------------------------------------------------------------------------------


@cell(FLOW, G1)
def _() -> None:
    small, large = scene(equity_gap=0.005), scene(equity_gap=0.02)
    assert small.mode == "REDUCE_ONLY" and small.latch("DS-08") is None
    assert large.mode == "REDUCE_ONLY" and large.latch("DS-08") == ("MANUAL", "REDUCE_ONLY")


@cell(FLOW, G3)
def _() -> None:
    limits: dict[str, dict[str, Any]] = {
        "LD_01": {"limit_pct": "0.02"},
        "LD_04": {"limit_pct": "0.05"},
        "LD_06": {"weekly_pct": "0.02", "monthly_pct": "0.02"},
    }
    for flow in (30_000.0, -30_000.0):
        for policy in ("shift", "unitized"):
            rules = {**limits, "LD_03": {"limit_pct": "0.05", "flow_policy": policy}}
            account = Account(**rules).holding(AAA=100)
            account.bar()
            one = seen(account.bar(flow=flow))
            assert one.mode == "NORMAL" and one.d.projection.throttle[0] == 1.0, (flow, policy)
            assert all(one.latch(rule_id) is None for rule_id in LATCHING_RULES)
    account = Account(LD_03={"limit_pct": "0.05", "flow_policy": "none"}).holding(AAA=100)
    account.bar()
    assert account.bar(flow=-4_000.0).marks.equity[0] == 96_000
    assert seen(account.bar()).mode == "NORMAL"  # the floor stays at 95 000, it acts at 95 750
    assert seen(account.bar(flow=-250.0)).mode == "FLATTEN"


@cell(FLOW, G4)
def _() -> None:
    account = Account().holding(AAA=100)
    account.bar()
    paid_out = account.bar(flow=-20_000.0)
    assert not paid_out.fills.qty.any()  # nothing is forced at the flow itself
    assert paid_out.view.books.current[0, 0] == 125_000_000  # 10 000 of 80 000
    assert seen(paid_out).target("AAA") == 0.10 and seen(paid_out).step("AAA") == -20
    assert account.bar().fills.qty[0].tolist() == [-20, 0, 0]


@cell(FLOW, G6)
def _() -> None:
    unsettled = scene(equity=120_000.0, buying_power=5_005.0)  # 20 000 came in and cannot be spent yet
    assert unsettled.codes("XL-15") == {"BUYING_POWER"}
    assert sum(unsettled.steps) * 100 <= 5_000 and sum(unsettled.steps) > 0
    settled = scene(equity=120_000.0, buying_power=110_000.0)
    assert settled.steps == [80, 120, 0]


# --- short position ---------------------------------------------------------------------------------------


@cell(SHORT, G1)
def _() -> None:
    account = Account(spread=20.0).holding(AAA=-100)
    assert account.bar().marks.mark[0, 0] == pytest.approx(100.10)
    assert account.bar().marks.equity[0] == pytest.approx(99_990.0)
    gone = account.bar(price={"AAA": np.nan}, age_bars={"AAA": 1.0})
    assert gone.marks.mark[0, 0] == pytest.approx(110.0)


@cell(SHORT, G2)
def _() -> None:
    asked = {"proposed": {"AAA": 0.15, "BBB": -0.10}}
    assert scene(**asked).targets == [0.15, -0.10, 0.0]
    for reason, given in (
        ("CANNOT_BORROW", {"borrow": {"BBB": 0}}),
        ("BORROW_FEE", {"borrow_fee": {"BBB": 0.12}}),
        ("BORROW_UNKNOWN", {"borrow": {"BBB": -1}}),
    ):
        one = scene(**asked, **given)
        assert one.targets == [0.15, 0.0, 0.0] and one.codes("UT-10") == {reason}
    recalled = scene(qty={"AAA": -100}, proposed={"AAA": -0.15}, borrow={"AAA": 2})
    assert recalled.step("AAA") == 100


@cell(SHORT, G3)
def _() -> None:
    stress = {"LD-12": {"when": "always", "single_name": "0.05"}}
    asked = {"qty": {"AAA": -100}, "proposed": {"AAA": -0.15}, "rules": stress}
    rising = scene(gap_up=0.15, gap_down=0.01, **asked)
    assert rising.codes("LD-12") == {"PROJECTED_STRESS"} and rising.target("AAA") == -0.096
    assert scene(gap_up=0.01, gap_down=0.15, **asked).target("AAA") == -0.15


@cell(SHORT, G4)
def _() -> None:
    rho = np.full((3, 3), 0.9) + 0.1 * np.eye(3)
    alike = scene(correlation=rho, qty={}, proposed={"AAA": 0.10, "BBB": 0.10})
    hedge = scene(correlation=rho, qty={}, proposed={"AAA": 0.10, "BBB": -0.10})
    own = 0.10 * 0.01 * np.sqrt(ANNUAL)
    assert alike.d.projection.sigma_tilde[0] == pytest.approx(own * np.sqrt(2 + 2 * 0.9), rel=1e-9)
    assert hedge.d.projection.sigma_tilde[0] == pytest.approx(own * np.sqrt(2 - 2 * 0.9), rel=1e-9)


@cell(SHORT, G5)
def _() -> None:
    one = scene(proposed={"AAA": 0.15, "BBB": -0.10}, rules={"CC-02": {"max_gross": "0.20"}})
    assert one.targets == [0.12, -0.08, 0.0]


@cell(SHORT, G6)
def _() -> None:
    strict = {"XL-06": {"max_increase": "0"}, "XL-07": {"min_notional": "1000000"}}
    one = scene(
        qty={"AAA": -100}, proposed={"AAA": 0.0}, buying_power=0.0, kill_level=1, rules=strict
    )  # nothing may be bought, and everything may be covered
    assert one.mode == "REDUCE_ONLY" and one.steps == [100, 0, 0]
    assert one.d.steps.exit_qty[0].tolist() == [100, 0, 0] and not one.d.steps.entry_qty.any()


# --- crossing zero ----------------------------------------------------------------------------------------

TURN = {"AAA": -0.10}


@cell(CROSSING, G2)
def _() -> None:
    assert scene(proposed=TURN).step("AAA") == -200
    for given in ({"to_event_s": {"AAA": 60.0}}, {"borrow": {"AAA": 0}}, {"since_open_s": {"AAA": 10.0}}):
        one = scene(proposed=TURN, **given)
        assert one.target("AAA") == 0.0 and one.step("AAA") == -100, given  # closes, does not open
    shut = scene(proposed=TURN, to_event_s={"AAA": 60.0}, rules={"UT-06": {"mode": "no_trade"}})
    assert shut.step("AAA") == 0  # the closing leg is looked at too


@cell(CROSSING, G3)
def _() -> None:
    for state, release in (("REDUCE_ONLY", "TIMED"), ("FLATTEN", "MANUAL"), ("LOCKED", "DUAL")):
        held = {"LD-09": {"release": release, "state": state, "for_s": 600}}
        one = scene(proposed=TURN, latches=held)
        assert one.mode == state and one.target("AAA") == 0.0 and one.step("AAA") == -100


@cell(CROSSING, G4)
def _() -> None:
    rho = np.full((3, 3), 0.9) + 0.1 * np.eye(3)
    asked = {"proposed": {"AAA": -0.10, "BBB": 0.10}, "correlation": rho}
    free, clamped = scene(**asked), scene(borrow={"AAA": 0}, **asked)
    assert free.d.projection.scale[0].tolist()[:2] == [1.0, 1.0]
    assert clamped.d.projection.scale[0].tolist()[:2] == [0.0, 1.0]
    own = 0.10 * 0.01 * np.sqrt(ANNUAL)
    assert free.d.projection.sigma_tilde[0] == pytest.approx(own * np.sqrt(0.2), rel=1e-9)
    # the hedge does not survive, so it earns no credit
    assert clamped.d.projection.sigma_tilde[0] == pytest.approx(own * np.sqrt(2.0), rel=1e-9)


@cell(CROSSING, G5)
def _() -> None:
    caps = {"CC-01": {"max_weight": "0.05"}, "CC-02": {"max_gross": "0.04"}, "CC-04": {"max_group": "0.04"}}
    one = scene(proposed=TURN, rules=caps)
    assert one.d.steps.exit_qty[0, 0] == -100 and one.d.steps.entry_qty[0, 0] == -40


@cell(CROSSING, G6)
def _() -> None:
    one = scene(proposed={"AAA": -0.10, "BBB": 0.10})
    sent = orders(one)
    assert [(o.intent, SYMBOLS[o.symbol], o.qty) for o in sent] == [
        ("exit", "AAA", -100),
        ("entry", "AAA", -100),
        ("entry", "BBB", 100),
    ]
    assert [o.leg for o in sent] == [1, 2, 3]


# --- rounding / lots --------------------------------------------------------------------------------------


@cell(LOTS, G3)
def _() -> None:
    anchored = {"day_anchor_equity": 100_000.0, "day_anchor_balance": 100_000.0, "unit_hwm": 1.0}
    on, above = scene(equity=98_200.0, **anchored), scene(equity=98_200.01, **anchored)
    assert on.mode == "FLATTEN" and on.latch("LD-01") == ("NEXT_SESSION", "FLATTEN")
    assert above.mode == "REDUCE_ONLY" and above.latch("LD-01") is None
    external = scene(equity=98_000.0, **anchored)
    assert external.latch("LD-01") == ("DUAL", "FLATTEN")


@cell(LOTS, G4)
def _() -> None:
    target = 0.02
    one = scene(rules={"VT-01": {"sigma_target": str(target)}})
    k, sigma = float(one.d.projection.k[0]), float(one.d.projection.sigma_tilde[0])
    assert k * 1e9 == np.floor(k * 1e9) and k * sigma <= target < (k + 3e-8) * sigma
    weights = [one.target(symbol) for symbol in SYMBOLS]
    assert 0.01 * np.sqrt(ANNUAL) * np.sqrt(sum(w * w for w in weights)) <= target


@cell(LOTS, G5)
def _() -> None:
    for lot in (7.0, 30.0, 33.0):
        one = scene(
            lot=lot,
            qty={},
            price=99.7,
            rules={"CC-02": {"max_gross": "0.20"}, "CC-01": {"max_weight": "0.12"}},
        )
        after = np.abs(one.d.steps.target_qty[0]) * 99.7 / 100_000
        assert after.sum() <= 0.20 and after.max() <= 0.12 and after.sum() > 0.10
        assert (one.d.steps.target_qty[0] % lot == 0).all()


@cell(LOTS, G6)
def _() -> None:
    assert scene(lot=30.0).steps[1] == 90  # 100 units are asked for
    assert scene(lot=30.0, proposed={"BBB": -0.10}).steps[1] == -90
    rest = scene(
        lot=30.0, proposed={"AAA": 0.0}, rules={"XL-07": {"min_notional": "1000000", "dead_band": "0.5"}}
    )
    assert rest.step("AAA") == -100  # all of it, the ten beyond the lots too


# --- clock backwards / process down at boundary -----------------------------------------------------------


@cell(CLOCK, G1)
def _() -> None:
    assert scene(clock_skew_ms=100.0).mode == "NORMAL"
    for skew in (101.0, -101.0, np.nan):
        assert scene(clock_skew_ms=skew).mode == "REDUCE_ONLY", skew
    future = scene(future_rows={"BBB": True})
    assert future.targets == [0.15, 0.0, 0.0] and future.codes("DS-07") == {"FUTURE_ROW"}


@cell(CLOCK, G2)
def _() -> None:
    states = opening(np.array([100_000.0]), 3).states
    states, _ = roll(states, np.array([20_000]))
    column = LATCHING_RULES.index("UT-08")
    states.latch_kind[0, column], states.latch_state[0, column] = Release.NEXT_SESSION, TradingState.FLATTEN
    for day in (19_999, 20_000, 19_000):  # set back over the reset, and over it again
        states, new = roll(states, np.array([day]))
        states = expire_latches(states, new, TS_NS)
        assert not new[0] and states.day_id[0] == 20_000 and states.latched("UT-08")[0]
    states, new = roll(states, np.array([20_001]))
    assert new[0] and not expire_latches(states, new, TS_NS).latched("UT-08")[0]


@cell(CLOCK, G3)
def _() -> None:
    for balance, equity in ((101_000.0, 99_000.0), (99_000.0, 101_000.0)):
        known = opening(np.array([100_000.0]), 3).states
        known = replace(known, last_balance=np.array([balance]), last_equity=np.array([equity]))
        seen_it, _ = roll(known, np.array([1]))
        missed_it, _ = roll(known, np.array([1]), np.array([True]))
        assert (seen_it.day_anchor_balance[0], seen_it.day_anchor_equity[0]) == (balance, equity)
        assert (missed_it.day_anchor_balance[0], missed_it.day_anchor_equity[0]) == (101_000, 101_000)


@cell(CLOCK, G6)
def _() -> None:
    works = {"working_entry_qty": {"BBB": 100}}
    assert not scene(working_age_s=86_400.0, **works).d.steps.cancel.any()
    for age in (86_401.0, -1.0, np.nan):  # an age that went backwards is not known: it goes
        one = scene(working_age_s=age, **works)
        assert one.d.steps.cancel[0].tolist() == [False, True, False], age
        assert one.step("BBB") == 0


# --- zero or negative equity ------------------------------------------------------------------------------


@cell(BROKE, G1)
def _() -> None:
    for equity in (0.0, -500.0):
        one = scene(equity=equity)
        assert one.mode == "LOCKED" and np.isnan(one.d.current[0, 0]) and one.d.current[0, 1] == 0.0


@cell(BROKE, G3)
def _() -> None:
    for equity in (0.0, -500.0):
        one = scene(equity=equity)
        assert one.mode == "LOCKED" and one.latch("LD-02") == ("DUAL", "LOCKED")
    estimated = scene(equity=-500.0, equity_estimated=True)  # a dead feed ruins nobody
    assert estimated.mode == "REDUCE_ONLY" and estimated.latch("LD-02") is None


@cell(BROKE, G6)
def _() -> None:
    for equity in (0.0, -500.0):
        one = scene(equity=equity, qty={"AAA": 100, "CCC": -50})
        assert one.steps == [-100, 0, 50] and not one.d.steps.entry_qty.any()
        assert Authority(int(one.d.authority[0])) is Authority.RISK_REDUCING
