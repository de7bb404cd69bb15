"""``regime backup`` and ``regime restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regime_trading.cli.common import Artifacts, Config, Debug, Json, out, print_json, reporting


def backup(
    to: Annotated[Path, typer.Option("--to", help="Empty or new folder.")],
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Save store, record and configuration as of one instant, and verify what was saved; others go on deciding."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.backup import make_backup

        done = make_backup(to, artifacts, config)
        told = {"path": str(to), "files": done.files, "bytes": done.size}
        if as_json:
            print_json(told | {"entries": done.entries, "sha256": done.list_sha256})
            return
        out.print(f"{done.files} files, {done.size:,} bytes; {done.entries:,} sealed entries verified.")
        out.print(f"SHA-256 of {to / 'backup.json'}: {done.list_sha256}", soft_wrap=True)
        out.print("Private keys and secrets are not in it: keep those elsewhere.")


def restore(
    source: Annotated[Path, typer.Option("--from", help="Folder of a backup.")],
    artifacts: Annotated[Path, typer.Option("--artifacts", help="Empty or new folder for store and record.")],
    config: Annotated[
        Path | None, typer.Option("--config", help="Empty or new folder for the configuration [left out].")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make new folders of a backup, and verify the record in them; exit 3 where something does not hold."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.backup import restore_backup

        done = restore_backup(source, artifacts, config)
        if as_json:
            told = {"path": str(artifacts), "files": done.files, "bytes": done.size, "entries": done.entries}
            print_json(told)
            return
        out.print(f"{done.files} files restored; {done.entries:,} sealed entries verified.")
        if config is None:
            out.print("The configuration was left out (--config).")
