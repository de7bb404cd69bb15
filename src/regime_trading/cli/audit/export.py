"""``regime audit export``: a bundle that verifies without us."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regime_trading.cli.audit.options import Account, Firm, First, Run
from regime_trading.cli.common import Artifacts, Debug, Json, out, print_json, reporting


def export(
    to: Annotated[Path, typer.Option("--to", help="A file that ends in .zip, or a folder; not there yet.")],
    firm: Firm = None,
    account: Account = None,
    run: Run = None,
    first: First = None,
    last: Annotated[str | None, typer.Option("--until", help="Last day or instant, UTC.")] = None,
    artifacts: Artifacts = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Entries with their proofs, the checkpoint and a verifier, for an auditor. The export itself is recorded."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.registers import Words, export_bundle

        told = export_bundle(to, Words(firm, account, run, first, last), artifacts)
        if as_json:
            print_json(told)
            return
        out.print(f"{told['entries']:,} entries of {told['chains']} chains in {told['path']}", soft_wrap=True)
        covered = (
            "none of them is signed" if not told["covered"] else f"{told['covered']:,} of them are signed"
        )
        out.print(f"{covered}; recorded as entry {told['recorded']['seq']} of {told['recorded']['chain']}")
        out.print(f"digest {told['sha256']}")
