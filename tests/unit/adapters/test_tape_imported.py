"""A tape in its normal form: the same rows again, whole or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regime_trading.adapters.tape import import_tape, open_folder_tapes, open_tape
from regime_trading.core.errors import BadInput

T0 = int(np.datetime64("2024-07-01T13:30:00", "ns").astype(np.int64))


def stamps(*ns: int) -> pa.Array:
    return pa.array(ns, pa.int64()).cast(pa.timestamp("ns", "UTC"))


def combined(folder: Path, rows: int = 40, seed: int = 0, symbol: str = "ES") -> Path:
    """Two levels, many equal times, some trades, a few missing sides."""
    rng = np.random.default_rng(seed)
    bid = rng.integers(90, 100, rows).astype(float)
    bid[::9] = np.nan
    columns = {"bid_px": bid, "ask_px": bid + 1, "bid_sz": np.full(rows, 2.0), "ask_sz": np.full(rows, 3.0)}
    columns |= {"bid_px_01": bid - 1, "ask_px_01": bid + 2, "bid_sz_01": bid, "ask_sz_01": bid}
    traded = rng.random(rows) < 0.4
    table = {
        "ts_event": stamps(*(T0 + np.sort(rng.integers(0, rows // 3, rows)))),
        **columns,
        "action": np.where(traded, "T", "A"),
        "side": rng.choice(["A", "B", "N"], rows),
        "price": np.full(rows, 95.0),
        "size": rng.integers(1, 9, rows),
        "symbol": [symbol] * rows,
    }
    path = folder / f"{seed}.parquet"
    pq.write_table(pa.table(table), path)
    return path


def whole(source) -> dict[str, np.ndarray]:
    chunks = list(source.chunks())
    names = ("ts_ns", "price", "size", "aggressor", "visible", "continuous", "after_quote")
    found = {f"trade_{n}": np.concatenate([getattr(c.trades, n) for c in chunks]) for n in names}
    for n in ("ts_ns", "bid_px", "ask_px", "bid_sz", "ask_sz"):
        found[n] = np.concatenate([getattr(c.quotes, n) for c in chunks])
        deep = [getattr(c.quotes.levels, n) for c in chunks if c.quotes.levels is not None and n != "ts_ns"]
        if deep:
            found[f"level_{n}"] = np.concatenate(deep)
    return found


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        assert np.array_equal(a[name], b[name], equal_nan=a[name].dtype == float), name


def test_an_imported_tape_is_the_same_tape(tmp_path):
    source = open_tape(combined(tmp_path))
    done = import_tape(source, tmp_path / "tape")
    openers = open_folder_tapes(tmp_path / "tape")
    assert list(openers) == ["ES"] and done.symbol == "ES"
    for chunk_rows in (3, 7, 262_144):
        again = openers["ES"](chunk_rows=chunk_rows)
        same(whole(again), whole(source))
        met = [c.trades.after_quote.max() for c in again.chunks() if len(c.trades)]
        seen = np.cumsum([len(c.quotes) for c in again.chunks()])
        assert all(
            m <= s for m, s in zip(met, seen[[len(c.trades) > 0 for c in again.chunks()]], strict=True)
        )
    info = again.info
    assert (info.evidence, info.has_trades, info.has_aggressor, info.rows) == ("L2", True, True, 40)
    assert info.first_ns == source.info.first_ns and any("imported from 0.parquet" in n for n in info.notes)
    assert again.tally().rows == 40 and again.tally().trades == source.tally().trades


def test_provenance_names_the_source_and_what_was_left_out(tmp_path):
    source = open_tape(combined(tmp_path))
    done = import_tape(source, tmp_path / "tape")
    record = json.loads(done.provenance.read_text())
    assert record["files"] == [list(f) for f in source.info.files]
    assert record["rows"] == 40 and record["removed"] == {} and record["format"] == "parquet"
    assert set(record["stored"]) == {"quotes/ES.parquet", "trades/ES.parquet"}
    assert sorted(p.name for p in (tmp_path / "tape").iterdir()) == ["provenance", "quotes", "trades"]


def test_the_content_is_the_same_in_any_chunks_and_so_are_the_bytes(tmp_path):
    path = combined(tmp_path)
    done = [import_tape(open_tape(path, chunk_rows=n), tmp_path / str(n)) for n in (1, 7, 1000)]
    assert len({d.content_sha256 for d in done}) == 1
    assert len({d.quotes.read_bytes() for d in done}) == len({d.provenance.read_bytes() for d in done}) == 1


def test_the_same_tape_again_changes_nothing_and_another_is_refused(tmp_path):
    folder = tmp_path / "tape"
    done = import_tape(open_tape(combined(tmp_path)), folder)
    before = done.quotes.stat().st_mtime_ns, done.quotes.stat().st_ino
    assert import_tape(open_tape(combined(tmp_path)), folder) == done
    assert (done.quotes.stat().st_mtime_ns, done.quotes.stat().st_ino) == before
    other = open_tape(combined(tmp_path, seed=1))
    with pytest.raises(BadInput, match=r"another tape of ES, from 0\.parquet"):
        import_tape(other, folder)
    same(whole(open_folder_tapes(folder)["ES"]()), whole(open_tape(combined(tmp_path))))
    import_tape(other, folder, overwrite=True)
    same(whole(open_folder_tapes(folder)["ES"]()), whole(other))


def test_an_error_leaves_nothing_behind(tmp_path):
    text = "ts_event,bid_px,ask_px,bid_sz,ask_sz\n" + f"{T0},1,2,3,4\n" * 5 + f"{T0},x,2,3,4\n"
    (tmp_path / "A.csv").write_text(text)
    with pytest.raises(BadInput, match="row 7"):
        import_tape(open_tape(tmp_path / "A.csv", chunk_rows=2), tmp_path / "tape")
    assert not list((tmp_path / "tape").iterdir())


def test_a_changed_or_missing_file_is_no_imported_tape(tmp_path):
    done = import_tape(open_tape(combined(tmp_path)), tmp_path / "tape")
    opener = open_folder_tapes(tmp_path / "tape")["ES"]
    data = done.quotes.read_bytes()
    done.quotes.write_bytes(data[:-1] + b"x")
    with pytest.raises(BadInput, match="import the tape again"):
        opener()
    done.quotes.unlink()
    with pytest.raises(BadInput, match="import the tape again"):
        opener()
    import_tape(open_tape(combined(tmp_path)), tmp_path / "tape")
    assert done.quotes.read_bytes() == data


@pytest.mark.parametrize("symbol", ["BTC/USDT", "ES.c.0", "^GSPC", "..", "A B"])
def test_any_symbol_is_a_file_name(tmp_path, symbol):
    done = import_tape(open_tape(combined(tmp_path, symbol=symbol)), tmp_path / "tape")
    assert done.quotes.parent == tmp_path / "tape" / "quotes"
    assert open_folder_tapes(tmp_path / "tape")[symbol]().info.symbol == symbol


def test_trades_alone_and_quotes_alone(tmp_path):
    trades = tmp_path / "T.csv"
    trades.write_text(f"ts_event,price,size\n{T0},1,2\n{T0 + 1},2,2\n")
    quotes = tmp_path / "Q.csv"
    quotes.write_text(f"ts_event,bid_px,ask_px,bid_sz,ask_sz\n{T0},1,2,3,4\n")
    for path, evidence in ((trades, "trades"), (quotes, "L1")):
        done = import_tape(open_tape(path), tmp_path / "tape")
        assert (done.quotes is None) == (evidence == "trades") and (done.trades is None) == (evidence == "L1")
    openers = open_folder_tapes(tmp_path / "tape")
    assert list(openers) == ["Q", "T"]
    for symbol, path in (("Q", quotes), ("T", trades)):
        again = openers[symbol]()
        same(whole(again), whole(open_tape(path)))
        assert again.info.evidence == open_tape(path).info.evidence and not again.info.has_aggressor


def test_the_calendar_and_the_notes_of_the_source_stay(tmp_path):
    class Renamed:
        def __init__(self, source) -> None:
            self._source = source
            self.info = replace(source.info, calendar="CMES", notes=("said before",))
            self.chunks, self.tally = source.chunks, source.tally

    import_tape(Renamed(open_tape(combined(tmp_path))), tmp_path / "tape")
    info = open_folder_tapes(tmp_path / "tape")["ES"]().info
    assert info.calendar == "CMES" and info.notes[0] == "said before"
