"""DuckDB under limits: only the files it was given, no writing, an end to time and memory."""

from __future__ import annotations

import time
from pathlib import Path

import duckdb
import polars as pl
import pytest

from regime_trading.adapters.duck import reader
from regime_trading.core.errors import TooMuch


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    mine, other = tmp_path / "mine.parquet", tmp_path / "other.parquet"
    for path in (mine, other):
        pl.DataFrame({"a": [1, 2]}).write_parquet(path)
    return mine, other


def test_it_reads_what_it_was_given(files: tuple[Path, Path]) -> None:
    with reader([files[0]]) as opened:
        assert opened.rows("SELECT a FROM read_parquet($f) WHERE a > $n", {"f": str(files[0]), "n": 1}) == [
            (2,)
        ]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_parquet('{other}')",
        "SELECT * FROM read_parquet('{folder}/*.parquet')",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('{folder}/*')",
        "COPY (SELECT 1) TO '{folder}/new.csv'",
        "ATTACH '{folder}/new.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET allowed_paths = ['{other}']",
        "SET memory_limit = '8GB'",
    ],
)
def test_it_does_nothing_else(files: tuple[Path, Path], sql: str) -> None:
    there = sorted(files[0].parent.iterdir())
    with reader([files[0]]) as opened, pytest.raises(duckdb.Error):
        opened.rows(sql.format(other=files[1], folder=files[0].parent), {})
    assert sorted(files[0].parent.iterdir()) == there


def test_a_value_is_never_part_of_the_statement(files: tuple[Path, Path]) -> None:
    bad = "'; DROP TABLE x; --"
    with reader([files[0]]) as opened:
        assert opened.rows("SELECT $text", {"text": bad}) == [(bad,)]


def test_a_question_that_takes_too_long_is_stopped(files: tuple[Path, Path]) -> None:
    began = time.monotonic()
    endless = "SELECT sum(a.range * b.range) FROM range(100000000) a, range(100000) b"
    with pytest.raises(TooMuch, match="ask for less"), reader([files[0]], seconds=0.1) as opened:
        opened.rows(endless, {})
    assert time.monotonic() - began < 5


def test_a_question_that_takes_too_much_memory_is_stopped(files: tuple[Path, Path]) -> None:
    with pytest.raises(TooMuch), reader([files[0]]) as opened:
        opened.rows("SELECT list(range::VARCHAR || repeat('x', 200)) FROM range(20000000)", {})
