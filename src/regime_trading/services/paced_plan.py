"""What a paced run decides from: accounts and their configurations, prices and research, ready to step through."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from regime_trading.core.canonical import content_hash
from regime_trading.core.config_status import Standing
from regime_trading.core.controls import InForce, nobody_halts
from regime_trading.core.errors import BadInput
from regime_trading.core.ports import AuditLog, Ledger, RecordHistory, Runs
from regime_trading.core.rules import TradingState
from regime_trading.core.schemas import Mode
from regime_trading.core.settings import Settings
from regime_trading.core.trader_profile import TraderProfile, effective_bytes
from regime_trading.engine.backtest import HistoryInputs
from regime_trading.engine.desk import make_desk
from regime_trading.engine.universe import choose_accounts
from regime_trading.services.backtest_plan import (
    BacktestDeps,
    BacktestRequest,
    Plan,
    history_inputs,
    make_plan,
    plan_readings,
)
from regime_trading.services.controls import Carried
from regime_trading.services.study import Progress, Study, StudyCache, study


@dataclass(frozen=True, slots=True)
class Loaded:
    """The configuration as it stands: settings, the accounts that can be decided, and how every account stands."""

    settings: Settings
    profiles: tuple[TraderProfile, ...]
    standings: Mapping[str, Standing]

    @property
    def least_state(self) -> dict[str, TradingState]:
        """What the standing of each account demands."""
        return {name: one.least_state for name, one in self.standings.items()}


@dataclass(frozen=True, slots=True)
class PacedDeps:
    """What a paced run reaches the world through.

    Parameters
    ----------
    history : BacktestDeps
        Sources, calendars, inputs, store and code; its settings and profiles are not used.
    configuration : callable
        The configuration as it is now; the same object as long as nothing has changed.
    in_force : callable
        A configuration with the session overrides that tighten it at an instant.
    ledger : callable
        Dry-run store of one firm.
    audit : callable
        Write-ahead record of one firm.
    recorded : callable
        Everything recorded of one firm.
    runs : callable
        Runs of one firm.
    halts : callable
        What people have put in force for accounts.
    under_halt : callable
        Told of durable decisions that were made under a halt.
    decided : callable
        Told, by firm, of decisions that are durable now.
    shown : callable
        Told of a bar that is durable: what is prepared, and its row.
    alarm : callable
        Told in one sentence what a person must hear of now.
    """

    history: BacktestDeps
    configuration: Callable[[], Loaded]
    in_force: Callable[[TraderProfile, int], TraderProfile]
    ledger: Callable[[str], Ledger]
    audit: Callable[[str], AuditLog]
    recorded: Callable[[str], RecordHistory]
    runs: Callable[[str], Runs]
    halts: InForce = nobody_halts
    under_halt: Callable[[Sequence[Carried]], None] = lambda _: None
    decided: Callable[[str, int], None] = lambda *_: None
    shown: Callable[[Prepared, int], None] = lambda *_: None
    alarm: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that does not change from bar to bar until somebody changes the configuration; ``configs`` holds what
    is decided under, by hash."""

    loaded: Loaded
    plan: Plan
    study: Study
    inputs: HistoryInputs
    configs: Mapping[str, bytes]

    @property
    def accounts(self) -> tuple[str, ...]:
        """Full names, one a row."""
        return self.inputs.desk.accounts

    @property
    def firms(self) -> tuple[str, ...]:
        """Firm ids, sorted."""
        return tuple(sorted({who.firm_id for who in self.inputs.identities}))


def paced_run_id(request: BacktestRequest) -> str:
    """Id of a paced run: it follows from what was asked alone, so that it is the same run under another configuration.

    Raises
    ------
    BadInput
        Proposals of one's own: a paced run follows the accounts' baskets.
    """
    if request.proposals is not None:
        raise BadInput(
            expected="a basket, symbols or the accounts' baskets", found="proposals", where="paced run"
        )
    return request.run_id or f"paced-{request_hash(request)[:16]}"


def request_hash(request: BacktestRequest) -> str:
    """SHA-256 of what was asked."""
    return content_hash(
        {
            "source": request.source,
            "basket": request.basket or "",
            "symbols": list(request.symbols or ()),
            "first_day": str(request.first_day),
            "last_day": str(request.last_day),
            "accounts": list(request.accounts or ()),
        }
    )


def prepare(
    request: BacktestRequest,
    loaded: Loaded,
    held: set[str],
    deps: PacedDeps,
    progress: Progress | None = None,
    *,
    left: Collection[str] = (),
) -> Prepared:
    """Plan, research and inputs under a configuration; what is ``held`` stays among the symbols, and accounts that are
    ``left`` to others are none of it.

    Raises
    ------
    BadInput
        A request, a source or a configuration that cannot be accepted.
    """
    dry = tuple(profile for profile in loaded.profiles if profile.mode is Mode.DRY_RUN)
    if not dry:
        raise BadInput(expected="an account in dry_run", found="none", where="paced run")
    chosen = tuple(one for one in choose_accounts(dry, request.accounts) if one.account not in left)
    if not chosen:
        raise BadInput(expected="an account to decide", found="none that is not ahead", where="paced run")
    mine = replace(deps.history, settings=loaded.settings, profiles=chosen)
    request = replace(request, run_id=paced_run_id(request), accounts=None)
    plan = _holding(make_plan(request, mine), held)
    cache = StudyCache(mine.store, mine.code_version)
    found = study(plan.window, plan.universe, loaded.settings, cache, progress)
    inputs = history_inputs(plan, found, request, plan_readings(plan, mine), mine, progress)
    return under(Prepared(loaded, plan, found, inputs, {}), plan.profiles, mine.code_version)


def under(prepared: Prepared, profiles: tuple[TraderProfile, ...], code_version: str) -> Prepared:
    """The same accounts under other rules (a session override): nothing is computed again but what depends on them."""
    inputs, loaded = prepared.inputs, prepared.loaded
    least = [loaded.least_state.get(profile.account, TradingState.NORMAL) for profile in profiles]
    desk = make_desk(
        profiles, inputs.market.symbols, loaded.settings, inputs.desk.annual, inputs.desk.operators, least
    )
    identities = tuple(
        replace(who, config_hash=profile.config_hash, code_version=code_version)
        for who, profile in zip(inputs.identities, profiles, strict=True)
    )
    return replace(
        prepared,
        plan=replace(prepared.plan, profiles=profiles),
        inputs=replace(inputs, desk=desk, identities=identities),
        configs={profile.config_hash: effective_bytes(profile) for profile in profiles},
    )


def _holding(plan: Plan, held: set[str]) -> Plan:
    """The plan with everything among its symbols that an account holds or has ordered."""
    if held <= set(plan.universe.symbols):
        return plan
    universe = replace(plan.universe, symbols=tuple(sorted({*plan.universe.symbols, *held})))
    until = int(plan.window.ts_ns[-1])
    window = plan.data.window(until=until, symbols=universe.columns)
    first = int(np.searchsorted(window.ts_ns, plan.window.ts_ns[plan.first]))
    return replace(
        plan,
        universe=universe,
        window=window,
        health=plan.data.health(until=until, symbols=universe.columns),
        first=first,
        last=len(window.ts_ns) - 1,
    )
