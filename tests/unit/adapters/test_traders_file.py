"""Findings come in the words of the document, tell nothing of other firms, and the file is replaced whole."""
# ruff: noqa: E501

from __future__ import annotations

from pathlib import Path

import pytest
from tests.config_samples import FIRM, OTHER, folder_of

from regime_trading.adapters.config_files import load_firms
from regime_trading.adapters.traders_file import TradersFile
from regime_trading.core.config_versions import VersionConflict
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.settings import InvalidConfig


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "config")


@pytest.fixture
def file(folder: Path) -> TradersFile:
    return TradersFile(folder / "settings.yaml", folder / "traders.yaml")


@pytest.mark.parametrize(
    ("old", "new", "path", "place", "expected"),
    [
        ("gross:", "grosz:", "risk.grosz", (4, 3), "a known key, the nearest is 'gross'"),
        ('"0.02"}', '"2%"}', "risk.daily_loss.limit_pct", (5, 16), "a valid decimal"),
        ('share: "0.5"', 'share: "5"', "accounts.1.baskets.0.share", (21, 21), "less than or equal to 1"),
        ("name: one, share", "nam: one, share", "accounts.0.baskets.0.nam", (13, 16), "a known key"),
        ('sigma_target: "0.08"', 'sigma_target: "0.2"', "risk.sigma_target", (23, 7), "at most 0.15"),
        ('sigma_target: "0.08"', 'gross: "0.95"', "risk.gross", (23, 7), "at most 0.9, as set by firm north-pier (line 4"),
        ("zone: America/New_York", "zone: Mars", "accounts.0.trading_day.zone", (12, 38), "an IANA zone"),
        ("id: live", "id: core", "accounts.1.id", (15, 5), "an id not used before (line 8)"),
        ("mode: dry_run", "preset: no@1", "accounts.0.mode", (8, 5), "a value"),
        ("risk:", "risk: [", "", None, "YAML"),
        ("gross:", "gross: !x", "risk.gross", (4, 3), "no tag"),
        ("gross:", "name: a\n  name:", "risk.name", (5, 3), "each key once (first on line 4)"),
        ("id: north-pier", "id: other", "id", (1, 1), "'north-pier'"),
    ],
)  # fmt: skip
def test_findings_are_those_of_the_loader_at_places_of_the_document(
    file: TradersFile,
    folder: Path,
    old: str,
    new: str,
    path: str,
    place: tuple[int, int] | None,
    expected: str,
) -> None:
    document = file.now(FIRM).document
    assert old in document
    changed = document.replace(old, new, 1)
    found = file.with_document(FIRM, changed)
    first = found.findings[-1] if path == "accounts.0.mode" else found.findings[0]
    assert (first.path, first.file) == (path, "document")
    assert first.expected.startswith(expected), first.message
    if place is not None:
        assert (first.line, first.column) == place
        assert changed.split("\n")[place[0] - 1][place[1] - 1 :].strip()
    assert found.profiles == () and str(folder) not in repr(found.findings)


def test_the_findings_are_as_many_as_the_loaders_own(file: TradersFile, folder: Path) -> None:
    document = (
        file.now(FIRM)
        .document.replace("gross:", "grosz:")
        .replace('"0.08"', '"0.8"')
        .replace("FLATTEN", "FLAT")
    )
    found = file.with_document(FIRM, document)
    loaded = load_firms(folder / "settings.yaml", folder / "traders.yaml", content=found.data)
    (broken,) = loaded.broken
    assert [(one.found, one.layers, one.direction) for one in found.findings] == [
        (one.found, one.layers, one.direction) for one in broken.findings
    ]
    assert [one.line + found.first_line - 1 for one in found.findings if one.line] == [
        one.line for one in broken.findings
    ]


def test_nothing_of_another_firm_is_told(file: TradersFile, folder: Path) -> None:
    path = folder / "traders.yaml"
    path.write_text(path.read_text().replace('risk: {gross: "0.7"}', "risk: {secretive: 1}"))
    assert file.now(FIRM).findings == () and len(file.now(FIRM).profiles) == 2
    path.write_text(path.read_text().replace('gross: "0.9"', 'grosz: "0.9"'))
    (finding,) = file.now(FIRM).findings
    assert "secretive" not in finding.message and "kestrel" not in finding.message
    (theirs,) = file.now(OTHER).findings
    assert "secretive" in theirs.message and "north" not in theirs.message
    with pytest.raises(InvalidConfig):
        load_firms(folder / "settings.yaml", path)


def test_what_is_wrong_above_the_firms_names_its_file_alone(file: TradersFile, folder: Path) -> None:
    settings = folder / "settings.yaml"
    settings.write_text(settings.read_text() + "rules: {grosz: 1}\n")
    (finding,) = file.now(FIRM).findings
    assert (finding.file, finding.line, finding.column) == ("settings.yaml", 5, None)
    settings.write_text("a: [\n")
    assert "YAML" in file.now(FIRM).findings[0].message


def test_the_file_is_replaced_whole_or_not_at_all(file: TradersFile, folder: Path) -> None:
    path = folder / "traders.yaml"
    before = path.read_bytes()
    (folder / ".traders.yaml.new").write_text("left by a crash")
    with file.turn():
        with pytest.raises(VersionConflict, match="another one"):
            file.replace(b"something else", b"x")
        assert path.read_bytes() == before
        file.replace(before, before + b"# more\n")
    assert path.read_bytes() == before + b"# more\n"
    assert sorted(one.name for one in folder.iterdir()) == ["settings.yaml", "traders.yaml"]
    path.write_bytes(b"\xff")
    with pytest.raises(BadInput, match="UTF-8"):
        file.now(FIRM)
    nowhere = TradersFile(folder / "settings.yaml", folder / "none" / "traders.yaml")
    with pytest.raises(NotDurable), nowhere.turn():
        pass
    with pytest.raises(NotDurable):
        nowhere.replace(b"", b"")
