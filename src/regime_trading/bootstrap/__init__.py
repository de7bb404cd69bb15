"""The one place where adapters, agents and services meet, and the only reader of the environment."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regime_trading import __version__
from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.broker.simulated import SimulatedBroker
from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.adapters.checkpoint import open_checkpoints
from regime_trading.adapters.config_files import Configuration, load_configuration
from regime_trading.adapters.database import SqlAuditLog, SqlLedger, SqlRuns, open_database, sqlite_url
from regime_trading.adapters.events import Bar, Fanout, Lines, Silent
from regime_trading.adapters.journal import ParquetSealer
from regime_trading.adapters.market_data import open_source
from regime_trading.adapters.proposal_file import read_proposal, read_proposals
from regime_trading.adapters.venues.secrets import Credentials
from regime_trading.agents.deps import Deps
from regime_trading.agents.graph import PIPELINE, build
from regime_trading.core.canonical import sha256_hex
from regime_trading.core.errors import BadInput
from regime_trading.core.ports import MarketData, ProgressSink
from regime_trading.core.schemas import Mode, PriceWindow
from regime_trading.core.settings import InvalidConfig, Settings
from regime_trading.core.trader_profile import explain
from regime_trading.engine.desk import fill_costs, research_params
from regime_trading.engine.histories import FeatureHistory, Progress, RegimeHistory
from regime_trading.services.market import tape_days
from regime_trading.services.runs import Ask, Effort, RunService, parse_time
from regime_trading.services.study import StudyCache, regime_history

if TYPE_CHECKING:
    from regime_trading.services.backtest import BacktestDeps, ProposalRows

PURE_LAYERS = ("core", "tools", "guards", "engine")
SETTINGS, TRADERS = "settings.yaml", "traders.yaml"


@dataclass(frozen=True, slots=True)
class App:
    """What the terminal needs: the services over one artifacts folder and one configuration."""

    store: LocalArtifacts
    configuration: Configuration
    runs: RunService
    deps: Deps

    def run_folder(self, run_id: str) -> Path:
        """Where a run's report lies."""
        return shown(self.store.root / "runs" / run_id)

    def ask(
        self,
        source: str,
        basket: str | None,
        symbols: str | None,
        proposal: Path | None,
        accounts: str | None,
        as_of: str | None,
        effort: Effort,
    ) -> Ask:
        """A request from the words of the command line."""
        until = None if as_of is None else parse_time(as_of, "--as-of")
        own = None
        if proposal is not None:
            last = self.runs.source(source).window(until=until).ts_ns[-1:]
            own = read_proposal(proposal, int(last[0]) if len(last) else 0)
        return Ask(source, basket, split(symbols), own, split(accounts), until, effort)

    def backtest(self) -> BacktestDeps:
        """What the history loop needs."""
        from regime_trading.services.backtest import BacktestDeps

        return BacktestDeps(
            settings=self.deps.settings,
            profiles=self.deps.profiles,
            source=self.deps.source,
            calendar=self.deps.calendar,
            day_edges=self.deps.day_edges,
            sealer=self.deps.sealer,
            store=self.store,
            code_version=self.runs.code_version,
        )

    def proposal_rows(self, path: Path) -> ProposalRows:
        """The user's own proposals over time."""
        from regime_trading.services.backtest import ProposalRows

        return ProposalRows(*read_proposals(path))


def split(text: str | None) -> tuple[str, ...]:
    """``A,B`` as a tuple, blanks dropped."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def shown(path: Path) -> Path:
    """``path`` as a person at this terminal would write it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def artifacts_folder(given: Path | None) -> Path:
    """``given``, else ``REGIME_ARTIFACTS``, else ``./artifacts``."""
    return given or Path(os.environ.get("REGIME_ARTIFACTS") or "artifacts")


def config_folder(given: Path | None) -> Path:
    """``given``, else ``REGIME_CONFIG``, else ``./config``.

    Raises
    ------
    BadInput
        No such folder.
    """
    folder = given or Path(os.environ.get("REGIME_CONFIG") or "config")
    if not folder.is_dir():
        raise BadInput(
            expected=f"a folder with {SETTINGS} and {TRADERS} (--config or REGIME_CONFIG)",
            found="none",
            where=str(folder),
        )
    return folder


def venue_credentials(venue: str) -> Credentials | None:
    """Keys of a venue from the environment; None where it needs none."""
    if not venue.startswith("alpaca"):
        return None
    return Credentials(os.environ.get("ALPACA_API_KEY", ""), os.environ.get("ALPACA_API_SECRET", ""))


def load(config: Path | None) -> Configuration:
    """Both configuration files.

    Raises
    ------
    InvalidConfig, BadInput
        What is wrong with them.
    """
    folder = config_folder(config)
    return load_configuration(folder / SETTINGS, folder / TRADERS)


@cache
def code_version() -> str:
    """Version of the package, and a hash over the sources that can change a decision."""
    package = Path(__file__).parent.parent
    files = sorted(path for layer in PURE_LAYERS for path in (package / layer).rglob("*.py"))
    listed = [f"{path.relative_to(package).as_posix()} {sha256_hex(path.read_bytes())}" for path in files]
    return f"{__version__}+{sha256_hex(chr(10).join(listed).encode())[:12]}"


@contextmanager
def open_app(
    *,
    artifacts: Path | None = None,
    config: Path | None = None,
    bar: bool = False,
    events: ProgressSink | None = None,
) -> Iterator[App]:
    """Wire everything over an artifacts folder and a configuration, and close it again.

    Parameters
    ----------
    artifacts, config : Path, optional
        Folders; the environment and then the defaults where None.
    bar : bool
        Show a progress bar on the terminal; else one line per stage.
    events : ProgressSink, optional
        Another place for progress events.
    """
    # tools.allocation checks every solution against its defining equation, whatever the solver says of it
    warnings.filterwarnings("ignore", message="Solution may be inaccurate", category=UserWarning)
    with ExitStack() as stack:
        told: ProgressSink = _LazyBar(stack) if bar else Lines()
        sink = told if events is None else Fanout([told, events])
        yield wire(artifacts_folder(artifacts), load(config), sink, stack)


class _LazyBar:
    """A progress bar that appears with the first event."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._sink: Bar | None = None

    def emit(self, event: Any) -> None:
        if self._sink is None:
            self._sink = self._stack.enter_context(Bar(len(PIPELINE)))
        self._sink.emit(event)


def wire(artifacts: Path, configuration: Configuration, events: ProgressSink | None, stack: ExitStack) -> App:
    """The application over ``artifacts``; what must be closed goes onto ``stack``."""
    settings, profiles, version = configuration.settings, configuration.profiles, code_version()
    store = LocalArtifacts(artifacts)
    engine = open_database(sqlite_url(_state_file(store, "regime.db")))
    stack.callback(engine.dispose)
    checkpoints = open_checkpoints(_state_file(store, "checkpoints.db"))
    stack.callback(checkpoints.conn.close)
    sealer, studies = ParquetSealer(store), StudyCache(store, version)

    calendar = cache(ExchangeCalendar)

    @cache
    def source(name: str) -> MarketData:
        return _source(settings, name)

    @cache
    def ledger(firm: str, mode: Mode) -> SqlLedger:
        return SqlLedger(engine, firm_id=firm, env=mode)

    def broker(account: str, prices: str) -> SimulatedBroker:
        firm = account.split("/")[0]
        return SimulatedBroker(
            ledger(firm, Mode.DRY_RUN), source(prices), fill_costs(settings), settings.instruments.spec
        )

    def regimes(window: PriceWindow, found: FeatureHistory, progress: Progress | None) -> RegimeHistory:
        return regime_history(window, found, research_params(settings), studies, progress)

    deps = Deps(
        settings=settings,
        profiles=profiles,
        source=source,
        calendar=calendar,
        day_edges=tape_days(settings, calendar),
        regimes=regimes,
        store=store,
        ledger=ledger,
        audit=lambda firm: SqlAuditLog(engine, firm_id=firm),
        sealer=sealer,
        broker=broker,
        events=events or Silent(),
    )
    runs = RunService(
        settings=settings,
        profiles=profiles,
        code_version=version,
        source=source,
        ledger=ledger,
        records=lambda firm: SqlRuns(engine, firm_id=firm),
        sealer=sealer,
        store=store,
        flow=build(deps, checkpoints),
    )
    return App(store, configuration, runs, deps)


def _state_file(store: LocalArtifacts, name: str) -> Path:
    path = store.root / "state" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _source(settings: Settings, name: str) -> MarketData:
    return open_source(name, calendars={key: item.calendar for key, item in settings.sources.items()})


def check_configuration(config: Path | None) -> list[dict[str, Any]]:
    """Everything wrong with the configuration, in the words of ``contracts.md`` 14; empty where it is valid."""
    try:
        load(config)
    except InvalidConfig as error:
        return [
            finding.model_dump(mode="json", exclude={"expected", "found"}) | {"message": finding.message}
            for finding in error.findings
        ]
    return []


def explain_value(config: Path | None, account: str, path: str) -> list[dict[str, Any]]:
    """What each layer says about one value of an account, from the top down.

    Raises
    ------
    BadInput
        No such account, or no such path, with the nearest one.
    """
    profiles = {profile.account: profile for profile in load(config).profiles}
    if account not in profiles:
        raise BadInput(expected=f"one of {', '.join(profiles)}", found=account, where="account")
    return [
        {
            "layer": f"{step.layer} {step.name}",
            "value": step.value,
            "where": step.file if step.line is None else f"{step.file}:{step.line}",
            "operator": step.operator.value,
            "winning": step.winning,
        }
        for step in explain(profiles[account], path)
    ]
