"""The whole application, wired over an artifacts folder and a configuration."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.broker.simulated import SimulatedBroker
from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.adapters.checkpoint import open_checkpoints
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.config_files import Configuration
from regime_trading.adapters.database import (
    SqlActors,
    SqlApprovals,
    SqlAuditLog,
    SqlLastGood,
    SqlLedger,
    SqlOverrides,
    SqlRuns,
    open_database,
)
from regime_trading.adapters.database.locks import held
from regime_trading.adapters.events import Bar, Fanout, Lines, Silent
from regime_trading.adapters.journal import ParquetInputs, ParquetSealer
from regime_trading.adapters.market_data import open_source
from regime_trading.adapters.proposal_file import read_proposal, read_proposals
from regime_trading.agents.deps import Deps
from regime_trading.agents.graph import PIPELINE, build, pause
from regime_trading.bootstrap import artifacts_folder, database_url, load, load_valid, state_file
from regime_trading.bootstrap.acts import make_acts
from regime_trading.bootstrap.halts import make_halts
from regime_trading.bootstrap.proof import open_proof, to_stderr
from regime_trading.bootstrap.selftest import require_live_rules
from regime_trading.bootstrap.version import code_version
from regime_trading.core.config_status import ConfigStatus, Standing
from regime_trading.core.jobs import BY_SERVICE
from regime_trading.core.ports import MarketData, ProgressSink
from regime_trading.core.rules import TradingState
from regime_trading.core.schemas import Mode, PriceWindow
from regime_trading.core.settings import Settings
from regime_trading.core.trader_profile import TraderProfile, with_overrides
from regime_trading.engine.desk import fill_costs, research_params
from regime_trading.engine.histories import FeatureHistory, Progress, RegimeHistory
from regime_trading.services.acts import Acts
from regime_trading.services.configurations import take_over
from regime_trading.services.controls import in_force as halts_in_force
from regime_trading.services.desk import Requests
from regime_trading.services.market import tape_days
from regime_trading.services.run_approvals import Maker, RunApprovals
from regime_trading.services.runs import Ask, Effort, RunService, parse_time
from regime_trading.services.study import StudyCache, regime_history

if TYPE_CHECKING:
    from regime_trading.core.schemas import ProposalRows
    from regime_trading.services.backtest_plan import BacktestDeps

PATIENCE_S = 5.0  #: how long a run that another process has at this moment is waited for


@dataclass(frozen=True, slots=True)
class App:
    """What the terminal needs: the services over one artifacts folder and one configuration.

    ``standings`` says under which configuration each account runs. Only those whose configuration is current are
    decided.
    """

    store: LocalArtifacts
    configuration: Configuration
    runs: RunService
    deps: Deps
    standings: Mapping[str, Standing]

    @property
    def refused(self) -> tuple[Standing, ...]:
        """Accounts whose configuration is not current, in the order of the file."""
        return tuple(s for s in self.standings.values() if s.status is not ConfigStatus.CURRENT)

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
            own = read_proposal(proposal, self.runs.last_bar(source, until))
        return Ask(source, basket, split(symbols), own, split(accounts), until, effort)

    def backtest(self) -> BacktestDeps:
        """What the history loop needs."""
        from regime_trading.services.backtest_plan import BacktestDeps

        return BacktestDeps(
            settings=self.deps.settings,
            profiles=self.deps.profiles,
            source=self.deps.source,
            calendar=self.deps.calendar,
            day_edges=self.deps.day_edges,
            sealer=self.deps.sealer,
            inputs=self.deps.inputs,
            store=self.store,
            code_version=self.runs.code_version,
            notary=self.deps.notary,
        )

    def proposal_rows(self, path: Path) -> ProposalRows:
        """The user's own proposals over time."""
        from regime_trading.core.schemas import ProposalRows

        return ProposalRows(*read_proposals(path))


def split(text: str | None) -> tuple[str, ...]:
    """``A,B`` as a tuple, blanks dropped."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def shown(path: Path) -> Path:
    """``path`` as a person at this terminal would write it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


@contextmanager
def open_app(
    *,
    artifacts: Path | None = None,
    config: Path | None = None,
    bar: bool = False,
    events: ProgressSink | None = None,
    keep_valid: bool = False,
    by: str = "",
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
    keep_valid : bool
        A problem of one firm stops that firm only (``App.refused``); else any problem stops everything.
    by : str
        For whom runs are begun: a pseudonym, or ``service:…``; empty = for who runs this process.

    Raises
    ------
    SilentRules
        A rule that no longer fires.
    InvalidConfig, BadInput
        What is wrong with the configuration.
    """
    require_live_rules()
    ignore_solver()
    with ExitStack() as stack:
        told: ProgressSink = _LazyBar(stack) if bar else Lines()
        sink = told if events is None else Fanout([told, events])
        read = load_valid if keep_valid else load
        yield wire(artifacts_folder(artifacts), read(config), sink, stack, by)


def ignore_solver() -> None:
    """``tools.allocation`` checks every solution against its defining equation, whatever the solver says of it."""
    warnings.filterwarnings("ignore", message="Solution may be inaccurate", category=UserWarning)


class _LazyBar:
    """A progress bar that appears with the first event."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._sink: Bar | None = None

    def emit(self, event: Any) -> None:
        if self._sink is None:
            self._sink = self._stack.enter_context(Bar(len(PIPELINE)))
        self._sink.emit(event)


def wire(
    artifacts: Path, configuration: Configuration, events: ProgressSink | None, stack: ExitStack, by: str = ""
) -> App:
    """The application over ``artifacts``, its runs begun for ``by``; what must be closed goes onto ``stack``."""
    settings, profiles, version = configuration.settings, configuration.profiles, code_version()
    store = LocalArtifacts(artifacts)
    engine = open_database(database_url(store.root))
    stack.callback(engine.dispose)
    checkpoints = open_checkpoints(state_file(store.root, "checkpoints.db"))
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

    def in_force(profile: TraderProfile, as_of_ns: int) -> TraderProfile:
        stored = SqlOverrides(engine, firm_id=profile.firm_id).of(profile.account)
        return with_overrides(profile, stored, as_of_ns) if stored else profile

    acts = make_acts(engine, store, version)
    standings = take_over(
        profiles,
        configuration.broken,
        lambda firm: SqlLastGood(engine, firm_id=firm),
        now_ns=SystemClock().now_ns(),
        acts=acts,
    )
    kept = tuple(
        s.profile for s in standings.values() if s.status is ConfigStatus.STALE and s.profile is not None
    )
    least_state = {
        profile.account: standings[profile.account].least_state
        for profile in kept
        if standings[profile.account].least_state > TradingState.NORMAL
    }
    halts = make_halts(store.root, lambda: engine, lambda: acts, lambda: (*profiles, *kept), to_stderr)
    deps = Deps(
        settings=settings,
        profiles=(*profiles, *kept),
        least_state=least_state,
        in_force=in_force,
        source=source,
        calendar=calendar,
        day_edges=tape_days(settings, calendar),
        regimes=regimes,
        store=store,
        ledger=ledger,
        audit=lambda firm: SqlAuditLog(engine, firm_id=firm),
        sealer=sealer,
        inputs=ParquetInputs(store),
        broker=broker,
        events=events or Silent(),
        ask=pause,
        notary=open_proof(store, settings.audit.witness, _told_at_the_end(stack)),
        halts=partial(halts_in_force, halts),
    )
    runs = RunService(
        settings=settings,
        profiles=(*profiles, *kept),
        least_state=least_state,
        code_version=version,
        source=source,
        ledger=ledger,
        records=lambda firm: SqlRuns(engine, firm_id=firm),
        sealer=sealer,
        store=store,
        flow=build(deps, checkpoints),
        in_force=in_force,
        approvals=RunApprovals(
            Requests(acts=acts, approvals=lambda firm: SqlApprovals(engine, firm_id=firm)),
            lambda firm: _maker(engine, acts, firm, by),
        ),
        alone=partial(_alone, engine),
        halts=partial(halts_in_force, halts),
    )
    return App(store, configuration, runs, deps, standings)


def _maker(engine: Any, acts: Acts, firm: str, by: str) -> Maker:
    """Who asks for runs: the person behind a pseudonym, a service, or whoever runs this process."""
    if by.startswith(BY_SERVICE):
        return Maker(by, by, by)
    if not by:
        pseudonym = acts.actor(firm)[1]
        return Maker(f"local:{pseudonym}", "terminal", pseudonym)
    kind, _, user_id = SqlActors(engine, firm_id=firm).subject(by).partition(":")
    known = {"user": user_id, "local": f"local:{by}"}
    return Maker(known.get(kind, by), "job", by)  # whom nobody knows any more may do nothing any more


@contextmanager
def _alone(engine: Any, run_id: str) -> Iterator[bool]:
    """Hold a run; whoever has it, perhaps only to say that it waits, is given some time first."""
    until = time.monotonic() + PATIENCE_S
    while True:
        with held(engine, f"run {run_id}") as mine:
            if mine or time.monotonic() > until:
                yield mine
                return
        time.sleep(0.1)


def _told_at_the_end(stack: ExitStack) -> Callable[[str], None]:
    """Collects sentences and says each once, on stderr, when the bar is gone."""
    told: dict[str, None] = {}

    def say() -> None:
        for text in told:
            to_stderr(text)

    stack.callback(say)
    return lambda text: told.setdefault(text)


def _source(settings: Settings, name: str) -> MarketData:
    return open_source(name, calendars={key: item.calendar for key, item in settings.sources.items()})
