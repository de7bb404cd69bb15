from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from regime_trading.adapters.checkpoint import PlainJson, open_checkpoints
from regime_trading.core.errors import NotDurable


class Anything:
    pass


def test_plain_values_come_back_equal() -> None:
    value = {"a": [1, 2.5, None, True, "x"], "ns": 1_672_347_600_000_000_000, "third": 1 / 3}
    assert PlainJson().loads_typed(PlainJson().dumps_typed(value)) == value


def test_an_error_becomes_its_text() -> None:
    written = PlainJson().dumps_typed(ValueError("bang"))
    assert PlainJson().loads_typed(written) == "ValueError: bang"


@pytest.mark.parametrize("value", [Anything(), {"a": Anything()}, {1, 2}, b"bytes"])
def test_an_object_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        PlainJson().dumps_typed(value)


@pytest.mark.parametrize("kind", ["pickle", "msgpack", "null"])
def test_nothing_but_json_is_read(kind: str) -> None:
    with pytest.raises(NotDurable, match="plain JSON"):
        PlainJson().loads_typed((kind, pickle.dumps({"a": 1})))


def test_commits_are_synced(tmp_path: Path) -> None:
    saver = open_checkpoints(tmp_path / "deep" / "checkpoints.db")
    assert saver.conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert saver.conn.execute("PRAGMA synchronous").fetchone() == (2,)
    saver.setup()
    assert saver.conn.execute("PRAGMA synchronous").fetchone() == (2,)
