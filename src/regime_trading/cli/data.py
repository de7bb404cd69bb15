"""``regime data``: bring data into a folder of the normal form, and check what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from regime_trading.cli.common import Config, Debug, Json, out, print_json, reporting

data_app = typer.Typer(help="Data sources: import files, fetch from venues, check.", no_args_is_help=True)

Quotes = Annotated[
    Path | None, typer.Option(help="Quotes: CSV, Parquet, LOBSTER (either file of the pair) or DBN.")
]
Trades = Annotated[Path | None, typer.Option(help="Trades, where the quotes' file has none.")]
Layout = Annotated[str, typer.Option("--format", help="auto, lobster, dbn, taq, parquet or csv.")]
Which = Annotated[str | None, typer.Option("--symbol", help="Which one, where the file holds several.")]
Folder = Annotated[Path | None, typer.Option("--to", help="Data folder: bars/, quotes/ and trades/ in it.")]


@data_app.command("import")
def import_(
    quotes: Quotes = None,
    trades: Trades = None,
    prices: Annotated[
        Path | None, typer.Option(help="A price table or bars instead: a file or a folder.")
    ] = None,
    to: Folder = None,
    layout: Layout = "auto",
    symbol: Which = None,
    bars: Annotated[str | None, typer.Option(help="Make bars of the mid as well: 1m, 5m, 1h.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace other data of the same symbol.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a tape or prices in their normal form, with their provenance; whole or not at all."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.files import import_data

        told = import_data(quotes, trades, prices, to, layout, symbol, bars, overwrite, config)
        if as_json:
            print_json(told)
            return
        for name, path in told.get("files", {}).items():
            out.print(f"{name}: {path}", soft_wrap=True)
        for name, rows in told["bars"].items():
            out.print(f"bars: {name}, {rows:,} rows", soft_wrap=True)
        out.print(f"Use it: regime run --source {told['folder']}", soft_wrap=True)


@data_app.command()
def check(
    source: Annotated[str | None, typer.Argument(help="bundled, a file, or a folder.")] = None,
    quotes: Quotes = None,
    trades: Trades = None,
    layout: Layout = "auto",
    symbol: Which = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Integrity of a source's bars and tapes, or of a tape file. Exit 3 where something is not usable."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.files import check_data

        told = check_data(source, quotes, trades, layout, symbol, config)
        if as_json:
            print_json(told)
        else:
            _show_check(told)
        if not told["ok"]:
            raise typer.Exit(3)


def _show_check(told: dict[str, Any]) -> None:
    if told["bars"] is not None:
        table = Table(box=None, pad_edge=False)
        for title in ("symbol", "status", "bars", "missing", "longest gap", "reasons"):
            table.add_column(
                title, justify="right" if title in ("bars", "missing", "longest gap") else "left"
            )
        for item in told["bars"]["symbols"]:
            counts = (f"{item[name]:,}" for name in ("bars", "missing", "longest_gap"))
            table.add_row(item["symbol"], item["status"], *counts, ", ".join(item["reasons"]))
        out.print(table)
    for item in told["tapes"]:
        counts, health = item["counts"], item["health"]
        dropped = {n: counts[n] for n in ("crossed", "one_sided", "non_positive")} | counts["removed"]
        said = ", ".join(f"{name} {n:,}" for name, n in dropped.items() if n) or "none"
        out.print(
            f"{item['symbol']}: tape {health['grade']} ({health['score']:.0f} of 100), {counts['rows']:,} rows, "
            f"used {counts['used']:,}, dropped: {said}",
            soft_wrap=True,
        )
        for reason in health["reasons"]:
            out.print(f"  {escape(reason)}", soft_wrap=True)
    out.print("Usable." if told["ok"] else "Not usable.")


@data_app.command()
def fetch(
    venue: Annotated[str, typer.Option(help="ccxt:EXCHANGE (ccxt:binance), alpaca or alpaca:iex.")],
    symbol: Annotated[str, typer.Option(help="As the venue writes it: BTC/USDT, AAPL.")],
    kinds: Annotated[str, typer.Option(help="bars, quotes, trades, separated by commas.")] = "bars",
    interval: Annotated[str, typer.Option(help="Length of a bar: 1m, 1h, 1d.")] = "1d",
    since: Annotated[str | None, typer.Option(help="Date or time [one day before --until].")] = None,
    until: Annotated[str | None, typer.Option(help="Date or time [now].")] = None,
    to: Folder = None,
    polls: Annotated[int, typer.Option(help="Quotes of a venue without history: how many to poll.")] = 0,
    every: Annotated[float, typer.Option(help="Seconds between two polls.")] = 1.0,
    base_url: Annotated[
        str | None, typer.Option(help="Another server that speaks the venue's language.")
    ] = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fetch bars, quotes or trades of a venue into a data folder, with provenance; only what is missing."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.files import fetch_data

        wanted = tuple(part.strip() for part in kinds.split(",") if part.strip())
        told = fetch_data(venue, symbol, wanted, interval, since, until, to, polls, every, base_url, config)
        if as_json:
            print_json(told)
            return
        for kind, item in told["files"].items():
            out.print(
                f"{kind}: {item['path']}, {item['rows']:,} rows ({item['added']:,} new)", soft_wrap=True
            )
