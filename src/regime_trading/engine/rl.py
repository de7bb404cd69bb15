"""RL rows of a history: state, action and transition of every decision, as columns (``risk.md`` 4.1).

The loop only notes what the decision saw and did; features follow from these notes for all bars at once
(``engine.rl_columns``). Everything in a state was known at its decision: :meth:`RLRows.add` refuses what was not.
A transition is written when the next state is known; the last decision of a history stays open. Rewards are
components, so that a new definition needs no new run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from regime_trading.core.audit import chain_id, event_id
from regime_trading.core.errors import CheckFailed
from regime_trading.core.numbers import F8, I8
from regime_trading.core.rl_features import BLOCKS, FEATURE_SET_VERSION, FLOORS, known_column
from regime_trading.core.schemas import RLBlock
from regime_trading.engine.cycle import Cycle, Desk
from regime_trading.engine.market import MarketPath
from regime_trading.engine.record import Identity
from regime_trading.engine.rl_columns import (
    LOSS_RULES,
    AccountRows,
    End,
    SharedRows,
    bars_since_trade,
    feature_columns,
    masks,
    noted,
    position_age,
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
    """

    def __init__(
        self,
        identities: Sequence[Identity],
        desk: Desk,
        market: MarketPath,
        first: int,
        n_bars: int,
        context: MarketContext | None = None,
    ) -> None:
        n, wide = len(identities), (n_bars, len(identities), len(market.symbols))
        self.identities, self.desk, self.market, self.first = identities, desk, market, first
        self.context = context_of(market) if context is None else context
        self.bars = 0
        self.numbers = {name: np.full((n_bars, n), np.nan) for name in NUMBERS}
        self.counts = {name: np.zeros((n_bars, n), dtype=np.int64) for name in COUNTS}
        self.assets = {name: np.full(wide, np.nan) for name in BY_ASSET}
        self.flags = {name: np.zeros(wide, dtype=np.bool_) for name in FLAGS}
        self.binding = np.zeros((n_bars, n, WORDS), dtype=np.int64)
        self.losses = np.full((2, n_bars, n, len(LOSS_RULES)), np.nan)
        self.floors = np.full((n_bars, n, len(FLOORS)), np.nan)
        self.known_ns = np.full((n_bars, n, len(BLOCKS)), UNSTAMPED, dtype=np.int64)
        self.ends: dict[tuple[int, int], End] = {}
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
        require_known([who.name for who in self.identities], self.known_ns[t], market.ts_ns)
        self.bars += 1
        self._note(t, cycle, flow)
        self.counts["seq"][t], self.counts["attempt"][t] = seq, attempt

    def finish(self, account: int, end: End) -> None:
        """The current decision of ``account`` ends its episode."""
        self.ends[self.bars - 1, account] = end

    def blocks(self, account: int) -> list[RLBlock]:
        """State, action and transition blocks of one account."""
        rows = self.rows(account)
        return [
            self._block("state", rows, self._state_columns(rows)),
            self._block("action", rows, self._action_columns(rows)),
            self._transitions(rows),
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

    def _note(self, t: int, cycle: Cycle, flow: F8) -> None:
        seen = noted(cycle, floors(cycle.view, self.desk.knobs))
        notional = np.abs(cycle.fills.qty) * cycle.fills.price * self.market.unit
        filled = {"traded": notional.sum(axis=1), "fee": cycle.fills.fee.sum(axis=1), "flow": flow}
        all_noted = (
            (self.numbers, {**seen.numbers, **filled}),
            (self.counts, seen.counts),
            (self.assets, seen.assets),
            (self.flags, seen.flags),
        )
        for into, values in all_noted:
            for name, value in values.items():
                into[name][t] = value
        self.binding[t], self.floors[t] = seen.binding, seen.floors
        self.losses[0, t], self.losses[1, t] = seen.loss, seen.limit

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
        values = feature_columns(rows, rows.shared, bars_since_trade(rows), position_age(rows.assets["qty"]))
        names = [",".join(self.market.symbols)] * len(rows.ids)
        memory = (rows.counts["attempt"], names, rows.binding, rows.counts["latch_bits"])
        return state_columns(rows.ids, rows.known_ns, *memory, values) | masks(values)

    def _action_columns(self, rows: AccountRows) -> dict[str, Any]:
        return action_columns(rows.ids, rows.assets, rows.counts["trading_state"], rows.counts["authority"])

    def _transitions(self, rows: AccountRows) -> RLBlock:
        """Every decision whose next state is known, or that ended its episode; the open one is left out."""
        at, columns = transition_columns(rows, END_OF_DATA)
        block = self._block("transition", rows, {})
        block.columns.update(seq=rows.counts["seq"][at], ts_event_ns=rows.shared.ts_ns[at], **columns)
        return block


def state_columns(
    ids: Sequence[str],
    known_ns: I8,
    attempt: I8,
    symbols: Sequence[str],
    binding: I8,
    latch_bits: I8,
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """Columns of states but for their masks.

    Parameters
    ----------
    ids : sequence of str
        ``event_id`` of each DECISION entry.
    known_ns : int64 [R, blocks]
    attempt, binding, latch_bits : int64 [R], [R, words], [R]
    symbols : sequence of str
        Names of each row's assets, separated by commas.
    values : mapping
        The features.
    """
    known = {known_column(block): known_ns[:, b] for b, block in enumerate(BLOCKS)}
    return {
        "state_id": list(ids),
        "ts_known_ns": known_ns.max(axis=1),
        **known,
        "attempt": attempt,
        "symbols": list(symbols),
        "binding_rules": binding,
        "latch_bits": latch_bits,
        **values,
    }


def action_columns(
    ids: Sequence[str], assets: Mapping[str, F8], trading_state: I8, authority: I8
) -> dict[str, Any]:
    """Columns of actions: of ``assets`` the weights asked for and left, and their bounds; [R, N], or flat over all rows
    and their assets."""
    n, proposed, final = len(ids), assets["proposed_w"], assets["final_w"]
    with np.errstate(divide="ignore", invalid="ignore"):
        multiplier = np.where(proposed != 0, final / proposed, np.nan)
    return {
        "action_id": list(ids),
        "state_id": list(ids),
        "proposed_w": proposed,
        "final_w": final,
        "multiplier": multiplier,
        "action_lo": assets["lo"],
        "action_hi": assets["hi"],
        "trading_state": trading_state.astype(np.float64),
        "authority": authority.astype(np.float64),
        "behaviour_policy_id": [POLICY] * n,
        "propensity": np.ones(n),
        "override_by": [None] * n,
    }


def require_known(accounts: Sequence[str], known_ns: I8, ts_ns: int) -> None:
    """Refuse states of one instant that something later went into.

    Parameters
    ----------
    accounts : sequence of str
    known_ns : int64 [A, blocks]
        Latest time stamp of anything in each block.
    ts_ns : int
        Time of the decisions.

    Raises
    ------
    CheckFailed
        A stamp after the decision, with its block.
    """
    late = known_ns > ts_ns
    if late.any():
        a, b = (int(i) for i in np.argwhere(late)[0])
        raise CheckFailed(
            f"RL state of {accounts[a]}: expected the {BLOCKS[b]} block to be known at the decision, "
            f"{ts_ns}, found something stamped {int(known_ns[a, b])} ns"
        )


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
