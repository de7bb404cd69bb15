"""What is shown: accounts, portfolio, constraints, decisions, runs, regimes, baskets, artifacts, audit, RL dataset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BeforeValidator

from regime_trading.api.deps import Allowed, require
from regime_trading.core.access import Permission
from regime_trading.core.instants import EARLIEST_NS, LATEST_NS, parse_instant
from regime_trading.services.views import (
    accounts,
    artifacts,
    audit,
    baskets,
    breaches,
    constraints,
    decisions,
    portfolio,
    regimes,
    rl,
    runs,
)
from regime_trading.services.views.base import Asker
from regime_trading.services.views.pages import MOST, Page
from regime_trading.services.views.sources import FirmSources

SourcesOf = Callable[[str], FirmSources]
Reader = Annotated[Allowed, require(Permission.READ)]
SomeReader = Annotated[Allowed, require(Permission.READ, some=True)]
Auditor = Annotated[Allowed, require(Permission.READ_AUDIT, some=True)]
Cursor = Annotated[str | None, Query(max_length=600, description="next_cursor of the page before")]
Limit = Annotated[int, Query(ge=1, le=MOST)]
Text = Annotated[str, Query(max_length=140)]
Path = Annotated[str, Query(max_length=500, examples=["runs/bt-0123/firms/north-pier/report.md"])]
From = Annotated[int, BeforeValidator(parse_instant), Query(alias="from", description="ISO 8601, included")]
To = Annotated[int, BeforeValidator(parse_instant), Query(alias="to", description="ISO 8601, included")]


def _reader(allowed: Allowed) -> Asker:
    """Whoever reads the record, whose times are those of the wall."""
    return Asker(allowed.principal, allowed.now_ns)


def _asker(allowed: Allowed) -> Asker:
    """Whoever looks at what trades, which is as old as the market's clock says."""
    return Asker(allowed.principal, allowed.market_ns)


def views_routers(sources_of: SourcesOf) -> tuple[APIRouter, ...]:
    """Every route that only reads, over the sources of a firm."""
    return (
        accounts_router(sources_of),
        decisions_router(sources_of),
        runs_router(sources_of),
        market_router(sources_of),
        audit_router(sources_of),
    )


def accounts_router(sources_of: SourcesOf) -> APIRouter:
    """A firm, its accounts, and what each of them holds and is held to."""
    router = APIRouter(prefix="/firms/{firm}", tags=["accounts"])

    @router.get("")
    def read_firm(firm: str, allowed: SomeReader) -> accounts.FirmSummary:
        """The firm as a whole, over the accounts one may see."""
        return accounts.firm(sources_of(firm), _asker(allowed))

    @router.get("/accounts")
    def list_accounts(firm: str, allowed: SomeReader) -> tuple[accounts.AccountSummary, ...]:
        """Accounts one may see."""
        return accounts.accounts(sources_of(firm), _asker(allowed))

    @router.get("/accounts/{account}")
    def read_account(firm: str, account: str, allowed: Reader) -> accounts.AccountSummary:
        """One account: mode, trading state, latches, equity, distance to its floors."""
        return accounts.account(sources_of(firm), _asker(allowed), f"{firm}/{account}")

    @router.get("/accounts/{account}/portfolio")
    def read_portfolio(firm: str, account: str, allowed: Reader) -> portfolio.Portfolio:
        """Positions, cash, exposures, and the last decision about each position."""
        return portfolio.portfolio(sources_of(firm), _asker(allowed), f"{firm}/{account}")

    @router.get("/accounts/{account}/constraints")
    def read_constraints(firm: str, account: str, allowed: Reader) -> constraints.Board:
        """Every rule in guard order: used against limit, headroom, who set it."""
        return constraints.board(sources_of(firm), _asker(allowed), f"{firm}/{account}")

    @router.get("/accounts/{account}/constraints/{rule_id}")
    def read_constraint(firm: str, account: str, rule_id: str, allowed: Reader) -> constraints.Constraint:
        """One rule with its parameters, their layers and its last triggers."""
        return constraints.constraint(sources_of(firm), _asker(allowed), f"{firm}/{account}", rule_id)

    @router.get("/breaches")
    def list_breaches(firm: str, allowed: SomeReader) -> tuple[breaches.BreachRow, ...]:
        """Breaches that nobody has acknowledged, and those that stand: the last one of each rule."""
        return breaches.breaches(sources_of(firm), _asker(allowed))

    @router.get("/accounts/{account}/constraints/{rule_id}/history")
    def read_constraint_history(
        firm: str,
        account: str,
        rule_id: str,
        allowed: Reader,
        run_id: Text = "",
        cursor: Cursor = None,
        limit: Limit = 200,
    ) -> Page[constraints.Measurement]:
        """Value and limit of one rule, decision by decision."""
        return constraints.history(
            sources_of(firm), _asker(allowed), f"{firm}/{account}", rule_id, run_id, cursor, limit
        )

    return router


def decisions_router(sources_of: SourcesOf) -> APIRouter:
    """What the portfolio manager decided, and why."""
    router = APIRouter(prefix="/firms/{firm}", tags=["decisions"])

    @router.get("/decisions")
    def list_decisions(
        firm: str,
        allowed: SomeReader,
        account: Text = "",
        rule_id: Text = "",
        outcome: Text = "",
        trading_state: Text = "",
        env: Text = "",
        run_id: Text = "",
        from_ns: From = EARLIEST_NS,
        to_ns: To = LATEST_NS,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> Page[decisions.DecisionRow]:
        """Decisions of the accounts one may see, the newest first."""
        wanted = decisions.DecisionFilter(
            account, rule_id, outcome, trading_state, env, run_id, from_ns, to_ns
        )
        return decisions.decisions(sources_of(firm), _asker(allowed), wanted, cursor, limit)

    @router.get("/accounts/{account}/decisions/{decision_id}")
    def read_decision(firm: str, account: str, decision_id: str, allowed: Reader) -> decisions.Decision:
        """One decision whole: before and after, every rule, every target, its place in the record."""
        return decisions.decision(sources_of(firm), _asker(allowed), f"{firm}/{account}", decision_id)

    return router


def runs_router(sources_of: SourcesOf) -> APIRouter:
    """Runs and the files they left."""
    router = APIRouter(prefix="/firms/{firm}", tags=["runs"])

    @router.get("/runs")
    def list_runs(
        firm: str, allowed: SomeReader, cursor: Cursor = None, limit: Limit = 50
    ) -> Page[runs.RunRow]:
        """Runs, the newest first."""
        return runs.runs(sources_of(firm), _asker(allowed), cursor, limit)

    @router.get("/runs/{run_id}")
    def read_run(firm: str, run_id: str, allowed: SomeReader) -> runs.Run:
        """One run with its stages and what it was made of."""
        return runs.run(sources_of(firm), _asker(allowed), run_id)

    @router.get("/runs/{run_id}/artifacts")
    def list_artifacts(firm: str, run_id: str, allowed: SomeReader) -> artifacts.Tree:
        """Files of a run that belong to the firm, and those of the market."""
        return artifacts.tree(sources_of(firm), _asker(allowed), run_id)

    @router.get("/artifacts/preview")
    def preview_artifact(firm: str, path: Path, allowed: SomeReader) -> artifacts.Preview:
        """The beginning of a file."""
        return artifacts.preview(sources_of(firm), _asker(allowed), path)

    @router.get("/artifacts/checksum")
    def read_checksum(firm: str, path: Path, allowed: SomeReader) -> artifacts.Checksum:
        """SHA-256 of a file."""
        return artifacts.checksum(sources_of(firm), _asker(allowed), path)

    @router.get(
        "/artifacts/download",
        response_class=Response,
        responses={200: {"content": {"application/octet-stream": {}}, "description": "The bytes of a file"}},
    )
    def download_artifact(firm: str, path: Path, allowed: SomeReader) -> Response:
        """A file, to be saved and never shown as a page of ours."""
        found = artifacts.download(sources_of(firm), _asker(allowed), path)
        headers = {
            "content-disposition": f'attachment; filename="{found.name}"',
            "content-security-policy": "sandbox; default-src 'none'",
        }
        return Response(found.data, media_type="application/octet-stream", headers=headers)

    @router.get("/rl", tags=["rl"])
    def read_dataset(
        firm: str, allowed: SomeReader, env: Text = "dry_run", account: Text = "", run_id: Text = ""
    ) -> rl.DatasetStatus:
        """What the RL dataset holds: rows, partitions, coverage, gaps."""
        return rl.dataset(sources_of(firm), _asker(allowed), env, account, run_id)

    return router


def market_router(sources_of: SourcesOf) -> APIRouter:
    """Regimes, tape and baskets."""
    router = APIRouter(prefix="/firms/{firm}", tags=["market"])

    @router.get("/regimes")
    def read_regimes(
        firm: str, allowed: SomeReader, run_id: Annotated[str | None, Query(max_length=140)] = None
    ) -> regimes.Regimes:
        """The regime of each symbol and timescale, with probability, confidence and its reasons."""
        return regimes.regimes(sources_of(firm), _asker(allowed), run_id)

    @router.get("/regimes/{symbol}")
    def read_regime_history(
        firm: str,
        symbol: str,
        allowed: SomeReader,
        run_id: Annotated[str | None, Query(max_length=140)] = None,
        bars: Annotated[int, Query(ge=1, le=5_000)] = 500,
    ) -> regimes.History:
        """Price and regime of a symbol, bar by bar."""
        return regimes.history(sources_of(firm), _asker(allowed), symbol, run_id, bars)

    @router.get("/tape")
    def read_tape(
        firm: str, allowed: SomeReader, run_id: Annotated[str | None, Query(max_length=140)] = None
    ) -> regimes.Tape:
        """Order-flow imbalance, spreads, microprice and health of every tape."""
        return regimes.tape(sources_of(firm), _asker(allowed), run_id)

    @router.get("/baskets")
    def list_baskets(firm: str, allowed: SomeReader) -> tuple[baskets.Basket, ...]:
        """Baskets that one's accounts follow."""
        return baskets.baskets(sources_of(firm), _asker(allowed))

    @router.get("/baskets/{name}")
    def read_basket(firm: str, name: str, allowed: SomeReader) -> baskets.Basket:
        """One basket with its last proposal."""
        return baskets.basket(sources_of(firm), _asker(allowed), name)

    return router


def audit_router(sources_of: SourcesOf) -> APIRouter:
    """The record."""
    router = APIRouter(prefix="/firms/{firm}/audit", tags=["audit"])

    @router.get("/entries")
    def list_entries(
        firm: str,
        allowed: Auditor,
        account: Text = "",
        kind: Annotated[list[str], Query(max_length=40)] = [],  # noqa: B006
        actor_id: Text = "",
        rule_id: Text = "",
        env: Text = "",
        run_id: Text = "",
        chain_id: Text = "",
        correlation_id: Text = "",
        named: Annotated[str, Query(max_length=140, description="an id or a hash that the entry says")] = "",
        from_ns: From = EARLIEST_NS,
        to_ns: To = LATEST_NS,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> Page[audit.EntryRow]:
        """Entries, the newest first."""
        wanted = audit.EntryFilter(
            account,
            tuple(kind),
            actor_id,
            rule_id,
            env,
            run_id,
            chain_id,
            correlation_id,
            named,
            from_ns,
            to_ns,
        )
        return audit.entries(sources_of(firm), _reader(allowed), wanted, cursor, limit)

    @router.get("/entry")
    def read_entry(
        firm: str, chain_id: Text, seq: Annotated[int, Query(ge=1, le=1 << 62)], allowed: Auditor
    ) -> audit.Entry:
        """One entry, its place in its chain and what proves it."""
        return audit.entry(sources_of(firm), _reader(allowed), chain_id, seq)

    @router.get("/registers")
    def list_registers(allowed: Auditor) -> tuple[audit.RegisterInfo, ...]:
        """Registers that can be asked for."""
        return audit.registers()

    @router.get("/registers/{name}")
    def read_register(
        firm: str,
        name: str,
        allowed: Auditor,
        account: Text = "",
        from_ns: From = EARLIEST_NS,
        to_ns: To = LATEST_NS,
    ) -> audit.RegisterTable:
        """One register."""
        return audit.register_of(sources_of(firm), _reader(allowed), name, account, from_ns, to_ns)

    @router.get("/reach")
    def read_reach(firm: str, allowed: Auditor) -> audit.Reach:
        """Up to where the record is signed and witnessed, and how long ago."""
        return audit.reach(sources_of(firm), _reader(allowed))

    return router
