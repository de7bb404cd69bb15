"""What the nodes may reach: ports and parameters, handed in by ``bootstrap``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from regime_trading.core.controls import InForce, nobody_halts
from regime_trading.core.errors import BadInput
from regime_trading.core.numbers import I8
from regime_trading.core.ports import (
    ArtifactStore,
    AuditLog,
    Broker,
    Calendar,
    InputStore,
    Ledger,
    MarketData,
    Notary,
    ProgressSink,
    RecordSealer,
)
from regime_trading.core.rules import TradingState
from regime_trading.core.schemas import Mode, PriceWindow
from regime_trading.core.settings import Settings
from regime_trading.core.state import Approval, Question
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.engine.histories import FeatureHistory, Progress, RegimeHistory


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything a run needs of the world.

    Parameters
    ----------
    settings : Settings
    profiles : tuple of TraderProfile
        Merged configuration of every account, in the order of the file.
    least_state : mapping
        Least trading state of the accounts whose configuration is not current (``core.config_status``).
    in_force : callable
        A configuration with the session overrides that tighten it at an instant, UTC nanoseconds.
    source, calendar : callable
        Data source and exchange calendar, by name.
    day_edges : callable
        Instants at which a trading day of a tape begins, by its calendar (None = the settings') and its span.
    regimes : callable
        Regimes of a window with these features, found once per content.
    store : ArtifactStore
    ledger : callable
        Store of one firm's accounts in one environment, by firm and mode.
    audit : callable
        Write-ahead record of one firm.
    sealer : RecordSealer
    inputs : InputStore
    broker : callable
        Broker of one account, by name of the account and of the source of prices.
    events : ProgressSink
    ask : callable
        Asks people: pauses the run until every account has its answer, in the same process or in another.
    notary : Notary, optional
        Signs what was sealed; None leaves the record unsigned.
    halts : callable
        What people have put in force for accounts, asked before each decision.
    """

    settings: Settings
    profiles: tuple[TraderProfile, ...]
    least_state: Mapping[str, TradingState]
    in_force: Callable[[TraderProfile, int], TraderProfile]
    source: Callable[[str], MarketData]
    calendar: Callable[[str], Calendar]
    day_edges: Callable[[str | None, int, int], I8]
    regimes: Callable[[PriceWindow, FeatureHistory, Progress | None], RegimeHistory]
    store: ArtifactStore
    ledger: Callable[[str, Mode], Ledger]
    audit: Callable[[str], AuditLog]
    sealer: RecordSealer
    inputs: InputStore
    broker: Callable[[str, str], Broker]
    events: ProgressSink
    ask: Callable[[Question], tuple[Approval, ...]]
    notary: Notary | None = None
    halts: InForce = nobody_halts

    def profile(self, account: str, as_of_ns: int) -> TraderProfile:
        """Configuration of one account at an instant, session overrides included.

        Raises
        ------
        BadInput
            No such account.
        """
        for profile in self.profiles:
            if profile.account == account:
                return self.in_force(profile, as_of_ns)
        known = ", ".join(profile.account for profile in self.profiles)
        raise BadInput(expected=f"one of {known}", found=account, where="account")
