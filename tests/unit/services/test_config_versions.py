"""Versions of the configuration: what they do is shown, agreed to and recorded before it is in the file; never half."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from tests.config_samples import (
    FIRM,
    HOUR,
    NIGHT_NS,
    OTHER,
    T,
    agreed,
    at,
    folder_of,
    service_over,
)

from regime_trading.adapters import traders_file
from regime_trading.adapters.database import (
    SqlConfigVersions,
    SqlMessages,
    SqlOverrides,
    open_database,
    sqlite_url,
)
from regime_trading.core.config_diff import Direction
from regime_trading.core.config_holds import HOLDER
from regime_trading.core.config_versions import (
    FILE,
    ConfigVersion,
    NeedsAgreement,
    VersionConflict,
    VersionStatus,
)
from regime_trading.core.errors import BadInput, NotDurable
from regime_trading.core.overrides import MAX_LIVE, SessionOverride
from regime_trading.core.rules import Gross, TradingState
from regime_trading.core.settings import InvalidConfig
from regime_trading.core.trader_profile import with_overrides
from regime_trading.services.acts import place_of_firm
from regime_trading.services.config_apply import REQUEST_NS, Drift
from regime_trading.services.config_changes import WhatIf
from regime_trading.services.config_versions import ConfigService
from regime_trading.services.configurations import OverrideAsk, make_override, take_over
from regime_trading.services.limits import limits_in_force
from regime_trading.services.registers import Scope

TIGHTER = ('gross: "0.9"', 'gross: "0.8"')
LOOSER = ('gross: "0.9"', 'gross: "1.0"')


class Crash(BaseException):
    """The process ends here."""


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_database(sqlite_url(tmp_path / "store.db"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "config")


@pytest.fixture
def service(engine: Engine, folder: Path) -> ConfigService:
    made = service_over(engine, folder)
    made.current(FIRM)
    return made


def document(service: ConfigService, *pairs: tuple[str, str]) -> str:
    text = service.current(FIRM).reading.document
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def drafted(service: ConfigService, *pairs: tuple[str, str], base: int = 1) -> ConfigVersion:
    return service.draft(FIRM, document(service, *pairs), base, "a reason")


def told(service: ConfigService) -> list[dict[str, Any]]:
    place = place_of_firm(FIRM)
    entries = service.deps.acts.audit(FIRM).entries(f"admin/{FIRM}/{place.account_id}")
    return [json.loads(entry.event.body) for entry in entries]


def kinds(service: ConfigService) -> list[str]:
    return [entry["event_type"] for entry in told(service)]


# --- what is in the file ----------------------------------------------------------------------------------------


def test_the_file_becomes_the_first_version_and_is_recorded_once(
    service: ConfigService, engine: Engine
) -> None:
    current = service.current(FIRM)
    assert (current.number, current.drift) == (1, Drift.NONE)
    assert current.version is not None
    assert (current.version.author, current.version.status.value) == (FILE, "applied")
    assert current.reading.document.startswith("id: north-pier\nname: North Pier (fictional)   # a remark\n")
    assert "kestrel" not in current.reading.document and "between" not in current.reading.document
    assert kinds(service) == ["CONFIG_ACCEPTED"] * 2
    found = take_over(current.reading.profiles, (), service.deps.last_good, now_ns=T, acts=service.deps.acts)
    assert {s.least_state for s in found.values()} == {TradingState.NORMAL}
    assert kinds(service) == ["CONFIG_ACCEPTED"] * 2, "the engine finds nothing new"


def test_what_is_written_by_hand_becomes_a_version(service: ConfigService, folder: Path) -> None:
    draft = drafted(service, TIGHTER)
    path = folder / "traders.yaml"
    path.write_text(path.read_text().replace('sigma_target: "0.08"', 'sigma_target: "0.07"'))
    current = service.current(FIRM)
    assert (current.number, current.drift) == (3, Drift.TAKEN_IN)
    assert current.version is not None
    counts = {one.account: (one.loosens, one.tightens) for one in current.version.accounts}
    assert counts == {"north-pier/core": (0, 0), "north-pier/live": (0, 1)}
    assert [one.status.value for one in service.history(FIRM)] == ["applied", "void", "superseded"]
    with pytest.raises(VersionConflict, match="void"):
        service.apply(FIRM, draft.version)
    assert kinds(service) == ["CONFIG_ACCEPTED"] * 3
    assert service.current(OTHER).number == 1, "the other firm has its own history"


def test_what_the_loader_refuses_is_kept_and_can_be_repaired(service: ConfigService, folder: Path) -> None:
    path = folder / "traders.yaml"
    path.write_text(path.read_text().replace('gross: "0.9"', 'grosz: "0.9"'))
    for _ in range(2):
        current = service.current(FIRM)
        assert (current.number, current.drift) == (1, Drift.REFUSED)
    (finding,) = current.reading.findings
    assert (finding.file, finding.line, finding.column) == ("document", 4, 3)
    assert service.get(FIRM, 2).status is VersionStatus.REJECTED and len(service.history(FIRM)) == 2
    assert service.current(OTHER).number == 1
    mended = current.reading.document.replace("grosz", "gross").replace('"0.9"', '"0.85"')
    made = service.draft(FIRM, mended, 1)
    assert made.approvers == 2, "nobody knows what was in force: it counts as looser"
    assert service.apply(FIRM, made.version, "r-1", agreed(made)).status is VersionStatus.APPLIED


def test_a_file_that_cannot_be_read_or_lacks_the_firm_is_an_error(
    service: ConfigService, folder: Path
) -> None:
    with pytest.raises(BadInput, match="firm nobody once"):
        service.current("nobody")
    (folder / "traders.yaml").write_text("firms: {a: 1}\nx: [\n")
    with pytest.raises(BadInput):
        service.current(FIRM)
    (folder / "traders.yaml").unlink()
    with pytest.raises(BadInput, match="No such file"):
        service.current(FIRM)


# --- drafts -----------------------------------------------------------------------------------------------------


def test_a_draft_says_what_it_does_and_takes(service: ConfigService) -> None:
    made = drafted(service, LOOSER, ('sigma_target: "0.08"', 'sigma_target: "0.07"'))
    core, live = made.accounts
    assert (core.loosens, core.tightens, core.approvers) == (1, 0, 1)
    assert (live.loosens, live.tightens, live.approvers, live.mode.value) == (1, 1, 2, "shadow")
    assert (made.direction, made.approvers, made.parent, made.status.value) == ("loosens", 2, 1, "draft")
    assert live.before_hash != live.after_hash
    diff = service.diff(FIRM, 1, made.version)
    assert (diff.direction, diff.approvers) == (Direction.LOOSENS, 2)
    assert [one.direction.value for one in diff.changes] == ["loosens", "loosens", "tightens"]
    assert '-  gross: "0.9" # the firm' in diff.text and '+  gross: "1.0" # the firm' in diff.text
    assert {(one.file, one.line) for one in diff.changes[:2]} == {("document", 4)}
    assert (
        diff.changes[2].old_line
        == document(service).split("\n").index('      sigma_target: "0.08"   # the mandate') + 1
    )


@pytest.mark.parametrize(
    ("change", "base", "error", "match"),
    [
        (("id: core", "id: core"), 1, BadInput, "a change"),
        (TIGHTER, 0, VersionConflict, "version 1 as its base"),
        (TIGHTER, 2, VersionConflict, "version 1 as its base"),
        (("gross", "grosz"), 1, InvalidConfig, "nearest"),
        (('sigma_target: "0.08"', 'sigma_target: "0.8"'), 1, InvalidConfig, "at most 0.15"),
        (("id: north-pier", "id: kestrel-lane"), 1, InvalidConfig, "north-pier"),
    ],
)
def test_a_draft_that_cannot_be_is_refused(
    service: ConfigService, change: tuple[str, str], base: int, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        drafted(service, change, base=base)
    assert len(service.history(FIRM)) == 1


def test_going_live_is_told_apart_and_takes_two_from_dry_run_too(service: ConfigService) -> None:
    made = drafted(service, ("mode: dry_run", "mode: gated_live"))
    core = made.accounts[0]
    assert (core.goes_live, core.approvers, core.loosens) == (True, 2, 1)
    with pytest.raises(NeedsAgreement):
        service.apply(FIRM, made.version)


# --- applying ---------------------------------------------------------------------------------------------------


def test_a_tightening_is_applied_at_once_and_touches_nothing_else(
    service: ConfigService, folder: Path, engine: Engine
) -> None:
    before = (folder / "traders.yaml").read_text()
    (folder / "traders.yaml").chmod(0o640)
    done = service.apply(FIRM, drafted(service, TIGHTER).version)
    assert (folder / "traders.yaml").read_text() == before.replace(*TIGHTER)
    assert (folder / "traders.yaml").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in folder.iterdir()) == ["settings.yaml", "traders.yaml"]
    assert (done.status, done.applied_ns, done.effective_from_ns) == (VersionStatus.APPLIED, T, T)
    assert [one.status.value for one in service.history(FIRM)] == ["applied", "superseded"]
    changed = [entry for entry in told(service) if entry["event_type"] == "CONFIG_CHANGED"]
    assert [entry["account"] for entry in changed] == ["north-pier/core", "north-pier/live"]
    for entry, account in zip(changed, done.accounts, strict=True):
        assert (entry["before_hash"], entry["after_hash"]) == (account.before_hash, account.after_hash)
        assert (entry["request_id"], entry["actor"]["id"]) == ("version-2", "u-abcdefgh23456777")
        assert [one["direction"] for one in entry["changes"]] == ["tightens"]
    messages = [one for one in SqlMessages(engine, firm_id=FIRM).after(0) if one.type == "config.loaded"]
    assert [(one.account, json.loads(one.body)["version"]) for one in messages[-2:]] == [
        ("north-pier/core", 2),
        ("north-pier/live", 2),
    ]
    take_over(
        service.current(FIRM).reading.profiles, (), service.deps.last_good, now_ns=T, acts=service.deps.acts
    )
    assert kinds(service) == ["CONFIG_ACCEPTED"] * 2 + ["CONFIG_CHANGED"] * 2


def test_a_link_to_the_file_stays_a_link(service: ConfigService, folder: Path, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere"
    real.mkdir()
    (folder / "traders.yaml").rename(real / "firms.yaml")
    (folder / "traders.yaml").symlink_to(real / "firms.yaml")
    service.apply(FIRM, drafted(service, TIGHTER).version)
    assert (folder / "traders.yaml").is_symlink() and TIGHTER[1] in (real / "firms.yaml").read_text()


def test_dry_runs_loosen_alone_and_at_once(engine: Engine, tmp_path: Path) -> None:
    service = service_over(engine, folder_of(tmp_path / "dry", "dry_run"))
    service.current(FIRM)
    done = service.apply(FIRM, drafted(service, LOOSER).version)
    assert (done.direction, done.approvers, done.effective_from_ns) == (Direction.LOOSENS, 1, T)
    assert SqlOverrides(engine, firm_id=FIRM).of("north-pier/live") == ()


def test_others_loosen_with_agreement_to_exactly_this(service: ConfigService) -> None:
    made, other = drafted(service, LOOSER), drafted(service, ('"0.02"', '"0.03"'))
    assert made.payload_hash != other.payload_hash
    for approval, approved in (("", agreed(made)), ("r-2", agreed(made)), ("r-1", agreed(other))):
        with pytest.raises(NeedsAgreement, match=r"2 people .*north-pier/live"):
            service.apply(FIRM, made.version, approval, approved)
    assert service.get(FIRM, made.version) == made
    refused = [entry for entry in told(service) if entry["event_type"] == "CONFIG_REFUSED"]
    assert len(refused) == 3 and refused[0]["reason_codes"] == ["NOT_APPLIED"]
    take_over(
        service.current(FIRM).reading.profiles, (), service.deps.last_good, now_ns=T, acts=service.deps.acts
    )
    assert kinds(service)[-1] == "CONFIG_REFUSED", "the files were not refused: nothing is accepted anew"
    done = service.apply(FIRM, made.version, "r-1", agreed(made))
    assert (done.status.value, done.request_id) == ("applied", "r-1")
    assert {e["request_id"] for e in told(service) if e["event_type"] == "CONFIG_CHANGED"} == {"r-1"}


def test_the_old_limit_is_in_force_until_the_session_ends(service: ConfigService, engine: Engine) -> None:
    made = drafted(service, LOOSER, ('sigma_target: "0.08"', 'sigma_target: "0.07"'))
    service.apply(FIRM, made.version, "r-1", agreed(made))
    core, live = service.current(FIRM).reading.profiles
    for now_ns, gross in ((T, "0.9"), (NIGHT_NS - 1, "0.9"), (NIGHT_NS, "1.0")):
        stored = SqlOverrides(engine, firm_id=FIRM).of(live.account)
        tight = with_overrides(live, stored, now_ns)
        assert str(tight.params(Gross).max_gross) == gross
    assert str(core.params(Gross).max_gross) == "1.0"
    (entry,) = (entry for entry in told(service) if entry["event_type"] == "OVERRIDE")
    assert (entry["path"], entry["created_by"]) == ("risk.gross", "service:config")


def test_the_record_tells_the_limit_in_force_at_any_time(service: ConfigService) -> None:
    made = drafted(service, LOOSER)
    at(service, T + HOUR).apply(FIRM, made.version, "r-1", agreed(made))
    scope = Scope(FIRM, account_id="live")
    for now_ns, gross, layer in ((T, "0.9", "firm"), (T + HOUR, "0.9", "session"), (NIGHT_NS, "1", "firm")):
        told_then = limits_in_force(service.deps.acts.history(FIRM), scope, now_ns)
        (row,) = (row for row in told_then["limits"] if row["path"] == "risk.gross.max_gross")
        assert (row["value"], row["decided_by"][0].split()[0]) == (gross, layer)


def test_what_is_held_back_takes_nobodys_room(service: ConfigService, engine: Engine) -> None:
    store = SqlOverrides(engine, firm_id=FIRM)
    live = service.current(FIRM).reading.profiles[1]
    ask = OverrideAsk("risk.gross", "0.5", "1h", "a bad day")
    for n in range(MAX_LIVE):
        made = SessionOverride(
            account=live.account, path="risk.gross", value="0.8", reason="held", created_by=HOLDER,
            created_at_ns=T + n, expires_at_ns=T + HOUR,
        )  # fmt: skip
        store.add(made, lambda _: None)
    make_override(live, ask, store, now_ns=T + MAX_LIVE, acts=service.deps.acts)
    assert len(store.of(live.account)) == MAX_LIVE + 1


def test_what_no_override_can_hold_waits_for_the_session(service: ConfigService, folder: Path) -> None:
    before = (folder / "traders.yaml").read_bytes()
    made = drafted(service, ('{limit_pct: "0.02"}', '{limit_pct: "0.02", base: initial}'))
    proposed = service.propose(FIRM, made.version, "r-1")
    with pytest.raises(VersionConflict):
        service.propose(FIRM, made.version, "r-2")
    waiting = service.apply(FIRM, made.version, approved=agreed(made))
    assert (waiting.status.value, waiting.effective_from_ns) == ("approved", NIGHT_NS)
    assert waiting.payload_hash == proposed.payload_hash
    assert (folder / "traders.yaml").read_bytes() == before
    assert service.apply(FIRM, made.version, approved=agreed(made)) == waiting
    assert service.due(FIRM, NIGHT_NS - 1) == () and service.due(FIRM, NIGHT_NS) == (waiting,)
    then = at(service, NIGHT_NS)
    with pytest.raises(NeedsAgreement):
        then.apply(FIRM, made.version)
    assert then.apply(FIRM, made.version, approved=agreed(made)).status is VersionStatus.APPLIED
    assert then.due(FIRM, NIGHT_NS) == ()


def test_a_world_that_changed_voids_what_was_shown(service: ConfigService, folder: Path) -> None:
    made = drafted(service, TIGHTER)
    (folder / "settings.yaml").write_text(
        (folder / "settings.yaml").read_text() + 'rules: {single_name: "0.05"}\n'
    )
    with pytest.raises(VersionConflict, match="settings or presets"):
        service.apply(FIRM, made.version)
    (folder / "settings.yaml").write_text(
        (folder / "settings.yaml").read_text().replace('"0.05"', '"0.05", gross: "0.5"')
        + "sealed: [risk.gross]\n"
    )
    with pytest.raises(InvalidConfig, match="gross"):
        service.apply(FIRM, made.version)
    assert kinds(service)[-1] == "CONFIG_REFUSED"


def test_rollback_is_a_new_version_with_the_old_words(service: ConfigService, folder: Path) -> None:
    before = (folder / "traders.yaml").read_bytes()
    hashes = [profile.config_hash for profile in service.current(FIRM).reading.profiles]
    service.apply(FIRM, drafted(service, TIGHTER).version)
    back = service.rollback(FIRM, 1, "too tight")
    assert (back.version, back.parent, back.reason) == (3, 2, "rollback to version 1: too tight")
    assert back.direction is Direction.LOOSENS
    service.apply(FIRM, back.version, "r-1", agreed(back))
    assert (folder / "traders.yaml").read_bytes() == before
    assert [profile.config_hash for profile in service.current(FIRM).reading.profiles] == hashes
    assert [one.status.value for one in service.history(FIRM)] == ["applied", "superseded", "superseded"]


def test_drafts_are_rejected_and_withdrawn_and_stay_so(service: ConfigService, engine: Engine) -> None:
    made = drafted(service, TIGHTER)
    service.propose(FIRM, made.version, "r-1")
    rejected = service.reject(FIRM, made.version, "not now")
    assert (rejected.status.value, rejected.detail) == ("rejected", "not now")
    other = drafted(service, TIGHTER)
    assert service.withdraw(FIRM, other.version).status is VersionStatus.VOID
    for call in (service.apply, lambda f, n: service.withdraw(f, n), lambda f, n: service.approve(f, n)):
        for number in (1, made.version, other.version):
            with pytest.raises(VersionConflict):
                call(FIRM, number)
    sent = [
        json.loads(one.body)["status"]
        for one in SqlMessages(engine, firm_id=FIRM).after(0)
        if one.type == "proposal.update"
    ]
    assert sent == ["proposed", "rejected"]


def test_a_what_if_replays_the_firm_alone(service: ConfigService) -> None:
    seen: list[Any] = []

    def replay(old: Any, new: Any, asked: WhatIf) -> dict[str, Any]:
        seen.extend([old, new])
        return {"days": asked.days}

    text = document(service, TIGHTER)
    assert service.what_if(FIRM, text, WhatIf(days=3), replay) == {"days": 3}
    assert [str(side[0].params(Gross).max_gross) for side in seen] == ["0.9", "0.8"]
    with pytest.raises(BadInput, match="an account of firm"):
        service.what_if(FIRM, text, WhatIf(accounts=("kestrel-lane/solo",)), replay)
    with pytest.raises(InvalidConfig):
        service.what_if(FIRM, "id: north-pier\n", WhatIf(), replay)


# --- crashes ----------------------------------------------------------------------------------------------------


def _boundary(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    """The process ends at one place between the first transaction and the last."""

    def die(*_: Any, **__: Any) -> Any:
        raise error

    def after(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            real(*args, **more)
            raise error

        return call

    match name:
        case "before the record":
            monkeypatch.setattr(SqlConfigVersions, "start", die)
        case "after the record":
            monkeypatch.setattr(SqlConfigVersions, "start", after(SqlConfigVersions.start))
        case "before the temporary file":
            monkeypatch.setattr(traders_file.TradersFile, "replace", die)
        case "in the temporary file":
            monkeypatch.setattr(os, "fsync", die)
        case "before the rename":
            monkeypatch.setattr(Path, "replace", die)
        case "after the rename":
            monkeypatch.setattr(Path, "replace", after(Path.replace))
        case "in the folder":
            monkeypatch.setattr(traders_file, "sync", die)
        case "before the end":
            monkeypatch.setattr(SqlConfigVersions, "finish", die)
        case "after the end":
            monkeypatch.setattr(SqlConfigVersions, "finish", after(SqlConfigVersions.finish))


BOUNDARIES = (
    "before the record",
    "after the record",
    "before the temporary file",
    "in the temporary file",
    "before the rename",
    "after the rename",
    "in the folder",
    "before the end",
    "after the end",
)


@pytest.mark.parametrize("change", [TIGHTER, LOOSER], ids=["tighter", "looser"])
@pytest.mark.parametrize("name", BOUNDARIES)
def test_a_crash_anywhere_leaves_all_or_nothing(
    service: ConfigService, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, change: tuple[str, str]
) -> None:
    before = (folder / "traders.yaml").read_text()
    made = drafted(service, change)
    with monkeypatch.context() as patch:
        _boundary(patch, name, Crash())
        with pytest.raises(Crash):
            service.apply(FIRM, made.version, "r-1", agreed(made))
    assert (folder / "traders.yaml").read_text() in (before, before.replace(*change))
    current = at(service, T + HOUR).current(FIRM)
    happened = name != "before the record"
    assert (folder / "traders.yaml").read_text() == (before.replace(*change) if happened else before)
    assert current.number == (2 if happened else 1) and current.drift is Drift.NONE
    assert service.get(FIRM, 2).status is (VersionStatus.APPLIED if happened else VersionStatus.DRAFT)
    assert kinds(service).count("CONFIG_CHANGED") == (2 if happened else 0)
    assert service.current(FIRM) == current, "once"
    assert service.current(OTHER).drift is not Drift.REFUSED
    if not happened:
        assert service.apply(FIRM, made.version, "r-1", agreed(made)).status is VersionStatus.APPLIED


@pytest.mark.parametrize("name", ["after the record", "before the rename"])
def test_an_old_agreement_loosens_nothing_after_a_crash(
    service: ConfigService, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = (folder / "traders.yaml").read_text()
    made = drafted(service, LOOSER)
    with monkeypatch.context() as patch:
        _boundary(patch, name, Crash())
        with pytest.raises(Crash):
            service.apply(FIRM, made.version, "r-1", agreed(made))
    current = at(service, T + REQUEST_NS + 1).current(FIRM)
    assert (current.number, (folder / "traders.yaml").read_text()) == (1, before)
    assert service.get(FIRM, 2).status is VersionStatus.VOID
    changed = [entry for entry in told(service) if entry["event_type"] == "CONFIG_CHANGED"]
    assert [entry["reason_codes"] for entry in changed] == [[], [], ["NOT_WRITTEN"], ["NOT_WRITTEN"]]
    for there, back in zip(changed[:2], changed[2:], strict=True):
        assert (there["before_hash"], there["after_hash"]) == (back["after_hash"], back["before_hash"])


def test_a_file_edited_after_the_crash_is_not_overwritten(
    service: ConfigService, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = drafted(service, TIGHTER)
    with monkeypatch.context() as patch:
        _boundary(patch, "after the record", Crash())
        with pytest.raises(Crash):
            service.apply(FIRM, made.version)
    path = folder / "traders.yaml"
    path.write_text(path.read_text().replace('gross: "0.9"', 'gross: "0.5"'))
    current = service.current(FIRM)
    assert (current.number, current.drift) == (3, Drift.TAKEN_IN)
    assert service.get(FIRM, 2).status is VersionStatus.VOID and 'gross: "0.5"' in path.read_text()
    assert kinds(service)[2:] == ["CONFIG_CHANGED"] * 4 + ["CONFIG_ACCEPTED"] * 2


def test_another_firms_edit_after_the_crash_does_not_stop_it(
    service: ConfigService, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = drafted(service, TIGHTER)
    with monkeypatch.context() as patch:
        _boundary(patch, "after the record", Crash())
        with pytest.raises(Crash):
            service.apply(FIRM, made.version)
    path = folder / "traders.yaml"
    path.write_text(path.read_text().replace('gross: "0.7"', 'gross: "0.6"'))
    assert service.current(FIRM).number == 2
    assert 'gross: "0.8"' in path.read_text() and 'gross: "0.6"' in path.read_text()


@pytest.mark.parametrize("name", ["in the temporary file", "before the rename", "in the folder"])
def test_a_disk_that_fails_is_an_error_and_nothing_is_half(
    service: ConfigService, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = (folder / "traders.yaml").read_text()
    made = drafted(service, TIGHTER)
    with monkeypatch.context() as patch:
        _boundary(patch, name, OSError(28, "No space left on device"))
        written = name == "in the folder"
        if written:  # the name is there; the file is as it should be
            assert service.apply(FIRM, made.version).status is VersionStatus.APPLIED
        else:
            with pytest.raises(NotDurable, match="No space left"):
                service.apply(FIRM, made.version)
    assert (folder / "traders.yaml").read_text() == (before.replace(*TIGHTER) if written else before)
    assert service.get(FIRM, 2).status is (VersionStatus.APPLIED if written else VersionStatus.VOID)
    assert service.current(FIRM).number == (2 if written else 1)


def test_the_file_changed_under_our_hands_wins(
    service: ConfigService, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, path = drafted(service, TIGHTER), folder / "traders.yaml"
    real = SqlConfigVersions.start

    def start(*args: Any, **more: Any) -> None:
        real(*args, **more)
        path.write_text(path.read_text().replace('"0.08"', '"0.06"'))

    with monkeypatch.context() as patch:
        patch.setattr(SqlConfigVersions, "start", start)
        with pytest.raises(VersionConflict, match="the file as it was read"):
            service.apply(FIRM, made.version)
    assert '"0.06"' in path.read_text() and 'gross: "0.9"' in path.read_text()
    assert service.get(FIRM, 2).status is VersionStatus.VOID
    assert service.current(FIRM).drift is Drift.TAKEN_IN
