"""Features, masks, rewards, ends of episodes from what was noted of one account; pure, all bars at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from regime_trading.core.bars import DAY_NS
from regime_trading.core.numbers import B1, F8, I8, NANO
from regime_trading.core.rl import REWARDS
from regime_trading.core.rl_features import FEATURES, FLOORS, MASKS, bits, features, floor_column, mask_column
from regime_trading.core.rules import RULE_IDS
from regime_trading.engine.cycle import Cycle
from regime_trading.engine.market import MarketPath
from regime_trading.engine.record import Identity
from regime_trading.engine.rl_context import MarketContext, coded
from regime_trading.guards.facts import NEVER_NS
from regime_trading.guards.floors import Floor
from regime_trading.guards.snapshot import NO_LATCH

#: Rules whose loss and limit are noted, and their columns in a decision's tables.
LOSS_RULES: dict[str, int] = {
    rule_id: RULE_IDS.index(rule_id) for rule_id in ("LD-01", "LD-02", "LD-03", "LD-13")
}
#: How an episode ended: the reason, and profit, fees and traded value of the end as shares of equity.
End = tuple[str, float, float, float]
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
class Noted:
    """What decisions saw and did, one row a decision: [R], [R, N], [R, rules] or words of bits."""

    numbers: Mapping[str, F8]
    counts: Mapping[str, I8]
    assets: Mapping[str, F8]
    flags: Mapping[str, B1]
    binding: I8
    loss: F8
    limit: F8
    floors: F8


@dataclass(frozen=True, slots=True)
class AccountRows(Noted):
    """What was noted of one account, bar by bar; ``ends`` by row."""

    identity: Identity
    ids: list[str]
    known_ns: I8
    ends: Mapping[int, End]
    shared: SharedRows


def shared_rows(market: MarketPath, context: MarketContext, first: int, n: int) -> SharedRows:
    """The market's own columns of the ``n`` bars from ``first`` on."""
    cut = slice(first, first + n)
    own = {
        "regime_label": market.label[cut].astype(np.float64),
        "regime_confidence": market.confidence[cut],
        "spread_bps": market.spread_bps[cut],
        "book": coded(market.book[cut]),
        "tape_grade": coded(market.tape_grade[cut]),
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


def noted(cycle: Cycle, floors: Mapping[str, Floor]) -> Noted:
    """What one cycle saw and did, one row an account; without its fills and flows, which each caller knows by itself.

    Parameters
    ----------
    cycle : Cycle
    floors : mapping
        Of its view, by rule.
    """
    d, books, states, p = cycle.decisions, cycle.view.books, cycle.view.states, cycle.decisions.projection
    held = states.latch_kind > NO_LATCH
    unknown = np.isnan(d.current).any(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = 1.0 - books.equity / states.units / states.unit_hwm
    columns = list(LOSS_RULES.values())
    return Noted(
        numbers={
            "equity": books.equity, "balance": books.balance, "drawdown": d.rule_value[:, LOSS_RULES["LD-02"]],
            "unit_drawdown": below, "sigma_book": np.where(unknown, np.nan, d.sigma_book),
            "sigma_proposed": p.sigma_tilde, "throttle": p.throttle, "budget_factor": p.k,
            "proposal_age_bars": books.proposal_age_bars,
        },
        counts={
            "trading_state": d.mode.astype(np.int64), "authority": d.authority.astype(np.int64),
            "open_latches": held.sum(axis=1),
            "latch_bits": (held << np.arange(held.shape[1], dtype=np.int64)).sum(axis=1), "latched": d.latched,
            "last_trade_ns": states.last_trade_ns,
        },
        assets={
            "weight": d.current / NANO, "proposed_w": d.proposed / NANO, "final_w": p.target / NANO,
            "lo": p.lo / NANO, "hi": p.hi / NANO, "asset_factor": p.scale, "qty": books.qty,
            "avg_price": books.broker.avg_price,
        },
        flags={"frozen": p.frozen, "bound": (d.limiting != 0).any(axis=2)},
        binding=np.bitwise_or.reduce(d.limiting, axis=1),
        loss=d.rule_value[:, columns],
        limit=d.rule_limit[:, columns],
        floors=np.stack([floors[rule_id].act for rule_id in FLOORS], axis=1),
    )  # fmt: skip


def feature_columns(rows: Noted, shared: SharedRows, since_trade: F8, age: F8) -> dict[str, F8]:
    """Every feature of the table, float64 [R] or [R, N], finite or NaN.

    Parameters
    ----------
    rows, shared : Noted, SharedRows
        Of the same decisions.
    since_trade, age : float64 [R], [R, N]
        Bars since the last fill, and since each position was opened.
    """
    own = _portfolio(rows) | _assets(rows, shared) | _constraint(rows)
    own |= {"bars_since_trade": since_trade, "age_bars": age}
    found = dict(shared.values) | {name: finite(values) for name, values in own.items()}
    return {f.name: found[f.name] for f in FEATURES}


def masks(values: Mapping[str, F8]) -> dict[str, I8]:
    """Mask columns of a state."""
    return {
        mask_column(block, per): bits([values[f.name] for f in features(block, per)]) for block, per in MASKS
    }


def finite(values: F8) -> F8:
    """``values`` with everything that is not a number as NaN: no bound, no floor, no event."""
    return np.where(np.isfinite(values), values, np.nan)


def _portfolio(rows: Noted) -> dict[str, F8]:
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
        "open_latches": counts["open_latches"].astype(np.float64),
        **{name: numbers[name] for name in own},
    }


def bars_since_trade(rows: AccountRows) -> F8:
    """Bars of the path since the last fill, float64 [T]; NaN where there was none yet."""
    last, shared = rows.counts["last_trade_ns"], rows.shared
    at = np.searchsorted(shared.path_ns, last, side="left")
    here = shared.first + np.arange(len(last))
    return np.where(last > NEVER_NS, (here - at).astype(np.float64), np.nan)


def _assets(rows: Noted, shared: SharedRows) -> dict[str, F8]:
    own, equity = rows.assets, rows.numbers["equity"]
    weight, qty, entry = own["weight"], own["qty"], own["avg_price"]
    with np.errstate(divide="ignore", invalid="ignore"):
        priced = (shared.price > 0) & (entry > 0) & (qty != 0) & (shared.sigma > 0)
        profit = np.where(priced, np.sign(qty) * (shared.price / entry - 1.0) / shared.sigma, np.nan)
        adv_share = np.abs(weight) * equity[:, None] / shared.adv
    return {
        "weight": weight,
        "proposed_w": own["proposed_w"],
        "sigma": shared.sigma,
        "book_correlation": _book_correlation(weight, shared.sigma, shared.matrix, shared.matrix_at),
        "adv_share": adv_share,
        "upnl_r": profit,
    }


def position_age(qty: F8) -> F8:
    """Bars since each position was opened or turned, float64 [T, N]; NaN where flat, and where it was there before."""
    side, bars = np.sign(qty), np.arange(len(qty))[:, None]
    turned = np.ones(side.shape, dtype=np.bool_)
    turned[1:] = side[1:] != side[:-1]
    opened = np.maximum.accumulate(np.where(turned, bars, 0), axis=0)
    return np.where((side != 0) & (opened > 0), (bars - opened).astype(np.float64), np.nan)


def _constraint(rows: Noted) -> dict[str, F8]:
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


def transition_columns(rows: AccountRows, end_of_data: str) -> tuple[I8, dict[str, Any]]:
    """Rows with a transition, and its columns beside ``seq`` and ``ts_event_ns``."""
    n = len(rows.ids)
    done = np.zeros(n, dtype=np.bool_)
    done[list(rows.ends)] = True
    at = np.flatnonzero((np.arange(n) < n - 1) | done)
    reason = ["" for _ in range(n)]
    for t, end in rows.ends.items():
        reason[t] = end[0]
    cut = np.zeros(n, dtype=np.bool_)
    if n > 1 and not done[-1] and not done[-2]:
        cut[-2], reason[-2] = True, end_of_data
    bars, gap = horizon(rows.shared.ts_ns, rows.shared.session, rows.shared.bar_ns)
    following = [*rows.ids[1:], None]
    columns: dict[str, Any] = {
        "state_id": [rows.ids[i] for i in at],
        "action_id": [rows.ids[i] for i in at],
        "next_run_id": [None] * len(at),
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


def horizon(ts_ns: I8, session: I8, bar_ns: int) -> tuple[I8, B1]:
    """Bars from each decision to the next by the calendar, and whether bars are missing between them; [T]."""
    bars = np.ones(len(ts_ns), dtype=np.int64)
    sessions = np.diff(session)
    if bar_ns > DAY_NS // 2:
        per_bar = max(round(bar_ns / DAY_NS * 5 / 7), 1)
        bars[:-1] = np.maximum(sessions // per_bar, 1)
    else:
        within = np.rint(np.diff(ts_ns) / bar_ns).astype(np.int64)
        bars[:-1] = np.maximum(np.where(sessions == 0, within, sessions), 1)
    return bars, bars > 1


def _rewards(rows: AccountRows) -> dict[str, F8]:
    """What followed each decision, as fractions of the equity it was made on; NaN where nothing has followed."""
    numbers = rows.numbers
    depth = numbers["unit_drawdown"]

    def after(values: F8) -> F8:
        return np.append(values[1:], np.nan)

    found = components(
        Standing(numbers["equity"], depth),
        Standing(after(numbers["equity"]), after(depth)),
        flow=after(numbers["flow"]),
        fee=after(numbers["fee"]),
        traded=after(numbers["traded"]),
        latched=after(np.bitwise_count(rows.counts["latched"]).astype(np.float64)),
    )
    for t, end in rows.ends.items():
        for name, value in last_components(end, float(depth[t])).items():
            found[name][t] = value
    return found


def last_components(end: End, depth: float) -> dict[str, float]:
    """Reward components of the decision that ended an episode, at which the unit value stood ``depth`` below its
    high-water mark."""
    _, pnl, cost, turnover = end
    deeper = max(-pnl, 0.0) * (1.0 - depth)
    last = {"pnl_net": pnl, "cost": cost, "turnover": turnover, "flow": 0.0}
    return last | {"dd_penalty": deeper, "breach_penalty": 0.0}


@dataclass(frozen=True, slots=True)
class Standing:
    """Equity, and the depth of the unit value below its high-water mark, at decisions; float64 [R]."""

    equity: F8
    depth: F8


def components(
    before: Standing, after: Standing, *, flow: F8, fee: F8, traded: F8, latched: F8
) -> dict[str, F8]:
    """Reward components from decisions to the next ones, float64 [R]; NaN where a part is not known.

    Parameters
    ----------
    before, after : Standing
        At the decisions, and at those that followed.
    flow, fee, traded : float64 [R]
        Deposits less withdrawals, fees, and notional between them, account currency.
    latched : float64 [R]
        How many circuits latched at the next decisions.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        base = np.where(before.equity > 0, before.equity, np.nan)
        return {
            "pnl_net": (after.equity - before.equity - flow) / base,
            "cost": fee / base,
            "turnover": traded / base,
            "flow": flow / base,
            "dd_penalty": np.maximum(after.depth - before.depth, 0.0),
            "breach_penalty": latched,
        }
