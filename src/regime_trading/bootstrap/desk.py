"""The desk, wired: what a command does, and what it needs for it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial

from regime_trading.adapters.database import (
    SqlApprovals,
    SqlOverrides,
    SqlPreviews,
)
from regime_trading.bootstrap.server import Server
from regime_trading.core.commands.execution import Executor
from regime_trading.core.state import Looked
from regime_trading.services.acts import Acts
from regime_trading.services.command_executors import own_executors
from regime_trading.services.controls import Halts
from regime_trading.services.desk import Desk
from regime_trading.services.executors import ExecutorDeps, executors
from regime_trading.services.views.ladder import gate


def make_desk(server: Server, acts: Acts, halts: Halts) -> Desk:
    """The desk of an installation: every executor of a command behind one face."""
    found: dict[tuple[str, str], Executor] = {}
    desk = Desk(
        acts=acts,
        approvals=lambda firm: SqlApprovals(server.engine, firm_id=firm),
        ended=server.resumer().ended,
        previews=lambda firm: SqlPreviews(server.engine, firm_id=firm),
        executors=found,
        people=server.person,
        pseudonym=server.pseudonym,
        mode=server.mode,
        entropy=secrets.token_bytes,
    )
    deps = ExecutorDeps(
        desk=lambda: desk,
        acts=lambda: acts,
        halts=halts,
        ledger=server.ledger,
        configs=server.configs_as,
        profiles=lambda firm: {p.account: p for p in server.profiles() if p.firm_id == firm},
        overrides=lambda firm: SqlOverrides(server.engine, firm_id=firm),
        jobs=server.jobs(),
        look=partial(look_again, server),
        proposals=server.proposals(),
        sources=server.sources,
        gate=lambda account, mode: gate(
            server.sources(account.split("/")[0]), account, mode, server.started_ns
        ),
    )
    found |= own_executors(lambda: desk)
    found |= executors(deps)
    return desk


def look_again(server: Server, run_id: str) -> Mapping[str, Looked]:
    """Every account of a run that waits for people, decided again: by an application opened for it, which has read
    everything anew.

    Raises
    ------
    BadInput
        No such run, or it does not wait.
    InvalidConfig
        A configuration that cannot be read at all.
    """
    from regime_trading.bootstrap.app import open_app

    with open_app(artifacts=server.store.root, config=server.config, keep_valid=True) as app:
        return app.runs.look(run_id)
