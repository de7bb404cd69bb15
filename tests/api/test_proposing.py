"""A draft on its way into force: what tightens goes at once, what loosens is asked of somebody else."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from tests.api.installation import Browser, Installation, installed

from regime_trading.api.limits import Limiter
from regime_trading.bootstrap import routes, serve
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.services.config_changes import WhatIf

CORE = "north-pier/core"
FIRM = "/firms/north-pier"
CONFIGS = f"{FIRM}/configs"
KEYS = (f"key-of-a-proposal-{n:04d}" for n in itertools.count())
ASKED = {"reason": "a calmer market", "phrase": CORE, "days": 0}


def shadowed(text: str) -> str:
    """The configuration with account ``core`` of the firm in shadow."""
    before, after = text.split("- id: core", 1)
    return f"{before}- id: core{after.replace('mode: dry_run', 'mode: shadow', 1)}"


def replayed(old: Sequence[TraderProfile], new: Sequence[TraderProfile], asked: WhatIf) -> dict[str, Any]:
    """A replay that decides nothing: what it really finds is the business of ``services.config_changes``."""
    assert {p.config_hash for p in old} != {p.config_hash for p in new}
    both = {"return": {"old": 0.01, "new": 0.0125}, "max_drawdown": {"old": -0.02, "new": None}}
    rows = [{"account": name, "decisions": asked.days, "differ": 2} | both for name in asked.accounts or ()]
    return {"first": "2022-01-03", "last": "2022-01-07", "days": asked.days, "accounts": rows}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, _keys_and_witness: None) -> Iterator[Installation]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Limiter, "take", lambda *_: {})
        patch.setattr(serve, "MINUTE_S", 0.5)
        patch.setattr(routes, "config_replay", lambda *_: replayed)
        with installed(tmp_path_factory.mktemp("propose"), edit=shadowed) as found:
            yield found


@pytest.fixture(scope="module")
def people(place: Installation) -> dict[str, Browser]:
    return {
        name: place.invite("north-pier", f"{name}@north-pier.example", (role, None))
        for name, role in (("pm", "pm"), ("other", "pm"), ("analyst", "analyst"))
    }


def drafted(who: Browser, limit: str) -> str:
    """Address of a draft in which ``core`` alone has another limit."""
    seen = who.get(f"{CONFIGS}/current")
    before, after = seen["document"].split("- id: core", 1)
    start, end = after.split("display_name", 1)
    indent = start.rsplit("\n", 1)[1]
    own = f'\n{indent}risk: {{single_name: "{limit}"}}\n{indent}'
    end = "\n".join(line for line in end.split("\n") if "risk: {single_name" not in line)
    document = f"{before}- id: core{own}display_name{end}"
    body = {"document": document, "base_version": seen["base_version"], "reason": "a test of proposals"}
    return f"{CONFIGS}/{who.post(f'{CONFIGS}/drafts', body, 201)['version']}"


def tight(who: Browser) -> None:
    """The limit of ``core`` is such that any other loosens, whichever test was before."""
    own = who.get(f"{CONFIGS}/current")["document"].split("- id: core", 1)[1].split("- id: ", 1)[0]
    if 'single_name: "0.05"' not in own:
        assert who.post(f"{drafted(who, '0.05')}/propose", {"reason": "calmer"})["outcome"] == "executed"


def status(who: Browser, version: str) -> str:
    return str(who.get(version)["version"]["status"])


def ended(who: Browser, version: str) -> str:
    """Status of a version once it is proposed no longer."""
    for _ in range(100):
        if (found := status(who, version)) != "proposed":
            return found
        time.sleep(0.2)
    return "proposed"


def test_what_tightens_goes_at_once(people: dict[str, Browser]) -> None:
    version = drafted(people["analyst"], "0.05")
    refused = people["analyst"].ask("POST", f"{version}/propose", {"reason": "mine"})
    assert (refused.status_code, refused.json()["code"]) == (403, "no_role")
    done = people["pm"].post(f"{version}/propose", {"reason": "calmer"})
    assert (done["outcome"], done["request_id"]) == ("executed", "")
    assert status(people["pm"], version) == "applied"
    again = people["pm"].ask("POST", f"{version}/propose", {"reason": "again"})
    assert (again.status_code, again.json()["code"]) == (409, "conflict_blocked")


def test_what_loosens_is_asked_of_another_person(people: dict[str, Browser]) -> None:
    """The request holds the difference and what would have been decided otherwise; to agree is to apply it."""
    pm, other = people["pm"], people["other"]
    tight(pm)
    version = drafted(pm, "0.06")
    for wrong, code in (({"phrase": ""}, "bad_input"), ({"reason": "short"}, "bad_input")):
        answer = pm.ask("POST", f"{version}/propose", ASKED | wrong)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
    tag = pm.ask("GET", f"{CONFIGS}/current").headers["etag"]
    stale = pm.ask("POST", f"{version}/propose", ASKED, if_match='"0-0"')
    assert (stale.status_code, stale.headers["etag"]) == (412, tag)
    key = next(KEYS)
    asked = [
        pm.post(f"{version}/propose", ASKED | {"days": 5}, if_match=tag, idempotency_key=key)
        for _ in range(2)
    ]
    assert asked[0] == asked[1] and asked[0]["outcome"] == "requested"
    assert status(pm, version) == "proposed"
    at = f"{FIRM}/approvals/{asked[0]['request_id']}"
    request = other.get(at)
    assert [one["request_id"] for one in other.get(f"{FIRM}/approvals")] == [asked[0]["request_id"]]
    assert (request["kind"], request["account"], request["required"]) == ("config", CORE, 1)
    assert 'single_name: "0.06"' in request["diff"] and request["command"].startswith("/config apply")
    assert "5 decision days were replayed" in request["summary_md"]
    moved = "2 of 5 decisions differ; return 1.00 % to 1.25 %, deepest drawdown -2.00 % to not known"
    assert f"{CORE}: {moved}" in request["summary_md"]
    agreed = {"phrase": CORE}
    own = pm.ask("POST", f"{at}/approve", agreed | {"reason": "it is mine"})
    assert own.status_code == 403
    assert "somebody else must" in pm.get(at)["why_not"] and request["why_not"] == ""
    assert [one["mark"] for one in request["now"]["effects"]] == ["same"] * len(request["effects"])
    assert (request["now"]["diff"], request["now"]["changed"]) == (request["diff"], "")
    first = other.ask("GET", at).headers["etag"]
    missing = other.client.post(
        f"/api/v1{at}/approve", json=agreed, headers={"x-regime": "1", "origin": other.home}
    )
    assert (missing.status_code, missing.json()["code"]) == (428, "if_match_missing")
    stale = other.ask("POST", f"{at}/approve", agreed, if_match='"7"')
    assert (stale.status_code, stale.headers["etag"]) == (412, first)
    for phrase in ("", CORE.upper(), "north-pier", f" {CORE}"):
        untyped = other.ask("POST", f"{at}/approve", {"phrase": phrase}, if_match=first)
        assert untyped.status_code == 400 and f"the phrase {CORE}" in untyped.text
    key = next(KEYS)
    told = [pm.ask("POST", f"{at}/comments", {"text": "see the log"}, idempotency_key=key) for _ in range(2)]
    assert [one.status_code for one in told] == [201, 201] and told[0].json() == told[1].json()
    assert [one.headers["etag"] for one in told] == [first, first], "whoever has it open still answers it"
    (comment,) = other.get(at)["comments"]
    assert (comment["actor"], comment["text"]) == (request["maker"], "see the log")
    assert len(other.get(f"{FIRM}/approvals")[0]["comments"]) == 1
    for text in ("", "x" * 1_001):
        assert pm.ask("POST", f"{at}/comments", {"text": text}).status_code == 422
    key = next(KEYS)
    said = [other.ask("POST", f"{at}/approve", agreed, if_match=first, idempotency_key=key) for _ in range(2)]
    assert [one.status_code for one in said] == [200, 200], [one.text for one in said]
    assert said[0].json() == said[1].json()
    assert said[0].json()["approval"]["status"] == "executed" and said[0].headers["etag"] != first
    assert other.get(at)["now"] is None
    assert status(pm, version) == "applied"
    assert pm.get(f"{CONFIGS}/current")["version"]["request_id"] == asked[0]["request_id"]


def test_a_version_ends_as_its_request_does(people: dict[str, Browser]) -> None:
    pm, other = people["pm"], people["other"]
    tight(pm)
    version = drafted(pm, "0.08")
    asked = pm.post(f"{version}/propose", ASKED)["request_id"]
    refused: Any = other.post(f"{FIRM}/approvals/{asked}/reject", {"reason": "not in this market"})
    assert refused["status"] == "refused" and ended(pm, version) == "rejected"
    version = drafted(pm, "0.08")
    asked = pm.post(f"{version}/propose", ASKED)["request_id"]
    pm.post(f"{FIRM}/accounts/core/halt", {"reason": "a halt voids what loosens"}, 201)
    assert other.get(f"{FIRM}/approvals/{asked}")["status"] == "void" and ended(pm, version) == "void"
