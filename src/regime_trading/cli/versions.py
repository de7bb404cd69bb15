"""``regime config versions|apply|rollback|export``: versions of a configuration, for whoever is at the machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from regime_trading.cli.common import Artifacts, Config, Debug, Json, out, print_json, reporting

Firm = Annotated[str, typer.Argument(help="Name of the firm.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept with the version.")]


def add_commands(app: typer.Typer) -> None:
    """The commands, beside the others of ``regime config``."""
    app.command("versions")(config_versions)
    app.command("apply")(config_apply)
    app.command("rollback")(config_rollback)
    app.command("export")(config_export)


def config_versions(
    firm: Firm,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000, help="At most so many.")] = 20,
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Versions of a firm's configuration, newest first. What was written into the file by hand becomes one."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.config_versions import list_versions

        answer = list_versions(firm, limit, artifacts, config)
        if as_json:
            print_json(answer)
            return
        table = Table("version", "status", "parent", "direction", "by", "created", "reason", box=None)
        for one in answer["versions"]:
            keys = ("version", "status", "parent", "direction", "author", "created", "reason")
            table.add_row(*(escape(str(one[key])) for key in keys))
        out.print(table)
        if answer["drift"] == "refused":
            out.print("The file is refused by the loader; the last good configuration is in force.")


def config_apply(
    firm: Firm,
    document: Annotated[
        Path | None, typer.Argument(help="The firm's section as a file (regime config export).")
    ] = None,
    version: Annotated[
        int | None, typer.Option("--version", help="A version that is there, instead.")
    ] = None,
    reason: Reason = "",
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Put a document into traders.yaml as a new version. It may tighten; what loosens an account that does not run dry
    takes a second person, and the server."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.config_versions import apply_local

        _show(apply_local(firm, document, version, reason, artifacts, config), as_json)


def config_rollback(
    firm: Firm,
    version: Annotated[int, typer.Argument(help="Whose document to apply again, as a new version.")],
    reason: Reason = "",
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Apply the document of an earlier version again. History stays as it is."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.config_versions import rollback_local

        _show(rollback_local(firm, version, reason, artifacts, config), as_json)


def config_export(
    firm: Firm,
    version: Annotated[
        int | None, typer.Option("--version", help="Of a version [the file as it is].")
    ] = None,
    artifacts: Artifacts = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """The firm's own section of traders.yaml on stdout."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.config_versions import export_version

        document = export_version(firm, version, artifacts, config)
        if as_json:
            print_json({"firm": firm, "version": version, "document": document})
        else:
            sys.stdout.write(document)


def _show(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    for finding in answer["findings"]:
        out.print(escape(finding["message"]), soft_wrap=True)
    out.print(f"Version {answer['version']} is {answer['status']}, in force from {answer['effective_from']}.")
