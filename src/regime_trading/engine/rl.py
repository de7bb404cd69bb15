"""RL rows of a history: state, action and transition of every decision, as columns (``risk.md`` 4.1).

The loop only notes what the decision saw and did; features follow from these notes for all bars at once
(``engine.rl_columns``). Everything in a state was known at its decision: :meth:`RLRows.add` refuses what was not.
A transition is written when the next state is known; the last decision of a history stays open. Rewards are
components, so that a new definition needs no new run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from regime_trading.core.audit import chain_id, event_id
from regime_trading.core.errors import CheckFailed
from regime_trading.core.numbers import F8, I8, NANO
from regime_trading.core.rl_features import BLOCKS, FEATURE_SET_VERSION, FLOORS, known_column
from regime_trading.core.schemas import RLBlock
from regime_trading.engine.cycle import Cycle, Desk
from regime_trading.engine.market import MarketPath
from regime_trading.engine.record import Identity
from regime_trading.engine.rl_columns import (
    LOSS_RULES,
    AccountRows,
    SharedRows,
    feature_columns,
    masks,
    shared_rows,
    transition_columns,
)
from regime_trading.engine.rl_context import UNSTAMPED, MarketContext, context_of
from regime_trading.guards.attribution import WORDS
from regime_trading.guards.floors import floors
from regime_trading.guards.snapshot import NO_LATCH, States

POLICY = "pm-deterministic"
END_OF_DATA = "end_of_data"
#: What is noted of every decision, by the shape of a row.
NUMBERS: tuple[str, ...] = (
    "equity", "balance", "drawdown", "unit_drawdown", "sigma_book", "sigma_proposed", "throttle", "budget_factor",
    "proposal_age_bars", "traded", "fee", "flow",
)  # fmt: skip
COUNTS: tuple[str, ...] = (
    "seq", "attempt", "trading_state", "authority", "open_latches", "latch_bits", "latched", "last_trade_ns",
)  # fmt: skip
BY_ASSET: tuple[str, ...] = (
    "weight", "proposed_w", "final_w", "lo", "hi", "asset_factor", "qty", "avg_price",
)  # fmt: skip
FLAGS: tuple[str, ...] = ("frozen", "bound")


class RLRows:
    """Rows of all accounts, noted bar by bar in arrays made once.

    Parameters
    ----------
    identities : sequence of Identity
    desk : Desk
    market : MarketPath
    first, n_bars : int
        Row of the first decided bar, and how many follow.
    context : MarketContext, optional
        Of the same bars; without it, regimes, breadth and tape are not known.
    ages : float64 [n_bars, A, N], optional
        Bars since each position was opened or turned, where that began before ``first``.
    """

    def __init__(
        self,
        identities: Sequence[Identity],
        desk: Desk,
        market: MarketPath,
        first: int,
        n_bars: int,
        context: MarketContext | None = None,
        ages: F8 | None = None,
    ) -> None:
        n, wide = len(identities), (n_bars, len(identities), len(market.symbols))
        self.identities, self.desk, self.market, self.first = identities, desk, market, first
        self.context = context_of(market) if context is None else context
        self.bars, self.ages = 0, ages
        self.numbers = {name: np.full((n_bars, n), np.nan) for name in NUMBERS}
        self.counts = {name: np.zeros((n_bars, n), dtype=np.int64) for name in COUNTS}
        self.assets = {name: np.full(wide, np.nan) for name in BY_ASSET}
        self.flags = {name: np.zeros(wide, dtype=np.bool_) for name in FLAGS}
        self.binding = np.zeros((n_bars, n, WORDS), dtype=np.int64)
        self.losses = np.full((2, n_bars, n, len(LOSS_RULES)), np.nan)
        self.floors = np.full((n_bars, n, len(FLOORS)), np.nan)
        self.known_ns = np.full((n_bars, n, len(BLOCKS)), UNSTAMPED, dtype=np.int64)
        self.ends: dict[tuple[int, int], tuple[str, float, float, float]] = {}
        self._shared: tuple[int, SharedRows] | None = None

    def add(
        self, cycle: Cycle, seq: Sequence[int], attempt: I8, flow: F8, proposal_ns: I8 | None = None
    ) -> None:
        """One bar's states and actions.

        Parameters
        ----------
        cycle : Cycle
        seq : sequence of int
            Sequence number of each account's DECISION.
        attempt, flow : int64, float64 [A]
        proposal_ns : int64 [A], optional
            When the newest proposal behind each account's was made.

        Raises
        ------
        CheckFailed
            Something in a state is stamped later than the decision.
        """
        t, market = self.bars, cycle.view.market
        self.known_ns[t] = self._stamps(cycle, proposal_ns)
        self._require_known(t, market.ts_ns)
        self.bars += 1
        self._note(t, cycle, flow)
        self.counts["seq"][t], self.counts["attempt"][t] = seq, attempt

    def finish(self, account: int, reason: str, pnl: float, cost: float, turnover: float) -> None:
        """The current decision of ``account`` ends its episode, with these last components as shares of equity."""
        self.ends[self.bars - 1, account] = (reason, pnl, cost, turnover)

    def blocks(self, account: int, end_of_data: str | None = END_OF_DATA) -> list[RLBlock]:
        """State, action and transition blocks of one account; ``end_of_data`` None = the data go on."""
        rows = self.rows(account)
        return [
            self._block("state", rows, self._state_columns(rows)),
            self._block("action", rows, self._action_columns(rows)),
            self._transitions(rows, end_of_data),
        ]

    def rows(self, account: int) -> AccountRows:
        """What was noted of one account, and of the market beside it."""
        n, who = self.bars, self.identities[account]
        chain = chain_id(who.env, who.run_id, who.firm_id, who.account_id)
        counts = {name: values[:n, account] for name, values in self.counts.items()}
        return AccountRows(
            identity=who,
            ids=[event_id(chain, seq) for seq in counts["seq"].tolist()],
            numbers={name: values[:n, account] for name, values in self.numbers.items()},
            counts=counts,
            assets={name: values[:n, account] for name, values in self.assets.items()},
            flags={name: values[:n, account] for name, values in self.flags.items()},
            binding=self.binding[:n, account],
            loss=self.losses[0, :n, account],
            limit=self.losses[1, :n, account],
            floors=self.floors[:n, account],
            known_ns=self.known_ns[:n, account],
            ends={t: end for (t, a), end in self.ends.items() if a == account},
            shared=self._beside(),
            age=None if self.ages is None else self.ages[:n, account],
        )

    def _beside(self) -> SharedRows:
        """The market beside the bars noted so far, made once for all accounts."""
        if self._shared is None or self._shared[0] != self.bars:
            self._shared = (self.bars, shared_rows(self.market, self.context, self.first, self.bars))
        return self._shared[1]

    # --- noting ---------------------------------------------------------------------------------------------

    def _stamps(self, cycle: Cycle, proposal_ns: I8 | None) -> I8:
        """Latest time stamp of what each block used, int64 [A, blocks]."""
        market, at = cycle.view.market, self.first + self.bars
        n = len(self.identities)
        proposal = np.full(n, UNSTAMPED, dtype=np.int64) if proposal_ns is None else proposal_ns
        state = np.maximum(remembered_ns(cycle.view.states), int(self.market.ts_ns[at]))
        about = max(int(self.market.ts_ns[at]), int(self.context.market_ns[at]))
        portfolio = np.maximum(state, proposal)
        asset = np.maximum(portfolio, int(self.context.asset_ns[at]))
        seen = np.maximum(np.maximum(asset, about), market.ts_ns)
        return np.stack([portfolio, np.full(n, about, dtype=np.int64), asset, seen], axis=1)

    def _require_known(self, t: int, ts_ns: int) -> None:
        late = self.known_ns[t] > ts_ns
        if late.any():
            a, b = (int(i) for i in np.argwhere(late)[0])
            raise CheckFailed(
                f"RL state of {self.identities[a].name}: expected the {BLOCKS[b]} block to be known at the decision, "
                f"{ts_ns}, found something stamped {int(self.known_ns[t, a, b])} ns"
            )

    def _note(self, t: int, cycle: Cycle, flow: F8) -> None:
        d, books, states, p = cycle.decisions, cycle.view.books, cycle.view.states, cycle.decisions.projection
        held = states.latch_kind > NO_LATCH
        unknown = np.isnan(d.current).any(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            below = 1.0 - books.equity / states.units / states.unit_hwm
        notional = np.abs(cycle.fills.qty) * cycle.fills.price * self.market.unit
        numbers = {
            "equity": books.equity, "balance": books.balance, "drawdown": d.rule_value[:, LOSS_RULES["LD-02"]],
            "unit_drawdown": below, "sigma_book": np.where(unknown, np.nan, d.sigma_book),
            "sigma_proposed": p.sigma_tilde, "throttle": p.throttle, "budget_factor": p.k,
            "proposal_age_bars": books.proposal_age_bars, "traded": notional.sum(axis=1),
            "fee": cycle.fills.fee.sum(axis=1), "flow": flow,
        }  # fmt: skip
        counts = {
            "trading_state": d.mode, "authority": d.authority, "open_latches": held.sum(axis=1),
            "latch_bits": (held << np.arange(held.shape[1], dtype=np.int64)).sum(axis=1), "latched": d.latched,
            "last_trade_ns": states.last_trade_ns,
        }  # fmt: skip
        assets = {
            "weight": d.current / NANO, "proposed_w": d.proposed / NANO, "final_w": p.target / NANO,
            "lo": p.lo / NANO, "hi": p.hi / NANO, "asset_factor": p.scale, "qty": books.qty,
            "avg_price": books.broker.avg_price,
        }  # fmt: skip
        noted = ((self.numbers, numbers), (self.counts, counts), (self.assets, assets))
        for into, values in noted:
            for name, value in values.items():
                into[name][t] = value
        self.flags["frozen"][t], self.flags["bound"][t] = p.frozen, (d.limiting != 0).any(axis=2)
        self.binding[t] = np.bitwise_or.reduce(d.limiting, axis=1)
        columns = list(LOSS_RULES.values())
        self.losses[0, t], self.losses[1, t] = d.rule_value[:, columns], d.rule_limit[:, columns]
        at = floors(cycle.view, self.desk.knobs)
        self.floors[t] = np.stack([at[rule_id].act for rule_id in FLOORS], axis=1)

    # --- columns --------------------------------------------------------------------------------------------

    def _block(
        self, record: Literal["state", "action", "transition"], rows: AccountRows, columns: dict[str, Any]
    ) -> RLBlock:
        who = rows.identity
        head = {"seq": rows.counts["seq"], "ts_event_ns": rows.shared.ts_ns}
        return RLBlock(
            record=record,
            firm_id=who.firm_id,
            account_id=who.account_id,
            run_id=who.run_id,
            env=who.env,
            feature_set_version=FEATURE_SET_VERSION,
            columns=head | columns,
        )

    def _state_columns(self, rows: AccountRows) -> dict[str, Any]:
        values = feature_columns(rows)
        known = {known_column(block): rows.known_ns[:, b] for b, block in enumerate(BLOCKS)}
        return {
            "state_id": rows.ids,
            "ts_known_ns": rows.known_ns.max(axis=1),
            **known,
            "attempt": rows.counts["attempt"],
            "symbols": [",".join(self.market.symbols)] * len(rows.ids),
            "binding_rules": rows.binding,
            "latch_bits": rows.counts["latch_bits"],
            **values,
            **masks(values),
        }

    def _action_columns(self, rows: AccountRows) -> dict[str, Any]:
        n, proposed, final = len(rows.ids), rows.assets["proposed_w"], rows.assets["final_w"]
        with np.errstate(divide="ignore", invalid="ignore"):
            multiplier = np.where(proposed != 0, final / proposed, np.nan)
        return {
            "action_id": rows.ids,
            "state_id": rows.ids,
            "proposed_w": proposed,
            "final_w": final,
            "multiplier": multiplier,
            "action_lo": rows.assets["lo"],
            "action_hi": rows.assets["hi"],
            "trading_state": rows.counts["trading_state"].astype(np.float64),
            "authority": rows.counts["authority"].astype(np.float64),
            "behaviour_policy_id": [POLICY] * n,
            "propensity": np.ones(n),
            "override_by": [None] * n,
        }

    def _transitions(self, rows: AccountRows, end_of_data: str | None) -> RLBlock:
        """Every decision whose next state is known, or that ended its episode; the open one is left out."""
        at, columns = transition_columns(rows, end_of_data)
        block = self._block("transition", rows, {})
        block.columns.update(seq=rows.counts["seq"][at], ts_event_ns=rows.shared.ts_ns[at], **columns)
        return block


def remembered_ns(states: States) -> npt.NDArray[np.int64]:
    """Latest time stamp in the memory of each account, int64 [A]: trades, exits, samples of equity, latches."""
    held = np.where(states.latch_kind > NO_LATCH, states.latch_since_ns, UNSTAMPED)
    latest: I8 = np.maximum.reduce(
        [
            states.last_trade_ns,
            states.recent_ns.max(axis=1, initial=UNSTAMPED),
            states.loss_exit_ns.max(axis=1, initial=UNSTAMPED),
            states.flat_ns.max(axis=1, initial=UNSTAMPED),
            held.max(axis=1, initial=UNSTAMPED),
        ]
    )
    return latest
