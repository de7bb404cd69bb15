"""Files are whole and durable or not there, and never outside their folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.core.errors import BadInput, NotDurable


@pytest.fixture
def store(tmp_path: Path) -> LocalArtifacts:
    return LocalArtifacts(tmp_path / "artifacts")


def test_what_is_written_is_read_back(store: LocalArtifacts) -> None:
    data = bytes(range(256)) * 1000
    path = store.write_bytes("runs/run-1/report.md", data)
    assert path == store.root / "runs/run-1/report.md"
    assert store.read_bytes("runs/run-1/report.md") == data
    assert store.exists("runs/run-1/report.md")
    store.write_bytes("runs/run-1/report.md", b"new")
    assert store.read_bytes("runs/run-1/report.md") == b"new"


def test_names_are_sorted_and_show_no_temporary_file(store: LocalArtifacts) -> None:
    for name in ("b", "a", "c"):
        store.write_bytes(f"d/{name}", b"")
    store.write_bytes("d/deeper/e", b"")
    (store.root / "d" / ".tmp-left-behind").write_bytes(b"half")
    assert store.names("d") == ("d/a", "d/b", "d/c")
    assert store.names("nowhere") == ()


def test_remove_is_final_and_may_be_repeated(store: LocalArtifacts) -> None:
    store.write_bytes("d/a", b"")
    store.remove("d/a")
    store.remove("d/a")
    assert not store.exists("d/a")
    with pytest.raises(BadInput, match="d/a"):
        store.read_bytes("d/a")


@pytest.mark.parametrize(
    "relative",
    [
        "../x",
        "a/../x",
        "a/../../x",
        "/etc/passwd",
        "",
        ".",
        "..",
        "a//b",
        "a/",
        "./a",
        "a\\..\\b",
        "a\0b",
        "//a",
    ],
)
def test_paths_that_leave_the_folder_are_refused(store: LocalArtifacts, relative: str) -> None:
    for act in (store.read_bytes, store.exists, store.names, store.remove):
        with pytest.raises(BadInput):
            act(relative)
    with pytest.raises(BadInput):
        store.write_bytes(relative, b"")
    assert not store.root.parent.joinpath("x").exists()


def test_a_link_does_not_lead_out(store: LocalArtifacts, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    store.write_bytes("a", b"")
    (store.root / "out").symlink_to(tmp_path / "secret")
    with pytest.raises(BadInput):
        store.write_bytes("out/x", b"")
    assert list((tmp_path / "secret").iterdir()) == []


def test_content_reaches_the_disk_before_its_name_and_the_name_before_the_return(
    store: LocalArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        seen.append(("fsync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        real_fsync(descriptor)

    def rename(self: Path, target: Path) -> Path:
        seen.append(("rename", target.name))
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    store.write_bytes("d/e/file", b"x")
    kinds = [(kind, name if not name.startswith(".tmp-") else "temporary") for kind, name in seen]
    assert kinds == [
        ("fsync", store.root.parent.name),
        ("fsync", "artifacts"),
        ("fsync", "d"),
        ("fsync", "temporary"),
        ("rename", "file"),
        ("fsync", "e"),
    ]


@pytest.mark.parametrize("failing", ["fsync", "rename", "write"])
def test_a_full_disk_leaves_the_old_file_and_no_rest(
    store: LocalArtifacts, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    store.write_bytes("d/file", b"old")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if failing == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    elif failing == "rename":
        monkeypatch.setattr(Path, "replace", full)
    else:
        monkeypatch.setattr("regime_trading.adapters.artifacts._write_through", full)
    with pytest.raises(NotDurable, match="No space left"):
        store.write_bytes("d/file", b"new")
    monkeypatch.undo()
    assert store.read_bytes("d/file") == b"old"
    assert [path.name for path in (store.root / "d").iterdir()] == ["file"]


def test_a_file_where_a_folder_should_be_is_an_error(store: LocalArtifacts) -> None:
    store.write_bytes("d", b"")
    with pytest.raises(NotDurable):
        store.write_bytes("d/file", b"")
