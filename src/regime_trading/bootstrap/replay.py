"""Replay, wired over an artifacts folder alone: sealed files, stored inputs, and the database if there is one."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.database.recorded import WalDecisions, open_to_read
from regime_trading.adapters.journal import ParquetInputs
from regime_trading.adapters.journal.recorded import SealedDecisions
from regime_trading.bootstrap import artifacts_folder, database_url, has_database
from regime_trading.bootstrap.version import code_version
from regime_trading.core.errors import BadInput
from regime_trading.core.ports import RecordedDecisions
from regime_trading.services.replay import Progress, ReplayDeps, Replayed, ReplayRequest, replay


def replay_folder(path: Path | None, request: ReplayRequest, progress: Progress | None = None) -> Replayed:
    """Make the chosen decisions of an artifacts folder again; nothing is written.

    Raises
    ------
    BadInput
        No such folder, or no such decisions in it.
    CheckFailed
        A file of the record that cannot be read.
    """
    folder = artifacts_folder(path)
    if not folder.is_dir():
        raise BadInput(expected="an artifacts folder", found="none", where=str(folder))
    store = LocalArtifacts(folder)
    recorded: list[RecordedDecisions] = [SealedDecisions(store)]
    with ExitStack() as stack:
        if has_database(folder):
            engine = open_to_read(database_url(folder))
            stack.callback(engine.dispose)
            recorded.append(WalDecisions(engine))
        deps = ReplayDeps(tuple(recorded), ParquetInputs(store), code_version())
        return replay(request, deps, progress)
