"""Whether every rule still fires: one synthetic snapshot per rule that it must not let pass.

The snapshot of a rule is a plain scene with one thing gone badly wrong. :func:`silent_rules` runs each rule on its own
at the start of a process; :func:`reachable` runs an account's own parameters on the same snapshots, so that a limit
nobody can ever reach is seen for what it is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from regime_trading.core.numbers import NANO
from regime_trading.core.rules import RULE_BY_ID, RULE_IDS, Guard, RuleParams
from regime_trading.guards.chain import decide, evaluate_one
from regime_trading.guards.facts import (
    HALTED,
    NO_BORROW,
    QUANTITY_DIFFERS,
    plain_instruments,
    quiet_signals,
    silent_brokerage,
)
from regime_trading.guards.snapshot import (
    CROSSED_BOOK,
    Books,
    Market,
    View,
    fresh_states,
    nano_weights,
    restack,
    stack_params,
)
from regime_trading.guards.verdict import BOUND, NOT_EVALUABLE, OFF, UNKNOWN

EQUITY = 100_000.0
ANNUAL = 252.0
_TS_NS = int(dt.datetime(2020, 3, 2, 20, tzinfo=dt.UTC).timestamp()) * 10**9
_DAY_NS = 86_400 * 10**9
_SAID = frozenset(
    {"close", "bars", "ohlc", "volume", "quotes", "trades", "status", "fx", "instruments", "intraday", "second_source",
     "session_clock", "clock", "borrow", "earnings", "correlation_shift"}
)  # fmt: skip
_TOLD = frozenset({"recon", "margin", "orders", "fills", "stops", "heartbeat"})
_BIG = 1e9
_MONEY = ("equity", "balance", "qty", "day_peak", "sent_qty", "working_entry_qty")
_LISTS = {
    "UT-01": ("symbols",),
    "UT-02": ("symbols",),
    "UT-03": ("classes", "venues"),
    "UT-12": ("long_only", "hedge_groups"),
    "UT-13": ("start", "end"),
    "UT-14": ("windows",),
}  #: what a rule passes everything without
FIRED = (BOUND, UNKNOWN)


@dataclass(frozen=True, slots=True)
class Trigger:
    """What goes wrong, by field name of market, facts, books and states; and parameters that give the rule a limit.

    A value fills the whole array it is put into; a ``proposed`` or ``qty`` is given for the three assets. Money and
    quantities are those of an account of ``EQUITY``.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)


def _on(params: Any = None, **changes: Any) -> Trigger:
    return Trigger(changes, params or {})


_SELL = {"qty": (1000.0, 0.0, 0.0)}  # a position of 100 % of equity
_LOSS = {"equity": 1_000.0, "balance": 1_000.0}

TRIGGERS: dict[str, Trigger] = {
    "DS-01": _on(age_bars=_BIG),
    "DS-02": _on(price=np.nan),
    "DS-03": _on(price=1_000.0),
    "DS-04": _on(book=CROSSED_BOOK),
    "DS-05": _on(completeness=0.0),
    "DS-06": _on(divergence_bps=_BIG, divergence_s=_BIG),
    "DS-07": _on(clock_skew_ms=_BIG),
    "DS-08": _on(mismatch=QUANTITY_DIFFERS),
    "DS-09": _on(fx=np.nan),
    "DS-10": _on(price=50.0),
    "DS-11": _on(proposal_age_bars=_BIG),
    "DS-12": _on(condition=np.inf),
    "DS-13": _on(metadata_age_s=np.nan),
    "DS-14": _on(equity_age_bars=_BIG),
    "DS-15": _on(status=HALTED),
    "UT-01": _on({"symbols": ("ZZZ",)}),
    "UT-02": _on({"symbols": ("S00", "S01", "S02")}),
    "UT-03": _on({"classes": ("none",)}),
    "UT-04": _on(venue_open=False),
    "UT-05": _on(since_open_s=0.0, to_close_s=0.0),
    "UT-06": _on(to_event_s=0.0, since_event_s=0.0),
    "UT-07": _on(earnings_in_days=0.0, earnings_ago_days=0.0),
    "UT-08": _on({"allowed": False}, ts_ns=_TS_NS + 4 * _DAY_NS),
    "UT-09": _on(to_expiry_s=0.0),
    "UT-10": _on(borrow=NO_BORROW, proposed=(-0.15, -0.15, -0.15)),
    "UT-11": _on(flat_ns=_TS_NS, flat_side=1),
    "UT-12": _on({"long_only": True}, proposed=(-0.15, -0.15, -0.15)),
    "UT-13": _on({"start": "2030-01-01"}),
    "UT-14": _on({"windows": ({"id": "always", "first": "01-01", "last": "12-31"},)}),
    "LD-01": _on({"limit_pct": "0.02"}, **_LOSS),
    "LD-02": _on(**_LOSS),
    "LD-03": _on({"limit_pct": "0.10"}, **_LOSS),
    "LD-04": _on({"limit_pct": "0.10"}, **_LOSS),
    "LD-05": _on({"limit_pct": "0.10"}, **_LOSS),
    "LD-06": _on({"weekly_pct": "0.05"}, **_LOSS),
    "LD-07": _on({"max_loss_pct_equity": "0.01"}, avg_price=_BIG, **_SELL),
    "LD-08": _on(loss_exit_ns=_TS_NS),
    "LD-09": _on(recent_ns=_TS_NS, recent_unit=1.0, **_LOSS),
    "LD-10": _on({"share": "0.5"}, day_peak=2 * EQUITY),
    "LD-11": _on({"best_day_share": "0.5"}, equity=1e7, closed_profit=1.0),
    "LD-12": _on({"when": "always", "floors": True}, proposed=(0.3, 0.3, 0.3)),
    "LD-13": _on({"limit_pct": "0.02"}, **_LOSS),
    "LD-14": _on(violated=True),
    "LD-15": _on(kill_level=1),
    "LD-16": _on(margin_used=_BIG),
    "VT-01": _on(sigma=0.5),
    "VT-02": _on({"max_annual_vol": "0.03"}, sigma=0.5),
    "VT-03": _on(shock_sigmas=_BIG, market_shock_sigmas=_BIG),
    "VT-04": _on(label=-1, confidence=0.0),
    "VT-05": _on({"max_es": "0.03"}, scenarios=np.full((600, 3), -0.5)),
    "VT-06": _on(sigma=np.nan),
    "CC-01": _on(proposed=(1.9, 0.0, 0.0)),
    "CC-02": _on(proposed=(1.9, 1.9, 1.9)),
    "CC-03": _on(proposed=(1.9, 1.9, 1.9)),
    "CC-04": _on(proposed=(1.9, 1.9, 1.9)),
    "CC-05": _on({"max_cluster": "0.35"}, proposed=(1.0, 1.0, 1.0), correlation=0.99),
    "CC-06": _on({"max_pair": "0.25"}, proposed=(1.0, 1.0, 1.0), correlation=0.99),
    "CC-07": _on({"max_beta": "0.8"}, beta=50.0),
    "CC-08": _on(n_assets=64, proposed=0.01),
    "CC-09": _on({"mini_equivalents": "1"}, mini_equivalents=1.0, proposed=(1.0, 1.0, 1.0)),
    "CC-10": _on({"max_share": "0.35"}, proposed=(1.0, 0.0, 0.0)),
    "CC-11": _on(correlation_shift_sigmas=_BIG),
    "CC-12": _on({"max_firm_weight": "0.05"}, proposed=(0.5, 0.0, 0.0)),
    "CC-13": _on(proposed=(1.9, 1.9, 1.9)),
    "XL-01": _on(proposed=(1.9, 0.0, 0.0)),
    "XL-02": _on(price=np.nan),
    "XL-03": _on(adv=1.0),
    "XL-04": _on(adv=1.0),
    "XL-05": _on(spread_bps=_BIG),
    "XL-06": _on(proposed=(1.9, 1.9, 1.9)),
    "XL-07": _on(proposed=(5e-5, 0.0, 0.0), lot=0.0),
    "XL-08": _on(orders_1s=_BIG),
    "XL-09": _on(fills_60s=_BIG, round_trips_day=_BIG),
    "XL-10": _on(sent_qty=150.0),
    "XL-11": _on(working_entry_qty=-100.0),
    "XL-12": _on(opposite=True),
    "XL-13": _on(slippage_bps=_BIG, fills_60s=1.0),
    "XL-14": _on(rejects_60s=_BIG),
    "XL-15": _on(buying_power=0.0),
    "XL-16": _on(heartbeat_age_s=_BIG),
    "XL-17": _on(working_entry_qty=100.0, working_age_s=_BIG),
    "XL-18": _on(adv=1.0),
}


def scene(changes: Mapping[str, Any], capital: float = EQUITY) -> View:
    """Two flat accounts of one firm that are asked to buy three quiet assets, with ``changes``."""
    size = capital / EQUITY
    changes = {name: _times(size, value) if name in _MONEY else value for name, value in changes.items()}
    n_accounts, n = 2, int(changes.get("n_assets", 3))
    ones = np.ones(n)
    rho = changes.get("correlation", 0.2)
    market = Market(
        ts_ns=_TS_NS,
        bar_ns=_DAY_NS,
        session=100,
        date=dt.date(2020, 3, 2),
        symbols=symbols(n),
        price=ones * 100.0,
        ref_price=ones * 100.0,
        age_bars=ones * 0.0,
        sigma=ones * 0.01,
        correlation=np.full((n, n), rho) + np.eye(n) * (1.0 - rho),
        n_obs=np.full(n, 300, dtype=np.int64),
        condition=10.0,
        completeness=ones.copy(),
        gap=np.zeros(n, dtype=np.int64),
        venue_open=np.ones(n, dtype=np.bool_),
        adv=ones * 1e9 * size,
        spread_bps=ones * 5.0,
        book=np.zeros(n, dtype=np.int8),
        tape_grade=np.zeros(n, dtype=np.int8),
        group=np.arange(n, dtype=np.int64),
        n_groups=n,
        lot=ones.copy(),
        multiplier=ones.copy(),
        fx=ones.copy(),
        to_event_s=np.full(n, np.inf),
        since_event_s=np.full(n, np.inf),
        label=0,
        confidence=0.9,
        provided=_SAID,
        instruments=_put(plain_instruments(n), changes),
        signals=_put(quiet_signals(n), changes),
    )
    qty, asked = np.zeros((n_accounts, n)), np.zeros((n_accounts, n))
    qty[:] = changes.get("qty", 0.0)
    asked[:] = changes.get("proposed", 0.15)
    if changes.get("opposite"):
        asked[1] = -asked[1]
    equity = np.full(n_accounts, changes.get("equity", capital))
    told = replace(
        silent_brokerage(n_accounts, n),
        provided=_TOLD,
        reconciled=np.full(n_accounts, 9, dtype=np.int64),
        equity_gap=np.zeros(n_accounts),
        margin_used=np.zeros(n_accounts),
        buying_power=np.full(n_accounts, _BIG * size),
        avg_price=np.where(qty != 0, 100.0, 0.0),
    )
    books = Books(
        accounts=("firm/one", "firm/two"),
        firm=np.zeros(n_accounts, dtype=np.int64),
        equity=equity,
        balance=np.full(n_accounts, changes.get("balance", capital)),
        equity_estimated=np.zeros(n_accounts, dtype=np.bool_),
        equity_age_bars=np.full(n_accounts, changes.get("equity_age_bars", 0.0)),
        qty=qty,
        working_exit_qty=np.zeros_like(qty),
        current=nano_weights(qty, ones * 100.0, equity),
        proposed=np.trunc(asked * NANO),
        mentioned=np.ones_like(qty, dtype=np.bool_),
        proposal_age_bars=np.full(n_accounts, changes.get("proposal_age_bars", 0.0)),
        broker=_put(told, changes),
    )
    states = fresh_states(np.full(n_accounts, capital), n)
    states = replace(
        states, last_price=states.last_price * 0 + 100.0, last_trade_ns=np.full(n_accounts, _TS_NS)
    )
    return View(_put(market, changes), books, _put(states, changes))


def _times(size: float, value: Any) -> Any:
    return tuple(size * one for one in value) if isinstance(value, tuple) else size * value


def _put(thing: Any, changes: Mapping[str, Any]) -> Any:
    """``thing`` with every array or number that ``changes`` names filled with the value given."""
    own = {f.name for f in fields(thing) if f.init} & set(changes)
    if isinstance(thing, Market):
        own -= {"correlation"}
    made: dict[str, Any] = {}
    for name in own:
        old, value = getattr(thing, name), changes[name]
        if isinstance(value, np.ndarray):
            made[name] = value
        else:
            made[name] = np.full_like(old, value) if isinstance(old, np.ndarray) else value
    return replace(thing, **made)


def symbols(n: int) -> tuple[str, ...]:
    """Names of the assets of a scene."""
    return tuple(f"S{i:02d}" for i in range(n))


def parameters(rule_id: str) -> dict[str, RuleParams]:
    """What the trigger of ``rule_id`` needs beside the defaults: the rule's own limit, for LD-12 also a floor."""
    wanted = dict(TRIGGERS[rule_id].params)
    floors = wanted.pop("floors", False)
    made = {rule_id: RULE_BY_ID[rule_id].params.model_validate(wanted)}
    if floors:
        made["LD-03"] = RULE_BY_ID["LD-03"].params.model_validate({"limit_pct": "0.05"})
    return made


class Stacks:
    """Parameters of every rule as arrays over the two accounts of a scene, made once per set of assets."""

    def __init__(self, rules: Mapping[str, RuleParams]) -> None:
        self._rules = rules
        self._made: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}

    def knobs(self, own: Mapping[str, RuleParams], names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
        """The rules, with ``own`` in their place where it has any."""
        if names not in self._made:
            self._made[names] = stack_params([self._rules] * 2, names)
        return restack(self._made[names], [own] * 2, names)


def outcome(rule_id: str, own: Mapping[str, RuleParams], stacks: Stacks, view: View) -> int:
    """What the rule says of a scene under ``own``, which stand in the place of the rules of ``stacks``.

    Most rules say so themselves; what the projection or the step plan does for a rule shows in the decision only.
    """
    knobs = stacks.knobs(own, view.market.symbols)
    alone = int(evaluate_one(rule_id, view, knobs[rule_id]).outcome[0])
    if alone in FIRED or alone in (OFF, NOT_EVALUABLE):
        return alone
    decisions, _ = decide(view, knobs, annual=ANNUAL)
    return int(decisions.rule_outcome[0, RULE_IDS.index(rule_id)])


def silent_rules() -> tuple[str, ...]:
    """Rules that do not fire on their own trigger; none in a sound build."""
    stacks = Stacks({rule_id: spec.params() for rule_id, spec in RULE_BY_ID.items()})
    return tuple(
        rule_id
        for rule_id in RULE_IDS
        if rule_id not in TRIGGERS
        or outcome(rule_id, parameters(rule_id), stacks, scene(TRIGGERS[rule_id].changes)) not in FIRED
    )


def reachable(
    rules: Mapping[str, RuleParams],
    said: frozenset[str],
    substituted: frozenset[str] = frozenset(),
    *,
    capital: float = EQUITY,
) -> dict[str, str]:
    """Whether each rule of one account can ever bind: ``reachable``, ``unreachable``, ``off`` or ``not evaluable``.

    Off is a rule that is disabled, or without a limit, a list or a date; unreachable one whose limit other rules, or
    the numbers themselves, keep out of reach.

    Parameters
    ----------
    rules : mapping
        The account's parameters by rule id.
    said : frozenset of str
        What source and broker say themselves.
    substituted : frozenset of str
        What declared substitutes say for them.
    capital : float
        Initial capital: limits in money are measured against it.
    """
    return dict(_reach(rules, said, said | substituted, capital))


def _reach(
    rules: Mapping[str, RuleParams], itself: frozenset[str], somehow: frozenset[str], capital: float
) -> Iterator[tuple[str, str]]:
    stacks = Stacks(_at_home(rules))
    for rule_id in RULE_IDS:
        spec = RULE_BY_ID[rule_id]
        changes = {**TRIGGERS[rule_id].changes, **_own_changes(rule_id, rules[rule_id])}
        found = outcome(rule_id, {rule_id: rules[rule_id]}, stacks, scene(changes, capital))
        heard = somehow.issuperset(spec.inputs) and itself.issuperset(spec.measured)
        if found == OFF or _nothing_listed(rule_id, rules[rule_id]):
            yield rule_id, "off"
        elif found == NOT_EVALUABLE or not heard:
            yield rule_id, "not evaluable"
        else:
            yield rule_id, "reachable" if found in FIRED else "unreachable"


def _nothing_listed(rule_id: str, own: RuleParams) -> bool:
    names = _LISTS.get(rule_id, ())
    return bool(names) and all(getattr(own, n) == type(own).model_fields[n].default for n in names)


def _at_home(rules: Mapping[str, RuleParams]) -> dict[str, RuleParams]:
    """``rules`` without the account's own names and days, which the assets and the date of a scene are not."""
    return {
        rule_id: RULE_BY_ID[rule_id].params() if RULE_BY_ID[rule_id].guard is Guard.BLACKOUT else own
        for rule_id, own in rules.items()
    }


def _own_changes(rule_id: str, own: Any) -> dict[str, Any]:
    """What moves a scene to the names and days that the account itself has given the rule."""
    match rule_id:
        case "UT-02" if own.symbols:
            return {"symbols": (own.symbols[0], *symbols(3)[1:])}
        case "UT-12" if own.hedge_groups and not own.long_only:
            return {"symbols": (*own.hedge_groups[0][:2], symbols(3)[2]), "proposed": (0.15, -0.15, 0.0)}
        case "UT-13" if own.start is not None:
            return {"date": dt.date.fromisoformat(own.start) - dt.timedelta(days=1)}
        case "UT-13" if own.end is not None:
            return {"date": dt.date.fromisoformat(own.end) + dt.timedelta(days=1)}
        case "UT-14" if own.windows:
            first = own.windows[0].first
            return {"date": dt.date.fromisoformat(first if len(first) == 10 else f"2020-{first}")}
    return {}
