"""What every store of configuration versions must do, on SQLite and on a real PostgreSQL (``conftest.py``)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy import text as sql
from tests import record_samples as sample
from tests.config_samples import FIRM, NIGHT_NS, OTHER, T, a_version, agreed, folder_of, service_over
from tests.unit.core.test_trader_profile import override, profile

from regime_trading.adapters.database import SqlConfigVersions, SqlMessages, SqlOverrides, open_database
from regime_trading.adapters.firm_section import cut
from regime_trading.core.config_versions import (
    ConfigVersion,
    VersionConflict,
    VersionStatus,
    moved,
)
from regime_trading.core.errors import BadInput, CheckFailed, NotDurable, RegimeError
from regime_trading.core.messages import ConfigData, Message
from regime_trading.core.ports import ConfigVersions

Open = Callable[..., ConfigVersions]
APPLIED = VersionStatus.APPLIED


@pytest.fixture
def opened(database: Callable[[], Engine]) -> Open:
    return lambda firm_id=FIRM: SqlConfigVersions(database(), firm_id=firm_id)


def applied(store: ConfigVersions, number: int, document: str = "id: north-pier\n") -> ConfigVersion:
    version = a_version(number - 1, status=APPLIED, document=document)
    return store.take_in(version, ())


@pytest.mark.parametrize("number", [0, 2**31 - 1, 2**31, 2**63])
def test_a_number_that_no_version_has_is_told_of_as_none(opened: Open, number: int) -> None:
    with pytest.raises(BadInput, match=f"no version {number}"):
        opened().get(number)


def test_versions_are_numbered_per_firm_and_come_newest_first(opened: Open) -> None:
    store = opened()
    assert store.in_force() is None and store.all() == ()
    first = store.add(a_version())
    second = store.add(a_version(reason="second"))
    assert (first.version, second.version) == (1, 2)
    assert opened().all() == (second, first)
    assert opened().all(before=2) == (first,) and opened().all(limit=1) == (second,)
    assert opened("other").all() == ()
    with pytest.raises(BadInput, match="a version of other"):
        opened("other").get(1)
    with pytest.raises(BadInput, match="a version of other"):
        opened("other").add(first)


def test_what_was_not_read_last_is_not_moved(opened: Open) -> None:
    store = opened()
    draft = store.add(a_version())
    proposed = moved(draft, VersionStatus.PROPOSED, T + 1, "u-b", request_id="r-1")
    store.change(draft, proposed)
    with pytest.raises(VersionConflict, match="draft, found proposed"):
        store.change(draft, moved(draft, VersionStatus.VOID, T + 2, "u-c"))
    assert store.get(1) == proposed
    other = a_version(document="id: x\n").model_copy(update={"version": 1})
    with pytest.raises(VersionConflict):
        store.change(proposed, other)


def test_a_new_base_supersedes_the_old_one_and_voids_what_waited(
    opened: Open, database: Callable[[], Engine]
) -> None:
    store = opened()
    first = applied(store, 1)
    draft = store.add(a_version(1))
    store.change(draft, moved(draft, VersionStatus.PROPOSED, T, "u-b", request_id="r-1"))
    second = store.take_in(a_version(1, status=APPLIED, document="id: x\n"), ())
    assert [one.status.value for one in store.all()] == ["applied", "void", "superseded"]
    assert store.in_force() == second and store.get(2).detail == "version 3 was applied meanwhile"
    assert store.get(1) == moved(first, VersionStatus.SUPERSEDED, T, second.by)
    (told,) = SqlMessages(database(), firm_id=FIRM).after(0)
    assert told.type == "proposal.update" and '"status":"void"' in told.body
    for stale in (a_version(0), a_version(1)):
        with pytest.raises(VersionConflict, match="version 3 as its base"):
            store.add(stale)


def test_one_at_a_time_is_applied_and_holds_come_with_it(
    opened: Open, database: Callable[[], Engine]
) -> None:
    store = opened("firm")
    held = override("risk.gross", "0.5")
    one, two = (store.add(a_version(firm_id="firm", document=f"id: {n}\n")) for n in "ab")
    with pytest.raises(BadInput, match="an account of firm firm"):
        away = held.model_copy(update={"account": "other/acc"})
        store.start(one, moved(one, VersionStatus.APPLYING, T, "u"), (away,))
    begun = moved(one, VersionStatus.APPLYING, T, "u")
    store.start(one, begun, (held,))
    assert SqlOverrides(database(), firm_id="firm").of("firm/acc") == (held,)
    with pytest.raises(VersionConflict, match="version 1 of firm"):
        store.start(two, moved(two, VersionStatus.APPLYING, T, "u"), ())
    store.finish(begun, moved(begun, APPLIED, T, "u", applied_ns=T), [profile()])
    assert store.in_force() == store.get(1)
    with pytest.raises(BadInput, match="an account of firm"):
        opened().take_in(a_version(), [profile()])


def test_nothing_is_stored_where_its_entries_or_messages_cannot_be(opened: Open) -> None:
    store = opened()
    first = store.add(a_version())
    gap = [sample.event(9, firm=FIRM)]
    foreign = [Message(T, ConfigData(version=1, loaded=False), "other/acc")]
    for more in ({"events": gap}, {"messages": foreign}):
        kind = NotDurable if "events" in more else BadInput
        with pytest.raises(kind):
            store.add(a_version(), **more)
        with pytest.raises(kind):
            store.change(first, moved(first, VersionStatus.VOID, T, "u"), **more)
        with pytest.raises(kind):
            store.start(first, moved(first, VersionStatus.APPLYING, T, "u"), (), **more)
        with pytest.raises(kind):
            store.take_in(a_version(status=APPLIED), (), **more)
    assert opened().all() == (first,)


def test_a_row_that_was_altered_is_not_believed(opened: Open, database: Callable[[], Engine]) -> None:
    opened().add(a_version())
    for change in ("document = 'id: z'", "status = 'applied'", "body = '{'"):
        with database().begin() as connection:
            connection.execute(sql(f"UPDATE config_versions SET {change}"))
        with pytest.raises(CheckFailed, match="version 1 of north-pier"):
            opened().all()


@pytest.mark.parametrize("kind", ["same version", "two versions"])
def test_of_two_that_apply_at_once_one_wins(
    database: Callable[[], Engine], tmp_path: Path, kind: str
) -> None:
    folder = folder_of(tmp_path / "config", "dry_run")
    service = service_over(database(), folder)
    text_now = service.current(FIRM).reading.document
    drafts = [
        service.draft(FIRM, text_now.replace('gross: "0.9"', f'gross: "0.{n}"'), 1).version for n in (7, 6)
    ]
    numbers = drafts if kind == "two versions" else [drafts[0]] * 2

    def apply(n: int) -> ConfigVersion | RegimeError:
        try:
            return service_over(database(), folder).apply(FIRM, n)
        except VersionConflict as conflict:
            return conflict

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(apply, numbers))
    won = [one for one in done if isinstance(one, ConfigVersion)]
    assert len(won) == 1 and won[0].status is APPLIED
    current = service.current(FIRM)
    assert current.version == won[0] and current.reading.document == won[0].document


def test_a_loosening_is_held_back_until_the_next_session(
    database: Callable[[], Engine], tmp_path: Path
) -> None:
    engine = database()
    service = service_over(engine, folder_of(tmp_path / "config"))
    document = service.current(FIRM).reading.document
    made = service.draft(FIRM, document.replace('gross: "0.9"', 'gross: "1.0"'), 1)
    done = service.apply(FIRM, made.version, "r-1", agreed(made))
    assert (done.status, done.applied_ns, done.effective_from_ns) == (APPLIED, T, NIGHT_NS)
    (held,) = SqlOverrides(engine, firm_id=FIRM).of(f"{FIRM}/live")
    assert (held.path, held.value, held.created_by) == ("risk.gross", {"max_gross": "0.9"}, "service:config")


def _apply_in_a_process(url: str, folder: str, firm: str, number: int, start: Any, answers: Any) -> None:
    engine = open_database(url)
    start.wait(20)
    try:
        answers.put(service_over(engine, Path(folder)).apply(firm, number).status.value)
    except VersionConflict:
        answers.put("conflict")
    except Exception as error:
        answers.put(repr(error))
    finally:
        engine.dispose()


def test_processes_take_turns_and_firms_keep_each_others_changes(
    database: Callable[[], Engine], tmp_path: Path
) -> None:
    engine, folder = database(), folder_of(tmp_path / "config")
    service = service_over(engine, folder)
    mine = service.current(FIRM).reading.document
    theirs = service.current(OTHER).reading.document.replace('"0.7"', '"0.65"')
    drafts = [service.draft(FIRM, mine.replace('"0.9"', f'"0.{n}"'), 1) for n in (8, 6)]
    drafts.append(service.draft(OTHER, theirs, 1))
    context = multiprocessing.get_context("fork")
    start, answers = context.Event(), context.Queue()
    url = engine.url.render_as_string(hide_password=False)
    running = [
        context.Process(
            target=_apply_in_a_process,
            args=(url, str(folder), one.firm_id, one.version, start, answers),
        )
        for one in drafts
    ]
    for process in running:
        process.start()
    start.set()
    found = sorted(answers.get(timeout=60) for _ in running)
    for process in running:
        process.join(20)
    assert found == ["applied", "applied", "conflict"]
    text = (folder / "traders.yaml").read_text()
    assert 'gross: "0.65"' in text and ('gross: "0.8"' in text) is not ('gross: "0.6"' in text)
    version = service.current(FIRM).version
    assert version is not None and cut(text, FIRM).document == version.document
