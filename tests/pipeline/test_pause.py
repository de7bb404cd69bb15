"""A run pauses where people are asked, and goes on when they have answered: in any process, once, or not at all."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.pipeline.pause_world import (
    CONFIG,
    CORE,
    DEFENSIVE,
    FIRM,
    LATER,
    PEOPLE,
    Place,
    asking_config,
    paused_at,
    place_at,
)
from typer.testing import CliRunner

from regime_trading.adapters.database import SqlActors, SqlJobs, SqlRuns
from regime_trading.bootstrap.halt_commands import halt_here
from regime_trading.bootstrap.proof import verify_record
from regime_trading.bootstrap.rl import check_dataset
from regime_trading.cli import app as cli
from regime_trading.core.approvals import MINUTE_NS, ApprovalStatus
from regime_trading.core.errors import CheckFailed, Conflict, Refused
from regime_trading.core.schemas import Mode, Wait
from regime_trading.core.state import Approval, Looked
from regime_trading.services.approvals import settle
from regime_trading.services.run_approvals import Maker, RunApprovals, request_id_of
from regime_trading.services.runs import Ask, Finished, answer

ROOT = Path(__file__).parents[2]
CLI = "from regime_trading.cli import main; main()"


@pytest.fixture(scope="module")
def paused(tmp_path_factory: pytest.TempPathFactory, _keys_and_witness: None) -> tuple[Path, str]:
    root = tmp_path_factory.mktemp("paused")
    return root, paused_at(root)


@pytest.fixture
def run_id(paused: tuple[Path, str]) -> str:
    return paused[1]


@pytest.fixture
def place(paused: tuple[Path, str], tmp_path: Path) -> Iterator[Place]:
    """A copy of the installation in which the run waits."""
    shutil.copytree(paused[0], tmp_path / "place")
    with place_at(tmp_path / "place") as found:
        yield found


def full(name: str) -> Any:
    """A case of the long form."""
    return pytest.param(name, marks=pytest.mark.full)


def approvals(finished: Finished) -> dict[str, str]:
    return {one.account: one.status for one in finished.state.approval or ()}


def ordered(place: Place, finished: Finished) -> dict[str, int]:
    """How many orders of each account the broker took, the record tells of, and the ledger holds: the same number."""
    state, found = finished.state, {}
    with place.app() as app:
        for sent in state.executions or ():
            ledger = app.deps.ledger(FIRM, Mode.DRY_RUN)
            stored = ledger.load(sent.account, state.request.as_of_ns + 1)
            told = place.sent(app, sent.account, finished)
            held = [] if stored is None else [order.client_order_id for order in stored[2]]
            assert list(sent.order_ids) == told == sorted(set(told), key=told.index), sent
            assert set(held) == set(told), sent
            found[sent.account] = len(told)
    assert verify_record(place.artifacts, None, None, ()).ok
    checked = check_dataset(place.artifacts, None)
    assert checked.ok and not checked.uncovered, checked.answer()
    return found


# --- waiting --------------------------------------------------------------------------------------------------


def test_a_run_waits_and_nothing_of_it_is_recorded_or_leaves(place: Place, run_id: str) -> None:
    finished = place.resume(run_id)
    told = answer(finished, "x")
    assert told["status"] == "waiting"
    assert [one["account"] for one in told["waiting"]] == [CORE, DEFENSIVE]
    assert {one["approval"] for one in told["accounts"]} == {"waiting"}
    assert finished.state.receipts is None and finished.state.executions is None
    with place.app() as app:
        assert app.runs.flow.status(run_id) == "waiting"
        for account in (CORE, DEFENSIVE):
            assert app.deps.ledger(FIRM, Mode.DRY_RUN).load(account, 2**62) is None
            assert app.deps.sealer.sealed(run_id, *account.split("/")) is None
    (record,) = SqlRuns(place.engine, firm_id=FIRM).waiting()
    assert [(one.account, one.request_id) for one in record.waits] == [
        (one["account"], one["request_id"]) for one in told["waiting"]
    ]


def test_people_are_shown_the_decision_and_agree_to_its_hash(place: Place, run_id: str) -> None:
    request = place.request(run_id, CORE).request
    (decision,) = (d for d in place.resume(run_id).state.decisions or () if d.account == CORE)
    assert (request.base_version, request.config_hash) == (decision.decision_id, decision.config_hash)
    assert request.code_version == decision.code_version
    for target in decision.targets:
        assert f"{target.symbol}: from 0.00% to {target.target_w:.2%} of equity." in request.effects
        assert f"-{target.symbol} 0.00%\n+{target.symbol} {target.target_w:.2%}" in request.diff
    for order in decision.orders:
        assert any(f"buy {order.qty} {order.symbol}" in line for line in request.effects)
    assert all(rule in request.effects[-1] for rule in decision.binding_rules)
    assert all(line.split(" ")[0].rstrip(":") in request.summary_md for line in request.effects)
    assert (request.required.n, [role.value for role in request.required.roles]) == (1, ["pm"])
    assert not request.by_person and request.maker_actor.startswith("u-")
    kinds = [(one["event_type"], one.get("account")) for one in place.told_of_people()]
    assert [kind for kind in kinds if kind[0] == "APPROVAL_REQUESTED"] == [
        ("APPROVAL_REQUESTED", CORE),
        ("APPROVAL_REQUESTED", DEFENSIVE),
    ]


def test_asking_again_makes_no_second_request(place: Place, run_id: str) -> None:
    before = [place.request(run_id, account) for account in (CORE, DEFENSIVE)]
    assert place.run().waits == place.resume(run_id).waits
    assert [place.request(run_id, account) for account in (CORE, DEFENSIVE)] == before
    assert sum(one["event_type"] == "APPROVAL_REQUESTED" for one in place.told_of_people()) == 2


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.pipeline.pause_world import ASK, Place, asking_config, place_at
import regime_trading.adapters.database as database
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.agents.graph import Pipeline

def dying(kind, name, before, nth=1):
    real, calls = getattr(kind, name), []
    def call(self, *args, **kwargs):
        calls.append(name)
        if before and len(calls) == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = real(self, *args, **kwargs)
        if len(calls) == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer
    setattr(kind, name, call)

what, root, run_id = sys.argv[2], Path(sys.argv[3]), sys.argv[4]
match what:
    case "before asking":
        dying(database.SqlRuns, "pause", True)
    case "between requests":
        dying(database.SqlApprovals, "add", False)
    case "before going on":
        dying(Pipeline, "resume", True, 2)  # the first only looks where the run is
    case "half recorded":
        dying(database.SqlLedger, "commit_decision", False)
    case "recorded":
        dying(database.SqlLedger, "commit_decision", False, 2)
    case "sent":
        dying(database.SqlAuditLog, "append", False)
with place_at(root) as place:
    place.resume(run_id) if run_id else place.run()
print("survived")
"""


def killed(what: str, root: Path, run_id: str = "") -> None:
    command = [sys.executable, "-c", CHILD, str(ROOT), what, str(root), run_id]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, (what, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "kills",
    [("between requests",), pytest.param(("before asking", "between requests"), marks=pytest.mark.full)],
    ids=["one", "two"],
)
def test_a_process_killed_while_it_asks_asks_once(tmp_path: Path, kills: tuple[str, ...]) -> None:
    asking_config(tmp_path / "config")
    for what in kills:
        killed(what, tmp_path)
    with place_at(tmp_path) as place:
        finished = place.run()
        assert len(finished.waits) == 2
        assert sum(one["event_type"] == "APPROVAL_REQUESTED" for one in place.told_of_people()) == 2


# --- going on -------------------------------------------------------------------------------------------------


def places(place: Place) -> list[str]:
    return ["--artifacts", str(place.artifacts), "--config", str(place.config)]


def by_command_line(place: Place, run_id: str) -> tuple[int, dict[str, Any]]:
    """``regime run --resume`` in a process of its own."""
    command = [sys.executable, "-c", CLI, "run", "--resume", run_id, "--json", *places(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    return done.returncode, json.loads(done.stdout)


def test_another_process_goes_on_where_all_have_answered(place: Place, run_id: str) -> None:
    place.agree(run_id, CORE)
    told = CliRunner().invoke(cli, ["run", "--resume", run_id, *places(place)])
    assert told.exit_code == 4 and f"{DEFENSIVE} waits for people: request rq-" in told.stdout
    assert CORE + " waits" not in told.stdout and f"--resume {run_id}" in told.stdout
    place.agree(run_id, DEFENSIVE, "mary")
    code, told = by_command_line(place, run_id)
    assert (code, told["status"], told["waiting"]) == (0, "done", []), told
    assert {one["approval"] for one in told["accounts"]} == {"granted"}
    again = place.resume(run_id)
    assert not again.fresh and all(ordered(place, again).values())
    assert [one.by for one in again.state.approval or ()] == [("u-ann",), ("u-mary",)]
    page = (place.artifacts / "runs" / run_id / "report.md").read_text()
    assert "u-ann" in page and "granted" in page
    (record,) = SqlRuns(place.engine, firm_id=FIRM).all()
    assert record.status == "done"


@pytest.mark.parametrize(
    "what", ["half recorded", *(full(one) for one in ("before going on", "recorded", "sent"))]
)
def test_a_process_killed_while_it_goes_on_executes_once(place: Place, run_id: str, what: str) -> None:
    place.agree(run_id, CORE)
    place.agree(run_id, DEFENSIVE)
    killed(what, place.root, run_id)
    finished = place.resume(run_id)
    assert approvals(finished) == {CORE: "granted", DEFENSIVE: "granted"}
    assert all(ordered(place, finished).values())


def test_two_answers_and_a_crash_between_make_one_job(place: Place, run_id: str) -> None:
    jobs = SqlJobs(place.engine, firm_id=FIRM)
    place.agree(run_id, CORE)
    place.resumer().sweep(FIRM)
    assert jobs.page() == ()  # one still waits
    dead = replace(place.desk(), ended=lambda _: None)  # a process that dies once the answer is stored
    place.agree(run_id, DEFENSIVE, desk=dead)
    assert jobs.page() == ()
    for _ in range(3):
        place.resumer().sweep(FIRM)
    (job,) = jobs.page()
    assert (job.kind.value, job.run_id, job.by) == ("run", run_id, "service:approvals")
    place.resume(run_id)
    place.resumer().sweep(FIRM)
    assert len(jobs.page()) == 1


def test_the_last_answer_queues_the_run_at_once(place: Place, run_id: str) -> None:
    place.agree(run_id, CORE)
    place.refuse(run_id, DEFENSIVE)
    (job,) = SqlJobs(place.engine, firm_id=FIRM).page()
    assert json.loads(job.request)["run_id"] == run_id
    assert place.told == []


def test_a_request_that_was_left_while_it_was_carried_out_is_ended_by_who_finds_it(
    place: Place, run_id: str
) -> None:
    from regime_trading.services import approvals as service

    with pytest.MonkeyPatch.context() as patch:

        def die(*_: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(service, "_ended", die)
        with pytest.raises(KeyboardInterrupt):
            place.agree(run_id, CORE)
    assert place.request(run_id, CORE).status is ApprovalStatus.EXECUTING
    settle(place.desk(), FIRM)
    assert place.request(run_id, CORE).status is ApprovalStatus.EXECUTING  # whoever is at it may still be
    place.watch.ahead_ns += 2 * MINUTE_NS
    settle(place.desk(), FIRM)
    assert place.request(run_id, CORE).status is ApprovalStatus.EXECUTED


def test_one_process_at_a_time_goes_on(place: Place, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regime_trading.bootstrap.app.PATIENCE_S", 0.2)
    with place.app() as app, app.runs.alone(run_id) as mine:
        assert mine
        with pytest.raises(CheckFailed, match="another process"):
            place.resume(run_id)


# --- not going on ---------------------------------------------------------------------------------------------


def tighter(place: Place) -> None:
    traders = place.config / "traders.yaml"
    traders.write_text(traders.read_text().replace('single_name: "0.15"', 'single_name: "0.14"'))


def other_settings(place: Place) -> None:
    settings = place.config / "settings.yaml"
    text = settings.read_text()
    assert "momentum_lookback_bars: 126" in text
    settings.write_text(text.replace("momentum_lookback_bars: 126", "momentum_lookback_bars: 125"))


def halted(place: Place) -> None:
    halt_here(place.artifacts, place.config, FIRM, CORE, "K1", "the tape looks wrong")


def traded(place: Place) -> None:
    """Another run, which asks nobody, changes what the account holds."""
    finished = place.run(replace(LATER, accounts=(CORE,)), CONFIG)
    assert finished.state.executions is not None and finished.state.executions[0].order_ids


DRIFTS = {
    "config": (tighter, "configuration"),
    "settings": (other_settings, "settings"),
    "halt": (halted, "halts"),
    "position": (traded, "positions or orders"),
}


@pytest.mark.parametrize("name", ["config", "halt", full("settings"), full("position")])
def test_what_has_changed_before_people_agree_voids_the_request(place: Place, run_id: str, name: str) -> None:
    change, named = DRIFTS[name]
    change(place)
    with pytest.raises(Conflict, match=named):
        place.agree(run_id, CORE)
    request = place.request(run_id, CORE)
    assert request.status is ApprovalStatus.VOID and named in request.why
    assert place.told_of_people()[-1]["event_type"] == "APPROVAL_VOID"
    place.refuse(run_id, DEFENSIVE)
    assert len(SqlJobs(place.engine, firm_id=FIRM).page()) == 1  # the run goes on, and ends


@pytest.mark.parametrize("name", ["position", "code", *(full(one) for one in ("config", "settings", "halt"))])
def test_what_has_changed_after_people_agreed_voids_the_decision(
    place: Place, run_id: str, name: str
) -> None:
    """Of every account that it concerns, and of no other: an account's halt or trade is its own."""
    place.agree(run_id, CORE)
    place.agree(run_id, DEFENSIVE)
    changes: dict[str, Any] = {}
    if name == "code":
        changes = {"code_version": "0.1.0+other"}
    else:
        DRIFTS[name][0](place)
    finished = place.resume(run_id, **changes)
    own = name in ("halt", "position")
    assert approvals(finished) == {CORE: "void", DEFENSIVE: "granted" if own else "void"}
    (why,) = (one.why for one in finished.state.approval or () if one.account == CORE)
    assert ("the program" if name == "code" else DRIFTS[name][1]) in why
    counts = ordered(place, finished)
    assert counts[CORE] == 0 and (counts[DEFENSIVE] > 0) == own
    page = (place.artifacts / "runs" / run_id / "report.md").read_text()
    assert "void" in page and why in page
    again = place.resume(run_id, **changes)
    assert (again.state, again.fresh) == (finished.state, False)


@pytest.mark.full
def test_later_prices_void_the_request(tmp_path: Path) -> None:
    asking_config(tmp_path / "config")
    prices = tmp_path / "prices.csv"
    days = [one for n in range(418) if (one := dt.date(2019, 1, 2) + dt.timedelta(n)).weekday() < 5]
    moves = np.random.default_rng(5).normal(0.0004, 0.009, (len(days), 2))
    lines = [
        f"{day}T21:00:00Z,{ko:.4f},{pep:.4f}"
        for day, (ko, pep) in zip(days, 50 * np.exp(np.cumsum(moves, axis=0)), strict=True)
    ]
    prices.write_text("\n".join(["ts_event,KO,PEP", *lines[:-1]]) + "\n")
    with place_at(tmp_path) as place:
        waiting = place.run(Ask(source=str(prices), symbols=("KO", "PEP"), accounts=(CORE,)))
        run_id = waiting.state.request.run_id
        assert waiting.waits
        prices.write_text(prices.read_text() + lines[-1] + "\n")
        with pytest.raises(Conflict, match="prices"):
            place.agree(run_id, CORE)
        assert approvals(place.resume(run_id)) == {CORE: "void"}


def test_a_refusal_and_an_expiry_end_it_by_whom_and_when(place: Place, run_id: str) -> None:
    place.refuse(run_id, CORE, "mary")
    assert place.resume(run_id).waits  # the other still waits
    place.watch.ahead_ns += 31 * MINUTE_NS
    finished = place.resume(run_id)  # no server: whoever looks ends what is over
    assert approvals(finished) == {CORE: "refused", DEFENSIVE: "expired"}
    refused, expired = finished.state.approval or ()
    assert (refused.by, refused.why) == (("u-mary",), "it is what the test does")
    assert expired.at_ns == place.request(run_id, DEFENSIVE).request.expires_ns
    assert ordered(place, finished) == {CORE: 0, DEFENSIVE: 0}
    page = (place.artifacts / "runs" / run_id / "report.md").read_text()
    assert "refused by u-mary at 20" in page and "expired at 20" in page
    reasons = {one.account: one.reason for one in finished.state.executions or ()}
    assert reasons == {CORE: "approval refused", DEFENSIVE: "approval expired"}
    kinds = [one["event_type"] for one in place.told_of_people()]
    assert {"APPROVAL_REFUSED", "APPROVAL_VOID"} <= set(kinds)
    with (
        place.app() as app
    ):  # the decisions are recorded, so that what latched stays latched; their orders are not
        for account in (CORE, DEFENSIVE):
            stored = app.deps.ledger(FIRM, Mode.DRY_RUN).load(account, finished.state.request.as_of_ns + 1)
            assert stored is not None and stored[2] == ()
    later = place.run(LATER, CONFIG)
    assert all(not target.current_qty for made in later.state.decisions or () for target in made.targets)


def test_housekeeping_lets_requests_expire_and_the_run_go_on(place: Place, run_id: str) -> None:
    place.watch.ahead_ns += 31 * MINUTE_NS
    settle(place.desk(), FIRM)
    assert [place.request(run_id, account).status.value for account in (CORE, DEFENSIVE)] == ["expired"] * 2
    assert len(SqlJobs(place.engine, firm_id=FIRM).page()) == 1


@pytest.mark.full
def test_a_refused_account_whose_configuration_changed_is_held_and_stops_no_other(
    place: Place, run_id: str
) -> None:
    place.refuse(run_id, CORE)
    place.refuse(run_id, DEFENSIVE)
    tighter(place)
    finished = place.resume(run_id)
    assert approvals(finished) == {CORE: "refused", DEFENSIVE: "refused"}
    assert [one.event_id for one in finished.state.receipts or ()] == ["", ""]
    assert ordered(place, finished) == {CORE: 0, DEFENSIVE: 0}


# --- who ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["joe", "bob"])
def test_only_a_pm_answers(place: Place, run_id: str, name: str) -> None:
    with pytest.raises(Refused, match="role"):
        place.agree(run_id, CORE, name)
    assert place.request(run_id, CORE).votes == ()


MAKERS = {
    "mary": Maker("mary", "job", "u-mary"),
    "bob": Maker("bob", "job", "u-bob"),
    "scheduler": Maker("service:scheduler", "service:scheduler", "service:scheduler"),
    "operator": Maker("local:u-op", "terminal", "u-op"),
}


def asked_by(place: Place, run_id: str, name: str) -> tuple[str, Callable[[str], dict[str, Looked]]]:
    """A request as if another run of this decision had been asked for by somebody; with what a look at it finds."""
    looked = place.look(run_id)
    asking = RunApprovals(place.desk(), lambda _: MAKERS[name])
    other = f"{run_id[:20]}-{name}"
    assert isinstance(asking.answer(other, looked[CORE]), Wait)
    return other, lambda _: looked


@pytest.mark.parametrize("name", MAKERS)
def test_whoever_asked_a_pm_who_did_not_agrees(place: Place, run_id: str, name: str) -> None:
    """Also to a run that an Admin, who originates no basket, or a schedule asked for."""
    other, look = asked_by(place, run_id, name)
    request = place.request(other, CORE).request
    assert (request.by_person, request.required.n) == (name in PEOPLE, 1)
    asked = place.told_of_people()[-1]
    kind = "service" if name == "scheduler" else "user"
    assert (asked["event_type"], asked["actor"]["type"]) == ("APPROVAL_REQUESTED", kind)
    if name in ("mary", "bob"):
        with pytest.raises(Refused):
            place.agree(other, CORE, name, place.desk(look=look))
    after, outcome = place.agree(other, CORE, desk=place.desk(look=look))
    assert (after.status, outcome.data["run_id"]) == (ApprovalStatus.EXECUTED, other)


@pytest.mark.parametrize(("name", "gone"), [("mary", "mary"), ("mary", "ann"), ("scheduler", "ann")])
def test_who_may_no_longer_do_it_voids_it(place: Place, run_id: str, name: str, gone: str) -> None:
    other, look = asked_by(place, run_id, name)
    people = {one: grants for one, grants in PEOPLE.items() if one != gone}
    with pytest.raises(Conflict, match=r"no longer|not there"):
        place.agree(other, CORE, desk=place.desk(people, look))
    assert place.request(other, CORE).status is ApprovalStatus.VOID


def test_who_asks_is_who_asked_for_the_run(place: Place) -> None:
    mary = SqlActors(place.engine, firm_id=FIRM).pseudonym("user:mary", 1, name="Mary")
    for by, user_id in ((mary, "mary"), ("service:scheduler", "service:scheduler"), ("u-nobody", "u-nobody")):
        place.by = by
        with place.app() as app:
            maker = app.runs.approvals.maker(FIRM)
        assert (maker.user_id, maker.actor) == (user_id, by)
    place.by = ""
    with place.app() as app:
        assert app.runs.approvals.maker(FIRM).user_id.startswith("local:u-")


def test_own_weights_and_own_symbols_go_no_easier_way(place: Place, run_id: str) -> None:
    """The fixture's run is over symbols of its own: it waits although none of its accounts' baskets is in it."""
    assert place.resume(run_id).state.request.ad_hoc == ("KO", "PEP")


def test_the_answer_to_another_decision_counts_for_nothing(place: Place, run_id: str) -> None:
    """A run that was forgotten and is made again in another world finds the old answer, and does not take it."""
    place.agree(run_id, CORE)
    with place.app() as app:
        found = app.runs.look(run_id)[CORE]
        other = found.decision.model_copy(update={"decision_id": "f" * 64})
        heard = app.runs.approvals.answer(run_id, found.model_copy(update={"decision": other}))
    assert isinstance(heard, Approval) and heard.status == "void" and "another decision" in heard.why
    assert heard.request_id == request_id_of(run_id, CORE)
