"""The RL dataset of an artifacts folder, wired: check, describe, export. No configuration is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.adapters.rl_files import (
    block_table,
    new_folder,
    require_minari,
    write_minari,
    write_table,
)
from regime_trading.bootstrap import artifacts_folder, database_url, has_database, minari_datasets_in
from regime_trading.bootstrap.version import code_version
from regime_trading.core.errors import BadInput
from regime_trading.core.rl_features import FEATURE_SET_VERSION
from regime_trading.services.rl import RLCheck, check, describe
from regime_trading.services.rl_dataset import RLDataset, Selection, Unsealed, unsealed
from regime_trading.services.rl_export import contents, episodes, training_table

Format = Literal["parquet", "minari"]
MINARI_NAME = f"regime-trading/pm-v{FEATURE_SET_VERSION}"


def open_dataset(path: Path | None) -> RLDataset:
    """The dataset of an artifacts folder.

    Raises
    ------
    BadInput
        No such folder.
    """
    folder = artifacts_folder(path)
    if not folder.is_dir():
        raise BadInput(expected="an artifacts folder", found="none", where=str(folder))
    store = LocalArtifacts(folder)
    waiting = _waiting(folder) if has_database(folder) else None
    return RLDataset(store, ParquetSealer(store), waiting=waiting)


def _waiting(folder: Path) -> Unsealed:
    """What the store of a folder holds of every firm."""
    from regime_trading.adapters.database import SqlRLLog, firms_with_entries, open_database

    engine = open_database(database_url(folder))
    try:
        told = [SqlRLLog(engine, firm_id=firm).waiting() for firm in firms_with_entries(engine)]
    finally:
        engine.dispose()
    rows = [row for waiting, _ in told for row in waiting]
    decisions = [event for _, events in told for event in events]
    return unsealed(rows, decisions, block_table)


def check_dataset(path: Path | None, run_id: str | None) -> RLCheck:
    """Hold the dataset of a folder against its record."""
    return check(open_dataset(path), run_id)


def describe_dataset(path: Path | None, selection: Selection) -> dict[str, Any]:
    """Features of a dataset with their shares of unknown numbers."""
    return describe(open_dataset(path), selection)


def export_dataset(path: Path | None, target: Path, layout: str, selection: Selection) -> dict[str, Any]:
    """Write a selection into a new folder; says what it holds.

    Raises
    ------
    BadInput
        A folder that is there already, an unknown layout, no such rows, or Minari is not installed.
    """
    if layout not in get_args(Format):
        raise BadInput(expected=" or ".join(get_args(Format)), found=layout, where="--format")
    dataset = open_dataset(path)
    if layout == "parquet":
        with new_folder(target) as folder:
            table = training_table(dataset, selection)
            told = {
                "feature_set_version": FEATURE_SET_VERSION,
                "env": selection.env,
                "rows": table.height,
                "columns": table.columns,
            }
            write_table(folder, table, told)
        return {"path": str(target), "format": layout, "env": selection.env, "rows": table.height}
    require_minari()
    found = episodes(dataset, selection)
    with new_folder(target) as folder, minari_datasets_in(folder):
        write_minari(folder, MINARI_NAME, found, contents(found), code_version())
    return {
        "path": str(target),
        "format": layout,
        "env": selection.env,
        "dataset": MINARI_NAME,
        "episodes": len(found),
        "rows": sum(len(episode.rewards) for episode in found),
    }
