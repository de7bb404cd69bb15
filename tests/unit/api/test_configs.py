"""Versions of the configuration over HTTP: who sees what of them, who may make and apply which."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.config_samples import FIRM, OTHER, T, folder_of, service_over
from tests.edge_world import Edge, checked, pseudonym

from regime_trading.adapters.clock import FixedClock
from regime_trading.adapters.database import SqlJobs, open_database, sqlite_url
from regime_trading.api.v1.configs import configs_router
from regime_trading.bootstrap.config_versions import with_actor
from regime_trading.core.access import Answer, Permission, Principal, Target
from regime_trading.core.schemas import ActorType
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.services.acts import place_of_firm
from regime_trading.services.config_changes import WhatIf
from regime_trading.services.config_versions import ConfigService
from regime_trading.services.jobs import JobService

CORE, LIVE = f"{FIRM}/core", f"{FIRM}/live"
AT = f"/firms/{FIRM}/configs"
TIGHTER = ('gross: "0.9"', 'gross: "0.8"')
LOOSER = ('gross: "0.9"', 'gross: "1.0"')
LIVE_TIGHTER = ('sigma_target: "0.08"', 'sigma_target: "0.07"')
LIVE_LOOSER = ('sigma_target: "0.08"', 'sigma_target: "0.09"')
CORE_TIGHTER = ("id: core\n", 'id: core\n    risk: {gross: "0.5"}\n')


class Configs(Edge):
    """The routes over a folder of two firms; account ``live`` is in ``mode``."""

    def __init__(self, path: Path, mode: str = "shadow") -> None:
        self.engine = open_database(sqlite_url(path / "store.db"))
        self.service = service_over(self.engine, folder_of(path / "config", mode))
        self.asked: list[WhatIf] = []
        accounts = {FIRM: (CORE, LIVE), OTHER: (f"{OTHER}/solo",)}
        self.jobs = JobService(
            lambda firm: SqlJobs(self.engine, firm_id=firm), FixedClock(T), lambda n: b"\1" * n
        )
        routers = [configs_router(self.as_somebody, self.replay, self.jobs, pseudonym, None)]
        super().__init__(routers, accounts, FIRM, T)

    def as_somebody(self, principal: Principal, firm: str) -> ConfigService:
        return with_actor(self.service, lambda firm: (ActorType.USER, pseudonym(firm, principal.user_id)))

    def replay(
        self, old: Sequence[TraderProfile], new: Sequence[TraderProfile], asked: WhatIf
    ) -> dict[str, Any]:
        """Tells what it was asked for."""
        self.asked.append(asked)
        rows = [{"account": name, "rows": [{"as_of": "x"}]} for name in asked.accounts or ()]
        return {"first": "a", "last": "b", "days": asked.days or 60, "accounts": rows}

    def ask(self, method: str, path: str, cookie: str = "", token: str = "", **more: Any) -> Any:
        headers = more.pop("headers", {"if-match": "*"} if path.endswith("/apply") else {})
        return super().ask(method, path, cookie, token, headers=headers, **more)

    def document(self, *pairs: tuple[str, str]) -> str:
        text = self.service.current(FIRM).reading.document
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new, 1)
        return text

    def drafted(self, *pairs: tuple[str, str], by: str = "analyst", base: int = 1) -> int:
        made = self.post(
            f"{AT}/drafts", by, 201, document=self.document(*pairs), base_version=base, reason="a reason"
        )
        number: int = made["version"]
        return number

    def kinds(self) -> list[str]:
        place = place_of_firm(FIRM)
        entries = self.service.deps.acts.audit(FIRM).entries(f"admin/{FIRM}/{place.account_id}")
        return [json.loads(entry.event.body)["event_type"] for entry in entries]


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Configs]:
    made = Configs(tmp_path)
    yield made
    made.engine.dispose()


@pytest.fixture
def dry(tmp_path: Path) -> Iterator[Configs]:
    made = Configs(tmp_path, "dry_run")
    yield made
    made.engine.dispose()


# --- reading ----------------------------------------------------------------------------------------------------


def test_what_is_in_force_is_read_as_far_as_one_may(edge: Configs) -> None:
    whole = edge.get(f"{AT}/current", "analyst")
    assert (whole["base_version"], whole["drift"], whole["findings"]) == (1, "taken_in", [])
    assert whole["document"].startswith("id: north-pier\n") and whole["version"]["author"] == "file"
    assert [one["account"] for one in whole["accounts"]] == [CORE, LIVE]
    assert edge.get(f"{AT}/current", "analyst")["drift"] == "none"
    part = edge.get(f"{AT}/current", "analyst:core")
    assert part["document"] is None and [one["account"] for one in part["accounts"]] == [CORE]
    assert [one["account"] for one in part["version"]["accounts"]] == [CORE]
    hidden = edge.get(f"{AT}/current", "pm+redact")
    assert hidden["document"] is None and len(hidden["accounts"]) == 2
    for path in ("", "/current", "/schema", "/1", "/diff?from=1&to=1"):
        assert edge.get(f"{AT}{path}", "viewer", 403)["code"] == "no_role"
        assert edge.get(f"/firms/{OTHER}/configs{path}", "pm", 404)["code"] == "not_found"
    assert len(edge.doors.told) == 10


def test_versions_are_read_page_by_page(edge: Configs) -> None:
    edge.get(f"{AT}/current", "analyst")
    numbers = [edge.drafted((TIGHTER[0], f'gross: "0.{n}"')) for n in (8, 7, 6)]
    assert numbers == [2, 3, 4]
    first = edge.get(f"{AT}?limit=3", "analyst")
    assert ([one["version"] for one in first["items"]], first["next_before"]) == ([4, 3, 2], 2)
    last = edge.get(f"{AT}?limit=3&before=2", "analyst")
    assert ([one["version"] for one in last["items"]], last["next_before"]) == ([1], None)
    one = edge.get(f"{AT}/3", "analyst")
    assert 'gross: "0.7"' in one["document"]
    assert (one["version"]["author"], one["version"]["status"]) == ("u-analyst", "draft")
    assert edge.get(f"{AT}/3", "analyst:core")["document"] is None
    assert edge.get(f"{AT}/9", "analyst", 404)["code"] == "not_found"
    assert edge.get(f"{AT}/diff?from=1&to=9", "analyst", 404)["code"] == "not_found"
    assert edge.get(f"{AT}/zero", "analyst", 422)["code"] == "invalid"


def test_what_is_unchanged_is_not_sent_again(edge: Configs) -> None:
    edge.get(f"{AT}/current", "analyst")
    etag = edge.ask("GET", f"{AT}/current", "analyst").headers["etag"]
    again = edge.ask("GET", f"{AT}/current", "analyst", headers={"if-none-match": etag})
    assert (again.status_code, again.content) == (304, b"")


def test_the_schema_is_one_of_documents(edge: Configs) -> None:
    schema = edge.get(f"{AT}/schema", "analyst")
    assert {"id", "accounts", "risk"} <= set(schema["properties"])


def test_a_difference_names_what_loosens_first_and_hides_what_is_not_ones_own(edge: Configs) -> None:
    edge.get(f"{AT}/current", "analyst")
    document = edge.document(TIGHTER, LIVE_LOOSER)
    diff = edge.post(f"{AT}/compare", "analyst", document=document)
    assert (diff["direction"], diff["approvers"]) == ("loosens", 2)
    directions = [one["direction"] for one in diff["changes"]]
    assert directions == ["loosens", "tightens", "tightens"] and '+      sigma_target: "0.09"' in diff["text"]
    assert diff["changes"][0]["account"] == LIVE and diff["changes"][0]["file"] == "document"
    number = edge.drafted(TIGHTER, LIVE_LOOSER)
    part = edge.get(f"{AT}/diff?from=1&to={number}", "analyst:core")
    assert part["text"] is None and {one["account"] for one in part["changes"]} == {CORE}
    hidden = edge.get(f"{AT}/diff?from=1&to={number}", "analyst+redact")
    assert hidden["text"] is None and len(hidden["changes"]) == 3
    assert all((one["old"], one["new"]) == (None, None) for one in hidden["changes"])
    assert "0.09" not in json.dumps(hidden)
    same = edge.get(f"{AT}/diff?from=1&to={number}", "analyst")
    assert same["changes"] == diff["changes"]


# --- trying -----------------------------------------------------------------------------------------------------


def test_a_document_is_validated_by_the_loader(edge: Configs) -> None:
    assert edge.post(f"{AT}/validate", "analyst", document=edge.document()) == {"ok": True, "findings": []}
    bad = edge.document(("gross:", "grosz:"))
    (finding,) = edge.post(f"{AT}/validate", "analyst:core", document=bad)["findings"]
    assert (finding["file"], finding["line"], finding["column"]) == ("document", 4, 3)
    assert edge.post(f"{AT}/compare", "analyst", document=bad)["findings"] == [finding]
    for path, more in (("drafts", {"base_version": 1}), ("whatif", {})):
        problem = edge.post(f"{AT}/{path}", "analyst", 422, document=bad, **more)
        assert problem["code"] == "invalid_config"
        assert problem["errors"][0]["where"].startswith("document:4 ")
    assert edge.post(f"{AT}/validate", "viewer", 403, document=bad)["code"] == "no_role"


def test_days_are_replayed_for_ones_own_accounts_alone(edge: Configs) -> None:
    document = edge.document(CORE_TIGHTER)
    found = edge.post(f"{AT}/whatif", "analyst", document=document, days=5)
    assert [one["account"] for one in found["accounts"]] == [CORE, LIVE] and found["days"] == 5
    assert found["accounts"][0]["rows"]
    own = edge.post(f"{AT}/whatif", "analyst+redact:core", document=document)
    assert own["accounts"] == [{"account": CORE, "rows": []}]
    assert [one.accounts for one in edge.asked] == [(CORE, LIVE), (CORE,)]
    refused = edge.post(f"{AT}/whatif", "analyst:core", 404, document=document, accounts=[LIVE])
    assert refused["code"] == "not_found"
    edge.post(f"{AT}/whatif", "analyst:live", 403, document=document)
    for wrong in ({"days": 0}, {"days": 251}, {"source": "../etc"}):
        assert edge.post(f"{AT}/whatif", "analyst", 422, document=document, **wrong)["code"] == "invalid"
    assert len(edge.asked) == 2


def test_one_replay_at_a_time(tmp_path: Path) -> None:
    inner: list[Any] = []

    class Nested(Configs):
        def replay(self, *args: Any) -> dict[str, Any]:
            if not inner:
                inner.append(self.post(f"{AT}/whatif", "analyst", 429, document=self.document(TIGHTER)))
            return super().replay(*args)

    edge = Nested(tmp_path)
    document = edge.document(TIGHTER)
    edge.post(f"{AT}/whatif", "analyst", document=document)
    assert inner[0]["code"] == "busy"
    edge.post(f"{AT}/whatif", "analyst", document=document)
    edge.engine.dispose()


def test_a_long_replay_is_a_job_over_a_version_that_is_kept(edge: Configs) -> None:
    edge.get(f"{AT}/current", "analyst")
    number = edge.drafted(CORE_TIGHTER)

    def start(who: str, status: int, key: str = "key-of-a-replay", **body: Any) -> Any:
        headers = {"idempotency-key": key}
        answer = edge.ask("POST", f"{AT}/{number}/whatif", who, json=body, headers=headers)
        return checked(answer, status)

    job = start("analyst", 202, days=2_000)
    assert start("analyst", 202, days=2_000) == job and edge.asked == [], "nothing is replayed in the request"
    assert (job["kind"], job["status"], job["by"]) == ("whatif", "queued", "u-analyst")
    assert job["request"] == {
        "version": number, "days": 2_000, "accounts": [CORE, LIVE], "source": "bundled", "first": None, "last": None,
    }  # fmt: skip
    part = start("analyst:core", 202, "another-key-1")
    assert part["request"]["accounts"] == [CORE]
    start("analyst:core", 404, "another-key-2", accounts=[LIVE])
    start("analyst:live", 403, "another-key-3")
    assert start("viewer", 403, "another-key-4")["code"] == "no_role"
    assert start("analyst", 400, "another-key-5", days=3, first_day="2019-01-01")["code"] == "bad_input"
    assert start("analyst", 422, "another-key-6", days=10_000)["code"] == "invalid"
    assert len(edge.jobs.listed(FIRM).jobs) == 2


def test_a_request_replays_a_short_stretch_only(edge: Configs) -> None:
    document = edge.document(TIGHTER)
    assert edge.post(f"{AT}/whatif", "analyst", 422, document=document, days=121)["code"] == "invalid"
    for wrong in ({"first_day": "2010-01-01"}, {"first_day": "2010-01-01", "last_day": "2012-01-01"}):
        refused = edge.post(f"{AT}/whatif", "analyst", 400, document=document, **wrong)
        assert "whatif replays more" in refused["detail"]
    edge.post(f"{AT}/whatif", "analyst", document=document, first_day="2010-01-01", last_day="2010-03-01")
    assert len(edge.asked) == 1


# --- making -----------------------------------------------------------------------------------------------------


def test_a_draft_names_the_version_it_is_written_on(edge: Configs) -> None:
    edge.get(f"{AT}/current", "analyst")
    document = edge.document(TIGHTER)
    for base in (0, 2):
        problem = edge.post(f"{AT}/drafts", "analyst", 409, document=document, base_version=base)
        assert problem["code"] == "conflict_version"
    assert edge.post(f"{AT}/drafts", "analyst", 422, document=document)["code"] == "invalid"
    same = edge.post(f"{AT}/drafts", "analyst", 400, document=edge.document(), base_version=1)
    assert same["code"] == "bad_input"
    edge.post(f"{AT}/drafts", "viewer", 403, document=document, base_version=1)
    assert len(edge.get(AT, "analyst")["items"]) == 1


@pytest.mark.parametrize(
    ("who", "pairs", "status"),
    [
        ("analyst:core", (CORE_TIGHTER,), 201),
        ("analyst:live", (LIVE_TIGHTER,), 201),
        ("analyst:core", (LIVE_TIGHTER,), 403),
        ("analyst:live", (CORE_TIGHTER,), 403),
        ("analyst:core", (TIGHTER,), 403),
        ("analyst:core", (("# a remark", "# another"),), 403),
        ("analyst", (("# a remark", "# another"),), 201),
        ("analyst", (TIGHTER, LIVE_LOOSER), 201),
    ],
)
def test_a_change_of_somebody_elses_account_is_refused(
    edge: Configs, who: str, pairs: tuple[tuple[str, str], ...], status: int
) -> None:
    edge.get(f"{AT}/current", "analyst")
    said = edge.post(f"{AT}/drafts", who, status, document=edge.document(*pairs), base_version=1)
    if status == 403:
        assert said["code"] == "no_role" and "live" not in said["detail"]
        told = edge.doors.told[-1]
        assert (told.permission, told.answer) == (Permission.DRAFT_CONFIG, Answer.NO_ROLE)
        assert told.target.firm_id == FIRM and told.route.endswith("/configs/drafts")
        assert len(edge.service.history(FIRM)) == 1


def test_what_tightens_is_in_force_at_once(edge: Configs) -> None:
    edge.get(f"{AT}/current", "analyst")
    number = edge.drafted(TIGHTER)
    for who in ("analyst+fresh", "viewer", "pm:core", "admin:live"):
        assert edge.post(f"{AT}/{number}/apply", who, 403)["code"] == "no_role"
    told = edge.doors.told[-1]
    assert (told.permission, told.target) == (Permission.TIGHTEN, Target(FIRM, CORE))
    done = edge.post(f"{AT}/{number}/apply", "admin")
    assert (done["status"], done["by"], done["direction"]) == ("applied", "u-admin", "tightens")
    assert 'gross: "0.8"' in edge.get(f"{AT}/current", "analyst")["document"]
    assert edge.kinds()[-2:] == ["CONFIG_CHANGED"] * 2
    assert edge.post(f"{AT}/{number}/apply", "admin", 409)["code"] == "conflict_version"
    assert edge.post(f"{AT}/99/apply", "admin", 404)["code"] == "not_found"


def test_a_dry_run_is_loosened_alone_by_who_has_just_proved_who_they_are(dry: Configs) -> None:
    dry.get(f"{AT}/current", "analyst")
    number = dry.drafted(LOOSER)
    for who, code in (("admin+fresh", "no_role"), ("pm", "step_up"), ("analyst+fresh", "no_role")):
        assert dry.post(f"{AT}/{number}/apply", who, 403)["code"] == code
    by_program = dry.ask("POST", f"{AT}/{number}/apply", token="pm+fresh")
    assert (by_program.status_code, by_program.json()["code"]) == (403, "not_by_token")
    assert dry.post(f"{AT}/{number}/apply", "pm+fresh")["status"] == "applied"


def test_what_loosens_any_other_account_needs_a_second_person(edge: Configs) -> None:
    edge.get(f"{AT}/current", "analyst")
    number = edge.drafted(LIVE_LOOSER)
    problem = edge.post(f"{AT}/{number}/apply", "pm+fresh", 403)
    assert (problem["code"], problem["needs"]) == ("needs_agreement", ["agreement"])
    assert "2 people" in problem["detail"] and "command" in problem["detail"]
    assert edge.get(f"{AT}/{number}", "analyst")["version"]["status"] == "draft"
    assert edge.get(f"{AT}/current", "analyst")["base_version"] == 1
    assert edge.kinds()[-1] == "CONFIG_REFUSED"


def test_what_was_drafted_on_another_version_is_not_applied(edge: Configs) -> None:
    edge.get(f"{AT}/current", "analyst")
    first, second = edge.drafted(TIGHTER), edge.drafted(LIVE_TIGHTER)
    edge.post(f"{AT}/{first}/apply", "pm")
    assert edge.post(f"{AT}/{second}/apply", "pm", 409)["code"] == "conflict_version"


def test_going_back_is_a_draft_like_any_other(edge: Configs) -> None:
    edge.get(f"{AT}/current", "analyst")
    edge.post(f"{AT}/{edge.drafted(TIGHTER)}/apply", "pm")
    edge.post(f"{AT}/rollback", "analyst:core", 403, to=1)
    made = edge.post(f"{AT}/rollback", "analyst", 201, to=1, reason="too tight")
    assert (made["status"], made["direction"], made["parent"]) == ("draft", "loosens", 2)
    assert made["reason"] == "rollback to version 1: too tight"
    assert edge.post(f"{AT}/{made['version']}/apply", "pm+fresh", 403)["code"] == "needs_agreement"
    assert edge.post(f"{AT}/rollback", "analyst", 404, to=9)["code"] == "not_found"


def test_the_document_says_who_may(edge: Configs) -> None:
    paths = edge.app.openapi()["paths"]
    said = {
        path.split("/configs")[1]: {m: op["x-permission"] for m, op in ops.items()}
        for path, ops in paths.items()
    }
    assert said["/{version}/apply"] == {"post": "config.tighten"} and said["/drafts"] == {
        "post": "config.draft"
    }
    assert said["/current"] == {"get": "config.read"} and len(said) == 13
