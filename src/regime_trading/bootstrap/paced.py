"""A paced dry run, wired over an artifacts folder of its own and a configuration that is read again when it changes.

``python -m regime_trading.bootstrap.paced --speed 5`` runs one on the terminal.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.calendars import ExchangeCalendar
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database import (
    Engine,
    SqlAuditLog,
    SqlLastGood,
    SqlLedger,
    SqlOverrides,
    SqlRLLog,
    SqlRuns,
    firms_with_entries,
    open_database,
)
from regime_trading.adapters.database.locks import held
from regime_trading.adapters.journal import ParquetInputs, ParquetSealer
from regime_trading.adapters.market_data import open_source
from regime_trading.bootstrap import (
    PRESETS,
    SETTINGS,
    TRADERS,
    config_folder,
    database_url,
    load_valid,
)
from regime_trading.bootstrap.acts import firm_history, make_acts
from regime_trading.bootstrap.halts import make_halts
from regime_trading.bootstrap.proof import open_proof, to_stderr
from regime_trading.bootstrap.selftest import require_live_rules
from regime_trading.bootstrap.version import code_version
from regime_trading.core.config_status import ConfigStatus
from regime_trading.core.errors import NotDurable, RegimeError, StoreDown
from regime_trading.core.ports import MarketData
from regime_trading.core.schemas import Mode
from regime_trading.core.trader_profile import TraderProfile, with_overrides
from regime_trading.services.acts import Acts
from regime_trading.services.backtest_plan import BacktestDeps, BacktestRequest
from regime_trading.services.configurations import take_over
from regime_trading.services.controls import Halts, in_force, took_effect
from regime_trading.services.market import tape_days
from regime_trading.services.paced import Bar, Paced
from regime_trading.services.paced_market import market_pages
from regime_trading.services.paced_plan import Loaded, PacedDeps, Prepared
from regime_trading.services.sealing import BackgroundSealing, Sealing
from regime_trading.services.study import Progress

FOLDER = Path("artifacts/demo")
PAGE_S = 1.0  #: between two pages of regimes
RETRY_S = 1.0  #: between two attempts where the store is down


@dataclass(frozen=True, slots=True)
class PacedApp:
    """A paced run and what people reach it through."""

    paced: Paced
    halts: Halts
    engine: Engine
    artifacts: Path


class Pacing:
    """``bars_per_second`` bars a second, until :meth:`stop`; as fast as it goes where None."""

    def __init__(self, bars_per_second: float | None) -> None:
        self._every_s = 0.0 if bars_per_second is None else 1.0 / bars_per_second
        self._due = 0.0
        self._over = threading.Event()

    def __call__(self) -> bool:
        """Wait until the next bar is due; False once stopped. A bar that took too long delays those after it."""
        now = time.monotonic()
        self._due = max(self._due + self._every_s, now)
        return not self._over.wait(self._due - now)

    def stop(self) -> None:
        """No further bar."""
        self._over.set()

    @property
    def is_over(self) -> bool:
        """It was stopped: what it paced may have more to do."""
        return self._over.is_set()

    def pause(self, seconds: float) -> bool:
        """Wait; False once stopped."""
        return not self._over.wait(seconds)


@contextmanager
def open_paced(
    request: BacktestRequest,
    *,
    artifacts: Path | None = None,
    config: Path | None = None,
    progress: Progress | None = None,
    alarm: Callable[[str], None] = to_stderr,
    told: Callable[[int], None] = lambda _: None,
) -> Iterator[PacedApp]:
    """A paced run, which nobody else may run over the same store meanwhile. It is not started yet.

    Parameters
    ----------
    request : BacktestRequest
    artifacts : Path, optional
        A folder of its own; ``artifacts/demo`` where None.
    config : Path, optional
        As everywhere.
    progress : callable, optional
        Told of the research before the first bar.
    alarm : callable
        Told in one sentence what a person must hear of now.
    told : callable
        Told of each bar that is durable: its time, UTC nanoseconds.

    Raises
    ------
    SilentRules
        A rule that no longer fires.
    InvalidConfig, BadInput
        What is wrong with the configuration.
    NotDurable
        Another process runs it, or the store cannot be used.
    """
    require_live_rules()
    with ExitStack() as stack:
        store = LocalArtifacts(artifacts or FOLDER)
        engine = open_database(database_url(store.root))
        stack.callback(engine.dispose)
        if not stack.enter_context(held(engine, "paced")):
            raise NotDurable(f"{store.root}: another process runs a paced run here")
        acts = make_acts(engine, store, code_version())
        files = Configured(config_folder(config), engine, acts, alarm)
        halts = make_halts(store.root, lambda: engine, lambda: acts, lambda: files().profiles, alarm)
        decided = stack.enter_context(_sealing(store, engine, files, alarm))
        pages = MarketPages(store, alarm, told)
        stack.callback(pages.write)
        deps = replace(_deps(store, engine, files, halts, alarm), decided=decided, shown=pages)
        yield PacedApp(Paced(request, deps, progress), halts, engine, store.root)


@contextmanager
def _sealing(
    store: LocalArtifacts, engine: Engine, files: Configured, alarm: Callable[[str], None]
) -> Iterator[Callable[[str, int], None]]:
    """Seals and signs the record of a paced run and of its firms beside it, and whatever is left at its end."""
    sealer, proof = ParquetSealer(store), open_proof(store, files().settings.audit.witness, to_stderr)

    sealing = Sealing(
        lambda firm: SqlAuditLog(engine, firm_id=firm),
        sealer,
        on_sealed=proof.sign,
        rl=lambda firm: SqlRLLog(engine, firm_id=firm),
    )
    background, clock = BackgroundSealing(sealing, alarm), SystemClock()
    try:
        yield lambda firm, decisions: background.nudge([firm], clock.now_ns(), decisions)
    finally:
        background.close()
        try:
            sealing.seal_all(firms_with_entries(engine))
        except RegimeError as error:
            alarm(f"sealing failed, the entries stay in the write-ahead store: {error}")


class MarketPages:
    """What is found of the market, written beside a paced run for whoever looks at it: once a second at most.

    Parameters
    ----------
    store : LocalArtifacts
    alarm, told : callable
    """

    def __init__(
        self, store: LocalArtifacts, alarm: Callable[[str], None], told: Callable[[int], None]
    ) -> None:
        self._store, self._alarm, self._told = store, alarm, told
        self._waiting: tuple[Prepared, int] | None = None
        self._next_s = 0.0

    def __call__(self, prepared: Prepared, bar: int) -> None:
        """A bar is durable."""
        self._told(int(prepared.inputs.market.ts_ns[bar]))
        self._waiting = (prepared, bar)
        if time.monotonic() >= self._next_s:
            self.write()
            self._next_s = time.monotonic() + PAGE_S

    def write(self) -> None:
        """Write the last bar, where it is not written yet; what cannot be written is only not shown."""
        if self._waiting is None:
            return
        (prepared, bar), self._waiting = self._waiting, None
        try:
            for path, data in market_pages(prepared, bar).items():
                self._store.write_bytes(path, data)
        except RegimeError as error:
            self._alarm(f"the regimes of the run cannot be shown: {error}")


class Configured:
    """The configuration as it is now: read again when a file of it has changed, taken over and recorded before use.

    Parameters
    ----------
    folder : Path
    engine : Engine
    acts : Acts
    alarm : callable
    """

    def __init__(self, folder: Path, engine: Engine, acts: Acts, alarm: Callable[[str], None]) -> None:
        self._folder, self._engine, self._acts, self._alarm = folder, engine, acts, alarm
        self._lock = threading.Lock()
        self._seen = self._fingerprint()
        self._loaded = self._load(starting=True)

    def __call__(self) -> Loaded:
        """The same object as long as nothing has changed; files that cannot be read at all change nothing."""
        with self._lock:
            if (found := self._fingerprint()) != self._seen:
                self._seen = found
                try:
                    self._loaded = self._load(starting=False)
                except StoreDown:
                    self._seen = ()
                    raise
                except RegimeError as error:
                    self._alarm(f"the changed configuration cannot be read, the earlier one holds: {error}")
            return self._loaded

    def _fingerprint(self) -> tuple[tuple[int, int, int], ...]:
        found = []
        for name in (SETTINGS, TRADERS, PRESETS):
            path = self._folder / name
            said = path.stat() if path.exists() else None
            found.append((0, 0, 0) if said is None else (said.st_mtime_ns, said.st_size, said.st_ino))
        return tuple(found)

    def _load(self, *, starting: bool) -> Loaded:
        read = load_valid(self._folder)
        standings = take_over(
            read.profiles,
            read.broken,
            lambda firm: SqlLastGood(self._engine, firm_id=firm),
            now_ns=SystemClock().now_ns(),
            starting=starting,
            acts=self._acts,
        )
        kept = tuple(
            s.profile for s in standings.values() if s.status is ConfigStatus.STALE and s.profile is not None
        )
        return Loaded(read.settings, (*read.profiles, *kept), standings)


def _deps(
    store: LocalArtifacts,
    engine: Engine,
    files: Configured,
    halts: Halts,
    alarm: Callable[[str], None],
) -> PacedDeps:
    settings = files().settings
    calendar = cache(ExchangeCalendar)

    @cache
    def source(name: str) -> MarketData:
        return open_source(name, calendars={key: item.calendar for key, item in settings.sources.items()})

    @cache
    def ledger(firm: str) -> SqlLedger:
        return SqlLedger(engine, firm_id=firm, env=Mode.DRY_RUN, announce_dry_runs=True)

    def tightened(profile: TraderProfile, as_of_ns: int) -> TraderProfile:
        stored = SqlOverrides(engine, firm_id=profile.firm_id).of(profile.account)
        return with_overrides(profile, stored, as_of_ns) if stored else profile

    return PacedDeps(
        history=BacktestDeps(
            settings=settings,
            profiles=files().profiles,
            source=source,
            calendar=calendar,
            day_edges=tape_days(settings, calendar),
            sealer=ParquetSealer(store),
            inputs=ParquetInputs(store),
            store=store,
            code_version=code_version(),
        ),
        configuration=files,
        in_force=tightened,
        ledger=ledger,
        audit=lambda firm: SqlAuditLog(engine, firm_id=firm),
        recorded=lambda firm: firm_history(engine, store, firm),
        runs=lambda firm: SqlRuns(engine, firm_id=firm),
        halts=partial(in_force, halts),
        under_halt=partial(took_effect, halts),
        alarm=alarm,
    )


def keep_running(
    paced: Paced, pacing: Pacing, alarm: Callable[[str], None], until: int | None = None
) -> Bar | None:
    """Run to the end, ``until`` bars or :meth:`Pacing.stop`; a store that is down is tried again, nothing is decided
    meanwhile."""
    while True:
        try:
            return paced.run(until, pacing)
        except StoreDown as down:
            alarm(f"the store is down, nothing is decided: {down}")
            if not pacing.pause(RETRY_S):
                return None


def main(arguments: list[str] | None = None) -> int:
    """Run one on the terminal; SIGTERM and SIGINT finish the bar and stop."""
    parser = argparse.ArgumentParser(prog="regime_trading.bootstrap.paced")
    parser.add_argument("--artifacts", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--source", default="bundled")
    parser.add_argument("--symbols")
    parser.add_argument("--accounts")
    parser.add_argument("--from", dest="first")
    parser.add_argument("--to", dest="last")
    parser.add_argument("--speed", type=float)
    parser.add_argument("--bars", type=int)
    said = parser.parse_args(arguments)
    request = _request(said)
    pacing = Pacing(said.speed)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: pacing.stop())
    with open_paced(request, artifacts=said.artifacts, config=said.config) as app:
        to_stderr(f"{app.paced.run_id}: {app.paced.start()} bars are done")
        keep_running(app.paced, pacing, to_stderr, said.bars)
    return 0


def _request(said: argparse.Namespace) -> BacktestRequest:
    import datetime as dt

    def day(text: str | None) -> dt.date | None:
        return None if text is None else dt.date.fromisoformat(text)

    def names(text: str | None) -> tuple[str, ...] | None:
        return None if text is None else tuple(part.strip() for part in text.split(","))

    return BacktestRequest(
        source=said.source,
        symbols=names(said.symbols),
        accounts=names(said.accounts),
        first_day=day(said.first),
        last_day=day(said.last),
    )


if __name__ == "__main__":
    sys.exit(main())
