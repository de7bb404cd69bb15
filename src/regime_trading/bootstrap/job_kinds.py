"""What jobs do that decide nothing: regimes, scans, reports, what-ifs and exports, each of one firm.

Each gives ``result`` (``{run_id, path, summary}``) and ``record``, what the entry of the job says. What is written is
keyed by its inputs and written again by the next attempt: a job that is done twice leaves what it leaves once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from regime_trading.adapters.job_channel import Tell
from regime_trading.bootstrap.job_report import Stages, loop
from regime_trading.core.canonical import content_hash
from regime_trading.core.errors import BadInput
from regime_trading.core.jobs import BacktestJob, ExportJob, Job, JobKind, RegimeJob, ReportJob, WhatIfJob

Answer = dict[str, Any]
_SHOWN = 20  #: symbols or accounts of a summary; the files have all


def own_accounts(job: Job, named: tuple[str, ...], app: Any) -> tuple[str, ...]:
    """Accounts of the job's firm alone: those that are named, else all of them."""
    own = tuple(p.account for p in app.runs.profiles if p.firm_id == job.firm_id)
    if not own or not set(named) <= set(own):
        raise BadInput(
            expected=f"accounts of firm {job.firm_id}", found=", ".join(named) or "none", where="accounts"
        )
    return named or own


def own_source(name: str, app: Any) -> str:
    """A source that is configured, so that nobody names a file of this machine."""
    if name not in app.deps.settings.sources:
        known = ", ".join(sorted(app.deps.settings.sources))
        raise BadInput(expected=f"one of {known}", found=name, where="source")
    return name


def result_of(run_id: str, summary: Any) -> Answer:
    """What is told of a job that made a run."""
    return {"run_id": run_id, "path": f"runs/{run_id}", "summary": summary}


def survey_job(job: Job, asked: RegimeJob, artifacts: Path, config: Path, tell: Tell) -> Answer:
    """Regimes of symbols; of a scan also who is first."""
    from regime_trading.agents.graph import PIPELINE
    from regime_trading.agents.survey import LAST, survey
    from regime_trading.bootstrap.app import open_app
    from regime_trading.services.runs import Ask, inputs_hash_of, parse_time, time_text
    from regime_trading.services.surveys import recorded, survey_request

    stages = 1 + next(n for n, stage in enumerate(PIPELINE) if stage.name == LAST)
    with open_app(artifacts=artifacts, config=config, events=Stages(tell, stages), keep_valid=True) as app:
        until = None if asked.as_of is None else parse_time(asked.as_of, "as_of")
        accounts = own_accounts(job, asked.accounts, app)
        rank = job.kind is JobKind.SCAN
        kind, title = ("scan", "Scan") if rank else ("regime", "Regimes")
        request = survey_request(
            app.runs,
            kind,  # type: ignore[arg-type]
            Ask(
                own_source(asked.source, app),
                asked.basket,
                asked.symbols,
                accounts=accounts,
                as_of_ns=until,
            ),
        )
        tell({"run_id": request.run_id})
        digest = inputs_hash_of(request.model_dump(exclude={"run_id"}))
        state, found = recorded(
            app.runs.records(job.firm_id),
            kind,
            request.run_id,
            digest,
            request.as_of_ns,
            lambda: survey(request, app.deps, title, rank=rank),
        )
    assert state.regime is not None
    shown = [one.regime for one in found] or list(state.regime.symbols)
    summary = {
        "run_id": request.run_id,
        "as_of": time_text(request.as_of_ns),
        "market": _told(state.regime.market),
        "symbols": [_told(one) for one in shown[:_SHOWN]],
        "symbols_in_all": len(shown),
    }
    return {
        "result": result_of(request.run_id, summary),
        "record": {"inputs_hash": digest, "as_of_ns": request.as_of_ns},
    }


def _told(regime: Any) -> dict[str, Any]:
    return {"symbol": regime.symbol, "label": regime.label.value, "confidence": regime.confidence}


def report_job(job: Job, asked: ReportJob, artifacts: Path, config: Path, tell: Tell) -> Answer:
    """The report of the firm over a run or a backtest, rendered again."""
    from regime_trading.bootstrap.app import open_app
    from regime_trading.bootstrap.version import code_version
    from regime_trading.services.surveys import recorded

    with open_app(artifacts=artifacts, config=config, events=Stages(tell, 1), keep_valid=True) as app:
        pages = _run_pages if asked.backtest is None else _backtest_pages
        write, as_of_ns = pages(job, asked, app, tell)
        digest = content_hash({"run_id": asked.run_id, "firm": job.firm_id, "code": code_version()})
        run_id = f"report-{digest[:16]}"
        tell({"run_id": run_id})
        home = f"runs/{run_id}/firms/{job.firm_id}"
        recorded(app.runs.records(job.firm_id), "report", run_id, digest, as_of_ns, lambda: write(home))
    tell({"stage": "report", "status": "finished", "detail": "", "progress": 1.0})
    summary = {"run_id": run_id, "of": asked.run_id, "files": [f"{home}/report.md", f"{home}/report.html"]}
    return {
        "result": result_of(run_id, summary),
        "record": {"inputs_hash": digest, "as_of_ns": as_of_ns},
    }


def _run_pages(job: Job, asked: ReportJob, app: Any, tell: Tell) -> Any:
    """Writes the pages of a finished run into a folder; and the instant that it decided."""
    from regime_trading.agents.run_report import run_report, write_pages
    from regime_trading.services.surveys import require_run
    from regime_trading.tools.report import for_firm

    require_run(app.runs.records(job.firm_id), job.firm_id, asked.run_id)
    if app.runs.flow.status(asked.run_id) != "finished":
        raise BadInput(
            expected="a run whose stages are still known, or a backtest that was asked for as a job",
            found=asked.run_id,
            where="run_id",
        )
    state = app.runs.flow.resume(asked.run_id)
    report = for_firm(run_report(state, app.deps), job.firm_id)
    return lambda home: write_pages(app.deps, home, report), state.request.as_of_ns


def _backtest_pages(job: Job, asked: ReportJob, app: Any, tell: Tell) -> Any:
    from regime_trading.services.backtest import report_again, write_pages
    from regime_trading.tools.report import for_firm

    assert asked.backtest is not None
    request = backtest_request(job, asked.backtest, app)
    found = report_again(request, app.backtest(), asked.run_id, loop(tell))
    report = for_firm(found, job.firm_id)
    return lambda home: write_pages(report, home, app.store), found.last_ns


def backtest_request(job: Job, asked: BacktestJob, app: Any) -> Any:
    """What a backtest takes, over accounts of the job's firm."""
    from regime_trading.services.backtest_plan import BacktestRequest

    return BacktestRequest(
        source=own_source(asked.source, app),
        basket=asked.basket,
        symbols=asked.symbols or None,
        first_day=asked.first,
        last_day=asked.last,
        accounts=own_accounts(job, asked.accounts, app),
    )


def what_if_job(job: Job, asked: WhatIfJob, artifacts: Path, config: Path, tell: Tell) -> Answer:
    """Decision days under what is in force and under a stored version of the firm's configuration."""
    from regime_trading.adapters.artifacts import LocalArtifacts
    from regime_trading.adapters.database import SqlRuns
    from regime_trading.bootstrap.acts import make_acts
    from regime_trading.bootstrap.config_versions import config_replay, config_service
    from regime_trading.bootstrap.version import code_version
    from regime_trading.core.config_versions import document_hash
    from regime_trading.core.instants import parse_instant
    from regime_trading.services.config_changes import WhatIf, what_if_page
    from regime_trading.services.surveys import recorded

    with _store(artifacts) as engine:
        store = LocalArtifacts(artifacts)
        service = config_service(engine, make_acts(engine, store, code_version()), config)
        version = service.get(job.firm_id, asked.version)
        wanted = WhatIf(asked.source, asked.accounts or None, asked.days, asked.first, asked.last)
        told = service.what_if(
            job.firm_id, version.document, _within(job, wanted), config_replay(artifacts, config, loop(tell))
        )
        said = {"version": asked.version, "document": document_hash(version.document), "request": job.request}
        digest = content_hash(said | {"found": content_hash(_plain(told))})
        run_id = f"whatif-{digest[:16]}"
        tell({"run_id": run_id})
        home, as_of_ns = f"runs/{run_id}/firms/{job.firm_id}", parse_instant(told["last"])

        def write() -> None:
            data = orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
            store.write_bytes(f"{home}/whatif.json", data)
            store.write_bytes(f"{home}/report.md", what_if_page(told, asked.version).encode())

        recorded(SqlRuns(engine, firm_id=job.firm_id), "whatif", run_id, digest, as_of_ns, write)
    accounts = [{name: one[name] for name in ("account", "decisions", "differ")} for one in told["accounts"]]
    summary = {
        "run_id": run_id,
        "version": asked.version,
        **{name: told[name] for name in ("first", "last", "days")},
        "accounts": accounts[:_SHOWN],
        "accounts_in_all": len(accounts),
    }
    return {
        "result": result_of(run_id, summary),
        "record": {"inputs_hash": digest, "as_of_ns": as_of_ns},
    }


def _within(job: Job, wanted: Any) -> Any:
    if any(name.split("/")[0] != job.firm_id for name in wanted.accounts or ()):
        raise BadInput(expected=f"accounts of firm {job.firm_id}", found="others", where="accounts")
    return wanted


def export_job(job: Job, asked: ExportJob, artifacts: Path, tell: Tell) -> Answer:
    """A bundle of the firm's record, to be fetched by who may; the entry of it is made with the end of the job."""
    from regime_trading.adapters.artifacts import LocalArtifacts
    from regime_trading.adapters.exports import LocalExports
    from regime_trading.bootstrap.acts import firm_history
    from regime_trading.core.canonical import sha256_hex
    from regime_trading.core.instants import EARLIEST_NS, LATEST_NS
    from regime_trading.services.backtest_plan import end_of
    from regime_trading.services.export import exported, make_bundle
    from regime_trading.services.registers import Scope

    day = dt.timedelta(days=1)
    scope = Scope(
        job.firm_id,
        "" if asked.account is None else asked.account.split("/")[1],
        asked.run_id or "",
        EARLIEST_NS if asked.first is None else end_of(asked.first - day) + 1,
        LATEST_NS if asked.last is None else end_of(asked.last),
    )
    with _store(artifacts) as engine:
        store = LocalArtifacts(artifacts)
        bundle = make_bundle(firm_history(engine, store, job.firm_id), store, scope)
    tell({"stage": "bundle", "status": "finished", "detail": "", "progress": 0.7})
    data = bundle.zipped()
    LocalExports(artifacts, firm_id=job.firm_id).put(job.job_id, data)
    tell({"stage": "export", "status": "finished", "detail": "", "progress": 1.0})
    summary = {
        "entries": bundle.entries,
        "covered": bundle.covered,
        "bytes": len(data),
        "sha256": sha256_hex(data),
        "digest": bundle.digest,
    }
    return {
        "result": {"run_id": "", "path": "", "summary": summary},
        "record": exported(scope, bundle).model_dump(mode="json"),
    }


@contextmanager
def _store(artifacts: Path) -> Iterator[Any]:
    from regime_trading.adapters.database import open_database
    from regime_trading.bootstrap import database_url

    engine = open_database(database_url(artifacts))
    try:
        yield engine
    finally:
        engine.dispose()


def _plain(value: Any) -> Any:
    """Floats as text, so that they have one hash."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return repr(value) if isinstance(value, float) else value
