"""``regime tape`` and ``regime detect``: the two measurements, each on a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from regime_trading.cli.common import Config, Debug, Json, out, print_json, reporting, steps


def tape(
    quotes: Annotated[
        Path | None, typer.Option(help="Quotes: CSV, Parquet, LOBSTER (either file of the pair) or DBN.")
    ] = None,
    trades: Annotated[Path | None, typer.Option(help="Trades, where the quotes' file has none.")] = None,
    layout: Annotated[
        str, typer.Option("--format", help="auto, lobster, dbn, taq, parquet or csv.")
    ] = "auto",
    interval: Annotated[
        str | None, typer.Option(help="Length of an order-flow bucket: 500ms, 10s, 1m [the settings' 10 s].")
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="Which one, where the file holds several.")] = None,
    calendar: Annotated[
        str | None,
        typer.Option(help="Exchange calendar of the instrument [what the format implies, else 24/7]."),
    ] = None,
    chart: Annotated[Path | None, typer.Option(help="Write the chart as SVG here.")] = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Microstructure features and tape health of a file."""
    with reporting(as_json, debug):
        from regime_trading.bootstrap.files import read_tape_file

        told = read_tape_file(quotes, trades, layout, interval, symbol, calendar, chart, config)
        if as_json:
            print_json(told)
        else:
            _show_tape(told)


def _show_tape(told: dict[str, Any]) -> None:
    health = told["health"]
    out.print(
        f"{told['symbol']}, {told['start']} to {told['end']}, evidence {told['evidence']}", soft_wrap=True
    )
    out.print(f"Tape health: {health['grade']}, {health['score']:.0f} of 100", soft_wrap=True)
    for reason in health["reasons"]:
        out.print(f"  {escape(reason)}", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for title in ("measure", "value", ""):
        table.add_column(title, justify="right" if title == "value" else "left")
    for path, unit in _SHOWN:
        value = _at(told, path)
        why = told["unknown"].get(path, "")
        table.add_row(path, "not known" if value is None else f"{value:,.6g}", why if value is None else unit)
    out.print(table)
    counts = told["counts"]
    dropped = {name: counts[name] for name in ("crossed", "one_sided", "non_positive")} | counts["removed"]
    said = ", ".join(f"{name} {n:,}" for name, n in dropped.items() if n) or "none"
    out.print(f"Rows {counts['rows']:,}: used {counts['used']:,}, dropped: {said}", soft_wrap=True)
    for note in told["notes"]:
        out.print(escape(note), soft_wrap=True)


_SHOWN = (
    ("spread.time_weighted_bps", "bp"),
    ("spread.time_weighted_px", "price"),
    ("spread.effective_bps", "bp"),
    ("spread.realised_bps", "bp"),
    ("spread.impact_bps", "bp"),
    ("ofi.sum", "size"),
    ("ofi.beta", "price per size"),
    ("ofi.r2", ""),
    ("ofi.r2_window_mean", ""),
    ("ofi.r2_integrated", ""),
    ("microprice.last", "price"),
    ("microprice.gap_bps", "bp"),
    ("trades.n", ""),
    ("trades.signed_volume", "size"),
    ("trades.kyle_lambda", "price per size"),
    ("trades.vpin", ""),
)


def _at(told: dict[str, Any], path: str) -> Any:
    block, name = path.split(".")
    return told[block][name]


def detect(
    prices: Annotated[
        Path | None, typer.Option(help="Wide price table: ts_event and one column per symbol.")
    ] = None,
    states: Annotated[
        str | None,
        typer.Option(help="Number of risk states, or auto: from the first 504 returns [the settings']."),
    ] = None,
    smoothed: Annotated[
        bool, typer.Option("--smoothed", help="States with hindsight, from the whole sample: never a signal.")
    ] = False,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", help="Per row: ts_event, symbol, state, probability, label (.csv, .parquet)."),
    ] = None,
    config: Config = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Regime of every column of a wide price table; per row with --out."""
    with reporting(as_json, debug), steps(as_json) as progress:
        from regime_trading.bootstrap.files import detect_file

        told = detect_file(prices, states, smoothed, out_file, config, progress)
        if as_json:
            print_json(told)
            return
        table = Table(box=None, pad_edge=False)
        for title in ("symbol", "label", "confidence", "structure", "risk state", "as of"):
            table.add_column(title, justify="right" if title == "confidence" else "left", no_wrap=True)
        for name, item in told.items():
            risk = item["risk"]
            state = (
                "not known" if risk["state"] is None else f"{risk['state']} of 0 to {risk['n_states'] - 1}"
            )
            table.add_row(
                name,
                item["label"],
                f"{item['confidence']:.2f}",
                item["structure"]["label"],
                state,
                item["as_of"],
            )
        out.print(table)
        if out_file is not None:
            out.print(f"Rows: {out_file}", soft_wrap=True)
