"""RL rows of a history: state, action and transition of every decision, as columns (``risk.md`` 4.1).

A transition is written when the next state is known; the last decision of a history stays open. Rewards are
components, so that a new definition needs no new run. Everything in a state is known at its decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from regime_trading.core.numbers import F8, NANO
from regime_trading.core.rules import RULE_IDS
from regime_trading.core.schemas import RLBlock
from regime_trading.engine.cycle import Cycle
from regime_trading.engine.record import FEATURE_SET_VERSION, Identity
from regime_trading.guards.attribution import WORDS

POLICY = "pm-deterministic"
_LD = {rule_id: RULE_IDS.index(rule_id) for rule_id in ("LD-01", "LD-02", "LD-03", "LD-13")}

SCALARS: tuple[str, ...] = (
    "equity",
    "drawdown",
    "loss_today_share",
    "static_loss_share",
    "gross",
    "net",
    "sigma_book",
    "sigma_proposed",
    "herfindahl",
    "regime_label",
    "regime_confidence",
    "trading_state",
    "throttle",
    "budget_factor",
    "proposal_age_bars",
    "year_sin",
    "year_cos",
    "to_event_days",
)
VECTORS: tuple[str, ...] = (
    "weight",
    "proposed_w",
    "sigma",
    "adv_share",
    "spread_bps",
    "book",
    "tape_grade",
    "lo",
    "hi",
    "asset_factor",
    "final_w",
    "multiplier",
)
_ACTION = frozenset({"final_w", "multiplier"})


class RLRows:
    """Rows of all accounts, filled bar by bar into arrays made once.

    Parameters
    ----------
    identities : sequence of Identity
    n_bars, n_assets : int
    """

    def __init__(self, identities: Sequence[Identity], symbols: tuple[str, ...], n_bars: int) -> None:
        n = len(identities)
        self.identities, self.symbols = identities, symbols
        self.bars = 0
        self.ts_ns = np.zeros(n_bars, dtype=np.int64)
        self.seq = np.zeros((n_bars, n), dtype=np.int64)
        self.attempt = np.zeros((n_bars, n), dtype=np.int64)
        self.binding = np.zeros((n_bars, n, WORDS), dtype=np.int64)
        self.done = np.zeros((n_bars, n), dtype=np.bool_)
        self.scalars = {name: np.full((n_bars, n), np.nan) for name in SCALARS}
        self.vectors = {name: np.full((n_bars, n, len(symbols)), np.nan) for name in VECTORS}
        self.rewards = {
            name: np.full((n_bars, n), np.nan) for name in ("pnl_net", "cost", "turnover", "flow")
        }

    def add(self, cycle: Cycle, seq: Sequence[int], attempt: npt.NDArray[np.int64]) -> None:
        """One bar's states and actions."""
        t, market, d = self.bars, cycle.view.market, cycle.decisions
        self.bars += 1
        self.ts_ns[t] = market.ts_ns
        self.seq[t] = seq
        self.attempt[t] = attempt
        self.binding[t] = np.bitwise_or.reduce(d.limiting, axis=1)
        for name, value in _scalars(cycle).items():
            self.scalars[name][t] = value
        for name, value in _vectors(cycle).items():
            self.vectors[name][t] = value

    def reward(
        self, equity_before: F8, equity: F8, flow: F8, fee: F8, traded: F8, marked: npt.NDArray[np.bool_]
    ) -> None:
        """What followed the previous bar's decision: components as fractions of the equity it was made on.

        ``marked`` = accounts whose previous transition is complete; the others restarted in between.
        """
        t = self.bars - 2
        if t < 0:
            return
        with np.errstate(divide="ignore", invalid="ignore"):
            for name, money in (
                ("pnl_net", equity - equity_before - flow),
                ("cost", fee),
                ("turnover", traded),
                ("flow", flow),
            ):
                share = np.where(equity_before > 0, money / equity_before, np.nan)
                self.rewards[name][t] = np.where(marked, share, self.rewards[name][t])

    def finish(self, account: int, pnl_share: float) -> None:
        """The current decision of ``account`` ends its episode with ``pnl_share``."""
        t = self.bars - 1
        self.done[t, account] = True
        for name in self.rewards:
            self.rewards[name][t, account] = pnl_share if name == "pnl_net" else 0.0

    def blocks(self, account: int) -> list[RLBlock]:
        """State, action and transition blocks of one account."""
        return [
            self._block("state", account, self.bars, self._state_columns(account)),
            self._block("action", account, self.bars, self._action_columns(account)),
            self._transitions(account),
        ]

    def _block(self, record: Any, account: int, rows: int, columns: dict[str, Any]) -> RLBlock:
        who = self.identities[account]
        head: dict[str, Any] = {
            "seq": self.seq[:rows, account],
            "ts_event_ns": self.ts_ns[:rows],
        }
        return RLBlock(
            record=record,
            firm_id=who.firm_id,
            account_id=who.account_id,
            run_id=who.run_id,
            env=who.env,
            feature_set_version=FEATURE_SET_VERSION,
            columns=head | columns,
        )

    def _state_columns(self, account: int) -> dict[str, Any]:
        n = self.bars
        columns: dict[str, Any] = {
            "ts_known_ns": self.ts_ns[:n],
            "attempt": self.attempt[:n, account],
            "symbols": [",".join(self.symbols)] * n,
            "binding_rules": self.binding[:n, account],
        }
        columns |= {name: values[:n, account] for name, values in self.scalars.items()}
        columns |= {name: self.vectors[name][:n, account] for name in VECTORS if name not in _ACTION}
        return columns

    def _action_columns(self, account: int) -> dict[str, Any]:
        n = self.bars
        return {
            "proposed_w": self.vectors["proposed_w"][:n, account],
            "final_w": self.vectors["final_w"][:n, account],
            "multiplier": self.vectors["multiplier"][:n, account],
            "action_lo": self.vectors["lo"][:n, account],
            "action_hi": self.vectors["hi"][:n, account],
            "trading_state": self.scalars["trading_state"][:n, account],
            "behaviour_policy_id": [POLICY] * n,
            "propensity": np.ones(n),
        }

    def _transitions(self, account: int) -> RLBlock:
        """Every decision whose next state is known, or that ended its episode; the open one is left out."""
        n = self.bars
        done = self.done[:n, account]
        known = np.arange(n) < n - 1
        rows = np.flatnonzero(known | done)
        following = np.append(self.seq[1:n, account], 0)
        head = {
            "next_seq": np.where(done, 0, following)[rows],
            "horizon_bars": np.ones(len(rows), dtype=np.int64),
            "done": done[rows],
            "gap": np.zeros(len(rows), dtype=np.bool_),
        }
        rewards = {f"reward_{name}": values[:n, account][rows] for name, values in self.rewards.items()}
        block = self._block("transition", account, n, {})
        block.columns.update(
            seq=self.seq[:n, account][rows], ts_event_ns=self.ts_ns[:n][rows], **head, **rewards
        )
        return block


def _scalars(cycle: Cycle) -> dict[str, Any]:
    d, market, books = cycle.decisions, cycle.view.market, cycle.view.books
    current = np.nan_to_num(d.current, nan=0.0) / NANO
    gross = np.abs(current).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        herfindahl = np.where(gross > 0, np.square(current).sum(axis=1) / np.square(gross), 0.0)
        share = d.rule_value / d.rule_limit
    year = 2.0 * np.pi * (market.date.timetuple().tm_yday - 1) / 365.25
    nearest = float(np.min(market.to_event_s, initial=np.inf)) / 86_400.0
    return {
        "equity": books.equity,
        "drawdown": d.rule_value[:, _LD["LD-02"]],
        "loss_today_share": np.fmax(share[:, _LD["LD-01"]], share[:, _LD["LD-13"]]),
        "static_loss_share": share[:, _LD["LD-03"]],
        "gross": gross,
        "net": current.sum(axis=1),
        "sigma_book": d.sigma_book,
        "sigma_proposed": d.projection.sigma_tilde,
        "herfindahl": herfindahl,
        "regime_label": float(market.label),
        "regime_confidence": market.confidence,
        "trading_state": d.mode.astype(np.float64),
        "throttle": d.projection.throttle,
        "budget_factor": d.projection.k,
        "proposal_age_bars": books.proposal_age_bars,
        "year_sin": np.sin(year),
        "year_cos": np.cos(year),
        "to_event_days": nearest if np.isfinite(nearest) else np.nan,
    }


def _vectors(cycle: Cycle) -> dict[str, Any]:
    d, market, books = cycle.decisions, cycle.view.market, cycle.view.books
    proposed, final = d.proposed / NANO, d.projection.target / NANO
    held = np.abs(np.nan_to_num(d.current, nan=0.0)) / NANO * books.equity[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        multiplier = np.where(proposed != 0, final / proposed, np.nan)
        adv_share = held / market.adv[None, :]
    return {
        "weight": d.current / NANO,
        "proposed_w": proposed,
        "sigma": market.sigma[None, :],
        "adv_share": adv_share,
        "spread_bps": market.spread_bps[None, :],
        "book": market.book[None, :],
        "tape_grade": market.tape_grade[None, :],
        "lo": d.projection.lo / NANO,
        "hi": d.projection.hi / NANO,
        "asset_factor": d.projection.scale,
        "final_w": final,
        "multiplier": multiplier,
    }
