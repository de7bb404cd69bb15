"""Files of stored inputs: named by content, there whole, one firm's only, and never taken for what they are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.replay_samples import recorded

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.journal import ParquetInputs
from regime_trading.adapters.journal import inputs as module
from regime_trading.core.canonical import sha256_hex
from regime_trading.core.decision_inputs import InputBlock, Lists
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable


def block(*bars: int) -> InputBlock:
    return recorded(bars).blocks[0]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def same(one: InputBlock, two: InputBlock) -> None:
    assert (one.firm_id, one.run_id, one.columns.keys()) == (two.firm_id, two.run_id, two.columns.keys())
    for name, ours in one.columns.items():
        theirs = two.columns[name]
        pairs = (
            [(ours.values, theirs.values), (ours.starts, theirs.starts)] if isinstance(ours, Lists) else []
        )  # type: ignore[union-attr]
        for x, y in pairs or [(ours, theirs)]:
            if isinstance(x, list):
                assert x == y, name
            else:
                assert (x.dtype, x.tobytes()) == (y.dtype, y.tobytes()), name  # type: ignore[union-attr]


@pytest.mark.parametrize("bars", [(5,), (5, 6, 7)])
def test_a_block_comes_back_to_the_bit(tmp_path: Path, bars: tuple[int, ...]) -> None:
    store = ParquetInputs(LocalArtifacts(tmp_path))
    stored = block(*bars)
    part = store.put(stored)
    assert store.parts(stored.firm_id, stored.run_id) == (part,)
    same(stored, store.read(part))
    for name, data in stored.configs.items():
        assert store.config(stored.firm_id, name) == data


def test_the_same_block_again_changes_nothing_and_another_is_put_beside(tmp_path: Path) -> None:
    store = ParquetInputs(LocalArtifacts(tmp_path))
    first = store.put(block(5, 6))
    before = files(tmp_path)
    assert store.put(block(5, 6)) == first and files(tmp_path) == before
    others = [store.put(block(6)), store.put(block(5, 6, 7))]
    assert set(store.parts("kestrel-lane", "recorded-1")) == {first, *others}
    assert before.items() <= files(tmp_path).items()
    times = [int(path.rsplit("/", 1)[1].split("-")[1]) for path in store.parts("kestrel-lane", "recorded-1")]
    assert times == sorted(times)


@pytest.mark.parametrize("bars", [(5,), (5, 6)])
def test_any_changed_byte_of_a_file_is_found(tmp_path: Path, bars: tuple[int, ...]) -> None:
    store = ParquetInputs(LocalArtifacts(tmp_path))
    part = store.put(block(*bars))
    whole = (tmp_path / part).read_bytes()
    for at in range(0, len(whole), len(whole) // 40):
        (tmp_path / part).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(CheckFailed, match="not what was stored"):
            store.read(part)
    with pytest.raises(NotDurable, match="something else is stored there"):
        store.put(block(*bars))


@pytest.mark.parametrize(("bars", "kind"), [((5,), "arrow"), ((5, 6), "parquet")])
def test_a_file_of_the_right_name_that_holds_no_inputs_is_refused(
    tmp_path: Path, bars: tuple[int, ...], kind: str
) -> None:
    store = ParquetInputs(LocalArtifacts(tmp_path))
    data = b"no inputs"
    part = f"{store.put(block(*bars)).rsplit('/', 1)[0]}/part-1-2-{sha256_hex(data)[:16]}.{kind}"
    (tmp_path / part).write_bytes(data)
    with pytest.raises(CheckFailed, match="no stored inputs"):
        store.read(part)
    (tmp_path / part.replace(kind, "txt")).write_bytes(data)
    with pytest.raises(CheckFailed, match="not what was stored"):
        store.read(part.replace(kind, "txt"))


def test_a_configuration_is_what_its_hash_says_or_is_refused(tmp_path: Path) -> None:
    store, stored = ParquetInputs(LocalArtifacts(tmp_path)), block(5)
    (name,) = stored.configs
    with pytest.raises(BadInput, match=f"expected a configuration of hash {name}"):
        store.put(replace(stored, configs={name: b"{}"}))
    assert not files(tmp_path)
    store.put(stored)
    path = tmp_path / f"inputs/schema=1/firm=kestrel-lane/config/{name}"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(CheckFailed, match="its SHA-256 is not its name"):
        store.config("kestrel-lane", name)
    path.unlink()
    with pytest.raises(BadInput, match="expected a readable file"):
        store.config("kestrel-lane", name)
    for other in ("../" + name[3:], name.upper(), ""):
        with pytest.raises(BadInput, match="expected a SHA-256"):
            store.config("kestrel-lane", other)


@pytest.mark.parametrize(
    ("firm", "run"), [("../x", "run-1"), ("north", "../x"), ("North", "run-1"), ("", "r")]
)
def test_no_id_leaves_its_folder(tmp_path: Path, firm: str, run: str) -> None:
    with pytest.raises(BadInput):
        ParquetInputs(LocalArtifacts(tmp_path)).parts(firm, run)


def test_a_file_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: LocalArtifacts, relative: str, data: bytes) -> Path:
        raise NotDurable(f"{relative}: No space left on device")

    monkeypatch.setattr(LocalArtifacts, "write_bytes", full)
    with pytest.raises(NotDurable, match="No space left"):
        ParquetInputs(LocalArtifacts(tmp_path)).put(block(5))
    assert not files(tmp_path)


def test_the_same_block_has_the_same_bytes() -> None:
    assert module.encode(block(5, 6)) == module.encode(block(5, 6))
    assert module.pack(block(5)) == module.pack(block(5))
