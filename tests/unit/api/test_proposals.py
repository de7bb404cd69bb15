"""People's own weights over HTTP: who sees, changes and submits which, and what is told of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.edge_world import Edge, checked, pseudonym

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import FixedClock
from regime_trading.adapters.database import (
    SqlAuditLog,
    SqlJobs,
    SqlMessages,
    SqlProposals,
    open_database,
    sqlite_url,
)
from regime_trading.api.v1.proposals import ProposalDeps, proposals_router
from regime_trading.bootstrap.acts import make_acts
from regime_trading.core.access import Answer, Permission, Target
from regime_trading.core.jobs import Job, JobStatus, cancelled, done, failed, request_of
from regime_trading.core.proposals import Content, Prechecked
from regime_trading.services.acts import Acts
from regime_trading.services.jobs import JobService
from regime_trading.services.proposals import ProposalService

FIRM, OTHER = "north-pier", "kestrel-lane"
CORE, DEFENSIVE = f"{FIRM}/core", f"{FIRM}/defensive"
AT = f"/firms/{FIRM}/proposals"
T = 1_700_000_000 * 10**9
WEIGHTS = {"KO": "0.3", "PEP": "-0.10"}
KEYS = (f"key-of-a-test-{n:04d}" for n in itertools.count())


class Proposals(Edge):
    """The routes over two firms; nothing is decided here: what was to be pre-checked is kept."""

    def __init__(self, path: Path) -> None:
        self.engine = open_database(sqlite_url(path / "store.db"))
        made = make_acts(self.engine, LocalArtifacts(path), "1")
        acts = Acts(made.audit, made.actor, made.history, FixedClock(T), "1")
        jobs = JobService(
            lambda firm: SqlJobs(self.engine, firm_id=firm), FixedClock(T), lambda n: b"\1" * n, max_waiting=2
        )
        self.service = ProposalService(lambda firm: SqlProposals(self.engine, firm_id=firm), jobs, acts)
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        deps = ProposalDeps(self.service, lambda _: self.sources, pseudonym, self.precheck)
        accounts = {FIRM: (CORE, DEFENSIVE), OTHER: (f"{OTHER}/growth",)}
        super().__init__([proposals_router(deps)], accounts, FIRM, T)
        shares = {CORE: ("us-core",), DEFENSIVE: ("us-core", "us-defensive")}
        standings = {
            name: SimpleNamespace(
                profile=SimpleNamespace(baskets=[SimpleNamespace(name=one, share=1) for one in own])
            )
            for name, own in shares.items()
        }
        self.sources: Any = SimpleNamespace(
            standings=standings,
            readable=lambda asker: asker.among(Permission.READ, standings),
        )

    def precheck(self, content: Content, accounts: Sequence[str]) -> tuple[Prechecked, ...]:
        self.asked.append((content.content_hash, tuple(accounts)))
        return ()

    def send(self, method: str, path: str, who: str, status: int, match: Any = None, **body: Any) -> Any:
        key = body.pop("key", None) or next(KEYS)
        headers = {"idempotency-key": key} | ({"if-match": match} if match else {})
        return checked(self.ask(method, f"{AT}{path}", who, json=body, headers=headers), status)

    def draft(self, who: str = "analyst", status: int = 201, **body: Any) -> Any:
        return self.send("POST", "", who, status, **({"basket": "us-core", "weights": WEIGHTS} | body))

    def end(self, job_id: str, how: JobStatus, run_id: str = "") -> None:
        """What a worker does at the end of a job."""
        rows = SqlJobs(self.engine, firm_id=FIRM)

        def step(job: Job) -> Job:
            if how is JobStatus.CANCELLED:
                return cancelled(job, T)
            held = replace(job, status=JobStatus.RUNNING, run_id=run_id)
            return failed(held, "no prices of XYZ", T) if how is JobStatus.FAILED else done(held, {}, T)

        rows.change(job_id, step, T)

    def actions(self) -> list[tuple[str, str, str]]:
        entries = SqlAuditLog(self.engine, firm_id=FIRM).entries(f"admin/{FIRM}/_firm")
        bodies = [json.loads(one.event.body) for one in entries]
        return [(b["action"], b["actor"]["id"], b["proposal_id"]) for b in bodies if "proposal_id" in b]


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Proposals]:
    made = Proposals(tmp_path)
    yield made
    made.engine.dispose()


def tag(shown: Any) -> str:
    return f'"{shown["proposal_id"]}.{shown["version"]}"'


def test_from_a_draft_to_a_run(edge: Proposals) -> None:
    """An analyst drafts and changes, a PM submits, the run is done: each step is a row, an entry and a message."""
    made = edge.draft(note="less of the banks")
    assert (made["accounts"], made["name"], made["status"]) == ([CORE, DEFENSIVE], "us-core", "draft")
    assert made["weights"] == {"KO": "0.3", "PEP": "-0.1"} and made["mine"]
    assert (made["gross"], made["net"]) == (pytest.approx(0.4), pytest.approx(0.2))
    answer = edge.ask("GET", f"{AT}/{made['proposal_id']}", "pm")
    assert answer.headers["etag"] == tag(made) and not answer.json()["mine"]
    again = edge.ask("GET", f"{AT}/{made['proposal_id']}", "pm", headers={"if-none-match": tag(made)})
    assert (again.status_code, again.content) == (304, b"")

    body = {"basket": "us-core", "weights": {"KO": "0.25"}}
    changed = edge.send("PUT", f"/{made['proposal_id']}", "analyst", 200, match=tag(made), **body)
    assert changed["version"] == 2 and changed["content_hash"] != made["content_hash"]
    key = next(KEYS)
    place = f"/{made['proposal_id']}/submit"
    sent = edge.send("POST", place, "pm", 202, match=tag(changed), key=key)
    assert (sent["proposal"]["status"], sent["job"]["by"]) == ("submitted", "u-analyst")
    assert sent["job"]["request"]["proposal"]["hash"] == changed["content_hash"]
    assert sent["job"]["request"]["accounts"] == [CORE, DEFENSIVE]
    assert edge.send("POST", place, "pm", 202, match=tag(changed), key=key) == sent, (
        "the same key is the same run"
    )
    assert edge.send("POST", place, "pm", 409, match=tag(sent["proposal"]))["code"] == "conflict_status"
    (job,) = SqlJobs(edge.engine, firm_id=FIRM).page()
    assert job.job_id == sent["job"]["job_id"] and request_of(job)

    edge.end(job.job_id, JobStatus.DONE, "run-1")
    ended = edge.get(f"{AT}/{made['proposal_id']}", "viewer")
    assert (ended["status"], ended["run_id"], ended["version"]) == ("run", "run-1", 4)
    name = made["proposal_id"]
    assert edge.actions() == [
        ("drafted", "u-analyst", name),
        ("changed", "u-analyst", name),
        ("submitted", "u-pm", name),
        ("run", "service:proposals", name),
    ]
    told = [m for m in SqlMessages(edge.engine, firm_id=FIRM).after(0) if m.type == "proposal.update"]
    assert [(m.account, json.loads(m.body)["status"]) for m in told] == [
        (account, status)
        for status in ("draft", "draft", "submitted", "run")
        for account in (CORE, DEFENSIVE)
    ]


@pytest.mark.parametrize(
    ("how", "why"), [(JobStatus.FAILED, "no prices of XYZ"), (JobStatus.CANCELLED, "cancelled")]
)
def test_a_job_that_does_not_end_well_gives_the_draft_back(edge: Proposals, how: JobStatus, why: str) -> None:
    made = edge.draft("pm")
    sent = edge.send("POST", f"/{made['proposal_id']}/submit", "pm", 202, match=tag(made))
    edge.end(sent["job"]["job_id"], how)
    (back,) = edge.get(f"{AT}?status=draft", "pm")["items"]
    assert back["version"] == 3 and why in back["why"]
    again = edge.send("POST", f"/{made['proposal_id']}/submit", "pm", 202, match=tag(back))
    assert again["job"]["job_id"] != sent["job"]["job_id"]


def test_who_may_do_what(edge: Proposals) -> None:
    """Administrators and viewers propose nothing, analysts submit nothing, and nobody changes what is another's."""
    for who in ("viewer", "admin"):
        assert edge.draft(who, 403)["code"] == "no_role"
    made = edge.draft("analyst")
    at, match = f"/{made['proposal_id']}", tag(made)
    for who in ("viewer", "admin", "analyst"):
        assert edge.send("POST", f"{at}/submit", who, 403, match=match)["code"] == "no_role"
    body = {"basket": "us-core", "weights": WEIGHTS}
    assert edge.send("PUT", at, "pm", 403, match=match, **body)["code"] == "not_own"
    other = edge.draft("pm")
    refused = edge.send("POST", f"/{other['proposal_id']}/withdraw", "analyst", 403, match=tag(other))
    assert refused["code"] == "no_role"
    gone = edge.send("POST", f"{at}/withdraw", "pm", 200, match=match, reason="too bold")
    assert (gone["status"], gone["why"]) == ("withdrawn", "too bold")
    assert edge.send("PUT", at, "analyst", 409, match=tag(gone), **body)["code"] == "conflict_status"


def test_a_change_names_what_it_changes(edge: Proposals) -> None:
    made = edge.draft("pm")
    body = {"basket": "us-core", "weights": {"KO": "0.1"}}
    for method, end, said in (("PUT", "", body), ("POST", "/withdraw", {}), ("POST", "/submit", {})):
        at = f"/{made['proposal_id']}{end}"
        assert edge.send(method, at, "pm", 428, **said)["code"] == "if_match_missing"
        for stale in ('"pr-0.1"', f'"{made["proposal_id"]}.9"', f"W/{tag(made)}"):
            assert edge.send(method, at, "pm", 412, match=stale, **said)["code"] == "changed_meanwhile"
    assert edge.get(f"{AT}/{made['proposal_id']}", "pm")["version"] == 1


def test_one_key_is_one_draft(edge: Proposals) -> None:
    key = next(KEYS)
    assert edge.draft(key=key) == edge.draft(key=key)
    assert edge.draft(key=key, weights={"KO": "0.9"}, status=400)["code"] == "bad_input"
    assert edge.draft("pm", key=key)["proposal_id"] != edge.draft(key=key)["proposal_id"]
    missing = edge.ask("POST", AT, "pm", json={"basket": "us-core", "weights": WEIGHTS})
    assert missing.json()["code"] == "idempotency_key"
    assert len(edge.actions()) == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"weights": {}}, 422),
        ({"weights": {"KO": "3"}}, 422),
        ({"weights": {"KO": "NaN"}}, 422),
        ({"weights": {"KO": "0.3"}, "firm": OTHER}, 422),
        ({"basket": "us-growth"}, 404),
        ({"basket": None}, 400),
        ({"basket": None, "accounts": [CORE]}, 400),
        ({"accounts": [f"{OTHER}/growth"]}, 404),
        ({"accounts": [f"{FIRM}/nothing"]}, 404),
        ({"note": "ask mary@example.com"}, 400),
        ({"source": "../prices.csv"}, 422),
    ],
)
def test_what_is_no_proposal_is_refused(edge: Proposals, body: dict[str, Any], status: int) -> None:
    edge.draft("pm", status, **body)
    assert edge.get(AT, "pm")["items"] == [] and edge.actions() == []


def test_another_firms_proposals_are_not_there_and_that_is_recorded(edge: Proposals) -> None:
    made = edge.draft("pm")
    with edge.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO proposals SELECT 'kestrel-lane', 'pr-foreign', status, version, created_ns, maker,"
            " content_hash, body FROM proposals"
        )
    body = {"basket": "us-core", "weights": WEIGHTS}
    texts = set()
    for at in ("pr-foreign", "pr-none"):
        for method, end, said in (
            ("GET", "", None),
            ("PUT", "", body),
            ("POST", "/withdraw", {}),
            ("POST", "/submit", {}),
            ("POST", "/precheck", {}),
        ):
            edge.doors.told.clear()
            headers = {"if-match": tag(made), "idempotency-key": next(KEYS)}
            answer = edge.ask(method, f"{AT}/{at}{end}", "pm", json=said, headers=headers)
            assert answer.status_code == 404
            texts.add(answer.text.replace(at, "").replace(end, ""))
            (told,) = edge.doors.told
            assert (told.target, told.answer) == (Target(FIRM), Answer.UNKNOWN)
            assert (told.what, told.name) == ("proposal", at)
    assert len(texts) == 1, "what is another's and what is not there are told in the same words"
    assert edge.get(f"/firms/{OTHER}/proposals/pr-foreign", "pm", 404)["code"] == "not_found"


def test_one_sees_those_over_accounts_one_may_see(edge: Proposals) -> None:
    both, core = edge.draft("pm"), edge.draft("pm", accounts=[CORE])
    assert [one["proposal_id"] for one in edge.get(AT, "viewer:core")["items"]] == [core["proposal_id"]]
    edge.get(f"{AT}/{both['proposal_id']}", "viewer:core", 404)
    edge.draft("analyst:core", 404, accounts=[DEFENSIVE])
    own = edge.draft("analyst:core")
    assert own["accounts"] == [CORE], "followers that one may propose for"
    part = edge.send("POST", f"/{core['proposal_id']}/submit", "pm:defensive", 404, match=tag(core))
    assert part["code"] == "not_found"


def test_pages_go_on_where_they_ended(edge: Proposals) -> None:
    made = {edge.draft("pm", note=str(n))["proposal_id"] for n in range(5)}
    found, cursor = list[str](), ""
    while cursor is not None:
        page = edge.get(f"{AT}?limit=2&cursor={cursor}", "viewer")
        assert len(page["items"]) <= 2
        found += [one["proposal_id"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert len(found) == 5 and set(found) == made
    for wrong in ("x", "5", "-1.pr", "٣.pr"):
        edge.get(f"{AT}?cursor={wrong}", "viewer", 400)


def test_a_pre_check_is_of_these_weights_for_these_accounts_and_keeps_nothing(edge: Proposals) -> None:
    made = edge.draft("pm", accounts=[CORE])
    told = edge.send("POST", f"/{made['proposal_id']}/precheck", "analyst", 200)
    assert told["content_hash"] == made["content_hash"]
    edge.send(
        "POST", "/precheck", "analyst:core", 200, basket="us-core", weights={"KO": "0.3", "PEP": "-0.1"}
    )
    assert edge.asked == [(made["content_hash"], (CORE,))] * 2
    for who in ("viewer", "admin"):
        edge.send("POST", "/precheck", who, 403, basket="us-core", weights=WEIGHTS)
        edge.send("POST", f"/{made['proposal_id']}/precheck", who, 403)
    assert len(edge.actions()) == 1


def test_whoever_has_too_much_waiting_submits_no_more(edge: Proposals) -> None:
    made = [edge.draft("pm", note=str(n)) for n in range(3)]
    for one in made[:2]:
        edge.send("POST", f"/{one['proposal_id']}/submit", "pm", 202, match=tag(one))
    refused = edge.send("POST", f"/{made[2]['proposal_id']}/submit", "pm", 400, match=tag(made[2]))
    assert "jobs waiting" in refused["detail"]
    left = edge.get(f"{AT}/{made[2]['proposal_id']}", "pm")
    assert (left["status"], left["job_id"]) == ("draft", ""), "nothing of it was done"
