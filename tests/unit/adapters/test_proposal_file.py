from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from regime_trading.adapters.proposal_file import read_proposal, read_proposals
from regime_trading.core.errors import BadInput

T = 1_672_347_600_000_000_000


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_three_formats_say_the_same(tmp_path: Path) -> None:
    csv = write(tmp_path / "p.csv", "symbol,weight,note\nKO,0.25,a\nXOM,-0.1,b\n")
    as_json = write(tmp_path / "p.json", json.dumps({"weights": {"KO": "0.25", "XOM": -0.1}}))
    pl.DataFrame({"symbol": ["KO", "XOM"], "weight": [0.25, -0.1]}).write_parquet(tmp_path / "p.parquet")
    expected = {"KO": Decimal("0.25"), "XOM": Decimal("-0.1")}
    for path in (csv, as_json, tmp_path / "p.parquet"):
        proposal = read_proposal(path, T)
        assert (proposal.weights, proposal.as_of_ns, proposal.complete) == (expected, T, True)
        assert len(proposal.input_hash) == 64


def test_json_may_say_more(tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.json",
        '{"weights": {"KO": "0.1"}, "complete": false, "as_of_ns": 5, "proposal_id": "mine"}',
    )
    proposal = read_proposal(path, T)
    assert (proposal.complete, proposal.as_of_ns, proposal.proposal_id) == (False, 5, "mine")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.csv", "symbol,weight\nKO,abc\n", "row 1, column weight.*'abc'"),
        ("p.csv", "symbol,weight\nKO,1\nXOM,\n", "row 2, column weight"),
        ("p.csv", "symbol,weight\nKO,nan\n", "row 1, column weight"),
        ("p.csv", "symbol,weight\nKO,inf\n", "row 1, column weight"),
        ("p.csv", "symbol,weight\nKO,1\nKO,2\n", "row 2, column symbol.*'KO'"),
        ("p.csv", "symbol,weight\n ,1\n", "row 1, column symbol"),
        ("p.csv", "symbol,w\nKO,1\n", "header.*weight"),
        ("p.csv", "", r"p\.csv"),
        ("p.json", "{", r"p\.json:1:2"),
        ("p.json", "[]", "weights"),
        ("p.json", '{"weights": {"KO": "x"}}', r"weights\.KO"),
        ("p.json", '{"weights": {"KO": 1}, "colour": 1}', "colour"),
        ("p.txt", "KO 1", "suffix|txt"),
        ("p.parquet", "not parquet", r"p\.parquet"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as error:
        read_proposal(write(tmp_path / name, text), T)
    assert error.value.exit_code == 2 and "\n" not in str(error.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for read in (lambda p: read_proposal(p, T), read_proposals):
        with pytest.raises(BadInput, match="No such file"):
            read(tmp_path / "none.csv")


def test_proposals_over_time(tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.csv",
        "ts_event,symbol,weight\n1998-01-05T21:00:00Z,XOM,0.5\n1998-01-02T16:00:00-05:00,KO,0.29\n883774800000000000,XOM,-0.1\n",
    )
    ts_ns, symbols, weights, digest = read_proposals(path)
    assert symbols == ("KO", "XOM") and len(digest) == 64
    assert ts_ns.tolist() == [883_774_800_000_000_000, 884_034_000_000_000_000]
    assert weights.tolist() == [[290_000_000.0, -100_000_000.0], [0.0, 500_000_000.0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ts_event,symbol,weight\n", "at least one row"),
        ("ts_event,symbol,weight\nyesterday,KO,1\n", "row 1, column ts_event.*'yesterday'"),
        (
            "ts_event,symbol,weight\n1998-01-02T21:00:00Z,KO,1\n1998-01-02T21:00:00Z,KO,1\n",
            "row 2, column symbol",
        ),
        ("ts_event,symbol,weight\n1998-01-02,KO,1\n", "with its offset.*'1998-01-02'|1998, 1, 2"),
        ("ts_event,symbol,weight\n19980102,KO,1\n", "with its offset"),
        ("ts_event,symbol\n1998-01-02,KO\n", "header.*weight"),
    ],
)
def test_bad_proposals_over_time_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_proposals(write(tmp_path / "p.csv", text))
