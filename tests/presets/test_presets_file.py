"""``presets.yaml`` beside the traders file: its presets count as if they stood there, and keep their file and line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.gate_samples import CONFIG
from typer.testing import CliRunner, Result

from regime_trading.adapters.config_files import load_configuration, load_firms
from regime_trading.cli import app
from regime_trading.core.errors import BadInput
from regime_trading.core.settings import InvalidConfig
from regime_trading.core.trader_profile import explain

PACKS = (CONFIG / "presets.yaml").read_text(encoding="utf-8")
TRADERS = (CONFIG / "traders.yaml").read_text(encoding="utf-8")
PACK = "eval_intraday_trailing_50k@1"
ACCOUNT = "kestrel-lane/fut"
NEW = f"      - {{id: fut, mode: dry_run, preset: {PACK}}}\n"
ALLOWED = "    presets: [eval_static_100k@1]"


def folder(home: Path, *pairs: tuple[str, str], traders: str = TRADERS) -> Path:
    """The shipped files with one more account that names a pack, and with some words of the packs changed."""
    home.mkdir(exist_ok=True)
    shutil.copy(CONFIG / "settings.yaml", home)
    assert ALLOWED in traders
    text = traders.replace(ALLOWED, f"{ALLOWED[:-1]}, {PACK}]", 1)
    (home / "traders.yaml").write_text(text + NEW, encoding="utf-8")
    packs = PACKS
    for old, new in pairs:
        assert old in packs
        packs = packs.replace(old, new, 1)
    (home / "presets.yaml").write_text(packs, encoding="utf-8")
    return home


def files(home: Path) -> tuple[Path, Path]:
    return home / "settings.yaml", home / "traders.yaml"


def line_of(words: str, text: str = PACKS) -> int:
    return text[: text.index(words)].count("\n") + 1


def regime(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def answer(*words: str | Path, code: int = 0) -> dict[str, Any]:
    told = regime(*words, "--json")
    assert told.exit_code == code, (told.stdout, told.stderr)
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def test_what_a_pack_says_is_traced_to_its_file_and_line(tmp_path: Path) -> None:
    home = folder(tmp_path / "config")
    profile = next(p for p in load_configuration(*files(home)).profiles if p.account == ACCOUNT)
    lines = PACKS.splitlines()
    for path, words in (
        ("risk.max_loss_intraday.amount", "max_loss_intraday"),
        ("risk.direction.hedge_groups", "hedge_groups"),
        ("risk.flat_by.zone", "America/New_York"),
        ("initial_capital", 'initial_capital: "50000"'),
        ("lifecycle", "lifecycle:"),
    ):
        (step,) = [step for step in explain(profile, path) if step.layer == "preset"]
        assert step.file == (home / "presets.yaml").as_posix()
        assert words in lines[(step.line or 0) - 1], path
    (own,) = explain(profile, "preset")
    assert own.file == (home / "traders.yaml").as_posix()


def test_the_other_accounts_do_not_change(tmp_path: Path) -> None:
    """With the packs or without them: the sample decides what it decided before."""
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("settings.yaml", "traders.yaml"):
        shutil.copy(CONFIG / name, alone)
    without = {p.account: p.config_hash for p in load_configuration(*files(alone)).profiles}
    shipped = {p.account: p.config_hash for p in load_configuration(*files(CONFIG)).profiles}
    assert without == shipped
    more = {p.account: p.config_hash for p in load_configuration(*files(folder(tmp_path / "more"))).profiles}
    assert {account: more[account] for account in shipped} == shipped
    assert set(more) - set(shipped) == {ACCOUNT}


AMOUNT = 'max_loss_intraday: {id: LD-05, amount: "2500"'
ZONE = "zone: America/New_York"
MISTAKES = [
    (AMOUNT, AMOUNT.replace("amount", "amout"), "risk.max_loss_intraday.amout", "'amount'"),
    (AMOUNT, AMOUNT.replace('"2500"', '"-1"'), "risk.max_loss_intraday.amount", "≥ 0"),
    (ZONE, "zone: CET+1", f"presets.{PACK}.trading_day.zone", "IANA"),
    ("universe: # one", "univers: # one", f"presets.{PACK}.univers", "'universe'"),
    ("hedge_groups:", "hedge_grups:", f"presets.{PACK}.universe.hedge_grups", "'hedge_groups'"),
    ('lifecycle: {profit_target: "3000"}', "lifecycle: {profit_target: none}", "lifecycle.profit_target", "decimal"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "path", "word"), MISTAKES)
def test_each_mistake_names_the_file_and_the_line(
    tmp_path: Path, old: str, new: str, path: str, word: str
) -> None:
    home = folder(tmp_path / "config", (old, new))
    told = answer("config", "validate", "--config", home, code=2)
    finding = told["findings"][0]
    assert finding["file"] == (home / "presets.yaml").as_posix()
    assert finding["line"] == line_of(old)
    assert finding["path"].endswith(path) and word in finding["message"]
    assert finding["layers"] == [f"preset {PACK}"]
    found = load_firms(*files(home))
    assert [broken.firm_id for broken in found.broken] == ["kestrel-lane"]
    assert {profile.firm_id for profile in found.profiles} == {"north-pier"}


def test_a_name_stands_in_one_file_only(tmp_path: Path) -> None:
    twice = f"{PACK}:\n    account_currency: EUR"
    traders = TRADERS.replace("presets:\n", f"presets:\n  {twice}\n", 1)
    home = folder(tmp_path / "config", traders=traders)
    (finding,) = answer("config", "validate", "--config", home, code=2)["findings"]
    assert (finding["file"], finding["line"]) == ((home / "presets.yaml").as_posix(), line_of(f"  {PACK}:"))
    assert finding["path"] == f"presets.{PACK}"
    line = line_of(f"  {PACK}:", (home / "traders.yaml").read_text())
    assert f"a name not used before ({(home / 'traders.yaml').as_posix()}:{line})" in finding["message"]
    assert [broken.firm_id for broken in load_firms(*files(home)).broken] == ["kestrel-lane"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("schema_version: 1", "schema_version: 2"),
        ("schema_version: 1", "schema_version: 1\nfirms: []"),
        ("presets:\n", "presets: []\nx:\n"),
        ("schema_version: 1", "schema_version: 1\nschema_version: 1"),
    ],
)
def test_a_problem_of_the_file_itself_stops_everything(tmp_path: Path, old: str, new: str) -> None:
    home = folder(tmp_path / "config", (old, new))
    for load in (load_configuration, load_firms):
        with pytest.raises(InvalidConfig) as error:
            load(*files(home))
        assert {finding.file for finding in error.value.findings} == {(home / "presets.yaml").as_posix()}


def test_without_the_file_a_pack_is_not_known(tmp_path: Path) -> None:
    home = folder(tmp_path / "config")
    (home / "presets.yaml").unlink()
    findings = answer("config", "validate", "--config", home, code=2)["findings"]
    assert {finding["file"] for finding in findings} == {(home / "traders.yaml").as_posix()}
    (home / "presets.yaml").mkdir()
    with pytest.raises(BadInput, match=r"presets\.yaml: expected a file that can be read"):
        load_configuration(*files(home))


def test_a_version_that_changes_is_told_with_both_places(tmp_path: Path) -> None:
    old, new = folder(tmp_path / "old"), folder(tmp_path / "new", (AMOUNT, AMOUNT.replace("2500", "3000")))
    told = answer("config", "diff", old, new)
    assert told["ok"] is False
    key, version = told["findings"]
    assert (key["path"], key["direction"]) == ("risk.max_loss_intraday.amount", "loosens")
    assert (key["file"], key["line"]) == ((new / "presets.yaml").as_posix(), line_of(AMOUNT))
    assert version["path"] == f"presets.{PACK}" and "eval_intraday_trailing_50k@2" in version["message"]
    line = line_of(f"  {PACK}:")
    assert (version["file"], version["line"]) == ((new / "presets.yaml").as_posix(), line)
    assert (version["old_file"], version["old_line"]) == ((old / "presets.yaml").as_posix(), line)


def test_one_traders_file_is_read_with_the_packs_of_the_configured_folder(tmp_path: Path) -> None:
    home = folder(tmp_path / "config")
    alone = tmp_path / "draft.yaml"
    alone.write_text((home / "traders.yaml").read_text().replace('"0.08"', '"0.07"', 1), encoding="utf-8")
    assert answer("config", "diff", alone, "--config", home)["findings"]
    (tmp_path / "presets.yaml").write_text(PACKS.replace(AMOUNT, AMOUNT.replace("2500", "2000"), 1))
    told = answer("config", "diff", alone, "--config", home)
    beside = next(f for f in told["findings"] if f["path"] == "risk.max_loss_intraday.amount")
    assert (beside["old"], beside["new"]) == ("2000", "2500")


def test_explain_shows_the_note_and_the_day(tmp_path: Path) -> None:
    home = folder(tmp_path / "config")
    words = ["config", "explain", ACCOUNT, "risk.max_loss_intraday", "--config", home]
    (step,) = [step for step in answer(*words)["steps"] if step["layer"].startswith("preset")]
    assert step["where"] == f"{(home / 'presets.yaml').as_posix()}:{line_of(AMOUNT)}"
    assert (step["source_url"], step["read_on"]) == (None, "2026-11-26")
    assert step["note"].endswith("must be read before use.")
    shown = regime(*words).stdout
    assert "no address given, read on 2026-11-26" in shown and "must be read before use." in shown
