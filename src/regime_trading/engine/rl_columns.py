"""Features, masks, rewards, ends of episodes from what was noted of one account; pure, all bars at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from regime_trading.core.bars import DAY_NS
from regime_trading.core.numbers import B1, F8, I8
from regime_trading.core.rl import REWARDS
from regime_trading.core.rl_features import FEATURES, FLOORS, MASKS, bits, features, floor_column, mask_column
from regime_trading.core.rules import RULE_IDS
from regime_trading.engine.market import MarketPath
from regime_trading.engine.record import Identity
from regime_trading.engine.rl_context import MarketContext
from regime_trading.guards.facts import NEVER_NS

#: Rules whose loss and limit are noted, and their columns in a decision's tables.
LOSS_RULES: dict[str, int] = {
    rule_id: RULE_IDS.index(rule_id) for rule_id in ("LD-01", "LD-02", "LD-03", "LD-13")
}
_LOSS = {rule_id: i for i, rule_id in enumerate(LOSS_RULES)}


@dataclass(frozen=True, slots=True)
class SharedRows:
    """The market beside the decided bars, [T] and [T, N], the same for every account; ``path_ns`` are the times of all
    bars up to the last, ``values`` the market's features."""

    ts_ns: I8
    session: I8
    bar_ns: int
    path_ns: I8
    first: int
    price: F8
    sigma: F8
    adv: F8
    values: Mapping[str, F8]
    matrix: F8
    matrix_at: I8


@dataclass(frozen=True, slots=True)
class AccountRows:
    """What was noted of one account, [T], [T, N] or [T, rules]; ``ends`` by row: reason and last components;
    ``age`` of positions where it does not follow from the rows."""

    identity: Identity
    ids: list[str]
    numbers: Mapping[str, F8]
    counts: Mapping[str, I8]
    assets: Mapping[str, F8]
    flags: Mapping[str, B1]
    binding: I8
    loss: F8
    limit: F8
    floors: F8
    known_ns: I8
    ends: Mapping[int, tuple[str, float, float, float]]
    shared: SharedRows
    age: F8 | None = None


def shared_rows(market: MarketPath, context: MarketContext, first: int, n: int) -> SharedRows:
    """The market's own columns of the ``n`` bars from ``first`` on."""
    cut = slice(first, first + n)
    own = {
        "regime_label": market.label[cut].astype(np.float64),
        "regime_confidence": market.confidence[cut],
        "spread_bps": market.spread_bps[cut],
        "book": _coded(market.book[cut]),
        "tape_grade": _coded(market.tape_grade[cut]),
    }
    told = {name: values[cut] for name, values in (*context.rows.items(), *context.assets.items())}
    at = np.searchsorted(market.correlations.rows, np.arange(first, first + n), side="right") - 1
    return SharedRows(
        ts_ns=market.ts_ns[cut],
        session=market.session[cut],
        bar_ns=market.bar_ns,
        path_ns=market.ts_ns[: first + n],
        first=first,
        price=market.close[cut],
        sigma=market.sigma[cut],
        adv=market.adv[cut],
        values={name: finite(values) for name, values in (own | told).items()},
        matrix=np.ascontiguousarray(market.correlations.matrix),
        matrix_at=at.astype(np.int64),
    )


def feature_columns(rows: AccountRows) -> dict[str, F8]:
    """Every feature of the table, float64 [T] or [T, N], finite or NaN."""
    own = _portfolio(rows) | _assets(rows) | _constraint(rows)
    found = dict(rows.shared.values) | {name: finite(values) for name, values in own.items()}
    return {f.name: found[f.name] for f in FEATURES}


def masks(values: Mapping[str, F8]) -> dict[str, I8]:
    """Mask columns of a state."""
    return {
        mask_column(block, per): bits([values[f.name] for f in features(block, per)]) for block, per in MASKS
    }


def finite(values: F8) -> F8:
    """``values`` with everything that is not a number as NaN: no bound, no floor, no event."""
    return np.where(np.isfinite(values), values, np.nan)


def _coded(codes: np.ndarray) -> F8:
    return np.where(codes >= 0, codes.astype(np.float64), np.nan)


def _portfolio(rows: AccountRows) -> dict[str, F8]:
    numbers, counts, weight = rows.numbers, rows.counts, rows.assets["weight"]
    equity = numbers["equity"]
    gross = np.abs(weight).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        used = np.where(np.isfinite(rows.limit), rows.loss / rows.limit, np.nan)
        room = equity[:, None] - rows.floors
        positive = np.where(equity > 0, equity, np.nan)
        herfindahl = np.where(gross > 0, np.square(weight).sum(axis=1) / np.square(gross), np.nan)
        found = {
            "loss_today_share": np.fmax(used[:, _LOSS["LD-01"]], used[:, _LOSS["LD-13"]]),
            "static_loss_share": used[:, _LOSS["LD-03"]],
            "open_profit_share": (equity - numbers["balance"]) / positive,
            "herfindahl": herfindahl,
            "turnover_last": numbers["traded"] / positive,
        }
        for i, rule_id in enumerate(FLOORS):
            found[floor_column(rule_id, "money")] = room[:, i]
            found[floor_column(rule_id, "share")] = room[:, i] / positive
    own = ("equity", "drawdown", "unit_drawdown", "sigma_book", "proposal_age_bars")
    return found | {
        "gross": gross,
        "net": weight.sum(axis=1),
        "bars_since_trade": _bars_since_trade(rows),
        "open_latches": counts["open_latches"].astype(np.float64),
        **{name: numbers[name] for name in own},
    }


def _bars_since_trade(rows: AccountRows) -> F8:
    last, shared = rows.counts["last_trade_ns"], rows.shared
    at = np.searchsorted(shared.path_ns, last, side="left")
    here = shared.first + np.arange(len(last))
    return np.where(last > NEVER_NS, (here - at).astype(np.float64), np.nan)


def _assets(rows: AccountRows) -> dict[str, F8]:
    noted, shared, equity = rows.assets, rows.shared, rows.numbers["equity"]
    weight, qty, entry = noted["weight"], noted["qty"], noted["avg_price"]
    with np.errstate(divide="ignore", invalid="ignore"):
        priced = (shared.price > 0) & (entry > 0) & (qty != 0) & (shared.sigma > 0)
        profit = np.where(priced, np.sign(qty) * (shared.price / entry - 1.0) / shared.sigma, np.nan)
        adv_share = np.abs(weight) * equity[:, None] / shared.adv
    return {
        "weight": weight,
        "proposed_w": noted["proposed_w"],
        "sigma": shared.sigma,
        "book_correlation": _book_correlation(weight, shared.sigma, shared.matrix, shared.matrix_at),
        "adv_share": adv_share,
        "upnl_r": profit,
        "age_bars": position_age(qty) if rows.age is None else rows.age,
    }


def position_age(qty: F8) -> F8:
    """Bars since each position was opened or turned, float64 [T, N]; NaN where flat, and where it was there before."""
    side, bars = np.sign(qty), np.arange(len(qty))[:, None]
    turned = np.ones(side.shape, dtype=np.bool_)
    turned[1:] = side[1:] != side[:-1]
    opened = np.maximum.accumulate(np.where(turned, bars, 0), axis=0)
    return np.where((side != 0) & (opened > 0), (bars - opened).astype(np.float64), np.nan)


def _constraint(rows: AccountRows) -> dict[str, F8]:
    codes = {name: rows.counts[name].astype(np.float64) for name in ("trading_state", "authority")}
    numbers = {name: rows.numbers[name] for name in ("throttle", "budget_factor", "sigma_proposed")}
    assets = {name: rows.assets[name] for name in ("lo", "hi", "asset_factor")}
    return codes | numbers | assets | {name: flag.astype(np.float64) for name, flag in rows.flags.items()}


@numba.njit(cache=True)
def _book_correlation(weight: F8, sigma: F8, matrix: F8, at: I8) -> F8:  # pragma: no cover
    """Correlation of each asset with the book, in fixed order; NaN without a book, or where a part is not known."""
    n_bars, n = weight.shape
    out = np.full((n_bars, n), np.nan)
    risk = np.empty(n)
    for t in range(n_bars):
        if at[t] < 0:
            continue
        rho, known, variance = matrix[at[t]], True, 0.0
        for j in range(n):
            risk[j] = 0.0 if weight[t, j] == 0.0 else weight[t, j] * sigma[t, j]
            known = known and not np.isnan(risk[j])
        if not known:
            continue
        for i in range(n):
            total = 0.0
            for j in range(n):
                if risk[j] != 0.0:
                    total += risk[j] if i == j else rho[i, j] * risk[j]
            out[t, i] = total
            if risk[i] != 0.0:
                variance += risk[i] * total
        for i in range(n):
            out[t, i] = out[t, i] / np.sqrt(variance) if variance > 0.0 else np.nan
    return out


# --- transitions --------------------------------------------------------------------------------------------


def transition_columns(rows: AccountRows, end_of_data: str | None) -> tuple[I8, dict[str, Any]]:
    """Rows with a transition, and its columns beside ``seq`` and ``ts_event_ns``; ``end_of_data`` None = they go on."""
    n = len(rows.ids)
    done = np.zeros(n, dtype=np.bool_)
    done[list(rows.ends)] = True
    at = np.flatnonzero((np.arange(n) < n - 1) | done)
    reason = ["" for _ in range(n)]
    for t, end in rows.ends.items():
        reason[t] = end[0]
    cut = np.zeros(n, dtype=np.bool_)
    if end_of_data is not None and n > 1 and not done[-1] and not done[-2]:
        cut[-2], reason[-2] = True, end_of_data
    bars, gap = horizon(rows.shared)
    following = [*rows.ids[1:], None]
    columns: dict[str, Any] = {
        "state_id": [rows.ids[i] for i in at],
        "action_id": [rows.ids[i] for i in at],
        "next_state_id": [None if done[i] else following[i] for i in at],
        "next_seq": np.where(done, 0, np.append(rows.counts["seq"][1:], 0))[at],
        "horizon_bars": np.where(done, 0, bars)[at],
        "done": done[at],
        "done_reason": [reason[i] for i in at],
        "censored": cut[at],
        "gap": (gap & ~done)[at],
    }
    rewards = _rewards(rows)
    return at, columns | {f"reward_{name}": rewards[name][at] for name in REWARDS}


def horizon(shared: SharedRows) -> tuple[I8, B1]:
    """Bars from each decision to the next by the calendar, and whether bars are missing between them; [T]."""
    n = len(shared.ts_ns)
    bars = np.ones(n, dtype=np.int64)
    sessions = np.diff(shared.session)
    if shared.bar_ns > DAY_NS // 2:
        per_bar = max(round(shared.bar_ns / DAY_NS * 5 / 7), 1)
        bars[:-1] = np.maximum(sessions // per_bar, 1)
    else:
        within = np.rint(np.diff(shared.ts_ns) / shared.bar_ns).astype(np.int64)
        bars[:-1] = np.maximum(np.where(sessions == 0, within, sessions), 1)
    return bars, bars > 1


def _rewards(rows: AccountRows) -> dict[str, F8]:
    """What followed each decision, as fractions of the equity it was made on; NaN where nothing has followed."""
    numbers = rows.numbers
    equity, depth = numbers["equity"], numbers["unit_drawdown"]

    def after(values: F8) -> F8:
        return np.append(values[1:], np.nan)

    with np.errstate(divide="ignore", invalid="ignore"):
        base = np.where(equity > 0, equity, np.nan)
        flow = after(numbers["flow"])
        found = {
            "pnl_net": (after(equity) - equity - flow) / base,
            "cost": after(numbers["fee"]) / base,
            "turnover": after(numbers["traded"]) / base,
            "flow": flow / base,
            "dd_penalty": np.maximum(after(depth) - depth, 0.0),
            "breach_penalty": after(np.bitwise_count(rows.counts["latched"]).astype(np.float64)),
        }
    for t, (_, pnl, cost, turnover) in rows.ends.items():
        last = {"pnl_net": pnl, "cost": cost, "turnover": turnover, "flow": 0.0, "breach_penalty": 0.0}
        last["dd_penalty"] = max(-pnl, 0.0) * (1.0 - float(depth[t]))
        for name, value in last.items():
            found[name][t] = value
    return found
