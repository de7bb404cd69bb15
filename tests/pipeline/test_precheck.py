"""A pre-check says what the run then decides, and leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.proposal_samples import content

from regime_trading.adapters.events import Silent
from regime_trading.agents.precheck import precheck
from regime_trading.bootstrap.app import open_app
from regime_trading.core.schemas import Mode
from regime_trading.services.overlay import Overlay
from regime_trading.services.runs import Ask, parse_time

ROOT = Path(__file__).parents[2]
ACCOUNTS = ("north-pier/core", "north-pier/defensive")
AS_OF = parse_time("1993-09-30", "test")


def left(folder: Path) -> dict[str, bytes]:
    """Every file but what is worked out again from prices alone, and the journal of SQLite."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in ("cache", "state")
    }


@pytest.mark.parametrize("complete", [True, False])
def test_it_is_what_the_run_decides_and_nothing_is_recorded(tmp_path: Path, complete: bool) -> None:
    weights = {"KO": "0.4", "PEP": "0.3", "XOM": "0.2"}
    own = content("north-pier", weights=weights, complete=complete)
    with open_app(artifacts=tmp_path, config=ROOT / "config", events=Silent()) as app:
        proposal = own.proposal(app.runs.last_bar("bundled", AS_OF))
        request = app.runs.request(Ask(proposal=proposal, accounts=ACCOUNTS, as_of_ns=AS_OF))
        before = left(tmp_path)
        found = precheck(request, replace(app.deps, store=Overlay(app.store)))
        assert left(tmp_path) == before
        assert not app.runs.can_resume(request.run_id)
        assert app.runs.records("north-pier").all() == ()
        assert app.deps.ledger("north-pier", Mode.DRY_RUN).load(ACCOUNTS[0], AS_OF + 1) is None
        decided = app.runs.carry_out(request).state.decisions
    assert decided is not None and len(decided) == len(ACCOUNTS)
    assert tuple(one.decision for one in found) == decided
    for one in found:
        held, proposed, allowed = one.volatility
        targets = one.decision.targets
        assert held == 0.0 and proposed is not None and allowed is not None
        assert (allowed < proposed) == any(t.target_w != t.proposed_w for t in targets)
        sigma = next(rule for rule in one.decision.rules if rule.rule_id == "VT-01")
        assert sigma.value is not None and allowed <= float(sigma.limit or 1) + 1e-9
