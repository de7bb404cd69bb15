"""Halts from this machine, without a login: what ``regime halt`` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from regime_trading.adapters.artifacts import LocalArtifacts
from regime_trading.adapters.clock import SystemClock
from regime_trading.adapters.database import Engine, SqlLedger, open_database
from regime_trading.adapters.halt_flags import FlagFiles
from regime_trading.bootstrap import artifacts_folder, database_url, has_database, load_valid
from regime_trading.bootstrap.acts import make_acts
from regime_trading.bootstrap.halts import make_halts
from regime_trading.bootstrap.proof import to_stderr
from regime_trading.bootstrap.version import code_version
from regime_trading.core.access import Caller, Principal
from regime_trading.core.actors import plain_text
from regime_trading.core.controls import LOCAL, Control, Level, NewControl
from regime_trading.core.errors import BadInput, RegimeError, StoreDown
from regime_trading.core.instants import instant_text
from regime_trading.core.ports import Ledger
from regime_trading.core.schemas import ActorType
from regime_trading.core.trader_profile import TraderProfile
from regime_trading.services.acts import Acts
from regime_trading.services.controls import Halts, ResumeAsk, in_force, resume_together, status


def halt_here(
    artifacts: Path | None, config: Path | None, firm: str, account: str, level: str, reason: str
) -> bool:
    """Lay a flag down first, whatever works else, and take it into the database where that can be used; whether it
    could.

    Raises
    ------
    BadInput
        No such level, no reason, or a name that the configuration, where it can be read, does not have.
    NotDurable
        The flag could not be written: nothing is in force.
    """
    root, said = artifacts_folder(artifacts), plain_text(reason, "--reason")
    if level.upper() not in Level.__members__ or not said:
        raise BadInput(expected="K1, K2 or K3, and a reason", found=f"{level}, {said!r}", where="halt")
    profiles = _profiles(config)
    names = {p.account for p in profiles} if account else {p.firm_id for p in profiles}
    if names and (account or firm) not in names:
        raise BadInput(expected=f"one of {', '.join(sorted(names))}", found=account or firm, where="halt")
    new = NewControl(firm, account, Level[level.upper()], SystemClock().now_ns(), LOCAL, said)
    flag = FlagFiles(root).put(new)
    with _opened(root, profiles) as (halts, _):
        in_force(halts, [account or f"{firm}/any"])
        try:
            return any(one.flag == flag.digest for one in halts.store(firm).all())
        except StoreDown:
            return False


def halt_table(artifacts: Path | None, config: Path | None) -> list[dict[str, Any]]:
    """Of every account that is configured, what is in force and how far it has come; numbers are those of the halts."""
    root, profiles = artifacts_folder(artifacts), _profiles(config)
    with _opened(root, profiles) as (halts, engine):
        return [
            _told(halts, profile, SqlLedger(engine(), firm_id=profile.firm_id, env=profile.mode))
            for profile in profiles
        ]


def end_halts(
    artifacts: Path | None, config: Path | None, scope: str, number: int | None, reason: str
) -> tuple[Control, ...]:
    """End one halt over accounts in dry_run, or every halt of exactly a scope: a firm, or firm/account.

    Raises
    ------
    BadInput
        None is in force there, and as :func:`regime_trading.services.controls.resume_together`.
    """
    firm, _, account = scope.partition("/")
    with _opened(artifacts_folder(artifacts), _profiles(config)) as (halts, _):
        in_force(halts, [scope if account else f"{firm}/any"])  # flags become controls first, where they can
        standing = [one for one in halts.store(firm).all() if one.cleared_ns is None and one.scope == scope]
        if number is None and not standing:
            raise BadInput(expected=f"a halt of {scope} itself that is in force", found="none", where="halt")
        numbers = [one.control_no for one in standing] if number is None else [number]
        principal, by = Principal(LOCAL, (), Caller.LOCAL), (ActorType.SERVICE, LOCAL)
        asks = [ResumeAsk(firm, one, reason) for one in numbers]
        return resume_together(halts, asks, principal, by, lambda *_: False)


@contextmanager
def _opened(root: Path, profiles: Sequence[TraderProfile]) -> Iterator[tuple[Halts, Callable[[], Engine]]]:
    """Halts over a folder whose database is opened with its first use, where there is one."""
    with ExitStack() as stack:

        @cache
        def engine() -> Engine:
            if not has_database(root):
                raise StoreDown(f"{root}: no store yet")
            opened = open_database(database_url(root))
            stack.callback(opened.dispose)
            return opened

        def acts() -> Acts:
            return make_acts(engine(), LocalArtifacts(root), code_version())

        yield make_halts(root, engine, acts, lambda: profiles, to_stderr), engine


def _profiles(config: Path | None) -> tuple[TraderProfile, ...]:
    """Accounts that are configured; none where that cannot be read: a halt does not wait for it."""
    try:
        return load_valid(config).profiles
    except RegimeError as error:
        to_stderr(f"the configuration cannot be read, names are not checked: {error}")
        return ()


def _told(halts: Halts, profile: TraderProfile, ledger: Ledger) -> dict[str, Any]:
    said = status(halts, profile.account, ledger)
    numbers = [
        one.control_no
        for one in halts.store(profile.firm_id).all()
        if one.cleared_ns is None and one.covers(profile.account)
    ]
    return {
        "account": profile.account,
        "level": said.level,
        "text": said.text,
        "since": "" if said.since_ns is None else instant_text(said.since_ns),
        "by": said.set_by,
        "reason": said.reason,
        "halts": numbers,
        "flat": said.flat,
        "left": list(said.left),
        "of": said.of,
        "effective": None if said.effect is None else instant_text(said.effect.effective_ns),
        "decision_id": None if said.effect is None else said.effect.decision_id,
    }
