"""What the process of a job runs: the same services as the command line, for one firm, and what it says while it does.

Started by a worker with ``job``, ``artifacts``, ``config`` and ``lease_s`` (``adapters.job_channel``). It says
``{stage, status, progress, detail}`` and ``{run_id}``, and at the end ``{result, record}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from regime_trading.adapters.job_channel import Tell, serve
from regime_trading.bootstrap.job_kinds import (
    backtest_request,
    export_job,
    own_accounts,
    own_source,
    report_job,
    result_of,
    survey_job,
    what_if_job,
)
from regime_trading.bootstrap.job_report import Stages, loop
from regime_trading.core.canonical import content_hash
from regime_trading.core.errors import BadInput
from regime_trading.core.jobs import (
    RESUMER,
    BacktestJob,
    ExportJob,
    Job,
    JobKind,
    RegimeJob,
    ReportJob,
    RunJob,
    VerifyJob,
    WhatIfJob,
    request_of,
)


def main() -> NoReturn:
    """Do one job and end."""
    serve(_act)


def _act(ask: dict[str, Any], tell: Tell) -> Mapping[str, Any]:
    job = Job(**{**ask["job"], "kind": JobKind(ask["job"]["kind"])})
    return carry_out(job, Path(ask["artifacts"]), Path(ask["config"]), tell)


def carry_out(job: Job, artifacts: Path, config: Path, tell: Tell) -> dict[str, Any]:
    """``result``, and of a run ``record`` with the hash of its inputs and its time.

    Raises
    ------
    RegimeError
        As the command would.
    """
    asked = request_of(job)
    if isinstance(asked, RunJob):
        return _run(job, asked, artifacts, config, tell)
    if isinstance(asked, BacktestJob):
        return _backtest(job, asked, artifacts, config, tell)
    if isinstance(asked, RegimeJob):
        return survey_job(job, asked, artifacts, config, tell)
    if isinstance(asked, ReportJob):
        return report_job(job, asked, artifacts, config, tell)
    if isinstance(asked, WhatIfJob):
        return what_if_job(job, asked, artifacts, config, tell)
    if isinstance(asked, ExportJob):
        return export_job(job, asked, artifacts, tell)
    assert isinstance(asked, VerifyJob)
    return _verify(job, artifacts, config)


def _run(job: Job, asked: RunJob, artifacts: Path, config: Path, tell: Tell) -> dict[str, Any]:
    from regime_trading.agents.graph import PIPELINE
    from regime_trading.bootstrap.app import App, open_app
    from regime_trading.services.runs import Ask, Finished, answer, parse_time

    def begin(app: App) -> Finished:
        if asked.run_id is not None:
            _require_own_run(job, asked, app)
            tell({"run_id": asked.run_id})
            return app.runs.resume(asked.run_id)
        if job.run_id and app.runs.can_resume(job.run_id):
            return app.runs.resume(job.run_id)
        until = None if asked.as_of is None else parse_time(asked.as_of, "as_of")
        own = own_accounts(job, asked.accounts, app)
        source, weights = own_source(asked.source, app), asked.proposal
        proposal = None if weights is None else weights.proposal(app.runs.last_bar(source, until))
        request = app.runs.request(
            Ask(source, asked.basket, asked.symbols, proposal, own, until, asked.effort)
        )
        tell({"run_id": request.run_id})
        return app.runs.carry_out(request)

    with open_app(
        artifacts=artifacts, config=config, events=Stages(tell, len(PIPELINE)), keep_valid=True, by=job.by
    ) as app:
        finished = begin(app)
        run_id = finished.state.request.run_id
        summary = _of_firm(answer(finished, f"runs/{run_id}"), job.firm_id)
        result = result_of(run_id, summary) | {"status": summary["status"]}
        if finished.waits:
            return {"result": result}
        record = app.runs.records(job.firm_id).get(run_id)
        assert record is not None, "a finished run is recorded"
        return {
            "result": result,
            "record": {"inputs_hash": record.inputs_hash, "as_of_ns": record.as_of_ns},
        }


def _require_own_run(job: Job, asked: RunJob, app: Any) -> None:
    """Refuse to go on with a run over accounts that were not asked for. One that people have answered goes on whole:
    whoever began it asked for it."""
    accounts = app.runs.accounts_of(asked.run_id)
    own = own_accounts(job, asked.accounts, app)
    if job.by != RESUMER and not set(accounts) <= set(own):
        raise BadInput(
            expected=f"a run over {', '.join(own)}", found="one over others", where=f"run {asked.run_id}"
        )


def _of_firm(summary: dict[str, Any], firm_id: str) -> dict[str, Any]:
    """The answer of a run, with nothing of another firm in it."""
    own = {
        name: [one for one in summary[name] if one["account"].split("/")[0] == firm_id]
        for name in ("accounts", "waiting")
    }
    return summary | own


def _backtest(job: Job, asked: BacktestJob, artifacts: Path, config: Path, tell: Tell) -> dict[str, Any]:
    from regime_trading.bootstrap.app import open_app
    from regime_trading.core.instants import parse_instant
    from regime_trading.services.backtest import run_backtest

    with open_app(artifacts=artifacts, config=config, events=Stages(tell, 1)) as app:
        request = backtest_request(job, asked, app)
        outcome = run_backtest(request, app.backtest(), loop(tell))
        return {
            "result": result_of(outcome.run_id, outcome.summary),
            "record": {
                "inputs_hash": content_hash({"run_id": outcome.run_id, "request": job.request}),
                "as_of_ns": parse_instant(outcome.summary["last"]),
            },
        }


def _verify(job: Job, artifacts: Path, config: Path) -> dict[str, Any]:
    from regime_trading.adapters.clock import SystemClock
    from regime_trading.adapters.journal.reader import FolderFiles, SealedRecord
    from regime_trading.adapters.witness import open_witnesses
    from regime_trading.bootstrap import witness_places
    from regime_trading.bootstrap.proof import configured_witnesses
    from regime_trading.services.verify import answer, verify

    record = SealedRecord(FolderFiles(artifacts))
    witnesses = open_witnesses(witness_places(configured_witnesses(config), artifacts))
    found = verify(record, now_ns=SystemClock().now_ns(), firm_id=job.firm_id, witnesses=witnesses)
    return {"result": {"run_id": "", "path": "", "summary": answer(found)}}


if __name__ == "__main__":
    main()
