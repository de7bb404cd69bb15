"""What the process of a job runs: the same services as the command line, for one firm, and what it says while it does.

Started by a worker with ``job``, ``artifacts``, ``config`` and ``lease_s`` (``adapters.job_channel``). It says
``{stage, status, progress, detail}`` and ``{run_id}``, and at the end ``{result, record}``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from regime_trading.adapters.job_channel import Tell, serve
from regime_trading.core.canonical import content_hash
from regime_trading.core.errors import BadInput
from regime_trading.core.jobs import BacktestJob, Job, JobKind, RunJob, VerifyJob, request_of

_EVERY_S = 0.2  #: between two words on how far a loop is


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
    assert isinstance(asked, VerifyJob)
    return _verify(job, artifacts)


def _run(job: Job, asked: RunJob, artifacts: Path, config: Path, tell: Tell) -> dict[str, Any]:
    from regime_trading.agents.graph import PIPELINE
    from regime_trading.bootstrap.app import App, open_app
    from regime_trading.services.runs import Ask, Finished, answer, parse_time

    def begin(app: App) -> Finished:
        if job.run_id and app.runs.can_resume(job.run_id):
            return app.runs.resume(job.run_id)
        until = None if asked.as_of is None else parse_time(asked.as_of, "as_of")
        own = _own_accounts(job, asked.accounts, app)
        source, weights = _source(asked.source, app), asked.proposal
        proposal = None if weights is None else weights.proposal(app.runs.last_bar(source, until))
        request = app.runs.request(
            Ask(source, asked.basket, asked.symbols, proposal, own, until, asked.effort)
        )
        tell({"run_id": request.run_id})
        return app.runs.carry_out(request)

    with open_app(
        artifacts=artifacts, config=config, events=_Stages(tell, len(PIPELINE)), keep_valid=True
    ) as app:
        finished = begin(app)
        run_id = finished.state.request.run_id
        record = app.runs.records(job.firm_id).get(run_id)
        assert record is not None, "a finished run is recorded"
        return {
            "result": _result(run_id, answer(finished, f"runs/{run_id}")),
            "record": {"inputs_hash": record.inputs_hash, "as_of_ns": record.as_of_ns},
        }


def _backtest(job: Job, asked: BacktestJob, artifacts: Path, config: Path, tell: Tell) -> dict[str, Any]:
    from regime_trading.bootstrap.app import open_app
    from regime_trading.core.instants import parse_instant
    from regime_trading.services.backtest import run_backtest
    from regime_trading.services.backtest_plan import BacktestRequest

    with open_app(artifacts=artifacts, config=config, events=_Stages(tell, 1)) as app:
        request = BacktestRequest(
            source=_source(asked.source, app),
            basket=asked.basket,
            symbols=asked.symbols or None,
            first_day=asked.first,
            last_day=asked.last,
            accounts=_own_accounts(job, asked.accounts, app),
        )
        outcome = run_backtest(request, app.backtest(), _loop(tell))
        return {
            "result": _result(outcome.run_id, outcome.summary),
            "record": {
                "inputs_hash": content_hash({"run_id": outcome.run_id, "request": job.request}),
                "as_of_ns": parse_instant(outcome.summary["last"]),
            },
        }


def _verify(job: Job, artifacts: Path) -> dict[str, Any]:
    from regime_trading.bootstrap.proof import verify_record
    from regime_trading.services.verify import answer

    found = verify_record(artifacts, None, job.firm_id, ())
    return {"result": {"run_id": "", "path": "", "summary": answer(found)}}


def _result(run_id: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    return {"run_id": run_id, "path": f"runs/{run_id}", "summary": summary}


def _own_accounts(job: Job, named: tuple[str, ...], app: Any) -> tuple[str, ...]:
    """Accounts of the job's firm alone: those that are named, else all of them."""
    own = tuple(p.account for p in app.runs.profiles if p.firm_id == job.firm_id)
    if not own or not set(named) <= set(own):
        raise BadInput(
            expected=f"accounts of firm {job.firm_id}", found=", ".join(named) or "none", where="accounts"
        )
    return named or own


def _source(name: str, app: Any) -> str:
    """A source that is configured, so that nobody names a file of this machine."""
    if name not in app.deps.settings.sources:
        known = ", ".join(sorted(app.deps.settings.sources))
        raise BadInput(expected=f"one of {known}", found=name, where="source")
    return name


class _Stages:
    """Progress of a run: the share of its stages that are finished."""

    def __init__(self, tell: Tell, total: int) -> None:
        self._tell, self._total, self._finished = tell, total, 0

    def emit(self, event: Mapping[str, Any]) -> None:
        """Pass an event on."""
        self._finished += event["status"] == "finished"
        share = min(1.0, self._finished / self._total)
        self._tell(
            {**{name: event.get(name, "") for name in ("stage", "status", "detail")}, "progress": share}
        )


def _loop(tell: Tell) -> Callable[[str, int, int], None]:
    last: dict[str, float] = {}

    def progress(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - last.get(stage, -_EVERY_S) < _EVERY_S and done < total:
            return
        status = "finished" if done >= total else "started" if stage not in last else "running"
        last[stage] = now
        tell({"stage": stage, "status": status, "detail": "", "progress": done / max(1, total)})

    return progress


if __name__ == "__main__":
    main()
