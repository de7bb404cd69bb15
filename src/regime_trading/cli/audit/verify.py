"""``regime audit verify``: whether the record is whole and unchanged, and how far that is proved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from regime_trading.cli.common import Debug, Json, out, print_json, reporting

if TYPE_CHECKING:
    from regime_trading.services.verify import Verified

_SHOWN = 10


def verify(
    path: Annotated[
        Path | None,
        typer.Option(help="Artifacts folder, or its audit folder [REGIME_ARTIFACTS or ./artifacts]."),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="Folder with the public keys you trust (*.pub) [those of the record].")
    ] = None,
    firm: Annotated[str | None, typer.Option(help="Only this firm.")] = None,
    witness: Annotated[
        list[str] | None,
        typer.Option(help="Folder or URI of a witness to compare with; may be given several times."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check every entry, link, file, root and signature; exit 3 where something does not hold."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.proof import verify_record
        from regime_trading.services.verify import answer

        found = verify_record(path, keys, firm, witness or ())
        told = answer(found)
        if as_json:
            print_json(told)
        else:
            _show(found, told)
        if not found.ok:
            raise typer.Exit(3)


def _show(found: Verified, told: dict[str, Any]) -> None:
    chains = len(told["chains"])
    entries = "1 entry" if told["entries"] == 1 else f"{told['entries']:,} entries"
    counted = f"{entries} in {chains:,} {'chain' if chains == 1 else 'chains'}"
    verdict = "The record holds" if found.ok else "The record does NOT hold"
    _say(f"{verdict}: {counted} checked, every link.")
    for title, faults in (("Changed", found.faults), ("Missing or not accounted for", found.gaps)):
        if faults:
            _say(f"{title}:")
        for fault in faults[:_SHOWN]:
            where = ", ".join(text for text in (fault.chain, f"{fault.seq or ''}", fault.file) if text)
            reason = fault.reason.removeprefix(f"{fault.file}: ")
            _say(f"  {where}: {reason}")
        if len(faults) > _SHOWN:
            _say(f"  and {len(faults) - _SHOWN} more (--json has them)")
    for one in told["checkpoints"]:
        _say(f"{one['firm']}: {_reach(found, one)}, key {one['signed_by']}.")
    _show_limits(found, told)


def _reach(found: Verified, one: dict[str, Any]) -> str:
    signed = f"signed up to checkpoint {one['checkpoint']}, {_ago(one['age_s'])}"
    if not found.witnesses:
        return signed
    seq = found.logs[one["firm"]].witnessed
    if seq == one["checkpoint"]:
        return f"signed and witnessed up to checkpoint {seq}, {_ago(one['age_s'])}"
    return f"{signed}; witnessed up to checkpoint {seq}" if seq else f"{signed}; not witnessed"


def _show_limits(found: Verified, told: dict[str, Any]) -> None:
    """What the verdict does not reach."""
    for one in told["unsigned_after"][:_SHOWN]:
        after = f"after entry {one['seq']:,}" if one["seq"] else "at all"
        entries = "1 entry" if one["entries"] == 1 else f"{one['entries']:,} entries"
        _say(f"Not signed {after}: {entries} of {one['chain']}.")
    if len(told["unsigned_after"]) > _SHOWN:
        _say(f"Not signed: {len(told['unsigned_after']) - _SHOWN} chains more (--json has them).")
    if not found.trusted:
        _say(
            "The keys came from the record itself: that proves nothing against someone who can rewrite the folder. "
            "Give the keys you were handed with --keys."
        )
    if not found.witnesses:
        _say("No witness was asked (--witness): checkpoints removed from the end cannot be seen.")


def _ago(seconds: int) -> str:
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _say(text: str) -> None:
    out.print(escape(text), soft_wrap=True)
