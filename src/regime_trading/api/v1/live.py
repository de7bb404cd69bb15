"""Modes and halts: where every account stands, stopping it, and letting it go on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from regime_trading.api.deps import (
    Allowed,
    Base,
    BaseDep,
    record_refusal,
    require,
    require_also,
    visible_accounts,
)
from regime_trading.api.errors import ApiError
from regime_trading.api.idempotency import OnceDep
from regime_trading.api.v1.live_shapes import (
    ControlOut,
    HaltedOut,
    HaltIn,
    HaltOut,
    LiveOut,
    ModeIn,
    ResumeIn,
    account_out,
    control_out,
    halt_out,
    halted_out,
)
from regime_trading.core.access import Answer, Permission
from regime_trading.core.config_versions import NeedsAgreement
from regime_trading.core.controls import Control, Flag, HaltStatus, Level, permission
from regime_trading.core.errors import NotDurable, NotThere, RegimeError, StoreDown
from regime_trading.core.ladder import reasons_against
from regime_trading.core.ports import Ledger
from regime_trading.core.schemas import ActorType, Mode
from regime_trading.services.acts import Who
from regime_trading.services.controls import (
    SOMEBODY_LOCAL,
    HaltAsk,
    Halts,
    ResumeAsk,
    halt,
    in_force,
    resume,
    runs_dry,
    status,
)
from regime_trading.services.views.accounts import AccountSummary
from regime_trading.services.views.accounts import accounts as summaries
from regime_trading.services.views.base import Asker
from regime_trading.services.views.ladder import GateShown, gate, gate_of, shown
from regime_trading.services.views.sources import FirmSources

LOG = logging.getLogger("regime_trading.api")
Reader = Annotated[Allowed, require(Permission.READ, some=True)]
Halter = Annotated[Allowed, require(Permission.HALT)]
FirmHalter = Annotated[Allowed, require(Permission.KILL_FIRM)]
Resumer = Annotated[Allowed, require(Permission.REQUEST_UNLOCK)]
Shadower = Annotated[Allowed, require(Permission.SHADOW)]


@dataclass(frozen=True, slots=True)
class LiveDeps:
    """What the routes rest on.

    Parameters
    ----------
    halts : Halts
    void : callable
        Void every pending request that loosens an account (None = of the whole firm), by firm, account and reason; how
        many went (``services.approvals.void_pending``).
    pseudonym : callable
        Of a person in the record, by firm and user id.
    sources_of : callable
        What the views of a firm read.
    ledger : callable
        Positions of a firm in a mode.
    tested_ns : int
        When the rules of this process were tested.
    """

    halts: Halts
    void: Callable[[str, str | None, str], int]
    pseudonym: Callable[[str, str], str]
    sources_of: Callable[[str], FirmSources]
    ledger: Callable[[str, Mode], Ledger]
    tested_ns: int


def live_router(deps: LiveDeps) -> APIRouter:
    """Routes over the halts and modes of a firm. Halting works while the store is down."""
    router = APIRouter(prefix="/firms/{firm}", tags=["live"])
    _add_reading(router, deps)
    _add_halting(router, deps)
    _add_ending(router, deps)
    return router


def _add_reading(router: APIRouter, deps: LiveDeps) -> None:
    @router.get("/live")
    def read_live(firm: str, allowed: Reader, base: BaseDep) -> LiveOut:
        """Mode, trading state, latches, halts and the next gate of every account one may see."""
        names, modes = visible_accounts(allowed, base), deps.halts.modes(firm)
        known, missing = _summaries(deps, firm, allowed)
        gates = _gates(deps, firm, {name: modes.get(name) for name in names}, allowed)
        rows = tuple(
            account_out(
                name, modes.get(name), known.get(name), _halt_of(deps, name, modes.get(name)), gates.get(name)
            )
            for name in names
        )
        return LiveOut(accounts=rows, degraded=missing)

    @router.get("/controls")
    def list_controls(
        firm: str, allowed: Reader, base: BaseDep, limit: Annotated[int, Query(ge=1, le=200)] = 100
    ) -> list[ControlOut]:
        """Halts over accounts one may see and over the firm, the newest first."""
        seen, store = set(visible_accounts(allowed, base)), deps.halts.store(firm)
        effects = [one for one in store.effects() if one.account in seen]
        mine = [one for one in store.all() if one.account in {"", *seen}]
        newest = sorted(mine, key=lambda one: one.control_no, reverse=True)[:limit]
        return [control_out(one, effects) for one in newest]


def _add_halting(router: APIRouter, deps: LiveDeps) -> None:
    answers: dict[int | str, dict[str, Any]] = {
        202: {"model": HaltedOut, "description": "In force as a flag: the store is down"}
    }

    @router.post("/accounts/{account}/halt", status_code=201, responses=answers)
    def halt_account(
        firm: str,
        account: str,
        body: HaltIn,
        allowed: Halter,
        base: BaseDep,
        request: Request,
        response: Response,
        _once: OnceDep,
    ) -> HaltedOut:
        """Halt an account: K1 as an analyst and up, K2 and K3 as a PM or an administrator. It voids every pending
        request that loosens the account."""
        name, level = f"{firm}/{account}", Level[body.level]
        require_also(request, base, allowed, permission(level, name), name)
        return _halt(deps, allowed, HaltAsk(firm, name, level, body.reason), response)

    @router.post("/halt", status_code=201, responses=answers)
    def halt_firm(
        firm: str, body: HaltIn, allowed: FirmHalter, response: Response, _once: OnceDep
    ) -> HaltedOut:
        """Halt every account of the firm, those to come too. It voids pending requests that loosen any of them."""
        return _halt(deps, allowed, HaltAsk(firm, "", Level[body.level], body.reason), response)


def _add_ending(router: APIRouter, deps: LiveDeps) -> None:
    @router.post("/accounts/{account}/resume")
    def resume_account(
        firm: str,
        account: str,
        body: ResumeIn,
        allowed: Resumer,
        base: BaseDep,
        request: Request,
        _once: OnceDep,
    ) -> ControlOut:
        """End one halt of an account that runs dry, having just proved who one is; any other account takes a second
        person (``needs_agreement``)."""
        return _resume(deps, request, base, allowed, f"{firm}/{account}", body)

    @router.post("/resume")
    def resume_firm(
        firm: str, body: ResumeIn, allowed: Resumer, base: BaseDep, request: Request, _once: OnceDep
    ) -> ControlOut:
        """End one halt of the whole firm, where all of it runs dry."""
        return _resume(deps, request, base, allowed, "", body)

    @router.post("/accounts/{account}/mode", status_code=403, response_class=Response)
    def change_mode(
        firm: str, account: str, body: ModeIn, allowed: Shadower, base: BaseDep, request: Request
    ) -> None:
        """Refused whoever asks, and recorded, with every reason: no account has passed the gate before it."""
        name, target = f"{firm}/{account}", Mode(body.mode)
        asked = Permission.SHADOW if target is Mode.SHADOW else Permission.REQUEST_LIVE
        require_also(request, base, allowed, asked, name)
        record_refusal(request, base, allowed, asked, allowed.target, Answer.NO_ROLE)
        found = gate(deps.sources_of(firm), name, deps.halts.modes(firm).get(name), deps.tested_ns)
        detail = "; ".join((f"{body.mode} was not enabled", *reasons_against(target, found)))
        raise ApiError(403, "not_built", detail)


# --- reading ------------------------------------------------------------------------------------------------


def _summaries(deps: LiveDeps, firm: str, allowed: Allowed) -> tuple[Mapping[str, AccountSummary], str]:
    """Accounts at a glance by name, and what cannot be read: halts are shown even then."""
    try:
        asker = Asker(allowed.principal, allowed.now_ns)
        return {one.account: one for one in summaries(deps.sources_of(firm), asker)}, ""
    except RegimeError as error:
        LOG.error("trading states of %s cannot be read: %s", firm, error)
        return {}, "trading states and latches cannot be read now"


def _gates(
    deps: LiveDeps, firm: str, modes: Mapping[str, Mode | None], allowed: Allowed
) -> Mapping[str, GateShown | None]:
    """The next gate of every account; nothing where the record cannot be read."""
    try:
        spans, asker = deps.sources_of(firm).record.spans(), Asker(allowed.principal, allowed.now_ns)
    except RegimeError as error:
        LOG.error("gates of %s cannot be told: %s", firm, error)
        return {}
    return {name: shown(gate_of(spans, name, mode, deps.tested_ns), asker) for name, mode in modes.items()}


def _halt_of(deps: LiveDeps, name: str, mode: Mode | None) -> HaltOut:
    """How far a halt has come; where positions cannot be read, that it is in force, and no more."""
    firm = name.partition("/")[0]
    try:
        if mode is None:
            raise StoreDown(f"{name} has no mode")
        found = status(deps.halts, name, deps.ledger(firm, mode))
        return halt_out(found, deps.halts.store(firm).all(), positions_known=True)
    except RegimeError as error:
        LOG.error("positions of %s cannot be read: %s", name, error)
        said = in_force(deps.halts, [name])[name]
        bare = HaltStatus(name, said.level, said.reason, said.set_by, said.set_ns)
        return halt_out(bare, (), positions_known=False)


# --- acting -------------------------------------------------------------------------------------------------


def _halt(deps: LiveDeps, allowed: Allowed, ask: HaltAsk, response: Response) -> HaltedOut:
    """Set a halt, then void what it must: whatever goes wrong after it is in force does not take it back."""
    made = halt(deps.halts, ask, allowed.principal, _who(deps, ask.firm_id, allowed.principal.user_id))
    response.status_code = 202 if isinstance(made, Flag) else 201
    try:
        voided = deps.void(
            ask.firm_id, ask.account or None, f"{ask.level.name} of {ask.account or ask.firm_id}"
        )
    except RegimeError as error:
        LOG.error("requests over %s are not void yet: %s", ask.account or ask.firm_id, error)
        voided = None
    return halted_out(made, voided)


def _who(deps: LiveDeps, firm: str, user_id: str) -> Who:
    """Somebody in the record; whoever is at the machine while pseudonyms cannot be read, as a flag is recorded."""
    try:
        return ActorType.USER, deps.pseudonym(firm, user_id)
    except NotDurable:
        return SOMEBODY_LOCAL


def _resume(
    deps: LiveDeps, request: Request, base: Base, allowed: Allowed, account: str, body: ResumeIn
) -> ControlOut:
    """End a halt alone, which takes whoever could agree to it were it somebody else's (contract 12)."""
    firm = allowed.target.firm_id
    control = _standing(deps, firm, account, body.control_no)
    if not runs_dry(deps.halts, control):
        raise NeedsAgreement(
            expected="a second person who agrees, where an account does not run dry",
            found="one person",
            where=f"ending {control.level.name} of {control.scope}",
        )
    require_also(request, base, allowed, Permission.APPROVE_UNLOCK, account or None)
    by = ActorType.USER, deps.pseudonym(firm, allowed.principal.user_id)
    ask = ResumeAsk(firm, body.control_no, body.reason)
    return control_out(resume(deps.halts, ask, allowed.principal, by, lambda *_: False), ())


def _standing(deps: LiveDeps, firm: str, account: str, number: int) -> Control:
    """A halt in force of exactly this scope."""
    in_force(deps.halts, [account or f"{firm}/any"])  # flags become controls first, where they can
    for one in deps.halts.store(firm).all():
        if (one.control_no, one.account, one.cleared_ns) == (number, account, None):
            return one
    raise NotThere("halt", f"{account or firm} {number}")
