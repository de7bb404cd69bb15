"""Commands on the configuration: what is shown is what happens, for any keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from tests.config_samples import FIRM, OTHER, folder_of, service_over

from regime_trading.adapters.database import open_database, sqlite_url
from regime_trading.adapters.firm_section import cut
from regime_trading.adapters.yaml_text import parse_yaml
from regime_trading.core.config_diff import Direction
from regime_trading.core.config_schema import document_schema
from regime_trading.core.config_versions import NeedsAgreement, VersionConflict
from regime_trading.core.errors import BadInput
from regime_trading.core.rules import RULE_BY_KEY
from regime_trading.core.settings import InvalidConfig
from regime_trading.core.trader_profile import explain
from regime_trading.services.config_commands import execute_config, simulate_config_set, simulate_rollback
from regime_trading.services.config_versions import ConfigService

ROOT = Path(__file__).parents[3]
KEYS = (
    "risk.gross", "risk.single_name", "risk.sigma_target", "risk.daily_loss", "risk.daily_loss.act",
    "risk.daily_loss.limit_pct", "risk.group.max_group", "risk.turnover", "risk.max_positions", "initial_capital",
    "risk.news.mode", "display_name",
)  # fmt: skip
NUMBERS = st.integers(1, 2000).map(lambda n: format(n / 1000, "f"))
VALUES = st.one_of(
    NUMBERS, st.integers(1, 30), st.sampled_from(["no_increase", "no_trade", "unlimited", "A name: 1 #2"])
)


@pytest.fixture
def service(tmp_path: Path) -> ConfigService:
    return _service(tmp_path, "dry_run")


def _service(path: Path, mode: str) -> ConfigService:
    engine: Engine = open_database(sqlite_url(path / "store.db"))
    made = service_over(engine, folder_of(path / "config", mode))
    made.current(FIRM)
    return made


def file_of(service: ConfigService) -> str:
    return service.deps.file.now(FIRM).data.decode()


def test_a_key_is_set_and_shown_before_it_is(service: ConfigService) -> None:
    shown = simulate_config_set(
        service, FIRM, "north-pier/live", {"risk.gross": "0.5", "risk.daily_loss.act": "0.8"}
    )
    assert (shown.direction, shown.findings, shown.base_version) == (Direction.TIGHTENS, (), 1)
    assert {(one.account, one.path) for one in shown.diff.changes} == {
        ("north-pier/live", "risk.gross.max_gross"),
        ("north-pier/live", "risk.daily_loss.act"),
    }
    assert '+      gross: "0.5"' in shown.diff.text and "# the mandate" in shown.document
    assert 'gross: "0.5"' not in file_of(service), "nothing happens yet"
    execute_config(service, shown, "a calmer week")
    assert service.deps.file.now(FIRM).document == shown.document
    with pytest.raises(VersionConflict, match="version 2 as its base"):
        execute_config(service, shown)


def test_findings_direction_and_refusals(service: ConfigService, tmp_path: Path) -> None:
    loose = simulate_config_set(service, FIRM, "live", {"risk.gross": "5"})
    assert loose.direction is Direction.LOOSENS and loose.findings[0].direction == "looser"
    with pytest.raises(InvalidConfig):
        execute_config(service, loose)
    for account, values, match in (
        ("kestrel-lane/solo", {"mode": "shadow"}, "an account of firm north-pier"),
        ("solo", {"mode": "shadow"}, "an account of the firm"),
        ("live", {}, "at least one key"),
        ("live", {"risk.gr oss": "1"}, "a path"),
    ):
        with pytest.raises(BadInput, match=match):
            simulate_config_set(service, FIRM, account, values)
    other = _service(tmp_path / "other", "shadow")
    with pytest.raises(NeedsAgreement):
        execute_config(other, simulate_config_set(other, FIRM, "live", {"risk.sigma_target": "0.1"}))


def test_a_rollback_is_shown_as_what_it_does_now(service: ConfigService) -> None:
    execute_config(service, simulate_config_set(service, FIRM, "live", {"risk.gross": "0.5"}))
    shown = simulate_rollback(service, FIRM, 1)
    assert (shown.direction, shown.base_version) == (Direction.LOOSENS, 2)
    assert execute_config(service, shown).version == 3
    with pytest.raises(BadInput, match="no version 9"):
        simulate_rollback(service, FIRM, 9)


@hypothesis_settings(max_examples=15, derandomize=True, database=None, deadline=None)
@given(
    st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=1, max_size=4), st.sampled_from(["core", "live"])
)
def test_what_is_applied_is_what_was_shown(shared: ConfigService, values: dict[str, Any], name: str) -> None:
    _shown_is_applied(shared, values, name)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> ConfigService:
    return _service(tmp_path_factory.mktemp("shared"), "dry_run")


def _shown_is_applied(service: ConfigService, values: dict[str, Any], name: str) -> None:
    before, number = file_of(service), service.current(FIRM).number
    hashes = [profile.config_hash for profile in service.current(FIRM).reading.profiles]
    try:
        shown = simulate_config_set(service, FIRM, name, values)
        execute_config(service, shown)
    except BadInput:
        assert file_of(service) == before
        return
    after, now = file_of(service), service.current(FIRM).reading
    assert {a.account: a.after_hash for a in shown.diff.accounts} == {
        p.account: p.config_hash for p in now.profiles
    }
    assert cut(after, OTHER).document == cut(before, OTHER).document
    parts = [cut(text, FIRM) for text in (before, after)]
    assert (
        before[: parts[0].start] == after[: parts[1].start]
        and before[parts[0].end :] == after[parts[1].end :]
    )
    assert [line for line in after.split("\n") if "#" in line and "A name" not in line] == [
        line for line in before.split("\n") if "#" in line
    ] or "risk.sigma_target" in values
    (profile,) = (one for one in now.profiles if one.account_id == name)
    for path, value in values.items():
        _, _, key = path.partition("risk.")
        said = explain(profile, path)[-1]
        if key in RULE_BY_KEY or path.count(".") == 2:
            assert said.layer == "account" and str(said.value).rstrip("0").rstrip(".") == str(value).rstrip(
                "0"
            ).rstrip(".")
    service.apply(FIRM, service.rollback(FIRM, number).version)
    assert file_of(service) == before
    assert [profile.config_hash for profile in service.current(FIRM).reading.profiles] == hashes


def test_the_schema_takes_what_the_loader_takes(service: ConfigService) -> None:
    validator = jsonschema_rs.validator_for(document_schema())
    shipped = (ROOT / "config" / "traders.yaml").read_text()
    documents = [cut(shipped, firm).document for firm in (FIRM, OTHER)]
    documents += [cut(file_of(service), firm).document for firm in (FIRM,)]
    for document in documents:
        data = _plain(parse_yaml(document.encode(), "d")[0])
        assert [error.message for error in validator.iter_errors(data)] == []
        data["accounts"][0]["risk"] = {"grosz": "1"}
        assert not validator.is_valid(data)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | str) else str(value)
