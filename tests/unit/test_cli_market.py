"""``regime tape``, ``regime detect`` and ``regime data``: answers, and one clear sentence for every bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.tape_samples import STAMP, T0, data_folder, quotes, trades
from tests.venue_server import Script, kline, serving
from typer.testing import CliRunner

from regime_trading.cli import app

CONFIG = Path(__file__).parents[2] / "config"
RUNNER = CliRunner()
END = T0 + 8 * 3_600_000_000_000


def call(*words: object) -> tuple[int, Any, str]:
    """Exit code, JSON on stdout, text on stderr."""
    done = RUNNER.invoke(app, [str(word) for word in (*words, "--config", CONFIG, "--json")])
    return done.exit_code, json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def tape_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder, book = tmp_path_factory.mktemp("tape"), quotes(END, 5000, 3)
    book.write_parquet(folder / "X.parquet")
    trades(book, 900, 3).write_parquet(folder / "X-trades.parquet")
    return folder / "X.parquet", folder / "X-trades.parquet"


# --- tape -------------------------------------------------------------------------------------------------

HAND = """ts_event,bid_px,bid_sz,ask_px,ask_sz
2024-01-02T15:00:00Z,10,5,11,4
2024-01-02T15:00:01Z,10,7,11,4
2024-01-02T15:00:02Z,10,7,11,1
2024-01-02T15:00:03Z,11,2,12,6
2024-01-02T15:00:04Z,10,7,12,6
"""


def test_the_hand_check_of_order_flow(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text(HAND)
    code, told, _ = call("tape", "--quotes", tmp_path / "h.csv")
    assert code == 0
    assert told["ofi"]["sum"] == 6.0
    assert told["spread"]["time_weighted_px"] == 1.0
    assert (told["start"], told["end"]) == ("2024-01-02T15:00:00Z", "2024-01-02T15:00:04Z")
    assert told["counts"]["rows"] == told["counts"]["used"] == 5


def test_what_cannot_be_known_is_null_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text(HAND)
    told = call("tape", "--quotes", tmp_path / "h.csv")[1]
    nulls = [
        f"{block}.{name}"
        for block in ("spread", "ofi", "microprice", "trades")
        for name, value in told[block].items()
        if value is None
    ]
    assert {"spread.effective_bps", "ofi.r2", "microprice.last", "trades.vpin"} <= set(nulls)
    assert set(nulls) == set(told["unknown"]) and all(told["unknown"].values())


def test_the_shape_of_the_answer(tape_files: tuple[Path, Path]) -> None:
    code, told, _ = call("tape", "--quotes", tape_files[0], "--trades", tape_files[1], "--interval", "5s")
    assert code == 0
    shape = {
        "counts": "rows used crossed locked one_sided non_positive out_of_order repeated_ts",
        "spread": "time_weighted_bps time_weighted_px effective_bps realised_bps impact_bps",
        "ofi": "sum interval_s beta r2 r2_window_mean n",
        "microprice": "last mid_last gap_bps",
        "trades": "n signed_volume kyle_lambda vpin",
        "health": "score grade reasons",
    }
    for block, names in shape.items():
        assert set(names.split()) <= set(told[block]), block
    assert {"symbol", "start", "end", "evidence"} <= set(told)
    assert told["ofi"]["interval_s"] == 5.0 and told["evidence"] == "L1"
    assert 0.2 < told["ofi"]["r2"] <= 1 and told["trades"]["n"] > 800
    spread = told["spread"]
    at_10s = next(h for h in spread["horizons"] if h["horizon_s"] == 10)
    assert (at_10s["realised_bps"], at_10s["impact_bps"]) == (spread["realised_bps"], spread["impact_bps"])


def test_a_chart_is_written_and_people_get_a_table(tape_files: tuple[Path, Path], tmp_path: Path) -> None:
    words = ["tape", "--quotes", tape_files[0], "--chart", tmp_path / "c.svg", "--config", CONFIG]
    done = RUNNER.invoke(app, [str(word) for word in words])
    assert done.exit_code == 0 and "Tape health:" in done.stdout and "no trades" in done.stdout
    assert (tmp_path / "c.svg").read_text().startswith("<svg")


def _csv(text: str) -> bytes:
    return text.encode()


ROW = "2024-01-02T15:00:00Z,10,5,11,4\n"


def test_nothing_is_differenced_across_a_halt(tmp_path: Path) -> None:
    """Before and after the halt the bid gains size: 2 and 3; what happened in between is no order flow."""
    stem = "AAPL_2012-06-21_34200000_57600000"
    states = [
        ("34200.0", 1, 1),
        ("34201.0", 1, 1),
        ("34260.0", 7, -1),
        ("34320.0", 7, 1),
        ("34321.0", 1, 1),
        ("34322.0", 1, 1),
    ]
    sizes = [5, 7, 7, 7, 100, 103]
    messages = [f"{t},{kind},1,10,{way if kind == 7 else 990000},{way}" for t, kind, way in states]
    books = [f"1000000,50,990000,{size}" for size in sizes]
    (tmp_path / f"{stem}_message_1.csv").write_text("\n".join(messages) + "\n")
    (tmp_path / f"{stem}_orderbook_1.csv").write_text("\n".join(books) + "\n")
    words = ("--quotes", tmp_path / f"{stem}_message_1.csv")
    code, told, _ = call("tape", *words)
    assert code == 0 and told["ofi"]["sum"] == 5.0
    assert told["counts"]["removed"] == {"halt_marker": 2}
    assert call("data", "import", *words, "--to", tmp_path / "to")[0] == 0
    again = call("data", "check", "--quotes", tmp_path / "to" / "quotes" / "AAPL.parquet")[1]["tapes"][0]
    assert again["ofi"]["sum"] == 98.0  # a plain file has no halts: its provenance, in a data folder, has


BAD_TAPES = {
    "wrong columns": ("q.csv", _csv("ts_event,bid,ask\n2024-01-02T15:00:00Z,1,2\n"), "bid_px"),
    "text in numbers": ("q.csv", _csv(HAND + "2024-01-02T15:00:05Z,ten,7,12,6\n"), "ten"),
    "no zone": ("q.csv", _csv(HAND.replace("Z,", ",")), "zone"),
    "empty": ("q.csv", _csv(HAND.split("\n")[0] + "\n"), "one row"),
    "0 bytes": ("q.csv", b"", "empty"),
    "unsorted": ("q.csv", _csv("\n".join([HAND.split()[0], *reversed(HAND.split()[1:])]) + "\n"), "order"),
    "all sizes negative": ("q.csv", _csv(re.sub(r",(\d),(1\d),", r",-\1,\2,", HAND)), "usable"),
    "truncated parquet": ("q.parquet", b"PAR1" + b"\0" * 40, "q.parquet"),
    "0-byte dbn": ("q.dbn", b"", "q.dbn"),
    "no dbn": ("q.dbn", b"DBX\x01" + b"\0" * 64, "q.dbn"),
    "another suffix": ("q.txt", _csv(HAND), "q.txt"),
}


@pytest.mark.parametrize("name", BAD_TAPES)
def test_a_bad_tape_is_one_sentence_and_exit_2(name: str, tmp_path: Path) -> None:
    file, data, word = BAD_TAPES[name]
    (tmp_path / file).write_bytes(data)
    code, told, text = call("tape", "--quotes", tmp_path / file)
    assert code == 2, told
    assert told["error"]["message"] and word in told["error"]["message"]
    assert "Traceback" not in text and text.count("\n") <= 1
    code, told, _ = call("data", "import", "--quotes", tmp_path / file, "--to", tmp_path / "to")
    if name != "all sizes negative":  # an import keeps rows that are no quotes, for the measures to count
        assert code == 2
        left = [p for p in (tmp_path / "to").rglob("*") if p.is_file()] if (tmp_path / "to").exists() else []
        assert left == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--quotes"),
        (("--quotes", "nowhere.parquet"), "nowhere.parquet"),
        (("--quotes", "{q}", "--interval", "7 s"), "divides a day"),
        (("--quotes", "{q}", "--interval", "7s"), "divides a day"),
        (("--quotes", "{q}", "--format", "xml"), "format"),
        (("--quotes", "{q}", "--calendar", "XNYZ"), "XNYS"),
    ],
)
def test_bad_words_are_exit_2(words: tuple[str, ...], told: str, tape_files: tuple[Path, Path]) -> None:
    code, answer, _ = call("tape", *(word.replace("{q}", str(tape_files[0])) for word in words))
    assert code == 2 and told in answer["error"]["message"]


# --- detect -----------------------------------------------------------------------------------------------


def price_file(path: Path, n: int = 420, **columns: np.ndarray) -> Path:
    ts = T0 + 86_400_000_000_000 * np.arange(n) - 3_600_000_000_000 * 24 * 800
    rng = np.random.default_rng(4)
    sd = np.where((np.arange(n) // 140) % 2 == 0, 0.005, 0.02)
    base = {"SWITCH": 100 * np.exp(np.cumsum(rng.normal(0, sd)))}
    pl.DataFrame({"ts_event": pl.Series(ts).cast(STAMP), **base, **columns}).write_parquet(path)
    return path


@pytest.fixture(scope="module")
def detected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, pl.DataFrame]:
    folder = tmp_path_factory.mktemp("prices")
    file = price_file(folder / "p.parquet", SHORT=np.r_[np.full(320, np.nan), np.linspace(1, 2, 100)])
    code, told, _ = call("detect", "--prices", file, "--out", folder / "rows.parquet")
    assert code == 0
    return file, told, pl.read_parquet(folder / "rows.parquet")


def test_the_shape_of_a_detection(detected) -> None:
    _, told, rows = detected
    item = told["SWITCH"]
    assert {"label", "confidence", "hurst", "hurst_ci", "variance_ratio", "p_values"} <= set(
        item["structure"]
    )
    assert {"state", "n_states", "probability", "expected_duration", "transition"} <= set(item["risk"])
    assert "half_life" in item["structure"]
    assert item["as_of"].endswith("Z") and 0 <= item["confidence"] <= 1
    assert rows.columns == ["ts_event", "symbol", "state", "probability", "label"]
    last = rows.filter(pl.col("symbol") == "SWITCH").row(-1, named=True)
    assert (last["state"], last["label"]) == (item["risk"]["state"], item["label"])
    assert rows["state"].drop_nulls().is_in([0, 1]).all()


def test_rows_before_the_minimum_sample_have_no_state(detected) -> None:
    _, told, rows = detected
    one = rows.filter(pl.col("symbol") == "SWITCH")
    assert one["state"].null_count() == 200 and one["state"][:200].is_null().all()
    assert told["SWITCH"]["reasons"] and sum(told["SWITCH"]["reasons"].values()) == 200
    short = told["SHORT"]
    assert short["risk"]["state"] is None and short["risk"]["reason"] and short["label"] == "uncertain"


def test_a_cut_file_gives_the_same_rows(detected, tmp_path: Path) -> None:
    file, _, rows = detected
    cut = pl.read_parquet(file).head(330)
    cut.write_parquet(tmp_path / "cut.parquet")
    call("detect", "--prices", tmp_path / "cut.parquet", "--out", tmp_path / "rows.parquet")
    early = pl.read_parquet(tmp_path / "rows.parquet").filter(pl.col("symbol") == "SWITCH")
    assert early.equals(rows.filter(pl.col("symbol") == "SWITCH").head(330), null_equal=True)


def test_states_and_smoothing(detected, tmp_path: Path) -> None:
    file, _, _ = detected
    code, told, _ = call("detect", "--prices", file, "--states", 3, "--smoothed", "--out", tmp_path / "r.csv")
    assert code == 0 and told["SWITCH"]["risk"]["n_states"] == 3 and told["SWITCH"]["smoothed"]
    rows = pl.read_csv(tmp_path / "r.csv").filter(pl.col("symbol") == "SWITCH")
    assert rows["state"].null_count() == 1  # the first bar has no return
    matrix = np.array(told["SWITCH"]["risk"]["transition"], dtype=float)
    assert np.allclose(np.nansum(matrix, axis=1)[~np.isnan(matrix).any(axis=1)], 1)


def test_auto_chooses_from_the_first_returns_alone(tmp_path: Path) -> None:
    """What follows the first 504 returns changes neither the choice nor a row before it; no state before them."""
    file = price_file(tmp_path / "p.parquet", 700)
    code, told, _ = call("detect", "--prices", file, "--states", "auto", "--out", tmp_path / "a.parquet")
    rows = pl.read_parquet(tmp_path / "a.parquet")
    assert code == 0 and told["SWITCH"]["risk"]["n_states"] in (2, 3)
    assert rows["state"][:504].is_null().all() and rows["state"][504:].is_not_null().all()
    pl.read_parquet(file).head(600).write_parquet(tmp_path / "cut.parquet")
    cut = (
        "detect",
        "--prices",
        tmp_path / "cut.parquet",
        "--states",
        "auto",
        "--out",
        tmp_path / "b.parquet",
    )
    assert call(*cut)[1]["SWITCH"]["risk"]["n_states"] == told["SWITCH"]["risk"]["n_states"]
    assert pl.read_parquet(tmp_path / "b.parquet").equals(rows.head(600), null_equal=True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--prices"),
        (("--prices", "{f}", "--states", "two"), "2 to 8 states, or auto"),
        (("--prices", "{f}", "--states", "1"), "2 to 8"),
        (("--prices", "{f}", "--out", "rows.txt"), ".csv or .parquet"),
        (("--prices", "{f}", "--out", "no/such/folder/rows.csv"), "no such folder"),
    ],
)
def test_bad_detections_are_exit_2(words: tuple[str, ...], told: str, detected) -> None:
    code, answer, _ = call("detect", *(word.replace("{f}", str(detected[0])) for word in words))
    assert code == 2 and told in answer["error"]["message"]


# --- data -------------------------------------------------------------------------------------------------


def test_import_then_check_then_the_same_answer(tape_files: tuple[Path, Path], tmp_path: Path) -> None:
    words = ("--quotes", tape_files[0], "--trades", tape_files[1])
    code, told, _ = call("data", "import", *words, "--to", tmp_path, "--bars", "5m")
    assert code == 0 and told["rows"] == 5000 and told["bars"] == {"X": 35}
    assert call("data", "import", *words, "--to", tmp_path, "--bars", "5m")[0] == 0  # the same again
    code, checked, _ = call("data", "check", tmp_path)
    direct = call("tape", *words)[1]
    assert len(checked["tapes"]) == 1
    for block in ("spread", "ofi", "microprice", "trades"):
        assert checked["tapes"][0][block] == direct[block]
    assert code == 3 and not checked["ok"]  # three hours of bars are no year of sessions


def test_another_tape_of_the_same_symbol_is_refused(tape_files: tuple[Path, Path], tmp_path: Path) -> None:
    assert call("data", "import", "--quotes", tape_files[0], "--to", tmp_path)[0] == 0
    other = tmp_path / "in" / "X.parquet"
    other.parent.mkdir()
    quotes(END, 4000, 9).write_parquet(other)
    before = (tmp_path / "quotes" / "X.parquet").read_bytes()
    code, told, _ = call("data", "import", "--quotes", other, "--to", tmp_path)
    assert code == 2 and "X" in told["error"]["message"]
    assert (tmp_path / "quotes" / "X.parquet").read_bytes() == before
    assert call("data", "import", "--quotes", other, "--to", tmp_path, "--overwrite")[0] == 0


def test_prices_are_imported(tmp_path: Path) -> None:
    file = price_file(tmp_path / "p.parquet")
    code, told, _ = call("data", "import", "--prices", file, "--to", tmp_path / "to")
    assert code == 0 and told["bars"] == {"prices": 420}
    again = call("detect", "--prices", tmp_path / "to" / "bars" / "prices.parquet")[1]
    assert again == call("detect", "--prices", file)[1]


def test_check_of_a_broken_tape_is_exit_3(tmp_path: Path) -> None:
    source = data_folder(tmp_path / "data", 300)
    code, told, _ = call("data", "check", source)
    grades = {item["symbol"]: item["health"]["grade"] for item in told["tapes"]}
    assert code == 3 and grades["DIRTY"] == "broken" and grades["SOUND"] != "broken"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("import",), "--to"),
        (("import", "--to", "x"), "--prices"),
        (("check",), "source"),
        (("fetch", "--venue", "nowhere", "--symbol", "X", "--to", "x"), "ccxt:EXCHANGE"),
        (
            ("fetch", "--venue", "ccxt:binance", "--symbol", "X", "--to", "x", "--kinds", "news"),
            "bars, quotes, trades",
        ),
        (("fetch", "--venue", "alpaca", "--symbol", "X", "--to", "x"), "ALPACA_API_KEY"),
    ],
)
def test_bad_data_commands_are_exit_2(
    words: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ALPACA_API_KEY", raising=False)
    monkeypatch.delenv("ALPACA_API_SECRET", raising=False)
    code, answer, _ = call("data", *words)
    assert code == 2 and told in answer["error"]["message"]
    assert list(tmp_path.iterdir()) == []


def test_fetch_writes_a_folder_that_a_source_opens(tmp_path: Path) -> None:
    """The real client over real HTTP, to a local server that answers as the venue's documentation describes."""
    pytest.importorskip("ccxt")
    minute, start = 60_000, 1_788_220_800_000
    script = Script(now_ms=start + 600 * minute)
    script.klines = [kline(start + k * minute, minute, 100.0 + k) for k in range(30)]
    since, until = ("2026-09-01T00:00:00Z", "2026-09-01T00:30:00Z")
    with serving(script) as url:
        words = ("--venue", "ccxt:binance", "--symbol", "BTC/USDT", "--interval", "1m", "--base-url", url)
        code, told, _ = call("data", "fetch", *words, "--since", since, "--until", until, "--to", tmp_path)
        assert code == 0 and told["files"]["bars"]["rows"] == 30
        code, told, _ = call("data", "fetch", *words, "--since", since, "--until", until, "--to", tmp_path)
        assert code == 0 and told["files"]["bars"]["added"] == 0
    assert (tmp_path / "provenance" / "BTC-USDT.bars.json").is_file()
    found = call("detect", "--prices", tmp_path / "bars")[1]
    assert found["BTC-USDT"]["as_of"] == "2026-09-01T00:30:00Z"
