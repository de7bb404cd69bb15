"""RL datasets for others: a new folder with a Parquet table, or a Minari dataset. There whole, or not at all."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl

from regime_trading.adapters.disk import sync
from regime_trading.adapters.journal import files
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.schemas import RLBlock

TABLE, CONTENTS = "table.parquet", "contents.json"


def block_table(block: RLBlock) -> pl.DataFrame:
    """Rows of a block as its file would hold them."""
    return pl.DataFrame(pl.from_arrow(files.rl_table(block)))


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to fill; it becomes ``target`` at the end, and is gone after an error.

    Raises
    ------
    BadInput
        ``target`` is there already.
    NotDurable
        The file system cannot write.
    """
    if target.exists():
        raise BadInput(expected="a folder that does not exist yet", found="one that does", where=str(target))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        filling = Path(tempfile.mkdtemp(prefix=f".{target.name}.tmp-", dir=target.parent))
    except OSError as err:
        raise NotDurable(f"{target}: {err.strerror}") from err
    try:
        yield filling
        filling.chmod(0o755)
        _sync_all(filling)
        filling.rename(target)
        sync(target.parent)
    except OSError as err:
        shutil.rmtree(filling, ignore_errors=True)
        raise NotDurable(f"{target}: {err.strerror or err}") from err
    except BaseException:
        shutil.rmtree(filling, ignore_errors=True)
        raise


def _sync_all(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        sync(path)
    sync(folder)


def write_table(folder: Path, table: pl.DataFrame, contents: Mapping[str, Any]) -> None:
    """The flat table, and beside it what it holds."""
    table.write_parquet(folder / TABLE, compression="zstd")
    (folder / CONTENTS).write_bytes(orjson.dumps(contents, option=orjson.OPT_INDENT_2))


def require_minari() -> None:
    """Refuse where Minari is not installed.

    Raises
    ------
    BadInput
        Naming the extra that brings it.
    """
    try:
        import minari  # noqa: F401
    except ImportError as err:
        raise BadInput(
            expected="Minari, which the extra brings: pip install 'regime-trading[rl]'",
            found=str(err),
            where="--format minari",
        ) from err


def write_minari(
    folder: Path, name: str, episodes: Sequence[Any], contents: Mapping[str, Any], code_version: str
) -> None:
    """A Minari dataset ``name`` (Arrow) under ``folder``, which ``MINARI_DATASETS_PATH`` must name by now.

    Observations and actions have the bounds of all float64: what is not known is 0 where ``…_known`` is 0.

    Parameters
    ----------
    episodes : sequence
        ``services.rl_export.Episode``.
    contents : mapping
        What the axes mean; kept beside the dataset.
    """
    import minari
    from gymnasium import spaces
    from minari.data_collector.episode_buffer import EpisodeBuffer

    first = episodes[0]
    limit = np.finfo(np.float64).max
    boxes: dict[str, spaces.Space[Any]] = {
        key: spaces.Box(0, 1, v.shape[1:], np.uint8)
        if v.dtype == np.uint8
        else spaces.Box(-limit, limit, v.shape[1:], np.float64)
        for key, v in first.observations.items()
    }
    buffers = [
        EpisodeBuffer(
            id=n,
            observations=dict(episode.observations),
            actions=episode.actions,
            rewards=list(episode.rewards),
            terminations=list(episode.terminated),
            truncations=list(episode.truncated),
            infos={key: values.tolist() for key, values in episode.infos.items()},
        )
        for n, episode in enumerate(episodes)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a record has no environment that could be named
        minari.create_dataset_from_buffers(
            name,
            buffers,
            observation_space=spaces.Dict(boxes),
            action_space=spaces.Box(-limit, limit, first.actions.shape[1:], np.float64),
            algorithm_name="pm-deterministic",
            author="regime-trading",
            code_permalink=f"regime-trading {code_version}",
            description="Decisions of the portfolio manager: states, final weights, net returns.",
            data_format="arrow",
            jpeg_encoding=False,  # a mask is no picture
        )
    (folder / CONTENTS).write_bytes(orjson.dumps(contents, option=orjson.OPT_INDENT_2))
