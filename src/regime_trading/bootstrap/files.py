"""Commands on files and folders: measure a tape, label a price table, import, check and fetch data."""

from __future__ import annotations

import time
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import polars as pl

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.market_data import open_source
from regime_trading.adapters.tape.imported import import_tape
from regime_trading.adapters.tape.registry import open_tape
from regime_trading.adapters.venues import fetch_to_folder, open_venue
from regime_trading.bootstrap import load, venue_credentials
from regime_trading.core.errors import BadInput
from regime_trading.core.ports import TapeSource
from regime_trading.core.schemas import REGIME_LABELS, HealthStatus, PriceWindow
from regime_trading.core.settings import Settings
from regime_trading.engine.detection import Detection, DetectionParams, detect
from regime_trading.engine.histories import Progress
from regime_trading.engine.tape_bars import mid_bars
from regime_trading.engine.tape_reading import session_starts, tape_params
from regime_trading.services.market import (
    DAY_NS,
    detect_answer,
    interval_ns,
    measure_tape,
    tape_answer,
    tape_chart,
    tape_days,
)
from regime_trading.services.runs import parse_time


def required(path: Path | None, option: str) -> Path:
    """The path, or a sentence that says which option is missing."""
    if path is None:
        raise BadInput(expected=f"a file with {option}", found="nothing", where=option)
    return path


def read_tape_file(
    quotes: Path | None,
    trades: Path | None,
    layout: str,
    interval: str | None,
    symbol: str | None,
    calendar: str | None,
    chart: Path | None,
    config: Path | None,
) -> dict[str, Any]:
    """Measure a tape file; the answer of ``regime tape``.

    Raises
    ------
    BadInput
        Naming the file, and row and column where there is one.
    """
    knobs = load(config).settings.market_intelligence
    if quotes is None and trades is None:
        raise BadInput(expected="a file with --quotes or --trades", found="neither", where="--quotes")
    first, further = (quotes, trades) if quotes is not None else (required(trades, "--trades"), None)
    source = open_tape(first, further, format=layout, symbol=symbol)
    bucket = None if interval is None else interval_ns(interval)
    reading = measure_tape(source, knobs, cache(ExchangeCalendar), named=calendar, bucket_ns=bucket)
    if chart is not None:
        _write(chart, tape_chart(reading).encode())
    return tape_answer(reading.features)


# --- data -------------------------------------------------------------------------------------------------


def import_data(
    quotes: Path | None,
    trades: Path | None,
    prices: Path | None,
    to: Path | None,
    layout: str,
    symbol: str | None,
    bars: str | None,
    overwrite: bool,
    config: Path | None,
) -> dict[str, Any]:
    """Write a tape or prices in their normal form into a data folder.

    Raises
    ------
    BadInput
        Naming the file, and row and column where there is one; or another tape of the symbol is there.
    """
    folder = required(to, "--to")
    if (prices is None) == (quotes is None and trades is None):
        raise BadInput(
            expected="either --prices, or --quotes and --trades", found="both or none", where="import"
        )
    if prices is not None:
        return {
            "folder": str(folder),
            "bars": _import_bars(_prices(prices, load(config).settings), folder, overwrite),
        }
    first, further = (quotes, trades) if quotes is not None else (required(trades, "--trades"), None)
    source = open_tape(first, further, format=layout, symbol=symbol)
    window = None if bars is None else _bars_of(source, bars, load(config).settings)
    done = import_tape(source, folder, overwrite=overwrite)
    files = {"quotes": done.quotes, "trades": done.trades, "provenance": done.provenance}
    return {
        "folder": str(folder),
        "symbol": done.symbol,
        "rows": done.tally.rows,
        "removed": done.tally.removed,
        "out_of_order": done.tally.out_of_order,
        "trades": done.tally.trades,
        "trades_removed": done.tally.trades_removed,
        "files": {name: str(path) for name, path in files.items() if path is not None},
        "bars": {} if window is None else _import_bars(window, folder, overwrite),
    }


def _bars_of(source: TapeSource, bars: str, settings: Settings) -> PriceWindow:
    info, knobs = source.info, settings.market_intelligence
    edges = tape_days(settings, cache(ExchangeCalendar))(info.calendar, info.first_ns, info.last_ns)
    params = tape_params(knobs, session_starts(edges, info.breaks_ns))
    return mid_bars(info.symbol, source.chunks(), params, interval_ns(bars, "--bars"))


def _prices(path: Path, settings: Settings) -> PriceWindow:
    return open_source(str(path), calendars=_calendars(settings)).window()


def _calendars(settings: Settings) -> dict[str, str]:
    return {name: item.calendar for name, item in settings.sources.items()}


def _import_bars(window: PriceWindow, folder: Path, overwrite: bool) -> dict[str, int]:
    """One Parquet file of bars per symbol; prices without open, high and low become one price table."""
    wide = window.open is None
    tables = (
        {"prices": _price_table(window)}
        if wide
        else {s: _bar_table(window.select((s,))) for s in window.symbols}
    )
    home = folder / "bars"
    encoded = {name: _parquet(table) for name, table in tables.items()}
    for name, data in encoded.items():
        path = home / f"{quote(name, safe='^=')}.parquet"
        if path.exists() and path.read_bytes() != data and not overwrite:
            raise BadInput(
                expected="no other bars there (or --overwrite)", found="other bars", where=str(path)
            )
    home.mkdir(parents=True, exist_ok=True)
    for name, data in encoded.items():
        LocalArtifacts(home).write_bytes(f"{quote(name, safe='^=')}.parquet", data)
    return {name: table.height for name, table in tables.items()}


def _price_table(window: PriceWindow) -> pl.DataFrame:
    columns = {s: pl.Series(window.close[:, i]).fill_nan(None) for i, s in enumerate(window.symbols)}
    return pl.DataFrame({"ts_event": _stamps(window), **columns})


def _bar_table(one: PriceWindow) -> pl.DataFrame:
    fields = {"open": one.open, "high": one.high, "low": one.low, "close": one.close, "volume": one.volume}
    columns = {name: pl.Series(v[:, 0]).fill_nan(None) for name, v in fields.items() if v is not None}
    return pl.DataFrame({"ts_event": _stamps(one), **columns}).drop_nulls("close")


def _stamps(window: PriceWindow) -> pl.Series:
    return pl.Series(window.ts_ns).cast(pl.Datetime("ns", "UTC"))


def _parquet(table: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    table.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def check_data(
    source: str | None,
    quotes: Path | None,
    trades: Path | None,
    layout: str,
    symbol: str | None,
    config: Path | None,
) -> dict[str, Any]:
    """Integrity of a source's bars and tapes, or of one tape file; ``ok`` is False where something is not usable.

    Raises
    ------
    BadInput
        What cannot be read at all.
    """
    if (source is None) == (quotes is None and trades is None):
        raise BadInput(
            expected="either a source, or --quotes and --trades", found="both or none", where="check"
        )
    settings = load(config).settings
    if source is None:
        told = [read_tape_file(quotes, trades, layout, None, symbol, None, None, config)]
        return {"ok": all(t["health"]["grade"] != "broken" for t in told), "bars": None, "tapes": told}
    data = open_source(source, calendars=_calendars(settings))
    health, days = data.health(), cache(ExchangeCalendar)
    tapes = [tape for s in data.symbols if (tape := data.tape(s)) is not None]
    told = [tape_answer(measure_tape(tape, settings.market_intelligence, days).features) for tape in tapes]
    unusable = any(item.status is HealthStatus.UNUSABLE for item in health.symbols)
    broken = any(t["health"]["grade"] == "broken" for t in told)
    return {"ok": not (unusable or broken), "bars": health.model_dump(mode="json"), "tapes": told}


def fetch_data(
    venue: str,
    symbol: str,
    kinds: tuple[str, ...],
    interval: str,
    since: str | None,
    until: str | None,
    to: Path | None,
    polls: int,
    every_s: float,
    base_url: str | None,
    config: Path | None,
) -> dict[str, Any]:
    """Fetch bars, quotes or trades of a venue into a data folder; what is there already is not fetched again.

    Raises
    ------
    BadInput
        An unknown venue or kind, missing keys, or times that make no stretch.
    RegimeError
        The venue did not answer as it should.
    """
    folder, clock = required(to, "--to"), SystemClock()
    load(config)
    now = clock.now_ns()
    until_ns = now if until is None else parse_time(until, "--until")
    since_ns = until_ns - DAY_NS if since is None else parse_time(since, "--since")
    known = {"bars", "quotes", "trades"}
    if not kinds or set(kinds) - known:
        raise BadInput(
            expected="kinds among bars, quotes, trades", found=", ".join(kinds) or "none", where="--kinds"
        )
    opened = open_venue(
        venue,
        credentials=venue_credentials(venue),
        clock=clock,
        sleep=time.sleep,
        base_url=base_url,
    )
    reports = fetch_to_folder(
        opened, symbol, folder, kinds, interval, since_ns, until_ns, polls=polls, every_s=every_s
    )
    return {
        "folder": str(folder),
        "files": {
            kind: {"path": str(report.path), "rows": report.rows, "added": report.added}
            for kind, report in reports.items()
        },
    }


# --- regimes ----------------------------------------------------------------------------------------------


def detection_params(settings: Settings, states: str | None) -> DetectionParams:
    """Knobs of ``regime detect``; ``states`` (a number, or ``auto``) replaces the settings' number."""
    auto, count = states == "auto", settings.regime.n_states
    if states is not None and not auto:
        count = int(states) if states.isdecimal() and len(states) == 1 else 0
        if not 2 <= count <= 8:
            raise BadInput(expected="2 to 8 states, or auto", found=states, where="--states")
    return DetectionParams(
        model=settings.regime.model,
        n_states=count,
        penalty=float(settings.regime.penalty),
        min_obs=settings.detect.min_obs_bars,
        refit_every=settings.detect.refit_every_bars,
        structure_window=settings.detect.structure_window_bars,
        structure_min_obs=settings.detect.structure_min_obs_bars,
        structure_lags=settings.structure.lags,
        seed=settings.regime.seed,
        auto=auto,
    )


def detect_file(
    prices: Path | None,
    states: str | None,
    smoothed: bool,
    rows: Path | None,
    config: Path | None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Regime of every column of a price file; the answer of ``regime detect``.

    Raises
    ------
    BadInput
        Naming the file, and row and column where there is one.
    """
    settings = load(config).settings
    params = detection_params(settings, states)
    if rows is not None and rows.suffix.lower() not in _WRITERS:
        raise BadInput(expected="a file that ends in .csv or .parquet", found=str(rows), where="--out")
    window = _prices(required(prices, "--prices"), settings)
    found = detect(window, params, smoothed=smoothed, rows=rows is not None, progress=progress)
    if rows is not None:
        buffer = BytesIO()
        _WRITERS[rows.suffix.lower()](row_table(found), buffer)
        _write(rows, buffer.getvalue())
    return {item.regime.symbol: detect_answer(item) for item in found}


def row_table(found: tuple[Detection, ...]) -> pl.DataFrame:
    """``ts_event, symbol, state, probability, label``, symbol by symbol in time order; unknown is null."""
    return pl.concat([_rows(item) for item in found])


def _rows(item: Detection) -> pl.DataFrame:
    n = len(item.ts_ns)
    labels = np.array([*REGIME_LABELS, ""])[item.label]
    return pl.DataFrame(
        {
            "ts_event": pl.Series(item.ts_ns).cast(pl.Datetime("ns", "UTC")),
            "symbol": pl.Series([item.regime.symbol] * n, dtype=pl.String),
            "state": pl.Series(np.where(item.state < 0, -1, item.state).astype(np.int64)),
            "probability": pl.Series(item.probability).fill_nan(None),
            "label": pl.Series(labels.tolist(), dtype=pl.String),
        }
    ).with_columns(pl.when(pl.col("state") < 0).then(None).otherwise(pl.col("state")).alias("state"))


_WRITERS: dict[str, Any] = {
    ".csv": lambda frame, to: frame.write_csv(to, datetime_format="%Y-%m-%dT%H:%M:%S%.fZ"),
    ".parquet": lambda frame, to: frame.write_parquet(to, compression="zstd"),
}


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    if not path.parent.is_dir():
        raise BadInput(
            expected="a file in a folder that exists", found="no such folder", where=str(path.parent)
        )
    LocalArtifacts(path.parent).write_bytes(path.name, data)
