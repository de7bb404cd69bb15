"""Runs (``/runs``): the list, and one run with its stages, inputs, files and report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import orjson
from pydantic import Field

from regime_trading.core.access import Permission
from regime_trading.core.errors import NotThere
from regime_trading.core.record_query import EntryQuery
from regime_trading.core.schemas import Mode, RunRecord
from regime_trading.services.views.artifacts import MARKET_ONLY, Artifact, may_see_run, tree
from regime_trading.services.views.base import Account, Asker, Hash, Instant, Shown, instant
from regime_trading.services.views.decisions import KINDS, Outcome, TradingState, said_in
from regime_trading.services.views.pages import Page, listed
from regime_trading.services.views.sources import FirmSources

StageStatus = Literal["done", "failed", "waiting"]
#: Stages of a run in their order (``contracts.md`` 7).
STAGES: tuple[str, ...] = (
    "ingest", "microstructure", "features", "cross_asset", "regime", "contradictor", "trader_config_loader",
    "allocator", "portfolio_manager", "judge", "approval", "journal", "execution", "summarizer",
)  # fmt: skip
#: Files that only one stage writes.
LEFT = {
    "prices.parquet": "ingest",
    "features.parquet": "features",
    "regimes.parquet": "regime",
    "regime.json": "summarizer",
}
_MARKET = "market/regime.json"
_MANIFEST_BYTES = 32 * 1024 * 1024


class RunRow(Shown):
    """One run of the firm."""

    run_id: str
    kind: Literal["run", "backtest", "paced", "regime", "scan", "report", "whatif", "other"] = Field(
        description="paced = history bar by bar at a pace; other = recorded without a row of its own"
    )
    status: Literal["started", "waiting", "done", "failed", "unknown"]
    inputs_hash: Hash | None = Field(description="of everything the answer follows from; null = not recorded")
    as_of: Instant | None = Field(description="the instant that was decided, of several the last")
    accounts: tuple[Account, ...] = Field(description="those that the asker may see")
    waiting: tuple[Waiting, ...] = Field(description="requests that a run waits for; none once it went on")


class Waiting(Shown):
    """An account that a run waits for, or has waited for: the request that people must answer."""

    account: Account
    request_id: str


class Stage(Shown):
    """One stage of the pipeline."""

    name: str
    status: StageStatus


class RunAccount(Shown):
    """What a run decided for an account: its last decision."""

    account: Account
    outcome: Outcome
    trading_state: TradingState | None
    binding_rules: tuple[str, ...]
    as_of: Instant


class RunManifest(Shown):
    """What was asked for, with everything that makes the answer reproducible."""

    source: str
    as_of: Instant
    baskets: tuple[str, ...] = Field(description="those that accounts of the firm follow")
    symbols: tuple[str, ...]
    traded: tuple[str, ...] = Field(description="symbols that accounts may hold")
    data_hash: Hash
    tape_hash: str = Field(description="empty without tapes")
    config_hash: Hash
    ledger_hash: Hash
    code_version: str
    effort: str
    notes: tuple[str, ...]


class Run(RunRow):
    """One run whole."""

    manifest: RunManifest | None = Field(description="of a run only; null where it is not written yet")
    stages: tuple[Stage, ...] = Field(description="of a run only, in order")
    results: tuple[RunAccount, ...]
    artifacts: tuple[Artifact, ...]
    artifacts_withheld: bool
    report: str | None = Field(
        description="path of the report among the artifacts, HTML where there is one; null = none, or not shown"
    )


def runs(sources: FirmSources, asker: Asker, cursor: str | None = None, limit: int = 50) -> Page[RunRow]:
    """Runs of the firm of which the asker may see an account, newest first."""
    accounts = sources.record.runs()
    records = {record.run_id: record for record in sources.runs.all()}
    named = {run_id: _ids(accounts.get(run_id, ()), records.get(run_id)) for run_id in {*accounts, *records}}
    found = [(_record(run_id, records.get(run_id)), ids) for run_id, ids in named.items()]
    rows = [row for row in (_visible(sources, asker, fields, ids) for fields, ids in found) if row]
    rows.sort(key=_key, reverse=True)
    return listed(rows, ["runs", sources.firm_id], cursor, limit, lambda row: row, _key)


def run(sources: FirmSources, asker: Asker, run_id: str) -> Run:
    """One run.

    Raises
    ------
    NotThere
        The firm has no such run, or the asker may see no account of it.
    """
    if not may_see_run(sources, asker, run_id):
        raise NotThere("run", run_id)
    record, market = sources.runs.get(run_id), market_of(sources, run_id)
    fields = _record(run_id, record)
    accounts = _readable(sources, asker, _ids(sources.record.runs().get(run_id, ()), record))
    files = tree(sources, asker, run_id)
    paths = {file.path for file in files.files}
    homes = (f"runs/{run_id}/firms/{sources.firm_id}", f"runs/{run_id}/market")
    pages = (f"{home}/report.{kind}" for home in homes for kind in ("html", "md"))
    results = _results(sources, run_id, accounts)
    paced = fields["kind"] == "paced"
    unknown = fields["kind"] == "other" and any(file.scope == "market" for file in files.files)
    return Run(
        **fields | _shown(fields, accounts) | {"as_of": fields["as_of"] or _latest(results)},
        manifest=None if market is None or paced else _manifest(sources, market),
        stages=_stages(record, files.files, bool(results)) if fields["kind"] == "run" or unknown else (),
        results=results,
        artifacts=files.files,
        artifacts_withheld=files.withheld,
        report=next((path for path in pages if path in paths), None),
    )


def market_of(sources: FirmSources, run_id: str) -> dict[str, Any] | None:
    """What a run found of the market, as it wrote it; None where it wrote nothing that can be read."""
    data = sources.files.read(f"runs/{run_id}/{_MARKET}", _MANIFEST_BYTES)
    try:
        found = None if data is None else orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _ids(recorded: Iterable[str], record: RunRecord | None) -> frozenset[str]:
    """Ids of a run's accounts: those with entries, and those it waits for."""
    waits = () if record is None else record.waits
    return frozenset(recorded) | {wait.account.split("/")[1] for wait in waits}


def _shown(fields: Mapping[str, Any], accounts: Sequence[str]) -> dict[str, Any]:
    """The part of a run's fields that depends on the accounts one may see."""
    waiting = tuple(one for one in fields["waiting"] if one.account in accounts)
    return {"accounts": tuple(accounts), "waiting": waiting}


def _record(run_id: str, record: RunRecord | None) -> dict[str, Any]:
    backtest = run_id.startswith("bt-")
    return {
        "run_id": run_id,
        "kind": ("backtest" if backtest else "other") if record is None else record.kind,
        "status": "unknown" if record is None else record.status,
        "inputs_hash": None if record is None else record.inputs_hash,
        "as_of": None if record is None or record.kind == "paced" else instant(record.as_of_ns),
        "waiting": tuple(Waiting(account=w.account, request_id=w.request_id) for w in record.waits)
        if record is not None and record.status == "waiting"
        else (),
    }


def _visible(
    sources: FirmSources, asker: Asker, fields: dict[str, Any], ids: Sequence[str] | frozenset[str]
) -> RunRow | None:
    accounts = _readable(sources, asker, ids)
    market_only = fields["kind"] in MARKET_ONLY and bool(sources.readable(asker))
    if not accounts and not market_only and not (not ids and asker.may(Permission.READ, sources.firm_id)):
        return None
    if fields["kind"] == "paced":
        found = (_last_ns(sources, account, fields["run_id"]) for account in accounts)
        fields["as_of"] = instant(max((ns for ns in found if ns is not None), default=None))
    return RunRow(**fields | _shown(fields, accounts))


def _readable(sources: FirmSources, asker: Asker, ids: Sequence[str] | frozenset[str]) -> tuple[str, ...]:
    return asker.among(Permission.READ, [f"{sources.firm_id}/{name}" for name in sorted(ids)])


def _key(row: RunRow) -> tuple[str, ...]:
    return row.as_of or "", row.run_id


def _results(sources: FirmSources, run_id: str, accounts: Sequence[str]) -> tuple[RunAccount, ...]:
    found = []
    for account in accounts:
        query = EntryQuery(accounts=(account.split("/")[1],), kinds=KINDS, run_id=run_id)
        if (last_ns := _last_ns(sources, account, run_id)) is not None:
            query = replace(query, from_ns=last_ns)
        for entry in sources.record.newest(query, None, 1):
            said = said_in(entry)
            found.append(
                RunAccount(
                    account=account,
                    outcome=said["outcome"],
                    trading_state=said.get("trading_state_after"),
                    binding_rules=tuple(said.get("binding_rules", ())),
                    as_of=instant(entry.ts_event_ns) or "",
                )
            )
    return tuple(found)


def _last_ns(sources: FirmSources, account: str, run_id: str) -> int | None:
    """When a dry run last decided an account, where its state is still that run's."""
    stored = sources.states.latest(account, Mode.DRY_RUN)
    return stored.state.as_of_ns if stored is not None and stored.run_id == run_id else None


def _latest(results: Sequence[RunAccount]) -> str | None:
    return max((result.as_of for result in results), default=None)


def _manifest(sources: FirmSources, market: dict[str, Any]) -> RunManifest:
    request = market["request"]
    profiles = [one.profile for one in sources.standings.values() if one.profile is not None]
    own = {share.name for profile in profiles for share in profile.baskets}
    return RunManifest(
        source=request["source"],
        as_of=instant(request["as_of_ns"]) or "",
        baskets=tuple(name for name in request["baskets"] if name in own),
        symbols=tuple(request["symbols"]),
        traded=tuple(request.get("traded", request["symbols"])),
        data_hash=request["data_hash"],
        tape_hash=request["tape_hash"],
        config_hash=request["config_hash"],
        ledger_hash=request["ledger_hash"],
        code_version=request["code_version"],
        effort=request["effort"],
        notes=tuple(request["notes"]),
    )


def _stages(record: RunRecord | None, files: Sequence[Artifact], decided: bool) -> tuple[Stage, ...]:
    """How far a run came, from what its stages left: one that left something had all before it done."""
    left = {LEFT[file.name] for file in files if file.name in LEFT} | ({"journal"} if decided else set())
    last = max((n for n, name in enumerate(STAGES) if name in left), default=-1)
    if record is not None and record.status == "done":
        last = len(STAGES) - 1
    if record is not None and record.status == "waiting":
        last = STAGES.index("approval") - 1
    failed = record is not None and record.status == "failed"
    return tuple(
        Stage(name=name, status="done" if n <= last else "failed" if failed and n == last + 1 else "waiting")
        for n, name in enumerate(STAGES)
    )
