"""Pre-checks of people's own weights, wired as a run is: the same configuration, prices, books and guards."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from regime_trading.core.proposals import Content, Prechecked
from regime_trading.services.proposals import Precheck


def prechecker(artifacts: Path, config: Path) -> Precheck:
    """Decides weights for accounts as their run would, over an artifacts folder that is only read; loads the engine."""

    def check(content: Content, accounts: Sequence[str]) -> tuple[Prechecked, ...]:
        from regime_trading.adapters.events import Silent
        from regime_trading.agents.precheck import precheck
        from regime_trading.bootstrap import load_valid
        from regime_trading.bootstrap.app import ignore_solver, wire
        from regime_trading.services.overlay import Overlay
        from regime_trading.services.runs import Ask

        ignore_solver()
        with ExitStack() as stack:
            app = wire(artifacts, load_valid(config), Silent(), stack)
            proposal = content.proposal(app.runs.last_bar(content.source, None))
            request = app.runs.request(
                Ask(source=content.source, proposal=proposal, accounts=tuple(accounts))
            )
            return precheck(request, replace(app.deps, store=Overlay(app.store)))

    return check
