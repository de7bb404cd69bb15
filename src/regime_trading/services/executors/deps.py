"""What the executors of commands work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from regime_trading.core.ladder import Gate
from regime_trading.core.ports import Ledger, Overrides
from regime_trading.core.schemas import Mode
from regime_trading.core.state import Looked
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.services.acts import Acts, Who
from regime_trading.services.config_versions import ConfigService
from regime_trading.services.controls import Halts
from regime_trading.services.desk import Desk
from regime_trading.services.jobs import JobService
from regime_trading.services.proposals import ProposalService
from regime_trading.services.views.sources import FirmSources


@dataclass(frozen=True, slots=True)
class ExecutorDeps:
    """What the executors of commands work with; ``bootstrap`` fills it.

    Parameters
    ----------
    desk : callable
        The desk that holds the executors; asked for when a command is given.
    acts : callable
        What acts are recorded through.
    halts : Halts
    ledger : callable
        States of a firm's accounts, by its id and their mode.
    configs : callable
        Versions of the configuration as somebody: its acts are theirs in the record.
    profiles : callable
        Accounts of a firm by their full names, as their configuration is now, without session overrides.
    overrides : callable
        Session overrides of a firm, by its id.
    jobs : JobService
    look : callable
        Every account of a run that waits for people, as it would be decided now, by the id of the run.
    proposals : ProposalService
    sources : callable
        Sources of a firm's views, by its id.
    gate : callable
        The next gate of an account on the ladder to money, by its full name and mode.
    """

    desk: Callable[[], Desk]
    acts: Callable[[], Acts]
    halts: Halts
    ledger: Callable[[str, Mode], Ledger]
    configs: Callable[[Who], ConfigService]
    profiles: Callable[[str], Mapping[str, TraderProfile]]
    overrides: Callable[[str], Overrides]
    jobs: JobService
    look: Callable[[str], Mapping[str, Looked]]
    proposals: ProposalService
    sources: Callable[[str], FirmSources]
    gate: Callable[[str, Mode | None], Gate | None]
