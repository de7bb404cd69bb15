"""Clone the portfolio manager from its own record, then put the clone through the same guards.

    python examples/behaviour_cloning.py [--artifacts DIR] [--source bundled] [--from 2010-01-01]

1. A backtest leaves states, actions and transitions (`regime backtest` does the same).
2. Polars makes one row of every decision and asset. The clone may see the market and the proposal, nothing that
   depends on the teacher's own book: else it would be judged in situations it would not have been in.
3. Time splits the rows: the first 60 % teach, a quarter of a year is left out, the rest judges.
4. A gradient boosting learns the final weights; missing numbers stay missing, it can use that.
5. Its weights are *proposals*: they go through every rule of the account in the same loop as anyone's.
"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingRegressor

from regime_trading.bootstrap.app import open_app
from regime_trading.core.canonical import array_hash
from regime_trading.core.numbers import to_nano
from regime_trading.core.rl_features import FEATURES
from regime_trading.core.schemas import ProposalRows
from regime_trading.services.backtest import BacktestDeps, BacktestOutcome, BacktestRequest, run_backtest
from regime_trading.services.rl import check
from regime_trading.services.rl_dataset import RLDataset, Selection
from regime_trading.services.rl_export import training_table

TAUGHT = 0.6
EMBARGO_BARS = 63  #: proposals stand for days and sigmas remember weeks: a quarter lets both fade
ROW = [f.name for f in FEATURES if f.block == "market" and f.per == "row"]
ASSET = [f.name for f in FEATURES if f.block == "market" and f.per == "asset"] + ["sigma", "proposed_w"]


def by_asset(table: pl.DataFrame) -> pl.DataFrame:
    """One row of every decision and asset; a request to the gate may be about none."""
    lists = [*ASSET, "final_w", "action_lo", "action_hi", "frozen"]
    symbols = pl.col("symbols").str.split(",").alias("symbol")
    return (
        table.filter(pl.col("symbols") != "")
        .select("ts_event", "seq", *ROW, symbols, *lists)
        .explode("symbol", *lists)
    )


def split(table: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What teaches and what judges, apart in time by the embargo."""
    last = int(table.height * TAUGHT)
    return table[:last], table[last + EMBARGO_BARS :]


def telling(rows: pl.DataFrame) -> list[str]:
    """Features that say something in these rows: this source has no tape, for one."""
    return [name for name in ROW + ASSET if rows[name].drop_nans().n_unique() > 1]


def fit(rows: pl.DataFrame, names: list[str]) -> HistGradientBoostingRegressor:
    known = rows.filter(pl.col("final_w").is_not_nan())
    model = HistGradientBoostingRegressor(max_iter=150, learning_rate=0.1, max_leaf_nodes=15, random_state=0)
    return model.fit(known.select(names).to_numpy(), known["final_w"].to_numpy())


def proposals(rows: pl.DataFrame, weights: np.ndarray) -> ProposalRows:
    """Weights as the proposals of a user, one at every decision; what is almost nothing is nothing."""
    symbols = tuple(rows["symbol"].unique(maintain_order=True).to_list())
    ts_ns = rows["ts_event"].cast(pl.Int64).unique(maintain_order=True).to_numpy()
    nano = to_nano(np.where(np.abs(weights) < 1e-3, 0.0, weights)).reshape(len(ts_ns), len(symbols))
    return ProposalRows(ts_ns, symbols, nano, array_hash({"ts_ns": ts_ns, "weights": nano}))


def judged(name: str, outcome: BacktestOutcome, dataset: RLDataset) -> dict[str, object]:
    """What came of a policy, and what the guards made of it."""
    told = outcome.summary["accounts"][0]
    verdict = check(dataset, outcome.run_id)
    assert verdict.ok, verdict.answer()
    rows = by_asset(training_table(dataset, Selection(run_id=outcome.run_id)))
    free = rows.filter((pl.col("frozen") == 0) & pl.col("final_w").is_not_nan())
    asked = rows.filter((pl.col("proposed_w") != 0) | (pl.col("final_w") != 0))
    changed = (asked["final_w"] - asked["proposed_w"]).abs() > 1e-9

    def outside(column: str) -> int:
        w, lo, hi = free[column], free["action_lo"], free["action_hi"]
        return int(((w < lo - 1e-9) | (w > hi + 1e-9)).sum())

    return {
        "policy": name, "return p.a.": told["return"], "volatility": told["volatility"],
        "max drawdown": told["max_drawdown"], "changed by guards": float(changed.mean() or 0.0),
        "breaches proposed": outside("proposed_w"), "breaches after guards": outside("final_w"),
    }  # fmt: skip


def compare(
    deps: BacktestDeps, source: str, account: str, first_day: dt.date | None
) -> tuple[pl.DataFrame, str]:
    """Teach, judge, compare; the table, and a sentence on the fit."""
    dataset = RLDataset(deps.store, deps.sealer)
    ask = {"source": source, "accounts": (account,)}
    teacher = run_backtest(BacktestRequest(first_day=first_day, **ask), deps)
    table = training_table(dataset, Selection(run_id=teacher.run_id))
    taught, test = (by_asset(part) for part in split(table))
    names = telling(taught)
    guess = fit(taught, names).predict(test.select(names).to_numpy())
    error = np.sqrt(np.nanmean((guess - test["final_w"].to_numpy()) ** 2))
    plain = np.sqrt(np.nanmean((test["proposed_w"].to_numpy() - test["final_w"].to_numpy()) ** 2))

    begin = test["ts_event"][0].date()
    clone, nothing = proposals(test, guess), proposals(test, np.zeros(len(guess)))
    runs = {
        "PM": run_backtest(BacktestRequest(first_day=begin, **ask), deps),
        "clone": run_backtest(BacktestRequest(first_day=begin, proposals=clone, **ask), deps),
        "no action": run_backtest(BacktestRequest(first_day=begin, proposals=nothing, **ask), deps),
    }
    said = (
        f"{account}: taught on {taught['seq'].n_unique()} decisions with {len(names)} features, judged on "
        f"{test['seq'].n_unique()} from {begin} on. Root mean square error of the clone's weights {error:.4f}, "
        f"of the bare proposal {plain:.4f}."
    )
    return pl.DataFrame([judged(name, outcome, dataset) for name, outcome in runs.items()]), said


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--artifacts", type=Path, default=None)
    parser.add_argument("--source", default="bundled")
    parser.add_argument("--account", default="north-pier/core")
    parser.add_argument("--from", dest="first", type=dt.date.fromisoformat, default=dt.date(2010, 1, 1))
    args = parser.parse_args()
    with open_app(artifacts=args.artifacts) as app:
        table, said = compare(app.backtest(), args.source, args.account, args.first)
    print(said)  # noqa: T201
    with pl.Config(tbl_cols=-1, tbl_width_chars=160, float_precision=4, tbl_hide_dataframe_shape=True):
        print(table)  # noqa: T201


if __name__ == "__main__":
    main()
