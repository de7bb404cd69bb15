"""A run that waits for people over two accounts, and the people who answer."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database import (
    Engine,
    SqlApprovals,
    SqlAuditLog,
    SqlJobs,
    SqlPreviews,
    SqlRuns,
    open_database,
)
from regime_trading.bootstrap import database_url
from regime_trading.bootstrap.acts import make_acts
from regime_trading.bootstrap.app import App, open_app
from regime_trading.bootstrap.version import code_version
from regime_trading.core.access import Grant, Principal, Role
from regime_trading.core.approvals import Approval
from regime_trading.core.schemas import Mode
from regime_trading.core.state import Looked
from regime_trading.services.approvals import approve, reject
from regime_trading.services.desk import Desk
from regime_trading.services.executors.releases import Releasing
from regime_trading.services.jobs import JobService
from regime_trading.services.run_approvals import Resumer, RunApprovals, request_id_of
from regime_trading.services.runs import Ask, Finished, parse_time

CONFIG = Path(__file__).parents[2] / "config"
FIRM = "north-pier"
CORE, DEFENSIVE = f"{FIRM}/core", f"{FIRM}/defensive"
ASK = Ask(symbols=("KO", "PEP"), accounts=(CORE, DEFENSIVE), as_of_ns=parse_time("1991-03-28", "test"))
LATER = replace(ASK, as_of_ns=parse_time("1991-04-04", "test"))
REASON = "it is what the test does"
PEOPLE = {
    "mary": (Grant(FIRM, Role.PM),),
    "ann": (Grant(FIRM, Role.PM),),
    "joe": (Grant(FIRM, Role.ANALYST),),
    "bob": (Grant(FIRM, Role.ADMIN),),
}


def asking_config(folder: Path) -> Path:
    """The shipped configuration, but that every basket asks for people."""
    shutil.copytree(CONFIG, folder)
    settings = folder / "settings.yaml"
    settings.write_text(settings.read_text().replace("approval: none", "approval: manual"))
    return folder


@dataclass
class Watch:
    """The clock of this machine, and some time later."""

    ahead_ns: int = 0

    def now_ns(self) -> int:
        return SystemClock().now_ns() + self.ahead_ns


@dataclass
class Place:
    """An installation with people; every look at it opens it anew."""

    root: Path
    engine: Engine
    watch: Watch
    by: str = ""
    told: list[str] = field(default_factory=list)

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def config(self) -> Path:
        return self.root / "config"

    @contextmanager
    def app(self, config: Path | None = None, **changes: Any) -> Iterator[App]:
        """Opened as the command line does, by the clock of the place."""
        with open_app(
            artifacts=self.artifacts, config=config or self.config, keep_valid=True, by=self.by
        ) as app:
            acts = replace(app.runs.approvals.requests.acts, clock=self.watch)
            asking = RunApprovals(replace(app.runs.approvals.requests, acts=acts), app.runs.approvals.maker)
            yield replace(app, runs=replace(app.runs, approvals=asking, **changes))

    def run(self, ask: Ask = ASK, config: Path | None = None) -> Finished:
        with self.app(config) as app:
            return app.runs.run(ask)

    def resume(self, run_id: str, **changes: Any) -> Finished:
        with self.app(**changes) as app:
            return app.runs.resume(run_id)

    # --- people ---

    def desk(
        self,
        people: dict[str, tuple[Grant, ...]] | None = None,
        look: Callable[[str], Any] | None = None,
    ) -> Desk:
        known, counter = PEOPLE if people is None else people, itertools.count(1)
        acts = make_acts(self.engine, LocalArtifacts(self.artifacts), code_version())
        return Desk(
            acts=replace(acts, clock=self.watch),
            approvals=lambda firm: SqlApprovals(self.engine, firm_id=firm),
            ended=self.resumer().ended,
            previews=lambda firm: SqlPreviews(self.engine, firm_id=firm),
            executors={("release", "run"): Releasing(SimpleNamespace(look=look or self.look))},  # type: ignore[arg-type]
            people=lambda user: Principal(user, known[user]) if user in known else None,
            pseudonym=lambda firm, user: f"u-{user}",
            mode=lambda account: Mode.DRY_RUN,
            entropy=lambda n: next(counter).to_bytes(n, "big"),
        )

    def look(self, run_id: str) -> dict[str, Looked]:
        """Every account of a run decided again, with everything read anew."""
        with self.app() as app:
            return app.runs.look(run_id)

    def resumer(self) -> Resumer:
        rows = JobService(lambda firm: SqlJobs(self.engine, firm_id=firm), self.watch, lambda n: b"1" * n)
        return Resumer(
            approvals=lambda firm: SqlApprovals(self.engine, firm_id=firm),
            runs=lambda firm: SqlRuns(self.engine, firm_id=firm),
            jobs=rows,
            tell=self.told.append,
        )

    def person(self, name: str) -> Principal:
        return Principal(
            name, PEOPLE[name], second_factor=True, session_id=f"s-{name}", stepped_up_ns=self.watch.now_ns()
        )

    def agree(self, run_id: str, account: str, name: str = "ann", desk: Desk | None = None) -> Any:
        return approve(desk or self.desk(), self.person(name), FIRM, request_id_of(run_id, account))

    def refuse(self, run_id: str, account: str, name: str = "ann") -> Approval:
        return reject(self.desk(), self.person(name), FIRM, request_id_of(run_id, account), REASON)

    def request(self, run_id: str, account: str) -> Approval:
        found = SqlApprovals(self.engine, firm_id=FIRM).get(request_id_of(run_id, account))
        assert found is not None
        return found

    # --- what is there ---

    def told_of_people(self) -> list[dict[str, Any]]:
        """The firm's own chain."""
        entries = SqlAuditLog(self.engine, firm_id=FIRM).entries(f"admin/{FIRM}/_firm")
        return [orjson.loads(entry.event.body) for entry in entries]

    def sent(self, app: App, account: str, finished: Finished) -> list[str]:
        """Orders of an account that the record says were sent, in the sealed files."""
        sealed = app.deps.sealer.entries(finished.state.request.run_id, *account.split("/"))
        bodies = [orjson.loads(entry.event.body) for entry in sealed]
        return [body["client_order_id"] for body in bodies if body["event_type"] == "ORDER_SENT"]


@contextmanager
def place_at(root: Path, by: str = "") -> Iterator[Place]:
    """An installation in a folder."""
    engine = open_database(database_url(root / "artifacts"))
    try:
        yield Place(root, engine, Watch(), by)
    finally:
        engine.dispose()


def paused_at(root: Path) -> str:
    """Make an installation with a run that waits; its id."""
    asking_config(root / "config")
    with place_at(root) as place:
        return place.run().state.request.run_id
