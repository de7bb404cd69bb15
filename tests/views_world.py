"""Two firms with a run, a backtest and decisions of the gate in one folder and one store, for tests of the views."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gate_samples import CORE, GROWTH, T, shipped, tree
from tests.unit.services.test_backtest import write_prices

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import FixedClock
from regime_trading.adapters.database import SqlAuditLog, SqlLastGood, SqlLedger, SqlOverrides
from regime_trading.adapters.journal import ParquetInputs
from regime_trading.bootstrap.acts import make_acts
from regime_trading.bootstrap.app import open_app
from regime_trading.bootstrap.views import firm_sources
from regime_trading.core.access import Grant, Principal, Role
from regime_trading.core.config_status import Standing
from regime_trading.core.request_reading import read_requests
from regime_trading.core.schemas import Mode, PMDecision
from regime_trading.core.trader_profile import TraderProfile, in_mode, with_overrides
from regime_trading.services.acts import Acts
from regime_trading.services.backtest import run_backtest
from regime_trading.services.backtest_plan import BacktestRequest
from regime_trading.services.configurations import OverrideAsk, make_override, take_over
from regime_trading.services.pm import GateConfig, GateStore, decide
from regime_trading.services.runs import Ask
from regime_trading.services.views.base import Asker
from regime_trading.services.views.sources import FirmSources

CONFIG = Path(__file__).parents[1] / "config"
NORTH, KESTREL = "north-pier", "kestrel-lane"
EVAL, DEFENSIVE = "kestrel-lane/eval-100k", "north-pier/defensive"
S = 10**9
NOW = T + 600 * S


@dataclass(frozen=True)
class World:
    """An artifacts folder with its store. The accounts ``CORE`` and ``GROWTH`` are in shadow, the others run dry."""

    folder: Path
    engine: Any
    standings: dict[str, Standing]
    run_id: str = ""
    backtest_id: str = ""

    def sources(self, firm_id: str = NORTH) -> FirmSources:
        return firm_sources(
            firm_id,
            engine=self.engine,
            store=LocalArtifacts(self.folder),
            settings=shipped()[0],
            standings=self.standings,
        )


def asker(
    firm_id: str = NORTH, role: Role = Role.PM, accounts: set[str] | None = None, *, redact: bool = False
) -> Asker:
    """Somebody with one role in one firm, with a second factor."""
    grant = Grant(firm_id, role, None if accounts is None else frozenset(accounts), redact)
    return Asker(Principal("somebody", (grant,), second_factor=True), NOW)


def researched(folder: Path) -> tuple[str, str]:
    """A run over both firms and a backtest of one account of each, in their folder; returns their ids."""
    source = str(write_prices(folder.parent / "prices.csv", 320))
    with open_app(artifacts=folder, config=CONFIG) as app:
        done = app.runs.run(Ask(source=source, symbols=("KO", "PEP", "XOM")))
        asked = BacktestRequest(source=source, accounts=(CORE, EVAL))
        outcome = run_backtest(asked, app.backtest())
    return done.state.request.run_id, outcome.run_id


def acts_of(engine: Any, folder: Path) -> Acts:
    made = make_acts(engine, LocalArtifacts(folder), "test")
    return Acts(made.audit, made.actor, made.history, FixedClock(T - 60 * S), "test")


def decided(folder: Path, engine: Any) -> dict[str, Standing]:
    """Decisions of both firms in shadow: one that loses, locks and stays locked, one that trades; an override."""
    profiles = {p.account: _shadowed(p) for p in shipped()[1].values()}
    acts = acts_of(engine, folder)
    standings = take_over(
        tuple(profiles.values()),
        (),
        lambda firm: SqlLastGood(engine, firm_id=firm),
        now_ns=T - 60 * S,
        acts=acts,
    )
    make_override(
        profiles[CORE],
        OverrideAsk("risk.gross", "0.9", "4h", "thin market"),
        SqlOverrides(engine, firm_id=NORTH),
        now_ns=T - 30 * S,
        acts=acts,
    )
    ask(folder, engine, standings, 0)
    ask(folder, engine, standings, 60, ("portfolio.cash", "900000"))
    ask(folder, engine, standings, 120)
    book = {"cash": "200000", "positions": [{"symbol": "KO", "qty": "800", "avg_price": "60.5"}]}
    ask(folder, engine, standings, 30, account=GROWTH, portfolio=book)
    return standings


def ask(
    folder: Path,
    engine: Any,
    standings: dict[str, Standing],
    seconds: int,
    *changes: tuple[str, Any],
    **top: Any,
) -> PMDecision:
    """A decision of the gate, ``seconds`` after ``T``."""
    return decide([request(seconds, *changes, **top)], config=_gate(standings), store=_store(folder, engine))[
        0
    ]


def request(seconds: int, *changes: tuple[str, Any], **top: Any) -> Any:
    import json

    ts = T + seconds * S
    fresh = [(path, ts) for path in ("proposal.as_of", "market.quotes.0.ts", "market.quotes.1.ts")]
    recon = [] if "portfolio" in top else [("portfolio.recon", {"status": "ok", "count": 2, "equity_gap": 0})]
    made = tree(*fresh, *recon, *changes, **({"as_of": ts} | top))
    if "portfolio" in top:
        made["portfolio"]["recon"] = {"status": "ok", "count": 2, "equity_gap": 0}
    return read_requests(json.dumps(made))[0][0]


def _gate(standings: dict[str, Standing]) -> GateConfig:
    return GateConfig(shipped()[0], standings, "test")


def _store(folder: Path, engine: Any) -> GateStore:
    def in_force(profile: TraderProfile, at_ns: int) -> TraderProfile:
        return with_overrides(
            profile, SqlOverrides(engine, firm_id=profile.firm_id).of(profile.account), at_ns
        )

    return GateStore(
        ledger=lambda firm, mode: SqlLedger(engine, firm_id=firm, env=mode),
        audit=lambda firm: SqlAuditLog(engine, firm_id=firm),
        inputs=ParquetInputs(LocalArtifacts(folder)),
        in_force=in_force,
    )


def _shadowed(profile: TraderProfile) -> TraderProfile:
    return in_mode(profile, Mode.SHADOW) if profile.account in (CORE, GROWTH) else profile


def every_view(world: World, of: Asker, firm_id: str) -> Iterator[tuple[str, str]]:
    """Every view that somebody can ask of a firm, by name, as JSON."""
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

    s = world.sources(firm_id)
    yield "firm", accounts.firm(s, of).model_dump_json()
    for name in s.readable(of):
        yield f"portfolio {name}", portfolio.portfolio(s, of, name).model_dump_json()
        yield f"board {name}", constraints.board(s, of, name).model_dump_json()
        for rule_id in ("LD-01", "VT-01", "CC-01", "DS-01"):
            yield f"rule {name} {rule_id}", constraints.constraint(s, of, name, rule_id).model_dump_json()
            yield f"history {name} {rule_id}", constraints.history(s, of, name, rule_id).model_dump_json()
        for kind in audit.registers():
            with suppressed():
                yield f"register {name}", audit.register_of(s, of, kind.name, name).model_dump_json()
    for row in breaches.breaches(s, of):
        yield "breach", row.model_dump_json()
    page = decisions.decisions(s, of, limit=500)
    yield "decisions", page.model_dump_json()
    for row in page.items[:5]:
        assert row.decision_id is not None
        yield "decision", decisions.decision(s, of, row.account, row.decision_id).model_dump_json()
    rows = audit.entries(s, of, limit=500)
    yield "entries", rows.model_dump_json()
    for kind in {row.event_type: row for row in rows.items}.values():
        yield "entry", audit.entry(s, of, kind.place.chain_id, kind.place.seq).model_dump_json()
    for register in audit.registers():
        with suppressed():
            yield "register", audit.register_of(s, of, register.name).model_dump_json()
    yield "reach", audit.reach(s, of).model_dump_json()
    for run in runs.runs(s, of).items:
        whole = runs.run(s, of, run.run_id)
        yield "run", whole.model_dump_json()
        for file in whole.artifacts:
            if file.kind in ("markdown", "json", "csv", "parquet"):
                yield file.path, artifacts.preview(s, of, file.path).model_dump_json()
    if regimes.latest_run(s, of) is not None:
        yield "regimes", regimes.regimes(s, of).model_dump_json()
        yield "history", regimes.history(s, of, "KO").model_dump_json()
        yield "tape", regimes.tape(s, of).model_dump_json()
    for basket in baskets.baskets(s, of):
        yield "basket", basket.model_dump_json()
    yield "rl", rl.dataset(s, of).model_dump_json()


@contextmanager
def suppressed() -> Iterator[None]:
    """What is not there for this asker is left out."""
    from regime_trading.core.errors import NotThere

    with suppress(NotThere):
        yield
